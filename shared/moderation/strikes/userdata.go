package strikes

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const day = 24 * time.Hour

// UserData lists the records that the rules of moderation keep of a user.
var UserData = userdata.Source{
	Feature: "moderation",
	Forms: []userdata.Form{
		{
			Types: []string{"moderation/strikes:record"}, Partition: "strikes/", Holds: "strikes, with a mute or a ban", Does: userdata.Keeps, Placed: true,
			Why: "otherwise an erasure would end a ban, or be the way around the next one. They expire 180 days after the last strike, or 10 times `STRIKES_FADE` where that is longer; a record whose strikes were all forgiven goes at once",
		},
		{
			Types: []string{"moderation/review:record"}, Partition: "review/", Holds: "messages held for review, and how many of a user wait", Does: userdata.Expires, Within: 37 * day,
			Why: "a decision, within 7 days, can be explained for 30 days",
		},
		{
			Types: []string{"moderation/trail:Entry"}, Partition: "moderation/trail", Holds: "what moderators did about the user, without texts", Does: userdata.Expires, Within: trail.Kept,
			Why: "moderators answer for what they do",
		},
		{
			Types: []string{"moderation/media:message"}, Partition: "media/", Holds: "messages whose media are being checked, with links to these", Does: userdata.Expires, Within: 7 * day,
			Why: "a late opinion finds its message",
		},
		{Types: []string{"moderation/strikes:moderation.Offence"}, Partition: "jobs/", Key: "j/strikes", Holds: "strikes about to be added", Does: userdata.Expires, Within: 25 * time.Hour, Why: "a job"},
		{Partition: "flood/", Holds: "who sent how much in the last seconds", Does: userdata.Expires, Within: time.Hour, Why: "twice `MODERATION_FLOOD_WITHIN`"},
	},
	Places: func(userID string) []userdata.Place {
		return []userdata.Place{{Partition: partition(userID), Keep: keep}}
	},
}

// keep says why a user's strikes stay: they do unless all were forgiven and no mute or
// ban holds.
func keep(items []kv.Item, now time.Time) (string, error) {
	var r record
	if err := json.Unmarshal(items[0].Value, &r); err != nil {
		return "", fmt.Errorf("strikes: a record does not decode: %w", err)
	}
	counts := len(r.Untold) > 0 || r.Applied != r.Version
	for _, c := range r.Strikes {
		counts = counts || !c.Forgiven
	}
	switch {
	case r.Sanction.active(now):
		return fmt.Sprintf("the user is %s until %s: an erasure does not end that", r.Sanction.Kind, r.Sanction.Until.UTC().Format(time.RFC3339)), nil
	case counts:
		return "strikes expire by themselves at " + items[0].Expires.UTC().Format(time.RFC3339) + ": an erasure is not the way around the next ban", nil
	}
	return "", nil
}

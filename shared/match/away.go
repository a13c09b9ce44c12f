package match

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// lostKind is the job that looks after a player who lost the connection, when the
// grace time is over. Its body is a lost.
const lostKind = "team.lost"

type lost struct {
	UserID string    `json:"userId"`
	At     time.Time `json:"at"`
}

// away hears that a device of a user went away. Where the user is in a team, a job
// looks again after the grace time. The same event again is the same job; a user who
// is back by then is left alone.
func (t *Teams) away(ctx context.Context, e *callback.StateChange) error {
	if e.Info.Action != "Disconnect" && e.Info.Action != "Logout" || t.conf.IM == nil {
		return nil
	}
	teams, err := t.teamsOf(ctx, e.Info.UserID)
	if err != nil || len(teams) == 0 {
		return err
	}
	at := t.now()
	if e.EventTime != 0 {
		at = e.EventTime.Time()
	}
	body, err := json.Marshal(lost{e.Info.UserID, at})
	if err != nil {
		return fmt.Errorf("match: %w", err)
	}
	return t.conf.Jobs.Put(ctx, queue.Job{
		ID: fmt.Sprintf("team.lost/%s/%d", e.Info.UserID, at.UnixMilli()), Kind: lostKind, Lane: queue.Fast, NotBefore: at.Add(t.conf.Grace), Body: body,
	})
}

// teamsOf returns the groups of teams that a user is in, as IM says.
func (t *Teams) teamsOf(ctx context.Context, userID string) (groups []string, err error) {
	for offset := 0; ; {
		page, next, err := t.conf.IM.JoinedGroups(ctx, userID, offset)
		switch {
		case im.Lasting(err):
			return nil, nil // no account any more
		case err != nil:
			return nil, err
		}
		for _, id := range page {
			if strings.HasPrefix(id, GroupPrefix) {
				groups = append(groups, id)
			}
		}
		if offset = next; offset == 0 {
			return groups, nil
		}
	}
}

// lostJob takes a player whom the network dropped out of teams that have not started,
// unless IM says that the player is online. The player is told what became of each
// team, and finds that on return.
func (t *Teams) lostJob(ctx context.Context, j queue.Job) error {
	var l lost
	if err := json.Unmarshal(j.Body, &l); err != nil || l.UserID == "" {
		return errors.New("match: discarded malformed job: it names no player")
	}
	if err := t.check(); err != nil {
		return err
	}
	states, failed, err := t.conf.IM.QueryOnlineStatus(ctx, []string{l.UserID})
	switch {
	case err != nil:
		return err
	case len(failed) > 0 || len(states) == 1 && states[0].Status == im.Online:
		return nil
	}
	groups, err := t.teamsOf(ctx, l.UserID)
	if err != nil {
		return err
	}
	for _, groupID := range groups {
		if err := t.drop(ctx, groupID, l); err != nil {
			return err
		}
	}
	return nil
}

// drop takes a player out of one team. Repeating it finds the player out, and tells
// the same.
func (t *Teams) drop(ctx context.Context, groupID string, l lost) error {
	s, err := t.find(ctx, groupID)
	if err != nil {
		if fault.Of(err).Code == fault.NotFound {
			return nil
		}
		return err
	}
	removed := s.waiting() || s.Status == Starting
	event := fmt.Sprintf("team/%s/lost/%s/%d", s.name(groupID), l.UserID, l.At.UnixMilli())
	told := struct {
		GroupID string `json:"groupId"`
		Mode    string `json:"mode,omitempty"`
		Status  Status `json:"status"`  // of the team
		Removed bool   `json:"removed"` // the player is out
		Reason  string `json:"reason"`
	}{groupID, s.Mode, s.Status.shown(), removed, "connection_lost"}
	if removed && len(s.Members) == 1 && s.has(l.UserID) {
		told.Status = Ended // nobody is left
	}
	// Told first: once the player is out, nobody would come to it again.
	err = t.tellUser(ctx, event, l.UserID, "team_left", told)
	if err != nil && fault.Of(err).Code != fault.Invalid {
		return err
	}
	if !removed {
		return nil // the match goes on, with or without the player
	}
	return t.Leave(ctx, api.Caller{Server: "grace"}, groupID, l.UserID)
}

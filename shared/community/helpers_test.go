package community_test

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

var memberAdmin = im.MemberChange{Role: im.RoleAdmin}

// isIn reports whether a user is in a group of IM.
func isIn(p *process, groupID, userID string) bool {
	return slices.ContainsFunc(p.group(groupID).Members, func(m imtest.MemberState) bool { return m.UserID == userID })
}

// setMute mutes a user in IM alone.
func setMute(w *world, userID string, seconds int) error {
	_, err := w.Client().ForbidSendMsg(w.Context(), "@TGS#_town", "", []string{userID}, time.Duration(seconds)*time.Second)
	return err
}

// field is a member's field in IM.
func (w *world) field(groupID, userID, key string) string {
	w.Helper()
	list, err := w.Client().SpecifiedGroupMembers(w.Context(), groupID, []string{userID})
	w.Must(err)
	if len(list) != 1 {
		return ""
	}
	return list[0].Data[key]
}

// textsOf are the texts in a channel.
func textsOf(w *world, ch community.Channel) (list []string) {
	for _, t := range w.group(ch.GroupID).Topics {
		if t.TopicID != ch.TopicID {
			continue
		}
		for _, m := range t.Messages {
			var body []struct{ MsgContent struct{ Text string } }
			w.Must(json.Unmarshal(m.Body, &body))
			list = append(list, body[0].MsgContent.Text)
		}
	}
	return list
}

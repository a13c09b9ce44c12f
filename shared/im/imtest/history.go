package imtest

import (
	"encoding/json"
	"slices"
)

// maxHistoryPage is how many messages a client gets at once.
const maxHistoryPage = 100

// History returns up to count messages of a group the user is in, or with a
// topicID of one of its topics: the newest first, those with a lower MsgSeq than
// before, 0 beginning with the newest. Recalled messages come without their
// body, deleted ones not at all, and neither do those that were sent before the
// user joined where the group hides them from newcomers. An AVChatRoom has no
// history (10007).
func (c *Client) History(groupID, topicID string, before uint32, count int) ([]Message, error) {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.existing(groupID)
	switch {
	case c.gone:
		return nil, errLoggedOut
	case err != nil:
		return nil, err
	case g.isAVRoom():
		return nil, fail(10007, "an AVChatRoom has no history")
	case !g.present(c.userID):
		return nil, fail(10007, "not in the group")
	case !g.permits(c.userID, rightHistory, topicID, topicRightHistory):
		return nil, fail(10007, "no permission group of the user's may read the history")
	}
	l, err := g.lineOf(topicID)
	if err != nil {
		return nil, err
	}
	list := []Message{}
	u := a.user(c.userID)
	for _, m := range slices.Backward(l.history) {
		if len(list) < min(count, maxHistoryPage) && (before == 0 || m.Seq < before) && g.shows(m, c.userID) && !u.hidden[m] {
			list = append(list, m.shown())
		}
	}
	return list, nil
}

// HistoryWith returns up to count messages exchanged with another user: the
// newest first, those before the one with MsgKey before, "" beginning with the
// newest.
func (c *Client) HistoryWith(userID, before string, count int) ([]Message, error) {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.gone {
		return nil, errLoggedOut
	}
	if err := a.checkPair(c.userID, userID); err != nil {
		return nil, err
	}
	list := []Message{}
	skipping := before != ""
	u := a.user(c.userID)
	for _, m := range a.conversation(c.userID, userID).side(c.userID) {
		switch {
		case skipping:
			skipping = m.Key != before
		case u.hidden[m]:
		case len(list) < min(count, maxHistoryPage):
			list = append(list, m.shown())
		}
	}
	return list, nil
}

// shown is a message as a client sees it later.
func (m *Message) shown() Message {
	s := *m
	if m.Recalled {
		s.Body, s.Custom = json.RawMessage("[]"), ""
	}
	return s
}

// shows reports whether a member finds a message in the group's history. The
// caller holds the lock.
func (g *group) shows(m *Message, userID string) bool {
	member := g.members[userID]
	return !m.Deleted && (g.showsEarlier || m.TopicID != "" || member == nil || m.Seq > member.since)
}

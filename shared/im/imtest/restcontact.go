package imtest

import (
	"slices"
	"strings"
)

// A user's list of conversations (1047/43087, 269/62119).

var contactMisfits = misfits{"": 50001}

// contactsPerPage is how many conversations an answer holds.
const contactsPerPage = 100

// contact is a conversation on a user's list.
type contact struct {
	peer, group string // one of both
	last        *Message
}

// contacts are a user's conversations, the latest first. One that was deleted is
// back with its next message. The caller holds the lock.
func (a *App) contacts(u *account) (list []contact) {
	for _, users := range sortedKeys(a.conversations) {
		x, y, _ := strings.Cut(users, "\x00")
		if y == u.id {
			x, y = y, x
		}
		c := contact{peer: y, last: a.conversations[users].last(u.id)}
		if x == u.id && c.last != nil && u.gone[contactKey(y, "")] != c.last {
			list = append(list, c)
		}
	}
	for _, id := range sortedKeys(a.groups) {
		g := a.groups[id]
		if g.members[u.id] == nil || len(g.line.history) == 0 {
			continue
		}
		c := contact{group: id, last: g.line.history[len(g.line.history)-1]}
		if u.gone[contactKey("", id)] != c.last {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(x, y contact) int { return y.last.Time.Compare(x.last.Time) })
	return list
}

// contactKey names a conversation on a user's list.
func contactKey(peer, group string) string { return peer + "\x00" + group }

// last returns the newest message on a user's side, or nil. The caller holds the
// lock.
func (c *conversation) last(id string) *Message {
	for _, m := range slices.Backward(c.history) {
		if !m.receiverOnly || m.To == id {
			return m.Message
		}
	}
	return nil
}

type contactsRequest struct {
	From_Account                                       string //nolint:revive // IM's spelling
	TimeStamp, StartIndex, TopTimeStamp, TopStartIndex *int
	AssistFlags                                        *int
}

func recentContacts(a *App, in contactsRequest) (object, error) {
	for _, n := range []*int{in.TimeStamp, in.StartIndex, in.TopTimeStamp, in.TopStartIndex, in.AssistFlags} {
		if n == nil || *n < 0 {
			return nil, fail(50001, "TimeStamp, StartIndex, TopTimeStamp, TopStartIndex and AssistFlags are required")
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(in.From_Account)
	if u == nil {
		return nil, fail(50003, "From_Account is missing or not imported")
	}
	items := []object{}
	page, next := pageOf(a.contacts(u), *in.StartIndex, contactsPerPage)
	for _, c := range page {
		item := object{"Type", 1, "To_Account", c.peer}
		if c.group != "" {
			item = object{"Type", 2, "GroupId", c.group}
		}
		pinned := !u.settings[contactKey(c.peer, c.group)].Pinned.IsZero()
		items = append(items, item.with("MsgTime", c.last.Time.Unix(), "TopFlag", flag(pinned)))
	}
	return ok.with("SessionItem", items, "CompleteFlag", flag(next == 0), "TimeStamp", 0, "StartIndex", next, "TopTimeStamp", 0, "TopStartIndex", 0), nil
}

type contactRequest struct {
	From_Account, To_Account, ToGroupid string //nolint:revive // IM's spelling
	Type, ClearRamble                   int
}

// deleteContact takes a conversation off a user's list; with ClearRamble the
// user's side of a one-to-one history ends there too.
func deleteContact(a *App, in contactRequest) (object, error) {
	if in.Type == 1 && in.To_Account == "" || in.Type == 2 && in.ToGroupid == "" || in.Type != 1 && in.Type != 2 {
		return nil, fail(50001, "Type 1 and To_Account, or Type 2 and ToGroupid")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(in.From_Account)
	if u == nil {
		return nil, fail(50003, "From_Account is missing or not imported")
	}
	for _, c := range a.contacts(u) {
		switch {
		case in.Type == 2 && c.group == in.ToGroupid:
			u.gone[contactKey("", c.group)] = c.last
		case in.Type == 1 && c.peer == in.To_Account:
			u.gone[contactKey(c.peer, "")] = c.last
			if in.ClearRamble == 1 {
				a.conversation(u.id, c.peer).cleared[u.id] = c.last
			}
		}
	}
	return ok, nil
}

// side are the messages that a user's side of a conversation has, the newest
// first. The caller holds the lock.
func (c *conversation) side(id string) (list []*Message) {
	for _, m := range slices.Backward(c.history) {
		if m.Message == c.cleared[id] {
			return list
		}
		if !m.receiverOnly || m.To == id {
			list = append(list, m.Message)
		}
	}
	return list
}

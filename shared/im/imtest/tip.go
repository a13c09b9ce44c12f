package imtest

import (
	"iter"
	"slices"
	"time"
)

// Tip is sent to devices with [Device.Tips]: a change of a group, or a read receipt.
type Tip struct {
	// What is joined, quit, kicked, banned, admin, notAdmin, owner, profile, muted,
	// unmuted, attributes or counters, which all members are told; applied, which
	// leaders are told; invited, accepted or refused, which the user is
	// told; read and receipts, which the writer of messages is told; ownRead, which the
	// reader's other devices are told; reaction or extensions, which everybody is told
	// who has the message.
	What     string            `json:"what"`
	Operator string            `json:"operator,omitempty"` // who did it
	Users    []string          `json:"users,omitempty"`    // to whom
	Members  int               `json:"members,omitempty"`  // members there are now
	Seconds  uint32            `json:"seconds,omitempty"`  // of a mute
	Changed  map[string]string `json:"changed,omitempty"`  // of a profile, by IM's names
	Until    time.Time         `json:"until,omitzero"`     // messages up to this time are read
	Seq      uint32            `json:"seq,omitempty"`      // a group's or topic's messages up to this MsgSeq are read
	TopicID  string            `json:"topicId,omitempty"`  // where they are, in a topic
	Receipts []Receipt         `json:"receipts,omitempty"` // of messages that somebody has read
	Message  *Message          `json:"message,omitempty"`  // that something was put on
	Reaction *Reaction         `json:"reaction,omitempty"` // that changed
	// Extensions are the keys that changed.
	Extensions *ExtensionChange `json:"extensions,omitempty"`
}

// tip tells the members of a group, on devices that want tips. The caller holds
// the lock.
func (a *App) tip(g *group, t Tip) {
	t.Members = len(g.joinOrder)
	e := &Event{Kind: "tip", GroupID: g.id, Tip: &t}
	for c := range a.listening(g) {
		if c.tips {
			c.reach(e)
		}
	}
}

// tipUser tells one user; g is nil for what concerns no group. The caller holds
// the lock.
func (a *App) tipUser(id string, g *group, t Tip) { a.tipOthers(nil, id, g, t) }

// tipOthers is tipUser without the device that did it. The caller holds the lock.
func (a *App) tipOthers(by *Client, id string, g *group, t Tip) {
	u := a.user(id)
	if u == nil || t.What == "" {
		return
	}
	e := &Event{Kind: "tip", Tip: &t}
	if g != nil {
		t.Members = len(g.joinOrder)
		e.GroupID = g.id
	}
	for _, c := range u.devices {
		if c.tips && c != by {
			c.reach(e)
		}
	}
}

// listening are the devices that hear of a group, now or, without a heartbeat, by
// [Device.Resumes]. The caller holds the lock. Of 100,000 members a few are logged in: whichever are fewer, members
// or devices, are gone through.
func (a *App) listening(g *group) iter.Seq[*Client] {
	return func(yield func(*Client) bool) {
		if len(a.sessions) < len(g.joinOrder) {
			for _, c := range a.sessions {
				if g.present(c.userID) && (!c.dark || c.resumes) && slices.Contains(a.devicesIn(g, c.userID), c) && !yield(c) {
					return
				}
			}
			return
		}
		for _, id := range g.joinOrder {
			for _, c := range a.devicesIn(g, id) {
				if (!c.dark || c.resumes) && !yield(c) {
					return
				}
			}
		}
	}
}

// devicesIn are a user's devices that hear of a group: in an AVChatRoom those that
// joined it, as long as IM does not count the user as offline there. The caller holds
// the lock.
func (a *App) devicesIn(g *group, id string) []*Client {
	if g.isAVRoom() {
		if p := g.online[id]; p != nil && !p.offline {
			return p.devices
		}
		return nil
	}
	if u := a.user(id); u != nil {
		return u.devices
	}
	return nil
}

// Conversation is one entry of a user's list of conversations.
type Conversation struct {
	UserID, GroupID string // one of both
	Last            Message
	Unread          int
	ReadSeq         uint32 // of a group: MsgSeq of the last message the user has read
	NextSeq         uint32 // of a group: MsgSeq of the next message
}

// Conversations lists the user's conversations with a message in them, the latest
// first.
func (c *Client) Conversations() []Conversation {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(c.userID)
	if u == nil {
		return nil
	}
	var list []Conversation
	for _, contact := range a.contacts(u) {
		item := Conversation{UserID: contact.peer, GroupID: contact.group, Last: contact.last.shown()}
		if g := a.groups[contact.group]; g != nil {
			m := g.members[u.id]
			item.ReadSeq, item.NextSeq = m.readSeq, g.line.lastSeq+1
			for _, message := range slices.Backward(g.line.history) {
				if message.Seq <= m.readSeq || g.kind == typeMeeting {
					break
				}
				item.Unread += flag(message.From != u.id && !message.Recalled && !message.Deleted && !u.hidden[message])
			}
		} else {
			item.Unread = a.conversation(u.id, contact.peer).unread[u.id]
		}
		list = append(list, item)
	}
	return list
}

// ReadFrom records that the user has read another user's messages up to a time.
func (c *Client) ReadFrom(userID string, upTo time.Time) error {
	if err := c.alive(); err != nil {
		return err
	}
	at := upTo.Unix()
	return c.app.markRead(c.userID, userID, &at, c.from, c)
}

// PeerReadTime returns the time up to which another user has read this user's messages.
func (c *Client) PeerReadTime(userID string) time.Time {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	return c.app.conversation(c.userID, userID).read[userID]
}

// Read records that the user has read the messages of a group, or of a topic in it, up
// to a MsgSeq. topicID is "" for the group's own messages.
func (c *Client) Read(groupID, topicID string, seq uint32) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.membered(groupID)
	switch {
	case c.gone:
		return errLoggedOut
	case err != nil:
		return err
	case g.members[c.userID] == nil:
		return fail(10007, "not in the group")
	}
	m := g.members[c.userID]
	l, err := g.lineOf(topicID)
	if err != nil {
		return err
	}
	before := m.readSeq
	if topicID != "" {
		before = m.topicRead[topicID]
	}
	read := min(max(before, seq), l.lastSeq)
	if topicID == "" {
		m.readSeq = read
	} else {
		m.topicRead[topicID] = read
	}
	a.tipOthers(c, c.userID, g, Tip{What: "ownRead", Operator: c.userID, Seq: read, TopicID: topicID})
	return nil
}

// ReadSeq returns the MsgSeq of the last message of a topic that the user has read,
// 0 for none.
func (c *Client) ReadSeq(groupID, topicID string) uint32 {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if g := c.app.groups[groupID]; g != nil && g.members[c.userID] != nil {
		return g.members[c.userID].topicRead[topicID]
	}
	return 0
}

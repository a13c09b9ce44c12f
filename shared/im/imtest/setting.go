package imtest

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// What users set for themselves: of conversations, of single messages that they do
// not want to see any more, and their status.

// ConversationSetting has a user's settings of one conversation.
type ConversationSetting struct {
	Pinned time.Time `json:"pinned,omitzero"` // at the top of the list, since when
	// Flag is how the user is notified of new messages: AcceptAndNotify,
	// AcceptNotNotify or Discard; "" is the first. Of a group it is the member's
	// MsgFlag instead.
	Flag   string `json:"flag,omitempty"`
	Marks  []int  `json:"marks,omitempty"`  // the standard marks, 0 to 63
	Custom string `json:"custom,omitempty"` // custom data of the conversation
	// Groups are the names of the conversation groups that it is in.
	Groups []string `json:"groups,omitempty"`
}

func (s ConversationSetting) isZero() bool {
	return s.Pinned.IsZero() && s.Flag == "" && len(s.Marks) == 0 && s.Custom == "" && len(s.Groups) == 0
}

// msgFlags are how a user may be told of messages.
var msgFlags = []string{"AcceptAndNotify", "AcceptNotNotify", "Discard"}

// Limits of conversation settings.
const (
	maxConversationMark = 63
	maxConversationData = 256 // bytes of custom data
)

// Setting returns the user's settings of the conversation with another user, or of a
// group: either userID or groupID is "".
func (c *Client) Setting(userID, groupID string) ConversationSetting {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if u := c.app.user(c.userID); u != nil {
		s := u.settings[contactKey(userID, groupID)]
		s.Marks, s.Groups = slices.Clone(s.Marks), slices.Clone(s.Groups)
		return s
	}
	return ConversationSetting{}
}

// Set changes the user's settings of a conversation. It fails if there is no such user
// or the user is not in the group.
func (c *Client) Set(userID, groupID string, change func(*ConversationSetting)) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(c.userID)
	switch {
	case c.gone || u == nil:
		return errLoggedOut
	case (userID == "") == (groupID == ""):
		return fail(50001, "a conversation is with a user or of a group")
	case userID != "" && a.user(userID) == nil:
		return fail(50003, "the user is not imported")
	case groupID != "" && (a.groups[groupID] == nil || !a.groups[groupID].present(c.userID)):
		return fail(10007, "not in the group")
	}
	key := contactKey(userID, groupID)
	s := u.settings[key]
	s.Marks, s.Groups = slices.Clone(s.Marks), slices.Clone(s.Groups)
	change(&s)
	for _, name := range s.Groups {
		if !slices.ContainsFunc(u.conversationGroups, func(g ConversationGroup) bool { return g.Name == name }) {
			return fail(50001, "there is no such conversation group")
		}
	}
	for _, mark := range s.Marks {
		if mark < 0 || mark > maxConversationMark {
			return fail(50001, "a mark is 0 to 63")
		}
	}
	slices.Sort(s.Marks)
	s.Marks = slices.Compact(s.Marks)
	switch {
	case len(s.Custom) > maxConversationData:
		return fail(50001, "the custom data is over 256 bytes")
	case s.Flag != "" && !slices.Contains(msgFlags, s.Flag):
		return fail(50001, "the flag is AcceptAndNotify, AcceptNotNotify or Discard")
	}
	u.keep(key, s)
	return nil
}

// QuietTime is the time when a user wants no notifications, in the form of the client
// SDK.
type QuietTime struct{ Start, End, Repeated, Level int }

// SetQuiet stores the time when the user wants no notifications. It has no other
// effect.
func (c *Client) SetQuiet(q QuietTime) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(c.userID)
	if c.gone || u == nil {
		return errLoggedOut
	}
	u.quiet = q
	return nil
}

// Quiet returns the time that SetQuiet stored.
func (c *Client) Quiet() QuietTime {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if u := c.app.user(c.userID); u != nil {
		return u.quiet
	}
	return QuietTime{}
}

// Hide deletes messages of a group or topic from the user's own history.
func (c *Client) Hide(groupID, topicID string, seqs ...uint32) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.existing(groupID)
	switch {
	case c.gone:
		return errLoggedOut
	case err != nil:
		return err
	case !g.present(c.userID):
		return errNotAllowed
	}
	l, err := g.lineOf(topicID)
	if err != nil {
		return err
	}
	u := a.user(c.userID)
	for _, seq := range seqs {
		if m := l.find(seq); m != nil {
			u.hide(m)
		}
	}
	return nil
}

// HideFrom deletes one-to-one messages from the user's own history, by their MsgKey.
func (c *Client) HideFrom(userID string, keys ...string) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.gone {
		return errLoggedOut
	}
	if err := a.checkPair(c.userID, userID); err != nil {
		return err
	}
	u := a.user(c.userID)
	for _, key := range keys {
		if m := a.conversation(c.userID, userID).find(key); m != nil {
			u.hide(m)
		}
	}
	return nil
}

// Clear deletes the user's own history with another user, or of a group.
func (c *Client) Clear(userID, groupID string) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.gone {
		return errLoggedOut
	}
	u := a.user(c.userID)
	if groupID == "" {
		if err := a.checkPair(c.userID, userID); err != nil {
			return err
		}
		conv := a.conversation(c.userID, userID)
		for _, m := range conv.side(c.userID) {
			u.hide(m)
		}
		conv.unread[c.userID] = 0
		return nil
	}
	g, err := a.existing(groupID)
	switch {
	case err != nil:
		return err
	case g.members[c.userID] == nil:
		return errNotAllowed
	}
	for _, m := range g.line.history {
		u.hide(m)
	}
	g.members[c.userID].readSeq = g.line.lastSeq
	return nil
}

// hide notes that a user does not want to see a message any more. The caller holds
// the lock.
func (u *account) hide(m *Message) {
	if u.hidden == nil {
		u.hidden = make(map[*Message]bool)
	}
	u.hidden[m] = true
}

// Status is a user's status as other users see it.
type Status struct {
	Type   int // 1 online, 2 offline, 3 not logged in
	Custom string
}

// The values of Status.Type.
const (
	statusOnline = 1 + iota
	statusOffline
	statusNotLoggedIn
)

// maxStatus bounds a user's own text, in bytes.
const maxStatus = 255

// status returns a user's status. The caller holds the lock.
func (u *account) status() Status {
	s := Status{Type: statusNotLoggedIn}
	for _, c := range u.devices {
		s.Type = statusOffline
		if !c.dark {
			return Status{Type: statusOnline, Custom: u.customStatus}
		}
	}
	return s
}

// StatusOf returns another user's status, and whether there is such a user.
func (c *Client) StatusOf(userID string) (Status, bool) {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	u := c.app.user(userID)
	if u == nil {
		return Status{}, false
	}
	return u.status(), true
}

// SetStatus changes the user's status text and notifies the devices that watch the
// user.
func (c *Client) SetStatus(custom string) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(c.userID)
	switch {
	case c.gone || u == nil:
		return errLoggedOut
	case len(custom) > maxStatus:
		return fail(70000, "the status is over 255 bytes")
	}
	u.customStatus = custom
	a.tellStatus(u)
	return nil
}

// maxWatched is how many users a device watches.
const maxWatched = 200

// Watch sends the device an event of kind status whenever the status of one of the
// users changes.
func (c *Client) Watch(userIDs ...string) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case c.gone:
		return errLoggedOut
	case len(c.watched)+len(userIDs) > maxWatched:
		return fail(70000, "over 200 users")
	}
	if c.watched == nil {
		c.watched = make(map[string]bool)
	}
	for _, id := range userIDs {
		c.watched[id] = true
	}
	return nil
}

// Unwatch ends Watch for the given users, or for all users if none is given.
func (c *Client) Unwatch(userIDs ...string) {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	for _, id := range userIDs {
		delete(c.watched, id)
	}
	if len(userIDs) == 0 {
		clear(c.watched)
	}
}

// tellStatus tells who watches a user. The caller holds the lock.
func (a *App) tellStatus(u *account) {
	status := u.status()
	for _, c := range a.sessions {
		if c.watched[u.id] && c.userID != u.id {
			c.reach(&Event{Kind: "status", UserID: u.id, Status: &status})
		}
	}
}

// PinnedMessage is a pinned message of a group.
type PinnedMessage struct {
	Message Message
	By      string
}

// maxPinned is how many messages a group has at its top.
const maxPinned = 10

type pin struct {
	seq uint32
	by  string
}

// PinMessage pins a message of a group, or unpins it. Leaders may; in a Work group all
// members may.
func (c *Client) PinMessage(groupID string, seq uint32, on bool) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.membered(groupID)
	switch {
	case c.gone:
		return errLoggedOut
	case err != nil:
		return err
	}
	if err := editing(c, g, userFields{}); err != nil {
		return err
	}
	m := g.line.find(seq)
	if m == nil || m.Recalled || m.Deleted {
		return fail(10030, "there is no such message")
	}
	g.pinned = slices.DeleteFunc(g.pinned, func(p pin) bool { return p.seq == seq })
	if on {
		if len(g.pinned) >= maxPinned {
			return fail(10071, "over 10 pinned messages")
		}
		g.pinned = append(g.pinned, pin{seq, c.userID})
	}
	return nil
}

// PinnedMessages returns the pinned messages of a group, the latest pin first.
func (c *Client) PinnedMessages(groupID string) ([]PinnedMessage, error) {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.membered(groupID)
	switch {
	case c.gone:
		return nil, errLoggedOut
	case err != nil:
		return nil, err
	case !g.present(c.userID):
		return nil, errNotAllowed
	}
	var list []PinnedMessage
	for _, p := range slices.Backward(g.pinned) {
		if m := g.line.find(p.seq); m != nil && !m.Recalled && !m.Deleted {
			list = append(list, PinnedMessage{*m, p.by})
		}
	}
	return list, nil
}

// Application is a user's request to join a group.
type Application struct {
	GroupID, GroupName, UserID string
}

// Applications returns the applications that this user may accept or refuse.
func (c *Client) Applications() []Application {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []Application
	for _, id := range sortedKeys(a.groups) {
		if g := a.groups[id]; g.leads(c.userID) {
			for _, userID := range g.applicants {
				list = append(list, Application{id, g.name, userID})
			}
		}
	}
	return list
}

// Refuse refuses a user's application for a group. Only a leader of the group may.
func (c *Client) Refuse(groupID, userID string) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.existing(groupID)
	switch {
	case err != nil:
		return err
	case c.gone:
		return errLoggedOut
	case !g.leads(c.userID):
		return fail(10007, "only the group's leaders turn people away")
	case !slices.Contains(g.applicants, userID):
		return fail(10004, "no such application")
	}
	g.applicants = slices.DeleteFunc(g.applicants, func(x string) bool { return x == userID })
	a.tipUser(userID, g, Tip{What: "refused", Operator: c.userID, Users: []string{userID}})
	return nil
}

// ConversationGroup is a named group of a user's conversations.
type ConversationGroup struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// Limits of conversation groups, our own.
const (
	maxConversationGroups    = 20
	maxConversationGroupName = 32 // bytes
)

// ConversationGroups returns the user's conversation groups in the order of their
// creation.
func (c *Client) ConversationGroups() []ConversationGroup {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if u := c.app.user(c.userID); u != nil {
		return slices.Clone(u.conversationGroups)
	}
	return nil
}

// NameConversationGroup creates a conversation group (before is ""), renames one, or
// deletes one (name is "").
func (c *Client) NameConversationGroup(before, name string) (ConversationGroup, error) {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(c.userID)
	if c.gone || u == nil {
		return ConversationGroup{}, errLoggedOut
	}
	index := func(name string) int {
		return slices.IndexFunc(u.conversationGroups, func(g ConversationGroup) bool { return g.Name == name })
	}
	switch i := index(before); {
	case before != "" && i < 0:
		return ConversationGroup{}, fail(50001, "there is no such conversation group")
	case name != "" && (len(name) > maxConversationGroupName || index(name) >= 0):
		return ConversationGroup{}, fail(50001, "the name is over 32 bytes or taken")
	case before == "" && (name == "" || len(u.conversationGroups) >= maxConversationGroups):
		return ConversationGroup{}, fail(50001, "a group has a name, and there are at most 20")
	case before == "":
		u.lastConversationGroup++
		g := ConversationGroup{u.lastConversationGroup, name}
		u.conversationGroups = append(u.conversationGroups, g)
		return g, nil
	default:
		g := u.conversationGroups[i]
		for key, s := range u.settings {
			if j := slices.Index(s.Groups, before); j >= 0 {
				s.Groups = slices.Delete(slices.Clone(s.Groups), j, j+1)
				if name != "" {
					s.Groups = append(s.Groups, name)
				}
				u.keep(key, s)
			}
		}
		if name == "" {
			u.conversationGroups = slices.Delete(u.conversationGroups, i, i+1)
			return g, nil
		}
		u.conversationGroups[i].Name = name
		return u.conversationGroups[i], nil
	}
}

// keep stores what the user set for a conversation, where it is anything. The caller
// holds the lock.
func (u *account) keep(key string, s ConversationSetting) {
	if s.isZero() {
		delete(u.settings, key)
		return
	}
	u.settings[key] = s
}

// Settings calls f with the user's settings of each conversation, in a fixed order.
func (c *Client) Settings(f func(userID, groupID string, s ConversationSetting)) {
	c.app.mu.Lock()
	u := c.app.user(c.userID)
	if u == nil {
		c.app.mu.Unlock()
		return
	}
	settings := maps.Clone(u.settings)
	c.app.mu.Unlock()
	for _, key := range sortedKeys(settings) {
		userID, groupID, _ := strings.Cut(key, "\x00")
		f(userID, groupID, settings[key])
	}
}

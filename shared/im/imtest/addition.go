package imtest

import (
	"maps"
	"slices"
	"strings"
)

// What the people of a conversation put on its messages: reactions, and extensions,
// which are keys with values (1047/51195, 1047/52170).

// Reaction is an emoji on a message with the users who added it, the earliest first.
type Reaction struct {
	ID    string   `json:"id"`
	Users []string `json:"users"`
}

// Extension is a key and value of a message. Seq is the number of the write that
// changed it last; a key that was deleted has the value "".
type Extension struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Seq   int    `json:"seq"`
}

// ExtensionChange describes the changes of one write. Operation is 1 (set), 2 (delete)
// or 3 (clear all).
type ExtensionChange struct {
	Operation int         `json:"operation"`
	Changed   []Extension `json:"changed,omitempty"`
	Seq       int         `json:"seq"`               // of the write
	Cleared   int         `json:"cleared,omitempty"` // of the last write that cleared all
}

// The values of ExtensionChange.Operation.
const (
	setExtensions = 1 + iota
	deleteExtensions
	clearExtensions
)

// Limits of reactions and extensions. Those of reactions are our own.
const (
	maxReactions        = 10  // different ones on a message
	maxReactionID       = 64  // bytes
	maxExtensions       = 300 // keys of a message
	maxExtensionsAtOnce = 20
	maxExtensionKey     = 100 // bytes
	maxExtensionValue   = 1 << 10
)

// staleExtension is the code of a key that somebody else wrote since.
const staleExtension = 23001

// MessageRef names a message: of a group or topic by MsgSeq, or one-to-one with
// another user by MsgKey.
type MessageRef struct {
	UserID, Key      string
	GroupID, TopicID string
	Seq              uint32
}

// place is where a message was found.
type place struct {
	m *Message
	g *group // nil for a one-to-one message
}

// placeOf finds a message that a user may put something on. The caller holds the
// lock.
func (a *App) placeOf(userID string, ref MessageRef) (place, error) {
	if ref.GroupID == "" {
		if err := a.checkPair(userID, ref.UserID); err != nil {
			return place{}, err
		}
		m := a.conversation(userID, ref.UserID).find(ref.Key)
		if m == nil || m.Recalled {
			return place{}, fail(20022, "there is no such message")
		}
		return place{m: m}, nil
	}
	g, l, err := lineIn(a.membered, ref.GroupID, ref.TopicID)
	switch {
	case err != nil:
		return place{}, err
	case !g.present(userID):
		return place{}, errNotAllowed
	}
	m := l.find(ref.Seq)
	if m == nil || m.Recalled || m.Deleted {
		return place{}, fail(10030, "there is no such message")
	}
	return place{m, g}, nil
}

// misfit is the code of a request that does not fit the message's service.
func (p place) misfit(info string) error {
	if p.g == nil {
		return fail(90001, info)
	}
	return fail(10004, info)
}

// tip tells everybody who has the message. The caller holds the lock.
func (a *App) tipMessage(p place, t Tip) {
	t.Message = p.m.copied()
	if p.g != nil {
		a.tip(p.g, t)
		return
	}
	for _, id := range slices.Compact([]string{p.m.From, p.m.To}) {
		a.tipUser(id, nil, t)
	}
}

// React adds the user's reaction to a message, or removes it. Doing so twice is a
// no-op.
func (c *Client) React(ref MessageRef, id string, on bool) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.gone {
		return errLoggedOut
	}
	p, err := a.placeOf(c.userID, ref)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(p.m.Reactions, func(r Reaction) bool { return r.ID == id })
	switch {
	case id == "" || len(id) > maxReactionID:
		return p.misfit("a reaction has 1 to 64 bytes")
	case i < 0 && !on, i >= 0 && slices.Contains(p.m.Reactions[i].Users, c.userID) == on:
		return nil
	case i < 0 && len(p.m.Reactions) >= maxReactions:
		return p.misfit("over 10 reactions")
	}
	list := slices.Clone(p.m.Reactions) // copies of the message share the old one
	if i < 0 {
		i, list = len(list), append(list, Reaction{ID: id})
	}
	r := &list[i]
	r.Users = slices.DeleteFunc(slices.Clone(r.Users), func(x string) bool { return x == c.userID })
	if on {
		r.Users = append(r.Users, c.userID)
	}
	changed := *r
	if len(r.Users) == 0 {
		list = slices.Delete(list, i, i+1)
	}
	p.m.Reactions = list
	a.tipMessage(p, Tip{What: "reaction", Operator: c.userID, Reaction: &changed})
	return nil
}

// Message returns the current state of a message that the user has received or sent.
func (c *Client) Message(ref MessageRef) (Message, error) {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.gone {
		return Message{}, errLoggedOut
	}
	p, err := a.placeOf(c.userID, ref)
	if err != nil {
		return Message{}, err
	}
	return *p.m, nil
}

type extensionRequest struct {
	From_Account, To_Account, MsgKey string //nolint:revive // IM's spelling
	GroupId, TopicId                 string //nolint:revive // IM's spelling
	MsgSeq                           uint32
	OperateType, StartSeq            int
	ExtensionList                    []struct {
		Key, Value string
		Seq        int
	}
}

// of finds the request's message, as the user who asks or else as its sender.
func (in extensionRequest) of(a *App, by caller) (place, error) {
	userID, peer := in.From_Account, in.To_Account
	switch {
	case !by.user && in.GroupId != "":
		return a.groupPlace(in)
	case by.user && by.id == in.To_Account:
		userID, peer = in.To_Account, in.From_Account
	case by.user:
		userID = by.id
	}
	return a.placeOf(userID, MessageRef{UserID: peer, Key: in.MsgKey, GroupID: in.GroupId, TopicID: in.TopicId, Seq: in.MsgSeq})
}

// groupPlace finds a message of a group for the REST API, which is no member.
func (a *App) groupPlace(in extensionRequest) (place, error) {
	g, l, err := lineIn(a.membered, in.GroupId, in.TopicId)
	if err != nil {
		return place{}, err
	}
	if m := l.find(in.MsgSeq); m != nil && !m.Recalled && !m.Deleted {
		return place{m, g}, nil
	}
	return place{}, fail(10030, "there is no such message")
}

// setKeyValues sets, deletes or clears extensions. Each key has an ErrorCode: one
// with another Seq than the message's was written by somebody else since (23001) and
// comes back as it is now.
func setKeyValues(a *App, by caller, in extensionRequest) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := in.of(a, by)
	if err != nil {
		return nil, err
	}
	m := p.m
	switch {
	case !m.Extensible:
		return nil, p.misfit("the message was sent without SupportMessageExtension")
	case in.OperateType < setExtensions || in.OperateType > clearExtensions:
		return nil, p.misfit("OperateType is 1, 2 or 3")
	case in.OperateType != clearExtensions && (len(in.ExtensionList) == 0 || len(in.ExtensionList) > maxExtensionsAtOnce):
		return nil, p.misfit("1 to 20 keys")
	}
	for _, e := range in.ExtensionList {
		if e.Key == "" || len(e.Key) > maxExtensionKey || len(e.Value) > maxExtensionValue {
			return nil, p.misfit("a key has 1 to 100 bytes, a value at most 1 KB")
		}
	}
	seq := m.extensionSeq + 1
	change := ExtensionChange{Operation: in.OperateType, Seq: seq, Cleared: m.extensionsCleared}
	values, seqs := maps.Clone(m.Extensions), maps.Clone(m.extensionSeqs) // copies of the message share the old ones
	if values == nil {
		values, seqs = make(map[string]string), make(map[string]int)
	}
	results := []object{}
	if in.OperateType == clearExtensions {
		clear(values)
		clear(seqs)
		change.Cleared = seq
	} else {
		for _, e := range in.ExtensionList {
			code := 0
			_, has := values[e.Key]
			switch {
			case in.OperateType == setExtensions && seqs[e.Key] != e.Seq:
				code = staleExtension
			case in.OperateType == setExtensions && !has && len(values) >= maxExtensions:
				code = p.misfit("").(*Error).Code
			case in.OperateType == setExtensions:
				values[e.Key], seqs[e.Key] = e.Value, seq
			default:
				delete(values, e.Key)
				seqs[e.Key] = seq
			}
			now := Extension{Key: e.Key, Value: values[e.Key], Seq: seqs[e.Key]}
			if code == 0 {
				change.Changed = append(change.Changed, now)
			}
			results = append(results, object{"ErrorCode", code, "Extension", object{"Key", now.Key, "Value", now.Value, "Seq", now.Seq}})
		}
		if len(seqs) > 2*maxExtensions { // of keys deleted long ago
			maps.DeleteFunc(seqs, func(key string, _ int) bool { _, has := values[key]; return !has })
		}
	}
	if len(change.Changed) > 0 || in.OperateType == clearExtensions {
		m.Extensions, m.extensionSeqs, m.extensionSeq, m.extensionsCleared = values, seqs, seq, change.Cleared
		a.tipMessage(p, Tip{What: "extensions", Operator: by.id, Extensions: &change})
	}
	return ok.with("ExtensionList", results, "Seq", m.extensionSeq), nil
}

// getKeyValues lists a message's extensions that were written since StartSeq, in
// the order of their last write.
func getKeyValues(a *App, by caller, in extensionRequest) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := in.of(a, by)
	if err != nil {
		return nil, err
	}
	keys := slices.DeleteFunc(sortedKeys(p.m.extensionSeqs), func(key string) bool { return p.m.extensionSeqs[key] < in.StartSeq })
	slices.SortStableFunc(keys, func(x, y string) int { return p.m.extensionSeqs[x] - p.m.extensionSeqs[y] })
	list := make([]object, len(keys))
	for i, key := range keys {
		list[i] = object{"Key", key, "Value", p.m.Extensions[key], "Seq", p.m.extensionSeqs[key]}
	}
	return ok.with("ExtensionList", list, "CompleteFlag", 1, "LatestSeq", p.m.extensionSeq, "ClearSeq", p.m.extensionsCleared), nil
}

// MessageSearch is a search in the messages of the user's own conversations.
type MessageSearch struct {
	Words   []string // in texts, without regard to case
	All     bool     // all of the words, and not any of them
	Types   []string // of elements, such as TIMTextElem; none for any
	Senders []string // none for anybody
	UserID  string   // only in the conversation with this user
	GroupID string   // only in this group
	From    int64    // Unix seconds, 0 for no bound
	Until   int64    // Unix seconds, 0 for no bound
}

// finds reports whether a message is one that is looked for.
func (q MessageSearch) finds(m *Message) bool {
	if m.Recalled || m.Deleted || m.Online || len(q.Senders) > 0 && !slices.Contains(q.Senders, m.From) ||
		m.Time.Unix() < q.From || q.Until > 0 && m.Time.Unix() > q.Until {
		return false
	}
	if len(q.Types) > 0 && !slices.ContainsFunc(q.Types, func(t string) bool { return strings.Contains(string(m.Body), `"`+t+`"`) }) {
		return false
	}
	return matches(m.Text(), q.Words, q.All)
}

// matches reports whether a text has all words, or any; without words it does.
func matches(text string, words []string, all bool) bool {
	text = strings.ToLower(text)
	for _, word := range words {
		if strings.Contains(text, strings.ToLower(word)) != all {
			return !all
		}
	}
	return all || len(words) == 0
}

// Found has the messages of one conversation that match a search, the newest first.
type Found struct {
	UserID, GroupID string // one of both
	Messages        []Message
}

// Search returns the user's conversations with matching messages, the latest first.
// Topics and AVChatRooms are not searched.
func (c *Client) Search(q MessageSearch) []Found {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(c.userID)
	if u == nil {
		return nil
	}
	var list []Found
	for _, contact := range a.contacts(u) {
		if q.UserID != "" && contact.peer != q.UserID || q.GroupID != "" && contact.group != q.GroupID {
			continue
		}
		found := Found{UserID: contact.peer, GroupID: contact.group}
		if g := a.groups[contact.group]; g != nil {
			for _, m := range slices.Backward(g.line.history) {
				if g.shows(m, u.id) && !u.hidden[m] && q.finds(m) {
					found.Messages = append(found.Messages, *m)
				}
			}
		} else {
			for _, m := range a.conversation(u.id, contact.peer).side(u.id) {
				if !u.hidden[m] && q.finds(m) {
					found.Messages = append(found.Messages, *m)
				}
			}
		}
		if len(found.Messages) > 0 {
			list = append(list, found)
		}
	}
	return list
}

// SearchUsers returns the UserIDs of accounts whose UserID or nickname contains the
// words.
func (c *Client) SearchUsers(words []string, all bool) (ids []string) {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range sortedKeys(a.accounts) {
		nick, _ := a.accounts[id].profile[tagNick].(string)
		if !a.accounts[id].deleted && matches(id+"\n"+nick, words, all) {
			ids = append(ids, id)
		}
	}
	return ids
}

// SearchGroups returns the GroupIDs of groups whose GroupID or name contains the words.
func (c *Client) SearchGroups(words []string, all bool) (ids []string) {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range sortedKeys(a.groups) {
		if g := a.groups[id]; g.kind != typeWork && matches(id+"\n"+g.name, words, all) {
			ids = append(ids, id)
		}
	}
	return ids
}

// FoundMember is a member of a group that a search found.
type FoundMember struct{ GroupID, UserID, NameCard string }

// SearchMembers returns members of the user's own groups whose UserID, nickname or name
// card contains the words: of the given groups, or of all.
func (c *Client) SearchMembers(words []string, all bool, groupIDs ...string) (list []FoundMember) {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, groupID := range sortedKeys(a.groups) {
		g := a.groups[groupID]
		if g.members[c.userID] == nil || len(groupIDs) > 0 && !slices.Contains(groupIDs, groupID) {
			continue
		}
		for _, id := range g.joinOrder {
			m, u := g.members[id], a.user(id)
			if m == nil || u == nil {
				continue
			}
			nick, _ := u.profile[tagNick].(string)
			if matches(id+"\n"+nick+"\n"+m.nameCard, words, all) {
				list = append(list, FoundMember{groupID, id, m.nameCard})
			}
		}
	}
	return list
}

package imtest

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// State has all data of an app, for comparison with a backend's state. Lists are in a
// fixed order.
type State struct {
	SDKAppID      uint32              `json:"sdkAppId"`
	Now           time.Time           `json:"now"`
	Users         []UserState         `json:"users"`
	Groups        []GroupState        `json:"groups"`
	Conversations []ConversationState `json:"conversations"`
	Callbacks     map[string]int      `json:"callbacks"` // how often each was sent
}

// UserState is one account.
type UserState struct {
	UserID    string         `json:"userId"`
	Robot     bool           `json:"robot,omitempty"`
	Deleted   bool           `json:"deleted,omitempty"`
	Platforms []string       `json:"platforms,omitempty"` // logged in
	Silent    []string       `json:"silent,omitempty"`    // of these, without heartbeat
	Profile   map[string]any `json:"profile,omitempty"`   // by tag
	Friends   []string       `json:"friends,omitempty"`
	Blocked   []string       `json:"blocked,omitempty"`
	Tags      []string       `json:"tags,omitempty"`
	Seen      int            `json:"seen"` // messages that reached a device; see App.Seen
	// Status is the user's status text.
	Status string `json:"status,omitempty"`
	// Settings are the user's settings of conversations, by the client SDK's ids: C2C
	// and the other user's UserID, or GROUP and the GroupID.
	Settings map[string]ConversationSetting `json:"settings,omitempty"`
}

// GroupState is one group.
type GroupState struct {
	GroupID      string               `json:"groupId"`
	Type         string               `json:"type"`
	Name         string               `json:"name"`
	Introduction string               `json:"introduction,omitempty"`
	Notification string               `json:"notification,omitempty"`
	Owner        string               `json:"owner,omitempty"`
	MuteAll      bool                 `json:"muteAll,omitempty"`
	Members      []MemberState        `json:"members"` // of an AVChatRoom: those present
	Muted        map[string]time.Time `json:"muted,omitempty"`
	Banned       map[string]time.Time `json:"banned,omitempty"`
	Data         map[string]string    `json:"data,omitempty"` // AppDefinedData
	Attributes   map[string]string    `json:"attributes,omitempty"`
	Counters     map[string]int64     `json:"counters,omitempty"`
	Topics       []TopicState         `json:"topics,omitempty"`
	Messages     []Message            `json:"messages"`
	Pinned       []uint32             `json:"pinned,omitempty"` // MsgSeq of messages at the top
	Shed         []ShedMessage        `json:"shed,omitempty"`
}

// ShedMessage is a message that an AVChatRoom dropped for its rate: the sender saw
// success, nobody received it.
type ShedMessage struct {
	Message
	By uint32 `json:"by"` // MsgSeq of the message that exceeded the rate; may be this one
}

// MemberState is one member of a group.
type MemberState struct {
	UserID   string    `json:"userId"`
	Role     string    `json:"role,omitempty"`
	NameCard string    `json:"nameCard,omitempty"`
	Joined   time.Time `json:"joined"`
	Offline  bool      `json:"offline,omitempty"` // in an AVChatRoom, without heartbeat
	ReadSeq  uint32    `json:"readSeq,omitempty"` // MsgSeq of the last message the member has read
	Marks    []int     `json:"marks,omitempty"`   // in an AVChatRoom
}

// TopicState is one topic of a community.
type TopicState struct {
	TopicID  string               `json:"topicId"`
	Name     string               `json:"name"`
	Custom   string               `json:"custom,omitempty"`
	MuteAll  bool                 `json:"muteAll,omitempty"`
	Muted    map[string]time.Time `json:"muted,omitempty"`
	Read     map[string]uint32    `json:"read,omitempty"` // MsgSeq of the last message that each member has read
	Messages []Message            `json:"messages"`
}

// ConversationState has the messages between two users.
type ConversationState struct {
	Users    [2]string `json:"users"`
	Messages []Message `json:"messages"`
}

// Group returns a group of the state, or the zero value if it does not exist.
func (s State) Group(id string) GroupState {
	for _, g := range s.Groups {
		if g.GroupID == id {
			return g
		}
	}
	return GroupState{}
}

// User returns an account of the state, or the zero value if it does not exist.
func (s State) User(id string) UserState {
	for _, u := range s.Users {
		if u.UserID == id {
			return u
		}
	}
	return UserState{}
}

// State returns a copy of all data of the app.
func (a *App) State() State {
	a.post.mu.Lock()
	s := State{SDKAppID: a.conf.SDKAppID, Now: a.clock.Now(), Callbacks: maps.Clone(a.post.byName)}
	a.post.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range sortedKeys(a.accounts) {
		s.Users = append(s.Users, a.accounts[id].state())
	}
	for _, id := range sortedKeys(a.groups) {
		s.Groups = append(s.Groups, a.groups[id].state())
	}
	for _, id := range sortedKeys(a.conversations) {
		x, y, _ := strings.Cut(id, "\x00")
		if len(a.conversations[id].history) == 0 {
			continue
		}
		c := ConversationState{Users: [2]string{x, y}}
		for _, m := range a.conversations[id].history {
			c.Messages = append(c.Messages, *m.Message)
		}
		s.Conversations = append(s.Conversations, c)
	}
	return s
}

func (u *account) state() UserState {
	s := UserState{
		UserID: u.id, Robot: u.robot, Deleted: u.deleted, Profile: maps.Clone(u.profile), Friends: sortedKeys(u.friends),
		Blocked: sortedKeys(u.blocked), Tags: slices.Clone(u.tags), Seen: len(u.seen),
		Status: u.customStatus,
	}
	for _, key := range sortedKeys(u.settings) {
		if s.Settings == nil {
			s.Settings = make(map[string]ConversationSetting)
		}
		peer, group, _ := strings.Cut(key, "\x00")
		name := "C2C" + peer
		if group != "" {
			name = "GROUP" + group
		}
		setting := u.settings[key]
		setting.Marks, setting.Groups = slices.Clone(setting.Marks), slices.Clone(setting.Groups)
		s.Settings[name] = setting
	}
	for _, c := range u.devices {
		s.Platforms = append(s.Platforms, c.platform)
		if c.dark {
			s.Silent = append(s.Silent, c.platform)
		}
	}
	return s
}

func (g *group) state() GroupState {
	s := GroupState{
		GroupID: g.id, Type: g.kind, Name: g.name, Introduction: g.intro, Notification: g.notice, Owner: g.owner,
		MuteAll: g.muteAll, Muted: maps.Clone(g.muted), Banned: maps.Clone(g.banned), Data: maps.Clone(g.data),
		Attributes: maps.Clone(g.attributes), Counters: maps.Clone(g.counters), Messages: g.line.messages(), Shed: slices.Clone(g.shed),
	}
	for _, id := range g.joinOrder {
		if p := g.online[id]; p != nil {
			s.Members = append(s.Members, MemberState{UserID: id, Joined: p.joined, Offline: p.offline, Marks: slices.Clone(p.marks)})
		} else if m := g.members[id]; m != nil {
			s.Members = append(s.Members, MemberState{UserID: id, Role: m.role, NameCard: m.nameCard, Joined: m.joined, ReadSeq: m.readSeq})
		}
	}
	for _, p := range g.pinned {
		s.Pinned = append(s.Pinned, p.seq)
	}
	for _, id := range g.topicOrder {
		t := g.topics[id]
		read := make(map[string]uint32)
		for userID, m := range g.members {
			if seq := m.topicRead[id]; seq > 0 {
				read[userID] = seq
			}
		}
		s.Topics = append(s.Topics, TopicState{
			TopicID: id, Name: t.name, Custom: t.custom, MuteAll: t.muteAll, Muted: maps.Clone(t.muted), Read: read, Messages: t.line.messages(),
		})
	}
	return s
}

func (l *line) messages() []Message {
	list := make([]Message, len(l.history))
	for i, m := range l.history {
		list[i] = *m
	}
	return list
}

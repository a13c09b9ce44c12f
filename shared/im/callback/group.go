package callback

import "github.com/backchannel-im/backchannel/shared/im"

// Member is a user within a list.
type Member struct {
	UserID string `json:"Member_Account"`
}

// UserIDs returns the users of a list.
func UserIDs(members []Member) []string {
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = m.UserID
	}
	return ids
}

// Defined is a custom field of a group.
type Defined struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

// GroupBeforeCreate asks whether a group may be made. It has no id yet.
// Group.CallbackBeforeCreateGroup (1047/34368).
type GroupBeforeCreate struct {
	Base
	Operator       string       `json:"Operator_Account"`
	Owner          string       `json:"Owner_Account"`
	Type           im.GroupType `json:"Type"`
	Name           string       `json:"Name"`
	CreateGroupNum *int         `json:"CreateGroupNum,omitempty"` // older apps only
	MemberList     []Member     `json:"MemberList"`
	EventTime      Millis       `json:"EventTime,omitempty"`
}

func (*GroupBeforeCreate) asks(EntryVerdict) {}

// GroupAfterCreate tells of a new group. Group.CallbackAfterCreateGroup
// (1047/34369). Its identity is GroupID and EventTime, since an id may be used
// again.
type GroupAfterCreate struct {
	Base
	GroupID     string       `json:"GroupId"`
	Operator    string       `json:"Operator_Account"`
	Owner       string       `json:"Owner_Account"`
	Type        im.GroupType `json:"Type"`
	Name        string       `json:"Name"`
	MemberList  []Member     `json:"MemberList"`
	UserDefined []Defined    `json:"UserDefinedDataList,omitempty"`
	EventTime   Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterCreate) happened() {}

// GroupBeforeApplyJoin asks whether a client may apply to join, before any
// admin's approval. Group.CallbackBeforeApplyJoinGroup (1047/34370).
type GroupBeforeApplyJoin struct {
	Base
	GroupID   string       `json:"GroupId"`
	Type      im.GroupType `json:"Type"`
	Requestor string       `json:"Requestor_Account"` // IM's spelling
	EventTime Millis       `json:"EventTime,omitempty"`
}

func (*GroupBeforeApplyJoin) asks(EntryVerdict) {}

// GroupBeforeInviteJoin asks whether users may be brought in, by a member's
// invitation or by REST. Group.CallbackBeforeInviteJoinGroup (1047/34371).
type GroupBeforeInviteJoin struct {
	Base
	GroupID      string       `json:"GroupId"`
	Type         im.GroupType `json:"Type"`
	Operator     string       `json:"Operator_Account"`
	Destinations []Member     `json:"DestinationMembers"`
	EventTime    Millis       `json:"EventTime,omitempty"`
}

func (*GroupBeforeInviteJoin) asks(InviteVerdict) {}

// GroupAfterNewMemberJoin tells who joined. Group.CallbackAfterNewMemberJoin
// (1047/34372). It carries no identity but GroupID, EventTime and its whole
// body; users may join again.
type GroupAfterNewMemberJoin struct {
	Base
	GroupID    string       `json:"GroupId"`
	Type       im.GroupType `json:"Type"`
	JoinType   string       `json:"JoinType"` // Apply or Invited
	Operator   string       `json:"Operator_Account"`
	NewMembers []Member     `json:"NewMemberList"`
	EventTime  Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterNewMemberJoin) happened() {}

// GroupAfterMemberExit tells who left; only ExitMembers says whom.
// Group.CallbackAfterMemberExit (1047/34373, 269/1668). A lost AVChatRoom
// connection comes as [GroupOnMemberStateChange] instead. It carries no
// identity but GroupID, EventTime and its whole body.
type GroupAfterMemberExit struct {
	Base
	GroupID     string       `json:"GroupId"`
	Type        im.GroupType `json:"Type"`
	ExitType    string       `json:"ExitType"` // Kicked or Quit
	Operator    string       `json:"Operator_Account"`
	ExitMembers []Member     `json:"ExitMemberList"`
	EventTime   Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterMemberExit) happened() {}

// GroupAfterFull tells that a join filled the group, and again of every join that
// failed because it is full. Group.CallbackAfterGroupFull (1047/34376). It repeats by
// design: a rule must act once per group.
type GroupAfterFull struct {
	Base
	GroupID   string `json:"GroupId"`
	EventTime Millis `json:"EventTime,omitempty"`
}

func (*GroupAfterFull) happened() {}

// GroupAfterDestroyed tells that a group is gone.
// Group.CallbackAfterGroupDestroyed (1047/34377). Its identity is GroupID and
// EventTime.
type GroupAfterDestroyed struct {
	Base
	GroupID    string       `json:"GroupId"`
	Type       im.GroupType `json:"Type"`
	Owner      string       `json:"Owner_Account"`
	Name       string       `json:"Name"`
	MemberList []Member     `json:"MemberList"`
	EventTime  Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterDestroyed) happened() {}

// GroupAfterInfoChanged tells what changed of a group's profile; what did not
// is nil. Group.CallbackAfterGroupInfoChanged (1047/34378). It carries no
// identity but GroupID, EventTime and its whole body.
type GroupAfterInfoChanged struct {
	Base
	GroupID      string       `json:"GroupId"`
	Type         im.GroupType `json:"Type"`
	Operator     string       `json:"Operator_Account"`
	Name         *string      `json:"Name,omitempty"`
	Introduction *string      `json:"Introduction,omitempty"`
	Notification *string      `json:"Notification,omitempty"`
	FaceURL      *string      `json:"FaceUrl,omitempty"`
	EventTime    Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterInfoChanged) happened() {}

// GroupOnMemberStateChange tells that members of an AVChatRoom came online or
// went offline there, over all their devices. Group.CallbackOnMemberStateChange
// (1047/48734, 269/76156). Its identity is all it carries, EventTime included
// where there is one.
type GroupOnMemberStateChange struct {
	Base
	GroupID    string   `json:"GroupId"`
	EventType  string   `json:"EventType"`  // Online or Offline
	EventCause string   `json:"EventCause"` // HeartbeatInterrupt, HeartbeatRecover, Join, Quit
	MemberList []Member `json:"MemberList"`
	EventTime  Millis   `json:"EventTime,omitempty"` // not in every app
}

func (*GroupOnMemberStateChange) happened() {}

// GroupAfterMemberFieldChanged tells that a member's role or name card changed.
// Group.CallbackAfterMemberFieldChanged (1047/60393). It carries no identity
// but GroupID, EventTime and its whole body.
type GroupAfterMemberFieldChanged struct {
	Base
	GroupID   string       `json:"GroupId"`
	Type      im.GroupType `json:"Type"`
	Operator  string       `json:"Operator_Account"`
	UserID    string       `json:"Member_Account"`
	Role      *string      `json:"Role,omitempty"` // Admin or Member
	NameCard  *string      `json:"NameCard,omitempty"`
	EventTime Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterMemberFieldChanged) happened() {}

// GroupAfterAttrChanged tells that a group's attributes changed.
// Group.CallbackAfterGroupAttrChanged (1047/60394). It carries no identity but
// GroupID, EventTime and its whole body.
type GroupAfterAttrChanged struct {
	Base
	GroupID    string       `json:"GroupId"`
	Type       im.GroupType `json:"Type"`
	Operator   string       `json:"Operator_Account"`
	OptionType string       `json:"OptionType"` // set, modify, clear or delete
	GroupAttr  []Attr       `json:"GroupAttr"`
	EventTime  Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterAttrChanged) happened() {}

// Attr is one attribute of a group; IM writes its names in lower case.
type Attr struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// GroupAfterChangeOwner tells that a group has another owner.
// Group.CallbackAfterChangeGroupOwner (1047/60396). It carries no identity but
// GroupID, EventTime and its whole body.
type GroupAfterChangeOwner struct {
	Base
	GroupID   string       `json:"GroupId"`
	Type      im.GroupType `json:"Type"`
	Operator  string       `json:"Operator_Account"`
	OldOwner  string       `json:"OldOwner_Account"`
	NewOwner  string       `json:"NewOwner_Account"`
	EventTime Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterChangeOwner) happened() {}

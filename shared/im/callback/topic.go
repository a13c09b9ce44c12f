package callback

import "github.com/backchannel-im/backchannel/shared/im"

// TopicBeforeCreate asks whether a topic may be made. It does not say in which
// community. Group.CallbackBeforeCreateTopic (1047/49463).
type TopicBeforeCreate struct {
	Base
	Operator string       `json:"Operator_Account"`
	Type     im.GroupType `json:"Type"`
	Name     string       `json:"Name"`
}

func (*TopicBeforeCreate) asks(EntryVerdict) {}

// TopicAfterCreate tells of a new topic. Group.CallbackAfterCreateTopic
// (1047/49464). Its identity is GroupID and TopicID.
type TopicAfterCreate struct {
	Base
	GroupID     string       `json:"GroupId"`
	TopicID     string       `json:"TopicId"`
	Operator    string       `json:"Operator_Account"`
	Owner       string       `json:"Owner_Account"`
	Type        im.GroupType `json:"Type"`
	Name        string       `json:"Name"`
	UserDefined []Defined    `json:"UserDefinedDataList,omitempty"`
}

func (*TopicAfterCreate) happened() {}

// TopicAfterDestroyed tells that topics are gone.
// Group.CallbackAfterTopicDestroyed (1047/49465). Its identity is GroupID and
// each TopicID.
type TopicAfterDestroyed struct {
	Base
	GroupID  string       `json:"GroupId"`
	Type     im.GroupType `json:"Type"`
	TopicIDs []string     `json:"TopicIdList"`
}

func (*TopicAfterDestroyed) happened() {}

// TopicAfterInfoChanged tells what changed of a topic's profile; the documented
// fields do not say of which topic. Group.CallbackAfterTopicInfoChanged
// (1047/49466). It carries no identity.
type TopicAfterInfoChanged struct {
	Base
	GroupID      string       `json:"GroupId"`
	Type         im.GroupType `json:"Type"`
	Operator     string       `json:"Operator_Account"`
	Name         *string      `json:"Name,omitempty"`
	Introduction *string      `json:"Introduction,omitempty"`
	Notification *string      `json:"Notification,omitempty"`
	FaceURL      *string      `json:"FaceUrl,omitempty"`
}

func (*TopicAfterInfoChanged) happened() {}

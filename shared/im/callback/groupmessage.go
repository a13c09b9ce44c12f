package callback

import "github.com/backchannel-im/backchannel/shared/im"

// GroupBeforeSendMsg asks whether a group message of a client or of REST may be
// delivered. It has neither MsgSeq nor MsgTime, which are given out later.
// Group.CallbackBeforeSendMsg (1047/34374, 269/1619).
type GroupBeforeSendMsg struct {
	Base
	GroupID         string       `json:"GroupId"`
	Type            im.GroupType `json:"Type"`
	From            string       `json:"From_Account"`
	Operator        string       `json:"Operator_Account"`
	Random          uint32       `json:"Random"`
	MsgID           string       `json:"MsgId,omitempty"`
	OnlineOnlyFlag  int          `json:"OnlineOnlyFlag"`        // always 0 for an AVChatRoom
	MsgPriority     string       `json:"MsgPriority,omitempty"` // undocumented, seen in captures
	MsgBody         im.MsgBody   `json:"MsgBody"`
	CloudCustomData string       `json:"CloudCustomData,omitempty"`
	TopicID         string       `json:"TopicId,omitempty"` // of a community's topic
	EventTime       Millis       `json:"EventTime,omitempty"`
}

func (*GroupBeforeSendMsg) asks(GroupVerdict) {}

func (e *GroupBeforeSendMsg) rewritten(o *outcome) Event {
	is := *e
	if o.body != nil {
		is.MsgBody = o.body
	}
	if o.custom != nil {
		is.CloudCustomData = *o.custom
	}
	return &is
}

// GroupAfterSendMsg tells of a delivered group message; one that IM shed never
// comes. Group.CallbackAfterSendMsg (1047/34375, 269/2661). Its identity is
// GroupID, TopicID and MsgSeq.
type GroupAfterSendMsg struct {
	Base
	GroupID         string       `json:"GroupId"`
	Type            im.GroupType `json:"Type"`
	From            string       `json:"From_Account"` // im.NotFoundSender for a REST send without one
	Operator        string       `json:"Operator_Account"`
	Random          uint32       `json:"Random"`
	MsgSeq          uint32       `json:"MsgSeq"`
	MsgTime         Seconds      `json:"MsgTime"`
	MsgID           string       `json:"MsgId,omitempty"`
	OnlineOnlyFlag  int          `json:"OnlineOnlyFlag"`
	MsgPriority     string       `json:"MsgPriority,omitempty"`
	MsgBody         im.MsgBody   `json:"MsgBody"`
	CloudCustomData string       `json:"CloudCustomData,omitempty"`
	TopicID         string       `json:"TopicId,omitempty"`
	GroupAtInfo     []Mention    `json:"GroupAtInfo,omitempty"` // at most 30
	EventTime       Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterSendMsg) happened() {}

// Mention is one user, or everybody, that a group message addresses.
type Mention struct {
	AllFlag int    `json:"GroupAtAllFlag"` // 1: everybody
	UserID  string `json:"GroupAt_Account,omitempty"`
}

// GroupSendMsgException tells of a group message that could not be sent, and
// why. Group.CallbackSendMsgException (1047/49462). Its query names no client.
// Its identity is GroupID, From, Random and ErrorCode.
type GroupSendMsgException struct {
	Base
	GroupID         string       `json:"GroupId"`
	Type            im.GroupType `json:"Type"`
	From            string       `json:"From_Account"`
	Operator        string       `json:"Operator_Account"`
	Random          uint32       `json:"Random"`
	OnlineOnlyFlag  int          `json:"OnlineOnlyFlag"`
	MsgBody         im.MsgBody   `json:"MsgBody"`
	CloudCustomData string       `json:"CloudCustomData,omitempty"`
	TopicID         string       `json:"TopicId,omitempty"`
	ErrorCode       int          `json:"ErrorCode"`
	ErrorInfo       string       `json:"ErrorInfo"`
	EventTime       Millis       `json:"EventTime,omitempty"`
}

func (*GroupSendMsgException) happened() {}

// GroupAfterRecallMsg tells that group messages were recalled.
// Group.CallbackAfterRecallMsg (1047/46979). Its identity is GroupID, TopicID
// and each MsgSeq.
type GroupAfterRecallMsg struct {
	Base
	Operator   string       `json:"Operator_Account"`
	Type       im.GroupType `json:"Type"`
	GroupID    string       `json:"GroupId"`
	MsgSeqList []MsgSeq     `json:"MsgSeqList"`
	TopicID    string       `json:"TopicId,omitempty"`
	EventTime  Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterRecallMsg) happened() {}

// MsgSeq is a message's number within a list of objects.
type MsgSeq struct {
	MsgSeq uint32 `json:"MsgSeq"`
}

// GroupAfterReadReceipt tells who has read messages that asked for a receipt;
// it also comes when such a message is sent. Group.CallbackAfterReadReceipt
// (1047/60395). It is no single event: for each GroupID and MsgSeq, the
// greatest ReadNum and all members ever named count.
type GroupAfterReadReceipt struct {
	Base
	GroupID   string       `json:"GroupId"`
	Type      im.GroupType `json:"Type"`
	Receipts  []Receipt    `json:"GroupMsgReceiptList"`
	EventTime Millis       `json:"EventTime,omitempty"`
}

func (*GroupAfterReadReceipt) happened() {}

// Receipt counts the readers of one message.
type Receipt struct {
	MsgSeq    uint32   `json:"MsgSeq"`
	ReadNum   int      `json:"ReadNum"`
	UnreadNum int      `json:"UnreadNum"`
	Members   []Member `json:"ReadReceiptMembers"`
}

// GroupAfterMsgExtension tells that a group message's extensions changed.
// Group.CallbackAfterGroupMsgExtension (1047/76007). Its identity is GroupID,
// MsgSeq and Seq; only a newer Seq counts.
type GroupAfterMsgExtension struct {
	Base
	GroupID       string      `json:"GroupId"`
	MsgSeq        uint32      `json:"MsgSeq"`
	OperateType   int         `json:"OperateType"` // 1 set, 2 delete, 3 clear
	ExtensionList []Extension `json:"ExtensionList"`
	Seq           uint64      `json:"Seq"`
	EventTime     Millis      `json:"EventTime,omitempty"`
}

func (*GroupAfterMsgExtension) happened() {}

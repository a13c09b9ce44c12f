package callback

import "github.com/backchannel-im/backchannel/shared/im"

// C2CBeforeSendMsg asks whether a one-to-one message of a client, or of REST's
// sendmsg, may be delivered. C2C.CallbackBeforeSendMsg (1047/34364, 269/1632).
type C2CBeforeSendMsg struct {
	Base
	From            string     `json:"From_Account"`
	To              string     `json:"To_Account"`
	MsgSeq          uint32     `json:"MsgSeq"`
	MsgRandom       uint32     `json:"MsgRandom"`
	MsgTime         Seconds    `json:"MsgTime"`
	MsgKey          string     `json:"MsgKey"` // MsgSeq_MsgRandom_MsgTime; the client chooses its parts
	MsgID           string     `json:"MsgId,omitempty"`
	OnlineOnlyFlag  int        `json:"OnlineOnlyFlag"`
	MsgBody         im.MsgBody `json:"MsgBody"`
	CloudCustomData string     `json:"CloudCustomData,omitempty"`
	EventTime       Millis     `json:"EventTime,omitempty"`
}

func (*C2CBeforeSendMsg) asks(C2CVerdict) {}

func (e *C2CBeforeSendMsg) rewrite(body im.MsgBody, custom *string) {
	if body != nil {
		e.MsgBody = body
	}
	if custom != nil {
		e.CloudCustomData = *custom
	}
}

// C2CAfterSendMsg tells of a one-to-one message, also of one whose delivery
// failed: look at SendMsgResult. C2C.CallbackAfterSendMsg (1047/34365,
// 269/2716). Its identity is From, To and MsgKey.
type C2CAfterSendMsg struct {
	Base
	From            string     `json:"From_Account"`
	To              string     `json:"To_Account"`
	MsgSeq          uint32     `json:"MsgSeq"`
	MsgRandom       uint32     `json:"MsgRandom"`
	MsgTime         Seconds    `json:"MsgTime"`
	MsgKey          string     `json:"MsgKey"`
	MsgID           string     `json:"MsgId,omitempty"`
	OnlineOnlyFlag  int        `json:"OnlineOnlyFlag"`
	SendMsgResult   int        `json:"SendMsgResult"` // 0: delivered
	ErrorInfo       string     `json:"ErrorInfo"`
	UnreadMsgNum    *int       `json:"UnreadMsgNum,omitempty"` // older apps only; -1 on failure
	MsgBody         im.MsgBody `json:"MsgBody"`
	CloudCustomData string     `json:"CloudCustomData,omitempty"`
	EventTime       Millis     `json:"EventTime,omitempty"`
}

func (*C2CAfterSendMsg) happened() {}

// C2CAfterMsgReport tells that a user has read everything of a peer up to a
// time. C2C.CallbackAfterMsgReport (1047/43465).
type C2CAfterMsgReport struct {
	Base
	Reporter     string  `json:"Report_Account"`
	Peer         string  `json:"Peer_Account"`
	LastReadTime Seconds `json:"LastReadTime"`
	UnreadMsgNum int     `json:"UnreadMsgNum"`
	EventTime    Millis  `json:"EventTime,omitempty"`
}

func (*C2CAfterMsgReport) happened() {}

// C2CAfterMsgWithDraw tells that a user or an admin recalled a message.
// C2C.CallbackAfterMsgWithDraw (1047/43466).
type C2CAfterMsgWithDraw struct {
	Base
	From         string `json:"From_Account"`
	To           string `json:"To_Account"`
	MsgKey       string `json:"MsgKey"`
	UnreadMsgNum *int   `json:"UnreadMsgNum,omitempty"`
	EventTime    Millis `json:"EventTime,omitempty"`
}

func (*C2CAfterMsgWithDraw) happened() {}

// C2CAfterMsgExtension tells that a message's extensions changed.
// C2C.CallbackAfterC2CMsgExtension (1047/76006).
type C2CAfterMsgExtension struct {
	Base
	From          string      `json:"From_Account"`
	To            string      `json:"To_Account"`
	MsgKey        string      `json:"MsgKey"`
	OperateType   int         `json:"OperateType"` // 1 set, 2 delete, 3 clear
	ExtensionList []Extension `json:"ExtensionList"`
	Seq           uint64      `json:"Seq"` // version: apply only a newer one
	EventTime     Millis      `json:"EventTime,omitempty"`
}

func (*C2CAfterMsgExtension) happened() {}

// Extension is one key of a message's extensions.
type Extension struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
	Seq   uint64 `json:"Seq"`
}

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

func (e *GroupBeforeSendMsg) rewrite(body im.MsgBody, custom *string) {
	if body != nil {
		e.MsgBody = body
	}
	if custom != nil {
		e.CloudCustomData = *custom
	}
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
// Group.CallbackAfterRecallMsg (1047/46979).
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
// (1047/60395).
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
// Group.CallbackAfterGroupMsgExtension (1047/76007).
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

// BotOnC2CMessage tells that a user wrote to a robot. Bot.OnC2CMessage
// (1047/68952). The same message also comes as C2C.CallbackAfterSendMsg if that
// is switched on.
type BotOnC2CMessage struct {
	Base
	From            string     `json:"From_Account"`
	To              string     `json:"To_Account"` // the robot, @RBT#...
	MsgSeq          uint32     `json:"MsgSeq"`
	MsgRandom       uint32     `json:"MsgRandom"`
	MsgTime         Seconds    `json:"MsgTime"`
	MsgKey          string     `json:"MsgKey"`
	OnlineOnlyFlag  int        `json:"OnlineOnlyFlag"`
	SendMsgResult   int        `json:"SendMsgResult"`
	ErrorInfo       string     `json:"ErrorInfo"`
	MsgBody         im.MsgBody `json:"MsgBody"`
	CloudCustomData string     `json:"CloudCustomData,omitempty"`
	EventTime       Millis     `json:"EventTime,omitempty"`
}

func (*BotOnC2CMessage) happened() {}

// BotOnGroupMessage tells that robots were mentioned by name in a group;
// mentioning everybody mentions no robot. Bot.OnGroupMessage (1047/68953,
// 269/89994).
type BotOnGroupMessage struct {
	Base
	GroupID         string       `json:"GroupId"`
	Type            im.GroupType `json:"Type"`
	From            string       `json:"From_Account"`
	Operator        string       `json:"Operator_Account"`
	Random          uint32       `json:"Random"`
	MsgSeq          uint32       `json:"MsgSeq"`
	MsgTime         Seconds      `json:"MsgTime"`
	OnlineOnlyFlag  int          `json:"OnlineOnlyFlag"`
	MsgBody         im.MsgBody   `json:"MsgBody"`
	AtRobots        []string     `json:"AtRobots_Account"`
	CloudCustomData string       `json:"CloudCustomData,omitempty"`
	TopicID         string       `json:"TopicId,omitempty"`
	EventTime       Millis       `json:"EventTime,omitempty"`
}

func (*BotOnGroupMessage) happened() {}

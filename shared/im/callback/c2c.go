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

func (e *C2CBeforeSendMsg) rewritten(o *outcome) Event {
	is := *e
	if o.body != nil {
		is.MsgBody = o.body
	}
	if o.custom != nil {
		is.CloudCustomData = *o.custom
	}
	return &is
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
// time. C2C.CallbackAfterMsgReport (1047/43465). It is no single event: of what
// two users report, the latest LastReadTime counts.
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
// C2C.CallbackAfterMsgWithDraw (1047/43466). Its identity is From, To and
// MsgKey.
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
// C2C.CallbackAfterC2CMsgExtension (1047/76006). Its identity is From, To,
// MsgKey and Seq; only a newer Seq counts.
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

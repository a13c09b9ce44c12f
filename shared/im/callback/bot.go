package callback

import "github.com/backchannel-im/backchannel/shared/im"

// BotOnC2CMessage tells that a user wrote to a robot. Bot.OnC2CMessage
// (1047/68952). The same message also comes as C2C.CallbackAfterSendMsg if that
// is switched on. Its identity is From, To and MsgKey, apart from those.
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
// 269/89994). Its identity is GroupID, TopicID and MsgSeq, apart from that of
// Group.CallbackAfterSendMsg.
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

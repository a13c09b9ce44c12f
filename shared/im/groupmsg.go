package im

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Group messages (269/1629, 1047/34965, 269/74741, 1047/34958, 269/77402).

// Limits of group messages.
const (
	maxMentions     = 30
	maxDirected     = 50
	recallsPerCall  = 10
	maxRecallReason = 100 // bytes
	historyPerCall  = 20
)

var (
	// groupPace bounds the messages to one group, of all senders together.
	groupPace = allowance{40, time.Second}
	// broadcastPace is that of the smaller edition with broadcasts (269/77402).
	broadcastPace = allowance{1, time.Second}
)

var (
	sendGroupMsg           = method{path: "group_open_http_svc/send_group_msg", repeat: numbered}
	groupMsgRecall         = method{path: "group_open_http_svc/group_msg_recall", repeat: harmless}
	modifyGroupMsg         = method{path: "openim/modify_group_msg", repeat: harmless} // openim, unlike its siblings
	deleteGroupMsgBySender = method{path: "group_open_http_svc/delete_group_msg_by_sender", repeat: harmless}
	groupMsgGetSimple      = method{path: "group_open_http_svc/group_msg_get_simple", repeat: harmless}
	sendBroadcastMsg       = method{path: "group_open_http_svc/send_broadcast_msg", repeat: numbered, rate: broadcastPace}
)

// MsgPriority decides which messages a group drops first when it gets more than 40
// a second.
type MsgPriority string

// The priorities. The send's pages list these three.
const (
	High   MsgPriority = "High"
	Normal MsgPriority = "Normal" // the default
	Low    MsgPriority = "Low"    // dropped first
)

// GroupMsg is a message to a group. GroupID, Random and Body are required.
type GroupMsg struct {
	GroupID string
	TopicID string // of a community
	From    string // need not be a member; "" shows no sender
	// Random is IM's idempotency key, together with sender and content, for 5
	// minutes. Take it from Numbers.
	Random          uint32
	Priority        MsgPriority
	Body            MsgBody
	CloudCustomData string // with Body at most 12 KB

	// Push is what offline receivers' phones show; nil: nothing.
	Push *OfflinePushInfo
	// AfterCallback lets IM call back after the send, for what must be counted
	// or archived. The before-callback never sees sends of ours.
	AfterCallback bool
	// OnlineOnly keeps it out of the history; no effect in an AVChatRoom.
	OnlineOnly bool
	// To are the only members to see it, at most 50; not in AVChatRooms and
	// communities, and not in every edition.
	To []string
	// At are mentioned, at most 30 together with AtAll.
	At    []string
	AtAll bool

	Control                 []SendMsgControl // not in an AVChatRoom, not with OnlineOnly
	NeedReadReceipt         bool
	SupportMessageExtension bool // receivers may add to it
}

// mention is how IM reads one.
type mention struct {
	All    int    `json:"GroupAtAllFlag"`
	UserID string `json:"GroupAt_Account,omitempty"`
}

func (m GroupMsg) mentions() []mention {
	var list []mention
	if m.AtAll {
		list = append(list, mention{All: 1})
	}
	for _, id := range m.At {
		list = append(list, mention{UserID: id})
	}
	return list
}

func (m GroupMsg) check() error {
	return cmp.Or(
		neededGroup(m.GroupID), atMost("From_Account", m.From, MaxUserID), number("Random", m.Random),
		fewer("To_Account", m.To, maxDirected), checkMessage(m.Body, m.CloudCustomData),
	)
}

// GroupSent is a message that IM accepted.
type GroupSent struct {
	MsgTime int64  // Unix seconds
	MsgSeq  uint32 // its place in the group or topic
}

// SendGroupMsg sends a message to a group, within 40 a second for that group.
// After a transient failure the client retries with the same Random, by which IM
// deduplicates, for 90 s at most; a message that must be sent exactly once across
// calls goes through package once. Success is not delivery: over 40 messages a
// second an AVChatRoom drops those of lower priority.
//
// CodeGroupGone, CodeGroupMuted, CodeMemberUnknown (the sender), CodeNotAllowed
// (a directed message in this type or edition), CodeGroupOverRate after all
// tries (269/1629).
func (c *Client) SendGroupMsg(ctx context.Context, m GroupMsg) (GroupSent, error) {
	mentions := m.mentions()
	if err := cmp.Or(m.check(), fewer("GroupAtInfo", mentions, maxMentions)); err != nil {
		return GroupSent{}, err
	}
	in := struct {
		GroupID                 string           `json:"GroupId"`
		TopicID                 string           `json:"TopicId,omitempty"`
		From                    string           `json:"From_Account,omitempty"`
		To                      []string         `json:"To_Account,omitempty"`
		Random                  uint32           `json:"Random"`
		MsgPriority             MsgPriority      `json:"MsgPriority,omitempty"`
		OnlineOnlyFlag          int              `json:"OnlineOnlyFlag,omitempty"`
		ForbidCallbackControl   []string         `json:"ForbidCallbackControl"`
		SendMsgControl          []SendMsgControl `json:"SendMsgControl,omitempty"`
		GroupAtInfo             []mention        `json:"GroupAtInfo,omitempty"`
		MsgBody                 MsgBody          `json:"MsgBody"`
		CloudCustomData         string           `json:"CloudCustomData,omitempty"`
		OfflinePushInfo         offlinePush      `json:"OfflinePushInfo"`
		NeedReadReceipt         int              `json:"NeedReadReceipt,omitempty"`
		SupportMessageExtension int              `json:"SupportMessageExtension,omitempty"`
	}{
		m.GroupID, m.TopicID, m.From, m.To, m.Random, m.Priority, flag(m.OnlineOnly), forbidden(m.AfterCallback), m.Control,
		mentions, m.Body, m.CloudCustomData, pushOf(m.Push), flag(m.NeedReadReceipt), flag(m.SupportMessageExtension),
	}
	var out struct {
		envelope
		GroupSent
	}
	err := c.call(ctx, sendGroupMsg, in, &out, turn{limited{"group messages", m.GroupID}, groupPace, 1})
	return out.GroupSent, err
}

// groupLine names a group, or one topic of a community.
type groupLine struct {
	GroupID string `json:"GroupId"`
	TopicID string `json:"TopicId,omitempty"`
}

// Recall is the result of recalling one message; CodeNoMessage if there is no such
// message.
type Recall struct {
	MsgSeq uint32
	Code   Code
}

// RecallGroupMsgs recalls messages, 10 in a call, with a reason of at most 100 bytes
// that clients may show. With an error, the results are those of the first
// messages. In an AVChatRoom a message can be recalled for an hour after it was
// sent, then CodeRecallTooLate (1047/34965, 269/12341).
func (c *Client) RecallGroupMsgs(ctx context.Context, groupID, topicID, reason string, seqs []uint32) ([]Recall, error) {
	if err := cmp.Or(neededGroup(groupID), atMost("Reason", reason, maxRecallReason)); err != nil {
		return nil, err
	}
	type msgSeq struct{ MsgSeq uint32 }
	return inChunks(seqs, recallsPerCall, func(seqs []uint32) ([]Recall, error) {
		in := struct {
			groupLine
			MsgSeqList []msgSeq
			Reason     string `json:",omitempty"`
		}{groupLine{groupID, topicID}, nil, reason}
		for _, seq := range seqs {
			in.MsgSeqList = append(in.MsgSeqList, msgSeq{seq})
		}
		var out struct {
			envelope
			RecallRetList []struct {
				MsgSeq  uint32
				RetCode Code
			}
		}
		err := c.call(ctx, groupMsgRecall, in, &out)
		recalls := make([]Recall, len(out.RecallRetList))
		for i, item := range out.RecallRetList {
			recalls[i] = Recall{item.MsgSeq, item.RetCode}
		}
		return recalls, err
	})
}

// ModifyGroupMsg changes a sent message for everybody; there is no way back. IM
// refuses it in AVChatRooms: CodeNotAllowed (269/74741).
func (c *Client) ModifyGroupMsg(ctx context.Context, groupID, topicID string, seq uint32, m Modification) error {
	w, err := m.wire()
	if err := cmp.Or(neededGroup(groupID), err); err != nil {
		return err
	}
	return c.call(ctx, modifyGroupMsg, struct {
		groupLine
		MsgSeq uint32
		modifyWire
	}{groupLine{groupID, topicID}, seq, w}, nil)
}

// DeleteGroupMsgsBySender deletes a member's messages among the last 1000 of a
// group's history. IM notifies nobody (1047/48193).
func (c *Client) DeleteGroupMsgsBySender(ctx context.Context, groupID, topicID, sender string) error {
	if err := cmp.Or(neededGroup(groupID), neededUser("Sender_Account", sender)); err != nil {
		return err
	}
	return c.call(ctx, deleteGroupMsgBySender, struct {
		groupLine
		Sender string `json:"Sender_Account"`
	}{groupLine{groupID, topicID}, sender}, nil)
}

// GroupHistoryQuery asks for a group's messages.
type GroupHistoryQuery struct {
	GroupID      string
	TopicID      string
	Limit        int    // at most 20; 0 means 20
	Newest       uint32 // MsgSeq of the newest message wanted; 0: the last one there is
	WithRecalled bool   // bodies of recalled messages too
}

// GroupHistoryMsg is a message of a group's history.
type GroupHistoryMsg struct {
	From            string  `json:"From_Account"`
	Placeholder     int     `json:"IsPlaceMsg"`  // not 0: deleted, expired or recalled, and mostly without a body
	Priority        int     `json:"MsgPriority"` // 1 is the highest, 4 the lowest
	MsgSeq          uint32  `json:"MsgSeq"`
	MsgRandom       uint32  `json:"MsgRandom"`
	MsgTime         int64   `json:"MsgTimeStamp"` // Unix seconds
	Body            MsgBody `json:"MsgBody"`
	CloudCustomData string  `json:"CloudCustomData"`
}

// GroupHistoryPage is a page of a group's history, the newest message first.
type GroupHistoryPage struct {
	Messages []GroupHistoryMsg
	Next     *GroupHistoryQuery // of the page before it in time; nil means no further page
}

// GroupHistory returns a page of a group's messages (group_msg_get_simple,
// 1047/34958). An AVChatRoom has none: CodeNotAllowed.
func (c *Client) GroupHistory(ctx context.Context, q GroupHistoryQuery) (GroupHistoryPage, error) {
	if q.Limit < 0 || q.Limit > historyPerCall {
		return GroupHistoryPage{}, &FieldError{"ReqMsgNumber", historyPerCall, fmt.Sprintf("is %d (at most %d)", q.Limit, historyPerCall)}
	}
	if err := neededGroup(q.GroupID); err != nil {
		return GroupHistoryPage{}, err
	}
	in := struct {
		groupLine
		ReqMsgNumber    int
		ReqMsgSeq       uint32 `json:",omitempty"`
		WithRecalledMsg int    `json:",omitempty"`
	}{groupLine{q.GroupID, q.TopicID}, cmp.Or(q.Limit, historyPerCall), q.Newest, flag(q.WithRecalled)}
	var out struct {
		envelope
		IsFinished int // 2: everything before has expired
		RspMsgList []GroupHistoryMsg
	}
	if err := c.call(ctx, groupMsgGetSimple, in, &out); err != nil {
		return GroupHistoryPage{}, err
	}
	page := GroupHistoryPage{Messages: out.RspMsgList}
	if len(page.Messages) > 0 && out.IsFinished != 2 {
		oldest := slices.MinFunc(page.Messages, func(a, b GroupHistoryMsg) int { return cmp.Compare(a.MsgSeq, b.MsgSeq) })
		if oldest.MsgSeq > 1 {
			q.Newest = oldest.MsgSeq - 1
			page.Next = &q
		}
	}
	return page, nil
}

// BroadcastMsg is a message to everybody in every AVChatRoom of the app.
type BroadcastMsg struct {
	From            string
	Random          uint32 // from Numbers
	Body            MsgBody
	CloudCustomData string // with Body at most 12 KB
}

// SendBroadcastMsg sends to all AVChatRooms at once, one message a second. It
// needs an edition and a console switch: CodeNotAllowed without. It returns the
// message's MsgSeq (269/77402).
func (c *Client) SendBroadcastMsg(ctx context.Context, m BroadcastMsg) (seq uint32, err error) {
	if err := cmp.Or(neededUser("From_Account", m.From), number("Random", m.Random), checkMessage(m.Body, m.CloudCustomData)); err != nil {
		return 0, err
	}
	in := struct {
		From            string  `json:"From_Account"`
		Random          uint32  `json:"Random"`
		MsgBody         MsgBody `json:"MsgBody"`
		CloudCustomData string  `json:"CloudCustomData,omitempty"`
	}{m.From, m.Random, m.Body, m.CloudCustomData}
	var out struct {
		envelope
		MsgSeq uint32
	}
	err = c.call(ctx, sendBroadcastMsg, in, &out)
	return out.MsgSeq, err
}

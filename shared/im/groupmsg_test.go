package im_test

import (
	"context"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

var shout = im.GroupMsg{GroupID: "team", From: "bob", Random: 8912345, Body: hi}

func sendShout(ctx context.Context, c *im.Client) (any, error) { return c.SendGroupMsg(ctx, shout) }

var groupMsgRows = []row{
	{
		command: "group_open_http_svc/send_group_msg", name: "plain", call: sendShout,
		want: im.GroupSent{MsgTime: 1572870301, MsgSeq: 1},
	},
	{
		command: "group_open_http_svc/send_group_msg", name: "full",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.SendGroupMsg(ctx, im.GroupMsg{
				GroupID: "@TGS#_c", TopicID: "@TGS#_c@TOPIC#_t", From: "bob", To: []string{"alice", "carol"}, Random: 1, Priority: im.High,
				OnlineOnly: true, AfterCallback: true, Control: []im.SendMsgControl{im.NoUnread}, AtAll: true, At: []string{"alice"},
				Body: gift, CloudCustomData: "c", Push: &im.OfflinePushInfo{Title: "t", Desc: "d", Ext: "{}"},
				NeedReadReceipt: true, SupportMessageExtension: true,
			})
		},
		want: im.GroupSent{MsgTime: 1, MsgSeq: 2},
	},
	{command: "group_open_http_svc/send_group_msg", name: "gone", call: sendShout, want: im.GroupSent{}, err: im.CodeGroupGone},
	{command: "group_open_http_svc/send_group_msg", name: "muted", call: sendShout, want: im.GroupSent{}, err: im.CodeGroupMuted},
	{command: "group_open_http_svc/send_group_msg", name: "unknown sender", call: sendShout, want: im.GroupSent{}, err: im.CodeMemberUnknown},
	{command: "group_open_http_svc/send_group_msg", name: "refused by our callback", call: sendShout, want: im.GroupSent{}, err: im.ClassGroup},
	{command: "group_open_http_svc/send_group_msg", name: "moderated", call: sendShout, want: im.GroupSent{}, err: im.ClassContent},
	{
		command: "group_open_http_svc/group_msg_recall", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.RecallGroupMsgs(ctx, "team", "t", "rude", []uint32{100, 101})
		},
		want: []im.Recall{{MsgSeq: 100, Code: im.CodeNoMessage}, {MsgSeq: 101}},
	},
	{
		command: "group_open_http_svc/group_msg_recall", name: "room", err: im.CodeNotAllowed,
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.RecallGroupMsgs(ctx, "live", "", "", []uint32{1})
		},
		want: []im.Recall(nil),
	},
	{
		command: "openim/modify_group_msg", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ModifyGroupMsg(ctx, "team", "", 123, im.Modification{Body: hi, CloudCustomData: text("c")}))
		},
	},
	{
		command: "openim/modify_group_msg", name: "topic",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ModifyGroupMsg(ctx, "team", "t", 123, im.Modification{Body: hi}))
		},
	},
	{
		command: "group_open_http_svc/delete_group_msg_by_sender", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.DeleteGroupMsgsBySender(ctx, "team", "", "bob"))
		},
	},
	{
		command: "group_open_http_svc/delete_group_msg_by_sender", name: "topic",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.DeleteGroupMsgsBySender(ctx, "team", "t", "bob"))
		},
	},
	{
		command: "group_open_http_svc/group_msg_get_simple", name: "two pages",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			var seqs []any
			q := &im.GroupHistoryQuery{GroupID: "team", Limit: 2}
			for q != nil {
				page, err := c.GroupHistory(ctx, *q)
				if err != nil {
					return nil, err
				}
				for _, m := range page.Messages {
					seqs = append(seqs, m.MsgSeq, m.MsgRandom, m.Placeholder, m.Body.PlainText())
				}
				q = page.Next
			}
			return seqs, nil
		},
		want: []any{
			uint32(3), uint32(7), 0, "hi <b>",
			uint32(2), uint32(7), 2, "hi <b>",
			uint32(1), uint32(7), 0, "hi <b>",
		},
	},
	{
		command: "group_open_http_svc/group_msg_get_simple", name: "topic",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.GroupHistory(ctx, im.GroupHistoryQuery{GroupID: "team", TopicID: "t", WithRecalled: true})
		},
		want: im.GroupHistoryPage{Messages: []im.GroupHistoryMsg{}},
	},
	{
		command: "group_open_http_svc/group_msg_get_simple", name: "expired",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			page, err := c.GroupHistory(ctx, im.GroupHistoryQuery{GroupID: "team", Newest: 9})
			return page.Next, err
		},
		want: (*im.GroupHistoryQuery)(nil),
	},
	{
		command: "group_open_http_svc/group_msg_get_simple", name: "room", err: im.CodeNotAllowed,
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.GroupHistory(ctx, im.GroupHistoryQuery{GroupID: "live"})
		},
		want: im.GroupHistoryPage{},
	},
	{
		command: "group_open_http_svc/send_broadcast_msg", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.SendBroadcastMsg(ctx, im.BroadcastMsg{From: "bob", Random: 5, Body: gift, CloudCustomData: "c"})
		},
		want: uint32(8),
	},
	{
		command: "group_open_http_svc/send_broadcast_msg", name: "edition", err: im.CodeNotAllowed,
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.SendBroadcastMsg(ctx, im.BroadcastMsg{From: "bob", Random: 5, Body: gift})
		},
		want: uint32(0),
	},
}

// Recalls go out ten at a time, and those before a failure are known.
func TestRecallsComeAsFarAsTheyCan(t *testing.T) {
	f := newFake(t, newClock())
	f.replies(reply{body: `{"ActionStatus":"OK","ErrorCode":0,"RecallRetList":[{"MsgSeq":1,"RetCode":0}]}`}, code(10010, "gone"))
	seqs := make([]uint32, 25)
	for i := range seqs {
		seqs[i] = uint32(i + 1)
	}
	got, err := f.client().RecallGroupMsgs(ctx(t), "team", "", "", seqs)
	only(t, err, im.CodeGroupGone)
	if sent := f.requests(); len(got) != 1 || len(sent) != 2 || strings.Count(sent[0].body, `"MsgSeq":`) != 10 {
		t.Errorf("%v after %d requests", got, len(sent))
	}
}

func TestGroupMessagesThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	c := f.client()
	for field, change := range map[string]func(*im.GroupMsg){
		"GroupId":      func(m *im.GroupMsg) { m.GroupID = strings.Repeat("x", 49) },
		"From_Account": func(m *im.GroupMsg) { m.From = strings.Repeat("x", 33) },
		"Random":       func(m *im.GroupMsg) { m.Random = 0 },
		"MsgBody":      func(m *im.GroupMsg) { m.Body = nil },
		"To_Account":   func(m *im.GroupMsg) { m.To = users(51) },
		"GroupAtInfo":  func(m *im.GroupMsg) { m.At, m.AtAll = users(30), true },
	} {
		m := shout
		change(&m)
		_, err := c.SendGroupMsg(ctx(t), m)
		refused(t, err, field)
	}
	_, err := c.GroupHistory(ctx(t), im.GroupHistoryQuery{GroupID: "team", Limit: 21})
	refused(t, err, "ReqMsgNumber")
	_, err = c.RecallGroupMsgs(ctx(t), "team", "", strings.Repeat("x", 101), []uint32{1})
	refused(t, err, "Reason")
	_, err = c.SendBroadcastMsg(ctx(t), im.BroadcastMsg{Random: 1, Body: hi})
	refused(t, err, "From_Account")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

package im_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

var (
	hi   = im.Text("hi <b>")
	gift = im.Custom(`{"type":1}`, "a gift", "e")
	note = im.C2CMsg{From: "bob", To: "alice", MsgSeq: 93847636, MsgRandom: 1287657, Body: hi}
)

func sendNote(ctx context.Context, c *im.Client) (any, error) { return c.SendMsg(ctx, note) }

func text(s string) *string { return &s }

var c2cRows = []row{
	{
		command: "openim/sendmsg", name: "plain", call: sendNote,
		want: im.C2CSent{MsgTime: 1572870301, MsgKey: "89541_2574206_1572870301", MsgID: "144115233775727695-1572870301-1287657"},
	},
	{
		command: "openim/sendmsg", name: "full",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.SendMsg(ctx, im.C2CMsg{
				From: "bob", To: "alice", MsgSeq: 1, MsgRandom: 2, Body: gift, CloudCustomData: "c",
				Push: &im.OfflinePushInfo{Title: "t", Desc: "d", Ext: "{}"}, AfterCallback: true, NotToSender: true, OnlineOnly: true,
				LifeTime: time.Minute, Control: []im.SendMsgControl{im.NoUnread, im.NoLastMsg, im.WithMuteNotifications},
				NeedReadReceipt: true, SupportMessageExtension: true,
			})
		},
		want: im.C2CSent{MsgTime: 1, MsgKey: "1_2_1"},
	},
	{
		command: "openim/sendmsg", name: "from the admin",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.SendMsg(ctx, im.C2CMsg{To: "alice", MsgSeq: 1, MsgRandom: 2, Body: hi, Push: &im.OfflinePushInfo{}})
		},
		want: im.C2CSent{MsgTime: 1, MsgKey: "1_2_1"},
	},
	{command: "openim/sendmsg", name: "unknown receiver", call: sendNote, want: im.C2CSent{}, err: im.CodeReceiverUnknown},
	{command: "openim/sendmsg", name: "refused by our callback", call: sendNote, want: im.C2CSent{}, err: im.ClassC2C},
	{command: "openim/sendmsg", name: "too large", call: sendNote, want: im.C2CSent{}, err: im.ClassContent},
	{
		command: "openim/batchsendmsg", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.BatchSendMsg(ctx, []string{"alice", "eve"}, note)
		},
		want: im.BatchSent{Done: 2, Failed: []im.ItemResult{{ID: "eve", Code: im.CodeAccountUnknown}}},
	},
	{
		command: "openim/batchsendmsg", name: "nobody",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.BatchSendMsg(ctx, []string{"eve"}, note)
		},
		want: im.BatchSent{Done: 1, Failed: []im.ItemResult{{ID: "eve", Code: 90012}}},
	},
	{
		command: "openim/importmsg", name: "into the history",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ImportMsg(ctx, im.ImportedMsg{
				From: "alice", To: "bob", MsgSeq: 9, MsgRandom: 8, MsgTime: 1572869830, Body: hi, CloudCustomData: "c",
			}))
		},
	},
	{
		command: "openim/admin_getroammsg", name: "two pages",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			var seqs []any
			q := &im.C2CHistoryQuery{Viewer: "alice", Peer: "bob", From: 1584669600, To: 1584673200, Limit: 2}
			for q != nil {
				page, err := c.C2CHistory(ctx, *q)
				if err != nil {
					return nil, err
				}
				for _, m := range page.Messages {
					seqs = append(seqs, m.MsgSeq, m.Recalled(), m.Body.PlainText())
				}
				q = page.Next
			}
			return seqs, nil
		},
		want: []any{uint32(3), false, "hi <b>", uint32(2), true, "hi <b>", uint32(1), false, "hi <b>"},
	},
	{
		command: "openim/admin_getroammsg", name: "empty",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.C2CHistory(ctx, im.C2CHistoryQuery{Viewer: "alice", Peer: "bob", From: 1, To: 2})
		},
		want: im.C2CHistoryPage{Messages: []im.C2CHistoryMsg{}},
	},
	{
		command: "openim/admin_msgwithdraw", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.WithdrawMsg(ctx, "bob", "alice", "31906_833502_1572869830"))
		},
	},
	{
		command: "openim/admin_msgwithdraw", name: "no such message", err: im.Code(20022),
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.WithdrawMsg(ctx, "bob", "alice", "31906_833502_1572869830"))
		},
	},
	{
		command: "openim/admin_msgwithdraw", name: "bad key", err: im.ClassRequest,
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.WithdrawMsg(ctx, "bob", "alice", "31906_833502_1572869830"))
		},
	},
	{
		command: "openim/modify_c2c_msg", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ModifyC2CMsg(ctx, "bob", "alice", "31906_833502_1572869830", im.Modification{Body: hi, CloudCustomData: text("")}))
		},
	},
	{
		command: "openim/modify_c2c_msg", name: "body alone",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ModifyC2CMsg(ctx, "bob", "alice", "31906_833502_1572869830", im.Modification{Body: hi}))
		},
	},
	{
		command: "openim/modify_c2c_msg", name: "custom alone",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ModifyC2CMsg(ctx, "bob", "alice", "31906_833502_1572869830", im.Modification{CloudCustomData: text("c")}))
		},
	},
	{
		command: "openim/admin_set_msg_read", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.SetMsgRead(ctx, "alice", "bob")) },
	},
	{
		command: "openim/get_c2c_unread_msg_num", name: "all",
		call: func(ctx context.Context, c *im.Client) (any, error) { return c.C2CUnreadNum(ctx, "alice") },
		want: im.C2CUnread{All: 3, ByPeer: map[string]int{}},
	},
	{
		command: "openim/get_c2c_unread_msg_num", name: "peers",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.C2CUnreadNum(ctx, "alice", "bob", "eve")
		},
		want: im.C2CUnread{All: 3, ByPeer: map[string]int{"bob": 1}, Failed: []im.ItemResult{{ID: "eve", Code: im.CodeAccountUnknown}}},
	},
	{
		command: "openconfigsvr/setnospeaking", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.SetNoSpeaking(ctx, "alice", im.Forever, 2*time.Hour-time.Millisecond))
		},
	},
	{
		command: "openconfigsvr/setnospeaking", name: "end",
		call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.SetNoSpeaking(ctx, "alice", 0, 0)) },
	},
}

// A message to 1,200 goes out in three calls, each with numbers of its own that
// are the same whenever the same list is sent again.
func TestBatchesHaveNumbersOfTheirOwn(t *testing.T) {
	numbers := func(failAt int) (list [][2]uint32, sent im.BatchSent, err error) {
		f := newFake(t, newClock())
		f.answers(func(r received) reply {
			var in struct{ MsgSeq, MsgRandom uint32 }
			if err := json.Unmarshal([]byte(r.body), &in); err != nil {
				t.Error(err)
			}
			list = append(list, [2]uint32{in.MsgSeq, in.MsgRandom})
			if len(list) == failAt {
				return code(60020, "the plan has expired")
			}
			return reply{}
		})
		sent, err = f.client().BatchSendMsg(ctx(t), users(1200), note)
		return list, sent, err
	}
	all, sent, err := numbers(0)
	if err != nil || sent.Done != 1200 || len(all) != 3 || all[0] == all[1] || all[1] == all[2] || all[0] == all[2] {
		t.Fatalf("%+v, %v: numbers %v", sent, err, all)
	}
	some, sent, err := numbers(2)
	only(t, err, im.ClassConfiguration)
	if sent.Done != 500 || some[0] != all[0] || some[1] != all[1] {
		t.Errorf("%+v: numbers %v, before %v", sent, some, all)
	}
}

func TestMessagesThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	c := f.client()
	for field, change := range map[string]func(*im.C2CMsg){
		"To_Account":      func(m *im.C2CMsg) { m.To = "" },
		"From_Account":    func(m *im.C2CMsg) { m.From = strings.Repeat("x", 33) },
		"MsgSeq":          func(m *im.C2CMsg) { m.MsgSeq = 0 },
		"MsgRandom":       func(m *im.C2CMsg) { m.MsgRandom = 0 },
		"MsgLifeTime":     func(m *im.C2CMsg) { m.LifeTime = 7*24*time.Hour + 1 },
		"MsgBody":         func(m *im.C2CMsg) { m.Body = im.Text(strings.Repeat("x", 12<<10)) },
		"MsgContent":      func(m *im.C2CMsg) { m.Body = im.MsgBody{{MsgType: im.TextElem}} },
		"CloudCustomData": func(m *im.C2CMsg) { m.CloudCustomData = "\xff" },
	} {
		m := note
		change(&m)
		_, err := c.SendMsg(ctx(t), m)
		refused(t, err, field)
	}
	m := note
	m.Body = nil
	_, err := c.BatchSendMsg(ctx(t), users(2), m)
	refused(t, err, "MsgBody")
	_, err = c.BatchSendMsg(ctx(t), []string{"alice", ""}, note)
	refused(t, err, "To_Account")
	refused(t, c.WithdrawMsg(ctx(t), "bob", "alice", strings.Repeat("1", 51)), "MsgKey")
	refused(t, c.ModifyC2CMsg(ctx(t), "bob", "alice", "1_2_3", im.Modification{}), "MsgBody")
	refused(t, c.SetMsgRead(ctx(t), "alice", ""), "Peer_Account")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// 12 KB is for body and custom data together, and < counts once.
func TestTheLargestMessageIsSent(t *testing.T) {
	f := newFake(t, newClock())
	m := note
	m.CloudCustomData = strings.Repeat("c", 1000)
	room := 12<<10 - 1000 - len(`[{"MsgType":"TIMTextElem","MsgContent":{"Text":""}},]`)
	m.Body = im.Text(strings.Repeat("<", room))
	if _, err := f.client().SendMsg(ctx(t), m); err != nil {
		t.Error(err)
	}
	m.Body = im.Text(strings.Repeat("<", room+1))
	_, err := f.client().SendMsg(ctx(t), m)
	refused(t, err, "MsgBody")
}

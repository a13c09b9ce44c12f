package imtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// 269/1629, 1047/34374, 1047/34375.
func TestSendGroupMsg(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	const command = groups + "send_group_msg"
	same(t, w.do(command, `{"GroupId":"team","From_Account":"carol","Random":8912345,"MsgPriority":"High","GroupAtInfo":[{"GroupAtAllFlag":0,
		"GroupAt_Account":"bob"},{"GroupAtAllFlag":1}],"MsgBody":`+textBody+`,"CloudCustomData":"c"}`),
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgTime":1772366400,"MsgSeq":2}`)
	if h := w.hook("Group.CallbackBeforeSendMsg"); h.Query.Get("OptPlatform") != "RESTAPI" || h.Body["Operator_Account"] != admin || h.Body["MsgSeq"] != nil {
		t.Errorf("before: %v %v", h.Query, h.Body)
	}
	after := w.hook("Group.CallbackAfterSendMsg").Body
	same(t, after["GroupAtInfo"], `[{"GroupAtAllFlag":0,"GroupAt_Account":"bob"},{"GroupAtAllFlag":1}]`)
	if got := bob.Received(); got[len(got)-1].From != "carol" || got[len(got)-1].Priority != imtest.High || !slices.Equal(got[len(got)-1].Mentions, []string{"bob", "@all"}) {
		t.Errorf("bob received %+v", got[len(got)-1])
	}

	w.do(command, `{"GroupId":"team","Random":2,"MsgBody":`+textBody+`,"ForbidCallbackControl":["ForbidAfterSendMsgCallback"]}`)
	if h := w.hooks("Group.CallbackBeforeSendMsg"); h[1].Body["From_Account"] != "@TLS#NOT_FOUND" {
		t.Errorf("without From_Account it comes from %v", h[1].Body["From_Account"])
	}
	w.hook("Group.CallbackAfterSendMsg") // still one

	w.do(command, `{"GroupId":"team","From_Account":"alice","Random":3,"To_Account":["bob"],"MsgBody":`+text("for bob")+`}`)
	w.do(command, `{"GroupId":"team","From_Account":"carol","Random":4,"To_Account":["alice"],"MsgBody":`+text("for alice")+`}`)
	if got := texts(bob.Received()); got[len(got)-1] != "for bob" {
		t.Errorf("bob received %q", got)
	}
	if got := texts(alice.Received()); !slices.Equal(got[len(got)-2:], []string{"for bob", "for alice"}) {
		t.Errorf("alice received %q", got)
	}

	body := func(fields string) string { return `{"GroupId":"team","Random":9,"MsgBody":` + textBody + fields + `}` }
	live := strings.NewReplacer("team", "live").Replace
	w.check(t, []restCase{
		{"no group", command, `{"GroupId":"nowhere","Random":9,"MsgBody":` + textBody + `}`, 10010},
		{"no GroupId", command, `{"Random":9,"MsgBody":` + textBody + `}`, 10004},
		{"no Random", command, `{"GroupId":"team","MsgBody":` + textBody + `}`, 10004},
		{"Random a text", command, `{"GroupId":"team","Random":"9","MsgBody":` + textBody + `}`, 10004},
		{"MsgRandom, as of sendmsg", command, `{"GroupId":"team","MsgRandom":9,"MsgBody":` + textBody + `}`, 10004},
		{"no MsgBody", command, `{"GroupId":"team","Random":9}`, 10004},
		{"over 12 KB", command, body(`,"CloudCustomData":"` + strings.Repeat("x", 12<<10) + `"`), 80002},
		{"an unknown sender", command, body(`,"From_Account":"nobody"`), 10019},
		{"an unknown priority", command, body(`,"MsgPriority":"Urgent"`), 10004},
		{"Lowest", command, body(`,"MsgPriority":"Lowest"`), 0},
		{"a misspelt switch", command, body(`,"ForbidCallbackControl":["ForbidBeforeSendMsg"]`), 10004},
		{"a control of one-to-one messages", command, body(`,"SendMsgControl":["WithMuteNotifications"]`), 10004},
		{"31 mentions", command, body(`,"GroupAtInfo":` + many(31, "GroupAt_Account")), 10053},
		{"51 recipients", command, body(`,"To_Account":` + many(51, "")), 10005},
		{"recipients in an AVChatRoom", command, live(body(`,"To_Account":["bob"]`)), 10007},
		{"no such topic", command, body(`,"TopicId":"x"`), 10004},
	})
	// What failed is told too (1047/49462).
	if n := len(w.hooks("Group.CallbackSendMsgException")); n == 0 {
		t.Error("no failure was told")
	}
}

// A repeated Random is known for five minutes, by sender and content, and
// however the repetition comes (269/1629).
func TestSendGroupMsgRepeats(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("DuplicateFails=", fails), func(t *testing.T) {
			w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.DuplicateFails = fails })
			_, bob := furnish(w)
			once := len(bob.Received()) + 1
			body := `{"GroupId":"team","From_Account":"alice","Random":7,"MsgBody":` + textBody + `}`
			w.app.FailNext(groups+"send_group_msg", imtest.Fault{Code: 10002, Worked: true})
			w.check(t, []restCase{{"done, and answered with an error", groups + "send_group_msg", body, 10002}})
			w.clock.Advance(5*time.Minute - time.Second)
			answer := w.rest(groups+"send_group_msg", body)
			if fails && code(answer) != 10004 || !fails && answer["MsgSeq"] != 2.0 {
				t.Errorf("the repetition: %v", answer)
			}
			if n := len(bob.Received()); n != once {
				t.Errorf("bob has %d messages, want %d", n, once)
			}
			for _, other := range []string{`"carol"`, `"bob"`} {
				w.do(groups+"send_group_msg", strings.Replace(body, `"alice"`, other, 1))
			}
			w.do(groups+"send_group_msg", strings.Replace(body, "hi", "ho", 1))
			w.clock.Advance(time.Second)
			w.do(groups+"send_group_msg", body)
			if n := len(bob.Received()); n != once+4 {
				t.Errorf("bob has %d messages, want %d", n, once+4)
			}
		})
	}
}

// All senders and kinds together have 40 messages a second in a group.
func TestRateOfAGroup(t *testing.T) {
	w := newWorld(t)
	alice, _ := furnish(w)
	send := func(i int) int {
		return code(w.rest(groups+"send_group_msg", fmt.Sprintf(`{"GroupId":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_hall","Random":%d,"MsgBody":%s}`, 100+i, textBody)))
	}
	w.clock.Advance(time.Second)
	for i := range 39 {
		if got := send(i); got != 0 {
			t.Fatalf("message %d: %d", i+1, got)
		}
	}
	if _, err := alice.Send("@TGS#_town", imtest.Draft{Text: "the 40th", TopicID: "@TGS#_town@TOPIC#_hall"}); err != nil {
		t.Fatal(err)
	}
	if got := send(39); got != 10023 {
		t.Errorf("the 41st: %d", got)
	}
	if got := code(w.rest(groups+"send_group_msg", `{"GroupId":"team","Random":9,"MsgBody":`+textBody+`}`)); got != 0 {
		t.Errorf("another group: %d", got)
	}
	w.clock.Advance(time.Second)
	if got := send(39); got != 0 {
		t.Errorf("a second later: %d", got)
	}
}

// 269/1630.
func TestSendSystemNotification(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	const command = groups + "send_group_system_notification"
	w.do(command, `{"GroupId":"team","Content":"all"}`)
	w.do(command, `{"GroupId":"team","Content":"one","ToMembers_Account":["bob","carol"]}`)
	w.do(command, `{"GroupId":"live","Content":"room"}`)
	notices := func(c *imtest.Client) (list []string) {
		for _, e := range c.Events() {
			if e.Kind == "notification" {
				list = append(list, e.Notice)
			}
		}
		return list
	}
	if got := notices(bob); !slices.Equal(got, []string{"all", "one", "room"}) {
		t.Errorf("bob was told %q", got)
	}
	if got := notices(alice); !slices.Equal(got, []string{"all", "room"}) {
		t.Errorf("alice was told %q", got)
	}
	if n := len(w.app.State().Group("team").Messages); n != 1 {
		t.Errorf("the history has %d messages", n)
	}
	w.settle()
	if w.backend.got("Group.CallbackBeforeSendMsg") != nil || w.backend.got("Group.CallbackAfterSendMsg") != nil {
		t.Error("a notification made callbacks")
	}
	w.check(t, []restCase{
		{"no Content", command, `{"GroupId":"team"}`, 10004},
		{"51 members", command, `{"GroupId":"team","Content":"x","ToMembers_Account":` + many(51, "") + `}`, 10005},
		{"members of an AVChatRoom", command, `{"GroupId":"live","Content":"x","ToMembers_Account":["bob"]}`, 10007},
		{"no group", command, `{"GroupId":"nowhere","Content":"x"}`, 10010},
		{"no topic", command, `{"GroupId":"team","TopicId":"x","Content":"x"}`, 10004},
	})
}

// 1047/34965, 1047/46979, 269/74741, 269/2359.
func TestChangesOfGroupMessages(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	for i := range 4 {
		w.do(groups+"send_group_msg", fmt.Sprintf(`{"GroupId":"team","From_Account":"alice","Random":%d,"MsgBody":%s}`, 10+i, text(fmt.Sprint(i))))
	}
	told := len(bob.Events())
	same(t, w.do(groups+"group_msg_recall", `{"GroupId":"team","MsgSeqList":[{"MsgSeq":2},{"MsgSeq":99}],"Reason":"x"}`)["RecallRetList"],
		`[{"MsgSeq":2,"RetCode":0},{"MsgSeq":99,"RetCode":10030}]`)
	same(t, w.hook("Group.CallbackAfterRecallMsg").Body, `{"CallbackCommand":"Group.CallbackAfterRecallMsg","Operator_Account":"administrator",
		"Type":"Public","GroupId":"team","MsgSeqList":[{"MsgSeq":2}],"EventTime":1772366400000}`)
	w.do("openim/modify_group_msg", `{"GroupId":"team","MsgSeq":3,"MsgBody":`+text("changed")+`,"CloudCustomData":"c"}`)
	var kinds []string
	for _, e := range bob.Events()[told:] {
		kinds = append(kinds, fmt.Sprint(e.Kind, e.Message.Seq))
	}
	if !slices.Equal(kinds, []string{"recalled2", "modified3"}) {
		t.Errorf("bob was told %q", kinds)
	}
	w.do(groups+"delete_group_msg_by_sender", `{"GroupId":"team","Sender_Account":"bob"}`)
	if n := len(bob.Events()); n != told+2 {
		t.Error("a deletion is silent")
	}

	// History: newest first, placeholders for what is gone (1047/34958).
	same(t, w.do(groups+"group_msg_get_simple", `{"GroupId":"team","ReqMsgNumber":3,"ReqMsgSeq":3}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"GroupId":"team","IsFinished":1,"RspMsgList":[
		{"From_Account":"alice","IsPlaceMsg":0,"MsgPriority":2,"MsgRandom":11,"MsgSeq":3,"MsgTimeStamp":1772366400,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"changed"}}],"CloudCustomData":"c"},
		{"From_Account":"alice","IsPlaceMsg":2,"MsgPriority":2,"MsgRandom":10,"MsgSeq":2,"MsgTimeStamp":1772366400},
		{"From_Account":"bob","IsPlaceMsg":1,"MsgPriority":2,"MsgRandom":1,"MsgSeq":1,"MsgTimeStamp":1772366400}]}`)
	same(t, w.do(groups+"group_msg_get_simple", `{"GroupId":"team","ReqMsgNumber":1,"ReqMsgSeq":2,"WithRecalledMsg":1}`)["RspMsgList"].([]any)[0].(map[string]any)["MsgBody"], text("0"))
	var seqs []int
	next := ""
	for range 5 {
		page := w.do(groups+"group_msg_get_simple", `{"GroupId":"team","ReqMsgNumber":2`+next+`}`)["RspMsgList"].([]any)
		for _, m := range page {
			seqs = append(seqs, int(m.(map[string]any)["MsgSeq"].(float64)))
		}
		if len(page) == 0 || seqs[len(seqs)-1] == 1 {
			break
		}
		next = fmt.Sprintf(`,"ReqMsgSeq":%d`, seqs[len(seqs)-1]-1)
	}
	if !slices.Equal(seqs, []int{5, 4, 3, 2, 1}) {
		t.Errorf("paged %v", seqs)
	}

	recall, modify, history := groups+"group_msg_recall", "openim/modify_group_msg", groups+"group_msg_get_simple"
	w.check(t, []restCase{
		{"11 recalled", recall, `{"GroupId":"team","MsgSeqList":[` + strings.Repeat(`{"MsgSeq":1},`, 10) + `{"MsgSeq":1}]}`, 10004},
		{"plain numbers", recall, `{"GroupId":"team","MsgSeqList":[1]}`, 10004},
		{"a Reason of 101 bytes", recall, `{"GroupId":"team","MsgSeqList":[{"MsgSeq":1}],"Reason":"` + strings.Repeat("x", 101) + `"}`, 10004},
		{"none recalled", recall, `{"GroupId":"team"}`, 10004},
		{"recalled in no group", recall, `{"GroupId":"nowhere","MsgSeqList":[{"MsgSeq":1}]}`, 10010},
		{"changed in the other service", groups + "modify_group_msg", `{"GroupId":"team","MsgSeq":3,"MsgBody":` + textBody + `}`, 60009},
		{"nothing changed", modify, `{"GroupId":"team","MsgSeq":3}`, 10004},
		{"a recalled one changed", modify, `{"GroupId":"team","MsgSeq":2,"CloudCustomData":""}`, 10030},
		{"none changed", modify, `{"GroupId":"team","MsgSeq":77,"CloudCustomData":""}`, 10030},
		{"a body that is none", modify, `{"GroupId":"team","MsgSeq":3,"MsgBody":[]}`, 10004},
		{"messages of nobody", groups + "delete_group_msg_by_sender", `{"GroupId":"team"}`, 10004},
		{"a message of an AVChatRoom changed", modify, `{"GroupId":"live","MsgSeq":1,"CloudCustomData":"c"}`, 10007},
		{"messages in an AVChatRoom", groups + "delete_group_msg_by_sender", `{"GroupId":"live","Sender_Account":"bob"}`, 0},
		{"21 messages", history, `{"GroupId":"team","ReqMsgNumber":21}`, 10004},
		{"no message", history, `{"GroupId":"team"}`, 10004},
		{"history of an AVChatRoom", history, `{"GroupId":"live","ReqMsgNumber":1}`, 10007},
		{"history of no group", history, `{"GroupId":"nowhere","ReqMsgNumber":1}`, 10010},
		{"history of no topic", history, `{"GroupId":"team","TopicId":"x","ReqMsgNumber":1}`, 10004},
	})
}

// A topic has a history of its own.
func TestHistoryOfATopic(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	w.do("million_group_open_http_svc/create_topic", `{"GroupId":"@TGS#_town","TopicName":"games","TopicId":"@TGS#_town@TOPIC#_games"}`)
	w.do(groups+"send_group_msg", `{"GroupId":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_games","From_Account":"alice","Random":2,"MsgBody":`+text("beside")+`}`)
	for topic, want := range map[string]string{"games": "beside", "hall": "first"} {
		list := w.do(groups+"group_msg_get_simple", `{"GroupId":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_`+topic+`","ReqMsgNumber":20}`)["RspMsgList"].([]any)
		if len(list) != 1 {
			t.Fatalf("%s: %v", topic, list)
		}
		same(t, list[0].(map[string]any)["MsgBody"], text(want))
	}
}

// A community with topics has no messages beside them, from REST, an import or a
// client.
func TestACommunityWithTopicsTakesMessagesInThemAlone(t *testing.T) {
	w := newWorld(t)
	alice, _ := furnish(w)
	if _, err := alice.Send("@TGS#_town", imtest.Draft{Text: "x"}); imtest.Code(err) != 10007 {
		t.Errorf("a client's: %v", err)
	}
	w.do(groups+"create_group", `{"Type":"Community","GroupId":"@TGS#_plain","Name":"Plain","Owner_Account":"alice"}`)
	w.check(t, []restCase{
		{"beside the topics", groups + "send_group_msg", `{"GroupId":"@TGS#_town","From_Account":"alice","Random":2,"MsgBody":` + textBody + `}`, 10007},
		{"imported", groups + "import_group_msg", `{"GroupId":"@TGS#_town","MsgList":[{"From_Account":"alice","SendTime":1772366400,"MsgBody":` + textBody + `}]}`, 10007},
		{"a community without topics", groups + "send_group_msg", `{"GroupId":"@TGS#_plain","From_Account":"alice","Random":2,"MsgBody":` + textBody + `}`, 0},
	})
}

// 269/77402.
func TestSendBroadcastMsg(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	const command = groups + "send_broadcast_msg"
	w.do(groups+"create_group", `{"Type":"AVChatRoom","GroupId":"other","Name":"O"}`)
	alice := w.loginOn("alice", "iOS") // a phone is in several rooms at once
	if err := alice.Join("live"); err != nil {
		t.Fatal(err)
	}
	if err := alice.Join("other"); err != nil {
		t.Fatal(err)
	}
	rooms := func(c *imtest.Client) (list []string) {
		for _, e := range c.Events() {
			if e.Kind == "broadcast" {
				list = append(list, e.GroupID)
			}
		}
		return list
	}
	body := `{"From_Account":"carol","Random":1,"MsgBody":` + textBody + `,"CloudCustomData":"c"}`
	first := w.do(command, body)
	w.clock.Advance(time.Minute)
	if again := w.do(command, body); again["MsgSeq"] != first["MsgSeq"] {
		t.Errorf("answers %v and %v", first, again)
	}
	if a, b := rooms(alice), rooms(bob); !slices.Equal(a, []string{"live", "other"}) || !slices.Equal(b, []string{"live"}) {
		t.Errorf("alice was told in %q, bob in %q", a, b)
	}
	w.check(t, []restCase{
		{"no sender", command, `{"Random":1,"MsgBody":` + textBody + `}`, 10019},
		{"no Random", command, `{"From_Account":"carol","MsgBody":` + textBody + `}`, 10004},
		{"over 12 KB", command, `{"From_Account":"carol","Random":1,"MsgBody":` + text(strings.Repeat("x", 12<<10)) + `}`, 80002},
	})
}

// Broadcasts need an edition and the console's switch.
func TestBroadcastsCanBeSwitchedOff(t *testing.T) {
	for name, change := range map[string]func(*imtest.AppConfig){
		"switch":  func(c *imtest.AppConfig) { c.NoBroadcast = true },
		"edition": func(c *imtest.AppConfig) { c.Edition = imtest.Standard },
	} {
		w := newWorld(t, change)
		w.importUsers("alice")
		if got := code(w.rest(groups+"send_broadcast_msg", `{"From_Account":"alice","Random":1,"MsgBody":`+textBody+`}`)); got != 10007 {
			t.Errorf("%s: code %d, want 10007", name, got)
		}
	}
}

// Broadcasts have a rate of their own, by edition.
func TestRateOfBroadcasts(t *testing.T) {
	for edition, rate := range map[imtest.Edition]int{imtest.Enterprise: 5, imtest.Pro: 1} {
		w := newWorld(t, func(c *imtest.AppConfig) { c.Edition = edition })
		w.importUsers("alice")
		sent := 0
		for i := range 10 {
			switch got := code(w.rest(groups+"send_broadcast_msg", fmt.Sprintf(`{"From_Account":"alice","Random":%d,"MsgBody":%s}`, i, textBody))); got {
			case 0:
				sent++
			case 60007:
			default:
				t.Errorf("code %d", got)
			}
		}
		if sent != rate {
			t.Errorf("edition %d: %d in a second, want %d", edition, sent, rate)
		}
	}
}

// TestFirstSeq: groups go on where those before a restart ended.
func TestFirstSeq(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.FirstSeq = 1000 })
	alice := w.login("alice")
	id, err := alice.CreateGroup("Public", "", "team")
	if err != nil {
		t.Fatal(err)
	}
	for want := uint32(1000); want < 1003; want++ {
		if sent, err := alice.Send(id, imtest.Draft{Text: "hello"}); err != nil || sent.Seq != want {
			t.Errorf("%+v, %v; want MsgSeq %d", sent, err, want)
		}
	}
}

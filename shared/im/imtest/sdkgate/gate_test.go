package sdkgate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
)

// A message goes from page to page, with the sender's own client time, once.
func TestAMessageReachesTheOtherPageOnce(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	sent := alice.sendTo("bob", "hi", 7)
	if sent["ErrorCode"] != 0.0 || sent["MsgKey"] == "" {
		t.Fatalf("answer %v", sent)
	}
	m := bob.told("hi")["C2cMsgArray"].([]any)[0].(map[string]any)
	if m["From_Account"] != "alice" || m["MsgClientTime"] != 1700000000.0 || m["TinyId"] != alice.tinyID || m["MsgKey"] != sent["MsgKey"] {
		t.Errorf("bob got %v", m)
	}
	alice.must("heartbeat.alive", nil)
	if len(alice.pushes) != 0 {
		t.Errorf("the sender's own page was told %v", alice.pushes)
	}
	if !has(w.seen("bob"), "hi") {
		t.Error("the emulator does not have it")
	}
}

// A verdict of the backend reaches the page with its code and text.
func TestARefusalReachesThePageWithItsCodeAndText(t *testing.T) {
	backend := http.NewServeMux()
	backend.HandleFunc("/im", func(rw http.ResponseWriter, r *http.Request) {
		answer := `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`
		if r.URL.Query().Get("CallbackCommand") == "C2C.CallbackBeforeSendMsg" {
			answer = `{"ActionStatus":"OK","ErrorInfo":"mind your words","ErrorCode":120001}`
		}
		_, _ = io.WriteString(rw, answer)
	})
	server := newServer(t, backend)
	w := newWorld(t, sdkgate.Options{}, func(c *imtest.AppConfig) { c.CallbackURL = server + "/im" })
	alice := w.login("alice")
	w.login("bob")
	if out := alice.sendTo("bob", "rude", 1); out["ErrorCode"] != 120001.0 || out["ErrorInfo"] != "mind your words" {
		t.Errorf("answer %v", out)
	}
	callbacks := w.app.Callbacks()
	if i := slices.IndexFunc(callbacks, func(c imtest.Callback) bool { return c.Command == "C2C.CallbackBeforeSendMsg" }); i < 0 || !strings.Contains(callbacks[i].Query, "OptPlatform=Web") {
		t.Errorf("callbacks %v", callbacks)
	}
}

// Users log in on as many pages as the console allows; one more kicks the first.
func TestWebLogins(t *testing.T) {
	w := newWorld(t, sdkgate.Options{}, func(c *imtest.AppConfig) { c.WebLogins = 10 })
	first := w.login("alice")
	for range 10 {
		w.login("alice")
	}
	if e := first.told("KickoutMsgNotify"); !strings.Contains(fmt.Sprint(e), "KickType:1") {
		t.Errorf("kicked with %v", e)
	}
	if p := w.app.State().User("alice").Platforms; len(p) != 10 {
		t.Errorf("devices %v", p)
	}
}

// A live room's events come by the long poll, many in one answer, and none is lost
// or doubled between two polls.
func TestLongPollHasEachEventOnce(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	alice.must("group_open_http_svc.create_group", map[string]any{"Type": "AVChatRoom", "Name": "L", "GroupId": "live", "Owner_Account": "alice"})
	joined := alice.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "live"})
	bob.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "live"})
	go func() {
		for i := range 30 {
			bob.ask("group_open_http_svc.send_group_msg", nil, map[string]any{"GroupId": "live", "Random": i + 1, "MsgBody": textBody(fmt.Sprint("m", i))})
		}
	}()
	var got []string
	next := joined["StartSeq"]
	for len(got) < 30 {
		out := alice.must("group_open_long_polling_http_svc.get_msg", map[string]any{"Key": joined["LongPollingKey"], "StartSeq": next, "StartBroadcastSeq": 1})
		next = out["NextSeq"]
		for _, e := range out["RspMsgList"].([]any) {
			if m := e.(map[string]any); m["Event"] == 3.0 {
				got = append(got, m["MsgBody"].([]any)[0].(map[string]any)["MsgContent"].(map[string]any)["Text"].(string))
			}
		}
	}
	for i, text := range got {
		if text != fmt.Sprint("m", i) {
			t.Fatalf("got %v", got)
		}
	}
}

// What a user may not do is refused as by IM's own client, and changes nothing.
func TestUsersDoOnlyWhatTheyMay(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	alice.must("group_open_http_svc.create_group", map[string]any{"Type": "Public", "Name": "T", "GroupId": "team", "ApplyJoinOption": "FreeAccess", "Owner_Account": "alice"})
	bob.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "team"})
	before := fmt.Sprint(w.app.State().Group("team"))
	for _, tc := range []struct {
		command string
		body    map[string]any
		code    float64
	}{
		{"group_open_http_svc.destroy_group", map[string]any{"GroupId": "team"}, 10007},
		{"group_open_http_svc.modify_group_base_info", map[string]any{"GroupId": "team", "Name": "mine"}, 10007},
		{"group_open_http_svc.modify_group_member_info", map[string]any{"GroupId": "team", "Member_Account": "alice", "ShutUpTime": 60}, 10007},
		{"group_open_http_svc.modify_group_member_info", map[string]any{"GroupId": "team", "Member_Account": "bob", "Role": "Admin"}, 10007},
		{"group_open_http_svc.delete_group_member", map[string]any{"GroupId": "team", "MemberToDel_Account": []string{"alice"}}, 10007},
		{"group_open_http_svc.change_group_owner", map[string]any{"GroupId": "team", "NewOwner_Account": "bob"}, 10007},
		{"group_open_http_svc.create_group", map[string]any{"Type": "Public", "Name": "T", "Owner_Account": "alice"}, 10004},
		{"sns.black_list_add", map[string]any{"From_Account": "alice", "To_Account": []string{"bob"}}, 60010},
		{"group_open_http_svc.send_group_msg", map[string]any{"GroupId": "nowhere", "Random": 1, "MsgBody": textBody("x")}, 10010},
	} {
		if out := bob.ask(tc.command, nil, tc.body); out["ErrorCode"] != tc.code {
			t.Errorf("%s %v: %v, want %v", tc.command, tc.body, out, tc.code)
		}
	}
	if after := fmt.Sprint(w.app.State().Group("team")); after != before {
		t.Errorf("the group changed:\n%s\n%s", before, after)
	}
}

// A command that the gate does not know succeeds with nothing, and is listed.
func TestUnknownCommandsAreListed(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice := w.login("alice")
	alice.must("some_service.some_command", map[string]any{"x": 1})
	calls := w.app.Calls()
	if last := calls[len(calls)-1]; last.Command != "sdk:some_service.some_command" || last.Code != 60009 {
		t.Errorf("call %+v", last)
	}
}

// Only pages of this machine, of the emulator and of its options open a socket.
func TestForeignPagesAreRefused(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	for origin, want := range map[string]int{
		"": http.StatusSwitchingProtocols, "http://localhost:5173": http.StatusSwitchingProtocols, "http://127.0.0.1:1": http.StatusSwitchingProtocols,
		"https://evil.example": http.StatusForbidden, "null": http.StatusForbidden, "http://localhost.evil.example": http.StatusForbidden,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, resp, err := websocket.Dial(t.Context(), strings.Replace(w.web.URL, "http", "ws", 1)+"/ws?sdkappid=1400000000", &websocket.DialOptions{HTTPHeader: header})
		if resp == nil || resp.StatusCode != want {
			t.Errorf("%q: %v, %v", origin, resp, err)
		}
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
	resp, err := http.Get(w.web.URL + "/ws?sdkappid=1")
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("an app that does not exist: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

// More sockets than allowed are refused before the handshake.
func TestTooManySocketsAreRefused(t *testing.T) {
	w := newWorld(t, sdkgate.Options{Sockets: 2})
	w.login("alice")
	second := w.login("bob")
	_, resp, err := websocket.Dial(t.Context(), strings.Replace(w.web.URL, "http", "ws", 1)+"/ws?sdkappid=1400000000", nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the third: %v, %v", resp, err)
	}
	_ = second.conn.CloseNow()
	waitFor(t, "a free place", func() bool {
		conn, _, err := websocket.Dial(t.Context(), strings.Replace(w.web.URL, "http", "ws", 1)+"/ws?sdkappid=1400000000", nil)
		if err == nil {
			_ = conn.CloseNow()
		}
		return err == nil
	})
}

// A frame that is no request, or too large, closes the socket and nothing else.
func TestBadFramesCloseTheSocket(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	for name, frame := range map[string]string{
		"no JSON": "x", "no command": `{"head":{},"body":{}}`, "an array": `[]`, "a number": `7`, "too large": strings.Repeat(" ", 300<<10),
	} {
		p := w.open()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_ = p.conn.Write(ctx, websocket.MessageBinary, []byte(frame))
		if _, _, err := p.conn.Read(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("%s: the socket stays open", name)
		}
		cancel()
	}
	w.login("alice") // the gate lives
}

// community logs alice and bob in, who are in a community with a topic.
func community(w *world, topic string) (alice, bob *page) {
	w.Helper()
	alice, bob = w.login("alice"), w.login("bob")
	alice.must("group_open_http_svc.create_group", map[string]any{"Type": "Community", "Name": "City", "GroupId": "@TGS#_city", "Owner_Account": "alice", "SupportTopic": 1})
	bob.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "@TGS#_city"})
	alice.must("million_group_open_http_svc.create_topic", map[string]any{"GroupId": "@TGS#_city", "TopicId": topic, "TopicName": "news"})
	return alice, bob
}

// A message in a topic names the topic and says that its community has some: without
// that the SDK takes the topic for a group that it does not know, and throws.
func TestAMessageInATopicNamesItsTopic(t *testing.T) {
	const topic = "@TGS#_city@TOPIC#_news"
	alice, bob := community(newWorld(t, sdkgate.Options{}), topic)
	alice.must("group_open_http_svc.send_group_msg", map[string]any{"GroupId": "@TGS#_city", "TopicId": topic, "Random": 1, "MsgBody": textBody("headline")})
	info := bob.told("headline")["GroupMsgArray"].([]any)[0].(map[string]any)["GroupInfo"].(map[string]any)
	if info["MillionGroupFlag"] != 2.0 || info["TopicId"] != topic || info["GroupId"] != "@TGS#_city" {
		t.Errorf("GroupInfo %v", info)
	}
}

// The list of topics says up to where the user has read each: by a report, by writing
// there, and by joining; and which messages after that do not count.
func TestTopicsHaveReadPositions(t *testing.T) {
	const topic = "@TGS#_city@TOPIC#_news"
	w := newWorld(t, sdkgate.Options{})
	alice, bob := community(w, topic)
	send := func(p *page, random int) {
		t.Helper()
		p.must("group_open_http_svc.send_group_msg", map[string]any{"GroupId": "@TGS#_city", "TopicId": topic, "Random": random, "MsgBody": textBody("x")})
	}
	expect := func(p *page, name, want string) {
		t.Helper()
		out := p.must("million_group_open_http_svc.get_topic", map[string]any{"GroupId": "@TGS#_city"})
		item := out["TopicAndSelfInfo"].([]any)[0].(map[string]any)
		info, self := item["TopicInfo"].(map[string]any), item["SelfInfo"].(map[string]any)
		last := info["LastMsg"].(map[string]any)["LastMsgSeq"]
		if got := fmt.Sprint(last, " of ", info["NextMsgSeq"], ", read ", self["MsgSeq"], " but ", self["NoUnreadSeqList"], ", muted ", info["ShutUpAllFlag"]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for i := range 4 {
		send(alice, i+1)
	}
	expect(bob, "at first", "4 of 5, read 0 but [], muted 0")
	bob.must("group_open_http_svc.msg_read_report", map[string]any{"GroupId": "@TGS#_city", "TopicId": topic, "MsgReadedSeq": 2})
	for _, seq := range []int{2, 4} {
		alice.must("group_open_http_svc.group_msg_recall", map[string]any{"GroupId": "@TGS#_city", "TopicId": topic, "MsgSeqList": []any{map[string]any{"MsgSeq": seq}}})
	}
	expect(bob, "after a report and recalls", "4 of 5, read 2 but [4], muted 0")
	carol := w.login("carol")
	carol.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "@TGS#_city"})
	expect(carol, "who joined", "4 of 5, read 4 but [], muted 0")
	send(bob, 9)
	alice.must("million_group_open_http_svc.modify_topic", map[string]any{"GroupId": "@TGS#_city", "TopicId": topic, "ShutUpAllMember": "On"})
	expect(bob, "who wrote", "5 of 6, read 5 but [], muted 1")
	if got := w.app.State().Group("@TGS#_city").Topics[0].Read; fmt.Sprint(got) != "map[alice:4 bob:5 carol:4]" {
		t.Errorf("the state has %v", got)
	}
}

// What a user reads on one page, the user's other pages are told, and it is not.
func TestOtherPagesAreToldWhatWasRead(t *testing.T) {
	const topic = "@TGS#_city@TOPIC#_news"
	w := newWorld(t, sdkgate.Options{}, func(c *imtest.AppConfig) { c.WebLogins = 2 })
	alice, bob := community(w, topic)
	other := w.login("bob")
	alice.must("group_open_http_svc.create_group", map[string]any{"Type": "Public", "Name": "T", "GroupId": "team", "Owner_Account": "alice", "ApplyJoinOption": "FreeAccess"})
	bob.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "team"})
	alice.sendTo("bob", "one-to-one", 1)
	for i, body := range []map[string]any{{"GroupId": "team"}, {"GroupId": "@TGS#_city", "TopicId": topic}} {
		body["Random"], body["MsgBody"] = i+1, textBody("in a group")
		seq := alice.must("group_open_http_svc.send_group_msg", body)["MsgSeq"]
		bob.must("group_open_http_svc.msg_read_report", map[string]any{"GroupId": body["GroupId"], "TopicId": body["TopicId"], "MsgReadedSeq": seq})
	}
	at := bob.told("one-to-one")["C2cMsgArray"].([]any)[0].(map[string]any)["MsgTimeStamp"]
	bob.must("openim.msgreaded", map[string]any{"C2CMsgReaded": map[string]any{"C2CMsgReadedItem": []any{map[string]any{"To_Account": "alice", "LastedMsgTime": at}}}})

	read := other.told("ReadC2cMsgNotify")["C2cNotifyMsgArray"].([]any)[0].(map[string]any)["ReadC2cMsgNotify"]
	if want := map[string]any{"UinPairReadArray": []any{map[string]any{"From_Account": "alice", "LastReadTime": at}}}; !reflect.DeepEqual(read, want) {
		t.Errorf("told %v, want %v", read, want)
	}
	var groups []string
	for _, e := range other.pushes {
		if b, _ := json.Marshal(e); strings.Contains(string(b), "GroupReadInfoArray") {
			body := e["GroupTips"].([]any)[0].(map[string]any)["MsgBody"].(map[string]any)
			groups = append(groups, fmt.Sprint(body["ReportType"], body["GroupReadInfoArray"]))
		}
	}
	want := []string{"15 [map[GroupId:team LastReadMsgSeq:1]]", "15 [map[GroupId:@TGS#_city LastReadMsgSeq:1 TopicId:" + topic + "]]"}
	if !slices.Equal(groups, want) {
		t.Errorf("told %q, want %q", groups, want)
	}
	bob.must("heartbeat.alive", nil)
	for _, e := range bob.pushes {
		if b, _ := json.Marshal(e); strings.Contains(string(b), "ReadC2cMsgNotify") || strings.Contains(string(b), "GroupReadInfoArray") {
			t.Errorf("the page itself was told %s", b)
		}
	}
}

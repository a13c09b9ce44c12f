package imtest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// restCase is one call and the code it is answered with.
type restCase struct {
	name, command, body string
	code                int
}

func (w *world) check(t *testing.T, cases []restCase) {
	t.Helper()
	for _, tc := range cases {
		answer := w.rest(tc.command, tc.body)
		if code(answer) != tc.code {
			t.Errorf("%s: %s %.200s: %v, want %d", tc.name, tc.command, tc.body, answer, tc.code)
		}
		if failed := answer["ActionStatus"] == "FAIL"; failed != (tc.code != 0) {
			t.Errorf("%s: ActionStatus %v with code %d", tc.name, answer["ActionStatus"], tc.code)
		}
	}
}

// many writes a list of n ids as JSON objects with one field, or as strings.
func many(n int, field string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf("%q", fmt.Sprint("many", i))
		if field != "" {
			items[i] = fmt.Sprintf("{%q:%s}", field, items[i])
		}
	}
	return "[" + strings.Join(items, ",") + "]"
}

// Who may call at all: 1047/34620 and 1047/34348.
func TestAdmission(t *testing.T) {
	w := newWorld(t)
	w.importUsers("alice")
	other, err := usersig.NewSignerAt(appID, "another key", w.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	wrongKey, _ := other.Sign(admin, time.Hour)
	elsewhere, err := usersig.NewSignerAt(1400000001, key, w.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	wrongApp, _ := elsewhere.Sign(admin, time.Hour)
	old := w.sig(admin)
	w.server.AddApp(imtest.AppConfig{SDKAppID: 1400000002, Key: key, DataCentre: "sg"})
	abroad, _ := usersig.NewSignerAt(1400000002, key, w.clock.Now)
	abroadSig, _ := abroad.Sign(admin, time.Hour)

	good := url.Values{"sdkappid": {"1400000000"}, "identifier": {admin}, "usersig": {old}, "random": {"99999999"}, "contenttype": {"json"}}
	const path = "/v4/im_open_login_svc/account_check"
	for _, tc := range []struct {
		name, path, set, value, body string
		code                         int
	}{
		{"good", path, "", "", `{"CheckItem":[{"UserID":"alice"}]}`, 0},
		{"no such command", "/v4/im_open_login_svc/account_destroy", "", "", "{}", 60009},
		{"the wrong service", "/v4/openim/account_check", "", "", "{}", 60009},
		{"no sdkappid", path, "sdkappid", "", "{}", 60012},
		{"sdkappid no number", path, "sdkappid", "x", "{}", 60006},
		{"unknown app", path, "sdkappid", "1", "{}", 70020},
		{"no contenttype", path, "contenttype", "", "{}", 60025},
		{"random too large", path, "random", "4294967296", "{}", 60025},
		{"no usersig", path, "usersig", "", "{}", 60004},
		{"truncated usersig", path, "usersig", old[:20], "{}", 70003},
		{"another key", path, "usersig", wrongKey, "{}", 70009},
		{"another user's", path, "identifier", "alice", "{}", 70013},
		{"another app's", path, "usersig", wrongApp, "{}", 70014},
		{"empty body", path, "", "", "", 60003},
		{"no object", path, "", "", "[]", 60003},
		{"no JSON", path, "", "", "{", 60003},
		{"too large", path, "", "", `{"x":"` + strings.Repeat("x", 1<<20) + `"}`, 60002},
		{"another data centre", "/dc/sg" + path, "", "", "{}", 60026},
	} {
		q := url.Values{}
		for name, v := range good {
			q[name] = v
		}
		if tc.set != "" {
			q.Set(tc.set, tc.value)
		}
		status, answer := w.post(tc.path+"?"+q.Encode(), tc.body)
		if status != http.StatusOK || code(answer) != tc.code {
			t.Errorf("%s: status %d, %v; want code %d", tc.name, status, answer, tc.code)
		}
	}
	good.Set("sdkappid", "1400000002")
	good.Set("usersig", abroadSig)
	if _, answer := w.post(path+"?"+good.Encode(), "{}"); code(answer) != 60026 {
		t.Errorf("from home: %v", answer)
	}
	if _, answer := w.post("/dc/sg"+path+"?"+good.Encode(), `{"CheckItem":[{"UserID":"x"}]}`); code(answer) != 0 {
		t.Errorf("in its own data centre: %v", answer)
	}

	good = url.Values{"sdkappid": {"1400000000"}, "identifier": {"alice"}, "usersig": {w.sig("alice")}, "random": {"1"}, "contenttype": {"json"}}
	if _, answer := w.post(path+"?"+good.Encode(), "{}"); code(answer) != 60010 {
		t.Errorf("no admin: %v", answer)
	}
	good.Set("identifier", admin)
	good.Set("usersig", old)
	w.clock.Advance(24*time.Hour + time.Second)
	if _, answer := w.post(path+"?"+good.Encode(), "{}"); code(answer) != 70001 {
		t.Errorf("expired: %v", answer)
	}
}

func TestRatePerAPI(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.RatePerAPI = 0 })
	for command, rate := range map[string]int{"openim/query_online_status": 200, "im_open_login_svc/account_check": 100} {
		for i := range rate {
			if got := code(w.rest(command, "{}")); got == 60007 {
				t.Fatalf("%s: call %d refused", command, i+1)
			}
		}
		if got := code(w.rest(command, "{}")); got != 60007 {
			t.Errorf("%s: call %d answered with %d", command, rate+1, got)
		}
	}
	w.clock.Advance(time.Second)
	if got := code(w.rest("openim/query_online_status", "{}")); got == 60007 {
		t.Error("still refused a second later")
	}
}

func TestFaultsOfCalls(t *testing.T) {
	w := newWorld(t)
	w.importUsers("alice", "bob")
	w.app.FailNext("openim/sendmsg", imtest.Fault{Code: 60008}, imtest.Fault{Code: 91000, Worked: true}, imtest.Fault{LoseAnswer: true})
	body := func(n int) string {
		return fmt.Sprintf(`{"From_Account":"alice","To_Account":"bob","MsgSeq":%d,"MsgRandom":1,
			"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"%d"}}]}`, n, n)
	}
	w.check(t, []restCase{{"refused", "openim/sendmsg", body(1), 60008}, {"done all the same", "openim/sendmsg", body(2), 91000}})
	q := url.Values{"sdkappid": {fmt.Sprint(appID)}, "identifier": {admin}, "usersig": {w.sig(admin)}, "random": {"1"}, "contenttype": {"json"}}
	if resp, err := http.Post(w.web.URL+"/v4/openim/sendmsg?"+q.Encode(), "application/json", strings.NewReader(body(3))); err == nil {
		resp.Body.Close()
		t.Error("the answer was not lost")
	}
	first := w.do("openim/sendmsg", body(3)) // the retry with the same numbers
	if again := w.do("openim/sendmsg", body(3)); first["MsgKey"] != again["MsgKey"] {
		t.Errorf("answers %v and %v", first, again)
	}
	if got := texts(w.login("bob").Received()); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("bob saw %q", got)
	}
	calls := w.app.Calls()
	if last := calls[len(calls)-1]; last.Command != "openim/sendmsg" || last.Code != 0 || last.Body != body(3) {
		t.Errorf("noted %+v", last)
	}
}

// A late answer comes when its time has come; the work was done before.
func TestLateAnswers(t *testing.T) {
	for name, misbehave := range map[string]func(*imtest.App){
		"the next call": func(a *imtest.App) {
			a.FailNext("im_open_login_svc/account_import", imtest.Fault{Late: time.Hour})
		},
		"by chance": func(a *imtest.App) { a.Misbehave(imtest.Chaos{SlowAnswer: 1, DelayBy: time.Hour}) },
	} {
		w := newWorld(t)
		misbehave(w.app)
		answered := make(chan struct{})
		go func() { // time goes on once the work is done
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if w.app.State().User("alice").UserID != "" {
						w.clock.Advance(20 * time.Minute)
					}
				case <-answered:
					return
				}
			}
		}()
		w.do("im_open_login_svc/account_import", `{"UserID":"alice"}`)
		close(answered)
		if late := w.clock.Now().Sub(start); late < time.Hour {
			t.Errorf("%s: answered after %v", name, late)
		}
	}
}

// Names are exact: what encoding/json would forgive is a missing field to IM.
func TestNamesAreExact(t *testing.T) {
	w := newWorld(t)
	w.check(t, []restCase{{"wrong case", "im_open_login_svc/account_import", `{"UserId":"alice"}`, 70402}})
	w.do("im_open_login_svc/account_import", `{"UserID":"alice","nick":"A","FaceURL":"x"}`)
	calls := w.app.Calls()
	if got := calls[len(calls)-1].Unknown; !slices.Equal(got, []string{"FaceURL", "nick"}) {
		t.Errorf("unknown fields %q", got)
	}
}

// 269/1608, 269/4919, 269/38417, 269/3853, 269/2566.
func TestAccounts(t *testing.T) {
	w := newWorld(t)
	same(t, w.do("im_open_login_svc/account_import", `{"UserID":"alice","Nick":"Alice","FaceUrl":"https://a"}`),
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`)
	same(t, w.do("im_open_login_svc/multiaccount_import", `{"AccountList":[{"UserID":"bob"},{"UserID":"no blanks"}]}`)["FailAccounts"], `["no blanks"]`)
	same(t, w.do("im_open_login_svc/multiaccount_import", `{"Accounts":["carol"]}`)["FailAccounts"], `[]`)
	same(t, w.do("im_open_login_svc/account_check", `{"CheckItem":[{"UserID":"carol"},{"UserID":"nobody"}]}`)["ResultItem"], `[
		{"UserID":"carol","ResultCode":0,"ResultInfo":"","AccountStatus":"Imported"},
		{"UserID":"nobody","ResultCode":0,"ResultInfo":"","AccountStatus":"NotImported"}]`)
	if got := w.app.State().User("alice").Profile["Tag_Profile_IM_Nick"]; got != "Alice" {
		t.Errorf("Nick is %v", got)
	}

	bob := w.login("bob")
	w.loginOn("bob", "iOS").Vanish()
	same(t, w.do("openim/query_online_status", `{"To_Account":["bob","carol","nobody"],"IsNeedDetail":1}`), `{
		"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"QueryResult":[{"To_Account":"bob","Status":"Online","Detail":[{"Platform":"Web","Status":"Online"},{"Platform":"iOS","Status":"Online"}]},
			{"To_Account":"carol","Status":"Offline"}],
		"ErrorList":[{"To_Account":"nobody","ErrorCode":70107}]}`)
	same(t, w.do("openim/querystate", `{"To_Account":["carol"]}`)["QueryResult"], `[{"To_Account":"carol","State":"Offline"}]`)
	w.do("im_open_login_svc/kick", `{"UserID":"bob"}`)
	if e := bob.Events(); len(e) != 1 || e[0].Kind != "kickedOffline" {
		t.Errorf("bob was told %+v", e)
	}
	same(t, w.do("openim/query_online_status", `{"To_Account":["bob"]}`)["QueryResult"], `[{"To_Account":"bob","Status":"Offline"}]`)

	deleted := w.do("im_open_login_svc/account_delete", `{"DeleteItem":[{"UserID":"carol"},{"UserID":"nobody"}]}`)["ResultItem"].([]any)
	if deleted[0].(map[string]any)["ResultCode"] != 0.0 || deleted[1].(map[string]any)["ResultCode"] != 70107.0 {
		t.Errorf("deleted %v", deleted)
	}
	w.check(t, []restCase{
		{"deleted for good", "im_open_login_svc/account_import", `{"UserID":"carol"}`, 70399},
		{"no UserID", "im_open_login_svc/account_import", `{}`, 70402},
		{"UserID no string", "im_open_login_svc/account_import", `{"UserID":7}`, 70402},
		{"33 bytes", "im_open_login_svc/account_import", `{"UserID":"` + strings.Repeat("x", 33) + `"}`, 70402},
		{"101 imported", "im_open_login_svc/multiaccount_import", `{"AccountList":` + many(101, "UserID") + `}`, 70402},
		{"100 imported", "im_open_login_svc/multiaccount_import", `{"AccountList":` + many(100, "UserID") + `}`, 0},
		{"101 checked", "im_open_login_svc/account_check", `{"CheckItem":` + many(101, "UserID") + `}`, 70402},
		{"101 deleted", "im_open_login_svc/account_delete", `{"DeleteItem":` + many(101, "UserID") + `}`, 70402},
		{"kick of nobody", "im_open_login_svc/kick", `{"UserID":"nobody"}`, 70107},
		{"kick without UserID", "im_open_login_svc/kick", `{}`, 70402},
		{"status of 500", "openim/query_online_status", `{"To_Account":` + many(500, "") + `}`, 0},
		{"status of 501", "openim/query_online_status", `{"To_Account":` + many(501, "") + `}`, 90011},
		{"status of none", "openim/query_online_status", `{}`, 90003},
		{"status of a text", "openim/query_online_status", `{"To_Account":"bob"}`, 90003},
	})
}

// 269/3853.
func TestAKickVoidsOlderUserSigs(t *testing.T) {
	w := newWorld(t)
	w.importUsers("bob")
	old := w.sig("bob")
	w.do("im_open_login_svc/kick", `{"UserID":"bob"}`)
	if _, err := w.app.Login("bob", old, imtest.Device{}); imtest.Code(err) != 70052 {
		t.Errorf("the old UserSig: %v", err)
	}
	w.clock.Advance(time.Second)
	w.login("bob")

	w = newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.KickKeepsSigs = true })
	w.importUsers("bob")
	old = w.sig("bob")
	w.do("im_open_login_svc/kick", `{"UserID":"bob"}`)
	if _, err := w.app.Login("bob", old, imtest.Device{}); err != nil {
		t.Errorf("where a kick keeps them: %v", err)
	}
}

func text(s string) string { return `[{"MsgType":"TIMTextElem","MsgContent":{"Text":"` + s + `"}}]` }

// 269/2282.
func TestSendmsg(t *testing.T) {
	w := newWorld(t)
	w.importUsers("bot1", "u1")
	u1, bot1 := w.login("u1"), w.login("bot1")
	w.settle()
	w.backend.forget()
	same(t, w.do("openim/sendmsg", `{"SyncOtherMachine":2,"From_Account":"bot1","To_Account":"u1","MsgSeq":93847636,"MsgRandom":1287657,
		"MsgBody":`+text("hi")+`,"CloudCustomData":"c"}`),
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgTime":1772366400,"MsgKey":"93847636_1287657_1772366400",
		"MsgId":"14411593847636_1287657_1772366400"}`)
	if h := w.hook("C2C.CallbackBeforeSendMsg"); h.Query.Get("OptPlatform") != "RESTAPI" {
		t.Errorf("query %v", h.Query)
	}
	w.hook("C2C.CallbackAfterSendMsg")
	w.do("openim/sendmsg", `{"To_Account":"u1","MsgRandom":1,"MsgBody":`+text("quietly")+`,
		"ForbidCallbackControl":["ForbidBeforeSendMsgCallback","ForbidAfterSendMsgCallback"]}`)
	w.hook("C2C.CallbackBeforeSendMsg") // still one of each
	w.hook("C2C.CallbackAfterSendMsg")
	got := u1.Received()
	if !slices.Equal(texts(got), []string{"hi", "quietly"}) || got[0].From != "bot1" || got[1].From != admin {
		t.Errorf("u1 received %+v", got)
	}
	if n := len(bot1.Received()); n != 0 {
		t.Errorf("SyncOtherMachine 2 gave the sender %d messages", n)
	}
	send := func(fields string) string {
		return `{"From_Account":"bot1","To_Account":"u1","MsgRandom":9,` + fields + `}`
	}
	body := `"MsgBody":` + text("x")
	big := strings.Repeat("x", 12<<10)
	w.check(t, []restCase{
		{"no To_Account", "openim/sendmsg", `{"MsgRandom":1,` + body + `}`, 90003},
		{"To_Account a list", "openim/sendmsg", `{"To_Account":["u1"],"MsgRandom":1,` + body + `}`, 90003},
		{"unknown receiver", "openim/sendmsg", `{"To_Account":"nobody","MsgRandom":1,` + body + `}`, 20003},
		{"unknown sender", "openim/sendmsg", `{"From_Account":"nobody","To_Account":"u1","MsgRandom":1,` + body + `}`, 90008},
		{"no MsgRandom", "openim/sendmsg", `{"To_Account":"u1",` + body + `}`, 90005},
		{"MsgRandom a text", "openim/sendmsg", `{"To_Account":"u1","MsgRandom":"1",` + body + `}`, 90005},
		{"MsgRandom too large", "openim/sendmsg", `{"To_Account":"u1","MsgRandom":4294967296,` + body + `}`, 90005},
		{"no MsgBody", "openim/sendmsg", send(`"MsgLifeTime":1`), 90007},
		{"MsgBody an object", "openim/sendmsg", send(`"MsgBody":{}`), 90007},
		{"MsgBody empty", "openim/sendmsg", send(`"MsgBody":[]`), 90007},
		{"unknown element", "openim/sendmsg", send(`"MsgBody":[{"MsgType":"TIMSongElem","MsgContent":{}}]`), 90002},
		{"Data no string", "openim/sendmsg", send(`"MsgBody":[{"MsgType":"TIMCustomElem","MsgContent":{"Data":{"a":1}}}]`), 90002},
		{"text misspelt", "openim/sendmsg", send(`"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"text":"x"}}]`), 90002},
		{"two custom elements", "openim/sendmsg", send(`"MsgBody":[{"MsgType":"TIMCustomElem","MsgContent":{"Data":"1"}},{"MsgType":"TIMCustomElem","MsgContent":{"Data":"2"}}]`), 90002},
		{"over 12 KB", "openim/sendmsg", send(`"MsgBody":` + text(big)), 93000},
		{"over 12 KB with custom data", "openim/sendmsg", send(body + `,"CloudCustomData":"` + big + `"`), 93000},
		{"kept over 7 days", "openim/sendmsg", send(body + `,"MsgLifeTime":604801`), 90026},
		{"MsgLifeTime a text", "openim/sendmsg", send(body + `,"MsgLifeTime":"1"`), 90044},
		{"SyncOtherMachine 3", "openim/sendmsg", send(body + `,"SyncOtherMachine":3`), 90031},
		{"misspelt switch", "openim/sendmsg", send(body + `,"ForbidCallbackControl":["ForbidBeforeSendMsg"]`), 90001},
	})
	if n := len(u1.Received()); n != 2 {
		t.Errorf("bad input was delivered: %d messages", n)
	}
}

func TestSendmsgReceiverSwitch(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.MissingReceiverIs90012 = true })
	w.check(t, []restCase{{"unknown receiver", "openim/sendmsg", `{"To_Account":"nobody","MsgRandom":1,"MsgBody":` + text("x") + `}`, 90012}})
}

// A repeated sendmsg is known for 120 seconds by sender, numbers and content
// (269/2282); without MsgSeq it is a new message.
func TestSendmsgRepeats(t *testing.T) {
	w := newWorld(t)
	w.importUsers("u1", "u2")
	u1 := w.login("u1")
	numbered := `{"To_Account":"u1","MsgSeq":1,"MsgRandom":1,"MsgBody":` + text("once") + `}`
	w.do("openim/sendmsg", numbered)
	w.clock.Advance(119 * time.Second)
	w.do("openim/sendmsg", numbered)
	w.do("openim/sendmsg", strings.Replace(numbered, "once", "other", 1))
	w.do("openim/sendmsg", strings.Replace(numbered, `"MsgSeq":1,`, "", 1))
	w.do("openim/sendmsg", strings.Replace(numbered, `"MsgSeq":1,`, "", 1))
	w.clock.Advance(time.Second)
	w.do("openim/sendmsg", numbered)
	if got := texts(u1.Received()); !slices.Equal(got, []string{"once", "other", "once", "once", "once"}) {
		t.Errorf("u1 received %q", got)
	}
}

// Users are held to friends, blacklists and mutes; REST is not (269/2282).
func TestUserPolicies(t *testing.T) {
	w := newWorld(t)
	alice, _ := w.login("alice"), w.login("bob")
	if _, err := alice.CreateGroup("Public", "g", "G"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, command, body string
		code                int // what alice gets when she writes to bob
	}{
		{"friends only", "profile/portrait_set", `{"From_Account":"bob","ProfileItem":[{"Tag":"Tag_Profile_IM_AllowType","Value":"AllowType_Type_FriendOnlyChat"}]}`, 20009},
		{"friends", "sns/friend_add", `{"From_Account":"alice","AddFriendItem":[{"To_Account":"bob","AddSource":"AddSource_Type_XX"}],"ForceAddFlags":1}`, 0},
		{"blocked", "sns/black_list_add", `{"From_Account":"bob","To_Account":["alice"]}`, 20007},
		{"unblocked", "sns/black_list_delete", `{"From_Account":"bob","To_Account":["alice"]}`, 0},
		{"muted", "openconfigsvr/setnospeaking", `{"Set_Account":"alice","C2CmsgNospeakingTime":60,"GroupmsgNospeakingTime":4294967295}`, 20012},
	} {
		w.do(step.command, step.body)
		if _, err := alice.SendTo("bob", imtest.Draft{Text: step.name}); imtest.Code(err) != step.code {
			t.Errorf("%s: %v, want %d", step.name, err, step.code)
		}
		w.do("openim/sendmsg", `{"From_Account":"alice","To_Account":"bob","MsgRandom":1,"MsgBody":`+text("by REST")+`}`)
	}
	if _, err := alice.Send("g", imtest.Draft{Text: "x"}); imtest.Code(err) != 10017 {
		t.Errorf("to a group: %v", err)
	}
	w.clock.Advance(time.Minute)
	if _, err := alice.SendTo("bob", imtest.Draft{Text: "x"}); err != nil {
		t.Error("after the mute:", err)
	}
	if _, err := alice.Send("g", imtest.Draft{Text: "x"}); imtest.Code(err) != 10017 {
		t.Errorf("muted for ever, to a group: %v", err)
	}
	w.check(t, []restCase{
		{"nobody", "openconfigsvr/setnospeaking", `{"Set_Account":"nobody","C2CmsgNospeakingTime":60}`, 70107},
		{"no time", "openconfigsvr/setnospeaking", `{"Set_Account":"alice"}`, 130001},
	})
}

// 269/1612.
func TestBatchsendmsg(t *testing.T) {
	w := newWorld(t)
	w.importUsers("u1", "u2")
	u1 := w.login("u1")
	w.settle()
	w.backend.forget()
	body := func(to string) string {
		return `{"To_Account":` + to + `,"MsgSeq":1,"MsgRandom":1,"MsgBody":` + text("all") + `}`
	}
	same(t, w.do("openim/batchsendmsg", body(`["u1","u2"]`)), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgKey":"1_1_1772366400"}`)
	same(t, w.do("openim/batchsendmsg", body(`["u1","nobody"]`)), `{"ActionStatus":"SomeError","ErrorInfo":"","ErrorCode":0,
		"ErrorList":[{"To_Account":"nobody","ErrorCode":70107}],"MsgKey":"1_1_1772366400"}`)
	if got := texts(u1.Received()); !slices.Equal(got, []string{"all"}) {
		t.Errorf("u1 received %q", got)
	}
	w.settle()
	if n := len(w.backend.got("C2C.CallbackBeforeSendMsg")) + len(w.backend.got("C2C.CallbackAfterSendMsg")); n != 0 {
		t.Errorf("%d callbacks; a batch makes none", n)
	}
	w.check(t, []restCase{
		{"501", "openim/batchsendmsg", body(many(501, "")), 90011},
		{"all unknown", "openim/batchsendmsg", body(many(3, "")), 90012},
		{"none", "openim/batchsendmsg", body("[]"), 90003},
		{"a text", "openim/batchsendmsg", body(`"u1"`), 90003},
	})
	w.clock.Advance(time.Minute)
	for range 24 {
		w.rest("openim/batchsendmsg", body(many(500, "")))
	}
	w.check(t, []restCase{{"over 12000 a minute", "openim/batchsendmsg", body(`["u1"]`), 60007}})
	w.clock.Advance(time.Minute)
	w.check(t, []restCase{{"the next minute", "openim/batchsendmsg", body(`["u1"]`), 0}})
}

// 269/42794, 1047/35015, 269/74740, 1047/43465, 1047/43466.
func TestC2CHistory(t *testing.T) {
	w := newWorld(t)
	w.importUsers("a", "b")
	b := w.login("b")
	w.settle()
	w.backend.forget()
	keys := make([]string, 7)
	for i := range keys {
		answer := w.do("openim/sendmsg", fmt.Sprintf(`{"From_Account":"a","To_Account":"b","MsgSeq":%d,"MsgRandom":1,"MsgBody":%s}`, i, text(fmt.Sprint(i))))
		keys[i] = answer["MsgKey"].(string)
		if i%2 == 1 {
			w.clock.Advance(time.Second) // two messages a second
		}
	}
	var got []string
	query := `{"Operator_Account":"a","Peer_Account":"b","MaxCnt":3,"MinTime":0,"MaxTime":4000000000}`
	for range 10 {
		page := w.do("openim/admin_getroammsg", query)
		for _, m := range page["MsgList"].([]any) {
			got = append(got, m.(map[string]any)["MsgKey"].(string))
		}
		if page["Complete"] == 1.0 {
			break
		}
		query = fmt.Sprintf(`{"Operator_Account":"a","Peer_Account":"b","MaxCnt":3,"MinTime":0,"MaxTime":%.0f,"LastMsgKey":%q}`, page["LastMsgTime"], page["LastMsgKey"])
	}
	want := slices.Clone(keys)
	slices.Reverse(want)
	if !slices.Equal(got, want) {
		t.Errorf("paged %q\nwant  %q", got, want)
	}

	same(t, w.do("openim/get_c2c_unread_msg_num", `{"To_Account":"b","Peer_Account":["a"]}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"AllC2CUnreadMsgNum":7,"C2CUnreadMsgNumList":[{"Peer_Account":"a","C2CUnreadMsgNum":7}]}`)
	w.do("openim/admin_msgwithdraw", fmt.Sprintf(`{"From_Account":"a","To_Account":"b","MsgKey":%q}`, keys[6]))
	same(t, w.hook("C2C.CallbackAfterMsgWithDraw").Body, fmt.Sprintf(`{"CallbackCommand":"C2C.CallbackAfterMsgWithDraw","From_Account":"a",
		"To_Account":"b","MsgKey":%q,"UnreadMsgNum":6,"EventTime":1772366403000}`, keys[6]))
	w.do("openim/modify_c2c_msg", fmt.Sprintf(`{"From_Account":"a","To_Account":"b","MsgKey":%q,"MsgBody":%s}`, keys[5], text("changed")))
	w.do("openim/admin_set_msg_read", `{"Report_Account":"b","Peer_Account":"a"}`)
	same(t, w.hook("C2C.CallbackAfterMsgReport").Body, `{"CallbackCommand":"C2C.CallbackAfterMsgReport","Report_Account":"b","Peer_Account":"a",
		"LastReadTime":1772366403,"UnreadMsgNum":0,"EventTime":1772366403000}`)
	newest := w.do("openim/admin_getroammsg", `{"From_Account":"b","To_Account":"a","MaxCnt":2,"MinTime":0,"MaxTime":4000000000}`)["MsgList"].([]any)
	if m := newest[0].(map[string]any); m["MsgFlagBits"] != 8.0 {
		t.Errorf("recalled: %v", m)
	}
	same(t, newest[1].(map[string]any)["MsgBody"], text("changed"))
	var kinds []string
	for _, e := range b.Events()[7:] {
		kinds = append(kinds, e.Kind)
	}
	if !slices.Equal(kinds, []string{"recalled", "modified"}) {
		t.Errorf("b was told %q", kinds)
	}

	w.check(t, []restCase{
		{"recalled twice", "openim/admin_msgwithdraw", fmt.Sprintf(`{"From_Account":"a","To_Account":"b","MsgKey":%q}`, keys[6]), 20023},
		{"of the other side", "openim/admin_msgwithdraw", fmt.Sprintf(`{"From_Account":"b","To_Account":"a","MsgKey":%q}`, keys[0]), 20022},
		{"unknown key", "openim/modify_c2c_msg", `{"From_Account":"a","To_Account":"b","MsgKey":"9_9_9","CloudCustomData":""}`, 20022},
		{"no key", "openim/admin_msgwithdraw", `{"From_Account":"a","To_Account":"b","MsgKey":"x"}`, 90054},
		{"nothing to change", "openim/modify_c2c_msg", fmt.Sprintf(`{"From_Account":"a","To_Account":"b","MsgKey":%q}`, keys[0]), 90007},
		{"unknown account", "openim/admin_msgwithdraw", `{"From_Account":"nobody","To_Account":"b","MsgKey":"1_1_1"}`, 90008},
		{"no MaxCnt", "openim/admin_getroammsg", `{"Operator_Account":"a","Peer_Account":"b","MinTime":0,"MaxTime":1}`, 90001},
		{"unread of nobody", "openim/get_c2c_unread_msg_num", `{"To_Account":"nobody"}`, 90048},
		{"read by nobody", "openim/admin_set_msg_read", `{"Report_Account":"nobody","Peer_Account":"a"}`, 90008},
	})
}

// One answer holds about 13 KB of messages.
func TestC2CHistoryIsCapped(t *testing.T) {
	w := newWorld(t)
	w.importUsers("a", "b")
	for i := range 3 {
		w.do("openim/sendmsg", fmt.Sprintf(`{"From_Account":"a","To_Account":"b","MsgSeq":%d,"MsgRandom":1,"MsgBody":%s}`, i, text(strings.Repeat("x", 6000))))
	}
	page := w.do("openim/admin_getroammsg", `{"Operator_Account":"a","Peer_Account":"b","MaxCnt":3,"MinTime":0,"MaxTime":4000000000}`)
	if page["Complete"] != 0.0 || page["MsgCnt"] != 2.0 {
		t.Errorf("Complete %v, MsgCnt %v", page["Complete"], page["MsgCnt"])
	}
}

// 269/1640, 269/1639, 269/1643, 1047/48733.
func TestProfilesAndFriends(t *testing.T) {
	w := newWorld(t)
	w.importUsers("a", "b", "c")
	w.do("profile/portrait_set", `{"From_Account":"a","ProfileItem":[{"Tag":"Tag_Profile_IM_Nick","Value":"A"},{"Tag":"Tag_Profile_IM_Level","Value":3}]}`)
	same(t, w.hook("Profile.CallbackPortraitSet").Body, `{"CallbackCommand":"Profile.CallbackPortraitSet","Operator_Account":"administrator",
		"From_Account":"a","EventTime":1772366400000,"ProfileItem":[{"Tag":"Tag_Profile_IM_Level","Value":3},{"Tag":"Tag_Profile_IM_Nick","Value":"A"}]}`)
	same(t, w.do("profile/portrait_get", `{"To_Account":["a","nobody"],"TagList":["Tag_Profile_IM_Nick"]}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"UserProfileItem":[{"To_Account":"a","ProfileItem":[{"Tag":"Tag_Profile_IM_Nick","Value":"A"}],"ResultCode":0,"ResultInfo":""},
			{"To_Account":"nobody","ResultCode":40003,"ResultInfo":"not imported"}],"Fail_Account":["nobody"]}`)
	w.do("profile/portrait_set", `{"From_Account":"c","ProfileItem":[{"Tag":"Tag_Profile_IM_AllowType","Value":"AllowType_Type_NeedConfirm"}]}`)
	same(t, w.do("sns/friend_add", `{"From_Account":"a","AddFriendItem":[{"To_Account":"b","AddSource":"AddSource_Type_XX"},
		{"To_Account":"c","AddSource":"AddSource_Type_XX"},{"To_Account":"nobody","AddSource":"AddSource_Type_XX"}],"AddType":"Add_Type_Both"}`)["ResultItem"],
		`[{"To_Account":"b","ResultCode":0,"ResultInfo":""},{"To_Account":"c","ResultCode":30539,"ResultInfo":"waits for consent"},
		{"To_Account":"nobody","ResultCode":30003,"ResultInfo":"not imported"}]`)
	same(t, w.hook("Sns.CallbackFriendAdd").Body["PairList"], `[{"From_Account":"a","To_Account":"b","Initiator_Account":"a"},
		{"From_Account":"b","To_Account":"a","Initiator_Account":"a"}]`)
	same(t, w.do("sns/friend_check", `{"From_Account":"a","To_Account":["b","c"],"CheckType":"CheckResult_Type_Both"}`)["InfoItem"],
		`[{"To_Account":"b","Relation":"CheckResult_Type_BothWay","ResultCode":0,"ResultInfo":""},
		{"To_Account":"c","Relation":"CheckResult_Type_NoRelation","ResultCode":0,"ResultInfo":""}]`)
	w.do("sns/friend_delete", `{"From_Account":"a","To_Account":["b"],"DeleteType":"Delete_Type_Both"}`)
	same(t, w.hook("Sns.CallbackFriendDelete").Body["PairList"], `[{"From_Account":"a","To_Account":"b"}]`)
	if f := w.app.State().User("b").Friends; len(f) != 0 {
		t.Errorf("b still has %q", f)
	}
	set := func(tag, value string) string {
		return `{"From_Account":"a","ProfileItem":[{"Tag":"` + tag + `","Value":` + value + `}]}`
	}
	w.check(t, []restCase{
		{"unknown user", "profile/portrait_set", `{"From_Account":"nobody","ProfileItem":[{"Tag":"Tag_Profile_IM_Nick","Value":"A"}]}`, 40003},
		{"unknown tag", "profile/portrait_set", set("Tag_Profile_IM_Shoe", `"x"`), 40009},
		{"custom tag", "profile/portrait_set", set("Tag_Profile_Custom_shoe", `"x"`), 0},
		{"custom tag too long", "profile/portrait_set", set("Tag_Profile_Custom_shoeshoes", `"x"`), 40009},
		{"501 bytes", "profile/portrait_set", set("Tag_Profile_IM_Nick", `"`+strings.Repeat("x", 501)+`"`), 40601},
		{"level a text", "profile/portrait_set", set("Tag_Profile_IM_Level", `"3"`), 40605},
		{"nick a number", "profile/portrait_set", set("Tag_Profile_IM_Nick", `3`), 40610},
		{"nothing", "profile/portrait_set", `{"From_Account":"a"}`, 40001},
		{"profiles of 101", "profile/portrait_get", `{"To_Account":` + many(101, "") + `,"TagList":["Tag_Profile_IM_Nick"]}`, 40001},
		{"friend of nobody", "sns/friend_add", `{"From_Account":"nobody","AddFriendItem":[{"To_Account":"b","AddSource":"AddSource_Type_XX"}]}`, 30003},
		{"no friends", "sns/friend_add", `{"From_Account":"a"}`, 30001},
		{"no check type", "sns/friend_check", `{"From_Account":"a","To_Account":["b"]}`, 30001},
	})
}

package imtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

const controlled = "/emulator/apps/1400000000"

// control calls a route that must succeed.
func (w *world) control(method, path, body string) map[string]any {
	w.t.Helper()
	status, answer := w.call(method, path, "", body)
	if status != http.StatusOK {
		w.t.Fatalf("%s %s %s: %d %v", method, path, body, status, answer)
	}
	return answer
}

func TestControl(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	w.server.AddApp(imtest.AppConfig{SDKAppID: 1400000002, Key: key, DataCentre: "singapore", Admins: []string{"root"}})
	same(t, w.control("GET", "/emulator/apps", ""), `{"apps":[{"sdkAppId":1400000000,"dataCentre":"","admins":["administrator"]},
		{"sdkAppId":1400000002,"dataCentre":"singapore","admins":["root"]}]}`)
	same(t, w.control("GET", controlled+"/state", ""), asJSON(w.app.State()))
	same(t, w.control("GET", controlled+"/users/bob/seen", "")["messages"], asJSON(w.app.Seen("bob")))
	same(t, w.control("GET", controlled+"/calls", "")["calls"], asJSON(w.app.Calls()))

	// Chaos and faults.
	same(t, w.control("PUT", controlled+"/chaos", `{"duplicate":1,"delayMillis":1500}`), `{"duplicate":1,"reorder":0,"delay":0,"drop":0,
		"slowBefore":0,"loseAnswer":0,"slowAnswer":0,"refuse":0,"code":60008,"delayMillis":1500}`)
	if _, err := alice.Send("team", imtest.Draft{Text: "twice told"}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.hooks("Group.CallbackAfterSendMsg")); n != 2 {
		t.Errorf("told %d times, want 2", n)
	}
	if got := w.control("GET", controlled+"/chaos", "")["duplicate"]; got != 1.0 {
		t.Errorf("duplicate is %v", got)
	}
	w.control("PUT", controlled+"/chaos", `{}`)
	w.control("POST", controlled+"/faults", `{"command":"openim/sendmsg","faults":[{"code":91000},{"status":502}]}`)
	w.check(t, []restCase{{"as asked", "openim/sendmsg", `{}`, 91000}})
	q := url.Values{"sdkappid": {"1400000000"}, "identifier": {admin}, "usersig": {w.sig(admin)}, "random": {"1"}, "contenttype": {"json"}}
	if resp, err := http.Post(w.web.URL+"/v4/openim/sendmsg?"+q.Encode(), "", strings.NewReader("{}")); err != nil || resp.StatusCode != http.StatusBadGateway {
		t.Errorf("as asked: %v, %v", resp, err)
	}

	// The console.
	console := w.control("PATCH", controlled+"/console", `{"retryCallbacks":true,"blockGroupOnFailure":true,"callbacks":["Group.CallbackBeforeSendMsg"]}`)
	same(t, console, fmt.Sprintf(`{"callbackUrl":%q,"signed":true,"callbacks":["Group.CallbackBeforeSendMsg"],"retryCallbacks":true,
		"blockC2COnFailure":false,"blockGroupOnFailure":true}`, w.backend.URL+"/im"))
	w.control("PATCH", controlled+"/console", `{"callbackToken":"another","allCallbacks":true,"blockC2COnFailure":true}`)
	if c := w.app.Console(); c.CallbackToken != "another" || c.Callbacks != nil || !c.RetryCallbacks || !c.BlockC2COnFailure {
		t.Errorf("the console has %+v", c)
	}
	same(t, w.control("PATCH", controlled+"/console", `{"callbackToken":"","callbackUrl":""}`)["signed"], `false`)

	// Time.
	same(t, w.control("GET", "/emulator/clock", ""), `{"now":"2026-03-01T12:00:00Z","manual":true,"skewMillis":0}`)
	same(t, w.control("POST", "/emulator/clock", `{"advanceMillis":600000}`)["now"], `"2026-03-01T12:10:00Z"`)

	// And over again.
	w.control("POST", controlled+"/reset", `{}`)
	s := w.app.State()
	if len(s.Users) != 1 || len(s.Groups) != 0 || len(s.Conversations) != 0 || len(s.Callbacks) != 0 || len(w.app.Calls()) != 0 {
		t.Errorf("left after the reset: %+v", s)
	}
	if e := bob.Events(); e[len(e)-1].Kind != "kickedOffline" {
		t.Errorf("bob was told %+v", e[len(e)-1])
	}
	if err := bob.Heartbeat(); imtest.Code(err) != 6014 {
		t.Errorf("bob's device lives: %v", err)
	}
	furnish(w)
}

// What is wrong is refused and changes nothing.
func TestControlRefuses(t *testing.T) {
	w := newWorld(t)
	w.login("alice")
	w.settle()
	before := asJSON(w.app.State()) + asJSON(w.app.Console()) + asJSON(w.control("GET", controlled+"/chaos", ""))
	for _, tc := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/emulator/apps/1/state", "", 404},
		{"GET", "/emulator/apps/x/state", "", 404},
		{"GET", "/emulator/apps/5694967296/state", "", 404}, // 1400000000 in 32 bits
		{"GET", controlled + "/users/nobody/seen", "", 404},
		{"POST", controlled + "/callbacks/x/replay", "{}", 404},
		{"POST", controlled + "/callbacks/99/replay", "{}", 422},
		{"GET", "/emulator/apps/1/callbacks/events", "", 404},
		{"GET", controlled + "/callbacks/events?after=x", "", 422},
		{"PUT", controlled + "/chaos", `{"duplicate":1.1}`, 422},
		{"PUT", controlled + "/chaos", `{"drop":-1}`, 422},
		{"PUT", controlled + "/chaos", `{"delayMillis":3600001}`, 422},
		{"PUT", controlled + "/chaos", `{"dropped":1}`, 400},
		{"PUT", "/emulator/apps/1/chaos", `{}`, 404},
		{"POST", controlled + "/faults", `{"command":"openim/send","faults":[{"code":1}]}`, 422},
		{"POST", controlled + "/faults", `{"command":"openim/sendmsg"}`, 422},
		{"POST", controlled + "/faults", `{"command":"openim/sendmsg","faults":[{"status":200}]}`, 422},
		{"POST", controlled + "/faults", `{"command":"openim/sendmsg","faults":[{"lateMillis":-1}]}`, 422},
		{"PATCH", controlled + "/console", `{"callbackUrl":"file:///etc"}`, 422},
		{"PATCH", controlled + "/console", `{"callbackUrl":"127.0.0.1"}`, 422},
		{"PATCH", controlled + "/console", `{"retryCallbacks":"yes"}`, 400},
		{"POST", "/emulator/clock", `{"advanceMillis":-1}`, 422},
		{"POST", "/emulator/clock", `{"advanceMillis":9223372036854775807}`, 422},
		{"POST", "/emulator/clock", `{"skewMillis":1}`, 422},
	} {
		status, answer := w.call(tc.method, tc.path, "", tc.body)
		e, _ := answer["error"].(map[string]any)
		if status != tc.status || e["message"] == "" {
			t.Errorf("%s %s: %d %v, want %d", tc.path, tc.body, status, answer, tc.status)
		}
	}
	if after := asJSON(w.app.State()) + asJSON(w.app.Console()) + asJSON(w.control("GET", controlled+"/chaos", "")); after != before {
		t.Errorf("changed\n%s\n%s", before, after)
	}
}

// The feed of callbacks shows each as it happens, and goes on where it broke off.
func TestCallbackFeed(t *testing.T) {
	w := newWorld(t)
	alice, _ := room(w)
	last := w.app.Callbacks()[len(w.app.Callbacks())-1].N
	next, end := w.listen(controlled+"/callbacks/events?after="+fmt.Sprint(last), "")
	w.backend.answers("Group.CallbackBeforeSendMsg", `{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":1}`)
	if _, err := alice.Send("live", imtest.Draft{Text: "bad"}); imtest.Code(err) != 10016 {
		t.Fatal(err)
	}
	e, _ := next()
	var c imtest.Callback
	if err := json.Unmarshal([]byte(e.data), &c); err != nil {
		t.Fatal(err)
	}
	if e.kind != "callback" || e.id != fmt.Sprint(last+1) || c.Command != "Group.CallbackBeforeSendMsg" || c.Verdict != "reject" || c.Status != 200 ||
		!strings.Contains(string(c.Request), "bad") || !strings.Contains(string(c.Answer), `"ErrorCode":1`) || !strings.HasPrefix(c.Query, "SdkAppid=") {
		t.Errorf("told %+v", e)
	}
	end()
	replayed := w.control("POST", fmt.Sprintf("%s/callbacks/%d/replay", controlled, c.N), `{}`)
	if replayed["replayOf"] != float64(c.N) || replayed["verdict"] != "reject" {
		t.Errorf("replayed %v", replayed)
	}
	next, _ = w.listen(controlled+"/callbacks/events", e.id)
	if again, _ := next(); again.id != fmt.Sprint(last+2) || !strings.Contains(again.data, `"replayOf"`) {
		t.Errorf("told %+v", again)
	}
	w.server.Close()
	if e, ok := next(); ok {
		t.Errorf("the feed goes on after the end: %+v", e)
	}
}

// Nobody else's page may use the routes for pages: neither by a name that leads
// to this machine from elsewhere, nor from another origin.
func TestForeignPagesAreRefused(t *testing.T) {
	w := newWorld(t)
	own := strings.TrimPrefix(w.web.URL, "http://")
	_, port, _ := strings.Cut(own, ":")
	for _, tc := range []struct {
		host, origin string
		allowed      bool
	}{
		{own, "", true},
		{own, w.web.URL, true},
		{own, "http://127.0.0.1:8080", true}, // Options.Origins
		{"localhost:" + port, "http://localhost:" + port, true},
		{"[::1]:" + port, "", true},
		{"127.0.0.1", "", true},
		{own, "http://127.0.0.1:8081", false},
		{own, "https://evil.example", false},
		{own, "null", false},
		{"evil.example:" + port, "", false},
		{"evil.example:" + port, "http://evil.example:" + port, false},
		{"127.0.0.1.evil.example", "", false},
		{"localhost.evil.example:" + port, "", false},
		{"", "", false},
	} {
		for _, path := range []string{"/client/history", "/emulator/apps"} {
			for _, method := range []string{http.MethodGet, http.MethodOptions} {
				req, err := http.NewRequest(method, w.web.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = tc.host
				if tc.host == "" {
					req.Host = "." // an empty Host would be filled in
				}
				if tc.origin != "" {
					req.Header.Set("Origin", tc.origin)
				}
				resp, err := w.web.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if allowed := resp.StatusCode != http.StatusForbidden; allowed != tc.allowed {
					t.Errorf("%s %s from %q at %q: %d", method, path, tc.origin, tc.host, resp.StatusCode)
				}
				cors := resp.Header.Get("Access-Control-Allow-Origin")
				if want := tc.origin == "http://127.0.0.1:8080"; (cors == tc.origin && cors != "") != want {
					t.Errorf("from %q: Access-Control-Allow-Origin %q", tc.origin, cors)
				}
			}
		}
	}
}

// Served elsewhere than on loopback, names are the user's own affair.
func TestHostsBeyondLoopback(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest(http.MethodGet, "/emulator/apps", nil) // no connection, so no address
	r.Host = "emulator.internal"
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		t.Errorf("status %d", rec.Code)
	}
}

func TestControlIsOptional(t *testing.T) {
	web := httptest.NewServer(imtest.NewServer(imtest.Options{}))
	defer web.Close()
	resp, err := http.Get(web.URL + "/emulator/apps")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// A running clock is skewed, not moved: callbacks carry IM's time.
func TestSkew(t *testing.T) {
	b := newBackend(t)
	emu := imtest.NewServer(imtest.Options{Control: true})
	web := httptest.NewServer(emu)
	t.Cleanup(func() { emu.Close(); web.Close() })
	w := &world{t: t, clock: emu.Clock(), server: emu, web: web, backend: b}
	w.app = emu.AddApp(imtest.AppConfig{SDKAppID: appID, Key: key, CallbackURL: b.URL, CallbackToken: token})
	w.signer = newSigner(t, w.clock)
	w.control("POST", "/emulator/clock", `{"skewMillis":-3600000}`)
	if ago := time.Since(w.clock.Now()); ago < time.Hour || ago > time.Hour+time.Minute {
		t.Errorf("the clock is %v behind", ago)
	}
	w.login("alice")
	var at int64
	if _, err := fmt.Sscan(w.hook("State.StateChange").Query.Get("RequestTime"), &at); err != nil {
		t.Fatal(err)
	}
	if ago := time.Since(time.Unix(at, 0)); ago < time.Hour || ago > time.Hour+time.Minute {
		t.Errorf("the callback is of %v ago", ago)
	}
	if status, _ := w.call("POST", "/emulator/clock", "", `{"advanceMillis":1}`); status != http.StatusUnprocessableEntity {
		t.Errorf("a running clock was moved: %d", status)
	}
}

// What was posted before a reset does not come after it.
func TestResetForgetsPostedCallbacks(t *testing.T) {
	w := newWorld(t)
	alice, _ := room(w)
	w.app.Misbehave(imtest.Chaos{Delay: 1, DelayBy: time.Minute})
	if _, err := alice.Send("live", imtest.Draft{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.app.Reset()
	w.backend.forget()
	w.clock.Advance(time.Hour)
	w.login("bob")
	if got := w.hooks("Group.CallbackAfterSendMsg"); len(got) != 0 {
		t.Errorf("%d callbacks of before the reset", len(got))
	}
	if n := len(w.hooks("State.StateChange")); n != 1 {
		t.Errorf("after the reset %d callbacks, want the login's", n)
	}
}

// The same seed makes the same ids, after a reset too.
func TestSeed(t *testing.T) {
	ids := func(w *world) (list []string) {
		alice := w.login("alice")
		for range 3 {
			id, err := alice.CreateGroup("ChatRoom", "", "G")
			if err != nil {
				t.Fatal(err)
			}
			sent, err := alice.Send(id, imtest.Draft{Text: "x"})
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, id, sent.ID)
		}
		return list
	}
	w := newWorld(t)
	first := ids(w)
	if again := ids(newWorld(t)); !slices.Equal(again, first) {
		t.Errorf("another emulator: %q, want %q", again, first)
	}
	w.app.Reset()
	if again := ids(w); !slices.Equal(again, first) {
		t.Errorf("after a reset: %q, want %q", again, first)
	}
}

package imtest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// page is a user of the routes for browsers.
type page struct {
	w     *world
	token string
}

// call makes a request and returns the status and the answer.
func (w *world) call(method, path, token, body string) (int, map[string]any) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.web.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.web.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil {
		w.t.Fatalf("%s %s: %d %q", method, path, resp.StatusCode, raw)
	}
	return resp.StatusCode, answer
}

func (w *world) open(userID string) page {
	w.t.Helper()
	status, answer := w.call("POST", "/client/login", "", fmt.Sprintf(`{"sdkAppId":%d,"userId":%q,"userSig":%q}`, appID, userID, w.sig(userID)))
	token, _ := answer["token"].(string)
	if status != http.StatusOK || token == "" || answer["userId"] != userID || answer["platform"] != "Web" {
		w.t.Fatalf("login: %d %v", status, answer)
	}
	return page{w, token}
}

// do posts what must succeed.
func (p page) do(path, body string) map[string]any {
	p.w.t.Helper()
	status, answer := p.w.call("POST", "/client/"+path, p.token, body)
	if status != http.StatusOK {
		p.w.t.Fatalf("%s %s: %d %v", path, body, status, answer)
	}
	return answer
}

// sse is a server-sent event.
type sse struct{ id, kind, data string }

// listen opens an event stream, which ends with the test or by close.
func (w *world) listen(path, lastID string) (next func() (sse, bool), end func()) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	w.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.web.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := w.web.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("%s: %d %s", path, resp.StatusCode, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() (sse, bool) {
		var e sse
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.data = value
			case "":
				if e != (sse{}) {
					return e, true
				}
			}
		}
		return e, false
	}, cancel
}

func (p page) events(lastID string) (next func() (sse, bool), end func()) {
	return p.w.listen("/client/events?token="+p.token, lastID)
}

// texts of the next n events, as "kind text".
func read(t *testing.T, next func() (sse, bool), n int) (list []string, lastID string) {
	t.Helper()
	for range n {
		e, ok := next()
		if !ok {
			t.Fatalf("the stream ended after %q", list)
		}
		var v imtest.Event
		if err := json.Unmarshal([]byte(e.data), &v); err != nil || v.Kind != e.kind {
			t.Fatalf("event %+v: %v", e, err)
		}
		line := e.kind
		if v.Message != nil {
			line += " " + v.Message.Text()
		}
		list, lastID = append(list, line), e.id
	}
	return list, lastID
}

// silent waits until the server has noticed that a user's device went away.
func (w *world) silent(userID string, want int) {
	w.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(w.app.State().User(userID).Silent) != want {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s has %v silent devices, want %d", userID, w.app.State().User(userID).Silent, want)
		}
	}
}

// A page can do what a client SDK does, and is told what happens.
func TestPageInARoom(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.open("alice"), w.open("bob")
	if got := alice.do("create", `{"type":"AVChatRoom","groupId":"live","name":"Live"}`)["groupId"]; got != "live" {
		t.Errorf("created %v", got)
	}
	for _, p := range []page{alice, bob} {
		if p.do("join", `{"groupId":"live"}`)["awaitsConsent"] != false {
			t.Error("an AVChatRoom asked for consent")
		}
	}
	next, end := bob.events("")
	sent := alice.do("send", `{"groupId":"live","text":"hi","random":7,"custom":"c","priority":"High","mentions":["@all"]}`)
	if sent["seq"] != 1.0 || sent["id"] == "" {
		t.Errorf("sent %v", sent)
	}
	e, _ := next()
	var m imtest.Event
	if err := json.Unmarshal([]byte(e.data), &m); err != nil {
		t.Fatal(err)
	}
	if e.id != "1" || e.kind != "message" || m.Message.ID != sent["id"] || m.Message.From != "alice" || m.Message.Priority != imtest.High || m.Message.Custom != "c" {
		t.Errorf("bob was told %+v", e)
	}
	alice.do("send", `{"userId":"bob","body":[{"MsgType":"TIMCustomElem","MsgContent":{"Data":"{}"}}]}`)
	alice.do("quit", `{"groupId":"live"}`)
	if got, _ := read(t, next, 1); !slices.Equal(got, []string{"message "}) {
		t.Errorf("bob was told %q", got)
	}

	// Resumed: what came in between is there, and nothing twice.
	end()
	w.silent("bob", 1)
	alice.do("send", `{"userId":"bob","text":"while away"}`)
	next, _ = bob.events("1")
	if got, last := read(t, next, 2); !slices.Equal(got, []string{"message ", "message while away"}) || last != "3" {
		t.Errorf("bob was told %q, up to %s", got, last)
	}
	w.clock.Advance(time.Hour)
	if got := memberStates(w); !slices.Equal(got, []string{
		`Online/Join [{"Member_Account":"alice"}]`, `Online/Join [{"Member_Account":"bob"}]`, `Offline/Quit [{"Member_Account":"alice"}]`,
	}) {
		t.Errorf("the backend was told %q", got)
	}
	bob.do("logout", `{}`)
	if _, ok := next(); ok {
		t.Error("the stream went on after the logout")
	}
	if status, answer := w.call("POST", "/client/send", bob.token, `{"userId":"alice","text":"x"}`); status != http.StatusUnauthorized || fmt.Sprint(answer["error"]) != "map[code:6014 message:not logged in]" {
		t.Errorf("after the logout: %d %v", status, answer)
	}
}

// An open stream is presence: who closes it is missed in the room, and later by
// IM; vanish and disconnect are the other ways to go.
func TestPagePresence(t *testing.T) {
	w := newWorld(t)
	host := w.open("host")
	host.do("create", `{"type":"AVChatRoom","groupId":"live","name":"Live"}`)
	pages := make(map[string]page)
	for _, name := range []string{"closes", "vanishes", "disconnects", "stays"} {
		p := w.open(name)
		p.do("join", `{"groupId":"live"}`)
		pages[name] = p
		_, end := p.events("")
		if name == "closes" {
			_, second := p.events("") // a second stream, closed at once, changes nothing
			second()
			defer end()
			w.settle()
			end()
		}
	}
	w.silent("closes", 1)
	pages["vanishes"].do("vanish", `{}`)
	pages["disconnects"].do("disconnect", `{}`)
	w.settle()
	w.backend.forget()
	w.clock.Advance(time.Minute)
	var lost []string
	for _, h := range w.hooks("Group.CallbackOnMemberStateChange") {
		for _, m := range h.Body["MemberList"].([]any) {
			lost = append(lost, m.(map[string]any)["Member_Account"].(string))
		}
	}
	slices.Sort(lost)
	if !slices.Equal(lost, []string{"closes", "disconnects", "vanishes"}) {
		t.Errorf("lost %q", lost)
	}
	var timedOut []string
	for _, h := range w.hooks("State.StateChange") {
		timedOut = append(timedOut, h.Body["Info"].(map[string]any)["To_Account"].(string))
	}
	slices.Sort(timedOut)
	if !slices.Equal(timedOut, []string{"closes", "vanishes"}) {
		t.Errorf("IM gave up %q", timedOut)
	}
	if status, _ := w.call("POST", "/client/heartbeat", pages["vanishes"].token, `{}`); status != http.StatusUnauthorized {
		t.Errorf("a heartbeat after that: %d", status)
	}
	pages["stays"].do("heartbeat", `{}`)
}

func TestPageGroups(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.open("alice"), w.open("bob")
	w.open("carol")
	alice.do("create", `{"type":"Public","groupId":"team","name":"Team"}`)
	if bob.do("join", `{"groupId":"team"}`)["awaitsConsent"] != true {
		t.Error("a Public group let bob in")
	}
	alice.do("admit", `{"groupId":"team","userId":"bob"}`)
	alice.do("create", `{"type":"Work","groupId":"work","name":"Work"}`)
	alice.do("invite", `{"groupId":"work","userIds":["bob"]}`)
	same(t, alice.do("invite", `{"groupId":"work","userIds":["carol","bob","nobody"]}`)["results"], `{"carol":1,"bob":2,"nobody":0}`)
	for i := range 3 {
		bob.do("send", fmt.Sprintf(`{"groupId":"team","text":"%d"}`, i))
		bob.do("send", fmt.Sprintf(`{"userId":"alice","text":"to alice %d"}`, i))
	}
	history := func(query string) (texts []string, last map[string]any) {
		t.Helper()
		status, answer := w.call("GET", "/client/history?"+query, alice.token, "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d %v", query, status, answer)
		}
		for _, m := range answer["messages"].([]any) {
			last = m.(map[string]any)
			b, _ := json.Marshal(last)
			var message imtest.Message
			if err := json.Unmarshal(b, &message); err != nil {
				t.Fatal(err)
			}
			texts = append(texts, message.Text())
		}
		return texts, last
	}
	if got, last := history("groupId=team&count=2"); !slices.Equal(got, []string{"2", "1"}) || last["seq"] != 2.0 {
		t.Errorf("history %q, %v", got, last)
	}
	if got, _ := history("groupId=team&before=2"); !slices.Equal(got, []string{"0"}) {
		t.Errorf("history %q", got)
	}
	got, last := history("userId=bob&count=1")
	if !slices.Equal(got, []string{"to alice 2"}) {
		t.Errorf("history with bob %q", got)
	}
	if got, _ = history("userId=bob&before=" + last["key"].(string)); !slices.Equal(got, []string{"to alice 1", "to alice 0"}) {
		t.Errorf("history with bob %q", got)
	}
}

// What a page does wrong: the status, IM's code, and nothing happens.
func TestPageErrors(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	carol := w.open("carol")
	w.settle()
	before := asJSON(w.app.State())
	login := func(app int, user, sig string) string {
		return fmt.Sprintf(`{"sdkAppId":%d,"userId":%q,"userSig":%q}`, app, user, sig)
	}
	for _, tc := range []struct {
		method, path, token, body string
		status, code              int
	}{
		{"POST", "login", "", login(1, "carol", w.sig("carol")), 401, 70020},
		{"POST", "login", "", login(appID, "bob", w.sig("carol")), 401, 70013},
		{"POST", "login", "", login(appID, "carol", "x"), 401, 70003},
		{"POST", "login", "", `{"userID":"carol","sig":"x"}`, 400, 60003},
		{"POST", "login", "", ``, 400, 60003},
		{"POST", "login", "", `{"userId":"` + strings.Repeat("x", 64<<10) + `"}`, 400, 60003},
		{"POST", "send", "", `{"groupId":"team","text":"x"}`, 401, 6014},
		{"POST", "send", "c1", `{"groupId":"team","text":"x"}`, 401, 6014},
		{"POST", "send", carol.token, `{"groupId":"team","text":"x"}`, 422, 10007},
		{"POST", "send", carol.token, `{"groupId":"nowhere","text":"x"}`, 422, 10010},
		{"POST", "send", carol.token, `{"userId":"nobody","text":"x"}`, 422, 20003},
		{"POST", "send", carol.token, `{"text":"x"}`, 422, 10004},
		{"POST", "send", carol.token, `{"userId":"bob","groupId":"team","text":"x"}`, 422, 10004},
		{"POST", "send", carol.token, `{"userId":"bob","text":"x","priority":"Urgent"}`, 400, 60003},
		{"POST", "send", carol.token, `{"userId":"bob","body":{"Text":"x"}}`, 422, 90007},
		{"POST", "send", carol.token, `{"userId":"bob","message":"x"}`, 400, 60003},
		{"POST", "send", carol.token, `{"userId":"bob"}{}`, 400, 60003},
		{"POST", "create", carol.token, `{"type":"Guild","name":"x"}`, 422, 10004},
		{"POST", "create", carol.token, `{"type":"Public","groupId":"team","name":"x"}`, 422, 10021},
		{"POST", "join", carol.token, `{"groupId":"nowhere"}`, 422, 10010},
		{"POST", "quit", carol.token, `{"groupId":"team"}`, 422, 10007},
		{"POST", "invite", carol.token, `{"groupId":"team","userIds":["bob"]}`, 422, 10007},
		{"POST", "admit", carol.token, `{"groupId":"team","userId":"bob"}`, 422, 10007},
		{"GET", "history?groupId=team", carol.token, "", 422, 10007},
		{"GET", "history?groupId=team&count=0", carol.token, "", 422, 10004},
		{"GET", "history?groupId=team&count=101", carol.token, "", 422, 10004},
		{"GET", "history?groupId=team&before=x", carol.token, "", 422, 10004},
		{"GET", "history?userId=bob", "", "", 401, 6014},
		{"GET", "events", "", "", 401, 6014},
		{"GET", "events?after=x", carol.token, "", 422, 10004},
	} {
		status, answer := w.call(tc.method, "/client/"+tc.path, tc.token, tc.body)
		e, _ := answer["error"].(map[string]any)
		if status != tc.status || e["code"] != float64(tc.code) || e["message"] == "" {
			t.Errorf("%s %.80s: %d %v, want %d and %d", tc.path, tc.body, status, answer, tc.status, tc.code)
		}
	}
	w.settle()
	if after := asJSON(w.app.State()); withoutCallbacks(t, after) != withoutCallbacks(t, before) {
		t.Errorf("the state changed\n%s\n%s", before, after)
	}
}

// withoutCallbacks leaves out of a state how many callbacks were sent.
func withoutCallbacks(t testing.TB, state string) string {
	t.Helper()
	var s imtest.State
	if err := json.Unmarshal([]byte(state), &s); err != nil {
		t.Fatal(err)
	}
	s.Callbacks = nil
	return asJSON(s)
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/virgil"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// program is a running dev.
type program struct {
	url  string
	out  *bytes.Buffer
	stop func() error
}

// start runs dev on a free port until the test ends or stops it.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0", "-emulator-addr", "127.0.0.1:0"}, args...), w, io.Discard)
		_ = w.CloseWithError(io.EOF)
		done <- err
	}()
	p := &program{out: new(bytes.Buffer)}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.out.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "ready") {
			p.url = regexp.MustCompile(`http://[^/ ]+`).FindString(lines.Text())
		}
		if strings.HasPrefix(lines.Text(), "VIRGIL_APP_KEY=") {
			break // the last line
		}
	}
	if p.url == "" {
		cancel()
		t.Fatalf("never ready: %v", <-done)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	stopped := false
	p.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			return errors.New("it does not stop")
		}
	}
	t.Cleanup(func() { _ = p.stop() })
	return p
}

// printed is the value of a NAME=value line.
func (p *program) printed(t *testing.T, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `=(.+)$`).FindStringSubmatch(p.out.String())
	if m == nil {
		t.Fatalf("%s is not printed:\n%s", name, p.out)
	}
	return m[1]
}

func (p *program) call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+wiring.DevelopmentKey)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// room is where these tests talk.
const room = "lobby"

// messages is the count that the room's stats show.
func (p *program) messages(t *testing.T) int {
	t.Helper()
	_, body := p.call(t, http.MethodGet, "/rooms/"+room+"/stats", "")
	var stats struct{ Messages *int }
	if err := json.Unmarshal([]byte(body), &stats); err != nil || stats.Messages == nil {
		t.Fatalf("stats: %s", body)
	}
	return *stats.Messages
}

// tell sends a callback, signed as IM signs it, and returns the answer.
func (p *program) tell(t *testing.T, body string) string {
	t.Helper()
	signer := callback.Signer{SDKAppID: appID, Token: wiring.DevelopmentToken}
	r, err := signer.Request(t.Context(), p.url+"/im", "", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func delivered(seq int) string {
	return fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":%q,"Type":"AVChatRoom","From_Account":"alice","MsgSeq":%d,"MsgTime":%d,"MsgBody":[]}`, room, seq, time.Now().Unix())
}

func asked(text string) string {
	return fmt.Sprintf(`{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":%q,"Type":"AVChatRoom","From_Account":"alice","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":%q}}]}`, room, text)
}

// TestAMessageGoesAllTheWay: a user of the emulator logs in with the bundle's
// UserSig, enters the room, and has one message refused and one counted.
func TestAMessageGoesAllTheWay(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	var issued struct{ UserSig string }
	if _, body := p.call(t, http.MethodPost, "/usersig", `{"userID":"alice"}`); json.Unmarshal([]byte(body), &issued) != nil {
		t.Fatal(body)
	}
	emulator := p.scene(t).Emulator
	client := func(route, token, body string) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, emulator+"/client/"+route, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Origin", p.url) // as the page's browser does
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, answer
	}
	_, login := client("login", "", fmt.Sprintf(`{"sdkAppId":%d,"userId":"alice","userSig":%q}`, appID, issued.UserSig))
	token, _ := login["token"].(string)
	if status, answer := client("join", token, `{"groupId":"lobby"}`); status != http.StatusOK {
		t.Fatal(answer)
	}
	if status, answer := client("send", token, `{"groupId":"lobby","text":"join my casino"}`); status == http.StatusOK || !strings.Contains(fmt.Sprint(answer), "10016") {
		t.Errorf("a blocked word: %d %v", status, answer)
	}
	if status, answer := client("send", token, `{"groupId":"lobby","text":"hello"}`); status != http.StatusOK {
		t.Errorf("a friendly message: %d %v", status, answer)
	}
	for p.messages(t) == 0 && t.Context().Err() == nil { // the callback is on its way
		time.Sleep(time.Millisecond)
	}
	if n := p.messages(t); n != 1 {
		t.Errorf("%d messages counted, want 1", n)
	}
}

func (p *program) scene(t *testing.T) scene {
	t.Helper()
	_, body := p.call(t, http.MethodGet, "/dev/scene", "")
	var s scene
	if err := json.Unmarshal([]byte(body), &s); err != nil || s.Emulator == "" || len(s.Users) < 2 || s.Groups["live"] != room {
		t.Fatalf("%s, %v", body, err)
	}
	return s
}

func TestThePage(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	for path, want := range map[string]string{
		"/": "<title>", "/app.js": "import", "/hubcore.js": "EventSource", "/scenes/live.js": "import", "/style.css": "color-scheme", "/elsewhere": "nothing at this path",
	} {
		if _, body := p.call(t, http.MethodGet, path, ""); !strings.Contains(body, want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
	jobs := func() string {
		_, body := p.call(t, http.MethodGet, "/dev/jobs", "")
		return body
	}
	for !strings.HasPrefix(jobs(), `{"waiting":0,`) && t.Context().Err() == nil { // those of the scenes' making are on their way
		time.Sleep(5 * time.Millisecond)
	}
	if body := jobs(); body != `{"waiting":0,"dead":0,"deadJobs":[]}`+"\n" {
		t.Errorf("jobs: %s", body)
	}
	if _, body := p.call(t, http.MethodGet, "/dev/rooms/lobby/stats", ""); !strings.Contains(body, `"messages":0`) {
		t.Errorf("counters: %s", body)
	}
}

// TestWhatThePageIsTold: every callback with its verdict; one that is replayed
// comes again and counts once.
func TestWhatThePageIsTold(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	p.tell(t, asked("join my casino"))
	p.tell(t, delivered(1))
	p.tell(t, delivered(1))

	res, err := http.Get(p.url + "/dev/callbacks")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	next := func(command string) entry { // the next one of this command
		t.Helper()
		for lines.Scan() {
			data, is := strings.CutPrefix(lines.Text(), "data: ")
			var e entry
			if is && json.Unmarshal([]byte(data), &e) == nil && e.Command == command {
				return e
			}
		}
		t.Fatalf("no %s: %v", command, lines.Err())
		return entry{}
	}
	if e := next("Group.CallbackBeforeSendMsg"); e.Verdict != "reject" || e.Status != http.StatusOK || e.Rule != "words" || !strings.Contains(fmt.Sprint(e.Why), "gambling") {
		t.Errorf("%+v", e)
	}
	told := next("Group.CallbackAfterSendMsg")
	next("Group.CallbackAfterSendMsg")
	status, body := p.call(t, http.MethodPost, fmt.Sprintf("/dev/callbacks/%d/replay", told.ID), "{}")
	if status != http.StatusOK || !strings.Contains(body, `"ErrorCode":0`) {
		t.Errorf("replay: %d %s", status, body)
	}
	if again := next("Group.CallbackAfterSendMsg"); !bytes.Equal(again.Request, told.Request) {
		t.Errorf("replayed %s\nwant %s", again.Request, told.Request)
	}
	if n := p.messages(t); n != 1 {
		t.Errorf("%d messages counted of one that was told three times", n)
	}
	for path, want := range map[string]int{"/dev/callbacks/100000/replay": 404, "/dev/callbacks/x/replay": 400} {
		if status, body := p.call(t, http.MethodPost, path, "{}"); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestATicketGoesAllTheWay: asked for, taken by an agent, closed, at the fake
// desk and in the emulator; what does not exist is said so.
func TestATicketGoesAllTheWay(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	var opened struct{ TicketID, GroupID string }
	if status, body := p.call(t, http.MethodPost, "/dev/tickets", `{"userId":"alice"}`); status != http.StatusOK || json.Unmarshal([]byte(body), &opened) != nil {
		t.Fatalf("%d %s", status, body)
	}
	at := "/dev/tickets/" + opened.TicketID
	inGroup := func(want string) {
		t.Helper()
		var members string
		for t.Context().Err() == nil && members != want {
			var list struct{ Tickets []ticket }
			if _, body := p.call(t, http.MethodGet, "/dev/tickets", ""); json.Unmarshal([]byte(body), &list) != nil || len(list.Tickets) != 1 {
				t.Fatal(body)
			}
			members = strings.Join(list.Tickets[0].Members, " ")
			time.Sleep(5 * time.Millisecond) // jobs are on their way
		}
	}
	inGroup("alice")
	p.call(t, http.MethodPost, at+"/assign", `{"agent":"701"}`)
	inGroup("alice 701")
	p.call(t, http.MethodPost, at+"/close", `{"closed":true}`)
	inGroup("")
	for path, want := range map[string]int{"/dev/tickets/1/assign": 404, "/dev/tickets/1/close": 404} {
		if status, body := p.call(t, http.MethodPost, path, "{}"); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := p.call(t, http.MethodPost, "/dev/tickets", `{"userId":""}`); status < 400 || status >= 500 {
		t.Errorf("a ticket for nobody: %d %s", status, body)
	}
}

// TestATeamStarts: made, filled, told to the fake server once, and dissolved.
func TestATeamStarts(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	var team struct{ GroupID, Status string }
	if status, body := p.call(t, http.MethodPost, "/dev/teams", `{"size":3,"captain":"alice"}`); status != http.StatusCreated || json.Unmarshal([]byte(body), &team) != nil {
		t.Fatalf("%d %s", status, body)
	}
	at := "/dev/teams/" + team.GroupID
	if _, body := p.call(t, http.MethodGet, "/dev/starts/"+team.GroupID, ""); strings.TrimSpace(body) != `{"starts":[]}` {
		t.Errorf("before it is full: %s", body)
	}
	for _, user := range []string{"bob", "carol"} {
		if status, body := p.call(t, http.MethodPost, at+"/members", `{"userIds":["`+user+`"]}`); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	for t.Context().Err() == nil && team.Status != "started" {
		if _, body := p.call(t, http.MethodGet, at, ""); json.Unmarshal([]byte(body), &team) != nil {
			t.Fatal(body)
		}
		time.Sleep(5 * time.Millisecond) // jobs are on their way
	}
	var told struct{ Starts []matchtest.Start }
	_, body := p.call(t, http.MethodGet, "/dev/starts/"+team.GroupID, "")
	if json.Unmarshal([]byte(body), &told) != nil || len(told.Starts) != 1 || len(told.Starts[0].Members) != 3 {
		t.Error(body)
	}
	if status, body := p.call(t, http.MethodDelete, at, ""); status != http.StatusOK || !strings.Contains(body, `"ended"`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestTheLiveRoomIsOpen: with its owner, gifts and coins; what an earlier run left
// stays.
func TestTheLiveRoomIsOpen(t *testing.T) {
	state := t.TempDir()
	for range 2 {
		p := start(t, "-state", state)
		for path, want := range map[string]string{
			"/dev/rooms/lobby": `"owner":"alice"`, "/dev/gifts": `"giftId":"rose"`, "/dev/wallets/bob": `"balance":100`,
		} {
			if status, body := p.call(t, http.MethodGet, path, ""); status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d %s, want %s", path, status, body, want)
			}
		}
		if err := p.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheSiteIsForItsOwnPage: a page of elsewhere, which the same browser has
// open, reaches none of the routes that act with the server's key.
func TestTheSiteIsForItsOwnPage(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	for name, change := range map[string]func(*http.Request){
		"a name that leads here": func(r *http.Request) { r.Host = "rebound.example.com" },
		"another origin":         func(r *http.Request) { r.Header.Set("Origin", "http://elsewhere.example.com") },
		"another site":           func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		for _, path := range []string{"/dev/callbacks/1/replay", "/dev/jobs/x/redrive"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			change(r)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("%s, %s: status %d", name, path, res.StatusCode)
			}
		}
	}
}

func TestStateStaysUntilFresh(t *testing.T) {
	state := t.TempDir()
	first := start(t, "-state", state)
	first.tell(t, delivered(1))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, "-state", state)
	if n := second.messages(t); n != 1 {
		t.Errorf("%d messages after a restart, want 1", n)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	if n := start(t, "-state", state, "-fresh").messages(t); n != 0 {
		t.Errorf("%d messages after -fresh, want 0", n)
	}
}

func TestRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte(`{"version":"1","words":[{"text":"broccoli"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-state", t.TempDir(), "-rules", file)
	if answer := p.tell(t, asked("more broccoli")); !strings.Contains(answer, `"ErrorCode":1`) {
		t.Errorf("a word of the file: %s", answer)
	}
}

func TestIssuesToAnybody(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	status, body := p.call(t, http.MethodPost, "/usersig", `{"userID":"alice"}`)
	if status != http.StatusOK || !strings.Contains(body, `"userSig"`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestWhatItPrints(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	if !regexp.MustCompile(`(?m)^ready .*http://127\.0\.0\.1:\d+/im`).Match(p.out.Bytes()) {
		t.Errorf("%s", p.out)
	}
	if !regexp.MustCompile(`(?m)^kept on disk: \S+\.db and \S+\.db,`).Match(p.out.Bytes()) {
		t.Errorf("it does not say what it keeps:\n%s", p.out)
	}
	// What imctl doctor -env reads.
	if !regexp.MustCompile(`(?m)^IM_DOMAIN=http://127\.0\.0\.1:\d+$`).Match(p.out.Bytes()) {
		t.Errorf("%s", p.out)
	}
	if err := p.stop(); err != nil {
		t.Errorf("it stopped with %v", err)
	}
}

// TestStreamEvent: an event signed with what it prints makes a room live.
func TestStreamEvent(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/rooms", strings.NewReader(`{"roomId":"show","name":"Show","owner":"alice"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer dev-api-key")
	r.Header.Set("Idempotency-Key", "show")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	at := time.Now().Add(time.Minute).Unix()
	sign := md5.Sum(fmt.Appendf(nil, "%s%d", p.printed(t, "CSS_CALLBACK_KEY"), at))
	status, body := p.call(t, http.MethodPost, "/css/events", fmt.Sprintf(`{"stream_id":"show","event_type":1,"event_time":%d,"sequence":"1","t":%d,"sign":"%x"}`, at, at, sign))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := p.call(t, http.MethodGet, "/rooms/show", ""); status != http.StatusOK || !strings.Contains(body, `"status":"live"`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestVirgil: what it prints of Virgil's is what it signs with.
func TestVirgil(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	status, body := p.call(t, http.MethodPost, "/credentials", `{"identity":"alice"}`)
	var issued struct{ JWT, UserSig string }
	if err := json.Unmarshal([]byte(body), &issued); err != nil || status != http.StatusOK || issued.UserSig == "" {
		t.Fatalf("%d %s", status, body)
	}
	key, err := virgil.ParseKey(p.printed(t, "VIRGIL_APP_KEY_ID"), p.printed(t, "VIRGIL_APP_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := virgil.NewSigner(p.printed(t, "VIRGIL_APP_ID"), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := signer.Verify(issued.JWT); err != nil || c.Identity != "alice" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestItHelpsWhenItCannotStart(t *testing.T) {
	state := t.TempDir()
	p := start(t, "-state", state)
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte("{\n  \"version\": 7\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"broken rules":   {[]string{"-addr", "127.0.0.1:0", "-state", t.TempDir(), "-rules", broken}, "-rules " + broken + ": rule set, line 2: "},
		"port taken":     {[]string{"-addr", strings.TrimPrefix(p.url, "http://"), "-state", t.TempDir()}, "-addr takes another"},
		"emulator's too": {[]string{"-addr", "127.0.0.1:0", "-emulator-addr", strings.TrimPrefix(p.url, "http://"), "-state", t.TempDir()}, "-emulator-addr takes another"},
		"state taken":    {[]string{"-addr", "127.0.0.1:0", "-state", state}, "another process"},
		"no such rules":  {[]string{"-addr", "127.0.0.1:0", "-state", t.TempDir(), "-rules", "nowhere.json"}, "-rules"},
		"unknown flag":   {[]string{"-verbose"}, "-verbose"},
		"stray argument": {[]string{"now"}, "-h shows the flags"},
	} {
		if err := run(t.Context(), tt.args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, tt.says)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, io.Discard, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-fresh") {
		t.Errorf("-h: %v, %s", err, help.String())
	}
}

// TestSlowPage: a page that does not read must not slow callbacks.
func TestSlowPage(t *testing.T) {
	f := newFeed()
	_, live := f.open()
	for range 10 * cap(live) {
		f.add(callback.Exchange{Command: "x", Body: []byte("{}"), Answer: []byte("not JSON")})
	}
	if past, _ := f.open(); len(past) != kept || len(live) != cap(live) {
		t.Errorf("%d remembered, %d waiting", len(past), len(live))
	}
}

// TestValuesAreTheContract: scripts of users rely on these.
func TestValuesAreTheContract(t *testing.T) {
	for got, want := range map[string]string{
		wiring.DevelopmentSecret: "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e",
		wiring.DevelopmentKey:    "dev-api-key",
		wiring.DevelopmentToken:  "dev-callback-token",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

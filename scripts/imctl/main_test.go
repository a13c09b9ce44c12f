package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/callback/samples"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/jobdesk"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// buffer is an output that a running command may still write to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type result struct {
	status    int
	out, errs string
}

// imctl runs a command line with an empty environment.
func imctl(t *testing.T, args ...string) result {
	t.Helper()
	return imctlWith(t, nil, args...)
}

func imctlWith(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var out, errs buffer
	status := run(t.Context(), args, &out, &errs, func(name string) string { return env[name] })
	return result{status, out.String(), errs.String()}
}

func (r result) want(t *testing.T, status int, parts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d\n%s%s", r.status, status, r.out, r.errs)
	}
	for _, part := range parts {
		if !strings.Contains(r.out+r.errs, part) {
			t.Errorf("%q is not in:\n%s%s", part, r.out, r.errs)
		}
	}
}

// app is a callback endpoint that keeps what it was sent.
type app struct {
	url string

	mu     sync.Mutex
	events []*callback.GroupAfterSendMsg
	refuse bool
}

// newApp is an app whose token is the development one, or another.
func newApp(t *testing.T, token string) *app {
	t.Helper()
	a := &app{}
	mux := callback.NewMux()
	callback.After(mux, "keep", func(_ context.Context, e *callback.GroupAfterSendMsg) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.events = append(a.events, e)
		return nil
	})
	callback.Before(mux, "refuse", callback.FailOpen, func(_ context.Context, e *callback.GroupBeforeSendMsg) (callback.GroupVerdict, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.refuse {
			return callback.GroupVerdict{}.Reject(""), nil
		}
		return callback.GroupVerdict{}, nil
	})
	ep, err := callback.NewEndpoint(callback.Config{SDKAppID: devAppID, Token: token, Mux: mux})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ep)
	t.Cleanup(server.Close)
	a.url = server.URL + "/im"
	return a
}

func TestTrigger(t *testing.T) {
	a := newApp(t, wiring.DevelopmentToken)
	imctl(t, "trigger", "Group.CallbackAfterSendMsg", "-url", a.url, "-n", "3",
		"-set", "GroupId=lobby", "-set", "MsgSeq={n}", "-set", "MsgBody.0.MsgContent.Text=7 o'clock",
		"-set", "MsgBody.1.MsgType=TIMFaceElem", "-set", "MsgBody.1.MsgContent.Index=3").want(t, 0, "1  ok", "3  ok")
	if len(a.events) != 3 {
		t.Fatalf("%d events", len(a.events))
	}
	for i, e := range a.events {
		if e.GroupID != "lobby" || e.MsgSeq != uint32(i+1) || len(e.MsgBody) != 2 || !strings.Contains(string(mustJSON(t, e.MsgBody)), "7 o'clock") {
			t.Errorf("%d: %+v", i, e)
		}
		if d := time.Since(e.MsgTime.Time()); d < 0 || d > time.Minute {
			t.Errorf("sent %v ago", d)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTriggerEverySample: each command there is arrives signed and understood.
func TestTriggerEverySample(t *testing.T) {
	a := newApp(t, wiring.DevelopmentToken)
	list := imctl(t, "trigger", "list")
	list.want(t, 0)
	names := strings.Fields(list.out)
	if len(names) != len(samples.Commands()) || len(names) < 30 {
		t.Fatalf("%d commands listed", len(names))
	}
	for _, name := range names {
		imctl(t, "trigger", name, "-url", a.url).want(t, 0, "ok")
	}
}

func TestTriggerElsewhere(t *testing.T) {
	a := newApp(t, "a token of one's own")
	imctl(t, "trigger", "Group.CallbackAfterSendMsg", "-url", a.url).want(t, 1, "status 403", "1 of 1")
	env := map[string]string{"CALLBACK_TOKEN": "a token of one's own", "SDK_APP_ID": "1400000000"}
	imctlWith(t, env, "trigger", "Group.CallbackAfterSendMsg", "-url", a.url).want(t, 0, "ok")
	imctl(t, "trigger", "Group.CallbackAfterSendMsg", "-url", "http://elsewhere.invalid/im").want(t, 1, "the app is not given")
}

// TestMistakes: each is answered with what to do, and secrets are in no
// answer.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	torn := filepath.Join(dir, "torn.jsonl")
	if err := os.WriteFile(torn, []byte("{\"at\":\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{nil, 2, "usage"},
		{[]string{"-h"}, 0, "trigger"},
		{[]string{"tirgger"}, 2, `no command "tirgger"`},
		{[]string{"trigger"}, 2, "missing argument"},
		{[]string{"trigger", "-h"}, 0, "{n}"},
		{[]string{"trigger", "-bogus"}, 2, "bogus"},
		{[]string{"trigger", "aftersend"}, 1, "Group.CallbackAfterSendMsg"},
		{[]string{"trigger", "nothing-like-it"}, 1, "trigger list"},
		{[]string{"trigger", "Group.CallbackAfterSendMsg", "-set", "nonsense"}, 2, "path=value"},
		{[]string{"trigger", "Group.CallbackAfterSendMsg", "-print", "-set", "MsgBody.7.x=1"}, 1, "0 to 1"},
		{[]string{"trigger", "Group.CallbackAfterSendMsg", "-print", "-set", "GroupId.x=1"}, 1, "nothing below"},
		{[]string{"trigger", "Group.CallbackAfterSendMsg", "-body", filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{"trigger", "Group.CallbackAfterSendMsg", "-body", torn}, 1, "not JSON"},
		{[]string{"trigger", "Group.CallbackAfterSendMsg", "-url", "http://127.0.0.1:1/im"}, 1, "refused"},
		{[]string{"replay", filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{"replay", torn}, 1, ":1: not a recorded callback"},
		{[]string{"replay", torn, "-filter", "["}, 2, "pattern"},
		{[]string{"replay", torn, "-speed", "-1"}, 2, "not below 0"},
		{[]string{"record", filepath.Join(dir, "no", "where")}, 1, "no such file"},
		{[]string{"jobs", "dance", "x"}, 2, "usage"},
		{[]string{"jobs", "show"}, 2, "usage"},
		{[]string{"jobs", "-url", "http://elsewhere.invalid"}, 1, "API_KEY"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			r := imctl(t, tt.args...)
			r.want(t, tt.status, tt.says)
			if regexp.MustCompile(`Sign=|dev-callback-token`).MatchString(r.out + r.errs) {
				t.Errorf("it shows a secret:\n%s%s", r.out, r.errs)
			}
		})
	}
}

// TestRecordAndReplay: what was recorded arrives again, signed anew, and what
// is answered otherwise is named; the file has no signature in it, nor texts if
// none are wanted.
func TestRecordAndReplay(t *testing.T) {
	for _, hide := range []bool{false, true} {
		a := newApp(t, wiring.DevelopmentToken)
		file := filepath.Join(t.TempDir(), "tape.jsonl")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var out, errs buffer
		args := []string{"record", file, "-to", a.url, "-addr", "127.0.0.1:0"}
		if hide {
			args = append(args, "-without-texts")
		}
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, args, &out, &errs, func(string) string { return "" }) }()
		proxy := ready(t, &out, &errs)
		imctl(t, "trigger", "Group.CallbackBeforeSendMsg", "-url", proxy).want(t, 0, "ok")
		imctl(t, "trigger", "Group.CallbackAfterSendMsg", "-url", proxy, "-n", "2", "-set", "MsgSeq={n}").want(t, 0, "ok")
		stop()
		if status := <-ended; status != 0 || !strings.Contains(out.String(), "3 callbacks recorded") {
			t.Fatalf("status %d\n%s%s", status, out.String(), errs.String())
		}
		tape, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`Sign=|RequestTime=`).Match(tape) || bytes.Contains(tape, []byte("red packet")) == hide {
			t.Errorf("hidden %v:\n%s", hide, tape)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		imctl(t, "replay", file, "-url", a.url, "-speed", "1000").want(t, 0, "3 sent, 0 answered otherwise")
		if len(a.events) != 4 {
			t.Errorf("%d events, want 2 and 2 again", len(a.events))
		}
		a.refuse = true
		imctl(t, "replay", file, "-url", a.url, "-filter", "Group.*Before*").want(t, 0, "1 sent, 1 answered otherwise", "ErrorCode 1, was ok")
	}
}

// ready waits until a command serves, and returns the URL it names.
func ready(t *testing.T, out, errs *buffer) string {
	t.Helper()
	for t.Context().Err() == nil {
		if m := regexp.MustCompile(`ready  callbacks to (\S+)`).FindStringSubmatch(out.String()); m != nil {
			return m[1]
		}
		if errs.String() != "" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("not ready: %s", errs.String())
	return ""
}

// TestAccounts: the emulator has every user of the file afterwards, and a file
// with a fault in it imports nobody.
func TestAccounts(t *testing.T) {
	emulator := imtest.NewServer(imtest.Options{})
	defer emulator.Close()
	app := emulator.AddApp(imtest.AppConfig{SDKAppID: devAppID, Key: wiring.DevelopmentSecret})
	server := httptest.NewServer(emulator)
	defer server.Close()
	users := len(app.State().Users)
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "users.csv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var many strings.Builder
	many.WriteString("userID,nick,faceUrl\n")
	for i := range 250 {
		fmt.Fprintf(&many, "user%d,\"Nick, %d\"\n", i, i)
	}
	for name, tt := range map[string]struct{ text, says string }{
		"nobody":    {"userID\n", "no user in it"},
		"too long":  {"a\nb\n" + strings.Repeat("x", 33) + "\n", ":3:"},
		"twice":     {"a\nb\na\n", "a is on line 1 already"},
		"no CSV":    {"a,\"b\n", "users.csv"},
		"no binary": {"a\x00b\n", ":1:"},
	} {
		t.Run(name, func(t *testing.T) {
			imctl(t, "accounts", "import", write(tt.text), "-domain", server.URL).want(t, 1, tt.says)
		})
	}
	if n := len(app.State().Users); n != users {
		t.Errorf("%d users imported from files with faults", n-users)
	}
	for range 2 {
		imctl(t, "accounts", "import", write(many.String()), "-domain", server.URL).want(t, 0, "250 of 250 done")
	}
	state := app.State()
	if n := len(state.Users); n != users+250 || state.User("user7").Profile["Tag_Profile_IM_Nick"] != "Nick, 7" {
		t.Errorf("%d users imported; %+v", n-users, state.User("user7"))
	}
	imctlWith(t, map[string]string{"SECRET": "0123456789"}, "accounts", "import", write("a"), "-domain", server.URL).want(t, 1, "70009")
	imctl(t, "accounts", "import", write("a"), "-domain", "elsewhere.invalid", "-app", "1").want(t, 1, "SECRET")
	imctl(t, "accounts", "export", write("a")).want(t, 2, "usage")
}

func TestBot(t *testing.T) {
	emulator := imtest.NewServer(imtest.Options{})
	defer emulator.Close()
	app := emulator.AddApp(imtest.AppConfig{SDKAppID: devAppID, Key: wiring.DevelopmentSecret})
	server := httptest.NewServer(emulator)
	defer server.Close()
	ensure := func(args ...string) result {
		return imctl(t, append([]string{"bot", "ensure", "@RBT#007", "-domain", server.URL}, args...)...)
	}
	ensure("-nick", "Robo").want(t, 0, "@RBT#007 made")
	ensure("-nick", "Bond", "-about", "shaken").want(t, 0, "@RBT#007 brought up to date")
	if p := app.State().User("@RBT#007").Profile; p["Tag_Profile_IM_Nick"] != "Bond" {
		t.Errorf("the robot is %v", p)
	}
	imctl(t, "bot", "ensure", "jane", "-domain", server.URL).want(t, 1, "@RBT#")
	imctl(t, "bot", "dance", "@RBT#007").want(t, 2, "usage")
	imctl(t, "bot", "ensure").want(t, 2, "usage")
}

func TestJobs(t *testing.T) {
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state.db"), boltkv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ledger := queuetest.LayAside(t, store, "a", "b/2", "c")
	keys, err := api.ParseKeys([]string{"dev:" + wiring.DevelopmentKeyHash})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	jobdesk.Routes(mux, &api.Gate{Keys: keys}, ledger)
	server := httptest.NewServer(mux)
	defer server.Close()
	at := []string{"-url", server.URL}
	jobs := func(args ...string) result { return imctl(t, append(append([]string{"jobs"}, at...), args...)...) }

	jobs().want(t, 0, "0 waiting, 3 dead", "the desk is closed", "b/2")
	jobs("show", "b/2").want(t, 0, "dead after 8 attempts", "last error: the desk is closed")
	jobs("redrive", "b/2").want(t, 0, "waiting after 0 attempts")
	jobs("drop", "b/2").want(t, 1, "only a dead job")
	jobs("drop", "c").want(t, 0, "c dropped")
	jobs("show", "c").want(t, 1, "no job with this id")
	jobs("redrive", "all").want(t, 0, "a  work")
	jobs().want(t, 0, "2 waiting, 0 dead")
	imctlWith(t, map[string]string{"API_KEY": "wrong"}, "jobs", "-url", server.URL).want(t, 1, "status 401")
}

// TestMisuseSaysWhatToDo: each mistake of the command line is named with what to
// write instead, and ends with status 2.
func TestMisuseSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"trigger", "Group.CallbackAfterSendMsg", "-n", "0"}, "-n 0: send at least one callback"},
		{[]string{"trigger", "Group.CallbackAfterSendMsg", "-url", "notaurl"}, `invalid callback URL "notaurl": use https://HOST/im`},
		{[]string{"trigger"}, "usage: imctl trigger"},
		{[]string{"replay"}, "usage: imctl replay"},
		{[]string{"nonsense"}, `no command "nonsense"`},
	} {
		var out, errs bytes.Buffer
		if status := run(t.Context(), tt.args, &out, &errs, func(string) string { return "" }); status != 2 || !strings.Contains(errs.String(), tt.says) {
			t.Errorf("%q: status %d, %s", tt.args, status, errs.String())
		}
	}
	var out, errs bytes.Buffer
	args := []string{"trigger", "Group.CallbackAfterSendMsg", "-url", "http://127.0.0.1:1/im"}
	if status := run(t.Context(), args, &out, &errs, func(string) string { return "" }); status != 1 || !strings.Contains(errs.String(), "go run ./scripts/dev") {
		t.Errorf("nobody listens: status %d, %s", status, errs.String())
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
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
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), w, io.Discard)
		_ = w.CloseWithError(io.EOF)
		done <- err
	}()
	p := &program{out: new(bytes.Buffer)}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.out.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "ready") {
			p.url = regexp.MustCompile(`http://[^/ ]+`).FindString(lines.Text())
			break
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

func (p *program) call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+access.DevelopmentKey)
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

func TestThePageTellsTheStory(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	for path, want := range map[string]string{"/": "<title>", "/app.js": "EventSource", "/style.css": "color-scheme", "/elsewhere": "nothing at this path"} {
		if _, body := p.call(t, http.MethodGet, path, ""); !strings.Contains(body, want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
	if _, body := p.call(t, http.MethodPost, "/dev/trigger", `{"text":"join my casino"}`); !strings.Contains(body, `"ErrorCode":1`) {
		t.Errorf("a blocked word: %s", body)
	}
	if _, body := p.call(t, http.MethodPost, "/dev/trigger", `{"text":"hello"}`); !strings.Contains(body, `"ErrorCode":0`) {
		t.Errorf("a friendly message: %s", body)
	}
	p.call(t, http.MethodPost, "/dev/trigger", `{"delivered":true}`)
	if n := p.messages(t); n != 1 {
		t.Errorf("%d messages counted of one that was told twice", n)
	}

	res, err := http.Get(p.url + "/dev/callbacks")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var verdicts []string
	for lines := bufio.NewScanner(res.Body); len(verdicts) < 4 && lines.Scan(); {
		if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
			var e entry
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			verdicts = append(verdicts, e.Command+" "+e.Verdict)
		}
	}
	want := "Group.CallbackBeforeSendMsg reject, Group.CallbackBeforeSendMsg allow, Group.CallbackAfterSendMsg ok, Group.CallbackAfterSendMsg ok"
	if got := strings.Join(verdicts, ", "); got != want {
		t.Errorf("the page shows %s,\nwant %s", got, want)
	}
}

func TestStateStaysUntilFresh(t *testing.T) {
	state := t.TempDir()
	first := start(t, "-state", state)
	first.call(t, http.MethodPost, "/dev/trigger", `{"delivered":true}`)
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
	if _, body := p.call(t, http.MethodPost, "/dev/trigger", `{"text":"more broccoli"}`); !strings.Contains(body, `"ErrorCode":1`) {
		t.Errorf("a word of the file: %s", body)
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
	if err := p.stop(); err != nil {
		t.Errorf("it stopped with %v", err)
	}
}

func TestItHelpsWhenItCannotStart(t *testing.T) {
	state := t.TempDir()
	p := start(t, "-state", state)
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"port taken":     {[]string{"-addr", strings.TrimPrefix(p.url, "http://"), "-state", t.TempDir()}, "-addr takes another"},
		"state taken":    {[]string{"-addr", "127.0.0.1:0", "-state", state}, "another process"},
		"no such rules":  {[]string{"-addr", "127.0.0.1:0", "-state", t.TempDir(), "-rules", "nowhere.json"}, "MODERATION_RULES"},
		"unknown flag":   {[]string{"-verbose"}, "-verbose"},
		"stray argument": {[]string{"now"}, "see -h"},
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
		access.DevelopmentSecret: "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e",
		access.DevelopmentKey:    "dev-api-key",
		door.DevelopmentToken:    "dev-callback-token",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

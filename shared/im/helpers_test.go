package im_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

const (
	appID = 1400000001
	key   = "a key for these tests alone"
	admin = "administrator"
	base  = "/somewhere/else" // where the fake lives, so that nobody guesses
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock stands still; whoever sleeps moves it.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// exchange is a request as IM's page shows it, and an answer.
type exchange struct {
	Request json.RawMessage `json:"request"`
	Answer  json.RawMessage `json:"answer"`
}

// fixture is what the tests know of one command.
type fixture struct {
	Doc     string                `json:"doc"` // id of IM's page
	Command string                `json:"command"`
	Cases   map[string][]exchange `json:"cases"`
}

var docID = regexp.MustCompile(`^(269|1047)/\d+$`)

// fixtures reads testdata. A field that is not one of a fixture's fails, so that
// a typing error does not pass for success.
func fixtures(t testing.TB) map[string]fixture {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures:", err)
	}
	all := make(map[string]fixture)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		var f fixture
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if !docID.MatchString(f.Doc) || filepath.Base(file) != strings.ReplaceAll(f.Command, "/", ".")+".json" {
			t.Fatalf("%s: doc %q, command %q", file, f.Doc, f.Command)
		}
		all[f.Command] = f
	}
	return all
}

// reply is how the fake answers one request.
type reply struct {
	status int    // 0: 200
	body   string // or else
	lost   bool   // the connection is cut
	after  func() // before it answers
}

func code(n int, info string) reply {
	return reply{body: fmt.Sprintf(`{"ActionStatus":"FAIL","ErrorCode":%d,"ErrorInfo":%q}`, n, info)}
}

const fine = `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`

// received is a request that reached the fake.
type received struct {
	at      time.Time
	command string
	random  string
	sig     string
	body    string
}

// fake is an IM that answers as it is told.
type fake struct {
	*httptest.Server
	t      testing.TB
	clock  *clock
	verify *usersig.Signer

	mu       sync.Mutex
	got      []received
	problems []string
	answer   func(r received) reply // nil: success without more

	answering sync.Mutex // held while answer runs
}

func newFake(t testing.TB, c *clock) *fake {
	t.Helper()
	verify, err := usersig.NewSignerAt(appID, key, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, clock: c, verify: verify}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// client makes a client of the fake; change may alter its configuration.
func (f *fake) client(change ...func(*im.Config)) *im.Client {
	f.t.Helper()
	conf := im.Config{Domain: f.URL + base, SDKAppID: appID, Key: key, Admin: admin, Now: f.clock.Now, Sleep: f.clock.Sleep}
	for _, c := range change {
		c(&conf)
	}
	client, err := im.NewClient(conf)
	if err != nil {
		f.t.Fatal(err)
	}
	return client
}

// answers sets what decides about the answers; it is called for one request at
// a time.
func (f *fake) answers(answer func(received) reply) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// replies answers with these in turn, then with success.
func (f *fake) replies(list ...reply) {
	f.answers(func(received) reply {
		if len(list) == 0 {
			return reply{}
		}
		r := list[0]
		list = list[1:]
		return r
	})
}

func (f *fake) requests() []received {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// checkEnvelope holds a request to 1047/34620.
func (f *fake) checkEnvelope(r *http.Request) error {
	q := r.URL.Query()
	if names := slices.Sorted(maps.Keys(q)); !slices.Equal(names, []string{"contenttype", "identifier", "random", "sdkappid", "usersig"}) {
		return fmt.Errorf("query has %v", names)
	}
	_, notNumber := strconv.ParseUint(q.Get("random"), 10, 32)
	switch {
	case r.Method != http.MethodPost:
		return fmt.Errorf("method %s", r.Method)
	case r.Header.Get("Content-Type") != "application/json":
		return fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	case q.Get("contenttype") != "json", q.Get("sdkappid") != strconv.Itoa(appID), q.Get("identifier") != admin, notNumber != nil:
		return errors.New("contenttype, sdkappid, identifier or random is wrong")
	}
	if _, err := f.verify.Verify(admin, q.Get("usersig")); err != nil {
		return err
	}
	return nil
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = f.checkEnvelope(r)
	}
	command, ok := strings.CutPrefix(r.URL.Path, base+"/v4/")
	if err == nil && !ok {
		err = fmt.Errorf("path %s", r.URL.Path)
	}
	q := r.URL.Query()
	got := received{f.clock.Now(), command, q.Get("random"), q.Get("usersig"), string(body)}
	f.mu.Lock()
	f.got = append(f.got, got)
	if err != nil {
		f.problems = append(f.problems, err.Error())
	}
	answer := f.answer
	f.mu.Unlock()
	var rep reply
	if answer != nil {
		f.answering.Lock()
		rep = answer(got)
		f.answering.Unlock()
	}
	if rep.after != nil {
		rep.after()
	}
	switch {
	case rep.lost:
		panic(http.ErrAbortHandler)
	case rep.body == "" && rep.status == 0:
		rep.body = fine
	}
	if rep.status != 0 {
		w.WriteHeader(rep.status)
	}
	_, _ = io.WriteString(w, rep.body)
}

// fine reports whether all requests were as IM wants them.
func (f *fake) fine() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.problems) == 0
}

// forget forgets all requests.
func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got, f.problems = nil, nil
}

// settled fails the test if a request was not as IM wants it.
func (f *fake) settled() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.problems {
		f.t.Error(p)
	}
}

// problem notes what is wrong with a request.
func (f *fake) problem(what string) reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problems = append(f.problems, what)
	return code(60002, what)
}

// expecting answers by exchanges in turn, and notes requests that differ from
// what they expect, and requests too many.
func (f *fake) expecting(command string, exchanges []exchange) func(received) reply {
	next := 0
	return func(r received) reply {
		if next == len(exchanges) {
			return f.problem("a request too many: " + r.body)
		}
		e := exchanges[next]
		next++
		if r.command != command {
			return f.problem("command " + r.command)
		}
		if d := difference(decoded(e.Request), decoded([]byte(r.body)), "request"); d != "" {
			return f.problem(d)
		}
		return reply{body: string(e.Answer)}
	}
}

// decoded reads JSON with numbers as they are written; what is no JSON becomes
// an error value that differs from everything.
func decoded(raw []byte) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return err
	}
	return v
}

// difference says where two values first differ, names and types included.
func difference(want, got any, path string) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", path, got)
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if _, ok := g[name]; !ok {
				return fmt.Sprintf("%s has no %s", path, name)
			}
			if d := difference(want[name], g[name], path+"."+name); d != "" {
				return d
			}
		}
		for _, name := range slices.Sorted(maps.Keys(g)) {
			if _, ok := want[name]; !ok {
				return fmt.Sprintf("%s has %s, which IM does not know", path, name)
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return fmt.Sprintf("%s is %v, want %v", path, got, want)
		}
		for i := range want {
			if d := difference(want[i], g[i], fmt.Sprintf("%s[%d]", path, i)); d != "" {
				return d
			}
		}
		return ""
	}
	if want != got {
		return fmt.Sprintf("%s is %#v, want %#v", path, got, want)
	}
	return ""
}

func ctx(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

// only checks an error by its class or code.
func only(t testing.TB, err, target error) *im.Error {
	t.Helper()
	e, ok := errors.AsType[*im.Error](err)
	if !ok || !errors.Is(err, target) {
		t.Fatalf("the error is %v, want %v", err, target)
	}
	return e
}

// refused checks that a request was not sent because of a field.
func refused(t testing.TB, err error, field string) {
	t.Helper()
	e, ok := errors.AsType[*im.FieldError](err)
	if !ok || e.Field != field || !errors.Is(err, im.ClassRequest) || im.ClassOf(err) != im.ClassRequest {
		t.Errorf("the error is %v, want one about %s", err, field)
	}
}

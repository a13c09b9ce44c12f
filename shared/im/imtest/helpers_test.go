package imtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

const (
	appID = 1400000000
	key   = "a key for these tests alone"
	token = "a callback token"
	admin = "administrator"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// backend is a customer's callback URL: it notes what comes and answers as told.
type backend struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []hook
	answer func(command string, body map[string]any) (status int, answer string)
}

// hook is a callback as it arrived.
type hook struct {
	Command string
	Query   url.Values
	Raw     string // the query
	Body    map[string]any
}

const fine = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`

func newBackend(t testing.TB) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	h := hook{Command: r.URL.Query().Get("CallbackCommand"), Query: r.URL.Query(), Raw: r.URL.RawQuery}
	_ = json.Unmarshal(raw, &h.Body)
	b.mu.Lock()
	b.calls = append(b.calls, h)
	answer := b.answer
	b.mu.Unlock()
	status, text := http.StatusOK, fine
	if answer != nil {
		if s, a := answer(h.Command, h.Body); s != 0 {
			status, text = s, a
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// answers sets the answer to one command; the others are told OK.
func (b *backend) answers(command, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = func(c string, _ map[string]any) (int, string) {
		if c == command {
			return http.StatusOK, text
		}
		return 0, ""
	}
}

func (b *backend) got(command string) []hook {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []hook
	for _, h := range b.calls {
		if h.Command == command {
			list = append(list, h)
		}
	}
	return list
}

func (b *backend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = nil
}

// world is an emulator with one app, a backend and a clock that stands.
type world struct {
	t       testing.TB
	clock   *imtest.Clock
	server  *imtest.Server
	web     *httptest.Server
	app     *imtest.App
	backend *backend
	signer  *usersig.Signer
}

// newWorld makes one; change may alter the app's configuration.
func newWorld(t testing.TB, change ...func(*imtest.AppConfig)) *world {
	t.Helper()
	w := &world{t: t, clock: imtest.NewManualClock(start), backend: newBackend(t)}
	w.server = imtest.NewServer(imtest.Options{Clock: w.clock, Seed: 1, Control: true, Origins: []string{"http://127.0.0.1:8080"}})
	w.web = httptest.NewServer(w.server)
	conf := imtest.AppConfig{
		SDKAppID: appID, Key: key, CallbackURL: w.backend.URL + "/im", CallbackToken: token, CallbackConnections: 1, RatePerAPI: -1,
	}
	for _, f := range change {
		f(&conf)
	}
	w.app = w.server.AddApp(conf)
	w.signer = newSigner(t, w.clock)
	t.Cleanup(func() {
		w.server.Close()
		w.web.Close()
	})
	return w
}

func newSigner(t testing.TB, clock *imtest.Clock) *usersig.Signer {
	t.Helper()
	signer, err := usersig.NewSignerAt(appID, key, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func (w *world) sig(userID string) string {
	w.t.Helper()
	sig, err := w.signer.Sign(userID, 24*time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	return sig
}

func (w *world) login(userID string) *imtest.Client { return w.loginOn(userID, "Web") }

func (w *world) loginOn(userID, platform string) *imtest.Client {
	w.t.Helper()
	c, err := w.app.Login(userID, w.sig(userID), imtest.Device{Platform: platform})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// settle waits until the backend has every callback.
func (w *world) settle() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.app.Settle(ctx); err != nil {
		w.t.Fatal("callbacks are still on their way:", err)
	}
}

// hooks settles and returns the callbacks of a command.
func (w *world) hooks(command string) []hook {
	w.t.Helper()
	w.settle()
	return w.backend.got(command)
}

// hook is hooks where there must be exactly one.
func (w *world) hook(command string) hook {
	w.t.Helper()
	list := w.hooks(command)
	if len(list) != 1 {
		w.t.Fatalf("%d callbacks %s, want 1", len(list), command)
	}
	return list[0]
}

// rest calls the REST API as the admin and returns the answer.
func (w *world) rest(command, body string) map[string]any {
	w.t.Helper()
	q := url.Values{
		"sdkappid": {fmt.Sprint(appID)}, "identifier": {admin}, "usersig": {w.sig(admin)}, "random": {"1"}, "contenttype": {"json"},
	}
	_, answer := w.post("/v4/"+command+"?"+q.Encode(), body)
	return answer
}

func (w *world) post(path, body string) (int, map[string]any) {
	w.t.Helper()
	resp, err := w.web.Client().Post(w.web.URL+path, "application/json", strings.NewReader(body))
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
		w.t.Fatalf("the answer to %s is no object: %q", path, raw)
	}
	return resp.StatusCode, answer
}

// do is rest for a call that must succeed.
func (w *world) do(command, body string) map[string]any {
	w.t.Helper()
	answer := w.rest(command, body)
	if code(answer) != 0 || answer["ActionStatus"] == "FAIL" {
		w.t.Fatalf("%s %s: %v", command, body, answer)
	}
	return answer
}

func code(answer map[string]any) int {
	n, ok := answer["ErrorCode"].(float64)
	if !ok {
		return -1
	}
	return int(n)
}

func (w *world) importUsers(ids ...string) {
	w.t.Helper()
	for chunk := range slices.Chunk(ids, 100) {
		list := make([]map[string]string, len(chunk))
		for i, id := range chunk {
			list[i] = map[string]string{"UserID": id}
		}
		w.do("im_open_login_svc/multiaccount_import", asJSON(map[string]any{"AccountList": list}))
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// texts are the texts of messages.
func texts(list []imtest.Message) []string {
	out := make([]string, len(list))
	for i, m := range list {
		out[i] = m.Text()
	}
	return out
}

// same compares what came with JSON written in the test, field by field.
func same(t testing.TB, got any, want string) {
	t.Helper()
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var g, v any
	if err := json.Unmarshal([]byte(want), &v); err != nil {
		t.Fatal("the test's own JSON:", err)
	}
	_ = json.Unmarshal(b, &g)
	if !reflect.DeepEqual(g, v) {
		t.Errorf("got  %s\nwant %s", bytes.TrimSpace(b), want)
	}
}

package callback

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	app   = 1400000001
	token = "token-of-the-tests"

	beforeSend = "Group.CallbackBeforeSendMsg"
	afterSend  = "Group.CallbackAfterSendMsg"
)

// ctx keeps the tests' rules on one line.
type ctx = context.Context

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// clock is a clock that stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1670574414, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

func (c *clock) seconds() string { return strconv.FormatInt(c.now().Unix(), 10) }

// logBuffer is a log that rules may write to while a test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is an endpoint with everything around it in the test's hands.
type rig struct {
	t        testing.TB
	ep       *Endpoint
	mux      *Mux
	clock    *clock
	log      *logBuffer
	deferred []Deferred
	signer   Signer
}

func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, mux: NewMux(), clock: newClock(), log: new(logBuffer)}
	r.signer = Signer{SDKAppID: app, Token: token, Now: r.clock.now}
	c := Config{
		SDKAppID: app, Token: token, Mux: r.mux, Now: r.clock.now,
		Log: slog.New(slog.NewJSONHandler(r.log, nil)),
		Defer: func(_ context.Context, d Deferred) error {
			r.deferred = append(r.deferred, d)
			return nil
		},
	}
	if change != nil {
		change(&c)
	}
	r.mux.SignForwarded(c.Token, c.Now)
	ep, err := NewEndpoint(c)
	if err != nil {
		t.Fatal(err)
	}
	r.ep = ep
	return r
}

// request is the callback that IM would send.
func (r *rig) request(command, body string) *http.Request {
	r.t.Helper()
	req, err := r.signer.Request(r.t.Context(), "http://im.test/im", command, []byte(body))
	if err != nil {
		r.t.Fatal(err)
	}
	return req
}

func (r *rig) do(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.routes().ServeHTTP(w, req)
	return w
}

// routes are the endpoint's own, as deployed.
func (r *rig) routes() http.Handler {
	routes := http.NewServeMux()
	routes.Handle("/im", r.ep)
	routes.Handle("/im/{secret}", r.ep)
	return routes
}

// send delivers a callback and returns the answer.
func (r *rig) send(command, body string) *httptest.ResponseRecorder {
	r.t.Helper()
	return r.do(r.request(command, body))
}

// answers delivers the sample of a command and wants this answer, with 200.
func (r *rig) answers(command, want string) {
	r.t.Helper()
	w := r.send(command, string(sample(r.t, command)))
	if w.Code != http.StatusOK {
		r.t.Errorf("%s: status %d", command, w.Code)
	}
	sameJSON(r.t, w.Body.Bytes(), []byte(want))
}

const (
	allows  = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`
	refuses = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}`
)

// noted is the part of the log that says what.
func (r *rig) noted(what string) int { return strings.Count(r.log.String(), what) }

package scfqueue_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	"github.com/backchannel-im/backchannel/shared/queue/scfqueue"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

// platform behaves like SCF's API: it accepts asynchronous invocations, starts
// them at once, and repeats one that failed, twice.
type platform struct {
	t   *testing.T
	URL string

	mu       sync.Mutex
	calls    int
	answer   func(call int) string // an error's code, "cut" to hang up, or ""
	events   chan invocation
	function map[string]int
}

type invocation struct {
	job []byte
	try int
}

func newPlatform(t *testing.T) *platform {
	p := &platform{t: t, events: make(chan invocation, 1000), function: make(map[string]int)}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Error(err)
	}
	var asked struct{ FunctionName, InvocationType, ClientContext string }
	if err := json.Unmarshal(body, &asked); err != nil {
		p.t.Errorf("%s: %v", body, err)
	}
	if r.Header.Get("X-TC-Action") != "Invoke" || r.Header.Get("X-TC-Version") != "2018-04-16" || asked.InvocationType != "Event" ||
		!strings.HasPrefix(r.Header.Get("Authorization"), "TC3-HMAC-SHA256 ") {
		p.t.Errorf("%v %s", r.Header, body)
	}
	if len(asked.ClientContext) > 128<<10 {
		p.t.Errorf("an event of %d bytes", len(asked.ClientContext))
	}
	var event struct{ BackchannelJob json.RawMessage }
	if err := json.Unmarshal([]byte(asked.ClientContext), &event); err != nil || event.BackchannelJob == nil {
		p.t.Errorf("%.80s: %v", asked.ClientContext, err)
	}
	p.mu.Lock()
	p.calls++
	p.function[asked.FunctionName]++
	code := ""
	if p.answer != nil {
		code = p.answer(p.calls)
	}
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch code {
	case "", "cut":
		p.events <- invocation{event.BackchannelJob, 1}
		if code == "cut" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"Response":{"Result":{"RetMsg":"","InvokeResult":0},"RequestId":"r"}}`)
	default:
		_, _ = io.WriteString(w, `{"Response":{"Error":{"Code":"`+code+`","Message":"m"},"RequestId":"r"}}`)
	}
}

// run starts each invocation on its own, waits in the function for a job that
// is a few seconds ahead, and repeats one that failed.
func (p *platform) run(ctx context.Context, perform func(context.Context, []byte) error) {
	var inHand sync.WaitGroup
	defer inHand.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-p.events:
			inHand.Go(func() {
				j, err := queue.Decode(e.job)
				if err != nil {
					p.t.Error(err)
				}
				if wait := time.Until(j.NotBefore); wait > 0 {
					time.Sleep(wait)
				}
				if perform(ctx, e.job) != nil && e.try < 3 {
					p.events <- invocation{e.job, e.try + 1}
				}
			})
		}
	}
}

func (p *platform) open(functions string) *scfqueue.Queue {
	p.t.Helper()
	q, err := scfqueue.Open(functions, scfqueue.Options{
		Account:  tencentcloud.Account{Region: "ap-test", SecretID: "id", SecretKey: "key"},
		Endpoint: p.URL,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return q
}

func TestContract(t *testing.T) {
	queuetest.Run(t, queuetest.Harness{
		Open: func(t *testing.T) (queue.Queue, func(context.Context, func(context.Context, []byte) error)) {
			p := newPlatform(t)
			return p.open("job-worker"), p.run
		},
	})
}

func TestTrouble(t *testing.T) {
	job := queue.Job{ID: "a", Kind: "k", Lane: queue.Fast}
	for name, tt := range map[string]struct {
		answer func(int) string
		calls  int
		events int
		err    error
	}{
		"a lost answer":      {func(n int) string { return map[int]string{1: "cut"}[n] }, 2, 2, nil},
		"throttled at first": {func(n int) string { return map[int]string{1: "RequestLimitExceeded"}[n] }, 2, 1, nil},
		"always in trouble":  {func(int) string { return "InternalError" }, 3, 0, queue.ErrUnavailable},
		"no such function":   {func(int) string { return "ResourceNotFound.Function" }, 1, 0, queue.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			p.answer = tt.answer
			err := p.open("job-worker").Enqueue(t.Context(), job)
			if !errors.Is(err, tt.err) || p.calls != tt.calls || len(p.events) != tt.events {
				t.Errorf("%v after %d calls, %d jobs come", err, p.calls, len(p.events))
			}
			if err != nil && strings.Contains(err.Error(), "backchannelJob") {
				t.Errorf("the error quotes the job: %v", err)
			}
		})
	}
}

func TestAFunctionForEachLane(t *testing.T) {
	p := newPlatform(t)
	q := p.open("quick,patient")
	if err := q.Enqueue(t.Context(), queue.Job{ID: "a", Kind: "k", Lane: queue.Fast}, queue.Job{ID: "b", Kind: "k", Lane: queue.Slow}); err != nil {
		t.Fatal(err)
	}
	if p.function["quick"] != 1 || p.function["patient"] != 1 {
		t.Errorf("%v", p.function)
	}
}

func TestURLs(t *testing.T) {
	for _, name := range []string{"TENCENTCLOUD_REGION", "TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY"} {
		t.Setenv(name, "")
	}
	if _, err := scfqueue.Engine.Open(t.Context(), "scf:job-worker"); err == nil || !strings.Contains(err.Error(), "execution role") {
		t.Errorf("without credentials: %v", err)
	}
	for _, name := range []string{"TENCENTCLOUD_REGION", "TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY"} {
		t.Setenv(name, "x")
	}
	for url, good := range map[string]bool{
		"scf:job-worker": true, "scf:a,b": true, "scf:": false, "scf:a,": false, "scf:a b": false,
		"scf:a?endpoint=http://127.0.0.1:1": true, "scf:a?region=b": false,
	} {
		if _, err := scfqueue.Engine.Open(t.Context(), url); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
}

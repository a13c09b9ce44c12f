// Package scfqueue is the job engine on Tencent Cloud, which has no queue that
// feeds a function: each job is an asynchronous invocation of the job-worker
// function through the cloud's API (Invoke, 2018-04-16, document 583/17243).
//
// The platform keeps an invocation up to six hours and retries a failed one twice, a
// minute apart. The platform cannot delay an invocation: a job that is due in a few
// seconds waits in the function, and a job that is due later stays with the ledger.
package scfqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

// Engine opens scf:FUNCTION, or scf:FAST,SLOW with a function for each lane.
// Region and credentials are those that SCF gives a function with an execution
// role.
var Engine = queue.Engine{
	Name:  "scf:FUNCTION, or scf:FAST,SLOW with a function for each lane",
	Takes: func(url string) bool { return strings.HasPrefix(url, "scf:") },
	Open: func(_ context.Context, url string) (queue.Queue, error) {
		name, query, _ := strings.Cut(strings.TrimPrefix(url, "scf:"), "?")
		endpoint, isEndpoint := strings.CutPrefix(query, "endpoint=")
		if query != "" && !isEndpoint {
			return nil, errors.New("scfqueue: the only parameter is endpoint")
		}
		return Open(name, Options{Endpoint: endpoint})
	},
}

// Options change how the platform is reached.
type Options struct {
	// Account; by default what the platform's environment says.
	Account tencentcloud.Account
	// Endpoint replaces the API's own URL.
	Endpoint string
}

const (
	// maxDelay is how long a job may wait inside a function that is paid for.
	maxDelay = 3 * time.Second
	try      = 3 * time.Second // one request
	tries    = 3
	together = 8 // invocations at once
)

// Queue is a [queue.Queue] of asynchronous invocations.
type Queue struct {
	scf       *tencentcloud.Service
	functions map[queue.Lane]string
	closed    atomic.Bool
}

// Open returns a queue over one or two functions. It sends nothing.
func Open(functions string, o Options) (*Queue, error) {
	fast, slow, both := strings.Cut(functions, ",")
	if !both {
		slow = fast
	}
	if fast == "" || slow == "" || strings.ContainsAny(functions, "/: ") {
		return nil, errors.New("scfqueue: the URL must be scf:FUNCTION or scf:FAST,SLOW")
	}
	if o.Account == (tencentcloud.Account{}) {
		var err error
		if o.Account, err = tencentcloud.FromEnvironment(); err != nil {
			return nil, fmt.Errorf("scfqueue: %w", err)
		}
	}
	scf, err := tencentcloud.New(o.Account, tencentcloud.Options{Service: "scf", Version: "2018-04-16", Endpoint: o.Endpoint, Timeout: try})
	if err != nil {
		return nil, fmt.Errorf("scfqueue: %w", err)
	}
	return &Queue{scf: scf, functions: map[queue.Lane]string{queue.Fast: fast, queue.Slow: slow}}, nil
}

// MaxDelay implements [queue.Queue].
func (q *Queue) MaxDelay() time.Duration { return maxDelay }

// Close implements [queue.Queue].
func (q *Queue) Close() error {
	q.closed.Store(true)
	return nil
}

// Enqueue implements [queue.Queue].
func (q *Queue) Enqueue(ctx context.Context, jobs ...queue.Job) error {
	if q.closed.Load() {
		return fmt.Errorf("%w: scfqueue: closed", queue.ErrUnavailable)
	}
	encoded := make([][]byte, len(jobs))
	for i, j := range jobs {
		b, err := queue.Encode(j)
		if err != nil {
			return err
		}
		encoded[i] = b
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	errs := make([]error, len(jobs))
	slots := make(chan struct{}, together)
	var all sync.WaitGroup
	for i, j := range jobs {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = q.invoke(ctx, q.functions[j.Lane], encoded[i])
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// envelope is how package faas knows an invocation that brings a job.
type envelope struct {
	Job json.RawMessage `json:"backchannelJob"`
}

// invoke starts one invocation. A repetition after a lost answer makes the job
// come twice, which it may.
func (q *Queue) invoke(ctx context.Context, function string, job []byte) error {
	event, err := json.Marshal(envelope{job})
	if err != nil {
		return fmt.Errorf("%w: %w", queue.ErrInvalid, err)
	}
	for n := 1; ; n++ {
		err := q.scf.Call(ctx, "Invoke", map[string]any{
			"FunctionName": function, "InvocationType": "Event", "ClientContext": string(event),
		}, nil)
		refused, is := errors.AsType[*tencentcloud.Error](err)
		switch {
		case err == nil:
			return nil
		case !is:
			return fmt.Errorf("scfqueue: %w", err)
		case n == tries || !refused.Passing():
			return fmt.Errorf("%w: scfqueue: %s", queue.ErrUnavailable, refused.Code)
		}
		_ = retry.Sleep(ctx, time.Duration(n)*100*time.Millisecond) // the next call sees a context that ended
	}
}

// Package scfqueue is the job engine on Tencent Cloud, which has no queue that
// feeds a function: each job is an asynchronous invocation of the job-worker
// function through the cloud's API (Invoke, 2018-04-16, document 583/17243).
//
// The platform keeps an invocation up to six hours and repeats one that failed
// twice, a minute apart. It cannot hold one back: a job that is a few seconds
// ahead waits in the function, and one that is further ahead stays with the
// ledger.
package scfqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/backchannel-im/backchannel/shared/queue"
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
	// Region, ID, Key and Token; by default what the platform's environment
	// says.
	Region, ID, Key, Token string
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
	client    *common.Client
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
	if o.Region == "" {
		o.Region, o.ID, o.Key, o.Token = os.Getenv("TENCENTCLOUD_REGION"), os.Getenv("TENCENTCLOUD_SECRETID"), os.Getenv("TENCENTCLOUD_SECRETKEY"), os.Getenv("TENCENTCLOUD_SESSIONTOKEN")
	}
	if o.Region == "" || o.ID == "" || o.Key == "" {
		return nil, errors.New("scfqueue: TENCENTCLOUD_REGION, TENCENTCLOUD_SECRETID and TENCENTCLOUD_SECRETKEY are not set; SCF sets them for a function with an execution role")
	}
	use := profile.NewClientProfile()
	use.HttpProfile.ReqTimeout = int(try.Seconds())
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" {
			return nil, errors.New("scfqueue: the endpoint is no URL")
		}
		use.HttpProfile.Scheme, use.HttpProfile.Endpoint = strings.ToUpper(u.Scheme), u.Host
	}
	return &Queue{
		client:    common.NewCommonClient(common.NewTokenCredential(o.ID, o.Key, o.Token), o.Region, use),
		functions: map[queue.Lane]string{queue.Fast: fast, queue.Slow: slow},
	}, nil
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
		request := tchttp.NewCommonRequest("scf", "2018-04-16", "Invoke")
		request.SetContext(ctx)
		if err := request.SetActionParameters(map[string]any{
			"FunctionName": function, "InvocationType": "Event", "ClientContext": string(event),
		}); err != nil {
			return fmt.Errorf("%w: %w", queue.ErrInvalid, err)
		}
		err := q.client.Send(request, tchttp.NewCommonResponse())
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("scfqueue: %w", ctx.Err())
		case n == tries || !passing(err):
			return fmt.Errorf("%w: scfqueue: %s", queue.ErrUnavailable, codeOf(err))
		}
		t := time.NewTimer(time.Duration(n) * 100 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// passing reports what goes by if one waits: the network, the platform's own
// trouble, too many calls.
func passing(err error) bool {
	code := codeOf(err)
	return strings.HasPrefix(code, "ClientError") || strings.HasPrefix(code, "InternalError") ||
		strings.HasPrefix(code, "RequestLimitExceeded") || strings.HasPrefix(code, "LimitExceeded")
}

// codeOf is the code of an SDK error; its text may quote the request.
func codeOf(err error) string {
	var fault *tcerr.TencentCloudSDKError
	if errors.As(err, &fault) {
		return fault.Code
	}
	return "ClientError"
}

package faastest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tencentyun/scf-go-lib/cloudfunction/messages"
	scfevents "github.com/tencentyun/scf-go-lib/events"
)

// SCF is a Tencent event function, driven over the protocol of scf-go-lib. It
// takes several invocations at a time, as that protocol does.
type SCF struct {
	*Process
	// Environment is delivered with every invocation, besides what the process
	// was started with.
	Environment map[string]string
	// Timeout is the time from an invocation to its deadline; an invocation without an
	// answer by then is an error. 0 sends no deadline, which the protocol expresses as
	// 1970.
	Timeout time.Duration

	client *rpc.Client
	last   atomic.Int64 // number of the latest invocation
}

// StartSCF starts the function and returns once it answers a ping. The test
// fails if it never does.
func StartSCF(t testing.TB, bin string, env map[string]string) *SCF {
	t.Helper()
	port := freePort(t)
	env = expand(t, env)
	env["_LAMBDA_SERVER_PORT"] = port
	s := &SCF{Process: start(t, bin, env), Timeout: patience}
	s.client = s.dial(t, port)
	t.Cleanup(func() { _ = s.client.Close() })
	if err := s.client.Call("Function.Ping", &messages.PingRequest{}, &messages.PingResponse{}); err != nil {
		t.Fatalf("ping: %v\n%s", err, s.output())
	}
	return s
}

// dial connects as soon as the function listens. Nothing announces that, so it
// asks again and again.
func (s *SCF) dial(t testing.TB, port string) *rpc.Client {
	t.Helper()
	for begin := time.Now(); ; {
		conn, err := net.Dial("tcp", net.JoinHostPort("localhost", port))
		if err == nil {
			return rpc.NewClient(conn)
		}
		if !s.Alive() || time.Since(begin) > patience {
			t.Fatalf("the function does not listen: %v\n%s", err, s.output())
		}
		time.Sleep(time.Millisecond)
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// Invoke sends a raw event and returns the raw answer. An error of the function
// is a [*FunctionError].
func (s *SCF) Invoke(payload []byte) ([]byte, error) {
	req := &messages.InvokeRequest{
		Payload:      payload,
		RequestId:    fmt.Sprintf("10000000-0000-4000-8000-%012d", s.last.Add(1)),
		FunctionName: "test",
		Namespace:    "default",
	}
	limit := patience
	if s.Timeout > 0 {
		limit = s.Timeout
		deadline := time.Now().Add(s.Timeout)
		req.Deadline = messages.InvokeRequest_Timestamp{Seconds: deadline.Unix(), Nanos: int64(deadline.Nanosecond())}
	}
	if s.Environment != nil {
		b, err := json.Marshal(s.Environment)
		if err != nil {
			return nil, err
		}
		req.Environment = string(b)
	}
	var res messages.InvokeResponse
	call := s.client.Go("Function.Invoke", req, &res, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-time.After(limit):
		return nil, fmt.Errorf("timed out after %v\n%s", limit, s.output())
	}
	switch {
	case errors.Is(call.Error, rpc.ErrShutdown):
		return nil, errExited
	case call.Error != nil:
		return nil, call.Error
	case res.Error != nil:
		return nil, &FunctionError{res.Error.Type, res.Error.Message, res.Error.ShouldExit}
	}
	return res.Payload, nil
}

// Do sends a request as [SCFGateway] or [SCFFunctionURL].
func (s *SCF) Do(shape Shape, r *http.Request) (*http.Response, error) {
	return through(shape, r, s.Invoke)
}

// Timer sends the event of a timer trigger.
func (s *SCF) Timer() error {
	payload, err := json.Marshal(scfevents.TimerEvent{
		Type: "Timer", TriggerName: "clock", Time: time.Now().UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	_, err = s.Invoke(payload)
	return err
}

// Async sends a job, a JSON value, as an asynchronous invocation does.
func (s *SCF) Async(job []byte) error { return async(s.Invoke, job) }

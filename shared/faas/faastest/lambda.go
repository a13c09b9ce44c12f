package faastest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Lambda is a function behind a Runtime API of ours. Like one instance of the
// real thing it gets one invocation at a time.
//
// Source of the protocol: AWS, "Using the Lambda runtime API for custom
// runtimes".
type Lambda struct {
	*Process
	// Timeout is the time from an invocation to its deadline. An invocation without an
	// answer by then is an error.
	Timeout time.Duration

	api  *runtimeAPI
	turn sync.Mutex
	last int // number of the latest invocation
}

// StartLambda starts the function and returns once it asks for its first
// invocation. The test fails if it never does.
func StartLambda(t testing.TB, bin string, env map[string]string) *Lambda {
	t.Helper()
	l := &Lambda{Timeout: patience, api: newRuntimeAPI()}
	server := httptest.NewServer(l.api)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close) // runs after the process is gone: cleanups are last in, first out
	env = expand(t, env)
	env["AWS_LAMBDA_RUNTIME_API"] = strings.TrimPrefix(server.URL, "http://")
	env["AWS_LAMBDA_FUNCTION_NAME"] = "test"
	l.Process = start(t, bin, env)
	select {
	case <-l.api.polled:
	case <-l.exited:
		t.Fatalf("the function did not start\n%s", l.output())
	case <-time.After(patience):
		t.Fatalf("the function never asked for an invocation\n%s", l.output())
	}
	return l
}

// Invoke sends a raw event and returns the raw answer. An error of the function
// is a [*FunctionError].
func (l *Lambda) Invoke(payload []byte) ([]byte, error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	l.last++
	call := &runtimeCall{
		id:       fmt.Sprintf("00000000-0000-4000-8000-%012d", l.last),
		payload:  payload,
		deadline: time.Now().Add(l.Timeout),
		answer:   make(chan runtimeAnswer, 1),
	}
	select {
	case l.api.calls <- call:
	case <-l.exited:
		return nil, errExited
	case <-time.After(patience):
		return nil, fmt.Errorf("the function does not ask for its next invocation\n%s", l.output())
	}
	select {
	case a := <-call.answer:
		return a.payload, a.err
	case <-l.exited:
		return nil, errExited
	case <-time.After(time.Until(call.deadline)):
		return nil, fmt.Errorf("timed out after %v\n%s", l.Timeout, l.output())
	}
}

// Do sends a request as [HTTPAPIv2], [RESTv1] or [FunctionURL].
func (l *Lambda) Do(shape Shape, r *http.Request) (*http.Response, error) {
	return through(shape, r, l.Invoke)
}

// Message is a message of an SQS queue.
type Message struct{ ID, Body string }

// SQS delivers a batch and returns the ids of the messages that SQS would
// deliver again.
func (l *Lambda) SQS(batch ...Message) (failed []string, err error) {
	var e events.SQSEvent
	for _, m := range batch {
		e.Records = append(e.Records, events.SQSMessage{
			MessageId: m.ID, Body: m.Body, ReceiptHandle: "receipt-" + m.ID,
			Attributes:     map[string]string{"ApproximateReceiveCount": "1"},
			EventSource:    "aws:sqs",
			EventSourceARN: "arn:aws:sqs:eu-west-1:123456789012:jobs", AWSRegion: "eu-west-1",
		})
	}
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	answer, err := l.Invoke(payload)
	if err != nil {
		return nil, err
	}
	var out events.SQSEventResponse
	if err := strictly(answer, &out); err != nil {
		return nil, fmt.Errorf("SQS cannot read the answer %q: %w", answer, err)
	}
	for _, f := range out.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return failed, nil
}

// Schedule sends the event of an EventBridge schedule.
func (l *Lambda) Schedule() error {
	payload, err := json.Marshal(events.EventBridgeEvent{
		Version: "0", ID: "schedule-1", DetailType: "Scheduled Event", Source: "aws.events",
		AccountID: "123456789012", Time: time.Now().UTC(), Region: "eu-west-1",
		Resources: []string{"arn:aws:events:eu-west-1:123456789012:rule/clock"}, Detail: json.RawMessage("{}"),
	})
	if err != nil {
		return err
	}
	_, err = l.Invoke(payload)
	return err
}

// Async sends a job, a JSON value, as an asynchronous invocation does.
func (l *Lambda) Async(job []byte) error { return async(l.Invoke, job) }

func async(invoke func([]byte) ([]byte, error), job []byte) error {
	payload, err := json.Marshal(map[string]json.RawMessage{"backchannelJob": job})
	if err != nil {
		return err
	}
	_, err = invoke(payload)
	return err
}

// runtimeAPI is the side of Lambda that a function talks to.
type runtimeAPI struct {
	http.ServeMux
	calls  chan *runtimeCall
	polled chan struct{} // closed with the first poll
	first  sync.Once

	mu      sync.Mutex
	running map[string]*runtimeCall
}

type runtimeCall struct {
	id       string
	payload  []byte
	deadline time.Time
	answer   chan runtimeAnswer
}

type runtimeAnswer struct {
	payload []byte
	err     error
}

func newRuntimeAPI() *runtimeAPI {
	api := &runtimeAPI{
		calls: make(chan *runtimeCall), polled: make(chan struct{}),
		running: make(map[string]*runtimeCall),
	}
	const invocation = "/2018-06-01/runtime/invocation/"
	api.HandleFunc("GET "+invocation+"next", api.next)
	api.HandleFunc("POST "+invocation+"{id}/response", api.answer(func(body []byte) runtimeAnswer {
		return runtimeAnswer{payload: body}
	}))
	api.HandleFunc("POST "+invocation+"{id}/error", api.answer(func(body []byte) runtimeAnswer {
		var e struct{ ErrorType, ErrorMessage string }
		if err := json.Unmarshal(body, &e); err != nil {
			return runtimeAnswer{err: err}
		}
		return runtimeAnswer{err: &FunctionError{Type: e.ErrorType, Message: e.ErrorMessage}}
	}))
	return api
}

func (api *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	api.first.Do(func() { close(api.polled) })
	select {
	case call := <-api.calls:
		api.mu.Lock()
		api.running[call.id] = call
		api.mu.Unlock()
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", call.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(call.deadline.UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:test")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(call.payload)
	case <-r.Context().Done():
	}
}

func (api *runtimeAPI) answer(read func(body []byte) runtimeAnswer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		id := r.PathValue("id")
		api.mu.Lock()
		call := api.running[id]
		delete(api.running, id)
		api.mu.Unlock()
		if err != nil || call == nil {
			http.Error(w, "no such invocation", http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		call.answer <- read(body)
	}
}

package faas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// invocation is one event and the app that is to handle it.
type invocation struct {
	name  string
	app   *App
	event *event
	kind  kind
}

// handle returns the platform's answer. Its errors are bland, since a platform
// shows them to the caller: the log has said everything.
func (i invocation) handle(ctx context.Context) ([]byte, error) {
	ctx, cancel := leaveTimeToAnswer(ctx)
	defer cancel()
	// Before the answer: the platform freezes the function after it.
	defer flushSometimes(ctx, i.name)
	switch {
	case i.kind.isHTTP() && i.app.HTTP != nil:
		return i.answer(ctx)
	case i.kind == jobBatch && i.app.Job != nil:
		return i.doBatch(ctx)
	case i.kind == oneJob && i.app.Job != nil:
		return nil, attempt(ctx, "job", func() error { return i.app.Job(ctx, i.event.Job) })
	case i.kind == schedule && i.app.Tick != nil:
		return nil, attempt(ctx, "tick", func() error { return i.app.Tick(ctx) })
	case i.kind == warmUp, i.kind == schedule && i.app.HTTP != nil:
		// A schedule of somebody who keeps the function warm asks for nothing.
		slog.DebugContext(ctx, "warm-up")
		return []byte("{}"), nil
	}
	return nil, refuse(ctx, errors.New("event: this function does not handle events of this kind"))
}

// leaveTimeToAnswer moves the platform's deadline a little forward, by a tenth
// of what is left and half a second at most, so that whoever runs into it can
// still say so. A deadline of 1970 is SCF's way to give none.
func leaveTimeToAnswer(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	switch {
	case !ok:
		return ctx, func() {}
	case deadline.Unix() <= 0:
		return context.WithoutCancel(ctx), func() {}
	}
	margin := min(time.Until(deadline)/10, 500*time.Millisecond)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// refuse logs why and returns what the caller may see of it.
func refuse(ctx context.Context, why error) error {
	slog.ErrorContext(ctx, "refused", "error", why.Error())
	return bland(ctx)
}

func bland(ctx context.Context) error {
	return fmt.Errorf("failed, see the log of request %s", fault.RequestID(ctx))
}

func (i invocation) answer(ctx context.Context) ([]byte, error) {
	r, err := i.event.request(ctx, i.kind)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	rec := newRecorder(r)
	func() {
		// The server has logged the panic; what it cut off is answered below.
		defer func() {
			if recover() != nil {
				rec = blandReply(ctx)
			}
		}()
		server{i.name, i.app.HTTP}.ServeHTTP(rec, r)
	}()
	out, err := rec.encode(i.kind)
	if err != nil {
		slog.ErrorContext(ctx, "answer refused", "route", r.Pattern, "error", err.Error())
		return blandReply(ctx).encode(i.kind)
	}
	return out, nil
}

func blandReply(ctx context.Context) *recorder {
	rec := &recorder{header: http.Header{"Content-Type": {"application/json"}}}
	rec.WriteHeader(http.StatusInternalServerError)
	_, _ = rec.Write(blandBody(ctx))
	return rec
}

// batchReply names the messages that SQS shall deliver again. It needs
// FunctionResponseTypes: [ReportBatchItemFailures] on the event source mapping.
type batchReply struct {
	Failures []batchFailure `json:"batchItemFailures"`
}

type batchFailure struct {
	MessageID string `json:"itemIdentifier"`
}

// doBatch does one job after the other and begins none that would probably be
// cut off: a job needs as much time as the longest one so far.
func (i invocation) doBatch(ctx context.Context) ([]byte, error) {
	out := batchReply{Failures: []batchFailure{}} // an empty list, not null: all done
	deadline, bounded := ctx.Deadline()
	var longest time.Duration
	for n, rec := range i.event.Records {
		start := time.Now()
		if ctx.Err() != nil || bounded && deadline.Sub(start) < longest {
			slog.WarnContext(ctx, "deadline reached; the rest of the batch is redelivered", "jobs", len(i.event.Records)-n)
			for _, rest := range i.event.Records[n:] {
				out.Failures = append(out.Failures, batchFailure{rest.MessageID})
			}
			break
		}
		if attempt(ctx, "job", func() error { return i.app.Job(ctx, []byte(rec.Body)) }) != nil {
			out.Failures = append(out.Failures, batchFailure{rec.MessageID})
		}
		longest = max(longest, time.Since(start))
	}
	return json.Marshal(out)
}

// attempt does a job or a tick and logs how it went. Its error is bland.
func attempt(ctx context.Context, what string, do func() error) (err error) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			logPanic(ctx, what, p)
			err = bland(ctx)
		}
	}()
	if err := do(); err != nil {
		slog.ErrorContext(ctx, what+" failed", "ms", milliseconds(start), "error", err.Error())
		return bland(ctx)
	}
	slog.InfoContext(ctx, what, "ms", milliseconds(start))
	return nil
}

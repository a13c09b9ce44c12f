package callback

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/metric"
)

const (
	maxQuery = 8 << 10
	// firstRead is how much is made room for before anything arrived: a message
	// of the largest size that IM takes, with what stands around it.
	firstRead = 16 << 10
	// A body over smallBody, or of unknown length, is large. At most maxLarge of
	// them are under way at once; others wait until their time ends.
	smallBody = 64 << 10
	maxLarge  = 32
)

// ServeHTTP implements http.Handler.
func (ep *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := ep.c.Now()
	ctx, cancel := context.WithTimeout(r.Context(), ep.c.Deadline)
	defer cancel()
	q, err := ep.admit(r)
	switch {
	case err != nil:
		ep.refuse(ctx, w, r, q, err)
		return
	case q.Command == "":
		ep.watched(ctx, func(ctx context.Context, w Watcher) { w.Refused(ctx, q, ErrNoCommand, peek(r)) })
		write(w, http.StatusOK, okAnswer) // the console's "verify URL"
		return
	}
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		select {
		case ep.large <- struct{}{}:
			defer func() { <-ep.large }()
		case <-ctx.Done():
			ep.refuse(ctx, w, r, q, ErrBusy)
			return
		}
	}
	body, err := readBody(r)
	if err != nil {
		ep.refuse(ctx, w, r, q, err)
		return
	}
	e, err := open(q, body)
	if err != nil {
		ep.refuse(ctx, w, r, q, err)
		return
	}
	hop := phase(r.Header.Get(ForwardedHeader))
	if hop != "" && ep.c.Mux.forwards[q.Command] {
		ep.refuse(ctx, w, r, q, ErrLoop)
		return
	}
	why := func() any { return nil }
	if ep.c.Observe != nil {
		ctx, why = explained(ctx)
	}
	x := ep.dispatch(ctx, e, hop)
	name := "unknown" // anybody who may sign could have written another
	if _, known := table()[q.Command]; known {
		name = q.Command
		ep.watched(ctx, func(ctx context.Context, w Watcher) { w.Arrived(ctx, q) })
	}
	write(w, x.Status, x.Answer)
	metric.Callbacks.Add(1, name, x.Verdict)
	metric.CallbackTime.Add(float64(ep.c.Now().Sub(start))/float64(time.Millisecond), name)
	if ep.c.Observe != nil {
		x.Why = why()
		x.At, x.Command, x.Latency, x.Body = start, q.Command, ep.c.Now().Sub(start), body
		ep.c.Observe(x)
	}
}

// admit bounds the request and asks who sent it, before its body is looked at.
func (ep *Endpoint) admit(r *http.Request) (Query, error) {
	switch {
	case r.Method != http.MethodPost:
		return Query{}, ErrMethod
	case len(r.URL.RawQuery) > maxQuery:
		return Query{}, ErrLongQuery
	}
	q, err := ep.authenticate(r)
	if err == nil && q.Command != "" && r.ContentLength > MaxBody {
		err = ErrTooLarge
	}
	return q, err
}

// readBody reads a body of at most MaxBody bytes. Its buffer grows with what has
// arrived, not with what was announced.
func readBody(r *http.Request) ([]byte, error) {
	room := int64(firstRead)
	if r.ContentLength >= 0 {
		room = min(room, r.ContentLength)
	}
	b := make([]byte, 0, room+1) // the last read, which finds the end, needs a byte
	for {
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > MaxBody:
			return nil, ErrTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, ErrUnreadable
		case len(b) == cap(b):
			b = slices.Grow(b, len(b))
		}
	}
}

// maxPeek bounds the body of a refused request that a watcher may look at.
const maxPeek = 4 << 10

func peek(r *http.Request) func() []byte {
	return func() []byte {
		if r.ContentLength <= 0 || r.ContentLength > maxPeek {
			return nil
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxPeek))
		if err != nil {
			return nil
		}
		return body
	}
}

// refuse answers a request that reaches no rule, and says in the log why.
func (ep *Endpoint) refuse(ctx context.Context, w http.ResponseWriter, r *http.Request, q Query, err error) {
	reason, is := errors.AsType[*Reason](err)
	if !is {
		reason = errUnexpected
	}
	ep.tally.refused(reason.Code)
	metric.Refused.Add(1, reason.Code)
	command := q.Command
	if _, known := table()[command]; !known {
		command = "" // anybody could have written it
	}
	if command != "" && reason.Status == http.StatusForbidden {
		ep.watched(ctx, func(ctx context.Context, w Watcher) { w.Refused(ctx, q, reason, peek(r)) })
	}
	ep.c.Log.LogAttrs(ctx, slog.LevelWarn, "callback refused", slog.String("reason", reason.Code),
		slog.String("detail", err.Error()), slog.String("command", command))
	if reason == ErrMethod {
		w.Header().Set("Allow", http.MethodPost)
	}
	write(w, reason.Status, failure(reason.public()))
}

// watched calls the watcher, if there is one.
func (ep *Endpoint) watched(ctx context.Context, do func(context.Context, Watcher)) {
	if ep.c.Watch == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchTime)
	defer cancel()
	_ = guard(ctx, func(ctx context.Context) error { do(ctx, ep.c.Watch); return nil })
}

func failure(text string) []byte {
	b, err := marshal(answer{ActionStatus: "FAIL", ErrorInfo: text, ErrorCode: codeReject})
	if err != nil {
		panic("callback: " + err.Error()) // strings always marshal
	}
	return b
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	_, _ = w.Write(body) // IM hung up: nobody is left to tell
}

var jsonType = []string{"application/json"}

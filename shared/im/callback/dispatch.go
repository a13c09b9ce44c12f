package callback

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/metric"
)

// open decodes an authenticated callback and holds its two names together.
func open(q Query, body []byte) (Event, error) {
	e, err := Decode(q.Command, body)
	if err != nil {
		return nil, err
	}
	b := e.base()
	if b.CallbackCommand != q.Command && (b.CallbackCommand != "" || !lookUp(q.Command).nameless) {
		return nil, ErrOtherCommand
	}
	b.Query = q
	return e, nil
}

// dispatch runs the rules and makes the answer.
func (ep *Endpoint) dispatch(ctx context.Context, e Event, hop phase) Exchange {
	for _, field := range e.base().unread {
		ep.tally.unread(field)
		ep.c.Log.LogAttrs(ctx, slog.LevelWarn, "callback field unreadable", slog.String("command", e.Command()), slog.String("field", field))
	}
	t, known := table()[e.Command()]
	switch {
	case !known:
		ep.tally.add(&ep.tally.s.Unknown)
		ep.c.Log.LogAttrs(ctx, slog.LevelInfo, "callback unknown", slog.String("command", printable(e.Command())))
		return Exchange{Status: http.StatusOK, Verdict: "ok", Answer: okAnswer}
	case t.kind == before:
		return ep.decide(ctx, e, hop)
	default:
		return ep.acknowledge(ctx, e)
	}
}

func (ep *Endpoint) decide(ctx context.Context, e Event, hop phase) Exchange {
	report := func(rule string, err error) { ep.ruleFailed(ctx, e, rule, err) }
	verdict := new(outcome)
	if hop != phaseAllowed {
		verdict, e = ep.c.Mux.ask(ctx, e, report)
	}
	x := Exchange{Status: http.StatusOK, Verdict: verdict.name(), Rule: verdict.rule, Answer: verdict.encode(e)}
	if verdict.allows() && hop != phaseBefore {
		ep.c.Mux.tellAllowed(ctx, e, report)
	}
	return x
}

// acknowledge runs after-rules. IM ignores what they answer and does not repeat
// the callback unless its console says so: what failed is kept for later here.
func (ep *Endpoint) acknowledge(ctx context.Context, e Event) Exchange {
	if sent, is := e.(*C2CAfterSendMsg); is && ep.c.Watch != nil {
		mine := make(chan bool, 1)
		ep.watched(ctx, func(ctx context.Context, w Watcher) { mine <- w.Probe(ctx, sent) })
		select {
		case own := <-mine:
			if own {
				return Exchange{Status: http.StatusOK, Verdict: "ok", Answer: okAnswer}
			}
		default: // no answer in time: a message like others
		}
	}
	// IM hanging up does not undo what happened; only the time bounds it.
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	rules, cancelRules := context.WithDeadline(ctx, deadline.Add(-ep.c.Deadline/5))
	defer cancelRules()

	lost := false
	ep.c.Mux.tell(rules, e, func(rule string, err error) {
		ep.ruleFailed(ctx, e, rule, err)
		if err := ep.deferCallback(ctx, e, rule); err != nil {
			lost = true
			ep.tally.add(&ep.tally.s.Lost)
			ep.c.Log.LogAttrs(ctx, slog.LevelError, "callback not kept for later", slog.String("command", e.Command()),
				slog.String("rule", rule), slog.String("error", err.Error()))
			return
		}
		ep.tally.add(&ep.tally.s.Deferred)
	})
	if lost {
		return Exchange{Status: http.StatusInternalServerError, Verdict: "error", Answer: failure("try again")}
	}
	return Exchange{Status: http.StatusOK, Verdict: "ok", Answer: okAnswer}
}

var errNoDefer = errors.New("callback: no Defer is configured to enqueue it")

// deferCallback enqueues the callback so that the failed rule is retried.
func (ep *Endpoint) deferCallback(ctx context.Context, e Event, rule string) error {
	if ep.c.Defer == nil {
		return errNoDefer
	}
	b := e.base()
	d := Deferred{Rule: rule, Command: e.Command(), Query: b.Query.raw, Body: b.raw}
	return guard(ctx, func(ctx context.Context) error { return ep.c.Defer(ctx, d) })
}

func (ep *Endpoint) ruleFailed(ctx context.Context, e Event, rule string, err error) {
	ep.tally.failed(rule, err)
	metric.RuleFailures.Add(1, rule)
	ep.c.Log.LogAttrs(ctx, slog.LevelError, "callback rule failed", slog.String("command", e.Command()),
		slog.String("rule", rule), slog.String("error", err.Error()))
}

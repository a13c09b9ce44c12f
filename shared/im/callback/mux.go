package callback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Policy says what a before-rule's failure means: an error, a panic, or time
// that ran out.
type Policy int

const (
	FailOpen   Policy = iota // as if the rule allowed
	FailClosed               // as if it refused
)

// BeforeEvent is an event that is answered with a verdict of type V.
type BeforeEvent[V Verdict] interface {
	Event
	asks(V)
}

// AfterEvent is an event that is only acknowledged.
type AfterEvent interface {
	Event
	happened()
}

// allowedTime bounds what rules registered with [Allowed] may take together.
const allowedTime = 300 * time.Millisecond

// Mux knows which rules want which callbacks. Register everything before the
// first callback arrives.
type Mux struct {
	before  map[string][]beforeRule
	allowed map[string][]rule
	after   map[string][]rule
	byName  map[string]func(ctx context.Context, q Query, rawQuery string, body []byte) error
}

// NewMux returns a Mux without rules: everything is allowed and acknowledged.
func NewMux() *Mux {
	return &Mux{
		before:  make(map[string][]beforeRule),
		allowed: make(map[string][]rule),
		after:   make(map[string][]rule),
		byName:  make(map[string]func(context.Context, Query, string, []byte) error),
	}
}

type beforeRule struct {
	name   string
	policy Policy
	run    func(ctx context.Context, e Event) (*outcome, error)
}

type rule struct {
	name string
	run  func(ctx context.Context, e Event) error
}

// commandOf returns the wire name of an event type, and panics for a type that
// is not in the table: a mistake of the program, found at its start.
func commandOf[E Event]() string {
	for name, t := range table {
		if _, is := t.make().(E); is {
			return name
		}
	}
	var e E
	panic(fmt.Sprintf("callback: no command has events of type %T", e))
}

// Before registers a rule that is asked before something happens. Rules are
// asked in the order of registration and the first refusal wins; a rule sees
// what earlier ones rewrote.
//
// A before-rule must change nothing. IM never repeats the question, may ignore
// a late answer, and anybody who saw a callback's URL could send it again.
func Before[E BeforeEvent[V], V Verdict](m *Mux, name string, p Policy, f func(context.Context, E) (V, error)) {
	command := commandOf[E]()
	m.before[command] = append(m.before[command], beforeRule{name, p, func(ctx context.Context, e Event) (*outcome, error) {
		v, err := f(ctx, e.(E))
		if err != nil {
			return nil, err
		}
		return v.outcome(), nil
	}})
}

// Allowed registers a rule that runs once everything said yes, for what can
// only be seen before sending. It cannot change the verdict, has 300 ms with
// all others of its kind, and is not repeated: each effect needs a key of its
// own, and a loss is only counted.
func Allowed[E BeforeEvent[V], V Verdict](m *Mux, name string, f func(context.Context, E) error) {
	command := commandOf[E]()
	m.allowed[command] = append(m.allowed[command], rule{name, func(ctx context.Context, e Event) error { return f(ctx, e.(E)) }})
}

// After registers a rule that is told after something happened. All rules of a
// command run, each knows a repeated event by its own identity, and a rule that
// fails is tried again later by itself ([Mux.Redo]). Names are unique within a
// Mux.
func After[E AfterEvent](m *Mux, name string, f func(context.Context, E) error) {
	command := commandOf[E]()
	run := func(ctx context.Context, e Event) error { return f(ctx, e.(E)) }
	m.after[command] = append(m.after[command], rule{name, run})
	m.redoable(name, command, func(ctx context.Context, q Query, _ string, body []byte) error {
		e, err := Decode(command, body)
		if err != nil {
			return err
		}
		e.base().Query = q
		return guard(ctx, func(ctx context.Context) error { return run(ctx, e) })
	})
}

// redoable remembers how a rule is tried again. One rule may want several
// commands, each under the same name.
func (m *Mux) redoable(name, command string, redo func(context.Context, Query, string, []byte) error) {
	key := name + " " + command
	if _, taken := m.byName[key]; taken {
		panic("callback: two rules called " + name + " want " + command)
	}
	m.byName[key] = redo
}

// ErrNoRule: the rule or the command that a job names does not exist, or no
// longer.
var ErrNoRule = errors.New("callback: no such rule")

// Redo runs one after-rule again, with the callback it failed on.
func (m *Mux) Redo(ctx context.Context, d Deferred) error {
	redo := m.byName[d.Rule+" "+d.Query.Command]
	if redo == nil {
		return fmt.Errorf("%w: %s for %s", ErrNoRule, d.Rule, shown(d.Query.Command))
	}
	return redo(ctx, d.Query, d.RawQuery, d.Body)
}

// Deferred is an after-callback that one rule could not handle in time, as a
// job carries it. It encodes to JSON.
type Deferred struct {
	Rule     string          `json:"rule"`
	Query    Query           `json:"query"`
	RawQuery string          `json:"rawQuery"` // as signed, for forwarding
	Body     json.RawMessage `json:"body"`
}

// Commands returns the commands that any rule wants.
func (m *Mux) Commands() []string {
	var list []string
	for name := range table {
		if len(m.before[name])+len(m.allowed[name])+len(m.after[name]) > 0 {
			list = append(list, name)
		}
	}
	return list
}

// errPanic is the failure of a rule that panicked; the message is its stack.
type errPanic struct{ stack string }

func (e *errPanic) Error() string { return "callback: a rule panicked: " + e.stack }

// guarded runs f, turns a panic into an error, and stops waiting when ctx ends:
// a rule that does not heed its context must not take the answer's time.
func guarded[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = &errPanic{fmt.Sprintf("%v\n%s", p, debug.Stack())}
			}
			done <- r
		}()
		r.value, r.err = f(ctx)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// guard is guarded for a function without a value.
func guard(ctx context.Context, f func(context.Context) error) error {
	_, err := guarded(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// rewritable are events whose message a verdict may change.
type rewritable interface {
	rewrite(body im.MsgBody, custom *string)
}

// ask runs the before-rules of an event and returns the final verdict.
func (m *Mux) ask(ctx context.Context, e Event, report func(rule string, err error)) *outcome {
	final := new(outcome)
	for _, r := range m.before[e.Command()] {
		said, err := guarded(ctx, func(ctx context.Context) (*outcome, error) { return r.run(ctx, e) })
		if err == nil {
			err = said.check()
		}
		if err != nil {
			report(r.name, err)
			said = new(outcome)
			if r.policy == FailClosed {
				said.code = codeReject
			}
		} else if said.fault != nil {
			report(r.name, said.fault)
		}
		final.merge(said)
		if !final.allows() {
			return final
		}
		if w, is := e.(rewritable); is {
			w.rewrite(said.body, said.custom)
		}
	}
	return final
}

// check refuses an outcome that cannot be written.
func (o *outcome) check() error {
	if o.body == nil {
		return nil
	}
	_, err := json.Marshal(o.body)
	return err
}

// tellAllowed runs the rules of the Allowed kind.
func (m *Mux) tellAllowed(ctx context.Context, e Event, report func(rule string, err error)) {
	rules := m.allowed[e.Command()]
	if len(rules) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, allowedTime)
	defer cancel()
	for _, r := range rules {
		if err := guard(ctx, func(ctx context.Context) error { return r.run(ctx, e) }); err != nil {
			report(r.name, err)
		}
	}
}

// tell runs all after-rules of an event side by side and calls failed for each
// that failed.
func (m *Mux) tell(ctx context.Context, e Event, failed func(rule string, err error)) {
	rules := m.after[e.Command()]
	if len(rules) == 1 {
		if err := guard(ctx, func(ctx context.Context) error { return rules[0].run(ctx, e) }); err != nil {
			failed(rules[0].name, err)
		}
		return
	}
	errs := make([]error, len(rules))
	var all sync.WaitGroup
	for i, r := range rules {
		all.Go(func() { errs[i] = guard(ctx, func(ctx context.Context) error { return r.run(ctx, e) }) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			failed(rules[i].name, err)
		}
	}
}

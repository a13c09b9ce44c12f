package callback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Policy is the verdict when a before-rule fails: by an error, a panic, or a timeout.
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
	before   map[string][]beforeRule
	allowed  map[string][]rule
	after    map[string][]rule
	redo     map[ruleKey]func(ctx context.Context, d Deferred) error
	forwards map[string]bool // commands that go to another deployment

	// signAgain gives a query a new signature; nil keeps the one it has.
	signAgain func(query string) string
}

type ruleKey struct{ rule, command string }

type beforeRule struct {
	name   string
	policy Policy
	run    func(ctx context.Context, e Event) (*outcome, error)
}

type rule struct {
	name  string
	run   func(ctx context.Context, e Event) error
	about func(e Event) bool // which events concern it; nil: all
}

// concerns reports whether a rule is to hear of an event.
func (r rule) concerns(e Event) bool { return r.about == nil || r.about(e) }

// NewMux returns a Mux without rules: everything is allowed and acknowledged.
func NewMux() *Mux {
	return &Mux{
		before:   make(map[string][]beforeRule),
		allowed:  make(map[string][]rule),
		after:    make(map[string][]rule),
		redo:     make(map[ruleKey]func(context.Context, Deferred) error),
		forwards: make(map[string]bool),
	}
}

// Before registers a rule that judges an event before it happens. Rules run in the
// order of registration and the first refusal wins; a rule sees the event as earlier
// rules rewrote it. When time has run out, the remaining rules have failed, too.
//
// A before-rule must change nothing. IM never retries a before-callback, may ignore a
// late answer, and anybody who saw a callback's URL could replay it.
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

// Allowed registers a rule that runs after all before-rules have allowed a message,
// for events that can only be observed before sending. The rule sees the message as
// rewritten and cannot change the verdict. It has 300 ms together with all other rules
// of its kind, and is not retried: each effect needs an idempotency key of its own,
// and a failure is only counted.
func Allowed[E BeforeEvent[V], V Verdict](m *Mux, name string, f func(context.Context, E) error) {
	command := commandOf[E]()
	m.allowed[command] = append(m.allowed[command], rule{name: name, run: func(ctx context.Context, e Event) error { return f(ctx, e.(E)) }})
}

// After registers a rule for an event that has happened. All rules of a command run
// concurrently; each deduplicates events by their own identity, and only a rule that
// fails is retried ([Mux.Redo]). One name may stand for several commands, but not
// twice for one: that panics.
func After[E AfterEvent](m *Mux, name string, f func(context.Context, E) error) {
	registerAfter(m, name, nil, f)
}

// AfterAbout registers an after-rule for some events of a command only, such as the
// messages of some groups. about is called first and decides from the event alone; an
// event that concerns no rule of a function deployed on its own is not forwarded to
// that function.
func AfterAbout[E AfterEvent](m *Mux, name string, about func(E) bool, f func(context.Context, E) error) {
	registerAfter(m, name, func(e Event) bool { return about(e.(E)) }, f)
}

func registerAfter[E AfterEvent](m *Mux, name string, about func(Event) bool, f func(context.Context, E) error) {
	command := commandOf[E]()
	run := func(ctx context.Context, e Event) error { return f(ctx, e.(E)) }
	m.addAfter(command, rule{name, run, about}, func(ctx context.Context, d Deferred) error {
		e, err := Decode(command, d.Body)
		if err != nil {
			return err
		}
		if e.base().Query, _, _, err = parseQuery(d.Query); err != nil {
			return err
		}
		return run(ctx, e)
	})
}

func (m *Mux) addAfter(command string, r rule, redo func(context.Context, Deferred) error) {
	key := ruleKey{r.name, command}
	if m.redo[key] != nil {
		panic("callback: two rules called " + r.name + " want " + command)
	}
	m.redo[key] = redo
	m.after[command] = append(m.after[command], r)
}

// Deferred is an after-callback that one rule failed on, as a job carries it. It
// encodes to JSON. It holds texts and a signature, so it must not be logged.
type Deferred struct {
	Rule    string `json:"rule"`
	Command string `json:"command"`
	Query   string `json:"query"` // as received
	// Body is as received, byte for byte, since some events are deduplicated by its
	// hash.
	Body []byte `json:"body"`
}

// ErrNoRule: the rule or the command that a job names does not exist, or no longer. A
// retry fails, too.
var ErrNoRule = errors.New("callback: no such rule")

// Redo retries one after-rule, with the callback on which it failed. A callback that
// goes to another deployment is signed anew, since its own signature may have become
// too old. The error is the rule's, [ErrNoRule], or a [Reason].
func (m *Mux) Redo(ctx context.Context, d Deferred) error {
	redo := m.redo[ruleKey{d.Rule, d.Command}]
	if redo == nil {
		return fmt.Errorf("%w: %s for %s", ErrNoRule, d.Rule, printable(d.Command))
	}
	return guard(ctx, func(ctx context.Context) error { return redo(ctx, d) })
}

// Commands returns the commands that any rule wants, in order of name.
func (m *Mux) Commands() []string {
	var list []string
	for name := range table() {
		if len(m.before[name])+len(m.allowed[name])+len(m.after[name]) > 0 {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// RulesFor returns the names of the rules that want a command, each once and in
// order of registration.
func (m *Mux) RulesFor(command string) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, r := range m.before[command] {
		add(r.name)
	}
	for _, r := range slices.Concat(m.allowed[command], m.after[command]) {
		add(r.name)
	}
	return names
}

// rewritable are events whose message a verdict may change. The event itself
// stays as it is: a rule that ran out of time may still be reading it.
type rewritable interface{ rewritten(o *outcome) Event }

// ask runs the before-rules of an event. It returns the final verdict and the
// event as rewritten.
func (m *Mux) ask(ctx context.Context, e Event, report func(rule string, err error)) (*outcome, Event) {
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
		if said.name() != "allow" {
			final.rule = r.name
		}
		if final.merge(said); !final.allows() {
			return final, e
		}
		if w, is := e.(rewritable); is && (said.body != nil || said.custom != nil) {
			e = w.rewritten(said)
		}
	}
	return final, e
}

// check refuses an outcome that cannot be written.
func (o *outcome) check() error {
	for _, element := range o.body {
		if !json.Valid(element.MsgContent) {
			return errors.New("callback: a rewritten element's content is not JSON")
		}
	}
	return nil
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

// tell runs all after-rules that an event concerns side by side and calls failed for each
// that failed, one after the other.
func (m *Mux) tell(ctx context.Context, e Event, failed func(rule string, err error)) {
	var rules []rule
	for _, r := range m.after[e.Command()] {
		if r.concerns(e) {
			rules = append(rules, r)
		}
	}
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

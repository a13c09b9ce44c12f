package wiring

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/config/secrets"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/jobdesk"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/schedule"
)

// Timetable is what a program does every minute, with the store and the queue
// alone; jobs is nil without a queue.
type Timetable func(store kv.Store, jobs *queue.Ledger) schedule.Table

// Program is a deployable: features, and what the program does of what they
// register.
type Program struct {
	features     []Feature
	engines      Engines
	store, queue Need
	callers      Callers
	alone        bool // it is the feature's own function
	callbacks    bool // it answers IM's callbacks
	forwards     bool // it may pass them to the features' own functions
	routes       bool // it serves the features' routes
	works        bool // it carries out jobs, and has the operator's routes for them
	minute       Timetable
	observe      func(callback.Exchange)
}

// Alone is a feature's own function: its callbacks and its routes.
func Alone(f Feature, e Engines) Program {
	return Program{
		features: []Feature{f}, engines: e, store: f.Store, queue: f.Queue, callers: f.Callers,
		alone: true, callbacks: f.Callbacks, routes: true,
	}
}

// Router is IM's one callback URL: the callbacks of all features, run here or
// passed to their own functions.
func Router(all []Feature, e Engines) Program {
	return Program{
		features: filter(all, func(f Feature) bool { return f.Callbacks }),
		engines:  e, store: Required, queue: Optional, callbacks: true, forwards: true,
	}
}

// Worker carries out the jobs of all features.
func Worker(all []Feature, e Engines) Program {
	return Program{
		features: filter(all, func(f Feature) bool { return f.Callbacks || f.Queue != None }),
		engines:  e, store: Required, queue: Required, callers: Servers, forwards: true, works: true,
	}
}

// Clock does what is due every minute.
func Clock(minute Timetable, e Engines) Program {
	return Program{engines: e, store: Required, queue: Required, minute: minute}
}

// Bundle is everything behind one URL. observe sees every callback; nil: nobody
// does.
func Bundle(all []Feature, minute Timetable, e Engines, observe func(callback.Exchange)) Program {
	return Program{
		features: all, engines: e, store: Required, queue: Optional, callers: Users,
		callbacks: true, routes: true, works: true, minute: minute, observe: observe,
	}
}

func filter(all []Feature, keep func(Feature) bool) []Feature {
	return slices.DeleteFunc(slices.Clone(all), func(f Feature) bool { return !keep(f) })
}

// Build reads the settings and opens what they name. After an error, nothing is
// open: a platform that builds the program anew with the next request finds
// everything as it was.
func (p Program) Build(ctx context.Context, set *config.Reader) (app *faas.App, err error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	set.Publish(published...)
	var entrance *door
	if p.callbacks || p.forwards {
		var to []Feature
		if p.forwards {
			to = filter(p.features, func(f Feature) bool { return f.Callbacks })
		}
		entrance = readDoor(set, to)
	}
	gate := readGate(set, p.callers)
	openings := p.read(set, entrance)
	openStore, openQueue := p.engines.readStore(set, p.store), p.engines.readQueue(set, p.queue)
	if err := set.Err(); err != nil {
		return nil, err
	}

	h, opened := &House{}, &opened{}
	done := false
	defer func() {
		if !done { // also after a panic
			err = errors.Join(err, opened.close())
		}
	}()
	if h.Store, err = openStore(ctx); err != nil {
		return nil, err
	}
	if h.Store != nil {
		opened.add(h.Store.Close)
	}
	q, err := openQueue(ctx)
	if err != nil {
		return nil, err
	}
	if q != nil {
		opened.add(q.Close)
		if h.Store == nil {
			return nil, errors.New("STATE_URL: required with QUEUE_URL")
		}
		h.Jobs = queue.NewLedger(h.Store, q, nil)
	}
	h.Gate = gate(h.Store)
	for _, o := range openings {
		h.feature = o.feature
		if err := o.open(ctx, h); err != nil {
			return nil, err
		}
	}
	app = &faas.App{Close: opened.close}
	if err := p.serve(app, h, q, entrance); err != nil {
		return nil, err
	}
	done = true
	return app, nil
}

// opening is a feature that is on.
type opening struct {
	feature Feature
	open    Open
}

// read reads the settings of the features and returns those that are on.
func (p Program) read(set *config.Reader, entrance *door) (on []opening) {
	s := &Settings{Reader: set, Alone: p.alone}
	for _, f := range p.features {
		set.Group(f.Name)
		s.Forwarded = entrance != nil && entrance.forwards[f.Function] != ""
		if open := f.Read(s); open != nil {
			on = append(on, opening{f, open})
		}
	}
	return on
}

// serve makes of what the features registered what a platform calls.
func (p Program) serve(app *faas.App, h *House, q queue.Queue, entrance *door) error {
	routes := http.NewServeMux()
	if entrance != nil {
		rules, err := entrance.rules(h.parts, h.Jobs)
		if err != nil {
			return err
		}
		if p.callbacks {
			if err := entrance.mount(routes, rules, h.Jobs, p.observe); err != nil {
				return err
			}
		}
	}
	if p.routes {
		for _, add := range h.routes {
			add(routes, h.Gate)
		}
	}
	if p.works && h.Jobs != nil {
		jobdesk.Routes(routes, h.Gate, h.Jobs)
		app.Job = h.Jobs.Perform
		if local, is := q.(worker); is {
			app.Run = func(ctx context.Context) error { return local.Run(ctx, h.Jobs.Perform) }
		}
	}
	if p.minute != nil {
		app.Tick = p.minute(h.Store, h.Jobs).Tick
	}
	app.HTTP = api.Routes(routes)
	return nil
}

// Rules opens a feature in a house of the caller's, with all of its settings, and
// returns the rules that it registers. It is for documents that name callbacks.
func Rules(ctx context.Context, f Feature, set *config.Reader, h *House) (*callback.Mux, error) {
	open := f.Read(&Settings{Reader: set, Alone: true})
	if err := set.Err(); err != nil {
		return nil, err
	}
	h.feature, h.Gate = f, &api.Gate{}
	if err := open(ctx, h); err != nil {
		return nil, err
	}
	rules := callback.NewMux()
	for _, p := range h.parts {
		p.register(rules)
	}
	return rules, nil
}

// opened is what is open, to be closed in the opposite order.
type opened struct{ closers []func() error }

func (o *opened) add(close func() error) { o.closers = append(o.closers, close) }

func (o *opened) close() error {
	var err error
	for _, c := range slices.Backward(o.closers) {
		err = errors.Join(err, c())
	}
	return err
}

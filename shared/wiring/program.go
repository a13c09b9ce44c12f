package wiring

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/config/secrets"
	"github.com/backchannel-im/backchannel/shared/doctor"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/jobdesk"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/schedule"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Timetable returns a program's tasks of every minute, which need only the store and
// the queue; jobs is nil without a queue.
type Timetable func(store kv.Store, jobs *queue.Ledger) schedule.Table

// Program is a deployable: features, and which of their registrations the program
// serves. A part that a program does not serve is nil, so that the linker leaves it
// out.
type Program struct {
	features     []Feature
	engines      Engines
	store, queue Need
	callers      Callers
	alone        bool // it is the feature's own function
	answers      bool // it answers IM's callbacks
	forwards     bool // it may pass them to the features' own functions
	routes       bool // it serves the features' routes

	door    func(set *config.Reader, forwardable []string) entrance
	gate    func(set *config.Reader, callers Callers) func(kv.Store) *api.Gate
	work    func(app *faas.App, h *House, q queue.Queue, routes *http.ServeMux)
	minute  Timetable
	observe func(callback.Exchange)
	watch   func(store kv.Store) callback.Watcher
	doctor  func(routes *http.ServeMux, gate *api.Gate, conf doctor.Config)
	users   func(routes *http.ServeMux, gate *api.Gate, store kv.Store, jobs *queue.Ledger)
}

// entrance is the callback endpoint.
type entrance interface {
	forwarded(function string) bool
	rules(parts []part, jobs *queue.Ledger) (*callback.Mux, error)
	app() uint32
	mount(routes *http.ServeMux, rules *callback.Mux, jobs *queue.Ledger, w watchers) error
}

// watchers see the callbacks of a program.
type watchers struct {
	observe func(callback.Exchange)
	watch   callback.Watcher
}

// watch keeps note of what arrives.
func watch(store kv.Store) callback.Watcher { return doctor.NewNotes(store, nil) }

// Alone is the own function of a feature with callbacks: it answers the feature's
// callbacks and serves its routes.
func Alone(f Feature, e Engines) Program {
	p := Routes(f, e)
	p.answers, p.door = true, readDoor
	if f.CallbacksOptional {
		p.door = readOptionalDoor
	}
	return p
}

// Routes is the own function of a feature without callbacks.
func Routes(f Feature, e Engines) Program {
	return Program{
		features: []Feature{f}, engines: e, store: f.Store, queue: f.Queue, callers: f.Callers, gate: readGate,
		alone: true, routes: true,
	}
}

// Router is IM's one callback URL: it answers the callbacks of all features, or
// forwards them to the features' own functions.
func Router(hearing []Feature, e Engines) Program {
	return Program{features: hearing, engines: e, store: Required, queue: Optional, answers: true, forwards: true, door: readDoor, watch: watch}
}

// Worker carries out the jobs of all features, and retries callbacks whose rule
// failed. records are the places of users' records.
func Worker(working []Feature, records []userdata.Source, e Engines) Program {
	return Program{
		features: working, engines: e, store: Required, queue: Required, callers: Servers, gate: readGate,
		forwards: true, door: readDoor, work: work, doctor: doctor.Routes, users: userRoutes(records),
	}
}

// Clock runs the tasks of every minute.
func Clock(minute Timetable, e Engines) Program {
	return Program{engines: e, store: Required, queue: Required, minute: minute}
}

// userRoutes serves and erases what features keep of a user.
func userRoutes(records []userdata.Source) func(*http.ServeMux, *api.Gate, kv.Store, *queue.Ledger) {
	return func(routes *http.ServeMux, gate *api.Gate, store kv.Store, jobs *queue.Ledger) {
		userdata.Routes(routes, gate, store, records, jobs)
	}
}

// Bundle is all features behind one URL. records are the places of users' records.
// observe gets every callback; it may be nil.
func Bundle(all []Feature, records []userdata.Source, minute Timetable, e Engines, observe func(callback.Exchange)) Program {
	return Program{
		features: all, engines: e, store: Required, queue: Optional, callers: Users, gate: readGate,
		answers: true, door: readDoor, routes: true, work: work, minute: minute, observe: observe, watch: watch, doctor: doctor.Routes,
		users: userRoutes(records),
	}
}

// Build reads the settings and opens store, queue and features. After an error nothing
// stays open, so that a platform may call Build again with the next request.
func (p Program) Build(ctx context.Context, set *config.Reader) (app *faas.App, err error) {
	changed, err := secrets.Load(ctx, set)
	if err != nil {
		return nil, err
	}
	door, gate, openings, openStore, openQueue := p.settings(set)
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
	app = &faas.App{Close: opened.close, Stale: changed}
	if err := p.serve(app, h, q, door); err != nil {
		return nil, err
	}
	done = true
	return app, nil
}

// Check reads the settings as Build does, and opens nothing.
func (p Program) Check(set *config.Reader) error {
	p.settings(set)
	return set.Err()
}

// settings reads all settings of the program.
func (p Program) settings(set *config.Reader) (
	door entrance, gate func(kv.Store) *api.Gate, openings []opening,
	openStore func(context.Context) (kv.Store, error), openQueue func(context.Context) (queue.Queue, error),
) {
	set.Publish(published...)
	if p.door != nil {
		door = p.door(set, p.forwardable())
	}
	gate = func(kv.Store) *api.Gate { return &api.Gate{} }
	if p.gate != nil {
		gate = p.gate(set, p.callers)
	}
	openings = p.read(set, door)
	openStore, openQueue = p.engines.readStore(set, p.store), p.engines.readQueue(set, p.queue)
	return door, gate, openings, openStore, openQueue
}

// forwardable are the functions whose callbacks may go to their own deployments.
//
// No generic function is called with features here: the linker would then keep all
// methods of all that a Feature names, and with them IM's whole client.
func (p Program) forwardable() (functions []string) {
	for _, f := range p.features {
		if p.forwards && f.Callbacks {
			functions = append(functions, f.Function)
		}
	}
	return functions
}

// opening is a feature that is on.
type opening struct {
	feature Feature
	open    Open
}

// read reads the settings of the features and returns those that are on.
func (p Program) read(set *config.Reader, door entrance) (on []opening) {
	s := &Settings{Reader: set, Alone: p.alone, Routed: p.routes}
	for _, f := range p.features {
		set.Group(f.Name)
		s.Forwarded = door != nil && door.forwarded(f.Function)
		if open := f.Read(s); open != nil {
			on = append(on, opening{f, open})
		}
	}
	return on
}

// serve makes of what the features registered what a platform calls.
func (p Program) serve(app *faas.App, h *House, q queue.Queue, door entrance) error {
	routes := http.NewServeMux()
	var wanted []string
	var sdkAppID uint32
	if door != nil {
		rules, err := door.rules(h.parts, h.Jobs)
		if err != nil {
			return err
		}
		if p.answers {
			seen := watchers{observe: p.observe}
			if p.watch != nil {
				seen.watch = p.watch(h.Store)
			}
			if err := door.mount(routes, rules, h.Jobs, seen); err != nil {
				return err
			}
		}
		wanted, sdkAppID = rules.Commands(), door.app()
	}
	if p.doctor != nil {
		p.doctor(routes, h.Gate, doctor.Config{Store: h.Store, Jobs: h.Jobs, SDKAppID: sdkAppID, Wanted: wanted})
	}
	if p.users != nil {
		p.users(routes, h.Gate, h.Store, h.Jobs)
	}
	if p.routes {
		for _, add := range h.routes {
			add(routes, h.Gate)
		}
	}
	if p.work != nil && h.Jobs != nil {
		p.work(app, h, q, routes)
	}
	if p.minute != nil {
		app.Tick = p.minute(h.Store, h.Jobs).Tick
	}
	app.HTTP = api.Routes(routes)
	return nil
}

// work has the program carry out jobs, and gives the operator the routes for them.
func work(app *faas.App, h *House, q queue.Queue, routes *http.ServeMux) {
	jobdesk.Routes(routes, h.Gate, h.Jobs)
	app.Job = h.Jobs.Perform
	if local, is := q.(worker); is {
		app.Run = func(ctx context.Context) error { return local.Run(ctx, h.Jobs.Perform) }
	}
}

// Rules opens a feature in a house of the caller's, with all of its settings, and
// returns the rules that it registers. It is for documents that name callbacks.
func Rules(ctx context.Context, f Feature, set *config.Reader, h *House) (*callback.Mux, error) {
	open := f.Read(&Settings{Reader: set, Alone: true, Routed: true})
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

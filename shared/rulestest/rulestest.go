// Package rulestest holds what the tests of rules share: an emulated IM, and a queue
// whose jobs run when a test says so, on manual clocks.
//
//	w := rulestest.New(t, clock, rulestest.Options{Callbacks: []string{"Bot.OnC2CMessage"}})
//	ledger := queue.NewLedger(store, w.Queue, clock.Now)
//	w.Serve(mux)            // the rules that hear callbacks, replaced by each process
//	jane := w.Login("jane")
//	...
//	w.Work(ledger)
//
// [Deaths] is the crash table of a feature.
package rulestest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

// The app of these tests.
const (
	AppID = 1400000002
	Key   = "a key for these tests alone"
	Token = "a token for these tests alone"
	Admin = "administrator"
)

// Options of a world.
type Options struct {
	Callbacks []string        // that IM sends; nil: all
	Unknowns  imtest.Unknowns // what the documentation of IM leaves open
	Retry     bool            // IM retries after-callbacks that fail
	Limits    bool            // IM's rate limits hold
	// OnREST is called with the path of each call of IM's REST API before the emulator
	// handles the call.
	OnREST func(path string)
}

// World is an emulated IM and a queue.
type World struct {
	testing.TB
	Clock *kvtest.Clock
	App   *imtest.App
	Queue *queuetest.Line
	Users *usersig.Signer // signs and verifies UserSigs

	emulated  *imtest.Clock
	rest      string          // base URL of IM's REST API
	transport *http.Transport // of all clients of IM, and of no other server
	importer  *im.Client      // one for all who log in
	heard     *atomic.Pointer[http.Handler]
}

// New returns a world on the clock of a store. The world ends with the test.
func New(t testing.TB, clock *kvtest.Clock, o Options) *World {
	t.Helper()
	w := &World{
		TB: t, Clock: clock, Queue: &queuetest.Line{}, emulated: imtest.NewManualClock(clock.Now()),
		transport: &http.Transport{MaxIdleConnsPerHost: 64}, heard: &atomic.Pointer[http.Handler]{},
	}
	t.Cleanup(w.transport.CloseIdleConnections)
	callbacks := w.HTTP(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) { (*w.heard.Load()).ServeHTTP(res, r) }))
	emulator := imtest.NewServer(imtest.Options{Clock: w.emulated, Seed: 1})
	t.Cleanup(emulator.Close)
	rate := -1
	if o.Limits {
		rate = 0 // the documented ones
	}
	w.App = emulator.AddApp(imtest.AppConfig{
		SDKAppID: AppID, Key: Key, RatePerAPI: rate, RoomRate: rate,
		CallbackURL: callbacks, CallbackToken: Token, CallbackTimeout: time.Minute, Callbacks: o.Callbacks, RetryCallbacks: o.Retry,
		Unknowns: o.Unknowns,
	})
	w.rest = w.HTTP(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) {
		if o.OnREST != nil {
			o.OnREST(r.URL.Path)
		}
		emulator.ServeHTTP(res, r)
	}))
	var err error
	w.Users, err = usersig.NewSignerAt(AppID, Key, clock.Now)
	w.Must(err)
	w.importer = w.Client()
	w.Serve(callback.NewMux())
	return w
}

// With is the same world in a subtest.
func (w *World) With(t testing.TB) *World {
	sub := *w
	sub.TB = t
	return &sub
}

// T returns the test. It panics in a benchmark and in a fuzz target.
func (w *World) T() *testing.T { return w.TB.(*testing.T) }

// Run runs a subtest.
func (w *World) Run(name string, f func(t *testing.T)) bool { return w.T().Run(name, f) }

// HTTP serves a handler on the loopback and returns its URL.
func (w *World) HTTP(h http.Handler) string {
	server := httptest.NewServer(h)
	w.Cleanup(server.Close)
	return server.URL
}

// Serve makes these rules answer the callbacks from now on, in place of earlier rules.
// A callback may take a minute of real time, since the machine of a test may be busy.
func (w *World) Serve(mux *callback.Mux) {
	w.Helper()
	w.ServeWith(mux, nil)
}

// ServeWith is Serve with a function that keeps callbacks on which a rule failed.
func (w *World) ServeWith(mux *callback.Mux, keep func(context.Context, callback.Deferred) error) {
	w.Helper()
	w.Hear(w.Endpoint(mux, keep))
}

// Endpoint returns an endpoint that answers callbacks by rules; keep gets the
// callbacks on which a rule failed.
func (w *World) Endpoint(mux *callback.Mux, keep func(context.Context, callback.Deferred) error) *callback.Endpoint {
	w.Helper()
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: AppID, Token: Token, Mux: mux, Now: w.Clock.Now, Deadline: time.Minute, Defer: keep})
	w.Must(err)
	return endpoint
}

// Hear makes a handler answer the callbacks from now on.
func (w *World) Hear(h http.Handler) { w.heard.Store(&h) }

// Heard sends a callback as IM does.
func (w *World) Heard(e callback.Event) {
	w.Helper()
	body, err := callback.Encode(e)
	w.Must(err)
	r, err := callback.Signer{SDKAppID: AppID, Token: Token, Now: w.Clock.Now}.Request(w.Context(), "http://rules.invalid/im", "", body)
	w.Must(err)
	res := httptest.NewRecorder()
	(*w.heard.Load()).ServeHTTP(res, r)
	if res.Code != http.StatusOK {
		w.Fatalf("%d %s", res.Code, res.Body)
	}
}

// Must ends the test with an error.
func (w *World) Must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// Advance moves the clocks.
func (w *World) Advance(d time.Duration) {
	w.Clock.Advance(d)
	w.emulated.Advance(d)
}

// Sleep moves the clocks in place of waiting.
func (w *World) Sleep(ctx context.Context, d time.Duration) error {
	w.Advance(d)
	return ctx.Err()
}

// Client is another client of IM, as each instance of ours has one.
func (w *World) Client() *im.Client {
	w.Helper()
	c, err := im.NewClient(im.Config{Domain: w.rest, SDKAppID: AppID, Key: Key, Admin: Admin, Now: w.Clock.Now, Sleep: w.Sleep, Transport: w.transport})
	w.Must(err)
	return c
}

// Login makes a user, unless the user exists, and logs the user in.
func (w *World) Login(userID string) *imtest.Client {
	w.Helper()
	w.Must(w.importer.ImportAccount(w.Context(), im.Account{UserID: userID}))
	sig, err := w.Users.Sign(userID, 30*24*time.Hour)
	w.Must(err)
	c, err := w.App.Login(userID, sig, imtest.Device{})
	w.Must(err)
	return c
}

// Room makes a public group with an owner and members.
func (w *World) Room(id string, owner *imtest.Client, members ...string) {
	w.Helper()
	_, err := owner.CreateGroup("Public", id, id)
	w.Must(err)
	if len(members) > 0 {
		_, err = w.Client().AddGroupMembers(w.Context(), id, members, true)
		w.Must(err)
	}
}

// Work waits until all callbacks were answered, and carries out the jobs that are due.
func (w *World) Work(ledger *queue.Ledger) {
	w.Helper()
	w.Must(w.App.Settle(w.Context()))
	w.Must(w.Queue.Work(w.Context(), ledger, w.Clock.Now))
}

// Hour lets the clock tick for an hour without any request.
func (w *World) Hour(ledger *queue.Ledger) {
	w.Helper()
	for range 12 {
		w.Advance(5 * time.Minute)
		_, err := ledger.Sweep(w.Context())
		w.Must(err)
		w.Work(ledger)
	}
}

// Redeliver delivers every job of the world's past a second time, as an engine may.
func (w *World) Redeliver(ledger *queue.Ledger) {
	w.Helper()
	w.RedeliverFrom(ledger, 0)
}

// RedeliverFrom is Redeliver without the first n jobs.
func (w *World) RedeliverFrom(ledger *queue.Ledger, n int) {
	w.Helper()
	for _, j := range w.Queue.All()[n:] {
		j.NotBefore = time.Time{}
		encoded, err := queue.Encode(j)
		w.Must(err)
		w.Must(ledger.Perform(w.Context(), encoded))
	}
	w.Work(ledger)
}

// Quiet fails the test if a job waits or was given up.
func (w *World) Quiet(ledger *queue.Ledger) {
	w.Helper()
	o, err := ledger.Overview(w.Context())
	w.Must(err)
	if o.Waiting != 0 || o.Dead != 0 {
		w.Errorf("%d jobs wait, %d are dead", o.Waiting, o.Dead)
	}
}

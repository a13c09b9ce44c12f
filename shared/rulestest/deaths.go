package rulestest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Deaths is a crash table: a process dies at each of its commits, and the next process
// continues from the state in the store. P is a process of a feature.
type Deaths[P any] struct {
	Store kv.Store
	// Start returns the world of a subtest, and a function that starts a process in it
	// over a store, which may be mortal.
	Start  func(t *testing.T) (w *World, start func(kv.Store) P)
	Ledger func(P) *queue.Ledger
	Tick   func(P) // lets the clock tick for some minutes
	// TickFirst: the next process gets a tick before its first check.
	TickFirst bool
	Pauses    []time.Duration // after each of which every job is delivered again
}

// Each runs the table. life does something with a process that dies, and returns
// what must hold afterwards: of the next process, and again after each pause. name
// differs from life to life.
func (d Deaths[P]) Each(t *testing.T, life func(dying P, name string) (after func(next P))) {
	enginetest.EachDeath(t, d.Store, func(t *testing.T, name string, mortal kv.Store) {
		w, start := d.Start(t)
		jobs := len(w.Queue.All())
		after := life(start(mortal), strings.ReplaceAll(name, " ", ""))
		next := start(d.Store)
		if d.TickFirst {
			d.Tick(next)
		}
		after(next)
		for _, pause := range d.Pauses {
			w.Advance(pause)
			w.RedeliverFrom(d.Ledger(next), jobs)
			d.Tick(next)
			after(next)
		}
		w.Quiet(d.Ledger(next))
	})
}

// Last runs the jobs of a process that is about to die. Its workers have a deadline,
// as on every platform: the lease on the job of a dead process ends soon after.
func (w *World) Last(ledger *queue.Ledger, ask func()) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	ask()
	for range 3 {
		w.Must(w.App.Settle(w.Context()))
		_ = w.Queue.Work(ctx, ledger, w.Clock.Now)
	}
	w.Must(w.App.Settle(w.Context()))
}

// Until repeats a request until the answer is final: up to ten times, ten seconds
// apart.
func (w *World) Until(answered func() bool) {
	w.Helper()
	for range 10 {
		if answered() {
			return
		}
		w.Advance(10 * time.Second)
	}
	w.Fatal("no answer to ten requests")
}

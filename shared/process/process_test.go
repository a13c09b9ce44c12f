package process_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

var refunds = process.Name{Agenda: "refunds", Job: "refund", Lane: queue.Slow}

// world is a store and a queue on one clock, a program that guards refunds, and a
// clock program that knows their name alone.
type world struct {
	*testing.T
	clock   *kvtest.Clock
	store   kv.Store
	line    *queuetest.Line
	ledger  *queue.Ledger
	process *process.Process
	sweep   func(context.Context) error
	went    []string // ids that were continued
	err     error    // what continuing ends with
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, clock: kvtest.NewClock(), line: &queuetest.Line{}}
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: w.clock.Now})
	w.must(err)
	t.Cleanup(func() { _ = store.Close() })
	w.store, w.ledger = store, queue.NewLedger(store, w.line, w.clock.Now)
	w.process = process.New(refunds, store, w.ledger, w.clock.Now, func(_ context.Context, id string) error {
		w.went = append(w.went, id)
		return w.err
	})
	w.sweep = refunds.Sweep(store, queue.NewLedger(store, w.line, w.clock.Now), w.clock.Now)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// minute is one of the clock, and the jobs that it brings.
func (w *world) minute() {
	w.Helper()
	w.clock.Advance(time.Minute)
	w.must(w.sweep(w.Context()))
	w.must(w.line.Work(w.Context(), w.ledger, w.clock.Now))
}

func (w *world) wants(what string, ids ...string) {
	w.Helper()
	if !slices.Equal(w.went, ids) {
		w.Errorf("%s: continued %q, want %q", what, w.went, ids)
	}
}

// TestWhatIsNotDoneIsContinued at its time and not before, however the program
// that guarded it ended; what is done is not.
func TestWhatIsNotDoneIsContinued(t *testing.T) {
	w := newWorld(t)
	now := w.clock.Now()
	w.must(w.process.Guard(t.Context(), "dies", now.Add(150*time.Second)))
	w.must(w.process.Guard(t.Context(), "works", now.Add(30*time.Second)))
	w.process.Done(t.Context(), "works")
	w.minute()
	w.minute()
	w.wants("before its time")
	w.minute()
	w.wants("at its time", "dies")
	w.minute()
	w.wants("later", "dies")
}

// TestGuardedAgain: an operation that guards itself again is continued again,
// also one that has its earlier job behind it.
func TestGuardedAgain(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.must(w.process.Guard(t.Context(), "a", w.clock.Now().Add(time.Second)))
		w.minute()
	}
	w.wants("twice", "a", "a")
}

// TestStarted: the job comes at once, and once for a version, also when the
// request that started it is over.
func TestStarted(t *testing.T) {
	w := newWorld(t)
	over, end := context.WithCancel(t.Context())
	end()
	for _, version := range []string{"1", "1", "2"} {
		w.must(w.process.Start(over, "a", version))
	}
	w.must(w.line.Work(t.Context(), w.ledger, w.clock.Now))
	w.wants("at once", "a", "a")
}

// TestAFailureIsRetried by the queue, without another guard.
func TestAFailureIsRetried(t *testing.T) {
	w := newWorld(t)
	w.err = errors.New("the bank is away")
	w.must(w.process.Start(t.Context(), "a", "1"))
	w.must(w.line.Work(t.Context(), w.ledger, w.clock.Now))
	w.err = nil
	w.minute()
	w.wants("retried", "a", "a")
}

// TestLongID: an id that would not fit into a job's is refused before anything
// depends on it.
func TestLongID(t *testing.T) {
	w := newWorld(t)
	if err := w.process.Guard(t.Context(), strings.Repeat("x", process.MaxID+1), w.clock.Now()); !errors.Is(err, due.ErrInvalid) {
		t.Errorf("%v", err)
	}
	id := strings.Repeat("x", process.MaxID)
	w.must(w.process.Guard(t.Context(), id, w.clock.Now()))
	w.minute()
	w.wants("the longest", id)
}

// TestMalformedJob: it fails, and continues nothing.
func TestMalformedJob(t *testing.T) {
	w := newWorld(t)
	w.must(w.ledger.Put(t.Context(), queue.Job{ID: "a", Kind: refunds.Job, Lane: queue.Slow, Body: []byte(`{"id":7}`)}))
	w.must(w.line.Work(t.Context(), w.ledger, w.clock.Now))
	w.wants("malformed")
	if r, err := w.ledger.Show(t.Context(), "a"); err != nil || !strings.Contains(r.Error, "malformed") {
		t.Errorf("%+v, %v", r, err)
	}
}

package queuetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Nowhere is a queue that delivers no jobs, for tests that carry out jobs by hand or
// want them to wait.
type Nowhere struct {
	Err error // of Enqueue
}

// Enqueue implements [queue.Queue].
func (n Nowhere) Enqueue(context.Context, ...queue.Job) error { return n.Err }

// MaxDelay implements [queue.Queue].
func (Nowhere) MaxDelay() time.Duration { return time.Hour }

// Close implements [queue.Queue].
func (Nowhere) Close() error { return nil }

// LayAside puts dead jobs into a store, which failed with "the desk is closed" at
// every attempt, and returns their ledger.
func LayAside(t testing.TB, store kv.Store, ids ...string) *queue.Ledger {
	t.Helper()
	now := time.Now()
	ledger := queue.NewLedger(store, Nowhere{}, func() time.Time { return now })
	ledger.Handle("work", func(context.Context, queue.Job) error { return errors.New("the desk is closed") })
	for _, id := range ids {
		j := queue.Job{ID: id, Kind: "work", Lane: queue.Slow}
		encoded, err := queue.Encode(j)
		if err == nil {
			err = ledger.Put(t.Context(), j)
		}
		for range queue.MaxAttempts {
			now = now.Add(2 * time.Hour)
			err = errors.Join(err, ledger.Perform(t.Context(), encoded))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return ledger
}

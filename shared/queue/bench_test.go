package queue_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

// BenchmarkSweep times a sweep of a store in which so many jobs were done in the
// last hour, a quarter of an hour after the last of them.
func BenchmarkSweep(b *testing.B) {
	for _, done := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(done), func(b *testing.B) {
			clock := kvtest.NewClock()
			store, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{Now: clock.Now})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			l := queue.NewLedger(store, queuetest.Nowhere{}, clock.Now)
			l.Handle("work", func(context.Context, queue.Job) error { return nil })
			sweep := func() {
				if _, err := l.Sweep(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			sweep()
			clock.Advance(2 * time.Hour)
			sweep()
			fill(b, l, done)
			clock.Advance(15 * time.Minute)
			sweep()
			for b.Loop() {
				sweep()
			}
		})
	}
}

// fill has jobs put and done, by enough callers at once for the store to write
// many of them in one go.
func fill(b *testing.B, l *queue.Ledger, done int) {
	const callers = 64
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := c; n < done; n += callers {
				encoded, err := queue.Encode(job(fmt.Sprint(n)))
				if err == nil {
					err = l.Put(b.Context(), job(fmt.Sprint(n)))
				}
				if err == nil {
					err = l.Perform(b.Context(), encoded)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

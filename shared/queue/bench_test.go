package queue_test

import (
	"context"
	"fmt"
	"path/filepath"
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
	for _, done := range []int{1_000, 10_000, 100_000} {
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
			for n := range done {
				if err := l.Put(b.Context(), job(fmt.Sprint(n))); err != nil {
					b.Fatal(err)
				}
				encoded, err := queue.Encode(job(fmt.Sprint(n)))
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Perform(b.Context(), encoded); err != nil {
					b.Fatal(err)
				}
			}
			clock.Advance(15 * time.Minute)
			sweep()
			for b.Loop() {
				sweep()
			}
		})
	}
}

package rediskv

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// BenchmarkEvent counts events exactly once, each with five counters and on the
// server's disk before the answer, for one caller and for 32: through Tally, and
// with the least script that does it (a set of what was seen, a hash of counters).
func BenchmarkEvent(b *testing.B) {
	server := redistest.Start(b)
	s := openFor(b, "redis://"+server.Addr, Options{})
	counters := []string{"messages", "bytes", "user/1", "user/2", "level"}
	least := redis.NewScript(`
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then
  for i = 2, #ARGV do redis.call('HINCRBY', KEYS[2], ARGV[i], 1) end
end`)
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("least/callers=%d", callers), func(b *testing.B) {
			each(b, callers, func(n int64) error {
				args := []any{fmt.Sprint("event-", n)}
				for _, c := range counters {
					args = append(args, c)
				}
				room := fmt.Sprintf("{least/%d/%d}", callers, b.N)
				err := least.Run(b.Context(), s.client, []string{fmt.Sprint(room, "seen/", n>>5), room + "counters"}, args...).Err()
				if err == redis.Nil {
					err = nil
				}
				return err
			})
		})
		b.Run(fmt.Sprintf("tally/callers=%d", callers), func(b *testing.B) {
			deltas := make([]kv.Delta, len(counters))
			for i, c := range counters {
				deltas[i] = kv.Delta{Counter: c, By: 1}
			}
			now := time.Now()
			room := fmt.Sprintf("tally/%d/%d", callers, b.N)
			each(b, callers, func(n int64) error {
				e := kv.Event{ID: fmt.Sprint("event-", n), At: now}
				o, err := s.Tally(b.Context(), room, fmt.Sprintf("%08d", n>>5), e, deltas...)
				if err == nil && o != kv.Counted {
					err = fmt.Errorf("event %d: %v", n, o)
				}
				return err
			})
		})
	}
}

// each shares b.N numbered events among the callers.
func each(b *testing.B, callers int, do func(n int64) error) {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				if err := do(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

package boltkv

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// BenchmarkEvent counts events exactly once, each with five counters and on
// disk before the answer, for one caller and for 32: through Tally, and as one
// would with bbolt alone (a key for every event seen, a key for every counter).
// x/update and x/batch say how many times as many events Tally takes.
func BenchmarkEvent(b *testing.B) {
	counters := []string{"messages", "bytes", "user/1", "user/2", "level"}
	for _, callers := range []int{1, 32} {
		perOp := map[string]float64{}
		raw := func(name string, run func(*bolt.DB) func(func(*bolt.Tx) error) error) {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				db, err := bolt.Open(filepath.Join(b.TempDir(), "raw"), 0o600, nil)
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				write := run(db)
				each(b, callers, func(n int64) error {
					return write(func(tx *bolt.Tx) error { return countRaw(tx, n, counters) })
				})
				perOp[name] = float64(b.Elapsed()) / float64(b.N)
			})
		}
		raw("bbolt-update", func(db *bolt.DB) func(func(*bolt.Tx) error) error { return db.Update })
		raw("bbolt-batch", func(db *bolt.DB) func(func(*bolt.Tx) error) error {
			db.MaxBatchSize = callers // the best it can do: no waiting for a batch that cannot grow
			return db.Batch
		})

		b.Run(fmt.Sprintf("boltkv/callers=%d", callers), func(b *testing.B) {
			s := openFor(b, filepath.Join(b.TempDir(), "state"), Options{})
			deltas := make([]kv.Delta, len(counters))
			for i, c := range counters {
				deltas[i] = kv.Delta{Counter: c, By: 1}
			}
			now := time.Now()
			each(b, callers, func(n int64) error {
				o, err := s.Tally(b.Context(), "room/1", fmt.Sprintf("%08d", n>>5), kv.Event{ID: fmt.Sprintf("event-%d", n), At: now}, deltas...)
				if err == nil && o != kv.Counted {
					err = fmt.Errorf("event %d: %v", n, o)
				}
				return err
			})
			own := float64(b.Elapsed()) / float64(b.N)
			b.ReportMetric(perOp["bbolt-update"]/own, "x/update")
			b.ReportMetric(perOp["bbolt-batch"]/own, "x/batch")
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

func countRaw(tx *bolt.Tx, n int64, counters []string) error {
	seen, err := tx.CreateBucketIfNotExists([]byte("seen"))
	if err != nil {
		return err
	}
	id := fmt.Appendf(nil, "room/1/event-%d", n)
	if seen.Get(id) != nil {
		return nil
	}
	if err := seen.Put(id, []byte{1}); err != nil {
		return err
	}
	totals, err := tx.CreateBucketIfNotExists([]byte("totals"))
	if err != nil {
		return err
	}
	for _, c := range counters {
		key := []byte("room/1/" + c)
		var was uint64
		if v := totals.Get(key); v != nil {
			was = binary.BigEndian.Uint64(v)
		}
		if err := totals.Put(key, binary.BigEndian.AppendUint64(nil, was+1)); err != nil {
			return err
		}
	}
	return nil
}

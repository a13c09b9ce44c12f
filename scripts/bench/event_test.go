package bench

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestWays: ours and the peers do the same work. Events that come twice, from
// many callers, count once in every counter.
func TestWays(t *testing.T) {
	const callers, events = 16, 200
	want := map[string]int64{}
	for _, c := range counters {
		want[c] = events
	}
	ours, peers := ways(t, callers)
	for _, w := range append(ours, peers...) {
		for range 2 {
			spend(t, w, callers, 0, events)
		}
		if got, err := w.totals(t.Context()); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", w.name, got, err, want)
		}
	}
}

// BenchmarkEvent counts events exactly once, each with five counters and on
// disk before the answer, from one caller and from 32. For each engine of ours
// it reports its events a second, those of each peer in the same run, and how
// many times as many ours takes (x/...).
func BenchmarkEvent(b *testing.B) {
	const round = 640 // events that each way counts before it is the next one's turn
	for _, callers := range []int{1, 32} {
		ours, peers := ways(b, callers)
		var done int64 // events of earlier rounds, so that none comes twice
		for _, own := range ours {
			b.Run(fmt.Sprintf("%s/callers=%d", own.name, callers), func(b *testing.B) {
				spent := map[string]time.Duration{}
				rounds := 0
				for b.Loop() {
					for _, w := range append(peers, own) {
						spent[w.name] += spend(b, w, callers, done, round)
					}
					done += round
					rounds++
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(rounds*round)/spent[own.name].Seconds(), "events/s")
				for _, p := range peers {
					b.ReportMetric(float64(rounds*round)/spent[p.name].Seconds(), p.name+"/s")
					b.ReportMetric(float64(spent[p.name])/float64(spent[own.name]), "x/"+p.name)
				}
			})
		}
	}
}

// spend counts the events from first+1 on, shared among the callers, and
// returns how long that took.
func spend(t testing.TB, w way, callers int, first, events int64) time.Duration {
	t.Helper()
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > events {
					return
				}
				if err := w.count(t.Context(), first+n); err != nil {
					t.Errorf("%s: event %d: %v", w.name, first+n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

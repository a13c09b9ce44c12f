package kvtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// writers is how many goroutines the concurrent tests use.
const writers = 64

// parallel runs fn for 0..n-1 on many goroutines and fails on any error.
func (s *suite) parallel(n int, fn func(int) error) {
	s.Helper()
	var (
		wg   sync.WaitGroup
		next = make(chan int)
	)
	for range min(n, writers) {
		wg.Go(func() {
			for i := range next {
				if err := fn(i); err != nil {
					s.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	if s.Failed() {
		s.FailNow()
	}
}

// persist repeats a write as long as its outcome is unknown.
func persist(try func() error) error {
	for range 50 {
		if err := try(); !errors.Is(err, kv.ErrUnavailable) {
			return err
		}
		runtime.Gosched()
	}
	return errors.New("50 answers in a row were lost")
}

func testLostAnswers(t *testing.T, s *suite) {
	if s.h.LoseAnswers == nil {
		t.Skip("absent: " + s.h.NoLoseAnswers)
	}
	for n := 1; n <= 3; n++ {
		key := func(name string) string { return fmt.Sprintf("%s/%d", name, n) }
		op := s.op()
		s.lost(n, func() error {
			return s.Commit(t.Context(), s.partition, op, put(key("single"), "v", kv.Absent()))
		})
		s.value(key("single"), "v", op)

		add := kv.Add{Key: key("single"), Deltas: []kv.Delta{by("n", 1)}, If: kv.Rev(op)}
		op = s.op()
		s.lost(n, func() error { return s.Commit(t.Context(), s.partition, op, add) })
		s.counter(key("single"), "n", 1)

		op = s.op()
		s.lost(n, func() error {
			return s.Commit(t.Context(), s.partition, op,
				put(key("several"), "v", kv.Absent()), kv.Add{Key: key("counted"), Deltas: []kv.Delta{by("n", 2)}})
		})
		s.value(key("several"), "v", op)
		s.counter(key("counted"), "n", 2)

		remove := kv.Delete{Key: key("several"), If: kv.Rev(op)}
		op = s.op()
		s.lost(n, func() error { return s.Commit(t.Context(), s.partition, op, remove) })
		s.absent(key("several"))

		// A conflict stays a conflict, however often it is asked for.
		op = s.op()
		s.h.LoseAnswers(t, s.Store, n)
		err := persist(func() error {
			return s.Commit(t.Context(), s.partition, op, put(key("single"), "w", kv.Absent()))
		})
		s.h.LoseAnswers(t, s.Store, 0)
		if !errors.Is(err, kv.ErrConflict) {
			t.Fatalf("with %d answers lost: %v, want %v", n, err, kv.ErrConflict)
		}

		e := kv.Event{ID: key("e"), At: s.clock.Now()}
		s.lost(n, func() error {
			_, err := s.Tally(t.Context(), s.partition, "segment", e, by("n", 1))
			return err
		})
		if g := s.one(); g.Events != n || g.Counters["n"] != int64(n) {
			t.Fatalf("with %d answers lost: %+v", n, g)
		}
		s.tallyAt(kv.Duplicate, "segment", e, by("n", 1))
	}
}

// lost repeats a write with its next n answers lost, until it is done.
func (s *suite) lost(n int, try func() error) {
	s.Helper()
	s.h.LoseAnswers(s.T, s.Store, n)
	err := persist(try)
	s.h.LoseAnswers(s.T, s.Store, 0)
	s.must(err)
}

// testConcurrentWriters lets many writers race for one item, round by round,
// with answers lost: one wins each round and knows it, and the loser knows too.
func testConcurrentWriters(t *testing.T, s *suite) {
	store := lossy(s.Store, 0.2)
	rounds := max(3, s.h.Work/(2*writers))
	cond := kv.Absent()
	for round := range rounds {
		var (
			mu  sync.Mutex
			won []string
		)
		s.parallel(writers, func(n int) error {
			op := fmt.Sprintf("round-%d-writer-%d", round, n)
			err := persist(func() error {
				return store.Commit(t.Context(), s.partition, op, put("k", op, cond), kv.Add{Key: "n", Deltas: []kv.Delta{by("wins", 1)}})
			})
			if errors.Is(err, kv.ErrConflict) {
				return nil
			}
			mu.Lock()
			won = append(won, op)
			mu.Unlock()
			return err
		})
		if len(won) != 1 {
			t.Fatalf("round %d was won by %q, want one", round, won)
		}
		s.value("k", won[0], won[0])
		s.counter("n", "wins", int64(round+1))
		cond = kv.Rev(won[0])
	}
}

// testConcurrentAdds spends a budget that is too small for all.
func testConcurrentAdds(t *testing.T, s *suite) {
	store := lossy(s.Store, 0.2)
	n := max(writers, s.h.Work/10)
	budget := int64(n / 2)
	s.commit(kv.Add{Key: "wallet", Deltas: []kv.Delta{by("coins", budget)}, If: kv.Absent()})
	floor := int64(0)
	var (
		mu   sync.Mutex
		paid int64
	)
	s.parallel(n, func(i int) error {
		err := persist(func() error {
			return store.Commit(t.Context(), s.partition, fmt.Sprint("buy-", i),
				put(fmt.Sprintf("receipt/%05d", i), "", kv.Absent()),
				kv.Add{Key: "wallet", Deltas: []kv.Delta{{Counter: "coins", By: -1, Floor: &floor}, by("spent", 1)}})
		})
		if errors.Is(err, kv.ErrRange) {
			return nil
		}
		mu.Lock()
		paid++
		mu.Unlock()
		return err
	})
	if receipts := int64(len(s.list(kv.Range{Prefix: "receipt/"}))); paid != budget || receipts != budget {
		t.Fatalf("%d paid and %d receipts out of %d coins", paid, receipts, budget)
	}
	s.counter("wallet", "coins", 0)
	s.counter("wallet", "spent", budget)
}

// deliveries returns events numbered from 0 in random order, three in ten of
// them twice.
func deliveries(events int, seed uint64) []int {
	r := rand.New(rand.NewPCG(seed, seed))
	out := make([]int, 0, events*13/10)
	for n := range events {
		out = append(out, n)
		if n%10 < 3 {
			out = append(out, n)
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// segmentOf names the segment of an event, 32 to each.
func segmentOf(event int) string { return fmt.Sprintf("messages/%06d", event>>5) }

// countersOf is what an event counts.
func countersOf(event int) []kv.Delta {
	return []kv.Delta{by("messages", 1), by(fmt.Sprintf("user/%d", event%7), 1), by("bytes", int64(event))}
}

// sumOf is what the first events count together.
func sumOf(events int) map[string]int64 {
	sums := map[string]int64{}
	for n := range events {
		for _, d := range countersOf(n) {
			sums[d.Counter] += d.By
		}
	}
	return sums
}

// deliver tallies one event until it is known to be counted.
func (s *suite) deliver(ctx context.Context, store kv.Store, event int) error {
	return persist(func() error {
		_, err := store.Tally(ctx, s.partition, segmentOf(event), kv.Event{ID: fmt.Sprint("event-", event), At: s.clock.Now()}, countersOf(event)...)
		return err
	})
}

func testConcurrentTallies(t *testing.T, s *suite) {
	events := max(100, s.h.Work/3)
	queue := deliveries(events, 3)
	var (
		mu      sync.Mutex
		counted = map[int]int{}
	)
	s.parallel(len(queue), func(i int) error {
		n := queue[i]
		o, err := s.Tally(t.Context(), s.partition, segmentOf(n), kv.Event{ID: fmt.Sprint("event-", n), At: s.clock.Now()}, countersOf(n)...)
		mu.Lock()
		defer mu.Unlock()
		if o == kv.Counted {
			counted[n]++
		}
		return err
	})
	for n := range events {
		if counted[n] != 1 {
			t.Fatalf("event %d was reported as counted %d times", n, counted[n])
		}
	}
	s.totals(sumOf(events))
}

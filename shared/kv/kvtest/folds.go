package kvtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// totals requires that kv.Totals gives exactly these sums.
func (s *suite) totals(want map[string]int64) {
	s.Helper()
	got, err := kv.Totals(s.Context(), s.Store, s.partition, "total/")
	s.must(err)
	if !maps.Equal(got, want) {
		s.Fatalf("totals %v, want %v", got, want)
	}
}

// all folds every segment, into an item per first letter of the counter.
var all = kv.FoldOptions{
	Closed: func(kv.Segment) bool { return true },
	Into:   func(counter string) string { return "total/" + counter[:1] },
}

func (s *suite) fold(store kv.Store, o kv.FoldOptions) int {
	s.Helper()
	n, err := kv.Fold(s.Context(), store, s.partition, o)
	s.must(err)
	return n
}

func testFold(t *testing.T, s *suite) {
	if n := s.fold(s.Store, all); n != 0 {
		t.Fatalf("folded %d segments of none", n)
	}
	s.totals(map[string]int64{})
	const events = 5*32 + 1
	for n := range events {
		s.must(s.deliver(t.Context(), s.Store, n))
	}
	closed := all
	closed.Closed = func(g kv.Segment) bool { return g.Events == 32 }
	if n := s.fold(s.Store, closed); n != 5 {
		t.Fatalf("folded %d segments, want 5", n)
	}
	if g := s.one(); g.Name != segmentOf(events-1) || g.Events != 1 {
		t.Fatalf("left open: %+v", g)
	}
	s.counter("total/m", "messages", events-1)
	s.totals(sumOf(events))
	if n := s.fold(s.Store, closed); n != 0 {
		t.Fatalf("folded %d segments again", n)
	}
	for n := range events {
		s.must(s.deliver(t.Context(), s.Store, n))
	}
	s.totals(sumOf(events))
	s.fold(s.Store, all)
	s.totals(sumOf(events))

	// Prefixes choose among the items, each once; open segments count always.
	s.tally(kv.Counted, "x", "e", by("messages", 1))
	for _, c := range []struct {
		prefixes []string
		want     int64
	}{
		{nil, events + 1},
		{[]string{"total/m"}, events + 1},
		{[]string{"total/", "total/m", "t"}, events + 1},
		{[]string{"total/m", "total/", "total/m"}, events + 1},
		{[]string{"total/u"}, 1},
	} {
		sums, err := kv.Totals(t.Context(), s.Store, s.partition, c.prefixes...)
		s.must(err)
		if sums["messages"] != c.want {
			t.Errorf("under %q: %d messages, want %d", c.prefixes, sums["messages"], c.want)
		}
	}
}

func testFoldBatches(t *testing.T, s *suite) {
	segments := 2*kv.MaxWrites + 5
	s.parallel(segments, func(n int) error {
		_, err := s.Tally(t.Context(), s.partition, fmt.Sprintf("s/%04d", n), kv.Event{ID: "e", At: s.clock.Now()}, by("n", 1), by(fmt.Sprintf("user/%d", n), 1))
		return err
	})
	want := map[string]int64{"n": int64(segments)}
	for n := range segments {
		want[fmt.Sprintf("user/%d", n)] = 1
	}
	s.totals(want)
	var commits int
	counted := hooked{s.Store, func(method string, call func() error) error {
		if method == "Commit" {
			commits++
		}
		return call()
	}}
	spread := all
	spread.Into = func(counter string) string { return "total/" + counter[len(counter)-1:] }
	if n := s.fold(counted, spread); n != segments {
		t.Fatalf("folded %d segments of %d", n, segments)
	}
	// A marker and eleven totals leave room for 84 segments in a commit.
	if most := (segments + 83) / 84; commits > most {
		t.Fatalf("%d commits for %d segments, want at most %d", commits, segments, most)
	}
	s.totals(want)

	// Every segment into items of its own: as many as fit.
	for n := range 7 {
		var deltas []kv.Delta
		for c := range 40 {
			deltas = append(deltas, by(fmt.Sprintf("wide/%d/%d", n, c), 1))
			want[fmt.Sprintf("wide/%d/%d", n, c)] = 1
		}
		s.tally(kv.Counted, fmt.Sprintf("wide/%d", n), "e", deltas...)
	}
	commits = 0
	spread.Into = func(counter string) string { return "total/" + counter }
	if n := s.fold(counted, spread); n != 7 || commits != 4 {
		t.Fatalf("folded %d wide segments in %d commits, want 7 in 4", n, commits)
	}
	s.totals(want)
}

func testFoldRefused(t *testing.T, s *suite) {
	// Sums that would leave int64 go into commits of their own.
	s.tally(kv.Counted, "a", "e", by("n", math.MaxInt64))
	s.tally(kv.Counted, "b", "e", by("n", -1))
	s.tally(kv.Counted, "c", "e", by("n", 2))
	n, err := kv.Fold(t.Context(), s.Store, s.partition, all)
	if !errors.Is(err, kv.ErrRange) || n != 2 {
		t.Fatalf("folded %d, %v; want 2 and %v", n, err, kv.ErrRange)
	}
	s.counter("total/n", "n", math.MaxInt64-1)
	if g := s.one(); g.Name != "c" || g.Counters["n"] != 2 {
		t.Fatalf("left open: %+v", g)
	}
	if _, err := kv.Totals(t.Context(), s.Store, s.partition); !errors.Is(err, kv.ErrRange) {
		t.Fatalf("totals: %v, want %v", err, kv.ErrRange)
	}
	s.tally(kv.Counted, "c", "e2", by("n", -2))
	if n := s.fold(s.Store, all); n != 1 {
		t.Fatalf("folded %d, want the last", n)
	}
	s.totals(map[string]int64{"n": math.MaxInt64 - 1})

	wide := make([]kv.Delta, kv.MaxWrites)
	for i := range wide {
		wide[i] = by(fmt.Sprint(i), 1)
	}
	s.tally(kv.Counted, "d", "e", wide...)
	into := all
	into.Into = func(counter string) string { return "wide/" + counter }
	if n, err := kv.Fold(t.Context(), s.Store, s.partition, into); !errors.Is(err, kv.ErrInvalid) || n != 0 {
		t.Fatalf("folded %d, %v; want %v", n, err, kv.ErrInvalid)
	}
	if n := len(s.list(kv.Range{Prefix: "wide/"})); n != 0 {
		t.Fatalf("a refused fold left %d items", n)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kv.Fold(cancelled, s.Store, s.partition, all); !errors.Is(err, context.Canceled) {
		t.Fatalf("fold: %v, want %v", err, context.Canceled)
	}
	if _, err := kv.Totals(cancelled, s.Store, s.partition); !errors.Is(err, context.Canceled) {
		t.Fatalf("totals: %v, want %v", err, context.Canceled)
	}
	if n := s.fold(s.Store, all); n != 1 {
		t.Fatalf("folded %d, want the wide one", n)
	}
}

// testFoldLateEvent counts an event in a segment that a fold has read and is
// about to settle.
func testFoldLateEvent(t *testing.T, s *suite) {
	s.tally(kv.Counted, "s", "e", by("n", 1))
	s.tally(kv.Counted, "t", "e", by("n", 10))
	late, limit := 0, 2
	disturbed := hooked{s.Store, func(method string, call func() error) error {
		if method == "Commit" && late < limit {
			late++
			s.tally(kv.Counted, "s", fmt.Sprint("late", late), by("n", 100))
		}
		return call()
	}}
	if n := s.fold(disturbed, all); n != 2 {
		t.Fatalf("folded %d segments, want 2", n)
	}
	s.counter("total/n", "n", 211)
	s.totals(map[string]int64{"n": 211})
	// After the fold it opens the segment again, and the next fold takes it.
	s.tally(kv.Counted, "s", "afterwards", by("n", 1000))
	s.totals(map[string]int64{"n": 1211})
	if n := s.fold(s.Store, all); n != 1 {
		t.Fatalf("folded %d segments, want 1", n)
	}
	s.counter("total/n", "n", 1211)

	// One that never rests is left alone in the end.
	s.tally(kv.Counted, "s", "restless", by("n", 0))
	limit = math.MaxInt
	late = 10
	if n, err := kv.Fold(t.Context(), disturbed, s.partition, all); !errors.Is(err, kv.ErrConflict) || n != 0 {
		t.Fatalf("folded %d, %v; want %v", n, err, kv.ErrConflict)
	}
	s.totals(map[string]int64{"n": 1211 + 100*int64(late-10)})
}

// testFoldLosesAnswers loses the first answer to every write.
func testFoldLosesAnswers(t *testing.T, s *suite) {
	const events = 225
	lost := false
	store := hooked{s.Store, func(method string, call func() error) error {
		err := call()
		if err == nil && (method == "Commit" || method == "Tally") {
			if lost = !lost; lost {
				return errLost
			}
		}
		return err
	}}
	for n := range events {
		s.must(s.deliver(t.Context(), store, n))
		if n%50 == 49 {
			// Of each the fold knows that it has settled it.
			if open, n := len(s.open()), s.fold(store, all); n != open {
				t.Fatalf("folded %d segments of %d", n, open)
			}
		}
	}
	s.totals(sumOf(events))
	s.fold(store, all)
	s.totals(sumOf(events))
}

func testFoldsAtOnce(t *testing.T, s *suite) {
	events := max(150, s.h.Work/4)
	store := lossy(s.Store, 0.1)
	queue := deliveries(events, 4)
	done := make(chan struct{})
	var folds sync.WaitGroup
	for range 2 {
		folds.Go(func() {
			for {
				// ErrConflict: the tallies were always faster.
				if _, err := kv.Fold(t.Context(), store, s.partition, all); err != nil && !errors.Is(err, kv.ErrConflict) {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	s.parallel(len(queue), func(i int) error { return s.deliver(t.Context(), store, queue[i]) })
	close(done)
	folds.Wait()
	s.totals(sumOf(events))
	s.fold(s.Store, all)
	if n := len(s.open()); n != 0 {
		t.Fatalf("%d segments open after the last fold", n)
	}
	s.totals(sumOf(events))
}

// testTotalsDuringFold moves counts while a reader stands between the totals
// and the segments.
func testTotalsDuringFold(t *testing.T, s *suite) {
	want := int64(0)
	count := func() {
		want++
		s.tally(kv.Counted, fmt.Sprint("s", want), "e", by("n", 1))
	}
	count()
	for _, at := range []string{"List", "Open"} {
		for _, after := range []bool{false, true} {
			count()
			left := 2
			disturbed := hooked{s.Store, func(method string, call func() error) error {
				if method != at || left == 0 {
					return call()
				}
				left--
				if !after {
					s.fold(s.Store, all)
					return call()
				}
				err := call()
				s.fold(s.Store, all)
				return err
			}}
			sums, err := kv.Totals(t.Context(), disturbed, s.partition, "total/")
			s.must(err)
			if sums["n"] != want || left != 0 {
				t.Fatalf("with a fold around %s: %d, want %d", at, sums["n"], want)
			}
		}
	}
	restless := hooked{s.Store, func(method string, call func() error) error {
		if method == "Open" {
			count()
			s.fold(s.Store, all)
		}
		return call()
	}}
	if sums, err := kv.Totals(t.Context(), restless, s.partition); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("totals %v, %v; want %v", sums, err, kv.ErrConflict)
	}
}

// testAnyInterleaving is the property that all of this is for: whatever order
// deliveries, duplicates, lost answers, crashed folds and hours come in, the
// totals are those of the set of events.
func testAnyInterleaving(t *testing.T, s *suite) {
	partition := s.partition
	for round := range max(3, s.h.Work/300) {
		seed := rand.Uint64()
		s.partition = fmt.Sprint(partition, "/", round)
		s.interleave(rand.New(rand.NewPCG(seed, 0)))
		if t.Failed() {
			t.Fatalf("with the seed %d", seed)
		}
	}
}

var errCrash = errors.New("the process died here")

func (s *suite) interleave(r *rand.Rand) {
	const events = 40
	start, want := s.clock.Now(), map[string]int64{}
	deliver := func(n int) {
		// A few events a segment, so that segments open, close and open again.
		e := kv.Event{ID: fmt.Sprint(n), At: start}
		_, err := s.Tally(s.Context(), s.partition, fmt.Sprint("s", n/4), e, countersOf(n)...)
		if err != nil {
			s.Errorf("tally: %v", err)
		}
	}
	var step func(depth int)
	// dying returns a store whose process dies at the k-th call, before or
	// after its effect; between its calls others take their steps.
	dying := func(depth int) kv.Store {
		k, after, lose := r.IntN(12), r.IntN(2) == 0, r.IntN(3) == 0
		return hooked{s.Store, func(method string, call func() error) error {
			if k--; k == 0 && !after {
				return errCrash
			}
			if depth < 3 && r.IntN(2) == 0 {
				step(depth + 1)
			}
			err := call()
			switch {
			case k == 0:
				return errCrash
			case method == "Commit" && err == nil && lose:
				lose = false
				return errLost
			}
			return err
		}}
	}
	step = func(depth int) {
		switch n := r.IntN(20); {
		case n < 14:
			deliver(r.IntN(events))
		case n < 15 && s.clock.Now().Sub(start) < kv.Horizon-time.Hour:
			s.clock.Advance(time.Duration(r.IntN(3600)) * time.Second)
		default:
			_, err := kv.Fold(s.Context(), dying(depth), s.partition, kv.FoldOptions{
				Closed: func(kv.Segment) bool { return r.IntN(3) > 0 },
				Into:   all.Into,
			})
			if err != nil && !errors.Is(err, errCrash) && !errors.Is(err, kv.ErrConflict) {
				s.Errorf("fold: %v", err)
			}
		}
	}
	for range 60 {
		step(0)
	}
	for _, n := range r.Perm(events) {
		deliver(n)
		for _, d := range countersOf(n) {
			want[d.Counter] += d.By
		}
	}
	s.totals(want)
	s.fold(s.Store, all)
	s.totals(want)
}

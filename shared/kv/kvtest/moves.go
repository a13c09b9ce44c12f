package kvtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// values keeps all totals in the value of one item, as JSON.
func (s *suite) values(ctx context.Context, store kv.Store) (sums map[string]int64, at kv.Cond, err error) {
	item, err := store.Get(ctx, s.partition, "sums")
	if errors.Is(err, kv.ErrNotFound) {
		return map[string]int64{}, kv.Absent(), nil
	}
	if err == nil {
		err = json.Unmarshal(item.Value, &sums)
	}
	return sums, kv.Rev(item.Rev), err
}

// move moves every segment into the one item.
func (s *suite) move(store kv.Store) (int, error) {
	return kv.Move(s.Context(), store, s.partition, func(kv.Segment) bool { return true },
		func(ctx context.Context, segments []kv.Segment) ([]kv.Write, error) {
			sums, at, err := s.values(ctx, store)
			if err != nil {
				return nil, err
			}
			for _, g := range segments {
				for counter, n := range g.Counters {
					sums[counter] += n
				}
			}
			value, err := json.Marshal(sums)
			return []kv.Write{kv.Put{Key: "sums", Value: value, If: at}}, err
		})
}

// moved requires that the item and the open segments hold exactly these sums.
func (s *suite) moved(want map[string]int64) {
	s.Helper()
	var got map[string]int64
	s.must(kv.Steady(s.Context(), s.Store, s.partition, func() (err error) {
		if got, _, err = s.values(s.Context(), s.Store); err != nil {
			return err
		}
		return kv.EachOpen(s.Context(), s.Store, s.partition, func(g kv.Segment) error {
			for counter, n := range g.Counters {
				got[counter] += n
			}
			return nil
		})
	}))
	if !maps.Equal(got, want) {
		s.Fatalf("sums %v, want %v", got, want)
	}
}

// testMove: each count moves once, in as few commits as there is room for, and
// a segment whose writes do not fit beside others goes alone.
func testMove(t *testing.T, s *suite) {
	events := s.h.Work // more than one commit's where an engine is fast
	s.parallel(events, func(n int) error { return s.deliver(t.Context(), s.Store, n) })
	s.moved(sumOf(events))
	open := len(s.open())
	n, err := s.move(s.Store)
	s.must(err)
	if left := len(s.open()); n != open || left != 0 {
		t.Fatalf("moved %d segments of %d, %d are open", n, open, left)
	}
	s.moved(sumOf(events))
	want, _, err := s.values(t.Context(), s.Store)
	s.must(err)

	// Each segment needs 40 items of its own: two fit beside one another.
	for n := range 5 {
		s.tally(kv.Counted, fmt.Sprint("wide", n), "e", by("n", 1))
	}
	n, err = kv.Move(t.Context(), s.Store, s.partition, func(kv.Segment) bool { return true },
		func(_ context.Context, segments []kv.Segment) (writes []kv.Write, err error) {
			for _, g := range segments {
				for i := range 40 {
					writes = append(writes, kv.Put{Key: fmt.Sprintf("item/%s/%d", g.Name, i), If: kv.Absent()})
				}
			}
			return writes, nil
		})
	s.must(err)
	if n != 5 || len(s.list(kv.Range{Prefix: "item/"})) != 200 {
		t.Fatalf("moved %d segments of 5, into %d items", n, len(s.list(kv.Range{Prefix: "item/"})))
	}
	s.moved(want)

	s.tally(kv.Counted, "too wide", "e", by("n", 1))
	_, err = kv.Move(t.Context(), s.Store, s.partition, func(kv.Segment) bool { return true },
		func(context.Context, []kv.Segment) ([]kv.Write, error) { return make([]kv.Write, kv.MaxWrites), nil })
	if !errors.Is(err, kv.ErrInvalid) || len(s.open()) != 1 {
		t.Fatalf("%v, %d segments open; want %v", err, len(s.open()), kv.ErrInvalid)
	}
	broken := errors.New("cannot be kept")
	_, err = kv.Move(t.Context(), s.Store, s.partition, func(kv.Segment) bool { return true },
		func(context.Context, []kv.Segment) ([]kv.Write, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Fatalf("%v, want %v", err, broken)
	}
}

// testMovesAtOnce: two moves beside tallies, over a store that loses answers.
func testMovesAtOnce(t *testing.T, s *suite) {
	events := max(150, s.h.Work/4)
	queue := deliveries(events, 5)
	rand.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
	store := lossy(s.Store, 0.1)
	done := make(chan struct{})
	var moves sync.WaitGroup
	for range 2 {
		moves.Go(func() {
			for {
				if _, err := s.move(store); err != nil && !errors.Is(err, kv.ErrConflict) {
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
	moves.Wait()
	s.moved(sumOf(events))
	_, err := s.move(s.Store)
	s.must(err)
	if n := len(s.open()); n != 0 {
		t.Fatalf("%d segments open after the last move", n)
	}
	s.moved(sumOf(events))
}

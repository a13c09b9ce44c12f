package due_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

func TestContract(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"OldestFirst", testOldestFirst},
		{"NeverEarly", testNeverEarly},
		{"PutAgainMoves", testPutAgainMoves},
		{"PutsAtOnce", testPutsAtOnce},
		{"Remove", testRemove},
		{"PutWhileHandled", testPutWhileHandled},
		{"Failing", testFailing},
		{"Panicking", testPanicking},
		{"OverlappingSweeps", testOverlappingSweeps},
		{"MissedTicks", testMissedTicks},
		{"NoTimeLeft", testNoTimeLeft},
		{"LongSweep", testLongSweep},
		{"Invalid", testInvalid},
		{"OneShardDown", testOneShardDown},
		{"Unreliable", testUnreliable},
		{"DeathsOfAPut", testDeathsOfAPut},
		{"DeathsOfASweep", testDeathsOfASweep},
		{"DeathsUnderGuard", testDeathsUnderGuard},
		{"OldEntriesCostNothing", testOldEntriesCostNothing},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			s := &suite{T: t, store: store, clock: clock, name: "test"}
			s.agenda = s.another(store)
			c.test(t, s)
		}})
	}
	enginetest.Run(t, tests)
}

// suite is what one test works with.
type suite struct {
	*testing.T
	store  kv.Store
	clock  *kvtest.Clock
	name   string
	agenda *due.Agenda
}

// another is the same agenda as another process has it.
func (s *suite) another(store kv.Store) *due.Agenda { return due.New(store, s.name, s.clock.Now) }

// in returns a test's agenda of its own in the same store.
func (s *suite) in(t *testing.T, name string) *suite {
	out := &suite{T: t, store: s.store, clock: s.clock, name: name}
	out.agenda = out.another(s.store)
	return out
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// put puts an entry that is due after d.
func (s *suite) put(id string, d time.Duration) {
	s.Helper()
	s.must(s.agenda.Put(s.Context(), id, s.clock.Now().Add(d), []byte("body of "+id)))
}

// sweep sweeps with a handler that is content, and returns what came.
func (s *suite) sweep() (entries []due.Entry) {
	s.Helper()
	var mu sync.Mutex
	done, err := s.agenda.Sweep(s.Context(), func(_ context.Context, e due.Entry) error {
		mu.Lock()
		defer mu.Unlock()
		entries = append(entries, e)
		return nil
	})
	s.must(err)
	if done != len(entries) {
		s.Errorf("%d entries handled, %d reported", len(entries), done)
	}
	return entries
}

// comes requires that a sweep hands out exactly these, given in the order of
// their times.
func (s *suite) comes(want ...string) {
	s.Helper()
	var got []string
	entries := s.sweep()
	slices.SortFunc(entries, func(a, b due.Entry) int { return a.At.Compare(b.At) })
	for _, e := range entries {
		got = append(got, e.ID)
		if string(e.Body) != "body of "+e.ID {
			s.Errorf("%s says %q", e.ID, e.Body)
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("came %q, want %q", got, want)
	}
}

// empty requires that nothing is left, now or later.
func (s *suite) empty() {
	s.Helper()
	s.clock.Advance(1000 * time.Hour)
	if left := s.sweep(); len(left) > 0 {
		s.Errorf("left over: %+v", left)
	}
}

func testOldestFirst(_ *testing.T, s *suite) {
	var want []string
	for n := range 11 + 2*due.SideBySide {
		want = append(want, fmt.Sprint("entry", n))
	}
	for _, n := range rand.Perm(len(want)) {
		s.put(want[n], time.Duration(n)*time.Millisecond)
	}
	s.put("next day", 24*time.Hour)
	s.comes("entry0")
	s.clock.Advance(10 * time.Millisecond)
	s.comes(want[1:11]...)
	s.clock.Advance(time.Minute)
	for i, e := range s.sweep() {
		// What is handled side by side is older than what comes next.
		batch := 11 + i/due.SideBySide*due.SideBySide
		if !slices.Contains(want[batch:batch+due.SideBySide], e.ID) {
			s.Errorf("%s came at place %d", e.ID, i)
		}
	}
	s.comes()
	s.clock.Advance(24 * time.Hour)
	s.comes("next day")
	s.empty()
}

func testNeverEarly(t *testing.T, s *suite) {
	at := s.clock.Now().Add(time.Second + 300*time.Microsecond)
	s.must(s.agenda.Put(t.Context(), "a", at, nil))
	s.clock.Advance(time.Second)
	s.comes()
	s.clock.Advance(time.Millisecond)
	got := s.sweep()
	if len(got) != 1 || got[0].At.Before(at) || got[0].At.Sub(at) >= time.Millisecond || got[0].Attempt != 1 {
		t.Errorf("%+v, want %v", got, at)
	}
	// What is overdue when it is put is due now, and says what it was.
	past := s.clock.Now().Add(-100 * time.Hour)
	s.must(s.agenda.Put(t.Context(), "b", past, nil))
	if got := s.sweep(); len(got) != 1 || !got[0].At.Equal(past) {
		t.Errorf("%+v, want %v", got, past)
	}
}

func testPutAgainMoves(_ *testing.T, s *suite) {
	s.put("a", time.Minute)
	s.put("a", time.Minute)
	s.put("b", time.Hour)
	s.put("a", 2*time.Hour) // later
	s.put("b", time.Minute) // earlier
	s.clock.Advance(time.Minute)
	s.comes("b")
	s.clock.Advance(time.Hour)
	s.comes()
	s.clock.Advance(time.Hour)
	s.comes("a")
	s.empty()
}

func testPutsAtOnce(t *testing.T, s *suite) {
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			agenda := s.another(s.store)
			for m := range 3 {
				if err := agenda.Put(t.Context(), "a", s.clock.Now().Add(time.Duration(3*n+m)*time.Second), []byte("body of a")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s.clock.Advance(time.Hour)
	s.comes("a")
	s.empty()
}

func testRemove(t *testing.T, s *suite) {
	s.put("a", 0)
	s.put("b", 0)
	s.must(s.agenda.Remove(t.Context(), "a"))
	s.must(s.agenda.Remove(t.Context(), "a"))
	s.must(s.agenda.Remove(t.Context(), "never put"))
	s.comes("b")
	s.must(s.agenda.Remove(t.Context(), "b"))
	s.put("a", 0)
	s.comes("a")
	s.empty()
}

// testPutWhileHandled: what is put again while its handler runs comes again,
// whoever puts it.
func testPutWhileHandled(t *testing.T, s *suite) {
	other := s.another(s.store)
	s.put("by itself", 0)
	s.put("by another", 0)
	done, err := s.agenda.Sweep(t.Context(), func(ctx context.Context, e due.Entry) error {
		agenda := s.agenda
		if e.ID == "by another" {
			agenda = other
		}
		return agenda.Put(ctx, e.ID, s.clock.Now().Add(time.Second), []byte("body of "+e.ID))
	})
	if done != 2 || err != nil {
		t.Errorf("%d done, %v", done, err)
	}
	s.comes()
	s.clock.Advance(time.Second)
	got := s.sweep()
	if len(got) != 2 || got[0].Attempt != 1 || got[1].Attempt != 1 {
		t.Errorf("%+v", got)
	}
	s.empty()
}

// testFailing: an entry that fails comes again, each time after a longer pause,
// and the others never wait for it.
func testFailing(t *testing.T, s *suite) {
	start := s.clock.Now()
	s.put("bad", 0)
	// tick sweeps, and tells which attempt of the bad entry came; 0 is none.
	tick := func() (attempt int) {
		s.put("good", time.Millisecond)
		s.clock.Advance(time.Second)
		done, err := s.agenda.Sweep(t.Context(), func(_ context.Context, e due.Entry) error {
			if e.ID == "good" {
				return nil
			}
			if !e.At.Equal(start) {
				t.Errorf("attempt %d was put for %v, and came as %v", e.Attempt, start, e.At)
			}
			attempt = e.Attempt
			return errors.New("the desk is closed")
		})
		if done != 1 || err != nil {
			t.Errorf("%d good entries handled, %v", done, err)
		}
		return attempt
	}
	if got := tick(); got != 1 {
		t.Fatalf("attempt %d came first", got)
	}
	for n, minutes := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		s.clock.Advance(minutes*time.Minute - 2*time.Second)
		if got := tick(); got != 0 {
			t.Errorf("attempt %d came within %d minutes", got, minutes)
		}
		if got := tick(); got != n+2 {
			t.Errorf("attempt %d came after %d minutes, want %d", got, minutes, n+2)
		}
	}
	s.clock.Advance(time.Hour)
	s.comes("bad")
	s.empty()
}

func testPanicking(t *testing.T, s *suite) {
	s.put("bad", 0)
	s.put("good", time.Millisecond)
	s.clock.Advance(time.Second)
	done, err := s.agenda.Sweep(t.Context(), func(_ context.Context, e due.Entry) error {
		if e.ID == "bad" {
			panic("oh")
		}
		return nil
	})
	if done != 1 || err != nil {
		t.Errorf("%d done, %v", done, err)
	}
	s.clock.Advance(time.Minute)
	s.comes("bad")
}

func testOverlappingSweeps(t *testing.T, s *suite) {
	const entries = 20
	for n := range entries {
		s.put(fmt.Sprint("entry", n), 0)
	}
	var mu sync.Mutex
	came := map[string]int{}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			_, err := s.another(s.store).Sweep(t.Context(), func(ctx context.Context, e due.Entry) error {
				mu.Lock()
				defer mu.Unlock()
				came[e.ID]++
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for n := range entries {
		if id := fmt.Sprint("entry", n); came[id] != 1 {
			t.Errorf("%s was handed out %d times", id, came[id])
		}
	}
	// A sweep that begins while another has an entry in hand does not get it.
	s.put("long", 0)
	_, err := s.agenda.Sweep(t.Context(), func(context.Context, due.Entry) error {
		in := s.in(t, s.name)
		in.comes()
		return nil
	})
	s.must(err)
	s.empty()
}

func testMissedTicks(_ *testing.T, s *suite) {
	s.put("a", time.Minute)
	s.put("b", 2*time.Hour)
	s.comes()
	s.clock.Advance(72 * time.Hour)
	s.comes("a", "b")
	s.put("c", 0)
	s.clock.Advance(72 * time.Hour)
	s.comes("c")
	s.empty()
}

func testNoTimeLeft(t *testing.T, s *suite) {
	s.put("a", 0)
	never := func(context.Context, due.Entry) error {
		t.Error("handed out without time to handle it")
		return nil
	}
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := s.agenda.Sweep(over, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if err := s.agenda.Put(over, "b", s.clock.Now(), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("put after the deadline: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
	defer cancel()
	if _, err := s.agenda.Sweep(soon, never); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("in the last second: %v", err)
	}
	s.comes("a")
}

// testLongSweep: an entry in hand is not handed out again as long as the one
// who has it may still be at work.
func testLongSweep(t *testing.T, s *suite) {
	s.put("a", 0)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	_, err := s.agenda.Sweep(ctx, func(context.Context, due.Entry) error {
		s.clock.Advance(9 * time.Minute)
		s.comes()
		s.clock.Advance(2 * time.Minute)
		s.comes("a") // the first must be dead by now
		return nil
	})
	s.must(err)
	s.empty()
}

func testInvalid(t *testing.T, s *suite) {
	now := s.clock.Now()
	for name, err := range map[string]error{
		"no id":            s.agenda.Put(t.Context(), "", now, nil),
		"endless id":       s.agenda.Put(t.Context(), strings.Repeat("x", due.MaxID+1), now, nil),
		"a NUL":            s.agenda.Put(t.Context(), "a\x00", now, nil),
		"no text":          s.agenda.Put(t.Context(), "\xff", now, nil),
		"no time":          s.agenda.Put(t.Context(), "a", time.Time{}, nil),
		"ms for seconds":   s.agenda.Put(t.Context(), "a", time.Unix(now.UnixMilli(), 0), nil),
		"seconds for ms":   s.agenda.Put(t.Context(), "a", time.UnixMilli(now.Unix()), nil),
		"ns for ms":        s.agenda.Put(t.Context(), "a", time.UnixMilli(now.UnixNano()), nil),
		"a body too large": s.agenda.Put(t.Context(), "a", now, make([]byte, due.MaxBody+1)),
	} {
		if !errors.Is(err, due.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.comes()
	longest := strings.Repeat("ü", due.MaxID/2)
	s.must(s.agenda.Put(t.Context(), longest, now, make([]byte, due.MaxBody)))
	s.must(s.agenda.Put(t.Context(), "a/b c", now, nil))
	got := s.sweep()
	slices.SortFunc(got, func(a, b due.Entry) int { return strings.Compare(a.ID, b.ID) })
	if len(got) != 2 || got[0].ID != "a/b c" || got[1].ID != longest || len(got[1].Body) != due.MaxBody {
		t.Errorf("%d entries", len(got))
	}
	s.empty()
}

// down is a store that cannot be reached for a while, in part of its
// partitions.
type down struct {
	kv.Store
	partition string
}

func (d *down) List(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	if partition == d.partition {
		return kv.Page{}, kv.ErrUnavailable
	}
	return d.Store.List(ctx, partition, r)
}

func testOneShardDown(t *testing.T, s *suite) {
	const entries = 40
	for n := range entries {
		s.put(fmt.Sprint("entry", n), 0)
	}
	s.clock.Advance(3 * time.Hour)
	done, err := s.another(&down{s.store, "due/test/07"}).Sweep(t.Context(), func(context.Context, due.Entry) error { return nil })
	if !errors.Is(err, kv.ErrUnavailable) || done == 0 || done == entries {
		t.Errorf("%d of %d done, %v", done, entries, err)
	}
	if rest := s.sweep(); len(rest)+done != entries {
		t.Errorf("%d were handed out later, %d before", len(rest), done)
	}
	s.empty()
}

// testUnreliable: over a store whose answers are lost, everything accepted is
// handled, and once that has been said it is not handed out again.
func testUnreliable(t *testing.T, s *suite) {
	agenda := s.another(kvtest.Unreliable(s.store, 0.2, rand.New(rand.NewPCG(1, 2))))
	const entries = 12
	for n := range entries {
		for {
			err := agenda.Put(t.Context(), fmt.Sprint("entry", n), s.clock.Now(), nil)
			if err == nil {
				break
			}
			if !errors.Is(err, kv.ErrUnavailable) {
				t.Fatal(err)
			}
		}
	}
	came := map[string]int{}
	var mu sync.Mutex
	for range 12 {
		_, err := agenda.Sweep(t.Context(), func(_ context.Context, e due.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			came[e.ID]++
			return nil
		})
		if err != nil && !errors.Is(err, kv.ErrUnavailable) {
			t.Fatal(err)
		}
		s.clock.Advance(10 * time.Minute)
	}
	for _, e := range s.sweep() {
		came[e.ID]++
	}
	if len(came) != entries {
		t.Errorf("%d of %d were handed out", len(came), entries)
	}
	s.empty()
}

// testDeathsOfAPut: wherever a process dies that puts, moves and removes, each
// entry is in one place, and what was acknowledged is true.
func testDeathsOfAPut(t *testing.T, s *suite) {
	enginetest.EachDeath(t, s.store, func(t *testing.T, name string, mortal kv.Store) {
		s := s.in(t, name)
		agenda, now := s.another(mortal), s.clock.Now()
		first := agenda.Put(t.Context(), "a", now.Add(time.Minute), nil)
		second := agenda.Put(t.Context(), "b", now.Add(time.Minute), nil)
		moved := agenda.Put(t.Context(), "a", now.Add(time.Hour), nil)
		removed := agenda.Remove(t.Context(), "b")

		came := map[string]int{}
		s.clock.Advance(time.Minute)
		for _, e := range s.sweep() {
			came[e.ID]++
		}
		if moved == nil && came["a"] > 0 {
			t.Error("a moved entry came at its old time")
		}
		if second == nil && moved != nil && came["b"] != 1 {
			t.Errorf("b came %d times at its time", came["b"])
		}
		if removed == nil && came["b"] > 0 {
			t.Error("a removed entry came")
		}
		s.clock.Advance(time.Hour)
		for _, e := range s.sweep() {
			came[e.ID]++
		}
		if first == nil && came["a"] != 1 || came["a"] > 1 {
			t.Errorf("a came %d times; put: %v", came["a"], first)
		}
		s.empty()
	})
}

// testDeathsOfASweep: wherever a sweep dies, the next ones handle what is left.
func testDeathsOfASweep(t *testing.T, s *suite) {
	enginetest.EachDeath(t, s.store, func(t *testing.T, name string, mortal kv.Store) {
		s := s.in(t, name)
		came := map[string]int{}
		var mu sync.Mutex
		handle := func(_ context.Context, e due.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			came[e.ID]++
			if e.ID == "failing" && e.Attempt == 1 {
				return errors.New("not at first")
			}
			return nil
		}
		s.put("a", 0)
		s.put("failing", 0)
		s.put("z", 0)
		_, _ = s.another(mortal).Sweep(t.Context(), handle) // it may have died
		for range 3 {
			s.clock.Advance(2 * time.Minute)
			_, err := s.agenda.Sweep(t.Context(), handle)
			s.must(err)
		}
		if came["a"] < 1 || came["a"] > 2 || came["z"] < 1 || came["z"] > 2 || came["failing"] < 1 {
			t.Errorf("came %v", came)
		}
		s.empty()
	})
}

// testDeathsUnderGuard: a guard put before the commit finds every commit whose
// effect is missing, whichever of the steps was the last.
func testDeathsUnderGuard(t *testing.T, s *suite) {
	enginetest.EachDeath(t, s.store, func(t *testing.T, name string, mortal kv.Store) {
		s := s.in(t, name)
		// The effect is the counter, once for the order.
		effect := func(ctx context.Context, store kv.Store) error {
			err := store.Commit(ctx, "wallet/"+name, "order", kv.Add{Key: "coins", Deltas: []kv.Delta{{Counter: "gold", By: 5}}, If: kv.Absent()})
			if errors.Is(err, kv.ErrConflict) {
				return nil
			}
			return err
		}
		guarded := func() error {
			agenda := s.another(mortal)
			if err := agenda.Put(t.Context(), "order", s.clock.Now().Add(time.Minute), nil); err != nil {
				return err
			}
			if err := mortal.Commit(t.Context(), "room/"+name, "order", kv.Put{Key: "ordered", If: kv.Absent()}); err != nil {
				return err
			}
			if err := effect(t.Context(), mortal); err != nil {
				return err
			}
			return agenda.Remove(t.Context(), "order")
		}
		_ = guarded()
		for range 3 {
			s.clock.Advance(time.Minute)
			_, err := s.agenda.Sweep(t.Context(), func(ctx context.Context, e due.Entry) error {
				_, err := s.store.Get(ctx, "room/"+name, "ordered")
				if errors.Is(err, kv.ErrNotFound) {
					return nil // the commit was never made
				}
				if err != nil {
					return err
				}
				return effect(ctx, s.store)
			})
			s.must(err)
		}
		_, ordered := s.store.Get(t.Context(), "room/"+name, "ordered")
		coins, paid := s.store.Get(t.Context(), "wallet/"+name, "coins")
		if (ordered == nil) != (paid == nil) || paid == nil && coins.Counters["gold"] != 5 {
			t.Errorf("ordered: %v; paid: %v, %v", ordered, paid, coins.Counters)
		}
		s.empty()
	})
}

// testOldEntriesCostNothing: a sweep does not read over what was removed hours
// ago, and misses nothing that a slow clock puts behind the others.
func testOldEntriesCostNothing(t *testing.T, s *suite) {
	var lists int
	counted := s.another(kvtest.Hook(s.store, func(method string, call func() error) error {
		if method == "List" {
			lists++
		}
		return call()
	}))
	for n := range 140 {
		s.put("often moved", time.Duration(n)*time.Millisecond)
	}
	s.clock.Advance(3 * time.Hour)
	s.comes("often moved")
	s.comes()
	_, err := counted.Sweep(t.Context(), nil)
	s.must(err)
	if lists != 16 {
		t.Errorf("%d lists for 16 shards", lists)
	}
	slow := due.New(s.store, s.name, func() time.Time { return s.clock.Now().Add(-59 * time.Minute) })
	s.must(slow.Put(t.Context(), "by a slow clock", s.clock.Now().Add(-59*time.Minute), []byte("body of by a slow clock")))
	s.comes("by a slow clock")
	s.empty()
}

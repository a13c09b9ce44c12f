package mailbox_test

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

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mailbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

func TestContract(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"InOrder", testInOrder},
		{"Duplicates", testDuplicates},
		{"Late", testLate},
		{"Invalid", testInvalid},
		{"Busy", testBusy},
		{"ComesWhileFinishing", testComesWhileFinishing},
		{"LostLease", testLostLease},
		{"DeadHolder", testDeadHolder},
		{"ShortLease", testShortLease},
		{"NoTimeLeft", testNoTimeLeft},
		{"Failing", testFailing},
		{"HandlerSaysLater", testHandlerSaysLater},
		{"HandlerMeetsConflict", testHandlerMeetsConflict},
		{"HandlersShareTheStore", testHandlersShareTheStore},
		{"AllAtOnce", testAllAtOnce},
		{"Unreliable", testUnreliable},
		{"Deaths", testDeaths},
		{"OldEntriesCostNothing", testOldEntriesCostNothing},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			s := &suite{T: t, store: store, clock: clock, box: "conversation/1"}
			s.mail = s.another(store)
			c.test(t, s)
		}})
	}
	enginetest.Run(t, tests)
}

// suite is what one test works with: a box, whose handler counts each entry in
// the store besides listing it.
type suite struct {
	*testing.T
	store kv.Store
	clock *kvtest.Clock
	mail  *mailbox.Mailbox
	box   string

	mu      sync.Mutex
	handled []mailbox.Entry
}

// another is the same mailbox as another process has it.
func (s *suite) another(store kv.Store) *mailbox.Mailbox {
	return mailbox.New(store, "test", mailbox.Options{Now: s.clock.Now})
}

// in returns a suite of another box in the same store.
func (s *suite) in(t *testing.T, box string) *suite {
	return &suite{T: t, store: s.store, clock: s.clock, mail: s.mail, box: box}
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) append(id string, order int64) {
	s.Helper()
	s.must(s.mail.Append(s.Context(), s.box, id, order, []byte("body of "+id)))
}

// handle is the handler of most tests.
func (s *suite) handle(_ context.Context, e mailbox.Entry) ([]kv.Write, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled = append(s.handled, e)
	return counted(e), nil
}

// counted counts the entry, beside its removal.
func counted(e mailbox.Entry) []kv.Write {
	return []kv.Write{kv.Add{Key: "handled", Deltas: []kv.Delta{{Counter: e.ID, By: 1}}}}
}

// ids returns what handle has got so far, in order, and forgets it.
func (s *suite) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, e := range s.handled {
		out = append(out, e.ID)
	}
	s.handled = nil
	return out
}

// drains requires that draining handles exactly these, in this order.
func (s *suite) drains(want ...string) {
	s.Helper()
	s.must(s.mail.Drain(s.Context(), s.box, s.handle))
	if got := s.ids(); !slices.Equal(got, want) {
		s.Errorf("handled %q, want %q", got, want)
	}
	s.waiting(0)
}

func (s *suite) waiting(want int64) {
	s.Helper()
	n, err := s.mail.Waiting(s.Context(), s.box)
	s.must(err)
	if n != want {
		s.Errorf("%d waiting, want %d", n, want)
	}
}

// counts requires that exactly these were committed, each once.
func (s *suite) counts(want ...string) {
	s.Helper()
	item, err := s.store.Get(s.Context(), s.box, "handled")
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		s.Fatal(err)
	}
	for _, id := range want {
		if item.Counters[id] != 1 {
			s.Errorf("%s was written %d times", id, item.Counters[id])
		}
	}
	if len(item.Counters) != len(want) {
		s.Errorf("written: %v, want %q", item.Counters, want)
	}
}

// later requires that err asks to come again, and returns after how long.
func (s *suite) later(err error) time.Duration {
	s.Helper()
	l, is := errors.AsType[queue.Later](err)
	if !is {
		s.Fatalf("%v, want to be asked to come again", err)
	}
	return l.After
}

func testInOrder(t *testing.T, s *suite) {
	s.drains()
	var want []string
	for n := range 40 {
		want = append(want, fmt.Sprint("entry", n))
	}
	for _, n := range rand.Perm(len(want)) {
		s.append(want[n], int64(n)*1_000_000_007)
	}
	s.waiting(40)
	s.must(s.mail.Drain(t.Context(), s.box, s.handle))
	for n, e := range s.handled {
		if e.Order != int64(n)*1_000_000_007 || string(e.Body) != "body of "+e.ID || e.Attempt != 1 {
			t.Errorf("%+v", e)
		}
	}
	if got := s.ids(); !slices.Equal(got, want) {
		t.Errorf("handled %q", got)
	}
	s.counts(want...)

	// The same order twice is no conflict, and nothing is shared between boxes
	// or names.
	s.append("x", 7)
	s.append("y", 7)
	other := mailbox.New(s.store, "other", mailbox.Options{Now: s.clock.Now})
	s.must(other.Append(t.Context(), s.box, "x", 7, nil))
	in := s.in(t, "conversation/2")
	in.append("x", 7)
	s.drains("x", "y")
	in.drains("x")
	s.must(other.Drain(t.Context(), s.box, func(context.Context, mailbox.Entry) ([]kv.Write, error) { return nil, nil }))
}

func testDuplicates(_ *testing.T, s *suite) {
	s.append("a", 1)
	s.append("a", 1)
	s.append("b", 2)
	s.waiting(2)
	s.drains("a", "b")
	s.append("a", 1)
	s.append("b", 2)
	s.drains()
	s.clock.Advance(mailbox.Remembered - time.Second)
	s.append("a", 1)
	s.drains()
	s.counts("a", "b")
	// What waits longer than an id is remembered is still known.
	s.append("c", 3)
	s.clock.Advance(mailbox.Remembered + time.Hour)
	s.append("c", 3)
	s.drains("c")
	// After that nothing is known of it.
	s.append("a", 1)
	s.drains("a")
}

// testLate: what comes after a later one was handled is handled next.
func testLate(t *testing.T, s *suite) {
	s.append("5", 5)
	s.append("7", 7)
	s.drains("5", "7")
	s.append("6", 6)
	s.append("8", 8)
	s.append("3", 3)
	s.drains("3", "6", "8")
	// Also while others are being handled.
	s.append("20", 20)
	s.append("30", 30)
	s.must(s.mail.Drain(t.Context(), s.box, func(ctx context.Context, e mailbox.Entry) ([]kv.Write, error) {
		if e.ID == "20" {
			s.append("25", 25)
			s.append("10", 10)
		}
		return s.handle(ctx, e)
	}))
	if got, want := s.ids(), []string{"20", "10", "25", "30"}; !slices.Equal(got, want) {
		t.Errorf("handled %q, want %q", got, want)
	}
	s.waiting(0)
}

func testInvalid(t *testing.T, s *suite) {
	for name, err := range map[string]error{
		"no id":            s.mail.Append(t.Context(), s.box, "", 1, nil),
		"endless id":       s.mail.Append(t.Context(), s.box, strings.Repeat("x", mailbox.MaxID+1), 1, nil),
		"a NUL":            s.mail.Append(t.Context(), s.box, "a\x00", 1, nil),
		"no text":          s.mail.Append(t.Context(), s.box, "\xff", 1, nil),
		"a negative order": s.mail.Append(t.Context(), s.box, "a", -1, nil),
		"a body too large": s.mail.Append(t.Context(), s.box, "a", 1, make([]byte, mailbox.MaxBody+1)),
	} {
		if !errors.Is(err, mailbox.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.waiting(0)
	longest := strings.Repeat("ü", mailbox.MaxID/2)
	s.must(s.mail.Append(t.Context(), s.box, longest, 1<<62, make([]byte, mailbox.MaxBody)))
	s.append("a/b c", 0)
	var got []string
	s.must(s.mail.Drain(t.Context(), s.box, func(_ context.Context, e mailbox.Entry) ([]kv.Write, error) {
		got = append(got, e.ID)
		return nil, nil
	}))
	if !slices.Equal(got, []string{"a/b c", longest}) {
		t.Errorf("handled %q", got)
	}
}

func testBusy(t *testing.T, s *suite) {
	s.append("a", 1)
	in := s.in(t, "conversation/2")
	in.append("elsewhere", 1)
	second := s.another(s.store)
	s.must(s.mail.Drain(t.Context(), s.box, func(ctx context.Context, e mailbox.Entry) ([]kv.Write, error) {
		err := second.Drain(ctx, s.box, func(context.Context, mailbox.Entry) ([]kv.Write, error) {
			t.Error("two holders")
			return nil, nil
		})
		if after := s.later(err); after <= 0 || after > 3*time.Minute {
			t.Errorf("busy for %v", after)
		}
		in.must(second.Drain(ctx, in.box, in.handle))
		return s.handle(ctx, e)
	}))
	s.counts("a")
	in.counts("elsewhere")
}

// testComesWhileFinishing: whenever an entry is appended, just before any of
// the holder's commits, a drain that says all is done has handled it too.
func testComesWhileFinishing(t *testing.T, s *suite) {
	for n := 1; ; n++ {
		s := s.in(t, fmt.Sprint("conversation/", n))
		s.append("a", 1)
		commits := 0
		holder := s.another(kvtest.Hook(s.store, func(method string, call func() error) error {
			if method == "Commit" {
				if commits++; commits == n {
					s.append("b", 2)
				}
			}
			return call()
		}))
		s.must(holder.Drain(t.Context(), s.box, s.handle))
		if commits < n {
			if n < 4 {
				t.Errorf("a drain of %d commits", commits)
			}
			return
		}
		if got := s.ids(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("handled %q with b before commit %d", got, n)
		}
		s.waiting(0)
		s.counts("a", "b")
	}
}

// testLostLease: a holder who is too slow writes nothing, whatever he has done.
func testLostLease(t *testing.T, s *suite) {
	s.append("a", 1)
	s.append("b", 2)
	second := s.another(s.store)
	err := s.mail.Drain(t.Context(), s.box, func(ctx context.Context, e mailbox.Entry) ([]kv.Write, error) {
		s.clock.Advance(2 * time.Minute)
		s.later(second.Drain(ctx, s.box, s.handle)) // the first may still be writing
		s.clock.Advance(10 * time.Second)
		s.must(second.Drain(t.Context(), s.box, s.handle))
		s.append("c", 3)
		return []kv.Write{kv.Add{Key: "handled", Deltas: []kv.Delta{{Counter: "by the slow one", By: 1}}}}, nil
	})
	s.later(err)
	if got := s.ids(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("handled %q", got)
	}
	s.waiting(1)
	s.drains("c")
	s.counts("a", "b", "c")
}

// testDeadHolder: a holder that vanishes blocks the box for two minutes, or
// until its deadline, and costs the entry an attempt.
func testDeadHolder(t *testing.T, s *suite) {
	die := func(ctx context.Context) {
		defer func() { _ = recover() }()
		_ = s.mail.Drain(ctx, s.box, func(context.Context, mailbox.Entry) ([]kv.Write, error) { panic("killed") })
	}
	s.append("a", 1)
	die(t.Context())
	s.later(s.mail.Drain(t.Context(), s.box, s.handle))
	s.clock.Advance(2*time.Minute + 6*time.Second)

	short, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	die(short)
	s.clock.Advance(20 * time.Second)
	if after := s.later(s.mail.Drain(t.Context(), s.box, s.handle)); after > 20*time.Second {
		t.Errorf("blocked for another %v", after)
	}
	s.clock.Advance(20 * time.Second)
	s.must(s.mail.Drain(t.Context(), s.box, s.handle))
	if len(s.handled) != 1 || s.handled[0].Attempt != 3 {
		t.Errorf("%+v", s.handled)
	}
	s.counts("a")
}

func testNoTimeLeft(t *testing.T, s *suite) {
	s.append("a", 1)
	never := func(context.Context, mailbox.Entry) ([]kv.Write, error) {
		t.Error("begun without time to finish it")
		return nil, nil
	}
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if err := s.mail.Drain(over, s.box, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if err := s.mail.Append(over, s.box, "b", 2, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append after the deadline: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
	defer cancel()
	s.later(s.mail.Drain(soon, s.box, never))

	// A holder that is stopped gives the box back at once.
	s.append("c", 3)
	stopped, stop := context.WithCancel(t.Context())
	s.later(s.mail.Drain(stopped, s.box, func(ctx context.Context, e mailbox.Entry) ([]kv.Write, error) {
		stop()
		return s.handle(ctx, e)
	}))
	if got := s.ids(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("handled %q", got)
	}
	s.drains("c")
	s.counts("a", "c")
}

func testFailing(t *testing.T, s *suite) {
	closed := errors.New("the desk is closed")
	s.append("bad", 1)
	s.append("good", 2)
	attempts, waited := 0, []time.Duration{}
	fail := func(_ context.Context, e mailbox.Entry) ([]kv.Write, error) {
		if attempts++; e.ID != "bad" || e.Attempt != attempts {
			t.Errorf("attempt %d is said to be %+v", attempts, e)
		}
		return counted(e), closed
	}
	for range 10 {
		err := s.mail.Drain(t.Context(), s.box, fail)
		pause := s.later(err)
		if !errors.Is(err, closed) {
			t.Errorf("%v does not say why", err)
		}
		waited = append(waited, pause/time.Second)
		s.clock.Advance(pause - time.Millisecond)
		s.later(s.mail.Drain(t.Context(), s.box, fail)) // too early
		s.clock.Advance(time.Millisecond)
	}
	if want := []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 300, 300}; !slices.Equal(waited, want) {
		t.Errorf("pauses of %d seconds, want %d", waited, want)
	}
	s.counts()
	s.drains("bad", "good")
	s.counts("bad", "good")
}

func testHandlerSaysLater(t *testing.T, s *suite) {
	s.append("a", 1)
	for range 3 {
		err := s.mail.Drain(t.Context(), s.box, func(_ context.Context, e mailbox.Entry) ([]kv.Write, error) {
			if e.Attempt != 1 {
				t.Errorf("counted as attempt %d", e.Attempt)
			}
			return nil, queue.Later{After: 7 * time.Second}
		})
		if after := s.later(err); after != 7*time.Second {
			t.Errorf("to come again in %v", after)
		}
		s.clock.Advance(7 * time.Second)
	}
	s.drains("a")
}

// testHandlerMeetsConflict: a handler whose own condition does not hold has
// failed, and nothing of it is written.
func testHandlerMeetsConflict(t *testing.T, s *suite) {
	s.append("a", 1)
	floor := int64(0)
	for name, w := range map[string]kv.Write{
		"conflict": kv.Put{Key: "state", If: kv.Rev("no such revision")},
		"range":    kv.Add{Key: "coins", Deltas: []kv.Delta{{Counter: "gold", By: -1, Floor: &floor}}},
		"invalid":  kv.Delete{Key: "state"},
	} {
		err := s.mail.Drain(t.Context(), s.box, func(_ context.Context, e mailbox.Entry) ([]kv.Write, error) {
			return append(counted(e), w), nil
		})
		s.clock.Advance(s.later(err))
		if n, err := s.mail.Waiting(t.Context(), s.box); n != 1 || err != nil {
			t.Errorf("%s: %d waiting, %v", name, n, err)
		}
		s.counts()
	}
	s.must(s.mail.Drain(t.Context(), s.box, s.handle))
	if len(s.handled) != 1 || s.handled[0].Attempt != 4 {
		t.Errorf("%+v", s.handled)
	}
	s.counts("a")
}

// testHandlersShareTheStore: a handler builds on what the one before wrote.
func testHandlersShareTheStore(t *testing.T, s *suite) {
	for n := range 5 {
		s.append(fmt.Sprint(n), int64(n))
	}
	s.must(s.mail.Drain(t.Context(), s.box, func(ctx context.Context, e mailbox.Entry) ([]kv.Write, error) {
		item, err := s.store.Get(ctx, s.box, "history")
		cond := kv.Rev(item.Rev)
		if errors.Is(err, kv.ErrNotFound) {
			cond, err = kv.Absent(), nil
		}
		return []kv.Write{kv.Put{Key: "history", Value: append(item.Value, e.ID...), If: cond}}, err
	}))
	item, err := s.store.Get(t.Context(), s.box, "history")
	if string(item.Value) != "01234" || err != nil {
		t.Errorf("%q, %v", item.Value, err)
	}
}

// testAllAtOnce: several processes append, with duplicates, and drain.
func testAllAtOnce(t *testing.T, s *suite) {
	const entries = 16
	var want []string
	for n := range entries {
		want = append(want, fmt.Sprint("entry", n))
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			mail := s.another(s.store)
			for _, n := range rand.Perm(entries) {
				err := mail.Append(t.Context(), s.box, want[n], int64(n), nil)
				if err == nil {
					err = mail.Drain(t.Context(), s.box, s.handle)
				}
				if _, busy := errors.AsType[queue.Later](err); err != nil && !busy {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s.waiting(0) // whoever was last has seen the last entry
	if len(s.handled) != entries {
		t.Errorf("%d of %d were handled", len(s.handled), entries)
	}
	s.counts(want...)
}

// testUnreliable: over a store whose answers are lost, everything accepted is
// handled and written once.
func testUnreliable(t *testing.T, s *suite) {
	mail := s.another(kvtest.Unreliable(s.store, 0.15, rand.New(rand.NewPCG(3, 4))))
	const entries = 10
	var want []string
	for n := range entries {
		want = append(want, fmt.Sprint("entry", n))
		for {
			err := mail.Append(t.Context(), s.box, want[n], int64(n), nil)
			if err == nil {
				break
			}
			if !errors.Is(err, kv.ErrUnavailable) {
				t.Fatal(err)
			}
		}
	}
	drained := false
	for try := 0; !drained && try < 100; try++ {
		drained = mail.Drain(t.Context(), s.box, s.handle) == nil
		s.clock.Advance(3 * time.Minute)
	}
	if !drained {
		t.Error("not drained")
	}
	s.waiting(0)
	s.counts(want...)
}

// testDeaths: wherever a process dies that appends and drains, the next one
// finishes, in order, and everything is written once.
func testDeaths(t *testing.T, s *suite) {
	enginetest.EachDeath(t, s.store, func(t *testing.T, name string, mortal kv.Store) {
		s := s.in(t, "conversation/"+name)
		mail := s.another(mortal)
		work := func(mail *mailbox.Mailbox) error {
			for n, id := range []string{"a", "b"} {
				if err := mail.Append(t.Context(), s.box, id, int64(n), nil); err != nil {
					return err
				}
			}
			return mail.Drain(t.Context(), s.box, s.handle)
		}
		_ = work(mail) // it may have died
		s.clock.Advance(3 * time.Minute)
		s.must(work(s.mail)) // the job comes again
		got := slices.Compact(s.ids())
		if !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("handled %q", got)
		}
		s.waiting(0)
		s.counts("a", "b")
	})
}

// testOldEntriesCostNothing: a drain does not read over what was handled
// before.
func testOldEntriesCostNothing(t *testing.T, s *suite) {
	var lists int
	counted := s.another(kvtest.Hook(s.store, func(method string, call func() error) error {
		if method == "List" {
			lists++
		}
		return call()
	}))
	for n := range 60 {
		s.append(fmt.Sprint(n), int64(n))
	}
	s.must(s.mail.Drain(t.Context(), s.box, s.handle))
	s.append("new", 1000)
	s.must(counted.Drain(t.Context(), s.box, s.handle))
	if lists != 1 {
		t.Errorf("%d lists for one entry", lists)
	}
}

// testShortLease: with a short lease a dead holder blocks the box no longer than
// that, and a slow one who lives keeps it as long as the handler runs.
func testShortLease(t *testing.T, s *suite) {
	const lease = 150 * time.Millisecond // of which a third passes between renewals, by the machine's clock
	short := func() *mailbox.Mailbox {
		return mailbox.New(s.store, "box", mailbox.Options{Lease: lease, Now: s.clock.Now})
	}
	first, second := short(), short()
	s.must(first.Append(t.Context(), s.box, "a", 1, nil))
	func() {
		defer func() { _ = recover() }()
		_ = first.Drain(t.Context(), s.box, func(context.Context, mailbox.Entry) ([]kv.Write, error) { panic("killed") })
	}()
	s.later(second.Drain(t.Context(), s.box, s.handle))
	s.clock.Advance(lease)
	leaseOf := func() string {
		item, err := s.store.Get(t.Context(), s.box, "mailbox/box/lease")
		s.must(err)
		return item.Rev
	}
	s.must(second.Drain(t.Context(), s.box, func(ctx context.Context, e mailbox.Entry) ([]kv.Write, error) {
		for range 3 {
			s.clock.Advance(lease * 2 / 3)
			for was := leaseOf(); leaseOf() == was; { // until it is renewed
				time.Sleep(time.Millisecond)
			}
			s.later(first.Drain(ctx, s.box, s.handle))
		}
		return s.handle(ctx, e)
	}))
	if got := s.ids(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("handled %q", got)
	}
}

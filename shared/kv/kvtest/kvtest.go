// Package kvtest is the contract of [kv.Store] as tests: every engine must pass this
// suite. A new engine writes a [Harness] and calls [Run].
//
//	func TestContract(t *testing.T) {
//		kvtest.Run(t, kvtest.Harness{Open: ..., Reopen: ..., LoseAnswers: ...})
//	}
package kvtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Harness connects the suite to one engine.
type Harness struct {
	// Open returns a store whose clock is now, and closes it when the test ends, unless
	// the test has done so. Every test uses partitions of its own, with different names
	// in every run, so stores may share a table or a server.
	Open func(t *testing.T, now func() time.Time) kv.Store

	// Reopen closes s as a restart of the process would and returns a store over the
	// same data with the same clock. An engine without Reopen says why in NoReopen.
	Reopen   func(t *testing.T, s kv.Store, now func() time.Time) kv.Store
	NoReopen string

	// LoseAnswers lets the next n requests that s sends take effect and then loses
	// their responses, below the engine, so that the engine's own retries are tested
	// too. An engine without LoseAnswers says why in NoLoseAnswers; the suite then
	// loses responses only above the engine.
	LoseAnswers   func(t *testing.T, s kv.Store, n int)
	NoLoseAnswers string

	// Work is the approximate number of operations of a larger test; 0 means 3000.
	Work int
}

// Run tests the engine against the contract.
func Run(t *testing.T, h Harness) {
	switch {
	case h.Open == nil:
		t.Fatal("the harness opens no store")
	case h.Reopen == nil && h.NoReopen == "":
		t.Fatal("the harness neither reopens a store nor says why not")
	case h.LoseAnswers == nil && h.NoLoseAnswers == "":
		t.Fatal("the harness neither loses answers nor says why not")
	}
	if h.Work == 0 {
		h.Work = 3000
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"Put", testPut},
		{"Delete", testDelete},
		{"Conditions", testConditions},
		{"Check", testCheck},
		{"AllOrNothing", testAllOrNothing},
		{"Repeat", testRepeat},
		{"RepeatLater", testRepeatLater},
		{"RepeatAfterDelete", testRepeatAfterDelete},
		{"Add", testAdd},
		{"AddFloor", testAddFloor},
		{"AddOverflow", testAddOverflow},
		{"AddCounterLimit", testAddCounterLimit},
		{"Expiry", testExpiry},
		{"ExpiryOfAdd", testExpiryOfAdd},
		{"ListOrder", testListOrder},
		{"ListPages", testListPages},
		{"ListBehindDeleted", testListBehindDeleted},
		{"ListAcrossWrites", testListAcrossWrites},
		{"ListOfLargeItems", testListOfLargeItems},
		{"Partitions", testPartitions},
		{"Limits", testLimits},
		{"Invalid", testInvalid},
		{"Cancelled", testCancelled},
		{"Closed", testClosed},
		{"Tally", testTally},
		{"TallyRefused", testTallyRefused},
		{"TallyFull", testTallyFull},
		{"TallyWide", testTallyWide},
		{"TallyRow", testTallyRow},
		{"TallyHorizon", testTallyHorizon},
		{"Open", testOpen},
		{"Settle", testSettle},
		{"SettleKeepsSeen", testSettleKeepsSeen},
		{"Restart", testRestart},
		{"LostAnswers", testLostAnswers},
		{"ConcurrentWriters", testConcurrentWriters},
		{"ConcurrentAdds", testConcurrentAdds},
		{"ConcurrentTallies", testConcurrentTallies},
		{"Fold", testFold},
		{"FoldBatches", testFoldBatches},
		{"FoldRefused", testFoldRefused},
		{"FoldLateEvent", testFoldLateEvent},
		{"FoldLosesAnswers", testFoldLosesAnswers},
		{"FoldsAtOnce", testFoldsAtOnce},
		{"TotalsDuringFold", testTotalsDuringFold},
		{"Move", testMove},
		{"MovesAtOnce", testMovesAtOnce},
		{"AnyInterleaving", testAnyInterleaving},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, h: h, clock: NewClock(), partition: fmt.Sprintf("kvtest/%s/%016x", c.name, rand.Uint64())}
			s.Store = h.Open(t, s.clock.Now)
			c.test(t, s)
		})
	}
}

// Clock is a manual clock. It starts at the present, so that an engine whose server
// deletes by its own clock does not delete too early.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a Clock at the present, in whole seconds.
func NewClock() *Clock { return &Clock{now: time.Now().Truncate(time.Second)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// suite is what one test works with: a store, its clock, and a partition.
type suite struct {
	*testing.T
	kv.Store
	h         Harness
	clock     *Clock
	partition string
	ops       int
}

// op returns an operation id that this test has not used.
func (s *suite) op() string {
	s.ops++
	return "op-" + strconv.Itoa(s.ops)
}

// commit commits with a fresh op, which it returns, and must succeed.
func (s *suite) commit(writes ...kv.Write) (op string) {
	s.Helper()
	op = s.op()
	s.must(s.Store.Commit(s.Context(), s.partition, op, writes...))
	return op
}

// refuse commits with a fresh op and must get the given error.
func (s *suite) refuse(want error, writes ...kv.Write) {
	s.Helper()
	if err := s.Store.Commit(s.Context(), s.partition, s.op(), writes...); !errors.Is(err, want) {
		s.Fatalf("commit: %v, want %v", err, want)
	}
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// get returns a live item.
func (s *suite) get(key string) kv.Item {
	s.Helper()
	item, err := s.Store.Get(s.Context(), s.partition, key)
	s.must(err)
	if item.Key != key {
		s.Fatalf("asked for %q, got %q", key, item.Key)
	}
	return item
}

// value requires a live item with this value and revision.
func (s *suite) value(key, value, rev string) {
	s.Helper()
	if i := s.get(key); string(i.Value) != value || i.Rev != rev {
		s.Fatalf("%s holds %q at %q, want %q at %q", key, i.Value, i.Rev, value, rev)
	}
}

// counter requires a live item with this counter.
func (s *suite) counter(key, counter string, want int64) {
	s.Helper()
	if got := s.get(key).Counters[counter]; got != want {
		s.Fatalf("%s counts %d %s, want %d", key, got, counter, want)
	}
}

// absent requires that Get and List agree that there is no such item.
func (s *suite) absent(key string) {
	s.Helper()
	if i, err := s.Store.Get(s.Context(), s.partition, key); !errors.Is(err, kv.ErrNotFound) {
		s.Fatalf("get %s: %+v, %v; want %v", key, i, err, kv.ErrNotFound)
	}
	for _, i := range s.list(kv.Range{Prefix: key}) {
		if i.Key == key {
			s.Fatalf("%s is listed", key)
		}
	}
}

// list returns all items in r, page by page.
func (s *suite) list(r kv.Range) []kv.Item {
	s.Helper()
	var out []kv.Item
	for {
		page, err := s.Store.List(s.Context(), s.partition, r)
		s.must(err)
		out = append(out, page.Items...)
		if page.Next == "" {
			return out
		}
		r.After = page.Next
	}
}

// tally counts one event that happened now.
func (s *suite) tally(want kv.Outcome, segment, event string, deltas ...kv.Delta) {
	s.Helper()
	s.tallyAt(want, segment, kv.Event{ID: event, At: s.clock.Now()}, deltas...)
}

func (s *suite) tallyAt(want kv.Outcome, segment string, e kv.Event, deltas ...kv.Delta) {
	s.Helper()
	got, err := s.Store.Tally(s.Context(), s.partition, segment, e, deltas...)
	s.must(err)
	if got != want {
		s.Fatalf("tally of %s in %s: %v, want %v", e.ID, segment, got, want)
	}
}

// open returns all open segments, in pages of a few.
func (s *suite) open() []kv.Segment {
	s.Helper()
	const limit = 3
	var out []kv.Segment
	for after := ""; ; {
		segments, err := s.Store.Open(s.Context(), s.partition, after, limit)
		s.must(err)
		if len(segments) == 0 {
			return out
		}
		if len(segments) > limit {
			s.Fatalf("%d segments in a page of %d", len(segments), limit)
		}
		out = append(out, segments...)
		after = segments[len(segments)-1].Name
	}
}

// one returns the only open segment.
func (s *suite) one() kv.Segment {
	s.Helper()
	segments := s.open()
	if len(segments) != 1 {
		s.Fatalf("%d open segments, want one", len(segments))
	}
	return segments[0]
}

func put(key, value string, cond kv.Cond) kv.Put {
	return kv.Put{Key: key, Value: []byte(value), If: cond}
}

func by(counter string, n int64) kv.Delta { return kv.Delta{Counter: counter, By: n} }

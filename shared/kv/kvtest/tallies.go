package kvtest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

func testTally(t *testing.T, s *suite) {
	s.tally(kv.Counted, "s", "e1", by("messages", 1), by("user/ann", 1))
	s.tally(kv.Duplicate, "s", "e1", by("messages", 1), by("user/ann", 1))
	s.tally(kv.Counted, "s", "e2", by("messages", 1), by("user/bob", -4))
	s.tally(kv.Duplicate, "s", "e1", by("messages", 1))
	s.tally(kv.Counted, "other", "e1", by("messages", 1))
	want := map[string]int64{"messages": 2, "user/ann": 1, "user/bob": -4}
	segments := s.open()
	if len(segments) != 2 || segments[0].Name != "other" || segments[1].Name != "s" {
		t.Fatalf("open: %+v", segments)
	}
	if g := segments[1]; g.Events != 2 || !maps.Equal(g.Counters, want) {
		t.Fatalf("segment %+v, want 2 events and %v", g, want)
	}
	// Items and segments do not share names.
	s.absent("s")
	s.commit(put("s", "an item", kv.Absent()))
	s.tally(kv.Duplicate, "s", "e2", by("messages", 1))
	if n := len(s.list(kv.Range{})); n != 1 {
		t.Fatalf("%d items listed, want the one", n)
	}
}

func testTallyRefused(t *testing.T, s *suite) {
	s.tally(kv.Counted, "s", "e1", by("max", math.MaxInt64), by("min", math.MinInt64))
	before := s.one()
	for _, d := range []kv.Delta{by("max", 1), by("max", math.MaxInt64), by("min", -1), by("min", math.MinInt64)} {
		for range 2 { // a refused event is not remembered as seen
			_, err := s.Tally(t.Context(), s.partition, "s", kv.Event{ID: "e2", At: s.clock.Now()}, by("other", 1), d)
			if !errors.Is(err, kv.ErrRange) {
				t.Fatalf("%+v: %v, want %v", d, err, kv.ErrRange)
			}
		}
	}
	if g := s.one(); g.Rev != before.Rev || g.Events != 1 || !maps.Equal(g.Counters, before.Counters) {
		t.Fatalf("refused tallies made %+v of %+v", g, before)
	}
	s.tally(kv.Duplicate, "s", "e1", by("max", math.MaxInt64))
	s.tally(kv.Counted, "s", "e2", by("max", -math.MaxInt64), by("min", math.MaxInt64))
	if g := s.one(); g.Counters["max"] != 0 || g.Counters["min"] != -1 {
		t.Fatalf("counters %v, want max 0 and min -1", g.Counters)
	}
}

func testTallyFull(t *testing.T, s *suite) {
	deltas := make([]kv.Delta, kv.MaxCounters)
	for i := range deltas {
		deltas[i] = by(fmt.Sprint(i), 1)
	}
	s.tally(kv.Counted, "counters", "e1", deltas...)
	if _, err := s.Tally(t.Context(), s.partition, "counters", kv.Event{ID: "e2", At: s.clock.Now()}, by("0", 1), by("x", 1)); !errors.Is(err, kv.ErrInvalid) {
		t.Fatalf("one counter too many: %v, want %v", err, kv.ErrInvalid)
	}
	if g := s.one(); len(g.Counters) != kv.MaxCounters || g.Counters["0"] != 1 || g.Events != 1 {
		t.Fatalf("%d counters, %d events after a refused event", len(g.Counters), g.Events)
	}
	s.tally(kv.Counted, "counters", "e2", by("0", 1))

	s.parallel(kv.MaxSeen, func(n int) error {
		o, err := s.Tally(t.Context(), s.partition, "events", kv.Event{ID: fmt.Sprint("e", n), At: s.clock.Now()}, by("n", 1))
		if err == nil && o != kv.Counted {
			err = fmt.Errorf("event %d: %v", n, o)
		}
		return err
	})
	if _, err := s.Tally(t.Context(), s.partition, "events", kv.Event{ID: "one more", At: s.clock.Now()}, by("n", 1)); !errors.Is(err, kv.ErrFull) || !errors.Is(err, kv.ErrInvalid) {
		t.Fatalf("one event too many: %v, want %v", err, kv.ErrFull)
	}
	s.tally(kv.Duplicate, "events", "e0", by("n", 1))
	s.tally(kv.Duplicate, "events", "e511", by("n", 1))
	if g := s.open()[1]; g.Events != kv.MaxSeen || g.Counters["n"] != kv.MaxSeen {
		t.Fatalf("%d events counted %d", g.Events, g.Counters["n"])
	}
}

// testTallyWide: events with more counters than DynamoDB's expressions have room for
// count like any other.
func testTallyWide(t *testing.T, s *suite) {
	const events, counters = 12, 200
	deltas := make([]kv.Delta, counters)
	for i := range deltas {
		deltas[i] = by(strings.Repeat("a long name ", 5)+fmt.Sprint(i), int64(i))
	}
	tally := func(n int) (kv.Outcome, error) {
		return s.Tally(t.Context(), s.partition, "s", kv.Event{ID: fmt.Sprint("e", n), At: s.clock.Now()}, deltas...)
	}
	s.parallel(2*events, func(n int) error { _, err := tally(n % events); return err })
	for n := range events {
		if o, err := tally(n); o != kv.Duplicate || err != nil {
			t.Errorf("event %d again: %v, %v", n, o, err)
		}
	}
	g := s.one()
	if g.Events != events || len(g.Counters) != counters {
		t.Fatalf("%d events and %d counters, want %d and %d", g.Events, len(g.Counters), events, counters)
	}
	for _, d := range deltas {
		if n := g.Counters[d.Counter]; n != events*d.By {
			t.Errorf("%s is %d, want %d", d.Counter, n, events*d.By)
		}
	}
	s.tally(kv.Counted, "s", "one more", append(deltas, by("max", math.MaxInt64))...)
	_, err := s.Tally(t.Context(), s.partition, "s", kv.Event{ID: "over", At: s.clock.Now()}, append(deltas, by("max", 1))...)
	if !errors.Is(err, kv.ErrRange) {
		t.Errorf("a sum that does not fit: %v, want %v", err, kv.ErrRange)
	}
}

// testTallyRow: each event counts once in the first segment of a row that has
// room, however often it is tallied and whatever came in between.
func testTallyRow(t *testing.T, s *suite) {
	const events, each = 10, 3
	count := func(n int) kv.Outcome {
		o, err := kv.TallyRow(t.Context(), s.Store, s.partition, "row", kv.Event{ID: fmt.Sprint("e", n), At: s.clock.Now(), Limit: each}, by("n", 1))
		s.must(err)
		return o
	}
	s.parallel(2*events, func(n int) error { count(n % events); return nil })
	for n := range events {
		if o := count(n); o != kv.Duplicate {
			t.Errorf("event %d is %v once it was counted", n, o)
		}
	}
	var total int64
	for _, g := range s.open() {
		if g.Events > each {
			t.Errorf("%d events in %s", g.Events, g.Name)
		}
		total += g.Counters["n"]
	}
	if segments := len(s.open()); total != events || segments != 4 {
		t.Errorf("%d events counted in %d segments, want %d in 4", total, segments, events)
	}
	for n := range kv.MaxRow * each {
		_, err := kv.TallyRow(t.Context(), s.Store, s.partition, "row", kv.Event{ID: fmt.Sprint("more", n), At: s.clock.Now(), Limit: each}, by("n", 1))
		if left := kv.MaxRow*each - events; n < left && err != nil || n >= left && !errors.Is(err, kv.ErrFull) {
			t.Fatalf("event %d with room for %d: %v", n, left, err)
		}
	}
	if _, err := s.Tally(t.Context(), s.partition, "s", kv.Event{ID: "e", At: s.clock.Now(), Limit: kv.MaxSeen + 1}, by("n", 1)); !errors.Is(err, kv.ErrInvalid) {
		t.Errorf("a limit beyond MaxSeen: %v", err)
	}
}

func testTallyHorizon(t *testing.T, s *suite) {
	start := s.clock.Now()
	a := kv.Event{ID: "a", At: start}
	b := kv.Event{ID: "b", At: start}
	c := kv.Event{ID: "c", At: start.Add(kv.HorizonSlack / 2)}
	s.tallyAt(kv.Counted, "s", a, by("n", 1))
	s.tallyAt(kv.Counted, "ahead", c, by("n", 1))
	for _, g := range s.open() {
		s.commit(put("total/"+g.Name, "", kv.Absent()), kv.Settle{Segment: g.Name, Rev: g.Rev})
	}

	s.clock.Advance(kv.Horizon)
	s.tallyAt(kv.Duplicate, "s", a, by("n", 1))
	s.tallyAt(kv.Counted, "s", b, by("n", 1))
	s.clock.Advance(time.Second)
	s.tallyAt(kv.TooLate, "s", a, by("n", 1))
	s.tallyAt(kv.TooLate, "s", b, by("n", 1))
	s.tallyAt(kv.TooLate, "s", kv.Event{ID: "never seen", At: start}, by("n", 1))
	s.tallyAt(kv.TooLate, "nowhere", kv.Event{ID: "never seen", At: start}, by("n", 1))
	if g := s.one(); g.Name != "s" || g.Counters["n"] != 1 {
		t.Fatalf("open after the horizon: %+v", g)
	}
	// An event from a clock that runs ahead is still known at its own horizon.
	s.clock.Advance(kv.HorizonSlack/2 - time.Second)
	s.tallyAt(kv.Duplicate, "ahead", c, by("n", 1))
	s.clock.Advance(time.Second)
	s.tallyAt(kv.TooLate, "ahead", c, by("n", 1))
	// Long after, when the settled segment has gone, its name is free again.
	s.clock.Advance(2 * (kv.Horizon + kv.HorizonSlack))
	s.tally(kv.Counted, "ahead", "d", by("n", 5))
	// An unsettled one stays however long it takes.
	segments := s.open()
	if len(segments) != 2 || segments[0].Counters["n"] != 5 || segments[1].Counters["n"] != 1 {
		t.Fatalf("open long after: %+v", segments)
	}
}

func testOpen(t *testing.T, s *suite) {
	if segments := s.open(); len(segments) != 0 {
		t.Fatalf("a new partition has segments %+v", segments)
	}
	names := []string{"a", "b/1", "b/10", "b/2", "é", "\uffff", "\U0001f600"}
	for i, name := range names {
		s.tally(kv.Counted, name, "e", by("n", int64(i)))
		s.clock.Advance(time.Second)
	}
	start := s.clock.Now().Add(-time.Duration(len(names)) * time.Second)
	var got []string
	revs := map[string]string{}
	for i, g := range s.open() {
		got = append(got, g.Name)
		revs[g.Name] = g.Rev
		if g.Events != 1 || g.Counters["n"] != int64(i) || g.Rev == "" {
			t.Errorf("segment %d: %+v", i, g)
		}
		if want := start.Add(time.Duration(i) * time.Second); !g.Touched.Equal(want) {
			t.Errorf("%s touched %v, want %v", g.Name, g.Touched, want)
		}
	}
	if !slices.Equal(got, names) {
		t.Fatalf("open: %q, want %q", got, names)
	}
	after, err := s.Store.Open(t.Context(), s.partition, "b/11", kv.MaxPage)
	s.must(err)
	if len(after) != 4 || after[0].Name != "b/2" {
		t.Fatalf("after b/11: %+v", after)
	}
	// A revision changes with every event, and with nothing else.
	s.tally(kv.Counted, "a", "e2", by("n", 0))
	s.tally(kv.Duplicate, "b/1", "e", by("n", 1))
	for _, g := range s.open() {
		if changed := g.Rev != revs[g.Name]; changed != (g.Name == "a") {
			t.Errorf("revision of %s changed: %v", g.Name, changed)
		}
	}
}

func testSettle(t *testing.T, s *suite) {
	s.tally(kv.Counted, "s", "e1", by("n", 3))
	stale := s.one()
	s.tally(kv.Counted, "s", "e2", by("n", 4))
	g := s.one()
	anchor := put("anchor", "", kv.Absent())
	err := s.Commit(t.Context(), s.partition, s.op(), anchor, kv.Settle{Segment: "s", Rev: stale.Rev})
	var conflict *kv.ConflictError
	if !errors.As(err, &conflict) || conflict.Key != "s" || conflict.Partition != s.partition {
		t.Fatalf("settle at a stale revision: %v, want a conflict on s", err)
	}
	s.refuse(kv.ErrConflict, anchor, kv.Settle{Segment: "t", Rev: g.Rev})
	s.absent("anchor")

	move := []kv.Write{anchor, kv.Add{Key: "total", Deltas: []kv.Delta{by("n", g.Counters["n"])}}, kv.Settle{Segment: "s", Rev: g.Rev}}
	op := s.commit(move...)
	if segments := s.open(); len(segments) != 0 {
		t.Fatalf("still open: %+v", segments)
	}
	s.must(s.Commit(t.Context(), s.partition, op, move...))
	s.counter("total", "n", 7)
	// What is settled cannot be settled again.
	s.refuse(kv.ErrConflict, put("again", "", kv.Absent()), kv.Settle{Segment: "s", Rev: g.Rev})
	s.absent("again")

	s.tally(kv.Duplicate, "s", "e1", by("n", 3))
	if segments := s.open(); len(segments) != 0 {
		t.Fatalf("a duplicate opened %+v", segments)
	}
	s.tally(kv.Counted, "s", "e3", by("n", 10))
	late := s.one()
	if late.Counters["n"] != 10 || len(late.Counters) != 1 || late.Events != 3 || late.Rev == g.Rev {
		t.Fatalf("reopened as %+v; it was settled at %s", late, g.Rev)
	}
	s.refuse(kv.ErrConflict, put("again", "", kv.Absent()), kv.Settle{Segment: "s", Rev: g.Rev})
}

func testSettleKeepsSeen(t *testing.T, s *suite) {
	settle := func(n int) {
		g := s.one()
		s.commit(put(fmt.Sprint("anchor/", n), "", kv.Absent()), kv.Settle{Segment: "s", Rev: g.Rev})
	}
	s.tally(kv.Counted, "s", "e1", by("n", 1))
	settle(1)
	s.clock.Advance(20 * time.Hour)
	// Opened again, it is kept from here on, with all it has seen.
	early := kv.Event{ID: "e2", At: s.clock.Now()}
	s.tallyAt(kv.Counted, "s", early, by("n", 1))
	s.clock.Advance(10 * time.Hour)
	if g := s.one(); g.Events != 2 || g.Counters["n"] != 1 {
		t.Fatalf("an open segment became %+v", g)
	}
	settle(2)
	s.tallyAt(kv.Duplicate, "s", early, by("n", 1))
	s.clock.Advance(14 * time.Hour)
	s.tallyAt(kv.Duplicate, "s", early, by("n", 1))
	s.clock.Advance(time.Second)
	s.tallyAt(kv.TooLate, "s", early, by("n", 1))
	// Other writes give an engine the chance to clear what has expired, but
	// not what somebody may still ask for.
	fresh := kv.Event{ID: "e3", At: s.clock.Now()}
	s.tallyAt(kv.Counted, "s", fresh, by("n", 1))
	settle(3)
	s.clock.Advance(kv.Horizon)
	for n := range 20 {
		s.commit(put(fmt.Sprint("other/", n), "", kv.Absent()))
	}
	s.tallyAt(kv.Duplicate, "s", fresh, by("n", 1))
}

func testRestart(t *testing.T, s *suite) {
	if s.h.Reopen == nil {
		t.Skip("absent: " + s.h.NoReopen)
	}
	create := put("k", "v", kv.Absent())
	made := s.commit(create)
	gone := s.commit(put("gone", "v", kv.Absent()))
	removed := s.commit(kv.Delete{Key: "gone", If: kv.Rev(gone)})
	s.commit(kv.Put{Key: "short", Expires: s.clock.Now().Add(time.Minute), If: kv.Absent()})
	s.commit(kv.Add{Key: "n", Deltas: []kv.Delta{by("n", math.MinInt64), by("m", 1)}, If: kv.Absent()})
	s.tally(kv.Counted, "open", "e1", by("n", 2))
	s.tally(kv.Counted, "settled", "e1", by("n", 3))
	g := s.open()[1]
	s.commit(put("total", "", kv.Absent()), kv.Settle{Segment: "settled", Rev: g.Rev})
	items, segments := s.list(kv.Range{}), s.open()

	s.Store = s.h.Reopen(t, s.Store, s.clock.Now)
	if got := s.list(kv.Range{}); !slices.EqualFunc(items, got, sameItem) {
		t.Fatalf("after the restart %+v, before %+v", got, items)
	}
	if got := s.open(); len(got) != 1 || got[0].Rev != segments[0].Rev || !maps.Equal(got[0].Counters, segments[0].Counters) {
		t.Fatalf("after the restart %+v, before %+v", got, segments)
	}
	s.must(s.Commit(t.Context(), s.partition, made, create))
	s.must(s.Commit(t.Context(), s.partition, removed, kv.Delete{Key: "gone", If: kv.Rev(gone)}))
	s.must(s.Commit(t.Context(), s.partition, gone, put("gone", "v", kv.Absent())))
	s.absent("gone")
	s.tally(kv.Duplicate, "open", "e1", by("n", 2))
	s.tally(kv.Duplicate, "settled", "e1", by("n", 3))
	s.clock.Advance(time.Minute)
	s.absent("short")
}

func sameItem(a, b kv.Item) bool {
	return a.Key == b.Key && a.Rev == b.Rev && string(a.Value) == string(b.Value) &&
		a.Expires.Equal(b.Expires) && maps.Equal(a.Counters, b.Counters)
}

package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

func testPut(t *testing.T, s *suite) {
	s.absent("k")
	first := s.commit(put("k", "one", kv.Absent()))
	s.value("k", "one", first)
	if i := s.get("k"); i.Counters != nil || !i.Expires.IsZero() {
		t.Fatalf("a plain item has counters %v, expiry %v", i.Counters, i.Expires)
	}
	second := s.commit(put("k", "two", kv.Rev(first)))
	s.value("k", "two", second)

	s.commit(put("empty", "", kv.Absent()))
	if i := s.get("empty"); len(i.Value) != 0 {
		t.Fatalf("an empty value came back as %q", i.Value)
	}
	any := make([]byte, 256)
	for i := range any {
		any[i] = byte(i)
	}
	s.commit(kv.Put{Key: "bytes", Value: any, If: kv.Absent()})
	if i := s.get("bytes"); !bytes.Equal(i.Value, any) {
		t.Fatalf("bytes came back as %x", i.Value)
	}
}

func testDelete(t *testing.T, s *suite) {
	rev := s.commit(put("k", "v", kv.Absent()))
	rev = s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("n", 3)}, If: kv.Rev(rev)})
	s.refuse(kv.ErrConflict, kv.Delete{Key: "k", If: kv.Rev("other")})
	s.counter("k", "n", 3)
	s.commit(kv.Delete{Key: "k", If: kv.Rev(rev)})
	s.absent("k")
	s.refuse(kv.ErrConflict, kv.Delete{Key: "k", If: kv.Rev(rev)})
	s.refuse(kv.ErrConflict, kv.Delete{Key: "never", If: kv.Rev(rev)})
	s.commit(put("k", "again", kv.Absent()))
	if i := s.get("k"); i.Counters != nil {
		t.Fatalf("counters %v outlived their item", i.Counters)
	}
}

func testConditions(t *testing.T, s *suite) {
	rev := s.commit(put("k", "v", kv.Absent()))
	for _, w := range []kv.Write{
		put("k", "x", kv.Absent()),
		put("k", "x", kv.Rev("other")),
		put("new", "x", kv.Rev(rev)),
		kv.Add{Key: "k", Deltas: []kv.Delta{by("n", 1)}, If: kv.Absent()},
		kv.Add{Key: "k", Deltas: []kv.Delta{by("n", 1)}, If: kv.Rev("other")},
		kv.Add{Key: "new", Deltas: []kv.Delta{by("n", 1)}, If: kv.Rev(rev)},
	} {
		err := s.Commit(t.Context(), s.partition, s.op(), w)
		if !errors.Is(err, kv.ErrConflict) {
			t.Fatalf("%#v: %v, want %v", w, err, kv.ErrConflict)
		}
		want := "k"
		switch w := w.(type) {
		case kv.Put:
			want = w.Key
		case kv.Add:
			want = w.Key
		}
		var conflict *kv.ConflictError
		if !errors.As(err, &conflict) || conflict.Partition != s.partition || conflict.Key != want {
			t.Fatalf("%v does not name %s in %s", err, want, s.partition)
		}
	}
	s.value("k", "v", rev)
	s.absent("new")
}

func testCheck(t *testing.T, s *suite) {
	lease := s.commit(put("lease", "mine", kv.Absent()))
	fence := kv.Check{Key: "lease", If: kv.Rev(lease)}
	op := s.commit(fence, put("a", "1", kv.Absent()))
	s.value("lease", "mine", lease)
	s.commit(kv.Check{Key: "nobody", If: kv.Absent()}, put("b", "1", kv.Absent()))

	taken := s.commit(put("lease", "yours", kv.Rev(lease)))
	s.refuse(kv.ErrConflict, fence, put("a", "2", kv.Rev(op)))
	s.refuse(kv.ErrConflict, kv.Check{Key: "lease", If: kv.Absent()}, put("a", "2", kv.Rev(op)))
	s.value("a", "1", op)
	s.value("lease", "yours", taken)
	// The fence has fallen since, but the work behind it was done.
	s.must(s.Commit(t.Context(), s.partition, op, fence, put("a", "1", kv.Absent())))
}

func testAllOrNothing(t *testing.T, s *suite) {
	rev := s.commit(put("a", "1", kv.Absent()), put("b", "1", kv.Absent()))
	s.value("a", "1", rev)
	s.value("b", "1", rev)
	floor := int64(0)
	for name, last := range map[string]struct {
		kv.Write
		want error
	}{
		"conflict": {put("b", "2", kv.Absent()), kv.ErrConflict},
		"range":    {kv.Add{Key: "b", Deltas: []kv.Delta{{Counter: "n", By: -1, Floor: &floor}}}, kv.ErrRange},
		"settle":   {kv.Settle{Segment: "none", Rev: "1"}, kv.ErrConflict},
	} {
		err := s.Commit(t.Context(), s.partition, s.op(),
			put("a", "2", kv.Rev(rev)), put("c", "2", kv.Absent()), kv.Add{Key: "d", Deltas: []kv.Delta{by("n", 1)}}, last.Write)
		if !errors.Is(err, last.want) {
			t.Fatalf("%s: %v, want %v", name, err, last.want)
		}
		s.value("a", "1", rev)
		s.value("b", "1", rev)
		s.absent("c")
		s.absent("d")
	}
	op := s.commit(put("a", "2", kv.Rev(rev)), kv.Delete{Key: "b", If: kv.Rev(rev)}, kv.Add{Key: "d", Deltas: []kv.Delta{by("n", 1)}})
	s.value("a", "2", op)
	s.absent("b")
	s.counter("d", "n", 1)
}

func testRepeat(t *testing.T, s *suite) {
	again := func(op string, writes ...kv.Write) {
		t.Helper()
		s.must(s.Commit(t.Context(), s.partition, op, writes...))
	}
	create := put("k", "one", kv.Absent())
	first := s.commit(create)
	again(first, create)
	s.value("k", "one", first)

	bump := kv.Add{Key: "n", Deltas: []kv.Delta{by("n", 5)}, If: kv.Absent()}
	op := s.commit(bump)
	again(op, bump)
	s.counter("n", "n", 5)

	// An Add without a condition is covered by the one beside it.
	pair := []kv.Write{put("k", "two", kv.Rev(first)), kv.Add{Key: "n", Deltas: []kv.Delta{by("n", 5)}}}
	op = s.commit(pair...)
	again(op, pair...)
	s.counter("n", "n", 10)
	s.value("k", "two", op)

	// A repeat that comes after others changes nothing either.
	s.commit(put("k", "three", kv.Rev(op)))
	again(op, pair...)
	s.counter("n", "n", 10)
	if i := s.get("k"); string(i.Value) != "three" {
		t.Fatalf("a late repeat put %q back", i.Value)
	}
}

func testRepeatLater(t *testing.T, s *suite) {
	write := []kv.Write{put("busy", "0", kv.Absent()), put("quiet", "0", kv.Absent())}
	first := s.commit(write...)
	rev := first
	for n := 1; n < kv.RememberedOps; n++ {
		rev = s.commit(put("busy", fmt.Sprint(n), kv.Rev(rev)))
		s.must(s.Commit(t.Context(), s.partition, first, put("busy", "0", kv.Absent())))
	}
	s.value("busy", fmt.Sprint(kv.RememberedOps-1), rev)
	// Beyond that, one item that still remembers is enough.
	for range 2 * kv.RememberedOps {
		rev = s.commit(kv.Add{Key: "busy", Deltas: []kv.Delta{by("n", 1)}, If: kv.Rev(rev)})
	}
	s.must(s.Commit(t.Context(), s.partition, first, write...))
	s.counter("busy", "n", 2*kv.RememberedOps)
	s.value("quiet", "0", first)
}

func testRepeatAfterDelete(t *testing.T, s *suite) {
	create := put("k", "v", kv.Absent())
	made := s.commit(create)
	remove := kv.Delete{Key: "k", If: kv.Rev(made)}
	removed := s.commit(remove)
	s.must(s.Commit(t.Context(), s.partition, removed, remove))
	s.must(s.Commit(t.Context(), s.partition, made, create))
	s.absent("k")
	s.clock.Advance(kv.TombstoneLife - time.Second)
	s.must(s.Commit(t.Context(), s.partition, removed, remove))
	s.must(s.Commit(t.Context(), s.partition, made, create))
	s.absent("k")
	// What is put there next does not forget either.
	next := s.commit(put("k", "w", kv.Absent()))
	s.must(s.Commit(t.Context(), s.partition, removed, remove))
	s.must(s.Commit(t.Context(), s.partition, made, create))
	s.value("k", "w", next)
}

func testAdd(t *testing.T, s *suite) {
	op := s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("a", 2), by("b", -7), by("zero", 0)}, If: kv.Absent()})
	want := map[string]int64{"a": 2, "b": -7, "zero": 0}
	if i := s.get("k"); i.Value != nil || i.Rev != op || i.Counters["a"] != 2 || i.Counters["b"] != -7 || i.Counters["zero"] != 0 {
		t.Fatalf("made by adds: %+v", i)
	}
	rev := s.commit(put("k", "v", kv.Rev(op)))
	s.value("k", "v", rev)
	s.counter("k", "b", want["b"])

	rev = s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("a", 40), by("c", 1)}, If: kv.Rev(rev)})
	s.value("k", "v", rev)
	want = map[string]int64{"a": 42, "b": -7, "c": 1, "zero": 0}
	for _, i := range append(s.list(kv.Range{}), s.get("k")) {
		// Whether a counter that never moved shows is left to the engine.
		got := maps.Clone(i.Counters)
		got["zero"] += 0
		if !maps.Equal(got, want) {
			t.Fatalf("counters %v, want %v", got, want)
		}
	}
	s.refuse(kv.ErrInvalid, kv.Add{Key: "k", Deltas: []kv.Delta{by("a", 1)}})
	s.counter("k", "a", 42)
}

func testAddFloor(t *testing.T, s *suite) {
	floor := func(n int64) *int64 { return &n }
	spend := func(n int64) kv.Add {
		return kv.Add{Key: "wallet", Deltas: []kv.Delta{{Counter: "coins", By: -n, Floor: floor(0)}}}
	}
	s.commit(kv.Add{Key: "wallet", Deltas: []kv.Delta{by("coins", 10)}, If: kv.Absent()})
	s.commit(spend(10), put("receipt/1", "", kv.Absent()))
	s.counter("wallet", "coins", 0)
	s.refuse(kv.ErrRange, spend(1), put("receipt/2", "", kv.Absent()))
	s.counter("wallet", "coins", 0)
	s.absent("receipt/2")
	// An absent counter is zero.
	s.refuse(kv.ErrRange, kv.Add{Key: "new", Deltas: []kv.Delta{{Counter: "n", By: 1, Floor: floor(2)}}, If: kv.Absent()})
	s.absent("new")
	s.commit(kv.Add{Key: "new", Deltas: []kv.Delta{{Counter: "n", By: -3, Floor: floor(-3)}}, If: kv.Absent()})
	s.counter("new", "n", -3)
	// The floor is about the result, even when the add goes up.
	rev := s.get("new").Rev
	s.refuse(kv.ErrRange, kv.Add{Key: "new", Deltas: []kv.Delta{{Counter: "n", By: 1, Floor: floor(-1)}}, If: kv.Rev(rev)})
	// One refused counter refuses the others.
	s.refuse(kv.ErrRange, kv.Add{Key: "new", Deltas: []kv.Delta{by("m", 1), {Counter: "n", By: -1, Floor: floor(-3)}}, If: kv.Rev(rev)})
	if i := s.get("new"); i.Counters["m"] != 0 || i.Rev != rev {
		t.Fatalf("a refused add left %+v", i)
	}
	s.refuse(kv.ErrConflict, kv.Add{Key: "new", Deltas: []kv.Delta{by("n", 1)}, If: kv.Rev("other")})
}

func testAddOverflow(t *testing.T, s *suite) {
	rev := s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("max", math.MaxInt64), by("min", math.MinInt64)}, If: kv.Absent()})
	s.counter("k", "max", math.MaxInt64)
	s.counter("k", "min", math.MinInt64)
	s.refuse(kv.ErrRange, kv.Add{Key: "k", Deltas: []kv.Delta{by("max", 1)}, If: kv.Rev(rev)})
	s.refuse(kv.ErrRange, kv.Add{Key: "k", Deltas: []kv.Delta{by("min", -1)}, If: kv.Rev(rev)})
	s.refuse(kv.ErrRange, kv.Add{Key: "k", Deltas: []kv.Delta{by("max", math.MaxInt64)}, If: kv.Rev(rev)})
	s.refuse(kv.ErrRange, kv.Add{Key: "k", Deltas: []kv.Delta{by("min", math.MinInt64)}, If: kv.Rev(rev)})
	s.counter("k", "max", math.MaxInt64)
	s.counter("k", "min", math.MinInt64)
	rev = s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("max", math.MinInt64), by("min", math.MaxInt64)}, If: kv.Rev(rev)})
	s.counter("k", "max", -1)
	s.counter("k", "min", -1)
	s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("max", -math.MaxInt64), by("min", 1)}, If: kv.Rev(rev)})
	s.counter("k", "max", math.MinInt64)
	s.counter("k", "min", 0)
	// Large counters are exact, not floating.
	rev = s.commit(kv.Add{Key: "exact", Deltas: []kv.Delta{by("n", 1<<53)}, If: kv.Absent()})
	s.commit(kv.Add{Key: "exact", Deltas: []kv.Delta{by("n", 1)}, If: kv.Rev(rev)})
	s.counter("exact", "n", 1<<53+1)
}

func testAddCounterLimit(t *testing.T, s *suite) {
	deltas := make([]kv.Delta, kv.MaxCounters)
	for i := range deltas {
		deltas[i] = by(fmt.Sprintf("c%03d", i), 1)
	}
	rev := s.commit(kv.Add{Key: "k", Deltas: deltas[:kv.MaxCounters-1], If: kv.Absent()})
	s.refuse(kv.ErrInvalid, kv.Add{Key: "k", Deltas: []kv.Delta{by("x", 1), by("y", 1)}, If: kv.Rev(rev)})
	if i := s.get("k"); len(i.Counters) != kv.MaxCounters-1 || i.Rev != rev {
		t.Fatalf("%d counters at %s, want %d at %s", len(i.Counters), i.Rev, kv.MaxCounters-1, rev)
	}
	s.commit(kv.Add{Key: "k", Deltas: deltas, If: kv.Rev(rev)})
	s.counter("k", "c000", 2)
	s.counter("k", "c511", 1)
}

func testExpiry(t *testing.T, s *suite) {
	at := s.clock.Now().Add(10 * time.Second)
	op := s.commit(
		kv.Put{Key: "exact", Value: []byte("v"), Expires: at, If: kv.Absent()},
		kv.Put{Key: "rounded", Value: []byte("v"), Expires: at.Add(-time.Millisecond), If: kv.Absent()},
		kv.Put{Key: "earlier", Value: []byte("v"), Expires: at.Add(-time.Second), If: kv.Absent()},
		kv.Put{Key: "past", Value: []byte("v"), Expires: s.clock.Now(), If: kv.Absent()},
		kv.Add{Key: "counted", Deltas: []kv.Delta{by("n", 5)}, Expires: at},
	)
	s.absent("past")
	for _, key := range []string{"exact", "rounded", "counted"} {
		if i := s.get(key); !i.Expires.Equal(at) {
			t.Fatalf("%s expires %v, want %v", key, i.Expires, at)
		}
	}
	s.clock.Advance(10*time.Second - time.Millisecond)
	s.absent("earlier")
	if n := len(s.list(kv.Range{})); n != 3 {
		t.Fatalf("%d items a moment before their expiry, want 3", n)
	}
	s.clock.Advance(time.Millisecond)
	for _, key := range []string{"exact", "rounded", "counted"} {
		s.absent(key)
	}
	if page := s.list(kv.Range{Reverse: true}); len(page) != 0 {
		t.Fatalf("expired items are listed: %+v", page)
	}
	// The key is as good as absent to every condition.
	s.refuse(kv.ErrConflict, put("exact", "w", kv.Rev(op)))
	s.refuse(kv.ErrConflict, kv.Delete{Key: "exact", If: kv.Rev(op)})
	s.refuse(kv.ErrConflict, kv.Check{Key: "exact", If: kv.Rev(op)}, put("other", "", kv.Absent()))
	s.commit(kv.Check{Key: "rounded", If: kv.Absent()}, put("other", "", kv.Absent()))
	fresh := s.commit(put("exact", "w", kv.Absent()), put("counted", "w", kv.Absent()))
	s.value("exact", "w", fresh)
	if i := s.get("counted"); i.Counters != nil || !i.Expires.IsZero() {
		t.Fatalf("put over an expired item kept %+v", i)
	}
	// A Put sets the expiry, also to never.
	rev := s.commit(kv.Put{Key: "exact", Expires: s.clock.Now().Add(time.Minute), If: kv.Rev(fresh)})
	s.commit(put("exact", "stays", kv.Rev(rev)))
	s.clock.Advance(time.Hour)
	if i := s.get("exact"); !i.Expires.IsZero() {
		t.Fatalf("expiry %v stayed, want none", i.Expires)
	}
}

func testExpiryOfAdd(t *testing.T, s *suite) {
	soon, later := s.clock.Now().Add(10*time.Second), s.clock.Now().Add(20*time.Second)
	rev := s.commit(kv.Put{Key: "k", Value: []byte("v"), Expires: soon, If: kv.Absent()})
	rev = s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("n", 1)}, If: kv.Rev(rev)})
	if i := s.get("k"); !i.Expires.Equal(soon) {
		t.Fatalf("an add without expiry moved it to %v", i.Expires)
	}
	s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("n", 1)}, Expires: later, If: kv.Rev(rev)})
	s.clock.Advance(10 * time.Second)
	s.counter("k", "n", 2)
	s.clock.Advance(10 * time.Second)
	s.absent("k")
	// An expired item counts from zero, and has lost its value and expiry.
	s.commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("n", 7)}}, put("anchor", "", kv.Absent()))
	if i := s.get("k"); i.Counters["n"] != 7 || i.Value != nil || !i.Expires.IsZero() {
		t.Fatalf("an add over an expired item made %+v", i)
	}
}

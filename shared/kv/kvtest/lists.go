package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

func keys(items []kv.Item) []string {
	out := []string{}
	for _, i := range items {
		out = append(out, i.Key)
	}
	return out
}

// fill makes an item for every key, and returns the op of the last commit.
func (s *suite) fill(keys ...string) {
	s.Helper()
	for some := range slices.Chunk(keys, kv.MaxWrites) {
		writes := make([]kv.Write, len(some))
		for i, key := range some {
			writes[i] = put(key, key, kv.Absent())
		}
		s.commit(writes...)
	}
}

func testListOrder(t *testing.T, s *suite) {
	all := []string{
		"\x01", " ", "!", "a", "a/", "a/1", "a/10", "a/2", "a/\U0010ffff", "a0", "aa", "b", "\x7f", "é", "\ud7ff", "\ue000", "\uffff", "\U0001f600", "\U0010ffff",
	}
	slices.Sort(all) // by bytes, which is not the order of UTF-16
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	s.fill(shuffled...)
	s.tally(kv.Counted, "a/segment", "e", by("n", 1))

	for _, r := range []kv.Range{
		{},
		{Prefix: "a"},
		{Prefix: "a/"},
		{Prefix: "a/1"},
		{Prefix: "zz"},
		{Prefix: "\U0010ffff"},
		{After: "a"},
		{After: "a/11"},
		{After: "\U0010ffff"},
		{After: "\x01"},
		{Prefix: "a/", After: "a/10"},
		{Prefix: "a/", After: "!"},
		{Prefix: "a/", After: "a"},
		{Prefix: "a/", After: "b"},
		{Prefix: "a", After: "a/\U0010ffff"},
		{Prefix: "b", After: "b"},
	} {
		for _, r.Reverse = range []bool{false, true} {
			want := []string{}
			for _, k := range all {
				beyond := r.After == "" || (!r.Reverse && k > r.After) || (r.Reverse && k < r.After)
				if beyond && strings.HasPrefix(k, r.Prefix) {
					want = append(want, k)
				}
			}
			if r.Reverse {
				slices.Reverse(want)
			}
			for _, r.Limit = range []int{0, 1, 3, kv.MaxPage} {
				items := s.list(r)
				if got := keys(items); !slices.Equal(got, want) {
					t.Errorf("%+v: %q, want %q", r, got, want)
				}
				for _, i := range items {
					if string(i.Value) != i.Key || i.Rev == "" {
						t.Errorf("%q is listed as %+v", i.Key, i)
					}
				}
			}
		}
	}
}

func testListPages(t *testing.T, s *suite) {
	var all []string
	for i := range 230 {
		all = append(all, fmt.Sprintf("k%03d", i))
	}
	s.fill(all...)
	page, err := s.List(t.Context(), s.partition, kv.Range{})
	s.must(err)
	if n := len(page.Items); n > 100 || page.Next == "" {
		t.Fatalf("the default page has %d items of 230, next %q", n, page.Next)
	}
	for _, limit := range []int{1, 7, 100, 229, 230, 231, kv.MaxPage} {
		var got []string
		r := kv.Range{Limit: limit, Prefix: "k"}
		if limit == 1 {
			r.Prefix = "k00"
		}
		for {
			page, err := s.List(t.Context(), s.partition, r)
			s.must(err)
			if len(page.Items) > limit {
				t.Fatalf("a page of %d items, want at most %d", len(page.Items), limit)
			}
			got = append(got, keys(page.Items)...)
			if page.Next == "" {
				break
			}
			r.After = page.Next
		}
		want := all
		if limit == 1 {
			want = all[:10]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d: %q", limit, got)
		}
	}
}

// testListBehindDeleted: hundreds of items that are deleted or have expired hide none
// that follow them.
func testListBehindDeleted(t *testing.T, s *suite) {
	var all []string
	for n := range 300 {
		all = append(all, fmt.Sprintf("k%03d", n))
	}
	s.fill(all...)
	gone, left := all[:297], all[297:]
	for some := range slices.Chunk(gone, kv.MaxWrites) {
		var writes []kv.Write
		for _, key := range some {
			item, err := s.Get(t.Context(), s.partition, key)
			s.must(err)
			writes = append(writes, kv.Delete{Key: key, If: kv.Rev(item.Rev)})
		}
		s.commit(writes...)
	}
	page, err := s.List(t.Context(), s.partition, kv.Range{Prefix: "k", Limit: 2})
	s.must(err)
	if got := keys(page.Items); !slices.Equal(got, left[:2]) || page.Next == "" {
		t.Fatalf("listed %q, next %q; want %q", got, page.Next, left[:2])
	}
	page, err = s.List(t.Context(), s.partition, kv.Range{Prefix: "k", After: page.Next, Limit: 2})
	s.must(err)
	if got := keys(page.Items); !slices.Equal(got, left[2:]) {
		t.Fatalf("listed %q; want %q", got, left[2:])
	}

	soon := s.clock.Now().Add(time.Minute)
	for some := range slices.Chunk(gone, kv.MaxWrites) {
		var writes []kv.Write
		for _, key := range some {
			writes = append(writes, kv.Put{Key: key, If: kv.Absent(), Expires: soon})
		}
		s.commit(writes...)
	}
	s.clock.Advance(2 * time.Minute)
	page, err = s.List(t.Context(), s.partition, kv.Range{Prefix: "k", Limit: 2})
	s.must(err)
	if got := keys(page.Items); len(got) == 0 || !slices.Equal(got, left[:len(got)]) {
		t.Fatalf("behind expired items: listed %q; want some of %q", got, left[:2])
	}
}

func testListAcrossWrites(t *testing.T, s *suite) {
	var stay []string
	for i := range 40 {
		stay = append(stay, fmt.Sprintf("%02d-stays", i))
	}
	s.fill(stay...)
	for _, reverse := range []bool{false, true} {
		doomed := s.commit(put("20-goes", "", kv.Absent()))
		var got []string
		r := kv.Range{Limit: 4, Reverse: reverse}
		for n := 0; ; n++ {
			page, err := s.List(t.Context(), s.partition, r)
			s.must(err)
			for _, k := range keys(page.Items) {
				if strings.HasSuffix(k, "-stays") {
					got = append(got, k)
				}
			}
			if page.Next == "" {
				break
			}
			r.After = page.Next
			// Before and behind where the list stands, items come and go, and
			// the one it stands on is rewritten.
			s.commit(
				put(fmt.Sprintf("00-new-%v-%d", reverse, n), "", kv.Absent()),
				put(fmt.Sprintf("%s-new-%v-%d", page.Next, reverse, n), "", kv.Absent()),
				put(fmt.Sprintf("39-new-%v-%d", reverse, n), "", kv.Absent()),
				kv.Add{Key: page.Next, Deltas: []kv.Delta{by("n", 1)}},
			)
			if n == 2 {
				s.commit(kv.Delete{Key: "20-goes", If: kv.Rev(doomed)})
			}
		}
		want := slices.Clone(stay)
		if reverse {
			slices.Reverse(want)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("reverse %v: %q, want %q", reverse, got, want)
		}
	}
}

func testListOfLargeItems(t *testing.T, s *suite) {
	const n = 12
	large := bytes.Repeat([]byte{'x'}, kv.MaxValue)
	var want []string
	for i := range n {
		key := fmt.Sprintf("%02d", i)
		s.commit(kv.Put{Key: key, Value: large, If: kv.Absent()})
		want = append(want, key)
	}
	items := s.list(kv.Range{})
	if got := keys(items); !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for _, i := range items {
		if !bytes.Equal(i.Value, large) {
			t.Fatalf("%s came back with %d other bytes", i.Key, len(i.Value))
		}
	}
}

func testPartitions(t *testing.T, s *suite) {
	near := []string{s.partition, s.partition + "/", s.partition + "/a", s.partition + " ", s.partition + "{a}", s.partition + "}"}
	for i, p := range near {
		s.must(s.Commit(t.Context(), p, "op", put("k", p, kv.Absent()), put(fmt.Sprintf("k%d", i), "", kv.Absent())))
		_, err := s.Tally(t.Context(), p, "segment", kv.Event{ID: "e", At: s.clock.Now()}, by("n", int64(i)))
		s.must(err)
	}
	for i, p := range near {
		item, err := s.Get(t.Context(), p, "k")
		s.must(err)
		if string(item.Value) != p {
			t.Errorf("%q holds what belongs to %q", p, item.Value)
		}
		for _, reverse := range []bool{false, true} {
			page, err := s.List(t.Context(), p, kv.Range{Reverse: reverse})
			s.must(err)
			got := keys(page.Items)
			slices.Sort(got)
			if want := []string{"k", fmt.Sprintf("k%d", i)}; !slices.Equal(got, want) {
				t.Errorf("%q lists %q, want %q", p, got, want)
			}
		}
		segments, err := s.Store.Open(t.Context(), p, "", 10)
		s.must(err)
		if len(segments) != 1 || segments[0].Counters["n"] != int64(i) {
			t.Errorf("%q has segments %+v", p, segments)
		}
	}
}

// limits returns calls at a limit and the same calls one beyond it.
func limits(s *suite) map[string]func(over int) error {
	name := func(limit, over int) string {
		return strings.Repeat("é", limit/2-1) + strings.Repeat("x", 2+limit%2+over)
	}
	commit := func(writes ...kv.Write) error {
		return s.Commit(s.Context(), s.partition, s.op(), writes...)
	}
	return map[string]func(int) error{
		"partition": func(over int) error {
			partition := name(kv.MaxPartition-len(s.partition), over) + s.partition
			return s.Commit(s.Context(), partition, s.op(), put("k", "", kv.Absent()))
		},
		"key": func(over int) error { return commit(put(name(kv.MaxKey, over), "", kv.Absent())) },
		"op": func(over int) error {
			return s.Commit(s.Context(), s.partition, name(kv.MaxOp, over), put("op", "", kv.Absent()))
		},
		"value": func(over int) error {
			return commit(kv.Put{Key: "value", Value: make([]byte, kv.MaxValue+over), If: kv.Absent()})
		},
		"counter": func(over int) error {
			return commit(kv.Add{Key: "counter", Deltas: []kv.Delta{by(name(kv.MaxCounter, over), 1)}, If: kv.Absent()})
		},
		"counters": func(over int) error {
			deltas := make([]kv.Delta, kv.MaxCounters+over)
			for i := range deltas {
				deltas[i] = by(fmt.Sprint(i), 1)
			}
			return commit(kv.Add{Key: "counters", Deltas: deltas, If: kv.Absent()})
		},
		"writes": func(over int) error {
			writes := make([]kv.Write, kv.MaxWrites+over)
			for i := range writes {
				writes[i] = put(fmt.Sprintf("writes/%d", i), "", kv.Absent())
			}
			return commit(writes...)
		},
		"commit": func(over int) error {
			var writes []kv.Write
			for left := kv.MaxCommit + over; left > 0; {
				w := kv.Put{Key: fmt.Sprintf("commit/%02d", len(writes)), If: kv.Absent()}
				w.Value = make([]byte, min(kv.MaxValue, left-len(w.Key)))
				left -= len(w.Key) + len(w.Value)
				writes = append(writes, w)
			}
			return commit(writes...)
		},
		"segment": func(over int) error {
			_, err := s.Tally(s.Context(), s.partition, name(kv.MaxKey, over), kv.Event{ID: "e", At: s.clock.Now()}, by("n", 1))
			return err
		},
		"event": func(over int) error {
			_, err := s.Tally(s.Context(), s.partition, "event", kv.Event{ID: name(kv.MaxEvent, over), At: s.clock.Now()}, by("n", 1))
			return err
		},
		"page": func(over int) error {
			_, err := s.List(s.Context(), s.partition, kv.Range{Limit: kv.MaxPage + over})
			return err
		},
		"open": func(over int) error {
			_, err := s.Store.Open(s.Context(), s.partition, "", kv.MaxPage+over)
			return err
		},
		"ahead": func(over int) error {
			at := s.clock.Now().Add(kv.HorizonSlack/2 + time.Duration(over)*time.Second)
			_, err := s.Tally(s.Context(), s.partition, "ahead", kv.Event{ID: "e", At: at}, by("n", 1))
			return err
		},
	}
}

func testLimits(t *testing.T, s *suite) {
	for name, call := range limits(s) {
		before := keys(s.list(kv.Range{}))
		segments := len(s.open())
		if err := call(1); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("%s, one over: %v, want %v", name, err, kv.ErrInvalid)
		}
		if after := keys(s.list(kv.Range{})); !slices.Equal(before, after) || len(s.open()) != segments {
			t.Errorf("%s, one over, left something behind", name)
		}
		if err := call(0); err != nil {
			t.Errorf("%s, at the limit: %v", name, err)
		}
	}
	long := s.get("value")
	if len(long.Value) != kv.MaxValue {
		t.Errorf("the longest value came back with %d bytes", len(long.Value))
	}
}

func testInvalid(t *testing.T, s *suite) {
	const secret = "s3cret"
	rev := s.commit(put("k", "v", kv.Absent()))
	bad := map[string]string{"empty": "", "not UTF-8": secret + "\xff", "NUL": secret + "\x00", "a surrogate": secret + "\xed\xa0\x80"}
	floor := int64(0)
	event := kv.Event{ID: "e", At: s.clock.Now()}
	commit := func(writes ...kv.Write) func() error {
		return func() error { return s.Commit(t.Context(), s.partition, s.op(), writes...) }
	}
	tally := func(segment string, e kv.Event, deltas ...kv.Delta) func() error {
		return func() error {
			_, err := s.Tally(t.Context(), s.partition, segment, e, deltas...)
			return err
		}
	}
	calls := map[string]func() error{
		"no writes":                commit(),
		"a nil write":              commit(nil, put(secret, secret, kv.Absent())),
		"an unconditional put":     commit(put(secret, secret, kv.Cond{})),
		"an unconditional delete":  commit(kv.Delete{Key: "k"}),
		"a delete of the absent":   commit(kv.Delete{Key: secret, If: kv.Absent()}),
		"an unconditional add":     commit(kv.Add{Key: "k", Deltas: []kv.Delta{by("n", 1)}}),
		"an add beside a check":    commit(kv.Add{Key: "n", Deltas: []kv.Delta{by("n", 1)}}, kv.Check{Key: "k", If: kv.Rev(rev)}),
		"a check alone":            commit(kv.Check{Key: "k", If: kv.Rev(rev)}),
		"an unconditional check":   commit(kv.Check{Key: "k"}, put(secret, "", kv.Absent())),
		"a settle alone":           commit(kv.Settle{Segment: "s", Rev: "1"}),
		"a settle at no revision":  commit(kv.Settle{Segment: "s"}, put(secret, "", kv.Absent())),
		"a key twice":              commit(put(secret, "", kv.Absent()), kv.Check{Key: secret, If: kv.Absent()}),
		"an add of nothing":        commit(kv.Add{Key: secret, If: kv.Absent()}),
		"a counter twice":          commit(kv.Add{Key: secret, Deltas: []kv.Delta{by(secret, 1), by(secret, 1)}, If: kv.Absent()}),
		"an expiry too late":       commit(kv.Put{Key: secret, Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), If: kv.Absent()}),
		"an expiry too early":      commit(kv.Put{Key: secret, Expires: time.Unix(-1, 0), If: kv.Absent()}),
		"a tally of nothing":       tally("s", event),
		"a tally with a floor":     tally("s", event, kv.Delta{Counter: "n", By: 1, Floor: &floor}),
		"a tally's counter twice":  tally("s", event, by(secret, 1), by(secret, 1)),
		"a page of negative items": func() error { _, err := s.List(t.Context(), s.partition, kv.Range{Limit: -1}); return err },
		"a page of no segments":    func() error { _, err := s.Store.Open(t.Context(), s.partition, "", 0); return err },
	}
	for what, name := range bad {
		calls["partition "+what] = func() error { _, err := s.Get(t.Context(), name, "k"); return err }
		calls["partition of a list "+what] = func() error { _, err := s.List(t.Context(), name, kv.Range{}); return err }
		calls["partition of a commit "+what] = func() error { return s.Commit(t.Context(), name, "op", put("k", "", kv.Absent())) }
		calls["partition of a tally "+what] = func() error { _, err := s.Tally(t.Context(), name, "s", event, by("n", 1)); return err }
		calls["partition of segments "+what] = func() error { _, err := s.Store.Open(t.Context(), name, "", 1); return err }
		calls["key "+what] = func() error { _, err := s.Get(t.Context(), s.partition, name); return err }
		calls["op "+what] = func() error { return s.Commit(t.Context(), s.partition, name, put("k", "", kv.Absent())) }
		calls["key of a put "+what] = commit(put(name, secret, kv.Absent()))
		calls["key of a delete "+what] = commit(kv.Delete{Key: name, If: kv.Rev(rev)})
		calls["key of an add "+what] = commit(kv.Add{Key: name, Deltas: []kv.Delta{by("n", 1)}, If: kv.Absent()})
		calls["key of a check "+what] = commit(kv.Check{Key: name, If: kv.Absent()}, put(secret, "", kv.Absent()))
		calls["segment of a settle "+what] = commit(kv.Settle{Segment: name, Rev: "1"}, put(secret, "", kv.Absent()))
		calls["counter "+what] = commit(kv.Add{Key: secret, Deltas: []kv.Delta{by(name, 1)}, If: kv.Absent()})
		calls["segment "+what] = tally(name, event, by("n", 1))
		calls["event "+what] = tally("s", kv.Event{ID: name, At: event.At}, by("n", 1))
		calls["tally's counter "+what] = tally("s", event, by(name, 1))
		if name != "" {
			calls["prefix "+what] = func() error { _, err := s.List(t.Context(), s.partition, kv.Range{Prefix: name}); return err }
			calls["after "+what] = func() error { _, err := s.List(t.Context(), s.partition, kv.Range{After: name}); return err }
			calls["after a segment "+what] = func() error { _, err := s.Store.Open(t.Context(), s.partition, name, 1); return err }
			calls["revision "+what] = commit(put("k", "", kv.Rev(name)))
		}
	}
	for what, call := range calls {
		err := call()
		if !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("%s: %v, want %v", what, err, kv.ErrInvalid)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %q repeats what it was given", what, err)
		}
	}
	if got := keys(s.list(kv.Range{})); !slices.Equal(got, []string{"k"}) || len(s.open()) != 0 {
		t.Errorf("refused calls left %q and %d segments", got, len(s.open()))
	}
	s.value("k", "v", rev)
}

func testCancelled(t *testing.T, s *suite) {
	s.commit(put("k", "v", kv.Absent()))
	s.tally(kv.Counted, "segment", "e1", by("n", 1))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, stop := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer stop()
	op := s.op()
	for _, c := range []struct {
		ctx  context.Context
		want error
	}{{cancelled, context.Canceled}, {late, context.DeadlineExceeded}} {
		for what, call := range map[string]func() error{
			"get":    func() error { _, err := s.Get(c.ctx, s.partition, "k"); return err },
			"list":   func() error { _, err := s.List(c.ctx, s.partition, kv.Range{}); return err },
			"open":   func() error { _, err := s.Store.Open(c.ctx, s.partition, "", 1); return err },
			"commit": func() error { return s.Commit(c.ctx, s.partition, op, put("new", "v", kv.Absent())) },
			"tally": func() error {
				_, err := s.Tally(c.ctx, s.partition, "segment", kv.Event{ID: "e2", At: s.clock.Now()}, by("n", 1))
				return err
			},
		} {
			if err := call(); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", what, err, c.want)
			}
		}
	}
	// Whatever became of it, the repeat says that it is done, once.
	s.must(s.Commit(t.Context(), s.partition, op, put("new", "v", kv.Absent())))
	s.value("new", "v", op)
}

func testClosed(t *testing.T, s *suite) {
	s.commit(put("k", "v", kv.Absent()))
	s.must(s.Close())
	for what, call := range map[string]func() error{
		"get":    func() error { _, err := s.Get(t.Context(), s.partition, "k"); return err },
		"list":   func() error { _, err := s.List(t.Context(), s.partition, kv.Range{}); return err },
		"open":   func() error { _, err := s.Store.Open(t.Context(), s.partition, "", 1); return err },
		"commit": func() error { return s.Commit(t.Context(), s.partition, s.op(), put("new", "v", kv.Absent())) },
		"tally": func() error {
			_, err := s.Tally(t.Context(), s.partition, "segment", kv.Event{ID: "e", At: s.clock.Now()}, by("n", 1))
			return err
		},
	} {
		if err := call(); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("%s on a closed store: %v, want %v", what, err, kv.ErrUnavailable)
		}
	}
}

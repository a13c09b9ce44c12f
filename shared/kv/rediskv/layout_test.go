package rediskv

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// lifetimes returns what Redis will delete by itself after how long, and what it
// will not (-1), by the last part of the key.
func lifetimes(t *testing.T, s *Store, partition string) map[string]time.Duration {
	t.Helper()
	prefix := keysOf(partition).prefix
	names, err := s.client.Keys(t.Context(), prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]time.Duration{}
	for _, name := range names {
		ttl, err := s.client.TTL(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(name, prefix)] = ttl
	}
	return out
}

// TestNothingStays looks at what Redis is told to delete by itself: all that is
// left of a partition which nobody comes back to, and never what still lives.
func TestNothingStays(t *testing.T) {
	server := redistest.Start(t)
	now := time.Now()
	s := openFor(t, "redis://"+server.Addr, Options{Now: func() time.Time { return now }})
	commit := func(op string, writes ...kv.Write) {
		t.Helper()
		if err := s.Commit(t.Context(), "p", op, writes...); err != nil {
			t.Fatal(err)
		}
	}
	tally := func(event string) {
		t.Helper()
		if o, err := s.Tally(t.Context(), "p", "s", kv.Event{ID: event, At: now}, one); err != nil || o != kv.Counted {
			t.Fatal(o, err)
		}
	}
	// check requires lifetimes, give or take the seconds that the test takes.
	const ever = -1
	check := func(when string, want map[string]time.Duration) {
		t.Helper()
		got := lifetimes(t, s, "p")
		for key, ttl := range got {
			if w, ok := want[key]; !ok || (w == ever) != (ttl == ever) || (ttl-w).Abs() > time.Minute {
				t.Errorf("%s: %s lives %v, want %v", when, key, ttl, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d keys, want %d", when, len(got), len(want))
		}
	}
	const hour, kept = time.Hour, kv.TombstoneLife + slack
	commit("1", kv.Put{Key: "a", If: kv.Absent(), Expires: now.Add(3 * hour)}, kv.Put{Key: "b", If: kv.Absent(), Expires: now.Add(7 * hour)})
	check("all expires", map[string]time.Duration{
		"i:a": 3*hour + kept, "i:b": 7*hour + kept, "index": 7*hour + kept, "expiries": 7*hour + kept,
	})
	commit("2", put("c", ""))
	check("one stays", map[string]time.Duration{
		"i:a": 3*hour + kept, "i:b": 7*hour + kept, "i:c": ever, "index": ever, "expiries": ever,
	})
	commit("3", kv.Put{Key: "a", If: kv.Rev("1")}, kv.Put{Key: "c", If: kv.Rev("2"), Expires: now.Add(hour)})
	check("another stays", map[string]time.Duration{
		"i:a": ever, "i:b": 7*hour + kept, "i:c": hour + kept, "index": ever, "expiries": ever,
	})
	commit("4", kv.Delete{Key: "a", If: kv.Rev("3")}, kv.Delete{Key: "b", If: kv.Rev("1")})
	check("deleted", map[string]time.Duration{
		"i:a": kept, "i:b": kept, "i:c": hour + kept, "index": hour + kept, "expiries": hour + kept,
	})
	commit("5", kv.Delete{Key: "c", If: kv.Rev("3")})
	check("all deleted", map[string]time.Duration{"i:a": kept, "i:b": kept, "i:c": kept})

	tally("x")
	check("open", map[string]time.Duration{"i:a": kept, "i:b": kept, "i:c": kept, "s:s": ever, "open": ever})
	segments, err := s.Open(t.Context(), "p", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	commit("6", put("a", ""), kv.Settle{Segment: "s", Rev: segments[0].Rev})
	commit("7", kv.Delete{Key: "a", If: kv.Rev("6")})
	check("settled", map[string]time.Duration{
		"i:a": kept, "i:b": kept, "i:c": kept, "s:s": kv.Horizon + kv.HorizonSlack + slack,
	})
	tally("y")
	check("opened again", map[string]time.Duration{"i:a": kept, "i:b": kept, "i:c": kept, "s:s": ever, "open": ever})
}

// TestPurge lets many items expire and requires that a few commits clear the
// index of them, while one of the names is used anew.
func TestPurge(t *testing.T) {
	server := redistest.Start(t)
	now := time.Now().Truncate(time.Second)
	s := openFor(t, "redis://"+server.Addr, Options{Now: func() time.Time { return now }})
	commit := func(op string, writes ...kv.Write) {
		t.Helper()
		if err := s.Commit(t.Context(), "p", op, writes...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		var writes []kv.Write
		for j := range 10 {
			writes = append(writes, kv.Put{Key: fmt.Sprintf("%d%d", i, j), If: kv.Absent(), Expires: now.Add(time.Minute)})
		}
		commit(fmt.Sprint("made-", i), writes...)
	}
	now = now.Add(time.Minute + kv.TombstoneLife)
	commit("again", put("00", "stays"))
	for i := range 24 {
		commit(fmt.Sprint("later-", i), put(fmt.Sprint("later-", i), ""))
	}
	for key, want := range map[string]int64{keysOf("p").index(): 25, keysOf("p").expiries(): 0} {
		if n, err := s.client.ZCard(t.Context(), key).Result(); err != nil || n != want {
			t.Errorf("%s has %d entries, want %d: %v", key, n, want, err)
		}
	}
	if i, err := s.Get(t.Context(), "p", "00"); err != nil || string(i.Value) != "stays" {
		t.Errorf("%+v, %v", i, err)
	}
	page, err := s.List(t.Context(), "p", kv.Range{Limit: 1})
	if err != nil || len(page.Items) != 1 || page.Items[0].Key != "00" {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestLongExpired puts an item that expired long ago. Its op is remembered all
// the same, and with it what the commit did beside.
func TestLongExpired(t *testing.T) {
	server := redistest.Start(t)
	s := openFor(t, "redis://"+server.Addr, Options{})
	writes := []kv.Write{
		kv.Put{Key: "k", If: kv.Absent(), Expires: time.Unix(1, 0)},
		kv.Add{Key: "n", Deltas: []kv.Delta{one}},
	}
	for range 2 {
		if err := s.Commit(t.Context(), "p", "op", writes...); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := s.Get(t.Context(), "p", "n"); err != nil || i.Counters["n"] != 1 {
		t.Fatalf("%+v, %v", i, err)
	}
	if _, err := s.Get(t.Context(), "p", "k"); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("%v, want %v", err, kv.ErrNotFound)
	}
}

// TestLargestCommit adds to as many counters as one commit can hold.
func TestLargestCommit(t *testing.T) {
	server := redistest.Start(t)
	s := openFor(t, "redis://"+server.Addr, Options{})
	deltas := make([]kv.Delta, kv.MaxCounters)
	for i := range deltas {
		deltas[i] = kv.Delta{Counter: strconv.Itoa(i), By: int64(i)}
	}
	var writes []kv.Write
	for i := range kv.MaxWrites {
		writes = append(writes, kv.Add{Key: fmt.Sprint(i), Deltas: deltas, If: kv.Absent()})
	}
	if err := s.Commit(t.Context(), "p", "op", writes...); err != nil {
		t.Fatal(err)
	}
	i, err := s.Get(t.Context(), "p", fmt.Sprint(kv.MaxWrites-1))
	if err != nil || len(i.Counters) != kv.MaxCounters || i.Counters["511"] != 511 {
		t.Fatalf("%d counters, %v", len(i.Counters), err)
	}
}

// TestDamaged reads hashes that are not what was written.
func TestDamaged(t *testing.T) {
	server := redistest.Start(t)
	s := openFor(t, "redis://"+server.Addr, Options{})
	in := keysOf("p")
	for name, err := range map[string]error{
		"expiry":  s.client.HSet(t.Context(), in.item("expiry"), "o", "op", "x", "soon").Err(),
		"counter": s.client.HSet(t.Context(), in.item("counter"), "o", "op", "cn", "many").Err(),
		"segment": s.client.HSet(t.Context(), in.segment("segment"), "n", "x", "t", "y").Err(),
		"open":    s.client.ZAdd(t.Context(), in.open(), redis.Z{Member: "segment"}).Err(),
		"kind":    s.client.Set(t.Context(), in.item("kind"), "a string", 0).Err(),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, key := range []string{"expiry", "counter", "kind"} {
		if _, err := s.Get(t.Context(), "p", key); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("get %s: %v, want %v", key, err, kv.ErrUnavailable)
		}
	}
	if _, err := s.Open(t.Context(), "p", "", 1); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("open: %v, want %v", err, kv.ErrUnavailable)
	}
	// A write that meets such a thing writes nothing.
	if err := s.Commit(t.Context(), "p", "op", put("a", ""), put("kind", "")); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("commit: %v, want %v", err, kv.ErrUnavailable)
	}
	if _, err := s.Get(t.Context(), "p", "a"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("a failed commit wrote: %v", err)
	}
}

// TestBounds compares the bounds that a script checks a counter by with
// arithmetic that cannot overflow.
func TestBounds(t *testing.T) {
	edges := []int64{
		math.MinInt64, math.MinInt64 + 1, math.MinInt64 / 2, -1 << 53, -10, -9, -1, 0, 1, 9, 10, 1 << 53, math.MaxInt64 / 2, math.MaxInt64 - 1, math.MaxInt64,
	}
	for _, by := range edges {
		for _, floor := range append(edges, 7) {
			d := kv.Delta{By: by, Floor: &floor}
			if floor == 7 {
				d.Floor = nil
			}
			lowest, highest := bounds(d)
			for _, was := range edges {
				sum := new(big.Int).Add(big.NewInt(was), big.NewInt(by))
				want := sum.IsInt64() && (d.Floor == nil || sum.Int64() >= floor)
				if got := within(was, lowest, highest); got != want {
					t.Errorf("%d + %d, floor %d: %v, want %v (bounds %q, %q)", was, by, floor, got, want, lowest, highest)
				}
			}
		}
	}
}

func within(n int64, lowest, highest string) bool {
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	if lowest != "" {
		low, _ = strconv.ParseInt(lowest, 10, 64)
	}
	if highest != "" {
		high, _ = strconv.ParseInt(highest, 10, 64)
	}
	return low <= n && n <= high
}

// TestCompare compares numbers as the scripts do.
func TestCompare(t *testing.T) {
	server := redistest.Start(t)
	s := openFor(t, "redis://"+server.Addr, Options{})
	numbers := []int64{0, 1, -1, 9, 10, -9, -10, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, math.MinInt64 + 1}
	for range 40 {
		numbers = append(numbers, int64(rand.Uint64())>>rand.IntN(64))
	}
	args := make([]any, len(numbers))
	for i, n := range numbers {
		args[i] = n
	}
	const all = `
local MAX_COUNTERS = 0
local out = {}
for _, a in ipairs(ARGV) do
  for _, b in ipairs(ARGV) do out[#out + 1] = below(a, b) and 1 or 0 end
end
return out`
	got, err := s.client.Eval(t.Context(), countersLua+all, nil, args...).BoolSlice()
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range numbers {
		for j, b := range numbers {
			if got[i*len(numbers)+j] != (a < b) {
				t.Errorf("%d < %d is %v to a script", a, b, a >= b)
			}
		}
	}
}

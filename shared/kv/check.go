package kv

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// The checks below are made once, here, for every engine: an engine calls the
// one for its method before anything else. Each returns nil or an ErrInvalid
// whose sentence names the limit and never what the caller passed.

// lastExpiry is the end of the year 9999, the last second every engine and
// every JSON reader agrees on.
const lastExpiry = 253402300799

// CheckKey checks the arguments of [Store.Get].
func CheckKey(partition, key string) error {
	if err := checkPartition(partition); err != nil {
		return err
	}
	return checkName("key", key, MaxKey)
}

// CheckRange checks the arguments of [Store.List] and returns the range with
// its default limit filled in.
func CheckRange(partition string, r Range) (Range, error) {
	if err := checkPartition(partition); err != nil {
		return r, err
	}
	if r.Prefix != "" {
		if err := checkName("prefix", r.Prefix, MaxKey); err != nil {
			return r, err
		}
	}
	if err := checkAfter(r.After); err != nil {
		return r, err
	}
	if r.Limit == 0 {
		r.Limit = 100
	}
	return r, checkLimit(r.Limit)
}

// CheckOpen checks the arguments of [Store.Open].
func CheckOpen(partition, after string, limit int) error {
	if err := checkPartition(partition); err != nil {
		return err
	}
	if err := checkAfter(after); err != nil {
		return err
	}
	return checkLimit(limit)
}

// CheckTally checks the arguments of [Store.Tally]. now is the store's clock.
func CheckTally(partition, segment string, e Event, deltas []Delta, now time.Time) error {
	if err := checkPartition(partition); err != nil {
		return err
	}
	if err := checkName("segment", segment, MaxKey); err != nil {
		return err
	}
	if err := checkName("event id", e.ID, MaxEvent); err != nil {
		return err
	}
	if e.Limit < 0 || e.Limit > MaxSeen {
		return invalid("a limit of %d events (at most %d)", e.Limit, MaxSeen)
	}
	if e.At.Sub(now) > HorizonSlack/2 {
		return invalid("the event is from too far in the future (at most %v ahead)", HorizonSlack/2)
	}
	if _, err := checkDeltas(deltas); err != nil {
		return err
	}
	for _, d := range deltas {
		if d.Floor != nil {
			return invalid("a tally takes no floor")
		}
	}
	return nil
}

// CheckCommit checks the arguments of [Store.Commit].
func CheckCommit(partition, op string, writes []Write) error {
	if err := checkPartition(partition); err != nil {
		return err
	}
	if err := checkName("op", op, MaxOp); err != nil {
		return err
	}
	if len(writes) > MaxWrites {
		return invalid("%d writes in one commit (at most %d)", len(writes), MaxWrites)
	}
	var (
		size     int
		anchored bool // a repeat will be recognised
		keys     = make(map[string]bool, len(writes))
		segments = map[string]bool{}
	)
	for i, w := range writes {
		n, anchor, err := checkWrite(w)
		if err != nil {
			return fmt.Errorf("%w (write %d)", err, i)
		}
		names, name := keys, ""
		switch w := w.(type) {
		case Put:
			name = w.Key
		case Delete:
			name = w.Key
		case Add:
			name = w.Key
		case Check:
			name = w.Key
		case Settle:
			names, name = segments, w.Segment
		}
		if names[name] {
			return invalid("a key occurs twice in one commit (write %d)", i)
		}
		names[name] = true
		size += n + len(name)
		anchored = anchored || anchor
	}
	if !anchored {
		return invalid("a commit needs a Put, a Delete or an Add with a condition")
	}
	if size > MaxCommit {
		return invalid("commit of %d bytes (at most %d)", size, MaxCommit)
	}
	return nil
}

// checkWrite returns how many bytes w adds to a commit besides its key, and
// whether it is a conditional write that leaves its op behind.
func checkWrite(w Write) (size int, anchor bool, err error) {
	switch w := w.(type) {
	case Put:
		if err := checkName("key", w.Key, MaxKey); err != nil {
			return 0, false, err
		}
		if len(w.Value) > MaxValue {
			return 0, false, invalid("value of %d bytes (at most %d)", len(w.Value), MaxValue)
		}
		if w.If.IsZero() {
			return 0, false, invalid("a Put needs a condition")
		}
		if err := checkExpiry(w.Expires); err != nil {
			return 0, false, err
		}
		return len(w.Value), true, checkCond(w.If)
	case Delete:
		if err := checkName("key", w.Key, MaxKey); err != nil {
			return 0, false, err
		}
		if w.If.WantedRev() == "" {
			return 0, false, invalid("a Delete needs the revision it deletes")
		}
		return 0, true, checkCond(w.If)
	case Add:
		if err := checkName("key", w.Key, MaxKey); err != nil {
			return 0, false, err
		}
		size, err := checkDeltas(w.Deltas)
		if err != nil {
			return 0, false, err
		}
		if err := checkExpiry(w.Expires); err != nil {
			return 0, false, err
		}
		return size, !w.If.IsZero(), checkCond(w.If)
	case Check:
		if err := checkName("key", w.Key, MaxKey); err != nil {
			return 0, false, err
		}
		if w.If.IsZero() {
			return 0, false, invalid("a Check needs a condition")
		}
		return 0, false, checkCond(w.If)
	case Settle:
		if err := checkName("segment", w.Segment, MaxKey); err != nil {
			return 0, false, err
		}
		if w.Rev == "" {
			return 0, false, invalid("a Settle needs the segment's revision")
		}
		return 0, false, nil
	default:
		return 0, false, invalid("a write is of no known kind")
	}
}

// UnixExpiry returns t in whole Unix seconds, rounded up, and 0 for the zero
// time, which is how engines store an expiry. An item is live while the clock
// is before that second.
func UnixExpiry(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
}

// Sum adds two counters; ok is false when the result would leave int64.
func Sum(a, b int64) (sum int64, ok bool) {
	if (b > 0 && a > math.MaxInt64-b) || (b < 0 && a < math.MinInt64-b) {
		return 0, false
	}
	return a + b, true
}

func checkPartition(name string) error { return checkName("partition", name, MaxPartition) }

func checkName(what, name string, limit int) error {
	switch {
	case name == "":
		return invalid("%s is empty", what)
	case len(name) > limit:
		return invalid("%s of %d bytes (at most %d)", what, len(name), limit)
	case !utf8.ValidString(name):
		return invalid("%s is not UTF-8", what)
	case strings.IndexByte(name, 0) >= 0:
		return invalid("%s holds a NUL", what)
	}
	return nil
}

func checkAfter(after string) error {
	if after == "" {
		return nil
	}
	return checkName("start of the page", after, MaxKey)
}

func checkLimit(limit int) error {
	if limit < 1 || limit > MaxPage {
		return invalid("page of %d (1 to %d)", limit, MaxPage)
	}
	return nil
}

func checkCond(c Cond) error {
	if c.WantedRev() == "" {
		return nil
	}
	return checkName("revision", c.WantedRev(), MaxOp)
}

func checkDeltas(deltas []Delta) (size int, err error) {
	if len(deltas) == 0 {
		return 0, invalid("no counter to add to")
	}
	if len(deltas) > MaxCounters {
		return 0, invalid("%d counters (at most %d)", len(deltas), MaxCounters)
	}
	seen := make(map[string]bool, len(deltas))
	for _, d := range deltas {
		if err := checkName("counter", d.Counter, MaxCounter); err != nil {
			return 0, err
		}
		if seen[d.Counter] {
			return 0, invalid("a counter occurs twice")
		}
		seen[d.Counter] = true
		size += len(d.Counter)
	}
	return size, nil
}

func checkExpiry(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	if s := t.Unix(); s < 1 || s >= lastExpiry {
		return invalid("expiry outside the years 1970 to 9999")
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

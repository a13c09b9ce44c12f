package kv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"
)

// FoldMarker is the key of the item that [Fold] rewrites with every Commit. The item is
// empty; its revision tells readers that counts have moved. Only Fold may write it.
const FoldMarker = "kv/fold"

// How often Fold and Totals try before they give up.
const (
	foldTries   = 8  // commits in a row that moved nothing
	totalsTries = 10 // readings in a row that a fold disturbed
	retryPause  = 5 * time.Millisecond
)

// FoldOptions says what to fold and where to. Both functions are required.
type FoldOptions struct {
	// Closed reports that no more events are expected in a segment: a later
	// one has been named, or it was touched long enough ago. It may be wrong:
	// a late event opens the segment again and the next fold takes it.
	Closed func(Segment) bool
	// Into names the item of a counter's total, the same item for ever. A total's item
	// has to stay below MaxCounters counters, and on DynamoDB a fold pays two write
	// units per KB of every item it touches: spread many counters over items of a few
	// dozen, by a hash of the counter's name.
	Into func(counter string) (key string)
}

// Fold moves the counts of closed segments into totals and returns how many
// segments it settled. It takes as many segments into one Commit as fit, and
// goes on until it has seen every open segment or ctx ends; the more segments
// are closed by the time it runs, the less a segment costs.
//
// Each Commit adds to the totals, settles the segments at the revisions that were read,
// and rewrites [FoldMarker] at the revision that was read before them. So concurrent
// folds cannot move the same count twice, and a fold that crashes has moved each
// segment either completely or not at all. After a lost response, Fold retries a Commit
// with its op.
//
// ErrConflict means that others kept changing the segments, ErrRange that a total would
// leave int64, ErrInvalid that one segment's counters go into more items than fit one
// Commit or that a total's item is full. Segments that were folded before the error
// stay folded, and the result counts them.
func Fold(ctx context.Context, s Store, partition string, o FoldOptions) (folded int, err error) {
	after := "" // all segments up to here have been looked at
	for tries := 0; ; {
		b, err := gather(ctx, s, partition, after, o)
		if err != nil {
			return folded, err
		}
		if len(b.settles) == 0 {
			return folded, nil
		}
		err = settle(ctx, s, partition, b)
		switch {
		case err == nil:
			folded += len(b.settles)
			after, tries = b.last, 0
			if b.end {
				return folded, nil
			}
			continue
		case !errors.Is(err, ErrConflict):
			return folded, err
		}
		// A late event or another fold was faster: read again.
		if tries++; tries == foldTries {
			return folded, fmt.Errorf("folding: others kept changing the segments: %w", err)
		}
		if err := retry.Sleep(ctx, pause(tries)); err != nil {
			return folded, err
		}
	}
}

// batch is what one Commit folds.
type batch struct {
	marker  Put
	totals  map[string]map[string]int64 // item -> counter -> sum
	settles []Settle
	size    int    // bytes of keys and counter names
	last    string // name of the last segment looked at
	end     bool   // there are no further ones
}

// gather reads the marker and then, from after on, as many closed segments as
// one Commit takes.
func gather(ctx context.Context, s Store, partition, after string, o FoldOptions) (batch, error) {
	b := batch{marker: Put{Key: FoldMarker}, totals: map[string]map[string]int64{}, last: after}
	rev, err := markerRev(ctx, s, partition)
	if err != nil {
		return b, err
	}
	if b.marker.If = Absent(); rev != "" {
		b.marker.If = Rev(rev)
	}
	for {
		segments, err := s.Open(ctx, partition, b.last, MaxWrites)
		if err != nil {
			return b, err
		}
		for _, g := range segments {
			if o.Closed(g) {
				fits, err := b.take(g, o.Into)
				if err != nil {
					return b, err
				}
				if !fits {
					return b, nil
				}
			}
			b.last = g.Name
		}
		if len(segments) == 0 {
			b.end = true
			return b, nil
		}
	}
}

// take adds a segment to the batch, unless the Commit would be too large or a
// sum leave int64. A segment alone always fits or is an error.
func (b *batch) take(g Segment, into func(string) string) (fits bool, err error) {
	type sum struct {
		key, counter string
		total        int64
	}
	sums := make([]sum, 0, len(g.Counters))
	items := map[string]int{} // counters that g brings anew, by item
	size := len(g.Name)
	for counter, n := range g.Counters {
		if n == 0 {
			continue
		}
		key := into(counter)
		was, known := b.totals[key][counter]
		if !known {
			items[key]++
			size += len(counter)
		}
		total, ok := Sum(was, n)
		if !ok {
			return false, nil
		}
		sums = append(sums, sum{key, counter, total})
	}
	writes := 1 + len(b.totals) + len(b.settles) + 1
	full := false
	for key, n := range items {
		if b.totals[key] == nil {
			writes++
			size += len(key)
		}
		full = full || len(b.totals[key])+n > MaxCounters
	}
	if full || writes > MaxWrites || b.size+size > MaxCommit-len(FoldMarker) {
		if len(b.settles) == 0 {
			return false, invalid("the counters of one segment go into too many items (at most %d)", MaxWrites-2)
		}
		return false, nil
	}
	for _, s := range sums {
		if b.totals[s.key] == nil {
			b.totals[s.key] = map[string]int64{}
		}
		b.totals[s.key][s.counter] = s.total
	}
	b.settles = append(b.settles, Settle{Segment: g.Name, Rev: g.Rev})
	b.size += size
	return true, nil
}

// settle commits a batch, repeating it as long as the outcome is unknown.
func settle(ctx context.Context, s Store, partition string, b batch) error {
	writes := []Write{b.marker}
	for _, key := range slices.Sorted(maps.Keys(b.totals)) {
		add := Add{Key: key}
		for _, counter := range slices.Sorted(maps.Keys(b.totals[key])) {
			add.Deltas = append(add.Deltas, Delta{Counter: counter, By: b.totals[key][counter]})
		}
		writes = append(writes, add)
	}
	for _, w := range b.settles {
		writes = append(writes, w)
	}
	return commit(ctx, s, partition, NewOp("fold"), writes)
}

// commit repeats a Commit under its op as long as the outcome is unknown.
func commit(ctx context.Context, s Store, partition, op string, writes []Write) error {
	for tries := 1; ; tries++ {
		err := s.Commit(ctx, partition, op, writes...)
		if !errors.Is(err, ErrUnavailable) || tries == foldTries {
			return err
		}
		if retry.Sleep(ctx, pause(tries)) != nil {
			return err
		}
	}
}

// Totals returns every counter's exact sum: of the items under the prefixes, and of
// open segments. Without a prefix it takes all items of the partition. It sees every
// event acknowledged before the call, and reads with [Steady]. ErrRange means that a
// sum leaves int64, if only on the way.
func Totals(ctx context.Context, s Store, partition string, prefixes ...string) (map[string]int64, error) {
	if len(prefixes) == 0 {
		prefixes = []string{""}
	}
	var sums map[string]int64
	err := Steady(ctx, s, partition, func() (err error) {
		sums, err = readTotals(ctx, s, partition, prefixes)
		return err
	})
	return sums, err
}

// Steady runs read, which reads totals and open segments of a partition, and runs it
// again if a fold moved counts between the two meanwhile, so that the last run saw each
// count exactly once. After ten runs Steady gives up with ErrConflict. An error of read
// other than ErrRange ends Steady at once.
func Steady(ctx context.Context, s Store, partition string, read func() error) error {
	before, err := markerRev(ctx, s, partition)
	if err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		readErr := read()
		if readErr != nil && !errors.Is(readErr, ErrRange) {
			return readErr
		}
		now, err := markerRev(ctx, s, partition)
		if err != nil {
			return err
		}
		if now == before {
			return readErr
		}
		if tries == totalsTries {
			return fmt.Errorf("totals: folds kept moving the counts: %w", ErrConflict)
		}
		before = now
		if err := retry.Sleep(ctx, pause(tries)); err != nil {
			return err
		}
	}
}

func readTotals(ctx context.Context, s Store, partition string, prefixes []string) (map[string]int64, error) {
	sums := map[string]int64{}
	add := func(counters map[string]int64) error {
		for counter, n := range counters {
			sum, ok := Sum(sums[counter], n)
			if !ok {
				return fmt.Errorf("totals: %w", ErrRange)
			}
			sums[counter] = sum
		}
		return nil
	}
	for i, prefix := range prefixes {
		// An item under two of the prefixes counts once.
		if slices.ContainsFunc(prefixes[:i], func(p string) bool { return strings.HasPrefix(prefix, p) }) {
			continue
		}
		for r := (Range{Prefix: prefix, Limit: MaxPage}); ; {
			page, err := s.List(ctx, partition, r)
			if err != nil {
				return nil, err
			}
			for _, item := range page.Items {
				covered := slices.ContainsFunc(prefixes[:i], func(p string) bool { return strings.HasPrefix(item.Key, p) })
				if covered {
					continue
				}
				if err := add(item.Counters); err != nil {
					return nil, err
				}
			}
			if page.Next == "" {
				break
			}
			r.After = page.Next
		}
	}
	err := EachOpen(ctx, s, partition, func(g Segment) error { return add(g.Counters) })
	if err != nil {
		return nil, err
	}
	return sums, nil
}

// EachOpen calls f with every open segment of a partition, in order of name, until f
// returns an error, which EachOpen then returns.
func EachOpen(ctx context.Context, s Store, partition string, f func(Segment) error) error {
	for after := ""; ; {
		segments, err := s.Open(ctx, partition, after, MaxPage)
		if err != nil || len(segments) == 0 {
			return err
		}
		for _, g := range segments {
			if err := f(g); err != nil {
				return err
			}
		}
		after = segments[len(segments)-1].Name
	}
}

// markerRev returns the revision of the marker, "" before the first fold.
func markerRev(ctx context.Context, s Store, partition string) (string, error) {
	marker, err := s.Get(ctx, partition, FoldMarker)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	return marker.Rev, nil
}

// pause is how long to wait before the next try: up to twice as long as before
// the last one.
func pause(tries int) time.Duration { return mathrand.N(retryPause << min(tries, 5)) }

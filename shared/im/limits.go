package im

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"
)

// allowance is how much IM takes in any span of time (269/9346, 1047/34381).
type allowance struct {
	n    int
	span time.Duration
}

var (
	perAPI  = allowance{200, time.Second} // of each API, unless its page says otherwise
	slowAPI = allowance{100, time.Second}
)

// slack lengthens every span: calls that leave a span apart may arrive closer
// together.
const slack = 25 * time.Millisecond

// bucket is a rate limit: each token returns a span after it was taken, so that no
// span sees more taken than there are. Tokens may be reserved in advance; a call
// that waits for a busy group's limit does not delay calls that wait for the API's
// limit alone.
type bucket struct {
	tokens int
	span   time.Duration
	taken  []taking // not yet back, by time
	pause  time.Time
}

type taking struct {
	at time.Time
	n  int
}

// newBucket makes the bucket for a share of an allowance. A share below one
// token becomes one token in a longer span.
func newBucket(a allowance, share float64) *bucket {
	const rounding = 1e-9 // 0.29*100 is a little less than 29
	part := float64(a.n) * share
	b := &bucket{tokens: int(math.Floor(part + rounding)), span: a.span + slack}
	if b.tokens < 1 {
		b.tokens, b.span = 1, time.Duration(float64(a.span)/part)+slack
	}
	return b
}

// free returns the first time, not before at, when n tokens can be taken without
// too many in any span.
func (b *bucket) free(at time.Time, n int) time.Time {
	at = retry.Latest(at, b.pause)
	for {
		full, until := false, time.Time{}
		// The spans that at is in begin at the takings before it, or at itself.
		first, _ := slices.BinarySearchFunc(b.taken, at.Add(-b.span), func(t taking, after time.Time) int {
			return cmp.Or(t.at.Compare(after), -1)
		})
		end, out := first, 0
		for begin := first; begin < len(b.taken) && !b.taken[begin].at.After(at); begin++ {
			for ; end < len(b.taken) && b.taken[end].at.Before(b.taken[begin].at.Add(b.span)); end++ {
				out += b.taken[end].n
			}
			if out+n > b.tokens {
				full, until = true, b.taken[begin].at.Add(b.span)
			}
			out -= b.taken[begin].n
		}
		if full {
			at = until
			continue
		}
		next, _ := slices.BinarySearchFunc(b.taken, at, func(t taking, at time.Time) int { return cmp.Or(t.at.Compare(at), -1) })
		out = 0
		for i := next; i < len(b.taken) && b.taken[i].at.Before(at.Add(b.span)); i++ {
			out += b.taken[i].n
		}
		if out+n <= b.tokens {
			return at
		}
		at = b.taken[next].at.Add(b.span)
	}
}

// take takes tokens at a time that free gave, and forgets those that are back.
func (b *bucket) take(now, at time.Time, n int) {
	back := 0
	for back < len(b.taken) && !b.taken[back].at.Add(b.span).After(now) {
		back++
	}
	b.taken = b.taken[back:]
	i, same := b.find(at)
	if same {
		b.taken[i].n += n
		return
	}
	b.taken = slices.Insert(b.taken, i, taking{at, n})
}

// giveBack returns tokens taken in advance that are not needed.
func (b *bucket) giveBack(at time.Time, n int) {
	i, ok := b.find(at)
	if !ok {
		return
	}
	if b.taken[i].n -= n; b.taken[i].n <= 0 {
		b.taken = slices.Delete(b.taken, i, i+1)
	}
}

func (b *bucket) find(at time.Time) (i int, ok bool) {
	return slices.BinarySearchFunc(b.taken, at, func(t taking, at time.Time) int { return t.at.Compare(at) })
}

// idle reports whether the bucket is full and not paused.
func (b *bucket) idle(now time.Time) bool {
	last := len(b.taken) - 1
	return !b.pause.After(now) && (last < 0 || !b.taken[last].at.Add(b.span).After(now))
}

// limited names what a rate limit applies to: an API, or something within the app.
type limited struct{ kind, id string }

// turn asks a rate limit for n tokens.
type turn struct {
	of limited
	a  allowance
	n  int
}

// limits keeps the allowances of one client. What is not used any more is
// forgotten.
type limits struct {
	share float64
	now   func() time.Time
	sleep func(context.Context, time.Duration) error

	mu      sync.Mutex
	buckets map[limited]*bucket
	sweepAt int // as many buckets, and the idle ones go
}

// firstSweep is how many buckets are kept without looking for idle ones.
const firstSweep = 1024

func newLimits(share float64, now func() time.Time, sleep func(context.Context, time.Duration) error) *limits {
	return &limits{share: share, now: now, sleep: sleep, buckets: make(map[limited]*bucket), sweepAt: firstSweep}
}

// bucket returns what keeps an allowance. The caller holds the lock.
func (l *limits) bucket(of limited, a allowance, now time.Time) *bucket {
	b := l.buckets[of]
	if b != nil {
		return b
	}
	if len(l.buckets) >= l.sweepAt {
		for key, b := range l.buckets {
			if b.idle(now) {
				delete(l.buckets, key)
			}
		}
		l.sweepAt = max(firstSweep, 2*len(l.buckets))
	}
	b = newBucket(a, l.share)
	l.buckets[of] = b
	return b
}

// wait waits until all turns can be taken at the same time, at most so long. It
// returns a [*LimitError] at once if that is too short.
func (l *limits) wait(ctx context.Context, turns []turn, most time.Duration) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		buckets, at, wait := l.take(turns, most)
		switch {
		case wait > most:
			return &LimitError{wait}
		case wait <= 0:
			return nil
		}
		if err := l.sleep(ctx, wait); err != nil {
			l.giveBack(buckets, turns, at)
			return err
		}
		if !l.held(buckets) {
			return ctx.Err()
		}
		// IM has asked for a pause meanwhile. All who waited go on after it, but
		// not all at once.
		l.giveBack(buckets, turns, at)
		most -= wait
	}
}

// take takes the turns at the first time when all can be had, which is so long
// from now. If that is longer than most, it takes nothing.
func (l *limits) take(turns []turn, most time.Duration) (buckets []*bucket, at time.Time, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	buckets = make([]*bucket, len(turns))
	for i, t := range turns {
		buckets[i] = l.bucket(t.of, t.a, now)
	}
	at = now
	for settled := false; !settled; {
		settled = true
		for i, b := range buckets {
			if free := b.free(at, turns[i].n); free.After(at) {
				at, settled = free, false
			}
		}
	}
	if wait = at.Sub(now); wait > most {
		return nil, at, wait
	}
	for i, b := range buckets {
		b.take(now, at, turns[i].n)
	}
	return buckets, at, wait
}

// held reports whether IM has asked for a pause that is not over.
func (l *limits) held(buckets []*bucket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return slices.ContainsFunc(buckets, func(b *bucket) bool { return b.pause.After(now) })
}

func (l *limits) giveBack(buckets []*bucket, turns []turn, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, b := range buckets {
		b.giveBack(at, turns[i].n)
	}
}

// hold keeps everybody from an allowance for d, because IM said so.
func (l *limits) hold(t turn, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.bucket(t.of, t.a, now)
	b.pause = retry.Latest(b.pause, now.Add(d))
}

// most returns how many tokens of an allowance there can be at once.
func (l *limits) most(a allowance) int { return newBucket(a, l.share).tokens }

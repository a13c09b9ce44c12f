package im

import (
	"context"
	"math"
	"sync"
	"time"
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

// bucket holds tokens; each comes back a span after it was taken, so in no span
// are more taken than there are. They are given in the order they are asked for,
// in advance if need be.
type bucket struct {
	tokens int
	span   time.Duration
	taken  []taking // not yet back, by time
	out    int      // tokens in taken
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

// take takes n tokens and returns how long from now until they are there. If
// that is more than most, it takes nothing and ok is false.
func (b *bucket) take(now time.Time, n int, most time.Duration) (wait time.Duration, ok bool) {
	at := later(now, b.pause)
	if last := len(b.taken) - 1; last >= 0 {
		at = later(at, b.taken[last].at) // nobody overtakes
	}
	back, out := 0, b.out
	for ; back < len(b.taken); back++ {
		t := b.taken[back]
		if t.at.Add(b.span).After(at) {
			if out+n <= b.tokens {
				break
			}
			at = t.at.Add(b.span)
		}
		out -= t.n
	}
	if wait = at.Sub(now); wait > most {
		return wait, false
	}
	b.taken = append(b.taken[back:], taking{at, n})
	b.out = out + n
	return wait, true
}

// idle reports that the bucket is as good as new.
func (b *bucket) idle(now time.Time) bool {
	last := len(b.taken) - 1
	return !b.pause.After(now) && (last < 0 || !b.taken[last].at.Add(b.span).After(now))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// limited is what an allowance is kept for: an API, or something within the app.
type limited struct{ kind, id string }

// turn is a wish for n tokens of an allowance.
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

// wait waits for a turn, at most so long. It returns a [*LimitError] at once if
// that is too short. A caller who gives up while waiting leaves its turn unused.
func (l *limits) wait(ctx context.Context, t turn, most time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	now := l.now()
	b := l.bucket(t.of, t.a, now)
	wait, ok := b.take(now, min(t.n, b.tokens), most)
	l.mu.Unlock()
	if !ok {
		return &LimitError{wait}
	}
	for wait > 0 {
		if err := l.sleep(ctx, wait); err != nil {
			return err
		}
		most -= wait
		l.mu.Lock()
		wait = b.pause.Sub(l.now()) // it may have been held meanwhile
		l.mu.Unlock()
		if wait > most {
			return &LimitError{wait}
		}
	}
	return ctx.Err()
}

// hold keeps everybody from an allowance for d, because IM said so.
func (l *limits) hold(t turn, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.bucket(t.of, t.a, now)
	b.pause = later(b.pause, now.Add(d))
}

// most returns how many tokens of an allowance there can be at once.
func (l *limits) most(a allowance) int { return newBucket(a, l.share).tokens }

// sleep waits for d or for the end of the context, whichever comes first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package imtest

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Clock is the emulator's time: the wall clock, or a manual clock that moves only by
// Advance, so that a test need not wait for ten minutes to pass.
type Clock struct {
	manual bool

	mu     sync.Mutex
	skew   time.Duration // added to the wall clock
	now    time.Time     // of a manual clock
	timers timers
	made   int
}

// NewClock returns a clock that runs with the wall clock.
func NewClock() *Clock { return &Clock{} }

// NewManualClock returns a clock that stands at start until Advance moves it.
func NewManualClock(start time.Time) *Clock { return &Clock{manual: true, now: start} }

// Now returns the emulator's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Clock) nowLocked() time.Time {
	if c.manual {
		return c.now
	}
	return time.Now().Add(c.skew)
}

// Skew sets how far a running clock is ahead of the wall clock (or behind it,
// if negative): IM's time is not always yours.
func (c *Clock) Skew(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skew = d
}

func (c *Clock) skewed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew
}

// Advance moves a manual clock and runs everything that becomes due, in the order of
// time. It does nothing on a running clock.
func (c *Clock) Advance(d time.Duration) {
	if !c.manual {
		return
	}
	c.mu.Lock()
	end := c.now.Add(d)
	for len(c.timers) > 0 && !c.timers[0].at.After(end) {
		t := heap.Pop(&c.timers).(*timer)
		if t.at.After(c.now) {
			c.now = t.at
		}
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

// after runs f once d has passed: on a goroutine of its own on a running
// clock, within Advance on a manual one.
func (c *Clock) after(d time.Duration, f func()) {
	if !c.manual {
		time.AfterFunc(d, f)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	heap.Push(&c.timers, &timer{at: c.now.Add(d), order: c.made, f: f})
}

// sleep waits until d has passed or ctx ends.
func (c *Clock) sleep(ctx context.Context, d time.Duration) {
	over := make(chan struct{})
	c.after(d, func() { close(over) })
	select {
	case <-over:
	case <-ctx.Done():
	}
}

type timer struct {
	at    time.Time
	order int // of making, for timers of the same instant
	f     func()
}

type timers []*timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	if t[i].at.Equal(t[j].at) {
		return t[i].order < t[j].order
	}
	return t[i].at.Before(t[j].at)
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)   { *t = append(*t, x.(*timer)) }
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

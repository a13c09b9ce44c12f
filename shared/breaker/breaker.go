// Package breaker keeps callers from waiting for a service that is away: after
// some failures in a row nobody is let through for a while, then one to try it.
package breaker

import (
	"sync"
	"time"
)

// Breaker is safe for concurrent use. Each instance of a function has its own.
type Breaker struct {
	failures int           // in a row, that open it
	pause    time.Duration // until one is let through
	now      func() time.Time

	mu   sync.Mutex
	row  int
	shut time.Time // until then nobody is let through
}

// New returns a breaker that so many failures in a row open for a pause; now is
// nil for time.Now.
func New(failures int, pause time.Duration, now func() time.Time) *Breaker {
	if now == nil {
		now = time.Now
	}
	return &Breaker{failures: failures, pause: pause, now: now}
}

// Allow reports whether a call may be made. Whoever makes it says with Done how
// it went.
func (b *Breaker) Allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.row < b.failures {
		return true
	}
	now := b.now()
	if now.Before(b.shut) {
		return false
	}
	b.shut = now.Add(b.pause) // for all but this one
	return true
}

// Done says how a call went that Allow let through.
func (b *Breaker) Done(worked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if worked {
		b.row = 0
		return
	}
	b.row++
	b.shut = b.now().Add(b.pause)
}

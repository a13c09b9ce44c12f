// Package breaker is a circuit breaker: after some failures in a row it refuses calls
// for a while, then lets one call through as a trial.
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

// New returns a breaker that refuses calls for pause after failures calls have failed
// in a row. now may be nil for time.Now.
func New(failures int, pause time.Duration, now func() time.Time) *Breaker {
	if now == nil {
		now = time.Now
	}
	return &Breaker{failures: failures, pause: pause, now: now}
}

// Allow reports whether a call may be made. The caller must report the result of an
// allowed call with Done.
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

// Done reports the result of a call that Allow allowed.
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

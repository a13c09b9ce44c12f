package breaker_test

import (
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/breaker"
)

func TestBreaker(t *testing.T) {
	now := time.Unix(0, 0)
	b := breaker.New(3, 10*time.Second, func() time.Time { return now })
	call := func(worked bool) bool {
		if !b.Allow() {
			return false
		}
		b.Done(worked)
		return true
	}
	for i, step := range []struct {
		after       time.Duration
		worked, let bool
	}{
		{0, false, true},
		{0, false, true},
		{0, true, true}, // not in a row any more
		{0, false, true},
		{0, false, true},
		{0, false, true}, // the third
		{0, true, false},
		{9 * time.Second, true, false},
		{time.Second, false, true}, // one tries, in vain
		{9 * time.Second, true, false},
		{time.Second, true, true}, // and again
		{0, false, true},
		{0, true, true},
	} {
		now = now.Add(step.after)
		if let := call(step.worked); let != step.let {
			t.Errorf("step %d: let through %v, want %v", i+1, let, step.let)
		}
	}
}

// TestOneTries: while the first call after the pause is under way, all others
// stay out.
func TestOneTries(t *testing.T) {
	now := time.Unix(0, 0)
	b := breaker.New(1, time.Second, func() time.Time { return now })
	b.Allow()
	b.Done(false)
	now = now.Add(time.Second)
	if first, second := b.Allow(), b.Allow(); !first || second {
		t.Error("want exactly one let through")
	}
	b.Done(true)
	for range 2 {
		if !b.Allow() {
			t.Error("it works again, and somebody is kept out")
		}
	}
}

package kvtest

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Hook returns s with a hook around its calls: hook gets the name of the method and
// the call itself, and returns the error for the caller.
func Hook(s kv.Store, hook func(method string, call func() error) error) kv.Store {
	return hooked{s, hook}
}

// Unreliable returns s behind an unreliable connection: a share of its calls fails with
// [kv.ErrUnavailable], alternately before the call took effect and after.
func Unreliable(s kv.Store, share float64, random *rand.Rand) kv.Store {
	var mu sync.Mutex
	draw := func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Float64()
	}
	return hooked{s, func(_ string, call func() error) error {
		switch d := draw(); {
		case d < share/2:
			return kv.ErrUnavailable
		case d < share:
			if err := call(); err != nil {
				return err
			}
			return errLost
		}
		return call()
	}}
}

// Mortal returns s for a process that dies with its n-th Commit, counted from 1:
// before the Commit took effect, or after it and before the answer. Every later call
// fails. died reports whether the process has died.
func Mortal(s kv.Store, n int, done bool) (mortal kv.Store, died func() bool) {
	var commits atomic.Int64
	var dead atomic.Bool
	return hooked{s, func(method string, call func() error) error {
		if method == "Commit" && commits.Add(1) == int64(n) {
			dead.Store(true)
			if done {
				_ = call() // nobody hears of it
			}
		}
		if dead.Load() {
			return kv.ErrUnavailable
		}
		return call()
	}}, dead.Load
}

package generation_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/generation"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

type world struct {
	*testing.T
	store kv.Store
	clock *kvtest.Clock
	start time.Time
	*generation.Registry
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, clock: kvtest.NewClock()}
	var err error
	if w.store, err = boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: w.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	w.start = w.clock.Now()
	w.Registry = generation.New(w.store, w.clock.Now)
	return w
}

func (w *world) at(seconds float64) time.Time {
	return w.start.Add(time.Duration(seconds * float64(time.Second)))
}

func (w *world) created(seconds float64) {
	w.Helper()
	if err := w.Created(w.Context(), "daily", w.at(seconds)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) destroyed(seconds float64) {
	w.Helper()
	if err := w.Destroyed(w.Context(), "daily", w.at(seconds)); err != nil {
		w.Fatal(err)
	}
}

// seen requires that an event of a time belongs to a generation.
func (w *world) seen(seconds float64, want int64) {
	w.Helper()
	g, err := w.Seen(w.Context(), "daily", generation.At(w.at(seconds)), false)
	if err != nil || g.Number != want {
		w.Errorf("what happened at %v s is of generation %d, want %d; %v", seconds, g.Number, want, err)
	}
}

func TestALifeAfterAnother(t *testing.T) {
	w := open(t)
	w.created(0)
	w.seen(1, 1)
	w.created(0) // the callback comes twice
	w.destroyed(10)
	w.destroyed(10)
	w.seen(9, 1)
	w.created(20)
	w.seen(21, 2)
	w.seen(9, 1)  // late
	w.seen(-5, 0) // of a life that ended before anybody listened
	w.created(0)
	w.destroyed(10)
	w.seen(21, 2)
	if g, err := w.Current(t.Context(), "daily"); err != nil || g.Number != 2 || !g.Since.Equal(w.at(20)) || !g.Until.IsZero() {
		t.Errorf("%+v, %v", g, err)
	}
}

// TestALostCallback: one of the two callbacks is enough to tell lives apart.
func TestALostCallback(t *testing.T) {
	t.Run("create", func(t *testing.T) {
		w := open(t)
		w.seen(1, 1)
		w.destroyed(10)
		w.seen(30, 2)
		w.seen(31, 2)
		w.seen(9, 1)
	})
	t.Run("destroy", func(t *testing.T) {
		w := open(t)
		w.seen(1, 1)
		w.created(20)
		w.seen(21, 2)
		w.seen(9, 1)
	})
	t.Run("both", func(t *testing.T) {
		w := open(t)
		w.seen(1, 1)
		w.seen(30, 1)
	})
}

// TestEventsBeforeTheirCreateCallback: messages that are faster than the
// callback of the group's making are of the same life.
func TestEventsBeforeTheirCreateCallback(t *testing.T) {
	w := open(t)
	w.seen(3, 1)
	w.seen(2, 1) // earlier, and later here
	w.created(1)
	w.seen(2, 1)
	w.destroyed(10)
	w.seen(22, 2)
	w.seen(21, 2)
	w.created(20)
	w.seen(21, 2)
	w.seen(5, 1)
}

// TestAnEventInTheMillisecondOfTheCreation: it is of the life that was made then, also
// where its callback comes first.
func TestAnEventInTheMillisecondOfTheCreation(t *testing.T) {
	w := open(t)
	w.seen(5, 1)
	w.created(5)
	w.created(5)
	w.seen(5, 1)
	w.seen(6, 1)
	w.destroyed(10)
	w.created(20)
	w.seen(21, 2)
}

// TestOtherInstances learn of a new life within a second, and at once if they
// ask freshly.
func TestOtherInstances(t *testing.T) {
	w := open(t)
	other := generation.New(w.store, w.clock.Now)
	w.created(0)
	number := func(fresh bool) int64 {
		g, err := other.Seen(t.Context(), "daily", generation.At(w.at(21)), fresh)
		if err != nil {
			t.Fatal(err)
		}
		return g.Number
	}
	if n := number(false); n != 1 {
		t.Fatalf("generation %d", n)
	}
	w.created(20)
	if n := number(true); n != 2 {
		t.Errorf("asked freshly: generation %d, want 2", n)
	}
	w.created(20.5)
	w.clock.Advance(time.Second)
	if n := number(false); n != 3 {
		t.Errorf("after a second: generation %d, want 3", n)
	}
}

// TestAnyOrderOfCallbacks: whatever order create and destroy come in, and
// however often, messages that come after them find their own life.
func TestAnyOrderOfCallbacks(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := open(t)
		w.created(0)
		// Create callbacks keep their order: one that the next overtook says nothing.
		for life := range 5 {
			if life > 0 {
				w.created(float64(100 * life))
			}
			for range r.IntN(4) {
				w.created(float64(100 * r.IntN(life+1)))
				w.destroyed(float64(100*r.IntN(life+1) + 50))
			}
		}
		for life := range 5 {
			w.seen(float64(100*life+25), int64(life+1))
		}
	}
}

func TestInstancesAtOnce(t *testing.T) {
	w := open(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := generation.New(w.store, w.clock.Now)
			for n := range 20 {
				if g, err := r.Seen(t.Context(), "daily", generation.At(w.at(float64(n))), true); err != nil || g.Number != 1 {
					t.Errorf("%+v, %v", g, err)
				}
			}
		})
	}
	all.Wait()
}

func TestTheMomentOfAMessage(t *testing.T) {
	w := open(t)
	w.created(0.2)
	w.destroyed(10.4)
	w.created(10.5)
	for _, tt := range []struct {
		name       string
		sent       float64 // whole seconds, as MsgTime has them
		told, want int64   // EventTime in ms since the start, 0 for none
	}{
		{"before the end of that second", 10, 10_300, 1},
		{"after it", 10, 10_600, 2},
		{"no EventTime", 10, 0, 2},
		{"told again later", 9, 60_000, 1},
	} {
		e := &callback.GroupAfterSendMsg{MsgTime: callback.Seconds(w.at(tt.sent).Unix())}
		if tt.told != 0 {
			e.EventTime = callback.Millis(w.start.UnixMilli() + tt.told)
		}
		if g, err := w.Seen(t.Context(), "daily", generation.Sent(e.MsgTime, e.EventTime), false); err != nil || g.Number != tt.want {
			t.Errorf("%s: generation %d, want %d; %v", tt.name, g.Number, tt.want, err)
		}
	}
}

func TestAStoreThatIsAway(t *testing.T) {
	w := open(t)
	_ = w.store.Close()
	if _, err := w.Seen(t.Context(), "daily", generation.At(w.start), false); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

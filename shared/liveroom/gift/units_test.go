package gift_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
)

// TestUnits measures what a gift costs on DynamoDB, in write units, from the order to
// the message that IM took, without the counting in the room: alone, and as one of the
// 99 taps of a combo. The orders of a frame share its job and its message.
func TestUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("moto is not part of -short")
	}
	proxy := dynamotest.Start(t)
	clock := kvtest.NewClock()
	store := enginetest.DynamoDB(t, proxy.URL, clock.Now)
	alone, combo := measure(t, store, clock, func() float64 { return proxy.Units().Write })
	t.Logf("write units a gift: %.1f alone, %.1f in a combo of 99", alone, combo)
	if combo >= alone || alone > 40 || combo > 20 || combo < 8 {
		t.Errorf("%.1f units alone and %.1f in a combo", alone, combo)
	}
}

// TestCommands measures the same in calls of the store. On Redis each is one script or
// command, of which an instance serves so many a second.
func TestCommands(t *testing.T) {
	clock := kvtest.NewClock()
	inner, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	var calls atomic.Int64
	store := kvtest.Hook(inner, func(_ string, call func() error) error {
		calls.Add(1)
		return call()
	})
	alone, combo := measure(t, store, clock, func() float64 { return float64(calls.Swap(0)) })
	t.Logf("calls a gift: %.1f alone, %.1f in a combo of 99", alone, combo)
	if combo >= alone || alone > 60 || combo > 25 {
		t.Errorf("%.1f and %.1f calls a gift", alone, combo)
	}
}

// measure gives gifts alone and in a combo, and returns what read says for one of each.
// It reads what was consumed since it was called last.
func measure(t *testing.T, store kv.Store, clock *kvtest.Clock, read func() float64) (alone, combo float64) {
	t.Helper()
	w := newWorld(t, store, clock)
	w.room("live")
	p := w.process(store).serves()
	p.sells("rose", 10)
	p.paysIn("ann", 10_000)
	give := func(key string) {
		if r := p.gives("ann", "live", key, "rose", 1, 10); r.status != 201 {
			t.Fatalf("%d %s", r.status, r.text)
		}
	}
	spent := func(n int) float64 { return read() / float64(n) }

	spent(1) // what came before
	const lone = 5
	for n := range lone {
		give(fmt.Sprint("lone", n))
		p.seconds(3)
	}
	alone = spent(lone)
	const taps = 99
	for n := range taps {
		give(fmt.Sprint("tap", n))
		p.Advance(50 * time.Millisecond)
		p.work() // as a worker does meanwhile
	}
	p.seconds(4)
	combo = spent(taps)
	if shown := len(p.shown("live")); shown != lone+5 {
		t.Errorf("%d messages", shown)
	}
	p.wantState("ann", "live", gift.OrderID("ann", "tap98"), gift.Sent)
	return alone, combo
}

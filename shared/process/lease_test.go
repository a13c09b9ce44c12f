package process_test

import (
	"errors"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// TestHold: a lease has one holder, until it is released or the holder has been silent
// for longer than the holder may work.
func TestHold(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{{Name: "Hold", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		hold := func() (release func(), err error) {
			ctx, release, err := process.Hold(t.Context(), store, clock.Now(), "p", "hand")
			if err == nil {
				if end, has := ctx.Deadline(); !has || time.Until(end) > 30*time.Second {
					t.Error("the holder's work has no end")
				}
			}
			return release, err
		}
		first, err := hold()
		if err != nil {
			t.Fatal(err)
		}
		var later queue.Later
		if _, err := hold(); !errors.As(err, &later) || later.After <= 0 || later.After > time.Second {
			t.Errorf("a second holder beside the first: %v", err)
		}
		first()
		second, err := hold()
		if err != nil {
			t.Fatalf("after the release: %v", err)
		}
		clock.Advance(36 * time.Second) // the second holder died
		third, err := hold()
		if err != nil {
			t.Fatalf("after the death of a holder: %v", err)
		}
		second() // it was not dead
		if _, err := hold(); !errors.As(err, &later) {
			t.Errorf("a late release took the lease of another: %v", err)
		}
		third()
		if page, err := store.List(t.Context(), "p", kv.Range{}); err != nil || len(page.Items) > 0 {
			t.Errorf("%d items are left, %v", len(page.Items), err)
		}
	}}})
}

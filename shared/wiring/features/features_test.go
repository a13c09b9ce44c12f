package features_test

import (
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// TestBundleInOneProcess: IM asks the filter about a member's messages and tells
// the counter of those that were delivered.
func TestBundleInOneProcess(t *testing.T) {
	b := kit.OpenBundle(t, nil)
	alice, _ := b.Login("alice")
	if _, err := alice.CreateGroup("Public", "lobby", "lobby"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Send("lobby", imtest.Draft{Text: "good evening"}); err != nil {
		t.Error(err)
	}
	if _, err := alice.Send("lobby", imtest.Draft{Text: "join my casino"}); err == nil {
		t.Error("the filter let a message of the default rule set pass")
	}
	if err := b.IM.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Tick()
	if a := b.Do(kit.Get("/rooms/lobby/stats", kit.Key)); a.JSON["messages"] != 1.0 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

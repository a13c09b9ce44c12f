package liveroom_test

import (
	"fmt"
	"testing"

	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// Who follows an owner from show to show subscribes to as many rooms as there are: of
// rooms that are open at a time there is a bound.
func TestSubscribesToEachShow(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	opens := func(i int) {
		t.Helper()
		rulestest.Into[any](p, p.do(server, "POST", "/rooms", fmt.Sprintf(`{"roomId":"show%d","name":"Show","owner":"ann"}`, i), fmt.Sprint("open", i)))
		w.Advance(1e6)
	}
	subscribes := func(i int) rulestest.Reply {
		return p.do("bob", "PUT", fmt.Sprintf("/rooms/show%d/subscription", i), ``)
	}
	const most = liveroom.MaxSubscriptions
	for i := range most + 3 {
		opens(i)
		card := rulestest.Into[liveroom.AnchorCard](p, subscribes(i))
		if !card.IsSubscribe || card.AnchorInfo.SubscribeNum != 1 || card.AnchorInfo.FansNum != 1 {
			t.Fatalf("show %d: %+v", i, card)
		}
		if i < 5 {
			rulestest.Into[any](p, p.do(server, "POST", fmt.Sprintf("/rooms/show%d/close", i), `{}`))
			p.work()
		}
	}
	// Two closed ones are left to make place.
	for i := most + 3; i < most+5; i++ {
		opens(i)
		rulestest.Into[any](p, subscribes(i))
	}
	opens(most + 5)
	if a := subscribes(most + 5); a.Status != 409 {
		t.Errorf("one open room too many: %d %s", a.Status, a.Text)
	}
	if a := subscribes(most + 4); a.Status != 200 {
		t.Errorf("a repetition: %d %s", a.Status, a.Text)
	}
	rulestest.Into[any](p, p.do("bob", "DELETE", "/rooms/show10/subscription", ``))
	rulestest.Into[any](p, subscribes(most+5))
}

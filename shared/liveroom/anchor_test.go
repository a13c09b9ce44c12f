package liveroom_test

import (
	"fmt"
	"testing"

	"github.com/backchannel-im/backchannel/shared/liveroom"
)

// Who follows an owner from show to show subscribes to as many rooms as there are: of
// rooms that are open at a time there is a bound.
func TestSubscribesToEachShow(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	opens := func(i int) {
		t.Helper()
		into[any](p, p.do(server, "POST", "/rooms", fmt.Sprintf(`{"roomId":"show%d","name":"Show","owner":"ann"}`, i), fmt.Sprint("open", i)))
		w.Advance(1e6)
	}
	subscribes := func(i int) reply { return p.do("bob", "PUT", fmt.Sprintf("/rooms/show%d/subscription", i), ``) }
	const most = liveroom.MaxSubscriptions
	for i := range most + 3 {
		opens(i)
		card := into[liveroom.AnchorCard](p, subscribes(i))
		if !card.IsSubscribe || card.AnchorInfo.SubscribeNum != 1 || card.AnchorInfo.FansNum != 1 {
			t.Fatalf("show %d: %+v", i, card)
		}
		if i < 5 {
			into[any](p, p.do(server, "POST", fmt.Sprintf("/rooms/show%d/close", i), `{}`))
			p.work()
		}
	}
	// Two closed ones are left to make place.
	for i := most + 3; i < most+5; i++ {
		opens(i)
		into[any](p, subscribes(i))
	}
	opens(most + 5)
	if a := subscribes(most + 5); a.status != 409 {
		t.Errorf("one open room too many: %d %s", a.status, a.text)
	}
	if a := subscribes(most + 4); a.status != 200 {
		t.Errorf("a repetition: %d %s", a.status, a.text)
	}
	into[any](p, p.do("bob", "DELETE", "/rooms/show10/subscription", ``))
	into[any](p, subscribes(most+5))
}

package gift_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
)

// FuzzOrder: whatever a user sends, an order that is taken costs price x count of a
// gift that there is, and anything else is a 4xx that leaves the balance alone.
func FuzzOrder(f *testing.F) {
	clock := kvtest.NewClock()
	store, err := boltkv.Open(filepath.Join(f.TempDir(), "state"), boltkv.Options{Now: clock.Now})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	t := new(testing.T)
	w := newWorldOf(f, t, store, clock)
	w.room("live")
	p := w.process(store)
	p.sells("rose", 10)
	p.paysIn("ann", wallet.MaxAmount)
	for _, body := range []string{
		`{"giftId":"rose","count":1,"price":10}`, `{"giftId":"rose","count":-1,"price":10}`, `{"giftId":"rose","count":9999,"price":10}`,
		`{"giftId":"rose","count":1e1,"price":10}`, `{"giftId":"rose","count":922337203685477580,"price":10}`, `{"giftId":"rose","count":1,"price":10.0}`,
		`{"giftId":"\u0072ose","count":1,"price":10}`, `{"giftId":"../gift/rose","count":1,"price":10}`, `[]`, `{"giftId":null,"count":null,"price":null}`,
		`{"giftId":"rose","count":1,"count":2,"price":10}`,
	} {
		f.Add(body)
	}
	left, n := int64(wallet.MaxAmount), 0
	f.Fuzz(func(t *testing.T, body string) {
		w.TB = t
		n++
		r := p.ask("ann", http.MethodPost, "/rooms/live/gifts", fmt.Sprint("key", n), body)
		var in struct {
			GiftID       string `json:"giftId"`
			Count, Price int64
		}
		switch {
		case r.status == http.StatusCreated:
			if err := json.Unmarshal([]byte(body), &in); err != nil || in.GiftID != "rose" || in.Price != 10 || in.Count < 1 || in.Count > gift.MaxCount {
				t.Errorf("taken: %q", body)
			}
			left -= 10 * in.Count
		case r.status/100 != 4:
			t.Errorf("%d to %q", r.status, body)
		}
		if got := p.balance("ann"); got != left {
			t.Errorf("balance %d after %q, want %d", got, body, left)
		}
		clock.Advance(gift.FrameIdle) // so that no combo grows for ever
		p.work()
	})
}

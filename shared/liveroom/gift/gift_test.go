package gift_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
)

func TestGifts(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		run  func(*process)
	}{
		{"Order", false, testOrder},
		{"Combo", true, testCombo},
		{"TwoCombos", false, testTwoCombos},
		{"RepeatedRequest", false, testRepeatedRequest},
		{"InsufficientSticks", false, testInsufficientSticks},
		{"RefusedForGood", false, testRefusedForGood},
		{"AnswerLost", false, testAnswerLost},
		{"UnknownThenSeen", false, testUnknownThenSeen},
		{"UnknownNeverSeen", false, testUnknownNeverSeen},
		{"BadInput", false, testBadInput},
		{"ForgedGift", false, testForgedGift},
		{"Catalogue", false, testCatalogue},
		{"ManyAtOnce", true, testManyAtOnce},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			w := newWorld(t, store, clock)
			w.room("live")
			p := w.process(store).serves()
			p.sells("rose", 10)
			c.run(p)
		}})
	}
	enginetest.Run(t, tests)
}

func testOrder(p *process) {
	p.paysIn("ann", 100)
	r := p.gives("ann", "live", "k", "rose", 3, 10)
	o := r.order
	if r.status != 201 || o.GiftID != "rose" || o.Count != 3 || o.Charged != 30 || o.Balance != 70 || o.State != gift.Charged || o.OrderID == "" {
		p.Fatalf("%d %s", r.status, r.text)
	}
	if s, is := readGift(o.Message.MsgContent); !is || o.Message.MsgType != "TIMCustomElem" || s.Pieces != 3 || s.Name != "rose" {
		p.Errorf("%s", r.text)
	}
	p.wantState("ann", "live", o.OrderID, gift.Charged)
	p.seconds(2)
	shown := p.shown("live")
	if len(shown) != 1 || shown[0].From != "ann" || shown[0].Pieces != 3 || shown[0].Name != "rose" {
		p.Fatalf("%+v", shown)
	}
	// The answer and the message carry the same order and the same combo.
	if m := shown[0].Mark; !slices.Equal(m.Orders, []string{o.OrderID}) || m.Combo != o.ComboID || m.Pieces != 3 || m.Total != 3 || !m.End {
		p.Errorf("%+v, and the answer was %s", m, r.text)
	}
	p.wantState("", "live", o.OrderID, gift.Sent)
	if orders, pieces, charged := p.counted("live"); orders != 1 || pieces != 3 || charged != 30 {
		p.Errorf("%d orders, %d pieces, %d", orders, pieces, charged)
	}
	for _, c := range [][2]string{{"bob", "live"}, {"", "other"}} {
		if r := p.ask(c[0], http.MethodGet, "/rooms/"+c[1]+"/gifts/orders/"+o.OrderID, "", ""); r.status != 404 {
			p.Errorf("%q sees the order in %s: %d", c[0], c[1], r.status)
		}
	}
	p.wantBalance("ann", 70)
	p.Advance(8 * 24 * time.Hour)
	p.wantState("", "live", o.OrderID, gift.Sent)
	p.Quiet(p.ledger)
}

// testCombo: 99 taps give five messages; adding up their pieces and keeping the last
// total agree.
func testCombo(p *process) {
	p.paysIn("ann", 1000)
	for n := range 99 {
		if r := p.gives("ann", "live", fmt.Sprint(n), "rose", 1, 10); r.status != 201 {
			p.Fatalf("%d %s", r.status, r.text)
		}
		p.Advance(20 * time.Millisecond)
		if n%10 == 0 {
			p.work()
		}
	}
	p.seconds(3)
	shown := p.shown("live")
	if len(shown) != 5 {
		p.Fatalf("%d messages", len(shown))
	}
	var sum, total int64
	ends, orders := 0, map[string]bool{}
	for _, s := range shown {
		if s.Pieces != s.Mark.Pieces || s.Mark.Combo != shown[0].Mark.Combo {
			p.Errorf("%+v", s)
		}
		sum, total = sum+s.Pieces, max(total, s.Mark.Total)
		if s.Mark.End {
			ends++
		}
		for _, id := range s.Mark.Orders {
			orders[id] = true
		}
	}
	if sum != 99 || total != 99 || ends != 1 || len(orders) != 99 {
		p.Errorf("%d pieces, %d in all, %d end marks, %d orders", sum, total, ends, len(orders))
	}
	p.wantBalance("ann", 10)
	p.Quiet(p.ledger)
}

// testTwoCombos: a pause of a second, another gift, another user or another room
// makes a combo of its own; an order of more than 20 pieces has a frame of its own.
func testTwoCombos(p *process) {
	p.room("next")
	p.sells("car", 1)
	p.paysIn("ann", 1000)
	p.paysIn("bob", 1000)
	p.gives("ann", "live", "1", "rose", 2, 10)
	p.gives("ann", "live", "2", "car", 2, 1)
	p.gives("bob", "live", "3", "rose", 2, 10)
	p.gives("ann", "next", "4", "rose", 2, 10)
	p.gives("ann", "live", "5", "rose", 30, 10)
	p.gives("ann", "live", "6", "rose", 1, 10)
	p.Advance(time.Second)
	p.gives("ann", "live", "7", "rose", 1, 10)
	p.seconds(3)
	combos := map[string][]int64{}
	ends := 0
	for _, s := range append(p.shown("live"), p.shown("next")...) {
		combos[s.Mark.Combo] = append(combos[s.Mark.Combo], s.Pieces)
		if s.Mark.End {
			ends++
		}
	}
	var got []string
	for _, pieces := range combos {
		slices.Sort(pieces)
		got = append(got, fmt.Sprint(pieces))
	}
	slices.Sort(got)
	if want := []string{"[1 2 30]", "[1]", "[2]", "[2]", "[2]"}; !slices.Equal(got, want) || ends != 5 {
		p.Errorf("combos %s with %d ends, want %s", got, ends, want)
	}
	p.Quiet(p.ledger)
}

func testRepeatedRequest(p *process) {
	p.paysIn("ann", 100)
	first := p.gives("ann", "live", "k", "rose", 1, 10)
	p.seconds(2)
	p.sells("rose", 11) // the price changes, the room ends, and the first answer stands
	p.setRoom(liveroom.Room{RoomID: "live", Owner: "owner", Status: liveroom.Ended, Generation: 1})
	for range 2 {
		if again := p.gives("ann", "live", "k", "rose", 1, 10); again.status != 201 || again.text != first.text {
			p.Errorf("%d %s, and at first %s", again.status, again.text, first.text)
		}
		p.Advance(48 * time.Hour)
	}
	for name, r := range map[string]reply{
		"another count": p.gives("ann", "live", "k", "rose", 2, 10),
		"another price": p.gives("ann", "live", "k", "rose", 1, 11),
		"another room":  p.gives("ann", "next", "k", "rose", 1, 10),
	} {
		if r.status != 422 || r.code() != "idempotency_mismatch" {
			p.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	p.wantBalance("ann", 90)
	if n := len(p.shown("live")); n != 1 {
		p.Errorf("%d messages", n)
	}
}

// testInsufficientSticks: 402 is the key's answer also after a top-up; 409, 404 and
// the like leave the key unused.
func testInsufficientSticks(p *process) {
	p.Login("ann")
	for _, status := range []int{409, 404} {
		r := map[int]func() reply{
			409: func() reply { return p.gives("ann", "live", "k", "rose", 1, 9) },
			404: func() reply { return p.gives("ann", "live", "k", "nosuch", 1, 10) },
		}[status]()
		if r.status != status {
			p.Errorf("%d %s", r.status, r.text)
		}
	}
	for range 2 {
		if r := p.gives("ann", "live", "k", "rose", 1, 10); r.status != 402 || r.code() != "insufficient_funds" {
			p.Errorf("%d %s", r.status, r.text)
		}
		p.paysIn("ann", 50)
	}
	if r := p.gives("ann", "live", "k", "rose", 2, 10); r.status != 422 {
		p.Errorf("%d %s", r.status, r.text)
	}
	if r := p.gives("ann", "live", "k2", "rose", 1, 10); r.status != 201 {
		p.Errorf("%d %s", r.status, r.text)
	}
	p.wantBalance("ann", 90)
}

// testRefusedForGood: the charge comes back within 30 s, the room is told, and
// nothing is counted; a refund that is tried again pays once.
func testRefusedForGood(p *process) {
	p.paysIn("ann", 100)
	p.App.FailNext(command, imtest.Fault{Code: 80001})
	first := p.gives("ann", "live", "a", "rose", 1, 10)
	second := p.gives("ann", "live", "b", "rose", 2, 10)
	p.seconds(5)
	p.wantBalance("ann", 100)
	for _, r := range []reply{first, second} {
		p.wantState("ann", "live", r.order.OrderID, gift.Refunded)
	}
	if n := len(p.shown("live")); n != 0 {
		p.Errorf("%d gifts were shown", n)
	}
	told := p.events("live")
	slices.Sort(told)
	want := []string{first.order.OrderID, second.order.OrderID}
	slices.Sort(want)
	if !slices.Equal(told, want) {
		p.Errorf("the room was told of refunds of %s, want %s", told, want)
	}
	if orders, pieces, charged := p.counted("live"); orders != 0 || pieces != 0 || charged != 0 {
		p.Errorf("%d orders, %d pieces, %d", orders, pieces, charged)
	}
	p.Redeliver(p.ledger)
	p.minutes(3)
	p.wantBalance("ann", 100)
	p.Quiet(p.ledger)
}

func testAnswerLost(p *process) {
	p.paysIn("ann", 100)
	p.App.FailNext(command, lost()...)
	r := p.gives("ann", "live", "a", "rose", 1, 10)
	p.seconds(10)
	if n := len(p.shown("live")); n != 1 {
		p.Errorf("shown %d times", n)
	}
	p.wantState("ann", "live", r.order.OrderID, gift.Sent)
	p.wantBalance("ann", 90)
}

// testUnknownThenSeen: IM answers for minutes with errors although it sent the
// message at once; its after-callback tells.
func testUnknownThenSeen(p *process) {
	p.paysIn("ann", 100)
	p.App.FailNext(command, slices.Repeat([]imtest.Fault{{Status: 502, Worked: true}}, 60)...)
	r := p.gives("ann", "live", "a", "rose", 1, 10)
	p.seconds(5)
	p.minutes(15)
	p.wantState("ann", "live", r.order.OrderID, gift.Sent)
	p.wantBalance("ann", 90)
	if n := len(p.shown("live")); n != 1 {
		p.Errorf("shown %d times", n)
	}
	p.Quiet(p.ledger)
}

// testUnknownNeverSeen: IM answers for minutes with errors and did nothing. After ten
// minutes the charge comes back, not before.
func testUnknownNeverSeen(p *process) {
	p.paysIn("ann", 100)
	p.App.FailNext(command, slices.Repeat([]imtest.Fault{{Status: 502}}, 200)...)
	r := p.gives("ann", "live", "a", "rose", 1, 10)
	p.seconds(5)
	p.minutes(8)
	p.wantState("ann", "live", r.order.OrderID, gift.Charged)
	p.minutes(4)
	p.wantState("ann", "live", r.order.OrderID, gift.Refunded)
	p.wantBalance("ann", 100)
	if n := len(p.shown("live")); n != 0 {
		p.Errorf("shown %d times", n)
	}
	p.minutes(20) // the refund's event was put off, too
	p.Quiet(p.ledger)
}

// testBadInput: each gets a clear answer, and the store stays as it was.
func testBadInput(p *process) {
	p.room("over")
	p.setRoom(liveroom.Room{RoomID: "over", Owner: "owner", Status: liveroom.Ended, Generation: 1})
	p.room("gone")
	p.setRoom(liveroom.Room{RoomID: "gone", Owner: "owner", Status: liveroom.Live, Generation: 1, Closed: true})
	p.sells("gold", wallet.MaxAmount/2)
	p.paysIn("ann", 100)
	p.paysIn("eve", 100)
	p.kicked["live/eve"] = true
	all := []string{"gifts", wallet.Partition("ann"), wallet.Partition("eve"), "room/live/out", "room/over/out"}
	before := p.dump(all...)
	for _, c := range []struct {
		name, user, room, body string
		status                 int
		code                   string
	}{
		{"unknown room", "ann", "nowhere", `{"giftId":"rose","count":1,"price":10}`, 404, "not_found"},
		{"ended room", "ann", "over", `{"giftId":"rose","count":1,"price":10}`, 409, "room_closed"},
		{"closed room", "ann", "gone", `{"giftId":"rose","count":1,"price":10}`, 409, "room_closed"},
		{"kicked user", "eve", "live", `{"giftId":"rose","count":1,"price":10}`, 403, "forbidden"},
		{"unknown gift", "ann", "live", `{"giftId":"tank","count":1,"price":10}`, 404, "not_found"},
		{"price changed", "ann", "live", `{"giftId":"rose","count":1,"price":9}`, 409, "price_changed"},
		{"count 0", "ann", "live", `{"giftId":"rose","count":0,"price":10}`, 400, "invalid"},
		{"negative count", "ann", "live", `{"giftId":"rose","count":-3,"price":10}`, 400, "invalid"},
		{"negative price", "ann", "live", `{"giftId":"rose","count":1,"price":-10}`, 400, "invalid"},
		{"huge count", "ann", "live", `{"giftId":"rose","count":9223372036854775807,"price":10}`, 400, "invalid"},
		{"beyond int64", "ann", "live", `{"giftId":"rose","count":92233720368547758070,"price":10}`, 400, "invalid"},
		{"a fraction", "ann", "live", `{"giftId":"rose","count":1.5,"price":10}`, 400, "invalid"},
		{"a float", "ann", "live", `{"giftId":"rose","count":1,"price":1e1}`, 400, "invalid"},
		{"price x count", "ann", "live", `{"giftId":"gold","count":3,"price":4503599627370495}`, 400, "invalid"},
		{"unknown field", "ann", "live", `{"giftId":"rose","count":1,"price":10,"free":true}`, 400, "invalid"},
		{"no JSON", "ann", "live", `give`, 400, "invalid"},
		{"a server", "", "live", `{"giftId":"rose","count":1,"price":10}`, 403, "forbidden"},
	} {
		r := p.ask(c.user, http.MethodPost, "/rooms/"+c.room+"/gifts", "key", c.body)
		if r.status != c.status || r.code() != c.code {
			p.Errorf("%s: %d %s", c.name, r.status, r.text)
		}
	}
	for key, status := range map[string]int{"": 400, "two words": 400, strings.Repeat("x", 200): 400} {
		if r := p.gives("ann", "live", key, "rose", 1, 10); r.status != status {
			p.Errorf("key %q: %d %s", key, r.status, r.text)
		}
	}
	if after := p.dump(all...); after != before {
		p.Errorf("the store was\n%sand is\n%s", before, after)
	}
	p.seconds(2)
	p.Quiet(p.ledger)
	// None of it used up the key.
	if r := p.gives("ann", "live", "key", "rose", 1, 10); r.status != 201 {
		p.Errorf("%d %s", r.status, r.text)
	}
}

// testForgedGift: a client's own message in the form of a gift is refused; the app's
// own servers may send one, and other messages pass.
func testForgedGift(p *process) {
	ann := p.Login("ann")
	p.Must(ann.Join("live"))
	for kind := 1; kind <= 3; kind++ {
		data := fmt.Sprintf(`{\"businessID\":\"flutter_live_kit\",\"version\":1,\"data\":{\"cmd\":\"send_gift_message\",\"cmdInfo\":{\"type\":%d,\"giftCount\":99}}}`, kind)
		_, err := ann.Send("live", imtest.Draft{Body: json.RawMessage(`[{"MsgType":"TIMCustomElem","MsgContent":{"Data":"` + data + `"}}]`)})
		if imtest.Code(err) != gift.RefusalCode {
			p.Errorf("type %d: %v", kind, err)
		}
	}
	_, err := ann.Send("live", imtest.Draft{Text: "send_gift_message"})
	p.Must(err)
	if n := len(p.shown("live")); n != 0 {
		p.Errorf("%d forged gifts were shown", n)
	}
}

func testCatalogue(p *process) {
	for _, c := range []struct {
		name, user, id, body string
		status               int
		answer               string
	}{
		{"new", "", "car", `{"name":"Car","units":"pcs","price":99,"icon":"c.png","effect":"https://x.example/c.json","type":3}`, 200, `"active":true,"version":1`},
		{"repeated", "", "car", `{"name":"Car","units":"pcs","price":99,"icon":"c.png","effect":"https://x.example/c.json","type":3}`, 200, `"version":1`},
		{"changed", "", "car", `{"giftId":"car","name":"Car","price":100,"type":2,"active":false,"version":1}`, 200, `"price":100,"icon":"","effect":"","type":2,"active":false,"version":2`},
		{"stale", "", "car", `{"name":"Car","price":101,"version":1}`, 409, "conflict"},
		{"new with a version", "", "bus", `{"name":"Bus","price":1,"version":3}`, 409, "conflict"},
		{"another id", "", "car", `{"giftId":"bus","name":"Car","price":1,"version":2}`, 400, "invalid"},
		{"a user", "ann", "car", `{"name":"Car","price":1,"version":2}`, 403, "forbidden"},
		{"free", "", "car", `{"name":"Car","price":0,"version":2}`, 400, "invalid"},
		{"a script", "", "car", `{"name":"Car","price":1,"icon":"javascript:alert(1)","version":2}`, 400, "invalid"},
		{"type 4", "", "car", `{"name":"Car","price":1,"type":4,"version":2}`, 400, "invalid"},
		{"no name", "", "car", `{"price":1,"version":2}`, 400, "invalid"},
		{"a bad id", "", "c%20r", `{"name":"Car","price":1}`, 400, "invalid"},
	} {
		r := p.ask(c.user, http.MethodPut, "/gifts/"+c.id, "", c.body)
		if r.status != c.status || !strings.Contains(r.text, c.answer) {
			p.Errorf("%s: %d %s", c.name, r.status, r.text)
		}
	}
	r := p.ask("ann", http.MethodGet, "/gifts?limit=1", "", "")
	if want := `{"gifts":[{"giftId":"car","name":"Car","units":"","price":100,"icon":"","effect":"","type":2,"active":false,"version":2}],"next":"car"}`; strings.TrimSpace(r.text) != want {
		p.Errorf("%s", r.text)
	}
	r = p.ask("ann", http.MethodGet, "/gifts?limit=1&after=car", "", "")
	if !strings.Contains(r.text, `"rose"`) || strings.Contains(r.text, "next") {
		p.Errorf("%s", r.text)
	}
	p.paysIn("ann", 1000)
	if r := p.gives("ann", "live", "k", "car", 1, 100); r.status != 404 {
		p.Errorf("a gift out of sale: %d %s", r.status, r.text)
	}
}

// testManyAtOnce: 500 users give in one room at the same time, through three
// processes. Nobody sees a conflict, and every gift is shown once.
func testManyAtOnce(p *process) {
	const users = 500
	processes := []*process{p, p.process(p.store), p.process(p.store)}
	for n := range users {
		p.paysIn(fmt.Sprint("user", n), 20)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	orders := map[string]bool{}
	for n := range users {
		all.Go(func() {
			r := processes[n%3].gives(fmt.Sprint("user", n), "live", "k", "rose", 1, 10)
			if r.status != 201 {
				p.Errorf("%d %s", r.status, r.text)
			}
			mu.Lock()
			defer mu.Unlock()
			orders[r.order.OrderID] = true
		})
	}
	all.Wait()
	p.seconds(5)
	p.minutes(2)
	for _, s := range p.shown("live") {
		for _, id := range s.Mark.Orders {
			if !orders[id] {
				p.Errorf("%s was shown twice, or was never ordered", id)
			}
			delete(orders, id)
		}
	}
	if len(orders) > 0 {
		p.Errorf("%d orders were never shown", len(orders))
	}
	if counted, _, charged := p.counted("live"); counted != users || charged != 10*users {
		p.Errorf("%d orders, %d charged", counted, charged)
	}
	p.Quiet(p.ledger)
}

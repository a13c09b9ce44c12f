package gift_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
	"github.com/backchannel-im/backchannel/shared/liveroom/lottery"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	apiKey  = rulestest.APIKey
	command = "group_open_http_svc/send_group_msg"
)

// world is an emulated IM with rooms, whose state is in memory, and a store for all
// else. What the statistics are told stands in counts.
type world struct {
	*rulestest.World
	t     *testing.T
	store kv.Store
	gate  *api.Gate
	stats *roomstats.Stats // nil: counts alone
	rules *callback.Mux    // nil: no rule is repeated by a job

	mu     sync.Mutex
	rooms  map[string]liveroom.Room
	kicked map[string]bool // room + "/" + user
	counts map[string]gift.Count
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	return newWorldOf(t, t, store, clock)
}

func newWorldOf(tb testing.TB, t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	tb.Helper()
	w := &world{
		World: rulestest.New(tb, clock, rulestest.Options{Retry: true, Callbacks: []string{
			"Group.CallbackBeforeSendMsg", "Group.CallbackAfterSendMsg", "Group.CallbackAfterNewMemberJoin", "Group.CallbackAfterMemberExit",
			"Group.CallbackOnMemberStateChange", "State.StateChange",
		}}), t: t,
		store: store, rooms: map[string]liveroom.Room{}, kicked: map[string]bool{}, counts: map[string]gift.Count{},
	}
	w.gate = w.Gate("shop")
	return w
}

// Get implements gift.Rooms.
func (w *world) Get(_ context.Context, id string) (liveroom.Room, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r, is := w.rooms[id]; is {
		return r, nil
	}
	return liveroom.Room{}, fault.New(fault.NotFound, "there is no such room")
}

// Kicked implements gift.Rooms.
func (w *world) Kicked(_ context.Context, r liveroom.Room, user string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kicked[r.RoomID+"/"+user], nil
}

// room makes a live room with a viewer of its own.
func (w *world) room(id string) {
	w.Helper()
	owner := w.Login("owner")
	_, err := owner.CreateGroup("AVChatRoom", id, id)
	w.Must(err)
	w.Must(w.Login("viewer-" + id).Join(id))
	w.setRoom(liveroom.Room{RoomID: id, Owner: "owner", Status: liveroom.Live, Generation: 1})
}

func (w *world) setRoom(r liveroom.Room) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rooms[r.RoomID] = r
}

// tally counts as the statistics do: each order once, and its refund once.
func (w *world) tally(ctx context.Context, c gift.Count) error {
	if w.stats != nil {
		return w.stats.Gift(ctx, roomstats.Gift{
			RoomID: c.RoomID, OrderID: c.OrderID, UserID: c.UserID, Pieces: c.Pieces, Charge: c.Charge, At: c.At, Refunded: c.Refunded,
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := c.OrderID
	if c.Refunded {
		key += "/refund"
	}
	if was, is := w.counts[key]; is && was != c {
		w.Errorf("%s was counted as %+v and now as %+v", key, was, c)
	}
	w.counts[key] = c
	return nil
}

// counted returns the orders, pieces and charges that a room's statistics show.
func (w *world) counted(room string) (orders, pieces, charged int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.counts {
		if c.RoomID != room {
			continue
		}
		sign := int64(1)
		if c.Refunded {
			sign = -1
		}
		orders, pieces, charged = orders+sign, pieces+sign*c.Pieces, charged+sign*c.Charge
	}
	return orders, pieces, charged
}

// process is one process of ours.
type process struct {
	*world
	ledger *queue.Ledger
	wallet *wallet.Accounts
	out    *outbox.Outbox
	gifts  *gift.Gifts
	routes http.Handler

	mortal    kv.Store // that the process lives on
	lotteries *lottery.Lotteries
}

// process starts a process over a store, which may be mortal.
func (w *world) process(store kv.Store) *process {
	w.Helper()
	return w.processWith(store, wallet.New(store, w.Clock.Now))
}

func (w *world) processWith(store kv.Store, coins *wallet.Accounts) *process {
	w.Helper()
	p := &process{world: w, ledger: queue.NewLedger(store, w.Queue, w.Clock.Now), wallet: coins}
	p.out = outbox.New(outbox.Config{Store: store, IM: w.Client(), Jobs: p.ledger, Now: w.Clock.Now, Sleep: w.Sleep})
	p.gifts = gift.New(gift.Config{
		Store: store, Jobs: p.ledger, Ledger: p.wallet, Rooms: w, Out: p.out, Tally: w.tally, Format: isGift, Notifier: rulestest.Admin, Now: w.Clock.Now,
	})
	p.mortal = store
	p.lotteries = lottery.New(lottery.Config{Store: store, Jobs: p.ledger, Rooms: w, Out: p.out, Admin: rulestest.Admin, Now: w.Clock.Now})
	p.handleDeferred()
	mux := http.NewServeMux()
	p.gifts.Routes(mux, w.gate, []string{"https://app.example"})
	wallet.Routes(mux, p.wallet, w.gate, nil)
	p.routes = api.Routes(mux)
	return p
}

// serves has a process hear IM's callbacks from now on.
func (p *process) serves() *process {
	rules := callback.NewMux()
	p.gifts.Register(rules)
	p.Serve(rules)
	return p
}

// shownGift is a gift message as clients read it.
type shownGift struct {
	Room, From string
	Pieces     int64
	Name       string
	Mark       struct {
		Orders        []string
		Frame, Combo  string
		Pieces, Total int64
		End           bool
	}
}

func isGift(body im.MsgBody) bool {
	if len(body) != 1 || body[0].MsgType != im.CustomElem {
		return false
	}
	_, is := readGift(body[0].MsgContent)
	return is
}

func readGift(content json.RawMessage) (s shownGift, is bool) {
	var c struct{ Data string }
	var d struct {
		BusinessID string `json:"businessID"`
		Data       struct {
			Cmd     string `json:"cmd"`
			CmdInfo struct {
				GiftCount int64  `json:"giftCount"`
				GiftName  string `json:"giftName"`
			} `json:"cmdInfo"`
		} `json:"data"`
	}
	if json.Unmarshal(content, &c) != nil || json.Unmarshal([]byte(c.Data), &d) != nil {
		return s, false
	}
	s.Pieces, s.Name = d.Data.CmdInfo.GiftCount, d.Data.CmdInfo.GiftName
	return s, d.BusinessID == "flutter_live_kit" && d.Data.Cmd == "send_gift_message"
}

// shown returns the gifts that the viewer saw in a room, in the order of MsgSeq.
func (w *world) shown(room string) (gifts []shownGift) {
	list := w.App.Seen("viewer-" + room)
	slices.SortFunc(list, func(a, b imtest.Message) int { return int(a.Seq) - int(b.Seq) })
	for _, m := range list {
		var body im.MsgBody
		w.Must(json.Unmarshal(m.Body, &body))
		s, is := readGift(body[0].MsgContent)
		if !is {
			continue
		}
		s.Room, s.From = m.GroupID, m.From
		var custom struct{ Backchannel any }
		custom.Backchannel = &s.Mark
		w.Must(json.Unmarshal([]byte(m.Custom), &custom))
		gifts = append(gifts, s)
	}
	return gifts
}

// events returns the orders of the gift_refund events that were seen in a room.
func (w *world) events(room string) (orders []string) {
	for _, m := range w.App.Seen("viewer-" + room) {
		var body []struct{ MsgContent struct{ Data string } }
		var e struct {
			BusinessID, Event string
			Data              struct{ Orders []string }
		}
		if json.Unmarshal(m.Body, &body) == nil && json.Unmarshal([]byte(body[0].MsgContent.Data), &e) == nil &&
			e.BusinessID == "backchannel" && e.Event == "gift_refund" {
			orders = append(orders, e.Data.Orders...)
		}
	}
	return orders
}

// deadline is how long a worker may take; a job of one that died is free then.
const deadline = 30 * time.Second

// work carries out the jobs that are due when all callbacks are there.
func (p *process) work() {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), deadline)
	defer cancel()
	for range 2 {
		p.Must(p.App.Settle(ctx))
		p.Must(p.Queue.Work(ctx, p.ledger, p.Clock.Now))
	}
}

// perform carries out a job.
func (p *process) perform(ctx context.Context, j queue.Job) error {
	encoded, err := queue.Encode(j)
	if err != nil {
		return err
	}
	return p.ledger.Perform(ctx, encoded)
}

// seconds lets time pass as a worker sees it.
func (p *process) seconds(n int) {
	p.Helper()
	for range n {
		p.Advance(time.Second)
		p.work()
	}
}

// minutes lets the clock tick.
func (p *process) minutes(n int) {
	p.Helper()
	for range n {
		p.Advance(time.Minute)
		_, err := p.ledger.Sweep(p.Context())
		p.Must(err)
		p.work()
	}
}

// reply is an answer over HTTP.
type reply struct {
	status int
	text   string
	order  gift.Order
}

func (r reply) code() string {
	var e struct{ Error struct{ Code string } }
	_ = json.Unmarshal([]byte(r.text), &e)
	return e.Error.Code
}

// ask makes a request as a user, or as a server if user is "".
func (p *process) ask(user, method, path, key, body string) reply {
	p.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body)).WithContext(p.Context())
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	if user == "" {
		r.Header.Set("Authorization", "Bearer "+apiKey)
	} else {
		sig, err := p.gate.Users.Sign(user, time.Hour)
		p.Must(err)
		r.Header.Set("Authorization", "UserSig "+user+":"+sig)
	}
	res := httptest.NewRecorder()
	p.routes.ServeHTTP(res, r)
	out := reply{status: res.Code, text: res.Body.String()}
	if out.status < 300 {
		if err := json.Unmarshal(res.Body.Bytes(), &out.order); err != nil && !strings.Contains(path, "/wallets") {
			p.Errorf("%s answered %s", path, out.text)
		}
	}
	return out
}

// gives orders a gift over HTTP.
func (p *process) gives(user, room, key, giftID string, count, price int64) reply {
	p.Helper()
	return p.ask(user, http.MethodPost, "/rooms/"+room+"/gifts", key, fmt.Sprintf(`{"giftId":%q,"count":%d,"price":%d}`, giftID, count, price))
}

// sells puts a gift into the catalogue.
func (p *process) sells(giftID string, price int64) {
	p.Helper()
	var version int64
	if is, err := p.gifts.Gift(p.Context(), giftID); err == nil {
		version = is.Version
	}
	_, err := p.gifts.Put(p.Context(), gift.Gift{GiftID: giftID, Name: giftID, Units: "pcs", Price: price, Icon: "i.png", Type: 1, Active: true, Version: version})
	p.Must(err)
}

// pays in.
func (p *process) paysIn(user string, amount int64) {
	p.Helper()
	p.Login(user)
	_, err := p.wallet.Make(p.Context(), wallet.Move{ID: rand.Text(), UserID: user, Amount: amount, Why: wallet.TopUp})
	p.Must(err)
}

func (p *process) balance(user string) int64 {
	p.Helper()
	a, err := p.wallet.Account(p.Context(), user)
	p.Must(err)
	if a.Balance+a.Spent-a.Issued != 0 {
		p.Errorf("the account of %s does not sum to zero: %+v", user, a)
	}
	return a.Balance
}

func (p *process) wantBalance(user string, want int64) {
	p.Helper()
	if got := p.balance(user); got != want {
		p.Errorf("%s has %d, want %d", user, got, want)
	}
}

func (p *process) wantState(user, room, orderID string, want gift.State) {
	p.Helper()
	if r := p.ask(user, http.MethodGet, "/rooms/"+room+"/gifts/orders/"+orderID, "", ""); r.status != 200 || r.order.State != want {
		p.Errorf("order %s: %d %s, want it %s", orderID, r.status, r.text, want)
	}
}

// dump is everything in some partitions.
func (w *world) dump(partitions ...string) string {
	w.Helper()
	var b strings.Builder
	for _, partition := range partitions {
		page, err := w.store.List(w.Context(), partition, kv.Range{Limit: 1000})
		w.Must(err)
		for _, item := range page.Items {
			fmt.Fprintf(&b, "%s %s %s %s\n", partition, item.Key, item.Value, item.Rev)
		}
	}
	return b.String()
}

// lost is so many lost answers that the client gives up.
func lost() []imtest.Fault { return slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 4) }

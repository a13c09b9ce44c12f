package gift_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// storm is how large the storm is.
type storm struct {
	rooms, users int
	lasts        time.Duration // by the emulated clock
	actions      int           // of a user, at most
}

// TestStorm: users order gifts, in combos and alone, some without the money for it,
// ask twice, and write, all at once. IM sends callbacks twice and out of order, loses
// answers to its REST API, and refuses some messages for good; workers are killed at
// any commit and others take over. In the end, order by order: each charged gift was
// shown once or refunded once, every wallet and the whole ledger sum to zero, and the
// statistics of every room are those of the messages and the orders.
func TestStorm(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.DiscardHandler))
	size := storm{rooms: 5, users: 150, lasts: 20 * time.Second, actions: 6}
	if enginetest.Full() {
		size = storm{rooms: 50, users: 5000, lasts: 2 * time.Minute, actions: 10}
	}
	enginetest.Run(t, []enginetest.Test{{Name: "Gifts", Long: true, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		testStorm(newWorld(t, store, clock), size)
	}}})
}

// stormUser is what a user did, and was answered.
type stormUser struct {
	name, room string
	orders     map[string]int64 // charge by id, as it was answered
	refused    map[string]bool  // answered 402
}

func testStorm(w *world, size storm) {
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Minute)
	defer cancel()
	random := rand.New(rand.NewPCG(20, 26))
	stats := roomstats.New(roomstats.Config{Store: w.store, Now: w.Clock.Now})
	w.stats = stats
	start := w.process(w.store)
	start.sells("rose", 10)
	start.sells("car", 70)

	// One process hears IM's callbacks: what comes to a worker that dies is lost
	// together with it, and IM tells nobody again.
	rules := callback.NewMux()
	start.gifts.Register(rules)
	stats.Register(rules)
	start.Serve(rules)

	users := make([]*stormUser, size.users)
	for r := range size.rooms {
		w.room(fmt.Sprint("room", r))
	}
	for n := range users {
		u := &stormUser{name: fmt.Sprint("u", n), room: fmt.Sprint("room", n%size.rooms), orders: map[string]int64{}, refused: map[string]bool{}}
		users[n] = u
		start.paysIn(u.name, 250)
		w.Must(w.Login(u.name).Join(u.room))
	}
	w.Must(w.App.Settle(ctx))
	w.App.Misbehave(imtest.Chaos{Duplicate: 0.3, Reorder: 0.2, DelayBy: 200 * time.Millisecond, LoseAnswer: 0.05})
	refusals := make([]imtest.Fault, 0, size.users)
	for range size.users / 20 {
		refusals = append(refusals, imtest.Fault{Code: 80001})
	}
	w.App.FailNext(command, refusals...)

	// Workers die at a random commit, before it or after it, and are replaced.
	const workers = 4
	fleet := newFleet(w, workers, random)
	end := w.Clock.Now().Add(size.lasts)
	working, stop := context.WithCancel(ctx)
	var all, busy sync.WaitGroup
	for n := range workers {
		busy.Go(func() { fleet.run(working, n) })
	}
	busy.Go(func() {
		for working.Err() == nil {
			w.Advance(20 * time.Millisecond)
			time.Sleep(time.Millisecond)
		}
	})
	next := make(chan *stormUser)
	for n := range 16 {
		draws := rand.New(rand.NewPCG(uint64(n), 7))
		all.Go(func() {
			for u := range next {
				fleet.lives(ctx, u, draws, size.actions)
			}
		})
	}
	for _, u := range users {
		next <- u
	}
	close(next)
	all.Wait()
	for w.Clock.Now().Before(end) {
		time.Sleep(time.Millisecond)
	}
	stop()
	busy.Wait()
	if n := fleet.deaths.Load(); n < workers {
		w.Errorf("only %d workers died", n)
	}

	// The weather clears up, and one process goes on with what is left.
	w.App.Misbehave(imtest.Chaos{})
	last := w.process(w.store)
	for range 25 {
		w.Advance(time.Minute)
		w.Must(w.App.Settle(ctx))
		_, err := last.ledger.Sweep(ctx)
		w.Must(err)
		for j, is := w.Queue.Next(w.Clock.Now()); is; j, is = w.Queue.Next(w.Clock.Now()) {
			fleet.perform(ctx, last, j)
		}
		w.Must(stats.Fold(ctx))
	}
	last.Quiet(last.ledger)
	w.compare(last, users, size)
}

// compare holds what the store says against what users saw.
func (w *world) compare(p *process, users []*stormUser, size storm) {
	shown, delivered := map[string]int{}, map[string]int64{}
	state := w.App.State()
	for r := range size.rooms {
		room := fmt.Sprint("room", r)
		for _, m := range state.Group(room).Messages {
			if m.From != rulestest.Admin { // what a room is told counts as no message
				delivered[room]++
			}
		}
		for _, s := range p.shown(room) {
			for _, id := range s.Mark.Orders {
				shown[id]++
			}
		}
	}
	type figures struct{ gifts, pieces int64 }
	want := map[string]*figures{}
	var total wallet.Account
	sent, refunded := 0, 0
	for _, u := range users {
		f := want[u.room]
		if f == nil {
			f = &figures{}
			want[u.room] = f
		}
		left := int64(250)
		for id, charge := range u.orders {
			_, err := p.wallet.Find(p.Context(), u.name, "refund:"+id)
			back := err == nil
			switch {
			case back && shown[id] > 0, !back && shown[id] != 1:
				p.Errorf("order %s of %s: shown %d times, refunded %v", id, u.name, shown[id], back)
			case back:
				refunded++
			default:
				sent++
				left -= charge
				f.gifts, f.pieces = f.gifts+1, f.pieces+pieces(charge)
			}
			delete(shown, id)
		}
		for id := range u.refused {
			if _, err := p.wallet.Find(p.Context(), u.name, id); !errors.Is(err, wallet.ErrInsufficient) {
				p.Errorf("order %s was refused with 402, and is %v", id, err)
			}
		}
		a, err := p.wallet.Account(p.Context(), u.name)
		p.Must(err)
		if a.Balance != left {
			p.Errorf("%s has %d, want %d", u.name, a.Balance, left)
		}
		total.Balance, total.Issued, total.Spent = total.Balance+a.Balance, total.Issued+a.Issued, total.Spent+a.Spent
	}
	if total.Balance+total.Spent-total.Issued != 0 {
		p.Errorf("the ledger sums to %+v", total)
	}
	for id, n := range shown {
		p.Errorf("order %s was shown %d times, and nobody was charged for it", id, n)
	}
	if sent == 0 || refunded == 0 {
		p.Errorf("%d orders were shown and %d refunded: no storm", sent, refunded)
	}
	for room, f := range want {
		got := w.statistics(p, room)
		if got.Messages != delivered[room] || got.Gifts != f.gifts || got.GiftPieces != f.pieces {
			p.Errorf("%s: %+v, want %d messages, %d gifts, %d pieces", room, got, delivered[room], f.gifts, f.pieces)
		}
	}
	p.t.Logf("%d users in %d rooms: %d gifts shown, %d refunded, %d coins spent", len(users), size.rooms, sent, refunded, total.Spent)
}

// pieces of an order by its charge: roses cost 10, cars 70, one car an order.
func pieces(charge int64) int64 {
	if charge == 70 {
		return 1
	}
	return charge / 10
}

// figuresOf are a room's statistics as the route answers them.
type figuresOf struct{ Messages, Gifts, GiftPieces int64 }

func (w *world) statistics(p *process, room string) (f figuresOf) {
	w.Helper()
	mux := http.NewServeMux()
	w.stats.Routes(mux, w.gate)
	asking := *p
	asking.routes = api.Routes(mux)
	r := asking.ask("", http.MethodGet, "/rooms/"+room+"/stats", "", "")
	if err := json.Unmarshal([]byte(r.text), &f); err != nil || r.status != 200 {
		w.Fatalf("%d %s", r.status, r.text)
	}
	return f
}

// fleet are processes of which each serves requests and works until it dies.
type fleet struct {
	*world
	deaths atomic.Int64

	mu      sync.Mutex
	random  *rand.Rand
	members []*process
}

func newFleet(w *world, n int, random *rand.Rand) *fleet {
	f := &fleet{world: w, random: random, members: make([]*process, n)}
	for i := range n {
		f.replace(i)
	}
	return f
}

// replace starts a process that will die at a commit of its own.
func (f *fleet) replace(i int) (died func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mortal, died := kvtest.Mortal(f.store, 30+f.random.IntN(400), f.random.IntN(2) == 0)
	f.members[i] = f.process(mortal)
	return died
}

func (f *fleet) member(i int) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members[i%len(f.members)]
}

// run carries out jobs, as one process after another.
func (f *fleet) run(ctx context.Context, i int) {
	died := f.replace(i)
	swept := f.Clock.Now()
	for ctx.Err() == nil {
		if died() {
			f.deaths.Add(1)
			died = f.replace(i)
		}
		p := f.member(i)
		if f.Clock.Now().Sub(swept) > time.Minute {
			swept = f.Clock.Now()
			_, _ = p.ledger.Sweep(ctx)
		}
		j, is := f.Queue.Next(f.Clock.Now())
		if !is {
			time.Sleep(time.Millisecond)
			continue
		}
		f.perform(ctx, p, j)
	}
}

// perform carries out a job, some of them twice. One that fails is brought again, as
// engines do.
func (f *fleet) perform(ctx context.Context, p *process, j queue.Job) {
	f.mu.Lock()
	twice := f.random.IntN(10) < 3
	f.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	if err := p.perform(bounded, j); err != nil {
		_ = f.Queue.Enqueue(ctx, j) // it never fails
		return
	}
	if twice {
		_ = p.perform(bounded, j)
	}
}

// lives is what a user does.
func (f *fleet) lives(ctx context.Context, u *stormUser, draws *rand.Rand, actions int) {
	for n := range 1 + draws.IntN(actions) {
		switch draws.IntN(4) {
		case 0:
			_, err := f.Login(u.name).Send(u.room, imtest.Draft{Text: fmt.Sprint("text ", n)})
			if err != nil {
				f.Error(err)
			}
		case 1:
			f.orders(ctx, u, draws, fmt.Sprint("car", n), "car", 1, 70)
		default:
			for tap := range 1 + draws.IntN(6) {
				f.orders(ctx, u, draws, fmt.Sprint("tap", n, "/", tap), "rose", 1+draws.Int64N(3), 10)
			}
		}
	}
}

// orders has a user order until there is a definite answer, under one key.
func (f *fleet) orders(ctx context.Context, u *stormUser, draws *rand.Rand, key, giftID string, count, price int64) {
	id := gift.OrderID(u.name, key)
	repeats := 1
	if draws.IntN(10) < 3 {
		repeats = 2
	}
	for tries := 0; ctx.Err() == nil && tries < 1000; tries++ {
		r := f.member(draws.IntN(8)).gives(u.name, u.room, key, giftID, count, price)
		switch {
		case r.status == http.StatusCreated:
			if r.order.OrderID != id || r.order.Charged != count*price {
				f.Errorf("%s answered %s", id, r.text)
			}
			u.orders[id] = r.order.Charged
		case r.status == http.StatusPaymentRequired:
			u.refused[id] = true
		case r.status >= 500:
			time.Sleep(2 * time.Millisecond)
			continue
		default:
			f.Errorf("%d %s", r.status, r.text)
			return
		}
		if repeats--; repeats == 0 {
			return
		}
	}
	f.Errorf("no answer to %s", key)
}

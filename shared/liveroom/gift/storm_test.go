package gift_test

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
	"github.com/backchannel-im/backchannel/shared/liveroom/lottery"
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
	restarts     time.Duration // between two restarts of the engine, in real time
	tick         time.Duration // 20 ms of the emulated clock, in real time
}

// TestStorm: users come, go, lose their connections, write, like, enter lotteries and
// order gifts, in combos and alone, some without the money for it, and ask twice, all
// at once. IM sends callbacks twice and out of order, loses answers to its REST API,
// and refuses some messages for good; workers are killed at any commit and others take
// over, and the engine is restarted under them. In the end, id by id: each charged gift
// was shown once or refunded once, every wallet and the whole ledger sum to zero, and
// the statistics of every room and user, the boards and the lotteries are those of what
// happened in IM.
//
// Likes are counted when they are delivered here: where they are counted before they
// are sent, those of the moment without an engine are lost, as docs/scenarios/live-room.md
// says.
func TestStorm(t *testing.T) {
	size := storm{rooms: 5, users: 150, lasts: 20 * time.Second, actions: 8, restarts: 50 * time.Millisecond, tick: time.Millisecond}
	if enginetest.Full() {
		size = storm{rooms: 50, users: 5000, lasts: 2 * time.Minute, actions: 12, restarts: 5 * time.Second, tick: time.Millisecond}
	}
	run := func(name string, size storm, open func(*testing.T, *kvtest.Clock) *engine) {
		t.Run(name, func(t *testing.T) {
			clock := kvtest.NewClock()
			e := open(t, clock)
			testStorm(newWorld(t, e, clock), e, size)
		})
	}
	run("Bolt", size, openBolt)
	if enginetest.Full() {
		run("Redis", size, openRedis)
		// The emulator is slower. Were the clock much faster than it, leases would end
		// while workers hold them, and sweeps and folds would leave no time for
		// anything else.
		size.tick = 10 * time.Millisecond
		run("DynamoDB", size, openDynamoDB)
	}
}

// stormUser is what a user did, and was answered.
type stormUser struct {
	name, room string
	client     *imtest.Client
	orders     map[string]int64 // charge by id, as it was answered
	refused    map[string]bool  // answered 402
	likes      int64
	enters     bool // the lottery
}

// keyword enters a lottery of the storm.
const keyword = "win"

func testStorm(w *world, e *engine, size storm) {
	ctx, cancel := context.WithTimeout(w.Context(), 25*time.Minute)
	defer cancel()
	random := rand.New(rand.NewPCG(20, 26))
	w.stats = w.statsOver(w.store)
	start := w.process(w.store)
	start.sells("rose", 10)
	start.sells("car", 70)

	// One process hears IM's callbacks. What its rules fail on while the engine is away
	// is kept as a job, and where that fails too, IM tells it again.
	w.rules = callback.NewMux()
	start.gifts.Register(w.rules)
	start.lotteries.Register(w.rules)
	w.stats.Register(w.rules)
	seen := &attendance{at: map[string][]moment{}}
	seen.register(w.rules)
	w.ServeWith(w.rules, func(ctx context.Context, d callback.Deferred) error {
		body, err := json.Marshal(d)
		if err != nil {
			return err
		}
		return start.ledger.Put(ctx, queue.Job{ID: crand.Text(), Kind: deferred, Lane: queue.Fast, Body: body})
	})

	users := make([]*stormUser, size.users)
	drawn := map[string]string{} // id of the lottery, by room
	for r := range size.rooms {
		room := fmt.Sprint("room", r)
		w.room(room)
		// It is drawn when the storm is over, and all messages were heard.
		is, err := start.lotteries.Create(ctx, api.Caller{Server: "shop"}, room, "one", lottery.Asked{
			Keyword: keyword, Winners: 3, Seconds: int64(lottery.MaxWindow / time.Second), Prize: "a mug",
		})
		w.Must(err)
		drawn[room] = is.LotteryID
	}
	for n := range users {
		u := &stormUser{name: fmt.Sprint("u", n), room: fmt.Sprint("room", n%size.rooms), orders: map[string]int64{}, refused: map[string]bool{}}
		users[n] = u
		start.paysIn(u.name, 250)
		u.client = w.Login(u.name)
		w.Must(u.client.Join(u.room))
	}
	w.Must(w.App.Settle(ctx))
	w.App.Misbehave(imtest.Chaos{Duplicate: 0.3, Reorder: 0.2, DelayBy: 200 * time.Millisecond, LoseAnswer: 0.05})
	refusals := make([]imtest.Fault, 0, max(20, size.users/20))
	for range max(20, size.users/20) {
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
			time.Sleep(size.tick)
		}
	})
	busy.Go(func() {
		for every := time.NewTicker(size.restarts); ; {
			select {
			case <-working.Done():
				return
			case <-every.C:
				e.restart()
			}
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
	w.t.Log("the users have acted")
	for w.Clock.Now().Before(end) {
		time.Sleep(time.Millisecond)
	}
	stop()
	busy.Wait()
	if n := fleet.deaths.Load(); n < workers {
		w.Errorf("only %d workers died", n)
	}
	if e.restarts == 0 || !e.patient && e.lost.Load() == 0 {
		w.Errorf("the engine was restarted %d times, and %d calls failed for it: no storm", e.restarts, e.lost.Load())
	}

	// The weather clears up, and one process goes on with what is left.
	w.t.Log("the storm is over")
	w.App.Misbehave(imtest.Chaos{})
	last := w.process(w.store)
	for range 30 {
		w.Advance(time.Minute)
		w.Must(w.App.Settle(ctx))
		last.sweeps(ctx)
		fleet.drain(ctx, last)
		w.patiently(func() error { return w.stats.Fold(ctx) })
	}
	for room, id := range drawn {
		for range 2 { // drawing twice answers the same
			w.patiently(func() error {
				_, err := last.lotteries.Draw(ctx, api.Caller{Server: "shop"}, room, id)
				return err
			})
		}
	}
	w.compare(last, users, size)
	w.compareRooms(last, users, seen, size)
	w.compareLotteries(last, users, drawn)
	for range 13 { // until nothing is left that could be due, such as the draws
		w.Advance(2 * time.Hour)
		last.sweeps(ctx)
		w.Must(w.App.Settle(ctx))
		fleet.drain(ctx, last)
	}
	last.Quiet(last.ledger)
	w.t.Logf("the engine was restarted %d times, for which %d calls failed; %d workers died", e.restarts, e.lost.Load(), fleet.deaths.Load())
}

// patiently repeats what the engine was too slow for: calls have their deadlines in real
// time, and a fold makes dozens of calls at once.
func (w *world) patiently(do func() error) {
	w.Helper()
	err := do()
	for tries := 1; (errors.Is(err, kv.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)) && tries < 20; tries++ {
		err = do()
	}
	w.Must(err)
}

// sweeps has the clock look for jobs that nobody carried out.
func (p *process) sweeps(ctx context.Context) {
	p.Helper()
	p.patiently(func() error {
		_, err := p.ledger.Sweep(ctx)
		return err
	})
}

// statsOver are the statistics as each process counts them.
func (w *world) statsOver(store kv.Store) *roomstats.Stats {
	return roomstats.New(roomstats.Config{Store: store, Now: w.Clock.Now, LikesDelivered: true, Uncounted: []string{"owner"}})
}

// deferred is the kind of a job that repeats a rule which failed on a callback.
const deferred = "deferred"

// handleDeferred has a process carry out such jobs.
func (p *process) handleDeferred() {
	p.ledger.Handle(deferred, func(ctx context.Context, j queue.Job) error {
		var d callback.Deferred
		if err := json.Unmarshal(j.Body, &d); err != nil {
			return err
		}
		return p.rules.Redo(ctx, d)
	})
}

// attendance is who was in which room, by the times that IM's callbacks tell.
type attendance struct {
	mu sync.Mutex
	at map[string][]moment // by room + "/" + user
}

type moment struct {
	at int64 // Unix milliseconds
	in bool
}

func (a *attendance) register(m *callback.Mux) {
	add := func(room string, members []callback.Member, at callback.Millis, in bool) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, user := range callback.UserIDs(members) {
			a.at[room+"/"+user] = append(a.at[room+"/"+user], moment{int64(at), in})
		}
		return nil
	}
	callback.After(m, "truth", func(_ context.Context, e *callback.GroupAfterNewMemberJoin) error {
		return add(e.GroupID, e.NewMembers, e.EventTime, true)
	})
	callback.After(m, "truth", func(_ context.Context, e *callback.GroupAfterMemberExit) error {
		return add(e.GroupID, e.ExitMembers, e.EventTime, false)
	})
	callback.After(m, "truth", func(_ context.Context, e *callback.GroupOnMemberStateChange) error {
		return add(e.GroupID, e.MemberList, e.EventTime, e.EventType != "Offline")
	})
}

// of returns how long a user was in a room until now, and whether he still is.
func (a *attendance) of(room, user string, now time.Time) (seconds int64, online bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.at[room+"/"+user]
	slices.SortStableFunc(list, func(x, y moment) int {
		if x.at == y.at && x.in != y.in { // leaving comes before coming
			if y.in {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.at, y.at)
	})
	var millis, since int64
	for _, m := range list {
		switch {
		case m.in && !online:
			online, since = true, m.at
		case !m.in && online:
			online, millis = false, millis+m.at-since
		}
	}
	if online {
		millis += now.UnixMilli() - since
	}
	return millis / 1000, online
}

// compareRooms holds the statistics of every room and user, and the boards, against
// what happened.
func (w *world) compareRooms(p *process, users []*stormUser, seen *attendance, size storm) {
	ctx, now := p.Context(), p.Clock.Now()
	state := w.App.State()
	likes, charges := map[string]int64{}, map[string]int64{}
	orders := map[string]int64{} // of a user, that were not refunded
	for _, u := range users {
		likes[u.room] += u.likes
		for id, charge := range u.orders {
			if _, err := p.wallet.Find(ctx, u.name, "refund:"+id); err != nil {
				charges[u.name] += charge
				orders[u.name]++
			}
		}
	}
	liked := map[string]*stormUser{}
	for _, u := range users {
		liked[u.name] = u
	}
	for r := range size.rooms {
		room := fmt.Sprint("room", r)
		wrote := map[string]int64{}
		for _, m := range state.Group(room).Messages {
			wrote[m.From]++
		}
		online := int64(0)
		for _, m := range state.Group(room).Members {
			if !m.Offline && m.UserID != "owner" {
				online++
			}
		}
		got, err := w.stats.Totals(ctx, room)
		w.Must(err)
		if got.Likes != likes[room] || got.Online != online || got.PeakOnline < got.Online || got.PeakOnline > int64(size.users) {
			p.Errorf("%s: %d likes, %d online, at most %d; want %d likes, %d online", room, got.Likes, got.Online, got.PeakOnline, likes[room], online)
		}
		listed := map[string]bool{}
		for after := ""; ; {
			page, err := w.stats.Page(ctx, room, after, 100)
			w.Must(err)
			for _, row := range page.Users {
				listed[row.UserID] = true
				seconds, is := seen.of(room, row.UserID, now)
				if is {
					online--
				}
				want := roomstats.User{UserID: row.UserID, Messages: wrote[row.UserID], Gifts: orders[row.UserID], OnlineSeconds: seconds, Level: row.Level}
				if u := liked[row.UserID]; u != nil {
					want.Likes = u.likes
				}
				if row.UserID == "owner" {
					want.OnlineSeconds = 0
				}
				if row != want {
					p.Errorf("%s: %+v, want %+v", room, row, want)
				}
			}
			if after = page.Next; after == "" {
				break
			}
		}
		if online != 0 {
			p.Errorf("%s: IM's members and callbacks differ by %d", room, online)
		}
		for user := range wrote {
			if !listed[user] && user != rulestest.Admin {
				p.Errorf("%s: %s wrote, and is not listed", room, user)
			}
		}
	}
	w.compareBoard(p, roomstats.BoardLikes, likes)
	w.compareBoard(p, roomstats.BoardGifts, charges)
}

// compareBoard holds a board against scores by id: each line, and the order of them.
func (w *world) compareBoard(p *process, board string, scores map[string]int64) {
	list, _, err := w.stats.Board(p.Context(), board, "", 200, p.Clock.Now())
	w.Must(err)
	var want []int64
	for _, score := range scores {
		if score > 0 {
			want = append(want, score)
		}
	}
	slices.SortFunc(want, func(a, b int64) int { return cmp.Compare(b, a) })
	want = want[:min(len(want), 200)]
	var got []int64
	for _, line := range list {
		if line.Score != scores[line.RoomID+line.UserID] {
			p.Errorf("board %s: %+v, want %d", board, line, scores[line.RoomID+line.UserID])
		}
		if line.Score > 0 {
			got = append(got, line.Score)
		}
	}
	if !slices.Equal(got, want) || len(want) == 0 {
		p.Errorf("board %s has %d lines %v, want %d %v", board, len(got), got, len(want), want)
	}
}

// compareLotteries: who entered is who wrote the keyword, each once, and the draw is
// the one that anybody computes.
func (w *world) compareLotteries(p *process, users []*stormUser, drawn map[string]string) {
	entered := map[string][]string{}
	for _, u := range users {
		if u.enters {
			entered[u.room] = append(entered[u.room], u.name)
		}
	}
	for room, id := range drawn {
		is, err := p.lotteries.Get(p.Context(), room, id)
		w.Must(err)
		if is.State != lottery.Drawn {
			p.Errorf("the lottery of %s is %s", room, is.State)
			continue
		}
		if err := lottery.Verify(is); err != nil {
			p.Errorf("the lottery of %s: %v", room, err)
		}
		got, want := slices.Sorted(slices.Values(is.Entries)), slices.Sorted(slices.Values(entered[room]))
		if !slices.Equal(got, want) || len(is.Winners) != min(3, len(want)) {
			p.Errorf("the lottery of %s has %d entries and winners %q, want %d entries: %q, want %q", room, len(got), is.Winners, len(want), got, want)
		}
	}
}

// ListRestrictions implements lottery.Rooms: nobody is kicked in a storm.
func (w *world) ListRestrictions(context.Context, api.Caller, string, string, int) ([]liveroom.Restriction, string, error) {
	return nil, "", nil
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
		if f.Clock.Now().Sub(swept) > 20*time.Second {
			swept = f.Clock.Now()
			_, _ = p.ledger.Sweep(ctx)
			_ = f.statsOver(p.mortal).Fold(ctx) // it fails with the engine, and goes on next time
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

// drain carries out all jobs that are due, several at once.
func (f *fleet) drain(ctx context.Context, p *process) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for j, is := f.Queue.Next(f.Clock.Now()); is; j, is = f.Queue.Next(f.Clock.Now()) {
				f.perform(ctx, p, j)
			}
		})
	}
	all.Wait()
}

// lives is what a user does.
func (f *fleet) lives(ctx context.Context, u *stormUser, draws *rand.Rand, actions int) {
	send := func(d imtest.Draft) {
		if _, err := u.client.Send(u.room, d); err != nil {
			f.Error(err)
		}
	}
	for n := range 1 + draws.IntN(actions) {
		switch draws.IntN(9) {
		case 0, 1:
			send(imtest.Draft{Text: fmt.Sprint("text ", n)})
		case 2:
			f.orders(ctx, u, draws, fmt.Sprint("car", n), "car", 1, 70)
		case 3:
			count := 1 + draws.Int64N(20)
			send(imtest.Draft{Priority: imtest.Low, Body: im.Custom(fmt.Sprintf(
				`{"businessID":"flutter_live_kit","data":{"cmd":"thumbs_up","cmdInfo":{"count":%d}}}`, count), "", "")})
			u.likes += count
		case 4:
			send(imtest.Draft{Text: []string{keyword, " WIN "}[draws.IntN(2)]})
			u.enters = true
		case 5:
			for _, err := range []error{f.moves(u.client.Quit, u.room), f.moves(u.client.Join, u.room)} {
				if err != nil {
					f.Error(err)
				}
			}
		default:
			for tap := range 1 + draws.IntN(6) {
				f.orders(ctx, u, draws, fmt.Sprint("tap", n, "/", tap), "rose", 1+draws.Int64N(3), 10)
			}
		}
	}
	switch draws.IntN(10) {
	case 0:
		u.client.Vanish()
	case 1:
		if err := f.moves(u.client.Quit, u.room); err != nil {
			f.Error(err)
		}
	}
}

// moves has a user come or go, at a time of its own: of events of one millisecond
// nobody can say which was first.
func (f *fleet) moves(do func(string) error, room string) error {
	f.Advance(time.Millisecond)
	return do(room)
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

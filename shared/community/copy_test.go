package community_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// rates counts calls of IM by command, and how many fell into one second at most.
type rates struct {
	mu    sync.Mutex
	now   func() time.Time
	calls map[string]int
	last  map[string][]time.Time
	most  map[string]int
}

func (r *rates) heard(path string) {
	_, command, _ := strings.Cut(path, "/v4/")
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.calls[command]++
	within := append(r.last[command], now)
	for now.Sub(within[0]) >= time.Second {
		within = within[1:]
	}
	r.last[command] = within
	r.most[command] = max(r.most[command], len(within))
}

func (r *rates) count(command string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[command]
}

func (r *rates) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls, r.last, r.most = make(map[string]int), make(map[string][]time.Time), make(map[string]int)
}

// stirred calls f every so many commits, in the middle of what is going on.
type stirred struct {
	kv.Store
	every int
	n     int
	f     func()
	busy  bool
	mu    sync.Mutex
}

func (s *stirred) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	if strings.HasPrefix(partition, "community-threads/") {
		s.mu.Lock()
		s.n++
		stir := s.n%s.every == 0 && !s.busy
		s.busy = s.busy || stir
		s.mu.Unlock()
		if stir {
			s.f()
			s.mu.Lock()
			s.busy = false
			s.mu.Unlock()
		}
	}
	return s.Store.Commit(ctx, partition, op, writes...)
}

// A large community, into whose sub-channels of the group form members are copied
// while others join and leave, and while the copying process dies again and again: in
// the end all are in and nobody else, nobody was added twice, and no second saw more
// calls than IM takes.
func TestCopyOfManyMembers(t *testing.T) {
	// IM takes 100,000 into a community: there is room for those who come meanwhile.
	users, threads, kills := enginetest.Size(2000, 99_700), enginetest.Size(4, 20), enginetest.Size(6, 20)
	clock := kvtest.NewClock()
	r := &rates{now: clock.Now}
	r.reset()
	w := onBoltWith(t, clock, rulestest.Options{OnREST: r.heard})
	p := w.process(w.store)
	p.opens("town")
	general := p.channel("town", "general")
	ids := make([]string, users)
	accounts := make([]im.Account, users)
	for i := range ids {
		ids[i] = fmt.Sprintf("user%06d", i)
		accounts[i] = im.Account{UserID: ids[i]}
	}
	client := w.Client()
	if _, err := client.ImportAccounts(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	for chunk := range slices.Chunk(ids, 5000) {
		if _, err := client.AddGroupMembers(t.Context(), prefix+"town", chunk, true); err != nil {
			t.Fatal(err)
		}
		w.Must(w.App.Settle(t.Context()))
	}
	t.Logf("%d members joined in %v", users, time.Since(started).Round(time.Second))

	// Who comes and goes while members are copied.
	random := rand.New(rand.NewPCG(3, 4))
	spare, churned, out := 0, make(map[string]*imtest.Client), make(map[string]bool)
	stir := func() {
		for range 2 {
			if random.IntN(2) == 0 {
				id := fmt.Sprintf("late%06d", spare)
				spare++
				c := w.Login(id)
				w.Must(c.Join(prefix + "town"))
				churned[id] = c
				continue
			}
			id := ids[random.IntN(users)]
			c := churned[id]
			if c == nil {
				c = w.Login(id)
				churned[id] = c
			}
			if out[id] = !out[id]; out[id] {
				w.Must(c.Quit(prefix + "town"))
			} else {
				w.Must(c.Join(prefix + "town"))
			}
		}
		w.Must(w.App.Settle(t.Context()))
	}
	r.reset()
	began, real := w.Clock.Now(), time.Now()
	store := &stirred{Store: w.store, every: max(7, users*threads/200/enginetest.Size(40, 200)), f: stir}
	var made []thread.Thread
	body := func(i int) string {
		return fmt.Sprintf(`{"name":"group %d","channelId":%q,"form":"group"}`, i, general.ChannelID)
	}
	for i := range threads {
		made = append(made, p.thread(server, "town", body(i), fmt.Sprint("t", i)))
	}
	// Lives of the process that copies, all but the last cut short.
	for life := range kills + 1 {
		var mortal kv.Store = store
		died := func() bool { return false }
		if life < kills {
			mortal, died = kvtest.Mortal(store, 10+random.IntN(users*threads/200/kills+20), life%2 == 0)
		}
		p = w.process(mortal)
		w.process(w.store) // another one, which lives, hears the callbacks
		func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			for range 3 {
				w.Must(w.App.Settle(ctx))
				if err := w.Queue.Work(ctx, p.ledger, w.Clock.Now); err != nil && !died() {
					t.Fatal(err)
				}
			}
		}()
		w.Advance(90 * time.Second) // the next one, when leases have ended
		p = w.process(w.store)
		w.Must(thread.Copies.Sweep(w.store, p.ledger, w.Clock.Now)(t.Context()))
		w.Must(thread.Follows.Sweep(w.store, p.ledger, w.Clock.Now)(t.Context()))
		_, err := p.ledger.Sweep(t.Context())
		w.Must(err)
		t.Logf("life %d of %d ended after %d additions in all", life+1, kills+1, r.count("group_open_http_svc/add_group_member"))
	}
	p = w.process(w.store)
	// A job whose worker died is free when its lease has ended and its pause is over.
	done := func() bool {
		for _, th := range made {
			if !rulestest.Into[thread.Thread](p, p.do(server, "GET", "/communities/town/threads/"+th.ThreadID, ``)).Done {
				return false
			}
		}
		return true
	}
	waited := 0
	for ; waited < 60 && (waited < 6 || !done()); waited += 3 {
		p.minutes(3)
	}
	state := w.App.State() // once: it is large
	want := membersOf(state.Group(prefix + "town"))
	for i, th := range made {
		got := rulestest.Into[thread.Thread](p, p.do(server, "GET", "/communities/town/threads/"+th.ThreadID, ``))
		in := membersOf(state.Group(th.GroupID))
		if !got.Done || !slices.Equal(in, want) {
			t.Errorf("sub-channel %d: %+v; %d members of %d", i, got, len(in), len(want))
		}
		if a := p.do(server, "POST", "/communities/town/threads", body(i), fmt.Sprint("t", i)); a.Status != http.StatusCreated {
			t.Errorf("asked for once more: %d %s", a.Status, a.Text)
		}
	}
	calls := 0
	for command, n := range r.calls {
		calls += n
		if r.most[command] > 200 {
			t.Errorf("%s: %d calls within a second", command, r.most[command])
		}
	}
	added := r.calls["group_open_http_svc/add_group_member"]
	t.Logf("%d members, %d sub-channels, %d kills, %d came and %d others moved meanwhile", users, threads, kills, spare, len(churned)-spare)
	t.Logf("%d calls, %d of them additions of 20: %v at IM's 200 a second; it took %v of IM's time, with %v of pauses after kills, and %v of this machine's",
		calls, added, time.Duration(added)*time.Second/200, w.Clock.Now().Sub(began).Round(time.Second), time.Duration(kills+1)*90*time.Second+time.Duration(waited)*time.Minute, time.Since(real).Round(time.Second))
}

package mail_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/mail/mailtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const swap = `{"with":"bob","give":[{"itemId":"sword","count":1}],"want":[{"itemId":"gem","count":10}]}`

// traders is a world with two players who have something.
func traders(t *testing.T) (*world, *proc) {
	w := onBolt(t)
	w.logins("ann", "bob", "cat")
	w.game.Give("ann", "sword", 2)
	w.game.Give("bob", "gem", 10)
	return w, w.process(w.store)
}

func (p *proc) offer(key, body string) mail.TradeView {
	p.Helper()
	a := p.do("ann", "POST", "/trades", body, key)
	p.want(a, 201, "")
	return rulestest.Into[mail.TradeView](p, a)
}

// balance fails unless there are so many of each item, and none is held.
func (w *world) balance(ann, bob map[string]int64) {
	w.Helper()
	for user, want := range map[string]map[string]int64{"ann": ann, "bob": bob} {
		if has := w.game.Inventory(user); fmt.Sprint(has) != fmt.Sprint(want) {
			w.Errorf("%s has %v, want %v", user, has, want)
		}
	}
	if n := w.game.Held(); n != 0 {
		w.Errorf("%d holds are left", n)
	}
	if problems := w.game.Problems(); len(problems) > 0 {
		w.Errorf("the game: %v", problems)
	}
}

func TestTrade(t *testing.T) {
	w, p := traders(t)
	v := p.offer("k", swap)
	if v.State != mail.TradeOpen || v.Version != 1 || v.From != "ann" {
		t.Errorf("%+v", v)
	}
	if again := p.offer("k", swap); again.TradeID != v.TradeID {
		t.Errorf("asked again: %+v", again)
	}
	p.want(p.do("ann", "POST", "/trades", `{"with":"cat","give":[],"want":[{"itemId":"gem","count":1}]}`, "k"), 422, "idempotency_mismatch")
	if has := w.game.Inventory("ann"); has["sword"] != 1 {
		t.Errorf("the sword is not held: %v", has)
	}
	path := "/trades/" + v.TradeID
	p.want(p.do("cat", "GET", path, ``), 404, "not_found")
	p.want(p.do("cat", "POST", path+"/accept", ``), 404, "not_found")
	p.want(p.do("ann", "POST", path+"/accept", ``), 403, "forbidden")
	p.want(p.do("bob", "POST", path+"/accept", `{"version":2}`), 409, "conflict")
	done := p.do("bob", "POST", path+"/accept", `{"version":1}`)
	if v := rulestest.Into[mail.TradeView](p, done); v.State != mail.TradeDone {
		t.Errorf("%+v", v)
	}
	p.want(p.do("bob", "POST", path+"/accept", ``), 200, "")
	p.want(p.do("ann", "POST", path+"/cancel", ``), 409, "conflict")
	w.balance(map[string]int64{"sword": 1, "gem": 10}, map[string]int64{"sword": 1})
	// Both were told of the offer and of its end, once each.
	told := 0
	for _, c := range w.App.State().Conversations {
		if c.Users == [2]string{"ann", "bob"} {
			told = len(c.Messages)
		}
	}
	w.Redeliver(p.ledger)
	p.minutes(15)
	if told != 2 {
		t.Errorf("told %d times", told)
	}
	w.balance(map[string]int64{"sword": 1, "gem": 10}, map[string]int64{"sword": 1})
	w.Quiet(p.ledger)
}

// TestTradeEnds: a trade that does not come about leaves both with what they had.
func TestTradeEnds(t *testing.T) {
	had := func(w *world) { w.Helper(); w.balance(map[string]int64{"sword": 2}, map[string]int64{"gem": 10}) }
	for name, end := range map[string]func(w *world, p *proc, path string) (state string){
		"cancelled by its maker": func(_ *world, p *proc, path string) string {
			p.want(p.do("ann", "POST", path+"/cancel", ``), 200, "")
			p.want(p.do("ann", "POST", path+"/cancel", ``), 200, "")
			return mail.TradeCancelled
		},
		"turned down": func(_ *world, p *proc, path string) string {
			p.want(p.do("bob", "POST", path+"/cancel", ``), 200, "")
			p.want(p.do("bob", "POST", path+"/accept", ``), 409, "conflict")
			return mail.TradeCancelled
		},
		"expired": func(_ *world, p *proc, _ string) string {
			p.minutes(12)
			return mail.TradeExpired
		},
		"accepted too late": func(w *world, p *proc, path string) string {
			w.Advance(10 * time.Minute)
			p.want(p.do("bob", "POST", path+"/accept", ``), 200, "")
			return mail.TradeExpired
		},
		"the other lacks the items": func(w *world, p *proc, path string) string {
			w.game.Give("bob", "gem", -1)
			p.want(p.do("bob", "POST", path+"/accept", ``), 200, "")
			w.game.Give("bob", "gem", 1)
			return mail.TradeCancelled
		},
		"the other has no room": func(w *world, p *proc, path string) string {
			w.game.Room("bob", 10)
			p.want(p.do("bob", "POST", path+"/accept", ``), 200, "")
			return mail.TradeCancelled
		},
		"the game refuses the move": func(w *world, p *proc, path string) string {
			w.game.Fail(func(c mailtest.Call, _ int) mailtest.Fault {
				if c.Op == "move" {
					return mailtest.Fault{Status: 422}
				}
				return mailtest.Fault{}
			})
			p.want(p.do("bob", "POST", path+"/accept", ``), 200, "")
			return mail.TradeCancelled
		},
		"the answer to the second hold is lost for good": func(w *world, p *proc, path string) string {
			w.game.Fail(func(c mailtest.Call, _ int) mailtest.Fault {
				return mailtest.Fault{Lost: c.Op == "hold" && c.Side == "b"}
			})
			p.want(p.do("bob", "POST", path+"/accept", ``), 200, "")
			p.minutes(14)
			return mail.TradeExpired
		},
		"the second hold comes after its release": func(w *world, p *proc, path string) string {
			w.game.Fail(func(c mailtest.Call, _ int) mailtest.Fault {
				if c.Op == "hold" && c.Side == "b" {
					return mailtest.Fault{Status: 503}
				}
				return mailtest.Fault{}
			})
			p.want(p.do("bob", "POST", path+"/accept", ``), 200, "")
			p.minutes(14)
			w.game.Fail(nil)
			w.Redeliver(p.ledger)
			return mail.TradeExpired
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := traders(t)
			v := p.offer("k", swap)
			state := end(w, p, "/trades/"+v.TradeID)
			for _, user := range []string{"ann", "bob"} {
				if got := rulestest.Into[mail.TradeView](p, p.do(user, "GET", "/trades/"+v.TradeID, ``)); got.State != state {
					t.Errorf("%s sees %+v, want %s", user, got, state)
				}
			}
			had(w)
			w.game.Fail(nil)
			w.Redeliver(p.ledger)
			p.minutes(15)
			had(w)
			w.Quiet(p.ledger)
		})
	}
}

// TestOfferRefused: who lacks what he gives, or has no room for what he wants, makes no
// offer.
func TestOfferRefused(t *testing.T) {
	w, p := traders(t)
	p.want(p.do("ann", "POST", "/trades", `{"with":"bob","give":[{"itemId":"sword","count":3}],"want":[]}`, "k"), 409, "game_refused")
	w.game.Room("ann", 5)
	p.want(p.do("ann", "POST", "/trades", swap, "l"), 409, "game_refused")
	w.balance(map[string]int64{"sword": 2}, map[string]int64{"gem": 10})
	// An item gift is a trade that wants nothing.
	v := p.offer("gift", `{"with":"bob","give":[{"itemId":"sword","count":1}]}`)
	p.want(p.do("bob", "POST", "/trades/"+v.TradeID+"/accept", ``), 200, "")
	w.balance(map[string]int64{"sword": 1}, map[string]int64{"gem": 10, "sword": 1})
	p.minutes(12)
	w.Quiet(p.ledger)
}

// testTradeDies: the process dies at each of its commits on the way of a trade. Both
// have in the end what they agreed on, or what they had.
func testTradeDies(w *world) {
	w.logins("ann", "bob")
	for _, cancel := range []bool{false, true} {
		enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
			w := w.with(t)
			if cancel {
				name += "c"
			}
			sword, gem := "sword"+name, "gem"+name
			w.game.Give("ann", sword, 1)
			w.game.Give("bob", gem, 1)
			body := `{"with":"bob","give":[{"itemId":"` + sword + `","count":1}],"want":[{"itemId":"` + gem + `","count":1}]}`
			dying, next := w.process(mortal), w.process(w.store)
			act := func(p *proc) (id string) {
				a := p.do("ann", "POST", "/trades", body, name)
				if a.Status != 201 {
					return ""
				}
				id = rulestest.Into[mail.TradeView](p, a).TradeID
				if cancel {
					p.do("ann", "POST", "/trades/"+id+"/cancel", ``)
				} else {
					p.do("bob", "POST", "/trades/"+id+"/accept", ``)
				}
				return id
			}
			act(dying)
			next.minutes(3)
			id := act(next)
			next.minutes(15)
			if id == "" {
				t.Fatal("asked again, and no trade")
			}
			v := rulestest.Into[mail.TradeView](next, next.do("ann", "GET", "/trades/"+id, ``))
			ann, bob := w.game.Inventory("ann"), w.game.Inventory("bob")
			switch v.State {
			case mail.TradeDone:
				if ann[sword] != 0 || ann[gem] != 1 || bob[sword] != 1 || bob[gem] != 0 || cancel {
					t.Errorf("%+v, and ann has %v, bob %v", v, ann, bob)
				}
			case mail.TradeCancelled, mail.TradeExpired:
				if ann[sword] != 1 || ann[gem] != 0 || bob[sword] != 0 || bob[gem] != 1 {
					t.Errorf("%+v, and ann has %v, bob %v", v, ann, bob)
				}
			default:
				t.Errorf("%+v", v)
			}
			if n := w.game.Held(); n != 0 {
				t.Errorf("%d holds are left", n)
			}
			next.Quiet(next.ledger)
		})
	}
	if problems := w.game.Problems(); len(problems) > 0 {
		w.Errorf("the game: %v", problems)
	}
}

// TestTradeStorm: many trades between few players, with lost answers, calls that fail,
// a store whose answers are lost, and workers that die. Items are conserved, item by
// item, and each hold ends once.
func TestTradeStorm(t *testing.T) {
	trades := enginetest.Size(150, 1000)
	w := onBolt(t)
	const players = 12
	users := names("p", players)
	w.logins(users...)
	kinds := names("item", 5)
	for _, u := range users {
		for _, k := range kinds {
			w.game.Give(u, k, 20)
		}
	}
	w.game.Room(users[0], 110)
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	chance := func(share float64) bool {
		mu.Lock()
		defer mu.Unlock()
		return random.Float64() < share
	}
	pick := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	w.game.Fail(func(mailtest.Call, int) mailtest.Fault {
		switch {
		case chance(0.1):
			return mailtest.Fault{Lost: true}
		case chance(0.05):
			return mailtest.Fault{Status: 503}
		case chance(0.05):
			return mailtest.Fault{Status: 502, Worked: true}
		}
		return mailtest.Fault{}
	})
	conserved := func() {
		t.Helper()
		for _, k := range kinds {
			if n := w.game.Total(k); n != 20*players {
				t.Errorf("there are %d of %s, want %d", n, k, 20*players)
			}
		}
	}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			p := w.process(kvtest.Unreliable(w.store, 0.02, rand.New(rand.NewPCG(3, uint64(worker)))))
			for n := worker; n < trades; n += 8 {
				if n%40 == 0 { // a worker dies in the middle of something
					mortal, _ := kvtest.Mortal(w.store, 1+pick(6), n%80 == 0)
					p = w.process(mortal)
				}
				a := pick(players)
				b := (a + 1 + pick(players-1)) % players
				body := fmt.Sprintf(`{"with":%q,"give":[{"itemId":%q,"count":%d}],"want":[{"itemId":%q,"count":%d}]}`,
					users[b], kinds[pick(5)], 1+pick(8), kinds[pick(5)], 1+pick(8))
				var id string
				for range 2 {
					if r := p.do(users[a], "POST", "/trades", body, fmt.Sprint("storm", n)); r.Status == 201 {
						id = rulestest.Into[mail.TradeView](p, r).TradeID
						break
					}
				}
				if n%40 == 0 {
					p = w.process(kvtest.Unreliable(w.store, 0.02, rand.New(rand.NewPCG(4, uint64(n)))))
				}
				switch {
				case id == "":
				case chance(0.7):
					p.do(users[b], "POST", "/trades/"+id+"/accept", ``)
				case chance(0.5):
					p.do(users[a], "POST", "/trades/"+id+"/cancel", ``)
				}
			}
		})
	}
	group.Wait()
	conserved()
	p := w.process(w.store)
	p.minutes(20)
	w.game.Fail(nil)
	p.minutes(20)
	conserved()
	if n := w.game.Held(); n != 0 {
		t.Errorf("%d holds are left", n)
	}
	if problems := w.game.Problems(); len(problems) > 0 {
		t.Error(problems)
	}
	w.Quiet(p.ledger)
}

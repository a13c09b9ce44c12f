package desk_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// redeliver delivers every job that there ever was a second time.
func (p *process) redeliver() {
	p.Helper()
	p.Redeliver(p.ledger)
}

// testRequestDies: the process dies at each of its commits while it works on a
// request. Whether the user asks again or nobody ever does, there is one ticket
// with its group and one greeting in the end.
func testRequestDies(w *world) {
	for _, c := range []struct {
		name, prefix string
		next         func(p *process, user string)
	}{
		{"asked again", "a", func(p *process, user string) {
			p.Advance(time.Minute)
			p.opens(user)
			p.work()
		}},
		{"never asked again", "b", func(*process, string) {}},
		{"asked again ten minutes later", "c", func(p *process, user string) {
			p.Advance(10 * time.Minute)
			p.opens(user)
			p.work()
		}},
	} {
		w.Run(c.name, func(t *testing.T) {
			enginetest.EachDeath(t, w.store, func(t *testing.T, name string, mortal kv.Store) {
				w := w.with(t)
				user := c.prefix + name
				first := w.process(mortal)
				a := first.do(w.wants(user))
				next := w.process(w.store)
				c.next(next, user)
				next.hours(1)
				if started(w, user) || a.status == 200 {
					w.whole(user, "")
				}
				next.redeliver()
				next.Advance(25 * time.Hour)
				next.redeliver()
				next.hours(1)
				if started(w, user) {
					w.whole(user, "")
				}
				next.quiet()
			})
		})
	}
}

// started reports whether a user's request was ever written down.
func started(w *world, user string) bool {
	return slices.ContainsFunc(w.fake.Tickets(), func(t desktest.Ticket) bool { return t.Text == words+" of "+user })
}

// testAnswersLost: the first answer to each call is lost, at desk and IM, at all
// calls or at one.
func testAnswersLost(w *world) {
	p := w.process(w.store)
	for i, command := range []string{
		"im_open_login_svc/account_import", "group_open_http_svc/create_group", "group_open_http_svc/send_group_msg",
	} {
		// So often that the client gives up.
		w.App.FailNext(command, slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 4)...)
		user := fmt.Sprint("im", i)
		p.opens(user)
		p.hours(1)
		w.whole(user, "")
	}
	for _, call := range []string{"login", "create", "link"} {
		if call == "login" {
			w.fake.ExpireTokens()
		}
		w.fake.Fail(call, desktest.Fault{Lost: true}, desktest.Fault{Lost: true})
		p.opens("desk-" + call)
		p.hours(1)
		w.whole("desk-"+call, "")
	}
	w.fake.LoseEachOnce()
	p.opens("all")
	p.hours(1)
	w.whole("all", "")
	p.quiet()
}

// testDeskAway: a desk that is away for hours, after it has made the ticket, is
// asked for it before another is made.
func testDeskAway(w *world) {
	p := w.process(w.store)
	// The transport repeats by itself what has an Idempotency-Key.
	w.fake.Fail("create", slices.Repeat([]desktest.Fault{{Worked: true, Status: 503}}, 2)...)
	for _, user := range []string{"jane", "june"} {
		if a := p.do(w.wants(user)); a.status != 503 || a.json["error"] == nil {
			w.Fatalf("%d %s", a.status, a.text)
		}
	}
	// Far longer than a desk remembers a key, and the jobs go on trying.
	w.fake.Fail("create", slices.Repeat([]desktest.Fault{{Status: 503}}, 1000)...)
	w.fake.Fail("find", slices.Repeat([]desktest.Fault{{Status: 503, RetryAfter: "600"}}, 50)...)
	p.hours(20)
	if calls := w.fake.Calls("create") + w.fake.Calls("find"); calls > 250 {
		w.Errorf("%d calls in 20 hours", calls)
	}
	w.fake.Recover()
	p.hours(1)
	w.whole("jane", "")
	w.whole("june", "")
	p.quiet()
}

// testChangeDies: the process dies at each of its commits while it carries out
// changes. In the end the members are who they should be.
func testChangeDies(w *world) {
	alive := w.process(w.store)
	enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
		w, alive := w.with(t), alive.with(t)
		user := name
		id, group := alive.opens(user)
		alive.work()
		first := alive.fake.Assign(id, "701")
		alive.told(first)
		alive.work()
		if got, want := w.members(group), sorted("701", user); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		alive.Advance(time.Second)
		second := w.fake.Assign(id, "702")
		alive.told(second)

		dying := w.process(mortal)
		j, _ := w.Queue.Next(w.Clock.Now())
		encoded, err := queue.Encode(j)
		w.Must(err)
		_ = dying.ledger.Perform(t.Context(), encoded)
		// What happens next may come before what died is looked at again.
		alive.Advance(time.Second)
		third := w.fake.Assign(id, "703")
		alive.told(third)
		alive.told(first)
		alive.hours(1)
		w.whole(user, "703")
		alive.redeliver()
		alive.Advance(25 * time.Hour)
		alive.redeliver()
		alive.hours(1)
		w.whole(user, "703")
		alive.quiet()
	})
}

// testClosedBeforeItDied: an agent is let in by a process that dies before it
// can write that down. What is told next happened before, and makes the agent one
// who is not wanted.
func testClosedBeforeItDied(w *world) {
	w.conf.KeepClosed = true
	alive := w.process(w.store)
	enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
		w, alive := w.with(t), alive.with(t)
		id, group := alive.opens(name)
		alive.work()
		alive.Advance(time.Second)
		closed := w.fake.SetClosed(id, true)
		alive.Advance(time.Second)
		alive.told(w.fake.Assign(id, "701"))
		dying := w.process(mortal)
		j, _ := w.Queue.Next(w.Clock.Now())
		encoded, err := queue.Encode(j)
		w.Must(err)
		_ = dying.ledger.Perform(t.Context(), encoded)
		alive.told(closed)
		alive.hours(1)
		if got := w.members(group); got != name {
			t.Errorf("in the group of a closed ticket: %s", got)
		}
		alive.quiet()
	})
}

// testChangeAnswersLost: the answers to all calls about members are lost, so
// often that the client gives up.
func testChangeAnswersLost(w *world) {
	p := w.process(w.store)
	lost := slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 4)
	for i, command := range []string{
		"im_open_login_svc/account_import", "group_open_http_svc/add_group_member", "group_open_http_svc/delete_group_member",
	} {
		user := fmt.Sprint("user", i)
		id, _ := p.opens(user)
		p.work()
		for _, agent := range []string{"701", "702"} {
			w.App.FailNext(command, lost...)
			p.Advance(time.Second)
			p.told(w.fake.Assign(id, agent))
			p.hours(1)
		}
		w.whole(user, "702")
		p.Advance(time.Second)
		p.told(w.fake.Assign(id, ""))
		p.hours(1)
		w.whole(user, "")
	}
	p.quiet()
}

// workUntilDead carries out jobs like work, by a process that may die: what it does
// not finish is redelivered.
func (p *process) workUntilDead() {
	for range 50 {
		j, is := p.Queue.Next(p.Clock.Now())
		if !is {
			return
		}
		encoded, err := queue.Encode(j)
		p.Must(err)
		if p.ledger.Perform(p.Context(), encoded) != nil {
			return // dead; the clock finds what it had in hand
		}
	}
}

func shuffle(list []desktest.Delivery) {
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

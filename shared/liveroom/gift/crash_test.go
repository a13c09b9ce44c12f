package gift_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
)

// TestDeaths: a process dies at any of its commits between an order and its end,
// before the commit was done or after, and IM behaves in different ways. The user
// asks again or never does; every job comes once more at once, ten minutes and a day
// later. Every charged order is shown once or refunded once, and counted so.
func TestDeaths(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name   string
		faults []imtest.Fault // of the first calls
		again  bool           // the user asks again
	}{
		{"AskedAgain", nil, true},
		{"NeverAskedAgain", nil, false},
		{"Refused", []imtest.Fault{{Code: 80001}}, true},
		{"AnswerLost", lost(), true},
		{"NeverAnswers", slices.Repeat([]imtest.Fault{{Status: 502}}, 500), false},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: true, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			w := newWorld(t, store, clock)
			w.room("live")
			w.process(store).sells("rose", 10)
			enginetest.EachDeath(t, store, func(t *testing.T, name string, mortal kv.Store) { w.lives(t, name, mortal, c.faults, c.again) })
		}})
	}
	enginetest.Run(t, tests)
}

func (w *world) lives(t *testing.T, name string, mortal kv.Store, faults []imtest.Fault, again bool) {
	jobs := len(w.Queue.All())
	next := w.process(w.store).serves() // IM's callbacks reach another process, or come once more from the queue
	user := fmt.Sprint("u", rand.Uint32())
	next.paysIn(user, 100)
	dying := w.process(mortal)
	w.App.FailNext(command, faults...)
	asked := func(p *process) {
		p.gives(user, "live", "a", "rose", 1, 10)
		p.gives(user, "live", "b", "rose", 2, 10)
	}
	asked(dying)
	for range 3 {
		w.Advance(time.Second)
		w.Must(w.App.Settle(w.Context()))
		ctx, cancel := context.WithTimeout(w.Context(), deadline)
		_ = w.Queue.Work(ctx, dying.ledger, w.Clock.Now)
		cancel()
	}
	if again {
		asked(next)
	}
	for _, pause := range []time.Duration{0, 10 * time.Minute, 24 * time.Hour} {
		w.Advance(pause)
		next.redeliver(jobs)
		next.minutes(14)
		next.settled(t, user, again)
	}
	next.Quiet(next.ledger)
	if t.Failed() {
		t.Logf("in %s", name)
	}
}

// redeliver has the jobs from the n-th on carried out once more, whatever their time.
func (p *process) redeliver(n int) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), deadline)
	defer cancel()
	for _, j := range p.Queue.All()[n:] {
		j.NotBefore = time.Time{}
		p.Must(p.perform(ctx, j))
	}
	p.work()
}

// settled requires that each charged order was shown once or refunded once, and that
// wallet, statistics and answers say so.
func (p *process) settled(t *testing.T, user string, both bool) {
	times := map[string]int{}
	for _, s := range p.shown("live") {
		for _, id := range s.Mark.Orders {
			times[id]++
		}
	}
	want := int64(100)
	for key, charge := range map[string]int64{"a": 10, "b": 20} {
		id := gift.OrderID(user, key)
		made, err := p.wallet.Find(p.Context(), user, id)
		_, notRefunded := p.wallet.Find(p.Context(), user, "refund:"+id)
		counted := p.counts[id].Pieces
		if p.counts[id+"/refund"].Refunded {
			counted -= p.counts[id+"/refund"].Pieces
		}
		switch {
		case err != nil:
			if both || times[id] > 0 || counted != 0 || notRefunded == nil {
				t.Errorf("order %s was not charged (%v), shown %d times, %d pieces counted", key, err, times[id], counted)
			}
		case notRefunded == nil:
			if times[id] > 0 || counted != 0 {
				t.Errorf("order %s was refunded, shown %d times, and %d pieces count", key, times[id], counted)
			}
			p.wantState(user, "live", id, gift.Refunded)
		default:
			want -= charge
			if times[id] != 1 || counted != charge/10 || -made.Amount != charge {
				t.Errorf("order %s was shown %d times, and %d pieces count", key, times[id], counted)
			}
			p.wantState(user, "live", id, gift.Sent)
		}
	}
	if got := p.balance(user); got != want {
		t.Errorf("the balance is %d, want %d", got, want)
	}
	lines, _, err := p.wallet.Statement(p.Context(), user, "", 100)
	if err != nil || lines[len(lines)-1].Why != wallet.TopUp {
		t.Errorf("%+v, %v", lines, err)
	}
}

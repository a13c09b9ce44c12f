package review_test

import (
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
	"github.com/backchannel-im/backchannel/shared/moderation/review"
)

// eachDeath lets a process die at each of its commits while a moderator decides
// about a message of a user's own. Then the moderator clicks again, or nobody
// does; every job comes once more, and once more a day later. check says what
// must be so all the time from then on.
func (w *world) eachDeath(group, what string, check func(w *world, p *process, user, id string, decided bool)) {
	for _, again := range []bool{true, false} {
		w.Run(fmt.Sprint("again ", again), func(t *testing.T) {
			w := w.with(t)
			enginetest.EachDeath(t, w.store, func(t *testing.T, name string, mortal kv.Store) {
				w := w.with(t)
				next := w.process(w.store).serves()
				user, jobs := fmt.Sprint(name, group, again), len(w.Queue.All())
				id := next.holds(w.member(user), group, suspicious)
				dying := w.process(mortal)
				dying.decides(id, what)
				_ = w.Queue.Work(t.Context(), dying.ledger, w.Clock.Now)
				if again {
					if status, _ := next.decides(id, what); status != http.StatusOK {
						w.Errorf("again: status %d", status)
					}
				}
				for _, pause := range []time.Duration{0, 0, 25 * time.Hour} {
					next.Advance(pause)
					next.hour()
					v, err := next.reviews.Show(t.Context(), id)
					w.Must(err)
					if again && v.State == review.Waiting {
						w.Error("still waiting")
					}
					check(w, next, user, id, v.State != review.Waiting)
					next.redeliver(jobs)
				}
				next.quiet()
			})
		})
	}
}

// testApprovalDies: the message reaches its receivers once.
func testApprovalDies(w *world) {
	for _, group := range []string{"room", ""} {
		w.Run("to "+group, func(t *testing.T) {
			w.with(t).eachDeath(group, "approve", func(w *world, p *process, user, id string, decided bool) {
				seen, entries := w.seen(user), fmt.Sprint(p.entries(user))
				switch {
				case !decided && (len(seen) != 0 || entries != "[]"):
					w.Errorf("not decided, seen %q, trail %s", seen, entries)
				case decided && (!slices.Equal(seen, []string{suspicious}) || entries != "[desk message approved message sent]"):
					w.Errorf("decided, seen %q, trail %s", seen, entries)
				}
			})
		})
	}
	// Where there is no history, at most once.
	w.Run("to live", func(t *testing.T) {
		w.with(t).eachDeath("live", "approve", func(w *world, p *process, user, id string, decided bool) {
			v, err := p.reviews.Show(w.Context(), id)
			w.Must(err)
			if n := len(w.seen(user)); n > 1 || n == 0 && v.Outcome == review.Sent || decided && v.Outcome == review.Pending {
				w.Errorf("%s, seen %d times", v.Outcome, n)
			}
		})
	})
}

// testRejectionDies: there is one strike, and the sender is told once.
func testRejectionDies(w *world) {
	w.eachDeath("room", "reject", func(w *world, p *process, user, id string, decided bool) {
		s, err := p.strikes.View(w.Context(), user)
		w.Must(err)
		told, entries := len(w.told(user)), fmt.Sprint(p.entries(user))
		switch {
		case len(w.seen(user)) != 0:
			w.Errorf("rejected, and seen: %q", w.seen(user))
		case !decided && (len(s.Strikes) != 0 || told != 0 || entries != "[]"):
			w.Errorf("not decided, %+v, told %d times, trail %s", s, told, entries)
		case decided && (len(s.Strikes) != 1 || told != 1 || entries != "[desk message rejected desk strike of 1 added]"):
			w.Errorf("decided, %+v, told %d times, trail %s", s, told, entries)
		}
	})
}

// testExpiryDies: a message is forgotten once, and makes room once.
func testExpiryDies(w *world) {
	enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
		w := w.with(t)
		next := w.process(w.store).serves()
		for n := range 3 {
			w.Must(next.reviews.Hold(t.Context(), w.held(name, n)))
		}
		w.Advance(review.Life + time.Minute)
		dying := w.process(mortal)
		_ = review.Expire(mortal, dying.ledger, w.Clock.Now)(t.Context())
		_ = w.Queue.Work(t.Context(), dying.ledger, w.Clock.Now)
		next.hour()
		if got := strings.Join(next.entries(name), ", "); got != "message expired, message expired, message expired" {
			w.Errorf("trail %s", got)
		}
		room := 0
		for n := range 2 * review.MaxWaiting {
			if next.reviews.Hold(t.Context(), w.held(name, 100+n)) == nil {
				room++
			}
		}
		if room != review.MaxWaiting {
			w.Errorf("room for %d", room)
		}
		for _, id := range next.of(name) { // or the next life finds them
			next.decides(id, "approve")
		}
		next.quiet()
	})
}

// testAnswersLost: IM's answers are lost, so often that the client gives up, or
// once.
func testAnswersLost(w *world) {
	p := w.process(w.store).serves()
	for _, tt := range []struct{ command, group, what string }{
		{"group_open_http_svc/send_group_msg", "room", "approve"},
		{"group_open_http_svc/send_group_msg", "live", "approve"},
		{"openim/sendmsg", "", "approve"},
		{"openim/sendmsg", "room", "reject"},
	} {
		for _, times := range []int{1, 4} {
			user := fmt.Sprint(tt.what, times, tt.group)
			id := p.holds(w.member(user), tt.group, suspicious)
			w.App.FailNext(tt.command, slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, times)...)
			p.decides(id, tt.what)
			p.hour()
			switch tt.what {
			case "approve":
				if got := w.seen(user); len(got) != 1 {
					w.Errorf("%+v, %d answers lost: seen %q", tt, times, got)
				}
			default:
				if got := w.told(user); len(got) != 1 {
					w.Errorf("%+v, %d answers lost: told %q", tt, times, got)
				}
			}
		}
	}
	p.quiet()
}

// testIMAway: a message that was approved while IM was away arrives when it is
// back.
func testIMAway(w *world) {
	p := w.process(w.store).serves()
	id := p.holds(w.member("jane"), "room", suspicious)
	w.App.FailNext("group_open_http_svc/send_group_msg", slices.Repeat([]imtest.Fault{{Code: 10002}}, 12)...)
	if status, v := p.decides(id, "approve"); status != http.StatusOK || v.Outcome != review.Pending {
		w.Errorf("%d %+v", status, v)
	}
	p.hour()
	p.hour()
	if v, err := p.reviews.Show(w.Context(), id); err != nil || v.Outcome != review.Sent || len(w.seen("jane")) != 1 {
		w.Errorf("%+v, %v, seen %q", v, err, w.seen("jane"))
	}
	p.quiet()
}

// testClickStorm: many moderators click at once, in several processes, and some
// the other button.
func testClickStorm(w *world) {
	const messages, clicks, processes = 10, 8, 4
	p := w.process(w.store).serves()
	var ids []string
	for n := range messages {
		ids = append(ids, p.holds(w.member(fmt.Sprint("user", n)), "room", suspicious))
	}
	var all sync.WaitGroup
	for k := range processes {
		other := w.process(w.store)
		for n, id := range ids {
			for c := range clicks {
				what := "approve"
				if c == 0 && n%2 == 0 && k == 0 {
					what = "reject"
				}
				all.Go(func() {
					if status, _ := other.decides(id, what); status != http.StatusOK && status != http.StatusConflict {
						w.Errorf("%s: status %d", what, status)
					}
				})
			}
		}
	}
	all.Wait()
	p.hour()
	for n, id := range ids {
		user := fmt.Sprint("user", n)
		v, err := p.reviews.Show(w.Context(), id)
		w.Must(err)
		s, err := p.strikes.View(w.Context(), user)
		w.Must(err)
		approved := v.State == review.Approved
		if want := map[bool]int{true: 1}[approved]; len(w.seen(user)) != want || len(s.Strikes) != 1-want || len(w.told(user)) != 1-want {
			w.Errorf("%s: seen %q, %d strikes, told %q", v.State, w.seen(user), len(s.Strikes), w.told(user))
		}
	}
	p.quiet()
}

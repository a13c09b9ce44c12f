package desk_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// The storm, and what it may take on two cores.
const (
	stormInstances = 8
	stormBudget    = 2 * time.Minute
)

// stormRequests is a size that ends soon unless the run is full.
var stormRequests = enginetest.Size(200, 1000)

func TestStorm(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{{Name: "Zendesk", Long: true, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		testStorm(newWorld(t, store, clock, zendeskKind))
	}}})
}

// testStorm: a thousand users ask for help at once, several instances serve
// them, and every answer is lost once: each of the desk's about each ticket, as
// many of IM's, and our own. Then all get an agent, of which the desk tells twice
// and in any order. There are a thousand tickets, each with its group, its agent and
// one greeting.
func testStorm(w *world) {
	ctx, cancel := context.WithTimeout(w.Context(), stormBudget)
	defer cancel()
	w.fake.LoseEachOnce()
	for _, command := range []string{
		"im_open_login_svc/account_import", "group_open_http_svc/create_group", "group_open_http_svc/send_group_msg",
		"group_open_http_svc/add_group_member",
	} {
		w.App.FailNext(command, slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, stormRequests)...)
	}
	instances := make([]*process, stormInstances)
	for i := range instances {
		instances[i] = w.process(w.store)
	}
	inParallel(4*stormInstances, stormRequests, func(n int) {
		p, user := instances[n%stormInstances], fmt.Sprint("user", n)
		first := ""
		for ctx.Err() == nil {
			a := p.do(w.wants(user).WithContext(ctx))
			switch {
			case a.status == http.StatusOK && first != "":
				if a.text != first {
					w.Errorf("%s got %s, then %s", user, first, a.text)
				}
				return
			case a.status == http.StatusOK:
				first = a.text // and it is lost
			case a.status != http.StatusServiceUnavailable && a.status != http.StatusConflict:
				w.Errorf("%s: %d %s", user, a.status, a.text)
				return
			}
		}
		w.Errorf("%s got no answer", user)
	})

	tickets := w.fake.Tickets()
	var told []desktest.Delivery
	for _, t := range tickets {
		d := w.fake.Assign(t.ID, "701")
		told = append(told, d, d)
	}
	rand.Shuffle(len(told), func(i, j int) { told[i], told[j] = told[j], told[i] })
	inParallel(4*stormInstances, len(told), func(n int) {
		if a := instances[n%stormInstances].do(told[n].Request(ctx, "http://function.invalid")); a.status != http.StatusOK {
			w.Errorf("%d %s", a.status, a.text)
		}
	})
	for range 20 {
		inParallel(4*stormInstances, 4*stormInstances, func(n int) {
			p := instances[n%stormInstances]
			for ctx.Err() == nil {
				j, is := w.Queue.Next(w.Clock.Now())
				if !is {
					return
				}
				encoded, err := queue.Encode(j)
				if err == nil {
					err = p.ledger.Perform(ctx, encoded)
				}
				if err != nil {
					w.Error(err)
				}
			}
		})
		w.Advance(2 * time.Minute)
		w.Must(desk.Requests.Sweep(w.store, instances[0].ledger, w.Clock.Now)(ctx))
		_, err := instances[0].ledger.Sweep(ctx)
		w.Must(err)
	}
	if n := len(w.fake.Tickets()); n != stormRequests || ctx.Err() != nil {
		w.Fatalf("%d tickets, want %d: %v", n, stormRequests, ctx.Err())
	}
	state := w.App.State()
	for _, t := range w.fake.Tickets() {
		g := state.Group(t.Group)
		user := t.Text[len(words+" of "):]
		if len(g.Members) != 2 || g.Owner != user || !slices.ContainsFunc(g.Members, func(m imtest.MemberState) bool { return m.UserID == "701" }) || len(g.Messages) != 1 {
			w.Errorf("ticket %s of %s: group %q of %q with %+v and %d messages", t.ID, user, t.Group, g.Owner, g.Members, len(g.Messages))
		}
	}
	if n := len(state.Groups); n != stormRequests {
		w.Errorf("%d groups", n)
	}
	instances[0].quiet()
}

// inParallel calls f for 0 to n-1, so many at once.
func inParallel(atOnce, n int, f func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range atOnce {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

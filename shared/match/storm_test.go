package match_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// The storm, and what it may take on two cores.
const (
	stormInstances = 8
	stormBudget    = 5 * time.Minute
)

// stormTeams is small enough for the race detector unless the run is full.
var stormTeams = enginetest.Size(200, 2000)

func TestStorm(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{{Name: "Teams", Long: true, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		testStorm(newWorld(t, store, clock))
	}}})
}

// testStorm: many teams of three fill at once. In each a fourth joins and
// leaves again, and a fifth tries to get in time and again, of which IM tells each
// time. Of all callbacks many come twice and some never, to any of several
// instances, and the hook's first answer to each start is lost. Every team starts
// once, with three who were in it, and was told who is.
func testStorm(w *world) {
	ctx, cancel := context.WithTimeout(w.Context(), stormBudget)
	defer cancel()
	w.hook.LoseEachOnce()
	w.App.Misbehave(imtest.Chaos{Duplicate: 0.3, Drop: 0.03})
	instances := make([]*process, stormInstances)
	for i := range instances {
		instances[i] = w.process(w.store)
	}
	var turn atomic.Int64
	one := func() *process { return instances[turn.Add(1)%stormInstances] }
	w.Hear(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) { one().heard.ServeHTTP(res, r) }))

	player := func(team int, n string) string { return fmt.Sprintf("p%d%s", team, n) }
	groups := make([]string, stormTeams)
	closed := make([]bool, stormTeams) // to c, since the match had started
	// Whoever plays also carries out what jobs there are by then, of any team.
	work := func() {
		for ctx.Err() == nil && w.carryOut(ctx, one()) {
		}
	}
	inParallel(4*stormInstances, stormTeams, func(n int) {
		a := one().do(w.wants(player(n, "a")))
		if a.status != http.StatusCreated {
			w.Errorf("%d %s", a.status, a.text)
			return
		}
		groups[n] = a.team.GroupID
		w.founders.Store(groups[n], player(n, "a"))
		in := func(who string, may bool) {
			if err := w.device(player(n, who)).Join(groups[n]); (err == nil) != may {
				w.Errorf("%s joins: %v", player(n, who), err)
			}
			work()
		}
		in("b", true)
		in("d", true)
		in("e", false)
		if err := w.device(player(n, "d")).Quit(groups[n]); err != nil {
			w.Error(err)
		}
		err := w.device(player(n, "c")).Join(groups[n])
		if closed[n] = isClosed(err); err != nil && !closed[n] {
			w.Errorf("%s joins: %v", player(n, "c"), err)
		}
		work()
		in("e", false)
		in("e", false)
	})
	w.Must(w.App.Settle(ctx))
	for range 10 {
		inParallel(4*stormInstances, 4*stormInstances, func(int) { work() })
		w.Advance(time.Minute)
		w.Must(match.Looks.Sweep(w.store, instances[0].ledger, w.Clock.Now)(ctx))
		_, err := instances[0].ledger.Sweep(ctx)
		w.Must(err)
	}
	w.Must(ctx.Err())

	starts := make(map[string][]matchtest.Start)
	for _, s := range w.hook.Starts() {
		starts[s.GroupID] = append(starts[s.GroupID], s)
	}
	if len(starts) != stormTeams {
		w.Errorf("%d teams have started", len(starts))
	}
	state := w.App.State()
	for n, id := range groups {
		a, b, c, d := player(n, "a"), player(n, "b"), player(n, "c"), player(n, "d")
		s, all := starts[id], w.toldIn(state.Group(id))
		left := []string{a, b, c}
		if closed[n] {
			left = left[:2]
		}
		switch {
		case len(s) != 1:
			w.Errorf("%s has started %d times", id, len(s))
		case sorted(s[0].Members...) != sorted(a, b, c) && sorted(s[0].Members...) != sorted(a, b, d):
			w.Errorf("%s has started with %s", id, s[0].Members)
		case len(all) == 0, all[len(all)-1].Status != match.Started, sorted(all[len(all)-1].Members...) != sorted(left...):
			w.Errorf("%s was told %+v", id, all)
		}
	}
	instances[0].quiet()
}

// isClosed reports whether IM refused to let a user into a group because it takes no
// applications.
func isClosed(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "10007 ") }

// carryOut carries out the next job, if one is due.
func (w *world) carryOut(ctx context.Context, p *process) bool {
	j, is := w.Queue.Next(w.Clock.Now())
	if !is {
		return false
	}
	encoded, err := queue.Encode(j)
	if err == nil {
		err = p.ledger.Perform(ctx, encoded)
	}
	if err != nil {
		w.Error(err)
	}
	return true
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

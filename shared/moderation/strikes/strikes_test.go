package strikes_test

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
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

func TestContract(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		test func(*world)
	}{
		{"Ladder", false, testLadder},
		{"Fading", false, testFading},
		{"Forgiven", false, testForgiven},
		{"BadInput", false, testBadInput},
		{"KeysOfServers", false, testKeysOfServers},
		{"Staff", false, testStaff},
		{"Offences", false, testOffences},
		{"Many", false, testMany},
		{"Forgotten", false, testForgotten},
		{"UnknownToIM", false, testUnknownToIM},
		{"AddDies", true, testAddDies},
		{"ForgiveDies", true, testForgiveDies},
		{"AnswersLost", false, testAnswersLost},
		{"Overtaken", false, testOvertaken},
		{"Storm", true, testStorm},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			c.test(newWorld(t, store, clock))
		}})
	}
	enginetest.Run(t, tests)
}

// testKeysOfServers: the Idempotency-Key of one server says nothing of another's,
// and one key stands for one strike.
func testKeysOfServers(w *world) {
	p := w.process(w.store)
	p.add("jane", "1", `{"weight":1,"reason":"spam"}`)
	p.add("jane", "1", `{"weight":1,"reason":"spam"}`)
	if status, v := p.askAs(otherKey, http.MethodPost, "jane", "1", `{"weight":1,"reason":"insults"}`); status != http.StatusOK || v.Points != 2 {
		w.Errorf("another server: %d, %d points, want 2", status, v.Points)
	}
	for _, body := range []string{`{"weight":2,"reason":"spam"}`, `{"weight":1,"reason":"insults"}`} {
		if status, _ := p.ask(http.MethodPost, "jane", "1", body); status != http.StatusUnprocessableEntity {
			w.Errorf("%s under the same key: %d, want 422", body, status)
		}
	}
	if _, v := p.ask(http.MethodGet, "jane", "", ""); v.Points != 2 || len(v.Strikes) != 2 {
		w.Errorf("%d points of %d strikes, want 2 of 2", v.Points, len(v.Strikes))
	}
}

// testStaff: whoever says so, the admin, agents and robots get no strikes.
func testStaff(w *world) {
	p := w.process(w.store)
	for _, user := range []string{rulestest.Admin, "agent7", "@RBT#001"} {
		if status, _ := p.ask(http.MethodPost, user, "", `{"weight":10}`); status != http.StatusForbidden {
			w.Errorf("%s: %d, want 403", user, status)
		}
		w.Must(p.strikes.Strike(w.Context(), moderation.Offence{MessageID: "m-" + user, UserID: user, Severity: 5}))
		p.work()
		if _, v := p.ask(http.MethodGet, user, "", ""); v.Points != 0 {
			w.Errorf("%s has %d points", user, v.Points)
		}
	}
}

// testOffences: a refused message gives its sender as many points as it is severe,
// once, which a moderator can forgive.
func testOffences(w *world) {
	p := w.process(w.store)
	for range 2 {
		w.Must(p.strikes.Strike(w.Context(), moderation.Offence{MessageID: "one", UserID: "jane", Severity: 4, Category: "threats"}))
		p.work()
	}
	_, v := p.ask(http.MethodGet, "jane", "", "")
	if v.Points != 4 || v.Suffers != strikes.Muted || len(v.Strikes) != 1 || v.Strikes[0].By != strikes.Filter || v.Strikes[0].Reason != "threats" {
		w.Errorf("%+v, want one strike of 4 points and the user muted", v)
	}
	if status, v := p.ask(http.MethodPost, "jane/forgive", "", `{"key":"message/one"}`); status != http.StatusOK || v.Points != 0 || v.Suffers != strikes.None {
		w.Errorf("forgiven: %d, %+v", status, v)
	}
	if got := fmt.Sprint(p.entries("jane")); !strings.Contains(got, "strike of 4 added") {
		w.Errorf("the trail says %s", got)
	}
}

// testLadder: a user is warned, muted and banned, each for its time, and told of
// it; each strike counts once, whoever adds it how often.
func testLadder(w *world) {
	p := w.process(w.store)
	jane := w.Login("jane")
	for _, step := range []struct {
		key, body string
		points    int
		suffers   strikes.Kind
		code      int
	}{
		{"a", `{}`, 1, strikes.None, 0},
		{"b", `{"weight":2,"reason":"spam"}`, 3, strikes.Muted, 20012},
		{"c", `{"weight":3}`, 6, strikes.Banned, 0},
	} {
		for range 2 {
			v := p.add("jane", step.key, step.body)
			if v.Points != step.points || v.Suffers != step.suffers {
				w.Errorf("%s: %+v", step.key, v)
			}
			p.work()
		}
		if step.suffers != strikes.Banned {
			if got := w.speaks(jane); got != step.code {
				w.Errorf("%s: writing is answered with %d", step.key, got)
			}
		}
	}
	if n := len(w.App.State().User("jane").Platforms); n != 0 {
		w.Errorf("a banned user is logged in on %d devices", n)
	}
	if until, err := p.strikes.Banned(w.Context(), "jane"); err != nil || !until.Equal(w.Clock.Now().Add(7*24*time.Hour)) {
		w.Errorf("banned until %v, %v", until, err)
	}
	// A UserSig that somebody still makes does not help.
	w.Advance(2 * time.Second)
	jane = w.Login("jane")
	if got := w.speaks(jane); got != 20012 {
		w.Errorf("a banned user's message: %d", got)
	}
	if got := w.told("jane"); got != "You are warned. You are muted. You are banned." {
		w.Errorf("told %q", got)
	}
	want := []string{"desk strike of 1 added", "user warned", "desk strike of 2 added", "user muted", "desk strike of 3 added", "user banned"}
	got := p.entries("jane")
	slices.Sort(got) // those of one moment have no order
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.Errorf("trail %q", got)
	}
	// All is over in time, without anybody doing anything.
	w.Advance(7 * 24 * time.Hour)
	if got := w.speaks(jane); got != 0 {
		w.Errorf("after the ban: %d", got)
	}
	if until, err := p.strikes.Banned(w.Context(), "jane"); err != nil || !until.IsZero() {
		w.Errorf("after the ban: %v, %v", until, err)
	}
	p.hour()
	p.quiet()
}

// testFading: a strike counts a point less each month.
func testFading(w *world) {
	p := w.process(w.store)
	p.add("jane", "a", `{"weight":2}`)
	for month, points := range []int{2, 1, 0, 0} {
		if _, v := p.ask(http.MethodGet, "jane", "", ""); v.Points != points || v.Strikes[0].Points != points || v.Strikes[0].Weight != 2 {
			w.Errorf("month %d: %+v", month, v)
		}
		w.Advance(30 * 24 * time.Hour)
	}
	// What has faded does not add up to a mute.
	if v := p.add("jane", "b", `{"weight":2}`); v.Points != 2 || v.Suffers != strikes.None {
		w.Errorf("%+v", v)
	}
}

// testForgiven: what a user suffers ends when what is left does not deserve it.
func testForgiven(w *world) {
	p := w.process(w.store)
	w.Login("jane")
	p.add("jane", "a", `{"weight":3}`)
	p.add("jane", "b", `{"weight":3}`)
	p.work()
	w.Advance(2 * time.Second)
	jane := w.Login("jane")
	for _, step := range []struct {
		body    string
		suffers strikes.Kind
		code    int
	}{
		{`{"key":"a","reason":"a mistake"}`, strikes.Muted, 20012},
		{`{"key":"a"}`, strikes.Muted, 20012},
		{`{}`, strikes.None, 0},
		{`{}`, strikes.None, 0},
	} {
		status, v := p.ask(http.MethodPost, "jane/forgive", "", step.body)
		p.work()
		if got := w.speaks(jane); status != http.StatusOK || v.Suffers != step.suffers || got != step.code {
			w.Errorf("%s: %d %+v, writing is answered with %d", step.body, status, v, got)
		}
	}
	if got := w.told("jane"); got != "You are banned. You are muted. You are free." {
		w.Errorf("told %q", got)
	}
	if status, _ := p.ask(http.MethodPost, "jane/forgive", "", `{"key":"x"}`); status != http.StatusNotFound {
		w.Errorf("forgiving what never was: status %d", status)
	}
}

func testBadInput(w *world) {
	p := w.process(w.store)
	for _, tt := range []struct{ name, path, key, body string }{
		{"weight 0", "jane", "", `{"weight":0}`},
		{"weight 11", "jane", "", `{"weight":11}`},
		{"weight of text", "jane", "", `{"weight":"1"}`},
		{"no JSON", "jane", "", `weight=1`},
		{"a long reason", "jane", "", `{"reason":"` + strings.Repeat("x", strikes.MaxReason+1) + `"}`},
		{"a long id", strings.Repeat("x", 33), "", `{}`},
		{"a bad key", "jane", "a b", `{}`},
		{"forgiving, a long key", "jane/forgive", "", `{"key":"` + strings.Repeat("x", strikes.MaxKey+1) + `"}`},
		{"forgiving, a long reason", "jane/forgive", "", `{"reason":"` + strings.Repeat("x", strikes.MaxReason+1) + `"}`},
		{"forgiving, a long id", strings.Repeat("x", 33) + "/forgive", "", `{}`},
		{"forgiving, no JSON", "jane/forgive", "", `[]`},
	} {
		if status, _ := p.ask(http.MethodPost, tt.path, tt.key, tt.body); status != http.StatusBadRequest {
			w.Errorf("%s: status %d", tt.name, status)
		}
	}
	if status, _ := p.ask(http.MethodGet, strings.Repeat("x", 33), "", ""); status != http.StatusBadRequest {
		w.Errorf("status %d", status)
	}
	if _, v := p.ask(http.MethodGet, "jane", "", ""); len(v.Strikes) != 0 || len(w.Queue.All()) != 0 {
		w.Errorf("bad input changed something: %+v", v)
	}
}

// testMany: the newest strikes are kept.
func testMany(w *world) {
	p := w.process(w.store)
	for n := range strikes.MaxStrikes + 3 {
		w.Must(p.strikes.Add(w.Context(), strikes.Strike{
			UserID: "jane", Key: fmt.Sprint(n), Weight: 1, By: "desk", Reason: strings.Repeat("<", strikes.MaxReason),
		}))
	}
	v, err := p.strikes.View(w.Context(), "jane")
	if err != nil || len(v.Strikes) != strikes.MaxStrikes || v.Strikes[0].Key != fmt.Sprint(strikes.MaxStrikes+2) {
		w.Errorf("%d strikes, %v", len(v.Strikes), err)
	}
	p.work()
	if n := len(p.entries("jane")); n < 2*strikes.MaxStrikes {
		w.Errorf("%d entries in the trail", n)
	}
}

// testForgotten: nothing is kept for ever.
func testForgotten(w *world) {
	p := w.process(w.store)
	p.add("jane", "a", `{"weight":10}`)
	w.Advance(310 * 24 * time.Hour)
	if _, v := p.ask(http.MethodGet, "jane", "", ""); len(v.Strikes) != 0 {
		w.Errorf("%+v", v)
	}
}

// testUnknownToIM: what IM cannot do is no reason to try for ever.
func testUnknownToIM(w *world) {
	p := w.process(w.store)
	p.add("nobody", "a", `{"weight":6}`)
	p.hour()
	p.quiet()
	if _, v := p.ask(http.MethodGet, "nobody", "", ""); v.Suffers != strikes.Banned {
		w.Errorf("%+v", v)
	}
}

// redeliver has every job from the n-th on carried out once more.
func (p *process) redeliver(from int) {
	p.Helper()
	for _, j := range p.Queue.All()[from:] {
		j.NotBefore = time.Time{}
		encoded, err := queue.Encode(j)
		p.Must(err)
		p.Must(p.ledger.Perform(p.Context(), encoded))
	}
	p.work()
}

// testAddDies: the process dies at each of its commits while it adds a strike
// that mutes, and has IM do so. Whether the strike is added again or not, it
// counts once if it counts, and then the user is muted and told once.
func testAddDies(w *world) {
	for _, again := range []bool{true, false} {
		w.Run(fmt.Sprint("again ", again), func(t *testing.T) {
			w := w.with(t)
			enginetest.EachDeath(t, w.store, func(t *testing.T, name string, mortal kv.Store) {
				w := w.with(t)
				user, jobs := strings.ReplaceAll(fmt.Sprint(name, again), " ", "-"), len(w.Queue.All())
				device := w.Login(user)
				dying := w.process(mortal)
				dying.ask(http.MethodPost, user, "k", `{"weight":3}`)
				_ = w.Queue.Work(t.Context(), dying.ledger, w.Clock.Now)
				next := w.process(w.store)
				if again {
					next.add(user, "k", `{"weight":3}`)
				}
				next.hour()
				for range 2 {
					_, v := next.ask(http.MethodGet, user, "", "")
					switch got := w.speaks(device); {
					case len(v.Strikes) == 0 && !again:
						if got != 0 || w.told(user) != "" || len(next.entries(user)) != 0 {
							w.Errorf("punished for nothing: %d %q %q", got, w.told(user), next.entries(user))
						}
					case v.Points != 3 || v.Suffers != strikes.Muted || got != 20012 || w.told(user) != "You are muted." || len(next.entries(user)) != 2:
						w.Errorf("%+v, writing is answered with %d, told %q, trail %q", v, got, w.told(user), next.entries(user))
					}
					next.redeliver(jobs)
					next.hour()
				}
				next.quiet()
			})
		})
	}
}

// testForgiveDies: the process dies at each of its commits while it forgives a
// strike that mutes.
func testForgiveDies(w *world) {
	enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
		w := w.with(t)
		device := w.Login(name)
		next := w.process(w.store)
		next.add(name, "k", `{"weight":3}`)
		next.work()
		dying := w.process(mortal)
		dying.ask(http.MethodPost, name+"/forgive", "", `{"key":"k"}`)
		_ = w.Queue.Work(t.Context(), dying.ledger, w.Clock.Now)
		next.ask(http.MethodPost, name+"/forgive", "", `{"key":"k"}`)
		next.hour()
		_, v := next.ask(http.MethodGet, name, "", "")
		if got := w.speaks(device); v.Points != 0 || v.Suffers != strikes.None || got != 0 || w.told(name) != "You are muted. You are free." {
			w.Errorf("%+v, writing is answered with %d, told %q", v, got, w.told(name))
		}
		next.quiet()
	})
}

// testAnswersLost: IM's answers are lost, so often that the client gives up.
func testAnswersLost(w *world) {
	p := w.process(w.store)
	for i, command := range []string{"openconfigsvr/setnospeaking", "im_open_login_svc/kick", "openim/sendmsg"} {
		user := fmt.Sprint("user", i)
		w.Login(user)
		w.App.FailNext(command, slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 4)...)
		p.add(user, "k", `{"weight":6}`)
		p.hour()
		w.Advance(2 * time.Second)
		if got := w.speaks(w.Login(user)); got != 20012 || w.told(user) != "You are banned." {
			w.Errorf("%s: writing is answered with %d, told %q", command, got, w.told(user))
		}
	}
	p.quiet()
}

// testOvertaken: while one job is on its way to IM to mute, the user is forgiven,
// and another has told IM so before. He is free in the end.
func testOvertaken(w *world) {
	p := w.process(w.store)
	jane := w.Login("jane")
	p.add("jane", "k", `{"weight":3}`)
	mute, _ := w.Queue.Next(w.Clock.Now())
	forgave := false
	slow := w.process(kvtest.Hook(w.store, func(method string, call func() error) error {
		err := call()
		// After its record was read, and before IM is called.
		if method == "Commit" && !forgave && len(p.entries("jane")) > 1 {
			forgave = true
			p.ask(http.MethodPost, "jane/forgive", "", `{}`)
			p.work()
			if got := w.speaks(jane); got != 0 {
				w.Errorf("forgiven, and writing is answered with %d", got)
			}
		}
		return err
	}))
	encoded, err := queue.Encode(mute)
	w.Must(err)
	w.Must(slow.ledger.Perform(w.Context(), encoded))
	if got := w.speaks(jane); !forgave || got != 0 {
		w.Errorf("in the end writing is answered with %d", got)
	}
}

// testStorm: many add the same strikes at once, in several processes.
func testStorm(w *world) {
	const users, times, processes = 5, 8, 4
	var all sync.WaitGroup
	for range processes {
		p := w.process(w.store)
		for u := range users {
			all.Go(func() {
				for n := range times {
					for _, key := range []string{"a", "b", "c"} {
						if err := p.strikes.Add(w.Context(), strikes.Strike{UserID: fmt.Sprint("user", u), Key: key, Weight: 1, By: "desk"}); err != nil {
							w.Errorf("%d: %v", n, err)
						}
					}
				}
			})
		}
	}
	all.Wait()
	p := w.process(w.store)
	for u := range users {
		w.Login(fmt.Sprint("user", u))
	}
	p.hour()
	for u := range users {
		user := fmt.Sprint("user", u)
		_, v := p.ask(http.MethodGet, user, "", "")
		if len(v.Strikes) != 3 || v.Suffers != strikes.Muted || strings.Count(w.told(user), "muted") != 1 {
			w.Errorf("%+v, told %q", v, w.told(user))
		}
	}
	p.quiet()
}

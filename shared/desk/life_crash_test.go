package desk_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
)

// script is the life of one ticket, from its opening to a second solving, step by
// step. Each step is told to a process.
func script(p *process, user string) (steps []func(*process), check func()) {
	w := p.world
	id, group := p.opens(user)
	p.work()
	p.says(user, group, "first question")
	solve := func(p *process) { p.Advance(time.Minute); p.told(w.fake.Solve(id)) }
	steps = []func(*process){
		func(p *process) { p.Advance(time.Minute); p.told(w.fake.Assign(id, "701")) },
		solve,
		func(p *process) { // comes back
			p.Advance(time.Minute)
			p.says(user, group, "second question")
		},
		func(p *process) { // handed over
			p.Advance(time.Minute)
			p.told(w.fake.Assign(id, "702"))
		},
		solve,
		func(p *process) {
			p.Advance(time.Minute)
			p.says(user, group, "4")
		},
	}
	return steps, func() {
		w.Helper()
		notes, others := w.transcripts(id)
		all := ""
		for _, n := range notes {
			all += n.Text
		}
		if len(notes) != 2 || strings.Count(all, "first question") != 1 || strings.Count(all, "second question") != 1 {
			w.Errorf("%d transcripts:\n%s", len(notes), all)
		}
		if len(others) != 1 || w.at(id).Rating != 4 {
			w.Errorf("rated %d, notes %+v", w.at(id).Rating, others)
		}
		if got := w.ours(group, "survey"); len(got) != 2 {
			w.Errorf("surveys: %q", got)
		}
		if got := w.ours(group, "queue"); len(got) != 1 {
			w.Errorf("notices: %q", got)
		}
		if got, want := w.members(group), sorted("702", user); got != want {
			w.Errorf("in the group: %s, want %s", got, want)
		}
	}
}

// testRecordDies: at each step of a ticket's life the process that carries it out
// dies at each of its commits. In the end all is there once.
func testRecordDies(w *world) {
	steps := []int{1, 2, 3, 5}
	switch _, isZendesk := w.fake.(*desktest.Zendesk); {
	case enginetest.Full():
		steps = []int{0, 1, 2, 3, 4, 5}
	case !isZendesk:
		steps = []int{1, 5} // what is written down at the desk
	}
	for _, dies := range steps {
		w.Run(fmt.Sprint("step ", dies+1), func(t *testing.T) {
			enginetest.EachDeath(t, w.store, func(t *testing.T, name string, mortal kv.Store) {
				w := w.with(t)
				alive, before := w.process(w.store), len(w.Queue.All())
				steps, check := script(alive, fmt.Sprint("s", dies, name))
				for i, step := range steps {
					step(alive)
					if i == dies {
						dying := w.process(mortal)
						dying.workUntilDead()
						alive.hours(1)
					}
					alive.work()
				}
				alive.RedeliverFrom(alive.ledger, before)
				alive.hours(1)
				check()
				alive.quiet()
			})
		})
	}
}

// testLifeAnswersLost: the answers to each kind of call are lost once at every step,
// at the desk and at IM.
func testLifeAnswersLost(w *world) {
	lost := slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 4) // so often that the client gives up
	run := func(user string, lose func()) {
		w.Helper()
		p := w.process(w.store)
		steps, check := script(p, user)
		for _, step := range steps {
			lose()
			step(p)
			p.hours(1)
			w.fake.Recover()
		}
		check()
		p.quiet()
	}
	for i, command := range []string{
		"group_open_http_svc/send_group_msg", "group_open_http_svc/group_msg_get_simple", "group_open_http_svc/add_group_member",
		"group_open_http_svc/delete_group_member", "im_open_login_svc/account_import",
	} {
		if command == "group_open_http_svc/send_group_msg" {
			continue // the script itself sends; package once has its own tests
		}
		run(fmt.Sprint("im", i), func() { w.App.FailNext(command, lost...) })
	}
	for _, call := range []string{"read", "note", "file", "findfile", "update"} {
		run("desk-"+call, func() { w.fake.Fail(call, desktest.Fault{Lost: true}, desktest.Fault{Lost: true}) })
	}
	run("all", w.fake.LoseEachOnce)
}

// reorderedTickets is a size that ends soon unless the run is full.
var reorderedTickets = enginetest.Size(100, 1000)

// testReordered: a desk assigns each of many tickets several times, and tells of it
// twice and in any order. The members are whom it named last.
func testReordered(w *world) {
	p := w.process(w.store)
	want := make(map[string]string)
	var told []desktest.Delivery
	var groups []string
	for n := range reorderedTickets {
		user := fmt.Sprint("user", n)
		id, group := p.opens(user)
		groups = append(groups, group)
		for k := range 3 + n%3 {
			p.Advance(10 * time.Millisecond)
			agent := fmt.Sprint(701 + (n*7+k*k)%5)
			if (n+k)%11 == 0 {
				agent = ""
			}
			d := w.fake.Assign(id, agent)
			told = append(told, d, d)
			want[group] = sorted(strings.Fields(agent + " " + user)...)
		}
	}
	p.work()
	shuffle(told)
	for i, d := range told {
		p.told(d)
		if i%97 == 0 {
			p.work()
		}
	}
	p.work()
	p.hours(1)
	for _, g := range groups {
		if got := w.members(g); got != want[g] {
			w.Errorf("in %s: %s, want %s", g, got, want[g])
		}
	}
	p.quiet()
}

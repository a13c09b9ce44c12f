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

// inFollowUp requires that the transcript of a closed ticket is in one internal ticket
// that follows it, and in no other.
func (w *world) inFollowUp(id, text string) {
	w.Helper()
	found := 0
	for _, t := range w.fake.Tickets() {
		if t.FollowUp != id || !t.Internal {
			continue
		}
		found++
		notes, others := w.transcripts(t.ID)
		if len(notes) != 1 || len(others) != 0 || strings.Count(notes[0].Text, text) != 1 || t.Status != "solved" || slices.Contains(t.Tags, "im_chat") || t.Group != "" || t.Email != "" {
			w.Errorf("the follow-up: %+v", t)
		}
	}
	if found != 1 {
		w.Errorf("%d internal tickets follow %s", found, id)
	}
}

// closings are the ways in which a desk closes a ticket and tells of it.
var closings = []struct {
	name string
	tell func(p *process, id string)
}{
	{"closed alone", func(p *process, id string) { p.told(p.fake.SetClosed(id, true)) }},
	{"solved and closed at once", func(p *process, id string) {
		solved := p.fake.Solve(id)
		closed := p.fake.SetClosed(id, true)
		p.told(solved)
		p.told(closed)
	}},
	{"closed told before solved", func(p *process, id string) {
		solved := p.fake.Solve(id)
		p.Advance(time.Second)
		closed := p.fake.SetClosed(id, true)
		p.told(closed)
		p.work()
		p.told(solved)
	}},
	{"solved told and not carried out before it is closed", func(p *process, id string) {
		p.told(p.fake.Solve(id))
		p.Advance(time.Second)
		p.told(p.fake.SetClosed(id, true))
	}},
}

// recordedOnce requires that what was said in a ticket's chat is with the desk once,
// although Zendesk's closed tickets take no notes, and that the group is gone.
func (w *world) recordedOnce(id, group, text string) {
	w.Helper()
	if _, isZendesk := w.fake.(*desktest.Zendesk); isZendesk {
		w.inFollowUp(id, text)
	} else if notes, _ := w.transcripts(id); len(notes) != 1 || strings.Count(notes[0].Text, text) != 1 {
		w.Errorf("transcripts: %+v", notes)
	}
	if got := w.members(group); got != "none" {
		w.Errorf("in the group of a closed ticket: %s", got)
	}
}

// testClosedUnsolved: a ticket is closed before its transcript is made. The group is
// dissolved once the desk has the transcript, and not before.
func testClosedUnsolved(w *world) {
	w.conf.ClosedIsSolved = false
	p := w.process(w.store)
	for i, c := range closings {
		w.Run(c.name, func(t *testing.T) {
			w, p := w.with(t), p.with(t)
			user := fmt.Sprint("user", i)
			id, group := p.opens(user)
			p.told(w.fake.Assign(id, "701"))
			p.work()
			p.says(user, group, "question of "+user)
			p.Advance(time.Second)
			// A desk that is away holds the group, however long.
			for _, call := range []string{"note", "file", "findfile", "create", "find"} {
				w.fake.Fail(call, slices.Repeat([]desktest.Fault{{Status: 503}}, 1000)...)
			}
			c.tell(p, id)
			p.work()
			p.hours(5)
			if got := w.members(group); got != user {
				w.Errorf("in the group that waits for its transcript: %s", got)
			}
			w.fake.Recover()
			p.hours(2)
			w.recordedOnce(id, group, "question of "+user)
			p.redeliver()
			p.hours(1)
			w.recordedOnce(id, group, "question of "+user)
			p.quiet()
		})
	}
}

// testClosedUnsolvedDies: the process that carries out the closing of a ticket dies at
// each of its commits, or every answer is lost once.
func testClosedUnsolvedDies(w *world) {
	w.conf.ClosedIsSolved = false
	alive := w.process(w.store)
	closes := func(alive *process, user string, work func()) {
		w := alive.world
		id, group := alive.opens(user)
		alive.told(w.fake.Assign(id, "701"))
		alive.work()
		alive.says(user, group, "question of "+user)
		alive.Advance(time.Second)
		alive.told(w.fake.SetClosed(id, true))
		work()
		alive.hours(2)
		w.recordedOnce(id, group, "question of "+user)
		alive.quiet()
	}
	enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
		alive := alive.with(t)
		closes(alive, name, alive.world.process(mortal).workUntilDead)
	})
	w.fake.LoseEachOnce()
	closes(alive, "lost", alive.work)
}

// testTranscriptRefused: a desk takes neither note nor follow-up. What was said is left
// to the requester.
func testTranscriptRefused(w *world) {
	w.conf.ClosedIsSolved = false
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.says("jane", group, "hello")
	p.Advance(time.Second)
	refused := []desktest.Fault{{Status: 422, Body: `{"error":"RecordInvalid","details":{"base":[{"error":"InvalidValue"}]}}`}}
	if _, isZendesk := w.fake.(*desktest.Zendesk); !isZendesk {
		refused = []desktest.Fault{{Status: 400, Body: `[{"errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","message":"no"}]`}}
	}
	for _, call := range []string{"create", "file"} {
		w.fake.Fail(call, slices.Repeat(refused, 10)...)
	}
	p.told(w.fake.SetClosed(id, true))
	p.work()
	p.hours(30)
	if got := w.members(group); got != "jane" {
		w.Errorf("in the group whose transcript nobody took: %s", got)
	}
	p.quiet()
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
		p.work()
	}
	shuffle(told)
	for i, d := range told {
		p.told(d)
		if i%97 == 0 {
			p.work()
		}
	}
	p.work()
	p.hours(1)
	state := w.App.State()
	for _, g := range groups {
		if got := membersIn(state, g); got != want[g] {
			w.Errorf("in %s: %s, want %s", g, got, want[g])
		}
	}
	p.quiet()
}

package match_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// with is the same world in a subtest.
func (w *world) with(t *testing.T) *world {
	sub := *w
	sub.World = w.With(t)
	return &sub
}

// eachDeath lets a process die at each of its commits while it does something.
// after gets the next process, which nobody tells of what was left half done, and
// says what must hold.
func (w *world) eachDeath(life func(w *world, dying *process, name string) (after func(*process))) {
	rulestest.Deaths[*process]{
		Store: w.store,
		Start: func(t *testing.T) (*rulestest.World, func(kv.Store) *process) {
			w := w.with(t)
			return w.World, func(store kv.Store) *process { return w.process(store).serves() }
		},
		Ledger: func(p *process) *queue.Ledger { return p.ledger },
		Tick:   func(p *process) { p.minutes(3) },
		Pauses: []time.Duration{0, 10 * time.Minute},
	}.Each(w.T(), func(dying *process, name string) func(*process) { return life(dying.world, dying, name) })
}

// last does what a process still can do that is about to die. Then nobody hears IM's
// callbacks.
func (p *process) last(requests ...*http.Request) {
	p.Helper()
	p.serves()
	p.Last(p.ledger, func() {
		for _, r := range requests {
			p.do(r)
		}
	})
	p.Serve(callback.NewMux())
}

// testMakingDies: whether the captain asks again or nobody ever does, there is one
// team with its group, or none.
func testMakingDies(w *world) {
	w.Run("asked again", func(t *testing.T) {
		w.with(t).eachDeath(func(w *world, dying *process, name string) func(*process) {
			captain := "a" + name
			dying.last(dying.wants(captain))
			return func(next *process) {
				id := next.makes(captain)
				next.whole(id, match.Open, captain)
				if n := w.groupsOf(captain); n != 1 {
					w.Errorf("%d groups", n)
				}
			}
		})
	})
	w.Run("never asked again", func(t *testing.T) {
		w.with(t).eachDeath(func(w *world, dying *process, name string) func(*process) {
			captain := "b" + name
			dying.last(dying.wants(captain))
			return func(next *process) {
				next.minutes(45)
				if n := w.groupsOf(captain); n != 0 {
					w.Errorf("%d groups of a team that nobody knows of", n)
				}
			}
		})
	})
}

// groupsOf counts the groups that a user owns.
func (w *world) groupsOf(user string) (n int) {
	for _, g := range w.App.State().Groups {
		if g.Owner == user {
			n++
		}
	}
	return n
}

// testStartDies: the members come by our routes or by IM's own SDK, and the
// process dies on the way to the start. There is one start, of all three.
func testStartDies(w *world) {
	for _, c := range []struct {
		name, prefix string
		faults       []matchtest.Fault // of the hook
		asAgain      bool              // who asked by our route asks again
	}{
		{"by our route", "a", nil, true},
		{"by the SDK", "b", nil, false},
		{"the hook's answer lost", "c", []matchtest.Fault{{Lost: true}, {Status: 502, Worked: true}}, false},
		{"the hook is busy", "d", []matchtest.Fault{{Status: 429}, {Status: 503}}, true},
	} {
		w.Run(c.name, func(t *testing.T) {
			w.with(t).eachDeath(func(w *world, dying *process, name string) func(*process) {
				captain := c.prefix + name
				b, d := captain+"2", captain+"3"
				id := w.process(w.store).makes(captain)
				w.hook.Recover()
				w.hook.Fail(c.faults...)
				if c.asAgain {
					dying.last(w.joining(id, b), w.joining(id, d))
				} else {
					dying.serves()
					w.Must(w.device(b).Join(id))
					w.Must(w.device(d).Join(id))
					dying.last()
				}
				return func(next *process) {
					if c.asAgain {
						for _, user := range []string{b, d} {
							if a := next.until(func() *http.Request { return w.joining(id, user) }); a.status != http.StatusOK {
								w.Errorf("%d %s", a.status, a.text)
							}
						}
					}
					next.minutes(4)
					next.whole(id, match.Started, captain, b, d)
					if s := w.starts(id); len(s) == 1 && sorted(s[0].Members...) != sorted(captain, b, d) {
						w.Errorf("%+v", s)
					}
				}
			})
		})
	}
}

func (w *world) joining(id, user string) *http.Request {
	w.Helper()
	return w.as(user, http.MethodPost, "/teams/"+id+"/members", "{}")
}

// testLeaverDies: the hook is busy, a member leaves and another comes, and the
// process dies meanwhile. Whoever was in the team when it started, it started
// once, with three who were in it.
func testLeaverDies(w *world) {
	for _, c := range []struct {
		name, prefix string
		fault        matchtest.Fault
	}{
		{"not taken", "a", matchtest.Fault{Status: 429}},
		{"taken", "b", matchtest.Fault{Lost: true}},
	} {
		w.Run(c.name, func(t *testing.T) {
			w.with(t).eachDeath(func(w *world, dying *process, name string) func(*process) {
				captain := c.prefix + name
				b, d, e := captain+"2", captain+"3", captain+"4"
				p := w.process(w.store)
				id := p.makes(captain)
				p.joins(id, b)
				w.hook.Recover()
				w.hook.Fail(c.fault)
				dying.serves()
				w.Must(w.device(d).Join(id))
				dying.last()
				dying.serves()
				w.Must(w.device(b).Quit(id))
				w.Must(w.App.Settle(w.Context()))
				dying.last()
				dying.serves()
				// A match that has started takes nobody.
				in := []string{captain, d, e}
				err := w.device(e).Join(id)
				if isClosed(err) {
					in, err = in[:2], nil
				}
				w.Must(err)
				dying.last()
				return func(next *process) {
					next.minutes(4)
					next.whole(id, match.Started, in[0], in[1:]...)
					s := w.starts(id)
					if len(s) != 1 {
						return // reported
					}
					if got := sorted(s[0].Members...); got != sorted(captain, b, d) && got != sorted(captain, d, e) {
						w.Errorf("started with %s", got)
					}
				}
			})
		})
	}
}

// testLeavingDies: the captain leaves, and the process dies. When he asks again,
// he is out and another is the captain.
func testLeavingDies(w *world) {
	w.eachDeath(func(w *world, dying *process, name string) func(*process) {
		b := name + "2"
		p := w.process(w.store)
		id := p.makes(name)
		p.joins(id, b)
		leaving := func() *http.Request { return w.as(name, http.MethodDelete, "/teams/"+id+"/members/"+name, "") }
		dying.last(leaving())
		return func(next *process) {
			if a := next.until(leaving); a.status != http.StatusOK {
				w.Errorf("%d %s", a.status, a.text)
			}
			next.minutes(3)
			next.whole(id, match.Open, b)
		}
	})
}

// testEndingDies: a server ends a team, and the process dies. If it ever wrote
// that down, the team is gone, although nobody asks again.
func testEndingDies(w *world) {
	w.eachDeath(func(w *world, dying *process, name string) func(*process) {
		id := w.process(w.store).makes(name)
		dying.last(w.as("", http.MethodDelete, "/teams/"+id, ""))
		return func(next *process) {
			v := next.ok(w.as("", http.MethodGet, "/teams/"+id, ""))
			next.minutes(3)
			if v.Status == match.Ended && w.members(id) != "none" || v.Status != match.Ended && v.Status != match.Open {
				w.Errorf("%+v, with %s", v, w.members(id))
			}
			next.ok(w.as("", http.MethodDelete, "/teams/"+id, ""))
			if w.members(id) != "none" {
				w.Errorf("still there: %s", w.members(id))
			}
		}
	})
}

// testAnswersLost: the answers to all calls are lost, so often that the client
// gives up: at IM command by command, and at the hook.
func testAnswersLost(w *world) {
	p := w.process(w.store).serves()
	lost := slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 4)
	for i, command := range []string{
		"im_open_login_svc/account_import", "group_open_http_svc/create_group", "group_open_http_svc/add_group_member",
		"group_open_http_svc/get_group_member_info", "group_open_http_svc/send_group_msg", "group_open_http_svc/change_group_owner",
		"group_open_http_svc/delete_group_member", "group_open_http_svc/destroy_group",
	} {
		captain := string(rune('a' + i))
		b, d, e := captain+"2", captain+"3", captain+"4"
		asked := func(r func() *http.Request) {
			w.Helper()
			w.App.FailNext(command, lost...)
			if a := p.until(r); a.status >= 300 {
				w.Errorf("%s: %d %s", command, a.status, a.text)
			}
		}
		asked(func() *http.Request { return w.wants(captain) })
		id := p.makes(captain)
		w.hook.Fail(slices.Repeat([]matchtest.Fault{{Status: 429}}, 3)...)
		asked(func() *http.Request { return w.joining(id, b) })
		asked(func() *http.Request { return w.joining(id, d) })
		asked(func() *http.Request { return w.as(captain, http.MethodDelete, "/teams/"+id+"/members/"+captain, "") })
		w.hook.Recover()
		w.hook.Fail(matchtest.Fault{Lost: true}, matchtest.Fault{Lost: true})
		asked(func() *http.Request { return w.joining(id, e) })
		p.minutes(6)
		p.whole(id, match.Started, b, d, e)
		asked(func() *http.Request { return w.as("", http.MethodDelete, "/teams/"+id, "") })
		p.minutes(3)
		if w.members(id) != "none" {
			w.Errorf("%s: %s are still in the group", command, w.members(id))
		}
	}
	p.quiet()
}

package desk_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
)

// testRoutesDie: the process that answers an agent or a requester dies at each of its
// commits, or the desk's answer to it is lost. Whether the caller asks again or the desk
// tells of what it took, all is there once in the end.
func testRoutesDie(w *world) {
	alive := w.process(w.store)
	for _, r := range []struct {
		route, as, body string
		told            func(w *world, id string) desktest.Delivery
		members         string // beside the requester
		rounds          int    // of transcripts and surveys in the end
	}{
		{"transfer", "701", `{"agentId":"702"}`, func(w *world, id string) desktest.Delivery { return w.fake.Assign(id, "702") }, "702", 0},
		{"solve", "701", `{}`, func(w *world, id string) desktest.Delivery { return w.fake.Solve(id) }, "701", 1},
		{"reopen", "", `{}`, func(w *world, id string) desktest.Delivery { return w.fake.SetClosed(id, false) }, "701", 1},
	} {
		life := func(alive *process, user string, call func(*http.Request), asks bool) {
			w := alive.world
			w.Helper()
			id, group := alive.opens(user)
			alive.told(w.fake.Assign(id, "701"))
			alive.work()
			alive.says(user, group, "question of "+user)
			alive.Advance(time.Second)
			if r.route == "reopen" {
				alive.told(w.fake.Solve(id))
				alive.hours(1)
			}
			caller := r.as
			if caller == "" {
				caller = user
			}
			request := func() *http.Request { return w.as(caller, http.MethodPost, "/tickets/"+id+"/"+r.route, r.body) }
			call(request())
			alive.Advance(time.Second)
			if asks {
				// One who was handed over is no longer of the ticket.
				if a := alive.do(request()); a.status != http.StatusAccepted && a.status != http.StatusNotFound {
					w.Errorf("asked again: %d %s", a.status, a.text)
				}
			} else {
				alive.told(r.told(w, id))
			}
			alive.hours(1)
			if got, want := w.members(group), sorted(r.members, user); got != want {
				w.Errorf("in the group: %s, want %s", got, want)
			}
			notes, others := w.transcripts(id)
			if surveys := w.ours(group, "survey"); len(notes) != r.rounds || len(others) != 0 || len(surveys) != r.rounds {
				w.Errorf("%d transcripts, %d other notes, surveys %q", len(notes), len(others), surveys)
			}
			at := w.at(id)
			if over := strings.EqualFold(at.Status, "solved") || strings.EqualFold(at.Status, "closed"); over != (r.route == "solve") || r.route == "transfer" && at.Assignee != "702" {
				w.Errorf("at the desk: %s, %s's", at.Status, at.Assignee)
			}
			alive.quiet()
		}
		for _, asks := range []bool{true, false} {
			if _, isZendesk := w.fake.(*desktest.Zendesk); !isZendesk && !asks && !enginetest.Full() {
				continue
			}
			then := " and the desk tells of it"
			if asks {
				then = " and the caller asks again"
			}
			w.Run(r.route+then, func(t *testing.T) {
				suffix := map[bool]string{true: "a", false: "b"}[asks]
				enginetest.EachDeath(t, w.store, func(t *testing.T, name string, mortal kv.Store) {
					dying := w.with(t).process(mortal)
					life(alive.with(t), r.route+name+suffix, func(r *http.Request) {
						dying.do(r)
						dying.workUntilDead()
					}, asks)
				})
				alive := alive.with(t)
				life(alive, r.route+"lost"+suffix, func(r *http.Request) {
					w.fake.Fail("update", desktest.Fault{Lost: true}, desktest.Fault{Lost: true})
					alive.do(r)
					w.fake.Recover()
				}, asks)
			})
		}
	}
}

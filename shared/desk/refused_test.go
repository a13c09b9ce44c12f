package desk_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

func TestWhatDesksRefuse(t *testing.T) {
	var tests []enginetest.Test
	for _, k := range []kind{zendeskKind, salesforceKind} {
		tests = append(tests, enginetest.Test{Name: string(k), Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			w := newWorld(t, store, clock, k)
			w.conf.ClosedIsSolved, w.conf.Survey, w.conf.Linger = k == salesforceKind, survey, linger
			testWhatDesksRefuse(w)
		}})
	}
	enginetest.Run(t, tests)
}

// testWhatDesksRefuse: what a desk does not take, and what it takes later.
func testWhatDesksRefuse(w *world) {
	p := w.process(w.store)

	// A name as long as IM takes, in characters of three bytes, cut where one ends.
	name := strings.Repeat("打印机坏了", 7)
	a := p.do(w.post("/createticket", strings.Replace(wish("jane"), "printer offline", name, 1)))
	if a.status != http.StatusOK {
		w.Fatalf("%d %s", a.status, a.text)
	}
	p.work()
	group := a.json["groupId"].(string)
	if got := w.App.State().Group(group).Name; got == "" || len(got) > im.MaxGroupName || !strings.HasPrefix(name, got) || strings.ContainsRune(got, '\uFFFD') {
		w.Errorf("the group is called %q", got)
	}
	id := a.json["ticketId"].(string)

	// A requester whom the desk has suspended: 400, and nothing is made.
	groups, tickets := len(w.App.State().Groups), len(w.fake.Tickets())
	suspended := desktest.Fault{Status: 422, Body: `{"error":"RecordInvalid","description":"Record validation errors","details":{"requester":[{"description":"Requester is suspended: jane@example.com","error":"Suspended"}]}}`}
	if w.doors.Org != nil {
		suspended = desktest.Fault{Status: 400, Body: `[{"message":"jane@example.com is blocked","errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","fields":["SuppliedEmail"]}]`}
	}
	w.fake.Fail("create", suspended)
	a = p.do(w.wants("june"))
	if a.status != http.StatusBadRequest || strings.Contains(a.text, "jane@") || !strings.Contains(strings.ToLower(a.text), "re") {
		w.Errorf("suspended: %d %s", a.status, a.text)
	}
	p.work()
	if g, n := len(w.App.State().Groups), len(w.fake.Tickets()); g != groups || n != tickets {
		w.Errorf("a refused request made %d groups and %d tickets", g-groups, n-tickets)
	}

	// Two transactions of the desk meet: later it works, once.
	busy := desktest.Fault{Status: 429, RetryAfter: "5"}
	if w.doors.Org != nil {
		busy = desktest.Fault{Status: 400, Body: `[{"message":"unable to obtain exclusive access to this record","errorCode":"UNABLE_TO_LOCK_ROW","fields":[]}]`}
	}
	p.told(w.fake.Assign(id, "701"))
	p.work()
	w.fake.Fail("note", busy, busy)
	w.fake.Fail("file", busy, busy)
	p.told(w.fake.Solve(id))
	p.work()
	if notes, _ := w.transcripts(id); len(notes) != 0 {
		w.Errorf("written while the desk was busy: %+v", notes)
	}
	p.hours(1)
	if notes, _ := w.transcripts(id); len(notes) != 1 {
		w.Errorf("%d transcripts", len(notes))
	}
	if a := p.do(w.as("jane", http.MethodPost, "/tickets/"+id+"/reopen", `{}`)); a.status != http.StatusAccepted {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.work()

	// An agent whom the desk does not know: it refuses, and the group stays as it is.
	w.fake.Fail("update", desktest.Fault{Status: 422, Body: `{"error":"RecordInvalid","details":{"assignee":[{"error":"InvalidValue"}]}}`})
	if a := p.do(w.as("701", http.MethodPost, "/tickets/"+id+"/transfer", `{"agentId":"999"}`)); a.status != http.StatusBadRequest {
		w.Errorf("an unknown agent: %d %s", a.status, a.text)
	}
	p.work()
	if got := w.members(group); got != "701 jane" {
		w.Errorf("in the group: %s", got)
	}
	for _, bad := range []string{"/tickets/1%2F2", "/tickets/" + strings.Repeat("9", 60), "/tickets/%00"} {
		if a := p.do(w.as("jane", http.MethodGet, bad, "")); a.status != http.StatusNotFound {
			w.Errorf("%s: %d", bad, a.status)
		}
	}
	p.hours(1)
	p.quiet()
}

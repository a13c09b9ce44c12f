package desk_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const leaver = "zz-leaver"

// recorded is a world in a file, all of which can be read.
func recorded(t *testing.T) (*world, *kvtest.Recorder) {
	clock := kvtest.NewClock()
	r := kvtest.Record(rulestest.Store(t, clock))
	w := newWorld(t, r, clock, zendeskKind)
	w.conf.Survey, w.conf.Linger = survey, linger
	return w, r
}

// TestErase: a requester is erased while the request is under way. The job of the
// request goes on and opens the ticket, which is solved and rated; when it is over,
// nothing names the requester, and no word of the requester is left here.
func TestErase(t *testing.T) {
	w, r := recorded(t)
	p := w.process(w.store)
	waits := func(erased int, want ...string) {
		t.Helper()
		done := w.Erase(r, desk.UserData, leaver)
		var got []string
		for _, k := range done.Waits {
			got = append(got, k.Why)
		}
		if done.Erased != erased || strings.Join(got, "; ") != strings.Join(want, "; ") || done.Again.IsZero() != (len(want) == 0) {
			t.Errorf("%+v, want %d erased, and to wait for %q", done, erased, want)
		}
	}
	w.fake.Fail("create", desktest.Fault{Status: http.StatusServiceUnavailable})
	if a := p.do(p.wants(leaver)); a.status != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", a.status, a.text)
	}
	waits(0, "a request for a ticket is under way")
	w.fake.Recover()
	p.hours(1)
	ticket := w.whole(leaver, "")
	waits(1, "ticket "+ticket.ID+" is open") // the request, with what the user wrote
	w.Advance(userdata.Settled)
	waits(0, "ticket "+ticket.ID+" is open")

	p.told(w.fake.Solve(ticket.ID))
	p.work()
	p.Advance(time.Minute)
	if a := p.do(w.Request(leaver, http.MethodPost, "/tickets/"+ticket.ID+"/survey", `{"rating":2,"comment":"`+words+`"}`)); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.text)
	}
	p.hours(1)
	page, err := userdata.Export(w.Context(), r, []userdata.Source{desk.UserData}, leaver, "", 100)
	w.Must(err)
	if text, _ := json.Marshal(page); len(page.Records) != 1 || !strings.Contains(string(text), words) || !strings.Contains(string(text), "printer offline") {
		t.Errorf("the export: %s", text)
	}
	waits(0, "ticket "+ticket.ID+" may be reopened by a last word")
	p.hours(27)
	waits(1)
	if found := w.Left(r, leaver, words, "printer offline", "jane@example.com"); len(found) > 0 {
		t.Errorf("left of the requester:\n%s", strings.Join(found, "\n"))
	}
	// What the desk tells later makes no group of nobody.
	p.told(w.fake.SetClosed(ticket.ID, false))
	p.hours(1)
	if found := w.Left(r, leaver, words); len(found) > 0 {
		t.Errorf("back again:\n%s", strings.Join(found, "\n"))
	}
}

// TestEraseRefused: what a requester wrote is kept with a request that the desk has
// refused, and a dead job. It goes, and an operator who redrives the job later makes no
// ticket of it.
func TestEraseRefused(t *testing.T) {
	w, r := recorded(t)
	p := w.process(w.store)
	refused := desktest.Fault{Status: http.StatusBadRequest, Body: `{"error":"RecordInvalid","details":{}}`}
	w.fake.Fail("create", append([]desktest.Fault{{Status: http.StatusServiceUnavailable}}, slices.Repeat([]desktest.Fault{refused}, 40)...)...)
	if a := p.do(p.wants(leaver)); a.status != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", a.status, a.text)
	}
	p.hours(24)
	dead, err := p.ledger.DeadJobs(w.Context(), 10)
	if w.Must(err); len(dead) != 1 || len(w.Left(r, words)) != 1 {
		t.Fatalf("dead jobs %+v, and the user's words in %q", dead, w.Left(r, words))
	}
	if done := w.Erase(r, desk.UserData, leaver); done.Erased != 1 || len(done.Waits) != 0 {
		t.Errorf("%+v", done)
	}
	w.fake.Recover()
	w.Must(p.ledger.Redrive(w.Context(), dead[0].Job.ID))
	p.hours(1)
	if n := len(w.fake.Tickets()); n != 0 {
		t.Errorf("%d tickets of a user who was erased", n)
	}
	w.Advance(userdata.Settled)
	w.Erase(r, desk.UserData, leaver)
	if found := w.Left(r, leaver, words); len(found) > 0 {
		t.Errorf("left of the requester:\n%s", strings.Join(found, "\n"))
	}
}

// TestEraseAbandoned: a request whose job is dead is not waited for without an end.
func TestEraseAbandoned(t *testing.T) {
	w, r := recorded(t)
	p := w.process(w.store)
	w.fake.Fail("create", slices.Repeat([]desktest.Fault{{Status: http.StatusServiceUnavailable}}, 1000)...)
	if a := p.do(p.wants(leaver)); a.status != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", a.status, a.text)
	}
	if done := w.Erase(r, desk.UserData, leaver); done.Erased != 0 || len(done.Waits) != 1 {
		t.Errorf("%+v", done)
	}
	w.Advance(2 * userdata.Settled)
	if done := w.Erase(r, desk.UserData, leaver); done.Erased != 1 || len(done.Waits) != 0 {
		t.Errorf("%+v", done)
	}
	w.fake.Recover()
	p.hours(2)
	if n := len(w.fake.Tickets()); n != 0 {
		t.Errorf("%d tickets of a user who was erased", n)
	}
	if found := w.Left(r, leaver, words); len(found) > 0 {
		t.Errorf("left of the requester:\n%s", strings.Join(found, "\n"))
	}
}

// TestEraseDies: a process dies at each commit of an erasure.
func TestEraseDies(t *testing.T) {
	w, r := recorded(t)
	w.EachErasure(r, desk.UserData, func(rw *rulestest.World, user string) func() {
		w := *w
		w.World = rw
		p := w.process(kv.Store(r))
		id, _ := p.opens(user)
		p.work()
		p.told(w.fake.SetClosed(id, true))
		p.hours(27)
		return p.quiet
	})
}

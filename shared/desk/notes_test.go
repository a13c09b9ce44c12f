package desk_test

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/idem"
)

// testNotesStayInside: a note of an agent is at the desk, and in no group; an event
// about comments moves nothing.
func testNotesStayInside(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	if a := p.do(w.as("701", http.MethodPost, "/tickets/"+id+"/notes", `{"text":"he is difficult"}`)); a.status != http.StatusCreated {
		w.Fatalf("%d %s", a.status, a.text)
	}
	for _, c := range []struct {
		user, body string
		want       int
	}{
		{"jane", `{"text":"x"}`, http.StatusForbidden},
		{"702", `{"text":"x"}`, http.StatusNotFound},
		{"701", `{"text":""}`, http.StatusBadRequest},
		{"701", `{"text":"x","public":true}`, http.StatusBadRequest},
	} {
		if a := p.do(w.as(c.user, http.MethodPost, "/tickets/"+id+"/notes", c.body)); a.status != c.want {
			w.Errorf("%s of %s: %d %s", c.body, c.user, a.status, a.text)
		}
	}
	if _, others := w.transcripts(id); len(others) != 1 || !strings.Contains(others[0].Text, "he is difficult") {
		w.Errorf("%+v", others)
	}
	before := len(w.App.State().Group(group).Messages)
	if z, is := w.fake.(*desktest.Zendesk); is {
		for _, public := range []bool{false, true} {
			p.told(z.Commented(id, "he is difficult", public))
		}
	}
	p.hours(1)
	state := w.App.State().Group(group)
	for _, m := range state.Messages {
		if strings.Contains(string(m.Body), "difficult") {
			w.Errorf("said in the group: %s", m.Body)
		}
	}
	if len(state.Messages) != before || p.status("jane", id) != "assigned" {
		w.Errorf("%d messages, were %d", len(state.Messages), before)
	}
	p.quiet()
}

// bounded is a desk that sees how long a note may take.
type bounded struct {
	desk.Desk
	limits []time.Duration // 0: for ever
}

func (b *bounded) AddNote(ctx context.Context, id string, n desk.Note) error {
	limit := time.Duration(0)
	if end, is := ctx.Deadline(); is {
		limit = time.Until(end)
	}
	b.limits = append(b.limits, limit)
	return b.Desk.AddNote(ctx, id, n)
}

// testNotesEnd: a desk that does not answer keeps no agent waiting for ever, whether
// the answer to him is kept for repeats or not.
func testNotesEnd(w *world) {
	b := &bounded{Desk: w.desk}
	w.conf.Desk, w.doors.Keeper = b, idem.New(w.store, w.Clock.Now)
	p := w.process(w.store)
	id, _ := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	b.limits = nil
	for _, key := range []string{"", "note-1", "note-1"} {
		r := w.as("701", http.MethodPost, "/tickets/"+id+"/notes", `{"text":"he is difficult"}`)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		if a := p.do(r); a.status != http.StatusCreated {
			w.Fatalf("%d %s", a.status, a.text)
		}
	}
	if len(b.limits) != 2 {
		w.Fatalf("%d notes, want 2", len(b.limits))
	}
	for _, limit := range b.limits {
		if limit <= 0 || limit > 25*time.Second {
			w.Errorf("a note may take %v", limit)
		}
	}
	p.quiet()
}

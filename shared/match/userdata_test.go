package match_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/rulestest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const leaver = "zz-leaver"

// recorded is a world in a file, all of which can be read.
func recorded(t *testing.T) (*world, *kvtest.Recorder) {
	clock := kvtest.NewClock()
	r := kvtest.Record(rulestest.Store(t, clock))
	return newWorld(t, r, clock), r
}

// ends has a team of a captain end in which others were.
func (p *process) ends(groupID string) {
	p.Helper()
	p.ok(p.as("", http.MethodDelete, "/teams/"+groupID, ""))
	p.minutes(2)
}

// TestErase: a captain with a team, and in another's, is erased. Teams that are not
// over wait; afterwards the others' team is theirs, and nothing names the user, nor is
// anything left of the mode that the user chose.
func TestErase(t *testing.T) {
	w, r := recorded(t)
	p := w.process(w.store).serves()
	own := p.ok(p.as(leaver, http.MethodPost, "/teams", `{"mode":"a mode of zz-leaver","size":3}`)).GroupID
	p.joins(own, "bob")
	other := p.makes("cat")
	p.joins(other, leaver)
	p.work()
	page, err := userdata.Export(w.Context(), r, []userdata.Source{match.UserData}, leaver, "", 100)
	w.Must(err)
	text, err := json.Marshal(page)
	if w.Must(err); len(page.Records) != 2 || strings.Contains(string(text), "bob") {
		t.Errorf("the export: %s", text)
	}
	if done := w.Erase(r, match.UserData, leaver); done.Erased != 0 || len(done.Waits) != 2 {
		t.Errorf("%+v", done)
	}
	p.leaves(other, leaver)
	p.minutes(2)
	p.ends(own)
	w.Advance(userdata.Settled)
	if done := w.Erase(r, match.UserData, leaver); done.Erased != 1 || len(done.Waits) != 0 || !done.Again.IsZero() {
		t.Errorf("%+v", done)
	}
	if found := w.Left(r, leaver); len(found) > 0 {
		t.Errorf("left of the user:\n%s", strings.Join(found, "\n"))
	}
	if v := p.ok(p.as("bob", http.MethodGet, "/teams/"+own, "")); v.Status != match.Ended || v.Captain != "" || len(v.Members) > 1 {
		t.Errorf("the other member sees %+v", v)
	}
}

// TestEraseAfterStart: who has left a team that plays is taken out of it, and the team
// plays on.
func TestEraseAfterStart(t *testing.T) {
	w, r := recorded(t)
	p := w.process(w.store).serves()
	id := p.makes("ann")
	p.joins(id, "bob")
	p.joins(id, leaver)
	p.minutes(1)
	if v := p.ok(p.as("ann", http.MethodGet, "/teams/"+id, "")); v.Status != match.Started {
		t.Fatalf("%+v", v)
	}
	if done := w.Erase(r, match.UserData, leaver); len(done.Waits) != 1 {
		t.Errorf("%+v", done)
	}
	p.leaves(id, leaver)
	p.minutes(2)
	if done := w.Erase(r, match.UserData, leaver); done.Erased != 1 || len(done.Waits) != 0 {
		t.Errorf("%+v", done)
	}
	for _, found := range w.Left(r, leaver) {
		if !strings.HasPrefix(found, "userdata/") { // until the second pass
			t.Errorf("left of the user: %s", found)
		}
	}
	p.minutes(2)
	if v := p.ok(p.as("ann", http.MethodGet, "/teams/"+id, "")); v.Status != match.Started || len(v.Members) != 2 {
		t.Errorf("the others see %+v", v)
	}
}

// TestEraseDies: a process dies at each commit of an erasure.
func TestEraseDies(t *testing.T) {
	w, r := recorded(t)
	w.EachErasure(r, match.UserData, func(rw *rulestest.World, user string) func() {
		w := *w
		w.World = rw
		p := w.process(kv.Store(r)).serves()
		id := p.makes(user)
		p.joins(id, "bob")
		p.work()
		p.ends(id)
		return func() {
			if a := p.do(p.as("", http.MethodGet, "/teams/"+id, "")); a.status != http.StatusOK && a.status != http.StatusNotFound {
				w.Errorf("%d %s", a.status, a.text)
			}
		}
	})
}

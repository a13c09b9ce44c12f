package desk_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

func TestTickets(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		test func(*world)
	}{
		{"Opened", false, testOpened},
		{"AskedAgain", false, testAskedAgain},
		{"RequestDies", true, testRequestDies},
		{"AnswersLost", true, testAnswersLost},
		{"DeskAway", true, testDeskAway},
		{"ChangeDies", true, testChangeDies},
		{"ChangeAnswersLost", true, testChangeAnswersLost},
	} {
		for _, desk := range []kind{zendeskKind, salesforceKind} {
			tests = append(tests, enginetest.Test{Name: c.name + " " + string(desk), Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
				c.test(newWorld(t, store, clock, desk))
			}})
		}
	}
	enginetest.Run(t, tests)
}

func testOpened(w *world) {
	p := w.process(w.store)
	a := p.do(w.wants("jane"))
	p.work()
	ticket := w.whole("jane", "")
	for field, want := range map[string]any{
		"ticketId": ticket.ID, "groupId": ticket.Group, "GroupId": ticket.Group, "ActionStatus": "OK", "ErrorCode": 0.0, "ErrorInfo": "",
	} {
		if a.json[field] != want {
			w.Errorf("%s is %v, want %v", field, a.json[field], want)
		}
	}
	g := w.app.State().Group(ticket.Group)
	if g.Type != "Public" || g.Name != "printer offline" || g.Owner != "jane" {
		w.Errorf("group %s %q of %s", g.Type, g.Name, g.Owner)
	}
	p.quiet()
}

func testAskedAgain(w *world) {
	p := w.process(w.store)
	first := p.do(w.wants("jane"))
	for _, later := range []time.Duration{0, time.Minute, 3 * time.Hour, 80 * 24 * time.Hour} {
		w.advance(later)
		if again := p.do(w.wants("jane")); again.status != http.StatusOK || again.text != first.text {
			w.Errorf("%v later: %d %s, want %s", later, again.status, again.text, first.text)
		}
	}
	p.work()
	w.whole("jane", "")

	other := w.wants("jane")
	other.Body = w.post("/createticket", wish("june")).Body
	if a := p.do(other); a.status != http.StatusUnprocessableEntity {
		w.Errorf("another request under the same name: %d %s", a.status, a.text)
	}

	// Without a name the content is known again, for an hour.
	nameless := func() reply {
		return p.do(w.post("/createticket", wish("joan")))
	}
	first = nameless()
	w.advance(59 * time.Minute)
	if again := nameless(); again.status != http.StatusOK || again.text != first.text {
		w.Errorf("the same content: %d %s, want %s", again.status, again.text, first.text)
	}
	p.work()
	w.whole("joan", "")
	w.advance(2 * time.Minute)
	if again := nameless(); again.status != http.StatusOK || again.text == first.text {
		w.Errorf("the same content, more than an hour later: %d %s", again.status, again.text)
	}
}

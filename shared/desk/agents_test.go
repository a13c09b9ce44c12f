package desk_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
)

func testAgents(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.work()
	for _, step := range []struct{ agent, want string }{
		{"701", "701 jane"}, {"702", "702 jane"}, {"702", "702 jane"}, {"", "jane"}, {"701", "701 jane"}, {"", "jane"},
	} {
		p.Advance(time.Second)
		p.told(w.fake.Assign(id, step.agent))
		p.work()
		if got := w.members(group); got != step.want {
			w.Errorf("assigned to %q: %s, want %s", step.agent, got, step.want)
		}
	}
	w.whole("jane", "")
	if z, is := w.fake.(*desktest.Zendesk); is {
		// The other kind of webhook says the same in other words.
		for _, agent := range []string{"703", "704", ""} {
			p.Advance(time.Second)
			z.Assign(id, agent)
			p.told(z.Trigger(id))
			p.work()
			w.whole("jane", agent)
		}
	}
	p.quiet()
}

// testAssignedBeforeTheGroup: a desk that assigns at once tells of it before the
// ticket has its group, and before we know that it is ours.
func testAssignedBeforeTheGroup(w *world) {
	p := w.process(w.store)
	w.App.FailNext("group_open_http_svc/create_group", imtest.Fault{Code: 10036}) // it cannot be made now
	if a := p.do(w.wants("jane")); a.status != http.StatusBadGateway {
		w.Fatalf("%d %s", a.status, a.text)
	}
	id := w.fake.Tickets()[0].ID
	for _, agent := range []string{"701", "702"} {
		p.Advance(time.Second)
		p.told(w.fake.Assign(id, agent))
	}
	p.work()
	p.hours(1)
	w.whole("jane", "702")
	w.App.FailNext("group_open_http_svc/add_group_member", imtest.Fault{Code: 10014}) // full
	p.Advance(time.Second)
	p.told(w.fake.Assign(id, "703"))
	p.work()
	p.quiet()
}

func testToldTwiceAndOutOfOrder(w *world) {
	p := w.process(w.store)
	id, _ := p.opens("jane")
	p.work()
	var told []desktest.Delivery
	for _, agent := range []string{"701", "702", "", "703", "704"} {
		p.Advance(time.Second)
		told = append(told, w.fake.Assign(id, agent))
	}
	for _, i := range []int{3, 0, 4, 4, 1, 2, 0, 3, 4, 2} {
		p.told(told[i])
		p.work()
	}
	w.whole("jane", "704")
	p.quiet()
}

func testClosedAndReopened(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	then := func(d desktest.Delivery, want string) {
		w.Helper()
		p.told(d)
		p.work()
		if got := w.members(group); got != want {
			w.Errorf("%s: %s, want %s", d.Body, got, want)
		}
		p.Advance(time.Minute)
	}
	then(w.fake.SetClosed(id, true), "none")
	then(w.fake.Assign(id, "702"), "none")
	then(w.fake.SetClosed(id, false), "702 jane")
	then(w.fake.SetDeleted(id, true), "none")
	then(w.fake.SetDeleted(id, false), "702 jane")
	then(w.fake.SetDeleted(id, true), "none")
	then(w.fake.SetClosed(id, true), "none")
	then(w.fake.SetDeleted(id, false), "none")
	if g := w.App.State().Group(group); g.GroupID != "" {
		w.Errorf("left over: %+v", g)
	}
	p.quiet()
}

// testClosedAndKept: a group that is kept when its ticket is closed has its
// messages when the ticket is reopened.
func testClosedAndKept(w *world) {
	w.conf.KeepClosed = true
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.Advance(time.Second)
	p.told(w.fake.SetClosed(id, true))
	p.work()
	if got := w.members(group); got != "jane" {
		w.Errorf("closed: %s", got)
	}
	p.Advance(time.Second)
	p.told(w.fake.SetClosed(id, false))
	p.work()
	w.whole("jane", "701") // greeted once, so it is the same group
	p.Advance(time.Second)
	p.told(w.fake.SetDeleted(id, true))
	p.work()
	if got := w.members(group); got != "none" {
		w.Errorf("deleted: %s", got)
	}
}

// testGroupDissolved: the requester owns the group and can dissolve it. The next
// agent is in a new one.
func testGroupDissolved(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.work()
	w.Must(w.chat.DestroyGroup(w.Context(), group))
	p.told(w.fake.Assign(id, "701"))
	p.work()
	if got := w.members(group); got != "701 jane" {
		w.Errorf("%s", got)
	}
}

// testAgentRefused: an agent whom IM does not take holds up nobody else.
func testAgentRefused(w *world) {
	p := w.process(w.store)
	id, _ := p.opens("jane")
	p.work()
	w.Must(w.chat.ImportAccount(w.Context(), im.Account{UserID: "701"}))
	_, err := w.chat.DeleteAccounts(w.Context(), []string{"701"}) // for three months
	w.Must(err)
	p.told(w.fake.Assign(id, "701"))
	p.work()
	w.whole("jane", "")
	w.Must(w.chat.ImportAccount(w.Context(), im.Account{UserID: "702"}))
	_, err = w.chat.BanGroupMembers(w.Context(), w.fake.Tickets()[0].Group, []string{"702"}, time.Hour, "")
	w.Must(err)
	for _, agent := range []string{"703", "702"} {
		p.Advance(time.Second)
		p.told(w.fake.Assign(id, agent))
		p.work()
	}
	w.whole("jane", "")
	// Whatever the desk tells next, he is let in then.
	p.Advance(2 * time.Hour)
	p.told(w.fake.SetClosed(id, false))
	p.work()
	w.whole("jane", "702")
	p.quiet()
}

// testSomebodyElsesTicket: a desk tells of tickets that have nothing to do with
// us. Nothing comes of it, and in a day nothing is left.
func testSomebodyElsesTicket(w *world) {
	p := w.process(w.store)
	id, err := w.desk.Create(w.Context(), desk.Ticket{Key: "crm-1", Subject: "printer offline", Text: "hello"})
	w.Must(err)
	calls := len(w.App.Calls())
	p.told(w.fake.Assign(id, "701"))
	p.told(w.fake.SetClosed(id, true))
	p.work()
	if n := len(w.App.Calls()); n != calls {
		w.Errorf("%d calls to IM", n-calls)
	}
	p.quiet()
	p.Advance(4 * 24 * time.Hour)
	page, err := w.store.List(w.Context(), "desk/ticket/"+id, kv.Range{})
	w.Must(err)
	if len(page.Items) != 0 {
		w.Errorf("left over: %+v", page.Items)
	}
}

// testGuideRoutes: the requests of the guide's own Apex, answered as its server
// answers.
func testGuideRoutes(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.work()
	for _, step := range []struct{ path, agent, want string }{
		{"/joingroup", "005a", "005a jane"},
		{"/joingroup", "005a", "005a jane"},
		{"/joingroup", "005b", "005a 005b jane"},
		{"/leavegroup", "005a", "005b jane"},
		{"/leavegroup", "005z", "005b jane"},
		{"/joingroup", "jane", "005b jane"},
		{"/leavegroup", "jane", "005b jane"},
		{"/deletegroup", "", "none"},
		{"/joingroup", "005a", "none"},
	} {
		p.Advance(time.Second)
		body := fmt.Sprintf(`{"userId":%q,"groupId":%q}`, step.agent, group)
		a := p.do(w.post(step.path, body))
		if want := `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`; a.status != http.StatusOK || strings.TrimSpace(a.text) != want {
			w.Errorf("%s: %d %s", step.path, a.status, a.text)
		}
		p.work()
		if got := w.members(group); got != step.want {
			w.Errorf("%s %s: %s, want %s", step.path, step.agent, got, step.want)
		}
	}
	if w.doors.Org == nil {
		return
	}
	p.told(w.fake.(*desktest.Salesforce).Sign("/joingroup", fmt.Appendf(nil, `{"userId":"005a","groupId":%q}`, id)))
	p.work()
	p.quiet()
}

// testCaseChanges: many at once, as a trigger has them.
func testCaseChanges(w *world) {
	p := w.process(w.store)
	var ids []string
	var changes []string
	for i := range 20 {
		id, _ := p.opens(fmt.Sprint("user", i))
		ids = append(ids, id)
		for j, agent := range []string{"005a", "005b"} {
			at := w.Clock.Now().Add(time.Duration(j-10) * time.Second).Format(time.RFC3339)
			changes = append(changes, fmt.Sprintf(`{"op":"assigned","caseId":%q,"userId":%q,"at":%q}`, id, agent, at))
		}
	}
	p.work()
	body := `{"changes":[` + strings.Join(changes, ",") + `]}`
	for range 2 {
		if a := p.do(w.post("/casechanges", body)); a.status != http.StatusOK || a.json["accepted"] != 40.0 {
			w.Errorf("%d %s", a.status, a.text)
		}
		p.work()
	}
	for i := range ids {
		w.whole(fmt.Sprint("user", i), "005b")
	}
	// A queue takes cases from their agents, and does not join.
	one := fmt.Sprintf(`{"changes":[{"op":"assigned","caseId":%q,"userId":"00Gxx01"},{"op":"joined","caseId":%q,"userId":"00Gxx01"}]}`, ids[0], ids[0])
	if a := p.do(w.post("/casechanges", one)); a.status != http.StatusOK {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.work()
	w.whole("user0", "")

	// A clock that is years ahead decides nothing for years.
	ahead := fmt.Sprintf(`{"changes":[{"op":"assigned","caseId":%q,"userId":"005a","at":"2999-01-01T00:00:00Z"}]}`, ids[0])
	if a := p.do(w.post("/casechanges", ahead)); a.status != http.StatusOK {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.work()
	w.whole("user0", "005a")
	p.Advance(time.Second)
	p.told(w.fake.Assign(ids[0], ""))
	p.work()
	w.whole("user0", "")
	p.quiet()
}

// testEarlier: an agent reads what was said before he came.
func testEarlier(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.work()
	p.says("jane", group, "it says PC LOAD LETTER")
	for _, agent := range []string{"701", "702"} {
		p.Advance(time.Second)
		p.told(w.fake.Assign(id, agent))
		p.work()
		sig, err := w.Users.Sign(agent, time.Hour)
		w.Must(err)
		c, err := w.App.Login(agent, sig, imtest.Device{Platform: "Web"})
		w.Must(err)
		list, err := c.History(group, "", 0, 20)
		w.Must(err)
		if !slices.ContainsFunc(list, func(m imtest.Message) bool { return strings.Contains(string(m.Body), "PC LOAD LETTER") }) {
			w.Errorf("%s reads %+v", agent, list)
		}
	}
	p.quiet()
}

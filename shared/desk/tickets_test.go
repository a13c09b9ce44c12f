package desk_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
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
		{"SameAtOnce", false, testSameAtOnce},
		{"Refused", true, testRefused},
		{"Forgets", true, testForgets},
		{"GroupIDTaken", true, testGroupIDTaken},
		{"Agents", false, testAgents},
		{"AssignedBeforeTheGroup", true, testAssignedBeforeTheGroup},
		{"ToldTwiceAndOutOfOrder", true, testToldTwiceAndOutOfOrder},
		{"ClosedAndReopened", false, testClosedAndReopened},
		{"ClosedAndKept", true, testClosedAndKept},
		{"GroupDissolved", true, testGroupDissolved},
		{"AgentRefused", true, testAgentRefused},
		{"SomebodyElsesTicket", true, testSomebodyElsesTicket},
		{"GuideRoutes", true, testGuideRoutes},
		{"CaseChanges", true, testCaseChanges},
		{"RequestDies", true, testRequestDies},
		{"AnswersLost", true, testAnswersLost},
		{"DeskAway", true, testDeskAway},
		{"ChangeDies", true, testChangeDies},
		{"ChangeAnswersLost", true, testChangeAnswersLost},
	} {
		for _, k := range []kind{zendeskKind, salesforceKind} {
			tests = append(tests, enginetest.Test{Name: c.name + " " + string(k), Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
				c.test(newWorld(t, store, clock, k))
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

// testSameAtOnce: a request that is sent many times at once is one.
func testSameAtOnce(w *world) {
	p := w.process(w.store)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if a := p.do(w.wants("jane")); a.status != http.StatusOK && a.status != http.StatusConflict {
				w.Errorf("%d %s", a.status, a.text)
			}
		})
	}
	wg.Wait()
	p.work()
	w.whole("jane", "")
	p.quiet()
}

// testRefused: what the desk does not take is refused with its field, now and
// when it is asked again, and not tried by the clock.
func testRefused(w *world) {
	p := w.process(w.store)
	bad := func() *http.Request {
		r := w.wants("jane")
		r.Body = w.post("/", strings.Replace(wish("jane"), "jane@example.com", "jane@nowhere", 1)).Body
		return r
	}
	for range 2 {
		a := p.do(bad())
		if a.status != http.StatusBadRequest || !strings.Contains(strings.ToLower(a.text), "email") && !strings.Contains(a.text, "requester") {
			w.Errorf("%d %s", a.status, a.text)
		}
	}
	calls := w.fake.Calls("create")
	p.hours(2)
	if n := len(w.fake.Tickets()); n != 0 || w.fake.Calls("create") != calls {
		w.Errorf("%d tickets, %d calls after the refusal", n, w.fake.Calls("create")-calls)
	}
	p.quiet()

	// A desk that does not let us in is another matter: that can be put right.
	w.fake.Fail("create", desktest.Fault{Status: 403, Body: "{}"})
	if a := p.do(w.wants("june")); a.status != http.StatusBadGateway {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.hours(1)
	w.whole("june", "")
}

// testForgets: once the desk has a ticket, we do not keep what it says.
func testForgets(w *world) {
	p := w.process(w.store)
	w.fake.Fail("create", desktest.Fault{Status: 500}, desktest.Fault{Status: 500})
	p.do(w.wants("jane"))
	p.hours(1)
	w.whole("jane", "")
	p.do(w.post("/createticket", strings.Replace(wish("jane"), "jane@example.com", "jane@nowhere", 1)))
	for _, partition := range []string{"desk/request/" + w.fake.Tickets()[0].Key} {
		page, err := w.store.List(w.Context(), partition, kv.Range{})
		w.must(err)
		if len(page.Items) == 0 {
			w.Errorf("nothing is kept in %s", partition)
		}
		for _, item := range page.Items {
			if strings.Contains(string(item.Value), words) || strings.Contains(string(item.Value), "jane@") {
				w.Errorf("%s of %s is kept: %s", item.Key, partition, item.Value)
			}
		}
	}
}

// testGroupIDTaken: GroupIDs are easy to guess, and anybody can make a group of
// the next ticket's. Nobody is led into it.
func testGroupIDTaken(w *world) {
	p := w.process(w.store)
	first, _ := p.opens("first")
	next := first[:len(first)-4] + fmt.Sprintf("%04s", "2AAC")
	if w.conf.GroupPrefix != "" {
		next = "35002"
	}
	w.must(w.chat.ImportAccount(w.Context(), im.Account{UserID: "mallory"}))
	_, err := w.chat.CreateGroup(w.Context(), im.NewGroup{Type: im.Public, GroupID: w.conf.GroupPrefix + next, Name: "Support", Owner: "mallory"})
	w.must(err)
	id, group := p.opens("jane")
	if id != next || group == w.conf.GroupPrefix+next {
		w.Fatalf("ticket %s has the group %s", id, group)
	}
	p.work()
	p.told(w.fake.Assign(id, "701"))
	p.work()
	w.whole("jane", "701")
	if got := w.members(w.conf.GroupPrefix + next); got != "mallory" {
		w.Errorf("with the stranger: %s", got)
	}
}

func testAgents(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.work()
	for _, step := range []struct{ agent, want string }{
		{"701", "701 jane"}, {"702", "702 jane"}, {"702", "702 jane"}, {"", "jane"}, {"701", "701 jane"}, {"", "jane"},
	} {
		p.advance(time.Second)
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
			p.advance(time.Second)
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
	w.app.FailNext("group_open_http_svc/create_group", imtest.Fault{Code: 10036}) // it cannot be made now
	if a := p.do(w.wants("jane")); a.status != http.StatusServiceUnavailable {
		w.Fatalf("%d %s", a.status, a.text)
	}
	id := w.fake.Tickets()[0].ID
	for _, agent := range []string{"701", "702"} {
		p.advance(time.Second)
		p.told(w.fake.Assign(id, agent))
	}
	p.work()
	p.hours(1)
	w.whole("jane", "702")
	p.quiet()
}

func testToldTwiceAndOutOfOrder(w *world) {
	p := w.process(w.store)
	id, _ := p.opens("jane")
	p.work()
	var told []desktest.Delivery
	for _, agent := range []string{"701", "702", "", "703", "704"} {
		p.advance(time.Second)
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
		p.advance(time.Minute)
	}
	then(w.fake.SetClosed(id, true), "none")
	then(w.fake.Assign(id, "702"), "none")
	then(w.fake.SetClosed(id, false), "702 jane")
	then(w.fake.SetDeleted(id, true), "none")
	then(w.fake.SetDeleted(id, false), "702 jane")
	then(w.fake.SetDeleted(id, true), "none")
	then(w.fake.SetClosed(id, true), "none")
	then(w.fake.SetDeleted(id, false), "none")
	if g := w.app.State().Group(group); g.GroupID != "" {
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
	p.advance(time.Second)
	p.told(w.fake.SetClosed(id, true))
	p.work()
	if got := w.members(group); got != "jane" {
		w.Errorf("closed: %s", got)
	}
	p.advance(time.Second)
	p.told(w.fake.SetClosed(id, false))
	p.work()
	w.whole("jane", "701") // greeted once, so it is the same group
	p.advance(time.Second)
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
	w.must(w.chat.DestroyGroup(w.Context(), group))
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
	w.app.FailNext("im_open_login_svc/account_import", imtest.Fault{Code: 70399})
	p.told(w.fake.Assign(id, "701"))
	p.work()
	w.whole("jane", "")
	w.must(w.chat.ImportAccount(w.Context(), im.Account{UserID: "702"}))
	_, err := w.chat.BanGroupMembers(w.Context(), w.fake.Tickets()[0].Group, []string{"702"}, time.Hour, "")
	w.must(err)
	for _, agent := range []string{"702", "703"} {
		p.advance(time.Second)
		p.told(w.fake.Assign(id, agent))
		p.work()
	}
	w.whole("jane", "703")
	p.quiet()
}

// testSomebodyElsesTicket: a desk tells of tickets that have nothing to do with
// us. Nothing comes of it, and in a day nothing is left.
func testSomebodyElsesTicket(w *world) {
	p := w.process(w.store)
	id, err := w.desk.Create(w.Context(), desk.Ticket{Key: "crm-1", Subject: "printer offline", Text: "hello"})
	w.must(err)
	calls := len(w.app.Calls())
	p.told(w.fake.Assign(id, "701"))
	p.told(w.fake.SetClosed(id, true))
	p.work()
	if n := len(w.app.Calls()); n != calls {
		w.Errorf("%d calls to IM", n-calls)
	}
	p.quiet()
	p.advance(4 * 24 * time.Hour)
	page, err := w.store.List(w.Context(), "desk/ticket/"+id, kv.Range{})
	w.must(err)
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
		p.advance(time.Second)
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
			at := w.clock.Now().Add(time.Duration(j-10) * time.Second).Format(time.RFC3339)
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
	p.quiet()
}

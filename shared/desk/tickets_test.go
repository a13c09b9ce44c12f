package desk_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im"
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
		{"InHand", false, testInHand},
		{"AskedAgainHelps", false, testAskedAgainHelps},
		{"HandedOver", true, testHandedOver},
		{"Refused", true, testRefused},
		{"RefusedLater", true, testRefusedLater},
		{"Unlinked", true, testUnlinked},
		{"RequesterRefused", true, testRequesterRefused},
		{"DeletedMeanwhile", true, testDeletedMeanwhile},
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
		{"ClosedBeforeItDied", true, testClosedBeforeItDied},
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
	g := w.App.State().Group(ticket.Group)
	if g.Type != "Public" || g.Name != "printer offline" || g.Owner != "jane" {
		w.Errorf("group %s %q of %s", g.Type, g.Name, g.Owner)
	}
	infos, err := w.chat.GroupInfos(w.Context(), []string{ticket.Group})
	w.Must(err)
	if infos[0].ApplyJoin != im.DisableApply {
		w.Errorf("whoever guesses the GroupID may join: %s", infos[0].ApplyJoin)
	}
	p.hours(2)
	for _, j := range w.Queue.All() {
		if j.Kind == "ticket.request" {
			w.Error("the clock has found something left to do")
		}
	}
	p.quiet()
}

func testAskedAgain(w *world) {
	p := w.process(w.store)
	first := p.do(w.wants("jane"))
	for _, later := range []time.Duration{0, time.Minute, 3 * time.Hour, 80 * 24 * time.Hour} {
		w.Advance(later)
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
	w.Advance(59 * time.Minute)
	if again := nameless(); again.status != http.StatusOK || again.text != first.text {
		w.Errorf("the same content: %d %s, want %s", again.status, again.text, first.text)
	}
	p.work()
	w.whole("joan", "")
	w.Advance(2 * time.Minute)
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

// slowDesk does something while a ticket is being made.
type slowDesk struct {
	desk.Desk
	meanwhile func()
}

func (d slowDesk) Create(ctx context.Context, t desk.Ticket) (string, error) {
	d.meanwhile()
	return d.Desk.Create(ctx, t)
}

// testInHand: while one works on a request, nobody else does, neither another
// who asks nor the clock's job; once it has failed, anybody may.
func testInHand(w *world) {
	other := w.process(w.store)
	away := desktest.Fault{Status: 503}
	w.fake.Fail("create", away, away)
	if a := other.do(w.wants("jane")); a.status != http.StatusServiceUnavailable {
		w.Errorf("%d %s", a.status, a.text)
	}
	w.Advance(2 * time.Minute)
	w.Must(desk.Requests.Sweep(w.store, other.ledger, w.Clock.Now)(w.Context())) // there is a job now
	meanwhile := 0
	w.conf.Desk = slowDesk{w.desk, func() {
		meanwhile++
		if a := other.do(w.wants("jane")); a.status != http.StatusConflict {
			w.Errorf("meanwhile: %d %s", a.status, a.text)
		}
		other.work()
	}}
	if a := w.process(w.store).do(w.wants("jane")); a.status != http.StatusServiceUnavailable {
		w.Errorf("%d %s", a.status, a.text)
	}
	if n := w.fake.Calls("create"); n != 2 || meanwhile != 1 {
		w.Errorf("%d calls, want 2", n)
	}
	if a := other.do(w.wants("jane")); a.status != http.StatusOK {
		w.Errorf("at once, after the failure: %d %s", a.status, a.text)
	}
	other.hours(1)
	w.whole("jane", "")
	other.quiet()
}

// testAskedAgainHelps: whoever asks again has the rest done at once.
func testAskedAgainHelps(w *world) {
	p := w.process(w.store)
	away := desktest.Fault{Status: 429, RetryAfter: "60", Body: "too many"}
	w.fake.Fail("link", away)
	first := p.do(w.wants("jane"))
	if first.status != http.StatusOK || w.fake.Tickets()[0].Group != "" {
		w.Fatalf("%d %s; %+v", first.status, first.text, w.fake.Tickets())
	}
	if again := p.do(w.wants("jane")); again.text != first.text {
		w.Errorf("%d %s", again.status, again.text)
	}
	w.whole("jane", "")
	p.work()
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

// testRefusedLater: a desk refuses a request that nobody waits for any more. What
// the user wrote is kept for an operator, and arrives once the desk takes it.
func testRefusedLater(w *world) {
	p := w.process(w.store)
	refused := desktest.Fault{Status: 400, Body: `{"error":"RecordInvalid","details":{"custom_field":[{"error":"BlankValue"}]}}`}
	faults := []desktest.Fault{{Status: 503}}
	for range 40 {
		faults = append(faults, refused)
	}
	w.fake.Fail("create", faults...)
	if a := p.do(w.wants("jane")); a.status != http.StatusServiceUnavailable {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.hours(24)
	dead, err := p.ledger.DeadJobs(w.Context(), 10)
	w.Must(err)
	if len(dead) != 1 || !strings.Contains(dead[0].Error, "refused") && !strings.Contains(dead[0].Error, "does not take") {
		w.Fatalf("dead jobs: %+v, want the one with the refusal", dead)
	}
	w.fake.Recover()
	w.Must(p.ledger.Redrive(w.Context(), dead[0].Job.ID))
	p.work()
	w.whole("jane", "")
	if list := w.fake.Tickets(); len(list) != 1 || list[0].Text == "" {
		w.Errorf("tickets: %+v", list)
	}
}

// testUnlinked: a ticket whose desk does not take the group is open all the same,
// and is told its group once the desk takes it.
func testUnlinked(w *world) {
	p := w.process(w.store)
	faults := make([]desktest.Fault, 5)
	for i := range faults {
		faults[i] = desktest.Fault{Status: 422, Body: `{"error":"RecordInvalid"}`}
	}
	w.fake.Fail("link", faults...)
	if a := p.do(w.wants("jane")); a.status != http.StatusOK {
		w.Fatalf("%d %s", a.status, a.text)
	}
	if list := w.fake.Tickets(); list[0].Group != "" {
		w.Fatalf("linked: %+v", list)
	}
	p.hours(6)
	if list := w.fake.Tickets(); list[0].Group == "" {
		w.Errorf("the ticket does not know its group: %+v", list)
	}
	w.whole("jane", "")
	p.quiet()
}

// testRequesterRefused: nobody gets a ticket who can have no group.
func testRequesterRefused(w *world) {
	p := w.process(w.store)
	w.Must(w.chat.ImportAccount(w.Context(), im.Account{UserID: "jane"}))
	_, err := w.chat.DeleteAccounts(w.Context(), []string{"jane"})
	w.Must(err)
	for range 2 {
		if a := p.do(w.wants("jane")); a.status != http.StatusBadRequest || !strings.Contains(a.text, "userId") {
			w.Errorf("%d %s", a.status, a.text)
		}
	}
	p.hours(3)
	if n := len(w.fake.Tickets()); n != 0 {
		w.Errorf("%d tickets", n)
	}
	p.quiet()
}

// testDeletedMeanwhile: a ticket that is deleted before it is told its group is
// a ticket that was deleted, and nothing is left to try.
func testDeletedMeanwhile(w *world) {
	var gone desktest.Delivery
	w.conf.Desk = quickDesk{w.desk, func(id string) { gone = w.fake.SetDeleted(id, true) }}
	p := w.process(w.store)
	a := p.do(w.wants("jane"))
	if a.status != http.StatusOK {
		w.Fatalf("%d %s", a.status, a.text)
	}
	p.told(gone)
	p.hours(3)
	if got := w.members(a.json["groupId"].(string)); got != "none" {
		w.Errorf("in its group: %s", got)
	}
	p.quiet()
}

// quickDesk does something as soon as a ticket is made.
type quickDesk struct {
	desk.Desk
	then func(id string)
}

func (d quickDesk) Create(ctx context.Context, t desk.Ticket) (string, error) {
	id, err := d.Desk.Create(ctx, t)
	d.then(id)
	return id, err
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
		w.Must(err)
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
	w.Must(w.chat.ImportAccount(w.Context(), im.Account{UserID: "mallory"}))
	_, err := w.chat.CreateGroup(w.Context(), im.NewGroup{Type: im.Public, GroupID: w.conf.GroupPrefix + next, Name: "Support", Owner: "mallory"})
	w.Must(err)
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

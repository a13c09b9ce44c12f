package match_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/queue"
)

func TestTeams(t *testing.T) {
	in := func(f func(*world)) func(*testing.T, kv.Store, *kvtest.Clock) {
		return func(t *testing.T, store kv.Store, clock *kvtest.Clock) { f(newWorld(t, store, clock)) }
	}
	enginetest.Run(t, []enginetest.Test{
		{Name: "Fills", Run: in(testFills)},
		{Name: "Captain", Run: in(testCaptain)},
		{Name: "OlderLook", Run: in(testOlderLook)},
		{Name: "NoCallbacks", Run: in(testNoCallbacks)},
		{Name: "LeavesEarly", Run: in(testLeavesEarly)},
		{Name: "LeavesWhileCalling", Run: in(testLeavesWhileCalling)},
		{Name: "Refused", Run: in(testRefused)},
		{Name: "GivenUp", Long: true, Run: in(testGivenUp)},
		{Name: "NeverTaken", Long: true, Run: in(testNeverTaken)},
		{Name: "ChangesInACall", Run: in(testChangesInACall)},
		{Name: "StaleCall", Run: in(testStaleCall)},
		{Name: "Ends", Long: true, Run: in(testEnds)},
		{Name: "Dissolved", Run: in(testDissolved)},
		{Name: "RefusedByIM", Run: in(testRefusedByIM)},
		{Name: "IMAway", Long: true, Run: in(testIMAway)},
		{Name: "AnyGroup", Run: in(testAnyGroup)},
		{Name: "AnyGroupAnew", Run: in(testAnyGroupAnew)},
		{Name: "May", Run: in(testMay)},
		{Name: "MakingDies", Long: true, Run: in(testMakingDies)},
		{Name: "StartDies", Long: true, Run: in(testStartDies)},
		{Name: "LeaverDies", Long: true, Run: in(testLeaverDies)},
		{Name: "LeavingDies", Long: true, Run: in(testLeavingDies)},
		{Name: "EndingDies", Long: true, Run: in(testEndingDies)},
		{Name: "AnswersLost", Long: true, Run: in(testAnswersLost)},
	})
}

// testFills: a team fills, one by our route, one by IM's own SDK, and starts.
func testFills(w *world) {
	p := w.process(w.store).serves()
	id := p.makes("ann")
	p.whole(id, match.Open, "ann")
	if again := p.makes("ann"); again != id {
		w.Errorf("the same request made another team: %s, %s", id, again)
	}
	if v := p.joins(id, "bob"); v.Status != match.Open || len(v.Members) != 2 || !v.Members[1].JoinedAt.Equal(w.Clock.Now().Truncate(time.Second)) {
		w.Errorf("%+v", v)
	}
	p.whole(id, match.Open, "ann", "bob")
	p.Advance(time.Second)
	w.Must(w.device("cid").Join(id))
	p.work()
	p.whole(id, match.Started, "ann", "bob", "cid")
	if s := w.starts(id)[0]; s.Mode != "ranked" || s.Size != 3 || s.Captain != "ann" || s.Members[0] != "ann" || s.Members[2] != "cid" {
		w.Errorf("%+v", s)
	}
	if a := p.do(p.as("dan", http.MethodPost, "/teams/"+id+"/members", "{}")); a.status != http.StatusConflict {
		w.Errorf("a fourth: %d %s", a.status, a.text)
	}
	p.quiet()
}

// testOlderLook: a look that an earlier release put into the queue, as an order,
// is carried out; one that names no group fails.
func testOlderLook(w *world) {
	p := w.process(w.store)
	id := p.makes("ann")
	w.Must(w.device("bob").Join(id))
	w.Must(w.device("cid").Join(id))
	p.Advance(time.Minute)
	for job, body := range map[string]string{"older": `{"groupId":"` + id + `"}`, "malformed": `{"groupId":""}`} {
		w.Must(p.ledger.Put(w.Context(), queue.Job{ID: job, Kind: "team.due", Lane: queue.Slow, Body: []byte(body)}))
	}
	p.work()
	p.whole(id, match.Started, "ann", "bob", "cid")
	if r, err := p.ledger.Show(w.Context(), "malformed"); err != nil || !strings.Contains(r.Error, "malformed") {
		w.Errorf("%+v, %v", r, err)
	}
}

// fills fills a team of three with two others, and starts it as far as the hook
// lets it.
func (p *process) fills(captain string) (groupID string) {
	p.Helper()
	id := p.makes(captain)
	for _, other := range []string{"2", "3"} {
		p.Advance(time.Second)
		p.joins(id, captain+other)
	}
	p.work()
	return id
}

// testCaptain: the captain passes on, by us or by IM's own SDK, and when he
// leaves.
func testCaptain(w *world) {
	p := w.process(w.store).serves()
	id := p.makes("ann")
	p.joins(id, "bob")
	p.ok(p.as("ann", http.MethodPut, "/teams/"+id+"/captain", `{"userId":"bob"}`))
	p.whole(id, match.Open, "bob", "ann")
	if a := p.do(p.as("ann", http.MethodPut, "/teams/"+id+"/captain", `{"userId":"ann"}`)); a.status != http.StatusForbidden {
		w.Errorf("who is no captain: %d %s", a.status, a.text)
	}
	if a := p.do(p.as("bob", http.MethodPut, "/teams/"+id+"/captain", `{"userId":"cid"}`)); a.status != http.StatusConflict {
		w.Errorf("who is no member: %d %s", a.status, a.text)
	}
	p.leaves(id, "bob")
	p.whole(id, match.Open, "ann")
	p.leaves(id, "bob")
	// An invitation of the captain, and one who is put out.
	w.device("cid")
	p.ok(p.as("ann", http.MethodPost, "/teams/"+id+"/members", `{"userIds":["cid"]}`))
	p.whole(id, match.Open, "ann", "cid")
	p.ok(p.as("ann", http.MethodDelete, "/teams/"+id+"/members/cid", ""))
	p.whole(id, match.Open, "ann")
	// The last to leave ends it.
	p.leaves(id, "ann")
	if v := p.ok(p.as("", http.MethodGet, "/teams/"+id, "")); v.Status != match.Ended || w.members(id) != "none" {
		w.Errorf("%+v with %s", v, w.members(id))
	}
	p.work()
	p.quiet()
}

// testNoCallbacks: IM never calls back, and the members come by its own SDK. The
// clock finds that the team is full.
func testNoCallbacks(w *world) {
	p := w.process(w.store)
	id := p.makes("ann")
	w.Must(w.device("bob").Join(id))
	p.minutes(4)
	p.whole(id, match.Open, "ann", "bob")
	w.Must(w.device("cid").Join(id))
	p.minutes(4)
	p.whole(id, match.Started, "ann", "bob", "cid")
	p.quiet()
}

// testLeavesEarly: a member leaves while the hook cannot be reached. The team is
// open again, and its next start is another one.
func testLeavesEarly(w *world) {
	p := w.process(w.store).serves()
	w.hook.Fail(slices.Repeat([]matchtest.Fault{{Status: http.StatusTooManyRequests}}, 2)...)
	id := p.fills("ann")
	p.whole(id, match.Starting, "ann", "ann2", "ann3")
	first := p.ok(p.as("", http.MethodGet, "/teams/"+id, "")).StartID
	p.leaves(id, "ann2")
	p.whole(id, match.Open, "ann", "ann3")
	w.Must(w.device("dan").Join(id))
	p.minutes(2)
	p.whole(id, match.Started, "ann", "ann3", "dan")
	if s := w.starts(id)[0]; s.ID == first || sorted(s.Members...) != "ann ann3 dan" {
		w.Errorf("%+v after %s", s, first)
	}
	// After the start nobody's leaving opens it.
	p.leaves(id, "dan")
	p.work()
	p.whole(id, match.Started, "ann", "ann3")
	p.minutes(5)
	p.whole(id, match.Started, "ann", "ann3")
	p.quiet()
}

// testLeavesWhileCalling: the match has started, and nobody heard so. Who leaves
// meanwhile does not open the team.
func testLeavesWhileCalling(w *world) {
	p := w.process(w.store).serves()
	w.hook.Fail(matchtest.Fault{Lost: true}, matchtest.Fault{Status: http.StatusTooManyRequests}, matchtest.Fault{Status: http.StatusServiceUnavailable})
	id := p.fills("ann")
	if n := len(w.starts(id)); n != 1 {
		w.Fatalf("%d starts", n)
	}
	p.leaves(id, "ann2")
	w.Must(w.device("dan").Join(id)) // IM lets him in
	p.work()
	v := p.ok(p.as("", http.MethodGet, "/teams/"+id, ""))
	if v.Status != match.Starting {
		w.Errorf("%+v", v)
	}
	p.minutes(3)
	p.whole(id, match.Started, "ann", "ann3", "dan")
	if s := w.starts(id)[0]; sorted(s.Members...) != "ann ann2 ann3" {
		w.Errorf("%+v", s)
	}
	p.quiet()
}

// testRefused: the hook does not start this team. With another member it does.
func testRefused(w *world) {
	p := w.process(w.store).serves()
	w.hook.Fail(matchtest.Fault{Status: http.StatusUnprocessableEntity})
	id := p.fills("ann")
	p.whole(id, match.Failed, "ann", "ann2", "ann3")
	p.minutes(10)
	p.whole(id, match.Failed, "ann", "ann2", "ann3")
	p.leaves(id, "ann3")
	p.whole(id, match.Open, "ann", "ann2")
	p.joins(id, "dan")
	p.work()
	p.whole(id, match.Started, "ann", "ann2", "dan")
	p.quiet()
}

// testGivenUp: the hook never says what it did. The team is told so, and is not
// opened again.
func testGivenUp(w *world) {
	p := w.process(w.store).serves()
	w.hook.Fail(slices.Repeat([]matchtest.Fault{{Status: http.StatusBadGateway}}, 100)...)
	id := p.fills("ann")
	p.minutes(9)
	p.whole(id, match.Starting, "ann", "ann2", "ann3")
	if n := w.hook.Calls(); n < 5 || n > 40 {
		w.Errorf("%d calls in nine minutes", n)
	}
	p.minutes(4)
	p.whole(id, match.GivenUp, "ann", "ann2", "ann3")
	p.leaves(id, "ann3")
	p.whole(id, match.GivenUp, "ann", "ann2")
	calls := w.hook.Calls()
	p.minutes(60)
	p.whole(id, match.GivenUp, "ann", "ann2")
	if w.hook.Calls() != calls {
		w.Error("the hook is called again")
	}
	p.quiet()
}

// testNeverTaken: nobody is there to start the match. The team is free to try
// again with another member, and ends when its time is over.
func testNeverTaken(w *world) {
	w.conf.Hook.URL = "http://127.0.0.1:1"
	p := w.process(w.store).serves()
	id := p.fills("ann")
	p.minutes(5)
	p.whole(id, match.Starting, "ann", "ann2", "ann3")
	p.minutes(8)
	p.whole(id, match.Failed, "ann", "ann2", "ann3")
	p.leaves(id, "ann2")
	p.whole(id, match.Open, "ann", "ann3")
	p.minutes(35)
	if w.members(id) != "none" {
		w.Errorf("%s are still in it", w.members(id))
	}
	p.quiet()
}

// testChangesInACall: while the hook says "not now", a member leaves and another
// comes. They are the ones who start.
func testChangesInACall(w *world) {
	real, calls := w.hook, 0
	var meanwhile func()
	w.conf.Hook.URL = w.HTTP(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) {
		if calls++; calls > 1 {
			real.ServeHTTP(res, r)
			return
		}
		meanwhile()
		res.WriteHeader(http.StatusTooManyRequests)
	}))
	p := w.process(w.store)
	id := p.makes("ann")
	meanwhile = func() {
		p.leaves(id, "ann2")
		w.Must(w.device("dan").Join(id))
	}
	p.joins(id, "ann2")
	p.joins(id, "ann3")
	p.work()
	p.minutes(1)
	p.whole(id, match.Started, "ann", "ann3", "dan")
	if s := w.starts(id)[0]; sorted(s.Members...) != "ann ann3 dan" || s.ID != id+"/2" {
		w.Errorf("%+v", s)
	}
	p.quiet()
}

// testStaleCall: a process that stood still in the middle of a call hears "not
// now" when another has called since, to which nobody knows the answer. The team
// is not opened.
func testStaleCall(w *world) {
	var calls atomic.Int32
	var meanwhile func()
	w.conf.Hook.URL = w.HTTP(http.HandlerFunc(func(res http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) > 1 {
			res.WriteHeader(http.StatusBadGateway)
			return
		}
		meanwhile()
		res.WriteHeader(http.StatusTooManyRequests)
	}))
	slow, other := w.process(w.store), w.process(w.store)
	meanwhile = func() { other.minutes(3) }
	id := slow.fills("ann")
	if calls.Load() < 2 {
		w.Fatal("the other process did not call")
	}
	slow.leaves(id, "ann3")
	if v := slow.ok(slow.as("", http.MethodGet, "/teams/"+id, "")); v.Status != match.Starting {
		w.Errorf("%+v", v)
	}
}

// testEnds: teams end when a server says so, and when their time is over.
func testEnds(w *world) {
	p := w.process(w.store).serves()
	ended := func(id string) {
		w.Helper()
		v := p.ok(p.as("", http.MethodGet, "/teams/"+id, ""))
		if v.Status != match.Ended || w.members(id) != "none" {
			w.Errorf("%+v with %s", v, w.members(id))
		}
	}
	lonely, playing, over := p.makes("ann"), p.fills("bob"), p.fills("cid")
	for range 2 {
		p.ok(p.as("", http.MethodDelete, "/teams/"+over, ""))
		ended(over)
	}
	p.minutes(28)
	p.whole(lonely, match.Open, "ann")
	p.minutes(4)
	ended(lonely)
	p.whole(playing, match.Started, "bob", "bob2", "bob3")
	p.Advance(6 * time.Hour)
	p.minutes(2)
	ended(playing)
	p.Advance(8 * 24 * time.Hour)
	if a := p.do(p.as("", http.MethodGet, "/teams/"+over, "")); a.status != http.StatusNotFound {
		w.Errorf("eight days later: %d %s", a.status, a.text)
	}
	p.quiet()
}

// testDissolved: a group is dissolved behind our back.
func testDissolved(w *world) {
	p := w.process(w.store).serves()
	id := p.makes("ann")
	p.joins(id, "bob")
	w.Must(w.Client().DestroyGroup(w.Context(), id))
	p.work()
	if v := p.ok(p.as("", http.MethodGet, "/teams/"+id, "")); v.Status != match.Ended {
		w.Errorf("%+v", v)
	}
	p.minutes(5)
	p.quiet()
}

// testRefusedByIM: there is no such captain for IM, and no team.
func testRefusedByIM(w *world) {
	p := w.process(w.store).serves()
	w.App.FailNext("group_open_http_svc/create_group", imtest.Fault{Code: int(im.CodeNotAllowed)})
	for range 2 {
		if a := p.do(p.wants("ann")); a.status != http.StatusBadRequest || !strings.Contains(a.text, "size") {
			w.Errorf("%d %s", a.status, a.text)
		}
	}
	r := p.as("ann", http.MethodPost, "/teams", `{"size":4}`)
	r.Header.Set("Idempotency-Key", "team-of-ann")
	if a := p.do(r); a.status != http.StatusUnprocessableEntity {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.minutes(3)
	if n := len(w.App.State().Groups); n != 0 {
		w.Errorf("%d groups", n)
	}
	p.quiet()
}

// testIMAway: IM is away for hours. No job becomes a dead letter for that, and the team
// starts when IM is back.
func testIMAway(w *world) {
	w.conf.Wait = 12 * time.Hour
	p := w.process(w.store)
	id := p.makes("ann")
	for _, user := range []string{"bob", "cid"} {
		w.Must(w.device(user).Join(id))
	}
	w.App.Misbehave(imtest.Chaos{Refuse: 1})
	p.minutes(180)
	w.App.Misbehave(imtest.Chaos{})
	p.minutes(5)
	p.whole(id, match.Started, "ann", "bob", "cid")
	p.quiet()
}

// testAnyGroup: a group that is not ours is started where a setting says so, and
// not dissolved.
func testAnyGroup(w *world) {
	ann := w.device("ann")
	for _, id := range []string{"theirs", "large", "ours-not"} {
		size := map[string]int{"theirs": 2, "large": 500, "ours-not": 2}[id]
		_, err := w.Client().CreateGroup(w.Context(), im.NewGroup{
			Type: im.Public, GroupID: id, Name: id, Owner: "ann", MaxMemberCount: size, ApplyJoin: im.FreeAccess,
		})
		w.Must(err)
	}
	strict := w.process(w.store).serves()
	w.Must(w.device("bob").Join("ours-not"))
	strict.work()
	w.conf.AnyGroup = true
	p := w.process(w.store).serves()
	w.Must(w.device("bob").Join("large"))
	w.Must(w.device("bob").Join("theirs"))
	for range 3 {
		if w.device("cid").Join("theirs") == nil {
			w.Error("a third joined")
		}
	}
	p.work()
	p.whole("theirs", match.Started, "ann", "bob")
	if s := w.hook.Starts(); len(s) != 1 {
		w.Errorf("%+v", s)
	}
	p.Advance(48 * time.Hour)
	p.minutes(3)
	w.Must(w.device("bob").Quit("theirs"))
	w.Must(w.device("dan").Join("theirs"))
	p.work()
	p.whole("theirs", match.Started, "ann", "dan")
	p.ok(p.as("", http.MethodDelete, "/teams/theirs", ""))
	if w.members("theirs") != "ann dan" {
		w.Error("dissolved")
	}
	if n := len(ann.Received()); n == 0 {
		w.Error("the members were told nothing")
	}
	p.quiet()
}

// testAnyGroupAnew: a group that was dissolved after its start, and made again
// under its id, starts again when it is full.
func testAnyGroupAnew(w *world) {
	w.device("ann")
	w.conf.AnyGroup = true
	p := w.process(w.store).serves()
	ids := map[string]bool{}
	for life := range 3 {
		_, err := w.Client().CreateGroup(w.Context(), im.NewGroup{
			Type: im.Public, GroupID: "arena", Name: "arena", Owner: "ann", MaxMemberCount: 2, ApplyJoin: im.FreeAccess,
		})
		w.Must(err)
		p.work()
		w.Must(w.device("bob").Join("arena"))
		p.work()
		starts := w.hook.Starts()
		if len(starts) != life+1 {
			w.Fatalf("%d starts in life %d: %+v", len(starts), life+1, starts)
		}
		for _, s := range starts {
			ids[s.ID] = true
		}
		w.Must(w.Client().DestroyGroup(w.Context(), "arena"))
		p.work()
		p.Advance(time.Minute)
	}
	if len(ids) != 3 {
		w.Errorf("starts %v, want one of its own for each group", ids)
	}
}

// testMay: who may do what, and see what.
func testMay(w *world) {
	p := w.process(w.store).serves()
	waiting, playing := p.makes("ann"), p.fills("bob")
	for _, c := range []struct {
		user, method, path, body string
		status                   int
	}{
		{"cid", "GET", "/teams/" + waiting, "", 200},
		{"cid", "GET", "/teams/" + playing, "", 404},
		{"bob2", "GET", "/teams/" + playing, "", 200},
		{"", "GET", "/teams/" + playing, "", 200},
		{"", "GET", "/teams/team-x", "", 404},
		{"cid", "POST", "/teams", `{"size":2,"captain":"ann"}`, 403},
		{"", "POST", "/teams", `{"size":2,"captain":"dan"}`, 201},
		{"cid", "POST", "/teams/" + waiting + "/members", `{"userIds":["dan"]}`, 403},
		{"cid", "POST", "/teams/" + waiting + "/members", `{"userIds":["cid","dan"]}`, 403},
		{"ann", "POST", "/teams/" + waiting + "/members", `{"userIds":["nobody-there"]}`, 409},
		{"cid", "DELETE", "/teams/" + waiting + "/members/ann", "", 403},
		{"cid", "PUT", "/teams/" + waiting + "/captain", `{"userId":"cid"}`, 403},
		{"cid", "DELETE", "/teams/" + waiting, "", 403},
		{"", "POST", "/teams/" + waiting + "/members", `{"userIds":["cid"]}`, 200},
		{"cid", "POST", "/teams/" + waiting + "/members", `{}`, 200},
		{"cid", "DELETE", "/teams/" + waiting, "", 403},
		{"", "DELETE", "/teams/" + waiting + "/members/cid", "", 200},
		{"bob", "DELETE", "/teams/" + playing, "", 403},
		{"bob", "DELETE", "/teams/" + playing + "/members/bob2", "", 403},
		{"", "POST", "/teams/" + playing + "/members", `{"userIds":["cid"]}`, 409},
		{"bob3", "POST", "/teams/" + playing + "/members", `{}`, 200},
		{"ann", "DELETE", "/teams/" + waiting, "", 200},
		{"ann", "DELETE", "/teams/" + waiting, "", 200},
		{"ann", "POST", "/teams/" + waiting + "/members", `{"userIds":["cid"]}`, 403},
		{"cid", "POST", "/teams/" + waiting + "/members", `{}`, 409},
	} {
		if a := p.do(p.as(c.user, c.method, c.path, c.body)); a.status != c.status {
			w.Errorf("%q %s %s %s: %d %s, want %d", c.user, c.method, c.path, c.body, a.status, a.text, c.status)
		}
	}
	p.whole(playing, match.Started, "bob", "bob2", "bob3")
}

package match_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// lobby is a world in a file with a process that serves.
func lobby(t *testing.T) (*world, *process) {
	w := onBolt(t)
	return w, w.process(w.store).serves()
}

// create makes a team from a body.
func (p *process) create(captain, body string) match.View {
	p.Helper()
	return p.ok(p.as(captain, http.MethodPost, "/teams", body))
}

// raw asks for something that is no team.
func (p *process) raw(user, method, path, body string, into any) int {
	p.Helper()
	w := p.do(p.as(user, method, path, body))
	if into != nil && w.status < 300 {
		p.Must(json.Unmarshal([]byte(w.text), into))
	}
	return w.status
}

// refusedWith fails unless a request is refused with a status.
func (p *process) refusedWith(status int, user, method, path, body string) {
	p.Helper()
	if a := p.do(p.as(user, method, path, body)); a.status != status {
		p.Errorf("%s %s %s: %d %s, want %d", user, method, path, a.status, a.text, status)
	}
}

// TestReadyCheck: a team with a ready check starts when it is full and all are ready,
// once; who leaves takes the consent along.
func TestReadyCheck(t *testing.T) {
	_, p := lobby(t)
	id := p.create("ann", `{"size":2,"readyCheck":true}`).GroupID
	p.joins(id, "bob")
	p.work()
	if v := p.ok(p.as("ann", "GET", "/teams/"+id, "")); v.Status != match.Open || !v.ReadyCheck {
		t.Errorf("%+v", v)
	}
	p.ok(p.as("ann", "POST", "/teams/"+id+"/ready", "{}"))
	p.refusedWith(404, "cat", "POST", "/teams/"+id+"/ready", "")
	p.refusedWith(403, "cat", "POST", "/teams/"+id+"/ready", `{"userId":"bob"}`)
	p.refusedWith(400, "bob", "POST", "/teams/"+id+"/ready", `{"reddy":true}`)
	if v := p.ok(p.as("bob", "POST", "/teams/"+id+"/ready", "")); v.Status != match.Starting {
		t.Errorf("%+v", v)
	}
	p.work()
	if v := p.ok(p.as("ann", "GET", "/teams/"+id, "")); v.Status != match.Started || len(v.Ready) != 2 || len(p.starts(id)) != 1 {
		t.Errorf("%+v, %d starts", v, len(p.starts(id)))
	}
	p.ok(p.as("bob", "POST", "/teams/"+id+"/ready", "")) // after the start: a no-op
	p.refusedWith(409, "bob", "POST", "/teams/"+id+"/ready", `{"ready":false}`)

	other := p.create("cat", `{"size":2,"readyCheck":true}`).GroupID
	p.joins(other, "dan")
	p.ok(p.as("dan", "POST", "/teams/"+other+"/ready", ""))
	if v := p.ok(p.as("dan", "POST", "/teams/"+other+"/ready", `{"ready":false}`)); len(v.Ready) != 0 {
		t.Errorf("%+v", v)
	}
	p.ok(p.as("dan", "POST", "/teams/"+other+"/ready", ""))
	p.Must(p.device("dan").Quit(other))
	p.work()
	p.joins(other, "eve")
	p.ok(p.as("cat", "POST", "/teams/"+other+"/ready", ""))
	p.work()
	if v := p.ok(p.as("cat", "GET", "/teams/"+other, "")); v.Status != match.Open || len(v.Ready) != 1 {
		t.Errorf("%+v", v)
	}
	p.quiet()
}

// TestInvitations: a private team is seen and joined by whoever was invited, until the
// invitation expires; the invitee over size gets 409.
func TestInvitations(t *testing.T) {
	w, p := lobby(t)
	for _, user := range []string{"bob", "cat", "dan"} {
		w.device(user)
	}
	id := p.create("ann", `{"size":2,"private":true}`).GroupID
	path := "/teams/" + id
	p.refusedWith(404, "bob", "GET", path, "")
	p.refusedWith(404, "bob", "POST", path+"/members", "{}")
	p.refusedWith(404, "bob", "POST", path+"/invitations", `{"userId":"bob"}`)
	p.refusedWith(400, "ann", "POST", path+"/invitations", `{"userId":"nobody at all"}`)
	p.refusedWith(400, "ann", "POST", path+"/invitations", `{"userId":"stranger"}`)
	p.refusedWith(409, "ann", "POST", path+"/invitations", `{"userId":"ann"}`)
	var in match.Invitation
	if status := p.raw("ann", "POST", path+"/invitations", `{"userId":"bob"}`, &in); status != 201 || in.UserID != "bob" || in.By != "ann" {
		t.Fatalf("%d %+v", status, in)
	}
	p.raw("ann", "POST", path+"/invitations", `{"userId":"cat"}`, nil)
	p.raw("ann", "POST", path+"/invitations", `{"userId":"dan"}`, nil)
	p.ok(p.as("bob", "GET", path, ""))
	told := 0
	for _, c := range w.App.State().Conversations {
		for _, m := range c.Messages {
			if m.To == "bob" && strings.Contains(string(m.Body), "team_invitation") {
				told++
			}
		}
	}
	if told != 1 {
		t.Errorf("bob was told %d times", told)
	}
	// Under a key it is one invitation, whatever the time.
	keyed := func(user string) (a match.Invitation, status int) {
		r := p.as("ann", "POST", path+"/invitations", `{"userId":"`+user+`"}`)
		r.Header.Set("Idempotency-Key", "k")
		answer := p.do(r)
		if answer.status == 201 {
			p.Must(json.Unmarshal([]byte(answer.text), &a))
		}
		return a, answer.status
	}
	first, _ := keyed("cat")
	w.Advance(time.Second)
	if again, status := keyed("cat"); again != first || status != 201 {
		t.Errorf("%d %+v, want the first answer %+v", status, again, first)
	}
	if _, status := keyed("dan"); status != 422 {
		t.Errorf("another invitation under the key: %d", status)
	}
	w.Advance(6 * time.Minute)
	p.refusedWith(404, "cat", "POST", path+"/members", "{}")
	p.raw("ann", "POST", path+"/invitations", `{"userId":"cat"}`, nil)
	p.raw("ann", "POST", path+"/invitations", `{"userId":"dan"}`, nil)
	p.raw("", "DELETE", path+"/invitations/nobody", "", nil)
	p.ok(p.as("cat", "POST", path+"/members", "")) // what there is to say is in the path
	p.refusedWith(409, "dan", "POST", path+"/members", "{}")
	p.refusedWith(409, "ann", "POST", path+"/invitations", `{"userId":"bob"}`)
	p.work()
	p.quiet()
}

// TestOpenTeams: the list has the open public teams of a mode, in pages, and a user's
// own.
func TestOpenTeams(t *testing.T) {
	w, p := lobby(t)
	var ids []string
	for _, who := range []string{"a1", "a2", "a3"} {
		ids = append(ids, p.create(who, `{"size":2,"mode":"ranked 2v2"}`).GroupID)
	}
	p.create("b1", `{"size":2,"mode":"casual"}`)
	hidden := p.create("c1", `{"size":2,"mode":"casual","private":true}`).GroupID
	p.joins(ids[0], "x")
	p.work()
	list := func(user, query string) (got []string) {
		for after := ""; ; {
			var page struct {
				Teams []match.View
				Next  string
			}
			if status := p.raw(user, "GET", "/teams?limit=1&after="+after+query, "", &page); status != 200 {
				t.Fatal(status)
			}
			for _, v := range page.Teams {
				got = append(got, v.GroupID)
			}
			if after = page.Next; after == "" {
				return got
			}
		}
	}
	if got := list("eve", "&mode=ranked%202v2&open=1"); len(got) != 2 || sorted(got...) != sorted(ids[1:]...) {
		t.Errorf("%v, want %v", got, ids[1:])
	}
	if got := list("eve", "&open=1"); len(got) != 3 {
		t.Errorf("%v", got)
	}
	if got := list("c1", "&mode=casual"); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := list("", ""); len(got) != 5 {
		t.Errorf("a server sees %v", got)
	}
	if got := list("eve", "&mode=casual"); len(got) != 1 || got[0] == hidden {
		t.Errorf("%v", got)
	}
	p.refusedWith(400, "eve", "GET", "/teams?limit=0", "")
	p.refusedWith(400, "eve", "GET", "/teams?open=yes", "")
	_ = w
	p.quiet()
}

// TestGrace: who loses the connection is taken out after the grace time and told so;
// who is back by then stays, and so does who plays.
func TestGrace(t *testing.T) {
	w, p := lobby(t)
	id := p.create("ann", `{"size":3}`).GroupID
	devices := map[string]*imtest.Client{"ann": w.device("ann"), "bob": w.device("bob"), "cat": w.device("cat")}
	p.joins(id, "bob")
	p.work()
	lose := func(user string) {
		t.Helper()
		devices[user].Disconnect()
		p.work()
	}
	in := func(id string) string {
		t.Helper()
		var ids []string
		for _, m := range p.ok(p.as("", "GET", "/teams/"+id, "")).Members {
			ids = append(ids, m.UserID)
		}
		return sorted(ids...)
	}
	lose("bob")
	w.Advance(30 * time.Second)
	devices["bob"] = w.device("bob") // back in time
	w.Advance(time.Minute)
	p.work()
	if got := in(id); got != sorted("ann", "bob") {
		t.Errorf("%s", got)
	}
	lose("ann") // the captain
	w.Advance(61 * time.Second)
	p.work()
	if v := p.ok(p.as("", "GET", "/teams/"+id, "")); v.Captain != "bob" || len(v.Members) != 1 {
		t.Errorf("%+v", v)
	}
	told := 0
	for _, c := range w.App.State().Conversations {
		for _, m := range c.Messages {
			if m.To == "ann" && strings.Contains(string(m.Body), "connection_lost") {
				told++
			}
		}
	}
	if told != 1 {
		t.Errorf("ann was told %d times", told)
	}
	// A match that has started goes on.
	other := p.create("cat", `{"size":2}`).GroupID
	p.joins(other, "bob")
	p.work()
	lose("cat")
	w.Advance(2 * time.Minute)
	p.work()
	if got := in(other); got != sorted("bob", "cat") {
		t.Errorf("%s", got)
	}
	p.quiet()
}

// TestClosedToNewcomers: IM lets nobody into the group of a team that plays.
func TestClosedToNewcomers(t *testing.T) {
	w, p := lobby(t)
	id := p.create("ann", `{"size":2}`).GroupID
	p.joins(id, "bob")
	p.work()
	p.Must(w.device("bob").Quit(id))
	p.work()
	if err := w.device("eve").Join(id); !isClosed(err) {
		t.Errorf("eve joins: %v", err)
	}
	p.quiet()
}

// TestRetryAfter: the hook is asked again when it says, not earlier.
func TestRetryAfter(t *testing.T) {
	w, p := lobby(t)
	id := p.create("ann", `{"size":2}`).GroupID
	w.hook.Fail(matchtest.Fault{Status: 503, RetryAfter: "90"})
	p.joins(id, "bob")
	p.work()
	for range 8 {
		w.Advance(10 * time.Second)
		p.work()
	}
	if n := w.hook.Calls(); n != 1 {
		t.Errorf("%d calls within 80 s", n)
	}
	p.minutes(2)
	if len(w.starts(id)) != 1 {
		t.Error("not started")
	}
	p.quiet()
}

// TestRelease: a start that the hook may have taken is taken back when its team is gone
// before the answer.
func TestRelease(t *testing.T) {
	w, p := lobby(t)
	id := p.create("ann", `{"size":2}`).GroupID
	w.hook.Fail(matchtest.Fault{Lost: true}, matchtest.Fault{Status: 503})
	p.joins(id, "bob")
	p.work()
	if len(w.starts(id)) != 1 {
		t.Fatal("the start did not arrive")
	}
	p.ok(p.as("", "DELETE", "/teams/"+id, ""))
	p.minutes(5)
	if len(w.starts(id)) != 0 || !w.hook.Released(id+"/1") {
		t.Error("the server is still allocated")
	}
	p.quiet()
}

// TestTeamMedia: members get keys for the team's voice, others do not.
func TestTeamMedia(t *testing.T) {
	w, _ := lobby(t)
	w.conf.Signer = w.Users
	p := w.process(w.store).serves()
	id := p.create("ann", `{"size":2}`).GroupID
	var m match.Media
	if status := p.raw("ann", "POST", "/teams/"+id+"/media", "", &m); status != 200 || m.PrivateMapKey == "" || !m.ExpiresAt.After(w.Clock.Now()) {
		t.Errorf("%d %+v", status, m)
	}
	p.refusedWith(404, "eve", "POST", "/teams/"+id+"/media", "")
	p.refusedWith(403, "", "POST", "/teams/"+id+"/media", "")
}

// TestChannels: each kind makes a group of its type, once.
func TestChannels(t *testing.T) {
	w, p := lobby(t)
	post := func(user, key, body string) (reply, struct{ GroupID, Type string }) {
		r := p.as(user, "POST", "/channels", body)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		a := p.do(r)
		var made struct{ GroupID, Type string }
		_ = json.Unmarshal([]byte(a.text), &made)
		return a, made
	}
	for kind, want := range map[string]struct{ id, kind string }{
		"world": {"@TGS#_w1", "Community"}, "guild": {"w1", "Public"}, "room": {"w1room", "AVChatRoom"},
	} {
		id := strings.TrimPrefix(want.id, "@TGS#_")
		body := `{"kind":"` + kind + `","id":"` + id + `","name":"The ` + kind + `","owner":"ann"}`
		for range 2 {
			if a, made := post("", kind, body); a.status != 201 || made.GroupID != want.id || made.Type != want.kind {
				t.Errorf("%s: %d %s", kind, a.status, a.text)
			}
		}
		if g := w.App.State().Group(want.id); g.Type != want.kind || g.Owner != "ann" {
			t.Errorf("%s: %+v", kind, g)
		}
		if a, _ := post("", kind, strings.Replace(body, "The", "A", 1)); a.status != 422 {
			t.Errorf("%d %s", a.status, a.text)
		}
	}
	for status, bad := range map[int]string{400: `{"kind":"tavern","id":"x"}`, 409: `{"kind":"guild","id":"w1","owner":"bob"}`} {
		if a, _ := post("", "bad"+bad[9:12], bad); a.status != status {
			t.Errorf("%s: %d %s", bad, a.status, a.text)
		}
	}
	if a, _ := post("", "", `{"kind":"guild","id":"g","owner":"bob"}`); a.status != 400 {
		t.Errorf("without a key: %d %s", a.status, a.text)
	}
	if a, _ := post("ann", "k", `{"kind":"guild","id":"g","owner":"ann"}`); a.status != 403 {
		t.Errorf("by a user: %d %s", a.status, a.text)
	}
}

// onBolt is a world in a file.
func onBolt(t *testing.T) *world {
	t.Helper()
	clock := kvtest.NewClock()
	return newWorld(t, rulestest.Store(t, clock), clock)
}

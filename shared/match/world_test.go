package match_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	appID   = rulestest.AppID
	appKey  = rulestest.Key
	token   = rulestest.Token
	admin   = rulestest.Admin
	apiKey  = rulestest.APIKey
	hookKey = "what starts are signed with"
)

// world is an emulated IM, a hook and a store, in which processes of ours come and go.
type world struct {
	*rulestest.World
	store kv.Store
	gate  *api.Gate
	hook  *matchtest.Hook
	conf  match.Config

	founders *sync.Map // who made a team, by GroupID: he is in it before it is told anything
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{World: rulestest.New(t, clock, rulestest.Options{}), store: store, founders: &sync.Map{}}
	w.gate = w.Gate("game")
	w.hook = matchtest.NewHook(hookKey, clock.Now)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	w.conf = match.Config{
		Hook:     &match.Hook{URL: w.HTTP(w.hook), Key: hookKey, Transport: transport, Now: clock.Now},
		Notifier: admin, Reserved: []string{admin, "agent7"}, Wait: 30 * time.Minute, Life: 6 * time.Hour, GiveUp: 10 * time.Minute, Now: clock.Now,
	}
	t.Cleanup(func() {
		if p := w.hook.Problems(); len(p) > 0 {
			t.Errorf("the hook found: %s", p)
		}
	})
	return w
}

// process is one process of ours.
type process struct {
	*world
	teams  *match.Teams
	ledger *queue.Ledger
	routes http.Handler
	heard  http.Handler // callbacks
}

// process starts a process over a store, which may be mortal.
func (w *world) process(store kv.Store) *process {
	w.Helper()
	conf, chat := w.conf, w.Client()
	conf.Store, conf.IM, conf.Sends = store, chat, once.New(store, chat, w.Clock.Now)
	conf.Jobs = queue.NewLedger(store, w.Queue, w.Clock.Now)
	p := &process{world: w, ledger: conf.Jobs, teams: match.New(conf)}
	rules := callback.NewMux()
	p.teams.Register(rules)
	p.heard = w.Endpoint(rules, nil)
	mux := http.NewServeMux()
	p.teams.Routes(mux, w.gate, nil)
	p.routes = api.Routes(mux)
	return p
}

// serves has a process get IM's callbacks from now on.
func (p *process) serves() *process {
	p.Hear(p.heard)
	return p
}

// work carries out the jobs that are due, and those that these bring, when all
// callbacks are there.
func (p *process) work() {
	p.Helper()
	for range 2 {
		p.Must(p.App.Settle(p.Context()))
		p.Must(p.Queue.Work(p.Context(), p.ledger, p.Clock.Now))
	}
}

// minutes lets the clock tick for a while, as it does when nobody does anything.
func (p *process) minutes(n int) {
	p.Helper()
	for i := range n {
		p.Advance(time.Minute)
		p.Must(match.Looks.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		if i%4 == (n-1)%4 { // it reads all jobs of the day, which adds up in the crash tables
			_, err := p.ledger.Sweep(p.Context())
			p.Must(err)
		}
		p.work()
	}
}

// reply is an answer over HTTP.
type reply struct {
	status int
	text   string
	team   match.View
}

func (p *process) do(r *http.Request) reply {
	p.Helper()
	w := httptest.NewRecorder()
	p.routes.ServeHTTP(w, r.WithContext(p.Context()))
	out := reply{status: w.Code, text: w.Body.String()}
	if out.status < 300 {
		if err := json.Unmarshal(w.Body.Bytes(), &out.team); err != nil {
			p.Errorf("%s answered %s", r.URL.Path, out.text)
		}
	}
	return out
}

// as is a request of a user, or of a server if user is "".
func (w *world) as(user, method, path, body string) *http.Request {
	w.Helper()
	return w.Request(user, method, path, body)
}

// wants is a captain's request for a team of three, under a name.
func (w *world) wants(captain string) *http.Request {
	r := w.as(captain, http.MethodPost, "/teams", `{"mode":"ranked","size":3}`)
	r.Header.Set("Idempotency-Key", "team-of-"+captain)
	return r
}

// until repeats a request until it is answered for good.
func (p *process) until(request func() *http.Request) (a reply) {
	p.Helper()
	p.Until(func() bool {
		a = p.do(request())
		return a.status != http.StatusServiceUnavailable && a.status != http.StatusInternalServerError
	})
	return a
}

// makes is a team of three of a captain.
func (p *process) makes(captain string) (groupID string) {
	p.Helper()
	a := p.until(func() *http.Request { return p.wants(captain) })
	if a.status != http.StatusCreated {
		p.Fatalf("%d %s", a.status, a.text)
	}
	p.founders.Store(a.team.GroupID, captain)
	return a.team.GroupID
}

// ok requires that a request is answered well.
func (p *process) ok(r *http.Request) match.View {
	p.Helper()
	a := p.do(r)
	if a.status >= 300 {
		p.Fatalf("%s %s: %d %s", r.Method, r.URL.Path, a.status, a.text)
	}
	return a.team
}

func (p *process) joins(groupID, user string) match.View {
	p.Helper()
	return p.ok(p.as(user, http.MethodPost, "/teams/"+groupID+"/members", "{}"))
}

func (p *process) leaves(groupID, user string) {
	p.Helper()
	p.ok(p.as(user, http.MethodDelete, "/teams/"+groupID+"/members/"+user, ""))
}

// device is a user's device, logged in at IM.
func (w *world) device(user string) *imtest.Client {
	w.Helper()
	sig, err := w.Users.Sign(user, time.Hour)
	w.Must(err)
	c, err := w.App.Login(user, sig, imtest.Device{})
	w.Must(err)
	return c
}

// members are those of a group, by name; "none" if there is no group.
func (w *world) members(groupID string) string { return membersOf(w.App.State().Group(groupID)) }

func membersOf(g imtest.GroupState) string {
	if g.GroupID == "" {
		return "none"
	}
	var ids []string
	for _, m := range g.Members {
		ids = append(ids, m.UserID)
	}
	return sorted(ids...)
}

func sorted(ids ...string) string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// news is what a team was told.
type news struct {
	Type, GroupID, Mode, Captain, StartID string
	Seq, Size                             int
	Status                                match.Status
	Members, Joined, Left                 []string
}

// toldIn returns what a team was told, and requires that it fits together: each
// notice once, and each what the one before it was with those who came and went.
func (w *world) toldIn(g imtest.GroupState) (all []news) {
	w.Helper()
	var in []string
	if founder, is := w.founders.Load(g.GroupID); is {
		in = []string{founder.(string)}
	}
	for _, m := range g.Messages {
		var body []struct {
			MsgType    string
			MsgContent struct{ Data string }
		}
		var n news
		w.Must(json.Unmarshal(m.Body, &body))
		if m.From != admin || len(body) != 1 || body[0].MsgType != "TIMCustomElem" {
			w.Errorf("in %s: %+v", g.GroupID, m)
			continue
		}
		w.Must(json.Unmarshal([]byte(body[0].MsgContent.Data), &n))
		in = slices.DeleteFunc(append(in, n.Joined...), func(id string) bool { return slices.Contains(n.Left, id) })
		if n.Seq != len(all)+1 || n.Type != "team" || n.GroupID != g.GroupID || sorted(in...) != sorted(n.Members...) {
			w.Errorf("notice %d of %s, after which %s are in it: %+v", len(all)+1, g.GroupID, in, n)
		}
		all = append(all, n)
	}
	return all
}

// starts returns the matches that were started of a team.
func (w *world) starts(groupID string) []matchtest.Start {
	return slices.DeleteFunc(w.hook.Starts(), func(s matchtest.Start) bool { return s.GroupID != groupID })
}

// whole requires that IM, our state and what the team was told agree on a team:
// who is in it, and how far it is; and that a started one was started once, with
// these members.
func (p *process) whole(groupID string, status match.Status, captain string, others ...string) {
	p.Helper()
	want := sorted(append(others, captain)...)
	v := p.ok(p.as("", http.MethodGet, "/teams/"+groupID, ""))
	var in []string
	for _, m := range v.Members {
		in = append(in, m.UserID)
	}
	if v.Status != status || v.Captain != captain || sorted(in...) != want {
		p.Errorf("%s is %+v, want %s, %s with captain %s", groupID, v, status, want, captain)
	}
	g := p.App.State().Group(groupID)
	if got := membersOf(g); got != want || g.Owner != captain {
		p.Errorf("in %s: %s, owned by %s, want %s, owned by %s", groupID, got, g.Owner, want, captain)
	}
	all := p.toldIn(g)
	if len(all) == 0 {
		if len(in) != 1 || status != match.Open {
			p.Errorf("%s was told nothing", groupID)
		}
	} else if last := all[len(all)-1]; last.Status != status || last.Captain != captain || sorted(last.Members...) != want || last.StartID != v.StartID {
		p.Errorf("%s was told last %+v, want %s, %s with captain %s", groupID, last, status, want, captain)
	}
	starts := p.starts(groupID)
	switch {
	case status != match.Started:
		if len(starts) != 0 {
			p.Errorf("%s has started: %+v", groupID, starts)
		}
	case len(starts) != 1, starts[0].ID != v.StartID:
		p.Errorf("starts of %s: %+v, want one, %s", groupID, starts, v.StartID)
	}
}

// quiet requires that nothing is left to do.
func (p *process) quiet() {
	p.Helper()
	o, err := p.ledger.Overview(p.Context())
	p.Must(err)
	if o != (queue.Overview{}) {
		dead, _ := p.ledger.DeadJobs(p.Context(), 10)
		p.Errorf("jobs left: %+v, dead %+v", o, dead)
	}
}

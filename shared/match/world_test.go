package match_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

const (
	appID   = 1400000003
	appKey  = "a key for these tests alone"
	token   = "a token for these tests alone"
	admin   = "administrator"
	apiKey  = "an API key for these tests"
	hookKey = "what starts are signed with"
)

// world is an emulated IM, a hook, a store and a queue on one clock that stands.
// What is shared is the wire.
type world struct {
	*testing.T
	clock *kvtest.Clock
	imNow *imtest.Clock
	store kv.Store
	queue *queuetest.Line
	app   *imtest.App
	users *usersig.Signer
	gate  *api.Gate
	hook  *matchtest.Hook
	conf  match.Config
	front *atomic.Pointer[process] // who gets IM's callbacks; nobody: they are lost

	founders *sync.Map // who made a team, by GroupID: he is in it before it is told anything

	chatURL   string
	transport *http.Transport
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{
		T: t, clock: clock, imNow: imtest.NewManualClock(clock.Now()), store: store, queue: &queuetest.Line{},
		front: &atomic.Pointer[process]{}, founders: &sync.Map{},
	}
	emulator := imtest.NewServer(imtest.Options{Clock: w.imNow, Seed: 1})
	w.transport = &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(w.transport.CloseIdleConnections)
	w.chatURL = w.serve(emulator)
	w.app = emulator.AddApp(imtest.AppConfig{
		SDKAppID: appID, Key: appKey, RatePerAPI: -1, CallbackToken: token, CallbackTimeout: time.Minute,
		CallbackURL: w.serve(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) {
			if p := w.front.Load(); p != nil {
				p.routes.ServeHTTP(res, r)
			}
		})) + "/im",
	})
	t.Cleanup(emulator.Close)
	var err error
	w.users, err = usersig.NewSignerAt(appID, appKey, clock.Now)
	w.must(err)
	sum := sha256.Sum256([]byte(apiKey))
	keys, err := api.ParseKeys([]string{"game:" + hex.EncodeToString(sum[:])})
	w.must(err)
	w.gate = &api.Gate{Keys: keys, Users: w.users}
	w.hook = matchtest.NewHook(hookKey, clock.Now)
	w.conf = match.Config{
		Hook:   &match.Hook{URL: w.serve(w.hook), Key: hookKey, Transport: w.transport, Now: clock.Now},
		Teller: admin, Reserved: []string{admin, "agent7"}, Wait: 30 * time.Minute, Life: 6 * time.Hour, GiveUp: 10 * time.Minute, Now: clock.Now,
	}
	t.Cleanup(func() {
		if p := w.hook.Problems(); len(p) > 0 {
			t.Errorf("the hook found: %s", p)
		}
	})
	return w
}

func (w *world) serve(h http.Handler) string {
	server := httptest.NewServer(h)
	w.Cleanup(server.Close)
	return server.URL
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) advance(d time.Duration) {
	w.clock.Advance(d)
	w.imNow.Advance(d)
}

// process is one process of ours.
type process struct {
	*world
	teams  *match.Teams
	ledger *queue.Ledger
	routes http.Handler
}

// chat is another client of IM, as each process of ours has one.
func (w *world) chat() *im.Client {
	w.Helper()
	c, err := im.NewClient(im.Config{
		Domain: w.chatURL, SDKAppID: appID, Key: appKey, Admin: admin, Now: w.clock.Now, Transport: w.transport,
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.advance(d)
			return ctx.Err()
		},
	})
	w.must(err)
	return c
}

// process starts a process over a store, which may be mortal.
func (w *world) process(store kv.Store) *process {
	w.Helper()
	conf, chat := w.conf, w.chat()
	conf.Store, conf.IM, conf.Sends = store, chat, once.New(store, chat, w.clock.Now)
	conf.Jobs = queue.NewLedger(store, w.queue, w.clock.Now)
	p := &process{world: w, ledger: conf.Jobs, teams: match.New(conf)}
	rules := callback.NewMux()
	p.teams.Register(rules)
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: appID, Token: token, Mux: rules, Now: w.clock.Now, Deadline: time.Minute})
	w.must(err)
	mux := http.NewServeMux()
	mux.Handle("/im", endpoint)
	p.teams.Routes(mux, w.gate, nil)
	p.routes = api.Routes(mux)
	return p
}

// serves has a process get IM's callbacks from now on.
func (p *process) serves() *process {
	p.front.Store(p)
	return p
}

// work carries out the jobs that are due, and those that these bring, when all
// callbacks are there.
func (p *process) work() {
	p.Helper()
	for range 2 {
		p.must(p.app.Settle(p.Context()))
		p.must(p.queue.Work(p.Context(), p.ledger, p.clock.Now))
	}
}

// minutes lets the clock tick for a while, as it does when nobody does anything.
func (p *process) minutes(n int) {
	p.Helper()
	for i := range n {
		p.advance(time.Minute)
		p.must(match.Looks.Sweep(p.store, p.ledger, p.clock.Now)(p.Context()))
		if i%4 == (n-1)%4 { // it reads all jobs of the day, which adds up in the crash tables
			_, err := p.ledger.Sweep(p.Context())
			p.must(err)
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
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if user == "" {
		r.Header.Set("Authorization", "Bearer "+apiKey)
		return r
	}
	sig, err := w.users.Sign(user, time.Hour)
	w.must(err)
	r.Header.Set("Authorization", "UserSig "+user+":"+sig)
	return r
}

// wants is a captain's request for a team of three, under a name.
func (w *world) wants(captain string) *http.Request {
	r := w.as(captain, http.MethodPost, "/teams", `{"mode":"ranked","size":3}`)
	r.Header.Set("Idempotency-Key", "team-of-"+captain)
	return r
}

// until repeats a request until it is answered for good.
func (p *process) until(request func() *http.Request) reply {
	p.Helper()
	for range 10 {
		a := p.do(request())
		if a.status != http.StatusServiceUnavailable && a.status != http.StatusInternalServerError {
			return a
		}
		p.advance(10 * time.Second)
	}
	p.Fatal("no answer to ten requests")
	return reply{}
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
	sig, err := w.users.Sign(user, time.Hour)
	w.must(err)
	c, err := w.app.Login(user, sig, imtest.Device{})
	w.must(err)
	return c
}

// members are those of a group, by name; "none" if there is no group.
func (w *world) members(groupID string) string { return membersOf(w.app.State().Group(groupID)) }

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
		w.must(json.Unmarshal(m.Body, &body))
		if m.From != admin || len(body) != 1 || body[0].MsgType != "TIMCustomElem" {
			w.Errorf("in %s: %+v", g.GroupID, m)
			continue
		}
		w.must(json.Unmarshal([]byte(body[0].MsgContent.Data), &n))
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
	g := p.app.State().Group(groupID)
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
	p.must(err)
	if o != (queue.Overview{}) {
		dead, _ := p.ledger.DeadJobs(p.Context(), 10)
		p.Errorf("jobs left: %+v, dead %+v", o, dead)
	}
}

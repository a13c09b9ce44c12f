package review_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/review"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	apiKey   = rulestest.APIKey
	rejected = "A moderator rejected your message."

	// What is held says it, and nothing else here does.
	suspicious = "a rumour"
)

// words is a rule set that has suspicious messages held.
var words = func() *wordlist.List {
	set, err := compile.Parse([]byte(`{"version":"1","words":[{"text":"rumour","category":"gossip","severity":2,"action":"review"}]}`))
	if err != nil {
		panic(err)
	}
	image, err := compile.Compile(set)
	if err != nil {
		panic(err)
	}
	list, err := wordlist.Open(string(image))
	if err != nil {
		panic(err)
	}
	return list
}()

// world is an emulated IM with two rooms that joe is in, and a store.
type world struct {
	*rulestest.World
	store kv.Store
	joe   *imtest.Client
}

func newWorld(t testing.TB, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{World: rulestest.New(t, clock, rulestest.Options{}), store: store}
	w.joe = w.Login("joe")
	chat := w.Client()
	for id, kind := range map[string]im.GroupType{"room": im.Public, "live": im.AVRoom} {
		_, err := chat.CreateGroup(t.Context(), im.NewGroup{Type: kind, GroupID: id, Name: id, Owner: "joe"})
		w.Must(err)
	}
	w.Must(w.joe.Join("live"))
	return w
}

// with is the same world in a subtest.
func (w *world) with(t testing.TB) *world {
	sub := *w
	sub.World = w.With(t)
	return &sub
}

// member logs a user in who may write to the rooms.
func (w *world) member(user string) *imtest.Client {
	w.Helper()
	c := w.Login(user)
	_, err := w.Client().AddGroupMembers(w.Context(), "room", []string{user}, true)
	w.Must(err)
	w.Must(c.Join("live"))
	return c
}

// code returns IM's code of an error; 0 for none.
func (w *world) code(err error) int {
	w.Helper()
	if err == nil {
		return 0
	}
	e, is := errors.AsType[*imtest.Error](err)
	if !is {
		w.Fatal(err)
	}
	return e.Code
}

// seen returns what joe got of a user, in order.
func (w *world) seen(user string) (texts []string) {
	for _, m := range w.joe.Received() {
		if m.From == user {
			texts = append(texts, m.Text())
		}
	}
	return texts
}

// told returns what a user was told by the admin.
func (w *world) told(user string) (texts []string) {
	for _, c := range w.App.State().Conversations {
		for _, m := range c.Messages {
			if m.From == rulestest.Admin && m.To == user {
				texts = append(texts, m.Text())
			}
		}
	}
	return texts
}

// process is one process of ours.
type process struct {
	*world
	reviews *review.Queue
	strikes *strikes.Strikes
	ledger  *queue.Ledger
	rules   *callback.Mux
	routes  http.Handler
}

// process starts a process over a store, which may be mortal.
func (w *world) process(store kv.Store) *process {
	w.Helper()
	chat := w.Client()
	sends := once.New(store, chat, w.Clock.Now)
	p := &process{world: w, ledger: queue.NewLedger(store, w.Queue, w.Clock.Now)}
	p.strikes = strikes.New(strikes.Config{
		Store: store, Jobs: p.ledger, IM: chat, Sends: sends,
		MuteAt: 3, BanAt: 9, BanFor: 48 * time.Hour, Fade: 30 * 24 * time.Hour, MuteFor: 24 * time.Hour, Now: w.Clock.Now,
	})
	p.reviews = review.New(review.Config{
		Store: store, Jobs: p.ledger, Sends: sends, Notifier: rulestest.Admin, RejectedText: rejected, Now: w.Clock.Now, Banned: p.strikes.Banned, MadeAnew: chat.MadeAnew,
		Strike: func(ctx context.Context, r review.Rejection) error {
			return p.strikes.Add(ctx, strikes.Strike{
				UserID: r.UserID, Key: "review/" + r.Review, Weight: r.Weight, By: r.By, Reason: r.Reason, Review: r.Review,
			})
		},
	})
	p.rules = callback.NewMux()
	moderation.New(moderation.Config{Lists: moderation.Fixed(words), Holder: p.reviews, Now: w.Clock.Now}).Register(p.rules)
	mux := http.NewServeMux()
	p.reviews.Routes(mux, w.Gate("desk"))
	p.routes = api.Routes(mux)
	return p
}

// with is the same process in a subtest.
func (p *process) with(t testing.TB) *process {
	sub := *p
	sub.world = p.world.with(t)
	return &sub
}

// serves has a process get IM's callbacks from now on.
func (p *process) serves() *process {
	p.Helper()
	p.Serve(p.rules)
	return p
}

func (p *process) work()  { p.Helper(); p.Work(p.ledger) }
func (p *process) quiet() { p.Helper(); p.Quiet(p.ledger) }

// tick is what the clock does at a time.
func (p *process) tick() {
	p.Helper()
	p.Must(review.Expire(p.store, p.ledger, p.Clock.Now)(p.Context()))
	p.Must(review.Decisions.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
	p.Must(strikes.Sanctions.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
	_, err := p.ledger.Sweep(p.Context())
	p.Must(err)
	p.work()
}

// hour lets the clock tick for an hour, as it does when nobody asks anything.
func (p *process) hour() {
	p.Helper()
	for _, minutes := range []time.Duration{1, 1, 3, 5, 10, 20, 20} {
		p.Advance(minutes * time.Minute)
		p.tick()
	}
}

// ask is a request of a server.
func (p *process) ask(method, path, body string) *httptest.ResponseRecorder {
	p.Helper()
	r := httptest.NewRequestWithContext(p.Context(), method, "/moderation/reviews"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+apiKey)
	w := httptest.NewRecorder()
	p.routes.ServeHTTP(w, r)
	return w
}

// decides is a moderator's click.
func (p *process) decides(id, what string) (status int, v review.View) {
	p.Helper()
	w := p.ask(http.MethodPost, "/"+id+"/"+what, `{"reason":"because"}`)
	if w.Code == http.StatusOK {
		p.Must(json.Unmarshal(w.Body.Bytes(), &v))
	}
	return w.Code, v
}

// list returns a page of the messages that wait.
func (p *process) list(query string) (views []review.View, next string) {
	p.Helper()
	w := p.ask(http.MethodGet, query, "")
	var out struct {
		Reviews []review.View
		Next    string
	}
	p.Must(json.Unmarshal(w.Body.Bytes(), &out))
	if w.Code != http.StatusOK {
		p.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return out.Reviews, out.Next
}

// of returns the ids of a user's messages that wait, the oldest first.
func (p *process) of(user string) (ids []string) {
	p.Helper()
	views, _ := p.list("?limit=100")
	for _, v := range views {
		if v.From == user {
			ids = append(ids, v.ID)
		}
	}
	return ids
}

// holds has a user write something suspicious to a group, or to joe with "", and
// returns the id under which it waits.
func (p *process) holds(c *imtest.Client, groupID, text string) (id string) {
	p.Helper()
	before := p.of(c.UserID())
	var err error
	if groupID == "" {
		_, err = c.SendTo("joe", imtest.Draft{Text: text})
	} else {
		_, err = c.Send(groupID, imtest.Draft{Text: text})
	}
	if got := p.code(err); got != 10016 && got != 20006 {
		p.Fatalf("what is held was answered with %d", got)
	}
	for _, id := range p.of(c.UserID()) {
		if !slices.Contains(before, id) {
			return id
		}
	}
	p.Fatal("nothing is held")
	return ""
}

// entries returns what the trail has of a user, in alphabetical order: those of
// one moment have none.
func (p *process) entries(user string) (what []string) {
	p.Helper()
	all, _, err := trail.New(p.store).Page(p.Context(), api.Page{Limit: 1000})
	p.Must(err)
	for _, e := range all {
		if e.UserID == user {
			what = append(what, strings.TrimSpace(e.By+" "+e.What))
		}
	}
	slices.Sort(what)
	return what
}

// redeliver has every job from the n-th on carried out once more.
func (p *process) redeliver(from int) {
	p.Helper()
	for _, j := range p.Queue.All()[from:] {
		j.NotBefore = time.Time{}
		encoded, err := queue.Encode(j)
		p.Must(err)
		p.Must(p.ledger.Perform(p.Context(), encoded))
	}
	p.work()
}

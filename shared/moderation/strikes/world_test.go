package strikes_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	apiKey = "an API key for these tests"

	otherKey = "another server's API key"
)

var texts = map[strikes.Kind]string{
	strikes.None: "You are free.", strikes.Warned: "You are warned.", strikes.Muted: "You are muted.", strikes.Banned: "You are banned.",
}

// world is an emulated IM and a store.
type world struct {
	*rulestest.World
	store kv.Store
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{rulestest.New(t, clock, rulestest.Options{Callbacks: []string{"C2C.CallbackAfterSendMsg"}}), store}
	w.Login("friend")
	return w
}

// Run runs a subtest.
func (w *world) Run(name string, f func(t *testing.T)) bool { return w.T().Run(name, f) }

// with is the same world in a subtest.
func (w *world) with(t *testing.T) *world { return &world{w.With(t), w.store} }

// speaks tries to write to a friend, and returns IM's code, 0 if it went well.
func (w *world) speaks(c *imtest.Client) int {
	w.Helper()
	_, err := c.SendTo("friend", imtest.Draft{Text: "hello"})
	if err == nil {
		return 0
	}
	e, is := errors.AsType[*imtest.Error](err)
	if !is {
		w.Fatal(err)
	}
	return e.Code
}

// told returns what a user was told by the admin, in order.
func (w *world) told(user string) string {
	var told []string
	for _, c := range w.App.State().Conversations {
		for _, m := range c.Messages {
			if m.From == rulestest.Admin && m.To == user {
				told = append(told, m.Text())
			}
		}
	}
	return strings.Join(told, " ")
}

// process is one process of ours.
type process struct {
	*world
	strikes *strikes.Strikes
	ledger  *queue.Ledger
	routes  http.Handler
}

// process starts a process over a store, which may be mortal.
func (w *world) process(store kv.Store) *process {
	w.Helper()
	chat := w.Client()
	p := &process{world: w, ledger: queue.NewLedger(store, w.Queue, w.Clock.Now)}
	p.strikes = strikes.New(strikes.Config{
		Store: store, Jobs: p.ledger, IM: chat, Sends: once.New(store, chat, w.Clock.Now),
		WarnAt: 1, MuteAt: 3, BanAt: 6, Fade: 30 * 24 * time.Hour, MuteFor: 24 * time.Hour, BanFor: 7 * 24 * time.Hour,
		Notifier: rulestest.Admin, Texts: texts, Now: w.Clock.Now, Reserved: []string{rulestest.Admin, "agent7"},
	})
	sum := sha256.Sum256([]byte(apiKey))
	other := sha256.Sum256([]byte(otherKey))
	keys, err := api.ParseKeys([]string{"desk:" + hex.EncodeToString(sum[:]), "game:" + hex.EncodeToString(other[:])})
	w.Must(err)
	mux := http.NewServeMux()
	gate := &api.Gate{Keys: keys, Users: w.Users}
	p.strikes.Routes(mux, gate)
	trail.New(store).Routes(mux, gate)
	p.routes = api.Routes(mux)
	return p
}

func (p *process) work() { p.Helper(); p.Work(p.ledger) }

// hour lets the clock tick for an hour, as it does when nobody asks anything.
func (p *process) hour() {
	p.Helper()
	for _, minutes := range []time.Duration{1, 1, 3, 5, 10, 20, 20} {
		p.Advance(minutes * time.Minute)
		p.Must(strikes.Sanctions.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		_, err := p.ledger.Sweep(p.Context())
		p.Must(err)
		p.work()
	}
}

// ask is a request of a server. It returns the status and, where that is 200,
// what the user's strikes come to.
func (p *process) ask(method, path, key, body string) (status int, v strikes.View) {
	p.Helper()
	return p.askAs(apiKey, method, path, key, body)
}

func (p *process) askAs(server, method, path, key, body string) (status int, v strikes.View) {
	p.Helper()
	r := httptest.NewRequestWithContext(p.Context(), method, "/moderation/strikes/"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+server)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	p.routes.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		p.Must(json.Unmarshal(w.Body.Bytes(), &v))
	}
	return w.Code, v
}

// add adds a strike of a weight.
func (p *process) add(user, key, body string) strikes.View {
	p.Helper()
	status, v := p.ask(http.MethodPost, user, key, body)
	if status != http.StatusOK {
		p.Fatalf("status %d", status)
	}
	return v
}

// entries returns what the trail has of a user, the oldest first.
func (p *process) entries(user string) (what []string) {
	p.Helper()
	all, _, err := trail.New(p.store).Page(p.Context(), api.Page{Limit: 1000})
	p.Must(err)
	for _, e := range all {
		if e.UserID == user {
			what = append([]string{strings.TrimSpace(e.By + " " + e.What)}, what...)
		}
	}
	return what
}

// quiet requires that nothing is left to do.
func (p *process) quiet() {
	p.Helper()
	o, err := p.ledger.Overview(p.Context())
	p.Must(err)
	if o != (queue.Overview{}) {
		p.Errorf("jobs left: %+v", o)
	}
}

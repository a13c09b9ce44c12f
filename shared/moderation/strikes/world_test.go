package strikes_test

import (
	"context"
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
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

const (
	appID  = 1400000004
	appKey = "a key for these tests alone"
	admin  = "administrator"
	apiKey = "an API key for these tests"

	otherKey = "another server's API key"
)

var texts = map[strikes.Kind]string{
	strikes.None: "You are free.", strikes.Warned: "You are warned.", strikes.Muted: "You are muted.", strikes.Banned: "You are banned.",
}

// world is an emulated IM, a store and a queue on one clock that stands.
type world struct {
	*testing.T
	clock *kvtest.Clock
	imNow *imtest.Clock
	store kv.Store
	queue *queuetest.Line
	app   *imtest.App
	users *usersig.Signer

	chatURL string
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{T: t, clock: clock, imNow: imtest.NewManualClock(clock.Now()), store: store, queue: &queuetest.Line{}}
	emulator := imtest.NewServer(imtest.Options{Clock: w.imNow, Seed: 1})
	w.app = emulator.AddApp(imtest.AppConfig{SDKAppID: appID, Key: appKey, RatePerAPI: -1})
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	t.Cleanup(emulator.Close)
	w.chatURL = server.URL
	var err error
	w.users, err = usersig.NewSignerAt(appID, appKey, clock.Now)
	w.must(err)
	w.device("friend")
	return w
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

// with is the same world in a subtest.
func (w *world) with(t *testing.T) *world {
	sub := *w
	sub.T = t
	return &sub
}

// device logs a user in.
func (w *world) device(user string) *imtest.Client {
	w.Helper()
	sig, err := w.users.Sign(user, 100*24*time.Hour)
	w.must(err)
	c, err := w.app.Login(user, sig, imtest.Device{})
	w.must(err)
	return c
}

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
	for _, c := range w.app.State().Conversations {
		for _, m := range c.Messages {
			if m.From == admin && m.To == user {
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
	chat, err := im.NewClient(im.Config{
		Domain: w.chatURL, SDKAppID: appID, Key: appKey, Admin: admin, Now: w.clock.Now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.advance(d)
			return ctx.Err()
		},
	})
	w.must(err)
	p := &process{world: w, ledger: queue.NewLedger(store, w.queue, w.clock.Now)}
	p.strikes = strikes.New(strikes.Config{
		Store: store, Jobs: p.ledger, IM: chat, Sends: once.New(store, chat, w.clock.Now),
		WarnAt: 1, MuteAt: 3, BanAt: 6, Fade: 30 * 24 * time.Hour, MuteFor: 24 * time.Hour, BanFor: 7 * 24 * time.Hour,
		Notifier: admin, Texts: texts, Now: w.clock.Now, Reserved: []string{admin, "agent7"},
	})
	sum := sha256.Sum256([]byte(apiKey))
	other := sha256.Sum256([]byte(otherKey))
	keys, err := api.ParseKeys([]string{"desk:" + hex.EncodeToString(sum[:]), "game:" + hex.EncodeToString(other[:])})
	w.must(err)
	mux := http.NewServeMux()
	gate := &api.Gate{Keys: keys, Users: w.users}
	p.strikes.Routes(mux, gate)
	trail.New(store).Routes(mux, gate)
	p.routes = api.Routes(mux)
	return p
}

func (p *process) work() {
	p.Helper()
	p.must(p.queue.Work(p.Context(), p.ledger, p.clock.Now))
}

// hour lets the clock tick for an hour, as it does when nobody asks anything.
func (p *process) hour() {
	p.Helper()
	for _, minutes := range []time.Duration{1, 1, 3, 5, 10, 20, 20} {
		p.advance(minutes * time.Minute)
		p.must(strikes.Sanctions.Sweep(p.store, p.ledger, p.clock.Now)(p.Context()))
		_, err := p.ledger.Sweep(p.Context())
		p.must(err)
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
		p.must(json.Unmarshal(w.Body.Bytes(), &v))
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
	p.must(err)
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
	p.must(err)
	if o != (queue.Overview{}) {
		p.Errorf("jobs left: %+v", o)
	}
}

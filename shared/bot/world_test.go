package bot_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

const (
	appID = 1400000002
	key   = "a key for these tests alone"
	token = "a token for these tests alone"
	robot = "@RBT#001"
	other = "@RBT#002"
)

// world is an emulated IM with two robots and a model, on clocks that stand.
type world struct {
	testing.TB
	clock    *kvtest.Clock
	imNow    *imtest.Clock
	store    kv.Store
	app      *imtest.App
	rest     string
	signer   *usersig.Signer
	queue    *queuetest.Line
	model    *modeltest.Server
	modelURL string
	conf     bot.Config
	process  *process
}

// process is one process of ours.
type process struct {
	*world
	ledger   *queue.Ledger
	endpoint http.Handler
}

func newWorld(t testing.TB, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{TB: t, clock: clock, store: store, imNow: imtest.NewManualClock(clock.Now()), queue: &queuetest.Line{}, model: &modeltest.Server{}}
	web := httptest.NewServer(w.model)
	t.Cleanup(web.Close)
	w.modelURL = web.URL
	model, err := openai.New(openai.Config{URL: web.URL, Models: []string{"m"}, Now: clock.Now, Try: 5 * time.Second, Sleep: w.sleep})
	w.must(err)
	w.conf = bot.Config{Model: model, Now: clock.Now, Forget: []string{"/forget"}}
	callbacks := httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) { w.process.endpoint.ServeHTTP(res, r) }))
	t.Cleanup(callbacks.Close)
	emulator := imtest.NewServer(imtest.Options{Clock: w.imNow, Seed: 1})
	t.Cleanup(emulator.Close)
	w.app = emulator.AddApp(imtest.AppConfig{
		SDKAppID: appID, Key: key, RatePerAPI: -1, RoomRate: -1, CallbackURL: callbacks.URL, CallbackToken: token, CallbackTimeout: time.Minute,
		Callbacks: []string{"Bot.OnC2CMessage", "Bot.OnGroupMessage", "C2C.CallbackBeforeSendMsg"},
	})
	rest := httptest.NewServer(emulator)
	t.Cleanup(rest.Close)
	w.rest = rest.URL
	w.signer, err = usersig.NewSignerAt(appID, key, clock.Now)
	w.must(err)
	w.restart(store)
	chat := w.client()
	for _, id := range []string{robot, other} {
		w.must(chat.CreateRobot(t.Context(), im.Robot{UserID: id, Nick: "Bot"}))
	}
	return w
}

func (w *world) sleep(ctx context.Context, d time.Duration) error {
	w.advance(d)
	return ctx.Err()
}

func (w *world) client() *im.Client {
	w.Helper()
	c, err := im.NewClient(im.Config{Domain: w.rest, SDKAppID: appID, Key: key, Admin: "administrator", Now: w.clock.Now, Sleep: w.sleep})
	w.must(err)
	return c
}

// restart replaces the process by one over a store, which may be mortal.
func (w *world) restart(store kv.Store) {
	w.Helper()
	p := &process{world: w, ledger: queue.NewLedger(store, w.queue, w.clock.Now)}
	conf := w.conf
	conf.Store, conf.Jobs, conf.Sends = store, p.ledger, once.New(store, w.client(), w.clock.Now)
	mux := callback.NewMux()
	bot.New(conf).Register(mux)
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: appID, Token: token, Mux: mux, Now: w.clock.Now})
	w.must(err)
	p.endpoint = endpoint
	w.process = p
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

// work has done what is due.
func (w *world) work() {
	w.Helper()
	w.must(w.app.Settle(w.Context()))
	w.must(w.queue.Work(w.Context(), w.process.ledger, w.clock.Now))
}

// hour lets the clock tick for an hour, as it does when nobody asks anything.
func (w *world) hour() {
	w.Helper()
	for range 12 {
		w.advance(5 * time.Minute)
		_, err := w.process.ledger.Sweep(w.Context())
		w.must(err)
		w.work()
	}
}

// redeliver has every job that there ever was carried out once more.
func (w *world) redeliver() {
	w.Helper()
	for _, j := range w.queue.All() {
		j.NotBefore = time.Time{}
		encoded, err := queue.Encode(j)
		w.must(err)
		w.must(w.process.ledger.Perform(w.Context(), encoded))
	}
	w.work()
}

func (w *world) login(userID string) *imtest.Client {
	w.Helper()
	w.must(w.client().ImportAccount(w.Context(), im.Account{UserID: userID}))
	sig, err := w.signer.Sign(userID, 30*24*time.Hour)
	w.must(err)
	c, err := w.app.Login(userID, sig, imtest.Device{})
	w.must(err)
	return c
}

// room is a group with these users in it.
func (w *world) room(id string, owner *imtest.Client, members ...string) {
	w.Helper()
	_, err := owner.CreateGroup("Public", id, id)
	w.must(err)
	if len(members) > 0 {
		_, err = w.client().AddGroupMembers(w.Context(), id, members, true)
		w.must(err)
	}
}

func (w *world) tell(c *imtest.Client, text string) {
	w.Helper()
	_, err := c.SendTo(robot, imtest.Draft{Text: text})
	w.must(err)
}

// said returns what a robot said to a user, in the order it was delivered.
func said(c *imtest.Client) []string {
	var texts []string
	for _, m := range c.Received() {
		if strings.HasPrefix(m.From, im.RobotPrefix) {
			texts = append(texts, m.Text())
		}
	}
	return texts
}

func (w *world) wantSaid(c *imtest.Client, want ...string) {
	w.Helper()
	if got := said(c); !slices.Equal(got, want) {
		w.Errorf("%s was told\n%q, want\n%q", c.UserID(), got, want)
	}
}

// quiet fails the test if a job waits or was given up.
func (w *world) quiet() {
	w.Helper()
	o, err := w.process.ledger.Overview(w.Context())
	w.must(err)
	if o.Waiting != 0 || o.Dead != 0 {
		w.Errorf("%d jobs wait, %d are dead", o.Waiting, o.Dead)
	}
}

func you(text string) string { return fmt.Sprintf("You said: %s", text) }

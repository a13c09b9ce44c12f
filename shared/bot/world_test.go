package bot_test

import (
	"fmt"
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
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	robot = "@RBT#001"
	other = "@RBT#002"
)

// world is an emulated IM with two robots, and a model.
type world struct {
	*rulestest.World
	store    kv.Store
	model    *modeltest.Server
	modelURL string
	conf     bot.Config
	ledger   *queue.Ledger // of the process
}

func newWorld(t testing.TB, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{
		World: rulestest.New(t, clock, rulestest.Options{Callbacks: []string{"Bot.OnC2CMessage", "Bot.OnGroupMessage", "C2C.CallbackBeforeSendMsg", "Group.CallbackAfterCreateGroup", "Group.CallbackAfterGroupDestroyed"}}),
		store: store, model: &modeltest.Server{},
	}
	w.modelURL = w.HTTP(w.model)
	model, err := openai.New(openai.Config{URL: w.modelURL, Models: []string{"m"}, Now: clock.Now, Try: 5 * time.Second, Sleep: w.Sleep})
	w.Must(err)
	w.conf = bot.Config{Model: model, Now: clock.Now, Forget: []string{"/forget"}}
	w.restart(store)
	chat := w.Client()
	for _, id := range []string{robot, other} {
		w.Must(chat.CreateRobot(t.Context(), im.Robot{UserID: id, Nick: "Bot"}))
	}
	return w
}

// restart replaces the process by one over a store, which may be mortal.
func (w *world) restart(store kv.Store) {
	w.Helper()
	w.ledger = queue.NewLedger(store, w.Queue, w.Clock.Now)
	conf := w.conf
	conf.Store, conf.Jobs, conf.Sends = store, w.ledger, once.New(store, w.Client(), w.Clock.Now)
	mux := callback.NewMux()
	bot.New(conf).Register(mux)
	w.Serve(mux)
}

func (w *world) work()      { w.Helper(); w.Work(w.ledger) }
func (w *world) hour()      { w.Helper(); w.Hour(w.ledger) }
func (w *world) redeliver() { w.Helper(); w.Redeliver(w.ledger) }
func (w *world) quiet()     { w.Helper(); w.Quiet(w.ledger) }

func (w *world) tell(c *imtest.Client, text string) {
	w.Helper()
	_, err := c.SendTo(robot, imtest.Draft{Text: text})
	w.Must(err)
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

func you(text string) string { return fmt.Sprintf("You said: %s", text) }

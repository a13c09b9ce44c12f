package bot_test

import (
	"encoding/json"
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
	bots     *bot.Bots
	whole    bool // answers are not streamed
	// around puts something around what the next processes have.
	around func(kv.Store, bot.IM, bot.Sends) (kv.Store, bot.IM, bot.Sends)
}

func newWorld(t testing.TB, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	return newWorldOf(t, store, clock, rulestest.Options{})
}

func newWorldOf(t testing.TB, store kv.Store, clock *kvtest.Clock, o rulestest.Options) *world {
	t.Helper()
	o.Callbacks = []string{"Bot.OnC2CMessage", "Bot.OnGroupMessage", "C2C.CallbackBeforeSendMsg", "Group.CallbackAfterSendMsg", "Group.CallbackAfterCreateGroup", "Group.CallbackAfterGroupDestroyed"}
	w := &world{
		World: rulestest.New(t, clock, o),
		store: store, model: &modeltest.Server{},
	}
	w.modelURL = w.HTTP(w.model)
	model, err := openai.New(openai.Config{URL: w.modelURL, Models: []string{"m"}, Now: clock.Now, Try: 5 * time.Second, Sleep: w.Sleep})
	w.Must(err)
	w.conf = bot.Config{Model: model, Now: clock.Now, Stream: bot.Stream{Every: -1, GroupEvery: -1}, Forget: []string{"/forget"}}
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
	client := w.Client()
	conf.Store, conf.Jobs, conf.Sends = store, w.ledger, once.New(store, client, w.Clock.Now)
	if !w.whole {
		conf.IM = client
	}
	if w.around != nil {
		conf.Store, conf.IM, conf.Sends = w.around(conf.Store, client, conf.Sends)
		w.ledger = queue.NewLedger(conf.Store, w.Queue, w.Clock.Now)
		conf.Jobs = w.ledger
	}
	mux := callback.NewMux()
	w.bots = bot.New(conf)
	w.bots.Register(mux)
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

// said returns what a user sees of what robots said, in the order it was
// delivered.
func said(c *imtest.Client) []string {
	var keys []string
	now := map[string]string{}
	for _, e := range c.Events() {
		m := e.Message
		if m == nil || !strings.HasPrefix(m.From, im.RobotPrefix) {
			continue
		}
		key := fmt.Sprint(m.GroupID, m.TopicID, m.Seq, m.Key)
		switch e.Kind {
		case "message":
			keys = append(keys, key)
			now[key] = shown(m)
		case "modified":
			now[key] = shown(m)
		}
	}
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = now[key]
	}
	return texts
}

// shown is what a message shows: the text of a stream ends with ⋯ while it goes
// on.
func shown(m *imtest.Message) string {
	if s, is := streamOf(m); is {
		text := strings.Join(s.Chunks, "")
		if s.IsFinished == 0 {
			text += "⋯"
		}
		return text
	}
	return m.Text()
}

type stream struct {
	ChatbotPlugin, IsFinished int
	Chunks                    []string
}

func streamOf(m *imtest.Message) (s stream, is bool) {
	var elements []struct{ MsgContent struct{ Data string } }
	is = json.Unmarshal(m.Body, &elements) == nil && len(elements) == 1 && json.Unmarshal([]byte(elements[0].MsgContent.Data), &s) == nil && s.ChatbotPlugin != 0
	return s, is
}

func (w *world) wantSaid(c *imtest.Client, want ...string) {
	w.Helper()
	if got := said(c); !slices.Equal(got, want) {
		w.Errorf("%s was told\n%q, want\n%q", c.UserID(), got, want)
	}
}

func you(text string) string { return fmt.Sprintf("You said: %s", text) }

// botHeard is a message to a robot as IM tells of it.
func botHeard(from, to, text string) *callback.BotOnC2CMessage {
	return &callback.BotOnC2CMessage{Base: callback.Base{CallbackCommand: "Bot.OnC2CMessage"}, From: from, To: to, MsgKey: "9_9_9", MsgBody: im.Text(text)}
}

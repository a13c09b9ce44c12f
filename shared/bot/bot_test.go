package bot_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
)

func TestBots(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		test func(*world)
	}{
		{"Guide", false, testGuide},
		{"Group", false, testGroup},
		{"GroupAnew", false, testGroupAnew},
		{"NoLoops", true, testNoLoops},
		{"Order", true, testOrder},
		{"Memory", true, testMemory},
		{"Budgets", true, testBudgets},
		{"BudgetsAtOnce", false, testBudgetsAtOnce},
		{"ReservationsDie", true, testReservationsDie},
		{"Sentences", true, testSentences},
		{"LongAnswer", true, testLongAnswer},
		{"Gone", true, testGone},
		{"Dies", true, testDies},
		{"AnswersLost", true, testAnswersLost},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			c.test(newWorld(t, store, clock))
		}})
	}
	enginetest.Run(t, tests)
}

// testGuide: the scenario guide's own example, with the callback repeated.
func testGuide(w *world) {
	user := w.Login("user1")
	w.tell(user, "hello")
	w.Must(w.App.Settle(w.Context()))
	for _, c := range w.App.Callbacks() {
		_, err := w.App.Replay(c.N)
		w.Must(err)
	}
	w.work()
	w.redeliver()
	w.wantSaid(user, you("hello"))
	if n := len(w.model.Asked()); n != 1 {
		w.Errorf("the model was asked %d times", n)
	}
	w.quiet()
}

// testGroup: each robot that is mentioned answers into the group, and none else.
func testGroup(w *world) {
	w.conf.Prompts, w.conf.Prompt = map[string]string{robot: "you are one"}, "you are two"
	w.restart(w.store)
	jane, joe := w.Login("jane"), w.Login("joe")
	w.Room("room", jane, "joe", robot, other)
	_, err := jane.Send("room", imtest.Draft{Text: "@" + robot + " @" + other + " who are you?", Mentions: []string{robot, other}})
	w.Must(err)
	_, err = jane.Send("room", imtest.Draft{Text: "nobody is meant"})
	w.Must(err)
	w.work()
	got := said(joe)
	slices.Sort(got)
	if want := "@jane " + you("jane: who are you?"); !slices.Equal(got, []string{want, want}) {
		w.Errorf("joe was told %q", got)
	}
	var prompts []string
	for _, a := range w.model.Asked() {
		prompts = append(prompts, a.Texts[0])
	}
	if slices.Sort(prompts); !slices.Equal(prompts, []string{"you are one", "you are two"}) {
		w.Errorf("prompts %q", prompts)
	}
}

// testGroupAnew: a group that was dissolved and made again under its id gives its
// messages the same numbers, and its robot answers them, remembering nothing.
func testGroupAnew(w *world) {
	jane := w.Login("jane")
	for life := range 2 {
		w.Room("room", jane, robot)
		w.work()
		for n := range 3 {
			_, err := jane.Send("room", imtest.Draft{Text: fmt.Sprint("question ", life, n), Mentions: []string{robot}})
			w.Must(err)
			w.work()
		}
		asked := w.model.Asked()
		if len(asked) != 3*(life+1) {
			w.Fatalf("the model was asked %d times, want %d", len(asked), 3*(life+1))
		}
		for _, text := range asked[3*life].Texts {
			if life > 0 && strings.Contains(text, "question 0") {
				w.Errorf("told of the group before: %q", text)
			}
		}
		w.Advance(time.Minute)
		w.Must(w.Client().DestroyGroup(w.Context(), "room"))
		w.work()
		w.Advance(time.Minute)
	}
}

// testNoLoops: robots do not answer robots, nobody is asked about what robots
// say, and a mention alone says nothing.
func testNoLoops(w *world) {
	jane := w.Login("jane")
	w.Room("room", jane, robot, other)
	w.model.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Text: "ask @" + other} })
	before := w.App.CallbackCount("C2C.CallbackBeforeSendMsg")
	w.tell(jane, "hello")
	_, err := jane.Send("room", imtest.Draft{Text: "@" + robot, Mentions: []string{robot}})
	w.Must(err)
	_, err = jane.Send("room", imtest.Draft{Text: "  ", Mentions: []string{robot}})
	w.Must(err)
	w.work()
	w.hour()
	if n := len(w.model.Asked()); n != 1 {
		w.Errorf("the model was asked %d times", n)
	}
	if n := w.App.CallbackCount("C2C.CallbackBeforeSendMsg") - before; n != 1 {
		w.Errorf("%d before-callbacks, want jane's alone", n)
	}
	w.Heard(&callback.BotOnC2CMessage{Base: callback.Base{CallbackCommand: "Bot.OnC2CMessage"}, From: other, To: robot, MsgKey: "1_1_1", MsgBody: im.Text("hello")})
	w.Heard(&callback.BotOnC2CMessage{Base: callback.Base{CallbackCommand: "Bot.OnC2CMessage"}, From: "jane", To: "joe", MsgKey: "1_1_2", MsgBody: im.Text("hello")})
	w.Heard(&callback.BotOnC2CMessage{Base: callback.Base{CallbackCommand: "Bot.OnC2CMessage"}, From: "jane", To: robot, MsgKey: "1_1_3", SendMsgResult: 20006, MsgBody: im.Text("hello")})
	w.work()
	if n := len(w.model.Asked()); n != 1 {
		w.Errorf("the model was asked %d times", n)
	}
}

// testOrder: however callbacks and jobs are shuffled and repeated, messages are
// answered in the order in which they were written.
func testOrder(w *world) {
	jane := w.Login("jane")
	var want []string
	for i := range 12 {
		w.Advance(time.Second)
		w.tell(jane, fmt.Sprint("message ", i))
		want = append(want, you(fmt.Sprint("message ", i)))
	}
	w.Must(w.App.Settle(w.Context()))
	jobs := append(w.Queue.All(), w.Queue.All()...)
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(jobs), func(i, k int) { jobs[i], jobs[k] = jobs[k], jobs[i] })
	for _, j := range jobs {
		encoded, err := queue.Encode(j)
		w.Must(err)
		w.Must(w.ledger.Perform(w.Context(), encoded))
	}
	w.hour()
	w.wantSaid(jane, want...)
}

// testMemory: a conversation is told to the model as far back as it fits, until
// it is over or forgotten, and none of anybody else's.
func testMemory(w *world) {
	w.conf.MemoryTokens, w.conf.MemoryLife = 40, time.Hour
	w.restart(w.store)
	jane, joe := w.Login("jane"), w.Login("joe")
	ask := func(c *imtest.Client, text string, want ...string) {
		w.Helper()
		w.Advance(time.Second)
		w.tell(c, text)
		w.work()
		all := w.model.Asked()
		if got := all[len(all)-1].Texts; !slices.Equal(got, want) {
			w.Errorf("the model was told %q, want %q", got, want)
		}
	}
	ask(jane, "one", "one")
	ask(joe, "two", "two")
	ask(jane, "three", "one", you("one"), "three")
	ask(jane, "four", "one", you("one"), "three", you("three"), "four")
	ask(jane, "five", "three", you("three"), "four", you("four"), "five") // what is older does not fit
	w.tell(jane, " /FORGET ")
	w.work()
	if got := said(jane); got[len(got)-1] != bot.DefaultForgot {
		w.Errorf("told %q", got[len(got)-1])
	}
	ask(jane, "six", "six")
	w.Advance(2 * time.Hour)
	ask(jane, "seven", "seven")
}

// testBudgets: of a user, of a group, of all; counted once, and given anew each
// day.
func testBudgets(w *world) {
	w.conf.Budget = bot.Budget{User: bot.Limit{Answers: 3}, Group: bot.Limit{Answers: 2}, All: bot.Limit{Answers: 6}}
	w.restart(w.store)
	jane, joe, june := w.Login("jane"), w.Login("joe"), w.Login("june")
	w.Room("room", jane, "joe", robot)
	n := 0
	tell := func(c *imtest.Client, group bool, paid bool) {
		w.Helper()
		n++
		w.Advance(time.Second)
		if text := fmt.Sprint("message ", n); group {
			_, err := c.Send("room", imtest.Draft{Text: text, Mentions: []string{robot}})
			w.Must(err)
		} else {
			w.tell(c, text)
		}
		before := len(w.model.Asked())
		w.work()
		w.redeliver()
		if got := len(w.model.Asked()) - before; (got == 1) != paid {
			w.Errorf("message %d: the model was asked %d times, want paid %v", n, got, paid)
		}
		texts := said(c)
		if last := texts[len(texts)-1]; strings.HasSuffix(last, bot.DefaultSpent) == paid {
			w.Errorf("message %d: told %q", n, last)
		}
	}
	tell(jane, true, true)
	tell(joe, true, true)
	tell(jane, true, false) // the group's
	tell(jane, false, true)
	tell(jane, false, true)
	tell(jane, false, false) // her own
	tell(joe, false, true)
	tell(june, false, true)
	tell(june, false, false) // everybody's
	w.Advance(24 * time.Hour)
	tell(june, false, true)
}

// testSentences: a polite sentence where the model cannot or will not answer.
func testSentences(w *world) {
	w.conf.Texts = bot.Texts{Sorry: "later please"}
	w.restart(w.store)
	jane := w.Login("jane")
	for _, tt := range []struct {
		behaviour modeltest.Behaviour
		want      string
	}{
		{modeltest.Behaviour{Status: 500}, "later please"},
		{modeltest.Behaviour{Finish: "content_filter"}, bot.DefaultRefused},
		{modeltest.Behaviour{Text: "<think>nothing to say</think>"}, "later please"},
		{modeltest.Behaviour{Text: "fine"}, "fine"},
	} {
		w.model.Always(func(modeltest.Asked) modeltest.Behaviour { return tt.behaviour })
		w.Advance(time.Minute)
		w.tell(jane, "hello")
		w.work()
		w.redeliver()
		if got := said(jane); got[len(got)-1] != tt.want {
			w.Errorf("%+v: told %q, want %q", tt.behaviour, got[len(got)-1], tt.want)
		}
	}
	all := w.model.Asked()
	if got := all[len(all)-1].Texts; !slices.Equal(got, []string{"hello"}) {
		w.Errorf("sentences of ours are remembered as the model's: %q", got)
	}
	if len(said(jane)) != 4 {
		w.Errorf("told %q", said(jane))
	}
}

func testLongAnswer(w *world) {
	jane := w.Login("jane")
	long := strings.Repeat("这是一个很长的回答。", 600)
	w.model.Next(modeltest.Behaviour{Text: long})
	w.tell(jane, "tell me everything")
	w.work()
	w.redeliver()
	got := said(jane)
	if len(got) < 4 || strings.Join(got, "") != long {
		w.Errorf("%d parts, together as long as said: %v", len(got), strings.Join(got, "") == long)
	}
}

// testGone: an answer into a group that is gone meanwhile is dropped, and blocks
// nobody.
func testGone(w *world) {
	jane := w.Login("jane")
	w.Room("room", jane, robot)
	_, err := jane.Send("room", imtest.Draft{Text: "hello", Mentions: []string{robot}})
	w.Must(err)
	w.Must(w.App.Settle(w.Context()))
	w.Must(w.Client().DestroyGroup(w.Context(), "room"))
	w.work()
	w.hour()
	w.quiet()
}

// testDies: the process dies at each of its commits; another goes on, minutes or
// a day later, and every job comes once more. Each message has one answer.
func testDies(w *world) {
	w.conf.Budget = bot.Budget{User: bot.Limit{Answers: 100}, All: bot.Limit{Answers: 1000}}
	for _, later := range []time.Duration{time.Minute, 10 * time.Minute} {
		enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
			w.restart(mortal)
			user := w.Login(strings.ReplaceAll(fmt.Sprint("u", name, later), " ", "-"))
			w.tell(user, "hello from "+name)
			_ = w.App.Settle(t.Context())
			_ = w.Queue.Work(t.Context(), w.ledger, w.Clock.Now)
			w.restart(w.store)
			w.Advance(later)
			w.work()
			// IM calls back again, as its console may be set to.
			calls := w.App.Callbacks()
			_, err := w.App.Replay(calls[len(calls)-1].N)
			w.Must(err)
			w.hour()
			w.redeliver()
			w.Advance(25 * time.Hour)
			w.redeliver()
			w.hour()
			if got := said(user); !slices.Equal(got, []string{you("hello from " + name)}) {
				t.Errorf("told %q", got)
			}
			w.quiet()
		})
	}
}

// testAnswersLost: IM's answers to sends are lost, until the client gives up and
// the job comes again.
func testAnswersLost(w *world) {
	jane := w.Login("jane")
	w.Room("room", jane, robot)
	lost := slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 5)
	w.App.FailNext("openim/sendmsg", lost...)
	w.App.FailNext("group_open_http_svc/send_group_msg", lost...)
	w.tell(jane, "hello")
	_, err := jane.Send("room", imtest.Draft{Text: "hello all", Mentions: []string{robot}})
	w.Must(err)
	w.work()
	w.hour()
	got := said(jane)
	slices.Sort(got)
	if want := []string{"@jane " + you("jane: hello all"), you("hello")}; !slices.Equal(got, want) {
		w.Errorf("told %q, want %q", got, want)
	}
	w.quiet()
}

// TestBadEvents: they are acknowledged, and nothing is done or logged of what
// they say.
func TestBadEvents(t *testing.T) {
	var log bytes.Buffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(was) })
	enginetest.Run(t, []enginetest.Test{{Name: "Bad", Long: true, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		w := newWorld(t, store, clock)
		for _, e := range []callback.Event{
			&callback.BotOnC2CMessage{Base: callback.Base{CallbackCommand: "Bot.OnC2CMessage"}},
			&callback.BotOnC2CMessage{Base: callback.Base{CallbackCommand: "Bot.OnC2CMessage"}, From: "jane", To: robot, MsgBody: im.Custom("private words", "", "")},
			&callback.BotOnGroupMessage{Base: callback.Base{CallbackCommand: "Bot.OnGroupMessage"}, GroupID: "g", From: "jane", MsgBody: im.Text("private words")},
			&callback.BotOnGroupMessage{Base: callback.Base{CallbackCommand: "Bot.OnGroupMessage"}, GroupID: "g", From: "jane", AtRobots: []string{"jane", ""}, MsgBody: im.Text("private words")},
		} {
			w.Heard(e)
		}
		w.work()
		if n := len(w.Queue.All()) + len(w.model.Asked()); n != 0 {
			t.Errorf("%d jobs and questions", n)
		}
		w.model.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Status: 500} })
		w.tell(w.Login("jane"), "private words")
		w.work()
		if !strings.Contains(log.String(), "not answered well") || strings.Contains(log.String(), "private") {
			t.Errorf("the log says %s", log.String())
		}
	}}})
}

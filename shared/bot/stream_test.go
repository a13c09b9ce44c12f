package bot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

func TestStreams(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		test func(*world)
	}{
		{"Seen", testSeenWhileWritten},
		{"SeenInGroups", testSeenInGroups},
		{"Scenarios", testScenarios},
		{"Doubts", testDoubts},
		{"Deaths", testDeaths},
		{"DeathsInTurn", testDeathsInTurn},
		{"DeathOfAWorker", testDeathOfAWorker},
		{"NothingToContinue", testNothingToContinue},
		{"Long", testLongStream},
		{"FullAtAnEdge", testFullAtAnEdge},
		{"LongDeaths", testLongDeaths},
		{"Rooms", testRooms},
		{"Whole", testWhole},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: true, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			c.test(newWorld(t, store, clock))
		}})
	}
	enginetest.Run(t, tests)
}

// modelOf replaces the model's client by one with these settings.
func (w *world) modelOf(change func(*openai.Config)) {
	w.Helper()
	c := openai.Config{URL: w.modelURL, Models: []string{"m"}, Now: w.Clock.Now, Try: 5 * time.Second, Sleep: w.Sleep}
	change(&c)
	model, err := openai.New(c)
	w.Must(err)
	w.conf.Model = model
	w.restart(w.store)
}

// until waits until a user sees what f accepts.
func (w *world) until(c *imtest.Client, f func(texts []string) bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	for n := 0; ; {
		events, more := c.EventsSince(n)
		n += len(events)
		if f(said(c)) {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			w.Errorf("%s sees %q", c.UserID(), said(c))
			return
		}
	}
}

// testSeenWhileWritten: the user reads the start of an answer before the model has
// thought of its end, and in the end one message.
func testSeenWhileWritten(w *world) {
	jane := w.Login("jane")
	w.model.Next(modeltest.Behaviour{Pieces: []string{"One two ", "three ", "four."}, Before: func(n int) {
		if n > 0 {
			w.until(jane, func(texts []string) bool {
				return len(texts) == 1 && strings.HasPrefix(texts[0], []string{"", "One two", "One two", "One two thre"}[n]) && strings.HasSuffix(texts[0], "⋯")
			})
		}
	}})
	w.tell(jane, "count")
	w.work()
	w.wantSaid(jane, "One two three four.")
	w.redeliver()
	w.hour()
	w.wantSaid(jane, "One two three four.")
	w.quiet()
}

// testSeenInGroups: a group reads one message that grows.
func testSeenInGroups(w *world) {
	jane, joe := w.Login("jane"), w.Login("joe")
	w.Room("room", jane, "joe", robot)
	w.model.Next(modeltest.Behaviour{Pieces: []string{"One two ", "three ", "four."}, Before: func(n int) {
		if n == 1 {
			w.until(joe, func(texts []string) bool { return len(texts) == 1 && strings.HasSuffix(texts[0], "One two") })
		}
	}})
	_, err := jane.Send("room", imtest.Draft{Text: "count", Mentions: []string{robot}})
	w.Must(err)
	w.work()
	w.redeliver()
	if got := said(joe); len(got) != 1 || !strings.HasSuffix(got[0], "One two three four.") {
		w.Errorf("joe sees %q", got)
	}
	w.conf.Stream.GroupsWhole = true
	w.restart(w.store)
	w.model.Next(modeltest.Behaviour{Pieces: []string{"Five ", "six."}, Before: func(n int) {
		if len(said(joe)) > 1 {
			w.Errorf("joe sees %q of an answer that is to be whole", said(joe))
		}
	}})
	_, err = jane.Send("room", imtest.Draft{Text: "go on", Mentions: []string{robot}})
	w.Must(err)
	w.work()
	if got := said(joe); len(got) != 2 || !strings.HasSuffix(got[1], "Five six.") {
		w.Errorf("joe sees %q", got)
	}
	w.quiet()
}

// testRooms: a live room, whose messages IM lets nobody edit, gets whole ones.
func testRooms(w *world) {
	jane := w.Login("jane")
	_, err := jane.CreateGroup("AVChatRoom", "live", "live")
	w.Must(err)
	w.Must(jane.Join("live"))
	_, err = jane.Send("live", imtest.Draft{Text: "hello", Mentions: []string{robot}})
	w.Must(err)
	w.work()
	if got := said(jane); len(got) != 1 || !strings.HasSuffix(got[0], you("jane: hello")) {
		w.Errorf("jane sees %q", got)
	}
	for _, call := range w.App.Calls() {
		if call.Command == "openim/modify_group_msg" {
			w.Error("a message of a live room was edited")
		}
	}
	w.quiet()
}

// testWhole: with streams switched off, one-to-one and in groups there is one text
// message, and nobody sees a start.
func testWhole(w *world) {
	w.whole = true
	w.restart(w.store)
	jane := w.Login("jane")
	w.Room("room", jane, robot)
	w.model.Always(func(modeltest.Asked) modeltest.Behaviour {
		return modeltest.Behaviour{Pieces: []string{"One ", "two."}}
	})
	w.tell(jane, "count")
	w.work()
	_, err := jane.Send("room", imtest.Draft{Text: "count", Mentions: []string{robot}})
	w.Must(err)
	w.work()
	w.redeliver()
	w.wantSaid(jane, "One two.", "@jane One two.")
	for _, call := range w.App.Calls() {
		if strings.Contains(call.Command, "stream") || strings.Contains(call.Command, "modify") {
			w.Errorf("%s is called", call.Command)
		}
	}
	w.quiet()
}

const event = `data: {"choices":[{"delta":{"content":%q}}]}` + "\r\n\r\n"

// testScenarios: what the user sees, whatever a model does.
func testScenarios(w *world) {
	w.conf.Stream.Silence = 300 * time.Millisecond
	w.conf.Tools = []bot.Tool{{
		ToolSpec: bot.ToolSpec{Name: "look", Description: "x", Parameters: json.RawMessage(`{"type":"object"}`)},
		Run:      func(context.Context, bot.ToolCall) (string, error) { return "a zebra", nil },
	}}
	w.modelOf(func(c *openai.Config) { c.Models, c.Try = []string{"m", "fallback"}, 400*time.Millisecond })
	jane := w.Login("jane")
	pieces := func(texts ...string) modeltest.Behaviour { return modeltest.Behaviour{Pieces: texts} }
	cut := func(texts ...string) modeltest.Behaviour { return modeltest.Behaviour{Pieces: texts, Cut: true} }
	busy := modeltest.Behaviour{Status: http.StatusTooManyRequests, RetryAfter: "1"}
	for _, tt := range []struct {
		name   string
		next   []modeltest.Behaviour
		want   string
		whole  bool // a text message, not a stream
		begun  string
		faults []imtest.Fault // of the calls that stream
	}{
		{name: "in one piece", next: []modeltest.Behaviour{pieces("All at once.")}, want: "All at once."},
		{name: "one character at a time", next: []modeltest.Behaviour{pieces(strings.Split("你好，世界", "")...)}, want: "你好，世界"},
		{name: "slow", next: []modeltest.Behaviour{{Slow: 20 * time.Millisecond, Text: "At last."}}, want: "At last."},
		{name: "busy", next: []modeltest.Behaviour{busy, {Text: "Now."}}, want: "Now."},
		{name: "always busy", next: slices.Repeat([]modeltest.Behaviour{busy}, 6), want: bot.DefaultSorry, whole: true},
		{name: "another model", next: append(slices.Repeat([]modeltest.Behaviour{{Status: 500}}, 3), pieces("I am the other.")), want: "I am the other."},
		{name: "cut and continued", next: []modeltest.Behaviour{cut("The first half ", "and "), pieces("the second.")}, want: "The first half and the second.", begun: "The first half and"},
		{name: "cut within a word", next: []modeltest.Behaviour{cut("The first half ", "an"), pieces("and the second.")}, want: "The first half and the second.", begun: "The first half"},
		{name: "cut between words", next: []modeltest.Behaviour{cut("The first", " half", " and"), pieces(" the", " second.")}, want: "The first half and the second.", begun: "The first half"},
		{name: "cut and begun again", next: []modeltest.Behaviour{cut("The first half ", "and "), pieces("The first half and the rest.")}, want: "The first half and the rest.", begun: "The first half and"},
		{name: "cut thrice", next: []modeltest.Behaviour{cut("One two three "), cut("four "), cut(" five")}, want: "One two three four five\n\n" + bot.DefaultBroken, begun: "One two three four"},
		{name: "silent in the middle", next: []modeltest.Behaviour{{Pieces: []string{"Let me ", "think"}, Hang: true}}, want: "Let me think\n\n" + bot.DefaultBroken},
		{name: "never answering", next: slices.Repeat([]modeltest.Behaviour{{Hang: true}}, 6), want: bot.DefaultSorry, whole: true},
		{name: "thoughts in pieces", next: []modeltest.Behaviour{pieces("<th", "ink>I must no", "t say it</thi", "nk>", "\n\nHel", "lo!")}, want: "Hello!"},
		{name: "a thought that nothing opened", next: []modeltest.Behaviour{pieces("They want a greeting.", "\n</th", "ink>\n", "Hello ", "there!")}, want: "Hello there!"},
		{name: "nothing but thoughts", next: slices.Repeat([]modeltest.Behaviour{pieces("<think>", "hm", "</think>")}, 6), want: bot.DefaultSorry, whole: true},
		{name: "a tool call in pieces", next: []modeltest.Behaviour{{Pieces: []string{"Let me ", "look."}, Calls: call("look", `{"where":"here"}`).Calls}, pieces("A ", "zebra.")}, want: "Let me look.\n\nA zebra."},
		{name: "garbage", next: slices.Repeat([]modeltest.Behaviour{{Raw: "<html>"}}, 6), want: bot.DefaultSorry, whole: true},
		{name: "garbage in the middle", next: []modeltest.Behaviour{{Raw: fmt.Sprintf(event, "First part, ") + "data: <html>\n\n"}, pieces("then the rest.")}, want: "First part, then the rest.", begun: "First part,"},
		{name: "an error within 200", next: []modeltest.Behaviour{{Raw: fmt.Sprintf(event, "First part, ") + `data: {"error":{"message":"x","code":500}}` + "\n\n"}, pieces("then the rest.")}, want: "First part, then the rest.", begun: "First part,"},
		{name: "CRLF, comments, null content, no choices", next: []modeltest.Behaviour{{Raw: ": ping\r\n\r\n" + `data: {"choices":[{"delta":{"role":"assistant","content":null}}]}` + "\r\n\r\n" + fmt.Sprintf(event, "Fi") + ": ping\r\n\r\n" + fmt.Sprintf(event, "ne.") + `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}` + "\r\n\r\ndata: [DONE]\r\n\r\n"}}, want: "Fine."},
		{name: "JSON in answer to a stream", next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":"Whole."},"finish_reason":"stop"}]}`}}, want: "Whole.", whole: true},
		{name: "no streams at this server", next: []modeltest.Behaviour{{Status: 400, Code: "stream_unsupported"}, {Text: "Whole, then."}}, want: "Whole, then.", whole: true},
		{name: "refused in the middle", next: []modeltest.Behaviour{{Pieces: []string{"How to ", "do it:"}, Finish: "content_filter"}}, want: bot.DefaultRefused},
		{name: "no streams in this app", next: []modeltest.Behaviour{pieces("One ", "two ", "three.")}, want: "One two three.", whole: true, faults: []imtest.Fault{{Code: 90008}}},
		{name: "IM ends the stream", next: []modeltest.Behaviour{pieces("One ", "two ", "three.")}, want: "One two three.", faults: []imtest.Fault{{}, {Code: 90054}}},
		{name: "IM is busy", next: []modeltest.Behaviour{pieces("One ", "two ", "three.")}, want: "One two three.", faults: []imtest.Fault{{}, {Code: 60007}, {Code: 60007}}},
	} {
		before, asked := len(said(jane)), len(w.model.Asked())
		w.modelOf(func(c *openai.Config) { c.Models, c.Try = []string{"m", "fallback"}, 400*time.Millisecond })
		w.Advance(time.Minute)
		w.tell(jane, "/forget")
		w.work()
		w.model.Next(tt.next...)
		w.Advance(time.Minute)
		w.App.FailNext("openim_robot_http_svc/send_stream_msg", tt.faults...)
		w.tell(jane, "do it")
		w.work()
		w.noFaults()
		w.redeliver()
		w.hour()
		got := said(jane)[before+1:]
		if len(got) != 1 || got[0] != tt.want {
			w.Errorf("%s: the user sees %q, want %q", tt.name, got, tt.want)
		}
		if is := w.lastIsStream(jane); is == tt.whole {
			w.Errorf("%s: streamed %v", tt.name, is)
		}
		if last := w.model.Asked()[len(w.model.Asked())-1]; !strings.HasPrefix(last.Begun, tt.begun) || tt.begun == "" && last.Begun != "" {
			w.Errorf("%s: the model was to continue %q", tt.name, last.Begun)
		}
		if n := len(w.model.Asked()) - asked; n != len(tt.next) {
			w.Errorf("%s: the model was asked %d times, want %d", tt.name, n, len(tt.next))
		}
	}
	w.quiet()
}

// noFaults uses up the faults that are left, for pieces that were sent together
// need fewer calls.
func (w *world) noFaults() {
	w.Helper()
	w.Login("nobody")
	c := w.Client()
	for range 16 {
		_, _ = c.SendStreamMsg(w.Context(), im.StreamChunk{From: robot, To: "nobody", Chunk: "x", Finish: true})
		_, _ = c.C2CHistory(w.Context(), im.C2CHistoryQuery{Viewer: "nobody", Peer: robot, To: w.Clock.Now().Unix()})
	}
}

func (w *world) lastIsStream(c *imtest.Client) bool {
	is := false
	for _, e := range c.Events() {
		if e.Message != nil && (e.Kind == "message" || e.Kind == "modified") && strings.HasPrefix(e.Message.From, im.RobotPrefix) {
			_, is = streamOf(e.Message)
		}
	}
	return is
}

// testDoubts: IM's answer to any piece is lost, and perhaps the history cannot be
// read either.
func testDoubts(w *world) {
	jane := w.Login("jane")
	lost := imtest.Fault{LoseAnswer: true}
	for n := range 4 {
		for _, away := range []int{0, 3, 12} { // calls for the history that fail
			for _, worked := range []bool{true, false} {
				fault := lost
				if !worked {
					fault = imtest.Fault{Status: 502}
				}
				before := len(said(jane))
				w.Advance(time.Minute)
				var gate sync.Mutex
				pieces := []string{"One ", "two ", "three."}
				w.model.Next(modeltest.Behaviour{Pieces: pieces, Before: func(int) { gate.Lock(); defer gate.Unlock() }})
				w.App.FailNext("openim_robot_http_svc/send_stream_msg", append(make([]imtest.Fault, n), fault)...)
				w.App.FailNext("openim/admin_getroammsg", slices.Repeat([]imtest.Fault{{Code: 60008}}, away)...)
				w.tell(jane, "count")
				w.work()
				w.noFaults()
				w.hour()
				w.redeliver()
				if got := said(jane)[before:]; !slices.Equal(got, []string{"One two three."}) {
					w.Errorf("piece %d in doubt, sent %v, history away %d times: the user sees %q", n, worked, away, got)
				}
			}
		}
	}
	w.quiet()
}

var errDead = errors.New("this process is dead")

// mortal is what a process has that dies before or after its n-th call of IM, or
// never while n is 0.
type mortal struct {
	chat  bot.IM
	sends bot.Sends
	store kv.Store

	mu    sync.Mutex
	n     int
	after bool
	dead  bool
	calls int
}

func (m *mortal) around(store kv.Store, chat bot.IM, sends bot.Sends) (kv.Store, bot.IM, bot.Sends) {
	m.store, m.chat, m.sends = store, chat, sends
	return mortalStore{store, m}, mortalIM{m}, mortalSends{m}
}

func (m *mortal) alive() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	return nil
}

func die[A any](m *mortal, call func() (A, error)) (a A, err error) {
	m.mu.Lock()
	m.calls++
	mine := m.calls == m.n
	if mine && !m.after {
		m.dead = true
	}
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return a, errDead
	}
	a, err = call()
	if mine {
		m.mu.Lock()
		m.dead = true
		m.mu.Unlock()
		return a, errDead
	}
	return a, err
}

type mortalIM struct{ *mortal }

func (m mortalIM) SendStreamMsg(ctx context.Context, s im.StreamChunk) (string, error) {
	return die(m.mortal, func() (string, error) { return m.chat.SendStreamMsg(ctx, s) })
}

func (m mortalIM) ModifyC2CMsg(ctx context.Context, from, to, key string, by im.Modification) error {
	_, err := die(m.mortal, func() (int, error) { return 0, m.chat.ModifyC2CMsg(ctx, from, to, key, by) })
	return err
}

func (m mortalIM) ModifyGroupMsg(ctx context.Context, groupID, topicID string, seq uint32, by im.Modification) error {
	_, err := die(m.mortal, func() (int, error) { return 0, m.chat.ModifyGroupMsg(ctx, groupID, topicID, seq, by) })
	return err
}

func (m mortalIM) C2CHistory(ctx context.Context, q im.C2CHistoryQuery) (im.C2CHistoryPage, error) {
	return die(m.mortal, func() (im.C2CHistoryPage, error) { return m.chat.C2CHistory(ctx, q) })
}

type mortalSends struct{ *mortal }

func (m mortalSends) C2C(ctx context.Context, event string, msg im.C2CMsg) (im.C2CSent, error) {
	return die(m.mortal, func() (im.C2CSent, error) { return m.sends.C2C(ctx, event, msg) })
}

func (m mortalSends) Group(ctx context.Context, event string, msg im.GroupMsg) (im.GroupSent, error) {
	return die(m.mortal, func() (im.GroupSent, error) { return m.sends.Group(ctx, event, msg) })
}

type mortalStore struct {
	kv.Store
	m *mortal
}

func (m mortalStore) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	if err := m.m.alive(); err != nil {
		return kv.ErrUnavailable
	}
	return m.Store.Commit(ctx, partition, op, writes...)
}

// testDeaths: the process dies before or after each of its calls of IM. Another
// goes on; the user sees one message with the whole answer, and the model is asked
// to continue what is stored.
func testDeaths(w *world) {
	jane := w.Login("jane")
	w.Room("room", jane, robot)
	for _, group := range []bool{false, true} {
		for n := 1; ; n++ {
			died := true
			for _, after := range []bool{false, true} {
				name := fmt.Sprintf("group %v, call %d, after %v", group, n, after)
				before := len(said(jane))
				m := &mortal{n: n, after: after}
				w.around = m.around
				w.restart(w.store)
				w.Advance(time.Minute)
				if group {
					_, err := jane.Send("room", imtest.Draft{Text: name, Mentions: []string{robot}})
					w.Must(err)
				} else {
					w.tell(jane, name)
				}
				w.Must(w.App.Settle(w.Context()))
				_ = w.Queue.Work(w.Context(), w.ledger, w.Clock.Now)
				w.around = nil
				w.restart(w.store)
				w.hour()
				w.redeliver()
				want := you(name)
				if group {
					want = you("jane: " + name)
				}
				if got := said(jane)[before:]; len(got) != 1 || !strings.HasSuffix(got[0], want) {
					w.Errorf("%s: the user sees %q", name, got)
				}
				died = died && m.dead
			}
			if !died {
				if n < 2 {
					w.Errorf("group %v: a life of %d calls", group, n)
				}
				break
			}
			if n > 60 {
				w.Fatalf("group %v: a life without end", group)
			}
		}
	}
	w.quiet()
}

// testDeathsInTurn: the first worker dies when IM has the first piece and nobody its
// key; the one after it dies at each of its calls, too. The user has one answer.
func testDeathsInTurn(w *world) {
	jane := w.Login("jane")
	for n := 1; ; n++ {
		died := true
		for _, after := range []bool{false, true} {
			name := fmt.Sprintf("call %d, after %v", n, after)
			before := len(said(jane))
			first, second := &mortal{n: 1, after: true}, &mortal{n: n, after: after}
			w.around = first.around
			w.restart(w.store)
			w.Advance(time.Minute)
			w.tell(jane, name)
			w.Must(w.App.Settle(w.Context()))
			_ = w.Queue.Work(w.Context(), w.ledger, w.Clock.Now)
			if !first.dead || len(said(jane)) != before+1 {
				w.Fatalf("%s: the first worker did not die behind the first piece: %q", name, said(jane)[before:])
			}
			w.around = second.around
			w.restart(w.store)
			w.Advance(2 * time.Minute)
			_, err := w.ledger.Sweep(w.Context())
			w.Must(err)
			_ = w.Queue.Work(w.Context(), w.ledger, w.Clock.Now)
			w.around = nil
			w.restart(w.store)
			w.hour()
			w.redeliver()
			if got := said(jane)[before:]; len(got) != 1 || got[0] != you(name) {
				w.Errorf("%s: the user sees %q", name, got)
			}
			died = died && second.dead
		}
		if !died {
			if n < 3 {
				w.Errorf("the second worker made %d calls", n)
			}
			break
		}
	}
	w.quiet()
}

// testDeathOfAWorker: within a minute after a worker vanished, another completes
// the message that it left.
func testDeathOfAWorker(w *world) {
	jane := w.Login("jane")
	m := &mortal{}
	w.around = m.around
	w.restart(w.store)
	w.model.Next(modeltest.Behaviour{Pieces: []string{"Half of ", "an answer "}, Before: func(n int) {
		if n == 1 {
			w.until(jane, func(texts []string) bool { return len(texts) == 1 })
			m.mu.Lock()
			m.dead = true
			m.mu.Unlock()
		}
	}, Cut: true})
	w.tell(jane, "hello")
	w.Must(w.App.Settle(w.Context()))
	_ = w.Queue.Work(w.Context(), w.ledger, w.Clock.Now)
	w.wantSaid(jane, "Half of⋯")
	w.around = nil
	w.restart(w.store)
	w.model.Always(func(a modeltest.Asked) modeltest.Behaviour {
		return modeltest.Behaviour{Text: strings.TrimPrefix("Half of an answer, completed.", a.Begun)}
	})
	w.Advance(59 * time.Second)
	for _, j := range w.Queue.All() {
		w.Must(w.Queue.Enqueue(w.Context(), j)) // as the engine or a sweep brings it
	}
	w.work()
	w.wantSaid(jane, "Half of an answer, completed.")
	if last := w.model.Asked()[len(w.model.Asked())-1]; last.Begun != "Half of" && last.Begun != "Half of an" {
		w.Errorf("the model was to continue %q", last.Begun)
	}
	w.hour()
	w.quiet()
}

// testNothingToContinue: a worker dies when an answer is shown, and the model says
// nothing more. A whole answer ends as it is, half of one is marked as broken.
func testNothingToContinue(w *world) {
	for text, want := range map[string]string{
		"It is all said. ": "It is all said.",
		"都说完了。":            "都说完了。",
		"Half of an ":      "Half of an\n\n" + bot.DefaultBroken,
		"One, two, ":       "One, two,\n\n" + bot.DefaultBroken,
	} {
		user := w.Login(fmt.Sprint("user", len(text)))
		m := &mortal{}
		w.around = m.around
		w.restart(w.store)
		w.model.Next(modeltest.Behaviour{Pieces: []string{text, "never"}, Before: func(n int) {
			if n == 1 {
				w.until(user, func(texts []string) bool { return len(texts) == 1 })
				m.mu.Lock()
				m.dead = true
				m.mu.Unlock()
			}
		}, Cut: true})
		w.model.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Pieces: []string{" "}} })
		w.tell(user, "hello")
		w.Must(w.App.Settle(w.Context()))
		_ = w.Queue.Work(w.Context(), w.ledger, w.Clock.Now)
		w.around = nil
		w.restart(w.store)
		w.hour()
		w.wantSaid(user, want)
	}
	w.quiet()
}

// testLongStream: an answer that one message cannot hold is shown by several, none
// of which breaks a word.
func testLongStream(w *world) {
	jane := w.Login("jane")
	var pieces []string
	for n := range 900 {
		pieces = append(pieces, fmt.Sprintf("Sentence \"%d\" is here. ", n))
	}
	whole := strings.TrimSpace(strings.Join(pieces, ""))
	w.model.Next(modeltest.Behaviour{Pieces: pieces})
	w.tell(jane, "tell me everything")
	w.work()
	w.redeliver()
	got := said(jane)
	if len(got) < 5 || strings.Join(got, " ") != whole {
		w.Errorf("%d messages, together as long as said: %v\n%q", len(got), strings.Join(got, " ") == whole, got)
	}
	for _, text := range got {
		if strings.HasSuffix(text, "⋯") {
			w.Errorf("%q goes on", text)
		}
	}
	w.quiet()
}

// testFullAtAnEdge: what is shown of a message ends where its last sentence ends that
// fits, when more comes. The message goes on by words, and breaks none.
func testFullAtAnEdge(w *world) {
	jane := w.Login("jane")
	var sentences []string
	for n := range 200 {
		sentences = append(sentences, fmt.Sprintf("Sentence %d is here. ", n))
	}
	whole := strings.TrimSpace(strings.Join(sentences, ""))
	first := strings.LastIndex(whole[:bot.MaxPart], ". ") + 2
	w.model.Next(modeltest.Behaviour{Pieces: []string{whole[:first], whole[first:]}, Before: func(n int) {
		if n == 1 {
			w.until(jane, func(texts []string) bool { return len(texts) == 1 })
		}
	}})
	w.tell(jane, "tell me everything")
	w.work()
	got := said(jane)
	if len(got) != 2 || strings.Join(got, " ") != whole {
		w.Errorf("%d messages, the first ends %q", len(got), got[0][max(0, len(got[0])-60):])
	}
	w.quiet()
}

// testLongDeaths: the process dies before or after each call of IM while it shows an
// answer of several messages, some of which a single piece fills. All of it is seen once.
func testLongDeaths(w *world) {
	jane := w.Login("jane")
	var lines, pieces []string
	for n := range 12 {
		lines = append(lines, fmt.Sprintf("This is line %d. ", n)+strings.Repeat("It is long. ", 70))
	}
	for from := 0; from < len(lines); from += 6 { // more at once than a message holds
		pieces = append(pieces, strings.Join(lines[from:from+6], ""))
	}
	whole := strings.TrimSpace(strings.Join(lines, ""))
	w.model.Always(func(a modeltest.Asked) modeltest.Behaviour {
		if a.Begun == "" {
			return modeltest.Behaviour{Pieces: pieces}
		}
		return modeltest.Behaviour{Text: strings.TrimPrefix(whole, a.Begun) + "\n"}
	})
	for n := 1; ; n++ {
		died := true
		for _, after := range []bool{false, true} {
			before := len(said(jane))
			m := &mortal{n: n, after: after}
			w.around = m.around
			w.restart(w.store)
			w.Advance(time.Minute)
			w.tell(jane, "tell me everything")
			w.Must(w.App.Settle(w.Context()))
			_ = w.Queue.Work(w.Context(), w.ledger, w.Clock.Now)
			w.around = nil
			w.restart(w.store)
			w.hour()
			w.redeliver()
			got := said(jane)[before:]
			if text := strings.Join(strings.Fields(strings.Join(got, " ")), " "); text != whole {
				for i := range text {
					if i >= len(whole) || text[i] != whole[i] {
						w.Errorf("from %d on: %.120q", i, text[max(0, i-60):])
						break
					}
				}
				w.Errorf("call %d, after %v: %d messages of %d bytes, want %d bytes", n, after, len(got), len(text), len(whole))
			}
			died = died && m.dead
		}
		if !died {
			break
		}
	}
	w.quiet()
}

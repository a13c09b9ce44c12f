package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	room    = "live"
	command = "group_open_http_svc/send_group_msg"
)

func TestOutbox(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		run  func(*world)
	}{
		{"MostImportantFirst", false, testMostImportantFirst},
		{"OldestFirst", false, testOldestFirst},
		{"AddedTwice", false, testAddedTwice},
		{"RateOverAllProcesses", true, testRate},
		{"AddedWhileHeld", false, testAddedWhileHeld},
		{"FailedPutsOffItselfAlone", false, testPutOff},
		{"RefusedForGood", false, testRefused},
		{"PatienceEnds", false, testPatience},
		{"AnswerLost", false, testAnswerLost},
		{"OutcomeUnknown", false, testUnknown},
		{"RefusedAfterDoubt", false, testRefusedAfterDoubt},
		{"SeenFirst", false, testSeenFirst},
		{"HandlerFails", false, testHandlerFails},
		{"NoTimeLeft", false, testNoTimeLeft},
		{"Invalid", false, testInvalid},
		{"Deaths", true, testDeaths},
		{"LateDeaths", true, testLateDeaths},
		{"ManyAtOnce", true, testManyAtOnce},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			c.run(newWorld(t, store, clock))
		}})
	}
	enginetest.Run(t, tests)
}

// world is a room of the emulated IM and an outbox for it.
type world struct {
	*rulestest.World
	t     *testing.T
	store kv.Store
	*process

	mu    sync.Mutex
	sends []time.Time // when calls began

	// patience is how long a pause waits, in real time, for the call before it to
	// end; not every message makes one.
	patience time.Duration
}

// inOrder has one call end before the next begins.
func (w *world) inOrder() { w.patience = 10 * time.Second }

// deadline is how long a worker may take; a job of one that died is free then.
const deadline = 30 * time.Second

// process is one process of ours.
type process struct {
	ledger *queue.Ledger
	out    *outbox.Outbox
	told   []string // "key state"
	fail   error    // of being told

	ended chan struct{} // calls that are over
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{World: rulestest.New(t, clock, rulestest.Options{Callbacks: []string{}}), t: t, store: store, patience: time.Millisecond}
	w.process = w.another(store)
	owner := w.Login("owner")
	_, err := owner.CreateGroup("AVChatRoom", room, room)
	w.Must(err)
	w.Login("viewer")
	w.enter("viewer")
	return w
}

func (w *world) enter(user string) {
	w.Helper()
	w.Must(w.Login(user).Join(room))
}

// another starts a process over a store, which may be mortal.
func (w *world) another(store kv.Store) *process {
	w.Helper()
	p := &process{ledger: queue.NewLedger(store, w.Queue, w.Clock.Now), ended: make(chan struct{}, 1000)}
	p.out = outbox.New(outbox.Config{Store: store, IM: timed{w, p, w.Client()}, Jobs: p.ledger, Now: w.Clock.Now, Sleep: func(ctx context.Context, d time.Duration) error {
		// By now the call before is over, as it mostly would be. Some messages need none.
		select {
		case <-p.ended:
		case <-time.After(w.patience):
		}
		return w.Sleep(ctx, d)
	}})
	p.out.Handle("test", func(_ context.Context, m outbox.Message, o outbox.Outcome) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if p.fail != nil {
			return p.fail
		}
		p.told = append(p.told, m.Key+" "+string(o.State))
		return nil
	})
	return p
}

// timed notes when calls begin.
type timed struct {
	w *world
	p *process
	*im.Client
}

func (c timed) SendGroupMsg(ctx context.Context, m im.GroupMsg) (im.GroupSent, error) {
	c.w.mu.Lock()
	c.w.sends = append(c.w.sends, c.w.Clock.Now())
	c.w.mu.Unlock()
	defer func() { c.p.ended <- struct{}{} }()
	return c.Client.SendGroupMsg(ctx, m)
}

func message(key string, p im.MsgPriority) outbox.Message {
	return outbox.Message{RoomID: room, Key: key, Priority: p, From: "owner", Body: im.Text(key), Kind: "test"}
}

func (w *world) add(messages ...outbox.Message) {
	w.Helper()
	w.Must(w.out.Add(w.Context(), messages...))
}

func (w *world) drain() {
	w.Helper()
	w.Must(w.out.Drain(w.Context(), room))
}

// shown returns what the viewer saw, in the order of MsgSeq.
func (w *world) shown() []string {
	list := w.App.Seen("viewer")
	slices.SortFunc(list, func(a, b imtest.Message) int { return int(a.Seq) - int(b.Seq) })
	var texts []string
	for _, m := range list {
		texts = append(texts, m.Text())
	}
	return texts
}

func (w *world) wantShown(want ...string) {
	w.Helper()
	if got := w.shown(); !slices.Equal(got, want) {
		w.Errorf("the room saw %q, want %q", got, want)
	}
}

func (w *world) wantState(key string, want outbox.State) outbox.Outcome {
	w.Helper()
	got, err := w.out.Outcome(w.Context(), room, key)
	if err != nil || got.State != want {
		w.Errorf("%s is %q (%v), want %q", key, got.State, err, want)
	}
	return got
}

func (w *world) wantTold(want ...string) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.told, want) {
		w.Errorf("told %q, want %q", w.told, want)
	}
}

// work carries out the jobs that are due.
func (w *world) work(p *process) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), deadline)
	defer cancel()
	w.Must(w.Queue.Work(ctx, p.ledger, w.Clock.Now))
}

// minutes lets the clock tick.
func (w *world) minutes(n int, p *process) {
	w.Helper()
	for range n {
		w.Advance(time.Minute)
		_, err := p.ledger.Sweep(w.Context())
		w.Must(err)
		w.work(p)
	}
}

// lost is so many lost answers that the client gives up.
func lost() []imtest.Fault { return slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 4) }

func testMostImportantFirst(w *world) {
	w.inOrder()
	w.add(message("like", im.Low), message("text", im.Normal), message("gift", im.High))
	w.drain()
	w.wantShown("gift", "text", "like")
	for _, m := range w.App.Seen("viewer") {
		if want := map[string]imtest.Priority{"gift": imtest.High, "text": imtest.Normal, "like": imtest.Low}[m.Text()]; m.Priority != want {
			w.Errorf("%s went out with priority %d", m.Text(), m.Priority)
		}
	}
	sent := w.wantState("gift", outbox.Sent)
	if sent.MsgSeq == 0 || sent.At.IsZero() {
		w.Errorf("%+v", sent)
	}
	slices.Sort(w.told)
	w.wantTold("gift sent", "like sent", "text sent")
}

func testOldestFirst(w *world) {
	w.inOrder()
	for _, key := range []string{"c", "a", "b"} {
		w.add(message(key, im.Normal))
		w.Advance(time.Second)
	}
	w.drain()
	w.wantShown("c", "a", "b")
}

func testAddedTwice(w *world) {
	w.add(message("a", im.High))
	changed := message("a", im.High)
	changed.Body = im.Text("another body")
	w.add(changed)
	w.drain()
	w.Advance(time.Hour)
	w.add(changed)
	w.drain()
	w.wantShown("a")
	w.wantTold("a sent")
	// In another room it is another message.
	w.Must(w.out.Add(w.Context(), outbox.Message{RoomID: "other", Key: "a", From: "owner", Body: im.Text("a")}))
	if o, err := w.out.Outcome(w.Context(), "other", "a"); err != nil || o.State != outbox.Waiting {
		w.Errorf("%+v, %v", o, err)
	}
	if _, err := w.out.Outcome(w.Context(), room, "never added"); !errors.Is(err, kv.ErrNotFound) {
		w.Errorf("%v", err)
	}
}

// testRate: two processes that send one after the other do not send more than 20
// messages in any second together.
func testRate(w *world) {
	w.inOrder()
	other := w.another(w.store)
	for round, p := range []*process{w.process, other, w.process} {
		for n := range 30 {
			w.add(message(fmt.Sprint(round, "/", n), im.Normal))
		}
		w.Must(p.out.Drain(w.Context(), room))
	}
	if n := len(w.shown()); n != 90 {
		w.Errorf("%d messages were shown", n)
	}
	slices.SortFunc(w.sends, time.Time.Compare)
	for i := range w.sends {
		end, _ := slices.BinarySearchFunc(w.sends, w.sends[i].Add(time.Second), time.Time.Compare)
		if end-i > outbox.DefaultPerSecond {
			w.Fatalf("%d sends within a second", end-i)
		}
	}
	if took := w.sends[89].Sub(w.sends[0]); took > 6*time.Second {
		w.Errorf("90 messages took %v", took)
	}
}

// testAddedWhileHeld: a message that is added while another process holds the lease
// is sent by that process, whatever the moment.
func testAddedWhileHeld(w *world) {
	added := 0
	between := kvtest.Hook(w.store, func(method string, call func() error) error {
		err := call()
		if added < 40 {
			added++
			w.add(message(fmt.Sprint("during ", added), im.Normal))
			w.drain() // finds the lease held, or sends it
		}
		return err
	})
	w.add(message("first", im.Normal))
	w.Must(w.another(between).out.Drain(w.Context(), room))
	if n := len(w.shown()); added < 4 || n != 1+added {
		w.Errorf("%d of %d messages were shown", n, 1+added)
	}
}

func testPutOff(w *world) {
	w.inOrder()
	w.App.FailNext(command, imtest.Fault{Code: 60006}) // a configuration error: of no message, and not tried within the call
	w.add(message("a", im.High))
	w.Advance(time.Second)
	w.add(message("b", im.High), message("c", im.Low))
	w.drain()
	w.wantShown("b", "c")
	w.wantState("a", outbox.Waiting)
	w.Advance(2 * time.Second)
	w.work(w.process)
	w.wantShown("b", "c", "a")
	w.Quiet(w.ledger)
}

func testRefused(w *world) {
	w.App.FailNext(command, imtest.Fault{Code: 80001})
	w.add(message("a", im.High))
	w.drain()
	w.wantShown()
	if o := w.wantState("a", outbox.Refused); o.Code != 80001 {
		w.Errorf("%+v", o)
	}
	w.wantTold("a refused")
	w.add(message("a", im.High))
	w.drain()
	w.wantShown() // it has ended
}

func testPatience(w *world) {
	m := message("a", im.High)
	m.Patience = 10 * time.Minute
	w.add(m)
	w.App.Misbehave(imtest.Chaos{Refuse: 1, Code: 60006})
	w.drain()
	w.minutes(9, w.process)
	w.wantState("a", outbox.Waiting)
	w.minutes(3, w.process)
	w.wantState("a", outbox.Refused)
	w.wantTold("a refused")
	w.App.Misbehave(imtest.Chaos{})
	w.minutes(3, w.process)
	w.wantShown()
	w.Quiet(w.ledger)
}

func testAnswerLost(w *world) {
	w.App.FailNext(command, lost()...)
	w.add(message("a", im.High))
	w.drain()
	w.wantState("a", outbox.Waiting)
	w.Advance(2 * time.Second)
	w.work(w.process)
	w.wantState("a", outbox.Sent)
	w.wantShown("a")
	w.wantTold("a sent")
	w.Quiet(w.ledger)
}

// testUnknown: after 90 s nothing is sent again; the after-callback or somebody who
// gives it up decides.
func testUnknown(w *world) {
	for _, key := range []string{"seen", "lost"} {
		w.App.FailNext(command, slices.Repeat([]imtest.Fault{{Status: 502}}, 40)...)
		w.add(message(key, im.High))
		w.drain()
		for range 20 {
			w.Advance(10 * time.Second)
			w.work(w.process)
		}
		w.App.Reset()
	}
	w.wantState("seen", outbox.Unknown)
	if n := w.sendsAfter(once.Window); n > 0 {
		w.Errorf("%d sends came too late", n)
	}
	w.wantTold("seen unknown", "lost unknown")
	for range 2 {
		if o, err := w.out.Seen(w.Context(), room, "seen", 7); err != nil || o.State != outbox.Sent || o.MsgSeq != 7 {
			w.Errorf("%+v, %v", o, err)
		}
		if o, err := w.out.GiveUp(w.Context(), room, "lost"); err != nil || o.State != outbox.Lost {
			w.Errorf("%+v, %v", o, err)
		}
	}
	if o, err := w.out.GiveUp(w.Context(), room, "seen"); err != nil || o.State != outbox.Sent {
		w.Errorf("given up although it was seen: %+v, %v", o, err)
	}
	if o, err := w.out.Seen(w.Context(), room, "lost", 8); err != nil || o.State != outbox.Lost {
		w.Errorf("seen after it was given up: %+v, %v", o, err)
	}
	w.Quiet(w.ledger)
}

// sendsAfter counts calls longer than d after the first of their message; there is
// one message at a time, over a minute apart.
func (w *world) sendsAfter(d time.Duration) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.sends[0]
	for i, at := range w.sends {
		if i > 0 && at.Sub(w.sends[i-1]) > time.Minute {
			first = at
		}
		if at.Sub(first) >= d {
			n++
		}
	}
	return n
}

// testRefusedAfterDoubt: a refusal proves nothing where an earlier answer was lost.
func testRefusedAfterDoubt(w *world) {
	w.App.FailNext(command, append(lost(), imtest.Fault{Code: 10004})...)
	w.add(message("a", im.High))
	w.drain()
	w.Advance(2 * time.Second)
	w.work(w.process)
	w.wantState("a", outbox.Unknown)
	w.wantShown("a")
	w.wantTold("a unknown")
}

// testSeenFirst: the after-callback comes before the answer to the send, or while
// it is put off. Then it is not sent again.
func testSeenFirst(w *world) {
	w.App.FailNext(command, lost()...)
	w.add(message("a", im.High))
	w.drain()
	_, err := w.out.Seen(w.Context(), room, "a", 1)
	w.Must(err)
	calls := len(w.sends)
	w.Advance(2 * time.Second)
	w.work(w.process)
	if len(w.sends) != calls {
		w.Error("sent again although IM had told of it")
	}
	w.wantState("a", outbox.Sent)
	w.wantTold("a sent")
	w.Quiet(w.ledger)
}

func testHandlerFails(w *world) {
	w.fail = errors.New("the wallet is away")
	w.add(message("a", im.High))
	w.drain()
	w.wantTold()
	w.wantShown("a")
	w.fail = nil
	w.Advance(2 * time.Second)
	w.work(w.process)
	w.wantTold("a sent")
	w.wantShown("a")
	w.Quiet(w.ledger)
}

// testNoTimeLeft: what a worker does not come to is done by a job.
func testNoTimeLeft(w *world) {
	w.add(message("a", im.High))
	ctx, cancel := context.WithTimeout(w.Context(), time.Second)
	defer cancel()
	w.Must(w.out.Drain(ctx, room))
	w.wantShown()
	w.work(w.process)
	w.wantShown("a")
	over, cancel := context.WithCancel(w.Context())
	cancel()
	w.add(message("b", im.High))
	if err := w.out.Drain(over, room); !errors.Is(err, context.Canceled) {
		w.Errorf("%v", err)
	}
}

func testInvalid(w *world) {
	for name, change := range map[string]func(*outbox.Message){
		"no room":      func(m *outbox.Message) { m.RoomID = "" },
		"no key":       func(m *outbox.Message) { m.Key = "" },
		"a long key":   func(m *outbox.Message) { m.Key = strings.Repeat("k", outbox.MaxKey+1) },
		"a NUL":        func(m *outbox.Message) { m.Key = "a\x00" },
		"no sender":    func(m *outbox.Message) { m.From = "" },
		"no body":      func(m *outbox.Message) { m.Body = nil },
		"bad priority": func(m *outbox.Message) { m.Priority = "Urgent" },
		"no JSON":      func(m *outbox.Message) { m.Body = im.MsgBody{{MsgType: "TIMTextElem", MsgContent: []byte("{")}} },
	} {
		m := message("a", im.High)
		change(&m)
		if err := w.out.Send(w.Context(), m); !errors.Is(err, outbox.ErrInvalid) {
			w.Errorf("%s: %v", name, err)
		}
	}
	w.work(w.process)
	w.wantShown()
}

// testDeaths: the process dies at any commit, and somebody writes in the room soon
// afterwards. Each message is shown once.
func testDeaths(w *world) {
	w.eachDeath(func(w *world, next *process, name string) {
		w.Must(next.out.Send(w.Context(), message(name+"/next", im.High)))
		w.work(next)
		w.Advance(20 * time.Second)
		w.work(next)
	}, outbox.Sent)
}

// testLateDeaths: nobody writes in the room until IM has forgotten the numbers. Then
// a message may be lost, and none is shown twice.
func testLateDeaths(w *world) {
	w.eachDeath(func(w *world, next *process, name string) { w.Advance(10 * time.Minute) }, outbox.Unknown)
}

func (w *world) eachDeath(meanwhile func(w *world, next *process, name string), may outbox.State) {
	enginetest.EachDeath(w.t, w.store, func(t *testing.T, name string, mortal kv.Store) {
		messages := []outbox.Message{message(name+"/1", im.High), message(name+"/2", im.Normal)}
		dying := w.another(mortal)
		_ = dying.out.Send(w.Context(), messages...)
		ctx, cancel := context.WithTimeout(w.Context(), deadline)
		defer cancel()
		for range 3 {
			_ = w.Queue.Work(ctx, dying.ledger, w.Clock.Now)
		}
		next := w.another(w.store)
		meanwhile(w, next, name)
		w.Must(next.out.Send(w.Context(), messages...)) // who was not answered asks again
		for _, pause := range []time.Duration{0, 10 * time.Minute, 24 * time.Hour} {
			w.Advance(pause)
			w.Redeliver(next.ledger)
			w.minutes(4, next)
			shown := w.shown()
			for _, m := range messages {
				n := 0
				for _, text := range shown {
					if text == m.Key {
						n++
					}
				}
				o, err := next.out.Outcome(w.Context(), room, m.Key)
				if err != nil || o.State != outbox.Sent && o.State != may || n > 1 || n == 0 && o.State == outbox.Sent {
					t.Errorf("%s is %s (%v), and was shown %d times", m.Key, o.State, err, n)
				}
			}
		}
		w.Quiet(next.ledger)
	})
}

// testManyAtOnce: many processes add and drain at once; each message is shown once.
func testManyAtOnce(w *world) {
	const processes, each = 8, 20
	var all sync.WaitGroup
	for n := range processes {
		p := w.another(w.store)
		all.Go(func() {
			for m := range each {
				key := fmt.Sprintf("%d", (n+m*7)%(processes*each/2)) // every key is added by several
				if err := p.out.Add(w.Context(), message(key, im.Normal)); err != nil {
					w.Error(err)
				}
				if err := p.out.Drain(w.Context(), room); err != nil {
					w.Error(err)
				}
			}
		})
	}
	all.Wait()
	w.drain()
	counts := map[string]int{}
	for _, text := range w.shown() {
		counts[text]++
	}
	for key, n := range counts {
		if n != 1 {
			w.Errorf("%s was shown %d times", key, n)
		}
	}
	for n := range processes {
		for m := range each {
			if key := fmt.Sprintf("%d", (n+m*7)%(processes*each/2)); counts[key] == 0 {
				w.Errorf("%s was never shown", key)
			}
		}
	}
}

package once_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
)

const (
	appID = 1400000003
	key   = "a key for these tests alone"
)

// errDied is what a process panics with that dies between two lines.
var errDied = errors.New("died")

// world is an emulated IM, a store, and processes that may die. All share one
// clock, which stands still.
type world struct {
	*testing.T
	clock *imtest.Clock
	app   *imtest.App
	store *flaky
	web   string

	mu sync.Mutex
	// before and after run around a request to IM.
	before, after func(command string)
}

func newWorld(t *testing.T, change ...func(*imtest.AppConfig)) *world {
	t.Helper()
	// boltkv's clock must not be far from the time its file says, so this is now.
	w := &world{T: t, clock: imtest.NewManualClock(time.Now().Truncate(time.Second))}
	emulator := imtest.NewServer(imtest.Options{Clock: w.clock, Seed: 1})
	web := httptest.NewServer(emulator)
	t.Cleanup(func() {
		emulator.Close()
		web.Close()
	})
	w.web = web.URL
	conf := imtest.AppConfig{SDKAppID: appID, Key: key}
	for _, c := range change {
		c(&conf)
	}
	w.app = emulator.AddApp(conf)
	bolt, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bolt.Close() })
	w.store = &flaky{Store: bolt}

	c := w.client()
	ctx := context.Background()
	if _, err := c.ImportAccounts(ctx, []im.Account{{UserID: "alice"}, {UserID: "bob"}}); err != nil {
		t.Fatal(err)
	}
	for kind, id := range map[im.GroupType]string{im.Public: "team", im.AVRoom: "live"} {
		if _, err := c.CreateGroup(ctx, im.NewGroup{Type: kind, GroupID: id, Name: id, Owner: "bob"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.AddGroupMembers(ctx, "team", []string{"alice"}, false); err != nil {
		t.Fatal(err)
	}
	w.enter("alice")
	return w
}

// enter logs a user in and lets it into the room.
func (w *world) enter(userID string) {
	w.Helper()
	signer, err := usersig.NewSignerAt(appID, key, w.clock.Now)
	if err != nil {
		w.Fatal(err)
	}
	sig, err := signer.Sign(userID, time.Hour)
	if err != nil {
		w.Fatal(err)
	}
	c, err := w.app.Login(userID, sig, imtest.Device{})
	if err == nil {
		err = c.Join("live")
	}
	if err != nil {
		w.Fatal(err)
	}
}

// RoundTrip carries a request to IM, unless the process dies.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	before, after := w.before, w.after
	w.mu.Unlock()
	command := strings.TrimPrefix(req.URL.Path, "/v4/")
	if before != nil {
		before(command)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if after != nil {
		after(command)
	}
	return resp, err
}

func (w *world) around(before, after func(command string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = before, after
}

func (w *world) client() *im.Client { return w.clientOf(1) }

// clientOf is a client with a share of the allowances.
func (w *world) clientOf(share float64) *im.Client {
	w.Helper()
	c, err := im.NewClient(im.Config{
		Share: share, Domain: w.web, SDKAppID: appID, Key: key, Admin: "administrator", Transport: w, Now: w.clock.Now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.clock.Advance(d)
			return ctx.Err()
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// process is a Sender of a process of its own.
func (w *world) process() *once.Sender { return once.New(w.store, w.client(), w.clock.Now) }

// flaky is a store that loses the answers of its next Commits, or their requests,
// or has its process die.
type flaky struct {
	kv.Store
	mu       sync.Mutex
	commits  int
	onCommit func(n int, commit func() error) error
}

func (f *flaky) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	commit := func() error { return f.Store.Commit(ctx, partition, op, writes...) }
	f.mu.Lock()
	f.commits++
	n, hook := f.commits, f.onCommit
	f.mu.Unlock()
	if hook == nil {
		return commit()
	}
	return hook(n, commit)
}

// hook sets what happens at the Commits from now on, counted from 1.
func (f *flaky) hook(h func(n int, commit func() error) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits, f.onCommit = 0, h
}

// trial is one way to send a message with a text, and what its answer names.
type trial struct {
	name    string
	command string
	history bool
	send    func(ctx context.Context, s *once.Sender, event, text string) (key any, err error)
	// keyOf is what an answer names of a message that was seen.
	keyOf func(imtest.Message) any
}

var trials = []trial{
	{
		name: "one-to-one", command: "openim/sendmsg", history: true,
		send: func(ctx context.Context, s *once.Sender, event, text string) (any, error) {
			sent, err := s.C2C(ctx, event, im.C2CMsg{From: "bob", To: "alice", Body: im.Text(text), NotToSender: true})
			return sent.MsgKey, err
		},
		keyOf: func(m imtest.Message) any { return m.Key },
	},
	{
		name: "group", command: "group_open_http_svc/send_group_msg", history: true,
		send: func(ctx context.Context, s *once.Sender, event, text string) (any, error) {
			sent, err := s.Group(ctx, event, im.GroupMsg{GroupID: "team", From: "bob", Body: im.Text(text)})
			return sent.MsgSeq, err
		},
		keyOf: func(m imtest.Message) any { return m.Seq },
	},
	{
		name: "room", command: "group_open_http_svc/send_group_msg",
		send: func(ctx context.Context, s *once.Sender, event, text string) (any, error) {
			sent, err := s.Group(ctx, event, im.GroupMsg{GroupID: "live", From: "bob", Body: im.Text(text)})
			return sent.MsgSeq, err
		},
		keyOf: func(m imtest.Message) any { return m.Seq },
	},
}

// try sends in a process that may die while doing so.
func (w *world) try(tr trial, event, text string) (key any, err error) {
	w.Helper()
	defer func() {
		switch p := recover(); p {
		case nil:
		case errDied:
			err = errDied
		default:
			panic(p)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return tr.send(ctx, w.process(), event, text)
}

// seen returns what alice saw with a text.
func (w *world) seen(text string) []imtest.Message {
	var list []imtest.Message
	for _, m := range w.app.Seen("alice") {
		if m.Text() == text {
			list = append(list, m)
		}
	}
	return list
}

// delays are when a redelivery comes: at once, within the window, after it, and
// long after IM forgot.
var delays = []time.Duration{0, time.Minute, 100 * time.Second, 10 * time.Minute}

// Whatever a process dies of, a redelivery brings the message exactly once; to a
// room, which has no history, at most once.
func TestProcessesDie(t *testing.T) {
	die := func() { panic(errDied) }
	for _, point := range []struct {
		name string
		kill func(w *world, command string)
		sent bool // the message went out before
		safe bool // before the send was recorded: nothing happened
	}{
		{name: "before it is recorded", safe: true, kill: func(w *world, _ string) {
			w.store.hook(func(int, func() error) error {
				die()
				return nil
			})
		}},
		{name: "after it is recorded", kill: func(w *world, _ string) {
			w.store.hook(func(_ int, commit func() error) error {
				_ = commit()
				die()
				return nil
			})
		}},
		{name: "before it is sent", kill: func(w *world, command string) {
			w.around(func(c string) {
				if c == command {
					die()
				}
			}, nil)
		}},
		{name: "after it is sent", sent: true, kill: func(w *world, command string) {
			w.around(nil, func(c string) {
				if c == command {
					die()
				}
			})
		}},
		{name: "before the answer is recorded", sent: true, kill: func(w *world, _ string) {
			w.store.hook(func(n int, commit func() error) error {
				if n == 2 {
					die()
				}
				return commit()
			})
		}},
	} {
		t.Run(point.name, func(t *testing.T) {
			w := newWorld(t)
			for _, tr := range trials {
				for _, delay := range delays {
					text := fmt.Sprint(tr.name, " ", delay)
					point.kill(w, tr.command)
					if _, err := w.try(tr, text, text); !errors.Is(err, errDied) {
						t.Fatalf("%s: it lives: %v", text, err)
					}
					w.store.hook(nil)
					w.around(nil, nil)
					if n := len(w.seen(text)); n > 0 != point.sent {
						t.Fatalf("%s: seen %d times before", text, n)
					}
					w.clock.Advance(delay)
					w.enter("alice") // who has been away that long

					key, err := w.try(tr, text, text)
					seen := w.seen(text)
					if !tr.history && delay > once.Window && !point.safe {
						if !errors.Is(err, once.ErrUnknown) || len(seen) > 0 != point.sent {
							t.Errorf("%s: %v, seen %d times", text, err, len(seen))
						}
						continue
					}
					if err != nil || len(seen) != 1 || tr.keyOf(seen[0]) != key {
						t.Errorf("%s: %v, %v, seen %+v", text, key, err, seen)
					}
					if again, err := w.try(tr, text, "another text"); again != key || err != nil || len(w.seen(text)) != 1 {
						t.Errorf("%s, once more: %v, %v", text, again, err)
					}
				}
			}
			if n := len(w.seen("another text")); n > 0 {
				t.Errorf("a repeat's own text was seen %d times", n)
			}
		})
	}
}

// All answers are lost, and IM may even refuse the repeat.
func TestAnswersAreLost(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.DuplicateFails = refuses })
		lost := imtest.Fault{LoseAnswer: true}
		faults := []imtest.Fault{lost, lost, lost, lost}
		if refuses {
			faults = faults[:1]
		}
		for _, tr := range trials {
			for _, delay := range delays {
				text := fmt.Sprint(tr.name, " ", delay)
				w.app.FailNext(tr.command, faults...)
				_, err := w.try(tr, text, text)
				switch {
				case refuses && tr.history: // the repeat was refused, and the history knew why
					if err != nil {
						t.Errorf("%s: %v", text, err)
					}
				case !im.MayHaveWorked(err):
					t.Errorf("%s: %v", text, err)
				}
				w.clock.Advance(delay)
				w.enter("alice")

				key, err := w.try(tr, text, text)
				seen := w.seen(text)
				unknowable := !tr.history && (delay > once.Window || refuses)
				if len(seen) != 1 || (err == nil) == unknowable {
					t.Errorf("%s: %v, seen %d times", text, err, len(seen))
				}
				if err == nil && tr.keyOf(seen[0]) != key {
					t.Errorf("%s: the answer names %v, seen was %+v", text, key, seen[0])
				}
			}
		}
		w.counted(refuses)
	}
}

// counted checks the counters of TestAnswersAreLost.
func (w *world) counted(refuses bool) {
	w.Helper()
	got, err := w.process().Counts(context.Background())
	want := once.Counts{Found: 4, Unknown: 2} // the two later delays of each
	if refuses {
		want = once.Counts{Found: 8, Unknown: 2} // every repeat was refused
	}
	if err != nil || got != want {
		w.Errorf("counts %+v, %v, want %+v", got, err, want)
	}
}

// What IM refused was not sent: when the reason is gone, it is sent after all, to
// a room too, and however late.
func TestRefusedIsNotUnknown(t *testing.T) {
	w := newWorld(t)
	tr := trials[2]
	mute := func(on bool) {
		if err := w.client().ModifyGroup(context.Background(), "live", im.GroupChange{MuteAll: &on}); err != nil {
			t.Fatal(err)
		}
	}
	w.app.FailNext(tr.command, imtest.Fault{Code: 10017})
	if _, err := w.try(tr, "e", "hello"); !errors.Is(err, im.CodeGroupMuted) {
		t.Fatal(err)
	}
	w.nothingKept("hello")
	mute(false)
	w.clock.Advance(10 * time.Minute)
	w.enter("alice")
	if _, err := w.try(tr, "e", "hello"); err != nil || len(w.seen("hello")) != 1 {
		t.Errorf("%v, seen %d times", err, len(w.seen("hello")))
	}
}

// A turn that comes too late is no attempt.
func TestNoTurnIsNoAttempt(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	s := once.New(w.store, c, w.clock.Now)
	ctx := context.Background()
	for i := range uint32(40) {
		if _, err := c.SendGroupMsg(ctx, im.GroupMsg{GroupID: "live", From: "bob", Random: i + 1, Body: im.Text("noise")}); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	m := im.GroupMsg{GroupID: "live", From: "bob", Body: im.Text("hello")}
	if _, err := s.Group(short, "e", m); !errors.Is(err, im.ClassThrottled) {
		t.Fatal(err)
	}
	w.nothingKept("hello")
	w.clock.Advance(time.Hour)
	w.enter("alice")
	if _, err := s.Group(ctx, "e", m); err != nil || len(w.seen("hello")) != 1 {
		t.Errorf("%v, seen %d times", err, len(w.seen("hello")))
	}
}

// That a repeat was not let through, or refused, says nothing of the attempt
// before, which had worked.
func TestRefusedRepeatLeavesTheFirstInDoubt(t *testing.T) {
	fast := imtest.Fault{Code: 60007}
	for name, faults := range map[string][]imtest.Fault{
		"too fast": {fast, fast, fast, fast},
		"muted":    {{Code: 10017}},
	} {
		for _, tr := range trials {
			w := newWorld(t)
			w.around(nil, func(c string) {
				if c == tr.command {
					panic(errDied)
				}
			})
			if _, err := w.try(tr, "e", "hello"); !errors.Is(err, errDied) {
				t.Fatal(err)
			}
			w.around(nil, nil)
			w.app.FailNext(tr.command, faults...)
			if _, err := w.try(tr, "e", "hello"); (err == nil) != (tr.history && name == "muted") {
				t.Errorf("%s, %s: the repeat: %v", tr.name, name, err)
			}
			w.clock.Advance(10 * time.Minute)
			w.enter("alice")
			_, err := w.try(tr, "e", "hello")
			if n := len(w.seen("hello")); n != 1 || (err == nil) != tr.history {
				t.Errorf("%s, %s: %v, seen %d times", tr.name, name, err, n)
			}
		}
	}
}

// Two at once: one finds that nothing of its own went out, while the other's
// answer is lost. The second is not forgotten over the first.
func TestForgettingLeavesOthersAlone(t *testing.T) {
	w := newWorld(t)
	tr := trials[0]
	w.around(func(c string) {
		if c != tr.command {
			return
		}
		w.around(nil, nil)
		// While the first is on its way, a second comes and loses its answer.
		lost := imtest.Fault{LoseAnswer: true}
		w.app.FailNext(tr.command, lost, lost, lost, lost, imtest.Fault{Code: 90001})
		if _, err := w.try(tr, "e", "hello"); !im.MayHaveWorked(err) {
			t.Error("the second:", err)
		}
	}, nil)
	if _, err := w.try(tr, "e", "hello"); !errors.Is(err, im.ClassRequest) || im.MayHaveWorked(err) {
		t.Fatal("the first:", err)
	}
	w.clock.Advance(10 * time.Minute)
	w.enter("alice")
	if _, err := w.try(tr, "e", "hello"); err != nil || len(w.seen("hello")) != 1 {
		t.Errorf("%v, seen %d times", err, len(w.seen("hello")))
	}
}

// A turn that comes when a repeat might have looked for the message already, in
// vain, is not waited for, though there is time.
func TestNothingLeavesLate(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	s := once.New(w.store, w.clientOf(0.01), w.clock.Now) // a broadcast every 100 s
	send := func(event string) error {
		_, err := s.Broadcast(ctx, event, im.BroadcastMsg{From: "bob", Body: im.Text(event)})
		return err
	}
	if err := send("first"); err != nil {
		t.Fatal(err)
	}
	if err := send("second"); !errors.Is(err, im.ClassThrottled) {
		t.Error(err)
	}
	w.clock.Advance(20 * time.Second)
	if err := send("second"); err != nil {
		t.Error(err)
	}
}

// The record of a message that is out has no text.
func TestTextsAreNotKept(t *testing.T) {
	w := newWorld(t)
	for _, tr := range trials {
		if _, err := w.try(tr, tr.name, "private "+tr.name); err != nil {
			t.Fatal(err)
		}
	}
	w.nothingKept("private")
}

func (w *world) nothingKept(text string) {
	w.Helper()
	for shard := range 16 {
		page, err := w.store.List(context.Background(), fmt.Sprintf("sends/%02d", shard), kv.Range{})
		if err != nil {
			w.Fatal(err)
		}
		for _, item := range page.Items {
			if strings.Contains(string(item.Value), text) {
				w.Errorf("%s is %s", item.Key, item.Value)
			}
		}
	}
}

// A repeat sends the bytes of the first attempt.
func TestRepeatsAreTheSameBytes(t *testing.T) {
	w := newWorld(t)
	s := w.process()
	m := im.C2CMsg{
		From: "bob", To: "alice", Body: append(im.Text("<b>&amp;\u2028"), im.Custom(`{"x": "<>"}`, "", "e")...), CloudCustomData: "<c>",
		Push: &im.OfflinePushInfo{Title: "<t>"}, AfterCallback: true, LifeTime: time.Hour, Control: []im.SendMsgControl{im.NoUnread},
	}
	w.app.FailNext("openim/sendmsg", imtest.Fault{Code: 60008}, imtest.Fault{LoseAnswer: true}, imtest.Fault{LoseAnswer: true}, imtest.Fault{LoseAnswer: true})
	if _, err := s.C2C(context.Background(), "e", m); !im.MayHaveWorked(err) {
		t.Fatal(err)
	}
	if _, err := s.C2C(context.Background(), "e", im.C2CMsg{From: "bob", To: "alice", Body: im.Text("another")}); err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, call := range w.app.Calls() {
		if call.Command == "openim/sendmsg" {
			bodies = append(bodies, call.Body)
		}
	}
	if len(bodies) < 2 {
		t.Fatalf("%d calls", len(bodies))
	}
	for _, b := range bodies[1:] {
		if b != bodies[0] {
			t.Errorf("sent\n%s, then\n%s", bodies[0], b)
		}
	}
}

// The store fails: before the send nothing goes out, after it nothing is lost.
func TestStoreFails(t *testing.T) {
	w := newWorld(t)
	tr := trials[1]
	down := func(int, func() error) error { return kv.ErrUnavailable }
	w.store.hook(down)
	if _, err := w.try(tr, "a", "first"); !errors.Is(err, kv.ErrUnavailable) || len(w.seen("first")) != 0 {
		t.Errorf("%v, seen %d times", err, len(w.seen("first")))
	}
	w.store.hook(func(n int, commit func() error) error {
		if n == 1 {
			return commit()
		}
		return kv.ErrUnavailable
	})
	key, err := w.try(tr, "b", "second")
	if err != nil || len(w.seen("second")) != 1 {
		t.Errorf("%v, seen %d times", err, len(w.seen("second")))
	}
	w.store.hook(func(n int, commit func() error) error { // every first answer is lost
		err := commit()
		if n%2 == 1 {
			return kv.ErrUnavailable
		}
		return err
	})
	if _, err := w.try(tr, "c", "third"); err != nil || len(w.seen("third")) != 1 {
		t.Errorf("%v, seen %d times", err, len(w.seen("third")))
	}
	w.clock.Advance(10 * time.Minute)
	again, err := w.try(tr, "b", "second")
	if err != nil || again != key || len(w.seen("second")) != 1 {
		t.Errorf("%v, %v, seen %d times", again, err, len(w.seen("second")))
	}
	if counts, err := w.process().Counts(context.Background()); err != nil || counts != (once.Counts{Found: 1}) {
		t.Errorf("%+v, %v", counts, err)
	}
}

// What leaves no history, or too much of it, is not sent again.
func TestWhatCannotBeKnown(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.RoomRate = -1 })
	ctx := context.Background()
	for name, send := range map[string]func(s *once.Sender, event string) error{
		"openim/sendmsg": func(s *once.Sender, event string) error {
			_, err := s.C2C(ctx, event, im.C2CMsg{From: "bob", To: "alice", Body: im.Text(event), OnlineOnly: true})
			return err
		},
		"group_open_http_svc/send_group_msg": func(s *once.Sender, event string) error {
			_, err := s.Group(ctx, event, im.GroupMsg{GroupID: "team", From: "bob", Body: im.Text(event), To: []string{"alice"}})
			return err
		},
		"group_open_http_svc/send_broadcast_msg": func(s *once.Sender, event string) error {
			_, err := s.Broadcast(ctx, event, im.BroadcastMsg{From: "bob", Body: im.Text(event)})
			return err
		},
	} {
		lost := imtest.Fault{LoseAnswer: true}
		w.app.FailNext(name, lost, lost, lost, lost)
		if err := send(w.process(), name); !im.MayHaveWorked(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err := send(w.process(), name+" again"); err != nil {
			t.Errorf("%s again: %v", name, err)
		}
		w.clock.Advance(10 * time.Minute)
		w.enter("alice")
		for range 2 {
			if err := send(w.process(), name); !errors.Is(err, once.ErrUnknown) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}

	tr := trials[1]
	w.around(nil, func(c string) {
		if c == tr.command {
			panic(errDied)
		}
	})
	_, _ = w.try(tr, "e", "buried")
	w.around(nil, nil)
	c := w.client()
	for i := range uint32(1001) {
		if _, err := c.SendGroupMsg(ctx, im.GroupMsg{GroupID: "team", From: "alice", Random: i + 1, Body: im.Text("noise")}); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.Advance(2 * time.Minute)
	if _, err := w.try(tr, "e", "buried"); !errors.Is(err, once.ErrUnknown) || len(w.seen("buried")) != 1 {
		t.Errorf("%v, seen %d times", err, len(w.seen("buried")))
	}
}

func TestEventsThatWillNotDo(t *testing.T) {
	w := newWorld(t)
	s := w.process()
	ctx := context.Background()
	for _, event := range []string{"", strings.Repeat("x", 401)} {
		if _, err := s.C2C(ctx, event, im.C2CMsg{From: "bob", To: "alice", Body: im.Text("x")}); !errors.Is(err, once.ErrInvalid) {
			t.Error(err)
		}
	}
	if _, err := s.Group(ctx, "e", im.GroupMsg{GroupID: "team", Body: im.Text("x")}); !errors.Is(err, once.ErrInvalid) {
		t.Error(err)
	}
	if _, err := s.Group(ctx, "e", im.GroupMsg{GroupID: "team", From: "bob"}); !errors.Is(err, im.ClassRequest) {
		t.Error(err)
	}
	if n := len(w.seen("x")); n > 0 {
		t.Errorf("seen %d times", n)
	}
}

// A send is remembered for a week.
func TestRecordsExpire(t *testing.T) {
	w := newWorld(t)
	tr := trials[0]
	for _, c := range []struct {
		wait time.Duration
		seen int
	}{{0, 1}, {once.Kept - time.Minute, 1}, {2 * time.Minute, 2}} {
		w.clock.Advance(c.wait)
		w.enter("alice")
		if _, err := w.try(tr, "e", "hello"); err != nil || len(w.seen("hello")) != c.seen {
			t.Errorf("after %v: %v, seen %d times", c.wait, err, len(w.seen("hello")))
		}
	}
}

// Many at once, while answers get lost: each message is seen once.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	w.app.Misbehave(imtest.Chaos{LoseAnswer: 0.3, Refuse: 0.1})
	for _, tr := range trials[:2] {
		for i := range 5 {
			event := fmt.Sprint(tr.name, i)
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					for range 20 {
						if _, err := w.try(tr, event, event); err == nil {
							return
						}
					}
					t.Error(event, "never worked")
				})
			}
			wg.Wait()
			if n := len(w.seen(event)); n != 1 {
				t.Errorf("%s was seen %d times", event, n)
			}
		}
	}
}

// Any mixture of deaths, lost answers, refusals and delays: what has a history is
// seen exactly once, a room's message at most once.
func TestAnyMixture(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(7, 7))
	chance := func(p float64) bool { return rng.Float64() < p }
	for i := range 60 {
		tr := trials[i%len(trials)]
		event := fmt.Sprintf("%s %d", tr.name, i)
		var key any
		var err error
		steps := 0
		for err = errDied; err != nil && !errors.Is(err, once.ErrUnknown); steps++ {
			calm := steps > 12
			w.app.Misbehave(imtest.Chaos{})
			if !calm {
				w.app.Misbehave(imtest.Chaos{LoseAnswer: 0.4, Refuse: 0.3})
			}
			die := func(p float64) {
				if !calm && chance(p) {
					panic(errDied)
				}
			}
			w.around(func(string) { die(0.2) }, func(string) { die(0.2) })
			w.store.hook(func(_ int, commit func() error) error {
				die(0.1)
				err := commit()
				die(0.1)
				if !calm && chance(0.2) {
					return kv.ErrUnavailable
				}
				return err
			})
			key, err = w.try(tr, event, event)
			if len(w.seen(event)) > 1 {
				t.Fatalf("%s was seen twice, after %d steps", event, steps)
			}
			w.clock.Advance(time.Duration(rng.IntN(150)) * time.Second)
			if steps > 40 {
				t.Fatalf("%s does not end: %v", event, err)
			}
		}
		w.around(nil, nil)
		w.store.hook(nil)
		w.app.Misbehave(imtest.Chaos{})
		w.enter("alice")
		seen := w.seen(event)
		switch {
		case tr.history && (err != nil || len(seen) != 1 || tr.keyOf(seen[0]) != key):
			t.Errorf("%s: %v, seen %d times", event, err, len(seen))
		case err == nil && len(seen) != 1:
			t.Errorf("%s: sent, and seen %d times", event, len(seen))
		}
	}
}

package moderation_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/moderation"
)

// world is an emulated IM that asks a filter, with jane and joe in a room.
type world struct {
	*testing.T
	app       *imtest.App
	chat      *im.Client
	jane, joe *imtest.Client
}

const (
	appID = 1400000002
	key   = "a key for these tests alone"
)

func newWorld(t *testing.T, c moderation.Config, change func(*imtest.AppConfig)) *world {
	t.Helper()
	w := &world{T: t}
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	rest := httptest.NewServer(emulator)
	t.Cleanup(rest.Close)
	var err error
	w.chat, err = im.NewClient(im.Config{Domain: rest.URL, SDKAppID: appID, Key: key, Admin: "administrator"})
	w.must(err)
	c.Lists = moderation.Fixed(compiled())
	mux := callback.NewMux()
	moderation.New(c).Register(mux)
	moderation.NewNames(c.Lists, w.chat).Register(mux)
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: appID, Token: "token", Mux: mux})
	w.must(err)
	filter := httptest.NewServer(endpoint)
	t.Cleanup(filter.Close)
	conf := imtest.AppConfig{SDKAppID: appID, Key: key, CallbackURL: filter.URL, CallbackToken: "token", RatePerAPI: -1}
	if change != nil {
		change(&conf)
	}
	w.app = emulator.AddApp(conf)
	w.jane, w.joe = w.login("jane"), w.login("joe")
	_, err = w.jane.CreateGroup("Public", "room", "room")
	w.must(err)
	_, err = w.chat.AddGroupMembers(t.Context(), "room", []string{"joe"}, true)
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) login(userID string) *imtest.Client {
	w.Helper()
	w.must(w.chat.ImportAccount(w.Context(), im.Account{UserID: userID}))
	signer, err := usersig.NewSigner(appID, key)
	w.must(err)
	sig, err := signer.Sign(userID, time.Hour)
	w.must(err)
	c, err := w.app.Login(userID, sig, imtest.Device{})
	w.must(err)
	return c
}

// received returns the texts that joe got.
func (w *world) received() []string {
	var texts []string
	for _, m := range w.joe.Received() {
		texts = append(texts, m.Text())
	}
	return texts
}

// code returns IM's code of an error; 0 for none.
func code(err error) int {
	if err == nil {
		return 0
	}
	if e, is := errors.AsType[*imtest.Error](err); is {
		return e.Code
	}
	return -1
}

// TestAsOthersSeeIt: a refused sender gets the code, one whose message was
// dropped believes it was sent, and a masked message reaches the others masked.
func TestAsOthersSeeIt(t *testing.T) {
	for _, custom := range []bool{false, true} {
		conf, c2c, group := moderation.Config{}, 20006, 10016
		if custom {
			conf.C2CCode, conf.GroupCode, c2c, group = 120042, 10142, 120042, 10142
		}
		w := newWorld(t, conf, nil)
		for _, tt := range []struct {
			text     string
			refused  bool
			received string
		}{
			{"good evening", false, "good evening"},
			{"to the casino", true, ""},
			{"buy followers", false, ""},
			{"damn it", false, "**** it"},
			{"a rumour", false, "a rumour"},
		} {
			before := len(w.received())
			_, err := w.jane.Send("room", imtest.Draft{Text: tt.text})
			if got := code(err); tt.refused && got != group || !tt.refused && got != 0 {
				t.Errorf("room, %q: the sender sees %v", tt.text, err)
			}
			_, err = w.jane.SendTo("joe", imtest.Draft{Text: tt.text})
			if got := code(err); tt.refused && got != c2c || !tt.refused && got != 0 {
				t.Errorf("joe, %q: the sender sees %v", tt.text, err)
			}
			want := []string{tt.received, tt.received}
			if tt.received == "" {
				want = nil
			}
			if got := w.received()[before:]; !slices.Equal(got, want) {
				t.Errorf("%q: joe received %q, want %q", tt.text, got, want)
			}
		}
		if _, err := w.jane.CreateGroup("Public", "", "casino friends"); code(err) != group {
			t.Errorf("a group of that name: %v", err)
		}
	}
}

// away is a checker that fails in the way a test wants.
type away func(ctx context.Context) error

func (f away) Check(ctx context.Context, _ moderation.Text) (moderation.Opinion, string, error) {
	return moderation.Block, "label", f(ctx)
}

// TestCheckerInTrouble: hung, failing or slow, the message is decided within
// IM's patience, by the word list, or refused where the setting wants that.
func TestCheckerInTrouble(t *testing.T) {
	for name, f := range map[string]away{
		"hung":    func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"failing": func(context.Context) error { return errors.New("away") },
	} {
		for _, closed := range []bool{false, true} {
			w := newWorld(t, moderation.Config{Checker: f, CheckerClosed: closed}, nil)
			_, err := w.jane.SendTo("joe", imtest.Draft{Text: "hello"})
			if refused := code(err) == 20006; refused != closed {
				t.Errorf("%s, closed %v: the sender sees %v", name, closed, err)
			}
			for _, c := range w.app.Callbacks() {
				if c.Failed {
					t.Errorf("%s, closed %v: IM had no answer to %s", name, closed, c.Command)
				}
			}
		}
	}
	slow := away(func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil })
	w := newWorld(t, moderation.Config{Checker: slow}, nil)
	if _, err := w.jane.SendTo("joe", imtest.Draft{Text: "hello"}); code(err) != 20006 {
		t.Errorf("slow: the sender sees %v", err)
	}
}

// TestNoAnswerInTime: where IM gets none, its console's switches decide.
func TestNoAnswerInTime(t *testing.T) {
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then it is noticed that nobody waits any more
		<-r.Context().Done()
	}))
	defer hung.Close()
	for _, block := range []bool{false, true} {
		w := newWorld(t, moderation.Config{}, func(c *imtest.AppConfig) {
			c.BlockC2COnFailure, c.BlockGroupOnFailure = block, block
			c.CallbackTimeout = 50 * time.Millisecond
			c.CallbackURL = hung.URL
			c.Callbacks = []string{"C2C.CallbackBeforeSendMsg", "Group.CallbackBeforeSendMsg"}
		})
		_, group := w.jane.Send("room", imtest.Draft{Text: "to the casino"})
		_, c2c := w.jane.SendTo("joe", imtest.Draft{Text: "to the casino"})
		if (group != nil) != block || (c2c != nil) != block || len(w.received()) != map[bool]int{false: 2, true: 0}[block] {
			t.Errorf("switches %v: %v, %v, received %q", block, group, c2c, w.received())
		}
	}
}

// TestNames: what a group or a person is called afterwards is masked, whatever
// was changed meanwhile.
func TestNames(t *testing.T) {
	w := newWorld(t, moderation.Config{}, nil)
	ctx := t.Context()
	text := func(s string) *string { return &s }
	w.must(w.chat.ModifyGroup(ctx, "room", im.GroupChange{Name: text("casino royale"), Introduction: text("damn good"), Notification: text("welcome")}))
	w.must(w.chat.SetPortrait(ctx, "jane", im.TextItem(im.TagNick, "Damn Jane"), im.TextItem(im.TagSelfSignature, "buy followers")))
	w.must(w.chat.SetPortrait(ctx, "joe", im.TextItem(im.TagNick, "Joe")))
	w.must(w.app.Settle(ctx))
	g := w.app.State().Group("room")
	if g.Name != "****** royale" || g.Introduction != "**** good" || g.Notification != "welcome" {
		t.Errorf("group %q, %q, %q", g.Name, g.Introduction, g.Notification)
	}
	for user, want := range map[string]string{"jane": "**** Jane", "joe": "Joe"} {
		if nick := w.app.State().User(user).Profile[im.TagNick]; nick != want {
			t.Errorf("%s is called %q", user, nick)
		}
	}
	if s, _ := w.app.State().User("jane").Profile[im.TagSelfSignature].(string); strings.Contains(s, "followers") {
		t.Errorf("jane says %q", s)
	}
	// Late news of a name that is gone change nothing.
	w.must(w.chat.ModifyGroup(ctx, "room", im.GroupChange{Name: text("Room 7")}))
	w.must(w.app.Settle(ctx))
	for _, c := range w.app.Callbacks() {
		if c.Command == "Group.CallbackAfterGroupInfoChanged" {
			if _, err := w.app.Replay(c.N); err != nil {
				t.Error(err)
			}
		}
	}
	w.must(w.app.Settle(ctx))
	if name := w.app.State().Group("room").Name; name != "Room 7" {
		t.Errorf("the group is called %q", name)
	}
}

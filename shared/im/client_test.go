package im_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

func TestConfigurationThatWillNotDo(t *testing.T) {
	good := im.Config{Domain: "im.example.com", SDKAppID: appID, Key: key, Admin: admin}
	if _, err := im.NewClient(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*im.Config){
		"no domain":              func(c *im.Config) { c.Domain = "" },
		"a domain with a secret": func(c *im.Config) { c.Domain = "https://user:" + key + "@im.example.com" },
		"a domain with a query":  func(c *im.Config) { c.Domain = "im.example.com?sdkappid=1" },
		"another scheme":         func(c *im.Config) { c.Domain = "ftp://im.example.com" },
		"a broken domain":        func(c *im.Config) { c.Domain = "https://[::1" },
		"no app":                 func(c *im.Config) { c.SDKAppID = 0 },
		"no key":                 func(c *im.Config) { c.Key = "" },
		"no admin":               func(c *im.Config) { c.Admin = "" },
		"a negative share":       func(c *im.Config) { c.Share = -0.1 },
		"more than all":          func(c *im.Config) { c.Share = 1.1 },
	} {
		conf := good
		change(&conf)
		if _, err := im.NewClient(conf); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The admin's UserSig is made once, and again an hour before its day ends.
func TestUserSigIsKeptAndRenewedEarly(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	client := f.client()
	for _, pause := range []time.Duration{0, 22 * time.Hour, 59 * time.Minute, time.Minute, time.Hour} {
		c.advance(pause)
		if err := client.Kick(ctx(t), "alice"); err != nil {
			t.Fatal(err)
		}
	}
	f.settled()
	r := f.requests()
	if r[0].sig != r[1].sig || r[1].sig != r[2].sig || r[2].sig == r[3].sig || r[3].sig != r[4].sig {
		t.Error("not renewed after 23 hours, or at another time")
	}
	if r[0].random == r[1].random && r[1].random == r[2].random {
		t.Error("random never changes")
	}
}

// A UserSig that IM refuses is renewed, once a call, and the call sent again
// whatever it is: it was not done.
func TestRefusedUserSigIsRenewedOnce(t *testing.T) {
	for _, refusal := range []int{70001, 70052, 20002, 70003, 70005, 70009} {
		c := newClock()
		f := newFake(t, c)
		later := func() { c.advance(time.Second) } // or the new one would be the same
		f.replies(reply{body: code(refusal, "expired").body, after: later})
		if err := f.client().Kick(ctx(t), "alice"); err != nil {
			t.Error(refusal, err)
		}
		if r := f.requests(); len(r) != 2 || r[0].sig == r[1].sig || r[0].body != r[1].body {
			t.Errorf("%d: %d requests", refusal, len(r))
		}
		f.replies(code(refusal, "expired"), code(refusal, "expired"))
		only(t, f.client().Kick(ctx(t), "alice"), im.ClassSignature)
		if r := f.requests(); len(r) != 4 {
			t.Errorf("%d: %d requests, want 4", refusal, len(r))
		}
	}
}

// Of two calls with the same expired UserSig, the slower one does not throw the
// new one away.
func TestUserSigIsRenewedForAll(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	client := f.client()
	expired := code(70001, "expired").body
	f.replies(
		reply{body: expired, after: func() {
			if err := client.Kick(ctx(t), "faster"); err != nil {
				t.Error(err)
			}
			c.advance(time.Second)
		}},
		reply{body: expired, after: func() { c.advance(time.Second) }},
	)
	if err := client.Kick(ctx(t), "slower"); err != nil {
		t.Fatal(err)
	}
	sigs := make(map[string]bool)
	for _, r := range f.requests() {
		sigs[r.sig] = true
	}
	if len(f.requests()) != 4 || len(sigs) != 2 {
		t.Errorf("%d requests with %d UserSigs", len(f.requests()), len(sigs))
	}
}

// A clock that was ahead once leaves no UserSig behind that IM refuses: when the
// clock is back, the one signed in the future is not used.
func TestUserSigOfTheFutureIsNotUsed(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	client := f.client()
	for _, step := range []time.Duration{time.Hour, -time.Hour, time.Minute} {
		c.advance(step)
		if err := client.Kick(ctx(t), "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if r := f.requests(); len(r) != 3 || r[0].sig == r[1].sig || r[1].sig != r[2].sig {
		t.Errorf("%d requests; the second with the UserSig of the future: %v", len(r), r[0].sig == r[1].sig)
	}
}

// Trouble is met by four tries in all with growing pauses, byte by byte the same.
func TestTroubleIsMetByPatience(t *testing.T) {
	for _, trouble := range []reply{
		code(60008, "timeout"), code(90994, "internal"), {status: 502}, {status: 408}, {status: 429}, {status: 500}, {lost: true},
	} {
		c := newClock()
		f := newFake(t, c)
		f.replies(trouble, trouble, trouble)
		if _, err := f.client().SendGroupMsg(ctx(t), shout); err != nil {
			t.Errorf("%+v: %v", trouble, err)
		}
		f.settled()
		r := f.requests()
		if len(r) != 4 {
			t.Fatalf("%+v: %d requests", trouble, len(r))
		}
		for _, again := range r[1:] {
			if again.body != r[0].body {
				t.Errorf("%+v: sent\n%s, then\n%s", trouble, r[0].body, again.body)
			}
		}
		for i, pause := range c.slept {
			if most := 100 * time.Millisecond << i; pause < most/2 || pause > most {
				t.Errorf("%+v: pause %d is %v", trouble, i, pause)
			}
		}

		f.replies(trouble, trouble, trouble, trouble)
		_, err := f.client().SendGroupMsg(ctx(t), shout)
		if e := only(t, err, im.ClassTransient); !e.MayHaveWorked || !im.MayHaveWorked(err) || len(f.requests()) != 8 {
			t.Errorf("%+v: %v after %d requests", trouble, err, len(f.requests()))
		}
	}
}

// What is no trouble is not tried again: it would be the same.
func TestAnswersThatAreNoIMs(t *testing.T) {
	for name, strange := range map[string]reply{
		"status 400":     {status: 400},
		"status 403":     {status: 403},
		"status 404":     {status: 404},
		"a page":         {body: "<html>please log in</html>"},
		"another object": {body: `{"ok":true}`},
		"a misfit":       {body: `{"ActionStatus":"OK","ErrorCode":0,"MsgSeq":"one"}`},
	} {
		f := newFake(t, newClock())
		f.replies(strange)
		_, err := f.client().SendGroupMsg(ctx(t), shout)
		e := only(t, err, im.ClassConfiguration)
		if n := len(f.requests()); n != 1 || im.ClassOf(err) != im.ClassConfiguration {
			t.Errorf("%s: %d requests, %v", name, n, e)
		}
		if strange.status != 0 && !errors.Is(err, im.StatusError(strange.status)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := newFake(t, newClock())
	f.replies(reply{body: `{"ActionStatus":"FAIL","ErrorCode":0,"ErrorInfo":"odd"}`})
	only(t, f.client().Kick(ctx(t), "alice"), im.ClassUnknown)
	f.replies(reply{body: `{"ActionStatus":"OK","ErrorCode":0,"Padding":"` + strings.Repeat("x", 4<<20) + `"}`})
	if e := only(t, f.client().Kick(ctx(t), "alice"), im.ClassRequest); !e.MayHaveWorked {
		t.Error(e)
	}
}

// IM's code counts even where the rest of its answer cannot be read.
func TestCodeOfAnAnswerThatDoesNotFit(t *testing.T) {
	f := newFake(t, newClock())
	f.replies(reply{body: `{"ActionStatus":"FAIL","ErrorCode":10010,"ErrorDisplay":"gone","MsgSeq":"none"}`})
	_, err := f.client().SendGroupMsg(ctx(t), shout)
	if e := only(t, err, im.CodeGroupGone); e.Info != "gone" || e.MayHaveWorked {
		t.Errorf("%+v", e)
	}
}

// A redirect would carry the UserSig elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Error("a request came elsewhere, referred by", r.Referer())
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 307, 308} {
		web := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		f := newFake(t, newClock())
		err := f.client(func(c *im.Config) { c.Domain = web.URL }).Kick(ctx(t), "alice")
		if only(t, err, im.ClassConfiguration); !errors.Is(err, im.StatusError(status)) {
			t.Error(err)
		}
		web.Close()
	}
}

// IM forgets the numbers of a message after two minutes, so a message is not
// repeated after one and a half.
func TestNothingIsRepeatedAfterIMForgot(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	slow := reply{lost: true, after: func() { c.advance(40 * time.Second) }}
	f.replies(slow, slow, slow)
	_, err := f.client().SendMsg(ctx(t), note)
	if e := only(t, err, im.ClassTransient); !e.MayHaveWorked {
		t.Error(e)
	}
	if n := len(f.requests()); n != 3 { // at 0, 40 and 80 s
		t.Errorf("%d requests", n)
	}
	f.replies(slow, slow, slow)
	if err := f.client().Kick(ctx(t), "alice"); err != nil {
		t.Error("what does no harm may be repeated later:", err)
	}
}

// A refusal after a lost answer may be one of the repeat.
func TestDoubtOutlivesTheTry(t *testing.T) {
	f := newFake(t, newClock())
	f.replies(reply{lost: true}, code(10004, "a message with this Random was sent already"))
	_, err := f.client().SendGroupMsg(ctx(t), shout)
	if e := only(t, err, im.ClassRequest); !e.MayHaveWorked || !strings.Contains(err.Error(), "may have taken effect") {
		t.Error(e)
	}
	f.replies(code(10004, "no"))
	_, err = f.client().SendGroupMsg(ctx(t), shout)
	if im.MayHaveWorked(err) {
		t.Error("no doubt here:", err)
	}
}

// Where there is no connection nothing was done.
func TestWithoutAConnectionNothingHappened(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	_, err := f.client(func(conf *im.Config) { conf.Domain = nobody(t) }).SendMsg(ctx(t), note)
	if e := only(t, err, im.ClassTransient); e.MayHaveWorked || len(c.slept) != 3 {
		t.Errorf("%v after %v", err, c.slept)
	}
}

// What could be done twice is repeated only where it was certainly not done.
func TestWhatCouldBeDoneTwice(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	add := func(client *im.Client) error {
		_, err := client.AddGroupCounters(ctx(t), "live", map[string]int64{"likes": 1})
		return err
	}
	for _, doubtful := range []reply{code(60008, "timeout"), {status: 502}, {lost: true}} {
		f.forget()
		f.replies(doubtful)
		if err := add(f.client()); !im.MayHaveWorked(err) || len(f.requests()) != 1 {
			t.Errorf("%+v: %v after %d requests", doubtful, err, len(f.requests()))
		}
	}
	f.forget()
	f.replies(code(60007, "too fast"), code(70001, "expired"), code(60007, "too fast"))
	if err := add(f.client()); err != nil || len(f.requests()) != 4 {
		t.Errorf("refused: %v after %d requests", err, len(f.requests()))
	}
	c.slept = nil
	err := add(f.client(func(conf *im.Config) { conf.Domain = nobody(t) }))
	if im.MayHaveWorked(err) || len(c.slept) != 3 {
		t.Errorf("no connection: %v after %v", err, c.slept)
	}
}

// nobody is the URL of a port where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return "http://" + l.Addr().String()
}

// Being too fast holds back everybody who calls the same API, nobody else.
func TestThrottledAPIPauses(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	client := f.client()
	var paused []time.Duration
	f.replies(reply{body: code(60007, "too fast").body, after: func() {
		began := c.Now()
		if err := client.Kick(ctx(t), "bob"); err != nil {
			t.Error(err)
		}
		if c.Now() != began {
			t.Error("another API waited")
		}
	}})
	if _, err := client.SendMsg(ctx(t), note); err != nil {
		t.Fatal(err)
	}
	if paused = c.slept; len(paused) != 1 || paused[0] < 500*time.Millisecond || paused[0] > time.Second {
		t.Errorf("paused %v", paused)
	}
}

// 10023 is about one group: the others go on.
func TestBusyGroupPausesAlone(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	client := f.client()
	f.answers(func(r received) reply {
		if strings.Contains(r.body, `"GroupId":"busy"`) {
			return code(10023, "too many messages")
		}
		return reply{}
	})
	busy, other := shout, shout
	busy.GroupID = "busy"
	_, err := client.SendGroupMsg(ctx(t), busy)
	if e := only(t, err, im.CodeGroupOverRate); e.Class != im.ClassThrottled || e.MayHaveWorked {
		t.Error(e)
	}
	if n := len(f.requests()); n != 4 {
		t.Errorf("%d requests", n)
	}
	c.slept = nil
	if _, err := client.SendGroupMsg(ctx(t), other); err != nil || len(c.slept) != 0 {
		t.Errorf("another group: %v, waited %v", err, c.slept)
	}
}

// While a group is held back, those who come later wait too.
func TestHeldGroupHoldsEverybody(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	var began time.Time
	client := f.client(func(conf *im.Config) {
		conf.Sleep = func(context.Context, time.Duration) error { return errors.New("woken too early") }
	})
	f.replies(code(10023, "too many messages"))
	_, err := client.SendGroupMsg(ctx(t), shout)
	only(t, err, im.CodeGroupOverRate)
	began = c.Now()
	short, cancel := context.WithTimeout(ctx(t), 300*time.Millisecond)
	defer cancel()
	_, err = client.SendGroupMsg(short, shout)
	e, ok := errors.AsType[*im.LimitError](err)
	if only(t, err, im.ClassThrottled); !ok || e.Wait < 500*time.Millisecond || c.Now() != began || len(f.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(f.requests()))
	}
	other := shout
	other.GroupID = "another"
	if _, err := client.SendGroupMsg(ctx(t), other); err != nil || c.Now() != began {
		t.Errorf("another group: %v", err)
	}
}

func TestQuotasOfADayAreNotWaitedFor(t *testing.T) {
	for _, quota := range []int{10006, 60028, 90047} {
		c := newClock()
		f := newFake(t, c)
		f.replies(code(quota, "used up"))
		_, err := f.client().SendMsg(ctx(t), note)
		if only(t, err, im.ClassThrottled); len(f.requests()) != 1 || len(c.slept) != 0 {
			t.Errorf("%d: %d requests, waited %v", quota, len(f.requests()), c.slept)
		}
	}
}

// After too many bad signatures IM wants a minute of silence.
func TestTooManyBadSignatures(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	client := f.client()
	f.replies(code(70050, "wait"))
	only(t, client.Kick(ctx(t), "alice"), im.CodeTooManyBadSigs)
	if len(f.requests()) != 1 {
		t.Errorf("%d requests", len(f.requests()))
	}
	if e, ok := errors.AsType[*im.LimitError](client.Kick(ctx(t), "alice")); !ok || e.Wait != time.Minute {
		t.Errorf("the next call: %v", e)
	}
	c.advance(time.Minute)
	if err := client.Kick(ctx(t), "alice"); err != nil {
		t.Error(err)
	}
}

// A deadline that is too near for the pause ends the call with IM's own answer.
func TestPauseThatIsTooLong(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	f.replies(code(60007, "too fast"))
	short, cancel := context.WithTimeout(ctx(t), 400*time.Millisecond)
	defer cancel()
	only(t, f.client().Kick(short, "alice"), im.Code(60007))
	if len(c.slept) != 0 {
		t.Errorf("waited %v", c.slept)
	}
}

func TestEndOfTheContext(t *testing.T) {
	f := newFake(t, newClock())
	ended, cancel := context.WithCancel(ctx(t))
	f.replies(reply{after: cancel, lost: true})
	err := f.client().Kick(ended, "alice")
	if e := only(t, err, im.ClassTransient); !e.MayHaveWorked || len(f.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(f.requests()))
	}
	err = f.client().Kick(ended, "alice")
	if e := only(t, err, context.Canceled); e.MayHaveWorked || len(f.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(f.requests()))
	}
}

// One try has its own time limit, after which the next one begins.
func TestSlowTryIsGivenUp(t *testing.T) {
	f := newFake(t, newClock())
	hang := make(chan struct{})
	f.replies(reply{after: func() { <-hang }})
	err := f.client(func(c *im.Config) { c.Timeout = 20 * time.Millisecond }).Kick(ctx(t), "alice")
	close(hang)
	if n := len(f.requests()); err != nil || n < 2 {
		t.Errorf("%v after %d requests", err, n)
	}
}

// Errors say neither how to reach IM nor what was said.
func TestErrorsKeepSecrets(t *testing.T) {
	secretText := "what nobody else should read"
	m := note
	m.Body, m.CloudCustomData = im.Text(secretText), secretText
	f := newFake(t, newClock())
	for name, answer := range map[string]func(sig string) reply{
		"IM quotes the UserSig": func(sig string) reply { return code(70003, "illegal UserSig "+sig) },
		"IM quotes the text":    func(string) reply { return code(80001, "bad words: "+secretText) },
		"no answer":             func(string) reply { return reply{lost: true} },
		"a status":              func(string) reply { return reply{status: 404, body: secretText} },
		"no JSON":               func(string) reply { return reply{body: secretText} },
		"too fast":              func(string) reply { return code(60028, "used up") },
	} {
		f.answers(func(r received) reply { return answer(r.sig) })
		_, err := f.client().SendMsg(ctx(t), m)
		sig := f.requests()[0].sig
		if err == nil {
			t.Fatal(name)
		}
		for _, secret := range []string{sig, secretText, "usersig=", "sdkappid", f.URL, key} {
			if strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	f.replies(code(10004, strings.Repeat("é", 1000)+"\n"))
	_, err := f.client().SendGroupMsg(ctx(t), shout)
	if e := only(t, err, im.ClassRequest); len(e.Info) > 200 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%d bytes: %v", len(e.Info), err)
	}
}

// Many calls at once share connections, UserSig and allowances without a race.
func TestCallsAtOnce(t *testing.T) {
	f := newFake(t, newClock())
	client := f.client()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if _, err := client.SendGroupMsg(ctx(t), shout); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(f.requests()); n != 80 {
		t.Errorf("%d requests", n)
	}
}

func TestNumbersAreOfTheEvent(t *testing.T) {
	seq, random := im.Numbers("ticket/7/greeting")
	if seq != 0x34a4b240 || random != 0x6e58cc2c { // as every process has derived them so far
		t.Errorf("%#x %#x", seq, random)
	}
	seen := make(map[uint32]bool)
	for i := range 10000 {
		s, r := im.Numbers(fmt.Sprint(i))
		if s == 0 || r == 0 {
			t.Fatal("0 passes for none")
		}
		seen[r] = true
	}
	if len(seen) < 9990 {
		t.Errorf("%d different numbers for 10000 events", len(seen))
	}
}

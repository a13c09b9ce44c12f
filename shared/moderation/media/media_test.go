package media_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/media"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

const (
	appID = 1400000002
	key   = "a key for these tests alone"
	token = "a token for these tests alone"
)

// inspector thinks what a file's URL says, at once or later.
type inspector struct {
	mu    sync.Mutex
	asked []media.File
	fails int // so many times from now on
}

func (in *inspector) Inspect(_ context.Context, f media.File) (moderation.Opinion, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.asked = append(in.asked, f)
	if in.fails > 0 {
		in.fails--
		return moderation.NoOpinion, errors.New("the inspector is away")
	}
	for _, o := range []struct {
		word string
		moderation.Opinion
	}{{"block", moderation.Block}, {"suspect", moderation.Suspect}, {"pass", moderation.Pass}} {
		if strings.Contains(f.URL, o.word) {
			return o.Opinion, nil
		}
	}
	if strings.Contains(f.URL, "unfit") {
		return moderation.NoOpinion, fmt.Errorf("%w: too large", media.ErrUnfit)
	}
	return moderation.NoOpinion, nil
}

// Result takes "ID OPINION", signed by a header.
func (in *inspector) Result(header http.Header, body []byte) (id string, o moderation.Opinion, err error) {
	if header.Get("X-Signature") != "good" {
		return "", moderation.NoOpinion, fault.New(fault.Unauthenticated, "the signature is wrong")
	}
	if _, err := fmt.Sscan(string(body), &id, &o); err != nil {
		return "", moderation.NoOpinion, fault.New(fault.Invalid, "no result")
	}
	return id, o, nil
}

// files returns what was asked about.
func (in *inspector) files() []media.File {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]media.File(nil), in.asked...)
}

// world is an emulated IM and an inspector, on clocks that stand.
type world struct {
	*testing.T
	clock   *kvtest.Clock
	store   kv.Store
	imNow   *imtest.Clock
	app     *imtest.App
	chat    *im.Client
	queue   *queuetest.Line
	look    *inspector
	jane    *imtest.Client
	process *process
}

// process is one process of ours.
type process struct {
	*world
	ledger   *queue.Ledger
	routes   http.Handler
	endpoint http.Handler
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock, replacement string) *world {
	t.Helper()
	w := &world{T: t, clock: clock, store: store, imNow: imtest.NewManualClock(clock.Now()), queue: &queuetest.Line{}, look: &inspector{}}
	callbacks := httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) { w.process.endpoint.ServeHTTP(res, r) }))
	t.Cleanup(callbacks.Close)
	emulator := imtest.NewServer(imtest.Options{Clock: w.imNow, Seed: 1})
	t.Cleanup(emulator.Close)
	w.app = emulator.AddApp(imtest.AppConfig{
		SDKAppID: appID, Key: key, RatePerAPI: -1, CallbackURL: callbacks.URL, CallbackToken: token,
		Callbacks: []string{"Group.CallbackAfterSendMsg", "C2C.CallbackAfterSendMsg"},
	})
	rest := httptest.NewServer(emulator)
	t.Cleanup(rest.Close)
	var err error
	w.chat, err = im.NewClient(im.Config{
		Domain: rest.URL, SDKAppID: appID, Key: key, Admin: "administrator", Now: clock.Now,
		Sleep: func(ctx context.Context, d time.Duration) error { w.advance(d); return ctx.Err() },
	})
	w.must(err)
	w.process = w.start(store, replacement)
	w.must(w.chat.ImportAccount(t.Context(), im.Account{UserID: "joe"}))
	signer, err := usersig.NewSignerAt(appID, key, clock.Now)
	w.must(err)
	sig, err := signer.Sign("jane", 24*time.Hour)
	w.must(err)
	w.must(w.chat.ImportAccount(t.Context(), im.Account{UserID: "jane"}))
	w.jane, err = w.app.Login("jane", sig, imtest.Device{})
	w.must(err)
	_, err = w.jane.CreateGroup("Public", "room", "room")
	w.must(err)
	return w
}

// start is a process over a store, which may be mortal.
func (w *world) start(store kv.Store, replacement string) *process {
	w.Helper()
	p := &process{world: w, ledger: queue.NewLedger(store, w.queue, w.clock.Now)}
	m := media.New(media.Config{Store: store, Jobs: p.ledger, Inspector: w.look, IM: w.chat, Replacement: replacement, Now: w.clock.Now})
	mux := callback.NewMux()
	m.Register(mux)
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: appID, Token: token, Mux: mux, Now: w.clock.Now})
	w.must(err)
	p.endpoint = endpoint
	routes := http.NewServeMux()
	m.Routes(routes)
	p.routes = api.Routes(routes)
	return p
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
func (p *process) work() {
	p.Helper()
	p.must(p.app.Settle(p.Context()))
	p.must(p.queue.Work(p.Context(), p.ledger, p.clock.Now))
}

// hour lets the clock tick for an hour, as it does when nobody asks anything.
func (p *process) hour() {
	p.Helper()
	for range 12 {
		p.advance(5 * time.Minute)
		_, err := p.ledger.Sweep(p.Context())
		p.must(err)
		p.work()
	}
}

// result sends what the inspector's service sends.
func (p *process) result(signature, body string) int {
	r := httptest.NewRequest(http.MethodPost, "/moderation/results", strings.NewReader(body))
	r.Header.Set("X-Signature", signature)
	res := httptest.NewRecorder()
	p.routes.ServeHTTP(res, r)
	return res.Code
}

type element struct {
	MsgType    string
	MsgContent any
}

func picture(name string) []element {
	sizes := []map[string]any{}
	for i := range 3 {
		sizes = append(sizes, map[string]any{"Type": i + 1, "Size": 1, "Width": 1, "Height": 1, "URL": fmt.Sprintf("https://files.invalid/%s?size=%d", name, i)})
	}
	return []element{{"TIMImageElem", map[string]any{"UUID": name, "ImageFormat": 1, "ImageInfoArray": sizes}}}
}

// message returns what the room, or the talk of jane and joe, has of a message.
func (w *world) message(sent imtest.Sent) imtest.Message {
	w.Helper()
	state := w.app.State()
	all := state.Group("room").Messages
	for _, c := range state.Conversations {
		all = append(all, c.Messages...)
	}
	for _, m := range all {
		if sent.Key != "" && m.Key == sent.Key || sent.Key == "" && m.GroupID != "" && m.Seq == sent.Seq {
			return m
		}
	}
	w.Fatalf("there is no message %+v", sent)
	return imtest.Message{}
}

func (w *world) say(body []element) imtest.Sent {
	w.Helper()
	sent, err := w.jane.Send("room", imtest.Draft{Body: body})
	w.must(err)
	return sent
}

func (w *world) tell(body []element) imtest.Sent {
	w.Helper()
	sent, err := w.jane.SendTo("joe", imtest.Draft{Body: body})
	w.must(err)
	return sent
}

func TestMedia(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		test func(*world)
	}{
		{"Opinions", false, testOpinions},
		{"Kinds", true, testKinds},
		{"Later", false, testLater},
		{"NeverAnswered", true, testNeverAnswered},
		{"InspectorAway", true, testInspectorAway},
		{"GoneAlready", true, testGoneAlready},
		{"Dies", true, testDies},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			c.test(newWorld(t, store, clock, ""))
		}})
	}
	tests = append(tests, enginetest.Test{Name: "Replaced", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		testReplaced(newWorld(t, store, clock, "removed"))
	}})
	enginetest.Run(t, tests)
}

// testOpinions: a picture that is blocked is taken back from the room or from
// both sides of a talk, all others stay.
func testOpinions(w *world) {
	for name, recalled := range map[string]bool{"block.jpg": true, "suspect.jpg": false, "pass.jpg": false, "unfit.jpg": false} {
		for _, sent := range []imtest.Sent{w.say(picture(name)), w.tell(picture(name))} {
			w.process.work()
			if m := w.message(sent); m.Recalled != recalled {
				w.Errorf("%s: recalled %v, want %v", name, m.Recalled, recalled)
			}
		}
	}
}

// testKinds: what is looked at, and as what; one of several files is enough.
func testKinds(w *world) {
	for _, tt := range []struct {
		body []element
		kind media.Kind
	}{
		{picture("a"), media.Image},
		{[]element{{"TIMSoundElem", map[string]any{"Url": "https://files.invalid/b", "UUID": "b", "Second": 1, "Size": 1, "Download_Flag": 2}}}, media.Audio},
		{[]element{{"TIMVideoFileElem", map[string]any{"VideoUrl": "https://files.invalid/c", "VideoUUID": "c", "ThumbUrl": "https://files.invalid/t"}}}, media.Video},
		{[]element{{"TIMFileElem", map[string]any{"Url": "https://files.invalid/d", "UUID": "d", "FileName": "Party.MP4", "FileSize": 1}}}, media.Video},
		{[]element{{"TIMFileElem", map[string]any{"Url": "https://files.invalid/e", "UUID": "e", "FileName": "taxes.xlsx", "FileSize": 1}}}, ""},
		{[]element{{"TIMFileElem", map[string]any{"UUID": "old client", "FileName": "x.png", "FileSize": 1}}}, ""},
		{[]element{{"TIMTextElem", map[string]any{"Text": "https://files.invalid/block.jpg"}}}, ""},
	} {
		before := len(w.look.files())
		w.say(tt.body)
		w.process.work()
		switch asked := w.look.files()[before:]; {
		case tt.kind == "" && len(asked) > 0, tt.kind != "" && len(asked) != 1:
			w.Errorf("%s: asked %d times", tt.body[0].MsgType, len(asked))
		case tt.kind != "" && (asked[0].Kind != tt.kind || asked[0].From != "jane" || len(asked[0].ID) > 64):
			w.Errorf("%s: %+v", tt.body[0].MsgType, asked[0])
		}
	}
	sent := w.say(append(append([]element{{"TIMTextElem", map[string]any{"Text": "look"}}}, picture("pass")...),
		element{"TIMFileElem", map[string]any{"Url": "https://files.invalid/block", "UUID": "f", "FileName": "b.gif", "FileSize": 1}}))
	w.process.work()
	if !w.message(sent).Recalled {
		w.Error("the second file was not looked at")
	}
}

// testLater: an opinion that comes by the service's own request, several times,
// and milder ones after the strictest.
func testLater(w *world) {
	p := w.process
	sent := w.tell(picture("slow"))
	p.work()
	id := w.look.files()[0].ID
	for body, status := range map[string]int{"": 400, "nonsense": 400, id + " 3": 200} {
		if got := p.result("bad", body); got != 401 {
			w.Errorf("unsigned %q: %d", body, got)
		}
		if got := p.result("good", body); got != status {
			w.Errorf("%q: %d, want %d", body, got, status)
		}
	}
	p.result("good", id+" 3")
	p.result("good", id+" 1")
	p.result("good", "0123456789abcdef0123456789abcdef-0 3")
	p.result("good", id+"9 3")
	p.work()
	if !w.message(sent).Recalled {
		w.Error("the message is still there")
	}
	p.hour()
	if n := len(w.look.files()); n != 1 {
		w.Errorf("asked %d times about a file with an opinion", n)
	}
}

// testNeverAnswered: an inspector that keeps silent is asked again, not for ever.
func testNeverAnswered(w *world) {
	sent := w.say(picture("silence"))
	w.process.work()
	for range 4 {
		w.process.hour()
	}
	if n := len(w.look.files()); n != media.Rounds {
		w.Errorf("asked %d times, want %d", n, media.Rounds)
	}
	// However late.
	w.process.result("good", w.look.files()[0].ID+" 3")
	w.process.work()
	if !w.message(sent).Recalled {
		w.Error("the message is still there")
	}
}

func testInspectorAway(w *world) {
	w.look.fails = 3
	sent := w.say(picture("block"))
	w.process.work()
	w.process.hour()
	if !w.message(sent).Recalled {
		w.Error("the message is still there")
	}
}

// testGoneAlready: what its sender took back, or what went with its group, is
// done.
func testGoneAlready(w *world) {
	sent := w.tell(picture("block"))
	w.must(w.chat.WithdrawMsg(w.Context(), "jane", "joe", sent.Key))
	w.say(picture("block"))
	w.must(w.chat.DestroyGroup(w.Context(), "room"))
	w.process.work()
	w.quiet(w.process)
}

// quiet fails the test if a job waits or was given up.
func (w *world) quiet(p *process) {
	w.Helper()
	o, err := p.ledger.Overview(w.Context())
	w.must(err)
	if o.Waiting != 0 || o.Dead != 0 {
		w.Errorf("%d jobs wait, %d are dead", o.Waiting, o.Dead)
	}
}

// testReplaced: a sentence in place of the message, and in place of one that IM
// does not recall.
func testReplaced(w *world) {
	for _, sent := range []imtest.Sent{w.say(picture("block")), w.tell(picture("block"))} {
		w.process.work()
		if m := w.message(sent); m.Recalled || m.Text() != "removed" {
			w.Errorf("recalled %v, reads %q", m.Recalled, m.Text())
		}
	}
	w.process = w.start(w.store, "")
	w.app.FailNext("group_open_http_svc/group_msg_recall", imtest.Fault{Code: 10007})
	sent := w.say(picture("block"))
	w.process.work()
	if m := w.message(sent); m.Text() != media.DefaultReplacement {
		w.Errorf("reads %q", m.Text())
	}
	w.app.FailNext("group_open_http_svc/group_msg_recall", imtest.Fault{Code: 10007})
	w.app.FailNext("openim/modify_group_msg", imtest.Fault{Code: 10007})
	w.say(picture("block"))
	w.process.work()
	w.quiet(w.process)
}

// testDies: the process dies at each of its commits, answers of IM are lost, and
// every job comes once more a day later; the message is gone, once and for all.
func testDies(w *world) {
	enginetest.EachDeath(w.T, w.store, func(t *testing.T, name string, mortal kv.Store) {
		w.app.FailNext("group_open_http_svc/group_msg_recall", imtest.Fault{LoseAnswer: true}, imtest.Fault{LoseAnswer: true}, imtest.Fault{LoseAnswer: true}, imtest.Fault{LoseAnswer: true})
		w.process = w.start(mortal, "")
		sent := w.say(append(picture("pass "+name), picture("block "+name)...))
		stays := w.say(picture("pass " + name))
		_ = w.app.Settle(t.Context())
		_ = w.queue.Work(t.Context(), w.process.ledger, w.clock.Now)
		next := w.start(w.store, "")
		w.process = next
		next.hour()
		if !w.message(sent).Recalled || w.message(stays).Recalled {
			t.Errorf("blocked message recalled: %v, the other: %v", w.message(sent).Recalled, w.message(stays).Recalled)
		}
		w.advance(25 * time.Hour)
		for _, j := range w.queue.All() {
			j.NotBefore = time.Time{}
			encoded, err := queue.Encode(j)
			w.must(err)
			w.must(next.ledger.Perform(t.Context(), encoded))
		}
		next.hour()
		w.quiet(next)
	})
}

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
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/media"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
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

// world is an emulated IM and an inspector.
type world struct {
	*rulestest.World
	store  kv.Store
	chat   *im.Client
	look   *inspector
	jane   *imtest.Client
	ledger *queue.Ledger // of the process
	routes http.Handler
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock, replacement string) *world {
	t.Helper()
	w := &world{
		World: rulestest.New(t, clock, rulestest.Options{Callbacks: []string{"Group.CallbackAfterSendMsg", "C2C.CallbackAfterSendMsg"}}),
		store: store, look: &inspector{},
	}
	w.chat = w.Client()
	w.restart(store, replacement)
	w.Login("joe")
	w.jane = w.Login("jane")
	w.Room("room", w.jane)
	return w
}

// restart replaces the process by one over a store, which may be mortal.
func (w *world) restart(store kv.Store, replacement string) {
	w.Helper()
	w.ledger = queue.NewLedger(store, w.Queue, w.Clock.Now)
	m := media.New(media.Config{
		Store: store, Jobs: w.ledger, Inspector: w.look, IM: w.chat, Sends: once.New(store, w.chat, w.Clock.Now), Notifier: rulestest.Admin,
		Replacement: replacement, Now: w.Clock.Now,
	})
	mux := callback.NewMux()
	m.Register(mux)
	w.Serve(mux)
	routes := http.NewServeMux()
	m.Routes(routes)
	w.routes = api.Routes(routes)
}

func (w *world) work()  { w.Helper(); w.Work(w.ledger) }
func (w *world) hour()  { w.Helper(); w.Hour(w.ledger) }
func (w *world) quiet() { w.Helper(); w.Quiet(w.ledger) }

// result sends what the inspector's service sends.
func (w *world) result(signature, body string) int {
	r := httptest.NewRequest(http.MethodPost, "/moderation/results", strings.NewReader(body))
	r.Header.Set("X-Signature", signature)
	res := httptest.NewRecorder()
	w.routes.ServeHTTP(res, r)
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
	return w.messageIn("room", sent)
}

func (w *world) messageIn(room string, sent imtest.Sent) imtest.Message {
	w.Helper()
	state := w.App.State()
	all := state.Group(room).Messages
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

func (w *world) say(body []element) imtest.Sent { return w.sayIn("room", body) }

func (w *world) sayIn(room string, body []element) imtest.Sent {
	w.Helper()
	sent, err := w.jane.Send(room, imtest.Draft{Body: body})
	w.Must(err)
	return sent
}

// liveRoom makes a live room with jane in it.
func (w *world) liveRoom() {
	w.Helper()
	_, err := w.chat.CreateGroup(w.Context(), im.NewGroup{Type: im.AVRoom, GroupID: "live", Name: "live", Owner: "joe"})
	w.Must(err)
	w.Must(w.jane.Join("live"))
}

func (w *world) tell(body []element) imtest.Sent {
	w.Helper()
	sent, err := w.jane.SendTo("joe", imtest.Draft{Body: body})
	w.Must(err)
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
		{"Told", false, testTold},
		{"MadeAnew", false, testMadeAnew},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			c.test(newWorld(t, store, clock, ""))
		}})
	}
	tests = append(tests, enginetest.Test{Name: "Replaced", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		testReplaced(newWorld(t, store, clock, "removed"))
	}}, enginetest.Test{Name: "LiveRoom", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		testLiveRoom(newWorld(t, store, clock, "removed"))
	}})
	enginetest.Run(t, tests)
}

// testOpinions: a picture that is blocked is taken back from the room or from
// both sides of a talk, all others stay.
func testOpinions(w *world) {
	for name, recalled := range map[string]bool{"block.jpg": true, "suspect.jpg": false, "pass.jpg": false, "unfit.jpg": false} {
		for _, sent := range []imtest.Sent{w.say(picture(name)), w.tell(picture(name))} {
			w.work()
			if m := w.message(sent); m.Recalled != recalled {
				w.Errorf("%s: recalled %v, want %v", name, m.Recalled, recalled)
			}
		}
	}
}

// testMadeAnew: a picture of a group that was dissolved is not recalled in another
// that has its id, where its MsgSeq is somebody else's message; and a blocked
// picture of the new group is, although one of the old had its MsgSeq.
func testMadeAnew(w *world) {
	sent := w.say(picture("block"))
	w.Must(w.App.Settle(w.Context())) // the job is put, and not yet done
	w.Advance(time.Minute)
	w.Must(w.chat.DestroyGroup(w.Context(), "room"))
	w.Room("room", w.jane)
	innocent := w.say(picture("pass"))
	if innocent.Seq != sent.Seq {
		w.Fatalf("the new group counts from %d, want %d", innocent.Seq, sent.Seq)
	}
	w.work()
	if w.message(innocent).Recalled {
		w.Error("a message of the new group was recalled for one of the old")
	}
	w.Advance(time.Minute)
	w.Must(w.chat.DestroyGroup(w.Context(), "room"))
	w.Room("room", w.jane)
	if sent = w.say(picture("block")); sent.Seq != innocent.Seq {
		w.Fatalf("the newest group counts from %d, want %d", sent.Seq, innocent.Seq)
	}
	w.work()
	if !w.message(sent).Recalled {
		w.Error("a blocked picture of the newest group stays")
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
		w.work()
		switch asked := w.look.files()[before:]; {
		case tt.kind == "" && len(asked) > 0, tt.kind != "" && len(asked) != 1:
			w.Errorf("%s: asked %d times", tt.body[0].MsgType, len(asked))
		case tt.kind != "" && (asked[0].Kind != tt.kind || asked[0].From != "jane" || len(asked[0].ID) > 64):
			w.Errorf("%s: %+v", tt.body[0].MsgType, asked[0])
		}
	}
	sent := w.say(append(append([]element{{"TIMTextElem", map[string]any{"Text": "look"}}}, picture("pass")...),
		element{"TIMFileElem", map[string]any{"Url": "https://files.invalid/block", "UUID": "f", "FileName": "b.gif", "FileSize": 1}}))
	w.work()
	if !w.message(sent).Recalled {
		w.Error("the second file was not looked at")
	}
}

// testLater: an opinion that comes by the service's own request, several times,
// and milder ones after the strictest.
func testLater(w *world) {
	sent := w.tell(picture("slow"))
	w.work()
	id := w.look.files()[0].ID
	for body, status := range map[string]int{"": 400, "nonsense": 400, id + " 3": 200} {
		if got := w.result("bad", body); got != 401 {
			w.Errorf("unsigned %q: %d", body, got)
		}
		if got := w.result("good", body); got != status {
			w.Errorf("%q: %d, want %d", body, got, status)
		}
	}
	w.result("good", id+" 3")
	w.result("good", id+" 1")
	w.result("good", "0123456789abcdef0123456789abcdef-0 3")
	w.result("good", id+"9 3")
	w.work()
	if !w.message(sent).Recalled {
		w.Error("the message is still there")
	}
	w.hour()
	if n := len(w.look.files()); n != 1 {
		w.Errorf("asked %d times about a file with an opinion", n)
	}
}

// testNeverAnswered: an inspector that keeps silent is asked again, not for ever.
func testNeverAnswered(w *world) {
	sent := w.say(picture("silence"))
	w.work()
	for range 4 {
		w.hour()
	}
	if n := len(w.look.files()); n != media.Rounds {
		w.Errorf("asked %d times, want %d", n, media.Rounds)
	}
	// However late.
	w.result("good", w.look.files()[0].ID+" 3")
	w.work()
	if !w.message(sent).Recalled {
		w.Error("the message is still there")
	}
}

func testInspectorAway(w *world) {
	w.look.fails = 3
	sent := w.say(picture("block"))
	w.work()
	w.hour()
	if !w.message(sent).Recalled {
		w.Error("the message is still there")
	}
}

// testGoneAlready: what its sender took back, or what went with its group, is
// done.
func testGoneAlready(w *world) {
	sent := w.tell(picture("block"))
	w.Must(w.chat.WithdrawMsg(w.Context(), "jane", "joe", sent.Key))
	w.say(picture("block"))
	w.Must(w.chat.DestroyGroup(w.Context(), "room"))
	w.work()
	w.quiet()
}

// testReplaced: a sentence in place of the message, and in place of one that IM
// does not recall.
func testReplaced(w *world) {
	for _, sent := range []imtest.Sent{w.say(picture("block")), w.tell(picture("block"))} {
		w.work()
		if m := w.message(sent); m.Recalled || m.Text() != "removed" {
			w.Errorf("recalled %v, reads %q", m.Recalled, m.Text())
		}
	}
	w.restart(w.store, "")
	w.App.FailNext("group_open_http_svc/group_msg_recall", imtest.Fault{Code: 10007})
	sent := w.say(picture("block"))
	w.work()
	if m := w.message(sent); m.Text() != media.DefaultReplacement {
		w.Errorf("reads %q", m.Text())
	}
	w.App.FailNext("group_open_http_svc/group_msg_recall", imtest.Fault{Code: 10007})
	w.App.FailNext("openim/modify_group_msg", imtest.Fault{Code: 10007})
	w.say(picture("block"))
	w.work()
	w.quiet()
}

// testLiveRoom: IM modifies nothing in a live room, so a blocked picture is
// recalled there; where that fails too, clients are told to hide it, and where
// that fails as well, moderators are told.
func testLiveRoom(w *world) {
	w.liveRoom()
	sent := w.sayIn("live", picture("block"))
	w.work()
	if m := w.messageIn("live", sent); !m.Recalled {
		w.Error("the message is still there")
	}

	noRecall := imtest.Fault{Code: 10007}
	w.App.FailNext("group_open_http_svc/group_msg_recall", imtest.Fault{Code: 60005}, noRecall)
	sent = w.sayIn("live", picture("block"))
	w.hour()
	w.quiet()
	want := fmt.Sprintf(`{"businessID":"backchannel","event":"hide","data":{"msgSeqs":[%d]}}`, sent.Seq)
	if all := w.App.State().Group("live").Messages; !strings.Contains(string(all[len(all)-1].Body), strings.ReplaceAll(want, `"`, `\"`)) {
		w.Errorf("the last message of the room is %s, want %s", all[len(all)-1].Body, want)
	}

	w.App.FailNext("group_open_http_svc/group_msg_recall", noRecall)
	w.App.FailNext("group_open_http_svc/send_group_msg", imtest.Fault{Code: 10007})
	sent = w.sayIn("live", picture("block"))
	w.work()
	w.quiet()
	w.told(fmt.Sprintf("message %d of group live", sent.Seq), "blocked file not removed")
}

// testTold: moderators see files that nobody can judge without them.
func testTold(w *world) {
	sent := w.say(picture("suspect"))
	w.work()
	w.told(fmt.Sprintf("message %d of group room", sent.Seq), "file to be looked at")
}

// told checks that the newest entry of the trail says so, once.
func (w *world) told(note, what string) {
	w.Helper()
	entries, _, err := trail.New(w.store).Page(w.Context(), api.Page{Limit: 10})
	w.Must(err)
	n := 0
	for _, e := range entries {
		if e.What == what && e.Note == note && e.UserID == "jane" {
			n++
		}
	}
	if n != 1 {
		w.Errorf("the trail tells %d times of %q about %q: %+v", n, what, note, entries)
	}
}

// testDies: the process dies at each of its commits, answers of IM are lost, and
// every job comes once more a day later; the message is gone, once and for all.
func testDies(w *world) {
	enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
		w.App.FailNext("group_open_http_svc/group_msg_recall", imtest.Fault{LoseAnswer: true}, imtest.Fault{LoseAnswer: true}, imtest.Fault{LoseAnswer: true}, imtest.Fault{LoseAnswer: true})
		w.restart(mortal, "")
		sent := w.say(append(picture("pass "+name), picture("block "+name)...))
		stays := w.say(picture("pass " + name))
		_ = w.App.Settle(t.Context())
		_ = w.Queue.Work(t.Context(), w.ledger, w.Clock.Now)
		w.restart(w.store, "")
		w.hour()
		if !w.message(sent).Recalled || w.message(stays).Recalled {
			t.Errorf("blocked message recalled: %v, the other: %v", w.message(sent).Recalled, w.message(stays).Recalled)
		}
		w.Advance(25 * time.Hour)
		w.Redeliver(w.ledger)
		w.hour()
		w.quiet()
	})
}

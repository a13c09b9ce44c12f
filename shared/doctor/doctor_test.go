package doctor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/doctor"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

const (
	appID = 1400000003
	token = "a token for these tests alone"
)

func TestDoctor(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{
		{Name: "NobodyElseHearsOfACheck", Run: testProbe},
		{Name: "NotesAreWrittenOnceAnHour", Run: testHourly},
		{Name: "JobOfACheck", Run: testJob},
		{Name: "AwayStoreDelaysNobody", Run: testAway},
		{Name: "ACheckLearnsWhyItsMessageWasRefused", Run: testRefused},
		{Name: "ARefusalIsRecordedWhileTheStoreIsAsked", Run: testRefusedMeanwhile},
	})
}

// house is a callback endpoint with one rule for one-to-one messages, and the
// routes.
type house struct {
	*testing.T
	clock  *kvtest.Clock
	mux    *http.ServeMux
	heard  int // by the rule
	ledger *queue.Ledger
	line   *queuetest.Line
}

func build(t *testing.T, store kv.Store, clock *kvtest.Clock) *house {
	t.Helper()
	h := &house{T: t, clock: clock, mux: http.NewServeMux(), line: &queuetest.Line{}}
	h.ledger = queue.NewLedger(store, h.line, clock.Now)
	keys, err := api.ParseKeys([]string{"test:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"}) // of "key"
	if err != nil {
		t.Fatal(err)
	}
	rules := callback.NewMux()
	callback.After(rules, "count", func(context.Context, *callback.C2CAfterSendMsg) error { h.heard++; return nil })
	ep, err := callback.NewEndpoint(callback.Config{
		SDKAppID: appID, Token: token, Mux: rules, Now: clock.Now, Watch: doctor.NewNotes(store, clock.Now),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.mux.Handle("/im", ep)
	doctor.Routes(h.mux, &api.Gate{Keys: keys}, doctor.Config{Store: store, Jobs: h.ledger, SDKAppID: appID, Wanted: rules.Commands(), Now: clock.Now})
	return h
}

func (h *house) call(method, path, body string, into any) {
	h.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer key")
	w := httptest.NewRecorder()
	h.mux.ServeHTTP(w, r)
	if w.Code >= 300 {
		h.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		h.Fatal(err)
	}
}

func (h *house) open() doctor.Opened {
	h.Helper()
	var o doctor.Opened
	h.call(http.MethodPost, "/doctor/checks", "{}", &o)
	return o
}

func (h *house) state(id string) doctor.State {
	h.Helper()
	var s doctor.State
	h.call(http.MethodGet, "/doctor/checks/"+id, "", &s)
	return s
}

// sent is IM's callback after a one-to-one message with this CloudCustomData.
func (h *house) sent(with, platform string) int {
	h.Helper()
	return h.signed(token, platform, map[string]any{
		"CallbackCommand": "C2C.CallbackAfterSendMsg", "From_Account": "administrator", "To_Account": "bot", "MsgKey": "1_2_3",
		"MsgBody": []any{}, "CloudCustomData": with,
	})
}

func (h *house) signed(token, platform string, body map[string]any) int {
	h.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		h.Fatal(err)
	}
	r, err := callback.Signer{SDKAppID: appID, Token: token, OptPlatform: platform, Now: h.clock.Now}.Request(h.Context(), "http://doctor.invalid/im", "", text)
	if err != nil {
		h.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.mux.ServeHTTP(w, r)
	return w.Code
}

func testProbe(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	h := build(t, store, clock)
	o := h.open()
	if s := h.state(o.CheckID); s.Message {
		t.Error("the message came before it was sent")
	}
	for range 2 { // IM may repeat it
		if code := h.sent(doctor.Mark(o.CheckID), "RESTAPI"); code != http.StatusOK || h.heard != 0 {
			t.Fatalf("status %d, a rule heard of it %d times", code, h.heard)
		}
	}
	if !h.state(o.CheckID).Message {
		t.Error("the message came, and the check does not know")
	}
	// Whoever makes up a check keeps nothing from the rules.
	for i, forged := range []string{doctor.Mark("made-up"), doctor.Mark(""), doctor.Mark(strings.Repeat("x", 2000)), `{"backchannelCheck":7}`, `{"backchannelCheck":`} {
		if h.sent(forged, "Web"); h.heard != i+1 {
			t.Errorf("%q kept a message from the rules", forged)
		}
	}
	clock.Advance(11 * time.Minute) // the check has ended
	if h.heard = 0; h.sent(doctor.Mark(o.CheckID), "Web") != http.StatusOK || h.heard != 1 {
		t.Error("an old check keeps messages from the rules")
	}
}

func testHourly(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	h := build(t, store, clock)
	last := func() (times []time.Time) {
		for _, a := range h.state(h.open().CheckID).Arrivals {
			if a.Command == "C2C.CallbackAfterSendMsg" {
				times = append(times, a.Last, a.ByClient)
			}
		}
		return times
	}
	if got := last(); len(got) != 2 || !got[0].IsZero() {
		t.Fatalf("before anything came: %v", got)
	}
	h.sent("", "RESTAPI")
	first := last()
	if !first[0].Equal(clock.Now()) || !first[1].IsZero() {
		t.Errorf("our own send: %v", first)
	}
	clock.Advance(30 * time.Minute)
	h.sent("", "RESTAPI")
	if got := last(); !got[0].Equal(first[0]) {
		t.Error("a note was written twice within an hour")
	}
	h.sent("", "Web") // noted apart: a client sent it
	byClient := last()
	if !byClient[1].Equal(clock.Now()) {
		t.Errorf("a client's message: %v", byClient)
	}
	clock.Advance(61 * time.Minute)
	h.sent("", "RESTAPI")
	if got := last(); !got[0].Equal(clock.Now()) || !got[1].Equal(byClient[1]) {
		t.Errorf("an hour later: %v", got)
	}
	clock.Advance(time.Hour)
	if _, err := store.Get(t.Context(), "doctor", "open"); err == nil {
		t.Fatal("a check is open")
	}
	h.signed("some other token", "Web", map[string]any{"CallbackCommand": "C2C.CallbackAfterSendMsg"})
	if o := h.open(); len(h.state(o.CheckID).Refusals) != 0 {
		t.Error("a request of anybody's was written into the store")
	}
	clock.Advance(time.Minute)
	if code := h.signed("some other token", "Web", map[string]any{"CallbackCommand": "C2C.CallbackAfterSendMsg"}); code != http.StatusForbidden {
		t.Fatalf("status %d", code)
	}
	if r := h.state(h.open().CheckID).Refusals; len(r) != 1 || r[0].Reason != "bad_signature" || !r[0].Last.Equal(clock.Now()) {
		t.Errorf("refusals %+v", r)
	}
}

// request sends a body to the endpoint with a query of the test's own, and reports
// whether the body was read.
func (h *house) request(query, body string) (read bool) {
	h.Helper()
	r := httptest.NewRequest(http.MethodPost, "/im?"+query, nil)
	watched := &watchedBody{Reader: strings.NewReader(body)}
	r.Body, r.ContentLength = watched, int64(len(body))
	h.mux.ServeHTTP(httptest.NewRecorder(), r)
	return watched.read
}

type watchedBody struct {
	io.Reader
	read bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.read = true
	return b.Reader.Read(p)
}

func (*watchedBody) Close() error { return nil }

// testRefused: only the check's own message says why IM's callbacks are refused, and
// nobody has a body read while no check is open.
func testRefused(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	const sentQuery = "SdkAppid=1400000003&CallbackCommand=C2C.CallbackAfterSendMsg&OptPlatform=RESTAPI"
	h := build(t, store, clock)
	message := func(id string) string { return fmt.Sprintf(`{"CloudCustomData":%q}`, doctor.Mark(id)) }
	if h.request(sentQuery, message("any")) {
		t.Error("the body of a stranger was read, without a check")
	}
	for reason, send := range map[string]func(id string){
		"no_signature": func(id string) { h.request(sentQuery, message(id)) },
		"no_command":   func(id string) { h.request("", message(id)) },
		"other_app":    func(id string) { h.request(strings.Replace(sentQuery, "1400000003", "1", 1), message(id)) },
		"bad_signature": func(id string) {
			h.signed("some other token", "RESTAPI", map[string]any{"CallbackCommand": "C2C.CallbackAfterSendMsg", "CloudCustomData": doctor.Mark(id)})
		},
	} {
		h.request(sentQuery, "{}") // every instance has just learnt that no check is open
		id := h.open().CheckID
		clock.Advance(doctor.OpenDelay)
		// What strangers send: other commands, other messages, no message at all.
		h.request(strings.Replace(sentQuery, "C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg", 1), message(id))
		h.request(sentQuery, message("made-up"))
		h.request("", "")
		h.request(sentQuery, "no JSON")
		if h.request(sentQuery, strings.Repeat(" ", 5000)+message(id)) {
			t.Error("a large body was read")
		}
		if s := h.state(id); s.MessageRefused != "" || s.Message {
			t.Errorf("%s: a stranger's request is taken for IM's: %+v", reason, s)
		}
		send(id)
		if s := h.state(id); s.MessageRefused != reason || s.Message || h.heard != 0 {
			t.Errorf("%s: %+v", reason, s)
		}
		clock.Advance(11 * time.Minute)
	}
}

func testJob(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	h := build(t, store, clock)
	if err := doctor.Tick(store, clock.Now)(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := h.open()
	if s := h.state(o.CheckID); !o.Queue || s.Job || !s.Ticked.Equal(clock.Now()) {
		t.Errorf("%+v %+v", o, s)
	}
	if err := h.line.Work(t.Context(), h.ledger, clock.Now); err != nil {
		t.Fatal(err)
	}
	if !h.state(o.CheckID).Job {
		t.Error("the job was carried out, and the check does not know")
	}
}

// testAway: while the store is away callbacks are answered as ever, and what arrived
// is noted a minute later.
func testAway(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	away := &flaky{Store: store, away: true}
	h := build(t, away, clock)
	if code := h.sent("", "Web"); code != http.StatusOK || h.heard != 1 {
		t.Errorf("status %d, heard %d", code, h.heard)
	}
	away.away = false
	clock.Advance(2 * time.Minute)
	h.sent("", "Web")
	for _, a := range h.state(h.open().CheckID).Arrivals {
		if !a.Last.Equal(clock.Now()) {
			t.Errorf("%+v", a)
		}
	}
}

type flaky struct {
	kv.Store
	away bool
}

func (f *flaky) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	if f.away {
		return kv.Item{}, kv.ErrUnavailable
	}
	return f.Store.Get(ctx, partition, key)
}

// slowOpen is a store that is slow to say whether a check is open.
type slowOpen struct {
	kv.Store
	asked, answer chan struct{}
}

func (s *slowOpen) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	if partition == "doctor" && key == "open" && s.asked != nil {
		asked := s.asked
		s.asked = nil
		close(asked)
		<-s.answer
	}
	return s.Store.Get(ctx, partition, key)
}

// testRefusedMeanwhile: IM's callback is recorded also while the store is asked about a
// stranger's.
func testRefusedMeanwhile(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	const sentQuery = "SdkAppid=1400000003&CallbackCommand=C2C.CallbackAfterSendMsg&OptPlatform=RESTAPI"
	slow := &slowOpen{Store: store}
	h := build(t, slow, clock)
	h.request(sentQuery, "{}") // no check is open
	id := h.open().CheckID
	clock.Advance(doctor.OpenDelay)
	asked, answer := make(chan struct{}), make(chan struct{})
	slow.asked, slow.answer = asked, answer
	var requests sync.WaitGroup
	requests.Go(func() { h.request(sentQuery, "{}") })
	<-asked
	recorded := make(chan struct{})
	requests.Go(func() {
		defer close(recorded)
		h.request(sentQuery, fmt.Sprintf(`{"CloudCustomData":%q}`, doctor.Mark(id)))
	})
	select {
	case <-recorded: // without the store's answer
	case <-time.After(20 * time.Millisecond):
	}
	close(answer)
	requests.Wait()
	if s := h.state(id); s.MessageRefused != "no_signature" {
		t.Errorf("the refused message of the check is not recorded: %+v", s)
	}
}

package review_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/review"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
)

func TestContract(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		test func(*world)
	}{
		{"Approved", false, testApproved},
		{"BannedSince", false, testBannedSince},
		{"AsItWas", false, testAsItWas},
		{"Rejected", false, testRejected},
		{"DecidedTwice", false, testDecidedTwice},
		{"RefusedByIM", false, testRefusedByIM},
		{"MadeAnew", false, testMadeAnew},
		{"Replayed", false, testReplayed},
		{"NoRoom", true, testNoRoom},
		{"Unfit", false, testUnfit},
		{"Expired", false, testExpired},
		{"Pages", true, testPages},
		{"BadInput", false, testBadInput},
		{"NothingInLogs", false, testNothingInLogs},
		{"ApprovalDies", true, testApprovalDies},
		{"RejectionDies", true, testRejectionDies},
		{"ExpiryDies", true, testExpiryDies},
		{"AnswersLost", true, testAnswersLost},
		{"IMAway", true, testIMAway},
		{"ClickStorm", true, testClickStorm},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			c.test(newWorld(t, store, clock))
		}})
	}
	enginetest.Run(t, tests)
}

// testBannedSince: whoever was banned after the message was held speaks only if a
// moderator says so once more.
func testBannedSince(w *world) {
	p := w.process(w.store).serves()
	jane := w.member("jane")
	id := p.holds(jane, "room", suspicious)
	w.Must(p.strikes.Add(w.Context(), strikes.Strike{UserID: "jane", Key: "one", Weight: 10, By: "desk"}))
	if status, _ := p.decides(id, "approve"); status != http.StatusConflict {
		w.Errorf("status %d, want 409", status)
	}
	if got := w.seen("jane"); len(got) != 0 {
		w.Errorf("seen: %q", got)
	}
	if a := p.ask(http.MethodPost, "/"+id+"/approve", `{"reason":"a quotation","evenIfBanned":true}`); a.Code != http.StatusOK {
		w.Errorf("%d %s", a.Code, a.Body)
	}
	if got := w.seen("jane"); len(got) != 1 {
		w.Errorf("seen: %q, want the message", got)
	}
}

// testMadeAnew: a message that was held in a group reaches no other group that
// has its id by the time of the approval.
func testMadeAnew(w *world) {
	p := w.process(w.store).serves()
	id := p.holds(w.member("jane"), "room", suspicious)
	w.Advance(time.Minute)
	chat := w.Client()
	w.Must(chat.DestroyGroup(w.Context(), "room"))
	_, err := chat.CreateGroup(w.Context(), im.NewGroup{Type: im.Public, GroupID: "room", Name: "room", Owner: "joe", Members: []im.NewMember{{UserID: "jane"}}})
	w.Must(err)
	status, v := p.decides(id, "approve")
	if status != http.StatusOK || v.Outcome != review.Refused || !strings.Contains(v.Failure, "another has its id") {
		w.Errorf("%d %+v", status, v)
	}
	if got := w.App.State().Group("room").Messages; len(got) != 0 {
		w.Errorf("the new group got %+v", got)
	}
}

// testApproved: a held message is seen by nobody, and its sender told so; once it
// is approved the others see it once, as its sender's, and it counts as any other.
func testApproved(w *world) {
	p := w.process(w.store).serves()
	jane := w.member("jane")
	for _, group := range []string{"room", "live", ""} {
		text := suspicious + " in " + group
		before := w.seen("jane")
		id := p.holds(jane, group, text)
		if got := w.seen("jane"); len(got) != len(before) {
			w.Errorf("held, and seen: %q", got)
		}
		w.Must(w.App.Settle(w.Context()))
		asked, counted := 0, 0
		for _, command := range []string{"Group.CallbackBeforeSendMsg", "C2C.CallbackBeforeSendMsg"} {
			asked += w.App.CallbackCount(command)
		}
		for _, command := range []string{"Group.CallbackAfterSendMsg", "C2C.CallbackAfterSendMsg"} {
			counted += w.App.CallbackCount(command)
		}
		status, v := p.decides(id, "approve")
		if status != http.StatusOK || v.State != review.Approved || v.Outcome != review.Sent || v.By != "desk" || v.Text != text {
			w.Errorf("%d %+v", status, v)
		}
		if got := w.seen("jane"); len(got) != len(before)+1 || got[len(got)-1] != text {
			w.Errorf("approved, and seen: %q", got)
		}
		w.Must(w.App.Settle(w.Context()))
		for _, command := range []string{"Group.CallbackBeforeSendMsg", "C2C.CallbackBeforeSendMsg"} {
			asked -= w.App.CallbackCount(command)
		}
		for _, command := range []string{"Group.CallbackAfterSendMsg", "C2C.CallbackAfterSendMsg"} {
			counted -= w.App.CallbackCount(command)
		}
		if asked != 0 || counted != -1 {
			w.Errorf("the send was asked about %d times and told of %d times", -asked, -counted)
		}
		if ids := p.of("jane"); len(ids) != 0 {
			w.Errorf("waiting still: %q", ids)
		}
	}
	if got := fmt.Sprint(p.entries("jane")); strings.Count(got, "desk message approved") != 3 || strings.Count(got, "message sent") != 3 {
		w.Errorf("trail %s", got)
	}
	p.hour()
	p.quiet()
}

// testAsItWas: element by element, with custom data and priority, a message
// arrives as its sender sent it.
func testAsItWas(w *world) {
	p := w.process(w.store).serves()
	jane := w.member("jane")
	body := `[{"MsgType":"TIMTextElem","MsgContent":{"Text":"` + suspicious + ` <&> 赌场"}},{"MsgType":"TIMCustomElem","MsgContent":{"Data":"{\"a\":1}","Ext":"<x>"}}]`
	_, err := jane.Send("room", imtest.Draft{Body: json.RawMessage(body), Custom: `{"k":"<v>"}`})
	if w.code(err) != 10016 {
		w.Fatal(err)
	}
	p.decides(p.of("jane")[0], "approve")
	h := w.held("jane", 1)
	h.MsgPriority = "Low"
	w.Must(p.reviews.Hold(w.Context(), h))
	p.decides(p.of("jane")[0], "approve")
	messages := w.App.State().Group("room").Messages
	var got, want any
	w.Must(json.Unmarshal(messages[0].Body, &got))
	w.Must(json.Unmarshal([]byte(body), &want))
	if m := messages[0]; fmt.Sprint(got) != fmt.Sprint(want) || m.Custom != `{"k":"<v>"}` || m.Priority != imtest.Normal || m.From != "jane" {
		w.Errorf("%+v with %s", m, m.Body)
	}
	if messages[1].Priority != imtest.Low {
		w.Errorf("%+v", messages[1])
	}
}

// testRejected: the sender gets a strike and is told; three of them mute him.
func testRejected(w *world) {
	p := w.process(w.store).serves()
	jane := w.member("jane")
	for n := range 3 {
		id := p.holds(jane, "room", fmt.Sprint(suspicious, n))
		status, v := p.decides(id, "reject")
		if status != http.StatusOK || v.State != review.Rejected || v.Reason != "because" {
			w.Errorf("%d %+v", status, v)
		}
		p.work()
	}
	s, err := p.strikes.View(w.Context(), "jane")
	if err != nil || s.Points != 3 || s.Strikes[0].Reason != "because" || s.Strikes[0].By != "desk" {
		w.Errorf("%+v, %v", s, err)
	}
	if got := w.told("jane"); !slices.Equal(got, []string{rejected, rejected, rejected}) {
		w.Errorf("told %q", got)
	}
	if _, err := jane.Send("room", imtest.Draft{Text: "hello"}); w.code(err) != 10017 {
		w.Errorf("a muted user's message: %v", err)
	}
	if got := w.seen("jane"); len(got) != 0 {
		w.Errorf("rejected, and seen: %q", got)
	}
	// A rejection need not be a strike.
	id := p.holds(w.member("june"), "room", suspicious)
	if got := p.ask(http.MethodPost, "/"+id+"/reject", `{"reason":"a test","weight":0}`); got.Code != http.StatusOK {
		w.Errorf("%d %s", got.Code, got.Body)
	}
	if s, err := p.strikes.View(w.Context(), "june"); err != nil || len(s.Strikes) != 0 {
		w.Errorf("%+v, %v", s, err)
	}
	p.hour()
	p.quiet()
}

// testDecidedTwice: the same decision again changes nothing, the other one is
// refused.
func testDecidedTwice(w *world) {
	p := w.process(w.store).serves()
	jane := w.member("jane")
	for _, tt := range []struct{ first, other string }{{"approve", "reject"}, {"reject", "approve"}} {
		id := p.holds(jane, "room", suspicious+" to "+tt.first)
		for range 3 {
			if status, _ := p.decides(id, tt.first); status != http.StatusOK {
				w.Errorf("%s: status %d", tt.first, status)
			}
		}
		if status, _ := p.decides(id, tt.other); status != http.StatusConflict {
			w.Errorf("%s after %s: status %d", tt.other, tt.first, status)
		}
	}
	if got := w.seen("jane"); len(got) != 1 {
		w.Errorf("seen %q", got)
	}
	if s, err := p.strikes.View(w.Context(), "jane"); err != nil || s.Points != 1 {
		w.Errorf("%+v, %v", s, err)
	}
	if got := w.told("jane"); len(got) != 1 {
		w.Errorf("told %q", got)
	}
}

// testRefusedByIM: the moderator learns that an approved message could not be
// sent, and nobody tries for ever.
func testRefusedByIM(w *world) {
	p := w.process(w.store).serves()
	id := p.holds(w.member("jane"), "room", suspicious)
	w.Must(w.Client().DestroyGroup(w.Context(), "room"))
	if status, v := p.decides(id, "approve"); status != http.StatusOK || v.Outcome != review.Refused || !strings.Contains(v.Failure, "10010") {
		w.Errorf("%d %+v", status, v)
	}
	p.hour()
	p.quiet()
}

// testReplayed: a callback that comes again and again, or a client that tries
// again, is held once, also after the decision.
func testReplayed(w *world) {
	p := w.process(w.store).serves()
	jane := w.member("jane")
	id := p.holds(jane, "room", suspicious)
	replay := func() {
		for _, c := range w.App.Callbacks() {
			if c.Command == "Group.CallbackBeforeSendMsg" && c.ReplayOf == 0 {
				_, err := w.App.Replay(c.N)
				w.Must(err)
				w.Advance(time.Second)
			}
		}
	}
	for range 5 {
		replay()
	}
	if ids := p.of("jane"); !slices.Equal(ids, []string{id}) {
		w.Errorf("waiting: %q", ids)
	}
	p.decides(id, "approve")
	replay()
	if ids := p.of("jane"); len(ids) != 0 || len(w.seen("jane")) != 1 {
		w.Errorf("waiting %q, seen %q", ids, w.seen("jane"))
	}
}

// held is the n-th message of a user that could be held.
func (w *world) held(user string, n int) moderation.Held {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", user, n))
	return moderation.Held{
		ID: hex.EncodeToString(sum[:16]), At: w.Clock.Now(), From: user, GroupID: "room", GroupType: im.Public,
		MsgBody: im.Text(fmt.Sprint(suspicious, n)),
	}
}

// testNoRoom: one sender cannot fill the queue, nor can many fill it without end,
// and what finds no room is refused. A decision makes room.
func testNoRoom(w *world) {
	p := w.process(w.store).serves()
	for n := range review.MaxWaiting {
		w.Must(p.reviews.Hold(w.Context(), w.held("jane", n)))
	}
	for n := range 100 {
		if err := p.reviews.Hold(w.Context(), w.held("jane", 1000+n)); err == nil {
			w.Fatal("there is room for one more")
		}
	}
	ids := p.of("jane")
	if len(ids) != review.MaxWaiting {
		w.Fatalf("%d wait", len(ids))
	}
	jane := w.member("jane")
	if _, err := jane.Send("room", imtest.Draft{Text: suspicious}); w.code(err) != 10016 {
		w.Errorf("what finds no room: %v", err)
	}
	// Others are not kept from the queue.
	w.Must(p.reviews.Hold(w.Context(), w.held("june", 1)))
	p.decides(ids[0], "approve")
	p.decides(ids[1], "reject")
	p.decides(ids[1], "reject")
	for n, room := range []bool{true, true, false} {
		if err := p.reviews.Hold(w.Context(), w.held("jane", 2000+n)); (err == nil) != room {
			w.Errorf("after two decisions, message %d: %v", n, err)
		}
	}
	// Nor do all senders of a shard together.
	room := 0
	for user := 0; room < review.MaxShard+2*review.MaxWaiting; user++ {
		sender := fmt.Sprint("user", user)
		sum := fnv.New32a()
		_, _ = sum.Write([]byte(sender))
		if sum.Sum32()%16 != 7 {
			continue
		}
		for n := range review.MaxWaiting {
			if p.reviews.Hold(w.Context(), w.held(sender, n)) != nil {
				if room != review.MaxShard {
					w.Errorf("room for %d in a shard", room)
				}
				return
			}
			room++
		}
	}
	w.Errorf("room for %d in a shard", room)
}

// testUnfit: what cannot come from IM is not kept.
func testUnfit(w *world) {
	p := w.process(w.store)
	for name, spoil := range map[string]func(*moderation.Held){
		"no id":            func(h *moderation.Held) { h.ID = "" },
		"an odd id":        func(h *moderation.Held) { h.ID = "../../../../../../../../etc/passwd" },
		"no sender":        func(h *moderation.Held) { h.From = "" },
		"an odd sender":    func(h *moderation.Held) { h.From = "jane\x00" },
		"nowhere":          func(h *moderation.Held) { h.GroupID = "" },
		"everywhere":       func(h *moderation.Held) { h.To = "joe" },
		"a long group":     func(h *moderation.Held) { h.GroupID = strings.Repeat("x", 129) },
		"a long topic":     func(h *moderation.Held) { h.TopicID = strings.Repeat("x", 129) },
		"a long receiver":  func(h *moderation.Held) { h.GroupID, h.To = "", strings.Repeat("x", 129) },
		"nothing":          func(h *moderation.Held) { h.MsgBody = nil },
		"a mebibyte":       func(h *moderation.Held) { h.MsgBody = im.Text(strings.Repeat("x", 1<<20)) },
		"no JSON":          func(h *moderation.Held) { h.MsgBody[0].MsgContent = json.RawMessage(`{"Text`) },
		"much custom data": func(h *moderation.Held) { h.CloudCustomData = strings.Repeat("x", review.MaxHeld) },
	} {
		h := w.held("jane", 1)
		spoil(&h)
		if err := p.reviews.Hold(w.Context(), h); err == nil {
			w.Errorf("%s was held", name)
		}
	}
	if views, _ := p.list(""); len(views) != 0 {
		w.Errorf("%+v", views)
	}
}

// testExpired: what nobody decides about is forgotten after a week, its sender's
// place is free, and after another month there is nothing left of it.
func testExpired(w *world) {
	p := w.process(w.store).serves()
	jane := w.member("jane")
	old := p.holds(jane, "room", suspicious)
	w.Advance(review.Life - time.Hour)
	young := p.holds(jane, "room", suspicious+" of today")
	p.tick()
	if ids := p.of("jane"); !slices.Equal(ids, []string{old, young}) {
		w.Errorf("waiting %q", ids)
	}
	w.Advance(2 * time.Hour)
	p.tick()
	if ids := p.of("jane"); !slices.Equal(ids, []string{young}) {
		w.Errorf("waiting %q", ids)
	}
	if status, _ := p.decides(old, "approve"); status != http.StatusConflict {
		w.Errorf("approving what was forgotten: status %d", status)
	}
	if got := p.ask(http.MethodGet, "/"+old, ""); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), `"expired"`) {
		w.Errorf("%d %s", got.Code, got.Body)
	}
	w.Advance(review.Kept + time.Hour)
	if got := p.ask(http.MethodGet, "/"+old, ""); got.Code != http.StatusNotFound {
		w.Errorf("%d %s", got.Code, got.Body)
	}
	if got := w.seen("jane"); len(got) != 0 {
		w.Errorf("seen %q", got)
	}
}

// testPages: page by page, in both orders, every message once.
func testPages(w *world) {
	p := w.process(w.store)
	var want []string
	for n := range 60 {
		w.Must(p.reviews.Hold(w.Context(), w.held(fmt.Sprint("user", n%7), n)))
		w.Advance(time.Duration(n%3) * time.Second)
		want = append(want, fmt.Sprint(suspicious, n))
	}
	for _, order := range []string{"", "oldest", "newest"} {
		for _, limit := range []int{1, 7, 30, 60, 100} {
			var got []string
			for after, pages := "", 0; ; pages++ {
				views, next := p.list(fmt.Sprintf("?order=%s&limit=%d&after=%s", order, limit, url.QueryEscape(after)))
				for _, v := range views {
					got = append(got, v.Text)
				}
				if len(views) > limit || pages > 61 {
					w.Fatalf("%d on page %d", len(views), pages)
				}
				if after = next; after == "" {
					break
				}
			}
			if order == "newest" {
				slices.Reverse(got)
			}
			// Those of one second have an order of their own.
			slices.SortStableFunc(got, func(a, b string) int { return len(a) - len(b) })
			sorted, all := slices.Clone(got), slices.Clone(want)
			slices.Sort(sorted)
			slices.Sort(all)
			if !slices.Equal(sorted, all) {
				w.Errorf("%s by %d: %q", order, limit, got)
			}
		}
	}
	oldest, _ := p.list("?limit=1")
	newest, _ := p.list("?limit=1&order=newest")
	if !oldest[0].At.Before(newest[0].At) {
		w.Errorf("the oldest is of %v, the newest of %v", oldest[0].At, newest[0].At)
	}
}

// testBadInput: a bad request is answered so, and changes nothing.
func testBadInput(w *world) {
	p := w.process(w.store).serves()
	id := p.holds(w.member("jane"), "room", suspicious)
	none := "0" + strings.Repeat("0", 32)
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "?limit=0", "", 400},
		{"GET", "?limit=1000", "", 400},
		{"GET", "?order=random", "", 400},
		{"GET", "?after=%00", "", 400},
		{"GET", "?after=%ff", "", 400},
		{"GET", "?after=" + strings.Repeat("x", 600), "", 400},
		{"GET", "/" + none, "", 404},
		{"GET", "/x", "", 404},
		{"GET", "/" + strings.ToUpper(id), "", 404},
		{"GET", "/" + id + "%00", "", 404},
		{"POST", "/" + none + "/approve", `{}`, 404},
		{"POST", "/x/approve", `{}`, 404},
		{"POST", "/" + id + "/approve", ``, 400},
		{"POST", "/" + id + "/approve", `{"reason":7}`, 400},
		{"POST", "/" + id + "/approve", `{"reason":"` + strings.Repeat("x", 501) + `"}`, 400},
		{"POST", "/" + none + "/reject", `{"reason":"x"}`, 404},
		{"POST", "/" + id + "/reject", `{}`, 400},
		{"POST", "/" + id + "/reject", `{"reason":"x","weight":-1}`, 400},
		{"POST", "/" + id + "/reject", `{"reason":"x","weight":11}`, 400},
		{"POST", "/" + id + "/reject", `{"reason":"x","weight":"1"}`, 400},
		{"POST", "/" + id + "/reject", `[]`, 400},
		{"POST", "/" + id + "/reject", `{"reason":"` + strings.Repeat("x", 70000) + `"}`, 413},
		{"POST", "/" + id + "/forget", `{}`, 404},
		{"DELETE", "/" + id, "", 405},
	} {
		if got := p.ask(tt.method, tt.path, tt.body); got.Code != tt.status || !strings.Contains(got.Body.String(), `"error"`) {
			w.Errorf("%s %.60s %.60s: %d %s", tt.method, tt.path, tt.body, got.Code, got.Body)
		}
	}
	sig, err := w.Users.Sign("jane", time.Hour)
	w.Must(err)
	for name, authorization := range map[string]string{"nobody": "", "a user": "UserSig jane:" + sig, "another key": "Bearer x"} {
		for _, route := range []string{"GET ", "GET /" + id, "POST /" + id + "/approve", "POST /" + id + "/reject"} {
			method, path, _ := strings.Cut(route, " ")
			r := httptest.NewRequestWithContext(w.Context(), method, "/moderation/reviews"+path, strings.NewReader(`{"reason":"x"}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", authorization)
			res := httptest.NewRecorder()
			p.routes.ServeHTTP(res, r)
			if res.Code != 401 && res.Code != 403 || strings.Contains(res.Body.String(), "rumour") {
				w.Errorf("%s, %s: %d %s", name, route, res.Code, res.Body)
			}
		}
	}
	if ids := p.of("jane"); !slices.Equal(ids, []string{id}) || len(p.entries("jane")) != 0 {
		w.Errorf("bad input changed something: %q", ids)
	}
}

// testNothingInLogs: whatever goes wrong, no log and no error says what was
// written.
func testNothingInLogs(w *world) {
	var logged bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	p := w.process(w.store).serves()
	jane := w.member("jane")
	approved, refused := p.holds(jane, "room", suspicious), p.holds(jane, "", suspicious+" too")
	w.App.FailNext("group_open_http_svc/send_group_msg", slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 8)...)
	w.App.FailNext("openim/sendmsg", slices.Repeat([]imtest.Fault{{Code: 80001}}, 8)...)
	p.decides(approved, "approve")
	p.decides(refused, "approve")
	p.hour()
	for n := range review.MaxWaiting + 1 {
		_, err := jane.Send("room", imtest.Draft{Text: fmt.Sprint(suspicious, n)})
		w.code(err)
	}
	if out := logged.String(); strings.Contains(out, "rumour") || !strings.Contains(out, "could not be held") {
		w.Errorf("logged: %s", out)
	}
}

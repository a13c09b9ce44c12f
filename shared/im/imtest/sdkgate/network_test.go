package sdkgate_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
)

// A login is resumed on a new socket by a2 and tinyid alone, and what was pushed
// in between arrives.
func TestALoginOutlivesItsSocket(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	bob.breaks("bob")
	alice.sendTo("bob", "while you were away", 1)

	again := bob.resume()
	again.told("while you were away")
	if n := len(w.app.State().User("bob").Silent); n != 0 {
		t.Error("the resumed page is still silent")
	}
	stranger := w.open()
	stranger.a2, stranger.tinyID = bob.a2, "144115000000000000"
	if out := stranger.ask("im_open_status.wslogin", nil, nil); out["ErrorCode"] != 70001.0 {
		t.Errorf("another tinyid: %v", out)
	}
}

// An unacknowledged push comes again on the next socket, an acknowledged one not.
func TestAcknowledgedPushesAreNotRepeated(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	alice.sendTo("bob", "first", 1)
	bob.told("first")
	bob.acknowledge(bob.sessionData[len(bob.sessionData)-1])
	alice.sendTo("bob", "second", 2)
	bob.told("second")
	bob.must("heartbeat.alive", nil) // the acknowledgement came before it
	_ = bob.conn.CloseNow()
	again := bob.resume()
	again.told("second")
	for _, e := range again.pushes {
		if strings.Contains(fmt.Sprint(e), "first") {
			t.Error("an acknowledged push came again")
		}
	}
}

// An acknowledgement counts for its push alone: those of a broken socket arrive late,
// beside those of the same pushes on the next one, and drop no other push.
func TestLateAcknowledgementsDropNoOtherPush(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	alice.sendTo("bob", "one", 1)
	alice.sendTo("bob", "two", 2)
	bob.told("two")
	late := slices.Clone(bob.sessionData)
	bob.breaks("bob")

	bob = bob.resume()
	bob.told("two")
	alice.sendTo("bob", "three", 3)
	alice.sendTo("bob", "four", 4)
	bob.told("four")
	for _, data := range append(late, bob.sessionData[:2]...) {
		bob.acknowledge(data)
	}
	bob.acknowledge("no number")
	bob.must("heartbeat.alive", nil) // the acknowledgements came before it
	bob.breaks("bob")

	bob = bob.resume()
	bob.told("four")
	if got := strings.Join(bob.texts(), " "); got != "three four" {
		t.Errorf("pushed again: %s", got)
	}
}

// What IM does not store is pushed once: the SDK shows such a message as often as it
// is pushed.
func TestOnlineOnlyMessagesAreNotRepeated(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	alice.must("openim.sendmsg", map[string]any{"To_Account": "bob", "MsgSeq": 1, "MsgRandom": 1, "MsgBody": textBody("typing"), "MsgLifeTime": 0})
	bob.told("typing")
	if len(bob.sessionData) != 0 {
		t.Error("the push wants an acknowledgement")
	}
	bob.breaks("bob")
	bob = bob.resume()
	alice.sendTo("bob", "typed", 2)
	bob.told("typed")
	if got := strings.Join(bob.texts(), " "); got != "typed" {
		t.Errorf("pushed: %s", got)
	}
}

// A live room's events wait while a page has no socket, and the long poll goes on
// where it was.
func TestALiveRoomGoesOnAfterASocketBroke(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	alice.must("group_open_http_svc.create_group", map[string]any{"Type": "AVChatRoom", "Name": "L", "GroupId": "live", "Owner_Account": "alice"})
	alice.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "live"})
	joined := bob.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "live"})
	next := joined["StartSeq"]
	poll := func() (texts []string, events []any) {
		t.Helper()
		out := bob.must("group_open_long_polling_http_svc.get_msg", map[string]any{"Key": joined["LongPollingKey"], "StartSeq": next, "StartBroadcastSeq": 1})
		next = out["NextSeq"]
		for _, e := range out["RspMsgList"].([]any) {
			m := e.(map[string]any)
			events = append(events, m["Event"])
			if m["Event"] == 3.0 {
				texts = append(texts, textOf(m))
			}
		}
		return texts, events
	}
	send := func(i int) float64 {
		t.Helper()
		return alice.must("group_open_http_svc.send_group_msg", map[string]any{"GroupId": "live", "Random": i, "MsgBody": textBody(fmt.Sprint(i))})["MsgSeq"].(float64)
	}
	poll() // bob's own join
	for round := range 3 {
		bob.breaks("bob")
		seq := send(2*round + 1)
		send(2*round + 2)
		alice.must("group_open_http_svc.group_msg_recall", map[string]any{"GroupId": "live", "MsgSeqList": []any{map[string]any{"MsgSeq": seq}}})
		bob = bob.resume()
		texts, events := poll()
		for range 2 { // at most one answer for each event
			if len(events) < 3 {
				more, moreEvents := poll()
				texts, events = append(texts, more...), append(events, moreEvents...)
			}
		}
		if want := []string{fmt.Sprint(2*round + 1), fmt.Sprint(2*round + 2)}; !slices.Equal(texts, want) || fmt.Sprint(events) != "[3 3 20]" {
			t.Errorf("round %d: %v, events %v; want %v and a recall", round, texts, events, want)
		}
	}
}

// After a reconnect the SDK asks for the messages of a conversation since the last one
// that it has, the oldest first, until there are no more.
func TestAPageAsksForWhatItMissed(t *testing.T) {
	clock := imtest.NewManualClock(time.Now().Truncate(time.Second))
	w := newWorldOf(t, imtest.Options{Seed: 1, Control: true, Clock: clock}, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	for i := range 12 {
		if i%3 == 0 { // three of the same second
			clock.Advance(time.Second)
		}
		alice.sendTo("bob", fmt.Sprint(i), i+1)
	}
	for most, want := range map[int]string{
		5: "3 4 5 6 7/0 6 7 8 9 10/0 9 10 11/1", // goes on from the time of the last one, with that second
		2: "3 4 5/0",                            // no fewer than a second has, or the SDK would ask for it for ever
		9: "3 4 5 6 7 8 9 10 11/1",
	} {
		var pages []string
		from := clock.Now().Add(-2 * time.Second).Unix()
		for range 3 {
			out := bob.must("openim.getroammsg", map[string]any{"Peer_Account": "alice", "MaxCnt": most, "LastMsgTime": from, "GetDirection": 1, "WithRecalledMsg": 1})
			var texts []string
			for _, m := range out["MsgList"].([]any) {
				texts = append(texts, textOf(m.(map[string]any)))
				from = int64(m.(map[string]any)["MsgTimeStamp"].(float64))
			}
			pages = append(pages, fmt.Sprint(strings.Join(texts, " "), "/", out["Complete"]))
			if out["Complete"] == 1.0 {
				break
			}
		}
		if got := strings.Join(pages, " "); !strings.HasPrefix(got, want) {
			t.Errorf("%d at once: %s, want %s", most, got, want)
		}
	}
	later := bob.must("openim.getroammsg", map[string]any{"Peer_Account": "alice", "MaxCnt": 5, "LastMsgTime": clock.Now().Unix() + 1, "GetDirection": 1})
	if _, has := later["MsgList"]; has || later["Complete"] != 1.0 {
		t.Errorf("nothing newer: %v", later)
	}
}

// What a user has not read is pushed before the page can ask for a history: the SDK
// leaves a message that is pushed in between out of that history.
func TestUnreadMessagesComeBeforeAnyHistory(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice := w.login("alice")
	w.login("bob").must("im_open_status.wslogout", nil)
	for i := range 20 {
		alice.sendTo("bob", fmt.Sprint(i), i+1)
	}
	for range 20 {
		bob := w.login("bob")
		out := bob.must("openim.getroammsg", map[string]any{"Peer_Account": "alice", "MaxCnt": 15})
		if n := len(bob.texts()); n != 20 || len(out["MsgList"].([]any)) != 15 {
			t.Fatalf("%d pushes before a history", n)
		}
	}
}

// A page that was away for so long that IM gave its device up, as a laptop that slept,
// comes back like any other, unless it was logged out or kicked, or another page has
// taken its place.
func TestAPageComesBackAfterALongTime(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile func(w *world, bob *page)
		resumes   bool
	}{
		"nothing happened": {func(*world, *page) {}, true},
		"another page":     {func(w *world, _ *page) { w.login("bob") }, false},
		"kicked": {func(w *world, _ *page) {
			query := url.Values{"sdkappid": {"1400000000"}, "identifier": {"administrator"}, "usersig": {w.sig("administrator")}, "random": {"1"}, "contenttype": {"json"}}
			resp, err := http.Post(w.web.URL+"/v4/im_open_login_svc/kick?"+query.Encode(), "application/json", strings.NewReader(`{"UserID":"bob"}`))
			if err != nil {
				w.Fatal(err)
			}
			_ = resp.Body.Close()
		}, false},
		"logged out": {func(w *world, bob *page) { bob.must("im_open_status.wslogout", nil) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			clock := imtest.NewManualClock(time.Now().Truncate(time.Second))
			w := newWorldOf(t, imtest.Options{Seed: 1, Control: true, Clock: clock}, sdkgate.Options{})
			alice, bob := w.login("alice"), w.login("bob")
			alice.sendTo("bob", "one", 1)
			bob.told("one")
			bob.acknowledge(bob.sessionData[0])
			if name == "kicked" || name == "logged out" {
				tc.meanwhile(w, bob)
				waitFor(t, "bob's end", func() bool { return len(w.app.State().User("bob").Platforms) == 0 })
				_ = bob.conn.CloseNow()
			} else {
				bob.breaks("bob")
				clock.Advance(10 * time.Minute)
				waitFor(t, "bob's end", func() bool { return len(w.app.State().User("bob").Platforms) == 0 })
				tc.meanwhile(w, bob)
			}
			alice.sendTo("bob", "two", 2)
			again := w.open()
			again.a2, again.tinyID = bob.a2, bob.tinyID
			for range 2 { // the SDK repeats a login that had no answer, beside the next one
				if out := again.ask("im_open_status.wslogin", nil, nil); out["ErrorCode"] == 0.0 != tc.resumes {
					t.Fatalf("resumed: %v, want %v", out, tc.resumes)
				}
			}
			if !tc.resumes {
				return
			}
			again.told("two")
			again.sendTo("alice", "three", 3)
			alice.told("three")
			if got := w.app.State().User("bob").Platforms; !slices.Equal(got, []string{"Web"}) {
				t.Errorf("devices %v", got)
			}
		})
	}
}

// POST /emulator/apps/APP/sockets/cut breaks the sockets of that app, for pages of
// this machine alone.
func TestSocketsAreCut(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice := w.login("alice")
	post := func(app, origin string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.web.URL+"/emulator/apps/"+app+"/sockets/cut", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	if got := post("1400000000", "https://evil.example").StatusCode; got != http.StatusForbidden {
		t.Errorf("a foreign page: status %d", got)
	}
	post("1400000001", "")
	alice.must("heartbeat.alive", nil) // another app's sockets are cut, not this one
	post("1400000000", "")
	if _, _, err := alice.conn.Read(t.Context()); err == nil {
		t.Error("the socket is still there")
	}
}

// While a socket breaks and another one takes its place, pushes arrive in order,
// each once, and the page is not silent afterwards.
func TestSocketsThatChangeHandsLoseNothing(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice, bob := w.login("alice"), w.login("bob")
	for round := range 20 {
		text := fmt.Sprint("round ", round)
		_ = bob.conn.CloseNow()
		again := bob.resume()
		alice.sendTo("bob", text, round+1)
		again.told(text)
		bob = again
	}
	if silent := w.app.State().User("bob").Silent; len(silent) != 0 {
		t.Errorf("silent: %v", silent)
	}
}

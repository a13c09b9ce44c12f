package liveroom_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// TestOnEveryEngine: an evening in a room, on each engine.
func TestOnEveryEngine(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{{Name: "Evening", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
		w := newWorld(t, store, clock)
		p := w.process(store)
		p.opens("show")
		bob := p.Login("bob")
		p.Must(bob.Join("show"))
		p.becomes("show", liveroom.Live)
		rulestest.Into[any](p, p.do("mod", "POST", "/rooms/show/mute", `{"userId":"bob","seconds":60}`))
		p.work()
		p.inStep("show")
		if _, err := bob.Send("show", imtest.Draft{Text: "hello"}); err == nil {
			t.Error("a muted user writes")
		}
		p.after(61 * time.Second)
		if _, err := bob.Send("show", imtest.Draft{Text: "hello"}); err != nil {
			t.Errorf("after the mute: %v", err)
		}
		rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/close", `{}`))
		p.minutes(2)
		if p.statuses("show") != "" || p.group("show").GroupID != "" {
			t.Error("the group of a closed room is still there")
		}
		p.Quiet(p.ledger)
	}}})
}

// TestCreated: a room has a group that shows its texts, and is in the list.
func TestCreated(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	room := p.opens("show")
	if room.Status != liveroom.Waiting || room.Version != 1 || room.Owner != "ann" || !slices.Equal(room.Moderators, []string{"mod"}) || room.CreatedAt.IsZero() {
		t.Errorf("%+v", room)
	}
	g := w.group("show")
	if g.Type != "AVChatRoom" || g.Owner != "ann" || g.Name != "Evening show" {
		t.Errorf("%+v", g)
	}
	p.inStep("show")
	again := p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, "show"), "open-show")
	if again.Status != http.StatusCreated || rulestest.Into[liveroom.Room](p, again).CreatedAt != room.CreatedAt {
		t.Errorf("the same request: %d %s", again.Status, again.Text)
	}
	if a := p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, "show"), "another-key"); a.Status != http.StatusConflict {
		t.Errorf("an open id under another key: %d %s", a.Status, a.Text)
	}
	if a := p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, "other"), "open-show"); a.Status != 422 || a.Code != "idempotency_mismatch" {
		t.Errorf("the key for another room: %d %s", a.Status, a.Text)
	}
	p.Quiet(p.ledger)
}

// TestListed: pages of open rooms, the newest first; each once.
func TestListed(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	var want []string
	for i := range 7 {
		id := fmt.Sprintf("room%d", i)
		p.opens(id)
		want = append([]string{id}, want...)
		w.Advance(time.Second)
	}
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/room3/close", `{}`))
	p.minutes(2)
	want = slices.DeleteFunc(want, func(id string) bool { return id == "room3" })
	for _, sort := range []string{"", "newest", "popularity"} {
		var got []string
		for next, first := "", true; first || next != ""; first = false {
			page := rulestest.Into[struct {
				Rooms []liveroom.Room
				Next  string
			}](p, p.do("bob", "GET", "/rooms?limit=2&sort="+sort+"&after="+next, ""))
			if len(page.Rooms) > 2 {
				t.Fatalf("%d rooms in a page of 2", len(page.Rooms))
			}
			for _, room := range page.Rooms {
				got = append(got, room.RoomID)
			}
			next = page.Next
		}
		if !slices.Equal(got, want) {
			t.Errorf("sort=%s: %v, want %v", sort, got, want)
		}
	}
}

// TestStatusAndNoticeAreKeptInStep: store, message and attributes say the same.
func TestStatusAndNoticeAreKeptInStep(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	// The app's own attributes stay.
	w.Must(w.Client().ModifyGroupAttributes(t.Context(), "show", map[string]string{"theme": "dark"}))
	live := p.becomes("show", liveroom.Live)
	if live.StartedAt.IsZero() || live.Version != 2 {
		t.Errorf("%+v", live)
	}
	p.inStep("show")
	notice := rulestest.Into[liveroom.Room](p, p.do("mod", "PUT", "/rooms/show/notice", `{"notice":"{\"text\":\"tonight\",\"image\":\"https://example.com/a.png\"}","version":2}`))
	p.work()
	p.inStep("show")
	if notice.Version != 3 || notice.Introduction != "songs" {
		t.Errorf("%+v", notice)
	}
	told := w.told("show", "notice")
	if len(told) != 1 || told[0]["version"] != 3.0 || told[0]["notice"] != notice.Notice {
		t.Errorf("told %v", told)
	}
	for _, next := range []liveroom.Status{liveroom.Paused, liveroom.Live, liveroom.Ended, liveroom.Replay, liveroom.Ended} {
		p.becomes("show", next)
		p.inStep("show")
	}
	if got := w.statuses("show"); got != "live paused live ended replay ended" {
		t.Errorf("told %s", got)
	}
	if got := w.group("show").Attributes["theme"]; got != "dark" {
		t.Errorf("the app's attribute is %q", got)
	}
	if again := p.room("show"); !again.StartedAt.Equal(live.StartedAt) {
		t.Error("a room that paused has started a second time")
	}
	p.Quiet(p.ledger)
}

// TestIMFailsInPart: whichever of message and attribute fails is repaired, and the
// other does not wait for it.
func TestIMFailsInPart(t *testing.T) {
	for _, c := range []struct {
		name, command string
		fault         imtest.Fault
		once          bool
		inTime        func(g imtest.GroupState, w *world) bool // what must be there all the same
	}{
		{"the attribute", "group_open_http_svc/modify_group_attr", imtest.Fault{Code: 10049}, true, func(_ imtest.GroupState, w *world) bool { return w.statuses("show") == "live" }},
		{"the attribute's answer", "group_open_http_svc/modify_group_attr", imtest.Fault{LoseAnswer: true}, true, func(_ imtest.GroupState, w *world) bool { return w.statuses("show") == "live" }},
		{"the message", "group_open_http_svc/send_group_msg", imtest.Fault{Code: 60008}, true, func(g imtest.GroupState, _ *world) bool { return g.Attributes["status"] == "live" }},
		{"the message's answer", "group_open_http_svc/send_group_msg", imtest.Fault{LoseAnswer: true}, false, func(g imtest.GroupState, _ *world) bool { return g.Attributes["status"] == "live" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := onBolt(t)
			p := w.process(w.store)
			p.opens("show")
			w.App.FailNext(c.command, slices.Repeat([]imtest.Fault{c.fault}, 30)...)
			p.becomes("show", liveroom.Live)
			if !c.inTime(w.group("show"), w) {
				t.Errorf("attributes %v, told %s", w.group("show").Attributes, w.statuses("show"))
			}
			w.App.FailNext(c.command) // no more faults
			p.minutes(10)
			p.inStep("show")
			// Where nobody knows whether IM took a message, the room is told anew; the
			// version says that it is the same.
			versions := make(map[any]bool)
			for _, data := range w.told("show", "status") {
				versions[data["version"]] = true
			}
			if got := w.statuses("show"); len(versions) != 1 || c.once && got != "live" {
				t.Errorf("told %q", got)
			}
		})
	}
}

// TestSomebodyElseWritesTheAttribute: every member of an AVChatRoom may write
// attributes. What a client wrote is put right.
func TestSomebodyElseWritesTheAttribute(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	p.becomes("show", liveroom.Live)
	w.Must(w.Client().ModifyGroupAttributes(t.Context(), "show", map[string]string{"status": "ended"}))
	w.Heard(attrChanged("show", "eve"))
	p.work()
	p.inStep("show")
	if got := w.statuses("show"); got != "live" {
		t.Errorf("told %q", got)
	}
}

// TestFlapIsNotTold: a status that is over before it was told is never told.
func TestFlapIsNotTold(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	p.becomes("show", liveroom.Live)
	for i, next := range []string{"paused", "live", "paused", "live"} {
		rulestest.Into[any](p, p.do("ann", "PUT", "/rooms/show/status", fmt.Sprintf(`{"status":%q,"version":%d}`, next, 2+i)))
	}
	p.work()
	if got := w.statuses("show"); got != "live" {
		t.Errorf("told %q", got)
	}
	p.inStep("show")
}

// TestClosed: the room is told, then its group is dissolved; the id is free, and
// starts fresh.
func TestClosed(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	bob := p.Login("bob")
	p.opens("show")
	p.Must(bob.Join("show"))
	p.becomes("show", liveroom.Live)
	_, err := bob.Send("show", imtest.Draft{Text: "hello"})
	p.Must(err)
	rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/kick", `{"userId":"eve"}`))
	rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/mute", `{"userId":"dan"}`))
	p.work()
	if got := p.restrictions("show"); got != "kick eve, mute dan" {
		t.Errorf("restricted: %s", got)
	}
	closed := rulestest.Into[liveroom.Room](p, p.do("ann", "POST", "/rooms/show/close", `{}`))
	if closed.Status != liveroom.Ended || closed.EndedAt.IsZero() {
		t.Errorf("%+v", closed)
	}
	p.work()
	if g := w.group("show"); g.GroupID != "" {
		t.Error("the group is still there")
	}
	if again := rulestest.Into[liveroom.Room](p, p.do("ann", "POST", "/rooms/show/close", `{}`)); again.Version != closed.Version {
		t.Errorf("closed a second time: %+v", again)
	}
	var heard []string
	for _, m := range bob.Received() {
		if data, is := eventOf(w, m, "status"); is {
			heard = append(heard, fmt.Sprint(data["status"]))
		}
	}
	if got := strings.Join(heard, " "); got != "live ended" {
		t.Errorf("bob was told %q", got)
	}
	for path, body := range map[string]string{
		"status": `{"status":"replay","version":3}`, "notice": `{"notice":"x","version":3}`,
	} {
		if a := p.do("ann", "PUT", "/rooms/show/"+path, body); a.Code != "room_closed" {
			t.Errorf("%s of a closed room: %d %s", path, a.Status, a.Text)
		}
	}
	young := rulestest.Into[liveroom.Room](p, p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, "show"), "a-new-show"))
	if young.Status != liveroom.Waiting || young.Version != 1 || !young.StartedAt.IsZero() || !young.CreatedAt.After(closed.CreatedAt) {
		t.Errorf("%+v", young)
	}
	p.work()
	p.inStep("show")
	if got := p.restrictions("show"); got != "" {
		t.Errorf("a room created anew restricts %s", got)
	}
	if h := rulestest.Into[struct{ Messages []liveroom.Message }](p, p.do(server, "GET", "/rooms/show/history", "")); len(h.Messages) != 0 {
		t.Errorf("a room created anew has the history %v", h.Messages)
	}
	p.Quiet(p.ledger)
}

// TestCreatedWhileClosing: a room of an id that is being closed finishes that first,
// within its request.
func TestCreatedWhileClosing(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/close", `{}`)) // and no job has run
	room := rulestest.Into[liveroom.Room](p, p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, "show"), "a-new-show"))
	if room.Status != liveroom.Waiting || w.group("show").Owner != "ann" {
		t.Errorf("%+v", room)
	}
	p.minutes(3)
	if w.group("show").GroupID == "" {
		t.Error("the group of the new room was dissolved with that of the old")
	}
	p.Quiet(p.ledger)
}

// TestDissolvedElsewhere: who dissolves the group in IM closes the room.
func TestDissolvedElsewhere(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	w.Must(w.Client().DestroyGroup(t.Context(), "show"))
	p.work()
	p.minutes(3)
	if room := p.room("show"); room.Status != liveroom.Ended {
		t.Errorf("%+v", room)
	}
	p.opens2("show")
	// The callback of the old group comes once more, and says nothing of the new one.
	w.Heard(destroyed("show"))
	p.minutes(3)
	if room := p.room("show"); room.Status != liveroom.Waiting {
		t.Errorf("%+v", room)
	}
	p.Quiet(p.ledger)
}

// TestRefusedByIM: a room whose group IM refuses is no room, and its id is free.
func TestRefusedByIM(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.Room("taken", w.Login("eve"))
	a := p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, "taken"), "k")
	if a.Status != http.StatusConflict {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if a := p.do(server, "GET", "/rooms/taken", ""); a.Status != http.StatusNotFound {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if list := rulestest.Into[struct{ Rooms []liveroom.Room }](p, p.do(server, "GET", "/rooms", "")); len(list.Rooms) != 0 {
		t.Errorf("%v", list)
	}
	w.Must(w.Client().DestroyGroup(t.Context(), "taken"))
	p.opens("taken")
	p.Quiet(p.ledger)
}

// TestTextsAreBounded: IM's limits of bytes, and no HTML in any disguise.
func TestTextsAreBounded(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	for text, ok := range map[string]bool{
		"":                       true,
		"a < b and 1<2 <3":       true,
		"two\nlines":             true,
		strings.Repeat("n", 300): true,
		strings.Repeat("n", 301): false,
		strings.Repeat("語", 101): false,
		"<b>bold</b>":            false,
		"<!-- -->":               false,
		"<script":                false,
		"</p>":                   false,
		"bell\a":                 false,
		`{"text":"hi","link":"https://example.com"}`:    true,
		`{"text":"Data: 5 of 7"}`:                       true,
		`{"text":"hi"`:                                  false,
		`{"text":"\u003cimg src=x onerror=alert(1)>"}`:  false,
		`{"blocks":[{"link":" JavaScript:alert(1)"}]}`:  false,
		`{"link":"data:text/html;base64,PHNjcmlwdD4="}`: false,
		`{"\u003cb>":1}`:                                false,
	} {
		body, err := jsonOf(map[string]any{"notice": text, "version": p.room("show").Version})
		p.Must(err)
		a := p.do("ann", "PUT", "/rooms/show/notice", body)
		if ok != (a.Status == http.StatusOK) || !ok && a.Code != "invalid" {
			t.Errorf("%.60q: %d %s", text, a.Status, a.Text)
		}
	}
	body, err := jsonOf(map[string]any{"introduction": strings.Repeat("i", 241), "version": p.room("show").Version})
	p.Must(err)
	if a := p.do("ann", "PUT", "/rooms/show/notice", body); a.Code != "invalid" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	p.work()
	p.inStep("show")
	if im.MaxNotification != 300 || im.MaxIntroduction != 240 {
		t.Error("the limits are not those that this test is about")
	}
}

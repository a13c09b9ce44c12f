package liveroom_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// noBans takes bans away from the app's edition.
func (w *world) noBans() {
	for _, command := range []string{"ban_group_member", "unban_group_member"} {
		w.App.FailNext("group_open_http_svc/"+command, slices.Repeat([]imtest.Fault{{Code: 10007}}, 20)...)
	}
}

// inOrder sorts events as clients do.
func inOrder(events []map[string]any) []map[string]any {
	slices.SortFunc(events, func(a, b map[string]any) int { return cmp.Compare(a["order"].(float64), b["order"].(float64)) })
	return events
}

// TestMuted: a muted user is refused by IM and by us, the room is told until when,
// an exit and a join change nothing, and the end is told to the second.
func TestMuted(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	bob := p.Login("bob")
	p.Must(bob.Join("show"))
	got := rulestest.Into[struct{ Restrictions []liveroom.Restriction }](p, p.do("mod", "POST", "/rooms/show/mute", `{"userId":"bob","seconds":90,"reason":"spam"}`))
	if len(got.Restrictions) != 1 {
		t.Fatalf("%+v", got)
	}
	one := got.Restrictions[0]
	if one.UserID != "bob" || one.Kind != liveroom.Mute || one.By != "mod" || one.Reason != "spam" || !one.Until.Equal(w.Clock.Now().Add(90*time.Second)) {
		t.Errorf("%+v", one)
	}
	write := func() error {
		_, err := bob.Send("show", imtest.Draft{Text: "hello"})
		return err
	}
	if write() == nil {
		t.Error("a muted user writes, before IM knows of the mute")
	}
	p.work()
	if w.group("show").Muted["bob"].IsZero() {
		t.Error("IM does not know of the mute")
	}
	told := w.told("show", "mute")
	if len(told) != 1 || fmt.Sprint(told[0]["userIds"]) != "[bob]" || told[0]["until"] != one.Until.Format(time.RFC3339) {
		t.Errorf("told %v", told)
	}
	p.Must(bob.Quit("show"))
	p.Must(bob.Join("show"))
	if write() == nil {
		t.Error("an exit and a join end a mute")
	}
	p.after(89 * time.Second)
	if len(w.told("show", "unmute")) != 0 || write() == nil {
		t.Error("the mute ends early")
	}
	p.after(2 * time.Second)
	if told := w.told("show", "unmute"); len(told) != 1 || told[0]["ended"] != true {
		t.Errorf("told %v", told)
	}
	if err := write(); err != nil {
		t.Error(err)
	}
	if got := p.restrictions("show"); got != "" {
		t.Errorf("still restricted: %s", got)
	}
	// Muting works again, and the end of the first mute does not end the second.
	rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/mute", `{"userId":"bob","seconds":60}`))
	p.after(30 * time.Second)
	rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/mute", `{"userId":"bob","seconds":600}`))
	p.after(31 * time.Second)
	if write() == nil || len(w.told("show", "unmute")) != 1 {
		t.Error("the end of a mute ended the one that replaced it")
	}
	rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/unmute", `{"userId":"bob"}`))
	p.work()
	if err := write(); err != nil {
		t.Error(err)
	}
	p.minutes(12)
	if n := len(w.told("show", "unmute")); n != 2 {
		t.Errorf("the room was told %d ends of mutes", n)
	}
	p.Quiet(p.ledger)
}

// TestWholeRoomMuted: IM has no time for it; a job ends it.
func TestWholeRoomMuted(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/mute", `{"seconds":60}`))
	p.work()
	if told := w.told("show", "mute"); !w.group("show").MuteAll || len(told) != 1 || told[0]["all"] != true {
		t.Errorf("muted %v, told %v", w.group("show").MuteAll, told)
	}
	if got := p.restrictions("show"); got != "mute" {
		t.Errorf("restricted: %q", got)
	}
	p.after(61 * time.Second)
	if told := w.told("show", "unmute"); w.group("show").MuteAll || len(told) != 1 {
		t.Errorf("muted %v, told %v", w.group("show").MuteAll, told)
	}
	if got := p.restrictions("show"); got != "" {
		t.Errorf("restricted: %q", got)
	}
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/mute", `{}`))
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/unmute", `{}`))
	p.minutes(3)
	if w.group("show").MuteAll {
		t.Error("a mute came after the unmute that followed it")
	}
	p.Quiet(p.ledger)
}

// TestKicked: in every edition a kicked user is out, writes nothing, and does not
// come back until the time is over.
func TestKicked(t *testing.T) {
	for _, bans := range []bool{true, false} {
		t.Run(fmt.Sprintf("bans %v", bans), func(t *testing.T) {
			w := onBolt(t)
			p := w.process(w.store)
			p.opens("show")
			bob := p.Login("bob")
			p.Must(bob.Join("show"))
			if !bans {
				w.noBans()
			}
			rulestest.Into[any](p, p.do("mod", "POST", "/rooms/show/kick", `{"userId":"bob","seconds":300}`))
			if _, err := bob.Send("show", imtest.Draft{Text: "hello"}); err == nil {
				t.Error("a kicked user writes before IM knows")
			}
			p.work()
			if told := w.told("show", "kick"); len(told) != 1 || fmt.Sprint(told[0]["userIds"]) != "[bob]" {
				t.Errorf("told %v", told)
			}
			if in := slices.ContainsFunc(w.group("show").Members, func(m imtest.MemberState) bool { return m.UserID == "bob" }); in == bans {
				t.Errorf("bob is in the room: %v", in)
			}
			if _, err := bob.Send("show", imtest.Draft{Text: "hello"}); err == nil {
				t.Error("a kicked user writes")
			}
			_ = bob.Quit("show") // as its client does that is told
			if bob.Join("show") == nil {
				t.Error("a kicked user is back")
			}
			for method, path := range map[string]string{"GET": "/history", "POST": "/media", "PUT": "/subscription"} {
				if a := p.do("bob", method, "/rooms/show"+path, `{"role":"audience"}`); a.Status != http.StatusForbidden {
					t.Errorf("%s: %d %s", path, a.Status, a.Text)
				}
			}
			p.after(301 * time.Second)
			if told := w.told("show", "unkick"); len(told) != 1 {
				t.Errorf("told %v", told)
			}
			if err := bob.Join("show"); err != nil {
				t.Error(err)
			}
			p.Quiet(p.ledger)
		})
	}
}

// TestKickedInNumbers: a hundred at once, in messages of fifty, and all back by one
// request.
func TestKickedInNumbers(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	var users []string
	for i := range 100 {
		users = append(users, fmt.Sprintf("user%03d", i))
		w.Login(users[i])
	}
	body, err := jsonOf(map[string]any{"userIds": users})
	p.Must(err)
	if got := rulestest.Into[struct{ Restrictions []liveroom.Restriction }](p, p.do(server, "POST", "/rooms/show/kick", body)); len(got.Restrictions) != 100 {
		t.Errorf("%d restrictions", len(got.Restrictions))
	}
	p.work()
	if n := len(w.group("show").Banned); n != 100 {
		t.Errorf("IM bans %d", n)
	}
	var told []string
	for _, data := range inOrder(w.told("show", "kick")) {
		for _, id := range data["userIds"].([]any) {
			told = append(told, id.(string))
		}
	}
	if !slices.Equal(told, users) {
		t.Errorf("told of %d users", len(told))
	}
	// Pages of the list hold each once.
	var listed []string
	for next, first := "", true; first || next != ""; first = false {
		page := rulestest.Into[struct {
			Restrictions []liveroom.Restriction
			Next         string
		}](p, p.do("mod", "GET", "/rooms/show/restrictions?limit=7&after="+next, ""))
		for _, one := range page.Restrictions {
			listed = append(listed, one.UserID)
		}
		next = page.Next
	}
	if !slices.Equal(listed, users) {
		t.Errorf("listed %d users", len(listed))
	}
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/unkick", body))
	p.work()
	if n := len(w.group("show").Banned); n != 0 {
		t.Errorf("IM bans %d", n)
	}
	if got := p.restrictions("show"); got != "" {
		t.Errorf("still restricted: %s", got)
	}
	p.Quiet(p.ledger)
}

// TestLastWordCounts: whatever was asked for in quick succession, IM ends where the
// store does, though a call of the first was lost and comes late.
func TestLastWordCounts(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	p.Login("bob")
	w.App.FailNext("group_open_http_svc/ban_group_member", slices.Repeat([]imtest.Fault{{LoseAnswer: true}}, 8)...)
	for range 3 {
		rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/kick", `{"userId":"bob"}`))
		p.work() // bob is banned, as far as anybody knows
		rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/mute", `{"userId":"bob"}`))
		rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/unkick", `{"userId":"bob"}`))
		rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/unmute", `{"userId":"bob"}`))
	}
	p.minutes(6)
	if g := w.group("show"); len(g.Banned) != 0 || w.Clock.Now().Before(g.Muted["bob"]) {
		t.Errorf("IM has banned %v, muted %v", g.Banned, g.Muted)
	}
	var all []map[string]any
	for _, kind := range []string{"kick", "unkick", "mute", "unmute"} {
		for _, data := range w.told("show", kind) {
			data["kind"] = kind
			all = append(all, data)
		}
	}
	var order []string
	for _, data := range inOrder(all) {
		order = append(order, data["kind"].(string))
	}
	if got := strings.Join(order, " "); got != strings.TrimSpace(strings.Repeat("kick mute unkick unmute ", 3)) {
		t.Errorf("told %s", got)
	}
	p.Quiet(p.ledger)
}

// TestKickTakenBack: whose kick is taken back before IM knows of it is not taken
// out when he has come again.
func TestKickTakenBack(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	bob, carl := p.Login("bob"), p.Login("carl")
	p.Must(bob.Join("show"))
	p.Must(carl.Join("show"))
	rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/kick", `{"userIds":["bob","carl"]}`))
	rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/unkick", `{"userId":"bob"}`))
	p.minutes(2)
	var in []string
	for _, m := range w.group("show").Members {
		in = append(in, m.UserID)
	}
	if !slices.Contains(in, "bob") || slices.Contains(in, "carl") {
		t.Errorf("in the room are %v", in)
	}
	p.Quiet(p.ledger)
}

// TestHidden: what a kicked user wrote is listed in one event and gone from the
// history, what comes late included.
func TestHidden(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	bob, eve := p.Login("bob"), p.Login("eve")
	p.Must(bob.Join("show"))
	p.Must(eve.Join("show"))
	var bad []float64
	for i := range 3 {
		sent, err := eve.Send("show", imtest.Draft{Text: fmt.Sprint("casino ", i)})
		p.Must(err)
		bad = append([]float64{float64(sent.Seq)}, bad...)
		_, err = bob.Send("show", imtest.Draft{Text: fmt.Sprint("hello ", i)})
		p.Must(err)
	}
	p.work()
	late := afterSend("show", "eve", 900, w.Clock.Now(), "casino, told late")
	rulestest.Into[any](p, p.do("mod", "POST", "/rooms/show/kick", `{"userId":"eve","hide":true}`))
	p.work()
	w.Heard(late)
	told := w.told("show", "kick")
	if len(told) != 1 || fmt.Sprint(told[0]["msgSeqs"]) != fmt.Sprint(bad) || told[0]["hide"] != true {
		t.Errorf("told %v, want %v", told, bad)
	}
	var texts []string
	for _, m := range rulestest.Into[struct{ Messages []liveroom.Message }](p, p.do("bob", "GET", "/rooms/show/history", "")).Messages {
		texts = append(texts, m.MsgBody.PlainText())
	}
	if got := strings.Join(texts, ", "); got != "hello 2, hello 1, hello 0" {
		t.Errorf("the history has %s", got)
	}
}

// TestWhoMayRestrict: servers, the owner and moderators may, and not each
// everybody.
func TestWhoMayRestrict(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	rulestest.Into[any](p, p.do(server, "POST", "/rooms", `{"roomId":"other","name":"Other","owner":"cat","moderators":["mod2"]}`, "k"))
	for _, c := range []struct {
		caller, target string
		status         int
	}{
		{server, "bob", 200},
		{"ann", "bob", 200},
		{"mod", "bob", 200},
		{"bob", "eve", 403},
		{"mod2", "bob", 403}, // of another room
		{"cat", "bob", 403},  // its owner
		{"mod", "ann", 400},  // the owner
		{server, "ann", 400},
		{"ann", "mod", 200},
		{"mod", "mod", 403},
	} {
		if a := p.do(c.caller, "POST", "/rooms/show/mute", fmt.Sprintf(`{"userId":%q}`, c.target)); a.Status != c.status {
			t.Errorf("%q mutes %s: %d %s", c.caller, c.target, a.Status, a.Text)
		}
	}
	if a := p.do("bob", "GET", "/rooms/show/restrictions", ""); a.Status != 403 {
		t.Errorf("anybody reads who is restricted: %d", a.Status)
	}
}

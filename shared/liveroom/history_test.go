package liveroom_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// history is what a user reads of a room, in pages of so many.
func (p *process) history(user, id string, limit int) string {
	p.Helper()
	var texts []string
	for next, first := "", true; first || next != ""; first = false {
		page := rulestest.Into[struct {
			Messages []liveroom.Message
			Next     string
		}](p, p.do(user, "GET", fmt.Sprintf("/rooms/%s/history?limit=%d&after=%s", id, limit, next), ""))
		if len(page.Messages) > limit {
			p.Errorf("%d messages in a page of %d", len(page.Messages), limit)
		}
		for _, m := range page.Messages {
			texts = append(texts, m.MsgBody.PlainText())
		}
		next = page.Next
	}
	return strings.Join(texts, " ")
}

// TestHistoryForNewcomers: the newest messages of this show, each once, in pages,
// without those that were recalled, for as long as they are kept.
func TestHistoryForNewcomers(t *testing.T) {
	w := onBolt(t)
	w.conf.History = liveroom.History{Messages: 5, Keep: time.Hour, Skip: func(b im.MsgBody) bool { return strings.HasPrefix(b.PlainText(), "like") }}
	p := w.process(w.store)
	p.opens("show")
	bob := p.Login("bob")
	p.Must(bob.Join("show"))
	var sent []imtest.Sent
	for i := range 8 {
		s, err := bob.Send("show", imtest.Draft{Text: fmt.Sprint("m", i)})
		p.Must(err)
		sent = append(sent, s)
		_, err = bob.Send("show", imtest.Draft{Text: "like"})
		p.Must(err)
	}
	p.work()
	for _, limit := range []int{1, 2, 3, 5, 50} {
		if got := p.history("eve", "show", limit); got != "m7 m6 m5 m4 m3" {
			t.Errorf("in pages of %d: %s", limit, got)
		}
	}
	// A callback that comes once more, and a recall that comes twice.
	w.Heard(afterSend("show", "bob", sent[7].Seq, w.Clock.Now(), "m7 once more"))
	recall := &callback.GroupAfterRecallMsg{
		Base: callback.Base{CallbackCommand: "Group.CallbackAfterRecallMsg"}, GroupID: "show", Type: im.AVRoom,
		MsgSeqList: []callback.MsgSeq{{MsgSeq: sent[6].Seq}, {MsgSeq: 500}},
	}
	w.Heard(recall)
	w.Heard(recall)
	// The recall came before the message.
	w.Heard(afterSend("show", "bob", 500, w.Clock.Now(), "recalled before it came"))
	w.Heard(afterSend("show", "bob", sent[6].Seq, w.Clock.Now(), "m6 once more"))
	if got := p.history("eve", "show", 2); got != "m7 m5 m4" {
		t.Errorf("after a recall: %s", got)
	}
	w.Advance(time.Hour + time.Second)
	if got := p.history("eve", "show", 2); got != "" {
		t.Errorf("after an hour: %s", got)
	}
	// A room created anew starts empty, whatever comes late of the old one.
	old := w.Clock.Now()
	_, err := bob.Send("show", imtest.Draft{Text: "last words"})
	p.Must(err)
	rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/close", `{}`))
	p.work()
	w.Advance(2 * time.Second)
	p.opens2("show")
	w.Heard(afterSend("show", "bob", 1, old, "told late"))
	if got := p.history("eve", "show", 2); got != "" {
		t.Errorf("a new room: %s", got)
	}
	w.Heard(afterSend("show", "bob", 1, w.Clock.Now().Add(time.Second), "first"))
	if got := p.history("eve", "show", 2); got != "first" {
		t.Errorf("a new room: %s", got)
	}
}

// TestNoHistory: switched off, nothing is archived, and the answer says by what.
func TestNoHistory(t *testing.T) {
	w := onBolt(t)
	w.conf.History = liveroom.History{}
	store := &watched{Store: w.store}
	p := w.process(store)
	p.opens("show")
	store.changes()
	w.Heard(afterSend("show", "bob", 1, w.Clock.Now(), "hello"))
	if changed := store.changes(); len(changed) > 0 {
		t.Errorf("a message wrote to %s", changed)
	}
	a := p.do("bob", "GET", "/rooms/show/history", "")
	if strings.TrimSpace(a.Text) != `{"messages":[],"off":{"messages":"ROOM_HISTORY"}}` {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestMessagesWriteNothingToTheRoom: forty messages a second cost the room's own
// partition no write, so it stays under a partition's limit however busy the room
// is; the archive takes one write each, in a partition of its own, and the author is
// noted once.
func TestMessagesWriteNothingToTheRoom(t *testing.T) {
	w := onBolt(t)
	store := &watched{Store: w.store}
	p := w.process(store)
	room := p.opens("show")
	store.changes()
	const messages = 40
	for i := range uint32(messages) {
		w.Heard(afterSend("show", "bob", i+1, w.Clock.Now(), "hello"))
	}
	changed := store.changes()
	if len(changed) != messages+1 {
		t.Errorf("%d messages of one author made %d writes", messages, len(changed))
	}
	if i := slices.IndexFunc(changed, func(partition string) bool { return partition == liveroom.Partition(room.RoomID) }); i >= 0 {
		t.Error("a message wrote to the room's own partition")
	}
}

// TestAnchorCard: who broadcasts, and who follows; each user counts once.
func TestAnchorCard(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	p.opens("late-show")
	w.Must(w.Client().SetPortrait(t.Context(), "ann", im.TextItem(im.TagNick, "Ann"), im.TextItem(im.TagImage, "https://example.com/ann.png")))
	card := func(user, id string) liveroom.AnchorCard {
		t.Helper()
		return rulestest.Into[liveroom.AnchorCard](p, p.do(user, "GET", "/rooms/"+id+"/anchor", ""))
	}
	want := liveroom.AnchorCard{AnchorInfo: liveroom.AnchorInfo{NickName: "Ann", AvatarURL: "https://example.com/ann.png"}, Notification: "welcome"}
	if got := card("bob", "show"); got != want {
		t.Errorf("%+v", got)
	}
	for range 2 { // twice is once
		rulestest.Into[any](p, p.do("bob", "PUT", "/rooms/show/subscription", ""))
		rulestest.Into[any](p, p.do("eve", "PUT", "/rooms/show/subscription", ""))
		rulestest.Into[any](p, p.do("bob", "PUT", "/rooms/late-show/subscription", ""))
	}
	want.AnchorInfo.SubscribeNum, want.AnchorInfo.FansNum, want.IsSubscribe = 2, 2, true
	if got := card("bob", "show"); got != want {
		t.Errorf("%+v", got)
	}
	want.IsSubscribe = false
	if got := card("dan", "show"); got != want {
		t.Errorf("%+v", got)
	}
	for range 2 {
		rulestest.Into[any](p, p.do("bob", "DELETE", "/rooms/show/subscription", ""))
	}
	want.AnchorInfo.SubscribeNum = 1 // bob follows her other room still
	if got := card("bob", "show"); got != want {
		t.Errorf("%+v", got)
	}
	rulestest.Into[any](p, p.do("bob", "DELETE", "/rooms/late-show/subscription", ""))
	if got := card("bob", "show"); got.AnchorInfo.FansNum != 1 {
		t.Errorf("%+v", got)
	}
}

// TestMembership: what a server says a user has paid for holds until its time, in
// this show alone.
func TestMembership(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	room := p.opens("show")
	room, err := p.rooms.Get(t.Context(), room.RoomID)
	p.Must(err)
	level := func() int64 {
		t.Helper()
		m, err := p.rooms.Membership(t.Context(), room, "bob")
		p.Must(err)
		return m.Level
	}
	put := func(body string) { rulestest.Into[any](p, p.do(server, "PUT", "/rooms/show/memberships/bob", body)) }
	put(`{"level":3}`)
	if level() != 3 {
		t.Error(level())
	}
	put(fmt.Sprintf(`{"level":5,"until":%q}`, w.Clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	if level() != 5 {
		t.Error(level())
	}
	w.Advance(time.Hour + time.Second)
	if level() != 0 {
		t.Error("a membership that is over still holds")
	}
	put(`{"level":2}`)
	put(`{"level":0}`)
	put(`{"level":0}`)
	if level() != 0 {
		t.Error("a membership that was ended still holds")
	}
	put(`{"level":2}`)
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/close", `{}`))
	p.work()
	p.opens2("show")
	room, err = p.rooms.Get(t.Context(), "show")
	p.Must(err)
	if level() != 0 {
		t.Error("a membership of the old room holds in the new one")
	}
}

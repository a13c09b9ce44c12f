package liveroom_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/rulestest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// TestEraseKeepsBooks: an erasure leaves a wallet as it is, names its balance, and makes
// no coins of a top-up that comes again.
func TestEraseKeepsBooks(t *testing.T) {
	w := onBolt(t)
	ledger := wallet.New(w.store, w.Clock.Now)
	make := func(id string, amount, balance int64) {
		t.Helper()
		why := "gift"
		if amount > 0 {
			why = wallet.TopUp
		}
		made, err := ledger.Make(w.Context(), wallet.Move{ID: id, UserID: "ann", Amount: amount, Why: why, Ref: id})
		if err != nil || made.Balance != balance {
			t.Errorf("%s: %+v, %v", id, made, err)
		}
	}
	kept := func() string {
		t.Helper()
		done := w.Erase(w.store, liveroom.UserData, "ann")
		if done.Erased != 0 || len(done.Kept) == 0 {
			t.Fatalf("%+v", done)
		}
		return done.Kept[len(done.Kept)-1].Why
	}
	make("t1", 500, 500)
	make("g1", -20, 480)
	if why := kept(); !strings.Contains(why, "books of account") || !strings.Contains(why, "The balance is 480: pay it out") {
		t.Errorf("%s", why)
	}
	make("t1", 500, 500) // again: as it was answered
	make("g2", -480, 0)
	if why := kept(); !strings.Contains(why, "books of account") || strings.Contains(why, "balance") {
		t.Errorf("%s", why)
	}
	if is, err := ledger.Account(w.Context(), "ann"); err != nil || is.Balance+is.Spent-is.Issued != 0 || is.Issued != 500 {
		t.Errorf("%+v, %v", is, err)
	}
}

// TestEraseMessages: what a user wrote in a room is exported, and an erasure removes it
// from what newcomers read. Messages of others stay, and one that is delivered again
// does not come back.
func TestEraseMessages(t *testing.T) {
	w := onBolt(t)
	w.conf.History = liveroom.History{Messages: 5, Keep: time.Hour}
	p := w.process(w.store)
	p.opens("show")
	for seq, from := range []string{"bob", "eve", "bob"} {
		w.Heard(afterSend("show", from, uint32(seq)+1, w.Clock.Now(), "of "+from))
	}
	sources := []userdata.Source{liveroom.UserData}
	page, err := userdata.Export(w.Context(), w.store, sources, "bob", "", 100)
	if text, _ := json.Marshal(page.Records); err != nil || strings.Count(string(text), "of bob") != 2 || strings.Contains(string(text), "eve") {
		t.Errorf("exported: %s, %v", text, err)
	}
	if done := w.Erase(w.store, liveroom.UserData, "bob"); done.Erased != 2 {
		t.Errorf("%+v", done)
	}
	w.Heard(afterSend("show", "bob", 3, w.Clock.Now(), "of bob once more"))
	if got := p.history("eve", "show", 5); got != "of eve" {
		t.Errorf("newcomers read %q", got)
	}
}

// TestEraseDies: a process dies at each commit of an erasure of a fan and member. Fans
// are counted down once, and other fans stay.
func TestEraseDies(t *testing.T) {
	clock := kvtest.NewClock()
	r := kvtest.Record(rulestest.Store(t, clock))
	w := newWorld(t, r, clock)
	p := w.process(r)
	p.opens("show")
	rulestest.Into[any](p, p.do("bob", "PUT", "/rooms/show/subscription", ``))
	w.EachErasure(r, liveroom.UserData, func(_ *rulestest.World, user string) func() {
		rulestest.Into[any](p, p.do(user, "PUT", "/rooms/show/subscription", ``))
		rulestest.Into[any](p, p.do(server, "PUT", "/rooms/show/memberships/"+user, `{"level":2}`))
		return func() {
			if card := rulestest.Into[liveroom.AnchorCard](p, p.do("bob", "GET", "/rooms/show/anchor", ``)); card.AnchorInfo.FansNum != 1 || !card.IsSubscribe {
				t.Errorf("after the erasure of %s: %+v", user, card)
			}
		}
	})
}

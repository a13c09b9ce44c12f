package community_test

import (
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/community/voice"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

var userData = community.UserData(voice.SeatOf, mark.Forget, thread.Forget)

// TestEraseDies: a process dies at each commit of an erasure of a member with a role.
// The others stay as they are.
func TestEraseDies(t *testing.T) {
	clock := kvtest.NewClock()
	r := kvtest.Record(rulestest.Store(t, clock))
	w := newWorld(t, r, clock, rulestest.Options{})
	p := w.process(w.store)
	p.opens("town")
	p.enters("town", "bob")
	general := p.channel("town", "general")
	p.work()
	w.EachErasure(r, userData, func(_ *rulestest.World, user string) func() {
		p.enters("town", user)
		rulestest.Into[any](p, p.do(server, "PUT", "/communities/town/members/"+user+"/role", `{"role":"moderator"}`))
		rulestest.Into[any](p, p.do(user, "POST", path("town", general, "/read"), `{"msgSeq":1}`))
		p.minutes(3)
		return func() {
			if !isIn(p, "@TGS#_town", "bob") || len(p.get("town").Channels()) != 4 {
				t.Errorf("after the erasure of %s", user)
			}
		}
	})
}

// TestEraseKicked: being erased is no way back into a community. When the kick is
// over, an erasure leaves nothing of the user.
func TestEraseKicked(t *testing.T) {
	clock := kvtest.NewClock()
	r := kvtest.Record(rulestest.Store(t, clock))
	w := newWorld(t, r, clock, rulestest.Options{})
	p := w.process(w.store)
	p.opens("town")
	user := p.enters("town", "zz-kicked")[0]
	rulestest.Into[any](p, p.do(server, "POST", "/communities/town/kick", `{"userId":"zz-kicked","seconds":600000}`))
	p.work()
	erase := func() {
		t.Helper()
		for range 2 {
			if done := w.Erase(r, userData, "zz-kicked"); len(done.Waits) != 0 {
				t.Errorf("%+v", done)
			}
			w.Advance(userdata.Settled)
		}
		p.minutes(2)
	}
	erase()
	if err := user.Join("@TGS#_town"); err == nil {
		t.Error("a kicked user is back after an erasure")
	}
	w.Advance(8 * 24 * time.Hour)
	p.minutes(2)
	if err := user.Join("@TGS#_town"); err != nil {
		t.Errorf("when the kick is over: %v", err)
	}
	p.work()
	erase()
	if found := w.Left(r, "zz-kicked"); len(found) > 0 {
		t.Errorf("left of the user: %q", found)
	}
}

package community_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// IM's callback of an exit is lost, with all of its retries: who left is out of private
// channels when somebody writes there, and out of sub-channels of the group form when
// three reviews saw too many members in them. A lost join is mended in the same way.
func TestLostCallbacks(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat", "dan", "eve")
	secret := p.adds("town", `{"name":"secret","kind":"private"}`, "secret")
	for _, user := range []string{"bob", "cat"} {
		rulestest.Into[any](p, p.do("ann", "POST", path("town", secret, "/invitations"), fmt.Sprintf(`{"userId":%q}`, user)))
	}
	general := p.channel("town", "general")
	th := p.thread("bob", "town", fmt.Sprintf(`{"name":"answers","channelId":%q,"form":"group"}`, general.ChannelID), "k1")
	rulestest.Into[any](p, p.do("cat", "PUT", voicePath("town", p.channel("town", "lobby"), "/me"), `{}`))
	p.work()

	deaf := func(do func()) {
		w.Serve(callback.NewMux())
		do()
		w.Must(w.App.Settle(t.Context()))
		p = w.process(w.store)
	}
	deaf(func() { w.Must(cl[1].Quit(prefix + "town")) })
	p.minutes(1)
	if !isIn(p, secret.GroupID, "cat") || !slices.Contains(w.members(th.GroupID), "cat") {
		t.Fatal("the exit was not lost")
	}
	w.Advance(time.Hour)
	calls := w.App.CallbackCount("Group.CallbackAfterSendMsg")
	p.says(cl[0], secret, "who is here?")
	p.work()
	if isIn(p, secret.GroupID, "cat") || strings.Contains(w.dump(), "invited/cat") {
		t.Errorf("who left the community is in a private channel:\n%s", w.dump())
	}
	if got := p.present("town"); len(got) != 0 {
		t.Errorf("and in a voice channel: %v", got)
	}
	if a := p.do(server, "GET", "/communities/town/members", ``); strings.Contains(a.Text, "cat") || !strings.Contains(a.Text, "dan") {
		t.Errorf("and listed: %s", a.Text)
	}
	if !isIn(p, secret.GroupID, "bob") || w.App.CallbackCount("Group.CallbackAfterSendMsg") == calls {
		t.Error("who stays is out")
	}

	// In sub-channels alone.
	deaf(func() {
		w.Must(cl[2].Quit(prefix + "town"))
		w.Must(w.Login("fay").Join(prefix + "town"))
		w.Must(cl[3].Quit(prefix + "town"))
	})
	same := func() bool { return slices.Equal(w.members(prefix+"town"), w.members(th.GroupID)) }
	hours := 0
	for ; hours < 6 && !same(); hours++ {
		w.Advance(time.Hour)
		if _, err := cl[0].Send(th.GroupID, imtest.Draft{Text: "hello"}); err != nil {
			t.Fatal(err)
		}
		p.work()
		p.minutes(2)
	}
	if !same() {
		t.Errorf("after %d hours the community has %q, the sub-channel %q", hours, w.members(prefix+"town"), w.members(th.GroupID))
	}
	p.minutes(3)
	w.Quiet(p.ledger)
}

// Who was brought into a private channel while nobody could be asked is taken out when
// the join is told of; who was invited, or brought in by the app's own server, stays.
func TestBroughtInUnasked(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	bob := p.enters("town", "bob", "cat", "dan", "eve")[0]
	secret := p.adds("town", `{"name":"secret","kind":"private"}`, "secret")
	for _, user := range []string{"bob", "eve"} {
		rulestest.Into[any](p, p.do("ann", "POST", path("town", secret, "/invitations"), fmt.Sprintf(`{"userId":%q}`, user)))
	}
	w.Serve(callback.NewMux()) // lets everybody pass and forgets what it hears
	if _, err := bob.Invite(secret.GroupID, "cat"); err != nil {
		t.Fatal(err)
	}
	next := w.process(w.store)
	if _, err := w.Client().AddGroupMembers(t.Context(), secret.GroupID, []string{"dan"}, true); err != nil {
		t.Fatal(err)
	}
	w.Heard(&callback.GroupAfterNewMemberJoin{
		Base: callback.Base{CallbackCommand: "Group.CallbackAfterNewMemberJoin"}, GroupID: secret.GroupID, Type: "Private", JoinType: "Invited",
		Operator: "bob", NewMembers: []callback.Member{{UserID: "cat"}, {UserID: "eve"}}, EventTime: callback.Millis(w.Clock.Now().UnixMilli()),
	})
	next.work()
	for user, in := range map[string]bool{"ann": true, "bob": true, "cat": false, "dan": true, "eve": true} {
		if isIn(next, secret.GroupID, user) != in {
			t.Errorf("%s is in: %v", user, !in)
		}
	}
	w.Quiet(next.ledger)
}

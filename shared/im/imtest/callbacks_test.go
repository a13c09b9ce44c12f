package imtest_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// The console's settings change while the app runs.
func TestConsole(t *testing.T) {
	w := newWorld(t)
	alice, bob := room(w)
	other := newBackend(t)
	c := w.app.Console()
	c.CallbackURL, c.CallbackToken, c.Callbacks = other.URL+"/elsewhere?a=b", "", []string{"Group.CallbackBeforeSendMsg"}
	c.BlockGroupOnFailure = true
	w.app.SetConsole(c)
	if _, err := alice.Send("live", imtest.Draft{Text: "hi"}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if n := len(w.backend.got("Group.CallbackBeforeSendMsg")); n != 0 {
		t.Errorf("%d callbacks went to the old URL", n)
	}
	if len(other.calls) != 1 || other.calls[0].Query.Get("a") != "b" || other.calls[0].Query.Has("Sign") {
		t.Errorf("the new URL got %+v", other.calls)
	}
	other.answers("Group.CallbackBeforeSendMsg", "no JSON")
	if _, err := alice.Send("live", imtest.Draft{Text: "ho"}); imtest.Code(err) != 80003 {
		t.Errorf("blocked: %v", err)
	}
	c.CallbackURL = ""
	w.app.SetConsole(c)
	if _, err := alice.Send("live", imtest.Draft{Text: "he"}); err != nil {
		t.Error("without a URL there is nothing to fail:", err)
	}
	if got := texts(bob.Received()); !slices.Equal(got, []string{"hi", "he"}) {
		t.Errorf("bob received %q", got)
	}
}

// What each answer to a before-callback means is noted with it.
func TestVerdictWords(t *testing.T) {
	const message, join = "Group.CallbackBeforeSendMsg", "Group.CallbackBeforeInviteJoinGroup"
	answer := func(fields string) string {
		return `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":` + fields + `}`
	}
	for _, tc := range []struct{ command, answer, want string }{
		{message, answer("0"), "allow"},
		{message, answer("1"), "reject"},
		{message, answer("2"), "drop"},
		{message, answer("10100"), "reject"},
		{message, answer("10201"), "allow"},
		{message, answer(`0,"CloudCustomData":""`), "rewrite"},
		{message, answer(`0,"MsgBody":` + textBody), "rewrite"},
		{message, answer(`0,"MsgBody":null`), "allow"},
		{message, answer(`0,"MsgBody":"***"`), "failed"}, // and the message passes as it was
		{message, `"OK"`, "failed"},
		{message, "OK", "failed"},
		{join, answer("2"), "allow"}, // nothing to drop
		{join, answer(`0,"RefusedMembers_Account":["carol"]`), "rewrite"},
	} {
		w := newWorld(t)
		_, bob := furnish(w)
		w.backend.answers(tc.command, tc.answer)
		w.rest(groups+"send_group_msg", `{"GroupId":"team","Random":9,"MsgBody":`+text("x")+`,"ForbidCallbackControl":["ForbidAfterSendMsgCallback"]}`)
		w.rest(groups+"add_group_member", `{"GroupId":"team","MemberList":[{"Member_Account":"carol"}]}`)
		var got string
		for _, c := range w.app.Callbacks() {
			if c.Command == tc.command {
				got = c.Verdict
			}
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.answer, got, tc.want)
		}
		if tc.want == "failed" {
			if got := texts(bob.Received()); got[len(got)-1] != "x" {
				t.Errorf("%s: bob received %q", tc.answer, got)
			}
		}
	}
}

// A replay sends the same body with a new signature, and nothing else happens.
func TestReplay(t *testing.T) {
	w := newWorld(t)
	alice, bob := room(w)
	if _, err := alice.Send("live", imtest.Draft{Text: "hi"}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	sent := w.app.Callbacks()
	last := sent[len(sent)-1]
	w.clock.Advance(time.Minute)
	w.backend.answers("Group.CallbackAfterSendMsg", `{"ActionStatus":"OK","ErrorInfo":"again","ErrorCode":0}`)
	again, err := w.app.Replay(last.N)
	if err != nil {
		t.Fatal(err)
	}
	hooks := w.hooks("Group.CallbackAfterSendMsg")
	if len(hooks) != 2 {
		t.Fatalf("%d callbacks, want 2", len(hooks))
	}
	same(t, hooks[1].Body, asJSON(hooks[0].Body))
	first, second := hooks[0].Query, hooks[1].Query
	if second.Get("RequestTime") != "1772366460" || second.Get("Sign") == first.Get("Sign") || second.Get("OptPlatform") != first.Get("OptPlatform") {
		t.Errorf("queries %v and %v", first, second)
	}
	if again.ReplayOf != last.N || again.Failed || again.Status != http.StatusOK || again.N <= last.N {
		t.Errorf("replayed %+v", again)
	}
	if n := len(bob.Received()); n != 1 {
		t.Errorf("bob has %d messages", n)
	}
	if n := w.app.CallbackCount("Group.CallbackAfterSendMsg"); n != 2 {
		t.Errorf("counted %d", n)
	}
	for _, n := range []int{0, -1, again.N + 1} {
		if _, err := w.app.Replay(n); imtest.Code(err) != 10004 {
			t.Errorf("replay of %d: %v", n, err)
		}
	}
}

// Old callbacks are forgotten; the numbers go on.
func TestCallbacksAreNumbered(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.RoomRate = -1; c.CallbackConnections = 8 })
	alice, _ := room(w)
	started := w.app.CallbackCount("Group.CallbackAfterSendMsg")
	_, more := w.app.CallbacksSince(1 << 30)
	for i := range 2100 {
		if _, err := alice.Send("live", imtest.Draft{Text: "x", Random: uint32(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	<-more
	list := w.app.Callbacks()
	if len(list) < 2000 || len(list) > 4000 || w.app.CallbackCount("Group.CallbackAfterSendMsg")-started != 2100 {
		t.Errorf("%d callbacks kept", len(list))
	}
	for i, c := range list {
		if c.N != list[0].N+i {
			t.Fatalf("number %d follows %d", c.N, list[i-1].N)
		}
	}
	tail, _ := w.app.CallbacksSince(list[len(list)-3].N)
	if len(tail) != 2 || tail[1].N != list[len(list)-1].N {
		t.Errorf("the last two are %v", fmt.Sprint(len(tail)))
	}
	if _, err := w.app.Replay(1); imtest.Code(err) != 10004 {
		t.Errorf("a replay of what is forgotten: %v", err)
	}
}

package imtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

func TestLoginNeedsUserSig(t *testing.T) {
	w := newWorld(t)
	good := w.sig("alice")
	for name, tc := range map[string]struct {
		user, sig string
		code      int
	}{
		"of another user": {"bob", good, 70013},
		"no UserSig":      {"alice", "nonsense", 70003},
	} {
		if _, err := w.app.Login(tc.user, tc.sig, imtest.Device{}); imtest.Code(err) != tc.code {
			t.Errorf("%s: %v, want %d", name, err, tc.code)
		}
	}
	w.clock.Advance(24*time.Hour + time.Second)
	if _, err := w.app.Login("alice", good, imtest.Device{}); imtest.Code(err) != 70001 {
		t.Errorf("expired: %v", err)
	}
}

// TestPrivateMapKeyIsNoLogin: the key lets a user into a room of TRTC only.
func TestPrivateMapKeyIsNoLogin(t *testing.T) {
	app := imtest.NewServer(imtest.Options{}).AddApp(imtest.AppConfig{SDKAppID: 1400000000, Key: key})
	signer, err := usersig.NewSigner(1400000000, key) // keys count from the machine's clock
	if err != nil {
		t.Fatal(err)
	}
	mapKey, err := signer.PrivateMapKey("alice", 1, usersig.EnterRoom, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Login("alice", mapKey, imtest.Device{}); imtest.Code(err) != 70003 {
		t.Errorf("%v, want 70003", err)
	}
	sig, err := signer.Sign("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Login("alice", sig, imtest.Device{}); err != nil {
		t.Errorf("a UserSig: %v", err)
	}
}

// What IM tells of logins: 1047/34357.
func TestStateChange(t *testing.T) {
	w := newWorld(t)
	phone := w.loginOn("alice", "iOS")
	web := w.loginOn("alice", "Web")
	again := w.loginOn("alice", "iOS")
	web.Logout()
	again.Disconnect()
	var got []string
	for _, h := range w.hooks("State.StateChange") {
		info := h.Body["Info"].(map[string]any)
		got = append(got, fmt.Sprint(h.Query.Get("OptPlatform"), " ", info["Action"], "/", info["Reason"], " ", asJSON(h.Body["KickedDevice"])))
	}
	want := []string{
		"IOS Login/Register null", "Web Login/Register null", `IOS Login/Register [{"Platform":"iOS"}]`,
		"Web Logout/Unregister null", "IOS Disconnect/LinkClose null",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if e := phone.Events(); len(e) != 1 || e[0].Kind != "kickedOffline" {
		t.Errorf("the kicked phone was told %+v", e)
	}
	if _, err := phone.SendTo("alice", imtest.Draft{Text: "x"}); err == nil {
		t.Error("the kicked phone could send")
	}
}

func TestLostConnectionIsNoticedLate(t *testing.T) {
	for platform, patience := range map[string]time.Duration{"Web": 60 * time.Second, "Android": 400 * time.Second} {
		w := newWorld(t)
		c := w.loginOn("alice", platform)
		w.settle()
		w.backend.forget()
		c.Vanish()
		w.clock.Advance(patience - time.Second)
		if n := len(w.hooks("State.StateChange")); n != 0 {
			t.Errorf("%s: told %d times before its time", platform, n)
		}
		w.clock.Advance(time.Second)
		same(t, w.hook("State.StateChange").Body["Info"], `{"Action":"Disconnect","To_Account":"alice","Reason":"TimeOut"}`)
		if err := c.Heartbeat(); err == nil {
			t.Errorf("%s: a heartbeat revived a connection that was given up", platform)
		}
	}
}

// A client that is back before IM noticed leaves no trace (1047/34357).
func TestShortAbsenceIsNotNoticed(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.loginOn("bob", "Android")
	w.settle()
	w.backend.forget()
	bob.Vanish()
	if _, err := alice.SendTo("bob", imtest.Draft{Text: "in the tunnel"}); err != nil {
		t.Fatal(err)
	}
	if n := len(bob.Received()); n != 0 {
		t.Errorf("a dark device received %d messages", n)
	}
	w.clock.Advance(399 * time.Second)
	if err := bob.Heartbeat(); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	if n := len(w.hooks("State.StateChange")); n != 0 {
		t.Errorf("told %d times", n)
	}
	if got := texts(bob.Received()); !slices.Equal(got, []string{"in the tunnel"}) {
		t.Errorf("back again, bob received %q", got)
	}
}

// Messages wait for a user who is not there.
func TestMessagesWaitForLogin(t *testing.T) {
	w := newWorld(t)
	w.login("bob").Logout()
	alice := w.login("alice")
	if _, err := alice.SendTo("bob", imtest.Draft{Text: "later"}); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.SendTo("bob", imtest.Draft{Text: "now or never", OnlineOnly: true}); err != nil {
		t.Fatal(err)
	}
	bob := w.login("bob")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	e, err := bob.Await(ctx, func(e imtest.Event) bool { return e.Kind == "message" })
	if err != nil || e.Message.Text() != "later" {
		t.Fatal(e, err)
	}
	if got := texts(w.app.Seen("bob")); !slices.Equal(got, []string{"later"}) {
		t.Errorf("bob saw %q", got)
	}
}

// memberStates are the presence callbacks as "event/cause members".
func memberStates(w *world) []string {
	var list []string
	for _, h := range w.hooks("Group.CallbackOnMemberStateChange") {
		list = append(list, fmt.Sprint(h.Body["EventType"], "/", h.Body["EventCause"], " ", asJSON(h.Body["MemberList"])))
	}
	return list
}

// Presence in an AVChatRoom is per user over all devices, checked every 20
// seconds, and lost after more than 30 (1047/48734).
func TestRoomPresence(t *testing.T) {
	w := newWorld(t)
	alice, bob := room(w)
	tablet := w.loginOn("bob", "iPad")
	if err := tablet.Join("live"); err != nil {
		t.Fatal(err)
	}
	if err := bob.Quit("live"); err != nil {
		t.Fatal(err)
	}
	if got := memberStates(w); len(got) != 0 {
		t.Errorf("a second device came and the first went: told %q", got)
	}

	tablet.Vanish()
	w.clock.Advance(30 * time.Second)
	if got := memberStates(w); len(got) != 0 {
		t.Errorf("after 30 s: told %q", got)
	}
	w.clock.Advance(10 * time.Second)
	lost := `Offline/HeartbeatInterrupt [{"Member_Account":"bob"}]`
	if got := memberStates(w); !slices.Equal(got, []string{lost}) {
		t.Errorf("after 40 s: told %q", got)
	}
	if _, err := alice.Send("live", imtest.Draft{Text: "bob?"}); err != nil {
		t.Fatal(err)
	}
	if err := tablet.Heartbeat(); err != nil {
		t.Fatal(err)
	}
	if err := tablet.Quit("live"); err != nil {
		t.Fatal(err)
	}
	want := []string{lost, `Online/HeartbeatRecover [{"Member_Account":"bob"}]`, `Offline/Quit [{"Member_Account":"bob"}]`}
	if got := memberStates(w); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if n := len(tablet.Received()); n != 0 {
		t.Errorf("an AVChatRoom kept %d messages for who was away", n)
	}
	if h := w.backend.got("Group.CallbackOnMemberStateChange")[0]; h.Query.Has("OptPlatform") {
		t.Error("its query has an OptPlatform")
	}
}

// Closing the tab is a lost heartbeat to the room, and the members lost in one
// check come in one callback.
func TestRoomLosesManyAtOnce(t *testing.T) {
	w := newWorld(t)
	alice, bob := room(w)
	alice.Disconnect()
	bob.Logout()
	w.clock.Advance(time.Minute)
	if got := memberStates(w); !slices.Equal(got, []string{`Offline/HeartbeatInterrupt [{"Member_Account":"alice"},{"Member_Account":"bob"}]`}) {
		t.Errorf("told %q", got)
	}
	if left := w.app.State().Group("live").Members; len(left) != 0 {
		t.Errorf("still in the room: %+v", left)
	}
	if n := len(w.hooks("Group.CallbackAfterMemberExit")); n != 0 {
		t.Errorf("%d exits told; a lost connection is none", n)
	}
	if err := w.login("bob").Join("live"); err != nil {
		t.Fatal(err)
	}
	if got := memberStates(w); len(got) != 2 || got[1] != `Online/Join [{"Member_Account":"bob"}]` {
		t.Errorf("told %q", got)
	}
}

func TestJoining(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.login("bob")
	for _, g := range [][2]string{{"Public", "public"}, {"Private", "work"}, {"ChatRoom", "meeting"}} {
		if _, err := alice.CreateGroup(g[0], g[1], "G"); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	w.backend.forget()
	if err := bob.Join("work"); imtest.Code(err) != 10007 {
		t.Errorf("a Work group let somebody apply: %v", err)
	}
	if err := bob.Join("nowhere"); imtest.Code(err) != 10010 {
		t.Errorf("no group: %v", err)
	}
	if err := bob.Join("public"); !errors.Is(err, imtest.ErrAwaitsConsent) {
		t.Errorf("a Public group let somebody in: %v", err)
	}
	if err := bob.Admit("public", "bob"); imtest.Code(err) != 10007 {
		t.Errorf("bob let himself in: %v", err)
	}
	if err := alice.Admit("public", "bob"); err != nil {
		t.Fatal(err)
	}
	same(t, w.hook("Group.CallbackAfterNewMemberJoin").Body, `{"CallbackCommand":"Group.CallbackAfterNewMemberJoin","GroupId":"public",
		"Type":"Public","JoinType":"Apply","Operator_Account":"alice","NewMemberList":[{"Member_Account":"bob"}],"EventTime":1772366400000}`)
	same(t, w.hooks("Group.CallbackBeforeApplyJoinGroup")[0].Body, `{"CallbackCommand":"Group.CallbackBeforeApplyJoinGroup",
		"GroupId":"public","Type":"Public","Requestor_Account":"bob","EventTime":1772366400000}`)
	if err := bob.Join("public"); imtest.Code(err) != 10013 {
		t.Errorf("twice: %v", err)
	}
	w.backend.answers("Group.CallbackBeforeApplyJoinGroup", `{"ActionStatus":"OK","ErrorInfo":"full of bobs","ErrorCode":10101}`)
	if err := bob.Join("meeting"); imtest.Code(err) != 10101 {
		t.Errorf("refused by the backend: %v", err)
	}
	if err := alice.Quit("public"); imtest.Code(err) != 10009 {
		t.Errorf("the owner left: %v", err)
	}
	if err := bob.Quit("public"); err != nil {
		t.Fatal(err)
	}
	same(t, w.hook("Group.CallbackAfterMemberExit").Body, `{"CallbackCommand":"Group.CallbackAfterMemberExit","GroupId":"public",
		"Type":"Public","ExitType":"Quit","Operator_Account":"bob","ExitMemberList":[{"Member_Account":"bob"}],"EventTime":1772366400000}`)
}

// Inviting asks the backend, which may refuse some (1047/34371).
func TestInvitation(t *testing.T) {
	w := newWorld(t)
	alice := w.login("alice")
	w.login("bob")
	w.login("jared")
	if _, err := alice.CreateGroup("Private", "work", "Work"); err != nil {
		t.Fatal(err)
	}
	w.backend.answers("Group.CallbackBeforeInviteJoinGroup", `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedMembers_Account":["jared"]}`)
	got, err := alice.Invite("work", "bob", "jared", "nobody", "alice")
	if err != nil || got["bob"] != 1 || got["jared"] != 0 || got["nobody"] != 0 || got["alice"] != 2 {
		t.Error(got, err)
	}
	same(t, w.hook("Group.CallbackBeforeInviteJoinGroup").Body["DestinationMembers"], `[{"Member_Account":"bob"},{"Member_Account":"jared"}]`)
	same(t, w.hook("Group.CallbackAfterNewMemberJoin").Body["NewMemberList"], `[{"Member_Account":"bob"}]`)
}

func TestAwaitEnds(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.login("alice").Await(ctx, func(imtest.Event) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A device that resumes is told what happened during a short silence, in its order,
// and no message of an AVChatRoom that was sent after IM counted it as offline there.
func TestADeviceThatResumesMissesNothingOfAShortSilence(t *testing.T) {
	for name, tc := range map[string]struct {
		resumes bool
		want    []string
	}{
		"resumes":  {true, []string{"message one", "recalled one", "message two", "tip joined", "message four"}},
		"does not": {false, []string{"message four"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice, _ := room(w)
			page, err := w.app.Login("rider", w.sig("rider"), imtest.Device{Tips: true, Resumes: tc.resumes})
			if err != nil {
				t.Fatal(err)
			}
			send := func(text string) imtest.Sent {
				t.Helper()
				sent, err := alice.Send("live", imtest.Draft{Text: text})
				if err != nil {
					t.Fatal(err)
				}
				return sent
			}
			if err := page.Join("live"); err != nil {
				t.Fatal(err)
			}
			n := len(page.Events())
			page.Vanish()
			one := send("one")
			if err := alice.Recall("live", "", one.Seq); err != nil {
				t.Fatal(err)
			}
			send("two")
			if err := w.login("walker").Join("live"); err != nil {
				t.Fatal(err)
			}
			if got := len(page.Events()); got != n || len(w.app.Seen("rider")) != 0 {
				t.Errorf("a silent device was told %d things", got-n)
			}
			w.clock.Advance(50 * time.Second)
			send("three")
			if err := page.Heartbeat(); err != nil {
				t.Fatal(err)
			}
			send("four")
			var got, seen []string
			for _, e := range page.Events()[n:] {
				switch {
				case e.Tip != nil:
					got = append(got, e.Kind+" "+e.Tip.What)
				default:
					got = append(got, e.Kind+" "+e.Message.Text())
				}
				if e.Kind == "message" {
					seen = append(seen, e.Message.Text())
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("told %q, want %q", got, tc.want)
			}
			if s := texts(w.app.Seen("rider")); !slices.Equal(s, seen) {
				t.Errorf("seen %q, want %q", s, seen)
			}
		})
	}
}

// A web client is in one AVChatRoom at a time: the SDK quits the earlier room
// when it joins the next. Other platforms stay in both.
func TestAWebClientIsInOneAVChatRoomAtATime(t *testing.T) {
	for _, tc := range []struct {
		platform string
		rooms    int
		want     []string
	}{
		{"Web", 0, []string{"room2"}},
		{"Web", 2, []string{"room1", "room2"}},
		{"Web", -1, []string{"room0", "room1", "room2"}},
		{"iOS", 0, []string{"room0", "room1", "room2"}},
	} {
		w := newWorld(t, func(c *imtest.AppConfig) { c.WebRooms = tc.rooms })
		alice := w.loginOn("alice", tc.platform)
		for i := range 3 {
			id := fmt.Sprint("room", i)
			w.do(groups+"create_group", `{"Type":"AVChatRoom","GroupId":"`+id+`","Name":"R"}`)
			if err := alice.Join(id); err != nil {
				t.Fatal(err)
			}
			if err := alice.Join(id); err != nil {
				t.Fatal("joining again:", err)
			}
		}
		var in []string
		for _, g := range w.app.State().Groups {
			if len(g.Members) > 0 {
				in = append(in, g.GroupID)
			}
		}
		if !slices.Equal(in, tc.want) {
			t.Errorf("%s with %d rooms is in %v, want %v", tc.platform, tc.rooms, in, tc.want)
		}
		if n := len(w.hooks("Group.CallbackAfterMemberExit")); n != 3-len(tc.want) {
			t.Errorf("%s with %d rooms: %d exits", tc.platform, tc.rooms, n)
		}
	}
}

// A room that was left, banned from or destroyed makes place for the next.
func TestALeftRoomMakesPlace(t *testing.T) {
	w := newWorld(t)
	alice := w.login("alice")
	for i, leave := range []func(id string){
		func(id string) { _ = alice.Quit(id) },
		func(id string) {
			w.do(groups+"ban_group_member", `{"GroupId":"`+id+`","Members_Account":["alice"],"Duration":60}`)
		},
		func(id string) { w.do(groups+"destroy_group", `{"GroupId":"`+id+`"}`) },
	} {
		id := fmt.Sprint("room", i)
		w.do(groups+"create_group", `{"Type":"AVChatRoom","GroupId":"`+id+`","Name":"R"}`)
		if err := alice.Join(id); err != nil {
			t.Fatal(err)
		}
		leave(id)
	}
	exits := len(w.hooks("Group.CallbackAfterMemberExit"))
	w.do(groups+"create_group", `{"Type":"AVChatRoom","GroupId":"last","Name":"R"}`)
	if err := alice.Join("last"); err != nil {
		t.Fatal(err)
	}
	if n := len(w.hooks("Group.CallbackAfterMemberExit")); n != exits {
		t.Errorf("joining quit %d rooms that were left already", n-exits)
	}
}

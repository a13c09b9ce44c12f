package imtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// ground is an app's state without what a snapshot leaves out: devices and counts of
// callbacks.
func ground(w *world) string {
	s := w.app.State()
	s.Callbacks = nil
	for i := range s.Users {
		s.Users[i].Platforms, s.Users[i].Silent = nil, nil
	}
	for i, g := range s.Groups {
		if g.Type == "AVChatRoom" {
			s.Groups[i].Members = nil
		}
	}
	return asJSON(s)
}

// stir changes something of everything that an app holds.
func stir(w *world, round int) {
	w.t.Helper()
	alice, bob := w.login("alice"), w.login("bob")
	for _, c := range []*imtest.Client{alice, bob} {
		if err := c.Join("live"); err != nil {
			w.t.Fatal(err)
		}
	}
	n := fmt.Sprint(round)
	w.importUsers("user" + n)
	for _, call := range [][2]string{
		{"openim/sendmsg", `{"From_Account":"alice","To_Account":"bob","MsgSeq":1` + n + `,"MsgRandom":1` + n + `,"MsgBody":` + text("c2c "+n) + `}`},
		{"group_open_http_svc/send_group_msg", `{"GroupId":"team","From_Account":"bob","Random":2` + n + `,"MsgBody":` + text("group "+n) + `}`},
		{"group_open_http_svc/send_group_msg", `{"GroupId":"live","From_Account":"bob","Random":3` + n + `,"MsgBody":` + text("live "+n) + `}`},
		{"group_open_http_svc/send_group_msg", `{"GroupId":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_hall","From_Account":"alice","Random":4` + n + `,"MsgBody":` + text("topic "+n) + `}`},
		{"group_open_http_svc/modify_group_base_info", `{"GroupId":"team","Name":"Team ` + n + `"}`},
		{"group_open_http_svc/modify_group_member_info", `{"GroupId":"team","Member_Account":"bob","NameCard":"card ` + n + `"}`},
		{"group_open_http_svc/set_group_attr", `{"GroupId":"live","GroupAttr":[{"key":"round","value":"` + n + `"}]}`},
		{"group_open_http_svc/update_group_counter", `{"GroupId":"live","GroupCounter":[{"Key":"likes","Value":1}],"Mode":"Increase"}`},
		{"group_open_http_svc/forbid_send_msg", `{"GroupId":"team","Members_Account":["bob"],"MuteTime":` + fmt.Sprint(60+round) + `}`},
		{"million_group_open_http_svc/modify_topic", `{"GroupId":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_hall","TopicName":"hall ` + n + `"}`},
		{"profile/portrait_set", `{"From_Account":"alice","ProfileItem":[{"Tag":"Tag_Profile_IM_Nick","Value":"Alice ` + n + `"}]}`},
		{"sns/friend_import", `{"From_Account":"alice","AddFriendItem":[{"To_Account":"user` + n + `","AddSource":"AddSource_Type_X"}]}`},
		{"sns/black_list_add", `{"From_Account":"bob","To_Account":["user` + n + `"]}`},
		{"all_member_push/im_add_tag", `{"UserTags":[{"To_Account":"alice","Tags":["tag` + n + `"]}]}`},
	} {
		w.do(call[0], call[1])
	}
	if _, err := alice.Send("team", imtest.Draft{Text: "confirm", NeedReceipt: true}); err != nil {
		w.t.Fatal(err)
	}
	seq := w.app.State().Group("team").Messages
	last := seq[len(seq)-1].Seq
	for _, err := range []error{
		bob.SendReceipts("team", "", last), alice.PinMessage("team", last, true), bob.Hide("team", "", last), alice.Recall("team", "", last-1),
		bob.Set("alice", "", func(s *imtest.ConversationSetting) { s.Custom = "x" + n }), alice.SetStatus("s" + n), bob.Read("team", "", last),
		bob.Clear("alice", ""),
	} {
		if err != nil && imtest.Code(err) != 10007 {
			w.t.Fatal(err)
		}
	}
	w.settle()
}

// A restored snapshot is the app as it was, however much happened since and however
// often it is restored; the app does not change it.
func TestSnapshots(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	stir(w, 1)
	if _, err := w.app.Snapshot("one"); err != nil {
		t.Fatal(err)
	}
	one := ground(w)
	stir(w, 2)
	two := ground(w)
	if one == two {
		t.Fatal("nothing happened")
	}
	if _, err := w.app.Snapshot("two"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range [][2]string{{"one", one}, {"two", two}, {"one", one}, {"one", one}, {"two", two}} {
		if err := w.app.Restore(tc[0]); err != nil {
			t.Fatal(err)
		}
		if got := ground(w); got != tc[1] {
			t.Fatalf("snapshot %s:\n%s\nwant\n%s", tc[0], got, tc[1])
		}
		if s := w.app.State(); len(s.User("alice").Platforms) != 0 || len(s.Group("live").Members) != 0 || len(w.app.Callbacks()) != 0 {
			t.Error("devices, presence or callbacks survive")
		}
		stir(w, 3)
	}
	w.app.Reset()
	if err := w.app.Restore("one"); err != nil || ground(w) != one {
		t.Errorf("a reset takes a snapshot along (%v)", err)
	}
}

// Nothing of a snapshot is the app's own: no map, no list and no record is shared.
func TestSnapshotsShareNothing(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	stir(w, 1)
	if _, err := w.app.Snapshot("one"); err != nil {
		t.Fatal(err)
	}
	if shared := imtest.SharedWithSnapshot(w.app, "one"); len(shared) > 0 {
		t.Errorf("shared: %q", shared)
	}
}

// A reset or a restored snapshot of one app leaves every other as it was, so that
// tests with an app each may run side by side.
func TestResetLeavesOthersWhole(t *testing.T) {
	emu := imtest.NewServer(imtest.Options{Control: true, Seed: 1})
	apps := []*imtest.App{emu.AddApp(imtest.AppConfig{SDKAppID: 1, Key: key}), emu.AddApp(imtest.AppConfig{SDKAppID: 2, Key: key})}
	for i, a := range apps {
		signer, err := usersig.NewSigner(uint32(i+1), key)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := signer.Sign("alice", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		alice, err := a.Login("alice", sig, imtest.Device{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alice.CreateGroup("Public", "team", "team"); err != nil {
			t.Fatal(err)
		}
	}
	other := func() string {
		s := apps[1].State()
		s.Now = time.Time{}
		return asJSON(s)
	}
	before := other()
	for _, path := range []string{"snapshots/full", "reset", "snapshots/full/restore", "reset"} {
		rec := httptest.NewRecorder()
		emu.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/emulator/apps/1/"+path, nil))
		if rec.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if after := other(); after != before {
			t.Errorf("%s of the one app changed the other:\n%s\n%s", path, before, after)
		}
	}
	if n := len(apps[0].State().Groups); n != 0 {
		t.Errorf("%d groups after the reset", n)
	}
}

// Snapshots over HTTP: of one app, others untouched; names are checked; what is not
// there is 404.
func TestSnapshotsOverHTTP(t *testing.T) {
	emu := imtest.NewServer(imtest.Options{Control: true, Seed: 1})
	first := emu.AddApp(imtest.AppConfig{SDKAppID: 1, Key: key})
	second := emu.AddApp(imtest.AppConfig{SDKAppID: 2, Key: key})
	call := func(method, path string, want int) string {
		t.Helper()
		rec := httptest.NewRecorder()
		emu.ServeHTTP(rec, httptest.NewRequest(method, "/emulator/apps/"+path, nil))
		if rec.Code != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, rec.Code, rec.Body, want)
		}
		return rec.Body.String()
	}
	call("POST", "1/snapshots/clean", http.StatusOK)
	for _, a := range []*imtest.App{first, second} {
		if _, err := a.Login("x", "no sig", imtest.Device{}); err == nil {
			t.Fatal("a login without a UserSig")
		}
	}
	call("POST", "2/snapshots/clean", http.StatusOK)
	if got := call("GET", "1/snapshots", http.StatusOK); !strings.Contains(got, `"name":"clean"`) || !strings.Contains(got, `"users":1`) {
		t.Errorf("list %s", got)
	}
	call("POST", "1/snapshots/clean/restore", http.StatusOK)
	call("POST", "1/snapshots/none/restore", http.StatusNotFound)
	call("POST", "3/snapshots/clean", http.StatusNotFound)
	call("POST", "1/snapshots/a%20b", http.StatusUnprocessableEntity)
	call("POST", "1/snapshots/"+strings.Repeat("x", 65), http.StatusUnprocessableEntity)
	for i := range 19 {
		call("POST", fmt.Sprint("1/snapshots/s", i), http.StatusOK)
	}
	call("POST", "1/snapshots/onemore", http.StatusUnprocessableEntity)
	call("POST", "1/snapshots/s3", http.StatusOK) // in the place of the old one
	call("DELETE", "1/snapshots/s3", http.StatusOK)
	call("DELETE", "1/snapshots/s3", http.StatusNotFound)
	call("POST", "1/snapshots/onemore", http.StatusOK)
	if n := len(second.Snapshots()); n != 1 {
		t.Errorf("the other app has %d snapshots", n)
	}
}

// An app's reset and snapshots leave the other apps of the emulator alone.
func TestResetLeavesOtherAppsAlone(t *testing.T) {
	emu := imtest.NewServer(imtest.Options{Control: true})
	apps := []*imtest.App{emu.AddApp(imtest.AppConfig{SDKAppID: 1, Key: key}), emu.AddApp(imtest.AppConfig{SDKAppID: 2, Key: key})}
	for _, a := range apps {
		if _, err := a.Snapshot("empty"); err != nil {
			t.Fatal(err)
		}
		a.NoteUnknown("sdk:x.y", nil)
	}
	for _, what := range []func() error{func() error { apps[0].Reset(); return nil }, func() error { return apps[0].Restore("empty") }} {
		if err := what(); err != nil {
			t.Fatal(err)
		}
		if len(apps[0].Calls()) != 0 || len(apps[1].Calls()) != 1 {
			t.Errorf("calls: %d and %d", len(apps[0].Calls()), len(apps[1].Calls()))
		}
	}
}

// FuzzSnapshots: after any sequence of changes and restores, a restored snapshot is
// what was there when it was taken.
func FuzzSnapshots(f *testing.F) {
	for _, seed := range []string{"\x00\x10\x01\x20", "\x10\x00\x01\x02\x20\x11\x21\x20", "\x00\x10\x10\x20\x20", "\x12\x00\x22\x01\x13\x23\x30\x20", "\x01\x10\x30\x20\x02\x20"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		if len(script) > 12 {
			script = script[:12]
		}
		w := newWorld(t)
		furnish(w)
		taken := make(map[string]string)
		for i, b := range []byte(script) {
			name := fmt.Sprint("s", b&3)
			switch b >> 4 & 3 {
			case 0:
				if w.app.State().Group("team").GroupID != "" {
					stir(w, i)
				}
			case 1:
				if _, err := w.app.Snapshot(name); err != nil {
					t.Fatal(err)
				}
				taken[name] = ground(w)
			case 2:
				err := w.app.Restore(name)
				if (err == nil) != (taken[name] != "") {
					t.Fatalf("restore %s: %v", name, err)
				}
				if got := ground(w); err == nil && got != taken[name] {
					t.Fatalf("snapshot %s:\n%s\nwant\n%s", name, got, taken[name])
				}
			case 3:
				w.app.Reset()
			}
		}
	})
}

package imtest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// Read receipts: counted once for each reader, told to the sender, asked for over
// REST; nobody sends one for a message that needs none, or for his own.
func TestReadReceipts(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.login("alice"), w.login("bob"), w.login("carol")
	w.do("group_open_http_svc/create_group", `{"Type":"Public","GroupId":"team","Name":"T","Owner_Account":"alice","MemberList":[{"Member_Account":"bob"},{"Member_Account":"carol"}]}`)
	plain, err := alice.Send("team", imtest.Draft{Text: "plain"})
	if err != nil {
		t.Fatal(err)
	}
	confirm, err := alice.Send("team", imtest.Draft{Text: "confirm", NeedReceipt: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second changes nothing
		if err := bob.SendReceipts("team", "", plain.Seq, confirm.Seq, 99); err != nil {
			t.Fatal(err)
		}
	}
	if err := alice.SendReceipts("team", "", confirm.Seq); err != nil {
		t.Fatal(err)
	}
	same(t, w.do("group_open_http_svc/get_group_msg_receipt", `{"GroupId":"team","MsgSeqList":[{"MsgSeq":1},{"MsgSeq":2}]}`)["GroupMsgReceiptList"],
		`[{"MsgSeq":1,"Code":10062},{"MsgSeq":2,"Code":0,"ReadNum":1,"UnreadNum":1}]`)
	if err := carol.SendReceipts("team", "", confirm.Seq); err != nil {
		t.Fatal(err)
	}
	out := w.do("group_open_http_svc/get_group_msg_receipt_detail", `{"GroupId":"team","MsgSeq":2,"Num":1,"Cursor":"","Flag":0}`)
	same(t, out["ReadList"], `[{"Read_Account":"bob"}]`)
	if out["IsFinish"] != 0.0 || out["Cursor"] != "bob" {
		t.Errorf("page %v", out)
	}
	out = w.do("group_open_http_svc/get_group_msg_receipt_detail", `{"GroupId":"team","MsgSeq":2,"Num":1,"Cursor":"bob","Flag":0}`)
	same(t, out["ReadList"], `[{"Read_Account":"carol"}]`)
	same(t, w.do("group_open_http_svc/get_group_msg_receipt_detail", `{"GroupId":"team","MsgSeq":2,"Num":10,"Flag":1}`)["UnreadList"], `[]`)
	for body, want := range map[string]int{
		`{"GroupId":"team","MsgSeqList":[]}`: 10004, `{"GroupId":"team","MsgSeqList":[{}]}`: 10004, `{"GroupId":"none","MsgSeqList":[{"MsgSeq":1}]}`: 10010,
	} {
		if got := code(w.rest("group_open_http_svc/get_group_msg_receipt", body)); got != want {
			t.Errorf("%s: code %d, want %d", body, got, want)
		}
	}

	sent, err := alice.SendTo("bob", imtest.Draft{Text: "to you", NeedReceipt: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := carol.SendReceiptsTo("alice", sent.Key); err != nil || w.app.State().Conversations[0].Messages[0].PeerRead {
		t.Errorf("a third user's receipt counts (%v)", err)
	}
	if err := bob.SendReceiptsTo("alice", sent.Key); err != nil || !w.app.State().Conversations[0].Messages[0].PeerRead {
		t.Errorf("the receiver's receipt does not count (%v)", err)
	}
}

// Marks of an AVChatRoom: set, listed and removed; at most ten, from 1000 on, of users
// who are there.
func TestMarks(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.login("bob")
	w.do("group_open_http_svc/create_group", `{"Type":"AVChatRoom","GroupId":"live","Name":"L","Owner_Account":"alice"}`)
	for _, c := range []*imtest.Client{alice, bob} {
		if err := c.Join("live"); err != nil {
			t.Fatal(err)
		}
	}
	const command = "group_open_avchatroom_http_svc/modify_user_info"
	same(t, w.do(command, `{"GroupId":"live","CommandType":1,"MemberList":[{"Member_Account":"bob","Marks":[1001,1000]},{"Member_Account":"nobody","Marks":[1000]}]}`)["MemberList"],
		`[{"Member_Account":"bob","Marks":[1000,1001]}]`)
	listed := func(mark string) string {
		return asJSON(w.do("group_open_avchatroom_http_svc/get_members", `{"GroupId":"live","Timestamp":0,"Mark":`+mark+`}`)["MemberList"])
	}
	if got := listed("1001"); !strings.Contains(got, "bob") || strings.Contains(got, "alice") {
		t.Errorf("marked 1001: %s", got)
	}
	w.do(command, `{"GroupId":"live","CommandType":2,"MemberList":[{"Member_Account":"bob","Marks":[1001]}]}`)
	if got := listed("1001"); strings.Contains(got, "bob") {
		t.Errorf("after the mark was removed: %s", got)
	}
	before := asJSON(w.app.State().Groups)
	for body, want := range map[string]int{
		`{"GroupId":"live","CommandType":3,"MemberList":[{"Member_Account":"bob","Marks":[1000]}]}`:                                              10004,
		`{"GroupId":"live","CommandType":1,"MemberList":[{"Member_Account":"bob","Marks":[999]}]}`:                                               10004,
		`{"GroupId":"live","CommandType":1,"MemberList":[{"Member_Account":"bob","Marks":[1001,1002,1003,1004,1005,1006,1007,1008,1009,1010]}]}`: 10004,
		`{"GroupId":"none","CommandType":1,"MemberList":[{"Member_Account":"bob","Marks":[1000]}]}`:                                              10010,
	} {
		if got := code(w.rest(command, body)); got != want {
			t.Errorf("%s: code %d, want %d", body, got, want)
		}
	}
	if after := asJSON(w.app.State().Groups); after != before {
		t.Errorf("refused marks changed something:\n%s\n%s", before, after)
	}
	if _, err := bob.Do(command, []byte(`{"GroupId":"live","CommandType":1,"MemberList":[{"Member_Account":"bob","Marks":[1000]}]}`)); imtest.Code(err) != 10007 {
		t.Errorf("a viewer marks: %v", err)
	}
}

// What users set for themselves is theirs alone, survives their logins, and ends
// where it is taken back.
func TestSettings(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.login("bob")
	if _, err := alice.SendTo("bob", imtest.Draft{Text: "hi"}); err != nil {
		t.Fatal(err)
	}
	pin := func(s *imtest.ConversationSetting) { s.Pinned = start }
	if err := bob.Set("alice", "", pin); err != nil {
		t.Fatal(err)
	}
	contacts := `{"From_Account":"bob","TimeStamp":0,"StartIndex":0,"TopTimeStamp":0,"TopStartIndex":0,"AssistFlags":7}`
	if got := asJSON(w.do("recentcontact/get_list", contacts)["SessionItem"]); !strings.Contains(got, `"TopFlag":1`) {
		t.Errorf("the REST API's list: %s", got)
	}
	bob.Logout()
	bob = w.login("bob")
	if bob.Setting("alice", "").Pinned != start || !alice.Setting("bob", "").Pinned.IsZero() {
		t.Error("the pin is not bob's alone, or did not stay")
	}
	for name, tc := range map[string]struct {
		user, group string
		change      func(*imtest.ConversationSetting)
		code        int
	}{
		"nobody":      {"nobody", "", pin, 50003},
		"both":        {"alice", "team", pin, 50001},
		"no group":    {"", "none", pin, 10007},
		"flag":        {"alice", "", func(s *imtest.ConversationSetting) { s.Flag = "Loud" }, 50001},
		"mark":        {"alice", "", func(s *imtest.ConversationSetting) { s.Marks = []int{64} }, 50001},
		"custom data": {"alice", "", func(s *imtest.ConversationSetting) { s.Custom = strings.Repeat("x", 257) }, 50001},
	} {
		if err := bob.Set(tc.user, tc.group, tc.change); imtest.Code(err) != tc.code {
			t.Errorf("%s: %v, want code %d", name, err, tc.code)
		}
	}
	if err := bob.Set("alice", "", func(s *imtest.ConversationSetting) { *s = imtest.ConversationSetting{} }); err != nil || w.app.State().User("bob").Settings != nil {
		t.Errorf("an empty setting stays (%v)", err)
	}
}

// Messages that a user deletes or clears are gone from that user's history alone.
func TestHiddenMessages(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.login("bob")
	w.do("group_open_http_svc/create_group", `{"Type":"Public","GroupId":"team","Name":"T","Owner_Account":"alice","MemberList":[{"Member_Account":"bob"}]}`)
	var keys []string
	var seqs []uint32
	for _, text := range []string{"one", "two"} {
		c2c, err := alice.SendTo("bob", imtest.Draft{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		group, err := alice.Send("team", imtest.Draft{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		keys, seqs = append(keys, c2c.Key), append(seqs, group.Seq)
	}
	seen := func(c *imtest.Client, peer string) (all []string) {
		page, err := c.HistoryWith(peer, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		inGroup, err := c.History("team", "", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Concat(texts(page), texts(inGroup))
	}
	if err := bob.HideFrom("alice", keys[0], "none"); err != nil {
		t.Fatal(err)
	}
	if err := bob.Hide("team", "", seqs[1], 99); err != nil {
		t.Fatal(err)
	}
	if got := seen(bob, "alice"); !slices.Equal(got, []string{"two", "one"}) {
		t.Errorf("bob sees %v", got)
	}
	if err := bob.Clear("alice", ""); err != nil {
		t.Fatal(err)
	}
	if err := bob.Clear("", "team"); err != nil {
		t.Fatal(err)
	}
	if got := seen(bob, "alice"); len(got) != 0 {
		t.Errorf("after clearing bob sees %v", got)
	}
	if got := seen(alice, "bob"); len(got) != 4 {
		t.Errorf("alice sees %v", got)
	}
	for _, c := range bob.Conversations() {
		if c.Unread != 0 {
			t.Errorf("cleared messages are unread: %+v", c)
		}
	}
}

// Who watches a user is told of logins, logouts, silence and the user's own text.
func TestStatus(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.login("bob")
	w.importUsers("carol")
	if err := alice.Watch("bob", "carol"); err != nil {
		t.Fatal(err)
	}
	if err := bob.SetStatus("busy"); err != nil {
		t.Fatal(err)
	}
	bob.Vanish()
	if err := bob.Heartbeat(); err != nil {
		t.Fatal(err)
	}
	bob.Logout()
	w.login("carol")
	alice.Unwatch("bob")
	w.login("bob")
	var told []string
	for _, e := range alice.Events() {
		if e.Kind == "status" {
			told = append(told, e.UserID+" "+asJSON(e.Status))
		}
	}
	want := []string{
		`bob {"Type":1,"Custom":"busy"}`, `bob {"Type":2,"Custom":""}`, `bob {"Type":1,"Custom":"busy"}`, `bob {"Type":3,"Custom":""}`, `carol {"Type":1,"Custom":""}`,
	}
	if !slices.Equal(told, want) {
		t.Errorf("alice was told %q, want %q", told, want)
	}
	if _, is := alice.StatusOf("nobody"); is {
		t.Error("nobody has a status")
	}
	if err := bob.SetStatus("x"); imtest.Code(err) != 6014 {
		t.Errorf("a device that is logged out sets a status: %v", err)
	}
}

// Leaders pin messages of a group; recalled ones are no longer there.
func TestPinnedMessages(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.login("bob")
	w.do("group_open_http_svc/create_group", `{"Type":"Public","GroupId":"team","Name":"T","Owner_Account":"alice","MemberList":[{"Member_Account":"bob"}]}`)
	for range 12 {
		if _, err := alice.Send("team", imtest.Draft{Text: "m"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := bob.PinMessage("team", 1, true); imtest.Code(err) != 10007 {
		t.Errorf("a member pins: %v", err)
	}
	if err := alice.PinMessage("team", 99, true); imtest.Code(err) != 10030 {
		t.Errorf("no message is pinned: %v", err)
	}
	for seq := range uint32(10) {
		if err := alice.PinMessage("team", seq+1, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := alice.PinMessage("team", 11, true); imtest.Code(err) != 10071 {
		t.Errorf("an eleventh: %v", err)
	}
	if err := alice.PinMessage("team", 1, false); err != nil {
		t.Fatal(err)
	}
	if err := alice.Recall("team", "", 10); err != nil {
		t.Fatal(err)
	}
	pinned, err := bob.PinnedMessages("team")
	if err != nil || len(pinned) != 8 || pinned[0].Message.Seq != 9 || pinned[0].By != "alice" {
		t.Errorf("pinned %v, %v", pinned, err)
	}
}

// An applicant who is turned away may apply again.
func TestApplications(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.login("bob")
	w.do("group_open_http_svc/create_group", `{"Type":"Public","GroupId":"club","Name":"Club","Owner_Account":"alice","ApplyJoinOption":"NeedPermission"}`)
	for _, answer := range []func(group, user string) error{alice.Refuse, alice.Admit} {
		if err := bob.Join("club"); err != imtest.ErrAwaitsConsent { //nolint:errorlint // it is the value itself
			t.Fatal(err)
		}
		if got := asJSON(alice.Applications()); got != `[{"GroupID":"club","GroupName":"Club","UserID":"bob"}]` {
			t.Errorf("applications %s", got)
		}
		if err := bob.Refuse("club", "bob"); imtest.Code(err) != 10007 {
			t.Errorf("the applicant decides: %v", err)
		}
		if err := answer("club", "bob"); err != nil {
			t.Fatal(err)
		}
		if got := alice.Applications(); len(got) != 0 {
			t.Errorf("applications %v", got)
		}
	}
	if m := w.app.State().Group("club").Members; len(m) != 2 {
		t.Errorf("members %v", m)
	}
}

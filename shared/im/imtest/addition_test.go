package imtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// Reactions count each user once, are told to everybody who has the message, go with
// their last user, and are bounded; strangers put none.
func TestReactions(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.login("alice"), w.login("bob"), w.login("carol")
	w.do("group_open_http_svc/create_group", `{"Type":"Public","GroupId":"team","Name":"T","Owner_Account":"alice","MemberList":[{"Member_Account":"bob"}]}`)
	sent, err := alice.Send("team", imtest.Draft{Text: "who comes?"})
	if err != nil {
		t.Fatal(err)
	}
	ref := imtest.MessageRef{GroupID: "team", Seq: sent.Seq}
	for _, c := range []*imtest.Client{bob, bob, alice} { // bob's second is a no-op
		if err := c.React(ref, "me", true); err != nil {
			t.Fatal(err)
		}
	}
	reactions := func() any { return w.app.State().Group("team").Messages[0].Reactions }
	same(t, reactions(), `[{"id":"me","users":["bob","alice"]}]`)
	if err := carol.React(ref, "me", true); imtest.Code(err) != 10007 {
		t.Errorf("a stranger reacts: %v", err)
	}
	if err := bob.React(imtest.MessageRef{GroupID: "team", Seq: 99}, "me", true); imtest.Code(err) != 10030 {
		t.Errorf("a message that is not there: %v", err)
	}
	for i := range 20 {
		_ = bob.React(ref, fmt.Sprint("r", i), true)
	}
	if err := bob.React(ref, strings.Repeat("x", 65), true); imtest.Code(err) != 10004 {
		t.Errorf("a long reaction: %v", err)
	}
	if m, err := bob.Message(ref); err != nil || len(m.Reactions) != 10 {
		t.Errorf("%d reactions, %v", len(m.Reactions), err)
	}
	for i := range 20 {
		_ = bob.React(ref, fmt.Sprint("r", i), false)
	}
	for _, c := range []*imtest.Client{bob, alice} {
		if err := c.React(ref, "me", false); err != nil {
			t.Fatal(err)
		}
	}
	same(t, reactions(), `[]`)
}

// A key that somebody else wrote since has 23001 and comes back as it is; what was
// deleted and cleared is told to who asks since an earlier write. The REST API and
// users write the same.
func TestExtensions(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.login("bob")
	sent, err := alice.SendTo("bob", imtest.Draft{Text: "tea?", Extensible: true})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := alice.SendTo("bob", imtest.Draft{Text: "plain"})
	if err != nil {
		t.Fatal(err)
	}
	body := func(key, more string) string {
		return fmt.Sprintf(`{"From_Account":"alice","To_Account":"bob","MsgKey":%q%s}`, key, more)
	}
	const set, get = "openim_msg_ext_http_svc/set_key_values", "openim_msg_ext_http_svc/get_key_values"
	out := w.do(set, body(sent.Key, `,"OperateType":1,"ExtensionList":[{"Key":"k","Value":"one","Seq":0}]`))
	same(t, out["ExtensionList"], `[{"ErrorCode":0,"Extension":{"Key":"k","Value":"one","Seq":1}}]`)
	answer, err := bob.Do(set, []byte(body(sent.Key, `,"OperateType":1,"ExtensionList":[{"Key":"k","Value":"two","Seq":0},{"Key":"l","Value":"x","Seq":0}]`)))
	if err != nil || !strings.Contains(string(answer), `{"ErrorCode":23001,"Extension":{"Key":"k","Value":"one","Seq":1}},{"ErrorCode":0,"Extension":{"Key":"l","Value":"x","Seq":2}}`) {
		t.Errorf("%s, %v", answer, err)
	}
	w.do(set, body(sent.Key, `,"OperateType":2,"ExtensionList":[{"Key":"k","Value":"","Seq":1}]`))
	out = w.do(get, body(sent.Key, `,"StartSeq":2`))
	same(t, out["ExtensionList"], `[{"Key":"l","Value":"x","Seq":2},{"Key":"k","Value":"","Seq":3}]`)
	same(t, w.app.State().Conversations[0].Messages[0].Extensions, `{"l":"x"}`)
	w.do(set, body(sent.Key, `,"OperateType":3`))
	out = w.do(get, body(sent.Key, ``))
	same(t, []any{out["ExtensionList"], out["LatestSeq"], out["ClearSeq"]}, `[[],4,4]`)
	for more, want := range map[string]int{
		`,"OperateType":4`: 90001, `,"OperateType":1`: 90001, `,"OperateType":1,"ExtensionList":[{"Key":""}]`: 90001,
		`,"OperateType":1,"ExtensionList":[{"Key":"k","Value":"` + strings.Repeat("x", 1025) + `"}]`: 90001,
	} {
		if got := code(w.rest(set, body(sent.Key, more))); got != want {
			t.Errorf("%.60s: code %d, want %d", more, got, want)
		}
	}
	if got := code(w.rest(set, body(plain.Key, `,"OperateType":3`))); got != 90001 {
		t.Errorf("a message without SupportMessageExtension: code %d", got)
	}
	if got := code(w.rest(get, body("1_2_3", ``))); got != 20022 {
		t.Errorf("a message that is not there: code %d", got)
	}
}

// Searches find what the user may see: not what others said to each other, was
// recalled, or is in a Work group of others.
func TestSearch(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.login("alice"), w.login("bob"), w.login("carol")
	w.do("group_open_http_svc/create_group", `{"Type":"Public","GroupId":"lamps","Name":"Lamps","Owner_Account":"alice","MemberList":[{"Member_Account":"bob"}]}`)
	w.do("group_open_http_svc/create_group", `{"Type":"Private","GroupId":"secret-lamps","Name":"S","Owner_Account":"carol"}`)
	for _, send := range []func() (imtest.Sent, error){
		func() (imtest.Sent, error) { return alice.SendTo("bob", imtest.Draft{Text: "The blue LAMP"}) },
		func() (imtest.Sent, error) { return carol.SendTo("bob", imtest.Draft{Text: "my lamp"}) },
		func() (imtest.Sent, error) { return bob.Send("lamps", imtest.Draft{Text: "a lamp for all"}) },
	} {
		if _, err := send(); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := alice.Send("lamps", imtest.Draft{Text: "a broken lamp"})
	if err != nil {
		t.Fatal(err)
	}
	if err := alice.Recall("lamps", "", gone.Seq); err != nil {
		t.Fatal(err)
	}
	find := func(q imtest.MessageSearch) (list []string) {
		for _, f := range alice.Search(q) {
			list = append(list, texts(f.Messages)...)
		}
		slices.Sort(list)
		return list
	}
	same(t, find(imtest.MessageSearch{Words: []string{"lamp"}}), `["The blue LAMP","a lamp for all"]`)
	same(t, find(imtest.MessageSearch{Words: []string{"lamp", "blue"}, All: true}), `["The blue LAMP"]`)
	same(t, find(imtest.MessageSearch{Senders: []string{"bob"}, Types: []string{"TIMTextElem"}}), `["a lamp for all"]`)
	same(t, find(imtest.MessageSearch{Words: []string{"lamp"}, UserID: "bob"}), `["The blue LAMP"]`)
	same(t, alice.SearchGroups([]string{"lamps"}, false), `["lamps"]`)
	same(t, alice.SearchUsers([]string{"car"}, false), `["carol"]`)
	same(t, alice.SearchMembers([]string{"bo"}, false), `[{"GroupID":"lamps","UserID":"bob","NameCard":""}]`)
}

// Conversation groups keep their conversations under a new name, and go from them
// when they are deleted; a snapshot has them.
func TestConversationGroups(t *testing.T) {
	w := newWorld(t)
	alice := w.login("alice")
	w.login("bob")
	g, err := alice.NameConversationGroup("", "friends")
	if err != nil {
		t.Fatal(err)
	}
	join := func(name string) error {
		return alice.Set("bob", "", func(s *imtest.ConversationSetting) { s.Groups = append(s.Groups, name) })
	}
	if err := join("friends"); err != nil {
		t.Fatal(err)
	}
	if err := join("nobody"); imtest.Code(err) != 50001 {
		t.Errorf("a group that does not exist: %v", err)
	}
	if renamed, err := alice.NameConversationGroup("friends", "dear"); err != nil || renamed != (imtest.ConversationGroup{ID: g.ID, Name: "dear"}) {
		t.Errorf("renamed %v, %v", renamed, err)
	}
	same(t, w.app.State().User("alice").Settings, `{"C2Cbob":{"groups":["dear"]}}`)
	for range 30 {
		_, err = alice.NameConversationGroup("", fmt.Sprint("g", len(alice.ConversationGroups())))
	}
	if n := len(alice.ConversationGroups()); n != 20 || imtest.Code(err) != 50001 {
		t.Errorf("%d groups, %v", n, err)
	}
	if _, err := w.app.Snapshot("prepared"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.NameConversationGroup("dear", ""); err != nil {
		t.Fatal(err)
	}
	if s := w.app.State().User("alice").Settings; len(s) != 0 {
		t.Errorf("settings %v", s)
	}
	if err := w.app.Restore("prepared"); err != nil {
		t.Fatal(err)
	}
	same(t, w.app.State().User("alice").Settings, `{"C2Cbob":{"groups":["dear"]}}`)
}

// In the console's mode of one kind of device at once, a login on another platform
// kicks what is there; the same platform has its own rule.
func TestOnePlatform(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.OnePlatform = true })
	web := w.login("alice")
	w.loginOn("alice", "iOS")
	events := web.Events()
	if last := events[len(events)-1]; last.Kind != "kickedOffline" || last.Reason != "platform" {
		t.Errorf("last event %+v", last)
	}
	same(t, w.app.State().User("alice").Platforms, `["iOS"]`)
}

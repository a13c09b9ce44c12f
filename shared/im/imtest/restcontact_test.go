package imtest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// 1047/43087, 269/62119.
func TestRecentContacts(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	const list, remove = "recentcontact/get_list", "recentcontact/delete"
	page := func(user string, from int) map[string]any {
		t.Helper()
		return w.do(list, fmt.Sprintf(`{"From_Account":%q,"TimeStamp":0,"StartIndex":%d,"TopTimeStamp":0,"TopStartIndex":0,"AssistFlags":5}`, user, from))
	}
	w.clock.Advance(time.Second)
	if _, err := bob.Send("team", imtest.Draft{Text: "later"}); err != nil {
		t.Fatal(err)
	}
	same(t, page("alice", 0), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"SessionItem":[
		{"Type":2,"GroupId":"team","MsgTime":1772366401,"TopFlag":0},{"Type":1,"To_Account":"bob","MsgTime":1772366400,"TopFlag":0}],
		"CompleteFlag":1,"TimeStamp":0,"StartIndex":0,"TopTimeStamp":0,"TopStartIndex":0}`)

	// Off the list until the next message, and off alice's side of the history.
	w.do(remove, `{"From_Account":"alice","Type":1,"To_Account":"bob","ClearRamble":1}`)
	w.do(remove, `{"From_Account":"alice","Type":2,"ToGroupid":"team"}`)
	same(t, page("alice", 0)["SessionItem"], `[]`)
	same(t, page("bob", 0)["SessionItem"], `[{"Type":2,"GroupId":"team","MsgTime":1772366401,"TopFlag":0},{"Type":1,"To_Account":"alice","MsgTime":1772366400,"TopFlag":0}]`)
	if _, err := bob.SendTo("alice", imtest.Draft{Text: "again"}); err != nil {
		t.Fatal(err)
	}
	same(t, page("alice", 0)["SessionItem"], `[{"Type":1,"To_Account":"bob","MsgTime":1772366401,"TopFlag":0}]`)
	for c, want := range map[*imtest.Client][]string{alice: {"again"}, bob: {"again", "first"}} {
		other := map[*imtest.Client]string{alice: "bob", bob: "alice"}[c]
		if got, err := c.HistoryWith(other, "", 9); err != nil || !slices.Equal(texts(got), want) {
			t.Errorf("%s has %q with %s, %v", c.UserID(), texts(got), other, err)
		}
	}

	// A hundred to a page.
	for i := range 105 {
		id := fmt.Sprintf("many%03d", i)
		w.login(id)
		if _, err := bob.SendTo(id, imtest.Draft{Text: "hi"}); err != nil {
			t.Fatal(err)
		}
	}
	first := page("bob", 0)
	second := page("bob", int(first["StartIndex"].(float64)))
	if a, b := len(first["SessionItem"].([]any)), len(second["SessionItem"].([]any)); a != 100 || b != 7 || first["CompleteFlag"] != 0.0 || second["CompleteFlag"] != 1.0 {
		t.Errorf("pages of %d and %d, complete: %v, %v", a, b, first["CompleteFlag"], second["CompleteFlag"])
	}
	w.check(t, []restCase{
		{"of nobody", list, `{"From_Account":"nobody","TimeStamp":0,"StartIndex":0,"TopTimeStamp":0,"TopStartIndex":0,"AssistFlags":5}`, 50003},
		{"without AssistFlags", list, `{"From_Account":"bob","TimeStamp":0,"StartIndex":0,"TopTimeStamp":0,"TopStartIndex":0}`, 50001},
		{"before the first", list, `{"From_Account":"bob","TimeStamp":0,"StartIndex":-1,"TopTimeStamp":0,"TopStartIndex":0,"AssistFlags":5}`, 50001},
		{"no Type", remove, `{"From_Account":"bob","To_Account":"alice"}`, 50001},
		{"the other name of the group", remove, `{"From_Account":"bob","Type":2,"GroupId":"team"}`, 50001},
		{"nobody's", remove, `{"From_Account":"nobody","Type":1,"To_Account":"alice"}`, 50003},
	})
}

// 269/12525, 1047/34908, 1047/34914.
func TestFriendFields(t *testing.T) {
	w := newWorld(t)
	w.importUsers("a", "b", "c")
	w.do("sns/friend_add", `{"From_Account":"a","AddFriendItem":[{"To_Account":"b","AddSource":"AddSource_Type_App","Remark":"r","GroupName":"g"},
		{"To_Account":"c","AddSource":"AddSource_Type_App"}],"AddType":"Add_Type_Single"}`)
	same(t, w.do("sns/friend_update", `{"From_Account":"a","UpdateItem":[
		{"To_Account":"c","SnsItem":[{"Tag":"Tag_SNS_IM_Group","Value":["x","y"]},{"Tag":"Tag_SNS_Custom_level","Value":3}]},
		{"To_Account":"a","SnsItem":[{"Tag":"Tag_SNS_IM_Remark","Value":"me"}]},
		{"To_Account":"b","SnsItem":[{"Tag":"Tag_SNS_IM_Remark","Value":7}]},
		{"To_Account":"b","SnsItem":[{"Tag":"Tag_SNS_Custom_muchtoolong","Value":7}]},
		{"To_Account":"b","SnsItem":[]}]}`)["ResultItem"], `[{"To_Account":"c","ResultCode":0,"ResultInfo":""},
		{"To_Account":"a","ResultCode":31704,"ResultInfo":"no friend"},{"To_Account":"b","ResultCode":30001,"ResultInfo":"SnsItem does not fit"},
		{"To_Account":"b","ResultCode":30001,"ResultInfo":"SnsItem does not fit"},{"To_Account":"b","ResultCode":30001,"ResultInfo":"SnsItem does not fit"}]`)
	same(t, w.do("sns/friend_get", `{"From_Account":"a","StartIndex":0}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"UserDataItem":[
		{"To_Account":"b","ValueItem":[{"Tag":"Tag_SNS_IM_AddSource","Value":"AddSource_Type_App"},{"Tag":"Tag_SNS_IM_AddTime","Value":1772366400},
			{"Tag":"Tag_SNS_IM_Group","Value":["g"]},{"Tag":"Tag_SNS_IM_Remark","Value":"r"}]},
		{"To_Account":"c","ValueItem":[{"Tag":"Tag_SNS_IM_AddSource","Value":"AddSource_Type_App"},{"Tag":"Tag_SNS_IM_AddTime","Value":1772366400},
			{"Tag":"Tag_SNS_IM_Group","Value":["x","y"]},{"Tag":"Tag_SNS_Custom_level","Value":3}]}],
		"StandardSequence":0,"CustomSequence":0,"FriendNum":2,"CompleteFlag":1,"NextStartIndex":0}`)

	w.do("sns/black_list_add", `{"From_Account":"a","To_Account":["b","c"]}`)
	same(t, w.do("sns/black_list_get", `{"From_Account":"a","StartIndex":0,"MaxLimited":1,"LastSequence":0}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"BlackListItem":[{"To_Account":"b","AddBlackTimeStamp":1772366400}],"StartIndex":1,"CurruentSequence":2}`)
	same(t, w.do("sns/black_list_get", `{"From_Account":"a","StartIndex":1,"MaxLimited":1,"LastSequence":0}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"BlackListItem":[{"To_Account":"c","AddBlackTimeStamp":1772366400}],"StartIndex":0,"CurruentSequence":2}`)
	w.check(t, []restCase{
		{"friends of nobody", "sns/friend_get", `{"From_Account":"nobody","StartIndex":0}`, 30003},
		{"friends before the first", "sns/friend_get", `{"From_Account":"a","StartIndex":-1}`, 30001},
		{"no update", "sns/friend_update", `{"From_Account":"a"}`, 30001},
		{"an update of nobody's", "sns/friend_update", `{"From_Account":"nobody","UpdateItem":[{"To_Account":"b"}]}`, 30003},
		{"the blacklist of nobody", "sns/black_list_get", `{"From_Account":"nobody","MaxLimited":1}`, 30003},
		{"a blacklist without MaxLimited", "sns/black_list_get", `{"From_Account":"a"}`, 30001},
		{"a blacklist of 1001", "sns/black_list_get", `{"From_Account":"a","MaxLimited":1001}`, 30001},
	})
}

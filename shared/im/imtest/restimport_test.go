package imtest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// 269/2568: imported one-to-one messages stand at their own time; those brought
// in as history count and ring nowhere, live ones do, and nothing calls back.
func TestImportedOneToOneMessagesKeepTheirTime(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	told := len(bob.Received())
	put := func(kind int, seq int, at time.Duration, body string) {
		t.Helper()
		w.do("openim/importmsg", fmt.Sprintf(`{"SyncFromOldSystem":%d,"From_Account":"alice","To_Account":"bob","MsgSeq":%d,"MsgRandom":%d,"MsgTimeStamp":%d,"MsgBody":%s}`,
			kind, seq, seq, start.Add(at).Unix(), text(body)))
	}
	unread := func() any {
		return w.do("openim/get_c2c_unread_msg_num", `{"To_Account":"bob","Peer_Account":["alice"]}`)["AllC2CUnreadMsgNum"]
	}
	before := unread()
	put(2, 10, -2*time.Hour, "second")
	put(2, 11, -3*time.Hour, "earliest")
	put(2, 10, -2*time.Hour, "second") // the same again
	list, err := bob.HistoryWith("alice", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(list); !slices.Equal(got, []string{"first", "second", "earliest"}) {
		t.Errorf("history %q", got)
	}
	if n := len(bob.Received()); n != told || unread() != before {
		t.Errorf("history rang: %d messages, %v unread", n-told, unread())
	}
	put(5, 12, -time.Hour, "live")
	put(1, 13, -time.Hour, "live, in older documents")
	if n := len(bob.Received()); n != told+2 || unread() != before.(float64)+2 {
		t.Errorf("live messages: %d arrived, %v unread", n-told, unread())
	}
	w.settle()
	if list := w.backend.got("C2C.CallbackAfterSendMsg"); len(list) > 0 {
		t.Errorf("an import called back: %v", list)
	}
	const command = "openim/importmsg"
	body := func(fields string) string {
		return `{"From_Account":"alice","To_Account":"bob","MsgBody":` + textBody + `,` + fields + `}`
	}
	w.check(t, []restCase{
		{"no SyncFromOldSystem", command, body(`"MsgRandom":1,"MsgTimeStamp":1`), 90001},
		{"another", command, body(`"SyncFromOldSystem":3,"MsgRandom":1,"MsgTimeStamp":1`), 90001},
		{"no MsgRandom", command, body(`"SyncFromOldSystem":2,"MsgTimeStamp":1`), 90005},
		{"no MsgTimeStamp", command, body(`"SyncFromOldSystem":2,"MsgRandom":1`), 90001},
		{"in the future", command, body(`"SyncFromOldSystem":2,"MsgRandom":1,"MsgTimeStamp":4000000000`), 90001},
		{"from nobody", command, `{"SyncFromOldSystem":2,"From_Account":"nobody","To_Account":"bob","MsgRandom":1,"MsgTimeStamp":1,"MsgBody":` + textBody + `}`, 90008},
		{"to nobody", command, `{"SyncFromOldSystem":2,"From_Account":"bob","To_Account":"nobody","MsgRandom":1,"MsgTimeStamp":1,"MsgBody":` + textBody + `}`, 20003},
	})
	w = newWorld(t, func(c *imtest.AppConfig) { c.Strict = true })
	furnish(w)
	w.check(t, []restCase{{"the older value, where the app is strict", command, body(`"SyncFromOldSystem":1,"MsgRandom":1,"MsgTimeStamp":1`), 90001}})
}

// 269/1634, 269/1636, 269/1635, 269/1637: a group is brought along with its age,
// members and messages; nothing calls back.
func TestImportedGroupsKeepTheirAge(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	ago := func(d time.Duration) int64 { return start.Add(-d).Unix() }
	w.do(groups+"import_group", fmt.Sprintf(`{"Type":"Public","GroupId":"old","Name":"Old","Owner_Account":"alice","CreateTime":%d}`, ago(10*time.Hour)))
	same(t, w.do(groups+"import_group_msg", fmt.Sprintf(`{"GroupId":"old","MsgList":[
		{"From_Account":"alice","SendTime":%d,"Random":1,"MsgBody":%s},{"From_Account":"alice","SendTime":%d,"Random":2,"MsgBody":%s},
		{"From_Account":"alice","SendTime":%d,"MsgBody":%s},{"From_Account":"alice","SendTime":%d,"MsgBody":%s},{"From_Account":"nobody","SendTime":%d,"MsgBody":%s}]}`,
		ago(9*time.Hour), text("one"), ago(5*time.Hour), text("two"), ago(6*time.Hour), text("too early"), ago(-time.Hour), text("not yet"), ago(0), text("by nobody")))["ImportMsgResult"],
		fmt.Sprintf(`[{"Result":0,"MsgTime":%d,"MsgSeq":1},{"Result":0,"MsgTime":%d,"MsgSeq":2},{"Result":10004,"MsgTime":%d,"MsgSeq":0},
		{"Result":10004,"MsgTime":%d,"MsgSeq":0},{"Result":10019,"MsgTime":%d,"MsgSeq":0}]`, ago(9*time.Hour), ago(5*time.Hour), ago(6*time.Hour), ago(-time.Hour), ago(0)))
	same(t, w.do(groups+"import_group_member", fmt.Sprintf(`{"GroupId":"old","MemberList":[{"Member_Account":"bob","Role":"Admin","JoinTime":%d,"UnreadMsgNum":1},
		{"Member_Account":"alice","JoinTime":%d},{"Member_Account":"nobody"},{"Member_Account":"carol","JoinTime":%d}]}`,
		ago(6*time.Hour), ago(time.Hour), ago(11*time.Hour)))["MemberList"],
		`[{"Member_Account":"bob","Result":1},{"Member_Account":"alice","Result":2},{"Member_Account":"nobody","Result":0},{"Member_Account":"carol","Result":0}]`)
	for c, want := range map[*imtest.Client][]string{alice: {"two", "one"}, bob: {"two"}} {
		list, err := c.History("old", "", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(list); !slices.Equal(got, want) {
			t.Errorf("%s finds %q, want %q", c.UserID(), got, want)
		}
	}
	readSeq := func() uint32 { return w.app.State().Group("old").Members[1].ReadSeq }
	if readSeq() != 1 {
		t.Errorf("bob has read up to %d", readSeq())
	}
	w.do(groups+"set_unread_msg_num", `{"GroupId":"old","Member_Account":"bob","UnreadMsgNum":0}`)
	if readSeq() != 2 {
		t.Errorf("bob has read up to %d", readSeq())
	}
	w.settle()
	for _, command := range []string{"Group.CallbackAfterCreateGroup", "Group.CallbackAfterNewMemberJoin", "Group.CallbackAfterSendMsg"} {
		if list := w.backend.got(command); len(list) > 0 {
			t.Errorf("an import called back: %v", list)
		}
	}
	w.do(groups+"create_group", `{"Type":"Meeting","GroupId":"meeting","Name":"M","Owner_Account":"alice"}`)
	w.check(t, []restCase{
		{"an AVChatRoom", groups + "import_group", `{"Type":"AVChatRoom","Name":"x"}`, 10007},
		{"created tomorrow", groups + "import_group", `{"Type":"Public","Name":"x","CreateTime":4000000000}`, 10004},
		{"a taken id", groups + "import_group", `{"Type":"Public","Name":"x","GroupId":"team"}`, 10021},
		{"members of an AVChatRoom", groups + "import_group_member", `{"GroupId":"live","MemberList":[{"Member_Account":"bob"}]}`, 10007},
		{"301 members", groups + "import_group_member", `{"GroupId":"old","MemberList":` + many(301, "Member_Account") + `}`, 10005},
		{"messages of an AVChatRoom", groups + "import_group_msg", `{"GroupId":"live","MsgList":[{}]}`, 10007},
		{"8 messages", groups + "import_group_msg", `{"GroupId":"old","MsgList":[{},{},{},{},{},{},{},{}]}`, 10004},
		{"unread in a Meeting", groups + "set_unread_msg_num", `{"GroupId":"meeting","Member_Account":"alice","UnreadMsgNum":1}`, 10007},
		{"unread of a stranger", groups + "set_unread_msg_num", `{"GroupId":"old","Member_Account":"carol","UnreadMsgNum":1}`, 10004},
		{"unread in an AVChatRoom", groups + "set_unread_msg_num", `{"GroupId":"live","Member_Account":"bob","UnreadMsgNum":1}`, 10007},
	})
}

// Newcomers find earlier messages in a Community, and in a Meeting group where
// one document has it so (1047/33529) and another not (269/18772); in Work and
// Public groups they do not, unless HistoryMsgBeforeJoin is on.
func TestNewcomersFindEarlierMessagesByType(t *testing.T) {
	for _, tc := range []struct {
		kind, change string
		hides        bool
		want         int
	}{
		{kind: "Work", want: 1},
		{kind: "Public", want: 1},
		{kind: "Meeting", want: 2},
		{kind: "Meeting", hides: true, want: 1},
		{kind: "Community", want: 2},
		{kind: "Public", change: "On", want: 2},
		{kind: "Meeting", change: "Off", want: 1},
	} {
		w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.MeetingHidesEarlier = tc.hides })
		alice, bob := w.login("alice"), w.login("bob")
		id, err := alice.CreateGroup(tc.kind, "", "G")
		if err != nil {
			t.Fatal(err)
		}
		if tc.change != "" {
			w.do(groups+"modify_group_base_info", asJSON(map[string]string{"GroupId": id, "HistoryMsgBeforeJoin": tc.change}))
		}
		send := func(text string) {
			t.Helper()
			if _, err := alice.Send(id, imtest.Draft{Text: text}); err != nil {
				t.Fatal(err)
			}
		}
		send("before")
		w.do(groups+"add_group_member", asJSON(map[string]any{"GroupId": id, "MemberList": []map[string]string{{"Member_Account": "bob"}}}))
		send("after")
		list, err := bob.History(id, "", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != tc.want {
			t.Errorf("%+v: the newcomer finds %q", tc, texts(list))
		}
		if list, _ := alice.History(id, "", 0, 10); len(list) != 2 {
			t.Errorf("%+v: the owner finds %q", tc, texts(list))
		}
	}
}

// Into Public and Meeting groups only the REST API adds users (269/70394), unless
// the group's InviteJoinOption lets members invite.
func TestOnlyRESTInvitesIntoPublicAndMeeting(t *testing.T) {
	for _, tc := range []struct {
		kind, option string
		code         int
	}{
		{"Private", "", 0}, {"Public", "", 10007}, {"ChatRoom", "", 10007}, {"Community", "", 0}, {"Public", "FreeAccess", 0},
	} {
		w := newWorld(t)
		alice := w.login("alice")
		w.importUsers("bob", "carol")
		group := w.do(groups+"create_group", asJSON(map[string]string{"Type": tc.kind, "Name": "G", "Owner_Account": "alice", "InviteJoinOption": tc.option}))["GroupId"].(string)
		if _, err := alice.Invite(group, "bob"); imtest.Code(err) != tc.code {
			t.Errorf("%+v: %v", tc, err)
		}
		answer := w.do(groups+"add_group_member", asJSON(map[string]any{"GroupId": group, "MemberList": []map[string]string{{"Member_Account": "carol"}}}))
		same(t, answer["MemberList"], `[{"Member_Account":"carol","Result":1}]`)
	}
}

// 269/1625.
func TestJoinedGroupsLeaveOutLiveRoomsAndUnusedWorkGroups(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	w.do(groups+"create_group", `{"Type":"Private","GroupId":"quiet","Name":"Q","Owner_Account":"alice"}`)
	w.do(groups+"create_group", `{"Type":"Private","GroupId":"used","Name":"U","Owner_Account":"alice"}`)
	w.do(groups+"send_group_msg", `{"GroupId":"used","From_Account":"alice","Random":1,"MsgBody":`+textBody+`}`)
	for _, tc := range []struct {
		fields string
		want   []string
	}{
		{``, []string{"@TGS#_town", "team", "used"}},
		{`,"WithHugeGroups":1`, []string{"@TGS#_town", "live", "team", "used"}},
		{`,"WithNoActiveGroups":1`, []string{"@TGS#_town", "quiet", "team", "used"}},
		{`,"WithHugeGroups":1,"WithNoActiveGroups":1,"GroupType":"Private"`, []string{"quiet", "used"}},
		{`,"GroupType":"AVChatRoom","WithHugeGroups":1`, []string{"live"}},
		{`,"Limit":1,"Offset":1`, []string{"team"}},
	} {
		var got []string
		for _, item := range w.do(groups+"get_joined_group_list", `{"Member_Account":"alice"`+tc.fields+`}`)["GroupIdList"].([]any) {
			got = append(got, item.(map[string]any)["GroupId"].(string))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.fields, got, tc.want)
		}
	}
	same(t, w.do(groups+"get_joined_group_list", `{"Member_Account":"bob","GroupType":"Public","ResponseFilter":{"GroupBaseInfoFilter":["Type","Name"],"SelfInfoFilter":["Role"]}}`)["GroupIdList"],
		`[{"GroupId":"team","Type":"Public","Name":"Team","SelfInfo":{"Role":"Member"}}]`)
	w.check(t, []restCase{{"an unknown type", groups + "get_joined_group_list", `{"Member_Account":"bob","GroupType":"x"}`, 10004}})
}

// Both Go SDKs send ReqMsgSeq 0 for "from the newest on".
func TestReqMsgSeqZeroIsTheNewest(t *testing.T) {
	w := newWorld(t)
	alice, _ := furnish(w)
	if _, err := alice.Send("team", imtest.Draft{Text: "newest"}); err != nil {
		t.Fatal(err)
	}
	list := w.do(groups+"group_msg_get_simple", `{"GroupId":"team","ReqMsgNumber":1,"ReqMsgSeq":0}`)["RspMsgList"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["MsgSeq"] != 2.0 {
		t.Errorf("messages %v", list)
	}
}

// A friend or an entry of the blacklist that is there already answers 30001.
func TestAnExistingFriendOrBlacklistEntryAnswers30001(t *testing.T) {
	w := newWorld(t)
	w.importUsers("a", "b", "c")
	for want := 0; want <= 30001; want += 30001 {
		for command, body := range map[string]string{
			"sns/friend_add":     `{"From_Account":"a","AddFriendItem":[{"To_Account":"b","AddSource":"AddSource_Type_App"}],"AddType":"Add_Type_Both"}`,
			"sns/black_list_add": `{"From_Account":"a","To_Account":["c"]}`,
		} {
			item := w.do(command, body)["ResultItem"].([]any)[0].(map[string]any)
			if item["ResultCode"] != float64(want) {
				t.Errorf("%s: %v, want %d", command, item, want)
			}
		}
	}
	if got := w.hooks("Sns.CallbackFriendAdd"); len(got) != 1 {
		t.Errorf("%d callbacks for one friendship", len(got))
	}
}

// 269/8609, 269/8301, 269/3725, 269/10107, 269/10108, 269/54763, 269/1645.
func TestFriendGroupsAndChecks(t *testing.T) {
	w := newWorld(t)
	w.importUsers("a", "b", "c")
	w.do("sns/friend_import", `{"From_Account":"a","AddFriendItem":[{"To_Account":"b","AddSource":"AddSource_Type_App","Remark":"B","GroupName":["work"],"AddTime":1772000000}]}`)
	if u := w.app.State().User("b"); len(u.Friends) != 0 {
		t.Errorf("an import made friends on both sides: %v", u.Friends)
	}
	same(t, w.do("sns/group_add", `{"From_Account":"a","GroupName":["home"],"To_Account":["b","c"]}`)["ResultItem"],
		`[{"To_Account":"b","ResultCode":0,"ResultInfo":""},{"To_Account":"c","ResultCode":30001,"ResultInfo":""}]`)
	same(t, w.do("sns/group_get", `{"From_Account":"a","NeedFriend":"Need_Friend_Type_Yes"}`)["ResultItem"],
		`[{"GroupName":"work","FriendNumber":1,"To_Account":["b"]},{"GroupName":"home","FriendNumber":1,"To_Account":["b"]}]`)
	w.do("sns/group_delete", `{"From_Account":"a","GroupName":["work"]}`)
	same(t, w.do("sns/friend_get_list", `{"From_Account":"a","To_Account":["b","c"],"TagList":["Tag_SNS_IM_Remark","Tag_SNS_IM_Group","Tag_SNS_IM_AddTime","Tag_Profile_IM_Nick"]}`)["InfoItem"],
		`[{"To_Account":"b","SnsProfileItem":[{"Tag":"Tag_SNS_IM_Remark","Value":"B"},{"Tag":"Tag_SNS_IM_Group","Value":["home"]},{"Tag":"Tag_SNS_IM_AddTime","Value":1772000000}],
		"ResultCode":0,"ResultInfo":""},{"To_Account":"c","ResultCode":30001,"ResultInfo":"no friend"}]`)
	w.do("sns/black_list_add", `{"From_Account":"a","To_Account":["b"]}`)
	w.do("sns/black_list_add", `{"From_Account":"c","To_Account":["a"]}`)
	relations := func(kind string) (list []string) {
		for _, item := range w.do("sns/black_list_check", `{"From_Account":"a","To_Account":["b","c","nobody"],"CheckType":"BlackCheckResult_Type_`+kind+`"}`)["BlackListCheckItem"].([]any) {
			list = append(list, item.(map[string]any)["Relation"].(string)[len("BlackCheckResult_Type_"):])
		}
		return list
	}
	if got := relations("Both"); !slices.Equal(got, []string{"AWithB", "BWithA", "NO"}) {
		t.Errorf("both sides: %v", got)
	}
	if got := relations("Single"); !slices.Equal(got, []string{"AWithB", "NO", "NO"}) {
		t.Errorf("one side: %v", got)
	}
	w.do("sns/friend_delete_all", `{"From_Account":"a","DeleteType":"Delete_Type_Both"}`)
	if u := w.app.State().User("a"); len(u.Friends) != 0 {
		t.Errorf("friends %v", u.Friends)
	}
	w.check(t, []restCase{
		{"a group twice", "sns/group_add", `{"From_Account":"a","GroupName":["home"]}`, 32207},
		{"a group without name", "sns/group_add", `{"From_Account":"a"}`, 30001},
		{"a name of 31 bytes", "sns/group_add", `{"From_Account":"a","GroupName":["0123456789012345678901234567890"]}`, 30001},
		{"33 groups", "sns/group_add", `{"From_Account":"a","GroupName":` + many(32, "") + `}`, 32216},
		{"no CheckType", "sns/black_list_check", `{"From_Account":"a","To_Account":["b"]}`, 30001},
		{"no TagList", "sns/friend_get_list", `{"From_Account":"a","To_Account":["b"]}`, 30001},
		{"groups of nobody", "sns/group_get", `{"From_Account":"nobody"}`, 30003},
	})
}

// 269/4229: what is left of a mute everywhere.
func TestGetNospeakingTellsWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	w.importUsers("bob")
	get := func() map[string]any { return w.do("openconfigsvr/getnospeaking", `{"Get_Account":"bob"}`) }
	same(t, get(), `{"ErrorCode":0,"ErrorInfo":"","C2CmsgNospeakingTime":0,"GroupmsgNospeakingTime":0}`)
	w.do("openconfigsvr/setnospeaking", `{"Set_Account":"bob","C2CmsgNospeakingTime":60,"GroupmsgNospeakingTime":4294967295}`)
	w.clock.Advance(10 * time.Second)
	same(t, get(), `{"ErrorCode":0,"ErrorInfo":"","C2CmsgNospeakingTime":50,"GroupmsgNospeakingTime":4294967295}`)
}

// 269/4193: one entry, of the fields asked for, as texts.
func TestGetAppInfo(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	same(t, w.do("openconfigsvr/getappinfo", `{"RequestField":["Date","LoginUserNum","GroupAllGroupNum","UpMsgNum"]}`),
		`{"ErrorCode":0,"ErrorInfo":"","Result":[{"Date":"20260301","LoginUserNum":"2","UpMsgNum":"3","GroupAllGroupNum":"3"}]}`)
}

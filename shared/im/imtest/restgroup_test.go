package imtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

const groups = "group_open_http_svc/"

// 269/1615, 1047/34368, 1047/34369.
func TestCreateGroup(t *testing.T) {
	w := newWorld(t)
	w.importUsers("u1", "u2", "u3")
	same(t, w.do(groups+"create_group", `{"Type":"Public","GroupId":"team_42","Name":"Team","Owner_Account":"u1","Introduction":"i",
		"Notification":"n","MaxMemberCount":200,"ApplyJoinOption":"FreeAccess","AppDefinedData":[{"Key":"k","Value":"v"}],
		"MemberList":[{"Member_Account":"u2","Role":"Admin"},{"Member_Account":"u3"}]}`),
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"GroupId":"team_42"}`)
	same(t, w.hook("Group.CallbackBeforeCreateGroup").Body, `{"CallbackCommand":"Group.CallbackBeforeCreateGroup",
		"Operator_Account":"administrator","Owner_Account":"u1","Type":"Public","Name":"Team",
		"MemberList":[{"Member_Account":"u2"},{"Member_Account":"u3"}],"EventTime":1772366400000}`)
	same(t, w.hook("Group.CallbackAfterCreateGroup").Body, `{"CallbackCommand":"Group.CallbackAfterCreateGroup","GroupId":"team_42",
		"Operator_Account":"administrator","Owner_Account":"u1","Type":"Public","Name":"Team",
		"MemberList":[{"Member_Account":"u2"},{"Member_Account":"u3"}],"UserDefinedDataList":[{"Key":"k","Value":"v"}],"EventTime":1772366400000}`)
	same(t, w.do(groups+"get_group_info", `{"GroupIdList":["team_42","nowhere"]}`)["GroupInfo"], `[
		{"GroupId":"team_42","ErrorCode":0,"ErrorInfo":"","Type":"Public","Name":"Team","Introduction":"i","Notification":"n","FaceUrl":"",
		"Owner_Account":"u1","CreateTime":1772366400,"LastInfoTime":1772366400,"LastMsgTime":0,"NextMsgSeq":1,"MemberNum":3,"MaxMemberNum":200,
		"ApplyJoinOption":"FreeAccess","InviteJoinOption":"DisableInvite","MuteAllMember":"Off","SupportTopic":0,
		"AppDefinedData":[{"Key":"k","Value":"v"}],"MemberList":[
			{"Member_Account":"u1","Role":"Owner","JoinTime":1772366400,"MsgSeq":0,"MsgFlag":"","NameCard":"","MuteUntil":0,"AppMemberDefinedData":[]},
			{"Member_Account":"u2","Role":"Admin","JoinTime":1772366400,"MsgSeq":0,"MsgFlag":"","NameCard":"","MuteUntil":0,"AppMemberDefinedData":[]},
			{"Member_Account":"u3","Role":"Member","JoinTime":1772366400,"MsgSeq":0,"MsgFlag":"","NameCard":"","MuteUntil":0,"AppMemberDefinedData":[]}]},
		{"GroupId":"nowhere","ErrorCode":10010,"ErrorInfo":"10010 the group does not exist"}]`)

	create := func(fields string) string { return `{"Type":"Public","Name":"T",` + fields + `}` }
	id := func(n int) string { return `"GroupId":"` + strings.Repeat("x", n) + `"` }
	const command = groups + "create_group"
	w.check(t, []restCase{
		{"again, the owner's", command, create(`"GroupId":"team_42","Owner_Account":"u1"`), 10025},
		{"again, somebody else's", command, create(`"GroupId":"team_42","Owner_Account":"u2"`), 10021},
		{"again, nobody's", command, create(`"GroupId":"team_42"`), 10021},
		{"no Type", command, `{"Name":"T"}`, 10004},
		{"no Name", command, `{"Type":"Public"}`, 10004},
		{"Name a number", command, `{"Type":"Public","Name":7}`, 10004},
		{"the client's name of a type", command, `{"Type":"Work","Name":"T"}`, 0},
		{"a GroupId of 48 bytes", command, create(id(48)), 0},
		{"a GroupId of 49 bytes", command, create(id(49)), 10015},
		{"a GroupId with a blank rune", command, create(`"GroupId":"tëam"`), 10015},
		{"a reserved GroupId", command, create(`"GroupId":"@TGS#x"`), 10015},
		{"a Community's GroupId", command, `{"Type":"Community","Name":"T","GroupId":"town"}`, 10015},
		{"topics in no Community", command, create(`"SupportTopic":1`), 10007},
		{"a Name of 30 bytes", command, `{"Type":"Public","Name":"` + strings.Repeat("é", 15) + `"}`, 0},
		{"a Name of 31 bytes", command, `{"Type":"Public","Name":"` + strings.Repeat("é", 15) + `x"}`, 10004},
		{"an Introduction of 241 bytes", command, create(`"Introduction":"` + strings.Repeat("x", 241) + `"`), 10004},
		{"a Notification of 300 bytes", command, create(`"Notification":"` + strings.Repeat("x", 300) + `"`), 0},
		{"a Notification of 301 bytes", command, create(`"Notification":"` + strings.Repeat("x", 301) + `"`), 10004},
		{"a FaceUrl of 101 bytes", command, create(`"FaceUrl":"` + strings.Repeat("x", 101) + `"`), 10004},
		{"an unknown owner", command, create(`"Owner_Account":"nobody"`), 10019},
		{"an unknown member", command, create(`"MemberList":[{"Member_Account":"nobody"}]`), 10019},
		{"a member for an AVChatRoom", command, `{"Type":"AVChatRoom","Name":"T","MemberList":[{"Member_Account":"u1"}]}`, 10007},
		{"101 members", command, create(`"MemberList":` + many(101, "Member_Account")), 10005},
		{"a Role of its own", command, create(`"MemberList":[{"Member_Account":"u1","Role":"Chief"}]`), 10004},
		{"an unknown ApplyJoinOption", command, create(`"ApplyJoinOption":"Free"`), 10004},
		{"an unknown InviteJoinOption", command, create(`"InviteJoinOption":"DisableApply"`), 10004},
		{"more members than it takes", command, create(`"Owner_Account":"u1","MaxMemberCount":1,"MemberList":[{"Member_Account":"u2"}]`), 10004},
		{"more than the edition has", command, create(`"MaxMemberCount":6001`), 10004},
		{"11 fields", command, create(`"AppDefinedData":` + ownFields(11, 1)), 10004},
		{"10 fields", command, create(`"AppDefinedData":` + ownFields(10, 512)), 0},
		{"a field of 513 bytes", command, create(`"AppDefinedData":` + ownFields(1, 513)), 10004},
		{"a key of 17 bytes", command, create(`"AppDefinedData":[{"Key":"` + strings.Repeat("k", 17) + `","Value":"v"}]`), 10004},
		{"a key in lower case", command, create(`"AppDefinedData":[{"key":"k","value":"v"}]`), 10004},
	})
	for _, id := range []string{"", `"GroupId":"@TGS#_x",`} {
		got := w.do(command, `{"Type":"Community",`+id+`"Name":"T","SupportTopic":1}`)["GroupId"].(string)
		if !strings.HasPrefix(got, "@TGS#_") {
			t.Errorf("a Community is called %q", got)
		}
	}
}

// ownFields writes n fields with values of some bytes.
func ownFields(n, bytes int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"Key":"k%d","Value":%q}`, i, strings.Repeat("v", bytes))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// The backend may refuse a group, with its own code too (1047/34368).
func TestCreateGroupRefused(t *testing.T) {
	w := newWorld(t)
	for answer, want := range map[int]int{0: 0, 1: 10016, 10150: 10150, 10201: 0} {
		w.backend.answers("Group.CallbackBeforeCreateGroup", fmt.Sprintf(`{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":%d}`, answer))
		id := fmt.Sprint("g", answer)
		w.check(t, []restCase{{id, groups + "create_group", `{"Type":"Public","Name":"T","GroupId":"` + id + `"}`, want}})
		if made := w.app.State().Group(id).GroupID != ""; made != (want == 0) {
			t.Errorf("verdict %d: made %v", answer, made)
		}
	}
}

// What an edition has: 269/9346 and the codes of 1047/34348.
func TestEditions(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.Edition, c.NoCommunity = imtest.Trial, true })
	ids := make([]string, 21)
	for i := range ids {
		ids[i] = fmt.Sprint("many", i)
	}
	w.importUsers(ids...)
	for i := range 10 {
		w.do(groups+"create_group", fmt.Sprintf(`{"Type":"AVChatRoom","Name":"T","GroupId":"live%d"}`, i))
	}
	for i := range 90 {
		w.do(groups+"create_group", fmt.Sprintf(`{"Type":"Private","Name":"T","GroupId":"work%d"}`, i))
		if i == 0 {
			w.check(t, []restCase{
				{"11 AVChatRooms", groups + "create_group", `{"Type":"AVChatRoom","Name":"T"}`, 10036},
				{"21 members", groups + "create_group", `{"Type":"Public","Name":"T","MemberList":` + many(21, "Member_Account") + `}`, 10014},
			})
		}
	}
	w.check(t, []restCase{
		{"101 groups", groups + "create_group", `{"Type":"Private","Name":"T"}`, 10058},
		{"a community", groups + "create_group", `{"Type":"Community","Name":"T"}`, 11000},
		{"a topic", "million_group_open_http_svc/create_topic", `{"GroupId":"work0","TopicName":"t"}`, 11000},
		{"20 members", groups + "add_group_member", `{"GroupId":"work0","MemberList":` + many(20, "Member_Account") + `}`, 0},
		{"another one", groups + "add_group_member", `{"GroupId":"work0","MemberList":[{"Member_Account":"many20"}]}`, 10014},
		{"a ban", groups + "ban_group_member", `{"GroupId":"live0","Members_Account":["many1"],"Duration":1}`, 10007},
		{"a broadcast", groups + "send_broadcast_msg", `{"From_Account":"many1","Random":1,"MsgBody":` + textBody + `}`, 10007},
		{"a counter", groups + "get_group_counter", `{"GroupId":"live0"}`, 10059},
		{"a directed message", groups + "send_group_msg", `{"GroupId":"work0","Random":1,"To_Account":["many1"],"MsgBody":` + textBody + `}`, 10007},
		{"a push", "all_member_push/im_push", `{"MsgRandom":1,"MsgBody":` + textBody + `}`, 90045},
		{"online in a Work group", groups + "get_online_member_num", `{"GroupId":"work0"}`, 10007},
		{"online in an AVChatRoom", groups + "get_online_member_num", `{"GroupId":"live0"}`, 0},
		{"who is in an AVChatRoom", "group_open_avchatroom_http_svc/check_members", `{"GroupId":"live0","Member_Account":["many1"]}`, 10007},
	})
}

// 269/1616.
func TestGetGroupInfo(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	w.do(groups+"modify_group_base_info", `{"GroupId":"team","AppDefinedData":[{"Key":"k","Value":"v"},{"Key":"l","Value":"v"}]}`)
	const command = groups + "get_group_info"
	same(t, w.do(command, `{"GroupIdList":["team"],"ResponseFilter":{"GroupBaseInfoFilter":["Name","MemberNum"],"MemberInfoFilter":["Role"],
		"AppDefinedDataFilter_Group":["l"]}}`)["GroupInfo"], `[{"GroupId":"team","ErrorCode":0,"ErrorInfo":"","Name":"Team","MemberNum":2,
		"AppDefinedData":[{"Key":"l","Value":"v"}],"MemberList":[{"Member_Account":"alice","Role":"Owner"},{"Member_Account":"bob","Role":"Member"}]}]`)
	same(t, w.do(command, `{"GroupIdList":["live"],"ResponseFilter":{"GroupBaseInfoFilter":["MemberNum"],"MemberInfoFilter":["Role"]}}`)["GroupInfo"],
		`[{"GroupId":"live","ErrorCode":0,"ErrorInfo":"","MemberNum":2}]`)
	w.check(t, []restCase{
		{"no group", command, `{}`, 10004},
		{"a text", command, `{"GroupIdList":"team"}`, 10004},
		{"50 groups", command, `{"GroupIdList":` + many(50, "") + `}`, 0},
		{"51 groups", command, `{"GroupIdList":` + many(51, "") + `}`, 10004},
	})
}

// An answer over 1 MB is refused; filters help (10018).
func TestGetGroupInfoIsBounded(t *testing.T) {
	w := newWorld(t)
	ids := make([]string, 800)
	for i := range ids {
		ids[i] = fmt.Sprintf("somebody-with-a-long-name-%05d", i)
	}
	w.importUsers(ids...)
	var groupIDs []string
	for g := range 10 {
		groupIDs = append(groupIDs, fmt.Sprint("g", g))
		w.do(groups+"create_group", fmt.Sprintf(`{"Type":"Public","Name":"T","GroupId":"g%d"}`, g))
		for chunk := range slices.Chunk(ids, 20) {
			list := make([]map[string]string, len(chunk))
			for i, id := range chunk {
				list[i] = map[string]string{"Member_Account": id}
			}
			w.do(groups+"add_group_member", asJSON(map[string]any{"GroupId": groupIDs[g], "MemberList": list}))
		}
	}
	w.check(t, []restCase{
		{"everything", groups + "get_group_info", `{"GroupIdList":` + asJSON(groupIDs) + `}`, 10018},
		{"filtered", groups + "get_group_info", `{"GroupIdList":` + asJSON(groupIDs) + `,"ResponseFilter":{"GroupBaseInfoFilter":["Name"]}}`, 0},
	})
}

// 269/1617, 269/112002, 269/1626.
func TestMemberQueries(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	const command = groups + "get_group_member_info"
	same(t, w.do(command, `{"GroupId":"team","Limit":1,"Offset":1,"MemberInfoFilter":["Role"]}`),
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MemberNum":2,"MemberList":[{"Member_Account":"bob","Role":"Member"}]}`)
	same(t, w.do(command, `{"GroupId":"team","MemberInfoFilter":["Role"],"MemberRoleFilter":["Owner"]}`)["MemberList"], `[{"Member_Account":"alice","Role":"Owner"}]`)
	same(t, w.do(groups+"get_specified_group_member_info", `{"GroupId":"team","Member_List_Account":["bob","carol"],"MemberInfoFilter":["Role"]}`)["MemberList"],
		`[{"Member_Account":"bob","Role":"Member"}]`)
	same(t, w.do(groups+"get_role_in_group", `{"GroupId":"team","User_Account":["alice","carol"]}`)["UserIdList"],
		`[{"Member_Account":"alice","Role":"Owner"},{"Member_Account":"carol","Role":"NotMember"}]`)
	w.check(t, []restCase{
		{"of nothing", command, `{}`, 10004},
		{"of no group", command, `{"GroupId":"nowhere"}`, 10010},
		{"of an AVChatRoom", command, `{"GroupId":"live"}`, 10007},
		{"201", command, `{"GroupId":"team","Limit":201}`, 10004},
		{"200", command, `{"GroupId":"team","Limit":200}`, 0},
		{"before the first", command, `{"GroupId":"team","Offset":-1}`, 10004},
		{"a cursor of ours", command, `{"GroupId":"@TGS#_town","Next":"1"}`, 0},
		{"a cursor of somebody else's", command, `{"GroupId":"@TGS#_town","Next":"x"}`, 10004},
		{"51 named", groups + "get_specified_group_member_info", `{"GroupId":"team","Member_List_Account":` + many(51, "") + `}`, 10005},
		{"none named", groups + "get_specified_group_member_info", `{"GroupId":"team"}`, 10004},
		{"named in an AVChatRoom", groups + "get_specified_group_member_info", `{"GroupId":"live","Member_List_Account":["bob"]}`, 10007},
		{"500 roles", groups + "get_role_in_group", `{"GroupId":"team","User_Account":` + many(500, "") + `}`, 0},
		{"501 roles", groups + "get_role_in_group", `{"GroupId":"team","User_Account":` + many(501, "") + `}`, 10005},
	})
}

// A Community is paged by a cursor, which the documentation has as a text and as
// a number.
func TestCommunityIsPagedByCursor(t *testing.T) {
	for _, number := range []bool{false, true} {
		w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.NextAsNumber = number })
		furnish(w)
		w.do(groups+"add_group_member", `{"GroupId":"@TGS#_town","MemberList":[{"Member_Account":"carol"}]}`)
		var got []string
		next := `""`
		for range 5 {
			page := w.do(groups+"get_group_member_info", `{"GroupId":"@TGS#_town","Limit":1,"Offset":7,"Next":`+next+`}`)
			for _, m := range page["MemberList"].([]any) {
				got = append(got, m.(map[string]any)["Member_Account"].(string))
			}
			if _, isNumber := page["Next"].(float64); isNumber != number {
				t.Errorf("Next is %v", page["Next"])
			}
			if next = asJSON(page["Next"]); next == `""` || next == "0" {
				break
			}
		}
		if !slices.Equal(got, []string{"alice", "bob", "carol"}) {
			t.Errorf("paged %q", got)
		}
	}
}

// 269/1625, 269/1614.
func TestGroupLists(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	same(t, w.do(groups+"get_joined_group_list", `{"Member_Account":"bob"}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"TotalCount":2,
		"GroupIdList":[{"GroupId":"@TGS#_town","Type":"Community"},{"GroupId":"team","Type":"Public"}]}`)
	same(t, w.do(groups+"get_joined_group_list", `{"Member_Account":"bob","Offset":1,"Limit":5}`)["GroupIdList"], `[{"GroupId":"team","Type":"Public"}]`)
	same(t, w.do(groups+"get_joined_group_list", `{"Member_Account":"bob","GroupType":"Private"}`)["GroupIdList"], `[]`)
	same(t, w.do(groups+"get_appid_group_list", `{"Limit":2}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"TotalCount":3,
		"GroupIdList":[{"GroupId":"@TGS#_town"},{"GroupId":"live"}],"Next":2}`)
	same(t, w.do(groups+"get_appid_group_list", `{"Limit":2,"Next":2}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"TotalCount":3,
		"GroupIdList":[{"GroupId":"team"}],"Next":0}`)
	same(t, w.do(groups+"get_appid_group_list", `{"GroupType":"AVChatRoom"}`)["GroupIdList"], `[{"GroupId":"live"}]`)
	w.check(t, []restCase{
		{"of nobody", groups + "get_joined_group_list", `{"Member_Account":"nobody"}`, 10019},
		{"10001", groups + "get_appid_group_list", `{"Limit":10001}`, 10004},
		{"Next a text", groups + "get_appid_group_list", `{"Next":"0"}`, 10004},
		{"Next before the first", groups + "get_appid_group_list", `{"Next":-1}`, 10004},
	})
}

// 269/1620, 1047/34378.
func TestModifyGroupBaseInfo(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	const command = groups + "modify_group_base_info"
	w.do(command, `{"GroupId":"team","From_Account":"alice","Name":"New","Notification":"","MaxMemberNum":3,"AppDefinedData":[{"Key":"k","Value":"v"}]}`)
	same(t, w.hook("Group.CallbackAfterGroupInfoChanged").Body, `{"CallbackCommand":"Group.CallbackAfterGroupInfoChanged","GroupId":"team",
		"Type":"Public","Operator_Account":"alice","Name":"New","EventTime":1772366400000}`)
	w.do(command, `{"GroupId":"team","MuteAllMember":"On","AppDefinedData":[{"Key":"k","Value":""}]}`)
	w.hook("Group.CallbackAfterGroupInfoChanged") // other fields make no callback
	if g := w.app.State().Group("team"); g.Name != "New" || !g.MuteAll || len(g.Data) != 0 {
		t.Errorf("the group is %+v", g)
	}
	if _, err := bob.Send("team", imtest.Draft{Text: "x"}); imtest.Code(err) != 10017 {
		t.Errorf("a member of a muted group: %v", err)
	}
	if _, err := alice.Send("team", imtest.Draft{Text: "x"}); err != nil {
		t.Errorf("its owner: %v", err)
	}
	w.do(groups+"create_group", `{"Type":"Private","GroupId":"work","Name":"W"}`)
	w.check(t, []restCase{
		{"no group", command, `{"GroupId":"nowhere","Name":"x"}`, 10010},
		{"the field of create_group", command, `{"GroupId":"team","MaxMemberCount":5}`, 0},
		{"room for one", command, `{"GroupId":"team","MaxMemberNum":1}`, 10004},
		{"room for more than the edition has", command, `{"GroupId":"team","MaxMemberNum":6001}`, 10004},
		{"neither On nor Off", command, `{"GroupId":"team","MuteAllMember":"on"}`, 10004},
		{"a Work group", command, `{"GroupId":"work","MuteAllMember":"On"}`, 10007},
		{"an unknown ApplyJoinOption", command, `{"GroupId":"team","ApplyJoinOption":"DisableInvite"}`, 10004},
		{"an unknown InviteJoinOption", command, `{"GroupId":"team","InviteJoinOption":"DisableApply"}`, 10004},
		{"a long Name", command, `{"GroupId":"team","Name":"` + strings.Repeat("x", 31) + `"}`, 10004},
		{"10 fields", command, `{"GroupId":"team","AppDefinedData":` + ownFields(10, 1) + `}`, 0},
		{"an eleventh", command, `{"GroupId":"team","AppDefinedData":[{"Key":"one more","Value":"v"}]}`, 10004},
	})
	calls := w.app.Calls()
	if i := slices.IndexFunc(calls, func(c imtest.RESTCall) bool { return slices.Contains(c.Unknown, "MaxMemberCount") }); i < 0 {
		t.Error("a field of another command was not noted")
	}
	w.do(command, `{"GroupId":"team","ApplyJoinOption":"DisableApply","InviteJoinOption":"DisableInvite","MuteAllMember":"Off"}`)
	if err := w.login("carol").Join("team"); imtest.Code(err) != 10007 {
		t.Errorf("carol applied: %v", err)
	}
	if _, err := bob.Invite("team", "carol"); imtest.Code(err) != 10007 {
		t.Errorf("bob invited: %v", err)
	}
}

// 269/1633, 1047/60396; 269/1624, 1047/34377.
func TestOwnersAndEnds(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	w.check(t, []restCase{
		{"to nobody", groups + "change_group_owner", `{"GroupId":"team","NewOwner_Account":"nobody"}`, 10019},
		{"to no member", groups + "change_group_owner", `{"GroupId":"team","NewOwner_Account":"carol"}`, 10004},
		{"of an AVChatRoom", groups + "change_group_owner", `{"GroupId":"live","NewOwner_Account":"bob"}`, 10007},
		{"of nothing", groups + "change_group_owner", `{"GroupId":"nowhere","NewOwner_Account":"bob"}`, 10010},
		{"the end of nothing", groups + "destroy_group", `{"GroupId":"nowhere"}`, 10010},
	})
	w.do(groups+"change_group_owner", `{"GroupId":"team","NewOwner_Account":"bob"}`)
	same(t, w.hook("Group.CallbackAfterChangeGroupOwner").Body, `{"CallbackCommand":"Group.CallbackAfterChangeGroupOwner","GroupId":"team",
		"Type":"Public","Operator_Account":"administrator","OldOwner_Account":"alice","NewOwner_Account":"bob","EventTime":1772366400000}`)
	same(t, w.do(groups+"get_role_in_group", `{"GroupId":"team","User_Account":["alice","bob"]}`)["UserIdList"],
		`[{"Member_Account":"alice","Role":"Member"},{"Member_Account":"bob","Role":"Owner"}]`)
	w.do(groups+"destroy_group", `{"GroupId":"team"}`)
	same(t, w.hook("Group.CallbackAfterGroupDestroyed").Body, `{"CallbackCommand":"Group.CallbackAfterGroupDestroyed","GroupId":"team",
		"Type":"Public","Owner_Account":"bob","Name":"Team","MemberList":[{"Member_Account":"alice"},{"Member_Account":"bob"}],"EventTime":1772366400000}`)
	if e := bob.Events(); e[len(e)-1].Kind != "destroyed" || e[len(e)-1].GroupID != "team" {
		t.Errorf("bob was told %+v", e[len(e)-1])
	}
	w.check(t, []restCase{
		{"again", groups + "destroy_group", `{"GroupId":"team"}`, 10010},
		{"its id is free", groups + "create_group", `{"Type":"Public","GroupId":"team","Name":"T"}`, 0},
	})
}

// Callbacks name types as REST does, or as the client SDK does: both occur.
func TestTypeNames(t *testing.T) {
	for _, names := range [][]string{{"Private", "ChatRoom", "Public"}, {"Work", "Meeting", "Public"}} {
		w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.SDKTypeNames = names[0] == "Work" })
		var got []string
		for _, kind := range []string{"Work", "Meeting", "Public"} {
			w.do(groups+"create_group", `{"Type":"`+kind+`","Name":"T"}`)
		}
		for _, h := range w.hooks("Group.CallbackAfterCreateGroup") {
			got = append(got, h.Body["Type"].(string))
		}
		if !slices.Equal(got, names) {
			t.Errorf("types %q, want %q", got, names)
		}
	}
}

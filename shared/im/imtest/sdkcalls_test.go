package imtest_test

import (
	"slices"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// sdkCall is a request as a public SDK writes it: the field names are the SDK's,
// its mistakes included.
type sdkCall struct {
	sdk, command, body string
	code               int
	ignored            []string // fields that IM does not know
}

// The SDKs: two for Go (github.com/dobyte/tencent-im and
// github.com/d60-Lab/tencent-im, alike where both have a call), one for Java
// (github.com/doocs/qcloud-im-server-sdk-java) and one for PHP
// (github.com/chinayin/qcloud-im-sdk-php).
const (
	goSDK   = "Go"
	javaSDK = "Java"
	phpSDK  = "PHP"
)

var sdkCalls = []sdkCall{
	{sdk: goSDK, command: "im_open_login_svc/account_import", body: `{"Identifier":"dora","Nick":"D","FaceUrl":"https://d"}`},
	{sdk: javaSDK, command: "im_open_login_svc/account_import", body: `{"UserID":"dora","Nick":"D","FaceUrl":"https://d"}`},
	{sdk: phpSDK, command: "im_open_login_svc/account_import", body: `{"Identifier":"dora","Nick":"D","FaceUrl":"https://d"}`},
	{sdk: goSDK, command: "im_open_login_svc/multiaccount_import", body: `{"Accounts":["dora","emil"]}`},
	{sdk: goSDK, command: "im_open_login_svc/account_delete", body: `{"DeleteItem":[{"UserID":"carol"}]}`},
	{sdk: goSDK, command: "im_open_login_svc/account_check", body: `{"CheckItem":[{"UserID":"alice"}]}`},
	{sdk: goSDK, command: "im_open_login_svc/kick", body: `{"Identifier":"bob"}`},
	{sdk: phpSDK, command: "im_open_login_svc/kick", body: `{"Identifier":"bob"}`},
	{sdk: javaSDK, command: "im_open_login_svc/kick", body: `{"UserID":"bob"}`},
	{sdk: goSDK, command: "openim/query_online_status", body: `{"To_Account":["alice"],"IsNeedDetail":1}`},
	{sdk: phpSDK, command: "openim/querystate", body: `{"IsNeedDetail":0,"To_Account":["alice"]}`},

	{sdk: goSDK, command: "openim/sendmsg", body: `{"From_Account":"alice","To_Account":"bob","MsgRandom":7,"MsgTimeStamp":1772366400,"MsgBody":` + textBody + `}`, ignored: []string{"MsgTimeStamp"}},
	{sdk: goSDK, command: "openim/sendmsg", body: `{"From_Account":"alice","To_Account":"bob","MsgRandom":8,"MsgBody":[{"MsgType":"TIMSoundElem","MsgContent":{"UUID":"","Url":"https://s","Size":1,"Second":1,"Download_Flag":2}}]}`},
	{sdk: phpSDK, command: "openim/sendmsg", body: `{"SyncOtherMachine":1,"From_Account":"alice","To_Account":"bob","MsgRandom":9,"MsgTimeStamp":1772366400,"MsgLifeTime":60,"MsgBody":` + textBody + `}`, ignored: []string{"MsgTimeStamp"}},
	{sdk: goSDK, command: "openim/batchsendmsg", body: `{"From_Account":"alice","To_Account":["bob"],"MsgRandom":7,"MsgBody":` + textBody + `,"SendMsgControl":["NoUnread"]}`},
	{sdk: goSDK, command: "openim/importmsg", body: `{"From_Account":"alice","To_Account":"bob","MsgRandom":7,"MsgTimeStamp":1772366000,"MsgBody":` + textBody + `,"SyncFromOldSystem":5}`},
	{sdk: phpSDK, command: "openim/importmsg", body: `{"From_Account":"alice","To_Account":"bob","MsgRandom":7,"MsgTimeStamp":1772366000,"MsgBody":` + textBody + `,"SyncFromOldSystem":1}`},
	{sdk: goSDK, command: "openim/admin_getroammsg", body: `{"From_Account":"alice","To_Account":"bob","MaxCnt":10,"MinTime":0,"MaxTime":4000000000}`},
	{sdk: goSDK, command: "openim/admin_msgwithdraw", body: `{"From_Account":"alice","To_Account":"bob","MsgKey":"1_1_1772366400"}`},
	{sdk: goSDK, command: "openim/modify_c2c_msg", body: `{"From_Account":"alice","To_Account":"bob","MsgKey":"1_1_1772366400","MsgBody":` + textBody + `}`},
	{sdk: goSDK, command: "openim/admin_set_msg_read", body: `{"Report_Account":"bob","Peer_Account":"alice"}`},
	{sdk: goSDK, command: "openim/get_c2c_unread_msg_num", body: `{"To_Account":"bob","Peer_Account":["alice"]}`},
	{sdk: goSDK, command: "openconfigsvr/setnospeaking", body: `{"Set_Account":"bob","C2CmsgNospeakingTime":60}`},
	{sdk: goSDK, command: "openconfigsvr/getnospeaking", body: `{"Get_Account":"bob"}`},
	{sdk: goSDK, command: "openconfigsvr/getappinfo", body: `{"RequestField":["ActiveUserNum"]}`},
	{sdk: goSDK, command: "open_msg_svc/get_history", body: `{"ChatType":"C2C","MsgTime":"2026030112"}`, code: 60009},
	{sdk: goSDK, command: "ConfigSvc/GetIPList", body: `{}`, code: 60009},

	{sdk: goSDK, command: "profile/portrait_set", body: `{"From_Account":"alice","ProfileItem":[{"Tag":"Tag_Profile_IM_Gender","Value":"Gender_Type_Female"}]}`},
	{sdk: goSDK, command: "profile/portrait_get", body: `{"To_Account":["alice"],"TagList":["Tag_Profile_IM_Nick"]}`},
	{sdk: goSDK, command: "sns/friend_add", body: `{"From_Account":"alice","AddFriendItem":[{"To_Account":"bob","AddSource":"AddSource_Type_Web"}],"AddType":"Add_Type_Both","ForceAddFlags":1}`},
	{sdk: goSDK, command: "sns/friend_import", body: `{"From_Account":"alice","AddFriendItem":[{"To_Account":"bob","AddSource":"AddSource_Type_Web","GroupName":["g"],"AddTime":1772360000,"CustomItem":[{"Tag":"Tag_SNS_Custom_x","Value":"v"}]}]}`},
	{sdk: goSDK, command: "sns/friend_update", body: `{"From_Account":"alice","UpdateItem":[{"To_Account":"bob","SnsItem":[{"Tag":"Tag_SNS_IM_Remark","Value":"B"}]}]}`},
	{sdk: goSDK, command: "sns/friend_delete", body: `{"From_Account":"alice","To_Account":["bob"],"DeleteType":"Delete_Type_Single"}`},
	{sdk: goSDK, command: "sns/friend_delete_all", body: `{"From_Account":"alice","DeleteType":"Delete_Type_Single"}`},
	{sdk: goSDK, command: "sns/friend_check", body: `{"From_Account":"alice","To_Account":["bob"],"CheckType":"CheckResult_Type_Both"}`},
	{sdk: goSDK, command: "sns/friend_get_list", body: `{"From_Account":"alice","To_Account":["bob"],"TagList":["Tag_Profile_IM_Nick"]}`},
	{sdk: goSDK, command: "sns/friend_get", body: `{"From_Account":"alice","StartIndex":0,"StandardSequence":0,"CustomSequence":0}`},
	{sdk: goSDK, command: "sns/black_list_add", body: `{"From_Account":"alice","To_Account":["bob"]}`},
	{sdk: goSDK, command: "sns/black_list_delete", body: `{"From_Account":"alice","To_Account":["bob"]}`},
	{sdk: goSDK, command: "sns/black_list_get", body: `{"From_Account":"alice","StartIndex":0,"MaxLimited":20,"LastSequence":0}`},
	{sdk: goSDK, command: "sns/black_list_check", body: `{"From_Account":"alice","To_Account":["bob"],"CheckType":"BlackCheckResult_Type_Both"}`},
	{sdk: goSDK, command: "sns/group_add", body: `{"From_Account":"alice","GroupName":["g"],"To_Account":["bob"]}`},
	{sdk: goSDK, command: "sns/group_delete", body: `{"From_Account":"alice","GroupName":["g"]}`},
	{sdk: goSDK, command: "sns/group_get", body: `{"From_Account":"alice","LastSequence":0,"NeedFriend":"Need_Friend_Type_Yes","GroupName":["g"]}`},
	{sdk: goSDK, command: "recentcontact/get_list", body: `{"From_Account":"alice","TimeStamp":0,"StartIndex":0,"TopTimeStamp":0,"TopStartIndex":0,"AssistFlags":0}`},
	{sdk: goSDK, command: "recentcontact/delete", body: `{"From_Account":"alice","type":1,"To_Account":"bob"}`, code: 50001, ignored: []string{"type"}},
	{sdk: phpSDK, command: "recentcontact/delete", body: `{"From_Account":"alice","Type":1,"To_Account":"bob"}`},
	{sdk: goSDK, command: "recentcontact/mark_contact", body: `{"From_Account":"alice"}`, code: 60009},

	{sdk: goSDK, command: "group_open_http_svc/create_group", body: `{"Owner_Account":"alice","GroupId":"new","Type":"Public","Name":"New","MaxMemberCount":200,"ApplyJoinOption":"FreeAccess","MemberList":[{"Member_Account":"bob","Role":"Admin","ShutUpUntil":0}]}`, ignored: []string{"MemberList[0].ShutUpUntil"}},
	{sdk: goSDK, command: "group_open_http_svc/destroy_group", body: `{"GroupId":"team"}`},
	{sdk: goSDK, command: "group_open_http_svc/get_group_info", body: `{"GroupIdList":["team"],"ResponseFilter":{"GroupBaseInfoFilter":["Name","ShutUpAllMember"],"MemberInfoFilter":["Role","MsgSeq"],"SelfInfoFilter":["Role"]}}`, ignored: []string{"ResponseFilter.SelfInfoFilter"}},
	{sdk: goSDK, command: "group_open_http_svc/get_group_member_info", body: `{"GroupId":"team","Limit":100,"Offset":0,"MemberInfoFilter":[],"MemberRoleFilter":[],"AppDefinedDataFilter_GroupMember":[]}`},
	{sdk: goSDK, command: "group_open_http_svc/modify_group_base_info", body: `{"GroupId":"team","Name":"T","ShutUpAllMember":"On"}`},
	{sdk: javaSDK, command: "group_open_http_svc/modify_group_base_info", body: `{"GroupId":"team","MuteAllMember":"On","HistoryMsgBeforeJoin":"On"}`},
	{sdk: goSDK, command: "group_open_http_svc/add_group_member", body: `{"GroupId":"team","Silence":1,"MemberList":[{"Member_Account":"carol"}]}`},
	{sdk: goSDK, command: "group_open_http_svc/delete_group_member", body: `{"GroupId":"team","Silence":1,"Reason":"x","MemberToDel_Account":["bob"]}`},
	{sdk: goSDK, command: "group_open_http_svc/modify_group_member_info", body: `{"GroupId":"team","Member_Account":"bob","NameCard":"B","ShutUpUntil":60}`, ignored: []string{"ShutUpUntil"}},
	{sdk: phpSDK, command: "group_open_http_svc/modify_group_member_info", body: `{"GroupId":"team","Member_Account":"bob","ShutUpTime":60}`},
	{sdk: goSDK, command: "group_open_http_svc/get_joined_group_list", body: `{"Member_Account":"bob","Limit":10,"Type":"Public","WithHugeGroups":1,"WithNoActiveGroups":1,"ResponseFilter":{"GroupBaseInfoFilter":["Name","Type"],"SelfInfoFilter":["Role"]}}`, ignored: []string{"Type"}},
	{sdk: javaSDK, command: "group_open_http_svc/get_joined_group_list", body: `{"Member_Account":"bob","WithHugeGroups":0,"WithNoActiveGroups":0,"Limit":10,"Offset":0,"GroupType":"Public"}`},
	{sdk: goSDK, command: "group_open_http_svc/get_appid_group_list", body: `{"Limit":10,"Type":"Public"}`, ignored: []string{"Type"}},
	{sdk: goSDK, command: "group_open_http_svc/get_role_in_group", body: `{"GroupId":"team","User_Account":["bob"]}`},
	{sdk: goSDK, command: "group_open_http_svc/forbid_send_msg", body: `{"GroupId":"team","Members_Account":["bob"],"ShutUpTime":60}`},
	{sdk: phpSDK, command: "group_open_http_svc/forbid_send_msg", body: `{"GroupId":"team","Members_Account":["bob"],"ShutUpTime":60}`},
	{sdk: javaSDK, command: "group_open_http_svc/forbid_send_msg", body: `{"GroupId":"team","Members_Account":["bob"],"MuteTime":60}`},
	{sdk: goSDK, command: "group_open_http_svc/get_group_shutted_uin", body: `{"GroupId":"team"}`},
	{sdk: goSDK, command: "group_open_http_svc/send_group_msg", body: `{"GroupId":"team","Random":7,"MsgPriority":"High","From_Account":"alice","MsgBody":` + textBody + `,"MsgOnlineOnlyFlag":1,"GroupAtInfo":[{"GroupAtAllFlag":0,"GroupAt_Account":"bob"}]}`, ignored: []string{"MsgOnlineOnlyFlag"}},
	{sdk: phpSDK, command: "group_open_http_svc/send_group_msg", body: `{"GroupId":"team","Random":8,"MsgBody":` + textBody + `}`},
	{sdk: goSDK, command: "group_open_http_svc/send_group_system_notification", body: `{"GroupId":"team","Content":"x","ToMembers_Account":["bob"]}`},
	{sdk: goSDK, command: "group_open_http_svc/change_group_owner", body: `{"GroupId":"team","NewOwner_Account":"bob"}`},
	{sdk: goSDK, command: "group_open_http_svc/group_msg_recall", body: `{"GroupId":"team","MsgSeqList":[{"MsgSeq":1}]}`},
	{sdk: goSDK, command: "group_open_http_svc/import_group", body: `{"Owner_Account":"alice","GroupId":"old","Type":"Public","Name":"Old","CreateTime":1772360000}`},
	{sdk: goSDK, command: "group_open_http_svc/import_group_msg", body: `{"GroupId":"team","MsgList":[{"From_Account":"bob","MsgBody":` + textBody + `,"SendTime":1772366400,"Random":7}]}`},
	{sdk: goSDK, command: "group_open_http_svc/import_group_member", body: `{"GroupId":"team","MemberList":[{"Member_Account":"carol","Role":"Admin","JoinTime":1772366400,"ShutUpUntil":0,"UnreadMsgNum":1}]}`, ignored: []string{"MemberList[0].ShutUpUntil"}},
	{sdk: goSDK, command: "group_open_http_svc/set_unread_msg_num", body: `{"GroupId":"team","Member_Account":"bob","UnreadMsgNum":1}`},
	{sdk: goSDK, command: "group_open_http_svc/delete_group_msg_by_sender", body: `{"GroupId":"team","Sender_Account":"bob"}`},
	{sdk: goSDK, command: "group_open_http_svc/group_msg_get_simple", body: `{"GroupId":"team","ReqMsgSeq":0,"ReqMsgNumber":20}`},
	{sdk: goSDK, command: "group_open_http_svc/get_online_member_num", body: `{"GroupId":"live"}`},
	{sdk: goSDK, command: "group_open_http_svc/update_group_counter", body: `{"GroupId":"live","GroupCounter":[{"Key":"likes","Value":1}],"Mode":"Increase"}`},
	{sdk: goSDK, command: "group_open_http_svc/set_group_attr", body: `{"GroupId":"live","GroupAttr":[{"key":"k","value":"v"}]}`},
	{sdk: goSDK, command: "group_open_http_svc/ban_group_member", body: `{"GroupId":"live","Members_Account":["bob"],"Duration":60,"Description":"x"}`},
	{sdk: goSDK, command: "openim/modify_group_msg", body: `{"GroupId":"team","MsgSeq":1,"MsgBody":` + textBody + `}`},
	{sdk: goSDK, command: "all_member_push/im_push", body: `{"From_Account":"alice","MsgRandom":7,"MsgBody":` + textBody + `}`},
	{sdk: goSDK, command: "all_member_push/im_set_attr", body: `{"Attrs":[{"To_Account":"alice","Attrs":{"sex":"f"}}]}`, code: 90001, ignored: []string{"Attrs"}},
	{sdk: goSDK, command: "all_member_push/im_add_tag", body: `{"Tags":[{"To_Account":"alice","Tags":["vip"]}]}`, code: 90001, ignored: []string{"Tags"}},
	{sdk: javaSDK, command: "all_member_push/im_set_attr", body: `{"UserAttrs":[{"To_Account":"alice","Attrs":{"sex":"f"}}]}`},
}

// The calls that public SDKs make are answered, and a field that has no effect is
// listed as ignored: nothing is accepted in silence.
func TestCallsOfPublicSDKs(t *testing.T) {
	for _, c := range sdkCalls {
		w := newWorld(t)
		furnish(w)
		if got := code(w.rest(c.command, c.body)); got != c.code {
			t.Errorf("%s SDK: %s %s: code %d, want %d", c.sdk, c.command, c.body, got, c.code)
		}
		calls := w.app.Calls()
		if last := calls[len(calls)-1]; last.Command != c.command || !slices.Equal(last.Unknown, c.ignored) {
			t.Errorf("%s SDK: %s: ignored fields %q, want %q", c.sdk, last.Command, last.Unknown, c.ignored)
		}
	}
}

// What older SDKs call a field does what the field does, and is refused where the
// app is strict.
func TestOldFieldNamesWorkOrAreRefused(t *testing.T) {
	for _, tc := range []struct {
		command, body string
		code          int // of a strict app
		works         func(w *world) bool
	}{
		{"im_open_login_svc/account_import", `{"Identifier":"dora"}`, 70402, func(w *world) bool { return w.app.State().User("dora").UserID == "dora" }},
		{"im_open_login_svc/kick", `{"Identifier":"bob"}`, 70402, func(w *world) bool { return len(w.app.State().User("bob").Platforms) == 0 }},
		{"im_open_login_svc/account_delete", `{"DeleteItem":[{"Identifier":"bob"}]}`, 70402, func(w *world) bool {
			return code(w.rest("im_open_login_svc/account_import", `{"UserID":"bob"}`)) == 70399
		}},
		{groups + "forbid_send_msg", `{"GroupId":"team","Members_Account":["bob"],"ShutUpTime":60}`, 10004, func(w *world) bool { return len(w.app.State().Group("team").Muted) == 1 }},
		{groups + "modify_group_member_info", `{"GroupId":"team","Member_Account":"bob","ShutUpTime":60}`, 10004, func(w *world) bool { return len(w.app.State().Group("team").Muted) == 1 }},
		{groups + "modify_group_base_info", `{"GroupId":"team","ShutUpAllMember":"On"}`, 10004, func(w *world) bool { return w.app.State().Group("team").MuteAll }},
	} {
		for _, strict := range []bool{false, true} {
			w := newWorld(t, func(c *imtest.AppConfig) { c.Strict = strict })
			furnish(w)
			want := 0
			if strict {
				want = tc.code
			}
			if got := code(w.rest(tc.command, tc.body)); got != want {
				t.Errorf("%s %s, strict %v: code %d, want %d", tc.command, tc.body, strict, got, want)
			}
			if works := tc.works(w); works == strict {
				t.Errorf("%s %s, strict %v: took effect: %v", tc.command, tc.body, strict, works)
			}
		}
	}
}

// A former name where it would take no effect is refused, and nothing happens.
func TestOldFieldNamesWithoutEffectAreRefused(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	w.check(t, []restCase{
		{"a group that nobody may speak in", groups + "create_group", `{"Type":"Public","GroupId":"mute","Name":"M","ShutUpAllMember":"On"}`, 10004},
		{"a member who may not speak", groups + "add_group_member", `{"GroupId":"team","MemberList":[{"Member_Account":"dave","ShutUpTime":60}]}`, 10004},
		{"both names", "im_open_login_svc/account_import", `{"UserID":"dora","Identifier":"dave"}`, 70402},
	})
	if g := w.app.State().Group("mute"); g.Type != "" {
		t.Errorf("the group was made: %+v", g)
	}
}

// An answer has the old name of a field where the request asks for it.
func TestOldNamesInAnswersOnRequest(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	w.do(groups+"modify_group_base_info", `{"GroupId":"team","MuteAllMember":"On"}`)
	same(t, w.do(groups+"get_group_info", `{"GroupIdList":["team"],"ResponseFilter":{"GroupBaseInfoFilter":["ShutUpAllMember"]}}`)["GroupInfo"],
		`[{"GroupId":"team","ErrorCode":0,"ErrorInfo":"","ShutUpAllMember":"On"}]`)
}

// Media elements pass without the UUID that newer SDKs give them, unless the app
// is strict.
func TestMediaWithoutUUID(t *testing.T) {
	for elem, content := range map[string]string{
		"TIMImageElem":     `{"ImageFormat":1,"ImageInfoArray":[]}`,
		"TIMSoundElem":     `{"Url":"https://s","Download_Flag":2}`,
		"TIMFileElem":      `{"Url":"https://f","FileName":"f","Download_Flag":2}`,
		"TIMVideoFileElem": `{"VideoUrl":"https://v","VideoDownloadFlag":2}`,
	} {
		for _, strict := range []bool{false, true} {
			w := newWorld(t, func(c *imtest.AppConfig) { c.Strict = strict })
			furnish(w)
			body := `[{"MsgType":"` + elem + `","MsgContent":` + content + `}]`
			c2c, group := 0, 0
			if strict {
				c2c, group = 90002, 10004
			}
			w.check(t, []restCase{
				{elem + " to a user", "openim/sendmsg", `{"From_Account":"alice","To_Account":"bob","MsgRandom":5,"MsgBody":` + body + `}`, c2c},
				{elem + " to a group", groups + "send_group_msg", `{"GroupId":"team","From_Account":"alice","Random":5,"MsgBody":` + body + `}`, group},
			})
		}
	}
}

// The journal of REST calls has those to commands that do not exist, too, and is
// an empty list before the first.
func TestCallsListUnknownCommands(t *testing.T) {
	w := newWorld(t)
	same(t, w.control("GET", controlled+"/calls", "")["calls"], `[]`)
	w.rest("openim/no_such_thing", `{"x":1}`)
	w.rest("follow/follow_add", `{}`)
	calls := w.app.Calls()
	if len(calls) != 2 || calls[0].Command != "openim/no_such_thing" || calls[0].Code != 60009 || calls[0].Body != `{"x":1}` || calls[1].Command != "follow/follow_add" {
		t.Errorf("calls %+v", calls)
	}
}

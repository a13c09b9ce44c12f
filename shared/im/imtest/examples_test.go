package imtest_test

import (
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// example is a request that succeeds in a furnished world, with the page that
// documents it.
type example struct{ doc, command, body string }

const textBody = `[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}]`

var examples = []example{
	{"269/1608", "im_open_login_svc/account_import", `{"UserID":"dora","Nick":"Dora","FaceUrl":"https://example.org/d.png"}`},
	{"269/4919", "im_open_login_svc/multiaccount_import", `{"AccountList":[{"UserID":"dora"},{"UserID":"emil","Nick":"E"}]}`},
	{"269/38417", "im_open_login_svc/account_check", `{"CheckItem":[{"UserID":"alice"},{"UserID":"nobody"}]}`},
	{"1047/34954", "im_open_login_svc/account_delete", `{"DeleteItem":[{"UserID":"carol"}]}`},
	{"269/3853", "im_open_login_svc/kick", `{"UserID":"bob"}`},

	{"269/2566", "openim/query_online_status", `{"To_Account":["alice","carol"],"IsNeedDetail":1}`},
	{"269/2566", "openim/querystate", `{"To_Account":["alice"]}`},
	{"269/2282", "openim/sendmsg", `{"SyncOtherMachine":2,"From_Account":"alice","To_Account":"bob","MsgSeq":9,"MsgRandom":9,"ForbidCallbackControl":["ForbidBeforeSendMsgCallback"],"MsgBody":` + textBody + `}`},
	{"269/1612", "openim/batchsendmsg", `{"From_Account":"alice","To_Account":["bob","carol"],"MsgSeq":9,"MsgRandom":9,"MsgBody":` + textBody + `}`},
	{"269/42794", "openim/admin_getroammsg", `{"Operator_Account":"alice","Peer_Account":"bob","MaxCnt":10,"MinTime":0,"MaxTime":4000000000}`},
	{"1047/35015", "openim/admin_msgwithdraw", `{"From_Account":"alice","To_Account":"bob","MsgKey":"1_1_1772366400"}`},
	{"269/74740", "openim/modify_c2c_msg", `{"From_Account":"alice","To_Account":"bob","MsgKey":"1_1_1772366400","CloudCustomData":"x"}`},
	{"269/50349", "openim/admin_set_msg_read", `{"Report_Account":"bob","Peer_Account":"alice"}`},
	{"269/56043", "openim/get_c2c_unread_msg_num", `{"To_Account":"bob","Peer_Account":["alice"]}`},
	{"269/2568", "openim/importmsg", `{"SyncFromOldSystem":2,"From_Account":"alice","To_Account":"bob","MsgSeq":9,"MsgRandom":9,"MsgTimeStamp":1772366000,"MsgBody":` + textBody + `,"CloudCustomData":"c"}`},
	{"269/4229", "openconfigsvr/getnospeaking", `{"Get_Account":"bob"}`},
	{"269/4193", "openconfigsvr/getappinfo", `{"RequestField":["Date","RegistUserNumTotal"]}`},
	{"269/4230", "openconfigsvr/setnospeaking", `{"Set_Account":"bob","C2CmsgNospeakingTime":60,"GroupmsgNospeakingTime":4294967295}`},

	{"1047/51195", "openim_msg_ext_http_svc/set_key_values", `{"From_Account":"alice","To_Account":"bob","MsgKey":"1_1_1772366400","OperateType":1,"ExtensionList":[{"Key":"k","Value":"v","Seq":0}]}`},
	{"1047/51195", "openim_msg_ext_http_svc/get_key_values", `{"From_Account":"alice","To_Account":"bob","MsgKey":"1_1_1772366400","StartSeq":1}`},
	{"1047/52170", "openim_msg_ext_http_svc/group_set_key_values", `{"GroupId":"team","MsgSeq":2,"OperateType":1,"ExtensionList":[{"Key":"k","Value":"v","Seq":0}]}`},
	{"1047/52170", "openim_msg_ext_http_svc/group_get_key_values", `{"GroupId":"team","MsgSeq":2,"StartSeq":0}`},

	{"269/1640", "profile/portrait_set", `{"From_Account":"alice","ProfileItem":[{"Tag":"Tag_Profile_IM_Nick","Value":"A"}]}`},
	{"269/1639", "profile/portrait_get", `{"To_Account":["alice"],"TagList":["Tag_Profile_IM_Nick"]}`},
	{"269/1643", "sns/friend_add", `{"From_Account":"alice","AddFriendItem":[{"To_Account":"bob","AddSource":"AddSource_Type_XX"}],"AddType":"Add_Type_Both","ForceAddFlags":1}`},
	{"269/12525", "sns/friend_update", `{"From_Account":"bob","UpdateItem":[{"To_Account":"carol","SnsItem":[{"Tag":"Tag_SNS_IM_Remark","Value":"C"}]}]}`},
	{"1047/34908", "sns/friend_get", `{"From_Account":"bob","StartIndex":0}`},
	{"269/1644", "sns/friend_delete", `{"From_Account":"alice","To_Account":["bob"],"DeleteType":"Delete_Type_Both"}`},
	{"269/1646", "sns/friend_check", `{"From_Account":"alice","To_Account":["bob"],"CheckType":"CheckResult_Type_Both"}`},
	{"269/3718", "sns/black_list_add", `{"From_Account":"alice","To_Account":["bob"]}`},
	{"269/3719", "sns/black_list_delete", `{"From_Account":"alice","To_Account":["bob"]}`},

	{"1047/34914", "sns/black_list_get", `{"From_Account":"alice","StartIndex":0,"MaxLimited":100,"LastSequence":0}`},

	{"269/3725", "sns/black_list_check", `{"From_Account":"alice","To_Account":["bob"],"CheckType":"BlackCheckResult_Type_Both"}`},
	{"269/8609", "sns/friend_get_list", `{"From_Account":"alice","To_Account":["bob"],"TagList":["Tag_Profile_IM_Nick","Tag_SNS_IM_Remark"]}`},
	{"269/8301", "sns/friend_import", `{"From_Account":"alice","AddFriendItem":[{"To_Account":"bob","Remark":"B","RemarkTime":1772360000,"GroupName":["work"],"AddSource":"AddSource_Type_XX","AddWording":"hi","AddTime":1772360000,"CustomItem":[{"Tag":"Tag_SNS_Custom_level","Value":3}]}]}`},
	{"269/1645", "sns/friend_delete_all", `{"From_Account":"alice","DeleteType":"Delete_Type_Both"}`},
	{"269/10107", "sns/group_add", `{"From_Account":"alice","GroupName":["work"],"To_Account":["bob"]}`},
	{"269/10108", "sns/group_delete", `{"From_Account":"alice","GroupName":["work"]}`},
	{"269/54763", "sns/group_get", `{"From_Account":"alice","NeedFriend":"Need_Friend_Type_Yes","GroupName":["work"],"LastSequence":0}`},

	{"1047/43087", "recentcontact/get_list", `{"From_Account":"alice","TimeStamp":0,"StartIndex":0,"TopTimeStamp":0,"TopStartIndex":0,"AssistFlags":5}`},
	{"269/62119", "recentcontact/delete", `{"From_Account":"alice","Type":1,"To_Account":"bob","ClearRamble":1}`},

	{"269/1615", "group_open_http_svc/create_group", `{"Type":"Public","GroupId":"new","Name":"New","Owner_Account":"alice","AppDefinedData":[{"Key":"k","Value":"v"}],"MemberList":[{"Member_Account":"bob","Role":"Admin"}]}`},
	{"269/1624", "group_open_http_svc/destroy_group", `{"GroupId":"team"}`},
	{"269/1616", "group_open_http_svc/get_group_info", `{"GroupIdList":["team","live"],"ResponseFilter":{"GroupBaseInfoFilter":["Name","MemberNum"]}}`},
	{"269/1617", "group_open_http_svc/get_group_member_info", `{"GroupId":"team","Limit":100,"Offset":0}`},
	{"269/112002", "group_open_http_svc/get_specified_group_member_info", `{"GroupId":"team","Member_List_Account":["bob","carol"]}`},
	{"269/1626", "group_open_http_svc/get_role_in_group", `{"GroupId":"team","User_Account":["alice","carol"]}`},
	{"269/1625", "group_open_http_svc/get_joined_group_list", `{"Member_Account":"bob"}`},
	{"269/1614", "group_open_http_svc/get_appid_group_list", `{"Limit":1000,"Next":0,"GroupType":"Public"}`},
	{"269/1620", "group_open_http_svc/modify_group_base_info", `{"GroupId":"team","Name":"Team","MuteAllMember":"On","AppDefinedData":[{"Key":"k","Value":"v"}]}`},
	{"269/1633", "group_open_http_svc/change_group_owner", `{"GroupId":"team","NewOwner_Account":"bob"}`},
	{"269/1621", "group_open_http_svc/add_group_member", `{"GroupId":"team","Silence":1,"MemberList":[{"Member_Account":"carol"}]}`},
	{"269/1622", "group_open_http_svc/delete_group_member", `{"GroupId":"team","MemberToDel_Account":["bob"],"Reason":"late"}`},
	{"269/1623", "group_open_http_svc/modify_group_member_info", `{"GroupId":"team","Member_Account":"bob","Role":"Admin","NameCard":"B"}`},
	{"1047/34951", "group_open_http_svc/forbid_send_msg", `{"GroupId":"live","Members_Account":["bob"],"MuteTime":60}`},
	{"269/2925", "group_open_http_svc/get_group_muted_account", `{"GroupId":"live"}`},
	{"269/2925", "group_open_http_svc/get_group_shutted_uin", `{"GroupId":"live"}`},
	{"1047/34951", "group_open_http_svc/ban_group_member", `{"GroupId":"live","Members_Account":["bob"],"Duration":60,"Description":"spam"}`},
	{"1047/34951", "group_open_http_svc/unban_group_member", `{"GroupId":"live","Members_Account":["bob"]}`},
	{"1047/34951", "group_open_http_svc/get_group_ban_member", `{"GroupId":"live","Limit":100,"Offset":0}`},

	{"269/1629", "group_open_http_svc/send_group_msg", `{"GroupId":"team","From_Account":"bob","Random":9,"MsgPriority":"High","GroupAtInfo":[{"GroupAtAllFlag":1}],"MsgBody":` + textBody + `,"CloudCustomData":"c"}`},
	{"269/1630", "group_open_http_svc/send_group_system_notification", `{"GroupId":"team","Content":"x","ToMembers_Account":["bob"]}`},
	{"1047/34965", "group_open_http_svc/group_msg_recall", `{"GroupId":"team","MsgSeqList":[{"MsgSeq":1}],"Reason":"x"}`},
	{"269/74741", "openim/modify_group_msg", `{"GroupId":"team","MsgSeq":1,"MsgBody":` + textBody + `}`},
	{"269/2359", "group_open_http_svc/delete_group_msg_by_sender", `{"GroupId":"team","Sender_Account":"bob"}`},
	{"1047/34958", "group_open_http_svc/group_msg_get_simple", `{"GroupId":"team","ReqMsgNumber":20}`},
	{"269/77402", "group_open_http_svc/send_broadcast_msg", `{"From_Account":"alice","Random":9,"MsgBody":` + textBody + `}`},

	{"269/1634", "group_open_http_svc/import_group", `{"Type":"Public","GroupId":"old","Name":"Old","Owner_Account":"alice","CreateTime":1772360000}`},
	{"269/1636", "group_open_http_svc/import_group_member", `{"GroupId":"team","MemberList":[{"Member_Account":"carol","Role":"Admin","JoinTime":1772366400,"UnreadMsgNum":1}]}`},
	{"269/1635", "group_open_http_svc/import_group_msg", `{"GroupId":"team","RecentContactFlag":1,"MsgList":[{"From_Account":"bob","SendTime":1772366400,"Random":9,"MsgBody":` + textBody + `}]}`},
	{"269/1637", "group_open_http_svc/set_unread_msg_num", `{"GroupId":"team","Member_Account":"bob","UnreadMsgNum":1}`},

	{"269/49180", "group_open_http_svc/get_online_member_num", `{"GroupId":"live"}`},
	{"269/77266", "group_open_avchatroom_http_svc/get_members", `{"GroupId":"live","Timestamp":0}`},
	{"1047/60523", "group_open_avchatroom_http_svc/check_members", `{"GroupId":"live","Member_Account":["bob","carol"]}`},
	{"1047/59499", "group_open_avchatroom_http_svc/modify_admin", `{"GroupId":"live","CommandType":1,"Admin_Account":["bob"]}`},
	{"1047/59499", "group_open_avchatroom_http_svc/get_admin_list", `{"GroupId":"live"}`},
	{"1047/44187", "group_open_http_svc/set_group_attr", `{"GroupId":"live","GroupAttr":[{"key":"status","value":"on"}]}`},
	{"1047/44187", "group_open_http_svc/modify_group_attr", `{"GroupId":"live","GroupAttr":[{"key":"status","value":"off"}]}`},
	{"1047/44187", "group_open_http_svc/delete_group_attr", `{"GroupId":"live","GroupAttr":[{"key":"status"}]}`},
	{"1047/44190", "group_open_http_svc/clear_group_attr", `{"GroupId":"live"}`},
	{"1047/44190", "group_open_attr_http_svc/get_group_attr", `{"GroupId":"live"}`},
	{"269/85952", "group_open_http_svc/update_group_counter", `{"GroupId":"live","GroupCounter":[{"Key":"likes","Value":5}],"Mode":"Increase"}`},
	{"1047/53428", "group_open_http_svc/get_group_counter", `{"GroupId":"live","GroupCounterKeys":["likes"]}`},
	{"1047/50294", "group_open_avchatroom_http_svc/modify_user_info", `{"GroupId":"live","CommandType":1,"MemberList":[{"Member_Account":"bob","Marks":[1000]}]}`},
	{"1047/49439", "group_open_http_svc/get_group_msg_receipt", `{"GroupId":"team","MsgSeqList":[{"MsgSeq":2}]}`},
	{"1047/49438", "group_open_http_svc/get_group_msg_receipt_detail", `{"GroupId":"team","MsgSeq":2,"Num":10,"Cursor":"","Flag":0}`},
	{"1047/53428", "group_open_http_svc/delete_group_counter", `{"GroupId":"live","GroupCounterKeys":["likes"]}`},

	{"1047/49471", "million_group_open_http_svc/create_topic", `{"GroupId":"@TGS#_town","TopicName":"games","TopicId":"@TGS#_town@TOPIC#_games","CustomString":"x"}`},
	{"1047/49470", "million_group_open_http_svc/get_topic", `{"GroupId":"@TGS#_town","From_Account":"alice","TopicIdList":["@TGS#_town@TOPIC#_hall"]}`},
	{"1047/49469", "million_group_open_http_svc/modify_topic", `{"GroupId":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_hall","TopicName":"Hall"}`},
	{"1047/49468", "million_group_open_http_svc/destroy_topic", `{"GroupId":"@TGS#_town","TopicIdList":["@TGS#_town@TOPIC#_hall"]}`},
	{"269/103965", "group_open_http_svc/create_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupName":"guests","Permission":64}`},
	{"269/103965", "group_open_http_svc/modify_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupId":"@PMG#_staff","Permission":65}`},
	{"269/103966", "group_open_http_svc/destroy_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupIdList":["@PMG#_staff"]}`},
	{"269/103974", "group_open_http_svc/get_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupIdList":["@PMG#_staff"]}`},
	{"269/103974", "group_open_http_svc/add_topic_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupId":"@PMG#_staff","TopicPermissionList":[{"TopicId":"@TGS#_town@TOPIC#_hall","Permission":8}]}`},
	{"269/103974", "group_open_http_svc/set_topic_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupId":"@PMG#_staff","TopicPermissionList":[{"TopicId":"@TGS#_town@TOPIC#_hall","Permission":9}]}`},
	{"269/103974", "group_open_http_svc/delete_topic_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupId":"@PMG#_staff","TopicIdList":["@TGS#_town@TOPIC#_hall"]}`},
	{"269/103966", "group_open_http_svc/add_permission_group_member", `{"GroupId":"@TGS#_town","PermissionGroupId":"@PMG#_staff","MemberList":[{"Member_Account":"alice"}]}`},
	{"269/103966", "group_open_http_svc/delete_permission_group_member", `{"GroupId":"@TGS#_town","PermissionGroupId":"@PMG#_staff","MemberList":[{"Member_Account":"alice"}]}`},

	{"269/89991", "openim_robot_http_svc/create_robot", `{"UserID":"@RBT#002","Nick":"Two"}`},
	{"269/89991", "openim_robot_http_svc/get_all_robots", `{}`},
	{"269/89991", "openim_robot_http_svc/delete_robot", `{"Robot_Account":"@RBT#001"}`},
	{"1047/71131", "openim_robot_http_svc/send_stream_msg", `{"From_Account":"@RBT#001","To_Account":"alice","Chunk":"hel"}`},

	{"269/45934", "all_member_push/im_push", `{"From_Account":"alice","MsgRandom":9,"MsgLifeTime":60,"Condition":{"TagsOr":["vip"]},"MsgBody":` + textBody + `}`},
	{"269/45934", "all_member_push/im_set_attr_name", `{"AttrNames":{"0":"sex"}}`},
	{"269/45934", "all_member_push/im_get_attr_name", `{}`},
	{"269/45934", "all_member_push/im_set_attr", `{"UserAttrs":[{"To_Account":"alice","Attrs":{"sex":"f"}}]}`},
	{"269/45934", "all_member_push/im_get_attr", `{"To_Account":["alice"]}`},
	{"269/45934", "all_member_push/im_remove_attr", `{"UserAttrs":[{"To_Account":"alice","Attrs":["sex"]}]}`},
	{"269/45934", "all_member_push/im_add_tag", `{"UserTags":[{"To_Account":"alice","Tags":["vip"]}]}`},
	{"269/45934", "all_member_push/im_get_tag", `{"To_Account":["alice"]}`},
	{"269/45934", "all_member_push/im_remove_tag", `{"UserTags":[{"To_Account":"alice","Tags":["vip"]}]}`},
	{"269/45934", "all_member_push/im_remove_all_tags", `{"To_Account":["alice"]}`},
}

// furnish fills a world with what the examples speak of: alice and bob online,
// carol not, a team, a live room, a community, a robot, and a message in each.
func furnish(w *world) (alice, bob *imtest.Client) {
	w.t.Helper()
	alice, bob = w.login("alice"), w.login("bob")
	w.importUsers("carol")
	w.do("openim_robot_http_svc/create_robot", `{"UserID":"@RBT#001"}`)
	w.do("group_open_http_svc/create_group", `{"Type":"Public","GroupId":"team","Name":"Team","Owner_Account":"alice","MemberList":[{"Member_Account":"bob"}]}`)
	w.do("group_open_http_svc/create_group", `{"Type":"AVChatRoom","GroupId":"live","Name":"Live","Owner_Account":"alice"}`)
	w.do("group_open_http_svc/create_group", `{"Type":"Community","GroupId":"@TGS#_town","Name":"Town","Owner_Account":"alice","SupportTopic":1,"MemberList":[{"Member_Account":"bob"}]}`)
	w.do("million_group_open_http_svc/create_topic", `{"GroupId":"@TGS#_town","TopicName":"hall","TopicId":"@TGS#_town@TOPIC#_hall"}`)
	w.do("group_open_http_svc/create_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupId":"@PMG#_staff","PermissionGroupName":"staff","Permission":1}`)
	for _, c := range []*imtest.Client{alice, bob} {
		if err := c.Join("live"); err != nil {
			w.t.Fatal(err)
		}
	}
	w.do("openim/sendmsg", `{"From_Account":"alice","To_Account":"bob","MsgSeq":1,"MsgRandom":1,"SupportMessageExtension":1,"MsgBody":`+text("first")+`}`)
	w.do("group_open_http_svc/send_group_msg", `{"GroupId":"team","From_Account":"bob","Random":1,"MsgBody":`+text("first")+`}`)
	w.do("group_open_http_svc/send_group_msg", `{"GroupId":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_hall","From_Account":"alice","Random":1,"MsgBody":`+text("first")+`}`)
	w.settle()
	w.backend.forget()
	return alice, bob
}

// TestExamples: each command has an example, which succeeds and uses no field
// that IM does not know.
func TestExamples(t *testing.T) {
	missing := make(map[string]bool)
	for _, command := range imtest.Commands() {
		missing[command] = true
	}
	for _, e := range examples {
		delete(missing, e.command)
		w := newWorld(t)
		alice, _ := furnish(w)
		if _, err := alice.Send("team", imtest.Draft{Text: "confirm", NeedReceipt: true, Extensible: true}); err != nil {
			t.Fatal(err)
		}
		answer := w.do(e.command, e.body)
		if s, has := answer["ActionStatus"]; has && s != "OK" {
			t.Errorf("%s: %v", e.command, answer)
		}
		calls := w.app.Calls()
		if unknown := calls[len(calls)-1].Unknown; len(unknown) > 0 {
			t.Errorf("%s: unknown fields %q", e.command, unknown)
		}
	}
	for command := range missing {
		t.Errorf("%s has no example", command)
	}
}

package imtest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

const (
	topics = "million_group_open_http_svc/"
	town   = "@TGS#_town"
	hall   = "@TGS#_town@TOPIC#_hall"
)

// 1047/49471, 1047/49470, 1047/49463, 1047/49464.
func TestCreateTopic(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	const command = topics + "create_topic"
	same(t, w.do(command, `{"GroupId":"@TGS#_town","TopicName":"games","TopicId":"@TGS#_town@TOPIC#_games","From_Account":"bob","CustomString":"c",
		"FaceUrl":"https://f","Introduction":"i","Notification":"n"}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"TopicId":"@TGS#_town@TOPIC#_games"}`)
	same(t, w.hook("Group.CallbackBeforeCreateTopic").Body, `{"CallbackCommand":"Group.CallbackBeforeCreateTopic","Operator_Account":"bob","Type":"Community","Name":"games"}`)
	same(t, w.hook("Group.CallbackAfterCreateTopic").Body, `{"CallbackCommand":"Group.CallbackAfterCreateTopic","GroupId":"@TGS#_town",
		"TopicId":"@TGS#_town@TOPIC#_games","Operator_Account":"bob","Owner_Account":"alice","Type":"Community","Name":"games","UserDefinedDataList":[]}`)
	same(t, w.do(topics+"get_topic", `{"GroupId":"@TGS#_town","From_Account":"bob","TopicIdList":["@TGS#_town@TOPIC#_games","@TGS#_town@TOPIC#_none"]}`)["TopicAndSelfInfo"],
		`[{"ErrorCode":0,"ErrorInfo":"","TopicInfo":{"GroupID":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_games","TopicName":"games","Introduction":"i",
		"Notification":"n","FaceUrl":"https://f","CustomString":"c","MuteAllMember":"Off","NextMsgSeq":1},"SelfInfo":{"MuteTime":0}},
		{"ErrorCode":10004,"ErrorInfo":"no such topic","TopicInfo":{"GroupID":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_none"}}]`)
	if id := w.do(command, `{"GroupId":"@TGS#_town","TopicName":"x"}`)["TopicId"].(string); !strings.HasPrefix(id, town+"@TOPIC#_") {
		t.Errorf("a topic is called %q", id)
	}
	if n := len(w.do(topics+"get_topic", `{"GroupId":"@TGS#_town","From_Account":"bob"}`)["TopicAndSelfInfo"].([]any)); n != 3 {
		t.Errorf("%d topics, want 3", n)
	}
	w.do(groups+"create_group", `{"Type":"Community","GroupId":"@TGS#_plain","Name":"P"}`)
	body := func(fields string) string { return `{"GroupId":"@TGS#_town","TopicName":"x",` + fields + `}` }
	w.check(t, []restCase{
		{"again", command, body(`"TopicId":"` + hall + `"`), 10021},
		{"the id of another community", command, body(`"TopicId":"@TGS#_other@TOPIC#_x"`), 10015},
		{"no TopicName", command, `{"GroupId":"@TGS#_town"}`, 10004},
		{"a TopicName of 30 bytes", command, `{"GroupId":"@TGS#_town","TopicName":"` + strings.Repeat("é", 15) + `"}`, 0},
		{"a TopicName of 31 bytes", command, `{"GroupId":"@TGS#_town","TopicName":"` + strings.Repeat("é", 15) + `x"}`, 10004},
		{"a CustomString of 3001 bytes", command, body(`"CustomString":"` + strings.Repeat("x", 3001) + `"`), 10004},
		{"an unknown From_Account", command, body(`"From_Account":"nobody"`), 10019},
		{"in a team", command, `{"GroupId":"team","TopicName":"x"}`, 10007},
		{"in a community without topics", command, `{"GroupId":"@TGS#_plain","TopicName":"x"}`, 10007},
		{"in no community", command, `{"GroupId":"@TGS#_none","TopicName":"x"}`, 10010},
		{"in the service of groups", groups + "create_topic", body(`"Introduction":""`), 60009},
		{"a look without From_Account", topics + "get_topic", `{"GroupId":"@TGS#_town"}`, 10004},
		{"a look into a team", topics + "get_topic", `{"GroupId":"team","From_Account":"bob"}`, 10007},
	})
	w.backend.answers("Group.CallbackBeforeCreateTopic", `{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10100}`)
	w.check(t, []restCase{{"refused by the backend", command, body(`"TopicId":"@TGS#_town@TOPIC#_no"`), 10100}})
}

// 1047/49469, 1047/49466, 1047/49468, 1047/49465.
func TestModifyAndDestroyTopic(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	w.do(topics+"modify_topic", `{"GroupId":"@TGS#_town","TopicId":"`+hall+`","TopicName":"Hall","Introduction":"","MuteAllMember":"On","CustomString":"c"}`)
	same(t, w.hook("Group.CallbackAfterTopicInfoChanged").Body, `{"CallbackCommand":"Group.CallbackAfterTopicInfoChanged","GroupId":"@TGS#_town",
		"Type":"Community","Operator_Account":"administrator","Name":"Hall"}`)
	if _, err := bob.Send(town, imtest.Draft{Text: "x", TopicID: hall}); imtest.Code(err) != 10017 {
		t.Errorf("bob in a muted topic: %v", err)
	}
	if _, err := alice.Send(town, imtest.Draft{Text: "x", TopicID: hall}); err != nil {
		t.Errorf("the owner in a muted topic: %v", err)
	}
	w.check(t, []restCase{
		{"no topic", topics + "modify_topic", `{"GroupId":"@TGS#_town","TopicId":"x","TopicName":"x"}`, 10004},
		{"a long name", topics + "modify_topic", `{"GroupId":"@TGS#_town","TopicId":"` + hall + `","TopicName":"` + strings.Repeat("x", 31) + `"}`, 10004},
		{"neither On nor Off", topics + "modify_topic", `{"GroupId":"@TGS#_town","TopicId":"` + hall + `","MuteAllMember":"on"}`, 10004},
		{"a team", topics + "modify_topic", `{"GroupId":"team","TopicId":"x","TopicName":"x"}`, 10007},
		{"no list", topics + "destroy_topic", `{"GroupId":"@TGS#_town"}`, 10004},
		{"the end of a team's", topics + "destroy_topic", `{"GroupId":"team","TopicIdList":["x"]}`, 10007},
	})
	same(t, w.do(topics+"destroy_topic", `{"GroupId":"@TGS#_town","From_Account":"alice","TopicIdList":["`+hall+`","x"]}`)["DestroyResultItem"],
		`[{"TopicId":"`+hall+`","ErrorCode":0,"ErrorInfo":""},{"TopicId":"x","ErrorCode":110003,"ErrorInfo":"no such topic"}]`)
	same(t, w.hook("Group.CallbackAfterTopicDestroyed").Body, `{"CallbackCommand":"Group.CallbackAfterTopicDestroyed","GroupId":"@TGS#_town",
		"Type":"Community","Operator_Account":"alice","TopicIdList":["`+hall+`"]}`)
	if _, err := bob.Send(town, imtest.Draft{Text: "x", TopicID: hall}); imtest.Code(err) != 10004 {
		t.Errorf("into a topic that is gone: %v", err)
	}
}

// 269/103965, 269/103966, 269/103974.
func TestPermissionGroups(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	group := func(fields string) string {
		return `{"GroupId":"@TGS#_town","PermissionGroupId":"@PMG#_staff",` + fields + `}`
	}
	w.do(groups+"modify_permission_group", group(`"PermissionGroupName":"Staff","Permission":65,"CustomString":"c"`))
	same(t, w.do(groups+"add_permission_group_member", group(`"MemberList":[{"Member_Account":"bob"},{"Member_Account":"carol"},{"Member_Account":"bob"}]`))["MemberList"],
		`[{"Member_Account":"bob","Result":0},{"Member_Account":"carol","Result":10004},{"Member_Account":"bob","Result":10013}]`)
	same(t, w.do(groups+"add_topic_permission_group", group(`"TopicPermissionList":[{"TopicId":"`+hall+`","Permission":8},{"TopicId":"x","Permission":8}]`))["TopicPermissionResultList"],
		`[{"TopicId":"`+hall+`","ErrorCode":0,"ErrorInfo":""},{"TopicId":"x","ErrorCode":110003,"ErrorInfo":"no such topic"}]`)
	same(t, w.do(groups+"get_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupIdList":["@PMG#_staff","x"]}`)["PermissionGroupInfoList"],
		`[{"PermissionGroupId":"@PMG#_staff","ErrorCode":0,"PermissionGroupName":"Staff","Permission":65,"CustomString":"c","MemberNum":1,
		"TopicPermissionList":[{"TopicId":"`+hall+`","Permission":8}]},{"PermissionGroupId":"x","ErrorCode":110010}]`)
	w.do(groups+"set_topic_permission_group", group(`"TopicPermissionList":[{"TopicId":"`+hall+`","Permission":16}]`))
	w.do(groups+"delete_permission_group_member", group(`"MemberList":[{"Member_Account":"bob"}]`))
	info := func() map[string]any {
		return w.do(groups+"get_permission_group", `{"GroupId":"@TGS#_town"}`)["PermissionGroupInfoList"].([]any)[0].(map[string]any)
	}
	if got := info(); got["MemberNum"] != 0.0 || got["TopicPermissionList"].([]any)[0].(map[string]any)["Permission"] != 16.0 {
		t.Errorf("the group is %v", got)
	}
	w.do(groups+"delete_topic_permission_group", group(`"TopicIdList":["`+hall+`"]`))
	if got := info(); len(got["TopicPermissionList"].([]any)) != 0 {
		t.Errorf("the group is %v", got)
	}
	if id := w.do(groups+"create_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupName":"guests"}`)["PermissionGroupId"].(string); !strings.HasPrefix(id, "@PMG#_") {
		t.Errorf("a permission group is called %q", id)
	}
	missing := strings.NewReplacer("staff", "none").Replace
	w.check(t, []restCase{
		{"again", groups + "create_permission_group", group(`"PermissionGroupName":"x"`), 110009},
		{"a strange id", groups + "create_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupId":"x","PermissionGroupName":"x"}`, 10004},
		{"no name", groups + "create_permission_group", `{"GroupId":"@TGS#_town"}`, 10004},
		{"a name of 151 bytes", groups + "modify_permission_group", group(`"PermissionGroupName":"` + strings.Repeat("x", 151) + `"`), 10004},
		{"a negative Permission", groups + "modify_permission_group", group(`"Permission":-1`), 10004},
		{"in a team", groups + "create_permission_group", `{"GroupId":"team","PermissionGroupName":"x"}`, 10007},
		{"no such group", groups + "modify_permission_group", missing(group(`"Permission":1`)), 110010},
		{"members of no such group", groups + "add_permission_group_member", missing(group(`"MemberList":[{"Member_Account":"bob"}]`)), 110010},
		{"topics of no such group", groups + "set_topic_permission_group", missing(group(`"TopicPermissionList":[{"TopicId":"x","Permission":1}]`)), 110010},
		{"101 members", groups + "add_permission_group_member", group(`"MemberList":` + many(101, "Member_Account")), 10005},
		{"no members", groups + "delete_permission_group_member", group(`"MemberList":[]`), 10004},
		{"no topics", groups + "add_topic_permission_group", group(`"TopicPermissionList":[]`), 10004},
		{"21 destroyed", groups + "destroy_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupIdList":` + many(21, "") + `}`, 10004},
		{"the service of topics", topics + "create_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupName":"x"}`, 60009},
	})
	same(t, w.do(groups+"destroy_permission_group", `{"GroupId":"@TGS#_town","PermissionGroupIdList":["@PMG#_staff","x"]}`)["PermissionGroupResultList"],
		`[{"PermissionGroupId":"@PMG#_staff","ErrorCode":0,"ErrorInfo":""},{"PermissionGroupId":"x","ErrorCode":110010,"ErrorInfo":"no such permission group"}]`)
}

// A message in a topic names it to the backend and to the members, beside the
// community's GroupID.
func TestMessageInATopic(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	w.do(groups+"send_group_msg", `{"GroupId":"@TGS#_town","TopicId":"`+hall+`","From_Account":"alice","Random":2,"MsgBody":`+text("second")+`}`)
	for _, command := range []string{"Group.CallbackBeforeSendMsg", "Group.CallbackAfterSendMsg"} {
		if h := w.hook(command); h.Body["GroupId"] != town || h.Body["TopicId"] != hall {
			t.Errorf("%s: %v", command, h.Body)
		}
	}
	var got []string
	for _, m := range bob.Received() {
		if m.TopicID == hall {
			got = append(got, m.Text())
		}
	}
	if !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("bob received %q", got)
	}
}

// In a community with permission groups, members may what the default and their
// groups let them; where a group has rights of its own in a topic, those decide
// there. The Admin role is switched off, and the owner may everything.
func TestPermissionGroupsRestrict(t *testing.T) {
	w := newWorld(t)
	w.importUsers("alice", "bob", "cat")
	w.do(groups+"create_group", `{"Type":"Community","GroupId":"@TGS#_city","Name":"C","Owner_Account":"alice","SupportTopic":1,"EnablePermission":1,
		"DefaultPermission":256,"MemberList":[{"Member_Account":"bob"},{"Member_Account":"cat","Role":"Admin"}]}`)
	const square, news = "@TGS#_city@TOPIC#_square", "@TGS#_city@TOPIC#_news"
	w.do(topics+"create_topic", `{"GroupId":"@TGS#_city","TopicName":"square","TopicId":"`+square+`"}`)
	w.do(topics+"create_topic", `{"GroupId":"@TGS#_city","TopicName":"news","TopicId":"`+news+`"}`)
	w.do(groups+"create_permission_group", `{"GroupId":"@TGS#_city","PermissionGroupId":"@PMG#_talk","PermissionGroupName":"talk","Permission":64}`)
	alice, bob, cat := w.login("alice"), w.login("bob"), w.login("cat")
	says := func(c *imtest.Client, topic string, mentions ...string) int {
		_, err := c.Send("@TGS#_city", imtest.Draft{Text: "hello", TopicID: topic, Mentions: mentions})
		return imtest.Code(err)
	}
	makes := func(c *imtest.Client) int {
		_, err := c.Do(topics+"create_topic", []byte(`{"GroupId":"@TGS#_city","TopicName":"x"}`))
		return imtest.Code(err)
	}
	if says(alice, square) != 0 || says(bob, square) != 10007 || says(cat, square) != 10007 {
		t.Error("the default lets members write, or keeps the owner from it")
	}
	if makes(alice) != 0 || makes(cat) != 10007 {
		t.Error("an admin makes topics although permission groups are on")
	}
	w.do(groups+"add_permission_group_member", `{"GroupId":"@TGS#_city","PermissionGroupId":"@PMG#_talk","MemberList":[{"Member_Account":"bob"}]}`)
	if says(bob, square) != 0 || says(bob, news) != 0 || says(bob, square, "@all") != 10007 {
		t.Error("a group's rights do not hold")
	}
	w.do(groups+"set_topic_permission_group", `{"GroupId":"@TGS#_city","PermissionGroupId":"@PMG#_talk","TopicPermissionList":[{"TopicId":"`+news+`","Permission":16}]}`)
	if says(bob, square) != 0 || says(bob, news) != 10007 {
		t.Error("a group's rights in a topic do not decide there")
	}
	if _, err := bob.History("@TGS#_city", news, 0, 1); err != nil {
		t.Error(err)
	}
	w.do(groups+"modify_permission_group", `{"GroupId":"@TGS#_city","PermissionGroupId":"@PMG#_talk","Permission":80}`)
	if makes(bob) != 0 {
		t.Error("a group with the right makes no topics")
	}
	w.do(groups+"delete_group_member", `{"GroupId":"@TGS#_city","MemberToDel_Account":["bob"]}`)
	w.do(groups+"add_group_member", `{"GroupId":"@TGS#_city","MemberList":[{"Member_Account":"bob"}]}`)
	if says(bob, square) != 10007 {
		t.Error("who left and came back is still in his permission groups")
	}
	w.check(t, []restCase{
		{"permission groups without topics", groups + "create_group", `{"Type":"Community","GroupId":"@TGS#_flat","Name":"F","EnablePermission":1}`, 10007},
	})
}

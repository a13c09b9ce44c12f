package imtest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// 269/1621, 1047/34371, 1047/34372, 1047/34376.
func TestAddGroupMember(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	w.importUsers("dora")
	const command = groups + "add_group_member"
	same(t, w.do(command, `{"GroupId":"team","Silence":1,"MemberList":[{"Member_Account":"carol"},{"Member_Account":"bob"},{"Member_Account":"nobody"}]}`),
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MemberList":[{"Member_Account":"carol","Result":1},
		{"Member_Account":"bob","Result":2},{"Member_Account":"nobody","Result":0}]}`)
	same(t, w.hook("Group.CallbackBeforeInviteJoinGroup").Body, `{"CallbackCommand":"Group.CallbackBeforeInviteJoinGroup","GroupId":"team",
		"Type":"Public","Operator_Account":"administrator","DestinationMembers":[{"Member_Account":"carol"}],"EventTime":1772366400000}`)
	same(t, w.hook("Group.CallbackAfterNewMemberJoin").Body, `{"CallbackCommand":"Group.CallbackAfterNewMemberJoin","GroupId":"team",
		"Type":"Public","JoinType":"Invited","Operator_Account":"administrator","NewMemberList":[{"Member_Account":"carol"}],"EventTime":1772366400000}`)
	w.do(groups+"modify_group_base_info", `{"GroupId":"team","MaxMemberNum":4}`)
	w.check(t, []restCase{
		{"the last place", command, `{"GroupId":"team","MemberList":[{"Member_Account":"dora"}]}`, 0},
		{"no place", command, `{"GroupId":"team","MemberList":[{"Member_Account":"administrator"}]}`, 10014},
		{"no group", command, `{"GroupId":"nowhere","MemberList":[{"Member_Account":"carol"}]}`, 10010},
		{"an AVChatRoom", command, `{"GroupId":"live","MemberList":[{"Member_Account":"carol"}]}`, 10007},
		{"20", command, `{"GroupId":"@TGS#_town","MemberList":` + many(20, "Member_Account") + `}`, 0},
		{"21", command, `{"GroupId":"@TGS#_town","MemberList":` + many(21, "Member_Account") + `}`, 10005},
		{"none", command, `{"GroupId":"team"}`, 10004},
		{"plain texts", command, `{"GroupId":"team","MemberList":["carol"]}`, 10004},
	})
	// Filling the group is told, and each join after that.
	if n := len(w.hooks("Group.CallbackAfterGroupFull")); n != 2 {
		t.Errorf("told %d times that the group is full, want 2", n)
	}
	same(t, w.backend.got("Group.CallbackAfterGroupFull")[0].Body, `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":"team","EventTime":1772366400000}`)

	w.backend.answers("Group.CallbackBeforeInviteJoinGroup", `{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":1}`)
	w.check(t, []restCase{{"refused by the backend", command, `{"GroupId":"@TGS#_town","MemberList":[{"Member_Account":"carol"}]}`, 10016}})
}

func TestMembersPerAddIsASwitch(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.MembersPerAdd = 100 })
	furnish(w)
	w.check(t, []restCase{
		{"100", groups + "add_group_member", `{"GroupId":"team","MemberList":` + many(100, "Member_Account") + `}`, 0},
		{"101", groups + "add_group_member", `{"GroupId":"team","MemberList":` + many(101, "Member_Account") + `}`, 10005},
	})
}

// 269/1622, 1047/34373.
func TestDeleteGroupMember(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	const command = groups + "delete_group_member"
	w.do(command, `{"GroupId":"team","MemberToDel_Account":["bob","carol","alice"],"Silence":1,"Reason":"late"}`)
	same(t, w.hook("Group.CallbackAfterMemberExit").Body, `{"CallbackCommand":"Group.CallbackAfterMemberExit","GroupId":"team","Type":"Public",
		"ExitType":"Kicked","Operator_Account":"administrator","ExitMemberList":[{"Member_Account":"bob"}],"EventTime":1772366400000}`)
	if e := bob.Events(); e[len(e)-1].Kind != "left" {
		t.Errorf("bob was told %+v", e[len(e)-1])
	}
	w.do(command, `{"GroupId":"team","MemberToDel_Account":["bob"]}`) // not in any more: no harm, no callback
	w.hook("Group.CallbackAfterMemberExit")
	w.check(t, []restCase{
		{"an AVChatRoom", command, `{"GroupId":"live","MemberToDel_Account":["bob"]}`, 10004},
		{"100", command, `{"GroupId":"team","MemberToDel_Account":` + many(100, "") + `}`, 0},
		{"101", command, `{"GroupId":"team","MemberToDel_Account":` + many(101, "") + `}`, 10005},
		{"none", command, `{"GroupId":"team"}`, 10004},
		{"no group", command, `{"GroupId":"nowhere","MemberToDel_Account":["bob"]}`, 10010},
	})
}

// 269/1623, 1047/60393.
func TestModifyGroupMemberInfo(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	const command = groups + "modify_group_member_info"
	w.do(command, `{"GroupId":"team","Member_Account":"bob","Role":"Admin","NameCard":"B","MsgFlag":"Discard","MuteTime":60,
		"AppMemberDefinedData":[{"Key":"k","Value":"v"}]}`)
	same(t, w.hook("Group.CallbackAfterMemberFieldChanged").Body, `{"CallbackCommand":"Group.CallbackAfterMemberFieldChanged","GroupId":"team",
		"Type":"Public","Operator_Account":"administrator","Member_Account":"bob","Role":"Admin","NameCard":"B","EventTime":1772366400000}`)
	same(t, w.do(groups+"get_specified_group_member_info", `{"GroupId":"team","Member_List_Account":["bob"]}`)["MemberList"], `[{"Member_Account":"bob",
		"Role":"Admin","JoinTime":1772366400,"MsgSeq":1,"MsgFlag":"Discard","NameCard":"B","MuteUntil":1772366460,"AppMemberDefinedData":[{"Key":"k","Value":"v"}]}]`)
	if _, err := bob.Send("team", imtest.Draft{Text: "x"}); imtest.Code(err) != 10017 {
		t.Errorf("muted: %v", err)
	}
	w.clock.Advance(time.Minute)
	if _, err := bob.Send("team", imtest.Draft{Text: "x"}); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	w.do(groups+"create_group", `{"Type":"Private","GroupId":"work","Name":"W","MemberList":[{"Member_Account":"bob"}]}`)
	body := func(fields string) string { return `{"GroupId":"team","Member_Account":"bob",` + fields + `}` }
	w.check(t, []restCase{
		{"no member", command, `{"GroupId":"team","Member_Account":"carol","NameCard":"x"}`, 10004},
		{"an AVChatRoom", command, `{"GroupId":"live","Member_Account":"bob","NameCard":"x"}`, 10007},
		{"the owner's role", command, `{"GroupId":"team","Member_Account":"alice","Role":"Member"}`, 10007},
		{"an admin of a Work group", command, `{"GroupId":"work","Member_Account":"bob","Role":"Admin"}`, 10007},
		{"a mute in a Work group", command, `{"GroupId":"work","Member_Account":"bob","MuteTime":1}`, 10007},
		{"a Role of its own", command, body(`"Role":"Owner"`), 10004},
		{"a NameCard of 50 bytes", command, body(`"NameCard":"` + strings.Repeat("x", 50) + `"`), 0},
		{"a NameCard of 51 bytes", command, body(`"NameCard":"` + strings.Repeat("x", 51) + `"`), 10004},
		{"an unknown MsgFlag", command, body(`"MsgFlag":"Silent"`), 10004},
		{"5 fields", command, body(`"AppMemberDefinedData":` + strings.ReplaceAll(ownFields(5, 64), "k4", "k")), 0},
		{"a sixth", command, body(`"AppMemberDefinedData":[{"Key":"more","Value":"v"}]`), 10004},
		{"a field of 65 bytes", command, body(`"AppMemberDefinedData":` + ownFields(1, 65)), 10004},
		{"a mute over 32 bits", command, body(`"MuteTime":4294967296`), 10004},
	})
}

// 1047/34951.
func TestForbidSendMsg(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	const command, list = groups + "forbid_send_msg", groups + "get_group_muted_account"
	w.do(command, `{"GroupId":"live","Members_Account":["bob"],"MuteTime":60}`)
	w.do(command, `{"GroupId":"live","Members_Account":["alice"],"MuteTime":4294967295}`)
	same(t, w.do(list, `{"GroupId":"live"}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"GroupId":"live","MutedAccountList":[
		{"Member_Account":"alice","MutedUntil":4294967295},{"Member_Account":"bob","MutedUntil":1772366460}]}`)
	same(t, w.do(groups+"get_group_shutted_uin", `{"GroupId":"live"}`)["ShuttedUinList"], `[
		{"Member_Account":"alice","ShuttedUntil":4294967295},{"Member_Account":"bob","ShuttedUntil":1772366460}]`)
	if e := bob.Events(); e[len(e)-1].Kind != "muted" || !e[len(e)-1].Until.Equal(start.Add(time.Minute)) {
		t.Errorf("bob was told %+v", e[len(e)-1])
	}
	send := func(when string, c *imtest.Client, want int) {
		t.Helper()
		if _, err := c.Send("live", imtest.Draft{Text: when}); imtest.Code(err) != want {
			t.Errorf("%s: %v, want %d", when, err, want)
		}
	}
	w.clock.Advance(time.Minute - time.Second)
	send("still muted", bob, 10017)
	w.clock.Advance(time.Second)
	send("over", bob, 0)
	send("for ever", alice, 10017)
	w.do(command, `{"GroupId":"live","Members_Account":["alice"],"MuteTime":0}`)
	send("unmuted", alice, 0)
	same(t, w.do(list, `{"GroupId":"live"}`)["MutedAccountList"], `[]`)

	// A topic has mutes of its own.
	w.do(command, `{"GroupId":"@TGS#_town","TopicId":"@TGS#_town@TOPIC#_hall","Members_Account":["bob"],"MuteTime":60}`)
	if e := bob.Events(); e[len(e)-1].TopicID != "@TGS#_town@TOPIC#_hall" {
		t.Errorf("bob was told %+v", e[len(e)-1])
	}
	if _, err := bob.Send("@TGS#_town", imtest.Draft{Text: "x", TopicID: "@TGS#_town@TOPIC#_hall"}); imtest.Code(err) != 10017 {
		t.Errorf("in the topic: %v", err)
	}
	w.do("million_group_open_http_svc/create_topic", `{"GroupId":"@TGS#_town","TopicName":"games","TopicId":"@TGS#_town@TOPIC#_games"}`)
	if _, err := bob.Send("@TGS#_town", imtest.Draft{Text: "x", TopicID: "@TGS#_town@TOPIC#_games"}); err != nil {
		t.Errorf("in another topic: %v", err)
	}
	w.do(groups+"create_group", `{"Type":"Private","GroupId":"work","Name":"W"}`)
	w.check(t, []restCase{
		{"a Work group", command, `{"GroupId":"work","Members_Account":["bob"],"MuteTime":1}`, 10007},
		{"500", command, `{"GroupId":"live","MuteTime":1,"Members_Account":` + many(500, "") + `}`, 0},
		{"501", command, `{"GroupId":"live","MuteTime":1,"Members_Account":` + many(501, "") + `}`, 10005},
		{"none", command, `{"GroupId":"live","MuteTime":1}`, 10004},
		{"no topic", command, `{"GroupId":"@TGS#_town","TopicId":"x","Members_Account":["bob"],"MuteTime":1}`, 10004},
		{"no group", command, `{"GroupId":"nowhere","Members_Account":["bob"],"MuteTime":1}`, 10010},
		{"the muted of no group", list, `{"GroupId":"nowhere"}`, 10010},
	})
}

// 1047/34951.
func TestBan(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	const ban, unban, list = groups + "ban_group_member", groups + "unban_group_member", groups + "get_group_ban_member"
	w.do(ban, `{"GroupId":"live","Members_Account":["bob","carol"],"Duration":60,"Description":"spam"}`)
	same(t, w.hook("Group.CallbackAfterMemberExit").Body["ExitMemberList"], `[{"Member_Account":"bob"}]`)
	same(t, w.do(list, `{"GroupId":"live","Limit":1}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"BannedAccountList":[{"Member_Account":"bob","BannedUntil":1772366460}],"NextOffset":1}`)
	same(t, w.do(list, `{"GroupId":"live","Limit":1,"Offset":1}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"BannedAccountList":[{"Member_Account":"carol","BannedUntil":1772366460}],"NextOffset":0}`)
	if e := bob.Events(); e[len(e)-1].Kind != "left" {
		t.Errorf("bob was told %+v", e[len(e)-1])
	}
	if err := bob.Join("live"); imtest.Code(err) != 10007 {
		t.Errorf("bob came back: %v", err)
	}
	w.clock.Advance(time.Minute)
	if err := bob.Join("live"); err != nil {
		t.Errorf("after the ban: %v", err)
	}
	w.do(ban, `{"GroupId":"team","Members_Account":["bob"],"Duration":4294967295}`)
	same(t, w.do(groups+"add_group_member", `{"GroupId":"team","MemberList":[{"Member_Account":"bob"}]}`)["MemberList"], `[{"Member_Account":"bob","Result":0}]`)
	w.do(unban, `{"GroupId":"team","Members_Account":["bob"]}`)
	same(t, w.do(groups+"add_group_member", `{"GroupId":"team","MemberList":[{"Member_Account":"bob"}]}`)["MemberList"], `[{"Member_Account":"bob","Result":1}]`)

	for _, command := range []string{ban, unban} {
		w.check(t, []restCase{
			{"20", command, `{"GroupId":"team","Duration":1,"Members_Account":` + many(20, "") + `}`, 0},
			{"21", command, `{"GroupId":"team","Duration":1,"Members_Account":` + many(21, "") + `}`, 10005},
			{"none", command, `{"GroupId":"team","Duration":1}`, 10004},
			{"a Community", command, `{"GroupId":"@TGS#_town","Duration":1,"Members_Account":["bob"]}`, 10007},
			{"no group", command, `{"GroupId":"nowhere","Duration":1,"Members_Account":["bob"]}`, 10010},
		})
	}
	w.check(t, []restCase{
		{"no Duration", ban, `{"GroupId":"team","Members_Account":["bob"]}`, 10004},
		{"a long Description", ban, `{"GroupId":"team","Duration":1,"Members_Account":["bob"],"Description":"` + strings.Repeat("x", 1001) + `"}`, 10004},
		{"101 listed", list, `{"GroupId":"team","Limit":101}`, 10004},
		{"no Limit", list, `{"GroupId":"team"}`, 10004},
		{"the banned of a Community", list, `{"GroupId":"@TGS#_town","Limit":1}`, 10007},
	})
}

func TestBanIsAConsoleSwitch(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.NoBan = true })
	furnish(w)
	for _, command := range []string{"ban_group_member", "unban_group_member"} {
		w.check(t, []restCase{{"switched off", groups + command, `{"GroupId":"live","Members_Account":["bob"],"Duration":1}`, 10007}})
	}
}

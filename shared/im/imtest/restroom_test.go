package imtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

const (
	rooms  = "group_open_avchatroom_http_svc/"
	getAll = "group_open_attr_http_svc/get_group_attr"
)

// 269/49180, 269/77266, 1047/60523.
func TestWhoIsInARoom(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	online := func(group string) any {
		return w.do(groups+"get_online_member_num", `{"GroupId":"`+group+`"}`)["OnlineMemberNum"]
	}
	w.do("profile/portrait_set", `{"From_Account":"bob","ProfileItem":[{"Tag":"Tag_Profile_IM_Nick","Value":"B"},{"Tag":"Tag_Profile_IM_Image","Value":"https://b"}]}`)
	same(t, w.do(rooms+"get_members", `{"GroupId":"live","Timestamp":0}`), `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MemberList":[
		{"Member_Account":"bob","JoinTime":1772366400,"NickName":"B","Avatar":"https://b"},
		{"Member_Account":"alice","JoinTime":1772366400,"NickName":"","Avatar":""}],"NextTimestamp":0}`)
	same(t, w.do(rooms+"check_members", `{"GroupId":"live","Member_Account":["carol","bob","nobody"]}`)["Member_Account"], `["bob"]`)
	if online("live") != 2.0 || online("team") != 2.0 {
		t.Errorf("online: %v in the room, %v in the team", online("live"), online("team"))
	}
	if err := bob.Quit("live"); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(10*time.Second - 1)
	if online("live") != 2.0 {
		t.Error("the number is refreshed every ten seconds, not at once")
	}
	w.clock.Advance(1)
	if online("live") != 1.0 {
		t.Errorf("ten seconds later: %v", online("live"))
	}
	w.check(t, []restCase{
		{"online nowhere", groups + "get_online_member_num", `{"GroupId":"nowhere"}`, 10010},
		{"no Timestamp", rooms + "get_members", `{"GroupId":"live"}`, 10004},
		{"a Timestamp before the first", rooms + "get_members", `{"GroupId":"live","Timestamp":-1}`, 10004},
		{"of a team", rooms + "get_members", `{"GroupId":"team","Timestamp":0}`, 10007},
		{"check of a team", rooms + "check_members", `{"GroupId":"team","Member_Account":["bob"]}`, 10007},
		{"check of none", rooms + "check_members", `{"GroupId":"live"}`, 10004},
		{"the service of groups", groups + "get_members", `{"GroupId":"live","Timestamp":0}`, 60009},
	})
}

// The list holds the newest thousand by pages of 250; in small editions the
// newest 30.
func TestRoomMembersArePaged(t *testing.T) {
	for edition, want := range map[imtest.Edition]int{imtest.Enterprise: 1000, imtest.Standard: 30} {
		w := newWorld(t, func(c *imtest.AppConfig) { c.Edition, c.CallbackURL = edition, "" })
		w.do(groups+"create_group", `{"Type":"AVChatRoom","GroupId":"live","Name":"L"}`)
		for i := range 1010 {
			if err := w.login(fmt.Sprintf("user%04d", i)).Join("live"); err != nil {
				t.Fatal(err)
			}
		}
		seen, next := make(map[string]bool), 0.0
		for {
			page := w.do(rooms+"get_members", fmt.Sprintf(`{"GroupId":"live","Timestamp":%.0f}`, next))
			list := page["MemberList"].([]any)
			if len(list) > 250 {
				t.Fatalf("a page of %d", len(list))
			}
			for _, m := range list {
				seen[m.(map[string]any)["Member_Account"].(string)] = true
			}
			if next = page["NextTimestamp"].(float64); next == 0 {
				break
			}
		}
		if len(seen) != want || !seen["user1009"] || seen["user0009"] {
			t.Errorf("edition %d: %d members, the newest %v, the oldest %v", edition, len(seen), seen["user1009"], seen["user0009"])
		}
	}
}

// 1047/59499, 1047/60524.
func TestRoomAdmins(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	w.do(rooms+"modify_admin", `{"GroupId":"live","CommandType":1,"Admin_Account":["bob","carol"]}`)
	w.do(rooms+"modify_admin", `{"GroupId":"live","CommandType":2,"Admin_Account":["carol"]}`)
	same(t, w.do(rooms+"get_admin_list", `{"GroupId":"live"}`)["Admin_List"], `[{"Admin_Account":"bob","NickName":"","Avatar":""}]`)
	w.do(groups+"modify_group_base_info", `{"GroupId":"live","MuteAllMember":"On"}`)
	if _, err := bob.Send("live", imtest.Draft{Text: "x"}); err != nil {
		t.Errorf("an admin in a muted room: %v", err)
	}
	w.check(t, []restCase{
		{"6 admins", rooms + "modify_admin", `{"GroupId":"live","CommandType":1,"Admin_Account":` + many(6, "") + `}`, 10005},
		{"none", rooms + "modify_admin", `{"GroupId":"live","CommandType":1}`, 10004},
		{"neither set nor clear", rooms + "modify_admin", `{"GroupId":"live","CommandType":3,"Admin_Account":["bob"]}`, 10004},
		{"unknown", rooms + "modify_admin", `{"GroupId":"live","CommandType":1,"Admin_Account":["nobody"]}`, 10019},
		{"of a team", rooms + "modify_admin", `{"GroupId":"team","CommandType":1,"Admin_Account":["bob"]}`, 10007},
		{"the list of a team", rooms + "get_admin_list", `{"GroupId":"team"}`, 10007},
	})
}

// 1047/44187, 1047/44190, 1047/60394.
func TestAttributes(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	write := func(verb, attrs string) {
		t.Helper()
		w.do(groups+verb+"_group_attr", `{"GroupId":"live","GroupAttr":`+attrs+`}`)
	}
	all := func(want string) {
		t.Helper()
		same(t, w.do(getAll, `{"GroupId":"live"}`)["GroupAttrAry"], want)
	}
	all(`[]`)
	write("set", `[{"key":"status","value":"on"},{"key":"host","value":"alice"}]`)
	write("modify", `[{"key":"status","value":"off"}]`)
	all(`[{"key":"host","value":"alice"},{"key":"status","value":"off"}]`)
	write("delete", `[{"key":"host"}]`)
	all(`[{"key":"status","value":"off"}]`)
	write("set", `[{"key":"x","value":"y"}]`) // replaces all
	all(`[{"key":"x","value":"y"}]`)
	w.do(groups+"clear_group_attr", `{"GroupId":"live"}`)
	all(`[]`)
	var told []string
	for _, h := range w.hooks("Group.CallbackAfterGroupAttrChanged") {
		told = append(told, fmt.Sprint(h.Body["OptionType"], asJSON(h.Body["GroupAttr"])))
	}
	want := []string{`set[{"key":"status","value":"on"},{"key":"host","value":"alice"}]`, `modify[{"key":"status","value":"off"}]`, `delete[{"key":"host"}]`, `set[{"key":"x","value":"y"}]`, `clear[]`}
	if asJSON(told) != asJSON(want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
}

func TestLimitsOfAttributes(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	attrs := func(n, value int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"key":"k%02d","value":%q}`, i, strings.Repeat("v", value))
		}
		return `{"GroupId":"live","GroupAttr":[` + strings.Join(list, ",") + `]}`
	}
	const set, modify = groups + "set_group_attr", groups + "modify_group_attr"
	w.check(t, []restCase{
		{"16 attributes", set, attrs(16, 1), 0},
		{"a 17th", modify, `{"GroupId":"live","GroupAttr":[{"key":"one more","value":"v"}]}`, 10047},
		{"17 attributes", set, attrs(17, 1), 10047},
		{"a key of 32 bytes", set, `{"GroupId":"live","GroupAttr":[{"key":"` + strings.Repeat("k", 32) + `","value":"v"}]}`, 0},
		{"a key of 33 bytes", set, `{"GroupId":"live","GroupAttr":[{"key":"` + strings.Repeat("k", 33) + `","value":"v"}]}`, 10045},
		{"a value of 4000 bytes", set, attrs(1, 4000), 0},
		{"a value of 4001 bytes", set, attrs(1, 4001), 10046},
		{"over 16000 bytes", set, attrs(4, 4000), 10048},
		{"just 16000 bytes", set, attrs(4, 3997), 0},
		{"keys in upper case", set, `{"GroupId":"live","GroupAttr":[{"Key":"k","Value":"v"}]}`, 10004},
		{"none", set, `{"GroupId":"live"}`, 10004},
		{"in no group", set, `{"GroupId":"nowhere","GroupAttr":[{"key":"k","value":"v"}]}`, 10010},
		{"read in the other service", groups + "get_group_attr", `{"GroupId":"live"}`, 60009},
		{"read in no group", getAll, `{"GroupId":"nowhere"}`, 10010},

		// Five writes a second in each group, whichever they are; four were done.
		{"the fifth write", groups + "delete_group_attr", `{"GroupId":"live","GroupAttr":[{"key":"k00"}]}`, 0},
		{"the sixth", modify, attrs(1, 1), 10049},
		{"its like", groups + "clear_group_attr", `{"GroupId":"live"}`, 10049},
		{"another group's", set, `{"GroupId":"team","GroupAttr":[{"key":"k","value":"v"}]}`, 0},
	})
	w.clock.Advance(time.Second)
	w.check(t, []restCase{{"a second later", modify, attrs(1, 1), 0}})
}

// 269/85952, 1047/53428.
func TestCounters(t *testing.T) {
	w := newWorld(t)
	furnish(w)
	const update, get, drop = groups + "update_group_counter", groups + "get_group_counter", groups + "delete_group_counter"
	counter := func(mode, list string) string {
		return `{"GroupId":"live","GroupCounter":` + list + `,"Mode":"` + mode + `"}`
	}
	same(t, w.do(update, counter("Set", `[{"Key":"likes","Value":5},{"Key":"gifts","Value":1}]`))["GroupCounter"], `[{"Key":"likes","Value":5},{"Key":"gifts","Value":1}]`)
	same(t, w.do(update, counter("Increase", `[{"Key":"likes","Value":3}]`))["GroupCounter"], `[{"Key":"likes","Value":8}]`)
	same(t, w.do(update, counter("Decrease", `[{"Key":"likes","Value":10}]`))["GroupCounter"], `[{"Key":"likes","Value":-2}]`)
	same(t, w.do(get, `{"GroupId":"live","GroupCounterKeys":["likes","none"]}`)["GroupCounter"], `[{"Key":"likes","Value":-2}]`)
	same(t, w.do(get, `{"GroupId":"live"}`)["GroupCounter"], `[{"Key":"gifts","Value":1},{"Key":"likes","Value":-2}]`)
	w.do(drop, `{"GroupId":"live","GroupCounterKeys":["gifts","likes"]}`)
	same(t, w.do(get, `{"GroupId":"live"}`)["GroupCounter"], `[]`)

	list := make([]string, 21)
	for i := range list {
		list[i] = fmt.Sprintf(`{"Key":"k%d","Value":1}`, i)
	}
	w.check(t, []restCase{
		{"20 counters", update, counter("Set", "["+strings.Join(list[:20], ",")+"]"), 0},
		{"a 21st", update, counter("Increase", "["+list[20]+"]"), 10063},
		{"21 counters", update, counter("Set", "["+strings.Join(list, ",")+"]"), 10063},
		{"no Mode", update, `{"GroupId":"live","GroupCounter":[{"Key":"k","Value":1}]}`, 10004},
		{"no counters", update, `{"GroupId":"live","Mode":"Set"}`, 10004},
		{"no Value", update, counter("Set", `[{"Key":"k1"}]`), 10004},
		{"a key of 128 bytes", update, `{"GroupId":"team","GroupCounter":[{"Key":"` + strings.Repeat("k", 128) + `","Value":1}],"Mode":"Set"}`, 0},
		{"a key of 129 bytes", update, counter("Set", `[{"Key":"`+strings.Repeat("k", 129)+`","Value":1}]`), 10004},
		{"a fraction", update, counter("Set", `[{"Key":"k1","Value":1.5}]`), 10004},
		{"in a Community", update, `{"GroupId":"@TGS#_town","GroupCounter":[{"Key":"k","Value":1}],"Mode":"Set"}`, 10007},
		{"in no group", get, `{"GroupId":"nowhere"}`, 10010},
		{"gone from no group", drop, `{"GroupId":"nowhere","GroupCounterKeys":["k"]}`, 10010},
	})
	if n := len(w.app.State().Group("live").Counters); n != 20 {
		t.Errorf("refused updates left %d counters", n)
	}
}

package imtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

const (
	robots = "openim_robot_http_svc/"
	pushes = "all_member_push/"
)

// 269/89991, 1047/55281.
func TestRobots(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.do(robots+"create_robot", fmt.Sprintf(`{"UserID":"@RBT#%03d","Nick":"R","FaceUrl":"https://r","SelfSignature":"s"}`, i))
	}
	w.check(t, []restCase{
		{"a 21st", robots + "create_robot", `{"UserID":"@RBT#020"}`, 10008},
		{"one of the twenty again", robots + "create_robot", `{"UserID":"@RBT#003","Nick":"Three"}`, 0},
		{"without the prefix", robots + "create_robot", `{"UserID":"robot"}`, 10004},
		{"33 bytes", robots + "create_robot", `{"UserID":"@RBT#` + strings.Repeat("x", 28) + `"}`, 10004},
		{"a SelfSignature of 501 bytes", robots + "create_robot", `{"UserID":"@RBT#003","SelfSignature":"` + strings.Repeat("x", 501) + `"}`, 10004},
		{"the end of none", robots + "delete_robot", `{"Robot_Account":"@RBT#999"}`, 10004},
		{"the end of a user", robots + "delete_robot", `{"Robot_Account":"administrator"}`, 10004},
		{"its end", robots + "delete_robot", `{"Robot_Account":"@RBT#003"}`, 0},
		{"its place is not freed", robots + "create_robot", `{"UserID":"@RBT#020"}`, 10008},
	})
	if n := len(w.do(robots+"get_all_robots", `{}`)["Robot_Account"].([]any)); n != 19 {
		t.Errorf("%d robots, want 19", n)
	}
	w.check(t, []restCase{{"made again", robots + "create_robot", `{"UserID":"@RBT#003"}`, 0}})
	if n := len(w.do(robots+"get_all_robots", `{}`)["Robot_Account"].([]any)); n != 20 {
		t.Errorf("%d robots, want 20", n)
	}
	if _, err := w.app.Login("@RBT#003", w.sig("@RBT#003"), imtest.Device{}); imtest.Code(err) != 70402 {
		t.Errorf("a robot logged in: %v", err)
	}
}

// Who writes to a robot or mentions one is told to the backend, by REST too:
// 1047/68952, 1047/68953.
func TestRobotCallbacks(t *testing.T) {
	w := newWorld(t)
	alice, _ := furnish(w)
	sent, err := alice.SendTo("@RBT#001", imtest.Draft{Text: "hi", Random: 5})
	if err != nil {
		t.Fatal(err)
	}
	same(t, w.hook("Bot.OnC2CMessage").Body, fmt.Sprintf(`{"CallbackCommand":"Bot.OnC2CMessage","From_Account":"alice","To_Account":"@RBT#001",
		"MsgSeq":%d,"MsgRandom":5,"MsgTime":1772366400,"MsgKey":%q,"MsgId":%q,"OnlineOnlyFlag":0,"SendMsgResult":0,"ErrorInfo":"send msg succeed",
		"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}],"EventTime":1772366400000}`, sent.Seq, sent.Key, sent.ID))
	w.do("openim/sendmsg", `{"From_Account":"bob","To_Account":"@RBT#001","MsgRandom":6,"MsgBody":`+textBody+`}`)
	if n := len(w.hooks("Bot.OnC2CMessage")); n != 2 {
		t.Errorf("told %d times, want 2", n)
	}

	w.do(robots+"create_robot", `{"UserID":"@RBT#002"}`)
	for _, mentions := range []string{"@RBT#001,@RBT#002", "@all", "bob"} {
		if _, err := alice.Send("team", imtest.Draft{Text: "well?", Mentions: strings.Split(mentions, ",")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := alice.Send("team", imtest.Draft{Text: "@@RBT#002 hello"}); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, h := range w.hooks("Bot.OnGroupMessage") {
		told = append(told, asJSON(h.Body["AtRobots_Account"]))
		if h.Body["To_Account"] != nil || h.Body["MsgKey"] != nil || h.Body["GroupId"] != "team" {
			t.Errorf("told %v", h.Body)
		}
	}
	if !slices.Equal(told, []string{`["@RBT#001","@RBT#002"]`, `["@RBT#002"]`}) {
		t.Errorf("told of %q", told)
	}
}

// A robot's answer grows under one MsgKey (1047/71131).
func TestStream(t *testing.T) {
	for _, calls := range []bool{false, true} {
		w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.StreamsCallBack = calls })
		alice, _ := furnish(w)
		had := len(alice.Events())
		const command = robots + "send_stream_msg"
		key := w.do(command, `{"From_Account":"@RBT#001","To_Account":"alice","Chunk":"hel"}`)["MsgKey"].(string)
		w.do(command, fmt.Sprintf(`{"From_Account":"@RBT#001","To_Account":"alice","Chunk":"lo","MsgKey":%q,"Finish":1}`, key))
		var got []string
		for _, e := range alice.Events()[had:] {
			got = append(got, e.Kind+" "+e.Message.Key+" "+string(e.Message.Body))
		}
		body := func(data string) string {
			return key + ` [{"MsgType":"TIMCustomElem","MsgContent":{"Data":"{\"chatbotPlugin\":2,\"src\":2,` + data + `}"}}]`
		}
		want := []string{"message " + body(`\"chunks\":[\"hel\"],\"isFinished\":0`), "modified " + body(`\"chunks\":[\"hel\",\"lo\"],\"isFinished\":1`)}
		if !slices.Equal(got, want) {
			t.Errorf("alice was told\n%q, want\n%q", got, want)
		}
		if told := len(w.hooks("C2C.CallbackAfterSendMsg")) == 1; told != calls {
			t.Errorf("a callback came: %v", told)
		}
		w.check(t, []restCase{
			{"after its end", command, fmt.Sprintf(`{"From_Account":"@RBT#001","To_Account":"alice","Chunk":"!","MsgKey":%q}`, key), 90054},
			{"no such stream", command, `{"From_Account":"@RBT#001","To_Account":"alice","Chunk":"!","MsgKey":"1_1_1"}`, 20022},
			{"no stream but a message", command, `{"From_Account":"alice","To_Account":"bob","Chunk":"!","MsgKey":"1_1_1772366400"}`, 90008},
			{"no Chunk", command, `{"From_Account":"@RBT#001","To_Account":"alice"}`, 90001},
			{"to nobody", command, `{"From_Account":"@RBT#001","To_Account":"nobody","Chunk":"!"}`, 20003},
			{"from no robot", command, `{"From_Account":"@RBT#999","To_Account":"alice","Chunk":"!"}`, 90008},
		})
	}
}

// 269/45934, 1047/37166.
func TestPush(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	w.login("dora").Logout()
	had := len(bob.Received())
	push := func(random int, fields string) string {
		return fmt.Sprintf(`{"From_Account":"alice","MsgRandom":%d,%s"MsgBody":%s}`, random, fields, text(fmt.Sprint("push ", random)))
	}
	first := w.do(pushes+"im_push", push(1, ""))
	w.clock.Advance(2 * time.Second)
	w.do(pushes+"im_push", push(2, `"MsgLifeTime":60,`))
	w.clock.Advance(2 * time.Second)
	if again := w.do(pushes+"im_push", push(1, "")); again["TaskId"] != first["TaskId"] {
		t.Errorf("answers %v and %v", first, again)
	}
	if got := texts(bob.Received())[had:]; !slices.Equal(got, []string{"push 1", "push 2"}) {
		t.Errorf("bob received %q", got)
	}
	// Who was away gets what has a life time.
	if got := texts(w.login("dora").Received()); !slices.Equal(got, []string{"push 2"}) {
		t.Errorf("dora received %q", got)
	}
	w.settle()
	if w.backend.got("C2C.CallbackAfterSendMsg") != nil || w.backend.got("C2C.CallbackBeforeSendMsg") != nil {
		t.Error("a push made callbacks")
	}
	w.clock.Advance(7*24*time.Hour - 4*time.Second - 1)
	w.do(pushes+"im_push", push(1, ""))
	if got := texts(bob.Received())[had:]; !slices.Equal(got, []string{"push 1", "push 2"}) {
		t.Errorf("after the repetitions bob has %q", got)
	}
	w.clock.Advance(2)
	if again := w.do(pushes+"im_push", push(1, "")); again["TaskId"] == first["TaskId"] {
		t.Error("a MsgRandom was known after seven days")
	}
	w.check(t, []restCase{
		{"within a second", pushes + "im_push", push(3, ""), 90024},
		{"no MsgRandom", pushes + "im_push", `{"MsgBody":` + textBody + `}`, 90005},
		{"MsgRandom a text", pushes + "im_push", `{"MsgRandom":"1","MsgBody":` + textBody + `}`, 90005},
		{"no MsgBody", pushes + "im_push", `{"MsgRandom":9}`, 90007},
		{"an unknown sender", pushes + "im_push", `{"From_Account":"nobody","MsgRandom":9,"MsgBody":` + textBody + `}`, 90008},
		{"a life over 7 days", pushes + "im_push", push(9, `"MsgLifeTime":604801,`), 90026},
		{"a life that is a text", pushes + "im_push", push(9, `"MsgLifeTime":"1",`), 90044},
		{"two kinds of conditions", pushes + "im_push", push(9, `"Condition":{"TagsOr":["a"],"TagsAnd":["b"]},`), 90033},
		{"an empty condition", pushes + "im_push", push(9, `"Condition":{},`), 90033},
		{"a condition that is a list", pushes + "im_push", push(9, `"Condition":[],`), 90033},
		{"11 tags", pushes + "im_push", push(9, `"Condition":{"TagsOr":`+many(11, "")+`},`), 90032},
		{"a tag of 51 bytes", pushes + "im_push", push(9, `"Condition":{"TagsOr":["`+strings.Repeat("x", 51)+`"]},`), 90020},
	})
}

func TestPushesADay(t *testing.T) {
	w := newWorld(t)
	push := func(i int) int {
		w.clock.Advance(1100 * time.Millisecond)
		return code(w.rest(pushes+"im_push", fmt.Sprintf(`{"MsgRandom":%d,"MsgBody":%s}`, i, textBody)))
	}
	for i := range 100 {
		if got := push(i); got != 0 {
			t.Fatalf("push %d: %d", i+1, got)
		}
	}
	if got := push(100); got != 90047 {
		t.Errorf("the 101st: %d", got)
	}
	if got := push(50); got != 0 {
		t.Errorf("a repetition counts: %d", got)
	}
	w.clock.Advance(24 * time.Hour)
	if got := push(100); got != 0 {
		t.Errorf("a day later: %d", got)
	}
}

// 269/45934: tags and attributes choose whom a push reaches.
func TestPushConditions(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"alice", "bob", "carol"} {
		w.login(id)
	}
	w.do(pushes+"im_set_attr_name", `{"AttrNames":{"0":"sex","1":"city"}}`)
	same(t, w.do(pushes+"im_get_attr_name", `{}`)["AttrNames"], `{"0":"sex","1":"city"}`)
	w.do(pushes+"im_set_attr", `{"UserAttrs":[{"To_Account":"alice","Attrs":{"sex":"f","city":"Bern"}},{"To_Account":"carol","Attrs":{"sex":"f"}}]}`)
	w.do(pushes+"im_add_tag", `{"UserTags":[{"To_Account":"bob","Tags":["a","b","a"]},{"To_Account":"carol","Tags":["a"]}]}`)
	same(t, w.do(pushes+"im_get_attr", `{"To_Account":["alice","bob"]}`)["UserAttrs"],
		`[{"To_Account":"alice","Attrs":{"city":"Bern","sex":"f"}},{"To_Account":"bob","Attrs":{}}]`)
	same(t, w.do(pushes+"im_get_tag", `{"To_Account":["bob","alice"]}`)["UserTags"], `[{"To_Account":"bob","Tags":["a","b"]},{"To_Account":"alice","Tags":[]}]`)
	random := 0
	reached := func(condition string) (ids []string) {
		random++
		w.clock.Advance(2 * time.Second)
		w.do(pushes+"im_push", fmt.Sprintf(`{"MsgRandom":%d,"Condition":%s,"MsgBody":%s}`, random, condition, text(fmt.Sprint(random))))
		for _, id := range []string{"alice", "bob", "carol"} {
			if seen := texts(w.app.Seen(id)); slices.Contains(seen, fmt.Sprint(random)) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	for condition, want := range map[string]string{
		`{"TagsOr":["a","b"]}`:                    "[bob carol]",
		`{"TagsAnd":["a","b"]}`:                   "[bob]",
		`{"AttrsOr":{"sex":"m","city":"Bern"}}`:   "[alice]",
		`{"AttrsAnd":{"sex":"f","city":"Bern"}}`:  "[alice]",
		`{"AttrsAnd":{"sex":"f"}}`:                "[alice carol]",
		`{"TagsOr":["none"]}`:                     "[]",
		`{"AttrsOr":{"sex":"m","city":"Zürich"}}`: "[]",
	} {
		if got := fmt.Sprint(reached(condition)); got != want {
			t.Errorf("%s reached %s, want %s", condition, got, want)
		}
	}
	w.do(pushes+"im_remove_attr", `{"UserAttrs":[{"To_Account":"alice","Attrs":["city","none"]}]}`)
	w.do(pushes+"im_remove_tag", `{"UserTags":[{"To_Account":"bob","Tags":["a"]}]}`)
	w.do(pushes+"im_remove_all_tags", `{"To_Account":["carol"]}`)
	same(t, w.do(pushes+"im_get_attr", `{"To_Account":["alice"]}`)["UserAttrs"], `[{"To_Account":"alice","Attrs":{"sex":"f"}}]`)
	same(t, w.do(pushes+"im_get_tag", `{"To_Account":["bob","carol"]}`)["UserTags"], `[{"To_Account":"bob","Tags":["b"]},{"To_Account":"carol","Tags":[]}]`)

	w.check(t, []restCase{
		{"an eleventh name", pushes + "im_set_attr_name", `{"AttrNames":{"10":"x"}}`, 90001},
		{"attributes as a list", pushes + "im_set_attr", `{"UserAttrs":[{"To_Account":"alice","Attrs":["sex"]}]}`, 90001},
		{"no attributes", pushes + "im_set_attr", `{"UserAttrs":[{"To_Account":"alice"}]}`, 90001},
		{"names as an object", pushes + "im_remove_attr", `{"UserAttrs":[{"To_Account":"alice","Attrs":{"sex":"f"}}]}`, 90001},
		{"an unknown account", pushes + "im_get_attr", `{"To_Account":["alice","nobody"]}`, 90048},
		{"no account", pushes + "im_get_tag", `{}`, 90001},
		{"101 accounts", pushes + "im_remove_all_tags", `{"To_Account":` + many(101, "") + `}`, 90001},
		{"a tag of 51 bytes", pushes + "im_add_tag", `{"UserTags":[{"To_Account":"alice","Tags":["` + strings.Repeat("x", 51) + `"]}]}`, 90020},
		{"11 tags", pushes + "im_add_tag", `{"UserTags":[{"To_Account":"alice","Tags":` + many(11, "") + `}]}`, 90001},
		{"half of it wrong", pushes + "im_add_tag", `{"UserTags":[{"To_Account":"alice","Tags":["x"]},{"To_Account":"nobody","Tags":["x"]}]}`, 90048},
	})
	same(t, w.do(pushes+"im_get_tag", `{"To_Account":["alice"]}`)["UserTags"], `[{"To_Account":"alice","Tags":[]}]`)
}

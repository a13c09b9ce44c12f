package main_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

func TestRunsRulesItself(t *testing.T) {
	env := kit.Settings(map[string]string{"STATE_URL": "redis://" + redistest.Start(t).Addr})
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		kit.Read(t, do(kit.Callback(t, kit.BeforeSend("join my casino")))).WantCode(t, 1)
		kit.Read(t, do(kit.Callback(t, kit.BeforeSend("good evening")))).WantCode(t, 0)
		kit.Read(t, do(kit.Callback(t, kit.AfterSend("alice", 1)))).WantCode(t, 0)
	})
}

// TestForwards: with functions of their own, the router passes on and answers
// what they answer.
func TestForwards(t *testing.T) {
	redis := redistest.Start(t)
	env := kit.Settings(map[string]string{"STATE_URL": "redis://" + redis.Addr})
	filter := faastest.StartLocal(t, faastest.Build(t, "github.com/backchannel-im/backchannel/functions/before-send-filter"), env)
	counter := faastest.StartLocal(t, faastest.Build(t, "github.com/backchannel-im/backchannel/functions/after-send-counter"), env)
	router := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{
		"STATE_URL":                  "redis://" + redis.Addr,
		"FORWARD_BEFORE_SEND_FILTER": filter.URL + "/im",
		"FORWARD_AFTER_SEND_COUNTER": counter.URL + "/im",
	}))
	do := func(p *faastest.Local, r *http.Request) kit.Answer {
		t.Helper()
		res, err := p.Do(faastest.Plain, r)
		if err != nil {
			t.Fatal(err)
		}
		return kit.Read(t, res)
	}
	do(router, kit.Callback(t, kit.BeforeSend("join my casino"))).WantCode(t, 1)
	do(router, kit.Callback(t, kit.BeforeSend("buy followers"))).WantCode(t, 2)
	do(router, kit.Callback(t, kit.BeforeSend("good evening"))).WantCode(t, 0)
	for range 3 {
		do(router, kit.Callback(t, kit.AfterSend("alice", 1))).WantCode(t, 0)
	}
	if a := do(counter, kit.Get("/rooms/lobby/stats", kit.Key)); a.JSON["messages"] != 1.0 {
		t.Errorf("counted %s, want 1 message", a.Text)
	}
	if len(filter.Logs()) < 2 || len(counter.Logs()) < 2 {
		t.Error("the functions did not see the callbacks")
	}

	// Without its filter the router refuses messages, as the rule's policy says:
	// what nobody could judge is not delivered. Without its counter it does not
	// acknowledge.
	filter.Stop(t)
	counter.Stop(t)
	do(router, kit.Callback(t, kit.BeforeSend("good evening"))).WantCode(t, 1)
	if a := do(router, kit.Callback(t, kit.AfterSend("alice", 2))); a.Status != 500 {
		t.Errorf("without the counter: %d %s", a.Status, a.Text)
	}
}

// TestForwardsWhatItHasNoSettingsFor: a function deployed on its own has its
// settings there, and the router none of them.
func TestForwardsWhatItHasNoSettingsFor(t *testing.T) {
	asked := make(chan string, 10)
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query().Get("CallbackCommand")
		_, _ = w.Write([]byte(`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`))
	}))
	defer far.Close()
	router := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{
		"STATE_URL": "redis://" + redistest.Start(t).Addr, "FORWARD_BOT_RESPONDER": far.URL + "/im", "FORWARD_GROUP_FULL_STARTER": far.URL + "/im",
	}))
	for command, body := range map[string]string{
		"Bot.OnC2CMessage":             `{"CallbackCommand":"Bot.OnC2CMessage","From_Account":"jane","To_Account":"@RBT#001","MsgSeq":1,"MsgRandom":1,"MsgTime":1557481126,"MsgKey":"1_1_1","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}]}`,
		"Group.CallbackAfterGroupFull": `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":"team-1"}`,
	} {
		res, err := router.Do(faastest.Plain, kit.Callback(t, body))
		if err != nil {
			t.Fatal(err)
		}
		kit.Read(t, res).WantCode(t, 0)
		select {
		case got := <-asked:
			if got != command {
				t.Errorf("%s arrived, want %s", got, command)
			}
		default:
			t.Errorf("%s was not forwarded", command)
		}
	}
}

// TestMessagesOfTicketsGroups: of what groups say, the chatbots' function gets the
// messages of tickets' groups, from which people may call the robot back, and the
// desk's those of its requesters. They are invoked for no other.
func TestMessagesOfTicketsGroups(t *testing.T) {
	asked := make(chan string, 10)
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.URL.Path + " " + string(body)
		_, _ = w.Write([]byte(`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`))
	}))
	defer far.Close()
	router := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{
		"STATE_URL": "redis://" + redistest.Start(t).Addr, "FORWARD_BOT_RESPONDER": far.URL + "/bot/im", "FORWARD_TICKET_CREATOR": far.URL + "/desk/im",
	}))
	for i, group := range []string{"lobby", "@TGS#2J4SZEAEL", "ZENDESK#123", "500000000000001AAA"} {
		body := strings.Replace(kit.AfterSend("alice", i+1), `"lobby"`, strconv.Quote(group), 1)
		res, err := router.Do(faastest.Plain, kit.Callback(t, body))
		if err != nil {
			t.Fatal(err)
		}
		kit.Read(t, res).WantCode(t, 0)
	}
	close(asked)
	all := []string{}
	for one := range asked {
		all = append(all, one)
	}
	for _, function := range []string{"/bot/im", "/desk/im"} {
		var got []string
		for _, one := range all {
			if strings.HasPrefix(one, function) {
				got = append(got, one)
			}
		}
		if len(got) != 2 || !strings.Contains(got[0], "ZENDESK#123") || !strings.Contains(got[1], "500000000000001AAA") {
			t.Errorf("to %s are forwarded %q", function, got)
		}
	}
}

// TestForwardsOnce: a callback goes out once to a function of which several rules
// want it.
func TestForwardsOnce(t *testing.T) {
	asked := make(chan string, 10)
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		_, _ = w.Write([]byte(`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`))
	}))
	defer far.Close()
	env := map[string]string{"STATE_URL": "redis://" + redistest.Start(t).Addr}
	for _, function := range []string{"BEFORE_SEND_FILTER", "AFTER_SEND_COUNTER", "LIVE_ROOM_MANAGER"} {
		env["FORWARD_"+function] = far.URL + "/" + function
	}
	router := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(env))
	for _, body := range []string{kit.BeforeSend("good evening"), kit.AfterSend("alice", 1)} {
		res, err := router.Do(faastest.Plain, kit.Callback(t, body))
		if err != nil {
			t.Fatal(err)
		}
		kit.Read(t, res).WantCode(t, 0)
		times := map[string]int{}
		for len(asked) > 0 {
			times[<-asked]++
		}
		for path, n := range times {
			if n != 1 {
				t.Errorf("%s got the callback %d times", path, n)
			}
		}
		if times["/LIVE_ROOM_MANAGER"] == 0 {
			t.Errorf("the live rooms did not hear of it: %v", times)
		}
	}
}

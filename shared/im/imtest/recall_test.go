package imtest_test

import (
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// A client recalls its own message of a group within two minutes; a leader of
// the group recalls everybody's.
func TestClientsRecallWithinTwoMinutes(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	send := func(c *imtest.Client) uint32 {
		t.Helper()
		sent, err := c.Send("team", imtest.Draft{Text: "x"})
		if err != nil {
			t.Fatal(err)
		}
		return sent.Seq
	}
	bobs, alices := send(bob), send(alice)
	if err := bob.Recall("team", "", alices); imtest.Code(err) != 10007 {
		t.Errorf("a member recalls somebody else's message: %v", err)
	}
	if err := bob.Recall("team", "", 99); imtest.Code(err) != 10030 {
		t.Errorf("a message that is not there: %v", err)
	}
	w.clock.Advance(2 * time.Minute)
	if err := bob.Recall("team", "", bobs); err != nil {
		t.Errorf("after two minutes: %v", err)
	}
	if err := bob.Recall("team", "", bobs); err != nil {
		t.Errorf("a second recall: %v", err)
	}
	if got := w.hook("Group.CallbackAfterRecallMsg"); got.Body["Operator_Account"] != "bob" || got.Query.Get("OptPlatform") != "Web" {
		t.Errorf("the backend was told %v", got)
	}
	late := send(bob)
	w.clock.Advance(2*time.Minute + time.Second)
	for name, c := range map[string]*imtest.Client{"its sender": bob, "the owner": alice} {
		if err := c.Recall("team", "", late); imtest.Code(err) != 10031 {
			t.Errorf("%s, too late: %v", name, err)
		}
	}
	w.do(groups+"group_msg_recall", asJSON(map[string]any{"GroupId": "team", "MsgSeqList": []map[string]any{{"MsgSeq": late}}}))
	if m := w.app.State().Group("team").Messages; !m[len(m)-1].Recalled {
		t.Error("the REST API has no limit in a team")
	}
}

// The console's limit is the app's to set.
func TestTheLimitOfRecallsIsTheConsoles(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.RecallWithin = time.Hour })
	alice, _ := furnish(w)
	sent, err := alice.SendTo("bob", imtest.Draft{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	if err := alice.RecallFrom("bob", sent.Key); err != nil {
		t.Error(err)
	}
}

// A one-to-one message is recalled by its sender alone, within two minutes.
func TestClientsRecallTheirOneToOneMessages(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	sent, err := alice.SendTo("bob", imtest.Draft{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := bob.RecallFrom("alice", sent.Key); imtest.Code(err) != 20022 {
		t.Errorf("the receiver recalls: %v", err)
	}
	w.clock.Advance(2*time.Minute + time.Second)
	if err := alice.RecallFrom("bob", sent.Key); imtest.Code(err) != 20016 {
		t.Errorf("too late: %v", err)
	}
	next, err := alice.SendTo("bob", imtest.Draft{Text: "y"})
	if err != nil {
		t.Fatal(err)
	}
	if err := alice.RecallFrom("bob", next.Key); err != nil {
		t.Fatal(err)
	}
	events := bob.Events()
	if last := events[len(events)-1]; last.Kind != "recalled" || last.Message.Key != next.Key {
		t.Errorf("bob was told %+v", last)
	}
	if got := w.hook("C2C.CallbackAfterMsgWithDraw"); got.Body["MsgKey"] != next.Key || got.Query.Get("OptPlatform") != "Web" {
		t.Errorf("the backend was told %v", got)
	}
}

// A message of an AVChatRoom is recalled for an hour, by REST too (269/12341).
func TestAVChatRoomsRecallForAnHour(t *testing.T) {
	w := newWorld(t)
	_, bob := furnish(w)
	sent, err := bob.Send("live", imtest.Draft{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	body := asJSON(map[string]any{"GroupId": "live", "MsgSeqList": []map[string]any{{"MsgSeq": sent.Seq}}})
	recall := func() any {
		return w.do(groups+"group_msg_recall", body)["RecallRetList"].([]any)[0].(map[string]any)["RetCode"]
	}
	w.clock.Advance(time.Hour + time.Second)
	if got := recall(); got != 10031.0 {
		t.Errorf("after an hour: %v", got)
	}
	w.clock.Advance(-2 * time.Second)
	if got := recall(); got != 0.0 {
		t.Errorf("within the hour: %v", got)
	}
	events := bob.Events()
	if last := events[len(events)-1]; last.Kind != "recalled" || last.Message.Seq != sent.Seq {
		t.Errorf("bob was told %+v", last)
	}
}

// Over HTTP: POST /client/recall.
func TestPagesRecall(t *testing.T) {
	w := newWorld(t)
	alice, _ := furnish(w)
	group, err := alice.Send("team", imtest.Draft{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	direct, err := alice.SendTo("bob", imtest.Draft{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []map[string]any{
		{"groupId": "team", "seq": group.Seq},
		{"userId": "bob", "key": direct.Key},
	} {
		if status, answer := w.post("/client/recall?token="+alice.Token(), asJSON(body)); status != 200 {
			t.Errorf("%v: %d %v", body, status, answer)
		}
	}
	state := w.app.State()
	team := state.Group("team").Messages
	if !team[len(team)-1].Recalled {
		t.Error("the team's message is still there")
	}
	if status, _ := w.post("/client/recall?token="+alice.Token(), `{"groupId":"team","userId":"bob","seq":1}`); status != 422 {
		t.Errorf("both a group and a user: %d", status)
	}
}

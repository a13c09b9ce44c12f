package community_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// threads makes a sub-channel.
func (p *process) thread(who, name, body, key string) thread.Thread {
	p.Helper()
	a := p.do(who, "POST", "/communities/"+name+"/threads", body, key)
	if a.Status != http.StatusCreated {
		p.Fatalf("%d %s", a.Status, a.Text)
	}
	return rulestest.Into[thread.Thread](p, a)
}

// members are who is in a group of IM.
func (w *world) members(groupID string) []string { return membersOf(w.group(groupID)) }

func membersOf(g imtest.GroupState) (ids []string) {
	for _, m := range g.Members {
		ids = append(ids, m.UserID)
	}
	slices.Sort(ids)
	return ids
}

// seats has a group hold so many members at most.
func (w *world) seats(groupID string, n int) {
	w.Helper()
	w.Must(w.Client().ModifyGroup(w.Context(), groupID, im.GroupChange{MaxMemberNum: &n}))
}

// as is a sub-channel as a channel to write in.
func as(t thread.Thread) community.Channel {
	return community.Channel{ChannelID: t.ThreadID, GroupID: t.GroupID, TopicID: t.TopicID}
}

// A sub-channel as a topic: one for a message, in lists and counts, with its summary
// in the parent message.
func TestThreadTopic(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat")
	general := p.channel("town", "general")
	for range 3 {
		p.says(cl[0], general, "question")
	}
	body := fmt.Sprintf(`{"name":"answers","channelId":%q,"msgSeq":2}`, general.ChannelID)
	th := p.thread("cat", "town", body, "k1")
	if again := p.thread("cat", "town", body, "k1"); again.ThreadID != th.ThreadID || th.GroupID != "@TGS#_town" || th.TopicID == "" || th.Members != 3 || th.Copied != 3 || th.Total != 3 {
		t.Errorf("%+v, then %+v", th, again)
	}
	if a := p.do("bob", "POST", "/communities/town/threads", body, "k2"); a.Status != http.StatusConflict {
		t.Errorf("a second one for the message: %d %s", a.Status, a.Text)
	}
	free := p.thread("bob", "town", fmt.Sprintf(`{"name":"ideas","channelId":%q,"form":"topic"}`, general.ChannelID), "k3")
	list := rulestest.Into[struct {
		Threads []thread.Thread
		Count   int
	}](p, p.do("bob", "GET", "/communities/town/threads?channelId="+general.Short(), ``))
	if list.Count != 2 || len(list.Threads) != 2 {
		t.Errorf("%+v", list)
	}
	if !slices.ContainsFunc(cl[0].Events(), func(e imtest.Event) bool {
		return e.Message != nil && strings.Contains(string(e.Message.Body), `\"event\":\"threads\"`)
	}) {
		t.Error("nobody is told of sub-channels")
	}
	p.later(2)
	if s := p.custom(general, 2)["thread"].(map[string]any); s["count"] != 0.0 || s["threadId"] != th.ThreadID || s["last"] != nil {
		t.Errorf("%v", s)
	}
	for i := range 5 {
		if code := p.says(cl[i%2], as(th), fmt.Sprint("answer ", i)); code != 0 {
			t.Fatalf("code %d", code)
		}
	}
	p.later(2)
	s := p.custom(general, 2)["thread"].(map[string]any)
	if last := s["last"].(map[string]any); s["count"] != 5.0 || last["text"] != "answer 4" || last["from"] != "bob" {
		t.Errorf("%v", s)
	}
	w.Must(cl[0].Recall(th.GroupID, th.TopicID, 5))
	p.later(2)
	if s := p.custom(general, 2)["thread"].(map[string]any); s["count"] != 4.0 || s["last"].(map[string]any)["text"] != "answer 3" {
		t.Errorf("after a recall %v", s)
	}
	if p.custom(general, 1) != nil || p.custom(general, 3) != nil {
		t.Error("other messages were touched")
	}
	if p.says(cl[0], as(free), "an idea") != 0 {
		t.Error("a free sub-channel takes no messages")
	}
	// The routes' refusals, and a role that forbids.
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/members/bob/role", `{"role":"writer"}`))
	for i, c := range []struct {
		who, method, rest, body string
		status                  int
	}{
		{"bob", "POST", "", body, 403},
		{"cat", "POST", "", strings.Replace(body, "2}", "77}", 1), 404},
		{"cat", "POST", "", strings.Replace(body, "2}", "0}", 1), 400},
		{"cat", "POST", "", `{"name":"x","channelId":"none"}`, 404},
		{"cat", "POST", "", fmt.Sprintf(`{"name":%q,"channelId":%q}`, strings.Repeat("x", 31), general.ChannelID), 400},
		{"cat", "POST", "", fmt.Sprintf(`{"name":"x","channelId":%q,"form":"room"}`, general.ChannelID), 400},
		{"bob", "DELETE", "/" + th.ThreadID, ``, 403},
		{"cat", "DELETE", "/t-none", ``, 404},
		{"cat", "GET", "/" + th.ThreadID, ``, 200},
		{"stranger", "GET", "/" + th.ThreadID, ``, 403},
		{"cat", "DELETE", "/" + th.ThreadID, ``, 200},
		{"cat", "GET", "/" + th.ThreadID, ``, 404},
	} {
		if a := p.do(c.who, c.method, "/communities/town/threads"+c.rest, c.body, fmt.Sprint("c", i)); a.Status != c.status {
			t.Errorf("%+v: %d %s", c, a.Status, a.Text)
		}
	}
	p.later(2)
	if v := p.custom(general, 2)["thread"]; v != nil {
		t.Errorf("a summary of nothing: %v", v)
	}
	rulestest.Into[any](p, p.do("ann", "DELETE", path("town", general, ""), ``))
	p.work()
	if text := w.dump(); strings.Contains(text, free.ThreadID) || strings.Contains(text, general.Short()) {
		t.Errorf("left of a deleted channel:\n%s", text)
	}
	p.minutes(2)
	w.Quiet(p.ledger)
}

// A sub-channel as a group: members are copied, newcomers added, leavers and kicked
// users removed, and who is mentioned is in it.
func TestThreadGroup(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat", "dan")
	general := p.channel("town", "general")
	p.says(cl[0], general, "question")
	th := p.thread("bob", "town", fmt.Sprintf(`{"name":"answers","channelId":%q,"msgSeq":1,"form":"group"}`, general.ChannelID), "k1")
	if th.TopicID != "" || th.GroupID == "@TGS#_town" {
		t.Errorf("%+v", th)
	}
	p.work()
	same := func(when string) {
		t.Helper()
		if a, b := w.members("@TGS#_town"), w.members(th.GroupID); !slices.Equal(a, b) {
			t.Errorf("%s: in the community %q, in the sub-channel %q", when, a, b)
		}
	}
	same("made")
	if got := rulestest.Into[thread.Thread](p, p.do("bob", "GET", "/communities/town/threads/"+th.ThreadID, ``)); got.Members != 4 || got.Copied != 4 || got.Total != 4 || !got.Done {
		t.Errorf("%+v", got)
	}
	p.enters("town", "eve")
	same("joined")
	w.Must(cl[2].Quit("@TGS#_town"))
	p.work()
	same("left")
	rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/kick", `{"userId":"cat"}`))
	p.work()
	same("kicked")
	if err := cl[1].Join(th.GroupID); err == nil {
		t.Error("a kicked user enters a sub-channel")
	}
	if _, err := w.Client().DeleteGroupMembers(t.Context(), th.GroupID, []string{"eve"}, "", true); err != nil {
		t.Fatal(err)
	}
	if _, err := cl[0].Send(th.GroupID, imtest.Draft{Text: "@eve look", Mentions: []string{"eve"}}); err != nil {
		t.Fatal(err)
	}
	p.work()
	same("mentioned")
	p.later(2)
	if s := p.custom(general, 1)["thread"].(map[string]any); s["count"] != 1.0 {
		t.Errorf("%v", s)
	}
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/members/bob/role", `{"role":"reader"}`))
	if p.says(cl[0], as(th), "x") == 0 {
		t.Error("a role does not hold in a sub-channel")
	}
	rulestest.Into[any](p, p.do("ann", "DELETE", "/communities/town", ``))
	p.work()
	if w.group(th.GroupID).GroupID != "" || strings.Contains(w.dump(), th.ThreadID) {
		t.Errorf("left of a deleted community:\n%s", w.dump())
	}
}

// Who is muted in a channel, alone or with everybody, does not write in its sub-channels
// either; in those of other channels the user does.
func TestMutedInSubChannels(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	bob := p.enters("town", "bob")[0]
	general, random := p.channel("town", "general"), p.channel("town", "random")
	made := map[string]thread.Thread{}
	for _, form := range []string{"topic", "group"} {
		for _, ch := range []community.Channel{general, random} {
			name := form + " of " + ch.Name
			made[name] = p.thread("bob", "town", fmt.Sprintf(`{"name":%q,"channelId":%q,"form":%q}`, name, ch.ChannelID, form), strings.ReplaceAll(name, " ", "-"))
		}
	}
	p.work()
	for _, in := range []string{fmt.Sprintf(`{"userId":"bob","channelId":%q}`, general.ChannelID), fmt.Sprintf(`{"channelId":%q}`, general.ChannelID)} {
		rulestest.Into[any](p, p.do(server, "POST", "/communities/town/mute", in))
		for name, th := range made {
			if refused := p.says(bob, as(th), "x") != 0; refused != (th.ChannelID == general.ChannelID) {
				t.Errorf("%s: in the sub-channel %s bob is refused: %v", in, name, refused)
			}
		}
		rulestest.Into[any](p, p.do(server, "POST", "/communities/town/unmute", in))
	}
	for name, th := range made {
		if code := p.says(bob, as(th), "x"); code != 0 {
			t.Errorf("unmuted, in %s: %d", name, code)
		}
	}
}

// A sub-channel is full for a while, where members of a community of 100,000 come before
// those are taken out who left: who comes enters it later, and the others at once.
func TestThreadIsFull(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	general := p.channel("town", "general")
	var made []thread.Thread
	for _, name := range []string{"one", "two", "three"} {
		made = append(made, p.thread(server, "town", fmt.Sprintf(`{"name":%q,"channelId":%q,"form":"group"}`, name, general.ChannelID), name))
	}
	p.work()
	full := made[1].GroupID
	w.seats(full, len(w.members(full)))
	p.enters("town", "eve")
	p.minutes(2)
	for i, th := range made {
		if in := slices.Contains(w.members(th.GroupID), "eve"); in == (i == 1) {
			t.Errorf("in sub-channel %s, of which \"two\" is full: %v", th.Name, in)
		}
	}
	w.seats(full, 100)
	p.minutes(8)
	if in := w.members(full); !slices.Contains(in, "eve") {
		t.Errorf("there is room again, and in the sub-channel is %q", in)
	}
	w.Quiet(p.ledger)
}

// The same while members are copied: IM adds as many as there is room for.
func TestCopyIntoFull(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	p.enters("town", "bob", "cat", "dan", "eve")
	general := p.channel("town", "general")
	w.App.FailNext("group_open_http_svc/add_group_member", imtest.Fault{Code: int(im.CodeGroupFull)})
	th := p.thread(server, "town", fmt.Sprintf(`{"name":"one","channelId":%q,"form":"group"}`, general.ChannelID), "k")
	p.Work(p.ledger)
	look := func() thread.Thread {
		return rulestest.Into[thread.Thread](p, p.do(server, "GET", "/communities/town/threads/"+th.ThreadID, ``))
	}
	th = look()
	w.seats(th.GroupID, 3)
	p.minutes(2)
	if got, in := look(), w.members(th.GroupID); got.Done || len(in) != 3 {
		t.Errorf("a full sub-channel: %+v, in it %q", got, in)
	}
	w.seats(th.GroupID, 100)
	p.minutes(8)
	if got, in, all := look(), w.members(th.GroupID), w.members("@TGS#_town"); !got.Done || !slices.Equal(in, all) {
		t.Errorf("there is room again: %+v, in it %q of %q", got, in, all)
	}
	w.Quiet(p.ledger)
}

// Summaries under 40 messages a second on one parent: at most one modification a
// second, and the last one right.
func TestSummariesUnderLoad(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	bob := p.enters("town", "bob")[0]
	general := p.channel("town", "general")
	p.says(bob, general, "question")
	th := p.thread("bob", "town", fmt.Sprintf(`{"name":"answers","channelId":%q,"msgSeq":1}`, general.ChannelID), "k1")
	p.later(2)
	start := p.modified()
	const seconds = 10
	times := make([]time.Time, 0, seconds)
	for i := range 40 * seconds {
		if code := p.says(bob, as(th), fmt.Sprint("answer ", i)); code != 0 {
			t.Fatalf("code %d", code)
		}
		before := p.modified()
		p.work()
		if p.modified() > before {
			times = append(times, w.Clock.Now())
		}
		w.Advance(25 * time.Millisecond)
		if i%7 == 0 { // and twice, and once more with another reaction in between
			w.Heard(&callback.GroupAfterSendMsg{
				Base: callback.Base{CallbackCommand: "Group.CallbackAfterSendMsg"}, GroupID: th.GroupID, TopicID: th.TopicID, Type: "Community",
				From: "bob", MsgSeq: uint32(i + 1), MsgTime: callback.Seconds(w.Clock.Now().Unix()),
			})
		}
	}
	p.later(3)
	if n := p.modified() - start; n > seconds+3 || n < seconds/2 {
		t.Errorf("%d modifications in %d seconds", n, seconds)
	}
	for i := 1; i < len(times); i++ {
		if d := times[i].Sub(times[i-1]); d < time.Second {
			t.Errorf("two modifications within %v", d)
		}
	}
	s := p.custom(general, 1)["thread"].(map[string]any)
	if s["count"] != float64(40*seconds) || s["last"].(map[string]any)["text"] != fmt.Sprint("answer ", 40*seconds-1) {
		t.Errorf("%v", s)
	}
	p.minutes(2)
	w.Quiet(p.ledger)
}

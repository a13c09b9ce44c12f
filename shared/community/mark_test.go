package community_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// message is a message of a channel in IM.
func (p *process) message(ch community.Channel, seq uint32) imtest.Message {
	p.Helper()
	g := p.group(ch.GroupID)
	messages := g.Messages
	for _, t := range g.Topics {
		if t.TopicID == ch.TopicID {
			messages = t.Messages
		}
	}
	for _, m := range messages {
		if m.Seq == seq {
			return m
		}
	}
	p.Fatalf("no message %d in %s", seq, ch.Name)
	return imtest.Message{}
}

// custom is a message's CloudCustomData, as an object.
func (p *process) custom(ch community.Channel, seq uint32) (values map[string]any) {
	p.Helper()
	text := p.message(ch, seq).Custom
	if text == "" {
		return nil
	}
	p.Must(json.Unmarshal([]byte(text), &values))
	return values
}

// later lets seconds pass and carries out what is due.
func (p *process) later(seconds int) {
	p.Helper()
	for range seconds {
		p.Advance(time.Second)
		p.work()
	}
}

func messagePath(name string, ch community.Channel, seq uint32, rest string) string {
	return path(name, ch, fmt.Sprintf("/messages/%d%s", seq, rest))
}

// Reactions of 100 users at once: none is lost, in our answer and in the message, in
// the guide's form, beside what the app keeps there; and at most one write a second.
func TestReactions(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	general := p.channel("town", "general")
	users := make([]string, 100)
	for i := range users {
		users[i] = fmt.Sprintf("user%02d", i)
	}
	clients := p.enters("town", users...)
	if _, err := clients[0].Send(general.GroupID, imtest.Draft{Text: "hello", TopicID: general.TopicID, Custom: `{"app":{"x":1}}`}); err != nil {
		t.Fatal(err)
	}
	p.work()
	before := p.modified()
	var wait sync.WaitGroup
	for i, user := range users {
		wait.Add(1)
		go func() {
			defer wait.Done()
			emoji := []string{"smile", "👍"}[i%2]
			if a := p.do(user, "PUT", messagePath("town", general, 1, "/reactions/"+emoji), ``); a.Status != http.StatusOK {
				p.Errorf("%d %s", a.Status, a.Text)
			}
		}()
	}
	wait.Wait()
	p.later(4)
	got := rulestest.Into[struct{ Reactions []mark.Reaction }](p, p.do(users[3], "GET", messagePath("town", general, 1, "/reactions"), ``))
	if len(got.Reactions) != 2 || got.Reactions[0].Count+got.Reactions[1].Count != 100 {
		t.Errorf("%+v", got)
	}
	values := p.custom(general, 1)
	shown := values["reaction"].(map[string]any)
	if len(shown["smile"].([]any)) != 50 || len(shown["👍"].([]any)) != 50 || fmt.Sprint(values["app"]) != "map[x:1]" || len(values) != 2 {
		t.Errorf("%v", values)
	}
	if n := p.modified() - before; n > 5 {
		t.Errorf("%d writes in 4 seconds", n)
	}

	// Taken back, and taken back again: the second changes and writes nothing.
	rulestest.Into[any](p, p.do(users[0], "DELETE", messagePath("town", general, 1, "/reactions/smile"), ``))
	p.later(2)
	before = p.modified()
	dump := w.dump()
	rulestest.Into[any](p, p.do(users[0], "DELETE", messagePath("town", general, 1, "/reactions/smile"), ``))
	rulestest.Into[any](p, p.do(users[1], "PUT", messagePath("town", general, 1, "/reactions/👍"), ``))
	p.later(2)
	if p.modified() != before || w.dump() != dump {
		t.Error("a repeated reaction writes")
	}
	if n := len(p.custom(general, 1)["reaction"].(map[string]any)["smile"].([]any)); n != 49 {
		t.Errorf("%d users", n)
	}
	// Recalled: nothing is left of it.
	w.Must(clients[0].Recall(general.GroupID, general.TopicID, 1))
	p.work()
	p.minutes(3)
	if a := p.do(users[1], "PUT", messagePath("town", general, 1, "/reactions/smile"), ``); a.Status != http.StatusNotFound {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if strings.Contains(w.dump(), "reaction/") {
		t.Errorf("left in the store:\n%s", w.dump())
	}
	w.Quiet(p.ledger)
}

// modified is how often a message was modified by the REST API.
func (w *world) modified() int {
	n := 0
	for _, c := range w.App.Calls() {
		if c.Command == "openim/modify_group_msg" {
			n++
		}
	}
	return n
}

// More reactors than the field holds: the field stays within 4 KB and valid, and our
// answer has them all.
func TestReactionsBeyondTheField(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	general := p.channel("town", "general")
	ann := w.Login("ann")
	if p.says(ann, general, "hello") != 0 {
		t.Fatal("no message")
	}
	is := p.get("town")
	// As many users as it takes, without logging each in.
	stored, err := p.communities.Get(t.Context(), "town")
	w.Must(err)
	ref := mark.Ref{Community: stored, Channel: general, Seq: 1}
	for i := range 300 {
		key := fmt.Sprintf("reaction/%010d/%s/%s", 1, []string{"smile", "heart", "fire"}[i%3], fmt.Sprintf("a-user-with-a-long-name-%04d", i))
		w.Must(w.store.Commit(t.Context(), stored.ChannelPartition(general), kv.NewOp("test"), kv.Put{Key: key, Value: []byte(fmt.Sprintf("2026-01-01T00:00:%02d.000000000Z", i%60)), If: kv.Absent()}))
	}
	w.Must(p.marks.Touch(t.Context(), ref, "ann", ""))
	p.later(2)
	text := p.message(general, 1).Custom
	if len(text) > mark.MaxField || len(text) < mark.MaxField-100 || len(p.custom(general, 1)["reaction"].(map[string]any)) != 3 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	got := rulestest.Into[struct{ Reactions []mark.Reaction }](p, p.do("ann", "GET", messagePath("town", general, 1, "/reactions"), ``))
	n := 0
	for _, one := range got.Reactions {
		n += one.Count
	}
	if n != 300 || is.Version != 1 {
		t.Errorf("%d reactors", n)
	}
	// A field without keys is left alone.
	if _, err := ann.Send(general.GroupID, imtest.Draft{Text: "x", TopicID: general.TopicID, Custom: "plain text"}); err != nil {
		t.Fatal(err)
	}
	rulestest.Into[any](p, p.do("ann", "PUT", messagePath("town", general, 2, "/reactions/smile"), ``))
	p.later(2)
	if got := p.message(general, 2).Custom; got != "plain text" {
		t.Errorf("%q", got)
	}
}

// Edits are the author's and those who manage; they pass the filter that messages
// pass, show isEdited, and the last of two holds.
func TestEdits(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat")
	general := p.channel("town", "general")
	if p.says(cl[0], general, "helo") != 0 {
		t.Fatal("no message")
	}
	body := func(text string) string {
		return fmt.Sprintf(`{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":%q}}]}`, text)
	}
	for _, c := range []struct {
		who, body string
		status    int
	}{
		{"cat", body("mine"), 403},
		{"bob", body("come to my casino"), 400},
		{"bob", `{"msgBody":[]}`, 400},
		{"bob", `{"msgBody":"x"}`, 400},
		{"bob", `{"msgBody":[{"MsgType":"TIMTextElem"}]}`, 400},
		{"bob", body(strings.Repeat("x", 9000)), 400},
		{"bob", `{"msgBody":[{"MsgType":"Bogus","MsgContent":{"Text":"x"}}]}`, 400},
		{"bob", `{"msgBody":[{"MsgType":"TIMStreamElem","MsgContent":{"CompatibleText":"x"}}]}`, 400},
		{"bob", `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{}}]}`, 400},
		{"bob", `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":5}}]}`, 400},
		{"bob", `{"msgBody":[{"MsgType":"TIMFaceElem","MsgContent":{"Data":"x"}}]}`, 400},
		{"bob", body("hello"), 200},
		{"ann", body("hello!"), 200},
	} {
		if a := p.do(c.who, "PATCH", messagePath("town", general, 1, ""), c.body); a.Status != c.status {
			t.Errorf("%s %.40s: %d %s", c.who, c.body, a.Status, a.Text)
		}
	}
	rulestest.Into[any](p, p.do("cat", "PUT", messagePath("town", general, 1, "/reactions/smile"), ``))
	p.later(3)
	if m := p.message(general, 1); !strings.Contains(string(m.Body), `"hello!"`) || p.custom(general, 1)["isEdited"] != true || p.custom(general, 1)["reaction"] == nil {
		t.Errorf("%s %s", m.Body, m.Custom)
	}
	if strings.Contains(w.dump(), "hello") {
		t.Error("the store keeps a text that IM has")
	}
	rulestest.Into[any](p, p.do(server, "POST", "/communities/town/mute", `{"userId":"bob"}`))
	if a := p.do("bob", "PATCH", messagePath("town", general, 1, ""), body("x")); a.Status != 403 {
		t.Errorf("who is muted edits: %d %s", a.Status, a.Text)
	}
	rulestest.Into[any](p, p.do(server, "POST", "/communities/town/unmute", `{"userId":"bob"}`))

	// Muted in one channel: there alone.
	random, here := p.channel("town", "random"), fmt.Sprintf(`{"userId":"bob","channelId":%q}`, general.ChannelID)
	p.says(cl[0], random, "x")
	try := func(status int, ch community.Channel, why string) {
		t.Helper()
		thread := fmt.Sprintf(`{"name":"x","channelId":%q}`, ch.ChannelID)
		for _, a := range []rulestest.Reply{
			p.do("bob", "PATCH", messagePath("town", ch, 1, ""), body("x")),
			p.do("bob", "PUT", messagePath("town", ch, 1, "/reactions/smile"), ``),
			p.do("bob", "POST", "/communities/town/threads", thread, strings.ReplaceAll(why, " ", "-")+ch.Name),
		} {
			if a.Status/100 != status/100 {
				t.Errorf("%s in %s: %d %s, want %d", why, ch.Name, a.Status, a.Text, status)
			}
		}
	}
	rulestest.Into[any](p, p.do(server, "POST", "/communities/town/mute", here))
	try(403, general, "muted in a channel")
	try(200, random, "muted in another channel")
	rulestest.Into[any](p, p.do(server, "POST", "/communities/town/unmute", here))
	try(200, general, "unmuted")

	// While everybody is muted, those alone write anew who manage.
	for _, in := range []string{fmt.Sprintf(`{"channelId":%q}`, general.ChannelID), `{}`} {
		rulestest.Into[any](p, p.do(server, "POST", "/communities/town/mute", in))
		for user, status := range map[string]int{"bob": 403, "ann": 200} {
			if a := p.do(user, "PATCH", messagePath("town", general, 1, ""), body("x")); a.Status != status {
				t.Errorf("%s edits while everybody is muted (%s): %d %s", user, in, a.Status, a.Text)
			}
		}
		rulestest.Into[any](p, p.do(server, "POST", "/communities/town/unmute", in))
	}
	if a := p.do("bob", "PATCH", messagePath("town", general, 9, ""), body("x")); a.Status != 404 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// Pins: bounded, mirrored as ids, and taken off when a message is recalled.
func TestPins(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob")
	general, random := p.channel("town", "general"), p.channel("town", "random")
	for range 60 {
		p.says(cl[0], general, "x")
	}
	pins := func(query string) (seqs []uint32, next string) {
		got := rulestest.Into[struct {
			Pins []struct{ MsgSeq uint32 }
			Next string
		}](p, p.do("bob", "GET", path("town", general, "/pins"+query), ``))
		for _, one := range got.Pins {
			seqs = append(seqs, one.MsgSeq)
		}
		return seqs, got.Next
	}
	rulestest.Into[any](p, p.do("ann", "PUT", messagePath("town", general, 2, "/pin"), ``))
	rulestest.Into[any](p, p.do("ann", "PUT", messagePath("town", general, 5, "/pin"), ``))
	rulestest.Into[any](p, p.do("ann", "PUT", messagePath("town", general, 2, "/pin"), ``)) // again
	if got, _ := pins(""); !slices.Equal(got, []uint32{5, 2}) {
		t.Errorf("%v", got)
	}
	if got := p.group("@TGS#_town").Data["pins"]; got != fmt.Sprintf(`{%q:[5,2]}`, general.Short()) {
		t.Errorf("%s", got)
	}
	w.Must(cl[0].Recall(general.GroupID, general.TopicID, 2))
	p.work()
	if got, _ := pins(""); !slices.Equal(got, []uint32{5}) || p.group("@TGS#_town").Data["pins"] != fmt.Sprintf(`{%q:[5]}`, general.Short()) {
		t.Errorf("after a recall %v, %s", got, p.group("@TGS#_town").Data["pins"])
	}
	for _, c := range []struct {
		who, rest string
		status    int
	}{{"bob", "/messages/3/pin", 403}, {"ann", "/messages/2/pin", 404}, {"ann", "/messages/99/pin", 404}, {"ann", "/messages/0/pin", 400}, {"ann", "/messages/x/pin", 400}} {
		if a := p.do(c.who, "PUT", path("town", general, c.rest), ``); a.Status != c.status {
			t.Errorf("%+v: %d %s", c, a.Status, a.Text)
		}
	}
	for seq := uint32(6); seq < 55; seq++ {
		rulestest.Into[any](p, p.do("ann", "PUT", messagePath("town", general, seq, "/pin"), ``))
	}
	if a := p.do("ann", "PUT", messagePath("town", general, 60, "/pin"), ``); a.Status != 400 {
		t.Errorf("the 51st: %d %s", a.Status, a.Text)
	}
	if text := p.group("@TGS#_town").Data["pins"]; len(text) > 512 || !json.Valid([]byte(text)) {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	first, next := pins("?limit=20")
	second, _ := pins("?limit=100&after=" + next)
	if len(first) != 20 || len(second) != 30 || first[0] != 54 || second[29] != 5 {
		t.Errorf("%v, then %v", first, second)
	}
	for _, after := range []string{"x", "-1", "60"} {
		if a := p.do("bob", "GET", path("town", general, "/pins?after="+after), ``); a.Status != 400 {
			t.Errorf("after %s: %d %s", after, a.Status, a.Text)
		}
	}
	rulestest.Into[any](p, p.do("ann", "DELETE", messagePath("town", general, 5, "/pin"), ``))
	rulestest.Into[any](p, p.do("ann", "DELETE", messagePath("town", general, 5, "/pin"), ``))
	rulestest.Into[any](p, p.do("ann", "DELETE", path("town", general, ""), ``))
	if got := p.group("@TGS#_town").Data["pins"]; got != "" || strings.Contains(w.dump(), general.Short()) {
		t.Errorf("pins of a deleted channel: %q", got)
	}
	_ = random
}

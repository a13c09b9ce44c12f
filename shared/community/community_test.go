package community_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// A community is created with the template's channels, once, whoever repeats what;
// and its channels follow every change.
func TestCommunityAndChannels(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	is := p.opens("town")
	if is.CommunityID != "@TGS#_town" || is.Version != 1 || is.Owner != "ann" || len(is.Categories) != 2 || len(is.Channels()) != 4 {
		t.Fatalf("%+v", is)
	}
	p.inStep("town")
	// The same key again, also after the answer that was kept.
	again := rulestest.Into[community.Community](p, p.do(server, "POST", "/communities", `{"communityId":"town","name":"Gamers","owner":"ann"}`, "open-town"))
	if again.CommunityID != is.CommunityID {
		t.Errorf("%+v", again)
	}
	if a := p.do(server, "POST", "/communities", `{"communityId":"town","name":"Gamers","owner":"ann"}`, "another"); a.Status != http.StatusConflict {
		t.Errorf("an open id under another key: %d %s", a.Status, a.Text)
	}
	if a := p.do(server, "POST", "/communities", `{"communityId":"town","name":"Others","owner":"ann"}`, "open-town"); a.Code != "idempotency_mismatch" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	// The callback of its creation, once more.
	w.Heard(&callback.GroupAfterCreate{Base: callback.Base{CallbackCommand: "Group.CallbackAfterCreateGroup"}, GroupID: "@TGS#_town", Owner: "ann", Operator: admin, Type: "Community", Name: "Gamers", EventTime: callback.Millis(w.Clock.Now().UnixMilli())})
	p.work()
	if n := len(p.group("@TGS#_town").Topics); n != 4 {
		t.Errorf("%d topics", n)
	}

	// Create, rename, move, slow down, delete.
	help := p.adds("town", `{"name":"help","category":"Text","kind":"text","version":1}`, "help")
	p.inStep("town")
	twice := rulestest.Into[community.Community](p, p.do(server, "POST", "/communities/town/channels", `{"name":"help","category":"Text","kind":"text","version":1}`, "help"))
	if len(twice.Channels()) != 5 {
		t.Errorf("%d channels", len(twice.Channels()))
	}
	after := rulestest.Into[community.Community](p, p.do("ann", "PATCH", path("town", help, ""), `{"name":"questions","category":"Support","slowModeSeconds":10,"version":2}`))
	if after.Version != 3 || len(after.Categories) != 3 || after.Categories[2].Channels[0].Name != "questions" {
		t.Errorf("%+v", after)
	}
	p.inStep("town")
	if a := p.do("ann", "PATCH", path("town", help, ""), `{"name":"late","version":2}`); a.Status != http.StatusConflict || a.Code != "conflict" {
		t.Errorf("the loser of two editors: %d %s", a.Status, a.Text)
	}
	rulestest.Into[community.Community](p, p.do("ann", "PATCH", path("town", help, ""), `{"category":"Text","position":0,"version":3}`))
	rulestest.Into[community.Community](p, p.do("ann", "PATCH", "/communities/town/categories/Support", `{"name":"Quiet","position":0,"version":4}`))
	p.inStep("town")
	rulestest.Into[community.Community](p, p.do("ann", "DELETE", "/communities/town/categories/Quiet?version=5", ``))
	rulestest.Into[community.Community](p, p.do("ann", "PATCH", "/communities/town", `{"name":"Players","version":6}`))
	if a := p.do("ann", "DELETE", path("town", help, "?version=6"), ``); a.Status != http.StatusConflict {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	rulestest.Into[community.Community](p, p.do("ann", "DELETE", path("town", help, "?version=7"), ``))
	p.inStep("town")
	if a := p.do("ann", "DELETE", path("town", help, ""), ``); a.Status != http.StatusNotFound {
		t.Errorf("deleting it twice: %d %s", a.Status, a.Text)
	}
	if strings.Contains(w.dump(), help.Short()) {
		t.Errorf("a deleted channel is left in the store:\n%s", w.dump())
	}
}

const admin = rulestest.Admin

// Only communities of ours get channels; those to adopt get them once, however often
// IM tells of their creation.
func TestAdoption(t *testing.T) {
	w := onBolt(t)
	w.conf.Adopt = "@TGS#_our-"
	p := w.process(w.store)
	bob := w.Login("bob")
	for _, id := range []string{"@TGS#_our-club", "@TGS#_theirs"} {
		if _, err := bob.Do("group_open_http_svc/create_group", []byte(fmt.Sprintf(`{"Type":"Community","GroupId":%q,"Name":"Club","SupportTopic":1,"Owner_Account":"bob"}`, id))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := bob.Do("group_open_http_svc/create_group", []byte(`{"Type":"Community","GroupId":"@TGS#_our-flat","Name":"Flat","Owner_Account":"bob"}`)); err != nil {
		t.Fatal(err)
	}
	p.work()
	w.Redeliver(p.ledger)
	for _, at := range []time.Duration{0, -time.Hour} {
		w.Heard(&callback.GroupAfterCreate{Base: callback.Base{CallbackCommand: "Group.CallbackAfterCreateGroup"}, GroupID: "@TGS#_our-club", Owner: "bob", Operator: "bob", Type: "Community", Name: "Club", EventTime: callback.Millis(w.Clock.Now().Add(at).UnixMilli())})
	}
	p.minutes(3)
	p.inStep("our-club")
	if n := len(p.group("@TGS#_our-club").Topics); n != 4 {
		t.Errorf("%d topics", n)
	}
	if n := len(p.group("@TGS#_theirs").Topics); n != 0 {
		t.Errorf("%d topics in a foreign community", n)
	}
	for _, id := range []string{"theirs", "our-flat"} {
		if a := p.do(server, "GET", "/communities/"+id, ""); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", id, a.Status, a.Text)
		}
	}
	if is := p.get("our-club"); is.Owner != "bob" || is.Name != "Club" {
		t.Errorf("%+v", is)
	}
	w.Quiet(p.ledger)
}

// 50 editors move channels at once: each wins or is told 409, nothing is lost, and
// the positions of every category are 0 to n-1.
func TestConcurrentMoves(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	channels := p.get("town").Channels()
	var won atomic.Int64
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			version := p.get("town").Version
			body := fmt.Sprintf(`{"category":%q,"position":%d,"version":%d}`, []string{"Text", "Voice"}[i%2], i%3, version)
			switch a := p.do(server, "PATCH", path("town", channels[i%4], ""), body); a.Status {
			case http.StatusOK:
				won.Add(1)
			case http.StatusConflict:
			default:
				p.Errorf("%d %s", a.Status, a.Text)
			}
		}()
	}
	wait.Wait()
	p.work()
	is := p.get("town")
	if is.Version != 1+won.Load() || won.Load() == 0 || len(is.Channels()) != 4 {
		t.Errorf("%d moves won, and the version is %d with %d channels", won.Load(), is.Version, len(is.Channels()))
	}
	p.inStep("town")
}

// What somebody else does to topics is taken over, or taken back.
func TestOthersChangeTopics(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "ann2", "bob")
	ann, bob := w.Login("ann"), cl[1]
	create := func(c *imtest.Client, name string) int {
		_, err := c.Do("million_group_open_http_svc/create_topic", fmt.Appendf(nil, `{"GroupId":"@TGS#_town","TopicName":%q,"CustomString":"{\"category\":\"Text\",\"type\":\"voice\"}"}`, name))
		p.work()
		return imtest.Code(err)
	}
	if create(ann, "studio") != 0 || create(bob, "mine") != 10007 {
		t.Error("the owner makes no topics, or anybody does")
	}
	studio := p.channel("town", "studio")
	if studio.Kind != community.Voice {
		t.Errorf("%+v", studio)
	}
	p.inStep("town")
	// IM lets an admin make topics; the before-callback asks for the role, and after a
	// callback that failed open the topic goes again.
	w.Must(w.Client().ModifyGroupMember(t.Context(), "@TGS#_town", "bob", memberAdmin))
	if code := create(bob, "mine"); code < 10016 {
		t.Errorf("code %d", code)
	}
	w.Heard(&callback.TopicAfterCreate{Base: callback.Base{CallbackCommand: "Group.CallbackAfterCreateTopic"}, GroupID: "@TGS#_town", TopicID: "@TGS#_town@TOPIC#_none", Operator: "bob", Type: "Community", Name: "x"})
	p.do(server, "PUT", "/communities/town/members/bob/role", `{"role":"moderator"}`)
	if code := create(bob, "ours"); code != 0 {
		t.Errorf("code %d", code)
	}
	// Renamed and destroyed by the owner's client.
	if _, err := ann.Do("million_group_open_http_svc/modify_topic", fmt.Appendf(nil, `{"GroupId":"@TGS#_town","TopicId":%q,"TopicName":"atelier"}`, studio.TopicID)); err != nil {
		t.Fatal(err)
	}
	p.work()
	if got := p.channel("town", "atelier"); got.ChannelID != studio.ChannelID {
		t.Errorf("%+v", got)
	}
	if _, err := ann.Do("million_group_open_http_svc/destroy_topic", fmt.Appendf(nil, `{"GroupId":"@TGS#_town","TopicIdList":[%q]}`, studio.TopicID)); err != nil {
		t.Fatal(err)
	}
	p.work()
	p.inStep("town")
	if slices.ContainsFunc(p.get("town").Channels(), func(ch community.Channel) bool { return ch.ChannelID == studio.ChannelID }) {
		t.Error("a topic that is gone is a channel still")
	}
}

// A deleted community leaves nothing, and its id makes a new one that starts empty.
func TestDeleteAndCreateAnew(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	p.enters("town", "bob", "cat")
	ch := p.adds("town", `{"name":"secret","kind":"private"}`, "secret")
	rulestest.Into[any](p, p.do(server, "POST", path("town", ch, "/invitations"), `{"userId":"bob"}`))
	rulestest.Into[any](p, p.do(server, "POST", "/communities/town/kick", `{"userId":"cat"}`))
	if a := p.do("bob", "DELETE", "/communities/town", ``); a.Status != http.StatusForbidden {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	rulestest.Into[any](p, p.do("ann", "DELETE", "/communities/town?version=2", ``))
	p.work()
	if p.group("@TGS#_town").GroupID != "" || p.group(ch.GroupID).GroupID != "" {
		t.Error("a group is left in IM")
	}
	if text := w.dump(); strings.Contains(text, "/cat") || strings.Contains(text, "/bob") {
		t.Errorf("left in the store:\n%s", text)
	}
	if a := p.do(server, "GET", "/communities/town", ``); a.Status != http.StatusNotFound {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	w.Advance(time.Second)
	rulestest.Into[any](p, p.do(server, "POST", "/communities", `{"communityId":"town","name":"Anew","owner":"bob"}`, "anew"))
	p.work()
	p.inStep("town")
	if cl := p.enters("town", "cat"); len(cl) != 1 {
		t.Error("who was kicked from the community before may not enter the new one")
	}
	p.minutes(2)
	w.Quiet(p.ledger)
}

// Slow mode counts delivered messages, exempts those who manage, and the first
// message of another.
func TestSlowMode(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "mod")
	bob, mod := cl[0], cl[1]
	rulestest.Into[any](p, p.do(server, "PUT", "/communities/town/members/mod/role", `{"role":"moderator"}`))
	slow := p.adds("town", `{"name":"slow","slowModeSeconds":30}`, "slow")
	general := p.channel("town", "general")
	w.Must(setMute(w, "bob", 1)) // IM itself refuses: no message was delivered
	p.says(bob, slow, "refused by IM")
	w.Advance(2 * time.Second)
	for i, c := range []struct {
		who   *imtest.Client
		where community.Channel
		pause time.Duration
		ok    bool
	}{
		{bob, slow, 0, true},
		{bob, slow, 0, false},
		{bob, slow, 29 * time.Second, false},
		{bob, general, 0, true},
		{bob, slow, time.Second, true},
		{mod, slow, 0, true},
		{mod, slow, 0, true},
		{bob, slow, time.Second, false},
	} {
		w.Advance(c.pause)
		if code := p.says(c.who, c.where, fmt.Sprint("message ", i)); (code == 0) != c.ok {
			t.Errorf("message %d: code %d", i, code)
		}
	}
	if text := w.dump(); strings.Count(text, " slow/") != 0 || strings.Count(text, "slow/") != 2 {
		t.Errorf("kept of messages:\n%s", text)
	}
}

// IM does not end a mute of everybody by itself: it ends at its time, whatever else
// happens to the community meanwhile, and where a job is lost by the clock.
func TestMuteOfEverybodyEnds(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	is := p.opens("town")
	mute := func(seconds int) {
		t.Helper()
		rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/mute", fmt.Sprintf(`{"seconds":%d}`, seconds)))
		if !p.group(prefix + "town").MuteAll {
			t.Fatal("nobody is muted in IM")
		}
	}
	mute(3600)
	p.minutes(10)
	rulestest.Into[any](p, p.do("ann", "PATCH", "/communities/town", fmt.Sprintf(`{"name":"Town","version":%d}`, is.Version)))
	p.minutes(45)
	if !p.group(prefix + "town").MuteAll {
		t.Error("a mute ends with another change")
	}
	p.minutes(6)
	if p.group(prefix + "town").MuteAll {
		t.Error("a change has a mute last for ever")
	}
	mute(90)
	w.Advance(91 * time.Second)
	p.work()
	if p.group(prefix + "town").MuteAll {
		t.Error("a mute ends with the clock, not at its time")
	}
	// A shorter mute in place of a longer one, and a longer one in place of a shorter.
	mute(3600)
	mute(120)
	p.minutes(3)
	if p.group(prefix + "town").MuteAll {
		t.Error("a shorter mute does not end")
	}
	mute(120)
	mute(600)
	p.minutes(3)
	if !p.group(prefix + "town").MuteAll {
		t.Error("a longer mute ends with the shorter one")
	}
	p.minutes(8)
	if p.group(prefix + "town").MuteAll {
		t.Error("a longer mute does not end")
	}
	p.minutes(60)
	w.Quiet(p.ledger)
}

// Mutes of the community and of one channel, and kicks: they hold in IM, at the
// callbacks, and end.
func TestMuteAndKick(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat", "mod")
	bob, cat := cl[0], cl[1]
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/members/mod/role", `{"role":"moderator"}`))
	general, random := p.channel("town", "general"), p.channel("town", "random")

	got := rulestest.Into[struct{ Restrictions []community.Restriction }](p, p.do("mod", "POST", "/communities/town/mute", fmt.Sprintf(`{"userId":"bob","channelId":%q,"seconds":60,"reason":"too loud"}`, general.ChannelID)))
	if len(got.Restrictions) != 1 || got.Restrictions[0].By != "mod" || got.Restrictions[0].ChannelID != general.ChannelID {
		t.Errorf("%+v", got)
	}
	if p.says(bob, general, "x") == 0 || p.says(bob, random, "x") != 0 || p.says(cat, general, "x") != 0 {
		t.Error("a mute of one channel")
	}
	w.Advance(61 * time.Second)
	if p.says(bob, general, "x") != 0 {
		t.Error("a mute does not end")
	}
	rulestest.Into[any](p, p.do("mod", "POST", "/communities/town/mute", `{"userId":"bob"}`))
	if p.says(bob, random, "x") == 0 {
		t.Error("a mute of the community")
	}
	rulestest.Into[any](p, p.do("mod", "POST", "/communities/town/unmute", `{"userId":"bob"}`))
	if p.says(bob, random, "x") != 0 {
		t.Error("a mute cannot be lifted")
	}
	rulestest.Into[any](p, p.do("mod", "POST", "/communities/town/mute", `{"seconds":120}`))
	if p.says(bob, random, "x") == 0 || p.says(w.Login("ann"), random, "x") != 0 || !p.group("@TGS#_town").MuteAll {
		t.Error("everybody muted")
	}
	p.minutes(3)
	if p.says(bob, random, "x") != 0 || p.group("@TGS#_town").MuteAll {
		t.Error("everybody muted for ever")
	}
	rulestest.Into[any](p, p.do("mod", "POST", "/communities/town/mute", fmt.Sprintf(`{"channelId":%q,"seconds":120}`, general.ChannelID)))
	if p.says(bob, general, "x") == 0 || p.says(bob, random, "x") != 0 || p.says(cl[2], general, "x") != 0 || p.group("@TGS#_town").MuteAll {
		t.Error("everybody muted in a channel")
	}
	rulestest.Into[any](p, p.do("mod", "POST", "/communities/town/mute", fmt.Sprintf(`{"channelId":%q,"seconds":60}`, random.ChannelID)))
	if p.says(bob, general, "x") == 0 || p.says(bob, random, "x") == 0 {
		t.Error("everybody muted in two channels")
	}
	rulestest.Into[any](p, p.do("mod", "POST", "/communities/town/unmute", fmt.Sprintf(`{"channelId":%q}`, general.ChannelID)))
	if p.says(bob, general, "x") != 0 || p.says(bob, random, "x") == 0 {
		t.Error("everybody unmuted in a channel")
	}
	w.Advance(61 * time.Second)
	if p.says(bob, random, "x") != 0 {
		t.Error("everybody muted in a channel for ever")
	}

	rulestest.Into[any](p, p.do("mod", "POST", "/communities/town/kick", `{"userIds":["bob"],"seconds":600,"hide":true}`))
	p.work()
	if isIn(p, "@TGS#_town", "bob") {
		t.Error("a kicked user is in")
	}
	if err := bob.Join("@TGS#_town"); imtest.Code(err) == 0 {
		t.Error("a kicked user may join")
	}
	if _, err := cat.Invite("@TGS#_town", "bob"); imtest.Code(err) == 0 || isIn(p, "@TGS#_town", "bob") {
		t.Errorf("a kicked user is brought in (%v)", err)
	}
	if h, err := cat.History("@TGS#_town", random.TopicID, 0, 20); err != nil || slices.ContainsFunc(h, func(m imtest.Message) bool { return m.From == "bob" }) {
		t.Errorf("messages of a kicked user are there: %v %v", h, err)
	}
	if a := p.do("bob", "GET", "/communities/town", ``); a.Status != http.StatusForbidden {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	// Let in while the store could not be asked: out again.
	if _, err := w.Client().AddGroupMembers(t.Context(), "@TGS#_town", []string{"bob"}, true); err != nil {
		t.Fatal(err)
	}
	p.work()
	if isIn(p, "@TGS#_town", "bob") {
		t.Error("a kicked user who was let in stays in")
	}
	w.Advance(601 * time.Second)
	if err := bob.Join("@TGS#_town"); err != nil {
		t.Errorf("a kick does not end: %v", err)
	}
	p.work()
	for _, c := range []struct {
		caller, user string
		status       int
	}{{"mod", "ann", 400}, {server, "ann", 400}, {"cat", "bob", 403}} {
		if a := p.do(c.caller, "POST", "/communities/town/kick", fmt.Sprintf(`{"userId":%q}`, c.user)); a.Status != c.status {
			t.Errorf("%+v: %d %s", c, a.Status, a.Text)
		}
	}
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/members/cat/role", `{"role":"moderator"}`))
	if a := p.do("mod", "POST", "/communities/town/kick", `{"userId":"cat"}`); a.Status != 403 {
		t.Errorf("a moderator restricts another: %d %s", a.Status, a.Text)
	}
	p.minutes(2)
	w.Quiet(p.ledger)
}

// Private channels: a Work group that those alone who are invited are in and see.
func TestPrivateChannels(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat", "mod")
	bob, cat := cl[0], cl[1]
	out := w.Login("out")
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/members/mod/role", `{"role":"moderator"}`))
	before := len(cat.Events())
	secret := p.adds("town", `{"name":"secret","kind":"private","category":"Text"}`, "secret")
	p.inStep("town")
	a := p.do("mod", "POST", path("town", secret, "/invitations"), `{"userId":"bob"}`)
	if got := rulestest.Into[community.Invitation](p, a); got.GroupID != secret.GroupID {
		t.Errorf("%+v", got)
	}
	p.work()
	if !isIn(p, secret.GroupID, "bob") || p.says(bob, secret, "psst") != 0 {
		t.Error("an invited user is not in")
	}
	sees := func(user string) bool {
		return strings.Contains(p.do(user, "GET", "/communities/town", ``).Text, secret.ChannelID)
	}
	if !sees("bob") || !sees("mod") || !sees("ann") || sees("cat") {
		t.Error("who sees a private channel")
	}
	for _, e := range cat.Events()[before:] {
		if text, err := json.Marshal(e); err != nil || strings.Contains(string(text), secret.GroupID) || strings.Contains(string(text), "secret") {
			t.Errorf("somebody outside was told %s", text)
		}
	}
	if strings.Contains(fmt.Sprint(p.group("@TGS#_town").Data), "secret") {
		t.Error("the group's fields name a private channel")
	}
	for name, try := range map[string]func() error{
		"to enter it":        func() error { return cat.Join(secret.GroupID) },
		"to be brought in":   func() error { _, err := bob.Invite(secret.GroupID, "cat"); return err },
		"to enter as nobody": func() error { return out.Join(secret.GroupID) },
		"an outsider invited": func() error {
			return status(p.do("mod", "POST", path("town", secret, "/invitations"), `{"userId":"out"}`))
		},
		"a member invites": func() error {
			return status(p.do("bob", "POST", path("town", secret, "/invitations"), `{"userId":"cat"}`))
		},
	} {
		if err := try(); err == nil || isIn(p, secret.GroupID, "cat") || isIn(p, secret.GroupID, "out") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Out of the community is out of its private channels.
	w.Must(bob.Quit("@TGS#_town"))
	p.work()
	if isIn(p, secret.GroupID, "bob") {
		t.Error("who left the community is in a private channel")
	}
	rulestest.Into[any](p, p.do("ann", "DELETE", path("town", secret, ""), ``))
	if p.group(secret.GroupID).GroupID != "" || strings.Contains(w.dump(), secret.GroupID) {
		t.Errorf("a deleted private channel is left:\n%s", w.dump())
	}
}

func status(a rulestest.Reply) error {
	if a.Status < 300 {
		return nil
	}
	return fmt.Errorf("%d %s", a.Status, a.Text)
}

// Roles: what they forbid is refused at the callbacks and routes from the next one
// on; the owner is never locked out.
func TestRoles(t *testing.T) {
	w := onBolt(t)
	w.conf.PermissionGroups = true
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "mod")
	bob := cl[0]
	general := p.channel("town", "general")
	role := func(who, user, role string) rulestest.Reply {
		return p.do(who, "PUT", "/communities/town/members/"+user+"/role", fmt.Sprintf(`{"role":%q}`, role))
	}
	if p.says(bob, general, "x") != 0 {
		t.Error("a member without a role may not write")
	}
	rulestest.Into[any](p, role("ann", "bob", "reader"))
	if p.says(bob, general, "x") == 0 {
		t.Error("a reader writes")
	}
	if g := p.group("@TGS#_town"); w.field("@TGS#_town", "bob", "role") != "reader" {
		t.Errorf("the member's field: %+v", g.Members)
	}
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/roles/reader", `{"permissions":["post"]}`))
	if p.says(bob, general, "x") != 0 {
		t.Error("a change of a role does not hold at the next callback")
	}
	rulestest.Into[any](p, role("ann", "mod", "moderator"))
	rulestest.Into[any](p, role("mod", "bob", "writer"))
	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"mod", "PUT", "/members/bob/role", `{"role":"moderator"}`, 403},
		{"mod", "PUT", "/members/mod/role", `{"role":""}`, 403},
		{"mod", "PUT", "/roles/moderator", `{"permissions":[]}`, 403},
		{"mod", "PUT", "/roles/boss", `{"permissions":["manage"]}`, 403},
		{"mod", "PUT", "/roles/fan", `{"permissions":["voice","post"]}`, 200},
		{"bob", "PUT", "/roles/fan", `{"permissions":[]}`, 403},
		{"bob", "PUT", "/members/bob/role", `{"role":""}`, 403},
		{"mod", "PUT", "/members/ann/role", `{"role":"reader"}`, 400},
		{server, "PUT", "/members/ann/role", `{"role":"reader"}`, 400},
		{"mod", "PUT", "/members/bob/role", `{"role":"none"}`, 404},
		{"mod", "PUT", "/members/nobody/role", `{"role":"fan"}`, 404},
		{"bob", "GET", "/members", ``, 403},
		{"mod", "GET", "/members?role=none", ``, 404},
	} {
		if a := p.do(c.who, c.method, "/communities/town"+c.path, c.body); a.Status != c.status {
			t.Errorf("%+v: %d %s", c, a.Status, a.Text)
		}
	}
	// The store says owner: no role of his own locks him out.
	if p.says(w.Login("ann"), general, "x") != 0 {
		t.Error("the owner may not write")
	}
	rulestest.Into[any](p, role("ann", "bob", ""))
	if a := p.do("mod", "GET", "/communities/town/members?role=writer", ``); strings.Contains(a.Text, "bob") {
		t.Error(a.Text)
	}
	p.minutes(2)
	w.Quiet(p.ledger)
}

// A deleted role is nobody's: at the next callback, in lists, in IM's fields and
// permission groups. Its name makes another, which nobody has.
func TestDeleteRole(t *testing.T) {
	w := onBolt(t)
	w.conf.PermissionGroups = true
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "mod", "cat")
	bob, general := cl[0], p.channel("town", "general")
	for user, role := range map[string]string{"bob": "reader", "mod": "moderator", "cat": "writer"} {
		rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/members/"+user+"/role", fmt.Sprintf(`{"role":%q}`, role)))
	}
	many := make([]string, 110) // more than one pass takes
	for i := range many {
		many[i] = fmt.Sprintf("user%03d", i)
		w.Login(many[i])
	}
	if _, err := w.Client().AddGroupMembers(t.Context(), prefix+"town", many, true); err != nil {
		t.Fatal(err)
	}
	p.work()
	for _, id := range many {
		rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/members/"+id+"/role", `{"role":"reader"}`))
	}
	if p.says(bob, general, "x") == 0 {
		t.Fatal("a reader writes")
	}
	for _, c := range []struct {
		who, role string
		status    int
	}{{"bob", "writer", 403}, {"mod", "moderator", 403}, {"ann", "none", 404}, {"mod", "reader", 200}, {"mod", "reader", 404}} {
		if a := p.do(c.who, "DELETE", "/communities/town/roles/"+c.role, ``); a.Status != c.status {
			t.Errorf("%+v: %d %s", c, a.Status, a.Text)
		}
		if c.status == 200 {
			if p.says(bob, general, "x") != 0 {
				t.Error("a deleted role holds at the next callback")
			}
			if a := p.do("ann", "PUT", "/communities/town/roles/reader", `{"permissions":[]}`); a.Status != http.StatusConflict {
				t.Errorf("a role that some still have: %d %s", a.Status, a.Text)
			}
		}
	}
	p.work()
	for _, user := range []string{"bob", many[0], many[109]} {
		if got := w.field(prefix+"town", user, "role"); got != "" {
			t.Errorf("IM shows %s with the role %q", user, got)
		}
	}
	groups, err := w.Client().PermissionGroups(t.Context(), prefix+"town", "@PMG#_moderator", "@PMG#_reader", "@PMG#_writer")
	if err != nil || slices.ContainsFunc(groups, func(g im.PermissionGroupInfo) bool { return g.Name == "reader" }) || len(groups) < 2 {
		t.Errorf("IM's permission groups: %+v %v", groups, err)
	}
	if text := w.dump(); strings.Contains(text, "r/reader/") || strings.Contains(text, `"role":"reader"`) || !strings.Contains(text, "r/writer/cat") {
		t.Errorf("left in the store:\n%s", text)
	}
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/roles/reader", `{"permissions":[]}`))
	if a := p.do("ann", "GET", "/communities/town/members?role=reader", ``); !strings.Contains(a.Text, `"members":[]`) || p.says(bob, general, "x") != 0 {
		t.Errorf("the members of the role before have the new one: %s", a.Text)
	}
	p.minutes(2)
	w.Quiet(p.ledger)
}

// Members are listed by role, page by page; what comes late, twice or out of order
// changes nothing.
func TestMembers(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("user%02d", i)
		p.enters("town", id)
		if i%2 == 0 {
			rulestest.Into[any](p, p.do(server, "PUT", "/communities/town/members/"+id+"/role", `{"role":"writer"}`))
			want = append(want, id)
		}
	}
	list := func(query string) (ids []string) {
		for after, pages := "", 0; ; pages++ {
			got := rulestest.Into[struct {
				Members []community.Member
				Next    string
			}](p, p.do(server, "GET", "/communities/town/members?limit=4"+query+after, ``))
			for _, m := range got.Members {
				ids = append(ids, m.UserID)
			}
			if got.Next == "" || pages > 20 {
				slices.Sort(ids)
				return ids
			}
			after = "&after=" + got.Next
		}
	}
	if got := list("&role=writer"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := list(""); len(got) != 26 { // and the owner
		t.Errorf("%d members: %q", len(got), got)
	}
	at := func(d time.Duration) callback.Millis { return callback.Millis(w.Clock.Now().Add(d).UnixMilli()) }
	member := []callback.Member{{UserID: "user00"}}
	w.Heard(&callback.GroupAfterMemberExit{Base: callback.Base{CallbackCommand: "Group.CallbackAfterMemberExit"}, GroupID: "@TGS#_town", Type: "Community", ExitType: "Quit", Operator: "user00", ExitMembers: member, EventTime: at(-time.Hour)})
	if got := list("&role=writer"); !slices.Contains(got, "user00") {
		t.Error("an exit from before the joining takes a member away")
	}
	w.Advance(time.Second)
	exit := &callback.GroupAfterMemberExit{Base: callback.Base{CallbackCommand: "Group.CallbackAfterMemberExit"}, GroupID: "@TGS#_town", Type: "Community", ExitType: "Quit", Operator: "user00", ExitMembers: member, EventTime: at(0)}
	join := &callback.GroupAfterNewMemberJoin{Base: callback.Base{CallbackCommand: "Group.CallbackAfterNewMemberJoin"}, GroupID: "@TGS#_town", Type: "Community", JoinType: "Apply", Operator: "user00", NewMembers: member, EventTime: at(-500 * time.Millisecond)}
	w.Heard(exit)
	w.Heard(join) // the older of the two, later
	w.Heard(exit)
	if got := list(""); slices.Contains(got, "user00") || len(got) != 25 {
		t.Errorf("%q", got)
	}
	// Of whom no callback told, IM knows.
	if a := p.do("user00", "GET", "/communities/town", ``); a.Status != http.StatusForbidden {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	w.Serve(callback.NewMux())
	w.Must(w.Login("stranger").Join("@TGS#_town"))
	if a := p.do("stranger", "GET", "/communities/town", ``); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// Totals and unread: recalled messages count as read, and a deleted channel counts
// nothing.
func TestUnread(t *testing.T) {
	w := onBolt(t)
	w.conf.Welcome = "Welcome, {user}!"
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat")
	bob := cl[0]
	general, random := p.channel("town", "general"), p.channel("town", "random")
	welcomes := textsOf(w, general)
	slices.Sort(welcomes) // callbacks overtake one another
	if got := fmt.Sprint(welcomes); got != "[Welcome, bob! Welcome, cat!]" {
		t.Errorf("welcomed with %s", got)
	}
	w.Redeliver(p.ledger)
	for range 3 {
		p.says(bob, random, "x")
	}
	unread := func(user string) (community.Totals, uint32) {
		got := rulestest.Into[community.Totals](p, p.do(user, "GET", "/communities/town/totals", ``))
		return got, *got.Unread
	}
	totals, n := unread("cat")
	if totals.Members != 3 || n != 5 {
		t.Errorf("%+v, %d unread", totals, n)
	}
	rulestest.Into[any](p, p.do("cat", "POST", path("town", random, "/read"), `{"msgSeq":1}`))
	rulestest.Into[any](p, p.do("cat", "POST", path("town", random, "/read"), `{"msgSeq":99}`))
	rulestest.Into[any](p, p.do("cat", "POST", path("town", random, "/read"), `{"msgSeq":2}`)) // an older report
	if _, n := unread("cat"); n != 2 {
		t.Errorf("%d unread", n)
	}
	p.says(bob, random, "x")
	p.says(bob, random, "x")
	w.Must(bob.Recall("@TGS#_town", random.TopicID, 5))
	w.Must(bob.Recall("@TGS#_town", random.TopicID, 2))
	p.work()
	if _, n := unread("cat"); n != 3 {
		t.Errorf("%d unread, a recalled one among them", n)
	}
	if _, err := bob.Send("@TGS#_town", imtest.Draft{Text: "typing", TopicID: random.TopicID, OnlineOnly: true}); err != nil {
		t.Fatal(err)
	}
	p.work()
	if _, n := unread("cat"); n != 3 {
		t.Errorf("%d unread, one that is in no history among them", n)
	}
	w.Must(bob.Recall("@TGS#_town", random.TopicID, 4))
	p.work()
	rulestest.Into[any](p, p.do("ann", "DELETE", path("town", general, ""), ``))
	if got, n := unread("cat"); n != 0 || len(got.Channels) != 3 {
		t.Errorf("%d unread of %+v", n, got)
	}
	if a := p.do(server, "GET", "/communities/town/totals", ``); strings.Contains(a.Text, "unread") {
		t.Error(a.Text)
	}
	if strings.Contains(w.dump(), general.Short()) {
		t.Error("a deleted channel is left in the store")
	}
}

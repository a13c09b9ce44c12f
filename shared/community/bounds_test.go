package community_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// What a community has the most of is refused as one more, with a sentence, and
// nothing is written.
func TestBounds(t *testing.T) {
	w := onBolt(t)
	store := &watched{Store: w.store}
	p := w.process(store)
	is := p.opens("town")
	bob := p.enters("town", "bob")[0]
	general := p.channel("town", "general")
	p.says(bob, general, "x")
	stored, err := p.communities.Get(t.Context(), "town")
	w.Must(err)
	tooMany := func(method, path, body string, key ...string) {
		t.Helper()
		p.work()
		store.changes()
		before := w.dump()
		a := p.do("ann", method, "/communities/town"+path, body, key...)
		if a.Status != http.StatusBadRequest || a.Code != "invalid" {
			t.Errorf("%s %s: %d %s", method, path, a.Status, a.Text)
		}
		if changed := store.changes(); len(changed) > 0 || w.dump() != before {
			t.Errorf("%s %s changed %s", method, path, changed)
		}
	}

	// The field of a group that holds the names of categories has 512 bytes.
	for i := 0; ; i++ {
		left := community.MaxField - len(p.group(is.CommunityID).Data["categories"]) - len(`,""`)
		if left < 2 {
			break
		}
		one := strings.Repeat("n", min(left, 30)-2) + fmt.Sprintf("%02d", i)
		rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/categories", fmt.Sprintf(`{"name":%q}`, one), one))
	}
	tooMany("POST", "/categories", fmt.Sprintf(`{"name":"%s"}`, strings.Repeat("z", 30)), "category")
	tooMany("POST", "/channels", fmt.Sprintf(`{"name":"x","category":"%s"}`, strings.Repeat("z", 30)), "channel")
	version := p.get("town").Version
	tooMany("PATCH", "/channels/"+general.Short(), fmt.Sprintf(`{"category":"%s","version":%d}`, strings.Repeat("z", 30), version))
	tooMany("PATCH", "/categories/Text", fmt.Sprintf(`{"name":"%s","version":%d}`, strings.Repeat("z", 30), version))
	if field := p.group(is.CommunityID).Data["categories"]; len(field) > community.MaxField || len(field) < community.MaxField-5 {
		t.Errorf("%d bytes of names", len(field))
	}

	for i := 3; i < community.MaxRoles; i++ { // the template has three
		rulestest.Into[any](p, p.do("ann", "PUT", fmt.Sprintf("/communities/town/roles/role%d", i), `{"permissions":[]}`))
	}
	tooMany("PUT", "/roles/another", `{"permissions":[]}`)
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/roles/role9", `{"permissions":["post"]}`))

	reaction := func(i int) string { return fmt.Sprintf("/channels/%s/messages/1/reactions/e%d", general.Short(), i) }
	for i := range mark.MaxEmojis {
		rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town"+reaction(i), ``))
	}
	tooMany("PUT", reaction(mark.MaxEmojis), ``)
	rulestest.Into[any](p, p.do("bob", "PUT", "/communities/town"+reaction(0), ``))
	p.later(3)

	for i := range thread.MaxTopics + thread.MaxGroups {
		writes := []kv.Write{kv.Put{Key: fmt.Sprintf("t/t-%016x", i), Value: []byte(`{"form":"topic"}`), If: kv.Absent()}}
		if i < thread.MaxGroups {
			writes = append(writes, kv.Put{Key: fmt.Sprintf("g/t-%016x", i), Value: []byte{}, If: kv.Absent()})
		}
		w.Must(w.store.Commit(t.Context(), fmt.Sprintf("community-threads/%s/%013d", stored.CommunityID, stored.Generation), kv.NewOp("test"), writes...))
	}
	for i, form := range []thread.Form{thread.Topic, thread.Group} {
		tooMany("POST", "/threads", fmt.Sprintf(`{"name":"x","channelId":%q,"form":%q}`, general.ChannelID, form), fmt.Sprint("thread", i))
	}
}

// A community has a bound of pinned messages, over all of its channels.
func TestAllPins(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	full := make([]uint32, community.MaxPins)
	for i := range full {
		full[i] = uint32(i + 1)
	}
	pin := func(i int, seqs []uint32) error {
		ch := p.adds("town", fmt.Sprintf(`{"name":"c%d"}`, i), fmt.Sprint("channel", i))
		_, err := p.communities.ChangePins(t.Context(), api.Caller{Server: "shop"}, "town", ch.ChannelID, func([]uint32) ([]uint32, error) { return seqs, nil })
		return err
	}
	for i := range community.MaxAllPins / community.MaxPins {
		w.Must(pin(i, full))
	}
	if err := pin(99, full[:1]); err == nil {
		t.Error("one pin more than a community has")
	}
	if n := len(p.group(prefix + "town").Data["pins"]); n > community.MaxField {
		t.Errorf("%d bytes of pins", n)
	}
}

// A template with a fault is refused before the program starts.
func TestTemplate(t *testing.T) {
	many := `{"name":"a","channels":[` + strings.Repeat(`{"name":"x"},`, community.MaxChannels) + `{"name":"x"}]}`
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf(`{"name":"%028d","channels":[]}`, i))
	}
	var roles []string
	for i := range community.MaxRoles + 1 {
		roles = append(roles, fmt.Sprintf(`"r%d":[]`, i))
	}
	for _, c := range []struct{ categories, roles string }{
		{`{}`, ``},
		{`[{"name":"a","chanels":[]}]`, ``},
		{`[{"name":""}]`, ``},
		{`[{"name":"a"},{"name":"a"}]`, ``},
		{`[{"name":"` + strings.Repeat("n", 31) + `"}]`, ``},
		{`[{"name":"a","channels":[{"name":""}]}]`, ``},
		{`[{"name":"a","channels":[{"name":"x","kind":"video"}]}]`, ``},
		{`[{"name":"a","channels":[{"name":"x","slowModeSeconds":-1}]}]`, ``},
		{`[` + many + `]`, ``},
		{`[` + strings.Join(names, ",") + `]`, ``},
		{``, `[]`},
		{``, `{"a":["fly"]}`},
		{``, `{"a b":[]}`},
		{``, `{"":[]}`},
		{``, `{` + strings.Join(roles, ",") + `}`},
	} {
		if _, err := community.ParseTemplate(c.categories, c.roles); err == nil {
			t.Errorf("%.60s %s is accepted", c.categories, c.roles)
		}
	}
	got, err := community.ParseTemplate(`[{"name":"a","channels":[{"name":"x"},{"name":"y","kind":"private","slowModeSeconds":5}]},{"name":"b"}]`, `{"m":["voice","post","post"]}`)
	if err != nil || len(got.Categories) != 2 || got.Categories[0].Channels[0].Kind != community.Text || fmt.Sprint(got.Roles) != "[{m [post voice]}]" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A private channel holds as many as IM's edition lets a Work group have. Whoever finds
// it full is told, sees nothing of it, and may be invited again.
func TestPrivateChannelIsFull(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	p.enters("town", "bob", "cat")
	secret := p.adds("town", `{"name":"secret","kind":"private"}`, "secret")
	invite := func(user string) rulestest.Reply {
		return p.do("ann", "POST", path("town", secret, "/invitations"), fmt.Sprintf(`{"userId":%q}`, user))
	}
	w.seats(secret.GroupID, 2) // ann has one
	rulestest.Into[any](p, invite("bob"))
	rulestest.Into[any](p, invite("bob"))
	if a := invite("cat"); a.Status != http.StatusConflict || a.Code != "conflict" {
		t.Errorf("into a full channel: %d %s", a.Status, a.Text)
	}
	p.minutes(3)
	if strings.Contains(p.do("cat", "GET", "/communities/town", ``).Text, secret.ChannelID) || !isIn(p, secret.GroupID, "bob") {
		t.Error("a full channel: bob is to be in it, and cat not to be shown it")
	}
	rulestest.Into[any](p, p.do("ann", "DELETE", path("town", secret, "/invitations/bob"), ``))
	rulestest.Into[any](p, invite("cat"))
	if !isIn(p, secret.GroupID, "cat") || isIn(p, secret.GroupID, "bob") {
		t.Error("a channel with room again: cat is to be in it, and bob not")
	}
	w.Quiet(p.ledger)
}

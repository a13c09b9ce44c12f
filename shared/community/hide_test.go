package community_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// What a kick hides is unread by nobody and pinned nowhere, also where the hidden
// messages are the last ones of a channel, or all.
func TestKickHides(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat")
	bob, cat := cl[0], cl[1]
	general, random := p.channel("town", "general"), p.channel("town", "random")
	for range 3 {
		p.says(bob, general, "old spam") // 1 to 3
	}
	for range 22 {
		p.says(cat, general, "x") // 4 to 25
	}
	for range 45 {
		p.says(bob, general, "spam") // 26 to 70
	}
	p.says(bob, random, "spam")
	for _, one := range []struct {
		ch  community.Channel
		seq uint32
	}{{general, 2}, {general, 5}, {general, 70}, {random, 1}} {
		rulestest.Into[any](p, p.do("ann", "PUT", messagePath("town", one.ch, one.seq, "/pin"), ``))
	}
	rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/kick", `{"userId":"bob","hide":true}`))
	p.work()
	p.minutes(2)
	rulestest.Into[any](p, p.do("cat", "POST", path("town", general, "/read"), `{"msgSeq":25}`)) // the last that is there
	for _, one := range rulestest.Into[community.Totals](p, p.do("cat", "GET", "/communities/town/totals", ``)).Channels {
		if *one.Unread != 0 {
			t.Errorf("%d unread in %s", *one.Unread, one.ChannelID)
		}
	}
	if got := p.do("cat", "GET", path("town", general, "/pins"), ``); strings.TrimSpace(got.Text) != `{"pins":[{"msgSeq":5}]}` {
		t.Errorf("%s", got.Text)
	}
	if got := p.group(prefix + "town").Data["pins"]; got != fmt.Sprintf(`{%q:[5]}`, general.Short()) {
		t.Errorf("%s", got)
	}
}

// A user who left is remembered while a restriction holds, and a day longer.
func TestRestrictionsAreForgotten(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat", "dan", "eve")
	is, err := p.communities.Get(t.Context(), "town")
	w.Must(err)
	kept := func() (users []string) {
		for shard := range 16 {
			page, err := w.store.List(t.Context(), fmt.Sprintf("community-members/%s/%013d/%02d", is.CommunityID, is.Generation, shard), kv.Range{Prefix: "m/"})
			w.Must(err)
			for _, item := range page.Items {
				users = append(users, strings.TrimPrefix(item.Key, "m/"))
			}
		}
		return users
	}
	rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/mute", `{"userId":"eve","seconds":60}`))
	rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/mute", fmt.Sprintf(`{"userId":"dan","channelId":%q,"seconds":60}`, p.channel("town", "general").ChannelID)))
	w.Must(cl[2].Quit(is.CommunityID))
	rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/kick", `{"userId":"bob","seconds":172800}`))
	rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/kick", `{"userId":"cat"}`))
	p.work()
	for _, step := range []struct {
		after time.Duration
		kept  int
	}{{0, 5}, {24 * time.Hour, 5}, {2 * time.Hour, 4}, {24 * time.Hour, 4}, {24 * time.Hour, 3}} { // ann, cat and eve stay
		w.Advance(step.after)
		if got := kept(); len(got) != step.kept {
			t.Errorf("after another %s %v are kept, want %d", step.after, got, step.kept)
		}
	}
	if a := p.do("cat", "GET", "/communities/town", ``); a.Status != http.StatusForbidden {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

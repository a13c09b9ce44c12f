package community_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// watched is a store that knows which partitions were changed.
type watched struct {
	kv.Store
	mu      sync.Mutex
	changed []string
}

func (s *watched) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	s.mu.Lock()
	if !strings.HasPrefix(partition, "idem/") { // answers that are kept
		s.changed = append(s.changed, partition)
	}
	s.mu.Unlock()
	return s.Store.Commit(ctx, partition, op, writes...)
}

func (s *watched) changes() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, s.changed = s.changed, nil
	return list
}

// TestBadInputChangesNothing: what a caller may not ask, or asks in a wrong form, is a
// clear answer, and the store is as it was.
func TestBadInputChangesNothing(t *testing.T) {
	w := onBolt(t)
	store := &watched{Store: w.store}
	p := w.process(store)
	p.opens("town")
	p.opens("city")
	bob := p.enters("town", "bob", "cat")[0]
	general, lobby := p.channel("town", "general"), p.channel("town", "lobby")
	foreign := p.channel("city", "general")
	secret := p.adds("town", `{"name":"secret","kind":"private"}`, "secret")
	p.says(bob, general, "hello")
	p.says(bob, general, "recalled")
	w.Must(bob.Recall(general.GroupID, general.TopicID, 2))
	p.work()
	for i := 0; len(p.get("town").Channels()) < community.MaxChannels; i++ {
		rulestest.Into[any](p, p.do(server, "POST", "/communities/town/channels", fmt.Sprintf(`{"name":"c%d","category":"Voice"}`, i), fmt.Sprint("many", i)))
	}
	version := p.get("town").Version
	store.changes()
	w.dump()
	before := w.dump()
	long := strings.Repeat("é", 16) // 32 bytes
	text := `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]}`
	of := func(ch community.Channel, rest string) string {
		return "/channels/" + url.PathEscape(ch.ChannelID) + rest
	}
	for i, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		// Names over the byte limits, and the 201st channel.
		{"ann", "POST", "/channels", fmt.Sprintf(`{"name":%q}`, long), 400},
		{"ann", "POST", "/channels", `{"name":""}`, 400},
		{"ann", "POST", "/channels", `{"name":"two\nlines"}`, 400},
		{"ann", "POST", "/channels", `{"name":"x","kind":"video"}`, 400},
		{"ann", "POST", "/channels", `{"name":"x","slowModeSeconds":-1}`, 400},
		{"ann", "POST", "/channels", `{"name":"x","slowModeSeconds":21601}`, 400},
		{"ann", "POST", "/channels", `{"name":"one too many"}`, 400},
		{"ann", "POST", "/channels", `{"name":"x","topic":"y"}`, 400},
		{"ann", "POST", "/channels", `{"name":"x","version":1}`, 409},
		{"ann", "PATCH", of(general, ""), fmt.Sprintf(`{"name":%q,"version":%d}`, long, version), 400},
		{"ann", "PATCH", of(general, ""), fmt.Sprintf(`{"category":%q,"version":%d}`, long, version), 400},
		{"ann", "PATCH", of(general, ""), fmt.Sprintf(`{"kind":"private","version":%d}`, version), 400},
		{"ann", "PATCH", of(secret, ""), fmt.Sprintf(`{"kind":"text","version":%d}`, version), 400},
		{"ann", "PATCH", of(general, ""), fmt.Sprintf(`{"position":-1,"version":%d}`, version), 400},
		{"ann", "PATCH", of(general, ""), `{"name":"x"}`, 400},
		{"ann", "PATCH", of(general, ""), `{"name":"x","version":0}`, 400},
		{"ann", "PATCH", of(general, ""), `{"name":"x","version":"2"}`, 400},
		{"ann", "DELETE", of(general, "?version=x"), ``, 400},
		{"ann", "DELETE", of(general, "?version=1"), ``, 409},
		{"ann", "POST", "/categories", fmt.Sprintf(`{"name":%q}`, long), 400},
		{"ann", "POST", "/categories", `{"name":"Text"}`, 409},
		{"ann", "DELETE", "/categories/Text", ``, 400},
		{"ann", "DELETE", "/categories/none", ``, 404},
		{"ann", "PATCH", "", fmt.Sprintf(`{"name":%q,"version":%d}`, long, version), 400},
		// A missing topic, a foreign server.
		{"ann", "DELETE", "/channels/none", ``, 404},
		{"ann", "DELETE", of(foreign, ""), ``, 404},
		{"ann", "PATCH", of(foreign, ""), fmt.Sprintf(`{"name":"x","version":%d}`, version), 404},
		{"bob", "PUT", of(foreign, "/messages/1/reactions/x"), ``, 404},
		// Callers who may not.
		{"bob", "POST", "/channels", `{"name":"x"}`, 403},
		{"bob", "PATCH", of(general, ""), fmt.Sprintf(`{"name":"x","version":%d}`, version), 403},
		{"bob", "DELETE", of(general, ""), ``, 403},
		{"bob", "POST", "/categories", `{"name":"x"}`, 403},
		{"bob", "POST", "/mute", `{"userId":"cat"}`, 403},
		{"bob", "POST", "/kick", `{"userId":"cat"}`, 403},
		{"bob", "DELETE", "", ``, 403},
		{"bob", "PUT", "/roles/x", `{"permissions":[]}`, 403},
		{"out", "GET", "", ``, 403},
		{"out", "GET", "/totals", ``, 403},
		{"out", "GET", "/voice", ``, 403},
		{"out", "GET", "/threads", ``, 403},
		{"out", "PUT", of(general, "/messages/1/reactions/x"), ``, 403},
		{"out", "GET", of(general, "/pins"), ``, 403},
		{"cat", "GET", of(secret, "/pins"), ``, 404},
		{"cat", "POST", of(secret, "/read"), `{"msgSeq":1}`, 404},
		// Roles and members.
		{"ann", "PUT", "/members/bob/role", `{"role":"none"}`, 404},
		{"ann", "PUT", "/members/b b/role", `{"role":"reader"}`, 400},
		{"ann", "PUT", "/members/bob/role", `{}`, 400},
		{"ann", "PUT", "/roles/x", `{"permissions":["fly"]}`, 400},
		{"ann", "PUT", "/roles/x", `{}`, 400},
		{"ann", "PUT", "/roles/" + strings.Repeat("r", 33), `{"permissions":[]}`, 400},
		{"ann", "GET", "/members?limit=101", ``, 400},
		{"ann", "GET", "/members?after=x", ``, 400},
		// Restrictions.
		{"ann", "POST", "/mute", `{"userId":"bob","seconds":0}`, 400},
		{"ann", "POST", "/mute", `{"userId":"b b"}`, 400},
		{"ann", "POST", "/mute", `{"userId":"bob","channelId":"none"}`, 404},
		{"ann", "POST", "/mute", fmt.Sprintf(`{"channelId":%q}`, secret.ChannelID), 400},
		{"ann", "POST", "/mute", `{"channelId":"none"}`, 404},
		{"bob", "POST", "/mute", fmt.Sprintf(`{"channelId":%q}`, general.ChannelID), 403},
		{"ann", "POST", "/mute", fmt.Sprintf(`{"userId":"bob","channelId":%q}`, secret.ChannelID), 400},
		{"ann", "POST", "/kick", `{}`, 400},
		{"ann", "POST", "/kick", `{"userIds":["bob","bob"]}`, 400},
		{"ann", "POST", "/kick", fmt.Sprintf(`{"userId":"bob","channelId":%q}`, general.ChannelID), 400},
		{"ann", "POST", of(general, "/invitations"), `{"userId":"bob"}`, 400},
		{"ann", "POST", of(secret, "/invitations"), `{"userId":"out"}`, 404},
		{"ann", "POST", of(secret, "/invitations"), `{}`, 400},
		{"ann", "DELETE", of(secret, "/invitations/"+strings.Repeat("x", 600)), ``, 400},
		{"ann", "DELETE", of(secret, "/invitations/%00"), ``, 400},
		{"ann", "GET", "/restrictions/" + strings.Repeat("x", 600), ``, 400},
		{"ann", "GET", "/restrictions/%ff", ``, 400},
		// Messages.
		{"bob", "PUT", of(general, "/messages/1/reactions/"+strings.Repeat("x", 1024)), ``, 400},
		{"bob", "PUT", of(general, "/messages/1/reactions/a%20b"), ``, 400},
		{"bob", "PUT", of(general, "/messages/2/reactions/x"), ``, 404},
		{"bob", "PUT", of(general, "/messages/9/reactions/x"), ``, 404},
		{"bob", "PUT", of(general, "/messages/-1/reactions/x"), ``, 400},
		{server, "PUT", of(general, "/messages/1/reactions/x"), ``, 403},
		{"ann", "PUT", of(general, "/messages/2/pin"), ``, 404},
		{"bob", "PUT", of(general, "/messages/1/pin"), ``, 403},
		{"cat", "PATCH", of(general, "/messages/1"), text, 403},
		{"ann", "PATCH", of(general, "/messages/2"), text, 404},
		{"bob", "PATCH", of(general, "/messages/1"), `{"msgBody":[]}`, 400},
		// Sub-channels and voice.
		{"bob", "POST", "/threads", fmt.Sprintf(`{"name":"x","channelId":%q,"msgSeq":2}`, general.ChannelID), 404},
		{"bob", "POST", "/threads", fmt.Sprintf(`{"name":%q,"channelId":%q}`, long, general.ChannelID), 400},
		{"ann", "POST", "/threads", fmt.Sprintf(`{"name":"x","channelId":%q}`, secret.ChannelID), 400},
		{"bob", "POST", "/threads", fmt.Sprintf(`{"name":"x","channelId":%q}`, foreign.ChannelID), 404},
		{"bob", "PUT", "/voice/" + url.PathEscape(general.ChannelID) + "/me", `{}`, 400},
		{"out", "POST", "/threads", `{"name":"x","channelId":"none"}`, 403},
		{"bob", "GET", "/threads/none", ``, 404},
		{"bob", "GET", "/threads/t-" + strings.Repeat("0", 600), ``, 404},
		{"bob", "DELETE", "/threads/t-%00", ``, 404},
		{"bob", "PUT", "/voice/none/me", `{}`, 404},
		{"bob", "PUT", "/voice/" + url.PathEscape(lobby.ChannelID) + "/me", `{"deaf":true}`, 400},
		{"out", "PUT", "/voice/" + url.PathEscape(lobby.ChannelID) + "/me", `{}`, 403},
	} {
		a := p.do(c.who, c.method, "/communities/town"+strings.ReplaceAll(c.path, " ", "%20"), c.body, keyFor(c.method, i)...)
		if a.Status != c.status || a.Code == "" || a.Code == "internal" {
			t.Errorf("%s %s %.60s of %q: %d %s, want %d", c.method, c.path, c.body, c.who, a.Status, a.Text, c.status)
		}
		if changed := store.changes(); len(changed) > 0 {
			t.Errorf("%s %s %.60s of %q changed %s", c.method, c.path, c.body, c.who, changed)
		}
	}
	for i, c := range []struct {
		body   string
		status int
	}{
		{`{"name":"x"}`, 400},
		{`{"communityId":"` + strings.Repeat("x", 43) + `","name":"x","owner":"ann"}`, 400},
		{`{"communityId":"a b","name":"x","owner":"ann"}`, 400},
		{`{"communityId":"a/b","name":"x","owner":"ann"}`, 400},
		{`{"communityId":"x@TOPIC#_y","name":"x","owner":"ann"}`, 400},
		{`{"communityId":"x","name":"` + long + `","owner":"ann"}`, 400},
		{`{"communityId":"x","name":"x","owner":"a b"}`, 400},
		{`{"communityId":"x","name":"x","owner":"@RBT#1"}`, 400},
		{`{"communityId":"x","name":"x","owner":"ann","roles":{}}`, 400},
		{`{"communityId":"town","name":"x","owner":"ann"}`, 409},
	} {
		if a := p.do(server, "POST", "/communities", c.body, fmt.Sprint("bad", i)); a.Status != c.status {
			t.Errorf("%s: %d %s", c.body, a.Status, a.Text)
		}
		if changed := store.changes(); len(changed) > 0 {
			t.Errorf("%s changed %s", c.body, changed)
		}
	}
	if a := p.do("ann", "POST", "/communities", `{"communityId":"x","name":"x","owner":"ann"}`, "user"); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if a := p.do(server, "POST", "/communities", `{"communityId":"x","name":"x","owner":"ann"}`); a.Status != 400 {
		t.Errorf("without a key: %d %s", a.Status, a.Text)
	}
	if w.dump() != before {
		t.Error("the store has changed")
	}
}

func keyFor(method string, i int) []string {
	if method != "POST" {
		return nil
	}
	return []string{fmt.Sprint("bad-input-", i)}
}

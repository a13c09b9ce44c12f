package liveroom_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// TestBadInputChangesNothing: what a caller may not ask, or asks in a wrong form, is
// a clear answer, and the store is as it was.
func TestBadInputChangesNothing(t *testing.T) {
	w := onBolt(t)
	store := &watched{Store: w.store}
	p := w.process(store)
	p.opens("show")
	rulestest.Into[any](p, p.do(server, "POST", "/rooms", `{"roomId":"other","name":"Other","owner":"cat","moderators":["mod2"]}`, "k"))
	p.becomes("show", liveroom.Live)
	store.changes()
	long := strings.Repeat("x", 49)
	many := `["u` + strings.Join(strings.Split(strings.Repeat("u", 101), ""), `1","v`) + `"]`
	for _, c := range []struct {
		caller, method, path, body string
		status                     int
		code                       string
	}{
		// Rooms that are none.
		{"ann", "GET", "/rooms/nowhere", ``, 404, "not_found"},
		{"ann", "PUT", "/rooms/nowhere/status", `{"status":"live","version":1}`, 404, "not_found"},
		{"ann", "POST", "/rooms/nowhere/kick", `{"userId":"bob"}`, 404, "not_found"},
		{"ann", "POST", "/rooms/nowhere/close", `{}`, 404, "not_found"},
		{"ann", "GET", "/rooms/nowhere/history", ``, 404, "not_found"},
		{"ann", "POST", "/rooms/nowhere/media", `{"role":"audience"}`, 404, "not_found"},
		{"ann", "GET", "/rooms/nowhere/anchor", ``, 404, "not_found"},
		{"ann", "PUT", "/rooms/nowhere/subscription", ``, 404, "not_found"},
		{server, "PUT", "/rooms/nowhere/memberships/bob", `{"level":1}`, 404, "not_found"},
		{server, "GET", "/broadcasts/nowhere", ``, 404, "not_found"},
		{"ann", "GET", "/rooms/" + long, ``, 404, "not_found"},
		{"ann", "GET", "/rooms/%00", ``, 404, "not_found"},

		// Callers who may not.
		{"bob", "PUT", "/rooms/show/status", `{"status":"paused","version":2}`, 403, "forbidden"},
		{"mod2", "PUT", "/rooms/show/status", `{"status":"paused","version":2}`, 403, "forbidden"},
		{"mod2", "PUT", "/rooms/show/notice", `{"notice":"mine now","version":2}`, 403, "forbidden"},
		{"mod2", "POST", "/rooms/show/kick", `{"userId":"bob"}`, 403, "forbidden"},
		{"mod2", "POST", "/rooms/show/mute", `{}`, 403, "forbidden"},
		{"mod2", "POST", "/rooms/show/close", `{}`, 403, "forbidden"},
		{"ann", "POST", "/rooms", `{"roomId":"mine","name":"x","owner":"ann"}`, 403, "forbidden"},
		{"ann", "POST", "/broadcast", `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]}`, 403, "forbidden"},
		{"ann", "PUT", "/rooms/show/memberships/ann", `{"level":9}`, 403, "forbidden"},
		{"bob", "POST", "/rooms/show/media", `{"role":"anchor"}`, 403, "forbidden"},

		// Versions and transitions.
		{"ann", "PUT", "/rooms/show/status", `{"status":"paused","version":1}`, 409, "conflict"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"paused","version":3}`, 409, "conflict"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"paused"}`, 400, "invalid"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"waiting","version":2}`, 409, "illegal_transition"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"live","version":2}`, 409, "illegal_transition"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"replay","version":2}`, 409, "illegal_transition"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"closed","version":2}`, 400, "invalid"},
		{"ann", "PUT", "/rooms/show/notice", `{"notice":"old","version":1}`, 409, "conflict"},
		{"ann", "PUT", "/rooms/show/notice", `{"version":2}`, 400, "invalid"},
		{"ann", "PUT", "/rooms/show/notice", `{"notice":"` + strings.Repeat("n", 301) + `","version":2}`, 400, "invalid"},
		{"ann", "PUT", "/rooms/show/notice", `{"introduction":"` + strings.Repeat("n", 241) + `","version":2}`, 400, "invalid"},

		// Forms.
		{"ann", "PUT", "/rooms/show/status", `{"status":"paused","version":2,"force":true}`, 400, "invalid"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"paused","version":"2"}`, 400, "invalid"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"paused","version":2.5}`, 400, "invalid"},
		{"ann", "PUT", "/rooms/show/status", `{"status":"paused","version":2`, 400, "invalid"},
		{"ann", "PUT", "/rooms/show/status", `[]`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","seconds":0}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","seconds":-5}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","seconds":9223372036854775807}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","seconds":99999999999999999999}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","seconds":1e3}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"b b"}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"@RBT#001"}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","reason":"` + strings.Repeat("x", 201) + `"}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","reason":"two\nlines"}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","reason":"<script>"}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userIds":[]}`, 400, "invalid"},
		{server, "POST", "/rooms/show/mute", `{"userId":"bob","hide":true}`, 400, "invalid"},
		{server, "POST", "/rooms/show/unkick", `{"userId":"bob","hide":true}`, 400, "invalid"},
		{server, "POST", "/rooms/show/kick", `{}`, 400, "invalid"},
		{server, "POST", "/rooms/show/kick", `{"userIds":` + many + `}`, 400, "invalid"},
		{server, "POST", "/rooms/show/kick", `{"userIds":["bob","bob"]}`, 400, "invalid"},
		{server, "POST", "/rooms/show/kick", `{"userIds":["bob"],"userId":"bob"}`, 400, "invalid"},
		{server, "POST", "/rooms/show/kick", `{"userIds":["bob","ann"]}`, 400, "invalid"},
		{server, "POST", "/rooms/show/close", `{"why":"late"}`, 400, "invalid"},
		{"bob", "POST", "/rooms/show/media", `{"role":"admin"}`, 400, "invalid"},
		{server, "PUT", "/rooms/show/memberships/bob", `{}`, 400, "invalid"},
		{server, "PUT", "/rooms/show/memberships/bob", `{"level":-1}`, 400, "invalid"},
		{server, "PUT", "/rooms/show/memberships/bob", `{"level":1001}`, 400, "invalid"},
		{server, "PUT", "/rooms/show/memberships/bob", `{"level":1,"until":"2001-01-01T00:00:00Z"}`, 400, "invalid"},
		{server, "PUT", "/rooms/show/memberships/bob", `{"level":1,"until":"tomorrow"}`, 400, "invalid"},
		{"bob", "GET", "/rooms?limit=101", ``, 400, "invalid"},
		{"bob", "GET", "/rooms?limit=0", ``, 400, "invalid"},
		{"bob", "GET", "/rooms?sort=name", ``, 400, "invalid"},
		{"bob", "GET", "/rooms/show/history?after=x", ``, 400, "invalid"},
		{"bob", "GET", "/rooms/show/history?after=0000000009.51", ``, 400, "invalid"},
		{server, "PUT", "/rooms/show/subscription", ``, 403, "forbidden"},
	} {
		a := p.do(c.caller, c.method, c.path, c.body)
		if a.Status != c.status || a.Code != c.code {
			t.Errorf("%s %s %.60s of %q: %d %s, want %d %s", c.method, c.path, c.body, c.caller, a.Status, a.Text, c.status, c.code)
		}
		if changed := store.changes(); len(changed) > 0 {
			t.Errorf("%s %s %.60s of %q changed %s", c.method, c.path, c.body, c.caller, changed)
		}
	}
	// New rooms and broadcasts, which take a key.
	text := `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]`
	for i, c := range []struct{ path, body string }{
		{"/rooms", `{"roomId":"x","owner":"ann"}`},
		{"/rooms", `{"roomId":"x","name":"x"}`},
		{"/rooms", `{"roomId":"x","name":"` + strings.Repeat("n", 31) + `","owner":"ann"}`},
		{"/rooms", `{"roomId":"x","name":"two\nlines","owner":"ann"}`},
		{"/rooms", `{"roomId":"x","name":"\u0000","owner":"ann"}`},
		{"/rooms", `{"roomId":"x","name":"<b>x</b>","owner":"ann"}`},
		{"/rooms", `{"roomId":"@TGS#1","name":"x","owner":"ann"}`},
		{"/rooms", `{"roomId":"` + long + `","name":"x","owner":"ann"}`},
		{"/rooms", `{"roomId":"a b","name":"x","owner":"ann"}`},
		{"/rooms", `{"roomId":"x","name":"x","owner":"a b"}`},
		{"/rooms", `{"roomId":"x","name":"x","owner":"ann","moderators":["ann"]}`},
		{"/rooms", `{"roomId":"x","name":"x","owner":"ann","moderators":` + many + `}`},
		{"/rooms", `{"roomId":"x","name":"x","owner":"ann","notice":"<b>"}`},
		{"/rooms", `{"roomId":"x","name":"x","owner":"ann","status":"live"}`},
		{"/broadcast", `{"msgBody":[]}`},
		{"/broadcast", `{"msgBody":"hello"}`},
		{"/broadcast", `{}`},
		{"/broadcast", text + `,"rooms":[]}`},
		{"/broadcast", text + `,"rooms":["a b"]}`},
		{"/broadcast", `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"` + strings.Repeat("x", 11<<10) + `"}}]}`},
	} {
		if a := p.do(server, "POST", c.path, c.body, fmt.Sprint("bad-", i)); a.Status != 400 {
			t.Errorf("%s %.80s: %d %s", c.path, c.body, a.Status, a.Text)
		}
		if changed := store.changes(); len(changed) > 0 {
			t.Errorf("%s %.80s changed %s", c.path, c.body, changed)
		}
	}
	if a := p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, "keyless")); a.Status != 400 {
		t.Errorf("without a key: %d %s", a.Status, a.Text)
	}
	// The UserSig of another app, and one that has expired.
	foreign, err := usersig.NewSignerAt(rulestest.AppID, "another app's key", w.Clock.Now)
	p.Must(err)
	sig, err := foreign.Sign("ann", time.Hour)
	p.Must(err)
	r := httptest.NewRequestWithContext(t.Context(), "PUT", "/rooms/show/status", strings.NewReader(`{"status":"paused","version":2}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "UserSig ann:"+sig)
	if a := p.send(r); a.Status != 401 {
		t.Errorf("a foreign UserSig: %d %s", a.Status, a.Text)
	}
	if changed := store.changes(); len(changed) > 0 {
		t.Errorf("changed %s", changed)
	}
}

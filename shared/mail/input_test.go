package mail_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// TestBadInputChangesNothing: what a caller may not ask, or asks in a wrong form, is a
// clear answer, and nothing is committed.
func TestBadInputChangesNothing(t *testing.T) {
	w := onBolt(t)
	store := watch(w.store)
	p := w.process(store)
	w.logins("ann", "bob", "cat")
	w.game.Give("ann", "sword", 1)
	gift := p.gift("gift", "ann")
	filed := p.mail("filed", `{"to":{"file":true},"title":"to a file"}`).MailID
	trade := p.offer("trade", swapOf("sword")).TradeID
	p.work()
	store.commits()
	past := w.Clock.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	far := w.Clock.Now().Add(400 * 24 * time.Hour).UTC().Format(time.RFC3339)
	mailTo := func(to, rest string) string { return `{"to":` + to + `,"title":"x"` + rest + `}` }
	const ann = `{"users":["ann"]}`
	for n, c := range []struct {
		caller, method, path, body string
		status                     int
		code                       string
	}{
		// Recipients.
		{server, "POST", "/mail", mailTo(`{"users":[]}`, ``), 400, "invalid"},
		{server, "POST", "/mail", mailTo(`{}`, ``), 400, "invalid"},
		{server, "POST", "/mail", `{"title":"x"}`, 400, "invalid"},
		{server, "POST", "/mail", mailTo(`{"users":["ann"],"everyone":true}`, ``), 400, "invalid"},
		{server, "POST", "/mail", mailTo(`{"users":["two words"]}`, ``), 400, "invalid"},
		{server, "POST", "/mail", mailTo(`{"users":[""]}`, ``), 400, "invalid"},
		{server, "POST", "/mail", mailTo(`{"users":["`+strings.Repeat("x", 33)+`"]}`, ``), 400, "invalid"},
		{server, "POST", "/mail", mailTo(`{"group":"nowhere"}`, ``), 400, "invalid"},
		{server, "POST", "/mail", mailTo(`{"tag":"`+strings.Repeat("x", 51)+`"}`, ``), 400, "invalid"},
		{server, "POST", "/mail?dryRun=1", mailTo(`{"users":[]}`, ``), 400, "invalid"},
		{server, "POST", "/mail?dryRun=yes", mailTo(ann, ``), 400, "invalid"},
		// Words.
		{server, "POST", "/mail", `{"to":` + ann + `,"title":""}`, 400, "invalid"},
		{server, "POST", "/mail", `{"to":` + ann + `,"title":"two\nlines"}`, 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"text":"`+strings.Repeat("x", 12<<10)+`"`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"text":"`+strings.Repeat("x", 65<<10)+`"`), 413, "too_large"},
		{server, "POST", "/mail", mailTo(ann, `,"languages":{"de":{"title":"","text":"x"}}`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"languages":{"d e":{"title":"x","text":"x"}}`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"expiresAt":"`+past+`"`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"expiresAt":"`+far+`"`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"expiresAt":"tomorrow"`), 400, "invalid"},
		// Attachments.
		{server, "POST", "/mail", mailTo(ann, `,"attachments":[{"itemId":"gem","count":0}]`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"attachments":[{"itemId":"gem","count":-5}]`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"attachments":[{"itemId":"gem","count":1.5}]`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"attachments":[{"itemId":"gem","count":1e18}]`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"attachments":[{"itemId":"","count":1}]`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"attachments":[{"itemId":"gem","count":1},{"itemId":"gem","count":1}]`), 400, "invalid"},
		{server, "POST", "/mail", mailTo(ann, `,"attachments":[`+strings.Repeat(`{"itemId":"gem","count":1},`, 20)+`{"itemId":"gem","count":1}]`), 400, "invalid"},
		// Forms.
		{server, "POST", "/mail", mailTo(ann, `,"urgent":true`), 400, "invalid"},
		{server, "POST", "/mail", `[]`, 400, "invalid"},
		{server, "POST", "/mail", `{"to":`, 400, "invalid"},
		// Campaigns that are none, or not as asked.
		{server, "GET", "/mail/nowhere", ``, 404, "not_found"},
		{server, "GET", "/mail/m01a2285d9f50z6uxcedkqa", ``, 404, "not_found"},
		{server, "GET", "/mail/" + strings.Repeat("m", 600), ``, 404, "not_found"},
		{server, "POST", "/mail/nowhere/cancel", ``, 404, "not_found"},
		{server, "POST", "/mail/nowhere/revoke", ``, 404, "not_found"},
		{server, "POST", "/mail/" + gift + "/cancel", ``, 409, "illegal_transition"},
		{server, "POST", "/mail/" + gift + "/cancel", `{"force":true}`, 400, "invalid"},
		{server, "PATCH", "/mail/" + gift, `{"title":"","version":1}`, 400, "invalid"},
		{server, "PATCH", "/mail/" + gift, `{"title":"x"}`, 409, "conflict"},
		{server, "GET", "/mail?limit=0", ``, 400, "invalid"},
		{server, "GET", "/mail?limit=101", ``, 400, "invalid"},
		// Files.
		{server, "PUT", "/mail/" + filed + "/recipients/1", "two words\nann\n\x00\n", 400, "invalid"},
		{server, "PUT", "/mail/" + filed + "/recipients/1", "\n\n", 400, "invalid"},
		{server, "PUT", "/mail/" + filed + "/recipients/0", "ann", 400, "invalid"},
		{server, "PUT", "/mail/" + filed + "/recipients/first", "ann", 400, "invalid"},
		{server, "PUT", "/mail/" + filed + "/recipients/1", strings.Repeat("a\n", 40_001), 400, "invalid"},
		{server, "PUT", "/mail/" + filed + "/recipients/1", strings.Repeat("a", 1<<20+1), 413, "too_large"},
		{server, "PUT", "/mail/" + gift + "/recipients/1", "ann", 409, "conflict"},
		{server, "POST", "/mail/" + filed + "/start", ``, 409, "conflict"},
		// Callers who may not.
		{"ann", "POST", "/mail", mailTo(ann, ``), 403, "forbidden"},
		{"ann", "GET", "/mail/" + gift, ``, 403, "forbidden"},
		{"ann", "POST", "/mail/" + gift + "/revoke", ``, 403, "forbidden"},
		{server, "GET", "/inbox", ``, 403, "forbidden"},
		{server, "POST", "/inbox/" + gift + "/claim", ``, 403, "forbidden"},
		{server, "GET", "/trades/" + trade, ``, 403, "forbidden"},
		// Other players' mail.
		{"bob", "POST", "/inbox/" + gift + "/claim", ``, 404, "not_found"},
		{"bob", "POST", "/inbox/" + gift + "/read", ``, 404, "not_found"},
		{"bob", "DELETE", "/inbox/" + gift, ``, 404, "not_found"},
		{"ann", "POST", "/inbox/nowhere/claim", ``, 404, "not_found"},
		{"ann", "POST", "/inbox/" + gift + "/claim", `{"items":1}`, 400, "invalid"},
		{"ann", "DELETE", "/inbox/" + gift, ``, 409, "attachments_unclaimed"},
		{"ann", "GET", "/inbox?limit=x", ``, 400, "invalid"},
		// Trades.
		{"ann", "POST", "/trades", `{"with":"ann","give":[{"itemId":"sword","count":1}],"want":[]}`, 400, "invalid"},
		{"ann", "POST", "/trades", `{"with":"bob","give":[],"want":[]}`, 400, "invalid"},
		{"ann", "POST", "/trades", `{"with":"","give":[{"itemId":"sword","count":1}]}`, 400, "invalid"},
		{"ann", "POST", "/trades", `{"with":"@RBT#1","give":[{"itemId":"sword","count":1}]}`, 400, "invalid"},
		{"ann", "POST", "/trades", `{"with":"bob","give":[{"itemId":"sword","count":0}]}`, 400, "invalid"},
		{"ann", "POST", "/trades", `{"with":"bob","give":[{"itemId":"sword","count":1}],"message":"` + strings.Repeat("x", 301) + `"}`, 400, "invalid"},
		{"ann", "POST", "/trades", `{"with":"bob","offer":[]}`, 400, "invalid"},
		{"cat", "GET", "/trades/" + trade, ``, 404, "not_found"},
		{"cat", "POST", "/trades/" + trade + "/accept", ``, 404, "not_found"},
		{"cat", "POST", "/trades/" + trade + "/cancel", ``, 404, "not_found"},
		{"bob", "POST", "/trades/" + trade + "/accept", `{"versions":1}`, 400, "invalid"},
		{"ann", "GET", "/trades/nowhere", ``, 404, "not_found"},
	} {
		// With a key of its own, since that is required; without one where an answer to a
		// key would be kept.
		r := p.do(c.caller, c.method, c.path, c.body)
		if c.method == "POST" && (c.path == "/mail" || c.path == "/trades") && r.Status == 400 {
			if !strings.Contains(r.Text, "Idempotency-Key") {
				t.Errorf("%s %s without a key: %s", c.method, c.path, r.Text)
			}
			r = p.refused(c.caller, c.path, c.body, fmt.Sprint("bad", n), store)
		}
		if r.Status != c.status || r.Code != c.code {
			t.Errorf("%s %s %s %.80s: %d %s, want %d %s", c.caller, c.method, c.path, c.body, r.Status, r.Text, c.status, c.code)
		}
		if n := store.commits(); n != 0 {
			t.Errorf("%s %s %s %.80s: %d commits", c.caller, c.method, c.path, c.body, n)
		}
	}
	p.work()
	if v := p.campaign(gift); v.State != mail.Sent || v.Version != 1 || v.Revoked {
		t.Errorf("%+v", v)
	}
}

// refused asks with an Idempotency-Key. The answer to a key is kept, in two commits,
// which are all that there may be.
func (p *proc) refused(caller, path, body, key string, store *watched) rulestest.Reply {
	p.Helper()
	r := p.do(caller, "POST", path, body, key)
	if n := store.commits(); n > 2 {
		p.Errorf("POST %s %.80s: %d commits", path, body, n)
	}
	return r
}

func swapOf(item string) string {
	return `{"with":"bob","give":[{"itemId":"` + item + `","count":1}],"want":[]}`
}

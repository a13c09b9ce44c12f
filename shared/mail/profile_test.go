package mail_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// TestProfiles: fields are set and read within IM's limits, by who may.
func TestProfiles(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann", "bob")
	for _, c := range []struct {
		caller, user, body string
		status             int
	}{
		{"ann", "ann", `{"fields":{"nick":"Ann","selfSignature":"on my way","gender":"Gender_Type_Female","birthday":19990101}}`, 200},
		{server, "ann", `{"fields":{"level":12,"role":3}}`, 200},
		{"bob", "ann", `{"fields":{"nick":"Bobby"}}`, 403},
		{"ann", "ann", `{"fields":{"level":99}}`, 403},
		{"ann", "ann", `{"custom":{"title":"King"}}`, 403},
		{"ann", "ann", `{"fields":{"nick":"` + strings.Repeat("x", 501) + `"}}`, 400},
		{"ann", "ann", `{"fields":{"location":"` + strings.Repeat("x", 17) + `"}}`, 400},
		{"ann", "ann", `{"fields":{"gender":"other"}}`, 400},
		{"ann", "ann", `{"fields":{"birthday":"19990101"}}`, 400},
		{"ann", "ann", `{"fields":{"birthday":1.5}}`, 400},
		{"ann", "ann", `{"fields":{"shoes":"red"}}`, 400},
		{"ann", "ann", `{"fields":{}}`, 400},
		{"ann", "ann", `{"nick":"Ann"}`, 400},
		{server, "ann", `{"custom":{"toolongname":"x"}}`, 400},
		{server, "ann", `{"custom":{"title":"` + strings.Repeat("x", 501) + `"}}`, 400},
		{server, "nobody", `{"fields":{"nick":"x"}}`, 404},
	} {
		if a := p.do(c.caller, "PUT", "/profiles/"+c.user, c.body); a.Status != c.status {
			t.Errorf("%s sets %.60s: %d %s, want %d", c.caller, c.body, a.Status, a.Text, c.status)
		}
	}
	got := rulestest.Into[mail.Profile](p, p.do("bob", "GET", "/profiles/ann", ``))
	if got.Fields["nick"] != "Ann" || got.Fields["level"] != 12.0 || got.Fields["birthday"] != 19990101.0 {
		t.Errorf("%+v", got)
	}
	p.want(p.do("bob", "GET", "/profiles/nobody", ``), 404, "not_found")
}

// TestBlocklist: who is blocked offers no trades.
func TestBlocklist(t *testing.T) {
	w, p := traders(t)
	list := func() []string {
		return rulestest.Into[struct{ Users []string }](p, p.do("bob", "GET", "/blocklist", ``)).Users
	}
	for range 2 {
		p.want(p.do("bob", "PUT", "/blocklist/ann", ``), 200, "")
	}
	if got := list(); !slices.Equal(got, []string{"ann"}) {
		t.Errorf("%v", got)
	}
	p.want(p.do("ann", "POST", "/trades", swap, "k"), 403, "forbidden")
	p.want(p.do("bob", "PUT", "/blocklist/bob", ``), 400, "invalid")
	for range 2 {
		p.want(p.do("bob", "DELETE", "/blocklist/ann", ``), 200, "")
	}
	if got := list(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	p.want(p.do("ann", "POST", "/trades", swap, "l"), 201, "")
	_ = w
}

// TestNewcomer: a player who has never logged in, whom IM does not know, has an inbox
// beside mail by tag, a blocklist, and trades.
func TestNewcomer(t *testing.T) {
	w, p := traders(t)
	w.game.Give("eve", "sword", 1)
	p.mail("a", `{"to":{"tag":"vip"},"title":"for some"}`)
	p.mail("b", `{"to":{"everyone":true},"title":"for all"}`)
	p.work()
	w.Clock.Advance(mail.ListAge)
	a := p.do("eve", "GET", "/inbox", ``)
	p.want(a, 200, "")
	if in := rulestest.Into[mail.Inbox](p, a); len(in.Mails) != 1 || in.Mails[0].Title != "for all" {
		t.Errorf("%+v", in)
	}
	p.want(p.do("eve", "GET", "/blocklist", ``), 200, "")
	p.want(p.do("eve", "PUT", "/blocklist/ann", ``), 404, "not_found")
	p.want(p.do("eve", "DELETE", "/blocklist/ann", ``), 200, "")
	a = p.do("eve", "POST", "/trades", `{"with":"zed","give":[{"itemId":"sword","count":1}]}`, "k")
	p.want(a, 201, "")
	v := rulestest.Into[mail.TradeView](p, a)
	p.want(p.do("zed", "POST", "/trades/"+v.TradeID+"/accept", ``), 200, "")
	if v = rulestest.Into[mail.TradeView](p, p.do("eve", "GET", "/trades/"+v.TradeID, ``)); v.State != mail.TradeDone {
		t.Errorf("%+v", v)
	}
	if n := w.game.Inventory("zed")["sword"]; n != 1 {
		t.Errorf("zed has %d", n)
	}
	// Who has logged in is told of a newcomer's offer.
	a = p.do("eve", "POST", "/trades", `{"with":"ann","want":[{"itemId":"sword","count":1}]}`, "l")
	p.want(a, 201, "")
	if got := w.received(rulestest.Into[mail.TradeView](p, a).TradeID); got["ann"] != 1 {
		t.Errorf("told: %v", got)
	}
}

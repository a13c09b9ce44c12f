package mail_test

import (
	"fmt"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mail"
)

// TestUnits measures what mail costs on DynamoDB, in write and read units: the figures
// of docs/scenarios/game.md and of the plan.
func TestUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("moto is not part of -short")
	}
	proxy := dynamotest.Start(t)
	clock := kvtest.NewClock()
	store := enginetest.DynamoDB(t, proxy.URL, clock.Now)
	w := newWorld(t, store, clock)
	p := w.process(store)
	users := names("u", 500)
	w.imports(users...)
	w.logins("ann", "bob")
	w.game.Give("ann", "sword", 1)
	w.game.Give("bob", "gem", 10)
	proxy.Units()
	spend := func(what string, most float64, do func()) (writes float64) {
		t.Helper()
		do()
		u := proxy.Units()
		t.Logf("%s: %.1f write units, %.1f read units", what, u.Write, u.Read)
		if u.Write > most {
			t.Errorf("%s: %.1f write units, at most %.0f were meant", what, u.Write, most)
		}
		return u.Write
	}
	n := 0
	sends := func(to string) func() {
		return func() {
			n++
			p.mail(fmt.Sprint(n), `{"to":`+to+`,"title":"hello","text":"all of you","attachments":[{"itemId":"gem","count":1}]}`)
			p.work()
		}
	}
	few := spend("a mail to 2", 120, sends(`{"users":["ann","bob"]}`))
	many := spend("a mail to 500", 700, sends(`{"users":`+quoted(users)+`}`))
	spend("a mail to everyone", 120, sends(`{"everyone":true}`))
	each := (many - few) / float64(len(users)-2)
	t.Logf("a recipient more: %.2f write units", each)
	if each > 1.2 {
		t.Errorf("%.2f write units a recipient", each)
	}
	w.Advance(mail.ListAge)
	in := p.inbox("ann")
	spend("an inbox of 2 mails", 0, func() { p.inbox("ann") })
	spend("reading a mail", 2, func() { p.want(p.do("ann", "POST", "/inbox/"+in.Mails[0].MailID+"/read", ``), 200, "") })
	spend("a claim", 20, func() { p.want(p.do("ann", "POST", "/inbox/"+in.Mails[0].MailID+"/claim", ``), 200, "") })
	spend("a trade that is done", 80, func() {
		v := p.offer("units", swap)
		p.want(p.do("bob", "POST", "/trades/"+v.TradeID+"/accept", ``), 200, "")
	})
}

package mail_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/mail/mailtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const (
	leaver  = "zz-leaver"
	secret  = "words of the leaver"
	grudged = `{"with":"bob","give":[{"itemId":"sword","count":1}],"want":[{"itemId":"gem","count":10}],"message":"` + secret + `"}`
)

// TestErase: a player with mail, a claim and a trade is erased. The trade ends first,
// no item of the game is made or lost, and then nothing names the player.
func TestErase(t *testing.T) {
	w, r := recorded(t)
	w.logins(leaver, "bob")
	w.game.Give(leaver, "sword", 1)
	w.game.Give("bob", "gem", 10)
	p := w.process(w.store)
	sent := p.mail("m", `{"to":{"users":["`+leaver+`","bob","zz-leaver-2"]},"title":"hello","attachments":[{"itemId":"gem","count":5}]}`)
	all := p.mail("e", `{"to":{"everyone":true},"title":"hello all","attachments":[{"itemId":"gem","count":1}]}`)
	p.work()
	w.Advance(mail.ListAge)
	for _, id := range []string{sent.MailID, all.MailID} {
		p.want(p.do(leaver, "POST", "/inbox/"+id+"/claim", ``), 200, "")
	}
	v := rulestest.Into[mail.TradeView](p, p.do(leaver, "POST", "/trades", grudged, "t"))

	page, err := userdata.Export(w.Context(), r, []userdata.Source{mail.UserData}, leaver, "", 100)
	w.Must(err)
	if text, err := json.Marshal(page); err != nil || len(page.Records) != 3 || !strings.Contains(string(text), secret) {
		t.Errorf("the export: %s, %v", text, err)
	}
	if done := w.Erase(r, mail.UserData, leaver); done.Erased != 2 || len(done.Waits) != 1 || done.Waits[0].Why != "trade "+v.TradeID+" is open" {
		t.Errorf("%+v", done)
	}
	p.want(p.do("bob", "POST", "/trades/"+v.TradeID+"/accept", ``), 200, "")
	p.minutes(3)
	w.Advance(userdata.Settled)
	if done := w.Erase(r, mail.UserData, leaver); done.Erased != 1 || len(done.Waits) != 0 || !done.Again.IsZero() {
		t.Errorf("when the trade is done: %+v", done)
	}
	if found := w.Left(r, `"`+leaver+`"`, "/"+leaver+" ", secret); len(found) > 0 {
		t.Errorf("left of the player:\n%s", strings.Join(found, "\n"))
	}
	if got := rulestest.Into[mail.TradeView](p, p.do("bob", "GET", "/trades/"+v.TradeID, ``)); got.State != mail.TradeDone || got.From != "" || got.With != "bob" || got.Message != "" || len(got.Give) != 1 {
		t.Errorf("the other player sees %+v", got)
	}
	// The same mail again, and a claim that was forgotten here, give nothing twice.
	p.want(p.do(leaver, "POST", "/inbox/"+all.MailID+"/claim", ``), 200, "")
	if has := fmt.Sprint(w.game.Inventory(leaver), w.game.Inventory("bob")); has != "map[gem:16] map[sword:1]" {
		t.Errorf("the game has %s", has)
	}
	if w.game.Held() != 0 || len(w.game.Problems()) > 0 {
		t.Errorf("%d holds, %v", w.game.Held(), w.game.Problems())
	}
}

// TestEraseWhileClaiming: a claim that the game has not answered is waited for.
func TestEraseWhileClaiming(t *testing.T) {
	w, r := recorded(t)
	w.logins(leaver)
	p := w.process(w.store)
	sent := p.mail("m", `{"to":{"users":["`+leaver+`"]},"title":"hello","attachments":[{"itemId":"gem","count":5}]}`)
	p.work()
	w.game.Fail(func(mailtest.Call, int) mailtest.Fault { return mailtest.Fault{Status: 503} })
	if a := p.do(leaver, "POST", "/inbox/"+sent.MailID+"/claim", ``); !strings.Contains(a.Text, `"asking"`) {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if done := w.Erase(r, mail.UserData, leaver); done.Erased != 0 || len(done.Waits) != 1 {
		t.Errorf("%+v", done)
	}
	w.game.Fail(nil)
	p.minutes(5)
	if got := fmt.Sprint(w.game.Inventory(leaver)); got != "map[gem:5]" {
		t.Errorf("the game has %s", got)
	}
	w.Advance(userdata.Settled)
	if done := w.Erase(r, mail.UserData, leaver); done.Erased != 1 || len(done.Waits) != 0 {
		t.Errorf("%+v", done)
	}
	if found := w.Left(r, leaver); len(found) > 0 {
		t.Errorf("left of the player:\n%s", strings.Join(found, "\n"))
	}
}

// TestEraseDies: a process dies at each commit of an erasure. The other player keeps
// the trade.
func TestEraseDies(t *testing.T) {
	w, r := recorded(t)
	w.logins("bob")
	w.EachErasure(r, mail.UserData, func(rw *rulestest.World, user string) func() {
		w := *w
		w.World = rw
		w.logins(user)
		w.game.Give(user, "sword", 1)
		p := w.process(w.store)
		p.mail("m"+user, `{"to":{"users":["`+user+`","bob"]},"title":"hello"}`)
		v := rulestest.Into[mail.TradeView](p, p.do(user, "POST", "/trades", `{"with":"bob","give":[{"itemId":"sword","count":1}],"want":[],"message":"for you of `+user+`"}`, "t"))
		p.want(p.do("bob", "POST", "/trades/"+v.TradeID+"/accept", ``), 200, "")
		p.minutes(2)
		return func() {
			if got := rulestest.Into[mail.TradeView](p, p.do("bob", "GET", "/trades/"+v.TradeID, ``)); got.State != mail.TradeDone || got.With != "bob" || got.From != "" {
				w.Errorf("the other player sees %+v", got)
			}
		}
	})
}

package mail_test

import (
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/mail/mailtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// gift sends a user a mail with attachments.
func (p *proc) gift(key, user string) (mailID string) {
	p.Helper()
	v := p.mail(key, `{"to":{"users":["`+user+`"]},"title":"gift","attachments":[{"itemId":"gem","count":3},{"itemId":"sword","count":1}]}`)
	p.work()
	return v.MailID
}

// TestConcurrentClaims: 200 claims of one attachment at once, in two processes, by both
// ways of claiming, are one grant, and all say so.
func TestConcurrentClaims(t *testing.T) {
	w := onBolt(t)
	p, q := w.process(w.store), w.process(w.store)
	w.logins("ann")
	id := p.gift("k", "ann")
	var group sync.WaitGroup
	answers := make([]rulestest.Reply, 200)
	for i := range answers {
		group.Go(func() {
			at := p
			if i%2 == 1 {
				at = q
			}
			if i%10 == 0 {
				answers[i] = at.do("ann", "POST", "/inbox/claim", `{}`)
				return
			}
			answers[i] = at.do("ann", "POST", "/inbox/"+id+"/claim", `{}`)
		})
	}
	group.Wait()
	first := p.do("ann", "POST", "/inbox/"+id+"/claim", `{}`)
	for i, a := range answers {
		if a.Status != 200 || i%10 != 0 && a != first {
			t.Fatalf("claim %d: %d %s", i, a.Status, a.Text)
		}
	}
	if n, calls := w.game.Granted(id, "ann"), w.game.Calls("mail/"+id+"/grant/ann"); n != 1 || calls != 1 {
		t.Errorf("%d grants in %d calls", n, calls)
	}
	if has := w.game.Inventory("ann"); has["gem"] != 3 || has["sword"] != 1 {
		t.Errorf("ann has %v", has)
	}
}

// TestClaimUnanswered: while the game does not answer, a claim is asking; then the job
// finishes it, once, although the first call had worked.
func TestClaimUnanswered(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann")
	id := p.gift("k", "ann")
	w.game.Fail(func(_ mailtest.Call, n int) mailtest.Fault { return mailtest.Fault{Lost: n < 3} })
	a := p.do("ann", "POST", "/inbox/"+id+"/claim", ``)
	p.want(a, 202, "")
	p.want(p.do("ann", "DELETE", "/inbox/"+id, ``), 409, "attachments_unclaimed")
	// A revocation comes too late for a claim that was begun.
	p.want(p.do(server, "POST", "/mail/"+id+"/revoke", ``), 200, "")
	p.minutes(10)
	p.want(p.do("ann", "POST", "/inbox/"+id+"/claim", ``), 200, "")
	if n := w.game.Granted(id, "ann"); n != 1 {
		t.Errorf("%d grants", n)
	}
	w.Quiet(p.ledger)
}

// TestClaimRefused: a game without room for the items refuses; the mail stays, and can
// be claimed when there is room.
func TestClaimRefused(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann")
	id := p.gift("k", "ann")
	w.game.Room("ann", 2)
	for range 2 {
		p.want(p.do("ann", "POST", "/inbox/"+id+"/claim", ``), 409, "game_refused")
	}
	if in := p.inbox("ann"); in.Mails[0].Claimed || !in.Mails[0].Claimable {
		t.Errorf("%+v", in)
	}
	w.game.Room("ann", 4)
	p.want(p.do("ann", "POST", "/inbox/"+id+"/claim", ``), 200, "")
	if has := w.game.Inventory("ann"); has["gem"] != 3 || w.game.Granted(id, "ann") != 1 {
		t.Errorf("ann has %v", has)
	}
	p.minutes(5)
	if probs := w.game.Problems(); len(probs) > 0 {
		t.Error(probs)
	}
	w.Quiet(p.ledger)
}

// TestClaimAll: all mails are claimed, each once, a bounded number at a time.
func TestClaimAll(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann")
	for _, key := range names("k", 25) {
		p.gift(key, "ann")
	}
	p.mail("plain", `{"to":{"users":["ann"]},"title":"nothing in it"}`)
	p.work()
	one := rulestest.Into[mail.ClaimedAll](p, p.do("ann", "POST", "/inbox/claim", `{}`))
	two := rulestest.Into[mail.ClaimedAll](p, p.do("ann", "POST", "/inbox/claim", `{}`))
	three := rulestest.Into[mail.ClaimedAll](p, p.do("ann", "POST", "/inbox/claim", `{}`))
	if len(one.Claimed) != 20 || !one.More || len(two.Claimed) != 5 || two.More || len(three.Claimed) != 0 {
		t.Errorf("%+v\n%+v\n%+v", one, two, three)
	}
	if has := w.game.Inventory("ann"); has["gem"] != 75 {
		t.Errorf("ann has %v", has)
	}
}

// TestWithoutHook: without the game's server attachments and trades are 501, and mail
// without them is sent.
func TestWithoutHook(t *testing.T) {
	w := onBolt(t)
	w.conf.Hook = nil
	p := w.process(w.store)
	w.logins("ann")
	p.want(p.do(server, "POST", "/mail", `{"to":{"users":["ann"]},"title":"x","attachments":[{"itemId":"gem","count":1}]}`, "k"), 501, "not_configured")
	v := p.mail("k", `{"to":{"users":["ann"]},"title":"x"}`)
	p.work()
	p.want(p.do("ann", "POST", "/inbox/"+v.MailID+"/claim", ``), 501, "not_configured")
	p.want(p.do("ann", "POST", "/inbox/claim", ``), 501, "not_configured")
	p.want(p.do("ann", "POST", "/trades", `{"with":"bob","give":[{"itemId":"gem","count":1}],"want":[]}`, "t"), 501, "not_configured")
	p.want(p.do("ann", "GET", "/trades/t", ``), 501, "not_configured")
	p.want(p.do("ann", "POST", "/trades/t/accept", ``), 501, "not_configured")
	p.want(p.do("ann", "POST", "/trades/t/cancel", ``), 501, "not_configured")
	if in := p.inbox("ann"); len(in.Mails) != 1 {
		t.Errorf("%+v", in)
	}
}

// testCampaignDies: the process dies at each of its commits while it stores and sends a
// campaign. Whether the operator asks again or not, each recipient is told once, or
// nobody is.
func testCampaignDies(w *world) {
	users := names("u", enginetest.Size(6, 40))
	w.imports(users...)
	for _, again := range []bool{true, false} {
		enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
			w := w.with(t)
			body := `{"to":{"users":` + quoted(users) + `},"title":"` + name + `"}`
			if name[0] == 'a' {
				body = `{"to":{"file":true},"title":"` + name + `"}`
			}
			key := name
			if again {
				key += "again"
			}
			dying := w.process(mortal)
			ask := func(p *proc) (id string) {
				a := p.do(server, "POST", "/mail", body, key)
				if a.Status != 202 {
					if p != dying {
						t.Errorf("asked again: %d %s", a.Status, a.Text)
					}
					return ""
				}
				id = rulestest.Into[mail.View](p, a).MailID
				if name[0] == 'a' {
					lines := ""
					for _, u := range users {
						lines += u + "\n"
					}
					p.do(server, "PUT", "/mail/"+id+"/recipients/1", lines)
					p.do(server, "POST", "/mail/"+id+"/start", ``)
				}
				return id
			}
			id := ask(dying)
			for range 3 {
				_ = w.Queue.Work(w.Context(), dying.ledger, w.Clock.Now)
			}
			next := w.process(w.store)
			w.Advance(2 * time.Minute)
			if again {
				if id = ask(next); id == "" {
					t.Fatal("asked again, and no mail")
				}
			}
			next.minutes(5)
			w.Advance(15 * time.Minute) // the lease of a job whose worker died
			next.minutes(4)
			if id == "" {
				next.Quiet(next.ledger)
				return
			}
			v := next.campaign(id)
			switch {
			case v.State == mail.Sent && v.Delivered == len(users):
				w.once(id, users)
			case !again && v.State == mail.Planned && v.To.File: // never started
				w.once(id, nil)
			default:
				t.Errorf("%+v", v)
			}
			w.Redeliver(next.ledger)
			next.minutes(2)
			if v.State == mail.Sent {
				w.once(id, users)
			}
			next.Quiet(next.ledger)
		})
	}
}

// testClaimDies: the process dies at each of its commits while a player claims. In the
// end the items are granted once, or the claim was never begun.
func testClaimDies(w *world) {
	w.logins("ann")
	for _, lost := range []bool{false, true} {
		enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
			w := w.with(t)
			next := w.process(w.store)
			if lost {
				name += "lost"
			}
			id := next.gift(name, "ann")
			w.game.Fail(func(_ mailtest.Call, n int) mailtest.Fault { return mailtest.Fault{Lost: lost && n == 1} })
			w.process(mortal).do("ann", "POST", "/inbox/"+id+"/claim", ``)
			began := w.game.Calls("mail/"+id+"/grant/ann") > 0
			next.minutes(8)
			if n := w.game.Granted(id, "ann"); began && n != 1 || n > 1 {
				t.Errorf("%d grants before asking again", n)
			}
			next.want(next.do("ann", "POST", "/inbox/"+id+"/claim", ``), 200, "")
			next.minutes(3)
			if n := w.game.Granted(id, "ann"); n != 1 {
				t.Errorf("%d grants", n)
			}
			w.Redeliver(next.ledger)
			if n := w.game.Granted(id, "ann"); n != 1 {
				t.Errorf("%d grants", n)
			}
			next.Quiet(next.ledger)
		})
	}
}

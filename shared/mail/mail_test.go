package mail_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

func TestMailOnEveryEngine(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{
		{Name: "Way", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) { testWay(newWorld(t, store, clock)) }},
		{Name: "CampaignDies", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) { testCampaignDies(newWorld(t, store, clock)) }},
		{Name: "ClaimDies", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) { testClaimDies(newWorld(t, store, clock)) }},
		{Name: "TradeDies", Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) { testTradeDies(newWorld(t, store, clock)) }},
	})
}

// testWay goes the whole way of a mail with attachments: planned, sent, read, claimed,
// deleted.
func testWay(w *world) {
	p := w.process(w.store)
	w.logins("ann", "bob", "cat")
	const body = `{"to":{"users":["ann","bob"]},"title":"Season 3","text":"It begins.","attachments":[{"itemId":"gem","count":5}]}`
	dry := rulestest.Into[struct{ Plan mail.Plan }](p, p.do(server, "POST", "/mail?dryRun=1", body))
	if dry.Plan.By != "batchsendmsg" || dry.Plan.Calls != 1 || dry.Plan.Cost.Messages != 2 {
		w.Errorf("plan %+v", dry.Plan)
	}
	v := p.mail("one", body)
	again := p.do(server, "POST", "/mail", body, "one")
	if again.Status != 202 || rulestest.Into[mail.View](p, again).MailID != v.MailID {
		w.Errorf("again: %d %s", again.Status, again.Text)
	}
	p.want(p.do(server, "POST", "/mail", strings.Replace(body, "bob", "cat", 1), "one"), 422, "idempotency_mismatch")
	p.work()
	if v = p.campaign(v.MailID); v.State != mail.Sent || *v.Total != 2 || v.Delivered != 2 || v.Failed != 0 {
		w.Errorf("campaign %+v", v)
	}
	if got := w.received(v.MailID); got["ann"] != 1 || got["bob"] != 1 || len(got) != 2 {
		w.Errorf("IM told %v", got)
	}
	in := p.inbox("ann")
	if len(in.Mails) != 1 || in.Unread != 1 || in.Mails[0].Title != "Season 3" || in.Mails[0].Claimed || !in.Mails[0].Claimable || len(in.Mails[0].Attachments) != 1 {
		w.Errorf("inbox %+v", in)
	}
	if in := p.inbox("cat"); len(in.Mails) != 0 || in.Unread != 0 {
		w.Errorf("not a recipient, and yet %+v", in)
	}
	path := "/inbox/" + v.MailID
	for _, request := range [][2]string{{"POST", "/read"}, {"POST", "/claim"}, {"DELETE", ""}} {
		p.want(p.do("cat", request[0], path+request[1], ``), 404, "not_found")
	}
	p.want(p.do("ann", "DELETE", path, ``), 409, "attachments_unclaimed")
	p.want(p.do("ann", "POST", path+"/read", `{}`), 200, "")
	if in := p.inbox("ann"); in.Unread != 0 || !in.Mails[0].Read {
		w.Errorf("inbox %+v", in)
	}
	first := p.do("ann", "POST", path+"/claim", `{}`)
	p.want(first, 200, "")
	if second := p.do("ann", "POST", path+"/claim", ``); second != first {
		w.Errorf("claimed again: %+v, first %+v", second, first)
	}
	if has := w.game.Inventory("ann"); has["gem"] != 5 {
		w.Errorf("ann has %v", has)
	}
	if in := p.inbox("ann"); !in.Mails[0].Claimed || in.Mails[0].Claimable {
		w.Errorf("inbox %+v", in)
	}
	p.want(p.do("ann", "DELETE", path, ``), 200, "")
	p.want(p.do("ann", "DELETE", path, ``), 200, "")
	if in := p.inbox("ann"); len(in.Mails) != 0 {
		w.Errorf("inbox %+v", in)
	}
	// Whatever comes once more changes nothing.
	w.Redeliver(p.ledger)
	if got := w.received(v.MailID); got["ann"] != 1 || got["bob"] != 1 || w.game.Granted(v.MailID, "ann") != 1 {
		w.Errorf("IM told %v, granted %d", got, w.game.Granted(v.MailID, "ann"))
	}
	if in := p.inbox("ann"); len(in.Mails) != 0 {
		w.Errorf("a deleted mail came back: %+v", in)
	}
	w.Quiet(p.ledger)
}

// TestOneRecipient: one player is told by sendmsg; a player whom IM does not know is
// named, and has the mail all the same.
func TestOneRecipient(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann")
	for user, known := range map[string]bool{"ann": true, "ghost": false} {
		v := p.mail(user, fmt.Sprintf(`{"to":{"users":[%q]},"title":"hello"}`, user))
		if v.Plan.By != "sendmsg" || v.Plan.Calls != 1 {
			t.Errorf("plan %+v", v.Plan)
		}
		p.work()
		v = p.campaign(v.MailID)
		if v.State != mail.Sent || known != (v.Delivered == 1) || known == (v.Failed == 1) || known == (len(v.Unknown) == 1) {
			t.Errorf("%s: %+v", user, v)
		}
		if in := p.inbox(user); len(in.Mails) != 1 {
			t.Errorf("%s: inbox %+v", user, in)
		}
	}
	w.Quiet(p.ledger)
}

// TestBatches: 501 recipients are two calls; unknown ones are counted and named, and
// a recipient who occurs twice is told once.
func TestBatches(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	users := names("u", 501)
	w.imports(users[1:]...)
	v := p.mail("k", `{"to":{"users":`+quoted(append(users, "u7", "u500"))+`},"title":"hello"}`)
	if v.Plan.Calls != 2 || *v.Total != 501 || v.Duplicates != 2 {
		t.Errorf("%+v", v)
	}
	p.work()
	v = p.campaign(v.MailID)
	if v.State != mail.Sent || v.Delivered != 500 || v.Failed != 1 || len(v.Unknown) != 1 || v.Unknown[0] != "u0" {
		t.Errorf("%+v", v)
	}
	w.once(v.MailID, users[1:])
	w.Quiet(p.ledger)
}

// imports makes accounts.
func (w *world) imports(users ...string) {
	w.Helper()
	c := w.Client()
	var accounts []im.Account
	for _, id := range users {
		accounts = append(accounts, im.Account{UserID: id})
	}
	_, err := c.ImportAccounts(w.Context(), accounts)
	w.Must(err)
}

// once fails unless IM told each user once, and nobody else.
func (w *world) once(mailID string, users []string) {
	w.Helper()
	got := w.received(mailID)
	for _, id := range users {
		if got[id] != 1 {
			w.Errorf("%s was told %d times", id, got[id])
		}
		delete(got, id)
	}
	if len(got) > 0 {
		w.Errorf("told besides: %v", got)
	}
}

// TestLostAnswers: a batch whose answer is lost reaches each recipient once, whether
// or not IM recognizes repeated batches, and whether or not the call had worked.
func TestLostAnswers(t *testing.T) {
	for _, c := range []struct {
		name    string
		repeats bool
		faults  []imtest.Fault
	}{
		{"worked", false, []imtest.Fault{{LoseAnswer: true}}},
		{"worked, batches repeat", true, []imtest.Fault{{LoseAnswer: true}, {LoseAnswer: true}}},
		{"did not work", true, []imtest.Fault{{Status: 502}, {Status: 502}}},
		{"one of each", true, []imtest.Fault{{Status: 502}, {LoseAnswer: true}, {Status: 502}}},
		{"throttled", true, []imtest.Fault{{Code: 60007}, {Code: 60007}, {Code: 60007}, {Code: 60007}, {Code: 60007}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := onBolt(t)
			w.World = rulestest.New(t, w.Clock, rulestest.Options{Callbacks: []string{}, Unknowns: imtest.Unknowns{BatchesRepeat: c.repeats}})
			w.conf.Sleep = w.Sleep
			p := w.process(w.store)
			users := names("u", 700)
			w.imports(users...)
			w.App.FailNext("openim/batchsendmsg", c.faults...)
			v := p.mail("k", `{"to":{"users":`+quoted(users)+`},"title":"hello"}`)
			p.work()
			p.minutes(5)
			if v = p.campaign(v.MailID); v.State != mail.Sent || v.Delivered != 700 || v.Failed != 0 {
				t.Errorf("%+v", v)
			}
			w.once(v.MailID, users)
			w.Quiet(p.ledger)
		})
	}
}

// TestGroup: a group gets one message, and each member's inbox the mail.
func TestGroup(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	owner := w.Login("ann")
	members := names("m", 250)
	w.imports(members...)
	w.Room("guild", owner, members...)
	v := p.mail("k", `{"to":{"group":"guild"},"title":"War tonight"}`)
	if v.Plan.By != "send_group_msg" || v.Plan.Calls != 1 || *v.Total != 251 {
		t.Errorf("%+v", v)
	}
	p.work()
	if v = p.campaign(v.MailID); v.State != mail.Sent || v.Delivered != 251 || *v.Total != 251 {
		t.Errorf("%+v", v)
	}
	if n := len(w.App.State().Group("guild").Messages); n != 1 {
		t.Errorf("%d messages in the group", n)
	}
	for _, id := range []string{"ann", "m0", "m249"} {
		if in := p.inbox(id); len(in.Mails) != 1 || in.Unread != 1 {
			t.Errorf("%s: %+v", id, in)
		}
	}
	p.want(p.do(server, "POST", "/mail", `{"to":{"group":"nowhere"},"title":"x"}`, "l"), 400, "invalid")
	w.Quiet(p.ledger)
}

// TestEveryone: mail to everyone is one push, and each inbox finds it, also one of an
// account that was made later; reading the list costs nothing for five seconds.
func TestEveryone(t *testing.T) {
	w := onBolt(t)
	store := watch(w.store)
	p := w.process(store)
	w.logins("ann", "bob")
	v := p.mail("k", `{"to":{"everyone":true},"title":"Maintenance","attachments":[{"itemId":"gem","count":1}]}`)
	if v.Plan.By != "im_push" || v.Total != nil {
		t.Errorf("%+v", v)
	}
	p.work()
	if v = p.campaign(v.MailID); v.State != mail.Sent {
		t.Errorf("%+v", v)
	}
	if n := w.pushes("ann"); n != 1 {
		t.Errorf("%d pushes", n)
	}
	w.Advance(mail.ListAge)
	w.logins("late")
	for _, id := range []string{"ann", "late"} {
		if in := p.inbox(id); len(in.Mails) != 1 || in.Unread != 1 {
			t.Errorf("%s: %+v", id, in)
		}
	}
	store.commits()
	p.want(p.do("ann", "POST", "/inbox/"+v.MailID+"/read", ``), 200, "")
	p.want(p.do("ann", "POST", "/inbox/"+v.MailID+"/read", ``), 200, "")
	if n := store.commits(); n != 1 {
		t.Errorf("read twice: %d commits", n)
	}
	p.want(p.do("ann", "POST", "/inbox/"+v.MailID+"/claim", ``), 200, "")
	p.want(p.do("ann", "DELETE", "/inbox/"+v.MailID, ``), 200, "")
	if in := p.inbox("ann"); len(in.Mails) != 0 || in.Unread != 0 {
		t.Errorf("%+v", in)
	}
	if in := p.inbox("bob"); len(in.Mails) != 1 || in.Mails[0].Claimed {
		t.Errorf("%+v", in)
	}
	w.Quiet(p.ledger)
}

// pushes counts the all-member pushes that reached a device of a user.
func (w *world) pushes(user string) int { return w.App.State().User(user).Seen }

// TestTag: mail to a tag is for those who have it.
func TestTag(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann", "bob")
	w.Must(w.Client().AddTags(t.Context(), im.UserTags{UserID: "ann", Tags: []string{"vip"}}))
	v := p.mail("k", `{"to":{"tag":"vip"},"title":"For you"}`)
	p.work()
	w.Advance(mail.ListAge)
	if in := p.inbox("ann"); len(in.Mails) != 1 {
		t.Errorf("%+v", in)
	}
	if in := p.inbox("bob"); len(in.Mails) != 0 || in.Unread != 0 {
		t.Errorf("%+v", in)
	}
	p.want(p.do("bob", "POST", "/inbox/"+v.MailID+"/read", ``), 404, "not_found")
	if w.pushes("ann") != 1 || w.pushes("bob") != 0 {
		t.Errorf("pushed to ann %d, to bob %d", w.pushes("ann"), w.pushes("bob"))
	}
}

// TestWithoutPush: where the edition has no push, or its pushes of the day are used up,
// the inboxes have the mail, and the campaign says so.
func TestWithoutPush(t *testing.T) {
	w := onBolt(t)
	w.logins("ann")
	w.App.FailNext("all_member_push/im_push", imtest.Fault{Code: 90047})
	p := w.process(w.store)
	v := p.mail("quota", `{"to":{"everyone":true},"title":"one"}`)
	p.work()
	if v = p.campaign(v.MailID); v.State != mail.Sent || v.Plan.By != "inbox" {
		t.Errorf("%+v", v)
	}
	w.conf.Push = false
	p = w.process(w.store)
	if v := p.mail("none", `{"to":{"everyone":true},"title":"two"}`); v.Plan.By != "inbox" || v.Plan.Calls != 0 {
		t.Errorf("%+v", v)
	}
	p.want(p.do(server, "POST", "/mail", `{"to":{"tag":"vip"},"title":"x"}`, "tag"), 501, "not_configured")
	p.work()
	w.Advance(mail.ListAge)
	if in := p.inbox("ann"); len(in.Mails) != 2 || w.pushes("ann") != 0 {
		t.Errorf("%+v", in)
	}
}

// TestPauseResumeCancel: a campaign stops where it is told to, goes on from there, and
// ends once.
func TestPauseResumeCancel(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	users := names("u", 1500)
	w.imports(users...)
	body := `{"to":{"users":` + quoted(users) + `},"title":"hello"}`
	id := p.mail("k", body).MailID
	calls := 0
	w.conf.Sleep = nil
	// The sender waits between calls; there somebody pauses.
	w.onSleep(p, func(p *proc) {
		if calls++; calls == 1 {
			p.want(p.do(server, "POST", "/mail/"+id+"/pause", `{}`), 200, "")
		}
	})
	p.work()
	v := p.campaign(id)
	if v.State != mail.Paused || v.Delivered == 0 || v.Delivered == 1500 {
		t.Fatalf("%+v", v)
	}
	p.minutes(10)
	if again := p.campaign(id); again.Delivered != v.Delivered || again.State != mail.Paused {
		t.Errorf("%+v", again)
	}
	p.want(p.do(server, "POST", "/mail/"+id+"/pause", ``), 409, "illegal_transition")
	p.want(p.do(server, "POST", "/mail/"+id+"/resume", ``), 200, "")
	p.work()
	if v = p.campaign(id); v.State != mail.Sent || v.Delivered != 1500 {
		t.Errorf("%+v", v)
	}
	w.once(id, users)
	for _, what := range []string{"pause", "resume", "cancel"} {
		p.want(p.do(server, "POST", "/mail/"+id+"/"+what, ``), 409, "illegal_transition")
	}
	other := p.mail("l", body).MailID
	p.want(p.do(server, "POST", "/mail/"+other+"/cancel", ``), 200, "")
	p.want(p.do(server, "POST", "/mail/"+other+"/cancel", ``), 409, "illegal_transition")
	p.minutes(3)
	if v := p.campaign(other); v.State != mail.Cancelled || v.Delivered != 0 || len(w.received(other)) != 0 {
		t.Errorf("%+v", v)
	}
	w.Quiet(p.ledger)
}

// TestLanguages: each reader sees the words of the reader's own language.
func TestLanguages(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann")
	p.mail("k", `{"to":{"users":["ann"]},"title":"Hello","languages":{"de":{"title":"Hallo","text":"Welt"},"pt-BR":{"title":"Olá","text":""}}}`)
	p.work()
	for query, want := range map[string]string{"": "Hello", "?language=de": "Hallo", "?language=de-AT": "Hallo", "?language=pt-br": "Olá", "?language=fr": "Hello"} {
		in := rulestest.Into[mail.Inbox](p, p.do("ann", "GET", "/inbox"+query, ``))
		if in.Mails[0].Title != want {
			t.Errorf("%q: %q, want %q", query, in.Mails[0].Title, want)
		}
	}
}

// TestEditAndRevoke: a corrected mail is not delivered again and stays read; revoking
// voids what nobody has claimed.
func TestEditAndRevoke(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann", "bob")
	v := p.mail("k", `{"to":{"users":["ann","bob"]},"title":"Helo","attachments":[{"itemId":"gem","count":1}]}`)
	p.work()
	path := "/inbox/" + v.MailID
	p.want(p.do("ann", "POST", path+"/claim", ``), 200, "")
	p.want(p.do(server, "PATCH", "/mail/"+v.MailID, `{"title":"Hello","text":"again","version":2}`), 409, "conflict")
	p.want(p.do(server, "PATCH", "/mail/"+v.MailID, `{"title":"Hello","text":"again","version":1}`), 200, "")
	p.work()
	w.Advance(mail.ListAge)
	if in := p.inbox("ann"); in.Mails[0].Title != "Hello" || !in.Mails[0].Read || in.Unread != 0 {
		t.Errorf("%+v", in)
	}
	w.once(v.MailID, []string{"ann", "bob"})
	p.want(p.do(server, "POST", "/mail/"+v.MailID+"/revoke", ``), 200, "")
	p.want(p.do(server, "POST", "/mail/"+v.MailID+"/revoke", ``), 200, "")
	w.Advance(mail.ListAge)
	p.want(p.do("bob", "POST", path+"/claim", ``), 409, "attachments_revoked")
	p.want(p.do("ann", "POST", path+"/claim", ``), 200, "")
	p.want(p.do("bob", "DELETE", path, ``), 200, "")
	if w.game.Granted(v.MailID, "ann") != 1 || w.game.Granted(v.MailID, "bob") != 0 {
		t.Error("granted otherwise")
	}
}

// TestExpiry: an expired mail is not listed, does not count, and a claim says why it
// fails.
func TestExpiry(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann")
	at := w.Clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	v := p.mail("k", `{"to":{"users":["ann"]},"title":"soon gone","attachments":[{"itemId":"gem","count":1}],"expiresAt":"`+at+`"}`)
	e := p.mail("e", `{"to":{"everyone":true},"title":"soon gone","expiresAt":"`+at+`"}`)
	p.work()
	w.Advance(mail.ListAge)
	if in := p.inbox("ann"); len(in.Mails) != 2 || in.Unread != 2 {
		t.Fatalf("%+v", in)
	}
	w.Advance(time.Hour)
	if in := p.inbox("ann"); len(in.Mails) != 0 || in.Unread != 0 {
		t.Errorf("%+v", in)
	}
	p.want(p.do("ann", "POST", "/inbox/"+v.MailID+"/claim", ``), 409, "attachments_expired")
	p.want(p.do("ann", "POST", "/inbox/"+v.MailID+"/read", ``), 404, "not_found")
	p.want(p.do("ann", "POST", "/inbox/"+e.MailID+"/read", ``), 404, "not_found")
}

// TestPages: inbox and campaigns come in pages, the newest first.
func TestPages(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	w.logins("ann")
	var want []string
	for i := range 5 {
		to := `{"users":["ann"]}`
		if i%2 == 1 {
			to = `{"everyone":true}`
		}
		want = append(want, p.mail(fmt.Sprint(i), fmt.Sprintf(`{"to":%s,"title":"mail %d"}`, to, i)).MailID)
		w.Advance(time.Second)
		p.work()
	}
	w.Advance(mail.ListAge)
	for path, user := range map[string]string{"/inbox": "ann", "/mail": server} {
		var got []string
		for after := ""; ; {
			page := rulestest.Into[struct {
				Mails []struct{ MailID string }
				Next  string
			}](p, p.do(user, "GET", path+"?limit=2&after="+after, ``))
			for _, m := range page.Mails {
				got = append(got, m.MailID)
			}
			if after = page.Next; after == "" {
				break
			}
		}
		for i, id := range got {
			if len(got) != 5 || id != want[4-i] {
				t.Errorf("%s: %v, want the reverse of %v", path, got, want)
				break
			}
		}
	}
}

// TestFile: recipients come in parts; a part may come again; broken lines are named.
func TestFile(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	users := names("u", 1200)
	w.imports(users...)
	id := p.mail("k", `{"to":{"file":true},"title":"hello"}`).MailID
	put := func(part int, query string, lines ...string) rulestest.Reply {
		return p.do(server, "PUT", fmt.Sprintf("/mail/%s/recipients/%d%s", id, part, query), strings.Join(lines, "\n"))
	}
	p.want(p.do(server, "POST", "/mail/"+id+"/start", ``), 409, "conflict")
	p.want(put(2, "", users[:3]...), 409, "conflict")
	p.want(put(1, "", users[:700]...), 200, "")
	p.want(put(1, "", users[:700]...), 200, "")
	p.want(put(1, "", users[:701]...), 422, "idempotency_mismatch")
	broken := append([]string{"u1", "two words", "", strings.Repeat("x", 33)}, users[600:]...)
	a := put(2, "", broken...)
	p.want(a, 400, "invalid")
	if !strings.Contains(a.Text, "line 2 ") || !strings.Contains(a.Text, "line 4 ") || strings.Contains(a.Text, "line 3 ") {
		t.Errorf("broken lines: %s", a.Text)
	}
	part := rulestest.Into[mail.Part](p, put(2, "?skipBroken=1", broken...))
	if len(part.Broken) != 2 || part.Broken[0].Line != 2 || part.Broken[1].Line != 4 || part.Accepted != 601 {
		t.Errorf("%+v", part)
	}
	p.minutes(3) // nothing is sent before it is started
	if v := p.campaign(id); v.State != mail.Planned || len(w.received(id)) != 0 {
		t.Errorf("%+v", v)
	}
	p.want(p.do(server, "POST", "/mail/"+id+"/start", ``), 202, "")
	p.work()
	v := p.campaign(id)
	if v.State != mail.Sent || v.Delivered != 1200 || *v.Total != 1200 || v.Duplicates != 101 {
		t.Errorf("%+v", v)
	}
	w.once(id, users)
	p.want(put(3, "", "late"), 409, "conflict")
	w.Quiet(p.ledger)
}

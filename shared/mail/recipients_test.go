package mail_test

import (
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/mail"
)

// TestCampaignForgetsRecipients: a mail that was sent names nobody any more, and one
// that was cancelled does not a minute later.
func TestCampaignForgetsRecipients(t *testing.T) {
	w, r := recorded(t)
	users := names("zz-", 1200)
	w.imports(users...)
	p := w.process(w.store)
	named := func(id string) (n int) {
		for _, is := range r.Dump(t) {
			if is.Partition == "mail/campaign/"+id && strings.Contains(is.Text, "zz-") {
				n++
			}
		}
		return n
	}
	sent := p.mail("sent", `{"to":{"users":`+quoted(users)+`},"title":"hello"}`)
	if n := named(sent.MailID); n != 3 {
		t.Errorf("%d chunks before it is sent", n)
	}
	p.work()
	if v := p.campaign(sent.MailID); v.State != mail.Sent || named(sent.MailID) != 0 {
		t.Errorf("%+v, and %d chunks", v, named(sent.MailID))
	}
	off := p.mail("off", `{"to":{"users":`+quoted(users)+`},"title":"hello"}`)
	p.want(p.do(server, "POST", "/mail/"+off.MailID+"/cancel", ``), 200, "")
	p.minutes(3)
	if n := named(off.MailID); n != 0 {
		t.Errorf("%d chunks of a cancelled mail", n)
	}
}

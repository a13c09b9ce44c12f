package credential_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// shopWorld is a shop with an agent, on an emulated IM.
type shopWorld struct {
	*rulestest.World
	bench
	agent *imtest.Client
}

func newShopWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *shopWorld {
	t.Helper()
	w := &shopWorld{World: rulestest.New(t, clock, rulestest.Options{Callbacks: []string{}})}
	w.bench.signer, w.bench.kv, w.bench.at = w.Users, store, clock.Now
	w.agent = w.Login("helpdesk")
	return w
}

// issuer is an instance of the issuer: it has no queue.
func (w *shopWorld) instance(store kv.Store) http.Handler {
	client := w.Client()
	return w.shopIssuer(w.T(), func(c *credential.Config) {
		c.Profiles = &credential.Profiles{Store: store, IM: client, EmailTag: im.TagSelfSignature, Now: w.World.Clock.Now}
		c.Copies = credential.NewCopies(credential.CopiesConfig{Store: store, IM: client, Now: w.World.Clock.Now})
		c.Shopify.Store, c.Guests.Store, c.Guests.PerAddress.Store = store, store, store
	})
}

// worker carries out the jobs, and the clock's minute.
func (w *shopWorld) worker() func() {
	ledger := queue.NewLedger(w.bench.kv, w.Queue, w.World.Clock.Now)
	credential.NewCopies(credential.CopiesConfig{Store: w.bench.kv, IM: w.Client(), Jobs: ledger, Now: w.World.Clock.Now})
	sweep := credential.CopyProcess.Sweep(w.bench.kv, queue.NewLedger(w.bench.kv, w.Queue, w.World.Clock.Now), w.World.Clock.Now)
	return func() {
		w.Helper()
		for range 15 {
			w.Advance(time.Minute)
			w.Must(sweep(w.Context()))
			w.Work(ledger)
		}
		w.Redeliver(ledger)
		w.Quiet(ledger)
	}
}

// guest is a visitor who has written to the agent, and been answered.
func (w *shopWorld) guest(h http.Handler, messages int) (a shopAnswer) {
	w.Helper()
	a = visit(h, w.proxied("").Encode(), `{"email":"ann@example.com","name":"Ann <b>"}`, "X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", w.n/250, w.n%250))
	w.n++
	if a.status != 200 {
		w.Fatalf("%d %s", a.status, a.text)
	}
	client, err := w.App.Login(a.UserID, a.UserSig, imtest.Device{})
	w.Must(err)
	for i := range messages {
		from, to := client, "helpdesk"
		if i%3 == 2 {
			from, to = w.agent, a.UserID
		}
		_, err := from.SendTo(to, imtest.Draft{Text: fmt.Sprint("message ", i), Custom: fmt.Sprint("c", i)})
		w.Must(err)
		if i%2 == 1 { // two within a second
			w.Advance(time.Second)
		}
	}
	return a
}

// history is what a user sees of the conversation with the agent, the oldest first.
func (w *shopWorld) history(userID string) (list []string) {
	w.Helper()
	q := &im.C2CHistoryQuery{Viewer: userID, Peer: "helpdesk", To: w.World.Clock.Now().Unix() + 1000}
	for q != nil {
		page, err := w.Client().C2CHistory(w.Context(), *q)
		if errors.Is(err, im.Code(90008)) {
			return nil // never heard of
		}
		w.Must(err)
		for _, m := range page.Messages {
			who := "agent"
			if m.From == userID {
				who = "user"
			}
			list = append(list, fmt.Sprintf("%s: %s %s %d", who, m.Body.PlainText(), m.CloudCustomData, m.MsgTime))
		}
		q = page.Next
	}
	slices.Reverse(list)
	return list
}

// TestGuestBecomesCustomer: the customer finds the guest's last 100 messages, each
// once and in order, and nobody else does.
func TestGuestBecomesCustomer(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{
		{Name: "Copied", Run: testCopied},
		{Name: "Once", Run: testOnce},
		{Name: "Deaths", Long: true, Run: testCopyDeaths},
		{Name: "IMIsAway", Run: testIMIsAway},
		{Name: "Strangers", Run: testStrangers},
		{Name: "Profiles", Run: testProfiles},
	})
}

func testCopied(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	w := newShopWorld(t, store, clock)
	h := w.instance(store)
	guest := w.guest(h, 130)
	recalled, err := w.agent.SendTo(guest.UserID, imtest.Draft{Text: "taken back"})
	w.Must(err)
	w.Must(w.Client().WithdrawMsg(t.Context(), "helpdesk", guest.UserID, recalled.Key))
	w.Advance(time.Hour)
	a := visit(h, w.proxied("4711").Encode(), fmt.Sprintf(`{"guestToken":%q}`, guest.GuestToken))
	if a.status != 200 || a.Copied == nil || *a.Copied != (credential.Copied{From: guest.UserID, Messages: 100, Done: true}) {
		t.Fatalf("%d %s", a.status, a.text)
	}
	want := w.history(guest.UserID)
	want = slices.DeleteFunc(want, func(m string) bool { return strings.Contains(m, "taken back") })
	if got := w.history(a.UserID); !slices.Equal(got, want[30:]) {
		t.Errorf("the customer sees\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want[30:], "\n"))
	}
	// The guest is used up: the token brings a stranger.
	next := visit(h, w.proxied("").Encode(), fmt.Sprintf(`{"guestToken":%q}`, guest.GuestToken))
	if next.status != 200 || next.UserID == guest.UserID || next.UserID == a.UserID || len(w.history(next.UserID)) != 0 {
		t.Errorf("afterwards: %d %s", next.status, next.text)
	}
	w.worker()()
	if got := w.history(a.UserID); len(got) != 100 {
		t.Errorf("%d messages after all jobs came twice", len(got))
	}
}

// testOnce: another customer with the same guest's token gets nothing, and the
// trail has one entry.
func testOnce(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	w := newShopWorld(t, store, clock)
	h := w.instance(store)
	guest := w.guest(h, 5)
	body := fmt.Sprintf(`{"guestToken":%q}`, guest.GuestToken)
	first := visit(h, w.proxied("1").Encode(), body)
	w.Advance(time.Second)
	again := visit(h, w.proxied("1").Encode(), body)
	thief := visit(h, w.proxied("2").Encode(), body)
	if first.Copied == nil || again.Copied == nil || *again.Copied != *first.Copied || thief.status != 200 || thief.Copied != nil {
		t.Errorf("%s\n%s\n%s", first.text, again.text, thief.text)
	}
	if got := w.history(thief.UserID); len(got) != 0 {
		t.Errorf("another customer sees %q", got)
	}
	if got := w.history(first.UserID); len(got) != 5 {
		t.Errorf("the customer sees %q", got)
	}
	if got := w.trail(); len(got) != 1 || !strings.Contains(got[0], guest.UserID) || !strings.Contains(got[0], first.UserID) || !strings.Contains(got[0], `"messages":5`) {
		t.Errorf("trail %q", got)
	}
}

func (w *shopWorld) trail() (entries []string) {
	w.Helper()
	page, err := w.bench.kv.List(w.Context(), "credential/copies", kv.Range{})
	w.Must(err)
	for _, item := range page.Items {
		entries = append(entries, string(item.Value))
	}
	return entries
}

// testCopyDeaths: the issuer dies at any of its commits. Whether the customer asks
// again or not, everything is copied once if the guest was ever used up.
func testCopyDeaths(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	w := newShopWorld(t, store, clock)
	customer := 100
	for _, again := range []bool{true, false} {
		enginetest.EachDeath(t, store, func(t *testing.T, name string, mortal kv.Store) {
			whole := w.instance(store)
			guest := w.guest(whole, 4)
			customer++
			body := fmt.Sprintf(`{"guestToken":%q}`, guest.GuestToken)
			ask := func(h http.Handler) shopAnswer { return visit(h, w.proxied(fmt.Sprint(customer)).Encode(), body) }
			a := ask(w.instance(mortal))
			w.Advance(time.Second)
			if again {
				if second := ask(whole); second.status != 200 || second.Copied == nil {
					t.Fatalf("%d %s", second.status, second.text)
				}
			}
			w.worker()()
			used := w.used(guest.UserID)
			got := w.history(w.customer(fmt.Sprint(customer)))
			if want := w.history(guest.UserID); used && !slices.Equal(got, want) || !used && (len(got) != 0 || a.status == 200 || again) {
				t.Errorf("again %v, used up %v, %d: %q", again, used, a.status, got)
			}
			if n := len(slices.DeleteFunc(w.trail(), func(e string) bool { return !strings.Contains(e, guest.UserID) })); used && n != 1 || !used && n != 0 {
				t.Errorf("%d entries in the trail", n)
			}
		})
	}
}

// used reports whether a guest became a customer.
func (w *shopWorld) used(guestID string) bool {
	_, err := w.bench.kv.Get(w.Context(), "guest/"+guestID, "copy")
	return err == nil
}

// customer is the UserID of a customer, as the issuer makes it.
func (w *shopWorld) customer(number string) string {
	w.Helper()
	w.Advance(time.Second)
	a := visit(w.instance(w.bench.kv), w.proxied(number).Encode(), "{}")
	if a.status != 200 {
		w.Fatalf("%d %s", a.status, a.text)
	}
	return a.UserID
}

// tries is how often the client of IM makes a call before it gives up.
const tries = 4

// testIMIsAway: each call of IM's fails, or its answer is lost, and the rest is
// copied later.
func testIMIsAway(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	w := newShopWorld(t, store, clock)
	h := w.instance(store)
	for i, command := range []string{"im_open_login_svc/account_import", "recentcontact/get_list", "openim/admin_getroammsg", "openim/importmsg"} {
		for j, fault := range []imtest.Fault{{Status: 502}, {LoseAnswer: true}} {
			guest := w.guest(h, 6)
			w.App.FailNext(command, slices.Repeat([]imtest.Fault{fault}, tries)...)
			w.Advance(time.Second)
			a := visit(h, w.proxied(fmt.Sprint(1000+10*i+j)).Encode(), fmt.Sprintf(`{"guestToken":%q}`, guest.GuestToken))
			if a.status != 200 || a.UserSig == "" {
				t.Errorf("%s: %d %s", command, a.status, a.text)
			}
			w.worker()()
			if got, want := w.history(a.UserID), w.history(guest.UserID); !slices.Equal(got, want) {
				t.Errorf("%s, %+v: %q, want %q", command, fault, got, want)
			}
		}
	}
	if left, err := due.New(store, credential.CopyProcess.Agenda, clock.Now).Sweep(t.Context(), nil); err != nil || left != 0 {
		t.Errorf("%d are still guarded, %v", left, err)
	}
}

// testStrangers: nobody gets a guest's conversation by anything but the guest's own
// token, and two guests who type the same address stay two.
func testStrangers(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	w := newShopWorld(t, store, clock)
	h := w.instance(store)
	one, two := w.guest(h, 3), w.guest(h, 0)
	if one.UserID == two.UserID || len(w.history(two.UserID)) != 0 {
		t.Errorf("two guests with one address: %s and %s, who sees %q", one.UserID, two.UserID, w.history(two.UserID))
	}
	payload, _, _ := strings.Cut(one.GuestToken, ".")
	_, sum, _ := strings.Cut(two.GuestToken, ".")
	for i, body := range []string{
		`{"email":"ann@example.com"}`,
		`{"guestToken":"` + one.UserID + `"}`,
		`{"guestToken":"` + payload + "." + sum + `"}`,
		`{"guestToken":"` + payload + `."}`,
		`{"guestToken":"` + one.UserSig + `"}`,
		`{"guestToken":"` + two.GuestToken + `"}`,
	} {
		a := visit(h, w.proxied(fmt.Sprint(50+i)).Encode(), body)
		if a.status != 200 || a.Copied != nil && a.Copied.Messages != 0 || len(w.history(a.UserID)) != 0 {
			t.Errorf("%.40s: %d %s", body, a.status, a.text)
		}
	}
	w.Advance(31 * 24 * time.Hour)
	if a := visit(h, w.proxied("99").Encode(), fmt.Sprintf(`{"guestToken":%q}`, one.GuestToken)); a.status != 200 || a.Copied != nil {
		t.Errorf("a token that has expired: %d %s", a.status, a.text)
	}
}

// testProfiles: what a guest types is profile data, written once; where IM is away
// it is written with the next request.
func testProfiles(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	w := newShopWorld(t, store, clock)
	h := w.instance(store)
	profile := func(userID string) string {
		list, err := w.Client().Portraits(t.Context(), []string{userID}, im.TagNick, im.TagSelfSignature)
		w.Must(err)
		text := ""
		for _, item := range list[0].Items {
			text += item.Text() + "|"
		}
		return text
	}
	count := func() (n int) {
		for _, call := range w.App.Calls() {
			if call.Command == "im_open_login_svc/account_import" || call.Command == "profile/portrait_set" {
				n++
			}
		}
		return n
	}
	guest := w.guest(h, 0)
	if got := profile(guest.UserID); got != "Ann <b>|ann@example.com|" {
		t.Errorf("profile %q", got)
	}
	body := fmt.Sprintf(`{"guestToken":%q,"email":"ann@example.com"}`, guest.GuestToken)
	before := count()
	visit(h, w.proxied("").Encode(), body)
	if n := count() - before; n != 0 {
		t.Errorf("the same profile is written again, with %d calls", n)
	}
	w.App.FailNext("profile/portrait_set", slices.Repeat([]imtest.Fault{{Status: 502}}, tries)...)
	if a := visit(h, w.proxied("").Encode(), fmt.Sprintf(`{"guestToken":%q,"email":"ann@new.example.com"}`, guest.GuestToken)); a.status != 200 {
		t.Errorf("while IM is away: %d %s", a.status, a.text)
	}
	visit(h, w.proxied("").Encode(), fmt.Sprintf(`{"guestToken":%q}`, guest.GuestToken))
	if got := profile(guest.UserID); got != "Ann <b>|ann@new.example.com|" {
		t.Errorf("profile %q", got)
	}
}

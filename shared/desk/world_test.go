package desk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/desk/salesforce"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	appID    = rulestest.AppID
	appKey   = rulestest.Key
	admin    = rulestest.Admin
	apiKey   = rulestest.APIKey
	greeting = "Thank you. Somebody will be with you soon."
	hookKey  = "secret of the desk's webhook"
)

// world is an emulated IM, a fake desk and a store, in which processes of ours come
// and go.
type world struct {
	*rulestest.World
	store kv.Store
	chat  *im.Client

	transport *http.Transport // of the desk's clients

	desk  desk.Desk
	fake  desktest.Fake
	doors desk.Doors
	conf  desk.Config
	// history stands in for what was said in groups; nil: the emulator's.
	history func(im.GroupHistoryQuery) im.GroupHistoryPage
}

// said is an IM in whose groups more was said than in the emulator's.
type said struct {
	desk.IM
	history func(im.GroupHistoryQuery) im.GroupHistoryPage
}

func (s said) GroupHistory(_ context.Context, q im.GroupHistoryQuery) (im.GroupHistoryPage, error) {
	return s.history(q), nil
}

// kind is one of the desks.
type kind string

const (
	zendeskKind    kind = "zendesk"
	salesforceKind kind = "salesforce"
)

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock, k kind) *world {
	t.Helper()
	w := &world{World: rulestest.New(t, clock, rulestest.Options{Callbacks: []string{}}), store: store}
	w.transport = &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(w.transport.CloseIdleConnections)
	w.chat = w.Client()
	w.doors.Gate = w.Gate("shop")
	w.conf = desk.Config{Greeter: admin, Greeting: greeting, Now: clock.Now}
	switch k {
	case zendeskKind:
		w.openZendesk()
	case salesforceKind:
		w.openSalesforce()
	}
	w.conf.Desk = w.desk
	return w
}

func (w *world) openZendesk() {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360, WebhookSecret: hookKey, Now: w.Clock.Now})
	d, err := zendesk.New(zendesk.Config{
		URL: w.HTTP(fake), ClientID: "app", ClientSecret: "s", GroupField: 360, Transport: w.transport, Now: w.Clock.Now,
	})
	w.Must(err)
	w.desk, w.fake = d, fake
	w.conf.GroupPrefix, w.conf.IDPrefix = zendesk.GroupPrefix, ""
	w.doors.Webhook = zendesk.Webhooks{Secrets: []string{hookKey}, Now: w.Clock.Now}
}

func (w *world) openSalesforce() {
	var fake *desktest.Salesforce
	url := w.HTTP(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) { fake.ServeHTTP(res, r) }))
	fake = desktest.NewSalesforce(desktest.SalesforceConfig{
		URL: url, APIVersion: "v67.0", ClientID: "app", ClientSecret: "s", KeyField: salesforce.KeyField, GroupField: salesforce.GroupField,
		HMACKey: hookKey, Now: w.Clock.Now,
	})
	d, err := salesforce.New(salesforce.Config{URL: url, APIVersion: "v67.0", ClientID: "app", ClientSecret: "s", Transport: w.transport, Now: w.Clock.Now})
	w.Must(err)
	w.desk, w.fake = d, fake
	w.conf.IDPrefix = salesforce.IDPrefix
	w.doors.Org = salesforceOrg(w.Clock.Now)
}

func salesforceOrg(now func() time.Time) func(http.Header, []byte) error {
	return salesforce.Org{HMACKey: hookKey, Now: now}.Check
}

// process is one process of ours.
type process struct {
	*world
	tickets *desk.Tickets
	ledger  *queue.Ledger
	routes  http.Handler
	heard   http.Handler // callbacks
}

// process starts a process over a store, which may be mortal.
func (w *world) process(store kv.Store) *process {
	conf := w.conf
	chat := w.Client()
	conf.Store, conf.IM, conf.Sends = store, chat, once.New(store, chat, w.Clock.Now)
	if w.history != nil {
		conf.IM = said{chat, w.history}
	}
	conf.Jobs = queue.NewLedger(store, w.Queue, w.Clock.Now)
	p := &process{world: w, ledger: conf.Jobs, tickets: desk.New(conf)}
	mux := http.NewServeMux()
	p.tickets.Routes(mux, w.doors)
	p.routes = api.Routes(mux)
	rules := callback.NewMux()
	p.tickets.Register(rules)
	p.heard = w.Endpoint(rules, nil)
	return p
}

// work carries out the jobs that are due, and those that these bring.
func (p *process) work() {
	p.Helper()
	p.Must(p.Queue.Work(p.Context(), p.ledger, p.Clock.Now))
}

// hours lets the clock tick for a while, as it does when nobody asks anything.
func (p *process) hours(n int) {
	p.Helper()
	for range n {
		for _, minutes := range []time.Duration{1, 1, 3, 5, 10, 20, 20} {
			p.Advance(minutes * time.Minute)
			for _, sweep := range []func(context.Context) error{
				desk.Requests.Sweep(p.store, p.ledger, p.Clock.Now), desk.Closings.Sweep(p.store, p.ledger, p.Clock.Now),
				desk.Places(p.store, p.ledger, p.Clock.Now),
			} {
				p.Must(sweep(p.Context()))
			}
			_, err := p.ledger.Sweep(p.Context())
			p.Must(err)
			p.work()
		}
	}
}

// reply is an answer over HTTP.
type reply struct {
	status int
	text   string
	json   map[string]any
}

func (p *process) do(r *http.Request) reply {
	p.Helper()
	w := httptest.NewRecorder()
	p.routes.ServeHTTP(w, r)
	out := reply{status: w.Code, text: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &out.json); err != nil && out.text != "" {
		p.Errorf("%s answered %s", r.URL.Path, out.text)
	}
	return out
}

// post is a request of a server.
func (w *world) post(path, body string) *http.Request {
	return w.Request(rulestest.Server, http.MethodPost, path, body)
}

// words stand in every ticket, and nowhere else.
const words = "my private words"

func wish(user string) string {
	return fmt.Sprintf(`{"userId":%q,"caseInfo":{"subject":"printer offline","desc":"%s of %s","name":"Jane Doe","email":"jane@example.com"}}`, user, words, user)
}

// wants is a user's request under a name.
func (w *world) wants(user string) *http.Request {
	r := w.post("/createticket", wish(user))
	r.Header.Set("Idempotency-Key", "request-of-"+user)
	return r
}

// opens asks for a ticket until there is an answer.
func (p *process) opens(user string) (ticketID, groupID string) {
	p.Helper()
	for range 10 {
		a := p.do(p.wants(user))
		if a.status == http.StatusOK {
			return a.json["ticketId"].(string), a.json["groupId"].(string)
		}
		if a.status != http.StatusServiceUnavailable && a.status != http.StatusConflict {
			p.Fatalf("%d %s", a.status, a.text)
		}
		p.Advance(time.Minute)
	}
	p.Fatal("no answer to ten requests")
	return "", ""
}

// told delivers what a desk sends.
func (p *process) told(d desktest.Delivery) {
	p.Helper()
	if a := p.do(d.Request(p.Context(), "http://function.invalid")); a.status != http.StatusOK {
		p.Fatalf("%d %s", a.status, a.text)
	}
}

// members are those of a group, by name; "none" if there is no group.
func (w *world) members(groupID string) string {
	return membersIn(w.App.State(), groupID)
}

// membersIn is members in a state of IM that is read once for many groups.
func membersIn(state imtest.State, groupID string) string {
	g := state.Group(groupID)
	if g.GroupID == "" {
		return "none"
	}
	var ids []string
	for _, m := range g.Members {
		ids = append(ids, m.UserID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// greetings counts what was said in a group.
func (w *world) greetings(groupID string) (n int) {
	w.Helper()
	for _, m := range w.App.State().Group(groupID).Messages {
		if m.From != admin || !strings.Contains(string(m.Body), greeting) {
			w.Errorf("in %s: %+v", groupID, m)
		}
		n++
	}
	return n
}

// whole requires that a user has exactly one ticket with its group, as it should
// be, and returns the ticket.
func (w *world) whole(user, agents string) desktest.Ticket {
	w.Helper()
	var own []desktest.Ticket
	for _, t := range w.fake.Tickets() {
		if strings.HasSuffix(t.Text, " of "+user) {
			own = append(own, t)
		}
	}
	if len(own) != 1 {
		w.Fatalf("%s has %d tickets: %+v", user, len(own), own)
	}
	t := own[0]
	if t.Group == "" || t.Subject != "printer offline" || t.Name != "Jane Doe" || t.Email != "jane@example.com" {
		w.Errorf("ticket %+v", t)
	}
	members := strings.Fields(agents + " " + user)
	slices.Sort(members)
	if got, want := w.members(t.Group), strings.Join(members, " "); got != want {
		w.Errorf("in the group of ticket %s: %s, want %s", t.ID, got, want)
	}
	if n := w.greetings(t.Group); n != 1 {
		w.Errorf("%d greetings in the group of ticket %s", n, t.ID)
	}
	var groups []string
	for _, g := range w.App.State().Groups {
		if g.Owner == user {
			groups = append(groups, g.GroupID)
		}
	}
	if len(groups) != 1 || groups[0] != t.Group {
		w.Errorf("groups of %s: %s, want %s", user, groups, t.Group)
	}
	return t
}

// quiet requires that nothing is left to do.
func (p *process) quiet() {
	p.Helper()
	o, err := p.ledger.Overview(p.Context())
	p.Must(err)
	if o != (queue.Overview{}) {
		dead, _ := p.ledger.DeadJobs(p.Context(), 10)
		next, _ := p.Queue.Next(p.Clock.Now().Add(1000 * time.Hour))
		p.Errorf("jobs left: %+v, as %s of %s at %s, dead %+v", o, next.ID, next.NotBefore, p.Clock.Now(), dead)
	}
}

// with is the same world in a subtest.
func (w *world) with(t *testing.T) *world {
	sub := *w
	sub.World = w.With(t)
	return &sub
}

// with is the same process in a subtest.
func (p *process) with(t *testing.T) *process {
	sub := *p
	sub.world = p.world.with(t)
	return &sub
}

func sorted(ids ...string) string {
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

package desk_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

const (
	appID    = 1400000002
	appKey   = "a key for these tests alone"
	admin    = "administrator"
	apiKey   = "an API key for these tests"
	greeting = "Thank you. Somebody will be with you soon."
	hookKey  = "secret of the desk's webhook"
)

// world is an emulated IM, a fake desk, a store and a queue on one clock that
// stands. What is shared is the wire.
type world struct {
	*testing.T
	clock *kvtest.Clock
	imNow *imtest.Clock
	store kv.Store
	queue *queuetest.Line
	app   *imtest.App
	users *usersig.Signer
	chat  *im.Client

	chatURL   string
	transport *http.Transport

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
	w := &world{T: t, clock: clock, imNow: imtest.NewManualClock(clock.Now()), store: store, queue: &queuetest.Line{}}
	emulator := imtest.NewServer(imtest.Options{Clock: w.imNow, Seed: 1})
	w.app = emulator.AddApp(imtest.AppConfig{SDKAppID: appID, Key: appKey, RatePerAPI: -1})
	w.chatURL = w.serve(emulator)
	t.Cleanup(emulator.Close)
	w.transport = &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(w.transport.CloseIdleConnections)
	w.chat = w.client()
	var err error
	w.users, err = usersig.NewSignerAt(appID, appKey, clock.Now)
	w.must(err)
	sum := sha256.Sum256([]byte(apiKey))
	keys, err := api.ParseKeys([]string{"shop:" + hex.EncodeToString(sum[:])})
	w.must(err)
	w.doors.Gate = &api.Gate{Keys: keys, Users: w.users}
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

// client is another client of IM, as each instance of ours has one.
func (w *world) client() *im.Client {
	w.Helper()
	c, err := im.NewClient(im.Config{
		Domain: w.chatURL, SDKAppID: appID, Key: appKey, Admin: admin, Now: w.clock.Now, Transport: w.transport,
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.advance(d)
			return ctx.Err()
		},
	})
	w.must(err)
	return c
}

func (w *world) openZendesk() {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360, WebhookSecret: hookKey, Now: w.clock.Now})
	d, err := zendesk.New(zendesk.Config{
		URL: w.serve(fake), ClientID: "app", ClientSecret: "s", GroupField: 360, Transport: w.transport, Now: w.clock.Now,
	})
	w.must(err)
	w.desk, w.fake = d, fake
	w.conf.GroupPrefix, w.conf.IDPrefix = zendesk.GroupPrefix, ""
	w.doors.Webhook = zendesk.Webhooks{Secrets: []string{hookKey}, Now: w.clock.Now}
}

func (w *world) openSalesforce() {
	var fake *desktest.Salesforce
	url := w.serve(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) { fake.ServeHTTP(res, r) }))
	fake = desktest.NewSalesforce(desktest.SalesforceConfig{
		URL: url, APIVersion: "v67.0", ClientID: "app", ClientSecret: "s", KeyField: salesforce.KeyField, GroupField: salesforce.GroupField,
		HMACKey: hookKey, Now: w.clock.Now,
	})
	d, err := salesforce.New(salesforce.Config{URL: url, APIVersion: "v67.0", ClientID: "app", ClientSecret: "s", Transport: w.transport, Now: w.clock.Now})
	w.must(err)
	w.desk, w.fake = d, fake
	w.conf.IDPrefix = salesforce.IDPrefix
	w.doors.Org = salesforceOrg(w.clock.Now)
}

func salesforceOrg(now func() time.Time) func(http.Header, []byte) error {
	return salesforce.Org{HMACKey: hookKey, Now: now}.Check
}

func (w *world) serve(h http.Handler) string {
	server := httptest.NewServer(h)
	w.Cleanup(server.Close)
	return server.URL
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) advance(d time.Duration) {
	w.clock.Advance(d)
	w.imNow.Advance(d)
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
	chat := w.client()
	conf.Store, conf.IM, conf.Sends = store, chat, once.New(store, chat, w.clock.Now)
	if w.history != nil {
		conf.IM = said{chat, w.history}
	}
	conf.Jobs = queue.NewLedger(store, w.queue, w.clock.Now)
	p := &process{world: w, ledger: conf.Jobs, tickets: desk.New(conf)}
	mux := http.NewServeMux()
	p.tickets.Routes(mux, w.doors)
	p.routes = api.Routes(mux)
	rules := callback.NewMux()
	p.tickets.Register(rules)
	var err error
	p.heard, err = callback.NewEndpoint(callback.Config{SDKAppID: appID, Token: "token", Mux: rules, Now: w.clock.Now})
	w.must(err)
	return p
}

// work carries out the jobs that are due, and those that these bring.
func (p *process) work() {
	p.Helper()
	p.must(p.queue.Work(p.Context(), p.ledger, p.clock.Now))
}

// hours lets the clock tick for a while, as it does when nobody asks anything.
func (p *process) hours(n int) {
	p.Helper()
	for range n {
		for _, minutes := range []time.Duration{1, 1, 3, 5, 10, 20, 20} {
			p.advance(minutes * time.Minute)
			for _, sweep := range []func(context.Context) error{
				desk.Requests.Sweep(p.store, p.ledger, p.clock.Now), desk.Closings.Sweep(p.store, p.ledger, p.clock.Now),
				desk.Places(p.store, p.ledger, p.clock.Now),
			} {
				p.must(sweep(p.Context()))
			}
			_, err := p.ledger.Sweep(p.Context())
			p.must(err)
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
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)).WithContext(w.Context())
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+apiKey)
	return r
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
		p.advance(time.Minute)
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
	g := w.app.State().Group(groupID)
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
	for _, m := range w.app.State().Group(groupID).Messages {
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
	for _, g := range w.app.State().Groups {
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
	p.must(err)
	if o != (queue.Overview{}) {
		dead, _ := p.ledger.DeadJobs(p.Context(), 10)
		p.Errorf("jobs left: %+v, dead %+v", o, dead)
	}
}

// with is the same world in a subtest.
func (w *world) with(t *testing.T) *world {
	sub := *w
	sub.T = t
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

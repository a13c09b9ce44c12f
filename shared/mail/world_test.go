package mail_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/mail/mailtest"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	apiKey  = rulestest.APIKey
	hookKey = "what calls of the game are signed with"
	server  = rulestest.Server
)

// world is an emulated IM, a game and a store, in which processes of ours come and go.
type world struct {
	*rulestest.World
	store kv.Store
	game  *mailtest.Game
	gate  *api.Gate
	conf  mail.Config
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{World: rulestest.New(t, clock, rulestest.Options{Callbacks: []string{}}), store: store, game: mailtest.NewGame(hookKey, clock.Now)}
	w.gate = w.Gate("game")
	w.conf = mail.Config{
		From: rulestest.Admin, Push: true, Keep: 30 * 24 * time.Hour, Trade: 10 * time.Minute, Now: clock.Now, Sleep: w.Sleep,
		Hook: &hook.Hook{URL: w.HTTP(w.game), Key: hookKey, Now: clock.Now},
	}
	return w
}

// onBolt is a world in a file.
func onBolt(t *testing.T) *world {
	t.Helper()
	clock := kvtest.NewClock()
	return newWorld(t, rulestest.Store(t, clock), clock)
}

// recorded is a world in a file, all of which can be read.
func recorded(t *testing.T) (*world, *kvtest.Recorder) {
	clock := kvtest.NewClock()
	r := kvtest.Record(rulestest.Store(t, clock))
	return newWorld(t, r, clock), r
}

// onSleep has something happen whenever the sender of a process waits. The process is
// made anew.
func (w *world) onSleep(p *proc, do func(p *proc)) {
	w.conf.Sleep = func(ctx context.Context, d time.Duration) error {
		do(p)
		return w.Sleep(ctx, d)
	}
	*p = *w.process(p.store)
}

// with is the same world in a subtest.
func (w *world) with(t *testing.T) *world {
	sub := *w
	sub.World = w.With(t)
	return &sub
}

// process is one process of ours.
type proc struct {
	*world
	mails  *mail.Mails
	ledger *queue.Ledger
	routes http.Handler
}

// process starts a process over a store, which may be mortal.
func (w *world) process(store kv.Store) *proc {
	w.Helper()
	client := w.Client()
	p := &proc{world: w, ledger: queue.NewLedger(store, w.Queue, w.Clock.Now)}
	conf := w.conf
	conf.Store, conf.Jobs = store, p.ledger
	if conf.IM == nil {
		conf.IM = client
	}
	if conf.Sends == nil {
		conf.Sends = once.New(store, client, w.Clock.Now)
	}
	p.mails = mail.New(conf)
	mux := http.NewServeMux()
	p.mails.Routes(mux, mail.RoutesConfig{RoutesConfig: api.RoutesConfig{Gate: w.gate, Keeper: idem.New(store, w.Clock.Now)}, Profiles: client})
	p.routes = api.Routes(mux)
	return p
}

// logins makes users, who are then online.
func (w *world) logins(users ...string) {
	w.Helper()
	for _, id := range users {
		w.Login(id)
	}
}

// work carries out the jobs that are due.
func (p *proc) work() {
	p.Helper()
	for range 3 {
		p.Work(p.ledger)
	}
}

// minutes lets the clock tick for a while, as it does when nobody does anything.
func (p *proc) minutes(n int) {
	p.Helper()
	for i := range n {
		p.Advance(time.Minute)
		for _, name := range []process.Name{mail.Campaigns, mail.Claims, mail.Trades} {
			p.Must(name.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		}
		if i%3 == 0 {
			_, err := p.ledger.Sweep(p.Context())
			p.Must(err)
		}
		p.work()
	}
}

// do sends a request of a user, or of a server. header is an Idempotency-Key.
func (p *proc) do(user, method, path, body string, header ...string) rulestest.Reply {
	p.Helper()
	return p.send(p.Request(user, method, path, body, header...))
}

func (p *proc) send(r *http.Request) rulestest.Reply {
	return p.Ask(p.routes, r)
}

// want fails unless an answer has a status and, for an error, a code.
func (p *proc) want(a rulestest.Reply, status int, code string) {
	p.Helper()
	if a.Status != status || a.Code != code {
		p.Fatalf("%d %s, want %d %q", a.Status, a.Text, status, code)
	}
}

// mail sends a mail and returns the campaign.
func (p *proc) mail(key, body string) mail.View {
	p.Helper()
	return rulestest.Into[mail.View](p, p.do(server, http.MethodPost, "/mail", body, key))
}

func (p *proc) campaign(id string) mail.View {
	p.Helper()
	return rulestest.Into[mail.View](p, p.do(server, http.MethodGet, "/mail/"+id, ""))
}

func (p *proc) inbox(user string) mail.Inbox {
	p.Helper()
	return rulestest.Into[mail.Inbox](p, p.do(user, http.MethodGet, "/inbox", ""))
}

// received counts the messages about a mail in IM's history of a user.
func (w *world) received(mailID string) map[string]int {
	got := make(map[string]int)
	for _, c := range w.App.State().Conversations {
		for _, m := range c.Messages {
			if strings.Contains(string(m.Body), mailID) {
				got[m.To]++
			}
		}
	}
	return got
}

// watched counts the commits of a store.
type watched struct {
	kv.Store
	n atomic.Int64
}

func watch(s kv.Store) *watched {
	w := &watched{}
	w.Store = kvtest.Hook(s, func(method string, call func() error) error {
		if method == "Commit" || method == "Tally" {
			w.n.Add(1)
		}
		return call()
	})
	return w
}

// commits returns how many there were since the last call.
func (w *watched) commits() int64 { return w.n.Swap(0) }

func quoted(users []string) string {
	b, _ := json.Marshal(users)
	return string(b)
}

func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return list
}

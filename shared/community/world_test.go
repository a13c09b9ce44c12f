package community_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/community/voice"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	voiceTimeout = time.Minute
	eventKey     = "what TRTC signs its events with"
)

// world is an emulated IM and a store, in which processes of ours come and go.
type world struct {
	*rulestest.World
	store kv.Store
	gate  *api.Gate
	conf  community.Config
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock, o rulestest.Options) *world {
	t.Helper()
	w := &world{World: rulestest.New(t, clock, o), store: store}
	w.gate = w.Gate("shop")
	template, err := community.ParseTemplate(
		`[{"name":"Text","channels":[{"name":"general"},{"name":"random"}]},{"name":"Voice","channels":[{"name":"lobby","kind":"voice"},{"name":"games","kind":"voice"}]}]`,
		`{"moderator":["post","thread","voice","manage"],"reader":[],"writer":["post"]}`)
	w.Must(err)
	w.conf = community.Config{
		Admin: rulestest.Admin, Template: template, CategoryField: "categories", PinField: "pins", RoleField: "role", Now: clock.Now, Sleep: w.Sleep,
	}
	return w
}

// onBolt is a world in a file.
func onBolt(t *testing.T) *world { return onBoltWith(t, kvtest.NewClock(), rulestest.Options{}) }

func onBoltWith(t *testing.T, clock *kvtest.Clock, o rulestest.Options) *world {
	t.Helper()
	return newWorld(t, rulestest.Store(t, clock), clock, o)
}

// process is one process of ours.
type process struct {
	*world
	mortal      kv.Store // what it was started over
	communities *community.Communities
	marks       *mark.Marks
	threads     *thread.Threads
	voice       *voice.Voice
	ledger      *queue.Ledger
	routes      http.Handler
}

// process starts a process over a store, which may be mortal, that hears IM's
// callbacks from now on.
func (w *world) process(store kv.Store, companions ...community.Companion) *process {
	w.Helper()
	client := w.Client()
	p := &process{world: w, mortal: store, ledger: queue.NewLedger(store, w.Queue, w.Clock.Now)}
	conf := w.conf
	conf.Store, conf.Jobs, conf.IM, conf.Sends = store, p.ledger, client, once.New(store, client, w.Clock.Now)
	p.communities = community.New(conf)
	p.marks = mark.New(mark.Config{Store: store, Jobs: p.ledger, IM: client, Communities: p.communities, Judge: judge, Now: w.Clock.Now})
	p.threads = thread.New(thread.Config{
		Store: store, Jobs: p.ledger, IM: client, Admin: rulestest.Admin, Communities: p.communities, Marks: p.marks, Now: w.Clock.Now,
	})
	p.voice = voice.New(voice.Config{
		Store: store, Communities: p.communities, Timeout: voiceTimeout, Signer: w.Users, TTL: time.Hour, EventKey: eventKey, Now: w.Clock.Now,
	})
	p.communities.Attach(p.threads, p.voice)
	p.communities.Attach(companions...)
	rules := callback.NewMux()
	p.communities.Register(rules)
	p.marks.Register(rules)
	p.threads.Register(rules)
	w.Serve(rules)
	mux := http.NewServeMux()
	routes := api.RoutesConfig{Gate: w.gate, Keeper: idem.New(store, w.Clock.Now)}
	p.communities.Routes(mux, routes)
	p.marks.Routes(mux, routes)
	p.threads.Routes(mux, routes)
	p.voice.Routes(mux, routes)
	p.routes = api.Routes(mux)
	return p
}

// work carries out the jobs that are due.
func (p *process) work() {
	p.Helper()
	for range 3 {
		p.Work(p.ledger)
	}
}

// minutes lets the clock tick for a while, as it does when nobody does anything.
func (p *process) minutes(n int) {
	p.Helper()
	for i := range n {
		p.Advance(time.Minute)
		p.Must(community.Looks.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		p.Must(community.Members.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		p.Must(community.Mutes.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		p.Must(community.Invites.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		p.Must(community.Reviews.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		p.Must(mark.Checks.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		p.Must(thread.Copies.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		p.Must(thread.Follows.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
		if i%3 == 0 {
			_, err := p.ledger.Sweep(p.Context())
			p.Must(err)
		}
		p.work()
	}
}

// server stands for a server where a UserID is asked for.
const server = rulestest.Server

// do sends a request of a user, or of a server. header is an Idempotency-Key.
func (p *process) do(user, method, path, body string, header ...string) rulestest.Reply {
	p.Helper()
	r := p.Request(user, method, path, body, header...)
	return p.Ask(p.routes, r)
}

// judge is a word filter.
func judge(_ context.Context, _, _, _ string, body im.MsgBody) (string, error) {
	if strings.Contains(body.PlainText(), "casino") {
		return "this is not allowed here", nil
	}
	return "", nil
}

const prefix = "@TGS#_"

// opens creates a community of ann's.
func (p *process) opens(name string) community.Community {
	p.Helper()
	is := rulestest.Into[community.Community](p, p.do(server, "POST", "/communities", fmt.Sprintf(`{"communityId":%q,"name":"Gamers","owner":"ann"}`, name), "open-"+name))
	p.work()
	return is
}

// get is a community by GET.
func (p *process) get(name string) community.Community {
	p.Helper()
	return rulestest.Into[community.Community](p, p.do(server, "GET", "/communities/"+name, ""))
}

// path is a route of a community's channel.
func path(name string, ch community.Channel, rest string) string {
	return "/communities/" + name + "/channels/" + url.PathEscape(ch.ChannelID) + rest
}

// channel finds a channel by its name.
func (p *process) channel(name, channel string) community.Channel {
	p.Helper()
	for _, ch := range p.get(name).Channels() {
		if ch.Name == channel {
			return ch
		}
	}
	p.Fatalf("no channel %s", channel)
	return community.Channel{}
}

// adds makes a channel and returns it.
func (p *process) adds(name, body, key string) community.Channel {
	p.Helper()
	before := p.get(name).Channels()
	for _, ch := range rulestest.Into[community.Community](p, p.do(server, "POST", "/communities/"+name+"/channels", body, key)).Channels() {
		was := false
		for _, one := range before {
			was = was || one.ChannelID == ch.ChannelID
		}
		if !was {
			return ch
		}
	}
	p.Fatalf("no new channel")
	return community.Channel{}
}

// enters has users join a community.
func (p *process) enters(name string, users ...string) (list []*imtest.Client) {
	p.Helper()
	for _, user := range users {
		c := p.Login(user)
		p.Must(c.Join(prefix + name))
		list = append(list, c)
	}
	p.work()
	return list
}

// says has a user write in a channel, and returns IM's code.
func (p *process) says(c *imtest.Client, ch community.Channel, text string) int {
	p.Helper()
	_, err := c.Send(ch.GroupID, imtest.Draft{Text: text, TopicID: ch.TopicID})
	p.Must(p.App.Settle(p.Context()))
	return imtest.Code(err)
}

// group is a group in IM.
func (w *world) group(id string) imtest.GroupState { return w.App.State().Group(id) }

// inStep requires that IM shows what the store says.
func (p *process) inStep(name string) {
	p.Helper()
	is, g := p.get(name), p.group(prefix+name)
	topics := make(map[string]imtest.TopicState)
	for _, t := range g.Topics {
		topics[t.TopicID] = t
	}
	n := 0
	for _, category := range is.Categories {
		for i, ch := range category.Channels {
			if ch.Position != i {
				p.Errorf("%s is at %d, and says %d", ch.Name, i, ch.Position)
			}
			if ch.Kind == community.Private {
				if work := p.group(ch.GroupID); work.Type != "Private" || work.Name != ch.Name {
					p.Errorf("the private channel %s has the group %+v", ch.Name, work)
				}
				continue
			}
			n++
			want := fmt.Sprintf(`{"category":%q,"type":%q}`, category.Name, ch.Kind)
			if ch.SlowModeSeconds > 0 {
				want = fmt.Sprintf(`{"category":%q,"type":%q,"slowModeSeconds":%d}`, category.Name, ch.Kind, ch.SlowModeSeconds)
			}
			if t := topics[ch.TopicID]; t.Name != ch.Name || t.Custom != want {
				p.Errorf("the channel %s %s has the topic %+v", ch.Name, want, t)
			}
		}
	}
	if n != len(topics) {
		p.Errorf("%d channels, %d topics", n, len(topics))
	}
	var names []string
	for _, category := range is.Categories {
		names = append(names, category.Name)
	}
	shown, err := json.Marshal(names)
	p.Must(err)
	if names == nil {
		shown = []byte("[]")
	}
	if g.Name != is.Name || g.Data["categories"] != string(shown) {
		p.Errorf("the community is %s %s, and its group %s %s", is.Name, shown, g.Name, g.Data["categories"])
	}
}

// dump is all that a store in a file holds, one item a line, but for answers that are
// kept for repeated requests, for what the queue and the agendas keep, and for what
// was deleted.
func (w *world) dump() string {
	w.Helper()
	var b, text bytes.Buffer
	w.Must(w.store.(*boltkv.Store).Dump(&b))
	for d := json.NewDecoder(&b); ; {
		var line struct {
			Name    string
			Deleted bool
			Value   []byte
		}
		if err := d.Decode(&line); err != nil {
			return text.String()
		}
		if strings.HasPrefix(line.Name, "community") && !line.Deleted {
			fmt.Fprintf(&text, "%s %s\n", line.Name, line.Value)
		}
	}
}

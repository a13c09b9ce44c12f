package community_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// counted counts the calls of a store: each is a command or a script of Redis.
type counted struct {
	kv.Store
	n atomic.Int64
}

func (s *counted) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	s.n.Add(1)
	return s.Store.Get(ctx, partition, key)
}

func (s *counted) List(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	s.n.Add(1)
	return s.Store.List(ctx, partition, r)
}

func (s *counted) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	s.n.Add(1)
	return s.Store.Commit(ctx, partition, op, writes...)
}

// TestUnits holds what docs/scenarios/community.md says an event costs: write and read
// units of DynamoDB, calls of the store, which are commands on Redis, and calls of IM.
// Callbacks, jobs and guards are included.
//
//	go test -run TestUnits -v ./shared/community
func TestUnits(t *testing.T) {
	proxy := dynamotest.Start(t)
	clock := kvtest.NewClock()
	store := &counted{Store: enginetest.DynamoDB(t, proxy.URL, clock.Now)}
	r := &rates{now: clock.Now}
	r.reset()
	w := newWorld(t, store, clock, rulestest.Options{OnREST: r.heard})
	p := w.process(store)
	p.opens("town")
	cl := p.enters("town", "bob", "cat", "mod")
	bob := cl[0]
	general, lobby := p.channel("town", "general"), p.channel("town", "lobby")
	slow := p.adds("town", `{"name":"slow","slowModeSeconds":1}`, "slow")
	p.says(bob, general, "a message of usual length, about nothing in particular")
	const many = 200
	ids := make([]string, many)
	for i := range ids {
		ids[i] = fmt.Sprintf("user%03d", i)
		w.Login(ids[i])
	}
	n := 0
	key := func() string { n++; return fmt.Sprint("key", n) }
	said := func(in func() int) func() {
		return func() {
			if code := in(); code != 0 {
				t.Errorf("code %d", code)
			}
			p.work()
		}
	}
	th := p.thread("bob", "town", fmt.Sprintf(`{"name":"answers","channelId":%q,"msgSeq":1}`, general.ChannelID), key())
	p.later(3)
	version := func() int64 { return p.get("town").Version }
	for _, c := range []struct {
		name          string
		times         int
		writes, reads float64 // the most that it may cost, each time
		do            func()
	}{
		{"a message", 4, 0, 2, said(func() int { return p.says(bob, general, "hello") })},
		{"a message in a slow channel", 4, 1, 5, said(func() int { w.Advance(2 * time.Second); return p.says(bob, slow, "hello") })},
		{"a message in a sub-channel, and its parent a second later", 4, 21, 23, said(func() int {
			code := p.says(bob, as(th), "hello")
			p.later(2)
			return code
		})},
		{"200 users join", 1, 2.2 * many, 5.6 * many, func() {
			if _, err := w.Client().AddGroupMembers(t.Context(), prefix+"town", ids, true); err != nil {
				t.Fatal(err)
			}
			p.work()
		}},
		{"a user leaves", 4, 2, 6, func() {
			n++
			w.Must(w.Login(ids[n]).Quit(prefix + "town"))
			p.work()
		}},
		{"a role is given", 4, 13, 17, func() {
			n++
			rulestest.Into[any](p, p.do(server, "PUT", "/communities/town/members/"+ids[n]+"/role", `{"role":"writer"}`))
			p.work()
		}},
		{"a user is muted", 4, 12, 16, func() {
			n++
			rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/mute", fmt.Sprintf(`{"userId":%q}`, ids[n]), key()))
			p.work()
		}},
		{"a channel is made", 4, 19, 18, func() {
			rulestest.Into[any](p, p.do(server, "POST", "/communities/town/channels", `{"name":"more"}`, key()))
			p.work()
		}},
		{"a channel is renamed", 4, 14, 22, func() {
			rulestest.Into[any](p, p.do(server, "PATCH", path("town", slow, ""), fmt.Sprintf(`{"name":"slow%d","version":%d}`, n, version())))
			n++
			p.work()
		}},
		{"a reaction, and its message a second later", 4, 27, 38, func() {
			n++
			rulestest.Into[any](p, p.do(ids[n], "PUT", messagePath("town", general, 1, "/reactions/smile"), ``))
			p.later(2)
		}},
		{"a user enters a voice channel", 4, 3, 18, func() {
			n++
			w.Advance(time.Second)
			rulestest.Into[any](p, p.do(ids[n], "PUT", voicePath("town", lobby, "/me"), `{}`))
		}},
		{"a heartbeat in a voice channel with four users", 4, 1, 13, func() {
			rulestest.Into[any](p, p.do(ids[n], "POST", voicePath("town", lobby, "/me/heartbeat"), `{}`))
		}},
		{"totals of a user", 4, 0, 17, func() { rulestest.Into[any](p, p.do("bob", "GET", "/communities/town/totals", ``)) }},
		{"a sub-channel of the group form with 200 members", 1, 42, 48, func() {
			p.thread("bob", "town", fmt.Sprintf(`{"name":"group","channelId":%q,"form":"group"}`, general.ChannelID), key())
			p.work()
		}},
		{"a user joins, with one such sub-channel", 4, 17, 20, func() {
			n++
			w.Must(w.Login(fmt.Sprint("late", n)).Join(prefix + "town"))
			p.work()
		}},
		{"a message in such a sub-channel, with the hour's review", 1, 11, 21, func() {
			w.Advance(time.Hour)
			groups := rulestest.Into[struct{ Threads []struct{ GroupID string } }](p, p.do(server, "GET", "/communities/town/threads", ``))
			for _, one := range groups.Threads {
				if one.GroupID != general.GroupID {
					if _, err := w.Login("cat").Send(one.GroupID, imtest.Draft{Text: "hello"}); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.work()
		}},
	} {
		p.work()
		proxy.Units()
		store.n.Store(0)
		r.reset()
		for range c.times {
			c.do()
		}
		u, calls, times := proxy.Units(), 0, float64(c.times)
		for command, n := range r.calls {
			if command != "im_open_login_svc/account_import" { // of the test
				calls += n
			}
		}
		t.Logf("%-60s %6.1f WU %6.1f RU %6.1f calls of the store %5.1f of IM", c.name, u.Write/times, u.Read/times, float64(store.n.Load())/times, float64(calls)/times)
		if u.Write/times > c.writes || u.Read/times > c.reads {
			t.Errorf("%s costs %.1f write and %.1f read units, at most %.0f and %.0f were said", c.name, u.Write/times, u.Read/times, c.writes, c.reads)
		}
	}
}

package community_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// with is the same world in a subtest.
func (w *world) with(t *testing.T) *world {
	sub := *w
	sub.World = w.With(t)
	return &sub
}

// until repeats a request until it is answered for good.
func (p *process) until(ask func() rulestest.Reply) (a rulestest.Reply) {
	p.Helper()
	p.Until(func() bool {
		a = ask()
		return a.Status < 500 && a.Status != http.StatusConflict
	})
	return a
}

// eachDeath lets a process die at each of its commits while it does something. life
// does that and returns what must hold afterwards.
func eachDeath(t *testing.T, life func(w *world, dying *process, name string) (after func(*process))) {
	shared := onBolt(t)
	rulestest.Deaths[*process]{
		Store: shared.store,
		Start: func(t *testing.T) (*rulestest.World, func(kv.Store) *process) {
			w := shared.with(t)
			return w.World, func(store kv.Store) *process { return w.process(store) }
		},
		Ledger: func(p *process) *queue.Ledger { return p.ledger },
		Tick:   func(p *process) { p.minutes(3) }, TickFirst: true,
		Pauses: []time.Duration{0, 10 * time.Minute, 24 * time.Hour},
	}.Each(t, func(dying *process, name string) func(*process) { return life(dying.world, dying, name) })
}

// last does what a process still can do that is about to die.
func (p *process) last(ask func()) {
	p.Helper()
	p.Last(p.ledger, ask)
}

// TestCreatingDies: whether the server asks again or never does, with answers of IM
// lost on the way, the community has its group and the template's channels, each
// once, or there is neither.
func TestCreatingDies(t *testing.T) {
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprintf("asked again %v", again), func(t *testing.T) {
			eachDeath(t, func(w *world, dying *process, name string) func(*process) {
				ask := func(p *process) rulestest.Reply {
					return p.do(server, "POST", "/communities", fmt.Sprintf(`{"communityId":%q,"name":"Gamers","owner":"ann"}`, name), "open-"+name)
				}
				for _, command := range []string{"group_open_http_svc/create_group", "million_group_open_http_svc/create_topic", "million_group_open_http_svc/create_topic"} {
					w.App.FailNext(command, imtest.Fault{LoseAnswer: true})
				}
				dying.last(func() { ask(dying) })
				return func(next *process) {
					if again {
						if a := next.until(func() rulestest.Reply { return ask(next) }); a.Status != http.StatusCreated {
							w.Errorf("%d %s", a.Status, a.Text)
						}
						next.work()
					}
					there := next.do(server, "GET", "/communities/"+name, "").Status == http.StatusOK
					if there != (w.group(prefix+name).GroupID != "") || again && !there {
						w.Errorf("the community answers %v, and its group is %q", there, w.group(prefix+name).GroupID)
					}
					if there {
						next.inStep(name)
					}
				}
			})
		})
	}
}

// TestKeyOfADeath: a process dies over a request, and once the time of a request is
// over, the same Idempotency-Key does what was asked.
func TestKeyOfADeath(t *testing.T) {
	shared := onBolt(t)
	shared.process(shared.store).opens("club")
	enginetest.EachDeath(t, shared.store, func(t *testing.T, name string, mortal kv.Store) {
		w := shared.with(t)
		ask := func(p *process) rulestest.Reply {
			return p.do(server, "POST", "/communities/club/mute", fmt.Sprintf(`{"userId":%q,"seconds":600}`, name), name)
		}
		ask(w.process(mortal))
		w.Advance(31 * time.Second)
		next := w.process(w.store)
		if a := ask(next); a.Status != http.StatusOK {
			w.Errorf("%d %s", a.Status, a.Text)
		}
		if a := next.do(server, "GET", "/communities/club/restrictions/"+name, ""); !strings.Contains(a.Text, `"mute"`) {
			w.Errorf("%d %s", a.Status, a.Text)
		}
	})
}

// TestAdoptionDies: the default channels after IM's callback, which a function that
// dies leaves to a job or to IM's retry.
func TestAdoptionDies(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		w.conf.Adopt = "@TGS#_"
		dying = w.process(dying.mortal)
		bob := w.Login("bob")
		dying.last(func() {
			if _, err := bob.Do("group_open_http_svc/create_group", fmt.Appendf(nil, `{"Type":"Community","GroupId":"@TGS#_%s","Name":"Club","SupportTopic":1,"Owner_Account":"bob"}`, name)); err != nil {
				w.Fatalf("%v", err)
			}
		})
		heard := &callback.GroupAfterCreate{
			Base: callback.Base{CallbackCommand: "Group.CallbackAfterCreateGroup"}, GroupID: prefix + name, Owner: "bob", Operator: "bob",
			Type: "Community", Name: "Club", EventTime: callback.Millis(w.Clock.Now().UnixMilli()),
		}
		return func(*process) {
			w.conf.Adopt = "@TGS#_"
			next := w.process(w.store)
			w.Heard(heard) // IM's retry
			next.work()
			next.inStep(name)
			if n := len(w.group(prefix + name).Topics); n != 4 {
				w.Errorf("%d topics", n)
			}
		}
	})
}

// TestPrivateChannelDies: a private channel is made, a member invited, and the
// member leaves. In the end the group is there if the store says so, and nobody is
// in it who is not invited.
func TestPrivateChannelDies(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		t.Run(fmt.Sprintf("leaves %v", leaves), func(t *testing.T) {
			eachDeath(t, func(w *world, dying *process, name string) func(*process) {
				before := w.process(w.store)
				before.opens(name)
				bob := before.enters(name, "bob")[0]
				w.process(dying.mortal)
				invite := func(p *process) rulestest.Reply {
					for _, ch := range p.get(name).Channels() {
						if ch.Name == "secret" {
							return p.do("ann", "POST", path(name, ch, "/invitations"), `{"userId":"bob"}`)
						}
					}
					return rulestest.Reply{}
				}
				dying.last(func() {
					dying.do("ann", "POST", "/communities/"+name+"/channels", `{"name":"secret","kind":"private"}`, "secret-"+name)
					if a := dying.do(server, "GET", "/communities/"+name, ``); a.Status == http.StatusOK && strings.Contains(a.Text, "secret") {
						invite(dying)
					}
					if leaves {
						w.Must(bob.Quit(prefix + name))
					}
				})
				left := &callback.GroupAfterMemberExit{
					Base: callback.Base{CallbackCommand: "Group.CallbackAfterMemberExit"}, GroupID: prefix + name, Type: "Community", ExitType: "Quit",
					Operator: "bob", ExitMembers: []callback.Member{{UserID: "bob"}}, EventTime: callback.Millis(w.Clock.Now().UnixMilli()),
				}
				return func(next *process) {
					if leaves {
						w.Heard(left) // IM's retry
					}
					made := next.until(func() rulestest.Reply {
						return next.do("ann", "POST", "/communities/"+name+"/channels", `{"name":"secret","kind":"private"}`, "secret-"+name)
					})
					if made.Status != http.StatusOK {
						w.Errorf("%d %s", made.Status, made.Text)
					}
					next.work()
					next.inStep(name)
					ch := next.channel(name, "secret")
					if !leaves {
						next.until(func() rulestest.Reply { return invite(next) })
						next.work()
					}
					if isIn(next, ch.GroupID, "bob") == leaves {
						w.Errorf("the member has left: %v, and is in: %v", leaves, !leaves)
					}
				}
			})
		})
	}
}

// TestDeletingDies: a channel, then the community. Nothing is left in IM once the
// store says that it is deleted, nor in the store.
func TestDeletingDies(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		before.opens(name)
		ch := before.adds(name, `{"name":"secret","kind":"private"}`, "secret-"+name)
		before.enters(name, "bob")
		rulestest.Into[any](before, before.do("ann", "POST", path(name, ch, "/invitations"), `{"userId":"bob"}`))
		w.process(dying.mortal)
		dying.last(func() {
			dying.do("ann", "DELETE", path(name, ch, ""), ``)
			dying.do("ann", "DELETE", "/communities/"+name, ``)
		})
		return func(next *process) {
			a := next.do(server, "GET", "/communities/"+name, ``)
			there := a.Status == http.StatusOK
			if there != (w.group(prefix+name).GroupID != "") {
				w.Errorf("there %v, and the group is %q", there, w.group(prefix+name).GroupID)
			}
			has := strings.Contains(a.Text, ch.ChannelID)
			if has != (w.group(ch.GroupID).GroupID != "") || has != strings.Contains(w.dump(), ch.ChannelID) {
				w.Errorf("the channel is there %v, its group is %q, the store has %v", has, w.group(ch.GroupID).GroupID, strings.Contains(w.dump(), ch.ChannelID))
			}
			if there {
				next.inStep(name)
			}
		}
	})
}

// TestMemberDies: a role, a mute and a kick. If the store has it, IM has it.
func TestMemberDies(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		before.opens(name)
		before.enters(name, "bob", "cat", "dan")
		rulestest.Into[any](before, before.do("ann", "PUT", "/communities/"+name+"/members/dan/role", `{"role":"writer"}`))
		w.process(dying.mortal)
		dying.last(func() {
			dying.do("ann", "PUT", "/communities/"+name+"/members/bob/role", `{"role":"reader"}`)
			dying.do("ann", "POST", "/communities/"+name+"/mute", `{"userId":"bob"}`)
			dying.do("ann", "POST", "/communities/"+name+"/kick", `{"userId":"cat"}`)
			dying.do("ann", "DELETE", "/communities/"+name+"/roles/writer", ``)
		})
		return func(next *process) {
			list := next.do(server, "GET", "/communities/"+name+"/members?role=reader", ``)
			held := next.do(server, "GET", "/communities/"+name+"/restrictions/bob", ``)
			kicked := next.do(server, "GET", "/communities/"+name+"/restrictions/cat", ``)
			if has := strings.Contains(list.Text, "bob"); has != (w.field(prefix+name, "bob", "role") == "reader") {
				w.Errorf("the role: %s", list.Text)
			}
			_, muted := w.group(prefix + name).Muted["bob"]
			if muted != strings.Contains(held.Text, "mute") {
				w.Errorf("IM mutes %v, we %s", muted, held.Text)
			}
			roles := next.do(server, "GET", "/communities/"+name+"/roles", ``)
			if has := strings.Contains(roles.Text, "writer"); has != (w.field(prefix+name, "dan", "role") == "writer") {
				w.Errorf("the deleted role: %s, and IM shows %q", roles.Text, w.field(prefix+name, "dan", "role"))
			}
			if isIn(next, prefix+name, "cat") == strings.Contains(kicked.Text, "kick") {
				w.Errorf("in %v, and %s", isIn(next, prefix+name, "cat"), kicked.Text)
			}
		}
	})
}

// TestModerationDies: a mute of everybody ends, and a kick that hides has hidden all or
// nothing.
func TestModerationDies(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		before.opens(name)
		cl := before.enters(name, "bob", "cat")
		general := before.channel(name, "general")
		before.says(cl[1], general, "x")
		before.says(cl[0], general, "spam")
		rulestest.Into[any](before, before.do("ann", "PUT", messagePath(name, general, 2, "/pin"), ``))
		w.process(dying.mortal)
		dying.last(func() {
			dying.do("ann", "POST", "/communities/"+name+"/mute", `{"seconds":60}`)
			dying.do("ann", "POST", "/communities/"+name+"/kick", `{"userId":"bob","hide":true}`)
		})
		return func(next *process) {
			if w.group(prefix + name).MuteAll {
				w.Error("everybody is muted for ever")
			}
			kicked := strings.Contains(next.do(server, "GET", "/communities/"+name+"/restrictions/bob", ``).Text, `"kick"`)
			pinned := strings.Contains(next.do("cat", "GET", path(name, general, "/pins"), ``).Text, `"msgSeq":2`)
			rulestest.Into[any](next, next.do("cat", "POST", path(name, general, "/read"), `{"msgSeq":1}`))
			unread := *rulestest.Into[community.Totals](next, next.do("cat", "GET", "/communities/"+name+"/totals", ``)).Unread
			if kicked == pinned || kicked != (unread == 0) {
				w.Errorf("kicked %v, pinned %v, %d unread", kicked, pinned, unread)
			}
		}
	})
}

// TestTakenBackAfterADeath: a process dies over changes, and another takes them back at
// once: IM shows nothing of them, also where it had been told and nobody noted that.
func TestTakenBackAfterADeath(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		is := before.opens(name)
		before.enters(name, "bob")
		general := before.channel(name, "general")
		next := w.process(w.store)
		w.process(dying.mortal)
		change := func(p *process, community, channel string, version int64) {
			p.do("ann", "PATCH", "/communities/"+name, fmt.Sprintf(`{"name":%q,"version":%d}`, community, version))
			p.do("ann", "PATCH", path(name, general, ""), fmt.Sprintf(`{"name":%q,"version":%d}`, channel, before.get(name).Version))
		}
		dying.last(func() {
			change(dying, "Others", "other", is.Version)
			dying.do("ann", "POST", "/communities/"+name+"/mute", `{"userId":"bob"}`)
			dying.do("ann", "POST", "/communities/"+name+"/mute", fmt.Sprintf(`{"userId":"bob","channelId":%q}`, general.ChannelID))
			dying.do("ann", "PUT", "/communities/"+name+"/members/bob/role", `{"role":"reader"}`)
		})
		change(next, "Gamers", "general", next.get(name).Version)
		next.do("ann", "POST", "/communities/"+name+"/unmute", `{"userId":"bob"}`)
		next.do("ann", "POST", "/communities/"+name+"/unmute", fmt.Sprintf(`{"userId":"bob","channelId":%q}`, general.ChannelID))
		next.do("ann", "PUT", "/communities/"+name+"/members/bob/role", `{"role":""}`)
		return func(next *process) {
			if now := next.get(name); now.Name != "Gamers" || next.channel(name, "general").ChannelID != general.ChannelID {
				w.Errorf("%+v", now)
			}
			next.inStep(name)
			g := w.group(prefix + name)
			muted := len(g.Muted)
			for _, topic := range g.Topics {
				muted += len(topic.Muted)
			}
			if muted > 0 || w.field(prefix+name, "bob", "role") != "" {
				w.Errorf("IM mutes %v, and bob's role is %q", g.Muted, w.field(prefix+name, "bob", "role"))
			}
		}
	})
}

// TestThreadDies: a sub-channel of each form is made while a member leaves and another
// joins. In the end it is there once, with exactly the community's members, whoever
// died where.
func TestThreadDies(t *testing.T) {
	for _, form := range []string{"topic", "group"} {
		t.Run(form, func(t *testing.T) {
			eachDeath(t, func(w *world, dying *process, name string) func(*process) {
				before := w.process(w.store)
				before.opens(name)
				cl := before.enters(name, "bob", "cat", "dan")
				general := before.channel(name, "general")
				before.says(cl[0], general, "question")
				before.work()
				w.process(dying.mortal)
				body := fmt.Sprintf(`{"name":"answers","channelId":%q,"msgSeq":1,"form":%q}`, general.ChannelID, form)
				ask := func(p *process) rulestest.Reply {
					return p.do("bob", "POST", "/communities/"+name+"/threads", body, "thread-"+name)
				}
				w.App.FailNext("group_open_http_svc/create_group", imtest.Fault{LoseAnswer: true})
				w.App.FailNext("group_open_http_svc/add_group_member", imtest.Fault{LoseAnswer: true})
				dying.last(func() {
					ask(dying)
					w.Must(cl[2].Quit(prefix + name))
				})
				at := callback.Millis(w.Clock.Now().UnixMilli())
				left := &callback.GroupAfterMemberExit{
					Base: callback.Base{CallbackCommand: "Group.CallbackAfterMemberExit"}, GroupID: prefix + name, Type: "Community", ExitType: "Quit",
					Operator: "dan", ExitMembers: []callback.Member{{UserID: "dan"}}, EventTime: at,
				}
				first := true
				return func(next *process) {
					w.Heard(left) // IM's retry
					if first {
						first = false
						w.Advance(time.Second)
						next.enters(name, "eve")
					}
					a := next.until(func() rulestest.Reply { return ask(next) })
					if a.Status != http.StatusCreated {
						w.Errorf("%d %s", a.Status, a.Text)
						return
					}
					next.minutes(2)
					th := rulestest.Into[thread.Thread](next, next.do("bob", "GET", "/communities/"+name+"/threads/"+rulestest.Into[thread.Thread](next, a).ThreadID, ``))
					if !th.Done || form == "group" && !slices.Equal(w.members(prefix+name), w.members(th.GroupID)) {
						w.Errorf("%+v: in the community %q, in the sub-channel %q", th, w.members(prefix+name), w.members(th.GroupID))
					}
					list := next.do("bob", "GET", "/communities/"+name+"/threads", ``)
					if !strings.Contains(list.Text, `"count":1`) {
						w.Errorf("%s", list.Text)
					}
					if s, _ := next.custom(general, 1)["thread"].(map[string]any); s["threadId"] != th.ThreadID {
						w.Errorf("the parent message shows %v", s)
					}
				}
			})
		})
	}
}

// TestMarksDie: a reaction, an edit and a message in a sub-channel, with answers of IM
// lost. If the store has it, the message shows it.
func TestMarksDie(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		before.opens(name)
		bob := before.enters(name, "bob")[0]
		general := before.channel(name, "general")
		before.says(bob, general, "question")
		th := before.thread("bob", name, fmt.Sprintf(`{"name":"answers","channelId":%q,"msgSeq":1}`, general.ChannelID), "thread-"+name)
		before.later(2)
		w.process(dying.mortal)
		w.App.FailNext("openim/modify_group_msg", imtest.Fault{LoseAnswer: true})
		edited := `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"answer?"}}]}`
		status := 0
		dying.last(func() {
			dying.do("bob", "PUT", messagePath(name, general, 1, "/reactions/smile"), ``)
			status = dying.do("ann", "PATCH", messagePath(name, general, 1, ""), edited).Status
			dying.says(bob, as(th), "an answer")
		})
		sent := &callback.GroupAfterSendMsg{
			Base: callback.Base{CallbackCommand: "Group.CallbackAfterSendMsg"}, GroupID: th.GroupID, TopicID: th.TopicID, Type: "Community", From: "bob",
			MsgSeq: 1, MsgTime: callback.Seconds(w.Clock.Now().Unix()),
		}
		return func(next *process) {
			w.Heard(sent) // IM's retry
			next.later(3)
			next.minutes(2)
			list := next.do("bob", "GET", messagePath(name, general, 1, "/reactions"), ``)
			values := next.custom(general, 1)
			if has := strings.Contains(list.Text, "smile"); has != (values["reaction"] != nil) {
				w.Errorf("we say %s, the message %v", list.Text, values)
			}
			// An edit that was answered holds; one that was not may.
			body := string(next.message(general, 1).Body)
			if shown := values["isEdited"] == true; shown != strings.Contains(body, "answer?") || status == http.StatusOK && !shown {
				w.Errorf("answered %d, and the message is %s with %v", status, body, values)
			}
			if s := values["thread"].(map[string]any); s["count"] != 1.0 {
				w.Errorf("%v", s)
			}
		}
	})
}

package liveroom_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
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

// TestCreatingDies: whether the server asks again or never does, the room has its
// group and is in the list, or there is neither.
func TestCreatingDies(t *testing.T) {
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprintf("asked again %v", again), func(t *testing.T) {
			eachDeath(t, func(w *world, dying *process, name string) func(*process) {
				ask := func(p *process) rulestest.Reply {
					return p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, name), "open-"+name)
				}
				dying.last(func() { ask(dying) })
				return func(next *process) {
					if again {
						if a := next.until(func() rulestest.Reply { return ask(next) }); a.Status != http.StatusCreated {
							w.Errorf("%d %s", a.Status, a.Text)
						}
						next.work()
					}
					a := next.do(server, "GET", "/rooms/"+name, "")
					listed := strings.Contains(next.do(server, "GET", "/rooms?limit=100", "").Text, `"`+name+`"`)
					if there := a.Status == http.StatusOK; there != (w.group(name).GroupID != "") || there != listed || again && !there {
						w.Errorf("the room answers %d, its group is %q, it is listed: %v", a.Status, w.group(name).GroupID, listed)
					}
					if a.Status == http.StatusOK {
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
	shared.process(shared.store).opens("show")
	enginetest.EachDeath(t, shared.store, func(t *testing.T, name string, mortal kv.Store) {
		w := shared.with(t)
		ask := func(p *process) rulestest.Reply {
			return p.do("ann", "POST", "/rooms/show/mute", fmt.Sprintf(`{"userId":%q,"seconds":600}`, name), name)
		}
		ask(w.process(mortal))
		w.Advance(31 * time.Second)
		next := w.process(w.store)
		if a := ask(next); a.Status != http.StatusOK {
			w.Errorf("%d %s", a.Status, a.Text)
		}
		if got := next.restrictions("show"); !strings.Contains(got, "mute "+name) {
			w.Errorf("restrictions: %s", got)
		}
	})
}

// TestStatusDies: a change of status and of the notice, with answers of IM lost on
// the way. Store, room and attributes agree, and the room is told once.
func TestStatusDies(t *testing.T) {
	for _, lost := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d answers lost", lost), func(t *testing.T) {
			eachDeath(t, func(w *world, dying *process, name string) func(*process) {
				w.process(w.store).opens(name)
				w.process(dying.store)
				for range lost {
					w.App.FailNext("group_open_http_svc/modify_group_attr", imtest.Fault{LoseAnswer: true})
					w.App.FailNext("group_open_http_svc/send_group_msg", imtest.Fault{LoseAnswer: true})
				}
				dying.last(func() {
					dying.do("ann", "PUT", "/rooms/"+name+"/status", `{"status":"live","version":1}`)
					dying.do("ann", "PUT", "/rooms/"+name+"/notice", `{"notice":"tonight","version":2}`)
				})
				return func(next *process) {
					next.inStep(name)
					room := next.room(name)
					want := map[int64]string{1: "", 2: "live", 3: "live"}[room.Version]
					got := w.statuses(name)
					if lost > 0 && want != "" {
						// Where an answer is lost for so long that nobody knows whether IM took
						// the message, it is sent anew; the version says that it is the same.
						got = strings.Join(slices.Compact(strings.Fields(got)), " ")
					}
					if got != want {
						w.Errorf("version %d was told %q", room.Version, got)
					}
					if n := len(w.told(name, "notice")); int64(n) != max(room.Version-2, 0) {
						w.Errorf("version %d was told %d notices", room.Version, n)
					}
				}
			})
		})
	}
}

// TestTakenBackAfterADeath: a process dies over changes, and another takes them back at
// once: the room sees and hears nothing else in the end, also where it had been told
// and nobody noted that.
func TestTakenBackAfterADeath(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		before.opens(name)
		before.becomes(name, liveroom.Live)
		was := before.room(name)
		w.process(dying.store)
		dying.last(func() {
			dying.do("ann", "PUT", "/rooms/"+name+"/status", `{"status":"paused","version":2}`)
			dying.do("ann", "PUT", "/rooms/"+name+"/notice", `{"notice":"tonight","introduction":"","version":3}`)
		})
		if now := before.room(name); now.Status != was.Status {
			rulestest.Into[any](before, before.do("ann", "PUT", "/rooms/"+name+"/status", fmt.Sprintf(`{"status":"live","version":%d}`, now.Version)))
		}
		if now := before.room(name); now.Notice != was.Notice {
			rulestest.Into[any](before, before.do("ann", "PUT", "/rooms/"+name+"/notice", fmt.Sprintf(`{"notice":%q,"introduction":%q,"version":%d}`, was.Notice, was.Introduction, now.Version)))
		}
		return func(next *process) {
			if now := next.room(name); now.Status != was.Status || now.Notice != was.Notice || now.Introduction != was.Introduction {
				w.Errorf("%+v", now)
			}
			next.inStep(name)
		}
	})
}

// TestControlDies: a mute, and a kick with what the user wrote hidden. If the store
// has it, IM and the room have it, also the end of it.
func TestControlDies(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		before.opens(name)
		eve := w.Login("eve")
		w.Must(eve.Join(name))
		_, err := eve.Send(name, imtest.Draft{Text: "casino"})
		w.Must(err)
		before.work()
		w.process(dying.store)
		dying.last(func() {
			dying.do("mod", "POST", "/rooms/"+name+"/mute", `{"userId":"bob","seconds":240}`)
			dying.do("mod", "POST", "/rooms/"+name+"/kick", `{"userId":"eve","hide":true}`)
		})
		start := w.Clock.Now()
		kicked, muted := false, false
		return func(next *process) {
			held := next.restrictions(name)
			if w.Clock.Now().Sub(start) < 240*time.Second {
				kicked, muted = strings.Contains(held, "kick eve"), strings.Contains(held, "mute bob")
			}
			g := w.group(name)
			if _, banned := g.Banned["eve"]; banned != kicked || len(w.told(name, "kick")) != count(kicked) {
				w.Errorf("the store says %s, IM bans %v, the room was told %v", held, g.Banned, w.told(name, "kick"))
			}
			if len(w.told(name, "mute")) != count(muted) {
				w.Errorf("the store says %s, the room was told %v", held, w.told(name, "mute"))
			}
			over := w.Clock.Now().Sub(start) > 240*time.Second
			if now := w.Clock.Now().Before(g.Muted["bob"]); now != (muted && !over) || len(w.told(name, "unmute")) != count(muted && over) {
				w.Errorf("after %v IM mutes until %v, the room was told %v", w.Clock.Now().Sub(start), g.Muted["bob"], w.told(name, "unmute"))
			}
			if h := next.do("ann", "GET", "/rooms/"+name+"/history", ""); w.Clock.Now().Sub(start) < 30*time.Minute && strings.Contains(h.Text, "casino") == kicked {
				w.Errorf("kicked %v, and the history is %s", kicked, h.Text)
			}
		}
	})
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestClosingDies: once the store says that a room is closed, its group goes, its
// members having been told, and its id makes a new room.
func TestClosingDies(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		before.opens(name)
		before.becomes(name, liveroom.Live)
		bob := w.Login("bob" + name)
		w.Must(bob.Join(name))
		w.process(dying.store)
		dying.last(func() { dying.do("ann", "POST", "/rooms/"+name+"/close", `{}`) })
		return func(next *process) {
			room := next.do(server, "GET", "/rooms/"+name, "")
			closed := strings.Contains(room.Text, `"status":"ended"`)
			if gone := w.group(name).GroupID == ""; gone != closed {
				w.Errorf("closed %v, and the group is gone: %v", closed, gone)
			}
			told := 0
			for _, m := range bob.Received() {
				if data, is := eventOf(w, m, "status"); is && data["status"] == "ended" {
					told++
				}
			}
			if told != count(closed) {
				w.Errorf("closed %v, and told %d times", closed, told)
			}
		}
	})
}

// TestStreamDies: a stream ends, and the process dies before the grace period is
// over. CSS repeats an event that was not answered.
func TestStreamDies(t *testing.T) {
	eachDeath(t, func(w *world, dying *process, name string) func(*process) {
		before := w.process(w.store)
		before.opens(name)
		w.process(dying.store)
		at := w.Clock.Now()
		events := []func(p *process) rulestest.Reply{
			func(p *process) rulestest.Reply { return p.css(name, 1, at, "s1") },
			func(p *process) rulestest.Reply { return p.css(name, 0, at.Add(time.Second), "s1") },
		}
		answered := make([]bool, len(events))
		dying.last(func() {
			for i, event := range events {
				answered[i] = event(dying).Status == http.StatusOK
			}
		})
		return func(next *process) {
			for i, event := range events {
				if !answered[i] {
					event(next)
				}
			}
			next.minutes(2)
			next.inStep(name)
			if got := next.room(name).Status; got != liveroom.Paused {
				w.Errorf("the room is %s", got)
			}
			if got := w.statuses(name); got != "live paused" && got != "paused" {
				w.Errorf("told %q", got)
			}
		}
	})
}

// TestBroadcastDies: every room gets the message once, whoever sends it.
func TestBroadcastDies(t *testing.T) {
	for _, form := range []string{"by name", "room by room", "at once"} {
		t.Run(form, func(t *testing.T) {
			rooms, viewers := []string{"room0", "room1", "room2"}, make(map[string]*imtest.Client)
			eachDeath(t, func(w *world, dying *process, name string) func(*process) {
				if len(viewers) == 0 {
					before := w.process(w.store)
					for _, id := range rooms {
						before.opens(id)
						viewers[id] = w.Login("in-" + id)
						w.Must(viewers[id].Join(id))
					}
				}
				names := ""
				if form == "by name" {
					body, err := jsonOf(append([]string{"nowhere"}, rooms...))
					w.Must(err)
					names = `,"rooms":` + body
				}
				if form == "room by room" {
					w.noBroadcast()
				}
				body := fmt.Sprintf(`{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"to all %s"}}]%s}`, name, names)
				ask := func(p *process) rulestest.Reply { return p.do(server, "POST", "/broadcast", body, "b-"+name) }
				dying.last(func() { ask(dying) })
				return func(next *process) {
					b := rulestest.Into[liveroom.Broadcast](next, next.until(func() rulestest.Reply { return ask(next) }))
					next.minutes(4)
					b = rulestest.Into[liveroom.Broadcast](next, next.do(server, "GET", "/broadcasts/"+b.BroadcastID, ""))
					if b.State != "sent" || b.Done != len(rooms) || b.Total != b.Done+b.Skipped {
						w.Errorf("%+v", b)
					}
					for id, viewer := range viewers {
						n := 0
						for _, e := range viewer.Events() {
							if e.Message != nil && strings.Contains(string(e.Message.Body), "to all "+name+`"`) {
								n++
							}
						}
						if n != 1 {
							w.Errorf("%s got it %d times", id, n)
						}
					}
				}
			})
		})
	}
}

// noBroadcast takes send_broadcast_msg away from the app's edition.
func (w *world) noBroadcast() {
	var faults []imtest.Fault
	for range 40 {
		faults = append(faults, imtest.Fault{Code: 10007})
	}
	w.App.FailNext("group_open_http_svc/send_broadcast_msg", faults...)
}

package liveroom_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// TestUnits holds what docs/scenarios/live-room.md says an event costs on DynamoDB,
// in write and read units, jobs and guards included: messages, joins, and what those
// do who run the room.
//
//	go test -run TestUnits -v ./shared/liveroom
func TestUnits(t *testing.T) {
	proxy := dynamotest.Start(t)
	clock := kvtest.NewClock()
	w := newWorld(t, enginetest.DynamoDB(t, proxy.URL, clock.Now), clock)
	w.conf.History = liveroom.History{}
	off := w.process(w.store)
	off.opens("show")
	w.conf.History = liveroom.History{Messages: 50, Keep: time.Hour}
	p := w.process(w.store)
	w.Heard(beforeSend("show", "bob")) // the room is known to this process from now on
	n := uint32(0)
	text := strings.Repeat("a message of usual length ", 4)
	message := func() callback.Event {
		n++
		return afterSend("show", "bob", n, w.Clock.Now(), text)
	}
	const times = 4
	for _, c := range []struct {
		name         string
		writes       float64 // the most that it may cost
		reads        float64
		serve, event func()
	}{
		{"message delivered, archive off", 0, 0, func() { w.Serve(off.mux) }, func() { w.Heard(message()) }},
		{"message delivered, archive on", 1, 3, func() { w.Serve(p.mux); w.Heard(message()) }, func() { w.Heard(message()) }},
		{"message about to be sent", 0, 1, nil, func() { w.Heard(beforeSend("show", "bob")) }},
		{"user about to join", 0, 1, nil, func() { w.Heard(beforeJoin("show", "bob")) }},
		{"media for a viewer", 0, 2, nil, func() { rulestest.Into[any](p, p.do("bob", "POST", "/rooms/show/media", `{"role":"audience"}`)) }},
		{"status changed and told", 34, 38, nil, func() {
			room := p.room("show")
			next := map[liveroom.Status]liveroom.Status{liveroom.Waiting: liveroom.Live, liveroom.Live: liveroom.Paused, liveroom.Paused: liveroom.Live}[room.Status]
			rulestest.Into[any](p, p.do(server, "PUT", "/rooms/show/status", fmt.Sprintf(`{"status":%q,"version":%d}`, next, room.Version)))
			p.work()
		}},
		{"user muted for a minute, told, and told of the end", 82, 78, nil, func() {
			rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/mute", `{"userId":"eve","seconds":60}`))
			p.work()
			p.after(61 * time.Second)
		}},
		{"user kicked for good and told", 44, 42, nil, func() {
			rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/kick", `{"userId":"eve"}`))
			p.work()
		}},
	} {
		if c.serve != nil {
			c.serve()
		}
		proxy.Units()
		for range times {
			c.event()
		}
		u := proxy.Units()
		t.Logf("%-50s %5.1f WU %5.1f RU", c.name, u.Write/times, u.Read/times)
		if u.Write/times > c.writes || u.Read/times > c.reads {
			t.Errorf("%s costs %.1f write and %.1f read units, at most %.0f and %.0f were said", c.name, u.Write/times, u.Read/times, c.writes, c.reads)
		}
	}
}

func beforeSend(groupID, from string) callback.Event {
	return &callback.GroupBeforeSendMsg{
		Base: callback.Base{CallbackCommand: "Group.CallbackBeforeSendMsg"}, GroupID: groupID, Type: im.AVRoom, From: from, MsgBody: im.Text("hello"),
	}
}

func beforeJoin(groupID, user string) callback.Event {
	return &callback.GroupBeforeApplyJoin{
		Base: callback.Base{CallbackCommand: "Group.CallbackBeforeApplyJoinGroup"}, GroupID: groupID, Type: im.AVRoom, Requestor: user,
	}
}

package roomstats_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// TestAgainstIM: users of the emulated IM come, write, like, lose their
// connections and leave, rooms are dissolved and made anew, a third of the
// callbacks come twice and as many out of order. Afterwards every figure is what
// the emulator says that happened.
func TestAgainstIM(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{{Name: "Storm", Long: true, Run: storm}})
}

type viewer struct {
	*imtest.Client
	room string // "" outside
}

func storm(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	w := rulestest.New(t, clock, rulestest.Options{Callbacks: []string{
		"Group.CallbackAfterSendMsg", "Group.CallbackBeforeSendMsg", "Group.CallbackAfterCreateGroup", "Group.CallbackAfterGroupDestroyed",
		"Group.CallbackAfterNewMemberJoin", "Group.CallbackAfterMemberExit", "Group.CallbackOnMemberStateChange", "State.StateChange",
	}})
	stats := roomstats.New(roomstats.Config{Store: store, Now: clock.Now, Uncounted: []string{"host"}})
	serve := func(s *roomstats.Stats) {
		mux := callback.NewMux()
		s.Register(mux)
		w.Serve(mux)
	}
	serve(stats)
	r := rand.New(rand.NewPCG(11, 12))
	host := w.Login("host")
	rooms := []string{"live0", "live1", "live2"}
	likes := map[string]int64{} // of the present life of a room, by room and by room/user
	create := func(room string) {
		_, err := host.CreateGroup("AVChatRoom", room, room)
		w.Must(err)
	}
	for _, room := range rooms {
		create(room)
	}
	var viewers []*viewer
	for n := range 12 {
		viewers = append(viewers, &viewer{Client: w.Login(fmt.Sprint("user", n))})
	}
	w.App.Misbehave(imtest.Chaos{Duplicate: 0.3, Reorder: 0.3})
	for step := range 240 {
		w.Advance(time.Duration(300+r.IntN(2000)) * time.Millisecond)
		v := viewers[r.IntN(len(viewers))]
		switch what := r.IntN(20); {
		case v.room == "":
			v.room = rooms[r.IntN(len(rooms))]
			w.Must(v.Join(v.room))
		case what < 10:
			_, err := v.Send(v.room, imtest.Draft{Text: fmt.Sprint("message ", step)})
			w.Must(err)
		case what < 14:
			n := int64(1 + r.IntN(5))
			_, err := v.Send(v.room, imtest.Draft{Priority: imtest.Low, Body: im.Custom(fmt.Sprintf(
				`{"businessID":"flutter_live_kit","data":{"cmd":"thumbs_up","cmdInfo":{"count":%d}}}`, n), "", "")})
			w.Must(err)
			likes[v.room] += n
			likes[v.room+"/"+v.UserID()] += n
		case what < 17:
			w.Must(v.Quit(v.room))
			v.room = ""
		case what == 17:
			v.Vanish()
			w.Advance(70 * time.Second)
			*v = viewer{Client: w.Login(v.UserID())}
		case what == 18:
			serve(roomstats.New(roomstats.Config{Store: store, Now: clock.Now, Uncounted: []string{"host"}})) // another instance
		case what == 19 && step > 100:
			room := v.room
			w.Must(w.Client().DestroyGroup(t.Context(), room))
			w.Advance(time.Second)
			create(room)
			for _, other := range viewers {
				if other.room == room {
					other.room = ""
				}
			}
			for key := range likes {
				if len(key) >= len(room) && key[:len(room)] == room {
					delete(likes, key)
				}
			}
		}
		if step%40 == 39 {
			w.Must(w.App.Settle(t.Context()))
			w.Must(stats.Fold(t.Context()))
		}
	}
	w.Must(w.App.Settle(t.Context()))
	for range 2 {
		compare(w, stats, likes)
		w.Advance(time.Minute)
		w.Must(w.App.Settle(t.Context()))
		w.Must(stats.Fold(t.Context()))
	}
}

// compare compares a room's figures with the emulator's truth.
func compare(w *rulestest.World, stats *roomstats.Stats, likes map[string]int64) {
	w.Helper()
	for _, g := range w.App.State().Groups {
		users := map[string]int64{}
		for _, m := range g.Messages {
			users[m.From]++
		}
		online := int64(0)
		for _, m := range g.Members {
			if !m.Offline {
				online++
			}
		}
		got, err := stats.Room(w.Context(), g.GroupID)
		w.Must(err)
		if got.Messages != int64(len(g.Messages)) || got.Likes != likes[g.GroupID] || got.Online != online {
			w.Errorf("%s: %d messages, %d likes, %d online; IM has %d, %d, %d", g.GroupID, got.Messages, got.Likes, got.Online, len(g.Messages), likes[g.GroupID], online)
		}
		for _, u := range got.Users {
			if u.Messages != users[u.UserID] || u.Likes != likes[g.GroupID+"/"+u.UserID] {
				w.Errorf("%s: %+v; IM has %d messages, %d likes", g.GroupID, u, users[u.UserID], likes[g.GroupID+"/"+u.UserID])
			}
			delete(users, u.UserID)
		}
		for user, n := range users {
			w.Errorf("%s: %s is missing, with %d messages", g.GroupID, user, n)
		}
	}
}

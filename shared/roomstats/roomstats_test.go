package roomstats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

// open returns statistics in a fresh store, with a clock that the test moves.
func open(t *testing.T) (s *Stats, pass func(time.Duration)) {
	t.Helper()
	return openWith(t, Config{})
}

func openWith(t *testing.T, c Config) (s *Stats, pass func(time.Duration)) {
	t.Helper()
	clock := kvtest.NewClock()
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state.db"), boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	c.Store, c.Now = store, clock.Now
	return New(c), clock.Advance
}

// room1 is the first generation of a room.
func room1(id string) room { return room{id, 1} }

func (s *Stats) message(user, topic string, seq uint32) *callback.GroupAfterSendMsg {
	return &callback.GroupAfterSendMsg{GroupID: "lobby", TopicID: topic, From: user, MsgSeq: seq, MsgTime: callback.Seconds(s.now().Unix())}
}

func (s *Stats) must(t *testing.T, e *callback.GroupAfterSendMsg) {
	t.Helper()
	if err := s.count(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func (s *Stats) want(t *testing.T, messages int64, users ...string) {
	t.Helper()
	room, err := s.Room(t.Context(), "lobby")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range room.Users {
		got = append(got, fmt.Sprintf("%s %d", u.UserID, u.Messages))
	}
	if room.Messages != messages || strings.Join(got, ", ") != strings.Join(users, ", ") {
		t.Errorf("%d messages by %v, want %d by %v", room.Messages, got, messages, users)
	}
}

func TestCountsOnce(t *testing.T) {
	s, _ := open(t)
	for _, e := range []*callback.GroupAfterSendMsg{
		s.message("alice", "", 1),
		s.message("alice", "", 1), // again
		s.message("bob", "", 2),
		s.message("alice", "", 4_294_967_295), // the largest number there is
		s.message("alice", "", 1),             // again, later
		s.message("alice", "topic", 1),        // topics have numbers of their own
		s.message(im.NotFoundSender, "", 3),   // a REST send without a sender
	} {
		s.must(t, e)
	}
	s.want(t, 5, "alice 3", "bob 1")
	u, err := s.User(t.Context(), "lobby", "bob")
	if err != nil || u.Messages != 1 {
		t.Errorf("bob alone: %+v, %v", u, err)
	}
}

func TestFoldingChangesNoNumber(t *testing.T) {
	s, pass := open(t)
	for seq := range uint32(100) {
		s.must(t, s.message(fmt.Sprintf("user%d", seq%3), "", seq))
	}
	s.want(t, 100, "user0 34", "user1 33", "user2 33")
	late := s.message("user1", "", 5000)
	pass(2 * time.Minute)
	fold := func() { t.Helper(); s.tick(t) }
	fold()
	s.want(t, 100, "user0 34", "user1 33", "user2 33")
	if open, err := s.store.Open(t.Context(), room1("lobby").main(), "", 10); err != nil || len(open) != 0 {
		t.Errorf("%d segments are still open, %v", len(open), err)
	}
	s.must(t, s.message("user0", "", 0)) // a repetition after folding
	s.must(t, late)
	s.want(t, 101, "user0 34", "user1 34", "user2 33")
	pass(2 * time.Minute)
	fold()
	fold()
	s.want(t, 101, "user0 34", "user1 34", "user2 33")
}

func TestADayLateIsNotCounted(t *testing.T) {
	s, pass := open(t)
	e, late := s.message("alice", "", 1), s.message("alice", "", 2)
	s.must(t, e)
	pass(kv.Horizon + time.Second)
	s.must(t, e)
	s.must(t, late)
	s.want(t, 1, "alice 1")
}

func TestStormOfRepetitions(t *testing.T) {
	s, _ := open(t)
	var events []*callback.GroupAfterSendMsg
	for seq := range uint32(300) {
		for range 1 + rand.IntN(3) {
			events = append(events, s.message("alice", "", seq))
		}
	}
	rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	var all sync.WaitGroup
	for part := range 16 {
		all.Go(func() {
			for i := part; i < len(events); i += 16 {
				s.must(t, events[i])
			}
		})
	}
	all.Wait()
	s.want(t, 300, "alice 300")
}

func TestNonsenseIsDropped(t *testing.T) {
	s, pass := open(t)
	for name, e := range map[string]*callback.GroupAfterSendMsg{
		"no group":          {From: "alice", MsgSeq: 1, MsgTime: callback.Seconds(s.now().Unix())},
		"a NUL in the id":   {GroupID: "lob\x00by", From: "alice", MsgSeq: 1},
		"an endless id":     {GroupID: strings.Repeat("x", 4000), From: "alice", MsgSeq: 1},
		"from the far side": {GroupID: "lobby", From: "alice", MsgSeq: 1, MsgTime: callback.Seconds(s.now().Add(48 * time.Hour).Unix())},
	} {
		if err := s.count(t.Context(), e); err != nil {
			t.Errorf("%s: %v; a repetition would fare no better", name, err)
		}
	}
	pass(0)
	s.want(t, 0)
}

func TestAStoreThatIsAwayIsAnError(t *testing.T) {
	s, _ := open(t)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.count(t.Context(), s.message("alice", "", 1)); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("%v, want an error, so that the callback is kept for later", err)
	}
}

func TestRoutes(t *testing.T) {
	s, _ := open(t)
	s.must(t, s.message("alice", "", 1))
	mux := http.NewServeMux()
	keys, err := api.ParseKeys([]string{"shop:" + "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}) // "secret"
	if err != nil {
		t.Fatal(err)
	}
	s.Routes(mux, &api.Gate{Keys: keys})
	zeros := `"gifts":0,"giftPieces":0,"likes":0,"online":0,"peakOnline":0,"dropped":null,"popularity":`
	for _, tt := range []struct {
		path, key string
		status    int
		body      string
	}{
		{"/rooms/lobby/stats", "secret", 200, `{"messages":1,"texts":1,` + zeros + `1,"users":[{"userID":"alice","messages":1,"gifts":0,"likes":0,"onlineSeconds":0,"level":0}]}`},
		{"/rooms/empty/stats", "secret", 200, `{"messages":0,"texts":0,` + zeros + `0,"users":[]}`},
		{"/rooms/lobby/stats/users/alice", "secret", 200, `{"userID":"alice","messages":1,"gifts":0,"likes":0,"onlineSeconds":0,"level":0}`},
		{"/leaderboards/likes", "secret", 200, `{"entries":[]}`},
		{"/leaderboards/day/gifts", "secret", 200, `{"entries":[]}`},
		{"/leaderboards/wealth", "secret", 404, ""},
		{"/leaderboards/likes?after=x", "secret", 400, ""},
		{"/leaderboards/day/likes?day=yesterday", "secret", 400, ""},
		{"/rooms/lobby/stats", "", 401, ""},
		{"/rooms/lobby/stats", "guess", 401, ""},
		{"/rooms/" + strings.Repeat("x", 600) + "/stats", "secret", 400, ""},
	} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, tt.path, nil)
		if tt.key != "" {
			r.Header.Set("Authorization", "Bearer "+tt.key)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != tt.status || tt.body != "" && strings.TrimSpace(w.Body.String()) != tt.body {
			t.Errorf("%.40s: %d %s", tt.path, w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%.40s: no JSON", tt.path)
		}
	}
}

package roomstats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

func (s *Stats) say(t *testing.T, room string, seq uint32) {
	t.Helper()
	s.must(t, &callback.GroupAfterSendMsg{GroupID: room, From: "alice", MsgSeq: seq, MsgTime: callback.Seconds(s.now().Unix())})
}

func (s *Stats) tick(t *testing.T) {
	t.Helper()
	if err := s.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// open counts a room's unfolded segments.
func (s *Stats) unfolded(t *testing.T, room string) int {
	t.Helper()
	list, err := s.store.Open(t.Context(), room1(room).main(), "", kv.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// listed returns how many rooms the clock looks at.
func (s *Stats) listed(t *testing.T) int {
	t.Helper()
	n := 0
	for list := range lists {
		page, err := s.store.List(t.Context(), listPartition(list), kv.Range{})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			if item.Key != cursorKey {
				n++
			}
		}
	}
	return n
}

// TestTheClockFoldsEveryRoom: what is counted in any room is folded soon, and a
// silent room costs nothing after a while.
func TestTheClockFoldsEveryRoom(t *testing.T) {
	s, pass := open(t)
	const rooms = 40
	for i := range rooms {
		s.say(t, fmt.Sprintf("room%d", i), 1)
	}
	pass(2 * quiet)
	s.tick(t)
	for i := range rooms {
		room := fmt.Sprintf("room%d", i)
		if n := s.unfolded(t, room); n != 0 {
			t.Errorf("%s: %d segments unfolded", room, n)
		}
		if r, err := s.Room(t.Context(), room); err != nil || r.Messages != 1 {
			t.Errorf("%s: %+v, %v", room, r, err)
		}
	}
	if n := s.listed(t); n != rooms {
		t.Errorf("%d rooms listed, want %d", n, rooms)
	}
	pass(silent)
	s.tick(t)
	if n := s.listed(t); n != 0 {
		t.Errorf("%d silent rooms are still listed", n)
	}
}

// TestARoomThatWakesUp: the instance that counted in it before the silence
// enters it again.
func TestARoomThatWakesUp(t *testing.T) {
	s, pass := open(t)
	s.say(t, "lobby", 1)
	pass(silent)
	s.tick(t)
	s.tick(t)
	s.say(t, "lobby", 100)
	pass(2 * quiet)
	s.tick(t)
	if s.unfolded(t, "lobby") != 0 {
		t.Error("nobody folds the room")
	}
	s.want(t, 2, "alice 2")
}

// TestALongClockFailure: a room that fell silent while no clock ran stays
// listed until it is folded.
func TestALongClockFailure(t *testing.T) {
	s, pass := open(t)
	s.say(t, "lobby", 1)
	pass(20 * silent)
	s.tick(t)
	if s.unfolded(t, "lobby") != 0 || s.listed(t) != 0 {
		t.Errorf("%d unfolded, %d listed", s.unfolded(t, "lobby"), s.listed(t))
	}
}

// TestABusyRoomStaysListed: a room that is talked in for hours by one instance
// is folded all the while.
func TestABusyRoomStaysListed(t *testing.T) {
	s, pass := open(t)
	for seq := range uint32(400) {
		s.say(t, "lobby", seq<<segmentBits)
		pass(quiet)
		s.tick(t)
		if n := s.unfolded(t, "lobby"); n > 2 {
			t.Fatalf("after %d minutes %d segments are unfolded", seq, n)
		}
	}
	s.want(t, 400, "alice 400")
}

// TestTicksBesideCounting: overlapping ticks of several clocks, with messages
// coming in, move no count twice and strike off no room that has any.
func TestTicksBesideCounting(t *testing.T) {
	s, pass := open(t)
	other := New(Config{Store: s.store, Now: s.now})
	var all sync.WaitGroup
	for _, each := range []*Stats{s, other} {
		all.Go(func() {
			for seq := range uint32(200) {
				each.say(t, "lobby", seq) // both see the same messages
				if seq%20 == 0 {
					pass(quiet)
				}
				if err := each.Fold(t.Context()); err != nil && !errors.Is(err, kv.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s.want(t, 200, "alice 200")
	pass(2 * quiet)
	s.tick(t)
	if s.unfolded(t, "lobby") != 0 {
		t.Error("segments stay unfolded")
	}
	s.want(t, 200, "alice 200")
}

// TestATickThatIsCutShort leaves the rest to the next.
func TestATickThatIsCutShort(t *testing.T) {
	s, pass := open(t)
	s.say(t, "lobby", 1)
	pass(2 * quiet)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Fold(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	s.tick(t)
	if s.unfolded(t, "lobby") != 0 {
		t.Error("not folded")
	}
}

// TestEnteringFails: what cannot be entered is not counted either, so the
// repetition does both.
func TestEnteringFails(t *testing.T) {
	s, _ := open(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the deadline"))
	if err := s.count(ctx, s.message("alice", "", 1)); err == nil {
		t.Error("counted without a store")
	}
	s.must(t, s.message("alice", "", 1))
	s.want(t, 1, "alice 1")
	pass := time.Hour
	if !s.entered.lately(mainEntry(room1("lobby")), s.now()) || s.entered.lately(mainEntry(room1("lobby")), s.now().Add(pass)) {
		t.Error("the room is to be entered again after a while")
	}
}

package roomstats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// TestMergedBoardsEqualAFullSort: whatever scores members reach in whatever
// partitions, the board is the first boardSize of all of them sorted, and pages
// list each of them once, ties across a page's end included.
func TestMergedBoardsEqualAFullSort(t *testing.T) {
	for seed := range uint64(5) {
		s, pass := open(t)
		r := rand.New(rand.NewPCG(seed, 7))
		type score struct{ points, at int64 }
		want := map[string]score{}
		for range 12 {
			for range 60 {
				user := fmt.Sprint("user", r.IntN(400))
				want[user] = score{want[user].points + 1 + r.Int64N(3), 0}
				s.give(t, Gift{RoomID: "lobby", OrderID: fmt.Sprint(r.Uint64()), UserID: user, Pieces: 1, Charge: want[user].points - scoreOf(t, s, user), At: s.now()})
			}
			pass(20 * time.Second)
			s.tick(t)
		}
		var all []entry
		for n := range creditShards {
			for after := ""; ; {
				rows, more, err := table{store: s.store, partition: creditPartition(n), prefix: "u/"}.page(t.Context(), after, 50)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range rows {
					if row.number(0) != want[row.user].points {
						t.Errorf("%s has %d, want %d", row.user, row.number(0), want[row.user].points)
					}
					all = append(all, entry{ID: row.user, Score: row.number(0)})
					after = row.user
				}
				if !more {
					break
				}
			}
		}
		if len(all) != len(want) {
			t.Fatalf("%d users with a score, want %d", len(all), len(want))
		}
		var listed []Entry
		for after := ""; ; {
			page, next, err := s.Board(t.Context(), BoardGifts, after, 7, s.now())
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, page...)
			if after = next; after == "" {
				break
			}
		}
		slices.SortFunc(all, func(a, b entry) int { return int(b.Score - a.Score) })
		if len(listed) != min(len(all), boardSize) {
			t.Fatalf("%d lines on the board, want %d", len(listed), min(len(all), boardSize))
		}
		seen := map[string]bool{}
		for i, e := range listed {
			if e.Score != all[i].Score || e.Score != want[e.UserID].points || seen[e.UserID] {
				t.Errorf("line %d is %+v, want %d points", i, e, all[i].Score)
			}
			seen[e.UserID] = true
		}
	}
}

// scoreOf is what the board's table and open segments hold of a user.
func scoreOf(t *testing.T, s *Stats, user string) (points int64) {
	t.Helper()
	n := int(hash(user, "credit") % creditShards)
	row, err := table{store: s.store, partition: creditPartition(n), prefix: "u/"}.get(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	open, err := s.store.Open(t.Context(), creditPartition(n), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range open {
		points += g.Counters[cUser+user]
	}
	return points + row.number(0)
}

// TestTies: of equal scores the one reached first leads, then the id.
func TestTies(t *testing.T) {
	s, _ := open(t)
	list := s.merged(nil, []entry{{ID: "b", Score: 5, At: 1}, {ID: "a", Score: 5, At: 2}, {ID: "c", Score: 5, At: 1}, {ID: "d", Score: 9, At: 9}, {ID: "none"}})
	list = s.merged(list, []entry{{ID: "b", Score: 5, At: 7}}) // seen again, not reached again
	var ids []string
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	if got := strings.Join(ids, ""); got != "dbca" {
		t.Errorf("order %s, want dbca", got)
	}
}

// TestGroupsThatAreNoRooms are counted, each message once, and stand on no board.
func TestGroupsThatAreNoRooms(t *testing.T) {
	s, pass := open(t)
	groups := map[string]im.GroupType{
		"lobby": "AVChatRoom", "live-kit": "Live", "bcp-secret": "Private", "guild": "Public", "talk": "ChatRoom", "@TGS#_server": "Community", "work": "Work",
	}
	for range 2 { // each callback comes twice, the second time when all is folded
		for id, kind := range groups {
			e := s.message("alice", "", 1)
			e.GroupID, e.Type = id, kind
			s.must(t, e)
		}
		pass(2 * time.Minute)
		s.tick(t)
	}
	for _, board := range []string{"popularity", "day/popularity"} {
		if got := s.board(t, board, s.now()); !strings.Contains(got, "lobby ") || !strings.Contains(got, "live-kit ") || strings.Count(got, ",") != 1 {
			t.Errorf("%s: %q", board, got)
		}
	}
	for id := range groups {
		if room, err := s.Room(t.Context(), id); err != nil || room.Messages != 1 {
			t.Errorf("%s: %+v %v", id, room, err)
		}
	}
}

// TestPopularityFades: by half within its half-life, in an order that time does
// not change, finite and right after 400 idle days.
func TestPopularityFades(t *testing.T) {
	s, pass := open(t)
	now := time.Now()
	score := fading{}.add(1000, now, time.Hour)
	for after, want := range map[time.Duration]float64{0: 1000, time.Hour: 500, 10 * time.Hour: 1000.0 / 1024, 400 * 24 * time.Hour: 0} {
		if got := score.at(now.Add(after), time.Hour); math.Abs(got-want) > 1e-9 {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
	late := score.add(8, now.Add(400*24*time.Hour), time.Hour)
	if late.Value != 8 {
		t.Errorf("8 points after 400 idle days are %v", late.Value)
	}
	if a, b := score.order(time.Hour), late.order(time.Hour); a >= b || a == 0 || b == math.MaxInt64 {
		t.Errorf("orders %d and %d", a, b)
	}
	if clock := score.add(5, now.Add(-time.Minute), time.Hour); clock.Value != 1005 {
		t.Errorf("a clock that is behind: %v", clock.Value)
	}
	if huge := (fading{}).add(math.MaxInt64, now, time.Hour).add(math.MaxInt64, now, time.Hour); math.IsInf(huge.Value, 0) || round(huge.Value) != maxAmount {
		t.Errorf("%v", huge.Value)
	}

	for seq := range uint32(100) {
		s.say(t, "old", seq)
	}
	pass(time.Minute)
	s.tick(t)
	if got := s.board(t, "popularity", s.now()); got != "old 99" && got != "old 100" {
		t.Errorf("the board: %s", got)
	}
	pass(400 * 24 * time.Hour)
	s.say(t, "new", 1)
	pass(time.Minute)
	s.tick(t)
	if got := s.board(t, "popularity", s.now()); got != "new 1, old 0" {
		t.Errorf("the board after 400 days: %s", got)
	}
	if r := s.room(t, "old"); r.Popularity != 0 || r.Messages != 100 {
		t.Errorf("%+v", r)
	}
}

// TestRepeatedFoldsAddNothing to a popularity.
func TestRepeatedFoldsAddNothing(t *testing.T) {
	s, pass := open(t)
	s.say(t, "lobby", 1)
	s.sendLikes(t, "alice", 1, "20")
	s.give(t, s.order("bob", 1, 10, 1))
	pass(time.Minute)
	for range 5 {
		s.tick(t)
	}
	if r := s.room(t, "lobby"); r.Popularity < 119 || r.Popularity > 121 {
		t.Errorf("popularity %d of 1 message, 20 likes and 10 pieces, want 121 a minute ago", r.Popularity)
	}
}

// TestDaysOfATimeZone: a day begins at midnight of the stated zone, also on the
// days of 23 and of 25 hours, and what happened before midnight counts for the
// day before when it is folded after it.
func TestDaysOfATimeZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		date  time.Time // midnight at which a day begins
		hours int       // it has
	}{
		{"a day of 23 hours", time.Date(2026, 3, 29, 0, 0, 0, 0, berlin), 23},
		{"a day of 25 hours", time.Date(2026, 10, 25, 0, 0, 0, 0, berlin), 25},
		{"an ordinary day", time.Date(2026, 6, 1, 0, 0, 0, 0, berlin), 24},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, pass := openWith(t, Config{Zone: berlin})
			midnight := tt.date
			pass(midnight.Sub(s.now()))
			end := midnight.Add(time.Duration(tt.hours) * time.Hour)
			if end.In(berlin).Hour() != 0 {
				t.Fatalf("the day ends at %v", end.In(berlin))
			}
			pass(-time.Second)
			s.give(t, s.order("yesterday", 1, 1, 10))
			pass(time.Second)
			s.give(t, s.order("first", 2, 1, 20))
			pass(end.Sub(s.now()) - time.Second)
			s.give(t, s.order("last", 3, 1, 30)) // 23:59:59
			pass(time.Second)
			s.give(t, s.order("tomorrow", 4, 1, 40))
			pass(time.Minute)
			s.tick(t) // 00:01
			for day, want := range map[time.Time]string{
				midnight.Add(-time.Hour):     "yesterday 10",
				midnight.Add(12 * time.Hour): "last 30, first 20",
				end.Add(time.Hour):           "tomorrow 40",
			} {
				if got := s.board(t, "day/gifts", day); got != want {
					t.Errorf("%s: %s, want %s", day.In(berlin).Format(time.DateOnly), got, want)
				}
			}
			if got := s.board(t, "gifts", s.now()); got != "tomorrow 40, last 30, first 20, yesterday 10" {
				t.Errorf("overall: %s", got)
			}
		})
	}
}

// TestFiguresAreOnTheirBoardInTime: within 90 seconds, with a tick a minute.
func TestFiguresAreOnTheirBoardInTime(t *testing.T) {
	for offset := range 60 {
		s, pass := open(t)
		pass(time.Duration(60-s.now().Unix()%60+int64(offset)) * time.Second)
		s.say(t, "lobby", 1)
		s.sendLikes(t, "alice", 1, "3")
		s.give(t, s.order("bob", 1, 1, 5))
		for waited := time.Duration(0); waited < 90*time.Second; waited += time.Second {
			pass(time.Second)
			if s.now().Unix()%60 == 0 {
				s.tick(t)
			}
		}
		if likes, gifts, rooms := s.board(t, "likes", s.now()), s.board(t, "gifts", s.now()), s.board(t, "popularity", s.now()); likes != "lobby 3" || gifts != "bob 5" || rooms != "lobby 14" {
			t.Errorf("%d s into a minute: %q, %q, %q", offset, likes, gifts, rooms)
		}
	}
}

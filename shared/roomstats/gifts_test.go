package roomstats

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

func (s *Stats) room(t *testing.T, id string) Room {
	t.Helper()
	r, err := s.Room(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *Stats) board(t *testing.T, name string, day time.Time) string {
	t.Helper()
	entries, next, err := s.Board(t.Context(), name, "", 100, day)
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	var lines []string
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("%s%s %d", e.RoomID, e.UserID, e.Score))
	}
	return strings.Join(lines, ", ")
}

func (s *Stats) order(user string, n int, pieces, charge int64) Gift {
	return Gift{RoomID: "lobby", OrderID: fmt.Sprint("order", n), UserID: user, Pieces: pieces, Charge: charge, At: s.now()}
}

func (s *Stats) give(t *testing.T, g Gift) {
	t.Helper()
	if err := s.Gift(t.Context(), g); err != nil {
		t.Fatal(err)
	}
}

// TestGiftsCountOnce: orders and refunds, each told several times, before and
// after folding.
func TestGiftsCountOnce(t *testing.T) {
	s, pass := open(t)
	rose, car := s.order("alice", 1, 3, 30), s.order("bob", 2, 1, 500)
	back := s.order("alice", 3, 10, 100)
	for range 3 {
		s.give(t, rose)
		s.give(t, car)
		s.give(t, back)
	}
	refund := back
	refund.Refunded = true
	check := func() {
		t.Helper()
		r := s.room(t, "lobby")
		if r.Gifts != 2 || r.GiftPieces != 4 || r.Messages != 0 || len(r.Users) == 0 {
			t.Errorf("%+v", r)
		}
		for user, want := range map[string]int64{"alice": 1, "bob": 1} {
			if u, err := s.User(t.Context(), "lobby", user); err != nil || u.Gifts != want {
				t.Errorf("%+v, %v; want %d gifts", u, err, want)
			}
		}
	}
	s.give(t, refund)
	check()
	pass(time.Minute)
	s.tick(t)
	s.give(t, refund)
	s.give(t, rose)
	check()
	pass(time.Minute)
	s.tick(t)
	check()
	for _, board := range []string{"gifts", "day/gifts"} {
		if got := s.board(t, board, s.now()); got != "bob 500, alice 30" {
			t.Errorf("%s: %s", board, got)
		}
	}
}

// TestARefundBeforeItsOrder: jobs come in any order.
func TestARefundBeforeItsOrder(t *testing.T) {
	s, pass := open(t)
	order := s.order("alice", 1, 3, 30)
	refund := order
	refund.Refunded = true
	s.give(t, refund)
	s.give(t, order)
	pass(time.Minute)
	s.tick(t)
	if r := s.room(t, "lobby"); r.Gifts != 0 || r.GiftPieces != 0 || r.Popularity != 0 {
		t.Errorf("%+v", r)
	}
	if got := s.board(t, "gifts", s.now()); got != "" {
		t.Errorf("on the board: %s", got)
	}
}

func TestImpossibleGifts(t *testing.T) {
	s, _ := open(t)
	for name, change := range map[string]func(*Gift){
		"no order":        func(g *Gift) { g.OrderID = "" },
		"no user":         func(g *Gift) { g.UserID = "" },
		"no pieces":       func(g *Gift) { g.Pieces = 0 },
		"negative pieces": func(g *Gift) { g.Pieces = -1 },
		"huge pieces":     func(g *Gift) { g.Pieces = math.MaxInt64 },
		"negative charge": func(g *Gift) { g.Charge = -1 },
		"huge charge":     func(g *Gift) { g.Charge = 1 << 53 },
	} {
		g := s.order("alice", 1, 1, 1)
		change(&g)
		if err := s.Gift(t.Context(), g); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The largest there are, many times: figures stay what JSON keeps exact.
	for n := range 3 {
		s.give(t, s.order("alice", 10+n, 1<<53-1, 1<<53-1))
	}
	if r := s.room(t, "lobby"); r.GiftPieces != 1<<53-1 || r.Popularity < 0 {
		t.Errorf("%+v", r)
	}
}

// TestGiftMessages: a gift message of the app counts as a gift; one of our own
// orders, and one that a client sent, count as a message only.
func TestGiftMessages(t *testing.T) {
	s, pass := open(t)
	send := func(seq uint32, platform, data, cloud string) {
		e := s.message("alice", "", seq)
		e.MsgBody, e.CloudCustomData, e.Query.OptPlatform = custom(data), cloud, platform
		s.must(t, e)
		s.must(t, e)
	}
	send(1, "RESTAPI", giftData("5"), "")
	send(2, "RESTAPI", giftData("7"), `{"backchannel":{"orders":["order1"]},"combo":"c"}`)
	send(3, "Android", giftData("9"), `{"backchannel":{"orders":["forged"]}}`)
	send(4, "Android", giftData("9"), "")
	send(5, "RESTAPI", giftData("-9"), "")
	send(6, "Android", "hello", "")
	s.give(t, s.order("alice", 1, 7, 70))
	for range 2 {
		if r := s.room(t, "lobby"); r.Messages != 6 || r.Texts != 1 || r.Gifts != 2 || r.GiftPieces != 12 {
			t.Errorf("%+v", r)
		}
		if u, err := s.User(t.Context(), "lobby", "alice"); err != nil || u.Messages != 6 || u.Gifts != 2 {
			t.Errorf("%+v, %v", u, err)
		}
		pass(time.Minute)
		s.tick(t)
	}
	if got := s.board(t, "gifts", s.now()); got != "alice 75" {
		t.Errorf("the board of users: %s, want the charge of the order and the pieces of the message", got)
	}
}

func (s *Stats) sendLikes(t *testing.T, user string, random uint32, count string) {
	t.Helper()
	err := s.allowed(t.Context(), &callback.GroupBeforeSendMsg{
		GroupID: "lobby", From: user, Random: random, MsgBody: custom(likeData(count)), EventTime: callback.Millis(s.now().UnixMilli()),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLikesBeforeSending: each once by sender and Random, bounded a message, and
// a delivered like is a message and no further like.
func TestLikesBeforeSending(t *testing.T) {
	s, pass := open(t)
	s.sendLikes(t, "alice", 1, "5")
	s.sendLikes(t, "alice", 1, "5")
	s.sendLikes(t, "alice", 2, "1000") // 20 at most
	s.sendLikes(t, "bob", 1, "1")
	s.sendLikes(t, "bob", 2, "-7") // 1 at least
	s.sendLikes(t, "bob", 3, "99999999999999999999999")
	s.sendLikes(t, "bob", 4, `"many"`)
	delivered := s.message("alice", "", 1)
	delivered.MsgBody = custom(likeData("5"))
	s.must(t, delivered)
	for range 2 {
		if r := s.room(t, "lobby"); r.Likes != 47 || r.Messages != 1 || r.Texts != 0 {
			t.Errorf("%+v", r)
		}
		if u, err := s.User(t.Context(), "lobby", "alice"); err != nil || u.Likes != 25 {
			t.Errorf("%+v, %v", u, err)
		}
		pass(time.Minute)
		s.tick(t)
	}
	if got := s.board(t, "likes", s.now()); got != "lobby 47" {
		t.Errorf("the board: %s", got)
	}
}

func TestLikesWhenDelivered(t *testing.T) {
	s, _ := openWith(t, Config{LikesDelivered: true})
	s.sendLikes(t, "alice", 1, "5")
	for range 2 {
		e := s.message("alice", "", 1)
		e.MsgBody = custom(likeData("5"))
		s.must(t, e)
	}
	if r := s.room(t, "lobby"); r.Likes != 5 || r.Messages != 1 || r.Texts != 0 {
		t.Errorf("%+v", r)
	}
}

// TestAMillionLikesOfOneAccount: a user's likes count up to a bound a minute,
// over all instances and folds, and the others are not hindered.
func TestAMillionLikesOfOneAccount(t *testing.T) {
	s, pass := openWith(t, Config{LikesPerMinute: 100})
	// To the beginning of a minute, so that the test knows how many there are.
	pass(time.Minute - time.Duration(s.now().Unix()%60)*time.Second)
	var instances []*Stats
	for range 3 {
		instances = append(instances, New(Config{Store: s.store, Now: s.now, LikesPerMinute: 100}))
	}
	random := uint32(0)
	for range 3 { // folded twice in between
		for _, each := range instances {
			for range 60 {
				random++
				each.sendLikes(t, "flood", random, "20")
			}
		}
		pass(17 * time.Second)
		s.tick(t)
	}
	s.sendLikes(t, "alice", 1, "20")
	if r := s.room(t, "lobby"); r.Likes != 120 {
		t.Errorf("%d likes of which 20 are alice's, want 120", r.Likes)
	}
	pass(time.Minute)
	s.tick(t)
	s.sendLikes(t, "flood", random+1, "20")
	if u, err := s.User(t.Context(), "lobby", "flood"); err != nil || u.Likes != 120 {
		t.Errorf("%+v, %v; want 20 more in another minute", u, err)
	}
	if r := s.room(t, "lobby"); r.Likes != 140 {
		t.Errorf("%d likes, want 140", r.Likes)
	}
}

// TestLikesThatFillTheirSegments: more than fit the first segments of a window
// count all the same, each once, folded or not.
func TestLikesThatFillTheirSegments(t *testing.T) {
	s, pass := open(t)
	const users, each = 40, 80 // 2.5 segments of a row for each user
	send := func() {
		var all sync.WaitGroup
		for user := range users {
			all.Go(func() {
				for n := range uint32(each) {
					s.sendLikes(t, fmt.Sprint("user", user), n, "1")
				}
			})
		}
		all.Wait()
	}
	send()
	for range 2 {
		if r := s.room(t, "lobby"); r.Likes != users*each {
			t.Errorf("%d likes, want %d", r.Likes, users*each)
		}
		pass(quiet)
		s.tick(t)
	}
	if u, err := s.User(t.Context(), "lobby", "user7"); err != nil || u.Likes != each {
		t.Errorf("%+v, %v", u, err)
	}
	if n := s.unfolded(t, "lobby"); n != 0 {
		t.Errorf("%d segments unfolded", n)
	}
}

// TestDropMeter: what was about to be sent, less what was delivered.
func TestDropMeter(t *testing.T) {
	s, pass := openWith(t, Config{MeterDrops: true})
	for n := range uint32(10) {
		for range 2 {
			err := s.allowed(t.Context(), &callback.GroupBeforeSendMsg{
				GroupID: "lobby", From: fmt.Sprint("user", n%3), Random: n, EventTime: callback.Millis(s.now().UnixMilli()),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if n < 7 {
			s.must(t, s.message(fmt.Sprint("user", n%3), "", n))
		}
	}
	rest := s.message("host", "", 100) // never asked about
	rest.Query.OptPlatform = "RESTAPI"
	s.must(t, rest)
	for range 2 {
		if r := s.room(t, "lobby"); r.Dropped == nil || *r.Dropped != 3 || r.Messages != 8 {
			t.Errorf("%+v", r)
		}
		pass(time.Minute)
		s.tick(t)
	}
	off, _ := openWith(t, Config{Off: map[string]string{"dropped": "ROOM_DROP_METER"}})
	if r := off.room(t, "lobby"); r.Dropped != nil || r.Off["dropped"] != "ROOM_DROP_METER" {
		t.Errorf("%+v", r)
	}
}

// TestGiftsAtOnce: five hundred gifts in a room at the same time meet no
// conflict, and all count.
func TestGiftsAtOnce(t *testing.T) {
	s, pass := open(t)
	var all sync.WaitGroup
	for n := range 500 {
		all.Go(func() { s.give(t, s.order(fmt.Sprint("user", rand.IntN(50)), n, 2, 3)) })
	}
	all.Wait()
	pass(time.Minute)
	s.tick(t)
	if r := s.room(t, "lobby"); r.Gifts != 500 || r.GiftPieces != 1000 {
		t.Errorf("%+v", r)
	}
	entries, _, err := s.Board(t.Context(), BoardGifts, "", 100, s.now())
	var total int64
	for _, e := range entries {
		total += e.Score
	}
	if err != nil || total != 1500 {
		t.Errorf("%d charged on the board, %v", total, err)
	}
}

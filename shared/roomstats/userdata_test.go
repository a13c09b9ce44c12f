package roomstats

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

var onlineSeconds = regexp.MustCompile(`OnlineSeconds:\d+ Level:\d+`)

// eraser erases with the clock of the test.
func (s *Stats) eraser(store kv.Store) *userdata.Eraser {
	mine := &Stats{conf: s.conf, store: store, now: s.now}
	mine.entered.rooms = map[string]time.Time{}
	source := UserData
	source.Erase = func(ctx context.Context, _ kv.Store, userID string, n userdata.Noted, _ time.Time) (bool, error) {
		return mine.eraseUser(ctx, userID, n)
	}
	return userdata.NewEraser(store, []userdata.Source{source}, nil, s.now)
}

// evening fills two rooms: everybody writes, likes, gives and is there, and more users
// than the list of the most active holds.
func (s *Stats) evening(t *testing.T, users ...string) {
	t.Helper()
	seq := uint32(0)
	for n, user := range users {
		for _, roomID := range []string{"lobby", "stage"} {
			for range 1 + n%7 {
				seq++
				e := s.message(user, "", seq)
				e.GroupID = roomID
				s.must(t, e)
			}
			join := &callback.GroupAfterNewMemberJoin{
				GroupID: roomID, Type: "AVChatRoom", NewMembers: []callback.Member{{UserID: user}}, EventTime: callback.Millis(s.now().UnixMilli()),
			}
			join.Query.OptPlatform = "iOS"
			if err := s.joined(t.Context(), join); err != nil {
				t.Fatal(err)
			}
			if err := s.like(t.Context(), room1(roomID), user, int64(1+n%5), fmt.Sprint(user, roomID), s.now()); err != nil {
				t.Fatal(err)
			}
		}
		s.give(t, s.order(user, n, 2, int64(100+n)))
	}
}

// figures are what both rooms and the boards say, without the lines of one user.
func (s *Stats) said(t *testing.T, without string) string {
	t.Helper()
	var lines []string
	for _, roomID := range []string{"lobby", "stage"} {
		for after := ""; ; {
			r, err := s.Page(t.Context(), roomID, after, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range r.Users {
				if u.UserID != without {
					lines = append(lines, fmt.Sprintf("%s %+v", roomID, u))
				}
			}
			if after = r.Next; after == "" {
				lines = append(lines, fmt.Sprintf("%s: %d messages, %d gifts, %d likes", roomID, r.Messages, r.Gifts, r.Likes))
				break
			}
		}
		r := s.room(t, roomID)
		for _, u := range r.Users {
			if u.UserID != without && u.Messages > 0 && len(r.Users) < MaxUsers {
				lines = append(lines, fmt.Sprintf("%s lists %s", roomID, u.UserID))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// TestEraseUser: who is erased stands nowhere after the second pass, whatever the
// erasure died of on the way; totals and what others have is as it was, and the most
// active of a full list are those of all who are left.
func TestEraseUser(t *testing.T) {
	s, pass := open(t)
	record := kvtest.Record(s.store)
	s.store, s.conf.Store = record, record
	var users []string
	for n := range topSize + 5 {
		users = append(users, fmt.Sprintf("user%03d", n))
	}
	users = append(users, "erased-one")
	s.evening(t, users...)
	pass(2 * time.Minute)
	s.tick(t)
	before := s.said(t, "erased-one")
	online := s.room(t, "lobby").Online

	deaths := 0
	for n := 1; ; n++ {
		mortal, died := kvtest.Mortal(record, n, n%2 == 0)
		_, err := s.eraser(mortal).Erase(t.Context(), "erased-one")
		if !died() {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		deaths++
	}
	if deaths < 4 {
		t.Errorf("it died %d times", deaths)
	}
	pass(time.Minute)
	s.tick(t)
	pass(userdata.Settled)
	s.tick(t)
	if done, err := s.eraser(record).Erase(t.Context(), "erased-one"); err != nil || done.More || !done.Again.IsZero() {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, is := range record.Dump(t) {
		if strings.Contains(is.Partition+is.Key+is.Text, "erased-one") {
			t.Errorf("still there: %+v", is)
		}
	}
	if now := s.room(t, "lobby").Online; now != online-1 {
		t.Errorf("%d were online, now %d", online, now)
	}
	stable := func(text string) string { // who is online goes on being so
		return onlineSeconds.ReplaceAllString(text, "")
	}
	if after := s.said(t, "erased-one"); stable(after) != stable(before) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	var top []row
	if _, err := load(t.Context(), record, room1("lobby").main(), topKey, &top); err != nil || len(top) != topSize {
		t.Errorf("the list of the most active has %d of %d left, %v", len(top), topSize, err)
	}
}

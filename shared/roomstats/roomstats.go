// Package roomstats counts what happens in rooms: delivered messages, per room
// and per user, each once.
//
// A room is a partition, so its counts agree with one another. A message is
// known by its topic and MsgSeq, counted in the segment that 32 neighbouring
// MsgSeq share, and folded into totals a while later; see package kv. A list of
// the rooms that are talked in tells the clock what to fold.
package roomstats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// MaxUsers is how many users a room's statistics list, the most active first.
const MaxUsers = 100

// segmentBits is how many low bits of MsgSeq share a segment: 32 messages keep
// a segment, with two counters each, near one write unit of DynamoDB.
const segmentBits = 5

// quiet is how long nobody has touched a segment that is folded.
const quiet = time.Minute

// Stats counts rooms in a store.
type Stats struct {
	store   kv.Store
	now     func() time.Time
	entered entered
}

// New returns the statistics kept in a store.
func New(store kv.Store) *Stats {
	return &Stats{store: store, now: time.Now, entered: entered{rooms: make(map[string]time.Time)}}
}

// Register adds the rule that counts delivered group messages.
func (s *Stats) Register(m *callback.Mux) { callback.After(m, "count", s.count) }

func partition(roomID string) string { return "room/" + roomID }

// Names of counters within a room: one of the room, and one of each user.
const roomMessages = "messages"

const (
	userPrefix     = "u/"
	messagesSuffix = "/messages"
)

func userMessages(userID string) string { return userPrefix + userID + messagesSuffix }

// count counts a delivered message once, however often its callback comes.
func (s *Stats) count(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	deltas := []kv.Delta{{Counter: roomMessages, By: 1}}
	if e.From != "" && e.From != im.NotFoundSender {
		deltas = append(deltas, kv.Delta{Counter: userMessages(e.From), By: 1})
	}
	// MsgTime belongs to the message; EventTime may differ from try to try.
	at := cmp.Or(e.MsgTime.Time(), e.EventTime.Time(), s.now())
	seq := strconv.FormatUint(uint64(e.MsgSeq), 10)
	segment := fmt.Sprintf("m/%s/%08x", e.TopicID, e.MsgSeq>>segmentBits)
	err := s.enter(ctx, e.GroupID)
	var outcome kv.Outcome
	if err == nil {
		outcome, err = s.store.Tally(ctx, partition(e.GroupID), segment, kv.Event{ID: seq, At: at}, deltas...)
	}
	switch {
	case errors.Is(err, kv.ErrInvalid):
		// A repetition would fare no better: the callback is not one of IM's.
		slog.WarnContext(ctx, "message not counted", "reason", err.Error())
		return nil
	case err != nil:
		return err
	case outcome == kv.TooLate:
		slog.WarnContext(ctx, "message not counted", "reason", "its callback came over a day late")
	}
	return nil
}

// Fold moves the counts of a room's quiet segments into its totals. It may run
// at any time, anywhere, and twice at once.
func (s *Stats) Fold(ctx context.Context, roomID string) error {
	before := s.now().Add(-quiet)
	_, err := kv.Fold(ctx, s.store, partition(roomID), kv.FoldOptions{
		Closed: func(g kv.Segment) bool { return g.Touched.Before(before) },
		Into:   totalKey,
	})
	return err
}

// totalKey names the item a counter's total is kept in: the room has one, and
// each user has one.
func totalKey(counter string) string {
	if user, is := userOf(counter); is {
		return "t/u/" + user
	}
	return "t/room"
}

func userOf(counter string) (string, bool) {
	user, is := strings.CutPrefix(counter, userPrefix)
	if !is {
		return "", false
	}
	return strings.CutSuffix(user, messagesSuffix)
}

// Room is what GET /rooms/{id}/stats answers. What nothing measures is nil.
type Room struct {
	Messages   int64  `json:"messages"`
	Gifts      *int64 `json:"gifts"`
	GiftPieces *int64 `json:"giftPieces"`
	Likes      *int64 `json:"likes"`
	Online     *int64 `json:"online"`
	PeakOnline *int64 `json:"peakOnline"`
	Dropped    *int64 `json:"dropped"`
	Popularity *int64 `json:"popularity"`
	Users      []User `json:"users"` // the most active first, at most MaxUsers
}

// User is what one user did in a room. What nothing measures is nil.
type User struct {
	UserID        string `json:"userID"`
	Messages      int64  `json:"messages"`
	Gifts         *int64 `json:"gifts"`
	Likes         *int64 `json:"likes"`
	OnlineSeconds *int64 `json:"onlineSeconds"`
	Level         *int64 `json:"level"`
}

// Room returns a room's statistics, all zero for a room nobody wrote in.
func (s *Stats) Room(ctx context.Context, roomID string) (Room, error) {
	counters, err := kv.Totals(ctx, s.store, partition(roomID), "t/")
	if err != nil {
		return Room{}, err
	}
	r := Room{Messages: counters[roomMessages], Users: []User{}}
	for _, counter := range slices.Sorted(maps.Keys(counters)) {
		if user, is := userOf(counter); is {
			r.Users = append(r.Users, User{UserID: user, Messages: counters[counter]})
		}
	}
	slices.SortStableFunc(r.Users, func(a, b User) int { return cmp.Compare(b.Messages, a.Messages) })
	r.Users = r.Users[:min(len(r.Users), MaxUsers)]
	return r, nil
}

// User returns what one user did in a room.
func (s *Stats) User(ctx context.Context, roomID, userID string) (User, error) {
	counters, err := kv.Totals(ctx, s.store, partition(roomID), totalKey(userMessages(userID)))
	if err != nil {
		return User{}, err
	}
	return User{UserID: userID, Messages: counters[userMessages(userID)]}, nil
}

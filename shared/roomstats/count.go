package roomstats

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/generation"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

const (
	// segmentBits is how many low bits of MsgSeq share a segment: 32 messages keep
	// a segment, with a counter of each sender, near one write unit of DynamoDB.
	segmentBits = 5
	// rowLimit is how many events share a segment of a shard, with a counter for
	// each user.
	rowLimit = 32
	// window is over which time events of a shard share segments.
	window = 15 * time.Second
	// maxAmount bounds pieces and charges: the largest integer that every JSON
	// reader keeps exact.
	maxAmount = 1<<53 - 1
)

// The kinds of segments of messages: those of rooms, and of groups that are no rooms,
// so that the fold knows them apart at no cost.
const (
	kindRoom  = "m"
	kindGroup = "c"
)

// Counters of a room's main partition. A counter of a user is a prefix with the
// UserID behind it.
const (
	cMessages = "m"
	cSpecial  = "x"  // messages of the gift or like format
	cREST     = "r"  // messages sent by REST
	cGifts    = "n"  // gift orders, and gift messages of the app
	cPieces   = "p"  // their pieces
	cUser     = "u/" // messages of a user
	cUserGift = "g/" // gifts of a user
	// Of shards alone.
	cUserLikes = "l/"
	cBefore    = "b" // messages that were about to be sent
	cOnline    = "o"
	cUncounted = "v" // online users who count in no figure
)

// count counts a delivered message: once, by MsgSeq and a hash of who sent it
// with which Random.
func (s *Stats) count(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	// MsgTime belongs to the message; EventTime may differ from try to try.
	at := cmp.Or(e.MsgTime.Time(), e.EventTime.Time(), s.now())
	if !s.inTime(ctx, "message", at) {
		return nil
	}
	moment := generation.Sent(e.MsgTime, e.EventTime)
	if e.MsgTime == 0 && e.EventTime == 0 {
		moment = generation.At(at)
	}
	g, err := s.conf.Generations.Seen(ctx, e.GroupID, moment, e.MsgSeq <= generation.FreshSeq)
	if err != nil {
		return s.dropInvalid(ctx, "message", err)
	}
	r := room{e.GroupID, g.Number}
	user := e.From
	if user == im.NotFoundSender {
		user = ""
	}
	deltas := []kv.Delta{{Counter: cMessages, By: 1}}
	if user != "" {
		deltas = append(deltas, kv.Delta{Counter: cUser + user, By: 1})
	}
	rest := strings.EqualFold(e.Query.OptPlatform, "RESTAPI")
	if rest {
		deltas = append(deltas, kv.Delta{Counter: cREST, By: 1})
	}
	id := eventID(e)
	if pieces, is := s.conf.Gift.Find(e.MsgBody); is {
		deltas = append(deltas, kv.Delta{Counter: cSpecial, By: 1})
		// A gift of our own was counted with its order, and a client sends none.
		if rest && pieces > 0 && !orders(e.CloudCustomData) {
			deltas = append(deltas, kv.Delta{Counter: cGifts, By: 1}, kv.Delta{Counter: cPieces, By: pieces})
			if user != "" {
				deltas = append(deltas, kv.Delta{Counter: cUserGift + user, By: 1})
				if err := s.credit(ctx, user, fmt.Sprintf("%s/%x", id, sha256.Sum224([]byte(r.main()))), pieces, at); err != nil {
					return s.dropInvalid(ctx, "gift message", err)
				}
			}
		}
	} else if likes, is := s.conf.Like.FindLikes(e.MsgBody); is {
		deltas = append(deltas, kv.Delta{Counter: cSpecial, By: 1})
		if s.conf.LikesDelivered && user != "" && likes > 0 {
			if err := s.like(ctx, r, user, likes, id, at); err != nil {
				return s.dropInvalid(ctx, "like", err)
			}
		}
	}
	if err := s.enter(ctx, r.id, mainEntry(r)); err != nil {
		return s.dropInvalid(ctx, "message", err)
	}
	kind := kindRoom
	if e.Type != "" && !isRoom(string(e.Type)) {
		kind = kindGroup
	}
	segment := fmt.Sprintf("%s/%s/%s/%08x", kind, s.dayOf(at), e.TopicID, e.MsgSeq>>segmentBits)
	_, err = s.store.Tally(ctx, r.main(), segment, kv.Event{ID: id, At: at}, deltas...)
	return s.dropInvalid(ctx, "message", err)
}

// eventID is a message's identity within its segment, where MsgSeq may have been
// given to another message after the group was dissolved and nobody told. The
// hash is short since 32 ids share a write unit.
func eventID(e *callback.GroupAfterSendMsg) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", e.Random, e.From))
	return fmt.Sprintf("%d%s", e.MsgSeq, base64.RawURLEncoding.EncodeToString(sum[:3]))
}

// dropInvalid turns an error that a repetition would meet again into a line of
// the log: such a callback is not one of IM's.
func (s *Stats) dropInvalid(ctx context.Context, what string, err error) error {
	if errors.Is(err, kv.ErrInvalid) {
		slog.WarnContext(ctx, "event not counted", "event", what, "reason", err.Error())
		return nil
	}
	return err
}

// allowed sees a message that may be sent: likes, which IM sheds first, and every
// message where drops are metered. Both are known by sender and Random.
func (s *Stats) allowed(ctx context.Context, e *callback.GroupBeforeSendMsg) error {
	at := cmp.Or(e.EventTime.Time(), s.now())
	if e.From == "" || e.From == im.NotFoundSender || !s.inTime(ctx, "message to be sent", at) {
		return nil
	}
	var likes int64
	if !s.conf.LikesDelivered {
		likes, _ = s.conf.Like.FindLikes(e.MsgBody)
	}
	if likes > 0 {
		likes = s.likes.take(e.GroupID, e.From, likes, s.conf.LikesPerMinute, at.Unix()/60)
	}
	meter := s.conf.MeterDrops && !strings.EqualFold(e.Query.OptPlatform, "RESTAPI")
	if likes <= 0 && !meter {
		return nil
	}
	g, err := s.conf.Generations.Seen(ctx, e.GroupID, generation.At(at), false)
	if err != nil {
		return s.dropInvalid(ctx, "message to be sent", err)
	}
	r, id := room{e.GroupID, g.Number}, fmt.Sprintf("%s/%d", e.From, e.Random)
	if likes > 0 {
		if err := s.like(ctx, r, e.From, likes, id, at); err != nil {
			return s.dropInvalid(ctx, "like", err)
		}
	}
	if meter {
		return s.dropInvalid(ctx, "message to be sent", s.tally(ctx, r, e.From, "b", 2*rowLimit, id, at, kv.Delta{Counter: cBefore, By: 1}))
	}
	return nil
}

// like counts likes of a user. How many of them count in a minute is decided
// when they are folded.
func (s *Stats) like(ctx context.Context, r room, user string, likes int64, id string, at time.Time) error {
	return s.tally(ctx, r, user, "l", rowLimit, id, at, kv.Delta{Counter: cUserLikes + user, By: likes})
}

// tally counts an event of a user in his shard of the room. A segment's name
// tells the kind, the day and the window of the events in it.
func (s *Stats) tally(ctx context.Context, r room, user, kind string, limit int, id string, at time.Time, deltas ...kv.Delta) error {
	n := shardOf(user)
	if err := s.enter(ctx, r.id, shardEntry(r, n)); err != nil {
		return err
	}
	return s.tallyRow(ctx, r.shard(n), kind, hash(user, "row")%16, limit, id, at, deltas...)
}

func (s *Stats) tallyRow(ctx context.Context, partition, kind string, row uint32, limit int, id string, at time.Time, deltas ...kv.Delta) error {
	name := fmt.Sprintf("%s/%s/%d/%x", kind, s.dayOf(at), at.Unix()/int64(window/time.Second), row)
	_, err := kv.TallyRow(ctx, s.store, partition, name, kv.Event{ID: id, At: at, Limit: limit}, deltas...)
	return err
}

// segmentName is what the name of a segment tells.
type segmentName struct {
	kind, day string
	minute    int64 // since 1970; of a shard's segments
}

func nameOf(segment string) segmentName {
	kind, rest, _ := strings.Cut(segment, "/")
	day, rest, _ := strings.Cut(rest, "/")
	n := segmentName{kind: kind, day: day}
	if kind != kindRoom && kind != kindGroup {
		var windows int64
		_, _ = fmt.Sscanf(rest, "%d/", &windows)
		n.minute = windows / int64(time.Minute/window)
	}
	return n
}

// Gift is a gift order that was charged or refunded.
type Gift struct {
	RoomID  string
	OrderID string
	UserID  string // who pays
	Pieces  int64  // 1 to 2^53-1
	Charge  int64  // 0 to 2^53-1
	// At is when the order was committed, the same in every retry and for the refund:
	// At determines the day and the generation.
	At       time.Time
	Refunded bool
}

// Gift counts an order in its room, and its charge on the board of users; a refund
// takes both back. Gift is idempotent by the OrderID, for the order and for its
// refund; retry it after an error other than kv.ErrInvalid. An order that is a day old
// is dropped.
func (s *Stats) Gift(ctx context.Context, g Gift) error {
	if g.OrderID == "" || g.UserID == "" || g.Pieces < 1 || g.Pieces > maxAmount || g.Charge < 0 || g.Charge > maxAmount {
		return fmt.Errorf("%w: a gift has an order, a user, 1 to 2^53-1 pieces and a charge up to that", kv.ErrInvalid)
	}
	if !s.inTime(ctx, "gift order", g.At) {
		return nil
	}
	life, err := s.conf.Generations.Seen(ctx, g.RoomID, generation.At(g.At), true)
	if err != nil {
		return err
	}
	id, sign := g.OrderID, int64(1)
	if g.Refunded {
		id, sign = g.OrderID+"/refund", -1
	}
	if err := s.credit(ctx, g.UserID, id, sign*g.Charge, g.At); err != nil {
		return err
	}
	return s.tally(ctx, room{g.RoomID, life.Number}, g.UserID, "g", rowLimit, id, g.At,
		kv.Delta{Counter: cGifts, By: sign}, kv.Delta{Counter: cPieces, By: sign * g.Pieces}, kv.Delta{Counter: cUserGift + g.UserID, By: sign})
}

// bounded is a figure as it is shown: what every JSON reader keeps exact.
func bounded(n int64) int64 { return max(0, min(n, maxAmount)) }

// round rounds a score.
func round(f float64) int64 { return int64(math.Round(min(f, maxAmount))) }

// Package lottery draws winners among the users who write a keyword in a live room, so
// that anybody can verify the draw.
//
// # The draw
//
// When a lottery opens, a random seed is stored and its SHA-256, the commitment, is
// published. Users enter by writing the keyword within the window; each user once, by
// the after-callback of the message, with the time of the message. A draw first
// freezes the entries: it fixes the time until which messages count, after which the
// store takes no further entry, and stores the hash of the entries. Only then is the
// seed read and published. The entries in ascending order of
//
//	hex(sha256(seed + ":" + UserID))
//
// are the drawing order, and the first of them win: adding or removing an entry does
// not reorder the others, and nobody who knows the seed can choose when to stop, since
// the entries are frozen by then. [Verify] recomputes the draw from the answer of
// [Lotteries.Get].
//
// Owner, moderators, the app's admin, robots and users who are kicked at the draw may
// not win. Their entries are listed as excluded, and the owner and the moderators
// always are.
//
// # What to rely on
//
// Every delivered message in a live room reads one item, strongly consistent, that
// says which lotteries are open: an instance that cached the absence of lotteries
// would lose entries. A job that is enqueued before the lottery is made draws when the
// window is over; [Lotteries.Draw] may draw earlier. A second draw returns the first,
// and winners are announced once, through the room's outbox.
package lottery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Limits of a lottery.
const (
	MaxKeyword = 64             // bytes, trimmed
	MaxPrize   = 200            // bytes
	MaxWinners = 100            // so that the announcement fits a message
	MaxWindow  = 24 * time.Hour // how long a lottery takes entries
	MaxOpen    = 10             // lotteries of a room at a time
)

// Our decisions.
const (
	// drawAfter is how long after the window a draw waits for after-callbacks, which
	// IM may deliver late.
	drawAfter = 10 * time.Second
	// kept is how long a lottery and its entries are remembered.
	kept  = 400 * 24 * time.Hour
	tries = 20 // of a change that others keep getting in the way of
)

// State is the state of a lottery.
type State string

// The states of a lottery.
const (
	Open   State = "open"   // takes entries
	Frozen State = "frozen" // takes none any more, and is being drawn
	Drawn  State = "drawn"
)

// Asked is a request for a lottery.
type Asked struct {
	Keyword string `json:"keyword"` // compared trimmed and case-folded with the whole text of a message
	Winners int    `json:"winners"`
	Seconds int64  `json:"seconds"` // length of the window
	Prize   string `json:"prize"`
}

// Lottery is the public view of a lottery.
type Lottery struct {
	LotteryID     string    `json:"lotteryId"`
	Keyword       string    `json:"keyword"`
	Prize         string    `json:"prize"`
	WinnersWanted int       `json:"winnersWanted"`
	Commitment    string    `json:"commitment"` // hex SHA-256 of the seed's text
	State         State     `json:"state"`
	OpensAt       time.Time `json:"opensAt"` // messages of this second count
	EndsAt        time.Time `json:"endsAt"`  // messages of this second do not

	// After the draw.
	*Draw
}

// Draw is the published result of a draw.
type Draw struct {
	Until       time.Time `json:"until"`       // messages of this second still counted
	Seed        string    `json:"seed"`        // hex
	Entries     []string  `json:"entries"`     // UserIDs in drawing order
	EntriesHash string    `json:"entriesHash"` // hex SHA-256 of the UserIDs, sorted, each with a line feed; stored before the seed was read
	Excluded    []string  `json:"excluded"`    // UserIDs that may not win
	Winners     []string  `json:"winners"`
	DrawnAt     time.Time `json:"drawnAt"`
}

// Rooms returns what lotteries need of a room; [*liveroom.Rooms] implements it.
type Rooms interface {
	// Get returns a room; NotFound if the room does not exist.
	Get(ctx context.Context, roomID string) (liveroom.Room, error)
	// ListRestrictions lists the restrictions of a room.
	ListRestrictions(ctx context.Context, caller api.Caller, roomID, after string, limit int) (list []liveroom.Restriction, next string, err error)
}

// Config makes [Lotteries]. Store is required; a program that only hears callbacks
// needs nothing else.
type Config struct {
	Store kv.Store
	Jobs  *queue.Ledger
	Rooms Rooms
	Out   *outbox.Outbox
	// Admin is the UserID that announces lotteries, and may not win. The account must
	// exist.
	Admin string

	Now func() time.Time // nil: time.Now
}

// Lotteries are the lotteries of all rooms. It is safe for concurrent use, also by
// several processes.
type Lotteries struct {
	conf  Config
	store kv.Store
	now   func() time.Time
}

// jobKind is the kind of the jobs that announce and draw.
const jobKind = "lottery"

// New makes Lotteries, and registers its kind of job.
func New(conf Config) *Lotteries {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	l := &Lotteries{conf: conf, store: conf.Store, now: conf.Now}
	if conf.Jobs != nil {
		conf.Jobs.Handle(jobKind, l.job)
	}
	return l
}

// A room's lotteries live in the partition room/ID/lottery:
//
//	open       which lotteries take entries; read for every message
//	l/<id>     a lottery
//	seed/<id>  its seed, which only a draw reads
//
// and the entries of each in a partition of their own, room/ID/lottery/<id>:
//
//	e/<UserID>  an entry
//	frozen      no entry is taken any more
const (
	openKey       = "open"
	lotteryPrefix = "l/"
	seedPrefix    = "seed/"
	entryPrefix   = "e/"
	frozenKey     = "frozen"
)

func partition(roomID string) string { return "room/" + roomID + "/lottery" }

func entries(roomID, id string) string { return partition(roomID) + "/" + id }

// opening is a lottery in the item that every message reads.
type opening struct {
	ID      string `json:"id"`
	Keyword string `json:"keyword"`
	From    int64  `json:"from"`  // Unix seconds of the first message that counts
	Until   int64  `json:"until"` // and of the last
}

// record is a lottery as it is stored. Its Draw has no Entries: an item would not hold
// all of them, and they are computed when they are asked for.
type record struct {
	Lottery
	Asked      Asked `json:"asked"`
	Generation int64 `json:"generation"` // of the room
}

// frozen is the item that ends the entries of a lottery.
type frozen struct {
	Until int64 `json:"until"` // Unix seconds of the last message that counts
}

var (
	errNoLottery = fault.New(fault.NotFound, "there is no such lottery in this room")
	errNotYours  = fault.New(fault.Forbidden, "lotteries are for servers, and for the room's owner and moderators")
	errClosed    = fault.New(fault.RoomClosed, "the room has ended")
	errMany      = fault.New(fault.Conflict, "there are %d lotteries in this room already; wait until one has been drawn", MaxOpen)
)

func (a *Asked) check() error {
	a.Keyword = strings.TrimSpace(a.Keyword)
	switch {
	case a.Keyword == "" || len(a.Keyword) > MaxKeyword:
		return fault.New(fault.Invalid, "keyword has 1 to %d bytes besides white space", MaxKeyword)
	case a.Winners < 1 || a.Winners > MaxWinners:
		return fault.New(fault.Invalid, "winners is a whole number from 1 to %d", MaxWinners)
	case a.Seconds < 1 || a.Seconds > int64(MaxWindow/time.Second):
		return fault.New(fault.Invalid, "seconds is a whole number from 1 to %d", int64(MaxWindow/time.Second))
	case len(a.Prize) > MaxPrize:
		return fault.New(fault.Invalid, "prize has at most %d bytes", MaxPrize)
	case !liveroom.PlainLine(a.Keyword) || !liveroom.PlainLine(a.Prize):
		return fault.New(fault.Invalid, "keyword and prize are one line each, without HTML")
	}
	return nil
}

// idOf names a caller's lottery, the same for the same Idempotency-Key.
func idOf(c api.Caller, roomID, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "lottery %q %q %q %q", c.Server, c.UserID, roomID, key))
	return hex.EncodeToString(sum[:10])
}

// room returns a room that the caller leads.
func (l *Lotteries) room(ctx context.Context, c api.Caller, roomID string) (liveroom.Room, error) {
	room, err := l.conf.Rooms.Get(ctx, roomID)
	if err == nil && c.Server == "" && !room.Leads(c.UserID) {
		err = errNotYours
	}
	return room, err
}

// Create opens a lottery, once for the caller's Idempotency-Key, and announces the
// lottery to the room. Errors: the codes NotFound, Forbidden, RoomClosed, Invalid,
// Conflict, IdempotencyMismatch, Unavailable.
func (l *Lotteries) Create(ctx context.Context, c api.Caller, roomID, key string, a Asked) (Lottery, error) {
	if err := a.check(); err != nil {
		return Lottery{}, err
	}
	room, err := l.room(ctx, c, roomID)
	if err != nil {
		return Lottery{}, err
	}
	id := idOf(c, roomID, key)
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	text := hex.EncodeToString(seed[:])
	queued := false
	for range tries {
		is, _, err := l.load(ctx, roomID, id)
		if err == nil {
			if is.Asked != a {
				return Lottery{}, fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another lottery; use a new one")
			}
			is.State, is.Draw = Open, nil // the first answer
			return is.Lottery, nil
		}
		if !errors.Is(err, errNoLottery) {
			return Lottery{}, err
		}
		if !room.Open() {
			return Lottery{}, errClosed
		}
		now := l.now().UTC().Truncate(time.Second)
		is = record{Asked: a, Generation: room.Generation, Lottery: Lottery{
			LotteryID: id, Keyword: a.Keyword, Prize: a.Prize, WinnersWanted: a.Winners, Commitment: hashOf(text), State: Open,
			OpensAt: now, EndsAt: now.Add(time.Duration(a.Seconds) * time.Second),
		}}
		if !queued { // before the commit that they follow from
			if err := errors.Join(l.put(ctx, roomID, id, "open", time.Time{}), l.put(ctx, roomID, id, "draw", is.EndsAt.Add(drawAfter))); err != nil {
				return Lottery{}, err
			}
			queued = true
		}
		err = l.begin(ctx, roomID, is, text)
		if err == nil {
			return is.Lottery, nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return Lottery{}, public(err)
		}
	}
	return Lottery{}, public(kv.ErrConflict)
}

// begin stores a lottery with its seed, and lists it as open.
func (l *Lotteries) begin(ctx context.Context, roomID string, is record, seed string) error {
	list, cond, err := l.open(ctx, roomID)
	if err != nil {
		return err
	}
	// A lottery whose room was dissolved before it was drawn is of no use.
	list = slices.DeleteFunc(list, func(o opening) bool { return o.Until < l.now().Add(-MaxWindow).Unix() })
	if len(list) >= MaxOpen {
		return errMany
	}
	list = append(list, opening{is.LotteryID, is.Keyword, is.OpensAt.Unix(), is.EndsAt.Unix() - 1})
	value, err := json.Marshal(is)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	listed, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	expires := l.now().Add(kept)
	return l.store.Commit(ctx, partition(roomID), newOp(),
		kv.Put{Key: lotteryPrefix + is.LotteryID, Value: value, Expires: expires, If: kv.Absent()},
		kv.Put{Key: seedPrefix + is.LotteryID, Value: []byte(seed), Expires: expires, If: kv.Absent()},
		kv.Put{Key: openKey, Value: listed, If: cond})
}

// open returns the lotteries of a room that take entries.
func (l *Lotteries) open(ctx context.Context, roomID string) (list []opening, cond kv.Cond, err error) {
	item, err := l.store.Get(ctx, partition(roomID), openKey)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, kv.Absent(), nil
	}
	if err != nil {
		return nil, cond, err
	}
	if err := json.Unmarshal(item.Value, &list); err != nil {
		return nil, cond, fmt.Errorf("lottery: the list of open lotteries does not decode: %w", err)
	}
	return list, kv.Rev(item.Rev), nil
}

func (l *Lotteries) load(ctx context.Context, roomID, id string) (is record, cond kv.Cond, err error) {
	item, err := l.store.Get(ctx, partition(roomID), lotteryPrefix+id)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return is, cond, errNoLottery
	case err != nil:
		return is, cond, public(err)
	}
	if err := json.Unmarshal(item.Value, &is); err != nil {
		return is, cond, fmt.Errorf("lottery: a lottery does not decode: %w", err)
	}
	return is, kv.Rev(item.Rev), nil
}

// Get returns a lottery; after the draw with the data that verifies it.
func (l *Lotteries) Get(ctx context.Context, roomID, id string) (Lottery, error) {
	room, err := l.conf.Rooms.Get(ctx, roomID)
	if err != nil {
		return Lottery{}, err
	}
	if !isID(id) {
		return Lottery{}, errNoLottery
	}
	is, _, err := l.load(ctx, roomID, id)
	if err != nil {
		return Lottery{}, err
	}
	if is.Generation != room.Generation {
		return Lottery{}, errNoLottery // of the room that had this id before
	}
	return l.whole(ctx, roomID, is)
}

func isID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == 10 && id == strings.ToLower(id)
}

// job announces a lottery, or draws it when its window is over.
func (l *Lotteries) job(ctx context.Context, j queue.Job) error {
	var o order
	if err := json.Unmarshal(j.Body, &o); err != nil || o.RoomID == "" || !isID(o.ID) {
		return errors.New("lottery: the job names no lottery")
	}
	is, _, err := l.load(ctx, o.RoomID, o.ID)
	if errors.Is(err, errNoLottery) {
		// The job was enqueued before the commit; by now that was made or never will be.
		if l.now().Sub(o.At) < api.RequestTime+5*time.Second {
			return queue.Later{After: time.Second}
		}
		return nil
	}
	if err != nil {
		return err
	}
	if l.now().Before(is.EndsAt.Add(drawAfter)) && is.State == Open {
		return l.announce(ctx, o.RoomID, is, "open")
	}
	_, err = l.draw(ctx, o.RoomID, o.ID)
	return err
}

// order is the body of a job.
type order struct {
	RoomID string    `json:"roomId"`
	ID     string    `json:"id"`
	At     time.Time `json:"at"` // when it was enqueued
}

func (l *Lotteries) put(ctx context.Context, roomID, id, what string, at time.Time) error {
	now := l.now()
	body, err := json.Marshal(order{roomID, id, now})
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	// Each request has jobs of its own: those of one that came to nothing have ended.
	job := queue.Job{ID: fmt.Sprintf("lottery/%s/%s/%d", id, what, now.UnixMilli()), Kind: jobKind, Lane: queue.Fast, NotBefore: at, Body: body}
	err = l.conf.Jobs.Put(ctx, job)
	if errors.Is(err, queue.ErrUnavailable) {
		return fault.Wrap(err, fault.Unavailable, "lotteries cannot be queued at the moment; ask again with the same Idempotency-Key").After(2 * time.Second)
	}
	return public(err)
}

// announce tells the room that a lottery is open, or who won. Winners are told once.
func (l *Lotteries) announce(ctx context.Context, roomID string, is record, what string) error {
	told := struct {
		LotteryID     string    `json:"lotteryId"`
		State         State     `json:"state"`
		Keyword       string    `json:"keyword"`
		Prize         string    `json:"prize"`
		WinnersWanted int       `json:"winnersWanted"`
		Commitment    string    `json:"commitment"`
		EndsAt        time.Time `json:"endsAt"`
		Seed          string    `json:"seed,omitempty"`
		Winners       []string  `json:"winners,omitzero"`
	}{is.LotteryID, is.State, is.Keyword, is.Prize, is.WinnersWanted, is.Commitment, is.EndsAt, "", nil}
	if is.Draw != nil {
		told.Seed, told.Winners = is.Seed, is.Winners
	}
	body, err := liveroom.Event("lottery", is.LotteryID+"/"+what, told)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return l.conf.Out.Send(ctx, outbox.Message{
		RoomID: roomID, Key: "lottery/" + is.LotteryID + "/" + what, Priority: im.High, From: l.conf.Admin, Body: body,
	})
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func newOp() string { return "lottery/" + rand.Text() }

// public gives an error of the store its sentence for people.
func public(err error) error {
	if errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrConflict) {
		return fault.Wrap(err, fault.Unavailable, "lotteries cannot be reached; ask again, the same way").After(2 * time.Second)
	}
	return err
}

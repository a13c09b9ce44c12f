// Package kv is the state port: all of Backchannel's state goes through a [Store], and
// every engine behind the port (boltkv, dynamokv, rediskv) passes the same contract
// suite (kvtest).
//
// # Partitions
//
// A partition is the consistency boundary. Items that must change together are in one
// partition (a room, a wallet, a team, a ticket) and change in one [Store.Commit]. No
// operation spans two partitions; a job carries a change from one partition to the
// next.
//
// # Revisions and retries
//
// Every Commit carries op, the id of the logical operation. The revision of an item is
// the op that wrote it last, so a caller that committed knows the new revision without
// a read. After a lost response, retry the Commit with the same op: if the first try
// succeeded, the retry succeeds too and changes nothing. An item remembers its last
// [RememberedOps] ops, and a deleted item remembers them for [TombstoneLife], so a
// retry is recognized as long as one of the items it wrote has had fewer later commits
// than that.
//
// # Counting
//
// [Store.Tally] adds to counters exactly once per event id. Counters live first
// in small segment items that the caller names; [Fold] moves closed segments
// into totals, and [Totals] reads both. See [Store.Tally].
//
// # Expiry
//
// Engines delete expired items late, some only after days. A Store shows an item while
// its clock is before the item's expiry, and from that second on treats the key as
// absent.
package kv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// The errors of a Store. Test with errors.Is. A cancelled or timed-out context is
// returned as the context's own error, possibly wrapped; the outcome of a write is then
// unknown, and the write may be retried with the same op.
var (
	// ErrNotFound: there is no such item, or it has expired.
	ErrNotFound = errors.New("kv: not found")
	// ErrConflict: a condition did not hold. Nothing was changed. The error
	// is a [*ConflictError] naming the key.
	ErrConflict = fault.Sentinel("kv: conflict", fault.Unavailable, time.Second, "others changed this at the same moment; send the same request again")
	// ErrRange: a checked add would have left its bounds, or a counter would
	// have left int64. Nothing was changed.
	ErrRange = errors.New("kv: counter out of range")
	// ErrInvalid: an argument breaks a limit of this package. Nothing was
	// changed, and the call was not sent anywhere.
	ErrInvalid = errors.New("kv: invalid argument")
	// ErrFull: the segment holds as many events as it may. It is an ErrInvalid.
	ErrFull = fmt.Errorf("%w: the segment is full", ErrInvalid)
	// ErrUnavailable: the engine could not be reached or refused to work in time. The
	// outcome of a write is unknown: retry it with the same op or the same event.
	ErrUnavailable = fault.Sentinel("kv: unavailable", fault.Unavailable, 5*time.Second, "this cannot be done at the moment; send the same request again")
)

// NewOp returns a new, unique operation id for one call of Commit: the committer's
// name, a slash and 26 random letters and digits. Pass the same id again to retry a
// commit whose outcome is unknown. The name has at most 37 bytes, so that the id fits
// [MaxOp].
func NewOp(name string) string { return name + "/" + rand.Text() }

// ConflictError says which key's condition failed. It matches [ErrConflict].
type ConflictError struct {
	Partition, Key string
}

func (e *ConflictError) Error() string {
	return "kv: conflict on " + e.Partition + " / " + e.Key
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// Limits, the same on all engines. They keep every item and every Commit
// inside what DynamoDB, the narrowest engine, accepts.
const (
	MaxPartition = 512       // bytes of a partition's name
	MaxKey       = 512       // bytes of a key, a segment's name
	MaxOp        = 64        // bytes of an operation's id
	MaxEvent     = 128       // bytes of an event's id
	MaxCounter   = 128       // bytes of a counter's name
	MaxValue     = 256 << 10 // bytes of an item's value
	MaxCounters  = 512       // counters in one item
	MaxSeen      = 512       // event ids in one segment
	MaxWrites    = 96        // writes in one Commit
	MaxCommit    = 3 << 20   // bytes of keys, values and counter names in one Commit
	MaxPage      = 1000      // items in one page
)

// Times and numbers that engines keep beyond the items themselves.
const (
	// RememberedOps is how many of its latest ops an item keeps.
	RememberedOps = 8
	// TombstoneLife is how long a deleted item remembers its ops.
	TombstoneLife = time.Hour
	// Horizon is how long after its own time an event may still be tallied.
	Horizon = 24 * time.Hour
	// HorizonSlack is how much longer a settled segment keeps its seen ids,
	// so that clocks that differ by less never let an event count twice.
	HorizonSlack = time.Hour
)

// Store keeps items in partitions. All methods are safe for concurrent use.
//
// Names (partition, key, op, event, counter) are non-empty valid UTF-8 without
// NUL, within the limits above; anything else is ErrInvalid. Keys order by
// their bytes.
type Store interface {
	// Get returns the item at key, or ErrNotFound. It sees every write
	// acknowledged before it was called.
	Get(ctx context.Context, partition, key string) (Item, error)

	// List returns the live items of one partition in key order, a page at a time. A
	// page may be shorter than the limit although more items follow: only Page.Next ==
	// "" means the end, and a page without an item is the last. List sees every write
	// acknowledged before the call; writes made while paging may or may not be seen,
	// but an item that is not deleted is neither skipped nor repeated. Segments are not
	// items and are not listed.
	List(ctx context.Context, partition string, r Range) (Page, error)

	// Commit applies all writes or none. Each key may occur once, and so may each
	// segment; the two do not share names. A Put or a Delete is always conditional, and
	// a Commit needs at least one Put, Delete or conditional Add, so that a retry is
	// recognized: unconditional Adds, Checks and Settles need one of these beside them.
	//
	// nil means the op is done, now or by an earlier try with the same op.
	// ErrConflict, ErrRange and ErrInvalid mean it was not done. Any other
	// error leaves the outcome unknown.
	Commit(ctx context.Context, partition, op string, writes ...Write) error

	// Tally adds deltas to the counters of a segment, once for this event, and returns
	// the outcome. The caller names the segment from the event itself,
	// deterministically and so that at most MaxSeen events share one (a room's
	// messages: MsgSeq>>5), because a redelivered event must go to the same segment. A
	// Tally costs one conditional update of one small item.
	//
	// An event older than Horizon is not counted and reported TooLate, since
	// its segment may be gone. A counter that would leave int64 is ErrRange;
	// a segment that is full of ids is ErrFull; one that is full of counters, and
	// an event from more than HorizonSlack/2 ahead of the store's clock, are
	// ErrInvalid; all change nothing. A seen event is a Duplicate even where a new one would not fit,
	// and TooLate even where it was counted once.
	Tally(ctx context.Context, partition, segment string, e Event, deltas ...Delta) (Outcome, error)

	// Open returns the segments of a partition that hold counts not yet
	// settled, in order of name, at most limit of them, starting after the
	// name given ("" for the start). It is as consistent as List.
	Open(ctx context.Context, partition, after string, limit int) ([]Segment, error)

	// Close releases the engine. Calls after it fail with ErrUnavailable.
	Close() error
}

// Lossy is implemented by stores that may lose acknowledged writes, as Redis may in a
// failover.
type Lossy interface{ MayLose() bool }

// MayLose reports whether a store may lose acknowledged writes. Rules that handle money
// call it.
func MayLose(s Store) bool {
	l, is := s.(Lossy)
	return is && l.MayLose()
}

// Item is one stored item.
type Item struct {
	Key      string
	Value    []byte           // what Put stored; nil if only adds made the item
	Counters map[string]int64 // what adds made; nil if none did
	Rev      string           // op of the Commit that wrote it last
	Expires  time.Time        // zero: never; whole seconds
	Form     int              // of the value, behind [Formed]; engines leave it 0
}

// Range selects keys with Prefix, strictly beyond After in the direction of
// travel; the zero Range is everything, forwards.
type Range struct {
	Prefix  string
	After   string // exclusive; a Page.Next, or any key
	Reverse bool
	Limit   int // items a page, 1..MaxPage; 0 means 100
}

// Page is one page of a List.
type Page struct {
	Items []Item
	Next  string // Range.After of the next page; "" at the end
}

// Write is one change within a Commit: [Put], [Delete], [Add], [Check] or
// [Settle].
type Write interface{ write() }

// Cond is a condition on one item: [Absent] or [Rev].
type Cond struct {
	rev    string
	absent bool
}

// Absent holds when there is no live item at the key.
func Absent() Cond { return Cond{absent: true} }

// Rev holds when the item at the key is live and has this revision.
func Rev(rev string) Cond { return Cond{rev: rev} }

// IsZero reports that there is no condition.
func (c Cond) IsZero() bool { return !c.absent && c.rev == "" }

// WantsAbsent reports whether the condition is Absent.
func (c Cond) WantsAbsent() bool { return c.absent }

// WantedRev returns the revision of a Rev condition, otherwise "".
func (c Cond) WantedRev() string { return c.rev }

// Put stores a value and an expiry. It does not change the item's counters.
type Put struct {
	Key     string
	Value   []byte
	Expires time.Time // zero: never; rounded up to whole seconds
	If      Cond      // required
}

// Delete removes an item with its counters. The store remembers only the item's ops,
// for TombstoneLife.
type Delete struct {
	Key string
	If  Cond // required, and a Rev
}

// Add adds to counters of an item, creating the item if it is absent. Add does not
// change the value; it sets the expiry to Expires if Expires is set. An item that would
// hold more than MaxCounters counters is ErrInvalid.
type Add struct {
	Key     string
	Deltas  []Delta
	Expires time.Time
	If      Cond // optional
}

// Check makes the Commit depend on an item it does not change (a lease).
type Check struct {
	Key string
	If  Cond // required
}

// Settle takes a segment's counters to zero and lets the segment, with its seen ids,
// expire Horizon plus HorizonSlack after it was last touched. An event counted in it
// later opens it again and removes the expiry. The Rev is that of the [Segment] whose
// counters the same Commit added to totals; a segment that is not open at that Rev is
// ErrConflict, naming the segment. Only [Fold] needs it.
type Settle struct {
	Segment string
	Rev     string
}

func (Put) write()    {}
func (Delete) write() {}
func (Add) write()    {}
func (Check) write()  {}
func (Settle) write() {}

// Delta is a change of one counter. Within one call each counter occurs once.
type Delta struct {
	Counter string
	By      int64
	// Floor, if set, makes the add checked: it is refused with ErrRange when
	// the result would be below Floor. Not for Tally.
	Floor *int64
}

// Event identifies what a Tally counts.
type Event struct {
	ID string    // unique among the events of its segment
	At time.Time // when it happened, by the sender's clock; decides TooLate
	// Limit is how many events the segment may hold for this one to be added,
	// itself included; 0 means MaxSeen. All events of a segment have the same.
	Limit int
}

// Most returns Limit, or MaxSeen without one.
func (e Event) Most() int {
	if e.Limit == 0 {
		return MaxSeen
	}
	return e.Limit
}

// Outcome is what a Tally did with an event.
type Outcome int

const (
	Counted   Outcome = iota + 1 // the event was new and was added
	Duplicate                    // the event had been counted before
	TooLate                      // the event is older than Horizon and was dropped
)

func (o Outcome) String() string {
	switch o {
	case Counted:
		return "counted"
	case Duplicate:
		return "duplicate"
	case TooLate:
		return "too late"
	}
	return "unknown"
}

// Segment is a group of tallied events that has unsettled counts.
type Segment struct {
	Name     string
	Rev      string // changes with every event counted in it
	Counters map[string]int64
	Events   int       // events seen since it was made, settled ones included
	Touched  time.Time // when the store last counted an event in it; whole seconds
}

// Engine is how wiring finds an engine by the scheme of STATE_URL. Open gets
// the whole URL, scheme included.
type Engine struct {
	Scheme string
	Open   func(ctx context.Context, url string) (Store, error)
}

// Package mailbox handles entries of one partition one at a time and in order: the
// messages of a conversation, the agents of a ticket, the sends to a room.
//
// A box belongs to a partition of the store and has that partition's name.
// [Mailbox.Append] adds an entry, [Mailbox.Drain] handles the entries. A job does
// both, so that jobs may come twice, in any order, and at the same time:
//
//	func answer(ctx context.Context, j queue.Job) error {
//		...
//		if err := boxes.Append(ctx, conversation, j.ID, int64(m.MsgSeq), j.Body); err != nil {
//			return err
//		}
//		return boxes.Drain(ctx, conversation, reply)
//	}
//
// # What to rely on
//
// An entry is handled at least once, and by one holder at a time: Drain takes a lease;
// if another holder has the lease, Drain returns a [queue.Later] at once, so that the
// job is retried. What the handler writes to the partition is committed together with
// the entry's removal and the lease's renewal, so it is written exactly once and never
// by a holder who was too slow and has lost the lease. What the handler does elsewhere
// may be done again after a crash.
//
// Entries are handled by their order, which the caller takes from the event (MsgSeq,
// MsgTime), not by the time of their appending. An entry that comes after a later one
// was handled is still handled: next, unless more than a page of others waits. No
// entry is left behind: a holder gives the lease back in a commit that fails if an
// entry was appended meanwhile.
//
// An entry that fails blocks the entries behind it, which may depend on it. The failed
// entry is retried with backoff; a handler that gives up, judging by [Entry.Attempt],
// records that and returns nil.
package mailbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Limits of an entry.
const (
	MaxID   = 200      // bytes of an id
	MaxBody = 64 << 10 // bytes of a body
)

// Remembered is how long an id stays known after it was appended, so that a
// repeated callback is not handled again.
const Remembered = 24 * time.Hour

// ErrInvalid: an entry breaks a limit of this package. Nothing was changed.
var ErrInvalid = errors.New("mailbox: invalid entry")

// Options of a Mailbox.
type Options struct {
	// PerSecond bounds the entries of a box that are handled within a second, by all
	// holders; 0 is no bound.
	PerSecond int
	// Lease is how long a box stays blocked after its holder died; 0 is the two
	// minutes that a handler has. While a handler runs the lease is renewed, at a
	// commit each third of it, and a handler whose holder lost it is cancelled.
	Lease time.Duration
	Now   func() time.Time // nil: time.Now
}

// Mailbox is what the boxes of one purpose have in common. It is safe for
// concurrent use, also by several processes.
type Mailbox struct {
	store kv.Store
	name  string
	every time.Duration // between two entries
	lease time.Duration // 0: as long as a handler may take
	now   func() time.Time
}

// New returns the boxes of that name: a partition may have one of each name.
// Their keys begin with "mailbox/".
func New(store kv.Store, name string, o Options) *Mailbox {
	m := &Mailbox{store: store, name: name, lease: o.Lease, now: o.Now}
	if m.now == nil {
		m.now = time.Now
	}
	if o.PerSecond > 0 {
		m.every = (time.Second + time.Duration(o.PerSecond) - 1) / time.Duration(o.PerSecond)
	}
	return m
}

// A box is, in its partition: each entry under its order; each id for as long
// as it is remembered; a count of the entries, whose revision tells a holder
// whether anything came; and the lease.
func (m *Mailbox) key(rest string) string { return "mailbox/" + m.name + "/" + rest }

func (m *Mailbox) entryKey(mark string) string { return m.key("e/" + mark) }
func (m *Mailbox) idKey(id string) string      { return m.key("id/" + id) }
func (m *Mailbox) countKey() string            { return m.key("count") }
func (m *Mailbox) leaseKey() string            { return m.key("lease") }

// count changes the number of entries beside a write of one.
func (m *Mailbox) count(by int64) kv.Add {
	return kv.Add{Key: m.countKey(), Deltas: []kv.Delta{{Counter: waiting, By: by}}}
}

const waiting = "waiting"

// record is an entry as it is stored.
type record struct {
	ID       string `json:"id"`
	Order    int64  `json:"order"`
	Attempts int    `json:"attempts,omitempty"` // that failed
	Body     []byte `json:"body,omitempty"`
}

// Append adds an entry to the box of that partition. nil means that the next Drain
// handles the entry, or that an entry of this id was appended less than [Remembered]
// ago. order is not negative, and the same whenever this id is appended. Errors are
// ErrInvalid, those of [kv.Store.Commit], and the context's own; retry Append after
// the latter two.
func (m *Mailbox) Append(ctx context.Context, box, id string, order int64, body []byte) error {
	switch {
	case id == "" || len(id) > MaxID || !utf8.ValidString(id) || strings.IndexByte(id, 0) >= 0:
		return fmt.Errorf("%w: an id is 1 to %d bytes of text", ErrInvalid, MaxID)
	case order < 0:
		return fmt.Errorf("%w: its order is negative", ErrInvalid)
	case len(body) > MaxBody:
		return fmt.Errorf("%w: a body of %d bytes (at most %d)", ErrInvalid, len(body), MaxBody)
	}
	value, err := json.Marshal(record{ID: id, Order: order, Body: body})
	if err != nil {
		return fmt.Errorf("mailbox: %w", err)
	}
	err = m.store.Commit(ctx, box, kv.NewOp("mail"),
		kv.Put{Key: m.idKey(id), Expires: m.now().Add(Remembered), If: kv.Absent()},
		kv.Put{Key: m.entryKey(fmt.Sprintf("%019d/%s", order, id)), Value: value, If: kv.Absent()},
		m.count(1))
	if errors.Is(err, kv.ErrConflict) {
		return nil // known
	}
	return err
}

// Waiting returns the exact number of entries that wait in a box.
func (m *Mailbox) Waiting(ctx context.Context, box string) (int64, error) {
	n, _, err := m.waiting(ctx, box)
	return n, err
}

// waiting also returns the revision of the count.
func (m *Mailbox) waiting(ctx context.Context, box string) (n int64, rev string, err error) {
	item, err := m.store.Get(ctx, box, m.countKey())
	if errors.Is(err, kv.ErrNotFound) {
		return 0, "", nil
	}
	return item.Counters[waiting], item.Rev, err
}

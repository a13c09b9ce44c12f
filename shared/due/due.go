// Package due schedules work for a later time, such as a check that repairs what a
// dead process left half done.
//
//	agenda := due.New(store, "lotteries", nil)
//	err := agenda.Put(ctx, roomID, drawAt, nil)  // before the commit it guards
//	...
//	done, err := agenda.Sweep(ctx, draw)         // in the clock, every minute
//
// # The guard
//
// An effect that a later step must complete (a draw, a fold, a second
// partition's share) is put on the agenda before the commit that makes it
// necessary, and comes off after the effect. A process that dies in between
// leaves an entry whose time comes. So a handler first looks whether there is
// something to do, and there may be nothing: the commit was never made, or the
// effect is done. A guard's time is one at which the commit is made or never will
// be: five seconds after the deadline of the process that makes it.
//
// # What to rely on
//
// An entry is handed out at its time or later, never before; at least once,
// perhaps twice, and never lost. Sweeps may overlap and may be missed. Whoever
// puts an id again moves its entry; a handler that puts its own entry again has
// something that happens regularly.
//
// Times are [time.Time] throughout and kept in milliseconds. One outside the
// years 2000 to 2999 is refused: there somebody took seconds for milliseconds,
// or the other way round.
package due

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Limits of an entry.
const (
	MaxID   = 200      // bytes of an id
	MaxBody = 16 << 10 // bytes of a body; what is larger lives in its own partition
)

// ErrInvalid: an entry breaks a limit of this package. Nothing was changed.
var ErrInvalid = errors.New("due: invalid entry")

// An agenda is spread over so many partitions, the same for ever.
const shards = 16

// tries is how often a change is tried that others keep getting in the way of.
const tries = 8

// Entry is something whose time has come.
type Entry struct {
	ID      string
	At      time.Time // as it was put, rounded up to milliseconds
	Body    []byte
	Attempt int // 1 the first time; starts again when the entry is put again
}

// Agenda is a set of entries, in order of time. It is safe for concurrent use,
// also by several processes.
type Agenda struct {
	store kv.Store
	name  string
	now   func() time.Time
}

// New returns the agenda of that name. now may be nil for the wall clock; the
// clocks of processes may differ by less than an hour.
func New(store kv.Store, name string, now func() time.Time) *Agenda {
	if now == nil {
		now = time.Now
	}
	return &Agenda{store: store, name: name, now: now}
}

// Put sets the time and the body of an entry, whether or not there is an entry with
// this id; a time in the past is now. Retry Put after an error: the entry may have
// been stored or not. Errors are ErrInvalid, those of [kv.Store.Commit] and the
// context's own.
func (a *Agenda) Put(ctx context.Context, id string, at time.Time, body []byte) error {
	switch {
	case id == "" || len(id) > MaxID || !utf8.ValidString(id) || strings.IndexByte(id, 0) >= 0:
		return fmt.Errorf("%w: an id is 1 to %d bytes of text", ErrInvalid, MaxID)
	case at.Year() < 2000 || at.Year() > 2999:
		return fmt.Errorf("%w: its time is in the year %d", ErrInvalid, at.Year())
	case len(body) > MaxBody:
		return fmt.Errorf("%w: a body of %d bytes (at most %d)", ErrInvalid, len(body), MaxBody)
	}
	r := record{At: milliseconds(at), Body: body}
	return a.change(ctx, id, func(p place) ([]kv.Write, error) { return p.move(retry.Latest(at, a.now()), r) })
}

// Remove removes an entry. Removing an entry that does not exist is a no-op.
//
// Remove removes the entry of this id whoever put it. Where several operations share
// an id (a room's next fold), another operation may have put the entry a moment ago:
// leave the entry to Sweep then, which removes only what it handed out.
func (a *Agenda) Remove(ctx context.Context, id string) error {
	return a.change(ctx, id, func(p place) ([]kv.Write, error) { return p.clear(), nil })
}

// An entry is two items of one partition, always written in one Commit and so
// of one revision: the record under its time, where a sweep finds it, and under
// its id the key of that record.
const (
	timePrefix = "t/"
	idPrefix   = "i/"
)

// record is an entry as it is stored.
type record struct {
	At       int64  `json:"at"` // Unix milliseconds
	Attempts int    `json:"attempts,omitempty"`
	Body     []byte `json:"body,omitempty"`
}

// place is where an entry is; without a key there is none.
type place struct {
	id, key, rev string
}

// move returns the writes that put a record in the place of the entry.
func (p place) move(at time.Time, r record) ([]kv.Write, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("due: %w", err)
	}
	key := timeKey(at) + p.id
	switch p.key {
	case "":
		return []kv.Write{
			kv.Put{Key: idPrefix + p.id, Value: []byte(key), If: kv.Absent()},
			kv.Put{Key: key, Value: value, If: kv.Absent()},
		}, nil
	case key:
		return []kv.Write{
			kv.Put{Key: idPrefix + p.id, Value: []byte(key), If: kv.Rev(p.rev)},
			kv.Put{Key: key, Value: value, If: kv.Rev(p.rev)},
		}, nil
	}
	return []kv.Write{
		kv.Put{Key: idPrefix + p.id, Value: []byte(key), If: kv.Rev(p.rev)},
		kv.Put{Key: key, Value: value, If: kv.Absent()},
		kv.Delete{Key: p.key, If: kv.Rev(p.rev)},
	}, nil
}

// clear returns the writes that take the entry off, none if there is none.
func (p place) clear() []kv.Write {
	if p.key == "" {
		return nil
	}
	return []kv.Write{
		kv.Delete{Key: idPrefix + p.id, If: kv.Rev(p.rev)},
		kv.Delete{Key: p.key, If: kv.Rev(p.rev)},
	}
}

// change commits what writes makes of an entry's place, and looks again when
// the entry was somewhere else by then.
func (a *Agenda) change(ctx context.Context, id string, writes func(place) ([]kv.Write, error)) error {
	partition := a.partition(shardOf(id))
	for try := 1; ; try++ {
		p := place{id: id}
		item, err := a.store.Get(ctx, partition, idPrefix+id)
		if err == nil {
			p.key, p.rev = string(item.Value), item.Rev
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		list, err := writes(p)
		if err != nil || len(list) == 0 {
			return err
		}
		err = a.store.Commit(ctx, partition, kv.NewOp("due"), list...)
		if !errors.Is(err, kv.ErrConflict) || try == tries {
			return err
		}
		if err := retry.Sleep(ctx, mathrand.N(time.Millisecond<<try)); err != nil {
			return err
		}
	}
}

func (a *Agenda) partition(shard int) string { return fmt.Sprintf("due/%s/%02d", a.name, shard) }

func shardOf(id string) int {
	sum := sha256.Sum256([]byte(id))
	return int(sum[0] % shards)
}

// timeKey is how the keys of the entries of a time begin: they order as their
// times do.
func timeKey(t time.Time) string { return fmt.Sprintf("%s%014d/", timePrefix, milliseconds(t)) }

// milliseconds rounds up, so that nothing is due early.
func milliseconds(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

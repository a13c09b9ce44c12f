package liveroom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// record is a room as it is stored, in one item.
type record struct {
	Room
	Generation int64 `json:"generation"`
	Closed     bool  `json:"closed,omitempty"`

	Asked   string `json:"asked"`             // who asked for it, under which Idempotency-Key
	Content string `json:"content"`           // hash of what was asked for
	Made    bool   `json:"made,omitempty"`    // its group exists, or existed
	Refused string `json:"refused,omitempty"` // why its group was never made
	Gone    bool   `json:"gone,omitempty"`    // nothing of it is left in IM

	Mirrored *mirrored `json:"mirrored,omitempty"` // what IM shows; nil: unknown
	Told     told      `json:"told"`               // what the room was told last

	Muted  *restriction `json:"muted,omitempty"` // the whole room
	Orders int64        `json:"orders,omitempty"`
	Stream stream       `json:"stream,omitzero"`
}

// mirrored is what newcomers read from the group's attributes.
type mirrored struct {
	Status       Status `json:"status"`
	Notice       string `json:"notice"`
	Introduction string `json:"introduction"`
}

// told is what the room was told last, by version.
type told struct {
	Status Status `json:"status"`
	// Version is of the room when Status was compared with it last.
	Version int64 `json:"version,omitempty"`
	Notice  int64 `json:"notice"` // the version of Room that the notice told last belongs to
	Texts   int64 `json:"texts"`  // the version that changed the notice or the introduction last
}

// seen is a room as it was read, and the condition that it still is so.
type seen struct {
	record
	roomID string
	cond   kv.Cond
	stored []byte
}

// none reports whether there is no such room.
func (s *seen) none() bool { return s.cond.WantsAbsent() }

const roomItem = "room"

var (
	errNoRoom   = fault.New(fault.NotFound, "there is no such room")
	errNotYours = fault.New(fault.Forbidden, "only servers, the owner and the moderators of this room may do this")
	errClosed   = fault.New(fault.RoomClosed, "the room is closed")
	errBusy     = fault.New(fault.Unavailable, "too many requests change this room at once; ask again").After(2 * time.Second)
)

// Get returns a room, also a closed room for as long as its record is kept. It costs
// one strongly consistent read. Errors are of the codes NotFound and Unavailable.
func (r *Rooms) Get(ctx context.Context, roomID string) (Room, error) {
	s, err := r.find(ctx, roomID)
	if err != nil {
		return Room{}, err
	}
	return s.Room, nil
}

// find returns a room that was made; its errors are those of Get.
func (r *Rooms) find(ctx context.Context, roomID string) (*seen, error) {
	if !isRoomID(roomID) {
		return nil, errNoRoom
	}
	s, err := r.load(ctx, roomID)
	switch {
	case err != nil:
		return nil, public(err)
	case s.none() || !s.Made:
		return nil, errNoRoom
	}
	return s, nil
}

func (r *Rooms) load(ctx context.Context, roomID string) (*seen, error) {
	s := &seen{roomID: roomID, cond: kv.Absent()}
	item, err := r.store.Get(ctx, Partition(roomID), roomItem)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return s, nil
	case err != nil:
		return s, err
	}
	s.cond, s.stored = kv.Rev(item.Rev), item.Value
	if err := json.Unmarshal(item.Value, &s.record); err != nil {
		return s, fmt.Errorf("liveroom: a room's item does not decode: %w", err)
	}
	s.Room.Generation, s.Room.Closed = s.record.Generation, s.record.Closed
	return s, nil
}

// save commits the room, if it has changed, with other writes to its partition.
// Whoever was faster with another change makes it fail with kv.ErrConflict.
func (r *Rooms) save(ctx context.Context, s *seen, writes ...kv.Write) error {
	s.record.Generation, s.record.Closed = s.Room.Generation, s.Room.Closed
	value, err := json.Marshal(s.record)
	if err != nil {
		return fmt.Errorf("liveroom: %w", err)
	}
	if len(writes) == 0 && bytes.Equal(value, s.stored) {
		return nil
	}
	put := kv.Put{Key: roomItem, Value: value, If: s.cond}
	if s.Gone || s.Refused != "" {
		put.Expires = r.now().Add(kept)
	}
	op := newOp()
	if err := r.store.Commit(ctx, Partition(s.roomID), op, append([]kv.Write{put}, writes...)...); err != nil {
		return err
	}
	s.cond, s.stored = kv.Rev(op), value
	return nil
}

// change lets f change a room and commits that with the writes that f returns.
// The commit is guarded, and after it a job is enqueued.
// While others change the same room, f is called again with what they left.
func (r *Rooms) change(ctx context.Context, roomID string, f func(s *seen) ([]kv.Write, error)) (*seen, error) {
	for range tries {
		s, err := r.find(ctx, roomID)
		if err != nil {
			return nil, err
		}
		before := s.wants()
		writes, err := f(s)
		if err == nil {
			s.doubt(before)
			err = r.looks.Guard(ctx, roomID, r.now().Add(guardAfter))
		}
		if err == nil {
			err = r.save(ctx, s, writes...)
		}
		switch {
		case errors.Is(err, kv.ErrConflict):
			continue
		case err != nil:
			return nil, public(err)
		}
		r.wake(ctx, roomID)
		return s, nil
	}
	return nil, errBusy
}

// wants is what newcomers are to read.
func (s *seen) wants() mirrored { return mirrored{s.Status, s.Notice, s.Introduction} }

// unsure stands for what IM shows after a change, until IM was told and that was noted:
// a worker may die in between, or find that the room has changed again. It equals
// nothing that IM can be told, so IM is told also where the change is taken back by then.
const unsure = "\x00"

// doubt marks what IM shows of everything that has changed since before was read.
func (s *seen) doubt(before mirrored) {
	now := s.wants()
	if now == before {
		return
	}
	var shown mirrored // "" was never set
	if s.Mirrored != nil {
		shown = *s.Mirrored
	}
	if now.Status != before.Status {
		shown.Status = unsure
	}
	if now.Notice != before.Notice {
		shown.Notice = unsure
	}
	if now.Introduction != before.Introduction {
		shown.Introduction = unsure
	}
	s.Mirrored = &shown
}

// public gives an error its sentence for people.
func public(err error) error {
	const later = 5 * time.Second
	if errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrConflict) || errors.Is(err, queue.ErrUnavailable) {
		return fault.Wrap(err, fault.Unavailable, "the state of rooms cannot be reached; ask again, the same way").After(later)
	}
	if _, is := errors.AsType[*im.Error](err); is {
		return fault.Wrap(err, fault.Unavailable, "IM does not work for us at the moment; ask again, the same way").After(later)
	}
	if _, is := errors.AsType[queue.Later](err); is {
		return fault.Wrap(err, fault.Unavailable, "another request is at work on this room; ask again, the same way").After(later)
	}
	return err
}

package liveroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// record is a room as it is stored, in one item.
type record struct {
	Room
	Generation int64 `json:"generation"`
	Closed     bool  `json:"closed,omitempty"`
}

const roomItem = "room"

var errNoRoom = fault.New(fault.NotFound, "there is no such room")

// Get returns a room, closed ones included for as long as they are remembered. It
// costs one strongly consistent read. Errors are of the codes NotFound and
// Unavailable.
func (r *Rooms) Get(ctx context.Context, roomID string) (Room, error) {
	if !isRoomID(roomID) {
		return Room{}, errNoRoom
	}
	item, err := r.store.Get(ctx, Partition(roomID), roomItem)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return Room{}, errNoRoom
	case err != nil:
		return Room{}, public(err)
	}
	rec, err := decode(item.Value)
	return rec.Room, err
}

func decode(value []byte) (record, error) {
	var rec record
	if err := json.Unmarshal(value, &rec); err != nil {
		return rec, fmt.Errorf("liveroom: a room's item does not decode: %w", err)
	}
	rec.Room.Generation, rec.Room.Closed = rec.Generation, rec.Closed
	return rec, nil
}

// Kind is what a user may not do in a room.
type Kind string

// The kinds of restrictions.
const (
	Mute Kind = "mute" // not write
	Kick Kind = "kick" // not enter, and so not write
)

// Restriction is what one user may not do in a room.
type Restriction struct {
	UserID string    `json:"userId,omitempty"` // "": the whole room
	Kind   Kind      `json:"kind"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is taken back
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by"` // the UserID, or the name of the API key, that set it
}

// Restrictions returns what a user may not do in a room now, nothing for most
// users. It costs one strongly consistent read. Errors are of the code
// Unavailable.
func (r *Rooms) Restrictions(ctx context.Context, room Room, userID string) ([]Restriction, error) {
	item, err := r.store.Get(ctx, Partition(room.RoomID), room.Key("r/"+userID))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, public(err)
	}
	var held restricted
	if err := json.Unmarshal(item.Value, &held); err != nil {
		return nil, fmt.Errorf("liveroom: a restriction does not decode: %w", err)
	}
	return held.at(r.now()), nil
}

// Kicked reports whether a user is kicked from a room now; see Restrictions.
func (r *Rooms) Kicked(ctx context.Context, room Room, userID string) (bool, error) {
	list, err := r.Restrictions(ctx, room, userID)
	for _, one := range list {
		if one.Kind == Kick {
			return true, nil
		}
	}
	return false, err
}

// restricted is all that is known of a user's restrictions, in one item.
type restricted struct {
	Mute *Restriction `json:"mute,omitempty"`
	Kick *Restriction `json:"kick,omitempty"`
}

// at returns the restrictions that hold at a time.
func (h restricted) at(now time.Time) (list []Restriction) {
	for _, one := range []*Restriction{h.Mute, h.Kick} {
		if one != nil && (one.Until.IsZero() || one.Until.After(now)) {
			list = append(list, *one)
		}
	}
	return list
}

// public gives an error of the store its sentence for people.
func public(err error) error {
	if errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrConflict) {
		return fault.Wrap(err, fault.Unavailable, "the state of rooms cannot be reached; ask again, the same way").After(5 * time.Second)
	}
	return err
}

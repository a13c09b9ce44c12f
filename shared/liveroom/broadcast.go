package liveroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Limits of a broadcast. Our decisions.
const (
	MaxBroadcastRooms = 1000     // rooms that one request names
	MaxBroadcastBody  = 10 << 10 // bytes of a message; IM takes 12 KB of body and data together

	// broadcastKept is how long a broadcast is known after it was asked for.
	broadcastKept = 7 * 24 * time.Hour
	// reserve is how long before a worker's deadline no step is begun any more.
	reserve = 4 * time.Second
	// roomsPerSave is how many rooms a broadcast goes on by before it writes down
	// how far it is.
	roomsPerSave = 25
)

// Broadcaster sends a message to every AVChatRoom of the app at once; [*once.Sender]
// implements it.
type Broadcaster interface {
	Broadcast(ctx context.Context, event string, m im.BroadcastMsg) (seq uint32, err error)
}

// The states of a broadcast.
const (
	broadcastPlanned = "planned"
	broadcastSending = "sending"
	broadcastSent    = "sent"
	// broadcastUnknown: IM was asked to tell all rooms at once and did not answer for
	// so long that it no longer knows a repeated message. It is not sent again.
	broadcastUnknown = "unknown"
)

// Broadcast is a message to many rooms, with its progress.
type Broadcast struct {
	BroadcastID string `json:"broadcastId"`
	State       string `json:"state"` // planned, sending, sent or unknown
	Done        int    `json:"done"`  // rooms that the message is on its way to
	Total       int    `json:"total"` // rooms; of a broadcast to all, those found so far
	Skipped     int    `json:"skipped"`
}

// broadcast is a broadcast as it is stored.
type broadcast struct {
	Broadcast
	Asked string     `json:"asked"` // hash of what was asked for
	Body  im.MsgBody `json:"body"`
	Rooms []string   `json:"rooms,omitempty"` // nil: all
	// AtOnce: IM is to send it to all rooms in one call, if the edition does.
	AtOnce bool      `json:"atOnce,omitempty"`
	After  string    `json:"after,omitempty"` // of the list of rooms, where it goes on
	At     time.Time `json:"at"`              // rooms created later get nothing
}

const broadcastItem = "broadcast"

func broadcastPartition(id string) string { return "liveroom-broadcast/" + id }

// NewBroadcast begins a broadcast to the rooms named, or with none named to all open
// rooms. The same caller with the same idempotency key gets the same broadcast. Errors
// are of the codes Invalid, IdempotencyMismatch and Unavailable; after Unavailable the
// broadcast may have been stored, and a retry returns it.
func (r *Rooms) NewBroadcast(ctx context.Context, caller api.Caller, key string, body im.MsgBody, rooms []string) (Broadcast, error) {
	size, err := json.Marshal(body)
	switch {
	case err != nil || len(body) == 0 || slices.ContainsFunc(body, func(e im.Element) bool { return e.MsgType == "" }):
		return Broadcast{}, fault.New(fault.Invalid, "msgBody is a list of IM's message elements")
	case len(size) > MaxBroadcastBody:
		return Broadcast{}, fault.New(fault.Invalid, "msgBody has %d bytes, and at most %d are sent", len(size), MaxBroadcastBody)
	case rooms != nil && (len(rooms) == 0 || len(rooms) > MaxBroadcastRooms):
		return Broadcast{}, fault.New(fault.Invalid, "rooms names 1 to %d rooms; leave it out for all", MaxBroadcastRooms)
	case slices.ContainsFunc(rooms, func(id string) bool { return !isRoomID(id) }):
		return Broadcast{}, fault.New(fault.Invalid, "each of rooms is a roomId")
	}
	rooms = slices.Clone(rooms)
	slices.Sort(rooms)
	rooms = slices.Compact(rooms) // a room gets it once
	id := digest(caller.Server, key)
	b := broadcast{
		Broadcast: Broadcast{BroadcastID: id, State: broadcastPlanned, Total: len(rooms)},
		Asked:     digest(append([]string{string(size)}, rooms...)...), Body: body, Rooms: rooms, AtOnce: rooms == nil, At: r.now().UTC(),
	}
	err = r.broadcasts.Guard(ctx, id, r.now().Add(guardAfter))
	if err == nil {
		_, err = r.saveBroadcast(ctx, b, kv.Absent())
	}
	if errors.Is(err, kv.ErrConflict) {
		first, _, err := r.loadBroadcast(ctx, id)
		if err == nil && first.Asked != b.Asked {
			return Broadcast{}, fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another broadcast; use a new one")
		}
		return first.Broadcast, err
	}
	if err == nil {
		err = r.broadcasts.Start(ctx, id, "first")
	}
	return b.Broadcast, public(err)
}

func (r *Rooms) loadBroadcast(ctx context.Context, id string) (b broadcast, cond kv.Cond, err error) {
	item, err := r.store.Get(ctx, broadcastPartition(id), broadcastItem)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return b, cond, fault.New(fault.NotFound, "there is no such broadcast, or no longer")
	case err != nil:
		return b, cond, public(err)
	}
	if err := json.Unmarshal(item.Value, &b); err != nil {
		return b, cond, fmt.Errorf("liveroom: a broadcast does not decode: %w", err)
	}
	return b, kv.Rev(item.Rev), nil
}

func (r *Rooms) saveBroadcast(ctx context.Context, b broadcast, cond kv.Cond) (kv.Cond, error) {
	value, err := encode(b)
	if err != nil {
		return cond, fmt.Errorf("liveroom: %w", err)
	}
	op := newOp()
	err = r.store.Commit(ctx, broadcastPartition(b.BroadcastID), op,
		kv.Put{Key: broadcastItem, Value: []byte(value), Expires: b.At.Add(broadcastKept), If: cond})
	return kv.Rev(op), err
}

// GetBroadcast returns a broadcast with its progress. Errors are of the codes NotFound
// and Unavailable.
func (r *Rooms) GetBroadcast(ctx context.Context, id string) (Broadcast, error) {
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return Broadcast{}, fault.New(fault.NotFound, "there is no such broadcast")
	}
	b, _, err := r.loadBroadcast(ctx, id)
	return b.Broadcast, err
}

// continueBroadcast has a broadcast go on until it is sent or time runs out. Two jobs
// at once do no harm: a room knows the message by the broadcast's id, and how far the
// broadcast is moves by compare-and-set.
func (r *Rooms) continueBroadcast(ctx context.Context, id string) error {
	if r.conf.Outbox == nil {
		return errNoIM
	}
	b, cond, err := r.loadBroadcast(ctx, id)
	if is(err, fault.NotFound) {
		return nil // it was never committed, or its time is over
	}
	for err == nil && b.State != broadcastSent && b.State != broadcastUnknown {
		if deadline, has := ctx.Deadline(); has && time.Until(deadline) < reserve {
			return queue.Later{}
		}
		// Guarded anew: it may take longer than the first guard allows.
		if err = r.broadcasts.Guard(ctx, id, r.now().Add(guardAfter)); err == nil {
			if err = r.advance(ctx, &b); err == nil {
				cond, err = r.saveBroadcast(ctx, b, cond)
			}
		}
	}
	switch {
	case errors.Is(err, kv.ErrConflict):
		return queue.Later{After: time.Second} // another job has it in hand
	case err == nil:
		r.broadcasts.Done(ctx, id)
	}
	return err
}

// advance takes a broadcast one step further.
func (r *Rooms) advance(ctx context.Context, b *broadcast) error {
	if b.AtOnce {
		done, err := r.broadcastAtOnce(ctx, b)
		if err != nil || done {
			return err
		}
		b.AtOnce = false // room by room
	}
	b.State = broadcastSending
	if b.Rooms != nil {
		return r.advanceNamed(ctx, b)
	}
	rooms, next, err := r.List(ctx, b.After, roomsPerSave)
	if err != nil {
		return err
	}
	for _, room := range rooms {
		if room.CreatedAt.After(b.At) {
			continue
		}
		if err := r.sendBroadcast(ctx, b, room); err != nil {
			return err
		}
		b.Done++
		b.Total++
	}
	if b.After = next; next == "" {
		b.State = broadcastSent
	}
	return nil
}

// advanceNamed sends to the next of the rooms that a broadcast names. After is how
// many were seen to.
func (r *Rooms) advanceNamed(ctx context.Context, b *broadcast) error {
	seen := b.Done + b.Skipped
	for _, id := range b.Rooms[seen:min(seen+roomsPerSave, len(b.Rooms))] {
		room, err := r.Get(ctx, id)
		if is(err, fault.NotFound) || err == nil && room.Closed {
			b.Skipped++
			continue
		}
		if err == nil {
			err = r.sendBroadcast(ctx, b, room)
		}
		if err != nil {
			return err
		}
		b.Done++
	}
	if b.Done+b.Skipped == len(b.Rooms) {
		b.State = broadcastSent
	}
	return nil
}

func (r *Rooms) sendBroadcast(ctx context.Context, b *broadcast, room Room) error {
	return r.conf.Outbox.Send(ctx, outbox.Message{
		RoomID: room.RoomID, Key: room.Key("broadcast/" + b.BroadcastID), Priority: im.Normal, From: r.conf.Admin, Body: b.Body,
	})
}

// broadcastAtOnce has IM send to all rooms in one call, and reports whether IM did.
// IM may have done so without an answer; then the message is not sent a second
// time, also not room by room.
func (r *Rooms) broadcastAtOnce(ctx context.Context, b *broadcast) (done bool, err error) {
	if r.conf.Broadcaster == nil {
		return false, nil
	}
	b.State = broadcastSent
	_, err = r.conf.Broadcaster.Broadcast(ctx, "broadcast/"+b.BroadcastID, im.BroadcastMsg{From: r.conf.Admin, Body: b.Body})
	switch {
	case err == nil:
	case errors.Is(err, once.ErrUnknown):
		b.State = broadcastUnknown
	case errors.Is(err, im.CodeNotAllowed), errors.Is(err, im.ClassConfiguration):
		return false, nil
	default:
		return false, err
	}
	for after := ""; ; {
		page, err := r.store.List(ctx, listPartition, kv.Range{After: after, Limit: kv.MaxPage})
		if err != nil {
			return false, err
		}
		b.Total += len(page.Items)
		if after = page.Next; after == "" {
			break
		}
	}
	b.Done = b.Total
	return true, nil
}

package liveroom

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Register adds the rules of rooms.
//
// Before-rules change nothing and fail open: while the store cannot be reached,
// IM's own mutes and bans still hold, and refusing everybody would silence every
// room. The callback door logs and counts each failure.
//
// The idempotency keys of the after-rules: a message has its MsgSeq within the room's
// generation; a change of the group is only a hint, upon which the group is read.
func (r *Rooms) Register(m *callback.Mux) {
	const name = "liverooms"
	callback.Before(m, name, callback.FailOpen, r.mayJoin)
	callback.Before(m, name, callback.FailOpen, r.mayWrite)
	callback.Before(m, name+"-events", callback.FailClosed, refuseForged)
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterAttrChanged) error {
		if e.Operator == r.conf.Admin {
			return nil // our own change
		}
		return r.hint(ctx, e.GroupID)
	})
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterDestroyed) error { return r.hint(ctx, e.GroupID) })
	if r.conf.History.On() {
		callback.After(m, name, r.archive)
		callback.After(m, name, r.recall)
	}
}

// hint has a room's group compared with the room. IM tells of every group, so what
// is no room of ours ends here.
func (r *Rooms) hint(ctx context.Context, groupID string) error {
	room, err := r.Get(ctx, groupID)
	if is(err, fault.NotFound) || err == nil && room.Closed {
		return nil
	}
	if err != nil {
		return err
	}
	// Under an id of its own: the same hint again may tell of another change.
	return r.enqueue(ctx, checkKind, queue.Fast, "liveroom/"+groupID+"/check/"+rand.Text(), groupID, time.Time{})
}

func is(err error, code fault.Code) bool { return err != nil && fault.CodeOf(err) == code }

// mayJoin keeps kicked users out of a room.
func (r *Rooms) mayJoin(ctx context.Context, e *callback.GroupBeforeApplyJoin) (v callback.EntryVerdict, err error) {
	held, err := r.heldIn(ctx, e.GroupID, e.Type, e.Requestor)
	if err != nil {
		return v, err
	}
	if held.Kick.holds(r.now()) {
		return v.Reject("you were removed from this room"), nil
	}
	return v, nil
}

// mayWrite keeps kicked and muted users from writing in a room. IM does so itself
// where its edition has bans; a fallback cannot take a user out.
func (r *Rooms) mayWrite(ctx context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
	if e.Query.OptPlatform == "RESTAPI" {
		return v, nil // the app's own server writes in a user's name
	}
	held, err := r.heldIn(ctx, e.GroupID, e.Type, e.From)
	switch now := r.now(); {
	case err != nil:
		return v, err
	case held.Kick.holds(now):
		return v.Reject("you were removed from this room"), nil
	case held.Mute.holds(now):
		return v.Reject("you are muted in this room"), nil
	}
	return v, nil
}

// businessID marks the custom messages by which a room is told its events.
const businessID = "backchannel"

// RefusalCode is the error code of a client that sends a message in the form of an
// event: one of the codes that IM leaves to apps (10100 to 10200).
const RefusalCode = 10141

// refuseForged refuses a message that a client sends to a live room in the form in
// which the room is told its events: others would take it for a mute, a kick or the
// end of the show. It asks nothing, so it cannot fail.
func refuseForged(_ context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
	if !e.Query.ByREST() && (e.Type == im.AVRoom || e.Type == im.Live) && slices.ContainsFunc(e.MsgBody, claimsEvent) {
		return v.RejectCode(RefusalCode, "events of a room come from the room"), nil
	}
	return v, nil
}

// claimsEvent reports whether a client could read an element as an event of a room:
// its data is a JSON object that has businessID "backchannel" in any of its places,
// since readers differ in which of two they take.
func claimsEvent(e im.Element) bool {
	if e.MsgType != im.CustomElem {
		return false
	}
	var content struct{ Data string }
	if json.Unmarshal(e.MsgContent, &content) != nil {
		return false
	}
	d := json.NewDecoder(strings.NewReader(content.Data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return false
		}
		var text string
		if key, is := name.(string); is && strings.EqualFold(key, "businessID") && json.Unmarshal(value, &text) == nil && strings.EqualFold(text, businessID) {
			return true
		}
	}
	return false
}

// heldIn returns a user's restrictions in a group, none where the group is no room.
func (r *Rooms) heldIn(ctx context.Context, groupID string, kind im.GroupType, userID string) (restricted, error) {
	if kind != im.AVRoom && kind != im.Live || !isRoomID(groupID) {
		return restricted{}, nil
	}
	room, err := r.cached(ctx, groupID)
	if err != nil || room.RoomID == "" {
		return restricted{}, err
	}
	held, _, err := r.restricted(ctx, room, userID)
	return held, err
}

// cache remembers for a few seconds which groups are rooms, so that a message in a
// room costs the before-rules one read, and a message elsewhere mostly none. A room
// that is created or closed is seen so after cachedFor at most.
type cache struct {
	mu    sync.Mutex
	rooms map[string]cached
}

type cached struct {
	room Room // the zero Room: the group is no room
	at   time.Time
}

const (
	cachedFor = 5 * time.Second
	maxCached = 10_000 // rooms, before all are forgotten
)

// cached returns a room, the zero Room if the group is not a live room.
func (r *Rooms) cached(ctx context.Context, groupID string) (Room, error) {
	now := r.now()
	r.cache.mu.Lock()
	known, is := r.cache.rooms[groupID]
	r.cache.mu.Unlock()
	if is && now.Sub(known.at) < cachedFor {
		return known.room, nil
	}
	room, err := r.Get(ctx, groupID)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Code == fault.NotFound {
		room, err = Room{}, nil
	}
	if err != nil {
		return Room{}, err
	}
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	if r.cache.rooms == nil || len(r.cache.rooms) >= maxCached {
		r.cache.rooms = make(map[string]cached)
	}
	r.cache.rooms[groupID] = cached{room, now}
	return room, nil
}

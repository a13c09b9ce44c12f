package liveroom

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Anchor card: what the Flutter kit shows of who broadcasts.

// AnchorInfo describes a room's owner.
type AnchorInfo struct {
	SubscribeNum int64  `json:"subscribeNum"` // subscribers of this room
	FansNum      int64  `json:"fansNum"`      // users who subscribe to any room of the owner
	NickName     string `json:"nickName"`
	AvatarURL    string `json:"avatarUrl"`
}

// AnchorCard is the content of the kit's TencentCloudAvChatRoomData.
type AnchorCard struct {
	AnchorInfo   AnchorInfo `json:"anchorInfo"`
	IsSubscribe  bool       `json:"isSubscribe"` // whether the caller does; false for servers
	Notification string     `json:"notification"`
}

// MaxSubscriptions bounds the rooms of one owner that one user subscribes to.
// Subscriptions to closed rooms give way to new ones.
const MaxSubscriptions = 50

// The subscribers of an owner's rooms are a partition: for each user an item with
// the rooms, and one item with the counts, so that they agree. A room counts under
// its generation.
func fansPartition(owner string) string { return fansPrefix + owner }

const (
	fansPrefix    = "liveroom-fans/"
	fanPrefix     = "u/" // u/USERID: rooms that a user subscribes to
	fanRoomPrefix = "r/" // r/ROOM/GENERATION: how many subscribe to it
	fansItem      = "count"
	fansCounter   = "fans"
)

func subscription(room Room) string { return fmt.Sprintf("%s/%d", room.RoomID, room.Generation) }

// subscribed returns what a user subscribes to of an owner's rooms.
func (r *Rooms) subscribed(ctx context.Context, owner, userID string) (rooms map[string]bool, cond kv.Cond, err error) {
	rooms = make(map[string]bool)
	item, err := r.store.Get(ctx, fansPartition(owner), fanPrefix+userID)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return rooms, kv.Absent(), nil
	case err != nil:
		return nil, cond, err
	}
	if err := json.Unmarshal(item.Value, &rooms); err != nil {
		return nil, cond, fmt.Errorf("liveroom: a subscription does not decode: %w", err)
	}
	return rooms, kv.Rev(item.Rev), nil
}

// Anchor returns the card of a room's owner. Errors are of the codes NotFound and
// Unavailable.
func (r *Rooms) Anchor(ctx context.Context, caller api.Caller, roomID string) (AnchorCard, error) {
	room, err := r.Get(ctx, roomID)
	if err != nil {
		return AnchorCard{}, err
	}
	card := AnchorCard{Notification: room.Notice}
	counts, err := r.store.Get(ctx, fansPartition(room.Owner), fansItem)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return AnchorCard{}, public(err)
	}
	perRoom, err := r.store.Get(ctx, fansPartition(room.Owner), fanRoomPrefix+subscription(room))
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return AnchorCard{}, public(err)
	}
	card.AnchorInfo.FansNum, card.AnchorInfo.SubscribeNum = counts.Counters[fansCounter], perRoom.Counters[fansCounter]
	if caller.UserID != "" {
		rooms, _, err := r.subscribed(ctx, room.Owner, caller.UserID)
		if err != nil {
			return AnchorCard{}, public(err)
		}
		card.IsSubscribe = rooms[subscription(room)]
	}
	list, err := r.conf.IM.Portraits(ctx, []string{room.Owner}, im.TagNick, im.TagImage)
	if err != nil {
		return AnchorCard{}, public(err)
	}
	for _, p := range list {
		for _, item := range p.Items {
			switch item.Tag {
			case im.TagNick:
				card.AnchorInfo.NickName = item.Text()
			case im.TagImage:
				card.AnchorInfo.AvatarURL = item.Text()
			}
		}
	}
	return card, nil
}

// Subscribe adds or removes a user's subscription to a room. Repeating it is a no-op.
// Errors are of the codes NotFound, Forbidden for users who were kicked, Conflict
// beyond MaxSubscriptions, and Unavailable.
func (r *Rooms) Subscribe(ctx context.Context, caller api.Caller, roomID string, on bool) (AnchorCard, error) {
	if caller.UserID == "" {
		return AnchorCard{}, fault.New(fault.Forbidden, "only users subscribe: call with a UserSig")
	}
	room, err := r.Get(ctx, roomID)
	if err == nil {
		err = r.admit(ctx, caller, room)
	}
	if err != nil {
		return AnchorCard{}, err
	}
	for range tries {
		err := r.subscribe(ctx, room, caller.UserID, on)
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			return AnchorCard{}, public(err)
		}
		return r.Anchor(ctx, caller, roomID)
	}
	return AnchorCard{}, errBusy
}

func (r *Rooms) subscribe(ctx context.Context, room Room, userID string, on bool) error {
	rooms, cond, err := r.subscribed(ctx, room.Owner, userID)
	if err != nil || rooms[subscription(room)] == on {
		return err
	}
	was, by := len(rooms), int64(1)
	if on {
		rooms[subscription(room)] = true
	} else {
		delete(rooms, subscription(room))
		by = -1
	}
	over := ""
	if len(rooms) > MaxSubscriptions {
		if over, err = r.ended(ctx, rooms); err != nil {
			return err
		}
		if over == "" {
			return fault.New(fault.Conflict, "a user subscribes to at most %d rooms of one owner", MaxSubscriptions)
		}
		delete(rooms, over)
	}
	value, err := json.Marshal(rooms)
	if err != nil {
		return fmt.Errorf("liveroom: %w", err)
	}
	if cond.WantsAbsent() {
		if err := note(ctx, r.store, fansPartition(room.Owner), fanPrefix+userID, userID); err != nil {
			return err
		}
	}
	writes := []kv.Write{
		kv.Put{Key: fanPrefix + userID, Value: value, If: cond},
		kv.Add{Key: fanRoomPrefix + subscription(room), Deltas: []kv.Delta{{Counter: fansCounter, By: by}}},
	}
	if over != "" {
		writes = append(writes, kv.Add{Key: fanRoomPrefix + over, Deltas: []kv.Delta{{Counter: fansCounter, By: -1}}})
	}
	if was == 0 || len(rooms) == 0 {
		writes = append(writes, kv.Add{Key: fansItem, Deltas: []kv.Delta{{Counter: fansCounter, By: by}}})
	}
	return r.store.Commit(ctx, fansPartition(room.Owner), newOp(), writes...)
}

// ended returns one of the subscriptions whose room is closed by now, the oldest, or
// "" if all of them are open. Each show is a room of its own, so whoever follows an
// owner for long has many of these.
func (r *Rooms) ended(ctx context.Context, rooms map[string]bool) (string, error) {
	generation := func(of string) int64 {
		n, _ := strconv.ParseInt(of[strings.LastIndex(of, "/")+1:], 10, 64)
		return n
	}
	oldest := slices.SortedFunc(maps.Keys(rooms), func(a, b string) int { return cmp.Compare(generation(a), generation(b)) })
	for _, one := range oldest {
		room, err := r.Get(ctx, one[:strings.LastIndex(one, "/")])
		if err != nil && !is(err, fault.NotFound) {
			return "", err
		}
		if err != nil || room.Closed || subscription(room) != one {
			return one, nil
		}
	}
	return "", nil
}

// Membership is a paid membership of a user in a room.
type Membership struct {
	UserID string    `json:"userId"`
	Level  int64     `json:"level"`          // 1 to MaxLevel; 0: no member
	Until  time.Time `json:"until,omitzero"` // zero: as long as the room is open
}

// MaxLevel is the highest level of a membership.
const MaxLevel = 1000

// SetMembership records a user's paid membership; level 0 ends the membership. Errors
// are of the codes NotFound, RoomClosed, Invalid and Unavailable.
func (r *Rooms) SetMembership(ctx context.Context, roomID string, m Membership) (Membership, error) {
	if err := checkUser("the member", m.UserID); err != nil {
		return Membership{}, err
	}
	if m.Level < 0 || m.Level > MaxLevel {
		return Membership{}, fault.New(fault.Invalid, "level is a number from 0 to %d", MaxLevel)
	}
	if now := r.now(); !m.Until.IsZero() && (m.Until.Before(now) || m.Until.After(now.AddDate(100, 0, 0))) {
		return Membership{}, fault.New(fault.Invalid, "until is a time to come, within a hundred years")
	}
	m.Until = m.Until.UTC()
	for range tries {
		room, err := r.Get(ctx, roomID)
		switch {
		case err != nil:
			return Membership{}, err
		case room.Closed:
			return Membership{}, errClosed
		}
		key, cond := room.Key(membershipPrefix+m.UserID), kv.Absent()
		item, err := r.store.Get(ctx, Partition(roomID), key)
		switch {
		case err == nil:
			cond = kv.Rev(item.Rev)
		case !errors.Is(err, kv.ErrNotFound):
			return Membership{}, public(err)
		case m.Level == 0:
			return m, nil
		}
		var write kv.Write = kv.Delete{Key: key, If: cond}
		if m.Level > 0 {
			value, err := json.Marshal(m)
			if err != nil {
				return Membership{}, fmt.Errorf("liveroom: %w", err)
			}
			write = kv.Put{Key: key, Value: value, Expires: m.Until, If: cond}
			if err := note(ctx, r.store, Partition(roomID), key, m.UserID); err != nil {
				return Membership{}, public(err)
			}
		}
		err = r.store.Commit(ctx, Partition(roomID), newOp(), write)
		if !errors.Is(err, kv.ErrConflict) {
			return m, public(err)
		}
	}
	return Membership{}, errBusy
}

// Membership returns a user's membership in a room, of level 0 if there is none or
// it has ended. It costs one strongly consistent read. Errors are of the code
// Unavailable.
func (r *Rooms) Membership(ctx context.Context, room Room, userID string) (Membership, error) {
	m := Membership{UserID: userID}
	item, err := r.store.Get(ctx, Partition(room.RoomID), room.Key(membershipPrefix+userID))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return m, nil
	case err != nil:
		return m, public(err)
	}
	var held Membership
	if err := json.Unmarshal(item.Value, &held); err != nil {
		return m, fmt.Errorf("liveroom: a membership does not decode: %w", err)
	}
	if !held.Until.IsZero() && !held.Until.After(r.now()) {
		return m, nil
	}
	return held, nil
}

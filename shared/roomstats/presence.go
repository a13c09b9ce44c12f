package roomstats

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/generation"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Presence follows from the set of events that a user's item has heard of, not
// from the order in which they came: the latest are kept, sorted by their time,
// and replayed. So duplicates and reordering within keptEvents change nothing.
const keptEvents = 12

// What happened to a user in a room.
const (
	evJoin    = "j" // a device came in
	evQuit    = "x" // a device left
	evOut     = "k" // the user was taken out, with all devices
	evOnline  = "o" // IM says the user is online, over all devices
	evOffline = "f" // IM says he is not
	evGone    = "d" // a device lost its login
)

// event is what happened to a user in a room, at a time in Unix milliseconds.
type event struct {
	At       int64  `json:"t"`
	Kind     string `json:"k"`
	Platform string `json:"p,omitempty"` // in lower case
}

// compareEvents orders by time. At the same time leaving comes before coming.
func compareEvents(a, b event) int {
	rank := func(e event) int {
		if e.Kind == evJoin || e.Kind == evOnline {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(rank(a), rank(b)), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Platform, b.Platform))
}

// anyDevice stands for the devices of a user whom only IM's member state says to
// be online.
const anyDevice = "*"

// session is where a user stands after some events.
type session struct {
	Devices []string `json:"d,omitempty"` // in the room; online if there are any
	Since   int64    `json:"s,omitempty"` // Unix milliseconds
	Millis  int64    `json:"ms,omitempty"`
	// States: IM tells the member state here, so that the login of a single
	// device says nothing.
	States bool `json:"st,omitempty"`
}

func (s session) after(e event) session {
	was := len(s.Devices) > 0
	devices := slices.Clone(s.Devices)
	without := func(name string) { devices = slices.DeleteFunc(devices, func(d string) bool { return d == name }) }
	switch e.Kind {
	case evJoin:
		without(anyDevice)
		if !slices.Contains(devices, e.Platform) {
			devices = append(devices, e.Platform)
		}
	case evQuit:
		if slices.Contains(devices, e.Platform) {
			without(e.Platform)
		} else {
			devices = nil // the last device left, whose coming nobody told
		}
	case evOut, evOffline:
		devices = nil
	case evOnline:
		if !was {
			devices = []string{anyDevice}
		}
	case evGone:
		if !s.States {
			without(e.Platform)
		}
	}
	s.States = s.States || e.Kind == evOnline || e.Kind == evOffline
	s.Devices = devices
	switch is := len(devices) > 0; {
	case is && !was:
		s.Since = e.At
	case was && !is:
		s.Millis += max(0, e.At-s.Since)
		s.Since = 0
	}
	return s
}

// presence is the value of a user's item in his shard of a room.
type presence struct {
	Base   session `json:"b,omitzero"`
	BaseAt int64   `json:"at,omitempty"` // of the latest event in Base
	Events []event `json:"e,omitempty"`
	// Flip counts how often the user came online and went, odd while he is, and
	// FlipAt is the time of the event that made the last one. Each flip is
	// tallied under its number.
	Flip   int64 `json:"n,omitempty"`
	FlipAt int64 `json:"nt,omitempty"`
}

// now returns where the user stands after all events.
func (p presence) now() session {
	s := p.Base
	for _, e := range p.Events {
		s = s.after(e)
	}
	return s
}

// with returns the presence with another event, and whether that is new.
func (p presence) with(e event) (presence, bool) {
	i, known := slices.BinarySearchFunc(p.Events, e, compareEvents)
	if known || e.At <= p.BaseAt {
		return p, false
	}
	p.Events = slices.Insert(slices.Clone(p.Events), i, e)
	for len(p.Events) > keptEvents {
		p.Base, p.BaseAt = p.Base.after(p.Events[0]), p.Events[0].At
		p.Events = p.Events[1:]
	}
	if online := len(p.now().Devices) > 0; online != (p.Flip%2 == 1) {
		p.Flip++
		p.FlipAt = e.At
	}
	return p, true
}

// seconds is how long the user was online by a time.
func (s session) seconds(now time.Time) int64 {
	ms := s.Millis
	if s.Since != 0 {
		ms += max(0, now.UnixMilli()-s.Since)
	}
	return ms / 1000
}

// happened brings an event to a user's presence in a room and counts the flip
// that it makes. The flip before it is tallied first, in case the process died
// that was to do it; a repeated event tallies the latest again. Both are no-ops
// once done.
func (s *Stats) happened(ctx context.Context, r room, user string, e event) error {
	partition := r.shard(shardOf(user))
	if err := s.enter(ctx, r.id, shardEntry(r, shardOf(user))); err != nil {
		return err
	}
	for try := 1; ; try++ {
		item, err := s.store.Get(ctx, partition, userPrefix+user)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		var p presence
		if len(item.Value) > 0 {
			if err := json.Unmarshal(item.Value, &p); err != nil {
				return fmt.Errorf("roomstats: a stored presence: %w", err)
			}
		}
		next, changed := p.with(e)
		if !changed {
			return s.flip(ctx, r, user, p)
		}
		if next.Flip != p.Flip {
			if err := s.flip(ctx, r, user, p); err != nil {
				return err
			}
		}
		if item.Rev == "" {
			if err := s.note(ctx, partition, []string{user}); err != nil {
				return err
			}
		}
		write, err := put(userPrefix+user, next, condition(item.Rev), time.Time{})
		if err != nil {
			return err
		}
		err = s.store.Commit(ctx, partition, kv.NewOp("presence"), write)
		switch {
		case err == nil && next.Flip == p.Flip:
			return nil
		case err == nil:
			if err := s.flip(ctx, r, user, next); err != nil {
				return err
			}
			return s.publishLater(ctx, r)
		case !errors.Is(err, kv.ErrConflict) || try == 8:
			return err
		}
		if err := retry.Sleep(ctx, mathrand.N(time.Millisecond<<try)); err != nil {
			return err
		}
	}
}

// flip tallies the latest flip of a presence, by its number.
func (s *Stats) flip(ctx context.Context, r room, user string, p presence) error {
	at := time.UnixMilli(p.FlipAt)
	if p.Flip == 0 || s.now().Sub(at) > kv.Horizon {
		return nil
	}
	counter, by := cOnline, int64(1)
	if slices.Contains(s.conf.Uncounted, user) {
		counter = cUncounted
	}
	if p.Flip%2 == 0 {
		by = -1
	}
	return s.tally(ctx, r, user, "p", 2*rowLimit, fmt.Sprintf("%s/%d", user, p.Flip), at, kv.Delta{Counter: counter, By: by})
}

// isRoom reports a group that tells who is online in it, as the rooms of LiveKit do, too:
// others have members who stay while they are away.
func isRoom(t string) bool { return t == string(im.AVRoom) || t == string(im.Live) }

// robotPrefix begins the UserIDs of IM's robots.
const robotPrefix = "@RBT#"

// seen calls happened for the users of a callback.
func (s *Stats) seen(ctx context.Context, groupID string, members []callback.Member, e event) error {
	at := time.UnixMilli(e.At)
	if !s.inTime(ctx, "presence", at) {
		return nil
	}
	g, err := s.conf.Generations.Seen(ctx, groupID, generation.At(at), true)
	if err != nil {
		return s.dropInvalid(ctx, "presence", err)
	}
	for _, user := range callback.UserIDs(members) {
		if user == "" || strings.HasPrefix(user, robotPrefix) {
			continue
		}
		if err := s.dropInvalid(ctx, "presence", s.happened(ctx, room{groupID, g.Number}, user, e)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stats) when(t callback.Millis) int64 {
	if t == 0 {
		return s.now().UnixMilli()
	}
	return int64(t)
}

func (s *Stats) joined(ctx context.Context, e *callback.GroupAfterNewMemberJoin) error {
	if !isRoom(string(e.Type)) {
		return nil
	}
	ev := event{s.when(e.EventTime), evJoin, strings.ToLower(e.Query.OptPlatform)}
	if err := s.seen(ctx, e.GroupID, e.NewMembers, ev); err != nil {
		return err
	}
	for _, user := range callback.UserIDs(e.NewMembers) {
		if err := s.whereabouts(ctx, user, e.GroupID, ev); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stats) left(ctx context.Context, e *callback.GroupAfterMemberExit) error {
	if !isRoom(string(e.Type)) {
		return nil
	}
	ev := event{s.when(e.EventTime), evOut, ""}
	if e.ExitType == "Quit" {
		ev.Kind, ev.Platform = evQuit, strings.ToLower(e.Query.OptPlatform)
	}
	return s.seen(ctx, e.GroupID, e.ExitMembers, ev)
}

// memberState tells what joining and leaving tell as well, and lost connections.
// Without a time the event cannot be told from its repetition, so only the
// latter are taken from it.
func (s *Stats) memberState(ctx context.Context, e *callback.GroupOnMemberStateChange) error {
	if e.EventTime == 0 && (e.EventCause == "Join" || e.EventCause == "Quit") {
		return nil
	}
	ev := event{s.when(e.EventTime), evOnline, ""}
	if e.EventType == "Offline" {
		ev.Kind = evOffline
	}
	return s.seen(ctx, e.GroupID, e.MemberList, ev)
}

// A user has a partition of his own with the rooms that his devices went into:
// a lost login names no room, and a web client that joins a room leaves the one
// before without a word (IM keeps it in one).
const (
	whereKey = "rooms"
	maxWhere = 32
)

func wherePartition(user string) string { return "presence/" + user }

// stay is a device in a room.
type stay struct {
	RoomID   string `json:"r"`
	Platform string `json:"p"`
	At       int64  `json:"t"`
}

// whereabouts notes that a device joined a room, and takes a web client out of
// the room before. That room is told before the stay in it is forgotten, so that
// a repetition makes up for a process that died.
func (s *Stats) whereabouts(ctx context.Context, user, roomID string, e event) error {
	elsewhere := func(st stay) bool {
		return st.RoomID != roomID && st.Platform == "web" && e.Platform == "web" && st.At < e.At
	}
	if err := s.leave(ctx, user, elsewhere, event{e.At, evQuit, e.Platform}); err != nil {
		return err
	}
	return s.dropInvalid(ctx, "presence", s.changeStays(ctx, user, func(stays []stay) []stay {
		stays = slices.DeleteFunc(stays, func(st stay) bool {
			return elsewhere(st) || st.RoomID == roomID && st.Platform == e.Platform && st.At <= e.At
		})
		if !slices.ContainsFunc(stays, func(st stay) bool { return st.RoomID == roomID && st.Platform == e.Platform }) {
			stays = append(stays, stay{roomID, e.Platform, e.At})
		}
		return stays[max(0, len(stays)-maxWhere):]
	}))
}

// leave brings an event to the rooms of the stays that are over.
func (s *Stats) leave(ctx context.Context, user string, over func(stay) bool, e event) error {
	var stays []stay
	if _, err := load(ctx, s.store, wherePartition(user), whereKey, &stays); err != nil {
		return s.dropInvalid(ctx, "presence", err)
	}
	for _, st := range stays {
		if over(st) {
			e.Platform = st.Platform
			if err := s.seen(ctx, st.RoomID, []callback.Member{{UserID: user}}, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// deviceState takes a device that lost its login out of the rooms it was in.
func (s *Stats) deviceState(ctx context.Context, e *callback.StateChange) error {
	var gone []string
	switch e.Info.Action {
	case "Logout", "Disconnect":
		gone = []string{strings.ToLower(e.Query.OptPlatform)}
	case "Login":
		for _, d := range e.KickedDevice {
			gone = append(gone, strings.ToLower(d.Platform))
		}
	}
	if len(gone) == 0 || e.Info.UserID == "" {
		return nil
	}
	at := s.when(e.EventTime)
	over := func(st stay) bool { return slices.Contains(gone, st.Platform) && st.At <= at }
	if err := s.leave(ctx, e.Info.UserID, over, event{at, evGone, ""}); err != nil {
		return err
	}
	return s.dropInvalid(ctx, "presence", s.changeStays(ctx, e.Info.UserID, func(stays []stay) []stay { return slices.DeleteFunc(stays, over) }))
}

// changeStays stores what next makes of the stays of a user.
func (s *Stats) changeStays(ctx context.Context, user string, next func([]stay) []stay) error {
	for try := 1; ; try++ {
		var stays []stay
		cond, err := load(ctx, s.store, wherePartition(user), whereKey, &stays)
		if err != nil {
			return err
		}
		was := slices.Clone(stays)
		if stays = next(stays); slices.Equal(was, stays) {
			return nil
		}
		write, err := put(whereKey, stays, cond, s.now().Add(7*24*time.Hour))
		if err != nil {
			return err
		}
		err = s.store.Commit(ctx, wherePartition(user), kv.NewOp("presence"), write)
		if !errors.Is(err, kv.ErrConflict) || try == 8 {
			return err
		}
		if err := retry.Sleep(ctx, mathrand.N(time.Millisecond<<try)); err != nil {
			return err
		}
	}
}

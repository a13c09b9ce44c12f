package liveroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Limits of control. Our decisions, but for the first.
const (
	MaxUsers       = 100                  // users one request restricts
	MaxRestriction = 365 * 24 * time.Hour // the longest restriction that has an end
	MaxReason      = 200                  // bytes

	// usersPerOrder is how many users one commit restricts, and one message tells
	// of: a commit takes 96 writes.
	usersPerOrder = 50
)

// Kind is the kind of a restriction.
type Kind string

// The kinds of restrictions.
const (
	Mute Kind = "mute" // the user may not write
	Kick Kind = "kick" // the user may not enter, and so not write
)

// Restriction is a restriction of one user, or of everybody, in a room.
type Restriction struct {
	UserID string    `json:"userId,omitempty"` // "": the whole room
	Kind   Kind      `json:"kind"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is taken back
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by"` // the UserID, or the name of the API key, that set it
}

// restriction is a restriction as it is stored.
type restriction struct {
	Restriction
	Order int64 `json:"order"` // what set it
	Hide  bool  `json:"hide,omitempty"`
}

// holds reports whether the restriction is in force at a time.
func (h *restriction) holds(now time.Time) bool {
	return h != nil && (h.Until.IsZero() || h.Until.After(now))
}

// restricted is all that is known of a user's restrictions, in one item.
type restricted struct {
	Mute *restriction `json:"mute,omitempty"`
	Kick *restriction `json:"kick,omitempty"`
}

// of returns where the restriction of a kind is kept.
func (h *restricted) of(kind Kind) **restriction {
	if kind == Kick {
		return &h.Kick
	}
	return &h.Mute
}

// at returns the restrictions that hold at a time.
func (h restricted) at(now time.Time) (list []Restriction) {
	for _, one := range []*restriction{h.Mute, h.Kick} {
		if one.holds(now) {
			list = append(list, one.Restriction)
		}
	}
	return list
}

// Prefixes of keys within a generation.
const (
	restrictionPrefix = "r/"
	membershipPrefix  = "m/"
	orderPrefix       = "o/"
	timedPrefix       = "t/"
)

// lateness is how much longer than it holds a restriction is kept: until the job
// that tells of its end has certainly run.
const lateness = 7 * 24 * time.Hour

// Kicked reports whether a user is kicked from a room now. It costs one strongly
// consistent read. Errors are of the code Unavailable.
func (r *Rooms) Kicked(ctx context.Context, room Room, userID string) (bool, error) {
	held, _, err := r.restricted(ctx, room, userID)
	if err != nil {
		return false, public(err)
	}
	return held.Kick.holds(r.now()), nil
}

// restricted returns a user's restrictions and the condition that they still are
// so.
func (r *Rooms) restricted(ctx context.Context, room Room, userID string) (held restricted, cond kv.Cond, err error) {
	if userID == "" {
		return held, cond, nil
	}
	item, err := r.store.Get(ctx, Partition(room.RoomID), room.Key(restrictionPrefix+userID))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return held, kv.Absent(), nil
	case err != nil:
		return held, cond, err
	}
	if err := json.Unmarshal(item.Value, &held); err != nil {
		return held, cond, fmt.Errorf("liveroom: a restriction does not decode: %w", err)
	}
	return held, kv.Rev(item.Rev), nil
}

// write returns the write that keeps a user's restrictions.
func (h restricted) write(room Room, userID string, cond kv.Cond) (kv.Write, error) {
	key := room.Key(restrictionPrefix + userID)
	switch {
	case h.Mute == nil && h.Kick == nil && cond.WantsAbsent():
		return kv.Check{Key: key, If: cond}, nil
	case h.Mute == nil && h.Kick == nil:
		return kv.Delete{Key: key, If: cond}, nil
	}
	value, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("liveroom: %w", err)
	}
	put := kv.Put{Key: key, Value: value, If: cond}
	for _, one := range []*restriction{h.Mute, h.Kick} {
		if one != nil && one.Until.IsZero() {
			return put, nil
		}
		if one != nil && one.Until.Add(lateness).After(put.Expires) {
			put.Expires = one.Until.Add(lateness)
		}
	}
	return put, nil
}

// Wish is a request to restrict users of a room or to lift their restrictions.
type Wish struct {
	Kind   Kind
	Lift   bool          // take the restriction back
	Users  []string      // at most MaxUsers; nil: the whole room, which can only be muted
	For    time.Duration // whole seconds; 0: until it is taken back
	Reason string        // one line, which is sent to the room
	Hide   bool          // of a kick: the users' messages are hidden
}

func (w Wish) check() error {
	switch {
	case len(w.Users) > MaxUsers:
		return fault.New(fault.Invalid, "userIds is a list of at most %d users", MaxUsers)
	case len(w.Users) == 0 && w.Kind == Kick:
		return fault.New(fault.Invalid, "userId is missing: say who it is about")
	case w.For < 0 || w.For > MaxRestriction:
		return fault.New(fault.Invalid, "seconds is a number from 1 to %d; without it there is no end", int(MaxRestriction/time.Second))
	case len(w.Reason) > MaxReason || !PlainLine(w.Reason):
		return fault.New(fault.Invalid, "reason is one line of at most %d bytes without HTML", MaxReason)
	}
	for i, id := range w.Users {
		if err := checkUser("userId", id); err != nil {
			return err
		}
		if slices.Contains(w.Users[:i], id) {
			return fault.New(fault.Invalid, "userIds names %s twice", id)
		}
	}
	return nil
}

// mayRestrict reports whether a caller may restrict these users: nobody restricts
// the owner, and a moderator restricts no moderators.
func (s *seen) mayRestrict(caller api.Caller, users []string) error {
	for _, id := range users {
		switch {
		case id == s.Owner:
			return fault.New(fault.Invalid, "the owner of a room is not restricted in it")
		case s.Leads(id) && caller.Server == "" && caller.UserID != s.Owner:
			return fault.New(fault.Forbidden, "a moderator does not restrict other moderators")
		}
	}
	return nil
}

// task is something that a room still has to do in IM, in the order in which it
// was asked for, or at its time.
type task struct {
	Kind   Kind      `json:"kind,omitempty"`
	Lift   bool      `json:"lift,omitempty"`
	Users  []string  `json:"users,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Hide   bool      `json:"hide,omitempty"`
	Order  int64     `json:"order"`
	// Ends: a restriction set by Order ends, unless another was set since.
	Ends bool `json:"ends,omitempty"`
	// Stream, if set, is the sequence of a stream whose end pauses the room.
	Stream string `json:"stream,omitempty"`
}

// Restrict restricts users of a room, or lifts their restrictions, and returns the
// restrictions of these users that are in force then. Lifting a restriction that does
// not exist is a no-op, but is sent to the room all the same. Restrict commits 50
// users at a time; after an error of the code Unavailable the first of them may be
// done, and a retry is safe. Other errors are of the codes Invalid, NotFound,
// Forbidden and RoomClosed, and change nothing.
func (r *Rooms) Restrict(ctx context.Context, caller api.Caller, roomID string, w Wish) ([]Restriction, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	at := r.now()
	until := time.Time{}
	if w.For > 0 && !w.Lift {
		until = at.Add(w.For).UTC().Truncate(time.Second)
	}
	by := caller.Server
	if by == "" {
		by = caller.UserID
	}
	list := []Restriction{}
	for users := range chunks(w.Users) {
		_, err := r.change(ctx, roomID, func(s *seen) ([]kv.Write, error) {
			if err := s.may(caller); err != nil {
				return nil, err
			}
			if err := s.mayRestrict(caller, w.Users); err != nil {
				return nil, err
			}
			s.Orders++
			t := task{Kind: w.Kind, Lift: w.Lift, Users: users, Until: until, Reason: w.Reason, By: by, Hide: w.Hide && w.Kind == Kick && !w.Lift, Order: s.Orders}
			now, writes, err := r.restrict(ctx, s, t)
			if err != nil {
				return nil, err
			}
			tasks, err := r.begins(ctx, s, t)
			list = append(list[:len(list):len(list)], now...)
			return append(writes, tasks...), err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// chunks divides users into orders; nobody at all, the whole room, is one.
func chunks(users []string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		if len(users) == 0 {
			yield(nil)
			return
		}
		for chunk := range slices.Chunk(users, usersPerOrder) {
			if !yield(chunk) {
				return
			}
		}
	}
}

// restrict returns the writes that restrict users as a task says, and the
// restrictions that they are under then.
func (r *Rooms) restrict(ctx context.Context, s *seen, t task) (list []Restriction, writes []kv.Write, err error) {
	var set *restriction
	if !t.Lift {
		set = &restriction{Restriction{"", t.Kind, t.Until, t.Reason, t.By}, t.Order, t.Hide}
	}
	if len(t.Users) == 0 {
		s.Muted = set
		if set != nil {
			list = append(list, set.Restriction)
		}
		return list, nil, nil
	}
	for _, id := range t.Users {
		held, cond, err := r.restricted(ctx, s.Room, id)
		if err != nil {
			return nil, nil, err
		}
		*held.of(t.Kind) = set.as(id)
		write, err := held.write(s.Room, id, cond)
		if err != nil {
			return nil, nil, err
		}
		list, writes = append(list, held.at(r.now())...), append(writes, write)
	}
	return list, writes, nil
}

// as is the restriction for one user.
func (h *restriction) as(userID string) *restriction {
	if h == nil {
		return nil
	}
	one := *h
	one.UserID = userID
	return &one
}

// begins returns the writes that have a task carried out, and its end at its time.
// The end is guarded before they are committed.
func (r *Rooms) begins(ctx context.Context, s *seen, t task) ([]kv.Write, error) {
	now, err := taskWrite(s.Key(orderPrefix+fmt.Sprintf("%013d", t.Order)), t)
	if err != nil || t.Lift || t.Until.IsZero() {
		return []kv.Write{now}, err
	}
	ends, err := r.later(ctx, s, t.Until, task{Kind: t.Kind, Lift: true, Users: t.Users, Order: t.Order, Ends: true})
	return []kv.Write{now, ends}, err
}

// later returns the write that has a task carried out at a time, which is
// guarded, and for which a job is enqueued.
func (r *Rooms) later(ctx context.Context, s *seen, at time.Time, t task) (kv.Write, error) {
	name := fmt.Sprintf("%s%013d/%013d", timedPrefix, at.UnixMilli(), t.Order)
	id := fmt.Sprintf("%s %d/%s", s.roomID, s.Room.Generation, name)
	// The clock ticks once a minute; the job comes to the second, and may find that
	// the clock was faster.
	if err := r.times.Guard(ctx, id, at); err != nil {
		return nil, err
	}
	if err := r.enqueue(ctx, Times.Job, Times.Lane, Times.Job+"/"+id, id, at); err != nil {
		slog.WarnContext(ctx, "end of a restriction deferred to the clock", "error", err.Error())
	}
	return taskWrite(s.Key(name), t)
}

func taskWrite(key string, t task) (kv.Write, error) {
	value, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("liveroom: %w", err)
	}
	return kv.Put{Key: key, Value: value, If: kv.Absent()}, nil
}

// perform carries out the tasks of a room: those asked for in their order, then
// those whose time has come. A task that fails holds up those behind it, which may
// be about the same users.
func (r *Rooms) perform(ctx context.Context, s *seen) error {
	return errors.Join(r.performAll(ctx, s, orderPrefix, ""), r.performAll(ctx, s, timedPrefix, fmt.Sprintf("%013d0", r.now().UnixMilli())))
}

// performAll carries out the tasks whose keys begin with prefix and, if until is
// given, come before prefix+until.
func (r *Rooms) performAll(ctx context.Context, s *seen, prefix, until string) error {
	for after := ""; ; {
		page, err := r.store.List(ctx, Partition(s.roomID), kv.Range{Prefix: s.Key(prefix), After: after})
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if until != "" && item.Key >= s.Key(prefix)+until {
				return nil
			}
			var t task
			if err := json.Unmarshal(item.Value, &t); err != nil {
				return fmt.Errorf("liveroom: a task does not decode: %w", err)
			}
			if err := r.carryOut(ctx, s, item, t); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

// carryOut carries out one task and removes it.
func (r *Rooms) carryOut(ctx context.Context, s *seen, item kv.Item, t task) error {
	done := kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)}
	switch {
	case t.Stream != "":
		if s.pause(t.Stream, r.now()) {
			// The change is told in the next pass.
			if err := r.looks.Guard(ctx, s.roomID, r.now().Add(guardAfter)); err != nil {
				return err
			}
			defer r.wake(ctx, s.roomID)
		}
		return r.save(ctx, s, done)
	case t.Ends:
		ended, err := r.under(ctx, s, t)
		if err != nil {
			return err
		}
		if t.Users = ended; len(ended) == 0 && (s.Muted == nil || s.Muted.Order != t.Order) {
			return r.save(ctx, s, done) // lifted or set anew meanwhile
		}
	}
	err := r.apply(ctx, s, t)
	if refused(err) {
		slog.ErrorContext(ctx, "IM refuses a restriction; our rules enforce it", "kind", string(t.Kind), "error", err.Error())
	} else if err != nil {
		return err
	}
	if err := r.tellTask(ctx, s, t); err != nil {
		return err
	}
	writes := []kv.Write{done}
	if t.Ends {
		_, lifts, err := r.restrict(ctx, s, t)
		if err != nil {
			return err
		}
		writes = append(writes, lifts...)
	}
	return r.save(ctx, s, writes...)
}

// under returns those of a task's users whose restriction is still the one that it
// set.
func (r *Rooms) under(ctx context.Context, s *seen, t task) (users []string, err error) {
	for _, id := range t.Users {
		held, _, err := r.restricted(ctx, s.Room, id)
		if err != nil {
			return nil, err
		}
		if one := *held.of(t.Kind); one != nil && one.Order == t.Order {
			users = append(users, id)
		}
	}
	return users, nil
}

// apply has IM restrict users as a task says.
func (r *Rooms) apply(ctx context.Context, s *seen, t task) (err error) {
	span := im.Forever
	switch {
	case t.Lift:
		span = 0
	case !t.Until.IsZero():
		if span = t.Until.Sub(r.now()); span <= 0 {
			return nil // its end is a task of its own
		}
	}
	switch {
	case len(t.Users) == 0:
		muted := !t.Lift
		return r.conf.IM.ModifyGroup(ctx, s.roomID, im.GroupChange{MuteAll: &muted})
	case t.Kind == Mute:
		_, err = r.conf.IM.ForbidSendMsg(ctx, s.roomID, "", t.Users, span)
	case t.Lift:
		_, err = r.conf.IM.UnbanGroupMembers(ctx, s.roomID, t.Users)
	default:
		// Whose kick was taken back meanwhile may be in the room again, and stays.
		var kicked []string
		if kicked, err = r.under(ctx, s, t); err == nil && len(kicked) > 0 {
			_, err = r.conf.IM.BanGroupMembers(ctx, s.roomID, kicked, span, t.Reason)
		}
	}
	if errors.Is(err, im.CodeNotAllowed) || errors.Is(err, im.ClassConfiguration) {
		// An edition without bans. The before-rules refuse whom the store has
		// kicked, and their clients leave when the room is told.
		slog.InfoContext(ctx, "IM's edition does not ban members; the before-rules keep them out", "error", err.Error())
		return nil
	}
	return err
}

// tellTask tells the room of a task. The message lists what is hidden: the newest
// messages of the users, if there is an archive.
func (r *Rooms) tellTask(ctx context.Context, s *seen, t task) error {
	name := string(t.Kind)
	if t.Lift {
		name = "un" + name
	}
	var seqs []uint32
	if t.Hide {
		var err error
		if seqs, err = r.hide(ctx, s.Room, t.Users); err != nil {
			return err
		}
	}
	key := "task/" + decimal(t.Order)
	if t.Ends {
		key += "/end"
	}
	return r.send(ctx, s, key, name, struct {
		UserIDs []string  `json:"userIds,omitempty"`
		All     bool      `json:"all,omitempty"` // the whole room
		Until   time.Time `json:"until,omitzero"`
		Reason  string    `json:"reason,omitempty"`
		By      string    `json:"by,omitempty"`
		Ended   bool      `json:"ended,omitempty"` // its time is over
		Hide    bool      `json:"hide,omitempty"`
		MsgSeqs []uint32  `json:"msgSeqs,omitempty"` // what is hidden
		// Order is greater the later something was asked for. Messages may overtake one
		// another: of two about a user, the greater holds.
		Order int64 `json:"order"`
	}{t.Users, len(t.Users) == 0, t.Until, t.Reason, t.By, t.Ends, t.Hide, seqs, t.Order})
}

// ListRestrictions returns a page of the restrictions in force in a room, by
// UserID: those of the whole room first, on the first page. The cursor of the next
// page is "" at the end. Errors are of the codes NotFound, Forbidden and
// Unavailable.
func (r *Rooms) ListRestrictions(ctx context.Context, caller api.Caller, roomID, after string, limit int) (list []Restriction, next string, err error) {
	s, err := r.find(ctx, roomID)
	if err != nil {
		return nil, "", err
	}
	if err := s.may(caller); err != nil && err != error(errClosed) {
		return nil, "", err
	}
	list = []Restriction{}
	if after == "" && s.Muted.holds(r.now()) {
		list = append(list, s.Muted.Restriction)
	}
	prefix := s.Key(restrictionPrefix)
	if after != "" {
		after = prefix + after
	}
	for len(list) < limit {
		page, err := r.store.List(ctx, Partition(roomID), kv.Range{Prefix: prefix, After: after, Limit: limit - len(list)})
		if err != nil {
			return nil, "", public(err)
		}
		for _, item := range page.Items {
			var held restricted
			if err := json.Unmarshal(item.Value, &held); err != nil {
				return nil, "", fmt.Errorf("liveroom: a restriction does not decode: %w", err)
			}
			now := held.at(r.now())
			if len(list) > 0 && len(list)+len(now) > limit {
				return list, strings.TrimPrefix(after, prefix), nil // both of a user's on the next page
			}
			list, after = append(list, now...), item.Key
		}
		if after = page.Next; after == "" {
			break
		}
	}
	return list, strings.TrimPrefix(after, prefix), nil
}

package liveroom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// handItem holds until when somebody works on the room.
const handItem = "hand"

// settle does what is left to do in a room. One step that fails does not keep the
// others from being tried.
func (r *Rooms) settle(ctx context.Context, roomID string) error {
	if !isRoomID(roomID) || r.conf.IM == nil || r.conf.Outbox == nil {
		return errNoIM
	}
	ctx, release, err := process.Hold(ctx, r.store, r.now(), Partition(roomID), handItem)
	if err != nil {
		return err
	}
	defer release()
	for range tries {
		s, err := r.load(ctx, roomID)
		if err == nil {
			err = r.pass(ctx, s)
		}
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// pass does what a room, as it was seen, leaves to do.
func (r *Rooms) pass(ctx context.Context, s *seen) error {
	switch {
	case s.none() || s.Gone || s.Refused != "":
		return nil
	case !s.Made:
		if err := r.make(ctx, s); err != nil || s.Refused != "" {
			return err
		}
	}
	err := errors.Join(r.mirror(ctx, s), r.tell(ctx, s))
	err = errors.Join(err, r.save(ctx, s), r.perform(ctx, s))
	if errors.Is(err, im.CodeGroupGone) {
		return r.vanish(ctx, s)
	}
	if err == nil && s.Room.Closed {
		err = r.dissolve(ctx, s)
	}
	return err
}

// vanish records that a room's group was dissolved by somebody else.
func (r *Rooms) vanish(ctx context.Context, s *seen) error {
	slog.WarnContext(ctx, "the group of a room is gone; the room is closed")
	s.close(r.now())
	if err := r.forget(ctx, s); err != nil {
		return err
	}
	s.Gone = true
	return r.save(ctx, s)
}

// check compares the group with the room, because a callback says that somebody
// else has changed or dissolved the group, and repairs the difference.
func (r *Rooms) check(ctx context.Context, roomID string) error {
	s, err := r.load(ctx, roomID)
	if err != nil || s.none() || !s.Made || s.Gone {
		return err
	}
	values, err := r.conf.IM.GroupAttributes(ctx, roomID)
	switch {
	case errors.Is(err, im.CodeGroupGone):
		// settle meets the same answer where it has something to do; here it may not.
		ctx, release, err := process.Hold(ctx, r.store, r.now(), Partition(roomID), handItem)
		if err != nil {
			return err
		}
		defer release()
		return r.vanish(ctx, s)
	case err != nil:
		return err
	}
	is := mirrored{Status(values[attrStatus]), values[attrNotice], values[attrIntroduction]}
	if s.Mirrored == nil || *s.Mirrored == is {
		return nil
	}
	s.Mirrored = &is
	if err := r.save(ctx, s); err != nil {
		return err
	}
	return r.settle(ctx, roomID)
}

// The keys of a room's attributes. The app's own are left alone.
const (
	attrStatus       = "status"
	attrNotice       = "notice"
	attrIntroduction = "introduction"
)

// mirror brings the group's attributes and profile in step with the room. It sends
// the changed attributes in one call, and never replaces all of them, since the app
// keeps its own beside ours.
func (r *Rooms) mirror(ctx context.Context, s *seen) error {
	want := s.wants()
	if s.Mirrored != nil && *s.Mirrored == want {
		return nil
	}
	changed := make(map[string]string)
	for key, value := range map[string]string{attrStatus: string(want.Status), attrNotice: want.Notice, attrIntroduction: want.Introduction} {
		switch {
		case s.Mirrored == nil && value == "": // never set
		case s.Mirrored == nil || value != s.Mirrored.of(key):
			changed[key] = value
		}
	}
	err := r.conf.IM.ModifyGroupAttributes(ctx, s.roomID, changed)
	if err == nil && (s.Mirrored == nil || s.Mirrored.Notice != want.Notice || s.Mirrored.Introduction != want.Introduction) {
		err = r.conf.IM.ModifyGroup(ctx, s.roomID, im.GroupChange{Notification: &want.Notice, Introduction: &want.Introduction})
	}
	if refused(err) {
		slog.ErrorContext(ctx, "IM refuses a room's attributes", "error", err.Error())
		err = nil
	}
	if err == nil {
		s.Mirrored = &want
	}
	return err
}

func (m *mirrored) of(key string) string {
	switch key {
	case attrNotice:
		return m.Notice
	case attrIntroduction:
		return m.Introduction
	}
	return string(m.Status)
}

// refused reports whether IM would refuse the same call again while its group is
// there.
func refused(err error) bool { return im.Lasting(err) && !errors.Is(err, im.CodeGroupGone) }

// event is what a room is told, in a custom message. Clients know a repeated one by
// its id.
type event struct {
	BusinessID string `json:"businessID"`
	Event      string `json:"event"`
	ID         string `json:"id,omitempty"`
	Data       any    `json:"data"`
}

// Event returns the body of an event message to a room, in the form that all events of
// rooms share. Clients deduplicate events by id, which is optional.
func Event(name, id string, data any) (im.MsgBody, error) {
	value, err := encode(event{businessID, name, id, data})
	if err != nil {
		return nil, err
	}
	return im.Custom(value, "", ""), nil
}

// patience is how long the outbox tries an event: later it would tell a room what
// is not so any more.
const patience = 10 * time.Minute

// send has the outbox tell the room an event, once under this key. The message is
// durable when send returns nil.
func (r *Rooms) send(ctx context.Context, s *seen, key, name string, data any) error {
	body, err := Event(name, s.Key(key), data)
	if err != nil {
		return err
	}
	return r.conf.Outbox.Send(ctx, outbox.Message{
		RoomID: s.roomID, Key: s.Key(key), Priority: im.High, From: r.conf.Admin, Body: body, Patience: patience, Kind: eventKind,
	})
}

const (
	eventKind = "liveroom.event"
	// maxRepeats is how often an event is sent anew of which nobody knows whether it
	// was sent.
	maxRepeats = 5
)

// eventEnded hears how the message of an event ended. One that may have been sent
// or not is sent anew: an event says what is so, so hearing it twice does no harm,
// while a room that never hears it shows what is not.
func (r *Rooms) eventEnded(ctx context.Context, m outbox.Message, o outbox.Outcome) error {
	if o.State != outbox.Unknown {
		return nil
	}
	key, count, _ := strings.Cut(m.Key, "~")
	n, _ := strconv.Atoi(count) // 0: the first time
	if n >= maxRepeats {
		slog.ErrorContext(ctx, "event to a room perhaps lost", "repeats", n)
		return nil
	}
	m.Key = key + "~" + strconv.Itoa(n+1)
	return r.conf.Outbox.Send(ctx, m)
}

// statusKey is the key of the message that tells a status.
func (s *seen) statusKey() string { return statusKey(s.Version) }

func statusKey(version int64) string { return "status/" + decimal(version) }

// maxLookedAt bounds the versions that toldSince looks at.
const maxLookedAt = 20

// toldSince reports whether the room was told a status of a version since the one that
// was compared last. Then another worker has died before it noted that, or found that
// the room had changed meanwhile.
func (r *Rooms) toldSince(ctx context.Context, s *seen) (bool, error) {
	for v := max(s.Told.Version+1, s.Version-maxLookedAt, 1); v < s.Version; v++ {
		_, err := r.conf.Outbox.Outcome(ctx, s.roomID, s.Key(statusKey(v)))
		if !errors.Is(err, kv.ErrNotFound) {
			return err == nil, err
		}
	}
	return false, nil
}

// tell tells the room its status and its notice, where they are not those that it
// was told last. A status that lasted only while nobody told it is never told.
func (r *Rooms) tell(ctx context.Context, s *seen) error {
	other := s.Told.Status != s.Status
	if !other && s.Told.Version < s.Version {
		var err error
		if other, err = r.toldSince(ctx, s); err != nil {
			return err
		}
	}
	if other {
		if err := r.send(ctx, s, s.statusKey(), "status", struct {
			Status    Status    `json:"status"`
			Version   int64     `json:"version"`
			StartedAt time.Time `json:"startedAt,omitzero"`
			EndedAt   time.Time `json:"endedAt,omitzero"`
		}{s.Status, s.Version, s.StartedAt, s.EndedAt}); err != nil {
			return err
		}
	}
	s.Told.Status, s.Told.Version = s.Status, s.Version
	if s.Told.Notice != s.Told.Texts {
		if err := r.send(ctx, s, "notice/"+decimal(s.Told.Texts), "notice", struct {
			Notice       string `json:"notice"`
			Introduction string `json:"introduction"`
			Version      int64  `json:"version"`
		}{s.Notice, s.Introduction, s.Told.Texts}); err != nil {
			return err
		}
		s.Told.Notice = s.Told.Texts
	}
	return nil
}

// farewell bounds how long a closed room's group waits for its last messages.
const farewell = 30 * time.Second

// dissolve ends the group of a closed room: first its members are told.
// The messages of the room were archived as they came.
func (r *Rooms) dissolve(ctx context.Context, s *seen) error {
	if err := r.conf.Outbox.Drain(ctx, s.roomID); err != nil {
		return err
	}
	last, err := r.conf.Outbox.Outcome(ctx, s.roomID, s.Key(s.statusKey()))
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if last.State == outbox.Waiting && r.now().Sub(s.EndedAt) < farewell {
		return queue.Later{After: time.Second}
	}
	if err := r.conf.IM.DestroyGroup(ctx, s.roomID); err != nil && !im.Lasting(err) {
		return err
	}
	if err := r.forget(ctx, s); err != nil {
		return err
	}
	s.Gone = true
	return r.save(ctx, s)
}

// forget removes what is of no use once a room's group is gone: its entry in the
// list of rooms, restrictions, memberships, and what was still to be done.
func (r *Rooms) forget(ctx context.Context, s *seen) error {
	if err := r.unlist(ctx, s.Room); err != nil {
		return err
	}
	for _, prefix := range []string{restrictionPrefix, membershipPrefix, orderPrefix, timedPrefix} {
		for after := ""; ; {
			page, err := r.store.List(ctx, Partition(s.roomID), kv.Range{Prefix: s.Key(prefix), After: after, Limit: deletesPerCommit})
			if err != nil {
				return err
			}
			var deletes []kv.Write
			for _, item := range page.Items {
				deletes = append(deletes, kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
			}
			if len(deletes) > 0 {
				if err := r.store.Commit(ctx, Partition(s.roomID), newOp(), deletes...); err != nil {
					return err
				}
			}
			if after = page.Next; after == "" {
				break
			}
		}
	}
	return nil
}

const deletesPerCommit = 90

// encode writes JSON and leaves < > & as they are, which escaped would count
// several times against IM's limits.
func encode(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

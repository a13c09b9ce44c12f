package liveroom

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// may reports whether a caller runs the room: servers, the owner, the moderators.
func (s *seen) may(caller api.Caller) error {
	switch {
	case caller.Server == "" && !s.Leads(caller.UserID):
		return errNotYours
	case s.Room.Closed:
		return errClosed
	}
	return nil
}

// is checks that a caller has seen the latest version of the room.
func (s *seen) is(version int64) error {
	if version != s.Version {
		return fault.New(fault.Conflict, "the room has version %d by now; read it, then decide anew", s.Version)
	}
	return nil
}

// become gives the room another status.
func (s *seen) become(next Status, now time.Time) {
	now = now.UTC()
	if next == Live && s.StartedAt.IsZero() {
		s.StartedAt = now
	}
	if next == Ended && s.Status != Replay {
		s.EndedAt = now
	}
	s.Status = next
	s.Version++
}

// close ends the room for good.
func (s *seen) close(now time.Time) {
	if s.Room.Closed {
		return
	}
	s.Room.Closed = true
	if s.Status != Ended {
		s.become(Ended, now)
	}
	if s.EndedAt.IsZero() {
		s.EndedAt = now.UTC()
	}
}

// SetStatus changes the status of a room of this version. Errors are of the codes
// NotFound, Forbidden, Conflict where the version is not the latest,
// IllegalTransition, RoomClosed and Unavailable.
func (r *Rooms) SetStatus(ctx context.Context, caller api.Caller, roomID string, next Status, version int64) (Room, error) {
	return r.update(ctx, roomID, func(s *seen) error {
		if err := s.may(caller); err != nil {
			return err
		}
		if err := s.is(version); err != nil {
			return err
		}
		if !s.Status.leadsTo(next) {
			return fault.New(fault.IllegalTransition, "a room that is %s cannot become %s", s.Status, next)
		}
		s.become(next, r.now())
		return nil
	})
}

// SetNotice changes the notice and the introduction of a room of this version; nil
// leaves a text unchanged. Errors are those of SetStatus, and Invalid for texts that
// IM does not accept.
func (r *Rooms) SetNotice(ctx context.Context, caller api.Caller, roomID string, notice, introduction *string, version int64) (Room, error) {
	return r.update(ctx, roomID, func(s *seen) error {
		if err := s.may(caller); err != nil {
			return err
		}
		if err := s.is(version); err != nil {
			return err
		}
		if notice != nil {
			s.Notice = *notice
		}
		if introduction != nil {
			s.Introduction = *introduction
		}
		if err := checkTexts(s.Notice, s.Introduction); err != nil {
			return err
		}
		s.Version++
		s.Told.Texts = s.Version
		return nil
	})
}

// Close ends a room. Its members get an event, and then the group is dissolved.
// Closing a closed room is a no-op. Errors are of the codes NotFound, Forbidden and
// Unavailable.
func (r *Rooms) Close(ctx context.Context, caller api.Caller, roomID string) (Room, error) {
	return r.update(ctx, roomID, func(s *seen) error {
		if err := s.may(caller); err != nil && err != error(errClosed) {
			return err
		}
		s.close(r.now())
		return nil
	})
}

// update is change for what changes nothing but the room's own item.
func (r *Rooms) update(ctx context.Context, roomID string, f func(*seen) error) (Room, error) {
	s, err := r.change(ctx, roomID, func(s *seen) ([]kv.Write, error) { return nil, f(s) })
	if err != nil {
		return Room{}, err
	}
	return s.Room, nil
}

// markup is the beginning of an HTML tag, a comment or a declaration.
var markup = regexp.MustCompile(`<[A-Za-z/!?]`)

// PlainLine reports whether a text is one line without control characters and markup,
// as texts in events must be.
func PlainLine(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) && !markup.MatchString(text)
}

// checkTexts refuses a notice and an introduction that IM does not keep whole, and
// markup, which a careless page would run.
func checkTexts(notice, introduction string) error {
	for _, text := range []struct {
		name, value string
		most        int
	}{{"notice", notice, im.MaxNotification}, {"introduction", introduction, im.MaxIntroduction}} {
		if len(text.value) > text.most {
			return fault.New(fault.Invalid, "%s is a text of at most %d bytes, and this one has %d", text.name, text.most, len(text.value))
		}
		if strings.ContainsFunc(text.value, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0x7f }) {
			return fault.New(fault.Invalid, "%s has control characters in it", text.name)
		}
		if err := checkRich(text.name, text.value); err != nil {
			return err
		}
	}
	return nil
}

// checkRich refuses markup in a text. A text that begins with a brace is the rich
// form, a JSON object: it must be one, and no text in it may be markup or a link
// that runs a script.
func checkRich(name, text string) error {
	bad := markup.MatchString(text)
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		var rich map[string]any
		if err := json.Unmarshal([]byte(text), &rich); err != nil {
			return fault.New(fault.Invalid, "%s begins with a brace, and so must be a JSON object", name)
		}
		bad = bad || hasBadText(rich)
	}
	if bad {
		return fault.New(fault.Invalid, "%s has HTML or a script in it; write plain text, or JSON with image and link URLs", name)
	}
	return nil
}

// hasBadText looks through the texts of a JSON value, escapes undone.
func hasBadText(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if hasBadText(key) || hasBadText(value) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if hasBadText(value) {
				return true
			}
		}
	case string:
		link := strings.ToLower(strings.TrimSpace(v))
		return markup.MatchString(v) || strings.HasPrefix(link, "javascript:") || strings.HasPrefix(link, "vbscript:") || strings.HasPrefix(link, "data:text")
	}
	return false
}

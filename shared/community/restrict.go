package community

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Limits of restrictions. Our decisions.
const (
	MaxUsers       = 100
	MaxRestriction = 365 * 24 * time.Hour
	MaxReason      = 200 // bytes
)

// Kind is the kind of a restriction.
type Kind string

// The kinds of restrictions.
const (
	Mute Kind = "mute" // the user may not write
	Kick Kind = "kick" // the user may not enter, and so not write
)

// Restriction is a restriction of one user, or of everybody, in a community.
type Restriction struct {
	UserID    string    `json:"userId,omitempty"` // "": everybody except members who manage
	Kind      Kind      `json:"kind"`
	ChannelID string    `json:"channelId,omitempty"` // of a mute of one channel
	Until     time.Time `json:"until,omitzero"`      // zero: until it is taken back
	Reason    string    `json:"reason,omitempty"`
	By        string    `json:"by"`
	Hide      bool      `json:"hide,omitempty"` // of a kick: the user's messages are deleted
}

// holds reports whether the restriction is in force at a time.
func (r *Restriction) holds(now time.Time) bool {
	return r != nil && (r.Until.IsZero() || r.Until.After(now))
}

// sign tells what IM has to be told of a restriction; "" nothing.
func (r *Restriction) sign(now time.Time) string {
	switch {
	case !r.holds(now):
		return ""
	case r.Until.IsZero():
		return "forever"
	}
	return r.Until.Format(time.RFC3339)
}

// span is how long from now on it holds.
func (r *Restriction) span(now time.Time) time.Duration {
	switch {
	case !r.holds(now):
		return 0
	case r.Until.IsZero():
		return im.Forever
	}
	return r.Until.Sub(now)
}

// restrictions are all that a user is under, or was.
func (m memberRecord) restrictions() []*Restriction {
	all := []*Restriction{m.Mute, m.Kick}
	for _, r := range m.Mutes {
		all = append(all, r)
	}
	return slices.DeleteFunc(all, func(r *Restriction) bool { return r == nil })
}

// at lists what holds at a time.
func (m memberRecord) at(now time.Time) (list []Restriction) {
	for _, r := range m.restrictions() {
		if r.holds(now) {
			list = append(list, *r)
		}
	}
	return list
}

// Wish is a request to restrict users of a community or to lift their restrictions.
type Wish struct {
	Kind      Kind
	Lift      bool
	Users     []string // at most MaxUsers; nil: everybody, who can only be muted, perhaps in one channel
	ChannelID string   // of a mute: in this channel alone
	For       time.Duration
	Reason    string
	Hide      bool // of a kick
}

func (w Wish) check() error {
	switch {
	case len(w.Users) > MaxUsers:
		return fault.New(fault.Invalid, "userIds is a list of at most %d users", MaxUsers)
	case len(w.Users) == 0 && w.Kind == Kick:
		return fault.New(fault.Invalid, "userId is missing: say who it is about")
	case w.ChannelID != "" && w.Kind == Kick:
		return fault.New(fault.Invalid, "channelId is for mutes alone")
	case w.For < 0 || w.For > MaxRestriction:
		return fault.New(fault.Invalid, "seconds is a number from 1 to %d; without it there is no end", int(MaxRestriction/time.Second))
	case len(w.Reason) > MaxReason || !clean(w.Reason):
		return fault.New(fault.Invalid, "reason is one line of at most %d bytes", MaxReason)
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

// Restrict restricts users of a community, or lifts their restrictions, and returns
// the restrictions of these users that are in force then. Each user is a commit of its
// own: after an error of the code Unavailable the first users may be done, and a retry
// is safe. Other errors are of the codes Invalid, NotFound and Forbidden, and change
// nothing.
func (c *Communities) Restrict(ctx context.Context, caller api.Caller, id string, w Wish) ([]Restriction, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	s, err := c.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := c.may(ctx, s, caller); err != nil {
		return nil, public(err)
	}
	short := ""
	if w.ChannelID != "" {
		ch, is := s.Channel(w.ChannelID)
		if !is {
			return nil, errNoCh
		}
		if ch.Kind == Private {
			return nil, fault.New(fault.Invalid, "a private channel has no mutes; mute the user in the whole community")
		}
		w.ChannelID, short = ch.ChannelID, ch.Short()
	}
	now := c.now()
	r := &Restriction{Kind: w.Kind, ChannelID: w.ChannelID, Reason: w.Reason, By: by(caller), Hide: w.Hide}
	if w.For > 0 {
		r.Until = now.Add(w.For).UTC().Truncate(time.Second)
	}
	if w.Lift {
		r = nil
	}
	list := []Restriction{}
	if len(w.Users) == 0 {
		if r != nil && short == "" && !r.Until.IsZero() {
			// IM knows no end of a mute of everybody: the clock ends it, and is told before
			// the mute is there.
			if err := c.endAt(ctx, s.id, r.Until); err != nil {
				return nil, public(err)
			}
		}
		_, err := c.edit(ctx, caller, id, func(s *seen) error {
			if short == "" {
				s.Muted = r
				return nil
			}
			// IM is not told: our rule before each message keeps people from writing.
			if _, is := s.Channel(w.ChannelID); !is {
				return errNoCh
			}
			in := make(map[string]*Restriction)
			for name, one := range s.MutedIn {
				if name != short && one.holds(now) {
					in[name] = one
				}
			}
			if r != nil {
				in[short] = r
			}
			s.MutedIn = in
			return nil
		})
		if r != nil {
			list = append(list, *r)
		}
		return list, err
	}
	for _, userID := range w.Users {
		m, err := c.member(ctx, s.Community, userID)
		switch {
		case err != nil:
			return nil, public(err)
		case userID == s.Owner:
			return nil, fault.New(fault.Invalid, "the owner of a community is not restricted in it")
		case slices.Contains(s.Roles[m.Role], Manage) && caller.Server == "" && caller.UserID != s.Owner:
			return nil, fault.New(fault.Forbidden, "only servers and the owner restrict members who manage")
		}
	}
	for _, userID := range w.Users {
		if short != "" && r != nil {
			// The channel knows who is muted in it, so that nothing is left of it when it
			// is deleted.
			partition, key := s.ChannelPartition(Channel{ChannelID: w.ChannelID}), mutedPrefix+userID
			if err := Note(ctx, c.store, partition, key, userID); err != nil {
				return nil, public(err)
			}
			if err := c.put(ctx, partition, key, []byte{}); err != nil {
				return nil, public(err)
			}
		}
		m, err := c.updateMember(ctx, s.Community, userID, func(m *memberRecord) error {
			one := r.of(userID)
			switch {
			case short != "":
				if m.Mutes == nil {
					m.Mutes = make(map[string]*Restriction)
				}
				m.Mutes[short] = one
				if one == nil {
					delete(m.Mutes, short)
				}
			case w.Kind == Mute:
				m.Mute = one
			default:
				m.Kick = one
				delete(m.Shown, "kick")
			}
			return nil
		})
		if err != nil {
			return nil, public(err)
		}
		list = append(list, m.at(now)...)
	}
	return list, nil
}

// endAt has a community looked at when a mute of everybody ends: by a job to the second,
// or by the clock within a minute.
func (c *Communities) endAt(ctx context.Context, communityID string, until time.Time) error {
	id := communityID + " " + decimal(until.Unix())
	if err := c.mutes.Guard(ctx, id, until); err != nil {
		return err
	}
	body, err := json.Marshal(id)
	if err != nil || c.conf.Jobs == nil {
		return err
	}
	if err := c.conf.Jobs.Put(ctx, queue.Job{ID: Mutes.Job + "/" + id, Kind: Mutes.Job, Lane: Mutes.Lane, NotBefore: until, Body: body}); err != nil {
		slog.WarnContext(ctx, "end of a mute of everybody deferred to the clock", "error", err.Error())
	}
	return nil
}

// of is the restriction of one user.
func (r *Restriction) of(userID string) *Restriction {
	if r == nil {
		return nil
	}
	one := *r
	one.UserID = userID
	return &one
}

// Restrictions returns a user's restrictions to servers, to callers who manage and to
// the user. Errors are of the codes NotFound, Forbidden, Invalid and Unavailable.
func (c *Communities) Restrictions(ctx context.Context, caller api.Caller, id, userID string) ([]Restriction, error) {
	if err := checkUser("the user", userID); err != nil {
		return nil, err
	}
	s, err := c.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if caller.UserID != userID {
		if err := c.may(ctx, s, caller); err != nil {
			return nil, public(err)
		}
	}
	m, err := c.member(ctx, s.Community, userID)
	if err != nil {
		return nil, public(err)
	}
	list := append([]Restriction{}, m.at(c.now())...)
	if s.Muted.holds(c.now()) {
		list = append(list, *s.Muted)
	}
	for _, ch := range s.Channels() {
		if one := s.MutedIn[ch.Short()]; one.holds(c.now()) {
			list = append(list, *one)
		}
	}
	return list, nil
}

// Keys in the partition of a channel.
const (
	mutedPrefix   = "muted/"   // muted/USERID: has been muted in this channel
	invitedPrefix = "invited/" // invited/USERID: of a private channel
	slowPrefix    = "slow/"    // slow/USERID: when the user's last message was delivered
	readPrefix    = "read/"    // read/USERID: the last message that the user has read
	recalledItem  = "recalled" // the newest recalled messages
)

// put writes an item whatever was there.
func (c *Communities) put(ctx context.Context, partition, key string, value []byte) error {
	for range tries {
		cond := kv.Absent()
		item, err := c.store.Get(ctx, partition, key)
		switch {
		case err == nil && string(item.Value) == string(value):
			return nil
		case err == nil:
			cond = kv.Rev(item.Rev)
		case !errors.Is(err, kv.ErrNotFound):
			return err
		}
		if err := c.store.Commit(ctx, partition, newOp(), kv.Put{Key: key, Value: value, If: cond}); !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// clearMutes takes the mutes of a channel that is deleted off its users.
func (c *Communities) clearMutes(ctx context.Context, is Community, ch Channel) error {
	for after := ""; ; {
		page, err := c.store.List(ctx, is.ChannelPartition(ch), kv.Range{Prefix: mutedPrefix, After: after})
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if _, err := c.changeMember(ctx, is, strings.TrimPrefix(item.Key, mutedPrefix), func(m *memberRecord) error {
				delete(m.Mutes, ch.Short())
				delete(m.Shown, "mute "+ch.Short())
				return nil
			}); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

// settleMember brings IM in step with a member.
func (c *Communities) settleMember(ctx context.Context, id string) error {
	communityID, userID, _ := strings.Cut(id, " ")
	if completeID(communityID) != communityID || userID == "" {
		return errors.New("community: discarded malformed job: no member")
	}
	if c.conf.IM == nil {
		return errNoIM
	}
	s, err := c.find(ctx, communityID)
	if err != nil {
		if fault.CodeOf(err) == fault.NotFound {
			return nil
		}
		return err
	}
	ctx, release, err := process.Hold(ctx, c.store, c.now(), s.partitionOfMember(userID), handPrefix+userID)
	if err != nil {
		return err
	}
	defer release()
	for range tries {
		m, _, err := c.loadMember(ctx, s.Community, userID)
		if err != nil || m.Want == m.Done {
			return err
		}
		if m.Role != m.Shown["role"] && m.Role != "" {
			// Whoever gave the role may have seen it before it was deleted.
			if s, err = c.find(ctx, communityID); err != nil {
				return err
			}
			if _, is := s.Roles[m.Role]; !is {
				if _, err := c.changeMember(ctx, s.Community, userID, func(now *memberRecord) error {
					if now.Role == m.Role {
						now.Role = ""
					}
					return nil
				}); err != nil {
					return err
				}
				continue
			}
		}
		told, err := c.tell(ctx, s, m, userID)
		if err != nil {
			return err
		}
		now, err := c.changeMember(ctx, s.Community, userID, func(now *memberRecord) error {
			now.Done = m.Want
			now.Shown = maps.Clone(told)
			if now.Want != m.Want {
				delete(now.Shown, "kick") // the user may have come in again since
			}
			return nil
		})
		if err != nil || now.Want == now.Done {
			return err
		}
	}
	return errBusy
}

// tell tells IM what has changed of a member, and returns what it was told then. A
// thing that IM refuses for good holds here all the same.
func (c *Communities) tell(ctx context.Context, s *seen, m memberRecord, userID string) (told map[string]string, err error) {
	now := c.now()
	told = make(map[string]string)
	steps := []struct {
		about, want string
		do          func(was string) error
	}{
		{"role", m.Role, func(was string) error { return c.tellRole(ctx, s, m, userID, was) }},
		{"mute", m.Mute.sign(now), func(string) error {
			_, err := c.conf.IM.ForbidSendMsg(ctx, s.id, "", []string{userID}, m.Mute.span(now))
			return err
		}},
		{"kick", m.Kick.sign(now), func(string) error {
			if !m.Kick.holds(now) {
				return nil
			}
			return c.takeOut(ctx, s, m, userID)
		}},
	}
	for _, ch := range s.Channels() {
		r := m.Mutes[ch.Short()]
		if r == nil && m.Shown["mute "+ch.Short()] == "" || ch.Kind == Private {
			continue
		}
		steps = append(steps, struct {
			about, want string
			do          func(was string) error
		}{"mute " + ch.Short(), r.sign(now), func(string) error {
			_, err := c.conf.IM.ForbidSendMsg(ctx, s.id, ch.TopicID, []string{userID}, r.span(now))
			return err
		}})
	}
	for _, step := range steps {
		was := m.Shown[step.about]
		if step.about == "role" {
			was += m.Shown[rolesUnsure]
		}
		if was != step.want {
			err := step.do(was)
			if im.Lasting(err) {
				slog.WarnContext(ctx, "IM refuses a restriction of a member; our rules enforce it", "about", step.about, "error", err.Error())
			} else if err != nil {
				return nil, err
			}
		}
		if step.want != "" {
			told[step.about] = step.want
		}
	}
	return told, nil
}

// tellRole shows a role in the member's field, and in IM's permission groups. was are
// the roles that IM may show, with slashes between them.
func (c *Communities) tellRole(ctx context.Context, s *seen, m memberRecord, userID, was string) error {
	if c.conf.PermissionGroups {
		for one := range strings.SplitSeq(was, "/") {
			if one == "" || one == m.Role {
				continue
			}
			if _, err := c.conf.IM.DeletePermissionGroupMembers(ctx, s.id, permissionGroup(one), userID); err != nil && !im.Lasting(err) {
				return err
			}
		}
		if m.Role != "" {
			if _, err := c.conf.IM.AddPermissionGroupMembers(ctx, s.id, permissionGroup(m.Role), userID); err != nil && !im.Lasting(err) {
				return err
			}
		}
	}
	if c.conf.RoleField == "" || !m.in() {
		return nil
	}
	return c.conf.IM.ModifyGroupMember(ctx, s.id, userID, im.MemberChange{Data: map[string]string{c.conf.RoleField: m.Role}})
}

// takeOut removes a kicked user from the community, its private channels and its
// sub-channels. IM has no ban for communities: whoever joins is asked about.
func (c *Communities) takeOut(ctx context.Context, s *seen, m memberRecord, userID string) error {
	_, err := c.conf.IM.DeleteGroupMembers(ctx, s.id, []string{userID}, m.Kick.Reason, false)
	if err != nil && !im.Lasting(err) {
		return err
	}
	if m.Kick.Hide {
		if err := c.hide(ctx, s, userID); err != nil {
			return err
		}
	}
	return c.leave(ctx, s.Community, userID)
}

// leave takes users who are no members any more out of private channels and of what
// companions keep.
func (c *Communities) leave(ctx context.Context, is Community, userIDs ...string) error {
	for _, ch := range is.Channels() {
		if ch.Kind != Private {
			continue
		}
		for _, userID := range userIDs {
			if err := c.uninvite(ctx, is, ch, userID); err != nil {
				return err
			}
		}
	}
	for _, one := range c.companions {
		if err := one.Left(ctx, is, userIDs); err != nil {
			return err
		}
	}
	return nil
}

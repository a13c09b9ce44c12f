package community

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
)

// edit changes a community as f says, for a caller who may, and has IM show it
// before it returns. Where IM does not work at the moment, the change is made all
// the same and IM follows.
func (c *Communities) edit(ctx context.Context, caller api.Caller, id string, f func(s *seen) error) (Community, error) {
	s, err := c.change(ctx, id, func(s *seen) error {
		if err := c.may(ctx, s, caller); err != nil {
			return err
		}
		return f(s)
	})
	if err != nil {
		return Community{}, err
	}
	if err := c.settleNow(ctx, s.id); err != nil {
		slog.WarnContext(ctx, "IM not updated after an edit of a community; a job retries", "error", err.Error())
		wake(ctx, c.looks, s.id)
	}
	return s.Community, nil
}

// ChannelEdit is a change of a channel; nil fields change nothing.
type ChannelEdit struct {
	Name            *string
	Category        *string // made if it does not exist
	Kind            *ChannelKind
	SlowModeSeconds *int
	Position        *int // in its category; beyond the end is the end
	Version         int64
}

// ensureCategory returns the index of a category, which is made if need be.
func (s *seen) ensureCategory(name string) (int, error) {
	if i := s.category(name); i >= 0 {
		return i, nil
	}
	if err := checkName("a category", name); err != nil {
		return 0, err
	}
	s.Categories = append(s.Categories, Category{Name: name, Channels: []Channel{}})
	if _, err := s.categoryField(); err != nil {
		return 0, err
	}
	return len(s.Categories) - 1, nil
}

// place puts a channel into a category at a position.
func (s *seen) place(category int, ch Channel, position *int) {
	list := s.Categories[category].Channels
	at := len(list)
	if position != nil && *position < at {
		at = *position
	}
	s.Categories[category].Channels = slices.Insert(slices.Clone(list), at, ch)
	s.number()
}

// defaultCategory is where a channel goes that names none: the first, or one made.
func (s *seen) defaultCategory() string {
	if len(s.Categories) > 0 {
		return s.Categories[0].Name
	}
	return "Channels"
}

// CreateChannel makes a channel. The same caller with the same idempotency key gets
// the same channel again. Errors are of the codes NotFound, Forbidden, Invalid,
// Conflict where the version is not the latest, and Unavailable.
func (c *Communities) CreateChannel(ctx context.Context, caller api.Caller, key, id string, e ChannelEdit) (Community, error) {
	ch := Channel{Kind: Text}
	if e.Name != nil {
		ch.Name = *e.Name
	}
	if e.Kind != nil {
		ch.Kind = *e.Kind
	}
	if e.SlowModeSeconds != nil {
		ch.SlowModeSeconds = *e.SlowModeSeconds
	}
	if err := checkChannel(ch.Name, ch.Kind, ch.SlowModeSeconds); err != nil {
		return Community{}, err
	}
	return c.edit(ctx, caller, id, func(s *seen) error {
		made := s.newChannel("c"+digest(caller.Server, caller.UserID, key, decimal(s.Community.Generation))[:16], ch.Name, ch.Kind, ch.SlowModeSeconds)
		if _, _, is := s.locate(made.ChannelID); is {
			return nil // by an earlier try
		}
		if err := s.checkVersion(e.Version); err != nil {
			return err
		}
		if len(s.Channels()) >= MaxChannels {
			return fault.New(fault.Invalid, "a community has at most %d channels; delete one first", MaxChannels)
		}
		if slices.ContainsFunc(s.Removed, func(gone Channel) bool { return gone.ChannelID == made.ChannelID }) {
			return fault.New(fault.Conflict, "the channel of this Idempotency-Key is being deleted; use a new key")
		}
		name := s.defaultCategory()
		if e.Category != nil {
			name = *e.Category
		}
		i, err := s.ensureCategory(name)
		if err != nil {
			return err
		}
		s.place(i, made, e.Position)
		s.Version++
		return nil
	})
}

// EditChannel renames, moves or otherwise changes a channel of a community of this
// version. Errors are those of CreateChannel.
func (c *Communities) EditChannel(ctx context.Context, caller api.Caller, id, channelID string, e ChannelEdit) (Community, error) {
	return c.edit(ctx, caller, id, func(s *seen) error {
		ch, is := s.Channel(channelID)
		if !is {
			return errNoCh
		}
		i, j, _ := s.locate(ch.ChannelID)
		if err := s.checkVersion(e.Version); err != nil {
			return err
		}
		if e.Kind != nil && *e.Kind != ch.Kind {
			if *e.Kind == Private || ch.Kind == Private {
				return fault.New(fault.Invalid, "a channel stays private or public; make another channel")
			}
			ch.Kind = *e.Kind
		}
		if e.Name != nil {
			ch.Name = *e.Name
		}
		if e.SlowModeSeconds != nil {
			ch.SlowModeSeconds = *e.SlowModeSeconds
		}
		if err := checkChannel(ch.Name, ch.Kind, ch.SlowModeSeconds); err != nil {
			return err
		}
		to := i
		if e.Category != nil {
			var err error
			if to, err = s.ensureCategory(*e.Category); err != nil {
				return err
			}
		}
		if e.Position == nil && to == i {
			list := slices.Clone(s.Categories[i].Channels)
			list[j] = ch
			s.Categories[i].Channels = list
		} else {
			s.Categories[i].Channels = slices.Delete(slices.Clone(s.Categories[i].Channels), j, j+1)
			s.place(to, ch, e.Position)
		}
		s.Version++
		return nil
	})
}

// DeleteChannel deletes a channel with every record about it. version 0 is any. Errors
// are those of CreateChannel.
func (c *Communities) DeleteChannel(ctx context.Context, caller api.Caller, id, channelID string, version int64) (Community, error) {
	return c.edit(ctx, caller, id, func(s *seen) error {
		ch, is := s.Channel(channelID)
		if !is {
			return errNoCh
		}
		if err := s.checkVersion(version); err != nil {
			return err
		}
		i, j, _ := s.locate(ch.ChannelID)
		s.drop(i, j)
		s.Version++
		return nil
	})
}

// CategoryEdit is a change of a category; nil fields change nothing.
type CategoryEdit struct {
	Name     *string
	Position *int // beyond the end is the end
	Version  int64
}

var errNoCategory = fault.New(fault.NotFound, "there is no such category in this community")

// CreateCategory makes a category. Errors are of the codes NotFound, Forbidden,
// Invalid, Conflict where the version is not the latest or the name is taken, and
// Unavailable.
func (c *Communities) CreateCategory(ctx context.Context, caller api.Caller, id string, e CategoryEdit) (Community, error) {
	if e.Name == nil {
		return Community{}, fault.New(fault.Invalid, "name is missing")
	}
	return c.edit(ctx, caller, id, func(s *seen) error {
		if err := s.checkVersion(e.Version); err != nil {
			return err
		}
		if s.category(*e.Name) >= 0 {
			return fault.New(fault.Conflict, "there is a category of this name")
		}
		i, err := s.ensureCategory(*e.Name)
		if err != nil {
			return err
		}
		s.moveCategory(i, e.Position)
		s.Version++
		return nil
	})
}

func (s *seen) moveCategory(from int, to *int) {
	if to == nil {
		return
	}
	one := s.Categories[from]
	list := slices.Delete(slices.Clone(s.Categories), from, from+1)
	s.Categories = slices.Insert(list, min(*to, len(list)), one)
}

// EditCategory renames or moves a category. Errors are those of CreateCategory.
func (c *Communities) EditCategory(ctx context.Context, caller api.Caller, id, name string, e CategoryEdit) (Community, error) {
	return c.edit(ctx, caller, id, func(s *seen) error {
		i := s.category(name)
		if i < 0 {
			return errNoCategory
		}
		if err := s.checkVersion(e.Version); err != nil {
			return err
		}
		if e.Name != nil && *e.Name != name {
			if err := checkName("a category", *e.Name); err != nil {
				return err
			}
			if s.category(*e.Name) >= 0 {
				return fault.New(fault.Conflict, "there is a category of this name")
			}
			s.Categories[i].Name = *e.Name
			if _, err := s.categoryField(); err != nil {
				return err
			}
		}
		s.moveCategory(i, e.Position)
		s.Version++
		return nil
	})
}

// DeleteCategory deletes a category without channels. Errors are those of
// CreateCategory.
func (c *Communities) DeleteCategory(ctx context.Context, caller api.Caller, id, name string, version int64) (Community, error) {
	return c.edit(ctx, caller, id, func(s *seen) error {
		i := s.category(name)
		if i < 0 {
			return errNoCategory
		}
		if err := s.checkVersion(version); err != nil {
			return err
		}
		if len(s.Categories[i].Channels) > 0 {
			return fault.New(fault.Invalid, "the category has channels; move or delete them first")
		}
		s.Categories = slices.Delete(slices.Clone(s.Categories), i, i+1)
		s.Version++
		return nil
	})
}

// Rename changes the name of a community. Errors are those of CreateCategory.
func (c *Communities) Rename(ctx context.Context, caller api.Caller, id, name string, version int64) (Community, error) {
	if name == "" || len(name) > im.MaxGroupName || !clean(name) {
		return Community{}, fault.New(fault.Invalid, "name is a text of 1 to %d bytes without control characters", im.MaxGroupName)
	}
	return c.edit(ctx, caller, id, func(s *seen) error {
		if err := s.checkVersion(version); err != nil {
			return err
		}
		s.Name = name
		s.Version++
		return nil
	})
}

// Delete dissolves a community. Only servers and the owner may. Errors are of the
// codes NotFound, Forbidden, Conflict and Unavailable.
func (c *Communities) Delete(ctx context.Context, caller api.Caller, id string, version int64) error {
	s, err := c.change(ctx, id, func(s *seen) error {
		if caller.Server == "" && caller.UserID != s.Owner {
			return fault.New(fault.Forbidden, "only servers and the owner may delete a community")
		}
		if err := s.checkVersion(version); err != nil {
			return err
		}
		s.Community.Closed = true
		s.Version++
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.settleNow(ctx, s.id); err != nil {
		slog.WarnContext(ctx, "group of a deleted community not dissolved; a job retries", "error", err.Error())
		wake(ctx, c.looks, s.id)
	}
	return nil
}

// SetRole makes a role, or changes its permissions. Only servers and the owner may do
// so for a role that manages, before or after. Errors are of the codes NotFound,
// Forbidden, Invalid, Conflict while a role of the same name is being deleted, and
// Unavailable.
func (c *Communities) SetRole(ctx context.Context, caller api.Caller, id, role string, permissions []Permission) (Role, error) {
	ordered, err := checkRole(role, permissions)
	if err != nil {
		return Role{}, err
	}
	_, err = c.edit(ctx, caller, id, func(s *seen) error {
		was, is := s.Roles[role]
		if (slices.Contains(ordered, Manage) || slices.Contains(was, Manage)) && caller.Server == "" && caller.UserID != s.Owner {
			return fault.New(fault.Forbidden, "only servers and the owner may change a role that has the permission manage")
		}
		if slices.Contains(s.LostRoles, role) {
			return fault.New(fault.Conflict, "the role of this name is being deleted; send the same request again").After(roleGone)
		}
		if !is && len(s.Roles)+len(s.LostRoles) >= MaxRoles {
			return fault.New(fault.Invalid, "a community has at most %d roles", MaxRoles)
		}
		if s.Roles == nil {
			s.Roles = make(map[string][]Permission)
		}
		s.Roles[role] = ordered
		return nil
	})
	return Role{role, ordered}, err
}

// roleGone is how soon a role of the same name may be made anew, about.
const roleGone = 5 * time.Second

// DeleteRole deletes a role. Its members are without a role at once; the job that
// changes IM removes the role from each member's record. Only servers and the owner
// delete a role that manages. Errors are of the codes NotFound, Forbidden and
// Unavailable.
func (c *Communities) DeleteRole(ctx context.Context, caller api.Caller, id, role string) error {
	_, err := c.edit(ctx, caller, id, func(s *seen) error {
		was, is := s.Roles[role]
		if !is {
			return errNoRole
		}
		if slices.Contains(was, Manage) && caller.Server == "" && caller.UserID != s.Owner {
			return fault.New(fault.Forbidden, "only servers and the owner may change a role that has the permission manage")
		}
		delete(s.Roles, role)
		s.LostRoles = append(s.LostRoles, role)
		return nil
	})
	return err
}

// ListRoles returns the roles of a community, to members and servers.
func (c *Communities) ListRoles(ctx context.Context, caller api.Caller, id string) ([]Role, error) {
	s, err := c.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := c.inside(ctx, s.Community, caller); err != nil {
		return nil, err
	}
	list := []Role{}
	for name, permissions := range s.Roles {
		list = append(list, Role{name, permissions})
	}
	slices.SortFunc(list, func(a, b Role) int { return cmp.Compare(a.Role, b.Role) })
	return list, nil
}

// ChangePins lets f change the pinned messages of a channel, the newest first, for a
// caller who may manage, and returns them. f may be called more than once.
func (c *Communities) ChangePins(ctx context.Context, caller api.Caller, id, channelID string, f func(pins []uint32) ([]uint32, error)) (pins []uint32, err error) {
	_, err = c.edit(ctx, caller, id, func(s *seen) error {
		ch, is := s.Channel(channelID)
		if !is {
			return errNoCh
		}
		if pins, err = f(slices.Clone(s.Pins[ch.Short()])); err != nil {
			return err
		}
		return s.setPins(ch, pins)
	})
	return pins, err
}

func (s *seen) setPins(ch Channel, pins []uint32) error {
	if s.Pins == nil {
		s.Pins = make(map[string][]uint32)
	}
	s.Pins[ch.Short()] = pins
	if len(pins) == 0 {
		delete(s.Pins, ch.Short())
	}
	all := 0
	for _, list := range s.Pins {
		all += len(list)
	}
	if len(pins) > MaxPins || all > MaxAllPins {
		return fault.New(fault.Invalid, "a channel has at most %d pinned messages, and a community %d; unpin one first", MaxPins, MaxAllPins)
	}
	return nil
}

// Unpinned removes recalled messages from the pins of a channel.
func (c *Communities) Unpinned(ctx context.Context, is Community, ch Channel, seqs []uint32) error {
	some := false
	s, err := c.load(ctx, is.CommunityID)
	if err != nil || s.Community.Generation != is.Generation {
		return err
	}
	for _, seq := range seqs {
		some = some || slices.Contains(s.Pins[ch.Short()], seq)
	}
	if !some {
		return nil
	}
	if err := c.looks.Guard(ctx, s.id, c.now().Add(guardAfter)); err != nil {
		return err
	}
	if err := c.note(ctx, s.id, is.Generation, func(now *seen) {
		_ = now.setPins(ch, slices.DeleteFunc(slices.Clone(now.Pins[ch.Short()]), func(seq uint32) bool { return slices.Contains(seqs, seq) }))
	}); err != nil {
		return err
	}
	wake(ctx, c.looks, s.id)
	return nil
}

// Pins returns the pinned messages of a channel, the newest first.
func (c *Communities) Pins(ctx context.Context, is Community, ch Channel) ([]uint32, error) {
	s, err := c.find(ctx, is.CommunityID)
	if err != nil {
		return nil, err
	}
	return s.Pins[ch.Short()], nil
}

package community

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
)

const handItem = "hand"

// settle brings IM in step with a community.
func (c *Communities) settle(ctx context.Context, id string) error {
	if completeID(id) != id {
		return errors.New("community: discarded malformed job: no communityId")
	}
	if c.conf.IM == nil {
		return errNoIM
	}
	ctx, release, err := process.Hold(ctx, c.store, c.now(), partitionOf(id), handItem)
	if err != nil {
		return err
	}
	defer release()
	for range tries {
		s, err := c.load(ctx, id)
		if err == nil && (s.none() || s.Gone || s.Refused != "" || s.Made && s.settledIn(c)) {
			return nil
		}
		if err == nil {
			err = c.pass(ctx, s)
		}
		if err == errMore {
			if err := c.looks.Guard(ctx, id, c.now().Add(guardAfter)); err != nil {
				return err
			}
			wake(ctx, c.looks, id)
			return nil
		}
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// pass does what a community, as it was seen, leaves to do.
func (c *Communities) pass(ctx context.Context, s *seen) error {
	if !s.Made {
		return c.make(ctx, s)
	}
	var err error
	if s.Community.Closed {
		err = c.dissolve(ctx, s)
	} else {
		err = c.mirror(ctx, s)
	}
	if errors.Is(err, im.CodeGroupGone) && !s.Gone {
		slog.WarnContext(ctx, "the group of a community is gone; the community is closed")
		if err := c.note(ctx, s.id, s.Community.Generation, func(now *seen) { now.Community.Closed = true }); err != nil {
			return err
		}
		return kv.ErrConflict // retries, which clears away
	}
	return err
}

// custom is the CustomString of a channel's topic, in the guide's form.
func custom(category string, ch Channel) string {
	text, err := encode(struct {
		Category string      `json:"category"`
		Type     ChannelKind `json:"type"`
		SlowMode int         `json:"slowModeSeconds,omitempty"`
	}{category, ch.Kind, ch.SlowModeSeconds})
	if err != nil {
		return "" // no such value
	}
	return text
}

// wanted is what IM is to show of each channel, by short name.
func (s *seen) wanted(pinField string) map[string]shownChannel {
	list := make(map[string]shownChannel)
	for _, category := range s.Categories {
		for _, ch := range category.Channels {
			is := shownChannel{Name: ch.Name}
			if ch.Kind == Private {
				if pinField != "" {
					is.Pins = pinText(map[string][]uint32{ch.Short(): s.Pins[ch.Short()]}, []string{ch.Short()})
				}
			} else {
				is.Custom = custom(category.Name, ch)
			}
			list[ch.Short()] = is
		}
	}
	return list
}

// pinText writes pinned messages as {"channel":[MsgSeq, ...]}, the newest first, as
// many as a group field holds; "" if nothing is pinned.
func pinText(pins map[string][]uint32, channels []string) string {
	shown := make(map[string][]uint32)
	text := ""
	for i := range MaxPins { // the newest of each channel, then the second of each
		for _, short := range channels {
			if i >= len(pins[short]) {
				continue
			}
			shown[short] = append(shown[short], pins[short][i])
			next, err := encode(shown)
			if err != nil || len(next) > MaxField {
				return text
			}
			text = next
		}
	}
	return text
}

// topPins is what the community's own field shows: private channels have theirs.
func (s *seen) topPins() string {
	var public []string
	for _, ch := range s.Channels() {
		if ch.Kind != Private {
			public = append(public, ch.Short())
		}
	}
	return pinText(s.Pins, public)
}

// settled reports whether the channels of a community stand in IM.
func (s *seen) settled() bool {
	return len(s.Removed) == 0 && len(s.Shown.Channels) == len(s.Channels())
}

// settledIn reports whether IM shows all that the community says.
func (s *seen) settledIn(c *Communities) bool {
	if s.Community.Closed || len(s.Removed) > 0 || len(s.LostRoles) > 0 || s.Shown.Name != s.Name || s.Shown.MutedUnsure || s.Shown.Muted != s.Muted.holds(c.now()) {
		return false
	}
	if !maps.Equal(s.wanted(c.conf.PinField), s.Shown.Channels) {
		return false
	}
	if c.conf.PermissionGroups && !maps.Equal(s.rights(), s.Shown.Roles) {
		return false
	}
	return len(c.fields(s)) == 0
}

// fields are the group fields that have to change.
func (c *Communities) fields(s *seen) map[string]string {
	changed := make(map[string]string)
	if c.conf.CategoryField != "" {
		if text, err := s.categoryField(); err == nil && text != s.Shown.Categories {
			changed[c.conf.CategoryField] = text
		}
	}
	if c.conf.PinField != "" {
		if text := s.topPins(); text != s.Shown.Pins {
			changed[c.conf.PinField] = text
		}
	}
	return changed
}

// mirror has IM show what the community says. What was done is remembered also
// where a later step fails.
func (c *Communities) mirror(ctx context.Context, s *seen) error {
	done := shown{Channels: make(map[string]shownChannel), Roles: make(map[string]im.Permission)}
	var cleared []string
	err := c.mirrorChannels(ctx, s, done.Channels)
	bases := make(map[string]uint32)
	for _, ch := range s.Channels() {
		_, was := s.Shown.Channels[ch.Short()]
		if _, is := done.Channels[ch.Short()]; err == nil && is && !was {
			bases[ch.Short()], err = c.lastSeq(ctx, s, ch)
		}
	}
	if err == nil {
		for _, ch := range s.Removed {
			if err = c.remove(ctx, s, ch); err != nil {
				break
			}
			cleared = append(cleared, ch.ChannelID)
		}
	}
	if err == nil {
		err = c.mirrorGroup(ctx, s, &done)
	}
	if err == nil && c.conf.PermissionGroups {
		err = c.mirrorRoles(ctx, s, done.Roles)
	}
	var freed []string
	more := false
	if err == nil {
		freed, more, err = c.freeRoles(ctx, s)
	}
	noted := c.note(ctx, s.id, s.Community.Generation, func(now *seen) {
		now.LostRoles = slices.DeleteFunc(now.LostRoles, func(role string) bool { return slices.Contains(freed, role) })
		if now.Shown.Channels == nil {
			now.Shown.Channels = make(map[string]shownChannel)
		}
		if now.Shown.Roles == nil {
			now.Shown.Roles = make(map[string]im.Permission)
		}
		maps.Copy(now.Shown.Channels, done.Channels)
		for short, last := range bases {
			now.setBase(short, last)
		}
		maps.Copy(now.Shown.Roles, done.Roles)
		now.Removed = slices.DeleteFunc(now.Removed, func(ch Channel) bool { return slices.Contains(cleared, ch.ChannelID) })
		for _, id := range cleared {
			delete(now.Shown.Channels, shortOf(id))
			delete(now.Pins, shortOf(id))
			delete(now.Base, shortOf(id))
		}
		for role := range now.Shown.Roles {
			if _, is := now.Roles[role]; !is {
				delete(now.Shown.Roles, role)
			}
		}
		if err == nil {
			now.Shown.Name, now.Shown.Categories, now.Shown.Pins = done.Name, done.Categories, done.Pins
			now.Shown.Muted, now.Shown.MutedUnsure = done.Muted, false
		}
	})
	if err == nil && noted == nil && more {
		return errMore
	}
	return errors.Join(err, noted)
}

// errMore says that a pass has left something to another job.
var errMore = errors.New("community: members are left that lose a role")

// rolesPerPass bounds the members that one pass takes a deleted role off: another job
// goes on.
const rolesPerPass = 100

// freeRoles takes deleted roles off their members, and ends their permission groups. It
// returns the roles that nobody has any more, and whether members are left.
func (c *Communities) freeRoles(ctx context.Context, s *seen) (freed []string, more bool, err error) {
	left := rolesPerPass
	for _, role := range s.LostRoles {
		prefix := rolePrefix + role + "/"
		for shard := range shards {
			if left == 0 {
				return freed, true, nil
			}
			page, err := c.store.List(ctx, s.memberPartition(shard), kv.Range{Prefix: prefix, Limit: left})
			if err != nil {
				return freed, false, err
			}
			for _, item := range page.Items {
				if _, err := c.updateMember(ctx, s.Community, strings.TrimPrefix(item.Key, prefix), func(m *memberRecord) error {
					if m.Role == role {
						m.Role = ""
					}
					return nil
				}); err != nil {
					return freed, false, err
				}
			}
			if page.Next != "" {
				return freed, true, nil
			}
			left -= len(page.Items)
		}
		if c.conf.PermissionGroups {
			if _, err := c.conf.IM.DestroyPermissionGroups(ctx, s.id, permissionGroup(role)); err != nil && !im.Lasting(err) {
				return freed, false, err
			}
		}
		freed = append(freed, role)
	}
	return freed, false, nil
}

func (c *Communities) mirrorChannels(ctx context.Context, s *seen, done map[string]shownChannel) error {
	wanted := s.wanted(c.conf.PinField)
	for _, ch := range s.Channels() {
		want := wanted[ch.Short()]
		has, is := s.Shown.Channels[ch.Short()]
		if is && has == want {
			continue
		}
		var err error
		switch {
		case ch.Kind == Private && !is:
			err = c.createPrivate(ctx, s, ch)
			if err == nil {
				want.Pins = ""
			}
		case ch.Kind == Private:
			err = c.conf.IM.ModifyGroup(ctx, ch.GroupID, im.GroupChange{Name: &want.Name, Data: c.pinData(want.Pins)})
		case !is:
			_, err = c.conf.IM.CreateTopic(ctx, im.NewTopic{GroupID: s.id, TopicID: ch.TopicID, Name: want.Name, Creator: s.Owner, CustomString: want.Custom})
			if errors.Is(err, im.CodeGroupIDTaken) { // by an earlier try of ours, perhaps with other texts
				err = c.modifyTopic(ctx, s.id, ch.TopicID, want)
			}
		default:
			err = c.modifyTopic(ctx, s.id, ch.TopicID, want)
		}
		if im.Lasting(err) && !errors.Is(err, im.CodeGroupGone) {
			// IM has its reasons, which no repeat changes; the others go on.
			slog.ErrorContext(ctx, "IM refuses a channel", "error", err.Error())
			err = nil
		}
		if err != nil {
			return err
		}
		done[ch.Short()] = want
	}
	return nil
}

func (c *Communities) modifyTopic(ctx context.Context, id, topicID string, want shownChannel) error {
	return c.conf.IM.ModifyTopic(ctx, id, topicID, im.TopicChange{Name: &want.Name, CustomString: &want.Custom})
}

func (c *Communities) pinData(text string) map[string]string {
	if c.conf.PinField == "" {
		return nil
	}
	return map[string]string{c.conf.PinField: text}
}

func (c *Communities) createPrivate(ctx context.Context, s *seen, ch Channel) error {
	if err := c.Bind(ctx, Binding{GroupID: ch.GroupID, CommunityID: s.id, Generation: s.Community.Generation, ChannelID: ch.ChannelID}); err != nil {
		return err
	}
	_, err := c.conf.IM.CreateGroup(ctx, im.NewGroup{Type: im.Work, GroupID: ch.GroupID, Name: ch.Name, Owner: s.Owner})
	return err
}

// mirrorGroup changes the group's name, fields and mute.
func (c *Communities) mirrorGroup(ctx context.Context, s *seen, done *shown) error {
	change, some := im.GroupChange{Data: c.fields(s)}, false
	if s.Shown.Name != s.Name {
		change.Name, some = &s.Name, true
	}
	muted := s.Muted.holds(c.now())
	if s.Shown.MutedUnsure || s.Shown.Muted != muted {
		change.MuteAll, some = &muted, true
	}
	if some || len(change.Data) > 0 {
		if err := c.conf.IM.ModifyGroup(ctx, s.id, change); im.Lasting(err) && !errors.Is(err, im.CodeGroupGone) {
			slog.ErrorContext(ctx, "IM refuses a community's name or fields", "error", err.Error())
		} else if err != nil {
			return err
		}
	}
	done.Name, done.Muted, done.Categories, done.Pins = s.Name, muted, s.Shown.Categories, s.Shown.Pins
	if text, is := change.Data[c.conf.CategoryField]; is && c.conf.CategoryField != "" {
		done.Categories = text
	}
	if text, is := change.Data[c.conf.PinField]; is && c.conf.PinField != "" {
		done.Pins = text
	}
	return nil
}

// remove deletes a channel in IM and everything that is kept about it.
func (c *Communities) remove(ctx context.Context, s *seen, ch Channel) error {
	if ch.Kind == Private {
		if err := c.conf.IM.DestroyGroup(ctx, ch.GroupID); err != nil && !im.Lasting(err) {
			return err
		}
	} else {
		results, err := c.conf.IM.DestroyTopics(ctx, s.id, ch.TopicID)
		if err != nil && !im.Lasting(err) || errors.Is(err, im.CodeGroupGone) {
			return err
		}
		for _, one := range results {
			if one.Code != 0 && one.Code != im.CodeTopicGone && !im.Lasting(one.Code) {
				return one.Code
			}
		}
	}
	return c.clear(ctx, s, ch)
}

// clear removes everything that is kept about a channel.
func (c *Communities) clear(ctx context.Context, s *seen, ch Channel) error {
	for _, one := range c.companions {
		if err := one.ChannelGone(ctx, s.Community, ch); err != nil {
			return err
		}
	}
	if err := c.clearMutes(ctx, s.Community, ch); err != nil {
		return err
	}
	if err := wipe(ctx, c.store, s.ChannelPartition(ch), ""); err != nil {
		return err
	}
	if ch.Kind == Private {
		return c.Unbind(ctx, ch.GroupID)
	}
	return nil
}

// dissolve ends a closed community: its group, the groups of its private channels,
// and what is kept about it. Its id is free then.
func (c *Communities) dissolve(ctx context.Context, s *seen) error {
	for _, one := range c.companions {
		if err := one.Gone(ctx, s.Community); err != nil {
			return err
		}
	}
	for _, ch := range append(s.Channels(), s.Removed...) {
		if ch.Kind == Private {
			if err := c.conf.IM.DestroyGroup(ctx, ch.GroupID); err != nil && !im.Lasting(err) {
				return err
			}
		}
		if err := c.clear(ctx, s, ch); err != nil {
			return err
		}
	}
	if err := c.conf.IM.DestroyGroup(ctx, s.id); err != nil && !im.Lasting(err) {
		return err
	}
	for shard := range shards {
		if err := wipe(ctx, c.store, s.memberPartition(shard), ""); err != nil {
			return err
		}
	}
	s.Gone = true
	s.Categories, s.Removed, s.Pins, s.Shown = []Category{}, nil, nil, shown{}
	return c.save(ctx, s)
}

// check compares what IM shows with the community, because a callback says that
// somebody else has changed it, and takes over what was changed there: a topic's
// name, and that a topic or the group is gone.
func (c *Communities) check(ctx context.Context, id string) error {
	if c.conf.IM == nil {
		return errNoIM
	}
	s, err := c.load(ctx, id)
	if err != nil || s.none() || !s.Made || s.Gone || s.Refused != "" || s.Community.Closed {
		return err
	}
	topics, err := c.conf.IM.Topics(ctx, id, s.Owner)
	switch {
	case errors.Is(err, im.CodeGroupGone):
		if err := c.note(ctx, id, s.Community.Generation, func(now *seen) { now.Community.Closed = true }); err != nil {
			return err
		}
		return c.settle(ctx, id)
	case err != nil:
		return err
	}
	is := make(map[string]im.Topic)
	for _, t := range topics {
		if t.Code == 0 {
			is[shortOf(t.TopicID)] = t
		}
	}
	err = c.note(ctx, id, s.Community.Generation, func(now *seen) {
		before := now.Version
		for i, category := range now.Categories {
			for j, ch := range category.Channels {
				t, there := is[ch.Short()]
				was, known := now.Shown.Channels[ch.Short()]
				if !there || !known || ch.Kind == Private || s.Shown.Channels[ch.Short()] != was {
					continue
				}
				if t.Name != was.Name && t.Name != "" && ch.Name == was.Name {
					now.Categories[i].Channels[j].Name = t.Name
					now.Version = before + 1
				}
				now.Shown.Channels[ch.Short()] = shownChannel{Name: t.Name, Custom: t.CustomString}
			}
		}
	})
	if err != nil {
		return err
	}
	return c.settle(ctx, id)
}

// gone drops channels whose topics somebody else has destroyed.
func (c *Communities) gone(ctx context.Context, id string, topicIDs []string) error {
	some := false
	s, err := c.load(ctx, id)
	if err != nil || s.none() || !s.Made || s.Community.Closed {
		return err
	}
	for _, topicID := range topicIDs {
		_, _, is := s.locate(topicID)
		some = some || is
	}
	if !some {
		return nil
	}
	if err := c.looks.Guard(ctx, id, c.now().Add(guardAfter)); err != nil {
		return err
	}
	err = c.note(ctx, id, s.Community.Generation, func(now *seen) {
		for _, topicID := range topicIDs {
			if i, j, is := now.locate(topicID); is {
				now.drop(i, j)
				now.Version++
			}
		}
	})
	if err != nil {
		return err
	}
	wake(ctx, c.looks, id)
	return nil
}

// drop takes a channel out of its category; IM's topic or group is deleted next.
func (s *seen) drop(category, position int) {
	list := s.Categories[category].Channels
	s.Removed = append(s.Removed, list[position])
	delete(s.MutedIn, list[position].Short())
	s.Categories[category].Channels = slices.Delete(slices.Clone(list), position, position+1)
}

// rights are the permissions of IM's permission groups, by role.
func (s *seen) rights() map[string]im.Permission {
	list := make(map[string]im.Permission)
	for role, permissions := range s.Roles {
		p := im.MaySeeHistory
		if slices.Contains(permissions, Post) {
			p |= im.MaySend
		}
		if slices.Contains(permissions, Manage) {
			p |= im.MayEditGroup | im.MayManageMembers | im.MayManageTopics | im.MayMute | im.MayMentionAll | im.MayRecallOthers | im.MayBan
		}
		list[role] = p
	}
	return list
}

// permissionGroup is the id of the permission group that mirrors a role.
func permissionGroup(role string) string {
	if strings.ContainsFunc(role, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "@PMG#_" + digest(role)[:20]
	}
	return "@PMG#_" + role
}

// codePermissionGroupTaken: a permission group with this id is there (1047/61232).
const codePermissionGroupTaken im.Code = 110009

func (c *Communities) mirrorRoles(ctx context.Context, s *seen, done map[string]im.Permission) error {
	for role, want := range s.rights() {
		has, is := s.Shown.Roles[role]
		if is && has == want {
			continue
		}
		_, err := c.conf.IM.CreatePermissionGroup(ctx, im.PermissionGroup{GroupID: s.id, ID: permissionGroup(role), Name: role, Permission: want})
		if errors.Is(err, codePermissionGroupTaken) {
			err = c.conf.IM.ModifyPermissionGroup(ctx, s.id, permissionGroup(role), im.PermissionGroupChange{Permission: &want})
		}
		if im.Lasting(err) && !errors.Is(err, im.CodeGroupGone) {
			slog.ErrorContext(ctx, "IM refuses a permission group", "error", err.Error())
		} else if err != nil {
			return err
		}
		done[role] = want
	}
	return nil
}

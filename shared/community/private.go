package community

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

// Binding says which private channel, or which sub-channel of the group form, a group
// belongs to.
type Binding struct {
	GroupID     string `json:"groupId"`
	CommunityID string `json:"communityId"`
	Generation  int64  `json:"generation"`
	ChannelID   string `json:"channelId,omitempty"` // of a private channel
	ThreadID    string `json:"threadId,omitempty"`  // of a sub-channel
}

type cachedBinding struct {
	binding *Binding // nil: bound to nothing
	at      time.Time
}

const boundItem = "bound"

func bindingPartition(groupID string) string { return "community-group/" + groupID }

// Bind stores the binding of a group, before the group is made.
func (c *Communities) Bind(ctx context.Context, b Binding) error {
	value, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("community: %w", err)
	}
	defer c.forgetBinding(b.GroupID)
	return c.put(ctx, bindingPartition(b.GroupID), boundItem, value)
}

// Unbind deletes the binding of a group.
func (c *Communities) Unbind(ctx context.Context, groupID string) error {
	defer c.forgetBinding(groupID)
	return wipe(ctx, c.store, bindingPartition(groupID), "")
}

func (c *Communities) forgetBinding(groupID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.bound, groupID)
}

// BindingOf returns the binding of a group, nil for a group that is not ours. Our
// groups have prefixes of their own, so that other groups cost no read.
func (c *Communities) BindingOf(ctx context.Context, groupID string) (*Binding, error) {
	if !strings.HasPrefix(groupID, privatePrefix) && !strings.HasPrefix(groupID, threadPrefix) && !strings.HasPrefix(groupID, VoicePrefix) {
		return nil, nil
	}
	now := c.now()
	c.mu.Lock()
	got, is := c.bound[groupID]
	c.mu.Unlock()
	if is && now.Sub(got.at) < viewFor {
		return got.binding, nil
	}
	var b *Binding
	item, err := c.store.Get(ctx, bindingPartition(groupID), boundItem)
	switch {
	case err == nil:
		if err := json.Unmarshal(item.Value, &b); err != nil {
			return nil, fmt.Errorf("community: a binding does not decode: %w", err)
		}
	case !errors.Is(err, kv.ErrNotFound):
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.bound) >= maxViews {
		clear(c.bound)
	}
	c.bound[groupID] = cachedBinding{b, now}
	return b, nil
}

// ThreadGroup is the GroupID of a sub-channel of the group form.
func ThreadGroup(is Community, threadID string) string {
	return threadPrefix + digest(is.CommunityID, decimal(is.Generation), threadID)[:24]
}

// invited is a user in a private channel.
type invited struct {
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Done bool      `json:"done,omitempty"` // is in the group
}

// Invitation is the answer to an invitation.
type Invitation struct {
	ChannelID string `json:"channelId"`
	GroupID   string `json:"groupId"`
	UserID    string `json:"userId"`
}

// Invite adds a member of the community to a private channel. Repeating it is a no-op.
// Errors are of the codes NotFound, Forbidden, Invalid, Conflict where IM does not
// take the user, and Unavailable.
func (c *Communities) Invite(ctx context.Context, caller api.Caller, id, channelID, userID string) (Invitation, error) {
	if err := checkUser("userId", userID); err != nil {
		return Invitation{}, err
	}
	s, err := c.find(ctx, id)
	if err != nil {
		return Invitation{}, err
	}
	if err := c.may(ctx, s, caller); err != nil {
		return Invitation{}, public(err)
	}
	ch, is := s.Channel(channelID)
	switch {
	case !is:
		return Invitation{}, errNoCh
	case ch.Kind != Private:
		return Invitation{}, fault.New(fault.Invalid, "only private channels take invitations; every member is in the others")
	}
	if _, in, err := c.isMember(ctx, s.Community, userID); err != nil {
		return Invitation{}, public(err)
	} else if !in {
		return Invitation{}, fault.New(fault.NotFound, "there is no such member in this community")
	}
	process := ch.GroupID + " " + userID
	if err := c.invites.Guard(ctx, process, c.now().Add(guardAfter)); err != nil {
		return Invitation{}, public(err)
	}
	value, err := json.Marshal(invited{By: by(caller), At: c.now().UTC()})
	if err != nil {
		return Invitation{}, err
	}
	if err := Note(ctx, c.store, s.ChannelPartition(ch), invitedPrefix+userID, userID); err != nil {
		return Invitation{}, public(err)
	}
	err = c.store.Commit(ctx, s.ChannelPartition(ch), newOp(), kv.Put{Key: invitedPrefix + userID, Value: value, If: kv.Absent()})
	if err != nil && !errors.Is(err, kv.ErrConflict) { // invited before
		return Invitation{}, public(err)
	}
	if err := c.settleInvite(ctx, process); err == error(errNotTaken) {
		return Invitation{}, err
	} else if err != nil {
		slog.WarnContext(ctx, "user not added to a private channel; a job retries", "error", err.Error())
		wake(ctx, c.invites, process)
	}
	return Invitation{ch.ChannelID, ch.GroupID, userID}, nil
}

var errNotTaken = fault.New(fault.Conflict, "IM does not take this user into the private channel; it is full, or the user is in too many groups")

// goOnInvite is settleInvite for a job: with whom IM does not take it is over.
func (c *Communities) goOnInvite(ctx context.Context, id string) error {
	err := c.settleInvite(ctx, id)
	if err == error(errNotTaken) {
		return nil
	}
	return err
}

// settleInvite lets an invited user into the group of a private channel. Whom IM does
// not take is invited no more.
func (c *Communities) settleInvite(ctx context.Context, id string) error {
	if c.conf.IM == nil {
		return errNoIM
	}
	groupID, userID, _ := strings.Cut(id, " ")
	is, ch, err := c.privateOf(ctx, groupID)
	if err != nil || ch.ChannelID == "" {
		return err
	}
	partition, key := is.ChannelPartition(ch), invitedPrefix+userID
	for range tries {
		item, err := c.store.Get(ctx, partition, key)
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		var inv invited
		if err == nil {
			err = json.Unmarshal(item.Value, &inv)
		}
		if err != nil || inv.Done {
			return err
		}
		results, err := c.conf.IM.AddGroupMembers(ctx, groupID, []string{userID}, false)
		if im.Lasting(err) && !errors.Is(err, im.CodeGroupGone) || err == nil && slices.ContainsFunc(results, func(r im.MemberAdded) bool { return r.Result == im.NotAdded }) {
			slog.WarnContext(ctx, "IM refuses a member of a private channel; the invitation is void")
			err = c.store.Commit(ctx, partition, newOp(), kv.Delete{Key: key, If: kv.Rev(item.Rev)})
			if err == nil || errors.Is(err, kv.ErrConflict) {
				err = errNotTaken
			}
			return err
		} else if err != nil {
			return err
		}
		inv.Done = true
		value, err := json.Marshal(inv)
		if err != nil {
			return err
		}
		err = c.store.Commit(ctx, partition, newOp(), kv.Put{Key: key, Value: value, If: kv.Rev(item.Rev)})
		if errors.Is(err, kv.ErrConflict) {
			// Either another worker was as fast, or the user has left the community
			// meanwhile and must not stay in the group.
			if _, gone := c.store.Get(ctx, partition, key); errors.Is(gone, kv.ErrNotFound) {
				_, err := c.conf.IM.DeleteGroupMembers(ctx, groupID, []string{userID}, "", true)
				if im.Lasting(err) {
					err = nil
				}
				return err
			}
			continue
		}
		return err
	}
	return errBusy
}

// privateOf returns the private channel of a group; none where there is none any
// more.
func (c *Communities) privateOf(ctx context.Context, groupID string) (Community, Channel, error) {
	b, err := c.BindingOf(ctx, groupID)
	if err != nil || b == nil || b.ChannelID == "" {
		return Community{}, Channel{}, err
	}
	s, err := c.find(ctx, b.CommunityID)
	if err != nil && fault.CodeOf(err) == fault.NotFound || err == nil && s.Community.Generation != b.Generation {
		return Community{}, Channel{}, nil
	}
	if err != nil {
		return Community{}, Channel{}, err
	}
	ch, _ := s.Channel(b.ChannelID)
	return s.Community, ch, nil
}

// uninvite takes a user out of a private channel.
func (c *Communities) uninvite(ctx context.Context, is Community, ch Channel, userID string) error {
	partition, key := is.ChannelPartition(ch), invitedPrefix+userID
	for range tries {
		item, err := c.store.Get(ctx, partition, key)
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		// First IM: a program that dies after it leaves the item, and is continued by
		// the callback's or the member's job.
		if _, err := c.conf.IM.DeleteGroupMembers(ctx, ch.GroupID, []string{userID}, "", true); err != nil && !im.Lasting(err) {
			return err
		}
		err = c.store.Commit(ctx, partition, newOp(), kv.Delete{Key: key, If: kv.Rev(item.Rev)})
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// Uninvite removes a user from a private channel. Errors are those of Invite.
func (c *Communities) Uninvite(ctx context.Context, caller api.Caller, id, channelID, userID string) error {
	if err := checkUser("the user", userID); err != nil {
		return err
	}
	s, err := c.find(ctx, id)
	if err != nil {
		return err
	}
	if err := c.may(ctx, s, caller); err != nil {
		return public(err)
	}
	ch, is := s.Channel(channelID)
	switch {
	case !is:
		return errNoCh
	case ch.Kind != Private:
		return fault.New(fault.Invalid, "only private channels take invitations; every member is in the others")
	}
	return public(c.uninvite(ctx, s.Community, ch, userID))
}

package community

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// record is a community as it is stored, in one item.
type record struct {
	Community
	Generation int64 `json:"generation"`
	Closed     bool  `json:"closed,omitempty"`

	Asked   string `json:"asked"`             // who asked for it, under which Idempotency-Key
	Content string `json:"content"`           // hash of what was asked for
	Adopted bool   `json:"adopted,omitempty"` // its group was made by another
	Made    bool   `json:"made,omitempty"`    // its group exists, or existed
	Refused string `json:"refused,omitempty"` // why there will be no such community
	Gone    bool   `json:"gone,omitempty"`    // nothing of it is left in IM

	Roles   map[string][]Permission `json:"roles,omitempty"`
	Removed []Channel               `json:"removed,omitempty"` // to be deleted in IM
	// LostRoles are deleted, and not yet taken off all of their members.
	LostRoles []string                `json:"lostRoles,omitempty"`
	Pins      map[string][]uint32     `json:"pins,omitempty"`    // of channels by their short names, the newest first
	Muted     *Restriction            `json:"muted,omitempty"`   // the whole community
	MutedIn   map[string]*Restriction `json:"mutedIn,omitempty"` // everybody in a channel, by short name

	// Base is the MsgSeq before the first message of a channel, where it is not 0.
	Base map[string]uint32 `json:"base,omitempty"`

	// Shown is what IM shows, as far as known.
	Shown shown `json:"shown,omitzero"`
}

// shown is what IM shows of a community.
type shown struct {
	Name       string `json:"name,omitempty"`
	Categories string `json:"categories,omitempty"`
	Pins       string `json:"pins,omitempty"`
	Muted      bool   `json:"muted,omitempty"`
	// MutedUnsure: Muted may be otherwise by now; see [seen.doubt].
	MutedUnsure bool                     `json:"mutedUnsure,omitempty"`
	Channels    map[string]shownChannel  `json:"channels,omitempty"` // by short name
	Roles       map[string]im.Permission `json:"roles,omitempty"`
}

// shownChannel is what IM shows of a channel that it has.
type shownChannel struct {
	Name   string `json:"name"`
	Custom string `json:"custom,omitempty"` // CustomString of a topic
	Pins   string `json:"pins,omitempty"`   // field of a Work group
}

// seen is a community as it was read, and the condition that it still is so.
type seen struct {
	record
	id     string
	cond   kv.Cond
	stored []byte
}

// none reports whether there is no such community.
func (s *seen) none() bool { return s.cond.WantsAbsent() }

// setBase notes where the numbers of a channel's messages begin.
func (s *seen) setBase(short string, last uint32) {
	if last == 0 {
		return
	}
	if s.Base == nil {
		s.Base = make(map[string]uint32)
	}
	s.Base[short] = last
}

const communityItem = "community"

// partitionOf is the partition of a community's own item.
func partitionOf(id string) string { return "community/" + id }

var (
	errNone     = fault.New(fault.NotFound, "there is no such community")
	errNoCh     = fault.New(fault.NotFound, "there is no such channel in this community")
	errNoRole   = fault.New(fault.NotFound, "there is no such role in this community")
	errNotYours = fault.New(fault.Forbidden, "only servers, the owner and members whose role has the permission manage may do this")
	errOutside  = fault.New(fault.Forbidden, "only members of this community may do this")
	errBusy     = fault.New(fault.Unavailable, "too many requests change this at once; send the same request again").After(2 * time.Second)
)

// Get returns a community, private channels included. It costs one strongly
// consistent read. Errors are of the codes NotFound and Unavailable.
func (c *Communities) Get(ctx context.Context, id string) (Community, error) {
	s, err := c.find(ctx, id)
	if err != nil {
		return Community{}, err
	}
	return s.Community, nil
}

// find returns a community that was made and is not closed.
func (c *Communities) find(ctx context.Context, given string) (*seen, error) {
	id := completeID(given)
	if id == "" {
		return nil, errNone
	}
	s, err := c.load(ctx, id)
	switch {
	case err != nil:
		return nil, public(err)
	case s.none() || !s.Made || s.Community.Closed:
		return nil, errNone
	}
	return s, nil
}

func (c *Communities) load(ctx context.Context, id string) (*seen, error) {
	s := &seen{id: id, cond: kv.Absent()}
	item, err := c.store.Get(ctx, partitionOf(id), communityItem)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return s, nil
	case err != nil:
		return s, err
	}
	s.cond, s.stored = kv.Rev(item.Rev), item.Value
	if err := json.Unmarshal(item.Value, &s.record); err != nil {
		return s, fmt.Errorf("community: a community's item does not decode: %w", err)
	}
	s.Community.Generation, s.Community.Closed = s.record.Generation, s.record.Closed
	return s, nil
}

// save commits the community, if it has changed. Whoever was faster with another
// change makes it fail with kv.ErrConflict.
func (c *Communities) save(ctx context.Context, s *seen) error {
	s.record.Generation, s.record.Closed = s.Community.Generation, s.Community.Closed
	s.number()
	value, err := json.Marshal(s.record)
	if err != nil {
		return fmt.Errorf("community: %w", err)
	}
	if bytes.Equal(value, s.stored) {
		return nil
	}
	put := kv.Put{Key: communityItem, Value: value, If: s.cond}
	if s.Gone || s.Refused != "" {
		put.Expires = c.now().Add(kept)
	}
	op := newOp()
	err = c.store.Commit(ctx, partitionOf(s.id), op, put)
	c.forgetView(s.id)
	if err != nil {
		return err
	}
	s.cond, s.stored = kv.Rev(op), value
	return nil
}

// change lets f change a community and commits that. The commit is guarded. While
// others change the same community, f is called again with what they left.
func (c *Communities) change(ctx context.Context, id string, f func(s *seen) error) (*seen, error) {
	for range tries {
		s, err := c.find(ctx, id)
		if err != nil {
			return nil, err
		}
		before := s.wants(c.conf.PinField)
		if err = f(s); err == nil {
			s.doubt(before, c.conf.PinField)
			err = c.looks.Guard(ctx, s.id, c.now().Add(guardAfter))
		}
		if err == nil {
			err = c.save(ctx, s)
		}
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, public(err)
		}
		return s, nil
	}
	return nil, errBusy
}

// note changes what is remembered of IM. Only the worker that holds the lease on
// the community does so.
func (c *Communities) note(ctx context.Context, id string, generation int64, f func(s *seen)) error {
	for range tries {
		s, err := c.load(ctx, id)
		if err != nil {
			return err
		}
		if s.Community.Generation != generation {
			return nil
		}
		f(s)
		if err := c.save(ctx, s); !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// wants is what IM is to show of a community.
type wants struct {
	name, categories, pins string
	muted                  *Restriction
	channels               map[string]shownChannel
	roles                  map[string]im.Permission
}

func (s *seen) wants(pinField string) wants {
	categories, _ := s.categoryField() // "" where the names are too long: nothing is changed then
	return wants{s.Name, categories, s.topPins(), s.Muted, s.wanted(pinField), s.rights()}
}

// unsure stands for what IM shows after a change, until IM was told: a worker may die
// between IM's answer and its own note. It equals nothing that IM can be told, so that
// IM is told also where another change takes this one back meanwhile.
const unsure = "\x00"

// doubt marks what IM shows of everything that has changed since before was read.
func (s *seen) doubt(before wants, pinField string) {
	now := s.wants(pinField)
	if now.name != before.name {
		s.Shown.Name = unsure
	}
	if now.categories != before.categories {
		s.Shown.Categories = unsure
	}
	if now.pins != before.pins {
		s.Shown.Pins = unsure
	}
	if now.muted != before.muted {
		s.Shown.MutedUnsure = true
	}
	for short, want := range now.channels {
		if _, shown := s.Shown.Channels[short]; shown && want != before.channels[short] {
			s.Shown.Channels[short] = shownChannel{Name: unsure}
		}
	}
	for role, want := range now.roles {
		if want != before.roles[role] {
			delete(s.Shown.Roles, role)
		}
	}
}

// may reports whether a caller runs the community: servers, the owner, and members
// whose role has the permission manage.
func (c *Communities) may(ctx context.Context, s *seen, caller api.Caller) error {
	manages, err := c.manages(ctx, s.Community, s.Roles, caller)
	if err == nil && !manages {
		err = errNotYours
	}
	return err
}

func (c *Communities) manages(ctx context.Context, is Community, roles map[string][]Permission, caller api.Caller) (bool, error) {
	if caller.Server != "" || caller.UserID == is.Owner {
		return true, nil
	}
	m, err := c.member(ctx, is, caller.UserID)
	if err != nil {
		return false, err
	}
	return m.in() && slices.Contains(roles[m.Role], Manage), nil
}

// checkVersion checks that a caller has seen the latest version; 0 is not given.
func (s *seen) checkVersion(version int64) error {
	if version != 0 && version != s.Version {
		return fault.New(fault.Conflict, "the community has version %d by now; read it, then decide anew", s.Version)
	}
	return nil
}

// view is what callbacks need of a community.
type view struct {
	Community
	roles map[string][]Permission
	muted *Restriction
	// mutedIn are channels in which everybody is muted, by short name.
	mutedIn map[string]*Restriction
}

type cachedView struct {
	view *view // nil: no community of ours
	at   time.Time
}

const (
	// viewFor is how long a change by another process may go unseen by callbacks.
	viewFor  = 3 * time.Second
	maxViews = 2000 // before all are forgotten
)

// view returns a community for a callback, nil if the group belongs to no community. It is
// read anew after a few seconds, and at once where this process changed it.
func (c *Communities) view(ctx context.Context, groupID string) (*view, error) {
	now := c.now()
	c.mu.Lock()
	got, is := c.known[groupID]
	c.mu.Unlock()
	if is && now.Sub(got.at) < viewFor {
		return got.view, nil
	}
	s, err := c.find(ctx, groupID)
	var v *view
	switch {
	case err == nil && s.id == groupID:
		v = &view{s.Community, s.Roles, s.Muted, s.MutedIn}
	case err != nil && fault.CodeOf(err) != fault.NotFound:
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxViews {
		clear(c.known)
	}
	c.known[groupID] = cachedView{v, now}
	return v, nil
}

// fresh is view for events that come once: that a group belongs to no community is not taken
// from what was read a moment ago, when the community was perhaps being made.
func (c *Communities) fresh(ctx context.Context, groupID string) (*view, error) {
	v, err := c.view(ctx, groupID)
	if err != nil || v != nil || !strings.HasPrefix(groupID, communityPrefix) {
		return v, err
	}
	c.forgetView(groupID)
	return c.view(ctx, groupID)
}

func (c *Communities) forgetView(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, id)
}

// public gives an error its sentence for people.
func public(err error) error {
	const later = 5 * time.Second
	if errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrConflict) || errors.Is(err, queue.ErrUnavailable) {
		return fault.Wrap(err, fault.Unavailable, "the state of communities cannot be reached; send the same request again").After(later)
	}
	if _, is := errors.AsType[*im.Error](err); is {
		return fault.Wrap(err, fault.Unavailable, "IM does not do this for us at the moment; send the same request again").After(later)
	}
	if _, is := errors.AsType[queue.Later](err); is {
		return fault.Wrap(err, fault.Unavailable, "another request is at work on this community; send the same request again").After(later)
	}
	return err
}

// Public returns the public error for a companion's callers: an error of the store,
// the queue or IM becomes one that asks for a retry.
func Public(err error) error { return public(err) }

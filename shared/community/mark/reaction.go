package mark

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Reaction is a reaction to a message with its users, the first first.
type Reaction struct {
	Emoji string   `json:"emoji"`
	Users []string `json:"users"`
	Count int      `json:"count"`
}

// reactions returns all reactions to a message, the first given first.
func (m *Marks) reactions(ctx context.Context, r Ref) ([]Reaction, error) {
	type one struct {
		emoji, user, at string
	}
	var all []one
	for after := ""; ; {
		page, err := m.store.List(ctx, r.partition(), kv.Range{Prefix: r.reactionPrefix(), After: after, Limit: kv.MaxPage})
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			escaped, user, _ := strings.Cut(strings.TrimPrefix(item.Key, r.reactionPrefix()), "/")
			emoji, err := url.PathUnescape(escaped)
			if err != nil {
				return nil, err
			}
			all = append(all, one{emoji, user, string(item.Value)})
		}
		if after = page.Next; after == "" {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b one) int { return cmp.Compare(a.at, b.at) })
	list := []Reaction{}
	for _, a := range all {
		i := slices.IndexFunc(list, func(r Reaction) bool { return r.Emoji == a.emoji })
		if i < 0 {
			i = len(list)
			list = append(list, Reaction{Emoji: a.emoji, Users: []string{}})
		}
		list[i].Users = append(list[i].Users, a.user)
		list[i].Count++
	}
	return list, nil
}

func checkEmoji(emoji string) error {
	if emoji == "" || len(emoji) > MaxEmoji || !utf8.ValidString(emoji) || strings.ContainsFunc(emoji, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return fault.New(fault.Invalid, "a reaction is a text of 1 to %d bytes without spaces", MaxEmoji)
	}
	return nil
}

// timeForm orders as times do.
const timeForm = "2006-01-02T15:04:05.000000000Z"

// React adds a user's reaction to a message, or removes it. Repeating either is a
// no-op. Each user's reaction is an item of its own: none is lost, however many users
// react at once. Errors are of the codes NotFound, Forbidden, Invalid and Unavailable.
func (m *Marks) React(ctx context.Context, caller api.Caller, communityID, channelID string, seq uint32, emoji string, on bool) ([]Reaction, error) {
	if err := checkEmoji(emoji); err != nil {
		return nil, err
	}
	if caller.UserID == "" {
		return nil, fault.New(fault.Forbidden, "only users react")
	}
	r, err := m.visible(ctx, caller, communityID, channelID, seq)
	if err != nil {
		return nil, err
	}
	if on {
		if err := m.conf.Communities.AllowedIn(ctx, r.Community, r.Channel, caller, community.Post); err != nil {
			return nil, err
		}
	}
	from, err := m.Ensure(ctx, r)
	if err != nil {
		return nil, err
	}
	key := r.reactionKey(emoji, caller.UserID)
	item, err := m.store.Get(ctx, r.partition(), key)
	there := err == nil
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return nil, community.Public(err)
	}
	list, err := m.reactions(ctx, r)
	if err != nil {
		return nil, community.Public(err)
	}
	if there == on {
		return list, nil
	}
	if on && len(list) >= MaxEmojis && !slices.ContainsFunc(list, func(one Reaction) bool { return one.Emoji == emoji }) {
		return nil, fault.New(fault.Invalid, "a message has at most %d different reactions", MaxEmojis)
	}
	if err := m.guard(ctx, r); err != nil {
		return nil, community.Public(err)
	}
	if on {
		if err := community.Note(ctx, m.store, r.partition(), key, caller.UserID); err != nil {
			return nil, community.Public(err)
		}
	}
	var write kv.Write = kv.Put{Key: key, Value: []byte(m.now().UTC().Format(timeForm)), If: kv.Absent()}
	if !on {
		write = kv.Delete{Key: key, If: kv.Rev(item.Rev)}
	}
	err = m.store.Commit(ctx, r.partition(), kv.NewOp("mark"), write)
	if err != nil && !errors.Is(err, kv.ErrConflict) { // the same request at the same moment
		return nil, community.Public(err)
	}
	if err := m.Touch(ctx, r, from, ""); err != nil {
		return nil, community.Public(err)
	}
	list, err = m.reactions(ctx, r)
	return list, community.Public(err)
}

// visible finds a message for a caller who sees its channel.
func (m *Marks) visible(ctx context.Context, caller api.Caller, communityID, channelID string, seq uint32) (Ref, error) {
	r, err := m.find(ctx, communityID, channelID, seq)
	if err != nil {
		return r, err
	}
	return r, m.conf.Communities.CanSee(ctx, r.Community, r.Channel, caller)
}

// Edit changes the text of a message, for its author and for callers who manage. The
// message shows isEdited then. Errors are of the codes NotFound, Forbidden, Invalid
// and Unavailable.
func (m *Marks) Edit(ctx context.Context, caller api.Caller, communityID, channelID string, seq uint32, body im.MsgBody) error {
	r, err := m.visible(ctx, caller, communityID, channelID, seq)
	if err != nil {
		return err
	}
	from, err := m.Ensure(ctx, r)
	if err != nil {
		return err
	}
	manages, err := m.conf.Communities.Manages(ctx, r.Community, caller)
	switch {
	case err != nil:
		return err
	case !manages && caller.UserID != from:
		return fault.New(fault.Forbidden, "only its author and those who manage the community edit a message")
	}
	if err := m.conf.Communities.MayWrite(ctx, r.Community, r.Channel, caller); err != nil {
		return err
	}
	if m.conf.Judge != nil {
		why, err := m.conf.Judge(ctx, r.Channel.GroupID, r.Channel.TopicID, from, body)
		if err != nil {
			return community.Public(err)
		}
		if why != "" {
			return fault.New(fault.Invalid, "%s", why)
		}
	}
	if err := m.guard(ctx, r); err != nil {
		return community.Public(err)
	}
	s, err := m.change(ctx, r, func(s *seen) ([]kv.Write, error) {
		if s.Gone {
			return nil, errNoMessage
		}
		s.From, s.Edited, s.Body = from, true, body
		s.BodyNo++
		s.Want++
		return nil, nil
	})
	if err != nil {
		return community.Public(err)
	}
	return community.Public(m.enqueue(ctx, r, s.record))
}

// Pin pins a message of a channel, or unpins it, for callers who manage. Repeating
// either is a no-op. Errors are of the codes NotFound, Forbidden, Invalid and
// Unavailable.
func (m *Marks) Pin(ctx context.Context, caller api.Caller, communityID, channelID string, seq uint32, on bool) ([]uint32, error) {
	r, err := m.visible(ctx, caller, communityID, channelID, seq)
	if err != nil {
		return nil, err
	}
	manages, err := m.conf.Communities.Manages(ctx, r.Community, caller)
	switch {
	case err != nil:
		return nil, err
	case !manages:
		return nil, fault.New(fault.Forbidden, "only those who manage the community pin messages")
	}
	if on {
		// A pin asks IM each time: what the store says may be older than a recall.
		_, there, err := m.message(ctx, r)
		if err != nil {
			return nil, community.Public(err)
		}
		if !there {
			return nil, errNoMessage
		}
	}
	return m.conf.Communities.ChangePins(ctx, caller, communityID, channelID, func(pins []uint32) ([]uint32, error) {
		at := slices.Index(pins, seq)
		switch {
		case on && at < 0:
			return append([]uint32{seq}, pins...), nil
		case !on && at >= 0:
			return slices.Delete(pins, at, at+1), nil
		}
		return pins, nil
	})
}

// Register adds the rule of marks: a recalled message loses its marks. Events are
// deduplicated by group, topic and MsgSeq.
func (m *Marks) Register(mux *callback.Mux) {
	callback.After(mux, "marks", func(ctx context.Context, e *callback.GroupAfterRecallMsg) error {
		p, ours, err := m.conf.Communities.PlaceOf(ctx, e.GroupID, e.TopicID)
		if err != nil || !ours || p.Channel.ChannelID == "" {
			return err
		}
		for _, one := range e.MsgSeqList {
			r := Ref{p.Community, p.Channel, one.MsgSeq}
			s, err := m.load(ctx, r)
			if err != nil {
				return err
			}
			if s.From == "" || s.Gone {
				continue // nothing is known of it, or it is gone already
			}
			if err := m.forget(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

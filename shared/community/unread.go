package community

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Count holds a channel's figures, for pages outside of IM.
type Count struct {
	ChannelID  string  `json:"channelId"`
	LastMsgSeq uint32  `json:"lastMsgSeq"`
	ReadMsgSeq *uint32 `json:"readMsgSeq,omitempty"` // of the user, if the user reported one
	Unread     *uint32 `json:"unread,omitempty"`     // of the user
}

// Totals holds a community's figures, for pages outside of IM.
type Totals struct {
	Members  int     `json:"members"`
	Channels []Count `json:"channels"`
	Unread   *uint32 `json:"unread,omitempty"` // of all channels that the user sees
}

// Totals counts members and messages according to IM; for a user also unread messages.
// Recalled messages count as read, and so do messages from before the user's first
// report in a channel that the user joined later. It costs two calls of IM and one for
// each private channel, and for a user two reads a channel. Errors are of the codes
// NotFound, Forbidden and Unavailable.
func (c *Communities) Totals(ctx context.Context, caller api.Caller, id string) (t Totals, err error) {
	s, err := c.find(ctx, id)
	if err != nil {
		return t, err
	}
	if err := c.inside(ctx, s.Community, caller); err != nil {
		return t, err
	}
	if c.conf.IM == nil {
		return t, errNoIM
	}
	var channels []Channel
	groups := []string{s.id}
	for _, ch := range s.Channels() {
		sees, err := c.sees(ctx, s.Community, ch, caller)
		switch {
		case err != nil:
			return t, public(err)
		case !sees:
			continue
		case ch.Kind == Private:
			groups = append(groups, ch.GroupID)
		}
		channels = append(channels, ch)
	}
	infos, err := c.conf.IM.GroupInfos(ctx, groups)
	if err != nil {
		return t, public(err)
	}
	last := make(map[string]uint32)
	for _, info := range infos {
		if info.Code != 0 {
			continue
		}
		if info.GroupID == s.id {
			t.Members = info.MemberNum
		}
		last[info.GroupID] = before(info.NextMsgSeq)
	}
	topics, err := c.conf.IM.Topics(ctx, s.id, s.Owner)
	if err != nil {
		return t, public(err)
	}
	for _, topic := range topics {
		if topic.Code == 0 {
			last[topic.TopicID] = before(topic.NextMsgSeq)
		}
	}
	all := uint32(0)
	t.Channels = []Count{}
	for _, ch := range channels {
		one := Count{ChannelID: ch.ChannelID, LastMsgSeq: last[ch.ChannelID]}
		if caller.Server == "" {
			read, unread, err := c.unread(ctx, s.Community, ch, caller.UserID, s.Base[ch.Short()], one.LastMsgSeq)
			if err != nil {
				return t, public(err)
			}
			one.ReadMsgSeq, one.Unread = read, &unread
			all += unread
		}
		t.Channels = append(t.Channels, one)
	}
	if caller.Server == "" {
		t.Unread = &all
	}
	return t, nil
}

func before(next uint32) uint32 { return max(next, 1) - 1 }

// unread counts what a user has not read in a channel.
func (c *Communities) unread(ctx context.Context, is Community, ch Channel, userID string, base, last uint32) (read *uint32, unread uint32, err error) {
	partition, from := is.ChannelPartition(ch), base
	item, err := c.store.Get(ctx, partition, readPrefix+userID)
	switch {
	case err == nil:
		n, err := strconv.ParseUint(string(item.Value), 10, 32)
		if err != nil {
			return nil, 0, err
		}
		at := uint32(n)
		read, from = &at, max(base, at)
	case !errors.Is(err, kv.ErrNotFound):
		return nil, 0, err
	}
	if last <= from {
		return read, 0, nil
	}
	recalled, _, err := c.recalledOf(ctx, partition)
	if err != nil {
		return nil, 0, err
	}
	lo, _ := slices.BinarySearch(recalled, from+1)
	hi, _ := slices.BinarySearch(recalled, last+1)
	return read, last - from - uint32(hi-lo), nil
}

// Read stores the last message that a user has read in a channel. A report that is
// older than a stored one is a no-op. Errors are of the codes NotFound, Forbidden and
// Unavailable.
func (c *Communities) Read(ctx context.Context, caller api.Caller, id, channelID string, seq uint32) error {
	if caller.UserID == "" {
		return fault.New(fault.Forbidden, "only users read channels")
	}
	s, err := c.find(ctx, id)
	if err != nil {
		return err
	}
	ch, is := s.Channel(channelID)
	if !is {
		return errNoCh
	}
	if err := c.CanSee(ctx, s.Community, ch, caller); err != nil {
		return err
	}
	last, err := c.lastSeq(ctx, s, ch)
	if err != nil {
		return public(err)
	}
	seq = min(seq, last)
	partition, key := s.ChannelPartition(ch), readPrefix+caller.UserID
	for range tries {
		cond := kv.Absent()
		item, err := c.store.Get(ctx, partition, key)
		switch {
		case err == nil:
			if n, err := strconv.ParseUint(string(item.Value), 10, 32); err == nil && uint32(n) >= seq {
				return nil
			}
			cond = kv.Rev(item.Rev)
		case !errors.Is(err, kv.ErrNotFound):
			return public(err)
		default:
			if err := Note(ctx, c.store, partition, key, caller.UserID); err != nil {
				return public(err)
			}
		}
		err = c.store.Commit(ctx, partition, newOp(), kv.Put{Key: key, Value: strconv.AppendUint(nil, uint64(seq), 10), If: cond})
		if !errors.Is(err, kv.ErrConflict) {
			return public(err)
		}
	}
	return errBusy
}

// lastSeq is the number of a channel's last message.
func (c *Communities) lastSeq(ctx context.Context, s *seen, ch Channel) (uint32, error) {
	if c.conf.IM == nil {
		return 0, errNoIM
	}
	if ch.Kind == Private {
		infos, err := c.conf.IM.GroupInfos(ctx, []string{ch.GroupID})
		if err != nil || len(infos) != 1 || infos[0].Code != 0 {
			return 0, err
		}
		return before(infos[0].NextMsgSeq), nil
	}
	topics, err := c.conf.IM.Topics(ctx, s.id, s.Owner, ch.TopicID)
	if err != nil || len(topics) != 1 || topics[0].Code != 0 {
		return 0, err
	}
	return before(topics[0].NextMsgSeq), nil
}

package community

import (
	"context"
	"slices"

	"github.com/backchannel-im/backchannel/shared/im"
)

// hide deletes what a user wrote in the channels of a community, as far back as IM
// does. What is gone then counts as read by everybody and is pinned no more: IM tells
// of no deletion, and a client that has read the last message that it sees would keep
// its badge.
func (c *Communities) hide(ctx context.Context, s *seen, userID string) error {
	for _, ch := range s.Channels() {
		if err := c.conf.IM.DeleteGroupMsgsBySender(ctx, ch.GroupID, ch.TopicID, userID); err != nil && !im.Lasting(err) {
			return err
		}
		gone, err := c.goneOf(ctx, ch, s.Pins[ch.Short()])
		if err != nil {
			return err
		}
		if err := c.NotCounted(ctx, s.Community, ch, gone...); err != nil {
			return err
		}
		if err := c.Unpinned(ctx, s.Community, ch, gone); err != nil {
			return err
		}
	}
	return nil
}

// goneOf returns messages of a channel that are gone: all behind the newest that is
// there, those of the same page, and pinned ones.
func (c *Communities) goneOf(ctx context.Context, ch Channel, pins []uint32) (gone []uint32, err error) {
	there := make(map[uint32]bool)
	look := func(q im.GroupHistoryQuery) (next *im.GroupHistoryQuery, err error) {
		page, err := c.conf.IM.GroupHistory(ctx, q)
		if err != nil && !im.Lasting(err) {
			return nil, err
		}
		for _, m := range page.Messages {
			if there[m.MsgSeq] = m.Placeholder == 0; !there[m.MsgSeq] && !slices.Contains(gone, m.MsgSeq) {
				gone = append(gone, m.MsgSeq)
			}
		}
		return page.Next, nil
	}
	q := im.GroupHistoryQuery{GroupID: ch.GroupID, TopicID: ch.TopicID}
	for next := &q; next != nil && len(there) == len(gone) && len(gone) < maxRecalled; {
		if next, err = look(*next); err != nil {
			return nil, err
		}
	}
	for _, seq := range pins {
		if _, known := there[seq]; known {
			continue
		}
		q.Newest, q.Limit = seq, 1
		if _, err := look(q); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

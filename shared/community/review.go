package community

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Reviews look for members whose exit no callback reported: IM's callback was lost,
// with all of its retries. A user who has left the community would stay in its private
// channels and in sub-channels that are groups, and go on reading there. So the first
// message in one of these groups in each hour causes a review of the community: where
// nobody writes, there is nothing new to read, and no review. Their ids are
// communityIds.
var Reviews = process.Name{Agenda: "community-reviews", Job: "community.review", Lane: queue.Slow}

// reviewEvery is how often a community is reviewed in which somebody writes.
const reviewEvery = time.Hour

// reviewSoon has a community reviewed, unless it was in this hour. It costs a write for
// each hour and instance; where that fails, the next message tries.
func (c *Communities) reviewSoon(ctx context.Context, id string) {
	if c.conf.Jobs == nil {
		return
	}
	hour := c.now().Unix() / int64(reviewEvery/time.Second)
	c.mu.Lock()
	known := c.reviewed[id] == hour
	if len(c.reviewed) >= maxViews {
		clear(c.reviewed)
	}
	c.reviewed[id] = hour
	c.mu.Unlock()
	if known {
		return
	}
	if err := c.reviews.Start(ctx, id, strconv.FormatInt(hour, 10)); err != nil {
		slog.WarnContext(ctx, "the review of a community waits for the next message", "error", err.Error())
		c.mu.Lock()
		delete(c.reviewed, id)
		c.mu.Unlock()
	}
}

// review asks IM about everybody in private channels, a call for each 50 users, and has
// companions look for others.
func (c *Communities) review(ctx context.Context, id string) error {
	if c.conf.IM == nil {
		return errNoIM
	}
	s, err := c.find(ctx, id)
	if err != nil {
		if fault.CodeOf(err) == fault.NotFound {
			return nil
		}
		return err
	}
	for _, ch := range s.Channels() {
		if ch.Kind != Private {
			continue
		}
		for after := ""; ; {
			page, err := c.store.List(ctx, s.ChannelPartition(ch), kv.Range{Prefix: invitedPrefix, After: after, Limit: kv.MaxPage})
			if err != nil {
				return err
			}
			var ids []string
			for _, item := range page.Items {
				ids = append(ids, strings.TrimPrefix(item.Key, invitedPrefix))
			}
			if err := c.Recheck(ctx, s.Community, ids...); err != nil {
				return err
			}
			if after = page.Next; after == "" {
				break
			}
		}
	}
	for _, one := range c.companions {
		if err := one.Review(ctx, s.Community); err != nil {
			return err
		}
	}
	return nil
}

// Recheck asks IM which of some users are members of a community. Users who are no
// members are treated as if IM's callback of their exit came now.
func (c *Communities) Recheck(ctx context.Context, is Community, userIDs ...string) error {
	if len(userIDs) == 0 {
		return nil
	}
	list, err := c.conf.IM.SpecifiedGroupMembers(ctx, is.CommunityID, userIDs)
	if im.Lasting(err) {
		return nil // the community is gone
	}
	if err != nil {
		return err
	}
	members := make(map[string]bool, len(list))
	for _, m := range list {
		members[m.UserID] = true
	}
	var out []string
	for _, id := range userIDs {
		if members[id] || id == is.Owner {
			continue
		}
		m, _, err := c.loadMember(ctx, is, id)
		if err != nil {
			return err
		}
		// After all that is known of the user, and before whatever is told of next.
		if m, _, err = c.applyEvent(ctx, is, id, m.At+1, false); err != nil {
			return err
		}
		if !m.in() {
			out = append(out, id)
		}
	}
	if len(out) == 0 {
		return nil
	}
	slog.WarnContext(ctx, "members left a community and IM's callback did not come; is the console's retry switched on?", "members", len(out))
	slices.Sort(out)
	return c.leave(ctx, is, out...)
}

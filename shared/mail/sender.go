package mail

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// The sender's partition has the list of campaigns to send, the lease of who sends,
// and an item that changes with every campaign that is listed: a sender who finds the
// list empty gives the lease back in a commit that fails if one came meanwhile.
const (
	senderPartition = "mail/sender"
	listPrefix      = "a/"
	leaseKey        = "lease"
	wakeKey         = "wake"

	drainKind = "mail.drain"
)

// Our decisions.
const (
	// leaseTime is how long a sender who dies keeps others from sending. It is longer
	// than a call with its retries, and the wait before it, take between renewals.
	leaseTime = 45 * time.Second
	// callTime bounds one call of IM.
	callTime = 20 * time.Second
	// drainTime is how long one job sends. The next job goes on: a platform ends a
	// function, and a program that stops finishes its jobs.
	drainTime = 10 * time.Second
	// reserve is how long before a worker's deadline no step is begun any more.
	reserve = 4 * time.Second
	// longestSleep is how long the sender waits before it renews its lease.
	longestSleep = 5 * time.Second
	// pauseAfter is how long a campaign rests that could not go on.
	pauseAfter = 5 * time.Second
)

// lease is who sends, and the pace of all calls.
type lease struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
	pace
}

// enlist has a campaign sent. Enlisting one that is listed is a no-op, but wakes the
// sender all the same.
func (m *Mails) enlist(ctx context.Context, id string) error {
	for range tries {
		cond := kv.Absent()
		item, err := m.store.Get(ctx, senderPartition, listPrefix+id)
		if err == nil {
			cond = kv.Rev(item.Rev)
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		_, err = m.commit(ctx, senderPartition, kv.Put{Key: listPrefix + id, If: cond}, kv.Add{Key: wakeKey, Deltas: []kv.Delta{{Counter: "n", By: 1}}})
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		return m.startDrain(ctx, time.Time{})
	}
	return errBusy
}

// startDrain makes a job that sends. Its id is of its own: an earlier job may have
// found nothing to do a moment ago.
func (m *Mails) startDrain(ctx context.Context, at time.Time) error {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	return m.conf.Jobs.Put(ctx, queue.Job{ID: "mail/drain/" + rand.Text(), Kind: drainKind, Lane: queue.Slow, NotBefore: at})
}

// continueCampaign is the job of [Campaigns]: it has a campaign sent that nobody has
// in hand, and looks again as long as the campaign is not sent.
func (m *Mails) continueCampaign(ctx context.Context, id string) error {
	if m.conf.IM == nil {
		return errNoIM
	}
	l, p, _, err := m.campaign(ctx, id)
	switch {
	case err != nil:
		return err
	case l == nil:
		return nil
	case p.State == Cancelled:
		return m.forget(ctx, id)
	case p.Collecting, p.State != Planned && p.State != Sending:
		return nil
	}
	if err := guard(ctx, m.campaigns, id, m.now().Add(guardAfter)); err != nil {
		return err
	}
	return m.enlist(ctx, id)
}

// holder is the one who sends.
type holder struct {
	*Mails
	lease
	rev   string
	until time.Time            // when the job ends
	rest  map[string]time.Time // campaigns that could not go on, until when
}

var errLost = errors.New("mail: another sender has the lease")

// acquire takes the lease; nil where another has it.
func (m *Mails) acquire(ctx context.Context) (*holder, error) {
	h := &holder{Mails: m, until: m.now().Add(drainTime), rest: make(map[string]time.Time)}
	if deadline, has := ctx.Deadline(); has {
		h.until = earlier(h.until, m.now().Add(time.Until(deadline)-reserve))
	}
	cond, err := load(ctx, m.store, senderPartition, leaseKey, &h.lease)
	if err != nil {
		return nil, err
	}
	now := m.now()
	if h.Until.After(now) {
		return nil, nil
	}
	h.end(now) // of a sender who died in a call, which has ended by now
	h.Holder, h.Until = rand.Text(), now.Add(leaseTime)
	err = h.put(ctx, cond)
	if errors.Is(err, kv.ErrConflict) {
		return nil, nil
	}
	return h, err
}

func (h *holder) put(ctx context.Context, cond kv.Cond, more ...kv.Write) error {
	value, err := encode(h.lease)
	if err != nil {
		return err
	}
	op, err := h.commit(ctx, senderPartition, append(more, kv.Put{Key: leaseKey, Value: value, If: cond})...)
	if err == nil {
		h.rev = op
	}
	return err
}

// renew keeps the lease, with the pace as it is.
func (h *holder) renew(ctx context.Context) error {
	h.Until = h.now().Add(leaseTime)
	err := h.put(ctx, kv.Rev(h.rev))
	if errors.Is(err, kv.ErrConflict) {
		return errLost
	}
	return err
}

// release gives the lease back. With a wake it fails with kv.ErrConflict where a
// campaign was listed since that was read.
func (h *holder) release(ctx context.Context, wake *kv.Cond) error {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	h.Until = time.Time{}
	if wake == nil {
		return h.put(ctx, kv.Rev(h.rev))
	}
	return h.put(ctx, kv.Rev(h.rev), kv.Check{Key: wakeKey, If: *wake})
}

// drain sends what is listed until nothing is or time is up; then the next job goes
// on. Whoever finds another sender leaves it to that one.
func (m *Mails) drain(ctx context.Context) error {
	if m.conf.IM == nil {
		return errNoIM
	}
	h, err := m.acquire(ctx)
	if err != nil || h == nil {
		return err
	}
	again, err := h.rounds(ctx)
	switch {
	case errors.Is(err, errLost):
		return nil
	case err != nil:
		// The lease ends by itself should this fail, and guards bring the campaigns.
		_ = h.release(ctx, nil)
		return err
	case again.IsZero():
		return nil
	}
	if err := h.release(ctx, nil); err != nil {
		return err
	}
	return m.startDrain(ctx, again)
}

// rounds takes each campaign a step further, in turn. again is when the next job is to
// go on; zero where nothing is left and the lease is given back.
func (h *holder) rounds(ctx context.Context) (again time.Time, err error) {
	for {
		list, wake, err := h.listed(ctx)
		if err != nil {
			return again, err
		}
		if len(list) == 0 {
			err := h.release(ctx, &wake)
			if !errors.Is(err, kv.ErrConflict) {
				return again, err
			}
			if err := h.renew(ctx); err != nil {
				return again, err
			}
			continue
		}
		moved, first := false, time.Time{}
		for _, id := range list {
			if !h.now().Before(h.until) {
				return h.now(), nil
			}
			if h.Until.Sub(h.now()) < leaseTime/2 {
				if err := h.renew(ctx); err != nil {
					return again, err
				}
			}
			if at := h.rest[id]; at.After(h.now()) {
				first = soonest(first, at)
				continue
			}
			over, err := h.advance(ctx, id)
			var later notYet
			switch {
			case errors.Is(err, errLost):
				return again, err
			case errors.As(err, &later):
				h.rest[id] = time.Time(later)
				first = soonest(first, time.Time(later))
			case err != nil:
				slog.WarnContext(ctx, "sending of a mail interrupted; a job retries", "mail", id, "error", err.Error())
				h.rest[id] = h.now().Add(pauseAfter)
				first = soonest(first, h.rest[id])
			case over:
				moved = true
				if err := h.strike(ctx, id); err != nil {
					return again, err
				}
			default:
				moved = true
			}
		}
		if moved {
			continue
		}
		if first.After(h.until) {
			return first, nil
		}
		if err := h.wait(ctx, first); err != nil {
			return again, err
		}
	}
}

// notYet says when a campaign can go on.
type notYet time.Time

func (notYet) Error() string { return "mail: not yet" }

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// listed returns the campaigns to send, and the condition that no other was listed.
func (h *holder) listed(ctx context.Context) (ids []string, wake kv.Cond, err error) {
	wake = kv.Absent()
	item, err := h.store.Get(ctx, senderPartition, wakeKey)
	if err == nil {
		wake = kv.Rev(item.Rev)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return nil, wake, err
	}
	page, err := h.store.List(ctx, senderPartition, kv.Range{Prefix: listPrefix})
	for _, item := range page.Items {
		ids = append(ids, item.Key[len(listPrefix):])
	}
	return ids, wake, err
}

// strike takes a campaign off the list, unless it was listed again meanwhile.
func (h *holder) strike(ctx context.Context, id string) error {
	item, err := h.store.Get(ctx, senderPartition, listPrefix+id)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// A campaign that was resumed since it was found paused is read a second time.
	l, p, _, err := h.campaign(ctx, id)
	if err != nil || l != nil && !p.Collecting && (p.State == Planned || p.State == Sending) {
		return err
	}
	_, err = h.commit(ctx, senderPartition, kv.Delete{Key: listPrefix + id, If: kv.Rev(item.Rev)})
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err // the guard finds nothing to do
}

// wait waits until a time, and keeps the lease meanwhile.
func (h *holder) wait(ctx context.Context, at time.Time) error {
	for {
		d := at.Sub(h.now())
		if d <= 0 {
			return nil
		}
		if h.Until.Sub(h.now()) < leaseTime-longestSleep {
			if err := h.renew(ctx); err != nil {
				return err
			}
		}
		if err := h.conf.Sleep(ctx, min(d, longestSleep)); err != nil {
			return err
		}
	}
}

// turn waits until a batch call to n recipients may leave, and notes that it leaves.
func (h *holder) turn(ctx context.Context, n int) error {
	at := h.free(h.now(), n)
	if at.After(h.until) {
		return notYet(at)
	}
	if err := h.wait(ctx, at); err != nil {
		return err
	}
	h.leave(h.now(), n)
	return h.renew(ctx)
}

// call makes a batch call within the lease.
func (h *holder) call(ctx context.Context, to []string, msg im.C2CMsg) ([]im.ItemResult, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	failed, err := h.conf.IM.SendBatch(ctx, to, msg)
	h.end(h.now())
	return failed, err
}

// failedIDs are the UserIDs of those who did not get a message.
func failedIDs(results []im.ItemResult) []string {
	var ids []string
	for _, r := range results {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

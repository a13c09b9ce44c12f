package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Our decisions.
const (
	// writers is how many inboxes are written side by side.
	writers = 32
	// readers is how many histories are read side by side.
	readers = 8
	// doubtTime is how long after a call whose outcome is unknown the histories are
	// read: IM gives itself 3 s for a call.
	doubtTime = 10 * time.Second
	// repeatTime is how long IM recognizes a repeated message by its numbers, if it does
	// so for batches at all.
	repeatTime = 90 * time.Second
	// historySlack is between IM's clock and ours.
	historySlack = time.Minute
	maxUnknown   = 100
	// pushLife is how long a push waits for players who are offline: IM's most.
	pushLife = 7 * 24 * time.Hour
)

// advance takes a campaign one step further. over: there is nothing left to do.
func (h *holder) advance(ctx context.Context, id string) (over bool, err error) {
	l, p, _, err := h.campaign(ctx, id)
	if err != nil {
		return false, err
	}
	if l == nil || p.Collecting || p.State != Planned && p.State != Sending {
		return true, nil
	}
	if p.State == Planned {
		if _, p, err = h.change(ctx, id, func(p *progress) error {
			p.State = Sending
			return nil
		}); err != nil {
			return errors.Is(err, errMoved), passMoved(err)
		}
	}
	body, err := l.message()
	if err != nil {
		return false, err
	}
	switch p.By {
	case byOne:
		err = h.tellOne(ctx, l, p, body)
	case byBatch:
		err = h.tellChunk(ctx, l, p, body)
	case byGroup:
		err = h.tellGroup(ctx, l, p, body)
	case byPush, byInbox:
		err = h.tellAll(ctx, l, p, body)
	}
	if im.Lasting(err) {
		slog.ErrorContext(ctx, "IM refuses a mail, which is cancelled", "mail", id, "error", err.Error())
		problem := "IM refuses this mail"
		if e, is := errors.AsType[*im.Error](err); is && e.Code != 0 {
			problem = fmt.Sprintf("IM refuses this mail with code %d", int(e.Code))
		}
		_, _, err = h.change(ctx, id, func(p *progress) error {
			p.State, p.Problem, p.Attempt = Cancelled, problem, nil
			return nil
		})
	}
	if errors.Is(err, errMoved) {
		return true, nil // paused or cancelled meanwhile
	}
	return false, err
}

// errMoved: a campaign is no longer to be sent.
var errMoved = errors.New("mail: the campaign was paused or cancelled")

func passMoved(err error) error {
	if errors.Is(err, errMoved) {
		return nil
	}
	return err
}

// change changes the progress of a campaign that is still to be sent. What happened is
// counted also where the campaign was paused or cancelled meanwhile: see record.
func (h *holder) change(ctx context.Context, id string, change func(p *progress) error) (*letter, *progress, error) {
	return h.update(ctx, id, func(_ *letter, p *progress) error {
		if p.State != Planned && p.State != Sending {
			return errMoved
		}
		return change(p)
	})
}

// record writes down what has happened, whatever the state of the campaign is by now.
func (h *holder) record(ctx context.Context, id string, change func(p *progress) error, served ...int) error {
	_, _, err := h.update(ctx, id, func(_ *letter, p *progress) error { return change(p) }, served...)
	return err
}

func (p *progress) fail(ids []string) {
	p.Failed += len(ids)
	p.Unknown = append(p.Unknown, ids[:min(len(ids), maxUnknown-min(maxUnknown, len(p.Unknown)))]...)
}

// finish ends a campaign, unless it was paused or cancelled meanwhile.
func (p *progress) finish() {
	if p.State == Planned || p.State == Sending {
		p.State = Sent
	}
}

// tellOne delivers a mail to its only recipient.
func (h *holder) tellOne(ctx context.Context, l *letter, p *progress, body im.MsgBody) error {
	users, err := h.chunk(ctx, l.ID, 0)
	if err != nil {
		return err
	}
	if p.Next == 0 && len(users) == 1 {
		if _, err := h.deliver(ctx, l, 0, users); err != nil {
			return err
		}
		_, err = h.conf.Sends.C2C(ctx, "mail/"+l.ID, im.C2CMsg{
			From: h.conf.From, To: users[0], Body: body, NotToSender: true, Push: &im.OfflinePushInfo{Title: l.Title},
		})
		switch {
		case err == nil:
			users = nil
		case errors.Is(err, im.ClassAccount), errors.Is(err, once.ErrUnknown):
		default:
			return err
		}
	}
	return h.record(ctx, l.ID, func(p *progress) error {
		if p.Next == 0 {
			p.Next = 1
			p.Delivered = 1 - len(users)
			p.fail(users)
		}
		p.finish()
		return nil
	}, 0)
}

// chunk reads a chunk of recipients.
func (m *Mails) chunk(ctx context.Context, id string, n int) (users []string, err error) {
	_, err = load(ctx, m.store, campaignPartition(id), chunkKey(n), &users)
	return users, err
}

// tellChunk delivers the next chunk of a mail to many.
func (h *holder) tellChunk(ctx context.Context, l *letter, p *progress, body im.MsgBody) error {
	n := p.Next
	if n >= p.Chunks {
		return h.record(ctx, l.ID, func(p *progress) error {
			p.finish()
			return nil
		})
	}
	if p.Attempt != nil {
		return h.resolve(ctx, l, p, body)
	}
	users, err := h.chunk(ctx, l.ID, n)
	if err != nil {
		return err
	}
	fresh, err := h.deliver(ctx, l, n, users)
	if err != nil {
		return err
	}
	if len(fresh) == 0 {
		return h.settleChunk(ctx, l.ID, n, len(users), 0, nil)
	}
	return h.attempt(ctx, l, n, len(users)-len(fresh), fresh, attempt{}, body)
}

// attempt makes a batch call, recorded before. Within repeatTime a repeated call has
// the numbers of the one before.
func (h *holder) attempt(ctx context.Context, l *letter, n, duplicates int, to []string, a attempt, body im.MsgBody) error {
	if err := h.turn(ctx, len(to)); err != nil {
		return err
	}
	a.Since = h.now()
	if len(a.Numbers) == 0 || a.Since.Sub(a.First) >= repeatTime {
		seq, random := im.Numbers(fmt.Sprintf("mail/%s/%d/%d", l.ID, n, len(a.Numbers)))
		a.Numbers, a.First = append(slices.Clone(a.Numbers), [2]uint32{seq, random}), a.Since
	}
	if a.Began.IsZero() {
		a.Began = a.Since
	}
	if _, _, err := h.change(ctx, l.ID, func(p *progress) error {
		if p.Next != n {
			return errLost
		}
		p.Attempt = &a
		return nil
	}); err != nil {
		h.end(h.now()) // counted as if it had left
		return err
	}
	numbers := a.Numbers[len(a.Numbers)-1]
	failed, err := h.call(ctx, to, im.C2CMsg{
		From: h.conf.From, MsgSeq: numbers[0], MsgRandom: numbers[1], Body: body, NotToSender: true, Push: &im.OfflinePushInfo{Title: l.Title},
	})
	switch {
	case err == nil:
		ids := failedIDs(failed)
		return h.settleChunk(ctx, l.ID, n, duplicates, len(to)-len(ids)+a.Found, append(ids, a.Failed...))
	case im.MayHaveWorked(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		slog.WarnContext(ctx, "the answer to a batch was lost; the recipients' histories are read", "mail", l.ID, "error", err.Error())
		return nil // the next step resolves it
	}
	// IM has not taken it. Where earlier calls may have, the attempt stays, and the
	// histories are read before the next one.
	if len(a.Numbers) == 1 && a.Rest == nil {
		if e := h.record(ctx, l.ID, func(p *progress) error {
			if p.Next == n {
				p.Attempt = nil
			}
			return nil
		}); e != nil {
			return e
		}
	}
	return err
}

// settleChunk counts a chunk, and goes on to the next one.
func (h *holder) settleChunk(ctx context.Context, id string, n, duplicates, delivered int, failed []string) error {
	return h.record(ctx, id, func(p *progress) error {
		if p.Next != n {
			return errLost
		}
		p.Next, p.Attempt = n+1, nil
		p.Delivered += delivered
		p.Duplicates += duplicates
		p.Total -= duplicates
		p.fail(failed)
		if p.Next >= p.Chunks {
			p.finish()
		}
		return nil
	}, n)
}

// forget deletes the recipients that are left of a campaign that was cancelled.
func (m *Mails) forget(ctx context.Context, id string) error {
	for {
		page, err := m.store.List(ctx, campaignPartition(id), kv.Range{Prefix: chunkPrefix, Limit: kv.MaxWrites})
		if err != nil || len(page.Items) == 0 {
			return err
		}
		var writes []kv.Write
		for _, item := range page.Items {
			writes = append(writes, kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
		}
		if _, err := m.commit(ctx, campaignPartition(id), writes...); err != nil {
			return err
		}
	}
}

// resolve finds out which recipients of a call with unknown outcome have the message,
// and sends to the others. Within repeatTime the numbers stay the same, so that a call
// that arrives late reaches nobody twice where IM recognizes repeated batches.
func (h *holder) resolve(ctx context.Context, l *letter, p *progress, body im.MsgBody) error {
	a, n := *p.Attempt, p.Next
	if at := a.Since.Add(doubtTime); at.After(h.now()) {
		return notYet(at)
	}
	users, err := h.chunk(ctx, l.ID, n)
	if err != nil {
		return err
	}
	to, duplicates := a.Rest, 0
	fresh, err := h.deliver(ctx, l, n, users)
	if err != nil {
		return err
	}
	duplicates = len(users) - len(fresh)
	if to == nil {
		to = fresh
	}
	if err := h.renew(ctx); err != nil {
		return err
	}
	var mu sync.Mutex
	found, rest := 0, []string{}
	failed := slices.Clone(a.Failed)
	err = each(ctx, readers, to, func(ctx context.Context, user string) error {
		has, err := h.hasMessage(ctx, user, a)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case im.Lasting(err):
			failed = append(failed, user) // IM does not know the user
		case err != nil:
			return err
		case has:
			found++
		default:
			rest = append(rest, user)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.Found += found
	slices.Sort(rest)
	slices.Sort(failed)
	if len(rest) == 0 {
		return h.settleChunk(ctx, l.ID, n, duplicates, a.Found, failed)
	}
	a.Rest, a.Failed = rest, failed
	return h.attempt(ctx, l, n, duplicates, rest, a, body)
}

// hasMessage looks for a message in what a recipient sees.
func (h *holder) hasMessage(ctx context.Context, user string, a attempt) (bool, error) {
	q := &im.C2CHistoryQuery{Viewer: user, Peer: h.conf.From, From: a.Began.Add(-historySlack).Unix(), To: h.now().Add(historySlack).Unix()}
	for q != nil {
		page, err := h.conf.IM.C2CHistory(ctx, *q)
		if err != nil {
			return false, err
		}
		for _, msg := range page.Messages {
			if msg.From == h.conf.From && slices.Contains(a.Numbers, [2]uint32{msg.MsgSeq, msg.MsgRandom}) {
				return true, nil
			}
		}
		q = page.Next
	}
	return false, nil
}

// tellGroup sends the group its message, and copies the mail to its members page by
// page.
func (h *holder) tellGroup(ctx context.Context, l *letter, p *progress, body im.MsgBody) error {
	if !p.Told {
		_, err := h.conf.Sends.Group(ctx, "mail/"+l.ID, im.GroupMsg{GroupID: l.To.Group, From: h.conf.From, Body: body})
		if err != nil && !errors.Is(err, once.ErrUnknown) {
			return err
		}
		return h.record(ctx, l.ID, func(p *progress) error {
			p.Told = true
			return nil
		})
	}
	page, err := h.conf.IM.GroupMembers(ctx, im.MembersQuery{GroupID: l.To.Group}.From(p.Cursor))
	if err != nil {
		return err
	}
	var users []string
	for _, member := range page.Members {
		if !im.IsRobot(member.UserID) {
			users = append(users, member.UserID)
		}
	}
	n := p.Next
	fresh, err := h.deliver(ctx, l, n, users)
	if err != nil {
		return err
	}
	return h.record(ctx, l.ID, func(p *progress) error {
		if p.Next != n {
			return errLost
		}
		p.Next++
		p.Delivered += len(fresh)
		if page.Next == nil {
			p.Total = p.Delivered
			p.finish()
			return nil
		}
		p.Cursor = page.Next.Cursor()
		p.Total = max(p.Total, p.Delivered)
		return nil
	})
}

// tellAll lists a mail to everyone or to a tag for all inboxes, and has IM push it.
func (h *holder) tellAll(ctx context.Context, l *letter, p *progress, body im.MsgBody) error {
	if !p.Listed {
		if err := h.list(ctx, l); err != nil {
			return err
		}
		return h.record(ctx, l.ID, func(p *progress) error {
			p.Listed = true
			return nil
		})
	}
	by := p.By
	if by == byPush {
		_, random := im.Numbers("mail/" + l.ID)
		push := im.Push{
			From: h.conf.From, MsgRandom: random, Body: body, LifeTime: min(pushLife, l.Expires.Sub(l.At)), Push: &im.OfflinePushInfo{Title: l.Title},
		}
		if l.To.Tag != "" {
			push.AnyTag = []string{l.To.Tag}
		}
		switch _, err := h.conf.IM.SendPush(ctx, push); {
		case errors.Is(err, im.CodePushOff), errors.Is(err, im.CodePushQuota):
			// The inboxes have it. The plan says that IM was not told.
			slog.WarnContext(ctx, "IM does not push a mail; players find it in their inboxes", "mail", l.ID, "error", err.Error())
			by = byInbox
		case err != nil:
			return err
		}
	}
	return h.record(ctx, l.ID, func(p *progress) error {
		p.By, p.Told = by, by == byPush
		p.finish()
		return nil
	})
}

// deliver puts a mail into inboxes, and returns the recipients for whom this chunk is
// the one that brought it. Doing it again returns the same.
func (h *holder) deliver(ctx context.Context, l *letter, n int, users []string) (fresh []string, err error) {
	value, err := encode(box{Chunk: n})
	if err != nil {
		return nil, err
	}
	mine := make(map[string]bool, len(users))
	var mu sync.Mutex
	err = each(ctx, writers, users, func(ctx context.Context, user string) error {
		_, err := h.commit(ctx, inboxPartition(user), kv.Put{Key: boxKey(l.ID), Value: value, Expires: l.Expires.Add(kept), If: kv.Absent()})
		is := err == nil
		if errors.Is(err, kv.ErrConflict) {
			var have box
			var cond kv.Cond
			if cond, err = load(ctx, h.store, inboxPartition(user), boxKey(l.ID), &have); err == nil {
				is = !cond.WantsAbsent() && have.Chunk == n
			}
		}
		mu.Lock()
		mine[user] = is
		mu.Unlock()
		return err
	})
	for _, user := range users {
		if mine[user] {
			fresh = append(fresh, user)
		}
	}
	return fresh, err
}

// each calls do for all, some at a time, until one fails.
func each(ctx context.Context, workers int, all []string, do func(context.Context, string) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan string)
	var group sync.WaitGroup
	for range min(workers, len(all)) {
		group.Go(func() {
			for one := range next {
				if ctx.Err() != nil {
					continue
				}
				if err := do(ctx, one); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, one := range all {
		next <- one
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}

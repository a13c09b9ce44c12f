package mailbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// MaxDrain is how many entries one Drain handles at most.
const MaxDrain = 1000

const (
	// turn is how long a handler may take for an entry, unless its context
	// ends sooner.
	turn = 2 * time.Minute
	// leaseSlack is how much longer the lease lasts than that: for writing the
	// result down, and for clocks that differ.
	leaseSlack = 5 * time.Second
	// reserve is how long before the deadline no entry is begun any more.
	reserve    = time.Second
	firstPause = 2 * time.Second
	longest    = 5 * time.Minute
	pageSize   = 25
	// kept is how long an idle box remembers how far it was drained: until the
	// engines have let go of what was removed before.
	kept = 72 * time.Hour
)

// Entry is one entry of a box, as a handler gets it.
type Entry struct {
	ID      string
	Order   int64
	Body    []byte
	Attempt int // 1 the first time
}

// Handler handles an entry. The writes that it returns are committed to the box's
// partition together with the removal of the entry, or not at all; at most
// kv.MaxWrites less three writes, none to keys of this package. A handler has two
// minutes and must be safe to repeat. An error has the entry retried after a backoff;
// a [queue.Later] does so without counting an attempt.
type Handler func(ctx context.Context, e Entry) ([]kv.Write, error)

// Drain handles the entries of the box of that partition until there are no
// more, and returns nil then.
//
// Drain returns a [queue.Later], to be tested with errors.As, when Drain is to be
// called again: another holder has the box, or took the box over from a Drain that was
// too slow; an entry failed, whose error is in the chain; ctx is about to end; or
// MaxDrain entries were handled. Other errors are the store's and the context's own.
// The box is blocked after them until the lease ends, [Options.Lease] later at most.
func (m *Mailbox) Drain(ctx context.Context, box string, handle Handler) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !timeLeft(ctx) {
		return queue.Later{}
	}
	h := &holder{Mailbox: m, box: box}
	if held, err := h.take(ctx); err != nil || !held {
		return err
	}
	for n := 0; n < MaxDrain && timeLeft(ctx); n++ {
		item, err := h.next(ctx)
		if err != nil {
			return err
		}
		if item == nil {
			if closed, err := h.close(ctx); err != nil || closed {
				return err
			}
			continue
		}
		if err := h.perform(ctx, *item, handle); err != nil {
			return err
		}
	}
	if err := h.commit(ctx, h.lease.free()); err != nil {
		return err
	}
	return queue.Later{}
}

func timeLeft(ctx context.Context) bool {
	deadline, has := ctx.Deadline()
	return ctx.Err() == nil && (!has || time.Until(deadline) > reserve)
}

// lease is who may handle entries, and until when.
type lease struct {
	// Held: somebody has the box until Until, or had it and died. Otherwise
	// nobody takes it before Until, because an entry failed.
	Held  bool      `json:"held,omitempty"`
	Until time.Time `json:"until,omitzero"`
	Mark  string    `json:"mark,omitempty"` // the furthest entry that was handled
	Next  time.Time `json:"next,omitzero"`  // when the pace allows the next one
}

// free is the lease given back.
func (l lease) free() lease {
	l.Held, l.Until = false, time.Time{}
	return l
}

// holder has the box.
type holder struct {
	*Mailbox
	box   string
	lease lease
	cond  kv.Cond // that the lease is still as this holder wrote it

	page     []kv.Item // the first entries, as long as nothing is appended
	known    int64     // how many entries wait then
	countRev string    // of the count as it was read last

	// inherited: the holder before died, perhaps of the first entry.
	inherited bool
}

// errLost: the lease ended before its holder did, and another has it.
var errLost = fmt.Errorf("mailbox: another holds the box: %w", queue.Later{After: leaseSlack})

// take takes the lease, unless there is nothing to do.
func (h *holder) take(ctx context.Context) (held bool, err error) {
	n, _, err := h.waiting(ctx, h.box)
	if err != nil || n == 0 {
		return false, err
	}
	item, err := h.store.Get(ctx, h.box, h.leaseKey())
	switch {
	case errors.Is(err, kv.ErrNotFound):
		h.cond = kv.Absent()
	case err != nil:
		return false, err
	default:
		h.cond = kv.Rev(item.Rev)
		if err := json.Unmarshal(item.Value, &h.lease); err != nil {
			return false, fmt.Errorf("mailbox: the lease does not decode: %w", err)
		}
	}
	if wait := h.lease.Until.Sub(h.now()); wait > 0 {
		return false, fmt.Errorf("mailbox: the box is held: %w", queue.Later{After: wait})
	}
	h.inherited = h.lease.Held
	return true, h.commit(ctx, h.renewed(ctx))
}

// renewed is the lease made long enough for one more entry.
func (h *holder) renewed(ctx context.Context) lease {
	d := h.turnOf(ctx)
	if h.Mailbox.lease > 0 {
		d = min(d, h.Mailbox.lease-leaseSlack)
	}
	l := h.lease
	l.Held, l.Until = true, h.now().Add(d+leaseSlack)
	return l
}

// turnOf is how long a handler may take.
func (h *holder) turnOf(ctx context.Context) time.Duration {
	if deadline, has := ctx.Deadline(); has {
		return min(turn, time.Until(deadline))
	}
	return turn
}

// commit writes the lease and whatever else, if this holder still has it.
func (h *holder) commit(ctx context.Context, l lease, writes ...kv.Write) error {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	value, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("mailbox: %w", err)
	}
	put := kv.Put{Key: h.leaseKey(), Value: value, If: h.cond}
	if !l.Held {
		put.Expires = h.now().Add(kept)
	}
	op := kv.NewOp("mail")
	err = h.store.Commit(ctx, h.box, op, append([]kv.Write{put}, writes...)...)
	if conflict, is := errors.AsType[*kv.ConflictError](err); is && conflict.Key == put.Key {
		return errLost
	}
	if err != nil {
		return err
	}
	h.lease, h.cond = l, kv.Rev(op)
	return nil
}

// next returns the first entry, or nil if the box is empty.
func (h *holder) next(ctx context.Context) (*kv.Item, error) {
	n, rev, err := h.waiting(ctx, h.box)
	if err != nil {
		return nil, err
	}
	h.countRev = rev
	switch {
	case rev == "":
		return nil, errLost // only a holder removes the count
	case n == 0:
		return nil, nil
	}
	if n != h.known || len(h.page) == 0 {
		if err := h.list(ctx, n); err != nil {
			return nil, err
		}
		h.known = n
	}
	return &h.page[0], nil
}

// list reads the first of n entries: those beyond the mark, unless some came
// late and are before it. That shows in their number.
func (h *holder) list(ctx context.Context, n int64) error {
	all, err := h.listAfter(ctx, h.entryKey(h.lease.Mark))
	if err == nil && all && int64(len(h.page)) < n {
		_, err = h.listAfter(ctx, "")
	}
	if err == nil && len(h.page) == 0 {
		return errLost // only a holder removes entries
	}
	return err
}

// listAfter reads a page, and tells whether there is nothing behind it.
func (h *holder) listAfter(ctx context.Context, after string) (all bool, err error) {
	for {
		page, err := h.store.List(ctx, h.box, kv.Range{Prefix: h.entryKey(""), After: after, Limit: pageSize})
		if err != nil {
			return false, err
		}
		h.page, after = page.Items, page.Next
		if len(h.page) > 0 || after == "" {
			return after == "", nil
		}
	}
}

// close gives the lease back, unless an entry has come.
func (h *holder) close(ctx context.Context) (closed bool, err error) {
	err = h.commit(ctx, h.lease.free(), kv.Delete{Key: h.countKey(), If: kv.Rev(h.countRev)})
	if errors.Is(err, kv.ErrConflict) {
		return false, nil
	}
	return true, err
}

// perform handles one entry.
func (h *holder) perform(ctx context.Context, item kv.Item, handle Handler) error {
	var r record
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return fmt.Errorf("mailbox: an entry does not decode: %w", err)
	}
	if h.inherited {
		h.inherited = false
		r.Attempts++ // if it was another that died there, no harm is done
		put, err := rewrite(item, r)
		if err == nil {
			err = h.commit(ctx, h.renewed(ctx), put)
		}
		if err != nil {
			return err
		}
		item.Rev = h.cond.WantedRev()
	}
	if wait := min(h.lease.Next.Sub(h.now()), h.every); wait > 0 && retry.Sleep(ctx, wait) != nil {
		return nil // not handled, and Drain sees that ctx has ended
	}
	start := h.now()
	writes, err := h.call(ctx, handle, Entry{ID: r.ID, Order: r.Order, Body: r.Body, Attempt: r.Attempts + 1})
	if err != nil {
		return h.fail(ctx, item, r, err)
	}
	l := h.renewed(ctx)
	l.Mark = max(l.Mark, item.Key[len(h.entryKey("")):])
	l.Next = start.Add(h.every)
	done := append([]kv.Write{kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)}, h.count(-1)}, writes...)
	switch err := h.commit(ctx, l, done...); {
	case errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrRange), errors.Is(err, kv.ErrInvalid):
		return h.fail(ctx, item, r, err) // the handler's own writes
	case err != nil:
		return err
	}
	h.page, h.known = h.page[1:], h.known-1
	return nil
}

// call gives the handler its time: what the lease leaves it, or where the lease is
// renewed, two minutes.
func (h *holder) call(ctx context.Context, handle Handler, e Entry) ([]kv.Write, error) {
	left := h.lease.Until.Sub(h.now()) - leaseSlack
	if h.Mailbox.lease == 0 {
		ctx, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		return handle(ctx, e)
	}
	ctx, cancel := context.WithTimeout(ctx, h.turnOf(ctx))
	defer cancel()
	renewing := h.renew(ctx, cancel)
	defer renewing() // the holder's state is its own again
	return handle(ctx, e)
}

// renew prolongs the lease until the function that it returns is called, which
// waits for a renewal under way. It cancels the handler once the lease is lost.
func (h *holder) renew(ctx context.Context, cancel context.CancelFunc) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(h.Mailbox.lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// A store that is away for a moment is asked again at the next tick.
			if err := h.commit(ctx, h.renewed(ctx)); errors.Is(err, errLost) {
				cancel()
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// fail puts an entry off, and with it the box.
func (h *holder) fail(ctx context.Context, item kv.Item, r record, cause error) error {
	l := h.lease.free()
	var writes []kv.Write
	later, is := errors.AsType[queue.Later](cause)
	if !is {
		r.Attempts++
		later.After = min(firstPause<<min(r.Attempts-1, 10), longest)
		slog.WarnContext(ctx, "mailbox entry failed; it is retried", "mailbox", h.name, "attempt", r.Attempts, "error", cause.Error())
		put, err := rewrite(item, r)
		if err != nil {
			return err
		}
		writes = append(writes, put)
	}
	l.Until = h.now().Add(later.After)
	if err := h.commit(ctx, l, writes...); err != nil {
		return err
	}
	return fmt.Errorf("mailbox: an entry failed: %w; %w", cause, later)
}

// rewrite is an entry with its attempts counted.
func rewrite(item kv.Item, r record) (kv.Put, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return kv.Put{}, fmt.Errorf("mailbox: %w", err)
	}
	return kv.Put{Key: item.Key, Value: value, If: kv.Rev(item.Rev)}, nil
}

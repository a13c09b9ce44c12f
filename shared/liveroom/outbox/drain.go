package outbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

const (
	drainKind = "room.out"

	batch      = 8                // messages that one write of the lease covers
	inFlight   = 24               // calls at once
	sendTime   = 10 * time.Second // of one call with its retries
	leaseSlack = 5 * time.Second  // how much longer the lease lasts than the last call
	settleTime = 2 * time.Second  // for writing a result down after the caller's time has run out
	reserve    = 2 * time.Second  // before the deadline, when no message is begun any more

	firstPause   = time.Second // of a message whose send failed
	longestPause = time.Minute

	pageSize = 64
	// maxRead is how many messages one look reads. Beyond it, messages that are put
	// off can hide others until their time comes.
	maxRead = 1024
)

// order is the body of a job.
type order struct {
	RoomID string `json:"roomId"`
}

// wake enqueues a job that drains a room, not before at.
func (o *Outbox) wake(ctx context.Context, roomID, cause string, at time.Time) error {
	if o.jobs == nil {
		return errors.New("outbox: no queue to enqueue a job in")
	}
	body, err := json.Marshal(order{roomID})
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	id := "out/" + roomID + "/" + cause
	if len(id) > queue.MaxID {
		id = fmt.Sprintf("out/%x", sha256.Sum256([]byte(id)))
	}
	return o.jobs.Put(ctx, queue.Job{ID: id, Kind: drainKind, Lane: queue.Fast, NotBefore: at, Body: body})
}

func (o *Outbox) drainJob(ctx context.Context, j queue.Job) error {
	var in order
	if err := json.Unmarshal(j.Body, &in); err != nil || in.RoomID == "" {
		return errors.New("outbox: the job names no room")
	}
	return o.Drain(ctx, in.RoomID)
}

// Drain sends the messages in a room's outbox, unless another process is sending them.
// Call it within a job that is retried when its worker dies. nil means that every
// message added before the call has been sent, or will be, by the process that holds
// the lease or by a job that Drain has enqueued. Drain enqueues a job for messages
// that are retried later, for messages that ctx left no time for, and, once for each
// room and lease, for the end of the lease, in case its holder has died. Errors are
// the store's, the queue's and the context's own.
func (o *Outbox) Drain(ctx context.Context, roomID string) error {
	if o.im == nil || o.jobs == nil {
		return errors.New("outbox: this program sends nothing to rooms")
	}
	for ctx.Err() == nil {
		// Whoever adds a message looks at the lease afterwards, and whoever releases
		// the lease looks at the messages afterwards: one of the two sees the other.
		due, _, err := o.list(ctx, roomID, nil, 1)
		if err != nil || len(due) == 0 {
			return err
		}
		h := &holder{Outbox: o, roomID: roomID, results: make(chan result), flying: make(map[string]bool)}
		wait, err := h.take(ctx)
		switch {
		case err != nil:
			return err
		case wait > 0 && o.standBy.take(roomID, o.now(), wait):
			return o.wake(ctx, roomID, fmt.Sprint("lease/", h.lease.Until.UnixMilli()), h.lease.Until)
		case wait > 0:
			return nil
		}
		if done, err := h.drain(ctx); err != nil || done {
			return err
		}
	}
	return ctx.Err()
}

// lease says who may send to a room, and what may have been sent.
type lease struct {
	Held  bool      `json:"held,omitempty"` // until Until
	Until time.Time `json:"until,omitzero"`
	Next  time.Time `json:"next,omitzero"` // when the rate limit allows the next send
	// Doubt are the messages that may have been sent, by the last part of their
	// keys in the outbox, and since when.
	Doubt map[string]time.Time `json:"doubt,omitempty"`
}

// holder holds the lease of a room. It is used by one goroutine, beside those of
// the attempts.
type holder struct {
	*Outbox
	roomID string
	lease  lease
	cond   kv.Cond // that the lease is as this holder wrote it

	results chan result
	flying  map[string]bool // messages being sent
	next    time.Time       // when the rate limit allows the next send
	wakeAt  time.Time       // when a job is to drain the room; zero: none is needed
}

// result is how one attempt ended.
type result struct {
	name   string    // in lease.Doubt
	doubt  bool      // the message may have been sent, and has not ended
	putOff time.Time // the message was put off until then
	err    error     // the store's
}

// take reads the lease. wait is how long another process may hold it.
func (h *holder) take(ctx context.Context) (wait time.Duration, err error) {
	item, err := h.store.Get(ctx, partition(h.roomID), leaseKey)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		h.cond = kv.Absent()
	case err != nil:
		return 0, err
	default:
		h.cond = kv.Rev(item.Rev)
		if err := json.Unmarshal(item.Value, &h.lease); err != nil {
			return 0, fmt.Errorf("outbox: the lease does not decode: %w", err)
		}
	}
	if h.lease.Doubt == nil {
		h.lease.Doubt = make(map[string]time.Time)
	}
	h.next = h.lease.Next
	if h.lease.Held {
		wait = max(h.lease.Until.Sub(h.now()), 0)
	}
	return wait, nil
}

// standBy are the rooms for which this process has a job that comes when the lease
// ends, by the time when it does.
type standBy struct {
	mu    sync.Mutex
	rooms map[string]time.Time
}

// maxStandBy is how many rooms a process remembers. Forgetting one costs a job.
const maxStandBy = 10_000

// take reports whether a job is to stand by for a room whose lease ends in wait: no
// other of this process does.
func (s *standBy) take(roomID string, now time.Time, wait time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[roomID].After(now) {
		return false
	}
	if len(s.rooms) >= maxStandBy {
		clear(s.rooms)
	}
	s.rooms[roomID] = now.Add(wait)
	return true
}

// write writes the lease, unless another process took it.
func (h *holder) write(ctx context.Context, l lease) (taken bool, err error) {
	l.Next = h.next
	value, err := encode(l)
	if err != nil {
		return false, fmt.Errorf("outbox: %w", err)
	}
	op := newOp()
	err = h.store.Commit(ctx, partition(h.roomID), op, kv.Put{Key: leaseKey, Value: value, Expires: h.now().Add(Kept), If: h.cond})
	switch {
	case errors.Is(err, kv.ErrConflict):
		return true, nil
	case err == nil:
		h.lease, h.cond = l, kv.Rev(op)
	}
	return false, err
}

// drain sends until nothing is due, and releases the lease. done says that there is
// nothing to look for afterwards: somebody else holds the lease, or ctx left no
// time and a job does the rest.
func (h *holder) drain(ctx context.Context) (done bool, err error) {
	err = h.send(ctx)
	for len(h.flying) > 0 {
		err = cmp.Or(err, h.land(<-h.results))
	}
	if errors.Is(err, errTaken) {
		return true, nil
	}
	done = !timeLeft(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if done {
		h.wakeBy(h.now())
	}
	if err == nil && !h.wakeAt.IsZero() {
		err = h.wake(ctx, h.roomID, fmt.Sprint("at/", h.wakeAt.UnixMilli()), h.wakeAt)
	}
	taken, released := h.write(ctx, lease{Doubt: h.lease.Doubt})
	return done || taken, cmp.Or(err, released)
}

// errTaken: the lease ended, and another process took it.
var errTaken = errors.New("outbox: another process took the lease")

// send starts messages until none is due or ctx leaves no time.
func (h *holder) send(ctx context.Context) error {
	for timeLeft(ctx) {
		for len(h.flying) > inFlight-batch {
			if err := h.land(<-h.results); err != nil {
				return err
			}
		}
		due, wait, err := h.list(ctx, h.roomID, h.flying, batch)
		switch {
		case err != nil:
			return err
		case len(due) > 0:
			if err := h.start(ctx, due); err != nil {
				return err
			}
		case len(h.flying) > 0:
			if err := h.land(<-h.results); err != nil {
				return err
			}
		default:
			h.wakeBy(wait)
			if wait.IsZero() {
				clear(h.lease.Doubt) // the outbox is empty
			}
			return nil
		}
	}
	return nil
}

// start renews the lease for a batch and starts its messages, as the rate limit
// allows. What it does not come to is due at the next look.
func (h *holder) start(ctx context.Context, due []entry) error {
	now := h.now()
	l := lease{Held: true, Until: now.Add(sendTime + leaseSlack), Doubt: maps.Clone(h.lease.Doubt)}
	doubted := make([]bool, len(due))
	for i, e := range due {
		if _, doubted[i] = l.Doubt[e.name()]; !doubted[i] {
			l.Doubt[e.name()] = now
		}
	}
	taken, err := h.write(ctx, l)
	switch {
	case err != nil:
		return err
	case taken:
		return errTaken
	}
	for i, e := range due {
		// A call ends before the lease does, and before IM has forgotten the message.
		if err := h.pace(ctx); err != nil || h.now().After(l.Until.Add(-sendTime)) {
			for j, e := range due[i:] {
				if !doubted[i+j] {
					delete(h.lease.Doubt, e.name())
				}
			}
			return nil
		}
		h.flying[e.name()] = true
		since := l.Doubt[e.name()]
		go func() { h.results <- h.attempt(ctx, e, since, doubted[i]) }()
		if err := h.landed(); err != nil {
			return err
		}
	}
	return nil
}

func timeLeft(ctx context.Context) bool {
	deadline, has := ctx.Deadline()
	return ctx.Err() == nil && (!has || time.Until(deadline) > reserve)
}

// pace waits until the rate limit allows a send, and takes that place.
func (h *holder) pace(ctx context.Context) error {
	for {
		wait := h.next.Sub(h.now())
		if wait <= 0 {
			break
		}
		if err := h.sleep(ctx, min(wait, h.every)); err != nil {
			return err
		}
		if wait > h.every {
			break // a clock of another process; one pause is all it can ask for
		}
	}
	h.next = h.now().Add(h.every)
	return ctx.Err()
}

// landed takes the results that are there, without waiting.
func (h *holder) landed() error {
	for {
		select {
		case r := <-h.results:
			if err := h.land(r); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// land notes how an attempt ended.
func (h *holder) land(r result) error {
	delete(h.flying, r.name)
	if !r.doubt {
		delete(h.lease.Doubt, r.name)
	}
	if !r.putOff.IsZero() {
		h.wakeBy(r.putOff)
	}
	return r.err
}

func (h *holder) wakeBy(at time.Time) {
	if !at.IsZero() && (h.wakeAt.IsZero() || at.Before(h.wakeAt)) {
		h.wakeAt = at
	}
}

// list returns the first messages that are due, the most important and then the
// oldest first, and when the first of those is due that were put off. Messages in
// flight are left out. Of more than a page of one priority, the order of keys
// decides what comes first.
func (o *Outbox) list(ctx context.Context, roomID string, flying map[string]bool, most int) (due []entry, wait time.Time, err error) {
	now := o.now()
	for r, read := (kv.Range{Prefix: outPrefix, Limit: pageSize}), 0; read < maxRead && len(due) < most; {
		page, err := o.store.List(ctx, partition(roomID), r)
		if err != nil {
			return nil, wait, err
		}
		for _, item := range page.Items {
			e, err := decode(roomID, item)
			switch {
			case err != nil:
				slog.ErrorContext(ctx, "message in an outbox does not decode", "error", err.Error())
			case flying[e.name()]:
			case !e.NotBefore.After(now):
				due = append(due, e)
			case wait.IsZero() || e.NotBefore.Before(wait):
				wait = e.NotBefore
			}
		}
		if page.Next == "" {
			break
		}
		r.After = page.Next
		read += len(page.Items)
	}
	slices.SortStableFunc(due, func(a, b entry) int {
		return cmp.Or(cmp.Compare(ranks[a.Priority], ranks[b.Priority]), a.Added.Compare(b.Added))
	})
	return due[:min(len(due), most)], wait, nil
}

// name is how a lease names a message.
func (e entry) name() string { return strings.TrimPrefix(e.key, outPrefix) }

func decode(roomID string, item kv.Item) (entry, error) {
	e := entry{key: item.Key, rev: item.Rev}
	err := json.Unmarshal(item.Value, &e.record)
	e.RoomID, e.Priority = roomID, priorities[item.Key[len(outPrefix)]]
	return e, err
}

// attempt handles a message once. since is when it may have been sent for the first
// time, doubted whether that was before this attempt. Whatever goes wrong puts off
// this message alone; only a store that cannot write even that ends the drain.
func (h *holder) attempt(ctx context.Context, e entry, since time.Time, doubted bool) (r result) {
	r.name, r.doubt = e.name(), doubted
	ended, err := func() (ended bool, err error) {
		defer func() {
			if p := recover(); p != nil {
				slog.ErrorContext(ctx, "outbox panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				err = errors.New("the handler panicked")
			}
		}()
		end, err := h.deliver(ctx, e, since, &r.doubt)
		if err != nil {
			return false, err
		}
		return true, h.close(ctx, e, end)
	}()
	if err == nil {
		return result{name: r.name}
	}
	if ended {
		r.doubt = false // its end is written
	}
	slog.WarnContext(ctx, "message to a room failed; it is retried", "attempt", e.Attempts+1, "error", err.Error())
	r.putOff, r.err = h.putOff(ctx, e)
	return r
}

// deliver sends a message and writes how it ended, or finds that it has ended. An
// error means that it has not ended; doubt says whether it may have been sent.
func (h *holder) deliver(ctx context.Context, e entry, since time.Time, doubt *bool) (Outcome, error) {
	// Its after-callback was faster, or it was added a second time after it ended, or the
	// process that sent it died before it had told so.
	if end, _, err := h.end(ctx, h.roomID, e.Key); !errors.Is(err, kv.ErrNotFound) {
		return end, err
	}
	age := h.now().Sub(since)
	switch {
	case *doubt && age >= once.Window:
		return h.conclude(ctx, e, Outcome{State: Unknown})
	case !*doubt && h.now().Sub(e.Added) >= e.Patience:
		return h.conclude(ctx, e, Outcome{State: Refused})
	}
	_, random := im.Numbers("out/" + h.roomID + "/" + e.Key)
	sending, cancel := context.WithTimeout(ctx, min(sendTime, once.Window-age))
	defer cancel()
	sent, err := h.im.SendGroupMsg(sending, im.GroupMsg{
		GroupID: h.roomID, From: e.From, Random: random, Priority: e.Priority, Body: e.Body,
		CloudCustomData: e.CloudCustomData, AfterCallback: e.AfterCallback,
	})
	*doubt = *doubt || err == nil || im.MayHaveWorked(err)
	switch {
	case err == nil:
		return h.conclude(ctx, e, Outcome{State: Sent, MsgSeq: sent.MsgSeq})
	case !im.Lasting(err):
		return Outcome{}, err
	case *doubt:
		// IM may refuse because it had the message before; nobody can look it up.
		return h.conclude(ctx, e, Outcome{State: Unknown, Code: codeOf(err)})
	}
	slog.WarnContext(ctx, "message to a room refused", "error", err.Error())
	return h.conclude(ctx, e, Outcome{State: Refused, Code: codeOf(err)})
}

func codeOf(err error) im.Code {
	if e, is := errors.AsType[*im.Error](err); is {
		return e.Code
	}
	return 0
}

// conclude writes how a message ended, and returns how it did.
func (h *holder) conclude(ctx context.Context, e entry, o Outcome) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	return h.finish(ctx, h.roomID, e.Key, o)
}

// close tells how a message ended and takes it out of the outbox.
func (h *holder) close(ctx context.Context, e entry, end Outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if e.Kind != "" {
		told := h.told[e.Kind]
		if told == nil {
			return fmt.Errorf("outbox: no handler for messages of kind %q in this program", e.Kind)
		}
		if err := told(ctx, e.Message, end); err != nil {
			return err
		}
	}
	err := h.store.Commit(ctx, partition(h.roomID), newOp(), kv.Delete{Key: e.key, If: kv.Rev(e.rev)})
	if errors.Is(err, kv.ErrConflict) {
		return nil // closed by another process, or put off by one that was too slow: the next look closes it
	}
	return err
}

// putOff puts a message off, and returns until when.
func (h *holder) putOff(ctx context.Context, e entry) (time.Time, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	e.NotBefore = h.now().Add(min(firstPause<<min(e.Attempts, 10), longestPause))
	e.Attempts++
	value, err := encode(e.record)
	if err != nil {
		return time.Time{}, fmt.Errorf("outbox: %w", err)
	}
	err = h.store.Commit(ctx, partition(h.roomID), newOp(), kv.Put{Key: e.key, Value: value, If: kv.Rev(e.rev)})
	if errors.Is(err, kv.ErrConflict) {
		err = nil // another holder has it
	}
	return e.NotBefore, err
}

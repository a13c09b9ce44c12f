// Package once sends a message exactly once, however often and however late the
// send is retried: a deduplicated send on top of IM's own short deduplication.
//
//	sends := once.New(store, client, nil)
//	sent, err := sends.Group(ctx, "ticket/7/greeting", im.GroupMsg{GroupID: g, From: bot, Body: im.Text("hello")})
//
// The event is the idempotency key of this one message to this one receiver: a
// retry of the same job, in any process, gives the same event. The first message
// given for an event is the one that is sent, whatever message a retry brings.
//
// # How
//
// Sender writes the message to the store before it calls IM, and writes the result
// after IM has accepted the message. The process may die between the two, and the
// call may time out. A retry within [Window] sends the same bytes with the same
// dedupe numbers, which IM recognises (for 120 s one-to-one, for 5 minutes in
// groups). A later retry first looks for the dedupe numbers in IM's history.
//
// # What cannot be known
//
// AVChatRooms have no history, nor do broadcasts, online-only and directed
// messages. There a send is at most once after Window: if nobody can tell whether
// IM took the message, the send ends with [ErrUnknown] and is not retried. The same
// holds in a group where more than a thousand messages followed.
//
// A record is kept for [Kept]. A retry after that sends a new message.
package once

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Our decisions.
const (
	// Window is how long a retry relies on IM's own deduplication.
	Window = 90 * time.Second
	// Kept is how long the record of a send is kept.
	Kept = 7 * 24 * time.Hour

	// MaxEvent bounds the name of an event, in bytes.
	MaxEvent = 400

	slack       = time.Minute // between IM's clock and ours
	shards      = 16
	commitTries = 3
)

var (
	// ErrUnknown: IM may or may not have taken the message, and nothing can tell. It
	// is not sent again; a retry returns the same error.
	ErrUnknown = errors.New("once: it is unknown whether the message was sent, and it is not sent again")
	// ErrInvalid: the event has no name, or too long a one, or the message has no
	// sender. Nothing was sent.
	ErrInvalid = errors.New("once: an event of 1 to 400 bytes and a sender are required")
)

// errNoHistory: there is nothing to look for the message in.
var errNoHistory = errors.New("no history")

// Sender sends messages once. It is safe for concurrent use, also by several
// processes with the same store.
type Sender struct {
	store  kv.Store
	client *im.Client
	now    func() time.Time
}

// New returns a Sender that keeps its records in partitions named sends/00 to
// sends/15. now may be nil for the wall clock.
func New(store kv.Store, client *im.Client, now func() time.Time) *Sender {
	if now == nil {
		now = time.Now
	}
	return &Sender{store, client, now}
}

// state is where a send stands. Without a record it has not begun.
type state string

const (
	sending state = "sending" // it may be on its way
	sent    state = "sent"
	unknown state = "unknown"
)

// record is what is remembered of a send.
type record[M, A any] struct {
	State   state     `json:"state"`
	Since   time.Time `json:"since"`             // when it was begun, the last time that IM could not have known it
	Message *M        `json:"message,omitempty"` // while it is being sent
	Answer  *A        `json:"answer,omitempty"`  // when it was
}

// kind is what differs between kinds of messages.
type kind[M, A any] struct {
	name string
	send func(context.Context, M) (A, error)
	// find looks in the history for a message that was sent at since or later;
	// errNoHistory if it cannot say.
	find func(ctx context.Context, m M, since time.Time) (answer A, found bool, err error)
}

// send is the sending of one message.
type send[M, A any] struct {
	*Sender
	kind      kind[M, A]
	partition string
	key       string
}

// deliver sends a message of some kind once and returns IM's answer.
func deliver[M, A any](ctx context.Context, s *Sender, k kind[M, A], event, from string, m M) (A, error) {
	var none A
	if event == "" || len(event) > MaxEvent || from == "" {
		return none, ErrInvalid
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(event))
	d := send[M, A]{s, k, partition(int(h.Sum32() % shards)), k.name + "/" + event}
	for ctx.Err() == nil {
		r, rev, err := d.load(ctx)
		switch {
		case errors.Is(err, kv.ErrNotFound):
			r = record[M, A]{State: sending, Since: s.now(), Message: &m}
			rev, err = d.save(ctx, r, kv.Absent())
			if err == nil {
				return d.attempt(ctx, r, rev, true)
			}
		case err != nil:
			return none, err
		case r.State == sent:
			return *r.Answer, nil
		case r.State == unknown:
			return none, ErrUnknown
		case s.now().Sub(r.Since) < Window:
			// The new revision keeps an earlier attempt, if it should turn out that
			// nothing went out, from forgetting this one.
			rev, err = d.save(ctx, r, kv.Rev(rev))
			if err == nil {
				return d.attempt(ctx, r, rev, false)
			}
		default:
			answer, found, lost := d.kind.find(ctx, *r.Message, r.Since)
			switch {
			case errors.Is(lost, errNoHistory):
				d.settle(ctx, record[M, A]{State: unknown, Since: r.Since}, "unknown")
				return none, ErrUnknown
			case lost != nil:
				return none, lost
			case found:
				d.settle(ctx, record[M, A]{State: sent, Since: r.Since, Answer: &answer}, "found")
				return answer, nil
			}
			r.Since = s.now()
			rev, err = d.save(ctx, r, kv.Rev(rev))
			if err == nil {
				return d.attempt(ctx, r, rev, true)
			}
		}
		if !errors.Is(err, kv.ErrConflict) {
			return none, err
		}
		// Somebody else was faster; look again.
	}
	return none, ctx.Err()
}

func partition(shard int) string { return fmt.Sprintf("sends/%02d", shard) }

// attempt sends what the record says. first says that no earlier attempt can have
// worked.
func (d send[M, A]) attempt(ctx context.Context, r record[M, A], rev string, first bool) (A, error) {
	var none A
	// Nothing leaves so late that IM has forgotten an earlier attempt, or that a
	// repeat has looked for this one in vain. Waiting for a turn is no exception.
	left := Window - d.now().Sub(r.Since)
	bounded, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	answer, err := d.kind.send(bounded, *r.Message)
	if err == nil {
		d.settle(ctx, record[M, A]{State: sent, Since: r.Since, Answer: &answer}, "")
		return answer, nil
	}
	if first && !im.MayHaveWorked(err) {
		d.forget(ctx, rev) // nothing went out: the next attempt begins anew
		return none, err
	}
	if !refused(err) {
		return none, err
	}
	// IM may refuse because it had the message before.
	if answer, found, lost := d.kind.find(ctx, *r.Message, r.Since); lost == nil && found {
		d.settle(ctx, record[M, A]{State: sent, Since: r.Since, Answer: &answer}, "found")
		return answer, nil
	}
	return none, err
}

// refused reports whether IM has said no, and would again.
func refused(err error) bool {
	e, ok := errors.AsType[*im.Error](err)
	return ok && e.Code != 0 && e.Class != im.ClassTransient && e.Class != im.ClassThrottled
}

func (d send[M, A]) load(ctx context.Context) (r record[M, A], rev string, err error) {
	item, err := d.store.Get(ctx, d.partition, d.key)
	if err != nil {
		return r, "", err
	}
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return r, "", fmt.Errorf("once: the record of a send does not decode: %w", err)
	}
	return r, item.Rev, nil
}

// save writes a record and returns its revision. Counter, if any, counts one more
// in the same Commit. An answer that the store loses is asked for again.
func (d send[M, A]) save(ctx context.Context, r record[M, A], cond kv.Cond, counters ...string) (rev string, err error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // or the message would grow, and change
	if err := enc.Encode(r); err != nil {
		return "", fmt.Errorf("once: the message does not encode: %w", err)
	}
	writes := []kv.Write{kv.Put{Key: d.key, Value: b.Bytes(), Expires: d.now().Add(Kept), If: cond}}
	for _, counter := range counters {
		writes = append(writes, kv.Add{Key: countKey, Deltas: []kv.Delta{{Counter: counter, By: 1}}})
	}
	rev = kv.NewOp("once")
	for range commitTries {
		if err = d.store.Commit(ctx, d.partition, rev, writes...); !errors.Is(err, kv.ErrUnavailable) {
			break
		}
	}
	return rev, err
}

// settle writes down how the send ended. If that fails, a repeat finds out the
// same again, so the caller's result stands.
func (d send[M, A]) settle(ctx context.Context, end record[M, A], counter string) {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	var counters []string
	if counter != "" {
		counters = []string{counter}
	}
	for ctx.Err() == nil {
		r, rev, err := d.load(ctx)
		cond := kv.Rev(rev)
		switch {
		case errors.Is(err, kv.ErrNotFound):
			cond = kv.Absent() // another attempt was refused and forgot the send
		case err != nil:
			slog.WarnContext(ctx, "outcome of a send not recorded; a retry settles it", "error", err.Error())
			return
		case r.State == sent, r.State == end.State:
			return
		}
		if _, err = d.save(ctx, end, cond, counters...); !errors.Is(err, kv.ErrConflict) {
			if err != nil {
				slog.WarnContext(ctx, "outcome of a send not recorded; a retry settles it", "error", err.Error())
			}
			return
		}
	}
}

// forget takes the record away, unless somebody has changed it.
func (d send[M, A]) forget(ctx context.Context, rev string) {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	err := d.store.Commit(ctx, d.partition, kv.NewOp("once"), kv.Delete{Key: d.key, If: kv.Rev(rev)})
	if err != nil && !errors.Is(err, kv.ErrConflict) {
		slog.WarnContext(ctx, "refused send not removed; a retry treats it as possibly sent", "error", err.Error())
	}
}

const countKey = "count"

// Counts holds the exact numbers of sends that ended otherwise than by IM's answer.
type Counts struct {
	Found   int64 // the answer was lost; the history had the message
	Unknown int64 // ended with ErrUnknown
}

// Counts sums up all sends of the store.
func (s *Sender) Counts(ctx context.Context) (Counts, error) {
	var sum Counts
	for shard := range shards {
		item, err := s.store.Get(ctx, partition(shard), countKey)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return Counts{}, err
		}
		sum.Found += item.Counters["found"]
		sum.Unknown += item.Counters["unknown"]
	}
	return sum, nil
}

// Package idem makes a request safe to retry: a retry with the same idempotency key
// gets the answer of the first request, and the work is done once.
//
//	answer, replayed, err := keeper.Do(ctx, "server shop\nPOST /mail", key, sha256.Sum256(body), send)
//
// HTTP routes use it through api.Idempotent. A job calls Do itself, and returns a
// queue.Later on ErrInProgress.
//
// # What to rely on
//
// While a request is worked on, its retries get [ErrInProgress]; once the request has
// been answered, retries get that answer for a day. The result of work that fails is
// not kept, and the work may be retried at once. A process that dies at work leaves a
// lease, which ends a few seconds after the process's deadline; then a retry does the
// work, which must be safe to begin twice. So a commit that moves money has an
// idempotency key of its own; and answers are stored unencrypted, so no route that
// hands out credentials may use this package.
package idem

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Limits of kept answers. Our decision.
const (
	// Kept is how long an answer is kept.
	Kept = 24 * time.Hour
	// MaxAnswer is how many bytes of an answer are kept. A larger answer reaches the
	// first caller alone; retries get ErrNotKept.
	MaxAnswer = 128 << 10
)

const (
	// longest is how long work may take whose context has no deadline.
	longest = 2 * time.Minute
	// leaseSlack is how much longer than the work a lease lasts.
	leaseSlack = 5 * time.Second
	// comeAgain is how soon a repeat may ask again, unless the lease ends
	// before.
	comeAgain = 2 * time.Second
)

// The errors of Do besides those of the work. Each is a fault that may be shown
// to the caller; test with errors.Is. Another is of the code Unavailable: the
// store cannot be reached, and nothing was done.
var (
	// ErrInProgress: the first request with this key has not been answered. The fault
	// says when to retry.
	ErrInProgress = errors.New("idem: in progress")
	// ErrOtherRequest: the key was used for a request that asked for something
	// else.
	ErrOtherRequest = errors.New("idem: the key belongs to another request")
	// ErrNotKept: the request was answered, but too long to be kept.
	ErrNotKept = errors.New("idem: the answer was too long to be kept")
)

// Keeper keeps answers in a store. It is safe for concurrent use, also by
// several processes.
type Keeper struct {
	store kv.Store
	now   func() time.Time
}

// New returns a keeper. now may be nil for the wall clock.
func New(store kv.Store, now func() time.Time) *Keeper {
	if now == nil {
		now = time.Now
	}
	return &Keeper{store: store, now: now}
}

// record is what is known of a request.
type record struct {
	Body   []byte    `json:"body"`           // hash of what was asked
	Until  time.Time `json:"until,omitzero"` // somebody works on it until then; zero: it was answered
	Answer []byte    `json:"answer,omitempty"`
	Large  bool      `json:"large,omitempty"` // there was an answer, too large to be kept
}

// slot is where the record of a request is.
type slot struct{ partition, key string }

// slotOf spreads requests over partitions, so that many of one caller are no
// burden on one.
func slotOf(scope, key string) slot {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(scope), scope, key))
	name := hex.EncodeToString(sum[:])
	return slot{"idem/" + name[:2], name}
}

// Do does the work, unless the work was done for the same scope and key before: then
// Do returns that answer, and replayed is true. scope names the caller and the route,
// key is the caller's name for this request, body a hash of the whole request. The
// result of work that returns an error or panics is not kept. When ctx has ended, Do
// does nothing.
//
// If work outlives its context, a retry may take over. The late answer is not kept
// then: Do returns the retry's answer, or ErrInProgress.
func (k *Keeper) Do(ctx context.Context, scope, key string, body [sha256.Size]byte, work func(context.Context) ([]byte, error)) (answer []byte, replayed bool, err error) {
	s := slotOf(scope, key)
	allowed := longest
	if deadline, has := ctx.Deadline(); has {
		allowed = min(allowed, time.Until(deadline))
	}
	claim := record{Body: body[:], Until: k.now().Add(allowed + leaseSlack)}
	rev, answer, err := k.claim(ctx, s, claim)
	if err != nil || rev == "" {
		return answer, err == nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, allowed)
	defer cancel()
	worked := false
	defer func() {
		if !worked {
			k.release(ctx, s, rev)
		}
	}()
	answer, err = work(ctx)
	if err != nil {
		return nil, false, err
	}
	worked = true
	return k.settle(ctx, s, rev, body, answer)
}

// tries is how often a claim is tried that others keep getting in the way of.
const tries = 4

// claim takes the slot and returns its revision; without one it returns the
// answer that is there.
func (k *Keeper) claim(ctx context.Context, s slot, claim record) (rev string, answer []byte, err error) {
	cond := kv.Absent()
	for range tries {
		rev, err := k.put(ctx, s, claim, cond)
		if !errors.Is(err, kv.ErrConflict) {
			return rev, nil, err
		}
		answer, lapsed, err := k.look(ctx, s, claim.Body)
		if err != nil || lapsed.IsZero() {
			return "", answer, err
		}
		cond = lapsed
	}
	return "", nil, k.inProgress(claim)
}

// look returns the answer in a slot, or the condition under which the slot may
// be claimed.
func (k *Keeper) look(ctx context.Context, s slot, body []byte) (answer []byte, lapsed kv.Cond, err error) {
	item, err := k.store.Get(ctx, s.partition, s.key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, kv.Absent(), nil
	}
	if err != nil {
		return nil, kv.Cond{}, err
	}
	var r record
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return nil, kv.Cond{}, fmt.Errorf("idem: a record does not decode: %w", err)
	}
	switch {
	case string(r.Body) != string(body):
		err = fault.Wrap(ErrOtherRequest, fault.IdempotencyMismatch, "this key was used for another request; use a new one")
	case r.Large:
		err = fault.Wrap(ErrNotKept, fault.Conflict, "this was done before; the answer was too long to be repeated")
	case r.Until.IsZero():
		return r.Answer, kv.Cond{}, nil
	case r.Until.After(k.now()):
		err = k.inProgress(r)
	default:
		return nil, kv.Rev(item.Rev), nil
	}
	return nil, kv.Cond{}, err
}

func (k *Keeper) inProgress(r record) error {
	wait := min(r.Until.Sub(k.now()), comeAgain)
	return fault.Wrap(ErrInProgress, fault.Conflict, "this request is being worked on; come again").After(wait)
}

// settle keeps the answer, if the slot is still this one's.
func (k *Keeper) settle(ctx context.Context, s slot, rev string, body [sha256.Size]byte, answer []byte) ([]byte, bool, error) {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	done := record{Body: body[:], Answer: answer}
	if len(answer) > MaxAnswer {
		done.Answer, done.Large = nil, true
	}
	_, err := k.put(ctx, s, done, kv.Rev(rev))
	if errors.Is(err, kv.ErrConflict) {
		theirs, lapsed, err := k.look(ctx, s, body[:])
		if err == nil && !lapsed.IsZero() {
			// They, too, are overdue or have failed.
			err = k.inProgress(record{Until: k.now().Add(comeAgain)})
		}
		return theirs, err == nil, err
	}
	if err != nil {
		// The work was done: say so. A repeat would do it again.
		slog.ErrorContext(ctx, "answer to an Idempotency-Key not stored", "error", err.Error())
	}
	return answer, false, nil
}

// release gives a slot back. Where that fails, its lease ends.
func (k *Keeper) release(ctx context.Context, s slot, rev string) {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	err := k.store.Commit(ctx, s.partition, kv.NewOp("idem"), kv.Delete{Key: s.key, If: kv.Rev(rev)})
	if err != nil && !errors.Is(err, kv.ErrConflict) {
		slog.WarnContext(ctx, "failed request not released; its retries are refused until the lease ends", "error", err.Error())
	}
}

// put writes a record and returns its revision.
func (k *Keeper) put(ctx context.Context, s slot, r record, cond kv.Cond) (rev string, err error) {
	value, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("idem: %w", err)
	}
	rev = kv.NewOp("idem")
	err = k.store.Commit(ctx, s.partition, rev, kv.Put{Key: s.key, Value: value, Expires: k.now().Add(Kept), If: cond})
	return rev, err
}

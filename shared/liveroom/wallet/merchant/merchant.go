// Package merchant is the ledger of the merchant's own server, behind the port of
// package wallet.
//
// A move is a signed POST (package hook) of
//
//	{"move":{"id","userId","amount","why","ref","body"}}
//
// under the Idempotency-Key move:<userId>:<id>. The server answers 200 {"balance"} once
// it has made the move, and so whenever it is asked again; 402 if the balance is not
// sufficient. A balance is asked for by {"balance":{"userId"}} and answered by 200
// {"balance"}.
//
// # What to rely on
//
// The move is stored before the first call, with the very bytes that are sent: a retry
// sends the same bytes, also after our program or the gift has changed. A move whose
// answer is lost is unsettled: a retry of the caller settles the move, or a job does.
// The writes that belong to the move (wallet.Along) are committed together with the
// record that the move was made, after the merchant has answered.
package merchant

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

const (
	settleKind = "wallet.settle"
	// settleAfter is how long after a move was begun a job settles it: longer than
	// the request may take that began it.
	settleAfter = 20 * time.Second
	// settleAgain is how soon that job comes again while the merchant does not answer.
	settleAgain = 30 * time.Second
	tries       = 50
	longPause   = 50 * time.Millisecond
	movePrefix  = "merchant/move/"
)

// Ledger is a [wallet.Ledger] kept by the merchant's server. It is safe for concurrent
// use.
type Ledger struct {
	store kv.Store
	jobs  *queue.Ledger
	hook  *hook.Hook
	now   func() time.Time
	along map[string]wallet.Along
}

// New returns the ledger behind a hook, and registers its kind of job. now may be nil
// for the wall clock.
func New(store kv.Store, jobs *queue.Ledger, h *hook.Hook, now func() time.Time) *Ledger {
	if now == nil {
		now = time.Now
	}
	l := &Ledger{store: store, jobs: jobs, hook: h, now: now, along: make(map[string]wallet.Along)}
	jobs.Handle(settleKind, l.settleJob)
	return l
}

// Along implements wallet.Ledger.
func (l *Ledger) Along(why string, f wallet.Along) { l.along[why] = f }

// state says how a move stands.
type state string

const (
	calling      state = "calling" // the merchant may have been asked
	made         state = "made"
	insufficient state = "insufficient"
	refused      state = "refused"
)

// record is what is known of a move.
type record struct {
	State state       `json:"state"`
	Made  wallet.Made `json:"made"`
	Sent  []byte      `json:"sent,omitempty"` // what the merchant is sent, while calling
}

// Make implements wallet.Ledger. Moves that a merchant refuses for good for another
// reason than the balance are wallet.ErrRefused.
func (l *Ledger) Make(ctx context.Context, m wallet.Move) (wallet.Made, error) {
	if err := m.Check(); err != nil {
		return wallet.Made{}, err
	}
	r, cond, err := l.load(ctx, m.UserID, m.ID)
	if errors.Is(err, kv.ErrNotFound) {
		r, cond, err = l.begin(ctx, m)
	}
	if err != nil {
		return wallet.Made{}, public(err)
	}
	if !r.Made.Same(m) {
		return wallet.Made{}, wallet.ErrOtherMove
	}
	replayed := r.State != calling
	if !replayed {
		if r, err = l.call(ctx, r, cond); err != nil {
			return wallet.Made{}, public(err)
		}
	}
	r.Made.Replayed = replayed
	return r.Made, r.State.err()
}

func (s state) err() error {
	switch s {
	case calling:
		return wallet.ErrUnsettled
	case insufficient:
		return wallet.ErrInsufficient
	case refused:
		return wallet.ErrRefused
	}
	return nil
}

// begin writes a move down before the merchant is asked, and the job that settles it
// before that.
func (l *Ledger) begin(ctx context.Context, m wallet.Move) (r record, cond kv.Cond, err error) {
	var sent bytes.Buffer
	enc := json.NewEncoder(&sent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]any{"move": m}); err != nil {
		return r, cond, fmt.Errorf("merchant: %w", err)
	}
	r = record{State: calling, Made: wallet.Made{Move: m}, Sent: sent.Bytes()}
	now := l.now()
	body, err := json.Marshal(m)
	if err != nil {
		return r, cond, fmt.Errorf("merchant: %w", err)
	}
	err = l.jobs.Put(ctx, queue.Job{
		ID: fmt.Sprintf("wallet/%s/%d", m.ID, now.UnixMilli()), Kind: settleKind, Lane: queue.Fast, NotBefore: now.Add(settleAfter), Body: body,
	})
	if err != nil {
		return r, cond, err
	}
	cond, err = l.save(ctx, r, kv.Absent())
	if errors.Is(err, kv.ErrConflict) {
		return l.load(ctx, m.UserID, m.ID) // another request of this id was faster
	}
	return r, cond, err
}

// call asks the merchant and writes down what a definite answer says.
func (l *Ledger) call(ctx context.Context, r record, cond kv.Cond) (record, error) {
	m := r.Made.Move
	status, answer, err := l.hook.Post(ctx, "move:"+m.UserID+":"+m.ID, r.Sent)
	var said struct {
		Balance *int64 `json:"balance"`
	}
	switch {
	case status == http.StatusPaymentRequired:
		r.State = insufficient
	case errors.Is(err, hook.ErrRefused):
		slog.ErrorContext(ctx, "the merchant's ledger refused a move for good", "why", m.Why, "status", status)
		r.State = refused
	case err != nil:
		slog.WarnContext(ctx, "the merchant's ledger did not settle a move", "why", m.Why, "error", err.Error())
		return r, nil // unsettled
	case json.Unmarshal(answer, &said) != nil || said.Balance == nil || *said.Balance < 0 || *said.Balance > wallet.MaxAmount:
		// It may have made the move; a person has to look at the server.
		slog.ErrorContext(ctx, "the merchant's ledger did not answer a balance", "why", m.Why, "status", status)
		return r, nil
	default:
		r.State, r.Made.Balance = made, *said.Balance
	}
	return l.settle(ctx, r, cond)
}

// settle writes down how a move ended, with what belongs to it, unless another process
// did.
func (l *Ledger) settle(ctx context.Context, r record, cond kv.Cond) (record, error) {
	r.Sent = nil
	var err error
	for try := range tries {
		r.Made.At = l.now().UTC()
		var writes []kv.Write
		if along := l.along[r.Made.Why]; along != nil && r.State == made {
			if r.Made.Note, writes, err = along(ctx, r.Made); err != nil {
				return r, err
			}
		}
		if _, err = l.save(ctx, r, cond, writes...); !errors.Is(err, kv.ErrConflict) {
			return r, err
		}
		now, rev, err := l.load(ctx, r.Made.UserID, r.Made.ID)
		if err != nil || now.State != calling {
			return now, err
		}
		cond = rev
		if err := retry.Sleep(ctx, mathrand.N(min(time.Millisecond<<try, longPause))); err != nil {
			return r, err
		}
	}
	return r, err
}

func (l *Ledger) load(ctx context.Context, userID, id string) (r record, cond kv.Cond, err error) {
	item, err := l.store.Get(ctx, wallet.Partition(userID), movePrefix+id)
	if err != nil {
		return r, cond, err
	}
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return r, cond, fmt.Errorf("merchant: a move does not decode: %w", err)
	}
	return r, kv.Rev(item.Rev), nil
}

func (l *Ledger) save(ctx context.Context, r record, cond kv.Cond, along ...kv.Write) (kv.Cond, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return cond, fmt.Errorf("merchant: %w", err)
	}
	put := kv.Put{Key: movePrefix + r.Made.ID, Value: value, If: cond}
	if r.State == insufficient || r.State == refused {
		put.Expires = l.now().Add(wallet.RefusalKept)
	}
	op := "merchant/" + rand.Text()
	return kv.Rev(op), l.store.Commit(ctx, wallet.Partition(r.Made.UserID), op, append([]kv.Write{put}, along...)...)
}

// settleJob settles a move that nobody asked for again.
func (l *Ledger) settleJob(ctx context.Context, j queue.Job) error {
	var m wallet.Move
	if err := json.Unmarshal(j.Body, &m); err != nil {
		return errors.New("merchant: the job names no move")
	}
	r, _, err := l.load(ctx, m.UserID, m.ID)
	if errors.Is(err, kv.ErrNotFound) {
		return nil // it was never begun, or was refused long ago
	}
	if err != nil || r.State != calling {
		return err
	}
	_, err = l.Make(ctx, m)
	switch {
	case errors.Is(err, wallet.ErrUnsettled):
		return queue.Later{After: settleAgain}
	case errors.Is(err, wallet.ErrInsufficient), errors.Is(err, wallet.ErrRefused):
		return nil
	}
	return err
}

// Find implements wallet.Ledger.
func (l *Ledger) Find(ctx context.Context, userID, id string) (wallet.Made, error) {
	r, _, err := l.load(ctx, userID, id)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return wallet.Made{}, wallet.ErrNoMove
	case err != nil:
		return wallet.Made{}, public(err)
	}
	return r.Made, r.State.err()
}

// Account implements wallet.Ledger. The answer has neither Issued nor Spent, which the
// merchant alone knows.
func (l *Ledger) Account(ctx context.Context, userID string) (wallet.Account, error) {
	body, err := json.Marshal(map[string]any{"balance": map[string]string{"userId": userID}})
	if err != nil {
		return wallet.Account{}, fmt.Errorf("merchant: %w", err)
	}
	_, answer, err := l.hook.Post(ctx, "balance:"+userID+":"+rand.Text(), body)
	var said struct {
		Balance *int64 `json:"balance"`
	}
	if err != nil || json.Unmarshal(answer, &said) != nil || said.Balance == nil {
		return wallet.Account{}, fault.Wrap(err, fault.Upstream, "the merchant's ledger does not answer; ask again").After(5 * time.Second)
	}
	return wallet.Account{Balance: *said.Balance}, nil
}

// Statement implements wallet.Ledger: it returns wallet.ErrNoStatement, since the
// merchant keeps the statements.
func (l *Ledger) Statement(context.Context, string, string, int) ([]wallet.Line, string, error) {
	return nil, "", wallet.ErrNoStatement
}

// public gives an error of the store or the queue its sentence for people.
func public(err error) error {
	if errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrConflict) || errors.Is(err, queue.ErrUnavailable) {
		return fault.Wrap(err, fault.Unavailable, "the wallets cannot be reached; ask again with the same Idempotency-Key").After(2 * time.Second)
	}
	return err
}

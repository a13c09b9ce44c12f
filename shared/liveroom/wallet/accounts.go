package wallet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	mathrand "math/rand/v2"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/retry"
)

const (
	// RefusalKept is how long a refusal stays bound to a move's ID.
	RefusalKept = 24 * time.Hour

	tries     = 50 // of a move that others of the same user keep getting in the way of
	longPause = 50 * time.Millisecond
	turns     = 256
)

// Accounts is the built-in ledger, in the state store. Redis may lose acknowledged
// writes in a failover: on Redis an operator has to accept that risk.
type Accounts struct {
	store kv.Store
	now   func() time.Time
	along map[string]Along
	// turn has the moves of a user wait for each other in this process, where they
	// would conflict. Users share the places by hash.
	turn [turns]chan struct{}
}

// New returns the ledger in a store. now may be nil for the wall clock.
func New(store kv.Store, now func() time.Time) *Accounts {
	if now == nil {
		now = time.Now
	}
	a := &Accounts{store: store, now: now, along: make(map[string]Along)}
	for i := range a.turn {
		a.turn[i] = make(chan struct{}, 1)
	}
	return a
}

// Along implements Ledger.
func (a *Accounts) Along(why string, f Along) { a.along[why] = f }

// account is an Account as it is stored.
type account struct {
	Account
	Moves int64 `json:"moves"` // how many were made: the number of the next line
}

// record is what is known of a move.
type record struct {
	Made
	Insufficient bool `json:"insufficient,omitempty"` // it was refused for that
}

// Make implements Ledger.
func (a *Accounts) Make(ctx context.Context, m Move) (Made, error) {
	if err := m.Check(); err != nil {
		return Made{}, err
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(m.UserID))
	turn := a.turn[h.Sum32()%turns]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return Made{}, ctx.Err()
	}
	var err error
	for try := range tries {
		var made Made
		// A commit whose answer was lost shows in the record of the move.
		if made, err = a.try(ctx, m); !errors.Is(err, kv.ErrConflict) {
			return made, public(err)
		}
		if err := retry.Sleep(ctx, mathrand.N(min(time.Millisecond<<try, longPause))); err != nil {
			return Made{}, err
		}
	}
	return Made{}, public(err)
}

// try makes a move unless somebody wrote to the wallet at the same time.
func (a *Accounts) try(ctx context.Context, m Move) (Made, error) {
	made, err := a.find(ctx, m.UserID, m.ID)
	switch {
	case err == nil && !made.Same(m), errors.Is(err, ErrInsufficient) && !made.Same(m):
		return Made{}, ErrOtherMove
	case err == nil:
		made.Replayed = true
		return made, nil
	case !errors.Is(err, ErrNoMove):
		return Made{}, err
	}
	was, cond, err := a.account(ctx, m.UserID)
	if err != nil {
		return Made{}, err
	}
	made = Made{Move: m, At: a.now().UTC()}
	is, err := was.after(m)
	made.Balance = is.Balance
	if errors.Is(err, ErrInsufficient) {
		made.Balance = was.Balance
		return made, a.refuse(ctx, made)
	}
	if err != nil {
		return Made{}, err
	}
	writes, err := a.writes(ctx, &made, is, cond)
	if err != nil {
		return Made{}, err
	}
	return made, a.store.Commit(ctx, Partition(m.UserID), "wallet/"+rand.Text(), writes...)
}

// after is the account once a move is made.
func (a account) after(m Move) (account, error) {
	a.Moves++
	a.Balance += m.Amount
	switch {
	case m.Amount < 0 || m.Why == Refund:
		a.Spent -= m.Amount
	default:
		a.Issued += m.Amount
	}
	switch {
	case a.Balance < 0:
		return a, ErrInsufficient
	case a.Balance > MaxAmount, a.Issued > MaxAmount, a.Spent > MaxAmount, a.Spent < 0:
		return a, ErrRange
	}
	return a, nil
}

// The kinds of moves that this package knows.
const (
	TopUp  = "topup"
	Refund = "refund" // takes a payment back
)

// writes are those of a move, whose note they complete.
func (a *Accounts) writes(ctx context.Context, m *Made, is account, cond kv.Cond) ([]kv.Write, error) {
	var more []kv.Write
	if along := a.along[m.Why]; along != nil {
		var err error
		if m.Note, more, err = along(ctx, *m); err != nil {
			return nil, err
		}
	}
	head, err := json.Marshal(is)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	move, err := json.Marshal(record{Made: *m})
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	line, err := json.Marshal(Line{At: m.At, Amount: m.Amount, Balance: m.Balance, Why: m.Why, Ref: m.Ref})
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return append([]kv.Write{
		kv.Put{Key: accountKey, Value: head, If: cond},
		kv.Put{Key: movePrefix + m.ID, Value: move, If: kv.Absent()},
		kv.Put{Key: lineKey(is.Moves), Value: line, If: kv.Absent()},
	}, more...), nil
}

// refuse keeps that a move was refused for want of coins.
func (a *Accounts) refuse(ctx context.Context, m Made) error {
	value, err := json.Marshal(record{Made: m, Insufficient: true})
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	err = a.store.Commit(ctx, Partition(m.UserID), "wallet/"+rand.Text(),
		kv.Put{Key: movePrefix + m.ID, Value: value, Expires: m.At.Add(RefusalKept), If: kv.Absent()})
	if err != nil {
		return err
	}
	return ErrInsufficient
}

// Find implements Ledger.
func (a *Accounts) Find(ctx context.Context, userID, id string) (Made, error) {
	made, err := a.find(ctx, userID, id)
	return made, public(err)
}

// find returns a move with ErrInsufficient if it was refused.
func (a *Accounts) find(ctx context.Context, userID, id string) (Made, error) {
	item, err := a.store.Get(ctx, Partition(userID), movePrefix+id)
	if errors.Is(err, kv.ErrNotFound) {
		return Made{}, ErrNoMove
	}
	if err != nil {
		return Made{}, err
	}
	var r record
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return Made{}, fmt.Errorf("wallet: a move does not decode: %w", err)
	}
	if r.Insufficient {
		return r.Made, ErrInsufficient
	}
	return r.Made, nil
}

// Account implements Ledger.
func (a *Accounts) Account(ctx context.Context, userID string) (Account, error) {
	is, _, err := a.account(ctx, userID)
	return is.Account, public(err)
}

func (a *Accounts) account(ctx context.Context, userID string) (is account, cond kv.Cond, err error) {
	item, err := a.store.Get(ctx, Partition(userID), accountKey)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return is, kv.Absent(), nil
	case err != nil:
		return is, cond, err
	}
	if err := json.Unmarshal(item.Value, &is); err != nil {
		return is, cond, fmt.Errorf("wallet: an account does not decode: %w", err)
	}
	return is, kv.Rev(item.Rev), nil
}

// BalanceOf returns the balance that items of a user's partition show, 0 without an
// account among them.
func BalanceOf(items []kv.Item) (int64, error) {
	for _, item := range items {
		if item.Key != accountKey {
			continue
		}
		var is account
		if err := json.Unmarshal(item.Value, &is); err != nil {
			return 0, fmt.Errorf("wallet: an account does not decode: %w", err)
		}
		return is.Balance, nil
	}
	return 0, nil
}

// Statement implements Ledger.
func (a *Accounts) Statement(ctx context.Context, userID, after string, limit int) (lines []Line, next string, err error) {
	r := kv.Range{Prefix: linePrefix, Reverse: true}
	if after != "" {
		r.After = linePrefix + after
	}
	for {
		r.Limit = limit + 1 - len(lines) // one more tells whether there is a next page
		page, err := a.store.List(ctx, Partition(userID), r)
		if err != nil {
			return nil, "", public(err)
		}
		for _, item := range page.Items {
			if len(lines) == limit {
				return lines, next, nil
			}
			var l Line
			if err := json.Unmarshal(item.Value, &l); err != nil {
				return nil, "", fmt.Errorf("wallet: a line of a statement does not decode: %w", err)
			}
			lines, next = append(lines, l), item.Key[len(linePrefix):]
		}
		if page.Next == "" {
			return lines, "", nil
		}
		r.After = page.Next
	}
}

// public gives an error of the store its sentence for people.
func public(err error) error {
	if errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrConflict) {
		return fault.Wrap(err, fault.Unavailable, "the wallets cannot be reached; ask again with the same Idempotency-Key").After(2 * time.Second)
	}
	return err
}

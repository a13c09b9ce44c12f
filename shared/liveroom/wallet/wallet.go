// Package wallet keeps users' coins. Every change is a [Move], which a [Ledger] makes
// once, however often the request is retried: the built-in ledger ([Accounts]), or the
// merchant's own behind package merchant.
//
//	made, err := ledger.Make(ctx, wallet.Move{ID: orderID, UserID: "ann", Amount: -30, Why: "gift", Ref: orderID})
//
// # Double entry
//
// An account of [Accounts] is one item with both sides of every move: coins issued to
// the user and coins spent by the user, beside the balance. Balance + Spent - Issued
// is zero after every commit, user by user, so the sum over all users is zero too, and
// there is no account of the house that every move writes: such an item would be a hot
// key, and in another partition than the wallet.
//
// A move, its line in the statement, the account, and the other writes that belong to
// the move ([Accounts.Along]) are one commit in the user's partition.
//
// # Numbers
//
// Amounts and balances are integers in the merchant's smallest unit, from 0 to
// [MaxAmount], which JSON carries exactly. A move beyond is refused and changes
// nothing.
package wallet

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Limits of a move.
const (
	MaxAmount = 1<<53 - 1 // of a move, a balance, and each side of an account
	MaxID     = 128       // bytes
	MaxRef    = 200       // bytes
	MaxBody   = 4 << 10   // bytes
)

// The errors of a ledger; test with errors.Is. Each may be shown to the caller.
var (
	// ErrInsufficient: the balance is smaller than what the move takes. The refusal
	// stays bound to the move's ID for a day, whatever the balance is then.
	ErrInsufficient = fault.New(fault.InsufficientFunds, "the balance is not sufficient; top up and ask with a new Idempotency-Key")
	// ErrOtherMove: the ID was used for another move.
	ErrOtherMove = fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another request; use a new one")
	// ErrRange: an amount or the balance after the move would be beyond MaxAmount.
	// The ID stays unused.
	ErrRange = fault.New(fault.Invalid, "the amount is not a whole number from 1 to %d, or would take the balance beyond that", int64(MaxAmount))
	// ErrUnsettled: it is unknown whether the move was made. Retry the same move; a
	// job settles it in any case.
	ErrUnsettled = fault.New(fault.Unavailable, "the ledger has not answered yet; ask again with the same Idempotency-Key").After(5 * time.Second)
	// ErrUnsafe: this deployment's store may lose acknowledged writes.
	ErrUnsafe = fault.New(fault.LedgerUnsafe, "this deployment keeps its state where a failover may lose money; an operator has to accept that or choose another store")
	// ErrRefused: the ledger refuses the move for good, for another reason than the
	// balance.
	ErrRefused = fault.New(fault.Conflict, "the ledger refuses this")
	// ErrNoMove: there is no such move.
	ErrNoMove = fault.New(fault.NotFound, "there is no such move")
	// ErrNoStatement: this ledger keeps no statement here.
	ErrNoStatement = fault.New(fault.NotFound, "the merchant's own ledger keeps the statements")
)

// Move is one change of a user's balance.
type Move struct {
	// ID is the idempotency key of the move among the user's moves, for ever: 1 to
	// MaxID bytes.
	ID     string `json:"id"`
	UserID string `json:"userId"`
	Amount int64  `json:"amount"` // positive: the user gets; negative: the user pays; never 0
	Why    string `json:"why"`    // a word for the statement: topup, gift, refund
	Ref    string `json:"ref"`    // subject of the move, for the statement
	// Body is stored with the move, for the package that made it. It is JSON.
	Body json.RawMessage `json:"body,omitempty"`
}

// Check returns an error for an invalid move. It is for implementations of [Ledger].
func (m Move) Check() error {
	switch {
	case m.ID == "" || len(m.ID) > MaxID || !utf8.ValidString(m.ID) || strings.IndexByte(m.ID, 0) >= 0:
		return fault.New(fault.Invalid, "a move has an id of 1 to %d bytes of text", MaxID)
	case usersig.CheckUserID(m.UserID) != nil:
		return fault.New(fault.Invalid, "the user is named by a UserID of 1 to 32 visible ASCII characters")
	case m.Amount == 0 || m.Amount > MaxAmount || m.Amount < -MaxAmount:
		return ErrRange
	case len(m.Body) > 0 && !json.Valid(m.Body):
		return fault.New(fault.Invalid, "the body of a move is JSON")
	case m.Why == "" || len(m.Why) > 32 || len(m.Ref) > MaxRef || len(m.Body) > MaxBody:
		return fault.New(fault.Invalid, "a move says in a word why it is made, and has at most %d bytes of ref and %d of body", MaxRef, MaxBody)
	}
	return nil
}

// Same reports whether two moves ask for the same. Bodies are compared too, since
// they say what the move is for.
func (m Move) Same(other Move) bool {
	return m.ID == other.ID && m.UserID == other.UserID && m.Amount == other.Amount && m.Why == other.Why && m.Ref == other.Ref &&
		stored(m.Body) == stored(other.Body)
}

// stored is JSON as the store has it: without spaces, and with < > & escaped.
func stored(body json.RawMessage) string {
	b, err := json.Marshal(body)
	if err != nil {
		return "invalid " + string(body)
	}
	return string(b)
}

// Made is a move that was made.
type Made struct {
	Move
	At      time.Time `json:"at"`
	Balance int64     `json:"balance"` // after it
	// Note is the note that was stored with the move; see [Ledger.Along].
	Note json.RawMessage `json:"note,omitempty"`
	// Replayed: an earlier call made the move.
	Replayed bool `json:"-"`
}

// Account is the state of a user's coins.
type Account struct {
	Balance int64 `json:"balance"`
	Issued  int64 `json:"issued"` // sum of all coins that the user got, without refunds
	Spent   int64 `json:"spent"`  // sum of all coins that the user paid, less refunds
}

// Ledger makes moves. It is safe for concurrent use.
type Ledger interface {
	// Make makes a move, once for its ID: a retry returns the first result. Errors are
	// those above, of the codes Invalid and Unavailable, and the context's own; retry
	// Make after Unavailable and the context's own.
	Make(ctx context.Context, m Move) (Made, error)
	// Find returns a move that was made. Errors: ErrNoMove, ErrInsufficient where
	// the move was refused so, ErrUnsettled, and the code Unavailable.
	Find(ctx context.Context, userID, id string) (Made, error)
	// Account returns a user's account, which is zero for a user who never had coins.
	Account(ctx context.Context, userID string) (Account, error)
	// Statement returns moves of a user, the newest first, and the next page's after;
	// ErrNoStatement where the ledger keeps no statements here.
	Statement(ctx context.Context, userID, after string, limit int) (lines []Line, next string, err error)
	// Along registers the function that returns the writes that belong to each move of
	// a kind (its Why). Register before the first move.
	Along(why string, f Along)
}

// Along returns the note and the writes that belong to a move: the note is stored with
// the move, and the writes are made in the user's partition, in the commit that makes
// the move. Along may be called several times for one move; the result of the last
// call counts. After an error of Along the move is not made.
type Along func(ctx context.Context, m Made) (note json.RawMessage, writes []kv.Write, err error)

// Line is a move in a statement.
type Line struct {
	At      time.Time `json:"at"`
	Amount  int64     `json:"amount"`
	Balance int64     `json:"balance"` // after it
	Why     string    `json:"why"`
	Ref     string    `json:"ref"`
}

// Partition is a user's partition of the store. Keys that begin with "wallet/" are
// this package's; the writes of an Along must have other keys.
func Partition(userID string) string { return "wallet/" + userID }

// The keys in a user's partition: the account; each move by its id; and each move
// in the order of the statement.
const (
	accountKey = "wallet/account"
	movePrefix = "wallet/move/"
	linePrefix = "wallet/line/"
)

func lineKey(seq int64) string { return fmt.Sprintf("%s%016d", linePrefix, seq) }

// Closed is a Ledger that makes no moves and says why.
type Closed struct{ Reason error }

// Make implements Ledger.
func (c Closed) Make(context.Context, Move) (Made, error) { return Made{}, c.Reason }

// Find implements Ledger.
func (c Closed) Find(context.Context, string, string) (Made, error) { return Made{}, c.Reason }

// Account implements Ledger.
func (c Closed) Account(context.Context, string) (Account, error) { return Account{}, c.Reason }

// Statement implements Ledger.
func (c Closed) Statement(context.Context, string, string, int) ([]Line, string, error) {
	return nil, "", c.Reason
}

// Along implements Ledger.
func (c Closed) Along(string, Along) {}

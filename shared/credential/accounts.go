package credential

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Accounts issues UserSigs for users whom somebody else has authenticated.
type Accounts struct {
	Signer *usersig.Signer
	// Expire is how long a UserSig lasts.
	Expire time.Duration
	// Reserved ids are issued to nobody: the admin, agents.
	Reserved []string
	Now      func() time.Time // nil: time.Now
}

// UserSig is one that was issued.
type UserSig struct {
	UserID    string    `json:"userID"`
	UserSig   string    `json:"userSig"`
	ExpiresAt time.Time `json:"expiresAt"` // RFC 3339
}

// Issue issues a UserSig for any UserID that is not reserved. Its error is of code
// Invalid or Forbidden.
func (a *Accounts) Issue(userID string) (UserSig, error) {
	if err := a.check(userID); err != nil {
		return UserSig{}, err
	}
	return a.sign(userID, a.Expire)
}

// IssueTo issues a UserSig for the user whom a server names. A user who calls gets a
// UserSig of his own, which ends when the proof of the call ends: nobody prolongs his
// own session. Agents get no UserSig by IssueTo.
func (a *Accounts) IssueTo(caller api.Caller, userID string) (UserSig, error) {
	if caller.Server != "" {
		return a.Issue(userID)
	}
	if err := a.notReserved(caller.UserID); err != nil {
		return UserSig{}, err
	}
	return a.sign(caller.UserID, min(a.Expire, caller.Expires.Sub(a.now())))
}

// Prove returns the user whom a token of the merchant's names, or an error of code
// Forbidden if no credential may be issued to that user. A nil Prover accepts no
// tokens.
func (a *Accounts) Prove(ctx context.Context, p Prover, bans *api.Bans, token string) (Proof, error) {
	if p == nil {
		return Proof{}, errTokens
	}
	proof, err := p(ctx, token)
	if err != nil {
		return Proof{}, err
	}
	if err := a.check(proof.UserID); err != nil {
		return Proof{}, err
	}
	return proof, bans.CheckProof(ctx, proof.UserID, proof.Issued)
}

var errTokens = fault.New(fault.Unauthenticated, "tokens are not accepted here")

func (a *Accounts) sign(userID string, expire time.Duration) (UserSig, error) {
	now := a.now()
	// Beyond a whole second, IM does not count.
	expire = max(expire.Truncate(time.Second), usersig.MinExpire)
	sig, err := a.Signer.Sign(userID, expire)
	if err != nil {
		return UserSig{}, err
	}
	return UserSig{userID, sig, now.Add(expire).UTC().Truncate(time.Second)}, nil
}

func (a *Accounts) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// check refuses ids that are issued to nobody who names them.
func (a *Accounts) check(id string) error {
	switch {
	case id == "":
		return fault.New(fault.Invalid, "userID is required")
	case usersig.CheckUserID(id) != nil:
		return fault.New(fault.Invalid, "userID must be 1 to %d bytes of printable ASCII without blanks", usersig.MaxUserID)
	case strings.HasPrefix(id, "@"), made(id):
		return errReserved
	}
	return a.notReserved(id)
}

// notReserved refuses the ids of staff: the admin's and agents'. Letter case is
// ignored, so that nobody looks like one of them.
func (a *Accounts) notReserved(id string) error {
	if slices.ContainsFunc(a.Reserved, func(r string) bool { return strings.EqualFold(r, id) }) {
		return errReserved
	}
	return nil
}

var errReserved = fault.New(fault.Forbidden, "this userID is reserved")

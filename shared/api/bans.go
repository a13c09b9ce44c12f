package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// Bans tells who is banned, before every route on which a user acts or gets a
// credential. It is safe for concurrent use.
type Bans struct {
	// Until returns the time until which a user is banned; the zero time for a
	// user who is not.
	Until func(ctx context.Context, userID string) (time.Time, error)
	// Revoked returns the revocation of a user's credentials; the zero value for
	// a user who has none. nil: nobody's credentials are revoked.
	Revoked func(ctx context.Context, userID string) (Revocation, error)
	// RefuseUnknown refuses users about whom Until or Revoked fails, with a fault
	// of code Unavailable. Otherwise these users pass and the log says so.
	RefuseUnknown bool
}

// Revocation takes the credentials from a user. The zero value takes none.
type Revocation struct {
	// At is when the revocation was made. Credentials issued up to this second stay
	// void for ever.
	At time.Time
	// Denied says that the user gets no new credentials at present.
	Denied bool
}

// voids reports whether a credential that was issued at a time is void.
func (r Revocation) voids(issued time.Time) bool {
	return !r.At.IsZero() && issued.Unix() <= r.At.Unix()
}

// banPatience is how long Until may take: a login that waits longer has failed
// for the user, whatever comes of it.
const banPatience = 900 * time.Millisecond

// Check returns a fault of code Banned for a user who is banned or whose
// credentials are revoked at present, within a second. A nil *Bans bans nobody.
func (b *Bans) Check(ctx context.Context, userID string) error {
	return b.check(ctx, userID, time.Time{})
}

// CheckProof is [Bans.Check] for a user who proves his identity by a credential. A
// credential that was issued before a revocation is a fault of code Unauthenticated.
func (b *Bans) CheckProof(ctx context.Context, userID string, issued time.Time) error {
	return b.check(ctx, userID, issued)
}

func (b *Bans) check(ctx context.Context, userID string, issued time.Time) error {
	if b == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, banPatience)
	defer cancel()
	until, revoked, err := b.ask(bounded, userID)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !until.IsZero():
		return fault.New(fault.Banned, "this user is banned until %s", until.UTC().Format(time.RFC3339))
	case revoked.Denied:
		return fault.New(fault.Banned, "this user's credentials are revoked")
	case !issued.IsZero() && revoked.voids(issued):
		return errSig
	case err != nil && b.RefuseUnknown:
		return fault.Wrap(err, fault.Unavailable, "whether you are banned is unknown just now; ask again").After(time.Second)
	case err != nil:
		slog.WarnContext(ctx, "bans unavailable; a user passes unchecked", "error", err.Error())
	}
	return nil
}

// ask asks for the ban and for the revocation at the same time.
func (b *Bans) ask(ctx context.Context, userID string) (until time.Time, revoked Revocation, err error) {
	if b.Revoked == nil {
		until, err = b.Until(ctx, userID)
		return until, revoked, err
	}
	var other error
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		revoked, other = b.Revoked(ctx, userID)
	}()
	if b.Until != nil {
		until, err = b.Until(ctx, userID)
	}
	<-asked
	return until, revoked, errors.Join(err, other)
}

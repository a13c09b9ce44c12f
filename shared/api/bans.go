package api

import (
	"context"
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
	// RefuseUnknown refuses users about whom Until fails, with a fault of code
	// Unavailable. Otherwise these users pass and the log says so.
	RefuseUnknown bool
}

// banPatience is how long Until may take: a login that waits longer has failed
// for the user, whatever comes of it.
const banPatience = 900 * time.Millisecond

// Check returns a fault of code Banned for a banned user, within a second. A nil
// *Bans bans nobody.
func (b *Bans) Check(ctx context.Context, userID string) error {
	if b == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, banPatience)
	defer cancel()
	until, err := b.Until(bounded, userID)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && b.RefuseUnknown:
		return fault.Wrap(err, fault.Unavailable, "whether you are banned is unknown just now; ask again").After(time.Second)
	case err != nil:
		slog.WarnContext(ctx, "user passes although it is unknown whether the user is banned", "error", err.Error())
	case !until.IsZero():
		return fault.New(fault.Banned, "this user is banned until %s", until.UTC().Format(time.RFC3339))
	}
	return nil
}

// Package retry has what every retry of ours needs: a wait that ends with its
// context, time to write a result down, and the moment from which another attempt is allowed. How long a
// retry waits (its backoff) is a decision of the package that retries.
package retry

import (
	"context"
	"time"
)

// Sleep waits for d, or until ctx ends if that is sooner. It returns nil after d
// and ctx.Err() otherwise. A d of zero or less returns at once.
func Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settleTime is how long a result may take to be written down after its own time
// has run out.
const settleTime = 2 * time.Second

// Settle returns a context in which the result of an attempt can still be written
// down although the attempt's own ctx has ended: it has the values of ctx, and
// ends two seconds from now.
func Settle(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settleTime)
}

// Latest returns the latest of some times: an attempt that a lease, a backoff
// and a schedule each hold back is allowed once all of them have passed. Without
// times it returns the zero time.
func Latest(times ...time.Time) (latest time.Time) {
	for _, t := range times {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

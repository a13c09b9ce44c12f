package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

const (
	// workTime bounds how long the holder of a lease works, and leaseSlack how much
	// longer the lease lasts.
	workTime   = 30 * time.Second
	leaseSlack = 5 * time.Second
)

// Hold takes a lease, so that one worker at a time changes in another system what the
// lease is about. The lease is the item key of the partition. Hold returns a context
// that ends before the lease does, after 30 s at most, and a function that releases the
// lease. Where another worker has the lease, the error is a [queue.Later]; a worker
// that died has it for 35 s.
func Hold(ctx context.Context, store kv.Store, now time.Time, partition, key string) (_ context.Context, release func(), err error) {
	cond := kv.Absent()
	item, err := store.Get(ctx, partition, key)
	switch {
	case err == nil:
		var until time.Time
		if err := until.UnmarshalText(item.Value); err != nil {
			return nil, nil, fmt.Errorf("process: a lease does not decode: %w", err)
		}
		if until.After(now) {
			return nil, nil, queue.Later{After: min(until.Sub(now), time.Second)}
		}
		cond = kv.Rev(item.Rev)
	case !errors.Is(err, kv.ErrNotFound):
		return nil, nil, err
	}
	allowed := workTime
	if deadline, has := ctx.Deadline(); has {
		allowed = min(allowed, time.Until(deadline))
	}
	until, err := now.Add(allowed + leaseSlack).MarshalText()
	if err != nil {
		return nil, nil, err
	}
	op := kv.NewOp("lease")
	err = store.Commit(ctx, partition, op, kv.Put{Key: key, Value: until, If: cond})
	switch {
	case errors.Is(err, kv.ErrConflict):
		return nil, nil, queue.Later{After: time.Second}
	case err != nil:
		return nil, nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, allowed)
	return bounded, func() {
		cancel()
		ctx, cancel := retry.Settle(ctx)
		defer cancel()
		err := store.Commit(ctx, partition, kv.NewOp("lease"), kv.Delete{Key: key, If: kv.Rev(op)})
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			slog.WarnContext(ctx, "lease not released; it expires", "key", key, "error", err.Error())
		}
	}, nil
}

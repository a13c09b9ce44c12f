package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Limit allows a number of requests per client and span of time, over all instances
// that share a store.
type Limit struct {
	Name     string // of the limit, as partitions are named by it
	Store    kv.Store
	Requests int
	Span     time.Duration
	Now      func() time.Time // nil: time.Now
}

// limitShards is how many items a limit is kept in that all clients share, so that
// they do not hinder each other.
const limitShards = 8

// limitTries is how often a count is tried again when several instances write
// it at once.
const limitTries = 8

// Take counts a request of a client, or of "all". Its error is of code Throttled
// beyond the limit, and Unavailable if the store cannot count the request: such a
// request is not allowed.
func (l *Limit) Take(ctx context.Context, client string) error {
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	at := now()
	start := at.Truncate(l.Span)
	end := start.Add(l.Span)
	// The address itself is not kept.
	sum := sha256.Sum256([]byte(client))
	partition := l.Name + "/" + hex.EncodeToString(sum[:12])
	most := l.Requests
	if client == "all" && most >= 16*limitShards {
		shard := rand.IntN(limitShards)
		partition += "/" + strconv.Itoa(shard)
		most = (most + shard) / limitShards // together as many
	}
	key := strconv.FormatInt(start.Unix(), 10)
	for range limitTries {
		count, cond := 0, kv.Absent()
		item, err := l.Store.Get(ctx, partition, key)
		switch {
		case errors.Is(err, kv.ErrNotFound):
		case err != nil:
			return err
		default:
			if count, err = strconv.Atoi(string(item.Value)); err != nil {
				return err
			}
			cond = kv.Rev(item.Rev)
		}
		if count >= most {
			return fault.New(fault.Throttled, "too many requests from this address, try again later").After(end.Sub(at))
		}
		err = l.Store.Commit(ctx, partition, kv.NewOp("limit"), kv.Put{
			Key: key, Value: strconv.AppendInt(nil, int64(count+1), 10), Expires: end.Add(time.Minute), If: cond,
		})
		if !errors.Is(err, kv.ErrConflict) {
			if err != nil {
				return err
			}
			return nil
		}
	}
	return fault.New(fault.Throttled, "too many requests from this address at once, try again").After(time.Second)
}

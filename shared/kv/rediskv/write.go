package rediskv

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// slack is how much later than necessary Redis is told to delete by its own
// clock.
const slack = time.Hour

// digestSize is how much of an event id's SHA-256 is kept: ids of any length
// cost the same, and no two will ever meet.
const digestSize = 16

//go:embed counters.lua
var countersLua string

//go:embed commit.lua
var commitLua string

//go:embed tally.lua
var tallyLua string

var limitsLua = fmt.Sprintf(
	"local REMEMBERED_OPS, MAX_COUNTERS, TOMBSTONE_LIFE, SEGMENT_LIFE, SLACK = %d, %d, %d, %d, %d\n",
	kv.RememberedOps, kv.MaxCounters,
	kv.TombstoneLife/time.Second, (kv.Horizon+kv.HorizonSlack)/time.Second, slack/time.Second)

var (
	commitScript = redis.NewScript(limitsLua + countersLua + commitLua)
	tallyScript  = redis.NewScript(limitsLua + countersLua + tallyLua)
)

// Commit implements [kv.Store].
func (s *Store) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	if err := kv.CheckCommit(partition, op, writes); err != nil {
		return err
	}
	in := keysOf(partition)
	names := []string{in.index(), in.expiries(), in.open()}
	args := []any{nil, op} // the first will be the time
	for _, w := range writes {
		switch w := w.(type) {
		case kv.Put:
			names = append(names, in.item(w.Key))
			args = append(args, "put", w.Key, condition(w.If), expiry(w.Expires), w.Value)
		case kv.Delete:
			names = append(names, in.item(w.Key))
			args = append(args, "delete", w.Key, condition(w.If))
		case kv.Add:
			names = append(names, in.item(w.Key))
			args = append(args, "add", w.Key, condition(w.If), expiry(w.Expires), len(w.Deltas))
			args = appendDeltas(args, w.Deltas)
		case kv.Check:
			names = append(names, in.item(w.Key))
			args = append(args, "check", w.Key, condition(w.If))
		case kv.Settle:
			names = append(names, in.segment(w.Segment))
			args = append(args, "settle", w.Segment, w.Rev)
		}
	}
	verdict, at, err := s.run(ctx, commitScript, names, args)
	switch {
	case err != nil:
		return err
	case verdict == "done":
		return nil
	case verdict == "conflict" && 0 < at && at <= len(writes):
		return &kv.ConflictError{Partition: partition, Key: keyOf(writes[at-1])}
	}
	return refusal(verdict)
}

// Tally implements [kv.Store].
func (s *Store) Tally(ctx context.Context, partition, segment string, e kv.Event, deltas ...kv.Delta) (kv.Outcome, error) {
	now := s.now()
	if err := kv.CheckTally(partition, segment, e, deltas, now); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("rediskv: %w", err)
	}
	if now.Sub(e.At) > kv.Horizon {
		return kv.TooLate, nil
	}
	in := keysOf(partition)
	digest := sha256.Sum256([]byte(e.ID))
	args := appendDeltas([]any{nil, segment, digest[:digestSize], e.Most()}, deltas)
	verdict, _, err := s.run(ctx, tallyScript, []string{in.open(), in.segment(segment)}, args)
	switch {
	case err != nil:
		return 0, err
	case verdict == "counted":
		return kv.Counted, nil
	case verdict == "duplicate":
		return kv.Duplicate, nil
	}
	return 0, refusal(verdict)
}

// run runs a script, whose first argument becomes the time, and returns its
// verdict and the number that comes with some.
func (s *Store) run(ctx context.Context, script *redis.Script, names []string, args []any) (verdict string, at int, err error) {
	var reply []any
	err = s.persist(ctx, func(client redis.UniversalClient) (err error) {
		args[0] = s.now().Unix()
		reply, err = script.Run(ctx, client, names, args...).Slice()
		return err
	})
	if err != nil {
		return "", 0, err
	}
	if len(reply) > 0 {
		verdict, _ = reply[0].(string)
	}
	if len(reply) > 1 {
		n, _ := reply[1].(int64)
		at = int(n)
	}
	return verdict, at, nil
}

var errVerdict = errors.New("rediskv: a script returned no verdict")

func refusal(verdict string) error {
	switch verdict {
	case "range":
		return kv.ErrRange
	case "counters":
		return fmt.Errorf("%w: more than %d counters in one item", kv.ErrInvalid, kv.MaxCounters)
	case "events":
		return kv.ErrFull
	}
	return fmt.Errorf("%w: %w", kv.ErrUnavailable, errVerdict)
}

func keyOf(w kv.Write) string {
	switch w := w.(type) {
	case kv.Put:
		return w.Key
	case kv.Delete:
		return w.Key
	case kv.Add:
		return w.Key
	case kv.Check:
		return w.Key
	case kv.Settle:
		return w.Segment
	}
	panic("rediskv: a write that kv.CheckCommit let through")
}

// condition is "", "absent", or "=" and a revision.
func condition(c kv.Cond) string {
	switch {
	case c.WantsAbsent():
		return "absent"
	case c.WantedRev() != "":
		return "=" + c.WantedRev()
	}
	return ""
}

// expiry is the second, or "" for never.
func expiry(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(kv.UnixExpiry(t), 10)
}

// appendDeltas appends each delta with the values that it may be added to.
func appendDeltas(args []any, deltas []kv.Delta) []any {
	for _, d := range deltas {
		lowest, highest := bounds(d)
		args = append(args, d.Counter, d.By, lowest, highest)
	}
	return args
}

// bounds returns the least and the greatest value of a counter that d may be
// added to; "" is no bound. A floor that nothing can reach gives a lower bound
// above the upper one.
func bounds(d kv.Delta) (lowest, highest string) {
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	switch {
	case d.By > 0:
		high -= d.By
	case d.By < 0:
		low -= d.By
	}
	if d.Floor != nil {
		// floor - by, which leaves int64 when by is far on the other side.
		switch least := *d.Floor - d.By; {
		case d.By < 0 && least < *d.Floor:
			low, high = math.MaxInt64, math.MinInt64
		case d.By > 0 && least > *d.Floor:
			// Any value will do.
		default:
			low = max(low, least)
		}
	}
	if low > math.MinInt64 {
		lowest = strconv.FormatInt(low, 10)
	}
	if high < math.MaxInt64 {
		highest = strconv.FormatInt(high, 10)
	}
	return lowest, highest
}

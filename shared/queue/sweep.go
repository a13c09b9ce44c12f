package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/metric"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// The index of a shard, beside its records. An item of it says nothing but its
// key.
const (
	waitingPrefix = "w/" // and the time at which a sweep looks, and the job's id
	deadPrefix    = "x/" // and the job's id
)

// indexKey is where the index has a job that is not done.
func indexKey(r Record) string {
	if r.State == Dead {
		return deadPrefix + r.Job.ID
	}
	return lookKey(r.Look) + r.Job.ID
}

// lookKey is how the keys of the jobs of a time begin: they order as their times
// do.
func lookKey(t time.Time) string { return fmt.Sprintf("%s%014d/", waitingPrefix, t.UnixMilli()) }

// look is when a sweep must look at a waiting job next: when the engine can take
// it, or when it is overdue.
func (l *Ledger) look(r Record) time.Time {
	free := retry.Latest(r.Due, r.Leased)
	if r.Pushed.IsZero() {
		return retry.Latest(free.Add(-l.queue.MaxDelay()), l.now())
	}
	return retry.Latest(r.Pushed, free).Add(overdue)
}

// list returns the write that puts a job into the index, and notes in the record
// where it is. A job stays where it is listed while it is tried and put off: what
// a sweep finds too early there, it lists anew.
func (l *Ledger) list(r *Record, op string) kv.Put {
	r.Listed, r.Look = op, time.Time{}
	if r.State == Waiting {
		r.Look = l.look(*r).Truncate(time.Millisecond)
	}
	return kv.Put{Key: indexKey(*r), If: kv.Absent()}
}

// unlist returns the write that takes a job out of the index, none for a record
// of a release that had no index.
func unlist(r *Record) []kv.Write {
	if r.Listed == "" {
		return nil
	}
	w := kv.Delete{Key: indexKey(*r), If: kv.Rev(r.Listed)}
	r.Listed, r.Look = "", time.Time{}
	return []kv.Write{w}
}

// skew is how much the clocks of processes may differ for a sweep to find every
// job: jobs are listed ahead of the present, and a sweep begins to look so far
// behind it.
const skew = 10 * time.Minute

// progress is what sweeps know of the index of all shards.
type progress struct {
	// Start is the key from which on a sweep has to look. Engines may keep what
	// was removed from a list for days, and to read over all that each minute
	// would cost more than anything else here.
	Start string `json:"start"`
	// Since is when the first sweep came that knew of the index. Processes of the
	// release before may have put jobs without listing them until Since plus
	// handover.
	Since time.Time `json:"since"`
	// Complete: all jobs are listed.
	Complete bool `json:"complete"`
}

const (
	progressPartition = "jobs"
	progressKey       = "sweep"
	handover          = time.Hour
)

func (l *Ledger) progress(ctx context.Context) (p progress, cond kv.Cond, err error) {
	item, err := l.store.Get(ctx, progressPartition, progressKey)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return progress{Start: waitingPrefix, Since: l.now()}, kv.Absent(), nil
	case err != nil:
		return p, cond, err
	}
	if err := json.Unmarshal(item.Value, &p); err != nil {
		return p, cond, fmt.Errorf("queue: the progress of the sweeps does not decode: %w", err)
	}
	return p, kv.Rev(item.Rev), nil
}

// Sweep pushes jobs again that are overdue: their push failed, their time was too far
// ahead for the engine, their worker died, or the engine lost them. Sweep returns
// their number. Sweeps may overlap. A sweep costs one read for each shard, and one for
// each overdue job.
func (l *Ledger) Sweep(ctx context.Context) (pushed int, err error) {
	p, cond, err := l.progress(ctx)
	if err != nil {
		return 0, err
	}
	before := p
	if !p.Complete {
		if err := l.listAll(ctx); err != nil {
			return 0, err
		}
		p.Complete = l.now().Sub(p.Since) >= handover
	}
	now := l.now()
	until := lookKey(now.Add(time.Millisecond))
	first := until // of the items that stay
	var oldest time.Duration
	defer func() { metric.OldestJob.Add(oldest.Seconds()) }()
	for shard := range shards {
		err := l.index(ctx, shard, waitingPrefix, p.Start, func(item kv.Item) (more bool, err error) {
			if item.Key >= until {
				return false, nil
			}
			due, err := l.lookAt(ctx, shard, item)
			if !due.IsZero() {
				oldest = max(oldest, now.Sub(due))
			}
			switch {
			case err == nil:
				pushed++
			case errors.Is(err, kv.ErrConflict):
				first = min(first, item.Key) // somebody has it in hand; it stays where it is
			case !errors.Is(err, errEarly):
				return false, err
			}
			return true, nil
		})
		if err != nil {
			return pushed, err
		}
	}
	// What was overdue is listed anew, ahead of the present.
	p.Start = max(p.Start, min(first[:len(until)], lookKey(now.Add(-skew).Truncate(skew/2))))
	if p == before {
		return pushed, nil
	}
	value, err := json.Marshal(p)
	if err != nil {
		return pushed, fmt.Errorf("queue: %w", err)
	}
	err = l.store.Commit(ctx, progressPartition, kv.NewOp("sweep"), kv.Put{Key: progressKey, Value: value, If: cond})
	if errors.Is(err, kv.ErrConflict) {
		return pushed, nil // another sweep did
	}
	return pushed, err
}

// errEarly: there is nothing to push yet, or nothing any more.
var errEarly = errors.New("queue: not overdue")

// lookAt pushes the job of an item of the index. A job that is not overdue is
// listed for later, or not at all if it is done; that is errEarly. due is since when
// an overdue job has been due.
func (l *Ledger) lookAt(ctx context.Context, shard int, item kv.Item) (due time.Time, err error) {
	id := item.Key[len(lookKey(time.UnixMilli(0))):]
	op := kv.NewOp("sweep")
	writes := []kv.Write{kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)}}
	overdue := false
	r, cond, err := l.get(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		// The job was dropped by a release that had no index.
	case err != nil:
		return due, err
	case r.State != Waiting, r.Listed != "" && indexKey(r) != item.Key:
		// It is done or listed elsewhere.
	default:
		now := l.now()
		if overdue = !l.look(r).After(now); overdue {
			r.Pushed, due = now, r.Due
		}
		listed := l.list(&r, op)
		record, err := l.put(r, cond)
		if err != nil {
			return due, err
		}
		if listed.Key == item.Key {
			listed.If, writes = kv.Rev(item.Rev), nil
		}
		writes = append(writes, record, listed)
	}
	switch err := l.store.Commit(ctx, partition(shard), op, writes...); {
	case err != nil:
		return due, err
	case !overdue:
		return due, errEarly
	}
	l.push(ctx, r)
	return due, nil
}

// listAll lists jobs that a release without an index has put. It reads every
// record.
func (l *Ledger) listAll(ctx context.Context) error {
	for shard := range shards {
		err := l.index(ctx, shard, recordPrefix, "", func(item kv.Item) (bool, error) {
			var r Record
			if err := json.Unmarshal(item.Value, &r); err != nil {
				return false, fmt.Errorf("queue: the record of a job does not decode: %w", err)
			}
			if r.State == Done || r.Listed != "" {
				return true, nil
			}
			op := kv.NewOp("list")
			listed := l.list(&r, op)
			record, err := l.put(r, kv.Rev(item.Rev))
			if err != nil {
				return false, err
			}
			err = l.store.Commit(ctx, partition(shard), op, record, listed)
			if errors.Is(err, kv.ErrConflict) {
				err = nil // somebody has it in hand; the next sweep looks again
			}
			return true, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// index calls f for the items of a shard that begin with a prefix, behind a key,
// until f says that there are enough.
func (l *Ledger) index(ctx context.Context, shard int, prefix, after string, f func(kv.Item) (more bool, err error)) error {
	for r := (kv.Range{Prefix: prefix, After: after, Limit: 200}); ; {
		page, err := l.store.List(ctx, partition(shard), r)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if more, err := f(item); err != nil || !more {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		r.After = page.Next
	}
}

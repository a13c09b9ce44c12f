package queue

import (
	"context"
	"errors"
	"strings"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Overview counts all jobs, for an operator.
type Overview struct {
	Waiting, Dead int64
}

// Overview returns exact counts, by reading the index of all waiting and dead jobs.
func (l *Ledger) Overview(ctx context.Context) (Overview, error) {
	var o Overview
	p, _, err := l.progress(ctx)
	if err != nil {
		return o, err
	}
	for shard := range shards {
		for _, c := range []struct {
			prefix, after string
			count         *int64
		}{{waitingPrefix, p.Start, &o.Waiting}, {deadPrefix, "", &o.Dead}} {
			err := l.index(ctx, shard, c.prefix, c.after, func(kv.Item) (bool, error) {
				*c.count++
				return true, nil
			})
			if err != nil {
				return Overview{}, err
			}
		}
	}
	return o, nil
}

// DeadJobs returns dead jobs, at most limit.
func (l *Ledger) DeadJobs(ctx context.Context, limit int) ([]Record, error) {
	var out []Record
	for shard := range shards {
		err := l.index(ctx, shard, deadPrefix, "", func(item kv.Item) (bool, error) {
			r, _, err := l.get(ctx, strings.TrimPrefix(item.Key, deadPrefix))
			if err == nil && r.State == Dead {
				out = append(out, r)
			}
			if errors.Is(err, ErrNotFound) {
				err = nil // dropped meanwhile
			}
			return len(out) < limit, err
		})
		if err != nil || len(out) >= limit {
			return out, err
		}
	}
	return out, nil
}

// Show returns a job's record, or ErrNotFound.
func (l *Ledger) Show(ctx context.Context, id string) (Record, error) {
	r, _, err := l.get(ctx, id)
	return r, err
}

// Redrive gives a dead job all its attempts again. Redriving a job that is not dead is
// a no-op.
func (l *Ledger) Redrive(ctx context.Context, id string) error {
	r, cond, err := l.get(ctx, id)
	if err != nil || r.State != Dead {
		return err
	}
	op := kv.NewOp("redrive")
	writes := unlist(&r)
	r.State, r.Attempts, r.Laters = Waiting, 0, 0
	l.schedule(&r, l.now())
	writes = append(writes, l.list(&r, op))
	record, err := l.put(r, cond)
	if err != nil {
		return err
	}
	err = l.commit(ctx, id, op, append(writes, record)...)
	if errors.Is(err, kv.ErrConflict) {
		return nil // somebody else did
	}
	if err == nil {
		l.push(ctx, r)
	}
	return err
}

// Drop deletes a dead job. The error for a job that is not dead is ErrNotFound.
func (l *Ledger) Drop(ctx context.Context, id string) error {
	r, cond, err := l.get(ctx, id)
	if err != nil {
		return err
	}
	if r.State != Dead {
		return ErrNotFound
	}
	err = l.commit(ctx, id, kv.NewOp("drop"), append(unlist(&r), kv.Delete{Key: recordPrefix + id, If: cond})...)
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

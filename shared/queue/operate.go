package queue

import (
	"context"
	"errors"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Overview is what an operator sees of all jobs.
type Overview struct {
	Waiting, Dead int64
}

// Overview counts jobs, exactly.
func (l *Ledger) Overview(ctx context.Context) (Overview, error) {
	var o Overview
	for shard := range shards {
		item, err := l.store.Get(ctx, partition(shard), countKey)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return Overview{}, err
		}
		o.Waiting += item.Counters[countWaiting]
		o.Dead += item.Counters[countDead]
	}
	return o, nil
}

// DeadJobs returns jobs that were laid aside, at most limit.
func (l *Ledger) DeadJobs(ctx context.Context, limit int) ([]Record, error) {
	var out []Record
	err := l.each(ctx, func(_ int, _ kv.Item, r Record) error {
		if r.State == Dead {
			out = append(out, r)
		}
		if len(out) == limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

var errEnough = errors.New("queue: enough")

// Show returns a job's record, or ErrNotFound.
func (l *Ledger) Show(ctx context.Context, id string) (Record, error) {
	r, _, err := l.get(ctx, id)
	return r, err
}

// Redrive gives a dead job all its attempts again. A job that is not dead is
// left as it is.
func (l *Ledger) Redrive(ctx context.Context, id string) error {
	r, cond, err := l.get(ctx, id)
	if err != nil || r.State != Dead {
		return err
	}
	r.State, r.Attempts, r.Laters = Waiting, 0, 0
	l.schedule(&r, l.now())
	record, err := l.put(r, cond)
	if err != nil {
		return err
	}
	err = l.commit(ctx, id, kv.NewOp("redrive"), record, count(1, -1))
	if errors.Is(err, kv.ErrConflict) {
		return nil // somebody else did
	}
	if err == nil {
		l.push(ctx, r)
	}
	return err
}

// Drop forgets a dead job. One that is not dead is ErrNotFound here.
func (l *Ledger) Drop(ctx context.Context, id string) error {
	r, cond, err := l.get(ctx, id)
	if err != nil {
		return err
	}
	if r.State != Dead {
		return ErrNotFound
	}
	err = l.commit(ctx, id, kv.NewOp("drop"), kv.Delete{Key: recordPrefix + id, If: cond}, count(0, -1))
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

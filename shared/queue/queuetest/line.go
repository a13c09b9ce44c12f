package queuetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/queue"
)

// Line is a queue in memory that keeps every job it ever got; a test carries them out
// when and as often as it likes. The zero value is empty.
type Line struct {
	mu      sync.Mutex
	waiting []queue.Job
	all     []queue.Job
}

// Enqueue implements queue.Queue.
func (l *Line) Enqueue(_ context.Context, jobs ...queue.Job) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, jobs...)
	l.all = append(l.all, jobs...)
	return nil
}

// MaxDelay implements queue.Queue; it is that of SQS.
func (l *Line) MaxDelay() time.Duration { return 15 * time.Minute }

// Close implements queue.Queue.
func (l *Line) Close() error { return nil }

// Next takes the first job that is due.
func (l *Line) Next(now time.Time) (j queue.Job, is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.waiting, func(j queue.Job) bool { return !j.NotBefore.After(now) })
	if i < 0 {
		return queue.Job{}, false
	}
	j = l.waiting[i]
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return j, true
}

// All returns every job that was ever enqueued, in order, so that a test can deliver
// jobs a second time.
func (l *Line) All() []queue.Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// Work carries out the jobs that are due, and the due jobs that these enqueue. A job
// that fails waits for the next call, as an engine would deliver it again. Work
// returns an error if the jobs do not end.
func (l *Line) Work(ctx context.Context, ledger *queue.Ledger, now func() time.Time) error {
	for range 10_000 {
		j, is := l.Next(now())
		if !is {
			return nil
		}
		encoded, err := queue.Encode(j)
		if err != nil {
			return err
		}
		if ledger.Perform(ctx, encoded) != nil {
			return l.Enqueue(ctx, j)
		}
	}
	return errors.New("the jobs do not end")
}

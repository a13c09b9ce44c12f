// Package boltqueue is the job engine of one machine: jobs in one file, carried
// out by workers of the same process.
//
//	q, err := boltqueue.Open("jobs.db", boltqueue.Options{})
//	go q.Run(ctx, ledger.Perform)
//
// Enqueue returns once the jobs are on disk. A job leaves the file after its delivery
// was accepted, so the jobs that a dead process was carrying out are delivered again
// by the next process. The file belongs to one process at a time.
package boltqueue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/backchannel-im/backchannel/shared/queue"
)

// Engine opens bolt:FILE.
var Engine = queue.Engine{
	Name:  "bolt:FILE",
	Takes: func(url string) bool { return strings.HasPrefix(url, "bolt:") },
	Open: func(_ context.Context, url string) (queue.Queue, error) {
		return Open(strings.TrimPrefix(url, "bolt:"), Options{})
	},
}

// Options change how a queue works.
type Options struct {
	// Workers are how many jobs of each lane run at once; 0 means 4.
	Workers int
	Now     func() time.Time // nil: time.Now
}

const (
	lockWait = time.Second
	// refusedPause is how long a delivery that was not accepted waits for the
	// next.
	refusedPause = 2 * time.Second
	// farAhead bounds NotBefore: a file keeps a job as long as need be.
	farAhead = 100 * 365 * 24 * time.Hour
)

var lanes = []queue.Lane{queue.Fast, queue.Slow}

// Queue is a [queue.Queue] in a file.
type Queue struct {
	db      *bolt.DB
	now     func() time.Time
	workers int

	mu     sync.Mutex
	taken  map[string]bool // keys in hand, by lane and key
	wake   map[queue.Lane]chan struct{}
	closed bool
}

// Open opens a file, or makes one.
func Open(path string, o Options) (*Queue, error) {
	if path == "" {
		return nil, errors.New("boltqueue: the URL must be bolt:FILE")
	}
	if o.Workers == 0 {
		o.Workers = 4
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("boltqueue: %w", err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("boltqueue: another process holds %s; stop it or name another file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("boltqueue: %s: %w", path, err)
	}
	db.MaxBatchDelay = 500 * time.Microsecond // a lone caller does not wait for company
	q := &Queue{db: db, now: o.Now, workers: o.Workers, taken: make(map[string]bool), wake: make(map[queue.Lane]chan struct{})}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, lane := range lanes {
			q.wake[lane] = make(chan struct{}, o.Workers)
			if _, err := tx.CreateBucketIfNotExists([]byte(lane)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boltqueue: %s: %w", path, err), db.Close())
	}
	return q, nil
}

// MaxDelay implements [queue.Queue].
func (q *Queue) MaxDelay() time.Duration { return farAhead }

// Close implements [queue.Queue]. End Run first.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	return q.db.Close()
}

// Enqueue implements [queue.Queue].
func (q *Queue) Enqueue(ctx context.Context, jobs ...queue.Job) error {
	encoded := make([][]byte, len(jobs))
	for i, j := range jobs {
		b, err := queue.Encode(j)
		if err != nil {
			return err
		}
		encoded[i] = b
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := q.db.Batch(func(tx *bolt.Tx) error {
		for i, j := range jobs {
			if err := put(tx.Bucket([]byte(j.Lane)), j.NotBefore, encoded[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: boltqueue: %w", queue.ErrUnavailable, err)
	}
	for _, j := range jobs {
		q.signal(j.Lane)
	}
	return nil
}

// put files a job under the time it is due and a number of its own.
func put(b *bolt.Bucket, due time.Time, encoded []byte) error {
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	var ms uint64
	if !due.IsZero() {
		ms = uint64(due.Add(time.Millisecond - 1).UnixMilli()) // rounded up: never early
	}
	key := binary.BigEndian.AppendUint64(nil, ms)
	return b.Put(binary.BigEndian.AppendUint64(key, n), encoded)
}

func (q *Queue) signal(lane queue.Lane) {
	select {
	case q.wake[lane] <- struct{}{}:
	default: // every worker is going to look anyway
	}
}

// Run carries out jobs until ctx ends, and returns once every running job is done. A
// nil of perform means that the job was accepted; after an error the job is delivered
// again.
func (q *Queue) Run(ctx context.Context, perform func(ctx context.Context, encoded []byte) error) error {
	var all sync.WaitGroup
	errs := make(chan error, len(lanes)*q.workers)
	for _, lane := range lanes {
		for range q.workers {
			all.Go(func() { errs <- q.work(ctx, lane, perform) })
		}
	}
	all.Wait()
	close(errs)
	var joined error
	for err := range errs {
		joined = errors.Join(joined, err)
	}
	return joined
}

func (q *Queue) work(ctx context.Context, lane queue.Lane, perform func(context.Context, []byte) error) error {
	for ctx.Err() == nil {
		key, encoded, wait, err := q.next(lane)
		if err != nil {
			return fmt.Errorf("boltqueue: %w", err)
		}
		if key == nil {
			q.sleep(ctx, lane, wait)
			continue
		}
		// The job in hand is finished even if the process is told to stop.
		err = q.settle(lane, key, encoded, perform(context.WithoutCancel(ctx), encoded))
		if err != nil {
			return fmt.Errorf("boltqueue: %w", err)
		}
	}
	return nil
}

// next takes the first job that is due, or says how long until one is.
func (q *Queue) next(lane queue.Lane) (key, encoded []byte, wait time.Duration, err error) {
	wait = time.Hour
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, 0, bolterrors.ErrDatabaseNotOpen
	}
	err = q.db.View(func(tx *bolt.Tx) error {
		now := uint64(q.now().UnixMilli())
		c := tx.Bucket([]byte(lane)).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if q.taken[string(lane)+string(k)] {
				continue
			}
			if due := binary.BigEndian.Uint64(k); due > now {
				wait = min(wait, time.Duration(due-now)*time.Millisecond)
				return nil
			}
			key, encoded = bytes.Clone(k), bytes.Clone(v)
			q.taken[string(lane)+string(k)] = true
			return nil
		}
		return nil
	})
	return key, encoded, wait, err
}

func (q *Queue) sleep(ctx context.Context, lane queue.Lane, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.wake[lane]:
	case <-ctx.Done():
	}
}

// settle removes a job that was accepted, and schedules one that was not for a
// retry. A message that holds no job is discarded: a file has no dead-letter queue.
func (q *Queue) settle(lane queue.Lane, key, encoded []byte, refused error) error {
	if errors.Is(refused, queue.ErrInvalid) {
		refused = nil
	}
	err := q.db.Batch(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(lane))
		if refused != nil {
			if err := put(b, q.now().Add(refusedPause), encoded); err != nil {
				return err
			}
		}
		return b.Delete(key)
	})
	q.mu.Lock()
	delete(q.taken, string(lane)+string(key))
	q.mu.Unlock()
	if refused != nil {
		q.signal(lane)
	}
	return err
}

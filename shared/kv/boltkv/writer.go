package boltkv

import (
	"context"
	"errors"
	"runtime"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// maxGroup bounds how many writes share one transaction, and so how much one
// fsync may lose to a full disk.
const maxGroup = 128

// purgeAtOnce is how many forgotten items and segments a transaction clears
// beyond as many as it adds to those to be forgotten, so that they never pile up.
const purgeAtOnce = 4

// request is one write waiting for the writer.
type request struct {
	ctx context.Context
	// do decides and only then changes: with an error it leaves t as it was.
	do   func(t *txn) error
	done chan error
}

// txn is one transaction of the file, shared by a group of requests.
type txn struct {
	items, open, settled, expiry *bolt.Bucket
	now                          time.Time
	phase                        func(string)
	changed                      bool  // there is something to write
	doomed                       int   // records given a second to be cleared at
	fault                        error // the first failure of the file itself
}

func (t *txn) put(b *bolt.Bucket, name, value []byte) {
	t.changed = true
	if t.fault == nil {
		t.fault = b.Put(name, value)
	}
}

func (t *txn) remove(b *bolt.Bucket, name []byte) {
	t.changed = true
	if t.fault == nil {
		t.fault = b.Delete(name)
	}
}

// at announces a phase; see Store.phase.
func (t *txn) at(phase string) {
	if t.phase != nil {
		t.phase(phase)
	}
}

// write hands do to the writer and waits until its effect is on disk.
func (s *Store) write(ctx context.Context, do func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{ctx: ctx, do: do, done: make(chan error, 1)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return unavailable(bolterrors.ErrDatabaseNotOpen)
	}
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	s.signal()
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// writer is the one goroutine that writes: whatever has queued up while it was
// waiting for the disk goes into its next transaction. bbolt's own DB.Batch
// would make a lone caller wait for a timer instead.
func (s *Store) writer() {
	defer close(s.stopped)
	for range s.wake {
		for {
			group, closed := s.take()
			if len(group) == 0 {
				if closed {
					return
				}
				break
			}
			s.commit(group)
		}
	}
}

// take returns the next group. Callers that were answered together come back
// together, so it lets them queue as long as the queue is growing.
func (s *Store) take() (group []*request, closed bool) {
	for seen := -1; ; {
		s.mu.Lock()
		n := len(s.queue)
		if n == 0 || n == seen || n >= maxGroup {
			group = s.queue[:min(n, maxGroup)]
			if s.queue = s.queue[len(group):]; len(s.queue) == 0 {
				s.queue = nil
			}
			closed = s.closed
			s.mu.Unlock()
			return group, closed
		}
		seen = n
		s.mu.Unlock()
		runtime.Gosched()
	}
}

// errUnchanged rolls back a transaction that has nothing to write, which saves
// its fsync.
var errUnchanged = errors.New("boltkv: nothing to write")

// commit runs a group in one transaction and answers it. When the transaction
// fails, all of the group fails, since each may have seen what another wrote.
func (s *Store) commit(group []*request) {
	answers := make([]error, len(group))
	err := s.db.Update(func(tx *bolt.Tx) error {
		t := &txn{
			items:   tx.Bucket(itemBucket),
			open:    tx.Bucket(openBucket),
			settled: tx.Bucket(settledBucket),
			expiry:  tx.Bucket(expiryBucket),
			now:     s.now(),
			phase:   s.phase,
		}
		for i, r := range group {
			if answers[i] = r.ctx.Err(); answers[i] == nil {
				answers[i] = r.do(t)
			}
		}
		if !t.changed {
			return errUnchanged
		}
		t.purge()
		t.at("group: unsynced")
		return t.fault
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		err = unavailable(err)
		for i := range answers {
			answers[i] = err
		}
	}
	if s.phase != nil {
		s.phase("group: synced")
	}
	for i, r := range group {
		r.done <- answers[i]
	}
}

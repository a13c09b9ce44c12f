package imtest

import (
	"slices"
	"sync"
)

// journal is a growing sequence with numbered entries, the first one 1, of which
// the latest stay. Who has read up to a number can wait for more.
type journal[T any] struct {
	mu      sync.Mutex
	keep    int // how many stay at least; 0: all
	gone    int // how many were dropped
	entries []T
	closed  bool
	more    chan struct{} // made for who waits, closed by the next entry
}

// add appends the entry that f makes of its number, and returns it.
func (j *journal[T]) add(f func(n int) T) T {
	j.mu.Lock()
	defer j.mu.Unlock()
	entry := f(j.gone + len(j.entries) + 1)
	j.entries = append(j.entries, entry)
	if drop := len(j.entries) - j.keep; j.keep > 0 && drop > j.keep {
		j.entries = slices.Clone(j.entries[drop:])
		j.gone += drop
	}
	j.wake()
	return entry
}

// end says that nothing comes any more.
func (j *journal[T]) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.wake()
}

// clear drops everything; the numbers go on.
func (j *journal[T]) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.gone += len(j.entries)
	j.entries = nil
}

// wake tells those who wait. The caller holds the lock.
func (j *journal[T]) wake() {
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
}

// since returns the entries after number n, never nil, the number of the first of
// them, and a channel that is closed when there are more; nil if there never will
// be.
func (j *journal[T]) since(n int) (entries []T, first int, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n = min(max(n, j.gone), j.gone+len(j.entries))
	if j.more == nil && !j.closed {
		j.more = make(chan struct{})
	}
	return append([]T{}, j.entries[n-j.gone:]...), n + 1, j.more
}

// all returns what stays.
func (j *journal[T]) all() []T {
	entries, _, _ := j.since(0)
	return entries
}

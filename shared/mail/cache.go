package mail

import (
	"context"
	"sync"
	"time"
)

// maxCached bounds the values that an instance remembers.
const maxCached = 10_000

// cache keeps what was read for a while. Of those who ask for the same value at once,
// one reads it.
type cache[T any] struct {
	now func() time.Time
	age time.Duration

	mu     sync.Mutex
	values map[string]*cached[T]
}

type cached[T any] struct {
	mu    sync.Mutex
	value T
	until time.Time
}

func newCache[T any](now func() time.Time, age time.Duration) *cache[T] {
	return &cache[T]{now: now, age: age, values: make(map[string]*cached[T])}
}

// get returns the value of a key, at most age old. An error is not kept.
func (c *cache[T]) get(ctx context.Context, key string, read func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	slot := c.values[key]
	if slot == nil {
		if len(c.values) >= maxCached {
			clear(c.values)
		}
		slot = &cached[T]{}
		c.values[key] = slot
	}
	c.mu.Unlock()
	slot.mu.Lock()
	defer slot.mu.Unlock()
	now := c.now()
	if now.Before(slot.until) {
		return slot.value, nil
	}
	value, err := read(ctx)
	if err == nil {
		slot.value, slot.until = value, now.Add(c.age)
	}
	return value, err
}

// drop forgets a key, in this instance alone.
func (c *cache[T]) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.values, key)
}

package gift_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// engine is a store that a test restarts under its users.
type engine struct {
	kv.Store // what the processes use

	restart  func()
	patient  bool // its client tries until it is back
	restarts int
	lost     atomic.Int64 // calls that failed for it
}

// reopened is a store that another takes the place of.
type reopened struct {
	mu sync.RWMutex
	kv.Store
}

func (r *reopened) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.Store.Get(ctx, partition, key)
}

func (r *reopened) List(ctx context.Context, partition string, g kv.Range) (kv.Page, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.Store.List(ctx, partition, g)
}

func (r *reopened) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.Store.Commit(ctx, partition, op, writes...)
}

func (r *reopened) Tally(ctx context.Context, partition, segment string, e kv.Event, deltas ...kv.Delta) (kv.Outcome, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.Store.Tally(ctx, partition, segment, e, deltas...)
}

func (r *reopened) Open(ctx context.Context, partition, after string, limit int) ([]kv.Segment, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.Store.Open(ctx, partition, after, limit)
}

// openBolt returns a file that is closed and opened again. Calls of that moment fail,
// by turns before anything was done and when all of it was.
func openBolt(t *testing.T, clock *kvtest.Clock) *engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	open := func() kv.Store {
		store, err := boltkv.Open(path, boltkv.Options{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	e, inner := &engine{}, &reopened{Store: open()}
	var dying atomic.Bool
	e.Store = kvtest.Hook(inner, func(_ string, call func() error) error {
		if dying.Load() {
			if e.lost.Add(1)%2 == 0 {
				_ = call() // nobody hears of it
			}
			return kv.ErrUnavailable
		}
		return call()
	})
	e.restart = func() {
		dying.Store(true)
		time.Sleep(5 * time.Millisecond) // for some calls to fail
		inner.mu.Lock()
		defer inner.mu.Unlock()
		if err := inner.Store.Close(); err != nil {
			t.Error(err)
		}
		inner.Store = open()
		dying.Store(false)
		e.restarts++
	}
	t.Cleanup(func() { _ = inner.Store.Close() })
	return e
}

// openRedis returns a server that is killed and started on the data of before.
func openRedis(t *testing.T, clock *kvtest.Clock) *engine {
	t.Helper()
	server := redistest.Start(t)
	store, err := rediskv.Open(t.Context(), "redis://"+server.Addr, rediskv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return killed(store, server)
}

// openDynamoDB returns a table of an emulator that is killed and started on the data of
// before.
func openDynamoDB(t *testing.T, clock *kvtest.Clock) *engine {
	t.Helper()
	emulator := dynamotest.StartEmulator(t)
	return killed(enginetest.DynamoDB(t, emulator.URL, clock.Now), emulator)
}

// killed returns a store as an engine whose server is killed.
func killed(store kv.Store, server interface {
	Kill()
	Restart()
},
) *engine {
	e := &engine{patient: true}
	e.Store = kvtest.Hook(store, func(_ string, call func() error) error {
		err := call()
		if errors.Is(err, kv.ErrUnavailable) {
			e.lost.Add(1)
		}
		return err
	})
	e.restart = func() {
		server.Kill()
		server.Restart()
		e.restarts++
	}
	return e
}

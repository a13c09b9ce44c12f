package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// engine is a Queue that a test delivers from by hand.
type engine struct {
	mu    sync.Mutex
	jobs  []queue.Job
	down  bool
	delay time.Duration
}

func (e *engine) Enqueue(_ context.Context, jobs ...queue.Job) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return queue.ErrUnavailable
	}
	e.jobs = append(e.jobs, jobs...)
	return nil
}

func (e *engine) MaxDelay() time.Duration { return e.delay }
func (e *engine) Close() error            { return nil }

// take returns the jobs whose time has come, as a worker gets them.
func (e *engine) take(now time.Time) [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out [][]byte
	e.jobs = slices.DeleteFunc(e.jobs, func(j queue.Job) bool {
		if j.NotBefore.After(now) {
			return false
		}
		b, err := queue.Encode(j)
		if err != nil {
			panic(err)
		}
		out = append(out, b)
		return true
	})
	return out
}

type bench struct {
	*testing.T
	clock  *kvtest.Clock
	engine *engine
	ledger *queue.Ledger
	store  kv.Store
	ran    map[string]int
	result func(j queue.Job) error
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, engine: &engine{delay: 15 * time.Minute}, ran: make(map[string]int)}
	b.store, b.clock = openState(t)
	b.ledger = b.another()
	return b
}

// openState opens a store for a test, with its clock. TestOnEveryEngine opens
// others.
var openState = func(t *testing.T) (kv.Store, *kvtest.Clock) {
	t.Helper()
	clock := kvtest.NewClock()
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state.db"), boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store, clock
}

// another is another process over the same store and engine.
func (b *bench) another() *queue.Ledger { return b.over(b.store) }

func (b *bench) over(store kv.Store) *queue.Ledger {
	l := queue.NewLedger(store, b.engine, b.clock.Now)
	l.Handle("work", func(_ context.Context, j queue.Job) error {
		b.ran[j.ID]++
		if b.result != nil {
			return b.result(j)
		}
		return nil
	})
	return l
}

func job(id string) queue.Job {
	return queue.Job{ID: id, Kind: "work", Lane: queue.Fast, Body: json.RawMessage(`{"n":1}`)}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// deliver carries out everything that is due now.
func (b *bench) deliver() {
	b.Helper()
	for _, encoded := range b.engine.take(b.clock.Now()) {
		b.must(b.ledger.Perform(b.Context(), encoded))
	}
}

func (b *bench) sweep() int {
	b.Helper()
	n, err := b.ledger.Sweep(b.Context())
	b.must(err)
	return n
}

func (b *bench) want(waiting, dead int64) {
	b.Helper()
	o, err := b.ledger.Overview(b.Context())
	b.must(err)
	if o.Waiting != waiting || o.Dead != dead {
		b.Errorf("%d waiting, %d dead; want %d, %d", o.Waiting, o.Dead, waiting, dead)
	}
}

func TestAJobIsDoneOnce(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.must(b.ledger.Put(t.Context(), job("a")))
	}
	b.want(1, 0)
	deliveries := b.engine.take(b.clock.Now())
	if len(deliveries) != 1 {
		t.Errorf("pushed %d times", len(deliveries))
	}
	for range 3 {
		b.must(b.ledger.Perform(t.Context(), deliveries[0]))
	}
	b.must(b.ledger.Put(t.Context(), job("a")))
	b.deliver()
	if b.ran["a"] != 1 {
		t.Errorf("ran %d times", b.ran["a"])
	}
	b.want(0, 0)
	r, err := b.ledger.Show(t.Context(), "a")
	if err != nil || r.State != queue.Done || r.Attempts != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestFailuresAreTriedAgainThenLaidAside(t *testing.T) {
	b := newBench(t)
	b.result = func(queue.Job) error { return errors.New("the desk is closed") }
	b.must(b.ledger.Put(t.Context(), job("a")))
	for range 100 {
		b.deliver()
		b.sweep()
		b.clock.Advance(5 * time.Minute)
	}
	if b.ran["a"] != queue.MaxAttempts {
		t.Errorf("ran %d times, want %d", b.ran["a"], queue.MaxAttempts)
	}
	b.want(0, 1)
	dead, err := b.ledger.DeadJobs(t.Context(), 100)
	if err != nil || len(dead) != 1 || dead[0].Error != "the desk is closed" || string(dead[0].Job.Body) != `{"n":1}` {
		t.Errorf("%+v, %v", dead, err)
	}

	b.result = nil
	b.must(b.ledger.Redrive(t.Context(), "a"))
	b.must(b.ledger.Redrive(t.Context(), "a"))
	b.want(1, 0)
	b.deliver()
	if b.ran["a"] != queue.MaxAttempts+1 {
		t.Errorf("redriven %d times", b.ran["a"]-queue.MaxAttempts)
	}
	b.want(0, 0)
	if err := b.ledger.Drop(t.Context(), "a"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("dropping a done job: %v", err)
	}
}

func TestDrop(t *testing.T) {
	b := newBench(t)
	b.result = func(queue.Job) error { return errors.New("never") }
	b.must(b.ledger.Put(t.Context(), job("a")))
	for range 100 {
		b.deliver()
		b.sweep()
		b.clock.Advance(5 * time.Minute)
	}
	b.must(b.ledger.Drop(t.Context(), "a"))
	b.want(0, 0)
	if _, err := b.ledger.Show(t.Context(), "a"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestLaterDoesNotCount(t *testing.T) {
	b := newBench(t)
	ready := false
	b.result = func(queue.Job) error {
		if !ready {
			return queue.Later{After: 10 * time.Second}
		}
		return nil
	}
	b.must(b.ledger.Put(t.Context(), job("a")))
	for range 2 * queue.MaxAttempts {
		b.deliver()
		b.clock.Advance(10 * time.Second)
	}
	ready = true
	b.deliver()
	b.want(0, 0)
	r, err := b.ledger.Show(t.Context(), "a")
	if err != nil || r.State != queue.Done || r.Attempts != 1 || r.Laters != 2*queue.MaxAttempts {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLaterForEverEnds(t *testing.T) {
	b := newBench(t)
	b.result = func(queue.Job) error { return queue.Later{After: time.Second} }
	b.must(b.ledger.Put(t.Context(), job("a")))
	for range 400 {
		b.deliver()
		b.sweep()
		b.clock.Advance(time.Minute)
	}
	b.want(0, 1)
}

// TestAnEngineThatWasAway: the job was accepted, so a sweep finds it.
func TestAnEngineThatWasAway(t *testing.T) {
	b := newBench(t)
	b.engine.down = true
	b.must(b.ledger.Put(t.Context(), job("a")))
	b.engine.down = false
	if n := b.sweep(); n != 0 {
		t.Errorf("%d pushed before they are overdue", n)
	}
	b.clock.Advance(3 * time.Minute)
	if n := b.sweep(); n != 1 {
		t.Errorf("%d pushed, want 1", n)
	}
	if n := b.sweep(); n != 0 {
		t.Errorf("%d pushed by the next sweep", n)
	}
	b.deliver()
	b.want(0, 0)
}

// outage is a store that can be made unreachable.
type outage struct {
	kv.Store
	on bool
}

func (o *outage) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	if o.on {
		return kv.ErrUnavailable
	}
	return o.Store.Commit(ctx, partition, op, writes...)
}

func (o *outage) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	if o.on {
		return kv.Item{}, kv.ErrUnavailable
	}
	return o.Store.Get(ctx, partition, key)
}

// TestAStoreThatWasAway: the engine keeps what was accepted meanwhile, however
// often it was, and the records are made up for; with both away the caller is
// told.
func TestAStoreThatWasAway(t *testing.T) {
	b := newBench(t)
	store := &outage{Store: b.store, on: true}
	b.ledger = b.over(store)
	far := job("far")
	far.NotBefore = b.clock.Now().Add(time.Hour)
	for _, j := range []queue.Job{job("a"), job("a"), far} {
		b.must(b.ledger.Put(t.Context(), j))
	}
	b.engine.down = true
	if err := b.ledger.Put(t.Context(), job("b")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("with both away: %v", err)
	}
	b.engine.down = false
	b.clock.Advance(time.Second)
	for _, encoded := range b.engine.take(b.clock.Now()) {
		if err := b.ledger.Perform(t.Context(), encoded); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("performed without a store: %v", err)
		}
		store.on = false
		b.must(b.ledger.Perform(t.Context(), encoded))
		store.on = true
	}
	store.on = false
	early, err := queue.Encode(queue.Job{ID: far.ID, Kind: far.Kind, Lane: far.Lane, NotBefore: far.NotBefore, Unrecorded: true})
	b.must(err)
	b.must(b.ledger.Perform(t.Context(), early)) // an engine that cannot hold it back so long
	b.want(1, 0)
	b.must(b.ledger.Put(t.Context(), job("a")))
	for range 70 {
		b.deliver()
		b.sweep()
		b.clock.Advance(time.Minute)
	}
	b.want(0, 0)
	if b.ran["a"] != 1 || b.ran["far"] != 1 || b.ran["b"] != 0 {
		t.Errorf("ran %v", b.ran)
	}
}

func TestFarAheadWaitsInTheLedger(t *testing.T) {
	b := newBench(t)
	far := job("a")
	far.NotBefore = b.clock.Now().Add(2 * time.Hour)
	b.must(b.ledger.Put(t.Context(), far))
	for b.clock.Now().Before(far.NotBefore) {
		if b.ran["a"] > 0 {
			t.Fatalf("ran %v early", far.NotBefore.Sub(b.clock.Now()))
		}
		b.sweep()
		b.deliver()
		b.clock.Advance(time.Minute)
	}
	b.sweep()
	b.deliver()
	if b.ran["a"] != 1 {
		t.Errorf("ran %d times at its time", b.ran["a"])
	}
}

// TestBeforeItsTime: an engine that delivers early gets the job back.
func TestBeforeItsTime(t *testing.T) {
	b := newBench(t)
	j := job("a")
	j.NotBefore = b.clock.Now().Add(time.Minute)
	b.must(b.ledger.Put(t.Context(), j))
	early, err := queue.Encode(j)
	b.must(err)
	b.must(b.ledger.Perform(t.Context(), early))
	if b.ran["a"] != 0 {
		t.Error("ran early")
	}
	b.clock.Advance(time.Minute)
	b.deliver()
	if b.ran["a"] != 1 {
		t.Errorf("ran %d times", b.ran["a"])
	}
}

// TestWhoWaits: a job that is a second early goes back to an engine that can hold
// it, and is waited for, in a function that is paid for, only where none can.
func TestWhoWaits(t *testing.T) {
	for delay, want := range map[time.Duration]int{15 * time.Minute: 0, 3 * time.Second: 1} {
		store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		e := &engine{delay: delay}
		ledger := queue.NewLedger(store, e, nil)
		ran := 0
		ledger.Handle("work", func(context.Context, queue.Job) error { ran++; return nil })
		j := queue.Job{ID: "a", Kind: "work", Lane: queue.Fast, NotBefore: time.Now().Add(time.Second)}
		if err := ledger.Put(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		before := len(e.jobs)
		early, err := queue.Encode(j)
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.Perform(t.Context(), early); err != nil {
			t.Fatal(err)
		}
		if ran != want || len(e.jobs)-before != 1-want {
			t.Errorf("an engine that holds jobs for %v: ran %d times, %d given back", delay, ran, len(e.jobs)-before)
		}
	}
}

// TestAWorkerThatDied: its job is free again when its time is over, and the
// worker that wakes up late changes nothing.
func TestAWorkerThatDied(t *testing.T) {
	b := newBench(t)
	b.must(b.ledger.Put(t.Context(), job("a")))
	delivery := b.engine.take(b.clock.Now())[0]
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	second := b.another()
	b.result = func(queue.Job) error {
		b.result = nil // the next attempt works
		// Meanwhile, far beyond this worker's time:
		b.must(second.Perform(t.Context(), delivery)) // in other hands
		if b.ran["a"] != 1 {
			t.Error("two workers at once")
		}
		b.clock.Advance(time.Minute + 3*time.Minute)
		b.sweep()
		for _, d := range b.engine.take(b.clock.Now()) {
			b.must(second.Perform(t.Context(), d))
		}
		return errors.New("I come too late")
	}
	b.must(b.ledger.Perform(ctx, delivery))
	r, err := b.ledger.Show(t.Context(), "a")
	if err != nil || r.State != queue.Done || r.Attempts != 2 || b.ran["a"] != 2 {
		t.Errorf("%+v after %d runs, %v", r, b.ran["a"], err)
	}
	b.want(0, 0)
}

func TestNoTimeLeft(t *testing.T) {
	b := newBench(t)
	b.must(b.ledger.Put(t.Context(), job("a")))
	delivery := b.engine.take(b.clock.Now())[0]
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if err := b.ledger.Perform(ctx, delivery); err == nil {
		t.Error("a delivery without time was taken")
	}
	b.must(b.ledger.Perform(t.Context(), delivery))
	b.want(0, 0)
}

func TestPanicsAreFailures(t *testing.T) {
	b := newBench(t)
	b.result = func(queue.Job) error { panic("secret text") }
	b.must(b.ledger.Put(t.Context(), job("a")))
	b.deliver()
	r, err := b.ledger.Show(t.Context(), "a")
	if err != nil || r.State != queue.Waiting || r.Attempts != 1 || strings.Contains(r.Error, "secret") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWhatIsNoJob(t *testing.T) {
	b := newBench(t)
	big := job("a")
	big.Body = json.RawMessage(`"` + strings.Repeat("x", queue.MaxJob) + `"`)
	millis := job("a")
	millis.NotBefore = time.Unix(time.Now().UnixMilli(), 0)
	seconds := job("a")
	seconds.NotBefore = time.UnixMilli(time.Now().Unix())
	for name, j := range map[string]queue.Job{
		"no id":          {Kind: "work", Lane: queue.Fast},
		"a NUL in it":    {ID: "a\x00", Kind: "work", Lane: queue.Fast},
		"endless id":     job(strings.Repeat("x", queue.MaxID+1)),
		"no lane":        {ID: "a", Kind: "work"},
		"no kind":        {ID: "a", Lane: queue.Fast},
		"unknown kind":   {ID: "a", Kind: "play", Lane: queue.Fast},
		"no JSON":        {ID: "a", Kind: "work", Lane: queue.Fast, Body: json.RawMessage("{")},
		"too large":      big,
		"milliseconds":   millis,
		"seconds for ms": seconds,
	} {
		if err := b.ledger.Put(t.Context(), j); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A message that holds no job must not vanish: the engine's dead-letter queue
	// gets it.
	if err := b.ledger.Perform(t.Context(), []byte("no job")); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("a message without a job: %v", err)
	}
	b.must(b.ledger.Perform(t.Context(), []byte(`{"id":"unheard of","kind":"work","lane":"fast"}`)))
	b.want(0, 0)
}

// TestStorm: many jobs, each delivered several times by several workers at
// once, some failing first: each done once it works, and the count is exact.
func TestStorm(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	finished := map[string]int{}
	ledgers := make([]*queue.Ledger, 4)
	for i := range ledgers {
		ledgers[i] = queue.NewLedger(b.store, b.engine, b.clock.Now)
		ledgers[i].Handle("work", func(_ context.Context, j queue.Job) error {
			mu.Lock()
			defer mu.Unlock()
			if finished[j.ID] == 0 && len(j.ID)%2 == 0 {
				finished[j.ID] = -1
				return errors.New("not at first")
			}
			finished[j.ID] = max(finished[j.ID], 0) + 1
			return nil
		})
	}
	const jobs = 60
	for n := range jobs {
		b.must(ledgers[n%4].Put(t.Context(), job(fmt.Sprint("job", n))))
	}
	for range 12 {
		var all sync.WaitGroup
		hands := make(chan struct{}, 8)
		for _, d := range b.engine.take(b.clock.Now()) {
			for _, l := range ledgers {
				hands <- struct{}{}
				all.Go(func() {
					defer func() { <-hands }()
					if err := l.Perform(t.Context(), d); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		b.clock.Advance(time.Minute)
		b.sweep()
	}
	for n := range jobs {
		if id := fmt.Sprint("job", n); finished[id] != 1 {
			t.Errorf("%s finished %d times", id, finished[id])
		}
	}
	b.want(0, 0)
}

// TestAShortLease: the job of a worker that vanished is free again after its
// kind's lease; a worker who lives keeps it as long as the handler runs.
func TestAShortLease(t *testing.T) {
	const lease = 150 * time.Millisecond // of which a third passes between renewals, by the machine's clock
	b := newBench(t)
	second := b.another()
	b.ledger.Renew("work", lease)
	second.Renew("work", lease)
	b.must(b.ledger.Put(t.Context(), job("a")))
	delivery := b.engine.take(b.clock.Now())[0]
	leased := func() time.Time {
		r, err := second.Show(t.Context(), "a")
		b.must(err)
		return r.Leased
	}
	b.result = func(queue.Job) error {
		b.result = nil
		for range 3 {
			b.clock.Advance(lease * 2 / 3)
			for was := leased(); leased().Equal(was); { // until it is renewed
				time.Sleep(time.Millisecond)
			}
			b.must(second.Perform(t.Context(), delivery))
		}
		if b.ran["a"] != 1 {
			t.Error("two workers at once")
		}
		if left := leased().Sub(b.clock.Now()); left > lease {
			t.Errorf("leased for %v", left)
		}
		return nil
	}
	b.must(b.ledger.Perform(t.Context(), delivery))
	if b.ran["a"] != 1 {
		t.Errorf("ran %d times", b.ran["a"])
	}
	b.want(0, 0)
}

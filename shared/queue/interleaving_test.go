package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// TestAnyInterleaving: whatever happens to the deliveries, the pushes, the
// workers and the store in between, in the end each job that was accepted has had
// its effect once or is dead, and the counts say so.
func TestAnyInterleaving(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { interleave(t, seed, 200) })
	}
}

// fate is how a job's handler behaves: it fares badly so many times first.
type fate struct {
	badly func() error
	times int
}

const always = 1 << 30

var fates = []fate{
	{nil, 0},
	{func() error { return errors.New("fails") }, 2},
	{func() error { return errors.New("fails") }, always},
	{func() error { return queue.Later{After: 20 * time.Second} }, 5},
	{func() error { panic("panics") }, 1},
	{func() error { panic("panics") }, always},
	{killed, 1},
	{killed, always},
}

// killed is what a worker does that is killed: nothing any more.
func killed() error {
	runtime.Goexit()
	return nil
}

// interleaving is one run.
type interleaving struct {
	*bench
	random   *rand.Rand
	accepted map[string]bool

	mu     sync.Mutex
	badly  map[string]int
	inHand map[string]int
}

func interleave(t *testing.T, seed uint64, steps int) {
	i := &interleaving{
		bench: newBench(t), random: rand.New(rand.NewPCG(seed, 7)),
		accepted: map[string]bool{}, badly: map[string]int{}, inHand: map[string]int{},
	}
	for range steps {
		i.step()
	}
	i.heal()
	i.check()
}

func (i *interleaving) job() queue.Job {
	n := i.random.IntN(2 * len(fates))
	return job(fmt.Sprint("job", n))
}

func fateOf(id string) fate {
	var n int
	if _, err := fmt.Sscanf(id, "job%d", &n); err != nil {
		panic(err)
	}
	return fates[n%len(fates)]
}

// process is the ledger as some process has it: over the store, over a bad line
// to it, or soon to die.
func (i *interleaving) process() *queue.Ledger {
	store := i.store
	switch i.random.IntN(4) {
	case 0:
		store = kvtest.Unreliable(i.store, 0.3, rand.New(rand.NewPCG(i.random.Uint64(), 1)))
	case 1:
		store, _ = kvtest.Mortal(i.store, 1+i.random.IntN(2), i.random.IntN(2) == 0)
	}
	return i.over(store)
}

func (i *interleaving) over(store kv.Store) *queue.Ledger {
	l := queue.NewLedger(store, i.engine, i.clock.Now)
	l.Handle("work", i.work)
	return l
}

// work has its effect once, however often it runs.
func (i *interleaving) work(ctx context.Context, j queue.Job) error {
	i.mu.Lock()
	if i.inHand[j.ID]++; i.inHand[j.ID] > 1 {
		i.Errorf("%s is in two hands", j.ID)
	}
	fate := fateOf(j.ID)
	badly := i.badly[j.ID] < fate.times
	i.badly[j.ID]++
	i.mu.Unlock()
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.inHand[j.ID]--
	}()
	if badly {
		return fate.badly()
	}
	err := i.store.Commit(ctx, "effects", j.ID, kv.Add{Key: j.ID, Deltas: []kv.Delta{{Counter: "done", By: 1}}, If: kv.Absent()})
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

func (i *interleaving) step() {
	i.engine.down = i.random.IntN(6) == 0
	switch i.random.IntN(8) {
	case 0, 1:
		j := i.job()
		if i.process().Put(i.Context(), j) == nil {
			i.accepted[j.ID] = true
		}
	case 2, 3, 4:
		i.deliverOne()
	case 5:
		_, err := i.process().Sweep(i.Context())
		if err != nil && !errors.Is(err, kv.ErrUnavailable) {
			i.Error(err)
		}
	case 6:
		i.clock.Advance(time.Duration(i.random.IntN(60)) * time.Second)
	case 7:
		i.clock.Advance(time.Duration(i.random.IntN(20)) * time.Minute)
	}
}

// deliverOne delivers any of the jobs the engine has, early or late, to one or
// two workers at once, and may keep it for another time, or lose it.
func (i *interleaving) deliverOne() {
	i.engine.mu.Lock()
	jobs := i.engine.jobs
	if len(jobs) == 0 {
		i.engine.mu.Unlock()
		return
	}
	n := i.random.IntN(len(jobs))
	j := jobs[n]
	if i.random.IntN(3) > 0 {
		i.engine.jobs = slices.Delete(jobs, n, n+1)
	}
	i.engine.mu.Unlock()
	if !j.Unrecorded && i.random.IntN(8) == 0 {
		return // lost; but the ledger knows of it
	}
	workers := make([]*queue.Ledger, 1+i.random.IntN(2))
	for w := range workers {
		workers[w] = i.process()
	}
	i.perform(j, workers...)
}

// perform delivers a job to workers at once. The engine keeps it if one of them
// did not accept it, or died.
func (i *interleaving) perform(j queue.Job, workers ...*queue.Ledger) {
	encoded, err := queue.Encode(j)
	i.must(err)
	if r, err := i.ledger.Show(i.Context(), j.ID); err == nil {
		// A worker would wait for these last seconds.
		if wait := r.Due.Sub(i.clock.Now()); wait > 0 && wait < 4*time.Second {
			i.clock.Advance(wait)
		}
	}
	var all sync.WaitGroup
	for _, l := range workers {
		all.Go(func() {
			accepted := false
			defer func() {
				if !accepted {
					i.engine.mu.Lock()
					defer i.engine.mu.Unlock()
					i.engine.jobs = append(i.engine.jobs, j)
				}
			}()
			accepted = l.Perform(i.Context(), encoded) == nil
		})
	}
	all.Wait()
}

// heal lets everything work again until no job waits.
func (i *interleaving) heal() {
	i.engine.down = false
	l := i.over(i.store)
	for range 90 {
		for _, encoded := range i.engine.take(i.clock.Now()) {
			j, err := queue.Decode(encoded)
			i.must(err)
			i.perform(j, l)
		}
		_, err := l.Sweep(i.Context())
		i.must(err)
		o, err := l.Overview(i.Context())
		i.must(err)
		if o.Waiting == 0 && len(i.engine.jobs) == 0 {
			return
		}
		i.clock.Advance(10 * time.Minute)
	}
	i.Error("jobs wait for ever")
}

func (i *interleaving) check() {
	var dead int64
	for n := range 2 * len(fates) {
		id := fmt.Sprint("job", n)
		r, err := i.ledger.Show(i.Context(), id)
		if errors.Is(err, queue.ErrNotFound) && !i.accepted[id] {
			continue
		}
		i.must(err)
		effect, err := i.store.Get(i.Context(), "effects", id)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			i.Fatal(err)
		}
		done := effect.Counters["done"]
		switch {
		case r.State == queue.Dead:
			dead++
			if r.Attempts < queue.MaxAttempts {
				i.Errorf("%s is dead after %d attempts", id, r.Attempts)
			}
		case r.State != queue.Done || done != 1 || fateOf(id).times == always:
			i.Errorf("%s is %s, and had its effect %d times", id, r.State, done)
		}
	}
	i.want(0, dead)
}

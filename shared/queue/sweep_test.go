package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// watched is a store that counts the items that are listed, and refuses commits.
type watched struct {
	kv.Store
	listed   int
	conflict func(writes []kv.Write) bool // nil: none
}

func (w *watched) List(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	page, err := w.Store.List(ctx, partition, r)
	w.listed += len(page.Items)
	return page, err
}

func (w *watched) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	if w.conflict != nil && w.conflict(writes) {
		return &kv.ConflictError{Partition: partition, Key: "j/late"}
	}
	return w.Store.Commit(ctx, partition, op, writes...)
}

// TestASweepReadsNothingOfDoneJobs: its cost follows what is overdue, not what
// was done today.
func TestASweepReadsNothingOfDoneJobs(t *testing.T) {
	b := newBench(t)
	b.sweep()
	b.clock.Advance(2 * time.Hour)
	b.sweep() // from here on all jobs are listed
	for n := range 500 {
		b.must(b.ledger.Put(t.Context(), job(fmt.Sprint("done", n))))
	}
	b.deliver()
	b.must(b.ledger.Put(t.Context(), job("waits")))
	store := &watched{Store: b.store}
	b.clock.Advance(time.Minute)
	if _, err := b.over(store).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if store.listed > 1 {
		t.Errorf("a sweep read %d items, want at most that of the job that waits", store.listed)
	}
	b.want(1, 0)
}

// TestAJobInHandIsSweptLater: a job that somebody changes in the moment of a
// sweep, long after its time, is found by the next one.
func TestAJobInHandIsSweptLater(t *testing.T) {
	b := newBench(t)
	b.must(b.ledger.Put(t.Context(), job("late")))
	b.engine.take(b.clock.Now().Add(time.Hour)) // lost by the engine
	b.clock.Advance(3 * time.Hour)
	store := &watched{Store: b.store, conflict: func(writes []kv.Write) bool { return len(writes) > 1 }}
	busy := b.over(store)
	for range 3 {
		if n, err := busy.Sweep(t.Context()); n != 0 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		b.clock.Advance(time.Hour)
	}
	if n := b.sweep(); n != 1 {
		t.Errorf("%d pushed, want 1", n)
	}
	b.deliver()
	if b.ran["late"] != 1 {
		t.Errorf("ran %d times", b.ran["late"])
	}
}

// TestJobsOfAnOlderRelease: its records have no place in the index. They are
// found, counted, pushed, redriven and done as others are.
func TestJobsOfAnOlderRelease(t *testing.T) {
	b := newBench(t)
	at := b.clock.Now().UTC().Format(time.RFC3339)
	put := func(id, state string) {
		h := fnv.New32a()
		_, _ = h.Write([]byte(id))
		record := fmt.Sprintf(`{"job":{"id":%q,"kind":"work","lane":"fast","body":{"n":1}},"state":%q,"attempts":1,"due":%q,"pushed":%q}`, id, state, at, at)
		b.must(b.store.Commit(t.Context(), fmt.Sprintf("jobs/%02d", h.Sum32()%16), kv.NewOp("old"), kv.Put{
			Key: "j/" + id, Value: []byte(record), If: kv.Absent(),
		}))
	}
	put("lost", "waiting")
	put("dead", "dead")
	put("done", "done")
	b.clock.Advance(3 * time.Minute)
	if n := b.sweep(); n != 1 {
		t.Errorf("%d pushed, want 1", n)
	}
	b.want(1, 1)
	dead, err := b.ledger.DeadJobs(t.Context(), 10)
	if err != nil || len(dead) != 1 || dead[0].Job.ID != "dead" {
		t.Fatalf("%+v, %v", dead, err)
	}
	b.must(b.ledger.Redrive(t.Context(), "dead"))
	b.deliver()
	b.want(0, 0)
	if b.ran["lost"] != 1 || b.ran["dead"] != 1 || b.ran["done"] != 0 {
		t.Errorf("ran %v", b.ran)
	}

	// A process of that release that is still there settles a job of this one,
	// and forgets where it is listed.
	b.must(b.ledger.Put(t.Context(), job("mixed")))
	r, err := b.ledger.Show(t.Context(), "mixed")
	b.must(err)
	r.Look, r.Listed = time.Time{}, ""
	b.engine.take(b.clock.Now().Add(time.Hour)) // lost by the engine
	value, err := json.Marshal(r)
	b.must(err)
	h := fnv.New32a()
	_, _ = h.Write([]byte("mixed"))
	partition := fmt.Sprintf("jobs/%02d", h.Sum32()%16)
	item, err := b.store.Get(t.Context(), partition, "j/mixed")
	b.must(err)
	b.must(b.store.Commit(t.Context(), partition, kv.NewOp("old"), kv.Put{Key: "j/mixed", Value: value, If: kv.Rev(item.Rev)}))
	for range 4 {
		b.clock.Advance(3 * time.Minute)
		b.sweep()
	}
	b.deliver()
	b.want(0, 0)
	if b.ran["mixed"] != 1 {
		t.Errorf("ran %d times", b.ran["mixed"])
	}
}

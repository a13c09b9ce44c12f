package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// TestBeforeItsCallersCommit: a job may run before the commit of whoever put
// it. One that carries the command makes that commit itself, and the caller's is
// a repetition; one that can only look says Later until nothing can come any more.
func TestBeforeItsCallersCommit(t *testing.T) {
	b := newBench(t)
	const patience = 15 * time.Second // the caller's deadline, and five seconds
	order := func(ctx context.Context, id string) error {
		return b.store.Commit(ctx, "orders", id, kv.Put{Key: id, If: kv.Absent()})
	}
	shipped := map[string]int{}
	b.ledger.Handle("carries", func(ctx context.Context, j queue.Job) error {
		if err := order(ctx, j.ID); err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
		shipped[j.ID]++
		return nil
	})
	b.ledger.Handle("looks", func(ctx context.Context, j queue.Job) error {
		var put time.Time
		if err := json.Unmarshal(j.Body, &put); err != nil {
			return err
		}
		_, err := b.store.Get(ctx, "orders", j.ID)
		switch {
		case err == nil:
			shipped[j.ID]++
			return nil
		case !errors.Is(err, kv.ErrNotFound):
			return err
		case b.clock.Now().Sub(put) < patience:
			return queue.Later{After: 5 * time.Second}
		}
		return nil // the caller died before its commit
	})
	body, err := json.Marshal(b.clock.Now())
	b.must(err)
	for id, kind := range map[string]string{"carried": "carries", "looked for": "looks", "never made": "looks"} {
		b.must(b.ledger.Put(t.Context(), queue.Job{ID: id, Kind: kind, Lane: queue.Fast, Body: body}))
	}
	b.deliver() // before any commit
	if shipped["carried"] != 1 || shipped["looked for"] > 0 {
		t.Errorf("at first: %v", shipped)
	}
	b.want(2, 0)
	b.clock.Advance(5 * time.Second)
	b.must(order(t.Context(), "carried"))
	b.must(order(t.Context(), "looked for"))
	for range 4 {
		b.deliver()
		b.clock.Advance(5 * time.Second)
	}
	if shipped["carried"] != 1 || shipped["looked for"] != 1 || shipped["never made"] > 0 {
		t.Errorf("in the end: %v", shipped)
	}
	b.want(0, 0)
	r, err := b.ledger.Show(t.Context(), "never made")
	if err != nil || r.State != queue.Done || r.Attempts != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

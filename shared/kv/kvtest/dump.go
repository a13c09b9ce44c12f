package kvtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Recorder is a store that records the partitions that were written to, so that a test
// can read the whole content.
type Recorder struct {
	kv.Store
	mu         sync.Mutex
	partitions map[string]bool
}

// Record returns s with a record of its partitions.
func Record(s kv.Store) *Recorder { return &Recorder{Store: s, partitions: map[string]bool{}} }

func (r *Recorder) note(partition string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partitions[partition] = true
}

// Commit calls the store's Commit and records the partition.
func (r *Recorder) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	r.note(partition)
	return r.Store.Commit(ctx, partition, op, writes...)
}

// Tally calls the store's Tally and records the partition.
func (r *Recorder) Tally(ctx context.Context, partition, segment string, e kv.Event, deltas ...kv.Delta) (kv.Outcome, error) {
	r.note(partition)
	return r.Store.Tally(ctx, partition, segment, e, deltas...)
}

// Stored is an item or an open segment, as text with its counters.
type Stored struct {
	Partition, Key, Text string
	Expires              time.Time
	Segment              bool
}

// Dump returns the whole visible content of the store.
func (r *Recorder) Dump(t testing.TB) (all []Stored) {
	t.Helper()
	r.mu.Lock()
	partitions := slices.Sorted(maps.Keys(r.partitions))
	r.mu.Unlock()
	for _, partition := range partitions {
		for after := ""; ; {
			page, err := r.List(t.Context(), partition, kv.Range{After: after})
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range page.Items {
				all = append(all, Stored{partition, i.Key, fmt.Sprintf("%s %v", i.Value, i.Counters), i.Expires, false})
			}
			if after = page.Next; after == "" {
				break
			}
		}
		err := kv.EachOpen(t.Context(), r, partition, func(g kv.Segment) error {
			all = append(all, Stored{partition, g.Name, fmt.Sprint(g.Counters), time.Time{}, true})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

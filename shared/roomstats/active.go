package roomstats

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// The list of rooms to fold. A room is entered before a count in it, and entered
// again by each instance that goes on counting there; it is struck off when it
// has been silent and holds nothing to fold.
const (
	listShards = 16
	enterEvery = 30 * time.Minute
	silent     = 2 * time.Hour // more than enterEvery, clocks that differ included
	maxEntered = 10_000        // rooms an instance remembers
)

func listPartition(shard int) string { return fmt.Sprintf("rooms/%02d", shard) }

func shardOf(roomID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(roomID))
	return int(h.Sum32() % listShards)
}

// entered is what an instance knows of the list.
type entered struct {
	mu    sync.Mutex
	rooms map[string]time.Time
}

func (e *entered) lately(roomID string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, known := e.rooms[roomID]
	return known && now.Sub(at) < enterEvery
}

func (e *entered) note(roomID string, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.rooms) >= maxEntered {
		maps.DeleteFunc(e.rooms, func(_ string, at time.Time) bool { return now.Sub(at) >= enterEvery })
	}
	if len(e.rooms) >= maxEntered {
		clear(e.rooms) // costs a write a room
	}
	e.rooms[roomID] = now
}

// enter makes sure that the room is on the list.
func (s *Stats) enter(ctx context.Context, roomID string) error {
	now := s.now()
	if s.entered.lately(roomID, now) {
		return nil
	}
	at, err := now.MarshalText()
	if err != nil {
		return err
	}
	shard := listPartition(shardOf(roomID))
	put := kv.Put{Key: roomID, Value: at, If: kv.Absent()}
	err = s.store.Commit(ctx, shard, kv.NewOp("roomstats"), put)
	if errors.Is(err, kv.ErrConflict) {
		err = s.enterAgain(ctx, shard, put)
	}
	if err == nil {
		s.entered.note(roomID, now)
	}
	return err
}

func (s *Stats) enterAgain(ctx context.Context, shard string, put kv.Put) error {
	item, err := s.store.Get(ctx, shard, put.Key)
	if err != nil {
		return err // struck off in between: the next try enters it anew
	}
	put.If = kv.Rev(item.Rev)
	err = s.store.Commit(ctx, shard, kv.NewOp("roomstats"), put)
	if errors.Is(err, kv.ErrConflict) {
		return nil // somebody else entered it this moment
	}
	return err
}

// FoldActive folds every room that anybody has counted in lately. When ctx
// ends it stops where it is. It may run at any time, anywhere, and twice at
// once.
func (s *Stats) FoldActive(ctx context.Context) error {
	errs := make(chan error, listShards)
	for shard := range listShards {
		go func() { errs <- s.foldShard(ctx, listPartition(shard)) }()
	}
	var all error
	for range listShards {
		all = errors.Join(all, <-errs)
	}
	return all
}

func (s *Stats) foldShard(ctx context.Context, shard string) error {
	var failed error
	for r := (kv.Range{}); ; {
		page, err := s.store.List(ctx, shard, r)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := s.foldListed(ctx, shard, item); err != nil {
				failed = errors.Join(failed, fmt.Errorf("a room: %w", err))
			}
			if ctx.Err() != nil {
				return failed
			}
		}
		if page.Next == "" {
			return failed
		}
		r.After = page.Next
	}
}

// foldListed folds one room and strikes it off when it is silent and done.
func (s *Stats) foldListed(ctx context.Context, shard string, item kv.Item) error {
	if err := s.Fold(ctx, item.Key); err != nil {
		return err
	}
	var at time.Time
	if err := at.UnmarshalText(item.Value); err != nil {
		return err
	}
	if s.now().Sub(at) < silent {
		return nil
	}
	left, err := s.store.Open(ctx, partition(item.Key), "", 1)
	if err != nil || len(left) > 0 {
		return err
	}
	err = s.store.Commit(ctx, shard, kv.NewOp("roomstats"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
	if errors.Is(err, kv.ErrConflict) {
		return nil // entered again
	}
	return err
}

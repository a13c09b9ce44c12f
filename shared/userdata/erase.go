package userdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

const (
	// Settled is how long after its begin an erasure passes over all records a second
	// time: by then every event of before the erasure is counted, or dropped as too
	// late.
	Settled = kv.Horizon + kv.HorizonSlack + time.Hour
	// eraseAtOnce is how many records one call erases.
	eraseAtOnce = 500
	guardAfter  = time.Minute
)

// Process continues erasures that were begun.
var Process = process.Name{Agenda: "userdata", Job: "userdata.erase", Lane: queue.Slow}

// Eraser erases users. It is safe for concurrent use, also by several processes.
type Eraser struct {
	store   kv.Store
	sources []Source
	process *process.Process // nil without a queue
	now     func() time.Time
}

// NewEraser returns an Eraser of the records of sources, and registers the job that
// continues an erasure. jobs is nil in a program without a queue: the caller continues
// an erasure there by calling Erase again. now may be nil for the wall clock.
func NewEraser(store kv.Store, sources []Source, jobs *queue.Ledger, now func() time.Time) *Eraser {
	if now == nil {
		now = time.Now
	}
	e := &Eraser{store: store, sources: sources, now: now}
	if jobs != nil {
		e.process = process.New(Process, store, jobs, now, e.goOn)
	}
	return e
}

// begunKey is the item of a user's index that says when the erasure began, in the
// text form of a time.
const begunKey = "~begun"

// Erase begins or continues the erasure of a user, and erases at most eraseAtOnce
// records. Call Erase again while the result has More.
func (e *Eraser) Erase(ctx context.Context, userID string) (Erased, error) {
	if e.process != nil {
		// Not before everything was seen once is the second time due.
		if err := e.process.Guard(ctx, userID, e.now().Add(guardAfter)); err != nil {
			return Erased{}, err
		}
	}
	begun, err := e.begin(ctx, userID)
	if err != nil {
		return Erased{}, err
	}
	last := e.now().Sub(begun) >= Settled
	out, err := e.pass(ctx, userID, last)
	again := begun.Add(Settled)
	switch {
	case err != nil || out.More:
		return out, err
	case last && len(out.Waits) == 0:
		return out, e.end(ctx, userID)
	case last:
		again = e.now().Add(Settled)
	}
	out.Again = again.UTC().Truncate(time.Second)
	if e.process != nil {
		err = e.process.Guard(ctx, userID, again.Add(time.Second))
	}
	return out, err
}

// goOn is the job: it erases until nothing is left or its time is over.
func (e *Eraser) goOn(ctx context.Context, userID string) error {
	for {
		_, err := e.store.Get(ctx, indexPartition(userID), begunKey)
		if errors.Is(err, kv.ErrNotFound) {
			e.process.Done(ctx, userID)
			return nil
		}
		if err != nil {
			return err
		}
		if out, err := e.Erase(ctx, userID); err != nil || !out.More {
			return err
		}
	}
}

func (e *Eraser) begin(ctx context.Context, userID string) (begun time.Time, err error) {
	for {
		item, err := e.store.Get(ctx, indexPartition(userID), begunKey)
		if err == nil {
			err = begun.UnmarshalText(item.Value)
			return begun, err
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return begun, err
		}
		begun = e.now().UTC()
		value, err := begun.MarshalText()
		if err != nil {
			return begun, err
		}
		err = e.store.Commit(ctx, indexPartition(userID), kv.NewOp("erase"), kv.Put{Key: begunKey, Value: value, If: kv.Absent()})
		if !errors.Is(err, kv.ErrConflict) {
			return begun, err
		}
	}
}

func (e *Eraser) end(ctx context.Context, userID string) error {
	item, err := e.store.Get(ctx, indexPartition(userID), begunKey)
	if err == nil {
		err = e.store.Commit(ctx, indexPartition(userID), kv.NewOp("erase"), kv.Delete{Key: begunKey, If: kv.Rev(item.Rev)})
	}
	if err != nil && !errors.Is(err, kv.ErrNotFound) && !errors.Is(err, kv.ErrConflict) {
		return err
	}
	if e.process != nil {
		e.process.Done(ctx, userID)
	}
	return nil
}

// pass erases what is there now. The last pass takes noted places off the index; until
// then a record that was noted and not yet written is still found.
func (e *Eraser) pass(ctx context.Context, userID string, last bool) (Erased, error) {
	out := Erased{UserID: userID, Kept: []Kept{}}
	for _, s := range e.sources {
		for _, f := range s.Forms {
			if what := f.stays(); what != "" {
				out.Kept = append(out.Kept, Kept{s.Feature, what})
			}
		}
	}
	for _, p := range places(e.sources, userID) {
		if err := e.erase(ctx, userID, p, last, &out); err != nil || out.More {
			return out, err
		}
	}
	return out, nil
}

func (e *Eraser) erase(ctx context.Context, userID string, p placed, last bool, out *Erased) error {
	for r := (kv.Range{Prefix: p.Prefix}); ; {
		page, err := e.store.List(ctx, p.Partition, r)
		if err != nil {
			return err
		}
		if p.Keep != nil && r.After == "" && len(page.Items) > 0 {
			why, err := p.Keep(page.Items, e.now())
			if err != nil {
				return err
			}
			if why != "" {
				out.Kept = append(out.Kept, Kept{p.feature, why})
				return nil
			}
		}
		for _, item := range page.Items {
			if out.Erased >= eraseAtOnce {
				out.More = true
				return nil
			}
			was, err := e.eraseItem(ctx, userID, p, item, last)
			var waits Waits
			switch {
			case errors.As(err, &waits):
				out.Waits = append(out.Waits, Kept{p.feature, string(waits)})
			case errors.Is(err, kv.ErrConflict):
				out.More = true // it changed at this moment
			case err != nil:
				return err
			}
			if was {
				out.Erased++
			}
		}
		if r.After = page.Next; page.Next == "" {
			return nil
		}
	}
}

// eraseItem erases what an item of a place stands for, and reports whether there was
// anything.
func (e *Eraser) eraseItem(ctx context.Context, userID string, p placed, item kv.Item, last bool) (was bool, err error) {
	if p.source == nil && p.Erase != nil {
		return p.Erase(ctx, e.store, userID, item, e.now())
	}
	if p.source == nil {
		return true, e.store.Commit(ctx, p.Partition, kv.NewOp("erase"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
	}
	n, err := decodeNoted(item)
	if err != nil {
		return false, err
	}
	if p.source.Erase != nil {
		was, err = p.source.Erase(ctx, e.store, userID, n, e.now())
	} else {
		was, err = EraseItems(ctx, e.store, n.Partition, n.Key)
	}
	if err == nil && last {
		err = e.store.Commit(ctx, p.Partition, kv.NewOp("erase"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
	}
	return was, err
}

// EraseItems deletes items of a partition in one commit, and reports whether any was
// there. After a kv.ErrConflict none was deleted.
func EraseItems(ctx context.Context, store kv.Store, partition string, keys ...string) (bool, error) {
	var writes []kv.Write
	for _, key := range keys {
		item, err := store.Get(ctx, partition, key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		writes = append(writes, kv.Delete{Key: key, If: kv.Rev(item.Rev)})
	}
	if len(writes) == 0 {
		return false, nil
	}
	return true, store.Commit(ctx, partition, kv.NewOp("erase"), writes...)
}

// EditItem takes a user out of one JSON item that is not the user's alone: edit
// changes what is decoded, and reports whether the user was in it. An item that does
// not exist is not made. After a kv.ErrConflict the item is unchanged.
func EditItem[T any](ctx context.Context, store kv.Store, n Noted, edit func(*T) bool) (was bool, err error) {
	item, err := store.Get(ctx, n.Partition, n.Key)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var is T
	if err := json.Unmarshal(item.Value, &is); err != nil {
		return false, fmt.Errorf("userdata: an item does not decode: %w", err)
	}
	if !edit(&is) {
		return false, nil
	}
	value, err := json.Marshal(is)
	if err != nil {
		return false, fmt.Errorf("userdata: %w", err)
	}
	return true, store.Commit(ctx, n.Partition, kv.NewOp("erase"), kv.Put{Key: n.Key, Value: value, Expires: item.Expires, If: kv.Rev(item.Rev)})
}

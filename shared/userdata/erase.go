package userdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

const (
	// Settled is how long after its begin an erasure passes over all records a second
	// time: by then every event of before the erasure is counted, or dropped as too
	// late.
	Settled = kv.Horizon + kv.HorizonSlack + time.Hour
	// eraseAtOnce is how many records and noted places one call looks at.
	eraseAtOnce = 200
	// searchPage is how many records a page of a partition that is searched counts for.
	searchPage = 4
	guardAfter = time.Minute
	// callTime is more than one call takes.
	callTime = 20 * time.Second
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

// erasureKey is the item of a user's index with the state of the erasure.
const erasureKey = "~erasure"

// erasure is the state of an erasure between two calls.
type erasure struct {
	Begun time.Time `json:"begun"`
	// Place names the place that the pass under way has come to, and After the key up to
	// which it has erased the place. Both are "" between passes.
	Place string `json:"place,omitempty"`
	After string `json:"after,omitempty"`
	// At is the noted place whose partition is being searched, and Within the key up to
	// which it was.
	At     string `json:"at,omitempty"`
	Within string `json:"within,omitempty"`
	// Last is true of a pass that began after Settled, Waits of one that met a record of
	// something that is not over, and Changed of one that met a record which somebody
	// wrote at the same moment: that pass is repeated.
	Last    bool `json:"last,omitempty"`
	Waits   bool `json:"waits,omitempty"`
	Changed bool `json:"changed,omitempty"`

	rev string
}

// Erase begins or continues the erasure of a user. It looks at no more than eraseAtOnce
// records and noted places, and goes on where the call before has stopped, so that a
// pass over a user with many records costs each call the same. Call Erase again while
// the result has More. Kept and Waits of the result are of the records of this call.
//
// After an error, what was erased before it stays erased, and the next call goes on at
// the record that failed.
func (e *Eraser) Erase(ctx context.Context, userID string) (Erased, error) {
	if e.process != nil {
		// Not before everything was seen once is the second time due.
		if err := e.process.Guard(ctx, userID, e.now().Add(guardAfter)); err != nil {
			return Erased{}, err
		}
	}
	is, err := e.begin(ctx, userID)
	if err != nil {
		return Erased{}, err
	}
	if is.Place == "" {
		is.Last = e.now().Sub(is.Begun) >= Settled
	}
	from := is
	out, err := e.pass(ctx, userID, &is)
	switch {
	case err != nil:
		if is != from {
			ctx, cancel := retry.Settle(ctx)
			defer cancel()
			_ = e.save(ctx, userID, is, &out) // or the next call does this part once more
		}
		return out, err
	case out.More:
		return out, e.save(ctx, userID, is, &out)
	case is.Changed:
		out.More = true
		return out, e.save(ctx, userID, erasure{Begun: is.Begun, rev: is.rev}, &out)
	case is.Last && !is.Waits:
		return out, e.end(ctx, userID, is, &out)
	}
	if from.Place != "" {
		if err := e.save(ctx, userID, erasure{Begun: is.Begun, rev: is.rev}, &out); err != nil || out.More {
			return out, err
		}
	}
	again := is.Begun.Add(Settled)
	if is.Last {
		again = e.now().Add(Settled)
	}
	out.Again = again.UTC().Truncate(time.Second)
	if e.process != nil {
		err = e.process.Guard(ctx, userID, again.Add(time.Second))
	}
	return out, err
}

// goOn is the job: it erases until nothing is left, or the job's time does not suffice
// for another call. The guard of the last call has the rest done by another job.
func (e *Eraser) goOn(ctx context.Context, userID string) error {
	for {
		_, err := e.store.Get(ctx, indexPartition(userID), erasureKey)
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
		if end, bounded := ctx.Deadline(); bounded && time.Until(end) < callTime {
			return nil
		}
	}
}

func (e *Eraser) begin(ctx context.Context, userID string) (is erasure, err error) {
	for {
		item, err := e.store.Get(ctx, indexPartition(userID), erasureKey)
		if err == nil {
			if err := json.Unmarshal(item.Value, &is); err != nil {
				return is, fmt.Errorf("userdata: the state of an erasure does not decode: %w", err)
			}
			is.rev = item.Rev
			return is, nil
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return is, err
		}
		is = erasure{Begun: e.now().UTC(), rev: kv.NewOp("erase")}
		value, err := json.Marshal(is)
		if err != nil {
			return is, fmt.Errorf("userdata: %w", err)
		}
		err = e.store.Commit(ctx, indexPartition(userID), is.rev, kv.Put{Key: erasureKey, Value: value, If: kv.Absent()})
		if !errors.Is(err, kv.ErrConflict) {
			return is, err
		}
	}
}

// save stores the state of an erasure. Where another call stored one since, that one
// stands, and the caller is to call again.
func (e *Eraser) save(ctx context.Context, userID string, is erasure, out *Erased) error {
	value, err := json.Marshal(is)
	if err != nil {
		return fmt.Errorf("userdata: %w", err)
	}
	err = e.store.Commit(ctx, indexPartition(userID), kv.NewOp("erase"), kv.Put{Key: erasureKey, Value: value, If: kv.Rev(is.rev)})
	if errors.Is(err, kv.ErrConflict) {
		out.More = true
		return nil
	}
	return err
}

// end takes the erasure itself off the index, unless another call began a pass since:
// then the caller is to call again.
func (e *Eraser) end(ctx context.Context, userID string, is erasure, out *Erased) error {
	err := e.store.Commit(ctx, indexPartition(userID), kv.NewOp("erase"), kv.Delete{Key: erasureKey, If: kv.Rev(is.rev)})
	if errors.Is(err, kv.ErrConflict) {
		if _, err = e.store.Get(ctx, indexPartition(userID), erasureKey); err == nil {
			out.More = true
			return nil
		}
	}
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if e.process != nil {
		e.process.Done(ctx, userID)
	}
	return nil
}

// pass erases what is there now, from where is says, and moves is on. The last pass
// takes noted places off the index; until then a record that was noted and not yet
// written is still found.
func (e *Eraser) pass(ctx context.Context, userID string, is *erasure) (Erased, error) {
	out := Erased{UserID: userID, Kept: []Kept{}}
	for _, s := range e.sources {
		for _, f := range s.Forms {
			if what := f.stays(); what != "" {
				out.Kept = append(out.Kept, Kept{s.Feature, what})
			}
		}
	}
	list := places(e.sources, userID)
	from := slices.IndexFunc(list, func(p placed) bool { return p.name() == is.Place })
	if from < 0 { // a new pass, or a place that this release does not have
		from, is.After = 0, ""
	}
	left := eraseAtOnce
	for _, p := range list[from:] {
		if err := e.erase(ctx, userID, p, is, &left, &out); err != nil || out.More {
			return out, err
		}
	}
	return out, nil
}

func (e *Eraser) erase(ctx context.Context, userID string, p placed, is *erasure, left *int, out *Erased) error {
	is.Place = p.name()
	for r := (kv.Range{Prefix: p.Prefix, After: is.After}); ; {
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
			if *left <= 0 {
				out.More = true
				return nil
			}
			partition, search, err := p.searched(item)
			if err == nil && search {
				if is.At != item.Key {
					is.At, is.Within = item.Key, ""
				}
				if err = e.search(ctx, userID, partition, p, is, left, out); err != nil || out.More {
					return err
				}
			}
			was := false
			if err == nil {
				was, err = e.eraseItem(ctx, userID, p, item, is.Last)
			}
			var waits Waits
			switch {
			case errors.As(err, &waits):
				is.Waits = true
				out.Waits = append(out.Waits, Kept{p.feature, string(waits)})
			case errors.Is(err, kv.ErrConflict):
				is.Changed = true
			case err != nil:
				return err
			}
			if was && err == nil {
				out.Erased++
			}
			is.After, is.At, is.Within = item.Key, "", ""
			*left--
		}
		if r.After = page.Next; page.Next == "" {
			is.After = ""
			return nil
		}
	}
}

// search erases a user in the items of a partition of many. The result has More where
// the call has looked at enough before the end of the partition.
func (e *Eraser) search(ctx context.Context, userID, partition string, p placed, is *erasure, left *int, out *Erased) error {
	for {
		page, err := e.store.List(ctx, partition, kv.Range{After: is.Within, Limit: kv.MaxPage})
		if err != nil {
			return err
		}
		*left -= searchPage
		for _, item := range page.Items {
			was, err := p.source.Search.Erase(ctx, e.store, userID, partition, item)
			switch {
			case errors.Is(err, kv.ErrConflict):
				is.Changed = true
			case err != nil:
				return err
			case was:
				out.Erased++
			}
			is.Within = item.Key
			if was {
				*left--
			}
			if out.More = *left <= 0; out.More {
				return nil
			}
		}
		if page.Next == "" {
			return nil
		}
		is.Within = page.Next
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
	switch {
	case p.source.Search != nil && p.source.Search.In(n): // it was searched
	case p.source.Erase != nil:
		was, err = p.source.Erase(ctx, e.store, userID, n, e.now())
	default:
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

package due

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Bounds of one Sweep.
const (
	// MaxSweep is how many entries one Sweep hands out at most.
	MaxSweep = 10_000
	// SideBySide is how many of them are handled at a time.
	SideBySide = 16
)

const (
	pageSize = 64
	// reserve is how long before the deadline no entry is begun any more.
	reserve = time.Second
	// leaseSlack is how much longer than its deadline a sweep has an entry to
	// itself.
	leaseSlack = 5 * time.Second
	firstPause = time.Minute
	longest    = time.Hour
	// lag is how far behind the present a sweep begins to look, and so how
	// much clocks may differ.
	lag = time.Hour
)

// Sweep hands out the entries whose time has come by now, the oldest first and up
// to SideBySide at a time, and takes off those whose handler returned nil, unless
// they were put again meanwhile. It returns how many were handled so. The handler
// is called side by side.
//
// Before an entry is handed out, its time moves to when no handler can still be
// working on it: backoff that grows with each attempt, from a minute to an hour. So a
// handler that fails, panics or kills its process blocks its own entry alone, and that
// entry is retried. A handler must be quick; it enqueues what takes long.
//
// Sweep ends when nothing more is due, after MaxSweep entries, or a second before
// ctx's deadline; what is left is handed out next time. A store that cannot be
// reached is an error, returned when everything else is done; a handler's error
// is in the log.
func (a *Agenda) Sweep(ctx context.Context, handle func(context.Context, Entry) error) (done int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s := &sweep{agenda: a, until: timeKey(a.now().Add(time.Millisecond).Truncate(time.Millisecond))}
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	for handed := 0; handed < MaxSweep; {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		if deadline, has := ctx.Deadline(); has && time.Until(deadline) < reserve {
			break
		}
		batch := s.batch(ctx, min(SideBySide, MaxSweep-handed))
		if len(batch) == 0 {
			break
		}
		handed += len(batch)
		var work sync.WaitGroup
		for i := range batch {
			b := &batch[i]
			work.Go(func() { b.ok, b.err = s.perform(ctx, b.shard, b.item, handle) })
		}
		work.Wait()
		for _, b := range batch {
			if b.ok {
				done++
			}
			if b.err != nil {
				s.fail(b.shard, b.err)
			}
		}
	}
	return done, errors.Join(s.faults...)
}

// handed is an entry that is handed out, and how that went.
type handed struct {
	shard int
	item  kv.Item
	ok    bool
	err   error
}

// batch takes the oldest entries, at most so many.
func (s *sweep) batch(ctx context.Context, most int) []handed {
	var batch []handed
	for len(batch) < most {
		shard := s.oldest(ctx)
		if shard < 0 {
			break
		}
		batch = append(batch, handed{shard: shard, item: s.lines[shard].next()})
	}
	return batch
}

// sweep is one run of Sweep.
type sweep struct {
	agenda *Agenda
	until  string // the first key that is not due
	lines  [shards]line
	faults []error
}

// line is what is due in one shard.
type line struct {
	items []kv.Item
	after string
	ended bool // there is no more behind items
}

func (l *line) next() kv.Item {
	item := l.items[0]
	l.items = l.items[1:]
	return item
}

// fail gives up a shard for this time.
func (s *sweep) fail(shard int, err error) {
	s.faults = append(s.faults, err)
	s.lines[shard] = line{ended: true}
}

// startKey is the item that says from where a sweep has to look: engines may
// keep what was removed from the list for days, and reading over it every minute
// would cost more than anything else here. Entries are never put behind the
// present, so nothing comes to be before a point that far in the past.
const startKey = "start"

func (a *Agenda) startPartition() string { return "due/" + a.name }

// start looks at the oldest entries of all shards, and moves the start on, to a
// full hour, when it has seen nothing before it.
func (s *sweep) start(ctx context.Context) error {
	a := s.agenda
	item, err := a.store.Get(ctx, a.startPartition(), startKey)
	cond := kv.Rev(item.Rev)
	if errors.Is(err, kv.ErrNotFound) {
		cond, err = kv.Absent(), nil
	}
	if err != nil {
		return err
	}
	start := timeKey(a.now().Add(-lag).Truncate(time.Hour))
	clear := start > string(item.Value)
	for shard := range s.lines {
		l := &s.lines[shard]
		l.after = string(item.Value)
		s.fill(ctx, shard)
		clear = clear && (len(l.items) == 0 || l.items[0].Key > start)
	}
	if !clear || len(s.faults) > 0 {
		return nil
	}
	err = a.store.Commit(ctx, a.startPartition(), kv.NewOp("due"), kv.Put{Key: startKey, Value: []byte(start), If: cond})
	if errors.Is(err, kv.ErrConflict) {
		return nil // another sweep did
	}
	return err
}

// fill reads on in a shard until there is an entry or no more are due.
func (s *sweep) fill(ctx context.Context, shard int) {
	l := &s.lines[shard]
	for len(l.items) == 0 && !l.ended {
		page, err := s.agenda.store.List(ctx, s.agenda.partition(shard), kv.Range{Prefix: timePrefix, After: l.after, Limit: pageSize})
		if err != nil {
			s.fail(shard, err)
			return
		}
		l.after = page.Next
		l.ended = page.Next == "" || page.Next >= s.until
		for _, item := range page.Items {
			if item.Key >= s.until {
				l.ended = true
				break
			}
			l.items = append(l.items, item)
		}
	}
}

// oldest returns the shard of the oldest entry that is due, or -1.
func (s *sweep) oldest(ctx context.Context) int {
	found := -1
	for shard := range s.lines {
		s.fill(ctx, shard)
		l := s.lines[shard]
		if len(l.items) > 0 && (found < 0 || l.items[0].Key < s.lines[found].items[0].Key) {
			found = shard
		}
	}
	return found
}

// perform hands out one entry. Its errors are the store's.
func (s *sweep) perform(ctx context.Context, shard int, item kv.Item, handle func(context.Context, Entry) error) (ok bool, err error) {
	a := s.agenda
	id := item.Key[len(s.until):]
	var r record
	if err := json.Unmarshal(item.Value, &r); err != nil {
		slog.ErrorContext(ctx, "due entry does not decode", "agenda", a.name, "error", err.Error())
		return false, nil
	}
	r.Attempts++
	back := a.now().Add(pause(ctx, r.Attempts))
	p := place{id: id, key: item.Key, rev: item.Rev}
	writes, err := p.move(back, r)
	if err != nil {
		return false, err
	}
	op := kv.NewOp("due")
	switch err := a.store.Commit(ctx, a.partition(shard), op, writes...); {
	case errors.Is(err, kv.ErrConflict):
		return false, nil // another sweep has it, or it was put again or removed
	case err != nil:
		return false, err
	}
	err = call(ctx, handle, Entry{ID: id, At: time.UnixMilli(r.At), Body: r.Body, Attempt: r.Attempts})
	if err != nil {
		slog.WarnContext(ctx, "due entry failed; it is retried", "agenda", a.name, "attempt", r.Attempts, "error", err.Error())
		return false, nil
	}
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	p = place{id: id, key: timeKey(back) + id, rev: op}
	err = a.store.Commit(ctx, a.partition(shard), kv.NewOp("due"), p.clear()...)
	if errors.Is(err, kv.ErrConflict) {
		err = nil // put again meanwhile
	}
	return true, err
}

// call calls the handler and makes an error of a panic.
func call(ctx context.Context, handle func(context.Context, Entry) error, e Entry) (err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "due entry panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errors.New("the handler panicked")
		}
	}()
	return handle(ctx, e)
}

// pause is the backoff before an entry's next attempt.
func pause(ctx context.Context, attempt int) time.Duration {
	d := min(firstPause<<min(attempt-1, 10), longest)
	if deadline, has := ctx.Deadline(); has {
		d = max(d, time.Until(deadline)+leaseSlack)
	}
	return d
}

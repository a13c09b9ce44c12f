package roomstats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// The list of what to fold. A partition is entered before a count in it, and
// entered again by each instance that goes on counting there; it is struck off
// when it has been silent and holds nothing to fold. All entries of a room stand
// together in one of the lists.
const (
	lists      = 64
	enterEvery = 30 * time.Minute
	silent     = 2 * time.Hour // more than enterEvery, clocks that differ included
	maxEntered = 50_000        // entries an instance remembers

	// perJob is how many entries the lists of one job hold together, about.
	perJob = 500
	// lines is how many rooms a job folds at once.
	lines = 8
	// reserve is how long before its deadline a job begins no other room.
	reserve = 2 * time.Second
	// jobTime is how long a job folds at most: the next one is a minute behind.
	jobTime = 50 * time.Second

	foldJob = "roomstats.fold"
)

// sep ends the name of a room in the list; no UserID or GroupID holds it.
const sep = "\x01"

func listPartition(list int) string { return fmt.Sprintf("rooms/%02d", list) }

func listOf(roomID string) int { return int(hash(roomID, "list") % lists) }

// Entries of a list, in whose order those of a room stand together.
func mainEntry(r room) string { return fmt.Sprintf("r/%s%s%d", r.id, sep, r.gen) }

func shardEntry(r room, shard int) string { return fmt.Sprintf("%s%s%02d", mainEntry(r), sep, shard) }

func boardEntry(n int) string { return fmt.Sprintf("b/%02d", n) }

// parseEntry returns what an entry stands for. shard is -1 for a main partition.
func parseEntry(key string) (r room, shard, board int, err error) {
	if _, err := fmt.Sscanf(key, "b/%d", &board); err == nil {
		return room{}, -1, board, nil
	}
	rest, is := strings.CutPrefix(key, "r/")
	parts := strings.Split(rest, sep)
	if !is || len(parts) < 2 || len(parts) > 3 {
		return room{}, 0, 0, errors.New("roomstats: an entry of no known kind")
	}
	r.id, shard, board = parts[0], -1, -1
	if _, err = fmt.Sscan(parts[1], &r.gen); err == nil && len(parts) == 3 {
		_, err = fmt.Sscanf(parts[2], "%d", &shard)
	}
	return r, shard, board, err
}

// entered is what an instance knows of the lists.
type entered struct {
	mu    sync.Mutex
	rooms map[string]time.Time
}

func (e *entered) lately(entry string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, known := e.rooms[entry]
	return known && now.Sub(at) < enterEvery
}

func (e *entered) note(entry string, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.rooms) >= maxEntered {
		maps.DeleteFunc(e.rooms, func(_ string, at time.Time) bool { return now.Sub(at) >= enterEvery })
	}
	if len(e.rooms) >= maxEntered {
		clear(e.rooms) // costs a write an entry
	}
	e.rooms[entry] = now
}

// enter makes sure that an entry is on the list of a room.
func (s *Stats) enter(ctx context.Context, roomID, entry string) error {
	now := s.now()
	if s.entered.lately(entry, now) {
		return nil
	}
	at, err := now.MarshalText()
	if err != nil {
		return err
	}
	list := listPartition(listOf(roomID))
	put := kv.Put{Key: entry, Value: at, If: kv.Absent()}
	err = s.store.Commit(ctx, list, kv.NewOp("enter"), put)
	if errors.Is(err, kv.ErrConflict) {
		err = s.enterAgain(ctx, list, put)
	}
	if err == nil {
		s.entered.note(entry, now)
	}
	return err
}

func (s *Stats) enterAgain(ctx context.Context, list string, put kv.Put) error {
	item, err := s.store.Get(ctx, list, put.Key)
	if err != nil {
		return err // struck off in between: the next try enters it anew
	}
	put.If = kv.Rev(item.Rev)
	err = s.store.Commit(ctx, list, kv.NewOp("enter"), put)
	if errors.Is(err, kv.ErrConflict) {
		return nil // somebody else entered it this moment
	}
	return err
}

// Schedule returns the clock's task of every minute: it enqueues the folding of all
// lists, one job for all short lists, and one job for each long list. Another program
// may carry out the jobs. Without a queue the counts are folded at once, with the
// default weights.
func Schedule(store kv.Store, jobs *queue.Ledger) func(context.Context) error {
	if jobs == nil {
		return New(Config{Store: store}).Fold
	}
	jobs.Elsewhere(foldJob)
	return func(ctx context.Context) error { return schedule(ctx, store, jobs, time.Now()) }
}

func schedule(ctx context.Context, store kv.Store, jobs *queue.Ledger, now time.Time) error {
	var (
		batch []queue.Job
		task  foldTask
		held  int
	)
	flush := func() error {
		if len(task.Lists) == 0 {
			return nil
		}
		body, err := json.Marshal(task)
		if err != nil {
			return err
		}
		batch = append(batch, queue.Job{
			ID: fmt.Sprintf("fold/%d/%02d", now.Unix()/60, task.Lists[0]), Kind: foldJob, Lane: queue.Slow, Body: body,
		})
		task, held = foldTask{}, 0
		return nil
	}
	for list := range lists {
		page, err := store.List(ctx, listPartition(list), kv.Range{Limit: perJob})
		if err != nil {
			return err
		}
		if len(page.Items) == 0 {
			continue
		}
		if held+len(page.Items) > perJob {
			if err := flush(); err != nil {
				return err
			}
		}
		task.Lists = append(task.Lists, list)
		held += len(page.Items)
	}
	if err := flush(); err != nil {
		return err
	}
	for _, job := range batch {
		if err := jobs.Put(ctx, job); err != nil {
			return err
		}
	}
	return nil
}

// foldTask is the body of a job that folds.
type foldTask struct {
	Lists []int `json:"lists"`
}

func (s *Stats) handleJobs(jobs *queue.Ledger) {
	jobs.Handle(foldJob, func(ctx context.Context, j queue.Job) error {
		var task foldTask
		if err := json.Unmarshal(j.Body, &task); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, jobTime)
		defer cancel()
		for _, list := range task.Lists {
			if err := s.foldList(ctx, list); err != nil {
				return err
			}
		}
		return nil
	})
	jobs.Handle(publishJob, s.publishDue)
	jobs.Handle(levelsJob, s.levelsDue)
}

// Fold folds all lists. Calls may overlap, in several processes, too. When ctx ends
// Fold stops, and the next call continues there.
func (s *Stats) Fold(ctx context.Context) error {
	errs := make(chan error, lists)
	turns := make(chan struct{}, 16)
	for list := range lists {
		go func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			errs <- s.foldList(ctx, list)
		}()
	}
	var all error
	for range lists {
		all = errors.Join(all, <-errs)
	}
	return all
}

// cursorKey is the item that says behind which entry the next fold of a list
// begins: the last one ran out of time there. It orders behind every entry.
const cursorKey = "~cursor"

// foldList folds what a list holds, a few rooms at once, and writes their
// scores on the list's boards. It begins where the last one had to stop.
func (s *Stats) foldList(ctx context.Context, list int) error {
	partition := listPartition(list)
	var from string
	cond, err := load(ctx, s.store, partition, cursorKey, &from)
	if err != nil {
		return err
	}
	started := from
	w := &boardWriter{stats: s, list: list, rooms: int(s.sizes[list].Load()), scores: make(map[string][]entry)}
	end, failed := s.foldEntries(ctx, partition, from, "", w)
	if end == "" && from != "" {
		end, err = s.foldEntries(ctx, partition, "", from, w)
		failed = errors.Join(failed, err)
	}
	// The boards and the cursor are written even when the time is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reserve)
	defer cancel()
	s.sizes[list].Store(int64(w.seen))
	failed = errors.Join(failed, w.write(ctx))
	if end == started {
		return failed
	}
	cursor, err := put(cursorKey, end, cond, time.Time{})
	if err == nil {
		err = s.store.Commit(ctx, partition, kv.NewOp("fold"), cursor)
	}
	if errors.Is(err, kv.ErrConflict) {
		err = nil // another fold of this list wrote where it stopped
	}
	return errors.Join(failed, err)
}

// foldEntries folds the entries of a list behind one and up to another, room by
// room. It returns the last entry before which everything is folded, "" when it
// came to the end.
func (s *Stats) foldEntries(ctx context.Context, partition, after, until string, w *boardWriter) (end string, err error) {
	var (
		all    sync.WaitGroup
		turns  = make(chan struct{}, lines)
		mu     sync.Mutex
		failed error
		group  []kv.Item
	)
	defer func() {
		all.Wait()
		err = errors.Join(err, failed)
	}()
	start := func() {
		if len(group) == 0 {
			return
		}
		items := group
		group = nil
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			if err := s.foldGroup(ctx, partition, items, w); err != nil {
				mu.Lock()
				failed = errors.Join(failed, fmt.Errorf("a room: %w", err))
				mu.Unlock()
			}
		})
	}
	for r := (kv.Range{After: after}); ; {
		page, err := s.store.List(ctx, partition, r)
		if err != nil {
			return after, err
		}
		for _, item := range page.Items {
			if item.Key == cursorKey {
				continue
			}
			if until != "" && item.Key > until {
				start()
				return "", nil
			}
			if len(group) > 0 && roomIn(group[0].Key) != roomIn(item.Key) {
				start()
				if deadline, has := ctx.Deadline(); ctx.Err() != nil || has && time.Until(deadline) < reserve {
					return after, ctx.Err()
				}
			}
			group = append(group, item)
			after = item.Key
		}
		if page.Next == "" {
			start()
			return "", nil
		}
		r.After = page.Next
	}
}

// roomIn is what the entries of one generation of a room have in common.
func roomIn(key string) string {
	if parts := strings.SplitN(key, sep, 3); len(parts) > 2 {
		return parts[0] + sep + parts[1]
	}
	return key
}

// foldGroup folds the partitions of a room that are listed, or one of the board
// of users, and strikes off those that are silent and done.
func (s *Stats) foldGroup(ctx context.Context, partition string, items []kv.Item, w *boardWriter) error {
	r, _, board, err := parseEntry(items[0].Key)
	if err != nil {
		slog.ErrorContext(ctx, "entry of the list of rooms does not decode", "error", err.Error())
		return nil
	}
	names := make([]string, len(items))
	switch {
	case board >= 0:
		names[0] = creditPartition(board)
		err = s.foldCredits(ctx, board)
	default:
		var listed []int
		for i, item := range items {
			_, shard, _, err := parseEntry(item.Key)
			if err != nil {
				return err
			}
			if names[i] = r.main(); shard >= 0 {
				names[i] = r.shard(shard)
			}
			listed = append(listed, shard)
		}
		err = s.foldRoom(ctx, r, listed, w)
	}
	if err != nil {
		return err
	}
	for i, item := range items {
		if err := s.strikeOff(ctx, partition, item, names[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stats) strikeOff(ctx context.Context, list string, item kv.Item, name string) error {
	var at time.Time
	if err := at.UnmarshalText(item.Value); err != nil {
		return fault.Wrap(err, fault.Internal, "roomstats: an entry without a time")
	}
	if s.now().Sub(at) < silent {
		return nil
	}
	left, err := s.store.Open(ctx, name, "", 1)
	if err != nil || len(left) > 0 {
		return err
	}
	err = s.store.Commit(ctx, list, kv.NewOp("strike off"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
	if errors.Is(err, kv.ErrConflict) {
		return nil // entered again
	}
	return err
}

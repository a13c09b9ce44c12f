package roomstats

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// boardSize is how many entries a board has.
const boardSize = 200

// The boards. Boards of rooms hold absolute scores, written by the fold of a list of
// rooms, one item a list. The board of users is a table in each of creditShards
// partitions. A room is in one list and a user in one partition, so the best of all
// are among the best of each.
const (
	BoardPopularity = "popularity" // of rooms
	BoardLikes      = "likes"      // of rooms
	BoardGifts      = "gifts"      // of users
	// DayPrefix before the name of a board is that board for one day.
	DayPrefix = "day/"
)

const creditShards = 16

// entry is a line of a board as it is stored.
type entry struct {
	ID    string `json:"i"`
	Score int64  `json:"s,omitempty"`
	At    int64  `json:"t,omitempty"` // Unix milliseconds when the score was reached
	// Fading is the score instead, for popularity.
	Fading *fading `json:"f,omitempty"`

	order int64 // by which the board is sorted
}

// Entry is one place on a board.
type Entry struct {
	RoomID string `json:"roomId,omitempty"`
	UserID string `json:"userId,omitempty"`
	Score  int64  `json:"score"`
}

// before orders a board: the highest score first, of equal ones the one reached
// first, then by id.
func before(a, b entry) int {
	return cmp.Or(cmp.Compare(b.order, a.order), cmp.Compare(a.At, b.At), strings.Compare(a.ID, b.ID))
}

// ranked gives entries their order, drops those without a score, and sorts.
func (s *Stats) ranked(list []entry) []entry {
	list = slices.DeleteFunc(list, func(e entry) bool { return e.Fading == nil && e.Score <= 0 || e.Fading != nil && e.Fading.Value <= 0 })
	for i, e := range list {
		list[i].order = e.Score
		if e.Fading != nil {
			list[i].order = e.Fading.order(s.conf.Popularity.HalfLife)
		}
	}
	slices.SortFunc(list, before)
	return list
}

// merged replaces entries of a board by new ones of the same ids.
func (s *Stats) merged(list, changes []entry) []entry {
	byID := make(map[string]entry, len(list)+len(changes))
	for _, e := range list {
		byID[e.ID] = e
	}
	for _, e := range changes {
		// A score that has not changed was reached when it first was.
		if was, known := byID[e.ID]; known && was.Fading == nil && was.Score == e.Score {
			e.At = was.At
		}
		byID[e.ID] = e
	}
	next := s.ranked(slices.Collect(maps.Values(byID)))
	return next[:min(len(next), boardSize)]
}

func same(a, b []entry) bool {
	return slices.EqualFunc(a, b, func(a, b entry) bool {
		return a.ID == b.ID && a.Score == b.Score && a.At == b.At && (a.Fading == nil) == (b.Fading == nil) && (a.Fading == nil || *a.Fading == *b.Fading)
	})
}

// boardPartition holds the boards of the rooms of a list, by their names.
func boardPartition(list int) string { return fmt.Sprintf("roomstats/boards/%02d", list) }

// boardWriter collects the scores of the rooms of a list while they are folded.
type boardWriter struct {
	stats *Stats
	list  int

	rooms int // in the list when this instance last folded it

	mu     sync.Mutex
	scores map[string][]entry // by board
	seen   int                // rooms so far
	healed int
}

// healsPerFold is how many rooms of a list are compared with IM within a minute.
// 64 lists of 100 are 107 calls a second; IM takes 200 of the whole app.
const healsPerFold = 100

// mayHeal chooses the rooms of a list that are compared with IM this minute: all
// of them, or in turn where there are more than healsPerFold.
func (w *boardWriter) mayHeal(r room) bool {
	turns := uint32(1 + w.rooms/healsPerFold)
	minute := uint32(w.stats.now().Unix() / 60)
	w.mu.Lock()
	defer w.mu.Unlock()
	if (hash(r.id, "heal")+minute/2)%turns != 0 || w.healed >= healsPerFold {
		return false
	}
	w.healed++
	return true
}

// room adds a room's scores.
func (w *boardWriter) room(r room, st roomState) {
	now := w.stats.now().UnixMilli()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	if st.Closed {
		return
	}
	add := func(board string, e entry) {
		e.ID = r.id
		w.scores[board] = append(w.scores[board], e)
	}
	popularity := st.Popularity
	add(BoardPopularity, entry{Fading: &popularity})
	add(BoardLikes, entry{Score: st.likes(), At: now})
	for name, d := range st.days() {
		add(DayPrefix+name+"/"+BoardPopularity, entry{Score: d.Points, At: now})
		add(DayPrefix+name+"/"+BoardLikes, entry{Score: d.Likes, At: now})
	}
}

// write puts what was collected on the boards. One that does not change is not
// written.
func (w *boardWriter) write(ctx context.Context) error {
	for board, scores := range w.scores {
		var expires time.Time
		if name, is := strings.CutPrefix(board, DayPrefix); is {
			name, _, _ = strings.Cut(name, "/")
			var err error
			if expires, err = w.stats.dayEnd(name); err != nil {
				return err
			}
			if !expires.After(w.stats.now()) {
				continue
			}
		}
		if err := w.stats.updateBoard(ctx, boardPartition(w.list), board, scores, expires); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stats) updateBoard(ctx context.Context, partition, key string, changes []entry, expires time.Time) error {
	for try := 1; ; try++ {
		var list []entry
		cond, err := load(ctx, s.store, partition, key, &list)
		if err != nil {
			return err
		}
		next := s.merged(list, changes)
		if same(list, next) {
			return nil
		}
		write, err := put(key, next, cond, expires)
		if err != nil {
			return err
		}
		err = s.store.Commit(ctx, partition, kv.NewOp("board"), write)
		if !errors.Is(err, kv.ErrConflict) || try == 8 {
			return err
		}
		if err := retry.Sleep(ctx, mathrand.N(time.Millisecond<<try)); err != nil {
			return err
		}
	}
}

// credit adds to a user's score on the board of users, once by the id of a gift.
func (s *Stats) credit(ctx context.Context, user, id string, score int64, at time.Time) error {
	if score == 0 {
		return nil
	}
	n := int(hash(user, "credit") % creditShards)
	if err := s.enter(ctx, boardEntry(n), boardEntry(n)); err != nil {
		return err
	}
	return s.tallyRow(ctx, creditPartition(n), "c", hash(user, "row")%16, rowLimit, id, at, kv.Delta{Counter: cUser + user, By: score})
}

func creditPartition(n int) string { return fmt.Sprintf("roomstats/credits/%02d", n) }

// foldCredits folds a partition of the board of users.
func (s *Stats) foldCredits(ctx context.Context, n int) error {
	partition := creditPartition(n)
	_, err := kv.Move(ctx, s.store, partition, s.closed(), func(ctx context.Context, segments []kv.Segment) (writes []kv.Write, err error) {
		all := make(map[string][]int64)
		days := make(map[string]map[string][]int64)
		for _, g := range segments {
			name := nameOf(g.Name)
			if days[name.day] == nil {
				days[name.day] = make(map[string][]int64)
			}
			for counter, by := range g.Counters {
				if user, is := strings.CutPrefix(counter, cUser); is {
					all[user] = plus(all[user], []int64{by})
					days[name.day][user] = plus(days[name.day][user], []int64{by})
				}
			}
		}
		if writes, err = s.keepCredits(ctx, partition, "u/", BoardGifts, all, time.Time{}); err != nil {
			return nil, err
		}
		for name, users := range days {
			expires, err := s.dayEnd(name)
			if err != nil {
				return nil, err
			}
			more, err := s.keepCredits(ctx, partition, "d/"+name+"/", DayPrefix+name+"/"+BoardGifts, users, expires)
			if err != nil {
				return nil, err
			}
			writes = append(writes, more...)
		}
		return writes, nil
	})
	return err
}

// keepCredits makes the writes that add to the scores of users, and that put
// these on their board.
func (s *Stats) keepCredits(ctx context.Context, partition, prefix, board string, users map[string][]int64, expires time.Time) ([]kv.Write, error) {
	writes, rows, fresh, err := table{store: s.store, partition: partition, prefix: prefix, expires: expires}.add(ctx, users)
	if err == nil && expires.IsZero() {
		err = s.note(ctx, partition, fresh) // the tables of days have no others
	}
	if err != nil {
		return nil, err
	}
	var list []entry
	cond, err := load(ctx, s.store, partition, board, &list)
	if err != nil {
		return nil, err
	}
	var changes []entry
	for _, r := range rows {
		changes = append(changes, entry{ID: r.user, Score: r.number(0), At: s.now().UnixMilli()})
	}
	if next := s.merged(list, changes); !same(list, next) {
		write, err := put(board, next, cond, expires)
		if err != nil {
			return nil, err
		}
		writes = append(writes, write)
	}
	return writes, nil
}

var errNoBoard = fault.New(fault.NotFound, "there is no such board: popularity, likes and gifts are, each also behind day/")

// Board returns at most limit entries of a board behind a cursor, and the next cursor,
// "" at the end. name is one of the constants; with DayPrefix it is the board of the
// day that contains day.
func (s *Stats) Board(ctx context.Context, name, after string, limit int, day time.Time) (list []Entry, next string, err error) {
	key, ofDay := strings.CutPrefix(name, DayPrefix)
	users := key == BoardGifts
	if !users && key != BoardPopularity && key != BoardLikes {
		return nil, "", errNoBoard
	}
	parts := lists
	if users {
		parts = creditShards
	}
	if ofDay {
		key = DayPrefix + s.dayOf(day) + "/" + key
	}
	all, err := gather(ctx, parts, func(ctx context.Context, n int) (part []entry, err error) {
		partition := boardPartition(n)
		if users {
			partition = creditPartition(n)
		}
		_, err = load(ctx, s.store, partition, key, &part)
		return part, err
	})
	if err != nil {
		return nil, "", err
	}
	best := s.ranked(slices.Concat(all...))
	best = best[:min(len(best), boardSize)]
	if after != "" {
		last, err := decodeCursor(after)
		if err != nil {
			return nil, "", err
		}
		best = slices.DeleteFunc(best, func(e entry) bool { return before(e, last) <= 0 })
	}
	if len(best) > limit {
		best = best[:limit]
		next = encodeCursor(best[limit-1])
	}
	list = []Entry{}
	for _, e := range best {
		line := Entry{RoomID: e.ID, Score: bounded(e.Score)}
		if e.Fading != nil {
			line.Score = round(e.Fading.at(s.now(), s.conf.Popularity.HalfLife))
		}
		if users {
			line.RoomID, line.UserID = "", e.ID
		}
		list = append(list, line)
	}
	return list, next, nil
}

// cursor is a place on a board.
type cursor struct {
	Order int64  `json:"o"`
	At    int64  `json:"t"`
	ID    string `json:"i"`
}

func encodeCursor(e entry) string {
	b, err := json.Marshal(cursor{e.order, e.At, e.ID})
	if err != nil {
		panic(err) // integers and a string encode
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeCursor(text string) (entry, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	var c cursor
	if err != nil || json.Unmarshal(b, &c) != nil {
		return entry{}, fault.New(fault.Invalid, `after is the "next" of the answer before`)
	}
	return entry{ID: c.ID, At: c.At, order: c.Order}, nil
}

// gather calls f for each of n parts, sixteen at once, and returns what it
// returned, or the first error.
func gather[T any](ctx context.Context, n int, f func(ctx context.Context, part int) (T, error)) ([]T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		out   = make([]T, n)
		errs  = make([]error, n)
		turns = make(chan struct{}, 16)
		all   sync.WaitGroup
	)
	for i := range n {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			if out[i], errs[i] = f(ctx, i); errs[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, err
		}
	}
	return out, errors.Join(errs...)
}

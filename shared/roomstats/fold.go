package roomstats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Items of a room's partitions. A shard has an item for each user besides, and
// the main partition the leaves of a [table].
const (
	stateKey   = "room" // of the main partition
	topKey     = "top"
	totalsKey  = "totals" // of a shard
	rowPrefix  = "u/"
	userPrefix = "u/"
)

// topSize is how many of the most active users a room remembers: more than it
// lists, so that somebody just below has to be looked up seldom.
const topSize = 2 * MaxUsers

// keptDays is how many days a room's scores of a day are kept.
const keptDays = 3

// boardLife is how long the boards of a day are kept.
const boardLife = 8 * 24 * time.Hour

// Popularity is how a room's score grows and fades.
type Popularity struct {
	Messages, Pieces, Likes int64 // points each
	HalfLife                time.Duration
}

// DefaultPopularity halves a score within an hour.
var DefaultPopularity = Popularity{Messages: 1, Pieces: 10, Likes: 1, HalfLife: time.Hour}

// points of what was counted.
func (p Popularity) points(messages, pieces, likes int64) int64 {
	return sum(sum(times(p.Messages, messages), times(p.Pieces, pieces)), times(p.Likes, likes))
}

// times multiplies, and stays at the end of int64 instead of leaving it.
func times(a, b int64) int64 {
	if n := a * b; a == 0 || n/a == b && (a != -1 || b != math.MinInt64) {
		return n
	}
	if (a > 0) == (b > 0) {
		return math.MaxInt64
	}
	return math.MinInt64
}

// fading is a score that halves every half-life: what it was, and when.
type fading struct {
	Value float64 `json:"v"`
	At    int64   `json:"t"` // Unix milliseconds
}

// at returns the score at a time. It never grows by waiting.
func (f fading) at(now time.Time, halfLife time.Duration) float64 {
	age := max(0, now.UnixMilli()-f.At)
	return f.Value * math.Exp2(-float64(age)/float64(halfLife.Milliseconds()))
}

// add returns the score with points added now.
func (f fading) add(points int64, now time.Time, halfLife time.Duration) fading {
	return fading{Value: max(0, f.at(now, halfLife)+float64(points)), At: max(f.At, now.UnixMilli())}
}

// order puts fading scores in an order that no passing of time changes, as a
// whole number. It is finite for every score above 0.
func (f fading) order(halfLife time.Duration) int64 {
	return int64(math.Round((math.Log2(f.Value) + float64(f.At)/float64(halfLife.Milliseconds())) * (1 << 20)))
}

// roomState is what a room's main partition holds beside rows.
type roomState struct {
	Messages   int64            `json:"m,omitempty"`
	Special    int64            `json:"x,omitempty"`
	REST       int64            `json:"r,omitempty"`
	Gifts      int64            `json:"n,omitempty"` // gift messages of the app
	Pieces     int64            `json:"p,omitempty"`
	Popularity fading           `json:"pop,omitzero"`
	Days       map[string]int64 `json:"d,omitempty"` // points of messages by day
	// Shards are the shards' totals that the popularity has seen.
	Shards map[int]shardTotals `json:"s,omitempty"`
	Peak   int64               `json:"peak,omitempty"` // of the online count
	// Closed: messages came from a group that is no AVChatRoom. Its figures are for
	// those alone who write there, and it stands on no board.
	Closed bool `json:"c,omitempty"`
}

// shardTotals are the totals of a shard.
type shardTotals struct {
	Likes     int64          `json:"l,omitempty"`
	Gifts     int64          `json:"n,omitempty"`
	Pieces    int64          `json:"p,omitempty"`
	Before    int64          `json:"b,omitempty"`
	Online    int64          `json:"o,omitempty"`
	Uncounted int64          `json:"v,omitempty"`
	Points    int64          `json:"pts,omitempty"`
	Days      map[string]day `json:"d,omitempty"`
}

// day is what counts for the boards of a day.
type day struct {
	Likes  int64 `json:"l,omitempty"`
	Points int64 `json:"p,omitempty"`
}

// prune keeps the latest days.
func prune[T any](days map[string]T) {
	for len(days) > keptDays {
		delete(days, slices.Min(slices.Collect(maps.Keys(days))))
	}
}

func (s *Stats) closed() func(kv.Segment) bool {
	before := s.now().Add(-quiet)
	return func(g kv.Segment) bool { return !g.Touched.After(before) }
}

// foldRoom folds the listed partitions of a room (-1 is the main one), has the
// popularity see what is new, and hands the room's scores to the boards.
func (s *Stats) foldRoom(ctx context.Context, r room, listed []int, w *boardWriter) error {
	// A room in which everybody likes has most of its work in the shards.
	each, err := gather(ctx, len(listed), func(ctx context.Context, i int) (touched map[string]bool, err error) {
		touched = make(map[string]bool)
		if shard := listed[i]; shard >= 0 {
			_, err = kv.Move(ctx, s.store, r.shard(shard), s.closed(), func(ctx context.Context, segments []kv.Segment) ([]kv.Write, error) {
				return s.keepShard(ctx, r.shard(shard), segments, touched)
			})
			return touched, err
		}
		_, err = kv.Move(ctx, s.store, r.main(), s.closed(), func(ctx context.Context, segments []kv.Segment) ([]kv.Write, error) {
			return s.keepMain(ctx, r, segments, touched)
		})
		return touched, err
	})
	if err != nil {
		return err
	}
	touched := make(map[string]bool)
	for _, users := range each {
		maps.Copy(touched, users)
	}
	state, err := s.absorb(ctx, r, listed)
	if err != nil {
		return err
	}
	// Only the latest generation answers for its room.
	if now, err := s.current(ctx, r.id); err != nil || now != r {
		return err
	}
	w.room(r, state)
	if slices.Max(listed) >= 0 && w.mayHeal(r) {
		if err := s.heal(ctx, r); err != nil {
			slog.WarnContext(ctx, "the online count of a room was not compared with IM's", "error", err.Error())
		}
	}
	if len(touched) > 0 {
		return s.tellLevels(ctx, r, slices.Sorted(maps.Keys(touched)))
	}
	return nil
}

// keepMain makes the writes that keep what segments of messages held.
func (s *Stats) keepMain(ctx context.Context, r room, segments []kv.Segment, touched map[string]bool) ([]kv.Write, error) {
	partition, now := r.main(), s.now()
	state, cond, err := s.state(ctx, r)
	if err != nil {
		return nil, err
	}
	users := make(map[string][]int64)
	for _, g := range segments {
		points := state.take(g, users, s.conf.Popularity)
		state.Popularity = state.Popularity.add(points, now, s.conf.Popularity.HalfLife)
	}
	prune(state.Days)
	write, err := put(stateKey, state, cond, time.Time{})
	if err != nil {
		return nil, err
	}
	writes := []kv.Write{write}
	rows, after, fresh, err := s.rows(r).add(ctx, users)
	if err == nil {
		err = s.note(ctx, partition, fresh)
	}
	if err != nil {
		return nil, err
	}
	writes = append(writes, rows...)
	var top []row
	if cond, err = load(ctx, s.store, partition, topKey, &top); err != nil {
		return nil, err
	}
	if next := mergeTop(top, after); !slices.EqualFunc(top, next, func(a, b row) bool { return a.user == b.user && slices.Equal(a.numbers, b.numbers) }) {
		write, err := put(topKey, next, cond, time.Time{})
		if err != nil {
			return nil, err
		}
		writes = append(writes, write)
	}
	for user := range users {
		touched[user] = true
	}
	return writes, nil
}

// take adds what a segment of messages holds, and the counts of users (messages,
// gifts). It returns the points of the segment.
func (st *roomState) take(g kv.Segment, users map[string][]int64, p Popularity) (points int64) {
	var messages, pieces int64
	for counter, n := range g.Counters {
		switch counter {
		case cMessages:
			st.Messages, messages = sum(st.Messages, n), n
		case cSpecial:
			st.Special = sum(st.Special, n)
		case cREST:
			st.REST = sum(st.REST, n)
		case cGifts:
			st.Gifts = sum(st.Gifts, n)
		case cPieces:
			st.Pieces, pieces = sum(st.Pieces, n), n
		default:
			if user, is := strings.CutPrefix(counter, cUser); is {
				users[user] = plus(users[user], []int64{n})
			} else if user, is := strings.CutPrefix(counter, cUserGift); is {
				users[user] = plus(users[user], []int64{0, n})
			}
		}
	}
	points = p.points(messages, pieces, 0)
	if st.Days == nil {
		st.Days = make(map[string]int64)
	}
	name := nameOf(g.Name)
	st.Days[name.day] = sum(st.Days[name.day], points)
	st.Closed = st.Closed || name.kind == kindGroup
	return points
}

// rows are the users of a room who wrote there: messages and gift messages.
func (s *Stats) rows(r room) table {
	return table{store: s.store, partition: r.main(), prefix: rowPrefix}
}

func (s *Stats) state(ctx context.Context, r room) (state roomState, cond kv.Cond, err error) {
	cond, err = load(ctx, s.store, r.main(), stateKey, &state)
	return state, cond, err
}

// mergeTop returns the most active of a list and rows that replace some of it.
func mergeTop(list, rows []row) []row {
	byUser := make(map[string]row, len(list)+len(rows))
	for _, r := range list {
		byUser[r.user] = r
	}
	for _, r := range rows {
		byUser[r.user] = r
	}
	next := slices.SortedFunc(maps.Values(byUser), moreActive)
	return next[:min(len(next), topSize)]
}

// moreActive orders by messages, then by gifts, then by UserID.
func moreActive(a, b row) int {
	for i := range 2 {
		if x, y := a.number(i), b.number(i); x != y {
			if x > y {
				return -1
			}
			return 1
		}
	}
	return strings.Compare(a.user, b.user)
}

// member is a user's item in his shard of a room: its counters hold likes and
// gifts, its value his presence.
const (
	mLikes  = "l"
	mMinute = "lm" // the latest minute that likes were counted in
	mInIt   = "lc" // and how many
	mGifts  = "g"
)

// count counts likes of a user in a minute, as far as the bound allows, and
// returns how many of them count.
func count(counters map[string]int64, minute, likes, limit int64) int64 {
	if likes == 0 {
		return 0
	}
	if counters[mMinute] != minute {
		counters[mMinute], counters[mInIt] = minute, 0
	}
	likes = max(0, min(likes, limit-counters[mInIt]))
	counters[mInIt] += likes
	counters[mLikes] = sum(counters[mLikes], likes)
	return likes
}

// take adds what a segment of a shard holds. count is told the likes and gifts of
// each user, and returns how many of the likes count.
func (t *shardTotals) take(g kv.Segment, p Popularity, count func(user string, minute, likes, gifts int64) int64) {
	name := nameOf(g.Name)
	var pieces, likes int64
	for _, counter := range slices.Sorted(maps.Keys(g.Counters)) {
		n := g.Counters[counter]
		switch counter {
		case cGifts:
			t.Gifts = sum(t.Gifts, n)
		case cPieces:
			t.Pieces, pieces = sum(t.Pieces, n), n
		case cBefore:
			t.Before = sum(t.Before, n)
		case cOnline:
			t.Online = sum(t.Online, n)
		case cUncounted:
			t.Uncounted = sum(t.Uncounted, n)
		default:
			if user, is := strings.CutPrefix(counter, cUserLikes); is {
				likes = sum(likes, count(user, name.minute, n, 0))
			} else if user, is := strings.CutPrefix(counter, cUserGift); is {
				count(user, name.minute, 0, n)
			}
		}
	}
	t.Likes = sum(t.Likes, likes)
	points := p.points(0, pieces, likes)
	t.Points = sum(t.Points, points)
	if t.Days == nil {
		t.Days = make(map[string]day)
	}
	d := t.Days[name.day]
	t.Days[name.day] = day{Likes: sum(d.Likes, likes), Points: sum(d.Points, points)}
}

// keepShard makes the writes that keep what segments of a shard held. It applies
// the bound on a user's likes within a minute: here all of them meet.
func (s *Stats) keepShard(ctx context.Context, partition string, segments []kv.Segment, touched map[string]bool) ([]kv.Write, error) {
	var totals shardTotals
	cond, err := load(ctx, s.store, partition, totalsKey, &totals)
	if err != nil {
		return nil, err
	}
	users, err := s.changes(ctx, partition, segments)
	if err != nil {
		return nil, err
	}
	for _, g := range segments {
		totals.take(g, s.conf.Popularity, func(id string, minute, likes, gifts int64) int64 {
			after := users[id].after
			after[mGifts] = sum(after[mGifts], gifts)
			return count(after, minute, likes, s.conf.LikesPerMinute)
		})
	}
	prune(totals.Days)
	write, err := put(totalsKey, totals, cond, time.Time{})
	if err != nil {
		return nil, err
	}
	var fresh []string
	for id, c := range users {
		if c.item.Rev == "" {
			fresh = append(fresh, id)
		}
	}
	if err := s.note(ctx, partition, fresh); err != nil {
		return nil, err
	}
	writes := []kv.Write{write}
	for _, id := range slices.Sorted(maps.Keys(users)) {
		c := users[id]
		touched[id] = true
		var deltas []kv.Delta
		for _, counter := range slices.Sorted(maps.Keys(c.after)) {
			if by := c.after[counter] - c.item.Counters[counter]; by != 0 {
				deltas = append(deltas, kv.Delta{Counter: counter, By: by})
			}
		}
		if len(deltas) > 0 {
			writes = append(writes, kv.Add{Key: userPrefix + id, Deltas: deltas, If: condition(c.item.Rev)})
		}
	}
	return writes, nil
}

// change is a user's item as it was read, and its counters as they will be.
type change struct {
	item  kv.Item
	after map[string]int64
}

// changes reads the items of the users whom segments of a shard name.
func (s *Stats) changes(ctx context.Context, partition string, segments []kv.Segment) (map[string]*change, error) {
	users := make(map[string]*change)
	for _, g := range segments {
		for counter := range g.Counters {
			for _, prefix := range []string{cUserLikes, cUserGift} {
				if user, is := strings.CutPrefix(counter, prefix); is {
					users[user] = &change{}
				}
			}
		}
	}
	ids := slices.Sorted(maps.Keys(users))
	items, err := gather(ctx, len(ids), func(ctx context.Context, i int) (kv.Item, error) {
		item, err := s.store.Get(ctx, partition, userPrefix+ids[i])
		if errors.Is(err, kv.ErrNotFound) {
			err = nil
		}
		return item, err
	})
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		users[id].item, users[id].after = items[i], make(map[string]int64)
		maps.Copy(users[id].after, items[i].Counters)
	}
	return users, nil
}

// absorb adds to the popularity what the shards' totals have gained since it last
// saw them, by compare and set: a repeated fold changes nothing.
func (s *Stats) absorb(ctx context.Context, r room, listed []int) (roomState, error) {
	for try := 1; ; try++ {
		state, cond, err := s.state(ctx, r)
		if err != nil {
			return state, err
		}
		changed := false
		for _, shard := range listed {
			if shard < 0 {
				continue
			}
			var totals shardTotals
			if _, err := load(ctx, s.store, r.shard(shard), totalsKey, &totals); err != nil {
				return state, err
			}
			seen := state.Shards[shard]
			if totals.equal(seen) {
				continue
			}
			changed = true
			if state.Shards == nil {
				state.Shards = make(map[int]shardTotals)
			}
			state.Shards[shard] = totals
			if gained := totals.Points - seen.Points; gained != 0 {
				state.Popularity = state.Popularity.add(gained, s.now(), s.conf.Popularity.HalfLife)
			}
		}
		if !changed {
			return state, nil
		}
		var online int64
		for _, totals := range state.Shards {
			online += totals.Online
		}
		state.Peak = max(state.Peak, online)
		write, err := put(stateKey, state, cond, time.Time{})
		if err != nil {
			return state, err
		}
		err = s.store.Commit(ctx, r.main(), kv.NewOp("absorb"), write)
		if !errors.Is(err, kv.ErrConflict) || try == 8 {
			return state, err
		}
	}
}

func (t shardTotals) equal(o shardTotals) bool {
	return t.Likes == o.Likes && t.Gifts == o.Gifts && t.Pieces == o.Pieces && t.Before == o.Before &&
		t.Online == o.Online && t.Uncounted == o.Uncounted && t.Points == o.Points && maps.Equal(t.Days, o.Days)
}

// scores are what a room has on the boards of a day, and over all.
func (st roomState) likes() (n int64) {
	for _, t := range st.Shards {
		n = sum(n, t.Likes)
	}
	return n
}

// days returns what counts for the boards of each day that is kept.
func (st roomState) days() map[string]day {
	out := make(map[string]day)
	for name, points := range st.Days {
		out[name] = day{Points: points}
	}
	for _, t := range st.Shards {
		for name, d := range t.Days {
			was := out[name]
			out[name] = day{Likes: sum(was.Likes, d.Likes), Points: sum(was.Points, d.Points)}
		}
	}
	return out
}

// dayEnd is when the boards of a day are given up.
func (s *Stats) dayEnd(name string) (time.Time, error) {
	t, err := time.ParseInLocation("20060102", name, s.conf.Zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("roomstats: a segment of no day: %w", err)
	}
	return t.Add(boardLife), nil
}

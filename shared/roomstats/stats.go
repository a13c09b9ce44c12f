package roomstats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/generation"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Room is what GET /rooms/{id}/stats answers. All figures include every event that was
// acknowledged before the call, folded or not.
type Room struct {
	Messages   int64 `json:"messages"`   // delivered, of every kind
	Texts      int64 `json:"texts"`      // of them neither gift nor like
	Gifts      int64 `json:"gifts"`      // orders, and gift messages of the app; without refunds
	GiftPieces int64 `json:"giftPieces"` // their pieces
	Likes      int64 `json:"likes"`
	Online     int64 `json:"online"`
	PeakOnline int64 `json:"peakOnline"` // the highest that a fold or an answer has seen
	// Dropped is how many messages IM shed; nil unless that is metered. Messages
	// on their way count until they have arrived.
	Dropped    *int64            `json:"dropped"`
	Popularity int64             `json:"popularity"`
	Off        map[string]string `json:"off,omitempty"`  // fields that are null, and the settings that say so
	Next       string            `json:"next,omitempty"` // UserID behind which the next page begins
	Users      []User            `json:"users"`

	closed bool // the group is no AVChatRoom
}

// User is what one user did in a room.
type User struct {
	UserID        string `json:"userID"`
	Messages      int64  `json:"messages"`
	Gifts         int64  `json:"gifts"`
	Likes         int64  `json:"likes"`
	OnlineSeconds int64  `json:"onlineSeconds"`
	Level         int64  `json:"level"`
}

// Figures are those of a room that lists of rooms show.
type Figures struct {
	Online, Popularity int64
}

// mainView is what a room's main partition holds at a moment.
type mainView struct {
	state roomState
	top   []row
	users map[string][]int64 // open counts of users: messages, gifts
}

func (s *Stats) mainView(ctx context.Context, r room) (v mainView, err error) {
	v.users = make(map[string][]int64)
	if v.state, _, err = s.state(ctx, r); err != nil {
		return v, err
	}
	if _, err := load(ctx, s.store, r.main(), topKey, &v.top); err != nil {
		return v, err
	}
	return v, kv.EachOpen(ctx, s.store, r.main(), func(g kv.Segment) error {
		points := v.state.take(g, v.users, s.conf.Popularity)
		v.state.Popularity = v.state.Popularity.add(points, s.now(), s.conf.Popularity.HalfLife)
		return nil
	})
}

// shardView is what a shard of a room holds at a moment.
type shardView struct {
	totals shardTotals                 // open segments included
	users  map[string]map[string]int64 // open counts of users: a counter of the user's item each
}

func (s *Stats) shardView(ctx context.Context, r room, n int) (v shardView, err error) {
	v.users = make(map[string]map[string]int64)
	if _, err := load(ctx, s.store, r.shard(n), totalsKey, &v.totals); err != nil {
		return v, err
	}
	// Of a user's likes in this minute that are folded nothing is known here: the
	// bound applies to the open ones alone until they are folded, too.
	bounds := make(map[string]map[string]int64)
	return v, kv.EachOpen(ctx, s.store, r.shard(n), func(g kv.Segment) error {
		v.totals.take(g, s.conf.Popularity, func(user string, minute, likes, gifts int64) int64 {
			if bounds[user] == nil {
				bounds[user], v.users[user] = make(map[string]int64), make(map[string]int64)
			}
			likes = count(bounds[user], minute, likes, s.conf.LikesPerMinute)
			v.users[user][mLikes] = sum(v.users[user][mLikes], likes)
			v.users[user][mGifts] = sum(v.users[user][mGifts], gifts)
			return likes
		})
		return nil
	})
}

// markers returns the revisions that folds of a room's partitions change.
func (s *Stats) markers(ctx context.Context, r room) ([]string, error) {
	return gather(ctx, shards+1, func(ctx context.Context, n int) (string, error) {
		partition := r.main()
		if n < shards {
			partition = r.shard(n)
		}
		item, err := s.store.Get(ctx, partition, kv.FoldMarker)
		if errors.Is(err, kv.ErrNotFound) {
			err = nil
		}
		return item.Rev, err
	})
}

// steady runs read, again if a fold moved counts in the room meanwhile: see
// [kv.Steady], of which this is the form for all partitions of a room.
func (s *Stats) steady(ctx context.Context, r room, read func() error) error {
	before, err := s.markers(ctx, r)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		if err := read(); err != nil {
			return err
		}
		now, err := s.markers(ctx, r)
		if err != nil || slices.Equal(now, before) {
			return err
		}
		if try == 10 {
			return fmt.Errorf("roomstats: folds kept moving the counts of a room: %w", kv.ErrConflict)
		}
		before = now
	}
}

// member is a user's item in his shard.
type member struct {
	user     string
	counters map[string]int64
	presence presence
}

func decodeMember(item kv.Item) (m member, err error) {
	m.user, m.counters = strings.TrimPrefix(item.Key, userPrefix), item.Counters
	if len(item.Value) > 0 {
		if err = json.Unmarshal(item.Value, &m.presence); err != nil {
			err = fmt.Errorf("roomstats: a stored presence: %w", err)
		}
	}
	return m, err
}

func (s *Stats) member(ctx context.Context, r room, user string) (member, error) {
	item, err := s.store.Get(ctx, r.shard(shardOf(user)), userPrefix+user)
	if errors.Is(err, kv.ErrNotFound) {
		return member{user: user}, nil
	}
	if err != nil {
		return member{}, err
	}
	return decodeMember(item)
}

// view is a room at a moment, each of its partitions at its own.
type view struct {
	room
	mainView
	shards []shardView
	online onlineState
	life   generation.Generation
	// Sums over the shards.
	totals shardTotals
	points int64 // that the popularity has not seen
}

// view reads a room's partitions and has more read what belongs to the same
// moment.
func (s *Stats) view(ctx context.Context, roomID string, more func(v view) error) (v view, err error) {
	life, err := s.conf.Generations.Current(ctx, roomID)
	if err != nil {
		return v, err
	}
	err = s.steady(ctx, room{roomID, life.Number}, func() error {
		if v, err = s.readView(ctx, room{roomID, life.Number}, life); err == nil && more != nil {
			err = more(v)
		}
		return err
	})
	return v, err
}

func (s *Stats) readView(ctx context.Context, r room, life generation.Generation) (v view, err error) {
	v.room, v.life = r, life
	all, err := gather(ctx, shards+1, func(ctx context.Context, n int) (shardView, error) {
		if n < shards {
			return s.shardView(ctx, v.room, n)
		}
		if v.mainView, err = s.mainView(ctx, v.room); err != nil {
			return shardView{}, err
		}
		_, err := load(ctx, s.store, v.main(), onlineKey, &v.online)
		return shardView{}, err
	})
	if err != nil {
		return v, err
	}
	v.shards = all[:shards]
	for n, shard := range v.shards {
		t := shard.totals
		v.totals.Likes = sum(v.totals.Likes, t.Likes)
		v.totals.Gifts = sum(v.totals.Gifts, t.Gifts)
		v.totals.Pieces = sum(v.totals.Pieces, t.Pieces)
		v.totals.Before = sum(v.totals.Before, t.Before)
		v.totals.Online = sum(v.totals.Online, t.Online)
		v.points = sum(v.points, t.Points-v.state.Shards[n].Points)
	}
	return v, nil
}

// figures are a room's figures without its users.
func (s *Stats) figures(v view) Room {
	r := Room{
		Messages:   bounded(v.state.Messages),
		Texts:      bounded(v.state.Messages - v.state.Special),
		Gifts:      bounded(sum(v.state.Gifts, v.totals.Gifts)),
		GiftPieces: bounded(sum(v.state.Pieces, v.totals.Pieces)),
		Likes:      bounded(v.totals.Likes),
		Popularity: round(v.state.Popularity.add(v.points, s.now(), s.conf.Popularity.HalfLife).at(s.now(), s.conf.Popularity.HalfLife)),
		Off:        s.conf.Off,
		Users:      []User{},
		closed:     v.state.Closed,
	}
	if v.life.Until.IsZero() {
		r.Online = bounded(v.online.corrected(v.totals.Online))
	}
	r.PeakOnline = max(v.state.Peak, r.Online)
	if s.conf.MeterDrops {
		dropped := bounded(v.totals.Before - (v.state.Messages - v.state.REST))
		r.Dropped = &dropped
	}
	return r
}

// Figures returns a room's online count and popularity.
func (s *Stats) Figures(ctx context.Context, roomID string) (Figures, error) {
	v, err := s.view(ctx, roomID, nil)
	if err != nil {
		return Figures{}, err
	}
	r := s.figures(v)
	return Figures{r.Online, r.Popularity}, nil
}

// Totals returns a room's figures without its users, all zero for a room where
// nothing happened.
func (s *Stats) Totals(ctx context.Context, roomID string) (Room, error) {
	v, err := s.view(ctx, roomID, nil)
	if err != nil {
		return Room{}, err
	}
	return s.figures(v), s.keepPeak(ctx, v)
}

// keepPeak keeps an online count that is higher than every one before.
func (s *Stats) keepPeak(ctx context.Context, v view) error {
	online := s.figures(v).Online
	if online <= v.state.Peak {
		return nil
	}
	state, cond, err := s.state(ctx, v.room)
	if err != nil || online <= state.Peak {
		return err
	}
	state.Peak = online
	write, err := put(stateKey, state, cond, time.Time{})
	if err != nil {
		return err
	}
	err = s.store.Commit(ctx, v.main(), kv.NewOp("peak"), write)
	if errors.Is(err, kv.ErrConflict) {
		return nil // a fold was faster, and looks itself
	}
	return err
}

// Room returns a room's figures and its most active users, at most MaxUsers: by
// messages, then by gifts. Users who only watch or like come after users who wrote.
func (s *Stats) Room(ctx context.Context, roomID string) (Room, error) {
	var users []User
	v, err := s.view(ctx, roomID, func(v view) (err error) {
		users, err = s.mostActiveUsers(ctx, v)
		return err
	})
	if err != nil {
		return Room{}, err
	}
	out := s.figures(v)
	out.Users = users
	return out, s.keepPeak(ctx, v)
}

func (s *Stats) mostActiveUsers(ctx context.Context, v view) ([]User, error) {
	rows, err := s.mostActive(ctx, v)
	if err != nil {
		return nil, err
	}
	members := make(map[string]member)
	if len(rows) < MaxUsers {
		list, _, err := s.members(ctx, v.room, "", MaxUsers)
		if err != nil {
			return nil, err
		}
		silent := make(map[string]bool) // users who did something, and wrote nothing
		for _, m := range list {
			members[m.user] = m
			silent[m.user] = true
		}
		for _, shard := range v.shards {
			for user := range shard.users {
				silent[user] = true
			}
		}
		for _, r := range rows {
			delete(silent, r.user)
		}
		for _, user := range slices.Sorted(maps.Keys(silent)) {
			if len(rows) < MaxUsers {
				rows = append(rows, row{user: user})
			}
		}
	}
	users, err := s.users(ctx, v, rows, members)
	slices.SortStableFunc(users, func(a, b User) int {
		return moreActive(row{a.UserID, []int64{a.Messages, a.Gifts}}, row{b.UserID, []int64{b.Messages, b.Gifts}})
	})
	return users, err
}

// mostActive returns the rows of the most active users, open counts included.
func (s *Stats) mostActive(ctx context.Context, v view) ([]row, error) {
	listed := make(map[string]bool, len(v.top))
	rows := make([]row, 0, len(v.top)+len(v.users))
	for _, r := range v.top {
		listed[r.user] = true
		rows = append(rows, row{r.user, plus(r.numbers, v.users[r.user])})
	}
	slices.SortFunc(rows, moreActive)
	// Somebody who is not listed has at most as many messages as the last who is.
	var most, enough int64
	if len(v.top) >= topSize {
		most, enough = v.top[len(v.top)-1].number(0), rows[MaxUsers-1].number(0)
	}
	var others []string
	for user, open := range v.users {
		if !listed[user] && (len(v.top) < topSize || most+(row{numbers: open}).number(0) >= enough) {
			others = append(others, user)
		}
	}
	found, err := gather(ctx, len(others), func(ctx context.Context, i int) (row, error) {
		if len(v.top) < topSize {
			return row{user: others[i]}, nil // everybody who was folded is listed
		}
		return s.rows(v.room).get(ctx, others[i])
	})
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		rows = append(rows, row{r.user, plus(r.numbers, v.users[r.user])})
	}
	slices.SortFunc(rows, moreActive)
	return rows[:min(len(rows), MaxUsers)], nil
}

// users makes the answers of rows, whose numbers hold open counts already. It
// reads the members that it is not given.
func (s *Stats) users(ctx context.Context, v view, rows []row, members map[string]member) ([]User, error) {
	return gather(ctx, len(rows), func(ctx context.Context, i int) (User, error) {
		m, known := members[rows[i].user]
		if !known {
			var err error
			if m, err = s.member(ctx, v.room, rows[i].user); err != nil {
				return User{}, err
			}
		}
		return s.answer(ctx, v.room, v.life, rows[i], m, v.shards[shardOf(m.user)].users[m.user])
	})
}

// answer puts together what is known of a user in a room.
func (s *Stats) answer(ctx context.Context, r room, life generation.Generation, numbers row, m member, open map[string]int64) (u User, err error) {
	until := s.now()
	if !life.Until.IsZero() && life.Until.Before(until) {
		until = life.Until
	}
	u = User{
		UserID:        numbers.user,
		Messages:      bounded(numbers.number(0)),
		Gifts:         bounded(sum(numbers.number(1), sum(m.counters[mGifts], open[mGifts]))),
		Likes:         bounded(sum(m.counters[mLikes], open[mLikes])),
		OnlineSeconds: m.presence.now().seconds(until),
	}
	u.Level, err = s.level(ctx, r, u)
	return u, err
}

// User returns what one user did in a room.
func (s *Stats) User(ctx context.Context, roomID, userID string) (User, error) {
	r, err := s.current(ctx, roomID)
	if err != nil {
		return User{}, err
	}
	return s.user(ctx, r, userID)
}

func (s *Stats) user(ctx context.Context, r room, userID string) (User, error) {
	life, err := s.conf.Generations.Current(ctx, r.id)
	if err != nil {
		return User{}, err
	}
	var numbers row
	err = kv.Steady(ctx, s.store, r.main(), func() error {
		if numbers, err = s.rows(r).get(ctx, userID); err != nil {
			return err
		}
		return kv.EachOpen(ctx, s.store, r.main(), func(g kv.Segment) error {
			numbers.numbers = plus(numbers.numbers, []int64{g.Counters[cUser+userID], g.Counters[cUserGift+userID]})
			return nil
		})
	})
	if err != nil {
		return User{}, err
	}
	var m member
	partition, open := r.shard(shardOf(userID)), map[string]int64{}
	err = kv.Steady(ctx, s.store, partition, func() error {
		if m, err = s.member(ctx, r, userID); err != nil {
			return err
		}
		clear(open)
		bounds := maps.Clone(m.counters)
		if bounds == nil {
			bounds = make(map[string]int64)
		}
		return kv.EachOpen(ctx, s.store, partition, func(g kv.Segment) error {
			open[mLikes] += count(bounds, nameOf(g.Name).minute, g.Counters[cUserLikes+userID], s.conf.LikesPerMinute)
			open[mGifts] += g.Counters[cUserGift+userID]
			return nil
		})
	})
	if err != nil {
		return User{}, err
	}
	return s.answer(ctx, r, life, numbers, m, open)
}

// Page returns a room's figures and its users by UserID, at most limit of them after
// the UserID after. Page reads a page of each of the room's partitions.
func (s *Stats) Page(ctx context.Context, roomID, after string, limit int) (Room, error) {
	var (
		users []User
		next  string
	)
	v, err := s.view(ctx, roomID, func(v view) (err error) {
		users, next, err = s.usersByID(ctx, v, after, limit)
		return err
	})
	if err != nil {
		return Room{}, err
	}
	out := s.figures(v)
	out.Users, out.Next = users, next
	return out, nil
}

func (s *Stats) usersByID(ctx context.Context, v view, after string, limit int) (users []User, next string, err error) {
	rows, more, err := s.rows(v.room).page(ctx, after, limit)
	if err != nil {
		return nil, "", err
	}
	list, moreMembers, err := s.members(ctx, v.room, after, limit)
	if err != nil {
		return nil, "", err
	}
	byUser := make(map[string]row)
	add := func(user string, numbers []int64) { byUser[user] = row{user, plus(byUser[user].numbers, numbers)} }
	for _, r := range rows {
		add(r.user, r.numbers)
	}
	members := make(map[string]member)
	for _, m := range list {
		members[m.user] = m
		add(m.user, nil)
	}
	for user, numbers := range v.users {
		if user > after {
			add(user, numbers)
		}
	}
	for _, shard := range v.shards {
		for user := range shard.users {
			if user > after {
				add(user, nil)
			}
		}
	}
	page := slices.SortedFunc(maps.Values(byUser), func(a, b row) int { return strings.Compare(a.user, b.user) })
	if len(page) > limit || more || moreMembers {
		page = page[:min(len(page), limit)]
		next = page[len(page)-1].user
	}
	users, err = s.users(ctx, v, page, members)
	return users, next, err
}

// members returns users of a room's shards behind one, at most limit of them, by
// UserID, and whether there are more.
func (s *Stats) members(ctx context.Context, r room, after string, limit int) (list []member, more bool, err error) {
	key := ""
	if after != "" {
		key = userPrefix + after
	}
	pages, err := gather(ctx, shards, func(ctx context.Context, n int) (found []kv.Item, err error) {
		for at := (kv.Range{Prefix: userPrefix, After: key, Limit: limit + 1}); len(found) <= limit; {
			page, err := s.store.List(ctx, r.shard(n), at)
			if err != nil {
				return nil, err
			}
			found = append(found, page.Items...)
			if page.Next == "" {
				break
			}
			at.After = page.Next
		}
		return found, nil
	})
	if err != nil {
		return nil, false, err
	}
	items := slices.Concat(pages...)
	slices.SortFunc(items, func(a, b kv.Item) int { return strings.Compare(a.Key, b.Key) })
	if more = len(items) > limit; more {
		items = items[:limit]
	}
	for _, item := range items {
		m, err := decodeMember(item)
		if err != nil {
			return nil, false, err
		}
		list = append(list, m)
	}
	return list, more, nil
}

// Member is a user in a room.
type Member struct {
	UserID string    `json:"userId"`
	Since  time.Time `json:"since"`
}

// OnlineMembers returns users who are online in a room, by UserID, at most limit of
// them after the UserID after, and the after of the next page, "" at the end.
func (s *Stats) OnlineMembers(ctx context.Context, roomID, after string, limit int) (list []Member, next string, err error) {
	r, err := s.current(ctx, roomID)
	if err != nil {
		return nil, "", err
	}
	list = []Member{}
	for {
		page, more, err := s.members(ctx, r, after, limit)
		if err != nil {
			return nil, "", err
		}
		for _, m := range page {
			after = m.user
			if now := m.presence.now(); s.shown(m.user, now) {
				list = append(list, Member{m.user, time.UnixMilli(now.Since).UTC()})
			}
			if len(list) == limit {
				return list, after, nil
			}
		}
		if !more {
			return list, "", nil
		}
	}
}

func (s *Stats) shown(user string, now session) bool {
	return now.Since != 0 && !slices.Contains(s.conf.Uncounted, user)
}

// LatestMembers returns the users who are online in a room, the latest arrivals first,
// in pages as OnlineMembers. LatestMembers reads all of the room's members, so it is
// for owners and moderators.
func (s *Stats) LatestMembers(ctx context.Context, roomID, after string, limit int) (list []Member, next string, err error) {
	r, err := s.current(ctx, roomID)
	if err != nil {
		return nil, "", err
	}
	for from := ""; ; {
		page, more, err := s.members(ctx, r, from, kv.MaxPage-1)
		if err != nil {
			return nil, "", err
		}
		for _, m := range page {
			from = m.user
			if now := m.presence.now(); s.shown(m.user, now) {
				list = append(list, Member{m.user, time.UnixMilli(now.Since).UTC()})
			}
		}
		if !more {
			break
		}
	}
	place := func(m Member) string { return fmt.Sprintf("%016x/%s", 1<<62-m.Since.UnixMilli(), m.UserID) }
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(place(a), place(b)) })
	list = slices.DeleteFunc(list, func(m Member) bool { return after != "" && place(m) <= after })
	if len(list) > limit {
		list = list[:limit]
		next = place(list[limit-1])
	}
	return slices.Clip(list), next, nil
}

package roomstats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// feature is the name that places are noted under.
const feature = "roomstats"

// UserData lists the records that the rule keeps of a user: the user's rooms, a row
// and an item in each room, and a row of the board of gifts. An erasure leaves the
// totals of rooms unchanged.
var UserData = userdata.Source{
	Feature: feature,
	Forms: []userdata.Form{
		{Types: []string{"roomstats:[]stay"}, Partition: "presence/", Holds: "which rooms the user is in", Does: userdata.Erases},
		{
			Types: []string{"roomstats:presence", "roomstats:string"}, Partition: "roomstats/", Key: userPrefix, Holds: "likes, gifts, time online and level in each room", Does: userdata.Erases,
			Why: "the totals of rooms stay as they are",
		},
		{Types: []string{"roomstats:leaf", "roomstats:[]row"}, Partition: "roomstats/", Holds: "messages in each room", Does: userdata.TakesOut, Why: "the totals of rooms stay as they are"},
		{
			Types: []string{"roomstats:[]entry"}, Partition: "roomstats/boards/", Holds: "rows of the board of gifts, and of its days", Does: userdata.TakesOut,
			Why: "of days that began before the erasure",
		},
		{
			Types: []string{"roomstats:levelsTask"}, Partition: "jobs/", Key: "j/roomstats", Holds: "levels about to be told", Does: userdata.Expires, Within: 25 * time.Hour, Why: "a job",
		},
		{
			Partition: "roomstats/", Key: "m/", Holds: "what was counted in the last minutes", Does: userdata.Expires, Within: kv.Horizon + kv.HorizonSlack,
			Why: "an event that comes twice is recognised by it",
		},
	},
	Places: func(userID string) []userdata.Place {
		return []userdata.Place{{Partition: wherePartition(userID)}}
	},
	Read: func(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (any, error) {
		return New(Config{Store: store}).readUser(ctx, userID, n)
	},
	Erase: func(ctx context.Context, store kv.Store, userID string, n userdata.Noted, _ time.Time) (bool, error) {
		return New(Config{Store: store}).eraseUser(ctx, userID, n)
	},
}

// note notes that users are about to have a row or an item in a partition.
func (s *Stats) note(ctx context.Context, partition string, users []string) error {
	_, err := gather(ctx, len(users), func(ctx context.Context, i int) (struct{}, error) {
		return struct{}{}, userdata.Note(ctx, s.store, users[i], feature, userdata.Noted{Partition: partition, Key: userPrefix + users[i]})
	})
	return err
}

// roomOf returns the room of a partition: its main one, or a shard. ok is false for
// that of a board.
func roomOf(partition string) (r room, shard int, ok bool) {
	number, id, found := strings.Cut(strings.TrimPrefix(partition, "roomstats/"), "/")
	life, part, sharded := strings.Cut(number, ".")
	if _, err := fmt.Sscan(life, &r.gen); !found || err != nil {
		return room{}, 0, false
	}
	if r.id, shard = id, -1; sharded {
		_, err := fmt.Sscanf(part, "%d", &shard)
		return r, shard, err == nil
	}
	return r, shard, true
}

func (s *Stats) readUser(ctx context.Context, userID string, n userdata.Noted) (any, error) {
	r, shard, ok := roomOf(n.Partition)
	switch {
	case !ok:
		scores, err := table{store: s.store, partition: n.Partition, prefix: "u/"}.get(ctx, userID)
		if err != nil || scores.numbers == nil {
			return nil, err
		}
		return map[string]int64{"gifts": scores.number(0)}, nil
	case shard < 0:
		numbers, err := s.rows(r).get(ctx, userID)
		if err != nil || numbers.numbers == nil {
			return nil, err
		}
		return map[string]any{"room": r.id, "messages": numbers.number(0), "giftMessages": numbers.number(1)}, nil
	}
	m, err := s.member(ctx, r, userID)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"room": r.id, "likes": m.counters[mLikes], "gifts": m.counters[mGifts], "onlineSeconds": m.presence.now().seconds(s.now()), "presence": m.presence,
	}, nil
}

func (s *Stats) eraseUser(ctx context.Context, userID string, n userdata.Noted) (bool, error) {
	r, shard, ok := roomOf(n.Partition)
	switch {
	case !ok:
		return s.eraseCredits(ctx, n.Partition, userID)
	case shard < 0:
		return s.eraseRow(ctx, r, userID)
	}
	if err := s.takeOut(ctx, r, userID); err != nil {
		return false, err
	}
	return userdata.EraseItems(ctx, s.store, r.shard(shard), userPrefix+userID, toldPrefix+userID)
}

// takeOut has a user who is online in a room counted as gone, for who is online
// counts without the user's item afterwards. Where the user has gone, that is tallied
// once more, in case a process died that was to do it.
func (s *Stats) takeOut(ctx context.Context, r room, userID string) error {
	m, err := s.member(ctx, r, userID)
	if err != nil {
		return err
	}
	if len(m.presence.now().Devices) == 0 {
		return s.flip(ctx, r, userID, m.presence)
	}
	at := s.now().UnixMilli()
	if last := len(m.presence.Events); last > 0 {
		at = max(at, m.presence.Events[last-1].At+1)
	}
	return s.happened(ctx, r, userID, event{At: at, Kind: evOut})
}

// eraseRow takes a user out of the rows of a room and out of its most active. Where
// that list was full, it is made anew of all rows.
func (s *Stats) eraseRow(ctx context.Context, r room, userID string) (bool, error) {
	writes, err := s.rows(r).remove(ctx, userID)
	if err != nil {
		return false, err
	}
	var top []row
	cond, err := load(ctx, s.store, r.main(), topKey, &top)
	if err != nil {
		return false, err
	}
	full := len(top) >= topSize
	next := slices.DeleteFunc(slices.Clone(top), func(r row) bool { return r.user == userID })
	if len(next) < len(top) {
		for after := ""; full; {
			rows, more, err := s.rows(r).page(ctx, after, kv.MaxPage)
			if err != nil {
				return false, err
			}
			if len(rows) == 0 {
				break
			}
			after = rows[len(rows)-1].user
			next = mergeTop(next, slices.DeleteFunc(rows, func(r row) bool { return r.user == userID }))
			if !more {
				break
			}
		}
		write, err := put(topKey, next, cond, time.Time{})
		if err != nil {
			return false, err
		}
		writes = append(writes, write)
	}
	return s.eraseWrites(ctx, r.main(), writes)
}

// eraseCredits takes a user out of a partition of the board of gifts, and of those of
// the days that are kept.
func (s *Stats) eraseCredits(ctx context.Context, partition, userID string) (bool, error) {
	type part struct {
		prefix, board string
		expires       time.Time
	}
	parts := []part{{prefix: "u/", board: BoardGifts}}
	for at := s.now().Add(-boardLife); !at.After(s.now().Add(24 * time.Hour)); at = at.Add(24 * time.Hour) {
		name := s.dayOf(at)
		expires, err := s.dayEnd(name)
		if err != nil {
			return false, err
		}
		parts = append(parts, part{"d/" + name + "/", DayPrefix + name + "/" + BoardGifts, expires})
	}
	erased := false
	for _, p := range parts {
		writes, err := table{store: s.store, partition: partition, prefix: p.prefix, expires: p.expires}.remove(ctx, userID)
		if err != nil {
			return erased, err
		}
		var list []entry
		cond, err := load(ctx, s.store, partition, p.board, &list)
		if err != nil {
			return erased, err
		}
		if i := slices.IndexFunc(list, func(e entry) bool { return e.ID == userID }); i >= 0 {
			write, err := put(p.board, slices.Delete(list, i, i+1), cond, p.expires)
			if err != nil {
				return erased, err
			}
			writes = append(writes, write)
		}
		was, err := s.eraseWrites(ctx, partition, writes)
		if err != nil {
			return erased, err
		}
		erased = erased || was
	}
	return erased, nil
}

func (s *Stats) eraseWrites(ctx context.Context, partition string, writes []kv.Write) (bool, error) {
	if len(writes) == 0 {
		return false, nil
	}
	return true, s.store.Commit(ctx, partition, kv.NewOp("erase"), writes...)
}

package roomstats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

const (
	publishJob = "roomstats.online"

	onlineKey = "online" // item of a room's main partition

	// settleTime is how old a change has to be for IM's own number, which it
	// counts anew every 10 s, to know of it for certain.
	settleTime = 20 * time.Second
	// A drop is sudden when at least suddenDrop users, and half of all, are gone
	// since the last announcement.
	suddenDrop = 10
)

// onlineState is what a room was told of its online count, and by how much the
// sum of flips is off.
type onlineState struct {
	Published   int64 `json:"p,omitempty"`
	PublishedAt int64 `json:"pt,omitempty"` // Unix milliseconds; 0: never
	DropAt      int64 `json:"da,omitempty"` // when a sudden drop was seen that has not been announced
	Offset      int64 `json:"o,omitempty"`  // IM's number less ours
	Suspected   int64 `json:"sus,omitempty"`
	Sum         int64 `json:"sum,omitempty"` // of flips when IM was asked
}

// sums are the flips of all shards: users who count, and users who do not.
type sums struct{ online, uncounted int64 }

// flipSums adds the flips of all shards, open segments included.
func (s *Stats) flipSums(ctx context.Context, r room) (sums, error) {
	var all []shardView
	err := s.steady(ctx, r, func() (err error) {
		all, err = gather(ctx, shards, func(ctx context.Context, n int) (shardView, error) { return s.shardView(ctx, r, n) })
		return err
	})
	if err != nil {
		return sums{}, err
	}
	var out sums
	for _, v := range all {
		out.online += v.totals.Online
		out.uncounted += v.totals.Uncounted
	}
	return out, nil
}

// corrected is the count that is shown.
func (o onlineState) corrected(sum int64) int64 { return max(0, sum+o.Offset) }

// publications is when an instance may ask for the next announcement of a room.
type publications struct {
	mu   sync.Mutex
	next map[room]time.Time
}

// claim reports whether no announcement of a room has been asked for lately.
func (p *publications) claim(r room, now, until time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.next[r]) {
		return false
	}
	if p.next == nil {
		p.next = make(map[room]time.Time)
	}
	if len(p.next) >= maxEntered {
		maps.DeleteFunc(p.next, func(_ room, at time.Time) bool { return !now.Before(at) })
	}
	if len(p.next) >= maxEntered {
		clear(p.next) // the jobs' ids are the same
	}
	p.next[r] = until
	return true
}

// publishTask is the body of a job that looks whether a room is to be told its
// online count.
type publishTask struct {
	RoomID     string `json:"room"`
	Generation int64  `json:"gen"`
	Window     int64  `json:"window"`
}

// publishLater asks for a look at a room's online count at the end of this
// window of PublishEvery. All instances ask for the same job.
func (s *Stats) publishLater(ctx context.Context, r room) error {
	if s.conf.Jobs == nil || s.conf.Announcer == nil {
		return nil
	}
	now := s.now()
	window := now.UnixNano() / int64(s.conf.PublishEvery)
	end := time.Unix(0, (window+1)*int64(s.conf.PublishEvery))
	if !s.flips.claim(r, now, end) {
		return nil
	}
	body, err := json.Marshal(publishTask{r.id, r.gen, window})
	if err != nil {
		return err
	}
	return s.conf.Jobs.Put(ctx, queue.Job{
		ID: fmt.Sprintf("online/%d/%x/%s", r.gen, window, short(r.id)), Kind: publishJob, Lane: queue.Fast, NotBefore: end, Body: body,
	})
}

// publishDue tells a room its online count if that moved enough. A sudden drop is
// told only if IM's own number confirms it, asked for settleTime later: a mass of
// lost connections may have come back by then.
func (s *Stats) publishDue(ctx context.Context, j queue.Job) error {
	var task publishTask
	if err := json.Unmarshal(j.Body, &task); err != nil {
		return err
	}
	r := room{task.RoomID, task.Generation}
	if now, err := s.current(ctx, r.id); err != nil || now != r {
		return err
	}
	var state onlineState
	cond, err := load(ctx, s.store, r.main(), onlineKey, &state)
	if err != nil {
		return err
	}
	sum, err := s.flipSums(ctx, r)
	if err != nil {
		return err
	}
	now, online := s.now(), state.corrected(sum.online)
	moved := math.Abs(float64(online - state.Published))
	next := state
	next.DropAt = 0
	switch early := time.UnixMilli(state.PublishedAt).Add(s.conf.PublishEvery).Sub(now); {
	case moved == 0 || moved < s.conf.PublishShare*float64(state.Published):
		if next == state {
			return nil
		}
		return s.keepOnline(ctx, r, next, cond)
	case early > 0:
		return queue.Later{After: early}
	case state.Published-online >= suddenDrop && 2*online <= state.Published:
		if state.DropAt == 0 {
			next.DropAt = now.UnixMilli()
			if err := s.keepOnline(ctx, r, next, cond); err != nil {
				return err
			}
			return queue.Later{After: settleTime}
		}
		if wait := time.UnixMilli(state.DropAt).Add(settleTime).Sub(now); wait > 0 {
			return queue.Later{After: wait}
		}
		if s.conf.OnlineMembers == nil {
			break
		}
		number, err := s.conf.OnlineMembers(ctx, r.id)
		if err != nil {
			return err
		}
		next.Offset = int64(number) - sum.online - sum.uncounted
		online = next.corrected(sum.online)
		if state.Published-online >= suddenDrop && 2*online <= state.Published {
			break
		}
		return s.keepOnline(ctx, r, next, cond) // the next flip publishes what is left of it
	}
	err = s.conf.Announcer.Announce(ctx, Announcement{
		RoomID: r.id, Event: "online", Key: fmt.Sprintf("online/%d/%x", r.gen, task.Window), Data: map[string]int64{"online": online},
	})
	if err != nil {
		return err
	}
	next.Published, next.PublishedAt = online, now.UnixMilli()
	return s.keepOnline(ctx, r, next, cond)
}

func (s *Stats) keepOnline(ctx context.Context, r room, state onlineState, cond kv.Cond) error {
	write, err := put(onlineKey, state, cond, time.Time{})
	if err != nil {
		return err
	}
	err = s.store.Commit(ctx, r.main(), kv.NewOp("online"), write)
	if errors.Is(err, kv.ErrConflict) {
		return nil // another look at the room is as good
	}
	return err
}

// heal corrects the online count of a room by IM's own number, which the room's
// fold asks for ([boardWriter.mayHeal]). Where nobody came
// or went lately the number is taken as it is; in the turmoil of a busy room, a
// difference counts that two looks in a row have seen, a tenth at least.
func (s *Stats) heal(ctx context.Context, r room) error {
	if s.conf.OnlineMembers == nil {
		return nil
	}
	var state onlineState
	cond, err := load(ctx, s.store, r.main(), onlineKey, &state)
	if err != nil {
		return err
	}
	sum, err := s.flipSums(ctx, r)
	if err != nil {
		return err
	}
	if sum == (sums{}) && state == (onlineState{}) {
		return nil // nobody was ever online here, as far as told
	}
	number, err := s.conf.OnlineMembers(ctx, r.id)
	if err != nil {
		return err
	}
	ours := sum.online + sum.uncounted
	off := int64(number) - ours
	next := state
	next.Sum, next.Suspected = ours, off
	slack := max(5, ours/10)
	switch {
	case ours == state.Sum && off == state.Suspected:
		next.Offset = off // two looks, and nothing moved in between
	case min(off, state.Suspected)-state.Offset > slack, max(off, state.Suspected)-state.Offset < -slack:
		next.Offset = off
	}
	if next == state {
		return nil
	}
	return s.keepOnline(ctx, r, next, cond)
}

// short makes a name of any length fit a job's id.
func short(name string) string {
	if len(name) <= 100 {
		return name
	}
	return fmt.Sprintf("%.80s%08x", name, hash(name))
}

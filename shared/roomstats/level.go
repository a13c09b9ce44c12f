package roomstats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Levels computes a user's level in a room from the user's figures. Weights are not
// negative, so a higher figure never gives a lower level.
type Levels struct {
	Message, Gift, Like, Minute int64 // points; Minute of being online
	Membership                  int64 // points for each level of a paid membership
	// Steps are the points that levels 1, 2, 3, ... need, growing.
	Steps []int64
}

// DefaultLevels has ten levels.
var DefaultLevels = Levels{
	Message: 10, Gift: 100, Like: 1, Minute: 5, Membership: 1000,
	Steps: []int64{100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000},
}

// Check returns an error for a negative weight and for steps that do not grow.
func (l Levels) Check() error {
	for _, w := range []int64{l.Message, l.Gift, l.Like, l.Minute, l.Membership} {
		if w < 0 {
			return errors.New("a weight of levels is negative")
		}
	}
	for i, step := range l.Steps {
		if step < 1 || i > 0 && step <= l.Steps[i-1] {
			return errors.New("the steps of levels do not grow")
		}
	}
	return nil
}

// of returns the level of a row and a membership.
func (l Levels) of(u User, membership int64) int64 {
	points := times(l.Message, u.Messages)
	for _, more := range []int64{times(l.Gift, u.Gifts), times(l.Like, u.Likes), times(l.Minute, u.OnlineSeconds/60), times(l.Membership, max(0, membership))} {
		points = sum(points, more)
	}
	level := int64(0)
	for _, step := range l.Steps {
		if points >= step {
			level++
		}
	}
	return level
}

// level returns the level of a row.
func (s *Stats) level(ctx context.Context, r room, u User) (int64, error) {
	var membership int64
	if s.conf.Rooms != nil && s.conf.Levels.Membership > 0 {
		var err error
		if membership, err = s.conf.Rooms.Membership(ctx, r.id, u.UserID); err != nil {
			return 0, err
		}
	}
	return s.conf.Levels.of(u, membership), nil
}

// Level returns a user's level in a room.
func (s *Stats) Level(ctx context.Context, roomID, userID string) (int64, error) {
	u, err := s.User(ctx, roomID, userID)
	return u.Level, err
}

const (
	// toldPrefix begins the items that say which level of a user a room was told.
	// They stand in the user's shard.
	toldPrefix = "lv/"
	levelsJob  = "roomstats.levels"
	// toldAtOnce is how many users one announcement names, and toldEvery the time
	// between two.
	toldAtOnce = 100
	toldEvery  = 5 * time.Second
)

// changedLevel is a user's new level as a room is told it.
type changedLevel struct {
	UserID string `json:"userId"`
	Level  int64  `json:"level"`
}

// tellLevels compares the levels of users with what the room was told, and tells
// what is new: first, and then notes it, so that a process that dies in between
// tells it twice rather than never.
func (s *Stats) tellLevels(ctx context.Context, r room, users []string) error {
	if s.conf.Announcer == nil && !s.conf.LevelsOnMessages {
		return nil
	}
	type told struct {
		changedLevel
		cond kv.Cond
		is   bool
	}
	all, err := gather(ctx, len(users), func(ctx context.Context, i int) (t told, err error) {
		u, err := s.user(ctx, r, users[i])
		if err != nil {
			return t, err
		}
		var was int64
		t.cond, err = load(ctx, s.store, r.shard(shardOf(u.UserID)), toldPrefix+u.UserID, &was)
		t.changedLevel, t.is = changedLevel{u.UserID, u.Level}, u.Level != was
		return t, err
	})
	if err != nil {
		return err
	}
	var changed []told
	for _, t := range all {
		if t.is {
			changed = append(changed, t)
		}
	}
	if len(changed) > toldAtOnce && s.conf.Jobs != nil {
		var rest []string
		for _, t := range changed[toldAtOnce:] {
			rest = append(rest, t.UserID)
		}
		changed = changed[:toldAtOnce]
		if err := s.tellLevelsLater(ctx, r, rest); err != nil {
			return err
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if s.conf.Announcer != nil {
		list := make([]changedLevel, len(changed))
		for i, t := range changed {
			list[i] = t.changedLevel
		}
		err := s.conf.Announcer.Announce(ctx, Announcement{
			RoomID: r.id, Event: "level", Key: fmt.Sprintf("level/%d/%d/%s", r.gen, s.now().UnixMilli(), list[0].UserID),
			Data: map[string]any{"users": list},
		})
		if err != nil {
			return err
		}
	}
	for _, t := range changed {
		write, err := put(toldPrefix+t.UserID, t.Level, t.cond, time.Time{})
		if err != nil {
			return err
		}
		err = s.store.Commit(ctx, r.shard(shardOf(t.UserID)), kv.NewOp("level"), write)
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return nil
}

// levelsTask is the body of a job that compares the levels of users.
type levelsTask struct {
	RoomID     string   `json:"room"`
	Generation int64    `json:"gen"`
	Users      []string `json:"users"`
}

// tellLevelsLater has the levels of more users compared after toldEvery.
func (s *Stats) tellLevelsLater(ctx context.Context, r room, users []string) error {
	at := s.now().Add(toldEvery)
	for part := range slices.Chunk(users, 1000) {
		body, err := json.Marshal(levelsTask{r.id, r.gen, part})
		if err != nil {
			return err
		}
		err = s.conf.Jobs.Put(ctx, queue.Job{
			ID: fmt.Sprintf("level/%d/%d/%08x", r.gen, at.UnixMilli(), hash(append([]string{r.id}, part...)...)), Kind: levelsJob, Lane: queue.Slow, NotBefore: at, Body: body,
		})
		if err != nil {
			return err
		}
		at = at.Add(toldEvery * 10) // a part of a thousand takes ten announcements
	}
	return nil
}

func (s *Stats) levelsDue(ctx context.Context, j queue.Job) error {
	var task levelsTask
	if err := json.Unmarshal(j.Body, &task); err != nil {
		return err
	}
	r := room{task.RoomID, task.Generation}
	if now, err := s.current(ctx, r.id); err != nil || now != r {
		return err
	}
	return s.tellLevels(ctx, r, task.Users)
}

// levelCache is what an instance knows of levels.
type levelCache struct {
	mu    sync.Mutex
	known map[[2]string]cachedLevel
}

type cachedLevel struct {
	level int64
	at    time.Time
}

// levelFor is how long an instance shows a level without looking.
const levelFor = 30 * time.Second

// showLevel adds the sender's level to the CloudCustomData of a message, where
// that is empty or a JSON object without one.
func (s *Stats) showLevel(ctx context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
	if !isRoom(string(e.Type)) || e.From == "" {
		return v, nil
	}
	data := map[string]json.RawMessage{}
	if e.CloudCustomData != "" && json.Unmarshal([]byte(e.CloudCustomData), &data) != nil || data == nil {
		return v, nil
	}
	level, err := s.toldLevel(ctx, e.GroupID, e.From)
	if err != nil {
		return v, err
	}
	data["level"] = json.RawMessage(fmt.Sprint(level))
	text, err := json.Marshal(data)
	if err != nil {
		return v, err
	}
	return v.SetCustomData(string(text)), nil
}

func (s *Stats) toldLevel(ctx context.Context, roomID, userID string) (level int64, err error) {
	key, now := [2]string{roomID, userID}, s.now()
	s.levels.mu.Lock()
	c, known := s.levels.known[key]
	s.levels.mu.Unlock()
	if known && now.Sub(c.at) < levelFor {
		return c.level, nil
	}
	r, err := s.current(ctx, roomID)
	if err != nil {
		return 0, err
	}
	if _, err := load(ctx, s.store, r.shard(shardOf(userID)), toldPrefix+userID, &level); err != nil {
		return 0, err
	}
	s.levels.mu.Lock()
	defer s.levels.mu.Unlock()
	if s.levels.known == nil || len(s.levels.known) >= maxEntered {
		s.levels.known = make(map[[2]string]cachedLevel)
	}
	s.levels.known[key] = cachedLevel{level, now}
	return level, nil
}

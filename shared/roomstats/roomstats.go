// Package roomstats counts events of rooms, and derives levels of users, popularity of
// rooms, boards, and the users who are online.
//
// # Where counts live
//
// A room has generations (package generation), and each is counted separately.
// Messages are counted in the room's main partition, in the segment that 32
// neighbouring MsgSeq of a day share: IM takes 40 messages a second, whoever sends
// them. Events without such a limit (likes, gift orders, joins) are spread over the
// room's shards, by a hash of the user. Every event is counted once, by an id of its
// own, however often and in whatever order it is delivered; see package kv.
//
// # Folding
//
// Rooms with new counts stand in a list. Every minute jobs fold the rooms of these
// lists: segments that had no event for 15 seconds move into totals. The same commit
// updates the rows of users, the list of the most active, and the popularity, since
// only that commit sees each new count exactly once. Boards are written after the
// rooms of a list were folded, so a figure is on its board within 90 seconds.
package roomstats

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backchannel-im/backchannel/shared/generation"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// MaxUsers is how many users a room's statistics list without paging, the most
// active first.
const MaxUsers = 100

// shards is how many partitions a room's likes, gifts and presence are spread
// over. Ten thousand users who join within ten seconds write some 500 units a
// second to each, half of what DynamoDB takes.
const shards = 8

// quiet is how long nobody has touched a segment that is folded.
const quiet = 15 * time.Second

// Rooms returns the owners, the moderators and the paid memberships of rooms.
type Rooms interface {
	// Profile returns the zero Profile for a room that nobody registered.
	Profile(ctx context.Context, roomID string) (Profile, error)
	// Membership returns the level of a user's paid membership in a room, 0 for
	// none or one that has ended.
	Membership(ctx context.Context, roomID, userID string) (level int64, err error)
}

// Profile is the part of a room's record that statistics use.
type Profile struct {
	Owner      string
	Moderators []string
	Public     bool // every user may read the list of users
}

// Announcer sends events to a room, at Low priority.
type Announcer interface {
	// Announce sends an Announcement, now or later. Announcements with the same Key
	// are deduplicated.
	Announce(ctx context.Context, a Announcement) error
}

// Announcement is an event to send to a room.
type Announcement struct {
	RoomID, Event, Key string
	Data               any // of the custom message
}

// Config says what statistics count and by which rules. Every field but Store
// may be left out.
type Config struct {
	Store kv.Store
	// Jobs carries the jobs of folding and of announcements. Where Jobs is nil, call
	// [Stats.Fold].
	Jobs        *queue.Ledger
	Generations *generation.Registry // nil: one of its own
	Rooms       Rooms                // nil: nobody owns a room, none is public, nobody pays
	Announcer   Announcer            // nil: rooms are told nothing
	// OnlineMembers returns IM's own number of online members of a room, which
	// corrects our count. nil: our count is not corrected.
	OnlineMembers func(ctx context.Context, roomID string) (int, error)
	Now           func() time.Time // nil: the wall clock

	// Zone is where the days of boards begin. nil: UTC.
	Zone *time.Location
	// Gift and Like are the formats of the app's own messages. Zero: the plug-in's.
	Gift, Like Format
	// LikesDelivered counts likes when they were delivered instead of before they
	// are sent. IM sheds likes first.
	LikesDelivered bool
	// LikesPerMinute is how many likes of a user count in a room within a minute.
	// 0: 600.
	LikesPerMinute int64
	// MeterDrops also counts messages before they are sent: the messages that are not
	// delivered afterwards were shed by IM.
	MeterDrops bool
	// Off names fields of a room's statistics that a setting switched off, each
	// with the setting's name.
	Off map[string]string

	Popularity Popularity // zero: DefaultPopularity
	Levels     Levels     // zero: DefaultLevels
	// LevelsOnMessages adds the sender's level to the CloudCustomData of each
	// message in a room.
	LevelsOnMessages bool

	// Uncounted are UserIDs that count in no online figure: the app's admin and
	// accounts of tools. Robots never count.
	Uncounted []string
	// PublishEvery is the least time between two announcements of a room's online
	// count, and PublishShare the least relative change. 0: 10 s, 5 %.
	PublishEvery time.Duration
	PublishShare float64
}

// Stats counts rooms in a store. It is safe for concurrent use, also by several
// processes.
type Stats struct {
	conf    Config
	store   kv.Store
	now     func() time.Time
	entered entered
	likes   allowance
	levels  levelCache
	flips   publications
	sizes   [lists]atomic.Int64 // rooms in each list when it was last folded
}

// New returns the statistics kept in a store.
func New(c Config) *Stats {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Generations == nil {
		c.Generations = generation.New(c.Store, c.Now)
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Gift.isZero() {
		c.Gift = PluginGift
	}
	if c.Like.isZero() {
		c.Like = PluginLike
	}
	if c.LikesPerMinute == 0 {
		c.LikesPerMinute = 600
	}
	if c.Popularity == (Popularity{}) {
		c.Popularity = DefaultPopularity
	}
	if c.Levels.Steps == nil {
		c.Levels = DefaultLevels
	}
	if c.PublishEvery == 0 {
		c.PublishEvery = 10 * time.Second
	}
	if c.PublishShare == 0 {
		c.PublishShare = 0.05
	}
	s := &Stats{conf: c, store: c.Store, now: c.Now}
	s.entered.rooms = make(map[string]time.Time)
	if c.Jobs != nil {
		s.handleJobs(c.Jobs)
	}
	return s
}

// Register adds the rules that count callbacks.
func (s *Stats) Register(m *callback.Mux) {
	s.conf.Generations.Register(m, "generation")
	callback.After(m, "count", s.count)
	if !s.conf.LikesDelivered || s.conf.MeterDrops {
		callback.Allowed(m, "likes", s.allowed)
	}
	if s.conf.LevelsOnMessages {
		callback.Before(m, "level", callback.FailOpen, s.showLevel)
	}
	callback.After(m, "presence", s.joined)
	callback.After(m, "presence", s.left)
	callback.After(m, "presence", s.memberState)
	callback.After(m, "presence", s.deviceState)
}

// room is one generation of a room.
type room struct {
	id  string
	gen int64
}

// main is the partition that messages are counted in.
func (r room) main() string { return fmt.Sprintf("roomstats/%d/%s", r.gen, r.id) }

// shard is a partition that holds what some of the users did.
func (r room) shard(n int) string { return fmt.Sprintf("roomstats/%d.%02d/%s", r.gen, n, r.id) }

// hash spreads names over partitions and segments.
func hash(parts ...string) uint32 {
	h := fnv.New32a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	n := h.Sum32()
	return n ^ n>>16 // FNV's low bits alone are weak
}

func shardOf(userID string) int { return int(hash(userID) % shards) }

// current returns the generation of a room that readers are shown.
func (s *Stats) current(ctx context.Context, roomID string) (room, error) {
	g, err := s.conf.Generations.Current(ctx, roomID)
	return room{roomID, g.Number}, err
}

// dayOf is the day that a time belongs to, such as 20261129.
func (s *Stats) dayOf(t time.Time) string { return t.In(s.conf.Zone).Format("20060102") }

// inTime reports whether an event can still be counted, and logs when not. The
// store would refuse it; this spares the room a generation made by nonsense.
func (s *Stats) inTime(ctx context.Context, what string, at time.Time) bool {
	switch age := s.now().Sub(at); {
	case age > kv.Horizon:
		slog.WarnContext(ctx, "event not counted", "event", what, "reason", "it came over a day late")
	case -age > kv.HorizonSlack/2:
		slog.WarnContext(ctx, "event not counted", "event", what, "reason", "its time lies in the future")
	default:
		return true
	}
	return false
}

// allowance is what an instance remembers of users who send very much within a
// minute, so that a flood is not written.
type allowance struct {
	mu     sync.Mutex
	minute int64
	spent  map[[2]string]int64
}

// take returns how much of n is within limit in this minute.
func (a *allowance) take(roomID, userID string, n, limit, minute int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.minute != minute || len(a.spent) > 100_000 {
		a.minute, a.spent = minute, make(map[[2]string]int64)
	}
	key := [2]string{roomID, userID}
	n = min(n, limit-a.spent[key])
	a.spent[key] += n
	return n
}

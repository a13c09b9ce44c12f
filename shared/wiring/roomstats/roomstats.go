// Package roomstats wires the statistics of rooms.
package roomstats

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // ROOM_DAY_ZONE works where the platform has no zones

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Feature is the statistics of rooms.
var Feature = wiring.Feature{
	Name: "roomstats", Function: "after-send-counter",
	Callbacks: true, Store: wiring.Required, Queue: wiring.Optional, Callers: wiring.Users,
	Read: read,
}

func read(s *wiring.Settings) wiring.Open {
	client, admin, perSecond := s.IM(), s.Admin(), s.RoomSends()
	conf := Config(s)
	return func(_ context.Context, h *wiring.House) error {
		rooms := liveroom.New(liveroom.Config{Store: h.Store})
		conf.Store, conf.Jobs, conf.Rooms = h.Store, h.Jobs, registered{rooms}
		conf.OnlineMembers = client.OnlineMemberNum
		if h.Jobs != nil {
			conf.Announcer = announcer{h.Outbox(client, perSecond), admin}
		}
		stats := roomstats.New(conf)
		h.Callbacks(stats.Register)
		h.Routes(stats.Routes)
		return nil
	}
}

// Config reads the settings of room statistics. The caller sets Store, Jobs and the
// fields of other features.
func Config(s *wiring.Settings) (conf roomstats.Config) {
	conf.LikesDelivered = s.Choice(config.Setting{
		Name: "ROOM_LIKES", Meaning: "moment at which likes are counted: before they are sent, or once they were delivered (IM sheds likes first)",
		Format: "before or delivered", Default: "before",
	}, "before", "delivered") == "delivered"
	conf.LikesPerMinute = int64(s.Int(config.Setting{
		Name: "ROOM_LIKES_PER_MINUTE", Meaning: "most likes of one user that count in one room within a minute", Format: "a number", Default: "600",
	}, 1, 1_000_000))
	conf.MeterDrops = s.Bool(config.Setting{
		Name: "ROOM_DROP_METER", Meaning: "1 also counts messages before they are sent, so that statistics tell how many IM shed; costs two to three write units a message",
		Format: "1 or 0", Default: "0",
	})
	if !conf.MeterDrops {
		conf.Off = map[string]string{"dropped": "ROOM_DROP_METER"}
	}
	conf.Gift = format(s, "ROOM_GIFT_FORMAT", "custom messages that count as gifts of your app, when your server sends them by REST", roomstats.PluginGift)
	conf.Like = format(s, "ROOM_LIKE_FORMAT", "custom messages that count as likes", roomstats.PluginLike)
	readPopularity(s, &conf)
	readLevels(s, &conf)
	zone := config.Setting{
		Name: "ROOM_DAY_ZONE", Meaning: "time zone in which the days of leaderboards begin", Format: "a name such as Asia/Shanghai", Default: "UTC",
	}
	var err error
	if conf.Zone, err = time.LoadLocation(s.Text(zone)); err != nil {
		s.Fault(zone.Name, "is no time zone")
	}
	conf.Uncounted = append(s.List(config.Setting{
		Name: "ROOM_UNCOUNTED", Meaning: "UserIDs of service accounts that count in no online figure; IM_ADMIN and robots never count",
		Format: "UserIDs, separated by commas",
	}), s.Admin())
	conf.PublishEvery = s.Duration(config.Setting{
		Name: "ROOM_ONLINE_EVERY", Meaning: "least time between two announcements of a room's online count", Format: "a duration, such as 10s", Default: "10s",
	}, time.Second, time.Hour)
	conf.PublishShare = float64(s.Int(config.Setting{
		Name: "ROOM_ONLINE_SHARE", Meaning: "least change of a room's online count that is announced, in percent of the last one announced", Format: "a number", Default: "5",
	}, 1, 100)) / 100
	return conf
}

func format(s *wiring.Settings, name, meaning string, plugin roomstats.Format) roomstats.Format {
	text := s.Text(config.Setting{
		Name: name, Meaning: meaning + "; the formats of the Flutter plug-in without this setting",
		Format: "PATH=TEXT for each field of the JSON in Data that must hold a text, and count:PATH for the number, separated by spaces",
	})
	if text == "" {
		return plugin
	}
	f, err := roomstats.ParseFormat(text)
	if err != nil {
		s.Fault(name, "is no format: %v", err)
	}
	return f
}

func readPopularity(s *wiring.Settings, conf *roomstats.Config) {
	d := roomstats.DefaultPopularity
	weights(s, config.Setting{
		Name: "ROOM_POPULARITY", Meaning: "points that a room's popularity gains for a message, a piece of a gift and a like",
		Format: "NAME=POINTS, separated by commas", Default: "message=1,piece=10,like=1",
	}, map[string]*int64{"message": &d.Messages, "piece": &d.Pieces, "like": &d.Likes})
	d.HalfLife = s.Duration(config.Setting{
		Name: "ROOM_POPULARITY_HALF_LIFE", Meaning: "time in which a room's popularity falls by half while nothing happens there", Format: "a duration, such as 1h", Default: "1h",
	}, time.Minute, 30*24*time.Hour)
	conf.Popularity = d
}

func readLevels(s *wiring.Settings, conf *roomstats.Config) {
	l := roomstats.DefaultLevels
	weights(s, config.Setting{
		Name: "ROOM_LEVEL_WEIGHTS", Meaning: "points of a user's level in a room for a message, a gift, a like, a minute online, and each level of a paid membership",
		Format: "NAME=POINTS, separated by commas", Default: "message=10,gift=100,like=1,minute=5,membership=1000",
	}, map[string]*int64{"message": &l.Message, "gift": &l.Gift, "like": &l.Like, "minute": &l.Minute, "membership": &l.Membership})
	steps := config.Setting{
		Name: "ROOM_LEVEL_STEPS", Meaning: "points that levels 1, 2, 3 and so on need", Format: "growing numbers, separated by commas",
	}
	if texts := s.List(steps); len(texts) > 0 {
		l.Steps = nil
		for _, text := range texts {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				s.Fault(steps.Name, "holds %q, which is no number", text)
			}
			l.Steps = append(l.Steps, n)
		}
	}
	if err := l.Check(); err != nil {
		s.Fault(steps.Name, "or ROOM_LEVEL_WEIGHTS is wrong: %v", err)
	}
	conf.Levels = l
	conf.LevelsOnMessages = s.Bool(config.Setting{
		Name: "ROOM_LEVEL_IN_MESSAGES", Meaning: "1 adds the sender's level to the CloudCustomData of every message in an AVChatRoom; costs one read per message",
		Format: "1 or 0", Default: "0",
	})
}

// weights reads named numbers, each of which stays as it is when it is not named.
func weights(s *wiring.Settings, setting config.Setting, into map[string]*int64) {
	for _, word := range s.List(setting) {
		name, text, _ := strings.Cut(word, "=")
		n, err := strconv.ParseInt(text, 10, 64)
		if into[name] == nil || err != nil || n < 0 || n > 1_000_000 {
			s.Fault(setting.Name, "holds %q; each weight is NAME=POINTS with 0 to 1000000 points, as in %s", word, setting.Default)
			continue
		}
		*into[name] = n
	}
}

// registered are the rooms that were made over HTTP.
type registered struct{ rooms *liveroom.Rooms }

func (r registered) Profile(ctx context.Context, roomID string) (roomstats.Profile, error) {
	room, err := r.rooms.Get(ctx, roomID)
	if isNotFound(err) {
		return roomstats.Profile{}, nil
	}
	return roomstats.Profile{Owner: room.Owner, Moderators: room.Moderators, Public: room.Public}, err
}

func (r registered) Membership(ctx context.Context, roomID, userID string) (int64, error) {
	room, err := r.rooms.Get(ctx, roomID)
	if err == nil {
		var m liveroom.Membership
		if m, err = r.rooms.Membership(ctx, room, userID); err == nil {
			return m.Level, nil
		}
	}
	if isNotFound(err) {
		return 0, nil
	}
	return 0, err
}

func isNotFound(err error) bool {
	var f *fault.Error
	return errors.As(err, &f) && f.Code == fault.NotFound
}

// announcer tells rooms by the outbox.
type announcer struct {
	outbox *outbox.Outbox
	from   string
}

func (a announcer) Announce(ctx context.Context, n roomstats.Announcement) error {
	body, err := liveroom.Event(n.Event, n.Key, n.Data)
	if err != nil {
		return err
	}
	return a.outbox.Send(ctx, outbox.Message{RoomID: n.RoomID, Key: n.Key, Priority: im.Low, From: a.from, Body: body})
}

// Package liveroom wires live rooms with gifts, wallets, and the streams of CSS and
// TRTC.
package liveroom

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/css"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
	"github.com/backchannel-im/backchannel/shared/liveroom/lottery"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
	"github.com/backchannel-im/backchannel/shared/wiring"
	counters "github.com/backchannel-im/backchannel/shared/wiring/roomstats"
)

// Feature is live rooms and what happens in them beside messages.
var Feature = wiring.Feature{
	Name: "liveroom", Function: "live-room-manager",
	Callbacks: true, Store: wiring.Required, Queue: wiring.Required, Callers: wiring.Users,
	Read: read,
}

func read(s *wiring.Settings) wiring.Open {
	client, origins := s.IM(), s.Origins()
	conf := readConfig(s)
	perSecond, counting, ledgerOf, forwarded := s.RoomSends(), counters.Config(s), readLedger(s), s.Forwarded
	return func(_ context.Context, h *wiring.House) error {
		if h.Jobs == nil && !forwarded {
			return nil // without a queue there are no rooms
		}
		conf.Store, conf.Jobs = h.Store, h.Jobs
		out := h.Outbox(client, perSecond)
		// To read figures and to count gifts; the jobs of counting are another feature's.
		counting.Store = h.Store
		stats := roomstats.New(counting)
		conf.IM, conf.Outbox, conf.Broadcaster = client, out, once.New(h.Store, client, nil)
		conf.History.Skip = finds(counting.Like)
		rooms := liveroom.New(conf)
		ledger := ledgerOf(h)
		gifts := gift.New(gift.Config{
			Store: h.Store, Jobs: h.Jobs, Ledger: ledger, Rooms: rooms, Out: out, Notifier: conf.Admin, Format: finds(counting.Gift),
			Tally: func(ctx context.Context, c gift.Count) error {
				return stats.Gift(ctx, roomstats.Gift{
					RoomID: c.RoomID, OrderID: c.OrderID, UserID: c.UserID, Pieces: c.Pieces, Charge: c.Charge, At: c.At, Refunded: c.Refunded,
				})
			},
		})
		lotteries := lottery.New(lottery.Config{Store: h.Store, Jobs: h.Jobs, Rooms: rooms, Out: out, Admin: conf.Admin})
		h.Callbacks(rooms.Register)
		h.Callbacks(gifts.Register)
		h.Callbacks(lotteries.Register)
		if h.Jobs == nil {
			return nil
		}
		h.Routes(func(mux *http.ServeMux, gate *api.Gate) {
			rooms.Routes(mux, liveroom.RoutesConfig{
				RoutesConfig: api.RoutesConfig{Gate: gate, Keeper: idem.New(h.Store, nil), Origins: origins},
				Stats:        figures{stats}, Members: members(stats),
			})
			gifts.Routes(mux, gate, origins)
			wallet.Routes(mux, ledger, gate, origins)
			lotteries.Routes(mux, gate, origins)
		})
		return nil
	}
}

func readConfig(s *wiring.Settings) (conf liveroom.Config) {
	conf.Admin = s.Admin()
	conf.Grace = s.Duration(config.Setting{
		Name: "CSS_GRACE", Meaning: "time after the end of a stream until its room is paused, unless the stream has started again", Format: "a duration, such as 20s", Default: "20s",
	}, time.Second, 10*time.Minute)
	m := &conf.Media
	m.Signer = s.Signer()
	m.TTL = s.Duration(config.Setting{
		Name: "MEDIA_TTL", Meaning: "time for which a PrivateMapKey and the URLs of a stream are valid; a user who is kicked may watch until then", Format: "a duration, such as 1h", Default: "1h",
	}, time.Minute, 24*time.Hour)
	m.CallbackKey = s.Text(config.Setting{
		Name: "CSS_CALLBACK_KEY", Meaning: "key that CSS signs its callbacks with; streams do not change the status of rooms without this setting",
		Format: "text, as in the callback template of CSS's console", Secret: true,
	})
	m.PushDomain = s.Text(config.Setting{
		Name: "CSS_PUSH_DOMAIN", Meaning: "domain that CSS takes streams at; anchors get no push URL without this setting", Format: "a host name",
	})
	m.PushKey = s.Text(config.Setting{
		Name: "CSS_PUSH_KEY", Meaning: "authentication key of CSS_PUSH_DOMAIN", Format: "text, as in CSS's console", Secret: true, Required: m.PushDomain != "",
	})
	conf.Streams = readStreams(s, m.PushDomain)
	m.PlayDomain = s.Text(config.Setting{
		Name: "CSS_PLAY_DOMAIN", Meaning: "domain that CSS plays streams at; viewers get no play URLs without this setting", Format: "a host name",
	})
	m.PlayKey = s.Text(config.Setting{
		Name: "CSS_PLAY_KEY", Meaning: "authentication key of CSS_PLAY_DOMAIN; play URLs are not signed without this setting", Format: "text, as in CSS's console", Secret: true,
	})
	conf.History.Messages = s.Int(config.Setting{
		Name: "ROOM_HISTORY", Meaning: "number of a room's newest messages that newcomers may read; 0 archives nothing, any other number costs one more write a message",
		Format: "a number from 0 to 1000", Default: "0",
	}, 0, liveroom.MaxHistory)
	conf.History.Keep = s.Duration(config.Setting{
		Name: "ROOM_HISTORY_KEEP", Meaning: "time for which an archived message of a room is kept", Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, 90*24*time.Hour)
	return conf
}

// finds returns what tells whether a message is of a format.
func finds(f roomstats.Format) func(im.MsgBody) bool {
	return func(body im.MsgBody) bool {
		_, is := f.Find(body)
		return is
	}
}

// figures are what lists of rooms show of the statistics.
type figures struct{ stats *roomstats.Stats }

// Figures implements [liveroom.Statistics].
func (f figures) Figures(ctx context.Context, room liveroom.Room) (liveroom.Figures, error) {
	got, err := f.stats.Figures(ctx, room.RoomID)
	return liveroom.Figures{Online: &got.Online, Popularity: &got.Popularity}, err
}

// Popular implements [liveroom.Statistics].
func (f figures) Popular(ctx context.Context) (ids []string, err error) {
	for after := ""; ; {
		entries, next, err := f.stats.Board(ctx, roomstats.BoardPopularity, after, api.MaxPage, time.Now())
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			ids = append(ids, e.RoomID)
		}
		if after = next; after == "" {
			return ids, nil
		}
	}
}

// members lists the members of a room.
func members(stats *roomstats.Stats) func(ctx context.Context, room liveroom.Room, kind, after string, limit int) (any, string, error) {
	return func(ctx context.Context, room liveroom.Room, kind, after string, limit int) (any, string, error) {
		list := stats.OnlineMembers
		if kind == "latest" {
			list = stats.LatestMembers
		}
		got, next, err := list(ctx, room.RoomID, after, limit)
		return append([]roomstats.Member{}, got...), next, err
	}
}

// readStreams reads the API of CSS, which tells the state of streams. It is nil
// without an account.
func readStreams(s *wiring.Settings, domain string) liveroom.Streams {
	id := config.Setting{
		Name: "CSS_SECRET_ID", Meaning: "Tencent Cloud SecretId that may call live:DescribeLiveStreamState, for the state of streams of which callbacks came late or never; nobody is asked without this setting",
		Format: "a SecretId of Tencent Cloud",
	}
	c := css.Config{Domain: domain, App: liveroom.StreamApp, Account: tencentcloud.Account{SecretID: s.Text(id)}}
	on := c.Account.SecretID != ""
	c.Account.SecretKey = s.Text(config.Setting{
		Name: "CSS_SECRET_KEY", Meaning: "Tencent Cloud SecretKey that belongs to CSS_SECRET_ID", Format: "a SecretKey of Tencent Cloud", Secret: true, Required: on,
	})
	c.URL = s.URL(config.Setting{
		Name: "CSS_API_URL", Meaning: "endpoint of CSS's API", Format: "https://HOST", Default: "https://live.tencentcloudapi.com",
	})
	switch {
	case !on || c.Account.SecretKey == "" || c.URL == "":
		return nil
	case domain == "":
		s.Fault("CSS_PUSH_DOMAIN", "required, since %s is given", id.Name)
		return nil
	}
	streams, err := css.New(c)
	if err != nil {
		s.Fault("CSS_API_URL", "%s", strings.TrimPrefix(err.Error(), "css: "))
		return nil
	}
	return streams
}

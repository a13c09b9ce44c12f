package liveroom

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/gift"
	"github.com/backchannel-im/backchannel/shared/liveroom/lottery"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet/merchant"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Show are gifts, wallets and lotteries.
type Show struct {
	Gifts     *gift.Gifts
	Ledger    wallet.Ledger
	Lotteries *lottery.Lotteries

	origins []string
}

// ReadShow reads the settings of gifts, wallets and lotteries, and returns what makes
// them. Where the program has no jobs, the result only hears callbacks.
func ReadShow(s *wiring.Settings) func(h *wiring.House, rooms *liveroom.Rooms, out *outbox.Outbox, stats *roomstats.Stats, format roomstats.Format) *Show {
	admin, origins := s.Admin(), s.Origins()
	server := hook.Hook{Transport: wiring.Transport()}
	server.URL = s.URL(config.Setting{
		Name: "LEDGER_HOOK_URL", Meaning: "URL of your server that keeps users' coins and gets a signed POST for every charge and refund; the built-in ledger keeps them without this setting",
		Format: "https://HOST/PATH of your server",
	})
	key := config.Setting{
		Name: "LEDGER_HOOK_KEY", Meaning: "key that signs requests to LEDGER_HOOK_URL", Format: "at least 20 characters of your choice",
		Secret: true, Required: server.URL != "",
	}
	server.Key = s.Text(key)
	const least = 20
	if server.Key != "" && len(server.Key) < least {
		s.Fault(key.Name, "is too easy to guess: it has fewer than %d characters", least)
	}
	accepted := s.Bool(config.Setting{
		Name: "LEDGER_ACCEPT_LOSS", Meaning: "1 lets the built-in ledger of users' coins work on Redis, where a failover may lose acknowledged payments; without it such a deployment answers money routes with 503",
		Format: "1 or 0", Default: "0",
	})
	return func(h *wiring.House, rooms *liveroom.Rooms, out *outbox.Outbox, stats *roomstats.Stats, format roomstats.Format) *Show {
		show := &Show{Ledger: ledger(h, server, accepted), origins: origins}
		isGift := func(body im.MsgBody) bool {
			_, is := format.Find(body)
			return is
		}
		show.Gifts = gift.New(gift.Config{
			Store: h.Store, Jobs: h.Jobs, Ledger: show.Ledger, Rooms: rooms, Out: out, Tally: tally(stats), Format: isGift, Notifier: admin,
		})
		show.Lotteries = lottery.New(lottery.Config{Store: h.Store, Jobs: h.Jobs, Rooms: rooms, Out: out, Admin: admin})
		h.Callbacks(show.Gifts.Register)
		h.Callbacks(show.Lotteries.Register)
		return show
	}
}

// ledger chooses who keeps the coins.
func ledger(h *wiring.House, server hook.Hook, accepted bool) wallet.Ledger {
	switch {
	case server.URL != "" && h.Jobs != nil:
		return merchant.New(h.Store, h.Jobs, &server, nil)
	case kv.MayLose(h.Store) && !accepted:
		return wallet.Closed{Reason: wallet.ErrUnsafe}
	}
	return wallet.New(h.Store, nil)
}

func tally(stats *roomstats.Stats) gift.Tally {
	return func(ctx context.Context, c gift.Count) error {
		return stats.Gift(ctx, roomstats.Gift{
			RoomID: c.RoomID, OrderID: c.OrderID, UserID: c.UserID, Pieces: c.Pieces, Charge: c.Charge, At: c.At, Refunded: c.Refunded,
		})
	}
}

// Routes adds the routes of gifts, wallets and lotteries.
func (s *Show) Routes(mux *http.ServeMux, gate *api.Gate) {
	s.Gifts.Routes(mux, gate, s.origins)
	wallet.Routes(mux, s.Ledger, gate, s.origins)
	s.Lotteries.Routes(mux, gate, s.origins)
}

package liveroom

import (
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet/merchant"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// readLedger reads which ledger keeps users' coins, and returns the function that
// makes the ledger.
func readLedger(s *wiring.Settings) func(h *wiring.House) wallet.Ledger {
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
		Name: "LEDGER_ACCEPT_LOSS", Meaning: "1 lets the built-in ledger of users' coins work on Redis, where a failover may lose acknowledged payments; 0 answers money routes with 503 there",
		Format: "1 or 0", Default: "0",
	})
	return func(h *wiring.House) wallet.Ledger { return ledger(h, server, accepted) }
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

package liveroom

import (
	"errors"
	"testing"

	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// TestRedisKeepsNoMoney: on Redis the built-in ledger refuses, unless a setting accepts
// the loss; the merchant's own works everywhere.
func TestRedisKeepsNoMoney(t *testing.T) {
	redis := &wiring.House{Store: (*rediskv.Store)(nil)}
	other := &wiring.House{Store: struct{ kv.Store }{}}
	none := hook.Hook{}
	if _, err := ledger(redis, none, false).Account(t.Context(), "ann"); !errors.Is(err, wallet.ErrUnsafe) {
		t.Errorf("%v", err)
	}
	for name, l := range map[string]wallet.Ledger{"accepted": ledger(redis, none, true), "another store": ledger(other, none, false)} {
		if _, is := l.(*wallet.Accounts); !is {
			t.Errorf("%s: %T", name, l)
		}
	}
	redis.Jobs = queue.NewLedger(nil, queuetest.Nowhere{}, nil)
	if l := ledger(redis, hook.Hook{URL: "https://shop.example/ledger"}, false); l == nil {
		t.Error("no ledger")
	} else if _, is := l.(wallet.Closed); is {
		t.Error("the merchant's ledger is closed")
	}
}

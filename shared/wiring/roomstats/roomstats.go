// Package roomstats wires the counting of delivered messages, which has no
// settings of its own.
package roomstats

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Feature is the counting of delivered messages.
var Feature = wiring.Feature{
	Name: "roomstats", Function: "after-send-counter",
	Callbacks: true, Store: wiring.Required, Queue: wiring.Optional, Callers: wiring.Users,
	Read: func(*wiring.Settings) wiring.Open { return open },
}

func open(_ context.Context, h *wiring.House) error {
	stats := roomstats.New(roomstats.Config{Store: h.Store, Jobs: h.Jobs})
	h.Callbacks(stats.Register)
	h.Routes(stats.Routes)
	return nil
}

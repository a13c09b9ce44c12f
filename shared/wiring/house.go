package wiring

import (
	"context"
	"fmt"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// House is the program that opens a feature: its store, queue and gate, and the
// methods by which the feature registers callbacks and routes. Job handlers are
// registered with Jobs itself.
type House struct {
	// Store is nil where the program has no STATE_URL.
	Store kv.Store
	// Jobs is nil where the program has no QUEUE_URL.
	Jobs *queue.Ledger
	// Gate proves who is calling, on all routes of the program. In a program without
	// routes Gate refuses every caller.
	Gate *api.Gate

	// Tickets is the support desk, for features that hand conversations over; nil
	// where the program has none. It is set once all features are open.
	Tickets Tickets

	outbox  *outbox.Outbox // one a program: it has the jobs that send
	feature Feature        // that is moving in
	parts   []part
	routes  []func(*http.ServeMux, *api.Gate)
}

// Tickets is the part of the support desk that other features use.
type Tickets interface {
	// OpenFor opens a ticket for a user, once for each key.
	OpenFor(ctx context.Context, key, userID, subject, text string) (ticketID, groupID string, err error)
	// Over reports whether a ticket is solved, closed or deleted.
	Over(ctx context.Context, ticketID string) (bool, error)
}

// part is the callbacks of one function.
type part struct {
	function string
	register func(*callback.Mux)
}

// Queue returns Jobs, or an error that names QUEUE_URL without a queue.
func (h *House) Queue() (*queue.Ledger, error) {
	if h.Jobs == nil {
		return nil, fmt.Errorf("QUEUE_URL: required with the settings of %s", h.feature.Function)
	}
	return h.Jobs, nil
}

// Outbox returns the program's one outbox of messages to rooms. client and
// perSecond are those of [Settings.IM] and [Settings.RoomSends].
func (h *House) Outbox(client *im.Client, perSecond int) *outbox.Outbox {
	if h.outbox == nil {
		h.outbox = outbox.New(outbox.Config{Store: h.Store, IM: client, Jobs: h.Jobs, PerSecond: perSecond})
	}
	return h.outbox
}

// Callbacks registers rules for callbacks.
func (h *House) Callbacks(register func(*callback.Mux)) {
	if !h.feature.Callbacks {
		panic("wiring: " + h.feature.Name + " registers callbacks, which its Feature does not say")
	}
	h.parts = append(h.parts, part{h.feature.Function, register})
}

// Routes registers HTTP routes: it calls add with the program's mux and Gate.
func (h *House) Routes(add func(mux *http.ServeMux, gate *api.Gate)) {
	h.routes = append(h.routes, add)
}

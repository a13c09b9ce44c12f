// Package bundle puts everything behind one URL: what the function of that name
// deploys, and what scripts/dev serves.
package bundle

import (
	"context"
	"errors"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
	"github.com/backchannel-im/backchannel/shared/wiring/state"
	"github.com/backchannel-im/backchannel/shared/wiring/words"
)

// Options are what the program decides and no setting does.
type Options struct {
	States  []kv.Engine             // where state may be kept
	Observe func(callback.Exchange) // sees every callback; nil for nobody
}

// Bundle is everything, opened.
type Bundle struct {
	HTTP  http.Handler
	Close func() error
}

// Open reads all settings and opens what they name.
func Open(ctx context.Context, set *config.Reader, o Options) (*Bundle, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance := door.Read(set)
	gate := access.Gate(set)
	newIssuer := access.Issuer(set)
	filter := words.Read(set)
	openState := state.Read(set, o.States...)
	if err := set.Err(); err != nil {
		return nil, err
	}

	store, err := openState(ctx)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	stats := roomstats.New(store)
	stats.Routes(routes, gate)
	issuer, err := newIssuer(store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	issuer.Routes(routes)
	entrance.Observe = o.Observe
	_, err = entrance.Mount(routes,
		door.Part{Function: "before-send-filter", Register: filter.Register},
		door.Part{Function: "after-send-counter", Register: stats.Register})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &Bundle{HTTP: api.Routes(routes), Close: store.Close}, nil
}

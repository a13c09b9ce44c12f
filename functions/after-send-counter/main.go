// Command after-send-counter counts delivered messages, each once.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
	"github.com/backchannel-im/backchannel/shared/wiring/state"
)

func main() { faas.Main("after-send-counter", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance, gate := door.Read(set), access.Gate(set)
	openState := state.Read(set, dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine)
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
	if _, err := entrance.Mount(routes, door.Part{Function: "after-send-counter", Register: stats.Register}); err != nil {
		return nil, err
	}
	return &faas.App{HTTP: api.Routes(routes), Close: store.Close}, nil
}

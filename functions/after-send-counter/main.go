// Command after-send-counter counts delivered messages, each once.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
)

func main() { faas.Main("after-send-counter", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance, gate := door.Read(set), access.Gate(set)
	open := cloud.Read(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	entrance.Jobs = work.Ledger
	routes := http.NewServeMux()
	stats := roomstats.New(work.Store)
	stats.Routes(routes, gate)
	if err := entrance.Mount(routes, door.Part{Function: "after-send-counter", Register: stats.Register}); err != nil {
		return nil, err
	}
	return &faas.App{HTTP: api.Routes(routes), Close: work.Close}, nil
}

// Command callback-router is IM's one callback URL: it runs every rule itself
// or forwards to functions of their own.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
	"github.com/backchannel-im/backchannel/shared/wiring/words"
)

func main() { faas.Main("callback-router", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance := door.Read(set, "before-send-filter", "after-send-counter")
	filter := words.Read(set)
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
	err = entrance.Mount(routes,
		door.Part{Function: "before-send-filter", Register: filter.Register},
		door.Part{Function: "after-send-counter", Register: roomstats.New(work.Store).Register})
	if err != nil {
		return nil, err
	}
	return &faas.App{HTTP: api.Routes(routes), Close: work.Close}, nil
}

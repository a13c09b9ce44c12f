// Command before-send-filter gives IM a verdict on every message before it is
// delivered.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
	"github.com/backchannel-im/backchannel/shared/wiring/words"
)

func main() { faas.Main("before-send-filter", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance, gate := door.Read(set), &api.Gate{Keys: access.Keys(set)}
	filter, open := words.Read(set), cloud.Optional(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	rules, err := filter.Open(ctx, work)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	rules.Routes(routes, gate)
	entrance.Jobs = work.Ledger
	if err := entrance.Mount(routes, door.Part{Function: "before-send-filter", Register: rules.Register}); err != nil {
		return nil, err
	}
	return &faas.App{HTTP: api.Routes(routes), Close: work.Close}, nil
}

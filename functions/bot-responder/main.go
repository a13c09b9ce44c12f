// Command bot-responder answers what people write to chatbots.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring/bots"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
)

func main() { faas.Main(bots.Function, build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance, robots, open := door.Read(set), bots.Require(set), cloud.Require(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	rules, err := robots.Open(work)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	entrance.Jobs = work.Ledger
	if err := entrance.Mount(routes, door.Part{Function: bots.Function, Register: rules.Register}); err != nil {
		return nil, err
	}
	return &faas.App{HTTP: api.Routes(routes), Close: work.Close}, nil
}

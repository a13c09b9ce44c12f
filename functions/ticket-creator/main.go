// Command ticket-creator opens support tickets with a chat group each, and lets
// their agents in and out.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/desks"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
)

func main() { faas.Main("ticket-creator", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	desk, gate := desks.Require(set), access.Gate(set)
	open := cloud.Require(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	tickets, err := desk.Open(work)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	tickets.Routes(routes, desk.Doors(gate))
	return &faas.App{HTTP: api.Routes(routes), Close: work.Close}, nil
}

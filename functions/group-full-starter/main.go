// Command group-full-starter brings players together in teams, each a group of
// IM, and starts the match of a full team, once.
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
	"github.com/backchannel-im/backchannel/shared/wiring/teams"
)

func main() { faas.Main(teams.Function, build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance, gate := door.Read(set), access.Gate(set)
	starter, open := teams.Require(set), cloud.Require(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	opened, err := starter.Open(work)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	opened.Routes(routes, gate)
	entrance.Jobs = work.Ledger
	if err := entrance.Mount(routes, door.Part{Function: teams.Function, Register: opened.Register}); err != nil {
		return nil, err
	}
	return &faas.App{HTTP: api.Routes(routes), Close: work.Close}, nil
}

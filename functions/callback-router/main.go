// Command callback-router is IM's one callback URL: it runs every rule itself
// or forwards to functions of their own.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/rules"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
)

func main() { faas.Main("callback-router", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance, all, open := door.Read(set, rules.Functions...), rules.Read(set), cloud.Read(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	heard, err := all.Open(ctx, work)
	if err != nil {
		return nil, err
	}
	entrance.Jobs = work.Ledger
	routes := http.NewServeMux()
	if err := entrance.Mount(routes, heard.Parts()...); err != nil {
		return nil, err
	}
	return &faas.App{HTTP: api.Routes(routes), Close: work.Close}, nil
}

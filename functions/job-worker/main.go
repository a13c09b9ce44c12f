// Command job-worker does what must happen after the reply.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/jobdesk"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/desks"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/rules"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
)

func main() { faas.Main("job-worker", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance, gate := door.Read(set, rules.Functions...), &api.Gate{Keys: access.Keys(set)}
	all, desk, open := rules.Read(set), desks.Optional(set), cloud.Require(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	if err := all.Redo(ctx, work, entrance); err != nil {
		return nil, err
	}
	if _, err := desk.Open(work); err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	jobdesk.Routes(routes, gate, work.Ledger)
	return &faas.App{HTTP: api.Routes(routes), Job: work.Ledger.Perform, Close: work.Close}, nil
}

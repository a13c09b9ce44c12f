// Command before-send-filter gives IM a verdict on every message before it is
// delivered.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
	"github.com/backchannel-im/backchannel/shared/wiring/words"
)

func main() { faas.Main("before-send-filter", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance := door.Read(set)
	filter := words.Read(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	if err := entrance.Mount(routes, door.Part{Function: "before-send-filter", Register: filter.Register}); err != nil {
		return nil, err
	}
	return &faas.App{HTTP: api.Routes(routes)}, nil
}

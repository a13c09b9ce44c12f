// Command usersig-issuer issues UserSigs, to whom its mode says.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
	"github.com/backchannel-im/backchannel/shared/wiring/state"
)

func main() { faas.Main("usersig-issuer", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	newIssuer := access.Issuer(set)
	openState := state.Read(set, dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine)
	if err := set.Err(); err != nil {
		return nil, err
	}
	store, err := openState(ctx)
	if err != nil {
		return nil, err
	}
	issuer, err := newIssuer(store)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	issuer.Routes(routes)
	return &faas.App{HTTP: api.Routes(routes), Close: store.Close}, nil
}

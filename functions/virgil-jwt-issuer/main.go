// Command virgil-jwt-issuer issues the JWTs with which clients of Virgil's
// end-to-end encryption prove who they are.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/credentials"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
)

func main() { faas.Main("virgil-jwt-issuer", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	issuer := credentials.Issuer(set, access.Gate(set))
	if err := set.Err(); err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	issuer.Routes(routes)
	return &faas.App{HTTP: api.Routes(routes)}, nil
}

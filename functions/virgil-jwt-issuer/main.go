// Command virgil-jwt-issuer issues the JWTs with which clients of Virgil's
// end-to-end encryption authenticate.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud/states"
	"github.com/backchannel-im/backchannel/shared/wiring/virgil"
)

func main() {
	faas.Main(virgil.Feature.Function, wiring.Routes(virgil.Feature, states.Engines).Build)
}

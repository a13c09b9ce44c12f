// Command usersig-issuer issues UserSigs; USERSIG_MODE says who gets one.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud/states"
	"github.com/backchannel-im/backchannel/shared/wiring/credential"
)

func main() {
	faas.Main(credential.Feature.Function, wiring.Routes(credential.Feature, states.Engines).Build)
}

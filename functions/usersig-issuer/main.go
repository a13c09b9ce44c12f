// Command usersig-issuer issues UserSigs, to whom its mode says.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/credential"
)

func main() {
	faas.Main(credential.Feature.Function, wiring.Alone(credential.Feature, wiring.Engines{
		States: []kv.Engine{dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine},
	}).Build)
}

// Command community-keeper runs communities: their channels, roles and members, and
// what happens in them beside messages.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/community"
)

func main() {
	faas.Main(community.Feature.Function, wiring.Alone(community.Feature, cloud.Engines).Build)
}

// Command community-keeper manages communities: their channels, roles, members,
// sub-channels, voice channels, reactions, edits and pins.
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

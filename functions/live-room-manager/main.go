// Command live-room-manager manages live rooms: their status and notice, mutes and
// kicks, gifts, history, broadcasts, and streams.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/liveroom"
)

func main() {
	faas.Main(liveroom.Feature.Function, wiring.Alone(liveroom.Feature, cloud.Engines).Build)
}

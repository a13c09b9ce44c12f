// Command live-room-manager runs live rooms: their status and notice, who may write
// and enter, gifts, history, broadcasts, and the streams that they show.
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

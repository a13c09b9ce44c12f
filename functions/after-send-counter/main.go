// Command after-send-counter counts delivered messages, each once.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/roomstats"
)

func main() {
	faas.Main(roomstats.Feature.Function, wiring.Alone(roomstats.Feature, cloud.Engines).Build)
}

// Command before-send-filter gives IM a verdict on every message before it is
// delivered.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/moderation"
)

func main() {
	faas.Main(moderation.Feature.Function, wiring.Alone(moderation.Feature, cloud.Engines).Build)
}

// Command bot-responder answers messages to chatbots.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/bot"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
)

func main() { faas.Main(bot.Feature.Function, wiring.Alone(bot.Feature, cloud.Engines).Build) }

// Command ticket-creator creates support tickets with a chat group each, and adds and
// removes their agents.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/desk"
)

func main() { faas.Main(desk.Feature.Function, wiring.Alone(desk.Feature, cloud.Engines).Build) }

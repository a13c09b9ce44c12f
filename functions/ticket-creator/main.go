// Command ticket-creator opens support tickets with a chat group each, and lets
// their agents in and out.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/desk"
)

func main() { faas.Main(desk.Feature.Function, wiring.Alone(desk.Feature, cloud.Engines).Build) }

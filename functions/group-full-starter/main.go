// Command group-full-starter manages teams of players, each a group of IM, and starts
// the match of a full team exactly once.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/match"
)

func main() { faas.Main(match.Feature.Function, wiring.Alone(match.Feature, cloud.Engines).Build) }

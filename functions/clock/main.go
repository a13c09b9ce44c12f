// Command clock runs the periodic tasks, once a minute.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/minute"
)

func main() { faas.Main("clock", wiring.Clock(minute.Table, cloud.Engines).Build) }

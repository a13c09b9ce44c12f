// Command callback-router serves IM's one callback URL: it runs every rule itself or
// forwards callbacks to functions that are deployed on their own.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
)

func main() { faas.Main("callback-router", wiring.Router(features.Hearing(), cloud.Engines).Build) }

// Command mail-carrier sends mail with attachments to players, and runs trades between
// players.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/mail"
)

func main() { faas.Main(mail.Feature.Function, wiring.Routes(mail.Feature, cloud.Engines).Build) }

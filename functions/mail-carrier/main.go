// Command mail-carrier carries mail to players, with attachments, and trades between
// them.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/mail"
)

func main() { faas.Main(mail.Feature.Function, wiring.Routes(mail.Feature, cloud.Engines).Build) }

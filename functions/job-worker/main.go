// Command job-worker runs jobs: the work after a reply, and retries.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
	"github.com/backchannel-im/backchannel/shared/wiring/users"
)

func main() {
	faas.Main("job-worker", wiring.Worker(features.Working(), users.Sources, cloud.Engines).Build)
}

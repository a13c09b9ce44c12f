// Command bundle serves all of Backchannel at one URL.
package main

import (
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/queue/scfqueue"
	"github.com/backchannel-im/backchannel/shared/queue/sqsqueue"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
)

func main() {
	faas.Main("bundle", features.Bundle(wiring.Engines{
		States: []kv.Engine{boltkv.Engine, dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine},
		Queues: []queue.Engine{boltqueue.Engine, sqsqueue.Engine, scfqueue.Engine},
	}, nil).Build)
}

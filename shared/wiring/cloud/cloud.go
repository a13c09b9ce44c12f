// Package cloud names the engines that functions on the two platforms link:
// DynamoDB or Redis for state, and SQS or asynchronous invocation for jobs.
package cloud

import (
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/scfqueue"
	"github.com/backchannel-im/backchannel/shared/queue/sqsqueue"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Engines are those of both platforms.
var Engines = wiring.Engines{
	States: []kv.Engine{dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine},
	Queues: []queue.Engine{sqsqueue.Engine, scfqueue.Engine},
}

// Package cloud names the engines that functions on the two platforms link:
// DynamoDB or Redis for state, and SQS or asynchronous invocation for jobs.
package cloud

import (
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/scfqueue"
	"github.com/backchannel-im/backchannel/shared/queue/sqsqueue"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud/states"
)

// Engines are those of both platforms.
var Engines = wiring.Engines{
	States: states.Engines.States,
	Queues: []queue.Engine{sqsqueue.Engine, scfqueue.Engine},
}

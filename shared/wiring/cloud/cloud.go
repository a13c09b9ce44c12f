// Package cloud opens store and queue among the engines that functions on the
// two platforms use: DynamoDB or Redis, and SQS or asynchronous invocation.
package cloud

import (
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/queue/scfqueue"
	"github.com/backchannel-im/backchannel/shared/queue/sqsqueue"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
	"github.com/backchannel-im/backchannel/shared/wiring/state"
)

// Read reads STATE_URL, and QUEUE_URL for a function that may do without.
func Read(set *config.Reader) jobs.Opener {
	return jobs.Read(set, readState(set), sqsqueue.Engine, scfqueue.Engine)
}

// Optional is Read for a function that may do without both.
func Optional(set *config.Reader) jobs.Opener {
	return jobs.Read(set, state.Optional(set, dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine), sqsqueue.Engine, scfqueue.Engine)
}

// Require reads STATE_URL and QUEUE_URL for a function that is there for jobs.
func Require(set *config.Reader) jobs.Opener {
	return jobs.Require(set, readState(set), sqsqueue.Engine, scfqueue.Engine)
}

func readState(set *config.Reader) state.Opener {
	return state.Read(set, dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine)
}

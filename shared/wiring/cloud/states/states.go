// Package states names the engines for state that functions on the two platforms
// link: DynamoDB or Redis. It is apart for functions that put no jobs.
package states

import (
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Engines are those of both platforms, without a queue.
var Engines = wiring.Engines{States: []kv.Engine{dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine}}

// Command bundle is all of Backchannel behind one URL.
package main

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/queue/scfqueue"
	"github.com/backchannel-im/backchannel/shared/queue/sqsqueue"
	"github.com/backchannel-im/backchannel/shared/wiring/bundle"
)

func main() { faas.Main("bundle", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	b, err := bundle.Open(ctx, set, bundle.Options{
		States: []kv.Engine{boltkv.Engine, dynamokv.Engine, rediskv.Engine, rediskv.TLSEngine},
		Queues: []queue.Engine{boltqueue.Engine, sqsqueue.Engine, scfqueue.Engine},
	})
	if err != nil {
		return nil, err
	}
	return &faas.App{HTTP: b.HTTP, Job: b.Job, Tick: b.Tick, Run: b.Run, Close: b.Close}, nil
}

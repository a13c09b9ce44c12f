// Package jobs opens the queue that QUEUE_URL names, among the engines that the
// program chose to link, together with the store that keeps its ledger.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/wiring/state"
)

// Jobs is a store and a queue, opened. Without QUEUE_URL it has no ledger, and
// without STATE_URL, where that may be, no store.
type Jobs struct {
	Store  kv.Store
	Ledger *queue.Ledger
	queue  queue.Queue
}

// Opener opens what was configured.
type Opener func(ctx context.Context) (*Jobs, error)

// Read reads QUEUE_URL for a program that may do without a queue.
func Read(set *config.Reader, openStore state.Opener, engines ...queue.Engine) Opener {
	return read(set, config.Setting{
		Meaning: "where work for later is put, above all callbacks whose rule failed; without it those are answered with status 500",
	}, openStore, engines)
}

// Require reads QUEUE_URL for a program that is there for the queue's jobs.
func Require(set *config.Reader, openStore state.Opener, engines ...queue.Engine) Opener {
	return read(set, config.Setting{Meaning: "where work for later is put", Required: true}, openStore, engines)
}

func read(set *config.Reader, s config.Setting, openStore state.Opener, engines []queue.Engine) Opener {
	names := make([]string, len(engines))
	for i, e := range engines {
		names[i] = e.Name
	}
	s.Name, s.Format = "QUEUE_URL", strings.Join(names, "; ")
	url := set.Text(s)
	openQueue := func(context.Context) (queue.Queue, error) { return nil, nil }
	if url != "" {
		i := slices.IndexFunc(engines, func(e queue.Engine) bool { return e.Takes(url) })
		if i < 0 {
			set.Fault("QUEUE_URL", "must be %s", strings.Join(names, "; or "))
			return nil
		}
		openQueue = func(ctx context.Context) (queue.Queue, error) { return engines[i].Open(ctx, url) }
	}
	return func(ctx context.Context) (*Jobs, error) {
		store, err := openStore(ctx)
		if err != nil {
			return nil, err
		}
		q, err := openQueue(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("QUEUE_URL: %w", err), (&Jobs{Store: store}).Close())
		}
		j := &Jobs{Store: store, queue: q}
		switch {
		case q != nil && store == nil:
			return nil, errors.Join(errors.New("STATE_URL: required with QUEUE_URL"), q.Close())
		case q != nil:
			j.Ledger = queue.NewLedger(store, q, nil)
		}
		return j, nil
	}
}

// Local reports whether jobs are carried out in this process, by [Jobs.Run],
// rather than brought by a platform.
func (j *Jobs) Local() bool { return j.worker() != nil }

// Run carries out jobs until ctx ends.
func (j *Jobs) Run(ctx context.Context) error { return j.worker().Run(ctx, j.Ledger.Perform) }

type worker interface {
	Run(ctx context.Context, perform func(ctx context.Context, encoded []byte) error) error
}

func (j *Jobs) worker() worker {
	w, _ := j.queue.(worker)
	return w
}

// Close closes both.
func (j *Jobs) Close() error {
	var err error
	if j.queue != nil {
		err = j.queue.Close()
	}
	if j.Store != nil {
		err = errors.Join(err, j.Store.Close())
	}
	return err
}

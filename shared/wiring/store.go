package wiring

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Engines are the stores and queues that a program links, for STATE_URL and
// QUEUE_URL to choose from.
type Engines struct {
	States []kv.Engine
	Queues []queue.Engine
}

// readStore reads STATE_URL, whose scheme must be that of one of the engines, and
// returns what opens the store; the store is nil without the setting.
func (e Engines) readStore(set *config.Reader, need Need) func(context.Context) (kv.Store, error) {
	none := func(context.Context) (kv.Store, error) { return nil, nil }
	if need == None {
		return none
	}
	schemes := make([]string, len(e.States))
	for i, engine := range e.States {
		schemes[i] = engine.Scheme
	}
	url := set.Text(config.Setting{
		Group:    groupStorage,
		Name:     "STATE_URL",
		Meaning:  "store that keeps state",
		Format:   "dynamodb:TABLE, redis://HOST:PORT/DB or rediss://... ; bolt:FILE for one process of the bundle",
		Required: need == Required,
		Secret:   true, // a Redis URL may hold a password
	})
	if url == "" {
		return none
	}
	scheme, _, _ := strings.Cut(url, ":")
	i := slices.Index(schemes, scheme)
	if i < 0 {
		set.Fault("STATE_URL", "this program keeps state in %s, and the value starts with none of them", strings.Join(schemes, ", "))
		return nil
	}
	return func(ctx context.Context) (kv.Store, error) {
		store, err := e.States[i].Open(ctx, url)
		if err != nil {
			return nil, fmt.Errorf("STATE_URL: %w", err)
		}
		return kv.Metered(kv.Formed(store, forms)), nil
	}
}

// readQueue reads QUEUE_URL and returns what opens the queue; the queue is nil
// without the setting.
func (e Engines) readQueue(set *config.Reader, need Need) func(context.Context) (queue.Queue, error) {
	none := func(context.Context) (queue.Queue, error) { return nil, nil }
	if need == None {
		return none
	}
	names := make([]string, len(e.Queues))
	for i, engine := range e.Queues {
		names[i] = engine.Name
	}
	s := config.Setting{Group: groupStorage, Name: "QUEUE_URL", Meaning: "queue for jobs", Format: strings.Join(names, "; "), Required: need == Required}
	if need == Optional {
		s.Meaning += ", above all callbacks whose rule failed; IM gets status 500 for those without this setting"
	}
	url := set.Text(s)
	if url == "" {
		return none
	}
	i := slices.IndexFunc(e.Queues, func(engine queue.Engine) bool { return engine.Takes(url) })
	if i < 0 {
		set.Fault("QUEUE_URL", "must be %s", strings.Join(names, "; or "))
		return nil
	}
	return func(ctx context.Context) (queue.Queue, error) {
		q, err := e.Queues[i].Open(ctx, url)
		if err != nil {
			return nil, fmt.Errorf("QUEUE_URL: %w", err)
		}
		return q, nil
	}
}

// worker is a queue whose jobs are carried out in this process rather than
// brought by a platform.
type worker interface {
	Run(ctx context.Context, perform func(ctx context.Context, encoded []byte) error) error
}

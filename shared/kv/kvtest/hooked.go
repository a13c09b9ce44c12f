package kvtest

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// hooked is a store between whose calls something happens. hook gets the name
// of the method and the call itself, and returns what the caller shall see.
type hooked struct {
	kv.Store
	hook func(method string, call func() error) error
}

func (h hooked) Get(ctx context.Context, partition, key string) (i kv.Item, err error) {
	err = h.hook("Get", func() (err error) {
		i, err = h.Store.Get(ctx, partition, key)
		return err
	})
	return i, err
}

func (h hooked) List(ctx context.Context, partition string, r kv.Range) (p kv.Page, err error) {
	err = h.hook("List", func() (err error) {
		p, err = h.Store.List(ctx, partition, r)
		return err
	})
	return p, err
}

func (h hooked) Open(ctx context.Context, partition, after string, limit int) (g []kv.Segment, err error) {
	err = h.hook("Open", func() (err error) {
		g, err = h.Store.Open(ctx, partition, after, limit)
		return err
	})
	return g, err
}

func (h hooked) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	return h.hook("Commit", func() error { return h.Store.Commit(ctx, partition, op, writes...) })
}

func (h hooked) Tally(ctx context.Context, partition, segment string, e kv.Event, deltas ...kv.Delta) (o kv.Outcome, err error) {
	err = h.hook("Tally", func() (err error) {
		o, err = h.Store.Tally(ctx, partition, segment, e, deltas...)
		return err
	})
	return o, err
}

// errLost is an answer that did not arrive.
var errLost = fmt.Errorf("%w: answer lost", kv.ErrUnavailable)

// lossy returns s with that share of the answers to its writes lost on the way.
func lossy(s kv.Store, odds float64) kv.Store {
	return hooked{s, func(method string, call func() error) error {
		err := call()
		if err == nil && (method == "Commit" || method == "Tally") && rand.Float64() < odds {
			return errLost
		}
		return err
	}}
}

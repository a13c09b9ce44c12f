package callback

import (
	"context"
	"sync"
)

// explanation is what rules say about their verdict on one callback. A rule that
// ran out of time may still be writing it.
type explanation struct {
	mu  sync.Mutex
	why any
}

type explanationKey struct{}

// Explain passes the reasons of the calling before-rule to [Config.Observe]: why
// becomes [Exchange.Why], and the latest explanation of a callback wins. why must not
// be changed afterwards. Without an observer, Explain does nothing.
func Explain(ctx context.Context, why any) {
	e, ok := ctx.Value(explanationKey{}).(*explanation)
	if !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why = why
}

// explained returns a context for the rules of one callback, and a function that
// reads what they explained.
func explained(ctx context.Context) (context.Context, func() any) {
	e := &explanation{}
	return context.WithValue(ctx, explanationKey{}, e), func() any {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.why
	}
}

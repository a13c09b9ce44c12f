package callback

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

var errUnfinished = errors.New("callback: a rule ended without returning")

// guarded runs f, turns a panic into an error, and stops waiting when ctx ends:
// a rule that does not heed its context must not take the answer's time.
func guarded[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	if err := ctx.Err(); err != nil {
		return result{}.value, err
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errUnfinished}
		defer func() {
			if p := recover(); p != nil {
				r.err = panicked(p)
			}
			done <- r
		}()
		r.value, r.err = f(ctx)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return result{}.value, ctx.Err()
	}
}

// guard is guarded for a function without a value.
func guard(ctx context.Context, f func(context.Context) error) error {
	_, err := guarded(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// panicked describes a panic, for the log: where it was, and what if the
// runtime says so. A rule's own value may quote a message.
func panicked(p any) error {
	if r, is := p.(runtime.Error); is {
		return fmt.Errorf("callback: a rule panicked: %w\n%s", r, debug.Stack())
	}
	return fmt.Errorf("callback: a rule panicked with a %T\n%s", p, debug.Stack())
}

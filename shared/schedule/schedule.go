// Package schedule runs a table of tasks at every tick of the clock.
//
// A platform ticks once a minute at best, sometimes twice at once, and now and then
// not at all. A task therefore reads from the store what is due, may overlap with
// itself, and catches up after missed ticks.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Task is one line of a table.
type Task struct {
	Name string // for the log
	// Do does what is due. It returns when its context ends and leaves the rest to the
	// next tick.
	Do func(ctx context.Context) error
}

// Table is what a clock does.
type Table []Task

// Tick runs all tasks concurrently. An error or a panic of one task does not affect
// the others. Tick returns when the last task has ended, with the errors of those that
// failed.
func (t Table) Tick(ctx context.Context) error {
	errs := make(chan error, len(t))
	for _, task := range t {
		go func() { errs <- task.run(ctx) }()
	}
	var all error
	for range t {
		all = errors.Join(all, <-errs)
	}
	return all
}

func (t Task) run(ctx context.Context) (err error) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "task panicked", "task", t.Name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: panicked", t.Name)
		}
	}()
	if err := t.Do(ctx); err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	slog.DebugContext(ctx, "task done", "task", t.Name, "ms", time.Since(start).Milliseconds())
	return nil
}

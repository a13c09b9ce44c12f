package schedule

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
)

// TestOneTaskIsNoOthersTrouble: a task that fails, panics or waits for another
// keeps nobody from their work, and the tick tells whose trouble it was.
func TestOneTaskIsNoOthersTrouble(t *testing.T) {
	var ran atomic.Int32
	met := make(chan struct{})
	broken := errors.New("the store is away")
	table := Table{
		{"fails", func(context.Context) error { return broken }},
		{"panics", func(context.Context) error { panic("of all things") }},
		{"waits", func(context.Context) error { <-met; ran.Add(1); return nil }},
		{"comes later in the table", func(context.Context) error { close(met); ran.Add(1); return nil }},
	}
	err := table.Tick(t.Context())
	if ran.Load() != 2 {
		t.Errorf("%d of 2 tasks ran", ran.Load())
	}
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "fails:") || !strings.Contains(err.Error(), "panics:") {
		t.Errorf("%v", err)
	}
}

func TestTasksEndWithTheTick(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	table := Table{{"long", func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}}}
	if err := table.Tick(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := (Table{}).Tick(t.Context()); err != nil {
		t.Errorf("an empty table: %v", err)
	}
}

package faas

import (
	"context"
	"testing"
	"time"
)

func TestMarginBeforeTheDeadline(t *testing.T) {
	soon, far := time.Now().Add(2*time.Second), time.Now().Add(time.Minute)
	tests := []struct {
		name           string
		deadline       time.Time
		earliest, last time.Time
	}{
		{"far", far, far.Add(-500 * time.Millisecond), far.Add(-500 * time.Millisecond)},
		{"soon", soon, soon.Add(-200 * time.Millisecond), soon.Add(-time.Nanosecond)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithDeadline(t.Context(), tt.deadline)
			defer cancel()
			ctx, cancel = leaveTimeToAnswer(ctx)
			defer cancel()
			got, ok := ctx.Deadline()
			if !ok || got.Before(tt.earliest) || got.After(tt.last) {
				t.Errorf("deadline %v before the platform's", tt.deadline.Sub(got))
			}
		})
	}
}

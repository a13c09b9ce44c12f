package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"
)

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, end := context.WithCancel(t.Context())
		end()
		for _, tt := range []struct {
			name  string
			ctx   context.Context
			limit time.Duration // of ctx
			d     time.Duration
			err   error
			takes time.Duration
		}{
			{"undisturbed", t.Context(), time.Hour, time.Minute, nil, time.Minute},
			{"the context ends first", t.Context(), time.Second, time.Minute, context.DeadlineExceeded, time.Second},
			{"the context has ended", ended, time.Hour, time.Minute, context.Canceled, 0},
			{"the context has ended and nothing is to wait for", ended, time.Hour, 0, context.Canceled, 0},
			{"nothing to wait for", t.Context(), time.Hour, -time.Minute, nil, 0},
		} {
			ctx, cancel := context.WithTimeout(tt.ctx, tt.limit)
			start := time.Now()
			if err := retry.Sleep(ctx, tt.d); !errors.Is(err, tt.err) || time.Since(start) != tt.takes {
				t.Errorf("%s: %v after %v, want %v after %v", tt.name, err, time.Since(start), tt.err, tt.takes)
			}
			cancel()
		}
	})
}

func TestLatest(t *testing.T) {
	now := time.Now()
	if got := retry.Latest(now, time.Time{}, now.Add(time.Hour), now.Add(time.Minute)); !got.Equal(now.Add(time.Hour)) {
		t.Errorf("got %v", got)
	}
	if got := retry.Latest(); !got.IsZero() {
		t.Errorf("without times: %v", got)
	}
}

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
)

var errAway = fault.Sentinel("store: away", fault.Unavailable, 5*time.Second, "this cannot be done now")

func TestPublicFace(t *testing.T) {
	cause := errors.New("dial 10.0.0.7: secret detail")
	tests := []struct {
		name    string
		err     error
		code    fault.Code
		status  int
		message string
	}{
		{"coded", fault.New(fault.Invalid, "userID is %d bytes, 32 allowed", 40), fault.Invalid, 400, "userID is 40 bytes, 32 allowed"},
		{"coded under wrapping", fmt.Errorf("issue: %w", fault.New(fault.Throttled, "slow down")), fault.Throttled, 429, "slow down"},
		{"cause stays inside", fault.Wrap(cause, fault.Upstream, "the desk did not answer"), fault.Upstream, 502, "the desk did not answer"},
		{"deadline", fmt.Errorf("get: %w", context.DeadlineExceeded), fault.Timeout, 504, "this took too long, try again"},
		{"a cancelled request", fmt.Errorf("get: %w", context.Canceled), fault.Unavailable, 503, "the request was abandoned, send it again"},
		{"a sentinel", fmt.Errorf("get: %w: node 3", errAway), fault.Unavailable, 503, "this cannot be done now"},
		{"a sentinel that a deadline ended", fmt.Errorf("%w: %w", errAway, context.DeadlineExceeded), fault.Unavailable, 503, "this cannot be done now"},
		{"a sentinel wrapped with more to say", fault.Wrap(errAway, fault.Unavailable, "send it again with its key"), fault.Unavailable, 503, "send it again with its key"},
		{"anything else", cause, fault.Internal, 500, "something went wrong on our side"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := fault.Of(tt.err)
			if got.Code != tt.code || got.Code.Status() != tt.status || got.Message != tt.message {
				t.Errorf("Of = %q %d %q, want %q %d %q", got.Code, got.Code.Status(), got.Message, tt.code, tt.status, tt.message)
			}
		})
	}
}

func TestSentinel(t *testing.T) {
	err := fmt.Errorf("get: %w: node 3", errAway)
	if !errors.Is(err, errAway) || err.Error() != "get: store: away: node 3" {
		t.Errorf("%v is not the sentinel, or hides its text", err)
	}
	fault.Of(err).After(time.Hour) // a caller's change stays with the caller
	if got := fault.Of(err); got.RetryAfter != 5*time.Second {
		t.Errorf("Retry-After %v", got.RetryAfter)
	}
}

func TestLogSeesTheCause(t *testing.T) {
	cause := errors.New("connection reset")
	err := fault.Wrap(cause, fault.Unavailable, "try again")
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("the cause is lost in %q", err)
	}
}

package match

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/backchannel-im/backchannel/shared/hook"
)

// The errors of a [Hook]. After any other error it is unknown whether the match has
// started.
var (
	// ErrRefused: the server refuses for good to start this team.
	ErrRefused = hook.ErrRefused
	// ErrNotNow: the server has not taken this start; a retry may succeed.
	ErrNotNow = hook.ErrNotNow
)

// Start is the body of a start request: a team that starts.
type Start struct {
	// ID identifies this start, and is the same in every retry.
	ID      string    `json:"startId"`
	GroupID string    `json:"groupId"`
	Mode    string    `json:"mode"`
	Size    int       `json:"size"`
	Captain string    `json:"captain"`
	Members []string  `json:"members"` // in the order in which they joined
	At      time.Time `json:"at"`      // when the team was found full
}

// Hook is the server that starts matches. A start is a POST of it as JSON, whose
// Idempotency-Key is its ID; package hook says how it is signed, what the answers
// mean, and what the server has to do when it is repeated: 2xx where the match is
// started.
type Hook hook.Hook

// hookTime is how long the hook may take to answer.
const hookTime = hook.Timeout

// Start has a match started, or finds that the match has started. The error's text
// contains neither URL nor key.
func (h *Hook) Start(ctx context.Context, s Start) error {
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	_, _, err = (*hook.Hook)(h).Post(ctx, s.ID, body)
	return err
}

// release is a start that the hook is to take back, if it took it.
type release struct {
	Release bool `json:"release"` // true
	Start
}

// Release tells the hook that nobody will play a match whose start it may have taken:
// a POST of the start with "release":true, whose Idempotency-Key is the start's ID
// followed by /release. A server that knows no such start remembers that it never
// will be.
func (h *Hook) Release(ctx context.Context, s Start) error {
	body, err := json.Marshal(release{true, s})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	_, _, err = (*hook.Hook)(h).Post(ctx, s.ID+"/release", body)
	return err
}

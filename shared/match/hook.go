package match

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The errors of a [Hook]. With any other, nobody knows whether the match has
// started.
var (
	// ErrRefused: this team is not started, and will not be.
	ErrRefused = errors.New("refused")
	// ErrNotNow: the hook has not taken this start, and may later.
	ErrNotNow = errors.New("not now")
)

// Start is a team that starts, as the hook is told.
type Start struct {
	// ID is of this start alone, and the same in every repeat.
	ID      string    `json:"startId"`
	GroupID string    `json:"groupId"`
	Mode    string    `json:"mode"`
	Size    int       `json:"size"`
	Captain string    `json:"captain"`
	Members []string  `json:"members"` // in the order in which they joined
	At      time.Time `json:"at"`      // when the team was found full
}

// Hook is the server that starts matches. A start is a POST of it as JSON, with
// the headers
//
//	Idempotency-Key: its ID
//	X-Backchannel-Timestamp: seconds since 1970
//	X-Backchannel-Signature: hex HMAC-SHA256 of the timestamp, a full stop, and the body
//
// and is repeated until the answer is definite. So the hook must know a key again
// and answer as it did before: 2xx where the match is started. What else it
// answers means:
//
//   - 401, 403, 404, 405, 407, 425, 429 and 3xx: not taken; again later
//   - 408, 409 and 5xx, and no answer: perhaps taken; again later
//   - any other: refused for good
type Hook struct {
	URL string
	Key string // what starts are signed with

	Transport http.RoundTripper // nil: http.DefaultTransport
	Now       func() time.Time  // nil: time.Now
}

// hookTime is how long the hook may take to answer. Our decision.
const hookTime = 10 * time.Second

// Start has a match started, or finds that it is. The error's text has neither
// URL nor key in it.
func (h *Hook) Start(ctx context.Context, s Start) error {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: the hook's URL is none", ErrNotNow)
	}
	now := time.Now
	if h.Now != nil {
		now = h.Now
	}
	timestamp := strconv.FormatInt(now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", s.ID)
	r.Header.Set("X-Backchannel-Timestamp", timestamp)
	r.Header.Set("X-Backchannel-Signature", signature(h.Key, timestamp, body))
	transport := h.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	// Not a client's Do, which would follow redirects.
	res, err := transport.RoundTrip(r)
	if err != nil {
		if e, is := errors.AsType[*net.OpError](err); is && e.Op == "dial" {
			return fmt.Errorf("the hook cannot be reached: %w: %w", ErrNotNow, err)
		}
		return fmt.Errorf("the hook did not answer: %w", err)
	}
	const drained = 64 << 10 // bytes of an answer, so that the connection can be used again
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, drained))
	_ = res.Body.Close()
	return verdict(res.StatusCode)
}

func signature(key, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// verdict reads the status of an answer.
func verdict(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusTooEarly, http.StatusTooManyRequests:
		return fmt.Errorf("the hook answered with status %d: %w", status, ErrNotNow)
	case http.StatusRequestTimeout, http.StatusConflict:
		return fmt.Errorf("the hook answered with status %d", status)
	}
	switch status / 100 {
	case 2:
		return nil
	case 3:
		return fmt.Errorf("the hook answered with status %d: %w", status, ErrNotNow)
	case 4:
		return fmt.Errorf("the hook answered with status %d: %w", status, ErrRefused)
	}
	return fmt.Errorf("the hook answered with status %d", status)
}

// Package hook calls servers of the merchant: signed POSTs of JSON that may be
// repeated.
//
// Each has the headers
//
//	Idempotency-Key: names the request; every repeat has the same key and the same body
//	X-Backchannel-Timestamp: Unix seconds
//	X-Backchannel-Signature: hex HMAC-SHA256 of the timestamp, a full stop, and the body
//
// The server must recognise a key and answer as it did before. What it answers means:
//
//   - 2xx: done
//   - 401, 403, 404, 405, 407, 425, 429 and 3xx: not done; the request is repeated later
//   - 408, 409 and 5xx, and no answer: perhaps done; the request is repeated later
//   - any other: refused for good
package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Timeout is how long the server may take to answer. Our decision.
const Timeout = 10 * time.Second

// maxAnswer bounds how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// The errors of a [Hook]. After any other error the outcome of the request is unknown.
var (
	// ErrRefused: the server refused the request for good.
	ErrRefused = errors.New("refused")
	// ErrNotNow: the request was not done; a retry may succeed.
	ErrNotNow = errors.New("not now")
)

// Hook is a server of the merchant. It is safe for concurrent use.
type Hook struct {
	URL string
	Key string // requests are signed with it

	Transport http.RoundTripper // nil: http.DefaultTransport
	Now       func() time.Time  // nil: time.Now
}

// Post sends a body under an Idempotency-Key and returns the status and the start of
// the answer; the status is 0 without one. The texts of errors contain neither URL nor
// key.
func (h *Hook) Post(ctx context.Context, key string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: the hook's URL is invalid", ErrNotNow)
	}
	now := time.Now
	if h.Now != nil {
		now = h.Now
	}
	timestamp := strconv.FormatInt(now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
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
			return 0, nil, fmt.Errorf("the hook cannot be reached: %w: %w", ErrNotNow, err)
		}
		return 0, nil, fmt.Errorf("the hook did not answer: %w", err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if verdict := verdict(res.StatusCode); verdict != nil {
		if after := readRetryAfter(res.Header.Get("Retry-After"), now()); after > 0 {
			verdict = &delayed{verdict, after}
		}
		return res.StatusCode, answer, verdict
	}
	if err != nil {
		return res.StatusCode, nil, fmt.Errorf("the hook's answer could not be read: %w", err)
	}
	return res.StatusCode, answer, nil
}

// delayed is an answer that says when to repeat the request.
type delayed struct {
	error
	after time.Duration
}

func (d *delayed) Unwrap() error { return d.error }

// RetryAfter returns the wait that the header Retry-After asks for, at most an hour; 0
// without the header.
func RetryAfter(err error) time.Duration {
	if d, is := errors.AsType[*delayed](err); is {
		return d.after
	}
	return 0
}

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = time.Hour

// readRetryAfter reads seconds or a date (RFC 9110, 10.2.3).
func readRetryAfter(text string, now time.Time) time.Duration {
	after := time.Duration(0)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, 0), maxRetryAfter)
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

// Package fault gives an error its two audiences: a [Code] for programs and a sentence
// for people. An error without a code is internal: the log has its whole text, the
// caller a general sentence.
//
// Errors that mean the same on every route carry their code from where they
// arise: the sentinels of packages kv and queue are made with [Sentinel], and the
// errors of IM and of the desks convert themselves. A route wraps an error only
// where it can say more to its caller.
//
// After Unavailable and Timeout the outcome is unknown; the caller repeats the
// same request with the same Idempotency-Key.
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Code classifies an error for programs. The string is what callers of our
// routes see in error.code.
type Code string

// The codes, each with the HTTP status it becomes.
const (
	Invalid          Code = "invalid"            // 400
	Unauthenticated  Code = "unauthenticated"    // 401
	Forbidden        Code = "forbidden"          // 403
	NotFound         Code = "not_found"          // 404
	MethodNotAllowed Code = "method_not_allowed" // 405
	Conflict         Code = "conflict"           // 409
	TooLarge         Code = "too_large"          // 413
	UnsupportedMedia Code = "unsupported_media"  // 415
	Throttled        Code = "throttled"          // 429
	Internal         Code = "internal"           // 500
	Upstream         Code = "upstream"           // 502: a service we depend on answered badly
	Unavailable      Code = "unavailable"        // 503: what the request needs (state, queue, IM, a desk) does not answer now
	Timeout          Code = "timeout"            // 504: the request's own time ended
)

// The codes of what a caller may want to tell apart from others of its status.
const (
	Banned              Code = "banned"                // 403: the user is banned from the app
	IllegalTransition   Code = "illegal_transition"    // 409: not from this status to that one
	RoomClosed          Code = "room_closed"           // 409
	PriceChanged        Code = "price_changed"         // 409: ask for the price again
	InsufficientFunds   Code = "insufficient_funds"    // 402
	LedgerUnsafe        Code = "ledger_unsafe"         // 503: the store may lose money
	AttachmentsExpired  Code = "attachments_expired"   // 409: the mail's attachments can no longer be claimed
	AttachmentsRevoked  Code = "attachments_revoked"   // 409: the mail's attachments were taken back
	Unclaimed           Code = "attachments_unclaimed" // 409: claim the mail's attachments first
	GameRefused         Code = "game_refused"          // 409: the game's server refuses it: items are missing, or there is no room for them
	NotConfigured       Code = "not_configured"        // 501: a setting that the request needs is not given
	IdempotencyMismatch Code = "idempotency_mismatch"  // 422: the Idempotency-Key stands for another request
)

var statuses = map[Code]int{
	Invalid:          http.StatusBadRequest,
	Unauthenticated:  http.StatusUnauthorized,
	Forbidden:        http.StatusForbidden,
	NotFound:         http.StatusNotFound,
	MethodNotAllowed: http.StatusMethodNotAllowed,
	Conflict:         http.StatusConflict,
	TooLarge:         http.StatusRequestEntityTooLarge,
	UnsupportedMedia: http.StatusUnsupportedMediaType,
	Throttled:        http.StatusTooManyRequests,
	Internal:         http.StatusInternalServerError,
	Upstream:         http.StatusBadGateway,
	Unavailable:      http.StatusServiceUnavailable,
	Timeout:          http.StatusGatewayTimeout,

	Banned:              http.StatusForbidden,
	IllegalTransition:   http.StatusConflict,
	RoomClosed:          http.StatusConflict,
	PriceChanged:        http.StatusConflict,
	InsufficientFunds:   http.StatusPaymentRequired,
	LedgerUnsafe:        http.StatusServiceUnavailable,
	AttachmentsExpired:  http.StatusConflict,
	AttachmentsRevoked:  http.StatusConflict,
	Unclaimed:           http.StatusConflict,
	GameRefused:         http.StatusConflict,
	NotConfigured:       http.StatusNotImplemented,
	IdempotencyMismatch: http.StatusUnprocessableEntity,
}

// Error is an error whose message may be shown to the caller.
type Error struct {
	Code    Code
	Message string // for people: what is wrong and what to do; no internals
	// RetryAfter, if positive, tells the caller when to try again.
	RetryAfter time.Duration
	cause      error
}

// New makes an error with a public message.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error with a public message around a cause that only the log
// will show.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), cause: cause}
}

// Sentinel makes an error that is compared with errors.Is and that has a public
// message. Its own text, which logs show, is name alone.
func Sentinel(name string, code Code, retryAfter time.Duration, message string) error {
	return &sentinel{name, Error{Code: code, Message: message, RetryAfter: retryAfter}}
}

type sentinel struct {
	name   string
	public Error
}

func (s *sentinel) Error() string { return s.name }

// As lets errors.As find a copy of the public face.
func (s *sentinel) As(target any) bool {
	e, is := target.(**Error)
	if is {
		public := s.public
		public.cause = errors.New(s.name)
		*e = &public
	}
	return is
}

// After sets RetryAfter and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.cause }

// Of returns the public face of any error: the first [Error] in its chain if there is
// one, Timeout for a deadline that passed, Unavailable for a context that was
// cancelled, otherwise Internal with a general sentence.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Wrap(err, Timeout, "this took too long, try again")
	}
	if errors.Is(err, context.Canceled) {
		return Wrap(err, Unavailable, "the request was abandoned, send it again")
	}
	return Wrap(err, Internal, "something went wrong on our side")
}

// CodeOf returns the code of any non-nil error.
func CodeOf(err error) Code { return Of(err).Code }

// Status returns the HTTP status of a code.
func (c Code) Status() int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

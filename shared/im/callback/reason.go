package callback

import "net/http"

// Reason is why a request reached no rule; each is an error of its own, found with
// errors.Is. The log gets the code and the words. The sender of an unauthenticated
// request learns only that it is refused.
type Reason struct {
	// Code is the reason's name in logs and [Stats].
	Code string
	// Status is the HTTP status of the answer.
	Status int
	words  string
}

// Error implements error.
func (r *Reason) Error() string { return "callback: " + r.words }

// public is what the sender may read.
func (r *Reason) public() string {
	if r.Status == http.StatusForbidden {
		return "forbidden"
	}
	return r.words
}

// Reasons before authentication.
var (
	ErrMethod     = &Reason{"method", http.StatusMethodNotAllowed, "callbacks are POST requests"}
	ErrLongQuery  = &Reason{"long_query", http.StatusRequestURITooLong, "the query is over 8 KiB"}
	ErrBadQuery   = &Reason{"bad_query", http.StatusBadRequest, "the query cannot be read, or names a field twice"}
	ErrTooLarge   = &Reason{"too_large", http.StatusRequestEntityTooLarge, "the body is over 1 MiB"}
	ErrUnreadable = &Reason{"unreadable", http.StatusBadRequest, "the body did not arrive whole"}
	ErrBusy       = &Reason{"busy", http.StatusServiceUnavailable, "too many large bodies are under way"}

	// errUnexpected stands for an error that is no Reason, a mistake of ours.
	errUnexpected = &Reason{"unexpected", http.StatusInternalServerError, "the callback could not be handled"}
)

// Reasons of failed authentication.
var (
	ErrPathSecret   = &Reason{"path_secret", http.StatusForbidden, "wrong or missing path secret"}
	ErrOtherApp     = &Reason{"other_app", http.StatusForbidden, "SdkAppid is not this app's"}
	ErrNoSignature  = &Reason{"no_signature", http.StatusForbidden, "Sign or RequestTime is missing; is authentication switched on in the console?"}
	ErrBadTime      = &Reason{"bad_time", http.StatusForbidden, "RequestTime is not a time in seconds"}
	ErrBadSignature = &Reason{"bad_signature", http.StatusForbidden, "Sign does not fit; is the token the console's?"}
	ErrExpired      = &Reason{"expired", http.StatusForbidden, "RequestTime is too long ago; is the clock right?"}
	ErrFuture       = &Reason{"future", http.StatusForbidden, "RequestTime is in the future; is the clock right?"}
)

// ErrNoCommand is passed to a [Watcher] only: the request is answered as the console's
// "verify URL" is.
var ErrNoCommand = &Reason{"no_command", http.StatusOK, "the query names no command"}

// Reasons why an authenticated callback cannot be read.
var (
	ErrNotObject     = &Reason{"not_object", http.StatusBadRequest, "the body is not a JSON object"}
	ErrRepeatedField = &Reason{"repeated_field", http.StatusBadRequest, "a field of the body occurs twice"}
	ErrWrongType     = &Reason{"wrong_type", http.StatusBadRequest, "a field of the body has the wrong type"}
	ErrOtherCommand  = &Reason{"other_command", http.StatusBadRequest, "CallbackCommand differs between query and body"}
	// ErrLoop: a callback that was forwarded here would be forwarded again.
	ErrLoop = &Reason{"loop", http.StatusLoopDetected, "this callback was forwarded already; does a forwarding URL point back?"}
)

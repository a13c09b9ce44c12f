package callback

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"
)

const (
	// DefaultDeadline is how long an answer may take. IM waits 2 s (1047/34354); the
	// rest is for the network.
	DefaultDeadline = 1500 * time.Millisecond
	// MaxBody bounds a body, in bytes. A message has 12 KB at most; a list of
	// members or pushes is far below this.
	MaxBody = 1 << 20
)

// Config makes an [Endpoint].
type Config struct {
	SDKAppID uint32 // required
	// Token is the console's authentication token, PreviousToken the one
	// before it while it is being changed. Without a Token the Endpoint is
	// refused unless AllowUnsigned says that anybody may call it.
	Token, PreviousToken string
	AllowUnsigned        bool
	// PathSecret, if set, must follow the route (the path value "secret").
	PathSecret string

	// Mux has the rules; required. The Endpoint does not change it.
	Mux *Mux
	// Defer enqueues an after-callback whose rule failed, durably, so that
	// [Mux.Redo] retries the rule. If Defer is nil or fails, IM gets a 500 and
	// retries the callback if the console's retry switch is on. A fifth of the
	// deadline is reserved for Defer.
	Defer func(ctx context.Context, d Deferred) error
	// Observe, if set, sees every callback that was authenticated and
	// understood, texts included. It must not block.
	Observe func(Exchange)
	// Watch, if set, records arriving callbacks, for an operator who checks the
	// configuration.
	Watch Watcher

	Deadline time.Duration    // 0: DefaultDeadline
	Now      func() time.Time // nil: time.Now; it also decides whether a signature has expired
	Log      *slog.Logger     // nil: slog.Default
}

// Watcher records callbacks. Its methods run before the answer is sent, each within a
// context of a fifth of a second at most, and must change nothing that rules depend
// on.
type Watcher interface {
	// Arrived: a callback of a known command was authenticated and understood.
	Arrived(ctx context.Context, q Query)
	// Refused: a request that named a known command failed authentication, or named
	// none ([ErrNoCommand]). peek reads its body, nil where that is over 4 KiB or of
	// unknown length. Anybody may have written query and body.
	Refused(ctx context.Context, q Query, reason *Reason, peek func() []byte)
	// Probe reports whether a one-to-one message is the watcher's own test message. No
	// rule gets such a message.
	Probe(ctx context.Context, e *C2CAfterSendMsg) bool
}

// watchTime bounds what each call of a Watcher may add to an answer's time.
const watchTime = 200 * time.Millisecond

// Exchange is one callback and its answer.
type Exchange struct {
	At      time.Time
	Command string
	Latency time.Duration
	Status  int
	Verdict string // allow, reject, drop, rewrite, partly; ok for after-callbacks; error
	Rule    string // the before-rule that refused or rewrote, "" if none did
	Why     any    // what that rule explained with [Explain]; nil for nothing
	Body    []byte
	Answer  []byte
}

// Endpoint answers IM's callbacks. It is an http.Handler for the routes
// POST /im and POST /im/{secret}.
//
// A request passes, in this order: method and length of the query; path secret and
// signature, which need the query alone; the body, bounded and read as it arrives;
// decoding; the rules. [Reason] lists what stops a request on the way. The token
// covers neither the body nor the rest of the query, so anybody who has seen a URL can
// send other contents within the signature's window: before-rules change nothing, and
// after-rules deduplicate events by their own identity.
//
// Files: authenticate.go says who may call, transport.go reads requests and
// writes answers, dispatch.go hands events to rules.
//
// The log has one line for each refused request, each failed rule and each field
// of a before-callback that could not be read, and holds no query, path, body or
// secret.
type Endpoint struct {
	c      Config
	tokens []string
	secret [sha256.Size]byte
	tally  tally
	large  chan struct{} // a place for each large body under way
}

// NewEndpoint checks a configuration.
func NewEndpoint(c Config) (*Endpoint, error) {
	switch {
	case c.SDKAppID == 0 || c.Mux == nil:
		return nil, errors.New("callback: SDKAppID and Mux are required")
	case c.Token == "" && c.PreviousToken != "":
		return nil, errors.New("callback: a previous token without a token")
	case c.Token == "" && !c.AllowUnsigned:
		return nil, errors.New("callback: without a token anybody could call; set the console's token, or allow unsigned callbacks explicitly")
	case c.Deadline < 0:
		return nil, errors.New("callback: the deadline is negative")
	}
	if c.Deadline == 0 {
		c.Deadline = DefaultDeadline
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	ep := &Endpoint{c: c, secret: sha256.Sum256([]byte(c.PathSecret)), large: make(chan struct{}, maxLarge)}
	for _, t := range []string{c.Token, c.PreviousToken} {
		if t != "" {
			ep.tokens = append(ep.tokens, t)
		}
	}
	return ep, nil
}

// Stats returns the Endpoint's counts so far.
func (ep *Endpoint) Stats() Stats { return ep.tally.read() }

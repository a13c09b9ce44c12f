package callback

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

const (
	// DefaultDeadline is how long an answer may take. IM waits 2 s (1047/34354);
	// the rest is for the way there and back.
	DefaultDeadline = 1500 * time.Millisecond
	// MaxBody bounds a body, in bytes. A message has 12 KB at most; a list of
	// members or pushes is far below this.
	MaxBody  = 1 << 20
	maxQuery = 8 << 10
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

	// Mux has the rules; required. A Mux belongs to one Endpoint.
	Mux *Mux
	// Defer keeps an after-callback whose rule failed for later, durably, for
	// [Mux.Redo]. If it is nil or fails, IM gets a 500 and may repeat the
	// callback, if its console says so. A fifth of the deadline is kept for it.
	Defer func(ctx context.Context, d Deferred) error
	// Observe, if set, sees every callback that was authenticated and
	// understood, texts included. It must not block.
	Observe func(Exchange)

	Deadline time.Duration    // 0: DefaultDeadline
	Now      func() time.Time // nil: time.Now. Signatures are judged by it
	Log      *slog.Logger     // nil: slog.Default
}

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
// A request is bounded, then authenticated, then decoded, and only then reaches
// rules; [Reason] lists what stops it on the way. The token covers neither the
// body nor the rest of the query, so anybody who has seen a URL could send
// other contents for a while: before-rules change nothing, and after-rules know
// a repeated event by its own identity.
//
// Its log has one line for each refused request and each failed rule, and holds
// no query, path, body or secret.
type Endpoint struct {
	c      Config
	tokens []string
	secret [sha256.Size]byte
	tally  tally
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
	ep := &Endpoint{c: c, secret: sha256.Sum256([]byte(c.PathSecret))}
	for _, t := range []string{c.Token, c.PreviousToken} {
		if t != "" {
			ep.tokens = append(ep.tokens, t)
		}
	}
	return ep, nil
}

// Stats returns what the Endpoint has seen so far.
func (ep *Endpoint) Stats() Stats { return ep.tally.read() }

// ServeHTTP implements http.Handler.
func (ep *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := ep.c.Now()
	ctx, cancel := context.WithTimeout(r.Context(), ep.c.Deadline)
	defer cancel()
	body, err := readBody(w, r)
	if err != nil {
		ep.refuse(ctx, w, "", err)
		return
	}
	q, err := ep.authenticate(r)
	switch {
	case err != nil:
		ep.refuse(ctx, w, q.Command, err)
		return
	case q.Command == "":
		write(w, http.StatusOK, okAnswer) // the console's "verify URL"
		return
	}
	e, err := open(q, body)
	if err != nil {
		ep.refuse(ctx, w, q.Command, err)
		return
	}
	hop := phase(r.Header.Get(ForwardedHeader))
	if hop != "" && ep.c.Mux.forwards[q.Command] {
		ep.refuse(ctx, w, q.Command, ErrLoop)
		return
	}
	why := func() any { return nil }
	if ep.c.Observe != nil {
		ctx, why = explained(ctx)
	}
	x := ep.dispatch(ctx, e, hop)
	write(w, x.Status, x.Answer)
	if ep.c.Observe != nil {
		x.Why = why()
		x.At, x.Command, x.Latency, x.Body = start, q.Command, ep.c.Now().Sub(start), body
		ep.c.Observe(x)
	}
}

// readBody bounds the request before anything else looks at it.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	switch {
	case r.Method != http.MethodPost:
		return nil, ErrMethod
	case len(r.URL.RawQuery) > maxQuery:
		return nil, ErrLongQuery
	case r.ContentLength > MaxBody:
		return nil, ErrTooLarge
	}
	var b bytes.Buffer
	b.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, ErrTooLarge
	}
	if err != nil {
		return nil, ErrUnreadable
	}
	return b.Bytes(), nil
}

// authenticate makes sure that the request is IM's and for this app. A query
// without a command needs no signature: it reaches nothing.
func (ep *Endpoint) authenticate(r *http.Request) (Query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Query{}, ErrBadQuery
	}
	for _, name := range []string{"SdkAppid", "CallbackCommand", "Sign", "RequestTime"} {
		if len(values[name]) > 1 {
			return Query{}, ErrBadQuery
		}
	}
	q := queryOf(values, r.URL.RawQuery)
	// Hashes have one length, so the time says nothing of the secret's.
	given := sha256.Sum256([]byte(r.PathValue("secret")))
	if subtle.ConstantTimeCompare(given[:], ep.secret[:]) != 1 {
		return q, ErrPathSecret
	}
	if q.Command == "" {
		return q, nil
	}
	if q.SDKAppID != ep.c.SDKAppID {
		return q, ErrOtherApp
	}
	if len(ep.tokens) == 0 {
		return q, nil
	}
	window := afterWindow
	if lookUp(q.Command).kind == before {
		window = beforeWindow
	}
	return q, verify(ep.tokens, values.Get("Sign"), values.Get("RequestTime"), ep.c.Now(), window)
}

// open decodes an authenticated callback and holds its two names together.
func open(q Query, body []byte) (Event, error) {
	e, err := Decode(q.Command, body)
	if err != nil {
		return nil, err
	}
	b := e.base()
	if b.CallbackCommand != q.Command && (b.CallbackCommand != "" || !lookUp(q.Command).nameless) {
		return nil, ErrOtherCommand
	}
	b.Query = q
	return e, nil
}

// dispatch runs the rules and makes the answer.
func (ep *Endpoint) dispatch(ctx context.Context, e Event, hop phase) Exchange {
	t, known := table[e.Command()]
	switch {
	case !known:
		ep.tally.add(&ep.tally.s.Unknown)
		ep.c.Log.LogAttrs(ctx, slog.LevelInfo, "callback unknown", slog.String("command", printable(e.Command())))
		return Exchange{Status: http.StatusOK, Verdict: "ok", Answer: okAnswer}
	case t.kind == before:
		return ep.decide(ctx, e, hop)
	default:
		return ep.acknowledge(ctx, e)
	}
}

func (ep *Endpoint) decide(ctx context.Context, e Event, hop phase) Exchange {
	report := func(rule string, err error) { ep.ruleFailed(ctx, e, rule, err) }
	verdict := new(outcome)
	if hop != phaseAllowed {
		verdict, e = ep.c.Mux.ask(ctx, e, report)
	}
	x := Exchange{Status: http.StatusOK, Verdict: verdict.name(), Rule: verdict.rule, Answer: verdict.encode(e)}
	if verdict.allows() && hop != phaseBefore {
		ep.c.Mux.tellAllowed(ctx, e, report)
	}
	return x
}

// acknowledge runs after-rules. IM ignores what they answer and does not repeat
// the callback unless its console says so: what failed is kept for later here.
func (ep *Endpoint) acknowledge(ctx context.Context, e Event) Exchange {
	// IM hanging up does not undo what happened; only the time bounds it.
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	rules, cancelRules := context.WithDeadline(ctx, deadline.Add(-ep.c.Deadline/5))
	defer cancelRules()

	lost := false
	ep.c.Mux.tell(rules, e, func(rule string, err error) {
		ep.ruleFailed(ctx, e, rule, err)
		if err := ep.keep(ctx, e, rule); err != nil {
			lost = true
			ep.tally.add(&ep.tally.s.Lost)
			ep.c.Log.LogAttrs(ctx, slog.LevelError, "callback not kept for later", slog.String("command", e.Command()),
				slog.String("rule", rule), slog.String("error", err.Error()))
			return
		}
		ep.tally.add(&ep.tally.s.Deferred)
	})
	if lost {
		return Exchange{Status: http.StatusInternalServerError, Verdict: "error", Answer: failure("try again")}
	}
	return Exchange{Status: http.StatusOK, Verdict: "ok", Answer: okAnswer}
}

var errNoDefer = errors.New("callback: there is nowhere to keep it")

// keep hands a callback that a rule failed on to the queue.
func (ep *Endpoint) keep(ctx context.Context, e Event, rule string) error {
	if ep.c.Defer == nil {
		return errNoDefer
	}
	b := e.base()
	d := Deferred{Rule: rule, Command: e.Command(), Query: b.Query.raw, Body: b.raw}
	return guard(ctx, func(ctx context.Context) error { return ep.c.Defer(ctx, d) })
}

func (ep *Endpoint) ruleFailed(ctx context.Context, e Event, rule string, err error) {
	ep.tally.failed(rule, err)
	ep.c.Log.LogAttrs(ctx, slog.LevelError, "callback rule failed", slog.String("command", e.Command()),
		slog.String("rule", rule), slog.String("error", err.Error()))
}

// refuse answers a request that reaches no rule, and says in the log why.
func (ep *Endpoint) refuse(ctx context.Context, w http.ResponseWriter, command string, err error) {
	reason, _ := errors.AsType[*Reason](err)
	ep.tally.refused(reason.Code)
	if _, known := table[command]; !known {
		command = "" // anybody could have written it
	}
	ep.c.Log.LogAttrs(ctx, slog.LevelWarn, "callback refused", slog.String("reason", reason.Code),
		slog.String("detail", err.Error()), slog.String("command", command))
	if reason == ErrMethod {
		w.Header().Set("Allow", http.MethodPost)
	}
	write(w, reason.Status, failure(reason.public()))
}

func failure(text string) []byte {
	b, err := marshal(answer{ActionStatus: "FAIL", ErrorInfo: text, ErrorCode: codeReject})
	if err != nil {
		panic("callback: " + err.Error()) // strings always marshal
	}
	return b
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	_, _ = w.Write(body) // IM hung up: nobody is left to tell
}

var jsonType = []string{"application/json"}

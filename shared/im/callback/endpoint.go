package callback

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultDeadline is how long an answer may take. IM waits 2 s.
	DefaultDeadline = 1500 * time.Millisecond
	// DefaultMaxBody bounds a body, in bytes. A message is 12 KB at most, a
	// group of members or pushes in one callback far below this.
	DefaultMaxBody = 1 << 20
	// deferTime is kept of the deadline for handing failed rules to the queue.
	deferTime = 300 * time.Millisecond
	maxQuery  = 8 << 10
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

	Mux *Mux // required
	// Defer keeps an after-callback whose rule failed for later, durably. If
	// it is nil or fails, IM gets a 500 and may repeat the callback, if its
	// console says so.
	Defer func(ctx context.Context, d Deferred) error
	// Observe, if set, sees every exchange that was authenticated. It must not
	// block.
	Observe func(Exchange)

	Deadline time.Duration    // 0: DefaultDeadline
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: slog.Default
}

// Exchange is one callback and its answer.
type Exchange struct {
	At      time.Time
	Command string
	Latency time.Duration
	Status  int
	Verdict string // allow, reject, drop, rewrite, partly; ok for after-callbacks; error
	Body    []byte
	Answer  []byte
}

// Endpoint answers IM's callbacks. It is an http.Handler for the routes
// POST /im and POST /im/{secret}.
//
// A request is bounded, then authenticated, then named, then decoded, and only
// then reaches rules. Whatever is not IM gets a 403 that does not say why; the
// log does. The token covers neither the body nor the query, so anybody who has
// seen a URL could send other contents for a while: before-rules change
// nothing, and after-rules know a repeated event by its own identity.
type Endpoint struct {
	c      Config
	tokens []string
	secret [sha256.Size]byte
	Stats  Stats
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
	e := &Endpoint{c: c, secret: sha256.Sum256([]byte(c.PathSecret))}
	for _, t := range []string{c.Token, c.PreviousToken} {
		if t != "" {
			e.tokens = append(e.tokens, t)
		}
	}
	return e, nil
}

// ServeHTTP implements http.Handler.
func (ep *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := ep.c.Now()
	ctx, cancel := context.WithTimeout(r.Context(), ep.c.Deadline)
	defer cancel()
	body, err := readBody(r)
	if err != nil {
		ep.refuse(w, "", err)
		return
	}
	q, err := ep.authenticate(r)
	if err != nil {
		ep.refuse(w, q.Command, err)
		return
	}
	if q.Command == "" {
		write(w, http.StatusOK, okAnswer) // the console's "verify URL"
		return
	}
	e, err := open(q, body)
	if err != nil {
		ep.refuse(w, q.Command, err)
		return
	}
	x := ep.dispatch(ctx, e, r)
	write(w, x.Status, x.Answer)
	if ep.c.Observe != nil {
		x.At, x.Command, x.Latency, x.Body = start, e.Command(), ep.c.Now().Sub(start), body
		ep.c.Observe(x)
	}
}

// refusals are errors with the status and the words the sender gets. Those of
// authentication are all alike.
type refusal struct {
	status int
	text   string
	cause  error
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return r.cause.Error()
	}
	return "callback: " + r.text
}
func (r *refusal) Unwrap() error { return r.cause }

// readBody bounds the request before anything else looks at it.
func readBody(r *http.Request) ([]byte, error) {
	switch {
	case r.Method != http.MethodPost:
		return nil, &refusal{status: http.StatusMethodNotAllowed, text: "callbacks are POST requests"}
	case len(r.URL.RawQuery) > maxQuery:
		return nil, &refusal{status: http.StatusRequestURITooLong, text: "the query is too long"}
	}
	capacity := int64(512)
	if r.ContentLength > capacity && r.ContentLength <= DefaultMaxBody {
		capacity = r.ContentLength + 1
	}
	body := make([]byte, 0, capacity)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > DefaultMaxBody:
			return nil, &refusal{status: http.StatusRequestEntityTooLarge, text: "the body is over 1 MiB"}
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, &refusal{status: http.StatusBadRequest, text: "the body could not be read", cause: err}
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

// authenticate makes sure that the request is IM's and for this app.
func (ep *Endpoint) authenticate(r *http.Request) (Query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Query{}, &refusal{status: http.StatusBadRequest, text: "the query cannot be read"}
	}
	q := Query{Command: values.Get("CallbackCommand"), ClientIP: values.Get("ClientIP"), OptPlatform: values.Get("OptPlatform")}
	given := sha256.Sum256([]byte(r.PathValue("secret")))
	if subtle.ConstantTimeCompare(given[:], ep.secret[:]) != 1 {
		return q, distrust(ErrPathSecret)
	}
	if q.Command == "" {
		return q, nil
	}
	id, err := strconv.ParseUint(values.Get("SdkAppid"), 10, 32)
	if err != nil || uint32(id) != ep.c.SDKAppID {
		return q, distrust(ErrOtherApp)
	}
	q.SDKAppID = uint32(id)
	for _, name := range []string{"SdkAppid", "CallbackCommand", "Sign", "RequestTime"} {
		if len(values[name]) > 1 {
			return q, &refusal{status: http.StatusBadRequest, text: name + " is given twice"}
		}
	}
	if len(ep.tokens) == 0 {
		return q, nil
	}
	window := afterWindow
	if table[q.Command].kind == before {
		window = beforeWindow
	}
	if err := verify(ep.tokens, values.Get("Sign"), values.Get("RequestTime"), ep.c.Now(), window); err != nil {
		return q, distrust(err)
	}
	return q, nil
}

func distrust(reason error) error {
	return &refusal{status: http.StatusForbidden, text: "forbidden", cause: reason}
}

// open names and decodes an authenticated callback.
func open(q Query, body []byte) (Event, error) {
	fs, err := splitObject(body)
	switch {
	case err != nil:
		return nil, &refusal{status: http.StatusBadRequest, text: strings.TrimPrefix(err.Error(), "callback: ")}
	case fs.hasDuplicate():
		return nil, &refusal{status: http.StatusBadRequest, text: "a field of the body occurs twice", cause: ErrDuplicateField}
	}
	named := fs.find("CallbackCommand")
	switch {
	case named == nil && table[q.Command].nameless:
	case named == nil || !isText(named.value, q.Command):
		return nil, &refusal{status: http.StatusBadRequest, text: "CallbackCommand differs between query and body"}
	}
	e, err := Decode(q.Command, body)
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, text: "a field of the body has the wrong type", cause: err}
	}
	e.base().Query = q
	return e, nil
}

// isText reports whether a JSON value is this text.
func isText(value []byte, text string) bool {
	var s string
	return json.Unmarshal(value, &s) == nil && s == text
}

// dispatch runs the rules and makes the answer.
func (ep *Endpoint) dispatch(ctx context.Context, e Event, r *http.Request) Exchange {
	command := e.Command()
	switch t, known := table[command]; {
	case !known:
		ep.Stats.unknown.Add(1)
		ep.c.Log.Info("callback unknown", "command", shown(command))
		return Exchange{Status: http.StatusOK, Verdict: "ok", Answer: okAnswer}
	case t.kind == before:
		return ep.decide(ctx, e, r)
	default:
		return ep.acknowledge(ctx, e, r)
	}
}

func (ep *Endpoint) decide(ctx context.Context, e Event, r *http.Request) Exchange {
	ctx = withRequest(ctx, r)
	o := ep.c.Mux.ask(ctx, e, func(rule string, err error) { ep.ruleFailed(e, rule, err, &ep.Stats.beforeFailed) })
	x := Exchange{Status: http.StatusOK, Verdict: o.name(), Answer: o.encode(e)}
	if o.allows() {
		ep.c.Mux.tellAllowed(ctx, e, func(rule string, err error) { ep.ruleFailed(e, rule, err, &ep.Stats.allowedLost) })
	}
	return x
}

// name is the verdict in a word.
func (o *outcome) name() string {
	switch {
	case o.code == codeDrop:
		return "drop"
	case o.code != 0:
		return "reject"
	case o.refused != nil || o.denied != nil:
		return "partly"
	case o.body != nil || o.custom != nil:
		return "rewrite"
	}
	return "allow"
}

// acknowledge runs after-rules. IM ignores what they answer and does not repeat
// the callback unless its console says so: what failed is kept for later here.
func (ep *Endpoint) acknowledge(ctx context.Context, e Event, r *http.Request) Exchange {
	ok := Exchange{Status: http.StatusOK, Verdict: "ok", Answer: okAnswer}
	lost := false
	// IM hanging up does not undo what happened.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ep.c.Deadline)
	defer cancel()
	rules, cancelRules := context.WithTimeout(withRequest(ctx, r), ep.c.Deadline-deferTime)
	defer cancelRules()
	ep.c.Mux.tell(rules, e, func(rule string, err error) {
		ep.ruleFailed(e, rule, err, &ep.Stats.afterFailed)
		d := Deferred{Rule: rule, Query: e.base().Query, RawQuery: r.URL.RawQuery, Body: e.base().raw}
		if ep.c.Defer == nil {
			lost = true
			return
		}
		if err := guard(ctx, func(ctx context.Context) error { return ep.c.Defer(ctx, d) }); err != nil {
			lost = true
			ep.c.Log.Error("callback not kept for later", "command", e.Command(), "rule", rule, "error", err.Error())
			return
		}
		ep.Stats.deferred.Add(1)
	})
	if lost {
		ep.Stats.lost.Add(1)
		return Exchange{Status: http.StatusInternalServerError, Verdict: "error", Answer: failAnswer("try again")}
	}
	return ok
}

func (ep *Endpoint) ruleFailed(e Event, rule string, err error, count *counter) {
	count.Add(1)
	if errors.Is(err, context.DeadlineExceeded) {
		ep.Stats.timeouts.Add(1)
	}
	ep.c.Log.Error("callback rule failed", "command", shown(e.Command()), "rule", rule, "error", err.Error())
}

// refuse answers a request that reaches no rule, and says in the log why: the
// reason, never the query, the body or the path.
func (ep *Endpoint) refuse(w http.ResponseWriter, command string, err error) {
	status, text := http.StatusBadRequest, "bad request"
	if r, is := errors.AsType[*refusal](err); is {
		status, text = r.status, r.text
	}
	ep.Stats.refused.Add(1)
	ep.c.Log.Warn("callback refused", "command", shown(command), "status", status, "reason", err.Error())
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	write(w, status, failAnswer(text))
}

func failAnswer(text string) []byte {
	return fmt.Appendf(nil, `{"ActionStatus":"FAIL","ErrorInfo":%q,"ErrorCode":1}`, text)
}

func write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

var jsonType = []string{"application/json"}

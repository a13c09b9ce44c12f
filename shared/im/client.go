package im

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Config makes a [Client].
type Config struct {
	// Domain is the REST host of the app's data centre, such as
	// console.tim.qq.com, or a full http:// or https:// URL, as of the emulator.
	// There is no default, so that nothing reaches a real host by accident.
	Domain   string
	SDKAppID uint32
	Key      string // the app's SecretKey
	Admin    string // an admin account of the app
	// Share is the part of the app's rate limits that this client may use, over 0
	// and at most 1; 0 means 1. Four processes get a quarter each. A share below one
	// call per interval becomes one call per longer interval: several processes may
	// then exceed a limit together, and IM's refusal makes them pause.
	Share float64
	// Timeout bounds one try; 0 means 6 s. IM gives itself 3 s.
	Timeout time.Duration

	// Transport carries the calls; nil means one that keeps connections alive.
	Transport http.RoundTripper
	// Now and Sleep are the client's time, for tests. A context's deadline is
	// always by the wall clock.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// Our decisions.
const (
	sigLife      = 24 * time.Hour  // IM advises at least a day (text of 70001)
	sigEarly     = time.Hour       // renewed so long before its end
	maxAnswer    = 4 << 20         // bytes of an answer that are read; groups answer with at most 1 MB
	maxTries     = 4               // of one call
	patience     = 2 * time.Minute // the longest wait for a turn, whatever the deadline
	dedupeSpan   = 90 * time.Second
	shortPause   = 100 * time.Millisecond // before the second try after trouble
	longPause    = time.Second            // and after throttling
	badSigsPause = time.Minute            // after CodeTooManyBadSigs, as IM asks
)

// Client calls IM's REST API as an admin of one app. It is safe for concurrent
// use. Make one and keep it: it holds connections and counts the calls against
// the app's allowances.
//
// A call waits for IM's rate limits within the context's deadline, and fails at
// once with a [*LimitError] if the deadline is too near. It is retried with
// backoff, up to 4 tries, after a transient failure of IM or of the network, where
// a retry cannot act twice: because the call is idempotent (an import), or because
// it carries the numbers by which IM deduplicates it (a message), and then only
// within 90 s of the first try. A call that IM throttled is retried too. See
// [Error] for what can go wrong.
type Client struct {
	base    url.URL
	query   string // what every query begins with, up to the UserSig
	admin   string
	timeout time.Duration
	http    http.RoundTripper
	signer  *usersig.Signer
	now     func() time.Time
	limits  *limits

	mu       sync.Mutex
	sig      string
	sigMade  time.Time
	sigUntil time.Time
}

// NewClient makes a client. It does not call IM.
func NewClient(conf Config) (*Client, error) {
	base, err := baseURL(conf.Domain)
	if err != nil {
		return nil, err
	}
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Sleep == nil {
		conf.Sleep = retry.Sleep
	}
	if conf.Timeout == 0 {
		conf.Timeout = 6 * time.Second
	}
	if conf.Share == 0 {
		conf.Share = 1
	}
	if conf.Transport == nil {
		conf.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     55 * time.Second,
			TLSHandshakeTimeout: 5 * time.Second,
		}
	}
	if !(conf.Share > 0 && conf.Share <= 1) {
		return nil, errors.New("im: Share must be over 0 and at most 1")
	}
	if err := usersig.CheckUserID(conf.Admin); err != nil {
		return nil, fmt.Errorf("im: Admin: %w", err)
	}
	signer, err := usersig.NewSignerAt(conf.SDKAppID, conf.Key, conf.Now)
	if err != nil {
		return nil, fmt.Errorf("im: %w", err)
	}
	return &Client{
		base:    base,
		query:   fmt.Sprintf("sdkappid=%d&identifier=%s&contenttype=json&usersig=", conf.SDKAppID, url.QueryEscape(conf.Admin)),
		admin:   conf.Admin,
		timeout: conf.Timeout,
		http:    conf.Transport,
		signer:  signer,
		now:     conf.Now,
		limits:  newLimits(conf.Share, conf.Now, conf.Sleep),
	}, nil
}

// baseURL reads the setting of the domain, without quoting it.
func baseURL(domain string) (url.URL, error) {
	if !strings.Contains(domain, "://") {
		domain = "https://" + domain
	}
	u, err := url.Parse(domain)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return url.URL{}, errors.New("im: Domain must be a host name, or a URL with http or https and no more than a path")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return *u, nil
}

// repeat says whether a call may be retried when its answer was lost.
type repeat int

const (
	never    repeat = iota // a retry could act twice
	harmless               // idempotent
	numbered               // IM deduplicates it by its numbers, for a while
)

// method is one command of the REST API.
type method struct {
	path   string // service/command
	repeat repeat
	rate   allowance // zero: perAPI
}

// envelope is what all answers have in common (1047/34620).
type envelope struct {
	ActionStatus string
	ErrorCode    Code
	ErrorInfo    string
	ErrorDisplay string
}

func (e *envelope) status() *envelope { return e }

// answer is a pointer to a struct that embeds envelope.
type answer interface{ status() *envelope }

// encode writes a request. Unlike json.Marshal it leaves < > & as they are, since
// IM's limits count them once.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// call performs m and decodes the answer into out, or only looks at its status if
// out is nil. It waits for the turns given, narrowest first, and for one of the
// method itself. IM reports items that failed with ErrorCode 0; they are the
// caller's to look at.
func (c *Client) call(ctx context.Context, m method, in any, out answer, turns ...turn) error {
	body, err := encode(in)
	if err != nil {
		return &Error{Command: m.path, Class: ClassRequest, cause: errors.New("the request does not encode")}
	}
	if m.rate == (allowance{}) {
		m.rate = perAPI
	}
	if out == nil {
		out = new(envelope)
	}
	turns = append(turns, turn{of: limited{kind: m.path}, a: m.rate, n: 1})

	var (
		failed  *Error
		began   time.Time
		doubt   bool
		renewed bool
	)
	for try := 1; ; try++ {
		if err := c.limits.wait(ctx, turns, c.patience(ctx, m, began)); err != nil {
			if failed != nil {
				return failed // says more than that there is no time for another try
			}
			return unsent(m.path, err)
		}
		if try == 1 {
			began = c.now()
		}
		sig, err := c.adminSig()
		if err != nil {
			return &Error{Command: m.path, Class: ClassSignature, cause: err}
		}
		if failed = c.try(ctx, m, body, sig, out); failed == nil {
			return nil
		}
		doubt = doubt || failed.MayHaveWorked
		failed.MayHaveWorked = doubt

		// A UserSig is refused because it expired, because a kick voided it, and also
		// because the client's clock was ahead when it was signed: the code alone does
		// not tell, so that every such refusal renews it, once a call.
		if failed.Class == ClassSignature {
			if renewed {
				return failed
			}
			renewed = true
			c.dropSig(sig)
			continue
		}
		pause, again := c.afterFailure(m, failed, try, turns)
		if !again || pause > c.patience(ctx, m, began) || c.limits.sleep(ctx, pause) != nil {
			return failed
		}
	}
}

// unsent is the error of a call that was not sent.
func unsent(command string, err error) *Error {
	class := ClassTransient // the context ended
	if _, ok := errors.AsType[*LimitError](err); ok {
		class = ClassThrottled
	}
	return &Error{Command: command, Class: class, cause: err}
}

// patience is how long a call may wait now. One that IM deduplicates by its numbers
// is not retried after IM has forgotten them.
func (c *Client) patience(ctx context.Context, m method, began time.Time) time.Duration {
	most := patience
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline))
	}
	if m.repeat == numbered && !began.IsZero() {
		most = min(most, dedupeSpan-c.now().Sub(began))
	}
	return most
}

// afterFailure decides whether a call is retried and after what pause. When IM
// throttles a call, the pause holds for all calls of the API, or only for those to
// one group if the group's rate was exceeded.
func (c *Client) afterFailure(m method, failed *Error, try int, turns []turn) (pause time.Duration, again bool) {
	switch {
	case try == maxTries:
		return 0, false
	case failed.Code == CodeTooManyBadSigs:
		c.limits.hold(turns[len(turns)-1], badSigsPause)
		return 0, false // another try would prolong it
	case failed.Class == ClassThrottled && failed.Code.daily():
		return 0, false
	case failed.Class == ClassThrottled:
		pause = backoff(longPause, try)
		busy := turns[len(turns)-1]
		if failed.Code == CodeGroupOverRate || failed.Code == CodeAttributesTooFast {
			busy = turns[0]
		}
		c.limits.hold(busy, pause)
		return pause, true
	case failed.Class == ClassTransient:
		return backoff(shortPause, try), m.repeat != never || !failed.MayHaveWorked
	}
	return 0, false
}

// backoff is the pause before the next try: twice as long each time, half of it
// by chance.
func backoff(first time.Duration, try int) time.Duration {
	d := first << (try - 1)
	return d/2 + rand.N(d/2)
}

// try sends a call once. RoundTrip instead of http.Client: no redirect is ever
// followed, which would carry the UserSig elsewhere, and no error quotes the URL.
func (c *Client) try(ctx context.Context, m method, body []byte, sig string, out answer) *Error {
	tried, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(tried, http.MethodPost, "", bytes.NewReader(body))
	if err != nil {
		return &Error{Command: m.path, Class: ClassRequest, cause: err}
	}
	u := c.base
	u.Path += "/v4/" + m.path
	u.RawQuery = c.query + url.QueryEscape(sig) + "&random=" + strconv.FormatUint(uint64(rand.Uint32()), 10)
	req.URL, req.Host = &u, u.Host
	req.Header.Set("Content-Type", "application/json")

	resp, err := c.http.RoundTrip(req)
	if err != nil {
		return &Error{Command: m.path, Class: ClassTransient, cause: err, MayHaveWorked: !neverLeft(err)}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch status := StatusError(resp.StatusCode); {
	case status != http.StatusOK:
		class := status.class()
		return &Error{Command: m.path, Class: class, cause: status, MayHaveWorked: class == ClassTransient}
	case err != nil:
		return &Error{Command: m.path, Class: ClassTransient, cause: fmt.Errorf("reading the answer: %w", err), MayHaveWorked: true}
	case len(raw) > maxAnswer:
		return &Error{Command: m.path, Class: ClassRequest, cause: fmt.Errorf("the answer has over %d bytes", maxAnswer), MayHaveWorked: true}
	}
	return read(m, raw, sig, out)
}

// neverLeft reports whether a call failed before anything was sent: there was no
// connection.
func neverLeft(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// read decodes an answer with HTTP status 200.
func read(m method, raw []byte, sig string, out answer) *Error {
	status := out.status()
	*status = envelope{}
	misfit := json.Unmarshal(raw, out)
	switch {
	case status.ErrorCode != 0:
		info := status.ErrorInfo
		if info == "" {
			info = status.ErrorDisplay
		}
		class := status.ErrorCode.Class()
		return &Error{
			Command: m.path, Class: class, Code: status.ErrorCode, Info: cleaned(info, sig), MayHaveWorked: class == ClassTransient,
		}
	case misfit != nil, !bytes.Contains(raw, []byte(`"ErrorCode"`)):
		// Something on the way answered, or IM has changed its answers.
		return &Error{Command: m.path, Class: ClassConfiguration, cause: errors.New("the answer is not one of IM's"), MayHaveWorked: true}
	case status.ActionStatus == "FAIL":
		return &Error{Command: m.path, Class: ClassUnknown, Info: cleaned(status.ErrorInfo, sig), cause: errors.New("IM failed without a code")}
	}
	return nil
}

// adminSig returns the admin's UserSig, made early enough to last. One that was
// made after now is not used: the clock was ahead then, and IM refuses it.
func (c *Client) adminSig() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.sig == "" || !now.Before(c.sigUntil) || now.Before(c.sigMade) {
		sig, err := c.signer.Sign(c.admin, sigLife)
		if err != nil {
			return "", err
		}
		c.sig, c.sigMade, c.sigUntil = sig, now, now.Add(sigLife-sigEarly)
	}
	return c.sig, nil
}

// dropSig forgets a UserSig that IM refused, unless somebody has renewed it.
func (c *Client) dropSig(refused string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sig == refused {
		c.sig = ""
	}
}

// Numbers derives the dedupe numbers, by which IM deduplicates a message, from the id of the
// event that caused it: the same event gives the same numbers in every process. Use
// them as MsgSeq and MsgRandom, or random alone as Random.
func Numbers(eventID string) (seq, random uint32) {
	sum := sha256.Sum256([]byte(eventID))
	seq, random = binary.BigEndian.Uint32(sum[:]), binary.BigEndian.Uint32(sum[4:])
	return max(seq, 1), max(random, 1) // 0 could pass for none
}

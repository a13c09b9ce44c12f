package desk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	callTimeout = 10 * time.Second // of one call; a desk may take seconds to make a ticket
	maxAnswer   = 1 << 20          // bytes of an answer that are read
)

// Client is the HTTP client of adapters: it bounds time and answers, follows no
// redirect, which would carry the token to another host, and gets a new token when the
// desk no longer accepts the old one.
type Client struct {
	Name string // of the desk, for errors
	// Login gets a token. nil: calls carry Authorization as it is.
	Login func(ctx context.Context) (Token, error)
	// Authorization is the header's value, without Login.
	Authorization string

	Transport http.RoundTripper // nil: http.DefaultTransport
	Now       func() time.Time  // nil: time.Now

	mu    sync.Mutex // held while logging in: the others wait for that token
	token Token
}

// Token authenticates our calls.
type Token struct {
	Value string
	Base  string    // URL that the token is valid for; "" is the adapter's own
	Until time.Time // when to get another
}

// Call is one request to a desk.
type Call struct {
	Op     string // for errors, as "create"
	Method string
	URL    string // or only its path, where the token has a base
	Header http.Header
	Body   []byte // nil: none
}

// Answer is a desk's answer, whatever the status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a call, and retries it with a new token if this one is answered with
// status 401. Its errors are ErrUnavailable, those of Login, and the context's
// own.
func (c *Client) Do(ctx context.Context, call Call) (Answer, error) {
	if c.Login == nil {
		return c.send(ctx, call, c.Authorization)
	}
	token, err := c.current(ctx, Token{})
	if err != nil {
		return Answer{}, err
	}
	a, err := c.sendWith(ctx, call, token)
	if err != nil || a.Status != http.StatusUnauthorized {
		return a, err
	}
	if token, err = c.current(ctx, token); err != nil {
		return Answer{}, err
	}
	return c.sendWith(ctx, call, token)
}

// Plain sends a call without a token, such as the login itself.
func (c *Client) Plain(ctx context.Context, call Call) (Answer, error) {
	return c.send(ctx, call, "")
}

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// current returns a token other than the refused one.
func (c *Client) current(ctx context.Context, refused Token) (Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token.Value != "" && c.token.Value != refused.Value && c.now().Before(c.token.Until) {
		return c.token, nil
	}
	if err := ctx.Err(); err != nil { // others took all the time
		return Token{}, err
	}
	token, err := c.Login(ctx)
	if e, is := errors.AsType[*Error](err); is && (e.Kind == ErrRefused || e.Kind == ErrNotFound) {
		e.Kind = ErrAccess // whatever a login does not take is in the settings
	}
	if err != nil {
		return Token{}, err
	}
	c.token = token
	return token, nil
}

func (c *Client) sendWith(ctx context.Context, call Call, t Token) (Answer, error) {
	if t.Base != "" {
		call.URL = t.Base + call.URL
	}
	return c.send(ctx, call, "Bearer "+t.Value)
}

func (c *Client) send(ctx context.Context, call Call, authorization string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, call.Method, call.URL, bytes.NewReader(call.Body))
	if err != nil {
		return Answer{}, c.unavailable(call, errors.New("malformed URL"))
	}
	if call.Header != nil {
		req.Header = call.Header.Clone()
	}
	req.Header.Set("Accept", "application/json")
	if call.Body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := c.transport().RoundTrip(req)
	if err != nil {
		return Answer{}, c.unavailable(call, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, c.unavailable(call, err)
	case len(body) > maxAnswer:
		return Answer{}, c.unavailable(call, fmt.Errorf("the answer has over %d bytes", maxAnswer))
	}
	return Answer{res.StatusCode, res.Header, body}, nil
}

func (c *Client) transport() http.RoundTripper {
	if c.Transport == nil {
		return http.DefaultTransport
	}
	return c.Transport
}

func (c *Client) unavailable(call Call, cause error) error {
	return &Error{Op: c.Name + ": " + call.Op, Kind: ErrUnavailable, Cause: cause}
}

// Unreadable is the error for an answer of status 2xx that does not come from the
// desk, such as a proxy's page about maintenance.
func (c *Client) Unreadable(call Call) error {
	return c.unavailable(call, errors.New("the answer is not one of the desk's"))
}

// Refusal is the error for an answer of a status that is no success, with the
// desk's own codes as detail.
func (c *Client) Refusal(call Call, a Answer, detail string) error {
	e := &Error{Op: c.Name + ": " + call.Op, Detail: strings.TrimSpace(fmt.Sprintf("status %d %s", a.Status, detail))}
	switch {
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusRequestTimeout, a.Status == http.StatusConflict, a.Status >= 500:
		e.Kind, e.RetryAfter = ErrUnavailable, retryAfter(a.Header)
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden, a.Status == http.StatusPaymentRequired,
		a.Status == http.StatusMethodNotAllowed, a.Status == http.StatusMisdirectedRequest, a.Status > http.StatusMultipleChoices && a.Status < 400:
		// The account is suspended, moved or not where the settings say.
		e.Kind = ErrAccess
	case a.Status == http.StatusNotFound:
		e.Kind = ErrNotFound
	default:
		e.Kind = ErrRefused
	}
	return e
}

// Word returns s if s is a code of a desk or the name of a field, and "?" otherwise,
// for the detail of an error.
func Word(s string) string {
	const most = 60
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "?"
	}
	return s
}

// maxRetryAfter bounds what we believe of a Retry-After.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads the header of that name, in seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(strings.TrimSpace(h.Get("Retry-After")), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// CheckBase returns an error unless s can be the base of a desk's URLs: https or http,
// a host, perhaps a path, no slash at the end.
func CheckBase(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "/") {
		return errors.New("a base URL is https://HOST, perhaps with a path")
	}
	return nil
}

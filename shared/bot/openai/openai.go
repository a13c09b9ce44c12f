// Package openai asks language models behind an OpenAI-compatible API: OpenAI's
// own, MiniMax, Hunyuan and many more. It follows
// https://platform.openai.com/docs/api-reference/chat; what others do
// differently is said where it is handled.
package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/breaker"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Config is how models are reached.
type Config struct {
	// URL is the API's base, such as https://api.openai.com/v1.
	URL string
	// Path is what follows; "" is /chat/completions.
	Path string
	Key  string
	// Models are asked in this order: another where the one before is away.
	Models []string
	// MaxTokens bounds an answer; 0 leaves it to the model. TokensField is the
	// field it is sent in: "" is max_completion_tokens, older models want
	// max_tokens.
	MaxTokens   int
	TokensField string

	// Try is how long one request may take; 0 is DefaultTry.
	Try       time.Duration
	Transport http.RoundTripper // nil for a default one
	Now       func() time.Time  // nil for time.Now
	// Sleep waits between tries; nil for a real pause.
	Sleep func(ctx context.Context, d time.Duration) error
}

const (
	// DefaultTry is how long one request to a model may take.
	DefaultTry = 25 * time.Second
	// tries is how often a model is asked for one answer.
	tries = 3
	// firstPause is between the first tries; it doubles.
	firstPause = 500 * time.Millisecond
	// A model that failed so often in a row is left alone for a while.
	failures = 6
	pause    = 30 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 1 << 20
)

// Model implements bot.Model.
type Model struct {
	c        Config
	url      string
	client   *http.Client
	breakers map[string]*breaker.Breaker
}

// New returns a model. It asks nothing.
func New(c Config) (*Model, error) {
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" {
		return nil, errors.New("openai: the URL of the API is missing")
	}
	if len(c.Models) == 0 {
		return nil, errors.New("openai: the name of a model is missing")
	}
	if c.Path == "" {
		c.Path = "/chat/completions"
	}
	if c.TokensField == "" {
		c.TokensField = "max_completion_tokens"
	}
	if c.Try == 0 {
		c.Try = DefaultTry
	}
	if c.Sleep == nil {
		c.Sleep = retry.Sleep
	}
	m := &Model{
		c: c, url: strings.TrimSuffix(c.URL, "/") + "/" + strings.TrimPrefix(c.Path, "/"), breakers: map[string]*breaker.Breaker{},
		client: &http.Client{
			Transport:     c.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, name := range c.Models {
		m.breakers[name] = breaker.New(failures, pause, c.Now)
	}
	return m, nil
}

// Complete implements bot.Model. Each model is tried a few times, as it asks for
// by Retry-After where it does, then the next one.
func (m *Model) Complete(ctx context.Context, turns []bot.Turn) (string, error) {
	var failed []error
	for _, name := range m.c.Models {
		text, err := m.insist(ctx, name, turns)
		if err == nil || errors.Is(err, bot.ErrRefused) || ctx.Err() != nil {
			return text, err
		}
		failed = append(failed, fmt.Errorf("%s: %w", name, err))
	}
	return "", errors.Join(failed...)
}

var errAway = errors.New("it failed too often and is left alone for a while")

// insist asks one model until it answers, says that it never will, or has been
// asked often enough.
func (m *Model) insist(ctx context.Context, name string, turns []bot.Turn) (string, error) {
	for n := 1; ; n++ {
		if !m.breakers[name].Allow() {
			return "", errAway
		}
		text, err := m.ask(ctx, name, turns)
		refused, isStatus := errors.AsType[*statusError](err)
		passing := err != nil && !errors.Is(err, bot.ErrRefused) && (!isStatus || refused.passing())
		m.breakers[name].Done(!passing)
		if !passing || n == tries || ctx.Err() != nil {
			return text, err
		}
		wait := firstPause << (n - 1)
		if isStatus && refused.after > 0 {
			wait = refused.after
		}
		if deadline, has := ctx.Deadline(); has && time.Until(deadline) < wait {
			return "", err // another model may be faster
		}
		if err := m.c.Sleep(ctx, wait); err != nil {
			return "", err
		}
	}
}

type request struct {
	model string
	turns []bot.Turn
	field string
	max   int
}

// MarshalJSON writes the request as the API reads it.
func (r request) MarshalJSON() ([]byte, error) {
	type said struct {
		Role    bot.Role `json:"role"`
		Content string   `json:"content"`
	}
	messages := make([]said, len(r.turns))
	for i, t := range r.turns {
		messages[i] = said{t.Role, t.Text}
	}
	// Some servers stream unless told otherwise.
	fields := map[string]any{"model": r.model, "messages": messages, "stream": false}
	if r.max > 0 {
		fields[r.field] = r.max
	}
	return json.Marshal(fields)
}

// ask makes one request.
func (m *Model) ask(ctx context.Context, name string, turns []bot.Turn) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, m.c.Try)
	defer cancel()
	body, err := json.Marshal(request{name, turns, m.c.TokensField, m.c.MaxTokens})
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if m.c.Key != "" {
		r.Header.Set("Authorization", "Bearer "+m.c.Key)
	}
	res, err := m.client.Do(r)
	if err != nil {
		if failed, is := errors.AsType[*url.Error](err); is {
			err = failed.Err // without the URL
		}
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("the answer was cut off: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return "", status(res, text)
	}
	return read(text)
}

// status reads an answer other than 200.
func status(res *http.Response, body []byte) error {
	var said failure
	_ = json.Unmarshal(body, &said) // a page in HTML says nothing
	if said.refused {
		return bot.ErrRefused
	}
	e := &statusError{status: res.StatusCode, code: said.name()}
	if e.code == "insufficient_quota" {
		e.status = http.StatusPaymentRequired // no waiting helps
	}
	if seconds, err := strconv.ParseFloat(res.Header.Get("Retry-After"), 64); err == nil && seconds > 0 {
		e.after = time.Duration(seconds * float64(time.Second))
	}
	return e
}

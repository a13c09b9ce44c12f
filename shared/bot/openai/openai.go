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
		c.Sleep = sleep
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

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
	fields := map[string]any{"model": r.model, "messages": messages}
	if r.max > 0 {
		fields[r.field] = r.max
	}
	return json.Marshal(fields)
}

type response struct {
	Choices []struct {
		Message struct {
			Content string `json:"content"`
			Refusal string `json:"refusal"`
		} `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Error *struct {
		Code any    `json:"code"`
		Type string `json:"type"`
	} `json:"error"`
	// MiniMax answers errors with status 200 and this.
	BaseResp struct {
		StatusCode int `json:"status_code"`
	} `json:"base_resp"`
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
	var out response
	decoded := json.Unmarshal(text, &out) == nil
	switch {
	case res.StatusCode != http.StatusOK:
		return "", m.status(res, out)
	case !decoded:
		return "", errors.New("the answer is not JSON")
	case out.BaseResp.StatusCode != 0:
		return "", miniMax(out.BaseResp.StatusCode)
	case out.Error != nil:
		return "", &statusError{status: http.StatusInternalServerError, code: fmt.Sprint(out.Error.Code)}
	case len(out.Choices) == 0:
		return "", errors.New("the answer has no choices")
	}
	c := out.Choices[0]
	if c.Message.Refusal != "" || c.FinishReason == "content_filter" {
		return "", bot.ErrRefused
	}
	return withoutThoughts(c.Message.Content), nil
}

// withoutThoughts removes what a model thinks aloud before it answers, as
// MiniMax's and others do, also where it was cut off while thinking.
func withoutThoughts(s string) string {
	for {
		before, rest, found := strings.Cut(s, "<think>")
		if !found {
			return strings.TrimSpace(s)
		}
		_, after, _ := strings.Cut(rest, "</think>")
		s = before + after
	}
}

// statusError is an answer other than 200. The API's own sentence may quote the
// conversation and is left out.
type statusError struct {
	status int
	code   string
	after  time.Duration // Retry-After
}

func (e *statusError) Error() string {
	if e.code == "" {
		return "status " + strconv.Itoa(e.status)
	}
	return fmt.Sprintf("status %d, code %s", e.status, e.code)
}

// passing reports whether it goes by if one waits.
func (e *statusError) passing() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout || e.status >= 500
}

func (m *Model) status(res *http.Response, out response) error {
	e := &statusError{status: res.StatusCode}
	if out.Error != nil {
		if code, is := out.Error.Code.(string); is {
			e.code = code
		}
		if e.code == "content_filter" || e.code == "content_policy_violation" {
			return bot.ErrRefused
		}
		if e.code == "insufficient_quota" {
			e.status = http.StatusPaymentRequired // no waiting helps
		}
	}
	if seconds, err := strconv.ParseFloat(res.Header.Get("Retry-After"), 64); err == nil && seconds > 0 {
		e.after = time.Duration(seconds * float64(time.Second))
	}
	return e
}

// miniMax reads MiniMax's error codes: over the rate, a timeout or trouble of
// its own pass; its filters refuse what was asked or what it would say.
func miniMax(code int) error {
	switch code {
	case 1026, 1027:
		return bot.ErrRefused
	case 1000, 1001, 1013, 1033:
		return &statusError{status: http.StatusServiceUnavailable, code: strconv.Itoa(code)}
	case 1002, 1039:
		return &statusError{status: http.StatusTooManyRequests, code: strconv.Itoa(code)}
	}
	return &statusError{status: http.StatusBadRequest, code: strconv.Itoa(code)}
}

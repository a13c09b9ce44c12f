package openai_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
)

// bench is a fake of the API, and a model before it whose pauses take no time.
type bench struct {
	*testing.T
	server *modeltest.Server
	url    string
	now    time.Time
	slept  []time.Duration
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, server: &modeltest.Server{}, now: time.Now()}
	web := httptest.NewServer(b.server)
	t.Cleanup(web.Close)
	b.url = web.URL
	return b
}

func (b *bench) model(change func(*openai.Config)) *openai.Model {
	b.Helper()
	c := openai.Config{
		URL: b.url + "/v1/", Key: "s3cret", Models: []string{"first", "second"}, Now: func() time.Time { return b.now },
		Sleep: func(ctx context.Context, d time.Duration) error { b.slept = append(b.slept, d); return ctx.Err() },
	}
	if change != nil {
		change(&c)
	}
	m, err := openai.New(c)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

var hello = []bot.Turn{{Role: bot.System, Text: "be kind"}, {Role: bot.User, Text: "hello, my private words"}}

func TestWhatIsAsked(t *testing.T) {
	b := newBench(t)
	m := b.model(func(c *openai.Config) { c.MaxTokens = 99 })
	text, err := m.Complete(t.Context(), hello)
	if err != nil || text != "You said: hello, my private words" {
		t.Fatalf("%q, %v", text, err)
	}
	a := b.server.Asked()[0]
	if a.Model != "first" || a.Key != "s3cret" || !slices.Equal(a.Roles, []string{"system", "user"}) || a.Body["max_completion_tokens"] != 99.0 {
		t.Errorf("asked %+v", a)
	}
	old := b.model(func(c *openai.Config) { c.MaxTokens, c.TokensField = 7, "max_tokens" })
	if _, err := old.Complete(t.Context(), hello); err != nil || b.server.Asked()[1].Body["max_tokens"] != 7.0 {
		t.Errorf("%v, asked %+v", err, b.server.Asked()[1])
	}
}

// TestAnswers: each kind of answer, and who is asked how often until then.
func TestAnswers(t *testing.T) {
	repeat := func(n int, m modeltest.Behaviour) []modeltest.Behaviour {
		return slices.Repeat([]modeltest.Behaviour{m}, n)
	}
	for name, tt := range map[string]struct {
		next   []modeltest.Behaviour
		text   string
		err    error
		models string // that were asked
		slept  []time.Duration
	}{
		"thoughts":          {next: []modeltest.Behaviour{{Text: "<think>hm, let me\nsee</think>\n\nYes. <think>or no"}}, text: "Yes.", models: "first"},
		"busy":              {next: []modeltest.Behaviour{{Status: 429, RetryAfter: "7"}}, text: "You said: hello, my private words", models: "first first", slept: []time.Duration{7 * time.Second}},
		"trouble":           {next: []modeltest.Behaviour{{Status: 500}, {Status: 503}}, models: "first first first", text: "You said: hello, my private words", slept: []time.Duration{500 * time.Millisecond, time.Second}},
		"cut off":           {next: []modeltest.Behaviour{{Cut: true}}, models: "first first", text: "You said: hello, my private words"},
		"no JSON":           {next: []modeltest.Behaviour{{Raw: "<html>"}}, models: "first first", text: "You said: hello, my private words"},
		"nothing said":      {next: []modeltest.Behaviour{{Raw: `{"choices":[]}`}}, models: "first first", text: "You said: hello, my private words"},
		"fallback":          {next: repeat(3, modeltest.Behaviour{Status: 502}), models: "first first first second", text: "You said: hello, my private words"},
		"no such model":     {next: []modeltest.Behaviour{{Status: 404, Code: "model_not_found"}}, models: "first second", text: "You said: hello, my private words"},
		"no money":          {next: []modeltest.Behaviour{{Status: 429, Code: "insufficient_quota"}}, models: "first second", text: "You said: hello, my private words"},
		"longer than there": {next: []modeltest.Behaviour{{Status: 429, RetryAfter: "3600"}}, models: "first second", text: "You said: hello, my private words"},
		"refused":           {next: []modeltest.Behaviour{{Finish: "content_filter"}}, models: "first", err: bot.ErrRefused},
		"refused in words":  {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":null,"refusal":"no"}}]}`}}, models: "first", err: bot.ErrRefused},
		"refused by status": {next: []modeltest.Behaviour{{Status: 400, Code: "content_filter"}}, models: "first", err: bot.ErrRefused},
		"MiniMax's filter":  {next: []modeltest.Behaviour{{Raw: `{"base_resp":{"status_code":1027,"status_msg":"x"}}`}}, models: "first", err: bot.ErrRefused},
		"MiniMax busy":      {next: []modeltest.Behaviour{{Raw: `{"base_resp":{"status_code":1002}}`}}, models: "first first", text: "You said: hello, my private words"},
		"MiniMax's key":     {next: []modeltest.Behaviour{{Raw: `{"base_resp":{"status_code":1004}}`}}, models: "first second", text: "You said: hello, my private words"},
		"MiniMax well":      {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":"fine"}}],"base_resp":{"status_code":0}}`}}, models: "first", text: "fine"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.server.Next(tt.next...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			text, err := b.model(nil).Complete(ctx, hello)
			if text != tt.text || !errors.Is(err, tt.err) {
				t.Errorf("%q, %v", text, err)
			}
			var models []string
			for _, a := range b.server.Asked() {
				models = append(models, a.Model)
			}
			if got := strings.Join(models, " "); got != tt.models {
				t.Errorf("asked %s, want %s", got, tt.models)
			}
			if tt.slept != nil && !slices.Equal(b.slept, tt.slept) {
				t.Errorf("slept %v, want %v", b.slept, tt.slept)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	b := newBench(t)
	b.server.Always(func(modeltest.Asked) modeltest.Behaviour {
		return modeltest.Behaviour{Status: 500, Code: "server_error"}
	})
	m := b.model(nil)
	_, err := m.Complete(t.Context(), hello)
	if err == nil || strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "server_error") {
		t.Errorf("%v, want the code and nothing of what was said", err)
	}
	for range 5 {
		_, _ = m.Complete(t.Context(), hello)
	}
	if n := len(b.server.Asked()); n > 12 {
		t.Errorf("asked %d times although each failed", n)
	}
	// Later it is tried again.
	b.server.Always(nil)
	b.now = b.now.Add(time.Minute)
	if _, err := m.Complete(t.Context(), hello); err != nil {
		t.Error(err)
	}
}

func TestHanging(t *testing.T) {
	b := newBench(t)
	b.server.Next(modeltest.Behaviour{Hang: true})
	m := b.model(func(c *openai.Config) { c.Try = 50 * time.Millisecond })
	if text, err := m.Complete(t.Context(), hello); err != nil || text == "" {
		t.Errorf("%q, %v; want the answer of the second try", text, err)
	}
	b.server.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Hang: true} })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := m.Complete(ctx, hello); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want %v", err, context.DeadlineExceeded)
	}
}

func TestWrongSettings(t *testing.T) {
	for _, c := range []openai.Config{{Models: []string{"m"}}, {URL: "http://127.0.0.1:1"}, {URL: "nonsense", Models: []string{"m"}}} {
		if _, err := openai.New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// FuzzAnswer: whatever the API answers, no thought gets out and nothing panics.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"choices":[{"message":{"content":"<think>a</think>b"}}]}`)
	f.Add(`{"base_resp":{"status_code":1002}}`)
	f.Add(`{"error":{"code":7}}`)
	f.Fuzz(func(t *testing.T, raw string) {
		b := newBench(t)
		b.server.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Raw: raw} })
		text, err := b.model(func(c *openai.Config) { c.Models = c.Models[:1] }).Complete(t.Context(), hello)
		if err == nil && raw != "" && strings.Contains(text, "<think>") {
			t.Errorf("%q has a thought in it", text)
		}
	})
}

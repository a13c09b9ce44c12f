// Package openai asks language models behind an OpenAI-compatible API: OpenAI's own,
// MiniMax, Hunyuan and many more. It follows
// https://platform.openai.com/docs/api-reference/chat; comments in the code name the
// differences of other providers.
package openai

import (
	"bufio"
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
	"sync/atomic"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/breaker"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Config makes [Model].
type Config struct {
	// URL is the API's base, such as https://api.openai.com/v1.
	URL string
	// Path is the path below URL; "" is /chat/completions. A path that ends with
	// text/completion is MiniMax's own API for completions, which takes a prompt and
	// answers with a reply, as the scenario guide shows it: without streams, tools and
	// pictures.
	Path string
	Key  string
	// Models are tried in this order: the next one when the one before is unavailable.
	Models []string
	// MaxTokens bounds an answer; 0 leaves the bound to the model. TokensField is the
	// field of the request that holds MaxTokens: "" is max_completion_tokens, older
	// models want max_tokens.
	MaxTokens   int
	TokensField string

	// Try is how long the model may be silent in one request: before a whole
	// answer, and before each piece of a stream. 0 is DefaultTry.
	Try       time.Duration
	Transport http.RoundTripper // nil for a default one
	Now       func() time.Time  // nil for time.Now
	// Sleep waits between tries; nil for a real pause.
	Sleep func(ctx context.Context, d time.Duration) error
}

const (
	// DefaultTry is how long a model may be silent in one request.
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
	whole    atomic.Bool // the server refuses to stream
	native   bool        // MiniMax's own completions
}

// New returns a model. New sends no request.
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
	m.native = strings.HasSuffix(strings.TrimSuffix(c.Path, "/"), "text/completion")
	m.whole.Store(m.native)
	for _, name := range c.Models {
		m.breakers[name] = breaker.New(failures, pause, c.Now)
	}
	return m, nil
}

// Ask implements bot.Model. Each model is tried a few times, with the pause that
// Retry-After asks for where it does, then the next model. Once a part of an answer
// came, no other model is asked: only the caller knows whether that part was shown.
func (m *Model) Ask(ctx context.Context, q bot.Question, hear func(string)) (bot.Reply, error) {
	var failed []error
	var spent bot.Usage
	for _, name := range m.c.Models {
		h := &hearing{hear: hear}
		reply, err := m.insist(ctx, name, q, h)
		reply.Usage.Prompt += spent.Prompt
		reply.Usage.Answer += spent.Answer
		if err == nil || errors.Is(err, bot.ErrRefused) || ctx.Err() != nil || h.heard {
			return reply, err
		}
		spent = reply.Usage
		failed = append(failed, fmt.Errorf("%s: %w", name, err))
	}
	return bot.Reply{Usage: spent}, errors.Join(failed...)
}

// hearing hands on what a model says while it says it.
type hearing struct {
	hear  func(string)
	heard bool
	last  string
}

func (h *hearing) tell(text string) {
	if h.hear != nil && text != "" && text != h.last {
		h.heard, h.last = true, text
		h.hear(text)
	}
}

var errAway = errors.New("it failed too often and is left alone for a while")

// insist asks one model until it answers, says that it never will, or has been
// asked often enough.
func (m *Model) insist(ctx context.Context, name string, q bot.Question, h *hearing) (reply bot.Reply, err error) {
	var spent bot.Usage // by tries that failed on the way
	defer func() {
		reply.Usage.Prompt += spent.Prompt
		reply.Usage.Answer += spent.Answer
	}()
	for n := 1; ; n++ {
		if !m.breakers[name].Allow() {
			return bot.Reply{}, errAway
		}
		reply, err := m.ask(ctx, name, q, h)
		refused, isStatus := errors.AsType[*statusError](err)
		passing := err != nil && !errors.Is(err, bot.ErrRefused) && (!isStatus || refused.passing())
		m.breakers[name].Done(!passing)
		if !passing || n == tries || ctx.Err() != nil || h.heard {
			return reply, err
		}
		wait := firstPause << (n - 1)
		if isStatus && refused.after > 0 {
			wait = refused.after
		}
		if deadline, has := ctx.Deadline(); has && time.Until(deadline) < wait {
			return reply, err // another model may be faster
		}
		spent.Prompt += reply.Usage.Prompt
		spent.Answer += reply.Usage.Answer
		if err := m.c.Sleep(ctx, wait); err != nil {
			return bot.Reply{}, err
		}
	}
}

// request is what one model is asked.
type request struct {
	bot.Question
	model  string
	field  string
	max    int
	stream bool
}

// carryOn has a model continue an answer that broke off.
const carryOn = "Your last message was cut off. Continue it exactly where it stopped. Do not repeat any of it, and do not mention the interruption."

type part struct {
	Type  string `json:"type"`
	Text  string `json:"text,omitempty"`
	Image *link  `json:"image_url,omitempty"`
}

type link struct {
	URL string `json:"url"`
}

type calling struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type spoken struct {
	Role      bot.Role  `json:"role"`
	Content   any       `json:"content"`
	ToolCalls []calling `json:"tool_calls,omitempty"`
	CallID    string    `json:"tool_call_id,omitempty"`
}

func speak(t bot.Turn) spoken {
	s := spoken{Role: t.Role, Content: t.Text, CallID: t.CallID}
	if len(t.Images) > 0 {
		parts := []part{{Type: "text", Text: t.Text}}
		for _, url := range t.Images {
			parts = append(parts, part{Type: "image_url", Image: &link{url}})
		}
		s.Content = parts
	}
	for _, c := range t.Calls {
		made := calling{ID: c.ID, Type: "function"}
		made.Function.Name, made.Function.Arguments = c.Name, c.Arguments
		s.ToolCalls = append(s.ToolCalls, made)
	}
	return s
}

// MarshalJSON writes the request as the API reads it.
func (r request) MarshalJSON() ([]byte, error) {
	messages := make([]spoken, 0, len(r.Turns)+2)
	for _, t := range r.Turns {
		messages = append(messages, speak(t))
	}
	if r.Begun != "" {
		messages = append(messages, spoken{Role: bot.Assistant, Content: r.Begun}, spoken{Role: bot.User, Content: carryOn})
	}
	// Some servers stream unless told otherwise.
	fields := map[string]any{"model": r.model, "messages": messages, "stream": r.stream}
	if r.stream {
		fields["stream_options"] = map[string]bool{"include_usage": true}
	}
	if r.max > 0 {
		fields[r.field] = r.max
	}
	if len(r.Tools) > 0 {
		type function struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		}
		type tool struct {
			Type     string   `json:"type"`
			Function function `json:"function"`
		}
		tools := make([]tool, len(r.Tools))
		for i, t := range r.Tools {
			tools[i] = tool{"function", function{t.Name, t.Description, t.Parameters}}
		}
		fields["tools"] = tools
	}
	return json.Marshal(fields)
}

// native is a request to MiniMax's own completions.
type native struct {
	Model  string `json:"model"`
	Prompt string `json:"prompt"`
	Tokens int    `json:"tokens_to_generate,omitempty"`
}

// completionOf writes a conversation as one text that the model goes on with.
func completionOf(q bot.Question, model string, tokens int) native {
	var prompt strings.Builder
	for _, t := range q.Turns {
		switch t.Role {
		case bot.System:
			prompt.WriteString(t.Text + "\n\n")
		case bot.Assistant:
			prompt.WriteString("Assistant: " + t.Text + "\n")
		default:
			prompt.WriteString("User: " + t.Text + "\n")
		}
	}
	prompt.WriteString("Assistant: " + q.Begun)
	return native{model, strings.TrimSpace(prompt.String()), tokens}
}

// ask makes one request. A server that refuses to stream is asked for the whole,
// from then on always.
func (m *Model) ask(ctx context.Context, name string, q bot.Question, h *hearing) (bot.Reply, error) {
	stream := h.hear != nil && !m.whole.Load()
	reply, err := m.once(ctx, name, q, h, stream)
	if refused, is := errors.AsType[*statusError](err); is && stream && refused.refusesStreams() {
		if reply, err = m.once(ctx, name, q, h, false); err == nil {
			m.whole.Store(true)
		}
	}
	return reply, err
}

// once makes one request. It may be silent for Try: until its answer begins, and
// between the pieces of a stream.
func (m *Model) once(ctx context.Context, name string, q bot.Question, h *hearing, stream bool) (bot.Reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(m.c.Try, func() { cancel(errSilent) })
	defer alive.Stop()
	got := &gathered{continues: q.Begun != ""}
	asked := any(request{q, name, m.c.TokensField, m.c.MaxTokens, stream})
	if m.native {
		asked = completionOf(q, name, m.c.MaxTokens)
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return bot.Reply{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(body))
	if err != nil {
		return bot.Reply{}, err
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
		return bot.Reply{}, because(ctx, err)
	}
	defer res.Body.Close()
	from := bufio.NewReader(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode == http.StatusOK && stream && streams(from) {
		err := got.listen(from, func() {
			alive.Reset(m.c.Try)
			h.tell(got.visible())
		})
		if err == nil {
			err = got.end()
		}
		return got.reply(q, h.last, err), because(ctx, err)
	}
	text, err := io.ReadAll(from)
	if err != nil {
		return bot.Reply{}, because(ctx, fmt.Errorf("the answer was cut off: %w", err))
	}
	if res.StatusCode != http.StatusOK {
		return bot.Reply{}, status(res, text)
	}
	err = got.read(text)
	return got.reply(q, h.last, err), err
}

// free reports whether an answer reports an error and nothing else: nobody charges
// for it.
func (g *gathered) free(err error) bool {
	_, failed := errors.AsType[*statusError](err)
	return failed && g.text.Len() == 0 && len(g.calls) == 0 && g.usage == usage{}
}

var errSilent = errors.New("the model was silent for too long")

// because is err, or what ended ctx where that was the reason.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errSilent) {
		return cause
	}
	return err
}

// streams waits for the first bytes and reports whether they are of a stream.
func streams(from *bufio.Reader) bool {
	for {
		b, err := from.Peek(1)
		if err != nil {
			return false
		}
		if b[0] != ' ' && b[0] != '\t' && b[0] != '\r' && b[0] != '\n' && b[0] < 0x80 {
			break
		}
		if b[0] >= 0x80 { // a byte order mark
			if bom, _ := from.Peek(3); string(bom) != "\ufeff" {
				return false
			}
			_, _ = from.Discard(2)
		}
		_, _ = from.Discard(1)
	}
	start, _ := from.Peek(len("event:")) // shorter where there is no more
	return isStream(start)
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

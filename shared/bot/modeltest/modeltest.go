// Package modeltest is a language model for tests and for scripts/dev: an
// OpenAI-compatible server that echoes messages, records requests and fails on demand.
package modeltest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Asked is one request.
type Asked struct {
	Model string
	Roles []string
	Texts []string
	Key   string         // of the Authorization header
	Begun string         // the answer that is to be continued
	Body  map[string]any // the whole request
}

// Last is the text of the last turn, apart from those that ask for the
// continuation of an answer.
func (a Asked) Last() string {
	if a.Begun != "" {
		return a.Texts[len(a.Texts)-3]
	}
	return a.Texts[len(a.Texts)-1]
}

// cutOff is how a request to continue begins.
const cutOff = "Your last message was cut off."

// Behaviour is how one request is answered. The zero value answers well.
type Behaviour struct {
	Text       string // instead of the echo
	Status     int    // with an error as body
	Code       string // of that error
	Body       string // with Status: this body instead of an error's
	RetryAfter string
	Raw        string        // this body with status 200, whatever it is
	Stream     bool          // a stream, even where none was asked for
	Slow       time.Duration // before the answer
	Hang       bool          // no answer until the caller gives up
	Cut        bool          // the connection ends within the answer
	Finish     string        // finish_reason
	// Pieces are what a stream's events say, in place of the words of Text. Cut and
	// Hang come after the last of them.
	Pieces []string
	// Before is called before each piece and before the end, with the number of the
	// piece, from 0.
	Before func(n int)
	// Calls are the tools that the model calls after its text.
	Calls []Call
	// Tokens is the usage of prompt and answer. Zero counts words.
	Tokens [2]int
}

// Call is a call of a tool.
type Call struct{ ID, Name, Arguments string }

// Server answers every request with "You said: " and the text of the last turn. A
// request to continue such an answer gets the rest of it.
type Server struct {
	mu     sync.Mutex
	asked  []Asked
	next   []Behaviour
	always func(Asked) Behaviour
}

// Next says how the next requests are answered, one each.
func (s *Server) Next(b ...Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, b...)
}

// Always says how requests are answered when no answer of Next is left; nil for the
// echo.
func (s *Server) Always(f func(Asked) Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = f
}

// Asked returns all requests so far.
func (s *Server) Asked() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Asked(nil), s.asked...)
}

// request is what is read of a request. Content is a text or a list of parts.
type request struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Stream        bool `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in request
	a := Asked{Key: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	if err != nil || json.Unmarshal(body, &in) != nil || json.Unmarshal(body, &a.Body) != nil || len(in.Messages) == 0 {
		fail(w, http.StatusBadRequest, "invalid_request", "messages are missing")
		return
	}
	a.Model = in.Model
	for _, m := range in.Messages {
		a.Roles, a.Texts = append(a.Roles, m.Role), append(a.Texts, textOf(m.Content))
	}
	if n := len(a.Texts); n >= 3 && a.Roles[n-2] == "assistant" && strings.HasPrefix(a.Texts[n-1], cutOff) {
		a.Begun = a.Texts[n-2]
	}
	s.answer(w, r, in, a, s.behaviour(a))
}

// textOf joins the texts of a message's content.
func textOf(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct{ Text string }
	_ = json.Unmarshal(content, &parts) // what is neither has no text
	for _, p := range parts {
		text += p.Text
	}
	return text
}

func fail(w http.ResponseWriter, status int, code, message string) {
	kind := "invalid_request_error"
	if status >= http.StatusInternalServerError {
		kind = "server_error"
	} else if status == http.StatusTooManyRequests {
		kind = "rate_limit_error"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}})
}

func (s *Server) behaviour(a Asked) Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, a)
	if len(s.next) > 0 {
		b := s.next[0]
		s.next = s.next[1:]
		return b
	}
	if s.always != nil {
		return s.always(a)
	}
	return Behaviour{}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, in request, a Asked, b Behaviour) {
	if b.Hang && b.Pieces == nil {
		<-r.Context().Done()
		return
	}
	if b.Slow > 0 {
		select {
		case <-time.After(b.Slow):
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if b.RetryAfter != "" {
		w.Header().Set("Retry-After", b.RetryAfter)
	}
	switch {
	case b.Raw != "":
		_, _ = io.WriteString(w, b.Raw)
	case b.Body != "":
		w.WriteHeader(b.Status)
		_, _ = io.WriteString(w, b.Body)
	case b.Status != 0:
		fail(w, b.Status, b.Code, "about "+a.Last())
	default:
		c := completion{
			id: fmt.Sprintf("chatcmpl-%d", len(s.Asked())), model: a.Model, text: b.Text, finish: b.Finish,
			usage: map[string]int{"prompt_tokens": tokens(a.Texts...)}, pieces: b.Pieces, before: b.Before, calls: b.Calls,
			gone: r.Context().Done(),
		}
		if b.Pieces != nil {
			c.text = strings.Join(b.Pieces, "")
		}
		if c.text == "" && b.Calls == nil {
			c.text = strings.TrimPrefix("You said: "+a.Last(), a.Begun)
		}
		switch {
		case c.finish != "":
		case b.Calls != nil:
			c.finish = "tool_calls"
		default:
			c.finish = "stop"
		}
		c.usage["completion_tokens"] = tokens(c.text)
		if b.Tokens != [2]int{} {
			c.usage["prompt_tokens"], c.usage["completion_tokens"] = b.Tokens[0], b.Tokens[1]
		}
		c.usage["total_tokens"] = c.usage["prompt_tokens"] + c.usage["completion_tokens"]
		if in.Stream || b.Stream {
			c.stream(w, in.StreamOptions.IncludeUsage, b.Cut, b.Hang)
		} else {
			c.whole(w, b.Cut)
		}
	}
}

// tokens counts words, which is near enough.
func tokens(texts ...string) int { return len(strings.Fields(strings.Join(texts, " "))) }

// completion is one answer.
type completion struct {
	id, model, text, finish string
	usage                   map[string]int
	pieces                  []string
	before                  func(int)
	calls                   []Call
	gone                    <-chan struct{} // the caller gave up
}

func (c completion) object(kind string, choices ...any) map[string]any {
	if choices == nil {
		choices = []any{}
	}
	return map[string]any{"id": c.id, "object": kind, "created": time.Now().Unix(), "model": c.model, "choices": choices}
}

// whole writes the answer as one document, or cuts the connection within it.
func (c completion) whole(w http.ResponseWriter, cut bool) {
	message := map[string]any{"role": "assistant", "content": c.text, "refusal": nil}
	if c.calls != nil {
		var calls []any
		for _, call := range c.calls {
			calls = append(calls, map[string]any{"id": call.ID, "type": "function", "function": map[string]any{"name": call.Name, "arguments": call.Arguments}})
		}
		message["tool_calls"] = calls
	}
	out := c.object("chat.completion", map[string]any{"index": 0, "message": message, "finish_reason": c.finish, "logprobs": nil})
	out["usage"] = c.usage
	body, _ := json.Marshal(out) // it is made of texts and numbers
	if cut {
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// stream writes the answer piece by piece as server-sent events, word by word
// unless there are others. It cuts the connection after the first word, or after
// all pieces.
func (c completion) stream(w http.ResponseWriter, usage, cut, hang bool) {
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(event map[string]any) {
		data, _ := json.Marshal(event) // it is made of texts and numbers
		_, _ = fmt.Fprintf(w, "data: %s\n\n", data)
		_ = http.NewResponseController(w).Flush()
	}
	piece := func(delta map[string]any, finish any) {
		send(c.object("chat.completion.chunk", map[string]any{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": nil}))
	}
	before := func(n int) {
		if c.before != nil {
			c.before(n)
		}
	}
	piece(map[string]any{"role": "assistant", "content": ""}, nil)
	pieces := c.pieces
	if pieces == nil && c.text != "" {
		pieces = strings.SplitAfter(c.text, " ")
	}
	for n, text := range pieces {
		before(n)
		piece(map[string]any{"content": text}, nil)
		if cut && c.pieces == nil {
			break
		}
	}
	before(len(pieces))
	switch {
	case cut:
		panic(http.ErrAbortHandler)
	case hang:
		<-c.gone
		return
	}
	for i, call := range c.calls {
		part := func(id any, name any, arguments string) {
			f := map[string]any{"arguments": arguments}
			if name != nil {
				f["name"] = name
			}
			d := map[string]any{"index": i, "function": f}
			if id != nil {
				d["id"], d["type"] = id, "function"
			}
			piece(map[string]any{"tool_calls": []any{d}}, nil)
		}
		half := len(call.Arguments) / 2
		part(call.ID, call.Name, "")
		part(nil, nil, call.Arguments[:half])
		part(nil, nil, call.Arguments[half:])
	}
	piece(map[string]any{}, c.finish)
	if usage {
		last := c.object("chat.completion.chunk")
		last["usage"] = c.usage
		send(last)
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

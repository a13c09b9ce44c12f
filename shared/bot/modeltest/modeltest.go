// Package modeltest is a language model for tests and for trying things out: an
// OpenAI-compatible server that thinks nothing, remembers what it was asked and
// fails on demand.
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
	Body  map[string]any // the whole request
}

// Last is the text of the last turn.
func (a Asked) Last() string { return a.Texts[len(a.Texts)-1] }

// Behaviour is how one request is answered. The zero value answers well.
type Behaviour struct {
	Text       string // instead of the echo
	Status     int    // with an error as body
	Code       string // of that error
	RetryAfter string
	Raw        string        // this body, whatever it is
	Slow       time.Duration // before the answer
	Hang       bool          // no answer until the caller gives up
	Cut        bool          // the connection ends within the answer
	Finish     string        // finish_reason
}

// Server answers every request with what its last turn says, repeated with "You
// said: " before it.
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

// Always says how all requests are answered that Next says nothing of; nil for
// the echo.
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

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in struct {
		Model    string
		Messages []struct{ Role, Content string }
	}
	a := Asked{Key: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	if err != nil || json.Unmarshal(body, &in) != nil || json.Unmarshal(body, &a.Body) != nil || len(in.Messages) == 0 {
		http.Error(w, `{"error":{"code":"invalid_request"}}`, http.StatusBadRequest)
		return
	}
	a.Model = in.Model
	for _, m := range in.Messages {
		a.Roles, a.Texts = append(a.Roles, m.Role), append(a.Texts, m.Content)
	}
	s.answer(w, r, a, s.behaviour(a))
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

func (s *Server) answer(w http.ResponseWriter, r *http.Request, a Asked, b Behaviour) {
	if b.Hang {
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
	case b.Status != 0:
		w.WriteHeader(b.Status)
		_, _ = fmt.Fprintf(w, `{"error":{"message":%q,"code":%q}}`, "about "+a.Last(), b.Code)
	case b.Cut:
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"You sa`)
		panic(http.ErrAbortHandler)
	default:
		text := b.Text
		if text == "" {
			text = "You said: " + a.Last()
		}
		finish := b.Finish
		if finish == "" {
			finish = "stop"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{
			"index": 0, "message": map[string]any{"role": "assistant", "content": text}, "finish_reason": finish,
		}}})
	}
}

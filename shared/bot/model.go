package bot

import (
	"context"
	"encoding/json"
	"errors"
)

// Role says who speaks in a conversation.
type Role string

// The roles, in the words that models use.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool" // the result of a call
)

// Turn is one thing said.
type Turn struct {
	Role   Role     `json:"role"`
	Text   string   `json:"text"`
	Images []string `json:"images,omitempty"` // URLs of pictures that belong to it
	Calls  []Call   `json:"calls,omitempty"`  // tools that the assistant calls
	CallID string   `json:"callId,omitempty"` // of the call whose result this is
}

// Call is a model's wish to have a tool called.
type Call struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON, as the model wrote it
}

// ToolSpec describes a tool to a model.
type ToolSpec struct {
	Name        string
	Description string
	Parameters  json.RawMessage // JSON Schema of an object
}

// Question is what a model is asked.
type Question struct {
	Turns []Turn
	Tools []ToolSpec
	// Begun is the start of an answer that broke off. The model continues it, and
	// the reply holds the continuation alone.
	Begun string
}

// Reply is what a model answers.
type Reply struct {
	Text  string // as people should read it, without thoughts
	Calls []Call
	Usage Usage // as the model reports it, otherwise an estimate
}

// Usage is how many tokens were paid for.
type Usage struct {
	Prompt int `json:"prompt"`
	Answer int `json:"answer"`
}

func (u *Usage) add(more Usage) {
	u.Prompt += more.Prompt
	u.Answer += more.Answer
}

// ErrRefused is a model's error about what it will not talk about.
var ErrRefused = errors.New("bot: the model refuses to answer")

// Model is a language model.
type Model interface {
	// Ask returns what the model says after these turns. It does its own repeating
	// within ctx, as long as nothing was heard. ErrRefused is final. After any
	// other error Reply.Text is what was heard until then, and Reply.Usage what it
	// cost.
	//
	// Of a continuation the space before the first word counts, and while it is
	// heard the one after the last.
	//
	// hear gets the text so far, as people should read it, each time that there is
	// more of it: the one before is nearly always its start. It is called by one
	// goroutine at a time and never after Ask has returned. nil asks for the
	// answer as a whole.
	Ask(ctx context.Context, q Question, hear func(text string)) (Reply, error)
}

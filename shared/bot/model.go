package bot

import (
	"context"
	"encoding/json"
	"errors"
)

// Role is the author of a turn.
type Role string

// The roles, in the words that models use.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool" // the result of a call
)

// Turn is one message of a conversation with a model.
type Turn struct {
	Role   Role     `json:"role"`
	Text   string   `json:"text"`
	Images []string `json:"images,omitempty"` // URLs of pictures that belong to it
	Calls  []Call   `json:"calls,omitempty"`  // tools that the assistant calls
	CallID string   `json:"callId,omitempty"` // of the call whose result this is
}

// Call is a model's request to call a tool.
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

// Question is one request to a model.
type Question struct {
	Turns []Turn
	Tools []ToolSpec
	// Begun is the start of an answer that broke off. The model continues it, and
	// the reply holds the continuation alone.
	Begun string
}

// Reply is a model's answer.
type Reply struct {
	Text  string // without the model's reasoning
	Calls []Call
	Usage Usage // as the model reports it, otherwise an estimate
}

// Usage is the number of tokens that an answer cost.
type Usage struct {
	Prompt int `json:"prompt"`
	Answer int `json:"answer"`
}

func (u *Usage) add(more Usage) {
	u.Prompt += more.Prompt
	u.Answer += more.Answer
}

// ErrRefused: the model refuses to answer.
var ErrRefused = errors.New("bot: the model refuses to answer")

// Model is a language model.
type Model interface {
	// Ask returns the model's answer to these turns. It retries by itself within ctx,
	// as long as no piece of an answer came. ErrRefused is final. After any other
	// error Reply.Text is the part of the answer that came before, and Reply.Usage its
	// cost.
	//
	// A continuation keeps the space before its first word, and while it is streamed
	// the space after its last word.
	//
	// hear gets the text so far, without the model's reasoning, each time that more
	// text came: the text of the call before is nearly always its prefix. hear is
	// called by one goroutine at a time and never after Ask has returned. A nil hear
	// asks for the answer as a whole.
	Ask(ctx context.Context, q Question, hear func(text string)) (Reply, error)
}

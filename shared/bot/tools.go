package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Tool is a function that a model may call while it answers.
type Tool struct {
	ToolSpec
	// Deadline is how long Run may take; 0 is DefaultDeadline.
	Deadline time.Duration
	// Allowed reports whether the user whose message is answered may cause the call; a
	// page, another tool or the model cannot change that user. nil allows everybody.
	Allowed func(c ToolCall) bool
	// Run carries out a call. After a crash the same Key may come a second time,
	// perhaps for a call that was carried out. The result is data for the model.
	// Errors are logged and shown to nobody, so they must not quote messages; the
	// model is told that the tool failed.
	Run func(ctx context.Context, c ToolCall) (result string, err error)
}

// ToolCall is one call of a tool.
type ToolCall struct {
	Key       string // idempotency key
	Robot     string
	From      string // UserID whose message is answered
	GroupID   string
	TopicID   string
	Arguments json.RawMessage // valid by the tool's schema
}

// Limits of tools.
const (
	// DefaultDeadline is how long a tool may take.
	DefaultDeadline = 10 * time.Second
	// MaxRounds is how often a model may call tools before it must answer.
	MaxRounds = 6
	// sameResults is how often the same call may give the same result before tool
	// use ends.
	sameResults = 3
	maxResult   = 8 << 10 // bytes of a result that the model gets
)

// CheckTool returns an error for an invalid tool.
func CheckTool(t Tool) error {
	if t.Name == "" || len(t.Name) > 64 || strings.ContainsFunc(t.Name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return errors.New("a tool's name has 1 to 64 letters, digits, _ and -")
	}
	if t.Description == "" {
		return fmt.Errorf("the tool %s has no description", t.Name)
	}
	var s schema
	if err := json.Unmarshal(t.Parameters, &s); err != nil || s.Type != "object" {
		return fmt.Errorf("the parameters of the tool %s are no JSON Schema of an object", t.Name)
	}
	return nil
}

// toolbox is what one answer may call, and what it called.
type toolbox struct {
	*draft
	tools  []Tool
	seen   map[string]int    // how often a call was made with the same result
	last   map[string]string // result of a call
	calls  map[string]int    // how often it was made
	rounds int
	closed bool // no more tools are offered
}

func (d *draft) toolbox() *toolbox {
	b := &toolbox{draft: d, tools: slices.Clone(d.c.Tools), seen: map[string]int{}, last: map[string]string{}, calls: map[string]int{}}
	if d.c.Knowledge != nil {
		b.tools = append(b.tools, d.lookUp())
	}
	if d.people() {
		b.tools = append(b.tools, d.handOver())
	}
	if d.c.QuickReplies {
		b.tools = append(b.tools, d.offerChoices())
	}
	return b
}

// offered are the tools that the model may call now.
func (b *toolbox) offered() []ToolSpec {
	if b.closed || b.handed != nil {
		return nil
	}
	var specs []ToolSpec
	for _, t := range b.tools {
		if t.Allowed == nil || t.Allowed(b.call(nil, "")) {
			specs = append(specs, t.ToolSpec)
		}
	}
	return specs
}

func (b *toolbox) call(arguments json.RawMessage, key string) ToolCall {
	return ToolCall{Key: key, Robot: b.m.Robot, From: b.m.From, GroupID: b.m.GroupID, TopicID: b.m.TopicID, Arguments: arguments}
}

// perform has a round of calls done, and returns what the model gets to read of it.
func (b *toolbox) perform(ctx context.Context, said string, calls []Call) []Turn {
	turns := []Turn{{Role: Assistant, Text: said, Calls: calls}}
	for _, c := range calls {
		sum := sha256.Sum256([]byte(c.Name + "\x00" + c.Arguments))
		name := hex.EncodeToString(sum[:8])
		b.calls[name]++
		result := b.one(ctx, c, fmt.Sprintf("bot/%s/%s/%d", b.m.id(), name, b.calls[name]))
		if b.last[name] == result {
			b.seen[name]++
		} else {
			b.seen[name], b.last[name] = 1, result
		}
		if b.seen[name] >= sameResults {
			b.closed = true
		}
		turns = append(turns, Turn{Role: ToolRole, CallID: c.ID, Text: result})
	}
	if b.rounds++; b.rounds >= MaxRounds {
		b.closed = true
	}
	return turns
}

// one does one call. Whatever goes wrong is a result too.
func (b *toolbox) one(ctx context.Context, c Call, key string) string {
	i := slices.IndexFunc(b.tools, func(t Tool) bool { return t.Name == c.Name })
	if i < 0 {
		return "error: there is no such tool"
	}
	t := b.tools[i]
	arguments := json.RawMessage(strings.TrimSpace(c.Arguments))
	if len(arguments) == 0 {
		arguments = json.RawMessage("{}")
	}
	call := b.call(arguments, key)
	if t.Allowed != nil && !t.Allowed(call) {
		return "error: this user may not do that"
	}
	if err := checkArguments(t.Parameters, arguments); err != nil {
		return "error: " + err.Error()
	}
	if t.Deadline == 0 {
		t.Deadline = DefaultDeadline
	}
	result, err := t.run(ctx, call)
	if err != nil {
		slog.WarnContext(ctx, "a robot's tool failed", "tool", t.Name, "message", b.m.id(), "error", err.Error())
		if errors.Is(err, context.DeadlineExceeded) {
			return "error: the tool took too long"
		}
		return "error: the tool failed"
	}
	return im.CutText(result, maxResult)
}

// run does not wait for a tool that ignores its deadline, nor dies with one.
func (t Tool) run(ctx context.Context, c ToolCall) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Deadline)
	defer cancel()
	type outcome struct {
		result string
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				// The value may quote what was said.
				done <- outcome{"", fmt.Errorf("it panicked with a %T\n%s", p, debug.Stack())}
			}
		}()
		result, err := t.Run(ctx, c)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// schema is as much of JSON Schema as arguments are held against: types, properties,
// required ones, items, enums and bounds. What else a schema says is for the model.
type schema struct {
	Type                 any               `json:"type"`
	Properties           map[string]schema `json:"properties"`
	Required             []string          `json:"required"`
	AdditionalProperties any               `json:"additionalProperties"`
	Items                *schema           `json:"items"`
	Enum                 []any             `json:"enum"`
	Minimum              *float64          `json:"minimum"`
	Maximum              *float64          `json:"maximum"`
	MinLength            *int              `json:"minLength"`
	MaxLength            *int              `json:"maxLength"`
	MaxItems             *int              `json:"maxItems"`
}

func checkArguments(parameters, arguments json.RawMessage) error {
	var s schema
	if err := json.Unmarshal(parameters, &s); err != nil {
		return errors.New("the tool's schema does not decode")
	}
	var v any
	if json.Unmarshal(arguments, &v) != nil {
		return errors.New("the arguments are not JSON")
	}
	return s.check("arguments", v)
}

func (s schema) check(at string, v any) error {
	if !s.typed(v) {
		return fmt.Errorf("%s must be of type %v", at, s.Type)
	}
	if s.Enum != nil && !slices.ContainsFunc(s.Enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(v) }) {
		return fmt.Errorf("%s must be one of %v", at, s.Enum)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range s.Required {
			if _, there := v[name]; !there {
				return fmt.Errorf("%s.%s is missing", at, name)
			}
		}
		for name, value := range v {
			p, known := s.Properties[name]
			if !known {
				if s.AdditionalProperties == false {
					return fmt.Errorf("%s has an unknown property", at)
				}
				continue
			}
			if err := p.check(at+"."+name, value); err != nil {
				return err
			}
		}
	case []any:
		if s.MaxItems != nil && len(v) > *s.MaxItems {
			return fmt.Errorf("%s has more than %d items", at, *s.MaxItems)
		}
		for i, item := range v {
			if s.Items != nil {
				if err := s.Items.check(fmt.Sprintf("%s[%d]", at, i), item); err != nil {
					return err
				}
			}
		}
	case string:
		if n := len([]rune(v)); s.MaxLength != nil && n > *s.MaxLength || s.MinLength != nil && n < *s.MinLength {
			return fmt.Errorf("%s has %d characters", at, n)
		}
	case float64:
		if s.Minimum != nil && v < *s.Minimum || s.Maximum != nil && v > *s.Maximum {
			return fmt.Errorf("%s is out of range", at)
		}
	}
	return nil
}

func (s schema) typed(v any) bool {
	switch want := s.Type.(type) {
	case nil:
		return true
	case string:
		return typed(want, v)
	case []any:
		return slices.ContainsFunc(want, func(w any) bool { name, _ := w.(string); return typed(name, v) })
	}
	return false
}

func typed(want string, v any) bool {
	switch v := v.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && v == float64(int64(v))
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}

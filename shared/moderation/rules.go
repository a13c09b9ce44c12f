package moderation

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

//go:embed rules.json
var embedded []byte

// Action is what happens to a message that holds a word of the rule set.
type Action string

const (
	Reject Action = "reject" // the sender is told that the message was refused
	Drop   Action = "drop"   // the sender sees success, nobody sees the message
)

// Word is one entry of a rule set.
type Word struct {
	Text     string `json:"text"`     // matched anywhere in a text, letter case aside
	Category string `json:"category"` // free label for logs and review, such as "gambling"
	Action   Action `json:"action"`   // "" means reject
}

// Rules is a checked rule set. It is immutable and safe for concurrent use.
type Rules struct {
	Version string
	words   []Word // Text folded
}

// MaxRules bounds a rule set's JSON text, in bytes.
const MaxRules = 1 << 20

// DefaultRules returns the small rule set that ships with Backchannel.
func DefaultRules() *Rules {
	rules, err := ParseRules(embedded)
	if err != nil {
		panic("moderation: the embedded rules do not parse: " + err.Error())
	}
	return rules
}

// ParseRules reads a rule set: {"version","words":[{"text","category","action"}]}.
// Fields it does not know are refused, so that a misspelt action never turns
// into a rule that lets everything pass.
func ParseRules(b []byte) (*Rules, error) {
	if len(b) > MaxRules {
		return nil, fmt.Errorf("rule set is %d bytes, %d allowed", len(b), MaxRules)
	}
	var file struct {
		Version string `json:"version"`
		Words   []Word `json:"words"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("rule set: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("rule set: text after the closing brace")
	}
	if file.Version == "" {
		return nil, errors.New(`rule set: "version" is missing`)
	}
	for i := range file.Words {
		w := &file.Words[i]
		w.Text = fold(w.Text)
		if w.Text == "" {
			return nil, fmt.Errorf(`rule set: word %d has no "text"`, i+1)
		}
		switch w.Action {
		case "":
			w.Action = Reject
		case Reject, Drop:
		default:
			return nil, fmt.Errorf(`rule set: word %d has action %q; known are "reject" and "drop"`, i+1, w.Action)
		}
	}
	return &Rules{Version: file.Version, words: file.Words}, nil
}

// Find returns the first word of the rule set that the text holds.
func (r *Rules) Find(text string) (Word, bool) {
	text = fold(text)
	for _, w := range r.words {
		if strings.Contains(text, w.Text) {
			return w, true
		}
	}
	return Word{}, false
}

func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// Package compile turns a rule set in JSON into the image that wordlist opens. It
// folds characters and builds the automaton, which takes large tables and time: only
// tools may link it, never a function.
package compile

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// MaxSize bounds a rule set's JSON text, in bytes.
const MaxSize = 64 << 20

// MaxWord bounds the text of a word or of an allowed phrase, in bytes.
const MaxWord = 4096

// RuleSet is a rule set in an operator's JSON.
type RuleSet struct {
	Version string   `json:"version"` // any text; shown where a verdict is explained
	Words   []Rule   `json:"words"`
	Allow   []string `json:"allow"` // phrases that are allowed although they contain a word

	// Scopes override actions: scope -> category, or "*" for all -> action.
	// Scopes are "c2c", "type:" and a group type, "room:" and a GroupID,
	// "topic:" and a TopicID.
	Scopes map[string]map[string]wordlist.Action `json:"scopes"`
}

// Rule is one word, or a phrase of several.
type Rule struct {
	Text     string          `json:"text"`
	Category string          `json:"category"` // free label, such as "gambling"
	Severity int             `json:"severity"` // 1 to 5; 0 means 1
	Action   wordlist.Action `json:"action"`   // "" means reject
	Note     string          `json:"note"`     // for maintainers of the set

	// Word says whether the word must stand alone, without an adjacent letter of the
	// same script. nil: edges that are letters of an alphabet or digits must stand
	// alone; Han and kana need not, since their words are written without spaces.
	Word *bool `json:"word"`
	// Exact matches only the text as written.
	Exact bool `json:"exact"`
	// Numerals treats 六, 陆 and 6 as equal.
	Numerals bool `json:"numerals"`
	// Inflect matches the word's inflections, too: a plural, -s, -es, -ies, -y, -ed and
	// -ing at its end, yourselves for yourself. nil: words that end in at least five
	// English letters are matched with their inflections.
	Inflect *bool `json:"inflect"`
	// URLs matches the word in URLs and e-mail addresses, too; otherwise they are
	// skipped.
	URLs bool `json:"urls"`
}

//go:embed default.json
var defaultRules []byte

// Default returns the rule set that wordlist.Default is compiled from.
func Default() *RuleSet {
	set, err := Parse(defaultRules)
	if err != nil {
		panic("compile: the embedded rule set does not parse: " + err.Error())
	}
	return set
}

// Parse decodes a rule set and checks it. Unknown fields are errors, so that a misspelt
// field never becomes a rule without effect.
func Parse(b []byte) (*RuleSet, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("rule set has %d bytes, at most %d are allowed", len(b), MaxSize)
	}
	var set RuleSet
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&set); err != nil {
		return nil, fmt.Errorf("rule set%s: %w", line(b, err), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("rule set: text after the closing brace")
	}
	if err := set.check(); err != nil {
		return nil, fmt.Errorf("rule set: %w", err)
	}
	return &set, nil
}

// line says where in a rule set an error of encoding/json is, if it knows.
func line(b []byte, err error) string {
	var offset int64
	if e, is := errors.AsType[*json.SyntaxError](err); is {
		offset = e.Offset
	} else if e, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		offset = e.Offset
	}
	if offset == 0 {
		return ""
	}
	return fmt.Sprintf(", line %d", 1+bytes.Count(b[:min(int(offset)-1, len(b))], []byte("\n")))
}

func (set *RuleSet) check() error {
	if set.Version == "" {
		return errors.New(`"version" is missing`)
	}
	for i := range set.Words {
		r := &set.Words[i]
		if err := checkText(r.Text); err != nil {
			return fmt.Errorf("word %d: %w", i+1, err)
		}
		if r.Severity == 0 {
			r.Severity = 1
		}
		if r.Severity < 1 || r.Severity > 5 {
			return fmt.Errorf("word %d has severity %d: use 1 to 5", i+1, r.Severity)
		}
		if r.Action == "" {
			r.Action = wordlist.Reject
		}
		if r.Action == wordlist.Allow || !known(r.Action) {
			return fmt.Errorf("word %d has action %q: use reject, drop, mask, review or shadow", i+1, r.Action)
		}
		if r.Category == "*" {
			return fmt.Errorf(`word %d: "*" stands for all categories in scopes and cannot be a word's category`, i+1)
		}
	}
	for i, text := range set.Allow {
		if err := checkText(text); err != nil {
			return fmt.Errorf("allowed phrase %d: %w", i+1, err)
		}
	}
	return set.checkScopes()
}

func checkText(text string) error {
	switch {
	case text == "":
		return errors.New(`has no "text"`)
	case len(text) > MaxWord:
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(text), MaxWord)
	case !utf8.ValidString(text):
		return errors.New("is not valid UTF-8")
	case len(lettersOf(text)) == 0:
		return errors.New("has no letter or digit")
	}
	return nil
}

func (set *RuleSet) checkScopes() error {
	for scope, actions := range set.Scopes {
		kind, name, _ := strings.Cut(scope, ":")
		if scope != "c2c" && (name == "" || !slices.Contains([]string{"type", "room", "topic"}, kind)) {
			return fmt.Errorf(`scope %q is unknown: use "c2c", "type:GROUPTYPE", "room:GROUPID" or "topic:TOPICID"`, scope)
		}
		for category, action := range actions {
			if !known(action) {
				return fmt.Errorf("scope %q has the unknown action %q for %q", scope, action, category)
			}
			if category != "*" && !slices.ContainsFunc(set.Words, func(r Rule) bool { return r.Category == category }) {
				return fmt.Errorf("scope %q names category %q, which no word has", scope, category)
			}
		}
	}
	return nil
}

func known(a wordlist.Action) bool { return slices.Contains(wordlist.Actions, a) }

package moderation

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// message is what is judged: of a group, or between two.
type message struct {
	Held
	random, seq uint32 // of its sender's client
}

// judgement goes over the texts of a message and remembers the severest action
// that a hit asks for.
type judgement struct {
	message
	list   *wordlist.List
	scopes []string // of the message, once a hit has asked for them

	hits      []wordlist.Hit
	action    int // index of wordlist.Actions
	reasons   []Reason
	encrypted bool
}

// judgements are used again, so that a clean message costs no memory.
var judgements = sync.Pool{New: func() any { return new(judgement) }}

func newJudgement(list *wordlist.List, m message) *judgement {
	j := judgements.Get().(*judgement)
	*j = judgement{message: m, list: list, hits: j.hits[:0]}
	return j
}

// release gives the judgement back; nothing of it may be in use.
func (j *judgement) release() {
	clear(j.hits[:cap(j.hits)]) // they hold on to the message
	*j = judgement{hits: j.hits}
	judgements.Put(j)
}

// maxReasons bounds the reasons that are kept of a message.
const maxReasons = 16

// text implements visitor.
func (j *judgement) text(s string) (string, bool) {
	if encrypted(s) {
		j.encrypted = true
		return "", false
	}
	j.hits = j.list.Find(j.hits[:0], s)
	for _, h := range j.hits {
		action := slices.Index(wordlist.Actions, j.actionOf(h))
		if action <= 0 { // allowed here
			continue
		}
		j.action = max(j.action, action)
		r := Reason{h.Word.Category, h.Word.Severity, h.Word.Text}
		if len(j.reasons) < maxReasons && !slices.Contains(j.reasons, r) {
			j.reasons = append(j.reasons, r)
		}
	}
	return "", false
}

// actionOf returns what the rule set asks for, where the message is.
func (j *judgement) actionOf(h wordlist.Hit) wordlist.Action {
	if j.scopes == nil {
		j.scopes = j.where()
	}
	return j.list.Action(h.Word, j.scopes...)
}

func (j *judgement) worst() wordlist.Action { return wordlist.Actions[j.action] }

// masker replaces by stars what is to be masked.
type masker struct{ *judgement }

// text implements visitor.
func (m masker) text(s string) (string, bool) {
	if encrypted(s) {
		return "", false
	}
	masked := m.list.Mask(s, func(h wordlist.Hit) bool {
		return m.actionOf(h) == wordlist.Mask
	})
	return masked, masked != s
}

// collector joins all texts, for a checker.
type collector struct{ b *strings.Builder }

// text implements visitor.
func (c collector) text(s string) (string, bool) {
	if encrypted(s) {
		return "", false
	}
	if c.b.Len() > 0 {
		c.b.WriteByte('\n')
	}
	c.b.WriteString(s)
	return "", false
}

// where names the message's scopes in a rule set, the narrowest first.
func (m *message) where() []string {
	if m.GroupID == "" && m.GroupType == "" {
		return []string{"c2c"}
	}
	list := make([]string, 0, 3)
	if m.TopicID != "" {
		list = append(list, "topic:"+m.TopicID)
	}
	if m.GroupID != "" { // a group that is not made yet has none
		list = append(list, "room:"+m.GroupID)
	}
	return append(list, "type:"+string(m.GroupType))
}

// identity names the message. IM gives a message that is not sent yet no number
// of its own in groups, so what it says is part of it.
func (m *message) identity() string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode([]any{m.From, m.To, m.GroupID, m.TopicID, m.random, m.seq, m.MsgBody, m.CloudCustomData})
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// leastCipher is the least length of a text that may be encrypted: any cipher
// with a key, a nonce and a check is longer.
const leastCipher = 64

// encrypted reports whether a text is one base64 word that stands for no text:
// what E3Kit and its kind send in place of a message. That a client says so
// counts for nothing, or everybody would.
func encrypted(s string) bool {
	if len(s) < leastCipher || !base64Word(s) {
		return false
	}
	s = strings.TrimRight(s, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(s); err == nil && !utf8.Valid(b) {
			return true
		}
	}
	return false
}

// base64Word reports whether a text has only the characters of base64, and some
// of each kind: a long word of one language has not.
func base64Word(s string) bool {
	var upper, lower, digit bool
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z':
			upper = true
		case 'a' <= c && c <= 'z':
			lower = true
		case '0' <= c && c <= '9':
			digit = true
		case c == '+', c == '/', c == '-', c == '_', c == '=':
		default:
			return false
		}
	}
	return upper && lower && digit
}

// ask asks a checker about all texts of a message.
func (f *Filter) ask(ctx context.Context, m *message) (o Opinion, label string, err error) {
	var b strings.Builder
	visitBody(m.MsgBody, collector{&b})
	visitText(m.CloudCustomData, collector{&b})
	if b.Len() == 0 {
		return NoOpinion, "", nil
	}
	if !f.breaker.Allow() {
		return NoOpinion, "", errAway
	}
	ctx, cancel := context.WithTimeout(ctx, CheckerBudget)
	defer cancel()
	o, label, err = f.c.Checker.Check(ctx, Text{ID: m.identity(), From: m.From, GroupID: m.GroupID, Text: b.String()})
	f.breaker.Done(err == nil)
	return o, label, err
}

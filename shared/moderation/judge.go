package moderation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/backchannel-im/backchannel/shared/im"
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
	ctx    context.Context // of the callback, whose time the search heeds
	list   *wordlist.List
	scopes []string // of the message, once a hit has asked for them

	hits       []wordlist.Hit
	action     int // index of wordlist.Actions
	reasons    []Reason
	encrypted  bool // some text without a hit is encrypted
	unfinished bool // some text was not read to its end
}

// judgements are used again, so that a clean message costs no memory.
var judgements = sync.Pool{New: func() any { return new(judgement) }}

func newJudgement(ctx context.Context, list *wordlist.List, m message) *judgement {
	j := judgements.Get().(*judgement)
	*j = judgement{message: m, ctx: ctx, list: list, hits: j.hits[:0]}
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

// body judges all texts of the message.
func (j *judgement) body() {
	visitBody(j.MsgBody, j)
	visitText(j.CloudCustomData, j)
	j.across()
}

// text implements visitor.
func (j *judgement) text(s string) (string, bool) {
	if j.find(s) {
		j.encrypted = true
	}
	j.count(j.hits)
	return "", false
}

// find sets the hits in a text. It reports whether the text is encrypted, and
// then there is none.
func (j *judgement) find(s string) (cipher bool) {
	var err error
	if j.hits, err = j.list.Find(j.ctx, j.hits[:0], s); err != nil {
		j.unfinished = true
		return false
	}
	if !encrypted(s) {
		return false
	}
	j.hits = slices.DeleteFunc(j.hits, func(h wordlist.Hit) bool { return mixed(s[h.Start:h.End]) })
	return len(j.hits) == 0
}

// count takes hits into account.
func (j *judgement) count(hits []wordlist.Hit) {
	for _, h := range hits {
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
}

// across judges words that begin in one text element and end in another: clients
// show such elements side by side, with faces between them at most.
func (j *judgement) across() {
	if len(j.MsgBody) < 2 {
		return
	}
	var row joined
	for i, e := range j.MsgBody {
		switch e.MsgType {
		case im.TextElem:
			visitBody(j.MsgBody[i:i+1], &row)
			row.borders = append(row.borders, row.b.Len())
		case im.FaceElem:
			row.b.WriteByte('*')
		default:
			row.b.WriteString(strings.Repeat("\n", wordlist.MaxGap+1))
		}
	}
	if len(row.borders) < 2 {
		return
	}
	var err error
	if j.hits, err = j.list.Find(j.ctx, j.hits[:0], row.b.String()); err != nil {
		j.unfinished = true
	}
	next := 0
	j.count(slices.DeleteFunc(j.hits, func(h wordlist.Hit) bool {
		for next < len(row.borders) && row.borders[next] <= h.Start {
			next++
		}
		return next == len(row.borders) || h.End <= row.borders[next]
	}))
}

// joined puts texts one behind the other.
type joined struct {
	b       strings.Builder
	borders []int // where each text ends
}

// text implements visitor.
func (r *joined) text(s string) (string, bool) {
	r.b.WriteString(s)
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
	if m.find(s) {
		return "", false
	}
	masked, err := m.list.Mask(m.ctx, s, func(h wordlist.Hit) bool {
		return m.actionOf(h) == wordlist.Mask
	})
	if err != nil {
		m.unfinished = true
		return "", false
	}
	return masked, masked != s
}

// collector joins all texts that are not encrypted, a line each, for a checker.
type collector struct {
	b *strings.Builder
	j *judgement
}

// text implements visitor.
func (c collector) text(s string) (string, bool) {
	if c.j.encrypted && c.j.find(s) {
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

// ask asks a checker about all texts of a message.
func (f *Filter) ask(ctx context.Context, j *judgement) (o Opinion, label string, err error) {
	m := &j.message
	var b strings.Builder
	visitBody(m.MsgBody, collector{&b, j})
	visitText(m.CloudCustomData, collector{&b, j})
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

package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/bot/knowledge"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// answer is what a message is answered, as it is stored.
type answer struct {
	Text   string `json:"text"`
	Open   bool   `json:"open,omitempty"`   // the model has not finished
	Said   bool   `json:"said,omitempty"`   // by the model: it is remembered, and paid for
	Forget bool   `json:"forget,omitempty"` // what was before
	Day    string `json:"day,omitempty"`    // whose budget pays
	Usage  Usage  `json:"usage,omitzero"`
	// Counted: Usage holds all that an open answer has cost so far.
	Counted bool `json:"counted,omitempty"`
	// Own is how many bytes at the end of Text are our own words and no model's:
	// they are not remembered.
	Own int `json:"own,omitempty"`
	// Handed says that a person takes over after this answer.
	Handed *handed `json:"handed,omitempty"`
	// Choices are buttons below the answer.
	Choices []string `json:"choices,omitempty"`
	// Parts are the messages that show the answer while it is written.
	Parts []part `json:"parts,omitempty"`
	// Withdrawn are messages that show what may not be shown.
	Withdrawn []withdrawn `json:"withdrawn,omitempty"`
	Done      bool        `json:"done,omitempty"` // sent and remembered
}

// withdrawn is a part whose message is emptied, the answer's n-th.
type withdrawn struct {
	N int `json:"n"`
	part
}

// part is a message that shows Text[From:] while it is written, and in the end
// Text[From:To].
type part struct {
	From  int       `json:"from"`
	To    int       `json:"to"`            // at least that far is shown, or about to be
	Since time.Time `json:"since"`         // before its first piece was sent
	Key   string    `json:"key,omitempty"` // MsgKey of a one-to-one message, once it is known

	sent     int  // how far IM has confirmed it
	tried    bool // something was sent into the group
	doubt    bool // what IM has of it is unknown: it is completed as a whole
	finished bool // IM has confirmed the last piece
}

// draft is the answer to a message while somebody works on it. Its revision
// fences: once another worker has stored something, this one stores nothing more.
type draft struct {
	*Bots
	m message
	answer
	rev   string // "" before it is stored
	taken bool   // from a worker that died

	before  []Turn // what the model is told of the conversation
	cited   []knowledge.Passage
	handed  *handed // a person was called
	choices []string
}

// draft returns the stored answer to a message, or a new one.
func (b *Bots) draft(ctx context.Context, m message) (*draft, error) {
	d := &draft{Bots: b, m: m}
	item, err := b.c.Store.Get(ctx, m.box(), answerKey(m))
	if errors.Is(err, kv.ErrNotFound) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	d.rev = item.Rev
	if err := json.Unmarshal(item.Value, &d.answer); err != nil {
		return nil, fmt.Errorf("bot: a stored answer does not decode: %w", err)
	}
	for i := range d.Parts {
		d.Parts[i].doubt = true
	}
	return d, nil
}

// errTaken: another worker has the answer in hand.
var errTaken = fmt.Errorf("bot: another worker answers: %w", queue.Later{After: 5 * time.Second})

// store writes the draft down.
func (d *draft) store(ctx context.Context) error {
	put, err := d.put(d.answer)
	if err != nil {
		return err
	}
	rev := kv.NewOp("answer")
	if err := d.c.Store.Commit(ctx, d.m.box(), rev, put); errors.Is(err, kv.ErrConflict) {
		return errTaken
	} else if err != nil {
		return err
	}
	d.rev = rev
	return nil
}

func (d *draft) put(a answer) (kv.Put, error) {
	is := kv.Absent()
	if d.rev != "" {
		is = kv.Rev(d.rev)
	}
	value, err := json.Marshal(a)
	return kv.Put{Key: answerKey(d.m), Value: value, If: is, Expires: d.c.Now().Add(answerKept)}, err
}

func answerKey(m message) string { return "answer/" + m.id() }

// end stores the answer as final.
func (d *draft) end(ctx context.Context, a answer) error {
	a.Parts = d.Parts
	d.answer = a
	return d.store(ctx)
}

// think finds an answer, in the end a polite sentence, and stores it.
func (d *draft) think(ctx context.Context, h *handed) error {
	if d.Open {
		// From here on the worker before can store nothing, if it should live. What
		// it paid for is estimated.
		d.taken = true
		if !d.Counted {
			for _, t := range d.turns() {
				d.Usage.Prompt += Tokens(t.Text)
			}
			d.Usage.Answer += Tokens(d.Text)
		}
		d.Counted = false
		if err := d.store(ctx); err != nil {
			return err
		}
		return d.write(ctx)
	}
	is := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, d.m.Text) })
	}
	switch {
	case is(d.c.Forget):
		return d.end(ctx, answer{Text: d.own(d.c.Texts.Forgot), Forget: true})
	case h != nil && is(d.c.Return):
		return d.end(ctx, answer{Text: d.own(d.c.Texts.Returned)})
	case d.people() && is(d.c.Human):
		summary, err := d.summed(ctx)
		if err != nil {
			return err
		}
		a := answer{Text: d.own(d.c.Texts.Handed), Usage: d.Usage, Day: d.Day}
		if err := d.callPerson(ctx, summary); err != nil {
			d.log(ctx, d.m, err)
			a.Text = d.own(d.c.Texts.Sorry)
		}
		a.Handed = d.handed
		return d.end(ctx, a)
	case d.m.Text == "" && (!d.c.Images || len(d.m.Images) == 0):
		return d.end(ctx, answer{Text: d.own(d.c.Texts.Pictures)})
	}
	d.Day = d.c.Now().UTC().Format(time.DateOnly)
	reserved, err := d.reserve(ctx, d.m, d.Day, d.estimate(d.turns()))
	if err != nil {
		return err
	}
	if !reserved {
		return d.end(ctx, answer{Text: d.own(d.c.Texts.Spent)})
	}
	passed, err := d.judge(ctx, d.m.From, d.m.Robot, d.m.Text)
	if err != nil {
		return err
	}
	if !passed.ok {
		return d.end(ctx, answer{Text: d.own(d.c.Texts.Refused), Day: d.Day}) // which releases the reservation
	}
	d.m.Text = passed.text // with words masked
	return d.write(ctx)
}

// continuations is how often a model is asked to continue an answer that broke
// off.
const continuations = 2

// write has the model answer, with what it wants done on the way, and shows what it
// says.
func (d *draft) write(ctx context.Context) error {
	thinking, cancel := context.WithTimeout(ctx, Thinking)
	defer cancel()
	w := d.writer()
	defer w.close()
	tools := d.toolbox()
	turns := d.turns()
	begun := ""
	if d.taken {
		begun = d.Text
	}
	// fail ends without an answer of the model's.
	fail := func(err error, text string) error {
		d.log(ctx, d.m, err)
		return w.replace(ctx, answer{Text: d.own(text)})
	}
	for tries := 0; ; {
		q := Question{Turns: turns, Tools: tools.offered()}
		var r rest
		r.begun, r.glue, r.half = carryOn(begun)
		q.Begun = r.begun
		text, reply, err := w.listen(thinking, q, r)
		d.Usage.add(reply.Usage)
		if err == nil && q.Begun != "" && len(reply.Calls) == 0 && strings.TrimSpace(reply.Text) == "" && !ended(text) {
			err = errNotContinued
		}
		switch {
		case err == nil && len(reply.Calls) > 0 && len(q.Tools) > 0:
			turns = append(turns, tools.perform(thinking, reply.Text, reply.Calls)...)
			if w.prefix = text; text != "" && !strings.HasSuffix(text, "\n") {
				w.prefix += "\n\n"
			}
			begun = ""
			if d.handed != nil {
				return w.finish(ctx, w.prefix, d.own(d.c.Texts.Handed))
			}
		case err == nil && strings.TrimSpace(text) != "":
			return w.finish(ctx, text, d.sources(text))
		case ctx.Err() != nil:
			// This process ends; another goes on, and knows what was spent.
			settling, cancel := retry.Settle(ctx)
			defer cancel()
			d.Open, d.Counted = true, true
			if err := d.store(settling); err != nil {
				d.log(settling, d.m, err)
			}
			return ctx.Err()
		case errors.Is(err, errTaken), errors.Is(err, errStore):
			return err
		case errors.Is(err, ErrBlocked), errors.Is(err, ErrRefused):
			return fail(err, d.c.Texts.Refused)
		case strings.TrimSpace(text) == "":
			return fail(err, d.c.Texts.Sorry)
		case tries == continuations, errors.Is(err, errSilent), errors.Is(err, errUnjudged), thinking.Err() != nil:
			d.log(ctx, d.m, err)
			return w.finish(ctx, strings.TrimSpace(text), "\n\n"+d.own(d.c.Texts.Broken))
		default:
			tries++
			begun, w.prefix = text, ""
		}
	}
}

// errNotContinued: what is stored of an answer is not its end, and the model says no more.
var errNotContinued = errors.New("bot: the model does not continue the answer")

// ended reports whether a text can be the whole of an answer.
func ended(text string) bool {
	last, _ := utf8.DecodeLastRuneInString(strings.TrimRight(text, " \n\t"))
	return unicode.IsPunct(last) && !strings.ContainsRune(",;:-–—(、，；：", last) || unicode.IsSymbol(last)
}

// carryOn returns how much of an answer that broke off a model is told, so that
// it ends with a whole word, what comes between that and the rest, and the word
// that may be half of one. Of a first word nothing is told: the answer begins anew.
func carryOn(text string) (begun, glue, half string) {
	const longestWord = 40
	begun = strings.TrimRight(text, " \n\t")
	if begun != text {
		return begun, text[len(begun):], "" // the word was whole
	}
	if last, _ := utf8.DecodeLastRuneInString(text); !spaced(last) {
		return text, "", ""
	}
	at := strings.LastIndexAny(text, " \n\t")
	switch {
	case at < 0 && len(text) <= longestWord:
		return "", "", ""
	case at < 0 || len(text)-at > longestWord:
		return text, "", ""
	}
	begun = strings.TrimRight(text[:at], " \n\t")
	return begun, text[len(begun) : at+1], text[at+1:]
}

// spaced reports whether a letter is of a script that puts spaces between words.
func spaced(r rune) bool { return unicode.IsLetter(r) && r < '\u2e80' || unicode.IsDigit(r) }

// rest is an answer that broke off and what a model continues it with.
type rest struct{ begun, glue, half string }

// joined is the whole, where the model began again although it was told not to,
// and where it shows by a space that the last word was whole.
func (r rest) joined(more string) string {
	if r.begun == "" || strings.HasPrefix(more, r.begun) {
		return more
	}
	trimmed := strings.TrimLeft(more, " \n\t")
	if r.half != "" && trimmed != more && !strings.HasPrefix(trimmed, r.half) {
		return r.begun + r.glue + r.half + more
	}
	const least = 12
	for n := min(len(r.begun), len(trimmed)); n >= least; n-- {
		if strings.HasSuffix(r.begun, trimmed[:n]) {
			return r.begun + trimmed[n:]
		}
	}
	switch {
	case trimmed == "":
		return r.begun + r.glue + r.half
	case r.glue != "":
		more = trimmed
	}
	return r.begun + r.glue + more
}

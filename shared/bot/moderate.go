package bot

import (
	"context"
	"errors"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Passage is a text to be judged.
type Passage struct {
	From, To  string // author, and receiver in a one-to-one chat
	GroupID   string
	GroupType im.GroupType
	TopicID   string
	Text      string
}

// Moderation judges what people and robots say to each other.
type Moderation interface {
	// Judge returns the text as it may be shown, with words masked, and whether it may
	// be shown at all. An error says that moderation cannot judge now; the text is not
	// shown then.
	Judge(ctx context.Context, p Passage) (text string, ok bool, err error)
}

// ErrBlocked: moderation blocked the model's answer.
var ErrBlocked = errors.New("bot: the answer was blocked by moderation")

// opinion is what moderation thinks of a text.
type opinion struct {
	text string
	ok   bool
}

func (d *draft) judge(ctx context.Context, from, to, text string) (opinion, error) {
	if d.c.Moderation == nil {
		return opinion{text, true}, nil
	}
	p := Passage{From: from, GroupID: d.m.GroupID, GroupType: d.m.Type, TopicID: d.m.TopicID, Text: text}
	if p.GroupID == "" {
		p.To = to
	}
	masked, ok, err := d.c.Moderation.Judge(ctx, p)
	return opinion{masked, ok}, err
}

// gate releases what a model says by sentence, each after it passed moderation.
type gate struct {
	*draft
	seen   string // of what the model said, what was judged
	passed string // what may be shown of that
}

// maxSentence is how much without an end is judged as a sentence, in bytes.
const maxSentence = 400

// pass returns what may be shown of a text: with whole, that is all of it, and it
// is judged a second time as one, so that nothing passes that stands between two
// sentences.
func (g *gate) pass(ctx context.Context, text string, whole bool) (string, error) {
	if g.c.Moderation == nil {
		return text, nil
	}
	if !strings.HasPrefix(text, g.seen) {
		g.seen, g.passed = "", "" // the model meant something else
	}
	end := len(text)
	if !whole {
		end = len(g.seen) + sentences(text[len(g.seen):])
	}
	if fresh := text[len(g.seen):end]; strings.TrimSpace(fresh) != "" {
		o, err := g.judge(ctx, g.m.Robot, g.m.From, fresh)
		switch {
		case err != nil:
			return g.passed, err
		case !o.ok:
			return g.passed, ErrBlocked
		}
		g.seen, g.passed = text[:end], g.passed+o.text
	}
	if !whole || g.passed == "" {
		return g.passed, nil
	}
	o, err := g.judge(ctx, g.m.Robot, g.m.From, g.passed)
	switch {
	case err != nil:
		return g.passed, err
	case !o.ok:
		return g.passed, ErrBlocked
	}
	return o.text, nil
}

// sentences returns how many bytes of a text are whole sentences, or lines.
func sentences(text string) int {
	end := 0
	for i, r := range text {
		if r == '\n' {
			end = i + 1
		} else if n := sentence(text, i); n > 0 {
			end = n
		}
	}
	if end == 0 && len(text) > maxSentence {
		if end = strings.LastIndexByte(text[:maxSentence], ' ') + 1; end == 0 {
			end = len(im.CutText(text, maxSentence))
		}
	}
	return end
}

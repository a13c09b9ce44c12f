// Package wordlist finds the words of a rule set in messages, disguised ones included,
// fast enough for every message of a chat.
//
// Rule sets are compiled ahead, with scripts/rulec or package compile, into an image,
// which [Open] reads without copying it. A List is immutable and safe for concurrent
// use:
//
//	list, err := wordlist.Open(image)
//	hits, err := list.Find(ctx, nil, text)
//
// Find folds and matches in one pass, and allocates only if it finds a word. How a text
// is read:
//
//   - Letters are compared in their plainest form: NFKC, without case and accents,
//     look-alikes of other alphabets as Latin letters, traditional and Japanese
//     characters as simplified ones, hiragana for all kana, small kana as large ones.
//     Invisible characters are skipped.
//   - Signs may stand between the letters of a word, up to [MaxGap] in a row: symbols
//     anywhere, spaces between Han characters; spaces and punctuation elsewhere only in
//     a word that is spelled out (f u c k, f.u.c.k, but not as s).
//   - An exclamation mark between Han characters or kana is a sign like any other. An
//     ideographic full stop is a dot if the word has a dot there.
//   - A word of an alphabet that is spelled out in pieces is no hit if a piece of two
//     letters is an English word (p or n).
//   - Letters may be repeated: letters of an alphabet any number of times, others three
//     times or more. A doubled letter of a word must be at least doubled in the text.
//   - Digits and signs inside a word of an alphabet are also read as the letters they
//     resemble (sh1t, a$$).
//   - A word that begins or ends with a letter of an alphabet, or with a digit, must
//     stand alone at that edge: Scunthorpe is a town. Rules may override this.
//   - A word of Han or kana is no hit where an ordinary word is likelier across one of
//     its edges: 印刷|单位 has no 刷单.
//   - Text that an allowed phrase covers completely is no hit. Neither is text within a
//     URL or an e-mail address, unless the rule has urls set; the rule is then matched
//     through percent-encoding, too.
//
// Hangul is compared syllable by syllable: jamo are not composed.
package wordlist

import (
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// MaxGap bounds the signs in a row that a word may have between two letters.
const MaxGap = 6

// Action is the treatment of a text with a hit.
type Action string

const (
	Allow  Action = "allow"  // nothing; only scopes use it, to lift a rule
	Shadow Action = "shadow" // deliver, and log the verdict
	Mask   Action = "mask"   // deliver with the hit masked
	Review Action = "review" // hold for a moderator's decision
	Drop   Action = "drop"   // the sender sees success, nobody sees the message
	Reject Action = "reject" // the sender gets an error
)

// Actions lists all actions, mildest first.
var Actions = []Action{Allow, Shadow, Mask, Review, Drop, Reject}

// Word is the part of a rule that a verdict needs.
type Word struct {
	Text     string // as the rule set has it
	Category string
	Severity int // 1 to 5
	Action   Action
}

// Hit is a word found in a text: text[Start:End] is the word as it was written.
type Hit struct {
	Start, End int
	Word       Word
}

// List is a compiled rule set.
type List struct {
	im    *image.Image
	ascii [128]uint16
	idle  [256]bool // bytes that are letters of an alphabet no word begins with inside another
	signs [256]bool // bytes that may be leet
	urls  bool      // some words are looked for in addresses
}

// Open opens an image without copying it; the image must not change afterwards. Open
// returns an error for data that is not an image, and for an image of another format,
// truncated or damaged.
func Open(data string) (*List, error) {
	im, err := image.Open(data)
	if err != nil {
		return nil, err
	}
	l := &List{im: im}
	for r := range l.ascii {
		code := im.Pages[int(im.Index[0])*image.PageSize+r]
		l.ascii[r] = code
		l.idle[r] = code-image.NoneAlpha < im.Sizes[image.AlphaCodes] && (int(code) >= len(im.Inner) || im.Inner[code] == 0)
	}
	for _, k := range im.Kinds {
		l.urls = l.urls || k.Flags&image.URLs != 0
	}
	for b, code := range l.ascii {
		l.signs[b] = l.mayBeLeet(code)
	}
	return l, nil
}

// Version returns the rule set's version.
func (l *List) Version() string { return l.im.Name(0) }

// Action returns the action for a hit of a word: that of the first scope with an action
// for the word's category, otherwise the word's own action. Name the narrowest scope
// first: "topic:T", "room:G", "type:Public".
func (l *List) Action(w Word, scopes ...string) Action {
	for _, scope := range scopes {
		all := Action("")
		for _, s := range l.im.Scopes {
			if l.im.Name(int(s.Name)) != scope {
				continue
			}
			action := Action(l.im.Name(int(s.Action)))
			if s.Category == 0 {
				all = action
			} else if l.im.Name(int(s.Category)) == w.Category {
				return action
			}
		}
		if all != "" {
			return all
		}
	}
	return w.Action
}

func (l *List) word(i uint32) Word {
	k := l.kind(i)
	return Word{
		Text:     l.im.WordText(int(i)),
		Category: l.im.Name(int(k.Category)),
		Severity: int(k.Severity),
		Action:   Action(l.im.Name(int(k.Action))),
	}
}

// kind returns what a word shares with others; an image that lies gets none.
func (l *List) kind(word uint32) (k image.Kind) {
	if uint64(word) < uint64(len(l.im.Words)) {
		if i := int(l.im.Words[word].Kind); i < len(l.im.Kinds) {
			k = l.im.Kinds[i]
		}
	}
	return k
}

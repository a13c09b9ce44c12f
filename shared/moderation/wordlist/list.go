// Package wordlist finds the words of a rule set in what people write, however
// they disguise them, at chat speed.
//
// Rule sets are compiled ahead, with scripts/rulec or package compile, into an
// image; Open views it where it lies. A List is immutable and safe for
// concurrent use:
//
//	list, err := wordlist.Open(image)
//	hits := list.Find(nil, text)
//
// Find folds and matches in one pass, and allocates nothing unless a word is
// found. How a text is read:
//
//   - Letters are compared in their plainest form: NFKC, without case and
//     accents, look-alikes of other alphabets as Latin letters, traditional and
//     Japanese characters as simplified ones, hiragana for all kana, small kana
//     as large ones. What cannot be seen is not there.
//   - Signs may stand between the letters of a word, up to MaxGap in a row:
//     symbols anywhere, spaces between Han characters; spaces and punctuation
//     elsewhere only where a word is spelled out (f u c k, f.u.c.k, but not
//     as s).
//   - An exclamation mark between Han characters or kana is a sign as any other.
//     An ideographic full stop is a dot where a word has one.
//   - A word of an alphabet that is spelled out in pieces has no piece of two
//     letters that is a word of English (p or n).
//   - Letters may be repeated: those of an alphabet at will, others three times
//     or more. A word that doubles a letter wants it at least doubled.
//   - Digits and signs inside a word of an alphabet are read as the letters they
//     resemble (sh1t, a$$), too.
//   - A word that begins or ends with a letter of an alphabet, or with a digit,
//     stands alone there: Scunthorpe is a town. Rules may ask otherwise.
//   - A word of Han or kana is no hit where an ordinary word is likelier across one
//     of its edges: 印刷|单位 has no 刷单.
//   - What an allowed phrase covers wholly is no hit. Nor is what lies within a
//     URL or an e-mail address, unless the rule looks there. It then sees through
//     percent-encoding, too.
//
// Hangul is taken syllable by syllable: jamo are not put together.
package wordlist

import (
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// MaxGap bounds the signs in a row that a word may have between two letters.
const MaxGap = 6

// Action is what shall happen to a text with a hit.
type Action string

const (
	Allow  Action = "allow"  // nothing; only scopes use it, to lift a rule
	Shadow Action = "shadow" // deliver, and log the verdict
	Mask   Action = "mask"   // deliver with the hit masked
	Review Action = "review" // hold for a person to decide
	Drop   Action = "drop"   // the sender sees success, nobody sees the message
	Reject Action = "reject" // the sender is told that the message was refused
)

// Actions lists all actions, mildest first.
var Actions = []Action{Allow, Shadow, Mask, Review, Drop, Reject}

// Word is a rule, as far as a verdict needs it.
type Word struct {
	Text     string // as the rule set has it
	Category string
	Severity int // 1 to 5
	Action   Action
}

// Hit is a word found: text[Start:End] is how it was written.
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

// Open views an image without copying it; the image must not change afterwards. It
// returns an error for data that is no image, and for an image of another format,
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

// Action returns what shall happen to a hit of a word: what the first of the
// scopes says that says anything, otherwise the word's own action. Name the
// narrowest scope first: "topic:T", "room:G", "type:Public".
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

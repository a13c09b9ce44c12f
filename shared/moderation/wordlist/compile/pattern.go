package compile

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// letter is one character of a folded word.
type letter struct {
	r   rune
	gap uint16 // what stood before it in the rule's text: a code, Skip for nothing
}

// lettersOf folds a text into its letters.
func lettersOf(text string) []letter {
	var out []letter
	gap := image.Skip
	for _, composed := range compose(text) {
		for _, r := range fold(composed) {
			sign := signOf(r)
			switch {
			case r == mark:
			case sign == image.None:
				out, gap = append(out, letter{r, gap}), image.Skip
			case len(out) > 0 && (gap == image.Skip || gap == image.Space):
				gap = sign // a sign says more than the space beside it
			}
		}
	}
	return out
}

// compose puts kana and the voicing marks behind them together.
func compose(text string) string { return norm.NFC.String(combining.Replace(text)) }

// combining makes the voicing marks that stand alone combine.
var combining = strings.NewReplacer("゛", "\u3099", "゜", "\u309a", "ﾞ", "\u3099", "ﾟ", "\u309a")

// pattern is one way to write a word: its letters, equal neighbours once.
type pattern struct {
	rule   int // index in RuleSet.Words, or -1-index in RuleSet.Allow
	runes  []rune
	shapes []image.Shape
}

// plain tells that the shapes say nothing.
func (p *pattern) plain() bool {
	return !slices.ContainsFunc(p.shapes, func(s image.Shape) bool { return s != image.Shape{Run: 1} })
}

// patternOf squeezes the letters.
func patternOf(rule int, letters []letter) pattern {
	p := pattern{rule: rule}
	for _, l := range letters {
		if n := len(p.runes); n > 0 && p.runes[n-1] == l.r {
			s := &p.shapes[n-1]
			s.Run = uint8(min(int(s.Run)+1, 255))
			if l.gap != image.Skip {
				s.Inside = uint8(l.gap)
			}
			continue
		}
		p.runes = append(p.runes, l.r)
		p.shapes = append(p.shapes, image.Shape{Run: 1, Before: uint8(l.gap)})
	}
	return p
}

// numerals are the ways to write a number, as they fold.
var numerals = []string{"0零〇", "1一壹", "2二贰", "3三叁", "4四肆", "5五伍", "6六陆", "7七柒", "8八捌", "9九玖", "十拾", "百佰", "千仟阡", "万萬"}

// maxWays bounds the ways to write the numbers of one word.
const maxWays = 243

// ways returns all ways to write the letters when numbers are the same in every
// script.
func ways(letters []letter) ([][]letter, error) {
	out := [][]letter{letters}
	for i, l := range letters {
		for _, same := range numerals {
			if !strings.ContainsRune(same, l.r) {
				continue
			}
			var more [][]letter
			for _, way := range out {
				for _, r := range same {
					if len(fold(r)) != 1 || fold(r)[0] != r {
						continue // folds to one of the others anyway
					}
					way = slices.Clone(way)
					way[i].r = r
					more = append(more, way)
				}
			}
			if out = more; len(out) > maxWays {
				return nil, fmt.Errorf("its numbers can be written in more than %d ways", maxWays)
			}
		}
	}
	return out, nil
}

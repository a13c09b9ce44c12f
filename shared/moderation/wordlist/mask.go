package wordlist

import (
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// Mask replaces what the wanted hits cover by stars, one for each character that
// can be seen. It looks again until no wanted hit is left, since stars may bring
// the halves of another word together. The result is never longer than the text.
func (l *List) Mask(text string, want func(Hit) bool) string {
	var hits []Hit
	for {
		hits = slices.DeleteFunc(l.Find(hits[:0], text), func(h Hit) bool { return !want(h) })
		masked := l.stars(text, hits)
		if masked == text {
			return text
		}
		text = masked
	}
}

// stars masks hits that are ordered by their start.
func (l *List) stars(text string, hits []Hit) string {
	var b strings.Builder
	done := 0
	for _, h := range hits {
		if h.End <= done {
			continue
		}
		from := max(done, h.Start)
		b.WriteString(text[done:from])
		for i, r := range text[from:h.End] {
			if code, _ := l.code(text, from+i); code != image.Skip && r != '\u3099' && r != '\u309a' {
				b.WriteByte('*')
			}
		}
		done = h.End
	}
	b.WriteString(text[done:])
	return b.String()
}

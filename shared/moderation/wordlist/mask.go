package wordlist

import (
	"context"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// Mask replaces the text of the wanted hits by stars, one for each visible character.
// It repeats the search until no wanted hit is left, since stars may join the halves of
// another word. The result is never longer than the text. With an error, which is one
// of [List.Find]'s, Mask returns no text.
func (l *List) Mask(ctx context.Context, text string, want func(Hit) bool) (string, error) {
	var hits []Hit
	for {
		var err error
		if hits, err = l.Find(ctx, hits[:0], text); err != nil {
			return "", err
		}
		hits = slices.DeleteFunc(hits, func(h Hit) bool { return !want(h) })
		masked := l.stars(text, hits)
		if masked == text {
			return text, nil
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

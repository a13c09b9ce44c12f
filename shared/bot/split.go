package bot

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/im"
)

const (
	// MaxPart bounds a message of an answer, in bytes. As JSON a message may be twice
	// as long, which is well below IM's 12 KB.
	MaxPart = 4000
	// MaxParts bounds the messages of an answer; the rest of a longer answer is left
	// out.
	MaxParts = 10
)

// Split cuts a text into parts of at most so many bytes, at least 16: where a
// paragraph ends, or a sentence, or a word, and if nothing else between two
// characters. Invalid UTF-8 is left out, and so is the text beyond MaxParts.
func Split(text string, bytes int) []string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text))
	var parts []string
	for text != "" {
		if len(parts) == MaxParts {
			last := &parts[MaxParts-1]
			*last = im.CutText(*last, bytes-len("…")) + "…"
			break
		}
		n := edge(text, bytes)
		if part := strings.TrimSpace(text[:n]); part != "" {
			parts = append(parts, part)
		}
		text = strings.TrimSpace(text[n:])
	}
	return parts
}

// edge returns how much of a text goes into one part.
func edge(text string, bytes int) int {
	if len(text) <= bytes {
		return len(text)
	}
	most := len(im.CutText(text, bytes))
	// Not so early that the parts get short.
	least := most / 2
	for _, ends := range []func(string, int) int{
		func(s string, i int) int { return behind(s, i, "\n\n") },
		func(s string, i int) int { return behind(s, i, "\n") },
		sentence,
		func(s string, i int) int { return behind(s, i, " ") },
	} {
		best := 0
		for i := range text[:most] {
			if n := ends(text, i); n > least && n <= most {
				best = n
			}
		}
		if best > 0 {
			return best
		}
	}
	return most
}

func behind(s string, i int, mark string) int {
	if strings.HasPrefix(s[i:], mark) {
		return i + len(mark)
	}
	return 0
}

// sentence returns the offset behind a sentence that ends at i, 0 for none: a
// full stop of the West needs a space behind it.
func sentence(s string, i int) int {
	r, size := utf8.DecodeRuneInString(s[i:])
	switch r {
	case '。', '！', '？', '｡':
		return i + size
	case '.', '!', '?':
		if next, _ := utf8.DecodeRuneInString(s[i+size:]); unicode.IsSpace(next) {
			return i + size
		}
	}
	return 0
}

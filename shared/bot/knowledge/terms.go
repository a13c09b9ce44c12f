package knowledge

import (
	"strings"
	"unicode"
)

// term is what a text is indexed and asked by.
type term struct {
	text   string
	weight float64 // in a query
}

// A pair of characters says more than each of them.
const ofCharacter = 0.4

// terms returns the terms of a text: words in lower case without the endings of
// English, and of scripts without spaces each character and each pair.
func terms(text string) []term {
	var out []term
	var word []rune // of a script with spaces
	var last rune   // of a script without
	run := 0
	flush := func() {
		if len(word) > 0 {
			if w := stem(string(word)); !common[w] {
				out = append(out, term{w, 1})
			}
			word = word[:0]
		}
	}
	for _, r := range text {
		r = folded(r)
		switch {
		case unspaced(r):
			flush()
			if run > 0 {
				out = append(out, term{string([]rune{last, r}), 1})
			}
			if unicode.Is(unicode.Han, r) {
				out = append(out, term{string(r), ofCharacter})
			}
			last, run = r, run+1
			continue
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.Mn, r):
			word = append(word, r)
		case (r == '\'' || r == '’') && len(word) > 0:
			word = append(word, '\'')
		default:
			flush()
		}
		last, run = 0, 0
	}
	flush()
	return out
}

// unspaced reports whether a script puts no spaces between words.
func unspaced(r rune) bool {
	return r >= 0x0e00 && (unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar) || r == 'ー')
}

// folded is a character in lower case and of the usual width.
func folded(r rune) rune {
	switch {
	case 0xff01 <= r && r <= 0xff5e: // full width
		r -= 0xfee0
	case r == 0x3000:
		return ' '
	}
	return unicode.ToLower(r)
}

// stem takes the commonest endings of English away, the same of all forms of a
// word as far as that goes without a dictionary.
func stem(w string) string {
	w = strings.Trim(strings.TrimSuffix(strings.TrimSuffix(w, "'s"), "'"), "'")
	for i := range len(w) {
		if w[i] < 'a' || w[i] > 'z' {
			return w
		}
	}
	cut := func(ending, instead string, least int) bool {
		if strings.HasSuffix(w, ending) && len(w)-len(ending) >= least {
			w = w[:len(w)-len(ending)] + instead
			return true
		}
		return false
	}
	switch {
	case cut("sses", "ss", 1), cut("ies", "y", 2), strings.HasSuffix(w, "ss"), strings.HasSuffix(w, "us"):
	default:
		cut("s", "", 3)
	}
	switch {
	case cut("ing", "", 3), cut("ed", "", 3), cut("ment", "", 4), cut("ly", "", 4):
		if n := len(w); n > 2 && w[n-1] == w[n-2] && !strings.ContainsRune("lsz", rune(w[n-1])) {
			w = w[:n-1] // shipped, shipping
		}
	}
	cut("e", "", 3)
	cut("y", "i", 2)
	return w
}

// common are words that say nothing of what a question is about, stemmed.
var common = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a an the and or but if of to in on at by for from with as is are was were be been am
		i me my mine you your yours he she it its we us our ours they them their this that these those
		do does did have has had can could will would shall should may might must not no
		what which who whom when where why how there here than then so too very just also
		please want need get got im i'm don't doesn't can't what's it's`) {
		m[w], m[stem(w)] = true, true
	}
	return m
}()

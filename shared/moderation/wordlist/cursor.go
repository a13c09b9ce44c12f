package wordlist

import (
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// cursor reads a text code by code, as scan.all does, for the few places that
// need a second look.
type cursor struct {
	*scan
	i    int    // offset of what comes next
	at   int    // offset of the current character
	more span   // its other codes, in Folds
	sub  int    // which of all of them was the last
	leet uint16 // the code it has when it is not leet, Skip for other characters
	bang bool   // it is an exclamation mark, as a sign
}

// cursorAt returns a cursor before the character at a place.
func (s *scan) cursorAt(p int) cursor {
	c := cursor{scan: s, i: p >> subBits}
	if sub := p & (1<<subBits - 1); sub > 0 {
		_, size := s.code(s.text, c.i)
		c.at, c.i = c.i, c.i+size
		c.more = s.fold(s.text[c.at:c.i])
		c.more.start, c.sub = min(c.more.start+sub, c.more.end), sub-1
	}
	return c
}

// next returns the next code, and false at the end of the text.
func (c *cursor) next() (uint16, bool) {
	c.leet, c.bang = image.Skip, false
	if c.more.start < c.more.end {
		c.more.start++
		c.sub++
		return c.resolve(c.im.Folds[c.more.start-1]), true
	}
	for c.i < len(c.text) {
		code, size := c.code(c.text, c.i)
		c.at, c.i, c.sub, c.more = c.i, c.i+size, 0, span{}
		if code == image.Many {
			if c.more = c.fold(c.text[c.at:c.i]); c.more.start < c.more.end {
				code = c.im.Folds[c.more.start]
				c.more.start++
			}
		}
		if code != image.Skip && code != image.Mark {
			return c.resolve(code), true
		}
	}
	return image.None, false
}

// place returns where the last code was.
func (c *cursor) place() int { return place(c.at, c.sub) }

// resolve turns codes of double meaning into one.
func (c *cursor) resolve(code uint16) uint16 {
	switch {
	case code >= image.FirstKana && c.more.end == 0:
		end := c.i
		code, c.i = c.voiced(c.text, code, c.i)
		c.left -= c.i - end
	case image.At <= code && code < image.None:
		if c.reading != asWritten && c.more.end == 0 {
			if c.mayBeLeet(code) && c.readAsLetter(c.at) {
				c.leet = code
				return c.im.Leet[int(c.reading-leetI)*int(image.FirstLetter)+int(code)]
			}
		}
		c.bang = code == image.Bang
		return asSign(code)
	}
	return code
}

// before returns the code of the character that ends at an offset, and where it
// starts. Of a character with several codes it is the last.
func (l *List) before(text string, end int) (code uint16, start int) {
	_, size := utf8.DecodeLastRuneInString(text[:end])
	start = end - size
	code, _ = l.code(text, start)
	if code == image.Many {
		if f := l.fold(text[start:end]); f.start < f.end {
			code = l.im.Folds[f.end-1]
		}
	}
	return code, start
}

// neighbour returns the code before a place that is not invisible, and its
// character; None at the start of the text.
func (s *scan) neighbour(p int) (code uint16, r rune) {
	i, sub := p>>subBits, p&(1<<subBits-1)
	if sub > 0 {
		r, size := utf8.DecodeRuneInString(s.text[i:])
		if f := s.fold(s.text[i : i+size]); f.start+sub <= f.end {
			return s.im.Folds[f.start+sub-1], r
		}
	}
	for i > 0 {
		s.left--
		code, start := s.before(s.text, i)
		if code != image.Skip && code != image.Mark {
			r, _ = utf8.DecodeRuneInString(s.text[start:])
			return code, r
		}
		i = start
	}
	return image.None, 0
}

// following returns the code behind an offset that is not invisible, and its
// character; None at the end of the text.
func (s *scan) following(i int) (code uint16, r rune) {
	if i = s.skipped(i); i == len(s.text) {
		return image.None, 0
	}
	code, size := s.code(s.text, i)
	if code == image.Many {
		if f := s.fold(s.text[i : i+size]); f.start < f.end {
			code = s.im.Folds[f.start]
		}
	}
	r, _ = utf8.DecodeRuneInString(s.text[i:])
	return code, r
}

// skipped returns the offset behind what is invisible: marks belong to the
// letter before them.
func (s *scan) skipped(i int) int {
	for i < len(s.text) {
		code, size := s.code(s.text, i)
		if code != image.Skip && code != image.Mark {
			break
		}
		s.left--
		i += size
	}
	return i
}

// group returns the group of a code.
func (l *List) group(code uint16) uint8 {
	if int(code) < len(l.im.Groups) {
		return l.im.Groups[code]
	}
	return image.Other
}

package wordlist

import (
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// maxLeet bounds the characters of leet in a row: longer is a number.
const maxLeet = 8

// leetRun is a row of characters that may be leet, and what was found out.
type leetRun struct {
	span      // all of it, as far as anybody looked
	read span // the part that is read as letters, empty for none
}

// leet decides about a character that may be leet: it returns the code to go on
// with in this reading. When everything is taken as written it first reads the
// neighbourhood, from a few letters before, in the other ways; but only if words
// that go on from here promise anything.
func (s *scan) leet(w *walk, code uint16, at int) uint16 {
	if s.allowed || !s.mayBeLeet(code) {
		return asSign(code)
	}
	if at < s.run.start || at >= s.run.end {
		s.run = s.leetRun(at)
	}
	switch {
	case at < s.run.read.start, at >= s.run.read.end:
		return asSign(code)
	case s.reading != asWritten:
		return s.im.Leet[int(s.reading-leetI)*int(image.FirstLetter)+int(code)]
	}
	run, longest := s.run, int(s.im.Sizes[image.LongestAlpha])
	for _, r := range [...]reading{leetI, leetL} {
		if longest == 0 || at < s.done[r] {
			continue
		}
		s.reading, s.trigger, s.run = r, span{at, run.read.end}, run
		if !s.promises(w, at) {
			continue
		}
		start := at
		if back := min(w.n, longest, image.Depth); back > 0 {
			start = w.ring[uint(w.n-back)%image.Depth] >> subBits
		}
		s.run = leetRun{}
		s.done[r] = max(s.again(start), run.read.end)
	}
	s.reading, s.run = asWritten, run
	return asSign(code)
}

// touched sorts out, cheaply, most characters that are no leet: one beside them
// must be a letter of an alphabet, or may be leet itself.
func (s *scan) touched(w *walk, at, end int) bool {
	near := func(code uint16) bool {
		return s.isAlpha(code) || s.mayBeLeet(code) || code == image.Skip || code == image.Mark || code == image.Many
	}
	if end < len(s.text) {
		if code, _ := s.code(s.text, end); near(code) {
			return true
		}
	}
	if w.gap == 0 {
		return near(w.prev) && w.n > 0
	}
	_, size := utf8.DecodeLastRuneInString(s.text[:at])
	code, _ := s.code(s.text, at-size)
	return near(code)
}

// promises tells whether a word may end in the letters from an offset on. The
// state holds all that could begin before, and perhaps something that cannot in
// this reading, so that a no is certain.
func (s *scan) promises(w *walk, at int) bool {
	state, prev, gap := w.state, w.prev, 0
	for c := s.cursorAt(place(at, 0)); ; {
		code, ok := c.next()
		switch {
		case !ok:
			return false
		case code > image.Stop:
			if gap = 0; code != prev || state == 0 {
				state = s.step(&s.im.Nodes[state], code, s.im.Root)
			}
			prev = code
			if s.im.Nodes[state].Flags&image.Ends != 0 {
				return true
			}
			if state == 0 {
				return false
			}
		case gap == MaxGap:
			return false
		default:
			gap++
		}
	}
}

// again matches the text from an offset on as scan.all does, in a leet reading.
// It returns where no word can hold the trigger any more.
func (s *scan) again(start int) int {
	var w walk
	for c := s.cursorAt(place(start, 0)); ; {
		code, ok := c.next()
		if !ok {
			s.report(&w, w.state, w.n, false)
			return len(s.text)
		}
		s.take(&w, code, c.place())
		if w.state == 0 && c.at >= s.trigger.end {
			return c.at
		}
	}
}

// leetRun looks at the row around a character that may be leet. The row is read
// as letters where it touches a letter of an alphabet, or has signs that are
// rare otherwise (@$$). Exclamation marks and bars at its ends must touch one
// themselves.
func (s *scan) leetRun(at int) leetRun {
	var (
		codes [2*maxLeet + 1]uint16
		ends  [2*maxLeet + 2]int // of codes[i] at i+1
		left  = maxLeet
		right = maxLeet
	)
	first, size := s.code(s.text, at)
	codes[maxLeet], ends[maxLeet], ends[maxLeet+1] = first, at, at+size
	before, after := image.None, image.None
	for i := at; i > 0; {
		_, size := utf8.DecodeLastRuneInString(s.text[:i])
		i -= size
		code, _ := s.code(s.text, i)
		if code == image.Skip || code == image.Mark {
			continue
		}
		if !s.mayBeLeet(code) || left == 0 {
			before, _ = s.neighbour(place(i+size, 0))
			break
		}
		left--
		codes[left], ends[left] = code, i
	}
	for i := at + size; i < len(s.text); {
		code, size := s.code(s.text, i)
		if code != image.Skip && code != image.Mark {
			if !s.mayBeLeet(code) || right == 2*maxLeet {
				after, _ = s.following(i)
				break
			}
			right++
			codes[right], ends[right+1] = code, i+size
		}
		i += size
	}
	row := leetRun{span: span{ends[left], ends[right+1]}}
	if right-left >= maxLeet {
		return row
	}
	lettersLeft, lettersRight := s.group(before) == image.Alpha, s.group(after) == image.Alpha
	for !lettersLeft && left <= right && (codes[left] == image.Bang || codes[left] == image.Bar) {
		left++
	}
	for !lettersRight && left <= right && (codes[right] == image.Bang || codes[right] == image.Bar) {
		right--
	}
	if left > right {
		return row
	}
	rare := false
	for _, code := range codes[left : right+1] {
		rare = rare || left < right && (code == image.At || code == image.Dollar)
	}
	if lettersLeft || lettersRight || rare {
		row.read = span{ends[left], ends[right+1]}
	}
	return row
}

// isAlpha tells whether a code is a letter of an alphabet, in a word or not.
func (l *List) isAlpha(code uint16) bool {
	return code-image.NoneAlpha < l.im.Sizes[image.AlphaCodes]
}

func (l *List) mayBeLeet(code uint16) bool {
	return image.At <= code && code < image.None && l.im.Leet[code] != image.Skip
}

// ambiguous tells that the two readings of a code differ.
func (l *List) ambiguous(code uint16) bool {
	return code < image.FirstLetter && l.im.Leet[code] != l.im.Leet[image.FirstLetter+code]
}

// asSign returns what a code is when it is not leet.
func asSign(code uint16) uint16 {
	switch code {
	case image.At, image.Dollar, image.Bar:
		return image.Joint
	case image.Bang:
		return image.Stop
	}
	return code
}

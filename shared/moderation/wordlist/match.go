package wordlist

import (
	"slices"
	"unicode"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// match is a word that the automaton saw, read a second time: the automaton
// knows nothing of how often a letter stands there and what stands between.
type match struct {
	flags  uint32
	place  int // where it starts
	end    int
	first  uint16 // letters at the edges
	last   uint16
	lastAt int
	more   span // codes behind the last letter of the same character, in Folds

	splits   int  // gaps that only a word spelled out may have
	hard     bool // one of them is more than a space between kana
	stop     bool // one of them is punctuation
	alpha    bool // one of them is between letters of an alphabet
	segments int  // parts between gaps
	segment  int  // letters of the present one
	longest  int
	pair     [2]uint16 // the last two letters
	piece    bool      // a part of two letters is an ordinary word

	letters, digits int  // of the text, in a leet reading
	leet            bool // some are leet, in the second reading leet with two meanings
}

// try decides whether a word is at a place, and keeps it if it is a hit.
func (s *scan) try(word uint32, p int) {
	kind := s.kind(word)
	allowed := kind.Flags&image.Allow != 0
	if allowed && s.reading != asWritten {
		return
	}
	m := match{flags: kind.Flags, place: p}
	shapes, tail := s.details(word, kind.Flags)
	if !s.read(&m, int(s.im.Words[word].Len), shapes, tail) {
		return
	}
	start, end := m.place>>subBits, s.skipped(m.end)
	switch {
	case s.urlsOnly && kind.Flags&image.URLs == 0:
	case allowed:
		s.allow(start, end)
	case kind.Flags&image.Exact != 0 && s.text[start:m.end] != s.im.WordText(int(word)):
	case kind.Flags&image.URLs == 0 && s.inAddress(start, end):
	case kind.Flags&image.Cuttable != 0 && s.cut(word, &m):
	case !s.spend(hitFee):
	default:
		s.hits = append(s.hits, Hit{Start: start, End: end, Word: s.word(word)})
	}
}

// cut tells whether the text has an ordinary word across an edge of the match.
func (s *scan) cut(word uint32, m *match) bool {
	e := image.EdgeOf(word, false)
	if m.place&(1<<subBits-1) == 0 {
		for i, n := m.place>>subBits, 0; i > 0 && n < image.LongestCut; {
			code, start := s.before(s.text, i)
			i = start
			if code == image.Mark {
				if code, start = s.voice(i); code != image.Skip {
					i = start
				}
			}
			if code == image.Skip {
				s.left--
				continue
			}
			if !s.unspaced(code) {
				break
			}
			if e = e.Next(code); s.isCut(e) {
				return true
			}
			n++
		}
	}
	if m.more.start < m.more.end {
		return false
	}
	e = image.EdgeOf(word, true)
	c := s.cursorAt(place(m.end, 0))
	for range image.LongestCut {
		code, ok := c.next()
		if !ok || !s.unspaced(code) {
			break
		}
		if e = e.Next(code); s.isCut(e) {
			return true
		}
	}
	return false
}

func (s *scan) isCut(e image.Edge) bool {
	_, found := slices.BinarySearch(s.im.Cuts, uint64(e))
	return found
}

// details returns what the automaton does not know of a word: the shapes of its
// letters, none if all are plain, and the codes of those behind the first Depth.
func (l *List) details(word, flags uint32) (shapes []image.Shape, tail []uint16) {
	if flags&image.Detailed == 0 {
		return nil, nil
	}
	i, found := slices.BinarySearchFunc(l.im.Details, word, func(d image.Detail, word uint32) int {
		return int(int64(d.Word) - int64(word))
	})
	if !found {
		return nil, nil
	}
	d, n := l.im.Details[i], uint64(l.im.Words[word].Len)
	if from := uint64(d.Shape); from+n <= uint64(len(l.im.Shapes)) {
		shapes = l.im.Shapes[from : from+n]
	}
	if from := uint64(d.Tail); n > image.Depth && from+n-image.Depth <= uint64(len(l.im.Tails)) {
		tail = l.im.Tails[from : from+n-image.Depth]
	}
	return shapes, tail
}

// read goes over the word's rows of equal letters in the text.
func (s *scan) read(m *match, rows int, shapes []image.Shape, tail []uint16) bool {
	c := s.cursorAt(m.place)
	code, ok := c.next()
	m.place = place(c.at, m.place&(1<<subBits-1))
	m.first = code
	long := 0
	for row := range rows {
		shape := image.Shape{Run: 1}
		if shapes != nil {
			shape = shapes[row]
		}
		switch {
		case !ok:
			return false
		case row >= image.Depth && (row-image.Depth >= len(tail) || tail[row-image.Depth] != code):
			return false
		}
		letter, run := code, 0
		fresh, again := match{}, false
		gaps, fits := uint16(0), true
		for {
			if run++; !s.spend(letterFee) {
				return false
			}
			c.count(m, letter)
			if again {
				c.count(&fresh, letter)
			}
			m.end, m.lastAt, m.more = c.i, c.at, c.more
			if code, gaps, ok = c.skipGap(); !ok || code != letter {
				break
			}
			if gaps != 0 {
				if row == rows-1 && run >= int(shape.Run) {
					break // what follows belongs to the next word
				}
				if row == 0 {
					fresh, again = match{flags: m.flags, place: place(c.at, 0), first: letter}, true
				}
				fits = s.gap(m, gaps, uint16(shape.Inside), letter, letter) && fits
			}
		}
		if again && fresh.segment >= int(shape.Run) {
			// The word before ends with the letter that this one begins with.
			fresh.end, fresh.lastAt, fresh.more = m.end, m.lastAt, m.more
			*m, run, fits = fresh, fresh.segment, true
		}
		if !fits || !s.fits(m, letter, run, int(shape.Run), row == 0, row == rows-1) {
			return false
		}
		if row == 0 && !s.leftBorder(m) {
			return false
		}
		m.last = letter
		long += int(shape.Run)
		if row < rows-1 {
			own := image.Skip
			if shapes != nil {
				own = uint16(shapes[row+1].Before)
			}
			if !ok || !s.gap(m, gaps, own, letter, code) {
				return false
			}
		}
	}
	return s.rightBorder(m) && s.spelled(m, long) && s.plausible(m)
}

// count counts one letter of the text.
func (c *cursor) count(m *match, letter uint16) {
	m.pair = [2]uint16{m.pair[1], letter}
	m.segment++
	m.letters++
	if c.leet != image.Skip {
		if c.leet >= image.Digit {
			m.digits++
		}
		if c.reading != leetL || c.ambiguous(c.leet) {
			m.leet = true
		}
	}
}

// skipGap returns the next letter, the kinds of the signs before it as a set,
// and false if no letter of the word can follow.
func (c *cursor) skipGap() (code, gaps uint16, ok bool) {
	for count := 0; ; {
		code, ok = c.next()
		if !ok || code < image.Joint || code > image.Stop {
			return code, gaps, ok && (code < image.None || code >= image.FirstKana && code != image.NoneAlpha)
		}
		if count++; count > MaxGap {
			return code, gaps, false
		}
		if c.bang {
			code = image.Bang
		}
		gaps |= 1 << code
	}
}

// gap judges the signs between two letters, where the rule itself may have one.
func (s *scan) gap(m *match, gaps, own, left, right uint16) bool {
	if gaps&(1<<image.Bang) != 0 {
		// Between letters that are written without gaps it is a sign as any other.
		gaps &^= 1 << image.Bang
		if s.unspaced(left) && s.unspaced(right) {
			gaps |= 1 << image.Joint
		} else {
			gaps |= 1 << image.Stop
		}
	}
	if m.flags&(image.Allow|image.Exact) != 0 {
		return gaps&^(1<<own|1<<image.Space) == 0 && (own != image.Skip || gaps == 0)
	}
	weak := gaps &^ (1 << image.Joint)
	if weak != 0 {
		s.endSegment(m)
	}
	switch {
	case own == image.Space:
		return true
	case own == image.Dot:
		return gaps&(1<<image.Dot|1<<image.Period) != 0
	case own != image.Skip:
		return gaps&(1<<own) != 0
	case weak == 0:
		return true
	}
	a, b := s.group(left), s.group(right)
	alphaA, alphaB := a == image.Alpha || a == image.Numeral, b == image.Alpha || b == image.Numeral
	switch {
	case alphaA && alphaB:
		m.alpha, m.hard = true, true
	case weak&stops != 0:
		m.hard = true
	case weak&(1<<image.Space) == 0, alphaA, alphaB, a == image.Han && b == image.Han:
		return true
	}
	m.splits++
	m.stop = m.stop || weak&stops != 0
	return true
}

// stops are the signs between sentences or their parts.
const stops = 1<<image.Period | 1<<image.Stop

// unspaced tells that a letter is of a script that is written without gaps.
func (s *scan) unspaced(code uint16) bool {
	g := s.group(code)
	return g == image.Han || g == image.KanaGroup
}

func (s *scan) endSegment(m *match) {
	if m.segment == 2 && !m.piece {
		_, m.piece = slices.BinarySearch(s.im.Pieces, image.Piece(m.pair[0], m.pair[1]))
	}
	m.longest = max(m.longest, m.segment)
	m.segments++
	m.segment = 0
}

// spelled tells whether the gaps are those of a word spelled out, of so many
// letters in the rule.
func (s *scan) spelled(m *match, letters int) bool {
	s.endSegment(m)
	switch {
	case m.splits == 0:
		return true
	case m.piece:
		return false
	case m.alpha && letters > 3 && !m.stop:
		return m.segments >= 3 && m.longest <= 2
	case m.segments >= 3 && m.longest == 1:
		return true
	case m.hard:
		return false
	}
	return s.alone(m)
}

// alone tells whether nothing that is written without gaps touches the match.
func (s *scan) alone(m *match) bool {
	left, _ := s.neighbour(m.place)
	right, _ := s.after(m)
	for _, code := range []uint16{left, right} {
		if s.unspaced(code) {
			return false
		}
	}
	return true
}

// fits tells whether a letter stands there often enough, and not too often: of
// an alphabet any number will do, other letters double in honest words.
func (s *scan) fits(m *match, letter uint16, run, want int, first, last bool) bool {
	if run < want {
		return false
	}
	group := s.group(letter)
	tight := m.flags&(image.Allow|image.Exact) != 0
	border := first && m.flags&image.LeftBorder != 0 || last && m.flags&image.RightBorder != 0
	switch {
	case run == want:
		return true
	case group == image.Alpha:
		return !tight
	case group == image.Numeral:
		return (first || last) && !border
	}
	return first || last || run > 2 && !tight
}

// plausible sorts out numbers: in a leet reading there must be something that is
// no digit, and digits may be half of the letters, or all but two of a longer
// word.
func (s *scan) plausible(m *match) bool {
	if s.reading == asWritten {
		return true
	}
	plain := m.letters - m.digits
	return m.leet && plain > 0 && (plain >= m.digits || m.letters >= 5 && plain >= 2)
}

// leftBorder tells whether the match may begin where it does.
func (s *scan) leftBorder(m *match) bool {
	if m.flags&image.LeftBorder == 0 {
		return true
	}
	code, r := s.neighbour(m.place)
	return !s.continues(m.first, m.place>>subBits, code, r)
}

// rightBorder tells whether it may end where it does.
func (s *scan) rightBorder(m *match) bool {
	if m.flags&image.RightBorder == 0 {
		return true
	}
	code, r := s.after(m)
	return !s.continues(m.last, m.lastAt, code, r)
}

// after returns the code behind the match, and its character; None at the
// end of the text.
func (s *scan) after(m *match) (code uint16, r rune) {
	if m.more.start < m.more.end {
		return s.im.Folds[m.more.start], rune(s.text[m.lastAt])
	}
	return s.following(m.end)
}

// continues tells whether a neighbour is of the same script as a letter at an
// edge, so that the word goes on. Kana fold together, so the characters
// themselves say which they are.
func (s *scan) continues(edge uint16, at int, code uint16, r rune) bool {
	if r == 0 || code < image.Digit || s.group(code) != s.group(edge) {
		return false
	}
	if s.group(edge) != image.KanaGroup {
		return true
	}
	for _, own := range s.text[at:] {
		return unicode.Is(unicode.Hiragana, own) == unicode.Is(unicode.Hiragana, r) || r == 'ー' || own == 'ー'
	}
	return false
}

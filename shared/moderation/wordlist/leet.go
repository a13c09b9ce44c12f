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

// leet reports whether the other readings take a character for a letter. If they
// do, the text from there on is matched in them, for as far as a word with the
// character in it may reach: each part of the text once by each reading.
func (s *scan) leet(w *walk, code uint16, at, end int) bool {
	if !s.mayBeLeet(code) || !s.readAsLetter(at) {
		return false
	}
	if s.hopeless(w, code, end) {
		s.note(leetI, end, end, end)
		s.note(leetL, end, end, end)
		return true
	}
	s.spend(leetFee)
	run := s.run
	if s.ambiguous(code) && at >= s.done[leetL] {
		s.look(w, leetL, at, max(s.until[asWritten], s.until[leetL]))
		s.run = run
	}
	if at >= s.done[leetI] {
		s.look(w, leetI, at, s.until[leetI])
		s.run = run
	}
	return true
}

// hopeless reports, cheaply, that no word in progress has a character of leet in
// it, nor begins there: most digits beside letters are such.
func (s *scan) hopeless(w *walk, code uint16, end int) bool {
	im, node, root := s.im, &s.im.Nodes[w.state], s.im.Root
	if w.gap == 0 && !w.leet && s.isAlpha(w.prev) {
		root = im.Inner
	}
	i, l := im.Leet[code], im.Leet[image.FirstLetter+code]
	if i == w.prev || l == w.prev || s.step(node, i, root) != 0 || i != l && s.step(node, l, root) != 0 {
		return false
	}
	// An equal letter would continue it.
	for at := end; at < len(s.text) && at <= end+MaxGap && s.text[at] < utf8.RuneSelf; at++ {
		next := s.ascii[s.text[at]]
		switch {
		case next >= image.None || next >= image.Digit && !s.signs[s.text[at]]:
			return next != i && next != l
		case next >= image.At && at < s.run.read.end:
			i2, l2 := im.Leet[next], im.Leet[image.FirstLetter+next]
			return i2 != i && i2 != l && l2 != i && l2 != l
		case next < image.Joint || next > image.Stop:
			return false
		}
	}
	return end == len(s.text)
}

// look matches the text from a character of leet on, in a reading of leet, if
// anything may come of it.
func (s *scan) look(w *walk, r reading, at, from int) {
	if rows, more := s.begun(w, at, from); s.promises(w, r, at, rows) {
		s.ahead(w, r, at, rows, more)
	}
}

// glance bounds how far promises looks.
const glance = 32

// promises looks whether anything may come of a word that goes on from a
// character of leet, as ahead would, but only at the state of the automaton and
// only at what is simple: a no is certain, and leaves what ahead notes.
func (s *scan) promises(w *walk, r reading, at, letters int) bool {
	im := s.im
	state, prev, gap := s.trim(w.state, letters), w.prev, w.gap
	real := !w.leet && s.isAlpha(prev) // the last letter is written as one
	until, sure := at, s.until[asWritten]
	s.spend(leetFee)
	rows, since, wasSure := 0, 0, false
	for i := at; i < len(s.text) && i < at+glance; i++ {
		if s.text[i] >= utf8.RuneSelf {
			return true
		}
		code, leet, doubt := s.ascii[s.text[i]], false, false
		if code >= image.At && code < image.None {
			if s.mayBeLeet(code) && s.readAsLetter(i) {
				leet, doubt = true, s.ambiguous(code)
				if doubt && i > at && r == leetI && state != 0 {
					return true
				}
				code = im.Leet[int(r-leetI)*int(image.FirstLetter)+int(code)]
			} else {
				code = asSign(code)
			}
		}
		switch {
		case code == image.Skip:
			continue
		case code == image.Many, code == image.Mark:
			return true
		case code <= image.Stop:
			if gap++; gap <= MaxGap {
				continue
			}
			s.note(r, i+1, until, sure)
			return false
		case code == prev:
			if state == 0 && gap > 0 && int(code) < len(im.Root) {
				state = im.Root[code]
			}
		default:
			root := im.Root
			if gap == 0 && real {
				root = im.Inner
			}
			state = s.step(&im.Nodes[state], code, root)
			rows++
		}
		prev, gap, real = code, 0, !leet && s.isAlpha(code)
		if doubt || leet && r == leetI {
			since, wasSure = rows, leet && !doubt
		}
		if since == rows {
			until = i + 1
			if wasSure {
				sure = i + 1
			}
		}
		if im.Nodes[state].Flags&image.Ends != 0 {
			return true
		}
		if since < rows && s.depth(state) <= rows-since {
			s.note(r, i+1, until, sure)
			return false
		}
	}
	return true
}

// note keeps what ahead does of a text that was looked at.
func (s *scan) note(r reading, done, until, sure int) {
	s.done[r], s.until[r] = done, until
	if r == leetI {
		s.until[asWritten] = sure
	}
}

// within reports whether a character is in the row that was looked at last.
func (s *scan) within(at int) bool { return s.run.start <= at && at < s.run.end }

// readAsLetter reports whether a character that may be leet is.
func (s *scan) readAsLetter(at int) bool {
	if !s.within(at) {
		s.run = s.leetRun(at)
	}
	return s.run.read.start <= at && at < s.run.read.end
}

// ahead matches the text from a character of leet on, in a reading of leet, with
// what began in the last letters. It ends where no word in progress has leet in
// it.
//
// The two readings differ in few characters. What they share is read as leetI;
// leetL is for words with one of those few, and sets out where that is.
//
// In until it notes how far the rows of equal letters reach that have leet in
// them: any leet for leetI, leet of two meanings for leetL, other leet for
// asWritten.
func (s *scan) ahead(now *walk, r reading, at, letters, more int) {
	s.spend(aheadFee)
	w := *now
	w.state = s.trim(w.state, letters)
	if more > 0 {
		w.ring[uint(w.n-letters)%image.Depth] = more
		w.twice |= 1 << (letters - 1)
	}
	was := s.reading
	s.reading = r
	rows, sure := w.n, -1 // up to the last leet
	c := s.cursorAt(place(at, 0))
	for {
		code, ok := c.next()
		if !ok {
			s.report(&w, w.state, w.n, false)
			break
		}
		leet := c.leet != image.Skip
		doubt := leet && s.ambiguous(c.leet)
		if doubt && r == leetI && c.at > at && c.at >= s.done[leetL] {
			letters, more := s.begun(&w, c.at, s.until[leetL])
			s.ahead(&w, leetL, c.at, letters, more)
		}
		s.take(&w, code, c.place(), leet)
		if doubt || leet && r == leetI {
			rows = w.n
		}
		if leet && !doubt && r == leetI {
			sure = w.n
		}
		if code > image.Stop && w.n == rows {
			s.until[r] = c.i
			if sure == rows {
				s.until[asWritten] = c.i
			}
		}
		if !s.spend(letterFee) || s.depth(w.state) <= w.n-rows && (w.n > rows || w.prev == image.None) {
			break
		}
	}
	s.reading = was
	s.done[r] = max(s.done[r], c.i)
}

// begun returns in how many of the last letters a word may have begun that goes
// on at a character of leet: not before an offset, where some character is read
// otherwise. The first of the letters may have begun before, with equal ones; more
// is then the place where it goes on, otherwise 0.
func (s *scan) begun(w *walk, at, from int) (letters, more int) {
	depth, next := min(s.depth(w.state), w.n, image.Depth), place(at, 0)
	for letters < depth && w.ring[uint(w.n-1-letters)%image.Depth] >= place(from, 0) {
		letters++
		next = w.ring[uint(w.n-letters)%image.Depth]
	}
	if letters == depth {
		return letters, 0
	}
	c := s.cursorAt(place(from, 0))
	for s.spend(1) {
		code, ok := c.next()
		if !ok || c.place() >= next {
			break
		}
		if code > image.Stop {
			return letters + 1, c.place()
		}
	}
	return letters, 0
}

// leetRun looks at the row around a character that may be leet. The row is read
// as letters where it touches a letter of an alphabet, or has signs that are
// rare otherwise (@$$). Exclamation marks and bars at its ends must touch one
// themselves.
func (s *scan) leetRun(at int) leetRun {
	if row, ok := s.plainRun(at); ok {
		return row
	}
	s.spend(wideRowFee)
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
			s.left--
			continue
		}
		if !s.mayBeLeet(code) {
			before, _ = s.neighbour(place(i+size, 0))
			break
		}
		if left == 0 {
			break // too long, as all before it found
		}
		left--
		codes[left], ends[left] = code, i
	}
	row := leetRun{span: span{ends[left], ends[maxLeet+1]}}
	long := false
	for i := row.end; i < len(s.text); {
		code, size := s.code(s.text, i)
		if code == image.Skip || code == image.Mark {
			s.left--
		} else {
			if !s.mayBeLeet(code) {
				after, _ = s.following(i)
				break
			}
			row.end = i + size
			if long = long || right == 2*maxLeet; !long {
				right++
				codes[right], ends[right+1] = code, row.end
			}
		}
		i += size
	}
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

// plainRun does what leetRun does for a row of ASCII, where nothing touches that
// takes a second look.
func (s *scan) plainRun(at int) (row leetRun, ok bool) {
	if !s.signs[s.text[at]] {
		return row, false
	}
	from, to := at, at+1
	for from > 0 && at-from < maxLeet && s.signs[s.text[from-1]] {
		from--
	}
	for to < len(s.text) && s.signs[s.text[to]] {
		to++
	}
	before, after := image.None, image.None
	if from > 0 {
		if b := s.text[from-1]; b < utf8.RuneSelf {
			before = s.ascii[b]
		} else {
			_, size := utf8.DecodeLastRuneInString(s.text[:from])
			before, _ = s.code(s.text, from-size)
		}
	}
	if to < len(s.text) {
		after, _ = s.code(s.text, to)
	}
	for _, code := range [...]uint16{before, after} {
		if code == image.Skip || code == image.Mark || code == image.Many || s.mayBeLeet(code) && to-from <= maxLeet {
			return row, false
		}
	}
	row.span = span{from, to}
	if to-from > maxLeet {
		return row, true
	}
	left, right := s.isAlpha(before), s.isAlpha(after)
	loose := func(b byte) bool { return b == '!' || b == '|' }
	for !left && from < to && loose(s.text[from]) {
		from++
	}
	for !right && from < to && loose(s.text[to-1]) {
		to--
	}
	rare := false
	for _, b := range []byte(s.text[from:to]) {
		rare = rare || to-from > 1 && (b == '@' || b == '$')
	}
	if from < to && (left || right || rare) {
		row.read = span{from, to}
	}
	return row, true
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

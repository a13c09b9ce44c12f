package wordlist

import "github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"

// maxLeet bounds the characters of leet in a row: longer is a number.
const maxLeet = 8

// leetRun is a row of characters that may be leet, and what was found out.
type leetRun struct {
	span      // all of it, as far as anybody looked
	read span // the part that is read as letters, empty for none
	l    bool // some of these may be an l as well as an i
}

// doubt is a place to read again from, for the sake of a row of leet.
type doubt struct {
	start int
	run   leetRun
}

// doubts are the places of one text. When there are more, the last one stands
// for the rest of the text.
type doubts struct {
	few  [4]doubt
	n    int
	more bool
}

// leet decides about a character that may be leet: it returns the code to go on
// with in this reading. When everything is taken as written it notes the place.
func (s *scan) leet(code uint16, at int, ring *[image.Depth]int, n int) uint16 {
	if s.allowed || !s.mayBeLeet(code) {
		return asSign(code)
	}
	fresh := at < s.run.start || at >= s.run.end
	if fresh {
		s.run = s.leetRun(at)
	}
	if at < s.run.read.start || at >= s.run.read.end {
		return asSign(code)
	}
	if s.reading != asWritten {
		return s.im.Leet[int(s.reading-leetI)*int(image.FirstLetter)+int(code)]
	}
	if fresh && s.im.LeetLen[0] > 0 {
		start := at
		if back := min(n, int(s.im.LeetLen[0]), image.Depth); back > 0 {
			start = ring[(n-back)%image.Depth] >> subBits
		}
		s.doubts.add(doubt{start, s.run})
	}
	return asSign(code)
}

func (d *doubts) add(one doubt) {
	if d.n == len(d.few) {
		d.more = true
		return
	}
	d.few[d.n] = one
	d.n++
}

// readAgain reads the doubtful places as leet.
func (s *scan) readAgain() {
	for s.reading = leetI; s.reading <= leetL; s.reading++ {
		done := 0
		for i, d := range s.doubts.few[:s.doubts.n] {
			rest := s.doubts.more && i == len(s.doubts.few)-1
			if d.run.read.start < done || s.reading == leetL && !d.run.l && !rest {
				continue
			}
			s.trigger, s.run = d.run.read, leetRun{}
			if rest {
				s.trigger.end = len(s.text)
			}
			done = max(s.from(d.start), d.run.read.end)
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
	before := image.None
	for i := at; i > 0; {
		code, start := s.before(s.text, i)
		i = start
		if code == image.Skip {
			continue
		}
		if before = code; !s.mayBeLeet(code) || left == 0 {
			break
		}
		left--
		codes[left], ends[left] = code, start
		before = image.None
	}
	after := image.None
	for i := at + size; i < len(s.text); {
		code, size := s.code(s.text, i)
		i += size
		if code == image.Skip {
			continue
		}
		if after = code; !s.mayBeLeet(code) || right == 2*maxLeet {
			break
		}
		right++
		codes[right], ends[right+1] = code, i
		after = image.None
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
		row.l = row.l || s.ambiguous(code)
	}
	if lettersLeft || lettersRight || rare {
		row.read = span{ends[left], ends[right+1]}
	}
	return row
}

func (l *List) mayBeLeet(code uint16) bool {
	return image.At <= code && code < image.FirstKana && l.im.Leet[code] != image.None
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

package wordlist

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// reading is how digits and signs that resemble letters are taken.
type reading int

const (
	asWritten reading = iota
	leetI             // as letters, 1 as i
	leetL             // as letters, 1 as l
)

// scan is one text on its way through the automaton. It runs once as written,
// and again for the few letters around each place with leet in it.
type scan struct {
	*List
	text string
	hits []Hit

	allowed bool // look for allowed phrases instead, and remove the hits within

	reading reading
	run     leetRun // where the scan is
	doubts  doubts  // what to read again
	trigger span    // in a leet reading: hits without leet from here on were found before
}

// span is a part of something.
type span struct{ start, end int }

// Find appends the hits in a text to dst, by where they start, the longer one
// first. Hits may overlap. Invalid UTF-8 is in no word.
func (l *List) Find(dst []Hit, text string) []Hit {
	s := scan{List: l, text: text, hits: dst}
	s.from(0)
	s.readAgain()
	found := s.hits[len(dst):]
	if len(found) == 0 {
		return s.hits
	}
	if l.allows {
		s = scan{List: l, text: text, hits: found, allowed: true}
		s.from(0)
		found = s.hits
	}
	slices.SortFunc(found, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Word.Text, b.Word.Text))
	})
	return append(dst, found...)
}

// A place is a byte offset and, for a character that folds to several codes,
// which of them.
const subBits = 5

func place(at, sub int) int { return at<<subBits | sub }

// from matches the text from an offset on. It returns where it stopped: at the
// end, or in a leet reading where no word can hold the trigger any more.
func (s *scan) from(i int) int {
	var (
		im    = s.im
		text  = s.text
		nodes = im.Nodes
		ring  [image.Depth]int // places of the last letters
		n     int              // letters so far
		state uint32
		prev  uint16 // the last letter, None after what ends matches
		gap   int    // signs since then
		fold  span   // the other codes of a character that has several
		sub   int    // which of all is the present one
	)
	for i < len(text) {
		at := i
		var code uint16
		if b := text[i]; b < utf8.RuneSelf {
			code = s.ascii[b]
			i++
		} else {
			var size int
			code, size = s.wide(text, i)
			i += size
		}
	folded:
		if code < image.FirstLetter {
			switch {
			case code >= image.FirstKana:
				if i < len(text) && mayVoice(text, i) {
					code, i = s.voiced(text, code, i)
				}
			case code >= image.At:
				code = s.leet(code, at, &ring, n)
			case code == image.Many:
				if fold = s.fold(text[at:i]); fold.start < fold.end {
					code = im.Folds[fold.start]
					goto folded
				}
			}
			if code < image.At {
				switch code {
				case image.Skip:
				case image.Joint, image.Dot, image.Space, image.Stop:
					if gap++; gap <= MaxGap {
						break
					}
					fallthrough
				default:
					s.report(state, &ring, n)
					state, prev = 0, image.None
				}
				if s.reading != asWritten && state == 0 && at >= s.trigger.end {
					return at
				}
				goto next
			}
		}
		gap = 0
		if code != prev {
			prev = code
			node := nodes[state]
			if node.Out != 0 {
				s.report(state, &ring, n)
			}
			state = step(nodes, node, state, uint32(code))
			ring[n%image.Depth] = place(at, sub)
			n++
		}
	next:
		if fold.end > 0 {
			sub++
			if fold.start++; fold.start < fold.end {
				code = im.Folds[fold.start]
				goto folded
			}
			fold, sub = span{}, 0
		}
	}
	s.report(state, &ring, n)
	return i
}

// step follows one letter from a state, whose node it gets. It trusts nothing in
// the nodes, not even that failing ends.
func step(nodes []image.Node, node image.Node, state, code uint32) uint32 {
	for range image.Depth + 1 {
		if to := node.Base + code; uint64(to) < uint64(len(nodes)) && nodes[to].Check == state {
			return to
		}
		if state == 0 || uint64(node.Fail) >= uint64(len(nodes)) {
			return 0
		}
		state = node.Fail
		node = nodes[state]
	}
	return 0
}

// report tries the words that end in a state.
func (s *scan) report(state uint32, ring *[image.Depth]int, n int) {
	o := s.im.Nodes[state].Out
	for o != 0 && uint64(o) < uint64(len(s.im.Outs)) {
		out := s.im.Outs[o]
		if uint64(out.Word) < uint64(len(s.im.Words)) {
			letters := min(int(s.im.Words[out.Word].Len), image.Depth)
			if 0 < letters && letters <= n {
				s.try(out.Word, ring[(n-letters)%image.Depth])
			}
		}
		if out.Next >= o { // an image that lies: they are written descending
			return
		}
		o = out.Next
	}
}

// wide returns the code and the size of a character that is not ASCII.
func (l *List) wide(text string, i int) (code uint16, size int) {
	r, size := rune(0), 3
	if b := text[i]; b > 0xe0 && b < 0xf0 && b != 0xed && len(text)-i >= 3 && int8(text[i+1]) < -64 && int8(text[i+2]) < -64 {
		r = rune(b&0x0f)<<12 | rune(text[i+1]&0x3f)<<6 | rune(text[i+2]&0x3f)
	} else if r, size = utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError {
		return image.None, size
	}
	return l.im.Pages[int(l.im.Index[r>>8])*image.PageSize+int(r&0xff)], size
}

// code returns the code and the size of the character at an offset.
func (l *List) code(text string, i int) (code uint16, size int) {
	if b := text[i]; b < utf8.RuneSelf {
		return l.ascii[b], 1
	}
	return l.wide(text, i)
}

// fold returns the part of Folds that a character with several codes has.
func (l *List) fold(char string) span {
	r, _ := utf8.DecodeRuneInString(char)
	i, found := slices.BinarySearch(l.im.Runes, uint32(r))
	if !found {
		return span{}
	}
	f := span{int(l.im.Starts[i]), int(l.im.Starts[i+1])}
	if f.start > f.end || f.end > len(l.im.Folds) || f.end-f.start > 1<<subBits || slices.Contains(l.im.Folds[f.start:f.end], image.Many) {
		return span{}
	}
	return f
}

// mayVoice sorts out most of what is no voicing mark and nothing invisible
// before one.
func mayVoice(text string, i int) bool {
	switch text[i] {
	case 0xe3:
		return i+1 < len(text) && text[i+1] == 0x82
	case 0xef, 0xe2, 0xcd, 0xc2, 0xe1, 0xf3, 0xd8:
		return true
	}
	return false
}

// voiced looks for a voicing mark behind a kana that takes one. It returns the
// kana with it and the offset behind.
func (l *List) voiced(text string, code uint16, i int) (uint16, int) {
	kana := code - image.FirstKana
	if kana >= image.Kana {
		return code, i
	}
	for end := i; end < len(text); {
		r, size := utf8.DecodeRuneInString(text[end:])
		end += size
		with := uint16(0)
		switch r {
		case '\u3099', '゛', 'ﾞ':
			with = l.im.Voiced[kana]
		case '\u309a', '゜', 'ﾟ':
			with = l.im.SemiVoiced[kana]
		default:
			if hidden, _ := l.code(text, end-size); hidden == image.Skip {
				continue
			}
		}
		if with != image.None {
			return with, end
		}
		break
	}
	return code, i
}

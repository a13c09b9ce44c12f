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
	run     leetRun // the last row of leet
	trigger span    // in a leet reading: hits without leet from here on were found before
	done    [3]int  // by reading: up to where it was tried
}

// span is a part of something.
type span struct{ start, end int }

// Find appends the hits in a text to dst, by where they start, the longer one
// first. Hits may overlap. Invalid UTF-8 is in no word.
func (l *List) Find(dst []Hit, text string) []Hit {
	s := scan{List: l, text: text, hits: dst}
	s.all()
	all := s.hits
	found := all[len(dst):]
	if len(found) == 0 {
		return all
	}
	if l.allows {
		s = scan{List: l, text: text, hits: found, allowed: true}
		s.all()
		found = s.hits
	}
	slices.SortFunc(found, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Word.Text, b.Word.Text))
	})
	// A voicing mark takes a letter back; what ended before it is seen twice.
	return all[:len(dst)+len(slices.Compact(found))]
}

// all matches the whole text as it is written. This is where the time goes: one
// look into the table of characters and one into the automaton for each of them.
// What is not a plain letter or sign goes through scan.other.
func (s *scan) all() {
	var (
		im    = s.im
		text  = s.text
		ascii = &s.ascii
		nodes = im.Nodes
		alpha = im.Sizes[image.AlphaCodes]

		w     walk
		state uint32
		node  = &nodes[0] // of the state
		prev  uint16
		n     int
	)
	for i := 0; i < len(text); {
		at := i
		var code uint16
		if b := text[i]; b < utf8.RuneSelf {
			code = ascii[b]
			i++
		} else {
			// Most of what is not ASCII: three bytes, and no surrogate.
			r, size := rune(0), 3
			if b > 0xe0 && b < 0xf0 && b != 0xed && i+2 < len(text) && (text[i+1]^0x80)|(text[i+2]^0x80) < 0x40 {
				r = rune(b&0x0f)<<12 | rune(text[i+1]&0x3f)<<6 | rune(text[i+2]&0x3f)
			} else {
				r, size = utf8.DecodeRuneInString(text[i:])
			}
			code = im.Pages[int(im.Index[r>>8])*image.PageSize+int(r&0xff)]
			i += size
		}
		switch {
		case code >= image.None && code != prev:
			if node.Flags&image.Ends != 0 {
				s.report(&w, state, n, w.gap == 0 && code-image.NoneAlpha < alpha)
			}
			root := im.Root
			if prev-image.NoneAlpha < alpha && w.gap == 0 {
				root = im.Inner
			}
			w.before, w.older = state, prev
			switch {
			case node.Mask&image.Bit(code) != 0 || node.Fail != 0:
				state = s.step(node, code, root)
			case int(code) < len(root):
				state = root[code]
			default:
				state = 0
			}
			node = &nodes[state]
			w.ring[uint(n)%image.Depth] = place(at, 0)
			n++
			w.gap = 0
			w.twice <<= 1
			prev = code
			if state == 0 && code-image.NoneAlpha < alpha {
				// Nothing can come of this word of an alphabet: on to its last letter.
				row := at
				for ; i < len(text) && s.idle[text[i]]; i++ {
					if code := ascii[text[i]&0x7f]; code != prev {
						prev, row = code, i
					}
				}
				if row > at {
					w.ring[uint(n)%image.Depth] = place(row, 0)
					w.twice <<= 1
					n++
				}
			}
		case image.Joint <= code && code <= image.Stop && w.gap < MaxGap:
			w.gap++
		default:
			w.state, w.prev, w.n = state, prev, n
			i = s.other(&w, code, at, i)
			state, prev, n = w.state, w.prev, w.n
			node = &nodes[state]
		}
	}
	s.report(&w, state, n, false)
}

// other takes a code that has more to it. It returns where the text goes on.
func (s *scan) other(w *walk, code uint16, at, end int) int {
	switch {
	case code == image.Many:
		f := s.fold(s.text[at:end])
		if f.start >= f.end {
			s.end(w)
		}
		for i, code := range s.im.Folds[f.start:f.end] {
			s.take(w, asSign(code), place(at, i))
		}
	case code == image.Mark:
		with, start := s.voice(at)
		if with == image.Skip {
			break
		}
		if w.n > 0 && w.ring[uint(w.n-1)%image.Depth] == place(start, 0) {
			w.state, w.prev, w.n, w.twice = w.before, w.older, w.n-1, w.twice>>1
		}
		s.take(w, with, place(start, 0))
	case code >= image.At && code < image.None:
		if s.touched(w, at, end) {
			code = s.leet(w, code, at)
		}
		s.take(w, asSign(code), place(at, 0))
	default:
		s.take(w, code, place(at, 0))
	}
	return end
}

// wide returns the code and the size of a character that is not ASCII.
func (l *List) wide(text string, i int) (code uint16, size int) {
	r, size := rune(0), 3
	if b := text[i]; b > 0xe0 && b < 0xf0 && b != 0xed && len(text)-i >= 3 && int8(text[i+1]) < -64 && int8(text[i+2]) < -64 {
		r = rune(b&0x0f)<<12 | rune(text[i+1]&0x3f)<<6 | rune(text[i+2]&0x3f)
	} else {
		r, size = utf8.DecodeRuneInString(text[i:])
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

// voice returns the code that the kana before a voicing mark has with it, and
// where it is; Skip if there is none, or none that takes the mark.
func (s *scan) voice(at int) (code uint16, start int) {
	for start = at; start > 0; {
		_, size := utf8.DecodeLastRuneInString(s.text[:start])
		start -= size
		if code, _ := s.code(s.text, start); code != image.Skip {
			with, _ := s.voiced(s.text, code, start+size)
			if with == code {
				break
			}
			return with, start
		}
	}
	return image.Skip, at
}

// voiced looks for a voicing mark behind a kana that takes one. It returns the
// kana with it and the offset behind.
func (l *List) voiced(text string, code uint16, i int) (uint16, int) {
	if code < image.FirstKana || code >= image.NoneAlpha {
		return code, i
	}
	kana := code - image.FirstKana
	for end := i; end < len(text); {
		r, size := utf8.DecodeRuneInString(text[end:])
		end += size
		with := image.Skip
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
		if with != image.Skip {
			return with, end
		}
		break
	}
	return code, i
}

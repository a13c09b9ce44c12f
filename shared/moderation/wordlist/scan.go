package wordlist

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
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

// scan is one text on its way through the automaton. It runs once as written;
// from a character that may be leet it looks ahead in the other readings, for as
// long as a word with that character in it may still come.
type scan struct {
	*List
	text string
	hits []Hit

	phrases []span   // allowed phrases that were found
	scratch *scratch // where phrases come from, nil until there is one

	reading reading
	run     leetRun // the last row of leet that was looked at
	done    [3]int  // by reading: up to where it was looked ahead
	until   [3]int  // by reading, see ahead
	token   token   // the last one that was looked at

	urlsOnly bool // look for words that rules want in addresses, as in scan.encoded

	left int // steps that may still be taken beside the first look at each character
}

// span is a part of something.
type span struct{ start, end int }

// ErrTooCostly is returned for a text with so many near misses and disguises that
// matching all of it would cost several times as much as prose of the same length. Find
// returns the error with the hits found so far. The same list returns the error for the
// same text every time.
var ErrTooCostly = errors.New("wordlist: text has too many disguised words to be read to its end")

// Steps beside the first look at each character. A step is about what the first
// look at a character costs; longer work is counted as several.
const (
	freeSteps    = 4096 // that any text may cost
	manyFee      = 6    // one that folds to several
	candidateFee = 16   // a word that the automaton saw
	letterFee    = 3    // each letter of it
	hitFee       = 24   // one that is a hit
	leetFee      = 5    // a digit or sign that may be a letter of a word
	aheadFee     = 16   // a word that may come of it
	wideRowFee   = 32   // a row of leet that is not ASCII
)

// budget returns how many steps a text may cost. Prose takes a tenth of that, and
// base64, which is full of digits that may be letters, two thirds.
func budget(text string) int { return freeSteps + len(text)*3/4 }

// deadlineEvery is after how many bytes Find looks at its context.
const deadlineEvery = 16 << 10

// Find appends the hits in a text to dst, sorted by Start, longer hits first. Hits may
// overlap. Invalid UTF-8 is in no word.
//
// Find takes time linear in the length of any text. With [ErrTooCostly] or the error of
// a context that ended, Find returns the hits found so far, which may not be all.
func (l *List) Find(ctx context.Context, dst []Hit, text string) ([]Hit, error) {
	s := scan{List: l, text: text, hits: dst, left: budget(text)}
	err := s.all(ctx)
	if l.urls && err == nil && strings.IndexByte(text, '%') >= 0 {
		err = s.encoded(ctx)
	}
	all := s.hits
	found := all[len(dst):]
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b Hit) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Word.Text, b.Word.Text))
		})
		// A voicing mark takes a letter back; what ended before it is seen twice.
		found = s.notAllowed(slices.Compact(found))
	}
	s.release()
	return all[:len(dst)+len(found)], err
}

// scratch is memory that texts with allowed phrases use one after the other.
type scratch struct{ phrases []span }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// allow remembers an allowed phrase.
func (s *scan) allow(start, end int) {
	if s.scratch == nil {
		s.scratch = scratches.Get().(*scratch)
		s.phrases = s.scratch.phrases[:0]
	}
	s.phrases = append(s.phrases, span{start, end})
}

func (s *scan) release() {
	if s.scratch != nil {
		s.scratch.phrases = s.phrases
		scratches.Put(s.scratch)
	}
}

// notAllowed removes the hits that an allowed phrase covers wholly.
func (s *scan) notAllowed(hits []Hit) []Hit {
	if len(s.phrases) == 0 {
		return hits
	}
	slices.SortFunc(s.phrases, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	next, reach := 0, 0
	return slices.DeleteFunc(hits, func(h Hit) bool {
		for ; next < len(s.phrases) && s.phrases[next].start <= h.Start; next++ {
			reach = max(reach, s.phrases[next].end)
		}
		return h.End <= reach
	})
}

// spend takes steps off what is left, and reports whether there were as many.
func (s *scan) spend(steps int) bool {
	s.left -= steps
	return s.left >= 0
}

// all matches the whole text as it is written. This is where the time goes: one
// look into the table of characters and one into the automaton for each of them.
// What is not a plain letter or sign goes through scan.other.
func (s *scan) all(ctx context.Context) error {
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

		unread int // up to here, digits are not read as letters
	)
	for i := 0; i < len(text); {
		if i > 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for stop := min(i+deadlineEvery, len(text)); i < stop; {
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
			case code != prev && (code >= image.None || code >= image.Digit && (at < unread || im.Leet[code] == image.Skip)):
				if node.Flags&image.Ends != 0 {
					if s.report(&w, state, n, w.gap == 0 && code-image.NoneAlpha < alpha); s.left < 0 {
						return ErrTooCostly
					}
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
				w.gap, w.leet = 0, false
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
			case code == prev && (code >= image.None || code >= image.Digit && (at < unread || im.Leet[code] == image.Skip)):
				if state == 0 && w.gap > 0 && int(code) < len(im.Root) {
					state = im.Root[code] // as in scan.take
					node = &nodes[state]
				}
				w.gap, w.twice, w.leet = 0, w.twice|1, false
			case code < image.Digit && (image.Joint <= code && code <= image.Stop || code >= image.At && at < unread) && (w.gap < MaxGap || prev == image.None):
				w.gap++
			default:
				w.state, w.prev, w.n = state, prev, n
				if i = s.other(&w, code, at, i); s.left < 0 {
					return ErrTooCostly
				}
				state, prev, n = w.state, w.prev, w.n
				node = &nodes[state]
				if unread = s.run.end; i < s.run.read.end {
					unread = 0
				}
			}
		}
	}
	if s.report(&w, state, n, false); s.left < 0 {
		return ErrTooCostly
	}
	return nil
}

// other takes a code that has more to it. It returns where the text goes on.
func (s *scan) other(w *walk, code uint16, at, end int) int {
	switch {
	case code == image.Many:
		s.spend(manyFee)
		f := s.fold(s.text[at:end])
		if f.start >= f.end {
			s.end(w)
		}
		for i, code := range s.im.Folds[f.start:f.end] {
			s.take(w, asSign(code), place(at, i), false)
		}
	case code == image.Mark:
		with, start := s.voice(at)
		if with == image.Skip {
			break
		}
		if w.n > 0 && w.ring[uint(w.n-1)%image.Depth] == place(start, 0) {
			w.state, w.prev, w.n, w.twice = w.before, w.older, w.n-1, w.twice>>1
		}
		s.take(w, with, place(start, 0), false)
	case code >= image.At && code < image.None:
		if !s.leet(w, code, at, end) && code >= image.Digit {
			return at // a plain digit, as are those behind it
		}
		s.take(w, asSign(code), place(at, 0), false)
	default:
		s.take(w, code, place(at, 0), false)
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
		s.left--
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

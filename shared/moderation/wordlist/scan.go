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
	found := s.hits[len(dst):]
	if len(found) == 0 {
		return s.hits
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
	return append(dst, slices.Compact(found)...)
}

// A place is a byte offset and, for a character that folds to several codes,
// which of them.
const subBits = 5

func place(at, sub int) int { return at<<subBits | sub }

// all matches the whole text as it is written. This is where the time goes: one
// look into the table of characters, and mostly one into the automaton, for each
// character.
func (s *scan) all() {
	var (
		im    = s.im
		text  = s.text
		ascii = &s.ascii
		nodes = im.Nodes
		alpha = im.Sizes[image.AlphaCodes]
		ring  [image.Depth]int // places of the last letters
		n     int              // letters so far
		state uint32
		node  = nodes[0] // of the state
		prev  uint16     // the last letter
		gap   int        // signs since then

		before uint32 // the state and the letter before the last step
		older  uint16
		fold   span // the other codes of a character that has several
		sub    int  // which of all is the present one
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
			if b > 0xe0 && b < 0xf0 && b != 0xed && i+2 < len(text) && int8(text[i+1]) < -64 && int8(text[i+2]) < -64 {
				r = rune(b&0x0f)<<12 | rune(text[i+1]&0x3f)<<6 | rune(text[i+2]&0x3f)
			} else {
				r, size = utf8.DecodeRuneInString(text[i:])
			}
			code = im.Pages[int(im.Index[r>>8])*image.PageSize+int(r&0xff)]
			i += size
		}
	folded:
		if code < image.None {
			switch {
			case code >= image.At:
				code = s.leet(code, at, state, prev, &ring, n)
			case code == image.Many:
				if fold = s.fold(text[at:i]); fold.start < fold.end {
					code = im.Folds[fold.start]
					goto folded
				}
			case code == image.Mark:
				if code, at = s.voice(at); code == image.Skip {
					break
				}
				if n > 0 && ring[uint(n-1)%image.Depth] == place(at, 0) {
					state, node, prev = before, nodes[before], older
					n--
				}
			}
			if code <= image.Stop {
				if code != image.Skip {
					gap++
				}
				if gap > MaxGap {
					if node.Mask&image.Ends != 0 {
						s.report(state, &ring, n)
					}
					state, node, prev = 0, nodes[0], image.None
				}
				goto next
			}
		}
		if code != prev {
			// In the middle of a word of an alphabet only some words can begin.
			root := im.Root
			if prev-image.NoneAlpha < alpha && gap == 0 {
				root = im.Inner
			}
			if node.Mask&image.Ends != 0 {
				s.report(state, &ring, n)
			}
			before, older, prev = state, prev, code
			state, node = s.step(node, code, root)
			ring[uint(n)%image.Depth] = place(at, sub)
			n++
		} else if state == 0 && gap > 0 && int(code) < len(im.Root) {
			state = im.Root[code] // the last letter of a word, and the first of one
			node = nodes[state]
		}
		gap = 0
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
}

// step follows one letter from a state's node, where all else fails from one of
// the roots. It trusts nothing in the image, not even that failing ends.
func (l *List) step(node image.Node, code uint16, root []uint32) (uint32, image.Node) {
	nodes, bit := l.im.Nodes, image.Bit(code)
	for range image.Depth {
		if node.Mask&bit != 0 {
			if to := node.Base + uint32(code); uint64(to) < uint64(len(nodes)) && nodes[to].Check == code {
				return to, nodes[to]
			}
		}
		if node.Fail == 0 || uint64(node.Fail) >= uint64(len(nodes)) {
			break
		}
		node = nodes[node.Fail]
	}
	state := uint32(0)
	if int(code) < len(root) {
		state = root[code]
	}
	return state, nodes[state]
}

// report tries the words that end in a state, and in those it fails to.
func (s *scan) report(state uint32, ring *[image.Depth]int, n int) {
	for range image.Depth {
		node := s.im.Nodes[state]
		if node.Mask&image.Own != 0 {
			s.ends(state, ring, n)
		}
		if node.Mask&image.Ends == 0 || uint64(node.Fail) >= uint64(len(s.im.Nodes)) || node.Fail == 0 {
			return
		}
		state = node.Fail
	}
}

// ends tries the words that end in one state.
func (s *scan) ends(state uint32, ring *[image.Depth]int, n int) {
	i, _ := slices.BinarySearchFunc(s.im.Outs, state, func(o image.Out, state uint32) int { return cmp.Compare(o.State, state) })
	for ; i < len(s.im.Outs) && s.im.Outs[i].State == state; i++ {
		word := s.im.Outs[i].Word
		if uint64(word) >= uint64(len(s.im.Words)) {
			continue
		}
		if letters := min(int(s.im.Words[word].Len), image.Depth); 0 < letters && letters <= n {
			s.try(word, ring[(n-letters)%image.Depth])
		}
	}
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
	if code < image.FirstKana || code >= image.FirstLetter {
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

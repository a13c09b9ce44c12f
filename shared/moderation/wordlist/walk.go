package wordlist

import (
	"cmp"
	"slices"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// A place is a byte offset and, for a character that folds to several codes,
// which of them.
const subBits = 5

func place(at, sub int) int { return at<<subBits | sub }

// walk is a way through the automaton, letter by letter. Equal letters in a row
// are one step; how many they were is left to the second look at a match.
type walk struct {
	ring  [image.Depth]int // places of the last letters
	n     int              // letters so far
	state uint32
	prev  uint16 // the last letter
	gap   int    // signs since then
	twice uint64 // which of the last letters are repeated, the last one lowest
	leet  bool   // the last letter is written as a digit or sign

	before uint32 // the state and the letter before the last step
	older  uint16
}

// take follows one code that has a single meaning. Leet says that it was read as
// a letter and is written as a digit or sign.
func (s *scan) take(w *walk, code uint16, p int, leet bool) {
	switch {
	case code == image.Skip, code == image.Many, code == image.Mark:
	case code <= image.Stop:
		if w.gap++; w.gap > MaxGap {
			s.end(w)
		}
	case code == w.prev:
		if w.state == 0 && w.gap > 0 && int(code) < len(s.im.Root) {
			w.state = s.im.Root[code] // the last letter of one word, and the first of the next
		}
		w.gap, w.twice, w.leet = 0, w.twice|1, leet
	default:
		// Leet is no letter that a word could touch.
		s.report(w, w.state, w.n, w.gap == 0 && !leet && s.isAlpha(code))
		root := s.im.Root
		if w.gap == 0 && !w.leet && s.isAlpha(w.prev) {
			root = s.im.Inner // in the middle of a word only some can begin
		}
		w.before, w.older = w.state, w.prev
		w.state = s.step(&s.im.Nodes[w.state], code, root)
		w.ring[uint(w.n)%image.Depth] = p
		w.n++
		w.prev, w.gap, w.twice, w.leet = code, 0, w.twice<<1, leet
	}
}

// end ends all words.
func (s *scan) end(w *walk) {
	s.report(w, w.state, w.n, false)
	w.state, w.prev, w.leet = 0, image.None, false
}

// depth returns how many letters lead to a state.
func (s *scan) depth(state uint32) int {
	return int(s.im.Nodes[state].Flags >> image.DepthShift)
}

// trim returns the longest state at or above one, in the order of failing, that
// holds no more letters than that.
func (s *scan) trim(state uint32, letters int) uint32 {
	for range image.Depth {
		if s.depth(state) <= letters {
			return state
		}
		fail := s.im.Nodes[state].Fail
		if uint64(fail) >= uint64(len(s.im.Nodes)) {
			break
		}
		state = fail
	}
	return 0
}

// step follows one letter from a state's node; where all else fails, from one of
// the roots. It trusts nothing in the image, not even that failing ends.
func (l *List) step(node *image.Node, code uint16, root []uint32) uint32 {
	nodes, bit := l.im.Nodes, image.Bit(code)
	for range image.Depth {
		if node.Mask&bit != 0 {
			if to := node.Base + uint32(code); uint64(to) < uint64(len(nodes)) && nodes[to].Check == code {
				return to
			}
		}
		if node.Fail == 0 || uint64(node.Fail) >= uint64(len(nodes)) {
			break
		}
		node = &nodes[node.Fail]
	}
	if int(code) < len(root) {
		return root[code]
	}
	return 0
}

// report tries the words that end in a state, n letters from the start, and in
// those it fails to. Inside tells that a word of an alphabet goes on.
func (s *scan) report(w *walk, state uint32, n int, inside bool) {
	inside = inside && w.twice&1 == 0 // a row of letters may go on behind a gap
	for range image.Depth {
		node := &s.im.Nodes[state]
		switch {
		case node.Flags&image.Own == 0, inside && node.Flags&image.Closed != 0:
		case node.Flags&image.Twice != 0 && w.twice<<(image.Depth-node.Flags>>image.DepthShift) == 0:
		default:
			s.ends(w, state, n)
		}
		if node.Flags&image.Ends == 0 || uint64(node.Fail) >= uint64(len(s.im.Nodes)) || node.Fail == 0 {
			return
		}
		state = node.Fail
	}
}

// ends tries the words that end in one state.
func (s *scan) ends(w *walk, state uint32, n int) {
	i := int(s.im.Nodes[state].Base)
	if s.im.Nodes[state].Mask != 0 {
		i, _ = slices.BinarySearchFunc(s.im.Outs, state, func(o image.Out, state uint32) int { return cmp.Compare(o.State, state) })
	}
	for ; i < len(s.im.Outs) && s.im.Outs[i].State == state; i++ {
		word := s.im.Outs[i].Word
		if uint64(word) >= uint64(len(s.im.Words)) {
			continue
		}
		letters := min(int(s.im.Words[word].Len), image.Depth)
		if letters == 0 || letters > n {
			continue
		}
		if !s.spend(candidateFee) {
			return
		}
		s.try(word, w.ring[uint(n-letters)%image.Depth])
	}
}

package compile

import (
	"cmp"
	"slices"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// state is one of the automaton while it is built.
type state struct {
	code     uint16 // that leads here
	children []uint32
	fail     uint32
	words    []uint32 // that end here
	flags    uint16   // of image.Node, as far as the words tell
	depth    uint16
	ends     bool   // words end here, or where this fails to
	base     uint32 // of the double array, and the place there
	place    uint32
}

// trie holds the states; 0 is the root.
type trie struct{ states []state }

// add enters a word by its first image.Depth codes.
func (t *trie) add(word uint32, codes []uint16) {
	at := uint32(0)
	for i, code := range codes[:min(len(codes), image.Depth)] {
		at = t.child(at, code)
		t.states[at].depth = uint16(i + 1)
	}
	t.states[at].words = append(t.states[at].words, word)
}

// child returns the follower of a state, which is made if there is none.
func (t *trie) child(at uint32, code uint16) uint32 {
	children := t.states[at].children
	i, found := slices.BinarySearchFunc(children, code, t.byCode)
	if found {
		return children[i]
	}
	next := uint32(len(t.states))
	t.states = append(t.states, state{code: code})
	t.states[at].children = slices.Insert(children, i, next)
	return next
}

func (t *trie) byCode(child uint32, code uint16) int { return cmp.Compare(t.states[child].code, code) }

// link gives each state the longest other one that ends the same way.
func (t *trie) link() {
	queue := []uint32{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = append(queue[1:], t.states[at].children...)
		t.states[at].ends = len(t.states[at].words) > 0 || t.states[t.states[at].fail].ends
		for _, child := range t.states[at].children {
			if at == 0 {
				continue // fails to the root
			}
			fail := t.states[at].fail
			for {
				children := t.states[fail].children
				if i, found := slices.BinarySearchFunc(children, t.states[child].code, t.byCode); found {
					t.states[child].fail = children[i]
					break
				}
				if fail == 0 {
					break
				}
				fail = t.states[fail].fail
			}
		}
	}
}

// outs lists the words by the places of their states.
func (t *trie) outs() []image.Out {
	var outs []image.Out
	for _, s := range t.states {
		for _, word := range s.words {
			outs = append(outs, image.Out{State: s.place, Word: word})
		}
	}
	slices.SortStableFunc(outs, func(a, b image.Out) int { return cmp.Compare(a.State, b.State) })
	return outs
}

// array lays the states out as a double array. States with many followers get
// their places first; those with one fill what is left between them.
func (t *trie) array() (nodes []image.Node, outs []image.Out) {
	var order []uint32
	for at := range t.states {
		if len(t.states[at].children) > 0 {
			order = append(order, uint32(at))
		}
	}
	slices.SortStableFunc(order, func(a, b uint32) int {
		return cmp.Compare(len(t.states[b].children), len(t.states[a].children))
	})
	a := &array{bases: map[uint32]bool{}, outs: map[uint32]uint32{}}
	a.grow(0)
	for _, at := range order {
		codes := make([]uint32, len(t.states[at].children))
		for i, child := range t.states[at].children {
			codes[i] = uint32(t.states[child].code)
		}
		base := a.fit(codes)
		a.bases[base] = true
		t.states[at].base = base
		for i, child := range t.states[at].children {
			t.states[child].place = base + codes[i]
			a.take(base + codes[i])
		}
	}
	outs = t.outs()
	for i, out := range slices.Backward(outs) {
		a.outs[out.State] = uint32(i)
	}
	return t.nodes(a), outs
}

// array finds places. Free ones are linked in both directions; place 0, the
// root's, is the head of the list.
type array struct {
	used       []bool
	next, prev []uint32
	bases      map[uint32]bool
	start      uint32            // where to look for room for several
	outs       map[uint32]uint32 // place -> the first of its words
}

// grow makes a place exist.
func (a *array) grow(place uint32) {
	for n := uint32(len(a.used)); n <= place; n++ {
		a.used = append(a.used, n == 0)
		a.next, a.prev = append(a.next, 0), append(a.prev, 0)
		if n > 0 {
			last := a.prev[0]
			a.next[last], a.prev[n], a.prev[0] = n, last, n
		}
	}
}

func (a *array) take(place uint32) {
	if a.start == place {
		a.start = a.prev[place]
	}
	a.used[place] = true
	a.next[a.prev[place]], a.prev[a.next[place]] = a.next[place], a.prev[place]
}

// patience bounds how many free places are tried in vain before those are left
// to states with one follower.
const patience = 1000

// fit returns a base at which all codes find free places.
func (a *array) fit(codes []uint32) uint32 {
	first, last := codes[0], codes[len(codes)-1]
	place, tries := a.next[0], 0
	if len(codes) > 1 {
		place = a.next[a.start]
	}
	for {
		for place == 0 || place <= first { // the list's end, or no base
			if place == 0 {
				place = uint32(len(a.used))
				a.grow(place)
				continue
			}
			place = a.next[place]
		}
		base := place - first
		a.grow(base + last)
		if !a.bases[base] && !slices.ContainsFunc(codes, func(c uint32) bool { return a.used[base+c] }) {
			return base
		}
		if tries++; tries == patience && len(codes) > 1 {
			a.start, tries = place, 0
		}
		place = a.next[place]
	}
}

func (t *trie) nodes(a *array) []image.Node {
	end := len(a.used)
	for !a.used[end-1] {
		end--
	}
	nodes := make([]image.Node, end)
	for i := range nodes {
		nodes[i].Check = image.NoCode
	}
	for at := range t.states {
		s := &t.states[at]
		node := &nodes[s.place]
		node.Base, node.Fail = s.base, t.states[s.fail].place
		if at > 0 {
			node.Check = s.code
		}
		if len(s.words) > 0 {
			node.Flags |= image.Own | s.flags
			if len(s.children) == 0 {
				node.Base = a.outs[s.place]
			}
		}
		if s.ends {
			node.Flags |= image.Ends
		}
		node.Flags |= s.depth << image.DepthShift
		if at > 0 { // the image has a table of its own for the root's followers
			for _, child := range s.children {
				node.Mask |= image.Bit(t.states[child].code)
			}
		}
	}
	return nodes
}

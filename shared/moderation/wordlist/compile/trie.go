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
	words    []uint32
	out      uint32
	place    uint32 // in the double array
}

// trie holds the states; 0 is the root.
type trie struct{ states []state }

// add enters a word by its first image.Depth codes.
func (t *trie) add(word uint32, codes []uint16) {
	at := uint32(0)
	for _, code := range codes[:min(len(codes), image.Depth)] {
		at = t.child(at, code)
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

// link gives each state the longest other one that ends the same way, and the
// words that end there. Words of one state stand in the order of the rule set.
func (t *trie) link() []image.Out {
	outs := []image.Out{{}}
	queue := []uint32{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = append(queue[1:], t.states[at].children...)
		if at != 0 {
			t.states[at].out = t.states[t.states[at].fail].out
		}
		for _, word := range slices.Backward(t.states[at].words) {
			outs = append(outs, image.Out{Word: word, Next: t.states[at].out})
			t.states[at].out = uint32(len(outs) - 1)
		}
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
	return outs
}

// array lays the states out as a double array. States with many followers get
// their place first.
func (t *trie) array() []image.Node {
	order := []uint32{0}
	for at := range t.states {
		if at > 0 && len(t.states[at].children) > 0 {
			order = append(order, uint32(at))
		}
	}
	slices.SortStableFunc(order[1:], func(a, b uint32) int {
		return cmp.Compare(len(t.states[b].children), len(t.states[a].children))
	})
	a := &array{bases: map[uint32]uint32{}}
	a.take(0)
	for _, at := range order {
		base := a.fit(t, t.states[at].children)
		a.bases[at] = base
		for _, child := range t.states[at].children {
			place := base + uint32(t.states[child].code)
			a.take(place)
			t.states[child].place = place
		}
	}
	return a.nodes(t)
}

// array finds places. Free ones are linked in both directions.
type array struct {
	used       []bool
	next, prev []uint32 // free neighbours; 0 ends the list
	bases      map[uint32]uint32
}

// grow makes a place exist.
func (a *array) grow(place uint32) {
	for n := uint32(len(a.used)); n <= place; n++ {
		a.used = append(a.used, false)
		a.next, a.prev = append(a.next, 0), append(a.prev, 0)
		if n > 0 { // place 0, the root's, is the list's head
			last := a.prev[0]
			a.next[last], a.prev[n], a.prev[0] = n, last, n
		}
	}
}

func (a *array) take(place uint32) {
	a.grow(place)
	a.used[place] = true
	if place > 0 {
		a.next[a.prev[place]], a.prev[a.next[place]] = a.next[place], a.prev[place]
	}
}

// patience bounds how many free places are tried for one state, from the last
// ones back, before it goes to the end.
const patience = 4000

// fit returns a base at which all children find free places.
func (a *array) fit(t *trie, children []uint32) uint32 {
	if len(children) == 0 {
		return 0
	}
	first, last := uint32(t.states[children[0]].code), uint32(t.states[children[len(children)-1]].code)
	tries := 0
	for place := a.next[0]; place != 0 && tries < patience; place, tries = a.next[place], tries+1 {
		if place <= first {
			continue
		}
		base := place - first
		a.grow(base + last)
		if !slices.ContainsFunc(children, func(c uint32) bool { return a.used[base+uint32(t.states[c].code)] }) {
			return base
		}
	}
	base := max(uint32(len(a.used)), first+1) - first
	a.grow(base + last)
	return base
}

func (a *array) nodes(t *trie) []image.Node {
	end := len(a.used)
	for end > 1 && !a.used[end-1] {
		end--
	}
	nodes := make([]image.Node, end)
	for i := range nodes {
		nodes[i].Check = image.NoNode
	}
	for at := range t.states {
		s := &t.states[at]
		node := &nodes[s.place]
		node.Base, node.Out, node.Fail = a.bases[uint32(at)], s.out, t.states[s.fail].place
		if len(s.children) == 0 || at == 0 {
			node.Base = image.NoNode - 1<<16 // leads nowhere; Root knows the first step
		}
		for _, child := range s.children {
			nodes[t.states[child].place].Check = s.place
		}
	}
	return nodes
}

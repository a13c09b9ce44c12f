package wordlist

import (
	"context"
	"math"
)

// Steps returns how many steps a text takes beside the first look at each
// character if it may take any number, and how many it may.
func Steps(l *List, text string) (taken, allowed int) {
	s := scan{List: l, text: text, left: math.MaxInt}
	_ = s.all(context.Background())
	s.release()
	return math.MaxInt - s.left, budget(text)
}

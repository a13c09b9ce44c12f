package compile

import (
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// Everything here is our own collection.

// pieces are ordinary words of two letters. Where a text seems to spell a word
// out and one of the pieces is such a word, it says something else: "press p or n".
const pieces = `ad ah am an as at ax be by do ed eh er ex go ha he hi ho id if in is it me mr ms mu my no of oh ok on
or ow ox pa pi so to uh um up us we ye yo`

// doubled are ordinary words that have a letter twice. A word of the rule set that
// is the same but for that (cok, god) does not hit them.
const doubled = `add ball balloon banner bee been beef beer bell belly bill bitter blood bloom boom boot booth bottle
brook broom bull bunny butter button call carrot cattle cell cheek cheer cheese choose coffee collar comma common
cook cool copper cotton creek cross daddy deed deep deer dinner door dress dull dollar egg eel fall fee feed feel feet
fell ferry fill fool foot free full funny gill glass good goose grass green greet guess hall happy hill hobby hood hoof
hook hoop hopper hunny inn jeep jelly keen keep kettle kill kiss kitten knee ladder lass lee less letter look loom loon
loop loose loss loot mall manner mass matter meet mess middle mill mirror miss mood moon moss muddy need noon odd off
pass pee peek peel peer penny pepper pill planner pool poor pull puppet puppy putt queen rabbit reed reef reel rood
roof room root rooster rubber ruler sadden saddle school scissors see seed seek seem seen sell sheep sheet shell shoot
silly sitter skill sleep sleeve small smell smooth soon soot speech speed spell spill spoon spoor stall steel steep
steer still stoop stool stress street stuff summer sunny supper sweep sweet tall tattoo tee teen teeth tell threshold
three till toll tool tooth too tree troop tunnel upper wall weed week weep well whell will willow winner witty wood
wool woof worry yell zoo zoom bass boss ass assess better bigger bitten booking cabbage cooking cooker cooks books
book fuzzy gutter hammer hidden hugger jazz kidding looks moor nanny nutty poll prefer pretty puff raccoon roll
runner sass scoop shopper sissy slipper snooze spoof tipping tummy utter`

// allowed returns the allowed phrases of the rule set, and the ordinary words that
// are its words with a letter doubled.
func (set *RuleSet) allowed(words []pattern) []string {
	out := slices.Clone(set.Allow)
	same := map[string][]pattern{}
	for _, p := range words {
		same[string(p.runes)] = append(same[string(p.runes)], p)
	}
	for _, word := range strings.Fields(doubled) {
		w := patternOf(0, lettersOf(word))
		rules := same[string(w.runes)]
		listed := slices.ContainsFunc(rules, func(p pattern) bool { return slices.Equal(p.shapes, w.shapes) })
		if len(rules) > 0 && !listed {
			out = append(out, word)
		}
	}
	return out
}

// leastInflected is how many letters of English a word ends in that is inflected
// without saying so.
const leastInflected = 5

// forms returns a word and, where the rule wants them, its inflections.
func (r Rule) forms(letters []letter) [][]letter {
	out := [][]letter{letters}
	if r.Exact || slices.ContainsFunc(letters, func(l letter) bool { return l.gap == image.Dot }) {
		return out // nobody inflects an address
	}
	end := len(letters)
	for end > 0 && 'a' <= letters[end-1].r && letters[end-1].r <= 'z' && (end == len(letters) || letters[end].gap == image.Skip) {
		end--
	}
	var b strings.Builder
	for _, l := range letters[end:] {
		b.WriteRune(l.r)
	}
	last := b.String()
	if r.Inflect != nil && !*r.Inflect || r.Inflect == nil && len(last) < leastInflected || len(last) < 2 {
		return out
	}
	for _, form := range inflections(last) {
		way := slices.Clone(letters[:end])
		for i, c := range form {
			l := letter{r: c, gap: image.Skip}
			if i < len(last) && i == 0 {
				l.gap = letters[end].gap
			}
			way = append(way, l)
		}
		out = append(out, way)
	}
	return out
}

// inflections returns the forms of an English word besides itself. A consonant
// that is doubled before an ending needs no form: letters may be repeated.
func inflections(word string) []string {
	has := func(endings ...string) bool {
		return slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(word, e) })
	}
	stem := word[:len(word)-1]
	switch {
	case has("self"):
		return []string{strings.TrimSuffix(word, "f") + "ves"}
	case has("e"):
		return []string{word + "s", word + "d", stem + "y", stem + "ing"}
	case has("ay", "ey", "oy", "uy"):
		return []string{word + "s", word + "ed", word + "ing"}
	case has("y"):
		return []string{stem + "ies", stem + "ied", word + "ing"}
	case has("s", "x", "z", "ch", "sh"):
		return []string{word + "es", word + "y", word + "ed", word + "ing"}
	case has("o"):
		return []string{word + "s", word + "es"}
	}
	return []string{word + "s", word + "y", word + "ed", word + "ing"}
}

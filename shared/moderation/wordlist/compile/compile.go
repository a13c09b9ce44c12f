package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// Compile returns the image of a rule set that Parse has checked. The same rule
// set gives the same bytes.
func Compile(set *RuleSet) ([]byte, error) {
	patterns, err := set.patterns()
	if err != nil {
		return nil, fmt.Errorf("rule set: %w", err)
	}
	cuts, err := set.cuts(patterns)
	if err != nil {
		return nil, fmt.Errorf("rule set: %w", err)
	}
	b := &builder{set: set, patterns: patterns, cuts: cuts, names: map[string]uint16{}}
	if err := b.alphabet(); err != nil {
		return nil, fmt.Errorf("rule set: %w", err)
	}
	b.pages()
	b.voicing()
	b.leet()
	if err := b.words(); err != nil {
		return nil, fmt.Errorf("rule set: %w", err)
	}
	b.ordinary()
	return b.im.Marshal()
}

// patterns folds all words and phrases.
func (set *RuleSet) patterns() ([]pattern, error) {
	var out []pattern
	for i := range set.Words {
		letters := lettersOf(set.Words[i].Text)
		all := [][]letter{letters}
		if set.Words[i].Numerals {
			var err error
			if all, err = ways(letters); err != nil {
				return nil, fmt.Errorf("word %d: %w", i+1, err)
			}
		}
		for _, way := range all {
			for _, form := range set.Words[i].forms(way) {
				out = append(out, patternOf(i, form))
			}
		}
	}
	for i, text := range set.allowed(out) {
		out = append(out, patternOf(-1-i, lettersOf(text)))
	}
	return out, nil
}

// builder makes an image step by step.
type builder struct {
	set      *RuleSet
	patterns []pattern
	cuts     []cut
	im       image.Image
	codes    map[rune]uint16
	letters  int // codes of letters of words, those before included
	names    map[string]uint16
}

// alphabet gives each letter of a pattern its code, frequent ones the lower.
func (b *builder) alphabet() error {
	count := map[rune]int{}
	for _, p := range b.patterns {
		for _, r := range p.runes {
			if _, ok := special(r); !ok {
				count[r]++
			}
		}
	}
	letters := slices.SortedFunc(maps.Keys(count), func(x, y rune) int {
		return cmp.Or(cmp.Compare(notAlpha(x), notAlpha(y)), cmp.Compare(count[y], count[x]), cmp.Compare(x, y))
	})
	if len(letters) > int(image.Codes-image.FirstLetter) {
		return fmt.Errorf("its words have %d different characters, at most %d are allowed", len(letters), image.Codes-image.FirstLetter)
	}
	b.letters = int(image.FirstLetter) + len(letters)
	letters = append(letters, b.beside(count)...)
	if len(letters) > int(image.Codes-image.FirstLetter) {
		return fmt.Errorf("its words and the ordinary words beside them have %d different characters, at most %d are allowed", len(letters), image.Codes-image.FirstLetter)
	}
	b.codes = make(map[rune]uint16, len(letters))
	b.im.Groups = make([]uint8, int(image.FirstLetter)+len(letters))
	alpha := uint16(1) // NoneAlpha
	for i, r := range letters {
		code := image.FirstLetter + uint16(i)
		b.codes[r] = code
		if b.im.Groups[code] = groupOf(r); b.im.Groups[code] == image.Alpha {
			alpha++
		}
	}
	b.im.Groups[image.NoneAlpha] = image.Alpha
	b.im.Groups[image.NoneHan] = image.Han
	b.im.Groups[image.NoneKana] = image.KanaGroup
	for i := range uint16(10) {
		b.im.Groups[image.Digit+i] = image.Numeral
	}
	for i := range uint16(image.Kana) {
		b.im.Groups[image.FirstKana+i] = image.KanaGroup
	}
	b.im.Sizes = []uint16{image.LongestAlpha: b.longestAlpha(), image.AlphaCodes: alpha}
	return nil
}

// beside returns the characters that only stand beside listed words.
func (b *builder) beside(known map[rune]int) []rune {
	more := map[rune]bool{}
	for _, c := range b.cuts {
		for _, r := range c.runes {
			if _, is := special(r); !is && known[r] == 0 {
				more[r] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(more))
}

// ordinary writes what tells listed words from ordinary ones.
func (b *builder) ordinary() {
	for _, c := range b.cuts {
		e := image.EdgeOf(uint32(c.pattern), c.behind)
		runes := []rune(c.runes)
		if !c.behind {
			slices.Reverse(runes) // from the edge outward
		}
		for _, r := range runes {
			e = e.Next(b.code(r))
		}
		b.im.Cuts = append(b.im.Cuts, uint64(e))
	}
	slices.Sort(b.im.Cuts)
	for _, w := range strings.Fields(pieces) {
		first, second := b.code(rune(w[0])), b.code(rune(w[1]))
		if first >= image.FirstLetter && second >= image.FirstLetter {
			b.im.Pieces = append(b.im.Pieces, image.Piece(first, second))
		}
	}
	slices.Sort(b.im.Pieces)
}

func notAlpha(r rune) int {
	if groupOf(r) == image.Alpha {
		return 0
	}
	return 1
}

func (b *builder) longestAlpha() uint16 {
	longest := 0
	for _, p := range b.patterns {
		if p.rule >= 0 && !slices.ContainsFunc(p.runes, func(r rune) bool { return groupOf(r) != image.Alpha }) {
			longest = max(longest, len(p.runes))
		}
	}
	return uint16(min(longest, image.Depth))
}

// code returns the code of a folded character.
func (b *builder) code(r rune) uint16 {
	if code, ok := special(r); ok {
		return code
	}
	if code, ok := b.codes[r]; ok {
		return code
	}
	if sign := signOf(r); sign != image.None {
		return sign
	}
	switch groupOf(r) {
	case image.Alpha:
		return image.NoneAlpha
	case image.Han:
		return image.NoneHan
	case image.KanaGroup:
		return image.NoneKana
	}
	return image.None
}

// pages fills the table of all characters; equal pages are kept once.
func (b *builder) pages() {
	known := map[[image.PageSize]uint16]uint16{}
	b.im.Index = make([]uint16, image.Pages)
	b.im.Starts = []uint32{0}
	for i := range b.im.Index {
		var page [image.PageSize]uint16
		for low, folded := range foldedPage(i) {
			switch len(folded) {
			case 0:
				page[low] = image.Skip
			case 1:
				page[low] = b.code(folded[0])
			default:
				page[low] = image.Many
				b.im.Runes = append(b.im.Runes, uint32(i<<8|low))
				for _, r := range folded {
					b.im.Folds = append(b.im.Folds, b.code(r))
				}
				b.im.Starts = append(b.im.Starts, uint32(len(b.im.Folds)))
			}
		}
		n, ok := known[page]
		if !ok {
			n = uint16(len(known))
			known[page] = n
			b.im.Pages = append(b.im.Pages, page[:]...)
		}
		b.im.Index[i] = n
	}
}

func (b *builder) voicing() {
	with := []rune(voiced)
	b.im.Voiced = make([]uint16, image.Kana)
	b.im.SemiVoiced = make([]uint16, image.Kana)
	for i := range b.im.Voiced {
		b.im.Voiced[i] = b.code(with[i])
	}
	semi := []rune(semiVoiced)
	for i, r := range semi {
		b.im.SemiVoiced[image.Kana-len(semi)+i] = b.code(r)
	}
}

// leetLetters are the two readings of digits and signs.
var leetLetters = [2]map[rune]rune{
	{'0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't', '8': 'b', '9': 'g', '@': 'a', '$': 's', '!': 'i', '|': 'i'},
	{'0': 'o', '1': 'l', '3': 'e', '4': 'a', '5': 's', '7': 't', '8': 'b', '9': 'g', '@': 'a', '$': 's', '!': 'l', '|': 'l'},
}

func (b *builder) leet() {
	b.im.Leet = make([]uint16, 2*image.FirstLetter)
	for i, letters := range leetLetters {
		for sign, letter := range letters {
			code, _ := special(sign)
			b.im.Leet[i*int(image.FirstLetter)+int(code)] = b.code(letter)
		}
	}
}

// name returns the index of a string.
func (b *builder) name(s string) (uint16, error) {
	if i, ok := b.names[s]; ok {
		return i, nil
	}
	if len(b.im.Names) == 1<<16-1 {
		return 0, fmt.Errorf("it has more than %d categories and scopes", 1<<16-1)
	}
	i := uint16(len(b.im.Names))
	b.im.Names = append(b.im.Names, image.Name{Text: uint32(len(b.im.Text)), Len: uint32(len(s))})
	b.im.Text = append(b.im.Text, s...)
	if i > 0 { // 0 is the version, even where a category is called the same
		b.names[s] = i
	}
	return i, nil
}

// words writes names, scopes, words and the automaton.
func (b *builder) words() error {
	if _, err := b.name(b.set.Version); err != nil {
		return err
	}
	for _, action := range wordlist.Actions { // first, their indexes are small
		if _, err := b.name(string(action)); err != nil {
			return err
		}
	}
	if err := b.scopes(); err != nil {
		return err
	}
	kinds := map[image.Kind]uint16{}
	t := &trie{states: make([]state, 1)}
	var texts []string
	for i, p := range b.patterns {
		kind, text, err := b.kind(p)
		if err != nil {
			return err
		}
		codes := make([]uint16, len(p.runes))
		for j, r := range p.runes {
			codes[j] = b.code(r)
		}
		if kind.Flags&image.Detailed != 0 {
			b.detail(uint32(i), p, codes)
		}
		n, ok := kinds[kind]
		if !ok {
			n = uint16(len(kinds))
			kinds[kind] = n
			b.im.Kinds = append(b.im.Kinds, kind)
		}
		texts = append(texts, text)
		b.im.Words = append(b.im.Words, image.Word{Kind: n, Len: uint16(len(p.runes))})
		t.add(uint32(i), codes)
	}
	for i, text := range texts {
		b.im.Words[i].Text = uint32(len(b.im.Text))
		b.im.Text = append(b.im.Text, text...)
	}
	b.im.Words = append(b.im.Words, image.Word{Text: uint32(len(b.im.Text))})
	b.flags(t)
	t.link()
	b.im.Nodes, b.im.Outs = t.array()
	b.roots(t)
	return nil
}

// flags notes what all words of a state have in common.
func (b *builder) flags(t *trie) {
	for i := range t.states {
		s := &t.states[i]
		s.flags = image.Twice | image.Closed
		for _, word := range s.words {
			runes, kind := b.patterns[word].runes, b.im.Kinds[b.im.Words[word].Kind].Flags
			if kind&image.Doubled == 0 {
				s.flags &^= image.Twice
			}
			if kind&image.RightBorder == 0 || len(runes) > image.Depth || groupOf(runes[len(runes)-1]) != image.Alpha {
				s.flags &^= image.Closed
			}
		}
	}
}

// roots writes the first steps: all of them, and those that may be taken in the
// middle of a word of an alphabet.
func (b *builder) roots(t *trie) {
	b.im.Root = make([]uint32, b.letters)
	b.im.Inner = make([]uint32, b.letters)
	for _, child := range t.states[0].children {
		s := t.states[child]
		b.im.Root[s.code] = s.place
		if b.im.Groups[s.code] != image.Alpha {
			b.im.Inner[s.code] = s.place
		}
	}
	for i, p := range b.patterns {
		if b.im.Kinds[b.im.Words[i].Kind].Flags&image.LeftBorder == 0 {
			code := b.code(p.runes[0])
			b.im.Inner[code] = b.im.Root[code]
		}
	}
}

func (b *builder) scopes() error {
	for _, scope := range slices.Sorted(maps.Keys(b.set.Scopes)) {
		actions := b.set.Scopes[scope]
		for _, category := range slices.Sorted(maps.Keys(actions)) {
			s := image.Scope{}
			var err error
			if s.Name, err = b.name(scope); err != nil {
				return err
			}
			if category != "*" {
				if s.Category, err = b.name(category); err != nil {
					return err
				}
			}
			if s.Action, err = b.name(string(actions[category])); err != nil {
				return err
			}
			b.im.Scopes = append(b.im.Scopes, s)
		}
	}
	return nil
}

// kind returns what a pattern shares with others, and its text.
func (b *builder) kind(p pattern) (k image.Kind, text string, err error) {
	rule := Rule{Action: wordlist.Allow, Severity: 1}
	if p.rule >= 0 {
		rule = b.set.Words[p.rule]
	} else {
		k.Flags |= image.Allow
	}
	if k.Category, err = b.name(rule.Category); err != nil {
		return k, "", err
	}
	action, err := b.name(string(rule.Action))
	if err != nil {
		return k, "", err
	}
	k.Severity, k.Action = uint8(rule.Severity), uint8(action)
	flag := func(on bool, f uint32) {
		if on {
			k.Flags |= f
		}
	}
	flag(wantsBorder(rule.Word, p.runes[0]), image.LeftBorder)
	flag(wantsBorder(rule.Word, p.runes[len(p.runes)-1]), image.RightBorder)
	flag(rule.Exact, image.Exact)
	flag(rule.URLs, image.URLs)
	flag(p.mayBeCut(), image.Cuttable)
	flag(slices.ContainsFunc(p.shapes, func(s image.Shape) bool { return s.Run > 1 }), image.Doubled)
	flag(!p.plain() || len(p.runes) > image.Depth, image.Detailed)
	return k, rule.Text, nil
}

// wantsBorder: letters of an alphabet and digits stand alone unless the rule
// says otherwise.
func wantsBorder(word *bool, edge rune) bool {
	if word != nil {
		return *word
	}
	g := groupOf(edge)
	return g == image.Alpha || g == image.Numeral
}

func (b *builder) detail(word uint32, p pattern, codes []uint16) {
	b.im.Details = append(b.im.Details, image.Detail{
		Word: word, Shape: uint32(len(b.im.Shapes)), Tail: uint32(len(b.im.Tails)),
	})
	b.im.Shapes = append(b.im.Shapes, p.shapes...)
	if len(codes) > image.Depth {
		b.im.Tails = append(b.im.Tails, codes[image.Depth:]...)
	}
}

// foldedPage returns what the characters of a page fold to.
func foldedPage(page int) [][]rune {
	out := make([][]rune, image.PageSize)
	for low := range out {
		r := rune(page<<8 | low)
		if !utf8.ValidRune(r) || unassigned(page) {
			out[low] = []rune{utf8.RuneError}
			continue
		}
		out[low] = fold(r)
	}
	return out
}

// unassigned: planes that Unicode has nothing in, and those for private use.
func unassigned(page int) bool {
	return page >= 0x324 && page < 0xe00 || page >= 0xe02
}

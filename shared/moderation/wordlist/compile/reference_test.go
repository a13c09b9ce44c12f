package compile

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// What follows finds words as package wordlist says, without an automaton, an
// image or any care for time: it lists the characters of the text in the three
// ways they can be read, and tries each word at each of them. It shares the
// tables of single characters with the compiler, and nothing with the engine.

// char is a folded character of a text.
type char struct {
	r          rune
	sign       uint16 // what it is when it is no letter, None for letters
	start, end int
	raw        rune
	part       bool // the character folds to several
	leet       rune // the sign or digit that this letter was
}

func (c char) letter() bool { return c.sign == image.None }

// charsOf folds a text. Invisible characters belong to the one before them.
func charsOf(text string) []char {
	var out []char
	for i, raw := range text {
		size := utf8.RuneLen(raw)
		if raw == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd") {
			size = 1
		}
		folded := fold(raw)
		if len(folded) == 0 || folded[0] == mark {
			if n := len(out); n > 0 {
				if len(folded) > 0 && i == out[n-1].visible(text) {
					out[n-1].voice(raw)
				}
				out[n-1].end = i + size
			}
			continue
		}
		for _, r := range folded {
			out = append(out, char{r: r, sign: signOf(r), start: i, end: i + size, raw: raw, part: len(folded) > 1})
		}
	}
	return out
}

// visible returns where the next visible thing behind a character is: a second
// mark does not voice again.
func (c char) visible(text string) int {
	for i, r := range text[c.start:] {
		if i > 0 && len(fold(r)) > 0 {
			return c.start + i
		}
	}
	return len(text)
}

func (c *char) voice(raw rune) {
	i := strings.IndexRune(voiceable, c.r) / 3
	if !strings.ContainsRune(voiceable, c.r) || c.part {
		return
	}
	switch raw {
	case '゛', 'ﾞ', '\u3099':
		c.r = []rune(voiced)[i]
	default:
		if semi := []rune(semiVoiced); i >= image.Kana-len(semi) {
			c.r = semi[i-image.Kana+len(semi)]
		}
	}
}

// asLeet returns the characters with digits and signs read as letters.
func asLeet(chars []char, letters map[rune]rune) []char {
	out := slices.Clone(chars)
	can := func(i int) bool {
		return i < len(chars) && letters[chars[i].r] != 0 && !chars[i].part
	}
	alpha := func(i int) bool {
		return i >= 0 && i < len(chars) && chars[i].letter() && groupOf(chars[i].r) == image.Alpha
	}
	for i := 0; i < len(chars); i++ {
		if !can(i) {
			continue
		}
		from, to := i, i
		for can(to) {
			to++
		}
		i = to
		if to-from > 8 {
			continue
		}
		left, right := alpha(from-1), alpha(to)
		for !left && from < to && strings.ContainsRune("!|", chars[from].r) {
			from++
		}
		for !right && from < to && strings.ContainsRune("!|", chars[to-1].r) {
			to--
		}
		rare := to-from > 1 && slices.ContainsFunc(chars[from:to], func(c char) bool { return c.r == '@' || c.r == '$' })
		if left || right || rare {
			for k := from; k < to; k++ {
				out[k].leet, out[k].r, out[k].sign = chars[k].r, letters[chars[k].r], image.None
			}
		}
	}
	return out
}

// candidate is a word tried at a place.
type candidate struct {
	chars       []char
	left, right bool // borders wanted
	tight       bool
	p           *pattern
	index       int
}

// at tries the word on rows of equal letters, from the row at i on. It returns
// the first and the last character of the match.
func (w candidate) at(i int) (first, last int, ok bool) {
	var at []int // the characters of the match, in order
	for row, r := range w.p.runes {
		shape := w.p.shapes[row]
		rowAt := rowFrom(w.chars, i, r)
		if len(rowAt) == 0 {
			return 0, 0, false
		}
		next, found := nextLetter(w.chars, rowAt[len(rowAt)-1])
		if row == len(w.p.runes)-1 {
			rowAt = w.firstPart(rowAt, int(shape.Run))
		} else if !found {
			return 0, 0, false
		}
		if row == 0 {
			rowAt = w.lastPart(rowAt, int(shape.Run))
		}
		if !w.fits(r, len(rowAt), int(shape.Run), row) {
			return 0, 0, false
		}
		at = append(at, rowAt...)
		i = next
	}
	return at[0], at[len(at)-1], w.borders(at) && w.gaps(at)
}

// rowFrom returns the characters of a row of one letter, gaps and all.
func rowFrom(chars []char, i int, r rune) []int {
	var out []int
	for i < len(chars) && chars[i].letter() && chars[i].r == r {
		out = append(out, i)
		next, found := nextLetter(chars, i)
		if !found {
			break
		}
		i = next
	}
	return out
}

// nextLetter returns the letter behind one, if no more signs than MaxGap stand
// between.
func nextLetter(chars []char, i int) (int, bool) {
	for k := i + 1; k < len(chars) && k-i <= wordlist.MaxGap+1; k++ {
		if chars[k].letter() {
			return k, true
		}
	}
	return 0, false
}

// lastPart returns what stands behind the last gap, if that will do.
func (w candidate) lastPart(row []int, want int) []int {
	for k := len(row) - 1; k > 0; k-- {
		if row[k] != row[k-1]+1 {
			if len(row)-k >= want {
				return row[k:]
			}
			return row
		}
	}
	return row
}

// firstPart returns what stands before the first gap at which it will do.
func (w candidate) firstPart(row []int, want int) []int {
	for k := 1; k < len(row); k++ {
		if row[k] != row[k-1]+1 && k >= want {
			return row[:k]
		}
	}
	return row
}

func (w candidate) fits(r rune, run, want, row int) bool {
	first, last := row == 0, row == len(w.p.runes)-1
	bordered := first && w.left || last && w.right
	switch {
	case run < want:
		return false
	case run == want:
		return true
	case groupOf(r) == image.Alpha:
		return !w.tight
	case groupOf(r) == image.Numeral:
		return (first || last) && !bordered
	}
	return first || last || run >= 3 && !w.tight
}

// borders: a letter of the same script must not touch an edge.
func (w candidate) borders(at []int) bool {
	touches := func(edge, other int) bool {
		if other < 0 || other >= len(w.chars) || w.chars[other].sign != image.None && w.chars[other].leet == 0 {
			return false
		}
		a, b := w.chars[edge], w.chars[other]
		if b.leet != 0 {
			b.r = b.leet
			if signOf(b.r) != image.None {
				return false
			}
		}
		if groupOf(a.r) != groupOf(b.r) {
			return false
		}
		if groupOf(a.r) != image.KanaGroup {
			return true
		}
		return unicode.Is(unicode.Hiragana, a.raw) == unicode.Is(unicode.Hiragana, b.raw) || a.raw == 'ー' || b.raw == 'ー'
	}
	return !(w.left && touches(at[0], at[0]-1)) && !(w.right && touches(at[len(at)-1], at[len(at)-1]+1))
}

// gaps judges the signs between the letters.
func (w candidate) gaps(at []int) bool {
	own := map[int]uint16{} // where the rule has a gap, by the row it stands before; inside rows negative
	for row, s := range w.p.shapes {
		own[row], own[-1-row] = uint16(s.Before), uint16(s.Inside)
	}
	row, segment, longest, segments := 0, 1, 0, 0
	split, alpha, hard, stop := false, false, false, false
	parts := []string{string(w.chars[at[0]].r)}
	for k := 1; k < len(at); k++ {
		a, b := w.chars[at[k-1]], w.chars[at[k]]
		mine := own[-1-row]
		if a.r != b.r {
			row++
			mine = own[row]
		}
		kinds := map[uint16]bool{}
		for _, c := range w.chars[at[k-1]+1 : at[k]] {
			if c.r == '!' && unspaced(a.r) && unspaced(b.r) {
				kinds[image.Joint] = true
				continue
			}
			kinds[c.sign] = true
		}
		inside := a.r == b.r
		if inside && len(kinds) == 0 {
			segment++
			parts[len(parts)-1] += string(b.r)
			continue
		}
		if w.tight {
			for kind := range kinds {
				if mine == image.Skip || kind != mine && kind != image.Space {
					return false
				}
			}
			segment++
			continue
		}
		stopped := kinds[image.Stop] || kinds[image.Period]
		weak := kinds[image.Dot] || kinds[image.Space] || stopped
		if weak {
			longest, segments, segment = max(longest, segment), segments+1, 0
			parts = append(parts, "")
		}
		segment++
		parts[len(parts)-1] += string(b.r)
		isAlpha := func(c char) bool { g := groupOf(c.r); return g == image.Alpha || g == image.Numeral }
		isHan := func(c char) bool { return groupOf(c.r) == image.Han }
		switch {
		case mine == image.Space:
		case mine != image.Skip:
			if !kinds[mine] && !(mine == image.Dot && kinds[image.Period]) {
				return false
			}
		case !weak:
		case isAlpha(a) && isAlpha(b):
			split, alpha, hard, stop = true, true, true, stop || stopped
		case stopped:
			split, hard, stop = true, true, true
		case !kinds[image.Space], isAlpha(a), isAlpha(b), isHan(a) && isHan(b):
		default:
			split = true
		}
	}
	longest, segments = max(longest, segment), segments+1
	letters := 0
	for _, s := range w.p.shapes {
		letters += int(s.Run)
	}
	cjk := func(i int) bool {
		if i < 0 || i >= len(w.chars) || !w.chars[i].letter() || w.chars[i].leet != 0 {
			return false
		}
		g := groupOf(w.chars[i].r)
		return g == image.Han || g == image.KanaGroup
	}
	switch {
	case !split:
		return true
	case slices.ContainsFunc(parts, ordinaryPiece):
		return false
	case alpha && letters > 3 && !stop:
		return segments >= 3 && longest <= 2
	case segments >= 3 && longest == 1:
		return true
	}
	return !hard && !cjk(at[0]-1) && !cjk(at[len(at)-1]+1)
}

func ordinaryPiece(piece string) bool {
	return len(piece) == 2 && slices.Contains(strings.Fields(pieces), piece)
}

// cutAt tells whether an ordinary word lies across an edge of the match.
func (w candidate) cutAt(first, last int, cuts map[cut]bool) bool {
	if !w.p.mayBeCut() {
		return false
	}
	beside := func(i int) bool {
		return i >= 0 && i < len(w.chars) && w.chars[i].letter() && w.chars[i].leet == 0 && unspaced(w.chars[i].r)
	}
	before, behind := "", ""
	for i := first - 1; beside(i) && !w.chars[first].part && first-i <= image.LongestCut; i-- {
		before = string(w.chars[i].r) + before
		if cuts[cut{pattern: w.index, runes: before}] {
			return true
		}
	}
	if last+1 < len(w.chars) && w.chars[last+1].start == w.chars[last].start {
		return false
	}
	for i := last + 1; beside(i) && i-last <= image.LongestCut; i++ {
		behind += string(w.chars[i].r)
		if cuts[cut{pattern: w.index, behind: true, runes: behind}] {
			return true
		}
	}
	return false
}

// plausible: numbers are no words.
func plausible(chars []char, other map[rune]rune) bool {
	letters, digits, leet := 0, 0, false
	for _, c := range chars {
		if !c.letter() {
			continue
		}
		letters++
		if c.leet != 0 {
			if '0' <= c.leet && c.leet <= '9' {
				digits++
			}
			leet = leet || other == nil || other[c.leet] != c.r
		}
	}
	plain := letters - digits
	return leet && plain > 0 && (plain >= digits || letters >= 5 && plain >= 2)
}

var (
	web  = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])(?:(?:https?|ftp)://|www\.).`)
	mail = regexp.MustCompile(`@`)
)

// inAddress tells whether a part lies within a URL or an e-mail address.
func inAddress(text string, start, end int) bool {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?#[]@!$&'()*+,;=%"
	outside := func(r rune) bool { return !strings.ContainsRune(chars, r) || r == utf8.RuneError }
	if strings.IndexFunc(text[start:end], outside) >= 0 {
		return false
	}
	from := strings.LastIndexFunc(text[:start], outside)
	if from >= 0 {
		_, size := utf8.DecodeRuneInString(text[from:])
		from += size
	}
	from = max(from, 0)
	to := len(text)
	if i := strings.IndexFunc(text[end:], outside); i >= 0 {
		to = end + i
	}
	token := text[from:to]
	start, end = start-from, end-from
	if m := web.FindStringIndex(token); m != nil {
		if m[0] > 0 || !strings.ContainsRune("hfwHFW", rune(token[0])) {
			if loc := regexp.MustCompile(`(?i)(https?|ftp)://|www\.`).FindStringIndex(token[m[0]:]); m[0]+loc[0] <= start {
				return true
			}
		} else {
			return true
		}
	}
	for _, m := range mail.FindAllStringIndex(token, -1) {
		local := regexp.MustCompile(`[A-Za-z0-9._%+-]{1,64}$`).FindString(token[:m[0]])
		host := regexp.MustCompile(`^[A-Za-z0-9-.]{0,255}`).FindString(token[m[1]:])
		host = strings.TrimRight(host, "-.")
		if local != "" && regexp.MustCompile(`^.+\.[A-Za-z]{2,}$`).MatchString(host) && m[0]-len(local) <= start && end <= m[1]+len(host) {
			return true
		}
	}
	return false
}

// slowFind does what wordlist.List.Find does.
func slowFind(set *RuleSet, text string) []wordlist.Hit {
	hits := slowScan(set, text, false)
	var decoded []byte
	var at []int
	for i := 0; i < len(text); i++ {
		at = append(at, i)
		if hex := percentEncoded.FindString(text[i:]); hex != "" {
			b, _ := strconv.ParseUint(hex[1:], 16, 8)
			decoded = append(decoded, byte(b))
			i += 2
			continue
		}
		decoded = append(decoded, text[i])
	}
	at = append(at, len(text))
	if len(decoded) < len(text) {
		for _, h := range slowScan(set, string(decoded), true) {
			if start, end := at[h.Start], at[h.End]; end-start > h.End-h.Start {
				hits = append(hits, wordlist.Hit{Start: start, End: end, Word: h.Word})
			}
		}
	}
	return hits
}

var percentEncoded = regexp.MustCompile(`^%[0-9A-Fa-f]{2}`)

var knownCuts sync.Map // by *RuleSet

// slowScan finds the words in a text as it is written, or those of the rules that
// look into addresses.
func slowScan(set *RuleSet, text string, urlsOnly bool) []wordlist.Hit {
	written := charsOf(text)
	readings := [][]char{written, asLeet(written, leetLetters[0]), asLeet(written, leetLetters[1])}
	patterns, err := set.patterns()
	if err != nil {
		panic(err)
	}
	known, ok := knownCuts.Load(set)
	if !ok {
		list, err := set.cuts(patterns)
		if err != nil {
			panic(err)
		}
		all := map[cut]bool{}
		for _, c := range list {
			all[c] = true
		}
		known, _ = knownCuts.LoadOrStore(set, all)
	}
	cuts := known.(map[cut]bool)
	var hits []wordlist.Hit
	var allowed [][2]int
	for i := range patterns {
		p := &patterns[i]
		rule := Rule{}
		if p.rule >= 0 {
			rule = set.Words[p.rule]
		}
		for reading, chars := range readings {
			if p.rule < 0 && reading > 0 {
				continue
			}
			w := candidate{
				chars: chars, p: p, index: i, tight: p.rule < 0 || rule.Exact,
				left: wantsBorder(rule.Word, p.runes[0]), right: wantsBorder(rule.Word, p.runes[len(p.runes)-1]),
			}
			for k := range chars {
				if !chars[k].letter() || !startsRow(chars, k) {
					continue
				}
				first, last, ok := w.at(k)
				if !ok {
					continue
				}
				start, end := chars[first].start, chars[last].end
				var other map[rune]rune
				if reading == 2 {
					other = leetLetters[0]
				}
				switch {
				case p.rule < 0:
					allowed = append(allowed, [2]int{start, end})
				case reading > 0 && !plausible(chars[first:last+1], other):
				case rule.Exact && strings.TrimRightFunc(text[start:end], func(r rune) bool { return len(fold(r)) == 0 || fold(r)[0] == mark }) != rule.Text:
				case !rule.URLs && (urlsOnly || inAddress(text, start, end)):
				case w.cutAt(first, last, cuts):
				default:
					hits = append(hits, wordlist.Hit{Start: start, End: end, Word: wordlist.Word{
						Text: rule.Text, Category: rule.Category, Severity: rule.Severity, Action: rule.Action,
					}})
				}
			}
		}
	}
	hits = slices.DeleteFunc(hits, func(h wordlist.Hit) bool {
		return slices.ContainsFunc(allowed, func(a [2]int) bool { return a[0] <= h.Start && h.End <= a[1] })
	})
	slices.SortFunc(hits, func(a, b wordlist.Hit) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Word.Text, b.Word.Text))
	})
	return slices.Compact(hits)
}

// startsRow tells whether a letter is the first of its row.
func startsRow(chars []char, k int) bool {
	for i := k - 1; i >= 0 && k-i <= wordlist.MaxGap+1; i-- {
		if chars[i].letter() {
			return chars[i].r != chars[k].r
		}
	}
	return true
}

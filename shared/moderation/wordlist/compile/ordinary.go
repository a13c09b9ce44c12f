package compile

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// Words of Han and kana are written without gaps, so that a listed word may
// appear where two ordinary words meet: 刷单 in 印刷单位. The compiler looks up
// which ordinary words overlap each edge of a listed word. Where it is likelier
// that the text has the ordinary word than the listed one, the image gets a cut:
// the characters beside the edge that tell so.

// dictionary is a list of ordinary words with how often each occurs among all.
type dictionary struct {
	words           []ordinary          // folded, their masses shares of all
	first, last     map[rune]float64    // share of words that begin or end so
	byFirst, byLast map[rune][]ordinary // the words themselves
}

type ordinary struct {
	runes []rune
	mass  float64
}

// module is where the dictionaries come from: gse, which has those of jieba (MIT)
// for Chinese and one of its own for Japanese, under the Apache License 2.0.
const module = "github.com/go-ego/gse"

// dictionaries reads the Chinese and the Japanese dictionary from the module's
// folder in the module cache, into which go downloads it where nobody has.
var dictionaries = sync.OnceValues(func() ([]*dictionary, error) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	var downloaded struct{ Dir, Error string }
	if err == nil {
		err = json.Unmarshal(out, &downloaded)
	}
	if err != nil || downloaded.Dir == "" {
		return nil, fmt.Errorf("the dictionaries of %s are not in the module cache: run this tool within this repository (%w) %s", module, cmp.Or(err, os.ErrNotExist), downloaded.Error)
	}
	chinese, err := readDictionary(filepath.Join(downloaded.Dir, "data/dict/zh/s_1.txt"), func(count float64) float64 { return count })
	if err != nil {
		return nil, err
	}
	// The Japanese one has costs, as MeCab does: less is more frequent.
	japanese, err := readDictionary(filepath.Join(downloaded.Dir, "data/dict/jp/dict.txt"), func(cost float64) float64 { return math.Exp(-cost / 800) })
	if err != nil {
		return nil, err
	}
	return []*dictionary{chinese, japanese}, nil
})

// longestOrdinary bounds the words that are read, in characters.
const longestOrdinary = 6

// readDictionary reads lines of a word, a number, and more.
func readDictionary(name string, mass func(float64) float64) (*dictionary, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("dictionary: %w", err)
	}
	d := &dictionary{
		first: map[rune]float64{}, last: map[rune]float64{},
		byFirst: map[rune][]ordinary{}, byLast: map[rune][]ordinary{},
	}
	folded := map[rune][]rune{}
	all := 0.0
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		number, _, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || utf8.RuneCountInString(word) > longestOrdinary {
			continue
		}
		var runes []rune
		for _, r := range word {
			f, ok := folded[r]
			if !ok {
				if f = fold(r); slices.ContainsFunc(f, func(r rune) bool { return !unspaced(r) }) {
					f = []rune{utf8.RuneError}
				}
				folded[r] = f
			}
			runes = append(runes, f...)
		}
		if len(runes) > 0 && !slices.Contains(runes, utf8.RuneError) {
			d.words = append(d.words, ordinary{runes, mass(n)})
			all += mass(n)
		}
	}
	for i := range d.words {
		w := &d.words[i]
		w.mass /= all
		begin, end := w.runes[0], w.runes[len(w.runes)-1]
		d.first[begin] += w.mass
		d.last[end] += w.mass
		d.byFirst[begin] = append(d.byFirst[begin], *w)
		d.byLast[end] = append(d.byLast[end], *w)
	}
	return d, lines.Err()
}

// unspaced tells that a script is written without gaps between words.
func unspaced(r rune) bool {
	g := groupOf(r)
	return g == image.Han || g == image.KanaGroup
}

// cut is what stands before or behind a word that then is no hit.
type cut struct {
	pattern int
	behind  bool
	runes   string
}

const (
	// commonness is how frequent a listed word is taken to be at least, as a share
	// of all words of a text: it is listed because people write it.
	commonness = 4e-6
	// mostCuts bounds the cuts of an image, and mostOf those of one edge; the
	// likeliest stay.
	mostCuts = 1 << 17
	mostOf   = 400
)

// cuts finds the cuts of all patterns.
func (set *RuleSet) cuts(patterns []pattern) ([]cut, error) {
	e := edges{init: map[string]float64{}, final: map[string]float64{}, whole: map[string]float64{}}
	for i := range patterns {
		if p := &patterns[i]; p.mayBeCut() {
			e.want(p.runes)
		}
	}
	if len(e.whole) == 0 {
		return nil, nil
	}
	dicts, err := dictionaries()
	if err != nil {
		return nil, err
	}
	found := map[cut]float64{}
	for _, d := range dicts {
		e := e.fill(d)
		for i := range patterns {
			if p := &patterns[i]; p.mayBeCut() {
				e.cuts(found, i, p.runes, false)
				e.cuts(found, i, p.runes, true)
			}
		}
	}
	all := slices.SortedFunc(maps.Keys(found), func(a, b cut) int {
		return cmp.Or(cmp.Compare(found[b], found[a]), cmp.Compare(a.pattern, b.pattern), cmp.Compare(a.runes, b.runes))
	})
	of := map[[2]int]int{}
	all = slices.DeleteFunc(all, func(c cut) bool {
		edge := [2]int{c.pattern, 0}
		if c.behind {
			edge[1] = 1
		}
		of[edge]++
		return of[edge] > mostOf
	})
	return all[:min(len(all), mostCuts)], nil
}

// mayBeCut tells whether a pattern is a word without gaps of its own, of a script
// that is written without gaps.
func (p *pattern) mayBeCut() bool {
	return p.rule >= 0 && len(p.runes) > 1 && len(p.runes) <= 2*longestOrdinary && p.plain() &&
		!slices.ContainsFunc(p.runes, func(r rune) bool { return !unspaced(r) })
}

// edges is what is known of the ordinary words at the edges of listed ones.
type edges struct {
	*dictionary
	init, final    map[string]float64            // share of words that begin or end so
	whole          map[string]float64            // of the words themselves
	before, behind map[string]map[string]float64 // overlapping part -> rest of the word -> share
}

// want asks for what concerns a listed word.
func (e *edges) want(word []rune) {
	e.whole[string(word)] = 0
	for k := 1; k < len(word); k++ {
		e.init[string(word[k:])], e.final[string(word[:k])] = 0, 0
	}
}

// fill looks everything up in a dictionary.
func (e edges) fill(d *dictionary) edges {
	out := edges{
		dictionary: d, init: maps.Clone(e.init), final: maps.Clone(e.final), whole: maps.Clone(e.whole),
		before: map[string]map[string]float64{}, behind: map[string]map[string]float64{},
	}
	runes := func(of map[string]float64, end bool) map[rune]bool {
		set := map[rune]bool{}
		for s := range of {
			r, _ := utf8.DecodeRuneInString(s)
			if end {
				r, _ = utf8.DecodeLastRuneInString(s)
			}
			set[r] = true
		}
		return set
	}
	overlap := func(in map[string]map[string]float64, part, rest string, share float64) {
		if in[part] == nil {
			in[part] = map[string]float64{}
		}
		in[part][rest] += share
	}
	for r := range runes(out.init, false) {
		for _, w := range d.byFirst[r] {
			for k := 1; k <= len(w.runes); k++ {
				head := string(w.runes[:k])
				if _, ok := out.init[head]; !ok {
					continue
				}
				if out.init[head] += w.mass; k < len(w.runes) {
					overlap(out.behind, head, string(w.runes[k:]), w.mass)
				}
			}
		}
	}
	for r := range runes(out.final, true) {
		for _, w := range d.byLast[r] {
			for n, k := len(w.runes), 1; k <= n; k++ {
				tail := string(w.runes[n-k:])
				if _, ok := out.final[tail]; !ok {
					continue
				}
				if out.final[tail] += w.mass; k < n {
					overlap(out.before, tail, string(w.runes[:n-k]), w.mass)
				}
			}
		}
	}
	for r := range runes(out.whole, false) {
		for _, w := range d.byFirst[r] {
			if _, ok := out.whole[string(w.runes)]; ok {
				out.whole[string(w.runes)] += w.mass
			}
		}
	}
	return out
}

// cuts adds the cuts at one edge of a word. An ordinary word that overlaps the edge
// cuts it if the word together with what is left of the listed one is likelier
// than the listed word beside the beginning, or the end, of some other.
func (e *edges) cuts(found map[cut]float64, i int, word []rune, behind bool) {
	listed := max(e.whole[string(word)], commonness)
	for k := 1; k < len(word); k++ {
		overlapping, rest := e.before[string(word[:k])], e.init[string(word[k:])]
		if behind {
			overlapping, rest = e.behind[string(word[k:])], e.final[string(word[:k])]
		}
		for beside, share := range overlapping {
			r, _ := utf8.DecodeLastRuneInString(beside)
			other := e.last[r]
			if behind {
				r, _ = utf8.DecodeRuneInString(beside)
				other = e.first[r]
			}
			if share*rest <= listed*other || utf8.RuneCountInString(beside) > image.LongestCut {
				continue
			}
			key := cut{pattern: i, behind: behind, runes: beside}
			found[key] = max(found[key], share)
		}
	}
}

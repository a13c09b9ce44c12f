// Package filter measures the word filter beside what others use: lists of
// 1,000, 10,000 and 100,000 words, texts of 20 bytes to 12 KB in three tongues
// without a hit.
//
//	cd scripts/bench/filter && go test -bench .
//
// It is a module of its own, so that the project does not depend on its peers.
// Each text and each list is the same for all:
//
//   - ours: wordlist.Find, raw text in
//   - ordinary: five passes over the text (NFKC, case, invisible characters and
//     marks, traditional characters, kana) and BobuSumisu/aho-corasick
//   - coregx: coregx/ahocorasick alone, which sees a disguised word for another
//   - importcjj: importcjj/sensitive, which removes noise by a pattern first
//
// Figures drift with the machine; ratios within one run count.
package filter

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	bobusumisu "github.com/BobuSumisu/aho-corasick"
	coregx "github.com/coregx/ahocorasick"
	importcjj "github.com/importcjj/sensitive"
	"golang.org/x/text/unicode/norm"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/wordlisttest"
)

var (
	lists = []int{1_000, 10_000, 100_000}
	sizes = []int{20, 100, 1_000, 12_000}
)

// prose returns the lines of the innocent documents of the engine's tests, shuffled.
func prose(tb testing.TB) []string {
	tb.Helper()
	lines := slices.Clone(wordlisttest.Lines(tb))
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return lines
}

// texts cuts 16 texts of a size from the prose.
func texts(lines []string, size int) []string {
	var out []string
	for i := range 16 {
		var b strings.Builder
		for j := i * len(lines) / 16; b.Len() < size; j++ {
			b.WriteString(lines[j])
			b.WriteByte('\n')
		}
		out = append(out, strings.ToValidUTF8(b.String()[:size], ""))
	}
	return out
}

// longest bounds the invented words, in characters.
const longest = 12

// words invents words: two fifths Han, a fifth kana, the rest Latin, of the
// characters that the prose has. None is in the texts, folded or not.
func words(lines, clean []string, n int) []string {
	seen := map[rune]bool{}
	var han, kana []rune
	for _, r := range strings.Join(lines, "") {
		if seen[r] {
			continue
		}
		seen[r] = true
		switch {
		case unicode.Is(unicode.Han, r):
			han = append(han, r)
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			kana = append(kana, r)
		}
	}
	taken := map[string]bool{}
	for _, text := range clean {
		folded := []rune(fivePasses(text))
		for i := range folded {
			for j := i + 2; j <= min(i+longest, len(folded)); j++ {
				taken[string(folded[i:j])] = true
			}
		}
	}
	random := rand.New(rand.NewPCG(3, uint64(n)))
	draw := func(from []rune, least, most int) string {
		out := make([]rune, least+random.IntN(most-least+1))
		for i := range out {
			out[i] = from[random.IntN(len(from))]
		}
		return string(out)
	}
	latin := func() string {
		const consonants, vowels = "bcdfghklmnprstvw", "aeiou"
		var b strings.Builder
		for range 2 + random.IntN(3) {
			b.WriteByte(consonants[random.IntN(len(consonants))])
			b.WriteByte(vowels[random.IntN(len(vowels))])
			if random.IntN(3) == 0 {
				b.WriteByte(consonants[random.IntN(len(consonants))])
			}
		}
		return b.String()
	}
	var out []string
	for len(out) < n {
		var w string
		switch k := random.IntN(5); {
		case k < 2:
			w = draw(han, 2, 4)
		case k == 2:
			w = draw(kana, 3, 6)
		default:
			w = latin()
		}
		if folded := fivePasses(w); !taken[folded] {
			taken[folded] = true
			out = append(out, w)
		}
	}
	return out
}

// simplified is a small part of the table; its size hardly matters.
var simplified = func() map[rune]rune {
	m := map[rune]rune{}
	pairs := []rune("賭赌場场樂乐機机買买賣卖開开發发陸陆槍枪證证錢钱網网軟软體体電电話话國国語语學学說说讀读寫写來来這这裡里個个們们時时間间問问題题")
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}()

// fivePasses folds as an ordinary pipeline does.
func fivePasses(s string) string {
	s = norm.NFKC.String(s)
	s = strings.ToLower(s)
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Mn, unicode.Me) {
			return -1
		}
		return r
	}, s)
	s = strings.Map(func(r rune) rune {
		if to, ok := simplified[r]; ok {
			return to
		}
		return r
	}, s)
	return strings.Map(func(r rune) rune {
		if 'ァ' <= r && r <= 'ヶ' {
			return r - 'ァ' + 'ぁ'
		}
		return r
	}, s)
}

// compiled compiles a list for our engine.
func compiled(tb testing.TB, list []string) string {
	tb.Helper()
	type word struct {
		Text string `json:"text"`
	}
	set := struct {
		Version string `json:"version"`
		Words   []word `json:"words"`
	}{Version: "bench"}
	for _, w := range list {
		set.Words = append(set.Words, word{w})
	}
	b, err := json.Marshal(set)
	if err != nil {
		tb.Fatal(err)
	}
	rules, err := compile.Parse(b)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := compile.Compile(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// withoutHits leaves out the words that our engine finds in the texts although
// they are not written there plainly.
func withoutHits(tb testing.TB, list, clean []string) []string {
	for {
		l, err := wordlist.Open(compiled(tb, list))
		if err != nil {
			tb.Fatal(err)
		}
		found := map[string]bool{}
		for _, text := range clean {
			hits, err := l.Find(tb.Context(), nil, text)
			if err != nil {
				tb.Fatal(err)
			}
			for _, h := range hits {
				found[h.Word.Text] = true
			}
		}
		if len(found) == 0 {
			return list
		}
		list = slices.DeleteFunc(list, func(w string) bool { return found[w] })
	}
}

// contender is one way to look for words; it tells how many it found.
type contender struct {
	name  string
	build func(tb testing.TB, list []string) func(text string, raw []byte) int
}

var contenders = []contender{
	{"ours", func(tb testing.TB, list []string) func(string, []byte) int {
		l, err := wordlist.Open(compiled(tb, list))
		if err != nil {
			tb.Fatal(err)
		}
		var hits []wordlist.Hit
		return func(text string, _ []byte) int {
			hits, _ = l.Find(context.Background(), hits[:0], text)
			return len(hits)
		}
	}},
	{"ordinary", func(_ testing.TB, list []string) func(string, []byte) int {
		b := bobusumisu.NewTrieBuilder()
		for _, w := range list {
			b.AddString(fivePasses(w))
		}
		trie := b.Build()
		return func(text string, _ []byte) int { return len(trie.MatchString(fivePasses(text))) }
	}},
	{"coregx", func(tb testing.TB, list []string) func(string, []byte) int {
		a, err := coregx.NewBuilder().AddStrings(list).Build()
		if err != nil {
			tb.Fatal(err)
		}
		return func(_ string, raw []byte) int { return len(a.FindAll(raw, -1)) }
	}},
	{"importcjj", func(_ testing.TB, list []string) func(string, []byte) int {
		f := importcjj.New()
		f.AddWord(list...)
		return func(text string, _ []byte) int {
			if found, _ := f.FindIn(text); found {
				return 1
			}
			return 0
		}
	}},
}

// processorTime is what the process has used so far, garbage collection
// included: on a shared machine it says more than the clock.
func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFind takes the contenders in turn for each list and size.
func BenchmarkFind(b *testing.B) {
	lines := prose(b)
	var clean []string
	for _, size := range sizes {
		clean = append(clean, texts(lines, size)...)
	}
	raw := make([][]byte, len(clean))
	for i, text := range clean {
		raw[i] = []byte(text)
	}
	for _, n := range lists {
		list := withoutHits(b, words(lines, clean, n), clean)
		for _, c := range contenders {
			find := c.build(b, list)
			for i, size := range sizes {
				b.Run(fmt.Sprintf("words=%d/bytes=%d/%s", n, size, c.name), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(size))
					found, start := 0, processorTime(b)
					for k := 0; b.Loop(); k++ {
						found += find(clean[i*16+k%16], raw[i*16+k%16])
					}
					b.ReportMetric(float64(processorTime(b)-start)/float64(b.N), "cpu-ns/op")
					if found > 0 && c.name == "ours" {
						b.Errorf("%d hits in clean text", found)
					}
				})
			}
			debug.FreeOSMemory() // what one contender holds is gone before the next
		}
	}
}

// BenchmarkOpen opens an image, as a process does at its start.
func BenchmarkOpen(b *testing.B) {
	lines := prose(b)
	for _, n := range lists {
		image := compiled(b, words(lines, nil, n))
		b.Run(fmt.Sprintf("words=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := wordlist.Open(image); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(image))/(1<<20), "MiB")
		})
	}
}

package compile

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// tricky is a rule set in which words contain, touch and double one another.
const tricky = `{"version":"1","words":[
	{"text":"as"},{"text":"ass"},{"text":"assess"},{"text":"his"},{"text":"shit","word":false},{"text":"hit"},
	{"text":"xxx"},{"text":"bus stop"},{"text":"t.me","urls":true},{"text":"c++x"},{"text":"a1b"},{"text":"2008"},{"text":"ill"},{"text":"lid","word":false},
	{"text":"妈的"},{"text":"他妈的"},{"text":"天天彩"},{"text":"六合彩","numerals":true},{"text":"加v信"},{"text":"v信a"},{"text":"赌场"},
	{"text":"ばか"},{"text":"はは"},{"text":"ガガ"},{"text":"パパ活"},{"text":"カス","word":true},{"text":"かす","word":true},{"text":"ーか"},
	{"text":"AV","exact":true},{"text":"ばし","exact":true},{"text":"株キロ"},{"text":"한국"}],
	"allow":["ばかり","class","妈妈的","as if","bus-stop","xxxx","a55"]}`

var both = sync.OnceValues(func() ([2]*RuleSet, error) {
	b, err := os.ReadFile("../testdata/rules.json")
	if err != nil {
		return [2]*RuleSet{}, err
	}
	corpus, err := Parse(b)
	if err != nil {
		return [2]*RuleSet{}, err
	}
	small, err := Parse([]byte(tricky))
	return [2]*RuleSet{small, corpus}, err
})

var lists = sync.OnceValues(func() (out [2]*wordlist.List, err error) {
	sets, err := both()
	if err != nil {
		return out, err
	}
	for i, set := range sets {
		data, err := Compile(set)
		if err != nil {
			return out, err
		}
		if out[i], err = wordlist.Open(string(data)); err != nil {
			return out, err
		}
	}
	return out, nil
})

// compare holds the engine against the slow implementation, by both rule sets.
func compare(t *testing.T, text string) {
	t.Helper()
	sets, err := both()
	if err != nil {
		t.Fatal(err)
	}
	opened, err := lists()
	if err != nil {
		t.Fatal(err)
	}
	for i, set := range sets {
		want := slowFind(set, text)
		got, err := opened[i].Find(t.Context(), nil, text)
		if err != nil {
			t.Fatalf("rule set %d, %q: %v", i, text, err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("rule set %d, %q (%+q):\nengine %v\nslow   %v", i, text, text, got, want)
		}
	}
}

// disguises are characters by what they fold to.
var disguises = sync.OnceValue(func() map[rune][]rune {
	out := map[rune][]rune{}
	for r := range rune(0x20000) {
		if f := fold(r); len(f) == 1 && utf8.ValidRune(r) {
			out[f[0]] = append(out[f[0]], r)
		}
	}
	return out
})

// TestDifferential disguises words at random, puts them together with each other
// and with noise, and wants the engine to find what the slow implementation finds.
func TestDifferential(t *testing.T) {
	random := rand.New(rand.NewPCG(20, 26))
	sets, err := both()
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		compare(t, randomText(random, sets[random.IntN(2)]))
	}
}

func randomText(random *rand.Rand, set *RuleSet) string {
	pick := func(s string) rune { r := []rune(s); return r[random.IntN(len(r))] }
	const (
		signs  = " .,!-*・。、　\n'|@$_~★🎰…〜()"
		hidden = "\u200b\u0301\u202e\ufe0f\u00ad\u3099゛ﾞ゜"
		noise  = "asxhitbu1053489lm彩妈的天六场赌カスばか゛はーりvＶｶﾞﾊﾟ株㌔㈱①⑩ﬁß가국éЖ\xff@!$|.:/w"
		leet   = "o0i1e3a4s5t7b8g9a@s$i!l1l|"
	)
	var b strings.Builder
	for range 1 + random.IntN(4) {
		word := set.Words[random.IntN(len(set.Words))].Text
		if len(set.Allow) > 0 && random.IntN(6) == 0 {
			word = set.Allow[random.IntN(len(set.Allow))]
		}
		heat := random.IntN(5)
		for _, r := range word {
			if random.IntN(8) < heat {
				if same := disguises()[r]; len(same) > 0 {
					r = same[random.IntN(len(same))]
				}
			}
			if random.IntN(12) < heat {
				for _, pair := range slices.Collect(slices.Chunk([]rune(leet), 2)) {
					if pair[0] == r && random.IntN(2) == 0 {
						r = pair[1]
					}
				}
			}
			for range 1 + random.IntN(3)*random.IntN(2)*(heat/3) {
				b.WriteRune(r)
				for random.IntN(14) < heat {
					b.WriteRune(pick(hidden))
				}
				for random.IntN(9) < heat {
					b.WriteRune(pick(signs))
				}
			}
		}
		for random.IntN(3) > 0 {
			if random.IntN(2) == 0 {
				b.WriteRune(pick(signs))
			} else if r := pick(noise); r == utf8.RuneError {
				b.WriteByte(0xff)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

func FuzzDifferential(f *testing.F) {
	for _, text := range []string{
		"his shit", "as s", "c l a s s", "f u c k", "sh1t-h0le", "http://x.y/ass a@ss.com", "ばかり", "他妈妈妈的", "⑥合彩",
		"加.v 信", "xxx xxx", "はﾞか", "a55 class A55", "妈妈的 2008", "ａｓｓ\u0301", "天天天彩", "赌 场。赌。场", "kil1 1ll",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 200 {
			return
		}
		compare(t, text)
	})
}

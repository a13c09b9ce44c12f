package wordlist_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/wordlisttest"
)

// corpusList is what the corpora are measured with.
var corpusList = sync.OnceValues(func() (*wordlist.List, error) {
	b, err := os.ReadFile("testdata/rules.json")
	if err != nil {
		return nil, err
	}
	set, err := compile.Parse(b)
	if err != nil {
		return nil, err
	}
	data, err := compile.Compile(set)
	if err != nil {
		return nil, err
	}
	return wordlist.Open(string(data))
})

func corpus(t testing.TB) *wordlist.List {
	t.Helper()
	list, err := corpusList()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// readLines decodes a file of JSON lines.
func readLines[T any](t *testing.T, name string) []T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for line := range bytes.Lines(b) {
		var v T
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v in %s", name, err, line)
		}
		out = append(out, v)
	}
	return out
}

type evasion struct{ Rule, Fold, Made, Text string }

func (e evasion) caught(t testing.TB, l *wordlist.List) bool {
	for _, h := range find(t, l, e.Text) {
		if h.Word.Text == e.Rule {
			return true
		}
	}
	return false
}

func TestEvasionsAreCaught(t *testing.T) {
	list := corpus(t)
	all := readLines[evasion](t, "evasions.jsonl")
	if len(all) < 400 {
		t.Errorf("%d evasions", len(all))
	}
	for _, e := range all {
		if !e.caught(t, list) {
			t.Errorf("%s hides %q in %q", e.Fold, e.Rule, e.Text)
		}
	}
}

// TestHeldOutEvasions says how many were caught, never which: they are not to
// tune by.
func TestHeldOutEvasions(t *testing.T) {
	list := corpus(t)
	all := readLines[evasion](t, "heldout.jsonl")
	caught := 0
	for _, e := range all {
		if e.caught(t, list) {
			caught++
		}
	}
	t.Logf("%d of %d", caught, len(all))
	if len(all) < 150 || float64(caught) < 0.95*float64(len(all)) {
		t.Errorf("%d of %d held-out evasions caught, want 95 of a hundred of at least 150", caught, len(all))
	}
}

func TestInnocentsPass(t *testing.T) {
	list := corpus(t)
	b, err := os.ReadFile("testdata/innocents.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		for _, h := range find(t, list, line) {
			t.Errorf("%q: hit %q as %q", line, h.Word.Text, line[h.Start:h.End])
		}
	}
}

// TestShippedRulesHaveFewFalseHits: at most one of two thousand lines that people
// wrote about other things is hit by the rule set that ships, and none is refused
// for its cost.
func TestShippedRulesHaveFewFalseHits(t *testing.T) {
	for name, list := range map[string]*wordlist.List{"shipped": wordlist.Default(), "corpus": corpus(t)} {
		for kind, lines := range wordlisttest.Prose(t) {
			hits := 0
			for _, line := range lines {
				found := find(t, list, line)
				if len(found) == 0 {
					continue
				}
				if hits++; hits <= 20 {
					h := found[0]
					t.Logf("%s, %s: hit %q as %q in %.300q", name, kind, h.Word.Text, line[h.Start:h.End], line)
				}
			}
			t.Logf("%s, %s: %d of %d lines, %.4f %%", name, kind, hits, len(lines), 100*float64(hits)/float64(len(lines)))
			most := 0.0005
			if name == "corpus" {
				most = 0.001 // its words are coarser
			}
			if float64(hits) > most*float64(len(lines)) {
				t.Errorf("%s, %s: %d of %d innocent lines hit, want %.2f %% at most", name, kind, hits, len(lines), 100*most)
			}
		}
	}
}

// TestShippedRulesCatchEvasions: disguises of the words that the shipped rule set
// has, in sentences that nobody tuned it to.
func TestShippedRulesCatchEvasions(t *testing.T) {
	list, shipped := wordlist.Default(), map[string]bool{}
	for _, r := range compile.Default().Words {
		shipped[r.Text] = true
	}
	all, caught := 0, 0
	for _, e := range readLines[evasion](t, "heldout.jsonl") {
		if shipped[e.Rule] {
			if all++; e.caught(t, list) {
				caught++
			}
		}
	}
	t.Logf("%d of %d", caught, all)
	if all < 50 || float64(caught) < 0.95*float64(all) {
		t.Errorf("%d of %d held-out evasions caught, want 95 of a hundred of at least 50", caught, all)
	}
}

// TestOrdinaryWordsAcrossAnEdge: where two ordinary words meet, no listed word is
// made of their halves; where the listed word itself stands, it is hit.
func TestOrdinaryWordsAcrossAnEdge(t *testing.T) {
	list := wordlist.Default()
	for _, text := range []string{
		"公安局办证大厅在哪里", "去办证中心", "これで死ねるのか", "印刷单位已经确认", "支援交通建设", "角色情节设计", "补办证件要多久", "反洗钱培训课程", "一夜情况突变", "聞きちがいでした", "行きちがいになる",
		"死ねないゲームです", "即金払いができます", "主办证书", "公私服务", "沉迷药物研究", "怎么办证明", "请去办证券账户", "印刷單位", "印刷单价表",
		"press p or n to continue", "c as in o", "press p, or n", "主办 证件",
	} {
		for _, h := range find(t, list, text) {
			t.Errorf("%q: hit %q as %q", text, h.Word.Text, text[h.Start:h.End])
		}
	}
	for text, word := range map[string]string{
		"网上赌博客户端": "赌博", "我要刷单": "刷单", "刷单兼职": "刷单", "专业办证": "办证", "办证电话": "办证", "色情网站": "色情", "看色情片": "色情",
		"帮人洗钱": "洗钱", "找个一夜情": "一夜情", "来赌场玩": "赌场", "援交妹": "援交", "裸聊直播": "裸聊", "你这个贱人": "贱人", "賭 場": "赌场", "早く死ね": "死ね",
		"お前はきちがいだ": "きちがい", "p o r n": "porn", "c.a.s.i.n.o": "casino", "代练上分": "代练", "传奇私服": "私服", "滚蛋吧": "滚蛋", "吸冰毒": "冰毒",
	} {
		if hits := find(t, list, text); len(hits) == 0 || hits[0].Word.Text != word {
			t.Errorf("%q: %v, want %q", text, hits, word)
		}
	}
}

// TestInflections: words of English are found in their forms, by default those of
// five letters and more.
func TestInflections(t *testing.T) {
	list := open(t, `{"version":"1","words":[{"text":"bitch"},{"text":"whore"},{"text":"kill yourself"},{"text":"slut","inflect":true},{"text":"porn"},
		{"text":"escort"},{"text":"casino","inflect":false},{"text":"buy body","inflect":true},{"text":"bad.example","urls":true},{"text":"赌场"}]}`)
	for text, want := range map[string]string{
		"bitches": "bitch", "bitchy": "bitch", "bitching": "bitch", "B!tches": "bitch", "whores": "whore", "whoring": "whore", "kill yourselves": "kill yourself",
		"sluts": "slut", "slutty": "slut", "escorted": "escort", "buy bodies": "buy body", "porns": "", "casinos": "", "kills yourself": "", "bad.examples": "",
	} {
		got := ""
		if hits := find(t, list, text); len(hits) > 0 {
			got = hits[0].Word.Text
		}
		if got != want {
			t.Errorf("%q: hit %q, want %q", text, got, want)
		}
	}
}

// TestDoubledLettersMakeAnotherWord: a letter more is a disguise, unless it makes
// an ordinary word.
func TestDoubledLettersMakeAnotherWord(t *testing.T) {
	list := open(t, `{"version":"1","words":[{"text":"cok"},{"text":"god"},{"text":"loser"},{"text":"ses"}]}`)
	for text, hits := range map[string]int{
		"I cook": 0, "COOK": 0, "cok": 1, "coook": 1, "cokk": 1, "a good idea": 0, "god": 1, "goood": 1, "losser": 1, "he sees": 1,
	} {
		if got := find(t, list, text); len(got) != hits {
			t.Errorf("%q: %v, want %d", text, got, hits)
		}
	}
}

// TestSignsOfOtherScripts: what is a dot, a letter and a gap elsewhere.
func TestSignsOfOtherScripts(t *testing.T) {
	list := open(t, `{"version":"1","words":[{"text":"赌场"},{"text":"ばか"},{"text":"احمق"},{"text":"xx.info","urls":true},{"text":"bad.example","urls":true},
		{"text":"casino"},{"text":"fuck","urls":true}]}`)
	for text, want := range map[string]string{
		"赌!场": "赌场", "赌！场": "赌场", "ば!か": "ばか", "赌。场": "", "赌，场": "", "ca!si": "",
		"احـــمق": "احمق", "go to xx.info": "xx.info", "xx。info": "xx.info", "xx｡info": "xx.info", "ｘｘ．ｉｎｆｏ": "xx.info", "http://xx.info/a": "xx.info", "XX.INFO": "xx.info",
		"http://b%61d%2Eexample/": "bad.example", "bad%2eexample": "bad.example", "https://a.example/?to=bad%2Eexample": "bad.example",
		"http://a.example/%63asino": "", "100%25 good": "", "www.fuck.com": "fuck", "http://a/fuck": "fuck", "http://a/%66uck": "fuck", "http://a/casino": "",
	} {
		got := ""
		if hits := find(t, list, text); len(hits) > 0 {
			got = hits[0].Word.Text
			if h := hits[0]; h.Start < 0 || h.End > len(text) || h.Start >= h.End {
				t.Errorf("%q: hit %d to %d", text, h.Start, h.End)
			}
		}
		if got != want {
			t.Errorf("%q: hit %q, want %q", text, got, want)
		}
	}
}

// TestAbuseInAddresses: the shipped rule set looks for abuse in addresses too, and
// for nothing else there.
func TestAbuseInAddresses(t *testing.T) {
	list := wordlist.Default()
	for text, hits := range map[string]int{
		"www.fuck.com": 1, "see http://a.example/bitch": 1, "mail slut@a.example": 1, "http://a.example/casino": 0, "https://scunthorpe.example/": 0,
	} {
		if got := find(t, list, text); len(got) != hits {
			t.Errorf("%q: %v, want %d", text, got, hits)
		}
	}
}

// prose returns the lines of the innocent documents, in an order of its own that
// mixes their kinds and tongues.
func prose(t testing.TB) []string {
	lines := slices.Clone(wordlisttest.Lines(t))
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return lines
}

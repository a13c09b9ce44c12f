package wordlist_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
)

// build compiles a rule set.
func build(t testing.TB, rules string) []byte {
	t.Helper()
	set, err := compile.Parse([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	data, err := compile.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, rules string) *wordlist.List {
	t.Helper()
	list, err := wordlist.Open(string(build(t, rules)))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// find returns the hits in a text that can be read to its end.
func find(t testing.TB, list *wordlist.List, text string) []wordlist.Hit {
	t.Helper()
	hits, err := list.Find(t.Context(), nil, text)
	if err != nil {
		t.Fatalf("%.40q: %v", text, err)
	}
	return hits
}

func TestHitsSayWhatAndWhere(t *testing.T) {
	list := open(t, `{"version":"v7","words":[
		{"text":"赌场","category":"gambling","severity":3,"action":"drop"},
		{"text":"online casino","category":"gambling"},
		{"text":"casino"}]}`)
	text := "来 賭-場, ＯＮＬＩＮＥ cas1no!"
	want := []wordlist.Hit{
		{Start: 4, End: 11, Word: wordlist.Word{Text: "赌场", Category: "gambling", Severity: 3, Action: wordlist.Drop}},
		{Start: 13, End: 38, Word: wordlist.Word{Text: "online casino", Category: "gambling", Severity: 1, Action: wordlist.Reject}},
		{Start: 32, End: 38, Word: wordlist.Word{Text: "casino", Severity: 1, Action: wordlist.Reject}},
	}
	if got := find(t, list, text); !slices.Equal(got, want) {
		t.Errorf("found %v\nwant  %v", got, want)
	}
	if list.Version() != "v7" {
		t.Errorf("version %q", list.Version())
	}
}

// TestFindAppends: hits of several texts gather in one slice.
func TestFindAppends(t *testing.T) {
	list := open(t, `{"version":"1","words":[{"text":"casino"}],"allow":["casino royale"]}`)
	var hits []wordlist.Hit
	for _, text := range []string{"a casino", "Casino Royale, and a casino", "nothing"} {
		var err error
		if hits, err = list.Find(t.Context(), hits, text); err != nil {
			t.Fatal(err)
		}
	}
	if len(hits) != 2 || hits[0].Start != 2 || hits[1].Start != 21 {
		t.Errorf("gathered %v", hits)
	}
}

func TestScopes(t *testing.T) {
	list := open(t, `{"version":"1",
		"words":[{"text":"damn","category":"abuse","action":"mask"},{"text":"casino","category":"gambling"},{"text":"other"}],
		"scopes":{
			"c2c":{"*":"shadow"},
			"type:Public":{"abuse":"drop","*":"review"},
			"room:staff":{"abuse":"allow"}}}`)
	word := func(text string) wordlist.Word {
		hits := find(t, list, text)
		if len(hits) != 1 {
			t.Fatalf("%d hits in %q", len(hits), text)
		}
		return hits[0].Word
	}
	for _, tt := range []struct {
		text   string
		scopes []string
		want   wordlist.Action
	}{
		{"damn", nil, wordlist.Mask},
		{"damn", []string{"room:x", "type:Work"}, wordlist.Mask},
		{"damn", []string{"c2c"}, wordlist.Shadow},
		{"damn", []string{"type:Public"}, wordlist.Drop},
		{"casino", []string{"type:Public"}, wordlist.Review},
		{"damn", []string{"room:staff", "type:Public"}, wordlist.Allow},
		{"casino", []string{"room:staff", "type:Public"}, wordlist.Review},
		{"other", []string{"room:staff"}, wordlist.Reject},
	} {
		if got := list.Action(word(tt.text), tt.scopes...); got != tt.want {
			t.Errorf("%q in %v: %s, want %s", tt.text, tt.scopes, got, tt.want)
		}
	}
}

func TestOptions(t *testing.T) {
	list := open(t, `{"version":"1","words":[
		{"text":"fu","word":false},{"text":"カス","word":true},{"text":"AV","exact":true},{"text":"5折","numerals":true},
		{"text":"bad.example","urls":true},{"text":"worse"},{"text":"四川","numerals":true}]}`)
	for text, want := range map[string]string{
		"kungfu":                       "fu",
		"このカス。":                        "カス",
		"カスタム":                         "",
		"AV":                           "AV",
		"av":                           "",
		"ＡＶ":                           "",
		"A V":                          "",
		"伍折":                           "5折",
		"⑤折":                           "5折",
		"15折":                          "",
		"4川":                           "四川",
		"see http://bad.example/x":     "bad.example",
		"see http://worse.example/":    "",
		"mail worse@x.example for it":  "",
		"mail x@worse.example.":        "",
		"worse than http://x.example/": "worse",
		"http:// worse":                "worse",
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

// TestVeryLongWords: what the automaton does not hold is compared all the same.
func TestVeryLongWords(t *testing.T) {
	var b strings.Builder
	for i := range 20 {
		b.WriteString("今日は" + string(rune('一'+10*i)) + "長い文を送ります、")
	}
	copypasta := b.String()
	list := open(t, `{"version":"1","words":[{"text":"`+copypasta+`終"}],"allow":["`+copypasta+`終幕"]}`)
	for text, hits := range map[string]int{
		copypasta + "終":        1,
		copypasta + "！終":       1,
		"x" + copypasta + "終り": 1,
		copypasta + "始":        0,
		copypasta:              0,
		copypasta + "終幕":       0,
		strings.Replace(copypasta, "長", "短", 1) + "終":                                      0,
		copypasta[:len(copypasta)-39] + strings.Replace(copypasta[:39], "今", "昨", 1) + "終": 0,
	} {
		if got := find(t, list, text); len(got) != hits {
			t.Errorf("%d hits in %q, want %d", len(got), text, hits)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := build(t, `{"version":"1","words":[{"text":"casino"}]}`)
	change := func(i int, b byte) string {
		c := bytes.Clone(good)
		c[i] ^= b
		return string(c)
	}
	for name, tt := range map[string]struct{ data, says string }{
		"nothing":        {"", "not a rule image"},
		"JSON":           {`{"version":"1","words":[]}`, "not a rule image"},
		"another format": {change(4, 0x80), "format"},
		"cut off":        {string(good[:len(good)-8]), "bytes"},
		"longer":         {string(good) + "\x00", "bytes"},
		"a flipped bit":  {change(len(good)/2, 1), "checksum"},
	} {
		if _, err := wordlist.Open(tt.data); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, tt.says)
		}
	}
}

// FuzzOpen: an image from a stranger, checksum and all, may be nonsense, but
// neither its opening nor a search with it panics, and hits stay in the text.
func FuzzOpen(f *testing.F) {
	good := build(f, `{"version":"1","words":[{"text":"casino"},{"text":"六合彩","numerals":true},{"text":"aabb"},{"text":"ばか"}],"allow":["casinos"],"scopes":{"c2c":{"*":"drop"}}}`)
	f.Add(uint32(0), []byte{}, "casino 6合彩")
	f.Add(uint32(len(good)-40), []byte{0xff, 0xff, 0xff, 0xff}, "aabb c4s1n0")
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, text string) {
		data := bytes.Clone(good)
		copy(data[16+int(at)%(len(data)-16):], patch)
		binary.LittleEndian.PutUint32(data[8:], crc32.Checksum(data[16:], crc32.MakeTable(crc32.Castagnoli)))
		list, err := wordlist.Open(string(data))
		if err != nil {
			return
		}
		for _, h := range find(t, list, text+"casino 6合彩 ば\u3099か ㈱ c4$1n0 aaabbb") {
			if h.Start < 0 || h.Start >= h.End || h.End > len(text)+49 {
				t.Fatalf("hit %d to %d", h.Start, h.End)
			}
			list.Action(h.Word, "c2c")
		}
		_ = list.Version()
	})
}

// FuzzFind: hits lie on borders of characters, masking keeps valid UTF-8 valid
// and never makes a text longer, and what is masked is clean.
func FuzzFind(f *testing.F) {
	for _, text := range []string{"his shit", "f-u-c-k", "ﾊﾞｶ", "sh1t $h!t", "六\u200b合彩", "他妈的", "a\xff\xc3", "㌀ﬁ"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := corpus(t)
		for _, h := range find(t, list, text) {
			if h.Start < 0 || h.Start >= h.End || h.End > len(text) {
				t.Fatalf("hit %d to %d of %d", h.Start, h.End, len(text))
			}
			if utf8.ValidString(text) && !utf8.ValidString(text[h.Start:h.End]) {
				t.Fatalf("hit %q of %q", text[h.Start:h.End], text)
			}
		}
		all := func(wordlist.Hit) bool { return true }
		masked, err := list.Mask(t.Context(), text, all)
		if err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(text) && !utf8.ValidString(masked) || len(masked) > len(text) {
			t.Fatalf("%q is masked to %q", text, masked)
		}
		if hits := find(t, list, masked); len(hits) > 0 {
			t.Fatalf("%q is masked to %q, which has %v", text, masked, hits)
		}
	})
}

package knowledge_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/backchannel-im/backchannel/shared/bot/knowledge"
)

func corpus(t testing.TB) *knowledge.Base {
	t.Helper()
	image, err := knowledge.Compile(os.DirFS("testdata/corpus"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := knowledge.Open(string(image))
	if err != nil {
		t.Fatal(err)
	}
	return base
}

type question struct {
	Lang, Question string
	Pages          []string
}

func questions(t testing.TB) (list []question) {
	t.Helper()
	text, err := os.ReadFile("testdata/questions.json")
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRecall: of the questions in three languages, at least nine of ten find a
// heading that answers them among the first three.
func TestRecall(t *testing.T) {
	base := corpus(t)
	asked, found, first := map[string]int{}, map[string]int{}, 0
	anchors := map[string]bool{}
	for _, q := range questions(t) {
		asked[q.Lang]++
		for i, h := range base.Search(q.Question, 3) {
			anchors[h.Address()] = true
			if slices.Contains(q.Pages, h.Address()) {
				found[q.Lang]++
				if i == 0 {
					first++
				}
				break
			}
		}
		if hits := base.Search(q.Question, 3); !slices.ContainsFunc(hits, func(h knowledge.Hit) bool { return slices.Contains(q.Pages, h.Address()) }) {
			var got []string
			for _, h := range hits {
				got = append(got, h.Address())
			}
			t.Logf("%s: found %q, want %q", q.Question, got, q.Pages)
		}
	}
	all, hit := 0, 0
	for lang, n := range asked {
		t.Logf("%s: %d of %d", lang, found[lang], n)
		all, hit = all+n, hit+found[lang]
		if found[lang]*10 < n*9 {
			t.Errorf("recall in %s is %d of %d, want nine of ten", lang, found[lang], n)
		}
	}
	t.Logf("all: %d of %d in the first three, %d first; %v", hit, all, first, base)
	if all < 60 || len(asked) < 3 || hit*10 < all*9 {
		t.Errorf("recall is %d of %d in %d languages", hit, all, len(asked))
	}
}

// TestPages: what becomes a passage, and how it is addressed.
func TestPages(t *testing.T) {
	image, err := knowledge.Compile(fstest.MapFS{
		"a/page.md":       {Data: []byte("\ufeff---\ntitle: x\n---\nBefore all headings: zebra.\n\n# The Title!\r\n\r\ngiraffe\r\n## A & B\nlion\n```\n# no heading: tiger\n```\n## A & B ##\nleopard\n#hashtag panther\n")},
		"b.markdown":      {Data: []byte("# Ｆｕｌｌ　Width\n\nＥ４ ケース")},
		"notes.txt":       {Data: []byte("# elephant")},
		".hidden/page.md": {Data: []byte("# elephant")},
		"empty.md":        {Data: []byte("# elephant\n\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	base, err := knowledge.Open(string(image))
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]string{
		"zebra": "a/page.md#|page", "giraffe": "a/page.md#the-title|The Title!", "lions": "a/page.md#a--b|The Title! › A & B",
		"tiger": "a/page.md#a--b|The Title! › A & B", "LEOPARD": "a/page.md#a--b-1|The Title! › A & B", "panther": "a/page.md#a--b-1|The Title! › A & B",
		"full": "b.markdown#ｆｕｌｌwidth|Ｆｕｌｌ　Width", "e4": "b.markdown#ｆｕｌｌwidth|Ｆｕｌｌ　Width", "elephant": "", "": "", "the of and": "",
	} {
		got := ""
		if hits := base.Search(word, 3); len(hits) > 0 {
			got = hits[0].Address() + "|" + hits[0].Title()
		}
		if got != want {
			t.Errorf("%q: found %q, want %q", word, got, want)
		}
	}
}

func TestBadFolders(t *testing.T) {
	for name, tt := range map[string]struct {
		folder fstest.MapFS
		says   string
	}{
		"empty":     {fstest.MapFS{}, "no Markdown"},
		"not UTF-8": {fstest.MapFS{"x.md": {Data: []byte("# \xff")}}, "x.md is not UTF-8"},
		"too long":  {fstest.MapFS{"x.md": {Data: bytes.Repeat([]byte("a"), knowledge.MaxPage+1)}}, "x.md has 1048577 bytes"},
	} {
		if _, err := knowledge.Compile(tt.folder); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
}

// TestImages: the same folder gives the same bytes, and no damage goes unnoticed.
func TestImages(t *testing.T) {
	first, err := knowledge.Compile(os.DirFS("testdata/corpus"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := knowledge.Compile(os.DirFS("testdata/corpus"))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two images of one folder differ, %v", err)
	}
	for n := 0; n < len(first); n += 97 {
		damaged := bytes.Clone(first)
		damaged[n] ^= 0x10
		if _, err := knowledge.Open(string(damaged)); !errors.Is(err, knowledge.ErrImage) {
			t.Errorf("byte %d changed: %v", n, err)
		}
		if _, err := knowledge.Open(string(first[:n])); !errors.Is(err, knowledge.ErrImage) {
			t.Errorf("cut at byte %d: %v", n, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	image, err := knowledge.Compile(fstest.MapFS{"a.md": {Data: []byte("# One\ntwo 三四")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(image, "two")
	f.Add([]byte("BCKNOW1\n"), "")
	f.Fuzz(func(t *testing.T, image []byte, query string) {
		base, err := knowledge.Open(knowledge.Resealed(image))
		if err != nil {
			return
		}
		for _, h := range base.Search(query, 3) {
			_ = h.Address()
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add("# One\n\ntwo", "two")
	f.Add("```\n# x\n", "x")
	f.Fuzz(func(t *testing.T, page, query string) {
		image, err := knowledge.Compile(fstest.MapFS{"a.md": {Data: []byte(page)}})
		if err != nil {
			return
		}
		base, err := knowledge.Open(string(image))
		if err != nil {
			t.Fatal(err)
		}
		base.Search(query, 3)
	})
}

func BenchmarkSearch(b *testing.B) {
	base, list := corpus(b), questions(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		base.Search(list[n%len(list)].Question, 3)
	}
}

// Package wordlisttest has harmless texts for the word filter's tests and benchmarks:
// documents of other authors in Debian's packages, which scripts/setup.sh unpacks and
// which are not part of this repository.
package wordlisttest

import (
	"compress/gzip"
	"html"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
)

// Kind is a kind of documents.
type Kind string

// The kinds.
const (
	Manuals Kind = "manuals" // about computers
	Poems   Kind = "poems"   // and proverbs, Chinese
	Names   Kind = "names"   // of people, companies and places, and addresses
)

// Prose returns the lines of all documents by kind: sentences, paragraphs, names. No
// line occurs twice. Without the documents Prose fails the test; with -short, which
// needs only Go, Prose skips the test.
func Prose(tb testing.TB) map[Kind][]string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short does not read the documents that scripts/setup.sh unpacks")
	}
	all, err := read()
	if err != nil {
		tb.Fatal(err)
	}
	if len(all[Manuals]) < 20_000 || len(all[Poems]) == 0 || len(all[Names]) == 0 {
		tb.Fatalf("the documents to measure with are not there: run scripts/setup.sh prose")
	}
	return all
}

// Lines returns the lines of all documents.
func Lines(tb testing.TB) []string {
	tb.Helper()
	all := Prose(tb)
	return slices.Concat(all[Manuals], all[Poems], all[Names])
}

// root is where scripts/setup.sh unpacks the packages: below the repository, which
// the working folder of a test lies in.
func root() string {
	dir, _ := os.Getwd()
	for dir != filepath.Dir(dir) {
		if prose := filepath.Join(dir, ".tools/prose"); exists(prose) {
			return prose
		}
		dir = filepath.Dir(dir)
	}
	return ".tools/prose"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var read = sync.OnceValues(func() (map[Kind][]string, error) {
	out := map[Kind][]string{}
	seen := map[string]bool{}
	dir, err := filepath.EvalSymlinks(root())
	if err != nil {
		return out, nil // Prose says what to do
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		kind, lines := linesOf(path)
		if lines == nil {
			return nil
		}
		text, err := content(path)
		if err != nil {
			return err
		}
		for _, line := range lines(text) {
			line = strings.Join(strings.Fields(line), " ")
			if strings.ContainsFunc(line, unicode.IsLetter) && !seen[line] {
				seen[line] = true
				out[kind] = append(out[kind], line)
			}
		}
		return nil
	})
	return out, err
})

func content(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r := io.Reader(f)
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return "", err
		}
	}
	b, err := io.ReadAll(r)
	return strings.ToValidUTF8(string(b), ""), err
}

// linesOf says what a file is, and how its lines are read; nil if nobody reads it.
func linesOf(path string) (Kind, func(string) []string) {
	handbook := strings.Contains(path, "/debian-handbook/html/")
	switch ext := filepath.Ext(path); {
	case handbook && !slices.ContainsFunc([]string{"/en-US/", "/ja-JP/", "/zh-CN/", "/zh-TW/"}, func(lang string) bool { return strings.Contains(path, lang) }):
	case ext == ".html":
		return Manuals, fromHTML
	case ext == ".gz" && strings.Contains(path, "/share/man/"):
		return Manuals, fromManual
	case ext == "" && strings.Contains(path, "/fortunes-zh/") && strings.Contains(path, "/games/fortunes/"):
		return Poems, func(text string) []string { return strings.Split(escapes.ReplaceAllString(text, ""), "\n") }
	case ext == ".py" && cjkLocale.MatchString(path):
		return Names, fromPython
	}
	return "", nil
}

var (
	hidden    = regexp.MustCompile(`(?s)<(script|style|head)\b.*?</(script|style|head)>|<!--.*?-->`)
	blocks    = regexp.MustCompile(`</?(p|li|h[1-6]|t[dhr]|div|br|d[dtl]|pre|table|[uo]l|section)\b[^>]*>`)
	tags      = regexp.MustCompile(`<[^>]*>`)
	escapes   = regexp.MustCompile("\x1b\\[[0-9;]*m")
	roff      = regexp.MustCompile(`\\f.|\\[&%|^,/]|\\\([a-z]{2}|\\\[[^\]]*\]`)
	cjkLocale = regexp.MustCompile(`/(zh_CN|zh_TW|ja_JP)/`)
	literal   = regexp.MustCompile(`'[^'\n]*'|"[^"\n]*"`)
)

func fromHTML(text string) []string {
	text = strings.ReplaceAll(hidden.ReplaceAllString(text, ""), "\n", " ")
	text = tags.ReplaceAllString(blocks.ReplaceAllString(text, "\n"), "")
	return strings.Split(html.UnescapeString(text), "\n")
}

// fromManual leaves out the requests of troff.
func fromManual(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, ".") && !strings.HasPrefix(line, "'") {
			out = append(out, strings.ReplaceAll(roff.ReplaceAllString(line, ""), `\-`, "-"))
		}
	}
	return out
}

// fromPython returns what stands in quotation marks.
func fromPython(text string) []string {
	var out []string
	for _, s := range literal.FindAllString(text, -1) {
		out = append(out, strings.Trim(s, `'"`))
	}
	return out
}

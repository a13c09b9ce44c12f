package knowledge_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/bot/knowledge"
)

// foreign are pages that nobody wrote for this engine: what three of our dependencies
// say of themselves, of the versions in go.mod.
func foreign(t testing.TB) fstest.MapFS {
	t.Helper()
	modules, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "go.etcd.io/bbolt", "github.com/redis/go-redis/v9", "github.com/coder/websocket").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := fstest.MapFS{}
	for n, root := range strings.Fields(string(modules)) {
		err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
			base := strings.ToLower(path.Base(name))
			if err != nil || d.IsDir() || path.Ext(base) != ".md" || strings.Contains(base, "change") || strings.Contains(base, "release") {
				return err
			}
			text, err := os.ReadFile(filepath.Join(root, name))
			folder[fmt.Sprint(n, "/", name)] = &fstest.MapFile{Data: text}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// asked is a page's place and a question that it answers.
type asked struct {
	folder    fstest.MapFS
	questions map[string]string // by page
}

// Two rules make questions of pages, and neither looks at the engine.
var rules = map[string]func([]knowledge.Passage) asked{
	// A heading, with those above it, asks for its own passage, from which it is
	// taken away.
	"headings": func(all []knowledge.Passage) asked {
		a := asked{fstest.MapFS{}, map[string]string{}}
		for n, p := range all {
			page := fmt.Sprintf("%d.md", n)
			a.folder[page] = &fstest.MapFile{Data: []byte(headed(p.Path[:len(p.Path)-1]) + p.Text)}
			if len(p.Path) > 1 {
				a.questions[page] = strings.Join(p.Path, " ")
			}
		}
		return a
	},
	// A passage's longest sentence asks for the passage, from which it is taken away:
	// the inverse cloze task (Lee, Chang and Toutanova, 2019).
	"sentences": func(all []knowledge.Passage) asked {
		a := asked{fstest.MapFS{}, map[string]string{}}
		for n, p := range all {
			page, longest, others := fmt.Sprintf("%d.md", n), "", 0
			for _, s := range strings.FieldsFunc(p.Text, func(r rune) bool { return strings.ContainsRune(".!?。！？\n", r) }) {
				if s = strings.TrimSpace(s); s == "" {
					continue
				}
				if others++; len(s) > len(longest) {
					longest = s
				}
			}
			text := p.Text
			if others > 2 && utf8.RuneCountInString(longest) >= 20 {
				text, a.questions[page] = strings.Replace(text, longest, "", 1), longest
			}
			a.folder[page] = &fstest.MapFile{Data: []byte(headed(p.Path) + text)}
		}
		return a
	},
}

func headed(above []string) string {
	var out strings.Builder
	for i, h := range above {
		fmt.Fprintf(&out, "%s %s\n", strings.Repeat("#", min(i+1, 6)), h)
	}
	return out.String() + "\n"
}

func open(t testing.TB, folder fs.FS) *knowledge.Base {
	t.Helper()
	image, err := knowledge.Compile(folder)
	if err != nil {
		t.Fatal(err)
	}
	base, err := knowledge.Open(string(image))
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// TestForeignPages: how often the right passage is among the first three, for pages and
// questions that nobody chose. A passage lacks the words of its question, so this is no
// measure of what users find: SQLite's FTS5 with a Porter stemmer, which ranks by BM25
// too, finds 67 of 100 by headings and 52 by sentences on the same passages.
func TestForeignPages(t *testing.T) {
	all := knowledge.PassagesOf(open(t, foreign(t)))
	for rule, least := range map[string]int{"headings": 66, "sentences": 50} {
		a := rules[rule](all)
		base := open(t, a.folder)
		found, first := 0, 0
		for page, question := range a.questions {
			for i, h := range base.Search(question, 3) {
				if h.Page == page {
					found++
					if i == 0 {
						first++
					}
				}
			}
		}
		t.Logf("%s: %d of %d in the first three, %d first, of %d passages", rule, found, len(a.questions), first, len(all))
		if len(a.questions) < 100 || found*100 < least*len(a.questions) {
			t.Errorf("%s: %d of %d in the first three, want %d of 100", rule, found, len(a.questions), least)
		}
	}
}

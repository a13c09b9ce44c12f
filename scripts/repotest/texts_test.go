package repotest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// machineWords are words that belong to a machine or a workplace and to no
// file of a project. They are put together here so that this file passes too.
var machineWords = regexp.MustCompile(`(?i)` + strings.Join([]string{
	// Folders of somebody's machine.
	`(^|[\s"'=(:` + "`" + `])/` + `(work|root|(?-i:Users)|tmp/w)/`,
	// Hosts of package registries and mirrors: the clients know their own.
	`proxy\.golang\.` + `org`, `sum\.golang\.` + `org`, `goproxy\.` + `(io|cn)`,
	`registry\.npmjs\.` + `org`, `registry\.npmmirror\.` + `com`, `pypi\.` + `org`, `files\.python` + `hosted`,
	`(deb|security)\.debian\.` + `org`,
	// Who helped writing.
	`\b(chat` + `gpt|clau` + `de|anthro` + `pic|open` + `ai codex|copi` + `lot)\b`,
}, "|"))

func TestNoWordsOfAMachine(t *testing.T) {
	for _, name := range files(t) {
		text := read(t, name)
		if !utf8.ValidString(text) {
			continue // a picture
		}
		line := 0
		for l := range strings.Lines(text) {
			line++
			if m := machineWords.FindString(l); m != "" {
				t.Errorf("%s:%d: %q", name, line, strings.TrimSpace(m))
			}
		}
	}
	for _, bad := range []string{"see /" + "work/main", "https://registry.npmjs." + "org/x", "(/" + "root/go)"} {
		if !machineWords.MatchString(bad) {
			t.Errorf("%q is not found", bad)
		}
	}
	for _, good := range []string{"https://example.com/work/x", "Go's proxy", "functions/bundle"} {
		if machineWords.MatchString(good) {
			t.Errorf("%q is found", good)
		}
	}
}

func TestDecisionsAreNumbered(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(root, "docs/decisions/*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	form := regexp.MustCompile(`^(\d{4})(-[a-z0-9]+)+\.md$`)
	status := regexp.MustCompile(`^Status: (accepted|replaced by \[\d{4}\]\([^)]+\)), \d{4}-\d\d-\d\d\.`)
	for i, path := range names {
		name := filepath.Base(path)
		want := fmt.Sprintf("%04d", i+1)
		m := form.FindStringSubmatch(name)
		if m == nil || m[1] != want {
			t.Errorf("docs/decisions/%s: decision %s is expected, as %s-some-words.md", name, want, want)
			continue
		}
		text := read(t, "docs/decisions/"+name)
		if !strings.HasPrefix(text, "# "+want+" ") {
			t.Errorf("docs/decisions/%s must begin with # %s", name, want)
		}
		if _, after, _ := strings.Cut(text, "\n\n"); !status.MatchString(after) {
			t.Errorf("docs/decisions/%s must say below its title whether it stands and since when, as in Status: accepted, 2026-11-29.", name)
		}
		if !strings.Contains(text, "*Lost:*") {
			t.Errorf("docs/decisions/%s does not say what lost", name)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

// TestLinksLeadSomewhere looks at the links between files; those to the world
// outside cannot be followed here.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, name := range files(t) {
		if filepath.Ext(name) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(outsideCode(read(t, name)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links %s, which is not there", name, m[1])
			}
		}
	}
}

// maxFile keeps files readable in one sitting.
const maxFile = 800

func TestFilesAreNotTooLong(t *testing.T) {
	for _, name := range files(t) {
		if name == "docs/api.html" {
			continue // generated from docs/openapi.yaml, and read in a browser
		}
		switch filepath.Ext(name) {
		case ".go", ".js", ".mjs", ".sh", ".css", ".html":
			if n := strings.Count(read(t, name), "\n"); n > maxFile {
				t.Errorf("%s has %d lines; %d are enough", name, n, maxFile)
			}
		}
	}
}

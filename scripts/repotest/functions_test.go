package repotest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"go/scanner"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/scripts/internal/callbacks"
	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/scripts/internal/settings"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
	"github.com/backchannel-im/backchannel/shared/wiring/virgil"
)

// sections of a function's README, in this order and no others.
var sections = []string{
	"What it does",
	"Callbacks to enable in the console",
	"Settings",
	"Try it",
	"Deploy it",
}

// maxMain is how many lines of code a main may have: it wires and decides
// nothing.
const maxMain = 40

func TestFunctions(t *testing.T) {
	for _, name := range functions(t) {
		t.Run(name, func(t *testing.T) {
			dir := "functions/" + name
			if n := codeLines(t, read(t, dir+"/main.go")); n > maxMain {
				t.Errorf("main.go has %d lines of code; %d are enough for wiring", n, maxMain)
			}
			if !strings.Contains(read(t, dir+"/main_test.go"), "\nfunc Test") {
				t.Error("main_test.go has no test")
			}
			list := settingsOf(t, name)
			if read(t, dir+"/.env.example") != settings.Example(name, list) {
				t.Errorf(".env.example differs from what the program reads: go run ./scripts/settings %s", name)
			}
			checkReadme(t, name, read(t, dir+"/README.md"), list)
			checkEvents(t, filepath.Join(root, dir, "events"))
		})
	}
}

// codeLines counts lines that hold more than blanks and comments.
func codeLines(t *testing.T, source string) int {
	t.Helper()
	var s scanner.Scanner
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(source))
	s.Init(file, []byte(source), func(at token.Position, msg string) { t.Errorf("main.go:%d: %s", at.Line, msg) }, 0)
	lines := map[int]bool{}
	for {
		at, tok, text := s.Scan()
		if tok == token.EOF {
			return len(lines)
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue // put in by the scanner
		}
		lines[file.Line(at)] = true
	}
}

func checkReadme(t *testing.T, name, readme string, list []config.Setting) {
	t.Helper()
	if !strings.HasPrefix(readme, "# "+name+"\n") {
		t.Errorf("README.md must begin with # %s", name)
	}
	var got []string
	text := map[string]string{}
	for part := range strings.SplitSeq(outsideCode(readme), "\n## ") {
		if title, body, _ := strings.Cut(part, "\n"); !strings.HasPrefix(part, "# ") {
			got = append(got, title)
			text[title] = strings.TrimSpace(body)
		}
	}
	if !slices.Equal(got, sections) {
		t.Errorf("README.md has the sections %q, want %q", got, sections)
	}
	for title, body := range text {
		if body == "" {
			t.Errorf("README.md: %q is empty", title)
		}
	}
	table := settings.Table(list, deployment.Gives(tencent(t), name))
	if again, err := settings.InReadme(readme, settings.Heading, table); err != nil || again != readme {
		t.Errorf("README.md: the settings table differs from what the program reads (%v): go run ./scripts/settings %s", err, name)
	}
	table, err := callbacks.Table(name, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := settings.InReadme(readme, callbacks.Heading, table); err != nil || again != readme {
		t.Errorf("README.md: the callbacks differ from what the rules register (%v): go run ./scripts/settings %s", err, name)
	}
	if table == "" && strings.Contains(text["Callbacks to enable in the console"], "|") {
		t.Error("README.md names callbacks, and no rule of the function wants any")
	}
}

// wanted are the callbacks of all features, as their rules register them with
// everything switched on.
var callbacksOfAll = sync.OnceValues(func() ([]callbacks.Wanted, error) {
	return callbacks.All(context.Background(), deployment.Sample("bolt:unused"))
})

func wanted(t *testing.T) []callbacks.Wanted {
	t.Helper()
	all, err := callbacksOfAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSettingsPage: docs/settings.md has every setting of every function, and each
// meaning can be read alone.
func TestSettingsPage(t *testing.T) {
	all := map[string][]config.Setting{}
	for _, name := range functions(t) {
		all[name] = settingsOf(t, name)
		for _, s := range all[name] {
			if fault := settings.CheckMeaning(s.Meaning); fault != "" {
				t.Errorf("%s: the meaning of %s %s: %q", name, s.Name, fault, s.Meaning)
			}
			if s.Group == "" {
				t.Errorf("%s: %s belongs to no group of settings", name, s.Name)
			}
		}
	}
	if read(t, settings.TencentExample) != settings.OfTencent(tencent(t), all) {
		t.Errorf("%s differs from what the files for Tencent read: go run ./scripts/settings", settings.TencentExample)
	}
	if read(t, settings.Page) != settings.All(all) {
		t.Errorf("%s differs from what the programs read: go run ./scripts/settings", settings.Page)
	}
}

// TestContributing: the table of features leads to each one's function, rule,
// wiring and settings, and every function that is a feature's own is in it.
func TestContributing(t *testing.T) {
	of := map[string][]config.Setting{}
	for _, f := range features.All() {
		of[f.Function] = settingsOf(t, f.Function)
	}
	text := read(t, "CONTRIBUTING.md")
	if again, err := settings.InReadme(text, settings.FeaturesHeading, settings.Features(features.All(), of)); err != nil || again != text {
		t.Errorf("CONTRIBUTING.md: the table of features is not that of the list (%v): go run ./scripts/settings", err)
	}
	for _, name := range functions(t) {
		if regexp.MustCompile(`wiring\.(Alone|Routes)\(`).MatchString(read(t, "functions/"+name+"/main.go")) && !strings.Contains(text, "](functions/"+name+"/README.md)") {
			t.Errorf("functions/%s is a feature's own, and its feature is not in the list", name)
		}
	}
}

// outsideCode marks the lines of code blocks, so that a shell comment is no
// heading.
func outsideCode(markdown string) string {
	lines := strings.Split(markdown, "\n")
	inside := false
	for i, line := range lines {
		if strings.HasPrefix(line, "```") {
			inside = !inside
		} else if inside {
			lines[i] = "\t" + line
		}
	}
	return strings.Join(lines, "\n")
}

func checkEvents(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(names) == 0 {
		t.Errorf("events/ has no *.json")
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		var object map[string]any
		if err != nil || json.Unmarshal(text, &object) != nil || len(object) == 0 {
			t.Errorf("events/%s is not a JSON object with something in it", filepath.Base(name))
		}
	}
}

var routeInText = regexp.MustCompile("`(GET|POST|PUT|DELETE) (/[^` ]*)`")

// routes are those that a function's README names, and the one that all have.
func routes(t *testing.T, name string) []*http.Request {
	t.Helper()
	out := []*http.Request{httptest.NewRequest(http.MethodGet, "/healthz", nil)}
	for _, m := range routeInText.FindAllStringSubmatch(read(t, "functions/"+name+"/README.md"), -1) {
		path := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(m[2], "x")
		var body io.Reader
		if m[1] != http.MethodGet {
			body = strings.NewReader("{}")
		}
		out = append(out, httptest.NewRequest(m[1], path, body))
	}
	return out
}

// TestRootReadme: the front page knows every function.
func TestRootReadme(t *testing.T) {
	readme := read(t, "README.md")
	for _, name := range functions(t) {
		if !strings.Contains(readme, "](functions/"+name+")") {
			t.Errorf("README.md does not link functions/%s", name)
		}
	}
}

// TestDevelopmentValuesAreRefused: what scripts/dev uses, everybody knows, so
// no deployed program accepts it.
func TestDevelopmentValuesAreRefused(t *testing.T) {
	key := sha256.Sum256([]byte("dev-api-key"))
	sample := map[string]string{
		"SECRET":         "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e",
		"CALLBACK_TOKEN": "dev-callback-token",
		"API_KEYS":       "shop:" + hex.EncodeToString(key[:]),
		"VIRGIL_APP_KEY": virgil.DevelopmentKey,
	}
	for _, name := range functions(t) {
		for _, s := range settingsOf(t, name) {
			value, known := sample[s.Name]
			if !known {
				continue
			}
			t.Run(name+"/"+s.Name, func(t *testing.T) {
				out := faastest.Run(t, program(t, name), map[string]string{s.Name: value})
				fault := regexp.MustCompile("(?m)^" + s.Name + ": .*(published|development)")
				if out.Code != 2 || !fault.MatchString(out.Stderr) || strings.Contains(out.Stderr, value) {
					t.Errorf("status %d:\n%s", out.Code, out.Stderr)
				}
			})
		}
	}
}

package repotest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/scripts/internal/apipage"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
)

var (
	codeBlock = regexp.MustCompile("(?s)```sh\n.*?```")
	sceneRow  = regexp.MustCompile(`(?m)^\| \*([^*]+)\* \|`)
	// The function, and what calls it: what stands between is translated.
	functionRow = regexp.MustCompile(`(?m)^\| (\[[a-z-]+\]\(functions/[a-z-]+\)) \| .* \| (.*) \|$`)
)

// TestReadmesAgree: the front pages in other languages have the commands, the scenes
// and the functions of the English one.
func TestReadmesAgree(t *testing.T) {
	english := read(t, "README.md")
	parts := func(text string) map[string][]string {
		var rows []string
		for _, m := range functionRow.FindAllStringSubmatch(text, -1) {
			rows = append(rows, m[1]+" "+m[2])
		}
		var scenes []string
		for _, m := range sceneRow.FindAllStringSubmatch(text, -1) {
			scenes = append(scenes, m[1])
		}
		return map[string][]string{"commands": codeBlock.FindAllString(text, -1), "scenes": scenes, "functions, with what calls them": rows}
	}
	want := parts(english)
	for what, list := range want {
		if len(list) < 3 {
			t.Fatalf("README.md has only %d %s", len(list), what)
		}
	}
	for _, file := range []string{"README.zh.md", "README.ja.md"} {
		for what, list := range parts(read(t, file)) {
			if !slices.Equal(list, want[what]) {
				t.Errorf("%s has other %s than README.md: copy them, and translate the column between", file, what)
			}
		}
	}
}

// TestAPIPage: docs/api.html is made of docs/openapi.yaml, to the letter before a
// release; scripts/release.sh refuses a page that is older than its document.
func TestAPIPage(t *testing.T) {
	got, err := apipage.HTML([]byte(read(t, apipage.Source)))
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, apipage.Page)
	if !strings.Contains(page, "GET /healthz") || strings.Contains(page, "<script") {
		t.Errorf("%s is no page of the API", apipage.Page)
	}
	if enginetest.Full() && string(got) != page {
		t.Errorf("%s differs from %s: go run ./scripts/settings", apipage.Page, apipage.Source)
	}
}

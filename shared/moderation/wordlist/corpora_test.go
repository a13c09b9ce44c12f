package wordlist_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
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

func TestInnocentProsePasses(t *testing.T) {
	list := corpus(t)
	lines, hits := 0, 0
	for _, line := range prose(t) {
		lines++
		if found := find(t, list, line); len(found) > 0 {
			hits++
			t.Logf("hit %q as %q in %q", found[0].Word.Text, line[found[0].Start:found[0].End], line)
		}
	}
	t.Logf("%d of %d", hits, lines)
	if lines < 20000 || float64(hits) > 0.001*float64(lines) {
		t.Errorf("%d of %d innocent lines hit, want one of a thousand at most, of 20000", hits, lines)
	}
}

// prose returns the lines of the innocent documents.
func prose(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			out = append(out, lines.Text())
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

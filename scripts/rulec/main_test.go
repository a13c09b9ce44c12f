package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

const rules = `{"version":"v3","words":[
	{"text":"赌场","category":"gambling","severity":3},
	{"text":"赌場","category":"gambling"},
	{"text":"办证","category":"fraud","action":"drop"}],
	"allow":["办证大厅"]}`

// rulec runs a command line and returns its status and what it printed.
func rulec(args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	status = run(args, &o, &e)
	return status, o.String(), e.String()
}

func ruleFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCompile(t *testing.T) {
	name := ruleFile(t, rules)
	image := name + ".image"
	status, out, errs := rulec("compile", name, "-o", image)
	if status != 0 || errs != "" {
		t.Fatalf("status %d: %s", status, errs)
	}
	for _, want := range []string{`version "v3": 3 words, 1 allowed`, "fraud            1 drop", "gambling         2 reject", `look at: word 2 "赌場" repeats word 1 "赌场"`} {
		if !strings.Contains(out, want) {
			t.Errorf("prints\n%s\nnot %q", out, want)
		}
	}
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("#sha256=%x", sha256.Sum256(b)); !strings.Contains(out, want) {
		t.Errorf("prints\n%s\nnot %q", out, want)
	}
	list, err := wordlist.Open(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if hits, err := list.Find(t.Context(), nil, "去賭-場"); err != nil || len(hits) == 0 {
		t.Error("the image finds nothing")
	}
}

// TestCompileRefuses: a broken rule set leaves the image of yesterday alone.
func TestCompileRefuses(t *testing.T) {
	name := ruleFile(t, `{"version":"1","words":[{"text":"x","acton":"drop"}]}`)
	image := name + ".image"
	if err := os.WriteFile(image, []byte("yesterday"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, errs := rulec("compile", name, "-o", image)
	if status != 1 || !strings.Contains(errs, "acton") {
		t.Errorf("status %d: %s", status, errs)
	}
	if b, _ := os.ReadFile(image); string(b) != "yesterday" {
		t.Errorf("the image is now %q", b)
	}
}

func TestExplain(t *testing.T) {
	name := ruleFile(t, rules)
	status, out, errs := rulec("explain", "-rules", name, "去賭-場 办证大厅")
	if status != 0 || errs != "" {
		t.Fatalf("status %d: %s", status, errs)
	}
	for _, want := range []string{
		`rule set "v3" reads "去賭-場 办证大厅" as "去赌-场 办证大厅"`,
		`hit: bytes 3 to 10, "賭-場" (read as "赌-场"), is the word "赌场": gambling, severity 3, reject`,
		`allowed by a phrase: bytes 11 to 17, "办证", is the word "办证": fraud, severity 1, drop`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("prints\n%s\nnot %q", out, want)
		}
	}
	if _, out, _ := rulec("explain", "good evening"); !strings.Contains(out, "no hit") {
		t.Errorf("prints %s", out)
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{nil, 2, "usage:"},
		{[]string{"-h"}, 0, "explain"},
		{[]string{"bake"}, 2, "bake"},
		{[]string{"compile", "-h"}, 0, "numerals"},
		{[]string{"explain", "-h"}, 0, "-rules"},
		{[]string{"compile"}, 2, "0 arguments"},
		{[]string{"compile", "-x", "f"}, 2, "-x"},
		{[]string{"compile", "no-such-file"}, 1, "no-such-file"},
	} {
		status, out, errs := rulec(tt.args...)
		if status != tt.status || !strings.Contains(out+errs, tt.says) {
			t.Errorf("%v: status %d, printed %s%s, want %d and %q", tt.args, status, out, errs, tt.status, tt.says)
		}
	}
}

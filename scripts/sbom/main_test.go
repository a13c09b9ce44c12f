package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDependencies: every module that is linked has a licence that is accepted, and
// is justified in the decision that lists them.
func TestDependencies(t *testing.T) {
	modules, err := Modules("../..", "./functions/...", "./scripts/...")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("../../docs/decisions/*-dependencies.md")
	if err != nil || len(decisions) != 1 {
		t.Fatalf("%v %v", decisions, err)
	}
	text, err := os.ReadFile(decisions[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		if len(m.Licences) == 0 || m.Sum == "" {
			t.Errorf("%s: licences %v, sum %q", m.Path, m.Licences, m.Sum)
		}
		if !strings.Contains(string(text), "`"+m.Path+"`") {
			t.Errorf("%s is linked, and %s does not say why", m.Path, decisions[0])
		}
	}
	var one, two bytes.Buffer
	if write(&one, modules) != nil || write(&two, modules) != nil || !bytes.Equal(one.Bytes(), two.Bytes()) || !json.Valid(one.Bytes()) {
		t.Error("the document is not the same twice")
	}
}

// TestGroups: what functions link stands in blocks of go.mod that have nothing else,
// so that a reader sees which modules a deployment trusts.
func TestGroups(t *testing.T) {
	modules, err := Modules("../..", "./functions/...")
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{}
	for _, m := range modules {
		linked[m.Path] = true
	}
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	product, others, found := strings.Cut(string(text), "// What tests, scripts,")
	if !found {
		t.Fatal("go.mod has no block of what tests and scripts link")
	}
	for part, want := range map[string]bool{product: true, others: false} {
		for line := range strings.Lines(part) {
			if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], "v") && linked[f[0]] != want {
				t.Errorf("%s is linked by functions: %v; it stands in the wrong block of go.mod", f[0], linked[f[0]])
			}
		}
	}
}

func TestLicences(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"Apache":   {"Apache License\n                           Version 2.0, January 2004", "Apache-2.0"},
		"MIT":      {"MIT\n\nPermission is hereby granted, free of charge, to any\nperson obtaining a copy of this", "MIT"},
		"copyleft": {"GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3", ""},
		"nothing":  {"All rights reserved.", ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := licences(dir)
		if strings.Join(got, " ") != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := licences(t.TempDir()); err == nil {
		t.Error("a module without a licence is accepted")
	}
}

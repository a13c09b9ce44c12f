// Command sbom writes the modules that the programs link, with their licences, as a
// CycloneDX document (a software bill of materials). It fails if a module has no
// licence that this project accepts.
//
//	go run ./scripts/sbom [-o FILE]
package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/version"
)

func main() {
	out := flag.String("o", "-", "`file` to write; - is standard output")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	modules, err := Modules(".", "./functions/...", "./scripts/...")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := write(&b, modules); err != nil {
		return err
	}
	if file == "-" {
		_, err = os.Stdout.Write(b.Bytes())
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// Module is a module that is linked.
type Module struct {
	Path, Version, Sum string
	Licences           []string // SPDX names
}

// Modules returns the modules that packages of the module at dir link, each with its
// licence. All modules without one that is accepted are reported together.
func Modules(dir string, packages ...string) ([]Module, error) {
	args := append([]string{"list", "-deps", "-f", `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return nil, err
	}
	sumOf := map[string]string{}
	for line := range strings.SplitSeq(string(sums), "\n") {
		if f := strings.Fields(line); len(f) == 3 && !strings.HasSuffix(f[1], "/go.mod") {
			sumOf[f[0]+" "+f[1]] = f[2]
		}
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	var list []Module
	var faults []error
	for _, line := range slices.Compact(lines) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		m := Module{Path: f[0], Version: f[1], Sum: sumOf[f[0]+" "+f[1]]}
		if m.Licences, err = licences(f[2]); err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", m.Path, m.Version, err))
		}
		list = append(list, m)
	}
	return list, errors.Join(faults...)
}

// accepted are the licences of dependencies, by words that their texts have and
// others do not.
var accepted = []struct{ spdx, words string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"BSD-3-Clause", "Neither the name of"},
	{"BSD-2-Clause", "Redistribution and use in source and binary forms, with or without modification"},
	{"ISC", "Permission to use, copy, modify, and"},
}

// licences reads the licence texts of a module.
func licences(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	read := false
	for _, f := range files {
		name := strings.ToUpper(f.Name())
		if !strings.HasPrefix(name, "LICENSE") && !strings.HasPrefix(name, "LICENCE") && !strings.HasPrefix(name, "COPYING") || f.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		read = true
		plain := strings.Join(strings.Fields(strings.ReplaceAll(string(text), ",\nVersion", " Version")), " ")
		plain = strings.ReplaceAll(plain, "License, Version", "License Version")
		for _, a := range accepted {
			if strings.Contains(plain, a.words) && !(a.spdx == "BSD-2-Clause" && slices.Contains(found, "BSD-3-Clause")) && !slices.Contains(found, a.spdx) {
				found = append(found, a.spdx)
			}
		}
	}
	switch {
	case !read:
		return nil, errors.New("no licence file")
	case len(found) == 0:
		return nil, errors.New("its licence is not accepted: use a module under Apache-2.0, MIT, BSD or ISC")
	}
	return found, nil
}

// write writes a CycloneDX 1.5 document. It has no date and no serial number, so that
// the same modules give the same bytes.
func write(w io.Writer, modules []Module) error {
	type licence struct {
		License struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	type hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	type component struct {
		Type     string    `json:"type"`
		Ref      string    `json:"bom-ref,omitempty"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		PURL     string    `json:"purl"`
		Hashes   []hash    `json:"hashes,omitempty"`
		Licenses []licence `json:"licenses,omitempty"`
	}
	document := struct {
		Format   string `json:"bomFormat"`
		Spec     string `json:"specVersion"`
		Version  int    `json:"version"`
		Metadata struct {
			Component component `json:"component"`
		} `json:"metadata"`
		Components []component `json:"components"`
	}{Format: "CycloneDX", Spec: "1.5", Version: 1, Components: []component{}}
	own := "github.com/backchannel-im/backchannel"
	document.Metadata.Component = component{Type: "application", Name: own, Version: version.Version, PURL: "pkg:golang/" + own + "@" + version.Version}
	for _, m := range modules {
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) == 32 {
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum)}}
		}
		for _, id := range m.Licences {
			var l licence
			l.License.ID = id
			c.Licenses = append(c.Licenses, l)
		}
		document.Components = append(document.Components, c)
	}
	slices.SortFunc(document.Components, func(a, b component) int { return cmp.Compare(a.PURL, b.PURL) })
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(document)
}

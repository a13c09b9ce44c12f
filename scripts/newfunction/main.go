// Command newfunction makes the folder of a new function and enters it in both
// deployment templates. scripts/new-function.sh calls it.
//
//	go run ./scripts/newfunction NAME "WHAT IT DOES"
package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// files are the new folder, as templates, and the entries of both deployment
// templates.
//
//go:embed files
var files embed.FS

// marker ends the functions in both deployment templates.
const marker = "# End of the functions."

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, `usage: go run ./scripts/newfunction NAME "WHAT IT DOES"`)
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "newfunction:", err)
		os.Exit(1)
	}
}

// function is what the templates know about the new function.
type function struct {
	Name string // mail-carrier
	ID   string // MailCarrier
	What string // carries mail
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

func run(name, what string) error {
	what = strings.TrimSuffix(strings.TrimSpace(what), ".")
	if !validName.MatchString(name) || len(name) > 40 {
		return fmt.Errorf("%q: a name is lower-case words joined by -, at most 40 bytes", name)
	}
	if what == "" || strings.ContainsAny(what, "\n\"\\:#") {
		return errors.New(`what it does is the rest of one sentence, without the characters " \ : #`)
	}
	f := function{Name: name, What: what}
	for word := range strings.SplitSeq(name, "-") {
		f.ID += strings.ToUpper(word[:1]) + word[1:]
	}
	dir := filepath.Join("functions", name)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already", dir)
	}
	sam, err := entered("template.yaml", f)
	if err != nil {
		return err
	}
	serverless, err := entered("serverless.yml", f)
	if err != nil {
		return err
	}
	trigger, err := render("files/trigger.yml.tmpl", f)
	if err != nil {
		return err
	}
	for _, file := range []string{"main.go", "main_test.go", "README.md", "events/http-api.json"} {
		text, err := render("files/"+file+".tmpl", f)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile("template.yaml", sam, 0o644); err != nil {
		return err
	}
	return os.WriteFile("serverless.yml", append(serverless, trigger...), 0o644)
}

// entered returns a deployment template with the function before its marker.
func entered(file string, f function) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	entry, err := render("files/"+file+".tmpl", f)
	if err != nil {
		return nil, err
	}
	at := bytes.Index(text, []byte(marker))
	if at < 0 {
		return nil, fmt.Errorf("%s has no line %q", file, marker)
	}
	start := bytes.LastIndexByte(text[:at], '\n') + 1
	return bytes.Join([][]byte{text[:start], entry, text[start:]}, nil), nil
}

func render(name string, f function) ([]byte, error) {
	t, err := template.ParseFS(files, name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, f)
	return b.Bytes(), err
}

// Command newfunction creates a new feature with its function: the rule's package, its
// wiring with a line in the list of features, the function's folder, and the entries in
// the deployment templates, in the READMEs, in the list of users' records and in the
// test of policies. scripts/new-function.sh calls it.
//
//	go run ./scripts/newfunction NAME NOUN "WHAT IT DOES"
package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// files are the new files, as templates, and the entries of both deployment
// templates.
//
//go:embed files
var files embed.FS

// marker ends the functions in both deployment templates.
const marker = "# End of the functions."

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, `usage: go run ./scripts/newfunction NAME NOUN "WHAT IT DOES"`)
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "newfunction:", err)
		os.Exit(1)
	}
}

// function is what the templates know about the new function.
type function struct {
	Name    string // mail-carrier
	ID      string // MailCarrier
	Forward string // MAIL_CARRIER
	Noun    string // mail
	Upper   string // MAIL
	What    string // carries mail
}

var (
	validName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	validNoun = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
)

// change is one that is made when all are known to be possible.
type change struct {
	path string
	text []byte
}

func run(name, noun, what string) error {
	what = strings.TrimSuffix(strings.TrimSpace(what), ".")
	if !validName.MatchString(name) || len(name) > 40 {
		return fmt.Errorf("%q: a name is lower-case words joined by -, at most 40 bytes", name)
	}
	if what == "" || strings.ContainsAny(what, "\n\"\\:#") {
		return errors.New(`what it does is the rest of one sentence, without the characters " \ : #`)
	}
	if !validNoun.MatchString(noun) || len(noun) > 20 {
		return fmt.Errorf("%q: a noun is one lower-case word, at most 20 bytes", noun)
	}
	f := function{
		Name: name, Noun: noun, What: what,
		Forward: strings.ToUpper(strings.ReplaceAll(name, "-", "_")), Upper: strings.ToUpper(noun),
	}
	for word := range strings.SplitSeq(name, "-") {
		f.ID += strings.ToUpper(word[:1]) + word[1:]
	}
	files := map[string]string{
		"rule.go":                "shared/" + noun + "/" + noun + ".go",
		"rule_test.go":           "shared/" + noun + "/" + noun + "_test.go",
		"wiring.go":              "shared/wiring/" + noun + "/" + noun + ".go",
		"main.go":                "functions/" + name + "/main.go",
		"main_test.go":           "functions/" + name + "/main_test.go",
		"README.md":              "functions/" + name + "/README.md",
		"events/new-member.json": "functions/" + name + "/events/new-member.json",
	}
	var changes []change
	for file, path := range files {
		dir := filepath.Dir(strings.TrimSuffix(path, "events/new-member.json"))
		if _, err := os.Stat(filepath.Clean(dir)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already", filepath.Clean(dir))
		}
		text, err := render("files/"+file+".tmpl", f)
		if err != nil {
			return err
		}
		changes = append(changes, change{path, text})
	}
	for _, edit := range []func(function) (change, error){enterSAM, enterServerless, enterFeature, enterRecords, enterTraffic, enterReadme("README.md"), enterReadme("README.zh.md"), enterReadme("README.ja.md")} {
		c, err := edit(f)
		if err != nil {
			return err
		}
		changes = append(changes, c)
	}
	for _, c := range changes {
		if err := os.MkdirAll(filepath.Dir(c.path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(c.path, c.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func enterSAM(f function) (change, error) {
	entry, err := render("files/template.yaml.tmpl", f)
	if err != nil {
		return change{}, err
	}
	forward := fmt.Sprintf("          FORWARD_%s: !Sub '${%sUrl.FunctionUrl}im'\n", f.Forward, f.ID)
	return edited("template.yaml", before(marker, string(entry)), before("FORWARD_BEFORE_SEND_FILTER", forward))
}

func enterServerless(f function) (change, error) {
	entry, err := render("files/serverless.yml.tmpl", f)
	if err != nil {
		return change{}, err
	}
	trigger, err := render("files/trigger.yml.tmpl", f)
	if err != nil {
		return change{}, err
	}
	forward := fmt.Sprintf("          FORWARD_%s: ${env:FORWARD_%s}\n", f.Forward, f.Forward)
	c, err := edited("serverless.split.yml", before(marker, string(entry)), before("FORWARD_BEFORE_SEND_FILTER", forward))
	c.text = append(c.text, trigger...)
	return c, err
}

// enterFeature puts the feature at the end of those that hear callbacks.
func enterFeature(f function) (change, error) {
	c, err := edited(
		"shared/wiring/features/features.go",
		before("shared/wiring/minute\"", fmt.Sprintf("\t\"github.com/backchannel-im/backchannel/shared/wiring/%s\"\n", f.Noun)),
		before("\t}\n}\n\n// Working", fmt.Sprintf("\t\t%s.Feature,\n", f.Noun)),
	)
	if err == nil {
		c.text, err = format.Source(c.text) // sorts the imports
	}
	return c, err
}

// enterRecords says which records of a user the feature keeps.
func enterRecords(f function) (change, error) {
	lines := fmt.Sprintf("\t{Feature: %q, Forms: []userdata.Form{\n\t\t{Partition: \"sends/\", Holds: \"the receivers of greetings\", Does: userdata.Expires, Within: once.Kept, Why: \"a repeat is recognised by them\"},\n\t}},\n", f.Noun)
	return edited("shared/wiring/users/users.go", before("{Feature: \"virgil\"", lines))
}

// enterTraffic has the test of policies use the function: once as it should be, and
// once while its store is away, so that it needs its queue.
func enterTraffic(f function) (change, error) {
	joined := "`{\"CallbackCommand\":\"Group.CallbackAfterNewMemberJoin\",\"GroupId\":\"lobby\",\"Type\":\"Public\",\"NewMemberList\":[{\"Member_Account\":%q}],\"EventTime\":1670574414123}`"
	lines := fmt.Sprintf("\tc.hear(of(%q), "+joined+")\n\tc.outage(of(%[1]q), "+strings.ReplaceAll(joined, "%q", "%[3]q")+")\n\n", f.Name, "alice", "bob")
	return edited("scripts/repotest/traffic_test.go", before("worker := of(\"job-worker\")", lines))
}

// enterReadme enters the function in a front page; what it does is to be translated in
// those of other languages.
func enterReadme(file string) func(f function) (change, error) {
	return func(f function) (change, error) {
		row := fmt.Sprintf("| [%s](functions/%s) | %s | group callbacks |\n", f.Name, f.Name, f.What)
		return edited(file, before("| [job-worker](functions/job-worker)", row))
	}
}

// edit changes a text, or reports what it did not find there.
type edit func(text string) (string, error)

// before puts lines before the first line that has a text.
func before(what, lines string) edit {
	return func(text string) (string, error) {
		at := strings.Index(text, what)
		if at < 0 {
			return "", fmt.Errorf("no line with %q", what)
		}
		start := strings.LastIndexByte(text[:at], '\n') + 1
		return text[:start] + lines + text[start:], nil
	}
}

func edited(file string, edits ...edit) (change, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return change{}, err
	}
	text := string(b)
	for _, e := range edits {
		if text, err = e(text); err != nil {
			return change{}, fmt.Errorf("%s: %w", file, err)
		}
	}
	return change{file, []byte(text)}, nil
}

func render(name string, f function) ([]byte, error) {
	t, err := template.ParseFS(files, name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err = t.Execute(&b, f); err != nil || !strings.HasSuffix(name, ".go.tmpl") {
		return b.Bytes(), err
	}
	return format.Source(b.Bytes()) // sorts the imports, whatever the noun is
}

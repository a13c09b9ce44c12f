// Package settings renders the settings that functions report as texts: each function's
// .env.example, the table of required settings in its README, and one page with all
// settings. go run ./scripts/settings writes them, and the repository tests compare
// them with the programs, so they cannot drift from the code.
package settings

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Of asks a built function for its settings, in an empty environment.
func Of(ctx context.Context, binary string) ([]config.Setting, error) {
	cmd := exec.CommandContext(ctx, binary, "-settings")
	cmd.Env = []string{}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s -settings: %w\n%s", binary, err, stderr.Bytes())
	}
	var list []config.Setting
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("%s -settings: %w", binary, err)
	}
	return list, nil
}

// order of the groups: what features share first, what the platform sets last.
var first, last = []string{"app", "callbacks", "callers", "storage"}, []string{"secrets", "process", ""}

// titles of the groups that are no features.
var titles = map[string]string{
	"app":       "The IM app",
	"callbacks": "Callbacks of IM",
	"callers":   "Callers of our routes",
	"storage":   "Store and queue",
	"secrets":   "Secrets from elsewhere",
	"process":   "The process",
	"":          "Others",
}

func titleOf(group string) string { return cmp.Or(titles[group], "Feature "+group) }

// grouped returns the settings of each group, required ones first and then by
// name.
func grouped(list []config.Setting) (groups []string, of map[string][]config.Setting) {
	of = map[string][]config.Setting{}
	for _, s := range list {
		of[s.Group] = append(of[s.Group], s)
	}
	place := func(group string) int {
		if i := slices.Index(first, group); i >= 0 {
			return i - len(first)
		}
		return 1 + slices.Index(last, group) // features have 0
	}
	groups = slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a, b))
	})
	for _, settings := range of {
		slices.SortFunc(settings, func(a, b config.Setting) int {
			if a.Required != b.Required {
				if a.Required {
					return -1
				}
				return 1
			}
			return strings.Compare(a.Name, b.Name)
		})
	}
	return groups, of
}

// Example returns the text of the function's .env.example. Every setting is an empty
// assignment below its meaning, its format and whether it is required; an empty value
// counts as not given, so the copied file works unchanged.
func Example(function string, list []config.Setting) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The settings of %s, as the program itself lists them with -h.\n", function)
	fmt.Fprintf(&b, "# Copy to .env and fill in what is required; an empty value counts as not given.\n")
	fmt.Fprintf(&b, "# NAME_FILE=PATH instead of NAME reads the value from a file.\n")
	groups, of := grouped(list)
	for _, group := range groups {
		fmt.Fprintf(&b, "\n# ---- %s\n", titleOf(group))
		for _, s := range of[group] {
			assignment(&b, s)
		}
	}
	return b.String()
}

// assignment writes a setting of an example: its meaning, its format and whether it
// is needed, above an empty assignment.
func assignment(b *strings.Builder, s config.Setting) {
	fmt.Fprintf(b, "\n# %s\n# Format: %s\n", sentence(s.Meaning), s.Format)
	switch {
	case s.Required:
		b.WriteString("# Required.\n")
	case s.Default != "":
		fmt.Fprintf(b, "# Default: %s\n", s.Default)
	default:
		b.WriteString("# Optional.\n")
	}
	fmt.Fprintf(b, "%s=\n", s.Name)
}

// Page is the document with all settings of all functions.
const Page = "docs/settings.md"

// Table returns the rows of the settings table of a function's README: the required
// settings, and those that the deployment templates set. Page has all.
func Table(list []config.Setting, deployed func(name string) bool) string {
	var b strings.Builder
	b.WriteString("| setting | meaning | format | default |\n|---|---|---|---|\n")
	groups, of := grouped(list)
	for _, group := range groups {
		for _, s := range of[group] {
			if s.Required || deployed(s.Name) {
				required := ""
				if s.Required {
					required = "required"
				}
				row(&b, s, required)
			}
		}
	}
	return b.String()
}

func row(b *strings.Builder, s config.Setting, required string) {
	def := required
	if def == "" && s.Default != "" {
		def = "`" + s.Default + "`"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", s.Name, cell(s.Meaning), cell(s.Format), cell(def))
}

// All returns the text of Page, from the settings of each function.
func All(of map[string][]config.Setting) string {
	var all []config.Setting
	readers, required := map[string][]string{}, map[string][]string{}
	for _, function := range functions(of) {
		for _, s := range of[function] {
			if readers[s.Name] == nil {
				all = append(all, s)
			}
			readers[s.Name] = append(readers[s.Name], function)
			if s.Required {
				required[s.Name] = append(required[s.Name], function)
			}
		}
	}
	for i, s := range all {
		all[i].Required = len(required[s.Name]) > 0
	}
	var b strings.Builder
	b.WriteString("# Settings\n\nEvery setting of every function, by what it is about. Written by `go run ./scripts/settings` from what the programs say with `-settings`; a repository test holds it. A setting NAME may also be given as NAME_FILE, a file with the value, or by the document that `SECRETS_URL` names.\n")
	groups, groupOf := grouped(all)
	for _, group := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| setting | meaning | format | default | read by |\n|---|---|---|---|---|\n", titleOf(group))
		for _, s := range groupOf[group] {
			def := ""
			switch by := required[s.Name]; {
			case len(by) == len(readers[s.Name]):
				def = "required"
			case len(by) > 0:
				def = "required by " + strings.Join(by, ", ")
			case s.Default != "":
				def = "`" + s.Default + "`"
			}
			by := strings.Join(readers[s.Name], ", ")
			if len(readers[s.Name]) == len(of) {
				by = "all"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, cell(s.Meaning), cell(s.Format), cell(def), by)
		}
	}
	return b.String()
}

// FeaturesHeading is the section of CONTRIBUTING.md that has the features.
const FeaturesHeading = "## Features"

// Features returns the table of features: where each one's function, rule, wiring
// and settings are.
func Features(list []wiring.Feature, of map[string][]config.Setting) string {
	var b strings.Builder
	b.WriteString("| noun | function, with its page | rule | wiring | settings |\n|---|---|---|---|---|\n")
	for _, f := range list {
		settings := "none of its own"
		if slices.ContainsFunc(of[f.Function], func(s config.Setting) bool { return s.Group == f.Name }) {
			settings = fmt.Sprintf("[%s](%s#feature-%s)", strings.ToLower(titleOf(f.Name)), Page, f.Name)
		}
		fmt.Fprintf(&b, "| %s | [functions/%s](functions/%s/README.md) | [shared/%s](shared/%s) | [shared/wiring/%s](shared/wiring/%s/%s.go) | %s |\n",
			f.Name, f.Function, f.Function, f.Name, f.Name, f.Name, f.Name, f.Name, settings)
	}
	return b.String()
}

// functions are the names in order, the bundle first: of meanings that differ, its
// are the ones for all features together.
func functions(of map[string][]config.Setting) []string {
	const bundle = "bundle"
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		if a == bundle || b == bundle {
			a, b = strings.TrimPrefix(a, bundle), strings.TrimPrefix(b, bundle)
		}
		return strings.Compare(a, b)
	})
}

// Heading is the README section that holds the table.
const Heading = "## Settings"

// InReadme returns the README with the table of a section replaced, or added if there
// is none. Text around the table does not change; "" removes the table.
func InReadme(readme, heading, table string) (string, error) {
	before, section, found := strings.Cut(readme, heading+"\n")
	if !found {
		return "", errors.New("no section " + heading)
	}
	section, rest, more := strings.Cut(section, "\n## ")
	var kept []string
	placed := table == ""
	for line := range strings.SplitSeq(strings.Trim(section, "\n"), "\n") {
		switch {
		case !strings.HasPrefix(line, "|"):
			kept = append(kept, line)
		case !placed:
			kept = append(kept, strings.TrimSuffix(table, "\n"))
			placed = true
		}
	}
	if !placed {
		kept = append(kept, "", strings.TrimSuffix(table, "\n"))
	}
	section = strings.Trim(strings.Join(kept, "\n"), "\n") + "\n"
	if more {
		rest = "\n## " + rest
	}
	return before + heading + "\n\n" + section + rest, nil
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

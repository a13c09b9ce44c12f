// Package settings turns what a function says about its own settings into the
// two texts that people read: the function's .env.example and the table in its
// README. Both are written by go run ./scripts/settings and held against the
// program by the repository tests, so they cannot drift from the code.
package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/backchannel-im/backchannel/shared/config"
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

// Example returns the text of the function's .env.example. Every setting has
// its meaning, its format and whether it is needed above an empty assignment;
// an empty value counts as not given, so the file works as it is copied.
func Example(function string, list []config.Setting) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The settings of %s, as the program itself lists them with -h.\n", function)
	fmt.Fprintf(&b, "# Copy to .env and fill in what is required; an empty value counts as not given.\n")
	fmt.Fprintf(&b, "# NAME_FILE=PATH instead of NAME reads the value from a file.\n")
	for _, s := range list {
		fmt.Fprintf(&b, "\n# %s\n# Format: %s\n", sentence(s.Meaning), s.Format)
		switch {
		case s.Required:
			b.WriteString("# Required.\n")
		case s.Default != "":
			fmt.Fprintf(&b, "# Default: %s\n", s.Default)
		default:
			b.WriteString("# Optional.\n")
		}
		fmt.Fprintf(&b, "%s=\n", s.Name)
	}
	return b.String()
}

// Table returns the rows of the README's settings table.
func Table(list []config.Setting) string {
	var b strings.Builder
	b.WriteString("| setting | meaning | format | default |\n|---|---|---|---|\n")
	for _, s := range list {
		def := ""
		switch {
		case s.Required:
			def = "required"
		case s.Default != "":
			def = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, cell(s.Meaning), cell(s.Format), cell(def))
	}
	return b.String()
}

// Heading is the README section that holds the table.
const Heading = "## Settings"

// InReadme returns the README with its settings table replaced. Text around
// the table stays as it is.
func InReadme(readme, table string) (string, error) {
	before, section, found := strings.Cut(readme, Heading+"\n")
	if !found {
		return "", errors.New("no section " + Heading)
	}
	section, rest, more := strings.Cut(section, "\n## ")
	var kept []string
	placed := false
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
	return before + Heading + "\n\n" + section + rest, nil
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

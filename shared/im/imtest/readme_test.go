package imtest_test

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

var update = flag.Bool("update", false, "write what the README lists of the commands")

// The README lists the documented commands that are not modelled, as the table
// has them: go test -run README -update writes the list.
func TestREADMEListsWhatIsNotModelled(t *testing.T) {
	const begin, end = "<!-- not modelled -->\n", "<!-- end -->"
	subjects := make(map[string][]string)
	for command, subject := range imtest.NotModelled() {
		subjects[subject] = append(subjects[subject], "`"+command+"`")
	}
	var list strings.Builder
	for _, subject := range slices.Sorted(maps.Keys(subjects)) {
		commands := subjects[subject]
		slices.Sort(commands)
		list.WriteString("- " + subject + ": " + strings.Join(commands, ", ") + "\n")
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), begin)
	written, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("README.md lacks %q or %q", begin, end)
	case written == list.String():
	case *update:
		if err := os.WriteFile("README.md", []byte(before+begin+list.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("README.md does not list what is not modelled: go test ./shared/im/imtest -run README -update writes\n%s", list.String())
	}
}

// A command is modelled or listed as not modelled, never both.
func TestNoCommandIsBothModelledAndNot(t *testing.T) {
	for _, command := range imtest.Commands() {
		if imtest.NotModelled()[command] != "" {
			t.Errorf("%s is modelled and listed as not modelled", command)
		}
	}
}

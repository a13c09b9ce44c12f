package settings

import (
	"testing"

	"github.com/backchannel-im/backchannel/shared/config"
)

var list = []config.Setting{
	{Name: "LANES", Meaning: "which lanes", Format: "fast|slow", Default: "fast"},
	{Name: "NOTE", Meaning: "free text", Format: "any text"},
	{Name: "SECRET", Meaning: "the app's key", Format: "64 hex digits", Required: true},
}

func TestExample(t *testing.T) {
	want := `# The settings of echo, as the program itself lists them with -h.
# Copy to .env and fill in what is required; an empty value counts as not given.
# NAME_FILE=PATH instead of NAME reads the value from a file.

# Which lanes.
# Format: fast|slow
# Default: fast
LANES=

# Free text.
# Format: any text
# Optional.
NOTE=

# The app's key.
# Format: 64 hex digits
# Required.
SECRET=
`
	if got := Example("echo", list); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestInReadme(t *testing.T) {
	table := "| setting | meaning | format | default |\n|---|---|---|---|\n" +
		"| `LANES` | which lanes | fast\\|slow | `fast` |\n" +
		"| `NOTE` | free text | any text |  |\n" +
		"| `SECRET` | the app's key | 64 hex digits | required |\n"
	for name, c := range map[string]struct{ readme, want string }{
		"first time": {
			"# echo\n\n## Settings\n\n## Try it\n\n| a | b |\n",
			"# echo\n\n## Settings\n\n" + table + "\n## Try it\n\n| a | b |\n",
		},
		"text around it stays": {
			"# echo\n\n## Settings\n\nMind the key.\n\n| old | table |\n|---|---|\n\nAnd rotate it.\n\n## Try it\n",
			"# echo\n\n## Settings\n\nMind the key.\n\n" + table + "\nAnd rotate it.\n\n## Try it\n",
		},
		"at the end": {
			"# echo\n\n## Settings\n\n| old |\n",
			"# echo\n\n## Settings\n\n" + table,
		},
	} {
		got, err := InReadme(c.readme, Table(list))
		if err != nil || got != c.want {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
		again, _ := InReadme(got, Table(list))
		if again != got {
			t.Errorf("%s: the second time differs:\n%s", name, again)
		}
	}
	if _, err := InReadme("# echo\n", Table(list)); err == nil {
		t.Error("a README without the section was accepted")
	}
}

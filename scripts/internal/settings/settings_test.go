package settings

import (
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/config"
)

var list = []config.Setting{
	{Name: "LANES", Meaning: "lanes that are worked on", Format: "fast|slow", Default: "fast", Group: "bot"},
	{Name: "NOTE", Meaning: "note for the operator", Format: "any text", Group: "app"},
	{Name: "SECRET", Meaning: "SecretKey of the IM app", Format: "64 hex digits", Required: true, Group: "app"},
}

func TestExample(t *testing.T) {
	want := `# The settings of echo, as the program itself lists them with -h.
# Copy to .env and fill in what is required; an empty value counts as not given.
# NAME_FILE=PATH instead of NAME reads the value from a file.

# ---- The IM app

# SecretKey of the IM app.
# Format: 64 hex digits
# Required.
SECRET=

# Note for the operator.
# Format: any text
# Optional.
NOTE=

# ---- Feature bot

# Lanes that are worked on.
# Format: fast|slow
# Default: fast
LANES=
`
	if got := Example("echo", list); got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestAll: a setting stands once, with who reads it and who cannot start without.
func TestAll(t *testing.T) {
	optional := slices.Clone(list[2:])
	optional[0].Required = false
	got := All(map[string][]config.Setting{"echo": list, "bundle": optional})
	for _, want := range []string{
		"## The IM app\n\n| setting |",
		"| `SECRET` | SecretKey of the IM app | 64 hex digits | required by echo | all |\n| `NOTE` |",
		"| `LANES` | lanes that are worked on | fast\\|slow | `fast` | echo |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestCheckMeaning(t *testing.T) {
	for _, good := range []string{
		"key that signs requests to MATCH_HOOK_URL", "UserID of the app's admin account", "time window over which MODERATION_FLOOD counts messages",
		"callers that may ask for a UserSig. server: API keys, for any user", "1 accepts callbacks without a signature",
	} {
		if fault := CheckMeaning(good); fault != "" {
			t.Errorf("%q %s", good, fault)
		}
	}
	for _, bad := range []string{
		"", "and within how long", "its key", "the same for single robots", "who asks them, where there is TMS_REGION", "what signs those answers",
		"key of that API", "what the API calls that limit", "where work for later is put", "how long a point counts", "region of these services",
		"without it, nobody is asked", "The same as above",
	} {
		if CheckMeaning(bad) == "" {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestInReadme(t *testing.T) {
	table := "| setting | meaning | format | default |\n|---|---|---|---|\n" +
		"| `SECRET` | SecretKey of the IM app | 64 hex digits | required |\n" +
		"| `LANES` | lanes that are worked on | fast\\|slow | `fast` |\n"
	deployed := func(name string) bool { return name == "LANES" }
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
		got, err := InReadme(c.readme, Heading, Table(list, deployed))
		if err != nil || got != c.want {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
		again, _ := InReadme(got, Heading, Table(list, deployed))
		if again != got {
			t.Errorf("%s: the second time differs:\n%s", name, again)
		}
	}
	if _, err := InReadme("# echo\n", Heading, ""); err == nil {
		t.Error("a README without the section was accepted")
	}
}

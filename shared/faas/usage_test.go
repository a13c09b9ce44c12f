package faas_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
)

func TestHelpNeedsNoSettings(t *testing.T) {
	got := faastest.Run(t, faastest.Build(t, testfunc), nil, "-h")
	if got.Code != 0 || got.Stderr != "" {
		t.Errorf("exit status %d, stderr %q", got.Code, got.Stderr)
	}
	for _, want := range []string{
		"testfunc is a function of Backchannel", "-settings",
		"\nGREETING (required)\n    what GET /greeting answers\n    any text\n",
		"\nTOKEN (secret)\n", "\nPORT (default 9000)\n", "\nHOST (default 0.0.0.0)\n", "\nLOG_LEVEL (default info)\n",
	} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("%q is missing in\n%s", want, got.Stdout)
		}
	}
}

func TestSettingsForPrograms(t *testing.T) {
	got := faastest.Run(t, faastest.Build(t, testfunc), nil, "-settings")
	var settings []struct {
		Name, Meaning, Format, Default, Group string
		Required, Secret                      bool
	}
	dec := json.NewDecoder(strings.NewReader(got.Stdout))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&settings); err != nil || got.Code != 0 {
		t.Fatalf("exit status %d, %v\n%s", got.Code, err, got.Stdout)
	}
	var names []string
	for _, s := range settings {
		names = append(names, s.Name)
		if s.Meaning == "" || s.Format == "" {
			t.Errorf("%s is not explained", s.Name)
		}
		if s.Required != (s.Name == "GREETING") || s.Secret != (s.Name == "TOKEN") {
			t.Errorf("%+v", s)
		}
	}
	if want := []string{"DOES", "GREETING", "HOST", "LIMIT", "LOG_LEVEL", "PORT", "START", "TOKEN"}; !slices.Equal(names, want) {
		t.Errorf("settings %q, want %q", names, want)
	}
}

func TestUnknownArgument(t *testing.T) {
	got := faastest.Run(t, faastest.Build(t, testfunc), greeting, "-verbose")
	if got.Code != 2 || got.Stdout != "" || !strings.Contains(got.Stderr, `unknown argument "-verbose"`) {
		t.Errorf("exit status %d, stdout %q, stderr %q", got.Code, got.Stdout, got.Stderr)
	}
}

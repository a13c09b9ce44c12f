package repotest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOpenAPIDocumentIsValid for the linters that people run: an unquoted comma in
// a flow mapping is valid YAML and another document.
func TestOpenAPIDocumentIsValid(t *testing.T) {
	if testing.Short() {
		t.Skip("the linters are not part of -short")
	}
	bin, err := filepath.Abs("../node/node_modules/.bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"redocly", "lint", "--config", "scripts/node/redocly.yaml", "--max-problems", "50", "docs/openapi.yaml"},
		{"spectral", "lint", "--ruleset", "scripts/node/spectral.yaml", "--fail-severity", "warn", "docs/openapi.yaml"},
	} {
		tool := filepath.Join(bin, command[0])
		if _, err := os.Stat(tool); err != nil {
			t.Fatalf("%s is missing: npm ci --prefix scripts/node", command[0])
		}
		t.Run(command[0], func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), tool, command[1:]...)
			cmd.Dir = "../.."
			cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "NO_COLOR=1", "NO_UPDATE_NOTIFIER=1", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

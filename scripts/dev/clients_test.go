package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/wiring"
)

// TestGeneratedClients generates a Go and a TypeScript client from
// docs/openapi.yaml, compiles them, and has them call this program.
func TestGeneratedClients(t *testing.T) {
	if testing.Short() {
		t.Skip("the generators are not part of -short")
	}
	p := start(t, "-state", t.TempDir())
	absolute := func(path string) string {
		t.Helper()
		path, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	document, modules := absolute("../../docs/openapi.yaml"), absolute("../node/node_modules")
	if _, err := os.Stat(filepath.Join(modules, "openapi-typescript")); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../clients")); err != nil {
		t.Fatal(err)
	}
	// Without the generated half the program does not compile, so it is no Go file
	// where tools look.
	if err := os.Rename(filepath.Join(dir, "main.go.txt"), filepath.Join(dir, "main.go")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	do := func(command ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
		return string(out)
	}
	do("go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", document)
	if out := do("go", "run", ".", p.url, wiring.DevelopmentKey); !strings.HasSuffix(out, "ok\n") {
		t.Errorf("Go: %s", out)
	}
	bin := filepath.Join(modules, ".bin") + "/"
	do(bin+"openapi-typescript", document, "-o", "api.d.ts")
	do(bin + "tsc")
	if out := do("node", "check.mjs", p.url, wiring.DevelopmentKey); out != "ok\n" {
		t.Errorf("TypeScript: %s", out)
	}
}

// TestTheSameFrontAsDeployables: health, request ids in errors, and nothing for a
// page of elsewhere, on the page's routes and on the bundle's.
func TestTheSameFrontAsDeployables(t *testing.T) {
	p := start(t, "-state", t.TempDir())
	if status, body := p.call(t, http.MethodGet, "/healthz", ""); status != http.StatusOK || !strings.Contains(body, `"status":"ok"`) {
		t.Errorf("/healthz: %d %s", status, body)
	}
	_, body := p.call(t, http.MethodPost, "/usersig", `{"userid":"ann"}`)
	var answer struct {
		Error struct{ Code, RequestID string }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Error.Code != "invalid" || answer.Error.RequestID == "" {
		t.Errorf("an error without a request id: %s", body)
	}
	for _, path := range []string{"/", "/im", "/usersig", "/healthz", "/dev/scene"} {
		for name, change := range map[string]func(*http.Request){
			"a foreign Host": func(r *http.Request) { r.Host = "rebound.example.com" },
			"another site":   func(r *http.Request) { r.Header.Set("Origin", "https://example.com") },
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			change(r)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if path != "/healthz" && res.StatusCode != http.StatusForbidden {
				t.Errorf("%s of %s: %d", path, name, res.StatusCode)
			}
		}
	}
}

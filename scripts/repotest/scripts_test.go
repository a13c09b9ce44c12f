package repotest

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
)

// TestScriptsSayHowToUseThem: each script has a usage block on top and prints
// it when asked.
func TestScriptsSayHowToUseThem(t *testing.T) {
	found := 0
	for _, name := range files(t) {
		if filepath.Ext(name) != ".sh" && name != ".ci/run" {
			continue
		}
		found++
		text := read(t, name)
		if !strings.HasPrefix(text, "#!/usr/bin/env bash\n# ") || !strings.Contains(text, "\n# usage: "+name) || !strings.Contains(text, "\nset -euo pipefail\n") {
			t.Errorf("%s: no #! line, usage block or set -euo pipefail", name)
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, name), "-h")
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), "\nusage: "+name) || strings.Contains(string(out), "set -euo") {
			t.Errorf("%s -h: %v\n%s", name, err, out)
		}
	}
	if found < 6 {
		t.Errorf("only %d scripts found", found)
	}
}

// copyOfRepository is everything that git keeps or would keep, elsewhere.
func copyOfRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files(t) {
		from, to := filepath.Join(root, name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(read(t, name)), info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

// in runs a command in a copy of the repository. Programs built for its tests
// stay in the copy; Go's own cache is shared.
func in(t *testing.T, dir string, command string, args ...string) (string, error) {
	t.Helper()
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), command, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(dir, ".cache"), "GOCACHE="+strings.TrimSpace(string(cache)))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, dir string, command string, args ...string) {
	t.Helper()
	if out, err := in(t, dir, command, args...); err != nil {
		t.Fatalf("%s %v: %v\n%s", command, args, err, out)
	}
}

// command and goBlock are a shell command of docs/add-a-rule.md that makes a feature,
// and a piece of Go that the page shows.
var (
	command = regexp.MustCompile("(?m)^\\./(scripts/new-function\\.sh) ([a-z-]+) ([a-z]+) \"([^\"]+)\"$")
	goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")
)

// TestNewFunctionIsComplete makes the function of docs/add-a-rule.md in a copy of the
// repository, where it builds, is what the page shows, passes its own test and
// everything that is asked of the others.
func TestNewFunctionIsComplete(t *testing.T) {
	dir := copyOfRepository(t)
	page := read(t, "docs/add-a-rule.md")
	m := command.FindStringSubmatch(page)
	if m == nil {
		t.Fatal("docs/add-a-rule.md has no call of new-function.sh")
	}
	script, name, noun := m[1], m[2], m[3]
	mustRun(t, dir, script, name, noun, m[4])
	var made strings.Builder
	for _, file := range []string{"shared/" + noun + "/" + noun + ".go", "shared/" + noun + "/" + noun + "_test.go", "shared/wiring/" + noun + "/" + noun + ".go"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		made.Write(text)
	}
	blocks := goBlock.FindAllStringSubmatch(page, -1)
	if len(blocks) < 3 {
		t.Errorf("docs/add-a-rule.md shows %d pieces of Go, and not rule, wiring and test", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(made.String(), b[1]) {
			t.Errorf("docs/add-a-rule.md shows what new-function.sh does not make:\n%s", b[1])
		}
	}
	mustRun(t, dir, "go", "vet", "./functions/"+name, "./shared/"+noun, "./shared/wiring/...")
	mustRun(t, dir, "go", "test", "./functions/"+name, "./shared/"+noun)
	mustRun(t, dir, "go", "test", "./shared/wiring/features", "-run", "TestUserRecords")
	rules := "TestLaw|TestTemplates$|TestFunctions/(" + name + "|bundle)|TestSettingsPage|TestContributing|TestRootReadme|TestOpenAPINamesEveryRoute"
	mustRun(t, dir, "go", "test", "./scripts/repotest", "-run", rules)
	if !testing.Short() {
		needs(t, "cfn-lint")
		mustRun(t, dir, "cfn-lint", "template.yaml")
	}
	if enginetest.Full() {
		mustRun(t, dir, "go", "test", "./scripts/repotest", "-run", "TestPoliciesAreTheTraffic")
	}

	before := read(t, "template.yaml")
	for _, args := range [][]string{
		{name, "other", "again"},
		{"other-bot", noun, "again"},
		{"Echo", "x", "shouts"},
		{"../x", "x", "escapes"},
		{"x", "../x", "escapes"},
		{"x", "x-y", "joins"},
		{"x", "x", ""},
		{"x", "x", "a: b"},
		{"x", "x"},
		{"x"},
		{},
	} {
		if out, err := in(t, dir, "scripts/new-function.sh", args...); err == nil {
			t.Errorf("new-function.sh %q worked:\n%s", args, out)
		}
	}
	after, err := os.ReadFile(filepath.Join(dir, "template.yaml"))
	if err != nil || strings.Count(string(after), "AWS::Serverless::Function") != strings.Count(before, "AWS::Serverless::Function")+1 {
		t.Errorf("a refused name was entered in template.yaml: %v", err)
	}
}

// TestBuildIsReproducible builds a function in two places and compares.
func TestBuildIsReproducible(t *testing.T) {
	const name = "usersig-issuer"
	outputs := []string{"build/aws/" + name + "/bootstrap", "build/tencent/" + name + "/main", "build/tencent/" + name + ".zip"}
	dirs := []string{copyOfRepository(t), copyOfRepository(t)}
	var built [2][][]byte
	for i, dir := range dirs {
		mustRun(t, dir, "scripts/build.sh", name)
		for _, file := range outputs {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			built[i] = append(built[i], data)
		}
	}
	for i, file := range outputs {
		if !bytes.Equal(built[0][i], built[1][i]) {
			t.Errorf("%s differs", file)
		}
	}
	wantMachine(t, built[0][0], elf.EM_AARCH64)
	wantMachine(t, built[0][1], elf.EM_X86_64)

	z, err := zip.NewReader(bytes.NewReader(built[0][2]), int64(len(built[0][2])))
	if err != nil || len(z.File) != 1 {
		t.Fatalf("%d files in the zip, %v", len(z.File), err)
	}
	main := z.File[0]
	if main.Name != "main" || main.Mode() != 0o755 {
		t.Errorf("the zip holds %s with mode %v", main.Name, main.Mode())
	}
	r, err := main.Open()
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(r); err != nil || !bytes.Equal(data, built[0][1]) {
		t.Errorf("the zip holds another program: %v", err)
	}

	mustRun(t, dirs[0], "scripts/build.sh", "-arch", "amd64", name)
	data, err := os.ReadFile(filepath.Join(dirs[0], outputs[0]))
	if err != nil {
		t.Fatal(err)
	}
	wantMachine(t, data, elf.EM_X86_64)
	for _, args := range [][]string{{"no-such-function"}, {"-arch", "mips"}, {"-arch"}, {"-x"}} {
		if out, err := in(t, dirs[0], "scripts/build.sh", args...); err == nil {
			t.Errorf("build.sh %q worked:\n%s", args, out)
		}
	}
}

func wantMachine(t *testing.T, program []byte, want elf.Machine) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != want {
		t.Errorf("built for %v, want %v", f.Machine, want)
	}
}

// TestSetupNamesWhatIsMissing runs setup where it may install nothing and finds
// nothing.
func TestSetupNamesWhatIsMissing(t *testing.T) {
	dir := copyOfRepository(t)
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"bash", "dirname", "realpath", "sed"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	// As on a system that is not Debian-like.
	script := strings.ReplaceAll(read(t, "scripts/setup.sh"), "/etc/debian_version", dir+"/none")
	if err := os.WriteFile(filepath.Join(dir, "scripts/setup.sh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "bash"), "scripts/setup.sh", "redis-server", "gofumpt")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "apt-get install -y --no-install-recommends redis-server") || !strings.Contains(string(out), "go install mvdan.cc/gofumpt@v") {
		t.Errorf("%v\n%s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), "bash", "scripts/setup.sh", "no-such-tool")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "unknown tool no-such-tool") {
		t.Errorf("%v\n%s", err, out)
	}
}

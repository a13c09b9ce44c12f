package repotest

import (
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

var readers = map[string]func(root fs.FS, file string) ([]deployment.Function, error){
	"template.yaml":          deployment.SAM,
	deployment.TencentBundle: deployment.Serverless,
	deployment.TencentSplit:  deployment.Serverless,
}

// deployed reads the functions of a deployment template.
func deployed(t testing.TB, file string) []deployment.Function {
	t.Helper()
	list, err := readers[file](os.DirFS(root), file)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// tencent reads the functions of both templates for Tencent.
func tencent(t testing.TB) []deployment.Function {
	t.Helper()
	list, err := deployment.Tencent(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestTemplates: on either cloud every function is deployed, on Tencent the bundle
// alone or everything else; each gets what it requires and nothing that it does
// not read.
func TestTemplates(t *testing.T) {
	for file := range readers {
		t.Run(file, func(t *testing.T) {
			var names []string
			for _, f := range deployed(t, file) {
				names = append(names, f.Name)
				for _, fault := range deployment.CheckEnvironment(f, settingsOf(t, f.Name)) {
					t.Error(fault)
				}
			}
			slices.Sort(names)
			want := functions(t)
			switch file {
			case deployment.TencentBundle:
				want = []string{"bundle"}
			case deployment.TencentSplit:
				want = slices.DeleteFunc(want, func(name string) bool { return name == "bundle" })
			}
			if !slices.Equal(names, want) {
				t.Errorf("it deploys %q; there are %q", names, want)
			}
		})
	}
}

// TestTemplatesGiveTheSame: a function has the same settings on both clouds, so that a
// route which needs one does not fail on one cloud alone.
func TestTemplatesGiveTheSame(t *testing.T) {
	onTencent := map[string][]string{}
	names := func(f deployment.Function) []string {
		list := slices.Sorted(maps.Keys(f.Environment))
		return slices.DeleteFunc(list, func(name string) bool { return name == "SECRETS_URL" }) // template.yaml gives it to all at once
	}
	for _, f := range tencent(t) {
		onTencent[f.Name] = names(f)
	}
	for _, f := range deployed(t, "template.yaml") {
		if got, want := onTencent[f.Name], names(f); !slices.Equal(got, want) {
			t.Errorf("%s has on Tencent %q\nand on AWS %q", f.Name, got, want)
		}
	}
}

func TestTemplatePassesCfnLint(t *testing.T) {
	if testing.Short() {
		t.Skip("cfn-lint is not part of -short")
	}
	needs(t, "cfn-lint")
	cmd := exec.CommandContext(t.Context(), "cfn-lint", "template.yaml")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// environment is exactly what the template names, filled in.
func environment(t testing.TB, f deployment.Function, values map[string]string) map[string]string {
	t.Helper()
	env := map[string]string{"AWS_REGION": "eu-central-1"} // which the platform sets
	for name, text := range f.Environment {
		value, known := values[name]
		if strings.HasPrefix(name, "FORWARD_") {
			value, known = "http://127.0.0.1:1/im", true
		}
		switch {
		case known:
			env[name] = value
		case text != "" && !strings.Contains(text, "${"):
			env[name] = text
		default:
			t.Fatalf("the test has no value for %s of %s", name, f.Name)
		}
	}
	return env
}

// TestDeployedFunctions starts every function of all templates from its built
// binary with exactly what the template gives it, and calls it through every
// event shape.
func TestDeployedFunctions(t *testing.T) {
	values := deployment.Sample("redis://" + redistest.Start(t).Addr)
	for file := range readers {
		for _, f := range deployed(t, file) {
			t.Run(file+"/"+f.Name, func(t *testing.T) {
				env := environment(t, f, values)
				faastest.Everywhere(t, program(t, f.Name), env, func(t *testing.T, do func(*http.Request) *http.Response) {
					for _, r := range routes(t, f.Name) {
						checkAnswer(t, r, do(r))
					}
				})
			})
		}
	}
}

// checkAnswer: each route is there and, called by nobody in particular with
// nothing in particular, answers in its own words.
func checkAnswer(t *testing.T, r *http.Request, res *http.Response) {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	missing := res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed
	if missing || res.StatusCode >= 500 || r.URL.Path == "/healthz" && res.StatusCode != http.StatusOK {
		t.Errorf("%s %s: status %d, %s", r.Method, r.URL.Path, res.StatusCode, body)
	}
}

// TestSettingsAreEnforced: leaving out any one required setting that a template
// names keeps the function from starting, and is named.
func TestSettingsAreEnforced(t *testing.T) {
	values := deployment.Sample("redis://127.0.0.1:1/0")
	for _, f := range tencent(t) {
		for _, s := range settingsOf(t, f.Name) {
			if !s.Required {
				continue
			}
			t.Run(f.Name+"/"+s.Name, func(t *testing.T) {
				env := maps.Clone(environment(t, f, values))
				delete(env, s.Name)
				out := faastest.Run(t, program(t, f.Name), env)
				if out.Code != 2 || !strings.Contains(out.Stderr, "\n"+s.Name+": required") {
					t.Errorf("status %d:\n%s", out.Code, out.Stderr)
				}
			})
		}
	}
}

package faastest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
)

const testfunc = "../internal/testfunc"

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("GREETING", "from whoever runs the tests")
	got := faastest.Run(t, faastest.Build(t, testfunc), nil)
	if got.Code != 2 || !strings.Contains(got.Stderr, "GREETING: required") {
		t.Errorf("exit status %d\n%s", got.Code, got.Stderr)
	}
}

func TestEachProcessHasItsOwnDirectory(t *testing.T) {
	used := make(map[string]bool)
	env := map[string]string{"GREETING": "{dir}"}
	faastest.Everywhere(t, faastest.Build(t, testfunc), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		body, err := io.ReadAll(do(httptest.NewRequest(http.MethodGet, "/greeting", nil)).Body)
		if err != nil {
			t.Fatal(err)
		}
		_, dir, _ := strings.Cut(string(body), `"greeting":"`)
		dir, _, _ = strings.Cut(dir, `"`)
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("{dir} is %q, holding %v, %v", dir, entries, err)
		}
		if used[dir] {
			t.Errorf("%q is somebody else's", dir)
		}
		used[dir] = true
	})
	if len(used) != 6 {
		t.Errorf("%d shapes, want 6", len(used))
	}
}

// As on the platforms, no answer may come after the deadline.
func TestLateAnswersAreGivenUp(t *testing.T) {
	bin := faastest.Build(t, testfunc)
	env := map[string]string{"GREETING": "hello"}
	l, s := faastest.StartLambda(t, bin, env), faastest.StartSCF(t, bin, env)
	l.Timeout, s.Timeout = 50*time.Millisecond, 50*time.Millisecond
	r := httptest.NewRequest(http.MethodGet, "/until-sigterm", nil) // which nobody sends
	if _, err := l.Do(faastest.FunctionURL, r); err == nil || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("Lambda: %v", err)
	}
	if _, err := s.Do(faastest.SCFGateway, r); err == nil || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("SCF: %v", err)
	}
}

func TestDriverKnowsItsShapes(t *testing.T) {
	bin := faastest.Build(t, testfunc)
	l := faastest.StartLocal(t, bin, map[string]string{"GREETING": "hello"})
	if _, err := l.Do(faastest.RESTv1, httptest.NewRequest(http.MethodGet, "/", nil)); err == nil {
		t.Error("a listener took an event")
	}
}

func TestColdStartIsMeasured(t *testing.T) {
	bin := faastest.Build(t, testfunc)
	env := map[string]string{"GREETING": "hello"}
	if d, err := faastest.StartToPoll(bin, env); err != nil || d <= 0 {
		t.Errorf("%v, %v", d, err)
	}
	if rss, err := faastest.PeakRSS(bin, env); err != nil || rss < 1<<20 {
		t.Errorf("%d bytes, %v", rss, err)
	}
	if _, err := faastest.StartToPoll(bin, nil); err == nil || !strings.Contains(err.Error(), "GREETING: required") {
		t.Errorf("a function that does not start: %v", err)
	}
}

package main

import (
	"strings"
	"testing"
	"time"
)

// stream is what go test -json writes for three packages: one with a failing
// and a passing subtest, a skipped test and a test that failed on its own, one
// that does not build, and one without tests.
const stream = `
{"Action":"start","Package":"github.com/backchannel-im/backchannel/shared/a"}
{"Action":"run","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestTable"}
{"Action":"run","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestTable/good"}
{"Action":"output","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestTable/good","Output":"noise of a pass\n"}
{"Action":"pass","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestTable/good","Elapsed":0.1}
{"Action":"output","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestTable/bad","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestTable/bad","Elapsed":0.1}
{"Action":"fail","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestTable","Elapsed":0.2}
{"Action":"pass","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestPlain","Elapsed":0}
{"Action":"output","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestServer","Output":"=== RUN   TestServer\n    a_test.go:7: needs a server\n--- SKIP: TestServer (0.00s)\n"}
{"Action":"skip","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestServer","Elapsed":0}
{"Action":"pass","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestOwn/sub","Elapsed":0}
{"Action":"output","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestOwn","Output":"cleanup failed\n"}
{"Action":"fail","Package":"github.com/backchannel-im/backchannel/shared/a","Test":"TestOwn","Elapsed":0}
{"Action":"output","Package":"github.com/backchannel-im/backchannel/shared/a","Output":"FAIL\n"}
{"Action":"fail","Package":"github.com/backchannel-im/backchannel/shared/a","Elapsed":0.5}
{"ImportPath":"github.com/backchannel-im/backchannel/shared/b","Action":"build-output","Output":"b.go:1: undefined: x\n"}
{"ImportPath":"github.com/backchannel-im/backchannel/shared/b","Action":"build-fail"}
{"Action":"fail","Package":"github.com/backchannel-im/backchannel/shared/b","Elapsed":0,"FailedBuild":"shared/b"}
{"Action":"skip","Package":"github.com/backchannel-im/backchannel/shared/c","Elapsed":0}
`

func TestRead(t *testing.T) {
	var out strings.Builder
	r, err := read(strings.NewReader(stream), &out)
	if err != nil {
		t.Fatal(err)
	}
	// good, TestPlain and TestOwn/sub; bad, TestOwn and the build.
	if r.passed != 3 || r.failed != 3 || r.skipped != 1 {
		t.Errorf("%d passed, %d failed, %d skipped", r.passed, r.failed, r.skipped)
	}
	for _, want := range []string{"got 1, want 2", "cleanup failed", "undefined: x", "skip  shared/a.TestServer: a_test.go:7: needs a server\n", "FAIL  shared/b"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not shown: %q\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "noise of a pass") {
		t.Error("the output of a passing test is shown")
	}
	if _, err := read(strings.NewReader("panic: not JSON\n"), &out); err == nil {
		t.Error("a stream that is not JSON was accepted")
	}
}

func TestSummarise(t *testing.T) {
	good := result{name: "im", packages: 2, passed: 7, skipped: 1, took: time.Second, budget: time.Minute}
	bad := result{name: "state", packages: 1, passed: 2, failed: 1, took: 2 * time.Minute, budget: time.Minute}
	slow := result{name: "jobs", packages: 1, passed: 1, took: 2 * time.Minute, budget: time.Minute}
	for name, c := range map[string]struct {
		done   []result
		last   string
		failed bool
		marked string
	}{
		"good":  {[]result{good}, "7 passed, 0 failed", false, "im"},
		"bad":   {[]result{good, bad}, "9 passed, 1 failed", true, "failed"},
		"slow":  {[]result{slow}, "1 passed, 0 failed", false, "over budget"},
		"empty": {nil, "0 passed, 0 failed", true, "suite"},
	} {
		var out strings.Builder
		good := summarise(&out, c.done)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if lines[len(lines)-1] != c.last || good == c.failed || !strings.Contains(out.String(), c.marked) {
			t.Errorf("%s: %v\n%s", name, good, out.String())
		}
	}
}

func TestSuites(t *testing.T) {
	for pkg, want := range map[string]string{
		"shared/kv/boltkv":          "state",
		"shared/queue/sqsqueue":     "jobs",
		"shared/im/callback":        "im",
		"functions/bundle":          "functions",
		"shared/moderation":         "rules",
		"scripts/internal/x":        "scripts",
		"shared/wiring/match":       "rules",
		"shared/somethingyettocome": "rules",
	} {
		if got := suiteOf(pkg); got != want {
			t.Errorf("%s is in %s, want %s", pkg, got, want)
		}
	}
	var total time.Duration
	for _, s := range suites {
		total += s.budget
	}
	if total > 29*time.Minute {
		t.Errorf("the budgets come to %v", total)
	}
}

func TestReadTAP(t *testing.T) {
	r := readTAP("TAP version 13\nok 1 - a\n# tests 3\n# pass 2\n# fail 1\n# skipped 0\n")
	if r.passed != 2 || r.failed != 1 || r.skipped != 0 {
		t.Errorf("%+v", r)
	}
}

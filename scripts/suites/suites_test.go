package main

import (
	"slices"
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
	if want := []string{"shared/a.TestOwn\n    cleanup failed", "shared/a.TestTable/bad\n    got 1, want 2", "shared/b\n    "}; !slices.Equal(r.failures, want) {
		t.Errorf("failures: %q", r.failures)
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
	bad := result{name: "state", packages: 1, passed: 2, failed: 1, failures: []string{"shared/kv.TestOne\n    got 1"}, twice: []string{"a story"}, took: 2 * time.Minute, budget: time.Minute}
	slow := result{name: "jobs", packages: 1, passed: 1, took: 2 * time.Minute, budget: time.Minute}
	for name, c := range map[string]struct {
		done   []result
		last   string
		failed bool
		marked string
	}{
		"good":  {[]result{good}, "7 passed, 0 failed", false, "im"},
		"bad":   {[]result{good, bad}, "9 passed, 1 failed", true, "FAILED shared/kv.TestOne"},
		"twice": {[]result{bad}, "2 passed, 1 failed", true, "tried twice: a story"},
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

// tap is what node --test writes of a test that passes, of one that passes at
// its second try, and of one that fails.
const tap = `TAP version 13
# Subtest: a
ok 1 - a
  ---
  duration_ms: 12.1
  ...
# Subtest: b
ok 2 - b
  ---
  duration_ms: 12.1
  ...
# tried twice: b: locator.click: Timeout 15000ms exceeded.
# Subtest: the lobby shows
not ok 3 - the lobby shows
  ---
  duration_ms: 40.7
  location: 'page/stage.test.mjs:9:1'
  failureType: 'testCodeFailure'
  error: |-
    Expected values to be strictly equal:
    1 !== 2
  code: 'ERR_ASSERTION'
  ...
1..3
# tests 3
# pass 2
# fail 1
# skipped 0
`

func TestReadTAP(t *testing.T) {
	r := readTAP(tap)
	if r.passed != 2 || r.failed != 1 || r.skipped != 0 {
		t.Errorf("%+v", r)
	}
	if len(r.failures) != 1 || !strings.HasPrefix(r.failures[0], "node: the lobby shows\n") || !strings.Contains(r.failures[0], "1 !== 2") {
		t.Errorf("failures: %q", r.failures)
	}
	if len(r.twice) != 1 || !strings.HasPrefix(r.twice[0], "b: locator.click") {
		t.Errorf("tried twice: %q", r.twice)
	}
}

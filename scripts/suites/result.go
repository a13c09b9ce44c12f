package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is what a suite came to.
type result struct {
	name                    string
	packages                int
	passed, failed, skipped int
	took, budget            time.Duration
	// failures name what failed, each with the end of what it said: whoever sees
	// only the end of the output sees these.
	failures []string
	// twice names the browser tests that passed at the second try, with what the
	// first one said.
	twice []string
}

// saidLines is how much of a failed test's output its name is followed by.
const saidLines = 12

// failure is a line for a failed test, and the end of what it said.
func failure(name, output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return name + "\n    " + strings.Join(lines[max(0, len(lines)-saidLines):], "\n    ")
}

// event is a line of go test -json (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

// tests collects the events of one package.
type tests struct {
	outcome map[string]string // of test -> pass, fail or skip
	output  map[string]*strings.Builder
	parent  map[string]bool
}

func newTests() *tests {
	return &tests{outcome: map[string]string{}, output: map[string]*strings.Builder{}, parent: map[string]bool{}}
}

// read follows the events of one go test, prints a line for each package and
// everything that a failure wrote, and counts the results. A test that has
// subtests is counted by them, unless it failed on its own.
func read(in io.Reader, out io.Writer) (result, error) {
	var total result
	runs := map[string]*tests{}
	dec := json.NewDecoder(in)
	for {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return total, fmt.Errorf("go test -json: %w", err)
		}
		if e.Action == "build-output" {
			fmt.Fprint(out, e.Output)
			continue
		}
		r := runs[e.Package]
		if r == nil {
			r = newTests()
			runs[e.Package] = r
		}
		r.add(e)
		if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			r.finish(e, &total, out)
			delete(runs, e.Package)
		}
	}
}

func (r *tests) add(e event) {
	for i := range e.Test {
		if e.Test[i] == '/' {
			r.parent[e.Test[:i]] = true
		}
	}
	switch e.Action {
	case "output":
		b := r.output[e.Test]
		if b == nil {
			b = &strings.Builder{}
			r.output[e.Test] = b
		}
		b.WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			r.outcome[e.Test] = e.Action
			if e.Action == "pass" {
				delete(r.output, e.Test)
			}
		}
	}
}

func (r *tests) finish(e event, total *result, out io.Writer) {
	var passed, failed, skipped int
	pkg := strings.TrimPrefix(e.Package, module)
	for _, test := range slices.Sorted(maps.Keys(r.outcome)) {
		outcome := r.outcome[test]
		switch {
		case outcome == "fail" && (!r.parent[test] || !r.childFailed(test)):
			failed++
			total.failures = append(total.failures, failure(pkg+"."+test, r.said(test)))
		case r.parent[test]:
		case outcome == "pass":
			passed++
		case outcome == "skip":
			skipped++
		}
	}
	if e.Action == "fail" {
		if failed == 0 { // it did not build, or stopped outside a test
			failed = 1
			total.failures = append(total.failures, failure(pkg, r.said("")))
		}
		fmt.Fprintf(out, "FAIL  %s  %.1f s\n", pkg, e.Elapsed)
		for _, test := range slices.Sorted(maps.Keys(r.output)) {
			if r.outcome[test] != "skip" {
				fmt.Fprint(out, r.output[test])
			}
		}
	} else if passed+skipped > 0 {
		fmt.Fprintf(out, "ok    %s  %.1f s, %d tests\n", pkg, e.Elapsed, passed)
	}
	for _, test := range slices.Sorted(maps.Keys(r.output)) {
		if r.outcome[test] == "skip" {
			fmt.Fprintf(out, "skip  %s.%s: %s\n", pkg, test, reason(r.output[test].String()))
		}
	}
	total.passed += passed
	total.failed += failed
	total.skipped += skipped
}

// said is what a test wrote, or the package outside any test.
func (r *tests) said(test string) string {
	if b := r.output[test]; b != nil {
		return b.String()
	}
	return ""
}

func (r *tests) childFailed(test string) bool {
	for other, outcome := range r.outcome {
		if outcome == "fail" && strings.HasPrefix(other, test+"/") {
			return true
		}
	}
	return false
}

// reason is what a skipped test said, without what the testing package adds.
func reason(output string) string {
	var words []string
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(strings.TrimSpace(line), "--- ") {
			words = append(words, strings.TrimSpace(line))
		}
	}
	return strings.Join(words, " ")
}

var (
	tapCount = regexp.MustCompile(`(?m)^# (pass|fail|skipped) (\d+)$`)
	tapTwice = regexp.MustCompile(`(?m)^# tried twice: (.*)$`)
	tapFault = regexp.MustCompile(`(?ms)^not ok \d+ - ([^\n]*)\n  ---\n(.*?)\n  \.\.\.$`)
)

// readTAP reads what node --test writes: the closing counts, and what failed.
func readTAP(text string) result {
	var r result
	for _, m := range tapCount.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			continue // more digits than an int: not a count
		}
		switch m[1] {
		case "pass":
			r.passed = n
		case "fail":
			r.failed = n
		case "skipped":
			r.skipped = n
		}
	}
	for _, m := range tapFault.FindAllStringSubmatch(text, -1) {
		_, said, found := strings.Cut(m[2], "error:") // before it stand the place and the time
		if !found {
			said = m[2]
		}
		lines := strings.Split(said, "\n")
		r.failures = append(r.failures, failure("node: "+m[1], strings.Join(lines[:min(len(lines), saidLines)], "\n")))
	}
	for _, m := range tapTwice.FindAllStringSubmatch(text, -1) {
		r.twice = append(r.twice, m[1])
	}
	return r
}

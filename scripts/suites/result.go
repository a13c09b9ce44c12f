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
	for test, outcome := range r.outcome {
		switch {
		case outcome == "fail" && (!r.parent[test] || !r.childFailed(test)):
			failed++
		case r.parent[test]:
		case outcome == "pass":
			passed++
		case outcome == "skip":
			skipped++
		}
	}
	pkg := strings.TrimPrefix(e.Package, module)
	if e.Action == "fail" {
		failed = max(failed, 1) // it did not build, or stopped outside a test
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

var tapCount = regexp.MustCompile(`(?m)^# (pass|fail|skipped) (\d+)$`)

// readTAP reads the closing counts of node --test.
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
	return r
}

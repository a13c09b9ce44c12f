// Command suites runs the tests of the whole repository, suite by suite, and ends with
// a table of each suite's duration and a line that counts the results.
//
//	go run ./scripts/suites [-short | -full] [-race]
//
// gotestsum lacks what this command has: suites with budgets of their own, packages
// within a suite one at a time where they start servers, Node's tests beside Go's, and
// a last line that counts both.
//
// A suite is a group of packages with a time budget for two cores; the budgets total
// less than 30 minutes, even one after the other. A suite over its budget is marked and
// does not fail: the machine may be busy.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const module = "github.com/backchannel-im/backchannel/"

// suite takes the packages whose path below the module starts with one of its
// prefixes and that no earlier suite took.
type suite struct {
	name     string
	prefixes []string
	budget   time.Duration
	// parallel is how many packages run at once: one where each starts servers
	// of its own and would only slow the others down.
	parallel string
	// servers: the suite waits for servers of other makers most of the time, so it
	// runs beside the suites that do not.
	servers bool
}

var suites = []suite{
	{"state", []string{"shared/kv"}, 7 * time.Minute, "1", true},
	{"jobs", []string{"shared/queue", "shared/due", "shared/mailbox", "shared/idem", "shared/schedule"}, 4 * time.Minute, "1", true},
	{"im", []string{"shared/im"}, 3 * time.Minute, "2", false},
	{"platforms", []string{"shared/faas"}, 2 * time.Minute, "2", false},
	{"functions", []string{"functions/"}, 3 * time.Minute, "2", false},
	{"scripts", []string{"scripts/"}, 4 * time.Minute, "2", false},
	{"rules", []string{""}, 6 * time.Minute, "2", false},
}

func main() {
	short := flag.Bool("short", false, "only tests that need nothing but Go")
	full := flag.Bool("full", false, "every test on every engine, and stress tests in their full size")
	race := flag.Bool("race", false, "with the race detector")
	flag.Parse()
	if flag.NArg() > 0 || *short && *full {
		fmt.Fprintln(os.Stderr, "suites: -short and -full exclude each other, and there are no other arguments")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var flags []string
	if *short {
		flags = append(flags, "-short")
	}
	if *race {
		flags = append(flags, "-race")
	}
	if *full {
		os.Setenv("BACKCHANNEL_FULL", "1") // read by package enginetest
		flags = append(flags, "-timeout", "60m")
	}
	done, err := run(ctx, os.Stdout, flags, *short)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
	if !summarise(os.Stdout, done) {
		os.Exit(1)
	}
}

// run runs the suites that wait for servers beside those that do not, and Node's
// tests, whose browser wants the machine to itself, after both.
func run(ctx context.Context, out io.Writer, flags []string, short bool) ([]result, error) {
	packages, err := assign(ctx)
	if err != nil {
		return nil, err
	}
	shared := &lines{out: out}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]result, len(suites))
	lane := func(servers bool) error {
		for i, s := range suites {
			if s.servers != servers || len(packages[s.name]) == 0 {
				continue
			}
			r, err := runGo(ctx, shared, s, flags, packages[s.name])
			if err != nil {
				cancel()
				return err
			}
			results[i] = r
		}
		return nil
	}
	beside := make(chan error, 1)
	go func() { beside <- lane(true) }()
	if err := errors.Join(lane(false), <-beside); err != nil {
		return nil, err
	}
	if !short {
		r, err := runNode(ctx, out)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return slices.DeleteFunc(results, func(r result) bool { return r.packages == 0 }), nil
}

// lines lets several write to one output, each write whole.
type lines struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

// assign lists the packages of each suite.
func assign(ctx context.Context) (map[string][]string, error) {
	list := exec.CommandContext(ctx, "go", "list", "./...")
	list.Stderr = os.Stderr
	text, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	out := map[string][]string{}
	for pkg := range strings.FieldsSeq(string(text)) {
		name := suiteOf(strings.TrimPrefix(pkg, module))
		out[name] = append(out[name], pkg)
	}
	return out, nil
}

func suiteOf(pkg string) string {
	for _, s := range suites {
		for _, prefix := range s.prefixes {
			if strings.HasPrefix(pkg, prefix) {
				return s.name
			}
		}
	}
	panic("the last suite takes every package")
}

func runGo(ctx context.Context, out io.Writer, s suite, flags, packages []string) (result, error) {
	fmt.Fprintf(out, "== %s\n", s.name)
	args := append([]string{"test", "-json", "-count=1", "-p", s.parallel, "-timeout", "15m"}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Stderr = os.Stderr
	// An interrupt reaches the tests too; they stop the servers they started.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	r, err := read(pipe, out)
	if err != nil {
		return result{}, err
	}
	exit := cmd.Wait()
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	if exit != nil && r.failed == 0 {
		r.failed++ // go test itself failed, and said why
	}
	r.name, r.packages, r.took, r.budget = s.name, len(packages), time.Since(start), s.budget
	return r, nil
}

// nodeBudget is for the tests in scripts/node, if there are any.
const nodeBudget = 3 * time.Minute

func runNode(ctx context.Context, out io.Writer) (result, error) {
	files, err := filepath.Glob("scripts/node/*/*.test.mjs")
	if err != nil || len(files) == 0 {
		return result{}, err
	}
	fmt.Fprintln(out, "== node")
	start := time.Now()
	dir, err := os.MkdirTemp("", "suites-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	widget := exec.CommandContext(ctx, "scripts/build-widget.sh") // scripts/dev takes in the Chat SDK
	widget.Stderr = os.Stderr
	if err := widget.Run(); err != nil {
		return result{}, fmt.Errorf("scripts/build-widget.sh: %w", err)
	}
	program := filepath.Join(dir, "dev")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./scripts/dev")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return result{}, fmt.Errorf("scripts/dev does not build: %w", err)
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{"--test", "--test-reporter=tap"}, files...)...)
	cmd.Env = append(os.Environ(), "BACKCHANNEL_DEV="+program) // read by scripts/node/page/harness.mjs
	var tap bytes.Buffer
	cmd.Stdout, cmd.Stderr = &tap, os.Stderr
	exit := cmd.Run()
	if _, ran := errors.AsType[*exec.ExitError](exit); exit != nil && !ran {
		return result{}, exit
	}
	r := readTAP(tap.String())
	if exit != nil {
		out.Write(tap.Bytes())
		if r.failed == 0 {
			r.failed, r.failures = 1, []string{"node: " + exit.Error()}
		}
	}
	r.name, r.packages, r.took, r.budget = "node", len(files), time.Since(start), nodeBudget
	return r, nil
}

// summarise prints what failed, once more and shortly, then the table and the
// closing line, and tells whether all is well: something ran and nothing failed.
func summarise(out io.Writer, done []result) bool {
	var passed, failed int
	for _, r := range done {
		for _, f := range r.failures {
			fmt.Fprintf(out, "\nFAILED %s\n", f)
		}
		for _, name := range r.twice {
			fmt.Fprintf(out, "\ntried twice: %s\n", name)
		}
	}
	fmt.Fprintf(out, "\n%-10s %8s %6s %7s %8s %8s\n", "suite", "packages", "tests", "skipped", "seconds", "budget")
	for _, r := range done {
		mark := ""
		if r.failed > 0 {
			mark = "  failed"
		} else if r.took > r.budget {
			mark = "  over budget"
		}
		fmt.Fprintf(out, "%-10s %8d %6d %7d %8.1f %8.0f%s\n",
			r.name, r.packages, r.passed+r.failed, r.skipped, r.took.Seconds(), r.budget.Seconds(), mark)
		passed += r.passed
		failed += r.failed
	}
	fmt.Fprintf(out, "\n%d passed, %d failed\n", passed, failed)
	return failed == 0 && passed > 0
}

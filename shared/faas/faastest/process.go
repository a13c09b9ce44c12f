package faastest

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a process. Nothing here takes a hundredth of
// it unless it hangs.
const patience = 30 * time.Second

// Process is a function that runs. It writes its log to files, so that what it
// logged before an answer can be read once the answer is there.
type Process struct {
	cmd            *exec.Cmd
	stdout, stderr string        // paths
	exited         chan struct{} // closed once the process has ended
}

// start starts the program with env and nothing else. It ends with the test.
func start(t testing.TB, bin string, env map[string]string, args ...string) *Process {
	t.Helper()
	dir := t.TempDir()
	p := &Process{
		cmd:    exec.Command(bin, args...),
		stdout: filepath.Join(dir, "stdout"),
		stderr: filepath.Join(dir, "stderr"),
		exited: make(chan struct{}),
	}
	p.cmd.Env = []string{} // nil would mean: inherit
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	stdout, stderr := create(t, p.stdout), create(t, p.stderr)
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The process has its own.
	_ = stdout.Close()
	_ = stderr.Close()
	go func() {
		_ = p.cmd.Wait() // the status is in ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
	})
	return p
}

func create(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Stdout returns what the process has written to stdout so far.
func (p *Process) Stdout() string { return content(p.stdout) }

// Stderr returns what the process has written to stderr so far.
func (p *Process) Stderr() string { return content(p.stderr) }

func content(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		panic(err) // the test's own folder is gone: it used a process that has ended with it
	}
	return string(b)
}

// Logs returns the lines on stdout so far, decoded; lines that are not JSON
// objects are left out.
func (p *Process) Logs() []map[string]any {
	var lines []map[string]any
	for line := range strings.Lines(p.Stdout()) {
		var fields map[string]any
		if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &fields) == nil {
			lines = append(lines, fields)
		}
	}
	return lines
}

// WaitLog waits for a log line with this message and returns it. The test fails
// if the process ends without it.
func (p *Process) WaitLog(t testing.TB, msg string) map[string]any {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) { // nothing announces a line
		ended := closed(p.exited) // looked at first: what it wrote is there afterwards
		for _, line := range p.Logs() {
			if line["msg"] == msg {
				return line
			}
		}
		if ended || time.Since(begin) > patience {
			t.Fatalf("no line %q in the log\n%s", msg, p.output())
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Signal sends a signal, such as syscall.SIGTERM.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Stop sends SIGTERM and returns the exit status.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	return p.Wait(t)
}

// Wait waits until the process has ended by itself and returns the exit status,
// -1 if a signal ended it.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("the process does not end\n%s", p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Alive reports whether the process is still running.
func (p *Process) Alive() bool { return !closed(p.exited) }

func (p *Process) output() string {
	return "--- stdout\n" + p.Stdout() + "--- stderr\n" + p.Stderr()
}

// Result is a process that has ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a program to its end: one that prints something, or that is expected
// not to start. Give it a platform's variables to see it refuse to start there.
func Run(t testing.TB, bin string, env map[string]string, args ...string) Result {
	t.Helper()
	p := start(t, bin, expand(t, env), args...)
	code := p.Wait(t)
	return Result{p.Stdout(), p.Stderr(), code}
}

// FunctionError is an invocation that the function answered with an error.
type FunctionError struct {
	Type, Message string
	ShouldExit    bool // SCF: a panic reached the library
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

var errExited = errors.New("the process ended during the invocation")

package dynamotest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/childtest"
)

// patience bounds the wait for an emulator, which starts in some milliseconds.
const patience = 30 * time.Second

// Emulator is one dynoxide, an emulator of DynamoDB whose authors compare it with the
// service itself. Acknowledged writes are in its file and survive a Kill. It handles
// requests concurrently, as the service does.
type Emulator struct {
	URL string

	t     testing.TB
	args  []string
	cmd   *exec.Cmd       // nil: it does not run
	ended <-chan struct{} // closed once cmd has ended
}

// StartEmulator starts an emulator without tables. It stops when the test ends. With
// -short, which needs only Go, the test is skipped; without dynoxide it fails.
func StartEmulator(t testing.TB) *Emulator {
	t.Helper()
	if testing.Short() {
		t.Skip("DynamoDB's emulator is not part of -short")
	}
	binary, err := exec.LookPath("dynoxide")
	if err != nil {
		if binary, err = installed(); err != nil {
			t.Fatalf("%v; scripts/setup.sh modules, or where that has none for your machine: cargo install dynoxide-rs", err)
		}
	}
	addr, err := childtest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	e := &Emulator{URL: "http://" + addr, t: t}
	e.args = []string{binary, "serve", "--host", "127.0.0.1", "--port", port, "--db-path", filepath.Join(t.TempDir(), "tables")}
	t.Cleanup(e.Kill)
	e.Restart()
	return e
}

// installed returns the program that scripts/setup.sh installed.
func installed() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	arch := map[string]string{"amd64": "x64"}
	system := runtime.GOOS + "-" + cmp.Or(arch[runtime.GOARCH], runtime.GOARCH)
	path := filepath.Join(filepath.Dir(file), "../../../scripts/node/node_modules/@dynoxide", system, "dynoxide")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("dynoxide is missing: %w", err)
	}
	return path, nil
}

// Kill kills the emulator at once (SIGKILL). A second Kill is a no-op.
func (e *Emulator) Kill() {
	if e.cmd == nil {
		return
	}
	_ = e.cmd.Process.Kill() // it may have ended by itself
	<-e.ended
	e.cmd = nil
}

// Restart starts a killed emulator again, on its address and its tables, and returns
// when it serves.
func (e *Emulator) Restart() {
	e.t.Helper()
	if e.cmd != nil {
		e.t.Fatal("the emulator still runs; Kill it first")
	}
	cmd := exec.Command(e.args[0], e.args[1:]...)
	ended, err := childtest.Start(cmd)
	if err != nil {
		e.t.Fatal(err)
	}
	e.cmd, e.ended = cmd, ended
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL, nil)
		if err != nil {
			e.t.Fatal(err)
		}
		if res, err := http.DefaultClient.Do(r); err == nil {
			_ = res.Body.Close()
			return
		}
		if ctx.Err() != nil {
			e.t.Fatal("DynamoDB's emulator is not ready in time")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

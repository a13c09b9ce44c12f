package faastest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

var built sync.Map // of package path -> func() (string, error)

// Build builds a main package (an import path, or one relative to the test's folder
// such as ".") with the flags of a release, once per test binary, and returns the path
// of the program. The program stays in the user's cache folder, so that the next build
// of the same sources is fast.
func Build(t testing.TB, pkgPath string) (bin string) {
	t.Helper()
	once, _ := built.LoadOrStore(pkgPath, sync.OnceValues(func() (string, error) { return build(pkgPath) }))
	bin, err := once.(func() (string, error))()
	if err != nil {
		t.Fatalf("building %s: %v", pkgPath, err)
	}
	return bin
}

func build(pkgPath string) (string, error) {
	place, err := placeFor(pkgPath)
	if err != nil {
		return "", err
	}
	// Packages are tested side by side and may want the same program.
	lock, err := os.OpenFile(place+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w", "-o", place, pkgPath)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &buildError{err, string(out)}
	}
	return place, nil
}

// placeFor names the program's file after its folder in this checkout.
func placeFor(pkgPath string) (string, error) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkgPath).Output()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home, as in some build containers
	}
	folder := strings.TrimSpace(string(dir))
	sum := sha256.Sum256([]byte(folder))
	place := filepath.Join(cache, "backchannel", "faastest", hex.EncodeToString(sum[:8]))
	return filepath.Join(place, filepath.Base(folder)), os.MkdirAll(place, 0o700)
}

type buildError struct {
	err    error
	output string
}

func (e *buildError) Error() string { return e.err.Error() + "\n" + e.output }
func (e *buildError) Unwrap() error { return e.err }

package faastest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"time"
)

// StartToPoll starts a Lambda function once and returns the time from before the start
// of its process to its first poll of the Runtime API, the time that a caller waits in
// a cold start.
func StartToPoll(bin string, env map[string]string) (time.Duration, error) {
	return coldStart(bin, env, func(int) {})
}

// PeakRSS starts a Lambda function once and returns the most memory it held
// before its first poll of the Runtime API, in bytes. It needs Linux.
func PeakRSS(bin string, env map[string]string) (peak int64, err error) {
	_, startErr := coldStart(bin, env, func(pid int) { peak, err = peakRSS(pid) })
	return peak, errors.Join(startErr, err)
}

// coldStart looks at the process at its first poll, then ends it.
func coldStart(bin string, env map[string]string, look func(pid int)) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	polled := make(chan time.Time, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case polled <- time.Now():
		default:
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	defer server.CloseClientConnections()

	cmd := exec.CommandContext(ctx, bin)
	cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(server.URL, "http://")}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	select {
	case at := <-polled:
		look(cmd.Process.Pid)
		_ = cmd.Process.Kill()
		<-exited
		return at.Sub(begin), nil
	case err := <-exited:
		return 0, fmt.Errorf("the function did not start: %w\n%s", errors.Join(err, ctx.Err()), stderr.Bytes())
	}
}

// peakRSS reads the high-water mark of a process's resident memory.
func peakRSS(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("the kernel does not tell VmHWM")
}

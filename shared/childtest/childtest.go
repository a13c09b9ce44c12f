// Package childtest runs servers of other makers as child processes of tests.
package childtest

import (
	"net"
	"os/exec"
	"runtime"
)

// Start starts a command, and returns a channel that is closed when the command has
// ended. On Linux the command is killed when the test program dies, however that dies.
func Start(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	dieWithParent(cmd)
	started, done := make(chan error), make(chan struct{})
	go func() {
		// On Linux a child dies with the thread that started it: keep the thread.
		runtime.LockOSThread()
		started <- cmd.Start()
		_ = cmd.Wait()
		close(done)
	}()
	return done, <-started
}

// FreeAddr returns an address of the loopback that is free at the moment.
func FreeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

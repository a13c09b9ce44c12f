// Package redistest runs real redis-servers for tests, on loopback.
//
//	server := redistest.Start(t)
//	... use server.Addr ...
//	server.Kill()    // as kill -9 does
//	server.Restart() // on the same address and data
//
// A server has every acknowledged write on its disk (appendfsync always), so what
// is lost over a Kill and a Restart was never acknowledged. It ends with the test.
// Without redis-server in the PATH the test fails.
package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait for a server. Nothing here takes a hundredth of it
// unless it hangs.
const patience = 30 * time.Second

// Server is one redis-server.
type Server struct {
	Addr string // 127.0.0.1:port
	CA   string // file with the CA's certificate, if it was started with [TLS]

	t       testing.TB
	args    []string
	cmd     *exec.Cmd
	exited  chan struct{} // closed once cmd has ended
	running bool
}

// Option changes how a server is started.
type Option func(*Server)

// Config sets a directive of redis.conf.
func Config(directive string, values ...string) Option {
	return func(s *Server) { s.args = append(append(s.args, "--"+directive), values...) }
}

// Start starts a server that is empty. With -short, which needs Go alone, the
// test is skipped.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("redis-server is not part of -short")
	}
	for _, binary := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(binary); err != nil {
			t.Fatalf("%s is missing; apt-get install redis-server", binary)
		}
	}
	dir := t.TempDir()
	for try := 1; ; try++ {
		s := &Server{Addr: freeAddr(t), t: t}
		s.args = []string{
			"--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always",
		}
		for _, o := range options {
			o(s)
		}
		if s.CA == "" {
			s.args = append(s.args, "--port", s.port())
		} else {
			s.args = append(s.args, "--port", "0", "--tls-port", s.port())
		}
		err := s.start()
		if err == nil {
			t.Cleanup(s.Kill)
			return s
		}
		if try == 3 || !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
	}
}

// Kill ends the server in the middle of whatever it does (SIGKILL). Killing it
// again does nothing.
func (s *Server) Kill() {
	if !s.running {
		return
	}
	s.running = false
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.exited
}

// Restart starts a killed server again and returns when it serves.
func (s *Server) Restart() {
	s.t.Helper()
	if s.running {
		s.t.Fatal("the server still runs; Kill it first")
	}
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// Command runs a command on the server, as redis-cli does, and returns what
// that prints. An error of the server fails the test.
func (s *Server) Command(args ...string) string {
	s.t.Helper()
	all := []string{"-h", "127.0.0.1", "-p", s.port(), "-e"}
	if s.CA != "" {
		all = append(all, "--tls", "--cacert", s.CA)
	}
	out, err := exec.Command("redis-cli", append(all, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("redis-cli %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

// Load is the work of a server.
type Load struct {
	In, Out int64         // bytes that it read and wrote
	CPU     time.Duration // of its processor
}

// Less returns the difference to an earlier Load.
func (l Load) Less(then Load) Load { return Load{l.In - then.In, l.Out - then.Out, l.CPU - then.CPU} }

// Load returns the work of the server since its start.
func (s *Server) Load() (l Load) {
	s.t.Helper()
	for _, section := range []string{"stats", "cpu"} {
		for line := range strings.Lines(s.Command("INFO", section)) {
			name, text, _ := strings.Cut(strings.TrimSpace(line), ":")
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				continue
			}
			switch name {
			case "total_net_input_bytes":
				l.In = int64(n)
			case "total_net_output_bytes":
				l.Out = int64(n)
			case "used_cpu_user", "used_cpu_sys":
				l.CPU += time.Duration(n * float64(time.Second))
			}
		}
	}
	return l
}

func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// start runs the server and waits until it says that it is ready, which is when
// it has loaded its data.
func (s *Server) start() error {
	cmd := exec.Command("redis-server", s.args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	ready, exited := make(chan error, 1), make(chan struct{})
	go func() {
		ready <- awaitReady(out)
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // killed, or told so already
		close(exited)
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case err = <-ready:
	case <-timeout.C:
		err = errors.New("redis-server is not ready in time")
	}
	if err != nil {
		_ = cmd.Process.Kill()
		<-exited
		return err
	}
	s.cmd, s.exited, s.running = cmd, exited, true
	return nil
}

func awaitReady(out io.Reader) error {
	var said []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return nil
		}
		said = append(said, lines.Text())
	}
	said = said[max(0, len(said)-5):]
	return fmt.Errorf("redis-server ended at start:\n%s", strings.Join(said, "\n"))
}

// freeAddr returns an address that was free, with room for a cluster's bus 10000
// ports above.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().(*net.TCPAddr)
		_ = l.Close()
		if addr.Port >= 55000 {
			continue
		}
		if bus, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(addr.Port+10000)); err == nil {
			_ = bus.Close()
			return addr.String()
		}
	}
	t.Fatal("no free port below 55000 of 127.0.0.1")
	return ""
}

// slots is how many hash slots a cluster divides among its nodes.
const slots = 16384

// Cluster starts a cluster of primaries, which share the slots evenly, and returns
// when all of them serve.
func Cluster(t testing.TB, nodes int, options ...Option) []*Server {
	t.Helper()
	options = append(slices.Clone(options), Config("cluster-enabled", "yes"), Config("cluster-node-timeout", "5000"))
	servers := make([]*Server, nodes)
	for i := range servers {
		servers[i] = Start(t, options...)
		first, last := i*slots/nodes, (i+1)*slots/nodes-1
		add := []string{"CLUSTER", "ADDSLOTS"}
		for slot := first; slot <= last; slot++ {
			add = append(add, strconv.Itoa(slot))
		}
		servers[i].Command(add...)
		// Nodes that start with the same epoch take seconds to settle whose is
		// the greater.
		servers[i].Command("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		if i > 0 {
			servers[i].Command("CLUSTER", "MEET", "127.0.0.1", servers[0].port())
		}
	}
	whole := "cluster_known_nodes:" + strconv.Itoa(nodes)
	deadline := time.Now().Add(patience)
	for _, s := range servers {
		for {
			info := s.Command("CLUSTER", "INFO")
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, whole) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the cluster does not form:\n%s", info)
			}
			time.Sleep(20 * time.Millisecond) // nodes tell each other in their own time
		}
	}
	return servers
}

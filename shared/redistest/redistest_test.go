package redistest_test

import (
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/redistest"
)

func TestKillAndRestart(t *testing.T) {
	s := redistest.Start(t)
	if got := s.Command("SET", "k", "v"); got != "OK" {
		t.Fatalf("SET: %q", got)
	}
	if got := s.Command("CONFIG", "GET", "appendfsync"); !strings.HasSuffix(got, "always") {
		t.Fatalf("appendfsync: %q", got)
	}
	addr := s.Addr
	s.Kill()
	s.Kill()
	s.Restart()
	if got := s.Command("GET", "k"); got != "v" || s.Addr != addr {
		t.Fatalf("after the restart at %s (was %s): %q", s.Addr, addr, got)
	}
}

func TestTLS(t *testing.T) {
	s := redistest.Start(t, redistest.TLS(t))
	if got := s.Command("PING"); got != "PONG" {
		t.Fatalf("PING: %q", got)
	}
}

func TestCluster(t *testing.T) {
	servers := redistest.Cluster(t, 3)
	if got := servers[0].Command("-c", "SET", "somewhere", "v"); got != "OK" {
		t.Fatalf("SET: %q", got)
	}
	if got := servers[2].Command("-c", "GET", "somewhere"); got != "v" {
		t.Fatalf("GET: %q", got)
	}
}

package rediskv

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// TestFailoverWithinAScript: after a failover a connection still leads to the old
// primary, which refuses writes. Redis 6 says so in the words of a script's error;
// the store reconnects, so that the address leads to the new primary.
func TestFailoverWithinAScript(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var connections atomic.Int32
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go speak(c, connections.Add(1) == 1)
		}
	}()
	s := openFor(t, "redis://"+listener.Addr().String(), Options{})
	if _, err := s.Get(t.Context(), "p", "k"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("%v, want %v from the new primary", err, kv.ErrNotFound)
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections, want 2: the first one is given up at once", n)
	}
}

// speak is a server that knows INFO and is empty. The old primary refuses
// everything else.
func speak(c net.Conn, old bool) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		switch {
		case strings.EqualFold(command, "info"):
			info := "redis_version:6.2.0\r\nrole:master\r\n"
			fmt.Fprintf(c, "$%d\r\n%s\r\n", len(info), info)
		case old:
			fmt.Fprint(c, "-ERR Error running script (call to f_abc): @user_script:7: @user_script: 7: -READONLY You can't write against a read only replica.\r\n")
		default:
			fmt.Fprint(c, "*0\r\n")
		}
	}
}

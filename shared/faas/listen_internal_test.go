package faas

import (
	"errors"
	"net"
	"testing"
	"time"
)

// No step of stopping may take for ever.
func TestStepsOfStoppingAreBounded(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	if err := within(time.Millisecond, func() error { <-never; return nil }); err == nil {
		t.Error("waited for what does not end")
	}
	closing := errors.New("the store cannot be closed")
	if err := within(time.Minute, func() error { return closing }); !errors.Is(err, closing) {
		t.Errorf("got %v", err)
	}
	if sum := requestsToFinish + workToFinish + toClose; sum >= 30*time.Second {
		t.Errorf("stopping may take %v, a supervisor kills after 30s", sum)
	}
}

// TestConnectionsAreLimited: one more waits until another has gone, and closing
// the listener ends the wait.
func TestConnectionsAreLimited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := limit(l, 1)
	accepted := make(chan net.Conn)
	failed := make(chan error, 1)
	go func() {
		for {
			conn, err := limited.Accept()
			if err != nil {
				failed <- err
				return
			}
			accepted <- conn
		}
	}()
	for range 2 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first := <-accepted
	select {
	case <-accepted:
		t.Fatal("two connections at once, 1 allowed")
	default:
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_ = first.Close() // a second Close frees no second place
	second := <-accepted
	if err := limited.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	_ = second.Close()
}

// TestNobodyHoldsAConnectionForEver: reading, answering and idling each end.
func TestNobodyHoldsAConnectionForEver(t *testing.T) {
	s := newServer(nil)
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("%+v", s)
	}
}

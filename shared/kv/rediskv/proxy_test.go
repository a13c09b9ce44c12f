package rediskv

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between a store and its server and breaks connections. Only
// scripts are worth breaking; it knows them by their command.
type proxy struct {
	addr   string
	server string

	mu    sync.Mutex
	fault fault
	left  int // how many scripts it will befall
	conns map[net.Conn]bool
}

// fault is what befalls a script on its way.
type fault int

const (
	loseAnswer    fault = iota // the server did it and its answer is swallowed
	dropAfter                  // the whole script is sent and nobody waits for the answer
	cutInTheMidst              // half of the script is sent
)

func startProxy(t testing.TB, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), server: server, conns: map[net.Conn]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		serving.Wait()
	})
	return p
}

// befall lets a fault befall the next n scripts, and returns how many of those
// before it befell none.
func (p *proxy) befall(f fault, n int) (left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left = p.left
	p.fault, p.left = f, n
	return left
}

// next takes one of the faults.
func (p *proxy) next() (fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return 0, false
	}
	p.left--
	return p.fault, true
}

func (p *proxy) track(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *proxy) untrack(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *proxy) serve(client net.Conn) {
	p.track(client)
	defer p.untrack(client)
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	p.track(server)
	defer p.untrack(server)

	var (
		mu      sync.Mutex
		swallow bool // the next answer
		done    sync.WaitGroup
	)
	done.Go(func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			mu.Lock()
			lost := swallow
			mu.Unlock()
			if err != nil || lost {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		sent := buf[:n]
		if bytes.Contains(sent, []byte("evalsha")) {
			if f, ok := p.next(); ok {
				switch f {
				case loseAnswer:
					mu.Lock()
					swallow = true
					mu.Unlock()
				case dropAfter:
					_ = client.Close()
				case cutInTheMidst:
					sent = sent[:n/2]
					_ = client.Close()
				}
			}
		}
		if _, err := server.Write(sent); err != nil {
			break
		}
	}
	// A server reads what was sent before the end, and does it.
	_ = server.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, client)
	done.Wait()
}

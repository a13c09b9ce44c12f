package sdkgate_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
)

// Ten thousand handshakes that are refused leave nothing behind: no socket, no
// goroutine, no memory worth speaking of; the gate then takes a page as before.
func TestRefusedHandshakesLeaveNothing(t *testing.T) {
	const handshakes = 10_000
	w := newWorld(t, sdkgate.Options{Sockets: 1})
	alice := w.login("alice") // the one socket there may be
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, MaxConnsPerHost: 1}}
	t.Cleanup(client.CloseIdleConnections)
	refused := []struct {
		query, origin, upgrade string
		status                 int
	}{
		{"sdkappid=1400000000", "", "websocket", http.StatusServiceUnavailable},
		{"sdkappid=1400000000", "https://evil.example", "websocket", http.StatusForbidden},
		{"sdkappid=7", "", "websocket", http.StatusNotFound},
		{"sdkappid=" + strings.Repeat("9", 2000), "", "websocket", http.StatusNotFound},
		{"", "", "", http.StatusNotFound},
	}
	try := func(n int) {
		for i := range n {
			c := refused[i%len(refused)]
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.web.URL+"/ws/binfo?"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.upgrade != "" {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", c.upgrade)
				r.Header.Set("Sec-WebSocket-Version", "13")
				r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Fatalf("%q from %q: status %d, want %d", c.query, c.origin, resp.StatusCode, c.status)
			}
		}
	}
	try(100) // what a process needs once
	before, goroutines := memory(), runtime.NumGoroutine()
	try(handshakes)
	if grown := int64(memory()) - int64(before); grown > handshakes*100 {
		t.Errorf("%d handshakes left %d bytes", handshakes, grown)
	}
	waitFor(t, "the goroutines' end", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	alice.must("heartbeat.alive", nil)
	_ = alice.conn.CloseNow()
	waitFor(t, "a free place", func() bool {
		conn, _, err := websocket.Dial(t.Context(), strings.Replace(w.web.URL, "http", "ws", 1)+"/ws?sdkappid=1400000000", nil)
		if err == nil {
			_ = conn.CloseNow()
		}
		return err == nil
	})
}

// A page that sends without end and reads nothing is held up, and others are served.
func TestAPageThatReadsNothingHoldsUpItselfAlone(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	greedy, bob := w.login("alice"), w.login("bob")
	before := memory()
	go func() {
		for i := range 20_000 {
			raw := fmt.Sprintf(`{"head":{"servcmd":"recentcontact.page_get","seq":%d,"a2":%q,"tinyid":%q},"body":{"x":%q}}`, i, greedy.a2, greedy.tinyID, strings.Repeat("x", 1000))
			if greedy.conn.Write(t.Context(), websocket.MessageBinary, []byte(raw)) != nil {
				return
			}
		}
	}()
	for range 50 {
		bob.must("heartbeat.alive", nil)
	}
	if grown := int64(memory()) - int64(before); grown > 32<<20 {
		t.Errorf("a page that reads nothing takes %d MiB", grown>>20)
	}
	_ = greedy.conn.CloseNow()
}

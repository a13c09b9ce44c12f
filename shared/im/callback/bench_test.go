package callback

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// messages are group messages as large as usual, and as large as IM takes.
func messages(b *testing.B) map[string][]byte {
	of := func(size int) []byte {
		body := func(text string) []byte {
			return []byte(`{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"@TGS#2J4SZEAEL","Type":"AVChatRoom","From_Account":"jared",` +
				`"Operator_Account":"jared","Random":2804799576,"MsgId":"144115233406643804-1727580296-4026038328","OnlineOnlyFlag":0,"MsgPriority":"Normal",` +
				`"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"` + text + `"}}],"EventTime":1670574414123}`)
		}
		text := strings.Repeat("a red packet for you ", size)
		return body(text[:max(0, size-len(body("")))])
	}
	if !json.Valid(of(410)) || len(of(12<<10)) != 12<<10 {
		b.Fatal("the messages are not what they should be")
	}
	return map[string][]byte{"410B": of(410), "12KB": of(12 << 10)}
}

func BenchmarkDecode(b *testing.B) {
	for size, body := range messages(b) {
		b.Run(size, func(b *testing.B) {
			b.ReportAllocs()
			var ours, peer time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := Decode(beforeSend, body); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(start)
				start = time.Now()
				if err := json.Unmarshal(body, new(GroupBeforeSendMsg)); err != nil {
					b.Fatal(err)
				}
				peer += time.Since(start)
			}
			b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "decode-ns")
			b.ReportMetric(peer.Seconds()/ours.Seconds(), "x-encoding/json")
		})
	}
}

// A whole callback over loopback, in turn with a handler that reads the body
// and answers a constant. null-share is the part of the null handler's rate
// that is reached.
func BenchmarkCallback(b *testing.B) {
	clock := newClock()
	rules := NewMux()
	Before(rules, "allow", FailOpen, func(_ ctx, e *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v, nil })
	ep, err := NewEndpoint(Config{SDKAppID: app, Token: token, Mux: rules, Now: clock.now, Log: silent})
	if err != nil {
		b.Fatal(err)
	}
	null := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write(okAnswer)
	})
	for size, body := range messages(b) {
		b.Run(size, func(b *testing.B) {
			req, err := (Signer{SDKAppID: app, Token: token, Now: clock.now}).Request(context.Background(), "http://im/im", "", body)
			if err != nil {
				b.Fatal(err)
			}
			ours, peer := dial(b, ep, req, body), dial(b, null, req, body)
			var oursTook, peerTook time.Duration
			for b.Loop() {
				oursTook += ours.exchange(b)
				peerTook += peer.exchange(b)
			}
			b.ReportMetric(float64(oursTook.Nanoseconds())/float64(b.N)/callers, "callback-ns")
			b.ReportMetric(float64(peerTook.Nanoseconds())/float64(b.N)/callers, "null-ns")
			b.ReportMetric(peerTook.Seconds()/oursTook.Seconds(), "null-share")
		})
	}
}

// lines are connections that say the same again and again, all at once, so that
// the client costs next to nothing.
type lines struct {
	conns           []net.Conn
	request, answer []byte
}

const callers = 8

func dial(b *testing.B, h http.Handler, r *http.Request, body []byte) *lines {
	b.Helper()
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	head := "POST " + r.URL.RequestURI() + " HTTP/1.1\r\nHost: im\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	l := &lines{request: append([]byte(head), body...)}
	for range callers {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		l.conns = append(l.conns, conn)
	}
	// The first answer, which comes in one segment, tells how long they are.
	if _, err := l.conns[0].Write(l.request); err != nil {
		b.Fatal(err)
	}
	first := make([]byte, 1<<10)
	n, err := l.conns[0].Read(first)
	if err != nil || !bytes.HasSuffix(first[:n], okAnswer) {
		b.Fatalf("answered %q, %v", first[:n], err)
	}
	l.answer = first[:n]
	return l
}

// exchange sends one callback on each connection and waits for all answers.
func (l *lines) exchange(b *testing.B) time.Duration {
	start := time.Now()
	for _, c := range l.conns {
		if _, err := c.Write(l.request); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range l.conns {
		if _, err := io.ReadFull(c, l.answer); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

// BenchmarkUnauthenticated is the memory of 2,000 connections whose requests
// announce 1 MiB, send a byte and are not signed.
//
//	go test -run '^$' -bench Unauthenticated -benchtime 1x ./shared/im/callback
func BenchmarkUnauthenticated(b *testing.B) {
	const connections = 2000
	ep, err := NewEndpoint(Config{SDKAppID: app, Token: token, Mux: NewMux(), Log: silent})
	if err != nil {
		b.Fatal(err)
	}
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	for b.Loop() {
		var entered sync.WaitGroup
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer entered.Done()
			ep.ServeHTTP(w, r)
		}))
		idle := used()
		var conns []net.Conn
		for range connections {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, conn)
			entered.Add(1)
			_, err = io.WriteString(conn, "POST /im?SdkAppid=1400000001&CallbackCommand="+beforeSend+"&Sign=0&RequestTime=1 HTTP/1.1\r\nHost: im\r\nContent-Length: 1048576\r\n\r\n{")
			if err != nil {
				b.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second) // until every request has come as far as it gets
		b.ReportMetric(float64(used()-idle)/(1<<20), "MiB")
		for _, conn := range conns {
			_ = conn.Close()
		}
		entered.Wait()
		server.Close()
	}
	b.ReportMetric(0, "ns/op")
}

package im_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// plenty is a client that no allowance slows down: its clock runs fast.
func plenty(b *testing.B, domain string, transport http.RoundTripper) *im.Client {
	b.Helper()
	began := time.Now()
	var ticks atomic.Int64
	c, err := im.NewClient(im.Config{
		Domain: domain, SDKAppID: appID, Key: key, Admin: admin, Transport: transport,
		Now: func() time.Time { return began.Add(time.Duration(ticks.Add(1)) * 10 * time.Millisecond) },
	})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// What a call costs beside IM's own time: over loopback, and without a network.
func BenchmarkCall(b *testing.B) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","MsgTime":1,"MsgSeq":1}`))
	}))
	defer web.Close()
	for _, c := range []struct {
		name   string
		client *im.Client
	}{
		{"loopback", plenty(b, web.URL, nil)},
		{"no network", plenty(b, "im.invalid", quickly{})},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.client.SendGroupMsg(b.Context(), shout); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
		b.Run(c.name+" at once", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := c.client.SendGroupMsg(b.Context(), shout); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// quickly answers without a network.
type quickly struct{}

func (quickly) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(fine))}, nil
}

// How much of an allowance of 200 calls a second is used under load by the wall
// clock, and the most within any second.
func BenchmarkAllowance(b *testing.B) {
	const lasts = 3 * time.Second
	for _, processes := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d processes", processes), func(b *testing.B) {
			used, most := 0.0, 0
			for b.Loop() {
				m := &meter{}
				end, cancel := context.WithTimeout(b.Context(), lasts)
				var wg sync.WaitGroup
				for range processes {
					c := m.client(b, 1/float64(processes))
					for range 20 {
						wg.Go(func() {
							for kickAlice(end, c) == nil {
							}
						})
					}
				}
				wg.Wait()
				cancel()
				used = 100 * float64(m.total()) / (200 * lasts.Seconds())
				most = max(most, m.most(time.Second))
			}
			b.ReportMetric(used, "%used")
			b.ReportMetric(float64(most), "most/s")
		})
	}
}

package usersig_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"
)

// BenchmarkSign runs ours and the library's in turn and reports how many times
// faster ours is, on one core and on all.
//
//	go test -run '^$' -bench Sign ./shared/im/usersig
func BenchmarkSign(b *testing.B) {
	s := newSigner(b, time.Time{})
	ours := func() error { _, err := s.Sign("alice", 24*time.Hour); return err }
	library := func() error { _, err := tencentyun.GenUserSig(appID, key, "alice", 86400); return err }
	b.Run("one core", func(b *testing.B) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		compare(b, func(f func() error, n int) time.Duration {
			start := time.Now()
			for range n {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			return time.Since(start)
		}, ours, library)
	})
	b.Run("all cores", func(b *testing.B) {
		compare(b, func(f func() error, n int) time.Duration {
			start := time.Now()
			done := make(chan error)
			workers := runtime.GOMAXPROCS(0)
			for range workers {
				go func() {
					var err error
					for i := 0; i < n/workers && err == nil; i++ {
						err = f()
					}
					done <- err
				}()
			}
			for range workers {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			return time.Since(start)
		}, ours, library)
	})
	b.Run("allocations", func(b *testing.B) {
		b.ReportAllocs()
		for range 100 { // what is pooled is there
			if err := ours(); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if err := ours(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// compare runs two functions in turn, two thousand calls at a time.
func compare(b *testing.B, run func(f func() error, n int) time.Duration, ours, peer func() error) {
	const batch = 2000
	var a, z time.Duration
	n := 0
	// The library's garbage is its own cost: collect it before ours runs.
	clean := func(f func() error) time.Duration {
		runtime.GC()
		run(ours, batch/10)
		return run(f, batch)
	}
	for b.Loop() {
		a += clean(ours)
		z += clean(peer)
		n += batch
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(a.Nanoseconds())/float64(n)/1000, "µs/ours")
	b.ReportMetric(float64(z.Nanoseconds())/float64(n)/1000, "µs/library")
	b.ReportMetric(float64(z)/float64(a), "times-faster")
}

// TestSignAllocates at most the text it returns.
func TestSignAllocates(t *testing.T) {
	s := newSigner(t, time.Time{})
	if n := testing.AllocsPerRun(200, func() { _, _ = s.Sign("alice", time.Hour) }); n > 1 {
		t.Errorf("%v allocations a signature, want 1", n)
	}
}

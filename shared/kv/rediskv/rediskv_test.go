package rediskv

import (
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// openFor opens a store for one test.
func openFor(t testing.TB, url string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestContract includes a restart of the server after kill -9.
func TestContract(t *testing.T) {
	server := redistest.Start(t)
	p := startProxy(t, server.Addr)
	url := "redis://" + p.addr + "/3"
	kvtest.Run(t, kvtest.Harness{
		Open: func(t *testing.T, now func() time.Time) kv.Store {
			return openFor(t, url, Options{Now: now})
		},
		Reopen: func(t *testing.T, s kv.Store, now func() time.Time) kv.Store {
			server.Kill()
			server.Restart()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openFor(t, url, Options{Now: now})
		},
		LoseAnswers: func(t *testing.T, _ kv.Store, n int) {
			if left := p.befall(loseAnswer, n); left > 0 {
				t.Errorf("%d answers were not lost", left)
			}
		},
	})
}

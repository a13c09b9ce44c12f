package boltkv

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

// openFor opens the file for one test.
func openFor(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
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

func TestContract(t *testing.T) {
	var path string
	kvtest.Run(t, kvtest.Harness{
		Open: func(t *testing.T, now func() time.Time) kv.Store {
			path = filepath.Join(t.TempDir(), "state")
			return openFor(t, path, Options{Now: now})
		},
		Reopen: func(t *testing.T, s kv.Store, now func() time.Time) kv.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openFor(t, path, Options{Now: now})
		},
		NoLoseAnswers: "there is no wire to lose them on",
		Work:          12000,
	})
}

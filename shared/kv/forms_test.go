package kv_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

func openBolt(t *testing.T, now func() time.Time) kv.Store {
	t.Helper()
	s, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestFormed: records of a later form read as they were written.
func TestFormed(t *testing.T) {
	s := kv.Formed(openBolt(t, nil), kv.Forms{"": 2, "rooms/": 3})
	for partition, form := range map[string]int{"users/a": 2, "rooms/a": 3} {
		for key, value := range map[string][]byte{"json": []byte("{}"), "empty": {}, "marked": {0xff, 9, 9}} {
			op := kv.NewOp("test")
			put := kv.Put{Key: key, Value: value, If: kv.Absent()}
			for range 2 { // a repeat is recognised
				if err := s.Commit(t.Context(), partition, op, put); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(put.Value, value) {
				t.Error("the caller's value was changed")
			}
			if i, err := s.Get(t.Context(), partition, key); err != nil || !bytes.Equal(i.Value, value) || i.Form != form || i.Rev != op {
				t.Errorf("%s: %+v, %v", key, i, err)
			}
		}
		if err := s.Commit(t.Context(), partition, "add", kv.Add{Key: "counted", Deltas: []kv.Delta{{Counter: "n", By: 7}}, If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
		page, err := s.List(t.Context(), partition, kv.Range{})
		if err != nil || len(page.Items) != 4 || page.Items[0].Counters["n"] != 7 || page.Items[0].Value != nil {
			t.Errorf("%+v, %v", page, err)
		}
	}
}

// TestNewerForm: an older release refuses what a newer one wrote, says so without a
// user's name, and neither changes nor loses it; what the newer one left alone it
// still reads; and the newer one reads what the older one wrote.
func TestNewerForm(t *testing.T) {
	below := openBolt(t, nil)
	older, newer := kv.Formed(below, nil), kv.Formed(below, kv.Forms{"wallet/": 2})
	write := func(s kv.Store, partition, key, value string) {
		t.Helper()
		if err := s.Commit(t.Context(), partition, kv.NewOp("test"), kv.Put{Key: key, Value: []byte(value), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	write(older, "wallet/alice", "old", "{}")
	write(newer, "wallet/alice", "new", `{"more":1}`)
	write(newer, "team/1", "team", "{}")
	if i, err := newer.Get(t.Context(), "wallet/alice", "old"); err != nil || i.Form != 1 || string(i.Value) != "{}" {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := older.Get(t.Context(), "team/1", "team"); err != nil {
		t.Error(err)
	}
	if _, err := older.Get(t.Context(), "wallet/alice", "old"); err != nil {
		t.Error(err)
	}
	for name, read := range map[string]func() error{
		"get":  func() error { _, err := older.Get(t.Context(), "wallet/alice", "new"); return err },
		"list": func() error { _, err := older.List(t.Context(), "wallet/alice", kv.Range{}); return err },
	} {
		if err := read(); !errors.Is(err, kv.ErrNewer) || strings.Contains(err.Error(), "alice") || !strings.Contains(err.Error(), "form 2 of wallet") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i, err := newer.Get(t.Context(), "wallet/alice", "new"); err != nil || i.Form != 2 || string(i.Value) != `{"more":1}` {
		t.Errorf("%+v, %v", i, err)
	}
}

// TestFormOneCostsNothing: a record of form 1 is stored as it is.
func TestFormOneCostsNothing(t *testing.T) {
	below := openBolt(t, nil)
	if err := kv.Formed(below, kv.Forms{"other/": 4}).Commit(t.Context(), "p", "op", kv.Put{Key: "k", Value: []byte("{}"), If: kv.Absent()}); err != nil {
		t.Fatal(err)
	}
	if i, err := below.Get(t.Context(), "p", "k"); err != nil || string(i.Value) != "{}" {
		t.Errorf("%+v, %v", i, err)
	}
}

// TestFormedContract: behind Formed an engine passes the suite of all engines.
func TestFormedContract(t *testing.T) {
	kvtest.Run(t, kvtest.Harness{
		Open:     func(t *testing.T, now func() time.Time) kv.Store { return kv.Formed(openBolt(t, now), kv.Forms{}) },
		NoReopen: "the engine's own test does", NoLoseAnswers: "the engine's own test does", Work: 300,
	})
}

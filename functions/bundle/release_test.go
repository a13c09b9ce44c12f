package main_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// kept are the stores that releases left behind, one of each: testdata/releases.
const kept = "testdata/releases"

// TestEarlierReleases: what earlier releases have stored, this one reads. Each file is
// the state of a bundle after keepRelease; add one with every release:
//
//	BACKCHANNEL_KEEP_RELEASE=0.2.0 go test -run TestEarlierReleases ./functions/bundle
func TestEarlierReleases(t *testing.T) {
	bin := faastest.Build(t, ".")
	if name := os.Getenv("BACKCHANNEL_KEEP_RELEASE"); name != "" {
		keepRelease(t, bin, filepath.Join(kept, name+".db.gz"))
	}
	files, err := filepath.Glob(filepath.Join(kept, "*.db.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: no release is kept in %s", err, kept)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state.db")
			unpack(t, file, state)
			l := faastest.StartLocal(t, bin, kit.Settings(map[string]string{"STATE_URL": "bolt:" + state, "QUEUE_URL": "bolt:{dir}/jobs.db"}))
			if a := answer(t, l, kit.Get("/wallets/alice", kit.Key)); a.Status != http.StatusOK || a.JSON["balance"] != 700.0 {
				t.Errorf("wallet: %d %s", a.Status, a.Text)
			}
			if a := answer(t, l, kit.Get("/wallets/alice/statement", kit.Key)); a.Status != http.StatusOK || strings.Count(a.Text, `"amount":`) != 2 {
				t.Errorf("statement: %d %s", a.Status, a.Text)
			}
			if a := answer(t, l, kit.Get("/gifts", kit.Key)); a.Status != http.StatusOK || !strings.Contains(a.Text, `"rose"`) {
				t.Errorf("gifts: %d %s", a.Status, a.Text)
			}
			if a := answer(t, l, kit.Get("/users/alice/records", kit.Key)); a.Status != http.StatusOK || !strings.Contains(a.Text, "wallet/account") {
				t.Errorf("records: %d %s", a.Status, a.Text)
			}
			// And it goes on from there.
			if a := answer(t, l, topup("after", 5)); a.Status != http.StatusOK && a.Status != http.StatusCreated {
				t.Errorf("topup: %d %s", a.Status, a.Text)
			}
			if a := answer(t, l, kit.Get("/wallets/alice", kit.Key)); a.JSON["balance"] != 705.0 {
				t.Errorf("wallet after the upgrade: %d %s", a.Status, a.Text)
			}
		})
	}
}

// TestNewerRelease: after a rollback the program meets a wallet that the newer release
// stored in a form of its own. It says so, and leaves it alone; other wallets work.
func TestNewerRelease(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.db")
	files, err := filepath.Glob(filepath.Join(kept, "*.db.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	unpack(t, files[0], state)
	const partition, key = "wallet/alice", "wallet/account"
	// open reads the account as the newer release does.
	open := func() (kv.Store, kv.Item) {
		t.Helper()
		below, err := boltkv.Open(state, boltkv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		newer := kv.Formed(below, kv.Forms{"wallet/": 2})
		account, err := newer.Get(t.Context(), partition, key)
		if err != nil {
			t.Fatal(err)
		}
		return newer, account
	}
	newer, account := open()
	stored := append(account.Value[:len(account.Value)-1:len(account.Value)-1], `,"currency":"coins"}`...)
	if err := newer.Commit(t.Context(), partition, "newer", kv.Put{Key: key, Value: stored, If: kv.Rev(account.Rev)}); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	l := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{"STATE_URL": "bolt:" + state, "QUEUE_URL": "bolt:{dir}/jobs.db"}))
	for name, r := range map[string]*http.Request{"read": kit.Get("/wallets/alice", kit.Key), "write": topup("rolled-back", 5)} {
		if a := answer(t, l, r); a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	if a := answer(t, l, kit.Get("/wallets/bob", kit.Key)); a.Status != http.StatusOK {
		t.Errorf("another wallet: %d %s", a.Status, a.Text)
	}
	if code := l.Stop(t); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	newer, account = open()
	if string(account.Value) != string(stored) || account.Form != 2 || account.Rev != "newer" {
		t.Errorf("the newer record has become %+v", account)
	}
	if err := newer.Close(); err != nil {
		t.Error(err)
	}
}

func topup(key string, amount int) *http.Request {
	r := kit.Post("/wallets/alice/topup", kit.Key, `{"amount":`+map[int]string{5: "5", 200: "200", 500: "500"}[amount]+`}`)
	r.Header.Set("Idempotency-Key", key)
	return r
}

// keepRelease has a bundle store something of what does not expire, and keeps its
// file.
func keepRelease(t *testing.T, bin, file string) {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state.db")
	l := faastest.StartLocal(t, bin, kit.Settings(map[string]string{"STATE_URL": "bolt:" + state, "QUEUE_URL": "bolt:{dir}/jobs.db"}))
	gift := kit.Post("/gifts/rose", kit.Key, `{"name":"Rose","price":10}`)
	gift.Method = http.MethodPut
	for _, r := range []*http.Request{topup("first", 500), topup("second", 200), gift, kit.Callback(t, kit.AfterSend("alice", 1))} {
		if a := answer(t, l, r); a.Status >= 300 {
			t.Fatalf("%s: %d %s", r.URL.Path, a.Status, a.Text)
		}
	}
	if code := l.Stop(t); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	in, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(out)
	if _, err := z.Write(in); err != nil || z.Close() != nil || out.Close() != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

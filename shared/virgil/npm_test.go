package virgil_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/virgil"
)

// npm is Virgil's own library for JavaScript, in a process of its own.
type npm struct {
	t   testing.TB
	in  *json.Encoder
	out *bufio.Scanner
}

func startNPM(t testing.TB) *npm {
	t.Helper()
	if testing.Short() {
		t.Skip("Node.js is not part of -short")
	}
	const folder = "../../scripts/node"
	if _, err := os.Stat(folder + "/node_modules/virgil-sdk"); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	cmd := exec.Command("node", "virgil.cjs")
	cmd.Dir, cmd.Stderr = folder, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it ends by that
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v", err)
		}
	})
	return &npm{t, json.NewEncoder(in), bufio.NewScanner(out)}
}

func (n *npm) ask(question map[string]any, answer any) {
	n.t.Helper()
	if err := n.in.Encode(question); err != nil {
		n.t.Fatal(err)
	}
	if !n.out.Scan() {
		n.t.Fatalf("node says no more: %v", n.out.Err())
	}
	if err := json.Unmarshal(n.out.Bytes(), answer); err != nil {
		n.t.Fatalf("%s: %v", n.out.Bytes(), err)
	}
}

func (n *npm) verify(key appKey, jwt string) (identity string, accepted bool) {
	n.t.Helper()
	var a struct {
		Accepted bool
		Identity string
	}
	n.ask(map[string]any{"keyID": key.ID(), "key": key.text, "jwt": jwt}, &a)
	return a.Identity, a.Accepted
}

// sign makes a JWT so many times and says how long that took.
func (n *npm) sign(key appKey, identity string, times int) (jwt string, took time.Duration) {
	n.t.Helper()
	var a struct {
		JWT    string
		Micros float64
	}
	n.ask(map[string]any{"appID": appID, "keyID": key.ID(), "key": key.text, "identity": identity, "times": times}, &a)
	return a.JWT, time.Duration(a.Micros * float64(time.Microsecond))
}

// TestAgreesWithNPM: Virgil's own verifier accepts our JWTs and reads the same
// identity, ours accepts theirs, and both refuse what was changed.
func TestAgreesWithNPM(t *testing.T) {
	n, key, another := startNPM(t), newKey(t, keyID), newKey(t, keyID)
	s := newSigner(t, time.Now(), appID, key)
	for _, id := range ids {
		jwt := sign(t, s, id)
		if identity, accepted := n.verify(key, jwt); !accepted || identity != id {
			t.Errorf("%q: npm reads %q, accepted: %t", id, identity, accepted)
		}
		theirs, _ := n.sign(key, id, 1)
		if c, err := s.Verify(theirs); err != nil || c.Identity != id || c.KeyID != keyID {
			t.Errorf("npm's %q: %+v, %v", id, c, err)
		}
	}
	jwt := sign(t, s, "alice")
	parts := strings.Split(jwt, ".")
	other := strings.Split(sign(t, s, "mallory"), ".")
	bare := b64.EncodeToString(mustDecodeURL(t, parts[2])[19:])
	for name, changed := range map[string]string{
		"another payload":  parts[0] + "." + other[1] + "." + parts[2],
		"a bare signature": parts[0] + "." + parts[1] + "." + bare,
	} {
		if _, accepted := n.verify(key, changed); accepted {
			t.Errorf("npm accepts %s", name)
		}
	}
	if _, accepted := n.verify(another, jwt); accepted {
		t.Error("npm accepts another key's JWT")
	}
}

// TestNPMDuringARotation: a verifier that has one key each accepts that key's
// JWTs, before and after the switch.
func TestNPMDuringARotation(t *testing.T) {
	n, old, new := startNPM(t), newKey(t, "0b"), newKey(t, "0c")
	before := sign(t, newSigner(t, time.Now(), appID, old), "alice")
	during := sign(t, newSigner(t, time.Now(), appID, new, old), "alice")
	for _, tt := range []struct {
		key  appKey
		jwt  string
		want bool
	}{{old, before, true}, {new, during, true}, {new, before, false}, {old, during, false}} {
		if _, accepted := n.verify(tt.key, tt.jwt); accepted != tt.want {
			t.Errorf("key %s: accepted %t, want %t", tt.key.ID(), accepted, tt.want)
		}
	}
}

// BenchmarkSign runs ours and npm's virgil-sdk in turn, on one core each, and
// reports how many times as many JWTs ours makes.
//
//	go test -run '^$' -bench Sign ./shared/virgil
func BenchmarkSign(b *testing.B) {
	const batch = 500
	n, key := startNPM(b), newKey(b, keyID)
	s := newSigner(b, time.Now(), appID, key)
	n.sign(key, "alice", batch) // its compiler has seen the code
	b.Run("ours and npm", func(b *testing.B) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		var ours, theirs time.Duration
		made := 0
		for b.Loop() {
			start := time.Now()
			for range batch {
				if _, _, err := s.Sign("alice", virgil.MaxLifetime); err != nil {
					b.Fatal(err)
				}
			}
			ours += time.Since(start)
			_, took := n.sign(key, "alice", batch)
			theirs += took
			made += batch
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(made)/ours.Seconds(), "JWTs/s")
		b.ReportMetric(float64(made)/theirs.Seconds(), "npm-JWTs/s")
		b.ReportMetric(float64(theirs)/float64(ours), "x/npm")
	})
	b.Run("allocations", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := s.Sign("alice", virgil.MaxLifetime); err != nil {
				b.Fatal(err)
			}
		}
	})
	jwt := sign(b, s, "alice")
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Verify(jwt); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package usersig_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// The public sample key of Tencent's libraries.
const (
	appID = 1400000000
	key   = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
)

func newSigner(t testing.TB, at time.Time) *usersig.Signer {
	t.Helper()
	now := func() time.Time { return at }
	if at.IsZero() {
		now = time.Now
	}
	s, err := usersig.NewSignerAt(appID, key, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ids are those that JSON, base64 or the signed text could treat in their own
// way.
var ids = []string{
	"a", "alice", "g_abcdefghijklmnopqrstuvwxyz", strings.Repeat("x", usersig.MaxUserID), "@RBT#001",
	`quo"te`, `back\slash`, "<tag>&amp;", "~!#$%^*()+{}|:?", "0", "TLS.identifier:bob",
}

// sameSecond runs both functions until they ran within one second, since the
// library's clock cannot be set.
func sameSecond(t *testing.T, ours, theirs func() (string, error)) (string, string) {
	t.Helper()
	for range 100 {
		start := time.Now().Unix()
		a, err := ours()
		if err != nil {
			t.Fatal(err)
		}
		b, err := theirs()
		if err != nil {
			t.Fatal(err)
		}
		if time.Now().Unix() == start {
			return a, b
		}
	}
	t.Fatal("no hundred tries fell into one second")
	return "", ""
}

func TestSameBytesAsTheLibrary(t *testing.T) {
	s := newSigner(t, time.Time{})
	for _, id := range ids {
		for _, expire := range []int{1, 60, 86400, 15552000} {
			span := time.Duration(expire) * time.Second
			check := func(what string, ours, theirs func() (string, error)) {
				t.Helper()
				if a, b := sameSecond(t, ours, theirs); a != b {
					t.Errorf("%s of %q for %d s:\n%s, the library:\n%s", what, id, expire, a, b)
				}
			}
			check("UserSig",
				func() (string, error) { return s.Sign(id, span) },
				func() (string, error) { return tencentyun.GenUserSig(appID, key, id, expire) })
		}
	}
}

// inside returns the JSON of a UserSig.
func inside(t *testing.T, sig string) map[string]any {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(sig))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// pack is the reverse of inside.
func pack(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(b.Bytes()))
}

// TestVector: signatures at a fixed time, as checked with the public key.
func TestVector(t *testing.T) {
	s := newSigner(t, time.Unix(1700000000, 0))
	plain, err := s.Sign("alice", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := inside(t, plain)["TLS.sig"]; got != "6GmjjJlI0ZfvdjC0qJyFjHknLqIVerI6rpJOgWxfg1k=" {
		t.Errorf("TLS.sig is %v", got)
	}
}

// TestPrivateMapKey: the buffer that the key carries says who may do what in
// which room until when, in the layout of TRTC's documentation, and is signed.
func TestPrivateMapKey(t *testing.T) {
	s := newSigner(t, time.Time{})
	head := func(version byte, until time.Time, room uint32, may usersig.Privilege) []byte {
		b := append([]byte{version, 0, 5}, "alice"...)
		for _, n := range []uint32{appID, room, uint32(until.Unix()), uint32(may), 0} {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	check := func(key string, err error, want func(until time.Time) []byte) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Verify("alice", key)
		if err != nil {
			t.Fatal(err)
		}
		// The library reads its clock twice, perhaps in two seconds.
		if !bytes.Equal(c.Buf, want(c.Expires)) && !bytes.Equal(c.Buf, want(c.Expires.Add(-time.Second))) {
			t.Errorf("the key carries %x, want %x", c.Buf, want(c.Expires))
		}
		if got := c.Expires.Sub(c.IssuedAt); got != time.Hour {
			t.Errorf("it lasts %v", got)
		}
	}
	key, err := s.PrivateMapKey("alice", 4294967295, usersig.Host, time.Hour)
	check(key, err, func(until time.Time) []byte { return head(0, until, 4294967295, 255) })
	key, err = s.PrivateMapKeyForName("alice", "room 7", usersig.Audience, time.Hour)
	check(key, err, func(until time.Time) []byte {
		return append(append(head(1, until, 0, 42), 0, 6), "room 7"...)
	})
}

func TestWhatIsNotSigned(t *testing.T) {
	s := newSigner(t, time.Time{})
	for _, id := range []string{"", strings.Repeat("x", 33), "two words", "line\nbreak", "nul\x00", "ünicode", "tab\t", "del\x7f"} {
		if _, err := s.Sign(id, time.Hour); !errors.Is(err, usersig.ErrUserID) {
			t.Errorf("UserID %q: %v", id, err)
		}
		if _, err := s.PrivateMapKey(id, 1, usersig.Audience, time.Hour); !errors.Is(err, usersig.ErrUserID) {
			t.Errorf("PrivateMapKey of %q: %v", id, err)
		}
	}
	for _, d := range []time.Duration{-time.Hour, 0, time.Second - 1, usersig.MaxExpire + 1} {
		if _, err := s.Sign("alice", d); !errors.Is(err, usersig.ErrExpire) {
			t.Errorf("for %v: %v", d, err)
		}
		if _, err := s.PrivateMapKeyForName("alice", "r", usersig.Audience, d); !errors.Is(err, usersig.ErrExpire) {
			t.Errorf("PrivateMapKey for %v: %v", d, err)
		}
	}
	for _, room := range []string{"", strings.Repeat("r", usersig.MaxRoom+1), "räum", "r\x00"} {
		if _, err := s.PrivateMapKeyForName("alice", room, usersig.Audience, time.Hour); !errors.Is(err, usersig.ErrRoom) {
			t.Errorf("room %q: %v", room, err)
		}
	}
	if _, err := s.PrivateMapKey("alice", 0, usersig.Audience, time.Hour); !errors.Is(err, usersig.ErrRoom) {
		t.Errorf("room 0: %v", err)
	}
	for _, tt := range []struct {
		app uint32
		key string
	}{{0, key}, {appID, ""}, {appID, strings.Repeat("k", usersig.MaxKey+1)}} {
		if _, err := usersig.NewSigner(tt.app, tt.key); !errors.Is(err, usersig.ErrKey) {
			t.Errorf("app %d: %v", tt.app, err)
		}
	}
}

func TestVerify(t *testing.T) {
	at := time.Unix(1700000000, 0)
	s := newSigner(t, at)
	sig, err := s.Sign("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Verify("alice", sig)
	if err != nil || c.UserID != "alice" || !c.IssuedAt.Equal(at) || !c.Expires.Equal(at.Add(time.Hour)) || c.Buf != nil {
		t.Errorf("%+v, %v", c, err)
	}
	for _, buf := range [][]byte{nil, {}, {1, 2, 3, 0xff}} {
		library, err := tencentyun.GenUserSigWithBuf(appID, key, "alice", 3600, buf)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := newSigner(t, time.Time{}).Verify("alice", library); err != nil || !bytes.Equal(c.Buf, buf) {
			t.Errorf("one of the library's with the buffer %x: %+v, %v", buf, c, err)
		}
	}

	// The library's, as it signed a buffer at this time.
	withBuf := pack(t, []byte(`{"TLS.ver":"2.0","TLS.identifier":"alice","TLS.sdkappid":1400000000,"TLS.expire":86400,"TLS.time":1700000000,`+
		`"TLS.userbuf":"AQID","TLS.sig":"yFq/p5UlZVERLU0Jh8Q5C2Zi2PuKK86xk6otx8VI5LI="}`))
	if c, err := s.Verify("alice", withBuf); err != nil || !bytes.Equal(c.Buf, []byte{1, 2, 3}) {
		t.Errorf("with a buffer: %+v, %v", c, err)
	}

	otherKey, err := usersig.NewSignerAt(appID, strings.Repeat("0", 64), func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	otherApp, err := usersig.NewSignerAt(appID+1, key, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	text := func(sig string, change func(map[string]any)) string {
		fields := inside(t, sig)
		change(fields)
		b, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return pack(t, b)
	}
	must := func(sig string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	for _, tt := range []struct {
		name     string
		verifier *usersig.Signer
		user     string
		sig      string
		want     error
	}{
		{"empty", s, "alice", "", usersig.ErrMalformed},
		{"no base64", s, "alice", "%%%%", usersig.ErrMalformed},
		{"plain base64 alphabet", s, "alice", strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(sig) + "=", usersig.ErrMalformed},
		{"cut short", s, "alice", sig[:len(sig)-12], usersig.ErrMalformed},
		{"too long", s, "alice", strings.Repeat("A", 5000), usersig.ErrMalformed},
		{"a bomb", s, "alice", pack(t, bytes.Repeat([]byte(" "), 1<<20)), usersig.ErrMalformed},
		{"no JSON", s, "alice", pack(t, []byte("alice")), usersig.ErrMalformed},
		{"text behind", s, "alice", pack(t, []byte(`{} {}`)), usersig.ErrMalformed},
		{"unknown field", s, "alice", text(sig, func(f map[string]any) { f["TLS.admin"] = true }), usersig.ErrMalformed},
		{"other version", s, "alice", text(sig, func(f map[string]any) { f["TLS.ver"] = "1.0" }), usersig.ErrMalformed},
		{"endless", s, "alice", text(sig, func(f map[string]any) { f["TLS.expire"] = 1e15 }), usersig.ErrMalformed},
		{"for another app", otherApp, "alice", sig, usersig.ErrOtherApp},
		{"for another user", s, "bob", sig, usersig.ErrOtherUser},
		{"with another key", otherKey, "alice", sig, usersig.ErrSignature},
		{"made longer", s, "alice", text(sig, func(f map[string]any) { f["TLS.expire"] = 360000 }), usersig.ErrSignature},
		{"made younger", s, "alice", text(sig, func(f map[string]any) { f["TLS.time"] = 1700000100 }), usersig.ErrSignature},
		{"other buffer", s, "alice", text(withBuf, func(f map[string]any) { f["TLS.userbuf"] = "AQM=" }), usersig.ErrSignature},
		{"without its buffer", s, "alice", text(withBuf, func(f map[string]any) { delete(f, "TLS.userbuf") }), usersig.ErrSignature},
		{"with a buffer added", s, "alice", text(sig, func(f map[string]any) { f["TLS.userbuf"] = "AQID" }), usersig.ErrSignature},
		{"renamed", s, "bob", text(sig, func(f map[string]any) { f["TLS.identifier"] = "bob" }), usersig.ErrSignature},
		{"expired", newSigner(t, at.Add(time.Hour)), "alice", sig, usersig.ErrExpired},
		{"from the future", newSigner(t, at.Add(-10*time.Minute)), "alice", must(s.Sign("alice", time.Hour)), usersig.ErrNotYet},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := tt.verifier.Verify(tt.user, tt.sig); !errors.Is(err, tt.want) || c.UserID != "" {
				t.Errorf("%+v, %v; want %v", c, err, tt.want)
			}
		})
	}
	if _, err := newSigner(t, at.Add(time.Hour-time.Second)).Verify("alice", sig); err != nil {
		t.Errorf("in its last second: %v", err)
	}
}

// TestTampering: no single changed character makes a UserSig say something
// else.
func TestTampering(t *testing.T) {
	at := time.Unix(1700000000, 0)
	s := newSigner(t, at)
	sig, err := s.Sign("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sig {
		for _, c := range "A*-_z" {
			changed := sig[:i] + string(c) + sig[i+1:]
			if c, err := s.Verify("alice", changed); err == nil && (c.UserID != "alice" || !c.Expires.Equal(at.Add(time.Hour))) {
				t.Fatalf("character %d: accepted as %+v", i, c)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s := newSigner(t, time.Unix(1700000000, 0))
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("user%d-%d", worker, i)
				sig, err := s.Sign(id, time.Hour)
				if err != nil {
					t.Error(err)
				}
				if _, err := s.Verify(id, sig); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	all.Wait()
}

func FuzzVerify(f *testing.F) {
	at := time.Unix(1700000000, 0)
	s := newSigner(f, at)
	good, err := s.Sign("alice", time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("alice", good)
	f.Add("bob", good)
	f.Add("alice", "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwpnFxaVQ4YwSAE*qDW8_")
	f.Fuzz(func(t *testing.T, user, sig string) {
		c, err := s.Verify(user, sig)
		if err == nil && (c.UserID != "alice" || user != "alice") {
			t.Errorf("%q for %q is accepted as %+v", sig, user, c)
		}
		if err != nil && !errors.Is(err, usersig.ErrMalformed) && !errors.Is(err, usersig.ErrOtherApp) && !errors.Is(err, usersig.ErrOtherUser) &&
			!errors.Is(err, usersig.ErrSignature) && !errors.Is(err, usersig.ErrExpired) && !errors.Is(err, usersig.ErrNotYet) {
			t.Errorf("an error of its own: %v", err)
		}
	})
}

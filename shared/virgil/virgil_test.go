package virgil_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/virgil"
)

const (
	appID = "be00e10e4e1f4bf58f9b4dc85d79c77a"
	keyID = "8e62643649e2a3d0"
)

var (
	clock = time.Unix(1_700_000_000, 0)
	b64   = base64.RawURLEncoding
	// ids are identities of every kind that IM allows.
	ids = []string{"alice", "a", strings.Repeat("x", 32), "@RBT#001", "g_7xk", `"quoted"`, `back\slash`, "<&>", "a:b", "user@example.com", "{}", "~!$%^*()"}
)

// appKey is an App Key of this test's own.
type appKey struct {
	virgil.Key
	public ed25519.PublicKey
	text   string
}

func newKey(t testing.TB, id string) appKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := pkcs8(t, private)
	k, err := virgil.ParseKey(id, text)
	if err != nil {
		t.Fatal(err)
	}
	return appKey{k, public, text}
}

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func newSigner(t testing.TB, at time.Time, app string, key appKey, previous ...appKey) *virgil.Signer {
	t.Helper()
	var before []virgil.Key
	for _, k := range previous {
		before = append(before, k.Key)
	}
	s, err := virgil.NewSigner(app, key.Key, before...)
	if err != nil {
		t.Fatal(err)
	}
	s.Now = func() time.Time { return at }
	return s
}

func sign(t testing.TB, s *virgil.Signer, identity string) string {
	t.Helper()
	jwt, _, err := s.Sign(identity, 20*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// TestLayout takes a JWT apart, byte for byte.
func TestLayout(t *testing.T) {
	key := newKey(t, keyID)
	jwt, expires, err := newSigner(t, clock.Add(900*time.Millisecond), appID, key).Sign(`al"ice`, time.Hour)
	if err != nil || !expires.Equal(clock.Add(time.Hour-5*time.Second)) {
		t.Fatal(expires, err)
	}
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatal(jwt)
	}
	for i, want := range []string{
		`{"alg":"VEDS512","kid":"8e62643649e2a3d0","typ":"JWT","cty":"virgil-jwt;v=1"}`,
		`{"iss":"virgil-be00e10e4e1f4bf58f9b4dc85d79c77a","sub":"identity-al\"ice","iat":1699999995,"exp":1700003595}`,
	} {
		if got, err := b64.DecodeString(parts[i]); err != nil || string(got) != want {
			t.Errorf("part %d is %s, %v\nwant %s", i, got, err, want)
		}
	}
	signature, err := b64.DecodeString(parts[2])
	if err != nil || len(signature) != 83 || hex.EncodeToString(signature[:19]) != "3051300d060960864801650304020305000440" {
		t.Fatalf("signature %x, %v", signature, err)
	}
	digest := sha512.Sum512([]byte(parts[0] + "." + parts[1]))
	if !ed25519.Verify(key.public, digest[:], signature[19:]) {
		t.Error("the signature is not Ed25519 over the SHA-512 of the text")
	}
}

func TestSignRefuses(t *testing.T) {
	s := newSigner(t, clock, appID, newKey(t, keyID))
	for _, id := range []string{"", "two words", "zoë", "nul\x00", "tab\t", strings.Repeat("x", 33)} {
		if jwt, _, err := s.Sign(id, time.Hour); !errors.Is(err, virgil.ErrIdentity) || jwt != "" {
			t.Errorf("%q: %q, %v", id, jwt, err)
		}
	}
	for _, d := range []time.Duration{-1, 0, virgil.MinLifetime - 1, virgil.MaxLifetime + 1, 1 << 62} {
		if jwt, _, err := s.Sign("alice", d); !errors.Is(err, virgil.ErrLifetime) || jwt != "" {
			t.Errorf("%v: %q, %v", d, jwt, err)
		}
	}
}

func TestNewSignerRefuses(t *testing.T) {
	key := newKey(t, keyID)
	for _, id := range []string{"", "virgil-" + appID, appID + " ", `a"b`, "ä", strings.Repeat("a", 65)} {
		if _, err := virgil.NewSigner(id, key.Key); !errors.Is(err, virgil.ErrAppID) {
			t.Errorf("App ID %q: %v", id, err)
		}
		if _, err := virgil.ParseKey(id, key.text); !errors.Is(err, virgil.ErrKeyID) {
			t.Errorf("App Key ID %q: %v", id, err)
		}
	}
	if _, err := virgil.NewSigner(appID, virgil.Key{}); err == nil {
		t.Error("no key")
	}
	if _, err := virgil.NewSigner(appID, key.Key, virgil.Key{}); err == nil {
		t.Error("no previous key")
	}
}

func TestVerify(t *testing.T) {
	s := newSigner(t, clock, appID, newKey(t, keyID))
	for _, id := range ids {
		c, err := s.Verify(sign(t, s, id))
		if err != nil || c.Identity != id || c.KeyID != keyID || !c.IssuedAt.Equal(clock.Add(-5*time.Second)) || !c.Expires.Equal(clock.Add(20*time.Minute-5*time.Second)) {
			t.Errorf("%q: %+v, %v", id, c, err)
		}
	}
}

// TestRotation: while JWTs of the key before are about, both are accepted, and
// new ones are of the new key.
func TestRotation(t *testing.T) {
	older, old, new := newKey(t, "0a"), newKey(t, "0b"), newKey(t, "0c")
	before := newSigner(t, clock, appID, old)
	during := newSigner(t, clock, appID, new, old)
	after := newSigner(t, clock, appID, new)
	for name, tt := range map[string]struct {
		by    *virgil.Signer
		jwt   string
		keyID string
		err   error
	}{
		"old during":          {during, sign(t, before, "alice"), "0b", nil},
		"new during":          {during, sign(t, during, "alice"), "0c", nil},
		"new before":          {before, sign(t, during, "alice"), "", virgil.ErrOtherKey},
		"old after":           {after, sign(t, before, "alice"), "", virgil.ErrOtherKey},
		"older during":        {during, sign(t, newSigner(t, clock, appID, older), "alice"), "", virgil.ErrOtherKey},
		"new under old's id":  {during, sign(t, newSigner(t, clock, appID, newKey(t, "0b")), "alice"), "", virgil.ErrSignature},
		"new after, one left": {after, sign(t, during, "alice"), "0c", nil},
	} {
		if c, err := tt.by.Verify(tt.jwt); !errors.Is(err, tt.err) || c.KeyID != tt.keyID {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	key := newKey(t, keyID)
	s := newSigner(t, clock, appID, key)
	good := sign(t, s, "alice")
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	raw, err := b64.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	// signed makes a JWT of any header and payload with the right key.
	signed := func(header, body string) string {
		text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(body))
		digest := sha512.Sum512([]byte(text))
		private, err := x509.ParsePKCS8PrivateKey(mustDecode(t, key.text))
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + b64.EncodeToString(append(bytes.Clone(raw[:19]), ed25519.Sign(private.(ed25519.PrivateKey), digest[:])...))
	}
	header := string(mustDecodeURL(t, head))
	body := string(mustDecodeURL(t, payload))
	edit := func(text, old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("%s has no %s", text, old)
		}
		return strings.Replace(text, old, new, 1)
	}
	if _, err := s.Verify(signed(header, body)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(signed(header, edit(body, `"iss"`, `"ada":{"room":"lobby"},"iss"`))); err != nil {
		t.Errorf("additional data, another order: %v", err)
	}
	for name, tt := range map[string]struct {
		jwt  string
		want error
	}{
		"nothing":               {"", virgil.ErrMalformed},
		"two parts":             {head + "." + payload, virgil.ErrMalformed},
		"no dot":                {head, virgil.ErrMalformed},
		"four parts":            {good + "." + payload, virgil.ErrMalformed},
		"too long":              {good + strings.Repeat("A", 8<<10), virgil.ErrMalformed},
		"padding":               {good + "=", virgil.ErrMalformed},
		"a line break":          {good[:9] + "\n" + good[9:], virgil.ErrMalformed},
		"another alphabet":      {head + "." + payload + "." + base64.RawStdEncoding.EncodeToString(append([]byte{0xfb, 0xff}, raw[2:]...)), virgil.ErrMalformed},
		"a bare signature":      {head + "." + payload + "." + b64.EncodeToString(raw[19:]), virgil.ErrMalformed},
		"a long signature":      {good + "AAAA", virgil.ErrMalformed},
		"another payload":       {head + "." + b64.EncodeToString([]byte(edit(body, "alice", "mallory"))) + "." + signature, virgil.ErrSignature},
		"another header":        {b64.EncodeToString([]byte(edit(header, `"typ"`, `"x":1,"typ"`))) + "." + payload + "." + signature, virgil.ErrSignature},
		"header is no JSON":     {b64.EncodeToString([]byte("{")) + "." + payload + "." + signature, virgil.ErrMalformed},
		"another algorithm":     {signed(edit(header, "VEDS512", "none"), body), virgil.ErrMalformed},
		"another content":       {signed(edit(header, "v=1", "v=2"), body), virgil.ErrMalformed},
		"another key's id":      {signed(edit(header, keyID, "00"), body), virgil.ErrOtherKey},
		"another key":           {sign(t, newSigner(t, clock, appID, newKey(t, keyID)), "alice"), virgil.ErrSignature},
		"payload is no JSON":    {signed(header, "{"), virgil.ErrMalformed},
		"no identity":           {signed(header, edit(body, "identity-", "")), virgil.ErrMalformed},
		"no UserID":             {signed(header, edit(body, "alice", "zoë")), virgil.ErrMalformed},
		"another app":           {sign(t, newSigner(t, clock, "ab", key), "alice"), virgil.ErrOtherApp},
		"no issuer":             {signed(header, edit(body, `"iss":"virgil-`, `"iss":"`)), virgil.ErrOtherApp},
		"expired":               {sign(t, newSigner(t, clock.Add(-20*time.Minute+5*time.Second), appID, key), "alice"), virgil.ErrExpired},
		"no expiry":             {signed(header, edit(body, `"exp"`, `"x"`)), virgil.ErrExpired},
		"milliseconds for iat":  {signed(header, edit(body, `"iat":1699999995`, `"iat":1699999995000`)), virgil.ErrNotYet},
		"from the future":       {sign(t, newSigner(t, clock.Add(6*time.Minute), appID, key), "alice"), virgil.ErrNotYet},
		"a time beyond numbers": {signed(header, edit(body, `"iat":1699999995`, `"iat":1e400`)), virgil.ErrMalformed},
	} {
		if c, err := s.Verify(tt.jwt); !errors.Is(err, tt.want) || c != (virgil.Claims{}) {
			t.Errorf("%s: %+v, %v; want %v", name, c, err, tt.want)
		}
	}
}

func mustDecode(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustDecodeURL(t testing.TB, text string) []byte {
	t.Helper()
	b, err := b64.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sample is the same key in every process of a fuzzing run.
func sample(t testing.TB) appKey {
	t.Helper()
	k, err := virgil.ParseKey(sampleID, sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	return appKey{Key: k}
}

// FuzzVerify: nothing but what was signed is accepted, and every refusal is one
// that the package names.
func FuzzVerify(f *testing.F) {
	s := newSigner(f, clock, appID, sample(f))
	signed := map[string]bool{}
	for _, id := range ids {
		jwt := sign(f, s, id)
		signed[jwt] = true
		f.Add(jwt)
	}
	f.Add("..")
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, jwt string) {
		_, err := s.Verify(jwt)
		if (err == nil) != signed[jwt] {
			t.Errorf("%q: %v", jwt, err)
		}
		for _, named := range []error{nil, virgil.ErrMalformed, virgil.ErrOtherKey, virgil.ErrSignature, virgil.ErrOtherApp, virgil.ErrExpired, virgil.ErrNotYet} {
			if errors.Is(err, named) {
				return
			}
		}
		t.Errorf("%q: %v", jwt, err)
	})
}

// FuzzIdentity: every identity that is signed is read back by any JSON reader.
func FuzzIdentity(f *testing.F) {
	for _, id := range ids {
		f.Add(id)
	}
	s := newSigner(f, clock, appID, sample(f))
	f.Fuzz(func(t *testing.T, id string) {
		jwt, _, err := s.Sign(id, time.Minute)
		if err != nil {
			return
		}
		var body struct{ Sub string }
		if err := json.Unmarshal(mustDecodeURL(t, strings.Split(jwt, ".")[1]), &body); err != nil || body.Sub != "identity-"+id {
			t.Errorf("%q became %q, %v", id, body.Sub, err)
		}
	})
}

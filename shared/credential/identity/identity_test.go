package identity_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/credential/identity"
	"github.com/backchannel-im/backchannel/shared/fault"
)

const (
	issuer   = "https://login.example.com/"
	audience = "backchannel"
	secret   = "a secret of this test, long enough for HS256"
)

var start = time.Unix(1_700_000_000, 0)

// clock is a clock that the test moves.
type clock struct{ seconds atomic.Int64 }

func (c *clock) Now() time.Time          { return start.Add(time.Duration(c.seconds.Load()) * time.Second) }
func (c *clock) advance(d time.Duration) { c.seconds.Add(int64(d / time.Second)) }

// claims are those of a good token, changed.
func claims(now time.Time, change map[string]any) map[string]any {
	c := map[string]any{
		"sub": "alice", "iss": issuer, "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"name": "Alice", "picture": "https://example.com/a.png",
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, c map[string]any) string {
	t.Helper()
	o := &jose.SignerOptions{}
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o.WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// forge is a token with a header of the attacker's choice and an HMAC by a key, or
// no signature.
func forge(header map[string]any, c map[string]any, key []byte) string {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := encode(header) + "." + encode(c)
	if key == nil {
		return signed + "."
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func verifier(t *testing.T, c identity.Config) *identity.Verifier {
	t.Helper()
	c.Issuer, c.Audience, c.Lifetime = issuer, audience, 24*time.Hour
	v, err := identity.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSharedSecret(t *testing.T) {
	c := new(clock)
	v := verifier(t, identity.Config{Secret: []byte(secret), Now: c.Now})
	now := c.Now()
	got, err := v.Verify(t.Context(), sign(t, jose.HS256, []byte(secret), "", claims(now, nil)))
	want := credential.Proof{UserID: "alice", Nick: "Alice", FaceURL: "https://example.com/a.png", Issued: now, Expires: now.Add(time.Hour)}
	if err != nil || !got.Issued.Equal(want.Issued) || !got.Expires.Equal(want.Expires) || got.UserID != want.UserID || got.Nick != want.Nick || got.FaceURL != want.FaceURL {
		t.Errorf("%+v, %v", got, err)
	}
	good := map[string]map[string]any{
		"several audiences":   {"aud": []string{"another", audience}},
		"the clock is behind": {"iat": now.Add(5 * time.Second).Unix()},
		"just expired":        {"iat": now.Add(-time.Hour).Unix(), "exp": now.Add(-5 * time.Second).Unix()},
		"no iat":              {"iat": nil},
		"a whole day":         {"exp": now.Add(24 * time.Hour).Unix()},
	}
	for name, change := range good {
		if _, err := v.Verify(t.Context(), sign(t, jose.HS256, []byte(secret), "", claims(now, change))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAttacks: no token but a good one proves anything, and all refusals look the
// same from outside.
func TestAttacks(t *testing.T) {
	c := new(clock)
	now := c.Now()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: public})
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	hs := verifier(t, identity.Config{Secret: []byte(secret), Now: c.Now, Log: logger})
	keys := newKeys(t)
	keys.set(jwk("one", &key.PublicKey))
	rs := verifier(t, identity.Config{Keys: &identity.JWKS{URL: keys.url, Now: c.Now, Log: logger}, Now: c.Now, Log: logger})
	one := verifier(t, identity.Config{Key: &key.PublicKey, Now: c.Now, Log: logger})
	if _, err := rs.Verify(t.Context(), sign(t, jose.RS256, key, "one", claims(now, nil))); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Verify(t.Context(), sign(t, jose.RS256, key, "one", claims(now, nil))); err != nil {
		t.Fatal(err)
	}
	good := sign(t, jose.HS256, []byte(secret), "", claims(now, nil))
	parts := strings.Split(good, ".")
	admin := strings.Split(sign(t, jose.HS256, []byte("another secret of 32 bytes at least"), "", claims(now, map[string]any{"sub": "administrator"})), ".")
	attacks := map[string]string{
		"nothing":                    "",
		"garbage":                    "garbage",
		"three dots":                 "...",
		"none":                       forge(map[string]any{"alg": "none"}, claims(now, nil), nil),
		"None":                       forge(map[string]any{"alg": "None", "typ": "JWT"}, claims(now, nil), nil),
		"no algorithm":               forge(map[string]any{}, claims(now, nil), []byte(secret)),
		"another secret":             sign(t, jose.HS256, []byte("another secret of 32 bytes at least"), "", claims(now, nil)),
		"HS512":                      sign(t, jose.HS512, []byte(secret+secret), "", claims(now, nil)),
		"without its signature":      parts[0] + "." + parts[1] + ".",
		"with another payload":       parts[0] + "." + admin[1] + "." + parts[2],
		"the public key as secret":   forge(map[string]any{"alg": "HS256", "kid": "one"}, claims(now, nil), public),
		"its PEM as secret":          forge(map[string]any{"alg": "HS256", "kid": "one"}, claims(now, nil), publicPEM),
		"its own key in the header":  forge(map[string]any{"alg": "HS256", "jwk": map[string]any{"kty": "oct", "k": "AAAA"}}, claims(now, nil), []byte{0, 0, 0}),
		"its own URL in the header":  forge(map[string]any{"alg": "RS256", "jku": "http://127.0.0.1:1/", "kid": "two"}, claims(now, nil), []byte("x")),
		"an unknown critical header": forge(map[string]any{"alg": "HS256", "crit": []string{"b64"}, "b64": false}, claims(now, nil), []byte(secret)),
		"expired":                    sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(-11 * time.Second).Unix()})),
		"without an end":             sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"exp": nil})),
		"an end in text":             sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"exp": "tomorrow"})),
		"a life of ten years":        sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"exp": now.Add(90000 * time.Hour).Unix()})),
		"ten years without iat":      sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"iat": nil, "exp": now.Add(90000 * time.Hour).Unix()})),
		"from the future":            sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"iat": now.Add(time.Minute).Unix()})),
		"not yet":                    sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"nbf": now.Add(time.Minute).Unix()})),
		"another audience":           sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"aud": "another"})),
		"an audience that begins so": sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"aud": audience + "-staging"})),
		"no audience":                sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"aud": nil})),
		"another issuer":             sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"iss": "https://evil.example.com/"})),
		"no issuer":                  sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"iss": nil})),
		"no subject":                 sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"sub": nil})),
		"a subject that is a number": sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"sub": 7})),
		"a subject that is a list":   sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"sub": []string{"alice"}})),
		"a very long one":            sign(t, jose.HS256, []byte(secret), "", claims(now, map[string]any{"pad": strings.Repeat("x", 9000)})),
		"in the form of JSON":        `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"a space before":             " " + good,
	}
	refuse := func(name string, v *identity.Verifier, token string) {
		t.Helper()
		got, err := v.Verify(t.Context(), token)
		if fault.CodeOf(err) != fault.Unauthenticated || fault.Of(err).Message != "this token is not accepted; log in again" || got != (credential.Proof{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, token := range attacks {
		refuse(name, hs, token)
		refuse(name+", JWKS", rs, token)
		refuse(name+", one key", one, token)
	}
	refuse("RS256 where HS256 is wanted", hs, sign(t, jose.RS256, key, "one", claims(now, nil)))
	refuse("HS256 where RS256 is wanted", rs, good)
	refuse("PS256 where RS256 is wanted", one, sign(t, jose.PS256, key, "one", claims(now, nil)))
	for _, private := range []string{parts[1], parts[2], "alice", secret} {
		if strings.Contains(log.String(), private) {
			t.Errorf("the log has %q in it", private)
		}
	}
	if !strings.Contains(log.String(), "another audience (aud)") {
		t.Error("the log does not tell the reason")
	}
}

func TestClaimAndSubject(t *testing.T) {
	c := new(clock)
	token := sign(t, jose.HS256, []byte(secret), "", claims(c.Now(), map[string]any{"uid": "u-7", "sub": "https://dev.zendesk.com/api/v2/users/701.json"}))
	if p, err := verifier(t, identity.Config{Secret: []byte(secret), Claim: "uid", Now: c.Now}).Verify(t.Context(), token); err != nil || p.UserID != "u-7" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := verifier(t, identity.Config{Secret: []byte(secret), Subject: identity.ZendeskSubject, Now: c.Now}).Verify(t.Context(), token); err != nil || p.UserID != "701" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, sub := range []string{"", "701", "https://dev.zendesk.com/api/v2/users/.json", "https://dev.zendesk.com/api/v2/users/701", "https://dev.zendesk.com/api/v2/users/a/b.json"} {
		if id, ok := identity.ZendeskSubject(sub); ok {
			t.Errorf("%q is %q", sub, id)
		}
	}
}

func TestConfigurationsThatWillNotDo(t *testing.T) {
	key := ed25519.PublicKey(make([]byte, 32))
	for name, c := range map[string]identity.Config{
		"no key":        {Issuer: issuer, Audience: audience, Lifetime: time.Hour},
		"two keys":      {Secret: []byte(secret), Key: key, Issuer: issuer, Audience: audience, Lifetime: time.Hour},
		"a short one":   {Secret: []byte("short"), Issuer: issuer, Audience: audience, Lifetime: time.Hour},
		"no issuer":     {Secret: []byte(secret), Audience: audience, Lifetime: time.Hour},
		"no audience":   {Secret: []byte(secret), Issuer: issuer, Lifetime: time.Hour},
		"no life bound": {Secret: []byte(secret), Issuer: issuer, Audience: audience},
	} {
		if _, err := identity.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// published is a server of keys.
type published struct {
	url string

	mu      sync.Mutex
	body    string
	status  int
	fetches int
	block   chan struct{} // not nil: answers wait until it is closed
}

func newKeys(t *testing.T) *published {
	p := &published{status: http.StatusOK, body: `{"keys":[]}`}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *published) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.fetches++
	body, status, block := p.body, p.status, p.block
	p.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}
	if status == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func (p *published) set(keys ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body = `{"keys":[` + strings.Join(keys, ",") + `]}`
}

func (p *published) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

func jwk(kid string, key crypto.PublicKey) string {
	b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func generate(t *testing.T) (*rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r, e, d
}

// TestPublishedKeys of all kinds are used, and those that are not for us are not.
func TestPublishedKeys(t *testing.T) {
	c := new(clock)
	r, e, d := generate(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeys(t)
	keys.set(
		jwk("r", &r.PublicKey), jwk("e", &e.PublicKey), jwk("d", d.Public()),
		`{"kty":"XYZ","kid":"x"}`, `{"kty":"oct","kid":"o","k":"`+base64.RawURLEncoding.EncodeToString([]byte(secret))+`"}`,
		strings.Replace(jwk("enc", &r.PublicKey), `"sig"`, `"enc"`, 1), jwk("weak", &weak.PublicKey),
		strings.Replace(jwk("pinned", &r.PublicKey), `"kid"`, `"alg":"RS512","kid"`, 1),
	)
	v := verifier(t, identity.Config{Keys: &identity.JWKS{URL: keys.url, Now: c.Now}, Now: c.Now})
	now := c.Now()
	for name, tt := range map[string]struct {
		token string
		good  bool
	}{
		"RS256":                       {sign(t, jose.RS256, r, "r", claims(now, nil)), true},
		"PS384":                       {sign(t, jose.PS384, r, "r", claims(now, nil)), true},
		"ES256":                       {sign(t, jose.ES256, e, "e", claims(now, nil)), true},
		"EdDSA":                       {sign(t, jose.EdDSA, d, "d", claims(now, nil)), true},
		"without a key's id":          {sign(t, jose.ES256, e, "", claims(now, nil)), true},
		"the key is for RS512":        {sign(t, jose.RS512, r, "pinned", claims(now, nil)), true},
		"the key is not for RS256":    {sign(t, jose.RS256, r, "pinned", claims(now, nil)), false},
		"a key for encryption":        {sign(t, jose.RS256, r, "enc", claims(now, nil)), false},
		"another key's id":            {sign(t, jose.RS256, r, "e", claims(now, nil)), false},
		"a symmetric key":             {forge(map[string]any{"alg": "HS256", "kid": "o"}, claims(now, nil), []byte(secret)), false},
		"a key that nobody published": {sign(t, jose.RS256, weak, "weak", claims(now, nil)), false},
	} {
		if _, err := v.Verify(t.Context(), tt.token); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := keys.count(); n != 1 {
		t.Errorf("%d fetches within one instant, want 1", n)
	}
}

// TestRotation: a new key works within seconds, under its own id and under the old
// key's, and one that was taken away stops working.
func TestRotation(t *testing.T) {
	for _, kid := range []string{"two", "one"} {
		t.Run("the new key's id is "+kid, func(t *testing.T) {
			c := new(clock)
			first, _, _ := generate(t)
			second, _, _ := generate(t)
			keys := newKeys(t)
			keys.set(jwk("one", &first.PublicKey))
			v := verifier(t, identity.Config{Keys: &identity.JWKS{URL: keys.url, Now: c.Now}, Now: c.Now})
			try := func(key *rsa.PrivateKey, kid string) error {
				_, err := v.Verify(t.Context(), sign(t, jose.RS256, key, kid, claims(c.Now(), nil)))
				return err
			}
			if err := try(first, "one"); err != nil {
				t.Fatal(err)
			}
			keys.set(jwk(kid, &second.PublicKey))
			// Its first use may come right after a fetch; it has 20 seconds.
			_ = try(second, kid)
			c.advance(6 * time.Second)
			if err := try(second, kid); err != nil {
				t.Errorf("6 s after its first use: %v", err)
			}
			if err := try(first, "one"); fault.CodeOf(err) != fault.Unauthenticated {
				t.Errorf("the key that was taken away: %v", err)
			}
		})
	}
}

// TestTakenAwayUnnoticed: nobody uses the new key, and the old one stops all the
// same.
func TestTakenAwayUnnoticed(t *testing.T) {
	c := new(clock)
	first, _, _ := generate(t)
	keys := newKeys(t)
	keys.set(jwk("one", &first.PublicKey))
	v := verifier(t, identity.Config{Keys: &identity.JWKS{URL: keys.url, Now: c.Now}, Now: c.Now})
	token := func() string { return sign(t, jose.RS256, first, "one", claims(c.Now(), nil)) }
	if _, err := v.Verify(t.Context(), token()); err != nil {
		t.Fatal(err)
	}
	keys.set()
	c.advance(5 * time.Minute)
	if _, err := v.Verify(t.Context(), token()); fault.CodeOf(err) != fault.Unauthenticated {
		t.Errorf("five minutes later: %v", err)
	}
}

// TestKeysAreAway: the keys of before count for an hour, and without any the
// answer says that it is nobody's fault.
func TestKeysAreAway(t *testing.T) {
	for name, break_ := range map[string]func(*published){
		"status 500":   func(p *published) { p.status = 500 },
		"a redirect":   func(p *published) { p.status = http.StatusFound },
		"a page":       func(p *published) { p.body = "<html>maintenance</html>" },
		"no key set":   func(p *published) { p.body = `{"error":"later"}` },
		"a great body": func(p *published) { p.body = `{"keys":["` + strings.Repeat("x", 300<<10) + `"]}` },
	} {
		t.Run(name, func(t *testing.T) {
			c := new(clock)
			key, _, _ := generate(t)
			keys := newKeys(t)
			keys.set(jwk("one", &key.PublicKey))
			v := verifier(t, identity.Config{Keys: &identity.JWKS{URL: keys.url, Now: c.Now}, Now: c.Now})
			verify := func() error {
				_, err := v.Verify(t.Context(), sign(t, jose.RS256, key, "one", claims(c.Now(), nil)))
				return err
			}
			if err := verify(); err != nil {
				t.Fatal(err)
			}
			keys.mu.Lock()
			break_(keys)
			keys.mu.Unlock()
			c.advance(59 * time.Minute)
			if err := verify(); err != nil {
				t.Errorf("59 minutes later: %v", err)
			}
			c.advance(2 * time.Minute)
			if err := verify(); fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("61 minutes later: %v", err)
			}
		})
	}
}

// TestSlowKeys: while the keys are being fetched anew, users with known keys do not
// wait; strangers share one fetch.
func TestSlowKeys(t *testing.T) {
	c := new(clock)
	key, _, _ := generate(t)
	other, _, _ := generate(t)
	keys := newKeys(t)
	keys.set(jwk("one", &key.PublicKey))
	v := verifier(t, identity.Config{Keys: &identity.JWKS{URL: keys.url, Now: c.Now}, Now: c.Now})
	good := sign(t, jose.RS256, key, "one", claims(c.Now(), map[string]any{"exp": start.Add(2 * time.Hour).Unix()}))
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	c.advance(10 * time.Minute)
	block := make(chan struct{})
	keys.mu.Lock()
	keys.block = block
	keys.mu.Unlock()
	var waiting sync.WaitGroup
	for i := range 50 {
		token := sign(t, jose.RS256, other, fmt.Sprint("guess", i), claims(c.Now(), nil))
		waiting.Go(func() {
			if _, err := v.Verify(t.Context(), token); fault.CodeOf(err) != fault.Unauthenticated {
				t.Errorf("a stranger: %v", err)
			}
		})
	}
	for keys.count() < 2 { // until one of them fetches
		time.Sleep(time.Millisecond)
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("meanwhile: %v", err)
	}
	// Nor does one wait longer than the request may.
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(short, sign(t, jose.RS256, other, "guess", claims(c.Now(), nil))); err == nil {
		t.Error("a stranger in a hurry is accepted")
	}
	close(block)
	waiting.Wait()
	if n := keys.count(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}

func FuzzVerify(f *testing.F) {
	v, err := identity.New(identity.Config{Secret: []byte(secret), Issuer: issuer, Audience: audience, Lifetime: time.Hour})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(forge(map[string]any{"alg": "none"}, claims(start, nil), nil))
	f.Add(forge(map[string]any{"alg": "HS256"}, claims(start, nil), []byte("another key")))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := v.Verify(t.Context(), token); err == nil {
			t.Errorf("%q proves %+v", token, p)
		}
	})
}

package virgil_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/virgil"
)

// A key pair as virgil-crypto 5.1.2 exported it, with the id that it computed.
// It is nobody's.
const (
	sampleKey    = "MC4CAQAwBQYDK2VwBCIEIEBjb9+BKZW19OFfHiuUHDFBjh3QjTqeb5YSfoPs21o7"
	samplePublic = "MCowBQYDK2VwAyEAv73yPwUYzJEDfjMRUSzjCWtOeXn4wRfP/KdG34RDSKM="
	sampleID     = "f00e1472c300f262"
	// Another, as Node.js exports it with a password.
	sampleEncrypted = "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhCFRfgRTBrPAICCAAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEECJ+TxXv1LKllZLzB+EsVnAEQNIVhd8y7YgdKhv3aLDHzbH713p2vZeRAeNCMcxLNnfqMvjZyEq/GMC+5ImECeLjH4YAWJRyLDwaljettvTo1P4="
)

func TestParseKey(t *testing.T) {
	for name, text := range map[string]string{
		"as exported":      sampleKey,
		"with blanks":      "  " + sampleKey + "\n",
		"over two lines":   sampleKey[:40] + "\n" + sampleKey[40:],
		"with public part": withPublicPart(t),
	} {
		k, err := virgil.ParseKey(sampleID, text)
		if err != nil || k.ID() != sampleID || k.ComputedID() != sampleID {
			t.Errorf("%s: %s, %s, %v", name, k.ID(), k.ComputedID(), err)
		}
	}
	a, b := newKey(t, "0a"), newKey(t, "0a")
	if same, err := virgil.ParseKey("0b", a.text); err != nil || !same.Equal(a.Key) || same.Equal(b.Key) {
		t.Error("Equal does not tell keys apart")
	}
}

// withPublicPart is the sample in the newer form of RFC 5958, which repeats the
// public key.
func withPublicPart(t *testing.T) string {
	t.Helper()
	der := mustDecode(t, sampleKey)
	public := mustDecode(t, samplePublic)
	der = append(der, append([]byte{0x81, 0x21, 0x00}, public[len(public)-32:]...)...)
	der[1], der[4] = byte(len(der)-2), 1
	return base64.StdEncoding.EncodeToString(der)
}

func TestParseKeyRefuses(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := mustDecode(t, sampleKey)
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"nothing":             {"", virgil.ErrKey},
		"words":               {"this is not a key", virgil.ErrKey},
		"a file's name":       {"/etc/virgil.key", virgil.ErrKey},
		"four KiB":            {strings.Repeat("A", virgil.MaxKey+4), virgil.ErrKey},
		"other base64":        {b64([]byte("something else of the same length, or nearly")), virgil.ErrKey},
		"more behind it":      {b64(append(der, 0)), virgil.ErrKey},
		"cut off":             {sampleKey[:41], virgil.ErrKeyCut},
		"cut at a quantum":    {sampleKey[:48], virgil.ErrKeyCut},
		"one character short": {sampleKey[:63], virgil.ErrKeyCut},
		"PEM":                 {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), virgil.ErrKeyPEM},
		"hex":                 {hex.EncodeToString(der), virgil.ErrKeyHex},
		"the seed in hex":     {hex.EncodeToString(der[16:]), virgil.ErrKeyHex},
		"the bare seed":       {b64(der[16:]), virgil.ErrKeyBare},
		"the bare key":        {b64(private.(ed25519.PrivateKey)), virgil.ErrKeyBare},
		"the public key":      {samplePublic, virgil.ErrKeyPublic},
		"with a password":     {sampleEncrypted, virgil.ErrKeyPassword},
		"RSA":                 {pkcs8(t, rsaKey), virgil.ErrKeyAlgorithm},
		"P-256":               {pkcs8(t, p256), virgil.ErrKeyAlgorithm},
		"X25519":              {pkcs8(t, x25519), virgil.ErrKeyAlgorithm},
	} {
		k, err := virgil.ParseKey(sampleID, tt.text)
		if !errors.Is(err, tt.want) || k.ID() != "" {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// FuzzParseKey: what is accepted signs, and no refusal repeats what it refuses.
func FuzzParseKey(f *testing.F) {
	for _, text := range []string{sampleKey, samplePublic, sampleEncrypted, sampleKey[:48], "-----BEGIN PRIVATE KEY-----", "00ff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := virgil.ParseKey(sampleID, text)
		if err != nil {
			if len(text) > 21 && strings.Contains(err.Error(), text) {
				t.Errorf("%v", err)
			}
			return
		}
		s, err := virgil.NewSigner(appID, k)
		if err != nil {
			t.Fatal(err)
		}
		jwt, _, err := s.Sign("alice", virgil.MinLifetime)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verify(jwt); err != nil {
			t.Errorf("%q signs what it does not accept: %v", text, err)
		}
	})
}

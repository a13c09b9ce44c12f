package virgil

import (
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// MaxKey bounds the text of an App Key, in bytes; an Ed25519 key has 64.
const MaxKey = 4 << 10

// Why the text of an App Key is refused. None repeats any of it.
var (
	ErrKey          = errors.New("virgil: an App Key is base64 of PKCS#8, one line that begins with MC4CAQAwBQYDK2VwBCIEI: copy it whole from Virgil's dashboard")
	ErrKeyCut       = errors.New("virgil: the App Key is cut off: copy it whole from Virgil's dashboard, all 64 characters")
	ErrKeyPEM       = errors.New("virgil: the App Key is in PEM form: leave out the BEGIN and END lines and join the rest to one line")
	ErrKeyHex       = errors.New("virgil: the App Key is in hex: give it in base64, as Virgil's dashboard does")
	ErrKeyBare      = errors.New("virgil: the App Key is a bare Ed25519 key: give it as PKCS#8, which begins with MC4CAQAwBQYDK2VwBCIEI")
	ErrKeyPublic    = errors.New("virgil: this is a public key: the App Key is the private one, which the dashboard shows once, when it is made")
	ErrKeyPassword  = errors.New("virgil: the App Key is encrypted with a password: export it without one")
	ErrKeyAlgorithm = errors.New("virgil: the App Key is not an Ed25519 key, the only kind that can sign Virgil's JWTs")
)

// Key is an App Key with its id.
type Key struct {
	id      string
	private ed25519.PrivateKey
}

// ParseKey reads an App Key: its id as on Virgil's dashboard, and base64 of its
// PKCS#8 form. The error is ErrKeyID or one of those above, whichever helps
// most.
func ParseKey(id, text string) (Key, error) {
	if !isID(id) {
		return Key{}, ErrKeyID
	}
	text = strings.TrimSpace(text)
	if len(text) > MaxKey {
		return Key{}, ErrKey
	}
	if strings.HasPrefix(text, "-----BEGIN") {
		return Key{}, ErrKeyPEM
	}
	// Sixty-four hex digits are base64 too, of something else.
	if b, err := hex.DecodeString(text); err == nil && len(b) > 0 {
		return Key{}, ErrKeyHex
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == "" {
			return Key{}, ErrKeyCut
		}
		return Key{}, ErrKey
	}
	private, err := parsePKCS8(der)
	if err != nil {
		return Key{}, err
	}
	return Key{id, private}, nil
}

func parsePKCS8(der []byte) (ed25519.PrivateKey, error) {
	switch len(der) {
	case ed25519.SeedSize, ed25519.PrivateKeySize:
		return nil, ErrKeyBare
	}
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(der, &outer)
	switch {
	case err != nil && len(der) > 0 && der[0] == asn1.TagSequence|0x20:
		return nil, ErrKeyCut
	case err != nil, len(rest) > 0:
		return nil, ErrKey
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		if private, is := key.(ed25519.PrivateKey); is {
			return private, nil
		}
		return nil, ErrKeyAlgorithm
	}
	return nil, refusal(der)
}

var ed25519OID = asn1.ObjectIdentifier{1, 3, 101, 112} // RFC 8410

// refusal says what a DER structure is that is no PKCS#8 of a kind Go knows.
func refusal(der []byte) error {
	if _, err := x509.ParsePKIXPublicKey(der); err == nil {
		return ErrKeyPublic
	}
	type algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	var encrypted struct {
		Algorithm algorithm
		Data      []byte
	}
	if _, err := asn1.Unmarshal(der, &encrypted); err == nil {
		return ErrKeyPassword
	}
	var other struct {
		Version   int
		Algorithm algorithm
		Key       []byte
	}
	if _, err := asn1.Unmarshal(der, &other); err == nil && !other.Algorithm.OID.Equal(ed25519OID) {
		return ErrKeyAlgorithm
	}
	return ErrKey
}

// ID returns the App Key's id.
func (k Key) ID() string { return k.id }

// ComputedID is the id that Virgil computes from the key itself: 16 hex digits
// of the SHA-512 of its public half. The dashboard's id is usually the same;
// what it says counts.
func (k Key) ComputedID() string {
	spki, err := x509.MarshalPKIXPublicKey(k.public())
	if err != nil {
		panic(err) // an Ed25519 key always marshals
	}
	sum := sha512.Sum512(spki)
	return hex.EncodeToString(sum[:8])
}

// Equal reports whether two keys are the same, whatever their ids.
func (k Key) Equal(other Key) bool { return k.private.Equal(other.private) }

func (k Key) public() ed25519.PublicKey {
	public, _ := k.private.Public().(ed25519.PublicKey)
	return public
}

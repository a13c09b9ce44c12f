// Package virgil issues the JWTs with which clients of Virgil E3Kit, end-to-end
// encryption for IM's messages, prove to Virgil's cloud who they are.
//
//	key, err := virgil.ParseKey(appKeyID, appKey) // as on Virgil's dashboard
//	s, err := virgil.NewSigner(appID, key)
//	jwt, expires, err := s.Sign("alice", 20*time.Minute)
//
// Virgil's identities are IM's UserIDs, byte for byte: E3Kit finds the keys of
// whoever IM says wrote a message by that name. A JWT lets its holder publish
// keys as this identity, so issue it only to somebody proven to be that user.
//
// The layout of a JWT is Virgil's own (VEDS512: Ed25519 over the SHA-512 of the
// text), read off virgil-sdk 6.2.0 for JavaScript, whose verifier accepts these.
package virgil

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Limits of what is signed, our decision.
const (
	MinLifetime = time.Minute
	MaxLifetime = time.Hour // a JWT cannot be revoked
	maxID       = 64        // bytes of an App ID or App Key ID; Virgil's have 32 and 16
)

// backdate is how far in the past a JWT begins, for verifiers whose clocks are
// behind.
const backdate = 5 * time.Second

// Errors of NewSigner and Sign.
var (
	ErrAppID    = errors.New("virgil: an App ID is letters and digits, as on Virgil's dashboard and without \"virgil-\" before it")
	ErrKeyID    = errors.New("virgil: an App Key ID is letters and digits, as on Virgil's dashboard")
	ErrIdentity = errors.New("virgil: an identity is a UserID, 1 to 32 bytes of printable ASCII without blanks")
	ErrLifetime = fmt.Errorf("virgil: a JWT lasts from %v to %v", MinLifetime, MaxLifetime)
)

// The parts of a JWT that are the same in all.
const (
	algorithm   = "VEDS512"
	contentType = "virgil-jwt;v=1"
	issuer      = "virgil-"
	subject     = "identity-"
)

// envelope precedes the 64 bytes of the signature: the ASN.1 of
// SEQUENCE{SEQUENCE{OID sha-512, NULL}, OCTET STRING}.
const envelope = "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"

var b64 = base64.RawURLEncoding

// Signer signs and verifies for one app. It is safe for concurrent use.
type Signer struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	appID  string
	key    Key
	keys   map[string]ed25519.PublicKey // by id: what Verify accepts
	header string                       // of every JWT, with its dot
	claims string                       // how every payload begins
}

// NewSigner returns a Signer that signs with key. The Signer also verifies JWTs that
// the previous keys signed: after a rotation those JWTs stay valid until they expire.
func NewSigner(appID string, key Key, previous ...Key) (*Signer, error) {
	if !isID(appID) {
		return nil, ErrAppID
	}
	s := &Signer{appID: appID, key: key, keys: make(map[string]ed25519.PublicKey)}
	for _, k := range slices.Concat(previous, []Key{key}) {
		if !isID(k.id) {
			return nil, ErrKeyID
		}
		s.keys[k.id] = k.public()
	}
	s.header = b64.EncodeToString([]byte(`{"alg":"`+algorithm+`","kid":"`+key.id+`","typ":"JWT","cty":"`+contentType+`"}`)) + "."
	s.claims = `{"iss":"` + issuer + appID + `","sub":`
	return s, nil
}

// isID allows what Virgil's ids are made of, and a little more, and nothing
// that JSON would have to escape.
func isID(id string) bool {
	for i := range len(id) {
		c := id[i] | 0x20
		if (c < 'a' || c > 'z') && (id[i] < '0' || id[i] > '9') {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

func (s *Signer) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// Sign issues a JWT and says when it expires: lifetime, in whole seconds, after
// a moment a few seconds ago, at which it begins. The error is ErrIdentity or
// ErrLifetime.
func (s *Signer) Sign(identity string, lifetime time.Duration) (jwt string, expires time.Time, err error) {
	if usersig.CheckUserID(identity) != nil {
		return "", time.Time{}, ErrIdentity
	}
	if lifetime < MinLifetime || lifetime > MaxLifetime {
		return "", time.Time{}, ErrLifetime
	}
	begin := s.now().Add(-backdate).Unix()
	end := begin + int64(lifetime/time.Second)

	payload := append(make([]byte, 0, 192), s.claims...)
	payload = strconv.AppendQuote(payload, subject+identity) // of printable ASCII, this is JSON
	payload = append(payload, `,"iat":`...)
	payload = strconv.AppendInt(payload, begin, 10)
	payload = append(payload, `,"exp":`...)
	payload = strconv.AppendInt(payload, end, 10)
	payload = append(payload, '}')

	out := append(make([]byte, 0, 512), s.header...)
	out = b64.AppendEncode(out, payload)
	digest := sha512.Sum512(out)
	signature := append(make([]byte, 0, len(envelope)+ed25519.SignatureSize), envelope...)
	signature = append(signature, ed25519.Sign(s.key.private, digest[:])...)
	out = append(out, '.')
	return string(b64.AppendEncode(out, signature)), time.Unix(end, 0), nil
}

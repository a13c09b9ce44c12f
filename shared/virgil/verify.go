package virgil

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Why a JWT is not accepted, in the order in which Verify looks.
var (
	ErrMalformed = errors.New("virgil: not a Virgil JWT")
	ErrOtherKey  = errors.New("virgil: the JWT names a key that is not ours")
	ErrSignature = errors.New("virgil: the signature does not fit")
	ErrOtherApp  = errors.New("virgil: the JWT is for another app")
	ErrExpired   = errors.New("virgil: the JWT has expired")
	ErrNotYet    = errors.New("virgil: the JWT is from the future")
)

// Bounds of what Verify reads.
const (
	maxJWT  = 8 << 10 // characters; ours have at most 400, others may carry more data
	maxSkew = 5 * time.Minute
)

// Claims is what a verified JWT says.
type Claims struct {
	Identity string
	KeyID    string // the App Key that signed it
	IssuedAt time.Time
	Expires  time.Time
}

// Verify accepts a JWT of this app that this Signer's key or a previous one
// signed and that has not expired, whichever library made it, and says what it
// claims. It returns one of the errors of this package otherwise.
func (s *Signer) Verify(jwt string) (Claims, error) {
	if len(jwt) > maxJWT {
		return Claims{}, ErrMalformed
	}
	dot := strings.LastIndexByte(jwt, '.')
	if dot < 0 {
		return Claims{}, ErrMalformed
	}
	signed := jwt[:dot]
	signature, ok := strings.CutPrefix(decode(jwt[dot+1:]), envelope)
	head, payload, two := strings.Cut(signed, ".")
	if !ok || !two || len(signature) != ed25519.SignatureSize {
		return Claims{}, ErrMalformed
	}
	var header struct{ Alg, Kid, Cty string }
	if json.Unmarshal([]byte(decode(head)), &header) != nil || header.Alg != algorithm || header.Cty != contentType {
		return Claims{}, ErrMalformed
	}
	key, ours := s.keys[header.Kid]
	if !ours {
		return Claims{}, ErrOtherKey
	}
	digest := sha512.Sum512([]byte(signed))
	if !ed25519.Verify(key, digest[:], []byte(signature)) {
		return Claims{}, ErrSignature
	}
	var body struct {
		Iss, Sub string
		Iat, Exp int64
	}
	identity, named := "", false
	if json.Unmarshal([]byte(decode(payload)), &body) == nil {
		identity, named = strings.CutPrefix(body.Sub, subject)
	}
	c := Claims{Identity: identity, KeyID: header.Kid, IssuedAt: time.Unix(body.Iat, 0), Expires: time.Unix(body.Exp, 0)}
	switch now := s.now(); {
	case !named || usersig.CheckUserID(identity) != nil:
		return Claims{}, ErrMalformed
	case body.Iss != issuer+s.appID:
		return Claims{}, ErrOtherApp
	case !now.Before(c.Expires):
		return Claims{}, ErrExpired
	case c.IssuedAt.Sub(now) > maxSkew:
		return Claims{}, ErrNotYet
	}
	return c, nil
}

// decode returns what base64 text stands for, or "", which nothing here
// accepts.
func decode(text string) string {
	if strings.ContainsAny(text, "\r\n") {
		return "" // the decoder would pass over them
	}
	b, err := b64.Strict().DecodeString(text)
	if err != nil {
		return ""
	}
	return string(b)
}

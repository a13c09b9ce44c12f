package usersig

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
)

// Why Verify rejects a UserSig, in the order of its checks.
var (
	ErrMalformed = errors.New("usersig: not a UserSig")
	ErrOtherApp  = errors.New("usersig: the UserSig is for another app")
	ErrOtherUser = errors.New("usersig: the UserSig is for another user")
	ErrSignature = errors.New("usersig: the signature does not fit")
	ErrExpired   = errors.New("usersig: the UserSig has expired")
	ErrNotYet    = errors.New("usersig: the UserSig is from the future")
)

// Bounds of what Verify reads.
const (
	maxSig     = 4 << 10 // characters of a UserSig; without a buffer it has about 200
	maxInflate = 8 << 10 // bytes of the JSON inside
	maxSkew    = 5 * time.Minute
)

// Claims is what a verified UserSig says.
type Claims struct {
	UserID   string
	IssuedAt time.Time
	Expires  time.Time
	Buf      []byte // nil if the UserSig carries none
}

// document is the JSON inside. Unknown fields are refused: nothing else is
// signed.
type document struct {
	Version    string  `json:"TLS.ver"`
	Identifier string  `json:"TLS.identifier"`
	SDKAppID   uint32  `json:"TLS.sdkappid"`
	Expire     int64   `json:"TLS.expire"`
	Time       int64   `json:"TLS.time"`
	UserBuf    *string `json:"TLS.userbuf"`
	Sig        string  `json:"TLS.sig"`
}

var decodeAlphabet = strings.NewReplacer("*", "+", "-", "/", "_", "=")

// Verify checks that a UserSig was issued for this app and this user with this key
// and has not expired, and returns its claims. Otherwise it returns one of the
// errors of this package.
func (s *Signer) Verify(userID, sig string) (Claims, error) {
	d, err := parse(sig)
	if err != nil {
		return Claims{}, err
	}
	if d.SDKAppID != s.appID {
		return Claims{}, ErrOtherApp
	}
	if d.Identifier != userID {
		return Claims{}, ErrOtherUser
	}
	given, err := std.Strict().DecodeString(d.Sig)
	if err != nil {
		return Claims{}, ErrMalformed
	}
	c := Claims{UserID: d.Identifier, IssuedAt: time.Unix(d.Time, 0), Expires: time.Unix(d.Time+d.Expire, 0)}
	var buf64 []byte
	if d.UserBuf != nil {
		buf64 = []byte(*d.UserBuf)
		if c.Buf, err = std.DecodeString(*d.UserBuf); err != nil {
			return Claims{}, ErrMalformed
		}
	}
	w := s.pool.Get().(*scratch)
	defer s.pool.Put(w)
	w.content = appendContent(w.content[:0], d.SDKAppID, d.Identifier, d.Time, d.Expire, buf64)
	w.mac.Reset()
	w.mac.Write(w.content)
	if !hmac.Equal(w.mac.Sum(w.sum[:0]), given) {
		return Claims{}, ErrSignature
	}
	switch now := s.now(); {
	case !now.Before(c.Expires):
		return Claims{}, ErrExpired
	case c.IssuedAt.Sub(now) > maxSkew:
		return Claims{}, ErrNotYet
	}
	return c, nil
}

func parse(sig string) (document, error) {
	var d document
	if len(sig) > maxSig || strings.ContainsAny(sig, "+/=\r\n") {
		return d, ErrMalformed
	}
	packed, err := std.DecodeString(decodeAlphabet.Replace(sig))
	if err != nil {
		return d, ErrMalformed
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return d, ErrMalformed
	}
	text, err := io.ReadAll(io.LimitReader(z, maxInflate+1))
	if err != nil || len(text) > maxInflate {
		return d, ErrMalformed
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, ErrMalformed
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return d, ErrMalformed
	}
	if d.Version != "2.0" || CheckUserID(d.Identifier) != nil ||
		d.Expire <= 0 || d.Expire > int64(50*365*24*time.Hour/time.Second) || d.Time <= 0 || d.Time > 1<<40 {
		return d, ErrMalformed
	}
	return d, nil
}

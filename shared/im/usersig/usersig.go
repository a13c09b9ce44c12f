// Package usersig issues and verifies UserSigs, the credential a client or a
// backend logs in to Tencent Cloud Chat with.
//
//	s, err := usersig.NewSigner(appID, secretKey)
//	sig, err := s.Sign("alice", 24*time.Hour)
//
// Whoever holds a UserSig can act as its user until it expires. Issue a UserSig
// only to a caller who has proved to be that user, never for an admin, and keep it
// out of logs.
//
// A plain UserSig has the same bytes as one that Tencent's own library
// (tls-sig-api-v2-golang v1.2.0) signs in the same second, in a third of the time
// and with one allocation. PrivateMapKeys of TRTC rooms, which are issued seldom,
// are signed by that library.
package usersig

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"sync"
	"time"
)

// Limits of what is signed.
const (
	MaxUserID = 32                        // bytes (1047/34385)
	MinExpire = time.Second               // a shorter UserSig would expire on its way
	MaxExpire = 10 * 365 * 24 * time.Hour // the smaller of the two documented bounds
	MaxKey    = 256                       // bytes; IM's keys have 64
)

// Errors of Sign and NewSigner.
var (
	ErrUserID = errors.New("usersig: a UserID has 1 to 32 bytes of printable ASCII without blanks")
	ErrExpire = errors.New("usersig: a UserSig lasts from 1 second to 10 years")
	ErrKey    = errors.New("usersig: the app's SDKAppID and key are required")
)

// CheckUserID returns ErrUserID for an id that IM would refuse or that its
// documentation advises against: other than 1 to 32 bytes of printable ASCII
// (1047/34385).
func CheckUserID(id string) error {
	if len(id) == 0 || len(id) > MaxUserID {
		return ErrUserID
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return ErrUserID
		}
	}
	return nil
}

// Signer signs for one app. It is safe for concurrent use.
type Signer struct {
	appID uint32
	key   []byte
	now   func() time.Time
	pool  sync.Pool // *scratch
}

// NewSigner returns a Signer for an app's SDKAppID and SecretKey, which is used
// as the text it is.
func NewSigner(appID uint32, key string) (*Signer, error) {
	return NewSignerAt(appID, key, time.Now)
}

// NewSignerAt is NewSigner with a clock.
func NewSignerAt(appID uint32, key string, now func() time.Time) (*Signer, error) {
	if appID == 0 || key == "" || len(key) > MaxKey {
		return nil, ErrKey
	}
	s := &Signer{appID: appID, key: []byte(key), now: now}
	s.pool.New = func() any { return newScratch(s.key) }
	return s, nil
}

// Sign issues a UserSig that lasts for expire, which counts in whole seconds.
// Errors are ErrUserID and ErrExpire.
func (s *Signer) Sign(userID string, expire time.Duration) (string, error) {
	if err := CheckUserID(userID); err != nil {
		return "", err
	}
	if expire < MinExpire || expire > MaxExpire {
		return "", ErrExpire
	}
	w := s.pool.Get().(*scratch)
	defer s.pool.Put(w)
	return w.sign(s.appID, userID, s.now().Unix(), int64(expire/time.Second))
}

// scratch is what one signature needs, kept for the next: the compressor alone
// is 800 KB.
type scratch struct {
	mac     hash.Hash
	content []byte
	json    []byte
	out     bytes.Buffer
	zlib    *zlib.Writer
	sum     [sha256.Size]byte
}

func newScratch(key []byte) *scratch {
	w := &scratch{mac: hmac.New(sha256.New, key)}
	w.zlib = zlib.NewWriter(&w.out)
	return w
}

// appendContent writes the text that is signed.
func appendContent(b []byte, appID uint32, userID string, at, expire int64, buf64 []byte) []byte {
	b = append(b, "TLS.identifier:"...)
	b = append(b, userID...)
	b = append(b, "\nTLS.sdkappid:"...)
	b = strconv.AppendUint(b, uint64(appID), 10)
	b = append(b, "\nTLS.time:"...)
	b = strconv.AppendInt(b, at, 10)
	b = append(b, "\nTLS.expire:"...)
	b = strconv.AppendInt(b, expire, 10)
	b = append(b, '\n')
	if buf64 != nil {
		b = append(b, "TLS.userbuf:"...)
		b = append(b, buf64...)
		b = append(b, '\n')
	}
	return b
}

var std = base64.StdEncoding

func (w *scratch) sign(appID uint32, userID string, at, expire int64) (string, error) {
	w.content = appendContent(w.content[:0], appID, userID, at, expire, nil)
	w.mac.Reset()
	w.mac.Write(w.content)
	sum := w.mac.Sum(w.sum[:0])

	// The library marshals a map, so the keys come in their order.
	j := append(w.json[:0], `{"TLS.expire":`...)
	j = strconv.AppendInt(j, expire, 10)
	j = append(j, `,"TLS.identifier":`...)
	j = appendString(j, userID)
	j = append(j, `,"TLS.sdkappid":`...)
	j = strconv.AppendUint(j, uint64(appID), 10)
	j = append(j, `,"TLS.sig":"`...)
	j = std.AppendEncode(j, sum)
	j = append(j, `","TLS.time":`...)
	j = strconv.AppendInt(j, at, 10)
	j = append(j, `,"TLS.ver":"2.0"}`...)
	w.json = j

	w.out.Reset()
	w.zlib.Reset(&w.out)
	if _, err := w.zlib.Write(j); err != nil {
		return "", fmt.Errorf("usersig: %w", err)
	}
	if err := w.zlib.Close(); err != nil {
		return "", fmt.Errorf("usersig: %w", err)
	}
	j = std.AppendEncode(j[:0], w.out.Bytes())
	w.json = j
	for i, c := range j {
		switch c {
		case '+':
			j[i] = '*'
		case '/':
			j[i] = '-'
		case '=':
			j[i] = '_'
		}
	}
	return string(j), nil
}

// appendString writes a JSON string of printable ASCII as encoding/json does.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '<', '>', '&':
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

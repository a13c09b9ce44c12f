package salesforce

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// Window is how old or how far ahead a signed request's timestamp may be. Our
// decision.
const Window = 5 * time.Minute

// Errors for requests that are not authenticated as the org's.
var (
	ErrUnknown = fault.New(fault.Unauthenticated, "this is neither signed as the org signs, nor has it the key of the org")
	ErrStale   = fault.New(fault.Unauthenticated, "the timestamp is more than 5 minutes away from the time here")
)

// The headers by which an org proves itself.
const (
	keyHeader       = "X-Im-Key"
	timestampHeader = "X-Im-Timestamp"
	signatureHeader = "X-Im-Signature"
)

// Org authenticates requests of an org: either by the header X-IM-Key, which an
// External Credential adds and Apex never sees, or by Apex's signature.
type Org struct {
	Key     string           // "": not accepted
	HMACKey string           // "": not accepted
	Now     func() time.Time // nil: time.Now
}

// Signature is what the header X-IM-Signature holds for a body, sent with the
// header X-IM-Timestamp, in seconds since 1970:
//
//	EncodingUtil.convertToHex(Crypto.generateMac('HmacSHA256', Blob.valueOf(timestamp + '.' + body), key))
func Signature(key, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Check returns ErrUnknown or ErrStale unless the request comes from the org.
func (o Org) Check(h http.Header, body []byte) error {
	if signature := h.Get(signatureHeader); signature != "" && o.HMACKey != "" {
		return o.checkSigned(signature, h.Get(timestampHeader), body)
	}
	// Of hashes, since their lengths are equal.
	given, known := sha256.Sum256([]byte(h.Get(keyHeader))), sha256.Sum256([]byte(o.Key))
	if o.Key == "" || !hmac.Equal(given[:], known[:]) {
		return ErrUnknown
	}
	return nil
}

func (o Org) checkSigned(signature, timestamp string, body []byte) error {
	if !hmac.Equal([]byte(signature), []byte(Signature(o.HMACKey, timestamp, body))) {
		return ErrUnknown
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	if age := now().Sub(time.Unix(seconds, 0)); err != nil || age > Window || age < -Window {
		return ErrStale
	}
	return nil
}

package callback

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Why a request is not believed to come from IM, each by itself. None of them
// is told to the sender.
var (
	ErrPathSecret   = errors.New("callback: wrong or missing path secret")
	ErrOtherApp     = errors.New("callback: SdkAppid is not this app's")
	ErrNoSignature  = errors.New("callback: Sign or RequestTime is missing; is authentication switched on in the console?")
	ErrBadTime      = errors.New("callback: RequestTime is not a time in seconds")
	ErrExpired      = errors.New("callback: RequestTime is too long ago; is the clock right?")
	ErrFuture       = errors.New("callback: RequestTime is in the future; is the clock right?")
	ErrBadSignature = errors.New("callback: Sign does not fit; does the token agree with the console's?")
)

// How old a signature may be. Before-callbacks are never repeated; a repeated
// after-callback may carry its first RequestTime (IM advises 60 s, 1047/34354).
const (
	beforeWindow = 60 * time.Second
	afterWindow  = 15 * time.Minute
	futureWindow = 60 * time.Second
)

// Sign returns the signature of a callback: the hash of the console's token
// followed by the time, in lower-case hex (1047/34354).
func Sign(token, requestTime string) string {
	sum := sha256.Sum256([]byte(token + requestTime))
	return hex.EncodeToString(sum[:])
}

// verify checks a signature against every token in use, in constant time.
func verify(tokens []string, sign, requestTime string, now time.Time, window time.Duration) error {
	if sign == "" || requestTime == "" {
		return ErrNoSignature
	}
	seconds, err := strconv.ParseInt(requestTime, 10, 64)
	if err != nil || len(requestTime) > 12 {
		return ErrBadTime
	}
	sign = strings.ToLower(sign)
	good := 0
	for _, token := range tokens {
		good |= subtle.ConstantTimeCompare([]byte(Sign(token, requestTime)), []byte(sign))
	}
	switch age := now.Sub(time.Unix(seconds, 0)); {
	case good == 0:
		return ErrBadSignature
	case age > window:
		return ErrExpired
	case age < -futureWindow:
		return ErrFuture
	}
	return nil
}

package callback

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Signature windows: how old a signature may be, and how far ahead. IM never retries
// before-callbacks, and advises 60 s (1047/34354). A retried after-callback may carry
// its first RequestTime: 15 min is our decision.
const (
	beforeWindow = 60 * time.Second
	afterWindow  = 15 * time.Minute
	futureWindow = 60 * time.Second
)

// Sign returns the signature of a callback: the hash of the console's token
// followed by the time in seconds, in lower-case hex (1047/34354).
func Sign(token, requestTime string) string {
	sum := sha256.Sum256([]byte(token + requestTime))
	return hex.EncodeToString(sum[:])
}

// verify checks a signature, in hex of either case, against every token in use,
// in constant time.
func verify(tokens []string, sign, requestTime string, now time.Time, window time.Duration) error {
	if sign == "" || requestTime == "" {
		return ErrNoSignature
	}
	// Twelve digits last for 30,000 years and keep the arithmetic safe.
	seconds, err := strconv.ParseUint(requestTime, 10, 64)
	if err != nil || len(requestTime) > 12 {
		return ErrBadTime
	}
	sign = strings.ToLower(sign)
	good := 0
	for _, token := range tokens {
		good |= subtle.ConstantTimeCompare([]byte(Sign(token, requestTime)), []byte(sign))
	}
	switch age := now.Sub(time.Unix(int64(seconds), 0)); {
	case good == 0:
		return ErrBadSignature
	case age > window:
		return ErrExpired
	case age < -futureWindow:
		return ErrFuture
	}
	return nil
}

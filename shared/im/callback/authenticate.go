package callback

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
)

// authenticate makes sure that the request is IM's and for this app. It looks at
// the path and the query alone, so that nobody else makes us read a body; a [Watcher]
// alone may look at a small one. A query
// without a command needs no signature: it reaches nothing.
func (ep *Endpoint) authenticate(r *http.Request) (Query, error) {
	q, sign, requestTime, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return Query{}, err
	}
	// Hashes have one length, so the time says nothing of the secret's.
	given := sha256.Sum256([]byte(r.PathValue("secret")))
	if subtle.ConstantTimeCompare(given[:], ep.secret[:]) != 1 {
		return q, ErrPathSecret
	}
	if q.Command == "" {
		return q, nil
	}
	if q.SDKAppID != ep.c.SDKAppID {
		return q, ErrOtherApp
	}
	if len(ep.tokens) == 0 {
		return q, nil
	}
	window := afterWindow
	if lookUp(q.Command).kind == before {
		window = beforeWindow
	}
	return q, verify(ep.tokens, sign, requestTime, ep.c.Now(), window)
}

package identity

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// JWKS is a set of public keys at a URL. It is safe for concurrent use.
//
// A token that no known key fits causes a new fetch of the set, at most every 5
// seconds, so that a new key works within seconds. A set that is older than 5 minutes
// is fetched again with the next token, so that a removed key stops working. While the
// URL does not answer, the last fetched keys stay valid for an hour.
type JWKS struct {
	URL       string
	Transport http.RoundTripper // nil: http.DefaultTransport
	Now       func() time.Time  // nil: time.Now
	Log       *slog.Logger      // nil: slog.Default

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time     // when the keys were
	tried   time.Time     // when that was tried last
	running chan struct{} // closed when the fetch ends that is under way; nil: none is
}

const (
	fetchTimeout = 3 * time.Second
	fetchPause   = 5 * time.Second // between two fetches
	keysFresh    = 5 * time.Minute
	keysStale    = time.Hour
	maxKeySet    = 256 << 10 // bytes
	maxKeys      = 100
	minRSA       = 2048 // bits
)

var (
	errNoKey  = errors.New("no key fits")
	errNoKeys = fault.New(fault.Unavailable, "tokens cannot be verified at the moment; send the same request again").After(fetchPause)
)

// try looks whether one of the keys fits, fetching them where that is due. Its
// errors are errNoKey, and one of code Unavailable where no keys are known.
func (k *JWKS) try(ctx context.Context, fits func([]jose.JSONWebKey) bool) error {
	keys, fetched := k.known()
	fresh := k.now().Sub(fetched) < keysFresh
	if fresh && fits(keys) {
		return nil
	}
	// Where others fetch already, a key of before will do.
	if !fresh && keys != nil && k.busy() && fits(keys) {
		return nil
	}
	k.refresh(ctx)
	again, then := k.known()
	switch {
	case again == nil:
		return errNoKeys
	case (!fresh || then.After(fetched)) && fits(again):
		return nil
	}
	return errNoKey
}

// known returns the keys that count now.
func (k *JWKS) known() ([]jose.JSONWebKey, time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil || k.now().Sub(k.fetched) >= keysStale {
		return nil, time.Time{}
	}
	return k.keys, k.fetched
}

func (k *JWKS) busy() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.running != nil
}

// refresh fetches the keys, or waits for a fetch that is under way. It does nothing
// within fetchPause after the last one.
func (k *JWKS) refresh(ctx context.Context) {
	k.mu.Lock()
	running := k.running
	if running == nil {
		if now := k.now(); !k.tried.IsZero() && now.Sub(k.tried) < fetchPause && now.After(k.tried.Add(-time.Second)) {
			k.mu.Unlock()
			return
		}
		running = make(chan struct{})
		k.running = running
		// Not the request's own context: others wait too.
		go k.fetch(context.WithoutCancel(ctx), running)
	}
	k.mu.Unlock()
	select {
	case <-running:
	case <-ctx.Done():
	}
}

func (k *JWKS) fetch(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, err := k.get(ctx)
	if err != nil {
		cmp.Or(k.Log, slog.Default()).WarnContext(ctx, "keys of IDENTITY_JWKS_URL not fetched; the last fetched keys stay valid for an hour", "error", err.Error())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried = k.now()
	if err == nil {
		k.keys, k.fetched = keys, k.tried
	}
	k.running = nil
	close(done)
}

// get fetches the set. Keys that are not for us are left out: private and symmetric
// ones, weak ones, those for encryption and of unknown kinds.
func (k *JWKS) get(ctx context.Context) ([]jose.JSONWebKey, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.URL, nil)
	if err != nil {
		return nil, errors.New("the URL is invalid")
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	transport := k.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	// Not a client's Do, which would follow redirects.
	res, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(body) > maxKeySet || json.Unmarshal(body, &set) != nil || set.Keys == nil || len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the answer is not a JSON Web Key Set of at most %d keys and %d KiB", maxKeys, maxKeySet>>10)
	}
	keys := []jose.JSONWebKey{}
	for _, one := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(one, &key) == nil && usable(key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func usable(k jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" || !k.Valid() {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

func (k *JWKS) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

// Package identity verifies JSON Web Tokens by which an issuer that the merchant
// trusts names a user.
package identity

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// Config makes a [Verifier]. Exactly one of Secret, Keys and Key is set.
type Config struct {
	// Secret is the key of tokens signed with HS256, at least 32 bytes.
	Secret []byte
	// Keys are public keys that the issuer publishes.
	Keys *JWKS
	// Key is one public key, for RS256.
	Key crypto.PublicKey

	// Issuer and Audience are what the claims iss and aud must say. Both are
	// required: a token for another audience is refused.
	Issuer, Audience string
	// Claim names the claim that holds the UserID; "" stands for sub.
	Claim string
	// Subject returns the UserID that the claim means; nil: the claim itself.
	Subject func(claim string) (userID string, ok bool)
	// Lifetime bounds the time from a token's issue to its end.
	Lifetime time.Duration
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: slog.Default
}

// MinSecret is the least length of a Secret, in bytes (RFC 7518, 3.2).
const MinSecret = 32

const (
	// leeway is how far clocks may differ.
	leeway = 10 * time.Second
	// maxToken bounds a token, in characters.
	maxToken = 8 << 10
)

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	c     Config
	algos []jose.SignatureAlgorithm
}

// Algorithms that public keys may be for. HMAC is not among them: whoever knows a
// public key could sign with it.
var public = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// New checks a configuration.
func New(c Config) (*Verifier, error) {
	v := &Verifier{c: c}
	sources := 0
	if c.Secret != nil {
		v.algos = []jose.SignatureAlgorithm{jose.HS256}
		sources++
	}
	if c.Keys != nil {
		v.algos = public
		sources++
	}
	if c.Key != nil {
		v.algos = []jose.SignatureAlgorithm{jose.RS256}
		sources++
	}
	switch {
	case sources != 1:
		return nil, errors.New("identity: one kind of key is required")
	case c.Secret != nil && len(c.Secret) < MinSecret:
		return nil, fmt.Errorf("identity: the secret has under %d bytes", MinSecret)
	case c.Issuer == "" || c.Audience == "":
		return nil, errors.New("identity: issuer and audience are required")
	case c.Lifetime <= 0:
		return nil, errors.New("identity: a lifetime is required")
	}
	if v.c.Now == nil {
		v.c.Now = time.Now
	}
	if v.c.Log == nil {
		v.c.Log = slog.Default()
	}
	if v.c.Claim == "" {
		v.c.Claim = "sub"
	}
	return v, nil
}

// errRefused is the one answer to all tokens that prove nothing.
var errRefused = fault.New(fault.Unauthenticated, "this token is not accepted; log in again")

// Verify is a [credential.Prover]. The log says why a token is refused, and quotes no
// part of the token.
func (v *Verifier) Verify(ctx context.Context, token string) (credential.Proof, error) {
	proof, reason, err := v.verify(ctx, token)
	if err != nil {
		return credential.Proof{}, err
	}
	if reason != "" {
		v.c.Log.WarnContext(ctx, "identity token refused", "reason", reason)
		return credential.Proof{}, errRefused
	}
	return proof, nil
}

func (v *Verifier) verify(ctx context.Context, token string) (proof credential.Proof, reason string, err error) {
	if len(token) > maxToken {
		return proof, "too long", nil
	}
	parsed, err := jwt.ParseSigned(token, v.algos)
	if err != nil {
		return proof, "no token in the compact form, or with another algorithm than expected", nil
	}
	claims := map[string]json.RawMessage{}
	var registered jwt.Claims
	if err := v.check(ctx, parsed, &registered, &claims); err != nil {
		if fault.CodeOf(err) == fault.Unavailable {
			return proof, "", err
		}
		return proof, "the signature does not fit a known key, or the claims have unexpected forms", nil
	}
	now := v.c.Now()
	switch err := registered.ValidateWithLeeway(jwt.Expected{Issuer: v.c.Issuer, AnyAudience: jwt.Audience{v.c.Audience}, Time: now}, leeway); {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return proof, "another issuer (iss)", nil
	case errors.Is(err, jwt.ErrInvalidAudience):
		return proof, "another audience (aud)", nil
	case errors.Is(err, jwt.ErrExpired):
		return proof, "expired (exp)", nil
	case err != nil:
		return proof, "from the future (nbf or iat)", nil
	case registered.Expiry == nil:
		return proof, "without an end (exp)", nil
	}
	proof.Issued, proof.Expires = now, registered.Expiry.Time()
	if registered.IssuedAt != nil {
		proof.Issued = registered.IssuedAt.Time()
	}
	if proof.Expires.Sub(proof.Issued) > v.c.Lifetime+leeway {
		return proof, fmt.Sprintf("a longer life than %v", v.c.Lifetime), nil
	}
	proof.UserID = text(claims[v.c.Claim])
	if proof.UserID == "" {
		return proof, fmt.Sprintf("without text in the claim %q", v.c.Claim), nil
	}
	if v.c.Subject != nil {
		var ok bool
		if proof.UserID, ok = v.c.Subject(proof.UserID); !ok {
			return proof, fmt.Sprintf("an unexpected form of the claim %q", v.c.Claim), nil
		}
	}
	proof.Nick, proof.FaceURL = text(claims["name"]), text(claims["picture"])
	return proof, "", nil
}

// text returns a claim that is text, or "".
func text(claim json.RawMessage) string {
	var s string
	_ = json.Unmarshal(claim, &s)
	return s
}

// check verifies the signature and reads the claims.
func (v *Verifier) check(ctx context.Context, t *jwt.JSONWebToken, into ...any) error {
	switch {
	case v.c.Secret != nil:
		return t.Claims(v.c.Secret, into...)
	case v.c.Key != nil:
		return t.Claims(v.c.Key, into...)
	}
	header := t.Headers[0]
	return v.c.Keys.try(ctx, func(keys []jose.JSONWebKey) bool {
		return slices.ContainsFunc(keys, func(k jose.JSONWebKey) bool {
			// What the key says of itself counts, not what the token says of it.
			return (header.KeyID == "" || header.KeyID == k.KeyID) && (k.Algorithm == "" || k.Algorithm == header.Algorithm) && t.Claims(k.Key, into...) == nil
		})
	})
}

// ZendeskSubject reads the claim sub of a token that Zendesk signs for an app:
// the URL of the agent, https://SUBDOMAIN.zendesk.com/api/v2/users/ID.json.
func ZendeskSubject(sub string) (userID string, ok bool) {
	_, id, found := strings.Cut(sub, "/api/v2/users/")
	id, json := strings.CutSuffix(id, ".json")
	return id, found && json && id != "" && !strings.Contains(id, "/")
}

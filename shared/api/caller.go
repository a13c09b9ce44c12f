package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Caller is who sent a request, proven: a user or a server.
type Caller struct {
	UserID  string    // an end user, who may act as himself only
	Issued  time.Time // when the user's proof, a UserSig or a token, was issued
	Expires time.Time // when that proof expires
	Server  string    // a server, by the name of its API key
}

// Keys are the API keys that servers call with, as their hashes.
type Keys struct{ keys []key }

type key struct {
	name string
	hash [sha256.Size]byte
}

// ParseKeys reads keys of the form name:hash, the hash being the hex SHA-256
// of the key.
func ParseKeys(list []string) (Keys, error) {
	var k Keys
	names := make(map[string]bool)
	for i, item := range list {
		name, hash, found := strings.Cut(item, ":")
		b, err := hex.DecodeString(hash)
		switch {
		case !found || name == "" || err != nil || len(b) != sha256.Size:
			return Keys{}, fmt.Errorf("key %d is not name:hash, with the SHA-256 of the key in 64 hex digits", i+1)
		case names[name]:
			return Keys{}, fmt.Errorf("the name %q occurs twice", name)
		}
		names[name] = true
		k.keys = append(k.keys, key{name, [sha256.Size]byte(b)})
	}
	return k, nil
}

// HasKey reports whether a key is one of Keys, so that a program can refuse published
// keys.
func (k Keys) HasKey(secret string) bool { return k.find(secret) != "" }

// find returns the name of a key, or "". It takes the same time whichever key
// fits.
func (k Keys) find(secret string) string {
	hash := sha256.Sum256([]byte(secret))
	found := ""
	for _, candidate := range k.keys {
		if subtle.ConstantTimeCompare(hash[:], candidate.hash[:]) == 1 {
			found = candidate.name
		}
	}
	return found
}

// Gate tells who is calling. Users prove themselves by the UserSig they already
// hold, with the header "Authorization: UserSig <userID>:<userSig>"; servers
// by "Authorization: Bearer <key>".
type Gate struct {
	Keys Keys
	// Users verifies UserSigs; nil refuses all of them. Users must be nil while
	// anybody can get a UserSig for any UserID.
	Users *usersig.Signer
	// Bans keeps banned users out of all routes that users may call; nil bans nobody.
	// A route on which a server gets a credential for a user asks Bans itself.
	Bans *Bans
}

var (
	errNobody = fault.New(fault.Unauthenticated, "say who is calling: Authorization: Bearer <API key>, or Authorization: UserSig <userID>:<userSig>")
	errKey    = fault.New(fault.Unauthenticated, "this API key is not known here")
	errSig    = fault.New(fault.Unauthenticated, "this UserSig is not accepted; log in again")
	errUsers  = fault.New(fault.Unauthenticated, "UserSigs are not accepted here; call with an API key")
	errServer = fault.New(fault.Forbidden, "only servers may call this, with an API key")
)

// Caller returns who sent the request. Its errors are of the codes
// Unauthenticated and Unavailable.
func (g *Gate) Caller(r *http.Request) (Caller, error) {
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	credentials = strings.TrimSpace(credentials)
	switch {
	case credentials == "":
		return Caller{}, errNobody
	case strings.EqualFold(scheme, "Bearer"):
		if name := g.Keys.find(credentials); name != "" {
			return Caller{Server: name}, nil
		}
		return Caller{}, errKey
	case strings.EqualFold(scheme, "UserSig"):
		if g.Users == nil {
			return Caller{}, errUsers
		}
		// A UserSig has no colon, a UserID may.
		at := strings.LastIndexByte(credentials, ':')
		if at < 0 {
			return Caller{}, errNobody
		}
		claims, err := g.Users.Verify(credentials[:at], credentials[at+1:])
		if errors.Is(err, usersig.ErrExpired) {
			return Caller{}, fault.Wrap(err, fault.Unauthenticated, "this UserSig has expired; get a new one")
		}
		// A PrivateMapKey is a UserSig with a buffer. It lets a user into a room of TRTC,
		// travels through more hands than a UserSig does, and proves nobody here.
		if err != nil || claims.Buf != nil {
			return Caller{}, errSig
		}
		return Caller{UserID: claims.UserID, Issued: claims.IssuedAt, Expires: claims.Expires}, nil
	}
	return Caller{}, errNobody
}

// As returns a request that carries a caller who was proven in another way than by
// the header Authorization.
func As(r *http.Request, c Caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

type callerKey struct{}

// CallerFrom returns the caller whom [Gate.Any] or [Gate.Server] let in.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// Any lets in servers, and users who are not banned.
func (g *Gate) Any(h HandlerFunc) http.Handler { return g.admit(h, false) }

// Server lets in servers only.
func (g *Gate) Server(h HandlerFunc) http.Handler { return g.admit(h, true) }

func (g *Gate) admit(h HandlerFunc, serverOnly bool) http.Handler {
	return HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		caller, err := g.Caller(r)
		switch {
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Bearer, UserSig")
			return err
		case serverOnly && caller.Server == "":
			return errServer
		case caller.UserID != "":
			if err := g.Bans.CheckProof(r.Context(), caller.UserID, caller.Issued); err != nil {
				return err
			}
		}
		return h(w, As(r, caller))
	})
}

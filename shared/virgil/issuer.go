package virgil

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Issuer issues JWTs over HTTP: to a user for himself, to a server for whomever
// it names.
type Issuer struct {
	Signer *Signer
	// Lifetime is how long a JWT lasts, from MinLifetime to MaxLifetime.
	Lifetime time.Duration
	// UserSig issues the UserSig of the answer of POST /credentials.
	UserSig func(caller api.Caller, userID string) (userSig string, expires time.Time, err error)
	// Gate proves who calls.
	Gate *api.Gate
	// Prove proves a user by a token of the merchant's, in place of the header
	// Authorization. nil: tokens are not accepted.
	Prove func(ctx context.Context, token string) (api.Caller, error)
	// Origins are the web pages that may ask from a browser.
	Origins []string
}

// Routes adds
//
//	POST /virgil-jwt         {"identity"} -> {"identity","jwt","expiresAt"}
//	POST /credentials        {"identity"} -> that and a UserSig, each with its expiry
//	POST /virgil-jwt/verify  {"jwt"}      -> whether it is good, for servers
//
// Users may leave out the body of the first two, or send {"token"} without the
// header Authorization.
func (i *Issuer) Routes(mux *http.ServeMux) {
	for path, h := range map[string]api.HandlerFunc{"/virgil-jwt": i.jwt, "/credentials": i.credentials} {
		h := api.CORS(i.Origins, http.MethodPost, i.admit(h))
		mux.Handle("POST "+path, h)
		mux.Handle("OPTIONS "+path, h)
	}
	mux.Handle("POST /virgil-jwt/verify", i.Gate.Server(i.verify))
}

// admit lets in whom the gate does, and users with a token of the merchant's.
func (i *Issuer) admit(h api.HandlerFunc) http.Handler {
	gated := i.Gate.Any(h)
	return api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if i.Prove == nil || r.Header.Get("Authorization") != "" || !hasBody(r) {
			gated.ServeHTTP(w, r)
			return nil
		}
		var asked struct {
			Token    string `json:"token"`
			Identity string `json:"identity"`
			UserID   string `json:"userID"`
		}
		if err := api.Decode(r, &asked); err != nil {
			return err
		}
		if asked.Token == "" {
			gated.ServeHTTP(w, r) // refuses it
			return nil
		}
		caller, err := i.Prove(r.Context(), asked.Token)
		if err != nil {
			return err
		}
		if asked.Identity != "" && asked.Identity != caller.UserID || asked.UserID != "" && asked.UserID != caller.UserID {
			return errOthers
		}
		r.Body = http.NoBody
		return h(w, api.As(r, caller))
	})
}

var errOthers = fault.New(fault.Forbidden, "users may ask for themselves only")

func (i *Issuer) jwt(w http.ResponseWriter, r *http.Request) error {
	identity, err := i.identityOf(r)
	if err != nil {
		return err
	}
	jwt, expires, err := i.Signer.Sign(identity, i.Lifetime)
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, struct {
		Identity  string    `json:"identity"`
		JWT       string    `json:"jwt"`
		ExpiresAt time.Time `json:"expiresAt"` // RFC 3339
	}{identity, jwt, expires.UTC()})
	return nil
}

func (i *Issuer) credentials(w http.ResponseWriter, r *http.Request) error {
	identity, err := i.identityOf(r)
	if err != nil {
		return err
	}
	sig, sigExpires, err := i.UserSig(api.CallerFrom(r.Context()), identity)
	if err != nil {
		return err
	}
	jwt, jwtExpires, err := i.Signer.Sign(identity, i.Lifetime)
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, struct {
		UserID           string    `json:"userID"`
		UserSig          string    `json:"userSig"`
		UserSigExpiresAt time.Time `json:"userSigExpiresAt"`
		Identity         string    `json:"identity"`
		JWT              string    `json:"jwt"`
		JWTExpiresAt     time.Time `json:"jwtExpiresAt"`
	}{identity, sig, sigExpires.UTC(), identity, jwt, jwtExpires.UTC()})
	return nil
}

// identityOf decides whom a JWT will be for: nobody who is banned.
func (i *Issuer) identityOf(r *http.Request) (string, error) {
	var asked struct {
		Identity string `json:"identity"`
		UserID   string `json:"userID"` // the same, in IM's word
	}
	caller := api.CallerFrom(r.Context())
	if caller.Server != "" || hasBody(r) {
		if err := api.Decode(r, &asked); err != nil {
			return "", err
		}
	}
	identity := cmp.Or(asked.Identity, asked.UserID)
	switch {
	case asked.UserID != "" && asked.UserID != identity:
		return "", fault.New(fault.Invalid, "identity and userID are two words for the same: send one")
	case caller.Server == "" && identity != "" && identity != caller.UserID:
		return "", errOthers
	case caller.Server == "":
		return caller.UserID, nil
	case identity == "":
		return "", fault.New(fault.Invalid, "identity is required: the userID to issue for")
	case usersig.CheckUserID(identity) != nil:
		return "", fault.New(fault.Invalid, "identity must be a userID: 1 to %d bytes of printable ASCII without blanks", usersig.MaxUserID)
	}
	return identity, i.Gate.Bans.Check(r.Context(), identity)
}

// hasBody looks whether there is a body, whatever length was announced.
func hasBody(r *http.Request) bool {
	body := bufio.NewReader(r.Body)
	r.Body = io.NopCloser(body)
	_, err := body.Peek(1)
	return !errors.Is(err, io.EOF)
}

// verify tells a server what to make of a JWT: back ends that clients show one
// to, and whoever looks into why a client was turned away.
func (i *Issuer) verify(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		JWT string `json:"jwt"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	if asked.JWT == "" {
		return fault.New(fault.Invalid, "jwt is required")
	}
	c, err := i.Signer.Verify(asked.JWT)
	if err != nil {
		api.Reply(w, http.StatusOK, struct {
			Active bool   `json:"active"`
			Reason string `json:"reason"`
		}{false, reasons[err]})
		return nil
	}
	api.Reply(w, http.StatusOK, struct {
		Active    bool      `json:"active"`
		Identity  string    `json:"identity"`
		KeyID     string    `json:"keyId"`
		IssuedAt  time.Time `json:"issuedAt"`
		ExpiresAt time.Time `json:"expiresAt"`
	}{true, c.Identity, c.KeyID, c.IssuedAt.UTC(), c.Expires.UTC()})
	return nil
}

// reasons are what programs may tell refusals apart by.
var reasons = map[error]string{
	ErrMalformed: "malformed",
	ErrOtherKey:  "other_key",
	ErrSignature: "signature",
	ErrOtherApp:  "other_app",
	ErrExpired:   "expired",
	ErrNotYet:    "not_yet",
}

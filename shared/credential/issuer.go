// Package credential issues UserSigs over HTTP, and decides who may have which
// UserSig, and how often.
package credential

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Mode says who may ask for which UserID without a token of the merchant's.
type Mode string

const (
	// Server: servers ask, with an API key, for users they have authenticated.
	Server Mode = "server"
	// Guest: anybody gets a random id of the guests' own namespace, for a
	// short time and a limited number of times per address.
	Guest Mode = "guest"
	// Open: anybody gets any id. Anybody can become anybody; for prototypes.
	Open Mode = "open"
)

// MaxEmail bounds an e-mail address, in bytes. An address is never an identity: it is
// longer than a UserID may be, and anybody can type it.
const MaxEmail = 254

// Proof is what a verified token says about a user.
type Proof struct {
	UserID  string
	Nick    string // "": unknown
	FaceURL string // "": unknown
	Issued  time.Time
	Expires time.Time
}

// Prover verifies tokens. Its errors are of the codes Unauthenticated, with one
// message for all reasons, and Unavailable.
type Prover func(ctx context.Context, token string) (Proof, error)

// Config makes an [Issuer].
type Config struct {
	Mode Mode
	Accounts
	// Gate proves servers, and knows who is banned.
	Gate *api.Gate
	// Origins are the web pages that may ask from a browser.
	Origins []string

	// Guests is required in Guest mode and with Shopify.
	Guests *Guests
	// Shopify proves customers of shops; nil: no shop may ask.
	Shopify *Shopify
	// Identity verifies the merchant's tokens; nil: they are not accepted.
	Identity Prover
	// Desk verifies tokens that agents get from their desk; nil: only servers get
	// UserSigs for agents.
	Desk Prover
	// Agents may have UserSigs by POST /agents/usersig, and by no other route.
	Agents []string
	// Profiles imports nick and face into IM; nil: nothing is imported.
	Profiles *Profiles
	// Copies copies the conversations of guests who become customers; nil: nothing is
	// copied.
	Copies *Copies
}

// Issuer answers
//
//	POST /usersig          by mode, or to whoever has a token of the merchant's
//	POST /shopify/usersig  to customers and visitors of a shop
//	POST /agents/usersig   to agents
//
// with {"userID","userSig","expiresAt"} and more. It is safe for concurrent use.
type Issuer struct{ c Config }

// New checks a configuration.
func New(c Config) (*Issuer, error) {
	switch {
	case c.Signer == nil || c.Expire < usersig.MinExpire:
		return nil, errors.New("credential: a signer and an expiry are required")
	case c.Gate == nil:
		return nil, errors.New("credential: a gate is required")
	case c.Guests == nil && (c.Mode == Guest || c.Shopify != nil):
		return nil, errors.New("credential: guest mode and Shopify need guests")
	case c.Guests != nil && (len(c.Guests.Key) < 32 || c.Guests.PerAddress == nil || c.Guests.Expire < usersig.MinExpire || c.Guests.Remember <= 0):
		return nil, errors.New("credential: guests need a key, a limit and their lifetimes")
	case c.Mode != Server && c.Mode != Guest && c.Mode != Open:
		return nil, errors.New("credential: no such mode")
	}
	return &Issuer{c}, nil
}

// Routes adds the issuer's routes.
func (i *Issuer) Routes(mux *http.ServeMux) {
	for path, h := range map[string]api.HandlerFunc{"/usersig": i.issue, "/agents/usersig": i.agent} {
		h := api.CORS(i.c.Origins, http.MethodPost, h)
		mux.Handle("POST "+path, h)
		mux.Handle("OPTIONS "+path, h)
	}
	if i.c.Shopify != nil {
		mux.Handle("POST /shopify/usersig", api.HandlerFunc(i.shopper))
	}
}

// issued is an answer.
type issued struct {
	UserSig
	Guest             *bool      `json:"guest,omitempty"`
	GuestToken        string     `json:"guestToken,omitempty"`
	GuestTokenExpires *time.Time `json:"guestTokenExpiresAt,omitempty"`
	Copied            *Copied    `json:"copied,omitempty"`
}

// visitor is what visitors may say about themselves. Nothing of it is an identity.
type visitor struct {
	// Label is where the guide's widget puts the e-mail address.
	Label, Email, Name string
	Token              string
}

// profile returns what IM is told of a visitor. A label that is not meant as an
// e-mail address is forgotten.
func (v visitor) profile() (Profile, error) {
	if len(v.Label) > MaxEmail {
		return Profile{}, fault.New(fault.Invalid, "userID is over %d bytes", MaxEmail)
	}
	if !strings.Contains(v.Label, "@") {
		v.Label = ""
	}
	email := cmp.Or(v.Email, v.Label)
	if err := cmp.Or(checkEmail(email), checkName(v.Name)); err != nil {
		return Profile{}, err
	}
	return Profile{Nick: v.Name, Email: email}, nil
}

func (i *Issuer) issue(w http.ResponseWriter, r *http.Request) error {
	// Who may ask is looked at first where only servers may: what they send is
	// nobody else's business.
	var asked struct {
		UserID     string `json:"userID"`
		Name       string `json:"name"`
		FaceURL    string `json:"faceUrl"`
		Email      string `json:"email"`
		Token      string `json:"token"`
		GuestToken string `json:"guestToken"`
	}
	caller, err := i.server(w, r)
	if err != nil {
		return err
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	switch {
	case asked.Token != "":
		if asked.UserID != "" || asked.Name != "" || asked.FaceURL != "" || asked.Email != "" {
			return fault.New(fault.Invalid, "with a token, send nothing beside it but guestToken")
		}
		return i.customer(w, r, asked.Token, asked.GuestToken)
	case i.c.Mode == Server && caller.Server == "":
		w.Header().Set("WWW-Authenticate", "Bearer")
		_, err := i.c.Gate.Caller(r)
		return cmp.Or(err, error(errServers))
	case i.c.Mode == Guest:
		if asked.FaceURL != "" {
			return fault.New(fault.Invalid, "guests have no faceUrl")
		}
		return i.guest(w, r, visitor{asked.UserID, asked.Email, asked.Name, asked.GuestToken}, false)
	}
	if asked.Email != "" || asked.GuestToken != "" {
		return fault.New(fault.Invalid, "email and guestToken are for guests")
	}
	if err := cmp.Or(checkName(asked.Name), checkFace(asked.FaceURL)); err != nil {
		return err
	}
	sig, err := i.c.Issue(asked.UserID)
	if err != nil {
		return err
	}
	if err := i.c.Gate.Bans.Check(r.Context(), asked.UserID); err != nil {
		return err
	}
	if i.c.Mode == Server { // in open mode anybody could rename anybody
		i.c.Profiles.Set(r.Context(), asked.UserID, Profile{Nick: asked.Name, FaceURL: asked.FaceURL})
	}
	api.Reply(w, http.StatusOK, issued{UserSig: sig})
	return nil
}

var errServers = fault.New(fault.Forbidden, "only servers may call this, with an API key")

// server returns the server that calls with an API key, if one does. A header that
// proves nobody is an error.
func (i *Issuer) server(w http.ResponseWriter, r *http.Request) (api.Caller, error) {
	if r.Header.Get("Authorization") == "" || i.c.Mode != Server {
		return api.Caller{}, nil
	}
	caller, err := i.c.Gate.Caller(r)
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	return caller, err
}

// customer issues to whom a token of the merchant's names.
func (i *Issuer) customer(w http.ResponseWriter, r *http.Request, token, guestToken string) error {
	proof, err := i.c.Prove(r.Context(), i.c.Identity, i.c.Gate.Bans, token)
	if err != nil {
		return err
	}
	sig, err := i.c.Issue(proof.UserID)
	if err != nil {
		return err
	}
	return i.become(w, r, issued{UserSig: sig}, Profile{Nick: proof.Nick, FaceURL: proof.FaceURL}, guestToken)
}

// become answers a customer: with the conversations of the guest whose token he
// holds too.
func (i *Issuer) become(w http.ResponseWriter, r *http.Request, answer issued, profile Profile, guestToken string) error {
	guestID, err := i.owner(r.Context(), guestToken)
	if err != nil {
		return err
	}
	i.c.Profiles.Set(r.Context(), answer.UserID, profile)
	if guestID != "" && i.c.Copies != nil {
		if answer.Copied, err = i.c.Copies.Take(r.Context(), guestID, answer.UserID); err != nil {
			return err
		}
	}
	api.Reply(w, http.StatusOK, answer)
	return nil
}

// guest answers a visitor.
func (i *Issuer) guest(w http.ResponseWriter, r *http.Request, v visitor, proxied bool) error {
	profile, err := v.profile()
	if err != nil {
		return err
	}
	userID, err := i.admit(r, v.Token, proxied)
	if err != nil {
		return err
	}
	now := i.c.now()
	sig, err := i.c.sign(userID, i.c.Guests.Expire)
	if err != nil {
		return err
	}
	i.c.Profiles.Set(r.Context(), userID, profile)
	signed, expires := i.c.Guests.sign(userID, now)
	expires = expires.UTC()
	yes := true
	api.Reply(w, http.StatusOK, issued{UserSig: sig, Guest: &yes, GuestToken: signed, GuestTokenExpires: &expires})
	return nil
}

// shopper answers whoever comes through a shop's app proxy.
func (i *Issuer) shopper(w http.ResponseWriter, r *http.Request) error {
	shopper, err := i.c.Shopify.Prove(r.Context(), r.URL.RawQuery)
	if err != nil {
		return err
	}
	var asked struct {
		UserID     string `json:"userID"` // the guide's word for the e-mail address
		Email      string `json:"email"`
		Name       string `json:"name"`
		GuestToken string `json:"guestToken"`
	}
	if hasBody(r) {
		if err := api.Decode(r, &asked); err != nil {
			return err
		}
	}
	v := visitor{asked.UserID, asked.Email, asked.Name, asked.GuestToken}
	if shopper.Customer == 0 {
		return i.guest(w, r, v, true)
	}
	profile, err := v.profile()
	if err != nil {
		return err
	}
	userID := customerID(shopper.Shop, shopper.Customer)
	if err := i.c.Gate.Bans.Check(r.Context(), userID); err != nil {
		return err
	}
	sig, err := i.c.sign(userID, i.c.Expire)
	if err != nil {
		return err
	}
	no := false
	return i.become(w, r, issued{UserSig: sig, Guest: &no}, profile, asked.GuestToken)
}

// agent answers agents whom the desk has proven, and servers.
func (i *Issuer) agent(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		Token  string `json:"token"`
		UserID string `json:"userID"`
	}
	var caller api.Caller
	var err error
	if r.Header.Get("Authorization") != "" {
		if caller, err = i.c.Gate.Caller(r); err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			return err
		}
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	issuedAt := time.Time{}
	switch {
	case asked.Token != "" && asked.UserID != "":
		return fault.New(fault.Invalid, "send token or userID, not both")
	case asked.Token != "" && i.c.Desk != nil:
		proof, err := i.c.Desk(r.Context(), asked.Token)
		if err != nil {
			return err
		}
		asked.UserID, issuedAt = proof.UserID, proof.Issued
	case asked.Token != "":
		return errTokens
	case caller.UserID != "":
		return errServers
	case caller.Server == "":
		_, err := i.c.Gate.Caller(r)
		w.Header().Set("WWW-Authenticate", "Bearer")
		return err
	case asked.UserID == "":
		return fault.New(fault.Invalid, "userID is required")
	}
	if !slices.Contains(i.c.Agents, asked.UserID) {
		return fault.New(fault.Forbidden, "only agents get a credential here")
	}
	if err := i.c.Gate.Bans.CheckProof(r.Context(), asked.UserID, issuedAt); err != nil {
		return err
	}
	sig, err := i.c.sign(asked.UserID, i.c.Expire)
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, issued{UserSig: sig})
	return nil
}

// hasBody looks whether there is a body, whatever length was announced.
func hasBody(r *http.Request) bool {
	body := bufio.NewReader(r.Body)
	r.Body = io.NopCloser(body)
	_, err := body.Peek(1)
	return !errors.Is(err, io.EOF)
}

// Package credential issues UserSigs over HTTP: who may have which, and how
// often.
package credential

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Mode says who may ask for which UserID.
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

// GuestPrefix starts the UserID of every guest, and of nobody else.
const GuestPrefix = "g_"

// MaxLabel bounds what a guest may post as userID, in bytes; an e-mail address
// fits. It becomes nobody's identity.
const MaxLabel = 254

// Config makes an [Issuer].
type Config struct {
	Mode Mode
	Accounts
	// Gate proves servers in Server mode.
	Gate *api.Gate
	// Origins are the web pages that may ask from a browser.
	Origins []string
	// Limit bounds guests per client address in Guest mode.
	Limit *Limit
}

// Issuer answers POST /usersig: {"userID"} to {"userID","userSig","expiresAt"}.
type Issuer struct{ c Config }

// New checks a configuration.
func New(c Config) (*Issuer, error) {
	switch {
	case c.Signer == nil || c.Expire < usersig.MinExpire:
		return nil, errors.New("credential: a signer and an expiry are required")
	case c.Mode == Server && c.Gate == nil:
		return nil, errors.New("credential: server mode needs a gate")
	case c.Mode == Guest && c.Limit == nil:
		return nil, errors.New("credential: guest mode needs a limit")
	case c.Mode != Server && c.Mode != Guest && c.Mode != Open:
		return nil, errors.New("credential: no such mode")
	}
	return &Issuer{c}, nil
}

// Routes adds the issuer's route.
func (i *Issuer) Routes(mux *http.ServeMux) {
	var h http.Handler = api.HandlerFunc(i.issue)
	if i.c.Mode == Server {
		h = i.c.Gate.Server(i.issue)
	}
	h = api.CORS(i.c.Origins, http.MethodPost, h)
	mux.Handle("POST /usersig", h)
	mux.Handle("OPTIONS /usersig", h)
}

func (i *Issuer) issue(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		UserID string `json:"userID"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	sig, err := i.userSig(r, asked.UserID)
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, sig)
	return nil
}

// userSig decides whom the UserSig will be for.
func (i *Issuer) userSig(r *http.Request, asked string) (UserSig, error) {
	if i.c.Mode != Guest {
		sig, err := i.c.Issue(asked)
		if err == nil {
			err = i.c.Gate.Bans.Check(r.Context(), asked)
		}
		if err != nil {
			return UserSig{}, err
		}
		return sig, nil
	}
	if len(asked) > MaxLabel {
		return UserSig{}, fault.New(fault.Invalid, "userID is over %d bytes", MaxLabel)
	}
	if err := i.c.Limit.Take(r.Context(), r.RemoteAddr); err != nil {
		return UserSig{}, err
	}
	return i.c.sign(newGuest(), i.c.Expire)
}

var guestEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newGuest makes an id nobody can guess or meet again: 128 random bits.
func newGuest() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return GuestPrefix + guestEncoding.EncodeToString(b[:])
}

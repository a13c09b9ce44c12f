// Package credential issues UserSigs over HTTP: who may have which, and how
// often.
package credential

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

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
	Mode   Mode
	Signer *usersig.Signer
	// Expire is how long a UserSig lasts.
	Expire time.Duration
	// Reserved ids are issued to nobody: the admin, agents.
	Reserved []string
	// Gate proves servers in Server mode.
	Gate *api.Gate
	// Origins are the web pages that may ask from a browser.
	Origins []string
	// Limit bounds guests per client address in Guest mode.
	Limit *Limit
	Now   func() time.Time // nil: time.Now
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
	if c.Now == nil {
		c.Now = time.Now
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

type answer struct {
	UserID    string    `json:"userID"`
	UserSig   string    `json:"userSig"`
	ExpiresAt time.Time `json:"expiresAt"` // RFC 3339
}

func (i *Issuer) issue(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		UserID string `json:"userID"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	id, err := i.identity(r, asked.UserID)
	if err != nil {
		return err
	}
	now := i.c.Now()
	sig, err := i.c.Signer.Sign(id, i.c.Expire)
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, answer{id, sig, now.Add(i.c.Expire).UTC().Truncate(time.Second)})
	return nil
}

// identity decides whom the UserSig will be for.
func (i *Issuer) identity(r *http.Request, asked string) (string, error) {
	if i.c.Mode != Guest {
		return asked, i.check(asked)
	}
	if len(asked) > MaxLabel {
		return "", fault.New(fault.Invalid, "userID is over %d bytes", MaxLabel)
	}
	if err := i.c.Limit.Take(r.Context(), r.RemoteAddr); err != nil {
		return "", err
	}
	return newGuest(), nil
}

// check refuses ids that are issued to nobody.
func (i *Issuer) check(id string) error {
	switch {
	case id == "":
		return fault.New(fault.Invalid, "userID is required")
	case usersig.CheckUserID(id) != nil:
		return fault.New(fault.Invalid, "userID must be 1 to %d bytes of printable ASCII without blanks", usersig.MaxUserID)
	case strings.HasPrefix(id, "@"), strings.HasPrefix(id, GuestPrefix), slices.ContainsFunc(i.c.Reserved, func(r string) bool { return strings.EqualFold(r, id) }):
		return fault.New(fault.Forbidden, "this userID is reserved")
	}
	return nil
}

var guestEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newGuest makes an id nobody can guess or meet again: 128 random bits.
func newGuest() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return GuestPrefix + guestEncoding.EncodeToString(b[:])
}

package credential

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Guests makes guests and recognises them by the tokens they hold. It is safe for
// concurrent use.
type Guests struct {
	// Key signs the tokens, at least 32 bytes.
	Key []byte
	// Expire is how long a guest's UserSig lasts.
	Expire time.Duration
	// Remember is how long a guest's token lasts.
	Remember time.Duration
	// PerAddress bounds new guests of one client address, Budget all new guests. A
	// guest who is recognised counts towards neither limit.
	PerAddress *Limit
	Budget     *Limit
	// Proxies are the networks of reverse proxies whose header X-Forwarded-For is
	// believed.
	Proxies []netip.Prefix
	Store   kv.Store
	Now     func() time.Time // nil: time.Now
}

// token is what a guest keeps to be the same guest next time.
type token struct {
	UserID  string `json:"g"`
	Issued  int64  `json:"i"` // Unix seconds
	Expires int64  `json:"e"`
}

// maxToken bounds a token that is read, in characters.
const maxToken = 512

func (g *Guests) mac(payload string) []byte {
	mac := hmac.New(sha256.New, g.Key)
	mac.Write([]byte("guest." + payload))
	return mac.Sum(nil)
}

// sign returns a token for a guest.
func (g *Guests) sign(userID string, now time.Time) (signed string, expires time.Time) {
	expires = now.Add(g.Remember).Truncate(time.Second)
	b, err := json.Marshal(token{userID, now.Unix(), expires.Unix()})
	if err != nil {
		panic(err) // text and numbers marshal
	}
	payload := base64.RawURLEncoding.EncodeToString(b)
	return payload + "." + base64.RawURLEncoding.EncodeToString(g.mac(payload)), expires
}

// verify returns whose token it is, if it is one of ours and has not expired.
func (g *Guests) verify(signed string) (t token, ok bool) {
	payload, sum, found := strings.Cut(signed, ".")
	if !found || len(signed) > maxToken {
		return t, false
	}
	given, err := base64.RawURLEncoding.Strict().DecodeString(sum)
	if err != nil || !hmac.Equal(given, g.mac(payload)) {
		return t, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil || json.Unmarshal(b, &t) != nil {
		return t, false
	}
	return t, strings.HasPrefix(t.UserID, GuestPrefix) && g.now().Unix() < t.Expires
}

// admit returns the guest of a token, or a new one: where there is no token, where
// it is not accepted, and where its guest has become a customer. A guest who is
// banned or whose token was revoked is refused.
func (i *Issuer) admit(r *http.Request, signed string, proxied bool) (userID string, err error) {
	g := i.c.Guests
	if t, ok := g.verify(signed); ok {
		if err := i.c.Gate.Bans.CheckProof(r.Context(), t.UserID, time.Unix(t.Issued, 0)); err != nil {
			return "", err
		}
		_, err := g.Store.Get(r.Context(), guestPartition(t.UserID), copyKey)
		if errors.Is(err, kv.ErrNotFound) {
			return t.UserID, nil
		}
		if err != nil {
			return "", err
		}
	}
	if err := g.PerAddress.Take(r.Context(), clientNetwork(clientAddress(r, g.Proxies, proxied))); err != nil {
		return "", err
	}
	if g.Budget != nil {
		err := g.Budget.Take(r.Context(), "all")
		if fault.CodeOf(err) == fault.Throttled {
			slog.ErrorContext(r.Context(), "the budget of new guests is used up: either somebody makes guests by a program, or GUESTS_PER_HOUR is too small",
				"alarm", "guest_budget", "guestsPerHour", g.Budget.Requests)
			return "", fault.New(fault.Throttled, "too many new guests at the moment, try again later").After(time.Minute)
		}
		if err != nil {
			return "", err
		}
	}
	return newGuest(), nil
}

func (g *Guests) now() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

// guestPartition is where a guest's own items are.
func guestPartition(userID string) string { return "guest/" + userID }

// owner returns the guest whom a token proves, for a customer who wants to keep the
// guest's conversation; "" for a token that proves nothing or is revoked.
func (i *Issuer) owner(ctx context.Context, signed string) (guestID string, err error) {
	if i.c.Guests == nil || signed == "" {
		return "", nil
	}
	t, ok := i.c.Guests.verify(signed)
	if !ok {
		return "", nil
	}
	err = i.c.Gate.Bans.CheckProof(ctx, t.UserID, time.Unix(t.Issued, 0))
	if code := fault.CodeOf(err); err != nil && (code == fault.Banned || code == fault.Unauthenticated) {
		return "", nil
	}
	return t.UserID, err
}

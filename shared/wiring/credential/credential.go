// Package credential wires the issuing of UserSigs: who gets one, and for how
// long.
package credential

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Feature is the issuing of UserSigs.
var Feature = wiring.Feature{
	Name: "credential", Function: "usersig-issuer",
	Store: wiring.Required, Callers: wiring.Servers,
	Read: read,
}

// Accounts reads for whom UserSigs are issued, and for how long.
func Accounts(s *wiring.Settings) credential.Accounts {
	a := credential.Accounts{Signer: s.Signer()}
	a.Reserved = s.Reserved()
	a.Expire = s.Duration(config.Setting{
		Group: "credential", Name: "USERSIG_EXPIRE", Meaning: "lifetime of a user's UserSig", Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, 180*24*time.Hour)
	return a
}

func read(s *wiring.Settings) wiring.Open {
	c := credential.Config{Mode: s.Mode(), Accounts: Accounts(s), Origins: s.Origins()}
	guest := s.Duration(config.Setting{
		Name: "GUEST_EXPIRE", Meaning: "lifetime of a guest's UserSig", Format: "a duration, such as 2h", Default: "2h",
	}, time.Minute, 24*time.Hour)
	if c.Mode == credential.Guest {
		c.Expire = guest
	}
	limit := credential.Limit{Span: 10 * time.Minute}
	limit.Requests = s.Int(config.Setting{
		Name: "GUESTS_PER_ADDRESS", Meaning: "guests that one client address may become within ten minutes", Format: "a number", Default: "20",
	}, 1, 10000)
	if c.Mode == credential.Open && s.Err() == nil {
		slog.Warn("USERSIG_MODE=open: anybody can become anybody; for prototypes only")
	}
	return func(_ context.Context, h *wiring.House) error {
		limit.Store = h.Store
		c.Limit, c.Gate = &limit, h.Gate
		issuer, err := credential.New(c)
		if err != nil {
			return err
		}
		h.Routes(func(mux *http.ServeMux, _ *api.Gate) { issuer.Routes(mux) })
		return nil
	}
}

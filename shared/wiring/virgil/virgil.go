// Package virgil wires the issuing of Virgil JWTs, together with UserSigs.
package virgil

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/virgil"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/credential"
)

// What scripts/dev uses in place of an app at Virgil. Everybody knows the key,
// so it is refused everywhere else.
const (
	DevelopmentAppID = "9f05ce54a8cb63ab2be6622f6548efb1"
	DevelopmentKeyID = "eb0256677144b742"
	DevelopmentKey   = "MC4CAQAwBQYDK2VwBCIEIHgiRglzudO9UcgntwDcSSp2r8jq0jMJhFhAjZDEXnrB"
)

// Feature is the issuing of Virgil JWTs.
var Feature = wiring.Feature{
	Name: "virgil", Function: "virgil-jwt-issuer",
	Store: wiring.Optional, Callers: wiring.Users,
	Read: read,
}

func read(s *wiring.Settings) wiring.Open {
	i := &virgil.Issuer{Origins: s.Origins()}
	accounts := credential.Accounts(s)
	prover := credential.Identity(s)
	i.UserSig = func(caller api.Caller, userID string) (string, time.Time, error) {
		sig, err := accounts.IssueTo(caller, userID)
		return sig.UserSig, sig.ExpiresAt, err
	}
	i.Lifetime = s.Duration(config.Setting{
		Name: "VIRGIL_JWT_EXPIRE", Meaning: "lifetime of a Virgil JWT", Format: "a duration, such as 20m", Default: "20m",
	}, virgil.MinLifetime, virgil.MaxLifetime)
	if i.Signer = signer(s.Reader, s.Alone); i.Signer == nil {
		return nil
	}
	return func(_ context.Context, h *wiring.House) error {
		i.Gate = h.Gate
		if prover != nil {
			i.Prove = func(ctx context.Context, token string) (api.Caller, error) {
				proof, err := accounts.Prove(ctx, prover, h.Gate.Bans, token)
				// A token is a login, not a session: what it gets lasts as long as any.
				return api.Caller{UserID: proof.UserID, Issued: proof.Issued, Expires: time.Now().Add(accounts.Expire)}, err
			}
		}
		h.Routes(func(mux *http.ServeMux, _ *api.Gate) { i.Routes(mux) })
		return nil
	}
}

// signer reads whose JWTs are issued, and with which key.
func signer(set *config.Reader, required bool) *virgil.Signer {
	without := "; no JWTs are issued without this setting"
	if required {
		without = ""
	}
	app := config.Setting{
		Name: "VIRGIL_APP_ID", Meaning: "App ID of the Virgil application that the JWTs are for" + without,
		Format: "32 hex digits, as on Virgil's dashboard", Required: required,
	}
	id := config.Setting{
		Name: "VIRGIL_APP_KEY_ID", Meaning: "id of the Virgil App Key that signs JWTs", Format: "16 hex digits, as on Virgil's dashboard", Required: required,
	}
	key := config.Setting{
		Name: "VIRGIL_APP_KEY", Meaning: "private half of the Virgil App Key that signs JWTs", Format: "base64 of PKCS#8, as Virgil's dashboard shows it once: MC4CAQAwBQYDK2VwBCIEI...",
		Required: required, Secret: true,
	}
	previousID, previous := id, key
	previousID.Name, previousID.Required = "VIRGIL_APP_KEY_ID_PREVIOUS", false
	previousID.Meaning = "id of the Virgil App Key before the current one, whose JWTs are verified as well while the key is being changed"
	previous.Name, previous.Required = "VIRGIL_APP_KEY_PREVIOUS", false
	previous.Meaning = "private half of the Virgil App Key before the current one"

	current, before := pair(set, id, key), pair(set, previousID, previous)
	app.Required = required || current != nil
	appID := set.Text(app)
	switch {
	case appID != "" && set.Text(id) == "" && set.Text(key) == "" && !required:
		set.Fault(key.Name, "required, since %s is given", app.Name)
		return nil
	case appID == "" || current == nil:
		return nil
	}
	var older []virgil.Key
	if before != nil {
		if before.ID() == current.ID() {
			set.Fault(previousID.Name, "is the same as %s: each key has an id of its own", id.Name)
		}
		older = append(older, *before)
	}
	s, err := virgil.NewSigner(appID, *current, older...)
	if err != nil {
		refuse(set, app.Name, err)
		return nil
	}
	if computed := current.ComputedID(); computed != current.ID() {
		slog.Warn("VIRGIL_APP_KEY_ID is not the id that Virgil computes from VIRGIL_APP_KEY; if Virgil refuses the JWTs, compare both with its dashboard", "computed", computed)
	}
	return s
}

// pair reads a key and its id, which come together or not at all. It is nil if
// they do not come, and after a fault.
func pair(set *config.Reader, idSetting, keySetting config.Setting) *virgil.Key {
	text := set.Text(keySetting)
	idSetting.Required = idSetting.Required || text != ""
	id := set.Text(idSetting)
	if text == "" {
		if id != "" && !keySetting.Required {
			set.Fault(keySetting.Name, "required, since %s is given", idSetting.Name)
		}
		return nil
	}
	// Without its id the key is looked at all the same: all faults are told
	// together.
	k, err := virgil.ParseKey(cmp.Or(id, DevelopmentKeyID), text)
	switch {
	case errors.Is(err, virgil.ErrKeyID):
		refuse(set, idSetting.Name, err)
		return nil
	case err != nil:
		refuse(set, keySetting.Name, err)
		return nil
	case k.Equal(developmentKey()) && !set.Development():
		set.Fault(keySetting.Name, "the development key is published, so anyone could use it: make one of your own on Virgil's dashboard")
		return nil
	case id == "":
		return nil
	}
	return &k
}

func refuse(set *config.Reader, name string, err error) {
	set.Fault(name, "%s", strings.TrimPrefix(err.Error(), "virgil: "))
}

func developmentKey() virgil.Key {
	k, err := virgil.ParseKey(DevelopmentKeyID, DevelopmentKey)
	if err != nil {
		panic(err) // it is a constant
	}
	return k
}

// Package credentials reads the settings of the Virgil JWT issuer, which also
// hands out UserSigs.
package credentials

import (
	"cmp"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/virgil"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
)

// What scripts/dev uses in place of an app at Virgil. Everybody knows the key,
// so it is refused everywhere else.
const (
	DevelopmentAppID = "9f05ce54a8cb63ab2be6622f6548efb1"
	DevelopmentKeyID = "eb0256677144b742"
	DevelopmentKey   = "MC4CAQAwBQYDK2VwBCIEIHgiRglzudO9UcgntwDcSSp2r8jq0jMJhFhAjZDEXnrB"
)

// Issuer reads the settings of the issuer. It is nil after a fault.
func Issuer(set *config.Reader, gate *api.Gate) *virgil.Issuer { return read(set, gate, true) }

// OptionalIssuer is Issuer for a program that can do without: it is also nil
// where neither an app nor a key of Virgil's is given.
func OptionalIssuer(set *config.Reader, gate *api.Gate) *virgil.Issuer {
	return read(set, gate, false)
}

func read(set *config.Reader, gate *api.Gate, required bool) *virgil.Issuer {
	i := &virgil.Issuer{Gate: gate, Origins: access.Origins(set)}
	accounts := access.Accounts(set)
	i.UserSig = func(caller api.Caller, userID string) (string, time.Time, error) {
		sig, err := accounts.IssueTo(caller, userID)
		return sig.UserSig, sig.ExpiresAt, err
	}
	i.Lifetime = set.Duration(config.Setting{
		Name: "VIRGIL_JWT_EXPIRE", Meaning: "how long a Virgil JWT lasts", Format: "a duration, such as 20m", Default: "20m",
	}, virgil.MinLifetime, virgil.MaxLifetime)
	i.Signer = signer(set, required)
	if i.Signer == nil {
		return nil
	}
	return i
}

// signer reads whose JWTs are issued, and with which key.
func signer(set *config.Reader, required bool) *virgil.Signer {
	without := "; without it, none are issued"
	if required {
		without = ""
	}
	app := config.Setting{
		Name: "VIRGIL_APP_ID", Meaning: "App ID of the Virgil application that JWTs are for" + without,
		Format: "32 hex digits, as on Virgil's dashboard", Required: required,
	}
	id := config.Setting{
		Name: "VIRGIL_APP_KEY_ID", Meaning: "id of the App Key that signs the JWTs", Format: "16 hex digits, as on Virgil's dashboard", Required: required,
	}
	key := config.Setting{
		Name: "VIRGIL_APP_KEY", Meaning: "that App Key, the private half", Format: "base64 of PKCS#8, as Virgil's dashboard shows it once: MC4CAQAwBQYDK2VwBCIEI...",
		Required: required, Secret: true,
	}
	previousID, previous := id, key
	previousID.Name, previousID.Required = "VIRGIL_APP_KEY_ID_PREVIOUS", false
	previousID.Meaning = "id of the App Key before, whose JWTs are verified as well while the key is being changed"
	previous.Name, previous.Required = "VIRGIL_APP_KEY_PREVIOUS", false
	previous.Meaning = "the App Key before"

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

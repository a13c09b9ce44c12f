// Package access reads the settings that say who may call our own routes, and
// who gets a UserSig.
package access

import (
	"context"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
)

// DevelopmentSecret and DevelopmentKey are what scripts/dev uses. Everybody
// knows them, so they are refused everywhere else.
const (
	DevelopmentSecret = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
	DevelopmentKey    = "dev-api-key"
	// DevelopmentKeyHash is the key as API_KEYS names it.
	DevelopmentKeyHash = "6e1e4e1b8f8b36d08901cdb51b97841dfe20f5efd2fd2fd00768971408c46274"
)

// AppID reads SDK_APP_ID.
func AppID(set *config.Reader) uint32 {
	return set.Uint32(config.Setting{
		Name: "SDK_APP_ID", Meaning: "SDKAppID of the IM app", Format: "a number, such as 1400000000", Required: true,
	})
}

// Admin reads IM_ADMIN.
func Admin(set *config.Reader) string {
	return set.Text(config.Setting{
		Name: "IM_ADMIN", Meaning: "UserID of the app's admin account", Format: "a UserID", Default: "administrator",
	})
}

// Secret reads SECRET.
func Secret(set *config.Reader) string {
	return set.Text(config.Setting{
		Name: "SECRET", Meaning: "the app's SecretKey", Format: "text, as IM's console shows it",
		Required: true, Secret: true, Public: []string{DevelopmentSecret},
	})
}

// Signer reads SDK_APP_ID and SECRET. It is nil after a fault.
func Signer(set *config.Reader) *usersig.Signer {
	id, secret := AppID(set), Secret(set)
	if id == 0 || secret == "" {
		return nil
	}
	s, err := usersig.NewSigner(id, secret)
	if err != nil {
		set.Fault("SECRET", "is not an app's key")
	}
	return s
}

// Keys reads API_KEYS.
func Keys(set *config.Reader) api.Keys {
	keys, err := api.ParseKeys(set.List(config.Setting{
		Name:    "API_KEYS",
		Meaning: "who may call as a server; without any, nobody",
		Format:  "name:hash, separated by commas, the hash being the hex SHA-256 of the key",
		Secret:  true,
	}))
	switch {
	case err != nil:
		set.Fault("API_KEYS", "%v", err)
	case keys.HasKey(DevelopmentKey) && !set.Development():
		set.Fault("API_KEYS", "the development key is published, so anyone could use it: make one of your own")
	}
	return keys
}

// mode reads USERSIG_MODE.
func mode(set *config.Reader) credential.Mode {
	s := config.Setting{
		Name:     "USERSIG_MODE",
		Meaning:  "who may ask for a UserSig: servers for anybody, anybody for a random guest, or (prototypes only) anybody for anybody",
		Format:   "server, guest or open",
		Required: true,
	}
	return credential.Mode(set.Choice(s, string(credential.Server), string(credential.Guest), string(credential.Open)))
}

// Gate reads who may call the routes of a function that has both servers and
// users as callers. While anybody can get a UserSig for any id (mode open),
// UserSigs prove nothing and are not accepted, except in development.
func Gate(set *config.Reader) *api.Gate {
	g := &api.Gate{Keys: Keys(set)}
	users := Signer(set)
	if mode(set) != credential.Open || set.Development() {
		g.Users = users
	}
	return g
}

// Accounts reads for whom UserSigs are issued, and for how long.
func Accounts(set *config.Reader) credential.Accounts {
	a := credential.Accounts{Signer: Signer(set)}
	a.Reserved = append(set.List(config.Setting{
		Name: "AGENT_USER_IDS", Meaning: "accounts of your staff, which nobody gets a UserSig for here", Format: "UserIDs separated by commas",
	}), Admin(set))
	a.Expire = set.Duration(config.Setting{
		Name: "USERSIG_EXPIRE", Meaning: "how long a user's UserSig lasts", Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, 180*24*time.Hour)
	return a
}

// Issuer reads the settings of the UserSig issuer and returns what makes it
// from a store.
func Issuer(set *config.Reader) func(kv.Store) (*credential.Issuer, error) {
	c := credential.Config{Mode: mode(set), Accounts: Accounts(set), Gate: &api.Gate{Keys: Keys(set)}}
	guest := set.Duration(config.Setting{
		Name: "GUEST_EXPIRE", Meaning: "how long a guest's UserSig lasts", Format: "a duration, such as 2h", Default: "2h",
	}, time.Minute, 24*time.Hour)
	if c.Mode == credential.Guest {
		c.Expire = guest
	}
	limit := credential.Limit{Span: 10 * time.Minute}
	limit.Requests = set.Int(config.Setting{
		Name: "GUESTS_PER_ADDRESS", Meaning: "how many guests one client address may become in ten minutes", Format: "a number", Default: "20",
	}, 1, 10000)
	c.Origins = Origins(set)
	if c.Mode == credential.Open && set.Err() == nil {
		slog.Warn("USERSIG_MODE=open: anybody can become anybody; for prototypes only")
	}
	return func(store kv.Store) (*credential.Issuer, error) {
		limit.Store = store
		c.Limit = &limit
		c.Banned = func(ctx context.Context, userID string) (time.Time, error) {
			return strikes.BannedUntil(ctx, store, userID, time.Now())
		}
		return credential.New(c)
	}
}

// Origins reads ALLOWED_ORIGINS.
func Origins(set *config.Reader) []string {
	return set.List(config.Setting{
		Name:    "ALLOWED_ORIGINS",
		Meaning: "web pages that may call from a browser; without any, none",
		Format:  "origins such as https://shop.example.com, separated by commas",
	})
}

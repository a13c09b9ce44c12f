package wiring

import (
	"context"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
)

// Callers says who calls the routes of a feature.
type Callers int

// The callers of routes.
const (
	Nobody  Callers = iota // the feature has no route that asks who is calling
	Servers                // programs with an API key
	Users                  // programs with an API key, and end users with a UserSig
)

// readGate reads who may call the routes of a program. What it returns makes the
// one gate that stands before all of them; the store is nil where the program
// has none.
func readGate(set *config.Reader, callers Callers) func(kv.Store) *api.Gate {
	g := &api.Gate{}
	if callers >= Servers {
		g.Keys = readKeys(set)
	}
	if callers >= Users {
		// While anybody can get a UserSig for any id (mode open), UserSigs prove
		// nothing and are not accepted, except in development.
		users := signer(set)
		if mode(set) != credential.Open || set.Development() {
			g.Users = users
		}
	}
	bans := readBans(set, callers)
	return func(store kv.Store) *api.Gate {
		g.Bans = bans(store)
		return g
	}
}

// readBans reads whether users pass of whom nobody knows whether they are
// banned. Without a store nobody is banned.
func readBans(set *config.Reader, callers Callers) func(kv.Store) *api.Bans {
	if callers == Nobody {
		return func(kv.Store) *api.Bans { return nil }
	}
	refuse := set.Choice(config.Setting{
		Group:   groupCallers,
		Name:    "STRIKES_UNKNOWN",
		Meaning: "verdict on a user when the store does not say within a second whether the user is banned or the credentials are revoked",
		Format:  "pass or refuse", Default: "pass",
	}, "pass", "refuse") == "refuse"
	return func(store kv.Store) *api.Bans {
		if store == nil {
			return nil
		}
		return &api.Bans{RefuseUnknown: refuse, Until: func(ctx context.Context, userID string) (time.Time, error) {
			return strikes.BannedUntil(ctx, store, userID, time.Now())
		}, Revoked: func(ctx context.Context, userID string) (api.Revocation, error) {
			return credential.RevokedNow(ctx, store, userID, time.Now())
		}}
	}
}

func readKeys(set *config.Reader) api.Keys {
	keys, err := api.ParseKeys(set.List(config.Setting{
		Group:   groupCallers,
		Name:    "API_KEYS",
		Meaning: "API keys of the servers that may call; no server may call without this setting",
		Format:  "NAME:HASH, separated by commas, with the hex SHA-256 of the key as HASH",
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

// Mode reads USERSIG_MODE, which says who can get a UserSig, and so whether a UserSig
// proves who calls.
func (s *Settings) Mode() credential.Mode { return mode(s.Reader) }

func mode(set *config.Reader) credential.Mode {
	s := config.Setting{
		Group:    groupCallers,
		Name:     "USERSIG_MODE",
		Meaning:  "callers that may ask for a UserSig. server: API keys, for any user. guest: anybody, for a random guest. open: anybody, for any user, in prototypes only",
		Format:   "server, guest or open",
		Required: true,
	}
	return credential.Mode(set.Choice(s, string(credential.Server), string(credential.Guest), string(credential.Open)))
}

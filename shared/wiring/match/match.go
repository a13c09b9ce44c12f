// Package match wires team matching with the hook that starts matches.
package match

import (
	"context"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Feature is teams and the start of their matches.
var Feature = wiring.Feature{
	Name: "match", Function: "group-full-starter",
	Callbacks: true, Store: wiring.Required, Queue: wiring.Required, Callers: wiring.Users,
	Read: read,
}

func read(s *wiring.Settings) wiring.Open {
	client, origins := s.IM(), s.Origins()
	conf := readConfig(s)
	return func(_ context.Context, h *wiring.House) error {
		conf.Store, conf.Jobs = h.Store, h.Jobs
		playing := conf.Hook.URL != ""
		if playing {
			if _, err := h.Queue(); err != nil {
				return err
			}
			conf.IM, conf.Sends = client, once.New(h.Store, client, nil)
		}
		// Without a hook the rules hand teams to a program that has one.
		teams := match.New(conf)
		h.Callbacks(teams.Register)
		if playing {
			h.Routes(func(mux *http.ServeMux, gate *api.Gate) { teams.Routes(mux, gate, origins) })
		}
		return nil
	}
}

func readConfig(s *wiring.Settings) (conf match.Config) {
	conf.Notifier, conf.Reserved = s.Admin(), s.Reserved()
	conf.Hook = &match.Hook{Transport: wiring.Transport()}
	conf.Hook.URL = s.URL(config.Setting{
		Name: "MATCH_HOOK_URL", Meaning: "URL of your server that gets a signed POST to start the match of a full team; there are no teams without this setting",
		Format: "https://HOST/PATH of your server", Required: s.Alone,
	})
	key := config.Setting{
		Name: "MATCH_HOOK_KEY", Meaning: "key that signs requests to MATCH_HOOK_URL", Format: "at least 20 characters of your choice",
		Secret: true, Least: 20, Required: s.Alone || conf.Hook.URL != "",
	}
	conf.Hook.Key = s.Text(key)
	conf.Wait = s.Duration(config.Setting{
		Name: "MATCH_WAIT", Meaning: "time that a team waits for its members before it is dissolved", Format: "a duration, such as 30m", Default: "30m",
	}, time.Minute, 24*time.Hour)
	conf.Life = s.Duration(config.Setting{
		Name: "MATCH_LIFE", Meaning: "time from a team's start until it is dissolved, unless your server dissolves it earlier", Format: "a duration, such as 6h", Default: "6h",
	}, time.Minute, 72*time.Hour)
	conf.GiveUp = s.Duration(config.Setting{
		Name: "MATCH_GIVE_UP", Meaning: "time for which a request to MATCH_HOOK_URL is retried until your server starts or refuses the match", Format: "a duration, such as 10m", Default: "10m",
	}, time.Minute, time.Hour)
	conf.Grace = s.Duration(config.Setting{
		Name: "MATCH_GRACE", Meaning: "time that a player may be without connection before the player is taken out of a team that has not started", Format: "a duration, such as 60s", Default: "60s",
	}, time.Second, time.Hour)
	conf.Signer = s.Signer()
	conf.AnyGroup = s.Bool(config.Setting{
		Name: "MATCH_ANY_GROUP", Meaning: "1 also starts full groups of 2 to 100 members that were not created as teams", Format: "1 or 0", Default: "0",
	})
	return conf
}

// Package mail wires mail, attachments and trades with the game's server.
package mail

import (
	"context"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Feature is mail to players, with attachments, and trades between them.
var Feature = wiring.Feature{
	Name: "mail", Function: "mail-carrier",
	Store: wiring.Required, Queue: wiring.Required, Callers: wiring.Users,
	Read: read,
}

func read(s *wiring.Settings) wiring.Open {
	client, origins := s.IM(), s.Origins()
	conf := readConfig(s)
	return func(_ context.Context, h *wiring.House) error {
		if h.Jobs == nil {
			return nil // without a queue there is no mail
		}
		conf.Store, conf.Jobs = h.Store, h.Jobs
		conf.IM, conf.Sends = client, once.New(h.Store, client, nil)
		mails := mail.New(conf)
		h.Routes(func(mux *http.ServeMux, gate *api.Gate) {
			mails.Routes(mux, mail.RoutesConfig{RoutesConfig: api.RoutesConfig{Gate: gate, Keeper: idem.New(h.Store, nil), Origins: origins}, Profiles: client})
		})
		return nil
	}
}

func readConfig(s *wiring.Settings) (conf mail.Config) {
	conf.From = s.Admin()
	url := s.URL(config.Setting{
		Name: "MAIL_HOOK_URL", Meaning: "URL of your server that gets signed POSTs to grant attachments and to hold, move and release the items of trades; attachments and trades answer 501 without this setting",
		Format: "https://HOST/PATH of your server",
	})
	key := s.Text(config.Setting{
		Name: "MAIL_HOOK_KEY", Meaning: "key that signs requests to MAIL_HOOK_URL", Format: "at least 20 characters of your choice",
		Secret: true, Least: 20, Required: url != "",
	})
	if url != "" {
		conf.Hook = &hook.Hook{URL: url, Key: key, Transport: wiring.Transport()}
	}
	conf.Push = s.Bool(config.Setting{
		Name: "MAIL_PUSH", Meaning: "1: the app's edition has all-member push and it is switched on in IM's console; 0: players find mail to everyone in their inboxes alone, and there is no mail by tag",
		Format: "1 or 0", Default: "1",
	})
	conf.Keep = s.Duration(config.Setting{
		Name: "MAIL_KEEP", Meaning: "time after which a mail without expiresAt expires", Format: "a duration, such as 720h", Default: "720h",
	}, time.Hour, mail.MaxLife)
	conf.Trade = s.Duration(config.Setting{
		Name: "MAIL_TRADE_TIME", Meaning: "time that the offer of a trade waits for its acceptance before both players get back their items", Format: "a duration, such as 10m", Default: "10m",
	}, time.Minute, 24*time.Hour)
	return conf
}

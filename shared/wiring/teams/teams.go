// Package teams reads how teams find their members, and what starts their
// matches.
package teams

import (
	"errors"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/imclient"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
)

// Function is the name of the function that has the teams.
const Function = "group-full-starter"

// Teams is what the settings say of teams.
type Teams struct {
	conf    match.Config
	origins []string
	client  func() (*im.Client, error)
}

// Require reads the settings of teams.
func Require(set *config.Reader) *Teams { return read(set, true) }

// Optional is Require for a program that can do without a hook.
func Optional(set *config.Reader) *Teams { return read(set, false) }

func read(set *config.Reader, required bool) *Teams {
	t := &Teams{client: imclient.Read(set), origins: access.Origins(set)}
	t.conf.Teller = access.Admin(set)
	t.conf.Hook = &match.Hook{Transport: transport()}
	t.conf.Hook.URL = set.URL(config.Setting{
		Name: "MATCH_HOOK_URL", Meaning: "what is told, by a signed POST, to start the match of a full team; without it, there are no teams",
		Format: "https://HOST/PATH of your server", Required: required,
	})
	key := config.Setting{
		Name: "MATCH_HOOK_KEY", Meaning: "what those requests are signed with", Format: "at least 20 characters of your choice",
		Secret: true, Required: required || t.conf.Hook.URL != "",
	}
	t.conf.Hook.Key = set.Text(key)
	const least = 20
	if k := t.conf.Hook.Key; k != "" && len(k) < least {
		set.Fault(key.Name, "is too easy to guess: it has fewer than %d characters", least)
	}
	t.conf.Wait = set.Duration(config.Setting{
		Name: "MATCH_WAIT", Meaning: "how long a team may wait for its members before it is dissolved", Format: "a duration, such as 30m", Default: "30m",
	}, time.Minute, 24*time.Hour)
	t.conf.Life = set.Duration(config.Setting{
		Name: "MATCH_LIFE", Meaning: "how long after its start a team is dissolved, unless your server does", Format: "a duration, such as 6h", Default: "6h",
	}, time.Minute, 72*time.Hour)
	t.conf.GiveUp = set.Duration(config.Setting{
		Name: "MATCH_GIVE_UP", Meaning: "how long the hook is called until it answers for good", Format: "a duration, such as 10m", Default: "10m",
	}, time.Minute, time.Hour)
	t.conf.AnyGroup = set.Bool(config.Setting{
		Name: "MATCH_ANY_GROUP", Meaning: "start groups of 2 to 100 members, too, that IM filled although they were not made here", Format: "1 or 0", Default: "0",
	})
	return t
}

// transport keeps as many connections to the hook as calls go side by side.
func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	return t
}

// Rules are the teams, opened.
type Rules struct {
	*match.Teams
	origins []string
	playing bool
}

// Open makes the teams, over a store and a queue. It calls neither IM nor the
// hook. Without a hook they only have others look at teams, who have one.
func (t *Teams) Open(work *jobs.Jobs) (*Rules, error) {
	conf := t.conf
	conf.Store, conf.Jobs = work.Store, work.Ledger
	r := &Rules{origins: t.origins, playing: conf.Hook.URL != ""}
	if r.playing {
		if work.Ledger == nil {
			return nil, errors.New("QUEUE_URL: required where there are teams")
		}
		client, err := t.client()
		if err != nil {
			return nil, err
		}
		conf.IM, conf.Sends = client, once.New(work.Store, client, nil)
	}
	r.Teams = match.New(conf)
	return r, nil
}

// Routes adds the routes of teams, where there is a hook.
func (r *Rules) Routes(mux *http.ServeMux, gate *api.Gate) {
	if r.playing {
		r.Teams.Routes(mux, gate, r.origins)
	}
}

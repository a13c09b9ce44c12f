// Package desks reads which support desk the tickets are at: Zendesk,
// Salesforce, or none.
package desks

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/salesforce"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/imclient"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
)

// Desk is what the settings say of the desk.
type Desk struct {
	conf   desk.Config
	doors  desk.Doors
	client func() (*im.Client, error)
}

// Require reads the settings of the desk. It is nil after a fault.
func Require(set *config.Reader) *Desk { return read(set, true) }

// Optional is Require for a program that can do without: it is also nil where
// no desk is given.
func Optional(set *config.Reader) *Desk { return read(set, false) }

func read(set *config.Reader, required bool) *Desk {
	d := &Desk{client: imclient.Read(set)}
	d.doors.Origins = access.Origins(set)
	d.conf.Greeter = access.Admin(set)
	d.conf.Greeting = set.Text(config.Setting{
		Name: "DESK_GREETING", Meaning: "what the admin account says first in the group of a ticket", Format: "a sentence",
		Default: "Thank you. We are looking for somebody to help you; please stay here.",
	})
	d.conf.KeepClosed = set.Choice(config.Setting{
		Name: "DESK_CLOSED_GROUPS", Meaning: "what becomes of the group of a closed ticket; dissolved, it is made anew, empty, if the ticket is reopened",
		Format: "dissolve or keep", Default: "dissolve",
	}, "dissolve", "keep") == "keep"

	atZendesk, atSalesforce := readZendesk(set, d), readSalesforce(set, d)
	switch {
	case atZendesk && atSalesforce:
		set.Fault("SALESFORCE_URL", "there is ZENDESK_URL too: a deployment has one desk")
	case !atZendesk && !atSalesforce && required:
		set.Fault("ZENDESK_URL", "required, or SALESFORCE_URL: where the tickets are made")
	}
	if d.conf.Desk == nil {
		return nil
	}
	return d
}

// Open makes the tickets, over a store and a queue. It does not call the desk.
// Without a desk there are none.
func (d *Desk) Open(work *jobs.Jobs) (*desk.Tickets, error) {
	if d == nil {
		return nil, nil
	}
	if work.Ledger == nil {
		return nil, errors.New("QUEUE_URL: required where there is a desk")
	}
	client, err := d.client()
	if err != nil {
		return nil, err
	}
	conf := d.conf
	conf.Store, conf.Jobs, conf.IM, conf.Sends = work.Store, work.Ledger, client, once.New(work.Store, client, nil)
	return desk.New(conf), nil
}

// Doors says who may call the routes of the tickets.
func (d *Desk) Doors(gate *api.Gate) desk.Doors {
	doors := d.doors
	doors.Gate = gate
	return doors
}

// transport keeps as many connections to the desk as calls go side by side.
func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	return t
}

func readZendesk(set *config.Reader, d *Desk) (there bool) {
	conf := zendesk.Config{Transport: transport()}
	conf.URL = set.URL(config.Setting{
		Name: "ZENDESK_URL", Meaning: "your Zendesk, where tickets are made; without it, not there", Format: "https://SUBDOMAIN.zendesk.com",
	})
	there = conf.URL != ""
	conf.ClientID = set.Text(config.Setting{
		Name: "ZENDESK_CLIENT_ID", Meaning: "unique identifier of a confidential OAuth client of Zendesk", Format: "text, as Zendesk's admin center shows it",
	})
	conf.ClientSecret = set.Text(config.Setting{
		Name: "ZENDESK_CLIENT_SECRET", Meaning: "secret of that OAuth client", Format: "text, as Zendesk shows it once", Secret: true,
	})
	conf.Email = set.Text(config.Setting{
		Name: "ZENDESK_EMAIL", Meaning: "an agent's address, for the API token", Format: "an e-mail address",
	})
	conf.APIToken = set.Text(config.Setting{
		Name: "ZENDESK_API_TOKEN", Meaning: "an API token, in place of the OAuth client; none works after 2027-04-30", Format: "text", Secret: true,
	})
	conf.GroupField = int64(set.Int(config.Setting{
		Name: "ZENDESK_GROUP_FIELD", Meaning: "id of the ticket field, of type text, that is told the ticket's group",
		Format: "a number, as 360012345678", Required: there,
	}, 1, 1<<53))
	secrets := config.Setting{
		Name: "ZENDESK_WEBHOOK_SECRETS", Meaning: "signing secrets of the webhooks that call POST /zendesk/events, one each; without any, none is believed",
		Format: "secrets separated by commas", Secret: true,
	}
	hooks := zendesk.Webhooks{Secrets: set.List(secrets)}
	if slices.Contains(hooks.Secrets, zendesk.StaticSecret) {
		set.Fault(secrets.Name, "one is the secret that Zendesk's manual prints for tests, so anyone could use it")
	}
	if !there || conf.GroupField == 0 {
		return there
	}
	made, err := zendesk.New(conf)
	if err != nil {
		set.Fault("ZENDESK_URL", "%s", strings.TrimPrefix(err.Error(), "zendesk: "))
		return there
	}
	if conf.APIToken != "" {
		slog.Warn("ZENDESK_API_TOKEN works until 2027-04-30: change to an OAuth client before")
	}
	d.conf.Desk, d.conf.GroupPrefix, d.doors.Webhook = made, zendesk.GroupPrefix, hooks
	return there
}

func readSalesforce(set *config.Reader, d *Desk) (there bool) {
	conf := salesforce.Config{Transport: transport()}
	conf.URL = set.URL(config.Setting{
		Name: "SALESFORCE_URL", Meaning: "My Domain of your Salesforce, where cases are made; without it, not there", Format: "https://DOMAIN.my.salesforce.com",
	})
	there = conf.URL != ""
	conf.APIVersion = set.Text(config.Setting{
		Name: "SALESFORCE_API_VERSION", Meaning: "version of the REST API", Format: "v67.0", Required: there,
	})
	conf.ClientID = set.Text(config.Setting{
		Name: "SALESFORCE_CLIENT_ID", Meaning: "consumer key of an External Client App", Format: "text, as Setup shows it", Required: there,
	})
	conf.ClientSecret = set.Text(config.Setting{
		Name: "SALESFORCE_CLIENT_SECRET", Meaning: "its consumer secret, for the client credentials flow", Format: "text, as Setup shows it", Secret: true,
	})
	conf.Username = set.Text(config.Setting{
		Name: "SALESFORCE_USERNAME", Meaning: "whom the JWT bearer flow logs in, where there is no consumer secret", Format: "a user name, as bot@example.com",
	})
	conf.PrivateKey = set.Text(config.Setting{
		Name: "SALESFORCE_PRIVATE_KEY", Meaning: "key whose certificate the External Client App has, for the JWT bearer flow", Format: "RSA, PEM", Secret: true,
	})
	conf.Audience = set.Text(config.Setting{
		Name: "SALESFORCE_AUDIENCE", Meaning: "whom the JWT is for", Format: "https://login.salesforce.com, or https://test.salesforce.com for a sandbox",
	})
	conf.KeyField = set.Text(config.Setting{
		Name: "SALESFORCE_KEY_FIELD", Meaning: "the Case's own field for our key: text, an External ID, and Unique", Format: "an API name", Default: salesforce.KeyField,
	})
	conf.GroupField = set.Text(config.Setting{
		Name: "SALESFORCE_GROUP_FIELD", Meaning: "the Case's own field, text, that is told the case's group", Format: "an API name", Default: salesforce.GroupField,
	})
	org := salesforce.Org{
		Key: set.Text(config.Setting{
			Name: "SALESFORCE_KEY", Meaning: "what the header X-IM-Key of the org's requests holds", Format: "at least 20 characters of your choice", Secret: true,
		}),
		HMACKey: set.Text(config.Setting{
			Name: "SALESFORCE_HMAC_KEY", Meaning: "what the org signs its requests with", Format: "at least 20 characters of your choice", Secret: true,
		}),
	}
	const least = 20
	for _, s := range []struct{ name, key string }{{"SALESFORCE_KEY", org.Key}, {"SALESFORCE_HMAC_KEY", org.HMACKey}} {
		if s.key != "" && len(s.key) < least {
			set.Fault(s.name, "is too easy to guess: it has fewer than %d characters", least)
		}
	}
	if !there || conf.APIVersion == "" || conf.ClientID == "" {
		return there
	}
	made, err := salesforce.New(conf)
	if err != nil {
		set.Fault("SALESFORCE_URL", "%s", strings.TrimPrefix(err.Error(), "salesforce: "))
		return there
	}
	d.conf.Desk, d.conf.GroupPrefix, d.doors.Org = made, salesforce.GroupPrefix, org.Check
	return there
}

// Package desk wires support tickets with their desk: Zendesk or Salesforce.
package desk

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // DESK_TIME_ZONE and requesters' zones work where the platform has no zones

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/salesforce"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Feature is support tickets with a chat group each.
var Feature = wiring.Feature{
	Name: "desk", Function: "ticket-creator",
	Callbacks: true, CallbacksOptional: true, Store: wiring.Required, Queue: wiring.Required, Callers: wiring.Users,
	Read: read,
}

// settings is what the settings say.
type settings struct {
	conf  desk.Config
	doors desk.Doors
}

func read(s *wiring.Settings) wiring.Open {
	client := s.IM()
	d := &settings{conf: desk.Config{Greeter: s.Admin()}, doors: desk.Doors{Origins: s.Origins()}}
	d.conf.Greeting = s.Text(config.Setting{
		Name: "DESK_GREETING", Meaning: "message that the admin account posts first in the group of a ticket", Format: "a sentence",
		Default: "Thank you. We are looking for somebody to help you; please stay here.",
	})
	d.conf.KeepClosed = s.Choice(config.Setting{
		Name: "DESK_CLOSED_GROUPS", Meaning: "treatment of the group of a closed ticket; a dissolved group is created again, empty, when the ticket is reopened",
		Format: "dissolve or keep", Default: "dissolve",
	}, "dissolve", "keep") == "keep"

	readLife(s, &d.conf)
	chatPage := readPage(s)

	atZendesk, atSalesforce := readZendesk(s.Reader, d), readSalesforce(s.Reader, d)
	switch {
	case atZendesk && atSalesforce:
		s.Fault("SALESFORCE_URL", "there is ZENDESK_URL too: a deployment has one desk")
	case !atZendesk && !atSalesforce && s.Alone:
		s.Fault("ZENDESK_URL", "required, or SALESFORCE_URL: where the tickets are made")
	}
	forwarded := s.Forwarded
	if d.conf.Desk == nil && !forwarded {
		return nil
	}
	return func(_ context.Context, h *wiring.House) (err error) {
		conf := d.conf
		if conf.Desk == nil {
			conf.Store, conf.IsGroup = h.Store, isGroup
			h.Callbacks(desk.New(conf).Register) // for the router, which asks what they want
			return nil
		}
		if conf.Jobs, err = h.Queue(); err != nil {
			return err
		}
		conf.Store, conf.IM, conf.Sends = h.Store, client, once.New(h.Store, client, nil)
		tickets := desk.New(conf)
		h.Callbacks(tickets.Register)
		h.Tickets = tickets
		h.Routes(func(mux *http.ServeMux, gate *api.Gate) {
			doors := d.doors
			doors.Gate, doors.Keeper = gate, idem.New(h.Store, nil)
			tickets.Routes(mux, doors)
			chatPage.routes(mux)
		})
		return nil
	}
}

// isGroup reports whether a group may be a ticket's of either desk.
func isGroup(groupID string) bool {
	return strings.HasPrefix(groupID, zendesk.GroupPrefix) || strings.HasPrefix(groupID, salesforce.GroupPrefix+salesforce.IDPrefix)
}

// readLife reads what is said to requesters, and when.
func readLife(s *wiring.Settings, conf *desk.Config) {
	conf.QueueNotice = s.Text(config.Setting{
		Name: "DESK_QUEUE_NOTICE", Meaning: "message that tells a requester without an agent his place in the queue; none is sent without this setting",
		Format: "a sentence with {place}, as: You are number {place} in the queue.",
	})
	conf.Survey = s.Text(config.Setting{
		Name: "DESK_SURVEY", Meaning: "message that asks the requester of a solved ticket for a rating; none is sent without this setting",
		Format: "a sentence, as: How was our help? Answer with a number from 1 to 5.",
	})
	conf.Linger = s.Duration(config.Setting{
		Name: "DESK_LINGER", Meaning: "time for which the group of a solved ticket stays for the requester's answer before it is treated as that of a closed one",
		Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, desk.MaxLinger)
	hours := config.Setting{
		Name: "DESK_HOURS", Meaning: "business hours of the agents; always without this setting", Format: "days and times, as Mon-Fri 09:00-18:00; Sat 10:00-14:00",
	}
	holidays := config.Setting{
		Name: "DESK_HOLIDAYS", Meaning: "dates on which DESK_HOURS do not hold: holidays, or with times days of other hours", Format: "dates, as 2026-12-25; 2026-12-31 09:00-12:00",
	}
	zone := config.Setting{
		Name: "DESK_TIME_ZONE", Meaning: "time zone of DESK_HOURS and DESK_HOLIDAYS", Format: "a name such as Asia/Tokyo", Default: "UTC",
	}
	where, err := time.LoadLocation(s.Text(zone))
	if err != nil {
		s.Fault(zone.Name, "is no time zone")
		where = time.UTC
	}
	if conf.Hours, err = desk.ParseHours(s.Text(hours), s.Text(holidays), where); err != nil {
		s.Fault(hours.Name, "with DESK_HOLIDAYS: %v", err)
	}
	conf.Away = s.Text(config.Setting{
		Name: "DESK_AWAY", Meaning: "message to a requester outside DESK_HOURS, once until agents are back; {back} is the day and time in the requester's zone, {backDate} the date and time",
		Format: "a sentence", Default: "We are away now and back on {back}. Your message is kept.",
	})
}

func readZendesk(set *config.Reader, d *settings) (there bool) {
	conf := zendesk.Config{Transport: wiring.Transport()}
	conf.URL = set.URL(config.Setting{
		Name: "ZENDESK_URL", Meaning: "URL of your Zendesk, where tickets are created; no tickets are created at Zendesk without this setting", Format: "https://SUBDOMAIN.zendesk.com",
	})
	there = conf.URL != ""
	conf.ClientID = set.Text(config.Setting{
		Name: "ZENDESK_CLIENT_ID", Meaning: "unique identifier of a confidential OAuth client of Zendesk", Format: "text, as Zendesk's admin center shows it",
	})
	conf.ClientSecret = set.Text(config.Setting{
		Name: "ZENDESK_CLIENT_SECRET", Meaning: "secret of the OAuth client that ZENDESK_CLIENT_ID names", Format: "text, as Zendesk shows it once", Secret: true,
	})
	conf.Email = set.Text(config.Setting{
		Name: "ZENDESK_EMAIL", Meaning: "e-mail address of the Zendesk agent that ZENDESK_API_TOKEN belongs to", Format: "an e-mail address",
	})
	conf.APIToken = set.Text(config.Setting{
		Name: "ZENDESK_API_TOKEN", Meaning: "API token of Zendesk, in place of an OAuth client; Zendesk accepts no API tokens after 2027-04-30", Format: "text", Secret: true,
	})
	conf.GroupField = int64(set.Int(config.Setting{
		Name: "ZENDESK_GROUP_FIELD", Meaning: "id of the ticket field, of type text, that holds the GroupID of the ticket's group",
		Format: "a number, as 360012345678", Required: there,
	}, 1, 1<<53))
	secrets := config.Setting{
		Name: "ZENDESK_WEBHOOK_SECRETS", Meaning: "signing secrets of the Zendesk webhooks that call POST /zendesk/events, one for each webhook; every webhook is refused without this setting",
		Format: "secrets of at least 16 characters, separated by commas", Secret: true, Least: 16,
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

func readSalesforce(set *config.Reader, d *settings) (there bool) {
	conf := salesforce.Config{Transport: wiring.Transport()}
	conf.URL = set.URL(config.Setting{
		Name: "SALESFORCE_URL", Meaning: "My Domain URL of your Salesforce, where cases are created; no cases are created without this setting", Format: "https://DOMAIN.my.salesforce.com",
	})
	there = conf.URL != ""
	conf.APIVersion = set.Text(config.Setting{
		Name: "SALESFORCE_API_VERSION", Meaning: "version of Salesforce's REST API", Format: "v67.0", Required: there,
	})
	conf.ClientID = set.Text(config.Setting{
		Name: "SALESFORCE_CLIENT_ID", Meaning: "consumer key of an External Client App of Salesforce", Format: "text, as Setup shows it", Required: there,
	})
	conf.ClientSecret = set.Text(config.Setting{
		Name: "SALESFORCE_CLIENT_SECRET", Meaning: "consumer secret of the External Client App, for the client credentials flow", Format: "text, as Setup shows it", Secret: true,
	})
	conf.Username = set.Text(config.Setting{
		Name: "SALESFORCE_USERNAME", Meaning: "Salesforce user that the JWT bearer flow logs in, for an External Client App without a consumer secret", Format: "a user name, as bot@example.com",
	})
	conf.PrivateKey = set.Text(config.Setting{
		Name: "SALESFORCE_PRIVATE_KEY", Meaning: "private key whose certificate the External Client App has, for the JWT bearer flow", Format: "RSA, PEM", Secret: true,
	})
	conf.Audience = set.Text(config.Setting{
		Name: "SALESFORCE_AUDIENCE", Meaning: "audience of the JWT of the JWT bearer flow", Format: "https://login.salesforce.com, or https://test.salesforce.com for a sandbox",
	})
	conf.KeyField = set.Text(config.Setting{
		Name: "SALESFORCE_KEY_FIELD", Meaning: "API name of the Case field for our key; the field is text, an External ID, and Unique", Format: "an API name", Default: salesforce.KeyField,
	})
	conf.GroupField = set.Text(config.Setting{
		Name: "SALESFORCE_GROUP_FIELD", Meaning: "API name of the Case field, of type text, that holds the GroupID of the case's group", Format: "an API name", Default: salesforce.GroupField,
	})
	conf.ClosedStatus = set.Text(config.Setting{
		Name: "SALESFORCE_CLOSED_STATUS", Meaning: "status that a case gets when an agent solves it in the chat page", Format: "a status of Case that counts as closed", Default: "Closed",
	})
	conf.OpenStatus = set.Text(config.Setting{
		Name: "SALESFORCE_OPEN_STATUS", Meaning: "status that a solved case gets when its requester comes back", Format: "a status of Case that counts as open", Default: "Working",
	})
	org := salesforce.Org{
		Key: set.Text(config.Setting{
			Name: "SALESFORCE_KEY", Meaning: "key that Salesforce sends in the header X-IM-Key of its requests", Format: "at least 20 characters of your choice", Secret: true, Least: 20,
		}),
		HMACKey: set.Text(config.Setting{
			Name: "SALESFORCE_HMAC_KEY", Meaning: "key that Salesforce signs its requests with", Format: "at least 20 characters of your choice", Secret: true, Least: 20,
		}),
	}
	if !there || conf.APIVersion == "" || conf.ClientID == "" {
		return there
	}
	made, err := salesforce.New(conf)
	if err != nil {
		set.Fault("SALESFORCE_URL", "%s", strings.TrimPrefix(err.Error(), "salesforce: "))
		return there
	}
	d.conf.Desk, d.conf.GroupPrefix, d.conf.IDPrefix, d.doors.Org = made, salesforce.GroupPrefix, salesforce.IDPrefix, org.Check
	// A closed case may be reopened. Where nobody is asked how it was, its group goes at
	// once.
	d.conf.ClosedIsSolved = d.conf.Survey != ""
	return there
}

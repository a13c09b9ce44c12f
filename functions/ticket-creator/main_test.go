package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

const hookSecret = "signing secret of the webhook"

// surroundings are an emulated IM, a fake Zendesk, a Redis and a queue, and the
// settings that lead to them.
func surroundings(t *testing.T) (app *imtest.App, fake *desktest.Zendesk, queue *kit.Queue, env map[string]string) {
	t.Helper()
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	app = emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	fake = desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360, WebhookSecret: hookSecret})
	queue = kit.StartQueue(t)
	env = kit.Settings(queue.Env)
	for name, value := range map[string]string{
		"STATE_URL": "redis://" + redistest.Start(t).Addr, "IM_DOMAIN": serve(emulator), "IM_SHARE": "100",
		"ZENDESK_URL": serve(fake), "ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "s", "ZENDESK_GROUP_FIELD": "360",
		"ZENDESK_WEBHOOK_SECRETS": "another of theirs," + hookSecret, "DESK_GREETING": "welcome",
	} {
		env[name] = value
	}
	return app, fake, queue, env
}

func TestTicketWithItsGroup(t *testing.T) {
	app, fake, queue, env := surroundings(t)
	n := 0
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		n++
		user := fmt.Sprint("user", n)
		body := fmt.Sprintf(`{"userId":%q,"caseInfo":{"subject":"printer offline","desc":"it says PC LOAD LETTER, 打印机","name":"Jane","email":"jane@example.com"}}`, user)
		var first kit.Answer
		for range 2 {
			r := kit.Post("/createticket", kit.Key, body)
			r.Header.Set("Idempotency-Key", user)
			a := kit.Read(t, do(r))
			if a.Status != 200 || first.Text != "" && a.Text != first.Text {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
			first = a
		}
		ticket := fake.Tickets()[n-1]
		group := app.State().Group("ZENDESK#" + ticket.ID)
		if len(fake.Tickets()) != n || ticket.Group != group.GroupID || group.Owner != user || len(group.Messages) != 1 {
			t.Errorf("ticket %+v, group %+v", ticket, group)
		}
		queue.Take()
		// Signed over its bytes, whatever the platform does to them on the way.
		event := fake.Assign(ticket.ID, "7001").Request(t.Context(), "http://function.invalid")
		if a := kit.Read(t, do(event)); a.Status != 200 || a.JSON["accepted"] != 1.0 {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		if jobs := queue.Take(); len(jobs) != 1 || !strings.Contains(jobs[0], `"7001"`) {
			t.Errorf("jobs %s", jobs)
		}
		forged := fake.Assign(ticket.ID, "7002").Request(t.Context(), "http://function.invalid")
		forged.Header.Set("X-Zendesk-Webhook-Signature-Timestamp", "2021-03-25T05:09:27Z")
		if a := kit.Read(t, do(forged)); a.Status != 401 || len(queue.Take()) != 0 {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		if a := kit.Read(t, do(kit.Post("/createticket", "", body))); a.Status != 401 {
			t.Errorf("nobody in particular: %d %s", a.Status, a.Text)
		}
	})
}

// TestAgents: the job-worker lets in and out whom the desk names, with settings
// of the desk like ours.
func TestAgents(t *testing.T) {
	app, fake, queue, env := surroundings(t)
	const worker = "github.com/backchannel-im/backchannel/functions/job-worker"
	tickets, jobs := faastest.StartLocal(t, faastest.Build(t, "."), env), faastest.StartLambda(t, faastest.Build(t, worker), env)
	do := func(r *http.Request) {
		t.Helper()
		res, err := tickets.Do(faastest.Plain, r)
		if err != nil {
			t.Fatal(err)
		}
		if a := kit.Read(t, res); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		for _, job := range queue.Take() {
			if failed, err := jobs.SQS(faastest.Message{ID: "1", Body: job}); err != nil || len(failed) > 0 {
				t.Fatal(failed, err)
			}
		}
	}
	do(kit.Post("/createticket", kit.Key, `{"userId":"jane","caseInfo":{"desc":"it says PC LOAD LETTER"}}`))
	id := fake.Tickets()[0].ID
	for _, agent := range []string{"7001", "7002", ""} {
		do(fake.Assign(id, agent).Request(t.Context(), "http://function.invalid"))
		var in []string
		for _, m := range app.State().Group("ZENDESK#" + id).Members {
			if m.UserID != "jane" {
				in = append(in, m.UserID)
			}
		}
		if got := strings.Join(in, " "); got != agent {
			t.Errorf("in the group: %s, want %s", got, agent)
		}
	}
}

// TestSettings: every fault is told, and no secret.
func TestSettings(t *testing.T) {
	_, _, _, good := surroundings(t)
	for name, c := range map[string]struct {
		set    map[string]string
		faults []string
	}{
		"no desk":          {map[string]string{"ZENDESK_URL": ""}, []string{"ZENDESK_URL: required, or SALESFORCE_URL"}},
		"two desks":        {map[string]string{"SALESFORCE_URL": "https://example.my.salesforce.com"}, []string{"SALESFORCE_URL: there is ZENDESK_URL too"}},
		"a published one":  {map[string]string{"ZENDESK_WEBHOOK_SECRETS": hookSecret + ",dev-webhook-secret", "SALESFORCE_HMAC_KEY": "dev-webhook-secret-of-salesforce"}, []string{"ZENDESK_WEBHOOK_SECRETS: item 2 is a published sample value", "SALESFORCE_HMAC_KEY: is a published sample value"}},
		"a short one":      {map[string]string{"ZENDESK_WEBHOOK_SECRETS": "hunter2"}, []string{"ZENDESK_WEBHOOK_SECRETS: item 1 is too easy to guess"}},
		"the known secret": {map[string]string{"ZENDESK_WEBHOOK_SECRETS": "another of theirs,dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="}, []string{"ZENDESK_WEBHOOK_SECRETS: "}},
		"no way in":        {map[string]string{"ZENDESK_CLIENT_SECRET": ""}, []string{"ZENDESK_URL: either an OAuth client"}},
		"no field":         {map[string]string{"ZENDESK_GROUP_FIELD": "", "DESK_CLOSED_GROUPS": "burn"}, []string{"ZENDESK_GROUP_FIELD: required", "DESK_CLOSED_GROUPS: "}},
		"salesforce": {map[string]string{"ZENDESK_URL": "", "SALESFORCE_URL": "https://example.my.salesforce.com", "SALESFORCE_KEY": "hunter2"}, []string{
			"SALESFORCE_API_VERSION: required", "SALESFORCE_CLIENT_ID: required", "SALESFORCE_KEY: is too easy to guess",
		}},
		"a bad key": {map[string]string{
			"ZENDESK_URL": "", "SALESFORCE_URL": "https://example.my.salesforce.com", "SALESFORCE_API_VERSION": "v67.0", "SALESFORCE_CLIENT_ID": "c",
			"SALESFORCE_USERNAME": "bot@example.com", "SALESFORCE_AUDIENCE": "https://login.salesforce.com", "SALESFORCE_PRIVATE_KEY": "hunter2",
		}, []string{"SALESFORCE_URL: the private key is not PEM"}},
	} {
		env := make(map[string]string)
		for _, source := range []map[string]string{good, c.set} {
			for name, value := range source {
				env[name] = value
			}
		}
		out := faastest.Run(t, faastest.Build(t, "."), env)
		for _, fault := range c.faults {
			if out.Code != 2 || !slices.ContainsFunc(strings.Split(out.Stderr, "\n"), func(line string) bool { return strings.HasPrefix(line, fault) }) {
				t.Errorf("%s: status %d without %q:\n%s", name, out.Code, fault, out.Stderr)
			}
		}
		if strings.Contains(out.Stderr, "hunter2") {
			t.Errorf("%s: a secret is told:\n%s", name, out.Stderr)
		}
	}
}

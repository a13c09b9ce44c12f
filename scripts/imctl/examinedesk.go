package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// unseen reports that doctor was not given what it would examine a desk with, and says
// so. A deployment does not start without, so that this is no fault of its.
func (d *physician) unseen(check string, settings ...string) bool {
	var lacks []string
	for _, name := range settings {
		if d.get(name) == "" {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) == 0 {
		return false
	}
	d.findings = append(d.findings, finding{check, true, "not examined: doctor was not given " + names(lacks), "give them too, in the environment or with -env FILE"})
	return true
}

// zendesk: the account takes the OAuth client, the deployment refuses webhooks that
// nobody signed, and an active webhook points at it.
func (d *physician) zendesk(ctx context.Context) {
	base := strings.TrimSuffix(d.get("ZENDESK_URL"), "/")
	if base == "" {
		return
	}
	if d.unseen("zendesk", "ZENDESK_CLIENT_ID", "ZENDESK_CLIENT_SECRET") {
		return
	}
	body, err := json.Marshal(map[string]string{
		"grant_type": "client_credentials", "client_id": d.get("ZENDESK_CLIENT_ID"), "client_secret": d.get("ZENDESK_CLIENT_SECRET"), "scope": "read write",
	})
	if err != nil {
		return
	}
	f := d.fetch(ctx, http.MethodPost, base+"/oauth/tokens", map[string]string{"Content-Type": "application/json"}, body)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	switch {
	case f.err != nil:
		d.wrong("zendesk", "ZENDESK_URL cannot be reached: "+f.err.Error(), "set ZENDESK_URL to https://SUBDOMAIN.zendesk.com")
		return
	case f.status != http.StatusOK && f.status != http.StatusCreated || json.Unmarshal(f.body, &token) != nil || token.AccessToken == "":
		d.wrong("zendesk", fmt.Sprintf("Zendesk refuses the OAuth client with status %d", f.status), "check ZENDESK_CLIENT_ID and ZENDESK_CLIENT_SECRET: a confidential OAuth client, with the client credentials flow")
		return
	}
	if d.get("ZENDESK_WEBHOOK_SECRETS") == "" {
		d.wrong("zendesk", "ZENDESK_WEBHOOK_SECRETS is not set, so that every webhook of Zendesk is refused", "set it to the signing secret of each webhook")
		return
	}
	hook := d.fetch(ctx, http.MethodPost, d.url+"/zendesk/events", map[string]string{"Content-Type": "application/json"}, []byte("{}"))
	if hook.err != nil || hook.status != http.StatusUnauthorized && hook.status != http.StatusForbidden {
		d.wrong("zendesk", fmt.Sprintf("POST /zendesk/events answers an unsigned webhook with status %d", hook.status), "is the feature on? ZENDESK_URL and its settings must be given to ticket-creator or the bundle")
		return
	}
	list := d.fetch(ctx, http.MethodGet, base+"/api/v2/webhooks", map[string]string{"Authorization": "Bearer " + token.AccessToken}, nil)
	var hooks struct {
		Webhooks []struct{ Endpoint, Status string } `json:"webhooks"`
	}
	if list.err == nil && list.status == http.StatusOK && json.Unmarshal(list.body, &hooks) == nil {
		for _, h := range hooks.Webhooks {
			if strings.HasSuffix(strings.TrimSuffix(h.Endpoint, "/"), "/zendesk/events") && (h.Status == "" || h.Status == "active") {
				d.well("zendesk", "Zendesk takes the OAuth client and has a webhook for %s", h.Endpoint)
				return
			}
		}
		d.wrong("zendesk", "Zendesk has no active webhook that calls /zendesk/events", "imctl zendesk install makes it")
		return
	}
	d.well("zendesk", "Zendesk takes the OAuth client; unsigned webhooks are refused")
}

// salesforce: the org takes the app, and the deployment refuses changes that nobody
// signed.
func (d *physician) salesforce(ctx context.Context) {
	base := strings.TrimSuffix(d.get("SALESFORCE_URL"), "/")
	if base == "" {
		return
	}
	if d.unseen("salesforce", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET") {
		return
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {d.get("SALESFORCE_CLIENT_ID")}, "client_secret": {d.get("SALESFORCE_CLIENT_SECRET")}}
	f := d.fetch(ctx, http.MethodPost, base+"/services/oauth2/token", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte(form.Encode()))
	switch {
	case f.err != nil:
		d.wrong("salesforce", "SALESFORCE_URL cannot be reached: "+f.err.Error(), "set SALESFORCE_URL to https://DOMAIN.my.salesforce.com")
		return
	case f.status != http.StatusOK:
		d.wrong("salesforce", fmt.Sprintf("Salesforce refuses the External Client App with status %d", f.status), "check SALESFORCE_CLIENT_ID and SALESFORCE_CLIENT_SECRET, and that the client credentials flow is on and has a user")
		return
	}
	hook := d.fetch(ctx, http.MethodPost, d.url+"/casechanges", map[string]string{"Content-Type": "application/json"}, []byte("{}"))
	if hook.err != nil || hook.status != http.StatusUnauthorized && hook.status != http.StatusForbidden {
		d.wrong("salesforce", fmt.Sprintf("POST /casechanges answers an unsigned call with status %d", hook.status), "are the settings given to ticket-creator or the bundle?")
		return
	}
	d.well("salesforce", "Salesforce takes the app; unsigned changes are refused")
}

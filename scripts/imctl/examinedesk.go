package main

import (
	"context"
	"encoding/json"
	"errors"
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
	_, f := d.zendeskToken(ctx, base, "tickets:read tickets:write")
	switch {
	case f.err != nil:
		d.wrong("zendesk", "ZENDESK_URL cannot be reached: "+f.err.Error(), "set ZENDESK_URL to https://SUBDOMAIN.zendesk.com")
		return
	case f.status != http.StatusOK:
		d.wrong("zendesk", fmt.Sprintf("Zendesk refuses the OAuth client with status %d", f.status), "check ZENDESK_CLIENT_ID and ZENDESK_CLIENT_SECRET: a confidential OAuth client, with the client credentials flow")
		return
	}
	if d.get("ZENDESK_WEBHOOK_SECRETS") == "" {
		d.wrong("zendesk", "ZENDESK_WEBHOOK_SECRETS is not set, so that every webhook of Zendesk is refused", "set it to the signing secret of each webhook")
		return
	}
	if !d.splits() && !d.refuses(ctx, "zendesk", d.url+"/zendesk/events") {
		return
	}
	token, _ := d.zendeskToken(ctx, base, "webhooks:read")
	list := d.fetch(ctx, http.MethodGet, base+"/api/v2/webhooks", map[string]string{"Authorization": "Bearer " + token}, nil)
	var hooks struct {
		Webhooks []struct{ Endpoint, Status string } `json:"webhooks"`
	}
	if list.err == nil && list.status == http.StatusOK && json.Unmarshal(list.body, &hooks) == nil {
		for _, h := range hooks.Webhooks {
			if strings.HasSuffix(strings.TrimSuffix(h.Endpoint, "/"), "/zendesk/events") && (h.Status == "" || h.Status == "active") {
				if !d.splits() || d.refuses(ctx, "zendesk", h.Endpoint) {
					d.well("zendesk", "Zendesk takes the OAuth client and has a webhook for %s", h.Endpoint)
				}
				return
			}
		}
		d.wrong("zendesk", "Zendesk has no active webhook that calls /zendesk/events", "imctl zendesk install makes it")
		return
	}
	if d.splits() {
		d.well("zendesk", "Zendesk takes the OAuth client; its webhooks were not examined, since the client may not list them")
		return
	}
	d.well("zendesk", "Zendesk takes the OAuth client; unsigned webhooks are refused")
}

// zendeskToken asks for a token with a scope. The status is 200 if there is one.
func (d *physician) zendeskToken(ctx context.Context, base, scope string) (string, fetched) {
	body, err := json.Marshal(map[string]any{
		"grant_type": "client_credentials", "client_id": d.get("ZENDESK_CLIENT_ID"), "client_secret": d.get("ZENDESK_CLIENT_SECRET"), "scope": scope, "expires_in": 600,
	})
	if err != nil {
		return "", fetched{err: err}
	}
	f := d.fetch(ctx, http.MethodPost, base+"/oauth/tokens", map[string]string{"Content-Type": "application/json"}, body)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if f.status == http.StatusCreated {
		f.status = http.StatusOK
	}
	if f.err == nil && f.status == http.StatusOK && (json.Unmarshal(f.body, &token) != nil || token.AccessToken == "") {
		f.err = errors.New("its answer to POST /oauth/tokens has no access_token")
	}
	return token.AccessToken, f
}

// splits reports whether the desks' webhooks are another function's than the one that
// is examined, ticket-creator's.
func (d *physician) splits() bool { return d.function == "job-worker" }

// refuses reports whether a desk's webhook refuses who does not sign, and says so where
// it does not.
func (d *physician) refuses(ctx context.Context, check, endpoint string) bool {
	hook := d.fetch(ctx, http.MethodPost, endpoint, map[string]string{"Content-Type": "application/json"}, []byte("{}"))
	switch {
	case hook.err != nil:
		d.wrong(check, "the webhook "+endpoint+" cannot be reached: "+hook.err.Error(), "is it the address of ticket-creator or the bundle?")
	case hook.status != http.StatusUnauthorized && hook.status != http.StatusForbidden:
		d.wrong(check, fmt.Sprintf("the webhook %s answers who does not sign with status %d", endpoint, hook.status), "is the feature on? The settings "+strings.ToUpper(check)+"_... must be given to ticket-creator or the bundle")
	default:
		return true
	}
	return false
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
	if d.splits() {
		d.well("salesforce", "Salesforce takes the app; POST /casechanges is ticket-creator's and was not examined")
		return
	}
	if d.refuses(ctx, "salesforce", d.url+"/casechanges") {
		d.well("salesforce", "Salesforce takes the app; unsigned changes are refused")
	}
}

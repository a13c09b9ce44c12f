package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/doctor"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// splitOff stands for job-worker in front of a bundle: what other functions serve is not
// there. It returns the callback URL.
func splitOff(t *testing.T, d *patient) (callbackURL string) {
	t.Helper()
	callbackURL = d.url + "/im"
	s := httptest.NewServer(faas.Front("job-worker", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/doctor/") {
			http.NotFound(w, r)
			return
		}
		d.App.HTTP.ServeHTTP(w, r)
	})))
	t.Cleanup(s.Close)
	d.url = s.URL
	return callbackURL
}

// TestDoctorOfDesks: a desk that is wired right is well. The webhooks are ticket-creator's,
// so that job-worker's lack of them is no fault; what Zendesk calls is examined instead.
func TestDoctorOfDesks(t *testing.T) {
	zendesk := httptest.NewServer(desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "right-secret", GroupField: 1, WebhookSecret: "a secret of this test"}))
	t.Cleanup(zendesk.Close)
	salesforce := httptest.NewServer(desktest.NewSalesforce(desktest.SalesforceConfig{APIVersion: "v67.0", KeyField: "IM_Key__c", ClientID: "app", ClientSecret: "right-secret"}))
	t.Cleanup(salesforce.Close)
	settings := map[string]map[string]string{
		"zendesk":    {"ZENDESK_URL": zendesk.URL, "ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "right-secret", "ZENDESK_GROUP_FIELD": "1", "ZENDESK_WEBHOOK_SECRETS": "a secret of this test"},
		"salesforce": {"SALESFORCE_URL": salesforce.URL, "SALESFORCE_API_VERSION": "v67.0", "SALESFORCE_CLIENT_ID": "app", "SALESFORCE_CLIENT_SECRET": "right-secret", "SALESFORCE_KEY": "a key of twenty or more"},
	}
	status := http.StatusUnauthorized
	creator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(creator.Close)
	imctlWith(t, settings["zendesk"], "zendesk", "install", "-zendesk", zendesk.URL, "-url", creator.URL, "-yes").want(t, 0)

	for desk, more := range settings {
		for _, split := range []bool{false, true} {
			d := deployed(t, more)
			d.Tick()
			maps.Copy(d.env, more)
			args := []string{"-wait", "1m"}
			if split {
				args = append(args, "-callback-url", splitOff(t, d))
			}
			args = append(args, "-env", envFile(t, d.env))
			r := d.doctor(t, args...)
			if !r.OK || !slices.ContainsFunc(r.Findings, func(f finding) bool { return f.Check == desk }) {
				t.Errorf("%s, split %v: %+v", desk, split, r.wrong())
			}
			if desk != "zendesk" || !split {
				continue
			}
			status = http.StatusNotFound
			bad := d.doctor(t, args...).wrong()
			if len(bad) != 1 || bad[0].Check != "zendesk" || !strings.Contains(bad[0].Found, creator.URL+"/zendesk/events answers who does not sign with status 404") {
				t.Errorf("%+v", bad)
			}
		}
	}
}

// TestDoctorOfARefusal: what was refused of others, or before the check was opened, is
// not why the check's own message did not come.
func TestDoctorOfARefusal(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		state doctor.State
		found string
	}{
		{doctor.State{Refusals: []doctor.Refusal{{Reason: callback.ErrBadSignature.Code, Last: now.Add(time.Second)}}}, "IM does not call this deployment"},
		{doctor.State{Refusals: []doctor.Refusal{{Reason: callback.ErrOtherApp.Code, Last: now.Add(time.Second)}}}, "callbacks of another app arrive"},
		{doctor.State{Refusals: []doctor.Refusal{{Reason: callback.ErrOtherApp.Code, Last: now.Add(-time.Minute)}}}, "IM does not call this deployment"},
		{doctor.State{MessageRefused: callback.ErrFuture.Code}, "refused for their time"},
		{doctor.State{MessageRefused: callback.ErrBadTime.Code}, "refused: bad_time"},
		{doctor.State{Arrivals: []doctor.Arrival{{Last: now.Add(-2 * time.Hour)}, {Last: now.Add(-5 * time.Hour)}}}, "other callbacks arrived, at 2026-11-30T10:00:00Z"},
		{doctor.State{Arrivals: []doctor.Arrival{{Last: now.Add(-25 * time.Hour)}}}, "IM does not call this deployment"},
	} {
		d := &physician{patience: leastPatience}
		tt.state.Now = now.Add(d.patience)
		d.returned(doctor.Opened{Now: now}, tt.state)
		if len(d.findings) != 1 || d.findings[0].OK || !strings.Contains(d.findings[0].Found, tt.found) {
			t.Errorf("%+v; want %q", d.findings, tt.found)
		}
	}
}

// TestWebhooksOfSplit: IM calls callback-router, and job-worker says which callbacks.
func TestWebhooksOfSplit(t *testing.T) {
	d := deployed(t, nil)
	callbackURL := splitOff(t, d)
	imctlWith(t, d.env, "webhooks", "-url", d.url).want(t, 2, "callback-router's URL with /im as -callback-url")
	imctlWith(t, d.env, "webhooks", "-url", d.url, "-callback-url", callbackURL).want(t, 0,
		"callback URL           "+callbackURL+"\n", "Group.CallbackBeforeSendMsg", "Then: imctl doctor -url "+d.url+" -callback-url "+callbackURL)
	if strings.Contains(imctlWith(t, d.env, "webhooks", "-url", d.url, "-callback-url", callbackURL).out, kit.Token) {
		t.Error("the token is printed")
	}
}

package desktest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
)

// drive runs a client by others against a server and returns what it found.
func drive(t *testing.T, args ...string) map[string]any {
	t.Helper()
	if testing.Short() {
		t.Skip("Node.js is not part of -short")
	}
	const folder = "../../../scripts/node"
	if _, err := os.Stat(folder + "/node_modules/jsforce"); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"desks.cjs"}, args...)...)
	cmd.Dir, cmd.Stderr = folder, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found map[string]any
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestZendeskClient: a client by others makes, reads, changes and lists tickets
// of the fake.
func TestZendeskClient(t *testing.T) {
	web := httptest.NewServer(desktest.NewZendesk(desktest.ZendeskConfig{Email: "agent@example.com", APIToken: "token", GroupField: 360}))
	defer web.Close()
	got := drive(t, "zendesk", web.URL, "agent@example.com", "token", strconv.Itoa(360))
	want := map[string]any{
		"id": 35001.0, "subject": "help", "made": "g1", "updated": "g2", "listed": []any{35001.0}, "missing": 404.0,
		"solved": "solved", "tags": []any{"im_transcript_1"}, "hook": "w", "hooks": 1.0,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestSalesforceClient: a client by others upserts and reads cases of the fake.
func TestSalesforceClient(t *testing.T) {
	org := desktest.NewSalesforce(desktest.SalesforceConfig{
		APIVersion: "v67.0", ClientID: "consumer", ClientSecret: "s", KeyField: "IM_Key__c", GroupField: "IM_Group__c",
	})
	web := httptest.NewServer(org)
	defer web.Close()
	got := drive(t, "salesforce", web.URL, login(t, web.URL), "IM_Key__c")
	want := map[string]any{
		"created": true, "createdAgain": false, "sameId": true, "subject": "help!",
		"url": "/services/data/v67.0/sobjects/Case/500xx0000000001AAC", "missing": "NOT_FOUND",
		"version": true, "twice": "DUPLICATE_VALUE", "closed": "Closed",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func login(t *testing.T, base string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"consumer"}, "client_secret": {"s"}}
	res, err := http.Post(base+"/services/oauth2/token", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out.AccessToken
}

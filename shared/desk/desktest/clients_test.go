package desktest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
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

// TestZendeskTypes: what our adapter sends about tickets is what the types of a client by
// others allow, whose fields are those of Zendesk's reference. They lack additional_tags,
// which the reference has beside its table of fields.
func TestZendeskTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("Node.js is not part of -short")
	}
	fake := desktest.NewZendesk(desktest.ZendeskConfig{Email: "agent@example.com", APIToken: "token", GroupField: 360})
	var sent bytes.Buffer
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if len(body) > 0 && strings.HasPrefix(r.URL.Path, "/api/v2/tickets") {
			fmt.Fprintf(&sent, "check(%s);\n", body)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		fake.ServeHTTP(w, r)
	}))
	defer web.Close()
	d, err := zendesk.New(zendesk.Config{URL: web.URL, Email: "agent@example.com", APIToken: "token", GroupField: 360})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	id, err := d.Create(ctx, desk.Ticket{Key: "im-1", Subject: "help", Text: "words", Name: "Jane", Email: "jane@example.com"})
	must(err)
	must(d.Link(ctx, id, "g1"))
	must(d.Update(ctx, id, desk.Update{Assignee: "701", Status: desk.Reopened}))
	file, err := d.AddFile(ctx, id, desk.File{Name: "a.txt", Text: "text"})
	must(err)
	must(d.AddNote(ctx, id, desk.Note{Key: "transcript-1", Text: "text", Files: []string{file}, Rating: 4}))
	fake.SetClosed(id, true)
	_, err = d.Create(ctx, desk.Ticket{Key: "im-2", Text: "words", FollowUp: id, Internal: true})
	must(err)

	modules, err := filepath.Abs("../../../scripts/node/node_modules")
	must(err)
	check := func(requests string) (string, error) {
		file := filepath.Join(t.TempDir(), "requests.ts")
		must(os.WriteFile(file, fmt.Appendf(nil, `import type { CreateOrUpdateTicket, Ticket } from %q;
type Request = CreateOrUpdateTicket & { ticket?: { additional_tags?: Ticket["tags"] } };
const check = (_: Request) => {};
%s`, modules+"/node-zendesk/dist/types/clients/core/tickets", requests), 0o600))
		out, err := exec.CommandContext(ctx, "node", modules+"/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--typeRoots", t.TempDir(), file).CombinedOutput()
		return string(out), err
	}
	if out, err := check(sent.String()); err != nil || strings.Count(sent.String(), "check(") != 5 {
		t.Errorf("%v %s\n%s", err, out, sent.String())
	}
	if out, err := check(`check({"ticket":{"followup_source":1}});`); err == nil || !strings.Contains(out, "followup_source") {
		t.Errorf("a field that there is not passes: %v %s", err, out)
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

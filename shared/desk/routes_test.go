package desk_test

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

// TestBadInput: a clear 4xx, and nothing has happened: no call to desk or IM, no
// job, not a byte of the store changed, and nothing of it in the log.
func TestBadInput(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))

	file := filepath.Join(t.TempDir(), "state")
	clock := kvtest.NewClock()
	store, err := boltkv.Open(file, boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	w := newWorld(t, store, clock, zendeskKind)
	w.doors.Gate.Bans = &api.Bans{Until: func(_ context.Context, userID string) (until time.Time, err error) {
		if userID == "mal" {
			until = clock.Now().Add(time.Hour)
		}
		return until, nil
	}}
	org := desktest.NewSalesforce(desktest.SalesforceConfig{APIVersion: "v67.0", KeyField: "K", GroupField: "G", HMACKey: hookKey, Now: clock.Now})
	w.doors.Org = salesforceOrg(clock.Now)
	hooks := w.fake.(*desktest.Zendesk)
	p := w.process(store)
	id, group := p.opens("jane")
	p.work()
	sig, err := w.Users.Sign("jane", time.Hour)
	w.Must(err)

	post := func(path, body string, headers ...string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		return r
	}
	server := []string{"Authorization", "Bearer " + apiKey}
	user := []string{"Authorization", "UserSig jane:" + sig}
	secretText := "what nobody else may read"
	wish := func(caseInfo string) string {
		return `{"userId":"june","caseInfo":{"desc":"` + secretText + `"` + caseInfo + `}}`
	}
	delivered := func(d desktest.Delivery) *http.Request { return d.Request(t.Context(), "http://function.invalid") }
	changed := func(d desktest.Delivery) *http.Request {
		d.Body = append(d.Body, ' ')
		return delivered(d)
	}
	stale := func(d desktest.Delivery, header, value string) *http.Request {
		d.Header.Set(header, value)
		return delivered(d)
	}
	event := `{"ticket_id":"` + id + `","external_id":"im-1","assignee_id":"7001","updated_at":"` + clock.Now().UTC().Format(time.RFC3339) + `"}`
	join := `{"groupId":"` + group + `","userId":"7001"}`
	long := strings.Repeat("x", 80<<10)

	form := post("/createticket", wish(""), server...)
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")

	before := w.traces(file)
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
	}{
		{"no caller", post("/createticket", wish("")), 401},
		{"another key", post("/createticket", wish(""), "Authorization", "Bearer "+secretText), 401},
		{"another's UserSig", post("/createticket", wish(""), "Authorization", "UserSig june:"+sig), 401},
		{"a user for another", post("/createticket", wish(""), user...), 403},
		{"a server for one who is banned", post("/createticket", `{"userId":"mal","caseInfo":{"desc":"x"}}`, server...), 403},
		{"nobody asks", post("/createticket", `{"caseInfo":{"desc":"x"}}`, server...), 400},
		{"a robot asks", post("/createticket", `{"userId":"@RBT#1","caseInfo":{"desc":"x"}}`, server...), 400},
		{"an id with a blank", post("/createticket", `{"userId":"ju ne","caseInfo":{"desc":"x"}}`, server...), 400},
		{"an id too long", post("/createticket", `{"userId":"`+long[:33]+`","caseInfo":{"desc":"x"}}`, server...), 400},
		{"nothing said", post("/createticket", `{"userId":"june","caseInfo":{"desc":"  "}}`, server...), 400},
		{"no caseInfo", post("/createticket", `{"userId":"june"}`, server...), 400},
		{"caseInfo a list", post("/createticket", `{"userId":"june","caseInfo":[]}`, server...), 400},
		{"a number for text", post("/createticket", wish(`,"subject":7`), server...), 400},
		{"a subject of two lines", post("/createticket", wish(`,"subject":"a\nb"`), server...), 400},
		{"a subject with NUL", post("/createticket", wish(`,"subject":"a\u0000b"`), server...), 400},
		{"a long subject", post("/createticket", wish(`,"subject":"`+long[:256]+`"`), server...), 400},
		{"a long name", post("/createticket", wish(`,"name":"`+long[:81]+`"`), server...), 400},
		{"no address", post("/createticket", wish(`,"email":"jane"`), server...), 400},
		{"half an address", post("/createticket", wish(`,"email":"jane@"`), server...), 400},
		{"a long text", post("/createticket", `{"userId":"june","caseInfo":{"desc":"`+long[:32001]+`"}}`, server...), 400},
		{"said twice", post("/createticket", `{"userId":"june","userId":"jane","caseInfo":{"desc":"x"}}`, server...), 400},
		{"no JSON", post("/createticket", secretText, server...), 400},
		{"a list", post("/createticket", `[]`, server...), 400},
		{"not UTF-8", post("/createticket", "{\"userId\":\"\xff\"}", server...), 400},
		{"a form", form, 415},
		{"too large", post("/createticket", wish(`,"x":"`+long+`"`), server...), 413},
		{"an empty name", post("/createticket", wish(""), append([]string{"Idempotency-Key", ""}, server...)...), 400},
		{"two names", post("/createticket", wish(""), append([]string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, server...)...), 400},
		{"a long name of a request", post("/createticket", wish(""), append([]string{"Idempotency-Key", long[:129]}, server...)...), 400},
		{"another method", httptest.NewRequest(http.MethodGet, "/createticket", nil), 405},

		{"no caller", post("/joingroup", join), 401},
		{"a user", post("/joingroup", join, user...), 403},
		{"an empty key of the org", post("/joingroup", join, "X-IM-Key", ""), 401},
		{"a guessed key of the org", post("/joingroup", join, "X-IM-Key", secretText), 401},
		{"a changed body", changed(org.Sign("/joingroup", []byte(join))), 401},
		{"an old signature", stale(org.Sign("/joingroup", []byte(join)), "X-Im-Timestamp", "1"), 401},
		{"no user", post("/joingroup", `{"groupId":"1"}`, server...), 400},
		{"no group", post("/leavegroup", `{"userId":"1"}`, server...), 400},
		{"a user's id that cannot be", post("/leavegroup", `{"groupId":"1","userId":"a b"}`, server...), 400},
		{"no group", post("/deletegroup", `{}`, server...), 400},
		{"a group's id that cannot be", post("/deletegroup", `{"groupId":"../../x"}`, server...), 400},
		{"a long group's id", post("/deletegroup", `{"groupId":"`+long[:41]+`"}`, server...), 400},
		{"no JSON", post("/deletegroup", `{`, server...), 400},
		{"too large", post("/deletegroup", `{"groupId":"`+long+`"}`, server...), 413},
		{"too large, of the org", delivered(org.Sign("/deletegroup", []byte(long))), 413},

		{"no caller", post("/casechanges", `{"changes":[]}`), 401},
		{"no changes", post("/casechanges", `{"changes":[]}`, server...), 400},
		{"too many", post("/casechanges", `{"changes":[`+strings.Repeat(`{"op":"closed","caseId":"1"},`, 400)+`{}]}`, server...), 400},
		{"one of two is none", post("/casechanges", `{"changes":[{"op":"closed","caseId":"`+id+`"},{"op":"burnt","caseId":"1"}]}`, server...), 400},
		{"nobody joined", post("/casechanges", `{"changes":[{"op":"joined","caseId":"`+id+`"}]}`, server...), 400},
		{"no time", post("/casechanges", `{"changes":[{"op":"closed","caseId":"`+id+`","at":"yesterday"}]}`, server...), 400},
		{"a changed body", changed(org.Sign("/casechanges", []byte(`{"changes":[]}`))), 401},

		{"not signed", post("/zendesk/events", event), 401},
		{"a server's key", post("/zendesk/events", event, server...), 401},
		{"a changed body", changed(hooks.Sign([]byte(event))), 401},
		{"another time", stale(hooks.Sign([]byte(event)), "X-Zendesk-Webhook-Signature-Timestamp", "2021-03-25T05:09:27Z"), 401},
		{"no JSON", delivered(hooks.Sign([]byte(secretText))), 400},
		{"neither kind", delivered(hooks.Sign([]byte(`{}`))), 400},
		{"an id that cannot be", delivered(hooks.Sign([]byte(`{"ticket_id":"../1","updated_at":"2026-03-01T12:00:00Z"}`))), 400},
		{"too large", delivered(hooks.Sign(bytes.Repeat([]byte("x"), 513<<10))), 413},
	} {
		a := p.do(c.request)
		problem, _ := a.json["error"].(map[string]any)
		if message, _ := problem["message"].(string); a.status != c.status || message == "" {
			t.Errorf("%s %s: %d %s, want %d", c.request.URL.Path, c.name, a.status, a.text, c.status)
		}
		if strings.Contains(a.text, secretText) || strings.Contains(a.text, hookKey) {
			t.Errorf("%s %s: the answer quotes: %s", c.request.URL.Path, c.name, a.text)
		}
	}
	if after := w.traces(file); !maps.Equal(before, after) {
		t.Error("something has happened")
	}
	for _, secret := range []string{secretText, words, apiKey, hookKey, sig, "jane@example.com"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q in it: %s", secret, log.String())
		}
	}
}

// traces is what shows that something has happened.
func (w *world) traces(file string) map[string]any {
	w.Helper()
	state, err := os.ReadFile(file)
	w.Must(err)
	return map[string]any{
		"store": string(state), "IM": len(w.App.Calls()), "jobs": len(w.Queue.All()),
		"login": w.fake.Calls("login"), "create": w.fake.Calls("create"), "find": w.fake.Calls("find"), "link": w.fake.Calls("link"),
	}
}

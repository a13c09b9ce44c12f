package repotest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/backchannel-im/backchannel/shared/bot/knowledge"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

const openapiFile = "docs/openapi.yaml"

// description is the OpenAPI document, as plain JSON values.
type description struct {
	paths   map[string]any
	schemas *jsonschema.Compiler
}

func readOpenAPI(t *testing.T) description {
	t.Helper()
	var document any
	if err := yaml.Unmarshal([]byte(read(t, openapiFile)), &document); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := description{plain.(map[string]any)["paths"].(map[string]any), jsonschema.NewCompiler()}
	d.schemas.AssertFormat()
	if err := d.schemas.AddResource("mem:openapi", plain); err != nil {
		t.Fatal(err)
	}
	return d
}

// check holds one answer of the running bundle against the document.
func (d description) check(method, path string, res kit.Answer) error {
	pointer := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/" + strings.ToLower(method) + "/responses/" + strconv.Itoa(res.Status)
	operation, _ := d.paths[path].(map[string]any)[strings.ToLower(method)].(map[string]any)
	responses, _ := operation["responses"].(map[string]any)
	response, documented := responses[strconv.Itoa(res.Status)].(map[string]any)
	if !documented {
		return fmt.Errorf("status %d is not documented", res.Status)
	}
	if ref, is := response["$ref"].(string); is {
		pointer = strings.TrimPrefix(ref, "#")
	}
	schema, err := d.schemas.Compile("mem:openapi#" + url.PathEscape(pointer+"/content/application~1json/schema"))
	if err != nil {
		return err
	}
	body, err := jsonschema.UnmarshalJSON(strings.NewReader(res.Text))
	if err != nil {
		return err
	}
	return schema.Validate(body)
}

// TestOpenAPI holds docs/openapi.yaml against the running bundle: every
// operation is called well and badly, and answers as described.
func TestOpenAPI(t *testing.T) {
	d := readOpenAPI(t)
	state := filepath.Join(t.TempDir(), "state.db")
	layAside(t, state, "one", "another")
	emulator := imtest.NewServer(imtest.Options{})
	defer emulator.Close()
	emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	folder, err := filepath.Abs(corpus)
	if err != nil {
		t.Fatal(err)
	}
	zendesk := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360, WebhookSecret: "a secret of this test"})
	p := faastest.StartLocal(t, program(t, "bundle"), kit.Settings(map[string]string{
		"STATE_URL": "bolt:" + state, "QUEUE_URL": "bolt:{dir}/jobs.db", "CALLBACK_PATH_SECRET": "", "IM_DOMAIN": serve(t, emulator),
		"ZENDESK_URL": serve(t, zendesk), "ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "s", "ZENDESK_GROUP_FIELD": "360",
		"ZENDESK_WEBHOOK_SECRETS": "a secret of this test", "MATCH_HOOK_URL": "http://127.0.0.1:1", "MAIL_HOOK_URL": "http://127.0.0.1:1", "MAIL_HOOK_KEY": "a key of this test alone", "MATCH_HOOK_KEY": "a key of this test alone", "CSS_CALLBACK_KEY": cssKey,
		"TMS_VIDEO_URL": "http://127.0.0.1:1", "TMS_REGION": "ap-test", "TMS_SECRET_ID": "id", "TMS_SECRET_KEY": "key",
		"SHOPIFY_SECRET": shopSecret, "SHOPIFY_SHOPS": "example.myshopify.com", "AGENT_USER_IDS": "helpdesk",
		"TMS_RESULTS_URL": "http://127.0.0.1:1/moderation/results", "TMS_SEED": seed,
		"LLM_BASE_URL": "http://127.0.0.1:1/v1", "LLM_MODEL": "m", "BOT_KNOWLEDGE": folder,
	}))
	team := func(body string) *http.Request {
		r := kit.Post("/teams", kit.Key, body)
		r.Header.Set("Idempotency-Key", "one")
		return r
	}
	made, err := p.Do(faastest.Plain, team(`{"size":3,"captain":"alice"}`))
	if err != nil {
		t.Fatal(err)
	}
	groupID, _ := kit.Read(t, made).JSON["groupId"].(string)
	opened, err := p.Do(faastest.Plain, kit.Post("/doctor/checks", kit.Key, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	checkID, _ := kit.Read(t, opened).JSON["checkId"].(string)
	ofTeam := func(method, rest, key, body string) *http.Request {
		r := kit.Post("/teams/"+groupID+rest, key, body)
		r.Method = method
		return r
	}
	// A room, named in each path by its id, with the Idempotency-Key of the path.
	show := func(method, rest, key, body string) *http.Request {
		r := kit.Post("/rooms/show"+rest, key, body)
		r.Method = method
		return r
	}
	// A community of alice's, named in each path by its id.
	town := func(method, rest, key, body string) *http.Request {
		r := kit.Post("/communities/town"+rest, key, body)
		r.Method = method
		return r
	}
	keyed := func(name string, r *http.Request) *http.Request {
		r.Header.Set("Idempotency-Key", name)
		return r
	}
	// A mail to alice with an attachment, and one whose file of recipients is to come.
	mailTo := func(name, to string) (id string) {
		t.Helper()
		res, err := p.Do(faastest.Plain, keyed(name, kit.Post("/mail", kit.Key, `{"to":`+to+`,"title":"gift","attachments":[{"itemId":"gem","count":1}]}`)))
		if err != nil {
			t.Fatal(err)
		}
		id, _ = kit.Read(t, res).JSON["mailId"].(string)
		return "/mail/" + id
	}
	mail, filed := mailTo("everyone", `{"everyone":true}`), mailTo("filed", `{"file":true}`)
	patch := func(path, body string) *http.Request {
		r := put(path, kit.Key, body)
		r.Method = http.MethodPatch
		return r
	}
	ticket := func(key, rest string) *http.Request {
		return kit.Post("/createticket", key, `{"userId":"alice","caseInfo":{"desc":"the printer is offline"`+rest+`}}`)
	}
	named := func(rest string) *http.Request {
		r := ticket(kit.Key, rest)
		r.Header.Set("Idempotency-Key", "one")
		return r
	}
	event := func(body string) *http.Request {
		return zendesk.Sign([]byte(body)).Request(t.Context(), "http://function.invalid")
	}
	drop := func(id, key string) *http.Request {
		r := kit.Get("/jobs/"+id, key)
		r.Method = http.MethodDelete
		return r
	}
	eraseOf := func(userID string) *http.Request {
		r := kit.Get("/users/"+userID+"/records", kit.Key)
		r.Method = http.MethodDelete
		return r
	}
	bad := func(path string) *http.Request { return kit.Post(path, "", "no JSON") }
	large := kit.Post("/usersig", kit.Key, `{"userID":"`+strings.Repeat("x", 80<<10)+`"}`)
	text := kit.Post("/usersig", kit.Key, `{"userID":"alice"}`)
	text.Header.Set("Content-Type", "text/plain")
	probe := httptest.NewRequest(http.MethodPost, "/im", strings.NewReader("{}"))
	counted := kit.Callback(t, kit.AfterSend("alice", 1))
	calls := []struct {
		path    string
		request *http.Request
		status  int
	}{
		{"/healthz", kit.Get("/healthz", ""), 200},
		{"/im", kit.Callback(t, kit.BeforeSend("join my casino")), 200},
		{"/im", counted, 200},
		{"/im", probe, 200},
		{"/im", bad("/im?CallbackCommand=x"), 403},
		{"/im", kit.Callback(t, `{"CallbackCommand":"Group.CallbackAfterSendMsg","MsgSeq":"seven"}`), 400},
		{"/im/{secret}", bad("/im/guess?CallbackCommand=x"), 403},
		{"/usersig", kit.Post("/usersig", kit.Key, `{"userID":"alice"}`), 200},
		{"/usersig", kit.Post("/usersig", kit.Key, `{"userID":""}`), 400},
		{"/usersig", kit.Post("/usersig", "", `{"userID":"alice"}`), 401},
		{"/usersig", kit.Post("/usersig", kit.Key, `{"userID":"administrator"}`), 403},
		{"/usersig", large, 413},
		{"/usersig", text, 415},
		{"/usersig", kit.Post("/usersig", kit.Key, `{"userID":"helpdesk"}`), 403},
		{"/shopify/usersig", kit.Post("/shopify/usersig?"+shopper("4711"), "", `{"name":"Ann"}`), 200},
		{"/shopify/usersig", kit.Post("/shopify/usersig?"+shopper(""), "", `{"email":"ann@example.com"}`), 200},
		{"/shopify/usersig", kit.Post("/shopify/usersig?"+shopper(""), "", `{"email":"nobody"}`), 400},
		{"/shopify/usersig", bad("/shopify/usersig"), 401},
		{"/agents/usersig", kit.Post("/agents/usersig", kit.Key, `{"userID":"helpdesk"}`), 200},
		{"/agents/usersig", kit.Post("/agents/usersig", kit.Key, `{"userID":"alice"}`), 403},
		{"/agents/usersig", kit.Post("/agents/usersig", kit.Key, `{}`), 400},
		{"/agents/usersig", kit.Post("/agents/usersig", "", `{"token":"x"}`), 401},
		{"/usersig/copies", kit.Get("/usersig/copies", kit.Key), 200},
		{"/usersig/copies", kit.Get("/usersig/copies?limit=0", kit.Key), 400},
		{"/usersig/copies", kit.Get("/usersig/copies", ""), 401},
		{"/revocations/{userID}", put("/revocations/mallory", kit.Key, `{"seconds":60,"reason":"spam"}`), 200},
		{"/revocations/{userID}", put("/revocations/mallory", kit.Key, `{"seconds":-1}`), 400},
		{"/revocations/{userID}", put("/revocations/mallory", "", `{}`), 401},
		{"/usersig", kit.Post("/usersig", kit.Key, `{"userID":"mallory"}`), 403},
		{"/revocations/{userID}", kit.Get("/revocations/mallory", kit.Key), 200},
		{"/revocations/{userID}", kit.Get("/revocations/alice", kit.Key), 404},
		{"/revocations", kit.Get("/revocations", kit.Key), 200},
		{"/revocations", kit.Get("/revocations", ""), 401},
		{"/revocations/{userID}", withMethod("DELETE", kit.Get("/revocations/mallory", kit.Key)), 200},
		{"/revocations/{userID}", withMethod("DELETE", kit.Get("/revocations/mallory", kit.Key)), 404},
		{"/credentials", kit.Post("/credentials", kit.Key, `{"identity":"helpdesk"}`), 403},
		{"/virgil-jwt", kit.Post("/virgil-jwt", kit.Key, `{"identity":"alice"}`), 200},
		{"/virgil-jwt", kit.Post("/virgil-jwt", kit.Key, `{}`), 400},
		{"/virgil-jwt", bad("/virgil-jwt"), 401},
		{"/virgil-jwt/verify", kit.Post("/virgil-jwt/verify", kit.Key, `{"jwt":"x"}`), 200},
		{"/virgil-jwt/verify", kit.Post("/virgil-jwt/verify", kit.Key, `{}`), 400},
		{"/virgil-jwt/verify", bad("/virgil-jwt/verify"), 401},
		{"/credentials", kit.Post("/credentials", kit.Key, `{"identity":"alice"}`), 200},
		{"/credentials", kit.Post("/credentials", kit.Key, `{"identity":"administrator"}`), 403},
		{"/credentials", bad("/credentials"), 401},
		{"/createticket", named(""), 200},
		{"/createticket", named(`,"subject":"printer"`), 422},
		{"/createticket", ticket(kit.Key, `,"email":"nobody"`), 400},
		{"/createticket", ticket("", ""), 401},
		{"/tickets", kit.Get("/tickets?userId=alice", kit.Key), 200},
		{"/tickets", kit.Get("/tickets", kit.Key), 400},
		{"/agents/tickets", kit.Get("/agents/tickets?userId=7001", kit.Key), 200},
		{"/agents/tickets", kit.Get("/agents/tickets", ""), 401},
		{"/tickets/{id}", kit.Get("/tickets/none", kit.Key), 404},
		{"/tickets/{id}/survey", kit.Post("/tickets/none/survey", kit.Key, `{"rating":5}`), 404},
		{"/tickets/{id}/transfer", kit.Post("/tickets/none/transfer", kit.Key, `{"agentId":"7001"}`), 404},
		{"/tickets/{id}/agents", kit.Post("/tickets/none/agents", kit.Key, `{"agentId":"7001"}`), 404},
		{"/tickets/{id}/solve", kit.Post("/tickets/none/solve", kit.Key, `{}`), 404},
		{"/tickets/{id}/reopen", kit.Post("/tickets/none/reopen", "", `{}`), 401},
		{"/tickets/{id}/notes", kit.Post("/tickets/none/notes", kit.Key, `{"text":"x"}`), 404},
		{"/joingroup", kit.Post("/joingroup", kit.Key, `{"groupId":"ZENDESK#35001","userId":"bob"}`), 200},
		{"/joingroup", kit.Post("/joingroup", kit.Key, `{"groupId":"ZENDESK#35001"}`), 400},
		{"/leavegroup", kit.Post("/leavegroup", kit.Key, `{"groupId":"ZENDESK#35001","userId":"bob"}`), 200},
		{"/leavegroup", bad("/leavegroup"), 401},
		{"/deletegroup", kit.Post("/deletegroup", kit.Key, `{"groupId":"ZENDESK#35001"}`), 200},
		{"/deletegroup", kit.Post("/deletegroup", kit.Key, `{"groupId":"../x"}`), 400},
		{"/casechanges", kit.Post("/casechanges", kit.Key, `{"changes":[{"op":"closed","caseId":"35001"}]}`), 200},
		{"/casechanges", kit.Post("/casechanges", kit.Key, `{"changes":[]}`), 400},
		{"/casechanges", bad("/casechanges"), 401},
		{"/zendesk/events", event(`{"ticket_id":"35001","assignee_id":"7001","status":"open"}`), 200},
		{"/zendesk/events", event(`{}`), 400},
		{"/zendesk/events", bad("/zendesk/events"), 401},
		{"/teams", team(`{"size":3,"captain":"alice"}`), 201},
		{"/teams", team(`{"size":4,"captain":"alice"}`), 422},
		{"/teams", team(`{"size":1,"captain":"alice"}`), 400},
		{"/teams", bad("/teams"), 401},
		{"/teams/{id}", ofTeam("GET", "", kit.Key, ""), 200},
		{"/teams/{id}", ofTeam("GET", "x", kit.Key, ""), 404},
		{"/teams/{id}/members", ofTeam("POST", "/members", kit.Key, `{"userIds":["bob","cid"]}`), 200},
		{"/teams/{id}/members", ofTeam("POST", "/members", kit.Key, `{}`), 400},
		{"/teams/{id}/members", ofTeam("POST", "/members", kit.Key, `{"userIds":["dan"]}`), 409},
		{"/teams", kit.Get("/teams?mode=ranked&open=1", kit.Key), 200},
		{"/teams", kit.Get("/teams?open=yes", kit.Key), 400},
		{"/teams/{id}/ready", ofTeam("POST", "/ready", kit.Key, `{"userId":"bob"}`), 200},
		{"/teams/{id}/ready", ofTeam("POST", "/ready", kit.Key, `{"userId":"eve"}`), 404},
		{"/teams/{id}/invitations", ofTeam("POST", "/invitations", kit.Key, `{"userId":"dan"}`), 409},
		{"/teams/{id}/invitations/{user}", ofTeam("DELETE", "/invitations/dan", kit.Key, ""), 200},
		{"/teams/{id}/media", asAlice(ofTeam("POST", "/media", "", "")), 200},
		{"/teams/{id}/media", ofTeam("POST", "/media", kit.Key, ""), 403},
		{"/channels", keyed("ch", kit.Post("/channels", kit.Key, `{"kind":"world","id":"w1","name":"World"}`)), 201},
		{"/channels", keyed("ci", kit.Post("/channels", kit.Key, `{"kind":"tavern","id":"w1"}`)), 400},
		{"/teams/{id}/captain", ofTeam("PUT", "/captain", kit.Key, `{"userId":"bob"}`), 200},
		{"/teams/{id}/captain", ofTeam("PUT", "/captain", kit.Key, `{"userId":"dan"}`), 409},
		{"/teams/{id}/members/{user}", ofTeam("DELETE", "/members/bob", kit.Key, ""), 200},
		{"/teams/{id}/members/{user}", ofTeam("DELETE", "/members/bob", "", ""), 401},
		{"/teams/{id}", ofTeam("DELETE", "", "", ""), 401},
		{"/teams/{id}", ofTeam("DELETE", "", kit.Key, ""), 200},
		{"/mail", keyed("m", kit.Post("/mail", kit.Key, `{"to":{"users":["alice","bob"]},"title":"hello"}`)), 202},
		{"/mail", kit.Post("/mail?dryRun=1", kit.Key, `{"to":{"users":["alice","bob"]},"title":"hello"}`), 200},
		{"/mail", keyed("n", kit.Post("/mail", kit.Key, `{"to":{"users":[]},"title":"hello"}`)), 400},
		{"/mail", keyed("m", kit.Post("/mail", kit.Key, `{"to":{"users":["alice"]},"title":"hello"}`)), 422},
		{"/mail", kit.Get("/mail", kit.Key), 200},
		{"/mail", kit.Get("/mail", ""), 401},
		{"/mail/{id}", kit.Get(mail, kit.Key), 200},
		{"/mail/{id}", kit.Get("/mail/none", kit.Key), 404},
		{"/mail/{id}", patch(mail, `{"title":"gifts","version":1}`), 200},
		{"/mail/{id}", patch(mail, `{"title":"gifts","version":1}`), 409},
		{"/mail/{id}/recipients/{part}", put(filed+"/recipients/1", kit.Key, "alice\nbob"), 200},
		{"/mail/{id}/recipients/{part}", put(filed+"/recipients/2", kit.Key, "two words"), 400},
		{"/mail/{id}/start", kit.Post(filed+"/start", kit.Key, ""), 202},
		{"/mail/{id}/pause", kit.Post(filed+"x/pause", kit.Key, ""), 404},
		{"/mail/{id}/resume", kit.Post(mail+"/resume", kit.Key, ""), 409},
		{"/mail/{id}/cancel", kit.Post("/mail/none/cancel", kit.Key, ""), 404},
		{"/mail/{id}/revoke", kit.Post(filed+"/revoke", kit.Key, ""), 200},
		{"/inbox", asAlice(kit.Get("/inbox", "")), 200},
		{"/inbox", kit.Get("/inbox", kit.Key), 403},
		{"/inbox/claim", asAlice(kit.Post("/inbox/claim", "", "{}")), 200},
		{"/inbox/{mailId}/read", asAlice(kit.Post("/inbox/none/read", "", "{}")), 404},
		{"/inbox/{mailId}/claim", asAlice(kit.Post("/inbox/none/claim", "", "{}")), 404},
		{"/inbox/{mailId}", asAlice(remove("/inbox/none")), 404},
		{"/profiles/{userID}", put("/profiles/alice", kit.Key, `{"fields":{"nick":"Alice","level":3}}`), 200},
		{"/profiles/{userID}", put("/profiles/alice", kit.Key, `{"fields":{"shoes":"x"}}`), 400},
		{"/profiles/{userID}", kit.Get("/profiles/alice", kit.Key), 200},
		{"/profiles/{userID}", kit.Get("/profiles/nobody", kit.Key), 404},
		{"/blocklist", asAlice(kit.Get("/blocklist", "")), 200},
		{"/blocklist/{userID}", asAlice(put("/blocklist/alice", "", "")), 400},
		{"/blocklist/{userID}", asAlice(remove("/blocklist/bob")), 200},
		{"/trades", keyed("t", asAlice(kit.Post("/trades", "", `{"with":"bob","give":[{"itemId":"gem","count":1}],"want":[]}`))), 503},
		{"/trades", keyed("w", asAlice(kit.Post("/trades", "", `{"with":"bob","give":[],"want":[{"itemId":"gem","count":1}]}`))), 201},
		{"/trades", keyed("u", asAlice(kit.Post("/trades", "", `{"with":"alice","give":[{"itemId":"gem","count":1}]}`))), 400},
		{"/trades/{id}", asAlice(kit.Get("/trades/none", "")), 404},
		{"/trades/{id}/accept", asAlice(kit.Post("/trades/none/accept", "", "")), 404},
		{"/trades/{id}/cancel", asAlice(kit.Post("/trades/none/cancel", "", "")), 404},
		{"/rooms", keyed("r", kit.Post("/rooms", kit.Key, `{"roomId":"show","name":"Show","owner":"alice"}`)), 201},
		{"/rooms", keyed("r", kit.Post("/rooms", kit.Key, `{"roomId":"show","name":"Other","owner":"alice"}`)), 422},
		{"/rooms", keyed("s", kit.Post("/rooms", kit.Key, `{"roomId":"show","name":"Show","owner":"alice"}`)), 409},
		{"/rooms", kit.Post("/rooms", kit.Key, `{"roomId":"show","name":"Show","owner":"alice"}`), 400},
		{"/rooms", kit.Get("/rooms?sort=popularity", kit.Key), 200},
		{"/rooms", kit.Get("/rooms", ""), 401},
		{"/rooms/{id}", kit.Get("/rooms/show", kit.Key), 200},
		{"/rooms/{id}", kit.Get("/rooms/none", kit.Key), 404},
		{"/rooms/{id}/status", show("PUT", "/status", kit.Key, `{"status":"live","version":1}`), 200},
		{"/rooms/{id}/status", show("PUT", "/status", kit.Key, `{"status":"live","version":1}`), 409},
		{"/rooms/{id}/notice", show("PUT", "/notice", kit.Key, `{"notice":"welcome","version":2}`), 200},
		{"/rooms/{id}/notice", show("PUT", "/notice", kit.Key, `{"version":3}`), 400},
		{"/rooms/{id}/mute", show("POST", "/mute", kit.Key, `{"seconds":60}`), 200},
		{"/rooms/{id}/mute", show("POST", "/mute", kit.Key, `{"seconds":0}`), 400},
		{"/rooms/{id}/unmute", show("POST", "/unmute", kit.Key, `{}`), 200},
		{"/rooms/{id}/unmute", show("POST", "/unmute", "", `{}`), 401},
		{"/rooms/{id}/kick", show("POST", "/kick", kit.Key, `{"userIds":["eve"],"seconds":60,"reason":"spam"}`), 200},
		{"/rooms/{id}/kick", show("POST", "/kick", kit.Key, `{}`), 400},
		{"/rooms/{id}/restrictions", show("GET", "/restrictions", kit.Key, ""), 200},
		{"/rooms/{id}/restrictions", show("GET", "/restrictions?limit=0", kit.Key, ""), 400},
		{"/rooms/{id}/unkick", show("POST", "/unkick", kit.Key, `{"userId":"eve"}`), 200},
		{"/rooms/{id}/unkick", show("POST", "/unkick", kit.Key, `{"userId":"alice"}`), 400},
		{"/rooms/{id}/members", show("GET", "/members?kind=latest", kit.Key, ""), 200},
		{"/rooms/{id}/members", show("GET", "/members", kit.Key, ""), 400},
		{"/rooms/{id}/memberships/{userID}", show("PUT", "/memberships/bob", kit.Key, `{"level":2}`), 200},
		{"/rooms/{id}/memberships/{userID}", show("PUT", "/memberships/bob", kit.Key, `{}`), 400},
		{"/rooms/{id}/history", show("GET", "/history", kit.Key, ""), 200},
		{"/rooms/{id}/history", show("GET", "/history?limit=0", kit.Key, ""), 400},
		{"/rooms/{id}/anchor", show("GET", "/anchor", kit.Key, ""), 200},
		{"/rooms/{id}/anchor", show("GET", "/anchor", "", ""), 401},
		{"/rooms/{id}/subscription", asAlice(show("PUT", "/subscription", "", "")), 200},
		{"/rooms/{id}/subscription", asAlice(show("DELETE", "/subscription", "", "")), 200},
		{"/rooms/{id}/subscription", show("PUT", "/subscription", kit.Key, ""), 403},
		{"/rooms/{id}/media", asAlice(show("POST", "/media", "", `{"role":"anchor"}`)), 200},
		{"/rooms/{id}/media", asAlice(show("POST", "/media", "", `{"role":"king"}`)), 400},
		{"/communities", keyed("c", kit.Post("/communities", kit.Key, `{"communityId":"town","name":"Town","owner":"alice"}`)), 201},
		{"/communities", keyed("d", kit.Post("/communities", kit.Key, `{"communityId":"town","name":"Town","owner":"alice"}`)), 409},
		{"/communities", kit.Post("/communities", kit.Key, `{"communityId":"town","name":"Town","owner":"alice"}`), 400},
		{"/communities/{id}", town("GET", "", kit.Key, ""), 200},
		{"/communities/{id}", asAlice(town("GET", "", "", "")), 200},
		{"/communities/{id}", town("GET", "x", kit.Key, ""), 404},
		{"/communities/{id}", town("PATCH", "", kit.Key, `{"name":"City","version":1}`), 200},
		{"/communities/{id}", town("PATCH", "", kit.Key, `{"name":"City","version":1}`), 409},
		{"/communities/{id}/channels", keyed("c", town("POST", "/channels", kit.Key, `{"name":"help"}`)), 200},
		{"/communities/{id}/channels", keyed("e", asAlice(town("POST", "/channels", "", `{"name":"secret","kind":"private"}`))), 200},
		{"/communities/{id}/channels", keyed("f", town("POST", "/channels", kit.Key, `{"name":""}`)), 400},
		{"/communities/{id}/channels/{channelId}", town("PATCH", "/channels/none", kit.Key, `{"name":"x","version":4}`), 404},
		{"/communities/{id}/channels/{channelId}", town("PATCH", "/channels/none", kit.Key, `{"name":"x"}`), 400},
		{"/communities/{id}/channels/{channelId}", town("DELETE", "/channels/none", kit.Key, ""), 404},
		{"/communities/{id}/channels/{channelId}/invitations", town("POST", "/channels/none/invitations", kit.Key, `{"userId":"bob"}`), 404},
		{"/communities/{id}/channels/{channelId}/invitations/{userID}", town("DELETE", "/channels/none/invitations/bob", kit.Key, ""), 404},
		{"/communities/{id}/channels/{channelId}/read", asAlice(town("POST", "/channels/none/read", "", `{"msgSeq":1}`)), 404},
		{"/communities/{id}/categories", town("POST", "/categories", kit.Key, `{"name":"Quiet"}`), 200},
		{"/communities/{id}/categories", town("POST", "/categories", kit.Key, `{"name":"Quiet"}`), 409},
		{"/communities/{id}/categories/{name}", town("PATCH", "/categories/Quiet", kit.Key, `{"position":0,"version":5}`), 200},
		{"/communities/{id}/categories/{name}", town("PATCH", "/categories/none", kit.Key, `{"position":0,"version":6}`), 404},
		{"/communities/{id}/categories/{name}", town("DELETE", "/categories/Quiet", kit.Key, ""), 200},
		{"/communities/{id}/categories/{name}", town("DELETE", "/categories/Quiet", kit.Key, ""), 404},
		{"/communities/{id}/totals", asAlice(town("GET", "/totals", "", "")), 200},
		{"/communities/{id}/totals", town("GET", "/totals", "", ""), 401},
		{"/communities/{id}/mute", town("POST", "/mute", kit.Key, `{"userId":"eve","seconds":60}`), 200},
		{"/communities/{id}/mute", town("POST", "/mute", kit.Key, `{"seconds":0}`), 400},
		{"/communities/{id}/unmute", town("POST", "/unmute", kit.Key, `{}`), 200},
		{"/communities/{id}/unmute", town("POST", "/unmute", "", `{}`), 401},
		{"/communities/{id}/kick", town("POST", "/kick", kit.Key, `{"userIds":["eve"],"reason":"spam"}`), 200},
		{"/communities/{id}/kick", town("POST", "/kick", kit.Key, `{}`), 400},
		{"/communities/{id}/restrictions/{userID}", town("GET", "/restrictions/eve", kit.Key, ""), 200},
		{"/communities/{id}/restrictions/{userID}", asAlice(town("GET", "x/restrictions/eve", "", "")), 404},
		{"/communities/{id}/unkick", town("POST", "/unkick", kit.Key, `{"userId":"eve"}`), 200},
		{"/communities/{id}/unkick", town("POST", "/unkick", kit.Key, `{"userId":"alice"}`), 400},
		{"/communities/{id}/roles", town("GET", "/roles", kit.Key, ""), 200},
		{"/communities/{id}/roles", town("GET", "/roles", "", ""), 401},
		{"/communities/{id}/roles/{role}", town("PUT", "/roles/helper", kit.Key, `{"permissions":["post"]}`), 200},
		{"/communities/{id}/roles/{role}", town("PUT", "/roles/helper", kit.Key, `{"permissions":["fly"]}`), 400},
		{"/communities/{id}/members", town("GET", "/members", kit.Key, ""), 200},
		{"/communities/{id}/members", town("GET", "/members?role=none", kit.Key, ""), 404},
		{"/communities/{id}/members/{userID}/role", town("PUT", "/members/eve/role", kit.Key, `{"role":"helper"}`), 404},
		{"/communities/{id}/members/{userID}/role", town("PUT", "/members/alice/role", kit.Key, `{"role":"helper"}`), 400},
		{"/communities/{id}/roles/{role}", town("DELETE", "/roles/helper", kit.Key, ""), 200},
		{"/communities/{id}/roles/{role}", town("DELETE", "/roles/none", kit.Key, ""), 404},
		{"/communities/{id}/threads", keyed("t", asAlice(town("POST", "/threads", "", `{"name":"ideas","channelId":"none"}`))), 404},
		{"/communities/{id}/threads", town("GET", "/threads", kit.Key, ""), 200},
		{"/communities/{id}/threads/{threadId}", town("GET", "/threads/t-none", kit.Key, ""), 404},
		{"/communities/{id}/threads/{threadId}", town("DELETE", "/threads/t-none", kit.Key, ""), 404},
		{"/communities/{id}/channels/{channelId}/messages/{msgSeq}", town("PATCH", "/channels/none/messages/1", kit.Key, `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]}`), 404},
		{"/communities/{id}/channels/{channelId}/messages/{msgSeq}/reactions", town("GET", "/channels/none/messages/1/reactions", kit.Key, ""), 404},
		{"/communities/{id}/channels/{channelId}/messages/{msgSeq}/reactions/{emoji}", asAlice(town("PUT", "/channels/none/messages/1/reactions/smile", "", "")), 404},
		{"/communities/{id}/channels/{channelId}/messages/{msgSeq}/reactions/{emoji}", town("DELETE", "/channels/none/messages/1/reactions/smile", kit.Key, ""), 403},
		{"/communities/{id}/channels/{channelId}/messages/{msgSeq}/pin", town("PUT", "/channels/none/messages/1/pin", kit.Key, ""), 404},
		{"/communities/{id}/channels/{channelId}/messages/{msgSeq}/pin", town("DELETE", "/channels/none/messages/1/pin", kit.Key, ""), 404},
		{"/communities/{id}/voice", town("GET", "/voice", kit.Key, ""), 200},
		{"/communities/{id}/voice/{channelId}/me", asAlice(town("PUT", "/voice/none/me", "", `{"muted":true}`)), 404},
		{"/communities/{id}/voice/{channelId}/me", asAlice(town("DELETE", "/voice/none/me", "", "")), 404},
		{"/communities/{id}/voice/{channelId}/me/heartbeat", town("POST", "/voice/none/me/heartbeat", kit.Key, `{}`), 403},
		{"/communities/{id}/voice/{channelId}/media", asAlice(town("POST", "/voice/none/media", "", `{}`)), 404},
		{"/friends", asAlice(kit.Get("/friends", "")), 200},
		{"/friends", kit.Get("/friends", kit.Key), 400},
		{"/friends/{userID}", asAlice(put("/friends/alice", "", `{}`)), 400},
		{"/trtc/events", kit.Post("/trtc/events", "", `{"EventType":103}`), 403},
		{"/communities/{id}/channels/{channelId}/pins", town("GET", "/channels/none/pins", kit.Key, ""), 404},
		{"/communities/{id}", town("DELETE", "?version=1", kit.Key, ""), 409},
		{"/communities/{id}", town("DELETE", "", kit.Key, ""), 200},
		{"/broadcast", keyed("b", kit.Post("/broadcast", kit.Key, `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}],"rooms":["none"]}`)), 202},
		{"/broadcast", keyed("c", kit.Post("/broadcast", kit.Key, `{"msgBody":[]}`)), 400},
		{"/broadcasts/{id}", kit.Get("/broadcasts/none", kit.Key), 404},
		{"/css/events", kit.Post("/css/events", "", `{"stream_id":"show","event_type":1,"event_time":1,"sequence":"1","t":1,"sign":""}`), 403},
		{"/css/events", kit.Post("/css/events", "", streamStarted()), 200},
		{"/gifts/{giftId}", put("/gifts/rose", kit.Key, `{"name":"Rose","units":"pcs","price":10}`), 200},
		{"/gifts/{giftId}", put("/gifts/rose", kit.Key, `{"name":"Rose","units":"pcs","price":-1}`), 400},
		{"/gifts", kit.Get("/gifts", ""), 200},
		{"/wallets/{userID}/topup", keyed("t", kit.Post("/wallets/alice/topup", kit.Key, `{"amount":50}`)), 200},
		{"/wallets/{userID}/topup", keyed("u", kit.Post("/wallets/alice/topup", kit.Key, `{"amount":0}`)), 400},
		{"/wallets/{userID}", kit.Get("/wallets/alice", kit.Key), 200},
		{"/wallets/{userID}/statement", kit.Get("/wallets/alice/statement", kit.Key), 200},
		{"/wallets/{userID}/statement", kit.Get("/wallets/alice/statement", ""), 401},
		{"/rooms/{id}/gifts", keyed("g", asAlice(show("POST", "/gifts", "", `{"giftId":"rose","count":2,"price":10}`))), 201},
		{"/rooms/{id}/gifts", keyed("h", asAlice(show("POST", "/gifts", "", `{"giftId":"rose","count":9,"price":10}`))), 402},
		{"/rooms/{id}/gifts", keyed("i", asAlice(show("POST", "/gifts", "", `{"giftId":"rose","count":1,"price":11}`))), 409},
		{"/rooms/{id}/gifts/orders/{orderId}", show("GET", "/gifts/orders/none", kit.Key, ""), 404},
		{"/rooms/{id}/lotteries", keyed("l", show("POST", "/lotteries", kit.Key, `{"keyword":"win","winners":1,"seconds":60,"prize":"a rose"}`)), 201},
		{"/rooms/{id}/lotteries", keyed("m", show("POST", "/lotteries", kit.Key, `{"keyword":"","winners":1,"seconds":60}`)), 400},
		{"/rooms/{id}/lotteries/{lotteryId}", show("GET", "/lotteries/none", kit.Key, ""), 404},
		{"/rooms/{id}/lotteries/{lotteryId}/draw", show("POST", "/lotteries/none/draw", kit.Key, ""), 404},
		{"/rooms/{id}/close", show("POST", "/close", kit.Key, `{}`), 200},
		{"/rooms/{id}/close", show("POST", "/close", "", `{}`), 401},
		{"/rooms/{id}/stats", kit.Get("/rooms/lobby/stats", kit.Key), 200},
		{"/rooms/{id}/stats", kit.Get("/rooms/lobby/stats", ""), 401},
		{"/rooms/{id}/stats", kit.Get("/rooms/nope/stats", kit.Key), 404},
		{"/rooms/{id}/stats", kit.Get("/rooms/"+strings.Repeat("x", 600)+"/stats", kit.Key), 400},
		{"/rooms/{id}/stats/users/{userID}", kit.Get("/rooms/lobby/stats/users/alice", kit.Key), 200},
		{"/rooms/{id}/stats/users/{userID}", kit.Get("/rooms/lobby/stats/users/alice", "guess"), 401},
		{"/rooms/{id}/stats", kit.Get("/rooms/lobby/stats?limit=10", kit.Key), 200},
		{"/leaderboards/{board}", kit.Get("/leaderboards/popularity", kit.Key), 200},
		{"/leaderboards/{board}", kit.Get("/leaderboards/wealth", kit.Key), 404},
		{"/leaderboards/day/{board}", kit.Get("/leaderboards/day/gifts?day=2026-11-29", kit.Key), 200},
		{"/leaderboards/day/{board}", kit.Get("/leaderboards/day/gifts?day=yesterday", kit.Key), 400},
		{"/bots/{id}/usage", kit.Get("/bots/@RBT%23001/usage?limit=10", kit.Key), 200},
		{"/bots/{id}/usage", kit.Get("/bots/alice/usage", kit.Key), 404},
		{"/bots/{id}/usage", kit.Get("/bots/@RBT%23001/usage?limit=0", kit.Key), 400},
		{"/bots/{id}/usage", kit.Get("/bots/@RBT%23001/usage", ""), 401},
		{"/bots/knowledge", kit.Get("/bots/knowledge", kit.Key), 200},
		{"/bots/knowledge/candidate", kit.Post("/bots/knowledge/candidate", kit.Key, `{"share":10}`), 400},
		{"/bots/knowledge/candidate", kit.Post("/bots/knowledge/candidate", kit.Key, pages(t)), 200},
		{"/bots/knowledge/promote", kit.Post("/bots/knowledge/promote", kit.Key, `{"sha256":"00"}`), 409},
		{"/bots/knowledge/rollback", kit.Post("/bots/knowledge/rollback", kit.Key, `{"sha256":"00"}`), 200},
		{"/bots/knowledge/rollback", bad("/bots/knowledge/rollback"), 401},
		{"/moderation/lists", kit.Get("/moderation/lists", kit.Key), 200},
		{"/moderation/lists", kit.Get("/moderation/lists", ""), 401},
		{"/moderation/lists/candidate", kit.Post("/moderation/lists/candidate", kit.Key, `{"share":10}`), 400},
		{"/moderation/lists/candidate", kit.Post("/moderation/lists/candidate", kit.Key, ruleImage(t)), 200},
		{"/moderation/lists/promote", kit.Post("/moderation/lists/promote", kit.Key, `{"sha256":"00"}`), 409},
		{"/moderation/lists/rollback", kit.Post("/moderation/lists/rollback", kit.Key, `{"sha256":"00"}`), 200},
		{"/moderation/lists/rollback", bad("/moderation/lists/rollback"), 401},
		{"/im", kit.Callback(t, kit.BeforeSend("kill yourself")), 200},
		{"/moderation/reviews", kit.Get("/moderation/reviews", kit.Key), 200},
		{"/moderation/reviews", kit.Get("/moderation/reviews?limit=many", kit.Key), 400},
		{"/moderation/reviews", kit.Get("/moderation/reviews", ""), 401},
		{"/moderation/reviews/{id}", kit.Get("/moderation/reviews/none", kit.Key), 404},
		{"/moderation/reviews/{id}/approve", kit.Post("/moderation/reviews/none/approve", kit.Key, `{}`), 404},
		{"/moderation/reviews/{id}/reject", kit.Post("/moderation/reviews/none/reject", kit.Key, `{"reason":"x"}`), 404},
		{"/moderation/reviews/{id}/reject", bad("/moderation/reviews/none/reject"), 401},
		{"/moderation/strikes/{userID}", kit.Get("/moderation/strikes/alice", kit.Key), 200},
		{"/moderation/strikes/{userID}", bad("/moderation/strikes/alice"), 401},
		{"/moderation/strikes/{userID}/forgive", kit.Post("/moderation/strikes/alice/forgive", kit.Key, `{"reason":"x"}`), 200},
		{"/moderation/trail", kit.Get("/moderation/trail", kit.Key), 200},
		{"/moderation/trail", kit.Get("/moderation/trail", ""), 401},
		{"/moderation/results", opinion(`{"DataId":"ab-0","Suggestion":"Block"}`), 200},
		{"/moderation/results", opinion(`{}`), 400},
		{"/moderation/results", bad("/moderation/results"), 401},
		{"/users/{userID}/records", kit.Get("/users/alice/records", kit.Key), 200},
		{"/users/{userID}/records", kit.Get("/users/alice/records?after=x", kit.Key), 400},
		{"/users/{userID}/records", kit.Get("/users/alice/records", ""), 401},
		{"/users/{userID}/records", eraseOf("nobody-in-particular"), 200},
		{"/doctor/checks", kit.Post("/doctor/checks", kit.Key, `{}`), 201},
		{"/doctor/checks", kit.Post("/doctor/checks", kit.Key, `{"deep":true}`), 400},
		{"/doctor/checks", kit.Post("/doctor/checks", "", `{}`), 401},
		{"/doctor/checks/{id}", kit.Get("/doctor/checks/"+checkID, kit.Key), 200},
		{"/doctor/checks/{id}", kit.Get("/doctor/checks/none", kit.Key), 404},
		{"/doctor/checks/{id}", kit.Get("/doctor/checks/"+checkID, ""), 401},
		{"/jobs", kit.Get("/jobs", kit.Key), 200},
		{"/jobs", kit.Get("/jobs", ""), 401},
		{"/jobs/{id}", kit.Get("/jobs/one", kit.Key), 200},
		{"/jobs/{id}", kit.Get("/jobs/none", kit.Key), 404},
		{"/jobs/{id}/redrive", kit.Post("/jobs/one/redrive", kit.Key, ""), 200},
		{"/jobs/{id}/redrive", kit.Post("/jobs/none/redrive", kit.Key, ""), 404},
		{"/jobs/{id}", drop("another", ""), 401},
		{"/jobs/{id}", drop("one", kit.Key), 409},
		{"/jobs/{id}", drop("another", kit.Key), 200},
		{"/jobs/{id}", drop("another", kit.Key), 404},
	}
	called := map[string]bool{}
	for _, call := range calls {
		method := call.request.Method
		called[call.path] = true
		res, err := p.Do(faastest.Plain, call.request)
		if err != nil {
			t.Fatal(err)
		}
		a := kit.Read(t, res)
		if a.Status != call.status {
			t.Errorf("%s %.60s: %d %s, want %d", method, call.request.URL.Path, a.Status, a.Text, call.status)
			continue
		}
		if err := d.check(method, call.path, a); err != nil {
			t.Errorf("%s %s answered %d %s: %v", method, call.path, a.Status, a.Text, err)
		}
	}
	for path := range d.paths {
		if !called[path] {
			t.Errorf("%s is described and never called here", path)
		}
	}
}

// asAlice has a request come from alice, who is proven by her UserSig.
func asAlice(r *http.Request) *http.Request {
	users, err := usersig.NewSigner(kit.AppID, kit.Secret)
	if err != nil {
		panic(err)
	}
	sig, err := users.Sign("alice", time.Hour)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", "UserSig alice:"+sig)
	return r
}

func withMethod(method string, r *http.Request) *http.Request {
	r.Method = method
	return r
}

// shopSecret is that of a Shopify app.
const shopSecret = "a secret of Shopify for these tests alone"

// shopper is a query that Shopify's app proxy has signed; "" is a visitor.
func shopper(customer string) string {
	q := url.Values{
		"shop": {"example.myshopify.com"}, "path_prefix": {"/apps/im"}, "timestamp": {fmt.Sprint(time.Now().Unix())}, "logged_in_customer_id": {customer},
	}
	q.Set("signature", credential.SignProxy(shopSecret, q))
	return q.Encode()
}

func put(path, key, body string) *http.Request {
	r := kit.Post(path, key, body)
	r.Method = http.MethodPut
	return r
}

func remove(path string) *http.Request {
	r := kit.Get(path, "")
	r.Method = http.MethodDelete
	return r
}

// cssKey signs what CSS sends.
const cssKey = "a key of CSS for these tests alone"

func streamStarted() string {
	t := time.Now().Add(time.Minute).Unix()
	return fmt.Sprintf(`{"stream_id":"show","event_type":1,"event_time":%d,"sequence":"1","t":%d,"sign":"%x"}`, t, t, md5.Sum(fmt.Appendf(nil, "%s%d", cssKey, t)))
}

// seed signs what Tencent's moderation sends.
const seed = "a seed for these tests alone"

func opinion(body string) *http.Request {
	r := kit.Post("/moderation/results", "", body)
	r.Header.Set("X-Signature", fmt.Sprintf("%x", sha256.Sum256([]byte(seed+body))))
	return r
}

// ruleImage stages the default rule set, served from here.
func ruleImage(t *testing.T) string {
	t.Helper()
	image, err := os.ReadFile("../../shared/moderation/wordlist/default.image")
	if err != nil {
		t.Fatal(err)
	}
	shelf := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(image) }))
	return fmt.Sprintf(`{"image":"%s/rules.image#sha256=%x","share":10}`, shelf, sha256.Sum256(image))
}

// pages serves an image of pages, and is the request that stages it.
func pages(t *testing.T) string {
	t.Helper()
	image, err := knowledge.Compile(os.DirFS(corpus))
	if err != nil {
		t.Fatal(err)
	}
	shelf := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(image) }))
	return fmt.Sprintf(`{"image":"%s/help.image#sha256=%x","share":10}`, shelf, sha256.Sum256(image))
}

// corpus is a folder of pages.
const corpus = "../../shared/bot/knowledge/testdata/corpus"

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// layAside makes a store in which these jobs are dead.
func layAside(t *testing.T, state string, ids ...string) {
	t.Helper()
	store, err := boltkv.Open(state, boltkv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	queuetest.LayAside(t, store, ids...)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenAPINamesEveryRoute: what a function's page promises is described.
func TestOpenAPINamesEveryRoute(t *testing.T) {
	d := readOpenAPI(t)
	for _, name := range functions(t) {
		for _, m := range routeInText.FindAllStringSubmatch(read(t, "functions/"+name+"/README.md"), -1) {
			path := regexp.MustCompile(`\?.*`).ReplaceAllString(m[2], "")
			operations, _ := d.paths[path].(map[string]any)
			if _, described := operations[strings.ToLower(m[1])]; !described {
				t.Errorf("functions/%s names %s %s, which %s does not", name, m[1], m[2], openapiFile)
			}
		}
	}
}

// TestOpenAPIHasAnIDForEveryOperation: tools that make clients need one.
func TestOpenAPIHasAnIDForEveryOperation(t *testing.T) {
	var ids []string
	for path, item := range readOpenAPI(t).paths {
		for method, operation := range item.(map[string]any) {
			id, _ := operation.(map[string]any)["operationId"].(string)
			if id == "" || slices.Contains(ids, id) {
				t.Errorf("%s %s: operationId %q", method, path, id)
			}
			ids = append(ids, id)
		}
	}
}

package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// surroundings are an emulated IM, a Redis and a queue, and the settings that lead
// to them.
func surroundings(t *testing.T) (app *imtest.App, env map[string]string) {
	t.Helper()
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	s := httptest.NewServer(emulator)
	t.Cleanup(s.Close)
	app = emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	env = kit.Settings(kit.StartQueue(t).Env)
	maps.Copy(env, map[string]string{
		"STATE_URL": "redis://" + redistest.Start(t).Addr, "IM_DOMAIN": s.URL, "IM_SHARE": "100", "USERSIG_MODE": "server",
	})
	return app, env
}

// TestCommunity: a community is made on every platform with its channels, and who is
// kicked is refused.
func TestCommunity(t *testing.T) {
	app, env := surroundings(t)
	n := 0
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		n++
		id := fmt.Sprint("town", n)
		ask := func(method, path, body string, status int) kit.Answer {
			t.Helper()
			r := kit.Post("/communities"+path, kit.Key, body)
			r.Method = method
			if path == "" || strings.HasSuffix(path, "/channels") {
				r.Header.Set("Idempotency-Key", id)
			}
			a := kit.Read(t, do(r))
			if a.Status != status {
				t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
			}
			return a
		}
		body := fmt.Sprintf(`{"communityId":%q,"name":"Town","owner":"ann"}`, id)
		first := ask("POST", "", body, 201)
		if again := ask("POST", "", body, 201); again.Text != first.Text {
			t.Errorf("%s, then %s", first.Text, again.Text)
		}
		ask("POST", "/"+id+"/channels", `{"name":"help","version":1}`, 200)
		if g := app.State().Group("@TGS#_" + id); g.Type != "Community" || len(g.Topics) != 5 {
			t.Errorf("%s with %d topics", g.Type, len(g.Topics))
		}
		ask("POST", "/"+id+"/kick", `{"userId":"eve"}`, 200)
		join := `{"CallbackCommand":"Group.CallbackBeforeApplyJoinGroup","GroupId":%q,"Type":"Community","Requestor_Account":%q}`
		kit.Read(t, do(kit.Callback(t, fmt.Sprintf(join, "@TGS#_"+id, "bob")))).WantCode(t, 0)
		if a := kit.Read(t, do(kit.Callback(t, fmt.Sprintf(join, "@TGS#_"+id, "eve")))); a.JSON["ErrorCode"] == 0.0 {
			t.Errorf("a kicked user may join: %s", a.Text)
		}
		ask("DELETE", "/"+id, ``, 200)
		if g := app.State().Group("@TGS#_" + id); g.GroupID != "" {
			t.Error("the group of a deleted community is still there")
		}
	})
}

// TestSettings: every fault is told.
func TestSettings(t *testing.T) {
	_, good := surroundings(t)
	for name, c := range map[string]struct {
		set    map[string]string
		faults []string
	}{
		"no queue": {map[string]string{"QUEUE_URL": ""}, []string{"QUEUE_URL: required"}},
		"no store": {map[string]string{"STATE_URL": ""}, []string{"STATE_URL: required"}},
		"template": {
			map[string]string{"COMMUNITY_CHANNELS": `[{"name":"x","channels":[{"name":"y","kind":"video"}]}]`, "COMMUNITY_ROLES": `{"x":["fly"]}`},
			[]string{"COMMUNITY_CHANNELS: ", "COMMUNITY_ROLES: "},
		},
		"fields": {map[string]string{"COMMUNITY_PIN_FIELD": "seventeen letters"}, []string{"COMMUNITY_PIN_FIELD: "}},
	} {
		env := maps.Clone(good)
		maps.Copy(env, c.set)
		out := faastest.Run(t, faastest.Build(t, "."), env)
		for _, fault := range c.faults {
			if out.Code != 2 || !slices.ContainsFunc(strings.Split(out.Stderr, "\n"), func(line string) bool { return strings.HasPrefix(line, fault) }) {
				t.Errorf("%s: status %d without %q:\n%s", name, out.Code, fault, out.Stderr)
			}
		}
	}
}

// TestSampleEvent: what the sample request asks for is understood, and refused for
// its key.
func TestSampleEvent(t *testing.T) {
	_, env := surroundings(t)
	event, err := os.ReadFile("events/http-api.json")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := faastest.StartLambda(t, faastest.Build(t, "."), env).Invoke(event)
	if err != nil || !strings.Contains(string(answer), `"statusCode":401`) {
		t.Errorf("answer %s, %v", answer, err)
	}
}

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
	"time"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// surroundings are an emulated IM, a Redis and a queue, and the settings that lead
// to them.
func surroundings(t *testing.T) (app *imtest.App, queue *kit.Queue, env map[string]string) {
	t.Helper()
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	s := httptest.NewServer(emulator)
	t.Cleanup(s.Close)
	app = emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	queue = kit.StartQueue(t)
	env = kit.Settings(queue.Env)
	maps.Copy(env, map[string]string{
		"STATE_URL": "redis://" + redistest.Start(t).Addr, "IM_DOMAIN": s.URL, "IM_SHARE": "100", "USERSIG_MODE": "server",
		"CSS_CALLBACK_KEY": "a key of this test alone", "CSS_PUSH_DOMAIN": "push.example.com", "CSS_PUSH_KEY": "another key",
	})
	return app, queue, env
}

// TestRoom: a room is made on every platform; a change becomes a job, which the
// job-worker carries out; and who is kicked is refused.
func TestRoom(t *testing.T) {
	app, queue, env := surroundings(t)
	users, err := usersig.NewSigner(kit.AppID, kit.Secret)
	if err != nil {
		t.Fatal(err)
	}
	worker := faastest.StartLambda(t, faastest.Build(t, "github.com/backchannel-im/backchannel/functions/job-worker"), env)
	work := func(t *testing.T) {
		t.Helper()
		for jobs := queue.Take(); len(jobs) > 0; jobs = queue.Take() {
			for _, job := range jobs {
				if failed, err := worker.SQS(faastest.Message{ID: "1", Body: job}); err != nil || len(failed) > 0 {
					t.Fatal(failed, err)
				}
			}
		}
	}
	n := 0
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		n++
		id := fmt.Sprint("show", n)
		ask := func(method, path, key, body string, status int) kit.Answer {
			t.Helper()
			r := kit.Post(path, key, body)
			r.Method = method
			if path == "/rooms" {
				r.Header.Set("Idempotency-Key", id)
			}
			a := kit.Read(t, do(r))
			if a.Status != status {
				t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
			}
			return a
		}
		body := fmt.Sprintf(`{"roomId":%q,"name":"Show","owner":"ann","moderators":["mod"]}`, id)
		first := ask("POST", "/rooms", kit.Key, body, 201)
		if again := ask("POST", "/rooms", kit.Key, body, 201); again.Text != first.Text {
			t.Errorf("%s, then %s", first.Text, again.Text)
		}
		ask("PUT", "/rooms/"+id+"/status", kit.Key, `{"status":"live","version":1}`, 200)
		ask("POST", "/rooms/"+id+"/kick", kit.Key, `{"userId":"eve"}`, 200)
		work(t)
		if g := app.State().Group(id); g.Attributes["status"] != "live" || len(g.Messages) != 2 || g.Type != "AVChatRoom" {
			t.Errorf("attributes %v, %d messages, type %s", g.Attributes, len(g.Messages), g.Type)
		}
		join := `{"CallbackCommand":"Group.CallbackBeforeApplyJoinGroup","GroupId":%q,"Type":"AVChatRoom","Requestor_Account":%q}`
		kit.Read(t, do(kit.Callback(t, fmt.Sprintf(join, id, "bob")))).WantCode(t, 0)
		if a := kit.Read(t, do(kit.Callback(t, fmt.Sprintf(join, id, "eve")))); a.JSON["ErrorCode"] == 0.0 {
			t.Errorf("a kicked user may join: %s", a.Text)
		}
		sig, err := users.Sign("ann", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		media := kit.Post("/rooms/"+id+"/media", "", `{"role":"anchor"}`)
		media.Header.Set("Authorization", "UserSig ann:"+sig)
		if a := kit.Read(t, do(media)); a.Status != 200 || !strings.HasPrefix(fmt.Sprint(a.JSON["pushUrl"]), "rtmp://push.example.com/live/") {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		ask("POST", "/rooms/"+id+"/close", kit.Key, `{}`, 200)
		work(t)
		if g := app.State().Group(id); g.GroupID != "" {
			t.Error("the group of a closed room is still there")
		}
	})
}

// TestSettings: every fault is told, and no secret.
func TestSettings(t *testing.T) {
	_, _, good := surroundings(t)
	for name, c := range map[string]struct {
		set    map[string]string
		faults []string
	}{
		"no queue": {map[string]string{"QUEUE_URL": ""}, []string{"QUEUE_URL: required"}},
		"no store": {map[string]string{"STATE_URL": ""}, []string{"STATE_URL: required"}},
		"no key":   {map[string]string{"CSS_PUSH_KEY": ""}, []string{"CSS_PUSH_KEY: required"}},
		"numbers":  {map[string]string{"ROOM_HISTORY": "1001", "ROOM_SENDS_PER_SECOND": "0"}, []string{"ROOM_HISTORY: ", "ROOM_SENDS_PER_SECOND: "}},
		"times":    {map[string]string{"CSS_GRACE": "forever", "MEDIA_TTL": "1s", "ROOM_HISTORY_KEEP": "1s"}, []string{"CSS_GRACE: ", "MEDIA_TTL: ", "ROOM_HISTORY_KEEP: "}},
	} {
		env := maps.Clone(good)
		maps.Copy(env, c.set)
		out := faastest.Run(t, faastest.Build(t, "."), env)
		for _, fault := range c.faults {
			if out.Code != 2 || !slices.ContainsFunc(strings.Split(out.Stderr, "\n"), func(line string) bool { return strings.HasPrefix(line, fault) }) {
				t.Errorf("%s: status %d without %q:\n%s", name, out.Code, fault, out.Stderr)
			}
		}
		if strings.Contains(out.Stderr, "another key") {
			t.Errorf("%s: a secret is told:\n%s", name, out.Stderr)
		}
	}
}

// TestSampleEvents: what the sample requests ask for is understood, and refused for
// its key and its signature.
func TestSampleEvents(t *testing.T) {
	_, _, env := surroundings(t)
	lambda := faastest.StartLambda(t, faastest.Build(t, "."), env)
	for name, says := range map[string]string{"http-api": "this API key is not known here", "stream-started": "not signed with the callback key"} {
		event, err := os.ReadFile("events/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		answer, err := lambda.Invoke(event)
		if err != nil || !strings.Contains(string(answer), says) {
			t.Errorf("%s: answer %s, %v", name, answer, err)
		}
	}
}

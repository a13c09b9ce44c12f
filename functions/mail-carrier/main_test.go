package main_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// TestMailIsStored: a mail is planned and stored on every platform, its job is put, and
// the recipient's inbox is there; without a hook, attachments are 501.
func TestMailIsStored(t *testing.T) {
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	im := httptest.NewServer(emulator)
	t.Cleanup(im.Close)
	queue := kit.StartQueue(t)
	env := kit.Settings(queue.Env)
	env["STATE_URL"], env["IM_DOMAIN"] = "redis://"+redistest.Start(t).Addr, im.URL
	const body = `{"to":{"users":["ann","bob"]},"title":"hello"}`
	n := 0
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		n++
		if a := kit.Read(t, do(kit.Post("/mail?dryRun=1", kit.Key, body))); a.Status != 200 || !strings.Contains(a.Text, `"by":"batchsendmsg","calls":1`) {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		queue.Take()
		r := kit.Post("/mail", kit.Key, body)
		r.Header.Set("Idempotency-Key", strings.Repeat("k", n))
		a := kit.Read(t, do(r))
		if id, _ := a.JSON["mailId"].(string); a.Status != 202 || a.JSON["state"] != "planned" || id == "" {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		if jobs := queue.Take(); len(jobs) != 1 || !strings.Contains(jobs[0], `"mail.drain"`) {
			t.Errorf("jobs %s", jobs)
		}
		r = kit.Post("/mail", kit.Key, `{"to":{"users":["ann"]},"title":"hello","attachments":[{"itemId":"gem","count":1}]}`)
		r.Header.Set("Idempotency-Key", "gift")
		if a := kit.Read(t, do(r)); a.Status != 501 {
			t.Errorf("without a hook: %d %s", a.Status, a.Text)
		}
		if a := kit.Read(t, do(kit.Get("/inbox", ""))); a.Status != 401 {
			t.Errorf("nobody in particular: %d %s", a.Status, a.Text)
		}
	})
}

func TestSampleEvent(t *testing.T) {
	event, err := os.ReadFile("events/http-api.json")
	if err != nil {
		t.Fatal(err)
	}
	env := kit.Settings(map[string]string{
		"STATE_URL": "dynamodb:state", "QUEUE_URL": "http://127.0.0.1:1/123456789012/jobs",
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	})
	answer, err := faastest.StartLambda(t, faastest.Build(t, "."), env).Invoke(event)
	if err != nil || !strings.Contains(string(answer), `"statusCode":401`) {
		t.Errorf("answer %s, %v", answer, err)
	}
}

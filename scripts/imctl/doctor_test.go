package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// patient is a bundle, the emulator whose callbacks reach it, and what an
// operator gives doctor.
type patient struct {
	*kit.Bundle
	env map[string]string
	url string
}

// deployed opens a bundle; more are its settings. Its clock has not ticked.
func deployed(t *testing.T, more map[string]string) *patient {
	t.Helper()
	return patientOf(t, kit.OpenBundle(t, more))
}

func patientOf(t *testing.T, b *kit.Bundle) *patient {
	t.Helper()
	s := httptest.NewServer(faas.Front("bundle", b.App.HTTP))
	t.Cleanup(s.Close)
	return &patient{b, map[string]string{
		"SDK_APP_ID": strconv.Itoa(kit.AppID), "SECRET": kit.Secret, "CALLBACK_TOKEN": kit.Token, "API_KEY": kit.Key,
		"IM_DOMAIN": b.Domain, "USERSIG_MODE": "server", "STATE_URL": "bolt:x",
	}, s.URL}
}

// doctor runs imctl doctor and returns what it printed as JSON. The text says the
// same and ends alike, and neither has a secret.
func (d *patient) doctor(t *testing.T, args ...string) report {
	t.Helper()
	args = append([]string{"doctor", "-url", d.url}, args...)
	asJSON := imctlWith(t, d.env, append(args, "-json")...)
	var r report
	if err := json.Unmarshal([]byte(asJSON.out), &r); err != nil {
		t.Fatalf("%v: %s%s", err, asJSON.out, asJSON.errs)
	}
	status := 1
	if r.OK {
		status = 0
	}
	if asJSON.status != status {
		t.Errorf("ok %v, status %d", r.OK, asJSON.status)
	}
	for name, secret := range d.env {
		if name == "SECRET" || name == "CALLBACK_TOKEN" || name == "API_KEY" {
			if strings.Contains(asJSON.out+asJSON.errs, secret) {
				t.Errorf("%s is printed", name)
			}
		}
	}
	return r
}

// wrong are the findings that are not ok.
func (r report) wrong() []finding {
	var list []finding
	for _, f := range r.Findings {
		if !f.OK {
			list = append(list, f)
		}
	}
	return list
}

// TestDoctorWell: nothing is wrong, nothing of the check stays behind, and the text
// exits as the JSON does.
func TestDoctorWell(t *testing.T) {
	d := deployed(t, nil)
	d.Tick()
	r := d.doctor(t)
	if !r.OK {
		t.Fatalf("%+v", r.wrong())
	}
	checks := map[string]bool{}
	for _, f := range r.Findings {
		checks[f.Check] = true
		if f.Found == "" {
			t.Errorf("%s found nothing", f.Check)
		}
	}
	for _, want := range []string{"settings", "deployment", "clock", "unsigned", "token", "rest", "edition", "key", "state", "queue", "schedule", "message", "commands"} {
		if !checks[want] {
			t.Errorf("%s was not looked at", want)
		}
	}
	imctlWith(t, d.env, "doctor", "-url", d.url).want(t, 0, "ok     message")
	imctlWith(t, d.env, "doctor", "-url", d.url, "-wait", "4s").want(t, 2, "-wait is at least 5s")
	d.env["API_KEY"] = "another-key-altogether"
	imctlWith(t, d.env, "doctor", "-url", d.url).want(t, 1, "WRONG  key", "need attention")
}

// TestDoctorMisWired wires a deployment wrongly in one way after the other: doctor
// names that cause, says what to do, and nothing else is wrong.
func TestDoctorMisWired(t *testing.T) {
	for name, tt := range map[string]struct {
		settings map[string]string          // of the deployment
		env      map[string]string          // of whoever runs doctor; "-" unsets
		wire     func(*testing.T, *patient) // whatever else is wrong
		check    string
		found    string
		next     string
	}{
		"nothing listens": {
			wire: func(t *testing.T, d *patient) {
				s := httptest.NewServer(nil)
				s.Close()
				d.url = s.URL
			}, check: "deployment", found: "nothing listens", next: "-url",
		},
		"no such host":             {wire: at("https://backchannel.invalid"), check: "deployment", found: "no host backchannel.invalid", next: "outputs"},
		"the callback URL":         {wire: suffix("/im"), check: "deployment", found: "callback URL", next: "without its path"},
		"another program":          {wire: front(http.StatusOK, "<html>hello</html>"), check: "deployment", found: "another program", next: "outputs"},
		"AWS refuses":              {wire: front(http.StatusForbidden, `{"Message":"Forbidden"}`), check: "deployment", found: "AWS refuses", next: "lambda:InvokeFunction"},
		"the cloud asks for a key": {wire: front(http.StatusUnauthorized, `{"errorMessage":"no auth"}`), check: "deployment", found: "before the function", next: "authType NONE"},
		"a redirect":               {wire: front(http.StatusPermanentRedirect, ""), check: "deployment", found: "redirects", next: "IM's console"},
		"AWS throttles":            {wire: front(http.StatusTooManyRequests, `{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"}`), check: "deployment", found: "throttles", next: "concurrent"},
		"SCF throttles":            {wire: front(432, `{"errorMessage":"ResourceLimitReached"}`), check: "deployment", found: "throttles", next: "concurrent"},
		"it does not start":        {wire: front(http.StatusBadGateway, `{"message":"Internal Server Error"}`), check: "deployment", found: "does not start", next: "log"},
		"no API key":               {env: map[string]string{"API_KEY": "-"}, check: "settings", found: "API_KEY is not set", next: "API_KEYS"},
		"unknown API key":          {env: map[string]string{"API_KEY": "some-other-key"}, check: "key", found: "does not know API_KEY", next: "sha256sum"},
		"no secret":                {env: map[string]string{"SECRET": "-"}, check: "settings", found: "SECRET is not set", next: "-env"},
		"malformed app":            {env: map[string]string{"SDK_APP_ID": "14000x"}, check: "settings", found: "SDK_APP_ID", next: "SDK_APP_ID"},
		"other callback token":     {env: map[string]string{"CALLBACK_TOKEN": "a-token-of-elsewhere"}, check: "token", found: "CALLBACK_TOKEN", next: "console"},
		"other app": {
			env: map[string]string{"SDK_APP_ID": "1400000077"}, check: "app", found: "SDK_APP_ID is 1400009999", next: "one app",
			wire: func(_ *testing.T, d *patient) {
				d.Emulator.AddApp(imtest.AppConfig{SDKAppID: 1400000077, Key: kit.Secret})
			},
		},
		"an app that IM does not know": {env: map[string]string{"SDK_APP_ID": "1400000078"}, check: "app", found: "SDK_APP_ID is 1400009999", next: "one app"},
		"unreadable secret file":       {env: map[string]string{"SECRET": "-", "SECRET_FILE": "/nonexistent/secret"}, check: "settings", found: "SECRET_FILE names /nonexistent/secret, which cannot be read", next: "SECRET_FILE"},
		"path secret missing": {
			settings: map[string]string{"CALLBACK_PATH_SECRET": "path-of-this-test"},
			check:    "path", found: "path", next: "CALLBACK_PATH_SECRET",
		},
		"path secret too many": {
			env:   map[string]string{"CALLBACK_PATH_SECRET": "path-of-this-test"},
			check: "path", found: "path", next: "the deployment has no CALLBACK_PATH_SECRET",
		},
		"unsigned accepted": {
			settings: map[string]string{"CALLBACK_TOKEN": "", "CALLBACK_ALLOW_UNSIGNED": "1"},
			check:    "unsigned", found: "without a signature", next: "CALLBACK_ALLOW_UNSIGNED",
		},
		"other secret key": {env: map[string]string{"SECRET": strings.Repeat("f", 64)}, check: "rest", found: "SECRET", next: "SECRET"},
		"no such IM host":  {env: map[string]string{"IM_DOMAIN": "http://im.invalid"}, check: "rest", found: "IM_DOMAIN", next: "IM_DOMAIN"},
		"IM host is none": {
			wire: func(t *testing.T, d *patient) {
				s := httptest.NewServer(http.NotFoundHandler())
				t.Cleanup(s.Close)
				d.env["IM_DOMAIN"] = s.URL
			}, check: "rest", found: "not as IM does", next: "IM_DOMAIN",
		},
		"other data centre": {
			wire: func(t *testing.T, d *patient) {
				emulator := imtest.NewServer(imtest.Options{})
				emulator.AddApp(imtest.AppConfig{SDKAppID: 1, Key: kit.Secret})
				s := httptest.NewServer(emulator)
				t.Cleanup(s.Close)
				d.env["IM_DOMAIN"] = s.URL
			}, check: "rest", found: "does not live at IM_DOMAIN", next: "data centre",
		},
		"admin is none": {env: map[string]string{"IM_ADMIN": "alice"}, check: "rest", found: "alice is not an admin", next: "IM_ADMIN"},
		"no queue":      {settings: map[string]string{"QUEUE_URL": "", "MATCH_HOOK_URL": ""}, check: "queue", found: "no QUEUE_URL", next: "set QUEUE_URL"},
		"nobody works":  {wire: func(_ *testing.T, d *patient) { d.StopWork() }, check: "queue", found: "nobody carried it out", next: "job-worker"},
		"no schedule":   {check: "schedule", found: "never ticked", next: "every minute"},
		"console has no URL": {
			wire:  console(func(c *imtest.Console) { c.CallbackURL = "" }),
			check: "message", found: "IM does not call", next: "Webhook Configuration",
		},
		"a proxy drops the query": {wire: withoutQuery, check: "query", found: "drops query strings", next: "pass query strings on"},
		"a proxy drops IM's query": {
			wire: func(t *testing.T, d *patient) {
				direct := d.url
				withoutQuery(t, d)
				console(func(c *imtest.Console) { c.CallbackURL = d.url + "/im" })(t, d)
				d.url = direct
			}, check: "message", found: "arrive without their query", next: "pass query strings on",
		},
		"console has no URL, and a stranger calls": {
			wire: func(t *testing.T, d *patient) {
				console(func(c *imtest.Console) { c.CallbackURL = "" })(t, d)
				stranger(t, d)
			}, check: "message", found: "IM does not call", next: "Webhook Configuration",
		},
		"console does not sign, and a stranger signs wrongly": {
			wire: func(t *testing.T, d *patient) {
				console(func(c *imtest.Console) { c.CallbackToken = "" })(t, d)
				stranger(t, d)
			}, check: "message", found: "without a signature", next: "authentication on",
		},
		"console has another token, and a stranger calls": {
			wire: func(t *testing.T, d *patient) {
				console(func(c *imtest.Console) { c.CallbackToken = "the-console-s-token" })(t, d)
				stranger(t, d)
			}, check: "message", found: "signature does not fit", next: "authentication token",
		},
		"another app's console has the URL": {
			wire: func(t *testing.T, d *patient) {
				console(func(c *imtest.Console) { c.CallbackURL = "" })(t, d)
				repeat(t, func() { d.send(t, callback.Signer{SDKAppID: 1400000077, Token: "its-token"}) })
			}, check: "message", found: "callbacks of another app arrive", next: "of the app 1400009999",
		},
		"console has another token": {
			wire:  console(func(c *imtest.Console) { c.CallbackToken = "the-console-s-token" }),
			check: "message", found: "signature does not fit", next: "authentication token",
		},
		"console does not sign": {
			wire:  console(func(c *imtest.Console) { c.CallbackToken = "" }),
			check: "message", found: "without a signature", next: "authentication on",
		},
		"console has the wrong path": {
			wire:  console(func(c *imtest.Console) { c.CallbackURL += "/some-other-path" }),
			check: "message", found: "another path", next: "console",
		},
		"the after-callback is not ticked": {
			wire: func(t *testing.T, d *patient) {
				chat(t, d)
				console(func(c *imtest.Console) {
					c.Callbacks = []string{"Group.CallbackBeforeSendMsg", "Group.CallbackAfterSendMsg"}
				})(t, d)
			}, check: "message", found: "other callbacks arrive", next: "C2C.CallbackAfterSendMsg",
		},
		"the before-callback is not ticked": {
			wire: func(t *testing.T, d *patient) {
				console(func(c *imtest.Console) {
					c.Callbacks = []string{"Group.CallbackAfterSendMsg", "C2C.CallbackAfterSendMsg"}
				})(t, d)
				chat(t, d)
			}, check: "commands", found: "Group.CallbackBeforeSendMsg never arrives", next: "tick Group.CallbackBeforeSendMsg",
		},
		"the deployment's clock": {wire: late, check: "clock", found: "apart; the deployment's is wrong", next: "NTP"},
		"the desk's client": {
			wire: func(t *testing.T, d *patient) {
				s := httptest.NewServer(desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "right", GroupField: 1, WebhookSecret: "a secret of this test"}))
				t.Cleanup(s.Close)
				maps.Copy(d.env, map[string]string{"ZENDESK_URL": s.URL, "ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "wrong-secret", "ZENDESK_GROUP_FIELD": "1", "ZENDESK_WEBHOOK_SECRETS": "a secret of this test"})
			}, check: "zendesk", found: "refuses the OAuth client with status 401", next: "ZENDESK_CLIENT_SECRET",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployed(t, tt.settings)
			if tt.check != "schedule" {
				d.Tick()
			}
			for k, v := range tt.env {
				if d.env[k] = v; v == "-" {
					delete(d.env, k)
				}
			}
			if tt.wire != nil {
				tt.wire(t, d)
			}
			// What does not come is waited for; what comes has time on a busy machine.
			wait := "1m"
			if tt.check == "message" || name == "nobody works" {
				wait = "5s"
			}
			r := d.doctor(t, "-env", envFile(t, d.env), "-wait", wait)
			bad := r.wrong()
			if len(bad) != 1 {
				t.Fatalf("%d findings, want the one cause: %+v", len(bad), bad)
			}
			f := bad[0]
			if f.Check != tt.check || !strings.Contains(f.Found, tt.found) || !strings.Contains(f.Next, tt.next) {
				t.Errorf("%+v; want %s, %q and %q", f, tt.check, tt.found, tt.next)
			}
		})
	}
}

// readOnly is a store that nothing can be written to.
type readOnly struct{ kv.Store }

func (readOnly) Commit(context.Context, string, string, ...kv.Write) error {
	return errors.New("no write to redis://:a-password-of-this-test@store.invalid")
}

// TestDoctorStoreAway: a store that takes no writes is named, and what the function's log
// has of it stays there.
func TestDoctorStoreAway(t *testing.T) {
	b := kit.OpenBundleOver(t, func(s kv.Store) kv.Store { return readOnly{s} }, nil)
	d := patientOf(t, b)
	bad := d.doctor(t, "-env", envFile(t, d.env)).wrong()
	if len(bad) != 1 || bad[0].Check != "state" || !strings.Contains(bad[0].Found, "cannot write to its store") || strings.Contains(bad[0].Found, "a-password-of-this-test") {
		t.Errorf("%+v", bad)
	}
}

// TestDoctorFewSettings: a file with no more than doctor needs is no fault of a
// deployment that answers; it may be why one does not.
func TestDoctorFewSettings(t *testing.T) {
	d := deployed(t, nil)
	d.Tick()
	few := map[string]string{"ZENDESK_URL": "http://127.0.0.1:1"} // which scripts/dev prints, without the client
	for _, name := range []string{"SDK_APP_ID", "SECRET", "CALLBACK_TOKEN", "API_KEY", "IM_DOMAIN"} {
		few[name] = d.env[name]
	}
	d.env = map[string]string{}
	file := envFile(t, few)
	if r := d.doctor(t, "-env", file, "-wait", "1m"); !r.OK || len(r.wrong()) != 0 {
		t.Errorf("%+v", r.wrong())
	}
	suffix("/im")(t, d)
	var lacks bool
	for _, f := range d.doctor(t, "-env", file).wrong() {
		lacks = lacks || f.Check == "settings" && strings.HasPrefix(f.Found, "STATE_URL: required")
	}
	if !lacks {
		t.Error("nothing said of STATE_URL")
	}
}

// TestDoctorOfDev: scripts/dev on other ports says where its emulator is.
func TestDoctorOfDev(t *testing.T) {
	for scene, want := range map[string]string{
		`{"emulator":"http://127.0.0.1:33081"}`:    "http://127.0.0.1:33081",
		`{"emulator":"https://elsewhere.invalid"}`: "http://127.0.0.1:8081", // no secret leaves the machine
		`nothing`: "http://127.0.0.1:8081",
	} {
		dev := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/dev/scene" {
				_, _ = w.Write([]byte(scene))
			}
		}))
		t.Cleanup(dev.Close)
		d := &physician{url: dev.URL, env: environment{getenv: func(string) string { return "" }}, now: time.Now}
		d.emulator = d.devEmulator(t.Context())
		if got := d.get("IM_DOMAIN"); got != want {
			t.Errorf("%s: %s, want %s", scene, got, want)
		}
	}
}

// envFile writes settings as an -env file has them.
func envFile(t *testing.T, env map[string]string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# settings of this test\n")
	for name, value := range env {
		b.WriteString("export " + name + "=\"" + value + "\"\n")
	}
	file := filepath.Join(t.TempDir(), "prod.env")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func at(u string) func(*testing.T, *patient) {
	return func(_ *testing.T, d *patient) { d.url = u }
}

func suffix(path string) func(*testing.T, *patient) {
	return func(_ *testing.T, d *patient) { d.url += path }
}

// front is another server at the URL.
func front(status int, body string) func(*testing.T, *patient) {
	return func(t *testing.T, d *patient) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		d.url = s.URL
	}
}

// late puts a proxy in front whose clock is an hour behind.
func late(t *testing.T, d *patient) {
	u, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		return nil
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	d.url = s.URL
}

// withoutQuery puts a proxy in front that drops query strings.
func withoutQuery(t *testing.T, d *patient) {
	u, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.URL.RawQuery = ""
	}})
	t.Cleanup(s.Close)
	d.url = s.URL
}

// stranger sends unsigned and wrongly signed callbacks as long as the test runs.
func stranger(t *testing.T, d *patient) {
	repeat(t, func() {
		d.send(t, callback.Signer{SDKAppID: kit.AppID})
		d.send(t, callback.Signer{SDKAppID: kit.AppID, Token: "a-guess-of-a-stranger", OptPlatform: "RESTAPI"})
	})
}

// send sends a callback for a one-to-one message that is not doctor's.
func (d *patient) send(t *testing.T, as callback.Signer) {
	r, err := as.Request(context.WithoutCancel(t.Context()), d.url+"/im", "", []byte(`{"CallbackCommand":"C2C.CallbackAfterSendMsg","CloudCustomData":"{\"backchannelCheck\":\"a guess\"}"}`))
	if err != nil {
		t.Error(err)
		return
	}
	if res, err := http.DefaultClient.Do(r); err == nil {
		_ = res.Body.Close()
	}
}

// repeat does something every 50 ms until the test ends.
func repeat(t *testing.T, do func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			do()
			select {
			case <-end:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { close(end); <-ended })
}

func console(change func(*imtest.Console)) func(*testing.T, *patient) {
	return func(_ *testing.T, d *patient) {
		c := d.IM.Console()
		change(&c)
		d.IM.SetConsole(c)
	}
}

// chat has a user say something in a group, so that callbacks arrive.
func chat(t *testing.T, d *patient) {
	t.Helper()
	alice, _ := d.Login("alice")
	if _, err := alice.CreateGroup("Public", "lobby", "lobby"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Send("lobby", imtest.Draft{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	if err := d.IM.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWebhooks: the checklist has what the deployment's rules want, and no secret.
func TestWebhooks(t *testing.T) {
	d := deployed(t, nil)
	d.env["CALLBACK_PATH_SECRET"] = "path-of-this-test"
	r := imctlWith(t, d.env, "webhooks", "-url", d.url)
	r.want(t, 0, d.url+"/im/ and the value of CALLBACK_PATH_SECRET", "Group.CallbackBeforeSendMsg", "Before sending a group message", "Retry upon callback failure")
	if strings.Contains(r.out, "path-of-this-test") || strings.Contains(r.out, kit.Token) || strings.Contains(r.out, "Bot.OnC2CMessage") {
		t.Errorf("a secret, or a callback of a feature that is off:\n%s", r.out)
	}
	imctlWith(t, nil, "webhooks", "-all").want(t, 0, "Bot.OnC2CMessage", "Group.CallbackAfterGroupFull")
}

// TestUser: what is kept of a user is handed out and erased; a ban stays.
func TestUser(t *testing.T) {
	d := deployed(t, nil)
	imctlWith(t, d.env, "user", "erase", "alice", "-url", d.url).want(t, 2, "cannot be undone")
	imctlWith(t, d.env, "user", "erase", "alice", "-yes", "-url", d.url).want(t, 0, "0 records erased", "stays, liveroom: owner and moderators of a room")
	imctlWith(t, d.env, "user", "export", "alice", "-url", d.url).want(t, 0)
	imctlWith(t, d.env, "user", "export", "no\nuser", "-url", d.url).want(t, 1, "no UserID")
	imctlWith(t, d.env, "user", "forget", "alice", "-url", d.url).want(t, 2, "usage")
}

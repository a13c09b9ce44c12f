package main_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/virgil"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

func users(t *testing.T) *usersig.Signer {
	t.Helper()
	s, err := usersig.NewSigner(kit.AppID, kit.Secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verifier is what Virgil knows of the key of these tests.
func verifier(t *testing.T, id, key string) *virgil.Signer {
	t.Helper()
	k, err := virgil.ParseKey(id, key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := virgil.NewSigner(kit.VirgilAppID, k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// as makes a request one of a user's, who holds a UserSig for ten minutes.
func as(t *testing.T, userID string, r *http.Request) *http.Request {
	t.Helper()
	sig, err := users(t).Sign(userID, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "UserSig "+userID+":"+sig)
	return r
}

func TestEverywhere(t *testing.T) {
	v := verifier(t, kit.VirgilKeyID, kit.VirgilKey)
	env := kit.Settings(map[string]string{"AGENT_USER_IDS": "helpdesk"})
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		for name, tt := range map[string]struct {
			request  *http.Request
			identity string
			status   int
		}{
			"a server":             {kit.Post("/virgil-jwt", kit.Key, `{"identity":"alice"}`), "alice", 200},
			"a server, an agent":   {kit.Post("/virgil-jwt", kit.Key, `{"identity":"helpdesk"}`), "helpdesk", 200},
			"a server, nobody":     {kit.Post("/virgil-jwt", kit.Key, `{}`), "", 400},
			"a user":               {as(t, "alice", kit.Post("/virgil-jwt", "", "")), "alice", 200},
			"a user, JSON":         {as(t, "alice", kit.Post("/virgil-jwt", "", "{}")), "alice", 200},
			"a user as another":    {as(t, "alice", kit.Post("/virgil-jwt", "", `{"identity":"bob"}`)), "", 403},
			"nobody":               {kit.Post("/virgil-jwt", "", `{"identity":"alice"}`), "", 401},
			"GET":                  {as(t, "alice", kit.Get("/virgil-jwt", "")), "", 405},
			"both":                 {kit.Post("/credentials", kit.Key, `{"identity":"alice"}`), "alice", 200},
			"both, a user":         {as(t, "alice", kit.Post("/credentials", "", "")), "alice", 200},
			"both, an agent":       {kit.Post("/credentials", kit.Key, `{"identity":"helpdesk"}`), "", 403},
			"both, an agent's own": {as(t, "helpdesk", kit.Post("/credentials", "", "")), "", 403},
			"both, the admin":      {kit.Post("/credentials", kit.Key, `{"identity":"administrator"}`), "", 403},
			"both, nobody":         {kit.Post("/credentials", "", `{"identity":"alice"}`), "", 401},
		} {
			a := kit.Read(t, do(tt.request))
			if a.Status != tt.status {
				t.Errorf("%s: %d %s, want %d", name, a.Status, a.Text, tt.status)
				continue
			}
			if tt.status != 200 {
				continue
			}
			jwt, _ := a.JSON["jwt"].(string)
			if c, err := v.Verify(jwt); err != nil || c.Identity != tt.identity {
				t.Errorf("%s: %+v, %v: %s", name, c, err, a.Text)
			}
			good := kit.Read(t, do(kit.Post("/virgil-jwt/verify", kit.Key, `{"jwt":"`+jwt+`"}`)))
			if good.JSON["active"] != true || good.JSON["identity"] != tt.identity {
				t.Errorf("%s: verified as %s", name, good.Text)
			}
			if !strings.HasPrefix(name, "both") {
				continue
			}
			sig, _ := a.JSON["userSig"].(string)
			c, err := users(t).Verify(tt.identity, sig)
			if err != nil || a.JSON["userSigExpiresAt"] != c.Expires.UTC().Format(time.RFC3339) {
				t.Errorf("%s: %+v, %v: %s", name, c, err, a.Text)
			}
			if own := strings.Contains(name, "user") || strings.Contains(name, "own"); own && time.Until(c.Expires) > 10*time.Minute {
				t.Errorf("%s: prolonged until %v", name, c.Expires)
			}
		}
	})
}

// TestRotation: a JWT of the key before is good until the key before is taken
// out of the settings.
func TestRotation(t *testing.T) {
	const newID, newKey = "5f5e6a1c22d70b19", "MC4CAQAwBQYDK2VwBCIEIEBjb9+BKZW19OFfHiuUHDFBjh3QjTqeb5YSfoPs21o7"
	bin := faastest.Build(t, ".")
	ask := func(p *faastest.Local, r *http.Request) kit.Answer {
		t.Helper()
		res, err := p.Do(faastest.Plain, r)
		if err != nil {
			t.Fatal(err)
		}
		return kit.Read(t, res)
	}
	issue := func(p *faastest.Local) string {
		t.Helper()
		jwt, _ := ask(p, kit.Post("/virgil-jwt", kit.Key, `{"identity":"alice"}`)).JSON["jwt"].(string)
		return jwt
	}
	active := func(p *faastest.Local, jwt string) any {
		t.Helper()
		return ask(p, kit.Post("/virgil-jwt/verify", kit.Key, `{"jwt":"`+jwt+`"}`)).JSON["active"]
	}
	before := faastest.StartLocal(t, bin, kit.Settings(nil))
	during := faastest.StartLocal(t, bin, kit.Settings(map[string]string{
		"VIRGIL_APP_KEY_ID": newID, "VIRGIL_APP_KEY": newKey,
		"VIRGIL_APP_KEY_ID_PREVIOUS": kit.VirgilKeyID, "VIRGIL_APP_KEY_PREVIOUS": kit.VirgilKey,
	}))
	after := faastest.StartLocal(t, bin, kit.Settings(map[string]string{"VIRGIL_APP_KEY_ID": newID, "VIRGIL_APP_KEY": newKey}))
	older, newer := issue(before), issue(during)
	if _, err := verifier(t, newID, newKey).Verify(newer); err != nil {
		t.Errorf("during the rotation it signs with another key: %v", err)
	}
	for name, tt := range map[string]struct {
		p    *faastest.Local
		jwt  string
		want bool
	}{
		"old before": {before, older, true}, "old during": {during, older, true}, "new during": {during, newer, true},
		"old after": {after, older, false}, "new after": {after, newer, true},
	} {
		if got := active(tt.p, tt.jwt); got != tt.want {
			t.Errorf("%s: active %v, want %v", name, got, tt.want)
		}
	}
	// The ids of both keys are made up, which is told once at start.
	if !strings.Contains(during.Stdout(), "VIRGIL_APP_KEY_ID is not the id") {
		t.Error("nobody is warned of an id that Virgil did not compute")
	}
	for _, secret := range []string{older, newer, newKey, kit.VirgilKey, kit.Key} {
		if strings.Contains(before.Stdout()+during.Stdout()+after.Stdout(), secret) {
			t.Errorf("the log has %.20q in it", secret)
		}
	}
}

// TestOpenMode: UserSigs that anybody can have prove nothing.
func TestOpenMode(t *testing.T) {
	p := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{"USERSIG_MODE": "open"}))
	res, err := p.Do(faastest.Plain, as(t, "alice", kit.Post("/virgil-jwt", "", "")))
	if err != nil {
		t.Fatal(err)
	}
	if a := kit.Read(t, res); a.Status != 401 || !strings.Contains(a.Text, "API key") {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

func TestKeysThatWillNotDo(t *testing.T) {
	bin := faastest.Build(t, ".")
	for key, says := range map[string]string{
		kit.VirgilKey[:40]: "cut off",
		"MCowBQYDK2VwAyEAv73yPwUYzJEDfjMRUSzjCWtOeXn4wRfP/KdG34RDSKM=":                  "public key",
		"-----BEGIN PRIVATE KEY-----\n" + kit.VirgilKey + "\n-----END PRIVATE KEY-----": "PEM",
	} {
		out := faastest.Run(t, bin, kit.Settings(map[string]string{"VIRGIL_APP_KEY": key}))
		if out.Code != 2 || !strings.Contains(out.Stderr, "VIRGIL_APP_KEY: ") || !strings.Contains(out.Stderr, says) || strings.Contains(out.Stderr, key[:30]) {
			t.Errorf("want %q: status %d, %s", says, out.Code, out.Stderr)
		}
	}
}

func TestSampleEvent(t *testing.T) {
	event, err := os.ReadFile("events/virgil-jwt.json")
	if err != nil {
		t.Fatal(err)
	}
	call := strings.Replace(string(event), "<your API key>", kit.Key, 1)
	answer, err := faastest.StartLambda(t, faastest.Build(t, "."), kit.Settings(nil)).Invoke([]byte(call))
	if err != nil || !strings.Contains(string(answer), `\"identity\":\"alice\"`) {
		t.Errorf("answer %s, %v", answer, err)
	}
}

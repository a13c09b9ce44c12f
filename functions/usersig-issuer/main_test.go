package main_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

func verify(t *testing.T, a kit.Answer) (userID string) {
	t.Helper()
	signer, err := usersig.NewSigner(kit.AppID, kit.Secret)
	if err != nil {
		t.Fatal(err)
	}
	userID, _ = a.JSON["userID"].(string)
	sig, _ := a.JSON["userSig"].(string)
	if _, err := signer.Verify(userID, sig); err != nil {
		t.Errorf("%d %s: %v", a.Status, a.Text, err)
	}
	return userID
}

func TestServersAskForAnybodyButTheReserved(t *testing.T) {
	env := kit.Settings(map[string]string{"STATE_URL": "redis://" + redistest.Start(t).Addr, "AGENT_USER_IDS": "helpdesk"})
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		if id := verify(t, kit.Read(t, do(kit.Post("/usersig", kit.Key, `{"userID":"alice"}`)))); id != "alice" {
			t.Errorf("issued for %q", id)
		}
		for body, status := range map[string]int{
			`{"userID":"administrator"}`:                   403,
			`{"userID":"helpdesk"}`:                        403,
			`{"userID":"@RBT#001"}`:                        403,
			`{"userID":"g_abc"}`:                           403,
			`{"userID":""}`:                                400,
			`{"userID":"two words"}`:                       400,
			`{"userID":"` + strings.Repeat("x", 33) + `"}`: 400,
			`{"userID":7}`:                                 400,
			`{"userID":"a","userID":"b"}`:                  400,
			`[]`:                                           400,
			`{"userID":"` + strings.Repeat("x", 70<<10) + `"}`: 413,
		} {
			if a := kit.Read(t, do(kit.Post("/usersig", kit.Key, body))); a.Status != status {
				t.Errorf("%.40s: %d %s, want %d", body, a.Status, a.Text, status)
			}
		}
		for _, key := range []string{"", "guess"} {
			if a := kit.Read(t, do(kit.Post("/usersig", key, `{"userID":"alice"}`))); a.Status != 401 {
				t.Errorf("key %q: %d %s", key, a.Status, a.Text)
			}
		}
		if a := kit.Read(t, do(kit.Get("/usersig", kit.Key))); a.Status != 405 {
			t.Errorf("GET: %d %s", a.Status, a.Text)
		}
		text := kit.Post("/usersig", kit.Key, `{"userID":"alice"}`)
		text.Header.Set("Content-Type", "text/plain")
		if a := kit.Read(t, do(text)); a.Status != 415 {
			t.Errorf("text/plain: %d %s", a.Status, a.Text)
		}
	})
}

func TestGuestsAreNobodyElse(t *testing.T) {
	env := kit.Settings(map[string]string{
		"STATE_URL": "redis://" + redistest.Start(t).Addr, "USERSIG_MODE": "guest", "GUESTS_PER_ADDRESS": "3",
		"ALLOWED_ORIGINS": "https://shop.example.com",
	})
	bin := faastest.Build(t, ".")
	p, second := faastest.StartLocal(t, bin, env), faastest.StartLocal(t, bin, env)
	ask := func(p *faastest.Local, r *http.Request) (kit.Answer, http.Header) {
		t.Helper()
		res, err := p.Do(faastest.Plain, r)
		if err != nil {
			t.Fatal(err)
		}
		return kit.Read(t, res), res.Header
	}
	seen := map[string]bool{}
	for i, from := range []*faastest.Local{p, second, p} {
		a, _ := ask(from, kit.Post("/usersig", "", `{"userID":"ann@example.com"}`))
		id := verify(t, a)
		if !strings.HasPrefix(id, "g_") || len(id) > 32 || seen[id] {
			t.Errorf("guest %d is %q", i, id)
		}
		seen[id] = true
	}
	if a, h := ask(second, kit.Post("/usersig", "", `{"userID":"ann@example.com"}`)); a.Status != 429 || h.Get("Retry-After") == "" {
		t.Errorf("the fourth guest of one address: %d %s", a.Status, a.Text)
	}
	preflight := httptest.NewRequest(http.MethodOptions, "/usersig", nil)
	preflight.Header.Set("Origin", "https://shop.example.com")
	preflight.Header.Set("Access-Control-Request-Method", "POST")
	if a, h := ask(p, preflight); a.Status != 204 || h.Get("Access-Control-Allow-Origin") != "https://shop.example.com" {
		t.Errorf("preflight: %d %v", a.Status, h)
	}
	preflight.Header.Set("Origin", "https://elsewhere.example.com")
	if _, h := ask(p, preflight); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight from elsewhere: %v", h)
	}
	if strings.Contains(p.Stdout(), "ann@example.com") {
		t.Error("the log has the guest's label in it")
	}
}

func TestOpenModeIsWarnedAbout(t *testing.T) {
	env := kit.Settings(map[string]string{"STATE_URL": "redis://" + redistest.Start(t).Addr, "USERSIG_MODE": "open"})
	p := faastest.StartLocal(t, faastest.Build(t, "."), env)
	res, err := p.Do(faastest.Plain, kit.Post("/usersig", "", `{"userID":"alice"}`))
	if err != nil {
		t.Fatal(err)
	}
	verify(t, kit.Read(t, res))
	if !strings.Contains(p.Stdout(), "prototypes") {
		t.Error("nobody is warned")
	}
}

func TestModeHasNoDefault(t *testing.T) {
	env := kit.Settings(map[string]string{"STATE_URL": "redis://127.0.0.1:1/0", "USERSIG_MODE": ""})
	if out := faastest.Run(t, faastest.Build(t, "."), env); out.Code != 2 || !strings.Contains(out.Stderr, "USERSIG_MODE") {
		t.Errorf("status %d, %s", out.Code, out.Stderr)
	}
}

package virgil_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/virgil"
)

const serverKey = "a-key-of-this-test"

// desk is an issuer and what its callers need.
type desk struct {
	http.Handler
	users  *usersig.Signer
	signer *virgil.Signer
	asked  []api.Caller // for whom UserSigs were asked
	fails  error        // of those
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	users, err := usersig.NewSignerAt(1400000001, "0123456789abcdef", func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(serverKey))
	keys, err := api.ParseKeys([]string{"shop:" + hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{users: users, signer: newSigner(t, clock, appID, newKey(t, keyID))}
	issuer := &virgil.Issuer{
		Signer: d.signer, Lifetime: 20 * time.Minute, Gate: &api.Gate{Keys: keys, Users: users},
		Origins: []string{"https://chat.example.com"},
		UserSig: func(caller api.Caller, userID string) (string, time.Time, error) {
			d.asked = append(d.asked, caller)
			return "sig of " + userID, clock.Add(time.Hour), d.fails
		},
	}
	mux := http.NewServeMux()
	issuer.Routes(mux)
	d.Handler = api.Routes(mux)
	return d
}

// as returns the Authorization header of a user.
func (d *desk) as(t testing.TB, userID string) string {
	t.Helper()
	sig, err := d.users.Sign(userID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return "UserSig " + userID + ":" + sig
}

type reply struct {
	status int
	text   string
	fields map[string]any
}

func (d *desk) post(path, authorization, body string) reply {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(http.MethodPost, path, nil)
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	a := reply{status: w.Code, text: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.fields)
	return a
}

const asServer = "Bearer " + serverKey

func TestIssue(t *testing.T) {
	d := newDesk(t)
	alice := d.as(t, "alice")
	long := strings.Repeat("x", 33)
	for _, tt := range []struct {
		name, authorization, body string
		status                    int
		identity                  string
	}{
		{"a user, no body", alice, "", 200, "alice"},
		{"a user", alice, `{}`, 200, "alice"},
		{"a user by name", alice, `{"identity":"alice"}`, 200, "alice"},
		{"a user by IM's name", alice, `{"userID":"alice"}`, 200, "alice"},
		{"a user as another", alice, `{"identity":"bob"}`, 403, ""},
		{"a user as another by IM's name", alice, `{"userID":"bob"}`, 403, ""},
		{"a user as both", alice, `{"identity":"alice","userID":"bob"}`, 400, ""},
		{"a user, no JSON", alice, `alice`, 400, ""},
		{"a server", asServer, `{"identity":"bob"}`, 200, "bob"},
		{"a server, IM's name", asServer, `{"userID":"bob"}`, 200, "bob"},
		{"a server, both", asServer, `{"userID":"bob","identity":"bob"}`, 200, "bob"},
		{"a server, two users", asServer, `{"userID":"bob","identity":"alice"}`, 400, ""},
		{"a server, nobody", asServer, `{}`, 400, ""},
		{"a server, no body", asServer, "", 415, ""},
		{"a server, no UserID", asServer, `{"identity":"two words"}`, 400, ""},
		{"a server, no ASCII", asServer, `{"identity":"zoë"}`, 400, ""},
		{"a server, too long", asServer, `{"identity":"` + long + `"}`, 400, ""},
		{"a server, a number", asServer, `{"identity":7}`, 400, ""},
		{"a server, twice", asServer, `{"identity":"a","identity":"b"}`, 400, ""},
		{"a server, too large", asServer, `{"identity":"` + strings.Repeat("x", 70<<10) + `"}`, 413, ""},
		{"nobody", "", `{"identity":"alice"}`, 401, ""},
		{"a wrong key", "Bearer x", `{"identity":"alice"}`, 401, ""},
		{"another's UserSig", strings.Replace(alice, "alice", "bob", 1), ``, 401, ""},
	} {
		for _, path := range []string{"/virgil-jwt", "/credentials"} {
			a := d.post(path, tt.authorization, tt.body)
			jwt, _ := a.fields["jwt"].(string)
			if a.status != tt.status || (jwt != "") != (tt.status == 200) {
				t.Errorf("%s, %s: %d %s, want %d", path, tt.name, a.status, a.text, tt.status)
				continue
			}
			if tt.status != 200 {
				continue
			}
			c, err := d.signer.Verify(jwt)
			if err != nil || c.Identity != tt.identity || a.fields["identity"] != tt.identity {
				t.Errorf("%s, %s: for %+v, %v: %s", path, tt.name, c, err, a.text)
			}
			expiry := "expiresAt"
			if path == "/credentials" {
				expiry = "jwtExpiresAt"
				if a.fields["userSig"] != "sig of "+tt.identity || a.fields["userID"] != tt.identity || a.fields["userSigExpiresAt"] != "2023-11-14T23:13:20Z" {
					t.Errorf("%s: %s", tt.name, a.text)
				}
			}
			if a.fields[expiry] != c.Expires.UTC().Format(time.RFC3339) {
				t.Errorf("%s, %s: %s of %v, the JWT says %v", path, tt.name, expiry, a.fields[expiry], c.Expires)
			}
		}
	}
}

// TestCredentialsAskAsTheCaller: whether somebody may have a UserSig is decided
// where UserSigs are issued, and a refusal there issues nothing.
func TestCredentialsAskAsTheCaller(t *testing.T) {
	d := newDesk(t)
	d.post("/credentials", asServer, `{"identity":"bob"}`)
	d.post("/credentials", d.as(t, "alice"), "")
	want := []api.Caller{{Server: "shop"}, {UserID: "alice", Issued: clock, Expires: clock.Add(time.Hour)}}
	if len(d.asked) != 2 || d.asked[0] != want[0] || d.asked[1] != want[1] {
		t.Errorf("asked as %+v", d.asked)
	}
	d.fails = errors.New("no")
	if a := d.post("/credentials", asServer, `{"identity":"bob"}`); a.status != 500 || a.fields["jwt"] != nil {
		t.Errorf("%d %s", a.status, a.text)
	}
}

func TestVerifyForServers(t *testing.T) {
	d := newDesk(t)
	ask := func(jwt string) reply { return d.post("/virgil-jwt/verify", asServer, `{"jwt":"`+jwt+`"}`) }
	good := sign(t, d.signer, "alice")
	a := ask(good)
	if a.status != 200 || a.fields["active"] != true || a.fields["identity"] != "alice" || a.fields["keyId"] != keyID ||
		a.fields["issuedAt"] != "2023-11-14T22:13:15Z" || a.fields["expiresAt"] != "2023-11-14T22:33:15Z" {
		t.Errorf("%d %s", a.status, a.text)
	}
	later := newSigner(t, clock.Add(time.Hour), appID, newKey(t, keyID))
	for jwt, reason := range map[string]string{
		"x":                          "malformed",
		strings.Repeat("A", 9<<10):   "malformed",
		good[:len(good)-5] + "AAAAA": "signature",
		sign(t, later, "alice"):      "signature",
		sign(t, newSigner(t, clock, appID, newKey(t, "0b")), "alice"): "other_key",
	} {
		if a := ask(jwt); a.status != 200 || a.fields["active"] != false || a.fields["reason"] != reason || len(a.fields) != 2 {
			t.Errorf("%.20s: %d %s, want %s", jwt, a.status, a.text, reason)
		}
	}
	d.signer.Now = func() time.Time { return clock.Add(time.Hour) }
	if a := ask(good); a.fields["reason"] != "expired" {
		t.Errorf("%s", a.text)
	}
	d.signer.Now = func() time.Time { return clock.Add(-time.Hour) }
	if a := ask(good); a.fields["reason"] != "not_yet" {
		t.Errorf("%s", a.text)
	}
	for _, tt := range []struct {
		authorization, body string
		status              int
	}{{asServer, `{}`, 400}, {asServer, `{"jwt":7}`, 400}, {asServer, "", 415}, {d.as(t, "alice"), `{"jwt":"x"}`, 403}, {"", `{"jwt":"x"}`, 401}} {
		if a := d.post("/virgil-jwt/verify", tt.authorization, tt.body); a.status != tt.status {
			t.Errorf("%q: %d %s, want %d", tt.body, a.status, a.text, tt.status)
		}
	}
}

func TestBrowsers(t *testing.T) {
	d := newDesk(t)
	for path, origins := range map[string]map[string]string{
		"/virgil-jwt":  {"https://chat.example.com": "https://chat.example.com", "https://elsewhere.example.com": ""},
		"/credentials": {"https://chat.example.com": "https://chat.example.com", "https://elsewhere.example.com": ""},
	} {
		for origin, allowed := range origins {
			r := httptest.NewRequest(http.MethodOptions, path, nil)
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != allowed {
				t.Errorf("%s from %s: %d %v", path, origin, w.Code, w.Header())
			}
		}
	}
}

func TestLogsNoCredentials(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Writer(&log), &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	d := newDesk(t)
	d.fails = errors.New("away")
	jwt, _ := d.post("/virgil-jwt", asServer, `{"identity":"alice"}`).fields["jwt"].(string)
	d.post("/credentials", asServer, `{"identity":"alice"}`)
	d.post("/virgil-jwt/verify", asServer, `{"jwt":"`+jwt+`"}`)
	if !strings.Contains(log.String(), "away") || jwt == "" {
		t.Errorf("the failure is not in the log: %s", log.String())
	}
	for _, secret := range []string{jwt, serverKey} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %.20q in it", secret)
		}
	}
}

package features_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

const (
	shopSecret     = "a Shopify secret of this test"
	identitySecret = "an identity secret of this test, long enough"
	zendeskApp     = "https://example.zendesk.com/api/v2/apps/installations/7.json"
)

// merchant is a bundle with all ways to prove who asks.
func merchant(t *testing.T, more map[string]string) (*kit.Bundle, *rsa.PrivateKey) {
	t.Helper()
	app, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(app.Public())
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{
		"SHOPIFY_SECRET": shopSecret, "SHOPIFY_SHOPS": "example.myshopify.com", "AGENT_USER_IDS": "701",
		"IDENTITY_SECRET": identitySecret, "IDENTITY_ISSUER": "https://login.example.com/", "IDENTITY_AUDIENCE": "backchannel",
		"ZENDESK_APP_AUDIENCE": zendeskApp, "ZENDESK_APP_KEY": "-----BEGIN PUBLIC KEY-----\\n" + base64.StdEncoding.EncodeToString(public) + "\\n-----END PUBLIC KEY-----",
	}
	for name, value := range more {
		settings[name] = value
	}
	return kit.OpenBundle(t, settings), app
}

func proxied(customer string) string {
	q := url.Values{
		"shop": {"example.myshopify.com"}, "path_prefix": {"/apps/im"}, "timestamp": {fmt.Sprint(time.Now().Unix())}, "logged_in_customer_id": {customer},
	}
	q.Set("signature", credential.SignProxy(shopSecret, q))
	return "/shopify/usersig?" + q.Encode()
}

func token(t *testing.T, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims["iat"], claims["exp"] = time.Now().Unix(), time.Now().Add(5*time.Minute).Unix()
	made, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func identityToken(t *testing.T, userID string) string {
	return token(t, jose.HS256, []byte(identitySecret), map[string]any{
		"sub": userID, "iss": "https://login.example.com/", "aud": []string{"backchannel"}, "name": "Alice <b>", "picture": "https://example.com/a.png",
	})
}

// TestCredentials: each way to prove oneself brings credentials that the vendors'
// own libraries accept, and accounts at IM have nick and face.
func TestCredentials(t *testing.T) {
	b, app := merchant(t, nil)
	zendesk := token(t, jose.RS256, app, map[string]any{"sub": "https://example.zendesk.com/api/v2/users/701.json", "iss": "example.zendesk.com", "aud": zendeskApp})
	_, own := b.Login("carol")
	asCarol := kit.Post("/credentials", "", "")
	asCarol.Header.Set("Authorization", "UserSig carol:"+own)
	answers := map[string]kit.Answer{}
	for name, r := range map[string]*http.Request{
		"a server":                         kit.Post("/usersig", kit.Key, `{"userID":"bob","name":"Bob","faceUrl":"https://example.com/b.png"}`),
		"an identity token":                kit.Post("/usersig", "", fmt.Sprintf(`{"token":%q}`, identityToken(t, "alice"))),
		"an identity token, for both":      kit.Post("/credentials", "", fmt.Sprintf(`{"token":%q}`, identityToken(t, "alice"))),
		"an identity token, for the other": kit.Post("/virgil-jwt", "", fmt.Sprintf(`{"token":%q}`, identityToken(t, "alice"))),
		"a UserSig, for both":              asCarol,
		"a customer":                       kit.Post(proxied("4711"), "", `{"name":"Ann"}`),
		"a visitor":                        kit.Post(proxied(""), "", `{"email":"ann@example.com"}`),
		"an agent, by the desk":            kit.Post("/agents/usersig", "", fmt.Sprintf(`{"token":%q}`, zendesk)),
		"an agent, by a server":            kit.Post("/agents/usersig", kit.Key, `{"userID":"701"}`),
	} {
		if answers[name] = b.Do(r); answers[name].Status != http.StatusOK {
			t.Errorf("%s: %d %s", name, answers[name].Status, answers[name].Text)
		}
	}
	profiles, err := b.Client.Portraits(t.Context(), []string{"alice", "bob"}, im.TagNick, im.TagImage)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"Alice <b> https://example.com/a.png ", "Bob https://example.com/b.png "} {
		got := ""
		for _, item := range profiles[i].Items {
			got += item.Text() + " "
		}
		if got != want {
			t.Errorf("profile %q, want %q", got, want)
		}
	}
	if !testing.Short() {
		accepted(t, answers)
	}
}

// accepted asks npm's tls-sig-api-v2 and virgil-sdk.
func accepted(t *testing.T, answers map[string]kit.Answer) {
	t.Helper()
	var names []string
	var sigs, jwts []map[string]any
	for name, a := range answers {
		userID, _ := a.JSON["userID"].(string)
		if sig, is := a.JSON["userSig"].(string); is {
			names = append(names, name)
			sigs = append(sigs, map[string]any{"appID": kit.AppID, "key": kit.Secret, "userID": userID, "userSig": sig})
		}
		if made, is := a.JSON["jwt"].(string); is {
			jwts = append(jwts, map[string]any{"keyID": kit.VirgilKeyID, "key": kit.VirgilKey, "jwt": made})
		}
	}
	if len(sigs) != 8 || len(jwts) != 3 {
		t.Errorf("%d UserSigs and %d JWTs, want 8 and 3", len(sigs), len(jwts))
	}
	// One that is not good, so that acceptance means something.
	bad := map[string]any{"appID": kit.AppID, "key": "another key", "userID": sigs[0]["userID"], "userSig": sigs[0]["userSig"]}
	for i, a := range node(t, "accepts.cjs", append(sigs, bad)) {
		if a["accepted"] != (i < len(sigs)) {
			t.Errorf("tls-sig-api-v2, %d of %q: %v", i, names, a)
		}
	}
	for _, a := range node(t, "virgil.cjs", jwts) {
		if a["accepted"] != true {
			t.Errorf("virgil-sdk: %v", a)
		}
	}
}

func node(t *testing.T, script string, asked []map[string]any) (answers []map[string]any) {
	t.Helper()
	const folder = "../../../scripts/node"
	if _, err := os.Stat(folder + "/node_modules/tls-sig-api-v2"); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	var in bytes.Buffer
	for _, one := range asked {
		if err := json.NewEncoder(&in).Encode(one); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir, cmd.Stdin = folder, &in
	out, err := cmd.Output()
	if e, is := errors.AsType[*exec.ExitError](err); is {
		t.Fatalf("%v\n%s", err, e.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var a map[string]any
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(asked) {
		t.Fatalf("%d answers to %d questions", len(answers), len(asked))
	}
	return answers
}

// TestRevocationReachesEveryRoute that issues something, and IM.
func TestRevocationReachesEveryRoute(t *testing.T) {
	b, _ := merchant(t, nil)
	client, own := b.Login("alice")
	put := kit.Post("/revocations/alice", kit.Key, `{"seconds":3600,"reason":"stolen phone"}`)
	put.Method = http.MethodPut
	before := identityToken(t, "alice")
	if a := b.Do(put); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if _, err := client.SendTo("bob", imtest.Draft{Text: "still here"}); err == nil {
		t.Error("IM lets the user write")
	}
	as := func(r *http.Request) *http.Request {
		r.Header.Set("Authorization", "UserSig alice:"+own)
		return r
	}
	for name, r := range map[string]*http.Request{
		"a server":                 kit.Post("/usersig", kit.Key, `{"userID":"alice"}`),
		"a server, for both":       kit.Post("/credentials", kit.Key, `{"identity":"alice"}`),
		"a server, for the JWT":    kit.Post("/virgil-jwt", kit.Key, `{"identity":"alice"}`),
		"a token":                  kit.Post("/usersig", "", fmt.Sprintf(`{"token":%q}`, before)),
		"a token, for both":        kit.Post("/credentials", "", fmt.Sprintf(`{"token":%q}`, before)),
		"a token, for the JWT":     kit.Post("/virgil-jwt", "", fmt.Sprintf(`{"token":%q}`, before)),
		"the user, for both":       as(kit.Post("/credentials", "", "")),
		"the user, for the JWT":    as(kit.Post("/virgil-jwt", "", "")),
		"the user, on other pages": as(kit.Get("/rooms", "")),
	} {
		if a := b.Do(r); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

// TestTokensOfNobody prove nothing on any of the routes that take them.
func TestTokensOfNobody(t *testing.T) {
	b, app := merchant(t, nil)
	good := identityToken(t, "alice")
	head, rest, _ := strings.Cut(good, ".")
	payload, _, _ := strings.Cut(rest, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + payload + "."
	public := x509.MarshalPKCS1PublicKey(&app.PublicKey)
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(head + "." + payload))
	confused := head + "." + payload + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	zendesk := token(t, jose.RS256, app, map[string]any{"sub": "https://example.zendesk.com/api/v2/users/701.json", "iss": "example.zendesk.com", "aud": zendeskApp})
	for name, made := range map[string]string{
		"alg none": none, "signed with the public key": confused, "a token for the desk": zendesk, "garbage": "x", "without signature": head + "." + payload + ".",
	} {
		for _, path := range []string{"/usersig", "/credentials", "/virgil-jwt"} {
			if a := b.Do(kit.Post(path, "", fmt.Sprintf(`{"token":%q}`, made))); a.Status != http.StatusUnauthorized || a.JSON["userSig"] != nil || a.JSON["jwt"] != nil {
				t.Errorf("%s, %s: %d %s", path, name, a.Status, a.Text)
			}
		}
	}
	for name, made := range map[string]string{"a user's token": good, "alg none": none, "garbage": "x"} {
		if a := b.Do(kit.Post("/agents/usersig", "", fmt.Sprintf(`{"token":%q}`, made))); a.Status != http.StatusUnauthorized {
			t.Errorf("an agent by %s: %d %s", name, a.Status, a.Text)
		}
	}
	for path, body := range map[string]string{"/usersig": `{"userID":"701"}`, "/credentials": `{"identity":"701"}`} {
		if a := b.Do(kit.Post(path, kit.Key, body)); a.Status != http.StatusForbidden {
			t.Errorf("an agent by %s: %d %s", path, a.Status, a.Text)
		}
	}
	for _, path := range []string{"/usersig", "/credentials", "/virgil-jwt"} {
		if a := b.Do(kit.Post(path, "", fmt.Sprintf(`{"token":%q}`, identityToken(t, "701")))); a.Status != http.StatusForbidden {
			t.Errorf("an agent by a token on %s: %d %s", path, a.Status, a.Text)
		}
	}
}

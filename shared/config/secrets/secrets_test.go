package secrets_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/config/secrets"
)

// canary stands where secrets stand; no error may repeat it.
const canary = "k7-canary-9"

// load runs Load in an environment and returns what SECRET is then.
func load(t *testing.T, env map[string]string) (string, error) {
	t.Helper()
	set := config.NewReader(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	_, err := secrets.Load(t.Context(), set)
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("the error repeats the document: %v", err)
	}
	return set.Text(config.Setting{Name: "SECRET", Secret: true}), err
}

func wantSecret(t *testing.T, env map[string]string, want string) {
	t.Helper()
	if got, err := load(t, env); err != nil || got != want {
		t.Errorf("SECRET is %q, %v; want %q", got, err, want)
	}
}

func wantError(t *testing.T, env map[string]string, want string) {
	t.Helper()
	got, err := load(t, env)
	if err == nil || !strings.Contains(err.Error(), want) || got != "" {
		t.Errorf("got %q and error %v; want an error with %q", got, err, want)
	}
}

func file(t *testing.T, text string) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"SECRETS_URL": "file:" + path}
}

func TestFile(t *testing.T) {
	env := file(t, `{"SECRET":"`+canary+`","OTHER":"left alone"}`)
	wantSecret(t, env, canary)
	env["SECRET"] = "from the environment"
	wantSecret(t, env, "from the environment")
	wantSecret(t, nil, "")
}

// TestChanged: a document that is the same, one that is another, and one that is gone.
func TestChanged(t *testing.T) {
	env := file(t, `{"SECRET":"`+canary+`"}`)
	set := config.NewReader(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	changed, err := secrets.Load(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(env["SECRETS_URL"], "file:")
	for text, want := range map[string]bool{`{ "SECRET" : "` + canary + `" }`: false, `{"SECRET":"another"}`: true, `{"SECRET":"` + canary + `","MORE":"x"}`: true, `{}`: true} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := changed(t.Context()); got != want || err != nil {
			t.Errorf("%s: changed %v, %v", text, got, err)
		}
	}
	if err := os.WriteFile(path, []byte(`no JSON, `+canary), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := changed(t.Context()); got || err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("changed %v, %v", got, err)
	}
	set = config.NewReader(func(string) (string, bool) { return "", false })
	if changed, err := secrets.Load(t.Context(), set); changed != nil || err != nil {
		t.Errorf("without a document: changed is set %v, %v", changed != nil, err)
	}
}

func TestBadDocument(t *testing.T) {
	for _, text := range []string{
		``, `null`, `"` + canary + `"`, `{"SECRET":{"nested":"` + canary + `"}}`,
		`{"SECRET":7}`, `{"SECRET":"` + canary, canary,
	} {
		wantError(t, file(t, text), "not a JSON object of strings")
	}
	wantError(t, map[string]string{"SECRETS_URL": "file:" + filepath.Join(t.TempDir(), "none")}, "no such file")
}

func TestBadURL(t *testing.T) {
	for _, url := range []string{"vault:secret/app", "file:", "file", "/etc/secrets.json", "aws-ssm"} {
		wantError(t, map[string]string{"SECRETS_URL": url}, "must be file:PATH")
	}
}

func TestListing(t *testing.T) {
	set := config.NewLister()
	if _, err := secrets.Load(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if got := set.Settings(); len(got) != 2 || got[0].Name != "SECRETS_ENDPOINT" || got[1].Name != "SECRETS_URL" {
		t.Errorf("listed %+v", got)
	}
}

func lambdaEnvironment(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_SESSION_TOKEN", "session")
}

// service starts a fake service that answers each request by its decoded body.
func service(t *testing.T, answer func(r *http.Request, body map[string]any) (int, string)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var body map[string]any
		if err != nil || json.Unmarshal(text, &body) != nil {
			t.Errorf("body %q: %v", text, err)
		}
		status, out := answer(r, body)
		w.WriteHeader(status)
		fmt.Fprint(w, out)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestParameterStorePages(t *testing.T) {
	lambdaEnvironment(t)
	endpoint := service(t, func(r *http.Request, body map[string]any) (int, string) {
		want := map[string]any{"Path": "/app", "WithDecryption": true}
		if body["NextToken"] == nil {
			if !maps.Equal(body, want) {
				t.Errorf("asked for %v", body)
			}
			return 200, `{"Parameters":[{"Name":"/app/OTHER","Value":"x"}],"NextToken":"2"}`
		}
		return 200, `{"Parameters":[{"Name":"/app/SECRET","Value":"` + canary + `"}]}`
	})
	wantSecret(t, map[string]string{"SECRETS_URL": "aws-ssm:/app", "SECRETS_ENDPOINT": endpoint}, canary)
}

func TestParameterStoreWithoutEnd(t *testing.T) {
	lambdaEnvironment(t)
	calls := 0
	endpoint := service(t, func(*http.Request, map[string]any) (int, string) {
		calls++
		return 200, `{"Parameters":[{"Name":"/app/A","Value":"x"}],"NextToken":"again"}`
	})
	wantError(t, map[string]string{"SECRETS_URL": "aws-ssm:/app", "SECRETS_ENDPOINT": endpoint}, "more than 200 parameters")
	if calls != 20 {
		t.Errorf("%d calls", calls)
	}
}

func TestAWSSignsWithTheFunctionsRole(t *testing.T) {
	lambdaEnvironment(t)
	var got http.Header
	endpoint := service(t, func(r *http.Request, _ map[string]any) (int, string) {
		got = r.Header
		return 200, `{"SecretString":"{\"SECRET\":\"` + canary + `\"}"}`
	})
	wantSecret(t, map[string]string{"SECRETS_URL": "aws-secretsmanager:app", "SECRETS_ENDPOINT": endpoint}, canary)
	if a := got.Get("Authorization"); !strings.HasPrefix(a, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") ||
		!strings.Contains(a, "/eu-central-1/secretsmanager/aws4_request") || !strings.Contains(a, "x-amz-target") {
		t.Errorf("Authorization %q", a)
	}
	if got.Get("X-Amz-Security-Token") != "session" || got.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
		t.Errorf("headers %v", got)
	}
}

func TestAWSFaults(t *testing.T) {
	env := map[string]string{"SECRETS_URL": "aws-secretsmanager:app", "SECRETS_ENDPOINT": "http://127.0.0.1:1"}
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	wantError(t, env, "Lambda sets them")
	lambdaEnvironment(t)
	wantError(t, env, "connection refused")
	for want, answer := range map[string]string{
		"status 400 AccessDeniedException": `{"__type":"com.amazonaws#AccessDeniedException","message":"` + canary + `"}`,
		"status 400":                       canary,
	} {
		env["SECRETS_ENDPOINT"] = service(t, func(*http.Request, map[string]any) (int, string) { return 400, answer })
		wantError(t, env, want)
	}
	for _, answer := range []string{canary, `{"SecretString":"` + canary + `"}`, `{}`} {
		env["SECRETS_ENDPOINT"] = service(t, func(*http.Request, map[string]any) (int, string) { return 200, answer })
		wantError(t, env, "JSON")
	}
}

func scfEnvironment(t *testing.T) {
	t.Setenv("TENCENTCLOUD_REGION", "ap-guangzhou")
	t.Setenv("TENCENTCLOUD_SECRETID", "AKIDEXAMPLE")
	t.Setenv("TENCENTCLOUD_SECRETKEY", "test")
	t.Setenv("TENCENTCLOUD_SESSIONTOKEN", "session")
}

func TestTencentSSM(t *testing.T) {
	scfEnvironment(t)
	for url, version := range map[string]string{"tencent-ssm:app@v3": "v3", "tencent-ssm:app": "SSM_Current"} {
		var got http.Header
		endpoint := service(t, func(r *http.Request, body map[string]any) (int, string) {
			got = r.Header
			if want := (map[string]any{"SecretName": "app", "VersionId": version}); !maps.Equal(body, want) {
				t.Errorf("%s asked for %v", url, body)
			}
			return 200, `{"Response":{"SecretName":"app","SecretString":"{\"SECRET\":\"` + canary + `\"}","RequestId":"r1"}}`
		})
		wantSecret(t, map[string]string{"SECRETS_URL": url, "SECRETS_ENDPOINT": endpoint}, canary)
		if a := got.Get("Authorization"); !strings.HasPrefix(a, "TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/") {
			t.Errorf("Authorization %q", a)
		}
		for name, want := range map[string]string{
			"X-TC-Action": "GetSecretValue", "X-TC-Version": "2019-09-23", "X-TC-Region": "ap-guangzhou", "X-TC-Token": "session",
		} {
			if got.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got.Get(name), want)
			}
		}
	}
}

func TestTencentFaults(t *testing.T) {
	env := map[string]string{"SECRETS_URL": "tencent-ssm:app@v1", "SECRETS_ENDPOINT": "http://127.0.0.1:1"}
	for _, name := range []string{"TENCENTCLOUD_REGION", "TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY"} {
		t.Setenv(name, "")
	}
	wantError(t, env, "execution role")
	scfEnvironment(t)
	wantError(t, env, "connection refused")
	for answer, want := range map[string]string{
		`{"Response":{"Error":{"Code":"ResourceNotFound","Message":"` + canary + `"},"RequestId":"r1"}}`: "ResourceNotFound (request r1)",
		canary: "ClientError.ParseJsonError",
		`{"Response":{"SecretString":"` + canary + `","RequestId":"r1"}}`: "not a JSON object of strings",
		`{"Response":{"SecretString":["` + canary + `"]}}`:                "another form",
	} {
		env["SECRETS_ENDPOINT"] = service(t, func(*http.Request, map[string]any) (int, string) { return 200, answer })
		wantError(t, env, want)
	}
}

func TestCancelled(t *testing.T) {
	lambdaEnvironment(t)
	scfEnvironment(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, url := range []string{"aws-ssm:/app", "tencent-ssm:app@v1"} {
		set := config.NewReader(func(name string) (string, bool) {
			return map[string]string{"SECRETS_URL": url, "SECRETS_ENDPOINT": "http://127.0.0.1:1"}[name], true
		})
		if _, err := secrets.Load(ctx, set); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

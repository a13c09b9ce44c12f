package secrets_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/backchannel-im/backchannel/shared/mototest"
)

// TestAgainstAnEmulator reads from a service that was not written with this
// package in mind.
func TestAgainstAnEmulator(t *testing.T) {
	lambdaEnvironment(t)
	endpoint := mototest.Start(t)
	document := `{"SECRET":"` + canary + `"}`
	callMoto(t, endpoint, "secretsmanager", "secretsmanager.CreateSecret",
		map[string]any{"Name": "app", "SecretString": document, "ClientRequestToken": "00000000-0000-0000-0000-000000000000"})
	callMoto(t, endpoint, "secretsmanager", "secretsmanager.CreateSecret",
		map[string]any{"Name": "text", "SecretString": canary, "ClientRequestToken": "00000000-0000-0000-0000-000000000001"})
	// More than a page, and one deeper that is not ours.
	for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "SECRET", "Z", "deeper/SECRET"} {
		value := "other"
		if name == "SECRET" {
			value = canary
		}
		callMoto(t, endpoint, "ssm", "AmazonSSM.PutParameter", map[string]any{"Name": "/app/" + name, "Value": value, "Type": "SecureString"})
	}
	at := func(url string) map[string]string {
		return map[string]string{"SECRETS_URL": url, "SECRETS_ENDPOINT": endpoint}
	}
	wantSecret(t, at("aws-secretsmanager:app"), canary)
	wantSecret(t, at("aws-ssm:/app"), canary)
	wantError(t, at("aws-secretsmanager:none"), "ResourceNotFoundException")
	wantError(t, at("aws-secretsmanager:text"), "not a JSON object of strings")
	wantError(t, at("aws-ssm:/none"), "no parameter directly below the path")
}

func callMoto(t *testing.T, endpoint, service, target string, request map[string]any) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, endpoint+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: "owner", SecretAccessKey: "test"}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), service, "eu-central-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %s, %v", target, res.Status, text, err)
	}
}

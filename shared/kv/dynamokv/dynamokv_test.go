package dynamokv_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mototest"
)

const region = "eu-central-1"

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
}

// table makes a table at the endpoint and returns its name.
func table(t testing.TB, endpoint string) string {
	t.Helper()
	client := dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: aws.String(endpoint), Credentials: aws.CredentialsProviderFunc(credentials)})
	name := tableName(t)
	if _, err := client.CreateTable(t.Context(), dynamokv.TableInput(name)); err != nil {
		t.Fatal(err)
	}
	return name
}

func tableName(t testing.TB) string {
	return "test-" + strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())
}

// emulator returns where to find DynamoDB: the implementation that
// DYNAMODB_ENDPOINT names, or moto behind a proxy.
func emulator(t testing.TB) (endpoint string, proxy *dynamotest.Proxy) {
	t.Helper()
	if other := os.Getenv("DYNAMODB_ENDPOINT"); other != "" {
		return other, nil
	}
	proxy = dynamotest.Start(t, mototest.Start(t))
	return proxy.URL, proxy
}

func openAt(t testing.TB, endpoint, table string, now func() time.Time) *dynamokv.Store {
	t.Helper()
	s, err := dynamokv.Open(t.Context(), table, dynamokv.Options{
		Region: region, Endpoint: endpoint, Credentials: aws.CredentialsProviderFunc(credentials), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestContract(t *testing.T) {
	endpoint, proxy := emulator(t)
	h := kvtest.Harness{
		// A table for each test: moto copies the whole of it with every
		// transaction.
		Open: func(t *testing.T, now func() time.Time) kv.Store { return openAt(t, endpoint, table(t, endpoint), now) },
		Reopen: func(t *testing.T, s kv.Store, now func() time.Time) kv.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openAt(t, endpoint, tableName(t), now)
		},
		NoLoseAnswers: "DYNAMODB_ENDPOINT names an implementation without the proxy",
		Work:          300,
	}
	if proxy != nil {
		h.NoLoseAnswers = ""
		h.LoseAnswers = func(_ *testing.T, _ kv.Store, n int) {
			for range n {
				proxy.Inject(dynamotest.LoseAnswer)
			}
		}
	}
	kvtest.Run(t, h)
}

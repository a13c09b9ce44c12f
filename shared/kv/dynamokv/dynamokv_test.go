package dynamokv_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
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

func TestContract(t *testing.T) { testContract(t, dynamotest.Start(t), 1000) }

// TestContractOnMoto: an emulator by other hands, which takes ten times as long. It runs
// before a release.
func TestContractOnMoto(t *testing.T) {
	if enginetest.Full() {
		testContract(t, dynamotest.Before(t, mototest.Start(t)), 100)
	}
}

func testContract(t *testing.T, proxy *dynamotest.Proxy, work int) {
	kvtest.Run(t, kvtest.Harness{
		Open: func(t *testing.T, now func() time.Time) kv.Store {
			return openAt(t, proxy.URL, table(t, proxy.URL), now)
		},
		Reopen: func(t *testing.T, s kv.Store, now func() time.Time) kv.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openAt(t, proxy.URL, tableName(t), now)
		},
		LoseAnswers: func(_ *testing.T, _ kv.Store, n int) {
			for range n {
				proxy.Inject(dynamotest.LoseAnswer)
			}
		},
		Work: work,
	})
}

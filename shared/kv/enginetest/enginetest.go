// Package enginetest runs a suite on every engine of [kv.Store]: on bolt, on a real
// Redis, and on DynamoDB's emulator. It is for packages that use the port and must work
// in the same way on all engines.
//
//	func TestContract(t *testing.T) {
//		enginetest.Run(t, []enginetest.Test{{Name: "Order", Run: testOrder}, ...})
//	}
//
// Package kvtest proves that the engines are equal. So on bolt the whole suite runs. On
// each other engine only the suite's first test that is not Long runs, which shows that
// package and engine work together; put a test first that uses the whole package. After
// ./scripts/test.sh -full ([Full]) every test runs on every engine. With -short only
// bolt is tested.
package enginetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// Test is one test of a suite. Run gets an empty store and the store's clock.
type Test struct {
	Name string
	// Long: thousands of commits; engines other than bolt run it if the run is [Full].
	Long bool
	Run  func(t *testing.T, store kv.Store, clock *kvtest.Clock)
}

// Full reports whether the tests run as before a release: every test on every engine,
// stress tests in their full size. scripts/test.sh -full sets BACKCHANNEL_FULL=1.
func Full() bool { return os.Getenv("BACKCHANNEL_FULL") == "1" }

// Size returns the size of a stress test: quick in every run, where the test ends
// within 20 s, and full before a release.
func Size(quick, full int) int {
	if Full() {
		return full
	}
	return quick
}

// Run runs the tests as subtests engine/name: on bolt all of them, on each other
// engine the first, or all if the run is [Full].
func Run(t *testing.T, tests []Test) {
	for _, engine := range engines {
		of := slices.DeleteFunc(slices.Clone(tests), func(test Test) bool { return test.Long && !engine.whole && !Full() })
		if !engine.whole && !Full() && len(of) > 1 {
			of = of[:1]
		}
		if len(of) == 0 {
			continue
		}
		t.Run(engine.name, func(t *testing.T) {
			open := engine.start(t)
			for _, test := range of {
				t.Run(test.Name, func(t *testing.T) {
					clock := kvtest.NewClock()
					store, err := open(t, clock.Now)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = store.Close() })
					test.Run(t, store, clock)
				})
			}
		})
	}
}

// open opens an empty store.
type open = func(t testing.TB, now func() time.Time) (kv.Store, error)

var engines = []struct {
	name  string
	whole bool // runs every test in every run
	start func(t *testing.T) open
}{
	{"bolt", true, startBolt},
	{"redis", false, startRedis},
	{"dynamodb", false, startDynamoDB},
}

func startBolt(*testing.T) open {
	return func(t testing.TB, now func() time.Time) (kv.Store, error) {
		return boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: now})
	}
}

func startRedis(t *testing.T) open {
	server := redistest.Start(t)
	return func(t testing.TB, now func() time.Time) (kv.Store, error) {
		server.Command("FLUSHALL")
		return rediskv.Open(t.Context(), "redis://"+server.Addr, rediskv.Options{Now: now})
	}
}

func startDynamoDB(t *testing.T) open {
	endpoint := dynamotest.StartEmulator(t).URL
	return func(t testing.TB, now func() time.Time) (kv.Store, error) { return openDynamoDB(t, endpoint, now) }
}

// DynamoDB returns an empty store, with its own table in the emulator at endpoint. The
// store is closed when the test ends.
func DynamoDB(t testing.TB, endpoint string, now func() time.Time) kv.Store {
	t.Helper()
	store, err := openDynamoDB(t, endpoint, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func openDynamoDB(t testing.TB, endpoint string, now func() time.Time) (kv.Store, error) {
	const region = "eu-central-1"
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	client := dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: aws.String(endpoint), Credentials: credentials})
	table := "test-" + rand.Text()
	if _, err := client.CreateTable(t.Context(), dynamokv.TableInput(table)); err != nil {
		return nil, err
	}
	return dynamokv.Open(t.Context(), table, dynamokv.Options{Region: region, Endpoint: endpoint, Credentials: credentials, Now: now})
}

// EachDeath simulates the crash of a process at each of its commits, once just before
// the commit and once just after. life works through mortal until that fails, then
// continues with the store itself, as the next process would; name is different for
// each life, so that all lives share the store. EachDeath ends with the first life that
// has too few commits to crash.
func EachDeath(t *testing.T, store kv.Store, life func(t *testing.T, name string, mortal kv.Store)) {
	t.Helper()
	const most = 100
	for n := 1; n <= most; n++ {
		for _, done := range []bool{false, true} {
			when := "before"
			if done {
				when = "after"
			}
			mortal, died := kvtest.Mortal(store, n, done)
			t.Run(fmt.Sprintf("%s commit %d", when, n), func(t *testing.T) { life(t, fmt.Sprint(when, n), mortal) })
			if !died() {
				if n == 1 {
					t.Error("a life without a commit")
				}
				return
			}
		}
	}
	t.Errorf("a life of more than %d commits", most)
}

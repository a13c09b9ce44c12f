// Package enginetest runs a suite on every engine of [kv.Store]: on bolt, on a
// real Redis, and on DynamoDB's emulator. It is for what stands on the port and
// must work alike on all of them.
//
//	func TestContract(t *testing.T) {
//		enginetest.Run(t, []enginetest.Test{{Name: "Order", Run: testOrder}, ...})
//	}
//
// With -short there is bolt alone.
package enginetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
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
	"github.com/backchannel-im/backchannel/shared/mototest"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// Test is one test of a suite. It gets an empty store, and the clock the store
// goes by.
type Test struct {
	Name string
	// Long: thousands of commits, which DynamoDB's emulator takes minutes for; it
	// is left out.
	Long bool
	Run  func(t *testing.T, store kv.Store, clock *kvtest.Clock)
}

// Run runs the tests on every engine, as subtests engine/name.
func Run(t *testing.T, tests []Test) {
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			open := engine.start(t)
			for _, test := range tests {
				if test.Long && engine.slow {
					continue
				}
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
	slow  bool
	start func(t *testing.T) open
}{
	{"bolt", false, startBolt},
	{"redis", false, startRedis},
	{"dynamodb", true, startDynamoDB},
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

func startDynamoDB(t *testing.T) open { return dynamoDBAt(dynamotest.Start(t, mototest.Start(t)).URL) }

func dynamoDBAt(endpoint string) open {
	const region = "eu-central-1"
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	client := dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: aws.String(endpoint), Credentials: credentials})
	return func(t testing.TB, now func() time.Time) (kv.Store, error) {
		// A table for each test: moto copies the whole of it with every
		// transaction.
		table := "test-" + rand.Text()
		if _, err := client.CreateTable(t.Context(), dynamokv.TableInput(table)); err != nil {
			return nil, err
		}
		return dynamokv.Open(t.Context(), table, dynamokv.Options{Region: region, Endpoint: endpoint, Credentials: credentials, Now: now})
	}
}

// EachDeath lives through the death of a process at each of its commits, once
// just before the commit was done and once just after. life does its work
// through mortal until that fails, then goes on with the store itself, as the
// next process would; name is different for each life, so that they share a
// store. It ends with the first life that has too few commits to die.
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

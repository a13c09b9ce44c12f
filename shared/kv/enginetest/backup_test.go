package enginetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/mototest"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// An evening is what a store holds when its backup is taken: an item, counters, events
// that were folded and others that were not.
const eveningsEvents = 40

func tally(ctx context.Context, s kv.Store, n int, at time.Time) (kv.Outcome, error) {
	return s.Tally(ctx, "room", fmt.Sprintf("m/%d", n/32), kv.Event{ID: fmt.Sprint(n), At: at}, kv.Delta{Counter: "messages", By: 1})
}

func fillEvening(t *testing.T, s kv.Store, at time.Time) (rev string) {
	t.Helper()
	for n := range eveningsEvents {
		if outcome, err := tally(t.Context(), s, n, at); err != nil || outcome != kv.Counted {
			t.Fatal(outcome, err)
		}
	}
	_, err := kv.Fold(t.Context(), s, "room", kv.FoldOptions{
		Closed: func(g kv.Segment) bool { return g.Name == "m/0" }, Into: func(string) string { return "totals" },
	})
	if err != nil {
		t.Fatal(err)
	}
	rev = kv.NewOp("test")
	err = s.Commit(t.Context(), "wallet/alice", rev,
		kv.Put{Key: "account", Value: []byte(`{"balance":700}`), If: kv.Absent()}, kv.Add{Key: "moves", Deltas: []kv.Delta{{Counter: "n", By: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// checkEvening: the figures are those of the backup, what came later is not there, an
// event that was counted is a duplicate still, and the store goes on.
func checkEvening(t *testing.T, s kv.Store, at time.Time, rev string) {
	t.Helper()
	totals, err := kv.Totals(t.Context(), s, "room")
	if err != nil || totals["messages"] != eveningsEvents {
		t.Errorf("totals %v, %v", totals, err)
	}
	if i, err := s.Get(t.Context(), "wallet/alice", "account"); err != nil || string(i.Value) != `{"balance":700}` || i.Rev != rev {
		t.Errorf("account %+v, %v", i, err)
	}
	if i, err := s.Get(t.Context(), "wallet/alice", "moves"); err != nil || i.Counters["n"] != 2 {
		t.Errorf("moves %+v, %v", i, err)
	}
	if _, err := s.Get(t.Context(), "wallet/alice", "later"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("what came after the backup: %v", err)
	}
	for n, want := range map[int]kv.Outcome{0: kv.Duplicate, eveningsEvents - 1: kv.Duplicate, eveningsEvents: kv.Counted} {
		if outcome, err := tally(t.Context(), s, n, at); err != nil || outcome != want {
			t.Errorf("event %d is %v, %v", n, outcome, err)
		}
	}
	put := kv.Put{Key: "account", Value: []byte(`{"balance":705}`), If: kv.Rev(rev)}
	if err := s.Commit(t.Context(), "wallet/alice", kv.NewOp("test"), put); err != nil {
		t.Error(err)
	}
}

func writeLater(t *testing.T, s kv.Store) {
	t.Helper()
	if err := s.Commit(t.Context(), "wallet/alice", kv.NewOp("test"), kv.Put{Key: "later", If: kv.Absent()}); err != nil {
		t.Fatal(err)
	}
}

// TestBackupOfFile: the file of a process that was stopped, copied.
func TestBackupOfFile(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *boltkv.Store {
		t.Helper()
		s, err := boltkv.Open(filepath.Join(dir, name), boltkv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	at := time.Now()
	s := open("state.db")
	rev := fillEvening(t, s, at)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "state.db"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "copy.db"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	writeLater(t, open("state.db"))
	checkEvening(t, open("copy.db"), at, rev)
}

// TestBackupOfRedis: a snapshot that redis-cli --rdb takes of a running server, and a
// copy of the append-only files of one that was killed, each read by another server.
func TestBackupOfRedis(t *testing.T) {
	open := func(s *redistest.Server) kv.Store {
		t.Helper()
		store, err := rediskv.Open(t.Context(), "redis://"+s.Addr, rediskv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	for name, backup := range map[string]func(t *testing.T, from *redistest.Server, dir string, later func()) *redistest.Server{
		"RDB": func(t *testing.T, from *redistest.Server, dir string, later func()) *redistest.Server {
			from.Command("--rdb", filepath.Join(dir, "dump.rdb"))
			later()
			return redistest.Start(t, redistest.Config("dir", dir), redistest.Config("appendonly", "no"))
		},
		"AOF": func(t *testing.T, from *redistest.Server, dir string, later func()) *redistest.Server {
			old := from.Command("CONFIG", "GET", "dir")
			old = old[len("dir\n"):]
			if err := os.CopyFS(dir, os.DirFS(old)); err != nil {
				t.Fatal(err)
			}
			later()
			return redistest.Start(t, redistest.Config("dir", dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			from, at := redistest.Start(t), time.Now()
			s := open(from)
			rev := fillEvening(t, s, at)
			to := backup(t, from, t.TempDir(), func() { writeLater(t, s) })
			checkEvening(t, open(to), at, rev)
		})
	}
}

// TestBackupOfTable: a backup of DynamoDB's table on demand, restored into another.
// The emulator's point-in-time recovery restores into another table, too, and knows no
// other time than now.
func TestBackupOfTable(t *testing.T) {
	const region = "eu-central-1"
	endpoint := dynamotest.Before(t, mototest.Start(t)).URL
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	client := dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: aws.String(endpoint), Credentials: credentials})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func(table string) kv.Store {
		t.Helper()
		s, err := dynamokv.Open(t.Context(), table, dynamokv.Options{Region: region, Endpoint: endpoint, Credentials: credentials})
		must(err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	const table = "state"
	_, err := client.CreateTable(t.Context(), dynamokv.TableInput(table))
	must(err)
	_, err = client.UpdateContinuousBackups(t.Context(), &dynamodb.UpdateContinuousBackupsInput{
		TableName: aws.String(table), PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
	})
	must(err)
	at := time.Now()
	s := open(table)
	rev := fillEvening(t, s, at)
	backup, err := client.CreateBackup(t.Context(), &dynamodb.CreateBackupInput{TableName: aws.String(table), BackupName: aws.String("evening")})
	must(err)
	_, err = client.RestoreTableToPointInTime(t.Context(), &dynamodb.RestoreTableToPointInTimeInput{
		SourceTableName: aws.String(table), TargetTableName: aws.String("in-time"), UseLatestRestorableTime: aws.Bool(true),
	})
	must(err)
	writeLater(t, s)
	_, err = client.RestoreTableFromBackup(t.Context(), &dynamodb.RestoreTableFromBackupInput{
		BackupArn: backup.BackupDetails.BackupArn, TargetTableName: aws.String("on-demand"),
	})
	must(err)
	for _, restored := range []string{"on-demand", "in-time"} {
		t.Run(restored, func(t *testing.T) { checkEvening(t, open(restored), at, rev) })
	}
}

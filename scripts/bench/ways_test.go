package bench

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	bolt "go.etcd.io/bbolt"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// counters are those that every event adds one to.
var counters = []string{"messages", "bytes", "user/1", "user/2", "level"}

// way counts events: each once, however often it comes, in all counters at
// once, and on disk before count returns.
type way struct {
	name   string
	count  func(ctx context.Context, event int64) error
	totals func(ctx context.Context) (map[string]int64, error)
}

// ways opens all of them, each with files or a server of its own. callers is
// how many will count at a time, which the peers are tuned for.
func ways(t testing.TB, callers int) (ours, peers []way) {
	t.Helper()
	ours = []way{boltkvWay(t), rediskvWay(t)}
	peers = []way{bboltUpdate(t), bboltBatch(t, callers), bboltFullBatch(t, callers), sqliteFull(t), redisScript(t)}
	return ours, peers
}

func boltkvWay(t testing.TB) way {
	s, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{})
	return tallying(t, "boltkv", s, err)
}

func rediskvWay(t testing.TB) way {
	s, err := rediskv.Open(t.Context(), "redis://"+redistest.Start(t).Addr, rediskv.Options{})
	return tallying(t, "rediskv", s, err)
}

// tallying counts with an engine's Tally, 32 events to a segment as rooms do.
func tallying(t testing.TB, name string, s kv.Store, err error) way {
	t.Helper()
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	deltas := make([]kv.Delta, len(counters))
	for i, c := range counters {
		deltas[i] = kv.Delta{Counter: c, By: 1}
	}
	at := time.Now()
	return way{
		name: name,
		count: func(ctx context.Context, event int64) error {
			e := kv.Event{ID: strconv.FormatInt(event, 10), At: at}
			_, err := s.Tally(ctx, "room/1", fmt.Sprintf("%08x", event>>5), e, deltas...)
			return err
		},
		totals: func(ctx context.Context) (map[string]int64, error) { return kv.Totals(ctx, s, "room/1") },
	}
}

func bboltUpdate(t testing.TB) way {
	db := openBolt(t)
	return boltWay("bbolt-update", db, db.Update)
}

// bboltBatch groups whoever comes within the delay that did best here of
// several: what a program can do that does not know how many will call.
func bboltBatch(t testing.TB, callers int) way {
	t.Helper()
	const trial = 320
	var best time.Duration
	fastest := time.Duration(-1)
	for _, delay := range []time.Duration{200 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
		db := openBolt(t)
		db.MaxBatchDelay = delay
		took := spend(t, boltWay("trial", db, db.Batch), callers, 0, trial)
		if fastest < 0 || took < fastest {
			best, fastest = delay, took
		}
	}
	db := openBolt(t)
	db.MaxBatchDelay = best
	return boltWay("bbolt-batch", db, db.Batch)
}

// bboltFullBatch never waits for the delay, as it is told how many call at a
// time.
func bboltFullBatch(t testing.TB, callers int) way {
	db := openBolt(t)
	db.MaxBatchSize = callers
	return boltWay("bbolt-full-batch", db, db.Batch)
}

func openBolt(t testing.TB) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "raw"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	check(t, db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucket([]byte("seen")); err != nil {
			return err
		}
		_, err := tx.CreateBucket([]byte("totals"))
		return err
	}))
	return db
}

// boltWay keeps a key for every event and one for every counter.
func boltWay(name string, db *bolt.DB, write func(func(*bolt.Tx) error) error) way {
	return way{
		name: name,
		count: func(_ context.Context, event int64) error {
			id := fmt.Appendf(nil, "room/1/%d", event)
			return write(func(tx *bolt.Tx) error {
				seen, totals := tx.Bucket([]byte("seen")), tx.Bucket([]byte("totals"))
				if seen.Get(id) != nil {
					return nil
				}
				for _, c := range counters {
					var was uint64
					if v := totals.Get([]byte(c)); v != nil {
						was = binary.BigEndian.Uint64(v)
					}
					if err := totals.Put([]byte(c), binary.BigEndian.AppendUint64(nil, was+1)); err != nil {
						return err
					}
				}
				return seen.Put(id, []byte{1})
			})
		},
		totals: func(context.Context) (map[string]int64, error) {
			sums := map[string]int64{}
			err := db.View(func(tx *bolt.Tx) error {
				return tx.Bucket([]byte("totals")).ForEach(func(c, n []byte) error {
					sums[string(c)] = int64(binary.BigEndian.Uint64(n))
					return nil
				})
			})
			return sums, err
		},
	}
}

// sqliteFull makes one transaction of two statements for each event, on one
// connection: SQLite has one writer, and waiting for it here is cheaper than
// its busy handler.
func sqliteFull(t testing.TB) way {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "raw")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	db.SetMaxOpenConns(1)
	var mode, synchronous string
	check(t, db.QueryRow("PRAGMA journal_mode").Scan(&mode))
	check(t, db.QueryRow("PRAGMA synchronous").Scan(&synchronous))
	if mode != "wal" || synchronous != "2" {
		t.Fatalf("SQLite runs with journal_mode %s, synchronous %s; want wal, 2 (FULL)", mode, synchronous)
	}
	_, err = db.Exec(`
		CREATE TABLE seen (room TEXT, event INTEGER, PRIMARY KEY (room, event)) WITHOUT ROWID;
		CREATE TABLE totals (room TEXT, counter TEXT, n INTEGER, PRIMARY KEY (room, counter)) WITHOUT ROWID`)
	check(t, err)
	see, err := db.Prepare("INSERT OR IGNORE INTO seen VALUES ('1', ?)")
	check(t, err)
	rows, names := make([]string, len(counters)), make([]any, len(counters))
	for i, c := range counters {
		rows[i], names[i] = "('1', ?, 1)", c
	}
	add, err := db.Prepare("INSERT INTO totals VALUES " + strings.Join(rows, ", ") + " ON CONFLICT DO UPDATE SET n = n + excluded.n")
	check(t, err)
	return way{
		name: "sqlite-full",
		count: func(ctx context.Context, event int64) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
			result, err := tx.StmtContext(ctx, see).ExecContext(ctx, event)
			if err != nil {
				return err
			}
			fresh, err := result.RowsAffected()
			if err != nil || fresh == 0 {
				return err
			}
			if _, err := tx.StmtContext(ctx, add).ExecContext(ctx, names...); err != nil {
				return err
			}
			return tx.Commit()
		},
		totals: func(ctx context.Context) (map[string]int64, error) {
			rows, err := db.QueryContext(ctx, "SELECT counter, n FROM totals WHERE room = '1'")
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			sums := map[string]int64{}
			for rows.Next() {
				var counter string
				var n int64
				if err := rows.Scan(&counter, &n); err != nil {
					return nil, err
				}
				sums[counter] = n
			}
			return sums, rows.Err()
		},
	}
}

// redisScript is the least script that does it: sets of what was seen, and a
// hash of counters.
func redisScript(t testing.TB) way {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: redistest.Start(t).Addr})
	t.Cleanup(func() { check(t, client.Close()) })
	script := redis.NewScript(`
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then
  for i = 2, #ARGV do redis.call('HINCRBY', KEYS[2], ARGV[i], 1) end
end
return 0`)
	return way{
		name: "redis-script",
		count: func(ctx context.Context, event int64) error {
			args := []any{event}
			for _, c := range counters {
				args = append(args, c)
			}
			keys := []string{fmt.Sprintf("{room/1}seen/%x", event>>5), "{room/1}totals"}
			return script.Run(ctx, client, keys, args...).Err()
		},
		totals: func(ctx context.Context) (map[string]int64, error) {
			all, err := client.HGetAll(ctx, "{room/1}totals").Result()
			sums := map[string]int64{}
			for c, n := range all {
				if sums[c], err = strconv.ParseInt(n, 10, 64); err != nil {
					return nil, err
				}
			}
			return sums, err
		},
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

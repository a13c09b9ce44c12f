// Package rediskv keeps state in Redis, version 6 or 7, alone or as a cluster.
//
//	redis://[user:password@]host:port[/db]   without TLS
//	rediss://...                             with TLS, at least 1.2
//	?ca=FILE                                 trust these CA certificates (PEM) instead of the system's
//	?cluster=1                               the address is a node of a cluster
//	?cluster=1&addr=host:port&addr=...       and so are these, in case that one is down
//
// [Open] checks the server: it must be a primary, it must not evict (maxmemory-policy
// noeviction) and its clock must be within an hour of ours, or items would expire too
// early. The server's settings determine how many writes a failure may lose: only with
// "appendonly yes" and "appendfsync always" is an acknowledged write on disk, and a
// failover to a replica may lose the latest ones whatever the settings.
//
// An ACL user needs the commands of [Commands] and the keys "bc:*".
//
// # Storage
//
// All keys of a partition have the partition's name as their hash tag, so they live on
// one node of a cluster. Every write is one script, which declares all its keys: the
// script first reads and evaluates the conditions, and then makes all changes. An item
// is a hash, and so is a segment; two sorted sets per partition list its items in order
// of their keys and of their expiry, a third its open segments.
//
// An expired item is hidden at the second of its expiry. Later commits in the partition
// remove its entry in the index, an hour later, each removing more entries than it can
// add; Redis's own expiry deletes its hash an hour after that, so that clocks which
// differ by less lose nothing. The index of a partition where everything expires has
// such an expiry, too, so that no key of an abandoned partition remains.
package rediskv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Engine opens "redis://..." and TLSEngine "rediss://...".
var (
	Engine    = kv.Engine{Scheme: "redis", Open: open}
	TLSEngine = kv.Engine{Scheme: "rediss", Open: open}
)

// Commands are the commands that an ACL user needs, in the syntax of ACL SETUSER; on a
// cluster the user also needs "+cluster|slots".
const Commands = "+eval +evalsha +hgetall +hmget +hkeys +hset +hdel +hincrby +zadd +zrem +zcard " +
	"+zrangebylex +zrevrangebylex +zrangebyscore +zrevrange +del +expireat +persist +info +select"

// Options adjusts a Store; use the zero value outside tests.
type Options struct {
	// Now is the clock that decides expiry and the horizon; nil is time.Now.
	// Redis's own clock may differ from it by less than an hour.
	Now func() time.Time
}

// Store is a [kv.Store] in Redis. A Store retries passing failures until the caller's
// deadline, or for five seconds without a deadline. A cancellation that is no deadline
// ends a call before its next try: after three seconds at most, should the server not
// answer.
type Store struct {
	target target
	now    func() time.Time

	mu     sync.Mutex // guards what follows
	client redis.UniversalClient
	closed bool
}

var _ kv.Store = (*Store)(nil)

// What go-redis would print to stderr is in the errors it returns.
func init() { logging.Disable() }

func open(ctx context.Context, url string) (kv.Store, error) {
	s, err := Open(ctx, url, Options{})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Open connects to the server and checks its settings. The error says which setting to
// change, and never contains the URL.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	t, err := parse(url)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{target: t, client: t.client(), now: o.Now}
	if err := s.inspect(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the connections. Calls after it fail with [kv.ErrUnavailable], and a
// second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("rediskv: %w", err)
	}
	return nil
}

// current returns the client that is in use.
func (s *Store) current() redis.UniversalClient {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// reconnect lets go of all connections of a client that led to a replica: after a
// failover the server's address leads to another node. It reports whether a retry
// finds another client.
func (s *Store) reconnect(old redis.UniversalClient) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.client == old {
		s.client = s.target.client()
		_ = old.Close() // what is under way on it is retried
	}
	return !s.closed
}

// MayLose implements [kv.Lossy]: a replica that takes over may lack the last
// acknowledged writes.
func (s *Store) MayLose() bool { return true }

// inspect refuses a server that would lose state by design.
func (s *Store) inspect(ctx context.Context) error {
	var info string
	err := s.persist(ctx, func(client redis.UniversalClient) (err error) {
		info, err = client.Info(ctx).Result()
		return err
	})
	if err != nil {
		return err
	}
	facts := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			facts[name] = value
		}
	}
	if major, _, _ := strings.Cut(facts["redis_version"], "."); slices.Contains([]string{"1", "2", "3", "4", "5"}, major) {
		return fmt.Errorf("rediskv: the server is Redis %s: use version 6 or later", major)
	}
	if role := facts["role"]; role == "slave" {
		return errors.New("rediskv: the server is a replica: use the address of the primary")
	}
	if policy := facts["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		return fmt.Errorf("rediskv: the server evicts keys when its memory is full (maxmemory-policy %s): set it to noeviction", policy)
	}
	if usec, err := strconv.ParseInt(facts["server_time_usec"], 10, 64); err == nil { // Redis 6.2 and later
		if apart := s.now().Sub(time.UnixMicro(usec)).Abs(); apart > slack/2 {
			return fmt.Errorf("rediskv: the server's clock is %v apart from ours: set both by NTP", apart.Round(time.Minute))
		}
	}
	return nil
}

// keys builds the names of a partition's keys.
type keys struct{ prefix string }

// escape keeps the end of the hash tag where it belongs. Redis takes as the tag
// what lies between the first opening brace and the first closing one after it.
var escape = strings.NewReplacer("%", "%25", "}", "%7D")

func keysOf(partition string) keys {
	return keys{"bc:{" + escape.Replace(partition) + "}"}
}

func (k keys) index() string              { return k.prefix + "index" }
func (k keys) expiries() string           { return k.prefix + "expiries" }
func (k keys) open() string               { return k.prefix + "open" }
func (k keys) item(key string) string     { return k.prefix + "i:" + key }
func (k keys) segment(name string) string { return k.prefix + "s:" + name }

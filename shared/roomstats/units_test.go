package roomstats

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// metered is a room in a store whose work is counted: on DynamoDB's emulator the write
// units, on any store the requests.
type metered struct {
	testing.TB
	proxy    *dynamotest.Proxy // nil on other stores
	clock    *kvtest.Clock
	stats    *Stats
	seq      uint32
	requests atomic.Int64 // to the store
}

// newMeteredOn counts in a store that open opens.
func newMeteredOn(t testing.TB, open func(now func() time.Time) (kv.Store, error)) *metered {
	t.Helper()
	m := &metered{TB: t, clock: kvtest.NewClock()}
	store, err := open(m.clock.Now)
	m.must(err)
	t.Cleanup(func() { _ = store.Close() })
	m.stats = New(Config{Now: m.clock.Now, Store: kvtest.Hook(store, func(_ string, call func() error) error {
		m.requests.Add(1)
		return call()
	})})
	return m
}

func newMeteredOnBolt(t testing.TB) *metered {
	t.Helper()
	return newMeteredOn(t, func(now func() time.Time) (kv.Store, error) {
		return boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: now})
	})
}

func newMetered(t testing.TB) *metered {
	t.Helper()
	m := &metered{TB: t, proxy: dynamotest.Start(t), clock: kvtest.NewClock()}
	m.stats = New(Config{Store: enginetest.DynamoDB(t, m.proxy.URL, m.clock.Now), Now: m.clock.Now})
	return m
}

func (m *metered) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// spent returns what each of n events costs: counting it, and folding it a minute
// later, boards included.
func (m *metered) spent(n int) (counted, folded, read float64) {
	m.Helper()
	count := m.proxy.Units()
	m.clock.Advance(time.Minute)
	m.must(m.stats.Fold(m.Context()))
	fold := m.proxy.Units()
	each := float64(n)
	return count.Write / each, fold.Write / each, (count.Read + fold.Read) / each
}

func (m *metered) now() callback.Millis { return callback.Millis(m.clock.Now().UnixMilli()) }

func (m *metered) messages(n, users int) {
	for range n {
		m.seq++
		e := &callback.GroupAfterSendMsg{
			GroupID: "live", Type: "AVChatRoom", From: fmt.Sprintf("user%05d", int(m.seq*2654435761)%users), MsgSeq: m.seq, Random: m.seq,
			MsgTime: callback.Seconds(m.clock.Now().Unix()), MsgBody: im.Text("hello"),
		}
		m.must(m.stats.count(m.Context(), e))
	}
}

func (m *metered) likes(n, users int) {
	for i := range n {
		m.seq++
		e := &callback.GroupBeforeSendMsg{
			GroupID: "live", Type: "AVChatRoom", From: fmt.Sprintf("user%05d", i%users), Random: m.seq, EventTime: m.now(),
			MsgBody: im.Custom(`{"businessID":"flutter_live_kit","data":{"cmd":"thumbs_up","cmdInfo":{"count":10}}}`, "", ""),
		}
		m.must(m.stats.allowed(m.Context(), e))
	}
}

func (m *metered) gifts(n, users int) {
	for i := range n {
		m.seq++
		m.must(m.stats.Gift(m.Context(), Gift{
			RoomID: "live", OrderID: fmt.Sprint("order", m.seq), UserID: fmt.Sprintf("user%05d", i%users), Pieces: 3, Charge: 30, At: m.clock.Now(),
		}))
	}
}

// joiner is the n-th user who joins.
func joiner(n int) string { return fmt.Sprintf("user%05d", n) }

// joins has n users join within a second, from the first one on.
func (m *metered) joins(first, n int) {
	for i := range n {
		e := &callback.GroupAfterNewMemberJoin{
			GroupID: "live", Type: "AVChatRoom", JoinType: "Apply", NewMembers: []callback.Member{{UserID: joiner(first + i)}}, EventTime: m.now(),
		}
		e.Query.OptPlatform = "Android"
		m.must(m.stats.joined(m.Context(), e))
	}
	m.clock.Advance(time.Second)
}

func (m *metered) exits(n int) {
	for i := range n {
		e := &callback.GroupAfterMemberExit{
			GroupID: "live", Type: "AVChatRoom", ExitType: "Quit", ExitMembers: []callback.Member{{UserID: joiner(i)}}, EventTime: m.now(),
		}
		e.Query.OptPlatform = "Android"
		m.must(m.stats.left(m.Context(), e))
	}
}

// TestAMessageCostsTwoUnits at most, folding and boards included, in a room where
// a hundred users write hundreds of messages within a minute.
func TestAMessageCostsTwoUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("moto is not part of -short")
	}
	m := newMetered(t)
	m.messages(1, 1)
	m.spent(1) // the room is known
	messages := enginetest.Size(192, 640)
	m.messages(messages, 100)
	counted, folded, _ := m.spent(messages)
	t.Logf("write units a message: %.2f counted, %.2f folded", counted, folded)
	if counted+folded > 2 {
		t.Errorf("%.2f write units a message, want at most 2", counted+folded)
	}
	if counted < 1 || folded == 0 {
		t.Errorf("%.2f and %.2f units: the proxy does not count", counted, folded)
	}
}

// divided is a store of which some partitions are elsewhere.
type divided struct {
	kv.Store
	elsewhere kv.Store
	is        func(partition string) bool
}

func (d divided) of(partition string) kv.Store {
	if d.is(partition) {
		return d.elsewhere
	}
	return d.Store
}

func (d divided) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	return d.of(partition).Get(ctx, partition, key)
}

func (d divided) List(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	return d.of(partition).List(ctx, partition, r)
}

func (d divided) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	return d.of(partition).Commit(ctx, partition, op, writes...)
}

func (d divided) Tally(ctx context.Context, partition, segment string, e kv.Event, deltas ...kv.Delta) (kv.Outcome, error) {
	return d.of(partition).Tally(ctx, partition, segment, e, deltas...)
}

func (d divided) Open(ctx context.Context, partition, after string, limit int) ([]kv.Segment, error) {
	return d.of(partition).Open(ctx, partition, after, limit)
}

// TestTenThousandJoins: ten thousand users join one room within ten seconds, a
// thousand in each, and no partition key is written more than it takes, 1,000 write
// units a second. The busiest shard of the room, and what all shards share, are on
// DynamoDB's emulator, where units are counted. The other seven shards, whose keys
// take the writes of fewer users each, and the partitions that users have of their
// own are in a file. Outside of full runs it is the first second of the ten.
func TestTenThousandJoins(t *testing.T) {
	if testing.Short() {
		t.Skip("moto is not part of -short")
	}
	const each = 1000 // in a second
	seconds := enginetest.Size(1, 10)
	var users [shards]int
	for n := range seconds * each {
		users[shardOf(joiner(n))]++
	}
	busiest := 0
	for n, count := range users {
		if count > users[busiest] {
			busiest = n
		}
	}
	m, others := newMetered(t), newMeteredOnBolt(t)
	m.messages(1, 1) // the room is known
	generation, err := m.stats.current(t.Context(), "live")
	m.must(err)
	m.stats.store = divided{m.stats.store, others.stats.store, func(partition string) bool {
		for n := range shards {
			if n != busiest && partition == generation.shard(n) {
				return true
			}
		}
		return strings.HasPrefix(partition, "presence/") || strings.HasPrefix(partition, "userdata/")
	}}
	m.proxy.Units()
	var most, sum float64
	var key string
	for second := range seconds {
		m.joins(second*each, each)
		u := m.proxy.Units()
		for k, units := range u.ByKey {
			if strings.Contains(k, generation.shard(busiest)) {
				sum += units
			}
			if units > most {
				most, key = units, k
			}
		}
	}
	t.Logf("%d joins, %d of them in the busiest shard: %.2f units each, at most %.0f a second for one key (%s)",
		seconds*each, users[busiest], sum/float64(users[busiest]), most, key)
	if most > 700 || sum == 0 {
		t.Errorf("%.0f units a second for the key %s", most, key)
	}
	got, err := m.stats.Totals(t.Context(), "live")
	m.must(err)
	if got.Online != int64(seconds*each) {
		t.Errorf("%d online", got.Online)
	}
}

// TestUnitsOnRedis measures what events cost on Redis, with folding and boards: how
// many requests, each one command or script, and how many bytes both ways.
func TestUnitsOnRedis(t *testing.T) {
	server := redistest.Start(t)
	for _, c := range []struct {
		name            string
		n               int
		before, do      func(m *metered, n int)
		requests, bytes float64 // an event, at most
	}{
		{"a message, 100 users write", 640, nil, func(m *metered, n int) { m.messages(n, 100) }, 1.9, 700},
		{"a batch of likes, five of each user", 250, nil, func(m *metered, n int) { m.likes(n, n/5) }, 2.2, 800},
		{"a gift", 200, nil, func(m *metered, n int) { m.gifts(n, 50) }, 6, 2000},
		{"a join", 400, nil, func(m *metered, n int) { m.joins(0, n) }, 10, 2500},
		{"a leave", 200, func(m *metered, n int) { m.joins(0, n) }, (*metered).exits, 9, 2500},
	} {
		server.Command("FLUSHALL")
		m := newMeteredOn(t, func(now func() time.Time) (kv.Store, error) {
			return rediskv.Open(t.Context(), "redis://"+server.Addr, rediskv.Options{Now: now})
		})
		m.messages(1, 1)
		m.settle() // the room is known, scripts are loaded
		if c.before != nil {
			c.before(m, c.n)
			m.settle()
		}
		settled := m.requests.Load()
		before := server.Load()
		c.do(m, c.n)
		m.settle()
		load := server.Load().Less(before)
		each := float64(c.n)
		requests, bytes := float64(m.requests.Load()-settled), float64(load.In+load.Out)/each
		m.settle() // a minute in which nothing happens is none of it
		idle := m.requests.Load()
		m.settle()
		requests = (requests - float64(m.requests.Load()-idle)) / each
		t.Logf("%s: %.2f requests, %.0f bytes, %.0f us of the server's processor", c.name, requests, bytes, float64(load.CPU.Microseconds())/each)
		if requests > c.requests || requests < 1 || bytes > c.bytes || bytes < 100 {
			t.Errorf("%s: %.2f requests, %.0f bytes; want at most %.1f and %.0f", c.name, requests, bytes, c.requests, c.bytes)
		}
	}
}

// TestCostGrowsWithRooms: n rooms in which the same happens cost n times what one
// costs, beside what an idle minute costs with any number.
func TestCostGrowsWithRooms(t *testing.T) {
	minute := func(rooms int) (requests, idle float64) {
		m := newMeteredOnBolt(t)
		m.settle()
		fixed := float64(m.requests.Load())
		for n := range rooms {
			id := fmt.Sprint("live", n)
			for i := range 20 {
				m.seq++
				m.must(m.stats.count(t.Context(), &callback.GroupAfterSendMsg{
					GroupID: id, Type: "AVChatRoom", From: fmt.Sprint("user", i%5), MsgSeq: uint32(i + 1), Random: m.seq,
					MsgTime: callback.Seconds(m.clock.Now().Unix()), MsgBody: im.Text("hello"),
				}))
			}
			m.must(m.stats.Gift(t.Context(), Gift{RoomID: id, OrderID: id, UserID: "user1", Pieces: 3, Charge: 30, At: m.clock.Now()}))
		}
		m.settle()
		return float64(m.requests.Load()) - 2*fixed, fixed
	}
	one, idle := minute(1)
	for _, rooms := range []int{10, 100, enginetest.Size(200, 1000)} {
		all, _ := minute(rooms)
		t.Logf("%d rooms: %.1f requests a room and minute, 1 room: %.0f; an idle minute: %.0f", rooms, all/float64(rooms), one, idle)
		if all > 1.05*one*float64(rooms) {
			t.Errorf("%d rooms cost %.0f requests, one costs %.0f", rooms, all, one)
		}
	}
}

// settle folds what was counted, a minute later.
func (m *metered) settle() {
	m.Helper()
	m.clock.Advance(time.Minute)
	m.must(m.stats.Fold(m.Context()))
}

// BenchmarkUnits prints what events cost on DynamoDB in a busy room.
//
//	go test -run '^$' -bench Units -benchtime 1x ./shared/roomstats
func BenchmarkUnits(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int
		do   func(m *metered, n int)
	}{
		{"message/100 users", 480, func(m *metered, n int) { m.messages(n, 100) }},
		{"message/100 users, known", 480, func(m *metered, n int) { m.messages(n, 100); m.spent(n); m.messages(n, 100) }},
		{"message/1000 users", 960, func(m *metered, n int) { m.messages(n, 1000) }},
		{"message/all by others", 480, func(m *metered, n int) { m.messages(n, 1_000_000) }},
		{"like batch/5 a user", 250, func(m *metered, n int) { m.likes(n, n/5) }},
		{"like batch/1 a user", 200, func(m *metered, n int) { m.likes(n, n) }},
		{"gift/50 users", 200, func(m *metered, n int) { m.gifts(n, 50) }},
		{"join", 200, func(m *metered, n int) { m.joins(0, n) }},
		{"leave", 150, func(m *metered, n int) { m.joins(0, n); m.spent(n); m.exits(n) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var counted, folded, read float64
			for b.Loop() {
				m := newMetered(b)
				m.messages(1, 1)
				m.spent(1)
				c.do(m, c.n)
				x, y, z := m.spent(c.n)
				counted, folded, read = counted+x, folded+y, read+z
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(counted/float64(b.N), "counting/event")
			b.ReportMetric(folded/float64(b.N), "folding/event")
			b.ReportMetric((counted+folded)/float64(b.N), "units/event")
			b.ReportMetric(read/float64(b.N), "reads/event")
		})
	}
}

package roomstats

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mototest"
)

// metered is a room on DynamoDB's emulator whose write units are counted.
type metered struct {
	testing.TB
	proxy *dynamotest.Proxy
	clock *kvtest.Clock
	stats *Stats
	seq   uint32
}

func newMetered(t testing.TB) *metered {
	t.Helper()
	m := &metered{TB: t, proxy: dynamotest.Start(t, mototest.Start(t)), clock: kvtest.NewClock()}
	table := fmt.Sprint("rooms", time.Now().UnixNano())
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	client := dynamodb.New(dynamodb.Options{Region: "eu-central-1", BaseEndpoint: &m.proxy.URL, Credentials: credentials})
	if _, err := client.CreateTable(t.Context(), dynamokv.TableInput(table)); err != nil {
		t.Fatal(err)
	}
	store, err := dynamokv.Open(t.Context(), table, dynamokv.Options{Region: "eu-central-1", Endpoint: m.proxy.URL, Credentials: credentials, Now: m.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	m.stats = New(Config{Store: store, Now: m.clock.Now})
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

func (m *metered) joins(n int) {
	for i := range n {
		e := &callback.GroupAfterNewMemberJoin{
			GroupID: "live", Type: "AVChatRoom", JoinType: "Apply", NewMembers: []callback.Member{{UserID: fmt.Sprintf("user%05d", i)}}, EventTime: m.now(),
		}
		e.Query.OptPlatform = "Android"
		m.must(m.stats.joined(m.Context(), e))
	}
}

func (m *metered) exits(n int) {
	for i := range n {
		e := &callback.GroupAfterMemberExit{
			GroupID: "live", Type: "AVChatRoom", ExitType: "Quit", ExitMembers: []callback.Member{{UserID: fmt.Sprintf("user%05d", i)}}, EventTime: m.now(),
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

// TestTenThousandJoins in ten seconds stay below what one partition key takes,
// 1,000 write units a second: of the joins of a moment the busiest key's share
// is measured, and a second has a thousand. Within one window of 15 s the ten
// thousand fill 16 rows of 64 events in each of 8 shards, and 18 % go on to a
// second segment, at one unit more.
func TestTenThousandJoins(t *testing.T) {
	if testing.Short() {
		t.Skip("moto is not part of -short")
	}
	m := newMetered(t)
	m.joins(1)
	m.proxy.Units()
	joins := enginetest.Size(160, 400)
	m.joins(joins)
	u := m.proxy.Units()
	var busiest float64
	for _, units := range u.ByKey {
		busiest = max(busiest, units)
	}
	second := busiest / float64(joins) * 1000
	t.Logf("%.2f units a join; the busiest of %d keys takes %.0f units a second at 1,000 joins", u.Write/float64(joins), len(u.ByKey), second)
	if second > 700 || busiest == 0 {
		t.Errorf("%.0f units a second for one key", second)
	}
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
		{"message/1000 users", 960, func(m *metered, n int) { m.messages(n, 1000) }},
		{"message/all by others", 480, func(m *metered, n int) { m.messages(n, 1_000_000) }},
		{"like batch/5 a user", 250, func(m *metered, n int) { m.likes(n, n/5) }},
		{"like batch/1 a user", 200, func(m *metered, n int) { m.likes(n, n) }},
		{"gift/50 users", 200, func(m *metered, n int) { m.gifts(n, 50) }},
		{"join", 200, func(m *metered, n int) { m.joins(n) }},
		{"leave", 150, func(m *metered, n int) { m.joins(n); m.spent(n); m.exits(n) }},
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

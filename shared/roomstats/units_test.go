package roomstats_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mototest"
	"github.com/backchannel-im/backchannel/shared/roomstats"
)

// metered is a room on DynamoDB's emulator whose write units are counted.
type metered struct {
	testing.TB
	proxy *dynamotest.Proxy
	clock *kvtest.Clock
	stats *roomstats.Stats
	seq   uint32

	endpoint *callback.Endpoint
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
	m.stats = roomstats.New(roomstats.Config{Store: store, Now: m.clock.Now})
	mux := callback.NewMux()
	m.stats.Register(mux)
	if m.endpoint, err = callback.NewEndpoint(callback.Config{SDKAppID: 1400000001, Token: "token", Mux: mux, Now: m.clock.Now}); err != nil {
		t.Fatal(err)
	}
	return m
}

// hear brings a callback to the rules.
func (m *metered) hear(e callback.Event) {
	m.Helper()
	body, err := callback.Encode(e)
	if err != nil {
		m.Fatal(err)
	}
	r, err := callback.Signer{SDKAppID: 1400000001, Token: "token", OptPlatform: "Android", Now: m.clock.Now}.Request(m.Context(), "http://rules.invalid/im", "", body)
	if err != nil {
		m.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.endpoint.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		m.Fatalf("%d %s", w.Code, w.Body)
	}
}

// spent returns what n events of a kind cost: counting them, and folding them a
// minute later, boards included.
func (m *metered) spent(n int) (counted, folded float64) {
	m.Helper()
	counted = m.proxy.Units().Write / float64(n)
	m.clock.Advance(time.Minute)
	if err := m.stats.Fold(m.Context()); err != nil {
		m.Fatal(err)
	}
	return counted, m.proxy.Units().Write / float64(n)
}

func (m *metered) now() callback.Millis { return callback.Millis(m.clock.Now().UnixMilli()) }

func (m *metered) messages(n, users int) {
	for range n {
		m.seq++
		m.hear(&callback.GroupAfterSendMsg{
			Base:    callback.Base{CallbackCommand: "Group.CallbackAfterSendMsg"},
			GroupID: "live", Type: "AVChatRoom", From: fmt.Sprintf("user%05d", int(m.seq*2654435761)%users), MsgSeq: m.seq, Random: m.seq,
			MsgTime: callback.Seconds(m.clock.Now().Unix()), MsgBody: im.Text("hello"),
		})
	}
}

func (m *metered) likes(n, users int) {
	for i := range n {
		m.seq++
		m.hear(&callback.GroupBeforeSendMsg{
			Base:    callback.Base{CallbackCommand: "Group.CallbackBeforeSendMsg"},
			GroupID: "live", Type: "AVChatRoom", From: fmt.Sprintf("user%05d", i%users), Random: m.seq, EventTime: m.now(),
			MsgBody: im.Custom(`{"businessID":"flutter_live_kit","data":{"cmd":"thumbs_up","cmdInfo":{"count":10}}}`, "", ""),
		})
	}
}

func (m *metered) gifts(n, users int) {
	for i := range n {
		m.seq++
		err := m.stats.Gift(m.Context(), roomstats.Gift{
			RoomID: "live", OrderID: fmt.Sprint("order", m.seq), UserID: fmt.Sprintf("user%05d", i%users), Pieces: 3, Charge: 30, At: m.clock.Now(),
		})
		if err != nil {
			m.Fatal(err)
		}
	}
}

func (m *metered) joins(n int) {
	for i := range n {
		m.hear(&callback.GroupAfterNewMemberJoin{
			Base:    callback.Base{CallbackCommand: "Group.CallbackAfterNewMemberJoin"},
			GroupID: "live", Type: "AVChatRoom", JoinType: "Apply", NewMembers: []callback.Member{{UserID: fmt.Sprintf("user%05d", i)}}, EventTime: m.now(),
		})
	}
}

func (m *metered) exits(n int) {
	for i := range n {
		m.hear(&callback.GroupAfterMemberExit{
			Base:    callback.Base{CallbackCommand: "Group.CallbackAfterMemberExit"},
			GroupID: "live", Type: "AVChatRoom", ExitType: "Quit", ExitMembers: []callback.Member{{UserID: fmt.Sprintf("user%05d", i)}}, EventTime: m.now(),
		})
	}
}

// TestAMessageCostsTwoUnits at most, folding and boards included, in a room where
// a hundred users write 320 messages within a minute.
func TestAMessageCostsTwoUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("moto is not part of -short")
	}
	m := newMetered(t)
	m.messages(1, 1)
	m.spent(1) // the room is known
	const messages = 320
	m.messages(messages, 100)
	counted, folded := m.spent(messages)
	t.Logf("write units a message: %.2f counted, %.2f folded", counted, folded)
	if counted+folded > 2 {
		t.Errorf("%.2f write units a message, want at most 2", counted+folded)
	}
	if counted < 1 || folded == 0 {
		t.Errorf("%.2f and %.2f units: the proxy does not count", counted, folded)
	}
}

// TestTenThousandJoins in ten seconds stay below what one partition key takes,
// 1,000 write units a second: of 200 joins at once the busiest key's share is
// measured, and a second has a thousand. Within one window of 15 s the ten
// thousand fill 16 rows of 64 events in each of 8 shards, and 18 % go on to a
// second segment, at one unit more.
func TestTenThousandJoins(t *testing.T) {
	if testing.Short() {
		t.Skip("moto is not part of -short")
	}
	m := newMetered(t)
	m.joins(1)
	m.proxy.Units()
	const joins = 200
	m.joins(joins)
	u := m.proxy.Units()
	var busiest float64
	for _, units := range u.ByKey {
		busiest = max(busiest, units)
	}
	second := busiest / joins * 1000
	t.Logf("%.2f units a join; the busiest of %d keys takes %.0f units a second at 1,000 joins", u.Write/joins, len(u.ByKey), second)
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
		{"message/100 users", 640, func(m *metered, n int) { m.messages(n, 100) }},
		{"message/1000 users", 1280, func(m *metered, n int) { m.messages(n, 1000) }},
		{"message/all by others", 640, func(m *metered, n int) { m.messages(n, 1_000_000) }},
		{"like batch/5 a user", 500, func(m *metered, n int) { m.likes(n, n/5) }},
		{"like batch/1 a user", 300, func(m *metered, n int) { m.likes(n, n) }},
		{"gift/50 users", 300, func(m *metered, n int) { m.gifts(n, 50) }},
		{"join", 300, func(m *metered, n int) { m.joins(n) }},
		{"leave", 300, func(m *metered, n int) { m.joins(n); m.spent(n); m.exits(n) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var counted, folded float64
			for b.Loop() {
				m := newMetered(b)
				m.messages(1, 1)
				m.spent(1)
				c.do(m, c.n)
				x, y := m.spent(c.n)
				counted, folded = counted+x, folded+y
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(counted/float64(b.N), "counting/event")
			b.ReportMetric(folded/float64(b.N), "folding/event")
			b.ReportMetric((counted+folded)/float64(b.N), "units/event")
		})
	}
}

package dynamokv_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
)

// chat tallies messages of a room as IM numbers them: so many share a segment,
// a message counts for the room and adds counters of its sender.
func chat(t testing.TB, s kv.Store, room string, messages, users, counters, perSegment int) {
	t.Helper()
	for seq := range messages {
		user := fmt.Sprintf("u/user%04d/", rand.IntN(users))
		deltas := []kv.Delta{{Counter: "messages", By: 1}}
		for c := 1; c < counters; c++ {
			deltas = append(deltas, kv.Delta{Counter: fmt.Sprintf("%sc%d", user, c), By: 1})
		}
		event := kv.Event{ID: fmt.Sprint(seq), At: time.Now()}
		outcome, err := s.Tally(t.Context(), room, fmt.Sprintf("m/%08x", seq/perSegment), event, deltas...)
		if err != nil || outcome != kv.Counted {
			t.Fatal(outcome, err)
		}
	}
}

func fold(t testing.TB, s kv.Store, room string) {
	t.Helper()
	_, err := kv.Fold(t.Context(), s, room, kv.FoldOptions{
		Closed: func(kv.Segment) bool { return true },
		Into: func(counter string) string {
			if counter == "messages" {
				return "t/room"
			}
			return "t/" + counter[:10]
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnitModel: what the proxy counts is what DynamoDB charges: a condition that fails
// costs its write, a check in a transaction two units, and a transaction that the
// service knows again two read units an item and no write.
func TestUnitModel(t *testing.T) {
	proxy := dynamotest.Start(t)
	client := dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: &proxy.URL, Credentials: aws.CredentialsProviderFunc(credentials)})
	name := table(t, proxy.URL)
	key := func(sk string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "p"}, "sk": &types.AttributeValueMemberS{Value: sk}}
	}
	absent := aws.String("attribute_not_exists(pk)")
	put := func(sk string) error {
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: key(sk), ConditionExpression: absent})
		return err
	}
	both := func(token, check, write string) error {
		_, err := client.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{ClientRequestToken: &token, TransactItems: []types.TransactWriteItem{
			{ConditionCheck: &types.ConditionCheck{TableName: &name, Key: key(check), ConditionExpression: aws.String("attribute_exists(pk)")}},
			{Put: &types.Put{TableName: &name, Item: key(write)}},
		}})
		return err
	}
	proxy.Units()
	for _, s := range []struct {
		what        string
		do          func() error
		fails       bool
		write, read float64
	}{
		{"a put", func() error { return put("a") }, false, 1, 0},
		{"a put whose condition fails", func() error { return put("a") }, true, 1, 0},
		{"a check and a put", func() error { return both("t1", "a", "b") }, false, 4, 0},
		{"the same transaction again", func() error { return both("t1", "a", "b") }, false, 0, 4},
		{"a transaction whose check fails", func() error { return both("t2", "none", "c") }, true, 4, 0},
	} {
		if err := s.do(); (err != nil) != s.fails {
			t.Errorf("%s: %v", s.what, err)
		}
		if u := proxy.Units(); u.Write != s.write || u.Read != s.read {
			t.Errorf("%s: %.0f write units and %.0f read units, want %.0f and %.0f", s.what, u.Write, u.Read, s.write, s.read)
		}
	}
}

// TestUnitsOfTheEmulator: what the proxy computes is what the emulator, by other hands,
// says that a request consumed, at the edges of a unit, with and without the index.
func TestUnitsOfTheEmulator(t *testing.T) {
	proxy := dynamotest.Start(t)
	client := dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: &proxy.URL, Credentials: aws.CredentialsProviderFunc(credentials)})
	name := table(t, proxy.URL)
	item := func(sk string, size int, indexed bool) map[string]types.AttributeValue {
		m := map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "p"}, "sk": &types.AttributeValueMemberS{Value: sk},
		}
		if indexed {
			m["open"] = &types.AttributeValueMemberS{Value: sk}
			size -= len("open") + len(sk)
		}
		m["v"] = &types.AttributeValueMemberB{Value: make([]byte, size-len("pkpskv")-len(sk))}
		return m
	}
	proxy.Units()
	for _, indexed := range []bool{false, true} {
		for _, size := range []int{100, 1024, 1025, 2048, 2049, 40_000} {
			for _, again := range []int{size, 30, size} {
				out, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{
					TableName: &name, Item: item("s", again, indexed), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
				})
				if err != nil {
					t.Fatal(err)
				}
				if ours, theirs := proxy.Units().Write, aws.ToFloat64(out.ConsumedCapacity.CapacityUnits); ours != theirs {
					t.Errorf("a put of %d bytes, indexed %v: %.1f units computed, %.1f reported", again, indexed, ours, theirs)
				}
			}
		}
	}
}

// TestUnits: a counted message costs at most two write units, folding
// included, where sixty people write what a room's counter shows.
func TestUnits(t *testing.T) {
	proxy := dynamotest.Start(t)
	s := openAt(t, proxy.URL, table(t, proxy.URL), time.Now)
	const messages = 640
	proxy.Units()
	chat(t, s, "room/lobby", messages, 60, 2, 32)
	counted := proxy.Units().Write / messages
	fold(t, s, "room/lobby")
	folded := proxy.Units().Write / messages
	t.Logf("write units a message: %.2f counted, %.2f folded", counted, folded)
	if counted+folded > 2 {
		t.Errorf("%.2f write units a message, want at most 2", counted+folded)
	}
	if counted < 1 {
		t.Errorf("%.2f units: the proxy does not count", counted)
	}
}

package dynamokv_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
)

// BenchmarkUnits prints what an event costs with 1, 5 and 20 counters, counted
// and folded, beside the transactional way in the same run: a put that
// recognises the event and an update for each counter, at twice the price.
// All counters but one are the sender's own, of sixty senders, which is what
// makes a segment large: with 20 of them, fewer events share one.
//
//	go test -run '^$' -bench Units -benchtime 1x ./shared/kv/dynamokv
func BenchmarkUnits(b *testing.B) {
	const messages, transactions, users = 640, 8, 60
	for _, c := range []struct{ counters, perSegment int }{{1, 32}, {5, 32}, {20, 16}, {20, 8}} {
		b.Run(fmt.Sprintf("%d counters/%d a segment", c.counters, c.perSegment), func(b *testing.B) {
			proxy := dynamotest.Start(b)
			table := table(b, proxy.URL)
			s := openAt(b, proxy.URL, table, time.Now)
			var counted, folded, peer float64
			for round := 0; b.Loop(); round++ {
				room := fmt.Sprintf("room/%d", round)
				proxy.Units()
				transact(b, proxy.URL, table, room+"/by transaction", transactions, c.counters)
				peer += proxy.Units().Write / transactions
				chat(b, s, room, messages, users, c.counters, c.perSegment)
				counted += proxy.Units().Write / messages
				fold(b, s, room)
				folded += proxy.Units().Write / messages
			}
			n := float64(b.N)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(counted/n, "counting/event")
			b.ReportMetric(folded/n, "folding/event")
			b.ReportMetric(peer/n, "by-transaction/event")
			b.ReportMetric(peer/(counted+folded), "x/transaction")
		})
	}
}

// transact counts a room's events with one transaction each.
func transact(b *testing.B, endpoint, table, room string, events, counters int) {
	b.Helper()
	client := dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: aws.String(endpoint), Credentials: aws.CredentialsProviderFunc(credentials)})
	key := func(name string, n int) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: room},
			"sk": &types.AttributeValueMemberS{Value: fmt.Sprintf("%s/%d", name, n)},
		}
	}
	for event := range events {
		writes := []types.TransactWriteItem{{Put: &types.Put{
			TableName: aws.String(table), Item: key("seen", event), ConditionExpression: aws.String("attribute_not_exists(pk)"),
		}}}
		for c := range counters {
			writes = append(writes, types.TransactWriteItem{Update: &types.Update{
				TableName: aws.String(table), Key: key("total", c), UpdateExpression: aws.String("ADD n :one"),
				ExpressionAttributeValues: map[string]types.AttributeValue{":one": &types.AttributeValueMemberN{Value: "1"}},
			}})
		}
		if _, err := client.TransactWriteItems(b.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: writes}); err != nil {
			b.Fatal(err)
		}
	}
}

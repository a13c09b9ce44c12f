package dynamokv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Tally implements [kv.Store].
func (s *Store) Tally(parent context.Context, partition, name string, e kv.Event, deltas ...kv.Delta) (kv.Outcome, error) {
	now := s.now()
	if err := kv.CheckTally(partition, name, e, deltas, now); err != nil {
		return 0, err
	}
	if now.Sub(e.At) > kv.Horizon {
		return kv.TooLate, nil
	}
	ctx, done, err := s.begin(parent)
	if err != nil {
		return 0, err
	}
	defer done()
	t := tally{store: s, partition: partition, name: name, event: digest(e.ID), most: e.Most(), deltas: deltas, now: now}
	var outcome kv.Outcome
	err = again(parent, ctx, func() error {
		outcome, err = t.attempt(ctx)
		return err
	})
	return outcome, err
}

type tally struct {
	store           *Store
	partition, name string
	event           string // digest
	most            int    // events in the segment
	deltas          []kv.Delta
	now             time.Time
}

// mostInPlace is how many counters one update names. DynamoDB takes expressions of
// 4 KB with 300 operators; a counter needs up to 60 bytes and 4 operators in each.
const mostInPlace = 48

// attempt makes the one update that counts an event in a segment that exists,
// and otherwise makes the segment with the event in it.
func (t *tally) attempt(ctx context.Context) (kv.Outcome, error) {
	var old attributes
	if len(t.deltas) > mostInPlace {
		sk := segmentPrefix + t.name
		records, err := t.store.read(ctx, t.partition, []string{sk})
		if err != nil {
			return 0, err
		}
		old = records[sk]
	} else {
		var failed *types.ConditionalCheckFailedException
		var err error
		if old, err = t.update(ctx); err == nil {
			return kv.Counted, nil
		} else if !errors.As(err, &failed) {
			return 0, err
		}
	}
	if len(old) == 0 {
		err := changed(t.create(ctx, "attribute_not_exists(pk)", nil))
		if err != nil {
			return 0, err // errChanged: somebody made it first, or we did and lost the answer
		}
		return kv.Counted, nil
	}
	g, err := decodeSegment(old)
	if err != nil {
		return 0, err
	}
	expires, err := numberOf(old["x"])
	if err != nil {
		return 0, err
	}
	switch {
	case expires != 0 && expires <= t.now.Unix():
		// Everything in it is beyond the horizon: the name starts afresh.
		if err := changed(t.create(ctx, "r = :was AND x = :x", attributes{":was": text(g.rev), ":x": number(expires)})); err != nil {
			return 0, err
		}
		return kv.Counted, nil
	case g.seen[t.event]:
		return kv.Duplicate, nil
	}
	sums := &item{counters: g.counters}
	if err := sums.add(t.deltas); err != nil {
		return 0, err
	}
	if len(g.seen) >= t.most {
		return 0, fmt.Errorf("dynamokv: %d events: %w", len(g.seen), kv.ErrFull)
	}
	// So near the limit of counters, only a reading can tell new ones from old.
	if full := len(g.counters)+len(t.deltas) > kv.MaxCounters; full || len(t.deltas) > mostInPlace {
		return t.replace(ctx, g, sums.counters)
	}
	return 0, errChanged
}

// update is the usual case: one conditional update of one small record. With
// it the SDK gives the record that failed the condition.
func (t *tally) update(ctx context.Context) (attributes, error) {
	names := map[string]string{"#open": "open", "#ttl": "ttl"}
	values := attributes{
		":event": &types.AttributeValueMemberBS{Value: [][]byte{[]byte(t.event)}},
		":one":   &types.AttributeValueMemberB{Value: []byte(t.event)},
		":r":     text(t.revision()), ":t": number(t.now.Unix()), ":name": text(t.name),
		":zero": number(0), ":full": number(int64(t.most)), ":room": number(int64(kv.MaxCounters - len(t.deltas))),
	}
	set := []string{"r = :r", "t = :t", "#open = :name"}
	where := []string{"attribute_exists(c)", "NOT contains(e, :one)", "size(e) < :full", "size(c) <= :room", "(attribute_not_exists(x) OR x > :t)"}
	for i, d := range t.deltas {
		n := strconv.Itoa(i)
		names["#c"+n] = d.Counter
		values[":d"+n] = number(d.By)
		set = append(set, "c.#c"+n+" = if_not_exists(c.#c"+n+", :zero) + :d"+n)
		if d.By != 0 {
			limit, than := math.MaxInt64-max(d.By, 0), " <= "
			if d.By < 0 {
				limit, than = math.MinInt64-d.By, " >= "
			}
			values[":l"+n] = number(limit)
			where = append(where, "(attribute_not_exists(c.#c"+n+") OR c.#c"+n+than+":l"+n+")")
		}
	}
	out, err := t.store.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		TableName:              aws.String(t.store.table), Key: nameOf(t.partition, segmentPrefix+t.name),
		UpdateExpression:                    aws.String("SET " + strings.Join(set, ", ") + " ADD e :event REMOVE x, #ttl"),
		ConditionExpression:                 aws.String(strings.Join(where, " AND ")),
		ExpressionAttributeNames:            names,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return failed.Item, err
	}
	if err == nil {
		charged(out.ConsumedCapacity)
	}
	return nil, err
}

// revision changes with every event and is never twice the same.
func (t *tally) revision() string { return fmt.Sprintf("%x", t.event) }

// create puts the segment with this event alone in it.
func (t *tally) create(ctx context.Context, where string, values attributes) error {
	first := new(item)
	if err := first.add(t.deltas); err != nil {
		return err
	}
	return t.put(ctx, map[string]bool{}, first.counters, where, values)
}

// replace puts the segment as it would be with this event in it.
func (t *tally) replace(ctx context.Context, g *segment, counters map[string]int64) (kv.Outcome, error) {
	if err := changed(t.put(ctx, g.seen, counters, "r = :was", attributes{":was": text(g.rev)})); err != nil {
		return 0, err
	}
	return kv.Counted, nil
}

func (t *tally) put(ctx context.Context, seen map[string]bool, counters map[string]int64, where string, values attributes) error {
	events := [][]byte{[]byte(t.event)}
	for d := range seen {
		events = append(events, []byte(d))
	}
	record := nameOf(t.partition, segmentPrefix+t.name)
	record["r"], record["t"], record["open"] = text(t.revision()), number(t.now.Unix()), text(t.name)
	record["c"], record["e"] = counterMap(counters), &types.AttributeValueMemberBS{Value: events}
	out, err := t.store.client.PutItem(ctx, &dynamodb.PutItemInput{
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		TableName:              aws.String(t.store.table), Item: record,
		ConditionExpression: aws.String(where), ExpressionAttributeValues: values,
	})
	if err == nil {
		charged(out.ConsumedCapacity)
	}
	return err
}

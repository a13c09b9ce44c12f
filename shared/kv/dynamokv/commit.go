package dynamokv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/metric"
)

// Commit implements [kv.Store].
func (s *Store) Commit(parent context.Context, partition, op string, writes ...kv.Write) error {
	if err := kv.CheckCommit(partition, op, writes); err != nil {
		return err
	}
	ctx, done, err := s.begin(parent)
	if err != nil {
		return err
	}
	defer done()
	next, err := s.turn(ctx, partition)
	if err != nil {
		return explain(parent, err)
	}
	defer next()
	return again(parent, ctx, func() error { return s.commit(ctx, partition, op, writes) })
}

// commit reads what the writes touch, decides over it, and writes if nothing
// has changed since; errChanged otherwise.
func (s *Store) commit(ctx context.Context, partition, op string, writes []kv.Write) error {
	keys := make([]string, len(writes))
	for i, w := range writes {
		keys[i] = sortKey(w)
	}
	records, err := s.read(ctx, partition, keys)
	if err != nil {
		return err
	}
	p := plan{partition: partition, op: op, now: s.now(), table: s.table, records: records}
	actions, err := p.decide(writes)
	switch {
	case errors.Is(err, errRepeat):
		return nil
	case err != nil:
		return err
	case len(actions) == 1 && actions[0].Put != nil:
		put := actions[0].Put
		out, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
			ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
			TableName:              put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
			ExpressionAttributeValues: put.ExpressionAttributeValues,
		})
		if err == nil {
			charged(out.ConsumedCapacity)
		}
		return changed(err)
	}
	// The SDK gives each request a token of its own, by which the service knows
	// the SDK's repeats; ours, after a reading, are recognised by op.
	out, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: actions, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	if err == nil {
		for _, c := range out.ConsumedCapacity {
			charged(&c)
		}
	}
	return changed(err)
}

// charged counts the write units of a call that wrote. What a refused condition
// costs is not told.
func charged(c *types.ConsumedCapacity) {
	if c != nil && c.CapacityUnits != nil {
		metric.Units.Add(*c.CapacityUnits)
	}
}

// changed turns a failed condition into errChanged.
func changed(err error) error {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return errChanged
	}
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		for _, reason := range canceled.CancellationReasons {
			if aws.ToString(reason.Code) == "ConditionalCheckFailed" {
				return errChanged
			}
		}
	}
	return err
}

func sortKey(w kv.Write) string {
	switch w := w.(type) {
	case kv.Put:
		return itemPrefix + w.Key
	case kv.Delete:
		return itemPrefix + w.Key
	case kv.Add:
		return itemPrefix + w.Key
	case kv.Check:
		return itemPrefix + w.Key
	case kv.Settle:
		return segmentPrefix + w.Segment
	}
	panic("dynamokv: a write that kv.CheckCommit let through")
}

// errRepeat says that an item remembers the op.
var errRepeat = errors.New("dynamokv: done before")

// plan decides over the writes of one Commit.
type plan struct {
	partition, op, table string
	now                  time.Time
	records              map[string]attributes // by sort key
}

// decide returns the actions to take. One write that remembers op outweighs
// whatever the others meet.
func (p *plan) decide(writes []kv.Write) ([]types.TransactWriteItem, error) {
	var refused error
	actions := make([]types.TransactWriteItem, 0, len(writes))
	for _, w := range writes {
		action, err := p.prepare(w)
		if errors.Is(err, errRepeat) {
			return nil, err
		}
		if refused == nil {
			refused = err
		}
		actions = append(actions, action)
	}
	return actions, refused
}

func (p *plan) prepare(w kv.Write) (types.TransactWriteItem, error) {
	switch w := w.(type) {
	case kv.Put:
		return p.change(w.Key, w.If, func(i *item) error {
			i.value = w.Value
			if i.value == nil {
				i.value = []byte{}
			}
			i.expires = kv.UnixExpiry(w.Expires)
			return nil
		})
	case kv.Delete:
		return p.change(w.Key, w.If, func(i *item) error {
			i.value, i.counters, i.expires, i.deleted = nil, nil, 0, true
			return nil
		})
	case kv.Add:
		return p.change(w.Key, w.If, func(i *item) error {
			if !w.Expires.IsZero() {
				i.expires = kv.UnixExpiry(w.Expires)
			}
			return i.add(w.Deltas)
		})
	case kv.Check:
		return p.check(w)
	case kv.Settle:
		return p.settle(w)
	}
	panic("dynamokv: a write that kv.CheckCommit let through")
}

// change puts what edit makes of an item, or of an empty one.
func (p *plan) change(key string, cond kv.Cond, edit func(*item) error) (types.TransactWriteItem, error) {
	was, err := decodeItem(p.records[itemPrefix+key])
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	if was.remembers(p.op) {
		return types.TransactWriteItem{}, errRepeat
	}
	if !p.holds(cond, was) {
		return types.TransactWriteItem{}, &kv.ConflictError{Partition: p.partition, Key: key}
	}
	next := was.written(p.op, p.now)
	if err := edit(next); err != nil {
		return types.TransactWriteItem{}, err
	}
	condition, values := unchanged(was)
	return types.TransactWriteItem{Put: &types.Put{
		TableName: aws.String(p.table), Item: next.encode(p.partition, key, p.now),
		ConditionExpression: aws.String(condition), ExpressionAttributeValues: values,
	}}, nil
}

func (p *plan) check(w kv.Check) (types.TransactWriteItem, error) {
	was, err := decodeItem(p.records[itemPrefix+w.Key])
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	if !p.holds(w.If, was) {
		return types.TransactWriteItem{}, &kv.ConflictError{Partition: p.partition, Key: w.Key}
	}
	condition, values := unchanged(was)
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: aws.String(p.table), Key: nameOf(p.partition, itemPrefix+w.Key),
		ConditionExpression: aws.String(condition), ExpressionAttributeValues: values,
	}}, nil
}

// unchanged is the condition that a record is as it was read. Every write
// leaves another revision, so that is enough.
func unchanged(was *item) (string, attributes) {
	if was == nil {
		return "attribute_not_exists(pk)", nil
	}
	return "r = :r", attributes{":r": text(was.rev)}
}

func (p *plan) holds(c kv.Cond, i *item) bool {
	switch {
	case c.WantsAbsent():
		return !i.live(p.now)
	case c.WantedRev() != "":
		return i.live(p.now) && i.rev == c.WantedRev()
	}
	return true
}

// add adds deltas to the item's counters, or to none of them.
func (i *item) add(deltas []kv.Delta) error {
	if i.counters == nil {
		i.counters = make(map[string]int64, len(deltas))
	}
	for _, d := range deltas {
		sum, ok := kv.Sum(i.counters[d.Counter], d.By)
		if !ok || d.Floor != nil && sum < *d.Floor {
			return fmt.Errorf("dynamokv: %w", kv.ErrRange)
		}
		i.counters[d.Counter] = sum
	}
	if len(i.counters) > kv.MaxCounters {
		return fmt.Errorf("dynamokv: over %d counters in one item: %w", kv.MaxCounters, kv.ErrInvalid)
	}
	return nil
}

// settle empties a segment's counters, takes it out of the index and lets it
// expire; its seen events stay until then.
func (p *plan) settle(w kv.Settle) (types.TransactWriteItem, error) {
	conflict := &kv.ConflictError{Partition: p.partition, Key: w.Segment}
	record := p.records[segmentPrefix+w.Segment]
	if len(record) == 0 {
		return types.TransactWriteItem{}, conflict
	}
	g, err := decodeSegment(record)
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	if !g.open || g.rev != w.Rev {
		return types.TransactWriteItem{}, conflict
	}
	expires := g.touched + int64((kv.Horizon+kv.HorizonSlack)/time.Second)
	return types.TransactWriteItem{Update: &types.Update{
		TableName: aws.String(p.table), Key: nameOf(p.partition, segmentPrefix+w.Segment),
		UpdateExpression:          aws.String("SET c = :none, x = :x, #ttl = :x REMOVE #open"),
		ConditionExpression:       aws.String("r = :r AND attribute_exists(#open)"),
		ExpressionAttributeNames:  map[string]string{"#ttl": "ttl", "#open": "open"},
		ExpressionAttributeValues: attributes{":none": counterMap(nil), ":x": number(expires), ":r": text(g.rev)},
	}}, nil
}

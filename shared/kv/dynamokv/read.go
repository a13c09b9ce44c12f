package dynamokv

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Get implements [kv.Store].
func (s *Store) Get(parent context.Context, partition, key string) (kv.Item, error) {
	if err := kv.CheckKey(partition, key); err != nil {
		return kv.Item{}, err
	}
	ctx, done, err := s.begin(parent)
	if err != nil {
		return kv.Item{}, err
	}
	defer done()
	var found kv.Item
	err = again(parent, ctx, func() error {
		records, err := s.read(ctx, partition, []string{itemPrefix + key})
		if err != nil {
			return err
		}
		i, err := decodeItem(records[itemPrefix+key])
		if err != nil {
			return err
		}
		if !i.live(s.now()) {
			return fmt.Errorf("dynamokv: %w", kv.ErrNotFound)
		}
		found = i.public(key)
		return nil
	})
	return found, err
}

// batch is how many records one request may read.
const batch = 100

// read reads records by their sort keys, consistently each; absent ones are
// not in the result.
func (s *Store) read(ctx context.Context, partition string, sks []string) (map[string]attributes, error) {
	out := make(map[string]attributes, len(sks))
	if len(sks) == 1 {
		res, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: aws.String(s.table), Key: nameOf(partition, sks[0]), ConsistentRead: aws.Bool(true),
		})
		if err != nil {
			return nil, err
		}
		if len(res.Item) > 0 {
			out[sks[0]] = res.Item
		}
		return out, nil
	}
	for len(sks) > 0 {
		n := min(len(sks), batch)
		keys := make([]attributes, n)
		for i, sk := range sks[:n] {
			keys[i] = nameOf(partition, sk)
		}
		sks = sks[n:]
		for len(keys) > 0 {
			res, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
				s.table: {Keys: keys, ConsistentRead: aws.Bool(true)},
			}})
			if err != nil {
				return nil, err
			}
			for _, record := range res.Responses[s.table] {
				out[textOf(record["sk"])] = record
			}
			// The rest of a large answer; throttled ones come back here too.
			keys = res.UnprocessedKeys[s.table].Keys
		}
	}
	return out, nil
}

// List implements [kv.Store].
func (s *Store) List(parent context.Context, partition string, r kv.Range) (kv.Page, error) {
	r, err := kv.CheckRange(partition, r)
	if err != nil {
		return kv.Page{}, err
	}
	ctx, done, err := s.begin(parent)
	if err != nil {
		return kv.Page{}, err
	}
	defer done()
	var page kv.Page
	err = again(parent, ctx, func() error {
		page, err = s.list(ctx, partition, r)
		return err
	})
	return page, err
}

// A page that has an item is read by at most so many queries, each but the first of so
// many records. Deleted items leave marks, so that a query may find thousands of them
// before an item.
const (
	mostQueries = 20
	perQuery    = 1000
)

func (s *Store) list(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	low, high := bounds(r)
	if low > high {
		return kv.Page{}, nil
	}
	var page kv.Page
	var from attributes
	now := s.now()
	limit := r.Limit + 1 // one may be After itself
	for queries := 1; queries <= mostQueries || len(page.Items) == 0; queries++ {
		res, err := s.client.Query(ctx, &dynamodb.QueryInput{
			TableName:                 aws.String(s.table),
			ConsistentRead:            aws.Bool(true),
			KeyConditionExpression:    aws.String("pk = :p AND sk BETWEEN :low AND :high"),
			ExpressionAttributeValues: attributes{":p": text(partition), ":low": text(low), ":high": text(high)},
			ScanIndexForward:          aws.Bool(!r.Reverse),
			ExclusiveStartKey:         from,
			Limit:                     aws.Int32(int32(limit)),
		})
		if err != nil {
			return kv.Page{}, err
		}
		for _, record := range res.Items {
			key := strings.TrimPrefix(textOf(record["sk"]), itemPrefix)
			if key == r.After {
				continue
			}
			if len(page.Items) == r.Limit {
				return page, nil // Next is the last record looked at
			}
			i, err := decodeItem(record)
			if err != nil {
				return kv.Page{}, err
			}
			if i.live(now) {
				page.Items = append(page.Items, i.public(key))
			}
			page.Next = key
		}
		if from = res.LastEvaluatedKey; len(from) == 0 {
			page.Next = ""
			return page, nil
		}
		page.Next = strings.TrimPrefix(textOf(from["sk"]), itemPrefix)
		if len(page.Items) == r.Limit {
			return page, nil
		}
		limit = perQuery
	}
	return page, nil
}

// lastRune is the last there is; a run of them is beyond every key.
const lastRune = "\U0010ffff"

// bounds are the first and last sort key of a range, both included; a caller
// leaves out After, which may be one of them.
func bounds(r kv.Range) (low, high string) {
	low = itemPrefix + r.Prefix
	high = low + strings.Repeat(lastRune, (1024-len(low))/len(lastRune))
	if after := itemPrefix + r.After; r.After != "" {
		if r.Reverse {
			high = min(high, after)
		} else {
			low = max(low, after)
		}
	}
	return low, high
}

// Open implements [kv.Store].
func (s *Store) Open(parent context.Context, partition, after string, limit int) ([]kv.Segment, error) {
	if err := kv.CheckOpen(partition, after, limit); err != nil {
		return nil, err
	}
	ctx, done, err := s.begin(parent)
	if err != nil {
		return nil, err
	}
	defer done()
	var segments []kv.Segment
	err = again(parent, ctx, func() error {
		segments, err = s.open(ctx, partition, after, limit)
		return err
	})
	return segments, err
}

// open reads names from the index, then their records. A segment that was
// settled in between is left out; if that leaves none, it looks further.
func (s *Store) open(ctx context.Context, partition, after string, limit int) ([]kv.Segment, error) {
	for {
		q := &dynamodb.QueryInput{
			TableName: aws.String(s.table), IndexName: aws.String(openIndex), ConsistentRead: aws.Bool(true),
			KeyConditionExpression:    aws.String("pk = :p"),
			ExpressionAttributeValues: attributes{":p": text(partition)},
			Limit:                     aws.Int32(int32(limit)),
		}
		if after != "" {
			q.KeyConditionExpression = aws.String("pk = :p AND #open > :after")
			q.ExpressionAttributeNames = map[string]string{"#open": "open"}
			q.ExpressionAttributeValues[":after"] = text(after)
		}
		res, err := s.client.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		names := make([]string, len(res.Items))
		sks := make([]string, len(res.Items))
		for i, record := range res.Items {
			names[i] = textOf(record["open"])
			sks[i] = segmentPrefix + names[i]
		}
		records, err := s.read(ctx, partition, sks)
		if err != nil {
			return nil, err
		}
		var out []kv.Segment
		for _, name := range names {
			g, err := decodeSegment(records[segmentPrefix+name])
			if err != nil {
				return nil, err
			}
			if g.open {
				out = append(out, g.public(name))
			}
		}
		if len(out) > 0 || len(res.LastEvaluatedKey) == 0 {
			return out, nil
		}
		after = names[len(names)-1]
	}
}

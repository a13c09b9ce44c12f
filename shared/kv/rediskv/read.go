package rediskv

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// pageBytes is the size of items after which a page ends early, so that a page
// of large ones fills neither memory nor the time others wait for the server.
const pageBytes = 1 << 20

//go:embed page.lua
var pageLua string

var pageScript = redis.NewScript(fmt.Sprintf("local PAGE_BYTES = %d\n", pageBytes) + pageLua)

// errDamaged says that a record is not what this package writes.
var errDamaged = fmt.Errorf("%w: a record in Redis is malformed", kv.ErrUnavailable)

// Get implements [kv.Store].
func (s *Store) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	if err := kv.CheckKey(partition, key); err != nil {
		return kv.Item{}, err
	}
	var record map[string]string
	err := s.persist(ctx, func(client redis.UniversalClient) (err error) {
		record, err = client.HGetAll(ctx, keysOf(partition).item(key)).Result()
		return err
	})
	if err != nil {
		return kv.Item{}, err
	}
	item, live, err := s.item(key, record)
	if err == nil && !live {
		err = kv.ErrNotFound
	}
	if err != nil {
		return kv.Item{}, err
	}
	return item, nil
}

// List implements [kv.Store].
func (s *Store) List(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	r, err := kv.CheckRange(partition, r)
	if err != nil {
		return kv.Page{}, err
	}
	in := keysOf(partition)
	for {
		found, records, err := s.page(ctx, in.index(), r, in.item)
		if err != nil {
			return kv.Page{}, err
		}
		var page kv.Page
		for i, record := range records {
			item, live, err := s.item(found[i], record)
			if err != nil {
				return kv.Page{}, err
			}
			if live {
				page.Items = append(page.Items, item)
			}
		}
		if len(records) < len(found) || len(found) == r.Limit {
			page.Next = found[len(records)-1]
		}
		if len(page.Items) > 0 || page.Next == "" {
			return page, nil
		}
		r.After = page.Next // all of these have expired
	}
}

// Open implements [kv.Store].
func (s *Store) Open(ctx context.Context, partition, after string, limit int) ([]kv.Segment, error) {
	if err := kv.CheckOpen(partition, after, limit); err != nil {
		return nil, err
	}
	in := keysOf(partition)
	for {
		found, records, err := s.page(ctx, in.open(), kv.Range{After: after, Limit: limit}, in.segment)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		var out []kv.Segment
		for i, record := range records {
			g, open, err := segment(found[i], record)
			if err != nil {
				return nil, err
			}
			if open {
				out = append(out, g)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
		// All of these were settled since they were found.
		after = found[len(records)-1]
	}
}

// page finds names in an index and reads the records of the first of them, one
// at least. These are two steps: a record may have changed or gone in between,
// and the name of a new one may be missing, as for any two pages.
func (s *Store) page(ctx context.Context, index string, r kv.Range, key func(string) string) (found []string, records []map[string]string, err error) {
	by := &redis.ZRangeBy{Count: int64(r.Limit), Min: "-", Max: "+"}
	if r.Prefix != "" {
		// Names are UTF-8, so none beyond the prefix starts with it and 0xff.
		by.Min, by.Max = "["+r.Prefix, "("+r.Prefix+"\xff"
	}
	switch {
	case r.Reverse && r.After != "" && r.After < r.Prefix+"\xff":
		by.Max = "(" + r.After
	case !r.Reverse && r.After != "" && r.After >= r.Prefix:
		by.Min = "(" + r.After
	}
	err = s.persist(ctx, func(client redis.UniversalClient) (err error) {
		find := client.ZRangeByLex
		if r.Reverse {
			find = client.ZRevRangeByLex
		}
		found, err = find(ctx, index, by).Result()
		return err
	})
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	names := make([]string, len(found))
	for i, name := range found {
		names[i] = key(name)
	}
	var reply []any
	err = s.persist(ctx, func(client redis.UniversalClient) (err error) {
		reply, err = pageScript.Run(ctx, client, names).Slice()
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if len(reply) == 0 || len(reply) > len(found) {
		return nil, nil, errDamaged
	}
	for _, fields := range reply {
		record, err := pairs(fields)
		if err != nil {
			return nil, nil, err
		}
		records = append(records, record)
	}
	return found, records, nil
}

func pairs(fields any) (map[string]string, error) {
	flat, ok := fields.([]any)
	if !ok || len(flat)%2 != 0 {
		return nil, errDamaged
	}
	out := make(map[string]string, len(flat)/2)
	for i := 0; i < len(flat); i += 2 {
		name, ok := flat[i].(string)
		value, ok2 := flat[i+1].(string)
		if !ok || !ok2 {
			return nil, errDamaged
		}
		out[name] = value
	}
	return out, nil
}

// item decodes the hash of an item. One that has gone, was deleted or has
// expired is not live.
func (s *Store) item(key string, record map[string]string) (i kv.Item, live bool, err error) {
	ops, made := record["o"]
	if _, deleted := record["d"]; !made || deleted {
		return i, false, nil
	}
	i.Key = key
	i.Rev, _, _ = strings.Cut(ops, "\x00")
	if second, ok := record["x"]; ok {
		n, err := strconv.ParseInt(second, 10, 64)
		if err != nil {
			return i, false, errDamaged
		}
		i.Expires = time.Unix(n, 0)
		if !s.now().Before(i.Expires) {
			return i, false, nil
		}
	}
	if value, ok := record["v"]; ok {
		i.Value = []byte(value)
	}
	i.Counters, err = counters(record)
	return i, true, err
}

// segment decodes the hash of a segment. One that has gone or was settled is not
// open.
func segment(name string, record map[string]string) (g kv.Segment, open bool, err error) {
	events, made := record["n"]
	if _, settled := record["x"]; !made || settled {
		return g, false, nil
	}
	n, nErr := strconv.Atoi(events)
	touched, tErr := strconv.ParseInt(record["t"], 10, 64)
	if errors.Join(nErr, tErr) != nil {
		return g, false, errDamaged
	}
	g = kv.Segment{Name: name, Rev: events + "@" + record["t"], Events: n, Touched: time.Unix(touched, 0)}
	g.Counters, err = counters(record)
	return g, true, err
}

func counters(record map[string]string) (map[string]int64, error) {
	var out map[string]int64
	for field, value := range record {
		counter, ok := strings.CutPrefix(field, "c")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, errDamaged
		}
		if out == nil {
			out = make(map[string]int64)
		}
		out[counter] = n
	}
	return out, nil
}

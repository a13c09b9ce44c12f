package boltkv

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	bolt "go.etcd.io/bbolt"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// pageBytes is the size of values after which a page ends early, so that a page
// of large items does not fill the memory.
const pageBytes = 1 << 20

// view runs fn on what is acknowledged.
func (s *Store) view(ctx context.Context, fn func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.db.View(fn); err != nil {
		if errors.Is(err, kv.ErrNotFound) {
			return err
		}
		return unavailable(err)
	}
	return nil
}

// Get implements [kv.Store].
func (s *Store) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	if err := kv.CheckKey(partition, key); err != nil {
		return kv.Item{}, err
	}
	var out kv.Item
	err := s.view(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket(itemBucket).Get(join(partition, key))
		if b == nil {
			return kv.ErrNotFound
		}
		i, err := decodeItem(b)
		if err != nil {
			return err
		}
		if !i.live(s.now()) {
			return kv.ErrNotFound
		}
		out = i.public(key)
		return nil
	})
	return out, err
}

// List implements [kv.Store].
func (s *Store) List(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	r, err := kv.CheckRange(partition, r)
	if err != nil {
		return kv.Page{}, err
	}
	var page kv.Page
	err = s.view(ctx, func(tx *bolt.Tx) error {
		now, size := s.now(), 0
		within := join(partition, "")
		first, next := walk(tx.Bucket(itemBucket).Cursor(), partition, r)
		for k, v := first(); k != nil; k, v = next() {
			if len(page.Items) == r.Limit || size > pageBytes {
				page.Next = page.Items[len(page.Items)-1].Key
				return nil
			}
			i, err := decodeItem(v)
			if err != nil {
				return err
			}
			if i.live(now) {
				page.Items = append(page.Items, i.public(string(k[len(within):])))
				size += len(i.value)
			}
		}
		return nil
	})
	if err != nil {
		return kv.Page{}, err
	}
	return page, nil
}

// walk returns the two steps of a walk over the names in r; a nil name is the
// end.
func walk(c *bolt.Cursor, partition string, r kv.Range) (first, next func() (k, v []byte)) {
	prefix, after := join(partition, r.Prefix), join(partition, r.After)
	within := func(k, v []byte) ([]byte, []byte) {
		if !bytes.HasPrefix(k, prefix) {
			return nil, nil
		}
		return k, v
	}
	if !r.Reverse {
		next = func() ([]byte, []byte) { return within(c.Next()) }
		first = func() ([]byte, []byte) {
			if r.After == "" || bytes.Compare(after, prefix) < 0 {
				return within(c.Seek(prefix))
			}
			k, v := c.Seek(after)
			if bytes.Equal(k, after) {
				k, v = c.Next()
			}
			return within(k, v)
		}
		return first, next
	}
	next = func() ([]byte, []byte) { return within(c.Prev()) }
	first = func() ([]byte, []byte) {
		// Names are UTF-8, so none beyond the prefix starts with it and 0xff.
		end := append(bytes.Clone(prefix), 0xff)
		if r.After != "" && bytes.Compare(after, end) < 0 {
			end = after
		}
		if k, _ := c.Seek(end); k == nil {
			return within(c.Last())
		}
		return within(c.Prev())
	}
	return first, next
}

// Dump writes the whole content of the file, with deleted records and indexes, as
// lines of JSON in a fixed order. Two stores with equal dumps hold the same state.
func (s *Store) Dump(w io.Writer) error {
	type line struct {
		Kind     string           `json:"kind"`
		Name     string           `json:"name"` // partition, NUL, key
		Deleted  bool             `json:"deleted,omitempty"`
		Expiry   int64            `json:"expiry,omitempty"`
		Touched  int64            `json:"touched,omitempty"`
		Ops      []string         `json:"ops,omitempty"`
		Rev      string           `json:"rev,omitempty"`
		Seen     []byte           `json:"seen,omitempty"`
		Counters map[string]int64 `json:"counters,omitempty"`
		Value    *[]byte          `json:"value,omitempty"`
	}
	out := json.NewEncoder(w)
	return s.view(context.Background(), func(tx *bolt.Tx) error {
		err := tx.Bucket(itemBucket).ForEach(func(k, v []byte) error {
			i, err := decodeItem(v)
			if err != nil {
				return err
			}
			l := line{Kind: "item", Name: string(k), Deleted: i.deleted, Expiry: i.expiry, Counters: public(i.counters)}
			for _, op := range i.ops {
				l.Ops = append(l.Ops, string(op))
			}
			if i.hasValue {
				l.Value = &i.value
			}
			return out.Encode(l)
		})
		if err != nil {
			return err
		}
		for _, b := range [][]byte{openBucket, settledBucket} {
			err := tx.Bucket(b).ForEach(func(k, v []byte) error {
				g, err := decodeSegment(v)
				if err != nil {
					return err
				}
				return out.Encode(line{
					Kind: string(b), Name: string(k), Expiry: g.expiry, Touched: g.touched,
					Rev: g.rev(), Seen: g.seen, Counters: public(g.counters),
				})
			})
			if err != nil {
				return err
			}
		}
		return tx.Bucket(expiryBucket).ForEach(func(k, _ []byte) error {
			return out.Encode(line{Kind: "expiry", Name: string(k[8:]), Expiry: int64(binary.BigEndian.Uint64(k))})
		})
	})
}

package boltkv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Commit implements [kv.Store].
func (s *Store) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	if err := kv.CheckCommit(partition, op, writes); err != nil {
		return err
	}
	return s.write(ctx, func(t *txn) error { return t.commit(partition, op, writes) })
}

// errRepeat says that an item remembers the op.
var errRepeat = errors.New("boltkv: done before")

// commit decides over all writes before it makes the first. One write that
// remembers op outweighs whatever the others meet.
func (t *txn) commit(partition, op string, writes []kv.Write) error {
	t.at("commit: begun")
	var refused error
	changes := make([]func(), 0, len(writes))
	for _, w := range writes {
		change, err := t.prepare(partition, op, w)
		if errors.Is(err, errRepeat) {
			return nil
		}
		if refused == nil {
			refused = err
		}
		changes = append(changes, change)
	}
	if refused != nil {
		return refused
	}
	for i, change := range changes {
		if i > 0 {
			t.at("commit: half written")
		}
		change()
	}
	t.at("commit: written")
	return nil
}

// prepare returns the change that w makes, or why it may not be made.
func (t *txn) prepare(partition, op string, w kv.Write) (func(), error) {
	switch w := w.(type) {
	case kv.Put:
		return t.change(partition, w.Key, op, w.If, func(i *item) error {
			i.value, i.hasValue = w.Value, true
			i.expiry = kv.UnixExpiry(w.Expires)
			return nil
		})
	case kv.Delete:
		return t.change(partition, w.Key, op, w.If, func(i *item) error {
			*i = item{deleted: true, ops: i.ops, expiry: kv.UnixExpiry(t.now)}
			return nil
		})
	case kv.Add:
		return t.change(partition, w.Key, op, w.If, func(i *item) (err error) {
			if !w.Expires.IsZero() {
				i.expiry = kv.UnixExpiry(w.Expires)
			}
			i.counters, err = add(i.counters, w.Deltas)
			return err
		})
	case kv.Check:
		was, err := t.item(join(partition, w.Key))
		if err == nil && !t.holds(w.If, was) {
			err = &kv.ConflictError{Partition: partition, Key: w.Key}
		}
		return func() {}, err
	case kv.Settle:
		return t.settle(partition, w)
	}
	panic("boltkv: a write that kv.CheckCommit let through")
}

// change prepares an item's new state: what edit makes of the live item, or of
// an empty one.
func (t *txn) change(partition, key, op string, cond kv.Cond, edit func(*item) error) (func(), error) {
	name := join(partition, key)
	was, err := t.item(name)
	if err != nil {
		return nil, err
	}
	if was.remembers(op) {
		return nil, errRepeat
	}
	if !t.holds(cond, was) {
		return nil, &kv.ConflictError{Partition: partition, Key: key}
	}
	var next item
	if was.live(t.now) {
		next = *was
	} else if was != nil {
		next.ops = was.ops
	}
	if err := edit(&next); err != nil {
		return nil, err
	}
	next.remember(op)
	return func() {
		if was != nil {
			t.unindex(was.forget(), itemBucket, name)
		}
		t.put(t.items, name, next.encode())
		t.index(next.forget(), itemBucket, name)
	}, nil
}

func (t *txn) holds(c kv.Cond, i *item) bool {
	switch {
	case c.WantsAbsent():
		return !i.live(t.now)
	case c.WantedRev() != "":
		return i.live(t.now) && i.rev() == c.WantedRev()
	}
	return true
}

func (t *txn) item(name []byte) (*item, error) {
	b := t.items.Get(name)
	if b == nil {
		return nil, nil
	}
	i, err := decodeItem(b)
	if err != nil {
		return nil, unavailable(err)
	}
	return i, nil
}

// join names a record: partition, NUL, key. A NUL is in neither, so the records
// of one partition lie together in order of their keys.
func join(partition, key string) []byte {
	b := make([]byte, 0, len(partition)+1+len(key))
	b = append(b, partition...)
	b = append(b, 0)
	return append(b, key...)
}

// index notes that the record may be cleared from the given second on; 0 is
// never. Of the bucket's name the first letter is kept.
func (t *txn) index(second int64, bucket, name []byte) {
	if second != 0 {
		t.doomed++
		t.put(t.expiry, indexName(second, bucket, name), nil)
	}
}

func (t *txn) unindex(second int64, bucket, name []byte) {
	if second != 0 {
		t.remove(t.expiry, indexName(second, bucket, name))
	}
}

func indexName(second int64, bucket, name []byte) []byte {
	b := make([]byte, 0, 9+len(name))
	b = binary.BigEndian.AppendUint64(b, uint64(second))
	b = append(b, bucket[0])
	return append(b, name...)
}

// purge clears a few records whose second has come.
func (t *txn) purge() {
	for range purgeAtOnce + t.doomed {
		at, _ := t.expiry.Cursor().First()
		if at == nil || binary.BigEndian.Uint64(at) > uint64(t.now.Unix()) {
			return
		}
		at = append([]byte{}, at...)
		bucket, name := t.items, at[9:]
		if at[8] == settledBucket[0] {
			bucket = t.settled
		}
		t.remove(bucket, name)
		t.remove(t.expiry, at)
	}
}

// settle prepares moving a segment from the open ones to the settled ones.
func (t *txn) settle(partition string, w kv.Settle) (func(), error) {
	name := join(partition, w.Segment)
	g, err := getSegment(t.open, name)
	if err != nil {
		return nil, err
	}
	if g == nil || g.rev() != w.Rev {
		return nil, &kv.ConflictError{Partition: partition, Key: w.Segment}
	}
	return func() {
		g.counters = nil
		g.expiry = g.touched + int64((kv.Horizon+kv.HorizonSlack)/time.Second)
		t.remove(t.open, name)
		t.put(t.settled, name, g.encode())
		t.index(g.expiry, settledBucket, name)
		t.at("fold: settled")
	}, nil
}

func getSegment(b *bolt.Bucket, name []byte) (*segment, error) {
	v := b.Get(name)
	if v == nil {
		return nil, nil
	}
	g, err := decodeSegment(v)
	if err != nil {
		return nil, unavailable(err)
	}
	return g, nil
}

func tooMany(what string, limit int) error {
	return fmt.Errorf("%w: more than %d %s in one item", kv.ErrInvalid, limit, what)
}

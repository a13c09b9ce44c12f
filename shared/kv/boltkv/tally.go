package boltkv

import (
	"bytes"
	"context"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Tally implements [kv.Store].
func (s *Store) Tally(ctx context.Context, partition, segment string, e kv.Event, deltas ...kv.Delta) (kv.Outcome, error) {
	if err := kv.CheckTally(partition, segment, e, deltas, s.now()); err != nil {
		return 0, err
	}
	var outcome kv.Outcome
	err := s.write(ctx, func(t *txn) (err error) {
		outcome, err = t.tally(partition, segment, e, deltas)
		return err
	})
	if err != nil {
		return 0, err
	}
	return outcome, nil
}

func (t *txn) tally(partition, key string, e kv.Event, deltas []kv.Delta) (kv.Outcome, error) {
	t.at("tally: begun")
	if t.now.Sub(e.At) > kv.Horizon {
		return kv.TooLate, nil
	}
	name := join(partition, key)
	g, err := getSegment(t.open, name)
	if err != nil {
		return 0, err
	}
	settled := false
	if g == nil {
		if g, err = getSegment(t.settled, name); err != nil {
			return 0, err
		}
		settled = g != nil
	}
	if g == nil {
		g = &segment{}
	}
	id := digest(e.ID)
	if g.has(id) {
		return kv.Duplicate, nil
	}
	if g.events() >= e.Most() {
		return 0, kv.ErrFull
	}
	if g.counters, err = add(g.counters, deltas); err != nil {
		return 0, err
	}
	if settled {
		t.remove(t.settled, name)
		t.unindex(g.expiry, settledBucket, name)
		t.at("tally: reopened")
	}
	serial, err := t.open.NextSequence()
	if err != nil && t.fault == nil {
		t.fault = err
	}
	g.serial, g.touched, g.expiry = serial, t.now.Unix(), 0
	g.seen = append(slices.Clip(g.seen), id...)
	t.put(t.open, name, g.encode())
	t.at("tally: written")
	return kv.Counted, nil
}

// Open implements [kv.Store].
func (s *Store) Open(ctx context.Context, partition, after string, limit int) ([]kv.Segment, error) {
	if err := kv.CheckOpen(partition, after, limit); err != nil {
		return nil, err
	}
	var out []kv.Segment
	err := s.view(ctx, func(tx *bolt.Tx) error {
		within := join(partition, "")
		start := join(partition, after)
		c := tx.Bucket(openBucket).Cursor()
		for k, v := c.Seek(start); bytes.HasPrefix(k, within) && len(out) < limit; k, v = c.Next() {
			if bytes.Equal(k, start) {
				continue
			}
			g, err := decodeSegment(v)
			if err != nil {
				return err
			}
			out = append(out, g.public(string(k[len(within):])))
		}
		return nil
	})
	return out, err
}

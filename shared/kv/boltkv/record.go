package boltkv

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// errDamaged says that a record does not decode. bbolt checks its meta pages
// only, so a damaged disk shows here.
var errDamaged = errors.New("boltkv: the file is damaged: a record is malformed; restore a copy")

// counter is one counter of an item or a segment. Both keep them sorted by name.
type counter struct {
	name  []byte
	value int64
}

// item is the stored form of a kv.Item, alive or not.
//
//	flags, expiry, ops, counters, value
//
// where numbers are varints and strings carry their length. The byte slices of
// a decoded item belong to the transaction it was read in.
type item struct {
	deleted  bool
	hasValue bool
	expiry   int64    // second it ends or, if deleted, was deleted; 0: never
	ops      [][]byte // the last kv.RememberedOps, oldest first; the last is the revision
	counters []counter
	value    []byte
}

const (
	flagDeleted = 1 << iota
	flagValue
)

func (i *item) live(now time.Time) bool {
	return i != nil && !i.deleted && (i.expiry == 0 || now.Unix() < i.expiry)
}

// forget returns the second from which the item's ops are not needed any more;
// 0 is never. An expired item is remembered as long as a deleted one.
func (i *item) forget() int64 {
	if i.expiry == 0 {
		return 0
	}
	return i.expiry + int64(kv.TombstoneLife/time.Second)
}

func (i *item) rev() string { return string(i.ops[len(i.ops)-1]) }

func (i *item) remembers(op string) bool {
	return i != nil && slices.ContainsFunc(i.ops, func(o []byte) bool { return string(o) == op })
}

func (i *item) remember(op string) {
	if len(i.ops) == kv.RememberedOps {
		i.ops = i.ops[1:]
	}
	i.ops = append(slices.Clip(i.ops), []byte(op))
}

func (i *item) encode() []byte {
	var flags byte
	if i.deleted {
		flags |= flagDeleted
	}
	if i.hasValue {
		flags |= flagValue
	}
	b := make([]byte, 0, 64+40*len(i.ops)+32*len(i.counters)+len(i.value))
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(i.expiry))
	b = binary.AppendUvarint(b, uint64(len(i.ops)))
	for _, op := range i.ops {
		b = appendBytes(b, op)
	}
	b = appendCounters(b, i.counters)
	return append(b, i.value...)
}

func decodeItem(b []byte) (*item, error) {
	d := decoder{b: b}
	flags := d.byte()
	i := &item{deleted: flags&flagDeleted != 0, hasValue: flags&flagValue != 0}
	i.expiry = int64(d.uvarint())
	i.ops = make([][]byte, d.count(kv.RememberedOps))
	for n := range i.ops {
		i.ops[n] = d.bytes()
	}
	i.counters = d.counters()
	i.value = d.b
	if d.bad || len(i.ops) == 0 || flags >= flagValue<<1 {
		return nil, errDamaged
	}
	return i, nil
}

// public copies the item out of its transaction.
func (i *item) public(key string) kv.Item {
	out := kv.Item{Key: key, Counters: public(i.counters), Rev: i.rev()}
	if i.hasValue {
		out.Value = append([]byte{}, i.value...)
	}
	if i.expiry != 0 {
		out.Expires = time.Unix(i.expiry, 0)
	}
	return out
}

// segment is the stored form of a kv.Segment, open or settled.
//
//	serial, touched, expiry, seen, counters
type segment struct {
	serial   uint64 // of the event counted last; never given twice in a file
	touched  int64  // second
	expiry   int64  // second; 0 while open
	seen     []byte // digests of event ids, digestSize each
	counters []counter
}

// digestSize is how much of an event id's SHA-256 is kept: ids of any length
// cost the same, and no two will ever meet.
const digestSize = 16

func digest(event string) []byte {
	sum := sha256.Sum256([]byte(event))
	return sum[:digestSize]
}

func (s *segment) has(digest []byte) bool {
	for b := s.seen; len(b) > 0; b = b[digestSize:] {
		if bytes.Equal(b[:digestSize], digest) {
			return true
		}
	}
	return false
}

func (s *segment) events() int { return len(s.seen) / digestSize }

func (s *segment) rev() string { return strconv.FormatUint(s.serial, 36) }

func (s *segment) encode() []byte {
	b := make([]byte, 0, 32+len(s.seen)+32*len(s.counters))
	b = binary.AppendUvarint(b, s.serial)
	b = binary.AppendUvarint(b, uint64(s.touched))
	b = binary.AppendUvarint(b, uint64(s.expiry))
	b = appendBytes(b, s.seen)
	return appendCounters(b, s.counters)
}

func decodeSegment(b []byte) (*segment, error) {
	d := decoder{b: b}
	s := &segment{serial: d.uvarint(), touched: int64(d.uvarint()), expiry: int64(d.uvarint()), seen: d.bytes()}
	s.counters = d.counters()
	if d.bad || len(d.b) > 0 || len(s.seen)%digestSize != 0 {
		return nil, errDamaged
	}
	return s, nil
}

func (s *segment) public(name string) kv.Segment {
	return kv.Segment{
		Name:     name,
		Rev:      s.rev(),
		Counters: public(s.counters),
		Events:   s.events(),
		Touched:  time.Unix(s.touched, 0),
	}
}

// add returns counters with deltas added, leaving the argument as it was.
func add(counters []counter, deltas []kv.Delta) ([]counter, error) {
	out := slices.Clone(counters)
	for _, d := range deltas {
		at := sort.Search(len(out), func(i int) bool { return string(out[i].name) >= d.Counter })
		if at == len(out) || string(out[at].name) != d.Counter {
			if len(out) == kv.MaxCounters {
				return nil, tooMany("counters", kv.MaxCounters)
			}
			out = slices.Insert(out, at, counter{name: []byte(d.Counter)})
		}
		sum, ok := kv.Sum(out[at].value, d.By)
		if !ok || (d.Floor != nil && sum < *d.Floor) {
			return nil, kv.ErrRange
		}
		out[at].value = sum
	}
	return out, nil
}

func public(counters []counter) map[string]int64 {
	if len(counters) == 0 {
		return nil
	}
	m := make(map[string]int64, len(counters))
	for _, c := range counters {
		m[string(c.name)] = c.value
	}
	return m
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendCounters(b []byte, counters []counter) []byte {
	b = binary.AppendUvarint(b, uint64(len(counters)))
	for _, c := range counters {
		b = appendBytes(b, c.name)
		b = binary.AppendVarint(b, c.value)
	}
	return b
}

// decoder takes a record apart. After a fault it yields zeros and is bad.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.b, d.bad = nil, true
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > math.MaxInt64 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) count(limit int) int {
	n := d.uvarint()
	if n > uint64(limit) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) counters() []counter {
	cs := make([]counter, d.count(kv.MaxCounters))
	for i := range cs {
		cs[i] = counter{name: d.bytes(), value: d.varint()}
	}
	return cs
}

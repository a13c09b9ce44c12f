package dynamokv

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/backchannel-im/backchannel/shared/kv"
)

type attributes = map[string]types.AttributeValue

// Sort keys begin with what kind of record they name.
const (
	itemPrefix    = "i"
	segmentPrefix = "s"
)

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func counterMap(c map[string]int64) types.AttributeValue {
	m := make(attributes, len(c))
	for name, n := range c {
		m[name] = number(n)
	}
	return &types.AttributeValueMemberM{Value: m}
}

func nameOf(partition, sk string) attributes {
	return attributes{"pk": text(partition), "sk": text(sk)}
}

// digestSize is how much of an op's or an event's hash is kept: 64 bits, among
// the few hundred that are ever compared.
const digestSize = 8

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return string(sum[:digestSize])
}

// item is an item as it is stored: live, expired or deleted.
type item struct {
	value    []byte // nil: none
	counters map[string]int64
	rev      string
	past     string // digests of the ops before rev, oldest first
	deleted  bool
	expires  int64 // seconds; 0: never
}

func (i *item) live(now time.Time) bool {
	return i != nil && !i.deleted && (i.expires == 0 || now.Unix() < i.expires)
}

// remembers reports whether op is among those that wrote the item lately.
func (i *item) remembers(op string) bool {
	if i == nil {
		return false
	}
	if i.rev == op {
		return true
	}
	d := digest(op)
	for p := 0; p+digestSize <= len(i.past); p += digestSize {
		if i.past[p:p+digestSize] == d {
			return true
		}
	}
	return false
}

// written returns the item's successor, made by op, with nothing in it unless
// the item is live.
func (i *item) written(op string, now time.Time) *item {
	next := &item{rev: op}
	if i == nil {
		return next
	}
	if i.live(now) {
		next.value, next.expires, next.counters = i.value, i.expires, maps.Clone(i.counters)
	}
	past := i.past + digest(i.rev)
	if over := len(past) - (kv.RememberedOps-1)*digestSize; over > 0 {
		past = past[over:]
	}
	next.past = past
	return next
}

// encode writes the item with its keys. A deleted one is kept a while for the
// ops it remembers.
func (i *item) encode(partition, key string, now time.Time) attributes {
	a := nameOf(partition, itemPrefix+key)
	a["r"] = text(i.rev)
	if i.past != "" {
		a["p"] = &types.AttributeValueMemberB{Value: []byte(i.past)}
	}
	if i.value != nil {
		a["v"] = &types.AttributeValueMemberB{Value: i.value}
	}
	if len(i.counters) > 0 {
		a["c"] = counterMap(i.counters)
	}
	switch {
	case i.deleted:
		a["d"] = &types.AttributeValueMemberBOOL{Value: true}
		a["ttl"] = number(now.Add(kv.TombstoneLife).Unix())
	case i.expires != 0:
		// An expired item, too, is remembered for a while.
		a["x"] = number(i.expires)
		a["ttl"] = number(i.expires + int64(kv.TombstoneLife/time.Second))
	}
	return a
}

func (i *item) public(key string) kv.Item {
	out := kv.Item{Key: key, Value: i.value, Rev: i.rev}
	if len(i.counters) > 0 {
		out.Counters = i.counters
	}
	if i.expires != 0 {
		out.Expires = time.Unix(i.expires, 0)
	}
	return out
}

// decodeItem reads an item, or nil from no attributes.
func decodeItem(a attributes) (*item, error) {
	if len(a) == 0 {
		return nil, nil
	}
	i := new(item)
	var err error
	if v, is := a["v"].(*types.AttributeValueMemberB); is {
		i.value = v.Value
		if i.value == nil {
			i.value = []byte{}
		}
	}
	if i.counters, err = countersOf(a); err != nil {
		return nil, err
	}
	i.rev = textOf(a["r"])
	if p, is := a["p"].(*types.AttributeValueMemberB); is {
		i.past = string(p.Value)
	}
	_, i.deleted = a["d"]
	i.expires, err = numberOf(a["x"])
	return i, err
}

func textOf(v types.AttributeValue) string {
	if s, is := v.(*types.AttributeValueMemberS); is {
		return s.Value
	}
	return ""
}

func numberOf(v types.AttributeValue) (int64, error) {
	n, is := v.(*types.AttributeValueMemberN)
	if !is {
		return 0, nil
	}
	out, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("dynamokv: a stored number is outside int64: %w", kv.ErrRange)
	}
	return out, nil
}

func countersOf(a attributes) (map[string]int64, error) {
	m, is := a["c"].(*types.AttributeValueMemberM)
	if !is || len(m.Value) == 0 {
		return nil, nil
	}
	out := make(map[string]int64, len(m.Value))
	for name, v := range m.Value {
		n, err := numberOf(v)
		if err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, nil
}

// segment is a segment as it is stored.
type segment struct {
	counters map[string]int64
	rev      string
	seen     map[string]bool
	touched  int64
	open     bool
}

func decodeSegment(a attributes) (*segment, error) {
	g := &segment{rev: textOf(a["r"]), seen: make(map[string]bool)}
	var err error
	if g.counters, err = countersOf(a); err != nil {
		return nil, err
	}
	if e, is := a["e"].(*types.AttributeValueMemberBS); is {
		for _, d := range e.Value {
			g.seen[string(d)] = true
		}
	}
	g.touched, err = numberOf(a["t"])
	_, g.open = a["open"]
	return g, err
}

func (g *segment) public(name string) kv.Segment {
	return kv.Segment{Name: name, Rev: g.rev, Counters: g.counters, Events: len(g.seen), Touched: time.Unix(g.touched, 0)}
}

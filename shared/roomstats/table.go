package roomstats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// leafBytes bounds an encoded leaf. With keys, revision and remembered ops the
// item stays below 1 KB, one write unit of DynamoDB.
const leafBytes = 800

// table keeps a row of numbers for each of any number of users, in order of
// UserID, with as many rows in one item as fit a write unit. An item ("leaf")
// is named by the least UserID it may hold and knows that of its successor, so
// that a user's leaf is the last one whose name is not greater. A leaf that
// grows too large is split; leaves are never joined.
type table struct {
	store     kv.Store
	partition string
	prefix    string    // of the keys of its leaves, ending in a slash
	expires   time.Time // of leaves that are written; zero: never
}

// row is a user's numbers. Numbers beyond its end are 0.
type row struct {
	user    string
	numbers []int64
}

func (r row) number(i int) int64 {
	if i < len(r.numbers) {
		return r.numbers[i]
	}
	return 0
}

func (r row) MarshalJSON() ([]byte, error) {
	out := []any{r.user}
	for _, n := range r.numbers {
		out = append(out, n)
	}
	return json.Marshal(out)
}

func (r *row) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil || len(list) == 0 {
		return errors.Join(errors.New("roomstats: a row without a user"), err)
	}
	if err := json.Unmarshal(list[0], &r.user); err != nil {
		return err
	}
	r.numbers = make([]int64, len(list)-1)
	for i := range r.numbers {
		if err := json.Unmarshal(list[i+1], &r.numbers[i]); err != nil {
			return err
		}
	}
	return nil
}

// leaf is an item of a table.
type leaf struct {
	key, rev string // rev "": it does not exist yet

	Next *string `json:"next,omitempty"` // least UserID of the next leaf; nil: there is none
	Rows []row   `json:"rows"`
}

func (l *leaf) find(user string) (int, bool) {
	return slices.BinarySearchFunc(l.Rows, user, func(r row, user string) int { return strings.Compare(r.user, user) })
}

// leafOf returns the leaf that holds a user's row, or would.
func (t table) leafOf(ctx context.Context, user string) (*leaf, error) {
	// No UserID ends in \x01 or below, so this is just behind the user's own key.
	r := kv.Range{Prefix: t.prefix, After: t.prefix + user + "\x01", Reverse: true, Limit: 1}
	for {
		page, err := t.store.List(ctx, t.partition, r)
		if err != nil {
			return nil, err
		}
		if len(page.Items) > 0 {
			return decodeLeaf(page.Items[0])
		}
		if page.Next == "" {
			return &leaf{key: t.prefix}, nil
		}
		r.After = page.Next
	}
}

func decodeLeaf(item kv.Item) (*leaf, error) {
	l := &leaf{key: item.Key, rev: item.Rev}
	if err := json.Unmarshal(item.Value, l); err != nil {
		return nil, fmt.Errorf("roomstats: a stored leaf: %w", err)
	}
	return l, nil
}

// get returns a user's row, without numbers if there is none.
func (t table) get(ctx context.Context, user string) (row, error) {
	l, err := t.leafOf(ctx, user)
	if err != nil {
		return row{}, err
	}
	if i, found := l.find(user); found {
		return l.Rows[i], nil
	}
	return row{user: user}, nil
}

// page returns at most limit rows of users behind one, and whether there are more.
func (t table) page(ctx context.Context, after string, limit int) (rows []row, more bool, err error) {
	l, err := t.leafOf(ctx, after)
	if err != nil {
		return nil, false, err
	}
	take := func(l *leaf) {
		for _, r := range l.Rows {
			if r.user > after {
				rows = append(rows, r)
			}
		}
	}
	take(l)
	for r := (kv.Range{Prefix: t.prefix, After: l.key, Limit: 8}); len(rows) <= limit; {
		page, err := t.store.List(ctx, t.partition, r)
		if err != nil {
			return nil, false, err
		}
		for _, item := range page.Items {
			if l, err = decodeLeaf(item); err != nil {
				return nil, false, err
			}
			take(l)
		}
		if page.Next == "" {
			break
		}
		r.After = page.Next
	}
	if len(rows) > limit {
		return rows[:limit], true, nil
	}
	return rows, false, nil
}

// add returns the writes that add numbers to the rows of users, these rows as they
// will be, and the users who had none. Sums that would leave int64 stay at its end.
func (t table) add(ctx context.Context, deltas map[string][]int64) (writes []kv.Write, after []row, fresh []string, err error) {
	users := slices.Sorted(maps.Keys(deltas))
	for len(users) > 0 {
		l, err := t.leafOf(ctx, users[0])
		if err != nil {
			return nil, nil, nil, err
		}
		for len(users) > 0 && (l.Next == nil || users[0] < *l.Next) {
			user := users[0]
			users = users[1:]
			i, found := l.find(user)
			if !found {
				l.Rows = slices.Insert(l.Rows, i, row{user: user})
				fresh = append(fresh, user)
			}
			l.Rows[i].numbers = plus(l.Rows[i].numbers, deltas[user])
			after = append(after, l.Rows[i])
		}
		more, err := t.put(l)
		if err != nil {
			return nil, nil, nil, err
		}
		writes = append(writes, more...)
	}
	return writes, after, fresh, nil
}

// remove returns the writes that take a user's row out; none where there is none. An
// empty leaf stays, since its neighbour names it.
func (t table) remove(ctx context.Context, user string) ([]kv.Write, error) {
	l, err := t.leafOf(ctx, user)
	if err != nil {
		return nil, err
	}
	i, found := l.find(user)
	if !found {
		return nil, nil
	}
	l.Rows = slices.Delete(l.Rows, i, i+1)
	return t.put(l)
}

// put returns the writes that store a leaf, in several where it became too large.
func (t table) put(l *leaf) ([]kv.Write, error) {
	value, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("roomstats: %w", err)
	}
	if len(value) > leafBytes && len(l.Rows) > 1 {
		half := len(l.Rows) / 2
		right := &leaf{key: t.prefix + l.Rows[half].user, Next: l.Next, Rows: l.Rows[half:]}
		left := &leaf{key: l.key, rev: l.rev, Next: &l.Rows[half].user, Rows: l.Rows[:half]}
		writes, err := t.put(left)
		if err != nil {
			return nil, err
		}
		more, err := t.put(right)
		return append(writes, more...), err
	}
	return []kv.Write{kv.Put{Key: l.key, Value: value, Expires: t.expires, If: condition(l.rev)}}, nil
}

// condition is that an item has still the revision that was read; "": none.
func condition(rev string) kv.Cond {
	if rev == "" {
		return kv.Absent()
	}
	return kv.Rev(rev)
}

// plus adds numbers one by one, into a slice of its own.
func plus(a, b []int64) []int64 {
	out := make([]int64, max(len(a), len(b)))
	copy(out, a)
	for i, n := range b {
		out[i] = sum(out[i], n)
	}
	return out
}

// sum adds, and stays at the end of int64 instead of leaving it.
func sum(a, b int64) int64 {
	if n, ok := kv.Sum(a, b); ok {
		return n
	}
	if b > 0 {
		return 1<<63 - 1
	}
	return -1 << 63
}

// load reads a JSON item into v, and returns the condition that it has not
// changed. v stays as it is when there is no such item.
func load(ctx context.Context, store kv.Store, partition, key string, v any) (kv.Cond, error) {
	item, err := store.Get(ctx, partition, key)
	if errors.Is(err, kv.ErrNotFound) {
		return kv.Absent(), nil
	}
	if err != nil {
		return kv.Cond{}, err
	}
	if err := json.Unmarshal(item.Value, v); err != nil {
		return kv.Cond{}, fmt.Errorf("roomstats: the stored %s: %w", key, err)
	}
	return kv.Rev(item.Rev), nil
}

// put is the write of a JSON item.
func put(key string, v any, cond kv.Cond, expires time.Time) (kv.Put, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return kv.Put{}, fmt.Errorf("roomstats: %w", err)
	}
	return kv.Put{Key: key, Value: value, If: cond, Expires: expires}, nil
}

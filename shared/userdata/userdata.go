// Package userdata exports and erases the records that the store keeps of one user.
// Each rule says which records of a user it keeps, and where, as a [Source]; package
// wiring/users lists them for all features, and tests have every feature and every
// stored type in the list.
//
// A partition of the user's own is found by its name. A record among the records of
// other users, such as a row of a room's statistics, is found by an index: the rule
// notes the record's place ([Note]) before it writes the record for the first time. So
// an export or an erasure costs in proportion to the user's records, not to the size
// of the store, but for partitions that a [Search] reads as a whole.
//
// An erasure ([Eraser]) passes over all records twice: at once, and after [Settled],
// when every event of before the erasure is counted or dropped. A record of something
// that is not over by then, such as an open ticket, is looked at again once in Settled
// until it is over. A crashed erasure is resumed.
package userdata

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Place is where a rule keeps records of one user: the items of a partition, or
// those whose keys have a prefix.
type Place struct {
	Partition, Prefix string
	// Keep says why the records stay when a user is erased, such as books of account
	// or a ban; "" for records that are erased. It sees the first page of the records.
	// nil: the records are erased.
	Keep func(items []kv.Item, now time.Time) (why string, err error)
	// Read and Erase are for items that stand for more than themselves. Read returns
	// what is exported, nil for nothing. Erase erases that and the item, may be
	// repeated, and reports whether there was anything; its error may be a [Waits].
	Read  func(ctx context.Context, store kv.Store, userID string, item kv.Item) (any, error)
	Erase func(ctx context.Context, store kv.Store, userID string, item kv.Item, now time.Time) (bool, error)
}

// Waits is the error of a Source whose record is of something that is not over, such
// as an open ticket. Its text says of what. The record stays as it is, and the erasure
// looks at it again after [Settled], until it is over.
type Waits string

func (w Waits) Error() string { return string(w) }

// Source is a feature with what it holds of a user.
type Source struct {
	Feature string
	// Forms are all kinds of records of the feature that name a user.
	Forms []Form
	// Places are those of the user's own; nil: there are none.
	Places func(userID string) []Place
	// Read and Erase are for noted places that hold other than one item of that
	// partition and key. Read returns what is there, nil for nothing. Erase erases it,
	// may be repeated, and reports whether there was anything; its error may be a
	// [Waits].
	Read  func(ctx context.Context, store kv.Store, userID string, n Noted) (any, error)
	Erase func(ctx context.Context, store kv.Store, userID string, n Noted, now time.Time) (bool, error)
	// Search is for noted places that stand for many items; nil: there are none.
	Search *Search
}

// Search is how a Source handles noted places that stand for all items of a user in a
// partition which has items of others, too. The partition is read as a whole, page by
// page.
type Search struct {
	// In reports whether a noted place is one of these.
	In func(n Noted) bool
	// Read returns what is exported of an item, nil for an item of another user.
	Read func(userID string, item kv.Item) (any, error)
	// Erase erases the user in an item, may be repeated, and reports whether the user was
	// in it.
	Erase func(ctx context.Context, store kv.Store, userID, partition string, item kv.Item) (bool, error)
}

// searched returns the partition that a noted place stands for, false for a place that
// is not to be searched.
func (p placed) searched(item kv.Item) (partition string, ok bool, err error) {
	if p.source == nil || p.source.Search == nil {
		return "", false, nil
	}
	n, err := decodeNoted(item)
	return n.Partition, err == nil && p.source.Search.In(n), err
}

// Record is one exported item.
type Record struct {
	Feature   string           `json:"feature"`
	Partition string           `json:"partition"`
	Key       string           `json:"key"`
	Value     any              `json:"value,omitempty"` // JSON as it is, other text as text, the rest in base64
	Counters  map[string]int64 `json:"counters,omitempty"`
	Expires   time.Time        `json:"expires,omitzero"`
}

// Page is a part of an export.
type Page struct {
	UserID  string   `json:"userId"`
	Records []Record `json:"records"`
	Next    string   `json:"next,omitempty"`
}

// Kept names records that an erasure left, and why.
type Kept struct {
	Feature string `json:"feature"`
	Why     string `json:"why"`
}

// Erased is the result of a part of an erasure. With More the caller calls again, and
// collects what is in Kept and Waits.
type Erased struct {
	UserID string `json:"userId"`
	Erased int    `json:"erased"`
	// Kept lists what stays of all features, and of what this call looked at.
	Kept []Kept `json:"kept"`
	// Waits lists what is not over yet, such as an open ticket, and is erased when it is.
	Waits []Kept `json:"waits,omitempty"`
	More  bool   `json:"more"`
	// Again is when the erasure's next pass is due, zero when nothing is left to erase.
	// With a queue a job does the next pass, otherwise the caller calls again then.
	Again time.Time `json:"again,omitzero"`
}

// ErrPage: after is not the next of a page before.
var ErrPage = errors.New("userdata: no such page")

type placed struct {
	feature string
	Place
	source *Source // of noted places; nil: the place is a partition of the user's own
}

// name tells the place from others of the user, in each release.
func (p placed) name() string { return p.feature + " " + p.Partition + " " + p.Prefix }

func places(sources []Source, userID string) (list []placed) {
	for _, s := range sources {
		if s.Places != nil {
			for _, p := range s.Places(userID) {
				list = append(list, placed{feature: s.Feature, Place: p})
			}
		}
		list = append(list, placed{s.Feature, Place{Partition: indexPartition(userID), Prefix: s.Feature + "/"}, &s})
	}
	return list
}

// records returns what an item of a place stands for.
func (p placed) records(ctx context.Context, store kv.Store, userID string, item kv.Item) ([]Record, error) {
	if p.source == nil && p.Read != nil {
		value, err := p.Read(ctx, store, userID, item)
		if err != nil || value == nil {
			return nil, err
		}
		return []Record{{p.feature, p.Partition, item.Key, value, nil, item.Expires}}, nil
	}
	if p.source == nil {
		return []Record{{p.feature, p.Partition, item.Key, readable(item.Value), item.Counters, item.Expires}}, nil
	}
	n, err := decodeNoted(item)
	if err != nil {
		return nil, err
	}
	if p.source.Read != nil {
		value, err := p.source.Read(ctx, store, userID, n)
		if err != nil || value == nil {
			return nil, err
		}
		return []Record{{p.feature, n.Partition, n.Key, value, nil, time.Time{}}}, nil
	}
	is, err := store.Get(ctx, n.Partition, n.Key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []Record{{p.feature, n.Partition, is.Key, readable(is.Value), is.Counters, is.Expires}}, nil
}

// exportPages is how many pages of partitions that are searched one call of Export
// reads.
const exportPages = 50

// position is where a page of an export ends: behind a key of a place, and within the
// partition that the noted place at stands for behind another.
type position struct {
	place           int
	key, at, within string
}

func (p position) String() string {
	encode := base64.RawURLEncoding.EncodeToString
	text := fmt.Sprintf("%d.%s", p.place, encode([]byte(p.key)))
	if p.at != "" {
		text += "." + encode([]byte(p.at)) + "." + encode([]byte(p.within))
	}
	return text
}

func parsePosition(text string, places int) (p position, err error) {
	number, rest, _ := strings.Cut(text, ".")
	var keys []string
	for part := range strings.SplitSeq(rest, ".") {
		key, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return p, ErrPage
		}
		keys = append(keys, string(key))
	}
	if p.place, err = strconv.Atoi(number); err != nil || p.place < 0 || p.place >= places {
		return p, ErrPage
	}
	switch len(keys) {
	case 1:
		p.key = keys[0]
	case 3:
		p.key, p.at, p.within = keys[0], keys[1], keys[2]
	default:
		return p, ErrPage
	}
	return p, nil
}

// Export returns records of a user, at most limit of them, from after on. A page may
// have fewer records and a Next: much was searched for them.
func Export(ctx context.Context, store kv.Store, sources []Source, userID, after string, limit int) (Page, error) {
	out := Page{UserID: userID, Records: []Record{}}
	list := places(sources, userID)
	var from position
	if after != "" {
		var err error
		if from, err = parsePosition(after, len(list)); err != nil {
			return out, err
		}
	}
	pages := exportPages
	for ; from.place < len(list); from = (position{place: from.place + 1}) {
		p := list[from.place]
		for {
			page, err := store.List(ctx, p.Partition, kv.Range{Prefix: p.Prefix, After: from.key, Limit: limit - len(out.Records)})
			if err != nil {
				return out, err
			}
			for _, item := range page.Items {
				if len(out.Records) >= limit {
					out.Next = from.String()
					return out, nil
				}
				partition, search, err := p.searched(item)
				if err != nil {
					return out, err
				}
				if !search {
					records, err := p.records(ctx, store, userID, item)
					if err != nil {
						return out, err
					}
					out.Records = append(out.Records, records...)
				} else {
					if from.at != item.Key {
						from.at, from.within = item.Key, ""
					}
					if over, err := p.search(ctx, store, userID, partition, limit, &from, &pages, &out); err != nil || !over {
						out.Next = from.String()
						return out, err
					}
				}
				from = position{place: from.place, key: item.Key}
			}
			from.key = page.Next
			if len(out.Records) >= limit {
				if from.key == "" {
					from.place++
				}
				if from.place < len(list) {
					out.Next = from.String()
				}
				return out, nil
			}
			if from.key == "" {
				break
			}
		}
	}
	return out, nil
}

// search adds the records of a user in a partition of many, moves from on, and reports
// whether that was all of the partition.
func (p placed) search(ctx context.Context, store kv.Store, userID, partition string, limit int, from *position, pages *int, out *Page) (over bool, err error) {
	for ; *pages > 0; *pages-- {
		page, err := store.List(ctx, partition, kv.Range{After: from.within, Limit: kv.MaxPage})
		if err != nil {
			return false, err
		}
		for _, item := range page.Items {
			value, err := p.source.Search.Read(userID, item)
			if err != nil {
				return false, err
			}
			if value != nil && len(out.Records) >= limit {
				return false, nil
			}
			if value != nil {
				out.Records = append(out.Records, Record{p.feature, partition, item.Key, value, nil, item.Expires})
			}
			from.within = item.Key
		}
		if page.Next == "" {
			return true, nil
		}
		from.within = page.Next
	}
	return false, nil
}

// readable is a value as JSON.
func readable(b []byte) any {
	switch {
	case b == nil:
		return nil
	case json.Valid(b):
		return json.RawMessage(b)
	case utf8.Valid(b):
		return string(b)
	}
	return map[string]string{"base64": base64.StdEncoding.EncodeToString(b)}
}

// Package userdata exports and erases what the store keeps of one user, for a user
// who asks for it. Each rule says where it keeps records of a user, as a [Holding];
// package wiring/users lists them for all features, and a test has every feature in
// the list.
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
	// Keep says why the records stay when a user is erased, "" for those that go:
	// books of account, a ban that the user would otherwise get rid of.
	Keep string
}

// Holding is all that a rule keeps of a user.
type Holding struct {
	Places []Place
	// Elsewhere says what the user leaves in records of others, such as the counts of
	// a room, and what becomes of it. "" for nothing.
	Elsewhere string
}

// Source is a feature with what it holds of a user.
type Source struct {
	Feature string
	Of      func(userID string) Holding
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

// Kept is what an erasure left, and why.
type Kept struct {
	Feature string `json:"feature"`
	Why     string `json:"why"`
}

// Erased is what an erasure did. With More the caller asks again.
type Erased struct {
	UserID string `json:"userId"`
	Erased int    `json:"erased"`
	Kept   []Kept `json:"kept"`
	More   bool   `json:"more"`
}

// ErrPage: after is not the next of a page before.
var ErrPage = errors.New("userdata: no such page")

type placed struct {
	feature string
	Place
}

func places(sources []Source, userID string) (list []placed) {
	for _, s := range sources {
		for _, p := range s.Of(userID).Places {
			list = append(list, placed{s.Feature, p})
		}
	}
	return list
}

// Export returns records of a user, at most limit of them, from after on.
func Export(ctx context.Context, store kv.Store, sources []Source, userID, after string, limit int) (Page, error) {
	out := Page{UserID: userID, Records: []Record{}}
	list := places(sources, userID)
	place, key := 0, ""
	if after != "" {
		number, rest, found := strings.Cut(after, ".")
		name, err := base64.RawURLEncoding.DecodeString(rest)
		n, numberErr := strconv.Atoi(number)
		if !found || err != nil || numberErr != nil || n < 0 || n >= len(list) {
			return out, ErrPage
		}
		place, key = n, string(name)
	}
	for ; place < len(list); place, key = place+1, "" {
		p := list[place]
		for {
			page, err := store.List(ctx, p.Partition, kv.Range{Prefix: p.Prefix, After: key, Limit: limit - len(out.Records)})
			if err != nil {
				return out, err
			}
			for _, item := range page.Items {
				out.Records = append(out.Records, Record{p.feature, p.Partition, item.Key, readable(item.Value), item.Counters, item.Expires})
			}
			key = page.Next
			if len(out.Records) >= limit {
				if key == "" {
					place++
				}
				if place < len(list) {
					out.Next = fmt.Sprintf("%d.%s", place, base64.RawURLEncoding.EncodeToString([]byte(key)))
				}
				return out, nil
			}
			if key == "" {
				break
			}
		}
	}
	return out, nil
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

// eraseAtOnce is how many items one call deletes.
const eraseAtOnce = 500

// Erase deletes records of a user, except those that a rule keeps. It may be repeated,
// and is, while More: a record that is written meanwhile is met by the next call.
func Erase(ctx context.Context, store kv.Store, sources []Source, userID string) (Erased, error) {
	out := Erased{UserID: userID, Kept: []Kept{}}
	for _, s := range sources {
		h := s.Of(userID)
		if h.Elsewhere != "" {
			out.Kept = append(out.Kept, Kept{s.Feature, h.Elsewhere})
		}
		for _, p := range h.Places {
			if err := erase(ctx, store, s.Feature, p, &out); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

func erase(ctx context.Context, store kv.Store, feature string, p Place, out *Erased) error {
	for r := (kv.Range{Prefix: p.Prefix}); ; {
		page, err := store.List(ctx, p.Partition, r)
		if err != nil {
			return err
		}
		if p.Keep != "" {
			if len(page.Items) > 0 {
				out.Kept = append(out.Kept, Kept{feature, p.Keep})
				return nil
			}
		} else {
			for _, item := range page.Items {
				if out.Erased >= eraseAtOnce {
					out.More = true
					return nil
				}
				err := store.Commit(ctx, p.Partition, kv.NewOp("erase"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
				if errors.Is(err, kv.ErrConflict) {
					out.More = true // it changed at this moment
					continue
				}
				if err != nil {
					return err
				}
				out.Erased++
			}
		}
		if r.After = page.Next; page.Next == "" {
			return nil
		}
	}
}

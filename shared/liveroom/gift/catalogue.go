package gift

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
)

// Gift is an entry of the catalogue, with the fields of the Flutter plug-in for live
// rooms.
type Gift struct {
	GiftID string `json:"giftId"`
	Name   string `json:"name"`
	Units  string `json:"units"`  // counting word, such as "pcs"
	Price  int64  `json:"price"`  // of one piece
	Icon   string `json:"icon"`   // URL of the picture, or its path below the app's base URL
	Effect string `json:"effect"` // URL or path of the animation
	Type   int    `json:"type"`   // 1 in the chat, 2 slides in, 3 with an effect of its own
	Active bool   `json:"active"` // whether it can be ordered
	// Version counts the changes, from 1. A change names the version that it changes.
	Version int64 `json:"version"`
}

// Limits of a gift, in bytes.
const (
	MaxGiftID = 64
	MaxName   = 64
	MaxUnits  = 32
	MaxURL    = 512
	// MaxGifts bounds the gifts of the catalogue.
	MaxGifts = 1000
)

const (
	cataloguePartition = "gifts"
	giftPrefix         = "gift/"
)

var errNoGift = fault.New(fault.NotFound, "there is no such gift")

func (g Gift) check() error {
	text := func(field, s string, least, most int) error {
		if len(s) < least || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fault.New(fault.Invalid, "%s has %d to %d bytes, without control characters", field, least, most)
		}
		return nil
	}
	for _, err := range []error{
		text("name", g.Name, 1, MaxName), text("units", g.Units, 0, MaxUnits), text("icon", g.Icon, 0, MaxURL), text("effect", g.Effect, 0, MaxURL),
	} {
		if err != nil {
			return err
		}
	}
	switch {
	case !isGiftID(g.GiftID):
		return fault.New(fault.Invalid, "giftId is 1 to %d letters, digits, '-', '_' and '.'", MaxGiftID)
	case g.Price < 1 || g.Price > wallet.MaxAmount:
		return fault.New(fault.Invalid, "price is a whole number from 1 to %d", int64(wallet.MaxAmount))
	case g.Type < 1 || g.Type > 3:
		return fault.New(fault.Invalid, "type is 1, 2 or 3")
	case !isLink(g.Icon) || !isLink(g.Effect):
		return fault.New(fault.Invalid, "icon and effect are https URLs, or paths below the app's own base URL")
	}
	return nil
}

func isGiftID(id string) bool {
	return id != "" && len(id) <= MaxGiftID && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_' && r != '.'
	})
}

// isLink refuses what a client would run instead of show.
func isLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "" || u.Scheme == "https" || u.Scheme == "http")
}

// Gift returns a gift; NotFound if the catalogue lacks it.
func (g *Gifts) Gift(ctx context.Context, giftID string) (Gift, error) {
	is, _, err := g.gift(ctx, giftID)
	return is, err
}

func (g *Gifts) gift(ctx context.Context, giftID string) (is Gift, rev string, err error) {
	if !isGiftID(giftID) {
		return Gift{}, "", errNoGift
	}
	item, err := g.store.Get(ctx, cataloguePartition, giftPrefix+giftID)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return Gift{}, "", errNoGift
	case err != nil:
		return Gift{}, "", public(err)
	}
	if err := json.Unmarshal(item.Value, &is); err != nil {
		return Gift{}, "", fmt.Errorf("gift: a gift does not decode: %w", err)
	}
	return is, item.Rev, nil
}

// Catalogue returns gifts in the order of their ids, and the next page's after, ""
// at the end.
func (g *Gifts) Catalogue(ctx context.Context, after string, limit int) (gifts []Gift, next string, err error) {
	r := kv.Range{Prefix: giftPrefix}
	if after != "" {
		r.After = giftPrefix + after
	}
	for {
		r.Limit = limit + 1 - len(gifts) // one more tells whether there is a next page
		page, err := g.store.List(ctx, cataloguePartition, r)
		if err != nil {
			return nil, "", public(err)
		}
		for _, item := range page.Items {
			if len(gifts) == limit {
				return gifts, gifts[limit-1].GiftID, nil
			}
			var is Gift
			if err := json.Unmarshal(item.Value, &is); err != nil {
				return nil, "", fmt.Errorf("gift: a gift does not decode: %w", err)
			}
			gifts = append(gifts, is)
		}
		if page.Next == "" {
			return gifts, "", nil
		}
		r.After = page.Next
	}
}

var errStale = fault.New(fault.Conflict, "this is not the gift's current version; read it again (a new gift has version 0)")

// Put makes a gift, if the given version is 0, or changes the gift of that version. It
// returns the gift with its new version. Repeating the change that was made last is a
// no-op.
func (g *Gifts) Put(ctx context.Context, is Gift) (Gift, error) {
	if err := is.check(); err != nil {
		return Gift{}, err
	}
	was, rev, err := g.gift(ctx, is.GiftID)
	cond := kv.Rev(rev)
	if errors.Is(err, errNoGift) {
		cond, err = kv.Absent(), g.room(ctx)
	}
	if err != nil {
		return Gift{}, err
	}
	asked := is.Version
	is.Version++
	switch {
	case is == was:
		return is, nil // the answer was lost, or the caller repeats itself
	case asked != was.Version:
		return Gift{}, errStale
	}
	value, err := json.Marshal(is)
	if err != nil {
		return Gift{}, fmt.Errorf("gift: %w", err)
	}
	err = g.store.Commit(ctx, cataloguePartition, "gift/"+rand.Text(), kv.Put{Key: giftPrefix + is.GiftID, Value: value, If: cond})
	if errors.Is(err, kv.ErrConflict) {
		return Gift{}, errStale
	}
	return is, public(err)
}

// room refuses another gift in a catalogue that is full.
func (g *Gifts) room(ctx context.Context) error {
	n := 0
	for r := (kv.Range{Prefix: giftPrefix, Limit: kv.MaxPage}); ; {
		page, err := g.store.List(ctx, cataloguePartition, r)
		if err != nil {
			return public(err)
		}
		if n += len(page.Items); n >= MaxGifts {
			return fault.New(fault.Conflict, "the catalogue is full: %d gifts", MaxGifts)
		}
		if page.Next == "" {
			return nil
		}
		r.After = page.Next
	}
}

// public gives an error of the store its sentence for people.
func public(err error) error {
	if errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrConflict) {
		return fault.Wrap(err, fault.Unavailable, "gifts cannot be reached; ask again, the same way").After(2 * time.Second)
	}
	return err
}

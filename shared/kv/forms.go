package kv

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// Forms are the forms in which records are written, and the newest forms that are
// read, by prefixes of the partitions' names; the longest prefix applies. Records of
// other partitions have form 1.
type Forms map[string]int

// ErrNewer: a record has a newer form than this program reads, because a newer release
// wrote it. Nothing was changed. Deploy the newer release again.
var ErrNewer = fault.Sentinel("kv: record of a newer release", fault.Unavailable, time.Minute, "an older release than the one that stored this is running; deploy the newer release again")

// formMark begins the value of a record of another form than 1. No JSON and no other
// text begins with it, so a value without it is a record of form 1 and costs nothing.
const formMark = 0xff

// Formed returns s with a form for each record. A value of a form above 1 is stored
// behind two bytes with the form; its limit is MaxValue less these two bytes.
// [Item.Form] tells readers of older forms which one they have. Reading a newer form
// than forms has is ErrNewer, for a whole page if one of its items has it.
func Formed(s Store, forms Forms) Store { return formed{s, forms} }

type formed struct {
	Store
	forms Forms
}

// of returns the form of a partition's records, and the beginning of its name that
// says so.
func (f Forms) of(partition string) (form int, prefix string) {
	form, prefix = 1, ""
	for p, n := range f {
		if strings.HasPrefix(partition, p) && len(p) >= len(prefix) {
			form, prefix = n, p
		}
	}
	return form, prefix
}

func (s formed) item(partition string, i Item) (Item, error) {
	i.Form = 1
	if len(i.Value) == 0 || i.Value[0] != formMark {
		return i, nil
	}
	n, length := binary.Uvarint(i.Value[1:])
	known, prefix := s.forms.of(partition)
	if length <= 0 || n > uint64(known) {
		if prefix == "" {
			prefix, _, _ = strings.Cut(partition, "/") // what follows may name a user
		}
		return Item{}, fmt.Errorf("%w: form %d of %s, and this program reads up to form %d", ErrNewer, n, prefix, known)
	}
	i.Form, i.Value = int(n), i.Value[1+length:]
	return i, nil
}

func (s formed) Get(ctx context.Context, partition, key string) (Item, error) {
	i, err := s.Store.Get(ctx, partition, key)
	if err != nil {
		return i, err
	}
	return s.item(partition, i)
}

func (s formed) List(ctx context.Context, partition string, r Range) (Page, error) {
	page, err := s.Store.List(ctx, partition, r)
	if err != nil {
		return page, err
	}
	for n := range page.Items {
		if page.Items[n], err = s.item(partition, page.Items[n]); err != nil {
			return Page{}, err
		}
	}
	return page, nil
}

func (s formed) Commit(ctx context.Context, partition, op string, writes ...Write) error {
	form, _ := s.forms.of(partition)
	var marked []Write // a copy, once one is needed
	for n, w := range writes {
		put, is := w.(Put)
		if !is || put.Value == nil || form == 1 && (len(put.Value) == 0 || put.Value[0] != formMark) {
			continue
		}
		if marked == nil {
			marked = append([]Write{}, writes...)
		}
		put.Value = append(binary.AppendUvarint([]byte{formMark}, uint64(form)), put.Value...)
		marked[n] = put
	}
	if marked != nil {
		writes = marked
	}
	return s.Store.Commit(ctx, partition, op, writes...)
}

// MayLose implements [Lossy] for the store below.
func (s formed) MayLose() bool { return MayLose(s.Store) }

// Package trail is the audit log of decisions about messages and users, by moderators
// over HTTP and by rules. It keeps entries for a year, and no text of a message.
package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Kept is how long an entry is kept. Our decision.
const Kept = 365 * 24 * time.Hour

// MaxNote bounds a note, in bytes.
const MaxNote = 500

// Entry is one decision.
type Entry struct {
	// ID is the idempotency key of the entry; at most 200 bytes.
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`               // name of the API key; "" for a rule
	What   string    `json:"what"`             // such as "message approved"
	UserID string    `json:"userId,omitempty"` // user concerned
	Review string    `json:"review,omitempty"` // id of the held message
	Note   string    `json:"note,omitempty"`   // the moderator's note
}

// Trail is the audit log in one partition of a store, in order of time. It is safe for
// concurrent use.
type Trail struct{ store kv.Store }

// New returns the trail in a store.
func New(store kv.Store) *Trail { return &Trail{store} }

const partition = "moderation/trail"

// key orders by time. An entry is added with the time of what it tells of, so
// that a repeat meets itself.
func (e Entry) key() string { return fmt.Sprintf("%014d/%s", e.At.UnixMilli(), e.ID) }

// Add adds an entry, unless an entry with its ID exists. Errors are those of
// [kv.Store.Commit].
func (t *Trail) Add(ctx context.Context, e Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	put := kv.Put{Key: e.key(), Value: value, Expires: e.At.Add(Kept), If: kv.Absent()}
	// One op for all: whatever is at the key is this entry.
	if err := t.store.Commit(ctx, partition, "trail", put); !errors.Is(err, kv.ErrConflict) {
		return err
	}
	return nil
}

// Page returns entries, the newest first. next is the After of the next page, "" at
// the end.
func (t *Trail) Page(ctx context.Context, p api.Page) (entries []Entry, next string, err error) {
	page, err := t.store.List(ctx, partition, kv.Range{After: p.After, Reverse: true, Limit: p.Limit})
	if err != nil {
		return nil, "", err
	}
	entries = make([]Entry, len(page.Items))
	for i, item := range page.Items {
		if err := json.Unmarshal(item.Value, &entries[i]); err != nil {
			return nil, "", fmt.Errorf("trail: an entry does not decode: %w", err)
		}
	}
	return entries, page.Next, nil
}

// Routes adds GET /moderation/trail?after=&limit= for servers: {"entries":[...],
// "next"}.
func (t *Trail) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("GET /moderation/trail", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		p, err := api.ReadPage(r)
		if err != nil {
			return err
		}
		entries, next, err := t.Page(r.Context(), p)
		switch {
		case errors.Is(err, kv.ErrInvalid):
			return fault.Wrap(err, fault.Invalid, `after is the "next" of the answer before`)
		case err != nil:
			return err
		}
		api.Reply(w, http.StatusOK, struct {
			Entries []Entry `json:"entries"`
			Next    string  `json:"next,omitempty"`
		}{entries, next})
		return nil
	}))
}

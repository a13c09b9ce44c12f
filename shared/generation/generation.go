// Package generation tells groups apart that had the same GroupID one after the other.
// IM lets a GroupID be used again after the group was dissolved, and MsgSeq then
// starts from 1 anew: each record about a group belongs to one generation of the
// group.
//
//	g, err := registry.Seen(ctx, e.GroupID, generation.Sent(e.MsgTime, e.EventTime), false)
//	partition := fmt.Sprintf("roomstats/%d/%s", g.Number, e.GroupID)
//
// Generations begin with the callback Group.CallbackAfterCreateGroup and end with
// Group.CallbackAfterGroupDestroyed. Both callbacks may be late, come twice or be
// lost: an event that is newer than the end of the latest generation begins another,
// and a create callback that comes later finds that generation. Where both callbacks
// were lost, this package takes the two generations for one.
package generation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/retry"
)

const (
	// kept is how many generations of a group are remembered. An event that is
	// older than all of them belongs to the one before.
	kept = 8
	// cacheFor is how long an instance trusts what it read.
	cacheFor = time.Second
	// maxCached bounds the groups that an instance remembers.
	maxCached = 10_000
	// tries is how often a change is tried that others get in the way of.
	tries = 8
)

// FreshSeq is the highest MsgSeq for which [Registry.Seen] is to be called with fresh.
// IM starts a group's numbers from 1 and takes 40 messages a second, so an instance
// that has not heard of a new generation for a second has missed less.
const FreshSeq = 256

// Generation is the time from a group's creation to its end.
type Generation struct {
	// Number counts a group's generations from 1. Number is 0 for events before the
	// first known generation.
	Number int64
	// Since is when the generation began, or the time of its first known event. Zero:
	// unknown.
	Since time.Time
	// Until is when the group was dissolved. Zero: no end is known.
	Until time.Time
}

// Moment is when an event happened, as closely as its callback tells.
type Moment struct {
	earliest, latest int64 // Unix milliseconds
}

// At is a moment that is known to the millisecond.
func At(t time.Time) Moment { return Moment{t.UnixMilli(), t.UnixMilli()} }

// Sent is the moment of a group message, from its MsgTime, which is in whole
// seconds, and its callback's EventTime, which is closer and may be of a later
// delivery of the same callback. One of the two may be 0.
func Sent(msgTime callback.Seconds, eventTime callback.Millis) Moment {
	if msgTime == 0 {
		return Moment{int64(eventTime), int64(eventTime)}
	}
	m := Moment{earliest: 1000 * int64(msgTime), latest: 1000*int64(msgTime) + 999}
	if eventTime != 0 {
		m.latest = max(m.earliest, min(m.latest, int64(eventTime)))
	}
	return m
}

// Registry knows the generations of all groups of a store. It is safe for
// concurrent use, also by several processes.
type Registry struct {
	store kv.Store
	now   func() time.Time

	mu    sync.Mutex
	known map[string]cached
}

type cached struct {
	lives []life
	at    time.Time
}

// life is a generation as it is stored.
type life struct {
	Number int64 `json:"n"`
	Since  int64 `json:"s,omitempty"` // Unix milliseconds
	Until  int64 `json:"u,omitempty"`
	// Guessed: no create callback has been seen, and Since is that of an event.
	Guessed bool `json:"g,omitempty"`
}

// New returns the registry kept in a store. now may be nil for the wall clock.
func New(store kv.Store, now func() time.Time) *Registry {
	if now == nil {
		now = time.Now
	}
	return &Registry{store: store, now: now, known: make(map[string]cached)}
}

// Register adds the rules that hear of groups made and dissolved, under a name of
// the feature that needs them: each may be deployed without the others. They are
// idempotent by the group and the callback's EventTime.
func (r *Registry) Register(m *callback.Mux, rule string) {
	callback.After(m, rule, func(ctx context.Context, e *callback.GroupAfterCreate) error {
		return r.Created(ctx, e.GroupID, r.when(e.EventTime))
	})
	callback.After(m, rule, func(ctx context.Context, e *callback.GroupAfterDestroyed) error {
		return r.Destroyed(ctx, e.GroupID, r.when(e.EventTime))
	})
}

func (r *Registry) when(t callback.Millis) time.Time {
	if t == 0 {
		return r.now()
	}
	return t.Time()
}

// Created notes that a group was made. Repeating it with the same time is a
// no-op, and so is a time before the latest generation that was made.
func (r *Registry) Created(ctx context.Context, groupID string, at time.Time) error {
	_, err := r.change(ctx, groupID, func(lives []life) []life { return created(lives, at.UnixMilli()) })
	return err
}

// Destroyed notes that a group was dissolved. Repeating it is a no-op.
func (r *Registry) Destroyed(ctx context.Context, groupID string, at time.Time) error {
	_, err := r.change(ctx, groupID, func(lives []life) []life { return destroyed(lives, at.UnixMilli()) })
	return err
}

// Seen returns the generation that an event of a group belongs to. Where the event
// shows that a generation exists whose create callback has not arrived, Seen begins
// that generation. Without fresh the answer may be a second old: set fresh for
// messages up to [FreshSeq]. Errors are the store's.
func (r *Registry) Seen(ctx context.Context, groupID string, m Moment, fresh bool) (Generation, error) {
	if !fresh {
		if lives, ok := r.cached(groupID); ok {
			if g, ok := find(lives, m); ok {
				return g, nil
			}
		}
	}
	lives, err := r.change(ctx, groupID, func(lives []life) []life {
		if _, ok := find(lives, m); ok {
			return lives
		}
		return append(lives, life{Number: last(lives).Number + 1, Since: m.latest, Guessed: true})
	})
	if err != nil {
		return Generation{}, err
	}
	g, _ := find(lives, m)
	return g, nil
}

// Current returns the latest generation of a group, number 1 for an unknown group. The
// answer may be a second old.
func (r *Registry) Current(ctx context.Context, groupID string) (Generation, error) {
	lives, ok := r.cached(groupID)
	if !ok {
		var err error
		if lives, _, err = r.load(ctx, groupID); err != nil {
			return Generation{}, err
		}
		r.note(groupID, lives)
	}
	if len(lives) == 0 {
		return Generation{Number: 1}, nil
	}
	return last(lives).public(), nil
}

// created returns the lives of a group once it was made at a time.
func created(lives []life, at int64) []life {
	l := last(lives)
	switch {
	case slices.ContainsFunc(lives, func(l life) bool { return l.Since == at && !l.Guessed }):
		return lives
	case len(lives) > 0 && (at < l.Since || l.Guessed && at == l.Since):
		if l.Guessed && (len(lives) == 1 || lives[len(lives)-2].Until <= at) {
			// An event of this generation was faster than its create callback.
			lives = slices.Clone(lives)
			lives[len(lives)-1].Since, lives[len(lives)-1].Guessed = at, false
		}
		return lives // otherwise of a generation that has passed
	}
	return append(slices.Clip(lives), life{Number: l.Number + 1, Since: at})
}

// destroyed returns the lives of a group once it was dissolved at a time.
func destroyed(lives []life, at int64) []life {
	i := begunBy(lives, at)
	if i < 0 {
		if len(lives) > 0 {
			return lives
		}
		return []life{{Number: 1, Until: at, Guessed: true}}
	}
	if lives[i].Until >= at {
		return lives
	}
	lives = slices.Clone(lives)
	lives[i].Until = at
	return lives
}

// find returns the generation of a moment. ok is false when it belongs to none
// that is known.
func find(lives []life, m Moment) (g Generation, ok bool) {
	if len(lives) == 0 {
		return Generation{}, false
	}
	i := begunBy(lives, m.latest)
	switch {
	case i < 0 && lives[0].Guessed:
		return lives[0].public(), true // its first event came late
	case i < 0:
		return Generation{Number: lives[0].Number - 1}, true
	case i == len(lives)-1 && lives[i].Until != 0 && lives[i].Until < m.earliest:
		return Generation{}, false
	case i+1 < len(lives) && lives[i+1].Guessed && lives[i].Until != 0 && lives[i].Until < m.earliest:
		return lives[i+1].public(), true
	}
	return lives[i].public(), true
}

// begunBy returns the index of the last life that had begun by a time, or -1.
func begunBy(lives []life, at int64) int {
	for i, l := range slices.Backward(lives) {
		if l.Since <= at {
			return i
		}
	}
	return -1
}

func last(lives []life) life {
	if len(lives) == 0 {
		return life{}
	}
	return lives[len(lives)-1]
}

func (l life) public() Generation {
	g := Generation{Number: l.Number}
	if l.Since != 0 {
		g.Since = time.UnixMilli(l.Since)
	}
	if l.Until != 0 {
		g.Until = time.UnixMilli(l.Until)
	}
	return g
}

// A group is a partition of its own, with one item.
const livesKey = "lives"

func partition(groupID string) string { return "generation/" + groupID }

func (r *Registry) load(ctx context.Context, groupID string) (lives []life, rev string, err error) {
	item, err := r.store.Get(ctx, partition(groupID), livesKey)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(item.Value, &lives); err != nil {
		return nil, "", fmt.Errorf("generation: the stored lives of a group: %w", err)
	}
	return lives, item.Rev, nil
}

// change stores what next makes of a group's lives, and returns them.
func (r *Registry) change(ctx context.Context, groupID string, next func([]life) []life) ([]life, error) {
	for try := 1; ; try++ {
		lives, rev, err := r.load(ctx, groupID)
		if err != nil {
			return nil, err
		}
		changed := next(lives)
		if slices.Equal(lives, changed) {
			r.note(groupID, lives)
			return lives, nil
		}
		changed = changed[max(0, len(changed)-kept):]
		value, err := json.Marshal(changed)
		if err != nil {
			return nil, fmt.Errorf("generation: %w", err)
		}
		put := kv.Put{Key: livesKey, Value: value, If: kv.Absent()}
		if rev != "" {
			put.If = kv.Rev(rev)
		}
		err = r.store.Commit(ctx, partition(groupID), kv.NewOp("generation"), put)
		switch {
		case err == nil:
			r.note(groupID, changed)
			return changed, nil
		case !errors.Is(err, kv.ErrConflict) || try == tries:
			return nil, err
		}
		if err := retry.Sleep(ctx, mathrand.N(time.Millisecond<<try)); err != nil {
			return nil, err
		}
	}
}

func (r *Registry) cached(groupID string) ([]life, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.known[groupID]
	return c.lives, ok && r.now().Sub(c.at) < cacheFor
}

func (r *Registry) note(groupID string, lives []life) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if len(r.known) >= maxCached {
		maps.DeleteFunc(r.known, func(_ string, c cached) bool { return now.Sub(c.at) >= cacheFor })
	}
	if len(r.known) >= maxCached {
		clear(r.known) // costs a read a group
	}
	r.known[groupID] = cached{lives, now}
}

// Package lists activates rule sets of the word filter without a deployment.
//
// A compiled image is served at a URL that the functions can fetch; the store names
// the active image, by URL and checksum. A new image is a candidate first, in force
// for a share of the rooms, always the same rooms; then the image is promoted, or
// rolled back. Each request names its image, so that requests are idempotent.
//
// Each instance keeps the images it needs in memory and reads the store every few
// seconds of use. An image that cannot be fetched, has another checksum, or does not
// open in this version of the program never replaces a working list: the instance logs
// the failure and keeps the list.
package lists

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

const (
	// Fresh is how long an instance judges without reading the store again.
	Fresh = 10 * time.Second
	// Stale is the age at which a verdict waits for a read of the store, at most
	// Patience. Between Fresh and Stale the read happens in the background. So an
	// instance in use takes up a change within Stale and the time of loading the
	// image.
	Stale = 20 * time.Second
	// Patience bounds how long a verdict waits for a read of the store, or for the
	// first image after a start. After Patience the list in memory judges.
	Patience = 300 * time.Millisecond

	lookFor  = 15 * time.Second // bounds one look, with its downloads
	retryOff = 5 * time.Second  // between looks that failed
)

// Lists returns the list that judges a conversation. It is safe for concurrent use.
type Lists = Of[wordlist.List]

// Of returns the image of another kind that serves a conversation; it works like
// Lists. It is safe for concurrent use.
type Of[T any] struct {
	store kv.Store
	base  *T
	kind  Kind[T]
	fetch func(ctx context.Context, r Ref) (string, error)
	now   func() time.Time
	log   *slog.Logger

	serving atomic.Pointer[serving[T]]
	mu      sync.Mutex
	look    *look // the one under way, or nil
	retryAt time.Time
}

// serving is what an instance judges by. It never changes.
type serving[T any] struct {
	read              time.Time // when the store said so
	active, candidate *T
	share             int    // of rooms that the candidate judges, in percent
	salt              string // so that each candidate meets other rooms
	opened            map[string]*T
	unfit             map[string]bool // checksums that this program cannot open
}

// look is one look into the store.
type look struct {
	began time.Time // by the machine's clock: what it bounds is real waiting
	done  chan struct{}
}

// Config configures [Lists] and [Of].
type Config struct {
	Store kv.Store
	// Base judges until an image is released, and while released images cannot be
	// loaded.
	Base *wordlist.List
	// Fetch gets an image; nil for Fetch over HTTP.
	Fetch func(ctx context.Context, r Ref) (string, error)
	Now   func() time.Time // nil for time.Now
	Log   *slog.Logger     // nil: slog.Default
}

// Kind is a kind of image.
type Kind[T any] struct {
	Name      string // for people, as "word list"
	Partition string // of the standing
	Path      string // of the routes
	Open      func(image string) (*T, error)
	Version   func(*T) string
}

var wordLists = Kind[wordlist.List]{
	Name: "word list", Partition: "moderation/lists", Path: "/moderation/lists", Open: wordlist.Open, Version: (*wordlist.List).Version,
}

// New returns Lists that have not read the store yet: the first verdict waits for that
// read.
func New(c Config) *Lists { return NewOf(wordLists, c.Base, c) }

// NewOf is New for another kind of image. base serves until an image is released;
// c.Base is not used.
func NewOf[T any](kind Kind[T], base *T, c Config) *Of[T] {
	l := &Of[T]{store: c.Store, base: base, kind: kind, fetch: c.Fetch, now: c.Now, log: c.Log}
	if l.fetch == nil {
		l.fetch = Fetch
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	l.serving.Store(&serving[T]{active: base})
	return l
}

// For returns the list that judges a group, or a one-to-one message where groupID is
// "", which a candidate never judges. It is never nil. For waits for a read of the
// store at most Patience, and not at all once ctx has ended.
func (l *Of[T]) For(ctx context.Context, groupID string) *T {
	s := l.serving.Load()
	if age := l.now().Sub(s.read); age >= Fresh {
		if under := l.begin(ctx); under != nil && age >= Stale {
			wait(ctx, under)
		}
		s = l.serving.Load()
	}
	if s.candidate != nil && groupID != "" && bucket(s.salt, groupID) < s.share {
		return s.candidate
	}
	return s.active
}

// bucket sorts a group into one of 100, differently for each candidate.
func bucket(salt, groupID string) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, salt)
	_, _ = io.WriteString(h, groupID)
	return int(h.Sum32() % 100)
}

// wait waits for a look until it has taken Patience: not everybody that comes
// while a slow one is under way.
func wait(ctx context.Context, under *look) {
	t := time.NewTimer(time.Until(under.began.Add(Patience)))
	defer t.Stop()
	select {
	case <-under.done:
	case <-t.C:
	case <-ctx.Done():
	}
}

// begin starts a look unless one is under way, which it then returns. It
// returns nil right after one that failed. The look outlives the callback that
// began it: where the platform freezes the instance, it goes on with the next.
func (l *Of[T]) begin(ctx context.Context) *look {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.look != nil {
		return l.look
	}
	if l.now().Before(l.retryAt) {
		return nil
	}
	under := &look{time.Now(), make(chan struct{})}
	l.look = under
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookFor)
	go func() {
		defer close(under.done)
		defer cancel()
		next, err := l.take(ctx, l.serving.Load())
		if err != nil {
			l.log.WarnContext(ctx, "release not loaded; the current one stays active", "kind", l.kind.Name, "error", err.Error())
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.look = nil
		l.serving.Store(next)
		if err != nil {
			l.retryAt = l.now().Add(retryOff)
		}
	}()
	return under
}

// take reads the store and returns what to judge by from now on, also with an
// error: then something is missing, and what was there stands in for it.
func (l *Of[T]) take(ctx context.Context, was *serving[T]) (*serving[T], error) {
	at := l.now()
	standing, _, err := l.read(ctx)
	if err != nil {
		return was, err
	}
	next := &serving[T]{active: l.base, opened: map[string]*T{}, unfit: map[string]bool{}}
	var failed []error
	open := func(r *Release, instead *T) *T {
		list, err := l.open(ctx, r, was, next)
		if err != nil {
			failed = append(failed, fmt.Errorf("%q: %w", r.Version, err))
		}
		if list == nil {
			return instead
		}
		return list
	}
	if standing.Active != nil {
		next.active = open(standing.Active, was.active)
	}
	if c := standing.Candidate; c != nil {
		next.candidate, next.share, next.salt = open(c, nil), c.Share, c.SHA256
	}
	if err := errors.Join(failed...); err != nil {
		// Not read: the next verdict after the pause tries again.
		next.read = was.read
		return next, err
	}
	next.read = at
	return next, nil
}

// open returns the list of a release: as it was opened before, or fetched. It is
// nil for an image that this program cannot open, which is not fetched again.
func (l *Of[T]) open(ctx context.Context, r *Release, was, next *serving[T]) (*T, error) {
	if list := was.opened[r.SHA256]; list != nil {
		next.opened[r.SHA256] = list
		return list, nil
	}
	if was.unfit[r.SHA256] {
		next.unfit[r.SHA256] = true
		return nil, nil
	}
	image, err := l.fetch(ctx, r.Ref)
	if err != nil {
		return nil, err
	}
	list, err := l.kind.Open(image)
	if err != nil {
		next.unfit[r.SHA256] = true
		l.log.ErrorContext(ctx, "release not readable by this version; the current one stays active",
			"kind", l.kind.Name, "version", r.Version, "error", err.Error())
		return nil, nil
	}
	next.opened[r.SHA256] = list
	return list, nil
}

// Release is an image that was staged or activated.
type Release struct {
	Ref
	Version string    `json:"version"`         // as the rule set says
	Share   int       `json:"share,omitempty"` // of rooms, in percent, while it is a candidate
	At      time.Time `json:"at"`              // when it was staged
	By      string    `json:"by"`              // the caller that staged it
}

// Standing names the images in force.
type Standing struct {
	Active    *Release  `json:"active"`    // nil: the list that the functions were deployed with
	Candidate *Release  `json:"candidate"` // judges its share of the rooms; nil for none
	Earlier   []Release `json:"earlier"`   // what was active before, the latest first, at most MaxEarlier
}

// MaxEarlier bounds the earlier releases that [Of.Rollback] can return to.
const MaxEarlier = 10

// key is where the standing is kept.
const key = "standing"

// read returns the standing and its revision, "" where there is none yet.
func (l *Of[T]) read(ctx context.Context) (Standing, string, error) {
	item, err := l.store.Get(ctx, l.kind.Partition, key)
	if errors.Is(err, kv.ErrNotFound) {
		return Standing{Earlier: []Release{}}, "", nil
	}
	if err != nil {
		return Standing{}, "", err
	}
	var s Standing
	if err := json.Unmarshal(item.Value, &s); err != nil {
		return Standing{}, "", fmt.Errorf("the stored standing of the %s does not decode: %w", l.kind.Name, err)
	}
	return s, item.Rev, nil
}

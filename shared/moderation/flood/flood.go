// Package flood rate-limits messages: it refuses messages of a user who writes too
// fast, or nearly the same text repeatedly.
//
// Each instance counts in memory, from the before-callbacks and the after-callbacks. A
// user below a quarter of the limit there costs neither a read nor a write of the
// store. From then on the delivered messages of this user in this conversation are
// counted in the store, each once, and the guard reads that count: the uncounted
// messages of four instances and the counted ones are together less than twice the
// limit.
package flood

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"
	"unicode"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// DefaultText is what the sender of a refused message reads.
const DefaultText = "You are writing too fast. Please wait a little."

// Config configures a [Guard].
type Config struct {
	// Messages is the limit of messages of one user in one conversation within Window;
	// more are refused. 0 is no limit.
	Messages int
	Window   time.Duration
	// Same is the limit of nearly equal messages of one user within SameWindow, in all
	// conversations; 0 is no limit. Each instance counts for itself.
	Same       int
	SameWindow time.Duration

	Store  kv.Store // nil: each instance counts for itself
	Exempt []string // UserIDs without a limit; robots have none either

	C2CCode, GroupCode int    // for the sender's client; 0 is IM's own
	Text               string // for the sender; "" is DefaultText
	Now                func() time.Time
	Log                *slog.Logger // nil: slog.Default
}

// Guard is the rule. It is safe for concurrent use and changes nothing but its
// own memory.
type Guard struct {
	c    Config
	seed maphash.Seed

	mu                   sync.Mutex
	asked, arrived, same window
}

// New returns a guard.
func New(c Config) *Guard {
	if c.Text == "" {
		c.Text = DefaultText
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Guard{
		c: c, seed: maphash.MakeSeed(), asked: newWindow(c.Window), arrived: newWindow(c.Window), same: newWindow(c.SameWindow),
	}
}

// Register adds the guard's rules. The guard lets messages pass while it cannot read
// the store.
func (g *Guard) Register(m *callback.Mux) {
	if g.c.Messages == 0 && g.c.Same == 0 {
		return
	}
	callback.Before(m, "flood", callback.FailOpen, func(ctx context.Context, e *callback.C2CBeforeSendMsg) (v callback.C2CVerdict, err error) {
		switch {
		case !g.tooMuch(ctx, conversation{from: e.From, to: e.To}, e.MsgBody):
			return v, nil
		case g.c.C2CCode != 0:
			return v.RejectCode(g.c.C2CCode, g.c.Text), nil
		}
		return v.Reject(g.c.Text), nil
	})
	if g.c.Messages > 0 && g.c.Store != nil {
		callback.After(m, "flood", func(ctx context.Context, e *callback.C2CAfterSendMsg) error {
			if e.SendMsgResult == 0 {
				g.came(ctx, conversation{from: e.From, to: e.To}, int64(e.MsgTime), e.MsgKey)
			}
			return nil
		})
		callback.After(m, "flood", func(ctx context.Context, e *callback.GroupAfterSendMsg) error {
			g.came(ctx, conversation{from: e.From, groupID: e.GroupID}, int64(e.MsgTime), fmt.Sprint(e.TopicID, "/", e.MsgSeq))
			return nil
		})
	}
	callback.Before(m, "flood", callback.FailOpen, func(ctx context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
		switch {
		case !g.tooMuch(ctx, conversation{from: e.From, groupID: e.GroupID}, e.MsgBody):
			return v, nil
		case g.c.GroupCode != 0:
			return v.RejectCode(g.c.GroupCode, g.c.Text), nil
		}
		return v.Reject(g.c.Text), nil
	})
}

// conversation is what somebody says to somebody, or in a group with all its
// topics.
type conversation struct{ from, to, groupID string }

// partition is where those are written down that arrived.
func (c conversation) partition() string {
	sum := sha256.Sum256([]byte(c.from + "\x00" + c.to + "\x00" + c.groupID))
	return "flood/" + hex.EncodeToString(sum[:16])
}

func (g *Guard) exempt(userID string) bool {
	return im.IsRobot(userID) || slices.Contains(g.c.Exempt, userID)
}

// quarter is how much of the limit each of four instances leaves uncounted.
func (g *Guard) quarter() float64 { return math.Ceil(float64(g.c.Messages) / 4) }

// tooMuch counts a message and reports whether it is one too many. What is
// refused counts here, too: a flood ends by falling silent, not by going on.
func (g *Guard) tooMuch(ctx context.Context, c conversation, body im.MsgBody) bool {
	if g.exempt(c.from) {
		return false
	}
	now := g.c.Now()
	if g.c.Same > 0 {
		if text := body.PlainText(); text != "" && g.repeated(now, c.from, text) {
			g.log(ctx, c, "the same again and again")
			return true
		}
	}
	if g.c.Messages == 0 {
		return false
	}
	local := g.count(&g.asked, now, c)
	switch {
	case local > float64(g.c.Messages):
		g.log(ctx, c, "too fast for one instance")
		return true
	case g.c.Store == nil || local < g.quarter():
		return false
	}
	written, err := g.written(ctx, c, now)
	if err != nil {
		g.c.Log.WarnContext(ctx, "rate of a sender unknown; the message passes", "error", err.Error())
		return false
	}
	if float64(written)+g.quarter() <= float64(g.c.Messages) {
		return false
	}
	g.log(ctx, c, "too fast for all instances")
	return true
}

func (g *Guard) count(w *window, now time.Time, c conversation) float64 {
	key := g.key(c.from, c.to, c.groupID)
	g.mu.Lock()
	defer g.mu.Unlock()
	return w.add(now, key)
}

// came counts a message that arrived, and writes it down, by its own time and
// name, if there were many. The same again writes nothing more. Where it cannot be written down the limit is
// less strict for a moment, and nobody has to make up for it.
func (g *Guard) came(ctx context.Context, c conversation, msgTime int64, id string) {
	if g.exempt(c.from) {
		return
	}
	now := g.c.Now()
	if g.count(&g.arrived, now, c) < g.quarter() {
		return
	}
	err := g.c.Store.Commit(ctx, c.partition(), "flood/"+id, kv.Put{
		Key: fmt.Sprintf("%012d/%s", msgTime, id), Value: []byte{}, If: kv.Absent(), Expires: now.Add(2*g.c.Window + time.Second),
	})
	if err != nil && !errors.Is(err, kv.ErrConflict) {
		g.c.Log.WarnContext(ctx, "message not counted by the flood guard", "error", err.Error())
	}
}

// written returns how many messages are written down within the window, as far
// as it matters.
func (g *Guard) written(ctx context.Context, c conversation, now time.Time) (n int, err error) {
	r := kv.Range{After: fmt.Sprintf("%012d", now.Add(-g.c.Window).Unix())}
	for {
		page, err := g.c.Store.List(ctx, c.partition(), r)
		if err != nil {
			return 0, err
		}
		n += len(page.Items)
		if page.Next == "" || n > g.c.Messages {
			return n, nil
		}
		r.After = page.Next
	}
}

func (g *Guard) log(ctx context.Context, c conversation, reason string) {
	g.c.Log.InfoContext(ctx, "message refused as flood", "from", c.from, "group", c.groupID, "reason", reason)
}

// repeated counts what somebody says, and reports whether it was said too often.
func (g *Guard) repeated(now time.Time, from, text string) bool {
	what := g.key(from, gist(text))
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.same.add(now, what) > float64(g.c.Same)
}

// gist is what is left of a text where nearly the same texts are the same:
// letters, without case, and none of them twice in a row.
func gist(text string) string {
	out := make([]rune, 0, len(text))
	for _, r := range text {
		if !unicode.IsLetter(r) {
			continue
		}
		if r = unicode.ToLower(r); len(out) == 0 || out[len(out)-1] != r {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return text // numbers, or signs alone
	}
	return string(out)
}

func (g *Guard) key(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	for _, p := range parts {
		_, _ = h.WriteString(p)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// maxKeys bounds what an instance remembers of a window: some megabytes.
const maxKeys = 50_000

// window counts by key within a sliding time, by what two halves say: the
// current one, and the one before as far as it still lies within.
type window struct {
	length      time.Duration
	began       time.Time
	now, before map[uint64]int
}

func newWindow(length time.Duration) window {
	return window{length: length, now: make(map[uint64]int), before: make(map[uint64]int)}
}

// add counts one more and returns the count within the window.
func (w *window) add(t time.Time, key uint64) float64 {
	switch age := t.Sub(w.began); {
	case age >= 2*w.length:
		clear(w.now)
		clear(w.before)
		w.began = t
	case age >= w.length || len(w.now) >= maxKeys:
		w.before, w.now = w.now, w.before
		clear(w.now)
		if w.began = w.began.Add(w.length); w.began.After(t) {
			w.began = t // full before its time
		}
	}
	w.now[key]++
	left := 1 - float64(t.Sub(w.began))/float64(w.length)
	return float64(w.now[key]) + left*float64(w.before[key])
}

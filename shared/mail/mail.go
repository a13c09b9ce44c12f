// Package mail carries mail to players, with attachments that are granted once, and
// trades between two players.
//
// # Campaigns
//
// A mail is stored first, as a campaign, and then delivered by jobs: into an inbox of
// ours for each recipient, and to IM as a message that announces the mail. The plan
// chooses IM's call: sendmsg for one player, batchsendmsg for many, one group message
// for a group, im_push for everyone or for players with a tag. An inbox has the mail
// also when its player is offline or a push does not arrive.
//
// # What to rely on
//
// One sender at a time, by a lease, makes all batch calls of the app, so that all
// campaigns together stay within IM's 12,000 recipients a minute; the calls of the
// last minute are kept with the lease. Each step of a campaign is committed in the
// campaign's partition, and after a crash the guard of package process continues from
// the last step:
//
//   - An inbox has one item a mail. Delivering it again is a no-op. The item names the
//     chunk of recipients that brought it, so that a recipient who occurs twice in a
//     list is told once.
//   - Each batch call is recorded with its numbers before it is made. Where it is
//     unknown whether the call worked, the recipients' histories are read, and only
//     those without the message are sent to again.
//   - Mails to one player and to a group go through package once. IM itself
//     recognizes a repeated push for seven days.
//
// Mail to everyone is not copied: inboxes read such mail from one short list, which
// each instance caches for [ListAge], and store only the player's reads, claims and
// deletions.
package mail

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Our decisions.
const (
	// ListAge is how long an instance caches the list of mails to everyone and the
	// letters that it has read.
	ListAge = 5 * time.Second
	// kept is how long a mail is remembered after it has expired, so that a late claim
	// is told why it fails.
	kept = 30 * 24 * time.Hour
	// guardAfter is when a campaign, claim or trade is looked at that nobody continues.
	guardAfter = time.Minute
	// tries is how often a change is tried that others get in the way of.
	tries = 20
)

// IM is the part of IM's REST API that mail uses; [*im.Client] implements it.
type IM interface {
	SendBatch(ctx context.Context, to []string, m im.C2CMsg) ([]im.ItemResult, error)
	SendPush(ctx context.Context, p im.Push) (taskID string, err error)
	C2CHistory(ctx context.Context, q im.C2CHistoryQuery) (im.C2CHistoryPage, error)
	GroupInfos(ctx context.Context, groupIDs []string, dataKeys ...string) ([]im.GroupInfo, error)
	GroupMembers(ctx context.Context, q im.MembersQuery) (im.MembersPage, error)
	Tags(ctx context.Context, userIDs ...string) ([]im.UserTags, error)
}

// Sender sends a message once, however often it is called with the same event;
// [*once.Sender] implements it.
type Sender interface {
	C2C(ctx context.Context, event string, m im.C2CMsg) (im.C2CSent, error)
	Group(ctx context.Context, event string, m im.GroupMsg) (im.GroupSent, error)
}

// Config makes [Mails].
type Config struct {
	Store kv.Store
	Jobs  *queue.Ledger
	IM    IM
	Sends Sender
	From  string // UserID that mail comes from; the account must exist
	// Hook is the game's server, which grants attachments and moves the items of
	// trades; nil: mails have no attachments, and there are no trades.
	Hook *hook.Hook
	// Push: the app's edition has all-member push, and it is switched on.
	Push  bool
	Keep  time.Duration // life of a mail without expiresAt
	Trade time.Duration // time that a trade waits for its acceptance

	Now   func() time.Time                           // nil: time.Now
	Sleep func(context.Context, time.Duration) error // nil: retry.Sleep
}

// Mails are all mails of an app. It is safe for concurrent use, also by several
// processes.
type Mails struct {
	conf      Config
	store     kv.Store
	now       func() time.Time
	campaigns *process.Process
	claims    *process.Process
	trades    *process.Process
	letters   *cache[letter]
	everyone  *cache[[]everyoneMail]
	tags      *cache[[]string]
}

// The processes of mail: unsent campaigns, attachments that are not granted yet, and
// open trades.
var (
	Campaigns = process.Name{Agenda: "mail", Job: "mail.campaign", Lane: queue.Slow}
	Claims    = process.Name{Agenda: "mailclaims", Job: "mail.claim", Lane: queue.Fast}
	Trades    = process.Name{Agenda: "mailtrades", Job: "mail.trade", Lane: queue.Fast}
)

// New makes Mails, and registers the handlers of their jobs with Jobs.
func New(conf Config) *Mails {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Sleep == nil {
		conf.Sleep = retry.Sleep
	}
	m := &Mails{conf: conf, store: conf.Store, now: conf.Now}
	m.letters = newCache[letter](conf.Now, ListAge)
	m.everyone = newCache[[]everyoneMail](conf.Now, ListAge)
	m.tags = newCache[[]string](conf.Now, tagsAge)
	m.campaigns = process.New(Campaigns, conf.Store, conf.Jobs, conf.Now, m.continueCampaign)
	m.claims = process.New(Claims, conf.Store, conf.Jobs, conf.Now, m.continueClaim)
	m.trades = process.New(Trades, conf.Store, conf.Jobs, conf.Now, m.continueTrade)
	if conf.Jobs != nil {
		conf.Jobs.Handle(drainKind, func(ctx context.Context, _ queue.Job) error { return m.drain(ctx) })
	}
	return m
}

// Item is a number of things of a kind, in the game's words.
type Item struct {
	ItemID string `json:"itemId"`
	Count  int64  `json:"count"`
}

// Limits of lists of items. Our decisions.
const (
	MaxItems  = 20
	maxItemID = 64      // bytes
	maxCount  = 1 << 53 // what JSON carries exactly
)

// checkItems refuses what cannot be items.
func checkItems(field string, items []Item) error {
	if len(items) > MaxItems {
		return fault.New(fault.Invalid, "%s has %d items, and at most %d are taken", field, len(items), MaxItems)
	}
	seen := make(map[string]bool, len(items))
	for i, item := range items {
		switch {
		case item.ItemID == "" || len(item.ItemID) > maxItemID || strings.ContainsFunc(item.ItemID, func(c rune) bool { return c <= ' ' || c > '~' }):
			return fault.New(fault.Invalid, "%s[%d].itemId has 1 to %d visible ASCII characters", field, i, maxItemID)
		case item.Count < 1 || item.Count > maxCount:
			return fault.New(fault.Invalid, "%s[%d].count is a number from 1 to 2^53", field, i)
		case seen[item.ItemID]:
			return fault.New(fault.Invalid, "%s names the item %s twice", field, item.ItemID)
		}
		seen[item.ItemID] = true
	}
	return nil
}

var errNoHook = fault.New(fault.NotConfigured, "attachments and trades need the game's server: set MAIL_HOOK_URL")

// errNoIM: a job came to a program that only serves routes.
var errNoIM = errors.New("mail: this program has no client of IM")

// digest tells lists of texts apart.
func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}

// newID names something made at a time, so that names order by time.
func newID(kind string, at time.Time) string {
	return fmt.Sprintf("%s%011x%s", kind, at.UnixMilli(), strings.ToLower(rand.Text()[:10]))
}

// isID reports whether a path names what newID made.
func isID(kind, id string) bool {
	return strings.HasPrefix(id, kind) && len(id) == len(kind)+21 &&
		!strings.ContainsFunc(id, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'z') })
}

// named returns the id that belongs to a caller's key, the same for the same key: a
// repeated request finds what the first one made.
func (m *Mails) named(ctx context.Context, kind, caller, key string) (string, error) {
	id := newID(kind, m.now())
	const item = "id"
	partition := "mail/asked/" + digest(kind, caller, key)
	put := kv.Put{Key: item, Value: []byte(id), Expires: m.now().Add(kept), If: kv.Absent()}
	for {
		err := m.store.Commit(ctx, partition, kv.NewOp("mail"), put)
		if !errors.Is(err, kv.ErrConflict) {
			return id, err
		}
		known, err := m.store.Get(ctx, partition, item)
		if !errors.Is(err, kv.ErrNotFound) { // or it has just expired
			return string(known.Value), err
		}
	}
}

// encode marshals a value of ours.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return b, nil
}

// load reads an item. Without one the condition is Absent, and v stays as it is.
func load(ctx context.Context, store kv.Store, partition, key string, v any) (kv.Cond, error) {
	item, err := store.Get(ctx, partition, key)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return kv.Absent(), nil
	case err != nil:
		return kv.Absent(), err
	}
	if err := json.Unmarshal(item.Value, v); err != nil {
		return kv.Absent(), fmt.Errorf("mail: an item of the store does not decode: %w", err)
	}
	return kv.Rev(item.Rev), nil
}

// commit commits once, although the store may lose its answer.
func (m *Mails) commit(ctx context.Context, partition string, writes ...kv.Write) (op string, err error) {
	op = kv.NewOp("mail")
	for range 3 {
		if err = m.store.Commit(ctx, partition, op, writes...); !errors.Is(err, kv.ErrUnavailable) {
			break
		}
	}
	return op, err
}

// guard has an operation continued at a time. Where many guard the same id at once it
// is guarded by one of them, which is enough.
func guard(ctx context.Context, p *process.Process, id string, at time.Time) error {
	err := p.Guard(ctx, id, at)
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

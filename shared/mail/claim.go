package mail

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// claim is what became of a mail's attachments for one player. It is decided in the
// player's partition: of those who claim at once one asks the game, under a key that
// is the mail's and the player's alone, so that the game grants them once however
// often it is asked. A claim that was begun ends: a revocation or the mail's expiry
// comes too late for it.
type claim struct {
	State string    `json:"state"`
	Next  time.Time `json:"next"` // until when the one who asks has it in hand
	At    time.Time `json:"at"`   // when it was begun
}

const (
	asking  = "asking"
	granted = "granted"
)

func (b *box) granted() bool { return b.Claim != nil && b.Claim.State == granted }
func (b *box) asking() bool  { return b.Claim != nil && b.Claim.State == asking }

// Our decisions.
const (
	// hookSlack is how much longer than the game's server may take nobody else asks.
	hookSlack = 5 * time.Second
	// claimWait is how long a request waits for another that claims the same.
	claimWait = 8 * time.Second
	// hookEvery is when the game is asked again that did not answer.
	hookEvery = 2 * time.Minute
	// MaxClaims is how many mails one request claims.
	MaxClaims = 20
)

// claimable returns why the attachments of a mail cannot be claimed, nil if they can.
func (l *letter) claimable(b box, now time.Time) error {
	switch {
	case len(l.Attachments) == 0:
		return fault.New(fault.Conflict, "this mail has no attachments")
	case b.Claim != nil:
		return fault.New(fault.Conflict, "the attachments of this mail are claimed")
	case l.Revoked:
		return fault.New(fault.AttachmentsRevoked, "the attachments of this mail were taken back")
	case !l.Expires.After(now):
		return fault.New(fault.AttachmentsExpired, "the attachments of this mail have expired")
	}
	return nil
}

// Claimed is the answer to a claim.
type Claimed struct {
	MailID      string `json:"mailId"`
	Claimed     bool   `json:"claimed"`
	State       string `json:"state"` // granted, or asking while the game's server has not answered
	Attachments []Item `json:"attachments"`
}

// grantKey names the grant of a mail's attachments to a player, to the game. All ways
// to claim have the same. The game answers a key alike for ever, so that a player whom
// it has refused asks under another one.
func grantKey(id, user string, refusals int) string {
	key := "mail/" + id + "/grant/" + user
	if refusals > 0 {
		key += "/" + strconv.Itoa(refusals)
	}
	return key
}

// grant is what the game is asked for an attachment.
type grant struct {
	Op     string `json:"op"` // "grant"
	ID     string `json:"id"` // the Idempotency-Key
	MailID string `json:"mailId"`
	UserID string `json:"userId"`
	Items  []Item `json:"items"`
}

func claimID(user, id string) string { return user + "/" + id }

// Claim has the game grant a mail's attachments to its recipient, once. Claiming again
// returns the same answer. State is asking while the game has not answered; a job
// retries until the game answers. Errors are of the codes NotFound, NotConfigured,
// AttachmentsExpired, AttachmentsRevoked, Conflict for a mail without attachments,
// GameRefused, and Unavailable.
func (m *Mails) Claim(ctx context.Context, user, id string) (Claimed, error) {
	if m.conf.Hook == nil {
		return Claimed{}, errNoHook
	}
	if done, err := m.mayClaim(ctx, user, id); err != nil || done.Claimed {
		return done, err
	}
	// The guard comes before the commit that it guards.
	if err := guard(ctx, m.claims, claimID(user, id), m.now().Add(guardAfter)); err != nil {
		return Claimed{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, claimWait+hook.Timeout)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		c, mine, err := m.claim(ctx, user, id)
		switch {
		case err != nil || mine || c.Claimed:
			return c, err
		case pause > 100*time.Millisecond && deadlineNear(ctx):
			return c, nil
		}
		// Another request asks the game at this moment.
		if err := retry.Sleep(ctx, pause); err != nil {
			return c, nil
		}
	}
}

func deadlineNear(ctx context.Context) bool {
	deadline, has := ctx.Deadline()
	return has && time.Until(deadline) < hook.Timeout
}

// mayClaim returns why a claim is refused without anything being written, or what was
// claimed before.
func (m *Mails) mayClaim(ctx context.Context, user, id string) (done Claimed, err error) {
	b, _, l, err := m.find(ctx, user, id)
	switch {
	case err != nil:
		return done, err
	case b.granted():
		return Claimed{id, true, granted, l.Attachments}, nil
	case b.asking():
		return done, nil
	case b.Deleted:
		return done, errNoMail
	}
	return done, l.claimable(b, m.now())
}

// claim takes a claim one step further. mine: this call asked the game.
func (m *Mails) claim(ctx context.Context, user, id string) (c Claimed, mine bool, err error) {
	now := m.now()
	lease := now.Add(hook.Timeout + hookSlack)
	b, l, err := m.alter(ctx, user, id, func(b *box, l *letter) error {
		mine = false
		switch {
		case b.Claim == nil:
			if b.Deleted {
				return errNoMail
			}
			if err := l.claimable(*b, now); err != nil {
				return err
			}
			b.Claim, b.Read = &claim{asking, lease, now}, true
			mine = true
		case b.asking() && !b.Claim.Next.After(now):
			b.Claim.Next, mine = lease, true
		}
		return nil
	})
	if err != nil {
		return c, mine, err
	}
	c = Claimed{id, b.granted(), b.Claim.State, l.Attachments}
	if !mine {
		return c, false, nil
	}
	key := grantKey(id, user, b.Refusals)
	body, err := encode(grant{"grant", key, id, user, l.Attachments})
	if err != nil {
		return c, true, err
	}
	_, _, err = m.conf.Hook.Post(ctx, key, body)
	var end func(b *box)
	var refused error
	switch {
	case err == nil:
		c.Claimed, c.State = true, granted
		end = func(b *box) { b.Claim.State, b.Claim.Next = granted, time.Time{} }
	case errors.Is(err, hook.ErrRefused):
		// The game has not granted it under this key. The player may claim again.
		refused = fault.Wrap(err, fault.GameRefused, "the game does not take these items for this player now")
		end = func(b *box) { b.Claim, b.Refusals = nil, b.Refusals+1 }
	default:
		slog.WarnContext(ctx, "game did not answer a claim; a job retries", "mail", id, "error", err.Error())
		end = func(b *box) { b.Claim.Next = m.now() }
	}
	settle, cancel := retry.Settle(ctx)
	defer cancel()
	_, _, err = m.alter(settle, user, id, func(b *box, _ *letter) error {
		if b.asking() {
			end(b)
		}
		return nil
	})
	switch {
	case err != nil && !c.Claimed:
		return c, true, err
	case err == nil && c.Claimed:
		m.claims.Done(settle, claimID(user, id))
	}
	return c, true, refused
}

// continueClaim is the job of [Claims]: it finishes a claim that was begun.
func (m *Mails) continueClaim(ctx context.Context, id string) error {
	user, mail, ok := cutLast(id)
	if !ok {
		return errors.New("mail: discarded malformed job: it names no claim")
	}
	if m.conf.Hook == nil {
		return errNoHook
	}
	b, _, _, err := m.find(ctx, user, mail)
	switch {
	case err != nil && fault.Of(err).Code != fault.NotFound:
		return err
	case err != nil || !b.asking():
		return nil
	}
	// Guarded anew: a game that is away for hours still gets its claims.
	if err := guard(ctx, m.claims, id, m.now().Add(hookEvery)); err != nil {
		return err
	}
	_, _, err = m.claim(ctx, user, mail)
	if err != nil && fault.Of(err).Code == fault.GameRefused {
		return nil
	}
	return err
}

// cutLast cuts an id before its last slash: a UserID may have slashes.
func cutLast(id string) (before, after string, ok bool) {
	at := strings.LastIndexByte(id, '/')
	if at < 0 {
		return "", "", false
	}
	return id[:at], id[at+1:], true
}

// ClaimedAll is the answer to a claim of all mails.
type ClaimedAll struct {
	Claimed []string     `json:"claimed"`
	Asking  []string     `json:"asking"`
	Failed  []NotClaimed `json:"failed"`
	More    bool         `json:"more"` // ask again
}

// NotClaimed is a mail whose attachments were not granted.
type NotClaimed struct {
	MailID string     `json:"mailId"`
	Code   fault.Code `json:"code"`
}

// ClaimAll claims the attachments of all mails of an inbox, the oldest first, at most
// MaxClaims at a time.
func (m *Mails) ClaimAll(ctx context.Context, user string) (ClaimedAll, error) {
	all := ClaimedAll{Claimed: []string{}, Asking: []string{}, Failed: []NotClaimed{}}
	if m.conf.Hook == nil {
		return all, errNoHook
	}
	list, err := m.entries(ctx, user)
	if err != nil {
		return all, err
	}
	for _, e := range slices.Backward(list) {
		l, err := m.letter(ctx, e.id)
		if err != nil {
			return all, err
		}
		if l == nil || l.claimable(e.box, m.now()) != nil && !e.box.asking() {
			continue
		}
		if len(all.Claimed)+len(all.Asking)+len(all.Failed) == MaxClaims {
			all.More = true
			break
		}
		c, err := m.Claim(ctx, user, e.id)
		switch {
		case err != nil && fault.Of(err).Code.Status() >= 500:
			return all, err
		case err != nil:
			all.Failed = append(all.Failed, NotClaimed{e.id, fault.Of(err).Code})
		case c.Claimed:
			all.Claimed = append(all.Claimed, e.id)
		default:
			all.Asking = append(all.Asking, e.id)
		}
	}
	return all, nil
}

package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// tagsAge is how long an instance trusts what it read of a user's tags.
const tagsAge = time.Minute

// codeNoTags: all-member push does not know the account, as of a player who has never
// logged in (269/45934).
const codeNoTags im.Code = 90048

// box is a mail in an inbox: what its player did with it. What the mail says is the
// letter's. An item of mail to everyone is made when its player first does something.
type box struct {
	Chunk   int    `json:"chunk"` // of recipients that brought it; ofAll for mail to everyone
	Read    bool   `json:"read,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	Claim   *claim `json:"claim,omitempty"`
	// Refusals is how often the game has refused the attachments.
	Refusals int `json:"refusals,omitempty"`
}

const ofAll = -1

func inboxPartition(user string) string { return "mail/inbox/" + user }
func boxKey(id string) string           { return "m/" + id }

// everyonePartition lists the mails to everyone and to tags.
const everyonePartition = "mail/everyone"

// everyoneMail is a mail to everyone in the list that inboxes read.
type everyoneMail struct {
	ID      string    `json:"id"`
	Tag     string    `json:"tag,omitempty"`
	Expires time.Time `json:"expires"`
}

// list enters a mail to everyone.
func (m *Mails) list(ctx context.Context, l *letter) error {
	value, err := encode(everyoneMail{l.ID, l.To.Tag, l.Expires})
	if err != nil {
		return err
	}
	_, err = m.commit(ctx, everyonePartition, kv.Put{Key: l.ID, Value: value, Expires: l.Expires, If: kv.Absent()})
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

// listEveryone returns the mails to everyone and to tags that have not expired. An
// instance reads the list once in ListAge: a million inboxes must not read one key.
func (m *Mails) listEveryone(ctx context.Context) ([]everyoneMail, error) {
	return m.everyone.get(ctx, "", func(ctx context.Context) (list []everyoneMail, err error) {
		page, err := m.store.List(ctx, everyonePartition, kv.Range{Limit: kv.MaxPage})
		for _, item := range page.Items {
			var e everyoneMail
			if err := json.Unmarshal(item.Value, &e); err != nil {
				return nil, fmt.Errorf("mail: an item of the store does not decode: %w", err)
			}
			list = append(list, e)
		}
		return list, err
	})
}

// concerns reports whether a mail to everyone is for a user.
func (m *Mails) concerns(ctx context.Context, user string, e everyoneMail) (bool, error) {
	if e.Tag == "" {
		return true, nil
	}
	tags, err := m.tags.get(ctx, user, func(ctx context.Context) ([]string, error) {
		users, err := m.conf.IM.Tags(ctx, user)
		if errors.Is(err, codeNoTags) {
			return nil, nil
		}
		if err != nil || len(users) == 0 {
			return nil, err
		}
		return users[0].Tags, nil
	})
	return slices.Contains(tags, e.Tag), err
}

// letter returns what a mail says, at most ListAge old; nil where there is none.
func (m *Mails) letter(ctx context.Context, id string) (*letter, error) {
	l, err := m.letters.get(ctx, id, func(ctx context.Context) (l letter, err error) {
		_, err = load(ctx, m.store, campaignPartition(id), letterItem, &l)
		return l, err
	})
	if err != nil || l.ID == "" {
		return nil, err
	}
	return &l, nil
}

// Letter is the recipient's view of a mail.
type Letter struct {
	MailID string `json:"mailId"`
	Words
	Language    string    `json:"language,omitempty"` // of title and text, where the mail has that language
	SentAt      time.Time `json:"sentAt"`
	ExpiresAt   time.Time `json:"expiresAt"`
	Read        bool      `json:"read"`
	Claimed     bool      `json:"claimed"`
	Attachments []Item    `json:"attachments"`
	// Claimable: the mail has attachments that can be claimed.
	Claimable bool `json:"claimable"`
	Revoked   bool `json:"revoked,omitempty"`
}

// shown is a mail in the words of a language.
func (l *letter) shown(b box, languages []string, now time.Time) Letter {
	out := Letter{
		MailID: l.ID, Words: l.Words, SentAt: l.At, ExpiresAt: l.Expires, Read: b.Read, Claimed: b.granted(), Attachments: l.Attachments,
		Claimable: l.claimable(b, now) == nil, Revoked: l.Revoked,
	}
	if out.Attachments == nil {
		out.Attachments = []Item{}
	}
	for _, want := range languages {
		if words, has := l.Languages[want]; has {
			out.Words, out.Language = words, want
			return out
		}
		base, _, _ := strings.Cut(want, "-")
		for tag, words := range l.Languages {
			if strings.EqualFold(tag, want) || strings.EqualFold(tag, base) {
				out.Words, out.Language = words, tag
				return out
			}
		}
	}
	return out
}

// Inbox is a page of a player's mails, the newest first.
type Inbox struct {
	Mails  []Letter `json:"mails"`
	Unread int      `json:"unread"` // of all mails that can be listed
	Next   string   `json:"next,omitempty"`
}

// entry is a mail of an inbox before its letter is read.
type entry struct {
	id  string
	box box
}

// entries returns the mails of an inbox that its player may see, the newest first.
func (m *Mails) entries(ctx context.Context, user string) (list []entry, err error) {
	mine := make(map[string]bool)
	for after := ""; ; {
		page, err := m.store.List(ctx, inboxPartition(user), kv.Range{Prefix: "m/", After: after, Limit: kv.MaxPage})
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			e := entry{id: strings.TrimPrefix(item.Key, "m/")}
			if err := json.Unmarshal(item.Value, &e.box); err != nil {
				return nil, fmt.Errorf("mail: an item of the store does not decode: %w", err)
			}
			mine[e.id] = true
			// The store keeps it longer than the mail lives: see kept.
			if !e.box.Deleted && item.Expires.Add(-kept).After(m.now()) {
				list = append(list, e)
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	all, err := m.listEveryone(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if mine[e.ID] || !e.Expires.After(m.now()) {
			continue
		}
		is, err := m.concerns(ctx, user, e)
		if err != nil {
			return nil, err
		}
		if is {
			list = append(list, entry{e.ID, box{Chunk: ofAll}})
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(b.id, a.id) })
	return list, nil
}

// Inbox returns a page of a player's mails that have not expired, each in the first of
// languages that the mail has. Errors are of the code Unavailable.
func (m *Mails) Inbox(ctx context.Context, user string, languages []string, after string, limit int) (Inbox, error) {
	in := Inbox{Mails: []Letter{}}
	list, err := m.entries(ctx, user)
	if err != nil {
		return in, err
	}
	for _, e := range list {
		if !e.box.Read {
			in.Unread++
		}
	}
	for _, e := range list {
		if after != "" && e.id >= after {
			continue
		}
		if len(in.Mails) == limit {
			in.Next = in.Mails[limit-1].MailID
			break
		}
		l, err := m.letter(ctx, e.id)
		if err != nil {
			return in, err
		}
		if l != nil {
			in.Mails = append(in.Mails, l.shown(e.box, languages, m.now()))
		}
	}
	return in, nil
}

// find returns a mail of a player's, whatever its player did with it. Whoever is no
// recipient learns as little as of a mail that does not exist.
func (m *Mails) find(ctx context.Context, user, id string) (b box, cond kv.Cond, l *letter, err error) {
	if !isID("m", id) {
		return b, cond, nil, errNoMail
	}
	if cond, err = load(ctx, m.store, inboxPartition(user), boxKey(id), &b); err != nil {
		return b, cond, nil, err
	}
	if l, err = m.letter(ctx, id); err != nil {
		return b, cond, nil, err
	}
	if l == nil {
		return b, cond, nil, errNoMail
	}
	if !cond.WantsAbsent() {
		return b, cond, l, nil
	}
	if !l.shared() {
		return b, cond, nil, errNoMail
	}
	all, err := m.listEveryone(ctx)
	if err != nil {
		return b, cond, nil, err
	}
	at := slices.IndexFunc(all, func(e everyoneMail) bool { return e.ID == id })
	if at < 0 {
		return b, cond, nil, errNoMail
	}
	is, err := m.concerns(ctx, user, all[at])
	if err == nil && !is {
		err = errNoMail
	}
	return box{Chunk: ofAll}, cond, l, err
}

// alter changes what a player did with a mail.
func (m *Mails) alter(ctx context.Context, user, id string, change func(b *box, l *letter) error) (b box, l *letter, err error) {
	for range tries {
		var cond kv.Cond
		if b, cond, l, err = m.find(ctx, user, id); err != nil {
			return b, l, err
		}
		before, err := encode(b)
		if err != nil {
			return b, l, err
		}
		if err := change(&b, l); err != nil {
			return b, l, err
		}
		value, err := encode(b)
		if err != nil {
			return b, l, err
		}
		if string(before) == string(value) {
			return b, l, nil
		}
		_, err = m.commit(ctx, inboxPartition(user), kv.Put{Key: boxKey(id), Value: value, Expires: l.Expires.Add(kept), If: cond})
		if !errors.Is(err, kv.ErrConflict) {
			return b, l, err
		}
	}
	return b, l, errBusy
}

// Read marks a mail as read, and returns it. Errors are of the codes NotFound and
// Unavailable.
func (m *Mails) Read(ctx context.Context, user, id string, languages []string) (Letter, error) {
	b, l, err := m.alter(ctx, user, id, func(b *box, l *letter) error {
		if b.Deleted || !l.Expires.After(m.now()) {
			return errNoMail
		}
		b.Read = true
		return nil
	})
	if err != nil {
		return Letter{}, err
	}
	return l.shown(b, languages, m.now()), nil
}

// Delete removes a mail from an inbox for good. A mail with attachments that can be
// claimed is not removed: fault.Unclaimed. Deleting again is a no-op.
func (m *Mails) Delete(ctx context.Context, user, id string) error {
	_, _, err := m.alter(ctx, user, id, func(b *box, l *letter) error {
		switch {
		case b.Deleted:
		case l.claimable(*b, m.now()) == nil:
			return fault.New(fault.Unclaimed, "this mail has attachments that were not claimed: claim them first")
		case b.asking():
			return fault.New(fault.Unclaimed, "the attachments of this mail are being claimed; ask again").After(2 * time.Second)
		}
		b.Deleted, b.Read = true, true
		return nil
	})
	return err
}

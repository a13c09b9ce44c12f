package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Limits of a mail. Our decisions.
const (
	MaxTitle     = 200 // bytes
	MaxLanguages = 20
	// MaxLife is the longest time from the sending of a mail to its expiry.
	MaxLife = 366 * 24 * time.Hour
	// MaxEveryone is how many mails to everyone or to a tag are alive at once: each
	// inbox reads them all.
	MaxEveryone = 100
	// envelope is what IM's message has beside the body.
	envelope = 64
	maxTag   = 50 // bytes, of IM (269/45934)
)

// To names the recipients of a mail. Exactly one of its fields is set.
type To struct {
	Users    []string `json:"users,omitempty"`
	Group    string   `json:"group,omitempty"`
	Tag      string   `json:"tag,omitempty"`  // users with this tag of all-member push
	File     bool     `json:"file,omitempty"` // recipients come in parts; see PUT /mail/{id}/recipients/{part}
	Everyone bool     `json:"everyone,omitempty"`
}

// Words are the title and the text of a mail in one language.
type Words struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

// NewMail is a mail to send.
type NewMail struct {
	To To `json:"to"`
	Words
	// Languages has the words for players of other languages, by language tag (de,
	// pt-BR). An inbox shows the language that its reader asks for.
	Languages   map[string]Words `json:"languages"`
	Attachments []Item           `json:"attachments"`
	ExpiresAt   *time.Time       `json:"expiresAt"` // nil: after MAIL_KEEP
}

// The states of a campaign.
const (
	Planned   = "planned"
	Sending   = "sending"
	Paused    = "paused"
	Sent      = "sent"
	Cancelled = "cancelled"
)

// kinds of campaigns, by how IM is told.
const (
	byOne   = "sendmsg"
	byBatch = "batchsendmsg"
	byGroup = "send_group_msg"
	byPush  = "im_push"
	byInbox = "inbox" // IM is not told: the edition has no push
)

// letter is what a mail says. Only its words and revocation change.
type letter struct {
	ID      string `json:"id"`
	Asked   string `json:"asked"` // hash of the request
	By      string `json:"by"`    // name of the key that it was sent with
	Version int64  `json:"version"`
	To      To     `json:"to"` // without Users
	Words
	Languages   map[string]Words `json:"languages,omitempty"`
	Attachments []Item           `json:"attachments,omitempty"`
	At          time.Time        `json:"at"`
	Expires     time.Time        `json:"expires"`
	Revoked     bool             `json:"revoked,omitempty"`
}

// shared reports whether the mail is read through the list of mails to everyone.
func (l *letter) shared() bool { return l.To.Everyone || l.To.Tag != "" }

// progress is how far a campaign is. While it is sent, the sender alone changes it,
// but for State, which requests change.
type progress struct {
	State string `json:"state"`
	By    string `json:"by"`
	// Collecting: recipients are still coming.
	Collecting bool `json:"collecting,omitempty"`
	Total      int  `json:"total"`
	Delivered  int  `json:"delivered"`
	Failed     int  `json:"failed,omitempty"`     // IM does not know them, or did not take the message for them
	Duplicates int  `json:"duplicates,omitempty"` // recipients that occurred twice
	// Unknown are the first of those who failed.
	Unknown []string `json:"unknown,omitempty"`
	Problem string   `json:"problem,omitempty"` // why it was cancelled without anybody asking

	Parts   int      `json:"parts,omitempty"`   // of a file that came
	Chunks  int      `json:"chunks,omitempty"`  // of recipients
	Next    int      `json:"next,omitempty"`    // chunk
	Listed  bool     `json:"listed,omitempty"`  // mail to everyone: inboxes find it
	Told    bool     `json:"told,omitempty"`    // the one message to a group or to all is out
	Cursor  string   `json:"cursor,omitempty"`  // in the group's members
	Attempt *attempt `json:"attempt,omitempty"` // of the chunk Next
}

// attempt is a batch call that may be under way.
type attempt struct {
	Numbers [][2]uint32 `json:"numbers"` // MsgSeq and MsgRandom of the call last, of earlier calls before
	Began   time.Time   `json:"began"`   // when the first of all these calls left
	First   time.Time   `json:"first"`   // when the first call with the last numbers left
	Since   time.Time   `json:"since"`   // when the call leaves
	// Rest is who the call goes to; nil: all of the chunk.
	Rest   []string `json:"rest,omitempty"`
	Found  int      `json:"found,omitempty"`  // recipients whose history has the message
	Failed []string `json:"failed,omitempty"` // recipients whom IM does not know
}

const (
	letterItem   = "letter"
	progressItem = "progress"
	chunkPrefix  = "r/"
)

func campaignPartition(id string) string { return "mail/campaign/" + id }
func chunkKey(n int) string              { return fmt.Sprintf("%s%08d", chunkPrefix, n) }

// indexPartition lists all campaigns, by id and so by age.
const indexPartition = "mail/campaigns"

// View is a campaign as the operator sees it.
type View struct {
	MailID     string    `json:"mailId"`
	State      string    `json:"state"`
	Total      *int      `json:"total"` // nil: everyone
	Delivered  int       `json:"delivered"`
	Failed     int       `json:"failed"`
	Duplicates int       `json:"duplicates"`
	Unknown    []string  `json:"unknown"`
	Problem    string    `json:"problem,omitempty"`
	Plan       Plan      `json:"plan"`
	Title      string    `json:"title"`
	To         To        `json:"to"`
	Parts      int       `json:"parts,omitempty"`
	Version    int64     `json:"version"`
	Revoked    bool      `json:"revoked"`
	SentAt     time.Time `json:"sentAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
}

func view(l *letter, p *progress) View {
	v := View{
		MailID: l.ID, State: p.State, Delivered: p.Delivered, Failed: p.Failed, Duplicates: p.Duplicates, Unknown: p.Unknown,
		Problem: p.Problem, Plan: planOf(p.By, p.Total), Title: l.Title, To: l.To, Parts: p.Parts, Version: l.Version,
		Revoked: l.Revoked, SentAt: l.At, ExpiresAt: l.Expires,
	}
	if v.Unknown == nil {
		v.Unknown = []string{}
	}
	if !l.shared() {
		v.Total = &p.Total
	}
	return v
}

// message is what IM carries. It has the words in all languages, since one message
// goes to many.
func (l *letter) message() (im.MsgBody, error) {
	type data struct {
		MailID string `json:"mailId"`
		Words
		Languages   map[string]Words `json:"languages,omitempty"`
		Attachments []Item           `json:"attachments,omitempty"`
		ExpiresAt   time.Time        `json:"expiresAt"`
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		BusinessID string `json:"businessID"`
		Event      string `json:"event"`
		Data       data   `json:"data"`
	}{"backchannel", "mail", data{l.ID, l.Words, l.Languages, l.Attachments, l.Expires}})
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return im.Custom(string(bytes.TrimSpace(b.Bytes())), l.Title, ""), nil
}

// check refuses what cannot be a mail. It returns the letter, without an id.
func (m *Mails) check(in NewMail) (*letter, error) {
	kinds := 0
	for _, is := range []bool{in.To.Users != nil, in.To.Group != "", in.To.Tag != "", in.To.File, in.To.Everyone} {
		if is {
			kinds++
		}
	}
	now := m.now().UTC()
	l := &letter{
		Version: 1, To: in.To, Words: in.Words, Languages: in.Languages, Attachments: in.Attachments, At: now.Truncate(time.Millisecond),
		Expires: now.Add(m.conf.Keep).Truncate(time.Second),
	}
	l.To.Users = nil
	if in.ExpiresAt != nil {
		l.Expires = in.ExpiresAt.UTC().Truncate(time.Second)
	}
	switch {
	case kinds != 1:
		return nil, fault.New(fault.Invalid, "to names its recipients in exactly one way: users, group, tag, file or everyone")
	case in.To.Users != nil && len(in.To.Users) == 0:
		return nil, fault.New(fault.Invalid, "to.users is empty: a mail has at least one recipient")
	case len(in.To.Group) > im.MaxGroupID || strings.ContainsFunc(in.To.Group, func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, fault.New(fault.Invalid, "to.group is a GroupID of at most %d visible ASCII characters", im.MaxGroupID)
	case len(in.To.Tag) > maxTag:
		return nil, fault.New(fault.Invalid, "to.tag has at most %d bytes", maxTag)
	case in.To.Tag != "" && !m.conf.Push:
		return nil, fault.New(fault.NotConfigured, "mail by tag needs IM's all-member push: set MAIL_PUSH=1 where the app's edition has it")
	case !l.Expires.After(now) || l.Expires.After(now.Add(MaxLife)):
		return nil, fault.New(fault.Invalid, "expiresAt is a time within the next %d days", int(MaxLife/(24*time.Hour)))
	case len(in.Attachments) > 0 && m.conf.Hook == nil:
		return nil, errNoHook
	}
	for _, id := range in.To.Users {
		if usersig.CheckUserID(id) != nil {
			return nil, fault.New(fault.Invalid, "each of to.users is a UserID of 1 to 32 visible ASCII characters")
		}
	}
	if err := checkItems("attachments", in.Attachments); err != nil {
		return nil, err
	}
	return l, checkWords(l)
}

func checkWords(l *letter) error {
	if len(l.Languages) > MaxLanguages {
		return fault.New(fault.Invalid, "languages has at most %d languages", MaxLanguages)
	}
	check := func(field string, w Words) error {
		if w.Title == "" || len(w.Title) > MaxTitle || strings.ContainsFunc(w.Title, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fault.New(fault.Invalid, "%stitle is one line of 1 to %d bytes", field, MaxTitle)
		}
		return nil
	}
	if err := check("", l.Words); err != nil {
		return err
	}
	for tag, w := range l.Languages {
		if !isLanguage(tag) {
			return fault.New(fault.Invalid, "languages is keyed by language tags such as de or pt-BR")
		}
		if err := check("languages."+tag+".", w); err != nil {
			return err
		}
	}
	sized := *l
	sized.ID = newID("m", l.At)
	body, err := sized.message()
	if err != nil {
		return err
	}
	size, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if n := len(size) + envelope; n > im.MaxMessage {
		return fault.New(fault.Invalid, "title and text, in all languages and as IM's message, have %d bytes, and IM takes %d", n, im.MaxMessage)
	}
	return nil
}

// isLanguage reports whether a text is a language tag, such as de or pt-BR.
func isLanguage(tag string) bool {
	return tag != "" && len(tag) <= 35 && !strings.ContainsFunc(tag, func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// prepare checks a mail and plans how it is sent.
func (m *Mails) prepare(ctx context.Context, in NewMail) (*letter, *progress, [][]string, error) {
	l, err := m.check(in)
	if err != nil {
		return nil, nil, nil, err
	}
	users := unique(in.To.Users)
	p := &progress{State: Planned, Collecting: in.To.File, Duplicates: len(in.To.Users) - len(users), Total: len(users)}
	var chunks [][]string
	switch {
	case in.To.Group != "":
		p.By = byGroup
		if p.Total, err = m.membersOf(ctx, in.To.Group); err != nil {
			return nil, nil, nil, err
		}
	case l.shared() && m.conf.Push:
		p.By = byPush
	case l.shared():
		p.By = byInbox
	case len(users) == 1:
		p.By, p.Chunks, chunks = byOne, 1, [][]string{users}
	default: // also a file, of as many recipients as may come
		p.By, chunks = byBatch, slices.Collect(slices.Chunk(users, im.BatchSize))
		p.Chunks = len(chunks)
	}
	return l, p, chunks, nil
}

// membersOf returns how many members a group has that may get mail.
func (m *Mails) membersOf(ctx context.Context, groupID string) (int, error) {
	infos, err := m.conf.IM.GroupInfos(ctx, []string{groupID})
	switch {
	case im.Lasting(err), err == nil && (len(infos) != 1 || infos[0].Code != 0):
		return 0, fault.New(fault.Invalid, "to.group: IM has no such group")
	case err != nil:
		return 0, err
	case infos[0].Type == im.AVRoom || infos[0].Type == im.Live:
		return 0, fault.New(fault.Invalid, "to.group: a group of this type does not store its members")
	}
	return infos[0].MemberNum, nil
}

func unique(users []string) []string {
	seen := make(map[string]bool, len(users))
	list := make([]string, 0, len(users))
	for _, id := range users {
		if !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	return list
}

// DryRun returns the plan of a mail, and stores nothing. recipients is the number of
// recipients in the file of a mail to a file.
func (m *Mails) DryRun(ctx context.Context, in NewMail, recipients int) (Plan, error) {
	_, p, _, err := m.prepare(ctx, in)
	if err != nil {
		return Plan{}, err
	}
	if in.To.File {
		p.Total = recipients
	}
	return planOf(p.By, p.Total), nil
}

// Send stores a mail and enqueues its sending. The same caller with the same
// idempotency key gets the same mail. Errors are of the codes Invalid, NotConfigured,
// Conflict where too many mails to everyone are alive, IdempotencyMismatch and
// Unavailable; after Unavailable the mail may have been stored, and a retry returns
// it.
func (m *Mails) Send(ctx context.Context, caller api.Caller, key string, in NewMail) (View, error) {
	l, p, chunks, err := m.prepare(ctx, in)
	if err != nil {
		return View{}, err
	}
	asked, err := encode(in)
	if err != nil {
		return View{}, err
	}
	l.Asked, l.By = digest(string(asked)), caller.Server
	if l.ID, err = m.named(ctx, "m", caller.Server, key); err != nil {
		return View{}, err
	}
	if first, done, _, err := m.campaign(ctx, l.ID); err != nil || first != nil {
		return sameMail(first, done, l.Asked, err)
	}
	if l.shared() {
		if list, err := m.listEveryone(ctx); err != nil {
			return View{}, err
		} else if len(list) >= MaxEveryone {
			return View{}, fault.New(fault.Conflict, "%d mails to everyone or to a tag are alive; cancel one, or wait until one expires", MaxEveryone)
		}
	}
	// The guard comes before the commit that it guards, and so does the list of all
	// campaigns, which passes over what is not there.
	if err := guard(ctx, m.campaigns, l.ID, m.now().Add(guardAfter)); err != nil {
		return View{}, err
	}
	if _, err := m.commit(ctx, indexPartition, kv.Put{Key: l.ID, Expires: l.Expires.Add(kept), If: kv.Absent()}); err != nil && !errors.Is(err, kv.ErrConflict) {
		return View{}, err
	}
	writes, err := puts(l.Expires.Add(kept), map[string]any{letterItem: l, progressItem: p})
	if err != nil {
		return View{}, err
	}
	for n, chunk := range chunks {
		put, err := puts(l.Expires.Add(kept), map[string]any{chunkKey(n): chunk})
		if err != nil {
			return View{}, err
		}
		writes = append(writes, put...)
	}
	_, err = m.commit(ctx, campaignPartition(l.ID), writes...)
	if errors.Is(err, kv.ErrConflict) {
		first, done, _, err := m.campaign(ctx, l.ID)
		return sameMail(first, done, l.Asked, err)
	}
	if err == nil && !p.Collecting {
		err = m.enlist(ctx, l.ID)
	}
	return view(l, p), err
}

// sameMail answers a request whose key was used before.
func sameMail(l *letter, p *progress, asked string, err error) (View, error) {
	switch {
	case err != nil:
		return View{}, err
	case l.Asked != asked:
		return View{}, fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another mail; use a new one")
	}
	return view(l, p), nil
}

// puts makes new items.
func puts(expires time.Time, items map[string]any) (writes []kv.Write, err error) {
	for key, v := range items {
		value, err := encode(v)
		if err != nil {
			return nil, err
		}
		writes = append(writes, kv.Put{Key: key, Value: value, Expires: expires, If: kv.Absent()})
	}
	return writes, nil
}

var errNoMail = fault.New(fault.NotFound, "there is no such mail, or no longer")

// campaign reads a campaign; the letter is nil where there is none.
func (m *Mails) campaign(ctx context.Context, id string) (l *letter, p *progress, cond kv.Cond, err error) {
	l, p = &letter{}, &progress{}
	if cond, err = load(ctx, m.store, campaignPartition(id), progressItem, p); err != nil || cond.WantsAbsent() {
		return nil, nil, cond, err
	}
	at, err := load(ctx, m.store, campaignPartition(id), letterItem, l)
	if err != nil || at.WantsAbsent() {
		return nil, nil, cond, err
	}
	return l, p, cond, nil
}

// Get returns a campaign with its progress. Errors are of the codes NotFound and
// Unavailable.
func (m *Mails) Get(ctx context.Context, id string) (View, error) {
	if !isID("m", id) {
		return View{}, errNoMail
	}
	l, p, _, err := m.campaign(ctx, id)
	switch {
	case err != nil:
		return View{}, err
	case l == nil:
		return View{}, errNoMail
	}
	return view(l, p), nil
}

// List returns campaigns, the newest first, and the cursor of the next page, "" at the
// end.
func (m *Mails) List(ctx context.Context, after string, limit int) (list []View, next string, err error) {
	page, err := m.store.List(ctx, indexPartition, kv.Range{Reverse: true, After: after, Limit: limit})
	if err != nil {
		return nil, "", err
	}
	for _, item := range page.Items {
		v, err := m.Get(ctx, item.Key)
		switch {
		case fault.Of(err).Code == fault.NotFound && err != nil:
			continue
		case err != nil:
			return nil, "", err
		}
		list = append(list, v)
	}
	return list, page.Next, nil
}

// update changes how far a campaign is; change may be called several times. The
// campaign forgets the recipients of chunks that were served.
func (m *Mails) update(ctx context.Context, id string, change func(l *letter, p *progress) error, served ...int) (*letter, *progress, error) {
	for range tries {
		l, p, cond, err := m.campaign(ctx, id)
		switch {
		case err != nil:
			return nil, nil, err
		case l == nil:
			return nil, nil, errNoMail
		}
		before, err := encode(p)
		if err != nil {
			return nil, nil, err
		}
		if err := change(l, p); err != nil {
			return l, p, err
		}
		value, err := encode(p)
		if err != nil {
			return nil, nil, err
		}
		if bytes.Equal(before, value) {
			return l, p, nil
		}
		writes := []kv.Write{kv.Put{Key: progressItem, Value: value, Expires: l.Expires.Add(kept), If: cond}}
		for _, n := range served {
			item, err := m.store.Get(ctx, campaignPartition(id), chunkKey(n))
			switch {
			case err == nil:
				writes = append(writes, kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
			case !errors.Is(err, kv.ErrNotFound):
				return nil, nil, err
			}
		}
		_, err = m.commit(ctx, campaignPartition(id), writes...)
		if !errors.Is(err, kv.ErrConflict) {
			return l, p, err
		}
	}
	return nil, nil, errBusy
}

var errBusy = fault.New(fault.Conflict, "too many change this at once; ask again").After(time.Second)

// move takes a campaign from one of some states to another.
func (m *Mails) move(ctx context.Context, id, to string, from ...string) (View, error) {
	if !isID("m", id) {
		return View{}, errNoMail
	}
	l, p, err := m.update(ctx, id, func(_ *letter, p *progress) error {
		if !slices.Contains(from, p.State) {
			return fault.New(fault.IllegalTransition, "a mail that is %s cannot become %s", p.State, to)
		}
		p.State = to
		return nil
	})
	if err != nil {
		return View{}, err
	}
	return view(l, p), nil
}

// guardFrom has a campaign continued that is in one of some states, from which it is
// about to be moved. Of any other state move says what is wrong.
func (m *Mails) guardFrom(ctx context.Context, id string, states ...string) error {
	v, err := m.Get(ctx, id)
	if err != nil || !slices.Contains(states, v.State) {
		return err
	}
	return guard(ctx, m.campaigns, id, m.now().Add(guardAfter))
}

// Pause stops the sending of a campaign. A call of IM that is under way still
// completes.
func (m *Mails) Pause(ctx context.Context, id string) (View, error) {
	return m.move(ctx, id, Paused, Planned, Sending)
}

// Cancel ends a campaign. Recipients who have the mail keep it; a job deletes the list
// of those who have not.
func (m *Mails) Cancel(ctx context.Context, id string) (View, error) {
	from := []string{Planned, Sending, Paused}
	if err := m.guardFrom(ctx, id, from...); err != nil {
		return View{}, err
	}
	return m.move(ctx, id, Cancelled, from...)
}

// Resume continues a paused campaign where it stopped.
func (m *Mails) Resume(ctx context.Context, id string) (View, error) {
	if err := m.guardFrom(ctx, id, Paused); err != nil {
		return View{}, err
	}
	v, err := m.move(ctx, id, Sending, Paused)
	if err != nil {
		return v, err
	}
	return v, m.enlist(ctx, id)
}

// changeLetter changes what a mail says. Inboxes show it after [ListAge].
func (m *Mails) changeLetter(ctx context.Context, id string, change func(l *letter) error) (View, error) {
	if !isID("m", id) {
		return View{}, errNoMail
	}
	for range tries {
		l := &letter{}
		cond, err := load(ctx, m.store, campaignPartition(id), letterItem, l)
		switch {
		case err != nil:
			return View{}, err
		case cond.WantsAbsent():
			return View{}, errNoMail
		}
		if err := change(l); err != nil {
			return View{}, err
		}
		value, err := encode(l)
		if err != nil {
			return View{}, err
		}
		_, err = m.commit(ctx, campaignPartition(id), kv.Put{Key: letterItem, Value: value, Expires: l.Expires.Add(kept), If: cond})
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			return View{}, err
		}
		m.letters.drop(id)
		return m.Get(ctx, id)
	}
	return View{}, errBusy
}

// Edit changes a mail's title and texts. Edit delivers nothing and leaves read mails
// read: inboxes refer to the mail by its id. Attachments and expiry do not change.
func (m *Mails) Edit(ctx context.Context, id string, version int64, words Words, languages map[string]Words) (View, error) {
	return m.changeLetter(ctx, id, func(l *letter) error {
		if version != l.Version {
			return fault.New(fault.Conflict, "version %d is not the mail's version %d: read it again", version, l.Version)
		}
		l.Words, l.Languages = words, languages
		l.Version++
		return checkWords(l)
	})
}

// Revoke voids the attachments that nobody has claimed. Revoking again is a no-op.
func (m *Mails) Revoke(ctx context.Context, id string) (View, error) {
	return m.changeLetter(ctx, id, func(l *letter) error {
		l.Revoked = true
		return nil
	})
}

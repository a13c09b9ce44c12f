// Package mark keeps reactions, edits, pins and the summary of a sub-channel, which
// users add to messages of channels.
//
// # One writer a message
//
// Reactions, isEdited and the summary share one field of IM's message, its
// CloudCustomData, and IM replaces it as a whole. So the store has all marks, and one
// writer at a time composes the whole field from the store and writes it, at most once
// a second. A change commits the mark, and raises the message's Want; the first change
// after the writer's last read enqueues the job that writes, later changes find Want
// raised. The writer stores the Want that it has seen before it reads, so a change
// that the writer may have missed raises Want again. A change is guarded (package
// process) before it is committed: the guard compares IM with the store and writes
// where they differ.
//
// Keys of the app's own in CloudCustomData stay as they are. A CloudCustomData that is
// no JSON object is not changed: then only our answers have the reactions.
package mark

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Our decisions.
const (
	guardAfter = time.Minute
	// pace is the time from the end of one write of a message to the next.
	pace = time.Second
	// writeTime bounds one write, and leaseSlack how much longer its lease lasts.
	writeTime  = 10 * time.Second
	leaseSlack = 5 * time.Second
	tries      = 20
	// MaxField bounds CloudCustomData as we write it, in bytes.
	MaxField = 4096
	// MaxEmoji bounds the name of a reaction, in bytes, and MaxEmojis how many
	// different ones a message has.
	MaxEmoji  = 64
	MaxEmojis = 20
)

// IM is the part of IM's REST API that marks use; [*im.Client] implements it.
type IM interface {
	GroupHistory(ctx context.Context, q im.GroupHistoryQuery) (im.GroupHistoryPage, error)
	ModifyGroupMsg(ctx context.Context, groupID, topicID string, seq uint32, m im.Modification) error
}

// Summary returns the summary of a message's sub-channel, which the message has under
// the key "thread"; nil without a sub-channel.
type Summary func(ctx context.Context, is community.Community, threadID string) (any, error)

// Config makes [Marks]. All but Judge, Now and Sleep are required.
type Config struct {
	Store       kv.Store
	Jobs        *queue.Ledger
	IM          IM
	Communities *community.Communities
	// Judge says why a message may not be edited to this text; "" if it may. nil:
	// every text is allowed.
	Judge func(ctx context.Context, groupID, topicID, from string, body im.MsgBody) (string, error)

	Now func() time.Time // nil: time.Now
}

// Marks are all marks of an app. It is safe for concurrent use, also by several
// processes.
type Marks struct {
	conf    Config
	store   kv.Store
	checks  *process.Process
	now     func() time.Time
	summary Summary
}

// Checks compare IM with messages that were marked. Their ids are a communityId, the
// short name of a channel and a MsgSeq.
var Checks = process.Name{Agenda: "community-marks", Job: "community.mark", Lane: queue.Fast}

// writeKind is the kind of the job that writes a message; its body is such an id.
const writeKind = "community.mark.write"

// New makes Marks, and registers its kinds of jobs with conf.Jobs.
func New(conf Config) *Marks {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	m := &Marks{conf: conf, store: conf.Store, now: conf.Now}
	m.checks = process.New(Checks, conf.Store, conf.Jobs, conf.Now, m.check)
	if conf.Jobs != nil {
		conf.Jobs.Handle(writeKind, func(ctx context.Context, j queue.Job) error {
			var id string
			if err := json.Unmarshal(j.Body, &id); err != nil {
				return errors.New("mark: discarded malformed job: no message")
			}
			return m.write(ctx, id)
		})
	}
	return m
}

// Summarize sets where summaries of sub-channels come from, before the first job.
func (m *Marks) Summarize(s Summary) { m.summary = s }

// Ref names a message of a channel.
type Ref struct {
	Community community.Community
	Channel   community.Channel
	Seq       uint32
}

func (r Ref) id() string {
	return fmt.Sprintf("%s %s %d", r.Community.CommunityID, r.Channel.Short(), r.Seq)
}

func (r Ref) partition() string { return r.Community.ChannelPartition(r.Channel) }

const messagePrefix = "msg/"

// Keys in the partition of a channel.
func (r Ref) key() string            { return fmt.Sprintf("%s%010d", messagePrefix, r.Seq) }
func (r Ref) reactionPrefix() string { return fmt.Sprintf("reaction/%010d/", r.Seq) }
func (r Ref) reactionKey(emoji, userID string) string {
	return r.reactionPrefix() + url.PathEscape(emoji) + "/" + userID
}

// refOf finds a message by the id of its process; false where its channel is gone.
func (m *Marks) refOf(ctx context.Context, id string) (Ref, bool, error) {
	parts := strings.Fields(id)
	if len(parts) != 3 {
		return Ref{}, false, errors.New("mark: discarded malformed job: no message")
	}
	seq, err := strconv.ParseUint(parts[2], 10, 32)
	if err != nil {
		return Ref{}, false, errors.New("mark: discarded malformed job: no MsgSeq")
	}
	r, err := m.find(ctx, parts[0], parts[1], uint32(seq))
	if err != nil && fault.CodeOf(err) == fault.NotFound {
		return r, false, nil
	}
	return r, err == nil, err
}

var errNoChannel = fault.New(fault.NotFound, "there is no such channel in this community")

func (m *Marks) find(ctx context.Context, communityID, channelID string, seq uint32) (Ref, error) {
	is, err := m.conf.Communities.Get(ctx, communityID)
	if err != nil {
		return Ref{}, err
	}
	ch, has := is.Channel(channelID)
	if !has {
		return Ref{}, errNoChannel
	}
	return Ref{is, ch, seq}, nil
}

// record is what is known of a message, in one item.
type record struct {
	From   string `json:"from"`
	Thread string `json:"thread,omitempty"` // threadId of its sub-channel
	Edited bool   `json:"edited,omitempty"`
	// Body is what the message is to become; it is dropped when IM has it.
	Body   im.MsgBody `json:"body,omitempty"`
	BodyNo int64      `json:"bodyNo,omitempty"`
	Gone   bool       `json:"gone,omitempty"` // recalled or deleted

	Want int64     `json:"want,omitempty"` // grows with changes that the writer has not seen
	Seen int64     `json:"seen,omitempty"`
	Done int64     `json:"done,omitempty"`
	Busy time.Time `json:"busy,omitzero"` // a writer is at work until then
	Last time.Time `json:"last,omitzero"` // when the last write ended
}

type seen struct {
	record
	cond   kv.Cond
	stored []byte
}

func (m *Marks) load(ctx context.Context, r Ref) (*seen, error) {
	s := &seen{cond: kv.Absent()}
	item, err := m.store.Get(ctx, r.partition(), r.key())
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return s, nil
	case err != nil:
		return s, err
	}
	s.cond, s.stored = kv.Rev(item.Rev), item.Value
	if err := json.Unmarshal(item.Value, &s.record); err != nil {
		return s, fmt.Errorf("mark: a message's item does not decode: %w", err)
	}
	return s, nil
}

// change lets f change what is known of a message and commits that with the writes
// that f returns. While others change the same message, f is called again.
func (m *Marks) change(ctx context.Context, r Ref, f func(s *seen) ([]kv.Write, error)) (*seen, error) {
	for range tries {
		s, err := m.load(ctx, r)
		if err != nil {
			return s, err
		}
		writes, err := f(s)
		if err != nil {
			return s, err
		}
		value, err := json.Marshal(s.record)
		if err != nil {
			return s, fmt.Errorf("mark: %w", err)
		}
		if len(writes) == 0 && bytes.Equal(value, s.stored) {
			return s, nil
		}
		if s.cond.WantsAbsent() && s.From != "" {
			if err := community.Note(ctx, m.store, r.partition(), r.key(), s.From); err != nil {
				return s, err
			}
		}
		op := kv.NewOp("mark")
		err = m.store.Commit(ctx, r.partition(), op, append(writes, kv.Put{Key: r.key(), Value: value, If: s.cond})...)
		if !errors.Is(err, kv.ErrConflict) {
			return s, err
		}
	}
	return nil, errBusy
}

var errBusy = fault.New(fault.Unavailable, "too many requests change this message at once; send the same request again").After(2 * time.Second)

var errNoMessage = fault.New(fault.NotFound, "there is no such message in this channel, or it was recalled")

// message asks IM for a message.
func (m *Marks) message(ctx context.Context, r Ref) (msg im.GroupHistoryMsg, there bool, err error) {
	page, err := m.conf.IM.GroupHistory(ctx, im.GroupHistoryQuery{GroupID: r.Channel.GroupID, TopicID: r.Channel.TopicID, Newest: r.Seq, Limit: 1})
	if im.Lasting(err) {
		return msg, false, nil
	}
	if err != nil {
		return msg, false, err
	}
	if len(page.Messages) != 1 || page.Messages[0].MsgSeq != r.Seq || page.Messages[0].Placeholder != 0 {
		return msg, false, nil
	}
	return page.Messages[0], true, nil
}

// Ensure checks that a message exists, and returns its sender. Errors are of the codes
// NotFound and Unavailable.
func (m *Marks) Ensure(ctx context.Context, r Ref) (from string, err error) {
	s, err := m.load(ctx, r)
	switch {
	case err != nil:
		return "", community.Public(err)
	case s.Gone:
		return "", errNoMessage
	case s.From != "":
		return s.From, nil
	}
	msg, there, err := m.message(ctx, r)
	switch {
	case err != nil:
		return "", community.Public(err)
	case !there:
		return "", errNoMessage
	}
	return msg.From, nil
}

// guard has IM compared with a message in a minute, whatever becomes of the change
// that follows.
func (m *Marks) guard(ctx context.Context, r Ref) error {
	err := m.checks.Guard(ctx, r.id(), m.now().Add(guardAfter))
	if errors.Is(err, kv.ErrConflict) {
		return nil // many guard the same message at once, and it is guarded
	}
	return err
}

// Touch enqueues a write of a message whose summary has changed. threadID, if given,
// becomes the message's sub-channel. Where a write is due already, Touch costs one
// read.
func (m *Marks) Touch(ctx context.Context, r Ref, from, threadID string) error {
	s, err := m.load(ctx, r)
	if err != nil || s.Gone || s.Want > s.Seen && (threadID == "" || s.Thread == threadID) {
		return err
	}
	// Guarded: who dies between raising Want and the job leaves it raised.
	if err := m.guard(ctx, r); err != nil {
		return err
	}
	raised := false
	s, err = m.change(ctx, r, func(s *seen) ([]kv.Write, error) {
		raised = false
		if s.Gone {
			return nil, nil
		}
		if s.From == "" {
			s.From = from
		}
		if threadID != "" {
			s.Thread = threadID
		}
		if s.Want == s.Seen {
			s.Want++
			raised = true
		}
		return nil, nil
	})
	if err != nil || !raised {
		return err
	}
	return m.enqueue(ctx, r, s.record)
}

// enqueue puts the job that writes a message, at the time when it may be written
// next.
func (m *Marks) enqueue(ctx context.Context, r Ref, is record) error {
	if m.conf.Jobs == nil {
		return nil
	}
	body, err := json.Marshal(r.id())
	if err != nil {
		return err
	}
	at := m.now()
	if next := is.Last.Add(pace); next.After(at) {
		at = next
	}
	if is.Busy.After(m.now()) && at.Before(m.now().Add(pace)) {
		at = m.now().Add(pace) // a writer is at work
	}
	return m.conf.Jobs.Put(ctx, queue.Job{
		ID:   fmt.Sprintf("%s/%d/%s/%d", writeKind, r.Community.Generation, r.id(), is.Want),
		Kind: writeKind, Lane: queue.Fast, NotBefore: at, Body: body,
	})
}

// check compares IM with a message that was marked, and writes where they differ.
func (m *Marks) check(ctx context.Context, id string) error {
	r, there, err := m.refOf(ctx, id)
	if err != nil || !there {
		return err
	}
	s, err := m.load(ctx, r)
	if err != nil || s.From == "" || s.Gone {
		return err
	}
	if _, err := m.change(ctx, r, func(s *seen) ([]kv.Write, error) {
		if s.Want == s.Seen {
			s.Want++
		}
		return nil, nil
	}); err != nil {
		return err
	}
	return m.write(ctx, id)
}

// write brings IM's message in step with what the store says of it.
func (m *Marks) write(ctx context.Context, id string) error {
	r, there, err := m.refOf(ctx, id)
	if err != nil || !there {
		return err
	}
	if m.conf.IM == nil {
		return errors.New("mark: this program calls no IM")
	}
	for range tries {
		s, err := m.load(ctx, r)
		now := m.now()
		switch {
		case err != nil:
			return err
		case s.Want == s.Done || s.Gone:
			return nil
		case s.Busy.After(now):
			return queue.Later{After: min(s.Busy.Sub(now), pace)}
		case s.Last.Add(pace).After(now):
			return queue.Later{After: s.Last.Add(pace).Sub(now)}
		}
		s.Seen, s.Busy = s.Want, now.Add(writeTime+leaseSlack).UTC()
		value, err := json.Marshal(s.record)
		if err != nil {
			return err
		}
		err = m.store.Commit(ctx, r.partition(), kv.NewOp("mark"), kv.Put{Key: r.key(), Value: value, If: s.cond})
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		return m.writeNow(ctx, r, s.record)
	}
	return errBusy
}

// writeNow composes the field and writes it. The caller has the lease on the
// message.
func (m *Marks) writeNow(ctx context.Context, r Ref, is record) error {
	work, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	msg, there, err := m.message(work, r)
	if err == nil && !there {
		return m.forget(ctx, r)
	}
	if err == nil {
		err = m.modify(work, r, is, msg)
	}
	if im.Lasting(err) {
		slog.WarnContext(ctx, "IM refuses a reaction or a mark of a message", "error", err.Error())
		err = nil
	}
	failed := err
	s, err := m.change(ctx, r, func(s *seen) ([]kv.Write, error) {
		if s.Gone {
			return nil, nil
		}
		s.Busy, s.Last = time.Time{}, m.now().UTC()
		if failed == nil {
			s.Done = max(s.Done, is.Seen)
			if s.BodyNo == is.BodyNo {
				s.Body = nil
			}
		}
		return nil, nil
	})
	if failed != nil || err != nil {
		return errors.Join(failed, err)
	}
	if s.Want > s.Seen { // its own job may have come too early, and looked for this one
		return m.enqueue(ctx, r, s.record)
	}
	return nil
}

// modify writes the message where it differs from what it is to be.
func (m *Marks) modify(ctx context.Context, r Ref, is record, msg im.GroupHistoryMsg) error {
	var change im.Modification
	field, readable, err := m.compose(ctx, r, is, msg.CloudCustomData)
	if err != nil {
		return err
	}
	if readable && field != msg.CloudCustomData {
		change.CloudCustomData = &field
	}
	if is.Body != nil && !sameBody(is.Body, msg.Body) {
		change.Body = is.Body
	}
	if change.Body == nil && change.CloudCustomData == nil {
		return nil
	}
	return m.conf.IM.ModifyGroupMsg(ctx, r.Channel.GroupID, r.Channel.TopicID, r.Seq, change)
}

func sameBody(a, b im.MsgBody) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// The keys of CloudCustomData that are ours.
const (
	keyReaction = "reaction"
	keyEdited   = "isEdited"
	keyThread   = "thread"
)

// compose returns the field with our keys in place of those that it has; readable is
// false where the field is of a form that has no keys.
func (m *Marks) compose(ctx context.Context, r Ref, is record, field string) (_ string, readable bool, err error) {
	values := make(map[string]json.RawMessage)
	if field != "" {
		if err := json.Unmarshal([]byte(field), &values); err != nil || values == nil {
			return "", false, nil
		}
	}
	for _, key := range []string{keyReaction, keyEdited, keyThread} {
		delete(values, key)
	}
	if is.Edited {
		values[keyEdited] = json.RawMessage("true")
	}
	if is.Thread != "" && m.summary != nil {
		summary, err := m.summary(ctx, r.Community, is.Thread)
		if err != nil {
			return "", false, err
		}
		if summary != nil {
			text, err := encode(summary)
			if err != nil {
				return "", false, err
			}
			values[keyThread] = text
		}
	}
	reactions, err := m.reactions(ctx, r)
	if err != nil {
		return "", false, err
	}
	if len(values) == 0 && len(reactions) == 0 {
		return "{}", field != "" && field != "{}", nil
	}
	without, err := encode(values)
	if err != nil {
		return "", false, err
	}
	if fitting := fit(reactions, MaxField-len(without)-len(`,"reaction":`)); fitting != nil {
		values[keyReaction] = fitting
	}
	text, err := encode(values)
	return string(text), true, err
}

// fit writes reactions in the guide's form, {"smile":["user1","user2"]}, with as many
// users as fit into so many bytes: the first of each, then the second of each.
func fit(reactions []Reaction, bytes int) json.RawMessage {
	shown := make(map[string][]string)
	left := bytes - len("{}")
	for i, more := 0, true; more; i++ {
		more = false
		for _, one := range reactions {
			if i >= len(one.Users) {
				continue
			}
			name, _ := encode(one.Emoji)
			user, _ := encode(one.Users[i])
			size := len(user) + len(",")
			if i == 0 {
				size += len(name) + len(`:[],`)
			} else if len(shown[one.Emoji]) < i {
				continue // one before did not fit
			}
			if size > left {
				continue
			}
			left -= size
			shown[one.Emoji] = append(shown[one.Emoji], one.Users[i])
			more = true
		}
	}
	if len(shown) == 0 {
		return nil
	}
	text, err := encode(shown)
	if err != nil {
		return nil
	}
	return text
}

// encode writes JSON and leaves < > & as they are, which escaped would count several
// times against IM's limits.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// forget removes everything about a message that is recalled or deleted, and
// remembers that it is.
func (m *Marks) forget(ctx context.Context, r Ref) error {
	if _, err := m.change(ctx, r, func(s *seen) ([]kv.Write, error) {
		s.record = record{From: s.From, Gone: true}
		return nil, nil
	}); err != nil {
		return err
	}
	return m.conf.Communities.Wipe(ctx, r.partition(), r.reactionPrefix())
}

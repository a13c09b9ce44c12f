package liveroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// History configures which messages of a room newcomers may read. IM keeps nothing of
// an AVChatRoom but the last 20 messages.
type History struct {
	Messages int           // how many of the newest messages can be read, at most MaxHistory; 0: nothing is archived
	Keep     time.Duration // how long a message is kept
	// Skip reports whether a message is not archived, such as a like. nil archives
	// every message.
	Skip func(im.MsgBody) bool
}

// MaxHistory bounds History.Messages. One read of the store returns that many.
const MaxHistory = 1000

// On reports whether messages are archived.
func (h History) On() bool { return h.Messages > 0 }

// Message is a message of a room's history.
type Message struct {
	MsgSeq          uint32     `json:"msgSeq"`
	From            string     `json:"from"`
	Time            time.Time  `json:"time"`
	MsgBody         im.MsgBody `json:"msgBody"`
	CloudCustomData string     `json:"cloudCustomData,omitempty"`
}

// archived is a message as it is stored. One that was recalled or hidden keeps its
// place, so that its callback, redelivered or late, does not bring
// it back.
type archived struct {
	Message
	Gone bool `json:"gone,omitempty"` // recalled or hidden; the body is not kept
}

// The archive of a generation is a partition of its own: a busy room writes 40
// items a second to it.
func archivePartition(room Room) string {
	return fmt.Sprintf("liveroom/%s/archive/%d", room.RoomID, room.Generation)
}

func archiveKey(seq uint32) string { return fmt.Sprintf("%010d", seq) }

// archive keeps a delivered message, known by its MsgSeq within the generation. It
// reads the room and the sender's restrictions, since what a user wrote whose
// messages were hidden may be told of late.
func (r *Rooms) archive(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	if e.Type != im.AVRoom && e.Type != im.Live || !isRoomID(e.GroupID) || e.MsgSeq == 0 || r.conf.History.Skip != nil && r.conf.History.Skip(e.MsgBody) {
		return nil
	}
	room, err := r.Get(ctx, e.GroupID)
	switch {
	case is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	}
	at := e.MsgTime.Time()
	// MsgTime has whole seconds. What is older belongs to an earlier generation.
	if at.Before(room.CreatedAt.Truncate(time.Second)) {
		return nil
	}
	held, _, err := r.restricted(ctx, room, e.From)
	if err != nil {
		return err
	}
	m := archived{Message: Message{e.MsgSeq, e.From, at.UTC(), e.MsgBody, e.CloudCustomData}}
	if held.Kick != nil && held.Kick.Hide {
		m = m.gone()
	}
	if m.From != "" {
		if err := r.authors.Note(ctx, r.store, m.From, feature, userdata.Noted{Partition: archivePartition(room), Key: authorPrefix + m.From}, r.now()); err != nil {
			return err
		}
	}
	err = r.keep(ctx, room, m, at, kv.Absent())
	if errors.Is(err, kv.ErrConflict) {
		return nil // known, or recalled before
	}
	return err
}

func (m archived) gone() archived {
	return archived{Message: Message{MsgSeq: m.MsgSeq, From: m.From, Time: m.Time}, Gone: true}
}

// keep writes a message to the archive.
func (r *Rooms) keep(ctx context.Context, room Room, m archived, at time.Time, cond kv.Cond) error {
	value, err := encode(m)
	if err != nil {
		return fmt.Errorf("liveroom: %w", err)
	}
	return r.store.Commit(ctx, archivePartition(room), newOp(), kv.Put{
		Key: archiveKey(m.MsgSeq), Value: []byte(value), Expires: at.Add(r.conf.History.Keep), If: cond,
	})
}

// recall takes recalled messages out of the archive, also before they are in it.
func (r *Rooms) recall(ctx context.Context, e *callback.GroupAfterRecallMsg) error {
	room, err := r.Get(ctx, e.GroupID)
	switch {
	case is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	}
	if at := e.EventTime.Time(); !at.IsZero() && at.Before(room.CreatedAt) {
		return nil
	}
	for _, m := range e.MsgSeqList {
		if err := r.takeOut(ctx, room, m.MsgSeq); err != nil {
			return err
		}
	}
	return nil
}

// takeOut marks a message as gone.
func (r *Rooms) takeOut(ctx context.Context, room Room, seq uint32) error {
	for range tries {
		m, at, cond := archived{Message: Message{MsgSeq: seq}}, r.now(), kv.Absent()
		item, err := r.store.Get(ctx, archivePartition(room), archiveKey(seq))
		switch {
		case err == nil:
			if err := json.Unmarshal(item.Value, &m); err != nil {
				return fmt.Errorf("liveroom: an archived message does not decode: %w", err)
			}
			at, cond = m.Time, kv.Rev(item.Rev)
		case !errors.Is(err, kv.ErrNotFound):
			return err
		}
		if m.Gone {
			return nil
		}
		if err := r.keep(ctx, room, m.gone(), at, cond); !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// hide marks what users wrote as gone, as far back as can be read, and returns the
// MsgSeqs, the newest first. Messages that it marked before are among them, so
// that repeating it returns the same.
func (r *Rooms) hide(ctx context.Context, room Room, users []string) (seqs []uint32, err error) {
	if !r.conf.History.On() {
		return nil, nil
	}
	const most = 600 // of ten digits at most, so that the message stays below 12 KB
	all, err := r.newest(ctx, room)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if !slices.Contains(users, m.From) {
			continue
		}
		if err := r.takeOut(ctx, room, m.MsgSeq); err != nil {
			return nil, err
		}
		if len(seqs) < most {
			seqs = append(seqs, m.MsgSeq)
		}
	}
	return seqs, nil
}

// newest returns the archived messages that can be read, the newest first, with
// those that are gone.
func (r *Rooms) newest(ctx context.Context, room Room) (list []archived, err error) {
	for after := ""; ; {
		page, err := r.store.List(ctx, archivePartition(room), kv.Range{Reverse: true, After: after, Limit: r.conf.History.Messages - len(list)})
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			var m archived
			if err := json.Unmarshal(item.Value, &m); err != nil {
				return nil, fmt.Errorf("liveroom: an archived message does not decode: %w", err)
			}
			list = append(list, m)
		}
		if after = page.Next; after == "" || len(list) >= r.conf.History.Messages {
			return list, nil
		}
	}
}

// errKicked is what a kicked user gets on the routes of a room.
var errKicked = fault.New(fault.Forbidden, "you were removed from this room")

// admit refuses users who are kicked from a room.
func (r *Rooms) admit(ctx context.Context, caller api.Caller, room Room) error {
	kicked, err := r.Kicked(ctx, room, caller.UserID)
	if err != nil {
		return err
	}
	if kicked {
		return errKicked
	}
	return nil
}

// ReadHistory returns a page of the messages of this session of the room, the newest
// first: at most History.Messages in all. Recalled and hidden messages are left out.
// The cursor of the next page is "" at the end. Errors are of the codes NotFound,
// Forbidden for users who were kicked, Invalid for a malformed cursor, and
// Unavailable.
func (r *Rooms) ReadHistory(ctx context.Context, caller api.Caller, roomID, after string, limit int) (list []Message, next string, err error) {
	room, err := r.Get(ctx, roomID)
	if err == nil {
		err = r.admit(ctx, caller, room)
	}
	if err != nil {
		return nil, "", err
	}
	list = []Message{}
	if !r.conf.History.On() {
		return list, "", nil
	}
	// A cursor is the last key, and how many messages are left of those that can be
	// read.
	key, left := "", r.conf.History.Messages
	if after != "" {
		text, count, _ := strings.Cut(after, ".")
		n, err := strconv.Atoi(count)
		if _, bad := strconv.ParseUint(text, 10, 32); err != nil || bad != nil || len(text) != len(archiveKey(0)) || n < 1 || n > left {
			return nil, "", fault.New(fault.Invalid, `after is the "next" of the answer before`)
		}
		key, left = text, n
	}
	for len(list) < limit && left > 0 {
		page, err := r.store.List(ctx, archivePartition(room), kv.Range{Reverse: true, After: key, Limit: min(limit-len(list), left)})
		if err != nil {
			return nil, "", public(err)
		}
		left -= len(page.Items)
		for _, item := range page.Items {
			var m archived
			if err := json.Unmarshal(item.Value, &m); err != nil {
				return nil, "", fmt.Errorf("liveroom: an archived message does not decode: %w", err)
			}
			if !m.Gone {
				list = append(list, m.Message)
			}
		}
		if key = page.Next; key == "" {
			return list, "", nil
		}
	}
	if left == 0 {
		return list, "", nil
	}
	return list, fmt.Sprintf("%s.%d", key, left), nil
}

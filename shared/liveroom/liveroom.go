// Package liveroom manages live rooms: their status, their notice, and mutes and
// kicks. A room is an AVChatRoom of IM; its roomId is the GroupID.
//
// # What to rely on
//
// The store is the truth. A change is one commit in the room's partition; the tasks
// that it causes in IM (the group itself, its profile and attributes, mutes, bans, the
// event for the room) are stored in that same commit and carried out by a job. The
// commit is guarded (package process), so that after a crash at any point another
// process continues. One worker at a time works on a room, by a lease, so an older
// change never overtakes a newer one on its way to IM.
//
// A job carries only the room's id, and reads the tasks that are left. So a job may
// come twice, late, or after another process has done the work.
//
// # Generations
//
// IM lets a GroupID be used again after the group was dissolved. Each time a room is
// created it gets another [Room.Generation]; every record about a room has a key of
// the room's generation ([Room.Key]), so a room that is created anew starts empty.
package liveroom

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Our decisions.
const (
	// guardAfter is when the clock looks at a room after a change. It is longer
	// than the request and the job that follow from the change may take.
	guardAfter = time.Minute
	// kept is how long a closed room is remembered.
	kept = 30 * 24 * time.Hour
	// tries bounds how often a change is tried while others change the same room.
	tries = 20
)

// IM is the part of IM's REST API that rooms use; [*im.Client] implements it. Every
// call may be retried.
type IM interface {
	ImportAccount(ctx context.Context, a im.Account) error
	CreateGroup(ctx context.Context, g im.NewGroup) (im.Created, error)
	GroupInfos(ctx context.Context, groupIDs []string, dataKeys ...string) ([]im.GroupInfo, error)
	ModifyGroup(ctx context.Context, groupID string, g im.GroupChange) error
	DestroyGroup(ctx context.Context, groupID string) error
	SetRoomAdmins(ctx context.Context, groupID string, ids ...string) error
	GroupAttributes(ctx context.Context, groupID string) (map[string]string, error)
	ModifyGroupAttributes(ctx context.Context, groupID string, values map[string]string) error
	ForbidSendMsg(ctx context.Context, groupID, topicID string, ids []string, d time.Duration) (done int, err error)
	BanGroupMembers(ctx context.Context, groupID string, ids []string, d time.Duration, description string) (done int, err error)
	UnbanGroupMembers(ctx context.Context, groupID string, ids []string) (done int, err error)
	Portraits(ctx context.Context, userIDs []string, tags ...string) ([]im.Portrait, error)
}

// Outbox sends events to rooms; [*outbox.Outbox] implements it.
type Outbox interface {
	Send(ctx context.Context, messages ...outbox.Message) error
	Drain(ctx context.Context, roomID string) error
	Outcome(ctx context.Context, roomID, key string) (outbox.Outcome, error)
	Handle(kind string, told outbox.Told)
}

// Config makes [Rooms]. Store is required. A program that only reads rooms needs
// nothing else; one that changes them needs Jobs too; one that carries out jobs
// also needs IM, Outbox and Admin.
type Config struct {
	Store  kv.Store
	Jobs   *queue.Ledger
	IM     IM
	Outbox Outbox
	// Broadcaster sends to all rooms at once, where IM's edition allows it; nil:
	// broadcasts are sent room by room.
	Broadcaster Broadcaster
	Admin       string // UserID that events are sent from; the app's admin works

	// Grace is how long after the end of a stream a room is paused, unless the
	// stream has started again.
	Grace time.Duration
	// Streams returns the state of streams whose events came late or not at all; nil:
	// the state is not queried.
	Streams Streams
	Media   Media
	History History

	Now   func() time.Time                                 // nil: time.Now
	Sleep func(ctx context.Context, d time.Duration) error // nil: by the wall clock
}

// Rooms are all live rooms of an app. It is safe for concurrent use, also by
// several processes.
type Rooms struct {
	conf       Config
	store      kv.Store
	looks      *process.Process
	times      *process.Process
	broadcasts *process.Process
	now        func() time.Time
	cache      cache
	authors    userdata.Noter // of archived messages
}

// New makes Rooms, and registers its kinds of jobs with conf.Jobs.
func New(conf Config) *Rooms {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Sleep == nil {
		conf.Sleep = retry.Sleep
	}
	r := &Rooms{conf: conf, store: conf.Store, now: conf.Now}
	r.looks = process.New(Looks, conf.Store, conf.Jobs, conf.Now, r.settle)
	r.times = process.New(Times, conf.Store, conf.Jobs, conf.Now, func(ctx context.Context, id string) error {
		roomID, _, _ := strings.Cut(id, " ")
		return r.settle(ctx, roomID)
	})
	r.broadcasts = process.New(Broadcasts, conf.Store, conf.Jobs, conf.Now, r.continueBroadcast)
	if conf.Jobs != nil {
		conf.Jobs.Handle(checkKind, r.checkJob)
		conf.Jobs.Handle(watchKind, r.watchJob)
	}
	if conf.Outbox != nil {
		conf.Outbox.Handle(eventKind, r.eventEnded)
	}
	return r
}

// The processes of rooms, for the clock.
var (
	// Looks continue the tasks of a room. Their ids are roomIds.
	Looks = process.Name{Agenda: "liverooms", Job: "liveroom.look", Lane: queue.Fast}
	// Times carry out changes of a room that are due at a time, such as the end of a
	// restriction. Their ids are a roomId, a space, and a name of the change.
	Times = process.Name{Agenda: "liveroom-times", Job: "liveroom.time", Lane: queue.Fast}
	// Broadcasts continue broadcasts.
	Broadcasts = process.Name{Agenda: "liveroom-broadcasts", Job: "liveroom.broadcast", Lane: queue.Slow}
)

// checkKind is the kind of a job that compares a group with its room. Its body is a
// roomId.
const checkKind = "liveroom.check"

var errNoIM = errors.New("liveroom: this program calls no IM, and changes no rooms")

func (r *Rooms) checkJob(ctx context.Context, j queue.Job) error {
	var roomID string
	if err := json.Unmarshal(j.Body, &roomID); err != nil || !isRoomID(roomID) {
		return errors.New("liveroom: discarded malformed job: no roomId")
	}
	if r.conf.IM == nil {
		return errNoIM
	}
	return r.check(ctx, roomID)
}

// enqueue makes a job of a kind whose body is an id, not before at.
func (r *Rooms) enqueue(ctx context.Context, kind string, lane queue.Lane, jobID, id string, at time.Time) error {
	body, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("liveroom: %w", err)
	}
	if r.conf.Jobs == nil {
		return errors.New("liveroom: this program has no queue, and changes no rooms")
	}
	return r.conf.Jobs.Put(ctx, queue.Job{ID: jobID, Kind: kind, Lane: lane, NotBefore: at, Body: body})
}

// wake enqueues a job for a change that is committed. Without the job, the clock
// comes to the room.
func (r *Rooms) wake(ctx context.Context, roomID string) {
	if err := r.looks.Start(ctx, roomID, rand.Text()); err != nil {
		slog.WarnContext(ctx, "work on a room deferred to the clock", "error", err.Error())
	}
}

func newOp() string { return "room/" + rand.Text() }

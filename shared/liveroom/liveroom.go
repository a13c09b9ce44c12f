// Package liveroom keeps live rooms: their status, their notice, and who may not
// write in them or enter them. A room is an AVChatRoom of IM; its roomId is the
// GroupID.
//
// # What to rely on
//
// The store is the truth. A change is one commit in the room's partition; what
// follows from it in IM (the group itself, its profile and attributes, mutes,
// bans, the message that tells the room) is written down in that same commit and
// carried out by a job. Before the commit the room is put on an agenda, so a
// process that dies at any point leaves an entry that the clock finds, and the
// next job continues. One worker at a time works on a room, by a lease, so an
// older change never overtakes a newer one on its way to IM.
//
// A job carries nothing but the room's id: it looks for what is left to do. So it
// may come twice, late, or after somebody else has done the work.
//
// # Generations
//
// IM lets a GroupID be used again after the group was dissolved. Each time a room
// is created it gets another [Room.Generation]; everything that is kept about a
// room is kept under a key of its generation ([Room.Key]), so a room that is
// created anew starts empty.
package liveroom

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Our decisions.
const (
	// guardAfter is when the clock looks at a room after a change. It is longer
	// than the request and the job that follow from the change may take.
	guardAfter = time.Minute
	// workTime bounds how long one worker works on a room, and leaseSlack how much
	// longer its lease lasts.
	workTime   = 30 * time.Second
	leaseSlack = 5 * time.Second
	// settleTime is how long writing a result down may take after the caller's own
	// time has run out.
	settleTime = 2 * time.Second
	// kept is how long a closed room is remembered.
	kept = 30 * 24 * time.Hour
	// tries bounds how often a change is tried while others change the same room.
	tries = 20
)

// IM is what rooms need of IM's REST API; [*im.Client] has it. Every call may be
// repeated.
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

// Outbox tells rooms; [*outbox.Outbox] does.
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
	// Broadcaster sends to all rooms at once, where IM's edition does; nil: rooms are
	// always told one by one.
	Broadcaster Broadcaster
	Admin       string // UserID that events are sent from; the app's admin works

	// Grace is how long after the end of a stream a room is paused, unless the
	// stream has started again.
	Grace   time.Duration
	Media   Media
	History History

	// Archive, if set, is called before the group of a closed room is dissolved,
	// and after an error again. It must be safe to repeat.
	Archive func(ctx context.Context, r Room) error

	Now   func() time.Time                                 // nil: time.Now
	Sleep func(ctx context.Context, d time.Duration) error // nil: by the wall clock
}

// Rooms are all live rooms of an app. It is safe for concurrent use, also by
// several processes.
type Rooms struct {
	conf   Config
	store  kv.Store
	agenda *due.Agenda // rooms that something was begun in
	timed  *due.Agenda // what is to happen in rooms at some time
	now    func() time.Time
	cache  cache
}

// New makes Rooms, and registers its kinds of jobs with conf.Jobs.
func New(conf Config) *Rooms {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Sleep == nil {
		conf.Sleep = sleep
	}
	r := &Rooms{
		conf: conf, store: conf.Store, now: conf.Now,
		agenda: due.New(conf.Store, "liverooms", conf.Now), timed: due.New(conf.Store, "liverooms-timed", conf.Now),
	}
	if conf.Jobs != nil {
		conf.Jobs.Handle(lookKind, r.job(r.settle))
		conf.Jobs.Handle(checkKind, r.job(r.check))
		conf.Jobs.Handle(broadcastKind, r.broadcastJob)
	}
	if conf.Outbox != nil {
		conf.Outbox.Handle(eventKind, r.eventEnded)
	}
	return r
}

// The kinds of jobs. The body of the first two is an order.
const (
	lookKind      = "liveroom.look"      // something is to be done in a room
	checkKind     = "liveroom.check"     // IM's group may differ from the room
	broadcastKind = "liveroom.broadcast" // a broadcast is to go on
)

// order is what a job is about.
type order struct {
	RoomID string `json:"roomId"`
}

var errNoJobs = errors.New("liveroom: this program has no queue or no IM, and changes no rooms")

// job makes a handler of what is to be done in a room.
func (r *Rooms) job(do func(ctx context.Context, roomID string) error) queue.Handler {
	return func(ctx context.Context, j queue.Job) error {
		var o order
		switch err := json.Unmarshal(j.Body, &o); {
		case err != nil || !isRoomID(o.RoomID):
			return errors.New("liveroom: the job names no room")
		case r.conf.IM == nil || r.conf.Outbox == nil:
			return errNoJobs
		}
		return do(ctx, o.RoomID)
	}
}

// put enqueues a job that has a look at a room, not before at.
func (r *Rooms) put(ctx context.Context, kind, id, roomID string, at time.Time) error {
	if r.conf.Jobs == nil {
		return errNoJobs
	}
	body, err := json.Marshal(order{roomID})
	if err != nil {
		return fmt.Errorf("liveroom: %w", err)
	}
	return r.conf.Jobs.Put(ctx, queue.Job{ID: id, Kind: kind, Lane: queue.Fast, NotBefore: at, Body: body})
}

// wake enqueues a job for a change that is committed. Without the job, the clock
// comes to the room.
func (r *Rooms) wake(ctx context.Context, roomID string) {
	if err := r.put(ctx, lookKind, "liveroom/"+roomID+"/"+rand.Text(), roomID, time.Time{}); err != nil {
		slog.WarnContext(ctx, "a room waits for the clock", "error", err.Error())
	}
}

// Sweep has every room looked at that something was begun in and perhaps not
// finished, or that something is to happen in by now. It is for the clock.
func (r *Rooms) Sweep(ctx context.Context) error {
	_, begun := r.agenda.Sweep(ctx, func(ctx context.Context, e due.Entry) error {
		if id, is := broadcastEntry(e.ID); is {
			return r.putBroadcast(ctx, id, fmt.Sprint(e.At.UnixMilli()))
		}
		return r.put(ctx, lookKind, fmt.Sprintf("liveroom/%s/due/%d", e.ID, e.At.UnixMilli()), e.ID, time.Time{})
	})
	_, timed := r.timed.Sweep(ctx, func(ctx context.Context, e due.Entry) error {
		return r.put(ctx, lookKind, "liveroom/"+e.ID, string(e.Body), time.Time{})
	})
	return errors.Join(begun, timed)
}

func newOp() string { return "room/" + rand.Text() }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

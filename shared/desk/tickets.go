package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/mailbox"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// IM is the part of IM's REST API that tickets use; [*im.Client] implements it. Every
// call may be retried.
type IM interface {
	ImportAccount(ctx context.Context, a im.Account) error
	CreateGroup(ctx context.Context, g im.NewGroup) (im.Created, error)
	DestroyGroup(ctx context.Context, groupID string) error
	ModifyGroup(ctx context.Context, groupID string, g im.GroupChange) error
	AddGroupMembers(ctx context.Context, groupID string, ids []string, silence bool) ([]im.MemberAdded, error)
	GroupHistory(ctx context.Context, q im.GroupHistoryQuery) (im.GroupHistoryPage, error)
	JoinedGroups(ctx context.Context, userID string, offset int) (groupIDs []string, next int, err error)
	DeleteGroupMembers(ctx context.Context, groupID string, ids []string, reason string, silence bool) (done int, err error)
}

// Sender sends a message to a group once, however often it is called with the same
// event; [*once.Sender] implements it.
type Sender interface {
	Group(ctx context.Context, event string, m im.GroupMsg) (im.GroupSent, error)
}

// Config makes [Tickets].
type Config struct {
	Store kv.Store
	Jobs  *queue.Ledger
	Desk  Desk
	IM    IM
	Sends Sender

	// GroupPrefix comes before the ticket's id in its group's id.
	GroupPrefix string
	// IDPrefix begins the id of every ticket of the desk; "": none does.
	IDPrefix string
	// IsGroup reports, by the GroupID alone, whether a group may be a ticket's. It is
	// for a router, which does not know the desk's prefixes. nil: by the prefixes.
	IsGroup func(groupID string) bool
	// Greeter is the UserID that sends the greeting. The account must exist; the app's
	// admin works.
	Greeter  string
	Greeting string // text of the greeting; "": no greeting
	// KeepClosed keeps the group of a closed ticket, with its requester and its
	// history. Otherwise the group is dissolved, and made anew if the ticket is
	// reopened.
	KeepClosed bool

	// QueueNotice is the notice with a requester's place in the queue, for {place};
	// "": no notice.
	QueueNotice string
	// Hours are the business hours of agents; nil: always. Away is the notice outside
	// the hours, sent once until the next begin of hours, which replaces {back}; "":
	// no notice.
	Hours *Hours
	Away  string
	// Survey is the question to the requester of a solved ticket; "": no survey.
	Survey string
	// Linger is how long the group of a solved ticket is kept for the requester's last
	// word. The group of a closed ticket is not kept for it.
	Linger time.Duration
	// ClosedIsSolved: a ticket that the desk calls closed may be reopened, so it
	// counts as solved.
	ClosedIsSolved bool

	Now func() time.Time // nil: time.Now
}

// Tickets are the tickets of one desk. It is safe for concurrent use, also by
// several processes.
type Tickets struct {
	conf     Config
	store    kv.Store
	process  *process.Process
	closings *process.Process
	boxes    *mailbox.Mailbox
	records  *mailbox.Mailbox
	now      func() time.Time
}

// Requests is the process that continues requests for tickets.
var Requests = process.Name{Agenda: "tickets", Job: "ticket.request", Lane: queue.Slow}

// New makes Tickets, and registers the handlers of their jobs with Jobs. Without Jobs,
// Tickets can be registered, for a router that forwards the callbacks, and do nothing.
func New(conf Config) *Tickets {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	t := &Tickets{
		conf: conf, store: conf.Store, now: conf.Now,
		boxes:   mailbox.New(conf.Store, "changes", mailbox.Options{Now: conf.Now}),
		records: mailbox.New(conf.Store, "records", mailbox.Options{Now: conf.Now}),
	}
	t.process = process.New(Requests, conf.Store, conf.Jobs, conf.Now, t.resume)
	t.closings = process.New(Closings, conf.Store, conf.Jobs, conf.Now, t.lingers)
	if conf.Jobs == nil {
		return t // a router's, which only asks what it registers
	}
	conf.Jobs.Handle(changeKind, t.change)
	conf.Jobs.Handle(recordKind, t.record)
	conf.Jobs.Handle(placeKind, t.placed)
	return t
}

// changeKind is the kind of jobs that take in what happened to a ticket.
const changeKind = "ticket.change"

// read reads an item as JSON and returns the condition that it is as it was
// read. Without the item, v stays as it is.
func (t *Tickets) read(ctx context.Context, partition, key string, v any) (kv.Cond, error) {
	item, err := t.store.Get(ctx, partition, key)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return kv.Absent(), nil
	case err != nil:
		return kv.Cond{}, err
	}
	if err := json.Unmarshal(item.Value, v); err != nil {
		return kv.Cond{}, fmt.Errorf("desk: an item of the store does not decode: %w", err)
	}
	return kv.Rev(item.Rev), nil
}

// createGroup makes a ticket's group, which the requester owns. Nobody can ask to
// be let in: GroupIDs are easy to guess.
func (t *Tickets) createGroup(ctx context.Context, groupID, owner, name string) error {
	_, err := t.conf.IM.CreateGroup(ctx, im.NewGroup{
		Type: im.Public, GroupID: groupID, Name: name, Owner: owner, ApplyJoin: im.DisableApply,
	})
	return err
}

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

// IM is what tickets need of IM's REST API; [*im.Client] has it. All of it may be
// repeated.
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

// Sender sends a message to a group once, however often it is asked to for the
// same event; [*once.Sender] does.
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
	// IsGroup reports whether a group may be a ticket's, by its id alone, where the
	// desk and so the prefixes are not known: at a router. nil: by the prefixes.
	IsGroup func(groupID string) bool
	// Greeter is the account that greets, which must exist: an admin does.
	Greeter  string
	Greeting string // what it says; "": nothing
	// KeepClosed leaves the group of a closed ticket to its requester, with all
	// that was said in it. Otherwise it is dissolved, and made anew if the ticket
	// is reopened.
	KeepClosed bool

	// QueueNotice tells who waits for an agent his place, which stands for {place};
	// "": nothing.
	QueueNotice string
	// Hours are when agents are there, nil: always. Away is what is said outside
	// them, once until they come back, which stands for {back}; "": nothing.
	Hours *Hours
	Away  string
	// Survey asks the requester of a solved ticket how it was; "": nothing.
	Survey string
	// Linger is how long the group of a solved ticket waits for its requester's last
	// word. A closed one has had it.
	Linger time.Duration
	// ClosedIsSolved: what the desk calls closed may be reopened, so it counts as
	// solved.
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

// Requests has requests continued that were left half done.
var Requests = process.Name{Agenda: "tickets", Job: "ticket.request", Lane: queue.Slow}

// New makes Tickets, and lets Jobs know how to carry out theirs. Without Jobs they
// can be registered and do nothing.
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

// Package match brings players together in teams and starts their matches. A team is a
// group of IM of a fixed size; when the group is full, a [Hook] is told to start the
// match, exactly once, and the team is notified of the result.
//
// # What to rely on
//
// The members of the group in IM are the members of a team: players come and go by our
// routes or by IM's own SDK, and whatever hints at a change (a callback, a route,
// the clock) has the group read again. Callbacks may come twice, late or never;
// the clock looks at teams that wait every two minutes.
//
// Everything about a team is one item of its own partition, changed under the
// condition that it is as it was read before the group was. So an older view never
// replaces a newer one, and of several processes that see a team full at once, one
// decides that it starts. The effects of a change (the notice to the team, the start)
// stay in the same item until they are done. Before a change with effects the team is
// put on the agenda at a time soon after, and it stays on the agenda until it is over.
//
// The hook may be called more than once for a start, always under the same key with
// the same body; see [Hook]. After a call that the server may have taken, the team
// stays as sent until an answer is definite, whoever leaves.
//
// IM deduplicates notices for a few minutes, and package once those that come later:
// the team gets each notice once, without offline push.
package match

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/generation"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Limits of a team. Our decisions.
const (
	MinSize = 2
	MaxSize = 100 // so that a notice with all ids stays below IM's 12 KB
	MaxMode = 64  // bytes
)

// Our decisions.
const (
	// guardAfter is when a team is looked at that has something to do. It is
	// longer than whoever began it may have taken.
	guardAfter = time.Minute
	// lookEvery is how often a team that waits is looked at, should no callback
	// come.
	lookEvery = 2 * time.Minute
	// foreignEvery is how often a group that is not ours is.
	foreignEvery = 24 * time.Hour
	// leaseSlack is how much longer than a call may take nobody else makes one.
	leaseSlack = 5 * time.Second
	// shortestPause and longestPause bound the time between calls in vain.
	shortestPause = 2 * time.Second
	longestPause  = time.Minute
	// kept is how long a team is remembered that is over, and the name of the
	// request that made it.
	kept = 7 * 24 * time.Hour
	// tries is how often a change is tried that others keep getting in the way of.
	tries = 20
)

// GroupPrefix begins the GroupIDs of our teams.
const GroupPrefix = "team-"

// IM is the part of IM's REST API that teams use; [*im.Client] implements it. Every
// call may be retried.
type IM interface {
	ImportAccount(ctx context.Context, a im.Account) error
	CreateGroup(ctx context.Context, g im.NewGroup) (im.Created, error)
	GroupInfos(ctx context.Context, groupIDs []string, dataKeys ...string) ([]im.GroupInfo, error)
	GroupMembers(ctx context.Context, q im.MembersQuery) (im.MembersPage, error)
	AddGroupMembers(ctx context.Context, groupID string, ids []string, silence bool) ([]im.MemberAdded, error)
	DeleteGroupMembers(ctx context.Context, groupID string, ids []string, reason string, silence bool) (done int, err error)
	ChangeGroupOwner(ctx context.Context, groupID, userID string) error
	DestroyGroup(ctx context.Context, groupID string) error
	ModifyGroup(ctx context.Context, groupID string, g im.GroupChange) error
	JoinedGroups(ctx context.Context, userID string, offset int) (groupIDs []string, next int, err error)
	QueryOnlineStatus(ctx context.Context, ids []string) (states []im.OnlineStatus, failed []im.ItemResult, err error)
}

// Sender sends a message to a group or a user once, however often it is called with
// the same event; [*once.Sender] implements it.
type Sender interface {
	C2C(ctx context.Context, event string, m im.C2CMsg) (im.C2CSent, error)
	Group(ctx context.Context, event string, m im.GroupMsg) (im.GroupSent, error)
}

// Config makes [Teams]. Where the program has no hook and hands teams to one that
// has, Store, Jobs and AnyGroup are enough; Jobs may be nil where the callbacks of
// teams are only forwarded.
type Config struct {
	Store kv.Store
	Jobs  *queue.Ledger
	IM    IM
	Sends Sender
	Hook  *Hook

	// Reserved are UserIDs of staff, which users cannot put into teams. Servers can.
	Reserved []string
	// Notifier is the UserID that sends team notices. The account must exist; the
	// app's admin works.
	Notifier string
	// AnyGroup also follows and starts groups that others made, of types that store
	// their members and of at most MaxSize members. Such groups are never dissolved.
	AnyGroup bool

	Wait   time.Duration // how long a team may wait for its members before it is dissolved
	Life   time.Duration // how long after its start it is dissolved, unless a server ends it
	GiveUp time.Duration // how long the hook is called for a start
	// Grace is how long a player may be without connection before the player is taken
	// out of a team that has not started; 0 means one minute.
	Grace time.Duration

	// Signer signs PrivateMapKeys for the voice of teams; nil: users get none.
	Signer *usersig.Signer

	Now func() time.Time // nil: time.Now
}

// Teams are all teams of an app. It is safe for concurrent use, also by several
// processes.
type Teams struct {
	conf    Config
	store   kv.Store
	process *process.Process
	lives   *generation.Registry // of groups that are not ours
	now     func() time.Time
}

// Looks is the process that continues teams with effects left to do, and checks teams
// that wait.
var Looks = process.Name{Agenda: "teams", Job: "team.due", Lane: queue.Slow, Earlier: orderedLook}

// orderedLook reads a job of [Looks] whose body is an order, as they once were.
func orderedLook(body []byte) (groupID string, ok bool) {
	o, err := orderOf(queue.Job{Body: body})
	return o.GroupID, err == nil
}

// New makes Teams, and registers the handlers of their jobs with Jobs.
func New(conf Config) *Teams {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Grace == 0 {
		conf.Grace = time.Minute
	}
	t := &Teams{conf: conf, store: conf.Store, lives: generation.New(conf.Store, conf.Now), now: conf.Now}
	t.process = process.New(Looks, conf.Store, conf.Jobs, conf.Now, t.lookDue)
	if conf.Jobs != nil {
		conf.Jobs.Handle(lookKind, t.job(t.lookOnly))
		conf.Jobs.Handle(startKind, t.job(t.start))
		conf.Jobs.Handle(lostKind, t.lostJob)
	}
	return t
}

// job makes a handler of what carries out an order.
func (t *Teams) job(do func(context.Context, order) error) queue.Handler {
	return func(ctx context.Context, j queue.Job) error {
		o, err := orderOf(j)
		if err == nil {
			err = t.check()
		}
		if err != nil {
			return err
		}
		return do(ctx, o)
	}
}

// check refuses work that needs a hook where there is none.
func (t *Teams) check() error {
	if t.conf.IM == nil {
		return errors.New("match: this program has no hook, and so no teams")
	}
	return nil
}

// The kinds of jobs. Each body is an order.
const (
	lookKind  = "team.look"  // something may have changed in the group
	startKind = "team.start" // the hook is to be told
)

// order is what a job is about.
type order struct {
	GroupID string `json:"groupId"`
	Full    bool   `json:"full,omitempty"` // IM says that it is
}

func (t *Teams) put(ctx context.Context, id, kind string, lane queue.Lane, o order) error {
	if t.conf.Jobs == nil {
		return errors.New("match: there is no queue to put a job into")
	}
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("match: %w", err)
	}
	return t.conf.Jobs.Put(ctx, queue.Job{ID: id, Kind: kind, Lane: lane, Body: body})
}

func orderOf(j queue.Job) (o order, err error) {
	if err := json.Unmarshal(j.Body, &o); err != nil || !isGroupID(o.GroupID) {
		return o, errors.New("match: discarded malformed job: it names no group")
	}
	return o, nil
}

// isGroupID reports whether a GroupID can be one (269/1615).
func isGroupID(id string) bool {
	return id != "" && len(id) <= im.MaxGroupID && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
}

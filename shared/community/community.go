// Package community manages communities: their categories and channels, their roles
// and members, and mutes and kicks. A community is a Community of IM with topics; its
// communityId is the GroupID. A text or voice channel is a topic, a private channel is
// a Work group.
//
// # What to rely on
//
// The store is the truth. A change is one commit in the community's partition, or in
// the partition of the member concerned; a job compares the store with IM and changes
// IM. Commits are guarded (package process), so that after a crash at any point
// another process continues. One worker at a time works on a community and on a
// member, by a lease: an older change never overtakes a newer one on its way to IM. A
// job carries only an id, and may come twice, late, or after another process has done
// the work.
//
// # Generations
//
// IM lets a GroupID be used again after the group was dissolved. Each community that
// is created gets another Generation, and every record about it lives in partitions
// that name the generation.
//
// # Other packages
//
// Packages below this one have the rest of a channel: sub-channels in thread, voice
// channels in voice, reactions, edits and pins in mark. As a [Companion] each gets
// changes of members and channels.
package community

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Our decisions.
const (
	// guardAfter is when the clock looks at a community or member after a change: it
	// is longer than the request and the job that follow from the change may take.
	guardAfter = time.Minute
	// kept is how long a dissolved community is remembered.
	kept = 30 * 24 * time.Hour
	// tries bounds how often a change is tried while others change the same thing.
	tries = 20
)

// IM is the part of IM's REST API that communities use; [*im.Client] implements it.
// Every call may be retried.
type IM interface {
	ImportAccount(ctx context.Context, a im.Account) error
	CreateGroup(ctx context.Context, g im.NewGroup) (im.Created, error)
	GroupInfos(ctx context.Context, groupIDs []string, dataKeys ...string) ([]im.GroupInfo, error)
	ModifyGroup(ctx context.Context, groupID string, g im.GroupChange) error
	DestroyGroup(ctx context.Context, groupID string) error
	CreateTopic(ctx context.Context, t im.NewTopic) (topicID string, err error)
	Topics(ctx context.Context, groupID, userID string, topicIDs ...string) ([]im.Topic, error)
	ModifyTopic(ctx context.Context, groupID, topicID string, t im.TopicChange) error
	DestroyTopics(ctx context.Context, groupID string, topicIDs ...string) ([]im.ItemResult, error)
	AddGroupMembers(ctx context.Context, groupID string, ids []string, silence bool) ([]im.MemberAdded, error)
	DeleteGroupMembers(ctx context.Context, groupID string, ids []string, reason string, silence bool) (done int, err error)
	SpecifiedGroupMembers(ctx context.Context, groupID string, ids []string) ([]im.Member, error)
	JoinedGroups(ctx context.Context, userID string, offset int) (groupIDs []string, next int, err error)
	ModifyGroupMember(ctx context.Context, groupID, userID string, m im.MemberChange) error
	GroupHistory(ctx context.Context, q im.GroupHistoryQuery) (im.GroupHistoryPage, error)
	DeleteGroupMsgsBySender(ctx context.Context, groupID, topicID, sender string) error
	ForbidSendMsg(ctx context.Context, groupID, topicID string, ids []string, d time.Duration) (done int, err error)
	CreatePermissionGroup(ctx context.Context, p im.PermissionGroup) (id string, err error)
	ModifyPermissionGroup(ctx context.Context, groupID, id string, p im.PermissionGroupChange) error
	AddPermissionGroupMembers(ctx context.Context, groupID, id string, users ...string) ([]im.ItemResult, error)
	DeletePermissionGroupMembers(ctx context.Context, groupID, id string, users ...string) ([]im.ItemResult, error)
	DestroyPermissionGroups(ctx context.Context, groupID string, ids ...string) ([]im.ItemResult, error)
}

// Sends sends messages once; [*once.Sender] implements it.
type Sends interface {
	Group(ctx context.Context, event string, m im.GroupMsg) (im.GroupSent, error)
}

// Companion is a package with records about members or channels. Each method may be
// called twice, and is called again after an error.
type Companion interface {
	// Joined is called with new members of a community.
	Joined(ctx context.Context, c Community, userIDs []string) error
	// Left is called with users who left a community or were removed.
	Left(ctx context.Context, c Community, userIDs []string) error
	// ChannelGone removes every record about a channel outside of the channel's own
	// partition.
	ChannelGone(ctx context.Context, c Community, ch Channel) error
	// Gone removes every record about a community, its channels included.
	Gone(ctx context.Context, c Community) error
	// Review looks for users who left or joined without a callback.
	Review(ctx context.Context, c Community) error
}

// Config makes [Communities]. Store is required. A program that only judges
// callbacks needs nothing else; one that changes communities needs Jobs too; one
// that carries out jobs also needs IM, Sends and Admin.
type Config struct {
	Store kv.Store
	Jobs  *queue.Ledger
	IM    IM
	Sends Sends
	Admin string // UserID that welcomes are sent from; the app's admin works

	Template Template
	// Adopt is a prefix of GroupIDs: communities with it are managed here although
	// others made them; "": only communities of POST /communities are.
	Adopt string
	// Welcome is the text that greets new members in the first text channel, with
	// {user} for the UserID; "" greets nobody.
	Welcome string
	// CategoryField and PinField are the group fields made in the console that show
	// categories and pinned messages; RoleField is the member field that shows a role.
	// "" shows nothing.
	CategoryField, PinField, RoleField string
	// PermissionGroups mirrors the roles in IM's permission groups.
	PermissionGroups bool

	Now   func() time.Time                                 // nil: time.Now
	Sleep func(ctx context.Context, d time.Duration) error // nil: by the wall clock
}

// Communities are all communities of an app. It is safe for concurrent use, also by
// several processes.
type Communities struct {
	conf       Config
	store      kv.Store
	looks      *process.Process
	members    *process.Process
	invites    *process.Process
	reviews    *process.Process
	mutes      *process.Process
	now        func() time.Time
	companions []Companion

	mu      sync.Mutex
	known   map[string]cachedView
	bound   map[string]cachedBinding
	askedIM map[string]asked
	// reviewed is the hour in which a community was last reviewed.
	reviewed map[string]int64
}

// New makes Communities, and registers its kinds of jobs with conf.Jobs.
func New(conf Config) *Communities {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Sleep == nil {
		conf.Sleep = retry.Sleep
	}
	c := &Communities{
		conf: conf, store: conf.Store, now: conf.Now,
		known: make(map[string]cachedView), bound: make(map[string]cachedBinding), askedIM: make(map[string]asked),
		reviewed: make(map[string]int64),
	}
	c.looks = process.New(Looks, conf.Store, conf.Jobs, conf.Now, c.settle)
	c.members = process.New(Members, conf.Store, conf.Jobs, conf.Now, c.settleMember)
	c.reviews = process.New(Reviews, conf.Store, conf.Jobs, conf.Now, c.review)
	c.invites = process.New(Invites, conf.Store, conf.Jobs, conf.Now, c.goOnInvite)
	c.mutes = process.New(Mutes, conf.Store, conf.Jobs, conf.Now, func(ctx context.Context, id string) error {
		communityID, _, _ := strings.Cut(id, " ")
		return c.settle(ctx, communityID)
	})
	return c
}

// Attach adds companions, before the first request or callback.
func (c *Communities) Attach(companions ...Companion) {
	c.companions = append(c.companions, companions...)
}

// The processes of communities, for the clock.
var (
	// Looks change IM as communities have changed. Their ids are communityIds.
	Looks = process.Name{Agenda: "communities", Job: "community.look", Lane: queue.Fast}
	// Members change IM as members have changed. Their ids are a communityId, a space
	// and a UserID.
	Members = process.Name{Agenda: "community-members", Job: "community.member", Lane: queue.Fast}
	// Mutes end mutes of everybody in a community. Their ids are a communityId, a space
	// and the end in Unix seconds, so that no other change moves an end.
	Mutes = process.Name{Agenda: "community-mutes", Job: "community.mute", Lane: queue.Fast}
	// Invites let users into private channels. Their ids are a GroupID, a space and a
	// UserID.
	Invites = process.Name{Agenda: "community-invites", Job: "community.invite", Lane: queue.Fast}
)

var errNoIM = errors.New("community: this program calls no IM, and changes no communities")

// wake enqueues a job for a change that is committed. Without the job, the clock
// comes to it.
func wake(ctx context.Context, p *process.Process, id string) {
	if err := p.Start(ctx, id, rand.Text()); err != nil {
		slog.WarnContext(ctx, "change of a community deferred to the clock", "error", err.Error())
	}
}

func newOp() string { return kv.NewOp("community") }

// wipe removes everything from a partition.
func wipe(ctx context.Context, store kv.Store, partition, prefix string) error {
	const perCommit = 90
	for after := ""; ; {
		page, err := store.List(ctx, partition, kv.Range{Prefix: prefix, After: after, Limit: perCommit})
		if err != nil {
			return err
		}
		var deletes []kv.Write
		for _, item := range page.Items {
			deletes = append(deletes, kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
		}
		if len(deletes) > 0 {
			if err := store.Commit(ctx, partition, newOp(), deletes...); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

// Wipe removes all items from a partition of a companion whose keys begin with a
// prefix.
func (c *Communities) Wipe(ctx context.Context, partition, prefix string) error {
	return wipe(ctx, c.store, partition, prefix)
}

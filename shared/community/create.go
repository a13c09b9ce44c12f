package community

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// NewCommunity is a community to create.
type NewCommunity struct {
	CommunityID string `json:"communityId"` // "": one is derived from caller and Idempotency-Key
	Name        string `json:"name"`        // 1 to 30 bytes
	Owner       string `json:"owner"`
}

func (n NewCommunity) check() error {
	if n.Name == "" || len(n.Name) > im.MaxGroupName || !clean(n.Name) {
		return fault.New(fault.Invalid, "name is a text of 1 to %d bytes without control characters", im.MaxGroupName)
	}
	return checkUser("owner", n.Owner)
}

// ownTopics is how the short names of topics begin that are ours and no channels.
const ownTopics = "t-"

// Prefixes of the GroupIDs of a community's own groups: of private channels, and of
// sub-channels that are groups.
const (
	privatePrefix = "bcp-"
	threadPrefix  = communityPrefix + "bct-"
	// VoicePrefix is the prefix of the names of voice channels' rooms in TRTC.
	VoicePrefix = "bcv-"
)

// Create makes a community with its group and the template's channels. The same caller
// with the same idempotency key gets the same community again, as long as the
// community is open. After an error of the codes Unavailable and Timeout the community
// may be made all the same, and a retry returns it. The other codes are final:
// Invalid, IdempotencyMismatch, and Conflict where the communityId belongs to another
// open community or to a group of no community.
func (c *Communities) Create(ctx context.Context, caller api.Caller, key string, n NewCommunity) (Community, error) {
	asked := digest(caller.Server, caller.UserID, key)
	if n.CommunityID == "" {
		n.CommunityID = asked[:20]
	}
	id := completeID(n.CommunityID)
	if id == "" || strings.HasPrefix(id, threadPrefix) {
		return Community{}, fault.New(fault.Invalid, "communityId is a GroupID of at most %d visible ASCII characters, %s included", im.MaxGroupID, communityPrefix)
	}
	if err := n.check(); err != nil {
		return Community{}, err
	}
	content := digest(n.Name, n.Owner)
	for range tries {
		s, err := c.load(ctx, id)
		switch {
		case err != nil:
			return Community{}, public(err)
		case s.none(), s.Gone, s.Refused != "" && (s.Asked != asked || s.Content != content):
			err = c.begin(ctx, s, n, asked, content)
		case s.Community.Closed: // finish that one first
		case s.Asked != asked:
			return Community{}, fault.New(fault.Conflict, "the communityId belongs to another open community; delete that one first")
		case s.Content != content:
			return Community{}, fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another community; use a new one")
		case s.Refused != "":
			return Community{}, fault.New(fault.Conflict, "%s", s.Refused)
		case s.Made && s.settled():
			return s.Community, nil
		}
		if err == nil {
			err = c.settleNow(ctx, id)
		}
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return Community{}, public(err)
		}
	}
	return Community{}, errBusy
}

// begin writes down a community that is to be made, with the template's channels,
// in place of what had its id before.
func (c *Communities) begin(ctx context.Context, s *seen, n NewCommunity, asked, content string) error {
	at := time.UnixMilli(max(c.now().UnixMilli(), s.Community.Generation+1)).UTC()
	is := Community{CommunityID: s.id, Name: n.Name, Owner: n.Owner, Version: 1, CreatedAt: at, Generation: at.UnixMilli(), Categories: []Category{}}
	s.record = record{Asked: asked, Content: content, Adopted: content == "", Roles: make(map[string][]Permission)}
	number := 0
	for _, category := range c.conf.Template.Categories {
		made := Category{Name: category.Name, Channels: []Channel{}}
		for _, ch := range category.Channels {
			number++
			// The template's topics have the same ids in every try: IM makes each once.
			made.Channels = append(made.Channels, is.newChannel(fmt.Sprintf("c%d-%s", number, digest(s.id, asked, at.String())[:8]), ch.Name, ch.Kind, ch.SlowModeSeconds))
		}
		is.Categories = append(is.Categories, made)
	}
	s.Community = is
	for _, role := range c.conf.Template.Roles {
		s.Roles[role.Role] = role.Permissions
	}
	if err := c.looks.Guard(ctx, s.id, c.now().Add(guardAfter)); err != nil {
		return err
	}
	return c.save(ctx, s)
}

// newChannel makes a channel with a short name of its own.
func (c Community) newChannel(short, name string, kind ChannelKind, slow int) Channel {
	if kind == Private {
		id := privatePrefix + digest(c.CommunityID, decimal(c.Generation), short)[:24]
		return Channel{ChannelID: id, Name: name, Kind: kind, SlowModeSeconds: slow, GroupID: id}
	}
	id := im.TopicIDOf(c.CommunityID, short)
	return Channel{ChannelID: id, Name: name, Kind: kind, SlowModeSeconds: slow, TopicID: id, GroupID: c.CommunityID}
}

func decimal(n int64) string { return fmt.Sprintf("%d", n) }

// settleNow is settle for a caller who waits for the result: while another works on
// the community, it waits for its turn.
func (c *Communities) settleNow(ctx context.Context, id string) error {
	const pause = 50 * time.Millisecond
	for {
		err := c.settle(ctx, id)
		if _, held := errors.AsType[queue.Later](err); !held {
			return err
		}
		if c.conf.Sleep(ctx, pause) != nil {
			return err
		}
	}
}

// make makes the community's group. A group that has this id and owner already is
// the one of an earlier try: it becomes the community.
func (c *Communities) make(ctx context.Context, s *seen) error {
	if !s.Adopted {
		// A user who has never logged in has no account yet.
		if err := c.conf.IM.ImportAccount(ctx, im.Account{UserID: s.Owner}); im.Lasting(err) {
			return c.refuse(ctx, s, err, "IM does not accept "+s.Owner+" as a user")
		} else if err != nil {
			return err
		}
		created, err := c.conf.IM.CreateGroup(ctx, im.NewGroup{
			Type: im.Community, GroupID: s.id, Name: s.Name, Owner: s.Owner, SupportTopic: true, ApplyJoin: im.FreeAccess,
			EnablePermission: c.conf.PermissionGroups, DefaultPermission: c.defaultPermission(),
		})
		switch {
		case errors.Is(err, im.CodeGroupIDTaken):
			return c.refuse(ctx, s, err, "the communityId is the id of a group that belongs to somebody else")
		case im.Lasting(err):
			return c.refuse(ctx, s, err, "IM does not make this group")
		case err != nil:
			return err
		case created.Existed:
			if err := c.checkKind(ctx, s); err != nil || s.Refused != "" {
				return err
			}
		}
		s.Shown.Name = s.Name
	} else if err := c.checkKind(ctx, s); err != nil || s.Refused != "" {
		return err
	}
	if err := c.memberEvent(ctx, s.Community, s.Owner, s.CreatedAt.UnixMilli(), true); err != nil {
		return err
	}
	s.Made = true
	return c.save(ctx, s)
}

func (c *Communities) defaultPermission() im.Permission {
	if !c.conf.PermissionGroups {
		return 0
	}
	return im.MaySend | im.MaySeeHistory
}

// checkKind refuses a community whose group exists and is no Community with topics.
func (c *Communities) checkKind(ctx context.Context, s *seen) error {
	infos, err := c.conf.IM.GroupInfos(ctx, []string{s.id})
	switch {
	case err != nil:
		return err
	case len(infos) != 1:
		return errors.New("community: IM does not describe a group that it was asked for")
	case infos[0].Code != 0:
		return c.refuse(ctx, s, nil, "the group of this community is gone")
	case infos[0].Type != im.Community || !infos[0].SupportTopic:
		return c.refuse(ctx, s, nil, "the communityId is the id of a group that is no Community with topics")
	}
	s.Shown.Name = infos[0].Name
	return nil
}

// refuse records that there will be no such community. Its id is free.
func (c *Communities) refuse(ctx context.Context, s *seen, cause error, why string) error {
	if cause != nil {
		slog.WarnContext(ctx, "IM refuses a community", "error", cause.Error())
	}
	s.Refused = why
	return c.save(ctx, s)
}

// created hears of new groups. One that is ours already has the change continued
// that made it; one of those to adopt becomes a community with the template's
// channels, once: the record of an id is begun once for each time its group exists.
func (c *Communities) created(ctx context.Context, e *callback.GroupAfterCreate) error {
	if e.Type != im.Community || strings.HasPrefix(e.GroupID, threadPrefix) {
		return nil
	}
	s, err := c.load(ctx, e.GroupID)
	if err != nil {
		return err
	}
	c.forgetView(e.GroupID)
	asked := "adopted " + decimal(int64(e.EventTime))
	switch ours := !s.none() && !s.Gone && s.Refused == ""; {
	case ours && s.Asked == asked: // a repeat, perhaps of a try that died
	case ours && s.Made && s.settled():
		return nil
	case ours:
		return c.looks.Start(ctx, e.GroupID, "created-"+decimal(s.Community.Generation))
	case c.conf.Adopt == "" || !strings.HasPrefix(e.GroupID, c.conf.Adopt) || e.Owner == "":
		return nil
	case !s.none() && int64(e.EventTime) <= s.Community.Generation:
		return nil // an older callback, of the group that had this id before
	default:
		name := im.CutText(e.Name, im.MaxGroupName)
		if err := c.begin(ctx, s, NewCommunity{Name: name, Owner: e.Owner}, asked, ""); err != nil {
			return err
		}
	}
	for _, m := range e.MemberList {
		if err := c.memberEvent(ctx, s.Community, m.UserID, int64(e.EventTime), true); err != nil {
			return err
		}
	}
	return c.looks.Start(ctx, e.GroupID, "adopted-"+decimal(s.Community.Generation))
}

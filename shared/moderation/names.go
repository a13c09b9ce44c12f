package moderation

import (
	"context"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// Profiles is the part of IM's REST API that reads and masks the names of groups and
// users; [*im.Client] implements it.
type Profiles interface {
	GroupInfos(ctx context.Context, groupIDs []string, dataKeys ...string) ([]im.GroupInfo, error)
	ModifyGroup(ctx context.Context, groupID string, g im.GroupChange) error
	Portraits(ctx context.Context, userIDs []string, tags ...string) ([]im.Portrait, error)
	SetPortrait(ctx context.Context, userID string, items ...im.ProfileItem) error
}

// Names masks listed words in the names, introductions and notices of groups and in
// the nicknames and signatures of users. IM has no before-callback for such changes,
// so Names corrects them afterwards. Each correction reads the current value and masks
// it, so a late or repeated callback overwrites no newer value.
type Names struct {
	lists Lists
	im    Profiles
}

// NewNames returns the rule.
func NewNames(lists Lists, profiles Profiles) *Names { return &Names{lists, profiles} }

// Register adds the rule's callbacks.
func (n *Names) Register(m *callback.Mux) {
	callback.After(m, "names", n.group)
	callback.After(m, "names", n.person)
}

func (n *Names) group(ctx context.Context, e *callback.GroupAfterInfoChanged) error {
	j := newJudgement(ctx, n.lists.For(ctx, e.GroupID), message{Held: Held{GroupID: e.GroupID, GroupType: e.Type}})
	defer j.release()
	hit := false
	for _, text := range []*string{e.Name, e.Introduction, e.Notification} {
		if text != nil {
			_, bad := j.clean(*text)
			hit = hit || bad
		}
	}
	if !hit {
		return nil
	}
	infos, err := n.im.GroupInfos(ctx, []string{e.GroupID})
	if err != nil || len(infos) == 0 || infos[0].Code != 0 {
		return err // a group that is gone has no name
	}
	var change im.GroupChange
	changed := false
	for _, f := range []struct {
		is string
		to **string
	}{{infos[0].Name, &change.Name}, {infos[0].Introduction, &change.Introduction}, {infos[0].Notification, &change.Notification}} {
		if text, bad := j.clean(f.is); bad {
			*f.to, changed = &text, true
		}
	}
	if !changed {
		return nil
	}
	j.log(ctx, slog.Default(), wordlist.Mask)
	return n.im.ModifyGroup(ctx, e.GroupID, change)
}

// texts of a profile that others get to read.
var profileTexts = []string{im.TagNick, im.TagSelfSignature}

func (n *Names) person(ctx context.Context, e *callback.ProfilePortraitSet) error {
	j := newJudgement(ctx, n.lists.For(ctx, ""), message{Held: Held{From: e.From}})
	defer j.release()
	hit := false
	for _, item := range e.ProfileItem {
		for _, tag := range profileTexts {
			if item.Tag == tag {
				_, bad := j.clean(im.ProfileItem(item).Text())
				hit = hit || bad
			}
		}
	}
	if !hit {
		return nil
	}
	portraits, err := n.im.Portraits(ctx, []string{e.From}, profileTexts...)
	if err != nil || len(portraits) == 0 || portraits[0].Code != 0 {
		return err
	}
	var items []im.ProfileItem
	for _, item := range portraits[0].Items {
		if text, bad := j.clean(item.Text()); bad {
			items = append(items, im.TextItem(item.Tag, text))
		}
	}
	if len(items) == 0 {
		return nil
	}
	j.log(ctx, slog.Default(), wordlist.Mask)
	return n.im.SetPortrait(ctx, e.From, items...)
}

// clean returns a name without what may not be said, and whether there was any:
// whatever the action is in a message, a name is masked, except where it is only
// being watched. A name that cannot be read to its end is masked altogether.
func (j *judgement) clean(name string) (clean string, bad bool) {
	j.text(name)
	clean, err := j.list.Mask(j.ctx, name, func(h wordlist.Hit) bool {
		action := j.actionOf(h)
		return action != wordlist.Allow && action != wordlist.Shadow
	})
	if err != nil {
		clean = strings.Repeat("*", utf8.RuneCountInString(name))
	}
	return clean, clean != name
}

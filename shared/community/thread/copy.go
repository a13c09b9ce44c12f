package thread

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// copy copies members until all are in or the job's time is over; then another job
// goes on.
func (t *Threads) copy(ctx context.Context, is community.Community, s *seen) error {
	// The clock makes another job where this one dies; a job that died often waits long
	// between its attempts.
	if err := t.copies.Guard(ctx, is.CommunityID+" "+s.ThreadID, t.now().Add(2*guardAfter)); err != nil {
		return err
	}
	for s.copying() {
		if deadline, has := ctx.Deadline(); has && time.Until(deadline) < reserve {
			return t.goOn(ctx, is, s.ThreadID)
		}
		var err error
		switch s.Stage {
		case byList:
			err = t.copyPage(ctx, is, s)
		case byMembers:
			err = t.checkPage(ctx, is, s)
		case reviewing:
			err = t.reviewPage(ctx, is, s)
		default:
			err = t.finish(ctx, is, s)
		}
		if _, late := errors.AsType[*im.LimitError](err); late {
			return t.goOn(ctx, is, s.ThreadID)
		}
		if errors.Is(err, im.CodeGroupGone) {
			return t.closed(ctx, is, s.ThreadID) // somebody else has dissolved it
		}
		if err != nil {
			return err
		}
		if err := t.save(ctx, is, s); err != nil {
			return err
		}
	}
	return nil
}

// goOn has another job go on. The guard moves, so that the clock does not come
// meanwhile.
func (t *Threads) goOn(ctx context.Context, is community.Community, threadID string) error {
	id := is.CommunityID + " " + threadID
	if err := t.copies.Guard(ctx, id, t.now().Add(guardAfter)); err != nil {
		return err
	}
	wake(ctx, t.copies, id)
	return nil
}

// copyPage adds a page of IM's list of members.
func (t *Threads) copyPage(ctx context.Context, is community.Community, s *seen) error {
	page, err := t.conf.IM.GroupMembers(ctx, im.MembersQuery{GroupID: is.CommunityID, Limit: pageSize}.From(s.Cursor))
	if err != nil {
		return err
	}
	ids := make([]string, len(page.Members))
	for i, m := range page.Members {
		ids[i] = m.UserID
	}
	if s.Total == 0 {
		s.Total = page.Total
	}
	if err := t.add(ctx, is, s, ids); err != nil {
		return err
	}
	s.Copied += len(ids)
	if page.Next != nil {
		s.Cursor = page.Next.Cursor()
		return nil
	}
	s.Cursor = ""
	s.Stage = finishing
	left, err := t.left(ctx, is, s.ThreadID)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		s.Stage = byMembers // IM's list has moved under us
	}
	return nil
}

// add adds users who were members when they were listed, and takes those out who were
// noted meanwhile as having left.
func (t *Threads) add(ctx context.Context, is community.Community, s *seen, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := t.enter(ctx, s.GroupID, ids); err != nil {
		return err
	}
	left, err := t.left(ctx, is, s.ThreadID)
	if err != nil || len(left) == 0 {
		return err
	}
	for _, id := range ids {
		if slices.Contains(left, id) {
			if err := t.sync(ctx, is, s.record, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPage adds those of a page of members, as callbacks told of them, who are not in
// the group. The page begins after Cursor, in an order that stays.
func (t *Threads) checkPage(ctx context.Context, is community.Community, s *seen) error {
	list, next, err := t.conf.Communities.ListMembers(ctx, api.Caller{Server: "threads"}, is.CommunityID, "", s.Cursor, api.MaxPage)
	if err != nil {
		return err
	}
	ids := make([]string, len(list))
	for i, m := range list {
		ids[i] = m.UserID
	}
	if len(ids) > 0 {
		in, err := t.conf.IM.SpecifiedGroupMembers(ctx, s.GroupID, ids)
		if err != nil {
			return err
		}
		missing := slices.DeleteFunc(ids, func(id string) bool {
			return slices.ContainsFunc(in, func(m im.Member) bool { return m.UserID == id })
		})
		if err := t.add(ctx, is, s, missing); err != nil {
			return err
		}
	}
	s.Cursor = next
	if next == "" {
		s.Stage = finishing
	}
	return nil
}

// offFor is in how many reviews in a row a group has too many or too few members before
// it is gone through.
const offFor = 3

// Review implements [community.Companion].
func (t *Threads) Review(ctx context.Context, is community.Community) error {
	list, err := t.groups(ctx, is)
	if err != nil || len(list) == 0 {
		return err
	}
	ids := []string{is.CommunityID}
	for _, s := range list {
		ids = append(ids, s.GroupID)
	}
	infos, err := t.conf.IM.GroupInfos(ctx, ids)
	if err != nil {
		return err
	}
	members := make(map[string]int)
	for _, info := range infos {
		if info.Code == 0 {
			members[info.GroupID] = info.MemberNum
		}
	}
	hour := t.now().Unix() / 3600
	for _, s := range list {
		n, known := members[s.GroupID]
		if !known || !s.Made || s.Closing || s.copying() || s.Off.Hour == hour {
			continue
		}
		switch all := members[is.CommunityID]; {
		case n > all:
			s.Off = off{max(s.Off.Reviews, 0) + 1, hour}
		case n < all:
			s.Off = off{min(s.Off.Reviews, 0) - 1, hour}
		default:
			s.Off = off{}
		}
		switch s.Off.Reviews {
		case offFor:
			s.Stage, s.Off.Reviews = reviewing, 0
		case -offFor:
			s.Stage, s.Copied, s.Total, s.Off.Reviews = byList, 0, 0, 0
		}
		if s.copying() {
			if err := t.copies.Guard(ctx, is.CommunityID+" "+s.ThreadID, t.now().Add(guardAfter)); err != nil {
				return err
			}
		}
		if err := t.save(ctx, is, s); errors.Is(err, kv.ErrConflict) {
			continue // the next review looks
		} else if err != nil {
			return err
		}
		if s.copying() {
			wake(ctx, t.copies, is.CommunityID+" "+s.ThreadID)
		}
	}
	return nil
}

// reviewPage looks at a page of the group's own members. Those who are no members of the
// community are noted as having left, and taken out when all pages were read.
func (t *Threads) reviewPage(ctx context.Context, is community.Community, s *seen) error {
	page, err := t.conf.IM.GroupMembers(ctx, im.MembersQuery{GroupID: s.GroupID, Limit: pageSize}.From(s.Cursor))
	if err != nil {
		return err
	}
	ids := make([]string, len(page.Members))
	for i, m := range page.Members {
		ids[i] = m.UserID
	}
	if err := t.conf.Communities.Recheck(ctx, is, ids...); err != nil {
		return err
	}
	if s.Cursor = ""; page.Next != nil {
		s.Cursor = page.Next.Cursor()
		return nil
	}
	s.Stage = finishing
	return nil
}

// finish takes those out who left while members were copied, and are not back.
func (t *Threads) finish(ctx context.Context, is community.Community, s *seen) error {
	left, err := t.left(ctx, is, s.ThreadID)
	if err != nil {
		return err
	}
	for _, id := range left {
		if err := t.sync(ctx, is, s.record, id); err != nil {
			return err
		}
	}
	// Whoever leaves from here on finds nothing that could be added after him.
	s.Stage = finished
	if err := t.save(ctx, is, s); err != nil {
		return err
	}
	return t.conf.Communities.Wipe(ctx, partitionOf(is, s.ThreadID), gonePrefix)
}

// left returns who was noted as having left while members are copied.
func (t *Threads) left(ctx context.Context, is community.Community, threadID string) (ids []string, err error) {
	for after := ""; ; {
		page, err := t.store.List(ctx, partitionOf(is, threadID), kv.Range{Prefix: gonePrefix, After: after, Limit: kv.MaxPage})
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			ids = append(ids, strings.TrimPrefix(item.Key, gonePrefix))
		}
		if after = page.Next; after == "" {
			return ids, nil
		}
	}
}

// sync has a user in a sub-channel's group if, and only if, the user is a member of
// the community, also where that changes meanwhile: whoever acts last looks last.
func (t *Threads) sync(ctx context.Context, is community.Community, r record, userID string) error {
	in, err := t.conf.Communities.IsMember(ctx, is, userID)
	for range tries {
		if err != nil {
			return err
		}
		if in {
			err = t.enter(ctx, r.GroupID, []string{userID})
		} else {
			_, err = t.conf.IM.DeleteGroupMembers(ctx, r.GroupID, []string{userID}, "", true)
		}
		if im.Lasting(err) && !errors.Is(err, im.CodeGroupFull) {
			return nil // the group or the account is gone
		}
		if err != nil {
			return err
		}
		was := in
		if in, err = t.conf.Communities.IsMember(ctx, is, userID); err == nil && in == was {
			return nil
		}
	}
	return kv.ErrConflict
}

// enter adds users to a group. IM adds as many as there is room for and tells of the
// others only that they are not in; asked for those alone it says that the group is
// full ([im.CodeGroupFull]). It does so for a while where members of a large community
// come before those are taken out who left. Who cannot be added for another reason is
// left out.
func (t *Threads) enter(ctx context.Context, groupID string, ids []string) error {
	results, err := t.conf.IM.AddGroupMembers(ctx, groupID, ids, true)
	if err != nil {
		return err
	}
	var out []string
	for _, r := range results {
		if r.Result == im.NotAdded {
			out = append(out, r.UserID)
		}
	}
	if len(out) == 0 {
		return nil
	}
	_, err = t.conf.IM.AddGroupMembers(ctx, groupID, out, true)
	return err
}

// groups returns the sub-channels of the group form.
func (t *Threads) groups(ctx context.Context, is community.Community) ([]*seen, error) {
	return t.all(ctx, is, groupPrefix)
}

// Joined implements [community.Companion].
func (t *Threads) Joined(ctx context.Context, is community.Community, userIDs []string) error {
	return t.moved(ctx, is, userIDs)
}

// Left implements [community.Companion]. First it records the users who left, for the
// copies that are under way.
func (t *Threads) Left(ctx context.Context, is community.Community, userIDs []string) error {
	list, err := t.groups(ctx, is)
	if err != nil || len(list) == 0 {
		return err
	}
	for _, s := range list {
		if !s.copying() {
			continue
		}
		for _, id := range userIDs {
			err := t.store.Commit(ctx, partitionOf(is, s.ThreadID), newOp(), kv.Put{Key: gonePrefix + id, Value: []byte{}, If: kv.Absent()})
			if err != nil && !errors.Is(err, kv.ErrConflict) { // noted already
				return err
			}
		}
	}
	return t.moved(ctx, is, userIDs)
}

// moved has jobs follow users who joined or left. Without sub-channels of the group
// form it costs one read.
func (t *Threads) moved(ctx context.Context, is community.Community, userIDs []string) error {
	page, err := t.store.List(ctx, threadsOf(is), kv.Range{Prefix: groupPrefix, Limit: 1})
	if err != nil || len(page.Items) == 0 {
		return err
	}
	for _, userID := range userIDs {
		id := is.CommunityID + " " + userID
		if err := t.follows.Guard(ctx, id, t.now().Add(guardAfter)); err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
		wake(ctx, t.follows, id)
	}
	return nil
}

// follow has a user in all sub-channels of the group form, or in none.
func (t *Threads) follow(ctx context.Context, id string) error {
	if t.conf.IM == nil {
		return errNoIM
	}
	is, userID, there, err := t.communityOf(ctx, id)
	if err != nil || !there {
		return err
	}
	list, err := t.groups(ctx, is)
	if err != nil {
		return err
	}
	var full error
	for _, s := range list {
		if !s.Made || s.Closing {
			continue // members are copied once the group is there
		}
		err := t.sync(ctx, is, s.record, userID)
		if errors.Is(err, im.CodeGroupFull) {
			full = err // the job comes again; the others have room
		} else if err != nil {
			return err
		}
	}
	return full
}

// Register adds the rules of sub-channels. A message only marks its parent dirty, and
// a recalled message is deduplicated by its MsgSeq, so each callback may come twice.
func (t *Threads) Register(m *callback.Mux) {
	const name = "threads"
	callback.Before(m, name, callback.FailOpen, t.mayWrite)
	callback.After(m, name, t.sent)
	callback.After(m, name, t.recall)
	callback.After(m, name, func(ctx context.Context, e *callback.TopicAfterDestroyed) error {
		for _, topicID := range e.TopicIDs {
			if err := t.vanished(ctx, e.GroupID, topicID); err != nil {
				return err
			}
		}
		return nil
	})
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterDestroyed) error {
		return t.vanished(ctx, e.GroupID, "")
	})
}

// mayWrite keeps from writing in a sub-channel who may not write in its channel for a
// mute there. Package community judges what else a sub-channel shares with its community.
func (t *Threads) mayWrite(ctx context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
	if e.Query.ByREST() {
		return v, nil
	}
	p, ours, err := t.conf.Communities.PlaceOf(ctx, e.GroupID, e.TopicID)
	if err != nil || !ours || p.ThreadID == "" {
		return v, err
	}
	muted, err := t.conf.Communities.MutedIn(ctx, p.Community, e.From, func() (string, error) {
		r, _, err := t.parent(ctx, p.Community, p.ThreadID)
		return r.ChannelID, err
	})
	if err != nil || !muted {
		return v, err
	}
	return v.Reject("you are muted in the channel of this conversation"), nil
}

// sent hears of messages in sub-channels.
func (t *Threads) sent(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	p, ours, err := t.conf.Communities.PlaceOf(ctx, e.GroupID, e.TopicID)
	if err != nil || !ours || p.ThreadID == "" {
		return err
	}
	if e.OnlineOnlyFlag == 1 { // in no history, and so not counted
		return t.uncount(ctx, p, e.MsgSeq)
	}
	if err := t.dirty(ctx, p); err != nil {
		return err
	}
	if e.TopicID != "" {
		return nil
	}
	for _, one := range e.GroupAtInfo { // whoever is mentioned is to read it
		if one.UserID == "" || one.AllFlag == 1 {
			continue
		}
		if in, err := t.conf.Communities.IsMember(ctx, p.Community, one.UserID); err != nil {
			return err
		} else if in {
			if err := t.moved(ctx, p.Community, []string{one.UserID}); err != nil {
				return err
			}
		}
	}
	return nil
}

// dirty has the parent of a sub-channel written.
func (t *Threads) dirty(ctx context.Context, p community.Place) error {
	r, there, err := t.parent(ctx, p.Community, p.ThreadID)
	if err != nil || !there || r.MsgSeq == 0 {
		return err
	}
	ch, has := p.Community.Channel(r.ChannelID)
	if !has {
		return nil
	}
	return t.conf.Marks.Touch(ctx, markRef(p.Community, ch, r.MsgSeq), r.From, r.ThreadID)
}

// maxRecalled bounds the recalled messages that are remembered of a sub-channel.
const maxRecalled = 5000

// recall hears of recalled messages, which no longer count.
func (t *Threads) recall(ctx context.Context, e *callback.GroupAfterRecallMsg) error {
	p, ours, err := t.conf.Communities.PlaceOf(ctx, e.GroupID, e.TopicID)
	if err != nil || !ours || p.ThreadID == "" {
		return err
	}
	var seqs []uint32
	for _, one := range e.MsgSeqList {
		seqs = append(seqs, one.MsgSeq)
	}
	return t.uncount(ctx, p, seqs...)
}

// uncount takes messages of a sub-channel out of its count.
func (t *Threads) uncount(ctx context.Context, p community.Place, seqs ...uint32) error {
	if _, there, err := t.parent(ctx, p.Community, p.ThreadID); err != nil || !there {
		return err
	}
	for range tries {
		list, cond, err := t.recalled(ctx, p.Community, p.ThreadID)
		if err != nil {
			return err
		}
		before := len(list)
		for _, seq := range seqs {
			if at, is := slices.BinarySearch(list, seq); !is {
				list = slices.Insert(list, at, seq)
			}
		}
		if len(list) == before {
			break
		}
		value, err := json.Marshal(list[max(0, len(list)-maxRecalled):])
		if err != nil {
			return err
		}
		err = t.store.Commit(ctx, partitionOf(p.Community, p.ThreadID), newOp(), kv.Put{Key: recalledItem, Value: value, If: cond})
		if err == nil {
			break
		}
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return t.dirty(ctx, p)
}

// recalled returns the recalled messages of a sub-channel, ascending.
func (t *Threads) recalled(ctx context.Context, is community.Community, threadID string) (list []uint32, cond kv.Cond, err error) {
	item, err := t.store.Get(ctx, partitionOf(is, threadID), recalledItem)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil, kv.Absent(), nil
	case err != nil:
		return nil, cond, err
	}
	err = json.Unmarshal(item.Value, &list)
	return list, kv.Rev(item.Rev), err
}

// vanished hears that a topic or group is gone. A sub-channel whose own it was ends.
func (t *Threads) vanished(ctx context.Context, groupID, topicID string) error {
	p, ours, err := t.conf.Communities.PlaceOf(ctx, groupID, topicID)
	if err != nil || !ours || p.ThreadID == "" {
		return err
	}
	return t.closed(ctx, p.Community, p.ThreadID)
}

// closed has a sub-channel removed by a job.
func (t *Threads) closed(ctx context.Context, is community.Community, threadID string) error {
	id := is.CommunityID + " " + threadID
	if err := t.copies.Guard(ctx, id, t.now().Add(guardAfter)); err != nil {
		return err
	}
	for range tries {
		s, err := t.load(ctx, is, threadID)
		if err == error(errNone) {
			return nil
		}
		if err != nil {
			return err
		}
		s.Closing = true
		if err := t.save(ctx, is, s); err == nil {
			break
		} else if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	wake(ctx, t.copies, id)
	return nil
}

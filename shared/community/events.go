package community

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Register adds the rules of communities.
//
// Before-rules change nothing and fail open: while the store cannot be reached, IM's
// own mutes hold, and refusing everybody would silence every community. Users who get
// in then are removed afterwards.
//
// The idempotency keys of the after-rules: a member's join or exit has its EventTime;
// a topic its id; a message in a slow channel its sender and time. A change of a group
// or topic is only a hint, upon which IM is read.
func (c *Communities) Register(m *callback.Mux) {
	const name = "communities"
	callback.Before(m, name, callback.FailOpen, c.mayJoin)
	callback.Before(m, name, callback.FailOpen, c.mayInvite)
	callback.Before(m, name, callback.FailOpen, c.mayWrite)
	callback.Before(m, name, callback.FailOpen, c.mayCreateTopic)
	callback.After(m, name, c.created)
	callback.After(m, name, c.joined)
	callback.After(m, name, c.exited)
	callback.After(m, name, c.sent)
	callback.After(m, name, c.recalled)
	callback.After(m, name, c.topicCreated)
	callback.After(m, name, c.ownerChanged)
	callback.After(m, name, func(ctx context.Context, e *callback.TopicAfterDestroyed) error {
		return c.gone(ctx, e.GroupID, e.TopicIDs)
	})
	callback.After(m, name, func(ctx context.Context, e *callback.TopicAfterInfoChanged) error {
		return c.hint(ctx, e.GroupID, e.Operator, e.Query)
	})
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterDestroyed) error {
		return c.hint(ctx, e.GroupID, "", callback.Query{})
	})
}

// hint compares IM with a community that somebody else may have changed.
func (c *Communities) hint(ctx context.Context, groupID, operator string, q callback.Query) error {
	if operator == c.conf.Admin && q.ByREST() {
		return nil // our own change
	}
	if v, err := c.fresh(ctx, groupID); err != nil || v == nil {
		return err
	}
	return c.check(ctx, groupID)
}

// Place is the community and the channel of a callback's message.
type Place struct {
	Community Community
	Channel   Channel // the zero Channel in a sub-channel
	ThreadID  string
}

// PlaceOf returns the place of a group or topic, false if it belongs to no community.
func (c *Communities) PlaceOf(ctx context.Context, groupID, topicID string) (Place, bool, error) {
	p, v, err := c.place(ctx, groupID, topicID)
	return p, v != nil, err
}

func (c *Communities) place(ctx context.Context, groupID, topicID string) (p Place, v *view, err error) {
	b, err := c.BindingOf(ctx, groupID)
	if err != nil {
		return p, nil, err
	}
	if b != nil {
		v, err := c.view(ctx, b.CommunityID)
		if err != nil || v == nil || v.Community.Generation != b.Generation {
			return p, nil, err
		}
		ch, _ := v.Channel(b.ChannelID)
		return Place{v.Community, ch, b.ThreadID}, v, nil
	}
	if !strings.HasPrefix(groupID, communityPrefix) || strings.HasPrefix(groupID, threadPrefix) {
		return p, nil, nil
	}
	if v, err = c.view(ctx, groupID); err != nil || v == nil {
		return p, nil, err
	}
	p.Community = v.Community
	if short := shortOf(topicID); strings.HasPrefix(short, ownTopics) {
		p.ThreadID = short
	} else {
		p.Channel, _ = v.Channel(topicID)
	}
	return p, v, nil
}

// mayJoin keeps kicked users out of a community, and everybody but its members out
// of the groups of its channels.
func (c *Communities) mayJoin(ctx context.Context, e *callback.GroupBeforeApplyJoin) (v callback.EntryVerdict, err error) {
	why, err := c.refusal(ctx, e.GroupID, e.Requestor)
	if err != nil || why == "" {
		return v, err
	}
	return v.Reject(why), nil
}

// refusal says why a user may not enter a group by himself; "" if he may, or the
// group belongs to no community.
func (c *Communities) refusal(ctx context.Context, groupID, userID string) (string, error) {
	p, is, err := c.place(ctx, groupID, "")
	if err != nil || is == nil {
		return "", err
	}
	m, in, err := c.memberOf(ctx, p.Community, userID, groupID != p.Community.CommunityID)
	switch {
	case err != nil:
		return "", err
	case m.Kick.holds(c.now()) && userID != p.Community.Owner:
		return "you were removed from this community", nil
	case groupID == p.Community.CommunityID:
		return "", nil
	case p.ThreadID == "":
		return "this channel is for those who are invited", nil
	case !in:
		return "only members of the community may enter its sub-channels", nil
	}
	return "", nil
}

// memberOf is member, or isMember where it matters.
func (c *Communities) memberOf(ctx context.Context, is Community, userID string, matters bool) (memberRecord, bool, error) {
	if !matters {
		m, err := c.member(ctx, is, userID)
		return m, m.in(), err
	}
	return c.isMember(ctx, is, userID)
}

// mayInvite keeps members from bringing in who was kicked, and from bringing anybody
// into the groups of channels. Our own servers pass.
func (c *Communities) mayInvite(ctx context.Context, e *callback.GroupBeforeInviteJoin) (v callback.InviteVerdict, err error) {
	if e.Query.ByREST() && e.Operator == c.conf.Admin {
		return v, nil
	}
	var refused []string
	for _, m := range e.Destinations {
		why, err := c.refusal(ctx, e.GroupID, m.UserID)
		if err != nil {
			return v, err
		}
		if why != "" {
			refused = append(refused, m.UserID)
		}
	}
	if len(refused) == len(e.Destinations) && len(refused) > 0 {
		return v.Reject("these users may not be brought in"), nil
	}
	return v.Refuse(refused...), nil
}

// mayWrite keeps users from writing who are kicked or muted, whose role may not
// post, or who are too fast for a slow channel. Of two messages at once in a slow
// channel both may pass: a before-rule changes nothing.
func (c *Communities) mayWrite(ctx context.Context, e *callback.GroupBeforeSendMsg) (verdict callback.GroupVerdict, err error) {
	if e.Query.ByREST() {
		return verdict, nil // the app's own server writes in a user's name
	}
	p, v, err := c.place(ctx, e.GroupID, e.TopicID)
	if err != nil || v == nil || e.From == v.Owner {
		return verdict, err
	}
	now := c.now()
	m, err := c.member(ctx, v.Community, e.From)
	if err != nil {
		return verdict, err
	}
	switch {
	case m.Kick.holds(now):
		return verdict.Reject("you were removed from this community"), nil
	case m.Mute.holds(now), m.Mutes[p.Channel.Short()].holds(now):
		return verdict.Reject("you are muted here"), nil
	case slices.Contains(v.roles[m.Role], Manage):
		return verdict, nil
	case v.muted.holds(now):
		return verdict.Reject("everybody is muted in this community"), nil
	case v.mutedIn[p.Channel.Short()].holds(now):
		return verdict.Reject("everybody is muted in this channel"), nil
	case !permits(v.roles, m.Role, Post):
		return verdict.Reject("your role may not write here"), nil
	case p.Channel.SlowModeSeconds == 0:
		return verdict, nil
	}
	item, err := c.store.Get(ctx, v.ChannelPartition(p.Channel), slowPrefix+e.From)
	if errors.Is(err, kv.ErrNotFound) {
		return verdict, nil
	}
	var last time.Time
	if err == nil {
		err = last.UnmarshalText(item.Value)
	}
	if err != nil {
		return verdict, err
	}
	if now.Before(last.Add(time.Duration(p.Channel.SlowModeSeconds) * time.Second)) {
		return verdict.Reject("this channel is slow; wait before you write the next message"), nil
	}
	return verdict, nil
}

// sent hears of delivered messages. In slow channels it remembers when, of each
// user the latest; elsewhere it writes nothing.
func (c *Communities) sent(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	p, v, err := c.place(ctx, e.GroupID, e.TopicID)
	if err != nil || v == nil {
		return err
	}
	if p.Channel.Kind == Private || strings.HasPrefix(e.GroupID, threadPrefix) {
		c.reviewSoon(ctx, v.CommunityID)
	}
	if e.OnlineOnlyFlag == 1 && p.Channel.ChannelID != "" {
		return c.NotCounted(ctx, v.Community, p.Channel, e.MsgSeq)
	}
	if p.Channel.SlowModeSeconds == 0 || e.From == im.NotFoundSender {
		return nil
	}
	at := e.MsgTime.Time()
	if e.EventTime != 0 && e.EventTime.Time().Sub(at) < time.Second {
		at = e.EventTime.Time() // closer
	}
	partition, key := v.ChannelPartition(p.Channel), slowPrefix+e.From
	slow := time.Duration(p.Channel.SlowModeSeconds) * time.Second
	if c.now().Sub(at) > slow {
		return nil
	}
	value, err := at.UTC().MarshalText()
	if err != nil {
		return err
	}
	for range tries {
		cond := kv.Absent()
		item, err := c.store.Get(ctx, partition, key)
		switch {
		case err == nil:
			var last time.Time
			if err := last.UnmarshalText(item.Value); err != nil {
				return err
			}
			if !at.After(last) {
				return nil
			}
			cond = kv.Rev(item.Rev)
		case !errors.Is(err, kv.ErrNotFound):
			return err
		}
		err = c.store.Commit(ctx, partition, newOp(), kv.Put{Key: key, Value: value, Expires: at.Add(slow + time.Minute), If: cond})
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// recalled remembers the newest recalled messages of a channel, which count as read
// by everybody, and takes them off the pins.
func (c *Communities) recalled(ctx context.Context, e *callback.GroupAfterRecallMsg) error {
	p, v, err := c.place(ctx, e.GroupID, e.TopicID)
	if err != nil || v == nil || p.Channel.ChannelID == "" {
		return err
	}
	var seqs []uint32
	for _, one := range e.MsgSeqList {
		seqs = append(seqs, one.MsgSeq)
	}
	if err := c.rememberRecalled(ctx, v.ChannelPartition(p.Channel), seqs); err != nil {
		return err
	}
	return c.Unpinned(ctx, v.Community, p.Channel, seqs)
}

// NotCounted notes messages of a channel that are in no history, such as messages to
// online users alone: they count as read by everybody.
func (c *Communities) NotCounted(ctx context.Context, is Community, ch Channel, seqs ...uint32) error {
	return c.rememberRecalled(ctx, is.ChannelPartition(ch), slices.DeleteFunc(seqs, func(seq uint32) bool { return seq == 0 }))
}

// maxRecalled bounds the recalled messages remembered of a channel.
const maxRecalled = 1000

func (c *Communities) rememberRecalled(ctx context.Context, partition string, seqs []uint32) error {
	for range tries {
		list, cond, err := c.recalledOf(ctx, partition)
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
			return nil
		}
		list = list[max(0, len(list)-maxRecalled):]
		value, err := json.Marshal(list)
		if err != nil {
			return err
		}
		err = c.store.Commit(ctx, partition, newOp(), kv.Put{Key: recalledItem, Value: value, If: cond})
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// recalledOf returns the recalled messages of a channel, ascending.
func (c *Communities) recalledOf(ctx context.Context, partition string) (list []uint32, cond kv.Cond, err error) {
	item, err := c.store.Get(ctx, partition, recalledItem)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil, kv.Absent(), nil
	case err != nil:
		return nil, cond, err
	}
	err = json.Unmarshal(item.Value, &list)
	return list, kv.Rev(item.Rev), err
}

// mayCreateTopic keeps users from making channels who may not. The callback does not
// say in which community: a user who manages none of ours that he is in may not,
// unless he is in one of another's. What passes is judged again by topicCreated.
func (c *Communities) mayCreateTopic(ctx context.Context, e *callback.TopicBeforeCreate) (v callback.EntryVerdict, err error) {
	if e.Query.ByREST() || c.conf.IM == nil {
		return v, nil
	}
	const most = 50 // communities looked at
	groups, _, err := c.conf.IM.JoinedGroups(ctx, e.Operator, 0)
	if err != nil {
		return v, err
	}
	ours := false
	for _, id := range groups[:min(most, len(groups))] {
		if !strings.HasPrefix(id, communityPrefix) || strings.HasPrefix(id, threadPrefix) {
			continue
		}
		is, err := c.view(ctx, id)
		if err != nil {
			return v, err
		}
		if is == nil {
			return v, nil
		}
		manages, err := c.manages(ctx, is.Community, is.roles, api.Caller{UserID: e.Operator})
		if err != nil || manages {
			return v, err
		}
		ours = true
	}
	if ours {
		return v.Reject("only those who manage a community make channels"), nil
	}
	return v, nil
}

// topicCreated takes a topic that somebody else made into the community as a
// channel, or destroys it where its maker may not make channels.
func (c *Communities) topicCreated(ctx context.Context, e *callback.TopicAfterCreate) error {
	if c.conf.IM == nil {
		return errNoIM
	}
	s, err := c.find(ctx, e.GroupID)
	if err != nil {
		if fault.CodeOf(err) == fault.NotFound {
			return nil
		}
		return err
	}
	short := shortOf(e.TopicID)
	if _, is := s.Channel(e.TopicID); is || strings.HasPrefix(short, ownTopics) && e.Query.ByREST() {
		return nil
	}
	if slices.ContainsFunc(s.Removed, func(ch Channel) bool { return ch.ChannelID == e.TopicID }) {
		return nil
	}
	caller := api.Caller{UserID: e.Operator}
	if e.Query.ByREST() {
		caller = api.Caller{Server: "REST"}
	}
	topics, err := c.conf.IM.Topics(ctx, s.id, s.Owner, e.TopicID)
	if err != nil && !im.Lasting(err) {
		return err
	}
	if err != nil || len(topics) != 1 || topics[0].Code != 0 {
		return nil // gone by now
	}
	manages, err := c.manages(ctx, s.Community, s.Roles, caller)
	if err != nil {
		return err
	}
	if !manages || strings.HasPrefix(short, ownTopics) || len(s.Channels()) >= MaxChannels {
		_, err := c.conf.IM.DestroyTopics(ctx, s.id, e.TopicID)
		if im.Lasting(err) {
			err = nil
		}
		return err
	}
	var texts struct {
		Category string      `json:"category"`
		Type     ChannelKind `json:"type"`
	}
	_ = json.Unmarshal([]byte(topics[0].CustomString), &texts) // of another form: none
	if texts.Type != Voice {
		texts.Type = Text
	}
	if err := c.looks.Guard(ctx, s.id, c.now().Add(guardAfter)); err != nil {
		return err
	}
	err = c.note(ctx, s.id, s.Community.Generation, func(now *seen) {
		if _, _, is := now.locate(e.TopicID); is {
			return
		}
		i := now.category(texts.Category)
		if i < 0 {
			was := slices.Clone(now.Categories)
			if i, err = now.ensureCategory(texts.Category); err != nil {
				now.Categories = was
				if i, err = now.ensureCategory(now.defaultCategory()); err != nil {
					return
				}
			}
		}
		now.setBase(short, before(topics[0].NextMsgSeq))
		now.place(i, Channel{ChannelID: e.TopicID, Name: topics[0].Name, Kind: texts.Type, TopicID: e.TopicID, GroupID: s.id}, nil)
		now.Version++
	})
	if err != nil {
		return err
	}
	wake(ctx, c.looks, s.id)
	return nil
}

// joined hears of new members.
func (c *Communities) joined(ctx context.Context, e *callback.GroupAfterNewMemberJoin) error {
	if strings.HasPrefix(e.GroupID, threadPrefix) {
		return nil // of a sub-channel, which follows the community
	}
	if strings.HasPrefix(e.GroupID, privatePrefix) {
		return c.joinedPrivate(ctx, e)
	}
	v, err := c.fresh(ctx, e.GroupID)
	if err != nil || v == nil {
		return err
	}
	ids := callback.UserIDs(e.NewMembers)
	var in []string
	for _, id := range ids {
		m, kicked, err := c.applyEvent(ctx, v.Community, id, int64(e.EventTime), true)
		if err != nil {
			return err
		}
		switch {
		case kicked:
			wake(ctx, c.members, v.CommunityID+" "+id)
		case m.in():
			in = append(in, id)
		}
	}
	if len(in) == 0 {
		return nil
	}
	for _, one := range c.companions {
		if err := one.Joined(ctx, v.Community, in); err != nil {
			return err
		}
	}
	for _, id := range in {
		if err := c.welcome(ctx, v, id, int64(e.EventTime)); err != nil {
			return err
		}
	}
	return nil
}

// joinedPrivate takes those out of a private channel whom nobody invited: another member
// brought them in while the store could not be asked. Whom the app's own servers bring in
// stays.
func (c *Communities) joinedPrivate(ctx context.Context, e *callback.GroupAfterNewMemberJoin) error {
	is, ch, err := c.privateOf(ctx, e.GroupID)
	if err != nil || ch.ChannelID == "" || e.Query.ByREST() {
		return err
	}
	for _, id := range callback.UserIDs(e.NewMembers) {
		_, err := c.store.Get(ctx, is.ChannelPartition(ch), invitedPrefix+id)
		if id == is.Owner || err == nil {
			continue
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		if c.conf.IM == nil {
			return errNoIM
		}
		if _, err := c.conf.IM.DeleteGroupMembers(ctx, ch.GroupID, []string{id}, "", true); err != nil && !im.Lasting(err) {
			return err
		}
	}
	return nil
}

// welcome greets a new member in the first text channel, once for each time of
// joining.
func (c *Communities) welcome(ctx context.Context, v *view, userID string, at int64) error {
	if c.conf.Welcome == "" || c.conf.Sends == nil {
		return nil
	}
	for _, ch := range v.Channels() {
		if ch.Kind != Text {
			continue
		}
		text := strings.ReplaceAll(c.conf.Welcome, "{user}", userID)
		_, err := c.conf.Sends.Group(ctx, "welcome/"+digest(v.CommunityID, decimal(v.Generation), userID, decimal(at)), im.GroupMsg{
			GroupID: v.CommunityID, TopicID: ch.TopicID, From: c.conf.Admin, Body: im.Text(text),
		})
		if im.Lasting(err) {
			err = nil
		}
		return err
	}
	return nil
}

// exited hears of users who left or were removed. A user who is back by now stays in
// everything.
func (c *Communities) exited(ctx context.Context, e *callback.GroupAfterMemberExit) error {
	if strings.HasPrefix(e.GroupID, threadPrefix) {
		return nil // of a sub-channel, which follows the community
	}
	v, err := c.fresh(ctx, e.GroupID)
	if err != nil || v == nil {
		return err
	}
	var out []string
	for _, id := range callback.UserIDs(e.ExitMembers) {
		m, _, err := c.applyEvent(ctx, v.Community, id, int64(e.EventTime), false)
		if err != nil {
			return err
		}
		if !m.in() {
			out = append(out, id)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return c.leave(ctx, v.Community, out...)
}

// ownerChanged hears that a community was given to another member.
func (c *Communities) ownerChanged(ctx context.Context, e *callback.GroupAfterChangeOwner) error {
	v, err := c.fresh(ctx, e.GroupID)
	if err != nil || v == nil || c.conf.IM == nil {
		return err
	}
	infos, err := c.conf.IM.GroupInfos(ctx, []string{e.GroupID}) // the callback may be an older one
	if err != nil || len(infos) != 1 || infos[0].Code != 0 || infos[0].Owner == "" {
		return err
	}
	return c.note(ctx, v.CommunityID, v.Community.Generation, func(now *seen) {
		if now.Owner != infos[0].Owner {
			now.Owner = infos[0].Owner
			now.Version++
		}
	})
}

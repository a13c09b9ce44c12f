package imtest

import (
	"encoding/json"
	"slices"
	"time"
)

// Imports from another chat system: messages, groups and members keep their
// times, and nothing calls back (269/2568, 269/1634, 269/1636, 269/1635,
// 269/1637).

type importRequest struct {
	SyncFromOldSystem        int
	From_Account, To_Account string //nolint:revive // IM's spelling
	MsgSeq, MsgRandom        *uint32
	MsgTimeStamp             *int64
	MsgBody                  json.RawMessage
	CloudCustomData          string
}

// The values of SyncFromOldSystem (269/2568).
const (
	importLiveOld = 1 // in older documents, for importLive
	importHistory = 2 // neither counted as unread nor shown to devices
	importLive    = 5 // counted and shown as a new message
)

// importMsg puts a message into a conversation's history at its own time. A
// duplicate, with the same MsgSeq, MsgRandom and MsgTimeStamp, is a no-op.
func importMsg(a *App, in importRequest) (object, error) {
	live := in.SyncFromOldSystem == importLive || in.SyncFromOldSystem == importLiveOld && !a.conf.Strict
	switch {
	case !live && in.SyncFromOldSystem != importHistory:
		return nil, fail(90001, "SyncFromOldSystem must be 2 or 5")
	case in.MsgRandom == nil:
		return nil, fail(90005, "MsgRandom is missing")
	case in.MsgTimeStamp == nil || *in.MsgTimeStamp <= 0:
		return nil, fail(90001, "MsgTimeStamp is missing")
	}
	if err := checkBody(in.MsgBody, in.CloudCustomData, a.strictly(c2cBody)); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	at := time.Unix(*in.MsgTimeStamp, 0).UTC()
	s := c2cSend{
		sender: in.From_Account, receiver: in.To_Account, random: *in.MsgRandom, body: in.MsgBody, custom: in.CloudCustomData,
		byREST: true, noUnread: !live,
	}
	if err := a.checkUsers(s); err != nil {
		return nil, err
	}
	if at.After(a.clock.Now()) {
		return nil, fail(90001, "MsgTimeStamp is in the future")
	}
	if in.MsgSeq != nil {
		s.seq = *in.MsgSeq
	} else {
		s.seq = a.rng.Uint32()
	}
	c := a.conversation(s.sender, s.receiver)
	key := msgKey(s.seq, s.random, at)
	if m := c.find(key); m != nil && m.From == s.sender {
		return ok, nil
	}
	m := s.message(key, at)
	c.insert(storedC2C{Message: m})
	if live {
		c.unread[s.receiver]++
		e := &Event{Kind: "message", Message: m.copied()}
		for _, id := range slices.Compact([]string{s.receiver, s.sender}) {
			a.deliver(id, e)
		}
	}
	return ok, nil
}

// insert puts a message into the history at its time, after those of the same
// second.
func (c *conversation) insert(m storedC2C) {
	at := len(c.history)
	for at > 0 && c.history[at-1].Time.After(m.Time) {
		at--
	}
	c.history = slices.Insert(c.history, at, m)
}

type importGroupRequest struct {
	Type, GroupId, Name, Introduction, Notification, FaceUrl, Owner_Account string //nolint:revive // IM's spelling
	MaxMemberCount                                                          int
	ApplyJoinOption                                                         string
	CreateTime                                                              int64
	AppDefinedData                                                          []keyValue
	SupportTopic                                                            int
}

// importGroup makes a group as of an earlier time, without callbacks.
func importGroup(a *App, by caller, in importGroupRequest) (object, error) {
	if typeAliases[in.Type] == typeAVRoom {
		return nil, fail(10007, "an AVChatRoom cannot be imported")
	}
	c := creation{
		kind: in.Type, id: in.GroupId, name: in.Name, intro: in.Introduction, notice: in.Notification, face: in.FaceUrl,
		owner: in.Owner_Account, operator: by.id, maxMembers: in.MaxMemberCount, apply: in.ApplyJoinOption, data: in.AppDefinedData,
		supportTopic: in.SupportTopic == 1, from: by.from,
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.checkCreation(&c); err != nil {
		return nil, err
	}
	created := a.clock.Now()
	if in.CreateTime > 0 {
		created = time.Unix(in.CreateTime, 0).UTC()
	}
	if created.After(a.clock.Now()) {
		return nil, fail(10004, "CreateTime is in the future")
	}
	g := a.makeGroup(c)
	g.created, g.changed = created, created
	if owner := g.members[g.owner]; owner != nil {
		owner.joined = created
	}
	return ok.with("GroupId", g.id), nil
}

// importable returns a group that takes imports. The caller holds the lock.
func (a *App) importable(id string) (*group, error) {
	g, err := a.existing(id)
	if err == nil && g.isAVRoom() {
		err = fail(10007, "an AVChatRoom takes no imports")
	}
	return g, err
}

// How much one import takes (1047/34969, 1047/34968).
const (
	importedMembers  = 300
	importedMessages = 7
)

type importMembersRequest struct {
	GroupId    string //nolint:revive // IM's spelling
	MemberList []struct {
		Member_Account, Role string //nolint:revive // IM's spelling
		JoinTime             int64  // 0: now
		UnreadMsgNum         *uint32
	}
}

// importGroupMember lets users into a group as of an earlier time. Each has a
// Result: 0 failed, 1 added, 2 was a member.
func importGroupMember(a *App, in importMembersRequest) (object, error) {
	if err := checkMany(len(in.MemberList), importedMembers); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.importable(in.GroupId)
	if err != nil {
		return nil, err
	}
	now := a.clock.Now()
	list := []object{}
	for _, item := range in.MemberList {
		joined := now
		if item.JoinTime != 0 {
			joined = time.Unix(item.JoinTime, 0).UTC()
		}
		result := added
		switch {
		case g.members[item.Member_Account] != nil:
			result = wasMember
		case a.user(item.Member_Account) == nil, g.full(), joined.After(now), joined.Before(g.created.Truncate(time.Second)),
			item.Role != "" && item.Role != "Admin" && item.Role != "Member":
			result = addFailed
		default:
			g.importMember(item.Member_Account, item.Role, joined)
			if item.UnreadMsgNum != nil {
				g.setUnread(g.members[item.Member_Account], *item.UnreadMsgNum)
			}
		}
		list = append(list, object{"Member_Account", item.Member_Account, "Result", result})
	}
	return ok.with("MemberList", list), nil
}

// importMember adds a member who sees the messages since joining.
func (g *group) importMember(id, role string, joined time.Time) {
	if role == "" {
		role = "Member"
	}
	g.add(id, role, joined)
	m := g.members[id]
	m.since = 0
	for _, message := range g.line.history {
		if message.Time.Before(joined.Truncate(time.Second)) {
			m.since = message.Seq
		}
	}
}

// setUnread makes a number of the group's messages unread for a member, all of
// them if there are fewer.
func (g *group) setUnread(m *member, unread uint32) {
	m.readSeq = g.line.lastSeq - min(unread, g.line.lastSeq)
}

type importGroupMsgRequest struct {
	GroupId, TopicId  string //nolint:revive // IM's spelling
	RecentContactFlag int
	MsgList           []struct {
		From_Account    string //nolint:revive // IM's spelling
		SendTime        int64
		Random          uint32
		MsgBody         json.RawMessage
		CloudCustomData string
	}
}

// importGroupMsg puts messages at the end of a group's history, in the order of
// their times, and counts everything as read. Each has a Result, 10004 for a
// SendTime before the group or its last message, or after now.
func importGroupMsg(a *App, in importGroupMsgRequest) (object, error) {
	if n := len(in.MsgList); n == 0 || n > importedMessages {
		return nil, fail(10004, "1 to 7 messages")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, l, err := lineIn(a.importable, in.GroupId, in.TopicId)
	switch {
	case err != nil:
		return nil, err
	case g.supportTopic && in.TopicId == "":
		return nil, fail(10007, "a community with topics takes messages in its topics alone")
	}
	list := []object{}
	for _, item := range in.MsgList {
		at := time.Unix(item.SendTime, 0).UTC()
		earliest := g.created.Truncate(time.Second)
		if n := len(l.history); n > 0 {
			earliest = l.history[n-1].Time
		}
		err := checkBody(item.MsgBody, item.CloudCustomData, a.strictly(groupBody))
		switch {
		case err != nil:
		case a.user(item.From_Account) == nil:
			err = fail(10019, "From_Account is missing or not imported")
		case at.Before(earliest), at.After(a.clock.Now()):
			err = fail(10004, "SendTime is before the last message or in the future")
		}
		if err != nil {
			list = append(list, object{"Result", Code(err), "MsgTime", item.SendTime, "MsgSeq", 0})
			continue
		}
		l.lastSeq++
		l.store(&Message{
			From: item.From_Account, GroupID: g.id, TopicID: in.TopicId, Seq: l.lastSeq, Random: item.Random, Time: at,
			ID: "144115" + a.newID(), Body: item.MsgBody, Custom: item.CloudCustomData, ByREST: true,
		})
		list = append(list, object{"Result", 0, "MsgTime", item.SendTime, "MsgSeq", l.lastSeq})
	}
	if in.TopicId == "" {
		for _, m := range g.members {
			m.readSeq = g.line.lastSeq
		}
	}
	return ok.with("ImportMsgResult", list), nil
}

type unreadNumRequest struct {
	GroupId, Member_Account string //nolint:revive // IM's spelling
	UnreadMsgNum            *uint32
}

// setUnreadMsgNum sets how many of a group's messages a member has not read. It
// calls nobody back (269/1637).
func setUnreadMsgNum(a *App, in unreadNumRequest) (object, error) {
	if in.UnreadMsgNum == nil {
		return nil, fail(10004, "UnreadMsgNum is missing")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.membered(in.GroupId)
	switch {
	case err != nil:
		return nil, err
	case g.kind == typeMeeting:
		return nil, fail(10007, "a Meeting group counts no unread messages")
	case g.members[in.Member_Account] == nil:
		return nil, fail(10004, "Member_Account is not a member")
	}
	g.setUnread(g.members[in.Member_Account], *in.UnreadMsgNum)
	return ok, nil
}

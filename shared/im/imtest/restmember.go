package imtest

import (
	"slices"
)

// Members come, go and are silenced (269/1621, 269/1622, 269/1623, 1047/34951).

type addRequest struct {
	GroupId    string //nolint:revive // IM's spelling
	Silence    int
	MemberList []struct {
		Member_Account string //nolint:revive // IM's spelling
	}
}

func addGroupMember(a *App, by caller, in addRequest) (object, error) {
	most := a.conf.Unknowns.MembersPerAdd
	if most == 0 {
		most = 20
	}
	if err := checkMany(len(in.MemberList), most); err != nil {
		return nil, err
	}
	ids := make([]string, len(in.MemberList))
	for i, m := range in.MemberList {
		ids[i] = m.Member_Account
	}
	result, err := a.addMembers(in.GroupId, by.id, ids, by.from)
	if err != nil {
		return nil, err
	}
	list := make([]object, len(ids))
	for i, id := range ids {
		list[i] = object{"Member_Account", id, "Result", result[id]}
	}
	return ok.with("MemberList", list), nil
}

type removeRequest struct {
	GroupId             string   //nolint:revive // IM's spelling
	MemberToDel_Account []string //nolint:revive // IM's spelling
	Silence             int
	Reason              string
}

func deleteGroupMember(a *App, by caller, in removeRequest) (object, error) {
	if err := checkMany(len(in.MemberToDel_Account), 100); err != nil {
		return nil, err
	}
	return ok, a.removeMembers(in.GroupId, by.id, in.MemberToDel_Account, by.from)
}

type modifyMember struct {
	GroupId, Member_Account string //nolint:revive // IM's spelling
	Role, NameCard, MsgFlag *string
	MuteTime                *uint32 `old:"ShutUpTime"`
	AppMemberDefinedData    []keyValue
}

func modifyGroupMemberInfo(a *App, by caller, in modifyMember) (object, error) {
	switch {
	case in.Role != nil && *in.Role != "Admin" && *in.Role != "Member":
		return nil, fail(10004, "Role must be Admin or Member")
	case in.NameCard != nil && len(*in.NameCard) > 50:
		return nil, fail(10004, "NameCard is over 50 bytes")
	case in.MsgFlag != nil && !slices.Contains(msgFlags, *in.MsgFlag):
		return nil, fail(10004, "MsgFlag is unknown")
	}
	if err := checkOwnFields(in.AppMemberDefinedData, memberFields); err != nil {
		return nil, err
	}
	a.mu.Lock()
	g, err := a.membered(in.GroupId)
	switch {
	case err != nil:
	case g.members[in.Member_Account] == nil:
		err = fail(10004, "Member_Account is not a member")
	case in.Role != nil && in.Member_Account == g.owner:
		err = fail(10007, "the owner keeps its role")
	case in.Role != nil && *in.Role == "Admin" && g.kind == typeWork:
		err = fail(10007, "a Work group has no admins")
	case in.MuteTime != nil && g.kind == typeWork:
		err = fail(10007, "a Work group has no mute")
	case !fits(g.members[in.Member_Account].data, in.AppMemberDefinedData, memberFields):
		err = fail(10004, "over 5 fields of your own")
	}
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	m := g.members[in.Member_Account]
	var changed object
	if in.Role != nil && *in.Role != m.role {
		m.role = *in.Role
		a.tip(g, Tip{What: map[string]string{"Admin": "admin", "Member": "notAdmin"}[m.role], Operator: by.id, Users: []string{m.id}})
		changed = changed.with("Role", m.role)
	}
	if in.NameCard != nil && *in.NameCard != m.nameCard {
		m.nameCard = *in.NameCard
		changed = changed.with("NameCard", m.nameCard)
	}
	if in.MsgFlag != nil {
		m.flag = *in.MsgFlag
	}
	if in.MuteTime != nil {
		a.mute(g, "", in.Member_Account, *in.MuteTime)
	}
	if m.data == nil && len(in.AppMemberDefinedData) > 0 {
		m.data = make(map[string]string)
	}
	setFields(m.data, in.AppMemberDefinedData)
	a.mu.Unlock()
	if len(changed) > 0 {
		a.after(notice{command: "Group.CallbackAfterMemberFieldChanged", from: by.from, body: object{
			"GroupId", g.id, "Type", a.typeName(g), "Operator_Account", by.id, "Member_Account", in.Member_Account,
		}.with(changed...).with("EventTime", a.eventTime())})
	}
	return ok, nil
}

// mute silences a user for some seconds, in a group or in a topic of it, and
// tells the devices. The caller holds the lock.
func (a *App) mute(g *group, topicID, id string, seconds uint32) {
	muted := g.muted
	if topicID != "" {
		muted = g.topics[topicID].muted
	}
	if seconds == 0 {
		delete(muted, id)
		a.tellUser(g, id, &Event{Kind: "unmuted", GroupID: g.id, TopicID: topicID})
		a.tip(g, Tip{What: "unmuted", Users: []string{id}})
		return
	}
	muted[id] = a.until(seconds)
	a.tellUser(g, id, &Event{Kind: "muted", GroupID: g.id, TopicID: topicID, Until: muted[id]})
	a.tip(g, Tip{What: "muted", Users: []string{id}, Seconds: seconds})
}

type forbidRequest struct {
	GroupId, TopicId string   //nolint:revive // IM's spelling
	Members_Account  []string //nolint:revive // IM's spelling
	MuteTime         *uint32  `old:"ShutUpTime"`
}

func forbidSendMsg(a *App, in forbidRequest) (object, error) {
	if err := checkMany(len(in.Members_Account), 500); err != nil {
		return nil, err
	}
	if in.MuteTime == nil {
		return nil, fail(10004, "MuteTime is missing")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.existing(in.GroupId)
	if err != nil {
		return nil, err
	}
	if g.kind == typeWork {
		return nil, fail(10007, "a Work group has no mute")
	}
	if _, err := g.lineOf(in.TopicId); err != nil {
		return nil, err
	}
	for _, id := range in.Members_Account {
		a.mute(g, in.TopicId, id, *in.MuteTime)
	}
	return ok, nil
}

// getGroupMutedAccount lists the muted; list and end are the names of the
// fields, of which there are an old and a new set.
func getGroupMutedAccount(list, end string) func(*App, groupID) (object, error) {
	return func(a *App, in groupID) (object, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		g, err := a.existing(in.GroupId)
		if err != nil {
			return nil, err
		}
		items := []object{}
		for _, id := range sortedKeys(g.muted) {
			if until := g.muted[id]; until.After(a.clock.Now()) {
				items = append(items, object{"Member_Account", id, end, until.Unix()})
			}
		}
		return ok.with("GroupId", g.id, list, items), nil
	}
}

type banRequest struct {
	GroupId         string   //nolint:revive // IM's spelling
	Members_Account []string //nolint:revive // IM's spelling
	Duration        uint32
	Description     string
}

func (in banRequest) check() error {
	if len(in.Description) > 1000 {
		return fail(10004, "Description is over 1000 bytes")
	}
	return checkMany(len(in.Members_Account), 20)
}

func banGroupMember(a *App, by caller, in banRequest) (object, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if in.Duration == 0 {
		return nil, fail(10004, "Duration is missing")
	}
	return ok, a.ban(in.GroupId, by.id, in.Members_Account, a.until(in.Duration), by.from)
}

func unbanGroupMember(a *App, in banRequest) (object, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.mayBan(in.GroupId)
	if err != nil {
		return nil, err
	}
	for _, id := range in.Members_Account {
		delete(g.banned, id)
	}
	return ok, nil
}

type bannedQuery struct {
	GroupId       string //nolint:revive // IM's spelling
	Limit, Offset int
}

func getGroupBanMember(a *App, in bannedQuery) (object, error) {
	if in.Limit < 1 || in.Limit > 100 || in.Offset < 0 {
		return nil, fail(10004, "Limit is 1 to 100")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.mayBan(in.GroupId)
	if err != nil {
		return nil, err
	}
	ids := slices.DeleteFunc(sortedKeys(g.banned), func(id string) bool { return !g.banned[id].After(a.clock.Now()) })
	items := []object{}
	page, next := pageOf(ids, in.Offset, in.Limit)
	for _, id := range page {
		items = append(items, object{"Member_Account", id, "BannedUntil", g.banned[id].Unix()})
	}
	return ok.with("BannedAccountList", items, "NextOffset", next), nil
}

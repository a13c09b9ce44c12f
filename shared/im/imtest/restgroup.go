package imtest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Groups and their members (269/1615 to 269/1621, 1047/34962, 269/112002).

// groupMisfits are the codes of the group services.
var groupMisfits = misfits{"": 10004}

type groupID struct{ GroupId string } //nolint:revive // IM's spelling

type createRequest struct {
	Type, GroupId, Name, Introduction, Notification, FaceUrl, Owner_Account string //nolint:revive // IM's spelling
	MaxMemberCount                                                          int
	ApplyJoinOption, InviteJoinOption                                       string
	AppDefinedData                                                          []keyValue
	MemberList                                                              []struct {
		Member_Account, Role string //nolint:revive // IM's spelling
	}
	SupportTopic      int
	EnablePermission  int
	DefaultPermission uint64
}

func createGroup(a *App, by caller, in createRequest) (object, error) {
	c := creation{
		kind: in.Type, id: in.GroupId, name: in.Name, intro: in.Introduction, notice: in.Notification, face: in.FaceUrl,
		owner: in.Owner_Account, operator: by.id, maxMembers: in.MaxMemberCount, apply: in.ApplyJoinOption, invite: in.InviteJoinOption,
		data: in.AppDefinedData, supportTopic: in.SupportTopic == 1, enablePermission: in.EnablePermission == 1, defaultPermission: in.DefaultPermission,
		from: by.from,
	}
	for _, m := range in.MemberList {
		switch m.Role {
		case "":
			m.Role = "Member"
		case "Admin", "Member":
		default:
			return nil, fail(10004, "Role must be Admin or Member")
		}
		c.members = append(c.members, newMember{m.Member_Account, m.Role})
	}
	id, err := a.create(c)
	if err != nil {
		return nil, err
	}
	return ok.with("GroupId", id), nil
}

func destroyGroup(a *App, by caller, in groupID) (object, error) {
	return ok, a.destroy(in.GroupId, by.from)
}

type infoFilter struct {
	GroupBaseInfoFilter, MemberInfoFilter                        []string
	AppDefinedDataFilter_Group, AppDefinedDataFilter_GroupMember []string //nolint:revive // IM's spelling
}

type infoRequest struct {
	GroupIdList    []string //nolint:revive // IM's spelling
	ResponseFilter *infoFilter
}

// maxAnswer is the largest answer a group service gives (10018).
const maxAnswer = 1 << 20

func getGroupInfo(a *App, in infoRequest) (object, error) {
	if n := len(in.GroupIdList); n == 0 || n > 50 {
		return nil, fail(10004, "1 to 50 groups")
	}
	list := make([]object, len(in.GroupIdList))
	a.mu.Lock()
	for i, id := range in.GroupIdList {
		if g, err := a.existing(id); err != nil {
			list[i] = object{"GroupId", id, "ErrorCode", Code(err), "ErrorInfo", err.Error()}
		} else {
			list[i] = object{"GroupId", id, "ErrorCode", 0, "ErrorInfo", ""}.with(a.groupInfo(g, in.ResponseFilter)...)
		}
	}
	a.mu.Unlock()
	out := ok.with("GroupInfo", list)
	if b, err := json.Marshal(out); err == nil && len(b) > maxAnswer {
		return nil, fail(10018, "the answer is over 1 MB; use filters")
	}
	return out, nil
}

// only keeps the fields with the names given; none given keeps all.
func (o object) only(names []string) object {
	if len(names) == 0 {
		return o
	}
	var kept object
	for i := 0; i < len(o); i += 2 {
		if slices.Contains(names, o[i].(string)) {
			kept = append(kept, o[i], o[i+1])
		}
	}
	return kept
}

func onOff(b bool) string {
	if b {
		return "On"
	}
	return "Off"
}

// groupInfo describes a group. Without a filter it is everything. The caller
// holds the lock.
func (a *App) groupInfo(g *group, f *infoFilter) object {
	members := len(g.joinOrder)
	last := int64(0)
	if n := len(g.line.history); n > 0 {
		last = g.line.history[n-1].Time.Unix()
	}
	info := object{
		"Type", g.kind, "Name", g.name, "Introduction", g.intro, "Notification", g.notice, "FaceUrl", g.face,
		"Owner_Account", g.owner, "CreateTime", g.created.Unix(), "LastInfoTime", g.changed.Unix(), "LastMsgTime", last,
		"NextMsgSeq", g.line.lastSeq + 1, "MemberNum", members, "MaxMemberNum", g.maxMembers,
		"ApplyJoinOption", g.applyOption, "InviteJoinOption", g.inviteOption, "MuteAllMember", onOff(g.muteAll),
		"SupportTopic", flag(g.supportTopic),
	}
	var wanted, fields []string
	if f != nil {
		if slices.Contains(f.GroupBaseInfoFilter, "ShutUpAllMember") { // the former name
			info = info.with("ShutUpAllMember", onOff(g.muteAll))
		}
		info = info.only(f.GroupBaseInfoFilter)
		wanted, fields = f.AppDefinedDataFilter_Group, f.MemberInfoFilter
	}
	data := []object{}
	for _, key := range sortedKeys(g.data) {
		if f == nil || slices.Contains(wanted, key) {
			data = append(data, object{"Key", key, "Value", g.data[key]})
		}
	}
	if len(data) > 0 {
		info = info.with("AppDefinedData", data)
	}
	if !g.isAVRoom() && (f == nil || len(fields) > 0) {
		list := []object{}
		for _, id := range g.joinOrder {
			list = append(list, object{"Member_Account", id}.with(g.memberInfo(id).only(fields)...))
		}
		info = info.with("MemberList", list)
	}
	return info
}

// memberInfo describes a member, without the UserID.
func (g *group) memberInfo(id string) object {
	m := g.members[id]
	data := []object{}
	for _, key := range sortedKeys(m.data) {
		data = append(data, object{"Key", key, "Value", m.data[key]})
	}
	muted := int64(0)
	if t := g.muted[id]; !t.IsZero() {
		muted = t.Unix()
	}
	return object{
		"Role", m.role, "JoinTime", m.joined.Unix(), "MsgSeq", m.readSeq, "MsgFlag", m.flag, "NameCard", m.nameCard,
		"MuteUntil", muted, "AppMemberDefinedData", data,
	}
}

type memberQuery struct {
	GroupId                                                              string //nolint:revive // IM's spelling
	Limit, Offset                                                        int
	Next                                                                 json.RawMessage
	MemberInfoFilter, MemberRoleFilter, AppDefinedDataFilter_GroupMember []string //nolint:revive // IM's spelling
}

// membered returns a group that stores its members. The caller holds the lock.
func (a *App) membered(id string) (*group, error) {
	g, err := a.existing(id)
	if err == nil && g.isAVRoom() {
		err = fail(10007, "an AVChatRoom stores no members")
	}
	return g, err
}

// getGroupMemberInfo pages through members: a Community by Next, other groups
// by Offset.
func getGroupMemberInfo(a *App, in memberQuery) (object, error) {
	if in.Limit < 0 || in.Limit > 200 || in.Offset < 0 {
		return nil, fail(10004, "Limit is at most 200")
	}
	if in.Limit == 0 {
		in.Limit = 100
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.membered(in.GroupId)
	if err != nil {
		return nil, err
	}
	from := in.Offset
	if g.kind == typeCommunity {
		// The documentation has Next as a text and as a number.
		next := strings.Trim(string(in.Next), `"`)
		if from, err = strconv.Atoi(next); next != "" && (err != nil || from < 0) {
			return nil, fail(10004, "Next is not of ours")
		}
	}
	ids := g.joinOrder
	if len(in.MemberRoleFilter) > 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !slices.Contains(in.MemberRoleFilter, g.members[id].role) })
	}
	list := []object{}
	page, next := pageOf(ids, from, in.Limit)
	for _, id := range page {
		list = append(list, object{"Member_Account", id}.with(g.memberInfo(id).only(in.MemberInfoFilter)...))
	}
	out := ok.with("MemberNum", len(g.joinOrder), "MemberList", list)
	if g.kind == typeCommunity {
		switch {
		case a.conf.Unknowns.NextAsNumber:
			out = out.with("Next", next)
		case next > 0:
			out = out.with("Next", strconv.Itoa(next))
		default:
			out = out.with("Next", "")
		}
	}
	return out, nil
}

type specifiedQuery struct {
	GroupId             string   //nolint:revive // IM's spelling
	Member_List_Account []string //nolint:revive // IM's spelling
	MemberInfoFilter    []string
}

func getSpecifiedMembers(a *App, in specifiedQuery) (object, error) {
	if err := checkMany(len(in.Member_List_Account), 50); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.membered(in.GroupId)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, id := range in.Member_List_Account {
		if g.members[id] != nil {
			list = append(list, object{"Member_Account", id}.with(g.memberInfo(id).only(in.MemberInfoFilter)...))
		}
	}
	return ok.with("GroupId", g.id, "MemberList", list), nil
}

// checkMany checks how many accounts a call names.
func checkMany(n, most int) error {
	switch {
	case n == 0:
		return fail(10004, "the list of accounts is missing or empty")
	case n > most:
		return fail(10005, "at most "+strconv.Itoa(most)+" accounts")
	}
	return nil
}

type roleQuery struct {
	GroupId      string   //nolint:revive // IM's spelling
	User_Account []string //nolint:revive // IM's spelling
}

func getRoleInGroup(a *App, in roleQuery) (object, error) {
	if err := checkMany(len(in.User_Account), 500); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.membered(in.GroupId)
	if err != nil {
		return nil, err
	}
	list := make([]object, len(in.User_Account))
	for i, id := range in.User_Account {
		role := "NotMember"
		if m := g.members[id]; m != nil {
			role = m.role
		}
		list[i] = object{"Member_Account", id, "Role", role}
	}
	return ok.with("UserIdList", list), nil
}

type joinedQuery struct {
	Member_Account     string //nolint:revive // IM's spelling
	Limit, Offset      int    // Limit 0: all
	GroupType          string
	WithHugeGroups     int // 1: AVChatRooms too
	WithNoActiveGroups int // 1: Work groups that nobody has written to yet too
	ResponseFilter     *joinedFilter
}

type joinedFilter struct{ GroupBaseInfoFilter, SelfInfoFilter []string }

// getJoinedGroupList lists the groups a user is in (269/1625). By default there
// are no AVChatRooms in it, and no Work groups without a message, which IM calls
// not activated.
func getJoinedGroupList(a *App, in joinedQuery) (object, error) {
	if _, known := typeAliases[in.GroupType]; in.GroupType != "" && !known {
		return nil, fail(10004, "GroupType is unknown")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.user(in.Member_Account) == nil {
		return nil, fail(10019, "Member_Account is missing or not imported")
	}
	list := []object{}
	for _, id := range sortedKeys(a.groups) {
		g := a.groups[id]
		switch {
		case !g.present(in.Member_Account):
		case in.GroupType != "" && typeAliases[in.GroupType] != g.kind:
		case g.isAVRoom() && in.WithHugeGroups != 1:
		case g.kind == typeWork && !g.line.active() && in.WithNoActiveGroups != 1:
		default:
			list = append(list, a.joinedGroup(g, in.Member_Account, in.ResponseFilter))
		}
	}
	total := len(list)
	list = list[min(max(in.Offset, 0), total):]
	if in.Limit > 0 {
		list = list[:min(in.Limit, len(list))]
	}
	return ok.with("TotalCount", total, "GroupIdList", list), nil
}

// joinedGroup describes a group to one of its members. The caller holds the lock.
func (a *App) joinedGroup(g *group, userID string, f *joinedFilter) object {
	item := object{"GroupId", g.id, "Type", g.kind}
	if f == nil {
		return item
	}
	if len(f.GroupBaseInfoFilter) > 0 {
		base := slices.DeleteFunc(slices.Clone(f.GroupBaseInfoFilter), func(name string) bool { return name == "Type" })
		if len(base) > 0 {
			item = item.with(a.groupInfo(g, &infoFilter{GroupBaseInfoFilter: base})...)
		}
	}
	if len(f.SelfInfoFilter) > 0 && g.members[userID] != nil {
		item = item.with("SelfInfo", g.memberInfo(userID).only(f.SelfInfoFilter))
	}
	return item
}

type appGroupsQuery struct {
	Limit     int
	Next      uint64
	GroupType string
}

func getAppidGroupList(a *App, in appGroupsQuery) (object, error) {
	if in.Limit < 0 || in.Limit > 10000 {
		return nil, fail(10004, "Limit is at most 10000")
	}
	if in.Limit == 0 {
		in.Limit = 10000
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []object{}
	for _, id := range sortedKeys(a.groups) {
		if in.GroupType == "" || typeAliases[in.GroupType] == a.groups[id].kind {
			list = append(list, object{"GroupId", id})
		}
	}
	page, next := pageOf(list, int(min(in.Next, uint64(len(list)))), in.Limit)
	return ok.with("TotalCount", len(list), "GroupIdList", page, "Next", next), nil
}

type modifyGroup struct {
	GroupId                                   string  //nolint:revive // IM's spelling
	From_Account                              string  //nolint:revive // IM's spelling
	Name, Introduction, Notification, FaceUrl *string //nolint:revive // IM's spelling
	MaxMemberNum                              *int
	ApplyJoinOption, InviteJoinOption         *string
	MuteAllMember                             *string `old:"ShutUpAllMember"`
	AppDefinedData                            []keyValue
	HistoryMsgBeforeJoin                      *string // On or Off; Work, Public and Meeting groups alone
}

func modifyGroupBaseInfo(a *App, by caller, in modifyGroup) (object, error) {
	switch {
	case in.MuteAllMember != nil && *in.MuteAllMember != "On" && *in.MuteAllMember != "Off":
		return nil, fail(10004, "MuteAllMember must be On or Off")
	case in.HistoryMsgBeforeJoin != nil && *in.HistoryMsgBeforeJoin != "On" && *in.HistoryMsgBeforeJoin != "Off":
		return nil, fail(10004, "HistoryMsgBeforeJoin must be On or Off")
	case in.ApplyJoinOption != nil && !slices.Contains(applyValues, *in.ApplyJoinOption):
		return nil, fail(10004, "ApplyJoinOption is unknown")
	case in.InviteJoinOption != nil && !slices.Contains(inviteValues, *in.InviteJoinOption):
		return nil, fail(10004, "InviteJoinOption is unknown")
	}
	if err := checkOwnFields(in.AppDefinedData, groupFields); err != nil {
		return nil, err
	}
	if err := checkGroupTexts(in.Name, in.Introduction, in.Notification, in.FaceUrl); err != nil {
		return nil, err
	}
	if in.From_Account != "" {
		by.id = in.From_Account
	}
	a.mu.Lock()
	g, err := a.existing(in.GroupId)
	switch {
	case err != nil:
	case in.MuteAllMember != nil && g.kind == typeWork:
		err = fail(10007, "a Work group has no mute")
	case in.HistoryMsgBeforeJoin != nil && (g.isAVRoom() || g.kind == typeCommunity):
		err = fail(10007, "only Work, Public and Meeting groups have HistoryMsgBeforeJoin")
	case in.MaxMemberNum != nil && (*in.MaxMemberNum < len(g.members) || *in.MaxMemberNum < 1):
		err = fail(10004, "MaxMemberNum is below the number of members")
	case in.MaxMemberNum != nil && !g.isAVRoom() && *in.MaxMemberNum > a.conf.Edition.maxMembers(g.kind):
		err = fail(10004, "MaxMemberNum is above what the edition has")
	case !fits(g.data, in.AppDefinedData, groupFields):
		err = fail(10004, "over 10 fields of your own")
	}
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	var changed object
	for _, field := range []struct {
		name string
		to   *string
		at   *string
	}{
		{"Name", in.Name, &g.name},
		{"Introduction", in.Introduction, &g.intro},
		{"Notification", in.Notification, &g.notice},
		{"FaceUrl", in.FaceUrl, &g.face},
	} {
		if field.to != nil && *field.to != *field.at {
			*field.at = *field.to
			changed = changed.with(field.name, *field.to)
		}
	}
	if in.MaxMemberNum != nil {
		g.maxMembers = *in.MaxMemberNum
	}
	if in.ApplyJoinOption != nil {
		g.applyOption = *in.ApplyJoinOption
	}
	if in.InviteJoinOption != nil {
		g.inviteOption = *in.InviteJoinOption
	}
	if in.MuteAllMember != nil {
		g.muteAll = *in.MuteAllMember == "On"
	}
	if in.HistoryMsgBeforeJoin != nil {
		g.showsEarlier = *in.HistoryMsgBeforeJoin == "On"
	}
	setFields(g.data, in.AppDefinedData)
	g.changed = a.clock.Now()
	tip := Tip{What: "profile", Operator: by.id, Changed: make(map[string]string)}
	for i := 0; i < len(changed); i += 2 {
		tip.Changed[changed[i].(string)] = changed[i+1].(string)
	}
	if in.MuteAllMember != nil {
		tip.Changed["MuteAllMember"] = *in.MuteAllMember
	}
	a.tip(g, tip)
	a.mu.Unlock()
	if len(changed) > 0 {
		a.after(notice{command: "Group.CallbackAfterGroupInfoChanged", from: by.from, body: object{
			"GroupId", g.id, "Type", a.typeName(g), "Operator_Account", by.id,
		}.with(changed...).with("EventTime", a.eventTime())})
	}
	return ok, nil
}

type ownerRequest struct {
	GroupId, NewOwner_Account string //nolint:revive // IM's spelling
}

func changeGroupOwner(a *App, by caller, in ownerRequest) (object, error) {
	a.mu.Lock()
	g, err := a.existing(in.GroupId)
	switch {
	case err != nil:
	case a.user(in.NewOwner_Account) == nil:
		err = fail(10019, "NewOwner_Account is missing or not imported")
	case g.isAVRoom():
		err = fail(10007, "an AVChatRoom keeps its owner")
	case g.members[in.NewOwner_Account] == nil:
		err = fail(10004, "NewOwner_Account is not a member")
	}
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	old := g.owner
	if m := g.members[old]; m != nil {
		m.role = "Member"
	}
	g.owner = in.NewOwner_Account
	g.members[g.owner].role = "Owner"
	a.tip(g, Tip{What: "owner", Operator: by.id, Users: []string{g.owner}})
	a.mu.Unlock()
	a.after(notice{command: "Group.CallbackAfterChangeGroupOwner", from: by.from, body: object{
		"GroupId", g.id, "Type", a.typeName(g), "Operator_Account", by.id, "OldOwner_Account", old,
		"NewOwner_Account", in.NewOwner_Account, "EventTime", a.eventTime(),
	}})
	return ok, nil
}

package imtest

import (
	"slices"
	"strings"
	"time"
)

// Communities: topics and permission groups (1047/49471, 1047/49470, 1047/49469,
// 1047/49468, 269/103965, 269/103966, 269/103974).

// Limits of topics and permission groups, in bytes.
const (
	maxTopicCustom          = 3000
	maxPermissionGroupName  = 150
	permissionGroupPrefix   = "@PMG#_"
	maxPermissionGroupsGone = 20
	maxPermissionMembers    = 100
)

// community returns a group with topics. The caller holds the lock.
func (a *App) community(id string) (*group, error) {
	g, err := a.existing(id)
	switch {
	case a.conf.NoCommunity:
		return nil, fail(11000, "communities are switched off for this app")
	case err != nil:
		return nil, err
	case g.kind != typeCommunity || !g.supportTopic:
		return nil, fail(10007, "only a Community with topics has this")
	}
	return g, nil
}

type topicFields struct {
	GroupId, TopicId, From_Account                               string  //nolint:revive // IM's spelling
	TopicName, Introduction, Notification, FaceUrl, CustomString *string //nolint:revive // IM's spelling
	MuteAllMember                                                *string
}

func (in topicFields) check() error {
	switch {
	case in.TopicName != nil && len(*in.TopicName) > maxTopicName:
		return fail(10004, "TopicName is over 30 bytes")
	case in.CustomString != nil && len(*in.CustomString) > maxTopicCustom:
		return fail(10004, "CustomString is over 3000 bytes")
	case in.MuteAllMember != nil && *in.MuteAllMember != "On" && *in.MuteAllMember != "Off":
		return fail(10004, "MuteAllMember must be On or Off")
	}
	return checkGroupTexts(nil, in.Introduction, in.Notification, in.FaceUrl)
}

// apply changes the topic as asked and returns what the backend is told.
func (t *topic) apply(in topicFields) (changed object) {
	for _, field := range []struct {
		name string
		to   *string
		at   *string
	}{
		{"Name", in.TopicName, &t.name},
		{"Introduction", in.Introduction, &t.intro},
		{"Notification", in.Notification, &t.notice},
		{"FaceUrl", in.FaceUrl, &t.face},
	} {
		if field.to != nil && *field.to != *field.at {
			*field.at = *field.to
			changed = changed.with(field.name, *field.to)
		}
	}
	if in.CustomString != nil {
		t.custom = *in.CustomString
	}
	if in.MuteAllMember != nil {
		t.muteAll = *in.MuteAllMember == "On"
	}
	return changed
}

func createTopic(a *App, by caller, in topicFields) (object, error) {
	if in.TopicName == nil || *in.TopicName == "" {
		return nil, fail(10004, "TopicName is missing")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if in.From_Account != "" {
		by.id = in.From_Account
	}
	a.mu.Lock()
	g, err := a.mayHaveTopic(in)
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	v := a.before(notice{command: "Group.CallbackBeforeCreateTopic", from: by.from, body: object{
		"Operator_Account", by.id, "Type", a.typeName(g), "Name", *in.TopicName,
	}})
	if err := a.refusal(groupVerdicts, v); err != nil {
		return nil, err
	}
	a.mu.Lock()
	if g, err = a.mayHaveTopic(in); err != nil { // somebody may have been faster
		a.mu.Unlock()
		return nil, err
	}
	if in.TopicId == "" {
		in.TopicId = g.id + topicInfix + a.newID()
	}
	t := &topic{id: in.TopicId, line: a.newLine(), muted: make(map[string]time.Time)}
	t.apply(in)
	g.topics[t.id] = t
	g.topicOrder = append(g.topicOrder, t.id)
	owner := g.owner
	a.mu.Unlock()
	a.after(notice{command: "Group.CallbackAfterCreateTopic", from: by.from, body: object{
		"GroupId", g.id, "TopicId", in.TopicId, "Operator_Account", by.id, "Owner_Account", owner, "Type", a.typeName(g),
		"Name", *in.TopicName, "UserDefinedDataList",
		[]object{},
	}})
	return ok.with("TopicId", in.TopicId), nil
}

// topicInfix stands between a GroupID and the topic's own name.
const topicInfix = "@TOPIC#_"

// mayHaveTopic checks a new topic. The caller holds the lock.
func (a *App) mayHaveTopic(in topicFields) (*group, error) {
	g, err := a.community(in.GroupId)
	switch {
	case err != nil:
		return nil, err
	case in.From_Account != "" && a.user(in.From_Account) == nil:
		return nil, fail(10019, "From_Account is not imported")
	case in.TopicId != "" && !strings.HasPrefix(in.TopicId, g.id+topicInfix):
		return nil, fail(10015, "TopicId must be the GroupId, @TOPIC#_ and a name")
	case g.topics[in.TopicId] != nil:
		return nil, fail(10021, "the TopicId is taken")
	}
	return g, nil
}

type topicsQuery struct {
	GroupId, From_Account string   //nolint:revive // IM's spelling
	TopicIdList           []string //nolint:revive // IM's spelling
}

func getTopic(a *App, in topicsQuery) (object, error) {
	if in.From_Account == "" {
		return nil, fail(10004, "From_Account is missing")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.community(in.GroupId)
	if err != nil {
		return nil, err
	}
	if len(in.TopicIdList) == 0 {
		in.TopicIdList = g.topicOrder
	}
	list := []object{}
	for _, id := range in.TopicIdList {
		t := g.topics[id]
		if t == nil {
			list = append(list, object{"ErrorCode", 10004, "ErrorInfo", "no such topic", "TopicInfo", object{"GroupID", g.id, "TopicId", id}})
			continue
		}
		list = append(list, object{
			"ErrorCode", 0, "ErrorInfo", "", "TopicInfo",
			object{
				"GroupID", g.id, "TopicId", id, "TopicName", t.name, "Introduction", t.intro, "Notification", t.notice,
				"FaceUrl", t.face, "CustomString", t.custom, "MuteAllMember", onOff(t.muteAll), "NextMsgSeq", t.line.lastSeq + 1,
			},
			"SelfInfo",
			object{"MuteTime", max(0, t.muted[in.From_Account].Unix())},
		})
	}
	return ok.with("TopicAndSelfInfo", list), nil
}

// modifyTopic tells the backend what changed, but not in which topic: the
// documented callback has no TopicId (1047/49466).
func modifyTopic(a *App, by caller, in topicFields) (object, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if in.From_Account != "" {
		by.id = in.From_Account
	}
	a.mu.Lock()
	g, err := a.community(in.GroupId)
	if err == nil && g.topics[in.TopicId] == nil {
		err = fail(10004, "no such topic")
	}
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	changed := g.topics[in.TopicId].apply(in)
	a.mu.Unlock()
	if len(changed) > 0 {
		a.after(notice{command: "Group.CallbackAfterTopicInfoChanged", from: by.from, body: object{
			"GroupId", g.id, "Type", a.typeName(g), "Operator_Account", by.id,
		}.with(changed...)})
	}
	return ok, nil
}

func destroyTopic(a *App, by caller, in topicsQuery) (object, error) {
	if len(in.TopicIdList) == 0 {
		return nil, fail(10004, "TopicIdList is missing")
	}
	if in.From_Account != "" {
		by.id = in.From_Account
	}
	a.mu.Lock()
	g, err := a.community(in.GroupId)
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	list, gone := []object{}, []string{}
	for _, id := range in.TopicIdList {
		if g.topics[id] == nil {
			list = append(list, object{"TopicId", id, "ErrorCode", 110003, "ErrorInfo", "no such topic"})
			continue
		}
		delete(g.topics, id)
		g.topicOrder = slices.DeleteFunc(g.topicOrder, func(x string) bool { return x == id })
		gone = append(gone, id)
		list = append(list, object{"TopicId", id, "ErrorCode", 0, "ErrorInfo", ""})
	}
	a.mu.Unlock()
	if len(gone) > 0 {
		a.after(notice{command: "Group.CallbackAfterTopicDestroyed", from: by.from, body: object{
			"GroupId", g.id, "Type", a.typeName(g), "Operator_Account", by.id, "TopicIdList", gone,
		}})
	}
	return ok.with("DestroyResultItem", list), nil
}

// The rights of members in a community with permission groups, and in its topics
// (269/103974).
const (
	rightEditGroup     = 1
	rightManageMembers = 2
	rightManageTopics  = 16
	rightMute          = 32
	rightSend          = 64
	rightMentionAll    = 128
	rightHistory       = 256
	rightRecall        = 512

	topicRightManage     = 1
	topicRightMute       = 4
	topicRightSend       = 8
	topicRightHistory    = 16
	topicRightRecall     = 32
	topicRightMentionAll = 64
)

// granted reports whether a permission group lets a member do something. A member's
// rights are the community's DefaultPermission and those of all his groups. Where one
// of his groups has rights of its own in a topic, those of his groups that have some
// decide there instead: our reading, since the union alone could forbid nothing in one
// topic.
func (g *group) granted(userID string, right uint64, topicID string, topicRight uint64) bool {
	if !g.enablePermission {
		return false
	}
	rights, inTopic, own := g.defaultPermission, uint64(0), false
	for _, p := range g.permissions {
		if !slices.Contains(p.members, userID) {
			continue
		}
		rights |= p.permission
		if bits, is := p.topics[topicID]; is {
			inTopic, own = inTopic|bits, true
		}
	}
	if own {
		return inTopic&topicRight != 0
	}
	return rights&right != 0
}

// permits reports whether a member may do what everybody may where there are no
// permission groups.
func (g *group) permits(userID string, right uint64, topicID string, topicRight uint64) bool {
	return !g.enablePermission || userID == g.owner || g.granted(userID, right, topicID, topicRight)
}

// permissionGroup is a set of members with rights in a community and its topics.
type permissionGroup struct {
	id, name, custom string
	permission       uint64
	members          []string
	topics           map[string]uint64
}

type permissionFields struct {
	GroupId, PermissionGroupId        string //nolint:revive // IM's spelling
	PermissionGroupName, CustomString *string
	Permission                        *uint64
}

func (in permissionFields) apply(p *permissionGroup) {
	if in.PermissionGroupName != nil {
		p.name = *in.PermissionGroupName
	}
	if in.CustomString != nil {
		p.custom = *in.CustomString
	}
	if in.Permission != nil {
		p.permission = *in.Permission
	}
}

func createPermissionGroup(a *App, in permissionFields) (object, error) {
	if in.PermissionGroupName == nil || *in.PermissionGroupName == "" || len(*in.PermissionGroupName) > maxPermissionGroupName {
		return nil, fail(10004, "PermissionGroupName has 1 to 150 bytes")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.community(in.GroupId)
	if err != nil {
		return nil, err
	}
	switch {
	case in.PermissionGroupId == "":
		in.PermissionGroupId = permissionGroupPrefix + a.newID()
	case !strings.HasPrefix(in.PermissionGroupId, permissionGroupPrefix):
		return nil, fail(10004, "PermissionGroupId must start with "+permissionGroupPrefix)
	case g.permissions[in.PermissionGroupId] != nil:
		return nil, fail(110009, "the PermissionGroupId is taken")
	}
	p := &permissionGroup{id: in.PermissionGroupId, topics: make(map[string]uint64)}
	in.apply(p)
	g.permissions[p.id] = p
	return ok.with("PermissionGroupId", p.id), nil
}

// permissionGroup returns one of a community's. The caller holds the lock.
func (a *App) permissionGroup(groupID, id string) (*group, *permissionGroup, error) {
	g, err := a.community(groupID)
	switch {
	case err != nil:
		return nil, nil, err
	case g.permissions[id] == nil:
		return nil, nil, fail(110010, "no such permission group")
	}
	return g, g.permissions[id], nil
}

func modifyPermissionGroup(a *App, in permissionFields) (object, error) {
	if in.PermissionGroupName != nil && len(*in.PermissionGroupName) > maxPermissionGroupName {
		return nil, fail(10004, "PermissionGroupName is over 150 bytes")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, p, err := a.permissionGroup(in.GroupId, in.PermissionGroupId)
	if err != nil {
		return nil, err
	}
	in.apply(p)
	return ok, nil
}

type permissionIDs struct {
	GroupId               string   //nolint:revive // IM's spelling
	PermissionGroupIdList []string //nolint:revive // IM's spelling
}

func destroyPermissionGroup(a *App, in permissionIDs) (object, error) {
	if n := len(in.PermissionGroupIdList); n == 0 || n > maxPermissionGroupsGone {
		return nil, fail(10004, "1 to 20 permission groups")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.community(in.GroupId)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, id := range in.PermissionGroupIdList {
		item := object{"PermissionGroupId", id, "ErrorCode", 110010, "ErrorInfo", "no such permission group"}
		if g.permissions[id] != nil {
			delete(g.permissions, id)
			item = object{"PermissionGroupId", id, "ErrorCode", 0, "ErrorInfo", ""}
		}
		list = append(list, item)
	}
	return ok.with("PermissionGroupResultList", list), nil
}

func getPermissionGroup(a *App, in permissionIDs) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.community(in.GroupId)
	if err != nil {
		return nil, err
	}
	if len(in.PermissionGroupIdList) == 0 {
		in.PermissionGroupIdList = sortedKeys(g.permissions)
	}
	list := []object{}
	for _, id := range in.PermissionGroupIdList {
		p := g.permissions[id]
		if p == nil {
			list = append(list, object{"PermissionGroupId", id, "ErrorCode", 110010})
			continue
		}
		topics := []object{}
		for _, t := range sortedKeys(p.topics) {
			topics = append(topics, object{"TopicId", t, "Permission", p.topics[t]})
		}
		list = append(list, object{
			"PermissionGroupId", id, "ErrorCode", 0, "PermissionGroupName", p.name, "Permission", p.permission,
			"CustomString", p.custom, "MemberNum", len(p.members), "TopicPermissionList", topics,
		})
	}
	return ok.with("PermissionGroupInfoList", list), nil
}

type topicPermissions struct {
	GroupId, PermissionGroupId string //nolint:revive // IM's spelling
	TopicPermissionList        []struct {
		TopicId    string //nolint:revive // IM's spelling
		Permission *uint64
	}
	TopicIdList []string //nolint:revive // IM's spelling
}

// setTopicPermissions adds or replaces what a permission group may in topics.
func setTopicPermissions(a *App, in topicPermissions) (object, error) {
	if len(in.TopicPermissionList) == 0 {
		return nil, fail(10004, "TopicPermissionList is missing")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, p, err := a.permissionGroup(in.GroupId, in.PermissionGroupId)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, item := range in.TopicPermissionList {
		code, info := 0, ""
		switch {
		case g.topics[item.TopicId] == nil:
			code, info = 110003, "no such topic"
		case item.Permission == nil:
			code, info = 10004, "Permission is missing"
		default:
			p.topics[item.TopicId] = *item.Permission
		}
		list = append(list, object{"TopicId", item.TopicId, "ErrorCode", code, "ErrorInfo", info})
	}
	return ok.with("TopicPermissionResultList", list), nil
}

func deleteTopicPermissions(a *App, in topicPermissions) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, p, err := a.permissionGroup(in.GroupId, in.PermissionGroupId)
	if err != nil {
		return nil, err
	}
	for _, id := range in.TopicIdList {
		delete(p.topics, id)
	}
	return ok, nil
}

type permissionMembers struct {
	GroupId, PermissionGroupId string //nolint:revive // IM's spelling
	MemberList                 []struct {
		Member_Account string //nolint:revive // IM's spelling
	}
}

// changePermissionMembers makes a command that lets members into a permission
// group, or out of it.
func changePermissionMembers(in bool) func(*App, permissionMembers) (object, error) {
	return func(a *App, req permissionMembers) (object, error) {
		if err := checkMany(len(req.MemberList), maxPermissionMembers); err != nil {
			return nil, err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		g, p, err := a.permissionGroup(req.GroupId, req.PermissionGroupId)
		if err != nil {
			return nil, err
		}
		list := []object{}
		for _, m := range req.MemberList {
			code := 0
			switch has := slices.Contains(p.members, m.Member_Account); {
			case g.members[m.Member_Account] == nil:
				code = 10004
			case in && has:
				code = 10013
			case in:
				p.members = append(p.members, m.Member_Account)
			case has:
				p.members = slices.DeleteFunc(p.members, func(x string) bool { return x == m.Member_Account })
			}
			list = append(list, object{"Member_Account", m.Member_Account, "Result", code})
		}
		return ok.with("MemberList", list), nil
	}
}

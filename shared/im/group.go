package im

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Groups (269/1615, 269/1616, 269/1614, 1047/34962, 1047/34966,
// 269/1625, 1047/34896).

const (
	groupsPerCall      = 50
	membersPerCreation = 100
	maxGroupFields     = 10    // of one's own
	groupListPage      = 10000 // ids in a page of all groups
	joinedPage         = 500   // our decision
)

var (
	createGroup         = method{path: "group_open_http_svc/create_group", repeat: harmless}
	getGroupInfo        = method{path: "group_open_http_svc/get_group_info", repeat: harmless}
	getJoinedGroupList  = method{path: "group_open_http_svc/get_joined_group_list", repeat: harmless}
	getAppidGroupList   = method{path: "group_open_http_svc/get_appid_group_list", repeat: harmless}
	modifyGroupBaseInfo = method{path: "group_open_http_svc/modify_group_base_info", repeat: harmless}
	changeGroupOwner    = method{path: "group_open_http_svc/change_group_owner", repeat: harmless}
	destroyGroup        = method{path: "group_open_http_svc/destroy_group", repeat: harmless}
)

// JoinOption is how a group treats those who want to join or are invited.
type JoinOption string

// The options: FreeAccess and NeedPermission for both, the others for one.
const (
	FreeAccess     JoinOption = "FreeAccess"
	NeedPermission JoinOption = "NeedPermission"
	DisableApply   JoinOption = "DisableApply"
	DisableInvite  JoinOption = "DisableInvite"
)

// The roles in a group.
const (
	RoleOwner  = "Owner"
	RoleAdmin  = "Admin"
	RoleMember = "Member"
	RoleNone   = "NotMember"
)

// keyValue is a field of one's own, of a group or a member.
type keyValue struct{ Key, Value string }

// keyValues writes fields in the order of their keys.
func keyValues(data map[string]string) []keyValue {
	list := make([]keyValue, 0, len(data))
	for _, key := range slices.Sorted(maps.Keys(data)) {
		list = append(list, keyValue{key, data[key]})
	}
	return list
}

func valuesOf(list []keyValue) map[string]string {
	data := make(map[string]string, len(list))
	for _, item := range list {
		data[item.Key] = item.Value
	}
	return data
}

// NewGroup is a group to make. Type and Name are required.
type NewGroup struct {
	Type GroupType
	// GroupID of your own makes the call safe to repeat: at most 48 bytes of
	// printable ASCII, starting with @TGS#_ for a Community and not with @TGS#
	// for the others. "" lets IM choose; then a lost answer is not repeated.
	GroupID        string
	Name           string // at most 30 bytes
	Introduction   string // at most 240 bytes
	Notification   string // at most 300 bytes
	FaceURL        string // at most 100 bytes
	Owner          string // becomes a member, except of an AVChatRoom
	MaxMemberCount int    // 0: what the edition allows
	ApplyJoin      JoinOption
	InviteJoin     JoinOption
	Data           map[string]string // fields made in the console, at most 10
	Members        []NewMember       // at most 100; not of an AVChatRoom
	SupportTopic   bool              // a Community with topics; for good
	// EnablePermission puts permission groups in the place of the Admin role, and
	// DefaultPermission is what members without one may do. With SupportTopic.
	EnablePermission  bool
	DefaultPermission Permission
}

// NewMember is a member of a group to make.
type NewMember struct {
	UserID string `json:"Member_Account"`
	Role   string `json:"Role,omitempty"` // RoleAdmin or nothing
}

const (
	reservedPrefix  = "@TGS#"
	communityPrefix = "@TGS#_"
)

// isCommunity: the ids of communities, and of no others, start so.
func isCommunity(groupID string) bool { return strings.HasPrefix(groupID, communityPrefix) }

func checkNewGroupID(id string, community bool) error {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return &FieldError{Field: "GroupId", Problem: "is not printable ASCII"}
		}
	}
	switch {
	case community && id != "" && !isCommunity(id):
		return &FieldError{Field: "GroupId", Problem: "of a Community must start with " + communityPrefix}
	case !community && strings.HasPrefix(id, reservedPrefix):
		return &FieldError{Field: "GroupId", Problem: "must not start with " + reservedPrefix}
	}
	return atMost("GroupId", id, MaxGroupID)
}

func checkGroupTexts(name, introduction, notification, faceURL string) error {
	return cmp.Or(
		atMost("Name", name, MaxGroupName), atMost("Introduction", introduction, MaxIntroduction),
		atMost("Notification", notification, MaxNotification), atMost("FaceUrl", faceURL, MaxFaceURL),
	)
}

func (g NewGroup) check() error {
	return cmp.Or(
		needed("Type", string(g.Type), len(g.Type)), needed("Name", g.Name, MaxGroupName),
		checkNewGroupID(g.GroupID, g.Type == Community),
		checkGroupTexts(g.Name, g.Introduction, g.Notification, g.FaceURL),
		atMost("Owner_Account", g.Owner, MaxUserID), fewer("MemberList", g.Members, membersPerCreation),
		fewer("AppDefinedData", keyValues(g.Data), maxGroupFields),
	)
}

// Created is a group that exists now.
type Created struct {
	GroupID string
	// Existed: the group was there already, made by an earlier call with this
	// GroupID and Owner (10025). Nothing of it was changed.
	Existed bool
}

// CreateGroup makes a group. Owner and members must be imported
// (CodeMemberUnknown). CodeGroupIDTaken: the GroupID belongs to somebody else's
// group, or the earlier one had no owner; CodeGroupQuota; CodeNotAllowed: the
// type does not take what was asked (269/1615).
func (c *Client) CreateGroup(ctx context.Context, g NewGroup) (Created, error) {
	if err := g.check(); err != nil {
		return Created{}, err
	}
	in := struct {
		Type              GroupType
		GroupID           string      `json:"GroupId,omitempty"`
		Name              string      `json:"Name"`
		Introduction      string      `json:"Introduction,omitempty"`
		Notification      string      `json:"Notification,omitempty"`
		FaceURL           string      `json:"FaceUrl,omitempty"`
		Owner             string      `json:"Owner_Account,omitempty"`
		MaxMemberCount    int         `json:"MaxMemberCount,omitempty"`
		ApplyJoinOption   JoinOption  `json:"ApplyJoinOption,omitempty"`
		InviteJoinOption  JoinOption  `json:"InviteJoinOption,omitempty"`
		AppDefinedData    []keyValue  `json:"AppDefinedData,omitempty"`
		MemberList        []NewMember `json:"MemberList,omitempty"`
		SupportTopic      int         `json:"SupportTopic,omitempty"`
		EnablePermission  int         `json:"EnablePermission,omitempty"`
		DefaultPermission Permission  `json:"DefaultPermission,omitempty"`
	}{
		g.Type.Normal(), g.GroupID, g.Name, g.Introduction, g.Notification, g.FaceURL, g.Owner, g.MaxMemberCount, g.ApplyJoin, g.InviteJoin,
		keyValues(g.Data), g.Members, flag(g.SupportTopic), flag(g.EnablePermission), g.DefaultPermission,
	}
	m := createGroup
	if g.GroupID == "" {
		m.repeat = never
	}
	var out struct {
		envelope
		GroupID string `json:"GroupId"`
	}
	err := c.call(ctx, m, in, &out)
	if g.GroupID != "" && errors.Is(err, CodeGroupIDYours) {
		return Created{GroupID: g.GroupID, Existed: true}, nil
	}
	return Created{GroupID: out.GroupID}, err
}

// GroupInfo describes a group.
type GroupInfo struct {
	GroupID      string
	Code         Code // not 0: IM cannot tell about this one, and why
	Info         string
	Type         GroupType
	Name         string
	Introduction string
	Notification string
	FaceURL      string
	Owner        string
	CreateTime   int64 // Unix seconds
	LastMsgTime  int64 // Unix seconds
	NextMsgSeq   uint32
	MemberNum    int
	MaxMemberNum int
	ApplyJoin    JoinOption
	InviteJoin   JoinOption
	MuteAll      bool
	SupportTopic bool
	Data         map[string]string // of the keys asked for
}

// groupInfoFields are the fields asked for. The list of members is not among
// them: with it, answers grow beyond what IM gives (10018).
var groupInfoFields = []string{
	"Type", "Name", "Introduction", "Notification", "FaceUrl", "Owner_Account", "CreateTime", "LastMsgTime", "NextMsgSeq",
	"MemberNum", "MaxMemberNum", "ApplyJoinOption", "InviteJoinOption", "MuteAllMember", "SupportTopic",
}

// groupInfoWire is how IM writes one. MuteAllMember was called ShutUpAllMember.
type groupInfoWire struct {
	GroupID          string `json:"GroupId"`
	ErrorCode        Code
	ErrorInfo        string
	Type             GroupType
	Name             string
	Introduction     string
	Notification     string
	FaceURL          string `json:"FaceUrl"`
	Owner            string `json:"Owner_Account"`
	CreateTime       int64
	LastMsgTime      int64
	NextMsgSeq       uint32
	MemberNum        int
	MaxMemberNum     int
	ApplyJoinOption  JoinOption
	InviteJoinOption JoinOption
	MuteAllMember    string
	ShutUpAllMember  string
	SupportTopic     int
	AppDefinedData   []keyValue
}

const on = "On"

func onOff(b bool) string {
	if b {
		return on
	}
	return "Off"
}

func (w groupInfoWire) info() GroupInfo {
	return GroupInfo{
		GroupID: w.GroupID, Code: w.ErrorCode, Info: w.ErrorInfo, Type: w.Type.Normal(), Name: w.Name, Introduction: w.Introduction,
		Notification: w.Notification, FaceURL: w.FaceURL, Owner: w.Owner, CreateTime: w.CreateTime, LastMsgTime: w.LastMsgTime,
		NextMsgSeq: w.NextMsgSeq, MemberNum: w.MemberNum, MaxMemberNum: w.MaxMemberNum, ApplyJoin: w.ApplyJoinOption,
		InviteJoin: w.InviteJoinOption, MuteAll: w.MuteAllMember == on || w.ShutUpAllMember == on, SupportTopic: w.SupportTopic == 1,
		Data: valuesOf(w.AppDefinedData),
	}
}

// GroupInfos describes groups, asking for 50 in a call, with those of their own
// fields that are named. A group that does not exist has Code CodeGroupGone. With
// an error, the results are those of the first groups (269/1616).
func (c *Client) GroupInfos(ctx context.Context, groupIDs []string, dataKeys ...string) ([]GroupInfo, error) {
	type filter struct {
		Base []string `json:"GroupBaseInfoFilter"`
		Data []string `json:"AppDefinedDataFilter_Group,omitempty"`
	}
	return inChunks(groupIDs, groupsPerCall, func(ids []string) ([]GroupInfo, error) {
		in := struct {
			IDs            []string `json:"GroupIdList"`
			ResponseFilter filter
		}{ids, filter{groupInfoFields, dataKeys}}
		var out struct {
			envelope
			GroupInfo []groupInfoWire
		}
		err := c.call(ctx, getGroupInfo, in, &out)
		infos := make([]GroupInfo, len(out.GroupInfo))
		for i, w := range out.GroupInfo {
			infos[i] = w.info()
		}
		return infos, err
	})
}

// MadeAnew reports whether a group was made after a time, so that its GroupID named
// another group then. IM gives the time of creation in whole seconds: for a time
// within that second the answer is false. The answer is also false for a group that
// does not exist, since IM refuses calls for such a group.
func (c *Client) MadeAnew(ctx context.Context, groupID string, since time.Time) (bool, error) {
	infos, err := c.GroupInfos(ctx, []string{groupID})
	if err != nil || len(infos) == 0 || infos[0].Code == CodeGroupGone {
		return false, err
	}
	if infos[0].Code != 0 {
		return false, infos[0].Code
	}
	return infos[0].CreateTime > since.Unix(), nil
}

// groupItem names a group in a list.
type groupItem struct {
	GroupID string `json:"GroupId"`
}

func groupIDsOf(items []groupItem) []string {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = item.GroupID
	}
	return ids
}

// JoinedGroups returns a page of the groups that a user is in, from an offset of
// 0 on, and the offset of the next page; 0 means no further page. AVChatRooms are not
// among them (269/1625).
func (c *Client) JoinedGroups(ctx context.Context, userID string, offset int) (groupIDs []string, next int, err error) {
	if err := neededUser("Member_Account", userID); err != nil {
		return nil, 0, err
	}
	in := struct {
		UserID string `json:"Member_Account"`
		Limit  int
		Offset int
	}{userID, joinedPage, offset}
	var out struct {
		envelope
		TotalCount  int
		GroupIDList []groupItem `json:"GroupIdList"`
	}
	if err := c.call(ctx, getJoinedGroupList, in, &out); err != nil {
		return nil, 0, err
	}
	if end := offset + len(out.GroupIDList); end < out.TotalCount && len(out.GroupIDList) > 0 {
		next = end
	}
	return groupIDsOf(out.GroupIDList), next, nil
}

// AppGroups returns a page of all groups of the app, of one type or all (""),
// from a cursor of 0 on, and the next page's cursor; 0 means no further page (269/1614).
func (c *Client) AppGroups(ctx context.Context, kind GroupType, cursor uint64) (groupIDs []string, next uint64, err error) {
	in := struct {
		Limit     int
		Next      uint64
		GroupType GroupType `json:",omitempty"`
	}{groupListPage, cursor, kind}
	var out struct {
		envelope
		GroupIDList []groupItem `json:"GroupIdList"`
		Next        uint64
	}
	if err := c.call(ctx, getAppidGroupList, in, &out); err != nil {
		return nil, 0, err
	}
	return groupIDsOf(out.GroupIDList), out.Next, nil
}

// GroupChange is a change of a group; fields that are nil or "" do not change.
type GroupChange struct {
	Name         *string // at most 30 bytes
	Introduction *string // at most 240 bytes
	Notification *string // at most 300 bytes
	FaceURL      *string // at most 100 bytes
	MaxMemberNum *int
	ApplyJoin    JoinOption
	InviteJoin   JoinOption
	MuteAll      *bool // true: only owner and admins may send; not in a Work group
	// HistoryBeforeJoin: members read the messages from before they joined; in Work,
	// Public and Meeting groups.
	HistoryBeforeJoin *bool
	Data              map[string]string // a value of "" deletes the field
	Operator          string            // UserID that IM shows as the one who changed the group
}

// ModifyGroup changes a group's profile (1047/34962).
func (c *Client) ModifyGroup(ctx context.Context, groupID string, g GroupChange) error {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	if err := cmp.Or(
		neededGroup(groupID), checkGroupTexts(text(g.Name), text(g.Introduction), text(g.Notification), text(g.FaceURL)),
		atMost("From_Account", g.Operator, MaxUserID), fewer("AppDefinedData", keyValues(g.Data), maxGroupFields),
	); err != nil {
		return err
	}
	in := struct {
		GroupID          string     `json:"GroupId"`
		Operator         string     `json:"From_Account,omitempty"`
		Name             *string    `json:"Name,omitempty"`
		Introduction     *string    `json:"Introduction,omitempty"`
		Notification     *string    `json:"Notification,omitempty"`
		FaceURL          *string    `json:"FaceUrl,omitempty"`
		MaxMemberNum     *int       `json:"MaxMemberNum,omitempty"` // MaxMemberCount at creation
		ApplyJoinOption  JoinOption `json:"ApplyJoinOption,omitempty"`
		InviteJoinOption JoinOption `json:"InviteJoinOption,omitempty"`
		MuteAllMember    string     `json:"MuteAllMember,omitempty"`
		HistoryMsg       string     `json:"HistoryMsgBeforeJoin,omitempty"`
		AppDefinedData   []keyValue `json:"AppDefinedData,omitempty"`
	}{
		GroupID: groupID, Operator: g.Operator, Name: g.Name, Introduction: g.Introduction, Notification: g.Notification,
		FaceURL: g.FaceURL, MaxMemberNum: g.MaxMemberNum, ApplyJoinOption: g.ApplyJoin, InviteJoinOption: g.InviteJoin,
		AppDefinedData: keyValues(g.Data),
	}
	if g.MuteAll != nil {
		in.MuteAllMember = onOff(*g.MuteAll)
	}
	if g.HistoryBeforeJoin != nil {
		in.HistoryMsg = onOff(*g.HistoryBeforeJoin)
	}
	return c.call(ctx, modifyGroupBaseInfo, in, nil)
}

// ChangeGroupOwner gives a group to one of its members (1047/34966).
func (c *Client) ChangeGroupOwner(ctx context.Context, groupID, userID string) error {
	if err := cmp.Or(neededGroup(groupID), neededUser("NewOwner_Account", userID)); err != nil {
		return err
	}
	return c.call(ctx, changeGroupOwner, struct {
		GroupID string `json:"GroupId"`
		Owner   string `json:"NewOwner_Account"`
	}{groupID, userID}, nil)
}

// DestroyGroup destroys a group. Destroying a group that does not exist is a no-op
// (1047/34896).
func (c *Client) DestroyGroup(ctx context.Context, groupID string) error {
	if err := neededGroup(groupID); err != nil {
		return err
	}
	err := c.call(ctx, destroyGroup, groupItem{groupID}, nil)
	if errors.Is(err, CodeGroupGone) || errors.Is(err, CodeBadGroupID) {
		return nil
	}
	return err
}

package im

import (
	"cmp"
	"context"
	"strings"
)

// Permission groups of communities (1047/61232 to 1047/61241). They need a
// community made with EnablePermission; what a member may do is the community's
// DefaultPermission and what all the member's groups may.

const (
	maxPermissionGroupName   = 150 // bytes
	permissionGroupPrefix    = "@PMG#_"
	permissionGroupsPerCall  = 20
	topicRightsPerCall       = 50
	permissionMembersPerCall = 100
)

var (
	createPermissionGroup       = method{path: "group_open_http_svc/create_permission_group", repeat: harmless}
	modifyPermissionGroup       = method{path: "group_open_http_svc/modify_permission_group", repeat: harmless}
	destroyPermissionGroup      = method{path: "group_open_http_svc/destroy_permission_group", repeat: harmless}
	getPermissionGroup          = method{path: "group_open_http_svc/get_permission_group", repeat: harmless}
	addTopicPermissionGroup     = method{path: "group_open_http_svc/add_topic_permission_group", repeat: harmless}
	setTopicPermissionGroup     = method{path: "group_open_http_svc/set_topic_permission_group", repeat: harmless}
	deleteTopicPermissionGroup  = method{path: "group_open_http_svc/delete_topic_permission_group", repeat: harmless}
	addPermissionGroupMember    = method{path: "group_open_http_svc/add_permission_group_member", repeat: harmless}
	deletePermissionGroupMember = method{path: "group_open_http_svc/delete_permission_group_member", repeat: harmless}
)

// Permission is a set of rights in a community.
type Permission uint64

// The rights in a community.
const (
	MayEditGroup Permission = 1 << iota
	MayManageMembers
	MayEditPermissionGroups
	MayFillPermissionGroups // let members into them, and out
	MayManageTopics
	MayMute
	MaySend
	MayMentionAll
	MaySeeHistory
	MayRecallOthers
	MayBan
)

// TopicPermission is a set of rights in one topic.
type TopicPermission uint64

// The rights in a topic.
const (
	MayManageTopic TopicPermission = 1 << iota
	MayManageTopicPermissions
	MayMuteInTopic
	MaySendToTopic
	MaySeeTopicHistory
	MayRecallInTopic
	MayMentionAllInTopic
)

// PermissionGroup is a set of members of a community with rights of their own.
type PermissionGroup struct {
	GroupID string
	// ID of your own starts with @PMG#_ and makes the creation safe to repeat.
	ID           string
	Name         string // at most 150 bytes
	Permission   Permission
	CustomString string
}

// permissionGroupWire is how IM reads it.
type permissionGroupWire struct {
	GroupID      string      `json:"GroupId"`
	ID           string      `json:"PermissionGroupId,omitempty"`
	Name         string      `json:"PermissionGroupName,omitempty"`
	Permission   *Permission `json:"Permission,omitempty"`
	CustomString *string     `json:"CustomString,omitempty"`
}

// CreatePermissionGroup makes a permission group and returns its id. 110009: the
// ID is taken, so an earlier call of yours worked (1047/61232).
func (c *Client) CreatePermissionGroup(ctx context.Context, p PermissionGroup) (id string, err error) {
	if p.ID != "" && !strings.HasPrefix(p.ID, permissionGroupPrefix) {
		return "", &FieldError{Field: "PermissionGroupId", Problem: "must start with " + permissionGroupPrefix}
	}
	if err := cmp.Or(neededGroup(p.GroupID), needed("PermissionGroupName", p.Name, maxPermissionGroupName)); err != nil {
		return "", err
	}
	w := permissionGroupWire{GroupID: p.GroupID, ID: p.ID, Name: p.Name, Permission: &p.Permission}
	if p.CustomString != "" {
		w.CustomString = &p.CustomString
	}
	m := createPermissionGroup
	if p.ID == "" {
		m.repeat = never
	}
	var out struct {
		envelope
		ID string `json:"PermissionGroupId"`
	}
	err = c.call(ctx, m, w, &out)
	return out.ID, err
}

// PermissionGroupChange is a change of a permission group; fields that are nil or ""
// do not change.
type PermissionGroupChange struct {
	Name         string // at most 150 bytes
	Permission   *Permission
	CustomString *string
}

// permissionGroupID refuses a missing one.
func permissionGroupID(id string) error { return needed("PermissionGroupId", id, len(id)) }

// ModifyPermissionGroup changes a permission group (1047/61233).
func (c *Client) ModifyPermissionGroup(ctx context.Context, groupID, id string, p PermissionGroupChange) error {
	if err := cmp.Or(neededGroup(groupID), permissionGroupID(id), atMost("PermissionGroupName", p.Name, maxPermissionGroupName)); err != nil {
		return err
	}
	return c.call(ctx, modifyPermissionGroup, permissionGroupWire{groupID, id, p.Name, p.Permission, p.CustomString}, nil)
}

// permissionGroupIDs names permission groups of a community.
type permissionGroupIDs struct {
	GroupID string   `json:"GroupId"`
	IDs     []string `json:"PermissionGroupIdList,omitempty"`
}

// DestroyPermissionGroups ends permission groups, 20 in a call. With an error, the
// results are those of the first ones (1047/61234).
func (c *Client) DestroyPermissionGroups(ctx context.Context, groupID string, ids ...string) ([]ItemResult, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	return inChunks(ids, permissionGroupsPerCall, func(ids []string) ([]ItemResult, error) {
		var out struct {
			envelope
			PermissionGroupResultList []struct {
				ID        string `json:"PermissionGroupId"`
				ErrorCode Code
				ErrorInfo string
			}
		}
		err := c.call(ctx, destroyPermissionGroup, permissionGroupIDs{groupID, ids}, &out)
		results := make([]ItemResult, len(out.PermissionGroupResultList))
		for i, item := range out.PermissionGroupResultList {
			results[i] = ItemResult{item.ID, item.ErrorCode, item.ErrorInfo}
		}
		return results, err
	})
}

// PermissionGroupInfo describes a permission group.
type PermissionGroupInfo struct {
	ID           string     `json:"PermissionGroupId"`
	Code         Code       `json:"ErrorCode"` // not 0: IM cannot tell about this one
	Name         string     `json:"PermissionGroupName"`
	Permission   Permission `json:"Permission"`
	CustomString string     `json:"CustomString"`
	MemberNum    int        `json:"MemberNum"`
}

// PermissionGroups describes permission groups of a community, asking for 20 in a
// call. With an error, the results are those of the first ones (1047/61235).
func (c *Client) PermissionGroups(ctx context.Context, groupID string, ids ...string) ([]PermissionGroupInfo, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	return inChunks(ids, permissionGroupsPerCall, func(ids []string) ([]PermissionGroupInfo, error) {
		var out struct {
			envelope
			PermissionGroupInfoList []PermissionGroupInfo
		}
		err := c.call(ctx, getPermissionGroup, permissionGroupIDs{groupID, ids}, &out)
		return out.PermissionGroupInfoList, err
	})
}

// TopicRights are the rights of a permission group in a topic.
type TopicRights struct {
	TopicID    string          `json:"TopicId"`
	Permission TopicPermission `json:"Permission"`
}

func (c *Client) writeTopicRights(ctx context.Context, m method, groupID, id string, rights []TopicRights) ([]ItemResult, error) {
	if err := cmp.Or(neededGroup(groupID), permissionGroupID(id)); err != nil {
		return nil, err
	}
	return inChunks(rights, topicRightsPerCall, func(rights []TopicRights) ([]ItemResult, error) {
		in := struct {
			GroupID string        `json:"GroupId"`
			ID      string        `json:"PermissionGroupId"`
			Rights  []TopicRights `json:"TopicPermissionList"`
		}{groupID, id, rights}
		var out struct {
			envelope
			TopicPermissionResultList []topicResult
		}
		err := c.call(ctx, m, in, &out)
		return topicResults(out.TopicPermissionResultList), err
	})
}

// AddTopicRights gives a permission group rights in topics where it has none yet,
// 50 in a call. With an error, the results are those of the first topics
// (1047/61236).
func (c *Client) AddTopicRights(ctx context.Context, groupID, id string, rights ...TopicRights) ([]ItemResult, error) {
	return c.writeTopicRights(ctx, addTopicPermissionGroup, groupID, id, rights)
}

// SetTopicRights changes a permission group's rights in topics, 50 in a call. With
// an error, the results are those of the first topics (1047/61237).
func (c *Client) SetTopicRights(ctx context.Context, groupID, id string, rights ...TopicRights) ([]ItemResult, error) {
	return c.writeTopicRights(ctx, setTopicPermissionGroup, groupID, id, rights)
}

// DeleteTopicRights takes a permission group's rights in topics away, 50 in a
// call. With an error, done says in how many of the first topics (1047/61238).
func (c *Client) DeleteTopicRights(ctx context.Context, groupID, id string, topicIDs ...string) (done int, err error) {
	if err := cmp.Or(neededGroup(groupID), permissionGroupID(id)); err != nil {
		return 0, err
	}
	return upTo(topicIDs, topicRightsPerCall, func(topicIDs []string) error {
		return c.call(ctx, deleteTopicPermissionGroup, struct {
			GroupID  string   `json:"GroupId"`
			ID       string   `json:"PermissionGroupId"`
			TopicIDs []string `json:"TopicIdList"`
		}{groupID, id, topicIDs}, nil)
	})
}

func (c *Client) changePermissionMembers(ctx context.Context, m method, groupID, id string, users []string) ([]ItemResult, error) {
	if err := cmp.Or(neededGroup(groupID), permissionGroupID(id)); err != nil {
		return nil, err
	}
	return inChunks(users, permissionMembersPerCall, func(users []string) ([]ItemResult, error) {
		in := struct {
			GroupID    string       `json:"GroupId"`
			ID         string       `json:"PermissionGroupId"`
			MemberList []memberItem `json:"MemberList"`
		}{groupID, id, memberItems(users)}
		var out struct {
			envelope
			MemberList []struct {
				UserID string `json:"Member_Account"`
				Result Code
			}
		}
		err := c.call(ctx, m, in, &out)
		results := make([]ItemResult, len(out.MemberList))
		for i, item := range out.MemberList {
			results[i] = ItemResult{ID: item.UserID, Code: item.Result}
		}
		return results, err
	})
}

// AddPermissionGroupMembers lets members of the community into a permission group,
// 100 in a call; CodeAlreadyMember is fine. With an error, the results are those
// of the first users (1047/61240).
func (c *Client) AddPermissionGroupMembers(ctx context.Context, groupID, id string, users ...string) ([]ItemResult, error) {
	return c.changePermissionMembers(ctx, addPermissionGroupMember, groupID, id, users)
}

// DeletePermissionGroupMembers takes members out of a permission group, 100 in a
// call. With an error, the results are those of the first users (1047/61241).
func (c *Client) DeletePermissionGroupMembers(ctx context.Context, groupID, id string, users ...string) ([]ItemResult, error) {
	return c.changePermissionMembers(ctx, deletePermissionGroupMember, groupID, id, users)
}

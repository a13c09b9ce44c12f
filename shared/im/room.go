package im

import (
	"cmp"
	"context"
)

// AVChatRooms (269/49180, 269/77266, 1047/60523 to 1047/60525).

const (
	adminsPerRoom = 5
	checkedPerRun = 100 // our decision
)

var (
	getOnlineMemberNum = method{path: "group_open_http_svc/get_online_member_num", repeat: harmless}
	getRoomMembers     = method{path: "group_open_avchatroom_http_svc/get_members", repeat: harmless}
	checkRoomMembers   = method{path: "group_open_avchatroom_http_svc/check_members", repeat: harmless}
	modifyRoomAdmin    = method{path: "group_open_avchatroom_http_svc/modify_admin", repeat: harmless}
	getRoomAdminList   = method{path: "group_open_avchatroom_http_svc/get_admin_list", repeat: harmless}
)

// OnlineMemberNum returns how many members of a group are online. IM counts anew
// every 10 s. Groups other than AVChatRooms need an edition and a console switch
// (269/49180).
func (c *Client) OnlineMemberNum(ctx context.Context, groupID string) (int, error) {
	if err := neededGroup(groupID); err != nil {
		return 0, err
	}
	var out struct {
		envelope
		OnlineMemberNum int
	}
	err := c.call(ctx, getOnlineMemberNum, groupItem{groupID}, &out)
	return out.OnlineMemberNum, err
}

// RoomMember is a user in an AVChatRoom.
type RoomMember struct {
	UserID   string `json:"Member_Account"`
	JoinTime int64  `json:"JoinTime"` // Unix seconds
	Nick     string `json:"NickName"`
	FaceURL  string `json:"Avatar"`
}

// RoomMembers returns a page of the members of an AVChatRoom, from a cursor of 0 on,
// and the next page's cursor; 0 means no further page. IM knows the newest 1,000, in
// pages of 250, and is 10 to 40 s late. It needs an edition and a console switch:
// CodeNotAllowed (269/77266).
func (c *Client) RoomMembers(ctx context.Context, groupID string, cursor int64) (members []RoomMember, next int64, err error) {
	if err := neededGroup(groupID); err != nil {
		return nil, 0, err
	}
	in := struct {
		GroupID   string `json:"GroupId"`
		Timestamp int64
	}{groupID, cursor}
	var out struct {
		envelope
		MemberList    []RoomMember
		NextTimestamp int64
	}
	err = c.call(ctx, getRoomMembers, in, &out)
	return out.MemberList, out.NextTimestamp, err
}

// CheckRoomMembers returns those of the users who are in an AVChatRoom, also
// beyond the newest 1,000, asking for 100 in a call. With an error, they are those
// of the first users. It needs an edition and a console switch (1047/60523).
func (c *Client) CheckRoomMembers(ctx context.Context, groupID string, ids []string) ([]string, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	return inChunks(ids, checkedPerRun, func(ids []string) ([]string, error) {
		in := struct {
			GroupID string   `json:"GroupId"`
			IDs     []string `json:"Member_Account"`
		}{groupID, ids}
		var out struct {
			envelope
			IDs []string `json:"Member_Account"`
		}
		err := c.call(ctx, checkRoomMembers, in, &out)
		return out.IDs, err
	})
}

// SetRoomAdmins makes users admins of an AVChatRoom, at most 5 in all, whether
// they are in it or not. It needs an edition and a console switch (1047/60525).
func (c *Client) SetRoomAdmins(ctx context.Context, groupID string, ids ...string) error {
	return c.changeRoomAdmins(ctx, groupID, 1, ids)
}

// UnsetRoomAdmins takes the role of admin from users (1047/60525).
func (c *Client) UnsetRoomAdmins(ctx context.Context, groupID string, ids ...string) error {
	return c.changeRoomAdmins(ctx, groupID, 2, ids)
}

func (c *Client) changeRoomAdmins(ctx context.Context, groupID string, command int, ids []string) error {
	if err := cmp.Or(neededGroup(groupID), some("Admin_Account", ids), fewer("Admin_Account", ids, adminsPerRoom)); err != nil {
		return err
	}
	return c.call(ctx, modifyRoomAdmin, struct {
		GroupID     string   `json:"GroupId"`
		CommandType int      `json:"CommandType"`
		IDs         []string `json:"Admin_Account"`
	}{groupID, command, ids}, nil)
}

// RoomAdmins lists the admins of an AVChatRoom (1047/60524).
func (c *Client) RoomAdmins(ctx context.Context, groupID string) ([]string, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	var out struct {
		envelope
		AdminList []struct {
			UserID string `json:"Admin_Account"`
		} `json:"Admin_List"`
	}
	if err := c.call(ctx, getRoomAdminList, groupItem{groupID}, &out); err != nil {
		return nil, err
	}
	ids := make([]string, len(out.AdminList))
	for i, a := range out.AdminList {
		ids[i] = a.UserID
	}
	return ids, nil
}

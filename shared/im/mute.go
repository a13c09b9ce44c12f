package im

import (
	"cmp"
	"context"
	"time"
)

// Mutes and bans in groups (1047/34951, 1047/34964, 1047/50296, 1047/50297,
// 1047/50295).

const (
	mutedPerCall   = 500
	bannedPerCall  = 20
	bansPage       = 100
	maxDescription = 1000 // bytes
)

var (
	forbidSendMsg        = method{path: "group_open_http_svc/forbid_send_msg", repeat: harmless}
	getGroupMutedAccount = method{path: "group_open_http_svc/get_group_muted_account", repeat: harmless}
	banGroupMember       = method{path: "group_open_http_svc/ban_group_member", repeat: harmless}
	unbanGroupMember     = method{path: "group_open_http_svc/unban_group_member", repeat: harmless}
	getGroupBanMember    = method{path: "group_open_http_svc/get_group_ban_member", repeat: harmless}
)

// ForbidSendMsg mutes users in a group, or in one topic of a community, for d from
// now on, 500 users in a call; 0 unmutes, Forever has no end. IM notifies nobody.
// With an error, done says how many of the first users are muted. Not in a Work
// group. ModifyGroup mutes a whole group (1047/34951).
func (c *Client) ForbidSendMsg(ctx context.Context, groupID, topicID string, ids []string, d time.Duration) (done int, err error) {
	if err := neededGroup(groupID); err != nil {
		return 0, err
	}
	return upTo(ids, mutedPerCall, func(ids []string) error {
		return c.call(ctx, forbidSendMsg, struct {
			groupLine
			IDs      []string `json:"Members_Account"`
			MuteTime uint32
		}{groupLine{groupID, topicID}, ids, seconds(d)}, nil)
	})
}

// MutedMember is a user who may not send.
type MutedMember struct {
	UserID string
	Until  int64 // Unix seconds
}

// MutedMembers lists the users who may not send to a group, or to one topic of a
// community (1047/34964).
func (c *Client) MutedMembers(ctx context.Context, groupID, topicID string) ([]MutedMember, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	var out struct {
		envelope
		MutedAccountList []struct {
			UserID     string `json:"Member_Account"`
			MutedUntil int64
		}
		ShuttedUinList []struct { // its old name
			UserID       string `json:"Member_Account"`
			ShuttedUntil int64
		}
	}
	if err := c.call(ctx, getGroupMutedAccount, groupLine{groupID, topicID}, &out); err != nil {
		return nil, err
	}
	var muted []MutedMember
	for _, m := range out.MutedAccountList {
		muted = append(muted, MutedMember{m.UserID, m.MutedUntil})
	}
	for _, m := range out.ShuttedUinList {
		muted = append(muted, MutedMember{m.UserID, m.ShuttedUntil})
	}
	return muted, nil
}

// BanGroupMembers removes users from a group and keeps them from joining for d, 20
// users in a call, with a description of at most 1000 bytes. With an error, done
// says how many of the first users are banned. It needs an edition and a console
// switch, and works for AVChatRooms and ordinary groups: CodeNotAllowed where it
// does not (1047/50296).
func (c *Client) BanGroupMembers(ctx context.Context, groupID string, ids []string, d time.Duration, description string) (done int, err error) {
	if err := cmp.Or(neededGroup(groupID), atMost("Description", description, maxDescription)); err != nil {
		return 0, err
	}
	if d <= 0 {
		return 0, &FieldError{Field: "Duration", Problem: "is missing"}
	}
	return upTo(ids, bannedPerCall, func(ids []string) error {
		return c.call(ctx, banGroupMember, struct {
			GroupID     string   `json:"GroupId"`
			IDs         []string `json:"Members_Account"`
			Duration    uint32   `json:"Duration"`
			Description string   `json:"Description,omitempty"`
		}{groupID, ids, seconds(d), description}, nil)
	})
}

// UnbanGroupMembers ends bans, 20 in a call. With an error, done says how many of
// the first users are unbanned. Unbanning a user who is not banned is a no-op
// (1047/50297).
func (c *Client) UnbanGroupMembers(ctx context.Context, groupID string, ids []string) (done int, err error) {
	if err := neededGroup(groupID); err != nil {
		return 0, err
	}
	return upTo(ids, bannedPerCall, func(ids []string) error {
		return c.call(ctx, unbanGroupMember, struct {
			GroupID string   `json:"GroupId"`
			IDs     []string `json:"Members_Account"`
		}{groupID, ids}, nil)
	})
}

// BannedMember is a user who may not join.
type BannedMember struct {
	UserID string `json:"Member_Account"`
	Until  int64  `json:"BannedUntil"` // Unix seconds
}

// BannedMembers returns a page of the users who may not join a group, from an offset
// of 0 on, and the offset of the next page; 0 means no further page (1047/50295).
func (c *Client) BannedMembers(ctx context.Context, groupID string, offset int) (banned []BannedMember, next int, err error) {
	if err := neededGroup(groupID); err != nil {
		return nil, 0, err
	}
	in := struct {
		GroupID string `json:"GroupId"`
		Limit   int
		Offset  int
	}{groupID, bansPage, offset}
	var out struct {
		envelope
		BannedAccountList []BannedMember
		NextOffset        int
	}
	err = c.call(ctx, getGroupBanMember, in, &out)
	return out.BannedAccountList, out.NextOffset, err
}

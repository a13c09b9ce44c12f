package im

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Members of groups (269/1621, 269/1622, 269/1617, 269/1623, 269/1626,
// 269/112002).

const (
	addedPerCall   = 20 // older pages say 100 and 300 (269/1621)
	removedPerCall = 100
	membersPage    = 100
	askedPerCall   = 50
	rolesPerCall   = 500
)

var (
	addGroupMember              = method{path: "group_open_http_svc/add_group_member", repeat: harmless}
	deleteGroupMember           = method{path: "group_open_http_svc/delete_group_member", repeat: harmless}
	getGroupMemberInfo          = method{path: "group_open_http_svc/get_group_member_info", repeat: harmless}
	getSpecifiedGroupMemberInfo = method{path: "group_open_http_svc/get_specified_group_member_info", repeat: harmless}
	getRoleInGroup              = method{path: "group_open_http_svc/get_role_in_group", repeat: harmless}
	modifyGroupMemberInfo       = method{path: "group_open_http_svc/modify_group_member_info", repeat: harmless}
)

// AddResult is the result of adding one user.
type AddResult int

// The results of AddGroupMembers.
const (
	NotAdded      AddResult = 0
	Added         AddResult = 1
	AlreadyMember AddResult = 2
	AwaitsConsent AddResult = 3 // of the user
)

// MemberAdded is one user's result.
type MemberAdded struct {
	UserID string    `json:"Member_Account"`
	Result AddResult `json:"Result"`
}

// memberItem names a user in a list.
type memberItem struct {
	UserID string `json:"Member_Account"`
}

func memberItems(ids []string) []memberItem {
	items := make([]memberItem, len(ids))
	for i, id := range ids {
		items[i].UserID = id
	}
	return items
}

// AddGroupMembers adds users to a group, 20 in a call; with silence IM does not
// notify the group. Adding a member twice is a no-op (AlreadyMember). With an error,
// the results are those of the first users. Not for an AVChatRoom, which users join
// themselves: CodeNotAllowed (269/1621).
func (c *Client) AddGroupMembers(ctx context.Context, groupID string, ids []string, silence bool) ([]MemberAdded, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	return inChunks(ids, addedPerCall, func(ids []string) ([]MemberAdded, error) {
		in := struct {
			GroupID    string `json:"GroupId"`
			Silence    int    `json:"Silence,omitempty"`
			MemberList []memberItem
		}{groupID, flag(silence), memberItems(ids)}
		var out struct {
			envelope
			MemberList []MemberAdded
		}
		err := c.call(ctx, addGroupMember, in, &out)
		return out.MemberList, err
	})
}

// upTo calls f with size items at a time and returns how many items went through.
func upTo[T any](list []T, size int, f func([]T) error) (done int, err error) {
	for chunk := range slices.Chunk(list, size) {
		if err := f(chunk); err != nil {
			return done, err
		}
		done += len(chunk)
	}
	return done, nil
}

// DeleteGroupMembers removes users from a group, 100 in a call. Removing a user who
// is not a member succeeds. With an error, done says how many of the first users
// are removed.
// Not for an AVChatRoom; see BanGroupMembers (269/1622).
func (c *Client) DeleteGroupMembers(ctx context.Context, groupID string, ids []string, reason string, silence bool) (done int, err error) {
	if err := neededGroup(groupID); err != nil {
		return 0, err
	}
	return upTo(ids, removedPerCall, func(ids []string) error {
		return c.call(ctx, deleteGroupMember, struct {
			GroupID string   `json:"GroupId"`
			Silence int      `json:"Silence,omitempty"`
			Reason  string   `json:"Reason,omitempty"`
			IDs     []string `json:"MemberToDel_Account"`
		}{groupID, flag(silence), reason, ids}, nil)
	})
}

// Member is a member of a group.
type Member struct {
	UserID    string
	Role      string
	JoinTime  int64 // Unix seconds
	NameCard  string
	MsgFlag   string            // how the member wants messages: AcceptAndNotify, AcceptNotNotify or Discard
	MuteUntil int64             // Unix seconds; 0: not muted
	Data      map[string]string // fields made in the console
}

// memberWire is how IM writes one. MuteUntil was called ShutUpUntil.
type memberWire struct {
	UserID               string `json:"Member_Account"`
	Role                 string
	JoinTime             int64
	NameCard             string
	MsgFlag              string
	MuteUntil            int64
	ShutUpUntil          int64
	AppMemberDefinedData []keyValue
}

func membersOf(list []memberWire) []Member {
	members := make([]Member, len(list))
	for i, w := range list {
		members[i] = Member{
			w.UserID, w.Role, w.JoinTime, w.NameCard, w.MsgFlag, max(w.MuteUntil, w.ShutUpUntil), valuesOf(w.AppMemberDefinedData),
		}
	}
	return members
}

// cursor is a place that IM writes as a text or as a number.
type cursor string

// UnmarshalJSON reads both.
func (c *cursor) UnmarshalJSON(b []byte) error {
	var s string
	if bytes.HasPrefix(b, []byte(`"`)) {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	} else if s = string(b); s == "0" || s == "null" {
		s = ""
	}
	*c = cursor(s)
	return nil
}

// MembersQuery asks for a group's members.
type MembersQuery struct {
	GroupID string
	Roles   []string // nil: all
	Limit   int      // members a page, at most 200; 0 means 100

	offset int    // of all types but communities
	next   cursor // of communities
}

// Cursor names the page that a query asks for, for a process that goes on later;
// "" is the first. See [MembersQuery.From].
func (q MembersQuery) Cursor() string {
	switch {
	case q.next != "":
		return "next " + string(q.next)
	case q.offset > 0:
		return "offset " + strconv.Itoa(q.offset)
	}
	return ""
}

// From returns the query for the page that a Cursor names. A malformed cursor
// names the first page.
func (q MembersQuery) From(at string) MembersQuery {
	q.offset, q.next = 0, ""
	kind, place, _ := strings.Cut(at, " ")
	switch kind {
	case "next":
		q.next = cursor(place)
	case "offset":
		q.offset, _ = strconv.Atoi(place)
	}
	return q
}

// MembersPage is a page of members.
type MembersPage struct {
	Members []Member
	Total   int           // members of the group, whatever the query
	Next    *MembersQuery // of the next page; nil means no further page
}

// GroupMembers returns a page of a group's members. An AVChatRoom stores none:
// CodeNotAllowed (269/1617).
func (c *Client) GroupMembers(ctx context.Context, q MembersQuery) (MembersPage, error) {
	if err := neededGroup(q.GroupID); err != nil {
		return MembersPage{}, err
	}
	in := struct {
		GroupID          string   `json:"GroupId"`
		Limit            int      `json:"Limit"`
		Offset           int      `json:"Offset,omitempty"`
		Next             *cursor  `json:"Next,omitempty"`
		MemberRoleFilter []string `json:"MemberRoleFilter,omitempty"`
	}{q.GroupID, cmp.Or(q.Limit, membersPage), q.offset, nil, q.Roles}
	community := isCommunity(q.GroupID)
	if community {
		in.Next = &q.next
	}
	var out struct {
		envelope
		MemberNum  int
		MemberList []memberWire
		Next       cursor
	}
	if err := c.call(ctx, getGroupMemberInfo, in, &out); err != nil {
		return MembersPage{}, err
	}
	page := MembersPage{Members: membersOf(out.MemberList), Total: out.MemberNum}
	following := q
	switch {
	case community && out.Next != "":
		following.next = out.Next
		page.Next = &following
	case !community && len(page.Members) == in.Limit:
		following.offset += len(page.Members)
		page.Next = &following
	}
	return page, nil
}

// SpecifiedGroupMembers returns those of the users who are members, asking for 50
// in a call. With an error, they are those of the first users (269/112002).
func (c *Client) SpecifiedGroupMembers(ctx context.Context, groupID string, ids []string) ([]Member, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	return inChunks(ids, askedPerCall, func(ids []string) ([]Member, error) {
		in := struct {
			GroupID string   `json:"GroupId"`
			IDs     []string `json:"Member_List_Account"`
		}{groupID, ids}
		var out struct {
			envelope
			MemberList []memberWire
		}
		err := c.call(ctx, getSpecifiedGroupMemberInfo, in, &out)
		return membersOf(out.MemberList), err
	})
}

// GroupRole is a user's role in a group.
type GroupRole struct {
	UserID string `json:"Member_Account"`
	Role   string `json:"Role"` // RoleNone: not a member
}

// GroupRoles returns the roles of users in a group, asking for 500 in a call.
// With an error, they are those of the first users (269/1626).
func (c *Client) GroupRoles(ctx context.Context, groupID string, ids []string) ([]GroupRole, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	return inChunks(ids, rolesPerCall, func(ids []string) ([]GroupRole, error) {
		in := struct {
			GroupID string   `json:"GroupId"`
			IDs     []string `json:"User_Account"`
		}{groupID, ids}
		var out struct {
			envelope
			UserIDList []GroupRole `json:"UserIdList"`
		}
		err := c.call(ctx, getRoleInGroup, in, &out)
		return out.UserIDList, err
	})
}

// MemberChange is a change of a member; fields that are nil or "" do not change.
type MemberChange struct {
	Role     string         // RoleAdmin or RoleMember; not in a Work group
	NameCard *string        // at most 50 bytes
	Mute     *time.Duration // from now on; 0 ends it; not in a Work group
	Data     map[string]string
}

// ModifyGroupMember changes a member of a group; not of an AVChatRoom (269/1623).
func (c *Client) ModifyGroupMember(ctx context.Context, groupID, userID string, m MemberChange) error {
	in := struct {
		GroupID              string     `json:"GroupId"`
		UserID               string     `json:"Member_Account"`
		Role                 string     `json:"Role,omitempty"`
		NameCard             *string    `json:"NameCard,omitempty"`
		MuteTime             *uint32    `json:"MuteTime,omitempty"`
		AppMemberDefinedData []keyValue `json:"AppMemberDefinedData,omitempty"`
	}{GroupID: groupID, UserID: userID, Role: m.Role, NameCard: m.NameCard, AppMemberDefinedData: keyValues(m.Data)}
	err := cmp.Or(neededGroup(groupID), neededUser("Member_Account", userID))
	if m.NameCard != nil {
		err = cmp.Or(err, atMost("NameCard", *m.NameCard, MaxNameCard))
	}
	if err != nil {
		return err
	}
	if m.Mute != nil {
		mute := seconds(*m.Mute)
		in.MuteTime = &mute
	}
	return c.call(ctx, modifyGroupMemberInfo, in, nil)
}

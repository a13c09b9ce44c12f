package im_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

func membersByPage(ctx context.Context, c *im.Client, q im.MembersQuery) ([]string, error) {
	var ids []string
	for next := &q; next != nil; {
		page, err := c.GroupMembers(ctx, *next)
		if err != nil {
			return ids, err
		}
		for _, m := range page.Members {
			ids = append(ids, fmt.Sprintf("%s of %d muted until %d", m.UserID, page.Total, m.MuteUntil))
		}
		next = page.Next
	}
	return ids, nil
}

func addA(ctx context.Context, c *im.Client) (any, error) {
	return c.AddGroupMembers(ctx, "team", []string{"a"}, false)
}

var bob = im.Member{
	UserID: "bob", Role: im.RoleOwner, JoinTime: 1425976500, NameCard: "card", MsgFlag: "AcceptAndNotify", MuteUntil: 1431069882,
	Data: map[string]string{"k": "v"},
}

func lasting(d time.Duration) *time.Duration { return &d }

var memberRows = slices.Concat(
	on("group_open_http_svc/add_group_member",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.AddGroupMembers(ctx, "team", []string{"a", "b", "c", "d"}, true)
			},
			want: []im.MemberAdded{
				{UserID: "a", Result: im.Added},
				{UserID: "b", Result: im.AlreadyMember},
				{UserID: "c", Result: im.AwaitsConsent},
				{UserID: "d", Result: im.NotAdded},
			},
		},
		row{name: "full", call: addA, want: []im.MemberAdded(nil), err: im.CodeGroupFull},
		row{name: "room", call: addA, want: []im.MemberAdded(nil), err: im.CodeNotAllowed},
	),
	on("group_open_http_svc/delete_group_member",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.DeleteGroupMembers(ctx, "team", []string{"a", "b"}, "r", true)
			},
			want: 2,
		},
		row{
			name: "bare",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.DeleteGroupMembers(ctx, "team", []string{"a"}, "", false)
			},
			want: 1,
		},
		row{
			name: "room", err: im.ClassRequest,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.DeleteGroupMembers(ctx, "team", []string{"a"}, "", false)
			},
			want: 0,
		},
	),
	on("group_open_http_svc/get_group_member_info",
		row{
			name: "two pages",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return membersByPage(ctx, c, im.MembersQuery{GroupID: "team", Limit: 1, Roles: []string{im.RoleOwner, im.RoleAdmin}})
			},
			want: []string{"bob of 2 muted until 1431069882"},
		},
		row{
			name: "community",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return membersByPage(ctx, c, im.MembersQuery{GroupID: "@TGS#_guild"})
			},
			want: []string{"a of 3 muted until 7", "b of 3 muted until 0", "c of 3 muted until 0"},
		},
		row{
			name: "room", err: im.CodeNotAllowed,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return membersByPage(ctx, c, im.MembersQuery{GroupID: "live"})
			},
			want: []string(nil),
		},
	),
	on("group_open_http_svc/get_specified_group_member_info", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.SpecifiedGroupMembers(ctx, "team", []string{"bob", "eve"})
		},
		want: []im.Member{bob},
	}),
	on("group_open_http_svc/get_role_in_group", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.GroupRoles(ctx, "team", []string{"alice", "eve"})
		},
		want: []im.GroupRole{{UserID: "alice", Role: im.RoleOwner}, {UserID: "eve", Role: im.RoleNone}},
	}),
	on("group_open_http_svc/modify_group_member_info",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyGroupMember(ctx, "team", "bob", im.MemberChange{
					Role: im.RoleAdmin, NameCard: text(""), Mute: lasting(24 * time.Hour), Data: map[string]string{"k": "v"},
				}))
			},
		},
		row{
			name: "unmute",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyGroupMember(ctx, "team", "bob", im.MemberChange{Mute: lasting(0)}))
			},
		},
		row{
			name: "work", err: im.CodeNotAllowed,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyGroupMember(ctx, "team", "bob", im.MemberChange{Role: im.RoleAdmin}))
			},
		},
	),
)

// Members are added twenty at a time. When the third call fails, the results are
// those of the first forty.
func TestMembersAreAddedAsFarAsItSays(t *testing.T) {
	f := newFake(t, newClock())
	calls := 0
	f.answers(func(r received) reply {
		if calls++; calls == 3 {
			return code(10014, "the group is full")
		}
		if n := strings.Count(r.body, "Member_Account"); n != 20 {
			t.Errorf("call %d has %d members", calls, n)
		}
		return reply{body: fmt.Sprintf(`{"ActionStatus":"OK","ErrorCode":0,"MemberList":[{"Member_Account":"first of %d","Result":1}]}`, calls)}
	})
	got, err := f.client().AddGroupMembers(ctx(t), "team", users(55), false)
	only(t, err, im.CodeGroupFull)
	if len(got) != 2 || got[1].UserID != "first of 2" {
		t.Errorf("%+v", got)
	}
}

func TestMembersAreRemovedAsFarAsItSays(t *testing.T) {
	f := newFake(t, newClock())
	f.replies(reply{}, code(10010, "gone"))
	out, err := f.client().DeleteGroupMembers(ctx(t), "team", users(150), "", false)
	only(t, err, im.CodeGroupGone)
	if out != 100 || strings.Count(f.requests()[1].body, "user1") != 50 {
		t.Errorf("%d are out", out)
	}
}

func TestMembersThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	c := f.client()
	_, err := c.AddGroupMembers(ctx(t), "", []string{"a"}, false)
	refused(t, err, "GroupId")
	refused(t, c.ModifyGroupMember(ctx(t), "team", "bob", im.MemberChange{NameCard: text(strings.Repeat("x", 51))}), "NameCard")
	refused(t, c.ModifyGroupMember(ctx(t), "team", "", im.MemberChange{}), "Member_Account")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

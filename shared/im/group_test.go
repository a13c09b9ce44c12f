package im_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

var bareGroup = im.NewGroup{Type: "Work", GroupID: "team", Name: "Team", Owner: "alice"}

func createBare(ctx context.Context, c *im.Client) (any, error) { return c.CreateGroup(ctx, bareGroup) }

func destroyTeam(ctx context.Context, c *im.Client) (any, error) {
	return done(c.DestroyGroup(ctx, "team"))
}

func yes(b bool) *bool { return &b }

var groupRows = slices.Concat(
	on("group_open_http_svc/create_group",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreateGroup(ctx, im.NewGroup{
					Type: im.Public, GroupID: "team_42", Name: "Team & Co", Introduction: "i", Notification: "n",
					FaceURL: "https://example.com/t.png", Owner: "alice", MaxMemberCount: 200, ApplyJoin: im.FreeAccess,
					InviteJoin: im.NeedPermission, Data: map[string]string{"b": "2", "a": "1"},
					Members: []im.NewMember{{UserID: "bob", Role: im.RoleAdmin}, {UserID: "carol"}},
				})
			},
			want: im.Created{GroupID: "team_42"},
		},
		row{
			name: "community",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreateGroup(ctx, im.NewGroup{
					Type: im.Community, GroupID: "@TGS#_guild", Name: "Guild", Owner: "alice", SupportTopic: true,
					EnablePermission: true, DefaultPermission: im.MaySend,
				})
			},
			want: im.Created{GroupID: "@TGS#_guild"},
		},
		row{
			name: "no id", once: true,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreateGroup(ctx, im.NewGroup{Type: im.AVRoom, Name: "Live"})
			},
			want: im.Created{GroupID: "@TGS#a1"},
		},
		row{name: "ours already", call: createBare, want: im.Created{GroupID: "team", Existed: true}},
		row{name: "taken", call: createBare, want: im.Created{}, err: im.CodeGroupIDTaken},
		row{name: "unknown owner", call: createBare, want: im.Created{}, err: im.CodeMemberUnknown},
		row{name: "quota", call: createBare, want: im.Created{}, err: im.ClassThrottled},
	),
	on("group_open_http_svc/get_group_info",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.GroupInfos(ctx, []string{"team", "old", "gone"}, "a")
			},
			want: []im.GroupInfo{
				{
					GroupID: "team", Type: im.Meeting, Name: "Team", Introduction: "i", Notification: "n", FaceURL: "f", Owner: "alice",
					CreateTime: 1426976500, LastMsgTime: 1426976600, NextMsgSeq: 1234, MemberNum: 2, MaxMemberNum: 50,
					ApplyJoin: im.NeedPermission, InviteJoin: im.FreeAccess, MuteAll: true, SupportTopic: true,
					Data: map[string]string{"a": "1"},
				},
				{GroupID: "old", Type: im.Work, Name: "Old", MuteAll: true, Data: map[string]string{}},
				{GroupID: "gone", Code: im.CodeGroupGone, Info: "group not exist", Data: map[string]string{}},
			},
		},
		row{
			name: "bare", err: im.ClassGroup,
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.GroupInfos(ctx, []string{"team"}) },
			want: []im.GroupInfo(nil),
		},
	),
	on("group_open_http_svc/get_joined_group_list", row{
		name: "two pages",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return pages(0, func(from int) ([]string, int, error) { return c.JoinedGroups(ctx, "alice", from) })
		},
		want: []string{"a", "b", "c"},
	}),
	on("group_open_http_svc/get_appid_group_list",
		row{
			name: "two pages",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return pages(0, func(from uint64) ([]string, uint64, error) { return c.AppGroups(ctx, im.AVRoom, from) })
			},
			want: []string{"a", "b"},
		},
		row{
			name: "all",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return pages(0, func(from uint64) ([]string, uint64, error) { return c.AppGroups(ctx, "", from) })
			},
			want: []string(nil),
		},
	),
	on("group_open_http_svc/modify_group_base_info",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				most := 500
				return done(c.ModifyGroup(ctx, "team", im.GroupChange{
					Name: text("New"), Introduction: text(""), Notification: text("n"), FaceURL: text("f"), MaxMemberNum: &most,
					ApplyJoin: im.DisableApply, InviteJoin: im.DisableInvite, MuteAll: yes(true), Data: map[string]string{"a": ""},
					Operator: "alice",
				}))
			},
		},
		row{
			name: "unmute",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyGroup(ctx, "team", im.GroupChange{MuteAll: yes(false)}))
			},
		},
		row{
			name: "gone", err: im.CodeGroupGone,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyGroup(ctx, "team", im.GroupChange{MuteAll: yes(false)}))
			},
		},
	),
	on("group_open_http_svc/change_group_owner",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ChangeGroupOwner(ctx, "team", "bob"))
			},
		},
		row{
			name: "room", err: im.CodeNotAllowed,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ChangeGroupOwner(ctx, "team", "bob"))
			},
		},
	),
	on("group_open_http_svc/destroy_group",
		row{name: "plain", call: destroyTeam},
		row{name: "gone", call: destroyTeam},
		row{name: "no such id", call: destroyTeam},
		row{name: "not allowed", call: destroyTeam, err: im.CodeNotAllowed},
	),
)

// pages reads all pages from a cursor on until the next one is 0.
func pages[T any, C comparable](from C, page func(C) ([]T, C, error)) ([]T, error) {
	var end C
	var all []T
	for {
		items, next, err := page(from)
		all = append(all, items...)
		if err != nil || next == end {
			return all, err
		}
		from = next
	}
}

// A page without anything ends the list, whatever the total says: groups may go
// while one is reading.
func TestJoinedGroupsEnd(t *testing.T) {
	f := newFake(t, newClock())
	f.replies(reply{body: `{"ActionStatus":"OK","ErrorCode":0,"TotalCount":9,"GroupIdList":[]}`})
	if ids, next, err := f.client().JoinedGroups(ctx(t), "alice", 3); len(ids) > 0 || next != 0 || err != nil {
		t.Errorf("%v, %d, %v", ids, next, err)
	}
}

func TestGroupsThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	c := f.client()
	for field, change := range map[string]func(*im.NewGroup){
		"Type":           func(g *im.NewGroup) { g.Type = "" },
		"Name":           func(g *im.NewGroup) { g.Name = strings.Repeat("队", 11) },
		"Introduction":   func(g *im.NewGroup) { g.Introduction = strings.Repeat("x", 241) },
		"Notification":   func(g *im.NewGroup) { g.Notification = strings.Repeat("x", 301) },
		"FaceUrl":        func(g *im.NewGroup) { g.FaceURL = strings.Repeat("x", 101) },
		"Owner_Account":  func(g *im.NewGroup) { g.Owner = strings.Repeat("x", 33) },
		"MemberList":     func(g *im.NewGroup) { g.Members = make([]im.NewMember, 101) },
		"GroupId":        func(g *im.NewGroup) { g.GroupID = "@TGS#mine" },
		"AppDefinedData": func(g *im.NewGroup) { g.Data = manyKeys(11) },
	} {
		g := bareGroup
		change(&g)
		_, err := c.CreateGroup(ctx(t), g)
		refused(t, err, field)
	}
	for _, id := range []string{"a b", "队", strings.Repeat("x", 49)} {
		g := bareGroup
		g.GroupID = id
		_, err := c.CreateGroup(ctx(t), g)
		refused(t, err, "GroupId")
	}
	_, err := c.CreateGroup(ctx(t), im.NewGroup{Type: im.Community, GroupID: "guild", Name: "Guild"})
	refused(t, err, "GroupId")
	refused(t, c.ModifyGroup(ctx(t), "team", im.GroupChange{Name: text(strings.Repeat("x", 31))}), "Name")
	refused(t, c.ModifyGroup(ctx(t), "", im.GroupChange{}), "GroupId")
	refused(t, c.ChangeGroupOwner(ctx(t), "team", ""), "NewOwner_Account")
	_, _, err = c.JoinedGroups(ctx(t), "", 0)
	refused(t, err, "Member_Account")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func manyKeys(n int) map[string]string {
	data := make(map[string]string)
	for _, key := range users(n) {
		data[key] = "x"
	}
	return data
}

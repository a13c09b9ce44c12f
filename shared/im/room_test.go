package im_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

var roomRows = slices.Concat(
	on("group_open_http_svc/get_online_member_num",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.OnlineMemberNum(ctx, "live") },
			want: 1000,
		},
		row{
			name: "edition", err: im.CodeNotAllowed,
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.OnlineMemberNum(ctx, "team") },
			want: 0,
		},
	),
	on("group_open_avchatroom_http_svc/get_members",
		row{
			name: "two pages",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return pages(0, func(from int64) ([]im.RoomMember, int64, error) { return c.RoomMembers(ctx, "live", from) })
			},
			want: []im.RoomMember{{UserID: "a", JoinTime: 1661861300, Nick: "A", FaceURL: "f"}, {UserID: "b", JoinTime: 1661861200}},
		},
		row{
			name: "switched off", err: im.CodeNotAllowed,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				_, _, err := c.RoomMembers(ctx, "live", 0)
				return done(err)
			},
		},
	),
	on("group_open_avchatroom_http_svc/check_members", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.CheckRoomMembers(ctx, "live", []string{"a", "b", "c"})
		},
		want: []string{"a", "c"},
	}),
	on("group_open_avchatroom_http_svc/modify_admin",
		row{
			name: "set",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.SetRoomAdmins(ctx, "live", "a", "b"))
			},
		},
		row{
			name: "unset",
			call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.UnsetRoomAdmins(ctx, "live", "a")) },
		},
	),
	on("group_open_avchatroom_http_svc/get_admin_list", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return c.RoomAdmins(ctx, "live") },
		want: []string{"a", "b"},
	}),
)

var attributes = map[string]string{"status": "live", "notice": ""}

var attributeRows = slices.Concat(
	on("group_open_http_svc/set_group_attr",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.SetGroupAttributes(ctx, "live", attributes))
			},
		},
		row{
			name: "conflict", err: im.ClassConflict,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.SetGroupAttributes(ctx, "live", attributes))
			},
		},
	),
	on("group_open_http_svc/modify_group_attr", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ModifyGroupAttributes(ctx, "live", attributes))
		},
	}),
	on("group_open_http_svc/delete_group_attr", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.DeleteGroupAttributes(ctx, "live", "status", "notice"))
		},
	}),
	on("group_open_http_svc/clear_group_attr", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.ClearGroupAttributes(ctx, "live")) },
	}),
	on("group_open_attr_http_svc/get_group_attr",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.GroupAttributes(ctx, "live") },
			want: map[string]string{"status": "live", "empty": ""},
		},
		row{
			name: "gone", err: im.CodeGroupGone,
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.GroupAttributes(ctx, "live") },
			want: map[string]string(nil),
		},
	),
)

func setLikes(ctx context.Context, c *im.Client) (any, error) {
	return c.SetGroupCounters(ctx, "live", map[string]int64{"likes": 5})
}

var counterRows = slices.Concat(
	on("group_open_http_svc/update_group_counter",
		row{
			name: "set",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SetGroupCounters(ctx, "live", map[string]int64{"likes": 1<<63 - 1, "gifts": -1})
			},
			want: map[string]int64{"likes": 1<<63 - 1, "gifts": -1},
		},
		row{
			name: "add", once: true,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.AddGroupCounters(ctx, "live", map[string]int64{"likes": 5})
			},
			want: map[string]int64{"likes": 12},
		},
		row{name: "edition", call: setLikes, want: map[string]int64(nil), err: im.ClassConfiguration},
		row{name: "too many", call: setLikes, want: map[string]int64(nil), err: im.ClassGroup},
	),
	on("group_open_http_svc/get_group_counter",
		row{
			name: "some",
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.GroupCounters(ctx, "live", "likes") },
			want: map[string]int64{"likes": 12},
		},
		row{
			name: "all",
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.GroupCounters(ctx, "live") },
			want: map[string]int64{},
		},
	),
	on("group_open_http_svc/delete_group_counter", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.DeleteGroupCounters(ctx, "live", "likes", "gifts"))
		},
	}),
)

// Five writes a second to the attributes of one group, not to all of them.
func TestAttributesHaveTheirOwnPace(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	client := f.client()
	for range 6 {
		if err := client.ClearGroupAttributes(ctx(t), "live"); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.slept) != 1 {
		t.Errorf("waited %v", c.slept)
	}
	if err := client.ClearGroupAttributes(ctx(t), "another"); err != nil || len(c.slept) != 1 {
		t.Errorf("%v, waited %v", err, c.slept)
	}
	f.replies(code(10049, "too fast"))
	if err := client.ClearGroupAttributes(ctx(t), "another"); err != nil || len(c.slept) != 2 {
		t.Errorf("%v, waited %v", err, c.slept)
	}
}

func TestRoomsThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	c := f.client()
	for field, values := range map[string]map[string]string{
		"key":       {strings.Repeat("k", 33): ""},
		"value":     {"k": strings.Repeat("v", 4001)},
		"GroupAttr": manyKeys(17),
	} {
		refused(t, c.SetGroupAttributes(ctx(t), "live", values), field)
		refused(t, c.ModifyGroupAttributes(ctx(t), "live", values), field)
	}
	large := strings.Repeat("v", 4000)
	refused(t, c.SetGroupAttributes(ctx(t), "live", map[string]string{"a": large, "b": large, "c": large, "d": large}), "GroupAttr")
	refused(t, c.SetGroupAttributes(ctx(t), "live", nil), "GroupAttr")
	refused(t, c.DeleteGroupAttributes(ctx(t), "live"), "GroupAttr")
	refused(t, c.ClearGroupAttributes(ctx(t), ""), "GroupId")
	refused(t, c.SetRoomAdmins(ctx(t), "live", users(6)...), "Admin_Account")
	refused(t, c.UnsetRoomAdmins(ctx(t), "live"), "Admin_Account")
	_, err := c.SetGroupCounters(ctx(t), "live", map[string]int64{strings.Repeat("k", 129): 1})
	refused(t, err, "Key")
	_, err = c.AddGroupCounters(ctx(t), "live", nil)
	refused(t, err, "GroupCounter")
	refused(t, c.DeleteGroupCounters(ctx(t), "live"), "GroupCounterKeys")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

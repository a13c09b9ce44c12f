package im_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

var muteRows = slices.Concat(
	on("group_open_http_svc/forbid_send_msg",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.ForbidSendMsg(ctx, "team", "", []string{"a", "b"}, time.Minute)
			},
			want: 2,
		},
		row{
			name: "end",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.ForbidSendMsg(ctx, "@TGS#_guild", "@TGS#_guild@TOPIC#_t", []string{"a"}, 0)
			},
			want: 1,
		},
		row{
			name: "forever",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.ForbidSendMsg(ctx, "team", "", []string{"a"}, im.Forever)
			},
			want: 1,
		},
		row{
			name: "work", err: im.CodeNotAllowed,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.ForbidSendMsg(ctx, "team", "", []string{"a"}, time.Minute)
			},
			want: 0,
		},
	),
	on("group_open_http_svc/get_group_muted_account",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.MutedMembers(ctx, "team", "") },
			want: []im.MutedMember{{UserID: "bob", Until: 1458115189}},
		},
		row{
			name: "old names",
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.MutedMembers(ctx, "@TGS#_guild", "t") },
			want: []im.MutedMember{{UserID: "bob", Until: 1458115189}},
		},
	),
	on("group_open_http_svc/ban_group_member",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.BanGroupMembers(ctx, "live", []string{"a", "b"}, 5*time.Minute, "spam")
			},
			want: 2,
		},
		row{
			name: "switched off", err: im.CodeNotAllowed,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.BanGroupMembers(ctx, "live", []string{"a"}, time.Millisecond, "")
			},
			want: 0,
		},
	),
	on("group_open_http_svc/unban_group_member", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.UnbanGroupMembers(ctx, "live", []string{"a", "b"})
		},
		want: 2,
	}),
	on("group_open_http_svc/get_group_ban_member", row{
		name: "two pages",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return pages(0, func(from int) ([]im.BannedMember, int, error) { return c.BannedMembers(ctx, "live", from) })
		},
		want: []im.BannedMember{{UserID: "a", Until: 1660875916}, {UserID: "b", Until: 1660875917}},
	}),
)

func TestBansThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	c := f.client()
	_, err := c.BanGroupMembers(ctx(t), "live", []string{"a"}, 0, "")
	refused(t, err, "Duration")
	_, err = c.BanGroupMembers(ctx(t), "live", []string{"a"}, time.Hour, strings.Repeat("x", 1001))
	refused(t, err, "Description")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	done, err := c.BanGroupMembers(ctx(t), "live", users(45), time.Hour, "")
	if done != 45 || err != nil || len(f.requests()) != 3 {
		t.Errorf("%d, %v, %d requests", done, err, len(f.requests()))
	}
}

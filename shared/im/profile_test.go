package im_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

var profileRows = slices.Concat(
	on("profile/portrait_set",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.SetPortrait(ctx, "alice", im.TextItem(im.TagNick, "Alice <3"), im.NumberItem(im.TagLevel, 7)))
			},
		},
		row{
			name: "unknown", err: im.Code(40003),
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.SetPortrait(ctx, "alice", im.TextItem(im.TagCustom+"x", "")))
			},
		},
	),
	on("profile/portrait_get", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			list, err := c.Portraits(ctx, []string{"alice", "eve"}, im.TagNick, im.TagLevel)
			if err != nil {
				return nil, err
			}
			items := list[0].Items
			return []any{list[0].UserID, items[0].Text(), items[0].Number(), items[1].Number(), items[1].Text(), list[1].Code}, nil
		},
		want: []any{"alice", "Alice", uint64(0), uint64(7), "", im.Code(40003)},
	}),
)

var friendRows = slices.Concat(
	on("sns/friend_add",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.AddFriends(ctx, "alice", im.FriendAddition{Force: true},
					im.NewFriend{UserID: "bob", Source: "AddSource_Type_App", Remark: "r", Group: "g", Wording: "w"},
					im.NewFriend{UserID: "eve", Source: "AddSource_Type_App"})
			},
			want: []im.ItemResult{{ID: "bob"}, {ID: "eve", Code: im.CodeFriendPending, Info: "pending"}},
		},
		row{
			name: "one way",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.AddFriends(ctx, "alice", im.FriendAddition{OneWay: true}, im.NewFriend{UserID: "bob", Source: "AddSource_Type_App"})
			},
			want: []im.ItemResult{{ID: "bob"}},
		},
	),
	on("sns/friend_update", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.UpdateFriend(ctx, "alice", "bob", im.TextItem(im.TagRemark, "r"), im.NumberItem(im.TagFriendCustom+"level", 3))
		},
		want: im.ItemResult{ID: "bob"},
	}),
	on("sns/friend_delete", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.DeleteFriends(ctx, "alice", "bob", "eve")
		},
		want: []im.ItemResult{{ID: "bob"}, {ID: "eve", Code: 31704, Info: "not a friend"}},
	}),
	on("sns/friend_check", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.CheckFriends(ctx, "alice", "bob", "eve")
		},
		want: []im.Relation{
			{UserID: "bob", Relation: im.BothFriends},
			{UserID: "eve", Relation: im.NoRelation, Code: 30006, Info: "again"},
		},
	}),
	on("sns/friend_get", row{
		name: "two pages",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return pages(0, func(from int) ([]im.Friend, int, error) { return c.Friends(ctx, "alice", from) })
		},
		want: []im.Friend{{UserID: "bob", Items: []im.ProfileItem{im.TextItem(im.TagRemark, "r")}}, {UserID: "carol"}},
	}),
	on("sns/black_list_add", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return c.BlockUsers(ctx, "alice", "eve") },
		want: []im.ItemResult{{ID: "eve"}},
	}),
	on("sns/black_list_delete", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return c.UnblockUsers(ctx, "alice", "eve") },
		want: []im.ItemResult{{ID: "eve"}},
	}),
	on("sns/black_list_get", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return pages(0, func(from int) ([]string, int, error) { return c.BlockedUsers(ctx, "alice", from) })
		},
		want: []string{"eve"},
	}),
)

var conversationRows = slices.Concat(
	on("recentcontact/get_list", row{
		name: "two pages",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			var all []im.Conversation
			for next := new(im.ConversationsCursor); next != nil; {
				list, following, err := c.Conversations(ctx, "alice", *next)
				if err != nil {
					return all, err
				}
				all, next = append(all, list...), following
			}
			return all, nil
		},
		want: []im.Conversation{{UserID: "bob", MsgTime: 1609143720, TopFlag: 1}, {GroupID: "team", MsgTime: 1609143719}},
	}),
	on("recentcontact/delete",
		row{
			name: "user",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.DeleteConversation(ctx, "alice", "bob", true))
			},
		},
		row{
			name: "group",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.DeleteGroupConversation(ctx, "alice", "team", false))
			},
		},
	),
)

const streamKey = "606781340_3986845397_1706000918"

var robotRows = slices.Concat(
	on("openim_robot_http_svc/create_robot",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.CreateRobot(ctx, im.Robot{UserID: "@RBT#001", Nick: "Bot", FaceURL: "f", SelfSignature: "s"}))
			},
		},
		row{
			name: "quota", err: im.Code(10008),
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.CreateRobot(ctx, im.Robot{UserID: "@RBT#001"}))
			},
		},
	),
	on("openim_robot_http_svc/get_all_robots", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return c.Robots(ctx) },
		want: []string{"@RBT#001", "@RBT#002"},
	}),
	on("openim_robot_http_svc/delete_robot", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.DeleteRobot(ctx, "@RBT#001")) },
	}),
	on("openim_robot_http_svc/send_stream_msg",
		row{
			name: "first", once: true,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SendStreamMsg(ctx, im.StreamChunk{From: "@RBT#my_bot", To: "user01", Chunk: "hello, "})
			},
			want: streamKey,
		},
		row{
			name: "last", once: true,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SendStreamMsg(ctx, im.StreamChunk{From: "@RBT#my_bot", To: "user01", Chunk: "world", MsgKey: streamKey, Finish: true})
			},
			want: streamKey,
		},
		row{
			name: "no key", once: true, err: im.ClassUnknown,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SendStreamMsg(ctx, im.StreamChunk{From: "@RBT#my_bot", To: "user01", Chunk: "hello, "})
			},
			want: "",
		},
	),
)

var pushRows = slices.Concat(
	on("all_member_push/im_push",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SendPush(ctx, im.Push{
					From: "bob", MsgRandom: 9312457, Body: hi, CloudCustomData: "c", LifeTime: 2 * time.Minute,
					Push: &im.OfflinePushInfo{Title: "t"},
				})
			},
			want: "task_1",
		},
		row{
			name: "any tag",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SendPush(ctx, im.Push{MsgRandom: 1, Body: hi, AnyTag: []string{"a", "b"}})
			},
			want: "task_2",
		},
		row{
			name: "all tags",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SendPush(ctx, im.Push{MsgRandom: 1, Body: hi, AllTags: []string{"a"}})
			},
			want: "task_3",
		},
		row{
			name: "switched off", err: im.CodePushOff,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SendPush(ctx, im.Push{MsgRandom: 1, Body: hi})
			},
			want: "",
		},
		row{
			name: "used up", err: im.CodePushQuota,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.SendPush(ctx, im.Push{MsgRandom: 1, Body: hi})
			},
			want: "",
		},
	),
	on("all_member_push/im_add_tag", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.AddTags(ctx, tagged...)) },
	}),
	on("all_member_push/im_remove_tag", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.RemoveTags(ctx, tagged...)) },
	}),
	on("all_member_push/im_get_tag", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return c.Tags(ctx, "alice", "bob") },
		want: tagged,
	}),
	on("all_member_push/im_remove_all_tags", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.RemoveAllTags(ctx, "alice", "bob"))
		},
	}),
)

var tagged = []im.UserTags{{UserID: "alice", Tags: []string{"a", "b"}}, {UserID: "bob", Tags: []string{"a"}}}

// Pushes go out over a second apart, a hundred a day.
func TestPushesAreRare(t *testing.T) {
	c := newClock()
	f := newFake(t, c)
	client := f.client()
	for i := range 100 {
		if _, err := client.SendPush(ctx(t), im.Push{MsgRandom: uint32(i + 1), Body: hi}); err != nil {
			t.Fatal(i, err)
		}
	}
	r := f.requests()
	for i := range r[1:] {
		if gap := r[i+1].at.Sub(r[i].at); gap <= time.Second {
			t.Errorf("push %d after %v", i+1, gap)
		}
	}
	_, err := client.SendPush(ctx(t), im.Push{MsgRandom: 101, Body: hi})
	if only(t, err, im.ClassThrottled); len(f.requests()) != 100 {
		t.Errorf("%d requests", len(f.requests()))
	}
	c.advance(24 * time.Hour)
	if _, err := client.SendPush(ctx(t), im.Push{MsgRandom: 101, Body: hi}); err != nil {
		t.Error("the next day:", err)
	}
}

func TestProfilesAndPushesThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	c := f.client()
	long := strings.Repeat("x", 501)
	refused(t, c.SetPortrait(ctx(t), "alice", im.TextItem(im.TagNick, long)), im.TagNick)
	refused(t, c.SetPortrait(ctx(t), "alice"), "ProfileItem")
	_, err := c.Portraits(ctx(t), []string{"alice"})
	refused(t, err, "TagList")
	_, err = c.AddFriends(ctx(t), "alice", im.FriendAddition{}, im.NewFriend{UserID: "bob", Source: "App"})
	refused(t, err, "AddSource")
	_, err = c.AddFriends(ctx(t), "alice", im.FriendAddition{}, make([]im.NewFriend, 1001)...)
	refused(t, err, "AddFriendItem")
	_, err = c.DeleteFriends(ctx(t), "alice")
	refused(t, err, "To_Account")
	_, err = c.CheckFriends(ctx(t), "", "bob")
	refused(t, err, "From_Account")
	refused(t, c.DeleteConversation(ctx(t), "alice", "", false), "To_Account")
	refused(t, c.DeleteGroupConversation(ctx(t), "alice", "", false), "ToGroupid")
	refused(t, c.CreateRobot(ctx(t), im.Robot{UserID: "bot"}), "UserID")
	refused(t, c.CreateRobot(ctx(t), im.Robot{UserID: "@RBT#1", SelfSignature: long}), "SelfSignature")
	_, err = c.SendStreamMsg(ctx(t), im.StreamChunk{From: "@RBT#1", To: "alice"})
	refused(t, err, "Chunk")
	for field, change := range map[string]func(*im.Push){
		"MsgRandom":   func(p *im.Push) { p.MsgRandom = 0 },
		"MsgLifeTime": func(p *im.Push) { p.LifeTime = 8 * 24 * time.Hour },
		"MsgBody":     func(p *im.Push) { p.Body = nil },
		"Condition":   func(p *im.Push) { p.AnyTag, p.AllTags = []string{"a"}, []string{"b"} },
		"Tags":        func(p *im.Push) { p.AnyTag = []string{strings.Repeat("x", 51)} },
	} {
		p := im.Push{MsgRandom: 1, Body: hi}
		change(&p)
		_, err := c.SendPush(ctx(t), p)
		refused(t, err, field)
	}
	refused(t, c.AddTags(ctx(t), im.UserTags{UserID: "alice", Tags: users(11)}), "Tags")
	refused(t, c.RemoveAllTags(ctx(t), users(101)...), "To_Account")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

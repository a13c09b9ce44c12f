package im_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

const (
	guild   = "@TGS#_guild"
	general = "@TGS#_guild@TOPIC#_general"
	mods    = "@PMG#_mods"
)

var topicRows = slices.Concat(
	on("million_group_open_http_svc/create_topic",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreateTopic(ctx, im.NewTopic{
					GroupID: guild, TopicID: im.TopicIDOf(guild, "general"), Name: "general", Creator: "alice", Introduction: "i",
					Notification: "n", FaceURL: "f", CustomString: "{}",
				})
			},
			want: general,
		},
		row{
			name: "no id", once: true,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreateTopic(ctx, im.NewTopic{GroupID: guild, Name: "general"})
			},
			want: "@TGS#_guild@TOPIC#_1",
		},
		row{
			name: "switched off", err: im.ClassConfiguration,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreateTopic(ctx, im.NewTopic{GroupID: guild, TopicID: general, Name: "general"})
			},
			want: "",
		},
	),
	on("million_group_open_http_svc/get_topic",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.Topics(ctx, guild, "alice", general, "old", "gone")
			},
			want: []im.Topic{
				{
					TopicID: general, Name: "general", Introduction: "i", Notification: "n", FaceURL: "f", CustomString: "{}",
					NextMsgSeq: 3, LastMsgTime: 1649902571, MuteAll: true,
				},
				{TopicID: "old", MuteAll: true},
				{TopicID: "gone", Code: im.CodeTopicGone, Info: "no such topic"},
			},
		},
		row{
			name: "all",
			call: func(ctx context.Context, c *im.Client) (any, error) { return c.Topics(ctx, guild, "alice") },
			want: []im.Topic{},
		},
	),
	on("million_group_open_http_svc/modify_topic",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyTopic(ctx, guild, general, im.TopicChange{
					Name: text("g"), Introduction: text(""), Notification: text("n"), FaceURL: text("f"), CustomString: text("{}"),
					MuteAll: yes(true),
				}))
			},
		},
		row{
			name: "unmute",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyTopic(ctx, guild, general, im.TopicChange{MuteAll: yes(false)}))
			},
		},
	),
	on("million_group_open_http_svc/destroy_topic", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.DestroyTopics(ctx, guild, general, "gone")
		},
		want: []im.ItemResult{{ID: general}, {ID: "gone", Code: im.CodeTopicGone, Info: "no such topic"}},
	}),
)

var rights = []im.TopicRights{
	{TopicID: general, Permission: im.MaySendToTopic | im.MaySeeTopicHistory},
	{TopicID: "gone", Permission: im.MaySendToTopic},
}

var permissionRows = slices.Concat(
	on("group_open_http_svc/create_permission_group",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreatePermissionGroup(ctx, im.PermissionGroup{
					GroupID: guild, ID: mods, Name: "mods", Permission: im.MayMute | im.MayBan, CustomString: "c",
				})
			},
			want: mods,
		},
		row{
			name: "no id", once: true,
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreatePermissionGroup(ctx, im.PermissionGroup{GroupID: guild, Name: "mods"})
			},
			want: "@PMG#_1",
		},
		row{
			name: "taken", err: im.Code(110009),
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return c.CreatePermissionGroup(ctx, im.PermissionGroup{GroupID: guild, ID: mods, Name: "mods"})
			},
			want: "",
		},
	),
	on("group_open_http_svc/modify_permission_group",
		row{
			name: "plain",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyPermissionGroup(ctx, guild, mods, im.PermissionGroupChange{
					Name: "m", Permission: new(im.Permission), CustomString: text(""),
				}))
			},
		},
		row{
			name: "name alone",
			call: func(ctx context.Context, c *im.Client) (any, error) {
				return done(c.ModifyPermissionGroup(ctx, guild, mods, im.PermissionGroupChange{Name: "m"}))
			},
		},
	),
	on("group_open_http_svc/destroy_permission_group", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.DestroyPermissionGroups(ctx, guild, mods, "@PMG#_x")
		},
		want: []im.ItemResult{{ID: mods}, {ID: "@PMG#_x", Code: 110010, Info: "none"}},
	}),
	on("group_open_http_svc/get_permission_group", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return c.PermissionGroups(ctx, guild, mods) },
		want: []im.PermissionGroupInfo{{ID: mods, Name: "mods", Permission: im.MayMute | im.MayBan, CustomString: "c", MemberNum: 2}},
	}),
	on("group_open_http_svc/add_topic_permission_group", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.AddTopicRights(ctx, guild, mods, rights...)
		},
		want: []im.ItemResult{{ID: general}, {ID: "gone", Code: im.CodeTopicGone, Info: "no such topic"}},
	}),
	on("group_open_http_svc/set_topic_permission_group", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.SetTopicRights(ctx, guild, mods, rights...)
		},
		want: []im.ItemResult{{ID: general}, {ID: "gone", Code: im.CodeTopicGone, Info: "no such topic"}},
	}),
	on("group_open_http_svc/delete_topic_permission_group", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.DeleteTopicRights(ctx, guild, mods, general)
		},
		want: 1,
	}),
	on("group_open_http_svc/add_permission_group_member", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.AddPermissionGroupMembers(ctx, guild, mods, "tommy", "jared")
		},
		want: []im.ItemResult{{ID: "tommy"}, {ID: "jared", Code: im.CodeAlreadyMember}},
	}),
	on("group_open_http_svc/delete_permission_group_member", row{
		name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.DeletePermissionGroupMembers(ctx, guild, mods, "tommy", "jared")
		},
		want: []im.ItemResult{{ID: "tommy"}, {ID: "jared", Code: im.CodeAlreadyMember}},
	}),
)

// The topic whose making had no answer is found taken: by ourselves.
func TestTopicMadeByTheLostTry(t *testing.T) {
	topic := im.NewTopic{GroupID: guild, TopicID: general, Name: "general"}
	f := newFake(t, newClock())
	f.replies(reply{lost: true}, code(10021, "the id has been used"))
	if id, err := f.client().CreateTopic(ctx(t), topic); id != general || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	f.replies(code(10021, "the id has been used"))
	_, err := f.client().CreateTopic(ctx(t), topic)
	only(t, err, im.CodeGroupIDTaken)
}

// The bits of 1047/61232.
func TestPermissionBits(t *testing.T) {
	if im.MayEditGroup != 1 || im.MayManageMembers != 2 || im.MayEditPermissionGroups != 4 || im.MayFillPermissionGroups != 8 ||
		im.MayManageTopics != 16 || im.MayMute != 32 || im.MaySend != 64 || im.MayMentionAll != 128 || im.MaySeeHistory != 256 ||
		im.MayRecallOthers != 512 || im.MayBan != 1024 {
		t.Error("in a community")
	}
	if im.MayManageTopic != 1 || im.MayManageTopicPermissions != 2 || im.MayMuteInTopic != 4 || im.MaySendToTopic != 8 ||
		im.MaySeeTopicHistory != 16 || im.MayRecallInTopic != 32 || im.MayMentionAllInTopic != 64 {
		t.Error("in a topic")
	}
}

func TestTopicsThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	c := f.client()
	for field, change := range map[string]func(*im.NewTopic){
		"GroupId":      func(n *im.NewTopic) { n.GroupID, n.TopicID = "", "" },
		"TopicId":      func(n *im.NewTopic) { n.TopicID = "general" },
		"TopicName":    func(n *im.NewTopic) { n.Name = strings.Repeat("x", 31) },
		"CustomString": func(n *im.NewTopic) { n.CustomString = strings.Repeat("x", 3001) },
		"Notification": func(n *im.NewTopic) { n.Notification = strings.Repeat("x", 301) },
		"From_Account": func(n *im.NewTopic) { n.Creator = strings.Repeat("x", 33) },
	} {
		topic := im.NewTopic{GroupID: guild, TopicID: general, Name: "general"}
		change(&topic)
		_, err := c.CreateTopic(ctx(t), topic)
		refused(t, err, field)
	}
	refused(t, c.ModifyTopic(ctx(t), guild, general, im.TopicChange{Name: text(strings.Repeat("x", 31))}), "TopicName")
	refused(t, c.ModifyTopic(ctx(t), guild, "", im.TopicChange{}), "TopicId")
	_, err := c.Topics(ctx(t), guild, "")
	refused(t, err, "From_Account")
	_, err = c.DestroyTopics(ctx(t), guild)
	refused(t, err, "TopicIdList")
	_, err = c.CreatePermissionGroup(ctx(t), im.PermissionGroup{GroupID: guild, ID: "mods", Name: "mods"})
	refused(t, err, "PermissionGroupId")
	_, err = c.CreatePermissionGroup(ctx(t), im.PermissionGroup{GroupID: guild, Name: strings.Repeat("x", 151)})
	refused(t, err, "PermissionGroupName")
	refused(t, c.ModifyPermissionGroup(ctx(t), guild, "", im.PermissionGroupChange{}), "PermissionGroupId")
	_, err = c.AddPermissionGroupMembers(ctx(t), guild, "", "a")
	refused(t, err, "PermissionGroupId")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

package im

import (
	"cmp"
	"context"
	"time"
)

// All-member push (269/45934, 1047/37166, 1047/37172 to 1047/37175). It needs an
// edition and to be switched on: CodePushOff.

// Limits of pushes.
const (
	maxConditions = 10
	maxPushTag    = 50 // bytes
	usersPerTags  = 100
)

var (
	// pushPace: pushes are over a second apart (269/45934).
	pushPace = allowance{1, time.Second}
	// pushQuota is that of a day.
	pushQuota = allowance{100, 24 * time.Hour}
)

var (
	imPush          = method{path: "all_member_push/im_push", repeat: numbered, rate: pushPace}
	imAddTag        = method{path: "all_member_push/im_add_tag", repeat: harmless, rate: slowAPI}
	imGetTag        = method{path: "all_member_push/im_get_tag", repeat: harmless, rate: slowAPI}
	imRemoveTag     = method{path: "all_member_push/im_remove_tag", repeat: harmless, rate: slowAPI}
	imRemoveAllTags = method{path: "all_member_push/im_remove_all_tags", repeat: harmless, rate: slowAPI}
)

// Push is a message to all users, or to users with some tags.
type Push struct {
	From string // "": the admin
	// MsgRandom is IM's idempotency key for 7 days. Take it from Numbers.
	MsgRandom       uint32
	Body            MsgBody
	CloudCustomData string // with Body at most 12 KB
	// LifeTime is how long the message waits for users who are offline, up to 7 days;
	// 0: only online users get the message.
	LifeTime time.Duration
	// AnyTag reaches users with one of the tags, AllTags those with all of them;
	// at most 10, of 50 bytes each. Without both it reaches everybody.
	AnyTag, AllTags []string
	// Push is what offline receivers' phones show; nil: nothing.
	Push *OfflinePushInfo
}

func checkTags(tags []string) error {
	if err := fewer("Tags", tags, maxConditions); err != nil {
		return err
	}
	for _, tag := range tags {
		if err := needed("Tags", tag, maxPushTag); err != nil {
			return err
		}
	}
	return nil
}

// SendPush sends to all users who exist, by import or login, and returns the push's
// TaskID. A push cannot be recalled, and is in nobody's history. A day has 100 of them
// (CodePushQuota), of which this client counts its own (269/45934).
func (c *Client) SendPush(ctx context.Context, p Push) (taskID string, err error) {
	if p.LifeTime < 0 || p.LifeTime > maxLifeTime {
		return "", &FieldError{"MsgLifeTime", int(maxLifeTime / time.Second), "is over 7 days"}
	}
	if len(p.AnyTag) > 0 && len(p.AllTags) > 0 {
		return "", &FieldError{Field: "Condition", Problem: "has two kinds of tags"}
	}
	if err := cmp.Or(
		atMost("From_Account", p.From, MaxUserID), number("MsgRandom", p.MsgRandom), checkMessage(p.Body, p.CloudCustomData),
		checkTags(p.AnyTag), checkTags(p.AllTags),
	); err != nil {
		return "", err
	}
	type condition struct {
		TagsOr  []string `json:",omitempty"`
		TagsAnd []string `json:",omitempty"`
	}
	in := struct {
		From            string      `json:"From_Account,omitempty"`
		MsgRandom       uint32      `json:"MsgRandom"`
		MsgLifeTime     uint32      `json:"MsgLifeTime,omitempty"`
		Condition       *condition  `json:"Condition,omitempty"`
		MsgBody         MsgBody     `json:"MsgBody"`
		CloudCustomData string      `json:"CloudCustomData,omitempty"`
		OfflinePushInfo offlinePush `json:"OfflinePushInfo"`
	}{p.From, p.MsgRandom, seconds(p.LifeTime), nil, p.Body, p.CloudCustomData, pushOf(p.Push)}
	if len(p.AnyTag)+len(p.AllTags) > 0 {
		in.Condition = &condition{p.AnyTag, p.AllTags}
	}
	var out struct {
		envelope
		TaskID string `json:"TaskId"`
	}
	err = c.call(ctx, imPush, in, &out, turn{limited{kind: "pushes"}, pushQuota, 1})
	return out.TaskID, err
}

// UserTags are a user's tags.
type UserTags struct {
	UserID string   `json:"To_Account"`
	Tags   []string `json:"Tags"`
}

func (c *Client) changeTags(ctx context.Context, m method, users []UserTags) error {
	if err := cmp.Or(some("UserTags", users), fewer("UserTags", users, usersPerTags)); err != nil {
		return err
	}
	for _, u := range users {
		if err := cmp.Or(neededUser("To_Account", u.UserID), checkTags(u.Tags)); err != nil {
			return err
		}
	}
	return c.call(ctx, m, struct{ UserTags []UserTags }{users}, nil)
}

// AddTags gives users tags that SendPush can choose by; at most 100 users, 10 tags
// each (1047/37173).
func (c *Client) AddTags(ctx context.Context, users ...UserTags) error {
	return c.changeTags(ctx, imAddTag, users)
}

// RemoveTags takes tags from users, at most 100 users (1047/37174).
func (c *Client) RemoveTags(ctx context.Context, users ...UserTags) error {
	return c.changeTags(ctx, imRemoveTag, users)
}

// userList names users to the push service.
type userList struct {
	IDs []string `json:"To_Account"`
}

func (l userList) check() error {
	return cmp.Or(some("To_Account", l.IDs), fewer("To_Account", l.IDs, usersPerTags))
}

// Tags returns the tags of users, at most 100 (1047/37172).
func (c *Client) Tags(ctx context.Context, userIDs ...string) ([]UserTags, error) {
	in := userList{userIDs}
	if err := in.check(); err != nil {
		return nil, err
	}
	var out struct {
		envelope
		UserTags []UserTags
	}
	err := c.call(ctx, imGetTag, in, &out)
	return out.UserTags, err
}

// RemoveAllTags takes all tags from users, at most 100 (1047/37175).
func (c *Client) RemoveAllTags(ctx context.Context, userIDs ...string) error {
	in := userList{userIDs}
	if err := in.check(); err != nil {
		return err
	}
	return c.call(ctx, imRemoveAllTags, in, nil)
}

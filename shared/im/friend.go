package im

import (
	"cmp"
	"context"
	"strings"
)

// Friends and blacklists (269/1643, 269/12525, 1047/34905, 269/1646, 1047/34908,
// 269/3718, 269/3719, 1047/34914).

const friendsPerCall = 1000

var (
	friendAdd       = method{path: "sns/friend_add", repeat: harmless}
	friendUpdate    = method{path: "sns/friend_update", repeat: harmless}
	friendDelete    = method{path: "sns/friend_delete", repeat: harmless}
	friendCheck     = method{path: "sns/friend_check", repeat: harmless}
	friendGet       = method{path: "sns/friend_get", repeat: harmless}
	blackListAdd    = method{path: "sns/black_list_add", repeat: harmless}
	blackListDelete = method{path: "sns/black_list_delete", repeat: harmless}
	blackListGet    = method{path: "sns/black_list_get", repeat: harmless}
)

// relation is what became of one user of a call.
type relation struct {
	UserID     string `json:"To_Account"`
	ResultCode Code
	ResultInfo string
}

func (r relation) result() ItemResult { return ItemResult{r.UserID, r.ResultCode, r.ResultInfo} }

func relationResults(list []relation) []ItemResult {
	results := make([]ItemResult, len(list))
	for i, r := range list {
		results[i] = r.result()
	}
	return results
}

const addSourcePrefix = "AddSource_Type_"

// NewFriend is a user to become a friend.
type NewFriend struct {
	UserID  string `json:"To_Account"`
	Source  string `json:"AddSource"` // AddSource_Type_ and a keyword of at most 8 bytes
	Remark  string `json:"Remark,omitempty"`
	Group   string `json:"GroupName,omitempty"` // of the user's list of friends
	Wording string `json:"AddWording,omitempty"`
}

// FriendAddition says how AddFriends adds.
type FriendAddition struct {
	OneWay bool // only the user has the others as friends
	Force  bool // without consent, whatever the others allow
}

// AddFriends makes users friends of a user, at most 1000, and returns a result for
// each; CodeFriendPending: the friendship awaits consent. A chatbot of the AI-bot
// plug-in must be a friend (269/1643).
func (c *Client) AddFriends(ctx context.Context, userID string, how FriendAddition, friends ...NewFriend) ([]ItemResult, error) {
	if err := cmp.Or(neededUser("From_Account", userID), some("AddFriendItem", friends), fewer("AddFriendItem", friends, friendsPerCall)); err != nil {
		return nil, err
	}
	for _, f := range friends {
		if !strings.HasPrefix(f.Source, addSourcePrefix) {
			return nil, &FieldError{Field: "AddSource", Problem: "must start with " + addSourcePrefix}
		}
	}
	in := struct {
		UserID        string `json:"From_Account"`
		AddFriendItem []NewFriend
		AddType       string
		ForceAddFlags int `json:",omitempty"`
	}{userID, friends, "Add_Type_Both", flag(how.Force)}
	if how.OneWay {
		in.AddType = "Add_Type_Single"
	}
	var out struct {
		envelope
		ResultItem []relation
	}
	err := c.call(ctx, friendAdd, in, &out)
	return relationResults(out.ResultItem), err
}

// Tags of a friendship's fields. Those made in the console are TagFriendCustom
// and their name.
const (
	TagRemark       = "Tag_SNS_IM_Remark"
	TagFriendCustom = "Tag_SNS_Custom_"
)

// UpdateFriend sets fields of a friendship, as the user sees it (269/12525).
func (c *Client) UpdateFriend(ctx context.Context, userID, friendID string, items ...ProfileItem) (ItemResult, error) {
	if err := cmp.Or(
		neededUser("From_Account", userID), neededUser("To_Account", friendID), some("SnsItem", items), checkProfile(items),
	); err != nil {
		return ItemResult{}, err
	}
	type update struct {
		UserID  string `json:"To_Account"`
		SnsItem []ProfileItem
	}
	in := struct {
		UserID     string `json:"From_Account"`
		UpdateItem []update
	}{userID, []update{{friendID, items}}}
	var out struct {
		envelope
		ResultItem []relation
	}
	if err := c.call(ctx, friendUpdate, in, &out); err != nil || len(out.ResultItem) == 0 {
		return ItemResult{}, err
	}
	return out.ResultItem[0].result(), nil
}

// relations names others to a user, and what is wanted of the two.
type relations struct {
	UserID     string   `json:"From_Account"`
	Others     []string `json:"To_Account"`
	DeleteType string   `json:"DeleteType,omitempty"`
	CheckType  string   `json:"CheckType,omitempty"`
}

func (r relations) check() error {
	return cmp.Or(neededUser("From_Account", r.UserID), some("To_Account", r.Others), fewer("To_Account", r.Others, friendsPerCall))
}

func (c *Client) changeRelations(ctx context.Context, m method, in relations) ([]ItemResult, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	var out struct {
		envelope
		ResultItem []relation
	}
	err := c.call(ctx, m, in, &out)
	return relationResults(out.ResultItem), err
}

// DeleteFriends ends friendships on both sides, at most 1000, and returns a result for
// each (1047/34905).
func (c *Client) DeleteFriends(ctx context.Context, userID string, friendIDs ...string) ([]ItemResult, error) {
	return c.changeRelations(ctx, friendDelete, relations{UserID: userID, Others: friendIDs, DeleteType: "Delete_Type_Both"})
}

// Relation says which of two users has the other as a friend.
type Relation struct {
	UserID   string // the other
	Relation string // one of the below
	Code     Code   // not 0: IM cannot tell
	Info     string
}

// The relations of a user A to another B.
const (
	NoRelation  = "CheckResult_Type_NoRelation"
	OnlyAHasB   = "CheckResult_Type_AWithB"
	OnlyBHasA   = "CheckResult_Type_BWithA"
	BothFriends = "CheckResult_Type_BothWay"
)

// CheckFriends returns how a user and others, at most 1000, stand to each other
// (269/1646).
func (c *Client) CheckFriends(ctx context.Context, userID string, others ...string) ([]Relation, error) {
	in := relations{UserID: userID, Others: others, CheckType: "CheckResult_Type_Both"}
	if err := in.check(); err != nil {
		return nil, err
	}
	var out struct {
		envelope
		InfoItem []struct {
			relation
			Relation string
		}
	}
	if err := c.call(ctx, friendCheck, in, &out); err != nil {
		return nil, err
	}
	list := make([]Relation, len(out.InfoItem))
	for i, item := range out.InfoItem {
		list[i] = Relation{item.UserID, item.Relation, item.ResultCode, item.ResultInfo}
	}
	return list, nil
}

// Friend is a friend of a user.
type Friend struct {
	UserID string        `json:"To_Account"`
	Items  []ProfileItem `json:"ValueItem"`
}

// Friends returns a page of a user's friends, from a cursor of 0 on, and the next
// page's cursor; 0 means no further page (1047/34908).
func (c *Client) Friends(ctx context.Context, userID string, cursor int) (friends []Friend, next int, err error) {
	if err := neededUser("From_Account", userID); err != nil {
		return nil, 0, err
	}
	in := struct {
		UserID     string `json:"From_Account"`
		StartIndex int
	}{userID, cursor}
	var out struct {
		envelope
		UserDataItem   []Friend
		CompleteFlag   int
		NextStartIndex int
	}
	if err := c.call(ctx, friendGet, in, &out); err != nil {
		return nil, 0, err
	}
	if out.CompleteFlag == 0 {
		next = out.NextStartIndex
	}
	return out.UserDataItem, next, nil
}

// BlockUsers puts others, at most 1000, on a user's blacklist, and returns a result
// for each (269/3718).
func (c *Client) BlockUsers(ctx context.Context, userID string, others ...string) ([]ItemResult, error) {
	return c.changeRelations(ctx, blackListAdd, relations{UserID: userID, Others: others})
}

// UnblockUsers takes others, at most 1000, from a user's blacklist, and returns a
// result for each (269/3719).
func (c *Client) UnblockUsers(ctx context.Context, userID string, others ...string) ([]ItemResult, error) {
	return c.changeRelations(ctx, blackListDelete, relations{UserID: userID, Others: others})
}

// BlockedUsers returns a page of a user's blacklist, from a cursor of 0 on, and
// the next page's cursor; 0 means no further page (1047/34914).
func (c *Client) BlockedUsers(ctx context.Context, userID string, cursor int) (others []string, next int, err error) {
	if err := neededUser("From_Account", userID); err != nil {
		return nil, 0, err
	}
	in := struct {
		UserID       string `json:"From_Account"`
		StartIndex   int
		MaxLimited   int
		LastSequence int
	}{userID, cursor, friendsPerCall, 0}
	var out struct {
		envelope
		BlackListItem []struct {
			UserID string `json:"To_Account"`
		}
		StartIndex int
	}
	if err := c.call(ctx, blackListGet, in, &out); err != nil {
		return nil, 0, err
	}
	for _, item := range out.BlackListItem {
		others = append(others, item.UserID)
	}
	return others, out.StartIndex, nil
}

// Package friend has the HTTP routes by which users and servers manage friends: IM has
// the list and its fields, and the package stores nothing. Who may write to whom one
// to one is decided in one place, package moderation (MODERATION_ONE_TO_ONE), which
// asks IM for the same list.
package friend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Limits of IM, in bytes (269/1643).
const (
	maxRemark  = 96
	maxWording = 256
	maxField   = 8 // the name of a field made in the console
	maxValue   = 500
	maxFields  = 20
)

// IM is the part of IM's REST API that friends use; [*im.Client] implements it.
type IM interface {
	AddFriends(ctx context.Context, userID string, how im.FriendAddition, friends ...im.NewFriend) ([]im.ItemResult, error)
	CheckFriends(ctx context.Context, userID string, others ...string) ([]im.Relation, error)
	UpdateFriend(ctx context.Context, userID, friendID string, items ...im.ProfileItem) (im.ItemResult, error)
	DeleteFriends(ctx context.Context, userID string, friendIDs ...string) ([]im.ItemResult, error)
	Friends(ctx context.Context, userID string, cursor int) (friends []im.Friend, next int, err error)
}

// Friends are the friends of all users of an app. It is safe for concurrent use.
type Friends struct{ im IM }

// New makes Friends.
func New(im IM) *Friends { return &Friends{im} }

// Friend is a user's view of a friend.
type Friend struct {
	UserID string            `json:"userId"`
	Remark string            `json:"remark"`
	Fields map[string]string `json:"fields"` // made in the console, without Tag_SNS_Custom_
}

// Change is a change of a friendship; nil fields change nothing.
type Change struct {
	Remark  *string           `json:"remark"`
	Fields  map[string]string `json:"fields"`
	Wording string            `json:"wording"` // of the request, where the other user has to consent
}

func (c Change) check() error {
	clean := func(s string) bool {
		return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
	}
	if c.Remark != nil && (len(*c.Remark) > maxRemark || !clean(*c.Remark)) {
		return fault.New(fault.Invalid, "remark is one line of at most %d bytes", maxRemark)
	}
	if len(c.Wording) > maxWording || !clean(c.Wording) {
		return fault.New(fault.Invalid, "wording is one line of at most %d bytes", maxWording)
	}
	if len(c.Fields) > maxFields {
		return fault.New(fault.Invalid, "fields has at most %d fields", maxFields)
	}
	for name, value := range c.Fields {
		if name == "" || len(name) > maxField || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) || len(value) > maxValue || !utf8.ValidString(value) {
			return fault.New(fault.Invalid, "each of fields has a name of 1 to %d letters and a text of at most %d bytes", maxField, maxValue)
		}
	}
	return nil
}

// of returns whose friends a request is about: the caller's, or for a server those of
// the user that the query names.
func of(c api.Caller, r *http.Request) (string, error) {
	named := r.URL.Query().Get("userId")
	switch {
	case c.UserID != "" && named != "" && named != c.UserID:
		return "", fault.New(fault.Forbidden, "users see and change their own friends only")
	case c.UserID != "":
		return c.UserID, nil
	case usersig.CheckUserID(named) != nil:
		return "", fault.New(fault.Invalid, "userId in the query says whose friends: a UserID of 1 to 32 visible ASCII characters")
	}
	return named, nil
}

// The states of a friendship that was asked for.
const (
	stateFriends = "friends"
	statePending = "pending" // the other has to consent
)

// codes of IM that a friendship is asked for with (269/1671).
const (
	codeAlready im.Code = 30520 // they are friends, by another request at the same moment
	codeRefuses im.Code = 30516 // the other takes no friends
)

// Add requests a friendship in a user's name, or sets the fields of an existing one; a
// server makes the friendship without the other user's consent. Add returns whether
// the two are friends.
func (f *Friends) Add(ctx context.Context, userID, friendID string, force bool, c Change) (state string, err error) {
	if err := c.check(); err != nil {
		return "", err
	}
	if usersig.CheckUserID(friendID) != nil || friendID == userID {
		return "", fault.New(fault.Invalid, "the friend is the UserID of another user")
	}
	// IM has one code for friends already made and for requests that it does not read.
	relations, err := f.im.CheckFriends(ctx, userID, friendID)
	if err != nil {
		return "", refused(err)
	}
	if len(relations) == 1 && relations[0].Relation == im.BothFriends {
		return stateFriends, f.update(ctx, userID, friendID, c)
	}
	n := im.NewFriend{UserID: friendID, Source: "AddSource_Type_HTTP", Wording: c.Wording}
	if c.Remark != nil {
		n.Remark = *c.Remark
	}
	results, err := f.im.AddFriends(ctx, userID, im.FriendAddition{Force: force}, n)
	if err != nil {
		return "", refused(err)
	}
	if len(results) != 1 {
		return "", fmt.Errorf("friend: IM does not say what became of a friendship")
	}
	switch code := results[0].Code; {
	case code == im.CodeFriendPending:
		return statePending, nil
	case code == codeRefuses:
		return "", fault.New(fault.Forbidden, "this user takes no friends")
	case code == im.CodeReceiverUnknown || code == im.CodeMemberUnknown || code == codeNoUser:
		return "", fault.New(fault.NotFound, "there is no such user")
	case code != 0 && code != codeAlready:
		return "", refused(code)
	}
	return stateFriends, f.update(ctx, userID, friendID, c)
}

// codeNoUser: the other has no account.
const codeNoUser im.Code = 30003

// update sets the fields of a friendship.
func (f *Friends) update(ctx context.Context, userID, friendID string, c Change) error {
	var items []im.ProfileItem
	if c.Remark != nil {
		items = append(items, im.TextItem(im.TagRemark, *c.Remark))
	}
	for _, name := range sorted(c.Fields) {
		items = append(items, im.TextItem(im.TagFriendCustom+name, c.Fields[name]))
	}
	if len(items) == 0 {
		return nil
	}
	result, err := f.im.UpdateFriend(ctx, userID, friendID, items...)
	if err == nil && result.Code != 0 {
		err = result.Code
	}
	return refused(err)
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// refused gives an error of IM its public face.
func refused(err error) error {
	code, is := err.(im.Code)
	switch {
	case err == nil:
		return nil
	case is && im.Class(code.Class()) == im.ClassTransient:
		return fault.Wrap(err, fault.Unavailable, "IM does not do this for us at the moment; send the same request again")
	case is || im.Lasting(err):
		return fault.Wrap(err, fault.Invalid, "IM refuses this friendship or one of its fields; is the field made in IM's console?")
	}
	return community.Public(err)
}

// Remove ends a friendship on both sides. Ending a friendship that does not exist is a
// no-op.
func (f *Friends) Remove(ctx context.Context, userID, friendID string) error {
	if usersig.CheckUserID(friendID) != nil {
		return fault.New(fault.Invalid, "the friend is the UserID of another user")
	}
	_, err := f.im.DeleteFriends(ctx, userID, friendID)
	return refused(err)
}

// List returns a page of a user's friends, as IM pages them: 100 and more.
func (f *Friends) List(ctx context.Context, userID, after string, limit int) (list []Friend, next string, err error) {
	// IM's page is its own; ours begins behind "page.index".
	page, skip := 0, 0
	if after != "" {
		a, b, is := strings.Cut(after, ".")
		var e1, e2 error
		page, e1 = strconv.Atoi(a)
		skip, e2 = strconv.Atoi(b)
		if !is || e1 != nil || e2 != nil || page < 0 || skip < 0 {
			return nil, "", fault.New(fault.Invalid, `after is the "next" of the answer before`)
		}
	}
	list = []Friend{}
	for {
		friends, following, err := f.im.Friends(ctx, userID, page)
		if err != nil {
			return nil, "", refused(err)
		}
		for i := min(skip, len(friends)); i < len(friends); i++ {
			if len(list) == limit {
				return list, fmt.Sprintf("%d.%d", page, i), nil
			}
			list = append(list, shown(friends[i]))
		}
		if following == 0 {
			return list, "", nil
		}
		page, skip = following, 0
	}
}

func shown(f im.Friend) Friend {
	one := Friend{UserID: f.UserID, Fields: make(map[string]string)}
	for _, item := range f.Items {
		var text string
		if json.Unmarshal(item.Value, &text) != nil {
			continue
		}
		if item.Tag == im.TagRemark {
			one.Remark = text
		} else if name, is := strings.CutPrefix(item.Tag, im.TagFriendCustom); is {
			one.Fields[name] = text
		}
	}
	return one
}

// Routes adds the routes of friends.
func (f *Friends) Routes(mux *http.ServeMux, conf api.RoutesConfig) {
	const ok = http.StatusOK
	api.Mount(
		mux, conf,
		api.On(http.MethodGet, "/friends", ok, 0, func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
			userID, err := of(c, r)
			if err != nil {
				return nil, err
			}
			page, err := api.ReadPage(r)
			if err != nil {
				return nil, err
			}
			list, next, err := f.List(ctx, userID, page.After, page.Limit)
			return struct {
				Friends []Friend `json:"friends"`
				Next    string   `json:"next,omitempty"`
			}{list, next}, err
		}),
		api.On(http.MethodPut, "/friends/{userID}", ok, 0, func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
			userID, err := of(c, r)
			if err != nil {
				return nil, err
			}
			var in Change
			if err := api.Decode(r, &in); err != nil {
				return nil, err
			}
			state, err := f.Add(ctx, userID, r.PathValue("userID"), c.Server != "", in)
			return struct {
				UserID string `json:"userId"`
				State  string `json:"state"`
			}{r.PathValue("userID"), state}, err
		}),
		api.On(http.MethodDelete, "/friends/{userID}", ok, 0, func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
			userID, err := of(c, r)
			if err != nil {
				return nil, err
			}
			return struct{}{}, f.Remove(ctx, userID, r.PathValue("userID"))
		}),
	)
}

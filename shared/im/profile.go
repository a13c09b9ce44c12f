package im

import (
	"cmp"
	"context"
	"encoding/json"
)

// Profiles (269/1640, 269/1639, 269/1500).

const profilesPerCall = 100

var (
	portraitSet = method{path: "profile/portrait_set", repeat: harmless}
	portraitGet = method{path: "profile/portrait_get", repeat: harmless}
)

// Tags of profile fields. Those made in the console are TagCustom and their name
// of at most 8 letters.
const (
	TagNick          = "Tag_Profile_IM_Nick"
	TagGender        = "Tag_Profile_IM_Gender"
	TagBirthDay      = "Tag_Profile_IM_BirthDay" // a number such as 20190419
	TagLocation      = "Tag_Profile_IM_Location"
	TagSelfSignature = "Tag_Profile_IM_SelfSignature"
	TagAllowType     = "Tag_Profile_IM_AllowType" // who may become a friend
	TagLanguage      = "Tag_Profile_IM_Language"  // a number
	TagImage         = "Tag_Profile_IM_Image"
	TagMsgSettings   = "Tag_Profile_IM_MsgSettings"     // a number
	TagAdminForbid   = "Tag_Profile_IM_AdminForbidType" // whether the user may make friends
	TagLevel         = "Tag_Profile_IM_Level"           // a number
	TagRole          = "Tag_Profile_IM_Role"            // a number
	TagCustom        = "Tag_Profile_Custom_"
)

// ProfileItem is one field of a profile or of a friendship.
type ProfileItem struct {
	Tag   string          `json:"Tag"`
	Value json.RawMessage `json:"Value"` // a text or a number, by the tag
}

// TextItem is a field with a text.
func TextItem(tag, text string) ProfileItem { return ProfileItem{tag, content(text)} }

// NumberItem is a field with a number.
func NumberItem(tag string, n uint64) ProfileItem { return ProfileItem{tag, content(n)} }

// Text returns the field's text, and "" for a number.
func (p ProfileItem) Text() string {
	var s string
	_ = json.Unmarshal(p.Value, &s)
	return s
}

// Number returns the field's number, and 0 for a text.
func (p ProfileItem) Number() uint64 {
	var n uint64
	_ = json.Unmarshal(p.Value, &n)
	return n
}

func checkProfile(items []ProfileItem) error {
	for _, p := range items {
		if err := cmp.Or(needed("Tag", p.Tag, len(p.Tag)), atMost(p.Tag, p.Text(), maxProfileText)); err != nil {
			return err
		}
	}
	return nil
}

// SetPortrait sets fields of a user's profile, texts of at most 500 bytes
// (269/1640).
func (c *Client) SetPortrait(ctx context.Context, userID string, items ...ProfileItem) error {
	if err := cmp.Or(neededUser("From_Account", userID), some("ProfileItem", items), checkProfile(items)); err != nil {
		return err
	}
	return c.call(ctx, portraitSet, struct {
		UserID      string `json:"From_Account"`
		ProfileItem []ProfileItem
	}{userID, items}, nil)
}

// Portrait is a user's profile.
type Portrait struct {
	UserID string        `json:"To_Account"`
	Items  []ProfileItem `json:"ProfileItem"` // those asked for and set
	Code   Code          `json:"ResultCode"`  // not 0: IM cannot tell about this user
	Info   string        `json:"ResultInfo"`
}

// Portraits returns fields of users' profiles, asking for 100 in a call. With an
// error, the results are those of the first users (269/1639).
func (c *Client) Portraits(ctx context.Context, userIDs []string, tags ...string) ([]Portrait, error) {
	if err := some("TagList", tags); err != nil {
		return nil, err
	}
	return inChunks(userIDs, profilesPerCall, func(ids []string) ([]Portrait, error) {
		in := struct {
			IDs     []string `json:"To_Account"`
			TagList []string
		}{ids, tags}
		var out struct {
			envelope
			UserProfileItem []Portrait
		}
		err := c.call(ctx, portraitGet, in, &out)
		return out.UserProfileItem, err
	})
}

package imtest

import (
	"encoding/json"
	"slices"
	"strings"
)

// Profiles (269/1640, 269/1639).

const (
	tagNick  = "Tag_Profile_IM_Nick"
	tagImage = "Tag_Profile_IM_Image"
	tagAllow = "Tag_Profile_IM_AllowType"
)

var profileMisfits = misfits{"": 40001}

// numericTags are the standard tags whose value is a number.
var numericTags = []string{"BirthDay", "Language", "MsgSettings", "Level", "Role"}

var textTags = []string{"Nick", "Gender", "Location", "SelfSignature", "AllowType", "Image", "AdminForbidType"}

type profileItem struct {
	Tag   string
	Value json.RawMessage
}

// read returns the item's value, checked against its tag.
func (p profileItem) read() (any, error) {
	name, standard := strings.CutPrefix(p.Tag, "Tag_Profile_IM_")
	custom, own := strings.CutPrefix(p.Tag, "Tag_Profile_Custom_")
	if standard && slices.Contains(numericTags, name) {
		var n uint64
		if json.Unmarshal(p.Value, &n) != nil || string(p.Value) == "null" {
			return nil, fail(40605, p.Tag+" must be a number")
		}
		return n, nil
	}
	if !(standard && slices.Contains(textTags, name)) && !(own && custom != "" && len(custom) <= 8) {
		return nil, fail(40009, "no such Tag")
	}
	var text string
	if json.Unmarshal(p.Value, &text) != nil || string(p.Value) == "null" {
		return nil, fail(40610, p.Tag+" must be a string")
	}
	if len(text) > 500 {
		return nil, fail(40601, p.Tag+" is over 500 bytes")
	}
	return text, nil
}

type portrait struct {
	From_Account string //nolint:revive // IM's spelling
	ProfileItem  []profileItem
}

func portraitSet(a *App, by caller, in portrait) (object, error) {
	if len(in.ProfileItem) == 0 {
		return nil, fail(40001, "ProfileItem is missing")
	}
	values := make(map[string]any, len(in.ProfileItem))
	for _, item := range in.ProfileItem {
		v, err := item.read()
		if err != nil {
			return nil, err
		}
		values[item.Tag] = v
	}
	a.mu.Lock()
	u := a.user(in.From_Account)
	if u == nil {
		a.mu.Unlock()
		return nil, fail(40003, "From_Account is missing or not imported")
	}
	items := []object{}
	for _, tag := range sortedKeys(values) {
		u.profile[tag] = values[tag]
		items = append(items, object{"Tag", tag, "Value", values[tag]})
	}
	a.mu.Unlock()
	a.after(notice{command: "Profile.CallbackPortraitSet", from: by.from, body: object{
		"Operator_Account", by.id, "From_Account", in.From_Account, "EventTime", a.eventTime(), "ProfileItem", items,
	}})
	return ok, nil
}

type portraitQuery struct {
	To_Account []string //nolint:revive // IM's spelling
	TagList    []string
}

func portraitGet(a *App, in portraitQuery) (object, error) {
	if n := len(in.To_Account); n == 0 || n > 100 || len(in.TagList) == 0 {
		return nil, fail(40001, "1 to 100 accounts and a TagList")
	}
	list, failed := []object{}, []string{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range in.To_Account {
		u := a.user(id)
		if u == nil {
			failed = append(failed, id)
			list = append(list, object{"To_Account", id, "ResultCode", 40003, "ResultInfo", "not imported"})
			continue
		}
		items := []object{}
		for _, tag := range in.TagList {
			if v, set := u.profile[tag]; set {
				items = append(items, object{"Tag", tag, "Value", v})
			}
		}
		list = append(list, object{"To_Account", id, "ProfileItem", items, "ResultCode", 0, "ResultInfo", ""})
	}
	out := ok.with("UserProfileItem", list)
	if len(failed) > 0 {
		out = out.with("Fail_Account", failed)
	}
	return out, nil
}

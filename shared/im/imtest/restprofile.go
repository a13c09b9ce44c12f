package imtest

import (
	"encoding/json"
	"slices"
	"strings"
)

// Profiles, friends and blacklists (269/1640, 269/1639, 269/1643).

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

func portraitSet(a *App, by string, in portrait) (object, error) {
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
	a.after(notice{command: "Profile.CallbackPortraitSet", from: fromREST, body: object{
		"Operator_Account", by, "From_Account", in.From_Account, "EventTime", a.eventTime(), "ProfileItem", items,
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

var friendMisfits = misfits{"": 30001}

type friendAddRequest struct {
	From_Account  string //nolint:revive // IM's spelling
	AddFriendItem []struct {
		To_Account, Remark, GroupName, AddSource, AddWording string //nolint:revive // IM's spelling
	}
	AddType       string
	ForceAddFlags int
}

// friendAdd makes friends (269/1643). It makes no callback before, one for those
// who became friends.
func friendAdd(a *App, by string, in friendAddRequest) (object, error) {
	both := in.AddType != "Add_Type_Single"
	if n := len(in.AddFriendItem); n == 0 || n > 1000 || !slices.Contains([]string{"", "Add_Type_Both", "Add_Type_Single"}, in.AddType) {
		return nil, fail(30001, "AddFriendItem or AddType does not fit")
	}
	a.mu.Lock()
	from := a.user(in.From_Account)
	if from == nil {
		a.mu.Unlock()
		return nil, fail(30003, "From_Account is missing or not imported")
	}
	items, failed, pairs := []object{}, []string{}, []object{}
	for _, item := range in.AddFriendItem {
		to := a.user(item.To_Account)
		code, info := 0, ""
		switch {
		case !strings.HasPrefix(item.AddSource, "AddSource_Type_"):
			code, info = 30001, "AddSource must start with AddSource_Type_"
		case to == nil:
			code, info = 30003, "not imported"
		case from.blocked[to.id]:
			code, info = 30515, "on your own blacklist"
		case to.blocked[from.id]:
			code, info = 30525, "you are on their blacklist"
		case in.ForceAddFlags != 1 && to.profile[tagAllow] == "AllowType_Type_DenyAny":
			code, info = 30516, "takes no friends"
		case in.ForceAddFlags != 1 && to.profile[tagAllow] == "AllowType_Type_NeedConfirm":
			code, info = 30539, "waits for consent"
		default:
			f := &friend{remark: item.Remark, source: item.AddSource, added: a.clock.Now()}
			from.friends[to.id] = f
			pairs = append(pairs, object{"From_Account", from.id, "To_Account", to.id, "Initiator_Account", from.id})
			if both {
				to.friends[from.id] = &friend{source: item.AddSource, added: f.added}
				pairs = append(pairs, object{"From_Account", to.id, "To_Account", from.id, "Initiator_Account", from.id})
			}
		}
		if code != 0 {
			failed = append(failed, item.To_Account)
		}
		items = append(items, object{"To_Account", item.To_Account, "ResultCode", code, "ResultInfo", info})
	}
	a.mu.Unlock()
	if len(pairs) > 0 {
		a.after(notice{command: "Sns.CallbackFriendAdd", from: fromREST, body: object{
			"PairList", pairs, "ClientCmd", "friend_add", "Admin_Account", by, "ForceFlag", in.ForceAddFlags,
		}})
	}
	out := ok.with("ResultItem", items)
	if len(failed) > 0 {
		out = out.with("Fail_Account", failed)
	}
	return out, nil
}

type accountPairs struct {
	From_Account string   //nolint:revive // IM's spelling
	To_Account   []string //nolint:revive // IM's spelling
	DeleteType   string
}

func friendDelete(a *App, in accountPairs) (object, error) {
	return a.eachPair(in, "Sns.CallbackFriendDelete", func(from, to *account) int {
		if from.friends[to.id] == nil {
			return 31704
		}
		delete(from.friends, to.id)
		if in.DeleteType == "Delete_Type_Both" {
			delete(to.friends, from.id)
		}
		return 0
	})
}

func blackListAdd(a *App, in accountPairs) (object, error) {
	return a.eachPair(in, "Sns.CallbackBlackListAdd", func(from, to *account) int {
		from.blocked[to.id] = true
		return 0
	})
}

func blackListDelete(a *App, in accountPairs) (object, error) {
	return a.eachPair(in, "Sns.CallbackBlackListDelete", func(from, to *account) int {
		delete(from.blocked, to.id)
		return 0
	})
}

// eachPair changes something between an account and others, and tells the
// backend of those where f said 0.
func (a *App) eachPair(in accountPairs, callback string, f func(from, to *account) int) (object, error) {
	if n := len(in.To_Account); n == 0 || n > 1000 {
		return nil, fail(30001, "1 to 1000 accounts")
	}
	a.mu.Lock()
	from := a.user(in.From_Account)
	if from == nil {
		a.mu.Unlock()
		return nil, fail(30003, "From_Account is missing or not imported")
	}
	items, pairs := []object{}, []object{}
	for _, id := range in.To_Account {
		code, info := 30003, "not imported"
		if to := a.user(id); to != nil {
			if code, info = f(from, to), ""; code == 0 {
				pairs = append(pairs, object{"From_Account", from.id, "To_Account", id})
			}
		}
		items = append(items, object{"To_Account", id, "ResultCode", code, "ResultInfo", info})
	}
	a.mu.Unlock()
	if len(pairs) > 0 {
		a.after(notice{command: callback, from: fromREST, body: object{"PairList", pairs}})
	}
	return ok.with("ResultItem", items), nil
}

type friendCheckRequest struct {
	From_Account string   //nolint:revive // IM's spelling
	To_Account   []string //nolint:revive // IM's spelling
	CheckType    string
}

func friendCheck(a *App, in friendCheckRequest) (object, error) {
	if n := len(in.To_Account); n == 0 || n > 1000 || in.CheckType != "CheckResult_Type_Both" && in.CheckType != "CheckResult_Type_Single" {
		return nil, fail(30001, "1 to 1000 accounts and a CheckType")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	from := a.user(in.From_Account)
	if from == nil {
		return nil, fail(30003, "From_Account is missing or not imported")
	}
	items := []object{}
	for _, id := range in.To_Account {
		relation, code := "CheckResult_Type_NoRelation", 0
		switch to := a.user(id); {
		case to == nil:
			code = 30003
		case from.friends[id] != nil && to.friends[from.id] != nil && in.CheckType == "CheckResult_Type_Both":
			relation = "CheckResult_Type_BothWay"
		case from.friends[id] != nil:
			relation = "CheckResult_Type_AWithB"
		case to.friends[from.id] != nil && in.CheckType == "CheckResult_Type_Both":
			relation = "CheckResult_Type_BWithA"
		}
		items = append(items, object{"To_Account", id, "Relation", relation, "ResultCode", code, "ResultInfo", ""})
	}
	return ok.with("InfoItem", items), nil
}

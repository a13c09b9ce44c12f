package imtest

import (
	"encoding/json"
	"slices"
	"strings"
)

// Friends and blacklists (269/1643, 269/12525, 1047/34908, 1047/34914).

var friendMisfits = misfits{"": 30001}

// friendsOf returns the account that a command about friends is for. The caller holds
// the lock.
func (a *App) friendsOf(userID string) (*account, error) {
	if u := a.user(userID); u != nil {
		return u, nil
	}
	return nil, fail(30003, "From_Account is missing or not imported")
}

// accountResults are the parts of an answer that has one for each account of its
// request.
type accountResults struct {
	items  []object
	failed []string
}

// add notes what became of an account: its code, 0 for success, and more fields.
func (r *accountResults) add(id string, code int, info string, more ...any) {
	if code != 0 {
		r.failed = append(r.failed, id)
	}
	r.items = append(r.items, object{"To_Account", id}.with(more...).with("ResultCode", code, "ResultInfo", info))
}

// answer is a success with the results under a name, and the accounts that failed.
func (r *accountResults) answer(name string) object {
	out := ok.with(name, r.items)
	if len(r.failed) > 0 {
		out = out.with("Fail_Account", r.failed)
	}
	return out
}

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
func friendAdd(a *App, by caller, in friendAddRequest) (object, error) {
	both := in.AddType != "Add_Type_Single"
	if n := len(in.AddFriendItem); n == 0 || n > 1000 || !slices.Contains([]string{"", "Add_Type_Both", "Add_Type_Single"}, in.AddType) {
		return nil, fail(30001, "AddFriendItem or AddType does not fit")
	}
	a.mu.Lock()
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	var results accountResults
	pairs := []object{}
	for _, item := range in.AddFriendItem {
		to := a.user(item.To_Account)
		code, info := 0, ""
		switch {
		case !strings.HasPrefix(item.AddSource, "AddSource_Type_"):
			code, info = 30001, "AddSource must start with AddSource_Type_"
		case to == nil:
			code, info = 30003, "not imported"
		case from.friends[to.id] != nil:
			code, info = 30001, "a friend already"
		case from.blocks(to.id):
			code, info = 30515, "on your own blacklist"
		case to.blocks(from.id):
			code, info = 30525, "you are on their blacklist"
		case in.ForceAddFlags != 1 && to.profile[tagAllow] == "AllowType_Type_DenyAny":
			code, info = 30516, "takes no friends"
		case in.ForceAddFlags != 1 && to.profile[tagAllow] == "AllowType_Type_NeedConfirm":
			code, info = 30539, "waits for consent"
		default:
			now := a.clock.Now()
			f := &friend{source: item.AddSource, added: now, tags: make(map[string]any)}
			if item.Remark != "" {
				f.tags[tagRemark] = item.Remark
			}
			if item.GroupName != "" {
				from.groupFriend(f, item.GroupName)
			}
			from.friends[to.id] = f
			pairs = append(pairs, object{"From_Account", from.id, "To_Account", to.id, "Initiator_Account", from.id})
			if both {
				to.friends[from.id] = &friend{source: item.AddSource, added: now, tags: make(map[string]any)}
				pairs = append(pairs, object{"From_Account", to.id, "To_Account", from.id, "Initiator_Account", from.id})
			}
		}
		results.add(item.To_Account, code, info)
	}
	a.mu.Unlock()
	if len(pairs) > 0 {
		a.after(notice{command: "Sns.CallbackFriendAdd", from: by.from, body: object{
			"PairList", pairs, "ClientCmd", "friend_add", "Admin_Account", by.admin(), "ForceFlag", in.ForceAddFlags,
		}})
	}
	return results.answer("ResultItem"), nil
}

type accountPairs struct {
	From_Account string   //nolint:revive // IM's spelling
	To_Account   []string //nolint:revive // IM's spelling
	DeleteType   string
}

func friendDelete(a *App, by caller, in accountPairs) (object, error) {
	return a.eachPair(by, in, "Sns.CallbackFriendDelete", func(from, to *account) int {
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

func blackListAdd(a *App, by caller, in accountPairs) (object, error) {
	return a.eachPair(by, in, "Sns.CallbackBlackListAdd", func(from, to *account) int {
		if from.blocks(to.id) {
			return 30001
		}
		from.blocked[to.id] = a.clock.Now()
		return 0
	})
}

func blackListDelete(a *App, by caller, in accountPairs) (object, error) {
	return a.eachPair(by, in, "Sns.CallbackBlackListDelete", func(from, to *account) int {
		delete(from.blocked, to.id)
		return 0
	})
}

// eachPair changes something between an account and others, and tells the
// backend of those where f said 0.
func (a *App) eachPair(by caller, in accountPairs, callback string, f func(from, to *account) int) (object, error) {
	if n := len(in.To_Account); n == 0 || n > 1000 {
		return nil, fail(30001, "1 to 1000 accounts")
	}
	a.mu.Lock()
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	var results accountResults
	pairs := []object{}
	for _, id := range in.To_Account {
		code, info := 30003, "not imported"
		if to := a.user(id); to != nil {
			if code, info = f(from, to), ""; code == 0 {
				pairs = append(pairs, object{"From_Account", from.id, "To_Account", id})
			}
		}
		results.add(id, code, info)
	}
	a.mu.Unlock()
	if len(pairs) > 0 {
		a.after(notice{command: callback, from: by.from, body: object{"PairList", pairs}})
	}
	return results.answer("ResultItem"), nil
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
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		return nil, err
	}
	var results accountResults
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
		results.add(id, code, "", "Relation", relation)
	}
	return results.answer("InfoItem"), nil
}

// The tags of a friend.
const (
	tagRemark = "Tag_SNS_IM_Remark"
	tagSource = "Tag_SNS_IM_AddSource"
	tagGroup  = "Tag_SNS_IM_Group"
	tagAdded  = "Tag_SNS_IM_AddTime"
)

type friendUpdateRequest struct {
	From_Account string //nolint:revive // IM's spelling
	UpdateItem   []struct {
		To_Account string //nolint:revive // IM's spelling
		SnsItem    []profileItem
	}
}

// friendUpdate changes what a user has noted of friends: the remark, groups and
// fields of the app's own (269/12525).
func friendUpdate(a *App, in friendUpdateRequest) (object, error) {
	if n := len(in.UpdateItem); n == 0 || n > 1000 {
		return nil, fail(30001, "1 to 1000 friends")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		return nil, err
	}
	var results accountResults
	for _, item := range in.UpdateItem {
		code, info := 0, ""
		f := from.friends[item.To_Account]
		switch misfit := slices.ContainsFunc(item.SnsItem, func(i profileItem) bool { return !i.ofFriend() }); {
		case misfit || len(item.SnsItem) == 0:
			code, info = 30001, "SnsItem does not fit"
		case f == nil:
			code, info = 31704, "no friend"
		default:
			for _, i := range item.SnsItem {
				f.set(from, i)
			}
		}
		results.add(item.To_Account, code, info)
	}
	return results.answer("ResultItem"), nil
}

// ofFriend reports whether the item is one that friend_update takes.
func (p profileItem) ofFriend() bool {
	own, isOwn := strings.CutPrefix(p.Tag, "Tag_SNS_Custom_")
	var text string
	var list []string
	switch {
	case p.Tag == tagRemark:
		return json.Unmarshal(p.Value, &text) == nil && len(text) <= 96
	case p.Tag == tagGroup:
		return json.Unmarshal(p.Value, &list) == nil
	}
	return isOwn && own != "" && len(own) <= 8 && len(p.Value) > 0 && string(p.Value) != "null"
}

// friendsPerPage is how many friends friend_get returns at once.
const friendsPerPage = 100

type listRequest struct {
	From_Account                                                           string //nolint:revive // IM's spelling
	StartIndex, StandardSequence, CustomSequence, MaxLimited, LastSequence int
}

// friendGet pages through a user's friends (1047/34908).
func friendGet(a *App, in listRequest) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, err := a.friendsOf(in.From_Account)
	switch {
	case err != nil:
		return nil, err
	case in.StartIndex < 0:
		return nil, fail(30001, "StartIndex is below 0")
	}
	all := sortedKeys(from.friends)
	items := []object{}
	page, next := pageOf(all, in.StartIndex, friendsPerPage)
	for _, id := range page {
		f := from.friends[id]
		values := []object{}
		for _, tag := range f.tagList() {
			values = append(values, object{"Tag", tag, "Value", f.tag(tag)})
		}
		items = append(items, object{"To_Account", id, "ValueItem", values})
	}
	return ok.with("UserDataItem", items, "StandardSequence", 0, "CustomSequence", 0, "FriendNum", len(all),
		"CompleteFlag", flag(next == 0), "NextStartIndex", next), nil
}

// pageOf returns the part of a list that starts at an index, and the index of the
// next one: 0 after the last.
func pageOf[T any](list []T, from, most int) (page []T, next int) {
	from = min(from, len(list))
	end := min(from+most, len(list))
	if end < len(list) {
		next = end
	}
	return list[from:end], next
}

// blackListGet pages through a user's blacklist (1047/34914).
func blackListGet(a *App, in listRequest) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, err := a.friendsOf(in.From_Account)
	switch {
	case err != nil:
		return nil, err
	case in.StartIndex < 0 || in.MaxLimited < 1 || in.MaxLimited > 1000:
		return nil, fail(30001, "StartIndex or MaxLimited does not fit")
	}
	items := []object{}
	page, next := pageOf(sortedKeys(from.blocked), in.StartIndex, in.MaxLimited)
	for _, id := range page {
		items = append(items, object{"To_Account", id, "AddBlackTimeStamp", from.blocked[id].Unix()})
	}
	// The name of the last field is spelt so.
	return ok.with("BlackListItem", items, "StartIndex", next, "CurruentSequence", len(from.blocked)), nil
}

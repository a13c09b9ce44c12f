package imtest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Lists of friends by name, friends brought along, and groups of friends
// (269/8609, 269/8301, 269/3725, 269/10107, 269/10108, 269/54763).

// groupFriend puts a friend into one of the user's groups, which is made if it
// does not exist. The caller holds the lock.
func (u *account) groupFriend(f *friend, name string) {
	if !slices.Contains(u.friendGroups, name) {
		u.friendGroups = append(u.friendGroups, name)
	}
	if !slices.Contains(f.groups, name) {
		f.groups = append(f.groups, name)
	}
}

// set changes what a user has noted of a friend.
func (f *friend) set(u *account, item profileItem) {
	if item.Tag != tagGroup {
		f.tags[item.Tag] = item.Value
		return
	}
	var names []string
	_ = json.Unmarshal(item.Value, &names) // checked by ofFriend
	f.groups = nil
	for _, name := range names {
		u.groupFriend(f, name)
	}
}

// tag returns what is noted of a friend under a tag, nil for nothing.
func (f *friend) tag(tag string) any {
	switch {
	case tag == tagSource:
		return f.source
	case tag == tagAdded:
		return f.added.Unix()
	case tag == tagGroup && len(f.groups) > 0:
		return f.groups
	}
	return f.tags[tag]
}

// tagList lists the tags under which something is noted.
func (f *friend) tagList() []string {
	tags := []string{tagSource, tagAdded}
	if len(f.groups) > 0 {
		tags = append(tags, tagGroup)
	}
	return append(tags, sortedKeys(f.tags)...)
}

type friendListRequest struct {
	From_Account        string   //nolint:revive // IM's spelling
	To_Account, TagList []string //nolint:revive // IM's spelling
}

// friendGetList returns profiles and notes of the friends named (269/8609). The
// code of one who is no friend is our reading.
func friendGetList(a *App, in friendListRequest) (object, error) {
	if n := len(in.To_Account); n == 0 || n > 100 || len(in.TagList) == 0 {
		return nil, fail(30001, "1 to 100 accounts and a TagList")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		return nil, err
	}
	var results accountResults
	for _, id := range in.To_Account {
		f, to := from.friends[id], a.user(id)
		if f == nil || to == nil {
			results.add(id, 30001, "no friend")
			continue
		}
		values := []object{}
		for _, tag := range in.TagList {
			value := f.tag(tag)
			if strings.HasPrefix(tag, "Tag_Profile_") {
				value = to.profile[tag]
			}
			if value != nil {
				values = append(values, object{"Tag", tag, "Value", value})
			}
		}
		results.add(id, 0, "", "SnsProfileItem", values)
	}
	return results.answer("InfoItem"), nil
}

type friendImportRequest struct {
	From_Account  string //nolint:revive // IM's spelling
	AddFriendItem []struct {
		To_Account, Remark, AddSource, AddWording string //nolint:revive // IM's spelling
		RemarkTime, AddTime                       int64
		GroupName                                 []string
		CustomItem                                []profileItem
	}
}

// friendImport makes friends on one side, without callbacks (269/8301).
func friendImport(a *App, in friendImportRequest) (object, error) {
	if n := len(in.AddFriendItem); n == 0 || n > 1000 {
		return nil, fail(30001, "1 to 1000 friends")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		return nil, err
	}
	var results accountResults
	for _, item := range in.AddFriendItem {
		code, info := 0, ""
		switch {
		case !strings.HasPrefix(item.AddSource, "AddSource_Type_"):
			code, info = 30001, "AddSource must start with AddSource_Type_"
		case slices.ContainsFunc(item.CustomItem, func(i profileItem) bool { return !i.ofFriend() }):
			code, info = 30001, "CustomItem does not fit"
		case a.user(item.To_Account) == nil:
			code, info = 30003, "not imported"
		}
		if code == 0 {
			f := &friend{source: item.AddSource, added: a.clock.Now(), tags: make(map[string]any)}
			if item.AddTime > 0 {
				f.added = time.Unix(item.AddTime, 0)
			}
			if item.Remark != "" {
				f.tags[tagRemark] = item.Remark
			}
			for _, name := range item.GroupName {
				from.groupFriend(f, name)
			}
			for _, i := range item.CustomItem {
				f.set(from, i)
			}
			from.friends[item.To_Account] = f
		}
		results.add(item.To_Account, code, info)
	}
	return results.answer("ResultItem"), nil
}

type deleteAllRequest struct {
	From_Account, DeleteType string //nolint:revive // IM's spelling
}

// friendDeleteAll ends all of a user's friendships, on one side or on both
// (269/1645).
func friendDeleteAll(a *App, in deleteAllRequest) (object, error) {
	a.mu.Lock()
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	pairs := []object{}
	for _, id := range sortedKeys(from.friends) {
		pairs = append(pairs, object{"From_Account", from.id, "To_Account", id})
		if to := a.user(id); to != nil && in.DeleteType == "Delete_Type_Both" {
			delete(to.friends, from.id)
		}
	}
	clear(from.friends)
	a.mu.Unlock()
	if len(pairs) > 0 {
		a.after(notice{command: "Sns.CallbackFriendDelete", from: fromREST, body: object{"PairList", pairs}})
	}
	return ok, nil
}

// blackListCheck tells who blocks whom (269/3725).
func blackListCheck(a *App, in friendCheckRequest) (object, error) {
	both := in.CheckType == "BlackCheckResult_Type_Both"
	if n := len(in.To_Account); n == 0 || n > 1000 || !both && in.CheckType != "BlackCheckResult_Type_Single" {
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
		to := a.user(id)
		relation, code := "BlackCheckResult_Type_NO", 0
		switch {
		case to == nil:
			code = 30003
		case both && from.blocks(id) && to.blocks(from.id):
			relation = "BlackCheckResult_Type_BothWay"
		case from.blocks(id):
			relation = "BlackCheckResult_Type_AWithB"
		case both && to.blocks(from.id):
			relation = "BlackCheckResult_Type_BWithA"
		}
		results.add(id, code, "", "Relation", relation)
	}
	return results.answer("BlackListCheckItem"), nil
}

// Limits of friend groups (269/10107).
const (
	maxFriendGroups    = 32
	maxFriendGroupName = 30 // bytes
)

type friendGroups struct {
	From_Account, NeedFriend string   //nolint:revive // IM's spelling
	GroupName, To_Account    []string //nolint:revive // IM's spelling
	LastSequence             int
}

// friendGroupAdd makes groups of friends and puts friends into them (269/10107).
func friendGroupAdd(a *App, in friendGroups) (object, error) {
	if len(in.GroupName) == 0 || len(in.To_Account) > 1000 ||
		slices.ContainsFunc(in.GroupName, func(name string) bool { return name == "" || len(name) > maxFriendGroupName }) {
		return nil, fail(30001, "GroupName has names of 1 to 30 bytes")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	from, err := a.friendsOf(in.From_Account)
	switch {
	case err != nil:
		return nil, err
	case slices.ContainsFunc(in.GroupName, func(name string) bool { return slices.Contains(from.friendGroups, name) }):
		return nil, fail(32207, "a group of this name exists")
	case len(from.friendGroups)+len(in.GroupName) > maxFriendGroups:
		return nil, fail(32216, "over 32 groups of friends")
	}
	from.friendGroups = append(from.friendGroups, in.GroupName...)
	var results accountResults
	for _, id := range in.To_Account {
		f, code := from.friends[id], 0
		if f == nil {
			code = 30001
		} else {
			for _, name := range in.GroupName {
				from.groupFriend(f, name)
			}
		}
		results.add(id, code, "")
	}
	return results.answer("ResultItem").with("CurrentSequence", len(from.friendGroups)), nil
}

// friendGroupDelete takes groups away; the friends stay friends (269/10108).
func friendGroupDelete(a *App, in friendGroups) (object, error) {
	if len(in.GroupName) == 0 {
		return nil, fail(30001, "GroupName is missing")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		return nil, err
	}
	named := func(name string) bool { return slices.Contains(in.GroupName, name) }
	from.friendGroups = slices.DeleteFunc(from.friendGroups, named)
	for _, f := range from.friends {
		f.groups = slices.DeleteFunc(f.groups, named)
	}
	return ok.with("CurrentSequence", len(from.friendGroups)), nil
}

// friendGroupGet lists groups of friends, all of them if none is named
// (269/54763).
func friendGroupGet(a *App, in friendGroups) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, err := a.friendsOf(in.From_Account)
	if err != nil {
		return nil, err
	}
	items := []object{}
	for _, name := range from.friendGroups {
		if len(in.GroupName) > 0 && !slices.Contains(in.GroupName, name) {
			continue
		}
		ids := slices.DeleteFunc(sortedKeys(from.friends), func(id string) bool { return !slices.Contains(from.friends[id].groups, name) })
		item := object{"GroupName", name, "FriendNumber", len(ids)}
		if in.NeedFriend == "Need_Friend_Type_Yes" {
			item = item.with("To_Account", ids)
		}
		items = append(items, item)
	}
	return ok.with("ResultItem", items, "CurrentSequence", len(from.friendGroups)), nil
}

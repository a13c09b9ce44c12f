package imtest

import (
	"maps"
	"slices"
	"time"
)

// AVChatRooms, attributes and counters (269/49180, 269/85952, 1047/50293,
// 1047/53428, 1047/44187, 1047/44190).

// onlineNumFor is how long a number of online members stays the answer.
const onlineNumFor = 10 * time.Second

func getOnlineMemberNum(a *App, in groupID) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.existing(in.GroupId)
	switch {
	case err != nil:
		return nil, err
	case !g.isAVRoom() && a.conf.Edition > ProPlus:
		return nil, fail(10007, "other groups need another edition")
	}
	if now := a.clock.Now(); g.onlineAt.IsZero() || now.Sub(g.onlineAt) >= onlineNumFor {
		g.onlineAt, g.onlineNum = now, 0
		for _, id := range g.joinOrder {
			if p := g.online[id]; p != nil && !p.offline || p == nil && a.accounts[id] != nil && len(a.accounts[id].devices) > 0 {
				g.onlineNum++
			}
		}
	}
	return ok.with("OnlineMemberNum", g.onlineNum), nil
}

// avRoom returns an AVChatRoom. The caller holds the lock.
func (a *App) avRoom(id string) (*group, error) {
	g, err := a.existing(id)
	if err == nil && !g.isAVRoom() {
		err = fail(10007, "only AVChatRooms have this")
	}
	return g, err
}

type roomCheck struct {
	GroupId        string   //nolint:revive // IM's spelling
	Member_Account []string //nolint:revive // IM's spelling
}

// checkRoomMembers tells which users are in an AVChatRoom, beyond the newest
// thousand too (1047/60523).
func checkRoomMembers(a *App, in roomCheck) (object, error) {
	if err := checkMany(len(in.Member_Account), 500); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.avRoom(in.GroupId)
	switch {
	case err != nil:
		return nil, err
	case a.conf.Edition > Pro:
		return nil, fail(10007, "not in this edition")
	}
	return ok.with("Member_Account", slices.DeleteFunc(in.Member_Account, func(id string) bool {
		p := g.online[id]
		return p == nil || p.offline
	})), nil
}

// The list of online members: the newest, fewer in small editions, by pages
// (269/77266).
const (
	onlinePage = 250
	onlineMost = 1000
	onlineFew  = 30
)

type roomMembers struct {
	GroupId   string //nolint:revive // IM's spelling
	Timestamp *int64
	Mark      *int
}

func getRoomMembers(a *App, in roomMembers) (object, error) {
	if in.Timestamp == nil || *in.Timestamp < 0 {
		return nil, fail(10004, "Timestamp is missing; begin with 0")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.avRoom(in.GroupId)
	if err != nil {
		return nil, err
	}
	ids := slices.DeleteFunc(slices.Clone(g.joinOrder), func(id string) bool {
		p := g.online[id]
		return p.offline || in.Mark != nil && *in.Mark != 0 && !slices.Contains(p.marks, *in.Mark)
	})
	slices.Reverse(ids)
	most := onlineMost
	if a.conf.Edition > Pro {
		most = onlineFew
	}
	ids = ids[:min(len(ids), most)]
	list := []object{}
	page, next := pageOf(ids, int(min(*in.Timestamp, int64(len(ids)))), onlinePage) // our cursor is the place in the list
	for _, id := range page {
		item := object{"Member_Account", id, "JoinTime", g.online[id].joined.Unix()}.with(a.face(id)...)
		if marks := g.online[id].marks; len(marks) > 0 {
			item = item.with("Marks", slices.Clone(marks))
		}
		list = append(list, item)
	}
	return ok.with("MemberList", list, "NextTimestamp", next), nil
}

// face is how AVChatRooms show a user. The caller holds the lock.
func (a *App) face(id string) object {
	nick, _ := a.accounts[id].profile[tagNick].(string)
	image, _ := a.accounts[id].profile[tagImage].(string)
	return object{"NickName", nick, "Avatar", image}
}

type roomAdmins struct {
	GroupId       string //nolint:revive // IM's spelling
	CommandType   int
	Admin_Account []string //nolint:revive // IM's spelling
}

func modifyRoomAdmin(a *App, in roomAdmins) (object, error) {
	if in.CommandType != 1 && in.CommandType != 2 {
		return nil, fail(10004, "CommandType must be 1 or 2")
	}
	if err := checkMany(len(in.Admin_Account), 5); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.avRoom(in.GroupId)
	if err != nil {
		return nil, err
	}
	for _, id := range in.Admin_Account {
		if a.user(id) == nil {
			return nil, fail(10019, "an admin is not imported")
		}
	}
	g.admins = slices.DeleteFunc(g.admins, func(id string) bool { return slices.Contains(in.Admin_Account, id) })
	if in.CommandType == 1 {
		g.admins = append(g.admins, in.Admin_Account...)
	}
	return ok, nil
}

func getRoomAdmins(a *App, in groupID) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.avRoom(in.GroupId)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, id := range g.admins {
		list = append(list, object{"Admin_Account", id}.with(a.face(id)...))
	}
	return ok.with("Admin_List", list), nil
}

// Limits of attributes, in bytes, and of their writes (1047/44187).
const (
	maxAttributes      = 16
	maxAttributeKey    = 32
	maxAttributeValue  = 4000
	maxAttributesTotal = 16000
	attributeWrites    = 5 // a second
)

type attribute struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type attrRequest struct {
	GroupId   string //nolint:revive // IM's spelling
	GroupAttr []attribute
}

// writeAttr makes a command that changes a group's attributes; change gets a
// copy of them.
func writeAttr(option string, change func(old map[string]string, given []attribute) map[string]string) func(*App, caller, attrRequest) (object, error) {
	return func(a *App, by caller, in attrRequest) (object, error) {
		if len(in.GroupAttr) == 0 && option != "clear" {
			return nil, fail(10004, "GroupAttr is missing")
		}
		a.mu.Lock()
		g, err := a.existing(in.GroupId)
		if err != nil {
			a.mu.Unlock()
			return nil, err
		}
		next := change(maps.Clone(g.attributes), in.GroupAttr)
		if err := checkAttributes(next); err != nil {
			a.mu.Unlock()
			return nil, err
		}
		if !g.attributeWrites.take(a.clock.Now(), time.Second, attributeWrites) {
			a.mu.Unlock()
			return nil, fail(10049, "over 5 writes a second")
		}
		g.attributes = next
		g.attributeSeq++
		a.tip(g, Tip{What: "attributes", Operator: by.id})
		a.mu.Unlock()
		list := []object{}
		for _, given := range in.GroupAttr {
			item := object{"key", given.Key}
			if option != "delete" {
				item = item.with("value", given.Value)
			}
			list = append(list, item)
		}
		a.after(notice{command: "Group.CallbackAfterGroupAttrChanged", from: by.from, body: object{
			"GroupId", g.id, "Type", a.typeName(g), "Operator_Account", by.id, "OptionType", option, "GroupAttr", list,
			"EventTime", a.eventTime(),
		}})
		return ok, nil
	}
}

func checkAttributes(attributes map[string]string) error {
	total := 0
	for key, value := range attributes {
		total += len(key) + len(value)
		switch {
		case key == "":
			return fail(10004, "a key is missing; its name is in lower case")
		case len(key) > maxAttributeKey:
			return fail(10045, "a key is over 32 bytes")
		case len(value) > maxAttributeValue:
			return fail(10046, "a value is over 4000 bytes")
		}
	}
	switch {
	case len(attributes) > maxAttributes:
		return fail(10047, "over 16 attributes")
	case total > maxAttributesTotal:
		return fail(10048, "over 16000 bytes in all")
	}
	return nil
}

func setAttributes(_ map[string]string, given []attribute) map[string]string {
	return mergeAttributes(make(map[string]string), given)
}

func mergeAttributes(old map[string]string, given []attribute) map[string]string {
	for _, item := range given {
		old[item.Key] = item.Value
	}
	return old
}

func deleteAttributes(old map[string]string, given []attribute) map[string]string {
	for _, item := range given {
		delete(old, item.Key)
	}
	return old
}

func clearAttributes(map[string]string, []attribute) map[string]string {
	return make(map[string]string)
}

// getGroupAttr belongs to a service of its own.
func getGroupAttr(a *App, in groupID) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.existing(in.GroupId)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, key := range sortedKeys(g.attributes) {
		list = append(list, object{"key", key, "value", g.attributes[key]})
	}
	return ok.with("GroupAttrAry", list), nil
}

// Limits of counters (1047/53428).
const (
	maxCounters   = 20
	maxCounterKey = 128
)

type counterRequest struct {
	GroupId, Mode string //nolint:revive // IM's spelling
	GroupCounter  []struct {
		Key   string
		Value *int64
	}
}

// counted returns a group that has counters. The caller holds the lock.
func (a *App) counted(id string) (*group, error) {
	g, err := a.existing(id)
	switch {
	case err != nil:
		return nil, err
	case a.conf.Edition > ProPlus:
		return nil, fail(10059, "counters are not in this edition")
	case g.kind == typeCommunity:
		return nil, fail(10007, "a Community has no counters")
	}
	return g, nil
}

func updateGroupCounter(a *App, in counterRequest) (object, error) {
	if len(in.GroupCounter) == 0 || !slices.Contains([]string{"Set", "Increase", "Decrease"}, in.Mode) {
		return nil, fail(10004, "GroupCounter or Mode is missing")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.counted(in.GroupId)
	if err != nil {
		return nil, err
	}
	next := maps.Clone(g.counters)
	list := []object{}
	for _, c := range in.GroupCounter {
		if c.Key == "" || len(c.Key) > maxCounterKey || c.Value == nil {
			return nil, fail(10004, "a Key of 1 to 128 bytes and a Value")
		}
		switch in.Mode {
		case "Set":
			next[c.Key] = *c.Value
		case "Increase":
			next[c.Key] += *c.Value
		case "Decrease":
			next[c.Key] -= *c.Value
		}
		list = append(list, object{"Key", c.Key, "Value", next[c.Key]})
	}
	if len(next) > maxCounters {
		return nil, fail(10063, "over 20 counters")
	}
	g.counters = next
	a.tip(g, Tip{What: "counters"})
	return ok.with("GroupCounter", list), nil
}

type counterKeys struct {
	GroupId          string //nolint:revive // IM's spelling
	GroupCounterKeys []string
}

// getGroupCounter returns the counters asked for; without keys, all.
func getGroupCounter(a *App, in counterKeys) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.counted(in.GroupId)
	if err != nil {
		return nil, err
	}
	keys := in.GroupCounterKeys
	if len(keys) == 0 {
		keys = sortedKeys(g.counters)
	}
	list := []object{}
	for _, key := range keys {
		if value, set := g.counters[key]; set {
			list = append(list, object{"Key", key, "Value", value})
		}
	}
	return ok.with("GroupCounter", list), nil
}

func deleteGroupCounter(a *App, in counterKeys) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.counted(in.GroupId)
	if err != nil {
		return nil, err
	}
	for _, key := range in.GroupCounterKeys {
		delete(g.counters, key)
	}
	return ok, nil
}

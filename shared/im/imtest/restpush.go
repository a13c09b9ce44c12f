package imtest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Robots (269/89991, 1047/55281) and all-member push (1047/37166, 269/45934).

// maxRobots is how many robots an app has.
const maxRobots = 20

type robotRequest struct {
	UserID, Nick, FaceUrl, SelfSignature string //nolint:revive // IM's spelling
	Robot_Account                        string //nolint:revive // IM's spelling
}

func createRobot(a *App, in robotRequest) (object, error) {
	if !strings.HasPrefix(in.UserID, robotPrefix) || usersig.CheckUserID(in.UserID) != nil || len(in.SelfSignature) > 500 {
		return nil, fail(10004, "UserID must start with @RBT#, or SelfSignature is over 500 bytes")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.accounts[in.UserID]
	if u == nil {
		if len(a.robots()) >= maxRobots {
			return nil, fail(10008, "over 20 robots")
		}
		u = newAccount(in.UserID)
		a.accounts[in.UserID] = u
	}
	u.robot, u.deleted = true, false
	for tag, value := range map[string]string{tagNick: in.Nick, tagImage: in.FaceUrl, "Tag_Profile_IM_SelfSignature": in.SelfSignature} {
		if value != "" {
			u.profile[tag] = value
		}
	}
	return ok, nil
}

// robots are the app's robots in order; a deleted one still counts. The caller
// holds the lock.
func (a *App) robots() []string {
	return slices.DeleteFunc(sortedKeys(a.accounts), func(id string) bool { return !a.accounts[id].robot })
}

func getAllRobots(a *App, _ struct{}) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.DeleteFunc(a.robots(), func(id string) bool { return a.user(id) == nil })
	return ok.with("Robot_Account", list), nil
}

// deleteRobot invalidates a robot; it still counts, and create_robot revives it.
func deleteRobot(a *App, in robotRequest) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(in.Robot_Account)
	if u == nil || !u.robot {
		return nil, fail(10004, "no such robot")
	}
	u.deleted = true
	return ok, nil
}

// push is an all-member push that was made.
type push struct {
	task string
	at   time.Time
}

// Limits of all-member push (269/45934).
const (
	pushesPerDay   = 100
	pushKnownFor   = 7 * 24 * time.Hour
	maxConditions  = 10
	maxTag         = 50
	maxAttributeNo = 10
)

type pushCondition struct {
	TagsOr, TagsAnd   []string
	AttrsOr, AttrsAnd map[string]json.RawMessage
}

type pushRequest struct {
	From_Account    string //nolint:revive // IM's spelling
	MsgRandom       *uint32
	MsgLifeTime     *int64
	Condition       *pushCondition
	MsgBody         json.RawMessage
	CloudCustomData string
	OfflinePushInfo json.RawMessage
}

var pushMisfits = misfits{"": 90001, "MsgRandom": 90005, "MsgBody": 90007, "From_Account": 90008, "Condition": 90033, "MsgLifeTime": 90044}

func (c *pushCondition) check() error {
	if c == nil {
		return nil
	}
	kinds := 0
	for _, n := range []int{len(c.TagsOr), len(c.TagsAnd), len(c.AttrsOr), len(c.AttrsAnd)} {
		if n > 0 {
			kinds++
		}
		if n > maxConditions {
			return fail(90032, "over 10 conditions")
		}
	}
	if kinds != 1 {
		return fail(90033, "exactly one of TagsOr, TagsAnd, AttrsOr, AttrsAnd")
	}
	for _, tag := range slices.Concat(c.TagsOr, c.TagsAnd) {
		if tag == "" || len(tag) > maxTag {
			return fail(90020, "a tag has 1 to 50 bytes")
		}
	}
	return nil
}

// meets reports whether the condition covers a user.
func (c *pushCondition) meets(u *account) bool {
	if c == nil {
		return true
	}
	hasTag := func(tag string) bool { return slices.Contains(u.tags, tag) }
	hasAttr := func(name string, want json.RawMessage) bool { return string(u.attributes[name]) == string(want) }
	switch {
	case len(c.TagsOr) > 0:
		return slices.ContainsFunc(c.TagsOr, hasTag)
	case len(c.TagsAnd) > 0:
		return !slices.ContainsFunc(c.TagsAnd, func(tag string) bool { return !hasTag(tag) })
	case len(c.AttrsOr) > 0:
		for name, want := range c.AttrsOr {
			if hasAttr(name, want) {
				return true
			}
		}
		return false
	}
	for name, want := range c.AttrsAnd {
		if !hasAttr(name, want) {
			return false
		}
	}
	return true
}

// imPush reaches all users, or those of a condition: who is online, and with a
// MsgLifeTime those too who log in later. It makes no callbacks, and a repeated
// MsgRandom no second push for seven days.
func imPush(a *App, by caller, in pushRequest) (object, error) {
	switch {
	case a.conf.NoPush || a.conf.Edition > Pro:
		return nil, fail(90045, "all-member push is not switched on")
	case in.MsgRandom == nil:
		return nil, fail(90005, "MsgRandom is missing")
	case in.MsgLifeTime != nil && (*in.MsgLifeTime < 0 || *in.MsgLifeTime > maxLifeTime):
		return nil, fail(90026, "MsgLifeTime is over 7 days")
	}
	if err := in.Condition.check(); err != nil {
		return nil, err
	}
	if err := checkBody(in.MsgBody, in.CloudCustomData, a.strictly(c2cBody)); err != nil {
		return nil, err
	}
	if in.From_Account == "" {
		in.From_Account = by.id
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if a.user(in.From_Account) == nil {
		return nil, fail(90008, "From_Account is not imported")
	}
	if first, again := a.pushes[*in.MsgRandom]; again && now.Sub(first.at) < pushKnownFor {
		return ok.with("TaskId", first.task), nil
	}
	today := 0
	for _, p := range a.pushes {
		switch ago := now.Sub(p.at); {
		case ago < time.Second:
			return nil, fail(90024, "pushes must be over a second apart")
		case ago < 24*time.Hour:
			today++
		}
	}
	if today >= pushesPerDay {
		return nil, fail(90047, "over 100 pushes a day")
	}
	p := push{task: "task_" + a.newID(), at: now}
	a.pushes[*in.MsgRandom] = p
	for _, id := range sortedKeys(a.accounts) {
		u := a.user(id)
		if u == nil || u.robot || !in.Condition.meets(u) {
			continue
		}
		a.deliver(id, &Event{Kind: "message", Message: &Message{
			From: in.From_Account, To: id, Random: *in.MsgRandom, Time: now.Truncate(time.Second), ID: p.task, Body: in.MsgBody,
			Custom: in.CloudCustomData, ByREST: true, Online: in.MsgLifeTime == nil || *in.MsgLifeTime == 0,
		}})
	}
	return ok.with("TaskId", p.task), nil
}

type attrNames struct{ AttrNames map[string]string }

func setAttrName(a *App, in attrNames) (object, error) {
	for number, name := range in.AttrNames {
		if len(number) != 1 || number < "0" || number > "9" || len(name) > maxTag {
			return nil, fail(90001, "AttrNames has the numbers 0 to 9")
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for number, name := range in.AttrNames {
		a.pushNames[number] = name
	}
	return ok, nil
}

func getAttrName(a *App, _ struct{}) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := object{}
	for _, number := range sortedKeys(a.pushNames) {
		names = names.with(number, a.pushNames[number])
	}
	return ok.with("AttrNames", names), nil
}

// forUsers is the step that the commands on users share: 1 to 100 accounts, all
// of which must exist before any is touched. The caller holds the lock.
func (a *App) forUsers(ids []string, f func(i int, u *account)) error {
	if len(ids) == 0 || len(ids) > 100 {
		return fail(90001, "1 to 100 accounts")
	}
	for _, id := range ids {
		if a.user(id) == nil {
			return fail(90048, "an account is not imported")
		}
	}
	for i, id := range ids {
		f(i, a.user(id))
	}
	return nil
}

type attrsRequest struct {
	UserAttrs []struct {
		To_Account string //nolint:revive // IM's spelling
		Attrs      map[string]json.RawMessage
	}
}

func setAttr(a *App, in attrsRequest) (object, error) {
	var ids []string
	for _, item := range in.UserAttrs {
		if len(item.Attrs) == 0 || len(item.Attrs) > maxAttributeNo {
			return nil, fail(90001, "Attrs has 1 to 10 attributes")
		}
		ids = append(ids, item.To_Account)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return ok, a.forUsers(ids, func(i int, u *account) { maps.Copy(u.attributes, in.UserAttrs[i].Attrs) })
}

// attrNamesRequest has a list of names where its sibling has an object.
type attrNamesRequest struct {
	UserAttrs []struct {
		To_Account string //nolint:revive // IM's spelling
		Attrs      []string
	}
}

func removeAttr(a *App, in attrNamesRequest) (object, error) {
	var ids []string
	for _, item := range in.UserAttrs {
		ids = append(ids, item.To_Account)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return ok, a.forUsers(ids, func(i int, u *account) {
		for _, name := range in.UserAttrs[i].Attrs {
			delete(u.attributes, name)
		}
	})
}

type accountList struct{ To_Account []string } //nolint:revive // IM's spelling

// describeUsers makes a command that tells something of each account.
func describeUsers(list string, describe func(u *account) object) func(*App, accountList) (object, error) {
	return func(a *App, in accountList) (object, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		items := []object{}
		err := a.forUsers(in.To_Account, func(_ int, u *account) { items = append(items, object{"To_Account", u.id}.with(describe(u)...)) })
		return ok.with(list, items), err
	}
}

func (u *account) attrs() object {
	attrs := object{}
	for _, name := range sortedKeys(u.attributes) {
		attrs = attrs.with(name, u.attributes[name])
	}
	return object{"Attrs", attrs}
}

func (u *account) tagList() object { return object{"Tags", append([]string{}, u.tags...)} }

type tagsRequest struct {
	UserTags []struct {
		To_Account string //nolint:revive // IM's spelling
		Tags       []string
	}
}

// writeTags makes a command that changes the tags of users.
func writeTags(change func(old, given []string) []string) func(*App, tagsRequest) (object, error) {
	return func(a *App, in tagsRequest) (object, error) {
		var ids []string
		for _, item := range in.UserTags {
			if len(item.Tags) == 0 || len(item.Tags) > maxConditions {
				return nil, fail(90001, "1 to 10 tags")
			}
			for _, tag := range item.Tags {
				if tag == "" || len(tag) > maxTag {
					return nil, fail(90020, "a tag has 1 to 50 bytes")
				}
			}
			ids = append(ids, item.To_Account)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		return ok, a.forUsers(ids, func(i int, u *account) { u.tags = change(u.tags, in.UserTags[i].Tags) })
	}
}

func addTags(old, given []string) []string {
	for _, tag := range given {
		if !slices.Contains(old, tag) {
			old = append(old, tag)
		}
	}
	return old
}

func removeTags(old, given []string) []string {
	return slices.DeleteFunc(old, func(tag string) bool { return slices.Contains(given, tag) })
}

func removeAllTags(a *App, in accountList) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ok, a.forUsers(in.To_Account, func(_ int, u *account) { u.tags = nil })
}
